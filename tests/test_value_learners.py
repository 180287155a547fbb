"""Value learners: targets by hand, mixers' properties, the replay's memory, known optima and known failures, resume."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Array, Int, PRNGKeyArray

from learning_worlds import Recall, begun, updated
from shoal.errors import InputError
from shoal.marl import LEARNERS, evaluate, load, make_learner, train
from shoal.marl.action_values import Values, explore, greedy, look_ahead, of_action, td_target
from shoal.marl.compilation import ONCE, QUICK, compiled
from shoal.marl.faults import TrainingDiverged
from shoal.marl.jal import JointNetwork, joint_legal
from shoal.marl.mixers import Sum, monotone
from shoal.marl.players import View
from shoal.marl.replay import Replay, Sample, Transition, slots_of
from shoal.marl.training import Progress
from shoal.worlds import Timestep, World, make_world
from shoal.worlds.encoding import one_hot
from shoal.worlds.picture import Picture

TINY: dict[str, Any] = {"worlds": 4, "rollout": 4, "batch": 8, "buffer": 64, "warmup": 32, "hidden": (8,)}
"""16 steps an update, learning from the third on; the ring is full after four."""
GAME: dict[str, Any] = {
    "worlds": 32, "rollout": 4, "batches": 4, "batch": 128, "buffer": 4096, "warmup": 256, "hidden": (32,),
    "learning_rate": 5e-3, "target_rate": 0.05,
}  # fmt: skip


class TwoStepState(eqx.Module):
    """0 at first; 1 and 2 are the states that agent 0's action led to; 3 is the end."""

    place: Int[Array, "*batch"]


@dataclasses.dataclass(frozen=True, eq=True)
class TwoStep(World[TwoStepState]):
    """The two-step game of QMIX (Rashid et al. 2018, section 5): agent 0 chooses which game is played next."""

    name = "two-step"
    horizon = 2
    agents = ("agent-0", "agent-1")
    actions = (("a", "b"),) * 2
    observation_sizes = (4, 4)

    def reset(self, key: PRNGKeyArray, batch: tuple[int, ...] = ()) -> tuple[TwoStepState, Timestep]:
        state = TwoStepState(jnp.zeros(batch, jnp.int32))
        return state, self._timestep(state, jnp.zeros(batch))

    def step(
        self, key: PRNGKeyArray, state: TwoStepState, actions: Int[Array, "agents *batch"]
    ) -> tuple[TwoStepState, Timestep]:
        payoff = jnp.array([[[7.0, 7.0], [7.0, 7.0]], [[0.0, 1.0], [1.0, 8.0]]])
        reward = jnp.where(state.place == 0, 0.0, payoff[jnp.maximum(state.place - 1, 0), actions[0], actions[1]])
        state = TwoStepState(jnp.where(state.place == 0, 1 + actions[0], 3))
        return state, self._timestep(state, reward)

    def _timestep(self, state: TwoStepState, reward: Array) -> Timestep:
        batch = state.place.shape
        return Timestep(
            obs=jnp.broadcast_to(one_hot(state.place[None], 4), (2, 4, *batch)),
            reward=jnp.broadcast_to(reward, (2, *batch)),
            alive=jnp.ones((2, *batch), bool),
            legal=jnp.ones((2, 2, *batch), bool),
            terminated=state.place == 3,
            truncated=jnp.zeros(batch, bool),
            metrics={},
        )

    def describe(self, state: TwoStepState, agent: int) -> str:
        return f"State {int(state.place)}."

    def draw(self, state: TwoStepState) -> Picture:
        return Picture((0, 0, 1, 1), [])


def learned(name: str, world: World[Any] | str, steps: int, seeds: int = 3, **changes: Any) -> Any:
    return train(name, world, steps=steps, seeds=seeds, settings={**GAME, **changes}, episodes=4, compilation=QUICK)


def team(training: Any) -> np.ndarray:
    """Mean return of an agent, seed by seed."""
    return np.array([e.returns.mean() for e in training.evaluation])


# ---- targets


