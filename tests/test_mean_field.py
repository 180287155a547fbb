"""Mean-field control: kernel rules, features of the distribution, the two worlds, and ways to carry a plan out."""

from __future__ import annotations

import dataclasses
import itertools
import math
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.errors import InputError
from shoal.populations import make_model, simulate
from shoal.populations.mean_field.execution import Chance, Classic, Plan, course, make_plan, starts
from shoal.populations.mean_field.features import Features
from shoal.populations.mean_field.rules import (
    LEAST_SPREAD,
    KernelRule,
    Kernels,
    gather_rule,
    kernel_rule,
    raw_rule,
    turn_rule,
)
from shoal.populations.mean_field.worlds import CLUMP, MeanFieldWorld, SwarmWorld
from shoal.populations.space import Square
from shoal.worlds import make_world
from shoal.worlds.compilation import usable

TORUS = Square(4.0, torus=True)


def quick(function: Any, **settings: Any) -> Any:
    """Compiled with little effort: each is run a few times only."""
    return jax.jit(function, compiler_options=usable((("xla_backend_optimization_level", 0),)), **settings)


@cache
def begun(world: SwarmWorld, number: int = 0, batch: tuple[int, ...] = ()) -> Any:
    """State and timestep of fresh swarms."""
    return quick(world.reset, static_argnums=1)(jax.random.key(number), batch)


def seen(*rows: tuple[float, float]) -> jax.Array:
    return jnp.asarray(rows, jnp.float32)


# Rules


@settings(max_examples=8, deadline=None)
@given(st.floats(-50, 50), st.floats(-50, 50), st.integers(1, 5), st.floats(0.2, 3.0))
def test_weights_sum_to_one_however_far_the_centres_are(a: float, b: float, side: int, width: float) -> None:
    weights = np.asarray(Kernels(side, width=width).weights(seen((a, b))))
    assert weights.shape == (side**2, 1)
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1.0, abs=1e-5)


def test_weights_are_the_softmax_over_all_centres() -> None:
    kernels = Kernels(4, reach=1.5, width=0.7)
    places = np.random.default_rng(0).uniform(-2, 2, (6, 2)).astype(np.float32)
    far = ((places[None] - kernels.centres[:, None]) ** 2).sum(-1)
    plain = np.exp(-far / (2 * kernels.sigma**2))
    np.testing.assert_allclose(kernels.weights(jnp.asarray(places)), plain / plain.sum(0), atol=1e-5)


def test_the_grid_of_the_page() -> None:
    kernels = Kernels()
    assert kernels.count == 25
    assert kernels.sigma == 0.5
    assert kernels.centres[0].tolist() == [-1, -1]
    assert kernels.centres[1].tolist() == [-1, -0.5]


def test_slopes_stay_below_the_lipschitz_constant_and_come_near_it() -> None:
    kernels = Kernels(2)
    places = jnp.asarray(np.random.default_rng(9).uniform(-1.5, 1.5, (200, 2)), jnp.float32)

    def steep(means: jax.Array) -> jax.Array:
        rule = KernelRule(kernels, means, jnp.full_like(means, 0.1))
        slopes = jax.vmap(jax.grad(lambda y: rule.mean(y[None])[0, 0]))(places)
        return jnp.sqrt(jnp.square(slopes).sum(1)).max()

    signs = np.asarray(list(itertools.product((-1.0, 1.0), repeat=4)), np.float32)[..., None]  # all extreme rules
    steepest = float(quick(jax.vmap(steep))(signs).max())
    assert 0.3 * kernels.lipschitz < steepest <= kernels.lipschitz
    assert Kernels(1).lipschitz == 0.0
    assert Kernels(5, table=True).lipschitz == math.inf


def test_one_centre_ignores_what_is_seen_and_a_table_takes_the_nearest() -> None:
    places = seen((0.9, -0.9), (-0.1, 0.1), (7.0, 7.0))
    blind = kernel_rule(Kernels(1), [[0.3]], 0.1).mean(places)
    np.testing.assert_allclose(blind, 0.3, atol=1e-6)
    table = Kernels(5, table=True)
    means = np.linspace(-1, 1, 25)[:, None]
    nearest = [np.argmin(((table.centres - np.asarray(p)) ** 2).sum(1)) for p in places]
    np.testing.assert_allclose(kernel_rule(table, means, 0.1).mean(places)[:, 0], means[nearest, 0], atol=1e-6)


