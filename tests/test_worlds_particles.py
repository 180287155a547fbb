"""The particle worlds: step by step against mpe2 where it is installed, and by their rules where it is not."""

from __future__ import annotations

import dataclasses
import re
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shoal.errors import InputError
from shoal.worlds.particles import frame, where
from shoal.worlds.physics import Bodies
from shoal.worlds.picture import to_svg
from shoal.worlds.reference import Reference
from shoal.worlds.rollout import random_actions
from shoal.worlds.speaker_listener import SpeakerListener
from shoal.worlds.spread import Spread
from shoal.worlds.tag import Tag, TagState
from shoal.worlds.world import World

STEPS, WORLDS = 60, 4
EACH = [Spread(), Tag(), Reference(local_ratio=0.3), SpeakerListener()]
TWO_BY_TWO = Tag(predators=2, prey=2, obstacles=3)
ALL = [*EACH, Spread(count=5, local_ratio=0.3), TWO_BY_TWO]


@partial(jax.jit, static_argnums=(0, 2))
def _reset(world: World[Any], key: Any, batch: tuple[int, ...] = ()) -> Any:
    return world.reset(key, batch)


@partial(jax.jit, static_argnums=0)
def _step(world: World[Any], state: Any, actions: Any) -> Any:
    return world.step(jax.random.key(0), state, actions)


@partial(jax.jit, static_argnums=0)
def _play(world: World[Any], crowd: float, seed: int) -> Any:
    key = jax.random.key(seed)
    state, first = world.reset(key, (WORLDS,))

    def body(carry: Any, key: Any) -> tuple[Any, Any]:
        state, timestep = carry
        bodies = getattr(state, "agents", None)
        if bodies is not None:
            again = (state.time % 6 == 0) & (crowd < 1)
            x, y = jax.random.uniform(key, (2, *bodies.x.shape), minval=-crowd, maxval=crowd)
            x, y = jnp.where(again, x, bodies.x), jnp.where(again, y, bodies.y)
            state = dataclasses.replace(state, agents=Bodies(x, y, bodies.vx, bodies.vy))
        actions = random_actions(world, key, timestep)
        after, shown = world.step(key, state, actions)
        return (after, shown), (state, after, actions, shown)

    return jax.lax.scan(body, (state, first), jax.random.split(key, STEPS))[1]


def _rollout(world: World[Any], crowd: float = 1.0, seed: int = 0) -> tuple[Any, Any, Any, Any]:
    """States before and after, actions and timesteps of random play, all with the step as their first axis.

    Args:
        world: the world.
        crowd: below 1, agents are put anew into a square of half this side every sixth step, so that they collide.
        seed: of positions and actions.
    """
    return jax.tree.map(np.asarray, _play(world, crowd, seed))


def _peer(world: World[Any]) -> Any:
    pytest.importorskip("mpe2")
    from mpe2 import simple_reference_v3, simple_speaker_listener_v4, simple_spread_v3, simple_tag_v3

    rest = {"max_cycles": 10**6}
    if isinstance(world, Spread):
        env = simple_spread_v3.raw_env(N=world.count, local_ratio=world.local_ratio, **rest)
    elif isinstance(world, Tag):
        env = simple_tag_v3.raw_env(world.prey, world.predators, world.obstacles, **rest)
    elif isinstance(world, Reference):
        env = simple_reference_v3.raw_env(local_ratio=world.local_ratio, **rest)
    else:
        env = simple_speaker_listener_v4.raw_env(**rest)
    env.reset(seed=0)
    return env


def _place(entity: Any, x: Any, y: Any, vx: Any = 0.0, vy: Any = 0.0) -> None:
    entity.state.p_pos = np.array([x, y], np.float64)
    entity.state.p_vel = np.array([vx, vy], np.float64)


