"""Actors and critics: what a policy-gradient learner optimises.

An actor is encoder -> communication (optional) -> head. A model bundles actor and critic behind four methods, so that a
method with another structure (an autoregressive policy, say) replaces the model and keeps the rest of the PPO core.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from shoal.marl import categorical
from shoal.marl.networks import Dense, Encoder
from shoal.marl.players import Player, View

Hidden = Float[Array, "hidden agents *batch"]
PerAgent = Float[Array, "agents *batch"]

Communication = Callable[
    [Hidden, Bool[Array, "agents *batch"], PRNGKeyArray], tuple[Float[Array, "message agents *batch"], dict[str, Array]]
]
"""``comm(h, mask, key) -> (c, stats)``: what each agent gathers from the others (an equinox module of arrays).

``h`` are all agents' features, ``mask`` the agents that are alive, ``c`` goes to the head beside ``h``. ``stats`` are
figures for the metrics, scalars or [*batch]; one of the name ``loss`` is added to the objective.
"""


class Memory(NamedTuple):
    """What recurrent networks carry from step to step; empty arrays where they are feed-forward."""

    actor: Any
    critic: Any


class Evaluation(NamedTuple):
    """A model's judgement of actions that were taken.

    Attributes:
        log_p: log-probability of the actions.
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
        head: from features (and what was communicated) to logits.
        comm: the communication between encoder and head, or None.
    """

    encoder: Encoder
    head: Dense
    comm: Any = None

    def __call__(
        self, view: View, memory: Any, key: PRNGKeyArray, sequence: bool = False
    ) -> tuple[categorical.Logits, Any, dict[str, Array]]:
        """Log-probabilities of all actions, the next memory, and figures of the communication."""
        h, memory = self.encoder(view.obs, memory, view.fresh, sequence)
        stats: dict[str, Array] = {}
        if self.comm is not None:
            heard, stats = self.comm(h, view.alive, key)
            h = jnp.concatenate([h, heard])
        return categorical.log_probabilities(self.head(h), view.legal), memory, stats


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

    @abstractmethod
    def start(self, agents: int, batch: tuple[int, ...]) -> Memory:
        """The memory before the first step."""

    @abstractmethod
    def act(
        self, view: View, noise: Float[Array, "agents *batch"], key: PRNGKeyArray, memory: Any, greedy: bool = False
    ) -> tuple[Int[Array, "agents *batch"], PerAgent, Any]:
        """Actions, their log-probabilities, and the actor's next memory.

        Args:
            view: what the agents see.
            noise: uniform in [0, 1), decides each agent's sample.
            key: randomness of the communication.
            memory: of the actor, from the step before.
            greedy: take the most probable action.
        """

    @abstractmethod
    def value(self, view: View, memory: Any) -> tuple[PerAgent, Any]:
        """Values, and the critic's next memory."""

    @abstractmethod
    def evaluate(
        self, view: View, action: Int[Array, "agents time *batch"], key: PRNGKeyArray, memory: Memory
    ) -> Evaluation:
        """Judge a sequence of actions; the first batch axis is time, ``memory`` is from before it."""


class ActorCritic(Model):
    """Separate networks for the policy and for the value.

    Attributes:
        actor: the policy.
        critic: the value function.
    """

    actor: Actor
    critic: Critic

    def start(self, agents: int, batch: tuple[int, ...]) -> Memory:
        """Zeros."""
        rows = 1 if self.critic.central else agents
        return Memory(self.actor.encoder.start((agents, *batch)), self.critic.encoder.start((rows, *batch)))

    def act(
        self, view: View, noise: Float[Array, "agents *batch"], key: PRNGKeyArray, memory: Any, greedy: bool = False
    ) -> tuple[Int[Array, "agents *batch"], PerAgent, Any]:
        """All agents at once."""
        log_p, memory, _ = self.actor(view, memory, key)
        action = categorical.best(log_p) if greedy else categorical.sample(log_p, noise)
        return action, categorical.log_probability(log_p, action), memory

    def value(self, view: View, memory: Any) -> tuple[PerAgent, Any]:
        """The critic's."""
        return self.critic(view, memory)

    def evaluate(
        self, view: View, action: Int[Array, "agents time *batch"], key: PRNGKeyArray, memory: Memory
    ) -> Evaluation:
        """Both networks over the sequence."""
        log_p, _, stats = self.actor(view, memory.actor, key, sequence=True)
        value, _ = self.critic(view, memory.critic, sequence=True)
        return Evaluation(categorical.log_probability(log_p, action), categorical.entropy(log_p), value, stats)


class PolicyPlayer(Player):
    """The policy of a model, as a player.

    Attributes:
        model: trained; its leaves may have a leading seeds axis.
    """

    model: Model

    def start(self, agents: int, batch: tuple[int, ...]) -> Any:
        """The actor's memory."""
        return self.model.start(agents, batch).actor

    def act(
        self, key: PRNGKeyArray, view: View, memory: Any, greedy: bool = False
    ) -> tuple[Int[Array, "agents *batch"], Any]:
        """Sampled or most probable actions."""
        noise_key, comm_key = jax.random.split(key)
        noise = jax.random.uniform(noise_key, view.alive.shape)
        action, _, memory = self.model.act(view, noise, comm_key, memory, greedy)
        return action, memory
