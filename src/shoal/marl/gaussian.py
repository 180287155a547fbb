"""Diagonal Gaussian distributions over continuous actions: means [dims, agents, *batch], a deviation for each dim."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from shoal.worlds.world import over_batch

Values = Float[Array, "dims agents *batch"]
LogStd = Float[Array, " dims"]

_HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)


def normal(noise: Float[Array, "*any"]) -> Float[Array, "*any"]:
    """Standard normal numbers from uniform ones in [0, 1)."""
    return jax.scipy.special.ndtri(jnp.clip(noise, 1e-7, 1 - 1e-7))


def fixed_unless(learned: bool, log_std: LogStd | None) -> LogStd:
    """Log-deviations of continuous actions, without a gradient unless they are learned."""
    assert log_std is not None
    return log_std if learned else jax.lax.stop_gradient(log_std)


def sample(mean: Values, log_std: LogStd, noise: Values) -> Values:
    """Values for uniform noise in [0, 1)."""
    return mean + over_batch(jnp.exp(log_std), mean) * normal(noise)


def log_probability(mean: Values, log_std: LogStd, value: Values) -> Float[Array, "agents *batch"]:
    """Log-density of values, summed over dimensions."""
    wide = over_batch(log_std, mean)
    off = (value - mean) * jnp.exp(-wide)
    return (-0.5 * jnp.square(off) - wide - _HALF_LOG_TAU).sum(0)


def entropy(log_std: LogStd) -> Float[Array, ""]:
    """Entropy in nats, summed over dimensions; it does not depend on the means."""
    return (log_std + 0.5 + _HALF_LOG_TAU).sum()