def _load(env: Any, world: World[Any], state: Any) -> None:
    """Put our state (of one world) into the peer."""
    bodies = state.listener if isinstance(world, SpeakerListener) else state.agents
    movers = env.world.agents[1:] if isinstance(world, SpeakerListener) else env.world.agents
    for i, agent in enumerate(movers):
        _place(agent, bodies.x[i], bodies.y[i], bodies.vx[i], bodies.vy[i])
    marks = (state.ox, state.oy) if isinstance(world, Tag) else (state.lx, state.ly)
    for i, mark in enumerate(env.world.landmarks):
        _place(mark, marks[0][i], marks[1][i])
    if isinstance(world, Reference):
        for i, agent in enumerate(env.world.agents):
            agent.goal_b = env.world.landmarks[int(state.goals[i])]
            agent.state.c = np.eye(10)[int(state.words[i])] * (state.words[i] >= 0)
    if isinstance(world, SpeakerListener):
        env.world.agents[0].goal_b = env.world.landmarks[int(state.goal)]
        env.world.agents[0].state.c = np.eye(3)[int(state.word)] * (state.word >= 0)


def _answer(env: Any, world: World[Any], actions: Any) -> tuple[Any, Any, Any]:
    """Step the peer: positions and velocities, rewards, and observations padded as ours."""
    for action in actions:
        env.step(int(action))
    movers = env.world.agents[1:] if isinstance(world, SpeakerListener) else env.world.agents
    moved = np.array([[*agent.state.p_pos, *agent.state.p_vel] for agent in movers])
    seen = [env.observe(name) for name in env.possible_agents]
    assert tuple(len(s) for s in seen) == world.observation_sizes
    obs = np.array([np.pad(s, (0, world.observation_size - len(s))) for s in seen])
    return moved, np.array([env.rewards[name] for name in env.possible_agents]), obs


def _ours(world: World[Any], state: Any, timestep: Any) -> tuple[Any, Any, Any]:
    b = state.listener if isinstance(world, SpeakerListener) else state.agents
    return np.stack([b.x, b.y, b.vx, b.vy], 1), timestep.reward, timestep.obs


def _same(ours: list[Any], theirs: list[Any]) -> None:
    for mine, other in zip(zip(*ours, strict=True), zip(*theirs, strict=True), strict=True):
        np.testing.assert_allclose(np.array(mine), np.array(other), atol=1e-4)


def _at(tree: Any, step: int, one: int) -> Any:
    return jax.tree.map(lambda x: x[step, ..., one], tree)


def _of(tree: Any, one: int) -> Any:
    return jax.tree.map(lambda x: np.asarray(x)[..., one], tree)


@pytest.mark.parametrize("crowd", [1.0, 0.3])
@pytest.mark.parametrize("world", ALL, ids=repr)
def test_steps_equal_those_of_mpe2(world: World[Any], crowd: float) -> None:
    env = _peer(world)
    before, after, actions, timesteps = _rollout(world, crowd)
    assert [env.action_space(name).n for name in env.possible_agents] == [len(names) for names in world.actions]
    ours, theirs = [], []
    for one in range(WORLDS):
        for step in range(STEPS):
            _load(env, world, _at(before, step, one))
            theirs.append(_answer(env, world, actions[step, :, one]))
            ours.append(_ours(world, _at(after, step, one), _at(timesteps, step, one)))
    _same(ours, theirs)
    if crowd < 1 and isinstance(world, Spread):
        assert timesteps.metrics["collisions"].sum() > 50
    if crowd < 1 and isinstance(world, Tag):
        b = after.agents
        gap = np.hypot(b.x[:, :, None] - after.ox[:, None], b.y[:, :, None] - after.oy[:, None])
        assert timesteps.metrics["touches"][-1].sum() > 30
        assert (gap < 0.25).any()


def test_slow_prey_and_prey_outside_equal_those_of_mpe2() -> None:
    world = Tag(prey_pace=0.5, ends_when_caught=True)
    env = _peer(world)
    env.scenario.curriculum = env.scenario.terminate_on_success = True
    env.reset(seed=0)
    key = jax.random.key(5)
    state, _ = _reset(world, key, (WORLDS,))
    ends, ours, theirs = 0, [], []
    for i in range(STEPS):
        # The prey starts every step somewhere near the edge of the square, or beyond it, with a predator close by.
        draw = jax.random.uniform(jax.random.fold_in(key, i), (4, WORLDS), minval=-1.3, maxval=1.3)
        b = state.agents
        x, y = b.x.at[3].set(draw[0]).at[0].set(draw[0] + 0.1 * draw[2]), b.y.at[3].set(draw[1]).at[0].set(draw[1])
        state = dataclasses.replace(state, agents=Bodies(x, y, b.vx, b.vy))
        actions = jax.random.randint(jax.random.fold_in(key, 1000 + i), (4, WORLDS), 0, 5)
        after, timestep = _step(world, state, actions)
        for one in range(WORLDS):
            now, later, shown = (_of(t, one) for t in (state, after, timestep))
            _load(env, world, now)
            env.terminations = dict.fromkeys(env.terminations, False)
            theirs.append(_answer(env, world, actions[:, one]))
            ours.append(_ours(world, later, shown))
            assert bool(shown.terminated) == env.terminations["agent_0"]
            ends += bool(shown.terminated)
        state = after
    _same(ours, theirs)
    assert 0 < ends < STEPS * WORLDS


