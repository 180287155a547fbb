"""Who answers whom: the weighted, directed graph of a forum, its centralities, and its degree-preserving null.

An edge i -> j says that i commented on j's post or replied to j's comment, as often as its weight says: i has read j.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shoal.diagnosis.forum.log import ForumLog

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Graph = Any
"""A scipy ``csr_array`` [agents, agents]; row i holds whom i answered and how often."""
SWAPS = 10
"""Attempted swaps per edge in a rewired graph."""


def interactions(log: ForumLog) -> csr_array[Any, Any]:
    """The interaction graph of a log; answers to oneself are left out."""
    import polars as pl

    to_post = log.posts.select(pl.col("id").alias("post"), pl.col("agent").alias("poster"))
    to_comment = log.comments.select(pl.col("id").alias("parent"), pl.col("agent").alias("commenter"))
    pairs = (
        log.comments.select("post", "parent", "agent")
        .join(to_post, on="post", how="left")
        .join(to_comment, on="parent", how="left")
        .select("agent", pl.coalesce("commenter", "poster").alias("target"))
        .filter(pl.col("agent") != pl.col("target"))
    )
    return graph_of(log.count, pairs.get_column("agent").to_numpy(), pairs.get_column("target").to_numpy())


def graph_of(count: int, sources: NDArray[Any], targets: NDArray[Any]) -> csr_array[Any, Any]:
    """The graph of pairs source -> target; a pair's weight is how often it occurs."""
    from scipy.sparse import coo_array

    ones = np.ones(len(sources))
    found: csr_array[Any, Any] = coo_array((ones, (sources, targets)), shape=(count, count)).tocsr()
    found.sum_duplicates()
    return found


def pagerank(graph: Graph, damping: float = 0.85, tolerance: float = 1e-10, most: int = 200) -> NDArray[np.float64]:
    """PageRank of each agent [agents], by weight; agents that answer nobody spread over all. Sums to 1."""
    count = graph.shape[0]
    strength = np.asarray(graph.sum(axis=1)).ravel()
    idle = strength == 0
    share = graph.multiply(1 / np.where(idle, 1, strength)[:, None]).T.tocsr()
    rank = np.full(count, 1 / count)
    for _ in range(most):
        new = damping * (share @ rank + rank[idle].sum() / count) + (1 - damping) / count
        if np.abs(new - rank).sum() < tolerance:
            return np.asarray(new)
        rank = new
    return np.asarray(rank)


def betweenness(graph: Graph, sources: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Betweenness of each agent [agents] over shortest paths from sampled sources (Brandes), scaled to all sources.

    Args:
        graph: directed; weights are ignored.
        sources: how many are drawn; all of them gives the exact value (not normalised).
        rng: draws the sources.
    """
    count = graph.shape[0]
    down = graph.astype(bool).astype(np.float32)
    up = down.T.tocsr()
    chosen = rng.choice(count, min(sources, count), replace=False)
    total = np.zeros(count)
    for block in np.array_split(chosen, -(-len(chosen) // 32)):
        total += _dependencies(down, up, block)
    return np.asarray(total * count / len(chosen))


def _dependencies(down: Graph, up: Graph, block: NDArray[np.int64]) -> NDArray[np.float64]:
    """Brandes' dependencies summed over a block of sources, all of them one level at a time."""
    count = down.shape[0]
    paths = np.zeros((count, len(block)), np.float32)
    paths[block, np.arange(len(block))] = 1
    levels = [paths > 0]
    seen = levels[0].copy()
    while True:
        reached = up @ np.where(levels[-1], paths, 0)
        new = (reached > 0) & ~seen
        if not new.any():
            break
        paths[new] = reached[new]
        seen |= new
        levels.append(new)
    dependency = np.zeros_like(paths)
    for level, above in zip(levels[:0:-1], levels[-2::-1], strict=True):
        flow = np.where(level, (1 + dependency) / np.where(level, paths, 1), 0)
        dependency += np.where(above, paths * (down @ flow), 0)
    dependency[block, np.arange(len(block))] = 0
    return np.asarray(dependency.sum(axis=1), float)


def rewired(graph: Graph, rng: np.random.Generator, swaps: int = SWAPS) -> csr_array[Any, Any]:
    """The graph with ends of edges exchanged at random: everybody keeps the number of edges in and out.

    Swaps are tried in rounds over disjoint pairs of edges; those that would make a loop or a double edge are left.
    """
    edges = graph.tocoo()
    source, target, count = edges.row.astype(np.int64), edges.col.astype(np.int64), graph.shape[0]
    for _ in range(swaps):
        order = rng.permutation(len(source) // 2 * 2)
        a, b = order[::2], order[1::2]
        first, second = source[a] * count + target[b], source[b] * count + target[a]
        both = np.concatenate([first, second])
        taken = np.isin(both, source * count + target)
        _, inverse, times = np.unique(both, return_inverse=True, return_counts=True)
        free = ~taken & (times[inverse] == 1)
        fine = free[: len(a)] & free[len(a) :] & (source[a] != target[b]) & (source[b] != target[a])
        target[a[fine]], target[b[fine]] = target[b[fine]], target[a[fine]]
    return graph_of(count, source, target)
