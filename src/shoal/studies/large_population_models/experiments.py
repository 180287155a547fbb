"""What is measured; the study's header says how."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from shoal.runs.study import StudyConfig, Trial
from shoal.studies.large_population_models.planting import WEEK, Planted, plant

HITS, STRAIGHT, NONE = "hits", "straight-through", "no surrogate"
ESTIMATORS = {HITS: "hits", STRAIGHT: "straight", NONE: "none"}
NETWORK, NUMBERS, RANDOM, CMA, CASES_ONLY, EQUATIONS = (
    "CalibNN", "weekly numbers", "random search", "CMA-ES", "CalibNN, cases only", "equations, CalibNN"
)  # fmt: skip
CALIBRATIONS = (NETWORK, NUMBERS, RANDOM, CMA, CASES_ONLY, EQUATIONS)
CONSTANT = "constant theta"
SHARES, SERVERS, LARGE = "shares among neighbours", "helper servers", "helper servers, large"
SHORT, CLEAR = "masks too short", "no masks"
EARLY, WHOLE = "early wave", "whole wave"
ENGINE, LOOP = "engine", "Python loop"
GRAPHS = ("random", "small-world", "scale-free", "regular", "grid")
RANGES = {"reproduction": (0.3, 6.0), "initial": (1e-3, 0.1), "mortality": (5e-3, 0.3)}
REGULAR: dict[str, Any] = {"network": "regular", "degree": 8, "homes": False}
"""Settings of small programs: sums over neighbours are compiled for each number of them."""
NO_WEIGHT = 1e-12
POINT = (0.8, 1.0)
"""Weights at which slopes are checked: R 4.3, and 5% infectious at the start."""
STEP = 0.2
"""Of central differences, in weights."""
FORECASTS = 16
SURFACE = 9

ByVariant = dict[str, dict[str, Any]]


class Config(StudyConfig):
    """Settings of the study."""

    agents: int = Field(3000, ge=200, le=100_000, description="People of a planted town")
    weeks: int = Field(8, ge=4, le=30, description="Weeks that are fitted")
    later: int = Field(4, ge=1, le=10, description="Weeks that are held out")
    homes: bool = Field(True, description="Towns have households and chance contacts; else a regular graph")
    calls: int = Field(240, ge=8, le=10_000, description="Simulator calls of each calibration")
    gradient_agents: int = Field(400, ge=50, le=100_000, description="People in the gradient check")
    gradient_keys: int = Field(256, ge=16, le=10_000, description="Simulation keys of the gradient check")
    gradient_days: str = Field("14 56", description="Lengths of the runs of the gradient check")
    private_agents: int = Field(2000, ge=100, le=10_000, description="People of the private runs in shares")
    private_graphs: int = Field(5, ge=1, le=len(GRAPHS), description="Graphs of these runs")
    private_days: int = Field(60, ge=5, le=365, description="Days of these runs")
    private_large: int = Field(150_000, ge=1000, le=2_000_000, description="People of the large private run")
    leak_repeats: int = Field(4000, ge=200, le=100_000, description="Views of each world in the leak test")
    speed_agents: int = Field(100_000, ge=1000, le=1_000_000, description="People in the comparison with a Python loop")
    speed_days: int = Field(30, ge=3, le=365, description="Days of the engine's timed runs")
    loop_days: int = Field(3, ge=1, le=365, description="Days of the Python loop's timed runs")
    wave_agents: int = Field(1500, ge=200, le=100_000, description="People whose early wave is fitted")


@lru_cache(maxsize=2)
def town(agents: int, homes: bool) -> tuple[Any, Any]:
    """A contagion and its people: the same town for all seeds, so that programs are compiled once."""
    from shoal.populations import make_model

    model = make_model("contagion", agents=agents, **({} if homes else REGULAR))
    return model, model.population(0)


def gradient(trial: Trial[Config]) -> ByVariant:
    """Slopes of the loss from every key, and central differences on the same keys, on a regular graph."""
    from shoal.populations.calibration import search

    config, measured = trial.config, ByVariant()
    for days in map(int, config.gradient_days.split()):
        problems = {name: _checked(trial, estimator, days) for name, estimator in ESTIMATORS.items()}
        for name, problem in problems.items():
            # Every estimator has the same draws, so that one has the differences for all.
            found = _slopes(trial, problem, problems[HITS])
            measured.setdefault(name, {}).update({f"{what}, {days} days": x for what, x in found.items()})
    tried = search(problems[NONE], "gradient", 20, root=trial.derive("search")).tried
    measured[NONE]["largest move of calibration"] = float(np.abs(tried - tried[0]).max())
    return measured


def _checked(trial: Trial[Config], estimator: str, days: int) -> Any:
    """The objective whose slope is checked."""
    from shoal.populations import make_model, simulate
    from shoal.populations.objective import objective

    agents = trial.config.gradient_agents
    model = make_model("contagion", agents=agents, estimator=estimator, **REGULAR)
    people, truth = model.population(0), {"reproduction": 2.5, "initial": 0.03}
    cases = simulate(model, days, [trial.seed], truth, population=people).series["infections"][0]
    return objective(model, {"cases": cases}, {"reproduction": (0.5, 6.0), "initial": (1e-3, 0.2)}, population=people)


def _slopes(trial: Trial[Config], problem: Any, drawn: Any) -> dict[str, NDArray[np.float64]]:
    """Slope and central difference along both weights, for every key."""
    import jax

    keys = jax.random.split(jax.random.key(trial.derive("keys") % 2**32), trial.config.gradient_keys)
    at = np.array(POINT)
    slopes = np.stack([problem.slope(at, keys[k : k + 1])[1] for k in range(keys.size)])
    found: dict[str, NDArray[np.float64]] = {}
    for k, name in enumerate(problem.free.names):
        up, down = (drawn.losses(at + sign * STEP * np.eye(2)[k], keys) for sign in (1, -1))
        found |= {f"slope {name}": slopes[:, k], f"difference {name}": (up - down) / (2 * STEP)}
    return found


@dataclass(frozen=True)
class Held:
    """Plain numbers, one R for each of some periods; the last goes on, so that R has a value for every week.

    Attributes:
        free: the numbers.
        weeks: of R.
    """

    free: Any
    weeks: int

    @property
    def names(self) -> tuple[str, ...]:
        """Parameters that it gives."""
        return tuple(self.free.names)

    def start(self, key: Any) -> Any:
        """The middle of all ranges."""
        return self.free.start(key)

    def draw(self, key: Any) -> Any:
        """Uniform in the ranges."""
        return self.free.draw(key)

    def values(self, weights: Any) -> Any:
        """Parameters by name."""
        import jax.numpy as jnp

        found = self.free.values(weights)
        return found | {
            "reproduction": jnp.pad(found["reproduction"], (0, self.weeks - found["reproduction"].size), "edge")
        }


def _ranges(weeks: int) -> Any:
    from shoal.populations.parametrisation import Free, FreeParameters

    logs = [(name, Free(low, high, log=True)) for name, (low, high) in RANGES.items() if name != "reproduction"]
    return FreeParameters((("reproduction", Free(*RANGES["reproduction"], periods=weeks)), *logs))


def _fit(data: Planted, config: Config, variant: str, root: int) -> Any:
    """The calibration of that name on planted data."""
    from shoal.populations.calibnn import calibnn
    from shoal.populations.calibration import search
    from shoal.populations.compartments import Compartments
    from shoal.populations.objective import objective

    model, people = town(config.agents, config.homes)
    if variant == EQUATIONS:
        model = Compartments(agents=config.agents)
        people = model.population(0)
    weeks = config.weeks + config.later
    if variant in (NETWORK, CASES_ONLY, EQUATIONS):
        # What may not be read is 0 throughout, so that the network's program stays the same.
        read = data.streams | ({"deaths": np.zeros_like(data.streams["deaths"])} if variant == CASES_ONLY else {})
        free: Any = calibnn(model, read, dict(_ranges(weeks).free))
    else:
        free = Held(_ranges(1 if variant == CONSTANT else config.weeks), weeks)
    # A stream of no weight is not fitted, and the program stays the same.
    weights = {"deaths": NO_WEIGHT} if variant == CASES_ONLY else {}
    problem = objective(model, data.streams, free, population=people, weights=weights, loss="mean")
    way = {RANDOM: "random", CMA: "cma-es"}.get(variant, "gradient")
    return search(problem, way, config.calls, 2, root)


def planted(trial: Trial[Config]) -> ByVariant:
    """All calibrations of one town with a planted R(t): error of the next weeks, of mortality and of R."""
    config = trial.config
    data = _town_data(trial, "waves")
    truth, measured = data.parameters, ByVariant()
    for variant in CALIBRATIONS:
        fit = _fit(data, config, variant, trial.derive("search"))
        weekly = np.abs(fit.values["reproduction"] - truth["reproduction"])
        measured[variant] = {
            "held-out error": data.error(_forecast(fit, config)),
            "error of log mortality": abs(float(np.log(fit.values["mortality"] / truth["mortality"]))),
            "error of R": float(weekly[: config.weeks].mean()),
            "error of later R": float(weekly[config.weeks :].mean()),
            "loss": fit.loss.value,
            "calls": fit.calls,
            "seconds": fit.seconds,
        }
    return measured


def change(trial: Trial[Config]) -> ByVariant:
    """CalibNN and a constant R on a curve with a change point and on one without."""
    measured = ByVariant()
    for kind in ("change", "constant"):
        data = _town_data(trial, kind)
        for variant in (NETWORK, CONSTANT):
            fit = _fit(data, trial.config, variant, trial.derive("search", kind))
            into = measured.setdefault(variant, {})
            into[f"held-out error, {kind}"] = data.error(_forecast(fit, trial.config))
            into[f"loss, {kind}"] = fit.loss.value
    return measured


def _town_data(trial: Trial[Config], kind: str) -> Planted:
    config = trial.config
    model, people = town(config.agents, config.homes)
    rng, seed = trial.rng("town", kind), trial.derive("run", kind)
    return plant(model, people, kind, config.weeks, config.later, rng, seed)


def _forecast(fit: Any, config: Config) -> NDArray[np.float64]:
    """Mean daily infections of the fitted days and those held out."""
    mean: NDArray[np.float64] = (
        fit.simulate(WEEK * (config.weeks + config.later), FORECASTS).series["infections"].mean(0)
    )
    return mean


def private(trial: Trial[Config]) -> ByVariant:
    """Private runs beside open ones on five graphs (items), and slopes in shares beside open ones."""
    from shoal.populations import make_model

    config = trial.config
    measured: ByVariant = {name: {} for name in (SHARES, SERVERS)}
    for kind in GRAPHS[: config.private_graphs]:
        side = int(config.private_agents**0.5)
        model = make_model(
            "contagion", agents=side * side, network=kind, degree=8 if kind == "grid" else 6, variation=0.7
        )  # fmt: skip
        protocols = {SHARES: "shares", SERVERS: "servers"}
        for variant, found in _beside(model, trial, protocols, slopes=kind == GRAPHS[0]).items():
            for name, value in found.items():
                measured[variant].setdefault(name, []).append(value)
    large = make_model("contagion", agents=config.private_large, variation=0.7)
    return measured | _beside(large, trial, {LARGE: "servers"})


def _beside(model: Any, trial: Trial[Config], protocols: dict[str, str], slopes: bool = False) -> ByVariant:
    """Largest differences of private runs from the open one, and what they cost."""
    from shoal.populations import simulate
    from shoal.populations.objective import objective
    from shoal.populations.private import private as in_shares
    from shoal.populations.private import simulate_privately
    from shoal.populations.rollout import run_keys

    at, days = {"initial": 0.05, "isolation": 0.1, "mortality": 0.1}, trial.config.private_days
    people, measured = model.population(trial.seed), ByVariant()
    plain = simulate(model, days, [trial.seed], at, population=people)
    for variant, protocol in protocols.items():
        hidden = simulate_privately(
            model, days, [trial.seed], at, protocol=protocol, population=people, figures=tuple(plain.series)
        )  # fmt: skip
        measured[variant] = {
            "largest difference": max(float(np.abs(x - hidden.series[name]).max()) for name, x in plain.series.items()),
            "infections": float(plain.series["infections"].sum()),
            "seconds": hidden.seconds,
            "MiB of messages": hidden.log.bytes / 2**20,
            "revealing sums": hidden.revealing,
        }
        if slopes:
            data = {name: plain.series[name][0, :28] for name in ("infections", "deaths")}
            problem = objective(model, data, ["reproduction", "initial", "mortality"], population=people)
            keys = run_keys([trial.seed + 1])
            openly, in_private = (o.slope(np.zeros(3), keys)[1] for o in (problem, in_shares(problem, protocol)))
            measured[variant]["relative difference of slopes"] = float(np.abs(in_private / openly - 1).max())
    return measured


def leaks(trial: Trial[Config]) -> ByVariant:
    """p-values of parties' views (items: the agent in the middle, two leaves, a server) of two worlds."""
    from shoal.populations import network
    from shoal.populations.private.leaks import leak_test
    from shoal.populations.private.ring import Words
    from shoal.populations.private.sums import HelperServers, NeighbourShares

    class Short(NeighbourShares):
        """Masks of 20 bits, for numbers that have as many behind the point."""

        def _split(self, words: Words, parts: int) -> Words:
            drawn = self._rng.integers(0, 2**20, (*words.shape, parts - 1), np.uint64)
            return np.concatenate([drawn, (words - drawn.sum(-1, dtype=np.uint64))[..., None]], axis=-1)

    class Clear(NeighbourShares):
        """The first share is the number itself."""

        def _split(self, words: Words, parts: int) -> Words:
            return np.concatenate([words[..., None], np.zeros((*words.shape, parts - 1), np.uint64)], axis=-1)

    star = network(5, [0, 0, 0, 0], [1, 2, 3, 4])
    ring = network(5, [0, 0, 0, 0, 1, 3], [1, 2, 3, 4, 2, 4])
    one, two = [1, 1, 1, 0, 0], [1, 1, 0, 1, 0]
    measured = ByVariant()
    kinds: dict[str, Any] = {SHARES: NeighbourShares, SERVERS: HelperServers, SHORT: Short, CLEAR: Clear}
    for variant, kind in kinds.items():
        measured[variant] = {
            "p": [
                leak_test(
                    net, one, two, party, partial(kind, servers=3), trial.config.leak_repeats, trial.derive("shares")
                ).p
                for net, party in ((ring, 0), (star, 0), (star, 1), (star, 4), (star, -1))
            ]
        }
    return measured


