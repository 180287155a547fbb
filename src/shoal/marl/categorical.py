"""Categorical distributions over named actions, on logits [actions, agents, *batch] with illegal actions masked."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

ILLEGAL = -1e9
"""Logit of an illegal action: its probability is exactly 0 in float32, and every derivative stays finite."""

Logits = Float[Array, "actions agents *batch"]
Actions = Int[Array, "agents *batch"]


def log_probabilities(logits: Logits, legal: Bool[Array, "actions agents *batch"]) -> Logits:
    """Log-probability of every action; illegal ones about ``ILLEGAL``."""
    return jax.nn.log_softmax(jnp.where(legal, logits, ILLEGAL), axis=0)


def sample(log_p: Logits, noise: Float[Array, "agents *batch"]) -> Actions:
    """The action at which the cumulative probability first exceeds ``noise``, uniform in [0, 1)."""
    cumulative = jnp.cumsum(jnp.exp(log_p), axis=0)
    # Rounding leaves the total a little off 1; scaling by it keeps the last legal action reachable and all others out.
    return (cumulative <= noise * cumulative[-1]).sum(0).astype(jnp.int32)


def best(log_p: Logits) -> Actions:
    """The most probable action, the first of equals."""
    return jnp.argmax(log_p, axis=0).astype(jnp.int32)


def log_probability(log_p: Logits, action: Actions) -> Float[Array, "agents *batch"]:
    """Log-probability of the actions taken."""
    number = jnp.arange(log_p.shape[0]).reshape(-1, *(1,) * action.ndim)
    # A comparison and a sum: a gather over the first axis is slower, and its derivative is a scatter.
    return _sum(jnp.where(action[None] == number, log_p, 0.0))


def entropy(log_p: Logits) -> Float[Array, "agents *batch"]:
    """Entropy in nats."""
    return -_sum(jnp.exp(log_p) * log_p)


def _sum(x: Logits) -> Float[Array, "agents *batch"]:
    """Sum over the actions, as a product with ones: ten times faster on CPU than a reduction behind a product."""
    return (jnp.ones((1, x.shape[0])) @ x.reshape(x.shape[0], -1)).reshape(x.shape[1:])
