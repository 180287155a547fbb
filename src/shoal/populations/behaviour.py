"""Behaviour: how likely people of each group are to isolate and to work, from what they know each week.

A behaviour gives probabilities; every person then draws an action of their own. Giving each person the probability as
a share of an action, or one draw for a whole group, are other models, kept here for comparison (``Draws``).

After AgentTorch (arXiv 2409.10568, section 3): A_i ~ Bernoulli(p_a(k(i), t)), decisions once a week, from *simulated*
earlier cases. All behaviours here are compiled with the model; those that ask a language model are in ``weekly``.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray
from numpy.typing import NDArray

from shoal.errors import InputError
from shoal.populations.city import AGES
from shoal.populations.noise import uniform
from shoal.populations.sampling import Estimator, draw

ACTIONS = ("isolate", "work")
"""Decisions of a week, in the order of all tables of probabilities."""
PER = 100_000
"""Cases are told for that many people."""
WEEKS_PER_MONTH = 365.25 / 12 / 7
WORKING_AGES = (2, 6)
"""First and last age bin of employees."""

Draws = Literal["own", "shared", "fraction"]
"""``own``: each person draws; ``shared``: one draw for each group; ``fraction``: no draw, everybody does a part."""


class Situation(eqx.Module):
    """What people know when they decide.

    Attributes:
        cases: new infections of the last week, per 100,000 people.
        change: on the week before, in percent; 0 if there were none then.
        months: since the start, and what was added as fatigue.
        payment: 1 if there is a stimulus payment, else 0.
    """

    cases: Float[Array, ""]
    change: Float[Array, ""]
    months: Float[Array, ""]
    payment: Float[Array, ""]


class Behaviour(eqx.Module):
    """Probabilities of the actions of each group."""

    @abstractmethod
    def chances(
        self, key: PRNGKeyArray, situation: Situation, parameters: Mapping[str, Array]
    ) -> Float[Array, "actions groups"]:
        """Probability of each of ACTIONS in each group.

        Args:
            key: for behaviours that sample answers.
            situation: of this week.
            parameters: of the model.
        """


@dataclass(frozen=True)
class Response:
    """The probability of an action: sigmoid(start + by_age + cases log(1 + cases) + months + payment).

    Attributes:
        start: level.
        by_age: added for each age bin.
        cases: for each unit of the logarithm of last week's cases per 100,000, plus one.
        months: for each month since the start.
        payment: in weeks of a payment.
    """

    start: float
    by_age: tuple[float, ...]
    cases: float
    months: float
    payment: float

    def logit(self, age_effect: Any, log_cases: Any, months: Any, payment: Any) -> Any:
        """Logit of the probability; numbers or arrays that broadcast.

        Args:
            age_effect: entry of ``by_age``.
            log_cases: log(1 + cases per 100,000).
            months: since the start.
            payment: 1 or 0.
        """
        return self.start + age_effect + self.cases * log_cases + self.months * months + self.payment * payment


CAUTION = (-0.6, -0.5, -0.4, -0.2, 0.0, 0.2, 0.5, 0.8, 1.0)
HIDDEN = (
    Response(-4.2, CAUTION, 0.6, -0.15, 0.7),
    Response(4.0, tuple(-0.6 * x for x in CAUTION), -0.35, 0.1, -0.5),
)
"""A made-up population: caution grows with cases and age and wears off; a payment lets people stay at home."""


class Function(Behaviour):
    """Probabilities by formula: the oracle, if the formula is that of the hidden truth.

    Attributes:
        age: age bin of each group.
        responses: for each of ACTIONS.
    """

    age: Int[Array, " groups"]
    responses: tuple[Response, Response] = eqx.field(static=True, default=HIDDEN)

    def chances(self, key: PRNGKeyArray, situation: Situation, parameters: Mapping[str, Array]) -> Array:
        """The formula."""
        return jax.nn.sigmoid(logits(self.responses, self.age, situation))


def logits(responses: Sequence[Response], age: Array, situation: Situation) -> Float[Array, "actions groups"]:
    """Of groups of those age bins."""
    s = situation
    return jnp.stack([r.logit(jnp.asarray(r.by_age)[age], jnp.log1p(s.cases), s.months, s.payment) for r in responses])


class Heuristic(Behaviour):
    """A rule: where last week's cases exceed a threshold, people isolate with the model's ``isolation``, by age.

    The young do so half as often and the old half as often again; the rest of the time nobody does. Who would isolate
    does not work. ``isolation`` is the rule's number to fit.

    Attributes:
        age: age bin of each group.
        threshold: cases per 100,000 a week.
    """

    age: Int[Array, " groups"]
    threshold: float = eqx.field(static=True, default=100.0)

    def chances(self, key: PRNGKeyArray, situation: Situation, parameters: Mapping[str, Array]) -> Array:
        """The rule."""
        factor = jnp.where(self.age < 2, 0.5, jnp.where(self.age > 5, 1.5, 1.0))
        level = jnp.reshape(parameters["isolation"], (-1,))[0]
        isolate = jnp.where(situation.cases > self.threshold, jnp.minimum(level * factor, 1.0), 0.0)
        return jnp.stack([isolate, 1 - isolate])


class Table(Behaviour):
    """Fixed probabilities: what a model answered this week.

    Attributes:
        values: probability of each action in each group.
    """

    values: Float[Array, "actions groups"]

    def chances(self, key: PRNGKeyArray, situation: Situation, parameters: Mapping[str, Array]) -> Array:
        """The table."""
        return self.values


class Pooled(Behaviour):
    """One group for everybody: the mean of another behaviour's groups, as in a poll of a sample.

    Attributes:
        polled: the behaviour of those who are asked.
    """

    polled: Behaviour

    def chances(self, key: PRNGKeyArray, situation: Situation, parameters: Mapping[str, Array]) -> Array:
        """Their mean."""
        return self.polled.chances(key, situation, parameters).mean(1, keepdims=True)


class Conduct(eqx.Module):
    """What a population decides, as part of its state.

    Attributes:
        behaviour: gives the probabilities.
        group: of each person, a column of the behaviour's table.
        employed: 1 for employees, whose work is a decision.
        working: 1 for those who go to work (or school, which is no decision) this week.
        totals: infections up to the start of this week, and of the last one.
        draws: how probabilities become actions.
    """

    behaviour: Behaviour
    group: Int[Array, " agents"]
    employed: Float[Array, " agents"]
    working: Float[Array, " agents"]
    totals: Float[Array, "2"]
    draws: Draws = eqx.field(static=True, default="own")

    @property
    def willing(self) -> Float[Array, ""]:
        """Share of employees who work this week; 0 if there are none."""
        return (self.employed * self.working).sum() / jnp.maximum(self.employed.sum(), 1.0)

    def situation(self, total: Array, day: Array, payment: Array, fatigue: Array) -> Situation:
        """What is known at the start of a week.

        Args:
            total: infections so far.
            day: from 0.
            payment: whether there is one.
            fatigue: weeks added to the time since the start.
        """
        per = PER / self.group.shape[0]
        new, before = (total - self.totals[0]) * per, (self.totals[0] - self.totals[1]) * per
        change = jnp.where(before > 0, 100 * (new - before) / jnp.where(before > 0, before, 1.0), 0.0)
        months = (day // 7 + fatigue) / WEEKS_PER_MONTH
        return Situation(new, change, months, jnp.asarray(payment, jnp.float32))

    def decided(
        self, key: PRNGKeyArray, situation: Situation, parameters: Mapping[str, Array], estimator: Estimator
    ) -> tuple[Float[Array, " agents"], Float[Array, " agents"]]:
        """Who isolates, and who works: drawn by each person from the group's probabilities."""
        answer_key, work_key = jax.random.fold_in(key, 0), jax.random.fold_in(key, 1)
        isolate, work = self.behaviour.chances(answer_key, situation, parameters)
        isolating = self._draw(key, isolate, estimator)
        working = jnp.where(self.employed > 0, self._draw(work_key, work, estimator), 1.0)
        return isolating, working

    def _draw(self, key: PRNGKeyArray, chance: Float[Array, " groups"], estimator: Estimator) -> Array:
        noise = uniform(key, self.group.shape[0])
        if self.draws == "fraction":
            return chance[self.group]
        if self.draws == "shared":
            noise = noise[: chance.shape[0]][self.group]
        return draw(chance[self.group], noise, estimator)

    def after(self, total: Array, working: Array, new_week: Array) -> Conduct:
        """With this week's work and totals, if a week begins."""
        totals = jnp.stack([total, self.totals[0]])
        chosen = jnp.where(new_week, working, self.working), jnp.where(new_week, totals, self.totals)
        result: Conduct = eqx.tree_at(lambda c: (c.working, c.totals), self, chosen)
        return result