def identifiability(trial: Trial[Config]) -> ByVariant:
    """Intervals of R and of the first infections from three weeks and from the whole wave, and the loss surface."""
    from shoal.populations import make_model, simulate
    from shoal.populations.calibration import calibrate
    from shoal.populations.identification import intervals, loss_surface

    model = make_model("contagion", agents=trial.config.wave_agents, **REGULAR)
    people = model.population(0)
    truth = {"reproduction": 2.2, "initial": 0.01}
    cases = simulate(model, 70, [trial.derive("run") % 2**31], truth, population=people).series["infections"][0]
    measured = ByVariant()
    for variant, days in ((EARLY, 21), (WHOLE, 70)):
        ranges = {"reproduction": (0.5, 6.0), "initial": (1e-3, 0.1)}
        fit = calibrate(model, {"cases": cases[:days]}, "gradient", ranges, 80, 2, population=people, loss="mean")
        found = {interval.name: interval for interval in intervals(fit, waves=3)}
        into = measured.setdefault(variant, {})
        for name, interval in found.items():
            into[f"{name} covers"] = interval.covers
            into[f"{name} holds the truth"] = float(interval.low <= truth[name] <= interval.high)
        into["flagged"] = float(any(interval.poor for interval in found.values()))
        if trial.seed == 0:
            into["surface"] = loss_surface(fit, "reproduction", "initial", SURFACE, 2).loss.ravel()
    return measured


