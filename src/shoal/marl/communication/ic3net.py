"""IC3Net: CommNet whose agents decide when to speak (Singh et al. 2019, arXiv 1812.09755).

A gate g in {0, 1}, sampled from the agent's features, opens its mouth; c is the sum of the open others' features over
their number. The gate's log-probability is part of the policy's, so the policy gradient of the agent's own reward
trains it. It closes only under pressure: individual rewards that others' knowledge lowers, or a ``price``.

Departures: the gate mutes and does not deafen (the authors' code does both); it acts in the step in which it is drawn;
the recurrence is the policy's own.
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
from shoal.marl.communication.aggregation import averaged
from shoal.marl.communication.channels import Packet
from shoal.marl.communication.commnet import BROADCAST, CommNetSettings
from shoal.marl.communication.exchange import Exchange, Scale, Spoken, communication
from shoal.marl.networks import Dense
from shoal.marl.players import View


class IC3NetSettings(CommNetSettings):
    """Options of IC3Net."""

    price: float = Field(0.0, ge=0, description="Cost of an open gate in the objective, in units of advantage.")
    explore: float = Field(1.0, ge=0, description="Weight of the gate's entropy, relative to the action's.")
    start: float = Field(0.5, gt=0, lt=1, description="Probability of an open gate before training.")


class IC3Net(Exchange):
    """Gated features, averaged.

    Attributes:
        gate: from features to the log-odds of speaking.
        price: of an open gate.
        explore: weight of the gate's entropy.
    """

    gate: Dense
    price: float = eqx.field(static=True)
    explore: float = eqx.field(static=True)

    def __init__(self, hear: Dense, gate: Dense, scale: Scale, options: IC3NetSettings) -> None:
        self.hear, self.channel, self.agents, self.rounds = hear, options.channel(), scale.agents, options.rounds
        self.gate, self.price, self.explore = gate, options.price, options.explore

    @property
    def size(self) -> int:
        """That of the features."""
        return self.width

    @property
    def chances(self) -> int:
        """One for the gate."""
        return 1

    def speak(self, h: Hidden, view: View, noise: Noise, memory: Any, sent: Any, execute: bool) -> Spoken:
        """The features, if the gate is open."""
        odds = self.gate(h)[0]
        chance = jax.nn.sigmoid(odds)
        gate = (noise[0] < chance).astype(jnp.int32) if sent is None else sent
        log_open, log_shut = jax.nn.log_sigmoid(odds), jax.nn.log_sigmoid(-odds)
        alive = view.alive.astype(h.dtype)
        stats = {}
        if self.price:
            stats["loss"] = self.price * (chance * alive).sum() / jnp.maximum(alive.sum(), 1.0)
        return Spoken(
            message=h,
            open=gate.astype(h.dtype),
            sent=gate,
            log_p=jnp.where(gate == 1, log_open, log_shut),
            entropy=-self.explore * (chance * log_open + (1 - chance) * log_shut),
            stats=stats,
        )

    def gather(self, state: Hidden, packet: Packet, view: View) -> tuple[Float[Array, "width agents *batch"], Any]:
        """The sum of what is said, over the number of others."""
        return averaged(packet.message, view.alive), ()


@communication(
    "ic3net",
    IC3NetSettings,
    BROADCAST._replace(
        who=("learned senders",),
        when=("gated",),
        how=("identity encoder", "mean", "lossless", "backprop through channel", "RL on messages"),
    ),
)
def ic3net(key: PRNGKeyArray, scale: Scale, options: IC3NetSettings) -> Communication | None:
    """IC3Net: CommNet with a learned gate on every mouth."""
    hear, gate = jax.random.split(key)
    d = scale.hidden
    mouth = scale.dense(gate, d, 1, 0.01)
    odds = math.log(options.start / (1 - options.start))
    mouth = eqx.tree_at(lambda layer: layer.bias, mouth, mouth.bias + odds)
    return IC3Net(scale.dense(hear, 2 * d, d), mouth, scale, options)