def test_targets_by_hand() -> None:
    reward, ahead = jnp.array([1.0, 1.0, -2.0]), jnp.array([10.0, 10.0, 4.0])
    got = td_target(reward, ahead, jnp.array([False, True, False]), 0.5)
    np.testing.assert_allclose(got, [6.0, 1.0, 0.0])


def test_double_estimation_lets_one_choose_and_the_other_judge() -> None:
    chooser = jnp.array([[1.0], [5.0], [9.0]])
    judge = jnp.array([[7.0], [2.0], [3.0]])
    legal = jnp.array([[True], [True], [False]])
    assert look_ahead(chooser, judge, legal)[0] == 2.0  # action 1: the best legal one of the chooser
    assert look_ahead(judge, judge, legal)[0] == 7.0  # without double estimation: the maximum
    assert greedy(chooser, legal)[0] == 1


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_exploration_is_legal_and_as_frequent_as_said(data: st.DataObject) -> None:
    seed, epsilon = data.draw(st.integers(0, 2**16)), data.draw(st.sampled_from([0.0, 0.3, 1.0]))
    legal, action, best = (np.asarray(x) for x in _explored(seed, epsilon))
    assert np.take_along_axis(legal, action[None], 0).all()
    # A random action is the best one with chance 1 / number of legal ones.
    expected = 1 - epsilon + epsilon * (1 / legal.sum(0)).mean()
    assert (action == best).mean() == pytest.approx(expected, abs=0.05)


@jax.jit
def _explored(seed: Array, epsilon: Array) -> tuple[Array, Array, Array]:
    keys = jax.random.split(jax.random.key(seed), 3)
    legal = jax.random.bernoulli(keys[0], 0.5, (4, 2, 2000)).at[1].set(True)
    q = jax.random.normal(keys[1], legal.shape)
    return legal, explore(keys[2], q, legal, epsilon), greedy(q, legal)


def sample_of(agents: int, time: int, batch: int, actions: int, features: int, seed: int = 0) -> Transition:
    rng, shape = np.random.default_rng(seed), (time, batch)

    def seen() -> View:
        alive, legal = rng.random((agents, *shape)) < 0.8, rng.random((actions, agents, *shape)) < 0.7
        alive[0], legal[0] = True, True
        obs = rng.normal(size=(features, agents, *shape)).astype(np.float32)
        none = np.zeros((0, *shape), np.float32), np.zeros(shape, bool)
        return jax.tree.map(jnp.asarray, View(obs, none[0], alive, legal, none[1]))

    view, after = seen(), seen()
    action, reward = rng.integers(0, actions, (agents, *shape)), rng.normal(size=(agents, *shape)).astype(np.float32)
    end = jnp.asarray(rng.random(shape) < 0.3)
    return Transition(view, jnp.asarray(action, jnp.int32), jnp.asarray(reward), after, end, {})


def flat_network(key: int, world: World[Any], **changes: Any) -> Any:
    learner = make_learner("iql", hidden=(8, 8), memory=6, **changes)
    return learner.network(jax.random.key(key), world)  # type: ignore[attr-defined]


