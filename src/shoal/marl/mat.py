"""MAT: a team as a sequence model (Wen et al. 2022, arXiv 2205.14953), and MAT-Dec, its decentralised ablation.

A transformer encodes all observations and values them; a decoder lets the agents act one after another, each knowing
what those before it do. Acting takes as many steps as there are agents, on remembered keys and values; to judge actions
that were taken is one parallel pass. **Execution is central**: it needs all observations, and one agent's action waits
for another's. The order of the agents is the world's; it is never shuffled, as in the released code.

MAT-Dec keeps the encoder as a critic and gives every agent a perceptron on its own observation.

Departures. From the paper: the ratio of an agent covers all dimensions of its continuous action (as released), and a
continuous action's deviation is the core's setting. From the code: GELU by its tanh formula; the size of returns is
estimated once an update instead of once a minibatch; values are clipped at 0.2 of that size whatever the policy's clip;
the first agent's start token is marked for continuous actions too; dead agents are not attended to.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, NamedTuple, Self

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray
from pydantic import Field, model_validator

from shoal.marl import categorical, gaussian
from shoal.marl.actors import Decision, Evaluation, Memory, Model, Noise, PerAgent
from shoal.marl.learner import learner
from shoal.marl.networks import Features
from shoal.marl.players import Actions, View
from shoal.marl.ppo import PPO, PPOSettings
from shoal.marl.transformer import (
    Block,
    Embedding,
    Perceptron,
    SetEncoder,
    block,
    causal,
    embedding,
    perceptron,
)
from shoal.worlds import World

UNROLLED = 4
"""Agents, or places of a sequence, up to which their loop is written out when compiled."""

_UNUSED = ("hidden", "activation", "shared", "recurrent")


class TransformerSettings(PPOSettings):
    """Settings of the transformer family."""

    epochs: int = Field(10, ge=1, description="Passes over the rollout in one update.")
    minibatches: int = Field(1, ge=1, description="Gradient steps in one pass.")
    learning_rate: float = Field(5e-4, gt=0, description="Of Adam, at the start.")
    clip: float = Field(
        0.05, gt=0, description="How far a probability ratio may move from 1 before its gradient stops."
    )
    value_clip: float | None = Field(
        0.2,
        gt=0,
        description="How far a value may move in one update, in units of the returns' size; empty for freely.",
    )
    value_weight: float = Field(1.0, ge=0, description="Weight of the value error in the objective.")
    huber: float | None = Field(
        10.0, gt=0, description="Value error from which the loss grows linearly, in units of the returns' size."
    )
    max_grad_norm: float = Field(10.0, gt=0, description="Norm to which gradients are clipped.")
    clip_apart: bool = Field(False, description="Gradients of encoder, critic and decoder are clipped each by itself.")
    width: int = Field(64, ge=1, description="Features of an agent in the transformer.")
    blocks: int = Field(1, ge=1, description="Blocks of the encoder, and of the decoder.")
    heads: int = Field(1, ge=1, description="Attention heads; must divide the width.")
    value_norm: bool = Field(True, description="Values are learned in units of the returns' running deviation.")
    team_reward: bool = Field(True, description="Every agent is credited with the mean of the team's rewards.")
    random_features: int = Field(
        0, ge=0, description="Random numbers that every agent sees beside its observation, drawn anew in each step."
    )

    @model_validator(mode="after")
    def _suits_transformers(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"heads {self.heads} must divide width {self.width}")
        for name in _UNUSED:
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} means nothing here; a transformer has width, blocks and heads")
        return self


class Choice(eqx.Module):
    """From the last layer's outputs to actions.

    Attributes:
        log_std: of continuous actions, [dims]; None where actions are numbered.
        learn_std: whether it is trained.
    """

    log_std: Float[Array, " dims"] | None
    learn_std: bool = eqx.field(static=True)

    @property
    def rows(self) -> int:
        """Uniform numbers that an action needs."""
        return 1 if self.log_std is None else self.log_std.shape[-1]

    def decide(
        self, out: Features, legal: Bool[Array, "actions agents *batch"], noise: Noise, greedy: bool
    ) -> tuple[Actions, PerAgent]:
        """Actions as worlds take them, and their log-probabilities."""
        if self.log_std is None:
            log_p = categorical.log_probabilities(out, legal)
            action = categorical.best(log_p) if greedy else categorical.sample(log_p, noise[0])
            return action, categorical.log_probability(log_p, action)
        value = out if greedy else gaussian.sample(out, self._spread, noise)
        return jnp.swapaxes(value, 0, 1), gaussian.log_probability(out, self._spread, value)

    def judge(
        self, out: Features, legal: Bool[Array, "actions agents *batch"], action: Actions
    ) -> tuple[PerAgent, PerAgent]:
        """Log-probability of actions that were taken, and entropy."""
        if self.log_std is None:
            log_p = categorical.log_probabilities(out, legal)
            return categorical.log_probability(log_p, action), categorical.entropy(log_p)
        chance = gaussian.log_probability(out, self._spread, jnp.swapaxes(action, 0, 1))
        return chance, jnp.broadcast_to(gaussian.entropy(self._spread), chance.shape)

    @property
    def _spread(self) -> Float[Array, " dims"]:
        return gaussian.fixed_unless(self.learn_std, self.log_std)


class Seen(NamedTuple):
    """What a decoder starts from.

    Attributes:
        obs: observations, with random features if any.
        rep: what the encoder made of them.
        prefix: the whole team in one vector [width, *batch]; None where the critic makes none.
        alive: agents that can act.
    """

    obs: Features
    rep: Features
    prefix: Float[Array, "width *batch"] | None
    alive: Bool[Array, "agents *batch"]


class Decoder(eqx.Module):
    """From encoded observations to actions.

    Attributes:
        choice: of actions.
    """

    choice: Choice

    @abstractmethod
    def decide(self, seen: Seen, view: View, noise: Noise, greedy: bool) -> tuple[Actions, PerAgent]:
        """Actions and their log-probabilities."""

    @abstractmethod
    def judge(self, seen: Seen, view: View, action: Actions) -> tuple[PerAgent, PerAgent, dict[str, Array]]:
        """Log-probability and entropy of actions that were taken, and figures for the metrics."""


class ParallelDecoder(Decoder):
    """All agents at once, independently of each other given what the decoder saw."""

    @abstractmethod
    def outputs(self, seen: Seen) -> tuple[Features, dict[str, Array]]:
        """Logits or means [outputs, agents, *batch], and figures."""

    def decide(self, seen: Seen, view: View, noise: Noise, greedy: bool) -> tuple[Actions, PerAgent]:
        """In one pass."""
        return self.choice.decide(self.outputs(seen)[0], view.legal, noise, greedy)

    def judge(self, seen: Seen, view: View, action: Actions) -> tuple[PerAgent, PerAgent, dict[str, Array]]:
        """In one pass."""
        out, figures = self.outputs(seen)
        return *self.choice.judge(out, view.legal, action), figures


class OwnObservation(ParallelDecoder):
    """MAT-Dec's: each agent's own observation only.

    Attributes:
        layers: one perceptron on the other.
    """

    layers: tuple[Embedding, Perceptron]

    def outputs(self, seen: Seen) -> tuple[Features, dict[str, Array]]:
        """From the observations alone."""
        first, rest = self.layers
        return rest(first(seen.obs)), {}


class Autoregression(Decoder):
    """MAT's: each agent's action depends on the actions of those before it.

    Attributes:
        embedding: of tokens: a mark of the start, then the action of the agent before.
        blocks: in order.
        head: to logits or means.
    """

    embedding: Embedding
    blocks: tuple[Block, ...]
    head: Perceptron

    def decide(self, seen: Seen, view: View, noise: Noise, greedy: bool) -> tuple[Actions, PerAgent]:
        """One agent after another; every step looks at remembered keys and values of those before."""
        agents = seen.rep.shape[1]
        mask = self._mask(seen.alive)
        # The token of nobody: also what the first agent has before it, but for the mark.
        blank = jnp.zeros((self._tokens, 1, *seen.rep.shape[2:]))
        first = self.embedding(blank)
        memory = tuple(part.begin(first, seen.rep[:, :1], agents) for part in self.blocks)

        def turn(carry: tuple[Features, Any], place: Array) -> tuple[tuple[Features, Any], tuple[Actions, PerAgent]]:
            token, memory = carry

            def of(x: Array, axis: int) -> Array:
                return jax.lax.dynamic_slice_in_dim(x, place, 1, axis)

            x, kept = self.embedding(token), []
            for part, old in zip(self.blocks, memory, strict=True):
                x, new = part.step(x, place, old, of(mask, 0), of(seen.rep, 1))
                kept.append(new)
            action, log_p = self.choice.decide(self.head(x), of(view.legal, 1), of(noise, 1), greedy)
            return (self._token(action, of(seen.alive, 0)), tuple(kept)), (action[0], log_p[0])

        start = (blank.at[0].set(1.0), memory)
        places = jnp.arange(agents)
        _, (action, log_p) = jax.lax.scan(turn, start, places, unroll=agents if agents <= UNROLLED else 1)
        return action, log_p

    def judge(self, seen: Seen, view: View, action: Actions) -> tuple[PerAgent, PerAgent, dict[str, Array]]:
        """In one pass, with the actions that were taken in the places of those to come."""
        return *self.choice.judge(self.outputs(seen, action), view.legal, action), {}

    def outputs(self, seen: Seen, action: Actions) -> Features:
        """Logits or means of every agent, given the actions of those before it."""
        before = self._token(action, seen.alive)[:, :-1]
        start = jnp.zeros((self._tokens, 1, *seen.rep.shape[2:])).at[0].set(1.0)
        x = self.embedding(jnp.concatenate([start, before], 1))
        mask = self._mask(seen.alive)
        for part in self.blocks:
            x = part(x, mask, seen.rep)
        return self.head(x)

    @property
    def _tokens(self) -> int:
        return int(self.embedding.layer.weight.shape[-1])

    def _token(self, action: Actions, alive: Bool[Array, "agents *batch"]) -> Features:
        """The action as features, behind the start's mark, which is 0; all 0 for agents that are not alive."""
        if self.choice.log_std is None:
            number = jnp.arange(self._tokens).reshape(-1, *(1,) * action.ndim)
            return jnp.where((action[None] + 1 == number) & alive[None], 1.0, 0.0)
        value = jnp.where(alive[None], jnp.swapaxes(action, 0, 1), 0.0)
        return jnp.concatenate([jnp.zeros((1, *value.shape[1:])), value])

    def _mask(self, alive: Bool[Array, "agents *batch"]) -> Bool[Array, "agents agents *batch"]:
        """Earlier places, without those that hold the action of an agent that is not alive."""
        told = jnp.concatenate([jnp.ones((1, *alive.shape[1:]), bool), alive[:-1]])
        return causal(alive.shape[0], alive.ndim - 1) & told[None]