@pytest.mark.parametrize("world", ALL, ids=repr)
def test_a_batch_equals_its_worlds_one_by_one(world: World[Any]) -> None:
    before, after, actions, timesteps = _rollout(world, 0.5, seed=3)
    for one in range(WORLDS):
        for t in range(0, STEPS, 12):
            state, shown = _step(world, _at(before, t, one), actions[t, :, one])
            close = lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5)  # noqa: E731
            jax.tree.map(close, (state, shown), (_at(after, t, one), _at(timesteps, t, one)))
    two = jax.eval_shape(lambda: world.reset(jax.random.key(0), (3, 2)))
    one_world = jax.eval_shape(lambda: world.reset(jax.random.key(0)))
    assert jax.tree.all(jax.tree.map(lambda a, b: a.shape == (*b.shape, 3, 2), two, one_world))
    first = one_world[1]
    assert first.obs.shape == (world.agent_count, world.observation_size)
    assert first.legal.shape == (world.agent_count, world.action_count)


@pytest.mark.parametrize("world", ALL, ids=repr)
def test_episodes_are_truncated_at_the_horizon(world: World[Any]) -> None:
    *_, timesteps = _rollout(world)
    np.testing.assert_array_equal(timesteps.truncated[:, 0], np.arange(1, STEPS + 1) >= world.horizon)
    assert not timesteps.terminated.any()
    assert timesteps.alive.all()


@pytest.mark.parametrize("world", EACH, ids=repr)
def test_resets_lie_in_the_square_and_differ(world: World[Any]) -> None:
    state, timestep = _reset(world, jax.random.key(2), (500,))
    bodies = state.listener if isinstance(world, SpeakerListener) else state.agents
    marks, bound = ((state.ox, state.oy), 0.9) if isinstance(world, Tag) else ((state.lx, state.ly), 1.0)
    for values, limit in ((bodies.x, 1.0), (bodies.y, 1.0), (marks[0], bound), (marks[1], bound)):
        assert 0.95 * limit < float(jnp.abs(values).max()) <= limit
        assert abs(float(values.mean())) < 0.1
        assert len(np.unique(np.asarray(values))) > 400
    assert not np.asarray(bodies.vx).any()
    assert not np.asarray(timestep.reward).any()
    assert not np.asarray(timestep.done).any()


def test_goals_are_drawn_evenly_and_apart() -> None:
    goals = np.asarray(_reset(Reference(), jax.random.key(0), (3000,))[0].goals)
    counts = np.bincount(3 * goals[0] + goals[1], minlength=9)
    # Nine equally likely pairs: chi-square with 8 degrees of freedom is below 26.1 with probability 0.999.
    assert ((counts - 3000 / 9) ** 2 / (3000 / 9)).sum() < 26.1
    single = np.asarray(_reset(SpeakerListener(), jax.random.key(0), (3000,))[0].goal)
    assert ((np.bincount(single, minlength=3) - 1000) ** 2 / 1000).sum() < 13.8


def test_spread_by_hand() -> None:
    world = Spread(count=2, local_ratio=0.25)
    state, _ = _reset(world, jax.random.key(0))
    zero = jnp.zeros(2)
    state = dataclasses.replace(
        state,
        agents=Bodies(jnp.array([0.0, 0.2]), zero, zero, zero),
        lx=jnp.array([0.0, 1.0]),
        ly=jnp.array([1.0, 0.0]),
    )
    after, timestep = _step(world, state, jnp.array([0, 0]))
    # Overlap 0.1, so each is pushed with 100 * 0.1 newtons, and both gain a speed of 1 in a tenth of a second.
    np.testing.assert_allclose(after.agents.vx, [-1.0, 1.0], atol=1e-4)
    np.testing.assert_allclose(after.agents.x, [0.0, 0.2], atol=1e-6)
    shared = -(1.0 + 0.8)
    np.testing.assert_allclose(timestep.reward, 0.75 * shared - 0.25, atol=1e-5)
    assert float(timestep.metrics["collisions"]) == 1


