"""Archetypes: people who would get the same prompt share one; a model is asked for archetypes, never for people.

An archetype is a combination of values of the prompt's variables that is present in the population, so that a decision
costs archetypes x samples x actions queries however many people there are (AgentTorch, arXiv 2409.10568, section 3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError, UnknownName
from shoal.models.interface import ChatMessage
from shoal.populations.behaviour import Situation
from shoal.populations.city import AGES, Shares
from shoal.runs.seeds import generator

Level = Literal["demographics", "disease", "full"]
LEVELS: tuple[Level, ...] = ("demographics", "disease", "full")
"""What a prompt tells besides the person: nothing; cases; cases, months and payments."""

VARIABLES = ("age", "sex", "area", "income", "health")
"""What a person can be told apart by; health changes in a run, the others do not."""
USUAL = ("age", "sex", "area", "income")
INCOMES = ("low", "middle", "high")
INCOME_SHARES = (0.3, 0.4, 0.3)
HEALTH = ("well", "ill", "recovered")

Names = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Archetypes:
    """The archetypes of a population.

    Attributes:
        labels: what the values of each variable are called.
        values: of each archetype [archetypes, variables].
        sizes: people in each archetype; at least one.
        cell: place of each archetype among all conceivable combinations [archetypes].
        code: the same of each person; -1 for those who are not there [agents].
        cells: how many combinations are conceivable.
        first: number of the first sample of each [archetypes]; equal people who are asked one by one differ in it.
    """

    labels: Names
    values: NDArray[np.int64]
    sizes: NDArray[np.int64]
    cell: NDArray[np.int64]
    code: NDArray[np.int64] = field(repr=False)
    cells: int
    first: NDArray[np.int64] = field(repr=False)

    @property
    def count(self) -> int:
        """How many there are."""
        return int(self.cell.size)

    @property
    def group(self) -> NDArray[np.int64]:
        """Archetype of each person [agents], -1 for those who are not there."""
        place = np.searchsorted(self.cell, self.code)
        return np.where(self.code >= 0, np.minimum(place, max(self.count - 1, 0)), -1)

    def column(self, variable: str) -> NDArray[np.int64]:
        """Value of a variable in each archetype. Raises UnknownName."""
        if variable not in self.labels:
            raise UnknownName("variable", variable, self.labels)
        return self.values[:, list(self.labels).index(variable)]

    def described(self, number: int) -> dict[str, str]:
        """An archetype in words, by variable."""
        return {name: names[v] for (name, names), v in zip(self.labels.items(), self.values[number], strict=True)}

    def spread(self, table: NDArray[np.float64]) -> NDArray[np.float64]:
        """A table [..., archetypes] by conceivable combination [..., cells]; 0 where nobody is."""
        whole = np.zeros((*table.shape[:-1], self.cells))
        whole[..., self.cell] = table
        return whole


def find_archetypes(
    columns: Mapping[str, NDArray[Any]], labels: Names, present: NDArray[np.bool_] | None = None
) -> Archetypes:
    """The combinations that people have.

    Args:
        columns: value of each person, by variable; indices into the variable's labels.
        labels: what values are called, by variable.
        present: who counts; everybody if not given. Nobody at all gives no archetypes.

    Raises:
        InputError: no variables, columns of different lengths, or values without a label.
    """
    if not columns:
        raise InputError("variables", (), f"Name some of: {', '.join(VARIABLES)}.")
    lengths = {np.asarray(x).shape for x in columns.values()}
    if len(lengths) != 1:
        raise InputError("variables", {n: np.asarray(x).size for n, x in columns.items()}, "Give one value each.")
    code = np.zeros(next(iter(lengths)), np.int64)
    for name, column in columns.items():
        size, x = len(labels[name]), np.asarray(column, np.int64)
        if x.size and not (x.min() >= 0 and x.max() < size):
            wrong = int(x[(x < 0) | (x >= size)][0])
            raise InputError(f"variable {name}", wrong, f"Its values are numbered from 0 to {size - 1}.")
        code = code * size + x
    if present is not None:
        code = np.where(present, code, -1)
    sizes = np.bincount(code[code >= 0], minlength=1)
    cell = np.flatnonzero(sizes)
    shape = [len(labels[name]) for name in columns]
    values = np.stack(np.unravel_index(cell, shape), axis=1).astype(np.int64)
    named = {name: labels[name] for name in columns}
    return Archetypes(named, values, sizes[cell], cell, code, int(np.prod(shape)), np.zeros(cell.size, np.int64))


def one_by_one(archetypes: Archetypes) -> Archetypes:
    """Every person as an archetype of their own: one model for each agent, the paper's comparison."""
    there = np.flatnonzero(archetypes.code >= 0)
    group = archetypes.group[there]
    # Equal people get equal prompts, and must not get the same sample of the answer.
    order = np.argsort(group, kind="stable")
    begins = np.concatenate([[0], np.cumsum(archetypes.sizes)])[:-1]
    rank = np.empty(there.size, np.int64)
    rank[order] = np.arange(there.size) - begins[group[order]]
    code = np.where(archetypes.code >= 0, np.arange(archetypes.code.size), -1)
    values, ones = archetypes.values[group], np.ones(there.size, np.int64)
    return Archetypes(archetypes.labels, values, ones, there, code, archetypes.code.size, rank)


