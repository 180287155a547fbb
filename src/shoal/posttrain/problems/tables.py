"""Teams of tabular policies: a softmax over actions for each state of each agent, many seeds at once.

A problem plays episodes and hands back rows, one for each decision; learning is the plain policy gradient of the rows
with any advantages, on the policy that played (so probability ratios are 1 and clipping does nothing).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]
Tables = dict[str, Floats]
"""Logits by agent [seeds, states, actions]."""


@dataclass(frozen=True)
class Rows:
    """Decisions, one a row.

    Attributes:
        seed: to which replicate each belongs.
        task: number of its task, distinct between seeds.
        trajectory: number of its episode, distinct between tasks.
        agent: position of its agent in the problem's ``agents``.
        state: what the agent saw.
        action: what it did.
        reward: outcome of the episode.
        outcome: of every episode, those without rows too [seeds, tasks, group].
    """

    seed: Ids
    task: Ids
    trajectory: Ids
    agent: Ids
    state: Ids
    action: Ids
    reward: Floats
    outcome: Floats


def take(rows: Rows, index: Ids) -> Rows:
    """Some rows, in that order; one may be taken more than once."""
    picked = {f.name: getattr(rows, f.name)[index] for f in fields(Rows) if f.name != "outcome"}
    return Rows(**picked, outcome=rows.outcome)


class TabularProblem(ABC):
    """A team's task with finitely many states and actions.

    Attributes:
        agents: names.
        shapes: states and actions of each agent.
    """

    agents: tuple[str, ...]
    shapes: Mapping[str, tuple[int, int]]

    @abstractmethod
    def play(self, chances: Tables, tasks: int, group: int, rng: np.random.Generator) -> Rows:
        """Play ``tasks`` tasks ``group`` times with each seed's policy (probabilities, shaped as the tables)."""

    def fresh(self, seeds: int) -> Tables:
        """Uniform policies."""
        return {name: np.zeros((seeds, *self.shapes[name])) for name in self.agents}


def chances(tables: Tables) -> Tables:
    """Probabilities of logits."""
    shifted = {name: np.exp(x - x.max(-1, keepdims=True)) for name, x in tables.items()}
    return {name: x / x.sum(-1, keepdims=True) for name, x in shifted.items()}


def draw(chance: Floats, uniform: Floats) -> Ids:
    """An action for each row of probabilities [..., actions], by inversion."""
    total = chance.cumsum(-1)
    picked: Ids = (uniform[..., None] * total[..., -1:] > total).sum(-1)
    return picked


def gradients(problem: TabularProblem, tables: Tables, rows: Rows, gain: Floats) -> Tables:
    """Ascent directions: for each agent the mean over its rows of advantage times the score, for each seed."""
    now, found = chances(tables), {}
    seeds = next(iter(tables.values())).shape[0]
    for number, name in enumerate(problem.agents):
        own = rows.agent == number
        seed, state, action, a = rows.seed[own], rows.state[own], rows.action[own], gain[own]
        slope = -now[name][seed, state] * a[:, None]
        slope[np.arange(len(a)), action] += a
        total = np.zeros_like(tables[name])
        np.add.at(total, (seed, state), slope)
        count = np.bincount(seed, minlength=seeds)
        found[name] = total / np.maximum(count, 1)[:, None, None]
    return found


def norms(slopes: Tables) -> dict[str, Floats]:
    """Length of each agent's gradient for each seed."""
    return {name: np.sqrt(np.square(x).sum((1, 2))) for name, x in slopes.items()}


@dataclass
class Adam:
    """Adam on tables (arXiv 1412.6980); plain ascent where ``plain``."""

    rate: float
    plain: bool = False
    step: int = 0

    def __post_init__(self) -> None:
        self._mean: Tables = {}
        self._square: Tables = {}

    def ascend(self, tables: Tables, slopes: Tables) -> Tables:
        """Tables after one step."""
        if self.plain:
            return {name: x + self.rate * slopes[name] for name, x in tables.items()}
        self.step += 1
        moved = {}
        for name, x in tables.items():
            self._mean[name] = 0.9 * self._mean.get(name, 0.0) + 0.1 * slopes[name]
            self._square[name] = 0.999 * self._square.get(name, 0.0) + 0.001 * np.square(slopes[name])
            mean = self._mean[name] / (1 - 0.9**self.step)
            square = self._square[name] / (1 - 0.999**self.step)
            moved[name] = x + self.rate * mean / (np.sqrt(square) + 1e-8)
        return moved
