"""The graphs that agents talk over: three random families, paths and rings; connected, named, with their diameter.

Families as in AgentsNet (arXiv 2507.08616): connected Watts-Strogatz (k = 4, rewiring .4), Barabasi-Albert (m = 2) and
Delaunay triangulations of uniform points. Every generator takes its own seed and leaves global random state alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError, UnknownName
from shoal.runs.seeds import derive
from shoal.teams.message_passing.names import draw_names

REWIRING = 0.4
RING_NEIGHBOURS = 4
ATTACHMENTS = 2

Edges = Iterable[tuple[int, int]]


@dataclass(frozen=True)
class Graph:
    """A connected, undirected graph without loops on nodes 0..n-1.

    Attributes:
        family: which generator made it ("WS", "BA", "DT", "path", "ring", "edges").
        neighbours: the sorted neighbours of each node.
        names: one distinct name per node; all that an agent ever sees of a node.
        diameter: longest shortest path, in hops.
    """

    family: str
    neighbours: tuple[tuple[int, ...], ...]
    names: tuple[str, ...]
    diameter: int

    @property
    def n(self) -> int:
        """Number of nodes."""
        return len(self.neighbours)

    @cached_property
    def max_degree(self) -> int:
        """Largest number of neighbours."""
        return max(len(around) for around in self.neighbours)

    @cached_property
    def edges(self) -> NDArray[np.intp]:
        """Edges [m, 2], each once, lower node first."""
        pairs = [(u, v) for u, around in enumerate(self.neighbours) for v in around if u < v]
        return np.array(pairs, dtype=np.intp)

    @cached_property
    def adjacency(self) -> Any:
        """Adjacency as a scipy CSR array [n, n] of 0 and 1 (int32)."""
        return _sparse(self.n, self.edges)

    @cached_property
    def index(self) -> dict[str, int]:
        """Node of each name."""
        return {name: node for node, name in enumerate(self.names)}

    def renamed(self, seed: int) -> Graph:
        """The same graph with names drawn anew: the ablation for a model's liking of some names."""
        return replace(self, names=draw_names(self.n, seed))


def graph_from_edges(n: int, edges: Edges, *, seed: int = 0, family: str = "edges") -> Graph:
    """A named graph from its edges.

    Args:
        n: number of nodes, at least 2.
        edges: pairs of nodes in 0..n-1; direction and repeats are ignored.
        seed: of the names.
        family: what to call it.

    Raises:
        InputError: fewer than two nodes, no edges, a node outside 0..n-1, a loop, or a graph that is not connected:
            there scores divide by zero or no number of rounds suffices.
    """
    if n < 2:
        raise InputError("graph nodes", n, "Give at least 2 nodes: a single one has nobody to talk to.")
    pairs = [(int(u), int(v)) for u, v in edges]
    if not pairs:
        raise InputError("graph edges", pairs, "Give a connected graph: without edges no score is defined.")
    around: list[set[int]] = [set() for _ in range(n)]
    for u, v in pairs:
        if not (0 <= u < n and 0 <= v < n):
            raise InputError("graph edge", (u, v), f"Number the nodes 0..{n - 1}.")
        if u == v:
            raise InputError("graph edge", (u, v), "Leave out loops.")
        around[u].add(v)
        around[v].add(u)
    neighbours = tuple(tuple(sorted(s)) for s in around)
    return Graph(family, neighbours, draw_names(n, seed), _diameter(neighbours))


def make_graph(family: str, n: int, seed: int) -> Graph:
    """A graph of a family ("WS", "BA", "DT", "path" or "ring") with ``n`` nodes; names come from the same seed.

    Raises:
        UnknownName: no such family.
        InputError: ``n`` is below the family's smallest size.
    """
    if family not in FAMILIES:
        raise UnknownName("graph family", family, FAMILIES)
    smallest, generate = FAMILIES[family]
    if n < smallest:
        raise InputError(f"{family} nodes", n, f"Give at least {smallest}.")
    edges = generate(n, derive(seed, "graph", family, n))
    return graph_from_edges(n, edges, seed=derive(seed, "graph", family, n), family=family)


def _watts_strogatz(n: int, seed: int) -> Sequence[tuple[int, int]]:
    import networkx as nx

    if n <= RING_NEIGHBOURS + 1:
        # Every node already reaches every other; what the generator does here changes between library versions.
        return list(nx.complete_graph(n).edges)
    graph = nx.connected_watts_strogatz_graph(n, RING_NEIGHBOURS, REWIRING, tries=1000, seed=seed % 2**32)
    return list(graph.edges)


def _barabasi_albert(n: int, seed: int) -> Sequence[tuple[int, int]]:
    import networkx as nx

    return list(nx.barabasi_albert_graph(n, ATTACHMENTS, seed=seed % 2**32).edges)


def _delaunay(n: int, seed: int) -> Sequence[tuple[int, int]]:
    from scipy.spatial import Delaunay

    points = np.random.default_rng(seed).random((n, 2))
    corners = Delaunay(points).simplices
    pairs = np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [0, 2]]])
    return [(int(u), int(v)) for u, v in np.unique(np.sort(pairs, axis=1), axis=0)]


def _path(n: int, seed: int) -> Sequence[tuple[int, int]]:
    return [(i, i + 1) for i in range(n - 1)]


def _ring(n: int, seed: int) -> Sequence[tuple[int, int]]:
    return [(i, (i + 1) % n) for i in range(n)]


FAMILIES: dict[str, tuple[int, Callable[[int, int], Sequence[tuple[int, int]]]]] = {
    "WS": (3, _watts_strogatz),
    "BA": (3, _barabasi_albert),
    "DT": (3, _delaunay),
    "path": (2, _path),
    "ring": (3, _ring),
}
"""Smallest size and edge generator of each family."""


def _sparse(n: int, edges: NDArray[np.intp]) -> Any:
    from scipy.sparse import csr_array

    rows, columns = np.concatenate([edges, edges[:, ::-1]]).T
    return csr_array((np.ones(rows.size, np.int32), (rows, columns)), shape=(n, n))


def _diameter(neighbours: Sequence[Sequence[int]]) -> int:
    """Longest shortest path. Raises InputError for a graph that is not connected."""
    from scipy.sparse.csgraph import shortest_path

    edges = np.array([(u, v) for u, around in enumerate(neighbours) for v in around if u < v], dtype=np.intp)
    longest = float(shortest_path(_sparse(len(neighbours), edges), method="D", unweighted=True).max())
    if not np.isfinite(longest):
        raise InputError("graph", f"{len(neighbours)} nodes in parts", "Connect its parts: it has no diameter.")
    return int(longest)
