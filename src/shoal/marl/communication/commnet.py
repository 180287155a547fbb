"""CommNet: everybody hears the mean of the others (Sukhbaatar et al. 2016, arXiv 1605.07736), and its controls.

K rounds of h' = tanh(H h + C c) with c the mean of the other living agents' h; weights are shared by agents and rounds.
Departure: the first round starts from the policy's own features and the head reads them beside the last round's.

Controls: "none" has no module at all; "alone" is the same network where each agent hears itself, so it has as many
parameters in use and learns nothing of the others; "random" hears noise; "fixed-rate" speaks at a given rate by chance.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray
from pydantic import Field

from shoal.marl.actors import Communication, Hidden, Noise
from shoal.marl.communication.aggregation import averaged
from shoal.marl.communication.channels import Packet, Scramble, joined
from shoal.marl.communication.exchange import Exchange, ExchangeSettings, Scale, Spoken, Words, communication
from shoal.marl.players import View

SILENT = Words(("nobody",), ("nobody",), ("nothing",), ("never",), ("control",), ("none",))
BROADCAST = Words(
    ("every agent",),
    ("broadcast",),
    ("hidden state", "continuous vector"),
    ("every step",),
    ("partial observability", "coordinate actions"),
    ("identity encoder", "mean", "lossless", "backprop through channel"),
)


class CommNetSettings(ExchangeSettings):
    """Options of CommNet."""

    rounds: int = Field(1, ge=1, le=8, description="Messages each way before the act, K.")


class FixedRateSettings(CommNetSettings):
    """Options of the control with a fixed rate."""

    rate: float = Field(0.5, ge=0, le=1, description="Share of steps in which an agent speaks.")


class CommNet(Exchange):
    """Features as messages, averaged.

    Attributes:
        alone: each agent hears itself instead of the others.
        rate: share of steps in which an agent speaks, by chance.
    """

    alone: bool = eqx.field(static=True, default=False)
    rate: float = eqx.field(static=True, default=1.0)

    @property
    def size(self) -> int:
        """That of the features."""
        return self.width

    @property
    def bits(self) -> float:
        """None are sent by an agent that talks to itself."""
        return 0.0 if self.alone else 32.0 * self.size

    @property
    def chances(self) -> int:
        """One where speaking is a matter of chance."""
        return int(self.rate < 1)

    def speak(self, h: Hidden, view: View, noise: Noise, memory: Any, sent: Any, execute: bool) -> Spoken:
        """The features themselves."""
        if self.alone:
            return Spoken(h, jnp.zeros(h.shape[1:]))
        return Spoken(h, jnp.ones(h.shape[1:]) if self.rate >= 1 else (noise[0] < self.rate).astype(h.dtype))

    def gather(self, state: Hidden, packet: Packet, view: View) -> tuple[Float[Array, "width agents *batch"], Any]:
        """The mean of the others."""
        return (state if self.alone else averaged(packet.message, view.alive)), ()


@communication("none", ExchangeSettings, SILENT)
def none(key: PRNGKeyArray, scale: Scale, options: ExchangeSettings) -> Communication | None:
    """No communication."""
    return None


@communication("alone", CommNetSettings, SILENT)
def alone(key: PRNGKeyArray, scale: Scale, options: CommNetSettings) -> Communication | None:
    """CommNet's network without communication: everybody hears only itself."""
    d = scale.hidden
    return CommNet(scale.dense(key, 2 * d, d), options.channel(), scale.agents, options.rounds, alone=True)


@communication("commnet", CommNetSettings, BROADCAST)
def commnet(key: PRNGKeyArray, scale: Scale, options: CommNetSettings) -> Communication | None:
    """CommNet: everybody hears the mean of the others' features."""
    d = scale.hidden
    return CommNet(scale.dense(key, 2 * d, d), options.channel(), scale.agents, options.rounds)


@communication("random", CommNetSettings, BROADCAST._replace(what=("nothing",), why=("control",)))
def random(key: PRNGKeyArray, scale: Scale, options: CommNetSettings) -> Communication | None:
    """CommNet with random numbers in place of the messages, also in training."""
    d = scale.hidden
    channel = joined(Scramble(), options.channel())
    return CommNet(scale.dense(key, 2 * d, d), channel, scale.agents, options.rounds)


@communication(
    "fixed-rate",
    FixedRateSettings,
    BROADCAST._replace(who=("scheduled subset",), when=("at random",), why=("control",)),
)
def fixed_rate(key: PRNGKeyArray, scale: Scale, options: FixedRateSettings) -> Communication | None:
    """CommNet whose agents speak at a given rate, by chance."""
    d = scale.hidden
    return CommNet(scale.dense(key, 2 * d, d), options.channel(), scale.agents, options.rounds, rate=options.rate)
