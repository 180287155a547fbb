"""Action values: networks that estimate them, what they are trained towards, and the player that follows them."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from shoal.marl.categorical import ILLEGAL, best
from shoal.marl.mixers import Mixer
from shoal.marl.networks import Dense, Encoder
from shoal.marl.players import Player, View
from shoal.marl.replay import Sample

Q = Float[Array, "actions agents *batch"]


class QNetwork(eqx.Module):
    """Each agent's own observation to a value for each of its actions.

    Attributes:
        encoder: to features.
        head: from features to values.
    """

    encoder: Encoder
    head: Dense

    def start(self, agents: int, batch: tuple[int, ...]) -> Any:
        """The memory before the first step."""
        return self.encoder.start((agents, *batch))

    def __call__(self, view: View, memory: Any) -> tuple[Q, Any]:
        """Values in a moment, and the next memory."""
        h, memory = self.encoder(view.obs, memory, view.fresh)
        return self.head(h), memory

    def decide(self, key: PRNGKeyArray, view: View, memory: Any, epsilon: Array | float) -> tuple[Array, Any, Q]:
        """Actions [agents, *batch], each random with chance ``epsilon``, the next memory, and the values."""
        q, memory = self(view, memory)
        return explore(key, q, view.legal, epsilon), memory, q

    def sequence(self, view: View, memory: Any) -> tuple[Q, Any]:
        """Values along time (the first batch axis), and the memory after every step [memory, agents, time, *batch].

        Where there is no memory, its empty array only gets the axes of the steps.
        """
        x = view.obs
        net = self.encoder
        if net.cell is None:
            h, _ = net(x, memory, view.fresh)
            return self.head(h), jnp.zeros((0, *x.shape[1:]))
        h, memories = net.through_time(x, memory, view.fresh)
        return self.head(h), memories


class Values(eqx.Module):
    """What is learned: a network, and what mixes its values if the team learns as one.

    Attributes:
        network: each agent's action values.
        mixer: None where every agent learns for itself.
    """

    network: QNetwork
    mixer: Mixer | None = None

    def errors(
        self, target: Values, sample: Sample, discount: float, double: bool, team_reward: bool
    ) -> tuple[Float[Array, "..."], Float[Array, "..."], Float[Array, "..."]]:
        """Temporal-difference errors of a sample, their weights, the values: [agents, time, batch], or [time, batch].

        The weight is 0 for agents that are not alive. Rewards that reach an agent after its death are not its own
        doing here: its value ends with it (the team's goes on through the others).

        Args:
            target: the same with lagging parameters.
            sample: chunks.
            discount: gamma.
            double: the action that is looked ahead to is chosen by ``self`` instead of by ``target``.
            team_reward: each learns from the mean reward of all agents; a mixer always does.
        """
        steps, memory = sample.steps, sample.memory
        q, memories = self.network.sequence(steps.view, memory)
        _, lagging = target.network.sequence(steps.view, memory)
        now = jnp.where(steps.view.alive, of_action(q, steps.action), 0.0)
        q_next, _ = self.network(steps.next, jax.lax.stop_gradient(memories))
        later, _ = target.network(steps.next, lagging)
        ahead = look_ahead(q_next if double else later, later, steps.next.legal)
        ahead = jnp.where(steps.next.alive, ahead, 0.0)
        shared = steps.reward.mean(0)
        if self.mixer is None or target.mixer is None:
            reward = jnp.broadcast_to(shared, steps.reward.shape) if team_reward else steps.reward
            aim = td_target(reward, ahead, steps.terminated, discount)
            return now - jax.lax.stop_gradient(aim), steps.view.alive.astype(jnp.float32), now
        total = self.mixer(now, steps.view.everything)
        aim = td_target(shared, target.mixer(ahead, steps.next.everything), steps.terminated, discount)
        return total - jax.lax.stop_gradient(aim), steps.view.alive.any(0).astype(jnp.float32), total


def of_action(q: Q, action: Int[Array, "agents *batch"]) -> Float[Array, "agents *batch"]:
    """The value of the action that each agent took."""
    number = jnp.arange(q.shape[0]).reshape(-1, *(1,) * action.ndim)
    return jnp.where(action[None] == number, q, 0.0).sum(0)


def look_ahead(chooser: Q, judge: Q, legal: Bool[Array, "actions agents *batch"]) -> Float[Array, "agents *batch"]:
    """The value, by ``judge``, of the legal action that ``chooser`` values most (van Hasselt et al. 2016, eq. 4)."""
    return of_action(judge, greedy(chooser, legal))


def td_target(reward: Array, ahead: Array, terminated: Bool[Array, "*batch"], discount: float) -> Array:
    """Reward plus discounted value of what follows; nothing follows a terminated episode, a truncated one goes on."""
    return reward + discount * jnp.where(terminated, 0.0, ahead)


def greedy(q: Q, legal: Bool[Array, "actions agents *batch"]) -> Int[Array, "agents *batch"]:
    """The legal action of highest value, the first of equals."""
    return best(jnp.where(legal, q, ILLEGAL))


def explore(
    key: PRNGKeyArray, q: Q, legal: Bool[Array, "actions agents *batch"], epsilon: Array | float
) -> Int[Array, "agents *batch"]:
    """The greedy action, or with chance ``epsilon`` a legal one at random, each agent for itself."""
    return stray(key, greedy(q, legal), legal, epsilon)


def stray(
    key: PRNGKeyArray,
    action: Int[Array, "agents *batch"],
    legal: Bool[Array, "actions agents *batch"],
    epsilon: Array | float,
) -> Int[Array, "agents *batch"]:
    """The given actions, or with chance ``epsilon`` a legal one at random, each agent for itself."""
    chance, choice = jax.random.uniform(key, (2, *action.shape))
    rank = jnp.cumsum(legal, axis=0, dtype=jnp.int32)
    chosen = (rank <= jnp.floor(choice * rank[-1]).astype(jnp.int32)).sum(0, dtype=jnp.int32)
    return jnp.where(chance < epsilon, chosen, action)


class GreedyPlayer(Player):
    """Follows action values: a value learner's policy is the greedy one, also where sampling is asked for.

    Attributes:
        network: trained, a ``QNetwork`` or what decides like one; its leaves may have a leading seeds axis.
    """

    network: Any

    def start(self, agents: int, batch: tuple[int, ...]) -> Any:
        """The network's memory."""
        return self.network.start(agents, batch)

    def act(
        self, key: PRNGKeyArray, view: View, memory: Any, greedy: bool = False
    ) -> tuple[Int[Array, "agents *batch"], Any]:
        """The best action of every agent."""
        action, memory, _ = self.network.decide(key, view, memory, 0.0)
        return action, memory
