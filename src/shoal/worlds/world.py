"""The world: what every environment is to learners, seats and viewers.

One rule makes worlds fast without making them ugly to write: **trailing axes are the batch**. A world's author writes
plain code on arrays whose leading axes are the world's own (``x[agents]``, ``obs[agents, features]``), broadcasts, and
reduces over leading axes by number. The same code then runs one world (no trailing axes) or thousands at once (one or
more trailing axes), in the layout in which a processor is fastest: neighbouring worlds lie side by side, so every
operation is one long vector operation. Randomness is drawn for the whole batch from one key. No ``vmap`` is needed.

So: keep coordinates in separate arrays (``x``, ``y``), index leading axes only, and give axes as non-negative numbers.
``shoal.worlds.check`` finds violations: it compares a batch with the same worlds stepped one by one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Generic, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from shoal.worlds.picture import Picture

S = TypeVar("S", bound=eqx.Module)


class Timestep(eqx.Module):
    """What a step gives. Agents are on the first axis of every array; unequal agents are padded and masked.

    Attributes:
        obs: observations; entries beyond an agent's own size, and all of an agent that is not alive, are 0.
        reward: reward of each agent for the step that led here; 0 on reset.
        alive: agents that can act now.
        legal: actions that each agent may take now; an agent that is not alive has action 0 only.
        terminated: the episode ended by the world's rules.
        truncated: the episode ended by its time limit.
        metrics: facts about the step for reports, by name (success, collisions, ...).
    """

    obs: Float[Array, "agents features *batch"]
    reward: Float[Array, "agents *batch"]
    alive: Bool[Array, "agents *batch"]
    legal: Bool[Array, "agents actions *batch"]
    terminated: Bool[Array, "*batch"]
    truncated: Bool[Array, "*batch"]
    metrics: dict[str, Float[Array, "*batch"]]

    @property
    def done(self) -> Bool[Array, "*batch"]:
        """The episode is over, for either reason."""
        return self.terminated | self.truncated


class World(ABC, Generic[S]):
    """An environment of several agents; pure and compilable.

    Subclasses are frozen dataclasses of settings (so they are hashable, and can be static arguments of ``jax.jit``)
    and register themselves with ``@world``.

    Attributes:
        name: as registered.
        horizon: steps after which an episode is truncated.
        random_steps: whether ``step`` draws random numbers; they are drawn for the whole batch, so a batch then
            equals its worlds one by one in distribution only.
    """

    name: str
    horizon: int
    random_steps: ClassVar[bool] = False

    @property
    @abstractmethod
    def agents(self) -> tuple[str, ...]:
        """Names of the agents, in the order of the first axis."""

    @property
    @abstractmethod
    def actions(self) -> tuple[tuple[str, ...], ...]:
        """Names of each agent's actions, in the order of their numbers."""

    @property
    @abstractmethod
    def observation_sizes(self) -> tuple[int, ...]:
        """Length of each agent's own observation, before padding."""

    @abstractmethod
    def reset(self, key: PRNGKeyArray, batch: tuple[int, ...] = ()) -> tuple[S, Timestep]:
        """Begin episodes: one, or a whole batch from one key."""

    @abstractmethod
    def step(self, key: PRNGKeyArray, state: S, actions: Int[Array, "agents *batch"]) -> tuple[S, Timestep]:
        """All agents act at once. Does not reset; see ``shoal.worlds.rollout``.

        Actions of agents that are not alive are ignored. Where actions are continuous, they are
        Float[agents, dims, *batch].
        """

    @abstractmethod
    def describe(self, state: S, agent: int) -> str:
        """The text face: what that agent can observe of a single world (no batch axes), in words.

        Says what the observation says and no more, with the named actions that are legal now.
        """

    @abstractmethod
    def draw(self, state: S) -> Picture:
        """A picture of a single world (no batch axes), as an onlooker sees it."""

    def global_state(self, state: S, timestep: Timestep) -> Float[Array, "features *batch"]:
        """The state for centralised critics: by default all observations, one after the other."""
        obs = timestep.obs
        return obs.reshape(obs.shape[0] * obs.shape[1], *obs.shape[2:])

    @property
    def continuous(self) -> int:
        """Continuous action dimensions of each agent; 0 where actions are numbered.

        Where it is positive, ``actions`` names the dimensions and ``step`` takes Float[agents, dims, *batch].
        """
        return 0

    @property
    def action_range(self) -> tuple[tuple[float, float], ...]:
        """Lowest and highest value of each continuous action dimension; empty where actions are numbered."""
        return ()

    @property
    def agent_count(self) -> int:
        """Number of agents."""
        return len(self.agents)

    @property
    def action_count(self) -> int:
        """Largest number of actions of any agent."""
        return max(len(names) for names in self.actions)

    @property
    def observation_size(self) -> int:
        """Largest observation of any agent."""
        return max(self.observation_sizes)

    def action_mask(self) -> Bool[Array, "agents actions"]:
        """Which action numbers each agent has at all."""
        return jnp.array([[i < len(names) for i in range(self.action_count)] for names in self.actions])

    def __hash__(self) -> int:
        return hash((type(self).__name__, *sorted(vars(self).items())))


def over_batch(mask: Array, like: Array) -> Array:
    """A mask [leading] with trailing axes added so that it broadcasts against ``like`` [leading, ..., *batch]."""
    return mask.reshape(mask.shape + (1,) * (like.ndim - mask.ndim))


def pad_features(parts: list[Any], size: int) -> Float[Array, "agents features *batch"]:
    """Observations of unequal agents, each [features, *batch], padded with zeros to ``size`` and stacked."""
    padded = [jnp.concatenate([p, jnp.zeros((size - p.shape[0], *p.shape[1:]), p.dtype)]) for p in parts]
    return jnp.stack(padded)


def where_done(done: Bool[Array, "*batch"], fresh: Any, current: Any) -> Any:
    """``fresh`` in the worlds that are done, ``current`` in the others, for whole pytrees."""
    return jax.tree.map(lambda a, b: jnp.where(done, a, b), fresh, current)
