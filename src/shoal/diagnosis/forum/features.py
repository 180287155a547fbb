"""What agents of a forum do, as numbers: activity, topics, place in the graph, timing and content.

Topics come from latent Dirichlet allocation (20 topics), fitted to the texts of the most active agents; every agent's
own mixture is then found with the topics held fixed, all agents at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.diagnosis.forum.interactions import betweenness, pagerank
from shoal.diagnosis.forum.log import DAY, ForumLog

Floats = NDArray[np.float64]

TOPICS = 20
VOCABULARY = 1_000
"""Most frequent words that topics are made of."""
FITTED = 400
"""Agents whose texts the topics are fitted to."""
SOURCES = 64
"""Sources from which betweenness is sampled."""
LEAST_EVENTS = 5
"""Contributions from which an agent's shares and timing mean anything."""
VOLUME = ("posts", "comments", "rate", "heard", "hears", "pagerank", "betweenness")
"""Features of how much an agent does; the others say what."""


@dataclass(frozen=True)
class RoleFeatures:
    """Features of all agents.

    Attributes:
        values: [agents, features]; nan where an agent wrote too little to tell.
        names: of the features.
        contributions: posts and comments of each agent [agents].
    """

    values: Floats
    names: tuple[str, ...]
    contributions: NDArray[np.int64]

    @property
    def raw(self) -> Floats:
        """As in the original [agents, features]: volumes as they are, not their logarithms; what is not known is 0."""
        volume = np.isin(self.names, VOLUME)
        return np.where(volume, np.expm1(np.where(volume, self.values, 0)), np.nan_to_num(self.values))


def role_features(log: ForumLog, graph: Any, seed: int = 42, topics: int = TOPICS) -> RoleFeatures:
    """All features of all agents; needs scikit-learn.

    Args:
        log: the forum.
        graph: ``interactions(log)``.
        seed: of topics and of the sampled betweenness.
        topics: number of topics.
    """
    counts = _counts(log)
    total = counts["posts"] + counts["comments"]
    features = {
        "posts": np.log1p(counts["posts"]),
        "comments": np.log1p(counts["comments"]),
        "rate": np.log1p(total / np.maximum(counts["days"], 1.0)),
        "heard": np.log1p(np.diff(graph.T.tocsr().indptr)),
        "hears": np.log1p(np.diff(graph.indptr)),
        "pagerank": np.log1p(pagerank(graph) * graph.shape[0]),
        "betweenness": np.log1p(betweenness(graph, SOURCES, np.random.default_rng(seed))),
    }
    enough = total >= LEAST_EVENTS
    what = {
        "share of posts": counts["posts"] / np.maximum(total, 1),
        "topics": _entropy(_mixtures(log, total, seed, topics)),
        "communities": np.log(np.maximum(counts["communities"], 1)),
        "evenness": counts["evenness"],
        "night": counts["night"],
        "length": np.log1p(counts["length"]),
        "code": counts["code"],
        "questions": counts["questions"],
        "links": counts["links"],
    }
    features |= {name: np.where(enough, values, np.nan) for name, values in what.items()}
    return RoleFeatures(np.stack(list(features.values()), axis=1), tuple(features), total.astype(np.int64))


def _counts(log: ForumLog) -> dict[str, Floats]:
    """Sums and means of each agent's contributions [agents] by name."""
    import polars as pl

    gap = pl.col("time").diff().over("agent", order_by="time")
    text = pl.col("text")
    told = log.contributions.select(
        "agent", "time", "community", (pl.col("kind") == "post").alias("post"), gap.alias("gap"),
        text.str.len_bytes().alias("length"), text.str.contains("```", literal=True).alias("code"),
        text.str.contains("?", literal=True).alias("question"), text.str.contains("://", literal=True).alias("link"),
    )  # fmt: skip
    groups = told.group_by("agent").agg(
        pl.col("post").sum().alias("posts"), (~pl.col("post")).sum().alias("comments"),
        ((pl.col("time").max() - pl.col("time").min()) / DAY).alias("days"),
        pl.col("community").n_unique().alias("communities"),
        (-(pl.col("gap").std() / pl.col("gap").mean())).alias("evenness"),
        ((pl.col("time") % DAY) < DAY / 3).mean().alias("night"), pl.col("length").mean(),
        pl.col("code").mean(), pl.col("question").mean().alias("questions"), pl.col("link").mean().alias("links"),
    )  # fmt: skip
    agent = groups.get_column("agent").to_numpy()
    found = {}
    for name in groups.columns[1:]:
        found[name] = np.zeros(log.count)
        found[name][agent] = groups.get_column(name).cast(pl.Float64).fill_null(0.0).fill_nan(0.0).to_numpy()
    return found


def _mixtures(log: ForumLog, total: Floats, seed: int, topics: int) -> Floats:
    """Share of each topic in each agent's texts [agents, topics]."""
    from sklearn.decomposition import LatentDirichletAllocation

    words = _words(log)
    fitted = np.argsort(-total, kind="stable")[:FITTED]
    model = LatentDirichletAllocation(topics, learning_method="batch", max_iter=5, random_state=seed)
    model.fit(words[fitted])
    share = model.components_ / model.components_.sum(axis=1, keepdims=True)
    return _folded(words, share.astype(np.float32), prior=1 / topics)


def _words(log: ForumLog) -> Any:
    """How often each agent wrote each of the most frequent words: sparse [agents, words]."""
    from scipy.sparse import coo_array

    frame, tokens = log.contributions, log.tokens
    often = np.bincount(tokens.word, minlength=len(tokens.names)) * ~tokens.stop
    kept = np.argsort(-often, kind="stable")[:VOCABULARY]
    place = np.full(len(tokens.names), -1, np.int32)
    place[kept] = np.arange(len(kept))
    column = place[tokens.word]
    used = column >= 0
    agent = frame.get_column("agent").to_numpy()[tokens.text[used]]
    ones = np.ones(len(agent), np.float32)
    return coo_array((ones, (agent, column[used])), shape=(log.count, max(1, len(kept)))).tocsr()


def _folded(words: Any, share: NDArray[np.float32], prior: float, rounds: int = 4, block: int = 400_000) -> Floats:
    """Mixtures of all agents under fixed topics, by expectation maximisation over blocks of agents."""
    count, topics = words.shape[0], share.shape[0]
    found = np.full((count, topics), 1 / topics)
    by_word = np.ascontiguousarray(share.T)
    edges = np.unique(np.searchsorted(words.indptr, np.arange(0, words.nnz + block, block)).clip(0, count))
    for low, high in zip(edges[:-1], np.r_[edges[1:-1], count], strict=True):
        part = words[low:high]
        row = np.repeat(np.arange(high - low), np.diff(part.indptr))
        likely = by_word[part.indices]
        mixture = np.full((high - low, topics), 1 / topics, np.float32)
        for _ in range(rounds):
            weight = likely * mixture[row]
            weight *= (part.data / np.maximum(weight.sum(axis=1), 1e-12))[:, None]
            sums = (
                np.add.reduceat(weight, np.minimum(part.indptr[:-1], max(0, len(row) - 1)), axis=0) if len(row) else 0
            )
            mixture = np.where(np.diff(part.indptr)[:, None] > 0, sums, 0) + prior
            mixture /= mixture.sum(axis=1, keepdims=True)
        found[low:high] = mixture
    return found


def _entropy(shares: Floats) -> Floats:
    """Entropy of each row in nats."""
    return np.asarray(-(shares * np.log(np.maximum(shares, 1e-12))).sum(axis=1))
