"""The SEIRM equations: everybody alike and everybody meets everybody, no chance. The baseline of agent-based models.

    S' = -R / d_I  S I,   E' = R / d_I  S I - E / d_E,   I' = E / d_E - I / d_I,   M' = mortality I / d_I

with shares S, E, I, M of the people and stages of d_E and d_I days (Kermack and McKendrick 1927; the SEIRM baseline of
GradABM). It has the parameters and reports the figures of ``contagion``, and is simulated and calibrated like any
model; only its key decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray
from pydantic import Field

from shoal.populations.model import Facts, Parameters, PopulationModel, PopulationSettings, Substep, replaced
from shoal.populations.models.contagion import Contagion
from shoal.populations.models.epidemic import current

PARTS = 8
"""Parts of a day over which the equations are integrated (midpoint rule)."""


class CompartmentSettings(PopulationSettings):
    """Settings of the equations; ``agents`` is the number of people."""

    exposed_days: float = Field(
        4.0, ge=1, le=60, description="Days from infection to the infectious stage, on average."
    )
    infectious_days: float = Field(6.0, ge=1, le=60, description="Days in the infectious stage, on average.")


class Shares(eqx.Module):
    """Shares of the people.

    Attributes:
        stages: susceptible, exposed, infectious, dead [4].
        day: from 0.
    """

    stages: Float[Array, " 4"]
    day: Int[Array, ""]


class Flow(Substep[Shares]):
    """A day of the equations."""

    exposed_days: float = eqx.field(static=True)
    infectious_days: float = eqx.field(static=True)

    def decide(self, key: PRNGKeyArray, observation: Shares, parameters: Parameters) -> Array:
        """Infections caused by a case on a day, while everybody is susceptible."""
        open_ = 1 - current(parameters["isolation"], observation.day)
        return current(parameters["reproduction"], observation.day) / self.infectious_days * open_**2

    def transition(
        self, key: PRNGKeyArray, state: Shares, decision: Array, parameters: Parameters
    ) -> Mapping[str, Any]:
        """Part by part."""
        mortality = current(parameters["mortality"], state.day)

        def change(stages: Array) -> Array:
            susceptible, exposed, infectious, _ = stages
            caught, ill = decision * susceptible * infectious, exposed / self.exposed_days
            leaving = infectious / self.infectious_days
            return jnp.stack([-caught, caught - ill, ill - leaving, mortality * leaving])

        def part(stages: Array, _: None) -> tuple[Array, None]:
            return stages + change(stages + change(stages) / (2 * PARTS)) / PARTS, None

        return {"stages": jax.lax.scan(part, state.stages, None, PARTS)[0], "day": state.day + 1}


class Compartments(PopulationModel[CompartmentSettings, Shares]):
    """SEIRM equations with the parameters of the agents' contagion."""

    name = "compartments"
    schema = CompartmentSettings
    flows = Contagion.flows
    streams: ClassVar = Contagion.streams
    parameters: ClassVar = Contagion.parameters

    def population(self, seed: int) -> Shares:
        """Everybody susceptible."""
        return Shares(jnp.asarray([1.0, 0.0, 0.0, 0.0]), jnp.zeros((), jnp.int32))

    def begin(self, key: PRNGKeyArray, population: Shares, parameters: Parameters) -> Shares:
        """The first cases, infectious."""
        first = current(parameters["initial"], population.day)
        return replaced(population, {"stages": jnp.stack([1 - first, 0.0 * first, first, 0.0 * first])})

    def substeps(self) -> tuple[Substep[Shares], ...]:
        """One."""
        return (Flow(self.settings.exposed_days, self.settings.infectious_days),)

    def report(self, before: Shares, after: Shares) -> Facts:
        """People infected and dead today, and in each stage."""
        people = 1.0 * self.settings.agents
        susceptible, exposed, infectious, dead = people * after.stages
        return {
            "infections": people * (before.stages[0] - after.stages[0]),
            "deaths": people * (after.stages[3] - before.stages[3]),
            "susceptible": susceptible,
            "exposed": exposed,
            "infectious": infectious,
            "recovered": people * (1 - after.stages.sum()),
            "dead": dead,
        }

    @property
    def bytes_per_agent(self) -> float:
        """None: the people are four numbers."""
        return 0.0
