"""Windows of a trace: single events with arrows where there are few, counts per lane and bin where there are many.

What a window sends is bounded, whatever the trace holds: at most MOST_EVENTS events and MOST_ARROWS arrows, or
MOST_LANES lanes times the asked bins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntFlag
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from shoal.ui.trace_index import Document, Positions, Selection, TraceIndex

MOST_EVENTS = 1500
MOST_ARROWS = 3000
MOST_LANES = 40
"""The agents with the most events; all others share one more lane."""
MOST_BINS = 400

Axis = Literal["step", "time"]


class Mark(IntFlag):
    """Why an event is lit."""

    ANCESTOR = 1
    DESCENDANT = 2
    CHOSEN = 4
    PATH = 8
    MATCH = 16


@dataclass(frozen=True)
class Lit:
    """What is lit in the lanes.

    Attributes:
        event: position of the chosen event, its ancestors and descendants lit with it; None for none.
        path: positions of the suspected failure path, from cause to end.
        text: words that are searched for.
    """

    event: int | None = None
    path: tuple[int, ...] = ()
    text: str = ""


@dataclass(frozen=True)
class Window:
    """A stretch of the axis.

    Attributes:
        axis: "step" counts the events of the part in the order in which they were written; "time" is in seconds since
            the part's first event.
        start: first value shown; None for the beginning.
        end: last value shown; None for the end.
        bins: counts per lane where there are too many events to show.
    """

    axis: Axis = "step"
    start: float | None = None
    end: float | None = None
    bins: int = 200


@dataclass(frozen=True)
class Lanes:
    """The lanes of a part of a trace.

    Attributes:
        names: of the agents, the busiest where there are too many.
        counts: events of each lane, those out of the window included.
        lane: lane of each agent of the index [agents]; -1 for agents that do not occur.
        others: how many agents share the last lane; 0 if each has its own.
    """

    names: list[str]
    counts: list[int]
    lane: NDArray[np.int64]
    others: int


def lanes_of(index: TraceIndex, places: Positions) -> Lanes:
    """One lane for each agent that occurs at these places, in order of first appearance."""
    counts = np.bincount(index.agent[places], minlength=len(index.agents))
    present = np.flatnonzero(counts)
    own = present
    if len(present) > MOST_LANES:
        own = np.sort(present[np.argsort(-counts[present], kind="stable")[: MOST_LANES - 1]])
    lane = np.full(len(index.agents), -1)
    lane[present] = len(own)
    lane[own] = np.arange(len(own))
    others = len(present) - len(own)
    names = [index.agents[i] or "(run)" for i in own.tolist()]
    sizes = counts[own].tolist()
    if others:
        names.append(f"{others} other agents")
        sizes.append(int(counts.sum()) - sum(sizes))
    return Lanes(names, sizes, lane, others)


def coordinates(index: TraceIndex, part: str, axis: Axis) -> NDArray[np.float64]:
    """Where each event of a part lies on an axis [events]; NaN for events of other parts."""
    places = index.of_part(part)
    where = np.full(len(index), np.nan)
    if axis == "step":
        where[places] = np.arange(len(places))
    elif len(places):
        where[places] = index.moment[places] - index.moment[places].min()
    return where


def window_document(index: TraceIndex, selection: Selection, window: Window, lit: Lit) -> Document:
    """What a window shows.

    Returns:
        ``form`` "events": ``events`` as [position, lane, place on the axis, kind, marks] and ``arrows`` as [place,
        lane, place, lane, marks], parent to child. ``form`` "bins": ``cells`` as [lane, bin, events, ancestors,
        descendants, on the path, matches], empty cells left out; their events sum up to ``total``.

    Raises:
        UnknownName: no such part or event.
    """
    where = coordinates(index, selection.part, window.axis)
    whole = where[index.of_part(selection.part)]
    span = (float(whole.min()), float(whole.max())) if len(whole) else (0.0, 0.0)
    start = span[0] if window.start is None else window.start
    end = max(start, span[1] if window.end is None else window.end)
    chosen = index.mask(selection)
    lanes = lanes_of(index, np.flatnonzero(chosen))
    inside = np.flatnonzero(chosen & (where >= start) & (where <= end))
    marks = marked(index, lit)
    document: Document = {
        "axis": window.axis, "start": start, "end": end, "span": span, "total": len(inside),
        "matching": int(chosen.sum()), "kinds": index.kinds, "other_agents": lanes.others,
        "lanes": [{"name": n, "events": c} for n, c in zip(lanes.names, lanes.counts, strict=True)],
        "chosen": _chosen(index, lanes, where, lit.event),
    }  # fmt: skip
    if len(inside) > MOST_EVENTS:
        bins = min(max(1, window.bins), MOST_BINS)
        cells = binned(lanes.lane[index.agent[inside]], where[inside], marks[inside], start, end, bins)
        told = _told_arrows(index, lit, chosen)
        return document | {"form": "bins", "bins": bins, "cells": cells, "arrows": _drawn(index, lanes, where, told)}
    told, left_out = _arrows_of(index, inside, chosen, marks, lit)
    events = zip(
        inside.tolist(), lanes.lane[index.agent[inside]].tolist(), where[inside].tolist(),
        index.kind[inside].tolist(), marks[inside].tolist(), strict=True,
    )  # fmt: skip
    return document | {
        "form": "events", "events": [list(e) for e in events], "arrows": _drawn(index, lanes, where, told),
        "arrows_left_out": left_out,
    }  # fmt: skip


def binned(
    lane: NDArray[np.int64], where: NDArray[np.float64], marks: NDArray[np.int64], start: float, end: float, bins: int
) -> list[list[int]]:
    """Counts per lane and bin: [lane, bin, events, ancestors, descendants, on the path, matches], without empty cells.

    Args:
        lane: of each event [events].
        where: place of each event on the axis, in [start, end] [events].
        marks: of each event [events].
        start: where the first bin begins.
        end: where the last bin ends; it belongs to that bin.
        bins: at least 1.
    """
    width = end - start
    place = np.zeros(len(where), np.int64)
    if width > 0:
        place = np.minimum(((where - start) / width * bins).astype(np.int64), bins - 1)
    cell = lane * bins + place
    flags = (Mark.ANCESTOR, Mark.DESCENDANT, Mark.PATH, Mark.MATCH)
    size = int(cell.max(initial=-1)) + 1
    counts = [np.bincount(cell, minlength=size)]
    counts += [np.bincount(cell, (marks & flag) > 0, minlength=size).astype(np.int64) for flag in flags]
    filled = np.flatnonzero(counts[0])
    table = np.column_stack([filled // bins, filled % bins, *(c[filled] for c in counts)])
    return [[int(v) for v in row] for row in table]


def marked(index: TraceIndex, lit: Lit) -> NDArray[np.int64]:
    """The marks of each event [events]. Raises UnknownName."""
    marks = np.zeros(len(index), np.int64)
    if lit.event is not None:
        above, below = index.relatives(lit.event)
        marks[above] |= Mark.ANCESTOR
        marks[below] |= Mark.DESCENDANT
        marks[lit.event] |= Mark.CHOSEN | Mark.ANCESTOR | Mark.DESCENDANT
    marks[[p for p in lit.path if 0 <= p < len(index)]] |= Mark.PATH
    if lit.text:
        marks[index.mask(Selection(text=lit.text))] |= Mark.MATCH
    return marks


def _arrows_of(
    index: TraceIndex, inside: Positions, chosen: NDArray[np.bool_], marks: NDArray[np.int64], lit: Lit
) -> tuple[list[tuple[int, int, int]], int]:
    """Links with an end in the window and both in the selection, after those of the path; and how many are left out."""
    shown = np.zeros(len(index), bool)
    shown[inside] = True
    upper, lower = index.parents, index.children
    links = np.flatnonzero((shown[lower] & chosen[upper]) | (shown[upper] & chosen[lower]))
    kept = links[:MOST_ARROWS]
    both = marks[lower[kept]] & marks[upper[kept]]
    arrows = zip(upper[kept].tolist(), lower[kept].tolist(), both.tolist(), strict=True)
    return _path_arrows(lit, chosen) + list(arrows), len(links) - len(kept)


def _path_arrows(lit: Lit, chosen: NDArray[np.bool_]) -> list[tuple[int, int, int]]:
    kept = [p for p in lit.path if 0 <= p < len(chosen) and chosen[p]]
    return [(a, b, int(Mark.PATH)) for a, b in pairwise(kept)]


def _told_arrows(index: TraceIndex, lit: Lit, chosen: NDArray[np.bool_]) -> list[tuple[int, int, int]]:
    """Zoomed out, the failure path and the nearest relatives of the chosen event still have their arrows."""
    arrows = _path_arrows(lit, chosen)
    if lit.event is not None and chosen[lit.event]:
        above = [p for p in index.parents_of(lit.event) if chosen[p]][:50]
        below = [p for p in index.children_of(lit.event) if chosen[p]][:50]
        arrows += [(p, lit.event, int(Mark.ANCESTOR)) for p in above]
        arrows += [(lit.event, p, int(Mark.DESCENDANT)) for p in below]
    return arrows


def _chosen(index: TraceIndex, lanes: Lanes, where: NDArray[np.float64], event: int | None) -> list[float] | None:
    """Lane and place of the chosen event; None where it is not in these lanes."""
    if event is None or np.isnan(where[event]) or lanes.lane[index.agent[event]] < 0:
        return None
    return [int(lanes.lane[index.agent[event]]), float(where[event])]


def _drawn(
    index: TraceIndex, lanes: Lanes, where: NDArray[np.float64], arrows: Sequence[tuple[int, int, int]]
) -> list[list[float]]:
    def at(position: int) -> tuple[float, int]:
        return float(where[position]), int(lanes.lane[index.agent[position]])

    return [[*at(parent), *at(child), marks] for parent, child, marks in arrows]
