"""What guided swarms are compared with: gradient-free consensus, and particle swarms that average.

Both use as many evaluations of each agent's objective as the swarms, and the same graph. The random gradient-free
method (Nesterov and Spokoiny 2017, with consensus) moves along differences of two evaluations. Its steps are of fixed
length here, falling as 1 / sqrt(t): the objectives differ by many orders of magnitude, and raw steps leave the box.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpy.typing import ArrayLike, NDArray

from shoal.games.consensus.objectives import BOX, Objectives, local_values, mean_value

SMOOTHING, LENGTH = 1e-3, 10.0
INERTIA, PULL = 0.729, 1.494
"""Constriction coefficients of Clerc and Kennedy (2002)."""
Ended = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Objective at the mean of the answers, and the sum of their distances to it [seeds]."""


def gradient_free(problem: Objectives, weights: ArrayLike, budget: int, seeds: Sequence[int]) -> Ended:
    """x_i = sum_k W_ik x_k - step along the random direction, two evaluations each."""
    return _ended(_gradient_free, problem, weights, budget // 2, seeds)


def averaging_swarms(
    problem: Objectives, weights: ArrayLike, budget: int, seeds: Sequence[int], particles: int = 60
) -> Ended:
    """Every agent's particle swarm moves once, then particle p becomes the weighted mean of the neighbours' p."""
    return _ended(partial(_averaging, particles), problem, weights, budget // particles - 1, seeds)


def _ended(method: Any, problem: Objectives, weights: ArrayLike, steps: int, seeds: Sequence[int]) -> Ended:
    with jax.enable_x64(True):
        keys = jnp.stack([jax.random.key(s % 2**32) for s in seeds])
        data, rows = jax.tree.map(jnp.asarray, problem), jnp.asarray(weights)
        run = jax.jit(jax.vmap(partial(method, steps), (None, 0, 0)))
        answers = run(rows, data, keys)
        value = np.asarray(jax.jit(jax.vmap(mean_value))(data, answers.mean(1, keepdims=True)))[:, 0]
        answers = np.asarray(answers)
    return value, np.linalg.norm(answers - answers.mean(1, keepdims=True), axis=-1).sum(1)


def _gradient_free(steps: int, weights: Array, data: Objectives, key: Array) -> Array:
    shape = (data.agents, data.dimensions)

    def step(x: Array, t: Array) -> tuple[Array, None]:
        xi = jax.random.normal(jax.random.fold_in(key, t + 1), shape, jnp.float64)
        both = jnp.stack([x, x + SMOOTHING * xi], 1)
        at, beside = local_values(data, both).T
        away = jnp.sign(beside - at)[:, None] * xi / jnp.linalg.norm(xi, axis=-1, keepdims=True)
        return jnp.clip(weights @ x - LENGTH / jnp.sqrt(t + 1.0) * away, -BOX, BOX), None

    start = jax.random.uniform(key, shape, jnp.float64, -BOX, BOX)
    return jax.lax.scan(step, start, jnp.arange(steps))[0]


def _averaging(particles: int, steps: int, weights: Array, data: Objectives, key: Array) -> Array:
    shape = (data.agents, particles, data.dimensions)
    x = jax.random.uniform(key, shape, jnp.float64, -BOX, BOX)
    value = local_values(data, x)

    def step(carry: Any, t: Array) -> tuple[Any, None]:
        x, v, own, best = carry
        u = jax.random.uniform(jax.random.fold_in(key, t + 1), (2, *shape), jnp.float32)
        leader = jnp.take_along_axis(own, best.argmin(1)[:, None, None], 1)
        v = INERTIA * v + PULL * (u[0] * (own - x) + u[1] * (leader - x))
        x = jnp.clip(jnp.einsum("nk,kpd->npd", weights, x + v), -BOX, BOX)
        value = local_values(data, x)
        better = value < best
        return (x, v, jnp.where(better[..., None], x, own), jnp.where(better, value, best)), None

    start: Any = (x, jnp.zeros(shape), x, value)
    (x, *_), _ = jax.lax.scan(step, start, jnp.arange(steps))
    return jnp.asarray(x.mean(1))
