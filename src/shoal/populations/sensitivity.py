"""Sensitivity: how much each parameter moves what a run comes to, by slopes, Sobol's indices or Morris' screening.

- ``gradient``: the slope of the outcome at one point, from one differentiated run for each seed ("one-shot"). Local,
  and as biased as the draws' estimator: with ``hits`` a measure that nobody is reached by (a probability of 0) has the
  slope 0. ``elasticity`` is the per cent change of the outcome for one per cent.
- ``sobol``: shares of the outcome's variance over the ranges (Saltelli 2010; first order and total).
- ``morris``: mean size of steps through the ranges (Campolongo 2007; mu* and sigma).

Every measure is computed for each seed alone, on the same points, so that its spread over seeds is shown with it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpy.typing import NDArray

from shoal.errors import InputError, UnknownName
from shoal.populations.model import Parameters, PopulationModel, replaced
from shoal.populations.parametrisation import FreeParameters, Given, parametrisation
from shoal.populations.rollout import advance, forward_slope, reported, rollout, run_keys
from shoal.populations.simulation import require_memory, simulate
from shoal.runs.seeds import derive
from shoal.stats import Estimate, mean

METHODS = ("gradient", "sobol", "morris")
Progress = Callable[[int, int], None] | None


@dataclass(frozen=True)
class Sensitivity:
    """How much parameters move an outcome.

    Attributes:
        method: gradient, sobol or morris.
        outcome: reported figure; its sum over steps for a flow, its last value for a level.
        names: of the parameters.
        measures: by name, each [seeds, parameters]: ``slope`` and ``elasticity``, ``first`` and ``total``, or
            ``mu_star`` and ``sigma``.
        calls: runs of the simulator.
    """

    method: str
    outcome: str
    names: tuple[str, ...]
    measures: Mapping[str, NDArray[np.float64]]
    calls: int

    def estimates(self, measure: str) -> dict[str, Estimate]:
        """Mean over seeds with its interval, by parameter."""
        if measure not in self.measures:
            raise UnknownName("measure", measure, self.measures)
        return {name: mean(self.measures[measure][:, k]) for k, name in enumerate(self.names)}


def sensitivity(
    model: PopulationModel[Any, Any],
    outcome: str,
    steps: int,
    method: str = "gradient",
    parameters: Given = None,
    *,
    seeds: int = 8,
    points: int = 16,
    fixed: Mapping[str, Any] | None = None,
    population: Any = None,
    world: int = 0,
    progress: Progress = None,
) -> Sensitivity:
    """Sensitivity of one outcome to some parameters.

    Args:
        model: with its settings.
        outcome: name of a reported figure.
        steps: of each run.
        method: gradient, sobol or morris.
        parameters: which, with their ranges as for calibration (a slope is taken at a point and needs no range).
        seeds: runs of each point; every measure is made once for each.
        points: of Sobol's sample (a power of 2; points x (parameters + 2) runs for each seed) or Morris' trajectories
            (points x (parameters + 1) runs for each seed).
        fixed: values of other parameters; for slopes also the point of the varied ones.
        population: made before by ``model.population``.
        world: seed of the population, if it is made here.
        progress: called with runs made and their number.

    Raises:
        InputError, UnknownName: method, outcome, parameters or numbers that do not fit.
    """
    if method not in METHODS:
        raise UnknownName("sensitivity", method, METHODS)
    free = parametrisation(model, parameters)
    if not isinstance(free, FreeParameters) or any(f.periods for _, f in free.free):
        raise InputError("sensitivity parameters", list(free.names), "Use single numbers.")
    if seeds < 1 or points < 2 or (method == "sobol" and points & (points - 1)):
        mend = "Use at least 1 seed and 2 points; for sobol a power of 2 (16, 32, 64, ...)."
        raise InputError("sensitivity seeds, points", (seeds, points), mend)
    if steps < 1:
        raise InputError("steps", steps, "Simulate at least 1.")
    if population is None:
        require_memory(model)
        population = model.population(derive(world, "population") % 2**32)
    known = reported(model, population)
    if outcome not in known:
        raise UnknownName(f"series of {model.name}", outcome, known)
    plan = _Plan(model, outcome, steps, free, seeds, fixed or {}, population, progress)
    measures, calls = _slopes(plan) if method == "gradient" else _sampled(plan, method, points)
    return Sensitivity(method, outcome, free.names, measures, calls)


@dataclass(frozen=True)
class _Plan:
    """What is asked; fields as in ``sensitivity``."""

    model: PopulationModel[Any, Any]
    outcome: str
    steps: int
    free: FreeParameters
    seeds: int
    fixed: Mapping[str, Any]
    population: Any
    progress: Progress


@dataclass(frozen=True)
class OneShot:
    """Slopes of an outcome from one run and one pass back through it.

    Attributes:
        value: of the outcome.
        parameters: slope along each parameter, by name; a row of weeks has a slope for each.
        agents: slope along numbers that every agent has [agents], by field of the state.
    """

    value: float
    parameters: dict[str, NDArray[np.float64]]
    agents: dict[str, NDArray[np.float64]]


def one_shot(
    model: PopulationModel[Any, Any],
    outcome: str,
    steps: int,
    fields: Sequence[str] = (),
    *,
    seed: int = 0,
    parameters: Mapping[str, Any] | None = None,
    population: Any = None,
    world: int = 0,
) -> OneShot:
    """Slopes along all parameters and along numbers of every agent at once, from one backward pass.

    Args:
        model: with its settings.
        outcome: name of a reported figure; its sum over steps for a flow, its last value for a level.
        steps: of the run.
        fields: of the state at the start, real numbers of each agent.
        seed: of the run.
        parameters: values by name; defaults for the rest.
        population: made before by ``model.population``.
        world: seed of the population, if it is made here.

    Raises:
        InputError, UnknownName: an outcome or a field that is not there, or a field without a real number for each.
    """
    values = model.check(parameters or {})
    if steps < 1:
        raise InputError("steps", steps, "Simulate at least 1.")
    if population is None:
        population = model.population(derive(world, "population") % 2**32)
    known = reported(model, population)
    if outcome not in known:
        raise UnknownName(f"series of {model.name}", outcome, known)
    begin_key, key = jax.random.split(run_keys([seed])[0])
    start = jax.eval_shape(lambda: model.begin(begin_key, population, values))
    nothing = {field: jnp.zeros(_field(model, start, field).shape) for field in fields}

    @jax.jit
    def both(varied: tuple[Parameters, dict[str, Array]], population: Any) -> tuple[Array, Any]:
        def of(varied: tuple[Parameters, dict[str, Array]]) -> Array:
            values, more = varied
            state = model.begin(begin_key, population, values)
            state = replaced(state, {name: getattr(state, name) + x for name, x in more.items()}) if more else state
            return _outcome(model, outcome, advance(model, steps, key, state, values, rematerialise=True)[1])

        found: tuple[Array, Any] = jax.value_and_grad(of)(varied)
        return found

    value, (along, by_agent) = jax.device_get(both((values, nothing), population))
    slopes, rows = ({n: np.asarray(x, np.float64) for n, x in found.items()} for found in (along, by_agent))
    return OneShot(float(value), slopes, rows)


def slope_by_agent(
    model: PopulationModel[Any, Any],
    outcome: str,
    field: str,
    steps: int,
    *,
    seed: int = 0,
    parameters: Mapping[str, Any] | None = None,
    population: Any = None,
    world: int = 0,
) -> NDArray[np.float64]:
    """Slope of an outcome along a number that every agent has at the start [agents], from one run in reverse.

    For the epidemic's ``ill`` it is what descends from each of the first cases.

    Raises:
        InputError, UnknownName: a field of the state that is not there or is no differentiable number of each agent.
    """
    found = one_shot(
        model, outcome, steps, (field,), seed=seed, parameters=parameters, population=population, world=world
    )
    return found.agents[field]


def _field(model: PopulationModel[Any, Any], state: Any, name: str) -> Any:
    """That field of the state. Raises InputError or UnknownName unless it holds a real number for each agent."""
    if not hasattr(state, name):
        raise UnknownName(f"field of {model.name}", name, vars(state))
    found = getattr(state, name)
    if not (hasattr(found, "dtype") and jnp.issubdtype(found.dtype, jnp.floating) and len(found.shape) == 1):
        raise InputError(f"field of {model.name}", name, "Name one that holds a real number for each agent.")
    return found


def _outcome(model: PopulationModel[Any, Any], name: str, table: Mapping[str, Array]) -> Array:
    series = table[name].astype(jnp.float32)
    outcome: Array = series.sum() if name in model.flows else series[-1]
    return outcome


@functools.lru_cache(maxsize=16)
def _differentiated(model: PopulationModel[Any, Any], outcome: str, steps: int, names: tuple[str, ...]) -> Any:
    """The outcome and its slopes [parameters], forward: nothing is stored, however many agents there are."""

    def value(point: Array, key: Any, population: Any, values: Parameters) -> Array:
        moved = values | {name: point[k] for k, name in enumerate(names)}
        return _outcome(model, outcome, rollout(model, steps, key, population, moved)[1])

    @jax.jit
    def both(point: Array, *arguments: Any) -> tuple[Array, Array]:
        return forward_slope(lambda x: value(x, *arguments), point)

    return both


def _slopes(plan: _Plan) -> tuple[dict[str, NDArray[np.float64]], int]:
    """Slopes of each seed at the fixed (or default) values."""
    values, names = plan.model.check(plan.fixed), plan.free.names
    for name in names:
        if values[name].ndim:
            raise InputError(f"parameter {name}", plan.fixed[name], "Give one number to take the slope at.")
    point = jnp.stack([values[name] for name in names])
    both = _differentiated(plan.model, plan.outcome, plan.steps, names)
    heights, slopes = [], []
    for number, key in enumerate(run_keys(range(plan.seeds))):
        height, slope = both(point, key, plan.population, values)
        heights.append(float(height))
        slopes.append(np.asarray(slope, np.float64))
        if plan.progress is not None:
            plan.progress(number + 1, plan.seeds)
    slope = np.stack(slopes)
    # Per cent for one per cent: of the mean outcome, so that a run that dies out does not divide by 0.
    level = float(np.mean(heights)) or 1.0
    return {"slope": slope, "elasticity": slope * np.asarray(point, np.float64) / level}, plan.seeds


def _sampled(plan: _Plan, method: str, points: int) -> tuple[dict[str, NDArray[np.float64]], int]:
    """Measures of each seed from runs at the sample's points."""
    shares, measure = _design(method, plan.free.names, points)
    heights = np.empty((plan.seeds, len(shares)))
    for number, row in enumerate(shares):
        values = {name: float(f.at(row[k])) for k, (name, f) in enumerate(plan.free.free)}
        given = {**plan.fixed, **values}
        runs = simulate(plan.model, plan.steps, plan.seeds, given, population=plan.population)
        heights[:, number] = runs.outcome(plan.outcome)
        if plan.progress is not None:
            plan.progress((number + 1) * plan.seeds, len(shares) * plan.seeds)
    each = [measure(x) for x in heights]
    return {name: np.stack([found[name] for found in each]) for name in each[0]}, heights.size


