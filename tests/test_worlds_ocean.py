"""The ocean against hand-computed ticks and a plain numpy view; the beam against statics worked out by hand."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shoal.worlds import make_world
from shoal.worlds.beam import BeamCarrying, BeamState
from shoal.worlds.ocean import Ocean, OceanState
from shoal.worlds.picture import to_svg
from world_batches import assert_alone_is_fine, assert_batch_is_singles, assert_refused

KEY = jax.random.key(0)
DARK, LIT = 0, 1
LEFT, RIGHT, AHEAD = 4, 2, 6
"""Numbers of coast-left, coast-right and accelerate-straight; add LIT to light the signal."""


@cache
def stepper(world: Any) -> Any:
    return jax.jit(world.step)


@cache
def resetter(world: Any) -> Any:
    return jax.jit(world.reset, static_argnums=1)


def sea(world: Ocean, vessels: list[tuple[float, float, float]], pebbles: list[tuple[float, float]]) -> OceanState:
    """Vessels (x, y, heading in degrees) at rest and dark; pebbles where given, the others far off and collected."""
    spots = np.array([*pebbles, *[(0.99, 0.99)] * (world.pebbles - len(pebbles))], np.float32)
    x, y, degrees = (jnp.array(v) for v in np.array(vessels, np.float32).T)
    middle, dark, zero = jnp.full(world.patches, 0.5), jnp.zeros(world.count, bool), jnp.array(0)
    return OceanState(
        x=x, y=y, heading=jnp.radians(degrees), speed=jnp.zeros(world.count),
        px=jnp.array(spots[:, 0]), py=jnp.array(spots[:, 1]), floating=jnp.arange(world.pebbles) < len(pebbles),
        cx=middle, cy=middle, count=jnp.zeros(world.count, jnp.int32), chosen=dark, lit=dark,
        shown=zero, fast=zero, time=zero,
    )  # fmt: skip


SMALL = Ocean(count=2, pebbles=6, patches=2, drift=0.0, view=0.25, reach=0.02, fastest=0.02)


def test_actions_name_throttle_steer_and_light() -> None:
    names = SMALL.actions[0]
    assert names[0] == "coast-straight-dark" and names[AHEAD + LIT] == "accelerate-straight-lit"
    assert names[LEFT] == "coast-left-dark" and names[RIGHT] == "coast-right-dark" and len(names) == 12
    assert Ocean(channel=False).actions[0] == tuple(n[:-5] for n in names[::2])


def test_speed_and_heading_follow_the_formula() -> None:
    state = sea(SMALL, [(0.5, 0.5, 0), (0.1, 0.1, 90)], [])
    speed, x, y = 0.0, 0.5, 0.1
    for _ in range(5):
        state, _ = stepper(SMALL)(KEY, state, jnp.array([AHEAD, AHEAD + LEFT]))
        speed = 0.9 * speed + 0.1 * 0.02
        x += speed
    np.testing.assert_allclose([float(state.x[0]), float(state.speed[0])], [x, speed], atol=1e-6)
    assert float(jnp.degrees(state.heading[1])) == pytest.approx(140, abs=1e-3)
    state, _ = stepper(SMALL)(KEY, state, jnp.array([RIGHT, 0]))
    assert float(jnp.degrees(state.heading[0])) == pytest.approx(350, abs=1e-3)
    assert float(state.speed[0]) == pytest.approx(0.9 * speed) and y == 0.1


def test_a_pebble_is_counted_once_for_the_nearer_then_the_lower_index() -> None:
    # Pebbles: nearer to the second; a tie; out of reach.
    world = dataclasses.replace(SMALL, hull=0.0, reach=0.0625)
    state = sea(world, [(0.25, 0.5, 0), (0.3125, 0.5, 0)], [(0.3, 0.5), (0.28125, 0.5), (0.5, 0.5)])
    state, timestep = stepper(world)(KEY, state, jnp.array([0, 0]))
    assert np.asarray(timestep.reward).tolist() == [1, 1]
    assert np.asarray(state.count).tolist() == [1, 1]
    assert np.asarray(state.floating).tolist() == [False, False, True, False, False, False]
    again, timestep = stepper(world)(KEY, state, jnp.array([0, 0]))
    assert not np.asarray(timestep.reward).any() and int(again.count.sum()) == 2
    assert float(timestep.metrics["clean"]) == pytest.approx(2 / 6)
    # Exactly at reach is not closer than reach.
    edge = sea(world, [(0.25, 0.5, 0), (0.75, 0.75, 0)], [(0.3125, 0.5)])
    assert not np.asarray(stepper(world)(KEY, edge, jnp.array([0, 0]))[1].reward).any()


def test_border_and_hull_cost_one_and_the_border_stops() -> None:
    state = dataclasses.replace(sea(SMALL, [(0.995, 0.5, 0), (0.5, 0.5, 0)], []), speed=jnp.array([0.02, 0.0]))
    state, timestep = stepper(SMALL)(KEY, state, jnp.array([AHEAD, 0]))
    assert np.asarray(timestep.reward).tolist() == [-1, 0]
    assert (float(state.x[0]), float(state.speed[0])) == (1, 0)
    _, timestep = stepper(SMALL)(KEY, sea(SMALL, [(0.5, 0.5, 0), (0.515, 0.5, 0)], []), jnp.array([0, 0]))
    assert np.asarray(timestep.reward).tolist() == [-1, -1]


def test_the_episode_ends_when_the_sea_is_clean() -> None:
    world = dataclasses.replace(SMALL, pebbles=2)
    state = sea(world, [(0.2, 0.2, 0), (0.8, 0.8, 0)], [(0.205, 0.2), (0.5, 0.5)])
    state, timestep = stepper(world)(KEY, state, jnp.array([0, 0]))
    assert not bool(timestep.terminated) and float(timestep.metrics["ticks_to_80"]) == world.horizon
    state = dataclasses.replace(state, px=jnp.full(2, 0.8), py=jnp.full(2, 0.81))
    state, timestep = stepper(world)(KEY, state, jnp.array([0, 0]))
    assert bool(timestep.terminated) and float(timestep.metrics["ticks_to_80"]) == 2
    assert float(timestep.metrics["gini"]) == 0


def test_pay_by_regime() -> None:
    def paid(**changes: Any) -> list[float]:
        world = Ocean(count=3, pebbles=6, patches=2, drift=0.0, **changes)
        state = sea(world, [(0.2, 0.2, 0), (0.5, 0.5, 0), (0.8, 0.8, 0)], [(0.2, 0.21), (0.2, 0.19), (0.5, 0.51)])
        state = dataclasses.replace(state, count=jnp.array([3, 2, 2]))
        return np.asarray(stepper(world)(KEY, state, jnp.array([LIT, DARK, DARK]))[1].reward, float).tolist()

    assert paid() == [2, 1, 0]
    np.testing.assert_allclose(paid(regime="fair"), [2.02, 1.02, 0.02], atol=1e-6)
    np.testing.assert_allclose(paid(regime="team"), [1, 1, 1], atol=1e-6)
    np.testing.assert_allclose(paid(price=0.25), [1.75, 1, 0], atol=1e-6)
    # In view before 3 pebbles in all, one each fewer after collecting: no approach is lost, only gained.
    assert paid(approach=1.0) == [2, 1, 0]
    sizes = {name: (Ocean(regime=name).pebbles, Ocean(regime=name).spread) for name in ("scarce", "abundant", "fair")}
    assert sizes == {"scarce": (100, 0.03), "abundant": (300, 0.08), "fair": (300, 0.08)}


def test_coming_nearer_to_pebbles_pays_where_asked() -> None:
    world = dataclasses.replace(SMALL, approach=0.5)
    state = dataclasses.replace(
        sea(world, [(0.2, 0.5, 0), (0.9, 0.1, 0)], [(0.46, 0.5), (0.465, 0.5)]), speed=jnp.array([0.02, 0.0])
    )
    _, timestep = stepper(world)(KEY, state, jnp.array([AHEAD, 0]))
    np.testing.assert_allclose(timestep.reward, [1.0, 0.0], atol=1e-6)


def test_gini_and_ranks_of_the_counts() -> None:
    world = Ocean(count=4, pebbles=50, patches=2)
    state = dataclasses.replace(
        sea(world, [(0.1, 0.1, 0), (0.1, 0.9, 0), (0.9, 0.1, 0), (0.5, 0.5, 0)], []), count=jnp.array([1, 7, 4, 0])
    )
    metrics = stepper(world)(KEY, state, jnp.zeros(4, int))[1].metrics
    ordered = np.array([0, 1, 4, 7])
    gini = sum((2 * (i + 1) - 5) * c for i, c in enumerate(ordered)) / (4 * 12)
    found = {name: float(metrics[name]) for name in ("collected", "gini", "lowest", "middle", "highest")}
    assert found == {"collected": 12, "gini": pytest.approx(gini), "lowest": 0, "middle": 2.5, "highest": 7}


def test_patches_lie_apart_and_pebbles_around_them() -> None:
    world = Ocean(regime="scarce", spread=0.0)
    state, _ = resetter(world)(KEY, (40,))
    cells = np.stack([(np.asarray(v) - 0.1) // (0.8 / 3) for v in (state.cx, state.cy)])
    assert all(len({tuple(c) for c in cells[:, :, b].T}) == 6 for b in range(40))
    np.testing.assert_allclose(state.px[:12], np.tile(state.cx, (2, 1)), atol=1e-6)
    assert state.px.shape == (100, 40)


def test_sectors_and_density_against_a_plain_view() -> None:
    world = Ocean(count=3, view=0.25)
    state, _ = resetter(world)(jax.random.key(3))
    state = dataclasses.replace(state, floating=jax.random.uniform(KEY, (300,)) < 0.7)
    sight = jax.jit(world._sight)(state)
    x, y, heading = (np.asarray(v, float) for v in (state.x, state.y, state.heading))
    px, py, afloat = (np.asarray(v) for v in (state.px, state.py, state.floating))
    for i in range(3):
        dx, dy = px - x[i], py - y[i]
        far = np.hypot(dx, dy)
        angle = np.degrees(np.arctan2(dy, dx) - heading[i]) % 360
        bins = np.zeros((8, 3), int)
        for p in np.flatnonzero(afloat & (far < 0.25)):
            bins[int(angle[p] // 45), int(far[p] // (0.25 / 3))] += 1
        assert np.asarray(sight.sectors[i]).reshape(8, 3).tolist() == bins.tolist()
        seen = afloat & (far < 0.25)
        assert int(sight.seen[i]) == seen.sum() > 0
        ahead = (dx * np.cos(heading[i]) + dy * np.sin(heading[i]))[seen].mean()
        assert float(sight.ahead[i]) == pytest.approx(ahead, abs=1e-5)


def test_pebbles_drift_to_their_patch() -> None:
    world = dataclasses.replace(SMALL, drift=0.1)
    state = sea(world, [(0.1, 0.1, 0), (0.9, 0.1, 0)], [(0.5, 0.5)] * 2)
    state = dataclasses.replace(state, cx=jnp.array([0.6, 0.2]), cy=jnp.array([0.5, 0.5]))
    following, _ = stepper(world)(KEY, state, jnp.array([0, 0]))
    np.testing.assert_allclose(following.px[:2], [0.51, 0.47], atol=1e-6)


# Signals.


def heard(obs: Any, agent: int) -> list[float]:
    """Own light, number of lights seen, and the neighbours' lights with their places."""
    return [round(float(v), 4) for v in np.asarray(obs)[agent, 34:]]