def with_behaviour(
    population: Any, behaviour: Behaviour, group: NDArray[np.integer[Any]] | None = None, draws: Draws = "own"
) -> Any:
    """The population, deciding by that behaviour.

    Args:
        population: of a model whose people decide (the epidemic's).
        behaviour: of its groups.
        group: of each person; the age bin if not given.
        draws: how probabilities become actions.

    Raises:
        InputError: a population that has no decisions to make, or groups that do not fit.
    """
    require_decisions(population)
    count = population.age.shape[0]
    groups = np.asarray(population.age if group is None else group)
    if groups.shape != (count,) or groups.min() < 0:
        raise InputError("group", list(groups.shape), f"Give one number of 0 or more for each of {count} people.")
    first, last = WORKING_AGES
    employed = (population.age >= first) & (population.age <= last) & (population.work.degrees > 0)
    conduct = Conduct(
        behaviour=behaviour,
        group=jnp.asarray(groups, jnp.int32),
        employed=employed.astype(jnp.float32),
        working=jnp.ones(count),
        totals=jnp.zeros(2),
        draws=draws,
    )
    return eqx.tree_at(lambda p: p.conduct, population, conduct, is_leaf=lambda x: x is None)


def require_decisions(population: Any) -> None:
    """Raise InputError for a population whose model has no weekly decisions."""
    if not hasattr(population, "conduct"):
        kind = type(population).__name__
        raise InputError("behaviour", kind, "Use a model whose people decide each week: epidemic.")


def sampled(key: PRNGKeyArray, chance: Float[Array, "actions groups"], samples: int) -> Array:
    """Share of yes among ``samples`` answers of each group: what asking that often gives, without the asking."""
    noise = uniform(key, samples * chance.size).reshape(samples, *chance.shape)
    return (noise < chance).mean(0, dtype=jnp.float32)


def ages_of_groups() -> Int[Array, " groups"]:
    """Age bins of groups that are the age bins."""
    return jnp.arange(len(AGES), dtype=jnp.int32)
