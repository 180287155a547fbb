"""Layers: against automatic derivatives, plain formulas, and properties."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from shoal.marl import categorical, gaussian
from shoal.marl.networks import Encoder, dense, encoder, orthogonal, parameter_count, product, row_product
from shoal.marl.recurrence import gru_sequence, gru_step

KEY = jax.random.key(0)


@pytest.mark.parametrize(("rows", "columns"), [(5, 5), (3, 8), (8, 3), (64, 18)])
def test_orthogonal(rows: int, columns: int) -> None:
    matrix = np.asarray(orthogonal(KEY, rows, columns, 2.0))
    small = matrix @ matrix.T if rows <= columns else matrix.T @ matrix
    np.testing.assert_allclose(small, 4.0 * np.eye(min(rows, columns)), atol=1e-5)


def test_product_has_the_derivatives_of_a_product() -> None:
    weight, x = jax.random.normal(KEY, (3, 4)), jax.random.normal(jax.random.key(1), (4, 7))
    for argument in (0, 1):
        own = jax.grad(lambda w, x: jnp.sin(product(w, x)).sum(), argument)(weight, x)
        automatic = jax.grad(lambda w, x: jnp.sin(w @ x).sum(), argument)(weight, x)
        np.testing.assert_allclose(own, automatic, atol=1e-5)
        rows = jax.grad(lambda w, x: jnp.sin(row_product(w, x.T)).sum(), argument)(weight, x)
        np.testing.assert_allclose(rows, automatic, atol=1e-5)


def test_gru_sequence_is_its_steps_and_so_are_its_derivatives() -> None:
    size, length, n = 3, 5, 4
    keys = jax.random.split(KEY, 4)
    gates, weight = jax.random.normal(keys[0], (length, n, 3 * size)), jax.random.normal(keys[1], (3 * size, size))
    bias, memory = jax.random.normal(keys[2], (size,)), jax.random.normal(keys[3], (n, size))
    keep = jnp.ones((length, n)).at[2, 1].set(0.0)

    def steps(gates: jax.Array, weight: jax.Array, bias: jax.Array, memory: jax.Array) -> jax.Array:
        out = []
        for t in range(length):
            memory = gru_step(gates[t].T, weight, bias, memory.T, keep[t]).T
            out.append(memory)
        return jnp.stack(out)

    arguments = (gates, weight, bias, memory)
    np.testing.assert_allclose(gru_sequence(*arguments, keep), steps(*arguments), atol=1e-6)
    numbers = tuple(range(4))
    whole = jax.grad(lambda *a: jnp.sin(gru_sequence(*a, keep)).sum(), numbers)(*arguments)
    loop = jax.grad(lambda *a: jnp.sin(steps(*a)).sum(), numbers)(*arguments)
    for mine, automatic in zip(whole, loop, strict=True):
        np.testing.assert_allclose(mine, automatic, atol=1e-5)


@pytest.mark.parametrize(("separate", "ids"), [(None, None), (None, 3), (3, None)])
def test_a_sequence_equals_its_steps_and_forgets_at_the_start_of_an_episode(
    separate: int | None, ids: int | None
) -> None:
    network = encoder(KEY, 2, (8, 8), 6, "tanh", separate, ids)
    x = jax.random.normal(jax.random.key(1), (2, 3, 4, 5))
    fresh = jnp.zeros((4, 5), bool).at[2, 0].set(True)
    start = jax.random.normal(jax.random.key(2), (6, 3, 5))
    whole, last = network(x, start, fresh, sequence=True)
    memory = start
    for t in range(4):
        out, memory = network(x[:, :, t], memory, fresh[t])
        np.testing.assert_allclose(whole[:, :, t], out, atol=1e-5)
    np.testing.assert_allclose(last, memory, atol=1e-5)

    def by_steps(network: Encoder) -> jax.Array:
        memory, total = start, jnp.zeros(())
        for t in range(4):
            out, memory = network(x[:, :, t], memory, fresh[t])
            total += jnp.sin(out).sum()
        return total

    own = jax.grad(lambda n: jnp.sin(n(x, start, fresh, sequence=True)[0]).sum())(network)
    for mine, automatic in zip(jax.tree.leaves(own), jax.tree.leaves(jax.grad(by_steps)(network)), strict=True):
        np.testing.assert_allclose(mine, automatic, atol=1e-4)
    other, _ = network(x, start + 1.0, fresh, sequence=True)
    np.testing.assert_allclose(other[:, :, 2:, 0], whole[:, :, 2:, 0], atol=1e-6)
    assert float(jnp.abs(other[:, :, 2:, 1] - whole[:, :, 2:, 1]).max()) > 1e-4


def test_separate_weights_are_separate() -> None:
    shared, separate = dense(KEY, 3, 2, 1.0), dense(KEY, 3, 2, 1.0, separate=2)
    assert parameter_count(separate) == 2 * parameter_count(shared)
    x = jnp.ones((3, 2, 5))
    moved = jax.grad(lambda layer: layer(x)[:, 0].sum())(separate)
    assert float(jnp.abs(moved.weight[0]).max()) > 0
    assert float(jnp.abs(moved.weight[1]).max()) == 0


def test_ids_are_an_input_of_the_layer() -> None:
    layer = dense(KEY, 3, 2, 1.0, ids=2)
    x = jax.random.normal(KEY, (3, 2, 5))
    assert layer.own is not None
    joined = jnp.concatenate([layer.weight, layer.own], 1)
    told = jnp.concatenate([x, jnp.broadcast_to(jnp.eye(2)[:, :, None], (2, 2, 5))])
    np.testing.assert_allclose(layer(x), jnp.einsum("oi,ian->oan", joined, told), atol=1e-6)


@settings(max_examples=30)
@given(st.integers(0, 2**31))
def test_categorical(seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits, legal = rng.normal(size=(4, 2, 3)) * 5, rng.random((4, 2, 3)) < 0.6
    legal[0] = True
    log_p = categorical.log_probabilities(jnp.asarray(logits), jnp.asarray(legal))
    p = np.exp(np.asarray(log_p))
    np.testing.assert_allclose(p.sum(0), 1, atol=1e-5)
    assert (p[~legal] == 0).all()
    np.testing.assert_allclose(
        categorical.entropy(log_p), [[stats.entropy(p[:, a, b]) for b in range(3)] for a in range(2)], atol=1e-5
    )
    action = categorical.sample(log_p, jnp.asarray(rng.random((2, 3))))
    assert np.take_along_axis(legal, np.asarray(action)[None], 0).all()
    np.testing.assert_allclose(
        categorical.log_probability(log_p, action),
        np.take_along_axis(np.asarray(log_p), np.asarray(action)[None], 0)[0],
        atol=1e-6,
    )


def test_categorical_samples_with_the_given_probabilities() -> None:
    log_p = jnp.log(jnp.array([0.2, 0.5, 0.3]))[:, None, None]
    noise = (jnp.arange(1000) + 0.5)[None] / 1000
    counts = np.bincount(np.asarray(categorical.sample(jnp.broadcast_to(log_p, (3, 1, 1000)), noise))[0])
    np.testing.assert_array_equal(counts, [200, 500, 300])


def test_gaussian_agrees_with_scipy() -> None:
    mean, log_std = jax.random.normal(KEY, (2, 3, 4)), jnp.log(jnp.array([0.5, 2.0]))
    noise = jax.random.uniform(jax.random.key(1), (2, 3, 4))
    value = gaussian.sample(mean, log_std, noise)
    std = np.array([0.5, 2.0])[:, None, None]
    np.testing.assert_allclose(value, stats.norm.ppf(noise, mean, std), atol=1e-4)
    want = stats.norm.logpdf(value, mean, std).sum(0)
    np.testing.assert_allclose(gaussian.log_probability(mean, log_std, value), want, atol=1e-4)
    assert gaussian.entropy(log_std) == pytest.approx(float(stats.norm.entropy(scale=std).sum()), abs=1e-5)