def test_a_light_is_seen_in_the_next_tick_with_its_place() -> None:
    state = sea(SMALL, [(0.5, 0.5, 0), (0.6, 0.5, 90)], [])
    before = SMALL._timestep(state, SMALL._sight(state), jnp.zeros(2)).obs
    assert heard(before, 0) == heard(before, 1) == [0] * 8
    state, dark = stepper(SMALL)(KEY, state, jnp.array([DARK, DARK]))
    choices = [stepper(SMALL)(KEY, state, jnp.array(a))[1].obs for a in ([DARK, DARK], [LIT, DARK])]
    # The observation from which the light is chosen is `dark`, whatever is chosen; the next one shows it.
    assert heard(dark.obs, 1) == [0] * 8
    assert heard(choices[0], 1) == [0] * 8
    assert heard(choices[1], 1) == [0, 0.5, 1, 0, 0.1, 0, 0, 0]  # 0.1 to the left of one who heads up
    assert heard(choices[1], 0) == [1, 0, *[0] * 6]
    differing = np.flatnonzero((np.asarray(choices[0]) != np.asarray(choices[1])).any(1))
    assert differing.tolist() == [0, 1]
    fresh, _ = resetter(SMALL)(KEY)
    assert not bool(fresh.lit.any())


def test_lights_go_to_the_nearest_in_range_only() -> None:
    places = [(0.1, 0.5, 0.0), (0.2, 0.5, 0.0), (0.4, 0.5, 0.0), (0.8, 0.5, 0.0)]
    world = Ocean(count=4, pebbles=6, patches=2, neighbours=1)
    state = sea(world, places, [])
    assert np.asarray(world.graph(state)).astype(int).tolist() == [
        [0, 1, 0, 0],
        [1, 0, 0, 0],
        [0, 1, 0, 0],
        [0, 0, 1, 0],
    ]
    near = dataclasses.replace(world, hearing=0.25)
    assert np.asarray(near.graph(state)).sum(1).tolist() == [1, 1, 1, 0]
    wide = dataclasses.replace(world, neighbours=9)
    assert np.asarray(wide.graph(state)).sum() == 12
    tie = sea(world, [(0.25, 0.5, 0.0), (0.5, 0.5, 0.0), (0.75, 0.5, 0.0), (0.5, 0.9, 0.0)], [])
    assert np.asarray(world.graph(tie))[1].tolist() == [True, False, False, False]
    _, timestep = stepper(near)(KEY, state, jnp.array([LIT] * 4))
    assert [heard(timestep.obs, i)[1] for i in range(4)] == [1, 1, 1, 0]


