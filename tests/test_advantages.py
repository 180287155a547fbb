"""Generalised advantage estimation against the definition, written as plain loops."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.marl.advantages import advantages, explained_variance

GAMMA, LAMBDA = 0.9, 0.8


def by_definition(
    reward: Any, value: Any, last: Any, done: Any, bootstrap: Any, gamma: float = GAMMA, decay: float = LAMBDA
) -> Any:
    """Equation 16 of arXiv 1506.02438 for one agent in one world, as a sum of temporal differences."""
    length = len(reward)
    deltas = []
    for t in range(length):
        if done[t]:
            after = bootstrap[t]
        else:
            after = value[t + 1] if t + 1 < length else last
        deltas.append(reward[t] + gamma * after - value[t])
    result = []
    for t in range(length):
        total, weight = 0.0, 1.0
        for k in range(t, length):
            total += weight * deltas[k]
            if done[k]:
                break
            weight *= gamma * decay
        result.append(total)
    return np.array(result)


@settings(max_examples=40)
@given(st.integers(0, 2**31), st.floats(0, 1), st.floats(0, 1))
def test_equals_the_definition(seed: int, gamma: float, decay: float) -> None:
    rng = np.random.default_rng(seed)
    shape = (6, 2, 3)
    reward, value, bootstrap = rng.normal(size=(3, *shape))
    last = rng.normal(size=shape[1:])
    done = rng.random((6, 3)) < 0.3
    alive = np.ones(shape, bool)
    got = advantages(
        *(jnp.asarray(x) for x in (reward, value, last, done, bootstrap, alive, alive[0])), discount=gamma, decay=decay
    )
    for agent in range(2):
        for world in range(3):
            want = by_definition(
                reward[:, agent, world],
                value[:, agent, world],
                last[agent, world],
                done[:, world],
                bootstrap[:, agent, world],
                gamma,
                decay,
            )
            np.testing.assert_allclose(got[:, agent, world], want, atol=2e-5)


def test_lambda_1_gives_the_return_and_lambda_0_the_temporal_difference() -> None:
    reward, value = jnp.array([1.0, 2.0, 3.0])[:, None, None], jnp.array([0.5, 0.25, 0.125])[:, None, None]
    done = jnp.array([False, False, True])[:, None]
    alive = jnp.ones((3, 1, 1), bool)
    arguments = (reward, value, jnp.full((1, 1), 100.0), done, jnp.zeros_like(reward), alive, alive[0], 0.5)
    full = advantages(*arguments, 1.0)[:, 0, 0] + value[:, 0, 0]
    np.testing.assert_allclose(full, [1 + 0.5 * 2 + 0.25 * 3, 2 + 0.5 * 3, 3.0])
    np.testing.assert_allclose(advantages(*arguments, 0.0)[:, 0, 0], [1 + 0.125 - 0.5, 2 + 0.0625 - 0.25, 3 - 0.125])


def test_rewards_after_death_reach_the_last_living_step() -> None:
    reward = jnp.array([0.0, 0.0, 4.0])[:, None, None]
    alive = jnp.array([True, False, False])[:, None, None]
    done = jnp.array([False, False, True])[:, None]
    value = jnp.array([1.0, 77.0, 77.0])[:, None, None]
    got = advantages(
        reward, value, jnp.zeros((1, 1)), done, jnp.zeros_like(reward), alive, jnp.zeros((1, 1), bool), 0.5, 0.1
    )
    assert got[0, 0, 0] == pytest.approx(0.25 * 4 - 1)


def test_explained_variance() -> None:
    target, all_of_them = jnp.array([1.0, 2.0, 3.0, 9.0]), jnp.ones(4)
    assert explained_variance(target, target, all_of_them) == 1
    assert explained_variance(jnp.full(4, 5.0), target, all_of_them) == pytest.approx(0, abs=1e-6)
    assert explained_variance(jnp.array([1.0, 2.0, 3.0, -5.0]), target, jnp.array([1.0, 1, 1, 0])) == 1
