"""Attention layers against plain numpy; MAT's two ways of acting; what dead agents may not change."""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shoal.errors import InputError
from shoal.marl import make_learner
from shoal.marl.checkpoints import training_keys
from shoal.marl.compilation import ONCE, compiled
from shoal.marl.mat import Scale
from shoal.marl.ordering import order_gap, scattered
from shoal.marl.players import View
from shoal.marl.transformer import (
    attention,
    block,
    causal,
    layer_norm,
    mixture,
    scores,
    sinusoids,
)
from shoal.worlds import make_world, random_actions

KEY = jax.random.key(3)
SMALL: dict[str, Any] = {"width": 8, "heads": 2, "epochs": 2, "worlds": 4, "rollout": 4}


@functools.cache
def moment(world: Any, samples: int = 5, dead: int | None = None) -> tuple[View, Any]:
    """A view [time 1, samples] with random observations and legal actions, and a joint action."""
    keys = jax.random.split(KEY, 4)
    _, timestep = world.reset(keys[0], (1, samples))
    n, features, actions = world.agent_count, world.observation_size, world.action_count
    alive = jnp.ones((n, 1, samples), bool)
    legal = jnp.swapaxes(timestep.legal, 0, 1)
    if not world.continuous:
        legal = (jax.random.uniform(keys[3], legal.shape) < 0.7).at[0].set(True)
    if dead is not None:
        alive = alive.at[dead].set(False)
        legal = legal.at[:, dead].set(False).at[0, dead].set(True)
    obs = jax.random.normal(keys[1], (features, n, 1, samples)) * alive
    seen = View(obs, jnp.zeros((0, 1, samples)), alive, legal, jnp.zeros((1, samples), bool))
    if world.continuous:
        return seen, random_actions(world, keys[2], timestep)
    pick = jax.random.uniform(keys[2], (actions, n, 1, samples))
    return seen, jnp.argmax(jnp.where(legal, pick, -1.0), axis=0).astype(jnp.int32)


def model_of(name: str, world: Any, **settings: Any) -> Any:
    learner = make_learner(name, **{**SMALL, **settings})
    return scattered(jax.eval_shape(lambda key: learner.model(key, world), KEY), KEY)  # type: ignore[attr-defined]


def run(function: Any, *args: Any) -> Any:
    """Compiled as cheaply as can be, which for a call or two is faster than operation by operation."""
    return compiled(function, *args, options=ONCE)(*args)


def test_attention_is_the_published_formula() -> None:
    """softmax(q k / sqrt(depth)) v for each head, in plain numpy, with a mask; and its derivatives."""
    layer = jax.tree.map(lambda x: 30 * x, attention(KEY, 8, 2))
    x = jax.random.normal(KEY, (8, 3, 4))
    mask = causal(3, 1)
    got = run(lambda layer, x: layer(x, layer.offer(x), mask), layer, x)
    q, k, v = (np.asarray(part(x), np.float64).reshape(2, 4, 3, 4) for part in (layer.query, layer.key, layer.value))
    found = np.einsum("hdib,hdjb->hijb", q, k) / math.sqrt(4)
    found = np.where(np.asarray(mask)[None], found, -np.inf)
    weights = np.exp(found - found.max(2, keepdims=True))
    weights /= weights.sum(2, keepdims=True)
    mixed = np.einsum("hijb,hdjb->hdib", weights, v).reshape(8, 3, 4)
    np.testing.assert_allclose(got, np.asarray(layer.out(jnp.asarray(mixed, jnp.float32))), atol=2e-5)


def test_products_of_attention_have_the_derivatives_of_einsum() -> None:
    a, b, d = (jax.random.normal(k, (2, 4, 3, 5)) for k in jax.random.split(KEY, 3))
    w = jax.random.normal(KEY, (2, 3, 3, 5))

    def ours(a: Any, b: Any, w: Any) -> Any:
        return (scores(a, b) * w).sum() + (mixture(jnp.sin(w), a) * d).sum()

    def plain(a: Any, b: Any, w: Any) -> Any:
        one = jnp.einsum("hdib,hdjb->hijb", a, b)
        return (one * w).sum() + (jnp.einsum("hijb,hdjb->hdib", jnp.sin(w), a) * d).sum()

    for got, want in zip(
        run(jax.grad(ours, (0, 1, 2)), a, b, w), run(jax.grad(plain, (0, 1, 2)), a, b, w), strict=True
    ):
        np.testing.assert_allclose(got, want, atol=1e-4)