def test_modes_of_the_lights() -> None:
    start = [(0.1, 0.1, 0.0), (0.9, 0.1, 0.0), (0.5, 0.9, 0.0)]

    def lit(mode: str, seed: int = 0) -> np.ndarray:
        world = Ocean(count=3, pebbles=6, patches=2, lights=mode)
        state = sea(world, start, [])
        after, timestep = stepper(world)(jax.random.key(seed), state, jnp.array([LIT, DARK, DARK]))
        assert np.asarray(timestep.obs[:, 34]).tolist() == [1, 0, 0]  # one's own choice is known
        return np.asarray(after.lit).astype(int)

    assert lit("chosen").tolist() == [1, 0, 0] and lit("always").tolist() == [1, 1, 1]
    shuffled = np.array([lit("shuffled", s) for s in range(20)])
    assert (shuffled.sum(1) == 1).all() and not shuffled[:, 0].any() and set(shuffled[:, 1]) == {0, 1}
    coins = np.array([lit("random", s) for s in range(40)])
    assert 0.3 < coins.mean() < 0.7


def test_cut_edges_and_hidden_things_do_not_show() -> None:
    deaf = dataclasses.replace(SMALL, hearing=0.0)
    mute = Ocean(count=2, pebbles=6, patches=2, drift=0.0, channel=False)
    state = sea(SMALL, [(0.2, 0.5, 0), (0.3, 0.5, 0)], [(0.9, 0.9)])
    for world, size in ((deaf, 42), (mute, 34)):
        choose = [(0, 1), (1, 1)] if world is deaf else [(0, 0), (0, 3)]
        seen = [stepper(world)(KEY, state, jnp.array(a))[1].obs for a in choose]
        assert seen[0].shape == (2, size)
        if world is deaf:
            assert (seen[0][1] == seen[1][1]).all()
    far = dataclasses.replace(state, px=state.px.at[0].set(0.7))
    look = jax.jit(lambda s: SMALL._timestep(s, SMALL._sight(s), jnp.zeros(2)).obs)
    assert (look(state) == look(far)).all()
    assert SMALL.describe(state, 0) == SMALL.describe(far, 0)
    hidden = dataclasses.replace(state, count=jnp.array([0, 5]), cx=state.cx + 0.1)
    assert (look(state) == look(hidden)).all()


