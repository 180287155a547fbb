"""The routing simulator against a scalar one and an independent run; recovery, regret, warm-up and agreement."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import InputError, UnknownName
from shoal.teams.routing import agreement, linear_world, policies, warmup
from shoal.teams.routing.beacon import AgentState
from shoal.teams.routing.chains import vote_over_chains
from shoal.teams.routing.linucb import LinUCB, Radius
from shoal.teams.routing.pool import NOBODY, SHOCKS, Pool, draw, paper_pool, shocked, simulate
from shoal.teams.routing.recovery import deadlocks, recovery, rolling_success


def generators(count: int, *key: int) -> list[np.random.Generator]:
    return [np.random.default_rng([*key, i]) for i in range(count)]


def test_shocks_copy_the_pool() -> None:
    before, pool = paper_pool(), paper_pool()
    for shock in SHOCKS:
        shocked(pool, shock)
    assert np.array_equal(pool.competence, before.competence)
    assert np.array_equal(pool.match, before.match)
    gone = shocked(pool, "unavailable")
    assert gone.competence[:, 0].tolist() == [0, 0]
    assert gone.competence[1, 1:] == pytest.approx([0.18, 0.325, 0.27, 0.255])
    assert gone.latency_ms[0] == 1800
    told, silent = shocked(pool, "degraded"), shocked(pool, "degraded-silent")
    assert told.competence[:, 0] == pytest.approx([0.594, 0.198])
    assert told.competence[1, [2, 4]] == pytest.approx([0.39, 0.34])
    assert told.match[1, 0] == pytest.approx(0.665)
    assert silent.match[1, 0] == 0.95
    assert np.array_equal(told.competence, silent.competence)
    with pytest.raises(UnknownName):
        shocked(pool, "degrade")


@pytest.fixture(scope="module")
def table() -> dict[tuple[str, str], tuple[float, float]]:
    """Success before and after each shock over 20 seeds."""
    draws = draw(generators(20, 7), 1000, 5)
    rows = {}
    for shock in ("unavailable", "degraded"):
        for name in (
            "static rule",
            "random",
            "random in top L",
            "linucb",
            "linucb reduced",
            "frozen reduced",
            "oracle",
        ):
            policy = policies.make_policy(name, policies.Setting(20, paper_pool()))
            ok = simulate(policy, draws, paper_pool(), shock=shock, shock_at=500).success
            rows[shock, name] = float(ok[:, :500].mean()), float(ok[:, 500:].mean())
    return rows


# An independent run of the same simulator, 20 seeds: success before / after.
INDEPENDENT = {
    "static rule": (0.924, 0.254, 0.386),
    "random": (0.695, 0.352, 0.460),
    "random in top L": (0.836, 0.308, 0.447),
    "linucb": (0.867, 0.387, 0.458),
    "linucb reduced": (0.940, 0.438, 0.480),
    "frozen reduced": (0.940, 0.000, 0.301),
    "oracle": (0.951, 0.491, 0.574),
}


@pytest.mark.parametrize("name", INDEPENDENT)
def test_simulator_agrees_with_an_independent_run(name: str, table: dict[tuple[str, str], tuple[float, float]]) -> None:
    before, unavailable, degraded = INDEPENDENT[name]
    # Two means over 20 seeds of 500 tasks each differ by chance by up to about 0.02.
    assert table["unavailable", name] == pytest.approx((before, unavailable), abs=0.02)
    assert table["degraded", name] == pytest.approx((before, degraded), abs=0.02)


def test_policies_do_not_disturb_each_other() -> None:
    draws = draw(generators(3, 1), 400, 5)

    def run(name: str) -> np.ndarray:
        policy = policies.make_policy(name, policies.Setting(3, paper_pool(), freeze_at=200))
        return simulate(policy, draws, paper_pool(), shock="degraded", shock_at=200).chosen

    alone = run("linucb")
    for name in policies.POLICIES:
        run(name)
    assert np.array_equal(run("linucb"), alone)
    assert np.array_equal(run("frozen")[:, :200], alone[:, :200])


def scalar_run(draws: object, seed: int, shock_at: int) -> list[int]:
    """The simulator once more, one seed, plain Python, with the live team's LinUCB."""
    profiles, state = paper_pool(), [AgentState(latency_ms=ms) for ms in paper_pool().latency_ms]
    model, chosen = LinUCB(6, Radius(scale=0.1)), []
    hard, success, noise = draws.hard[seed], draws.success[seed], draws.latency[seed]  # type: ignore[attr-defined]
    for t in range(len(hard)):
        if t == shock_at:
            profiles = shocked(profiles, "unavailable")
        level = int(hard[t])
        for s in state:
            s.rest()
        ready = [i for i in range(5) if state[i].available]
        kept = sorted(ready, key=lambda i: -profiles.match[level, i])[:3]
        rows = []
        for i in kept:
            s = state[i]
            row = np.array([1, profiles.match[level, i], s.load, min(1, s.latency_ms / 2000), s.reputation, 1.0])
            rows.append(row / max(1.0, float(np.linalg.norm(row))))
        pick = model.select(rows)
        i, s = kept[pick], state[kept[pick]]
        took = max(10.0, profiles.latency_ms[i] * (1 + 1.2 * s.load) * (1 + 0.08 * noise[t, i]))
        ok = success[t, i] < profiles.competence[level, i] * (1 - 0.05 * s.load)
        s.pick()
        s.observe(float(ok), took)
        model.update(rows[pick], float(ok))
        chosen.append(i)
    return chosen


