"""The information dependency graph: which steps carry a result, how much hangs on each, how far apart they are.

A usage graph says who used what; this module measures it. The measures are those of GraphTracer's page (arXiv
2510.10581, withdrawn by its authors: the graph idea is used, none of its numbers).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shoal.diagnosis.usage import UsageGraph

BALANCE = 0.5
"""Weight of out-degree in Impact, alpha; the rest is betweenness. The paper does not report it."""
MOST_SOURCES = 256
"""Nodes from which shortest paths are counted; larger graphs are sampled."""
EXACT_REACH = 2000
"""Steps up to which the reach of each is counted exactly."""

Floats = NDArray[np.float64]


def artefacts(graph: UsageGraph, terminal: int | None = None) -> NDArray[np.bool_]:
    """Steps that a later step uses, and the terminal [steps]: the nodes of the information dependency graph."""
    kept = np.array([bool(graph.children(step)) for step in range(graph.size)], dtype=bool)
    if terminal is not None:
        kept[terminal] = True
    return kept


def impact(graph: UsageGraph, between: Floats | None = None, balance: float = BALANCE) -> Floats:
    """Structural importance of each step [steps], in [0, 1].

    ``balance`` times out-degree plus the rest times betweenness, both min-max scaled over the steps.

    Args:
        graph: who used what.
        between: betweenness of each step, if it is known already.
        balance: alpha, in [0, 1].
    """
    uses = np.array([len(graph.children(step)) for step in range(graph.size)], dtype=float)
    return balance * _scaled(uses) + (1 - balance) * _scaled(betweenness(graph) if between is None else between)


def betweenness(graph: UsageGraph, most_sources: int = MOST_SOURCES, seed: int = 0) -> Floats:
    """Shortest-path betweenness of each step [steps], not normalised (Brandes 2001, all sources at once).

    Steps are in topological order, so two passes over them do: distances and path counts forwards, dependencies
    backwards, each for all sources together. Above ``most_sources`` steps that many sources are drawn and the sums
    are scaled up.
    """
    size = graph.size
    if size > most_sources:
        sources = np.sort(np.random.default_rng(seed).choice(size, most_sources, replace=False))
    else:
        sources = np.arange(size)
    far = np.iinfo(np.int32).max - 1
    distance = np.full((size, len(sources)), far, np.int32)
    paths = np.zeros((size, len(sources)))
    distance[sources, np.arange(len(sources))] = 0
    paths[sources, np.arange(len(sources))] = 1.0
    parents = [np.array([e.source for e in graph.parents(step)], int) for step in range(size)]
    for step, above in enumerate(parents):
        if above.size:
            own = distance[step] == 0
            through = np.where(distance[above] < far, distance[above] + 1, far)
            nearest = through.min(axis=0)
            counted = np.where((through == nearest) & (nearest < far), paths[above], 0.0).sum(axis=0)
            distance[step] = np.where(own, 0, nearest)
            paths[step] = np.where(own, 1.0, counted)
    dependency = np.zeros((size, len(sources)))
    for step in range(size - 1, -1, -1):
        above = parents[step]
        if above.size:
            share = (1.0 + dependency[step]) / np.maximum(paths[step], 1.0)
            on_path = (distance[above] + 1 == distance[step]) & (paths[step] > 0)
            dependency[above] += np.where(on_path, paths[above] * share, 0.0)
    dependency[sources, np.arange(len(sources))] = 0.0  # a path does not lie between its own ends
    total: Floats = dependency.sum(axis=1) * (size / max(1, len(sources)))
    return total


def reach(graph: UsageGraph, towards: int | None) -> Floats:
    """How much was made from each step [steps], in [0, 1]: half its descendants, half whether the final step is one."""
    if graph.size <= EXACT_REACH:
        below = np.array([len(graph.descendants(i)) for i in range(graph.size)], dtype=float)
    else:  # an upper bound in one pass: steps that are reached on several ways count several times
        below = np.zeros(graph.size)
        for step in range(graph.size - 1, -1, -1):
            below[step] = min(graph.size, sum(1.0 + below[e.target] for e in graph.children(step)))
    below = below / below.max() if graph.size and below.max() > 0 else below
    if towards is None:
        return below
    above = graph.ancestors(towards) | {towards}
    return 0.5 * below + 0.5 * np.array([float(i in above) for i in range(graph.size)])


def distances(graph: UsageGraph) -> Floats:
    """Edges between any two steps [steps, steps], whatever their direction; infinite where nothing connects them."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import shortest_path

    sources = [e.source for e in graph.edges]
    targets = [e.target for e in graph.edges]
    links = coo_array((np.ones(len(sources)), (sources, targets)), shape=(graph.size, graph.size)).tocsr()
    found: Floats = shortest_path(links, directed=False, unweighted=True)
    return found


def ways(graph: UsageGraph, terminal: int) -> list[list[int]]:
    """The way with the fewest edges from each step to the terminal [steps]; empty where there is none."""
    following = {terminal: terminal}
    layer = [terminal]
    while layer:
        found = []
        for step in layer:
            for edge in graph.parents(step):
                if edge.source not in following:
                    following[edge.source] = step
                    found.append(edge.source)
        layer = found
    return [_way(step, following, terminal) for step in range(graph.size)]


def overlap(predicted: list[int], true: list[int]) -> float:
    """F1 of two ways as sets of steps, in [0, 1]; 0 where either is empty."""
    if not predicted or not true:
        return 0.0
    return 2 * len({*predicted} & {*true}) / (len(predicted) + len(true))


def _way(step: int, following: dict[int, int], terminal: int) -> list[int]:
    if step not in following:
        return []
    way = [step]
    while way[-1] != terminal:
        way.append(following[way[-1]])
    return way


def _scaled(values: Floats) -> Floats:
    spread = float(values.max() - values.min()) if values.size else 0.0
    return (values - values.min()) / spread if spread > 0 else np.zeros_like(values)
