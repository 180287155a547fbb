"""Draws for a whole batch of worlds from one key: samples without replacement, in random order."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray


def distinct(key: PRNGKeyArray, count: int, pool: int, batch: tuple[int, ...]) -> Int[Array, "count *batch"]:
    """Different numbers from 0 to ``pool - 1``; every ordered sample is equally likely.

    Draw i picks among the ``pool - i`` numbers still left and names the rank of the pick among them (a Lehmer code);
    decoding takes ``count`` vector operations and no sort over the pool.

    Args:
        key: of randomness.
        count: numbers wanted, at most ``pool``.
        pool: numbers to choose from.
        batch: trailing axes.
    """
    order = jnp.arange(count).reshape(count, *(1,) * len(batch))
    left = pool - order
    code = jnp.minimum((jax.random.uniform(key, (count, *batch)) * left).astype(jnp.int32), left - 1)

    def decode(step: int, picks: Array) -> Array:
        here = count - 2 - step
        pick: Array = jax.lax.dynamic_index_in_dim(picks, here, 0)
        moved: Array = picks + ((order > here) & (picks >= pick))
        return moved

    picks: Array = jax.lax.fori_loop(0, max(count - 1, 0), decode, code)
    return picks


def successors(key: PRNGKeyArray, count: int, batch: tuple[int, ...]) -> Int[Array, "count *batch"]:
    """For each of ``count`` agents another agent, all different: a random round through everybody.

    A single agent succeeds itself.
    """
    tour = distinct(key, count, count, batch)
    follower = jnp.roll(tour, -1, 0)
    numbers = jnp.arange(count).reshape(count, 1, *(1,) * len(batch))
    return jnp.where(tour[None] == numbers, follower[None], 0).sum(1)
