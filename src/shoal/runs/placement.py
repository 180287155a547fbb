"""Places for the boxes, lines and labels of a directed graph.

One axis runs *along* the flow, the other lies *across* it, so that the same placement serves a drawing from left to
right and one from top to bottom. Loops return beside the boxes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from shoal.runs.layering import Item, Layers, Name, layered, mean

GAP = 36.0
"""Least distance of two layers along the flow, in pixels, as all lengths here."""
SPACING = 16.0
"""Least distance of two boxes of a layer."""
CLEARANCE = 16.0
"""Distance of a returning line from what it goes round."""
PULLS = 100
"""Rounds in which boxes move to their neighbours."""

Point = tuple[float, float]
"""(along, across)"""


@dataclass(frozen=True)
class Box:
    """Centre and half size of a node."""

    along: float
    across: float
    length: float
    breadth: float


@dataclass(frozen=True)
class Route:
    """An edge as drawn.

    Attributes:
        points: a forward edge bends between the points 0 and 1, 2 and 3, ... and is straight between the others; a loop
            is straight throughout and turns at its points.
        label: centre of its label.
        loop: whether it leads back.
    """

    points: tuple[Point, ...]
    label: Point
    loop: bool


@dataclass
class Layout:
    """Boxes by name, and one route for each edge in the order given."""

    boxes: dict[Name, Box]
    routes: list[Route]


def lay_out(edges: Sequence[tuple[Name, Name]], sizes: Mapping[Name, Point], labels: Sequence[Point]) -> Layout:
    """Places for all boxes, lines and labels; boxes are disjoint, and lines keep clear of boxes.

    Args:
        edges: (source, target) of each edge; unique.
        sizes: length along and breadth across of each box; all boxes of a layer get the length of its longest.
        labels: length and breadth of each edge's label; (0, 0) where there is none.
    """
    layers = layered(edges)
    breadths: dict[Item, float] = {
        item: sizes[item][1] if isinstance(item, str) else labels[item[0]][1] or 4.0 for item in layers.layer
    }
    across = _across(layers, breadths)
    spans = _spans(layers, sizes, labels)
    boxes = {
        item: Box(sum(spans[layer]) / 2, across[item], spans[layer][1] - spans[layer][0], breadths[item])
        for item, layer in layers.layer.items()
        if isinstance(item, str)
    }
    ports = _ports(layers, across, boxes)
    routes: dict[int, Route] = {}
    taken: list[tuple[float, float, float, float]] = []
    for number in range(len(edges)):
        if number not in layers.loops:
            points = _forward(layers.path(number), number, layers, across, spans, ports)
            routes[number] = Route(points, _label_place(points, labels[number], taken), loop=False)
    routes |= _loops(layers, boxes, across, breadths, spans, labels)
    return Layout(boxes, [routes[number] for number in range(len(edges))])


def _across(layers: Layers, breadths: Mapping[Item, float]) -> dict[Item, float]:
    """Centres across the flow: each item is drawn to the mean of its neighbours, as far as the others leave room."""
    centre: dict[Item, float] = dict.fromkeys(layers.layer, 0.0)
    for _ in range(PULLS):
        for row in [*layers.rows, *reversed(layers.rows)]:
            pulls = [[centre[n] for n in _pulling(layers, item)] for item in row]
            wanted = [mean(pull, centre[item]) for item, pull in zip(row, pulls, strict=True)]
            weights = [len(pull) or 1 for pull in pulls]
            for item, place in zip(row, _apart(wanted, weights, [breadths[item] for item in row]), strict=True):
                centre[item] = place
    return centre


def _pulling(layers: Layers, item: Item) -> list[Item]:
    """The neighbours that draw an item; passing lines pull each other eight times as hard: they get straight."""
    beside = [*layers.before.get(item, []), *layers.after.get(item, [])]
    lines = [] if isinstance(item, str) else [n for n in beside if not isinstance(n, str)]
    return [*beside, *(7 * lines)]


def _apart(wanted: Sequence[float], weights: Sequence[int], breadths: Sequence[float]) -> list[float]:
    """The places nearest to the wanted ones (weighted least squares) at which items of these breadths do not touch.

    The order is kept: with the breadths taken out this is isotonic regression, solved by pooling neighbours.
    """
    offsets = [0.0]
    for one, two in pairwise(breadths):
        offsets.append(offsets[-1] + (one + two) / 2 + SPACING)
    pools: list[tuple[float, int, int]] = []
    for want, weight, offset in zip(wanted, weights, offsets, strict=True):
        level, count = want - offset, 1
        while pools and pools[-1][0] > level:
            other, others, more = pools.pop()
            level = (level * weight + other * others) / (weight + others)
            weight, count = weight + others, count + more
        pools.append((level, weight, count))
    levels = [level for level, _, count in pools for _ in range(count)]
    return [level + offset for level, offset in zip(levels, offsets, strict=True)]


def _spans(layers: Layers, sizes: Mapping[Name, Point], labels: Sequence[Point]) -> list[Point]:
    """Start and end of each layer along the flow; gaps leave room for the labels in them."""
    gaps = [GAP] * len(layers.rows)
    for depth in range(len(gaps)):
        here = [labels[n] for n, (source, _) in enumerate(layers.edges) if n not in layers.loops
                and layers.layer[source] == depth and labels[n][0]]  # fmt: skip
        if here:
            lengths = [length for length, _ in here]
            # Labels that are broad across the flow would touch side by side: there is room to put one after another.
            gaps[depth] += (sum(lengths) if here[0][1] > here[0][0] else max(lengths)) - 6
    spans, at = [], 0.0
    for row, gap in zip(layers.rows, gaps, strict=True):
        length = max((sizes[item][0] for item in row if isinstance(item, str)), default=0.0)
        spans.append((at, at + length))
        at += length + gap
    return spans


def _ports(layers: Layers, across: Mapping[Item, float], boxes: Mapping[Name, Box]) -> dict[tuple[int, Name], float]:
    """Where forward edges meet a side of a box, (edge, box) -> across: spread in the order of where they lead."""
    ports: dict[tuple[int, Name], float] = {}
    for name, box in boxes.items():
        paths = {n: layers.path(n) for n, edge in enumerate(layers.edges) if n not in layers.loops and name in edge}
        for side in (0, -1):
            here = [(across[path[1 if side == 0 else -2]], n) for n, path in paths.items() if path[side] == name]
            step = min(14.0, 0.7 * box.breadth / max(len(here), 1))
            for place, (_, number) in enumerate(sorted(here)):
                ports[number, name] = box.across + step * (place - (len(here) - 1) / 2)
    return ports


def _forward(
    path: Sequence[Item],
    number: int,
    layers: Layers,
    across: Mapping[Item, float],
    spans: Sequence[Point],
    ports: Mapping[tuple[int, Name], float],
) -> tuple[Point, ...]:
    points: list[Point] = []
    for item in path:
        start, end = spans[layers.layer[item]]
        if isinstance(item, str):
            points.append((end if item == path[0] else start, ports[number, item]))
        else:
            points += [(start, across[item]), (end, across[item])]
    return tuple(points)


def _label_place(points: Sequence[Point], size: Point, taken: list[tuple[float, float, float, float]]) -> Point:
    """A place on the first bend of an edge that no other label has taken."""
    (x1, y1), (x2, y2) = points[:2]
    if not size[0]:
        return (x1 + x2) / 2, (y1 + y2) / 2
    length, breadth = size
    for part in (0.5, 0.42, 0.58, 0.34, 0.66, 0.26, 0.74):
        bend = part * part * (3 - 2 * part)
        x, y = x1 + part * (x2 - x1), y1 + bend * (y2 - y1)
        area = (x - length / 2, y - breadth / 2, x + length / 2, y + breadth / 2)
        if not any(a < area[2] and area[0] < c and b < area[3] and area[1] < d for a, b, c, d in taken):
            break
    taken.append(area)
    return x, y


def _loops(
    layers: Layers,
    boxes: Mapping[Name, Box],
    across: Mapping[Item, float],
    breadths: Mapping[Item, float],
    spans: Sequence[Point],
    labels: Sequence[Point],
) -> dict[int, Route]:
    """Loops return beyond all boxes that they pass; short ones inside long ones."""
    ends = _loop_ends(layers, boxes, spans)
    edge_of = [max(across[item] + breadths[item] / 2 for item in row) for row in layers.rows]
    routes: dict[int, Route] = {}
    lanes: list[tuple[float, float, float]] = []
    for number in sorted(ends, key=lambda n: (abs(ends[n][0][0] - ends[n][1][0]), n)):
        (leaves, level), (enters, target_level) = ends[number]
        source, target = layers.edges[number]
        low, high = min(leaves, enters), max(leaves, enters)
        passed = edge_of[layers.layer[target] : layers.layer[source] + 1]
        passed += [lane for start, end, lane in lanes if start < high + 8 and low - 8 < end]
        lane = max(passed) + CLEARANCE + labels[number][1]
        lanes.append((low, high, lane))
        points = [(leaves, level), (leaves, lane), (enters, lane), (enters, target_level)]
        if not _outermost(source, layers):
            points.insert(0, (boxes[source].along + boxes[source].length / 2, level))
        if not _outermost(target, layers):
            points.append((boxes[target].along - boxes[target].length / 2, target_level))
        middle = ((low + high) / 2, lane - labels[number][1] / 2 - 5)
        routes[number] = Route(tuple(points), middle, loop=True)
    return routes


def _outermost(name: Name, layers: Layers) -> bool:
    return layers.rows[layers.layer[name]][-1] == name


def _loop_ends(layers: Layers, boxes: Mapping[Name, Box], spans: Sequence[Point]) -> dict[int, tuple[Point, Point]]:
    """Where each loop leaves its source and enters its target.

    At the free side of a box at the border; loops there are ordered so that they do not cross: those that leave first,
    short before long, then those that enter, long before short. A box inside a layer is left and entered through the
    gaps before and after its layer.
    """
    ends: dict[int, list[Point]] = {number: [(0.0, 0.0), (0.0, 0.0)] for number in layers.loops}

    def span(number: int) -> tuple[int, bool]:
        source, target = layers.edges[number]
        return layers.layer[source] - layers.layer[target], not _outermost(target, layers)

    for name, box in boxes.items():
        leaving = sorted((n for n in layers.loops if layers.edges[n][0] == name), key=span)
        entering = sorted((n for n in layers.loops if layers.edges[n][1] == name), key=span, reverse=True)
        here = [(n, 0) for n in leaving] + [(n, 1) for n in entering]
        for place, (number, end) in enumerate(here):
            if _outermost(name, layers):
                along = box.along + box.length * ((place + 1) / (len(here) + 1) - 0.5)
                ends[number][end] = (along, box.across + box.breadth / 2)
            else:
                start, stop = spans[layers.layer[name]]
                ends[number][end] = (stop + GAP / 3, box.across) if end == 0 else (start - GAP / 3, box.across)
    return {number: (leaves, enters) for number, (leaves, enters) in ends.items()}
