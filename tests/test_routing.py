"""Routing: formulas against second implementations, the simulator against a scalar one, and the live team."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.errors import InputError, UnknownName
from shoal.models.scripted import ScriptedModel
from shoal.runs.budget import Budget, Limits
from shoal.tasks.catalogue import open_task
from shoal.tasks.problem import Problem, Question, answer_key
from shoal.teams.agent import Agent
from shoal.teams.routing import agreement, beacon, linear_world, policies, replay, warmup
from shoal.teams.routing.beacon import AgentState, Bid, Candidate, NoAgentAvailable, Priors, SubTask
from shoal.teams.routing.chains import (
    Chain,
    agreement_reward,
    cost_aware_reward,
    direct_chains,
    plan_chains,
    step_reward,
    vote_over_chains,
    vote_within,
)
from shoal.teams.routing.linucb import BatchedLinUCB, LinUCB, Radius
from shoal.teams.routing.pool import NOBODY, SHOCKS, Pool, Reward, draw, paper_pool, shocked, simulate
from shoal.teams.routing.recovery import deadlocks, recovery, rolling_success
from shoal.teams.routing.router import ChanceRouter, Router, RouterSettings
from shoal.teams.routing.team import SymphonyTeam, team_facts
from shoal.teams.session import Session
from shoal.traces import TraceWriter, read_trace


def generators(count: int, *key: int) -> list[np.random.Generator]:
    return [np.random.default_rng([*key, i]) for i in range(count)]


# --- LinUCB ---------------------------------------------------------------------------------------------------------


def test_radius_is_the_published_formula() -> None:
    t, d = 37, 6
    expected = 1.0 * math.sqrt(d * math.log(1 + t / 1.0) + 2 * math.log(1 / 0.05)) + 1.0
    assert Radius().at(t, d) == pytest.approx(expected)
    assert Radius(scale=0.1).at(t, d) == pytest.approx(0.1 * expected)
    assert Radius(alpha=2, regularisation=4, norm_bound=3, delta=0.1).at(0, d) == pytest.approx(
        2 * math.sqrt(2 * math.log(10)) + 2 * 3
    )


@pytest.mark.parametrize("bad", [{"regularisation": 0.0}, {"delta": 1.0}, {"scale": -1.0}])
def test_radius_refuses(bad: dict[str, float]) -> None:
    with pytest.raises(InputError):
        Radius(**bad)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), updates=st.integers(0, 60), regularisation=st.floats(0.1, 5.0))
def test_rank_one_updates_solve_the_normal_equations(seed: int, updates: int, regularisation: float) -> None:
    rng = np.random.default_rng(seed)
    model = LinUCB(4, Radius(regularisation=regularisation))
    x, r = rng.standard_normal((updates, 4)), rng.uniform(-1, 1, updates)
    for features, reward in zip(x, r, strict=True):
        model.update(features, float(reward))
    gram = regularisation * np.eye(4) + x.T @ x
    assert np.allclose(model.theta, np.linalg.solve(gram, x.T @ r), atol=1e-8)
    probe = rng.standard_normal((3, 4))
    widths = [math.sqrt(p @ np.linalg.solve(gram, p)) for p in probe]
    assert np.allclose(model.scores(probe), probe @ model.theta + float(model.radius.at(updates, 4)) * np.array(widths))


@pytest.mark.parametrize("discount", [1.0, 0.9])
def test_batched_equals_single(discount: float) -> None:
    rng = np.random.default_rng(3)
    seeds, d, models = 3, 5, 2
    batch = BatchedLinUCB(seeds, d, models, Radius(), discount)
    single = [[LinUCB(d, Radius(), discount) for _ in range(models)] for _ in range(seeds)]
    for _ in range(40):
        x, r = rng.standard_normal((seeds, d)), rng.uniform(-1.5, 1.5, seeds)
        r[rng.random(seeds) < 0.1] = np.nan
        model, learn = rng.integers(0, models, seeds), rng.random(seeds) < 0.8
        batch.update(x, r, model, learn)
        for s in range(seeds):
            if learn[s]:
                single[s][model[s]].update(x[s], float(r[s]))
    probe = rng.standard_normal((seeds, models, d))
    both = batch.scores(probe, np.tile(np.arange(models), (seeds, 1)))
    for s in range(seeds):
        assert batch.dropped[s] == sum(m.dropped for m in single[s])
        for m in range(models):
            assert both[s, m] == pytest.approx(single[s][m].scores(probe[s, m])[0])
    shared = BatchedLinUCB(seeds, d)
    assert np.allclose(shared.scores(probe), shared.scores(probe, np.zeros((seeds, models), int)))


def test_discounting_forgets_data_but_not_the_regulariser() -> None:
    model = LinUCB(2, Radius(regularisation=2.0), discount=0.5)
    for _ in range(200):
        model.update([1.0, 0.0], 1.0)
    assert model.inverse[1, 1] == pytest.approx(0.5)
    assert model.inverse[0, 0] == pytest.approx(1 / (2.0 + 2.0))
    assert model.updates == pytest.approx(2.0)
    with pytest.raises(InputError):
        LinUCB(2, discount=0.0)


def test_rewards_are_clipped_and_nan_is_dropped() -> None:
    one, two = LinUCB(2), LinUCB(2)
    assert one.update([1, 0], 7.0)
    assert two.update([1, 0], 1.0)
    assert np.array_equal(one.b, two.b)
    assert not one.update([1, 0], float("nan"))
    assert (one.updates, one.dropped) == (1.0, 1)
    assert np.array_equal(one.inverse, two.inverse)
    with pytest.raises(ValueError, match="no candidate"):
        one.select(np.empty((0, 2)))


# --- Beacon ---------------------------------------------------------------------------------------------------------


def test_beacon_formulas() -> None:
    assert beacon.stability(0.5, 1000.0, True) == pytest.approx(0.4 * 0.5 + 0.4 * 0.5 + 0.2)
    assert beacon.stability(0.0, 9000.0, False) == pytest.approx(0.4)
    assert beacon.screen_score(0.8, 0.5, 0.6) == pytest.approx(0.5 * 0.8 + 0.35 * 0.5 + 0.15 * 0.6)
    x = beacon.features([0.8, 0.1], [0.2, 0.0], [4000.0, 500.0], [0.5, 0.9], [True, False])
    raw = np.array([1, 0.8, 0.2, 1.0, 0.5, 1])
    assert np.allclose(x[0], raw / np.linalg.norm(raw))
    assert np.allclose(np.linalg.norm(x, axis=1), 1)
    tagged = beacon.features([0.5, 0.5], 0.0, 0.0, 0.5, 1.0, identity=True)
    assert tagged.shape == (2, 8)
    assert not np.allclose(tagged[0], tagged[1])


def bid(agent: int, score: float, available: bool = True, name: str = "") -> Bid:
    return Bid(agent, name or f"a{agent}", score, np.zeros(6), available)


def test_screen_keeps_the_best_distinct_available() -> None:
    bids = [bid(0, 0.5), bid(1, 0.9, available=False), bid(2, 0.7), bid(3, 0.7), bid(4, 0.1)]
    assert [b.agent for b in beacon.screen(bids, 3)] == [2, 3, 0]
    assert len(beacon.screen(bids, 99)) == 4
    assert len(beacon.screen([bid(0, 0.5, name="x"), bid(1, 0.6, name="x")], 3)) == 1
    with pytest.raises(InputError):
        beacon.screen(bids, 0)
    with pytest.raises(NoAgentAvailable, match="none of the 1"):
        beacon.screen([bid(0, 1.0, available=False)], 3)


def test_state_and_priors() -> None:
    state = AgentState()
    for _ in range(4):
        state.pick()
    assert state.load == 1.0 and not state.available
    state.rest()
    assert state.load == pytest.approx(0.88) and state.available
    state.observe(1.0, 1000.0)
    assert (state.reputation, state.latency_ms) == pytest.approx((0.525, 600.0))
    priors = Priors()
    assert priors.get("a", "x|easy") == 0.5
    priors.observe("a", "x|easy", 3.0)
    assert (priors.get("a", "x|easy"), priors.get("a", "x|hard")) == (1.0, 0.5)
    shrunk = Priors(strength=1.0)
    shrunk.observe("a", "b", 1.0)
    assert shrunk.get("a", "b") == 0.75
    assert SubTask("r", "gsm8k", "").bucket == "gsm8k|unknown"


# --- Votes and rewards ----------------------------------------------------------------------------------------------


def test_votes() -> None:
    q = Question("q", "?", "number")
    assert vote_within(q, ["7", None, "7.0", "8"]) == "7"
    assert vote_within(q, ["8", "7"]) == "8"
    assert vote_within(q, [None]) is None
    assert vote_over_chains(["a", "b", "b"], [1.0, 0.6, 0.3]) == ("a", {"a": 1.0, "b": pytest.approx(0.9)})
    assert vote_over_chains(["a", "b", "a"], [0.2, 0.5, 0.3])[0] == "b"  # equal sums: the heaviest single chain
    assert vote_over_chains(["b", "a"], [0.5, 0.5])[0] == "b"  # equal in all: the first
    assert vote_over_chains(["a", "b", "b"], [0.3, 0.1, 0.2])[0] == "a"  # 0.1 + 0.2 is 0.3 for a vote
    assert vote_over_chains([None, None], [1.0, 1.0]) == (None, {})


def test_reward_formulas() -> None:
    assert step_reward(True, 0.25) == pytest.approx(0.9)
    assert step_reward(False, 0.25) == 0.0
    assert agreement_reward(True, 1.0) == pytest.approx(0.3)
    assert agreement_reward(False, 0.0) == 0.0
    assert cost_aware_reward(True, 0.5, 1.0) == pytest.approx(1 - 0.15 - 0.05)
    shaped = Reward(0.3, 0.05).of(np.array([True]), np.array([0.5]), np.array([9000.0]))
    assert shaped == pytest.approx(0.8)


def test_chains_refuse_nonsense() -> None:
    assert [c.weight for c in direct_chains(3)] == [1.0, 0.9, 0.8]
    for make in (lambda: Chain(()), lambda: Chain(("x",), 0.0), lambda: direct_chains(0)):
        with pytest.raises(InputError):
            make()


# --- The simulator --------------------------------------------------------------------------------------------------


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


# --- Recovery -------------------------------------------------------------------------------------------------------


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


# --- Linear world, warm-up, agreement -------------------------------------------------------------------------------


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


# --- The router -----------------------------------------------------------------------------------------------------


def make_router(count: int = 4, **options: object) -> Router:
    return Router([Candidate(f"a{i}") for i in range(count)], RouterSettings(**options))  # type: ignore[arg-type]


def test_router_prefers_unused_agents_and_survives_a_small_pool() -> None:
    router, task = make_router(screened=99), SubTask("do")
    bids = router.bids(task, [0.9, 0.8, 0.1, 0.2])
    used: set[str] = set()
    for _ in range(4):
        used.add(router.choose(bids, used=used).name)
    assert len(used) == 4
    again = router.choose(bids, used=used, now=["a0", "a1", "a2"])
    assert again.name == "a3"
    with pytest.raises(InputError):
        Router([Candidate("x"), Candidate("x")])
    with pytest.raises(InputError):
        RouterSettings(samples=0)


def test_router_learns_and_drops_nan() -> None:
    router, task = make_router(2, identity=True, screened=2), SubTask("do", "b", "easy")
    for _ in range(60):
        for bid_ in router.bids(task):
            assert router.learn(bid_, task, float(bid_.agent == 1), float(bid_.agent == 1))
    assert router.choose(router.bids(task), "test").name == "a1"
    assert router.priors.get("a1", "b|easy") > 0.9 > 0.1 > router.priors.get("a0", "b|easy")
    before = router.selector.updates
    assert not router.learn(router.bids(task)[0], task, float("nan"), 1.0)
    assert router.selector.updates == before
    router.states[0].reachable = router.states[1].reachable = False
    with pytest.raises(NoAgentAvailable):
        router.choose(router.bids(task))
    with pytest.raises(NoAgentAvailable):
        ChanceRouter(router.candidates, router.settings).choose(router.bids(task))


def toy_log(problems: int = 120) -> replay.Log:
    rng = np.random.default_rng(0)
    right = rng.random((3, problems)) < np.array([[0.9], [0.5], [0.2]])
    answers = tuple(tuple("1" if ok else str(2 + m) for ok in row) for m, row in enumerate(right))
    return replay.Log(
        tuple(Candidate(f"m{i}") for i in range(3)),
        answers,
        right,
        np.full((problems, 3), 0.5),
        tuple("easy" for _ in range(problems)),
        np.full((3, problems), 20.0),
    )


def test_replay_routes_to_the_strongest_and_never_sees_the_test() -> None:
    log = toy_log()
    parts = replay.split(120, np.random.default_rng(1))
    assert sorted(np.concatenate([parts.cold, parts.learn, parts.test])) == list(range(120))
    settings = RouterSettings(identity=True)
    played = replay.play_routed("routed, truth, identity", log, parts, settings)
    assert (played.chosen == 0).mean() > 0.9
    assert played.training_calls == parts.cold.size + parts.learn.size
    flipped = log.correct.copy()
    flipped[:, parts.test] = ~flipped[:, parts.test]
    blind = replay.play_routed("routed, truth, identity", replace(log, correct=flipped), parts, settings)
    assert np.array_equal(blind.chosen, played.chosen)
    lied = log.correct.copy()
    lied[:, parts.learn] = ~lied[:, parts.learn]
    voted = [
        replay.play_routed("routed, agreement", replace(log, correct=c), parts, RouterSettings()).chosen
        for c in (log.correct, lied)
    ]
    assert np.array_equal(*voted)  # agreement never looks at the truth


def test_replay_baselines() -> None:
    log, parts = toy_log(), replay.split(120, np.random.default_rng(1))
    got = {n: replay.play_baseline(n, log, parts, np.random.default_rng(2)) for n in replay.BASELINES}
    assert got["oracle"].correct.mean() >= max(p.correct.mean() for p in got.values())
    assert got["vote of all"].calls == 3
    assert got["strongest in hindsight"].correct.tolist() == log.correct[0, parts.test].tolist()
    assert np.bincount(got["round robin"].chosen).tolist() == [8, 8, 8]
    votes = [max(dict.fromkeys(a), key=a.count) == "1" for a in ([row[p] for row in log.answers] for p in parts.test)]
    assert got["vote of all"].correct.tolist() == votes
    with pytest.raises(InputError):
        replay.split(10, np.random.default_rng(0), (0.5, 0.5))


def test_difficulty_bin_counts_numbers_of_the_question() -> None:
    assert replay.difficulty_bin(Question("a", "3 apples and 4 pears")) == "easy"
    assert replay.difficulty_bin(Question("b", "1 2 3 4")) == "hard"


# --- The live team --------------------------------------------------------------------------------------------------


def problems_and_model(count: int, competence: object, **options: object) -> tuple[list[Problem], ScriptedModel]:
    problems = list(open_task("sums").problems(count, 4))
    return problems, ScriptedModel(answer_key(problems), seed=1, competence=competence, **options)  # type: ignore[arg-type]


def team_of(count: int, **options: object) -> SymphonyTeam:
    return SymphonyTeam([Agent(f"w{i}") for i in range(count)], **options)  # type: ignore[arg-type]


async def test_team_learns_whom_to_ask(tmp_path: object) -> None:
    problems, model = problems_and_model(60, {"w0": 0.1, "w1": 0.95, "w2": 0.2})
    team = team_of(3, chains=1, settings=RouterSettings(samples=1, identity=True, radius=Radius(scale=0.2)))
    path = tmp_path / "trace.jsonl"  # type: ignore[operator]
    asked: list[str] = []
    with TraceWriter(path, "run") as trace:
        for i, p in enumerate(problems):
            phase = "cold" if i < 6 else "learn" if i < 45 else "test"
            session = Session(model=model, question=p.question, trace=trace)
            outcome = await team(p.question, session, phase=phase)  # type: ignore[arg-type]
            before = team.router.selector.updates
            updates = team.feedback(p.question, session, p.check)
            assert updates == (0 if phase == "test" else 1)
            assert team.router.selector.updates == before + updates
            assert outcome.event
    events = list(read_trace(path).events)
    routes = [e for e in events if e.kind == "decision" and e.payload["decision"] == "route"]
    asked = [e.payload["agents"][0] for e in routes]
    assert asked[:6] == ["w0", "w1", "w2"] * 2
    assert asked[45:].count("w1") >= 13
    beacons = [e for e in events if "beacon" in e.payload]
    assert len(beacons) == 3 * 60
    assert set(beacons[0].payload["beacon"]) == {"agent", "score", "available", "features"}
    assert {e.id for e in beacons[:3]} == set(routes[0].parents)
    assert sum(e.kind == "reward" for e in events) == 45
    facts = team_facts(team)
    assert facts["updates"] == 45 and set(facts["reputation"]) == {"w0", "w1", "w2"}


async def test_chains_vote_and_agreement_is_rewarded() -> None:
    problems, model = problems_and_model(1, {"w0": 1.0, "w1": 1.0, "w2": 0.0, "w3": 1.0})
    question = problems[0].question
    team = team_of(4, chains=3, settings=RouterSettings(samples=1, screened=4, radius=Radius(scale=0)))
    session = Session(model=model, question=question)
    outcome = await team(question, session)
    assert problems[0].check(outcome.answer)
    assert session.usage.calls == 3
    assert session.messages == 3 * (4 + 4)
    assert sum(outcome.votes.values()) == pytest.approx(2.7)
    assert team.feedback(question, session) == 3
    assert team.feedback(question, session) == 0  # feedback is given once
    bucket = f"sums|{question.tags['difficulty']}"
    # Two pseudo-observations of 0.5 and one of 1 or 0: w2 lost the vote, w3 was not asked.
    assert [team.router.priors.get(f"w{i}", bucket) for i in range(4)] == pytest.approx([2 / 3, 2 / 3, 1 / 3, 0.5])


async def test_steps_of_a_chain_follow_each_other() -> None:
    problems, model = problems_and_model(1, 1.0)
    question = problems[0].question
    team = team_of(3, settings=RouterSettings(samples=2))
    session = Session(model=model, question=question)
    seen: list[str] = []
    original = session.ask

    async def spy(agent: Agent, prompt: str, **options: object) -> object:
        seen.append(prompt)
        return await original(agent, prompt, **options)  # type: ignore[arg-type]

    session.ask = spy  # type: ignore[method-assign, assignment]
    outcome = await team(question, session, chains=[Chain(("Restate the task.", "Give the result."))])
    assert problems[0].check(outcome.answer)
    assert len(seen) == 4
    assert all("Restate" in p and "Answer" not in p for p in seen[:2])
    assert all("Result of the step before" in p for p in seen[2:])
    assert team.feedback(question, session, problems[0].check) == 4


async def test_nobody_available_is_a_failed_step() -> None:
    problems, model = problems_and_model(1, 1.0)
    team = team_of(2, chains=2)
    for state in team.router.states:
        state.reachable = False
    session = Session(model=model, question=problems[0].question)
    outcome = await team(problems[0].question, session)
    assert outcome.answer is None
    assert session.failures["no agent available"] == 2
    assert session.usage.calls == 0
    assert team.feedback(problems[0].question, session) == 0


async def test_budget_ends_the_team_cleanly() -> None:
    problems, model = problems_and_model(1, 1.0)
    team = team_of(3, chains=3, settings=RouterSettings(samples=1))
    session = Session(model=model, question=problems[0].question, budget=Budget(Limits(calls=1)))
    outcome = await team(problems[0].question, session)
    assert problems[0].check(outcome.answer)
    assert session.failures["budget"] == 2
    assert team.feedback(problems[0].question, session) == 1
    spent = Session(model=model, question=problems[0].question, budget=Budget(Limits(calls=1)))
    planned = team_of(3, planners=[Agent("p0"), Agent("p1")])
    assert (await planned(problems[0].question, spent)).answer is None
    assert spent.failures["budget"] == 3


async def test_unreadable_replies_are_asked_for_once_more() -> None:
    problems, model = problems_and_model(1, 1.0, format_failures=1.0)
    team = team_of(2, chains=1, settings=RouterSettings(samples=1))
    session = Session(model=model, question=problems[0].question)
    outcome = await team(problems[0].question, session)
    assert outcome.answer is None
    assert session.usage.calls == 2
    assert session.failures["no answer"] == 1


async def test_planners_that_write_no_plan_fall_back() -> None:
    problems, model = problems_and_model(1, 1.0)
    session = Session(model=model, question=problems[0].question)
    chains = await plan_chains(problems[0].question, [Agent("p0"), Agent("p1")], session)
    assert len(chains) == 2
    for chain in chains:
        assert 1 <= len(chain.steps) <= 4 and 0 < chain.weight <= 1
    assert session.failures["no plan"] == sum(c == Chain(("Solve the task.",), 0.1) for c in chains)
    team = team_of(2, planners=[Agent("p0")], settings=RouterSettings(samples=1))
    assert (await team(problems[0].question, session)).answer is not None


async def test_team_refuses_nonsense() -> None:
    problems, model = problems_and_model(1, 1.0)
    with pytest.raises(InputError, match="capabilities"):
        team_of(2, capabilities=["one"])
    with pytest.raises(InputError, match="phase"):
        await team_of(1)(problems[0].question, Session(model=model), phase="warm")  # type: ignore[arg-type]
