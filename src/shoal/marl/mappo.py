"""MAPPO: PPO with a critic that sees everything while training (Yu et al. 2022, arXiv 2103.01955).

The critic reads the world's global state (all observations unless the world says otherwise) once for each world and has
one output for each agent; actors see their own observations only, so execution stays decentralised.

Departures from the paper: one output for each agent instead of one row of input for each agent (the same function class
where rewards are shared, at a third of the cost with three agents); no value normalisation; values are clipped only if
``value_clip`` is set.
"""

from __future__ import annotations

from typing import Any

import jax
from jaxtyping import PRNGKeyArray

from shoal.marl.actors import Critic
from shoal.marl.learner import learner
from shoal.marl.networks import dense
from shoal.marl.players import central_size
from shoal.marl.ppo import ActorCriticPPO, PPOSettings
from shoal.worlds import World


class MAPPOSettings(PPOSettings):
    """Nothing of its own."""


@learner("mappo")
class MAPPO(ActorCriticPPO[MAPPOSettings]):
    """PPO with a central critic."""

    schema = MAPPOSettings

    @property
    def central(self) -> bool:
        """Yes."""
        return True

    def critic(self, key: PRNGKeyArray, world: World[Any]) -> Critic:
        """The global state to one value for each agent."""
        body_key, head_key = jax.random.split(key)
        body = self.encoder(body_key, world, central_size(world), rows=1)
        return Critic(body, dense(head_key, body.width, world.agent_count, 1.0), central=True)
