"""Three behaviour architectures, the oracle and ablations: fitted to ten weeks, judged on the eight that follow.

Retrospective: how close the fit is and its forecast. Prospective: what a payment in the coming weeks would change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shoal.runs.results import Measurements
from shoal.runs.seeds import derive
from shoal.runs.study import Trial
from shoal.studies.agenttorch.settings import (
    AGENTS,
    ARCHETYPES,
    ARMS,
    DEMOGRAPHICS,
    DISEASE,
    HEURISTIC,
    ORACLE,
    POLL,
    WEEK,
    City,
    Config,
    city,
)

if TYPE_CHECKING:
    from shoal.populations import PopulationModel, Simulation
    from shoal.populations.archetypes import Level
    from shoal.populations.calibration import Calibration

RANGES = {"reproduction": (1.5, 6.0), "initial": (5e-4, 1e-2)}
"""What every architecture fits; the heuristic fits its own level besides."""
GAMMA0, GAMMA1 = -15.0, 8.0
"""Planted line of unemployment, in percent."""
SAMPLE = 300
"""Agents that are asked one by one."""


@dataclass(frozen=True)
class Truth:
    """What was observed, and what is behind it.

    Attributes:
        reproduction: planted R.
        infections: of each day.
        willing: share of employees who work, of each week.
        claims: new claims in percent, of each week; known to all.
        unemployment: in percent, of each week.
        payment_effect: infections in the held-out weeks that the payments there prevent (negative: they cause some).
    """

    reproduction: float
    infections: NDArray[np.float64]
    willing: NDArray[np.float64]
    claims: NDArray[np.float64]
    unemployment: NDArray[np.float64]
    payment_effect: float


@dataclass(frozen=True)
class Arm:
    """An architecture.

    Attributes:
        model: the epidemic at its size.
        population: deciding its way.
        ranges: what it fits.
        queries: of each decision, for one action.
        scale: people that each of its agents stands for.
    """

    model: PopulationModel[Any, Any]
    population: Any
    ranges: Mapping[str, tuple[float, float]]
    queries: int
    scale: float = 1.0


def architectures(trial: Trial[Config]) -> Mapping[str, Sequence[Measurements]]:
    """All arms on all seeds; each seed has its own truth and its own noisy model."""
    config = trial.config
    town, small = city(config.agents), city(SAMPLE)
    measured: dict[str, list[Measurements]] = {name: [] for name in ARMS}
    for seed in trial.seeds:
        root = derive(trial.root, trial.experiment, seed)
        truth = observed(config, town, root)
        for name, arm in arms(config, town, small, root).items():
            measured[name].append(_judged(config, arm, truth, root))
    return measured


def observed(config: Config, town: City, root: int) -> Truth:
    """A run of the hidden function with planted numbers, drawn for each seed."""
    from shoal.populations.simulation import simulate

    rng = np.random.default_rng(derive(root, "truth"))
    planted = {"reproduction": rng.uniform(3.0, 4.0), "initial": rng.uniform(1e-3, 3e-3)}
    deciding, days = town.deciding(town.truth()), config.weeks * WEEK
    number = derive(root, "run") % 2**31
    run = simulate(town.model, days, [number], planted | {"payment": config.payments}, population=deciding)
    willing = run.series["willing"][0, ::WEEK]
    steps = 0.8 ** np.arange(config.weeks)
    claims = 2.5 + np.convolve(rng.normal(0, 0.2, config.weeks), steps)[: config.weeks]
    unemployment = GAMMA0 * willing + GAMMA1 * claims + rng.normal(0, 0.1, config.weeks)
    seeds = [derive(root, "effect", k) % 2**31 for k in range(config.runs)]
    pair = [
        simulate(town.model, days, seeds, planted | {"payment": paid}, population=deciding)
        for paid in (config.payments, _withheld(config))
    ]
    return Truth(
        planted["reproduction"], run.series["infections"][0], willing, claims, unemployment, _effect(config, *pair)
    )


def arms(config: Config, town: City, small: City, root: int) -> dict[str, Arm]:
    """The architectures of one seed; those that ask share a scripted model, with its own offsets for each seed."""
    import jax.numpy as jnp

    from shoal.populations.archetypes import one_by_one
    from shoal.populations.behaviour import Heuristic, Pooled
    from shoal.populations.respondents import respondents

    model: dict[str, Any] = {"seed": derive(root, "model"), "bias": config.bias, "noise": config.noise}
    kinds, people = town.archetypes, one_by_one(small.archetypes)
    samples = max(1, config.budget // kinds.count)
    asked = kinds.count * samples
    each = respondents(people, 1, **model)
    rule = Heuristic(jnp.asarray(kinds.column("age"), jnp.int32))
    levels: dict[str, Level] = {ARCHETYPES: "full", DISEASE: "disease", DEMOGRAPHICS: "demographics"}
    found = {
        name: Arm(town.model, town.deciding(respondents(kinds, samples, level, **model)), RANGES, asked)
        for name, level in levels.items()
    }
    everybody = np.zeros(config.agents, np.int64)
    return found | {
        HEURISTIC: Arm(town.model, town.deciding(rule), RANGES | {"isolation": (0.0, 1.0)}, 0),
        ORACLE: Arm(town.model, town.deciding(town.truth()), RANGES, 0),
        POLL: Arm(town.model, town.deciding(Pooled(each), everybody), RANGES, SAMPLE),
        AGENTS: Arm(small.model, small.deciding(each, np.arange(SAMPLE)), RANGES, SAMPLE, config.agents / SAMPLE),
    }


def _judged(config: Config, arm: Arm, truth: Truth, root: int) -> Measurements:
    """Fit, forecast, and distances from what came."""
    from shoal.populations.calibration import calibrate

    days = config.train_weeks * WEEK
    fit = calibrate(
        arm.model,
        {"infections": truth.infections[:days] / arm.scale},
        "cma-es",
        arm.ranges,
        config.calls,
        root=derive(root, "search"),
        fixed={"payment": config.payments},
        population=arm.population,
    )
    forecast = fit.simulate(config.weeks * WEEK, config.runs)
    return _distances(config, arm, truth, forecast) | _effects(config, arm, truth, fit, forecast)


def _distances(config: Config, arm: Arm, truth: Truth, forecast: Simulation) -> dict[str, Any]:
    from shoal.populations.employment import fit_employment

    days, weeks = config.train_weeks * WEEK, config.train_weeks
    infections = forecast.series["infections"] * arm.scale
    gap = (infections - truth.infections) ** 2
    low, high = np.quantile(infections[:, days:], [0.05, 0.95], axis=0)
    willing = forecast.series["willing"][:, ::WEEK]
    middle = willing.mean(0)
    line = fit_employment(middle[:weeks], truth.claims[:weeks], truth.unemployment[:weeks])
    off = (line.unemployment(willing, truth.claims) - truth.unemployment) ** 2
    return {
        "infection mse": gap[:, days:].mean(),
        "infection mse, mean curve": ((infections.mean(0) - truth.infections)[days:] ** 2).mean(),
        "infection mse, fitted weeks": gap[:, :days].mean(),
        "unemployment mse": off[:, weeks:].mean(),
        "willingness correlation": correlation(middle, truth.willing),
        "coverage": ((truth.infections[days:] >= low) & (truth.infections[days:] <= high)).mean(),
        "queries": arm.queries,
        "weekly infections": infections.mean(0).reshape(-1, WEEK).sum(1),
        "weekly infections, truth": truth.infections.reshape(-1, WEEK).sum(1),
    }


def _effects(config: Config, arm: Arm, truth: Truth, fit: Calibration, paid: Simulation) -> dict[str, Any]:
    """What payments in the held-out weeks would do, by this model and in truth."""
    withheld = fit.simulate(config.weeks * WEEK, config.runs, payment=_withheld(config))
    effect = _effect(config, paid, withheld) * arm.scale
    return {
        "reproduction error": abs(float(fit.values["reproduction"]) / truth.reproduction - 1),
        "payment effect": effect,
        "payment effect, truth": truth.payment_effect,
        "payment effect, error": abs(effect - truth.payment_effect),
    }


def _withheld(config: Config) -> list[float]:
    """Payments of the fitted weeks only."""
    return [paid if week < config.train_weeks else 0.0 for week, paid in enumerate(config.payments)]


def _effect(config: Config, paid: Simulation, withheld: Simulation) -> float:
    """Infections prevented in the held-out weeks, on the same random numbers."""
    days = config.train_weeks * WEEK
    totals = [s.series["infections"][:, days:].sum(1).mean() for s in (withheld, paid)]
    return float(totals[0] - totals[1])


def correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Pearson's; 0 where one of them never changes."""
    if one.std() < 1e-12 or other.std() < 1e-12:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])
