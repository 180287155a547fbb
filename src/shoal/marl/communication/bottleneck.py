"""Information bottleneck: messages that say no more than pays (IMAC, arXiv 1911.06992; NDQ, arXiv 1910.05366).

m ~ N(mu(h), Sigma(h)) with a diagonal Sigma, and beta KL(N(mu, Sigma) || N(0, I)) is added to the objective: a bound on
what messages tell about observations. After training the mean is sent.
"""

from __future__ import annotations

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray
from pydantic import Field

from shoal.marl.actors import Communication, Hidden, Noise
from shoal.marl.communication.exchange import Exchange, ExchangeSettings, Scale, Spoken, Words, communication
from shoal.marl.gaussian import normal
from shoal.marl.networks import Dense
from shoal.marl.players import View


class BottleneckSettings(ExchangeSettings):
    """Options of the bottleneck."""

    width: int = Field(8, ge=1, le=1024, description="Length of a message.")
    beta: float = Field(1e-3, ge=0, description="Price of a nat of the bound, in units of advantage.")


class Bottleneck(Exchange):
    """Gaussian messages.

    Attributes:
        mouth: from features to means and log-deviations.
        beta: price of a nat.
    """

    mouth: Dense
    beta: float = eqx.field(static=True)

    def __init__(self, hear: Dense, mouth: Dense, scale: Scale, options: BottleneckSettings) -> None:
        self.hear, self.channel, self.agents, self.rounds = hear, options.channel(), scale.agents, 1
        self.mouth, self.beta = mouth, options.beta

    @property
    def size(self) -> int:
        """Length of a message."""
        return self.mouth.weight.shape[-2] // 2

    @property
    def chances(self) -> int:
        """One for each number."""
        return self.size

    def speak(self, h: Hidden, view: View, noise: Noise, memory: Any, sent: Any, execute: bool) -> Spoken:
        """A sample, or after training the mean."""
        mean, log_std = jnp.split(self.mouth(h), 2)
        message = mean if execute else mean + jnp.exp(log_std) * normal(noise)
        nats = divergence(mean, log_std)
        alive = view.alive.astype(h.dtype)
        average = (nats * alive).sum() / jnp.maximum(alive.sum(), 1.0)
        stats = {"loss": self.beta * average, "rate": average / math.log(2)}
        return Spoken(message, jnp.ones(h.shape[1:]), stats=stats)


def divergence(mean: Float[Array, "width *any"], log_std: Float[Array, "width *any"]) -> Float[Array, "*any"]:
    """KL(N(mean, std^2) || N(0, 1)) in nats, summed over the first axis."""
    return 0.5 * (jnp.square(mean) + jnp.exp(2 * log_std) - 1 - 2 * log_std).sum(0)


@communication(
    "bottleneck",
    BottleneckSettings,
    Words(
        ("every agent",),
        ("broadcast",),
        ("hidden state", "continuous vector"),
        ("every step",),
        ("partial observability", "coordinate actions"),
        ("MLP encoder", "concatenation", "noisy", "information bottleneck", "backprop through channel"),
    ),
)
def bottleneck(key: PRNGKeyArray, scale: Scale, options: BottleneckSettings) -> Communication | None:
    """Information bottleneck: Gaussian messages whose information has a price."""
    ear, mouth = jax.random.split(key)
    d, size = scale.hidden, options.width
    hear = scale.dense(ear, d + size * (scale.agents - 1), d)
    return Bottleneck(hear, scale.dense(mouth, d, 2 * size, 0.5), scale, options)
