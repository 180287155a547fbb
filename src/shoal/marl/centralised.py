"""One network that sees all observations and acts for everybody: the upper bound of methods that communicate.

Algorithm and settings are HAMMER's without messages (PPO on standardised Monte-Carlo returns). The policy factorises
over agents given everything; each factor is trained with its own agent's advantage.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray
from pydantic import Field

from shoal.marl.actors import Actor, Critic, Heard, Noise
from shoal.marl.learner import learner
from shoal.marl.monte_carlo import MonteCarloPPO, MonteCarloSettings
from shoal.marl.networks import Activation, dense, encoder
from shoal.marl.players import View
from shoal.worlds import World


class CentralisedSettings(MonteCarloSettings):
    """Settings of the central controller."""

    critic_hidden: tuple[int, ...] = Field((64, 32), min_length=1, description="Widths of the critic's dense layers.")
    activation: Activation = Field("relu", description="After every dense layer.")


class Controller(Actor):
    """A policy of all agents in one network: its head has the outputs of every agent."""

    def start(self, agents: int, batch: tuple[int, ...]) -> tuple[Any, Any]:
        """One memory for the team."""
        return self.encoder.start((1, *batch)), ()

    def outputs(
        self,
        view: View,
        memory: tuple[Any, Any],
        noise: Noise,
        sent: Any = None,
        sequence: bool = False,
        execute: bool = False,
    ) -> tuple[Float[Array, "outputs agents *batch"], tuple[Any, Any], Heard | None]:
        """Everything in, all agents' outputs out."""
        obs = view.obs
        everything = obs.reshape(obs.shape[0] * obs.shape[1], 1, *obs.shape[2:])
        h, carried = self.encoder(everything, memory[0], view.fresh, sequence)
        out = self.head(h)
        agents = obs.shape[1]
        return out.reshape(out.shape[0] // agents, agents, *obs.shape[2:]), (carried, ()), None


@learner("centralised")
class Centralised(MonteCarloPPO[CentralisedSettings]):
    """PPO of one controller for the whole team."""

    schema = CentralisedSettings

    def actor(self, key: PRNGKeyArray, world: World[Any]) -> Actor:
        """All observations to all actions."""
        s, n = self.settings, world.agent_count
        body_key, head_key = jax.random.split(key)
        body = encoder(body_key, n * world.observation_size, s.hidden, self._memory, s.activation)
        head = dense(head_key, body.width, n * (world.continuous or world.action_count), 0.01)
        if not world.continuous:
            return Controller(body, head)
        return Controller(body, head, None, jnp.full(world.continuous, math.log(s.action_std)), s.learn_std)

    def critic(self, key: PRNGKeyArray, world: World[Any]) -> Critic:
        """All observations to one value for each agent."""
        s, n = self.settings, world.agent_count
        body_key, head_key = jax.random.split(key)
        body = encoder(body_key, n * world.observation_size, s.critic_hidden, self._memory, s.activation)
        return Critic(body, dense(head_key, body.width, n, 1.0), central=True)

    @property
    def _memory(self) -> int | None:
        return self.settings.memory if self.settings.recurrent else None
