"""Aggregation: a swarm in a square that gathers, each agent seeing roughly where its neighbours are.

p' = p + 0.2 u / max(1, |u|) + 0.02 noise, u in [-1, 1]^2, kept inside the square: the task of Dec-POMFC (arXiv
2307.06175) in our constants. An agent sees the vector to the mean of those within 1.5, with an error. The reward is
minus the mean distance of pairs. With a radius of 0.75 the swarm breaks into clumps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from numpy.typing import NDArray
from pydantic import Field

from shoal.populations.model import Facts, Parameter, Parameters, model
from shoal.populations.space import DENSE, neighbour_sums
from shoal.populations.swarms import SHOWN, Action, Observation, Swarm, SwarmModel, SwarmSettings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STRIDE = 0.2


class Gathering(Swarm):
    """Where the agents are, and how wrong they will see.

    Attributes:
        error: of what each sees now, for both coordinates.
    """

    error: Float[Array, "agents 2"]


def to_mean(key: PRNGKeyArray, observation: Observation, parameters: Parameters) -> Action:
    """To the mean of the neighbours: exactly where a stride is enough, else a stride that way."""
    far = jnp.sqrt((observation**2).sum(-1, keepdims=True) + 1e-16)
    return observation / jnp.maximum(far, STRIDE)


def anywhere(key: PRNGKeyArray, observation: Observation, parameters: Parameters) -> Action:
    """Any action."""
    return jax.random.uniform(key, observation.shape, minval=-1.0, maxval=1.0)


def still(key: PRNGKeyArray, observation: Observation, parameters: Parameters) -> Action:
    """Stay."""
    return jnp.zeros_like(observation)


class AggregationSettings(SwarmSettings):
    """Settings of the gathering."""

    radius: float = Field(1.5, ge=0, lt=1e6, description="How far an agent sees.")
    walls: bool = Field(True, description="Nobody leaves the square; otherwise agents only begin in it.")
    rule: Literal["gather", "random", "still"] = Field("gather", description="What everybody does.")


@model("aggregation")
class Aggregation(SwarmModel[AggregationSettings, Gathering]):
    """A swarm that gathers by moving to the mean of those near."""

    schema = AggregationSettings
    torus = False
    action = (2,)
    rules: ClassVar = {"gather": to_mean, "random": anywhere, "still": still}
    parameters: ClassVar = {
        "noise": Parameter(0.02, 0.0, 10.0, "deviation of a step's noise, each coordinate", (0.0, 0.2)),
        "blur": Parameter(0.02, 0.0, 10.0, "deviation of the error of what is seen, each coordinate", (0.0, 0.5)),
    }

    def population(self, seed: int) -> Gathering:
        """Agents anywhere in the square."""
        x, y = np.random.default_rng(seed).random((2, self.settings.agents), np.float32) * np.float32(self.square.side)
        return Gathering(jnp.asarray(x), jnp.asarray(y), jnp.zeros((self.settings.agents, 2)))

    def begin(self, key: PRNGKeyArray, population: Gathering, parameters: Parameters) -> Gathering:
        """Elsewhere in every run."""
        place_key, error_key = jax.random.split(key)
        x, y = self.square.side * jax.random.uniform(place_key, (2, self.settings.agents))
        return Gathering(x, y, self._error(error_key, parameters))

    def observe(self, state: Gathering) -> Observation:
        """The vector to the mean of the neighbours, with the error; zeros where nobody is near."""
        values = jnp.stack([state.x, state.y, jnp.ones_like(state.x)])
        x, y, number = neighbour_sums(self.square, self.settings.radius, state.x, state.y, values)
        alone, number = number == 0, jnp.maximum(number, 1.0)
        seen = jnp.stack([x / number - state.x, y / number - state.y], axis=-1) + state.error
        return jnp.where(alone[:, None], 0.0, seen)

    def transition(self, key: PRNGKeyArray, state: Gathering, action: Action, parameters: Parameters) -> Gathering:
        """A stride at most, and noise; the next look's error is drawn with it."""
        move_key, error_key = jax.random.split(key)
        action = jnp.clip(action, -1.0, 1.0)
        length = jnp.sqrt((action**2).sum(-1, keepdims=True) + 1e-16)
        noise = parameters["noise"] * jax.random.normal(move_key, action.shape)
        step = STRIDE * action / jnp.maximum(length, 1.0) + noise
        inside = self.square.inside if self.settings.walls else lambda c: c
        return Gathering(inside(state.x + step[:, 0]), inside(state.y + step[:, 1]), self._error(error_key, parameters))

    def reward(self, state: Gathering) -> Float[Array, ""]:
        """Minus the mean distance of pairs, of the first DENSE agents; 0 for one agent alone."""
        dx, dy = (c[:DENSE, None] - c[None, :DENSE] for c in (state.x, state.y))
        square = dx * dx + dy * dy
        # The root has no slope at 0, where each agent meets itself.
        distance = jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1.0)), 0.0)
        n = square.shape[0]
        return -distance.sum() / max(n * (n - 1), 1)

    def report(self, before: Gathering, after: Gathering) -> Facts:
        """The mean distance of pairs, the mean number of neighbours, and some agents for the picture."""
        shown = jnp.stack([after.x[:SHOWN], after.y[:SHOWN]], axis=-1)
        return {"distance": -self.reward(after), "neighbours": self.neighbours(after), "shown": shown}

    def figures(self, series: Mapping[str, NDArray[np.float64]]) -> Mapping[str, Figure]:
        """Some agents at four times of the first run."""
        from shoal.populations.pictures import swarm

        return {"swarm": swarm(series["shown"][0], self.square.side)}

    def _error(self, key: PRNGKeyArray, parameters: Parameters) -> Array:
        return parameters["blur"] * jax.random.normal(key, (self.settings.agents, 2))
