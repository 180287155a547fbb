"""A contagion on households and chance meetings: susceptible, exposed, infectious, recovered, dead (SEIRM).

The agent-based counterpart of the SEIRM equations (``compartments``): stages last a geometric number of days, and

    P_i = 1 - exp(-R(week) / infectious_days x s_i x (sum over neighbours j of k_j I_j) / mean contacts)

with the susceptibility s and the infectiousness k of each agent. Agents hear nothing but that sum, so that the model
runs openly or in shares. Infectiousness is a multiple of 2^-10: sums of it below 2^14 are exact in single precision,
whatever their order, so that an open and a private run are the same to the bit.

Stages are real numbers, 0 or 1, that carry slopes: who is infected by a draw carries the draw's slope on to contacts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray
from pydantic import Field

from shoal.populations.acquaintance import AcquaintanceSettings, InfluenceModel, acquaintance, owners
from shoal.populations.city import Shares, households
from shoal.populations.decentralised import DecentralisedModel, Exchange
from shoal.populations.model import Facts, Parameter, Parameters, Substep, model, replaced
from shoal.populations.models.epidemic import Epidemic, current
from shoal.populations.networks import Network, network
from shoal.populations.noise import uniform
from shoal.populations.sampling import Estimator, draw
from shoal.runs.seeds import generator

GRAIN = 2.0**-10
"""Infectiousness is a multiple of it."""
HOUSEMATES = sum(k * (k - 1) * share for k, share in enumerate(Shares().households, 1)) / sum(
    k * share for k, share in enumerate(Shares().households, 1)
)
"""People that a person shares a household with, on average."""
_NOBODY = np.zeros(0, np.int32)


class ContagionSettings(AcquaintanceSettings):
    """Settings of the contagion."""

    network: Literal["small-world", "scale-free", "random", "regular", "grid", "complete"] = Field(
        "random", description="Who meets whom outside the household; complete is for up to 10,000 agents."
    )
    degree: int = Field(6, ge=0, le=1000, description="Contacts of each outside the household, on average.")
    homes: bool = Field(True, description="People also meet everybody of their household.")
    exposed_days: float = Field(
        4.0, ge=1, le=60, description="Days from infection to the infectious stage, on average."
    )
    infectious_days: float = Field(6.0, ge=1, le=60, description="Days in the infectious stage, on average.")
    variation: float = Field(0.0, ge=0, le=3, description="Deviation of people's infectiousness, whose mean is 1.")
    estimator: Estimator = Field("hits", description="Slope of the draws; see populations.sampling.")


class People(eqx.Module):
    """The people; all but the day and the ties carry slopes.

    Attributes:
        susceptible: 1 for those who are, else 0; likewise the other stages (the recovered are the rest).
        exposed: infected, not yet infectious.
        infectious: infectious.
        dead: dead.
        isolating: meets nobody today.
        infectiousness: of each, relative to the mean; a multiple of GRAIN.
        susceptibility: of each, relative to the mean.
        day: from 0.
        ties: who meets whom.
    """

    susceptible: Float[Array, " agents"]
    exposed: Float[Array, " agents"]
    infectious: Float[Array, " agents"]
    dead: Float[Array, " agents"]
    isolating: Float[Array, " agents"]
    infectiousness: Float[Array, " agents"]
    susceptibility: Float[Array, " agents"]
    day: Int[Array, ""]
    ties: Network


class Staying(Substep[People]):
    """Everybody decides whether to meet anybody today."""

    estimator: Estimator = eqx.field(static=True)

    def decide(self, key: PRNGKeyArray, observation: People, parameters: Parameters) -> Array:
        """With the probability ``isolation``."""
        noise = uniform(key, observation.dead.shape[0])
        return draw(
            jnp.broadcast_to(current(parameters["isolation"], observation.day), noise.shape), noise, self.estimator
        )

    def transition(
        self, key: PRNGKeyArray, state: People, decision: Array, parameters: Parameters
    ) -> Mapping[str, Any]:
        """For a day."""
        return {"isolating": decision}


class Meeting(Exchange[People]):
    """Contacts, infections, and what becomes of the infected."""

    contacts: float = eqx.field(static=True)
    exposed_days: float = eqx.field(static=True)
    infectious_days: float = eqx.field(static=True)
    estimator: Estimator = eqx.field(static=True)

    def messages(self, state: People, parameters: Parameters) -> Mapping[str, Array]:
        """The infectiousness of those who are infectious and meet others."""
        return {"ties": state.infectiousness * state.infectious * (1 - state.isolating)}

    def heard(self, state: People, sums: Mapping[str, Array], parameters: Parameters) -> Array:
        """That of all contacts together."""
        return sums["ties"]

    def decide(
        self, key: PRNGKeyArray, observation: Array, parameters: Parameters
    ) -> tuple[Array, Array, Array, Array]:
        """Nobody decides anything; what was heard, and the noise of the draws."""
        keys = jax.random.split(key, 3)
        infection, progress, death = (uniform(k, observation.shape[0]) for k in keys)
        return observation, infection, progress, death

    def transition(
        self, key: PRNGKeyArray, state: People, decision: tuple[Array, Array, Array, Array], parameters: Parameters
    ) -> Mapping[str, Any]:
        """Each from their own numbers, what they heard and their own noise."""
        heard, infection, progress, death = decision
        pace = current(parameters["reproduction"], state.day) / (self.infectious_days * self.contacts)
        rate = pace * state.susceptibility * (1 - state.isolating) * heard
        caught = draw(-jnp.expm1(-rate), infection, self.estimator) * state.susceptible
        falling_ill = (progress < 1 / self.exposed_days) * state.exposed
        leaving = (progress < 1 / self.infectious_days) * state.infectious
        chance = jnp.broadcast_to(current(parameters["mortality"], state.day), death.shape)
        return {
            "susceptible": state.susceptible - caught,
            "exposed": state.exposed + caught - falling_ill,
            "infectious": state.infectious + falling_ill - leaving,
            "dead": state.dead + draw(chance, death, self.estimator) * leaving,
            "day": state.day + 1,
        }


@model("contagion")
class Contagion(DecentralisedModel[ContagionSettings, People], InfluenceModel[ContagionSettings, People]):
    """SEIRM on households and chance meetings; agents hear only sums over their neighbours."""

    schema = ContagionSettings
    flows = frozenset({"infections", "deaths"})
    streams: ClassVar = {"cases": "infections"}
    parameters: ClassVar = {
        "reproduction": Epidemic.parameters["reproduction"],
        "initial": Parameter(
            0.03, 0.0, 1.0, "share of people who are infectious at the start", fit=(1e-4, 0.1), log=True
        ),
        "mortality": Epidemic.parameters["mortality"],
        "isolation": Parameter(0.0, 0.0, 1.0, "probability to meet nobody on a day"),
    }

    def population(self, seed: int) -> People:
        """Households of neighbouring numbers, and ties among everybody."""
        net = acquaintance(self.settings, seed) if self.settings.agents > 1 else network(1, _NOBODY, _NOBODY)
        if self.settings.homes:
            first, second = households(net.count, Shares().households, generator(seed, "households"))
            outside = np.asarray(owners(net)), np.asarray(net.neighbours)
            net = network(net.count, np.concatenate([outside[0], first]), np.concatenate([outside[1], second]))
        return self.on(net, seed)

    def on(self, net: Network, seed: int = 0) -> People:
        """The people on a network of the user's own. Raises InputError if it is for another number of agents."""
        self.require_fit(net)
        n, deviation = net.count, self.settings.variation
        power = np.ones(n)
        if deviation:
            power = generator(seed, "infectiousness").gamma(deviation**-2, deviation**2, n)
        nobody = jnp.zeros(n)
        return People(
            susceptible=jnp.ones(n), exposed=nobody, infectious=nobody, dead=nobody, isolating=nobody,
            infectiousness=jnp.asarray(np.round(power / GRAIN) * GRAIN, jnp.float32),
            susceptibility=jnp.ones(n), day=jnp.zeros((), jnp.int32), ties=net,
        )  # fmt: skip

    def begin(self, key: PRNGKeyArray, population: People, parameters: Parameters) -> People:
        """The first cases, infectious."""
        noise = uniform(key, population.dead.shape[0])
        chance = jnp.broadcast_to(current(parameters["initial"], population.day), noise.shape)
        first = draw(chance, noise, self.settings.estimator)
        return replaced(population, {"infectious": first, "susceptible": population.susceptible - first})

    def substeps(self) -> tuple[Substep[People], ...]:
        """Decide, meet and fall ill."""
        s = self.settings
        contacts = s.degree + s.homes * HOUSEMATES
        return Staying(s.estimator), Meeting(max(contacts, 1.0), s.exposed_days, s.infectious_days, s.estimator)

    def parts(self, before: People, after: People) -> Facts:
        """Whether each was infected or died today, and the stage in which each is."""
        gone = after.susceptible + after.exposed + after.infectious + after.dead
        return {
            "infections": before.susceptible - after.susceptible,
            "deaths": after.dead - before.dead,
            "susceptible": after.susceptible,
            "exposed": after.exposed,
            "infectious": after.infectious,
            "recovered": 1 - gone,
            "dead": after.dead,
            "isolating": after.isolating,
        }

    @property
    def bytes_per_agent(self) -> float:
        """Ties twice (as CSR and in slices), what a step needs for each, and the state."""
        s = self.settings
        ties = s.agents if s.network == "complete" else s.degree
        return 32 * (ties + 2) + 120
