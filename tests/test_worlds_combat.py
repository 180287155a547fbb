"""Combat: rosters, each rule by hand, a plain-Python second implementation, and how simple play fares."""

from __future__ import annotations

import dataclasses
import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.errors import InputError
from shoal.worlds import make_world, play, random_actions
from shoal.worlds.combat import Combat, CombatState
from shoal.worlds.combat_units import TYPES, parse_roster

STOP, NORTH, SOUTH, EAST, WEST, ATTACK = range(6)
NEVER = 10_000
KEY = jax.random.key(0)
OBSERVE = jax.jit(Combat._observation, static_argnums=0)


def state_of(world: Combat, places: list[tuple[float, float]], **changes: Any) -> CombatState:
    """Units at these places, fresh and ready, with these arrays instead."""
    units, enemies = world.armies.units, len(world.armies.enemies)
    assert len(places) == len(units)
    fields = {
        "x": [p[0] for p in places],
        "y": [p[1] for p in places],
        "health": [u.health for u in units],
        "shield": [u.shield for u in units],
        "cooldown": [0] * len(units),
        "aim_x": [world.size / 4] * enemies,
        "aim_y": [world.size / 2] * enemies,
        "time": 0,
        **changes,
    }
    whole = ("cooldown", "time")
    return CombatState(**{k: jnp.asarray(v, jnp.int32 if k in whole else jnp.float32) for k, v in fields.items()})


@pytest.fixture(scope="module")
def duel() -> Any:
    """One marine against one, and a function that takes steps."""
    world = Combat(roster="1m")
    step, observe = jax.jit(world.step), jax.jit(lambda s: world._timestep(s, jnp.zeros(())))

    def go(state: CombatState, *actions: int) -> Any:
        timestep = observe(state)
        for action in actions:
            state, timestep = step(KEY, state, jnp.array([action]))
        return state, timestep

    return world, go


# ---- rosters


def test_rosters() -> None:
    for text, allies, enemies in (
        ("3m", "marine " * 3, "marine " * 3),
        ("2s3z", "stalker " * 2 + "zealot " * 3, "stalker " * 2 + "zealot " * 3),
        ("5m_vs_6m", "marine " * 5, "marine " * 6),
        ("1s2m_vs_3z", "stalker marine marine ", "zealot " * 3),
        ("1M2zg_vs_2c1h", "marauder zergling zergling ", "colossus colossus hydralisk "),
    ):
        roster = parse_roster(text)
        assert [u.name for u in roster.allies] == allies.split()
        assert [u.name for u in roster.enemies] == enemies.split()
    assert len(make_world("combat:roster=8m").agents) == 8


@pytest.mark.parametrize(
    "text", ["", "m", "0m", "3x", "3", "3m_vs_", "_vs_3m", "1m_vs_1m_vs_1m", "-1m", "03m", "65m", "3m 2z", "3 m"]
)
def test_impossible_rosters_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="combat roster"):
        make_world("combat", roster=text)


def test_other_bad_settings_are_refused() -> None:
    for field, value in (("horizon", 0), ("size", 5.0)):
        with pytest.raises(InputError, match=f"combat {field}"):
            make_world("combat", **{field: value})


@given(st.text(alphabet="0123msz_vghcM ", max_size=9))
@settings(max_examples=200, deadline=None)
def test_any_text_is_a_roster_or_refused(text: str) -> None:
    try:
        roster = parse_roster(text)
    except InputError:
        return
    assert roster.allies and roster.enemies and max(len(roster.allies), len(roster.enemies)) <= 64


# ---- fighting


def test_damage_comes_once_a_cooldown(duel: Any) -> None:
    """A marine hits in loops 0, 15, 30, ...: after n steps of 8 loops, ceil(8 n / 15) hits of 6; the eighth kills."""
    world, go = duel
    marine = TYPES["m"]
    state = state_of(world, [(10, 16), (14, 16)], cooldown=[0, NEVER])
    for n in range(1, 15):
        state, ts = go(state, ATTACK)
        hits = math.ceil(8 * n / marine.cooldown)
        assert float(state.health[1]) == max(marine.health - hits * marine.damage, 0)
        assert float(state.health[0]) == marine.health
        assert bool(ts.terminated) is (hits >= 8)
    assert n == 14 and float(ts.metrics["win"]) == 1