def test_a_raw_action_gives_means_and_spreads_in_their_ranges() -> None:
    kernels = Kernels(2)
    rule = raw_rule(kernels, jnp.concatenate([jnp.arange(8.0), jnp.full(4, -50.0), jnp.full(4, 50.0)]))
    np.testing.assert_allclose(rule.means, np.tanh(np.arange(8.0)).reshape(4, 2), atol=1e-6)
    np.testing.assert_allclose(rule.spreads[:2], LEAST_SPREAD, atol=1e-6)
    np.testing.assert_allclose(rule.spreads[2:], LEAST_SPREAD + 0.5, atol=1e-6)


def test_a_batch_of_rules_is_its_rules_one_by_one() -> None:
    rng = np.random.default_rng(0)
    shapes = ((18, 2, 4), (7, 1, 2, 4), (7, 2, 2, 4))
    raw, noise, places = (rng.normal(size=shape).astype(np.float32) for shape in shapes)
    act = quick(lambda raw, noise, places: raw_rule(Kernels(3), raw).act(noise, places))
    batch, alone = np.asarray(act(raw, noise, places)), act(raw[:, 1, 2], noise[..., 1, 2], places[..., 1, 2])
    np.testing.assert_allclose(batch[..., 1, 2], alone, atol=1e-5)
    assert np.abs(batch).max() <= 1.0


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        (lambda: kernel_rule(Kernels(2), np.zeros((4, 1)), -0.1), "spreads"),
        (lambda: kernel_rule(Kernels(2), np.zeros((4, 1)), math.nan), "spreads"),
        (lambda: kernel_rule(Kernels(2), np.full((4, 1), 1.5), 0.1), "means"),
        (lambda: kernel_rule(Kernels(2), np.zeros((3, 1)), 0.1), "4 centres"),
        (lambda: Kernels(6), "side"),
        (lambda: Kernels(3, width=0.0), "width"),
        (lambda: Features(TORUS).measure(x=[0.5, math.nan], y=[0.1, 0.2]), "swarm x.*nan"),
        (lambda: Features(TORUS).measure(x=[0.5], y=[4.5]), "from 0 to 4"),
        (lambda: Features(TORUS, cells=0), "cells"),
        (lambda: make_world("swarm", task="flying"), "task"),
        (lambda: make_world("swarm", count=0), "count"),
        (lambda: make_world("swarm", radius=-1.0), "radius"),
        (lambda: make_world("swarm", radius=math.nan), "radius"),
        (lambda: make_world("swarm", walls=False), "torus"),
        (lambda: make_world("mean-field", centres=6), "side"),
        (lambda: make_world("mean-field", rule="spline"), "rule"),
    ],
)
def test_bad_input_is_named(wrong: Any, match: str) -> None:
    with pytest.raises(InputError, match=match):
        wrong()


# Features


def test_features_are_the_kernels_of_the_page() -> None:
    features = Features(TORUS, cells=3, headings=4)
    rng = np.random.default_rng(3)
    x, y, heading = rng.uniform(0, 4, 9), rng.uniform(0, 4, 9), rng.uniform(-np.pi, np.pi, 9)
    found = features.measure(x=x, y=y, heading=heading)
    spacing, chord = 4 / 3, 2 * np.sin(np.pi / 4)
    expected = []
    for a in (np.arange(3) + 0.5) * spacing:
        for b in (np.arange(3) + 0.5) * spacing:
            for turn in -np.pi + (np.arange(4) + 0.5) * np.pi / 2:
                dx, dy = (np.minimum(np.abs(d), 4 - np.abs(d)) for d in (x - a, y - b))
                angle = np.abs(np.exp(1j * heading) - np.exp(1j * turn)) ** 2
                expected.append(np.exp(-((dx**2 + dy**2) / spacing**2 + angle / chord**2) / 2).mean())
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_a_histogram_has_as_many_features_and_counts_everybody_once() -> None:
    kernel, histogram = Features(TORUS, 5, 4), Features(TORUS, 5, 4, histogram=True)
    assert kernel.size == histogram.size == 100
    draw = jax.random.uniform(jax.random.key(2), (3, 500))
    found = np.asarray(histogram(4 * draw[0], 4 * draw[1], jnp.pi * (2 * draw[2] - 1)))
    assert found.sum() == pytest.approx(1.0, abs=1e-5)
    np.testing.assert_allclose(found * 500, np.round(found * 500), atol=1e-3)
    np.testing.assert_allclose(histogram.even, 0.01, rtol=5e-3)  # a mean over 4096 points, not a multiple of 5


def test_kernel_features_shift_with_the_swarm_around_the_torus() -> None:
    features = Features(TORUS, cells=4, headings=0)
    x, y = 4 * jax.random.uniform(jax.random.key(4), (2, 30))
    moved = features(jnp.mod(x + 1.0, 4.0), y).reshape(4, 4)  # by one cell
    np.testing.assert_allclose(moved, jnp.roll(features(x, y).reshape(4, 4), 1, axis=0), atol=1e-5)