@pytest.mark.parametrize("double", [True, False])
@pytest.mark.parametrize("team_reward", [True, False])
def test_errors_are_those_of_a_second_implementation(double: bool, team_reward: bool) -> None:
    """Step by step, agent by agent, in numpy, with the dead masked; for IQL and VDN."""
    world = make_world("matrix", payoffs=np.zeros((3, 3)).tolist())
    net, lag = flat_network(0, world), flat_network(1, world)
    steps = sample_of(2, 1, 16, 3, world.observation_size)
    memory = net.start(2, (16,))
    ask = jax.jit(lambda network, view: network(view, network.start(2, (1, 16)))[0])
    q, q_next, later = (
        np.asarray(ask(n, v))[:, :, 0] for n, v in ((net, steps.view), (net, steps.next), (lag, steps.next))
    )
    own, total = np.zeros((2, 16)), np.zeros(16)
    reward, alive, alive_next = (np.asarray(x)[:, 0] for x in (steps.reward, steps.view.alive, steps.next.alive))
    action, legal = np.asarray(steps.action)[:, 0], np.asarray(steps.next.legal)[:, :, 0]
    end = np.asarray(steps.terminated)[0]
    for b in range(16):
        values, aheads = [], []
        for i in range(2):
            allowed = [a for a in range(3) if legal[a, i, b]]
            chooser = q_next if double else later
            best = max(allowed, key=lambda a: chooser[a, i, b])
            aheads.append(later[best, i, b] if alive_next[i, b] else 0.0)
            values.append(q[action[i, b], i, b] if alive[i, b] else 0.0)
            r = reward[:, b].mean() if team_reward else reward[i, b]
            own[i, b] = values[i] - (r + (0.0 if end[b] else 0.9 * aheads[i]))
        total[b] = sum(values) - (reward[:, b].mean() + (0.0 if end[b] else 0.9 * sum(aheads)))
    sample = Sample(steps, memory)
    errors = jax.jit(lambda one, other: one.errors(other, sample, 0.9, double, team_reward))
    error, weight, _ = errors(Values(net), Values(lag))
    np.testing.assert_allclose(error[:, 0], own, atol=1e-5)
    np.testing.assert_array_equal(weight[:, 0], alive)
    error, weight, _ = errors(Values(net, Sum()), Values(lag, Sum()))
    np.testing.assert_allclose(error[0], total, atol=1e-5)
    assert bool((weight == 1).all())


def test_recurrent_errors_are_those_of_steps_one_by_one() -> None:
    """A chunk in which an episode ends and another begins, and each step looks ahead from its own memory."""
    world = make_world("lever")
    net, lag = (flat_network(k, world, recurrent=True, rollout=8) for k in (0, 1))
    steps = sample_of(5, 4, 3, 5, world.observation_size)
    fresh = jnp.zeros((4, 3), bool).at[2, 1].set(True)
    steps = dataclasses.replace(steps, view=dataclasses.replace(steps.view, fresh=fresh))
    start = jax.random.normal(jax.random.key(9), net.start(5, (3,)).shape)

    @jax.jit
    def both(net: Any, lag: Any) -> tuple[Array, Array]:
        error, _, _ = Values(net).errors(Values(lag), Sample(steps, start), 0.9, True, False)
        mine, theirs, expected = start, start, []
        for t in range(4):
            now = jax.tree.map(lambda x, t=t: x[..., t, :], steps)
            q, mine = net(now.view, mine)
            _, theirs = lag(now.view, theirs)
            chooser, _ = net(now.next, mine)
            judge, _ = lag(now.next, theirs)
            ahead = jnp.where(now.next.alive, look_ahead(chooser, judge, now.next.legal), 0.0)
            value = jnp.where(now.view.alive, of_action(q, now.action), 0.0)
            expected.append(value - td_target(now.reward, ahead, now.terminated, 0.9))
        return error, jnp.stack(expected, 1)

    np.testing.assert_allclose(*both(net, lag), atol=1e-5)


def test_targets_lag_softly_or_by_periodic_copies() -> None:
    learner = make_learner("iql", **TINY, batches=1, target_rate=0.25, target_every=2)
    state = begun(learner, make_world("climbing"), 0)
    update = compiled(learner.update, state, options=ONCE)
    for _ in range(2):
        state, _ = update(state)
    before = jax.tree.leaves(state.target)
    assert int(state.learned) == 0  # 32 steps are not more than the warm-up
    state, _ = update(state)
    for old, new in zip(before, jax.tree.leaves(state.target), strict=True):
        np.testing.assert_array_equal(old, new)
    state, _ = update(state)
    for old, new, model in zip(before, jax.tree.leaves(state.target), jax.tree.leaves(state.model), strict=True):
        np.testing.assert_allclose(new, old + 0.25 * (model - old), atol=1e-6)


# ---- mixers