def test_shields_go_before_health() -> None:
    world = Combat(roster="1m_vs_1z")
    step = jax.jit(world.step)
    state = state_of(world, [(10, 16), (13, 16)], shield=[0, 14], cooldown=[0, NEVER])
    seen = []
    for _ in range(6):
        state, _ = step(KEY, dataclasses.replace(state, x=jnp.array([10.0, 13.0])), jnp.array([ATTACK]))
        seen.append((float(state.shield[1]), float(state.health[1])))
    assert seen == [(8, 100), (2, 100), (2, 100), (0, 96), (0, 96), (0, 90)]


@pytest.mark.parametrize(("apart", "legal"), [(4.0, True), (5.0, True), (5.01, False), (9.0, False)])
def test_attacks_are_legal_in_range_only(duel: Any, apart: float, legal: bool) -> None:
    world, go = duel
    state = state_of(world, [(10, 16), (10 + apart, 16)], cooldown=[0, NEVER])
    _, ts = go(state)
    assert bool(ts.legal[0, ATTACK]) is legal
    # An attack out of range is as good as stop, even where the enemy comes into range meanwhile.
    after, _ = go(state, ATTACK)
    assert bool(after.health[1] < 45) is legal
    assert float(after.x[0]) == 10


def test_a_target_that_gets_away_is_not_hit() -> None:
    """A marine 4.99 from a zealot can hit in the last of the eight loops: one that stays is hit, one that flees not."""
    world = Combat(roster="1z_vs_1m")
    step = jax.jit(world.step)
    state = state_of(world, [(10, 16), (14.99, 16)], cooldown=[0, 7])
    fled, _ = step(KEY, state, jnp.array([WEST]))
    assert float(fled.shield[0]) == 50 and int(fled.cooldown[1]) == 0
    stayed, _ = step(KEY, state, jnp.array([STOP]))
    assert float(stayed.shield[0]) == 44 and int(stayed.cooldown[1]) == 14


def test_both_may_die_at_once_and_nobody_wins(duel: Any) -> None:
    world, go = duel
    state = state_of(world, [(10, 16), (14, 16)])
    total = 0.0
    for _ in range(14):
        state, ts = go(state, ATTACK)
        total += float(ts.reward[0])
    assert bool(ts.terminated) and not bool(ts.truncated)
    assert [float(ts.metrics[k]) for k in ("win", "allies_left", "enemies_left")] == [0, 0, 0]
    assert total == pytest.approx((45 + 10) * 20 / (45 + 10 + 200))


def test_mirrored_armies_that_play_alike_draw() -> None:
    """Three a side, mirrored, all shooting the nearest: each loop is the same for both sides, to the end."""
    world = Combat(roster="3m")
    step = jax.jit(world.step)
    state = state_of(world, [(14, 15), (14, 16), (14, 17), (18, 15), (18, 16), (18, 17)])
    for _ in range(20):
        state, ts = step(KEY, state, jnp.array([ATTACK, ATTACK + 1, ATTACK + 2]))
        np.testing.assert_allclose(state.health[:3], state.health[3:])
    assert bool(ts.terminated) and float(ts.metrics["win"]) == 0


def test_the_dead_are_masked_and_still_paid() -> None:
    world = Combat(roster="2m_vs_1m")
    state = state_of(world, [(10, 16), (11, 18), (14, 16)], health=[0, 45, 45], cooldown=[0, 0, NEVER])
    after, ts = jax.jit(world.step)(KEY, state, jnp.array([EAST, ATTACK]))
    assert ts.alive.tolist() == [False, True]
    assert not ts.obs[0].any() and ts.obs[1].any()
    assert ts.legal[0].tolist() == [True] + [False] * 5
    assert float(after.x[0]) == 10 and float(after.health[2]) == 39
    assert float(ts.reward[0]) == float(ts.reward[1]) == pytest.approx(6 * 20 / 255)
    dead = world.observation_names.index("other ally 0 in sight")
    assert float(ts.obs[1, dead]) == 0
    assert "You are dead." in world.describe(after, 0) and "ally-0," not in world.describe(after, 1)
    gone, _ = jax.jit(world.step)(
        KEY, dataclasses.replace(after, health=jnp.array([45.0, 45, 0])), jnp.array([ATTACK, ATTACK])
    )
    assert float(gone.health[2]) == 0 and gone.cooldown[:2].tolist() == [0, 0]


