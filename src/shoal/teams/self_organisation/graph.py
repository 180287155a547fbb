"""The graph of who listens to whom (steps 4 to 6 of SelfOrg): edges, cycles, order.

Edges are arrays [..., source, target]. All functions take any leading axes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError, UnknownName
from shoal.teams.self_organisation.contribution import similarities

EdgeRule = Literal["paper", "code"]


@dataclass(frozen=True)
class Graph:
    """An acyclic graph over the team.

    Attributes:
        edges: whether source is heard by target [..., agents, agents].
        weights: strength of each edge, 0 where there is none [..., agents, agents].
        order: the agents in the order in which they speak [..., agents].
    """

    edges: NDArray[np.bool_]
    weights: NDArray[np.float64]
    order: NDArray[np.intp]


def paper_edges(
    cosines: NDArray[np.float64], psi: NDArray[np.float64], threshold: float
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Edges m -> n where cos >= threshold and psi_m > psi_n, and their weights, the cosines. Never cyclic."""
    edges = _candidates(cosines, threshold) & (psi[..., :, None] > psi[..., None, :])
    return edges, np.where(edges, cosines, 0.0)


def code_edges(
    cosines: NDArray[np.float64], psi: NDArray[np.float64], threshold: float, neighbours: int
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Edges by the released code: each target hears its best ``neighbours`` among those with cos >= threshold.

    Candidates j of target n are ranked by cos(j, n) * (1 + N * (psi_j - psi_n)), ties by id. A candidate may
    contribute less than the target does, so cycles are possible.

    Returns:
        Edges, and their weights max(0, rank value).
    """
    agents = psi.shape[-1]
    affinity = cosines * (1 + agents * (psi[..., :, None] - psi[..., None, :]))
    allowed = _candidates(cosines, threshold)
    key = np.where(allowed, -affinity, np.inf)
    rank = np.argsort(np.argsort(key, axis=-2, kind="stable"), axis=-2, kind="stable")
    edges = allowed & (rank < neighbours)
    return edges, np.where(edges, np.maximum(affinity, 0.0), 0.0)


def break_cycles(edges: NDArray[np.bool_], cost: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Remove one edge at a time until no cycle is left (step 5).

    The edge removed is the cheapest of all edges that lie on a cycle, ties by (source, target): the minimum of every
    cycle that it is on, so the result does not hang on which cycle a search happens to find first.

    Args:
        edges: [..., agents, agents].
        cost: what to lose first [..., agents, agents]. The code's rule: the edge weight. The paper's: psi_source -
            psi_target, which is least for the edge from a cycle's weakest member to its strongest.
    """
    shape = edges.shape
    left = edges.reshape(-1, *shape[-2:]).copy()
    price = np.broadcast_to(cost, shape).reshape(left.shape)
    active = np.arange(len(left))
    while active.size:
        looping = left[active] & np.swapaxes(_reaches(left[active]), -1, -2)
        cyclic = looping.any(axis=(-1, -2))
        active, looping = active[cyclic], looping[cyclic]
        if active.size:
            worst = np.where(looping, price[active], np.inf).reshape(active.size, -1).argmin(axis=-1)
            left.reshape(len(left), -1)[active, worst] = False
    return left.reshape(shape)


def topological_order(edges: NDArray[np.bool_], priority: NDArray[np.float64]) -> NDArray[np.intp]:
    """Kahn's order: among agents whose sources have all spoken, the highest priority first, ties by id (step 6).

    Taking the best available agent at each step is what a heap keyed (-priority, id) does; done for all leading axes
    at once.

    Raises:
        ValueError: a graph has a cycle.
    """
    agents = priority.shape[-1]
    flat = edges.reshape(-1, agents, agents)
    rank = np.broadcast_to(priority, edges.shape[:-1]).reshape(-1, agents)
    waiting = flat.sum(axis=1)
    placed = np.zeros(rank.shape, bool)
    order = np.empty(rank.shape, np.intp)
    row = np.arange(len(flat))
    for step in range(agents):
        free = (waiting == 0) & ~placed
        if not free.any(axis=1).all():
            raise ValueError("the graph has a cycle")
        chosen = np.where(free, rank, -np.inf).argmax(axis=1)
        order[:, step] = chosen
        placed[row, chosen] = True
        waiting = waiting - flat[row, chosen]
    return order.reshape(edges.shape[:-1])


def build_graph(
    embeddings: NDArray[np.float64],
    psi: NDArray[np.float64],
    *,
    rule: EdgeRule = "paper",
    threshold: float = -1.0,
    neighbours: int = 2,
) -> Graph:
    """Steps 4 to 6: edges by the rule, cycles broken by the same source's rule, speaking order."""
    if rule not in get_args(EdgeRule):
        raise UnknownName("rule", rule, get_args(EdgeRule))
    if neighbours < 1:
        raise InputError("neighbours", neighbours, "Give a whole number of at least 1.")
    cosines = similarities(embeddings)
    if rule == "paper":
        edges, weights = paper_edges(cosines, psi, threshold)
        cost = psi[..., :, None] - psi[..., None, :]
    else:
        edges, weights = code_edges(cosines, psi, threshold, neighbours)
        cost = weights
    edges = break_cycles(edges, cost)
    return Graph(edges, np.where(edges, weights, 0.0), topological_order(edges, psi))


def random_graph(edge_count: NDArray[np.int_], draws: NDArray[np.float64], order: NDArray[np.float64]) -> Graph:
    """A random acyclic graph with a given number of edges: the baseline for the topology.

    Args:
        edge_count: edges of each graph [questions], at most agents * (agents - 1) / 2.
        draws: uniform numbers [questions, agents * (agents - 1) / 2], which pick the edges.
        order: uniform numbers [questions, agents], which rank the agents; edges go down the ranking.
    """
    questions, agents = order.shape
    ranking = np.argsort(order, axis=1)
    first, second = np.triu_indices(agents, 1)
    kept = np.argsort(np.argsort(draws, axis=1), axis=1) < edge_count[:, None]
    edges = np.zeros((questions, agents, agents), bool)
    row = np.arange(questions)[:, None]
    edges[row, ranking[:, first], ranking[:, second]] = kept
    return Graph(edges, edges.astype(float), ranking)


def calibrated_threshold(embeddings: NDArray[np.float64], quantile: float) -> float:
    """The similarity that a share ``quantile`` of the pairs of answers to the same question stays below.

    Args:
        embeddings: rows [..., agents, dimensions]; pairs are taken within the last two axes, empty answers left out.
        quantile: in [0, 1].

    Returns:
        The threshold; -1 (off) where there is no pair.

    Raises:
        InputError: a quantile outside [0, 1].
    """
    if not 0 <= quantile <= 1:
        raise InputError("threshold quantile", quantile, "Give a number from 0 to 1.")
    agents = embeddings.shape[-2]
    first, second = np.triu_indices(agents, 1)
    given = np.linalg.norm(embeddings, axis=-1) > 0
    cosines = similarities(embeddings)[..., first, second][given[..., first] & given[..., second]]
    return float(np.quantile(cosines, quantile)) if cosines.size else -1.0


def resolve_threshold(setting: float | str, embeddings: NDArray[np.float64]) -> tuple[float, str]:
    """The similarity threshold tau for these answers, and a warning where it decides nothing (empty if fine).

    Args:
        setting: a cosine in [-1, 1] (-1 is off), or "quantile:Q" to calibrate it on the answers themselves.
        embeddings: rows [..., agents, dimensions] of the answers at hand.

    Raises:
        InputError: a threshold that is neither.
    """
    if isinstance(setting, str):
        kind, _, value = setting.partition(":")
        try:
            quantile = float(value)
        except ValueError:
            quantile = -1.0
        if kind != "quantile" or not 0 <= quantile <= 1:
            raise InputError("threshold", setting, 'Give a cosine from -1 to 1, or "quantile:Q" with Q from 0 to 1.')
        return calibrated_threshold(embeddings, quantile), ""
    if not -1 <= setting <= 1:
        raise InputError("threshold", setting, 'Give a cosine from -1 to 1, or "quantile:Q" with Q from 0 to 1.')
    if setting == -1:
        return -1.0, ""
    first, second = np.triu_indices(embeddings.shape[-2], 1)
    cosines = similarities(embeddings)[..., first, second]
    if cosines.size:
        share = float((cosines >= setting).mean())
        if share in (0.0, 1.0):
            which = "every pair" if share else "no pair"
            return float(setting), (
                f"threshold {setting:g} admits {which} of answers with this embedder "
                f"(cosines {cosines.min():.2f} to {cosines.max():.2f}); calibrate it, as in quantile:0.5"
            )
    return float(setting), ""


def _candidates(cosines: NDArray[np.float64], threshold: float) -> NDArray[np.bool_]:
    """Pairs (source, target) that may be joined: similar enough, not the same agent, and the source said something."""
    speaks = np.diagonal(cosines, axis1=-2, axis2=-1) > 0
    return np.asarray((cosines >= threshold) & speaks[..., :, None] & ~np.eye(cosines.shape[-1], dtype=bool))


def _reaches(edges: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether a path of at least one edge leads from source to target [n, agents, agents]."""
    reach = edges.astype(np.float32)
    length = 1
    while length < edges.shape[-1]:
        reach = np.minimum(reach + reach @ reach, 1.0)
        length *= 2
    return reach > 0
