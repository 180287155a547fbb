"""Cascades: what spread from whom to whom, in which order; and who was exposed to it when.

A meme is a phrase of a few words, a skill a block of code, a behaviour a way to format; its cascade is the ordered list
of the agents who took it up. Memes that the same agents took up at the same times are one cascade, not many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shoal.diagnosis.forum.log import ForumLog
from shoal.errors import InputError

if TYPE_CHECKING:
    import polars as pl

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

BEHAVIOURS = {
    "emoji run": r"[\x{1F300}-\x{1FAFF}\x{2600}-\x{27BF}]{2,}",
    "bullets": r"(?m)^\s*[-*•] ",
    "numbering": r"(?m)^\s*\d+[.)] ",
    "header": r"(?m)^#{1,6} ",
    "quote": r"(?m)^> ",
    "link": r"https?://",
}
CODE = r"(?s)```(.*?)```"


@dataclass(frozen=True)
class Cascades:
    """Adoptions, ordered by cascade and time.

    Attributes:
        cascade: number of the cascade [adoptions], ascending.
        agent: who adopted [adoptions]; at most once in a cascade.
        time: when, in seconds [adoptions].
        names: what spread, by number of the cascade.
        kinds: meme, skill or behaviour, by number of the cascade.
    """

    cascade: Ints
    agent: Ints
    time: Floats
    names: tuple[str, ...]
    kinds: tuple[str, ...]

    @property
    def count(self) -> int:
        """Number of cascades."""
        return len(self.names)

    @property
    def sizes(self) -> Ints:
        """Distinct adopters of each cascade [cascades]."""
        return np.bincount(self.cascade, minlength=self.count)

    @property
    def starts(self) -> Ints:
        """Where each cascade begins among the adoptions [cascades]: its seed."""
        return np.asarray(np.cumsum(self.sizes) - self.sizes)

    def take(self, chosen: Sequence[int] | Ints) -> Cascades:
        """Some of the cascades, renumbered in the order given."""
        place = np.full(self.count, -1)
        place[np.asarray(chosen, int)] = np.arange(len(chosen))
        keep = place[self.cascade] >= 0
        names, kinds = (tuple(x[int(i)] for i in chosen) for x in (self.names, self.kinds))
        return cascades_of(place[self.cascade[keep]], self.agent[keep], self.time[keep], names, kinds)

    def largest(self, count: int) -> Cascades:
        """The first of the list sorted by size, as in the original "sample"."""
        return self.take(np.argsort(-self.sizes, kind="stable")[:count])

    def sample(self, count: int, rng: np.random.Generator) -> Cascades:
        """Cascades drawn at random without replacement; all where there are fewer."""
        return self.take(rng.permutation(self.count)[:count])

    def shuffled(self, rng: np.random.Generator) -> Cascades:
        """The same adopters in each cascade, the times of all but the seed permuted among them."""
        first = np.zeros(len(self.time), bool)
        first[self.starts[self.sizes > 0]] = True
        order = np.lexsort((rng.random(len(self.time)), ~first, self.cascade))
        return cascades_of(self.cascade, self.agent[order], self.time, self.names, self.kinds)

    def redrawn(self, agents: int, rng: np.random.Generator) -> Cascades:
        """The same times in each cascade, with adopters drawn from all agents: nothing spreads along any tie."""
        drawn = [rng.choice(agents, size, replace=False) for size in self.sizes]
        return cascades_of(self.cascade, np.concatenate(drawn), self.time, self.names, self.kinds)


def cascades_of(
    cascade: NDArray[Any], agent: NDArray[Any], time: NDArray[Any], names: Sequence[str], kinds: Sequence[str]
) -> Cascades:
    """Cascades from adoptions in any order; of several by one agent in a cascade the first counts."""
    order = np.lexsort((time, cascade))
    cascade, agent, time = (np.asarray(x)[order] for x in (cascade, agent, time))
    key = cascade.astype(np.int64) * (int(agent.max(initial=0)) + 1) + agent
    _, first = np.unique(key, return_index=True)
    first.sort()
    rows = cascade[first].astype(np.int64), agent[first].astype(np.int64), time[first].astype(float)
    return Cascades(*rows, tuple(names), tuple(kinds))


def memes(
    log: ForumLog, words: tuple[int, int] = (3, 5), adopters: int = 10, most: int = 10_000, distinct: bool = True
) -> Cascades:
    """Phrases that spread: of that many words, 10 characters or more, at most half of them stop words.

    Args:
        log: the forum.
        words: least and greatest length of a phrase in words.
        adopters: least number of distinct agents.
        most: the largest so many are kept.
        distinct: of phrases with the same seed, times and agents only the longest counts; the original keeps all.

    Raises:
        InputError: lengths below 1 or out of order.
    """
    from shoal.diagnosis.forum.phrases import phrases

    if not 1 <= words[0] <= words[1]:
        raise InputError("meme words", words, "Give a least and a greatest length, at least 1.")
    return phrases(log, words, adopters, most, distinct)


def skills(log: ForumLog, adopters: int = 5) -> Cascades:
    """Blocks of code (fenced by three backticks) that spread; white space does not count."""
    import polars as pl

    found = log.contributions.filter(pl.col("text").str.contains("```", literal=True))
    blocks = (
        found.select("agent", "time", pl.col("text").str.extract_all(CODE).alias("block"))
        .explode("block")
        .drop_nulls("block")
        .with_columns(pl.col("block").str.replace_all(r"\s+", " ").str.strip_chars("` ").alias("name"))
    )
    return _adopted(blocks, adopters, "skill")


def behaviours(log: ForumLog, adopters: int = 5) -> Cascades:
    """Ways to format a text: emoji runs, bullets, numbering, headers, quotes, links."""
    import polars as pl

    told = log.contributions.select("agent", "time", "text")
    rows = [
        told.filter(pl.col("text").str.contains(pattern)).select("agent", "time", pl.lit(name).alias("name"))
        for name, pattern in BEHAVIOURS.items()
    ]
    return _adopted(pl.concat(rows), adopters, "behaviour")


def _adopted(uses: pl.DataFrame, adopters: int, kind: str) -> Cascades:
    """Cascades of uses (name, agent, time) that enough agents took up, the largest first."""
    import polars as pl

    first = uses.group_by("name", "agent").agg(pl.col("time").min())
    sizes = first.group_by("name").len("size").filter(pl.col("size") >= adopters)
    sizes = sizes.sort(["size", "name"], descending=[True, False]).with_row_index("cascade")
    rows = first.join(sizes, on="name")
    names = tuple(sizes.get_column("name").to_list())
    cascade, agent, time = (rows.get_column(c).to_numpy() for c in ("cascade", "agent", "time"))
    return cascades_of(cascade, agent, time, names, (kind,) * len(names))


def joined(parts: Sequence[Cascades]) -> Cascades:
    """Several sets of cascades as one."""
    shift = np.cumsum([0, *(p.count for p in parts)])
    return Cascades(
        np.concatenate([p.cascade + s for p, s in zip(parts, shift, strict=False)]),
        np.concatenate([p.agent for p in parts]),
        np.concatenate([p.time for p in parts]),
        tuple(name for p in parts for name in p.names),
        tuple(kind for p in parts for kind in p.kinds),
    )
