"""Generalised advantage estimation (Schulman et al. 2016, arXiv 1506.02438, equation 16)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def advantages(
    reward: Float[Array, "time agents *batch"],
    value: Float[Array, "time agents *batch"],
    last: Float[Array, "agents *batch"],
    done: Bool[Array, "time *batch"],
    bootstrap: Float[Array, "time agents *batch"],
    alive: Bool[Array, "time agents *batch"],
    alive_last: Bool[Array, "agents *batch"],
    discount: float,
    decay: float,
) -> Float[Array, "time agents *batch"]:
    """Advantages of the actions of a rollout; add ``value`` to get the targets of the value function.

    Termination ends the sum; truncation ends it with the value of the observation that the episode was cut at. An agent
    that is not alive has no value estimate: rewards that reach it before the episode ends are summed, without decay,
    into its last living step.

    Args:
        reward: of the step taken at each time.
        value: estimates before each step.
        last: estimates after the last step.
        done: the episode ended with this step.
        bootstrap: value of the final observation where the episode was truncated in this step, else 0.
        alive: the agent could act at this time.
        alive_last: the same after the last step.
        discount: gamma.
        decay: lambda.
    """

    def back(later: tuple[Array, Array, Array], now: tuple[Array, ...]) -> tuple[tuple[Array, Array, Array], Array]:
        following, advantage, weight = later
        reward, value, done, bootstrap, alive = now
        ahead = jnp.where(done[None], bootstrap, following + weight * advantage)
        value = jnp.where(alive, value, 0.0)
        advantage = reward + discount * ahead - value
        return (value, advantage, jnp.where(alive, decay, 1.0)), advantage

    final = jnp.where(alive_last, last, 0.0)
    start = (final, jnp.zeros_like(final), jnp.ones_like(final))
    return jax.lax.scan(back, start, (reward, value, done, bootstrap, alive), reverse=True)[1]


def explained_variance(
    value: Float[Array, "*any"], target: Float[Array, "*any"], weight: Float[Array, "*any"]
) -> Float[Array, ""]:
    """1 - Var(target - value) / Var(target) where ``weight`` is 1; 1 is a perfect value function, 0 a constant one."""
    return 1.0 - _variance(target - value, weight) / jnp.maximum(_variance(target, weight), 1e-12)


def _variance(x: Array, weight: Array) -> Array:
    count = jnp.maximum(weight.sum(), 1.0)
    mean = (x * weight).sum() / count
    return (jnp.square(x - mean) * weight).sum() / count