def test_a_victory_pays_twenty_in_all() -> None:
    """Damage, kills and the win add up to exactly 20, whatever was shot when; hits on the dying count what was left."""
    world = Combat(roster="2s1z_vs_1s2z")
    step = jax.jit(world.step)
    places = [(10, 14), (10, 16), (10, 18), (12, 14), (12, 16), (12, 18)]
    state, total = state_of(world, places, cooldown=[0, 0, 0, *[NEVER] * 3]), 0.0
    for _ in range(100):
        _, legal = state, np.asarray(world._legal(state))
        actions = [int(np.flatnonzero(row)[-1]) if row[5:].any() else EAST for row in legal]
        state, ts = step(KEY, state, jnp.array(actions))
        total += float(ts.reward[0])
        if bool(ts.terminated):
            break
    assert float(ts.metrics["win"]) == 1 and total == pytest.approx(20, abs=1e-4)


# ---- moving


def test_moves_edges_and_crowds(duel: Any) -> None:
    world, go = duel
    pace = TYPES["m"].speed / 2
    for action, dx, dy in ((NORTH, 0, 1), (SOUTH, 0, -1), (EAST, 1, 0), (WEST, -1, 0), (STOP, 0, 0)):
        after, _ = go(state_of(world, [(10, 10), (30, 30)]), action)
        assert (float(after.x[0]), float(after.y[0])) == pytest.approx((10 + dx * pace, 10 + dy * pace))
    corner, ts = go(state_of(world, [(0.3, 31.9), (30, 3)]), NORTH, WEST)
    assert (float(corner.x[0]), float(corner.y[0])) == (0, 32)
    assert ts.legal[0, :5].tolist() == [True, False, True, True, False]
    both, _ = go(state_of(world, [(10, 10), (10.5, 10)], cooldown=[NEVER, NEVER]), STOP)
    assert float(both.x[1] - both.x[0]) == pytest.approx(0.75)  # twice the radius
    assert float(both.x.sum()) == pytest.approx(20.5)


def test_the_script_seeks_and_remembers(duel: Any) -> None:
    world, go = duel
    # Nobody in sight: it goes straight to where the allies start, (8, 16), at 1.125 a step.
    state, _ = go(state_of(world, [(1, 1), (20, 21)]), STOP)
    way = math.hypot(12, 5)
    assert (float(state.x[1]), float(state.y[1])) == pytest.approx((20 - 1.125 * 12 / way, 21 - 1.125 * 5 / way))
    # It sees an ally 8 away and goes there; when the ally is gone it goes on, and waits 2 short of that place.
    state, _ = go(state_of(world, [(12, 16), (20, 16)]), STOP)
    assert float(state.x[1]) == pytest.approx(20 - 1.125) and float(state.aim_x[0]) == 12
    hidden = dataclasses.replace(state, x=jnp.array([1.0, float(state.x[1])]), y=jnp.array([30.0, 16.0]))
    for _ in range(8):
        hidden, _ = go(hidden, STOP)
    assert (float(hidden.x[1]), float(hidden.y[1])) == pytest.approx((14, 16), abs=1e-3)


def test_the_script_hits_the_nearest_and_ties_go_to_the_first() -> None:
    world = Combat(roster="3m_vs_1m")
    step = jax.jit(world.step)
    for spots, hurt in (
        ([(10, 16), (12, 16), (10, 18)], 1),
        ([(12, 18), (10, 16), (12, 14)], 0),  # first and third equally far from (14, 16)
        ([(8, 16), (8.5, 16), (1, 1)], None),
    ):
        after, _ = step(KEY, state_of(world, [*spots, (14, 16)]), jnp.array([STOP] * 3))
        assert [i for i in range(3) if float(after.health[i]) < 45] == ([] if hurt is None else [hurt])
    dead = state_of(world, [(10, 16), (12, 16), (10, 18), (14, 16)], health=[45, 0, 45, 45])
    assert float(step(KEY, dead, jnp.array([STOP] * 3))[0].health[0]) == 39


