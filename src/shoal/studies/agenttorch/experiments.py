"""The other experiments: answers, size, recovery of R, draws, what-ifs, distillation, traps, a language model."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shoal.runs.results import Measurements
from shoal.runs.seeds import derive
from shoal.runs.study import Trial
from shoal.studies.agenttorch.settings import WEEK, Config, city
from shoal.traces import Usage

if TYPE_CHECKING:
    from shoal.models.interface import Model
    from shoal.populations.archetypes import Archetypes
    from shoal.populations.behaviour import Situation
    from shoal.populations.respondents import Respondent

BySeed = Mapping[str, Sequence[Measurements]]

SAMPLES = (1, 3, 6)
NUMBERS = (10_000, 100_000, 1_000_000)
THROUGH, STOPPED = "gradient through draws", "stop-gradient"
OWN, SHARED, FRACTION = "own draw", "one draw for each archetype", "probability as a share"
DRAWS = {OWN: "own", SHARED: "shared", FRACTION: "fraction"}
AS_IS, TIRED, FASTER, BOTH = "as it is", "fatigue of 30 weeks", "higher beta", "both"
FATIGUE, HIGHER = 30.0, 4.0 / 2.5
"""The paper's offset, and the ends of its range of beta for Delta."""
NETWORK, LOGISTIC = "network", "logistic"
HIDDEN_UNITS = {NETWORK: 16, LOGISTIC: 0}
RETRIED, AS_NO = "counted and retried", "taken as no"
UNREADABLE = 0.1
ESTIMATORS = ("straight", "weights", "hits")
SMALL, SHORT, SLOPE_RUNS, STEP = 400, 14, 128, 0.25
"""People, days and runs of the test of slopes, and the step of its finite differences."""
REPEATS = 3
PROMPTS = "prompts"
SITUATIONS = ((0.0, 0.0, 0.0, 0.0), (50.0, 40.0, 1.0, 0.0), (300.0, 100.0, 2.0, 0.0), (1500.0, 20.0, 4.0, 1.0),
              (400.0, -50.0, 6.0, 0.0), (100.0, -30.0, 9.0, 1.0))  # fmt: skip
"""Cases per 100,000, change in percent, months, payment: from before a wave to long after."""


def situations() -> list[Situation]:
    """Those of SITUATIONS."""
    from shoal.populations.behaviour import Situation

    return [Situation(*(np.float32(x) for x in s)) for s in SITUATIONS]  # type: ignore[arg-type]


async def answers(trial: Trial[Config]) -> Mapping[str, Measurements]:
    """Errors of p_a(k) by number of samples, through the panel and a scripted model."""
    from shoal.populations.panel import Panel
    from shoal.populations.respondents import Respondent

    config, kinds = trial.config, city(trial.config.agents).archetypes
    found: dict[str, Measurements] = {}
    for samples in SAMPLES:
        model = Respondent(trial.derive("model"), bias=config.bias, noise=config.noise)
        panel = Panel(model, samples, root=trial.derive("samples", samples))
        shares = np.stack([(await panel.ask(kinds, s)).share[0] for s in situations()])
        own = expected(model, kinds)
        true = expected(Respondent(), kinds)
        found[f"M = {samples}"] = {
            "error": np.sqrt(((shares - own) ** 2).mean()),
            "error against the truth": np.sqrt(((shares - true) ** 2).mean()),
            "queries": panel.tally.queries / panel.tally.decisions,
        }
    return found


def expected(model: Respondent, kinds: Archetypes) -> NDArray[np.float64]:
    """Probability to isolate of each archetype in each of SITUATIONS [situations, archetypes]."""
    from shoal.populations.archetypes import prompt

    people = [kinds.described(k) for k in range(kinds.count)]
    return np.array([[model.chance(prompt(p, s, "isolate", "full")[-1]["content"]) for p in people]
                     for s in situations()])  # fmt: skip


async def size(trial: Trial[Config]) -> BySeed:
    """Queries and time of a decision and its week at three sizes of the city."""
    return {f"{number:,}": await _timed(trial, number) for number in NUMBERS}


