"""Vicsek's swarm: everybody moves on at the same speed and turns, on a torus.

p' = p + 0.1 (cos heading, sin heading), heading' = heading + turn + noise, |turn| <= 0.4: the task of Dec-POMFC (arXiv
2307.06175) in our constants. It differs from Vicsek et al. 1995 (Phys. Rev. Lett. 75, 1226) in that a turn is limited,
the noise is normal, and an agent does not count itself among its neighbours.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import jax.numpy as jnp
from jaxtyping import PRNGKeyArray
from pydantic import Field

from shoal.populations.model import Parameters, model, replaced
from shoal.populations.swarms import (
    Action,
    Heading,
    HeadingModel,
    HeadingSettings,
    no_turn,
    random_turn,
    turn_to_mean,
)


class VicsekSettings(HeadingSettings):
    """Settings of the swarm."""

    rule: Literal["align", "random", "straight"] = Field("align", description="What everybody does.")
    speed: float = Field(0.1, ge=0, lt=1e3, description="Way in a step.")


@model("vicsek")
class Vicsek(HeadingModel[VicsekSettings]):
    """A flock: moving agents turn to the mean heading of their neighbours (Vicsek 1995)."""

    schema = VicsekSettings
    rules: ClassVar = {"align": turn_to_mean, "random": random_turn, "straight": no_turn}

    def transition(self, key: PRNGKeyArray, state: Heading, action: Action, parameters: Parameters) -> Heading:
        """Move along the old heading, then turn."""
        speed, inside = self.settings.speed, self.square.inside
        return replaced(
            state,
            {
                "x": inside(state.x + speed * jnp.cos(state.heading)),
                "y": inside(state.y + speed * jnp.sin(state.heading)),
                "heading": self.turned(key, state, action, parameters),
            },
        )
