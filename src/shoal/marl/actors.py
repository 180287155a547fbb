"""Actors and critics: what a policy-gradient learner optimises.

An actor is encoder -> communication (optional) -> head. A model bundles actor and critic behind four methods, so that a
method with another structure (an autoregressive policy, say) replaces the model and keeps the rest of the PPO core.

All chance in acting comes from uniform numbers that the rollout draws and keeps, so that a sample can be judged again
under other parameters with the same noise in its channel: the probability ratio is then exactly 1 before any update.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from shoal.marl import categorical, gaussian
from shoal.marl.networks import Dense, Encoder
from shoal.marl.players import Actions, Player, View

Hidden = Float[Array, "hidden agents *batch"]
PerAgent = Float[Array, "agents *batch"]
Noise = Float[Array, "rows agents *batch"]
"""Uniform in [0, 1)."""


class Memory(NamedTuple):
    """What networks carry from step to step; empty where they are feed-forward. Arrays end with the batch."""

    actor: Any
    critic: Any


class Heard(NamedTuple):
    """What a communication came to.

    Attributes:
        content: what each agent gathered from the others.
        sent: decisions of the senders that have a probability (gates, tokens), [..., agents, *batch]; () if none.
        log_p: log-probability of ``sent``.
        entropy: of the distributions of ``sent``, in nats.
        memory: of the channel.
        stats: figures for the metrics, scalars or [*batch]; one of the name ``loss`` is added to the objective.
        said: what went through the channel, for measures of communication; () if it is not told.
    """

    content: Float[Array, "message agents *batch"]
    sent: Any
    log_p: PerAgent
    entropy: PerAgent
    memory: Any
    stats: dict[str, Array]
    said: Any = ()


class Communication(eqx.Module):
    """A module between encoder and head that tells agents about each other."""

    @property
    @abstractmethod
    def width(self) -> int:
        """Length of what an agent gathers."""

    @property
    def rows(self) -> int:
        """Uniform numbers that each agent needs in a step."""
        return 0

    def start(self, agents: int, batch: tuple[int, ...]) -> Any:
        """The channel's memory before the first step; without leaves where it has none."""
        return ()

    @abstractmethod
    def __call__(
        self, h: Hidden, view: View, noise: Noise, memory: Any, sent: Any = None, execute: bool = False
    ) -> Heard:
        """One round of communication.

        Args:
            h: features of all agents. An agent that is not alive must neither be heard nor hear.
            view: what the agents see (who is alive, where an episode begins); any axes before the batch are time,
                unless the channel has a memory: it then gets one step at a time.
            noise: ``rows`` uniform numbers for each agent.
            memory: of the channel, from the step before.
            sent: decisions to judge instead of new ones.
            execute: as after training: no regularising noise, discrete messages hard.
        """


class Decision(NamedTuple):
    """What a model does in a moment.

    Attributes:
        action: of each agent.
        sent: decisions in its communication, [..., agents, *batch]; () if none.
        log_p: log-probability of both.
    """

    action: Any
    sent: Any
    log_p: PerAgent


class Evaluation(NamedTuple):
    """A model's judgement of decisions that were taken.

    Attributes:
        log_p: log-probability of the actions, and of what was sent.
        entropy: of the policy, in nats.
        value: estimates.
        stats: figures of the communication.
    """

    log_p: PerAgent
    entropy: PerAgent
    value: PerAgent
    stats: dict[str, Array]


