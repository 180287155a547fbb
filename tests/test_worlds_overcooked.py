"""Overcooked: rules by hand, both observations against each other, and step-by-step parity with JaxMARL."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shoal.errors import InputError
from shoal.worlds import make_world
from shoal.worlds.overcooked import Overcooked, OvercookedState
from shoal.worlds.overcooked_layouts import DRAWINGS, layout_of

UP, DOWN, RIGHT, LEFT, STAY, INTERACT = range(6)
NOTHING, ONION, PLATE, SOUP = range(4)


def kitchen(layout: str = "cramped_room", **settings: Any) -> Overcooked:
    return Overcooked(layout=layout, **settings)


def state_of(world: Overcooked, **changes: Any) -> OvercookedState:
    """The starting state, both cooks facing up, with these arrays instead."""
    k = world.kitchen
    given = {
        "place": k.starts,
        "facing": (UP, UP),
        "holding": (NOTHING, NOTHING),
        "items": (0,) * len(k.counters),
        "pots": (23,) * len(k.pots),
        "soups": 0,
        "time": 0,
        **changes,
    }
    return OvercookedState(**{name: jnp.asarray(value, jnp.int32) for name, value in given.items()})


@pytest.fixture(scope="module")
def cramped() -> Any:
    world = kitchen()
    step = jax.jit(world.step)
    key = jax.random.key(0)

    def go(state: OvercookedState, *moves: tuple[int, int]) -> Any:
        timestep = None
        for pair in moves:
            state, timestep = step(key, state, jnp.array(pair))
        return state, timestep

    return world, go


def at(world: Overcooked, column: int, row: int) -> int:
    return row * world.kitchen.width + column


# ---- layouts and settings


@pytest.mark.parametrize("name", DRAWINGS)
def test_layouts_are_closed_kitchens(name: str) -> None:
    k = layout_of(name)
    assert all(len(row) == k.width for row in DRAWINGS[name])
    assert k.pots and k.onions and k.plates and k.hatches and set(k.starts) <= set(k.floor)
    solid = set(range(k.height * k.width)) - set(k.floor)
    places = {c: k.place(c) for c in range(k.height * k.width)}
    border = {c for c, (x, y) in places.items() if x in (0, k.width - 1) or y in (0, k.height - 1)}
    assert border <= solid
    assert not set(k.counters) & {*k.pots, *k.onions, *k.plates, *k.hatches}


def test_bad_settings_are_refused() -> None:
    for field, value in (("layout", "bistro"), ("horizon", 0), ("shaping", -1.0), ("observation", "pixels")):
        with pytest.raises(InputError, match=f"overcooked {field}"):
            make_world("overcooked", **{field: value})
    assert make_world("overcooked:layout=forced_coord,horizon=50").horizon == 50


# ---- rules


def test_a_soup_from_onions_to_hatch(cramped: Any) -> None:
    """Onions from the left pile, pot at (2,0), plate at (1,3), hatch at (3,3): every reward in its place."""
    world, go = cramped
    state = state_of(world)
    shaped = 0.0
    fetch = [LEFT, INTERACT, RIGHT, UP, INTERACT]  # pile at (0,1) from (1,1); to (2,1), face the pot at (2,0)
    back = [LEFT]
    for trip in range(3):
        for move in fetch:
            state, ts = go(state, (move, STAY))
            shaped += float(ts.metrics["shaped-0"])
        assert int(state.pots[0]) == (22, 21, 19)[trip]
        for move in back:
            state, ts = go(state, (move, STAY))
    assert shaped == 9.0
    # 20 steps after the third onion the soup is ready: the status falls by one each step, the first at once.
    for status in range(17, 8, -1):
        state, _ = go(state, (STAY, STAY))
        assert int(state.pots[0]) == status
    for move in (DOWN, DOWN, INTERACT):  # at (1,2), facing the plates at (1,3)
        state, ts = go(state, (move, STAY))
    assert int(state.holding[0]) == PLATE and float(ts.metrics["shaped-0"]) == 3.0
    for move in (RIGHT, UP, UP, INTERACT):  # too early: nothing happens
        state, ts = go(state, (move, STAY))
    assert int(state.holding[0]) == PLATE and int(state.pots[0]) == 2
    state, _ = go(state, (STAY, STAY), (STAY, STAY))
    assert int(state.pots[0]) == 0
    state, ts = go(state, (INTERACT, STAY))
    assert int(state.holding[0]) == SOUP and int(state.pots[0]) == 23 and float(ts.metrics["shaped-0"]) == 5.0
    for move in (DOWN, RIGHT, DOWN):
        state, ts = go(state, (move, LEFT if move == DOWN else STAY))
        assert not ts.reward.any()
    state = state_of(world, place=(at(world, 3, 2), at(world, 1, 1)), facing=(DOWN, UP), holding=(SOUP, NOTHING))
    state, ts = go(state, (INTERACT, STAY))
    assert ts.reward.tolist() == [20.0, 20.0]
    assert float(ts.metrics["soups"]) == 1 and state.holding.tolist() == [NOTHING, NOTHING]


@pytest.mark.parametrize(
    ("moves", "ends"),
    [
        ((RIGHT, LEFT), ((1, 1), (3, 1))),  # both want (2,1): neither moves
        ((RIGHT, STAY), ((2, 1), (3, 1))),
        ((LEFT, UP), ((1, 1), (3, 1))),  # into counters
        ((DOWN, DOWN), ((1, 2), (3, 2))),
    ],
)
def test_moves(cramped: Any, moves: tuple[int, int], ends: tuple[tuple[int, int], ...]) -> None:
    world, go = cramped
    state, _ = go(state_of(world), moves)
    assert [world.kitchen.place(int(c)) for c in state.place] == list(ends)
    assert [int(f) for f in state.facing] == [m if m < 4 else UP for m in moves]


def test_neighbours_block_swap_and_follow(cramped: Any) -> None:
    world, go = cramped
    side = state_of(world, place=(at(world, 1, 1), at(world, 2, 1)))
    assert go(side, (RIGHT, STAY))[0].place.tolist() == side.place.tolist()
    assert go(side, (RIGHT, LEFT))[0].place.tolist() == side.place.tolist()
    assert go(side, (RIGHT, RIGHT))[0].place.tolist() == [at(world, 2, 1), at(world, 3, 1)]
    assert go(side, (RIGHT, UP))[0].place.tolist() == side.place.tolist()  # cook 1 bounces off the pot


def test_counters_hold_one_thing_and_cook_0_goes_first(cramped: Any) -> None:
    world, go = cramped
    k = world.kitchen
    spot = k.counters.index(at(world, 1, 0))
    state = state_of(world, place=(at(world, 1, 1), at(world, 3, 1)), holding=(ONION, PLATE))
    state, _ = go(state, (INTERACT, STAY))
    assert int(state.items[spot]) == ONION and int(state.holding[0]) == NOTHING
    blocked = state_of(world, place=state.place, holding=(PLATE, NOTHING), items=state.items)
    assert int(go(blocked, (INTERACT, STAY))[0].holding[0]) == PLATE
    taken, _ = go(state, (INTERACT, STAY))
    assert int(taken.holding[0]) == ONION and not taken.items.any()
    # Both put the third onion into the pot at once: cook 0's goes in. In coord_ring they can stand so.
    ring = kitchen("coord_ring")
    both = state_of(
        ring, place=(at(ring, 3, 1), at(ring, 2, 1)), facing=(UP, UP), holding=(ONION, ONION), pots=(21, 23)
    )
    after, ts = jax.jit(ring.step)(jax.random.key(0), both, jnp.array([INTERACT, INTERACT]))
    assert after.pots.tolist() == [19, 23] and after.holding.tolist() == [NOTHING, NOTHING]
    assert ts.metrics["shaped-0"] == 3 and after.items.sum() == ONION  # cook 1 faced a counter and put it down


def test_plates_are_useful_only_while_pots_wait_and_no_plate_lies_about(cramped: Any) -> None:
    world, go = cramped
    below = {"place": (at(world, 1, 2), at(world, 3, 1)), "facing": (DOWN, UP)}
    cases = [({}, 0.0), ({"pots": (22,)}, 3.0), ({"pots": (22,), "holding": (NOTHING, PLATE)}, 0.0)]
    cases.append(({"pots": (22,), "items": (PLATE, 0, 0, 0, 0)}, 0.0))
    for changes, worth in cases:
        state, ts = go(state_of(world, **below, **changes), (INTERACT, STAY))
        assert int(state.holding[0]) == PLATE and float(ts.metrics["shaped-0"]) == worth


def test_own_shaped_reward_is_weighted_in() -> None:
    world = kitchen(shaping=0.5)
    state = state_of(world, place=(at(world, 2, 1), at(world, 1, 1)), holding=(ONION, NOTHING))
    _, ts = jax.jit(world.step)(jax.random.key(0), state, jnp.array([INTERACT, STAY]))
    assert ts.reward.tolist() == [1.5, 0.0]


def test_truncates_at_the_horizon() -> None:
    world = kitchen(horizon=3)
    state, step = state_of(world), jax.jit(world.step)
    for expected in (False, False, True):
        state, ts = step(jax.random.key(0), state, jnp.array([STAY, STAY]))
        assert bool(ts.truncated) is expected and not bool(ts.terminated)


# ---- faces


def test_text_tells_what_the_observation_tells(cramped: Any) -> None:
    world, _ = cramped
    state = state_of(world, holding=(SOUP, PLATE), pots=(22,), items=(ONION, 0, 0, 0, 0), time=370)
    text = world.describe(state, 1)
    for words in (
        "You are cook-1, at column 3, row 1, facing up, holding a plate.",
        "cook-0 is at column 1, row 1, facing up, holding a soup.",
        "The pot at column 2, row 0 has 1 of 3 onions.",
        "On the counter at column 1, row 0 lies an onion.",
        "Fewer than 40 steps remain.",
        "Actions: up, down, right, left, stay, interact.",
    ):
        assert words in text
    for status, words in ((0, "a soup that is ready"), (7, "cooks for 7 more steps"), (23, "is empty")):
        assert words in world.describe(state_of(world, pots=(status,)), 0)
    assert len(world.draw(state).shapes) > 20


def layers_from_compact(world: Overcooked, obs: np.ndarray) -> np.ndarray:
    """The 26 layers [batch, height, width, 26] from compact observations [batch, features] alone: no fact is lost."""
    k = world.kitchen
    facts = dict(zip(world.observation_names, obs.T, strict=True))
    out = np.zeros((len(obs), k.height, k.width, 26))
    out[..., 25] = facts.pop("urgent")[:, None, None]

    def cell(text: str) -> tuple[int, int]:
        column, row = text.strip("()").split(",")
        return int(row), int(column)

    spots = {who: np.zeros((len(obs), k.height, k.width)) for who in ("own", "other")}
    for name, value in facts.items():
        if " place " in name:
            spots[name.split()[0]][(slice(None), *cell(name.split()[-1]))] = value
    out[..., 0], out[..., 1] = spots["own"], spots["other"]
    item = {"plate": 22, "onion": 23}
    for i, row in enumerate(k.drawing):
        for j, symbol in enumerate(row):
            if symbol in "PXODS":
                out[:, i, j, {"P": 10, "X": 11, "O": 12, "D": 14, "S": 15}[symbol]] = 1
    for name, value in facts.items():
        words = name.split()
        if words[1] == "facing":
            layer = ("up", "down", "right", "left").index(words[2]) + (2 if words[0] == "own" else 6)
            out[..., layer] += spots[words[0]] * value[:, None, None]
        if words[0] == "counter":
            spot = (slice(None), *cell(words[1]))
            out[(*spot, 11)] *= value == 0
        if words[0] == "counter" or words[-2] == "holding":
            where = np.zeros((len(obs), k.height, k.width)) if words[0] == "counter" else spots[words[0]]
            if words[0] == "counter":
                where[(slice(None), *cell(words[1]))] = 1
            held = where * value[:, None, None]
            if words[-1] == "soup":
                out[..., 18] += 3 * held
                out[..., 21] += held
            else:
                out[..., item[words[-1]]] += held
        if words[0] == "pot":
            spot = (slice(None), *cell(words[1]))
            if words[2] == "onions":
                out[(*spot, 16)] = np.round(3 * value)
            elif words[2] == "wait":
                out[(*spot, 20)] = np.round(20 * value)
                out[(*spot, 18)] += 3 * (value > 0)
            else:
                out[(*spot, 21)] += value
                out[(*spot, 18)] += 3 * value
    return out


def busy_actions(key: jax.Array, batch: tuple[int, ...]) -> jax.Array:
    """Random, but half of them interact: much happens."""
    return jnp.minimum(jax.random.randint(key, (2, *batch), 0, 9), INTERACT)


@partial(jax.jit, static_argnums=(0, 3, 4))
def unroll(world: Overcooked, state: OvercookedState, key: jax.Array, steps: int, batch: tuple[int, ...]) -> Any:
    def body(state: OvercookedState, key: jax.Array) -> Any:
        actions = busy_actions(key, batch)
        state, ts = world.step(key, state, actions)
        return state, (state, actions, ts)

    return jax.lax.scan(body, state, jax.random.split(key, steps))[1]


@pytest.mark.parametrize("layout", ["cramped_room", "forced_coord"])
def test_compact_observation_carries_all_that_the_layers_carry(layout: str) -> None:
    compact = kitchen(layout, random_start=True, horizon=60)
    layers = kitchen(layout, random_start=True, horizon=60, observation="layers")
    state, _ = compact.reset(jax.random.key(3), (32,))
    states, _, ts = unroll(compact, state, jax.random.key(4), 50, (32,))
    merged = jax.tree.map(lambda x: jnp.moveaxis(x, 0, -2).reshape(*x.shape[1:-1], -1), states)
    full = np.asarray(jax.jit(layers._layers)(merged))
    k = compact.kitchen
    for cook in (0, 1):
        obs = np.moveaxis(np.asarray(ts.obs)[:, cook], 1, 2).reshape(-1, compact.observation_size)
        expected = full[cook].T.reshape(-1, k.height, k.width, 26)
        np.testing.assert_allclose(layers_from_compact(compact, obs), expected, atol=1e-5)
    assert full[:, 18::26].any() and full[:, 20::26].any() and full[:, 25].any()


def test_batch_equals_single_worlds() -> None:
    world = kitchen("coord_ring", random_start=True)
    state, first = world.reset(jax.random.key(1), (8,))
    assert first.obs.shape == (2, world.observation_size, 8)
    states, actions, ts = unroll(world, state, jax.random.key(2), 30, (8,))
    step = jax.jit(world.step)
    for b in range(8):
        one = jax.tree.map(lambda x, b=b: x[..., b], state)
        for t in range(30):
            one, got = step(jax.random.key(0), one, actions[t, :, b])
            for x, y in zip(jax.tree.leaves((one, got)), jax.tree.leaves((states, ts)), strict=True):
                np.testing.assert_array_equal(x, y[t][..., b])


def test_invariants_hold_in_long_play() -> None:
    world = kitchen("counter_circuit", random_start=True)
    state, _ = world.reset(jax.random.key(5), (64,))
    states, _, ts = unroll(world, state, jax.random.key(6), 200, (64,))
    place = np.asarray(states.place)
    assert (place[:, 0] != place[:, 1]).all() and np.isin(place, world.kitchen.floor).all()
    assert np.asarray(states.pots).min() >= 0 and np.asarray(states.pots).max() <= 23
    assert np.isin(np.asarray(states.holding), range(4)).all() and np.isin(np.asarray(states.items), range(4)).all()
    soups = np.asarray(states.soups)
    np.testing.assert_array_equal(np.asarray(ts.reward)[:, 0].sum(0), 20.0 * soups[-1])
    assert soups[-1].sum() > 0


# ---- parity with JaxMARL (its environment only)


# Each layout compiles the origin anew, 5 to 20 s: two of them on every run, the others with the slow tests.
QUICK = ("cramped_room", "forced_coord")
PARITY = [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in DRAWINGS]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("layout", PARITY)
def test_parity_with_jaxmarl(layout: str) -> None:
    pytest.importorskip("jaxmarl")
    from jaxmarl.environments.overcooked.layouts import overcooked_layouts
    from jaxmarl.environments.overcooked.overcooked import Overcooked as Origin

    batch, steps, horizon = 96, 120, 100
    origin = Origin(layout=overcooked_layouts[layout], random_reset=True, max_steps=horizon)
    ours = kitchen(layout, horizon=horizon, observation="layers")
    k = ours.kitchen
    theirs = jax.vmap(origin.reset)(jax.random.split(jax.random.key(7), batch))[1]

    def convert(state: Any) -> OvercookedState:
        grid = state.maze_map[:, 4:-4, 4:-4].reshape(batch, -1, 3)
        kind = jnp.array([0, 0, 0, ONION, 0, PLATE, 0, 0, 0, SOUP, 0])
        return OvercookedState(
            place=(state.agent_pos[..., 1].astype(jnp.int32) * k.width + state.agent_pos[..., 0].astype(jnp.int32)).T,
            facing=state.agent_dir_idx.astype(jnp.int32).T,
            holding=kind[state.agent_inv].T,
            items=kind[grid[:, list(k.counters), 0]].T,
            pots=grid[:, list(k.pots), 2].astype(jnp.int32).T,
            soups=jnp.zeros(batch, jnp.int32),
            time=state.step,
        )

    @jax.jit
    def both(theirs: Any, state: OvercookedState) -> Any:
        def body(carry: Any, key: jax.Array) -> Any:
            theirs, state = carry
            actions = busy_actions(key, (batch,))
            split = jax.random.split(key, batch)
            obs, theirs, reward, done, info = jax.vmap(origin.step_env)(
                split, theirs, {"agent_0": actions[0], "agent_1": actions[1]}
            )
            state, ts = ours.step(key, state, actions)
            same_state = convert(theirs)
            facts = {
                "obs": (jnp.stack([obs["agent_0"], obs["agent_1"]]).reshape(2, batch, -1), jnp.swapaxes(ts.obs, 1, 2)),
                "reward": (jnp.stack([reward["agent_0"], reward["agent_1"]]), ts.reward),
                "done": (done["__all__"], ts.truncated),
            }
            for i in (0, 1):
                facts[f"shaped-{i}"] = (info["shaped_reward"][f"agent_{i}"], ts.metrics[f"shaped-{i}"])
            for name in ("place", "facing", "holding", "items", "pots", "time"):
                facts[name] = (getattr(same_state, name), getattr(state, name))
            gaps = {
                name: jnp.abs(a.astype(jnp.float32) - b.astype(jnp.float32)).max() for name, (a, b) in facts.items()
            }
            return (theirs.replace(done=jnp.zeros(batch, bool)), state), (
                gaps,
                ts.reward.sum(),
                facts["shaped-0"][0].sum(),
            )

        return jax.lax.scan(body, (theirs, state), jax.random.split(jax.random.key(8), steps))[1]

    gaps, rewards, shaped = both(theirs, convert(theirs))
    assert {name: float(gap.max()) for name, gap in gaps.items()} == dict.fromkeys(gaps, 0.0)
    assert float(rewards.sum()) > 0 and float(shaped.sum()) > 0


@pytest.mark.filterwarnings("ignore")
def test_layouts_and_first_states_are_those_of_jaxmarl() -> None:
    pytest.importorskip("jaxmarl")
    from jaxmarl.environments.overcooked.layouts import overcooked_layouts

    for name, origin in overcooked_layouts.items():
        k = layout_of(name)
        assert (k.height, k.width) == (origin["height"], origin["width"])
        keys = {"pot_idx": k.pots, "onion_pile_idx": k.onions, "plate_pile_idx": k.plates, "goal_idx": k.hatches}
        for key, cells in {**keys, "agent_idx": k.starts}.items():
            assert tuple(int(i) for i in origin[key]) == cells, (name, key)
        assert set(range(k.height * k.width)) - set(k.floor) == {int(i) for i in origin["wall_idx"]}
