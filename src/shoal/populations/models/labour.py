"""A small labour market: firms that pay wages, workers who spend them and look for jobs; money is never made nor lost.

A month: firms let go whom they cannot pay; every employee is paid; everybody spends a share of their money at a firm
drawn at random; jobs end at random; firms open the vacancies that their money would bear; every unemployed worker who
searches applies to one vacancy drawn at random, and each vacancy takes one of its applicants; firms left with open
vacancies raise their wage by a unit at times, those without lower it.

Money is counted in whole units. Matching is the urn-ball process (Butters 1977; Petrongolo & Pissarides 2001, J. Econ.
Lit. 39, 390-431, section 3): of V vacancies and A applicants, V (1 - (1 - 1/V)^A) meet on average. The way of
unemployment and vacancies through their plane is the Beveridge curve.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, PRNGKeyArray
from numpy.typing import NDArray
from pydantic import Field

from shoal.populations.grouping import grouped
from shoal.populations.model import (
    Facts,
    Parameter,
    Parameters,
    PopulationModel,
    PopulationSettings,
    Substep,
    model,
    replaced,
)
from shoal.populations.noise import uniform

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NOBODY = -1
"""Employer of the unemployed."""
START = 100
"""Every firm's wage, every worker's money, and a firm's money for each job that it has on average, at the start."""
BINS = 40
"""Of the report's wages."""


class LabourSettings(PopulationSettings):
    """Settings of the market."""

    # All the money there is fits into 32 bits, whoever holds it.
    agents: int = Field(10_000, ge=1, le=10_000_000, description="Number of workers.")
    firm_size: float = Field(10.0, gt=0, le=1e6, description="Workers for each firm.")

    @property
    def firms(self) -> int:
        """Number of firms, at least one and at most one for each worker."""
        return min(self.agents, max(1, round(self.agents / self.firm_size)))


class Market(eqx.Module):
    """Workers and firms.

    Attributes:
        money: of each worker.
        employer: of each worker, or NOBODY.
        balance: each firm's money.
        wage: that it pays.
        vacancies: that it opened this month.
        unfilled: those that stayed open.
        layoffs: workers whom firms could not pay, this month.
        separations: jobs that ended by chance.
        hires: this month.
    """

    money: Int[Array, " workers"]
    employer: Int[Array, " workers"]
    balance: Int[Array, " firms"]
    wage: Int[Array, " firms"]
    vacancies: Int[Array, " firms"]
    unfilled: Int[Array, " firms"]
    layoffs: Int[Array, ""]
    separations: Int[Array, ""]
    hires: Int[Array, ""]


class Payroll(Substep[Market]):
    """Firms let go whom they cannot pay, and pay the others."""

    def decide(self, key: PRNGKeyArray, observation: Market, parameters: Parameters) -> Array:
        """Who stays: as many as the firm's money is enough for, drawn at random."""
        firms = observation.balance.shape[0]
        rank = grouped(key, _group(observation.employer, firms), firms + 1).rank
        affordable = observation.balance // observation.wage
        return (observation.employer != NOBODY) & (rank < affordable[observation.employer])

    def transition(
        self, key: PRNGKeyArray, state: Market, decision: Array, parameters: Parameters
    ) -> Mapping[str, Any]:
        """Wages go from firm to worker."""
        firms = state.balance.shape[0]
        employer = jnp.where(decision, state.employer, NOBODY)
        staff = _staff(employer, firms)
        return {
            "employer": employer,
            "money": state.money + jnp.where(decision, state.wage[employer], 0),
            "balance": state.balance - staff * state.wage,
            "layoffs": ((state.employer != NOBODY) & ~decision).sum(dtype=jnp.int32),
        }


class Spending(Substep[Market]):
    """Everybody buys something somewhere."""

    def decide(self, key: PRNGKeyArray, observation: Market, parameters: Parameters) -> tuple[Array, Array]:
        """At which firm, and for how much: the share ``spending``, in whole units."""
        workers, firms = observation.money.shape[0], observation.balance.shape[0]
        shop = jnp.minimum((uniform(key, workers) * firms).astype(jnp.int32), firms - 1)
        # The product is rounded and may come out above what there is.
        amount = jnp.floor(parameters["spending"] * observation.money).astype(jnp.int32)
        return shop, jnp.minimum(amount, observation.money)

    def transition(
        self, key: PRNGKeyArray, state: Market, decision: tuple[Array, Array], parameters: Parameters
    ) -> Mapping[str, Any]:
        """Money goes from worker to firm."""
        shop, amount = decision
        return {"money": state.money - amount, "balance": state.balance.at[shop].add(amount)}


