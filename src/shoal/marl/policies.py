"""Policies outside training: a trained player with numpy in and out.

.. code-block:: python

    policy = load("runs/spread")
    action = policy.act(obs)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, overload

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.errors import InputError
from shoal.marl.checkpoints import read
from shoal.marl.players import Player, View
from shoal.worlds import World


class Policy:
    """What a player does in a world, one call at a time. Arrays are as the world's: trailing axes are the batch.

    Args:
        player: trained; parameters of one seed.
        world: that it acts in; says how observations and actions look.
    """

    def __init__(self, player: Player, world: World[Any]) -> None:
        self.player = player
        self.world = world
        self._act = jax.jit(_act, static_argnames="greedy")

    def memory(self, batch: tuple[int, ...] = ()) -> Any:
        """The memory before the first step of an episode, for one world or a batch."""
        return self.player.start(self.world.agent_count, batch)

    @overload
    def act(
        self,
        obs: ArrayLike,
        memory: None = None,
        *,
        legal: ArrayLike | None = None,
        alive: ArrayLike | None = None,
        seed: int | None = None,
    ) -> NDArray[Any]: ...

    @overload
    def act(
        self,
        obs: ArrayLike,
        memory: Any,
        *,
        legal: ArrayLike | None = None,
        alive: ArrayLike | None = None,
        seed: int | None = None,
    ) -> tuple[NDArray[Any], Any]: ...

    def act(
        self,
        obs: ArrayLike,
        memory: Any = None,
        *,
        legal: ArrayLike | None = None,
        alive: ArrayLike | None = None,
        seed: int | None = None,
    ) -> Any:
        """Every agent's action.

        Args:
            obs: observations [agents, features], or [agents, features, *batch] for a batch of worlds.
            memory: what ``memory`` or the last call gave; without it the call is the first of an episode.
            legal: actions that may be taken [agents, actions, *batch]; all that an agent has if left out.
            alive: agents that can act [agents, *batch]; all if left out.
            seed: sample with this seed; without it the best action is taken.

        Returns actions [agents, *batch] (values [agents, dims, *batch] where they are continuous), and the next memory
        if one was given.

        Raises:
            InputError: an array of the wrong shape.
        """
        x = np.asarray(obs, np.float32)
        agents, size = self.world.agent_count, self.world.observation_size
        if x.shape[:2] != (agents, size):
            raise InputError("obs", x.shape, f"Give [{agents} agents, {size} features], then the batch if any.")
        batch = x.shape[2:]
        view = View(
            obs=jnp.swapaxes(jnp.asarray(x), 0, 1),
            state=jnp.zeros((0, *batch)),
            alive=self._mask("alive", alive, (agents, *batch), None),
            legal=jnp.swapaxes(self._legal(legal, batch), 0, 1),
            fresh=jnp.full(batch, memory is None),
        )
        start = self.memory(batch) if memory is None else memory
        key = jax.random.key(0 if seed is None else seed)
        action, after = self._act(self.player, key, view, start, greedy=seed is None)
        taken: NDArray[Any] = np.asarray(action)
        return taken if memory is None else (taken, after)

    def _legal(self, legal: ArrayLike | None, batch: tuple[int, ...]) -> jax.Array:
        shape = (self.world.agent_count, self.world.action_count, *batch)
        own = np.asarray(self.world.action_mask()).reshape(shape[:2] + (1,) * len(batch))
        return self._mask("legal", legal, shape, own)

    def _mask(
        self, name: str, given: ArrayLike | None, shape: tuple[int, ...], default: NDArray[np.bool_] | None
    ) -> jax.Array:
        if given is None:
            return jnp.broadcast_to(jnp.asarray(True if default is None else default), shape)
        mask = np.asarray(given, bool)
        if mask.shape != shape:
            raise InputError(name, mask.shape, f"Give the shape {shape}.")
        if name == "legal" and not mask.any(axis=1).all():
            raise InputError(name, "an agent without a legal action", "Allow every agent at least one action.")
        return jnp.asarray(mask)


def _act(player: Player, key: Any, view: View, memory: Any, greedy: bool) -> tuple[jax.Array, Any]:
    return player.act(key, view, memory, greedy)


def load(path: Path | str, world: World[Any] | None = None, seed: int | None = None) -> Policy:
    """The policy in a checkpoint.

    Args:
        path: folder of the checkpoint, or of a training, of which the latest is taken.
        world: the world it is wanted for; another is refused.
        seed: which of the trained seeds; the first if left out.

    Raises:
        InputError: no usable checkpoint, another world or version, or a seed that was not trained.
    """
    checkpoint = read(path, world)
    if seed is not None and seed not in checkpoint.seeds:
        raise InputError("seed", seed, f"The checkpoint has {', '.join(map(str, checkpoint.seeds))}.")
    index = 0 if seed is None else checkpoint.seeds.index(seed)
    players = checkpoint.learner.player(checkpoint.state())
    return Policy(jax.tree.map(lambda x: x[index], players), checkpoint.world)