class Actor(eqx.Module):
    """A policy.

    Attributes:
        encoder: from observations to features.
        head: from features (and what was communicated) to logits, or to means where actions are continuous.
        comm: the communication between encoder and head, or None.
        log_std: of continuous actions, [dims]; None where actions are numbered.
        learn_std: whether ``log_std`` is trained.
    """

    encoder: Encoder
    head: Dense
    comm: Communication | None = None
    log_std: Float[Array, " dims"] | None = None
    learn_std: bool = eqx.field(static=True, default=False)

    @property
    def rows(self) -> tuple[int, int]:
        """Uniform numbers that an agent needs in a step: for its action, and for the communication."""
        own = 1 if self.log_std is None else self.log_std.shape[-1]
        return own, 0 if self.comm is None else self.comm.rows

    def start(self, agents: int, batch: tuple[int, ...]) -> tuple[Any, Any]:
        """Memory of the encoder and of the communication."""
        return self.encoder.start((agents, *batch)), () if self.comm is None else self.comm.start(agents, batch)

    def outputs(
        self,
        view: View,
        memory: tuple[Any, Any],
        noise: Noise,
        sent: Any = None,
        sequence: bool = False,
        execute: bool = False,
    ) -> tuple[Float[Array, "outputs agents *batch"], tuple[Any, Any], Heard | None]:
        """What comes out of the head, the next memory, and what was communicated.

        Args:
            view: what the agents see.
            memory: of the step before.
            noise: of the communication.
            sent: decisions to judge; None to decide.
            sequence: the first batch axis is time.
            execute: as after training.
        """
        h, carried = self.encoder(view.obs, memory[0], view.fresh, sequence)
        if self.comm is None:
            return self.head(h), (carried, ()), None
        if sequence and jax.tree.leaves(memory[1]):
            heard = _step_by_step(self.comm, h, view, noise, memory[1], sent, execute)
        else:
            heard = self.comm(h, view, noise, memory[1], sent, execute)
        return self.head(jnp.concatenate([h, heard.content])), (carried, heard.memory), heard

    def decide(
        self, view: View, noise: Noise, memory: tuple[Any, Any], greedy: bool = False, execute: bool = False
    ) -> tuple[Decision, tuple[Any, Any]]:
        """Actions and messages, and the next memory."""
        own, _ = self.rows
        out, memory, heard = self.outputs(view, memory, noise[own:], execute=execute)
        if self.log_std is None:
            log_p = categorical.log_probabilities(out, view.legal)
            action = categorical.best(log_p) if greedy else categorical.sample(log_p, noise[0])
            chance = categorical.log_probability(log_p, action)
        else:
            value = out if greedy else gaussian.sample(out, self._log_std, noise[:own])
            chance = gaussian.log_probability(out, self._log_std, value)
            action = jnp.swapaxes(value, 0, 1)
        if heard is None:
            return Decision(action, (), chance), memory
        return Decision(action, heard.sent, chance + heard.log_p), memory

    def judge(
        self, view: View, action: Actions, sent: Any, noise: Noise, memory: tuple[Any, Any]
    ) -> tuple[PerAgent, PerAgent, dict[str, Array]]:
        """Log-probability and entropy of a sequence of decisions, and figures of the communication."""
        out, _, heard = self.outputs(view, memory, noise, sent, sequence=True)
        if self.log_std is None:
            log_p = categorical.log_probabilities(out, view.legal)
            chance, entropy = categorical.log_probability(log_p, action), categorical.entropy(log_p)
        else:
            chance = gaussian.log_probability(out, self._log_std, jnp.swapaxes(action, 0, 1))
            entropy = jnp.broadcast_to(gaussian.entropy(self._log_std), chance.shape)
        if heard is None:
            return chance, entropy, {}
        return chance + heard.log_p, entropy + heard.entropy, heard.stats

    @property
    def _log_std(self) -> Float[Array, " dims"]:
        return gaussian.fixed_unless(self.learn_std, self.log_std)


def _step_by_step(
    comm: Communication, h: Hidden, view: View, noise: Noise, memory: Any, sent: Any, execute: bool
) -> Heard:
    """A communication with a memory over a sequence: the third axis of features, the first of the batch, is time."""
    time = h.ndim - view.fresh.ndim

    def first(x: Array) -> Array:
        return jnp.moveaxis(x, x.ndim - view.fresh.ndim, 0)

    def step(memory: Any, xs: Any) -> tuple[Any, Heard]:
        h, view, noise, sent = xs
        heard = comm(h, view, noise, memory, sent, execute)
        return heard.memory, heard._replace(memory=(), said=())

    last, heard = jax.lax.scan(step, memory, jax.tree.map(first, (h, view, noise, sent)))

    def back(x: Array) -> Array:
        # What each step gave has lost the time axis in front of its batch.
        place = x.ndim - view.fresh.ndim
        return jnp.moveaxis(x, 0, place) if place >= 0 else x

    content = jnp.moveaxis(heard.content, 0, time)
    sent, log_p, entropy = jax.tree.map(back, (heard.sent, heard.log_p, heard.entropy))
    return Heard(content, sent, log_p, entropy, last, heard.stats)


