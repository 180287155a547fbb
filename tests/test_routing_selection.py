"""Whom to ask: LinUCB against the normal equations, beacons, screening, and the router that joins them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.errors import InputError
from shoal.teams.routing import beacon
from shoal.teams.routing.beacon import AgentState, Bid, Candidate, NoAgentAvailable, Priors, SubTask
from shoal.teams.routing.linucb import BatchedLinUCB, LinUCB, Radius
from shoal.teams.routing.router import ChanceRouter, Router, RouterSettings


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
