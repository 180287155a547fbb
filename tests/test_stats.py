"""Intervals against a second implementation and by coverage; verdicts by where the interval lies."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as reference

from shoal.stats import (
    Check,
    Estimate,
    Evidence,
    Verdict,
    clustered_mean,
    fisher,
    holm,
    judge,
    mcnemar,
    mean,
    paired_difference,
    proportion,
)


def test_small_samples_get_students_interval() -> None:
    x = [1.0, 2.0, 4.0, 8.0]
    e = mean(x)
    low, high = reference.t.interval(0.95, 3, loc=np.mean(x), scale=reference.sem(x))
    assert (e.value, e.low, e.high) == pytest.approx((3.75, low, high))


def test_bootstrap_covers_the_mean_at_its_level() -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(400):
        e = mean(rng.exponential(size=40))
        hits += e.low <= 1.0 <= e.high
    assert 0.89 <= hits / 400 <= 0.98


def test_bootstrap_agrees_with_scipy() -> None:
    x = np.random.default_rng(2).normal(size=60)
    ours = mean(x)
    theirs = reference.bootstrap((x,), np.mean, method="percentile", n_resamples=9999, rng=np.random.default_rng(3))
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=0.02)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=0.02)


def test_pairing_removes_shared_noise() -> None:
    rng = np.random.default_rng(4)
    shared = rng.normal(scale=10, size=50)
    e = paired_difference(shared + 0.5 + rng.normal(scale=0.1, size=50), shared)
    assert 0.4 < e.low < e.high < 0.6


def test_clusters_widen_the_interval_of_repeated_units() -> None:
    rng = np.random.default_rng(5)
    groups = np.repeat(np.arange(20), 50)
    x = np.repeat(rng.normal(size=20), 50)
    naive, clustered = mean(x), clustered_mean(x, groups)
    assert clustered.n == 20
    assert clustered.high - clustered.low > 4 * (naive.high - naive.low)


def test_wilson_matches_scipy() -> None:
    e = proportion(7, 20)
    theirs = reference.binomtest(7, 20).proportion_ci(method="wilson")
    assert (e.low, e.high) == pytest.approx((theirs.low, theirs.high))


def test_exact_tests_match_known_values() -> None:
    assert mcnemar([1] * 10, [0] * 10) == pytest.approx(2 * 0.5**10)
    assert mcnemar([1, 0, 1], [1, 0, 1]) == 1.0
    # Fisher's tea-tasting table
    assert fisher(3, 4, 1, 4, "greater") == pytest.approx(0.242857, abs=1e-6)
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def test_nan_measurements_are_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        mean([1.0, math.nan])


@pytest.mark.parametrize(
    ("low", "high", "above", "verdict"),
    [
        (0.1, 0.2, 0.0, Verdict.REPRODUCED),
        (-0.1, 0.2, 0.0, Verdict.INCONCLUSIVE),
        (-0.2, -0.1, 0.0, Verdict.NOT_REPRODUCED),
        (0.0, 0.0, 0.0, Verdict.NOT_REPRODUCED),
        (1.0, 1.0, 1.0, Verdict.REPRODUCED),
        (0.99, 0.99, 1.0, Verdict.NOT_REPRODUCED),
    ],
)
def test_verdict_follows_the_interval(low: float, high: float, above: float, verdict: Verdict) -> None:
    assert Check("x", Estimate((low + high) / 2, low, high, 20), above=above).verdict is verdict


def test_too_few_units_never_give_a_firm_verdict() -> None:
    assert Check("x", Estimate(1, 0.9, 1.1, 3), above=0.5, needs=5).verdict is Verdict.INCONCLUSIVE


def test_a_claim_is_as_good_as_its_worst_check() -> None:
    good = Check("good", Estimate(1, 0.9, 1.1, 20), above=0)
    bad = Check("bad", Estimate(-1, -1.1, -0.9, 20), above=0)
    finding = judge("id", "words", Evidence.SCRIPTED, [good, bad])
    assert finding.verdict is Verdict.NOT_REPRODUCED
    assert finding.estimate == bad.estimate
    assert judge("id", "words", Evidence.SCRIPTED, []).verdict is Verdict.NOT_RUN


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30))
def test_an_interval_holds_its_estimate(values: list[float]) -> None:
    e = mean(values)
    slack = 1e-9 * (1 + abs(e.value))
    assert e.low - slack <= e.value <= e.high + slack
