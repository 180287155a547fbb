"""Trained policies as actors of swarms, whatever their size."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from shoal.marl.players import Player, view
from shoal.populations.mean_field.worlds import SwarmState, SwarmWorld
from shoal.worlds import Timestep


class Learned(eqx.Module):
    """The policies of several seeds, each in swarms of its own: worlds [seeds, swarms].

    Attributes:
        players: parameters [seeds, ...]; without a memory.
        world: that they act in; of the kind that they were trained in.
        greedy: they take their mean action.
    """

    players: Player
    world: SwarmWorld = eqx.field(static=True)
    greedy: bool = eqx.field(static=True)

    def act(self, key: PRNGKeyArray, state: SwarmState, timestep: Timestep) -> Array:
        """Everybody's action."""
        batch = state.time.shape
        seen = view(self.world, state, timestep, jnp.zeros(batch, bool))
        memory = self.players.start(self.world.agent_count, batch)
        act: Any = jax.vmap(lambda p, k, v, m: p.act(k, v, m, self.greedy)[0], (0, 0, -2, -2), -2)
        chosen: Array = act(self.players, jax.random.split(key, batch[0]), seen, memory)
        return chosen