class Critic(eqx.Module):
    """A value function.

    Attributes:
        encoder: from observations, or the global state, to features.
        head: to one value for each row: of the agent itself, or of each agent from the global state.
        central: looks at the global state.
    """

    encoder: Encoder
    head: Dense
    central: bool = eqx.field(static=True)

    def __call__(self, view: View, memory: Any, sequence: bool = False) -> tuple[PerAgent, Any]:
        """Values of all agents, and the next memory."""
        seen = view.everything if self.central else view.obs
        h, memory = self.encoder(seen, memory, view.fresh, sequence)
        values = self.head(h)
        return (values[:, 0] if self.central else values[0]), memory


class Model(eqx.Module):
    """What PPO optimises: a policy and a value function of one seed."""

    @property
    @abstractmethod
    def rows(self) -> tuple[int, int]:
        """Uniform numbers that an agent needs in a step: for its action, and for its communication (kept)."""

    @property
    def value_unit(self) -> Array | float:
        """What value errors are measured in; its gradient is none of the objective's."""
        return 1.0

    @abstractmethod
    def start(self, agents: int, batch: tuple[int, ...]) -> Memory:
        """The memory before the first step."""

    @abstractmethod
    def act(
        self, view: View, noise: Noise, memory: Any, greedy: bool = False, execute: bool = False
    ) -> tuple[Decision, Any]:
        """Actions with their log-probabilities, and the actor's next memory.

        Args:
            view: what the agents see.
            noise: ``sum(rows)`` uniform numbers for each agent.
            memory: of the actor, from the step before.
            greedy: take the most probable action.
            execute: as after training: messages without regularising noise.
        """

    @abstractmethod
    def value(self, view: View, memory: Any, noise: Noise) -> tuple[PerAgent, Any]:
        """Values, and the critic's next memory; ``noise`` of the communication, for critics that hear it."""

    @abstractmethod
    def evaluate(self, view: View, action: Actions, sent: Any, noise: Noise, memory: Memory) -> Evaluation:
        """Judge a sequence of decisions; the first batch axis is time, ``memory`` is from before it.

        Args:
            view: what the agents saw.
            action: what they did.
            sent: what they sent.
            noise: of the communication.
            memory: of the networks before the first step.
        """


class ActorCritic(Model):
    """Separate networks for the policy and for the value.

    Attributes:
        actor: the policy.
        critic: the value function.
    """

    actor: Actor
    critic: Critic

    @property
    def rows(self) -> tuple[int, int]:
        """The actor's."""
        return self.actor.rows

    def start(self, agents: int, batch: tuple[int, ...]) -> Memory:
        """Zeros."""
        rows = 1 if self.critic.central else agents
        return Memory(self.actor.start(agents, batch), self.critic.encoder.start((rows, *batch)))

    def act(
        self, view: View, noise: Noise, memory: Any, greedy: bool = False, execute: bool = False
    ) -> tuple[Decision, Any]:
        """All agents at once."""
        return self.actor.decide(view, noise, memory, greedy, execute)

    def value(self, view: View, memory: Any, noise: Noise) -> tuple[PerAgent, Any]:
        """The critic's."""
        return self.critic(view, memory)

    def evaluate(self, view: View, action: Actions, sent: Any, noise: Noise, memory: Memory) -> Evaluation:
        """Both networks over the sequence."""
        log_p, entropy, stats = self.actor.judge(view, action, sent, noise, memory.actor)
        value, _ = self.critic(view, memory.critic, sequence=True)
        return Evaluation(log_p, entropy, value, stats)


class PolicyPlayer(Player):
    """The policy of a model, as a player.

    Attributes:
        model: trained; its leaves may have a leading seeds axis.
    """

    model: Model

    def start(self, agents: int, batch: tuple[int, ...]) -> Any:
        """The actor's memory."""
        return self.model.start(agents, batch).actor

    def act(self, key: PRNGKeyArray, view: View, memory: Any, greedy: bool = False) -> tuple[Actions, Any]:
        """Sampled or most probable actions; messages as after training."""
        noise = jax.random.uniform(key, (sum(self.model.rows), *view.alive.shape))
        decision, memory = self.model.act(view, noise, memory, greedy, execute=True)
        return decision.action, memory