def test_layer_norm_and_codes_of_places() -> None:
    x = 5 + 3 * jax.random.normal(KEY, (16, 2, 3))
    y = np.asarray(layer_norm(16)(x))
    np.testing.assert_allclose(y.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(y.std(0), 1, atol=1e-3)
    codes = np.asarray(sinusoids(3, 6))
    np.testing.assert_allclose(codes[:, 0], [0, 1, 0, 1, 0, 1], atol=1e-6)
    np.testing.assert_allclose(codes[2:4, 2], [math.sin(2 / 10_000 ** (2 / 6)), math.cos(2 / 10_000 ** (2 / 6))], 1e-5)


@pytest.mark.parametrize("post_norm", [True, False])
def test_steps_of_a_block_are_its_pass(post_norm: bool) -> None:
    """Place by place on remembered keys, or all places at once."""
    part = scattered(block(KEY, 8, 2, post_norm, crossed=True), KEY)  # type: ignore[arg-type,type-var]
    x, other = (jax.random.normal(k, (8, 4, 5)) for k in jax.random.split(KEY))

    def by_steps(part: Any, x: Any, other: Any) -> Any:
        memory, found = part.begin(x[:, :1], other, 4), []
        for place in range(4):
            here = slice(place, place + 1)
            along = other[:, here] if post_norm else other
            one, memory = part.step(x[:, here], jnp.int32(place), memory, causal(4, 1)[here], along)
            found.append(one)
        return jnp.concatenate(found, 1)

    whole = run(lambda part, x, other: part(x, causal(4, 1), other), part, x, other)
    np.testing.assert_allclose(run(by_steps, part, x, other), whole, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "spec"),
    [
        ("mat", "assignment:drivers=3"),
        ("mat", "assignment:drivers=6,orders=5"),  # more than the loop is written out for
        ("mat", "beam-carrying"),
        ("mat-dec", "beam-carrying"),
        ("cmat", "beam-carrying"),
        ("cmat", "assignment:drivers=6,orders=5"),
    ],
)
def test_acting_and_judging_agree(name: str, spec: str) -> None:
    """Log-probabilities of acting are those of the parallel pass, with dead agents and illegal actions."""
    world = make_world(spec)
    model = model_of(name, world)
    seen, _ = moment(world, dead=1)
    noise = jax.random.uniform(KEY, (sum(model.rows), *seen.alive.shape))

    def both(model: Any, seen: Any, noise: Any) -> Any:
        decision, _ = model.act(seen, noise, ())
        return decision, model.evaluate(seen, decision.action, (), noise[:0], ())

    decision, judged = run(both, model, seen, noise)
    assert judged.log_p.shape == decision.log_p.shape == seen.alive.shape
    np.testing.assert_allclose(decision.log_p, judged.log_p, atol=2e-5, rtol=1e-5)
    if not world.continuous:
        chosen = np.take_along_axis(np.asarray(seen.legal), np.asarray(decision.action)[None], 0)
        assert chosen.all()


def test_mat_samples_from_what_it_judges() -> None:
    """Frequencies of joint actions are the products of the judged conditional probabilities."""
    world = make_world("matrix")
    model = model_of("mat", world)
    count = 20_000
    one, _ = moment(world, samples=1)
    seen = jax.tree.map(lambda x: jnp.broadcast_to(x, (*x.shape[:-1], count)), one)
    noise = jax.random.uniform(KEY, (1, 2, 1, count))
    action = np.asarray(run(lambda model, seen, noise: model.act(seen, noise, ())[0].action, model, seen, noise))[:, 0]
    four = jax.tree.map(lambda x: jnp.broadcast_to(x, (*x.shape[:-1], 4)), one)
    joint = jnp.array([[0, 0, 1, 1], [0, 1, 0, 1]], jnp.int32)
    chance = run(lambda model, seen, a: model.evaluate(seen, a, (), None, ()).log_p, model, four, joint[:, None])
    for (a, b), expected in zip(joint.T, np.exp(np.asarray(chance).sum((0, 1))), strict=True):
        assert ((action[0] == a) & (action[1] == b)).mean() == pytest.approx(expected, abs=0.015)


