"""Aggregates over runs and tasks against examples worked by hand and a second implementation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu, trim_mean

from shoal.stats import aggregates


def test_interquartile_mean_by_hand() -> None:
    # 8 scores: 0 1 | 2 3 4 5 | 6 100 -> 3.5, whatever the outlier is.
    scores = np.array([[0, 100.0], [1, 6], [2, 5], [3, 4]])
    assert aggregates.interquartile_mean(scores).value == 3.5
    assert aggregates.task_mean(scores).value == pytest.approx((6 / 4 + 115 / 4) / 2)
    assert aggregates.task_median(scores).value == pytest.approx((6 / 4 + 115 / 4) / 2)


def test_interquartile_mean_leaves_out_whole_scores_only() -> None:
    # A quarter of 6 is 1.5: one at each end.
    assert aggregates.interquartile_mean([1.0, 2, 3, 4, 5, 90]).value == 3.5


@given(st.lists(st.floats(-50, 50), min_size=2, max_size=12))
@settings(max_examples=15, deadline=None)
def test_interquartile_mean_agrees_with_the_trimmed_mean(values: list[float]) -> None:
    assert aggregates.interquartile_mean(values).value == pytest.approx(trim_mean(values, 0.25), abs=1e-9)


def test_optimality_gap_by_hand() -> None:
    # min(x, 1): 0.5, 1, 0.2, 1 -> mean 0.675
    assert aggregates.optimality_gap([[0.5, 3.0], [0.2, 1.0]]).value == pytest.approx(0.325)


def test_probability_of_improvement_by_hand() -> None:
    # Task 1: pairs (1,0) (1,2) (3,0) (3,2) -> 3 of 4. Task 2: (5,5) (5,6) (5,5) (5,6) -> half of 2, of 4.
    a, b = np.array([[1, 5.0], [3, 5]]), np.array([[0, 5.0], [2, 6]])
    assert aggregates.probability_of_improvement(a, b).value == pytest.approx((3 / 4 + 1 / 4) / 2)


def test_probability_of_improvement_agrees_with_mann_whitney() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.integers(0, 5, (7, 4)).astype(float), rng.integers(0, 5, (5, 4)).astype(float)
    by_task = [mannwhitneyu(a[:, t], b[:, t], alternative="greater").statistic / 35 for t in range(4)]
    estimate = aggregates.probability_of_improvement(a, b)
    assert estimate.value == pytest.approx(np.mean(by_task))
    assert estimate.low <= estimate.value <= estimate.high
    back = aggregates.probability_of_improvement(b, a)
    assert back.value == pytest.approx(1 - estimate.value)


def test_strata_are_the_tasks() -> None:
    # Within each task all runs agree: drawing runs within tasks can change nothing.
    scores = np.tile([1.0, 9, 4], (5, 1))
    for estimate in (aggregates.interquartile_mean(scores), aggregates.task_mean(scores)):
        assert estimate.low == estimate.value == estimate.high


def test_intervals_cover_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    hits = [e.low <= 0 <= e.high for e in (aggregates.interquartile_mean(rng.normal(size=(10, 6))) for _ in range(60))]
    assert np.mean(hits) > 0.85


def test_curves_and_profiles() -> None:
    curves = np.stack([np.full((4, 2), 1.0), np.arange(8.0).reshape(4, 2)], axis=2)
    points = aggregates.sample_efficiency(curves)
    assert [p.value for p in points] == [1.0, 3.5]
    profile = aggregates.performance_profile([[0.0, 1], [2, 3]], [-1, 0.5, 3])
    assert [p.value for p in profile] == [1.0, 0.75, 0.0]


def test_normalise_and_bad_input() -> None:
    assert aggregates.normalise([[5.0, 0]], worst=[0, -1], best=[10, 1]).tolist() == [[0.5, 0.5]]
    with pytest.raises(ValueError, match="differ"):
        aggregates.normalise([[1.0]], [2], [2])
    with pytest.raises(ValueError, match="NaN"):
        aggregates.interquartile_mean([1.0, np.nan])
    with pytest.raises(ValueError, match="same tasks"):
        aggregates.probability_of_improvement(np.ones((2, 2)), np.ones((2, 3)))
    with pytest.raises(ValueError, match="runs, tasks, points"):
        aggregates.sample_efficiency(np.ones((2, 2)))
