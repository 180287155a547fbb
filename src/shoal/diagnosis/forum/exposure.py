"""Exposure to a cascade: how many of those whom an agent hears had adopted, from when to when.

``intervals`` counts as time goes by (start-stop rows, one for each number of exposures), ``pairs`` once and for all, as
the original does: until adoption for adopters, to the end for all others. The second gives those who never adopt more
exposures merely because they were watched for longer (immortal-time bias).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.diagnosis.forum.cascades import Cascades, Floats, Ints


@dataclass(frozen=True)
class Exposures:
    """Rows of who was exposed how often; all arrays [rows].

    Attributes:
        cascade: number of the cascade.
        agent: who.
        start: from when, in seconds since the cascade's seed.
        stop: until when.
        exposures: how many of those heard had adopted.
        adopted: whether the agent adopts at ``stop``.
        single: whether the row began with one exposure alone, so that it can be told which one it was.
    """

    cascade: Ints
    agent: Ints
    start: Floats
    stop: Floats
    exposures: Ints
    adopted: NDArray[np.bool_]
    single: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.agent)

    def where(self, keep: NDArray[np.bool_]) -> Exposures:
        """Some of the rows."""
        return Exposures(*(getattr(self, name)[keep] for name in self.__dataclass_fields__))


class _Spread:
    """Adoptions with their times since the seed, and every exposure that they caused."""

    def __init__(self, cascades: Cascades, heard: Any, end: Floats | None) -> None:
        self.count = heard.shape[0]
        begin = cascades.time[cascades.starts]
        self.since = cascades.time - begin[cascades.cascade]
        last = np.zeros(cascades.count)
        np.maximum.at(last, cascades.cascade, self.since)
        self.end = last if end is None else end - begin
        self.seed = np.zeros(len(cascades.agent), bool)
        self.seed[cascades.starts] = True
        self.key = cascades.cascade * self.count + cascades.agent
        self.order = np.argsort(self.key)
        hearers = heard.T.tocsr()
        degree = np.diff(hearers.indptr)[cascades.agent]
        begin_of = np.repeat(hearers.indptr[cascades.agent].astype(np.int64), degree)
        within = np.arange(degree.sum()) - np.repeat(np.cumsum(degree) - degree, degree)
        hearer = hearers.indices[begin_of + within].astype(np.int64)
        key = np.repeat(cascades.cascade, degree) * self.count + hearer
        time = np.repeat(self.since, degree)
        order = np.argsort(key, kind="stable")  # adoptions, and so exposures, are in the order of time already
        self.exposed, self.when = key[order], time[order]
        self.until, self.adopts = self.fate(self.exposed)

    def fate(self, key: Ints) -> tuple[Floats, NDArray[np.bool_]]:
        """When each (cascade, agent) leaves the risk set, and whether by adopting; seeds leave before it begins."""
        place = np.searchsorted(self.key[self.order], key)
        row = self.order[np.minimum(place, len(self.order) - 1)]
        known = self.key[row] == key
        end = self.end[key // self.count]
        until = np.where(known, np.where(self.seed[row], -1.0, self.since[row]), end)
        return np.minimum(until, end), known & ~self.seed[row] & (self.since[row] <= end)


def intervals(cascades: Cascades, heard: Any, everyone: bool = False, end: Floats | None = None) -> Exposures:
    """Start-stop rows of the agents at risk.

    Args:
        cascades: who adopted when.
        heard: sparse graph [agents, agents]; row i holds those whom i hears.
        everyone: also the time before an agent's first exposure, of all agents; else only the time from there on.
        end: when watching each cascade ended [cascades], in the log's time; by default at its last adoption.
    """
    spread = _Spread(cascades, heard, end)
    at_risk = spread.when < spread.until
    key, start, until = spread.exposed[at_risk], spread.when[at_risk], spread.until[at_risk]
    adopts = spread.adopts[at_risk]
    follows = np.r_[key[1:] == key[:-1], False] if len(key) else np.zeros(0, bool)
    stop = np.where(follows, np.r_[start[1:], 0.0] if len(key) else start, until)
    first = ~np.r_[False, follows[:-1]] if len(key) else np.zeros(0, bool)
    number = np.arange(len(key)) - np.maximum.accumulate(np.where(first, np.arange(len(key)), 0)) + 1
    together = np.r_[False, (start[1:] == start[:-1]) & follows[:-1]] if len(key) else np.zeros(0, bool)
    rows = Exposures(
        key // spread.count, key % spread.count, start, stop, number.astype(np.int64), adopts & ~follows, ~together
    ).where(stop > start)
    return _joined(_unexposed(cascades, spread, key[first], start[first]), rows) if everyone else rows


def pairs(cascades: Cascades, heard: Any) -> Exposures:
    """One row for each adopter and each exposed non-adopter, exposures fixed from the start, as in the original."""
    spread = _Spread(cascades, heard, None)
    counted = (spread.when < spread.until) | ((spread.when <= spread.until) & ~spread.adopts & (spread.until >= 0))
    exposed, number = np.unique(spread.exposed[counted], return_counts=True)
    unexposed = np.setdiff1d(spread.key[~spread.seed], exposed)
    key = np.concatenate([exposed, unexposed])
    until, adopts = spread.fate(key)
    found = Exposures(
        key // spread.count, key % spread.count, np.zeros(len(key)), until,
        np.concatenate([number, np.zeros(len(unexposed), int)]).astype(np.int64), adopts, np.zeros(len(key), bool),
    )  # fmt: skip
    return found.where(until > 0)


def _unexposed(cascades: Cascades, spread: _Spread, exposed: Ints, first: Floats) -> Exposures:
    """From each cascade's seed until the first exposure, adoption or end, of every agent."""
    key = np.arange(cascades.count * spread.count)
    until, adopts = spread.fate(key)
    stop = until.copy()
    stop[exposed] = np.minimum(first, until[exposed])
    adopts &= stop == until
    adopts[exposed] &= first >= until[exposed]
    zero = np.zeros(len(key), np.int64)
    rows = Exposures(
        key // spread.count, key % spread.count, zero.astype(float), stop, zero, adopts, np.zeros(len(key), bool)
    )
    return rows.where(stop > 0)


def _joined(one: Exposures, two: Exposures) -> Exposures:
    return Exposures(*(np.concatenate([getattr(one, n), getattr(two, n)]) for n in one.__dataclass_fields__))