class Search(Substep[Market]):
    """Jobs end, vacancies open, and the unemployed apply."""

    def decide(self, key: PRNGKeyArray, observation: Market, parameters: Parameters) -> tuple[Array, Array]:
        """Whose job ends, and who would apply somewhere this month."""
        leave_key, search_key = jax.random.split(key)
        workers = observation.money.shape[0]
        leaves = (observation.employer != NOBODY) & (uniform(leave_key, workers) < parameters["separation"])
        return leaves, uniform(search_key, workers) < parameters["search"]

    def transition(
        self, key: PRNGKeyArray, state: Market, decision: tuple[Array, Array], parameters: Parameters
    ) -> Mapping[str, Any]:
        """Each vacancy takes one of its applicants; those who lost their job this month are among them."""
        leaves, searches = decision
        employer, firms = jnp.where(leaves, NOBODY, state.employer), state.balance.shape[0]
        budget = jnp.minimum(jnp.floor(parameters["confidence"] * state.balance).astype(jnp.int32), state.balance)
        vacancies = jnp.maximum(budget // state.wage - _staff(employer, firms), 0)
        firm = matched(key, (employer == NOBODY) & searches, vacancies)
        hired = firm != NOBODY
        employer = jnp.where(hired, firm, employer)
        taken = _staff(firm, firms)
        return {
            "employer": employer,
            "vacancies": vacancies,
            "unfilled": vacancies - taken,
            "separations": leaves.sum(dtype=jnp.int32),
            "hires": hired.sum(dtype=jnp.int32),
        }


class WageSetting(Substep[Market]):
    """Firms move their wage by a unit."""

    def decide(self, key: PRNGKeyArray, observation: Market, parameters: Parameters) -> Array:
        """Which firms look at their wage: each with the probability ``flexibility``."""
        return uniform(key, observation.wage.shape[0]) < parameters["flexibility"]

    def transition(
        self, key: PRNGKeyArray, state: Market, decision: Array, parameters: Parameters
    ) -> Mapping[str, Any]:
        """Up where vacancies stayed open, down where none was opened, never below one unit."""
        change = jnp.where(state.unfilled > 0, 1, jnp.where(state.vacancies == 0, -1, 0))
        return {"wage": jnp.maximum(state.wage + jnp.where(decision, change, 0), 1)}


@model("labour")
class Labour(PopulationModel[LabourSettings, Market]):
    """A labour market with firms, wages, payments and job search; money is conserved exactly."""

    schema = LabourSettings
    flows = frozenset({"hires", "separations", "layoffs"})
    weekly = False
    parameters: ClassVar = {
        "employed": Parameter(0.9, 0.0, 1.0, "share of workers with a job at the start"),
        "separation": Parameter(0.03, 0.0, 1.0, "probability of a job to end, each month"),
        "search": Parameter(0.8, 0.0, 1.0, "probability of an unemployed worker to apply, each month"),
        "spending": Parameter(0.8, 0.0, 1.0, "share of their money that people spend each month"),
        "confidence": Parameter(0.5, 0.0, 1.0, "share of its money that a firm would pay as wages next month"),
        "flexibility": Parameter(0.2, 0.0, 1.0, "probability of a firm to look at its wage, each month"),
    }

    def population(self, seed: int) -> Market:
        """Everybody out of work, with the same money."""
        workers, firms = self.settings.agents, self.settings.firms
        none = jnp.zeros((), jnp.int32)
        return Market(
            money=jnp.full(workers, START, jnp.int32),
            employer=jnp.full(workers, NOBODY, jnp.int32),
            # The firms' money is that of one wage a worker, spread as evenly as whole units can be.
            balance=jnp.asarray(np.diff(np.arange(firms + 1) * (START * workers) // firms), jnp.int32),
            wage=jnp.full(firms, START, jnp.int32),
            vacancies=jnp.zeros(firms, jnp.int32),
            unfilled=jnp.zeros(firms, jnp.int32),
            layoffs=none,
            separations=none,
            hires=none,
        )

    def begin(self, key: PRNGKeyArray, population: Market, parameters: Parameters) -> Market:
        """Some have a job, with a firm drawn at random."""
        job_key, firm_key = jax.random.split(key)
        workers, firms = self.settings.agents, self.settings.firms
        firm = jax.random.randint(firm_key, (workers,), 0, firms)
        return replaced(
            population, {"employer": jnp.where(uniform(job_key, workers) < parameters["employed"], firm, NOBODY)}
        )

    def substeps(self) -> tuple[Substep[Market], ...]:
        """Pay, spend, look for jobs, set wages."""
        return Payroll(), Spending(), Search(), WageSetting()

    def report(self, before: Market, after: Market) -> Facts:
        """Rates, flows, wages, and who holds the money.

        ``vacancy`` is the share of open jobs among all jobs; ``imbalance`` the money that appeared or went: always 0.
        """
        workers = self.settings.agents
        jobs = (after.employer != NOBODY).sum().astype(jnp.float32)
        unfilled, money = after.unfilled.sum().astype(jnp.float32), after.money.sum()
        bins = jnp.clip(after.wage * BINS // (2 * START), 0, BINS - 1)
        return {
            "unemployment": 1 - jobs / workers,
            "vacancy": unfilled / jnp.maximum(unfilled + jobs, 1.0),
            "hires": after.hires.astype(jnp.float32),
            "separations": after.separations.astype(jnp.float32),
            "layoffs": after.layoffs.astype(jnp.float32),
            "wage": after.wage.mean(dtype=jnp.float32),
            "savings": money.astype(jnp.float32) / workers,
            "imbalance": (money + after.balance.sum() - before.money.sum() - before.balance.sum()).astype(jnp.float32),
            "wages": jnp.zeros(BINS).at[bins].add(1.0 / self.settings.firms),
        }

    def figures(self, series: Mapping[str, NDArray[np.float64]]) -> Mapping[str, Figure]:
        """The Beveridge curve, and the firms' wages over time."""
        from shoal.populations.pictures import distribution, phase

        return {
            "beveridge": phase(series["unemployment"], series["vacancy"], "unemployment", "vacancy rate"),
            "wages": distribution(series["wages"][0], 0.0, 2.0 * START, "wage"),
        }

    @property
    def bytes_per_agent(self) -> float:
        """The sort's copies, the market twice, and the firms."""
        return 120 + 60 * self.settings.firms / self.settings.agents


def matched(
    key: PRNGKeyArray, applicant: Bool[Array, " workers"], vacancies: Int[Array, " firms"]
) -> Int[Array, " workers"]:
    """Urn-ball matching: every applicant draws one of all vacancies, each vacancy takes one of its applicants.

    Returns:
        each worker's new firm, or NOBODY.
    """
    draw_key, turn_key = jax.random.split(key)
    workers = applicant.shape[0]
    ends = jnp.cumsum(vacancies)
    total = ends[-1]
    number = jnp.minimum((uniform(draw_key, workers) * total).astype(jnp.int32), total - 1)
    number = jnp.where(applicant & (total > 0), number, np.iinfo(np.int32).max)
    turn = jax.random.bits(turn_key, (workers,), jnp.uint32)
    number, _, worker = jax.lax.sort((number, turn, jnp.arange(workers, dtype=jnp.int32)), num_keys=2)
    # Applicants of one vacancy are side by side now; it takes the first.
    first = jnp.concatenate([jnp.ones(1, bool), number[1:] != number[:-1]]) & (number < total)
    firm = jnp.searchsorted(ends, number, side="right").astype(jnp.int32)
    nobody = jnp.full(workers, NOBODY, jnp.int32)
    return nobody.at[worker].set(jnp.where(first, firm, NOBODY))


def _group(employer: Array, firms: int) -> Int[Array, " workers"]:
    """Staff by firm, the unemployed last."""
    group: Array = jnp.where(employer == NOBODY, firms, employer)
    return group


def _staff(employer: Array, firms: int) -> Int[Array, " firms"]:
    """Number of employees of every firm."""
    return jnp.zeros(firms, jnp.int32).at[_group(employer, firms)].add(1, mode="drop")