def _design(
    method: str, names: Sequence[str], points: int
) -> tuple[NDArray[np.float64], Callable[[NDArray[np.float64]], dict[str, NDArray[np.float64]]]]:
    """Points [points, parameters] as shares of the ranges, and the analysis of their outcomes."""
    try:
        if method == "sobol":
            from SALib.analyze import sobol as analysis
            from SALib.sample import sobol as sample
        else:
            from SALib.analyze import morris as analysis
            from SALib.sample import morris as sample
    except ImportError:
        raise InputError("sensitivity", method, "Install the package SALib, or use gradient.") from None
    problem = {"num_vars": len(names), "names": list(names), "bounds": [[0.0, 1.0]] * len(names)}
    if method == "sobol":
        shares = sample.sample(problem, points, calc_second_order=False, seed=0)
    else:
        shares = sample.sample(problem, points, seed=0)

    def measure(heights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        count = len(names)
        if not heights.std():  # the outcome never moved: no variance to share out
            keys = ("first", "total") if method == "sobol" else ("mu_star", "sigma")
            return {key: np.zeros(count) for key in keys}
        if method == "sobol":
            found = analysis.analyze(problem, heights, calc_second_order=False, seed=0)
            return {"first": np.asarray(found["S1"], float), "total": np.asarray(found["ST"], float)}
        found = analysis.analyze(problem, shares, heights, seed=0)
        return {"mu_star": np.asarray(found["mu_star"], float), "sigma": np.asarray(found["sigma"], float)}

    return np.asarray(shares, float), measure