def speed(trial: Trial[Config]) -> ByVariant:
    """Seconds for a day of the wave: the Python loop, the engine, and the engine with ten times the people."""
    from shoal.populations import make_model, simulate

    config, at = trial.config, {"initial": 0.02, "mortality": 0.01}
    measured: ByVariant = {ENGINE: {}}
    for times in (1, 10):
        model = make_model("contagion", agents=times * config.speed_agents)
        people = model.population(0)
        simulate(model, config.speed_days, [0], at, population=people)  # compiles
        seconds = simulate(model, config.speed_days, [trial.seed], at, population=people).seconds
        measured[ENGINE]["seconds a day" if times == 1 else "seconds a day, ten times the people"] = (
            seconds / config.speed_days
        )
        if times == 1:
            measured[LOOP] = {"seconds a day": _loop(model, people, at, config.loop_days, trial.derive("loop"))}
    return measured


def _loop(model: Any, people: Any, at: dict[str, float], days: int, seed: int) -> float:
    """Seconds for a day of the Python loop on the same ties, from the same share of first cases."""
    from shoal.studies.large_population_models.loop import day, uniform_noise
    from shoal.studies.large_population_models.loop import people as objects

    net: Any = people.ties
    tables: list[NDArray[Any]] = [np.asarray(x) for x in (people.infectiousness, net.offsets, net.neighbours)]
    town_ = objects(*(x.tolist() for x in tables))
    noise = uniform_noise(len(town_), seed)
    for person, first in zip(town_, noise(), strict=True):
        person.stage = "i" if first < at["initial"] else "s"
    s, meeting = model.settings, model.substeps()[1]
    pace = model.parameters["reproduction"].default / s.infectious_days / meeting.contacts
    began = time.perf_counter()
    for _ in range(days):
        day(town_, pace, at["mortality"], s.exposed_days, s.infectious_days, noise)
    return (time.perf_counter() - began) / days
