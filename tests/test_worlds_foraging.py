"""Level-based foraging: step by step against lbforaging where it is installed, and by its rules where it is not."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.errors import InputError
from shoal.worlds.foraging import LOAD, Foraging, ForagingState
from shoal.worlds.picture import to_svg
from shoal.worlds.rollout import random_actions

STEPS, WORLDS, COUNT = 60, 5, 1000
SETTINGS = [
    Foraging(),
    Foraging(size=6, players=4, foods=3, sight=2, coop=True, penalty=0.1),
    Foraging(7, 9, 4, sight=1, lowest_food=2, highest_food=4, normalise=False, see_levels=False, penalty=0.25),
]


@partial(jax.jit, static_argnums=(0, 2))
def _reset(world: Foraging, key: Any, batch: tuple[int, ...] = ()) -> Any:
    return world.reset(key, batch)


@partial(jax.jit, static_argnums=0)
def _step(world: Foraging, state: ForagingState, actions: Any) -> Any:
    return world.step(jax.random.key(0), state, actions)


@partial(jax.jit, static_argnums=0)
def _play(world: Foraging, seed: int) -> Any:
    """Play in which players who can load mostly do, and in which some actions are illegal."""
    key = jax.random.key(seed)

    def body(carry: Any, key: Any) -> tuple[Any, Any]:
        state, timestep = carry
        keys = jax.random.split(key, 3)
        wild = jax.random.randint(keys[0], state.row.shape, 0, 6)
        actions = jnp.where(
            jax.random.uniform(keys[1], state.row.shape) < 0.2, wild, random_actions(world, key, timestep)
        )
        keen = jax.random.uniform(keys[2], state.row.shape) < 0.5
        actions = jnp.where(timestep.legal[:, LOAD] & keen, LOAD, actions)
        after, shown = world.step(key, state, actions)
        return (after, shown), (state, after, actions, shown)

    return jax.lax.scan(body, world.reset(key, (WORLDS,)), jax.random.split(key, STEPS))[1]


def _of(tree: Any, *where: int) -> Any:
    """One world of one step: the step is the first axis, the world the last."""
    step, one = where
    return jax.tree.map(lambda x: x[step, ..., one], tree)


def _peer(world: Foraging) -> Any:
    pytest.importorskip("lbforaging")
    from lbforaging.foraging import ForagingEnv

    env = ForagingEnv(
        players=world.players,
        min_player_level=world.lowest_level,
        max_player_level=world.highest_level,
        min_food_level=world.lowest_food,
        max_food_level=world.highest_food,
        field_size=(world.size, world.size),
        max_num_food=world.foods,
        sight=world.size if world.sight is None else world.sight,
        max_episode_steps=world.horizon,
        force_coop=world.coop,
        normalize_reward=world.normalise,
        observe_agent_levels=world.see_levels,
        penalty=world.penalty,
    )
    env.reset(seed=0)
    return env


def _load(env: Any, state: ForagingState) -> None:
    """Put our state (of one world) into the peer."""
    for i, player in enumerate(env.players):
        player.position, player.level = (int(state.row[i]), int(state.col[i])), int(state.level[i])
    env.field[:] = 0
    for row, col, level in zip(state.food_row, state.food_col, state.food_level, strict=True):
        if level > 0:
            env.field[row, col] = level
    env._food_spawned = int(state.spawned)
    env.current_step = int(state.time)
    env._gen_valid_moves()


@pytest.mark.parametrize("world", SETTINGS, ids=lambda w: f"{w.size}x{w.size}-{w.players}p-{w.foods}f")
def test_steps_equal_those_of_lbforaging(world: Foraging) -> None:
    env = _peer(world)
    before, after, actions, timesteps = jax.tree.map(np.asarray, _play(world, 1))
    assert env.observation_space[0].shape == (world.observation_size,)
    blocked = 0
    for one in range(WORLDS):
        for step in range(STEPS):
            now, later, shown = _of(before, step, one), _of(after, step, one), _of(timesteps, step, one)
            _load(env, now)
            tried = actions[step, :, one]
            moves = [
                0 < a < LOAD and a in [v.value for v in env._valid_actions[p]]
                for p, a in zip(env.players, tried, strict=True)
            ]
            seen, rewards, done, _, _ = env.step([int(a) for a in tried])
            assert [p.position for p in env.players] == list(zip(later.row, later.col, strict=True))
            field = np.zeros((world.size, world.size), int)
            field[later.food_row, later.food_col] += later.food_level
            np.testing.assert_array_equal(field, env.field)
            np.testing.assert_allclose(shown.reward, rewards, atol=1e-6)
            np.testing.assert_array_equal(shown.obs, seen)
            valid = [[a.value for a in env._valid_actions[p]] for p in env.players]
            assert [list(np.flatnonzero(row)) for row in shown.legal] == valid
            assert bool(shown.terminated | shown.truncated) == done
            assert bool(shown.truncated) == (later.time >= world.horizon)
            blocked += int((np.array(moves) & (later.row == now.row) & (later.col == now.col)).sum())
    together = (timesteps.reward > 0).sum(1)
    assert together.max() > (1 if world.players > 2 else 0)
    assert timesteps.metrics["eaten"][-1].mean() > 0.1
    if world.players > 2:
        assert blocked > 10
    if world.penalty:
        assert (timesteps.reward < 0).any()
    if world.players == 9:
        cells = after.row * world.size + after.col
        assert any(len(set(cells[t, :, w])) < 9 for t in range(STEPS) for w in range(WORLDS))


@pytest.mark.parametrize("world", SETTINGS[:2], ids=["plain", "coop"])
def test_spawns_are_distributed_as_in_lbforaging(world: Foraging) -> None:
    env = _peer(world)
    state, _ = jax.tree.map(np.asarray, _reset(world, jax.random.key(3), (COUNT,)))
    ours, theirs = np.zeros((2, world.size, world.size)), np.zeros((2, world.size, world.size))
    levels: list[list[Any]] = [[], []]
    env.reset(seed=1)
    for i in range(COUNT):
        env.reset()
        theirs[0] += env.field > 0
        for player in env.players:
            theirs[1][player.position] += 1
        food = sorted(env.field[env.field > 0])
        levels[0].append((len(food), sum(food), sum(p.level for p in env.players)))
        there = state.food_level[:, i] > 0
        ours[0][state.food_row[there, i], state.food_col[there, i]] += 1
        ours[1][state.row[:, i], state.col[:, i]] += 1
        levels[1].append((there.sum(), state.food_level[:, i].sum(), state.level[:, i].sum()))
    for mine, other in zip(ours, theirs, strict=True):
        both = mine + other > 0
        # Chi-square of two samples over at most 64 cells; 112 is its 0.9999 quantile with 63 degrees of freedom.
        assert ((mine - other)[both] ** 2 / (mine + other)[both]).sum() < 112
        np.testing.assert_array_equal(mine == 0, other == 0)
    a, b = np.array(levels[0], float), np.array(levels[1], float)
    error = np.sqrt((a.var(0) + b.var(0)) / COUNT)
    assert (np.abs(a.mean(0) - b.mean(0)) <= 4 * error + 1e-9).all()


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31 - 1), st.sampled_from(SETTINGS))
def test_resets_follow_the_rules(seed: int, world: Foraging) -> None:
    s, timestep = jax.tree.map(np.asarray, _reset(world, jax.random.key(seed), (COUNT,)))
    cells = s.row * world.size + s.col
    assert all(len(set(cells[:, i])) == world.players for i in range(COUNT))
    there = s.food_level > 0
    assert ((s.food_row > 0) & (s.food_row < world.size - 1) & (s.food_col > 0) & (s.food_col < world.size - 1))[
        there
    ].all()
    down = np.abs(s.food_row[:, None] - s.food_row[None])
    right = np.abs(s.food_col[:, None] - s.food_col[None])
    pair = there[:, None] & there[None] & ~np.eye(world.foods, dtype=bool)[:, :, None]
    assert (np.maximum(down, right)[pair] >= 2).all()
    assert ((down + right)[pair] >= 3).all()
    on = (s.food_row[:, None] == s.row[None]) & (s.food_col[:, None] == s.col[None])
    assert not (on & there[:, None]).any()
    assert (np.diff(np.where(there, s.food_row * world.size + s.food_col, 10**6), axis=0) >= 0).all()
    top = np.sort(s.level, 0)[:3].sum(0) if world.highest_food is None else np.full(COUNT, world.highest_food)
    low = top if world.coop else np.full(COUNT, world.lowest_food)
    assert ((s.food_level <= top) & (s.food_level >= low))[there].all()
    assert s.level.min() >= world.lowest_level
    assert s.level.max() <= world.highest_level
    np.testing.assert_array_equal(s.spawned, s.food_level.sum(0))
    assert not timestep.reward.any()
    assert not timestep.terminated.any()


def test_a_batch_equals_its_worlds_one_by_one() -> None:
    world = SETTINGS[1]
    before, after, actions, timesteps = jax.tree.map(np.asarray, _play(world, 2))
    for one in range(WORLDS):
        for t in range(0, STEPS, 6):
            out = _step(world, _of(before, t, one), actions[t, :, one])
            close = lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6)  # noqa: E731
            jax.tree.map(close, out, (_of(after, t, one), _of(timesteps, t, one)))


def test_all_the_food_is_worth_one() -> None:
    *_, timesteps = jax.tree.map(np.asarray, _play(SETTINGS[0], 1))
    eaten = timesteps.metrics["eaten"]
    np.testing.assert_allclose(timesteps.reward.sum(1).cumsum(0), eaten, atol=1e-5)
    assert eaten.max() > 0
    np.testing.assert_array_equal(timesteps.terminated, eaten == 1)


def _set(world: Foraging, players: list[tuple[int, int, int]], foods: list[tuple[int, int, int]]) -> ForagingState:
    """A state from (row, column, level) of everything; foods that are not given are eaten already."""
    foods = foods + [(0, 0, 0)] * (world.foods - len(foods))
    row, col, level = (jnp.array(column, jnp.int32) for column in zip(*players, strict=True))
    food = [jnp.array(column, jnp.int32) for column in zip(*foods, strict=True)]
    return ForagingState(row, col, level, *food, food[2].sum(), jnp.array(3, jnp.int32))


STAY, UP, DOWN, LEFT, RIGHT = range(5)


@pytest.mark.parametrize(
    ("places", "moves", "ends"),
    [
        ([(2, 2), (2, 3), (0, 0)], [RIGHT, LEFT, STAY], [(2, 3), (2, 2), (0, 0)]),
        ([(2, 2), (2, 4), (0, 0)], [RIGHT, LEFT, STAY], [(2, 2), (2, 4), (0, 0)]),
        ([(2, 2), (2, 3), (0, 0)], [RIGHT, STAY, UP], [(2, 2), (2, 3), (0, 0)]),
        ([(2, 1), (2, 2), (2, 4)], [RIGHT, RIGHT, LEFT], [(2, 2), (2, 2), (2, 4)]),
        ([(2, 1), (2, 2), (2, 3)], [RIGHT, RIGHT, RIGHT], [(2, 2), (2, 3), (2, 4)]),
        ([(4, 5), (0, 0), (5, 5)], [DOWN, LEFT, LEFT], [(5, 5), (0, 0), (5, 4)]),
    ],
    ids=["swap", "same cell", "into one who stays", "after one who fails", "in a row", "through the wall"],
)
def test_moves_by_hand(places: list[tuple[int, int]], moves: list[int], ends: list[tuple[int, int]]) -> None:
    world = Foraging(size=6, players=3, foods=2, penalty=0.5)
    state = _set(world, [(*place, 1) for place in places], [(1, 4, 1)])
    after, _ = _step(world, state, jnp.array(moves))
    assert list(zip(after.row.tolist(), after.col.tolist(), strict=True)) == ends


def test_loading_by_hand() -> None:
    world = Foraging(size=6, players=3, foods=2, penalty=0.5)
    state = _set(world, [(1, 2, 2), (3, 2, 1), (4, 4, 2)], [(2, 2, 3), (4, 3, 3)])
    _, alone = _step(world, state, jnp.array([LOAD, STAY, LOAD]))
    np.testing.assert_allclose(alone.reward, [-0.5, 0, -0.5])
    after, both = _step(world, state, jnp.array([LOAD, LOAD, STAY]))
    # Food of level 3 of 6 in all, shared as 2 to 1.
    np.testing.assert_allclose(both.reward, [1 / 3, 1 / 6, 0], atol=1e-6)
    assert after.food_level.tolist() == [0, 3]
    assert float(both.metrics["eaten"]) == 0.5
    assert not bool(both.terminated)
    np.testing.assert_array_equal(both.legal[2], [1, 1, 1, 0, 1, 1])
    far = _step(world, after, jnp.array([LOAD, LOAD, DOWN]))[1]
    assert not np.asarray(far.reward).any()
    raw = Foraging(size=6, players=3, foods=2, normalise=False)
    np.testing.assert_allclose(_step(raw, state, jnp.array([LOAD, LOAD, STAY]))[1].reward, [6, 3, 0])
    last = _set(world, [(1, 2, 3), (5, 5, 1), (0, 0, 1)], [(2, 2, 3)])
    assert bool(_step(world, last, jnp.array([LOAD, STAY, STAY]))[1].terminated)


def test_sight_at_the_edge_is_that_of_the_origin() -> None:
    world = Foraging(size=8, players=2, foods=1, sight=2)
    corner = _set(world, [(0, 0, 1), (4, 4, 2)], [(3, 1, 1)])
    # Seen from the corner a player four cells off is in view, a food three cells off is not.
    np.testing.assert_array_equal(world._observe(corner)[0], [-1, -1, 0, 0, 0, 1, 4, 4, 2])
    inside = _set(world, [(3, 3, 1), (6, 6, 2)], [(5, 1, 1)])
    np.testing.assert_array_equal(world._observe(inside)[0], [4, 0, 1, 2, 2, 1, -1, -1, 0])


def test_text_tells_what_is_seen_and_no_more() -> None:
    world = Foraging(size=8, players=3, foods=2, sight=2)
    state = _set(world, [(3, 3, 1), (4, 3, 2), (7, 7, 1)], [(2, 3, 2), (6, 6, 3)])
    text = world.describe(state, 0)
    assert "Food of level 2 at row 1, column 2 (1 up)." in text
    assert "Another player, level 2, at row 3, column 2 (1 down)." in text
    assert "level 3" not in text
    assert text.endswith("Actions: stay, down, left, right, load.")
    assert text.count("Another player") == 1
    hidden = dataclasses.replace(state, row=jnp.array([3, 4, 6]), food_row=jnp.array([2, 7]), spawned=jnp.array(9))
    assert world.describe(hidden, 0) == text
    shifted = _set(world, [(4, 4, 1), (5, 4, 2), (7, 7, 1)], [(3, 4, 2)])
    assert world.describe(shifted, 0) == text
    blind = dataclasses.replace(world, see_levels=False)
    assert "Another player, at row" in blind.describe(state, 0)
    assert "level 1" not in blind.describe(state, 0)


def test_picture_shows_players_food_and_grid() -> None:
    world = Foraging(size=6, players=2, foods=2)
    picture = world.draw(_set(world, [(0, 0, 1), (5, 5, 2)], [(2, 3, 2)]))
    svg = to_svg(picture)
    assert svg.count("<circle") == 2
    assert svg.count("<line") == 14
    square = next(s for s in picture.shapes if s.kind == "rect")
    assert (square.x, square.y) == (3, -2)
    assert "0% eaten" in svg


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"size": 2}, "size"),
        ({"players": 0}, "players"),
        ({"size": 3, "players": 10}, "players"),
        ({"foods": 0}, "foods"),
        ({"sight": 0}, "sight"),
        ({"horizon": 0}, "horizon"),
        ({"lowest_level": 0}, "lowest_level"),
        ({"lowest_level": 3}, "highest_level"),
        ({"lowest_food": 0}, "lowest_food"),
        ({"lowest_food": 3}, "lowest_food"),
        ({"lowest_food": 3, "highest_food": 2}, "lowest_food"),
        ({"highest_food": 0, "coop": True}, "highest_food"),
        ({"penalty": -1.0}, "penalty"),
    ],
)
def test_bad_settings_name_the_field(wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(InputError, match=field):
        Foraging(**wrong)
