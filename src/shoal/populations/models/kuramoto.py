"""Kuramoto's oscillators in the plane: everybody stays, turns at a frequency of its own, and is pulled by neighbours.

heading' = heading + frequency + turn + noise, frequency ~ Normal(0, 0.1^2): the task of Dec-POMFC (arXiv 2307.06175) in
our constants. With the rule ``couple``, turn = coupling * mean of sin(heading_j - heading_i), which is Kuramoto's model
in steps of one. If everybody sees everybody and there is no noise, order appears at the coupling
sqrt(8 / pi) * spread = 1.596 spread (Kuramoto 1975; Strogatz 2000, Physica D 143, 1-20, section 3).
"""

from __future__ import annotations

from typing import ClassVar, Literal

import jax
from jaxtyping import PRNGKeyArray
from pydantic import Field

from shoal.populations.model import Parameter, Parameters, model, replaced
from shoal.populations.swarms import (
    Action,
    Heading,
    HeadingModel,
    HeadingSettings,
    Observation,
    no_turn,
    random_turn,
    turn_to_mean,
)


def couple(key: PRNGKeyArray, observation: Observation, parameters: Parameters) -> Action:
    """As strongly as the mean sine of the differences."""
    return parameters["coupling"] * observation[..., 1]


class KuramotoSettings(HeadingSettings):
    """Settings of the oscillators."""

    rule: Literal["couple", "align", "random", "still"] = Field("couple", description="What everybody does.")


@model("kuramoto")
class Kuramoto(HeadingModel[KuramotoSettings]):
    """Oscillators at fixed places, coupled to those near (Kuramoto 1975)."""

    schema = KuramotoSettings
    rules: ClassVar = {"couple": couple, "align": turn_to_mean, "random": random_turn, "still": no_turn}
    parameters: ClassVar = {
        **HeadingModel.parameters,
        "coupling": Parameter(0.4, 0.0, 100.0, "pull of the neighbours (of the rule couple)", (0.0, 1.0)),
        "spread": Parameter(0.1, 0.0, 10.0, "deviation of the agents' own frequencies, in radians a step", (0.0, 1.0)),
    }

    def begin(self, key: PRNGKeyArray, population: Heading, parameters: Parameters) -> Heading:
        """Anywhere, looking anywhere, with frequencies."""
        place_key, key = jax.random.split(key)
        frequency = parameters["spread"] * jax.random.normal(key, population.x.shape)
        return replaced(super().begin(place_key, population, parameters), {"frequency": frequency})

    def transition(self, key: PRNGKeyArray, state: Heading, action: Action, parameters: Parameters) -> Heading:
        """Turn on the spot."""
        return replaced(state, {"heading": self.turned(key, state, action, parameters)})
