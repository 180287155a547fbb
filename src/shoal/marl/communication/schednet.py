"""SchedNet: a fixed bandwidth that the most urgent share (Kim et al. 2019, arXiv 1902.01554).

Every agent scores how urgent its message is; k of them may speak to all. In training the k are drawn without
replacement with chances softmax(score) (Plackett and Luce), and the log-probability of each draw belongs to the agent
drawn, so the policy gradient trains the scores; after training the k highest speak.

Departure: the paper trains the scores with a deterministic policy gradient of their own.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray
from pydantic import Field

from shoal.errors import InputError
from shoal.marl.actors import Communication, Hidden, Noise, PerAgent
from shoal.marl.communication.aggregation import summed
from shoal.marl.communication.channels import Packet
from shoal.marl.communication.exchange import Exchange, ExchangeSettings, Scale, Spoken, Words, communication
from shoal.marl.networks import Dense
from shoal.marl.players import View

NEVER = -1e9


class SchedNetSettings(ExchangeSettings):
    """Options of SchedNet."""

    k: int = Field(1, ge=1, description="Agents that may speak in a step.")
    width: int = Field(16, ge=1, le=1024, description="Length of a message.")
    explore: float = Field(1.0, ge=0, description="Weight of the schedule's entropy, relative to the action's.")


class SchedNet(Exchange):
    """The k most urgent speak.

    Attributes:
        mouth: from features to the message.
        urgency: from features to the score.
        k: agents that may speak.
        explore: weight of the schedule's entropy.
    """

    mouth: Dense
    urgency: Dense
    k: int = eqx.field(static=True)
    explore: float = eqx.field(static=True)

    def __init__(self, hear: Dense, mouth: Dense, urgency: Dense, scale: Scale, options: SchedNetSettings) -> None:
        self.hear, self.channel, self.agents, self.rounds = hear, options.channel(), scale.agents, 1
        self.mouth, self.urgency, self.k, self.explore = mouth, urgency, options.k, options.explore

    @property
    def size(self) -> int:
        """Length of a message."""
        return self.mouth.weight.shape[-2]

    @property
    def chances(self) -> int:
        """One for the draw."""
        return 1

    def speak(self, h: Hidden, view: View, noise: Noise, memory: Any, sent: Any, execute: bool) -> Spoken:
        """Messages of those who were drawn; ``sent`` is the order in which they were, k for the others."""
        score = jnp.where(view.alive, self.urgency(h)[0], NEVER)
        if sent is None:
            u = jnp.clip(noise[0], 1e-7, 1 - 1e-7)
            sent = ranks(score if execute else score - jnp.log(-jnp.log(u)), self.k)
            sent = jnp.where(view.alive, sent, self.k)
        log_p = jax.nn.log_softmax(score, axis=0)
        return Spoken(
            message=jnp.tanh(self.mouth(h)),
            open=(sent < self.k).astype(h.dtype),
            sent=sent,
            log_p=draw_log_p(score, sent, self.k),
            entropy=-self.explore * jnp.exp(log_p) * jnp.where(view.alive, log_p, 0.0),
        )

    def gather(self, state: Hidden, packet: Packet, view: View) -> tuple[Float[Array, "width agents *batch"], Any]:
        """The sum of the few messages, over k."""
        return summed(packet.message) / self.k, ()


def ranks(score: PerAgent, k: int) -> Int[Array, "agents *batch"]:
    """Place of each agent by falling score, first 0, ``k`` for all behind; of equals the earlier agent comes first."""
    agents = score.shape[0]
    before = (jnp.arange(agents)[:, None] > jnp.arange(agents)[None]).reshape(agents, agents, *(1,) * (score.ndim - 1))
    ahead = (score[None] > score[:, None]) | ((score[None] == score[:, None]) & before)
    return jnp.minimum(ahead.sum(1), k).astype(jnp.int32)


def draw_log_p(score: PerAgent, order: Int[Array, "agents *batch"], k: int) -> PerAgent:
    """Log-probability of each draw without replacement, at the agent drawn; 0 for the others."""
    total = jnp.zeros_like(score)
    for place in range(k):
        left = jnp.where(order >= place, score, NEVER)
        total = total + jnp.where(order == place, score - jax.nn.logsumexp(left, axis=0), 0.0)
    return total


@communication(
    "schednet",
    SchedNetSettings,
    Words(
        ("scheduled subset", "learned senders"),
        ("broadcast",),
        ("hidden state", "continuous vector"),
        ("bandwidth-scheduled",),
        ("partial observability", "coordinate actions"),
        ("MLP encoder", "sum", "lossless", "backprop through channel", "RL on messages"),
    ),
)
def schednet(key: PRNGKeyArray, scale: Scale, options: SchedNetSettings) -> Communication | None:
    """SchedNet: the k most urgent messages are heard.

    Raises:
        InputError: more messages than agents.
    """
    if options.k > scale.agents:
        raise InputError("communication schednet k", options.k, f"Use at most the number of agents, {scale.agents}.")
    ear, mouth, urgency = jax.random.split(key, 3)
    d = scale.hidden
    return SchedNet(
        scale.dense(ear, d + options.width, d),
        scale.dense(mouth, d, options.width),
        scale.dense(urgency, d, 1, 0.01),
        scale,
        options,
    )
