"""Calibration: parameters whose runs come closest to data, or what the data leave plausible, at equal cost.

All methods move the same unbounded weights, are given the same number of simulator calls (one call is one run; a slope
comes with its run, at several times its time, so ``seconds`` is reported beside ``calls``), and name what they think
best; the nominees of each are judged on the same fresh runs, which are counted apart.

- ``gradient``, ``cma-es``, ``random``: one best point; see ``shoal.populations.searches``.
- ``variational``, ``abc``: a posterior, from which intervals are read; see ``variational`` and ``approximate``.

``calibnn`` as a method is ``gradient`` with a network in place of free numbers: see ``shoal.populations.calibnn``.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jaxtyping import PRNGKeyArray
from numpy.typing import ArrayLike, NDArray

from shoal.errors import InputError, UnknownName
from shoal.populations.approximate import Approximation
from shoal.populations.calibnn import calibnn
from shoal.populations.model import Facts, Parameters, PopulationModel
from shoal.populations.objective import Loss, Mode, Objective, objective
from shoal.populations.parametrisation import Given
from shoal.populations.posterior import Posterior
from shoal.populations.rollout import advance, rollout, run_keys
from shoal.populations.searches import Adaptation, Gradient, RandomSearch, Search
from shoal.populations.simulation import Simulation, simulate
from shoal.populations.streams import Streams
from shoal.populations.variational import Variational
from shoal.runs.seeds import derive
from shoal.stats import Estimate, mean

if TYPE_CHECKING:
    import polars as pl

Vector = NDArray[np.float64]
NOMINEES = 3
"""Evaluated weights that are judged besides the search's own centre."""
JUDGES = 8
"""Runs that judge each nominee."""


METHODS: dict[str, type[Search]] = {
    "gradient": Gradient,
    "cma-es": Adaptation,
    "random": RandomSearch,
    "variational": Variational,
    "abc": Approximation,
}

CALIBNN = "calibnn"
"""As a method: gradient, with CalibNN in place of free numbers."""


@dataclass(frozen=True)
class Calibration:
    """What a calibration came to.

    Attributes:
        objective: what was minimised.
        method: by which.
        weights: the best weights [numbers].
        values: the free parameters there.
        loss: of the best, over the judging runs, which no search has seen.
        tried: weights of each evaluation [evaluations, numbers].
        trace: loss of each evaluation [evaluations].
        calls: runs of the simulator by the search.
        judging: runs of the simulator to choose among the nominees.
        seconds: wall time, compilation included.
        posterior: what the data leave plausible, by ``variational`` and ``abc``; else None.
    """

    objective: Objective = field(repr=False)
    method: str
    weights: Vector = field(repr=False)
    values: dict[str, NDArray[np.float64]]
    loss: Estimate
    tried: Vector = field(repr=False)
    trace: Vector = field(repr=False)
    calls: int
    judging: int
    seconds: float
    posterior: Posterior | None = None

    @property
    def parameters(self) -> dict[str, Any]:
        """All parameters: the fitted and the fixed ones."""
        return {**{name: np.asarray(x) for name, x in self.objective.fixed.items()}, **self.values}

    def simulate(self, steps: int | None = None, seeds: int = 8, **changed: Any) -> Simulation:
        """Runs at the best values, with some parameters changed; the same seeds give the same random numbers.

        Args:
            steps: of each run; more than the data have is a forecast.
            seeds: how many runs.
            changed: parameters by name.
        """
        o = self.objective
        return simulate(
            o.model, steps or o.steps, seeds, {**_numbers(self.parameters), **changed}, population=o.population
        )

    def prospect(self, steps: int, seeds: int = 8, **changed: Any) -> Simulation:
        """Runs that continue from where the fitted ones end; what happened until then stays, whatever is changed.

        Args:
            steps: after the last day of the data.
            seeds: how many runs; the same as those of ``simulate``, and the same random numbers for every change.
            changed: parameters by name, from the first day after the data; rows of weeks count from the first day of
                the data, as the fitted ones do.
        """
        o = self.objective
        fitted = o.model.check(_numbers(self.parameters))
        after = o.model.check({**_numbers(self.parameters), **changed})
        run = _continued(o.model, o.steps, steps)
        began = time.perf_counter()
        tables = [jax.device_get(run(key, o.population, fitted, after)) for key in run_keys(range(seeds))]
        series = {name: np.stack([np.asarray(table[name], np.float64) for table in tables]) for name in tables[0]}
        return Simulation(o.model, after, tuple(range(seeds)), series, time.perf_counter() - began)

    def frame(self) -> pl.DataFrame:
        """One row for each evaluation: its number, calls so far, loss, best loss so far, and the parameters."""
        import polars as pl

        per = self.calls // self.trace.size  # runs aside are fewer than evaluations
        columns: dict[str, Any] = {
            "evaluation": np.arange(self.trace.size),
            "calls": per * np.arange(1, self.trace.size + 1),
            "loss": self.trace,
            "best": np.minimum.accumulate(np.where(np.isfinite(self.trace), self.trace, np.inf)),
        }
        found = [self.objective.values(w) for w in self.tried]
        for name in self.values:
            rows = np.stack([np.atleast_1d(f[name]) for f in found])
            single = rows.shape[1] == 1
            columns.update({name if single else f"{name}[{k}]": rows[:, k] for k in range(rows.shape[1])})
        return pl.DataFrame(columns)


