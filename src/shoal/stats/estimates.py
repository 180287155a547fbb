"""Point estimates with intervals: paired bootstrap, Student, Wilson, and exact tests.

Every interval is two-sided; the default level is 95%. All randomness comes from a fixed stream, so that the same
measurements give the same interval.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEVEL = 0.95
RESAMPLES = 4000
SMALLEST_BOOTSTRAP = 10
MOST_DISTINCT = 32
LARGEST_BLOCK = 2_000_000
_STREAM = 20250714

Alternative = Literal["two-sided", "less", "greater"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its interval.

    Attributes:
        value: the point estimate.
        low: lower end of the interval; equals ``value`` where the quantity is exact.
        high: upper end of the interval.
        n: number of independent units (seeds, questions, graphs) behind it.
        p: p-value of the exact test, where one was asked for.
        method: how the interval was made.
    """

    value: float
    low: float
    high: float
    n: int
    p: float | None = None
    method: str = "exact"

    def shift(self, by: float) -> Estimate:
        """The same estimate moved by a constant."""
        return Estimate(self.value + by, self.low + by, self.high + by, self.n, self.p, self.method)


def exact(value: float, n: int) -> Estimate:
    """A quantity without sampling error (a count over all cases, a closed form)."""
    return Estimate(float(value), float(value), float(value), n)


def mean(values: ArrayLike, level: float = LEVEL) -> Estimate:
    """Mean of independent values [n] with an interval.

    Bootstrap percentiles from 10 values on; below that they cover too little, and Student's t is used.
    """
    x = _finite(values)
    if x.size < SMALLEST_BOOTSTRAP:
        return _student(x, level)
    low, high = np.quantile(_resampled_means(x), _tails(level))
    return Estimate(float(x.mean()), float(low), float(high), x.size, method="bootstrap")


def paired_difference(
    treatment: ArrayLike, baseline: ArrayLike, groups: ArrayLike | None = None, level: float = LEVEL
) -> Estimate:
    """Mean of treatment - baseline over matched units, with an interval.

    Args:
        treatment: values [n].
        baseline: values [n] of the same units, in the same order.
        groups: optional cluster label of each unit [n]; whole clusters are then resampled, because units within
            a cluster share chance.
        level: coverage of the interval.
    """
    a, b = np.asarray(treatment, float), np.asarray(baseline, float)
    if a.shape != b.shape:
        raise ValueError(f"paired values need equal shapes, got {a.shape} and {b.shape}")
    if groups is None:
        return mean(a - b, level)
    return clustered_mean(a - b, groups, level)


def clustered_mean(values: ArrayLike, groups: ArrayLike, level: float = LEVEL) -> Estimate:
    """Mean of values [n] whose clusters [n], not the values, are independent (cluster bootstrap)."""
    x = _finite(values)
    _, label = np.unique(np.asarray(groups), return_inverse=True)
    sums, counts = np.bincount(label, x), np.bincount(label)
    if counts.size < SMALLEST_BOOTSTRAP:
        within = _student(sums / counts, level)
        return Estimate(float(x.mean()), within.low, within.high, counts.size, method="t over clusters")
    means = np.concatenate([sums[i].sum(axis=1) / counts[i].sum(axis=1) for i in _resample(counts.size)])
    low, high = np.quantile(means, _tails(level))
    return Estimate(float(x.mean()), float(low), float(high), counts.size, method="cluster bootstrap")


def proportion(successes: int, n: int, level: float = LEVEL) -> Estimate:
    """Share of successes with Wilson's score interval."""
    from scipy.stats import norm

    if n <= 0:
        return Estimate(float("nan"), 0.0, 1.0, 0, method="wilson")
    z = float(norm.ppf(0.5 + level / 2))
    p = successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return Estimate(p, max(0.0, float(centre - half)), min(1.0, float(centre + half)), n, method="wilson")


def mcnemar(treatment: ArrayLike, baseline: ArrayLike) -> float:
    """Exact two-sided McNemar p-value for paired 0/1 outcomes [n]."""
    from scipy.stats import binomtest

    a, b = np.asarray(treatment, bool), np.asarray(baseline, bool)
    wins, losses = int((a & ~b).sum()), int((~a & b).sum())
    return 1.0 if wins + losses == 0 else float(binomtest(wins, wins + losses, 0.5).pvalue)


def fisher(successes_a: int, n_a: int, successes_b: int, n_b: int, alternative: Alternative = "two-sided") -> float:
    """Fisher's exact p-value for two independent proportions."""
    from scipy.stats import fisher_exact

    table = np.array([[successes_a, n_a - successes_a], [successes_b, n_b - successes_b]])
    return float(fisher_exact(table, alternative=alternative).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given."""
    p = np.asarray(p_values, float)
    order = np.argsort(p)
    adjusted = np.empty_like(p)
    running = 0.0
    for rank, i in enumerate(order):
        running = max(running, float(p[i]) * (p.size - rank))
        adjusted[i] = min(1.0, running)
    return [float(x) for x in adjusted]


def _student(x: NDArray[np.float64], level: float) -> Estimate:
    from scipy.stats import t

    if x.size == 0:
        return Estimate(float("nan"), -np.inf, np.inf, 0, method="t")
    if x.size == 1:
        return Estimate(float(x[0]), -np.inf, np.inf, 1, method="t")
    half = float(t.ppf(0.5 + level / 2, x.size - 1)) * float(x.std(ddof=1)) / np.sqrt(x.size)
    return Estimate(float(x.mean()), float(x.mean() - half), float(x.mean() + half), x.size, method="t")


def _finite(values: ArrayLike) -> NDArray[np.float64]:
    x: NDArray[np.float64] = np.asarray(values, float).ravel()
    if not np.isfinite(x).all():
        raise ValueError("measurements contain NaN or infinite values")
    return x


def _tails(level: float) -> tuple[float, float]:
    return (1 - level) / 2, (1 + level) / 2


def _resampled_means(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of bootstrap resamples of x [n]: [resamples].

    Few distinct values (0/1 outcomes) are drawn as multinomial counts, which is the same distribution at a cost that
    does not grow with n.
    """
    values, counts = np.unique(x, return_counts=True)
    if values.size <= MOST_DISTINCT < x.size:
        drawn = np.random.default_rng(_STREAM).multinomial(x.size, counts / x.size, size=RESAMPLES)
        return np.asarray(drawn @ values / x.size, float)
    return np.concatenate([x[index].mean(axis=1) for index in _resample(x.size)])


def _resample(n: int) -> Iterator[NDArray[np.intp]]:
    """Bootstrap indices, in blocks [rows, n] that stay small; the same for every sample of that size."""
    rng = np.random.default_rng(_STREAM)
    rows = max(1, min(RESAMPLES, LARGEST_BLOCK // n))
    for start in range(0, RESAMPLES, rows):
        yield rng.integers(0, n, size=(min(rows, RESAMPLES - start), n))