@given(st.integers(0, 2**16), st.integers(1, 4), st.floats(-5, 5))
@settings(max_examples=30, deadline=None)
def test_the_monotone_mixer_is_monotone(seed: int, agents: int, shift: float) -> None:
    slopes, gains = _mixed(seed, agents, shift)
    assert float(slopes.min()) >= 0.0 and float(gains.min()) >= -1e-3


@partial(jax.jit, static_argnums=1)
def _mixed(seed: Array, agents: int, shift: Array) -> tuple[Array, Array]:
    """Derivatives of the team's value by each agent's, and what raising each of them by 1 changes."""
    mixer_key, value_key, state_key = jax.random.split(jax.random.key(seed), 3)
    mixer = jax.tree.map(lambda x: 20 * x + shift, monotone(mixer_key, agents, 3, 8))
    values = jax.random.normal(value_key, (agents, 5))
    state = jax.random.normal(state_key, (3, 1, 5))
    # Worlds do not touch each other, so the derivative of the sum is each one's own.
    slopes = jax.grad(lambda v: mixer(v, state).sum())(values)
    raised = [mixer(values.at[agent].add(1.0), state) - mixer(values, state) for agent in range(agents)]
    return slopes, jnp.stack(raised)


@given(st.integers(0, 2**16))
@settings(max_examples=20, deadline=None)
def test_each_agents_best_action_is_the_teams_best_joint_action(seed: int) -> None:
    mixer_key, value_key, state_key = jax.random.split(jax.random.key(seed), 3)
    mixer = monotone(mixer_key, 2, 3, 8)
    q = jax.random.normal(value_key, (3, 2))
    state = jax.random.normal(state_key, (3, 1))
    joint = jnp.stack([mixer(jnp.stack([q[a, 0], q[b, 1]]), state) for a in range(3) for b in range(3)])
    assert float(joint[3 * int(q[:, 0].argmax()) + int(q[:, 1].argmax())]) == pytest.approx(
        float(joint.max()), abs=1e-5
    )


def test_vdn_is_the_sum() -> None:
    values = jnp.arange(6.0).reshape(3, 2)
    np.testing.assert_array_equal(Sum()(values, jnp.zeros((1, 1, 2))), [6.0, 9.0])


def test_joint_actions_are_numbered_and_masked() -> None:
    net = JointNetwork(flat_network(0, make_world("climbing")), 3)
    numbers = jnp.arange(27)
    split = net.split(numbers, 3)
    np.testing.assert_array_equal(net.number(split), numbers)
    legal = jax.random.bernoulli(jax.random.key(0), 0.5, (3, 3))
    both = joint_legal(legal[..., None])[:, 0, 0]
    for joint in range(27):
        assert bool(both[joint]) == all(bool(legal[int(split[i, joint]), i]) for i in range(3))


# ---- the replay


def test_the_replay_keeps_the_latest_and_gives_back_what_happened() -> None:
    """Every sample is a chunk that was written and not yet overwritten, with its own row, world and seed."""
    seeds, worlds, slots = 2, 3, 4
    replay = Replay.empty(jax.eval_shape(lambda: jnp.zeros((2, 5, seeds, worlds))), slots)
    tag = jnp.arange(seeds)[:, None] * 10 + jnp.arange(worlds)
    for update in range(3):
        chunk = update * 2 + jnp.arange(2).reshape(2, 1, 1, 1)
        rows = chunk * 1000 + jnp.arange(5).reshape(1, 5, 1, 1) * 100 + tag
        replay = replay.add(rows.astype(jnp.float32))
    got = np.asarray(replay.sample(jax.random.key(0), 200))
    assert got.shape == (seeds, 5, 200)
    for seed in range(seeds):
        chunk, tags = got[seed, 0] // 1000, got[seed, 0] % 1000
        assert set(chunk) == {2, 3, 4, 5}  # chunks 0 and 1 are gone
        assert set(tags) == {seed * 10 + w for w in range(worlds)}
        np.testing.assert_array_equal(got[seed] - got[seed, :1], np.arange(5)[:, None] * 100.0 * np.ones((1, 200)))


