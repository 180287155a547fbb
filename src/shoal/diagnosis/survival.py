"""Cox regression on start-stop rows with one covariate, and the logistic regression with clustered errors beside it.

Both are Newton's method on sums that are taken for all rows at once: a million rows take a second. The results are
those of lifelines (Efron's rule for ties) and of statsmodels, which the tests compare with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.errors import InputError

Floats = NDArray[np.float64]
MOST_STEPS = 50
FLAT = 1e-9
"""Newton's method ends where a step is smaller."""
LARGEST_STEP = 2.0
MOST_COMPARED = 50_000


@dataclass(frozen=True)
class Coefficient:
    """A fitted coefficient.

    Attributes:
        value: the estimate; for Cox regression the log hazard ratio of one more unit.
        error: its standard error from the information matrix; nan where nothing can be told.
        robust: its standard error clustered by the labels given; nan without labels.
        events: number of events behind it.
        rows: number of rows.
    """

    value: float
    error: float
    robust: float = float("nan")
    events: int = 0
    rows: int = 0

    @property
    def used(self) -> float:
        """The clustered error where there is one, else the plain one."""
        return self.robust if np.isfinite(self.robust) else self.error

    @property
    def ratio(self) -> float:
        """exp(value): the hazard ratio or odds ratio of one more unit."""
        return float(np.exp(self.value))

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Normal interval of the estimate."""
        from scipy.stats import norm

        half = float(norm.ppf(0.5 + level / 2)) * self.used
        return self.value - half, self.value + half

    @property
    def p(self) -> float:
        """Two-sided p-value that it is 0 (Wald); 1 where nothing can be told."""
        from scipy.stats import norm

        z = abs(self.value) / self.used if self.used > 0 else 0.0
        return float(2 * norm.sf(z))


def cox(
    start: ArrayLike, stop: ArrayLike, event: ArrayLike, covariate: ArrayLike, strata: ArrayLike | None = None,
    clusters: ArrayLike | None = None,
) -> Coefficient:  # fmt: skip
    """Partial likelihood of h(t) = h0(t) exp(value * covariate), each stratum with a baseline of its own.

    Args:
        start: when each row enters the risk set [rows]; it is at risk after that.
        stop: when it leaves [rows].
        event: whether it leaves by an event [rows].
        covariate: its value in that time [rows].
        strata: label of each row [rows]; all one without it.
        clusters: whose rows belong together for the robust error [rows].

    Raises:
        InputError: a row ends before it begins.
    """
    rows = _Risk(start, stop, event, covariate, strata)
    if not rows.events:
        return Coefficient(0.0, float("nan"), rows=rows.count)
    value = 0.0
    for _ in range(MOST_STEPS):
        score, information = rows.slopes(value)
        if information <= FLAT:
            return Coefficient(value, float("nan"), events=rows.events, rows=rows.count)
        step = float(np.clip(score / information, -LARGEST_STEP, LARGEST_STEP))
        value += step
        if abs(step) < FLAT:
            break
    _, information = rows.slopes(value)
    robust = float("nan")
    if clusters is not None:
        _, label = np.unique(np.asarray(clusters), return_inverse=True)
        robust = float(np.sqrt((np.bincount(label, rows.residuals(value)) ** 2).sum())) / information
    return Coefficient(value, float(information**-0.5), robust, rows.events, rows.count)


class _Risk:
    """Rows in an order in which sums over risk sets are differences of running sums.

    Each stratum's times are moved behind those of the one before, so that one pass serves all strata.
    """

    def __init__(
        self, start: ArrayLike, stop: ArrayLike, event: ArrayLike, covariate: ArrayLike, strata: ArrayLike | None
    ) -> None:
        begin, end = np.asarray(start, float), np.asarray(stop, float)
        if (end < begin).any():
            raise InputError("stop", float(end[end < begin][0]), "A row must not end before it begins.")
        self.count = len(end)
        self.covariate = np.asarray(covariate, float)
        self.centre = float(self.covariate.mean()) if self.count else 0.0
        self.x = self.covariate - self.centre
        label = np.zeros(self.count, int)
        if strata is not None:
            _, label = np.unique(np.asarray(strata), return_inverse=True)
        begin_rank, end_rank = self._ranks(begin, end, label)
        died = np.asarray(event, bool)
        self.events = int(died.sum())
        self.times, self.tied = np.unique(end_rank[died], return_counts=True)
        self.died, self.at = died, np.searchsorted(self.times, end_rank)
        # A row is at risk at the event times after its start, up to and including its end.
        self.enter = np.searchsorted(self.times, begin_rank, side="right")
        self.leave = np.searchsorted(self.times, end_rank, side="right")
        owner = np.repeat(np.arange(len(self.times)), self.tied)
        first = np.repeat(np.cumsum(self.tied) - self.tied, self.tied)
        self.owner, self.share = owner, (np.arange(len(owner)) - first) / self.tied[owner]

    @staticmethod
    def _ranks(begin: Floats, end: Floats, label: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Dense ranks of (stratum, time), starts and ends on one scale; strata do not overlap."""
        labels, times = np.concatenate([label, label]), np.concatenate([begin, end])
        order = np.lexsort((times, labels))
        new = np.r_[False, (np.diff(times[order]) != 0) | (np.diff(labels[order]) != 0)][: len(order)]
        rank = np.empty(len(order), np.int64)
        rank[order] = np.cumsum(new)
        return rank[: len(label)], rank[len(label) :]

    def _sums(self, weight: Floats) -> Floats:
        """Sum of a weight over the risk set at each event time [times]."""
        size = len(self.times) + 1
        return np.asarray(np.cumsum(np.bincount(self.enter, weight, size) - np.bincount(self.leave, weight, size)))[:-1]

    def _tied_sums(self, weight: Floats) -> Floats:
        """Sum of a weight over those who have their event at each event time [times]."""
        return np.asarray(np.bincount(self.at[self.died], weight[self.died], len(self.times)), float)

    def _moments(self, value: float) -> list[Floats]:
        """Weighted sums of 1, x, x^2 over each event's risk set [events], by Efron's rule where events are tied."""
        risk = np.exp(value * self.x)
        found = []
        for power in range(3):
            weight = risk * self.x**power
            whole = self._sums(weight)[self.owner]
            found.append(whole - self.share * self._tied_sums(weight)[self.owner])
        return found

    def slopes(self, value: float) -> tuple[float, float]:
        """Score and information of the log partial likelihood."""
        zero, one, two = self._moments(value)
        average = one / zero
        return float(self.x[self.died].sum() - average.sum()), float((two / zero - average**2).sum())

    def residuals(self, value: float) -> Floats:
        """Score residual of each row [rows] (Lin and Wei 1989); of tied events as if they were apart."""
        risk = np.exp(value * self.x)
        zero, one = self._sums(risk), self._sums(risk * self.x)
        average = one / zero
        rate = np.r_[0.0, np.cumsum(self.tied / zero)]
        moved = np.r_[0.0, np.cumsum(self.tied * average / zero)]
        found = -risk * (self.x * (rate[self.leave] - rate[self.enter]) - (moved[self.leave] - moved[self.enter]))
        found[self.died] += self.x[self.died] - average[self.at[self.died]]
        return np.asarray(found)


