from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import InputError
from shoal.posttrain.advantages import MODES, agent_advantages, aligned_rows, gae, second_moment_factor
from shoal.posttrain.credit import CREDIT, Outcome, aligned_advantages, past_weights

# One task, three rollouts; the solver is called once, the searcher 2, 1 and 3 times.
ROWS = [
    ("a", 0, "solver", 1.0), ("a", 0, "searcher", 1.0), ("a", 0, "searcher", 1.0),
    ("a", 1, "solver", 0.0), ("a", 1, "searcher", 0.0),
    ("a", 2, "solver", 4.0), ("a", 2, "searcher", 4.0), ("a", 2, "searcher", 4.0), ("a", 2, "searcher", 4.0),
]  # fmt: skip
TASK, TRAJECTORY, AGENT, REWARD = (list(column) for column in zip(*ROWS, strict=True))
IDS = {"task": TASK, "trajectory": TRAJECTORY, "agent": AGENT}
OUTCOMES = np.array([1.0, 0.0, 4.0])
SEARCHER = np.array([1.0, 1.0, 0.0, 4.0, 4.0, 4.0])


def rows(mode: str) -> np.ndarray:
    return agent_advantages(REWARD, **IDS, mode=mode)  # type: ignore[arg-type]


def searcher(gain: np.ndarray) -> np.ndarray:
    return gain[[name == "searcher" for name in AGENT]]


def test_global_counts_each_trajectory_once() -> None:
    expected = (OUTCOMES - OUTCOMES.mean()) / OUTCOMES.std()
    np.testing.assert_allclose(rows("global"), expected[TRAJECTORY], atol=1e-5)


def test_global_step_counts_rows() -> None:
    reward = np.array(REWARD)
    np.testing.assert_allclose(rows("global-step"), (reward - reward.mean()) / reward.std(), atol=1e-5)


def test_agent_modes_are_the_four_combinations_of_mean_and_deviation() -> None:
    mean, std = {"own": SEARCHER.mean(), "all": OUTCOMES.mean()}, {"own": SEARCHER.std(), "all": OUTCOMES.std()}
    for mode, m, s in (("agent", "own", "own"), ("agent-mean", "own", "all"), ("agent-std", "all", "own")):
        np.testing.assert_allclose(searcher(rows(mode)), (SEARCHER - mean[m]) / std[s], atol=1e-5)


def test_leave_one_out_leaves_the_whole_trajectory_out() -> None:
    others = {0: (0 + 4 + 4 + 4) / 4, 1: (1 + 1 + 4 + 4 + 4) / 5, 2: (1 + 1 + 0) / 3}
    expected = [reward - others[i] for _, i, name, reward in ROWS if name == "searcher"]
    np.testing.assert_allclose(searcher(rows("leave-one-out")), expected)


def test_rows_of_another_task_change_nothing() -> None:
    more = {"task": [*TASK, "b", "b"], "trajectory": [*TRAJECTORY, 0, 1], "agent": [*AGENT, "solver", "solver"]}
    for mode in MODES:
        both = agent_advantages([*REWARD, 9.0, 7.0], **more, mode=mode)
        np.testing.assert_allclose(both[: len(REWARD)], rows(mode))


@pytest.mark.parametrize("mode", MODES)
def test_groups_without_spread_or_company_get_nothing(mode: str) -> None:
    same = agent_advantages([2.0, 2.0], task=[0, 0], trajectory=[0, 1], agent=["a", "a"], mode=mode)  # type: ignore[arg-type]
    alone = agent_advantages([2.0], task=[0], trajectory=[0], agent=["a"], mode=mode)  # type: ignore[arg-type]
    assert not same.any() and not alone.any()


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.sampled_from("xyz"), st.floats(-5, 5)), min_size=1))
def test_the_agent_mode_has_mean_0_and_second_moment_1(cells: list[tuple[int, int, str, float]]) -> None:
    task, trajectory, agent, reward = (list(c) for c in zip(*cells, strict=True))
    gain = agent_advantages(reward, task=task, trajectory=trajectory, agent=agent, mode="agent")
    for cell in set(zip(task, agent, strict=True)):
        own = gain[[c == cell for c in zip(task, agent, strict=True)]]
        spread = np.std([r for r, *c in zip(reward, task, agent, strict=True) if tuple(c) == cell])
        assert abs(own.mean()) < 1e-6
        if spread > 1e-2:
            assert np.mean(own**2) == pytest.approx(1.0, abs=1e-3)


def test_the_second_moment_factor_is_the_formula_and_what_a_gradient_shows() -> None:
    factor = second_moment_factor(REWARD, **IDS)["searcher"][0]
    mean, var = OUTCOMES.mean(), OUTCOMES.var()
    formula = (SEARCHER.var() + (SEARCHER.mean() - mean) ** 2) / var
    assert factor == pytest.approx(formula, rel=1e-5)
    score = np.random.default_rng(0).normal(size=(100_000, 3)) * 2.0  # E||z||^2 = 12, independent of rewards
    drawn = np.random.default_rng(1).choice(searcher(rows("global")), 100_000)
    squares = np.square(score * drawn[:, None]).sum(1)
    assert abs(squares.mean() / 12 - formula) < 3 * squares.std() / 12 / np.sqrt(100_000)
    assert second_moment_factor(REWARD, **IDS, mode="agent")["searcher"][0] == pytest.approx(1.0, abs=1e-4)


def test_weights_stand_for_copies() -> None:
    copies = [0, 0, 1, 2, 2, 2]
    plain = agent_advantages(SEARCHER[copies], task=[0] * 6, trajectory=list(range(6)), agent=["s"] * 6)
    weighed = agent_advantages(
        SEARCHER[:3], task=[0] * 3, trajectory=[0, 1, 2], agent=["s"] * 3, weights=[2.0, 1.0, 3.0]
    )
    np.testing.assert_allclose(plain, weighed[copies], atol=1e-6)