class TeamCritic(eqx.Module):
    """Values from encoded observations."""

    @abstractmethod
    def __call__(
        self, rep: Features, alive: Bool[Array, "agents *batch"]
    ) -> tuple[PerAgent, Float[Array, "width *batch"] | None]:
        """A value for each agent, in units of the returns' size, and the team's vector if one is made."""


class ValueEach(TeamCritic):
    """MAT's: every agent's features to its own value.

    Attributes:
        head: to the value.
    """

    head: Perceptron

    def __call__(self, rep: Features, alive: Bool[Array, "agents *batch"]) -> tuple[PerAgent, None]:
        """Each by itself."""
        return self.head(rep)[0], None


class Scale(eqx.Module):
    """Running mean and deviation of returns; not trained by gradient.

    Attributes:
        mean: of returns.
        deviation: of returns.
        weight: of what was seen so far, up to 1.
    """

    mean: Float[Array, ""]
    deviation: Float[Array, ""]
    weight: Float[Array, ""]

    def fixed(self) -> tuple[Array, Array]:
        """Mean and deviation, as constants to a gradient."""
        return jax.lax.stop_gradient(self.mean), jax.lax.stop_gradient(self.deviation)

    def after(self, returns: Array, known: Array, decay: float = 0.99) -> Scale:
        """With more returns; ``known`` is 1 where they count."""
        count = jnp.maximum(known.sum(), 1.0)
        mean = (returns * known).sum() / count
        variance = (jnp.square(returns - mean) * known).sum() / count
        weight = decay * self.weight + (1 - decay)
        share = (1 - decay) / weight
        off = mean - self.mean
        spread = (1 - share) * (jnp.square(self.deviation) + share * jnp.square(off)) + share * variance
        return Scale(self.mean + share * off, jnp.maximum(jnp.sqrt(spread), 1e-3), weight)


