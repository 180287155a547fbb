"""Settings of the agenttorch study, the names of its variants, and the made-up city that its experiments share."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from shoal.runs.study import StudyConfig

if TYPE_CHECKING:
    from shoal.populations import PopulationModel
    from shoal.populations.archetypes import Archetypes, People
    from shoal.populations.behaviour import Behaviour

WEEK = 7
ARCHETYPES, HEURISTIC, AGENTS, ORACLE = "archetypes", "heuristic", "300 agents", "oracle"
DEMOGRAPHICS, DISEASE, POLL = "archetypes, told nothing", "archetypes, told cases", "one archetype"
ARMS = (ARCHETYPES, HEURISTIC, AGENTS, ORACLE, DEMOGRAPHICS, DISEASE, POLL)
PAYMENTS = ((4, 8), (12, 16))
"""Weeks with a payment, last ones excluded: one spell to learn from, one held out."""


class Config(StudyConfig):
    """Settings of the agenttorch study."""

    agents: int = Field(6_000, ge=1000, le=10_000_000, description="people of the city")
    train_weeks: int = Field(10, ge=4, le=100, description="weeks that models are fitted to")
    held_weeks: int = Field(8, ge=2, le=100, description="weeks that they forecast")
    calls: int = Field(24, ge=8, le=100_000, description="simulator runs of each calibration")
    runs: int = Field(6, ge=2, le=1000, description="runs of each forecast")
    budget: int = Field(300, ge=100, le=100_000, description="queries of each weekly decision")
    bias: float = Field(0.2, ge=-5, le=5, description="caution of the scripted model above the truth, in logits")
    noise: float = Field(0.4, ge=0, le=5, description="its deviation between kinds of people, in logits")
    recovery_agents: int = Field(20_000, ge=1000, le=10_000_000, description="people where a weekly R is recovered")
    recovery_weeks: int = Field(5, ge=2, le=52, description="weeks of that R")
    recovery_calls: int = Field(50, ge=5, le=10_000, description="steps of its search")
    repeats: int = Field(16, ge=4, le=1000, description="runs that a variance is taken over")
    language_samples: int = Field(2, ge=1, le=100, description="answers of the language model for each prompt")

    @property
    def weeks(self) -> int:
        """All weeks."""
        return self.train_weeks + self.held_weeks

    @property
    def payments(self) -> list[float]:
        """Whether there is a payment in each week."""
        paid = [any(first <= week < last for first, last in PAYMENTS) for week in range(self.weeks)]
        return [float(x) for x in paid]


class City:
    """People, their archetypes and the behaviours that decide for them; made once, shared by all seeds.

    Seeds differ in what chance decides and in planted numbers: another city for each would be compiled anew.
    """

    def __init__(self, agents: int, estimator: str = "hits") -> None:
        from shoal.populations import make_model
        from shoal.populations.archetypes import people_of

        self.model: PopulationModel[Any, Any] = make_model("epidemic", agents=agents, estimator=estimator)
        self.population = self.model.population(0)
        self.people: People = people_of(self.model, self.population)
        self.archetypes: Archetypes = self.people.archetypes(self.population)

    @property
    def group(self) -> NDArray[np.int64]:
        """Archetype of each person."""
        return self.archetypes.group

    def deciding(self, behaviour: Behaviour, group: NDArray[np.int64] | None = None, draws: Any = "own") -> Any:
        """The population with that behaviour of its archetypes (or of other groups)."""
        from shoal.populations.behaviour import with_behaviour

        return with_behaviour(self.population, behaviour, self.group if group is None else group, draws)

    def truth(self) -> Behaviour:
        """The hidden function."""
        import jax.numpy as jnp

        from shoal.populations.behaviour import Function

        return Function(jnp.asarray(self.archetypes.column("age"), jnp.int32))


@functools.lru_cache(maxsize=4)
def city(agents: int, estimator: str = "hits") -> City:
    """The city of that size."""
    return City(agents, estimator)
