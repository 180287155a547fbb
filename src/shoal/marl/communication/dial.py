"""DIAL: bits through a channel that gradients can pass in training (Foerster et al. 2016, arXiv 1605.06676).

The discretise/regularise unit: in training a message is sigmoid(m + N(0, sigma)), in execution 1[m > 0]. Noise drives m
away from 0, so that little is lost when it is cut to bits; with too little noise real values leak through in training.

Departures: the receiver's policy-gradient loss flows back into the sender here (a value learner's would be its TD
error); messages are heard in the step in which they are sent unless ``delay`` is 1; all others' messages are heard side
by side.
"""

from __future__ import annotations

from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray
from pydantic import Field

from shoal.marl.actors import Communication, Hidden, Noise
from shoal.marl.communication.aggregation import averaged, slots
from shoal.marl.communication.channels import Packet
from shoal.marl.communication.exchange import Exchange, ExchangeSettings, Scale, Spoken, Words, communication
from shoal.marl.gaussian import normal
from shoal.marl.networks import Dense
from shoal.marl.players import View

Combine = Literal["slots", "mean"]


class DIALSettings(ExchangeSettings):
    """Options of DIAL."""

    width: int = Field(4, ge=1, le=256, description="Bits of a message.")
    sigma: float = Field(2.0, ge=0, description="Deviation of the noise before the sigmoid, in training.")
    combine: Combine = Field("slots", description="Messages are heard side by side (slots), or their mean.")


class DIAL(Exchange):
    """Bits.

    Attributes:
        mouth: from features to the bits before the unit.
        sigma: deviation of the noise.
        combine: how messages are heard.
    """

    mouth: Dense
    sigma: float = eqx.field(static=True)
    combine: Combine = eqx.field(static=True)

    def __init__(self, hear: Dense, mouth: Dense, scale: Scale, options: DIALSettings) -> None:
        self.hear, self.channel, self.agents, self.rounds = hear, options.channel(), scale.agents, 1
        self.mouth, self.sigma, self.combine = mouth, options.sigma, options.combine

    @property
    def size(self) -> int:
        """Number of bits."""
        return self.mouth.weight.shape[-2]

    @property
    def bits(self) -> float:
        """One for each number: what is said after training."""
        return float(self.size)

    @property
    def chances(self) -> int:
        """One for each bit."""
        return self.size

    def speak(self, h: Hidden, view: View, noise: Noise, memory: Any, sent: Any, execute: bool) -> Spoken:
        """The unit's output."""
        m = self.mouth(h)
        bits = (m > 0).astype(h.dtype) if execute else jax.nn.sigmoid(m + self.sigma * normal(noise))
        return Spoken(bits, jnp.ones(h.shape[1:]))

    def gather(self, state: Hidden, packet: Packet, view: View) -> tuple[Float[Array, "width agents *batch"], Any]:
        """All bits, or their mean."""
        return (slots(packet.message) if self.combine == "slots" else averaged(packet.message, view.alive)), ()

    def draw(self, u: Float[Array, "width *any"]) -> Float[Array, "width *any"]:
        """Fair coins."""
        return (u > 0.5).astype(u.dtype)


@communication(
    "dial",
    DIALSettings,
    Words(
        ("every agent",),
        ("broadcast",),
        ("hidden state", "quantised bits"),
        ("every step",),
        ("partial observability", "coordinate actions"),
        ("MLP encoder", "quantiser", "concatenation", "limited bits", "backprop through channel"),
    ),
)
def dial(key: PRNGKeyArray, scale: Scale, options: DIALSettings) -> Communication | None:
    """DIAL: bits, differentiable in training."""
    ear, mouth = jax.random.split(key)
    heard = options.width * (scale.agents - 1 if options.combine == "slots" else 1)
    d = scale.hidden
    return DIAL(scale.dense(ear, d + heard, d), scale.dense(mouth, d, options.width), scale, options)