def test_time_runs_out() -> None:
    world = Combat(roster="1m", horizon=2)
    step = jax.jit(world.step)
    state = state_of(world, [(1, 1), (30, 30)])
    for over in (False, True):
        state, ts = step(KEY, state, jnp.array([STOP]))
        assert (bool(ts.terminated), bool(ts.truncated)) == (False, over)


# ---- what is seen


def test_observation_of_a_known_scene() -> None:
    world = Combat(roster="1s2m_vs_2z")
    state = state_of(
        world,
        [(10, 16), (10, 22), (10, 30), (16, 16), (20, 16)],
        health=[40, 45, 45, 75, 100],
        shield=[20, 0, 0, 25, 50],
        cooldown=[7, 0, 0, 0, 0],
    )
    ts = jax.jit(lambda s: world._timestep(s, jnp.zeros(())))(state)
    names = world.observation_names
    assert ts.obs.shape == (3, len(names)) and len(set(names)) == len(names)
    facts = dict(zip(names, np.asarray(ts.obs[0]).tolist(), strict=True))
    expected = {
        "enemy-0 in range": 1, "enemy-0 distance": 6 / 9, "enemy-0 east": 6 / 9, "enemy-0 north": 0,
        "enemy-0 health": 0.75, "enemy-0 shield": 0.5, "enemy-0 is zealot": 1, "enemy-0 is marine": 0,
        "enemy-1 in range": 0, "enemy-1 distance": 0, "enemy-1 health": 0, "enemy-1 is zealot": 0,
        "other ally 0 in sight": 1, "other ally 0 north": 6 / 9, "other ally 0 is marine": 1, "other ally 0 shield": 0,
        "other ally 1 in sight": 0, "other ally 1 health": 0,
        "own health": 0.5, "own shield": 0.25, "own cooldown": 7 / 35, "own x": 10 / 32, "own is stalker": 1,
        "can go north": 1,
    }  # fmt: skip
    assert {k: facts[k] for k in expected} == pytest.approx(expected)
    assert ts.legal[0].tolist() == [True] * 6 + [False]
    plain = Combat(roster="3m").observation_names
    assert len(plain) == 33 and not any("shield" in n or "is " in n for n in plain)


def test_text_says_what_is_seen() -> None:
    world = Combat(roster="1s2m_vs_2z")
    places = [(10, 16), (10, 22), (10, 30), (16, 16), (20, 16)]
    text = world.describe(state_of(world, places, cooldown=[8, 0, 0, 0, 0], shield=[20, 0, 0, 50, 50]), 0)
    for words in (
        "You are ally-0, a stalker, health 80 of 80, shield 20 of 80, at x 10.0, y 16.0 of 32",
        "ready in 0.50 s",
        "enemy-0, a zealot, health 100 of 100, shield 50 of 50, is 6.0 away: +6.0 east, +0.0 north, in range.",
        "ally-1, a marine, health 45 of 45, is 6.0 away: +0.0 east, +6.0 north.",
        "Actions: stop, north, south, east, west, attack-0.",
    ):
        assert words in text
    assert "ally-2" not in text and "enemy-1" not in text
    assert "No enemy is in sight." in world.describe(state_of(world, [*places[:3], (30, 1), (30, 2)]), 0)


@given(x=st.floats(20, 32), y=st.floats(0, 32), health=st.floats(1, 100))
@settings(max_examples=15, deadline=None)
def test_what_is_out_of_sight_changes_nothing_that_is_observed(x: float, y: float, health: float) -> None:
    world = Combat(roster="1s2m_vs_2z")
    places = [(10, 16), (10, 22), (10, 12), (16, 16)]
    one = state_of(world, [*places, (20, 16)])
    two = state_of(world, [*places, (x, y)], health=[80, 45, 45, 100, health], aim_x=[3, 5], aim_y=[1, 2])
    np.testing.assert_array_equal(OBSERVE(world, one)[0], OBSERVE(world, two)[0])
    assert world.describe(one, 0) == world.describe(two, 0)


