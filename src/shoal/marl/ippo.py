"""IPPO: every agent learns with PPO on its own observations (de Witt et al. 2020, arXiv 2011.09533).

Actor and critic of an agent see that agent's observation only; parameters are shared by default.

Departures from the paper: no value normalisation; values are clipped only if ``value_clip`` is set. With
``value_clip=0.2, clip_apart=False`` the settings are those of JaxMARL's feed-forward IPPO for particle worlds.
"""

from __future__ import annotations

from typing import Any

import jax
from jaxtyping import PRNGKeyArray

from shoal.marl.actors import Critic
from shoal.marl.learner import learner
from shoal.marl.networks import dense
from shoal.marl.ppo import ActorCriticPPO, PPOSettings
from shoal.worlds import World


class IPPOSettings(PPOSettings):
    """Nothing of its own."""


@learner("ippo")
class IPPO(ActorCriticPPO[IPPOSettings]):
    """Independent PPO."""

    schema = IPPOSettings

    def critic(self, key: PRNGKeyArray, world: World[Any]) -> Critic:
        """Each agent's own observation to its own value."""
        body_key, head_key = jax.random.split(key)
        body = self.encoder(body_key, world, world.observation_size)
        separate = None if self.settings.shared else world.agent_count
        return Critic(body, dense(head_key, body.width, 1, 1.0, separate), central=False)