def test_the_text_says_what_the_observation_says() -> None:
    state = sea(SMALL, [(0.5, 0.5, 0), (0.6, 0.5, 90)], [(0.55, 0.501), (0.5, 0.4)])
    state, _ = stepper(SMALL)(KEY, state, jnp.array([LIT, DARK]))
    text = SMALL.describe(state, 1)
    assert "A lit vessel: +0.000 ahead, +0.100 left." in text
    assert "Pebbles in view: 2" in text and "Your light was off. Lit vessels that you see: 1." in text
    assert "accelerate-left-lit" in text and to_svg(SMALL.draw(state)).startswith("<svg")
    assert "From 0 to 45 degrees left: 1 near, 0 further, 0 far." in SMALL.describe(state, 0)
    assert "From 270 to 315 degrees left: 0 near, 1 further, 0 far." in SMALL.describe(state, 0)


@pytest.mark.parametrize("changes", [{}, {"lights": "shuffled", "approach": 0.1}])
def test_a_batch_of_seas_is_its_seas_one_by_one(changes: dict[str, Any]) -> None:
    world = Ocean(count=3, regime="team", pebbles=40, hull=0.3, view=0.5, **changes)
    draws = (lambda key, batch: jax.random.uniform(key, batch)) if changes else None
    assert_batch_is_singles(world, 4, draws=draws)


