"""Does solving together help? Threads that look like joint work, how good their solution is, and against what.

The original scores a solution by its surface (code, comments, brackets, length), tests that score against the constant
0.5, and calls this the single-agent baseline. Here the same tasks are also given to a matched single agent, and to one
with as many attempts as the thread had, and a checker says who was right.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.diagnosis.forum.log import ForumLog
from shoal.diagnosis.survival import Coefficient, logit

if TYPE_CHECKING:
    import polars as pl

Floats = NDArray[np.float64]

BROAD = (
    "how to", "class", "help", "function", "code", "error", "bug", "implement", "algorithm", "api", "script", "debug",
    "database", "python", "build", "test", "fix", "optimize",
)  # fmt: skip
"""Keywords in the manner of the original: everyday words among them let chat pass."""
NARROW = ("traceback", "stack trace", "implement", "algorithm", "refactor", "unit test", "compile", "regex", "sql")
"""Keywords that hardly occur outside of technical work."""
AUTHORS, COMMENTS, MINUTES = 3, 5, 30.0
SUCCESS = 0.5
CONSTANT_BASELINE = 0.5
"""What the original compares the quality with."""
_CODE = re.compile(r"```(.*?)```", re.DOTALL)
_WORD = re.compile(r"[a-z0-9_]+")
_COMMENT = re.compile(r"#|//|/\*|\"\"\"")
_TESTED = re.compile(r"\b(assert|test|expect)", re.IGNORECASE)
_STEPS = re.compile(r"(^|\n)\s*(\d+[.)]|[-*])\s|\bstep \d|\bfirst\b.*\bthen\b", re.IGNORECASE | re.DOTALL)
_PAIRS = (("(", ")"), ("[", "]"), ("{", "}"))


def cooperation_events(log: ForumLog, keywords: tuple[str, ...] = BROAD) -> pl.DataFrame:
    """Threads with a keyword, at least 3 authors, 5 comments and 30 minutes, and their solution.

    Returns:
        thread, title, authors, comments, minutes, density and degree (of who answers whom in the thread), solution.
        The solution is the last comment with code, else the last comment.
    """
    import polars as pl

    pattern = "(?i)" + "|".join(rf"\b{re.escape(k)}\b" for k in keywords)
    posts = log.posts.filter(pl.concat_str("title", pl.lit(" "), "body").str.contains(pattern))
    poster = posts.select(
        pl.col("id").alias("post"), "title", pl.col("body").alias("asked"), pl.col("agent").alias("op")
    )
    answered = log.comments.select(pl.col("id").alias("parent"), pl.col("agent").alias("answered"))
    talk = (
        log.comments.join(poster, on="post").join(answered, on="parent", how="left").sort("time", maintain_order=True)
        .with_columns(pl.coalesce("answered", "op").alias("to"))
    )  # fmt: skip
    code = pl.col("body").filter(pl.col("body").str.contains("```", literal=True)).last()
    silent = (pl.col("agent") != pl.col("op")).all()  # the poster does not comment
    edges = pl.struct("agent", "to").filter(pl.col("agent") != pl.col("to")).n_unique()
    found = talk.group_by("post", maintain_order=True).agg(
        pl.col("title").first(), pl.col("asked").first(), (pl.col("agent").n_unique() + silent).alias("authors"),
        pl.len().alias("comments"), ((pl.col("time").max() - pl.col("time").min()) / 60).alias("minutes"),
        edges.alias("edges"), pl.coalesce(code, pl.col("body").last()).alias("solution"),
    )  # fmt: skip
    n = pl.col("authors")
    return (
        found.filter((n >= AUTHORS) & (pl.col("comments") >= COMMENTS) & (pl.col("minutes") >= MINUTES))
        .with_columns((pl.col("edges") / (n * (n - 1))).alias("density"), (2 * pl.col("edges") / n).alias("degree"))
        .with_columns(pl.when(pl.col("title") == "").then("asked").otherwise("title").alias("title"))
        .rename({"post": "thread"}).drop("asked", "edges")
    )  # fmt: skip


def surface_quality(title: str, solution: str) -> float:
    """The original's score in [0, 1]: what a solution looks like, not whether it is right."""
    blocks = _CODE.findall(solution)
    if blocks:
        code = "\n".join(blocks)
        balanced = all(code.count(a) == code.count(b) for a, b in _PAIRS)
        return 0.3 + 0.2 * bool(_COMMENT.search(code)) + 0.3 * bool(_TESTED.search(solution)) + 0.2 * balanced
    shared = set(_WORD.findall(title.lower())) & set(_WORD.findall(solution.lower()))
    return 0.4 * (len(shared) >= 2) + 0.3 * (len(solution) > 100) + 0.3 * bool(_STEPS.search(solution))


def success_model(events: pl.DataFrame, success: ArrayLike) -> dict[str, Coefficient]:
    """Logistic model of success on the thread's size, density, mean degree and log duration."""
    columns = {
        "size": events.get_column("authors").to_numpy().astype(float),
        "density": events.get_column("density").to_numpy(),
        "mean degree": events.get_column("degree").to_numpy(),
        "log duration": np.log(events.get_column("minutes").to_numpy()),
    }
    scaled = [(c - c.mean()) / (c.std() or 1.0) for c in columns.values()]
    fitted = logit(np.stack([np.ones(events.height), *scaled], axis=1), success)
    return dict(zip(columns, fitted[1:], strict=True))


