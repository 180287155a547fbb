"""Weekly decisions in the loop: a week is simulated (compiled), a panel is asked about what came of it, and so on.

Seeds go side by side, so that a model gets the questions of all of them at once. Random numbers are those of
``simulate``: a panel whose answers never change gives the same run, bit for bit, as a table of the same probabilities.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError
from shoal.populations.archetypes import Archetypes, People
from shoal.populations.behaviour import ACTIONS, Situation, Table, with_behaviour
from shoal.populations.model import Parameters, PopulationModel
from shoal.populations.models.epidemic import situation as situation_of
from shoal.populations.panel import Answers, Panel, Tally
from shoal.populations.rollout import run_keys
from shoal.populations.simulation import Simulation

WEEK = 7


@dataclass(frozen=True)
class Decision:
    """One decision of one run.

    Attributes:
        seed: of the run.
        week: from 0.
        situation: what prompts told.
        archetypes: who was asked.
        answers: what they said.
    """

    seed: int
    week: int
    situation: Situation
    archetypes: Archetypes = field(repr=False)
    answers: Answers = field(repr=False)


@dataclass(frozen=True)
class AskedSimulation:
    """A simulation whose people were asked.

    Attributes:
        simulation: what it came to.
        decisions: all of them, week by week.
        tally: of the queries.
    """

    simulation: Simulation
    decisions: tuple[Decision, ...] = field(repr=False)
    tally: Tally


async def simulate_weekly(
    model: PopulationModel[Any, Any],
    steps: int,
    seeds: int | Sequence[int],
    panel: Panel,
    people: People,
    parameters: Mapping[str, Any] | None = None,
    *,
    population: Any,
    progress: Callable[[int, int], None] | None = None,
) -> AskedSimulation:
    """Run an epidemic whose archetypes are asked at the start of every week.

    Args:
        model: the epidemic.
        steps: days.
        seeds: seed numbers, or how many.
        panel: who is asked, and how; actions it is not asked about are never taken, but all work.
        people: what the population is told apart by.
        parameters: by name; defaults for the rest.
        population: made by ``model.population``.
        progress: called with weeks done and their number.

    Raises:
        InputError, UnknownName: parameters that do not fit, no steps or seeds.
        ModelError: too many unreadable answers.
    """
    if steps < 1:
        raise InputError("steps", steps, "Simulate at least 1.")
    numbers = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
    if not numbers or len(set(numbers)) != len(numbers):
        raise InputError("seeds", seeds, "Give at least one, each once.")
    values, began = model.check(parameters or {}), time.perf_counter()
    cells = people.archetypes(population).cells
    undecided = with_behaviour(population, Table(jnp.zeros((len(ACTIONS), cells))))
    states, keys = _begun(model, steps, numbers, undecided, values)
    weeks = -(-steps // WEEK)
    parts: list[list[dict[str, Any]]] = [[] for _ in numbers]
    decisions: list[Decision] = []
    for week in range(weeks):
        made = await asyncio.gather(*(_decide(panel, people, state, values) for state in states))
        decisions += [Decision(seed, week, *one) for seed, one in zip(numbers, made, strict=True)]
        for run, (_, archetypes, answers) in enumerate(made):
            state = _decided(states[run], archetypes, answers)
            states[run], part = _days(model)(keys[run][week * WEEK : (week + 1) * WEEK], state, values)
            parts[run].append(jax.device_get(part))
        if progress is not None:
            progress(week + 1, weeks)
    series = {
        name: np.stack([np.concatenate([part[name] for part in run]) for run in parts]).astype(np.float64)
        for name in parts[0][0]
    }
    simulation = Simulation(model, values, numbers, series, time.perf_counter() - began)
    return AskedSimulation(simulation, tuple(decisions), panel.tally)


async def _decide(
    panel: Panel, people: People, state: Any, parameters: Parameters
) -> tuple[Situation, Archetypes, Answers]:
    known = jax.tree.map(np.asarray, situation_of(state, parameters))
    archetypes = people.archetypes(state)
    return known, archetypes, await panel.ask(archetypes, known)


def _decided(state: Any, archetypes: Archetypes, answers: Answers) -> Any:
    """The state with this week's table; those who are asked nothing do not isolate, and work."""
    table = np.zeros((len(ACTIONS), archetypes.cells))
    table[ACTIONS.index("work")] = 1.0
    for action, row in zip(answers.actions, archetypes.spread(answers.share), strict=True):
        table[ACTIONS.index(action)] = row
    group: NDArray[np.int64] = np.maximum(archetypes.code, 0)
    return eqx.tree_at(
        lambda s: (s.conduct.behaviour.values, s.conduct.group),
        state,
        (jnp.asarray(table, jnp.float32), jnp.asarray(group, jnp.int32)),
    )


def _begun(
    model: PopulationModel[Any, Any], steps: int, seeds: Sequence[int], population: Any, values: Parameters
) -> tuple[list[Any], list[Any]]:
    """States before the first day and keys of all days, as ``rollout`` makes them."""
    states, keys = [], []
    for key in run_keys(seeds):
        begin_key, day_key = jax.random.split(key)
        states.append(model.begin(begin_key, population, values))
        keys.append(jax.random.split(day_key, steps))
    return states, keys


@functools.lru_cache(maxsize=32)
def _days(model: PopulationModel[Any, Any]) -> Callable[[Any, Any, Parameters], tuple[Any, dict[str, Any]]]:
    """The compiled days of some keys."""

    @jax.jit
    def run(keys: Any, state: Any, parameters: Parameters) -> tuple[Any, dict[str, Any]]:
        after, table = jax.lax.scan(lambda s, key: model.step(key, s, parameters), state, keys)
        return after, table

    compiled: Callable[[Any, Any, Parameters], tuple[Any, dict[str, Any]]] = run
    return compiled