@pytest.mark.parametrize(
    "spec",
    ["ocean:count=1,pebbles=20", "ocean:count=1,pebbles=1,lights=shuffled,neighbours=0", "beam-carrying:count=1"],
)
def test_one_agent_alone_runs(spec: str) -> None:
    assert_alone_is_fine(spec, 3)


def test_bad_settings_are_refused() -> None:
    for field in ("count", "pebbles", "patches", "horizon"):
        assert_refused("ocean", field, 0)
    assert_refused("ocean", "view", 1.5)
    assert_refused("ocean", "view", 0.0)
    assert_refused("ocean", "neighbours", -1)
    assert_refused("ocean", "reach", 0.3)
    assert_refused("ocean", "regime", "plenty")
    assert_refused("ocean", "lights", "blinking")
    assert_refused("ocean", "drift", -0.5)
    assert_refused("beam-carrying", "count", 0)
    assert_refused("beam-carrying", "grip", 0.0)
    assert_refused("beam-carrying", "drop", -1.0)
    assert_refused("beam-carrying", "visible", 2)


# The beam.


FLAT = BeamCarrying(bumps=0.0)


def haul(
    world: BeamCarrying, pushes: list[float], steps: int, lifts: list[float] | None = None
) -> tuple[BeamState, Any]:
    state, timestep = resetter(world)(KEY)
    actions = jnp.stack([jnp.array(pushes), jnp.array(lifts or [0.0] * world.count)], 1)
    total = jnp.zeros(world.count)
    for _ in range(steps):
        state, timestep = stepper(world)(KEY, state, actions)
        total = total + timestep.reward
        if bool(timestep.done):
            break
    return state, (timestep, np.asarray(total))