@dataclass(frozen=True)
class People:
    """What a population's people are told apart by.

    Attributes:
        labels: what values are called, by variable.
        fixed: value of each person, by variable that does not change.
        individually: everybody is asked, instead of archetypes.
    """

    labels: Names
    fixed: Mapping[str, NDArray[np.int64]] = field(repr=False)
    individually: bool = False

    def archetypes(self, state: Any) -> Archetypes:
        """Archetypes of those who live, in that state of the epidemic."""
        from shoal.populations.models.epidemic import DEAD, INFECTIOUS, RECOVERED

        stage = np.asarray(state.stage)
        columns = dict(self.fixed)
        if "health" in self.labels:  # the exposed do not know yet
            columns["health"] = np.where(stage == INFECTIOUS, 1, np.where(stage == RECOVERED, 2, 0))
        ordered = {name: columns[name] for name in self.labels}
        found = find_archetypes(ordered, self.labels, stage != DEAD)
        return one_by_one(found) if self.individually else found


def people_of(
    model: Any, population: Any, variables: Sequence[str] = USUAL, seed: int = 0, *, individually: bool = False
) -> People:
    """The people of an epidemic's population.

    Income is made up here (three levels of INCOME_SHARES, whatever the age), since the city has none.

    Args:
        model: the epidemic.
        population: its people.
        variables: what they are told apart by, some of VARIABLES.
        seed: of incomes.
        individually: ask everybody, instead of archetypes.

    Raises:
        InputError, UnknownName: no variables, an unknown one, or one twice.
    """
    for name in variables:
        if name not in VARIABLES:
            raise UnknownName("variable", name, VARIABLES)
    if not variables or len(set(variables)) != len(variables):
        raise InputError("variables", list(variables), f"Name some of {', '.join(VARIABLES)}, each once.")
    sexes, areas = _city_names(model)
    count = population.age.shape[0]
    labels = {"age": AGES, "sex": sexes, "area": areas, "income": INCOMES, "health": HEALTH}
    incomes = generator(seed, "income").choice(len(INCOMES), count, p=INCOME_SHARES)
    fixed = {"age": population.age, "sex": population.sex, "area": population.area, "income": incomes}
    chosen = {n: np.asarray(x, np.int64) for n, x in fixed.items() if n in variables}
    return People({name: labels[name] for name in variables}, chosen, individually)


def _city_names(model: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What sexes and areas are called in the model's city."""
    from shoal.populations.tables import read_tables

    shares = read_tables(model.settings.tables, {}) if model.settings.tables is not None else Shares()
    return shares.sex_names, shares.area_names


SYSTEM = (
    "A disease that spreads when people meet is in the city; it is more dangerous for the old. You speak as the person "
    "who is described to you, with that person's means and worries. Answer the question with Yes or No as the first "
    "word, then give your reason in one short sentence."
)
QUESTIONS = {
    "isolate": "Do you stay at home this week and avoid meeting others?",
    "work": "Do you go to work this week?",
}


def prompt(person: Mapping[str, str], situation: Situation | None, action: str, level: Level) -> list[ChatMessage]:
    """What a model is asked about one archetype.

    Args:
        person: values by variable.
        situation: of this week; not read at level ``demographics``.
        action: one of QUESTIONS.
        level: what is told besides the person.
    """
    lines = ["You are this person.", *(f"{name.capitalize()}: {value}" for name, value in person.items())]
    if situation is not None and level != "demographics":
        lines.append(f"New cases last week: {rounded(float(situation.cases)):g} per 100,000 people")
        lines.append(f"Change on the week before: {rounded(float(situation.change)):+g}%")
    if situation is not None and level == "full":
        lines.append(f"Months since the start: {float(situation.months):.0f}")
        lines.append(f"Stimulus payment this month: {'yes' if float(situation.payment) > 0 else 'none'}")
    lines += ["", QUESTIONS[action], "Begin with Yes or No."]
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": "\n".join(lines)}]


def rounded(value: float, digits: int = 2) -> float:
    """To that many leading digits: people read round figures, and equal prompts are asked once."""
    return float(f"{value:.{digits}g}")