def paired_d(together: ArrayLike, alone: ArrayLike) -> float:
    """Cohen's d of paired scores [tasks]: mean difference over its deviation; 0 where all are equal."""
    gap = np.asarray(together, float) - np.asarray(alone, float)
    deviation = float(gap.std(ddof=1)) if gap.size > 1 else 0.0
    return float(gap.mean()) / deviation if deviation > 0 else 0.0


def constant_d(scores: ArrayLike) -> tuple[float, float]:
    """The original's "baseline": d and t of the scores [tasks] against the constant 0.5; t = d sqrt(n)."""
    x = np.asarray(scores, float)
    deviation = float(x.std(ddof=1)) if x.size > 1 else 0.0
    d = float(x.mean() - CONSTANT_BASELINE) / deviation if deviation > 0 else 0.0
    return d, d * float(np.sqrt(x.size))


def sign_flip_p(together: ArrayLike, alone: ArrayLike, rng: np.random.Generator, resamples: int = 2_000) -> float:
    """Two-sided permutation p-value of paired scores [tasks]: within each pair the labels are exchanged at random."""
    gap = np.asarray(together, float) - np.asarray(alone, float)
    signs = rng.integers(0, 2, size=(resamples, gap.size)) * 2 - 1
    drawn = np.abs(signs @ gap)
    return float((1 + (drawn >= abs(gap.sum()) - 1e-12).sum()) / (1 + resamples))


def shuffled_mean_p(scores: ArrayLike, rng: np.random.Generator, resamples: int = 200) -> float:
    """The original's "permutation test": shuffles the scores and takes their mean. It is 1 whatever the scores."""
    x = np.asarray(scores, float)
    means = np.array([rng.permutation(x).mean() for _ in range(resamples)])
    return float((np.abs(means - CONSTANT_BASELINE) >= abs(x.mean() - CONSTANT_BASELINE) - 1e-12).mean())


@dataclass(frozen=True)
class Work:
    """Tasks solved alone and together, by the same agents with the same luck.

    Attributes:
        size: agents of each thread [tasks].
        alone: whether one agent with one attempt is right [tasks].
        tokens: whether one agent with as many attempts as the thread has agents is right [tasks].
        together: whether the thread is right [tasks].
    """

    size: NDArray[np.int64]
    alone: NDArray[np.bool_]
    tokens: NDArray[np.bool_]
    together: NDArray[np.bool_]


def thread_chance(p: ArrayLike, size: ArrayLike, loss: float, redundancy: float) -> Floats:
    """1 - (1 - p (1 - loss))^(1 + (n - 1)(1 - redundancy)): how likely a thread of n solves a task.

    Args:
        p: chance of one agent alone [tasks].
        size: agents n [tasks].
        loss: what coordination costs each of them, in [0, 1].
        redundancy: how much their attempts are the same, in [0, 1].
    """
    p, size = np.asarray(p, float), np.asarray(size, float)
    return np.asarray(1 - (1 - p * (1 - loss)) ** (1 + (size - 1) * (1 - redundancy)))


def work(tasks: int, loss: float, redundancy: float, rng: np.random.Generator) -> Work:
    """Draw tasks of differing difficulty, and who solves them; one luck for each task is shared by all ways."""
    p = rng.beta(2, 2, tasks)
    size = AUTHORS + rng.poisson(1.0, tasks)
    luck = rng.random(tasks)
    tokens = luck < thread_chance(p, size, 0.0, redundancy)
    return Work(size, luck < p, tokens, luck < thread_chance(p, size, loss, redundancy))


def threads_of(done: Work, chat: int, rng: np.random.Generator) -> dict[str, Any]:
    """The work as posts and comments, with threads of mere chat that use everyday words of the keyword list.

    A right solution has tests more often than a wrong one; comments and length say nothing about it.

    Returns:
        posts and comments as columns, for ``polars.DataFrame``; threads of work come first, named work-0 and so on.
    """
    posts: dict[str, list[Any]] = {k: [] for k in ("id", "author", "title", "body", "time")}
    comments: dict[str, list[Any]] = {k: [] for k in ("id", "post", "parent", "author", "body", "time")}
    for i in range(len(done.size) + chat):
        working = i < len(done.size)
        name, size = (f"work-{i}", int(done.size[i])) if working else (f"chat-{i}", 3 + int(rng.integers(3)))
        title = f"How to implement task {i} as an algorithm" if working else "How to be in good company, help welcome"
        start = 1.77e9 + 7200.0 * i
        _row(posts, name, f"{name}-a0", title, f"Please solve number {i}." if working else "What do you feel?", start)
        for c in range(max(COMMENTS, size + 2)):
            last = c == max(COMMENTS, size + 2) - 1
            body = _solution(bool(done.together[i]), i, rng) if working and last else "I think so too, in other words."
            parent = f"{name}-{c - 1}" if c and rng.random() < 0.5 else None
            row = (
                f"{name}-{c}",
                name,
                parent,
                f"{name}-a{(c + 1) % size}",
                body,
                start + 60.0 * (12 * c + rng.random()),
            )
            _row(comments, *row)
    return {"posts": posts, "comments": comments}


def _row(into: dict[str, list[Any]], *values: Any) -> None:
    for column, value in zip(into.values(), values, strict=True):
        column.append(value)


def _solution(right: bool, number: int, rng: np.random.Generator) -> str:
    tested = rng.random() < (0.7 if right else 0.4)
    body = f"def solve_{number}(x):\n    return x + {number}"
    note = "  # adds" if rng.random() < 0.5 else ""
    return f"```\n{body}{note}\n{f'assert solve_{number}(0) == {number}' if tested else ''}\n```"
