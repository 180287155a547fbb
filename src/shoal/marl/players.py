"""Players: what acts in a world, inside compiled loops. Trained networks, scripted rules and chance have one face."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from shoal.worlds import Timestep, World

Actions = Int[Array, "agents *batch"] | Float[Array, "agents dims *batch"]
"""As worlds take them: a number for each agent, or values where actions are continuous."""


class View(eqx.Module):
    """What networks see of one moment: the timestep with features first, agents second, the batch last.

    Attributes:
        obs: observations, padded with zeros.
        state: the world's global state for central critics; no features where it is just all observations, or unused.
        alive: agents that can act.
        legal: actions that each may take.
        fresh: the moment is the first of an episode, so memories are to be forgotten.
    """

    obs: Float[Array, "features agents *batch"]
    state: Float[Array, "state *batch"]
    alive: Bool[Array, "agents *batch"]
    legal: Bool[Array, "actions agents *batch"]
    fresh: Bool[Array, "*batch"]

    @property
    def everything(self) -> Float[Array, "state 1 *batch"]:
        """The global state with an agents axis of 1: the world's own, or else all observations."""
        if self.state.shape[0]:
            return self.state[:, None]
        return self.obs.reshape(self.obs.shape[0] * self.obs.shape[1], 1, *self.obs.shape[2:])


def view(
    world: World[Any], state: Any, timestep: Timestep, fresh: Bool[Array, "*batch"], central: bool = False
) -> View:
    """The view of a moment.

    Args:
        world: the world.
        state: its state.
        timestep: what it shows.
        fresh: where an episode begins.
        central: a central critic looks, so the world's own global state is wanted if it defines one.
    """
    whole = jnp.zeros((0, *fresh.shape))
    if central and type(world).global_state is not World.global_state:
        whole = world.global_state(state, timestep).astype(jnp.float32)
    obs, legal = jnp.swapaxes(timestep.obs, 0, 1).astype(jnp.float32), jnp.swapaxes(timestep.legal, 0, 1)
    return View(obs, whole, timestep.alive, legal, fresh)


def central_size(world: World[Any]) -> int:
    """Features of ``View.everything`` for a world."""
    state, timestep = jax.eval_shape(lambda: world.reset(jax.random.key(0)))
    if type(world).global_state is World.global_state:
        return world.agent_count * world.observation_size
    return int(jax.eval_shape(world.global_state, state, timestep).shape[0])


class Player(eqx.Module):
    """Acts for all agents of a world. Its array leaves may have a leading seeds axis, over which callers ``vmap``."""

    @property
    def central(self) -> bool:
        """It must be shown the world's own global state."""
        return False

    @abstractmethod
    def start(self, agents: int, batch: tuple[int, ...]) -> Any:
        """The memory before the first step; of that many agents in a batch of worlds."""

    @abstractmethod
    def act(self, key: PRNGKeyArray, view: View, memory: Any, greedy: bool = False) -> tuple[Actions, Any]:
        """Every agent's action and the next memory.

        Args:
            key: randomness.
            view: what the agents see. Each agent's action depends on its own row, unless the player communicates.
            memory: of the step before.
            greedy: take the best action instead of a sampled one.
        """


class RandomPlayer(Player):
    """A legal action, each with equal chance; continuous ones uniform in their range.

    Attributes:
        action_range: lowest and highest value of each dimension, as the world's; empty where actions are numbered.
    """

    action_range: tuple[tuple[float, float], ...] = eqx.field(static=True, default=())

    def start(self, agents: int, batch: tuple[int, ...]) -> Any:
        """Nothing to remember."""
        return ()

    def act(self, key: PRNGKeyArray, view: View, memory: Any, greedy: bool = False) -> tuple[Actions, Any]:
        """Chance among the legal actions, also when greedy."""
        if self.action_range:
            shape = (view.alive.shape[0], len(self.action_range), *view.fresh.shape)
            low, high = (
                jnp.array(ends).reshape(-1, *(1,) * view.fresh.ndim) for ends in zip(*self.action_range, strict=True)
            )
            return jax.random.uniform(key, shape) * (high - low) + low, memory
        noise = jax.random.uniform(key, view.legal.shape)
        return jnp.argmax(jnp.where(view.legal, noise, -1.0), axis=0).astype(jnp.int32), memory


class RulePlayer(Player):
    """A plain function of the view.

    Attributes:
        rule: takes a key and the view, returns every agent's action [agents, *batch].
    """

    rule: Callable[[PRNGKeyArray, View], Actions] = eqx.field(static=True)

    def start(self, agents: int, batch: tuple[int, ...]) -> Any:
        """Nothing to remember."""
        return ()

    def act(self, key: PRNGKeyArray, view: View, memory: Any, greedy: bool = False) -> tuple[Actions, Any]:
        """What the rule says."""
        return self.rule(key, view), memory


class Seats(Player):
    """Different players in different seats of one world.

    Attributes:
        players: each player once.
        seat: which of them sits in each agent's place.
    """

    players: tuple[Player, ...]
    seat: tuple[int, ...] = eqx.field(static=True)

    @property
    def central(self) -> bool:
        """One of the players must."""
        return any(player.central for player in self.players)

    def start(self, agents: int, batch: tuple[int, ...]) -> Any:
        """Each player's own memory."""
        return tuple(player.start(agents, batch) for player in self.players)

    def act(self, key: PRNGKeyArray, view: View, memory: Any, greedy: bool = False) -> tuple[Actions, Any]:
        """Every player decides for all agents; each agent does what its own player decided."""
        keys = jax.random.split(key, len(self.players))
        decided = [p.act(k, view, m, greedy) for p, k, m in zip(self.players, keys, memory, strict=True)]
        actions = jnp.stack([decided[chosen][0][agent] for agent, chosen in enumerate(self.seat)])
        return actions, tuple(m for _, m in decided)