class TransformerModel(Model):
    """Encoder, critic and decoder of a team.

    Attributes:
        encoder: of all observations.
        critic: from its features to values.
        decoder: from its features to actions.
        scale: unit of the values.
        random_features: random numbers beside each observation.
    """

    encoder: SetEncoder
    critic: TeamCritic
    decoder: Decoder
    scale: Scale
    random_features: int = eqx.field(static=True)

    @property
    def rows(self) -> tuple[int, int]:
        """For the action, and for the random features."""
        return self.decoder.choice.rows, self.random_features

    @property
    def value_unit(self) -> Array:
        """The deviation of returns."""
        return self.scale.fixed()[1]

    def start(self, agents: int, batch: tuple[int, ...]) -> Memory:
        """Nothing to remember."""
        return Memory((), ())

    def act(
        self, view: View, noise: Noise, memory: Any, greedy: bool = False, execute: bool = False
    ) -> tuple[Decision, Any]:
        """All agents, by the decoder."""
        own, _ = self.rows
        seen, _ = self.look(view, noise[own:])
        action, log_p = self.decoder.decide(seen, view, noise[:own], greedy)
        return Decision(action, (), log_p), memory

    def value(self, view: View, memory: Any, noise: Noise) -> tuple[PerAgent, Any]:
        """The critic's."""
        return self.look(view, noise)[1], memory

    def evaluate(self, view: View, action: Actions, sent: Any, noise: Noise, memory: Memory) -> Evaluation:
        """Encoder once, for the decoder and the critic."""
        seen, value = self.look(view, noise)
        log_p, entropy, figures = self.decoder.judge(seen, view, action)
        return Evaluation(log_p, entropy, value, figures)

    def look(self, view: View, noise: Noise) -> tuple[Seen, PerAgent]:
        """What the decoder starts from, and values in units of return."""
        obs = jnp.concatenate([view.obs, noise]) if self.random_features else view.obs
        rep = self.encoder(obs, view.alive)
        value, prefix = self.critic(rep, view.alive)
        mean, deviation = self.scale.fixed()
        return Seen(obs, rep, prefix, view.alive), mean + deviation * value