def concordance(stop: ArrayLike, event: ArrayLike, risk: ArrayLike) -> float:
    """Harrell's C: of the pairs whose order of events is known, the share in which the riskier came first.

    Ties in risk count half; whoever is censored at the time of an event came later. Nan where no pair can be compared.
    Of more than MOST_COMPARED rows, so many are compared, evenly taken. Risk must take few values (counts).
    """
    rows = slice(None, None, max(1, -(-np.size(stop) // MOST_COMPARED)))
    end, died = np.asarray(stop, float)[rows], np.asarray(event, bool)[rows]
    levels, level = np.unique(np.asarray(risk, float)[rows], return_inverse=True)
    rank = 2 * np.unique(end, return_inverse=True)[1] + ~died
    order = np.argsort(rank)
    seen = np.zeros((len(end) + 1, len(levels)), np.int32)
    seen[np.arange(1, len(end) + 1), level[order]] = 1
    np.cumsum(seen, axis=0, out=seen)
    later = seen[-1] - seen[np.searchsorted(rank[order], rank[died], side="right")]
    below = np.cumsum(later, axis=1)[np.arange(len(later)), level[died]].astype(float)
    same = later[np.arange(len(later)), level[died]]
    known = float(later.sum())
    return float((below - 0.5 * same).sum()) / known if known else float("nan")


def logit(
    design: Any, outcome: ArrayLike, clusters: ArrayLike | None = None, lines: NDArray[np.int64] | None = None
) -> list[Coefficient]:
    """Logistic regression, a coefficient for each column.

    Args:
        design: covariates [lines, columns], a column of ones among them.
        outcome: 0 or 1 [rows].
        clusters: label of each row [rows] for robust errors; with the small-sample factors of statsmodels.
        lines: line of the design that each row has [rows], where many rows share few lines; by default its own.
    """
    x, y = np.asarray(design, float), np.asarray(outcome, float)
    line = np.arange(len(y)) if lines is None else lines
    trials, hits = np.bincount(line, minlength=len(x)), np.bincount(line, y, len(x))
    beta, columns = np.zeros(x.shape[1]), x.shape[1]

    def state() -> tuple[Floats, Floats]:
        chance = 1 / (1 + np.exp(-(x @ beta)))
        return chance, (x * (trials * chance * (1 - chance))[:, None]).T @ x

    for _ in range(MOST_STEPS):
        chance, information = state()
        step = np.linalg.lstsq(information, x.T @ (hits - trials * chance), rcond=None)[0]
        beta = beta + np.clip(step, -5, 5)
        if np.abs(step).max() < FLAT:
            break
    chance, information = state()
    inverse = np.linalg.pinv(information)
    robust = np.full(columns, np.nan)
    if clusters is not None:
        _, label = np.unique(np.asarray(clusters), return_inverse=True)
        groups, left = int(label.max(initial=0)) + 1, y - chance[line]
        scores = np.stack([np.bincount(label, x[line, c] * left, groups) for c in range(columns)], axis=1)
        factor = groups / max(1, groups - 1) * (len(y) - 1) / max(1, len(y) - columns)
        robust = np.sqrt(np.diag(factor * inverse @ (scores.T @ scores) @ inverse))
    plain = np.sqrt(np.diag(inverse))
    return [
        Coefficient(float(beta[c]), float(plain[c]), float(robust[c]), int(y.sum()), len(y)) for c in range(columns)
    ]  # fmt: skip
