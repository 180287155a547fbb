"""TarMAC: messages with a signature, heard by those who look for it (Das et al. 2019, arXiv 1810.11187).

A message is a key and a value; the receiver's query weighs it: alpha_ij = softmax_j(q_i k_j / sqrt(d_k)) over the other
agents that speak, c_i = sum_j alpha_ij v_j. Pair it with a learner whose critic is central ("mappo"). ``uniform`` is
the ablation in which all are weighed alike.
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
from shoal.marl.communication.aggregation import attention, weighted
from shoal.marl.communication.channels import Packet
from shoal.marl.communication.exchange import Exchange, ExchangeSettings, Scale, Spoken, Words, communication
from shoal.marl.networks import Dense
from shoal.marl.players import View


class TarMACSettings(ExchangeSettings):
    """Options of TarMAC."""

    key: int = Field(16, ge=1, le=1024, description="Length of keys and queries.")
    value: int = Field(32, ge=1, le=1024, description="Length of values.")
    rounds: int = Field(1, ge=1, le=8, description="Messages each way before the act.")
    uniform: bool = Field(False, description="Ablation: all senders are weighed alike.")


class TarMAC(Exchange):
    """Keys, values and queries.

    Attributes:
        mouth: from features to key and value, one behind the other.
        query: from features to the query.
        uniform: weigh all alike.
    """

    mouth: Dense
    query: Dense
    uniform: bool = eqx.field(static=True)

    def __init__(self, hear: Dense, mouth: Dense, query: Dense, scale: Scale, options: TarMACSettings) -> None:
        self.hear, self.channel, self.agents, self.rounds = hear, options.channel(), scale.agents, options.rounds
        self.mouth, self.query, self.uniform = mouth, query, options.uniform

    @property
    def size(self) -> int:
        """Key and value."""
        return self.mouth.weight.shape[-2]

    def speak(self, h: Hidden, view: View, noise: Noise, memory: Any, sent: Any, execute: bool) -> Spoken:
        """Key and value."""
        return Spoken(self.mouth(h), jnp.ones(h.shape[1:]))

    def again(self, state: Hidden) -> Float[Array, "width agents *batch"]:
        """Key and value of the content."""
        return self.mouth(state)

    def gather(self, state: Hidden, packet: Packet, view: View) -> tuple[Float[Array, "value agents *batch"], Any]:
        """Values, weighed by how well keys fit the query."""
        query = self.query(state)
        key, value = packet.message[: query.shape[0]], packet.message[query.shape[0] :]
        scores = (query[:, :, None] * key).sum(0) / math.sqrt(query.shape[0])
        weight = attention(jnp.zeros_like(scores) if self.uniform else scores, packet.open)
        return weighted(weight, value), weight


@communication(
    "tarmac",
    TarMACSettings,
    Words(
        ("every agent",),
        ("attention-weighted", "one addressee"),
        ("hidden state", "continuous vector"),
        ("every step",),
        ("partial observability", "coordinate actions"),
        ("MLP encoder", "attention", "lossless", "backprop through channel", "centralised critic"),
    ),
)
def tarmac(key: PRNGKeyArray, scale: Scale, options: TarMACSettings) -> Communication | None:
    """TarMAC: messages are weighed by the receiver's attention to the sender's signature."""
    ear, mouth, query = jax.random.split(key, 3)
    d = scale.hidden
    return TarMAC(
        scale.dense(ear, d + options.value, d),
        scale.dense(mouth, d, options.key + options.value),
        scale.dense(query, d, options.key),
        scale,
        options,
    )