class TransformerPPO(PPO[Any]):
    """PPO on a transformer; methods state their blocks, critic and decoder."""

    attentive = True
    post_norm = True

    def critic(self, key: PRNGKeyArray, world: World[Any]) -> Any:
        """From the encoder's features."""
        return ValueEach(self._head(key, 1, before=False))

    @abstractmethod
    def decoder(self, key: PRNGKeyArray, world: World[Any]) -> Decoder:
        """A fresh decoder."""

    def model(self, key: PRNGKeyArray, world: World[Any]) -> TransformerModel:
        """Encoder, critic, decoder."""
        s = self.settings
        embed_key, block_key, critic_key, decoder_key = jax.random.split(key, 4)
        body = SetEncoder(
            embedding(embed_key, self._inputs(world), s.width, True, self.post_norm, self.told(world)),
            tuple(
                block(k, s.width, s.heads, self.post_norm, attentive=self.attentive)
                for k in jax.random.split(block_key, s.blocks)
            ),
        )
        scale = Scale(jnp.zeros(()), jnp.ones(()), jnp.zeros(()))
        return TransformerModel(
            body, self.critic(critic_key, world), self.decoder(decoder_key, world), scale, s.random_features
        )

    @property
    def heavy(self) -> bool:
        """Always: attention is slow unless compiled with care."""
        return True

    def told(self, world: World[Any]) -> int | None:
        """Number of agents that the networks are told apart by number, or None; see ``agent_ids``."""
        differ = len({*zip(world.observation_sizes, world.actions, strict=True)}) > 1
        wanted = differ if self.settings.agent_ids is None else self.settings.agent_ids
        return world.agent_count if wanted else None

    def choice(self, world: World[Any]) -> Choice:
        """Numbered or continuous actions."""
        s = self.settings
        std = jnp.full(world.continuous, math.log(s.action_std)) if world.continuous else None
        return Choice(std, s.learn_std)

    def credited(self, reward: Array, bootstrap: Array, alive: Array, last: Array) -> tuple[Array, Array, Array, Array]:
        """The team's mean reward for all, with ``team_reward``."""
        if self.settings.team_reward:
            reward = jnp.broadcast_to(reward.mean(1, keepdims=True), reward.shape)
        return reward, bootstrap, alive, last

    def rescaled(self, model: Any, value: Array, target: Array, alive: Array) -> tuple[Any, Array]:
        """The unit of values follows the targets; old estimates are told in the new unit."""
        if not self.settings.value_norm:
            return model, value

        def one(scale: Scale, value: Array, target: Array, alive: Array) -> tuple[Scale, Array]:
            new = scale.after(target, alive.astype(jnp.float32))
            return new, new.mean + new.deviation * (value - scale.mean) / scale.deviation

        each: Any = jax.vmap(one, (0, -2, -2, -2), (0, -2))
        scale, value = each(model.scale, value, target, alive)
        return eqx.tree_at(lambda m: m.scale, model, scale), value

    def _inputs(self, world: World[Any]) -> int:
        return world.observation_size + int(self.settings.random_features)

    def _head(self, key: PRNGKeyArray, outputs: int, before: bool = True, inputs: int | None = None) -> Perceptron:
        width = self.settings.width
        return perceptron(key, inputs or width, width, outputs, before=before)