async def _timed(trial: Trial[Config], number: int) -> list[Measurements]:
    """Of one size; the least of REPEATS times, since others use the machine as well."""
    import jax.numpy as jnp

    from shoal.populations.behaviour import Table
    from shoal.populations.panel import Panel
    from shoal.populations.respondents import Respondent
    from shoal.populations.simulation import simulate

    town = city(number)
    rows: list[Measurements] = []
    for seed in trial.seeds:
        asking, running = [], []
        for repeat in range(REPEATS + 1):  # the first one compiles
            panel = Panel(Respondent(trial.root), 3)
            began = time.perf_counter()
            share = (await panel.ask(town.people.archetypes(town.population), situations()[2])).share[0]
            asking.append(time.perf_counter() - began)
            deciding = town.deciding(Table(jnp.asarray([share, np.ones_like(share)], jnp.float32)))
            week = simulate(town.model, WEEK, [seed], {"initial": 0.05, "reproduction": 3.0}, population=deciding)
            running.append(week.seconds)
            if repeat == 0:
                asking, running = [], []
        rows.append({
            "archetypes": town.archetypes.count, "queries": panel.tally.queries,
            "seconds a step": min(asking) + min(running), "seconds a day": min(running) / WEEK,
        })  # fmt: skip
    return rows


def recovery(trial: Trial[Config]) -> BySeed:
    """A planted R of each week is fitted by gradient, people deciding by the hidden function."""
    from shoal.populations.calibration import calibrate
    from shoal.populations.parametrisation import Free
    from shoal.populations.simulation import simulate

    config = trial.config
    found: dict[str, list[Measurements]] = {THROUGH: [], STOPPED: []}
    free = Free(0.5, 6.0, periods=config.recovery_weeks)
    for seed in trial.seeds:
        rng = np.random.default_rng(derive(trial.root, trial.experiment, seed, "planted"))
        planted = np.clip(3.5 + np.cumsum(rng.normal(0, 0.5, config.recovery_weeks)), 2.5, 5.0)
        for variant, estimator in ((THROUGH, "hits"), (STOPPED, "none")):
            town = city(config.recovery_agents, estimator)
            deciding = town.deciding(town.truth())
            run = simulate(
                town.model, config.recovery_weeks * WEEK, [derive(trial.root, "recovery", seed) % 2**31],
                {"initial": 0.01, "reproduction": planted}, population=deciding,
            )  # fmt: skip
            fit = calibrate(
                town.model, {"infections": run.series["infections"][0]}, "gradient", {"reproduction": free},
                config.recovery_calls, root=derive(trial.root, "search", seed), fixed={"initial": 0.01},
                population=deciding, mode="forward",
            )  # fmt: skip
            error = np.abs(fit.values["reproduction"] / planted - 1)
            moved = float(np.abs(fit.tried - fit.tried[0]).max())
            found[variant].append({
                "error": error.mean(), "worst week": error.max(), "within 10%": float(error.mean() <= 0.1),
                "way moved": moved, "by week": fit.values["reproduction"], "planted by week": planted,
            })  # fmt: skip
    return found


def draws(trial: Trial[Config]) -> BySeed:
    """Variance between runs of how many isolate, by what becomes of the probabilities."""
    from shoal.populations.simulation import simulate

    config, town = trial.config, city(trial.config.agents)
    found: dict[str, list[Measurements]] = {}
    for variant, kind in DRAWS.items():
        deciding = town.deciding(town.truth(), draws=kind)
        found[variant] = []
        for seed in trial.seeds:
            seeds = [derive(trial.root, "draws", seed, k) % 2**31 for k in range(config.repeats)]
            run = simulate(town.model, 4 * WEEK, seeds, {"initial": 0.005, "reproduction": 3.5}, population=deciding)
            share = run.series["isolating"][:, ::WEEK] / config.agents
            log = np.log(np.maximum(share.var(0, ddof=1), 1e-12))
            found[variant].append({
                "deviation of isolations": share.std(0, ddof=1).mean(),
                "log variance of isolations": log.mean(), "log variance of isolations, first week": log[0],
                "isolating": share.mean(), "infections": run.series["infections"].sum(1).mean(),
            })  # fmt: skip
    return found