def test_mat_knows_earlier_actions_only() -> None:
    world = make_world("assignment:drivers=4,orders=3")
    model = model_of("mat", world)
    seen, action = moment(world)
    seen = View(seen.obs, seen.state, seen.alive, jnp.ones_like(seen.legal), seen.fresh)
    changed = action.at[2].set((action[2] + 1) % 3)
    one, two = run(
        lambda model, seen, actions: tuple(model.decoder.outputs(model.look(seen, None)[0], a) for a in actions),
        model,
        seen,
        (action, changed),
    )
    np.testing.assert_array_equal(one[:, :3], two[:, :3])
    assert np.abs(np.asarray(one[:, 3] - two[:, 3])).max() > 1e-3


@pytest.mark.parametrize("name", ["mat", "mat-dec", "cmat"])
def test_dead_agents_are_not_seen(name: str) -> None:
    """What a dead agent shows or did changes nothing for the living."""
    world = make_world("assignment:drivers=4,orders=3")
    model = model_of(name, world)
    seen, action = moment(world, dead=1)
    other = View(seen.obs.at[:, 1].set(seen.obs[::-1, 0]), seen.state, seen.alive, seen.legal, seen.fresh)

    def judged(model: Any, one: Any, two: Any) -> Any:
        return tuple(model.evaluate(seen, action, (), None, ()) for seen, action in (one, two))

    one, two = run(judged, model, (seen, action), (other, action.at[1].set(0)))
    living = np.array([0, 2, 3])
    np.testing.assert_allclose(one.log_p[living], two.log_p[living], atol=1e-6)
    np.testing.assert_allclose(one.value[living], two.value[living], atol=1e-6)


def test_an_order_moves_mat() -> None:
    world = make_world("assignment")
    seen, action = moment(world)
    chance, _ = run(order_gap, model_of("mat", world), seen, action, jnp.array([2, 0, 3, 1]))
    assert float(chance) > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mat", "mat-dec", "cmat"])
def test_the_ratio_is_1_before_any_step_and_values_have_a_unit(name: str) -> None:
    settings = {**SMALL, "epochs": 1, "random_features": 1}
    learner = make_learner(name, **settings)
    world = make_world("combat:roster=3m")

    def first(keys: Any) -> Any:
        return learner.update(learner.init(keys, world))

    after, metrics = run(first, training_keys((0, 1)))
    assert np.asarray(metrics["kl"]) == pytest.approx(0, abs=1e-6)
    assert (np.asarray(metrics["clip_fraction"]) == 0).all() and (np.asarray(metrics["fault"]) == 0).all()
    np.testing.assert_allclose(after.model.scale.weight, 0.01, atol=1e-6)


def test_the_unit_of_values_is_the_returns_mean_and_deviation() -> None:
    """One batch is taken as it is; many are averaged; what is not known does not count."""
    rng = np.random.default_rng(0)
    x = rng.normal(7, 3, 4000).astype(np.float32)
    known = jnp.ones(4000).at[0].set(0.0)
    scale = Scale(jnp.zeros(()), jnp.ones(()), jnp.zeros(()))
    one = scale.after(jnp.asarray(x).at[0].set(1e6), known)
    assert float(one.mean) == pytest.approx(x[1:].mean(), rel=1e-4)
    assert float(one.deviation) == pytest.approx(x[1:].std(), rel=1e-4)
    for _ in range(50):
        one = one.after(jnp.asarray(rng.normal(7, 3, 4000), jnp.float32), jnp.ones(4000))
    assert float(one.mean) == pytest.approx(7, abs=0.1) and float(one.deviation) == pytest.approx(3, abs=0.1)


def test_huber_loss_and_unit_in_the_objective() -> None:
    """Square within delta units, linear beyond, continuous with the same slope."""
    from shoal.marl.ppo import _error

    off = jnp.array([0.5, 2.0, -3.0])
    np.testing.assert_allclose(_error(off, None), [0.25, 4.0, 9.0])
    np.testing.assert_allclose(_error(off, 2.0), [0.25, 4.0, 8.0])
    assert float(jax.grad(lambda x: _error(x, 2.0))(5.0)) == pytest.approx(4.0)


@pytest.mark.parametrize(("name", "value"), [("heads", 3), ("recurrent", True), ("hidden", (8,)), ("shared", False)])
def test_settings_that_mean_nothing_are_refused(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=name):
        make_learner("mat", **{name: value})