def test_together_the_beam_goes_forward_and_pays_its_way() -> None:
    state, (timestep, total) = haul(FLAT, [1.0, 1.0, 1.0], 60)
    assert not bool(timestep.terminated) and int(state.time) == 60
    assert 8 < float(state.bx) < 12  # 2 a second at the most, for 6 seconds
    np.testing.assert_allclose(total, float(state.bx), rtol=1e-4)
    # In steady motion drag balances the push; all carriers pull alike.
    np.testing.assert_allclose(state.v, 2.0, atol=0.02)
    still, (_, nothing) = haul(FLAT, [0.0, 0.0, 0.0], 5)
    assert float(still.bx) == 0 and not nothing.any()


def test_a_carrier_that_goes_its_own_way_loses_its_place_and_the_beam_falls() -> None:
    state, (timestep, _) = haul(FLAT, [1.0, 1.0, -1.0], 100)
    assert bool(timestep.terminated) and float(timestep.metrics["fell"]) == 1
    lost = np.abs(np.asarray(state.x) - float(state.bx) - np.array([-1, 0, 1])) > 0.5
    assert lost.tolist() == [False, False, True]
    assert np.asarray(timestep.reward)[2] < -109 and (np.asarray(timestep.reward)[:2] > -101).all()


def test_the_beam_tips_at_its_steepest_slope() -> None:
    # Heads at 0.9, 1, 1.1 after one step: the slope is 0.1; 0.1 more each step until it passes 0.35.
    world = dataclasses.replace(FLAT, steep=0.35)
    state, (timestep, _) = haul(world, [0.0] * 3, 1, [-1.0, 0.0, 1.0])
    assert float(world._slope(state)) == pytest.approx(0.1, abs=1e-5) and not bool(timestep.terminated)
    state, (timestep, _) = haul(world, [0.0] * 3, 9, [-1.0, 0.0, 1.0])
    assert int(state.time) == 4 and bool(timestep.terminated)
    np.testing.assert_allclose(timestep.reward, -100.0, atol=1e-5)


def test_heads_start_level_over_uneven_ground_and_the_goal_ends_it() -> None:
    world = BeamCarrying()
    state, timestep = resetter(world)(KEY, (50,))
    assert float(jnp.abs(world._slope(state)).max()) < 1e-5
    assert timestep.obs.shape == (3, 15, 50)
    there = dataclasses.replace(state, bx=jnp.full(50, 99.99), x=state.x + 99.99, bv=jnp.full(50, 1.0))
    _, timestep = stepper(dataclasses.replace(world, steep=9.0))(KEY, there, jnp.ones((3, 2, 50)))
    assert bool(timestep.terminated.all()) and bool((timestep.metrics["success"] == 1).all())


def test_the_cut_observation_is_the_beginning_of_the_whole() -> None:
    whole, cut = BeamCarrying(), BeamCarrying(visible=11)
    (state, first), (_, less) = resetter(whole)(KEY), resetter(cut)(KEY)
    assert (np.asarray(first.obs)[:, :11] == np.asarray(less.obs)).all()
    assert "in front" in whole.describe(state, 0) and "in front" not in cut.describe(state, 0)
    moved = dataclasses.replace(state, x=state.x.at[2].add(0.01))
    look = jax.jit(cut._observe)
    # Others show only through the beam's slope once neighbours are cut off.
    assert np.flatnonzero(np.asarray(look(state)[0] != look(moved)[0])).tolist() in ([], [6])


def test_a_batch_of_beams_is_its_beams_one_by_one() -> None:
    assert_batch_is_singles(make_world("beam-carrying:local=0.3,grip=0.1"), 6)