def test_an_unfilled_replay_gives_only_what_was_added() -> None:
    replay = Replay.empty(jax.eval_shape(lambda: jnp.zeros((2, 1, 2))), 8).add(jnp.ones((2, 1, 2)))
    assert float(replay.sample(jax.random.key(1), 100).min()) == 1.0
    assert slots_of(100, 4, 2, 3) == 8
    with pytest.raises(InputError, match="buffer"):
        slots_of(23, 4, 2, 3)


def test_transitions_end_where_the_world_was_cut() -> None:
    """The next view of the last step of an episode is its own, not that of the episode that follows."""
    world = make_world("matrix", recall=True, horizon=2, payoffs=[[1.0, 2.0], [3.0, 4.0]])
    learner = make_learner("vdn", **TINY)
    state = begun(learner, world, 0)
    state, metrics = updated(learner, state)
    steps = state.replay.rows.steps
    time_of = np.asarray(steps.view.fresh)[0, :4, :, 0]
    end = np.asarray(steps.terminated)[0, :4, :, 0]
    np.testing.assert_array_equal(end, ~time_of)  # episodes of two steps
    action = np.asarray(steps.action)[0, :4, :, :, 0]
    shown = np.asarray(steps.next.obs)[0, :4, :, 1:5, 0, 0]  # the joint action, one-hot
    np.testing.assert_array_equal(shown[..., :2].argmax(-1), action[..., 0])
    np.testing.assert_array_equal(shown[..., 2:].argmax(-1), action[..., 1])
    np.testing.assert_allclose(np.asarray(steps.reward)[0, :4, :, 0, 0], 1 + 2 * action[..., 0] + action[..., 1])
    assert float(metrics["episodes"][0]) == 8


# ---- known optima, known failures


@pytest.mark.parametrize("name", ["vdn", "qmix"])
def test_additive_payoffs_are_learned_exactly(name: str) -> None:
    payoff = [[0.0, 3.0, 1.0], [2.0, 5.0, 3.0], [-1.0, 2.0, 0.0]]  # row effects 0, 2, -1; column effects 0, 3, 1
    trained = learned(name, make_world("matrix", payoffs=payoff), 12_000, epsilon_end=1.0)
    np.testing.assert_allclose(team(trained), 5.0)
    assert float(trained.history["td_error"][-10:].mean()) < 0.15


def test_the_two_step_game_of_qmix() -> None:
    """Published: under full exploration VDN settles for 7, QMIX finds 8; VDN's error is that of least squares."""
    vdn = learned("vdn", TwoStep(), 40_000, epsilon_end=1.0)
    qmix = learned("qmix", TwoStep(), 40_000, epsilon_end=1.0)
    np.testing.assert_allclose(team(vdn), 7.0)
    np.testing.assert_allclose(team(qmix), 8.0)
    _, first = TwoStep().reset(jax.random.key(0), (1,))
    obs = jnp.broadcast_to(one_hot(jnp.array([[2]]), 4), (2, 4, 1)).swapaxes(0, 1)
    seen = View(obs, jnp.zeros((0, 1)), first.alive, first.legal.swapaxes(0, 1), jnp.ones(1, bool))
    tables = {"vdn": [-1.5, 2.5, 2.5, 6.5], "qmix": [0.0, 1.0, 1.0, 8.0]}
    for name, trained in (("vdn", vdn), ("qmix", qmix)):
        values = jax.tree.map(lambda x: x[0], trained.state.model["values"])
        q, _ = values.network(seen, values.network.start(2, (1,)))
        joint = [float(values.mixer(jnp.stack([q[a, 0], q[b, 1]]), seen.everything)[0]) for a in (0, 1) for b in (0, 1)]
        np.testing.assert_allclose(joint, tables[name], atol=0.6)


def test_the_climbing_game_defeats_mixers_but_not_a_joint_learner() -> None:
    """Published for payoffs that are not monotone: agents that each act on values of their own avoid the optimum."""
    for name in ("vdn", "qmix"):
        assert team(learned(name, "climbing", 8_000)).max() < 11.0
    np.testing.assert_allclose(team(learned("jal", "climbing", 8_000)), 11.0)


