"""Graph attention: agents hear their neighbours in a graph (in the manner of DGN, arXiv 1810.09202).

The graph is given by name, or joins agents within a radius, by two numbers of their observations. Heads of attention
weigh the neighbours: softmax over them of q_i k_j / sqrt(d). With ``hard`` each edge is moreover kept or dropped by a
sampled gate with a straight-through gradient, from a second pair of projections.

Departures from DGN: a receiver is not its own neighbour (the head reads its features anyway), one layer for each round,
no temporal regularisation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray
from pydantic import Field

from shoal.errors import InputError
from shoal.marl.actors import Communication, Hidden, Noise
from shoal.marl.communication.aggregation import attention, fixed, weighted, within
from shoal.marl.communication.channels import Packet
from shoal.marl.communication.exchange import Exchange, ExchangeSettings, Scale, Spoken, Words, communication
from shoal.marl.networks import Dense
from shoal.marl.players import View

Shape = Literal["complete", "ring", "line", "star", "radius"]


class GraphSettings(ExchangeSettings):
    """Options of graph attention."""

    graph: Shape = Field("complete", description="Who hears whom: complete, ring, line, star (agent 0), or radius.")
    radius: float = Field(0.5, gt=0, description="Farthest neighbour in a radius graph.")
    x: int = Field(0, ge=0, description="Number of the observation's feature that is the first coordinate.")
    y: int = Field(1, ge=0, description="Number of the feature that is the second coordinate.")
    heads: int = Field(2, ge=1, le=16, description="Heads of attention.")
    key: int = Field(16, ge=1, le=1024, description="Length of keys and queries of a head.")
    value: int = Field(16, ge=1, le=1024, description="Length of values of a head.")
    rounds: int = Field(1, ge=1, le=8, description="Hops before the act.")
    hard: bool = Field(False, description="Edges are kept or dropped by sampled gates.")


class GraphAttention(Exchange):
    """Heads of attention over neighbours.

    Attributes:
        mouth: from features to the keys of all heads, their values, and the key of the edge gate.
        query: from features to the queries of all heads, and of the edge gate.
        options: the rest.
    """

    mouth: Dense
    query: Dense
    options: GraphSettings = eqx.field(static=True)

    def __init__(self, hear: Dense, mouth: Dense, query: Dense, scale: Scale, options: GraphSettings) -> None:
        self.hear, self.channel, self.agents, self.rounds = hear, options.channel(), scale.agents, options.rounds
        self.mouth, self.query, self.options = mouth, query, options

    @property
    def size(self) -> int:
        """Keys and values, and the uniform numbers of the sender's edges where they are gated."""
        return self.mouth.weight.shape[-2] + self.chances

    @property
    def bits(self) -> float:
        """32 for each number that the sender thought of."""
        return 32.0 * self.mouth.weight.shape[-2]

    @property
    def chances(self) -> int:
        """One for each edge that may be dropped."""
        return self.agents if self.options.hard else 0

    def speak(self, h: Hidden, view: View, noise: Noise, memory: Any, sent: Any, execute: bool) -> Spoken:
        """Keys and values; the chance of each edge travels with them."""
        # One half is the chance at which a gate follows its log-odds.
        chance = jnp.full_like(noise, 0.5) if execute else noise
        return Spoken(jnp.concatenate([self.mouth(h), chance]), jnp.ones(h.shape[1:]))

    def again(self, state: Hidden) -> Float[Array, "width agents *batch"]:
        """Keys and values of the content."""
        rest = jnp.full((self.chances, *state.shape[1:]), 0.5)
        return jnp.concatenate([self.mouth(state), rest])

    def gather(self, state: Hidden, packet: Packet, view: View) -> tuple[Float[Array, "value agents *batch"], Any]:
        """Values of the neighbours, head by head."""
        o = self.options
        query, message = self.query(state), packet.message
        keys, values = message[: o.heads * o.key], message[o.heads * o.key : o.heads * (o.key + o.value)]
        heard = packet.open * self.neighbours(view, packet.open.ndim)
        if o.hard:
            heard = heard * self._gates(query[o.heads * o.key :], message[o.heads * (o.key + o.value) :])
        parts, weights = [], []
        for head in range(o.heads):
            q, k = query[head * o.key : (head + 1) * o.key], keys[head * o.key : (head + 1) * o.key]
            weight = attention((q[:, :, None] * k).sum(0) / math.sqrt(o.key), heard)
            parts.append(weighted(weight, values[head * o.value : (head + 1) * o.value]))
            weights.append(weight)
        return jnp.concatenate(parts), sum(weights) / o.heads

    def neighbours(self, view: View, ndim: int) -> Float[Array, "receivers senders *batch"]:
        """1 where the receiver can hear the sender."""
        o, n = self.options, self.agents
        if o.graph == "radius":
            return within(view.obs[o.x], view.obs[o.y], o.radius)
        shapes: dict[str, Callable[[int, int], bool]] = {
            "complete": lambda r, s: True,
            "ring": lambda r, s: (r - s) % n in (1, n - 1),
            "line": lambda r, s: abs(r - s) == 1,
            "star": lambda r, s: 0 in (r, s),
        }
        joins = shapes[o.graph]
        table = tuple(tuple(int(joins(r, s)) for s in range(n)) for r in range(n))
        return fixed(table, jnp.zeros((n, n, *(1,) * (ndim - 2))))

    def _gates(
        self, query: Float[Array, "key receivers *batch"], rest: Float[Array, "rest receivers senders *batch"]
    ) -> Float[Array, "receivers senders *batch"]:
        o = self.options
        key, chance = rest[: o.key], rest[o.key :]
        odds = (query[:, :, None] * key).sum(0) / math.sqrt(o.key)
        # The sender's number for receiver r is its r-th.
        n = self.agents
        if chance.shape[1] == 1:
            u = chance[:, 0]
        else:
            u = jnp.stack([chance[r, r] for r in range(n)])
        u = jnp.clip(u, 1e-6, 1 - 1e-6)
        logistic = jnp.log(u) - jnp.log1p(-u)
        soft = jax.nn.sigmoid(odds + logistic)
        return (odds + logistic > 0).astype(soft.dtype) + (soft - jax.lax.stop_gradient(soft))


@communication(
    "graph",
    GraphSettings,
    Words(
        ("every agent",),
        ("nearby", "fixed graph", "attention-weighted", "learned dynamic graph"),
        ("hidden state", "continuous vector"),
        ("every step",),
        ("partial observability", "coordinate actions"),
        ("MLP encoder", "graph network", "attention", "lossless", "backprop through channel"),
    ),
)
def graph(key: PRNGKeyArray, scale: Scale, options: GraphSettings) -> Communication | None:
    """Graph attention over a given graph or the agents within a radius.

    Raises:
        InputError: coordinates that the observations do not have.
    """
    if options.graph == "radius" and max(options.x, options.y) >= scale.observation:
        raise InputError(
            "communication graph x, y", (options.x, options.y), f"Observations have {scale.observation} features."
        )
    ear, mouth, query = jax.random.split(key, 3)
    d, o = scale.hidden, options
    gate = o.key if o.hard else 0
    return GraphAttention(
        scale.dense(ear, d + o.heads * o.value, d),
        scale.dense(mouth, d, o.heads * (o.key + o.value) + gate),
        scale.dense(query, d, o.heads * o.key + gate),
        scale,
        options,
    )
