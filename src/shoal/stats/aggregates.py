"""Aggregates over runs and tasks for learners: few runs each, many tasks, outliers.

The measures of Agarwal et al. 2021 ("Deep reinforcement learning at the edge of the statistical precipice",
arXiv 2108.13264). Scores are arrays [runs, tasks]; intervals come from the stratified bootstrap, which draws runs
separately within every task, with percentiles. Normalise scores to a common scale before aggregating over tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.stats.estimates import LARGEST_BLOCK, LEVEL, RESAMPLES, Estimate

Scores = NDArray[np.float64]

_STREAM = 20250715
TRIMMED = 0.25
"""Share of scores that the interquartile mean leaves out at each end."""


def interquartile_mean(scores: ArrayLike, level: float = LEVEL) -> Estimate:
    """Mean of the middle half of all scores [runs, tasks] together; robust as a median, efficient as a mean."""
    return _stratified(_scores(scores), _iqm, level)


def task_mean(scores: ArrayLike, level: float = LEVEL) -> Estimate:
    """Mean over tasks of the mean over runs of scores [runs, tasks]."""
    return _stratified(_scores(scores), lambda x: x.mean(axis=(-2, -1)), level)


def task_median(scores: ArrayLike, level: float = LEVEL) -> Estimate:
    """Median over tasks of the mean over runs of scores [runs, tasks]."""
    return _stratified(_scores(scores), lambda x: np.median(x.mean(axis=-2), axis=-1), level)


def optimality_gap(scores: ArrayLike, target: float = 1.0, level: float = LEVEL) -> Estimate:
    """How far scores [runs, tasks] fall short of ``target`` on average; scores above it count as it."""
    return _stratified(_scores(scores), lambda x: target - np.minimum(x, target).mean(axis=(-2, -1)), level)


def probability_of_improvement(treatment: ArrayLike, baseline: ArrayLike, level: float = LEVEL) -> Estimate:
    """How likely a run of one learner beats a run of another on a task drawn at random; ties count half.

    Per task it is the Mann-Whitney statistic U / (n m).

    Args:
        treatment: scores [runs, tasks].
        baseline: scores [other runs, the same tasks].
        level: coverage of the interval.
    """
    a, b = _scores(treatment), _scores(baseline)
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"both need the same tasks, got {a.shape[1]} and {b.shape[1]}")
    first = _resamples(a, np.random.default_rng(_STREAM))
    second = _resamples(b, np.random.default_rng(_STREAM + 1))
    drawn = np.concatenate([_beats(x, y) for x, y in zip(first, second, strict=True)])
    return _estimate(float(_beats(a[None], b[None])[0]), drawn, len(a), level)


def performance_profile(scores: ArrayLike, thresholds: ArrayLike, level: float = LEVEL) -> list[Estimate]:
    """Share of scores [runs, tasks] above each threshold (run-score distribution)."""
    x = _scores(scores)
    return [task_mean(x > threshold, level) for threshold in np.asarray(thresholds, float).ravel()]


def sample_efficiency(curves: ArrayLike, level: float = LEVEL) -> list[Estimate]:
    """Interquartile mean at each point of learning curves [runs, tasks, points]."""
    x = np.asarray(curves, float)
    if x.ndim != 3:
        raise ValueError(f"curves need the shape [runs, tasks, points], got {x.shape}")
    return [interquartile_mean(x[:, :, i], level) for i in range(x.shape[2])]


def normalise(scores: ArrayLike, worst: ArrayLike, best: ArrayLike) -> Scores:
    """Scores [..., tasks] on the scale where ``worst`` [tasks] is 0 and ``best`` [tasks] is 1."""
    low, high = np.asarray(worst, float), np.asarray(best, float)
    if (low == high).any():
        raise ValueError("worst and best must differ in every task")
    return np.asarray((np.asarray(scores, float) - low) / (high - low))


def _iqm(x: Scores) -> Scores:
    """Of the last two axes together. Whole scores are left out, as many at each end as fit into a quarter."""
    flat = np.sort(x.reshape(*x.shape[:-2], -1), axis=-1)
    cut = int(TRIMMED * flat.shape[-1])
    return np.asarray(flat[..., cut : flat.shape[-1] - cut].mean(axis=-1))


def _beats(a: Scores, b: Scores) -> Scores:
    """Probability of improvement for stacks [resamples, runs, tasks] of both."""
    x, y = a[:, :, None], b[:, None]
    return np.asarray(((x > y) + 0.5 * (x == y)).mean(axis=(1, 2, 3)))


def _stratified(x: Scores, measure: Callable[[Scores], Scores], level: float) -> Estimate:
    drawn = np.concatenate([measure(block) for block in _resamples(x, np.random.default_rng(_STREAM))])
    return _estimate(float(measure(x[None])[0]), drawn, len(x), level)


def _resamples(x: Scores, rng: np.random.Generator) -> Iterator[Scores]:
    """Stacks [resamples, runs, tasks] in which the runs of every task are drawn anew."""
    rows = max(1, min(RESAMPLES, LARGEST_BLOCK // (x.size * max(1, x.shape[0]))))
    for start in range(0, RESAMPLES, rows):
        index = rng.integers(0, x.shape[0], size=(min(rows, RESAMPLES - start), *x.shape))
        yield np.take_along_axis(np.broadcast_to(x, index.shape), index, axis=1)


def _estimate(value: float, drawn: Sequence[float] | Scores, n: int, level: float) -> Estimate:
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(value, float(low), float(high), n, method="stratified bootstrap")


def _scores(values: ArrayLike) -> Scores:
    x = np.asarray(values, float)
    x = x[:, None] if x.ndim == 1 else x
    if x.ndim != 2 or x.size == 0:
        raise ValueError(f"scores need the shape [runs, tasks], got {x.shape}")
    if not np.isfinite(x).all():
        raise ValueError("scores contain NaN or infinite values")
    return x