def test_global_state_holds_all_units() -> None:
    world = Combat(roster="1m_vs_1z")
    state = state_of(world, [(8, 16), (24, 16)], shield=[0, 25], time=50)
    got = world.global_state(state, world._timestep(state, jnp.zeros(())))
    # health, shield, cooldown, x, y, is marine, is zealot, for each; then the time
    expected = [1, 0, 0, 0.25, 0.5, 1, 0, 1, 0.5, 0, 0.75, 0.5, 0, 1, 0.5]
    np.testing.assert_allclose(got, expected)
    dead = dataclasses.replace(state, health=jnp.array([45.0, 0.0]))
    assert not world.global_state(dead, world._timestep(dead, jnp.zeros(())))[7:14].any()


def test_draws_every_unit(duel: Any) -> None:
    world, _ = duel
    picture = world.draw(state_of(world, [(8, 16), (24, 16)], health=[45, 0]))
    assert [s.kind for s in picture.shapes] == ["circle", "rect", "circle"]


# ---- second implementation, batches, play


def plain_step(world: Combat, s: dict[str, Any], actions: list[int]) -> dict[str, Any]:
    """The rules once more, unit by unit, in plain Python."""
    units, a = world.armies.units, len(world.armies.allies)
    n = len(units)
    x, y, hp, sh, cd = (list(map(float, s[k])) for k in ("x", "y", "health", "shield", "cooldown"))
    aim = [list(p) for p in zip(map(float, s["aim_x"]), map(float, s["aim_y"]), strict=True)]
    way, target = [(0.0, 0.0)] * n, [-1] * n
    for i, unit in enumerate(units):
        if hp[i] <= 0:
            continue
        pace = unit.speed / 16
        if i < a:
            if actions[i] >= ATTACK:
                j = a + actions[i] - ATTACK
                if hp[j] > 0 and math.hypot(x[i] - x[j], y[i] - y[j]) <= unit.range:
                    target[i] = j
            else:
                step = {STOP: (0, 0), NORTH: (0, 1), SOUTH: (0, -1), EAST: (1, 0), WEST: (-1, 0)}[actions[i]]
                way[i] = (step[0] * pace, step[1] * pace)
            continue
        far, j = min(((math.hypot(x[i] - x[k], y[i] - y[k]), k) for k in range(a) if hp[k] > 0), default=(1e9, -1))
        if far <= unit.sight:
            aim[i - a] = [x[j], y[j]]
        if far <= unit.range:
            target[i] = j
        else:
            dx, dy = aim[i - a][0] - x[i], aim[i - a][1] - y[i]
            gap = math.hypot(dx, dy)
            if gap > 2:
                pace = min(pace, (gap - 2) / 8)
                way[i] = (dx / gap * pace, dy / gap * pace)
    for _ in range(8):
        up = [h > 0 for h in hp]
        for i in range(n):
            if up[i]:
                x[i] = min(max(x[i] + way[i][0], 0), world.size)
                y[i] = min(max(y[i] + way[i][1], 0), world.size)
        hurt = [0.0] * n
        for i, unit in enumerate(units):
            j = target[i]
            fires = up[i] and j >= 0 and up[j] and cd[i] <= 0 and math.hypot(x[i] - x[j], y[i] - y[j]) <= unit.range
            if fires:
                hurt[j] += unit.damage
                cd[i] = unit.cooldown
            cd[i] = max(cd[i] - 1, 0)
        for i in range(n):
            absorbed = min(sh[i], hurt[i])
            sh[i] -= absorbed
            hp[i] = max(hp[i] - hurt[i] + absorbed, 0)
    px, py = list(x), list(y)
    for i in range(n):
        for j in range(n):
            apart, near = math.hypot(x[i] - x[j], y[i] - y[j]), units[i].radius + units[j].radius
            if i != j and hp[i] > 0 and hp[j] > 0 and 0 < apart < near:
                px[i] += (x[i] - x[j]) * (near / apart - 1) / 2
                py[i] += (y[i] - y[j]) * (near / apart - 1) / 2
    px, py = ([min(max(v, 0), world.size) for v in p] for p in (px, py))
    return {
        "x": px,
        "y": py,
        "health": hp,
        "shield": sh,
        "cooldown": cd,
        "aim_x": [p[0] for p in aim],
        "aim_y": [p[1] for p in aim],
    }