def test_an_even_swarm_has_features_of_one() -> None:
    world = MeanFieldWorld(task="vicsek", count=2000)
    found = np.asarray(starts(world))
    assert found.mean() == pytest.approx(1.0, abs=0.01)
    assert np.abs(found.mean(1) - 1).max() < 0.05


# Worlds


def test_worlds_are_found_by_name() -> None:
    assert make_world("mean-field:task=kuramoto,centres=1").continuous == 2  # a mean and a spread
    assert isinstance(make_world("swarm"), SwarmWorld)


def test_both_worlds_are_one_swarm() -> None:
    place: dict[str, Any] = {"task": "aggregation", "count": 12, "horizon": 3}
    team, planner = SwarmWorld(**place), MeanFieldWorld(**place)
    state, timestep = begun(team, 1, (2,))
    other, shown = begun(planner, 1, (2,))
    assert all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(other), strict=True))
    np.testing.assert_allclose(quick(team.global_state)(state, timestep), shown.obs[0], atol=1e-5)
    # The rule that the planner chooses is followed by everybody, on what each sees: spreads all but none here.
    raw = jnp.concatenate([jnp.full((planner.continuous // 2, 2), 0.5), jnp.full((planner.continuous // 2, 2), -50.0)])
    key = jax.random.key(3)
    after, told = quick(planner.step)(key, other, raw[None])
    action = jnp.full((12, len(team.dims), 2), math.tanh(0.5))
    alone, same = quick(team.step)(jax.random.split(key)[1], state, action)
    assert float(jnp.abs(after.swarm.x - alone.swarm.x).max()) < 0.02
    assert told.reward.shape == (1, 2)
    assert same.reward.shape == (12, 2)


def test_rewards_are_the_models_and_end_with_the_mean_of_the_last_steps() -> None:
    world = SwarmWorld(task="vicsek", count=8, horizon=25)
    seen_all = course(Chance(world), world, jax.random.key(0), (3,))
    assert seen_all.rewards.shape == (25, 3)
    state, timestep = begun(world, 0)
    step = quick(world.step)
    rewards = []
    for number in range(25):
        state, timestep = step(jax.random.key(number), state, jnp.zeros((8, 1)))
        rewards.append(float(timestep.reward[0]))
    assert bool(timestep.truncated)
    assert float(timestep.metrics["late"]) == pytest.approx(np.mean(rewards[-20:]), abs=1e-5)
    assert rewards[-1] == pytest.approx(float(world.model.reward(state.swarm)), abs=1e-6)


def test_turning_the_whole_swarm_turns_nothing_that_agents_see() -> None:
    world = SwarmWorld(task="vicsek", count=20)
    state, _ = begun(world, 5)
    heading = jnp.mod(state.swarm.heading + 2.0 + jnp.pi, 2 * jnp.pi) - jnp.pi
    turned = dataclasses.replace(state, swarm=dataclasses.replace(state.swarm, heading=heading))
    np.testing.assert_allclose(world.seen(turned), world.seen(state), atol=1e-5)
    assert float(world.model.reward(turned.swarm)) == pytest.approx(float(world.model.reward(state.swarm)), abs=1e-5)


def test_order_is_exact_where_it_is_known() -> None:
    model, start = make_model("vicsek", agents=4), make_model("vicsek", agents=4).population(0)
    for heading, order in (([1, 1, 1, 1], 1.0), ([0, np.pi, 0, -np.pi], 0.0), ([0, np.pi / 2] * 2, math.sqrt(0.5))):
        swarm = dataclasses.replace(start, heading=jnp.asarray(heading, jnp.float32))
        assert float(model.reward(swarm)) == pytest.approx(order, abs=1e-6)


ALONE = [("aggregation", {"count": 1}), ("vicsek", {"count": 1}), ("kuramoto", {"count": 5, "radius": 0.0})]


@pytest.mark.parametrize(("task", "settings"), ALONE)
def test_who_has_no_neighbours_sees_nothing(task: str, settings: dict[str, Any]) -> None:
    world = SwarmWorld(task=task, horizon=2, **settings)
    state, timestep = begun(world, 0)
    assert not np.asarray(timestep.obs).any()
    state, timestep = quick(world.step)(jax.random.key(1), state, jnp.ones((world.count, len(world.dims))))
    assert not np.asarray(timestep.obs).any()
    assert np.isfinite(np.asarray(timestep.reward)).all()


def test_clumps_are_two_and_look_away_from_each_other() -> None:
    world = SwarmWorld(task="kuramoto", count=40, start="clumps")
    state, _ = begun(world, 0, (2,))
    x, heading = np.asarray(state.swarm.x), np.asarray(state.swarm.heading)
    assert x[:20].max() <= 4 * CLUMP
    assert x[20:].min() >= 4 * (1 - CLUMP)
    assert np.cos(heading[:20]).min() > 0.9
    assert np.cos(heading[20:]).max() < -0.9


def test_without_walls_agents_leave_the_square() -> None:
    place = {"task": "aggregation", "count": 4, "horizon": 40}
    for walls in (True, False):
        world = SwarmWorld(walls=walls, **place)  # type: ignore[arg-type]
        state, _ = begun(world, 0)
        step = quick(world.step)
        for number in range(40):
            state, _ = step(jax.random.key(number), state, jnp.tile(jnp.asarray([-1.0, 0.0]), (4, 1)))
        assert (float(state.swarm.x.min()) >= 0) is walls
        assert (float(state.swarm.x.max()) < -1) is not walls


# Rules in the population models, and the limit


@pytest.mark.slow
def test_rules_set_by_hand_order_a_swarm() -> None:
    turn = make_model("vicsek", agents=60)
    flock = simulate(turn.following(turn_rule(Kernels(), 0.4).follow(0.4, True)), 60, 2)  # type: ignore[attr-defined]
    assert flock.series["order"][:, -10:].min() > 0.95
    gather = make_model("aggregation", agents=60)
    heap = simulate(gather.following(gather_rule(Kernels()).follow(1.0, False)), 60, 2)  # type: ignore[attr-defined]
    assert (heap.series["distance"][:, -1] < 0.2 * heap.series["distance"][:, 0]).all()


def test_a_step_of_the_distribution_becomes_certain_as_the_swarm_grows() -> None:
    """In the limit the features after a step are a function of those before; their scatter falls as 1 / sqrt(N)."""
    spread = {}
    for count in (20, 320):
        world = MeanFieldWorld(task="kuramoto", count=count)
        raw = jnp.zeros((1, world.continuous, 24))
        after = quick(world.step)(jax.random.key(8), begun(world, 7, (24,))[0], raw)[1].obs[0]
        spread[count] = float(np.asarray(after).std(1).mean())
    assert 2.8 < spread[20] / spread[320] < 5.6  # sqrt(16) = 4


# Carrying plans out


@pytest.fixture(scope="module")
def world() -> MeanFieldWorld:
    return MeanFieldWorld(task="vicsek", count=60, horizon=8)


def test_a_plan_gives_every_step_its_rule_and_a_static_one_always_the_mean(world: MeanFieldWorld) -> None:
    rules = jax.random.normal(jax.random.key(0), (8, world.continuous))
    plan = Plan(rules, jnp.ones(100))
    state, timestep = begun(world, 0, (2, 3))

    def told_at(time: int, plan: Plan = plan) -> jax.Array:
        at = dataclasses.replace(state, time=jnp.full((2, 3), time))
        return plan.act(jax.random.key(0), at, timestep)

    told = told_at(5)
    assert told.shape == (1, world.continuous, 2, 3)
    np.testing.assert_array_equal(told[0, :, 1, 2], rules[5])
    np.testing.assert_array_equal(told_at(99)[0, :, 0, 0], rules[7])
    np.testing.assert_allclose(told_at(3, plan.static)[0, :, 0, 0], rules.mean(0), atol=1e-6)
    several = Plan(jnp.stack([rules, 2 * rules], -1)[..., None], jnp.ones(100))
    np.testing.assert_array_equal(told_at(5, several)[0, :, 1, 2], 2 * rules[5])


@pytest.mark.slow
def test_a_plan_is_what_the_policy_did_and_warns_of_other_starts(world: MeanFieldWorld) -> None:
    plan = make_plan(Chance(world), world, jax.random.key(4))
    again = course(Chance(world), world, jax.random.key(4), (), True)
    np.testing.assert_array_equal(plan.rules, again.actions[:, 0])
    assert plan.rules.shape == (8, world.continuous)
    shifted = dataclasses.replace(world, start="clumps")
    for number in range(5):
        assert plan.warning(world, begun(world, number)[0]) is None
        assert "another start" in (plan.warning(shifted, begun(shifted, number)[0]) or "")


def test_classic_rules_act_as_in_the_population_model() -> None:
    team = SwarmWorld(task="vicsek", count=9, horizon=2)
    state, timestep = begun(team, 0, (2,))
    action = Classic(team).act(jax.random.key(0), state, timestep)
    looks, turns = np.asarray(timestep.obs), np.asarray(action[:, 0]) * team.bound
    alone = ~looks.any(1)
    np.testing.assert_allclose(turns[~alone], np.arctan2(looks[:, 1], looks[:, 0])[~alone], atol=1e-5)
    assert not turns[alone].any()
