"""Adapters: a shoal world as a PettingZoo parallel environment, and a PettingZoo environment driven by seats.

Needs the extra ``pettingzoo``. This is the slow way to use a world (one world, one step at a time, through numpy); it
is there so that other libraries' code can run on shoal's worlds, and shoal's seats in other libraries' environments.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Protocol

import gymnasium
import jax
import numpy as np
from numpy.typing import NDArray
from pettingzoo import ParallelEnv

from shoal.errors import InputError
from shoal.worlds.picture import to_pixels
from shoal.worlds.world import World


class ParallelWorld(ParallelEnv):  # type: ignore[misc]
    """A shoal world behind PettingZoo's parallel interface.

    Args:
        world: the world.
        render_mode: "rgb_array" or None.
    """

    def __init__(self, world: World[Any], render_mode: str | None = None) -> None:
        self.world = world
        self.metadata = {"render_modes": ["rgb_array"], "name": f"shoal-{world.name}", "is_parallelizable": True}
        self.render_mode = render_mode
        self.possible_agents = list(world.agents)
        self.agents: list[str] = []
        self._reset = jax.jit(lambda key: world.reset(key))
        self._step = jax.jit(world.step)
        self._key = jax.random.key(0)
        self._state: Any = None
        self._timestep: Any = None

    @functools.cache  # noqa: B019  spaces must be the same object at every call, and environments are few
    def observation_space(self, agent: str) -> gymnasium.Space[Any]:
        """A box of the agent's own observation, without padding."""
        size = self.world.observation_sizes[self._number(agent)]
        return gymnasium.spaces.Box(-np.inf, np.inf, (size,), np.float32)

    @functools.cache  # noqa: B019
    def action_space(self, agent: str) -> gymnasium.Space[Any]:
        """The agent's own actions: a number of choices, or a box where the world is continuous."""
        i = self._number(agent)
        if self.world.continuous:
            low, high = np.array(self.world.action_range, np.float32).T
            return gymnasium.spaces.Box(low, high, dtype=np.float32)
        return gymnasium.spaces.Discrete(len(self.world.actions[i]))

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, NDArray[np.float32]], dict[str, dict[str, Any]]]:
        """Begin an episode; without a seed, the next one of the current stream."""
        self._key, key = jax.random.split(self._key if seed is None else jax.random.key(seed))
        self._state, timestep = self._reset(key)
        self._timestep = timestep
        self.agents = [name for name, alive in zip(self.possible_agents, timestep.alive, strict=True) if alive]
        return self._observations(timestep), self._infos(timestep)

    def step(self, actions: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
        """All living agents act; agents that die or whose episode ends leave ``agents``."""
        self._key, key = jax.random.split(self._key)
        kind = np.float32 if self.world.continuous else np.int32
        shape = (self.world.agent_count, self.world.continuous) if self.world.continuous else (self.world.agent_count,)
        given = np.zeros(shape, kind)
        for name, action in actions.items():
            given[self._number(name)] = action
        self._state, timestep = self._step(key, self._state, given)
        self._timestep = timestep
        acted = self.agents
        alive = dict(zip(self.possible_agents, np.asarray(timestep.alive), strict=True))
        over, late = bool(timestep.terminated), bool(timestep.truncated)
        reward = dict(zip(self.possible_agents, np.asarray(timestep.reward), strict=True))
        observations, infos = self._observations(timestep, acted), self._infos(timestep, acted)
        self.agents = [] if over or late else [name for name in acted if alive[name]]
        return (
            observations,
            {name: float(reward[name]) for name in acted},
            {name: over or not alive[name] for name in acted},
            dict.fromkeys(acted, late and not over),
            infos,
        )

    def render(self) -> NDArray[np.uint8] | None:
        """The world as pixels [height, width, 3]."""
        return to_pixels(self.world.draw(self._state)) if self.render_mode == "rgb_array" else None

    def state(self) -> NDArray[np.float32]:
        """The global state [features]."""
        return np.asarray(self.world.global_state(self._state, self._timestep), np.float32)

    def close(self) -> None:
        """Nothing to give back."""

    def _number(self, agent: str) -> int:
        if agent not in self.possible_agents:
            raise InputError("agent", agent, f"Use one of {', '.join(self.possible_agents)}.")
        return self.possible_agents.index(agent)

    def _observations(self, timestep: Any, agents: list[str] | None = None) -> dict[str, NDArray[np.float32]]:
        obs = np.asarray(timestep.obs, np.float32)
        sizes = self.world.observation_sizes
        return {a: obs[i, : sizes[i]] for a in agents or self.agents for i in (self._number(a),)}

    def _infos(self, timestep: Any, agents: list[str] | None = None) -> dict[str, dict[str, Any]]:
        if self.world.continuous:
            return {a: {} for a in agents or self.agents}
        legal = np.asarray(timestep.legal)
        return {
            a: {"action_mask": legal[i, : len(self.world.actions[i])].astype(np.int8)}
            for a in agents or self.agents
            for i in (self._number(a),)
        }


class Chooser(Protocol):
    """A seat of a PettingZoo environment: an observation in, an action out."""

    def __call__(self, observation: Any, info: Mapping[str, Any]) -> Any:
        """The action for that observation; ``info`` may hold an action mask."""
        ...


def play_episode(env: ParallelEnv, seats: Mapping[str, Chooser], seed: int = 0, most: int = 10_000) -> dict[str, float]:
    """Run one episode of a PettingZoo parallel environment with a seat for each agent; returns their returns.

    Raises:
        InputError: an agent has no seat, or the episode does not end within ``most`` steps.
    """
    observations, infos = env.reset(seed=seed)
    totals = dict.fromkeys(env.possible_agents, 0.0)
    for agent in env.agents:
        if agent not in seats:
            raise InputError("seats", agent, f"Give a seat for each of {', '.join(env.possible_agents)}.")
    for _ in range(most):
        if not env.agents:
            return totals
        actions = {agent: seats[agent](observations[agent], infos.get(agent, {})) for agent in env.agents}
        observations, rewards, _, _, infos = env.step(actions)
        for agent, reward in rewards.items():
            totals[agent] += float(reward)
    raise InputError("episode", most, "The environment never ends; give a larger limit or an environment that does.")