def test_aligned_rows_are_of_their_own_trajectory_and_as_many_as_asked() -> None:
    trajectory = ["p"] * 2 + ["q"] * 5 + ["r"]
    rng, counts = np.random.default_rng(0), np.zeros(8)
    for _ in range(2000):
        chosen = aligned_rows(trajectory, 4, rng)
        assert [trajectory[i] for i in chosen] == ["p"] * 4 + ["q"] * 4 + ["r"] * 4
        counts += np.bincount(chosen, minlength=8)
    np.testing.assert_allclose(counts / 2000, [2, 2, *[0.8] * 5, 4], atol=0.06)
    assert set(aligned_rows(trajectory, 4, rng)[:2]) == {0, 1}, "no row is lost where rows are copied"


def test_gae_of_one_is_the_return_and_of_zero_the_error() -> None:
    reward, value, last = np.array([[1.0, 2.0, 3.0]]), np.array([[0.5, 0.2, 0.1]]), np.array([4.0])
    full = gae(reward, value, last, alive=True, discount=0.9, decay=1.0)
    returns = 1 + 0.9 * 2 + 0.81 * 3 + 0.729 * 4
    assert full[0, 0] == pytest.approx(returns - 0.5)
    short = gae(reward, value, last, alive=True, discount=0.9, decay=0.0)
    np.testing.assert_allclose(short[0], [1 + 0.9 * 0.2 - 0.5, 2 + 0.9 * 0.1 - 0.2, 3 + 0.9 * 4 - 0.1])


def test_gae_passes_over_padding_and_stops_at_ends() -> None:
    packed = gae([[1.0, 3.0]], [[0.5, 0.1]], [0.7], alive=True, discount=0.9, decay=0.8)
    padded = gae([[1.0, 99.0, 3.0]], [[0.5, 99.0, 0.1]], [0.7], alive=[[True, False, True]], discount=0.9, decay=0.8)
    np.testing.assert_allclose(padded[0, [0, 2]], packed[0])
    assert padded[0, 1] == 0
    cut = gae([[1.0, 3.0]], [[0.5, 0.1]], [0.7], alive=True, discount=0.9, decay=0.8, done=[[True, False]])
    assert cut[0, 0] == pytest.approx(0.5)


def test_shapley_credit_of_the_glove_game() -> None:
    """One left glove, two right ones: 2/3, 1/6, 1/6, whoever calls how often."""
    names = ["left", "other", "right"]
    some = [frozenset(s) for n in range(4) for s in itertools.combinations(names, n)]
    worth = {s: float("left" in s and len(s) > 1) for s in some}
    reward = CREDIT.get("shapley")(Outcome(1.0, worth=worth), ["right", "left", "other", "left"])
    np.testing.assert_allclose(reward, [1 / 6, 2 / 3, 1 / 6, 2 / 3])


def test_rules_of_credit() -> None:
    worth = {frozenset(s): len(s) ** 2 / 4 for n in range(3) for s in itertools.combinations("ab", n)}
    outcome = Outcome(1.0, own={"a": 0.25, "b": 0.75}, worth=worth, steps=[0.0, 1.0, 1.0])
    callers = ["a", "b", "a"]
    expected = {
        "shared": [1, 1, 1], "own": [0.25, 0.75, 0.25], "last": [0, 0, 1],
        "difference": [0.75] * 3, "shapley": [0.5] * 3, "step": [0, 1, 1],
    }  # fmt: skip
    for name, reward in expected.items():
        np.testing.assert_allclose(CREDIT.get(name)(outcome, callers), reward)
    assert set(CREDIT) == set(expected)


def test_aligned_advantages_are_the_sum_over_the_past() -> None:
    rng = np.random.default_rng(3)
    own, other, beta, g = rng.normal(size=(4, 7)), rng.normal(size=(4, 7)), 1.5, 0.9
    past = np.array([[sum(g ** (t - k) * row[k] for k in range(t)) for t in range(7)] for row in own])
    np.testing.assert_allclose(past_weights(own, g), past)
    np.testing.assert_allclose(aligned_advantages(own, other, beta, g), own + beta * past * other)
    np.testing.assert_array_equal(aligned_advantages(own, other, 0.0, g), own)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"rewards": [1.0, float("nan")]}, "row 1"),
        ({"agent": ["a"]}, "agent"),
        ({"mode": "guess"}, "mode"),
        ({"weights": [1.0, -1.0]}, "weights"),
    ],
)
def test_bad_rows_are_named(change: dict[str, object], named: str) -> None:
    good: dict[str, object] = {"rewards": [1.0, 0.0], "task": [0, 0], "trajectory": [0, 1], "agent": ["a", "a"]}
    with pytest.raises(InputError, match=named):
        agent_advantages(**{**good, **change})  # type: ignore[arg-type]


def test_credit_says_what_is_missing() -> None:
    with pytest.raises(InputError, match="no outcome of b"):
        CREDIT.get("difference")(Outcome(1.0), ["a", "b"])
    with pytest.raises(InputError, match="'a'"):
        CREDIT.get("own")(Outcome(1.0), ["a"])
    with pytest.raises(InputError, match="exact up to"):
        CREDIT.get("shapley")(Outcome(1.0), [str(i) for i in range(11)])
    with pytest.raises(InputError, match="1 outcomes of 2 calls"):
        CREDIT.get("step")(Outcome(1.0, steps=[1.0]), ["a", "b"])