def test_simulator_equals_a_scalar_implementation() -> None:
    draws = draw(generators(2, 5), 400, 5)
    policy = policies.make_policy("linucb reduced", policies.Setting(2, paper_pool()))
    log = simulate(policy, draws, paper_pool(), shock="unavailable", shock_at=250)
    for seed in range(2):
        assert log.chosen[seed].tolist() == scalar_run(draws, seed, 250)


def test_overloaded_and_absent_agents_fail_the_step() -> None:
    draws = draw(generators(2, 9), 3, 5)
    pool = Pool(paper_pool(), 2)
    pool.load[:] = 1.0
    view = pool.view(draws, 0)
    assert not view.available.any()
    for name in ("always strongest", "linucb", "static rule"):
        chosen = policies.make_policy(name, policies.Setting(2, paper_pool())).choose(view)
        assert chosen.tolist() == [NOBODY, NOBODY]
    ok, took = pool.execute(view, np.array([NOBODY, NOBODY]), draws)
    assert not ok.any() and took.tolist() == [0, 0]
    assert (pool.reputation == 0.5).all()


def test_screen_larger_than_the_pool_is_the_pool() -> None:
    draws = draw(generators(2, 9), 50, 5)
    runs = [
        simulate(policies.make_policy("linucb", policies.Setting(2, paper_pool(), screened=n)), draws, paper_pool())
        for n in (5, 50)
    ]
    assert np.array_equal(runs[0].chosen, runs[1].chosen)


def test_random_policy_is_uniform_over_the_eligible() -> None:
    eligible = np.tile([True, False, True, True, False], (3000, 1))
    picks = policies._among(eligible, np.random.default_rng(0).random(3000))
    counts = np.bincount(picks, minlength=5)
    assert counts[[1, 4]].tolist() == [0, 0]
    assert (np.abs(counts[[0, 2, 3]] - 1000) < 120).all()


def test_variants_of_the_bandit() -> None:
    setting = policies.Setting(2, paper_pool())
    draws = draw(generators(2, 3), 60, 5, requesters=4)
    shapes = {"per agent": (5, 6), "per requester": (4, 6), "identity": (1, 11), "linucb": (1, 6)}
    for name, (models, dimensions) in shapes.items():
        policy = policies.make_policy(name, setting)
        simulate(policy, draws, paper_pool())
        assert isinstance(policy, policies.Bandit)
        assert policy.selector.b.shape == (2, models, dimensions)
        assert policy.selector.updates.sum(axis=1).tolist() == [60, 60]
    blind = policies.Bandit(setting, blind=(2,))
    assert (blind.features(Pool(paper_pool(), 2).view(draws, 0))[..., 2] == 0).all()
    with pytest.raises(UnknownName, match="linucb"):
        policies.make_policy("linucbb", setting)


def test_rolling_success_uses_the_past_only() -> None:
    s = np.array([1, 0, 1, 1, 0, 0])
    assert rolling_success(s, 3) == pytest.approx([1, 0.5, 2 / 3, 2 / 3, 2 / 3, 1 / 3])
    late = s.copy()
    late[4:] = 1
    assert np.array_equal(rolling_success(s, 3)[:4], rolling_success(late, 3)[:4])


