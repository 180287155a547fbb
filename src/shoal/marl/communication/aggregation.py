"""What a receiver makes of many messages: sums, means, attention, slots. Nobody hears itself.

Messages are [width, receivers, senders, *batch]; the receivers axis is 1 where all are told the same.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from shoal.worlds.world import over_batch

Messages = Float[Array, "width receivers senders *batch"]
Content = Float[Array, "width agents *batch"]
Weights = Float[Array, "receivers senders *batch"]


def others(agents: int, ndim: int) -> Float[Array, "receivers senders *ones"]:
    """1 between different agents, 0 on the diagonal; for arrays [receivers, senders, *batch] of ``ndim`` axes."""
    return (1.0 - jnp.eye(agents)).reshape(agents, agents, *(1,) * (ndim - 2))


def summed(message: Messages) -> Content:
    """The sum over the other agents; 0 for one that is alone."""
    agents = message.shape[2]
    if message.shape[1] == 1:
        one = message[:, 0]
        return one.sum(1, keepdims=True) - one
    return (message * others(agents, message.ndim - 1)).sum(2)


def averaged(message: Messages, alive: Bool[Array, "agents *batch"]) -> Content:
    """The mean over the other living agents, those that said nothing included with 0; 0 for one that is alone."""
    there = alive.astype(message.dtype)
    return summed(message) / jnp.maximum(there.sum(0, keepdims=True) - there, 1.0)


def slots(message: Messages) -> Float[Array, "slots agents *batch"]:
    """All others' messages one behind the other, beginning with the next agent's; width 0 for one that is alone."""
    agents = message.shape[2]
    if message.shape[1] == 1:
        parts = [jnp.roll(message[:, 0], -k, 1) for k in range(1, agents)]
    else:
        parts = [jnp.stack([message[:, r, (r + k) % agents] for r in range(agents)], 1) for k in range(1, agents)]
    return jnp.concatenate(parts) if parts else message[:0, 0]


def attention(scores: Weights, heard: Weights) -> Weights:
    """Softmax over the senders that are heard; all 0 where there are none.

    Args:
        scores: how much each receiver would like to hear each sender.
        heard: 1 where a message arrives, else 0 (receivers axis 1 or full).
    """
    there = heard * others(scores.shape[1], scores.ndim)
    masked = jnp.where(there > 0, scores, -jnp.inf)
    top = jax.lax.stop_gradient(jnp.max(masked, 1, keepdims=True))
    # Scores are masked before the exponential, so that no infinity reaches a derivative.
    safe = jnp.where(there > 0, scores - jnp.where(jnp.isfinite(top), top, 0.0), 0.0)
    powers = jnp.exp(safe) * there
    total = powers.sum(1, keepdims=True)
    return powers / jnp.where(total > 0, total, 1.0)


def weighted(weight: Weights, message: Messages) -> Content:
    """The sum over senders, each with its weight for that receiver."""
    return (weight[None] * message).sum(2)


def within(
    x: Float[Array, "agents *batch"], y: Float[Array, "agents *batch"], radius: float
) -> Float[Array, "receivers senders *batch"]:
    """1 between agents that are at most ``radius`` apart; ``x`` and ``y`` are coordinates [agents, *batch]."""
    square = jnp.square(x[:, None] - x[None]) + jnp.square(y[:, None] - y[None])
    return (square <= radius * radius).astype(jnp.float32)


def fixed(table: tuple[tuple[int, ...], ...], like: Array) -> Float[Array, "receivers senders *ones"]:
    """A given graph, as 0 and 1, to multiply with ``like`` [receivers, senders, *batch]."""
    return over_batch(jnp.array(table, jnp.float32), like)
