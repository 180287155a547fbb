"""Full sharing: everybody sees what everybody sees. The upper bound that a channel is measured against."""

from __future__ import annotations

from typing import Any, Literal

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray
from pydantic import Field

from shoal.marl.actors import Communication, Hidden, Noise
from shoal.marl.communication.exchange import Exchange, ExchangeSettings, Scale, Spoken, Words, communication
from shoal.marl.networks import Dense
from shoal.marl.players import View


class FullSettings(ExchangeSettings):
    """Options of full sharing."""

    share: Literal["observation", "hidden"] = Field(
        "observation", description="What is shared: observations, or features (with the memory of recurrent networks)."
    )


class Full(Exchange):
    """Everything, side by side.

    Attributes:
        hidden: features are shared instead of observations.
        length: of what one agent shares.
    """

    hidden: bool = eqx.field(static=True)
    length: int = eqx.field(static=True)

    def __init__(self, hear: Dense, length: int, scale: Scale, options: FullSettings) -> None:
        self.hear, self.channel, self.agents, self.rounds = hear, options.channel(), scale.agents, 1
        self.hidden, self.length = options.share == "hidden", length

    @property
    def size(self) -> int:
        """That of an observation, or of the features."""
        return self.length

    def speak(self, h: Hidden, view: View, noise: Noise, memory: Any, sent: Any, execute: bool) -> Spoken:
        """All that the agent has."""
        return Spoken(h if self.hidden else view.obs, jnp.ones(h.shape[1:]))


@communication(
    "full",
    FullSettings,
    Words(
        ("every agent",),
        ("broadcast",),
        ("observation", "hidden state", "continuous vector"),
        ("every step",),
        ("control",),
        ("identity encoder", "concatenation", "lossless"),
    ),
)
def full(key: PRNGKeyArray, scale: Scale, options: FullSettings) -> Communication | None:
    """Full sharing of observations (or features): the upper bound."""
    d = scale.hidden
    length = d if options.share == "hidden" else scale.observation
    return Full(scale.dense(key, d + length * (scale.agents - 1), d), length, scale, options)