def test_recovery_definition() -> None:
    steady = np.ones(600)
    assert recovery(steady, 300).fell is False
    dip = steady.copy()
    dip[300:330] = 0
    r = recovery(dip, 300)
    # The window of 50 holds 30 failures until task 349; 45 of 50 right again when 25 of them have left it.
    assert (r.baseline, r.fell, r.steps) == (1.0, True, 74)
    gone = steady.copy()
    gone[300:] = np.tile([1, 0], 150)
    assert recovery(gone, 300) == replace(r, steps=None)
    assert recovery(gone, 300, attainable=0.5).steps is not None
    with pytest.raises(InputError):
        recovery(steady, 100)


def test_deadlocks() -> None:
    assert deadlocks([0, 0, 0, 1, 0, 0]) == 1
    assert deadlocks([0] * 7) == 2
    assert deadlocks([]) == 0


def test_regret_in_the_linear_world() -> None:
    world = linear_world.draw_world(generators(8, 1), 1200)
    assert np.allclose(np.linalg.norm(world.features, axis=-1), 1)
    curves = {n: linear_world.regret_of(n, world, Radius(), 0.1, 50) for n in linear_world.POLICIES}
    for curve in curves.values():
        assert (np.diff(curve, axis=1) >= -1e-12).all()
    ratio = {n: float((c[:, -1] / c[:, 299]).mean()) for n, c in curves.items()}
    assert ratio["linucb"] < 1.5
    assert ratio["random"] == pytest.approx(4.0, abs=0.2)
    assert curves["linucb delayed"][:, -1].mean() > curves["linucb"][:, -1].mean()
    assert np.array_equal(linear_world.pseudo_regret(world, Radius()), curves["linucb"])


def test_no_warm_up_is_a_plain_run() -> None:
    before, draws = draw(generators(2, 1), 10, 5), draw(generators(2, 2), 60, 5)
    setting = policies.Setting(2, paper_pool())
    log = warmup.start_and_run("no warm-up", setting, paper_pool(), before, draws, 0.1)
    plain = simulate(
        policies.Bandit(setting, scale=0.1, beacon_screen=True), draws, paper_pool(), priors=np.full((2, 2, 5), 0.5)
    )
    assert np.array_equal(log.chosen, plain.chosen)
    warm = warmup.start_and_run("warm-up", setting, paper_pool(), before, draws, 0.1)
    assert not np.array_equal(warm.chosen, plain.chosen)
    with pytest.raises(UnknownName):
        warmup.start_and_run("warm", setting, paper_pool(), before, draws, 0.1)


def test_answers_have_the_competence_and_correlation_asked_for() -> None:
    competence = np.array([0.85, 0.4, 0.4, 0.4, 0.4])
    free = agreement.draw_answers(generators(2, 1), 20_000, competence, 0.0) == agreement.TRUTH
    tied = agreement.draw_answers(generators(2, 1), 20_000, competence, 0.8)
    assert np.allclose((tied == agreement.TRUTH).mean(axis=(0, 1)), competence, atol=0.015)
    together = [np.corrcoef(right[0, :, 1], right[0, :, 2])[0, 1] for right in (free, tied == agreement.TRUTH)]
    assert together[0] == pytest.approx(0, abs=0.03)
    # P(both right) of a bivariate normal with correlation 0.8 cut at 0.4 gives a phi of 0.584.
    assert together[1] == pytest.approx(0.58, abs=0.03)
    assert not (free.astype(int) == agreement.LURE).all()
    with pytest.raises(InputError):
        agreement.draw_answers([], 1, competence, 1.5)


@given(st.lists(st.integers(0, 3), min_size=3, max_size=3))
def test_batched_vote_equals_the_teams_vote(said: list[int]) -> None:
    winner, _ = vote_over_chains([str(a) for a in said], agreement.CHAIN_WEIGHTS.tolist())
    assert str(agreement.vote(np.array([said]), agreement.CHAIN_WEIGHTS)[0]) == winner


def test_counting_twice_narrows_the_width() -> None:
    answers = agreement.draw_answers(generators(4, 2), 300, np.array([0.85, 0.4, 0.4, 0.4, 0.4]), 0.0)
    once, twice = (agreement.run_agreement(n, answers, Radius(scale=0.1)) for n in ("summed once", "counted twice"))
    assert (twice.width < once.width).all()
    truth = agreement.run_agreement("truth", answers, Radius(scale=0.1))
    assert (truth.rewarded_wrong == 0).all()
    with pytest.raises(UnknownName):
        agreement.run_agreement("trust", answers, Radius())
