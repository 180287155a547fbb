"""The PPO core: its gradient by hand, exact ratios, known optima, and what recurrent networks are for."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from learning_worlds import Recall, begun, fast, updated
from shoal.errors import InputError
from shoal.marl import evaluate, make_learner, train
from shoal.marl.actors import PolicyPlayer
from shoal.marl.batches import deal, groups_of, shuffle
from shoal.marl.checkpoints import training_keys
from shoal.marl.players import View
from shoal.marl.ppo import Batch
from shoal.worlds import make_world

KEY = jax.random.key(0)


def sample(model: Any, agents: int, actions: int, features: int, n: int) -> Batch:
    """A minibatch of random experience [agents, time 1, n]."""
    keys = iter(jax.random.split(KEY, 9))
    shape = (agents, 1, n)
    seen = View(
        obs=jax.random.normal(next(keys), (features, *shape)),
        state=jnp.zeros((0, 1, n)),
        alive=jnp.ones(shape, bool).at[0, 0, 0].set(False),
        legal=jnp.ones((actions, *shape), bool).at[1, 1, 0, 1].set(False),
        fresh=jnp.zeros((1, n), bool),
    )
    action = (
        jnp.zeros(shape, jnp.int32).at[:, :, 2:].set(jax.random.randint(next(keys), (agents, 1, n - 2), 0, actions))
    )
    log_p = model.evaluate(seen, action, (), jnp.zeros((0, *shape)), model.start(agents, (n,))).log_p
    return Batch(
        seen,
        action,
        (),
        jnp.zeros((0, *shape)),
        log_p + 0.3 * jax.random.normal(next(keys), shape),
        jax.random.normal(next(keys), shape),
        jax.random.normal(next(keys), shape),
        jax.random.normal(next(keys), shape),
    )


def test_objective_is_the_published_one() -> None:
    """Clipped surrogate (equation 7 of arXiv 1707.06347), value error and entropy, in plain numpy."""
    world = make_world("spread")
    learner = make_learner("ippo", entropy_weight=0.02, value_clip=0.1, hidden=(8,))
    model = learner.model(KEY, world)
    agents, n = world.agent_count, 50
    batch = sample(model, agents, world.action_count, world.observation_size, n)
    alive = np.asarray(batch.view.alive)
    count = alive.sum()
    gain = np.asarray(batch.advantage, np.float64)
    mean = (gain * alive).sum() / count
    std = np.sqrt((np.square(gain - mean) * alive).sum() / count)
    got, figures = learner.objective(
        model, batch, model.start(agents, (n,)), (jnp.float32(mean), jnp.float32(std), jnp.float32(count)), 1
    )
    logits = np.asarray(
        model.actor.outputs(batch.view, model.actor.start(agents, (n,)), jnp.zeros((0, agents, 1, n)))[0]
    )
    logits = np.where(np.asarray(batch.view.legal), logits, -np.inf)
    p = np.exp(logits - logits.max(0))
    p /= p.sum(0)
    chosen = np.take_along_axis(p, np.asarray(batch.action)[None], 0)[0]
    ratio = chosen / np.exp(np.asarray(batch.log_p))
    a = (gain - mean) / std
    surrogate = np.minimum(ratio * a, np.clip(ratio, 0.8, 1.2) * a)
    value, old, target = (
        np.asarray(x)
        for x in (model.value(batch.view, (jnp.zeros((0, agents, n))), None)[0], batch.value, batch.target)
    )
    near = old + np.clip(value - old, -0.1, 0.1)
    error = np.maximum(np.square(value - target), np.square(near - target))
    entropy = -(np.where(p > 0, p * np.log(np.maximum(p, 1e-30)), 0)).sum(0)
    want = -(surrogate * alive).sum() / count
    assert figures["policy_loss"] == pytest.approx(want, abs=1e-4)
    total = want + 0.5 * 0.5 * (error * alive).sum() / count - 0.02 * (entropy * alive).sum() / count
    assert got == pytest.approx(total, abs=1e-4)
    assert figures["clip_fraction"] == pytest.approx((((np.abs(ratio - 1) > 0.2) * alive).sum() / count), abs=1e-6)


def test_pieces_of_a_minibatch_change_memory_not_the_gradient() -> None:
    world = make_world("spread")
    states = []
    for piece in (16384, 24):
        learner = make_learner("ippo", worlds=8, rollout=8, minibatches=2, epochs=1, hidden=(8,), piece=piece)
        state, _ = updated(learner, begun(learner, world, 0, 1))
        states.append(state.model)
    for one, other in zip(*(jax.tree.leaves(s) for s in states), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-6)


@pytest.mark.parametrize(("name", "recurrent"), [("ippo", False), ("mappo", True)])
def test_the_ratio_is_1_before_any_step(name: str, recurrent: bool) -> None:
    learner = make_learner(
        name, worlds=4, rollout=8, chunk=4, minibatches=1, epochs=1, hidden=(8, 8), memory=8, recurrent=recurrent
    )
    _, metrics = updated(learner, begun(learner, make_world("foraging"), 0))
    assert float(metrics["kl"][0]) == pytest.approx(0, abs=1e-6)
    assert float(metrics["clip_fraction"][0]) == 0
    assert float(metrics["policy_loss"][0]) == pytest.approx(0, abs=1e-4)


def test_a_deal_is_a_permutation() -> None:
    """Each unit lands once, with its parts together."""
    chunks, worlds, minibatches = 6, 8, 3
    groups = groups_of(chunks, worlds, minibatches)
    where = jnp.arange(chunks * 2 * worlds).reshape(chunks, 2, 1, worlds)
    dealt = np.asarray(deal(where, shuffle(KEY, chunks * groups, minibatches, 1), groups))
    assert dealt.shape[:3] == (minibatches, 1, 1)
    assert sorted(dealt.ravel().tolist()) == list(range(where.size))
    np.testing.assert_array_equal(dealt[..., 1, :] - dealt[..., 0, :], worlds)


def test_minibatches_must_divide() -> None:
    with pytest.raises(InputError, match="minibatches"):
        make_learner("ippo", worlds=3, rollout=5, minibatches=4).init(training_keys((0,)), make_world("spread"))


@pytest.mark.parametrize("shared", [True, False])
def test_penalty_game_without_penalty_is_solved(shared: bool) -> None:
    """With k = 0 one of the two optima (10) is found from every seed, and evaluation of it is exact."""
    result = train("ippo", "penalty:k=0", steps=12_000, seeds=4, settings=fast(shared=shared), episodes=32)
    for seed in range(4):
        played = evaluate(result.policy(seed), result.world, 16, 0, greedy=True)
        np.testing.assert_array_equal(played.returns, 10.0)


def test_climbing_game_ends_below_the_optimum() -> None:
    """Independent learners flee the punishment around 11 to the safe corner (5) and climb from it to 6 and 7 at most,
    as Claus & Boutilier (1998) found.
    """
    result = train("ippo", "climbing", steps=20_000, seeds=4, settings=fast(), episodes=0)
    table = np.array([[11.0, -30.0, 0.0], [-30.0, 7.0, 6.0], [0.0, 0.0, 5.0]])
    obs = np.asarray(result.world.reset(KEY)[1].obs)
    for seed in range(4):
        row, column = result.policy(seed).act(obs)
        assert table[row, column] in (5.0, 6.0, 7.0)


@pytest.mark.slow
def test_memory_is_what_recall_needs() -> None:
    settings = fast(rollout=16, chunk=8, hidden=(16, 16), memory=16, worlds=64, epochs=4)
    remembers = train("ippo", Recall(), steps=40_000, settings={**settings, "recurrent": True}, episodes=256)
    forgets = train("ippo", Recall(), steps=20_000, settings=settings, episodes=1024)
    for played in remembers.evaluation:
        assert played.team.mean() > 1.9
    assert forgets.evaluation[0].team.mean() == pytest.approx(1.0, abs=0.15)


def test_continuous_actions_find_the_floor_of_sum_guessing() -> None:
    """Without messages the best guess is the own number: minus 5 for each of two agents."""
    settings = fast(worlds=64, rollout=16, learning_rate=1e-3, hidden=(32,), epochs=4, minibatches=4)
    result = train("ippo", "sum-guessing:agents=2,scaled=true", steps=250_000, settings=settings, episodes=0)
    played = evaluate(result.policy(), result.world, 4000, 1, greedy=True)
    assert played.returns.mean() == pytest.approx(-5.0, rel=0.04)
    guess = result.policy().act(np.array([[0.4], [-0.4]]))
    np.testing.assert_allclose(guess[:, 0], [0.4, -0.4], atol=0.1)


def test_seeds_are_separate() -> None:
    """Parameters depend on the own seed's key; one update of two seeds moves each by its own gradient."""
    learner = make_learner("ippo", worlds=4, rollout=4, minibatches=1, epochs=1, hidden=(8,))
    world = make_world("lever")
    pair, alone = begun(learner, world, 3, 7), begun(learner, world, 7)
    for both, one in zip(jax.tree.leaves(pair.model), jax.tree.leaves(alone.model), strict=True):
        np.testing.assert_allclose(both[1], one[0], rtol=1e-5, atol=1e-6)
    moved, _ = updated(learner, pair)
    steps = [np.asarray(a - b) for a, b in zip(jax.tree.leaves(moved.model), jax.tree.leaves(pair.model), strict=True)]
    assert any(np.abs(s[0] - s[1]).max() > 1e-5 for s in steps)


def test_the_central_critic_does_not_reach_the_actors() -> None:
    """Actions depend on the own observation only: changing the others' changes nothing."""
    learner = make_learner("mappo", hidden=(8,))
    world = make_world("spread")
    player = PolicyPlayer(learner.model(KEY, world))
    obs = jax.random.normal(KEY, (world.observation_size, 3, 20))
    seen = View(obs, jnp.zeros((0, 20)), jnp.ones((3, 20), bool), jnp.ones((5, 3, 20), bool), jnp.zeros(20, bool))
    other = View(obs.at[:, 1:].add(1.0), seen.state, seen.alive, seen.legal, seen.fresh)
    memory = player.start(3, (20,))
    first, second = player.act(KEY, seen, memory)[0], player.act(KEY, other, memory)[0]
    np.testing.assert_array_equal(first[0], second[0])
