"""CMAT: a team that agrees first and then acts at once (arXiv 2604.13472, 2026).

The encoder's features of all agents are compressed into one vector; from it the decoder writes a short chain of latent
thoughts, each attending to the agents and to the thoughts before it; a gate mixes the chain into one consensus; every
agent acts from its own features and the consensus. Nothing depends on the order of the agents, and the policy is a
product over agents given the observations. **Execution is central**: the consensus needs all observations.

The consensus is deterministic, so agents that are alike and see alike act alike: they cannot take different places.
Give them an id (``agent_ids``, or in the observation) or ``random_features``.

Departures. The paper's ratio is of the joint policy (``ratio="joint"``); the default is the released code's, one ratio
for each agent with the team's advantage. The chain is written with remembered keys and values, one slot at a time: the
slots before do not change, so this equals the released loop of full passes. The code's ``head`` for values and its
compressor are as released; the team's reward is the mean over agents; for the rest see ``mat``.
"""

from __future__ import annotations

from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray
from pydantic import Field

from shoal.marl.actors import PerAgent
from shoal.marl.learner import learner
from shoal.marl.mat import (
    UNROLLED,
    Decoder,
    ParallelDecoder,
    Seen,
    TeamCritic,
    TransformerPPO,
    TransformerSettings,
)
from shoal.marl.networks import Features, dense, product
from shoal.marl.transformer import HIDDEN, Block, LayerNorm, Perceptron, block, causal, layer_norm, mixture, sinusoids
from shoal.worlds import World

ROWS = 4
"""Ways in which the compressor looks at the agents."""


class CMATSettings(TransformerSettings):
    """Settings of CMAT."""

    consensus_length: int | None = Field(
        None, ge=1, description="Slots of the chain of thoughts (L); empty for one for each agent."
    )
    encoder_attention: bool = Field(
        True, description="Agents attend to each other in the encoder; without, the consensus is all they share."
    )
    consensus: bool = Field(True, description="Agents get the consensus; without, zeros in its place (ablation).")
    ratio: Literal["per-agent", "joint"] = Field(
        "per-agent", description="Probability ratio of each agent's action (the code's), or of the joint one (paper's)."
    )
    trained: Literal["all", "heads", "consensus"] = Field(
        "all",
        description="What is trained: all; the heads of critic and actor; or the consensus (blocks, projector, gate).",
    )


class Compressor(TeamCritic):
    """Agents to one vector, by attention rows over them, and to the team's value.

    Attributes:
        first: to hidden features of each agent, without bias.
        second: to a score for each row, without bias.
        projector: from all rows to the vector.
        head: from the vector to the value.
    """

    first: Float[Array, "width width"]
    second: Float[Array, "rows width"]
    projector: Perceptron
    head: Perceptron

    def __call__(
        self, rep: Features, alive: Bool[Array, "agents *batch"]
    ) -> tuple[PerAgent, Float[Array, "width *batch"]]:
        """The value, the same for all agents, and the vector."""
        score = product(self.second, jnp.tanh(product(self.first, rep.reshape(rep.shape[0], -1))))
        score = jnp.where(alive[None], score.reshape(-1, *rep.shape[1:]), HIDDEN)
        rows = mixture(jax.nn.softmax(score, axis=1)[None], rep[None])
        prefix = self.projector(rows.reshape(-1, 1, *rep.shape[2:]))
        value = self.head(prefix)[0]
        return jnp.broadcast_to(value, alive.shape), prefix[:, 0]


