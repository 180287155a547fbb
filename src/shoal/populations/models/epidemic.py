"""An epidemic on a city's contacts: susceptible, exposed, infectious, recovered, dead (SEIRM), with what people do.

Transmission follows AgentTorch (arXiv 2409.10568 and its code, in the form that its authors meant: every person's own
mean number of contacts divides): over a tie j -> i

    lambda_ij = R(week) S_age(i) A_stage(j) w_ij G(t - t_inf(j)) / contacts_age(i),   P_i = 1 - exp(-sum_j lambda_ij)

with G the daily mass of a gamma distribution (mean 5.5 days, deviation 2.4). The exposed become infectious after 5 days
and leave after 5 more: to recovery, or to death with the probability ``mortality``.

The agents' illness is kept as a number beside its stage, so that slopes pass from one day's draws to the next day's
contacts.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int, PRNGKeyArray
from pydantic import Field

from shoal.errors import InputError
from shoal.populations.behaviour import Conduct, Situation
from shoal.populations.city import Shares, build_city
from shoal.populations.decentralised import DecentralisedModel, Exchange
from shoal.populations.model import (
    Facts,
    Parameter,
    Parameters,
    PopulationSettings,
    Substep,
    model,
    replaced,
)
from shoal.populations.networks import Network
from shoal.populations.noise import uniform
from shoal.populations.sampling import Estimator, draw
from shoal.populations.tables import read_tables

SUSCEPTIBLE, EXPOSED, INFECTIOUS, RECOVERED, DEAD = range(5)
STAGES = ("susceptible", "exposed", "infectious", "recovered", "dead")
SUSCEPTIBILITY = (0.35, 0.69, 1.03, 1.03, 1.03, 1.03, 1.27, 1.52, 1.52)
"""By age bin."""
CONTACTS = (2.0, 2.0, 3.0, 3.0, 3.0, 3.0, 3.0, 4.0, 4.0)
"""Mean contacts by age bin: children 2, adults 3, the elderly 4."""
SHEDDING = (0.0, 0.33, 0.72, 0.0, 0.0)
"""Infectiousness by stage."""
MEAN_DAYS, DAYS_DEVIATION = 5.5, 2.4
WEEK = 7
GRAIN = 2.0**-16
"""Infectiousness is a multiple of it where it is exact: sums of it below 2^8 are, in single precision."""
MEASURES = ("testing", "vaccination")


class EpidemicSettings(PopulationSettings):
    """Settings of the epidemic."""

    exposed_days: int = Field(5, ge=1, le=60, description="Days from infection to the infectious stage.")
    infectious_days: int = Field(5, ge=1, le=60, description="Days in the infectious stage.")
    workplace: float = Field(4.0, ge=0, lt=1000, description="Colleagues of an employee, on average.")
    school: float = Field(6.0, ge=0, lt=1000, description="Classmates of a pupil, on average.")
    others: float = Field(3.0, ge=0, lt=1000, description="Other contacts, on average.")
    local: float = Field(0.0, ge=0, le=1, description="Share of other contacts within one's own area.")
    tables: Path | None = Field(None, description="Folder of census-like tables: age, sex, household, area.")
    exact: bool = Field(
        False, description="Infectiousness in multiples of 2^-16: sums are exact, openly and in shares."
    )
    estimator: Estimator = Field("hits", description="Slope of the draws; see populations.sampling.")


class EpidemicState(eqx.Module):
    """The people.

    Attributes:
        age: bin of each.
        sex: of each, an index into the city's names.
        area: of each, an index into the city's names.
        stage: of the disease, an index into STAGES.
        caught: day of infection.
        ill: 1 for everybody who has been infected, carrying slopes.
        isolating: stays away from work, school and street this week.
        quarantined: 1 for those who were found infected, and stay away; carries slopes.
        vaccinated: 1 for those who are; carries slopes.
        deaths: of the last day, carrying slopes: their number, or each person's own where people are apart.
        day: from 0.
        home: ties in households.
        work: ties in workplaces and schools.
        street: other ties.
        conduct: what people decide each week by a behaviour; None where everybody isolates with one probability.
    """

    age: Int[Array, " agents"]
    sex: Int[Array, " agents"]
    area: Int[Array, " agents"]
    stage: Int[Array, " agents"]
    caught: Int[Array, " agents"]
    ill: Float[Array, " agents"]
    isolating: Float[Array, " agents"]
    quarantined: Float[Array, " agents"]
    vaccinated: Float[Array, " agents"]
    deaths: Float[Array, "*apart"]
    day: Int[Array, ""]
    home: Network
    work: Network
    street: Network
    conduct: Conduct | None = None


class Isolation(Substep[EpidemicState]):
    """Once a week everybody decides whether to isolate, and by some behaviours whether to work."""

    estimator: Estimator = eqx.field(static=True)

    def decide(
        self, key: PRNGKeyArray, observation: EpidemicState, parameters: Parameters
    ) -> tuple[Array, Array | None]:
        """With the probability ``isolation``, or with those of the behaviour."""
        if observation.conduct is not None:
            known = situation(observation, parameters)
            return observation.conduct.decided(key, known, parameters, self.estimator)
        noise = uniform(key, observation.age.shape[0])
        chance = jnp.broadcast_to(current(parameters["isolation"], observation.day), noise.shape)
        return draw(chance, noise, self.estimator), None

    def transition(
        self, key: PRNGKeyArray, state: EpidemicState, decision: tuple[Array, Array | None], parameters: Parameters
    ) -> Mapping[str, Any]:
        """For a week."""
        isolating, working = decision
        new_week = state.day % WEEK == 0
        changed: dict[str, Any] = {"isolating": jnp.where(new_week, isolating, state.isolating)}
        if state.conduct is None or working is None:
            return changed
        return changed | {"conduct": state.conduct.after(state.ill.sum(), working, new_week)}


class Transmission(Exchange[EpidemicState]):
    """Contacts, and who is infected by them."""

    estimator: Estimator = eqx.field(static=True)
    mass: tuple[float, ...] = eqx.field(static=True)
    exact: bool = eqx.field(static=True, default=False)

    def messages(self, state: EpidemicState, parameters: Parameters) -> Mapping[str, Array]:
        """What each sheds at home, and abroad unless they stay there."""
        since = jnp.clip(state.day - state.caught - 1, 0, len(self.mass) - 1)
        strength = jnp.asarray(SHEDDING)[state.stage] * jnp.asarray(self.mass)[since]
        if self.exact:
            strength = jnp.round(strength / GRAIN) * GRAIN
        shedding = strength * state.ill
        abroad = shedding * (1 - state.isolating) * (1 - state.quarantined)
        working = abroad if state.conduct is None else abroad * state.conduct.working
        return {"home": shedding, "work": working, "street": abroad}

    def heard(self, state: EpidemicState, sums: Mapping[str, Array], parameters: Parameters) -> Array:
        """The infectious pressure on everybody: the sum over ties."""
        colleagues = sums["work"] if state.conduct is None else sums["work"] * state.conduct.working
        outside = (colleagues + sums["street"]) * (1 - state.isolating)
        outside = outside * (1 - state.quarantined)
        return sums["home"] + outside

    def decide(self, key: PRNGKeyArray, observation: Array, parameters: Parameters) -> tuple[Array, Array]:
        """Nobody decides to be infected; the noise of the draws."""
        return observation, uniform(key, observation.shape[0])

    def transition(
        self, key: PRNGKeyArray, state: EpidemicState, decision: tuple[Array, Array], parameters: Parameters
    ) -> Mapping[str, Any]:
        """Draws for the susceptible."""
        pressure, noise = decision
        scale = jnp.asarray(SUSCEPTIBILITY) / jnp.asarray(CONTACTS)
        guard = 1 - current(parameters["efficacy"], state.day) * state.vaccinated
        rate = current(parameters["reproduction"], state.day) * scale[state.age] * guard * pressure
        caught = draw(-jnp.expm1(-rate), noise, self.estimator) * (1 - jnp.minimum(state.ill, 1.0))
        new = (caught > 0) & (state.stage == SUSCEPTIBLE)
        return {
            "ill": state.ill + jnp.where(new, caught, _slope_only(caught)),
            "stage": jnp.where(new, EXPOSED, state.stage).astype(jnp.int8),
            "caught": jnp.where(new, state.day, state.caught).astype(jnp.int16),
        }


class Progression(Substep[EpidemicState]):
    """Stages follow each other on the calendar; some of those who leave die."""

    exposed_days: int = eqx.field(static=True)
    infectious_days: int = eqx.field(static=True)
    estimator: Estimator = eqx.field(static=True)

    def decide(self, key: PRNGKeyArray, observation: EpidemicState, parameters: Parameters) -> Array:
        """Who would die."""
        noise = uniform(key, observation.age.shape[0])
        chance = jnp.broadcast_to(current(parameters["mortality"], observation.day), noise.shape)
        return draw(chance, noise, self.estimator)

    def transition(
        self, key: PRNGKeyArray, state: EpidemicState, decision: Array, parameters: Parameters
    ) -> Mapping[str, Any]:
        """By days since infection."""
        since = state.day - state.caught
        falls_ill = (state.stage == EXPOSED) & (since >= self.exposed_days)
        leaves = (state.stage == INFECTIOUS) & (since >= self.exposed_days + self.infectious_days)
        stage = jnp.where(falls_ill, INFECTIOUS, state.stage)
        stage = jnp.where(leaves, jnp.where(decision > 0, DEAD, RECOVERED), stage)
        died = jnp.where(leaves, decision * state.ill, 0.0)
        return {
            "stage": stage.astype(jnp.int8),
            "quarantined": jnp.where(leaves, 0.0, state.quarantined),
            "deaths": died if state.deaths.ndim else died.sum(),
        }


class Measures(Substep[EpidemicState]):
    """Tests that send the infectious into quarantine, and vaccinations."""

    estimator: Estimator = eqx.field(static=True)

    def decide(self, key: PRNGKeyArray, observation: EpidemicState, parameters: Parameters) -> tuple[Array, Array]:
        """Who is tested, and who is vaccinated today."""
        noise = uniform(key, observation.age.shape[0])
        # Only the infectious are found and only the susceptible are vaccinated, so one number serves both.
        chances = (jnp.broadcast_to(current(parameters[n], observation.day), noise.shape) for n in MEASURES)
        tested, dosed = (draw(chance, noise, self.estimator) for chance in chances)
        return tested, dosed

    def transition(
        self, key: PRNGKeyArray, state: EpidemicState, decision: tuple[Array, Array], parameters: Parameters
    ) -> Mapping[str, Any]:
        """A test finds the infectious; a vaccination guards the susceptible."""
        tested, dosed = decision
        found = tested * (state.stage == INFECTIOUS)
        guarded = dosed * (state.stage == SUSCEPTIBLE)
        return {
            "quarantined": state.quarantined + (1 - state.quarantined) * found,
            "vaccinated": state.vaccinated + (1 - state.vaccinated) * guarded,
            "day": state.day + 1,
        }


@model("epidemic")
class Epidemic(DecentralisedModel[EpidemicSettings, EpidemicState]):
    """SEIRM with isolation, testing, quarantine and vaccination on a synthetic city."""

    schema = EpidemicSettings
    flows = frozenset({"infections", "deaths"})
    streams: ClassVar = {"cases": "infections"}
    parameters: ClassVar = {
        "reproduction": Parameter(
            2.5, 0.0, 20.0, "infections caused by one case among the susceptible (R)", fit=(0.5, 8.0)
        ),
        "initial": Parameter(
            0.001, 0.0, 1.0, "share of people who are infected at the start", fit=(1e-4, 0.1), log=True
        ),
        "mortality": Parameter(0.01, 0.0, 1.0, "share of the infected who die"),
        "isolation": Parameter(0.0, 0.0, 1.0, "probability to isolate for a week"),
        "testing": Parameter(0.0, 0.0, 1.0, "probability of an infectious person to be found, each day"),
        "vaccination": Parameter(0.0, 0.0, 1.0, "share of the susceptible who are vaccinated each day"),
        "efficacy": Parameter(0.9, 0.0, 1.0, "share of infections that a vaccination prevents"),
        "payment": Parameter(0.0, 0.0, 1.0, "1 in weeks of a stimulus payment; only a behaviour heeds it"),
        "fatigue": Parameter(0.0, 0.0, 520.0, "weeks that people feel it lasts already; only a behaviour heeds it"),
    }

    def population(self, seed: int) -> EpidemicState:
        """A synthetic city in good health."""
        s = self.settings
        given: dict[str, Any] = {"workplace": s.workplace, "school": s.school, "others": s.others, "local": s.local}
        shares = Shares(**given) if s.tables is None else read_tables(s.tables, given)
        city = build_city(s.agents, seed, shares)
        n = s.agents
        return EpidemicState(
            age=jnp.asarray(city.age),
            sex=jnp.asarray(city.sex),
            area=jnp.asarray(city.area),
            stage=jnp.zeros(n, jnp.int8),
            caught=jnp.zeros(n, jnp.int16),
            ill=jnp.zeros(n),
            isolating=jnp.zeros(n),
            quarantined=jnp.zeros(n),
            vaccinated=jnp.zeros(n),
            deaths=jnp.zeros(()),
            day=jnp.zeros((), jnp.int32),
            home=city.home,
            work=city.work,
            street=city.street,
        )

    def begin(self, key: PRNGKeyArray, population: EpidemicState, parameters: Parameters) -> EpidemicState:
        """The first cases, on their first infectious day."""
        s = self.settings
        chance = jnp.broadcast_to(current(parameters["initial"], population.day), population.age.shape)
        ill = draw(chance, uniform(key, s.agents), s.estimator)
        first = ill > 0
        stage = jnp.where(first, INFECTIOUS, SUSCEPTIBLE).astype(jnp.int8)
        caught = jnp.where(first, -s.exposed_days, 0).astype(jnp.int16)
        return replaced(population, {"ill": ill, "stage": stage, "caught": caught})

    def substeps(self) -> tuple[Substep[EpidemicState], ...]:
        """Decide, meet, fall ill, be tested."""
        s = self.settings
        mass = _mass(s.exposed_days + s.infectious_days + 1)
        return (
            Isolation(s.estimator),
            Transmission(s.estimator, mass, s.exact),
            Progression(s.exposed_days, s.infectious_days, s.estimator),
            Measures(s.estimator),
        )

    def parts(self, before: EpidemicState, after: EpidemicState) -> Facts:
        """Whether each was infected or died today, stays at home or is vaccinated, and the stage in which each is."""
        return {
            "infections": after.ill - before.ill,
            "deaths": after.deaths,
            "isolating": after.isolating,
            "quarantined": after.quarantined,
            "vaccinated": after.vaccinated,
            **{name: after.stage == number for number, name in enumerate(STAGES)},
        }

    def report(self, before: EpidemicState, after: EpidemicState) -> Facts:
        """Infections, deaths, people by stage, how many stay at home, and by some behaviours how many would work."""
        willing = {} if after.conduct is None else {"willing": after.conduct.willing}
        return super().report(before, after) | willing

    def apart(self, population: EpidemicState) -> EpidemicState:
        """Everybody's own death in place of their number.

        Raises:
            InputError: people decide by a behaviour.
        """
        if population.conduct is not None:
            mend = "It heeds the number of all cases, which nobody has in shares; isolate with the parameter isolation."
            raise InputError("private behaviour", type(population.conduct.behaviour).__name__, mend)
        return replaced(population, {"deaths": jnp.zeros(self.settings.agents)})

    @property
    def bytes_per_agent(self) -> float:
        """Ties twice (as CSR and in slices), the state twice, and what a step needs besides."""
        s = self.settings
        ties = 1.6 + max(s.workplace, s.school) + s.others
        return 8 * ties * 1.1 + 2 * 24 + 60


def current(value: Array, day: Array) -> Array:
    """A parameter on that day: itself if it is one number, else the week's entry (the last goes on)."""
    if value.ndim == 0:
        return value
    entry: Array = value[jnp.clip(day // WEEK, 0, value.shape[0] - 1)]
    return entry


def situation(state: EpidemicState, parameters: Parameters) -> Situation:
    """What people know when a week begins; of a population that decides by a behaviour."""
    assert state.conduct is not None
    payment, fatigue = (current(parameters[name], state.day) for name in ("payment", "fatigue"))
    return state.conduct.situation(state.ill.sum(), state.day, payment, fatigue)


def _slope_only(x: Array) -> Array:
    """0 whose slope is that of x."""
    return x - lax.stop_gradient(x)


def _mass(days: int) -> tuple[float, ...]:
    """Share of a case's infectiousness on each day since infection."""
    from scipy.stats import gamma

    shape, scale = MEAN_DAYS**2 / DAYS_DEVIATION**2, DAYS_DEVIATION**2 / MEAN_DAYS
    return tuple(float(x) for x in np.diff(gamma.cdf(np.arange(days + 1), shape, scale=scale)))
