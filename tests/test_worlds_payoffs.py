"""Payoff worlds: published tables, games worked out by hand, floors that no policy without information can pass."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.worlds import make_world, random_actions
from shoal.worlds.payoffs import Assignment, AssignmentState, Climbing, Matrix, Penalty
from shoal.worlds.sums import SumGuessing
from shoal.worlds.zones import CoordinationZone, ZoneState
from world_batches import assert_alone_is_fine, assert_batch_is_singles, assert_refused

KEY = jax.random.key(0)


def begin(world: Any, *batch: int) -> Any:
    return jax.jit(world.reset, static_argnums=1)(KEY, batch)


def play_all(world: Any) -> np.ndarray:
    """Rewards of all joint actions, [agents, joint actions]."""
    joint = np.array(list(itertools.product(*(range(len(names)) for names in world.actions)))).T
    state, _ = begin(world, joint.shape[1])
    return np.asarray(jax.jit(world.step)(KEY, state, jnp.array(joint))[1].reward)


# Tables.


def test_climbing_pays_the_published_table() -> None:
    reward = play_all(Climbing())
    assert reward[0].reshape(3, 3).tolist() == [[11, -30, 0], [-30, 7, 6], [0, 0, 5]]
    assert (reward[0] == reward[1]).all()


def test_penalty_pays_the_published_table() -> None:
    assert play_all(Penalty(k=-50.0))[1].reshape(3, 3).tolist() == [[10, 0, -50], [0, 2, 0], [-50, 0, 10]]


def test_a_matrix_of_three_players_with_own_payoffs() -> None:
    table = np.arange(2 * 3 * 2 * 3, dtype=float).reshape(2, 3, 2, 3) - 7
    world = Matrix(players=3, payoffs=table.tolist())
    assert [len(names) for names in world.actions] == [2, 3, 2]
    assert (play_all(world).T.reshape(table.shape) == table).all()
    assert np.asarray(begin(world)[1].legal).tolist() == [[True, True, False], [True] * 3, [True, True, False]]
    hash(world)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(-99, 99), min_size=6, max_size=6))
def test_any_shared_table_comes_back(numbers: list[int]) -> None:
    table = np.array(numbers).reshape(2, 3)
    world = Matrix(payoffs=table.tolist())
    joint = np.array(list(itertools.product(range(2), range(3)))).T
    state, _ = world.reset(KEY, (6,))
    _, timestep = world.step(KEY, state, jnp.array(joint))
    assert (np.asarray(timestep.reward) == table.reshape(1, 6)).all()
    assert (np.asarray(timestep.metrics["optimal"]) == (table.reshape(6) == table.max())).all()


def test_a_repeated_game_recalls_the_last_play_and_no_more() -> None:
    world = Climbing(horizon=2, recall=True, ids=False)
    step = jax.jit(world.step)
    state, first = begin(world)
    assert not np.asarray(first.obs)[:, 1:].any()
    state, one = step(KEY, state, jnp.array([2, 1]))
    assert np.asarray(one.obs).tolist() == [[1, 0, 0, 1, 0, 1, 0]] * 2
    assert "agent-0 c, agent-1 b" in world.describe(state, 0) and not bool(one.terminated)
    state, two = step(KEY, state, jnp.array([0, 0]))
    assert float(two.reward[0]) == 11 and bool(two.terminated) and float(two.metrics["optimal"]) == 1


# Drivers and orders.


def streets(orders: int) -> AssignmentState:
    """Two drivers at (0, 0) and (1, 0); orders on the line between them."""
    ox = jnp.linspace(0, 1, orders)
    zero = jnp.zeros(2)
    return AssignmentState(
        jnp.array([0.0, 1.0]), zero, ox, 0 * ox, 1 + ox, jnp.full(2, -1), jnp.array(0)
    )  # worth 1 to 2, left to right


def test_orders_pay_value_less_distance_and_conflicts_cost_each() -> None:
    world = Assignment(drivers=2, orders=3, penalty=0.7, shared=False)
    step = jax.jit(world.step)
    _, apart = step(KEY, streets(3), jnp.array([0, 1]))
    np.testing.assert_allclose(apart.reward, [1.0, 1.5 - 0.5], atol=1e-6)
    assert float(apart.metrics["conflicts"]) == 0 and float(apart.metrics["served"]) == 2
    _, clash = step(KEY, streets(3), jnp.array([2, 2]))
    np.testing.assert_allclose(clash.reward, [-0.7, -0.7], atol=1e-6)
    assert float(clash.metrics["conflicts"]) == 1 and bool(clash.terminated)
    team = dataclasses.replace(world, shared=True)
    _, mean = jax.jit(team.step)(KEY, streets(3), jnp.array([0, 2]))
    np.testing.assert_allclose(mean.reward, [1.5, 1.5], atol=1e-6)


def test_random_drivers_conflict_as_often_as_they_must() -> None:
    world = Assignment()
    state, timestep = begin(world, 20000)
    actions = random_actions(world, KEY, timestep)
    rate = jax.jit(world.step)(KEY, state, actions)[1].metrics["conflicts"]
    assert float(rate.mean()) == pytest.approx(1 - 0.75**3, abs=4 * float(rate.std()) / np.sqrt(20000))


def test_without_ids_and_places_all_drivers_see_the_same() -> None:
    same = np.asarray(begin(Assignment(ids=False, scattered=False), 5)[1].obs)
    assert (same == same[:1]).all()
    for told in (Assignment(scattered=False), Assignment(ids=False)):
        assert (np.asarray(begin(told, 5)[1].obs)[0] != np.asarray(begin(told, 5)[1].obs)[1]).any()


def test_other_drivers_places_are_hidden() -> None:
    world = Assignment(drivers=2, orders=3)
    state = streets(3)
    moved = dataclasses.replace(state, dx=jnp.array([0.0, 0.3]))
    look = jax.jit(lambda s: world._timestep(s, jnp.zeros(2), jnp.zeros(2)).obs)
    assert (look(state)[0] == look(moved)[0]).all() and (look(state)[1] != look(moved)[1]).any()
    assert world.describe(state, 0) == world.describe(moved, 0)


# Coordination zone.


def test_zones_are_the_asked_share_and_nest_as_it_grows() -> None:
    masks = [CoordinationZone(share=r).zones() for r in (0.0, 0.2, 0.6, 1.0)]
    assert [int(m.sum()) for m in masks] == [0, 5, 15, 25]
    assert all((small <= large).all() for small, large in itertools.pairwise(masks))
    assert (CoordinationZone(layout=1).zones() != CoordinationZone(layout=0).zones()).any()


def test_a_zone_pays_the_penalty_game_and_other_cells_pay_each_part() -> None:
    world = CoordinationZone(penalty=-3.0)
    joint = np.array(list(itertools.product(range(3), range(3)))).T
    cells = np.repeat(np.arange(25), 9)
    state = ZoneState(jnp.array(cells // 5), jnp.array(cells % 5), jnp.zeros(225, jnp.int32))
    actions, way = jnp.array(np.tile(joint, 25)), jnp.zeros(225, jnp.int32)
    _, timestep = jax.jit(world.advance)(state, actions, way)
    paid = np.asarray(timestep.reward[0]).reshape(25, 3, 3)
    zones, asked = world.zones(), world.asked()
    game = np.array([[1, 0, -3], [0, 0.2, 0], [-3, 0, 1]])
    for cell in range(25):
        parts = [np.arange(3) == asked[cell, agent] for agent in range(2)]
        separable = (parts[0][:, None] * 1.0 + parts[1][None]) / 2
        np.testing.assert_allclose(paid[cell], game if zones[cell] else separable, atol=1e-6)
    assert (paid.max((1, 2)) == 1).all()
    assert (np.asarray(world.needed(state)).reshape(25, 9) == zones[:, None]).all()


def test_the_walk_goes_one_cell_and_meets_zones_at_their_share() -> None:
    world = CoordinationZone(share=0.4)
    state = ZoneState(jnp.array([0, 0, 4, 2]), jnp.array([0, 4, 2, 0]), jnp.zeros(4, jnp.int32))
    following, _ = jax.jit(world.advance)(state, jnp.zeros((2, 4), int), jnp.arange(4))
    assert np.asarray(following.row).tolist() == [4, 0, 0, 2]
    assert np.asarray(following.column).tolist() == [0, 0, 2, 4]

    def walk(key: Any) -> Any:
        state, _ = world.reset(key, (2000,))
        for t in range(3):
            state, timestep = world.step(jax.random.fold_in(key, t), state, jnp.zeros((2, 2000), int))
        return timestep.metrics["needed"].mean()

    assert float(jax.jit(walk)(KEY)) == pytest.approx(0.4, abs=4 * np.sqrt(0.24 / 2000))


# Sum guessing.


@pytest.mark.parametrize(("count", "exact", "reported"), [(2, -5.0, -5.0), (3, -20 / 3, -6.67), (5, -28 / 3, -9.35)])
def test_guessing_without_information_stays_at_the_floor(count: int, exact: float, reported: float) -> None:
    world = SumGuessing(count=count)
    state, timestep = begin(world, 40000)
    step = jax.jit(world.step)
    own = step(KEY, state, timestep.obs)[1].reward  # the own number: the others' sum has median 0
    error = 4 * float(own.mean(0).std()) / np.sqrt(40000)
    assert float(own.mean()) == pytest.approx(exact, abs=error)
    assert float(own.mean()) == pytest.approx(reported, rel=0.02)
    for other in (0.9 * timestep.obs, 1.1 * timestep.obs, timestep.obs + 1):
        assert float(step(KEY, state, other)[1].reward.mean()) < float(own.mean())
    told = jnp.broadcast_to(state.numbers.sum(0), (count, 1, 40000))
    best = step(KEY, state, told)[1]
    assert float(best.reward.min()) > -1e-4 and bool(best.terminated.all())


def test_scaled_sum_guessing_is_the_same_game() -> None:
    plain, scaled = SumGuessing(count=3), SumGuessing(count=3, scaled=True)
    (one, first), (two, second) = begin(plain, 9), begin(scaled, 9)
    np.testing.assert_allclose(first.obs, 10 * second.obs, rtol=1e-6)
    guess = jnp.full((3, 1, 9), 0.2)
    np.testing.assert_allclose(
        plain.step(KEY, one, 10 * guess)[1].reward, scaled.step(KEY, two, guess)[1].reward, rtol=1e-5
    )
    assert plain.action_range == ((-30.0, 30.0),) and scaled.action_range == ((-3.0, 3.0),)


def test_the_others_numbers_are_hidden_and_guesses_stay_in_range() -> None:
    world = SumGuessing(count=3)
    state, _ = begin(world)
    other = dataclasses.replace(state, numbers=state.numbers.at[1].add(1.0))
    assert world.describe(state, 0) == world.describe(other, 0)
    look = world._timestep(state, jnp.zeros(3)).obs == world._timestep(other, jnp.zeros(3)).obs
    assert np.asarray(look[:, 0]).tolist() == [True, False, True]
    clipped, _ = world.step(KEY, state, jnp.array([[1e9], [-1e9], [0.5]]))
    assert np.asarray(clipped.guesses).tolist() == [30, -30, 0.5]


def test_random_continuous_actions_fill_their_range() -> None:
    world = make_world("beam-carrying")
    _, timestep = begin(world, 2000)
    actions = np.asarray(random_actions(world, KEY, timestep))
    assert actions.shape == (3, 2, 2000) and world.continuous == 2
    assert actions.min() >= -1 and actions.max() < 1 and abs(actions.mean()) < 0.05
    wide = np.asarray(random_actions(SumGuessing(count=2), KEY, begin(SumGuessing(count=2), 2000)[1]))
    assert wide.min() < -19 and wide.max() > 19 and np.abs(wide).max() <= 20


# All of them.


@pytest.mark.parametrize(
    ("spec", "ways"),
    [("climbing:horizon=3,recall=true", 0), ("assignment", 0), ("sum-guessing", 0), ("coordination-zone", 4)],
)
def test_a_batch_is_its_worlds_one_by_one(spec: str, ways: int) -> None:
    draws = (lambda key, batch: jax.random.randint(key, batch, 0, ways)) if ways else None
    assert_batch_is_singles(make_world(spec), 2, draws=draws, fold=spec == "assignment")


@pytest.mark.parametrize("spec", ["assignment:drivers=1", "sum-guessing:count=1", "coordination-zone:count=1"])
def test_one_agent_alone_runs(spec: str) -> None:
    assert_alone_is_fine(spec, 1)


def test_bad_settings_are_refused() -> None:
    assert_refused("matrix", "players", 0)
    for table in ([1.0, 2.0], [[1.0], [2.0, 3.0]], [["a", "b"]], [[]], [[float("nan"), 1.0]]):
        with pytest.raises(Exception, match="payoffs"):
            make_world("matrix", payoffs=table)
    assert_refused("climbing", "horizon", 0)
    assert_refused("penalty", "k", 3.0)
    assert_refused("assignment", "drivers", 0)
    assert_refused("assignment", "orders", 0)
    assert_refused("assignment", "penalty", -1.0)
    assert_refused("sum-guessing", "count", 0)
    assert_refused("sum-guessing", "scale", 0.0)
    assert_refused("coordination-zone", "share", 1.2)
    assert_refused("coordination-zone", "penalty", 2.0)
    assert_refused("coordination-zone", "size", 0)
