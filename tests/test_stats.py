"""Intervals against a second implementation and by coverage; verdicts by where the interval lies."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as reference

from shoal.errors import InputError
from shoal.stats import (
    Check,
    Estimate,
    Evidence,
    Verdict,
    clustered_mean,
    coalitions,
    exact_shapley,
    fisher,
    holm,
    judge,
    mcnemar,
    mean,
    memberships,
    paired_difference,
    proportion,
)
from shoal.stats.sequences import edit_distance


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


# Shapley values


def test_shapley_values_of_the_glove_game() -> None:
    """One left glove, two right ones: Shapley gives 2/3, 1/6, 1/6."""
    worth = [float(0 in members and len(members) > 1) for members in coalitions(range(3))]
    assert exact_shapley(worth) == pytest.approx([2 / 3, 1 / 6, 1 / 6])


def test_coalitions_are_numbered_by_their_members() -> None:
    assert coalitions("ab") == [frozenset(), {"a"}, {"b"}, {"a", "b"}]
    assert memberships(2).tolist() == [[False, False], [True, False], [False, True], [True, True]]
    for wrong in ([1.0], [0.0, 1.0, 2.0]):
        with pytest.raises(InputError, match="coalitions"):
            exact_shapley(wrong)


@given(st.integers(1, 4), st.data())
@settings(max_examples=60, deadline=None)
def test_shapley_values_by_all_orders_and_by_the_axioms(n: int, data: st.DataObject) -> None:
    players = coalitions(range(n))
    worth = dict(zip(players, data.draw(st.lists(st.floats(-5, 5), min_size=2**n, max_size=2**n)), strict=True))
    values = exact_shapley(list(worth.values()))
    # The definition: the mean marginal contribution over all orders of joining.
    marginal = np.zeros(n)
    for order in permutations(range(n)):
        for place, player in enumerate(order):
            marginal[player] += worth[frozenset(order[: place + 1])] - worth[frozenset(order[:place])]
    assert values == pytest.approx(marginal / math.factorial(n), abs=1e-9)
    assert values.sum() == pytest.approx(worth[frozenset(range(n))] - worth[frozenset()], abs=1e-9)
    # Symmetry: what counts members only pays them alike. Null player: what ignores a player pays it nothing.
    by_size = exact_shapley([len(members) ** 2 for members in players])
    assert by_size == pytest.approx([n] * n)
    ignoring = exact_shapley([[worth[members - {0}] for members in players], list(worth.values())])
    assert ignoring[0, 0] == pytest.approx(0.0, abs=1e-9)
    assert ignoring[1] == pytest.approx(values), "each row of a batch is a game of its own"


# Sequences


@given(st.lists(st.integers(0, 3), max_size=7), st.lists(st.integers(0, 3), max_size=7))
def test_edit_distance_is_a_metric(one: list[int], two: list[int]) -> None:
    distance = edit_distance(one, two)
    assert distance == edit_distance(two, one)
    assert abs(len(one) - len(two)) <= distance <= max(len(one), len(two))
    assert (distance == 0) == (one == two)
    if one and two:  # the definition, by recursion on the last entries
        by_parts = min(
            edit_distance(one[:-1], two) + 1,
            edit_distance(one, two[:-1]) + 1,
            edit_distance(one[:-1], two[:-1]) + (one[-1] != two[-1]),
        )
        assert distance == by_parts


def test_edit_distance_of_levenshteins_example() -> None:
    assert edit_distance("kitten", "sitting") == 3 == edit_distance("sitting", "kitten")
    assert edit_distance("", "abc") == 3 and edit_distance("abc", "abc") == 0
