"""Simulation: a model run for many steps and seeds as one compiled loop, its aggregates kept, its agents not.

Seeds share the population and its networks and differ in what chance decides. They run one after the other in the same
compiled program: agents fill the machine by themselves, and each run can follow its own few senders.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError
from shoal.populations.model import Parameters, PopulationModel
from shoal.populations.rollout import rollout, run_keys
from shoal.populations.sharding import agents_mesh, shard
from shoal.runs.seeds import derive
from shoal.stats import Estimate, mean

if TYPE_CHECKING:
    import polars as pl

MEMORY_SHARE = 0.8
"""Share of the free memory that a run may take."""


@dataclass(frozen=True)
class Simulation:
    """What a simulation came to.

    Attributes:
        model: that was run.
        parameters: that it was run with.
        seeds: seed numbers.
        series: aggregates by name, each [seeds, steps, ...].
        seconds: wall time of the steps.
        build_seconds: wall time to make the population.
    """

    model: PopulationModel[Any, Any]
    parameters: Parameters
    seeds: tuple[int, ...]
    series: dict[str, NDArray[np.float64]]
    seconds: float = 0.0
    build_seconds: float = 0.0

    @property
    def steps(self) -> int:
        """Number of steps."""
        return int(next(iter(self.series.values())).shape[1])

    def outcome(self, name: str) -> NDArray[np.float64]:
        """What a series comes to in each run [seeds]: the sum over steps of a flow, the last value of a level."""
        values = self._one(name)
        return np.asarray(values.sum(axis=1) if name in self.model.flows else values[:, -1])

    def total(self, name: str) -> Estimate:
        """The outcome of a series: mean over seeds with its interval."""
        return mean(self.outcome(name))

    def peak(self, name: str) -> tuple[Estimate, Estimate]:
        """Height of a series' highest step, and its number: means over seeds with their intervals."""
        values = self._one(name)
        return mean(values.max(axis=1)), mean(values.argmax(axis=1).astype(float))

    def band(self, name: str, low: float = 0.05, high: float = 0.95) -> tuple[Any, Any, Any]:
        """Median and quantiles over seeds of a series, each [steps]."""
        values = self._one(name)
        return np.quantile(values, 0.5, axis=0), np.quantile(values, low, axis=0), np.quantile(values, high, axis=0)

    def frame(self) -> pl.DataFrame:
        """Tidy: seed, step, one column for each series."""
        import polars as pl

        count, steps = len(self.seeds), self.steps
        columns: dict[str, Any] = {
            "seed": np.repeat(np.asarray(self.seeds, np.int64), steps),
            "step": np.tile(np.arange(steps, dtype=np.int32), count),
        }
        columns.update({name: x.reshape(-1) for name, x in self.series.items() if x.ndim == 2})
        return pl.DataFrame(columns)

    def _one(self, name: str) -> NDArray[np.float64]:
        from shoal.errors import UnknownName

        if name not in self.series:
            raise UnknownName(f"series of {self.model.name}", name, self.series)
        return self.series[name]


def simulate(
    model: PopulationModel[Any, Any],
    steps: int,
    seeds: int | Sequence[int] = 1,
    parameters: Mapping[str, Any] | None = None,
    *,
    population: Any = None,
    world: int = 0,
    devices: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Simulation:
    """Run a model.

    Args:
        model: with its settings.
        steps: how many.
        seeds: seed numbers, or how many (0, 1, ...).
        parameters: by name; defaults for the rest.
        population: made before by ``model.population``, to share it among simulations.
        world: seed of the population, if it is made here.
        devices: among which the agents are divided; see ``sharding``.
        progress: called with seeds done and their number.

    Raises:
        InputError, UnknownName: parameters that do not fit, no steps or seeds, or a population too large for memory.
    """
    if steps < 1:
        raise InputError("steps", steps, "Simulate at least 1.")
    numbers = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
    if not numbers or len(set(numbers)) != len(numbers):
        raise InputError("seeds", seeds, "Give at least one, each once.")
    values = model.check(parameters or {})
    began = time.perf_counter()
    if population is None:
        require_memory(model)
        population = model.population(derive(world, "population") % 2**32)
    if devices != 1:
        population = shard(population, model.settings.agents, agents_mesh(devices))
    build_seconds = time.perf_counter() - began
    run = program(model, steps)
    keys = run_keys(numbers)
    began = time.perf_counter()
    parts = []
    for number, key in enumerate(keys):
        parts.append(jax.device_get(run(key, population, values)))
        if progress is not None:
            progress(number + 1, len(numbers))
    table = {name: np.stack([part[name] for part in parts]) for name in parts[0]}
    series = {name: np.asarray(x, np.float64) for name, x in table.items()}
    return Simulation(model, values, numbers, series, time.perf_counter() - began, build_seconds)


@functools.lru_cache(maxsize=32)
def program(model: PopulationModel[Any, Any], steps: int) -> Callable[[Any, Any, Parameters], dict[str, Any]]:
    """The compiled run: key, population, parameters to what was reported; models of the same settings share it."""

    @jax.jit
    def run(key: Any, population: Any, parameters: Parameters) -> dict[str, Any]:
        return rollout(model, steps, key, population, parameters)[1]

    compiled: Callable[[Any, Any, Parameters], dict[str, Any]] = run
    return compiled


def require_memory(model: PopulationModel[Any, Any]) -> None:
    """Raise InputError if the population would not fit into the memory that is free, with the size that would."""
    from shoal.runs.machine import free_memory

    free, need = free_memory(), model.bytes_per_agent * model.settings.agents
    if free is not None and need > MEMORY_SHARE * free:
        fits = int(MEMORY_SHARE * free / model.bytes_per_agent)
        mend = f"That needs about {need / 2**30:.1f} GiB, {free / 2**30:.1f} are free; {fits:,} agents would fit."
        raise InputError(f"model {model.name} agents", model.settings.agents, mend)