def test_spread_cut_observations_hide_the_rest() -> None:
    whole, cut = Spread(), Spread(visible=10)
    state, all_of_it = _reset(whole, jax.random.key(1))
    _, part = _reset(cut, jax.random.key(1))
    np.testing.assert_array_equal(part.obs, all_of_it.obs[:, :10])
    assert "agent-1:" in whole.describe(state, 0)
    assert "agent-1:" not in cut.describe(state, 0)
    assert "Landmark 2:" in cut.describe(state, 0)
    assert "Landmark" not in Spread(visible=3).describe(state, 0)
    assert " up " not in Spread(visible=3).describe(state, 0)


def _tag(world: Tag, x: list[float], y: list[float]) -> TagState:
    state, _ = _reset(world, jax.random.key(0))
    zero, far = jnp.zeros(world.agent_count), jnp.full(world.obstacles, 100.0)
    bodies = Bodies(jnp.array(x, jnp.float32), jnp.array(y, jnp.float32), zero, zero)
    return dataclasses.replace(state, agents=bodies, ox=far, oy=far)


def test_tag_rewards_by_hand() -> None:
    world = TWO_BY_TWO
    state = _tag(world, [0.0, 5.0, 0.1, 0.95], [0.0, 5.0, 0.0, 2.0])
    after, timestep = _step(world, state, jnp.zeros(4, jnp.int32))
    # One touch pays both predators; the second prey is 0.05 beyond 0.9 in one direction and at e^2 in the other.
    np.testing.assert_allclose(timestep.reward, [10, 10, -10, -0.5 - np.exp(2)], atol=1e-4)
    assert float(after.touches) == 1
    far = _step(world, _tag(world, [0, 1, 2, 9], [0, 5, 3, 9]), jnp.zeros(4, jnp.int32))[1]
    assert float(far.reward[3]) == -20


def test_tag_keeps_its_speed_limits() -> None:
    _, after, _, _ = _rollout(Tag(), 0.3)
    speed = np.hypot(after.agents.vx, after.agents.vy)
    assert (speed <= np.array([1.0, 1.0, 1.0, 1.3])[:, None] + 1e-5).all()
    np.testing.assert_allclose(speed.max((0, 2)), [1.0, 1.0, 1.0, 1.3], atol=1e-5)


def test_tag_tells_velocities_of_prey_only() -> None:
    world = TWO_BY_TWO
    b = _reset(world, jax.random.key(0))[0]
    state = dataclasses.replace(b, agents=Bodies(b.agents.x, b.agents.y, jnp.arange(4.0), jnp.arange(4.0) + 10))
    obs = np.asarray(world._observe(state))
    np.testing.assert_array_equal(obs[0, -4:], [2, 12, 3, 13])
    np.testing.assert_array_equal(obs[2, -4:], [3, 13, 0, 0])
    text = world.describe(state, 3)
    assert re.search(r"prey-0: .*, moving 2.00 right, 12.00 up", text)
    assert re.search(r"predator-0: [^,]*, [^,]* of you\.", text)


def test_reference_by_hand() -> None:
    world = Reference(local_ratio=0.3)
    state, _ = _reset(world, jax.random.key(0))
    zero = jnp.zeros(2)
    state = dataclasses.replace(
        state,
        agents=Bodies(jnp.array([0.0, 1.0]), zero, zero, zero),
        lx=jnp.array([0.0, 1.0, -2.0]),
        ly=zero.sum() * jnp.ones(3),
        goals=jnp.array([1, 2]),
    )
    after, timestep = _step(world, state, jnp.array([5 * 7 + 2, 5 * 4]))
    # agent-1 stands on the landmark that agent-0 knows; agent-0 is 2 away from the one that agent-1 knows.
    np.testing.assert_allclose(timestep.reward, [0.7 * -1, 0.7 * -1 + 0.3 * -2], atol=1e-6)
    np.testing.assert_allclose(after.agents.vx, [0.5, 0.0], atol=1e-6)
    np.testing.assert_array_equal(after.words, [7, 4])
    np.testing.assert_array_equal(timestep.obs[0, -10:], np.eye(10)[4])
    np.testing.assert_allclose(timestep.obs[0, 8:11], [0.25, 0.75, 0.25])
    assert world.actions[0][5 * 7 + 2] == "right+say-7"
    assert float(timestep.metrics["right"]) == 0.5