def test_independent_learners_settle_for_the_safe_play() -> None:
    np.testing.assert_allclose(team(learned("iql", "penalty", 8_000)), 2.0)


@pytest.mark.slow
def test_a_memory_is_worth_what_it_should_be() -> None:
    """Half without, everything with, in a world in which a cue must be remembered for one step."""
    trained = learned(
        "iql", Recall(delay=1), 24_000, 2, recurrent=True, chunk=4, hidden=(16, 16), memory=16, epsilon_steps=8000,
        batch=64,
    )  # fmt: skip
    assert team(trained).min() > 0.95
    assert team(learned("iql", Recall(delay=1), 4_000, 2)).max() < 0.9


# ---- as every learner


def test_learners_are_found() -> None:
    assert {"iql", "vdn", "qmix", "jal"} <= set(LEARNERS)


@pytest.mark.parametrize(
    ("name", "extra"),
    [
        ("qmix", {}),
        pytest.param("iql", {"recurrent": True, "chunk": 2, "memory": 8, "hidden": (8, 8)}, marks=pytest.mark.slow),
    ],
)
def test_resume_is_bit_for_bit(tmp_path: Path, name: str, extra: dict[str, Any]) -> None:
    given = {**TINY, **extra}
    whole = train(name, "lever:count=2,pool=4", steps=192, seeds=2, settings=given, episodes=8)

    class Stop(Exception):
        pass

    def stop(progress: Progress) -> None:
        if progress.step >= 96:
            raise Stop

    with pytest.raises(Stop):
        train(
            name, "lever:count=2,pool=4", steps=192, seeds=2, settings=given, episodes=8, out=tmp_path / "run",
            checkpoint_every=48, progress=stop,
        )  # fmt: skip
    resumed = train(resume=tmp_path / "run")
    for one, other in zip(jax.tree.leaves(whole.state), jax.tree.leaves(resumed.state), strict=True):
        if jnp.issubdtype(one.dtype, jax.dtypes.prng_key):
            one, other = jax.random.key_data(one), jax.random.key_data(other)
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(whole.evaluation[1].returns, resumed.evaluation[1].returns)
    policy = load(tmp_path / "run", seed=1)
    obs = np.asarray(policy.world.reset(jax.random.key(1))[1].obs)
    np.testing.assert_array_equal(policy.act(obs), whole.policy(1).act(obs))
    assert evaluate(policy, policy.world, 4, 0).returns.shape == (4, 2)


def test_seeds_begin_alike_whoever_is_trained_with_them() -> None:
    learner = make_learner("qmix", **TINY)
    world = make_world("climbing")
    alone, both = begun(learner, world, 5), begun(learner, world, 3, 5)
    for one, two in zip(jax.tree.leaves(alone.model), jax.tree.leaves(both.model), strict=True):
        np.testing.assert_allclose(one[0], two[1], rtol=1e-5, atol=1e-6)


def test_faults_are_found() -> None:
    with pytest.raises(TrainingDiverged, match="observations are not finite"):
        train("vdn", Recall(poison=True), steps=640, settings=TINY, episodes=0)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"epsilon_end": 1.5}, "epsilon_end"),
        ({"target_rate": 0.0}, "target_rate"),
        ({"recurrent": True, "rollout": 6, "chunk": 4}, "multiple of chunk"),
        ({"embed": 0}, "embed"),
    ],
)
def test_settings_out_of_range_are_named(change: dict[str, Any], word: str) -> None:
    with pytest.raises(InputError, match=word):
        make_learner("qmix", **change)


def test_worlds_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="numbered actions"):
        make_learner("iql").init(jax.random.key(0), make_world("beam-carrying"))
    with pytest.raises(InputError, match="joint actions"):
        make_learner("jal").init(jax.random.key(0), make_world("combat:roster=8m"))
    with pytest.raises(InputError, match="buffer"):
        make_learner("vdn", worlds=16, rollout=8, buffer=100).init(jax.random.key(0), make_world("climbing"))