@pytest.mark.parametrize("roster", ["2s3z", "1s1zg1M_vs_2h1c"])
def test_second_implementation_agrees(roster: str) -> None:
    world = Combat(roster=roster)
    batch = 4
    reset, step = jax.jit(world.reset, static_argnums=1), jax.jit(world.step)
    state, ts = reset(jax.random.key(3), (batch,))
    hits = 0
    for t in range(50):
        key = jax.random.key(t)
        # Attack where possible, else mostly go east: the sides meet.
        actions = jnp.where(ts.legal[:, ATTACK:].any(1), random_actions(world, key, ts), EAST)
        after, ts = step(key, state, actions)
        for b in range(batch):
            fields = {k: np.asarray(v)[..., b] for k, v in vars(state).items()}
            for name, value in plain_step(world, fields, np.asarray(actions)[:, b].tolist()).items():
                np.testing.assert_allclose(
                    np.asarray(getattr(after, name))[..., b], value, atol=2e-3, err_msg=f"{name} {t}"
                )
        hits += int((np.asarray(after.health) < np.asarray(state.health)).sum())
        state = after
    assert hits > 50


def test_batch_equals_single_worlds() -> None:
    """Worlds in the middle of a fight, stepped together and one by one."""
    world = Combat(roster="1s2m_vs_3z", size=16)
    step = jax.jit(world.step)
    state, ts = jax.jit(world.reset, static_argnums=1)(jax.random.key(1), (4,))
    for t in range(10):
        actions = jnp.where(ts.legal[:, ATTACK:].any(1), random_actions(world, jax.random.key(t), ts), EAST)
        after, ts = step(KEY, state, actions)
        for b in range(4):
            one = step(KEY, jax.tree.map(lambda v, b=b: v[..., b], state), actions[:, b])
            for got, whole in zip(jax.tree.leaves(one), jax.tree.leaves((after, ts)), strict=True):
                np.testing.assert_allclose(got, np.asarray(whole)[..., b], atol=1e-4)
        state = after
    full = np.array([u.health + u.shield for u in world.armies.units])[:, None]
    assert (np.asarray(state.health + state.shield) < full).any(0).all()


def focus_fire(world: Combat, key: jax.Array, ts: Any) -> jax.Array:
    """Shoot the weakest enemy in range; go towards the nearest in sight once any mate can shoot; else wait."""
    names, enemies = world.observation_names, len(world.armies.enemies)

    def of(fact: str) -> jax.Array:
        return ts.obs[:, np.array([names.index(f"enemy-{j} {fact}") for j in range(enemies)])]

    in_range, seen = ts.legal[:, ATTACK:], of("health") > 0
    shoot = ATTACK + jnp.argmin(jnp.where(in_range, of("health"), jnp.inf), 1)
    nearest = jnp.argmin(jnp.where(seen, of("distance"), jnp.inf), 1)[:, None]
    dx, dy = (jnp.take_along_axis(of(f), nearest, 1)[:, 0] for f in ("east", "north"))
    move = jnp.where(abs(dx) > abs(dy), jnp.where(dx > 0, EAST, WEST), jnp.where(dy > 0, NORTH, SOUTH))
    move = jnp.where(seen.any(1) & in_range.any((0, 1)), move, STOP)
    return jnp.where(in_range.any(1), shoot, move).astype(jnp.int32)


@pytest.mark.slow
def test_focus_fire_beats_random_play_by_far() -> None:
    world = Combat(roster="3m")

    def run(policy: Any) -> Any:
        tally = jax.jit(lambda key: play(world, partial(policy, world), key, 150, (128,)))(jax.random.key(2))[0]
        return float(tally.metrics["win"] / tally.episodes), float(tally.mean_return()[0]), int(tally.episodes)

    random, focus = run(random_actions), run(focus_fire)
    assert random[2] > 300 and focus[2] > 300
    assert random[0] < 0.01 and focus[0] > 0.4
    assert focus[1] > 5 * random[1]