def test_texts_keep_secrets() -> None:
    world = Reference(local_ratio=0.3)
    state, _ = _reset(world, jax.random.key(0))
    for agent in range(2):
        told = {world.describe(dataclasses.replace(state, goals=state.goals.at[agent].set(g)), agent) for g in range(3)}
        secret = {
            world.describe(dataclasses.replace(state, goals=state.goals.at[1 - agent].set(g)), agent) for g in range(3)
        }
        assert len(told) == 3
        assert len(secret) == 1
    pair = SpeakerListener()
    start, _ = _reset(pair, jax.random.key(0))
    goals = [dataclasses.replace(start, goal=jnp.array(g)) for g in range(3)]
    assert len({pair.describe(s, 0) for s in goals}) == 3
    assert len({pair.describe(s, 1) for s in goals}) == 1
    assert "said nothing" in pair.describe(start, 1)
    assert "said 2" in pair.describe(dataclasses.replace(start, word=jnp.array(2)), 1)


def test_the_speaker_has_three_words_and_no_moves() -> None:
    world = SpeakerListener()
    _, timestep = _reset(world, jax.random.key(0), (4,))
    np.testing.assert_array_equal(timestep.legal[:, :, 0], [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    drawn = np.asarray(random_actions(world, jax.random.key(1), jax.tree.map(lambda x: x, timestep)))
    assert drawn[0].max() < 3
    assert not np.asarray(timestep.obs[0, 3:]).any()


@pytest.mark.parametrize("world", [*EACH, Spread(visible=10)], ids=repr)
def test_text_names_the_actions_and_gives_numbers_of_the_observation(world: World[Any]) -> None:
    state, timestep = _reset(world, jax.random.key(4))
    state, timestep = _step(world, state, jnp.full(world.agent_count, 1))
    for i in range(world.agent_count):
        text = world.describe(state, i)
        numbers = {f"{abs(float(value)):.2f}" for value in timestep.obs[i]}
        assert set(re.findall(r"\d\.\d\d", text)) <= numbers
        assert world.agents[i] in text
        for name in world.actions[i][:5]:
            assert name.split("+")[0] in text


@pytest.mark.parametrize("world", EACH, ids=repr)
def test_pictures_show_every_agent(world: World[Any]) -> None:
    state, _ = _reset(world, jax.random.key(4))
    svg = to_svg(world.draw(state))
    assert svg.count("<circle") >= (1 if isinstance(world, SpeakerListener) else world.agent_count)
    assert "step 0" in svg


def test_pictures_widen_for_those_who_leave() -> None:
    assert frame(jnp.array([0.3, -1.2])) == (-1.5, -1.5, 1.5, 1.5)
    assert frame(jnp.array([0.3]), jnp.array([-3.1])) == (-3.5, -3.5, 3.5, 3.5)
    assert where([-0.5, 0.25]) == "0.50 left, 0.25 up"


@pytest.mark.parametrize(
    ("kind", "wrong", "field"),
    [
        (Spread, {"count": 0}, "count"),
        (Spread, {"visible": 0}, "visible"),
        (Spread, {"local_ratio": 1.5}, "local_ratio"),
        (Tag, {"predators": 0}, "predators"),
        (Tag, {"prey": 0}, "prey"),
        (Tag, {"obstacles": -1}, "obstacles"),
        (Tag, {"prey_pace": 0}, "prey_pace"),
        (Reference, {"local_ratio": -0.1}, "local_ratio"),
        (SpeakerListener, {"horizon": 0}, "horizon"),
    ],
)
def test_bad_settings_name_the_field(kind: Any, wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(InputError, match=field):
        kind(**wrong)
