"""A directed graph in layers along its flow, after Sugiyama, Tagawa and Toda (1981).

Edges that close a loop are taken out, the rest is layered by longest paths, and the order within a layer follows the
mean of the neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise

SWEEPS = 12
"""Rounds in which layers are ordered."""

Name = str
Item = str | tuple[int, int]
"""A box, or the place where edge number i passes layer j."""


@dataclass
class Layers:
    """The graph while it is laid out.

    Attributes:
        edges: (source, target), all of them.
        loops: numbers of the edges that lead back.
        layer: of each item.
        rows: items of each layer, in their order across.
        before, after: neighbours of an item in the layers beside its own.
    """

    edges: Sequence[tuple[Name, Name]]
    loops: set[int]
    layer: dict[Item, int]
    rows: list[list[Item]] = field(default_factory=list)
    before: dict[Item, list[Item]] = field(default_factory=dict)
    after: dict[Item, list[Item]] = field(default_factory=dict)

    def path(self, number: int) -> list[Item]:
        """The items that a forward edge connects, layer by layer."""
        source, target = self.edges[number]
        between = range(self.layer[source] + 1, self.layer[target])
        return [source, *((number, layer) for layer in between), target]


def layered(edges: Sequence[tuple[Name, Name]]) -> Layers:
    """Layers by longest paths, put in order; a source that is needed late stands right before its first target."""
    import networkx as nx

    loops = _closing(edges)
    graph: nx.DiGraph[Name] = nx.DiGraph()
    graph.add_nodes_from(name for edge in edges for name in edge)
    graph.add_edges_from(edge for number, edge in enumerate(edges) if number not in loops)
    layer: dict[Item, int] = {}
    for depth, names in enumerate(nx.topological_generations(graph)):
        layer |= dict.fromkeys(names, depth)
    for name in graph:
        if graph.in_degree(name) == 0 and graph.out_degree(name) > 0:
            layer[name] = min(layer[target] for target in graph.successors(name)) - 1
    layers = Layers(edges, loops, layer)
    for number in set(range(len(edges))) - loops:
        path = layers.path(number)
        for one, two in pairwise(path):
            layers.after.setdefault(one, []).append(two)
            layers.before.setdefault(two, []).append(one)
        layer |= {item: item[1] for item in path if not isinstance(item, str)}
    layers.rows = [[item for item, at in layer.items() if at == depth] for depth in range(max(layer.values()) + 1)]
    _order(layers)
    return layers


def _closing(edges: Sequence[tuple[Name, Name]]) -> set[int]:
    """Numbers of the edges that close a loop: those before it already lead from its target to its source."""
    leaving: dict[Name, set[Name]] = {}
    found: set[int] = set()
    for number, (source, target) in enumerate(edges):
        reached, new = {target}, {target}
        while new:
            new = set().union(*(leaving.get(name, ()) for name in new)) - reached
            reached |= new
        if source in reached:
            found.add(number)
        else:
            leaving.setdefault(source, set()).add(target)
    return found


def _order(layers: Layers) -> None:
    """Order within layers: by the mean place of neighbours, back and forth, or its mirror image; then by swaps."""
    tried = [[list(row) for row in layers.rows]]
    for sweep in range(SWEEPS):
        neighbours = layers.before if sweep % 2 == 0 else layers.after
        for row in layers.rows if sweep % 2 == 0 else reversed(layers.rows):
            place = _places(layers.rows)
            means = {item: mean([place[n] for n in neighbours.get(item, [])], place[item]) for item in row}
            row.sort(key=means.__getitem__)
        tried += [[list(row) for row in layers.rows], [row[::-1] for row in layers.rows]]
    layers.rows = min(tried, key=lambda rows: _tangle(layers, rows))
    while _untangled(layers):
        pass


def _untangled(layers: Layers) -> bool:
    """Swap two items of a layer if that is better; False where no swap is."""
    now = _tangle(layers, layers.rows)
    for row in layers.rows:
        for one, two in combinations(range(len(row)), 2):
            row[one], row[two] = row[two], row[one]
            if _tangle(layers, layers.rows) < now:
                return True
            row[one], row[two] = row[two], row[one]
    return False


def _tangle(layers: Layers, rows: Sequence[Sequence[Item]]) -> int:
    """Crossings, and ends of loops at boxes that are not the outermost of their layer."""
    place = _places(rows)
    count = sum(rows[layers.layer[name]][-1] != name for number in layers.loops for name in layers.edges[number])
    for row in rows:
        lines = [(place[one], place[two]) for one in row for two in layers.after.get(one, [])]
        count += sum((a - c) * (b - d) < 0 for (a, b), (c, d) in combinations(lines, 2))
    return count


def _places(rows: Sequence[Sequence[Item]]) -> dict[Item, float]:
    """Of each item in its layer, from 0 to 1."""
    return {item: (place + 0.5) / len(row) for row in rows for place, item in enumerate(row)}


def mean(values: Sequence[float], otherwise: float) -> float:
    """Of the values, where there are any."""
    return sum(values) / len(values) if values else otherwise