class Consensus(ParallelDecoder):
    """The chain of thoughts, its gate, and the agents' common head.

    Attributes:
        entry: norm of the encoder's features.
        blocks: in order; they attend along the chain, and to the agents.
        projector: from what the blocks made of a slot to the thought.
        gate: to the weight of each thought.
        head: from an agent's features and the consensus to its outputs.
        length: slots of the chain; None for one for each agent.
        silent: the consensus is zeros.
    """

    entry: LayerNorm
    blocks: tuple[Block, ...]
    projector: Perceptron
    gate: Perceptron
    head: Perceptron
    length: int | None = eqx.field(static=True)
    silent: bool = eqx.field(static=True)

    def outputs(self, seen: Seen) -> tuple[Features, dict[str, Array]]:
        """From each agent's features and the consensus."""
        rep = self.entry(seen.rep)
        if self.silent:
            consensus, figures = jnp.zeros((rep.shape[0], 1, *rep.shape[2:])), {}
        else:
            consensus, weights = self.agree(seen)
            figures = {"gate_entropy": -(weights * jnp.log(jnp.maximum(weights, 1e-30))).sum(0)}
        return self.head(jnp.concatenate([rep, jnp.broadcast_to(consensus, rep.shape)])), figures

    def agree(self, seen: Seen) -> tuple[Float[Array, "width 1 *batch"], Float[Array, "slots *batch"]]:
        """The consensus, and the gate's weight of each of the L + 1 thoughts: the prefix, and L written ones."""
        chain = self.chain(seen)
        weights = jax.nn.softmax(self.gate(chain)[0], axis=0)
        return mixture(weights[None, None], chain[None])[0], weights

    def chain(self, seen: Seen) -> Float[Array, "width slots *batch"]:
        """The prefix and the thoughts, in the order they were written."""
        assert seen.prefix is not None
        rep, others = self.entry(seen.rep), seen.alive[None]
        width, agents, *batch = rep.shape
        length = self.length or agents
        codes = sinusoids(length, width).reshape(width, length, *(1,) * len(batch))
        prefix = seen.prefix[:, None]
        earlier = causal(length, len(batch))
        memory = tuple(part.begin(prefix, rep, length) for part in self.blocks)

        def write(carry: tuple[Features, Any], place: Array) -> tuple[tuple[Features, Any], Features]:
            slot, memory = carry
            # The code of the place is seen by the blocks and never kept in the slot.
            x, kept = slot + jax.lax.dynamic_slice_in_dim(codes, place, 1, 1), []
            mask = jax.lax.dynamic_slice_in_dim(earlier, place, 1, 0)
            for part, old in zip(self.blocks, memory, strict=True):
                x, new = part.step(x, place, old, mask, rep, others)
                kept.append(new)
            thought = self.projector(x)
            return (thought, tuple(kept)), thought[:, 0]

        places = jnp.arange(length)
        _, thoughts = jax.lax.scan(write, (prefix, memory), places, unroll=length if length <= UNROLLED else 1)
        return jnp.concatenate([prefix, jnp.moveaxis(thoughts, 0, 1)], 1)


@learner("cmat")
class CMAT(TransformerPPO):
    """The consensus multi-agent transformer."""

    schema = CMATSettings
    post_norm = False

    @property
    def attentive(self) -> bool:  # type: ignore[override]
        """By ``encoder_attention``."""
        return bool(self.settings.encoder_attention)

    def critic(self, key: PRNGKeyArray, world: World[Any]) -> Any:
        """The compressor."""
        width = self.settings.width
        first, second, project, head = jax.random.split(key, 4)
        return Compressor(
            dense(first, width, width, 1.0).weight,
            dense(second, width, ROWS, 1.0).weight,
            self._head(project, width, inputs=ROWS * width),
            self._head(head, 1),
        )

    def decoder(self, key: PRNGKeyArray, world: World[Any]) -> Decoder:
        """The consensus."""
        s = self.settings
        block_key, project, gate, head = jax.random.split(key, 4)
        return Consensus(
            self.choice(world),
            layer_norm(s.width),
            tuple(block(k, s.width, s.heads, False, crossed=True) for k in jax.random.split(block_key, s.blocks)),
            self._head(project, s.width),
            self._head(gate, 1),
            self._head(head, world.continuous or world.action_count, inputs=2 * s.width),
            s.consensus_length,
            not s.consensus,
        )

    def credited(self, reward: Array, bootstrap: Array, alive: Array, last: Array) -> tuple[Array, Array, Array, Array]:
        """The team is one agent, with one value: it lives while any of its agents does."""
        reward, bootstrap, alive, last = super().credited(reward, bootstrap, alive, last)
        if not self.settings.team_reward:
            return reward, bootstrap, alive, last
        known = jnp.maximum((bootstrap != 0).sum(1, keepdims=True), 1)
        bootstrap = jnp.broadcast_to(bootstrap.sum(1, keepdims=True) / known, bootstrap.shape)
        alive = jnp.broadcast_to(alive.any(1, keepdims=True), alive.shape)
        return reward, bootstrap, alive, jnp.broadcast_to(last.any(0, keepdims=True), last.shape)

    def log_ratio(self, each: Array, alive: Array) -> Array:
        """Each agent's own, or the team's for all."""
        if self.settings.ratio == "per-agent":
            return each
        return jnp.broadcast_to((each * alive).sum(0, keepdims=True), each.shape)

    def _move(self, grads: Any, optimiser: Any, model: Any, rate: Array) -> tuple[Any, Any, Array]:
        """Parameters that are not trained get no gradient, so Adam leaves them where they are."""
        if self.settings.trained != "all":
            part = _heads if self.settings.trained == "heads" else _consensus
            still = jax.tree.map(jnp.zeros_like, grads)
            grads = eqx.tree_at(part, still, part(grads))
        return super()._move(grads, optimiser, model, rate)


def _heads(model: Any) -> tuple[Any, ...]:
    return model.critic.head, model.decoder.head


def _consensus(model: Any) -> tuple[Any, ...]:
    return model.decoder.blocks, model.decoder.projector, model.decoder.gate