class MATSettings(TransformerSettings):
    """Nothing of its own."""


@learner("mat")
class MAT(TransformerPPO):
    """The multi-agent transformer."""

    schema = MATSettings

    def decoder(self, key: PRNGKeyArray, world: World[Any]) -> Decoder:
        """Autoregressive."""
        s = self.settings
        embed_key, block_key, head_key = jax.random.split(key, 3)
        outputs = world.continuous or world.action_count
        return Autoregression(
            self.choice(world),
            embedding(embed_key, outputs + 1, s.width, before=False, after=True),
            tuple(block(k, s.width, s.heads, True, crossed=True) for k in jax.random.split(block_key, s.blocks)),
            self._head(head_key, outputs, before=False),
        )


@learner("mat-dec")
class MATDec(TransformerPPO):
    """MAT's encoder as critic, and independent actors."""

    schema = MATSettings

    def decoder(self, key: PRNGKeyArray, world: World[Any]) -> Decoder:
        """Every agent by itself."""
        s = self.settings
        first_key, rest_key = jax.random.split(key)
        outputs = world.continuous or world.action_count
        first = embedding(first_key, self._inputs(world), s.width, True, True, self.told(world))
        rest = perceptron(rest_key, s.width, s.width, outputs, before=False)
        return OwnObservation(self.choice(world), (first, rest))