def what_if(trial: Trial[Config]) -> BySeed:
    """Fatigue, a more contagious variant, and both, on the same random numbers; archetypes decide."""
    from shoal.populations.respondents import respondents
    from shoal.populations.simulation import simulate

    config, town = trial.config, city(trial.config.agents)
    changes = {AS_IS: (1.0, 0.0), TIRED: (1.0, FATIGUE), FASTER: (HIGHER, 0.0), BOTH: (HIGHER, FATIGUE)}
    samples = max(1, config.budget // town.archetypes.count)
    found: dict[str, list[Measurements]] = {name: [] for name in changes}
    for seed in trial.seeds:
        asked = respondents(
            town.archetypes, samples, seed=derive(trial.root, "model", seed), bias=config.bias, noise=config.noise
        )
        deciding = town.deciding(asked)
        seeds = [derive(trial.root, "what if", seed, k) % 2**31 for k in range(config.runs)]
        for name, (factor, fatigue) in changes.items():
            parameters = {"initial": 2e-3, "reproduction": 2.5 * factor, "fatigue": fatigue, "payment": config.payments}
            run = simulate(town.model, config.weeks * WEEK, seeds, parameters, population=deciding)
            weekly = run.series["infections"].reshape(len(seeds), -1, WEEK).sum(2)
            found[name].append({
                "isolating": run.series["isolating"].mean() / config.agents, "peak": weekly.max(1).mean(),
                "infections": weekly.sum(1).mean(), "weekly infections": weekly.mean(0),
            })  # fmt: skip
    return found


async def _distilled(trial: Trial[Config], seed: int) -> dict[str, Measurements]:
    from shoal.populations.distillation import curve_gap, distil
    from shoal.populations.panel import Panel
    from shoal.populations.respondents import Respondent
    from shoal.populations.simulation import simulate
    from shoal.populations.weekly import simulate_weekly

    config, town = trial.config, city(trial.config.agents)
    model = Respondent(derive(trial.root, "model", seed), bias=config.bias, noise=config.noise)
    panel = Panel(model, max(1, config.budget // town.archetypes.count), root=derive(trial.root, "samples", seed))
    parameters = {"initial": 2e-3, "reproduction": 3.5, "payment": config.payments}
    seeds = [derive(trial.root, "runs", seed, k) % 2**31 for k in range(2)]
    asked = await simulate_weekly(
        town.model, config.weeks * WEEK, seeds, panel, town.people, parameters, population=town.population
    )
    found: dict[str, Measurements] = {}
    for name, hidden in HIDDEN_UNITS.items():
        best = distil(asked.decisions, town.people.labels, hidden=hidden, seed=seed)
        deciding = town.deciding(best.policy, town.archetypes.code)
        run = simulate(town.model, config.weeks * WEEK, seeds, parameters, population=deciding)
        f = best.fidelity
        found[name] = {
            "kl": f.kl, "brier": f.brier, "brier of chance alone": f.chance, "brier of a constant": f.constant,
            "explained": f.explained, "gap of infections": curve_gap(run, asked.simulation, "infections"),
            "gap of isolations": curve_gap(run, asked.simulation, "isolating"), "queries saved": panel.tally.queries,
        }  # fmt: skip
    return found


async def distillation(trial: Trial[Config]) -> BySeed:
    """A policy fitted to a panel's answers: what it lost on held-out weeks, and in simulated curves."""
    each = [await _distilled(trial, seed) for seed in trial.seeds]
    return {name: [found[name] for found in each] for name in HIDDEN_UNITS}


async def unreadable(trial: Trial[Config]) -> Mapping[str, Measurements]:
    """A model that gives no answer one time in ten: what the probabilities become."""
    from shoal.errors import ModelError
    from shoal.populations.panel import Panel
    from shoal.populations.respondents import Respondent

    kinds = city(trial.config.agents).archetypes
    model = Respondent(trial.derive("model"), unreadable=UNREADABLE)
    own = expected(model, kinds)
    found: dict[str, Measurements] = {}
    for variant in (RETRIED, AS_NO):
        attempts = 3 if variant == RETRIED else 1
        panel = Panel(model, 6, attempts=attempts, root=trial.derive("samples"), most_lost=1.0)
        told = [await panel.ask(kinds, s) for s in situations()]
        shares = np.stack([t.share[0] if variant == RETRIED else t.yes[0] / panel.samples for t in told])
        refused = 0.0
        try:
            await Panel(model, 6, attempts=attempts, root=trial.derive("samples")).ask(kinds, situations()[0])
        except ModelError:
            refused = 1.0
        found[variant] = {
            "bias": (shares - own).mean(), "failures": panel.tally.failures / panel.tally.queries,
            "lost": panel.tally.lost / panel.tally.queries, "refused": refused,
        }  # fmt: skip
    return found


def slopes(trial: Trial[Config]) -> BySeed:
    """Slope of the infections of two weeks along R: by estimator, beside finite differences of the mean."""
    import jax
    import jax.numpy as jnp

    from shoal.populations.rollout import rollout, run_keys

    found: dict[str, list[Measurements]] = {name: [] for name in ESTIMATORS}
    at = jnp.asarray(3.0)
    keys = {s: run_keys([derive(trial.root, "slopes", s, k) % 2**31 for k in range(SLOPE_RUNS)]) for s in trial.seeds}
    rises: dict[int, float] = {}
    for estimator in ESTIMATORS:
        town = city(SMALL, estimator)
        base = town.model.check({"initial": 0.02, "reproduction": 3.0})

        def total(r: Any, key: Any, town: Any = town, base: Any = base) -> Any:
            _, table = rollout(town.model, SHORT, key, town.population, base | {"reproduction": r})
            return table["infections"].sum()

        if not rises:  # going forward all estimators are the same
            value = jax.jit(jax.vmap(total, in_axes=(None, 0)))
            rises = {s: float((value(at + STEP, k) - value(at - STEP, k)).mean()) / (2 * STEP) for s, k in keys.items()}
        slope = jax.jit(jax.vmap(jax.jacfwd(total), in_axes=(None, 0)))
        for seed, batch in keys.items():
            mean, rise = float(slope(at, batch).mean()), rises[seed]
            found[estimator].append({"slope": mean, "finite difference": rise, "relative error": mean / rise - 1})
    return found


async def language(trial: Trial[Config]) -> Measurements:
    """The run's model on a grid of people and situations: how far its answers differ at all."""
    from shoal.populations.panel import Panel
    from shoal.populations.respondents import Respondent

    model, kinds = trial.need_model(), city(trial.config.agents).archetypes
    few = _few(kinds)
    panel = Panel(
        model, trial.config.language_samples, root=trial.derive("samples"), max_tokens=12, most_lost=1.0,
        trace=trial.trace,
    )  # fmt: skip
    told = [await panel.ask(few, s) for s in situations()]
    share = np.concatenate([t.share[0] for t in told])
    hidden = expected(Respondent(), few).ravel()
    found: dict[str, Any] = {
        "yes": share.mean(), "spread of answers": share.std(), "spread of the hidden function": hidden.std(),
        "parse failures": panel.tally.failures / panel.tally.queries, "lost": panel.tally.lost / panel.tally.queries,
        "queries": panel.tally.queries, "tokens": panel.tally.usage.tokens, "answers by prompt": share,
    }  # fmt: skip
    chance = await _scored(model, few)
    if chance is not None:
        found |= {
            "yes by log-probability": chance.mean(), "spread by log-probability": chance.std(),
            "correlation with the hidden function": float(np.corrcoef(chance, hidden)[0, 1]),
            "log-probability by prompt": chance,
        }  # fmt: skip
    return found


async def _scored(model: Model, few: Archetypes) -> NDArray[np.float64] | None:
    """Probability of Yes against No as the whole reply, by prompt; None for models that cannot score replies."""
    from shoal.models.cache import CachedModel
    from shoal.models.local import LocalModel
    from shoal.populations.archetypes import prompt

    inner = model.model if isinstance(model, CachedModel) else model
    if not isinstance(inner, LocalModel):
        return None
    people = [few.described(k) for k in range(few.count)]
    chats = [prompt(p, s, "isolate", "full") for s in situations() for p in people]
    scores = [(await inner.score(chat, ["Yes.", "No."])).logprobs for chat in chats]
    return np.array([1 / (1 + np.exp(no - yes)) for yes, no in scores])


def _few(kinds: Archetypes) -> Archetypes:
    """Four archetypes: young and old, poor and rich; of one sex."""
    from dataclasses import replace

    age, sex, income = (kinds.column(name) for name in ("age", "sex", "income"))
    kept = np.flatnonzero(np.isin(age, (2, 7)) & (sex == 0) & np.isin(income, (0, 2)))
    return replace(
        kinds, values=kinds.values[kept], sizes=kinds.sizes[kept], cell=kinds.cell[kept], first=kinds.first[kept]
    )


def forecast(trial: Trial[Config]) -> Usage:
    """What asking the language model is expected to cost."""
    from shoal.populations.archetypes import prompt

    model, few = trial.need_model(), _few(city(trial.config.agents).archetypes)
    chat = prompt(few.described(0), situations()[3], "isolate", "full")
    calls = few.count * len(SITUATIONS) * trial.config.language_samples
    read = model.count_prompt(chat)
    usage = Usage(calls * read, calls * 12, calls)
    usage.money = model.price(usage)
    return usage