def calibrate(
    model: PopulationModel[Any, Any],
    data: Streams | Mapping[str, ArrayLike],
    method: str = "gradient",
    parameters: Given = None,
    calls: int = 200,
    seeds: int = 1,
    *,
    root: int = 0,
    fixed: Mapping[str, Any] | None = None,
    weights: Mapping[str, float] | None = None,
    population: Any = None,
    world: int = 0,
    mode: Mode = "auto",
    loss: Loss = "each",
    temperature: float | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Calibration:
    """Fit a model to data.

    Args:
        model: with its settings.
        data: observed series; see ``objective``.
        method: gradient, cma-es, random, variational or abc; or calibnn: the gradient, through a network that reads
            the data.
        parameters: what may move: names, names with bounds, or a function that gives them; see ``parametrisation``.
        calls: runs of the simulator that the search may make.
        seeds: runs that each loss is a mean of.
        root: of all random numbers of the search.
        fixed: values of other parameters.
        weights: of streams in the loss.
        population: made before by ``model.population``.
        world: seed of the population, if it is made here.
        mode: of differentiation: auto, forward or reverse.
        loss: mean over runs of ``each`` run's, or that of their ``mean`` (two seeds or more); see ``objective``.
        temperature: of the loss, for ``variational`` only; found from runs if not given.
        progress: called with calls made, their number, and a line on the best loss so far.

    Raises:
        InputError, UnknownName: anything that does not fit; see ``objective`` and ``search``.
    """
    if method == CALIBNN:
        parameters = calibnn(model, data, parameters)
    problem = objective(
        model, data, parameters, fixed=fixed, weights=weights, population=population, world=world, mode=mode, loss=loss
    )
    way = "gradient" if method == CALIBNN else method
    fit = search(problem, way, calls, seeds, root, temperature=temperature, progress=progress)
    return replace(fit, method=method)


def search(
    problem: Objective,
    method: str = "gradient",
    calls: int = 200,
    seeds: int = 1,
    root: int = 0,
    *,
    temperature: float | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Calibration:
    """Minimise an objective; see ``calibrate``. Raises InputError or UnknownName."""
    began = time.perf_counter()
    way, evaluations, aside = _way(problem, method, calls, seeds, root, temperature)
    tried, trace = [], []
    for number in range(evaluations):
        weights, keys = way.ask(), _keys(root, "search", number, seeds)
        if way.wants_slope:
            loss, slope = problem.slope(weights, keys)
        else:
            loss, slope = problem.loss(weights, keys), None
        way.tell(weights, loss, slope)
        tried.append(weights)
        trace.append(loss)
        if progress is not None:
            progress((number + 1) * seeds, evaluations * seeds, f"best loss {np.nanmin(trace):.4g}")
    nominees = [tried[i] for i in np.argsort(np.nan_to_num(trace, nan=np.inf), kind="stable")[:NOMINEES]]
    best, loss_there, judging = _judged(problem, [way.centre(), *nominees], root)
    return Calibration(
        objective=problem,
        method=method,
        weights=best,
        values=problem.values(best),
        loss=loss_there,
        tried=np.stack(tried),
        trace=np.asarray(trace, float),
        calls=evaluations * seeds + aside,
        judging=judging,
        seconds=time.perf_counter() - began,
        posterior=way.posterior(),
    )


def _way(
    problem: Objective, method: str, calls: int, seeds: int, root: int, temperature: float | None
) -> tuple[Search, int, int]:
    """The search, its evaluations, and the runs that it makes besides them."""
    if method not in METHODS:
        raise UnknownName("method", method, METHODS)
    if seeds < 1:
        raise InputError("seeds", seeds, "Use at least 1.")
    if problem.loss_of == "mean" and seeds < 2:
        raise InputError("seeds", seeds, "Use at least 2 for the loss of the mean run.")
    kind = METHODS[method]
    if temperature is not None and kind is not Variational:
        raise InputError("temperature", temperature, f"Only variational has one; leave it out of {method}.")
    aside = kind.aside if temperature is None else 0
    least = kind.fewest * seeds + aside
    if calls < least:
        raise InputError("calls", calls, f"Allow at least {least} for {method}, with {seeds} for each loss.")
    evaluations, seed = (calls - aside) // seeds, derive(root, "calibration", method)
    if kind is Variational:
        return Variational(problem, evaluations, seed, temperature), evaluations, aside
    return kind(problem, evaluations, seed), evaluations, aside


@functools.lru_cache(maxsize=16)
def _continued(model: PopulationModel[Any, Any], before: int, steps: int) -> Callable[..., Facts]:
    """The run of ``before`` steps at some parameters, and what the ``steps`` after it report at others."""

    @jax.jit
    def run(key: Any, population: Any, fitted: Parameters, after: Parameters) -> Facts:
        state, _ = rollout(model, before, key, population, fitted)
        return advance(model, steps, jax.random.fold_in(key, before), state, after)[1]

    compiled: Callable[..., Facts] = run
    return compiled


def _judged(problem: Objective, nominees: list[Vector], root: int) -> tuple[Vector, Estimate, int]:
    """The nominee of the lowest loss over fresh runs, the same for all; its loss over yet others; and runs made."""
    keys, others = (_keys(root, purpose, 0, JUDGES) for purpose in ("judges", "loss"))
    losses = [problem.loss(weights, keys) for weights in nominees]
    best = nominees[int(np.argmin(np.nan_to_num(losses, nan=np.inf)))]
    # Another set of runs: the lowest of several losses is too low.
    return best, mean(problem.losses(best, others)), JUDGES * (len(nominees) + 1)


def _keys(root: int, purpose: str, number: int, count: int) -> PRNGKeyArray:
    return jax.random.split(jax.random.key(derive(root, "calibration", purpose, number) % 2**32), count)


def _numbers(parameters: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """Parameters as plain numbers or rows of them."""
    return {name: x.item() if x.ndim == 0 else x.tolist() for name, x in parameters.items()}
