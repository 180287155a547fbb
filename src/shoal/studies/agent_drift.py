"""Agent drift: the Agent Stability Index, its alarms and its cures (arXiv 2601.04170) as experiments that can fail.

**The paper's figures are simulated or projected: no deployed system stands behind them; its generator was not found.**
What is built here is the instrument (``shoal diagnose RUN --with drift``), cures that a live team can use, and a
synthetic team whose drift is known. The paper's own rates do not add up either: a loss of 0.08 to 0.19 per 50
interactions leaves nothing after 500, where components are said to have fallen by 46%. Nothing is calibrated to them.

Evidence. ``cures``, ``detector``, ``attribution``, ``forecast`` and ``mix`` are **synthetic**. In ``cures`` team and
cures share their constants: which cure wins follows from what was chosen, and says nothing about language models.
``detector`` is the honest one: it sees logs only, and is asked for a drift whose time is known. ``live`` is the bundled
small model (or any other) in a loop of templated tasks; nothing about it is chosen but the tasks. There routing reads
an agent over 20 of its own turns: with 100 turns it can act in the last fifth only.

Mechanism, as the page has it: weights 0.30, 0.25, 0.25, 0.20; windows of 50; the first two frozen as the baseline;
onset below 0.85, drift below 0.75 in three windows running; consolidation every 50 turns; resets below 0.75; up to five
exemplars. Cures begin when the baseline is there. Three agents, a specialist for each of three types of task; an agent
sees about a third of a window, so its own index spans two of them.

Chosen here, before any claim was looked at, where page and paper are silent: how strongly drift shows in each field
(``diagnosis/stability/synthetic.py``); that one exemplar takes 0.001 of an agent's drift per interaction; tokens of
prompts, notes and exemplars; growth of drift 0.8, 1 and 1.2 times the page's in the three domains (the order of the
paper's drift rates) with a lognormal spread of 0.3. A reset costs its tokens only, which flatters it, as it would the
cures: in this team history is worth nothing. The true crossing is where the hidden drift has taken a quarter of the
success (d = 0.337), which no log shows; the alarm must come within four windows of it, before or after.

Departures. Cramér's V is bias-corrected: the plain V of two samples of one distribution is near 0.2 in such windows.
Sequences are compared with the baseline's typical one of the same task, not with all pairs. A behavioural drift's own
group is the tools, because mixing in off-policy tools is what it is. Thresholds are the page's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from shoal.runs.checks import Checks, all_of
from shoal.runs.mechanism import flows
from shoal.runs.results import Measurements, Results
from shoal.runs.study import Claim, Experiment, Study, StudyConfig, Trial, Vocabulary
from shoal.stats import Check, exact, mean

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from shoal.diagnosis.stability.live import LongRun

NONE, EMC, DAR, ABA, ALL, RESET = "none", "EMC", "DAR", "ABA", "all", "periodic reset"
CURES = (EMC, DAR, ABA, ALL)
IDLE = tuple(f"{name}, no effect" for name in (EMC, DAR, ABA))
ARMS = (NONE, *CURES, RESET, *IDLE)
DOMAINS = {"enterprise": 0.8, "compliance": 1.0, "finance": 1.2}
SPREAD = 0.3
FROZEN, MOVING, ONE_WINDOW = "frozen baseline", "moving baseline", "no patience"
CROSSING = 1.0 - 0.75 ** (1.0 / 0.7)
NEAR = 4
SEMANTIC, COORDINATION, BEHAVIOURAL = "semantic", "coordination", "behavioural"
OWN_GROUP = {SEMANTIC: "consistency", COORDINATION: "coordination", BEHAVIOURAL: "tools"}
IN_ORDER, SHUFFLED = "windows in order", "windows dealt to other runs"
WITHIN, POOLED = "within task type", "pooled"
KEPT, ALONE = "history kept", "no history"
LIVE = (KEPT, ALONE, *CURES, RESET)
TASKS = ("copy", "choose", "sums", "lookup:entries=3")
CIRCULAR = "Synthetic: team and cures share chosen constants; the ranking follows from them."


class DriftConfig(StudyConfig):
    """Settings of the drift study."""

    workflows: int = Field(100, ge=1, le=10_000, description="Workflows of each of the three domains, per seed")
    interactions: int = Field(500, ge=200, le=5000, multiple_of=50, description="Interactions of a workflow")
    detector_runs: int = Field(40, ge=5, le=10_000, description="Runs with drift, and runs without, per seed")
    detector_interactions: int = Field(1000, ge=400, le=5000, multiple_of=50, description="Interactions of such a run")
    kind_runs: int = Field(20, ge=1, le=10_000, description="Runs with one kind of drift, per kind and seed")
    forecast_runs: int = Field(200, ge=10, le=10_000, description="Runs of varied growth, per seed")
    live_turns: int = Field(100, ge=4, le=5000, description="Turns of the live team")
    live_window: int = Field(20, ge=20, le=500, description="Interactions of its windows")
    live_remembers: int = Field(6, ge=1, le=200, description="Turns of its own that an agent is shown")
    live_every: int = Field(10, ge=1, le=500, description="An agent's turns between consolidations, and half of resets")
    temperature: float = Field(0.7, ge=0, le=2, description="Sampling temperature of the live team")
    max_tokens: int = Field(16, ge=8, le=1024, description="Longest reply of the live team")


def cures(trial: Trial[DriftConfig]) -> Mapping[str, Sequence[Measurements]]:
    """Every arm on the same workflows of three domains, with the same luck."""
    from shoal.diagnosis.stability import simulation as sim

    config = trial.config
    measured: dict[str, list[Measurements]] = {arm: [] for arm in ARMS}
    arms = {name: sim.ARMS[name] for name in ARMS}
    for seed in trial.derive_each():
        spread = np.random.default_rng(seed).lognormal(0.0, SPREAD, (len(DOMAINS), config.workflows))
        factor = (np.array(list(DOMAINS.values()))[:, None] * spread).ravel()
        runs = sim.Runs(sim.growth(factor.size, factor))
        found = sim.simulate(runs, seed, arms, sim.Setting(config.interactions))
        for k, name in enumerate(ARMS):
            alarmed = (_alarms(found.index[k]) >= 0).reshape(len(DOMAINS), -1).mean(axis=1)
            measured[name].append({
                "success at the end": found.success[k, :, -1].mean(), "ASI kept": found.index[k, :, -1].mean(),
                "tokens": found.tokens[k].mean(), "turns": found.turns[k].mean(),
                "hidden drift": found.drift[k, :, -1].mean(), "ASI by window": found.index[k].mean(axis=0),
                "success by window": found.success[k].mean(axis=0),
                **{f"drift alarm, {domain}": share for domain, share in zip(DOMAINS, alarmed, strict=True)},
            })  # fmt: skip
    return measured


def _alarms(index: NDArray[np.float32], patience: int = 3) -> NDArray[np.int64]:
    """The window that completes each run's drift alarm [runs], -1 for none; index is [runs, windows]."""
    from shoal.diagnosis.stability.index import THRESHOLD, first_runs

    return first_runs(index < THRESHOLD, patience)


def detector(trial: Trial[DriftConfig]) -> Mapping[str, Sequence[Measurements]]:
    """Runs whose drift begins at a drawn time and grows at a drawn rate, and as many without any."""
    from shoal.diagnosis.stability import simulation as sim

    config = trial.config
    measured: dict[str, list[Measurements]] = {name: [] for name in (FROZEN, MOVING, ONE_WINDOW)}
    frozen = sim.Setting(config.detector_interactions)
    moving = sim.Setting(config.detector_interactions, moving=True)
    for seed in trial.derive_each():
        rng, n = np.random.default_rng(seed), config.detector_runs
        drifting = sim.Runs(sim.growth(n, 3.0 ** rng.random(n)), rng.integers(100, 301, n))
        quiet = sim.Runs(sim.growth(n, 0.0))
        for setting in (frozen, moving):
            with_drift, without = sim.simulate(drifting, seed, None, setting), sim.simulate(quiet, seed, None, setting)
            for name, patience in ((FROZEN, 3), (ONE_WINDOW, 1)) if setting is frozen else ((MOVING, 3),):
                alarm, false = _alarms(with_drift.index[0], patience), _alarms(without.index[0], patience)
                measured[name].append(_recall(alarm, with_drift.drift[0]) | {"false alarms": (false >= 0).mean()})
    return measured


def _recall(alarm: NDArray[np.int64], drift: NDArray[np.float32]) -> dict[str, Any]:
    """How many crossings are met by an alarm nearby, and by how many windows it is late; alarm [runs]."""
    crossed = (drift >= CROSSING).any(axis=1)
    late = alarm - (drift >= CROSSING).argmax(axis=1)
    met = crossed & (alarm >= 0)
    return {
        "recall": (met & (np.abs(late) <= NEAR))[crossed].mean() if crossed.any() else 0.0,
        "crossed": crossed.mean(), "windows late": late[met] if met.any() else [0.0],
    }  # fmt: skip


def attribution(trial: Trial[DriftConfig]) -> Mapping[str, Sequence[Measurements]]:
    """One kind of drift at a time; how far each group falls below the same run without drift."""
    from shoal.diagnosis.stability import simulation as sim
    from shoal.diagnosis.stability.index import GROUPS

    config = trial.config
    measured: dict[str, list[Measurements]] = {kind: [] for kind in OWN_GROUP}
    setting = sim.Setting(config.interactions)
    for seed in trial.derive_each():
        quiet = sim.simulate(sim.Runs(sim.growth(config.kind_runs, 0.0)), seed, None, setting).groups[0]
        for kind, own in OWN_GROUP.items():
            runs = sim.Runs(sim.growth(config.kind_runs, 1.0, (kind,)))
            groups = sim.simulate(runs, seed, None, setting).groups[0]
            fall = (quiet - groups)[:, -1]
            place = list(GROUPS).index(own)
            measured[kind].append({
                "own group falls most": float(fall.mean(axis=0).argmax() == place),
                "own group falls most, share of runs": (fall.argmax(axis=1) == place).mean(),
                **{f"fall of {group}": fall[:, g].mean() for g, group in enumerate(GROUPS)},
            })  # fmt: skip
    return measured


def forecast(trial: Trial[DriftConfig]) -> Mapping[str, Sequence[Measurements]]:
    """Whether the index at interaction 150 foretells success at the end, over runs of varied growth."""
    from scipy.stats import spearmanr

    from shoal.diagnosis.stability import simulation as sim

    config = trial.config
    measured: dict[str, list[Measurements]] = {IN_ORDER: [], SHUFFLED: []}
    for seed in trial.derive_each():
        rng, n = np.random.default_rng(seed), config.forecast_runs
        runs = sim.Runs(sim.growth(n, 4.0 ** rng.uniform(-1, 1, n)))
        found = sim.simulate(runs, seed, None, sim.Setting(config.interactions))
        early, end = found.index[0, :, 0], found.success[0, :, -1]
        for name, index in ((IN_ORDER, early), (SHUFFLED, rng.permutation(early))):
            measured[name].append({"rank correlation": float(spearmanr(index, end).statistic)})
    return measured


def mix(trial: Trial[DriftConfig]) -> Mapping[str, Measurements]:
    """The same team without drift, but the tasks of its last hundred interactions are others than in the baseline."""
    from shoal.diagnosis.stability import simulation as sim
    from shoal.diagnosis.stability.dimensions import tool_choice
    from shoal.diagnosis.stability.written import as_interactions

    (log,) = sim.logs(sim.Runs(sim.growth(1, 0.0)), trial.derive("log"), 600)
    found, rng = as_interactions(log), trial.rng("mix")
    first, last = found[:300], found[300:]
    common = {"type-1": 0.8, "type-2": 0.1, "type-3": 0.1}
    rare = {"type-1": 0.1, "type-2": 0.1, "type-3": 0.8}
    baseline, window = (_drawn(part, share, rng) for part, share in ((first, common), (last, rare)))
    scores = {WITHIN: tool_choice(window, baseline)}
    for entry in (*baseline, *window):
        entry.task = ""
    scores[POOLED] = tool_choice(window, baseline)
    return {name: {"T_sel": 0.0 if score is None else score} for name, score in scores.items()}


def _drawn(part: Sequence[Any], share: Mapping[str, float], rng: np.random.Generator) -> list[Any]:
    """A hundred interactions in which the types of task have these shares."""
    from dataclasses import replace

    weight = np.array([share[i.task] / sum(j.task == i.task for j in part) for i in part])
    return [replace(part[k]) for k in rng.choice(len(part), 100, p=weight / weight.sum())]


async def live(trial: Trial[DriftConfig]) -> Measurements:
    """A team of two at templated tasks, turn after turn, under one way of treating its history."""
    from shoal.diagnosis.stability.index import course
    from shoal.tasks.catalogue import open_task
    from shoal.tasks.problem import answer_key

    config = trial.config
    count = -(-config.live_turns // len(TASKS))
    pools = [open_task(name).problems(count, trial.derive("problems")) for name in TASKS]
    problems = [p for group in zip(*pools, strict=True) for p in group][: config.live_turns]
    work = _live_run(trial, trial.need_model(answer_key(problems)))
    for problem in problems:
        await work.turn(problem)
    correct = np.array([float(bool(i.correct)) for i in work.found])
    read = course(work.found, work.rule)
    index = [r.index for r in read.readings if r.index is not None]
    usage = work.session.usage
    measured: dict[str, Any] = {
        "success": correct, "success, first half": correct[: len(correct) // 2],
        "success, second half": correct[len(correct) // 2 :], "tokens": usage.tokens / len(correct),
        "calls": usage.calls / len(correct),
    }  # fmt: skip
    return measured | ({"ASI by window": index, "ASI kept": index[-1], "measured": read.measured} if index else {})


def _live_run(trial: Trial[DriftConfig], model: Any) -> LongRun:
    from shoal.diagnosis.stability.cures import Anchoring, Consolidation, PeriodicReset, StabilityRouting
    from shoal.diagnosis.stability.index import Rule
    from shoal.diagnosis.stability.live import LongRun
    from shoal.teams.agent import make_agents
    from shoal.teams.session import Session

    config, arm = trial.config, trial.variant
    every = {ALONE: 1, RESET: 2 * config.live_every}.get(arm)
    session = Session(
        model=model, trace=trial.trace, seed=trial.derive("session"), temperature=config.temperature,
        max_tokens=config.max_tokens,
    )  # fmt: skip
    return LongRun(
        make_agents(2), session, remembers=config.live_remembers, rule=Rule(window=config.live_window),
        consolidation=Consolidation(config.live_every, longest=48) if arm in (EMC, ALL) else None,
        routing=StabilityRouting() if arm in (DAR, ALL) else None,
        anchoring=Anchoring() if arm in (ABA, ALL) else None,
        reset=PeriodicReset(every) if every else None,
    )  # fmt: skip


def _gap(experiment: str, one: Sequence[str], two: str, metric: str, **region: Any) -> Checks:
    """Each of ``one`` less ``two``, paired by seed."""

    def checks(results: Results) -> list[Check]:
        return [
            Check(f"{metric}: {name} - {two}", results.difference(experiment, name, two, metric), **region)
            for name in one
            if results.has(experiment, name, metric) and results.has(experiment, two, metric)
        ]

    return checks


def _level(experiment: str, variant: str, metric: str, **region: Any) -> Checks:
    def checks(results: Results) -> list[Check]:
        if not results.has(experiment, variant, metric):
            return []
        return [Check(f"{metric}: {variant}", results.mean(experiment, variant, metric), **region)]

    return checks


def _own_groups(results: Results) -> list[Check]:
    found = {kind: results.values("attribution", kind, "own group falls most") for kind in OWN_GROUP}
    return [
        Check(f"share of seeds in which {OWN_GROUP[kind]} falls most: {kind}", exact(float(x.mean()), x.size),
              above=0.9, needs=10)
        for kind, x in found.items() if x.size
    ]  # fmt: skip


def _live(one: Sequence[str], two: str, **region: Any) -> Checks:
    """Paired by run, not by turn: the turns of a run share its history."""
    return _gap("live", one, two, "success, second half", needs=3, **region)


def _wears(results: Results) -> list[Check]:
    halves = [results.values("live", KEPT, f"success, {half} half") for half in ("second", "first")]
    if not halves[0].size:
        return []
    return [Check("success, second half - first half: history kept", mean(halves[0] - halves[1]), below=0.0, needs=3)]


def plots(results: Results) -> dict[str, Figure]:
    """Index and success by window of each arm, their price; alarms; the live team. Synthetic ones say so."""
    from shoal.runs.plots import bars, new_figure

    figures: dict[str, Figure] = {}
    if results.has("cures"):
        figures["cures"], axes = new_figure(2, 2, 5.2, 3.4)
        for ax, metric in zip(axes, ("ASI by window", "success by window"), strict=False):
            _courses(ax, results, "cures", (NONE, *CURES, RESET), metric)
        bars(axes[2], results, "cures", "tokens", ARMS)
        bars(axes[3], results, "cures", "turns", ARMS)
        figures["cures"].suptitle(CIRCULAR, fontsize=9)
    if results.has("detector"):
        figures["detector"], axes = new_figure(3, 1, 4.2, 2.0)
        for ax, metric in zip(axes, ("recall", "false alarms", "windows late"), strict=True):
            bars(ax, results, "detector", metric)
        figures["detector"].suptitle("Synthetic team, drift of known time", fontsize=9)
    if results.has("attribution"):
        figures["attribution"], axes = new_figure(2, 2, 4.6, 1.8)
        for ax, group in zip(axes, ("consistency", "tools", "coordination", "boundaries"), strict=True):
            bars(ax, results, "attribution", f"fall of {group}")
        figures["attribution"].suptitle("Synthetic team, one kind of drift at a time", fontsize=9)
    if results.has("live"):
        figures["live"], axes = new_figure(2, 1, 5.2, 3.0)
        bars(axes[0], results, "live", "success, second half")
        bars(axes[1], results, "live", "tokens")
    return figures


def _courses(ax: Any, results: Results, experiment: str, variants: Sequence[str], metric: str) -> None:
    for variant in variants:
        items, seeds = results.items(experiment, variant, metric)
        course = items.reshape(np.unique(seeds).size, -1).mean(axis=0)
        ax.plot(150 + 50 * np.arange(course.size), course, marker=".", label=variant)
    ax.set(xlabel="interactions", ylabel=metric.removesuffix(" by window"))
    ax.legend(fontsize=7, frameon=False)


_MODEL = "Two agents of one small model at templated tasks: a null result is a result. Few runs: read the interval."
_SYNTHETIC = "Synthetic team; the alarm sees logs only."

FEWER = {"quick": 5, "standard": 20, "full": 20}

# fmt: off
CLAIMS = (
    Claim("recall", "Where drift is injected, at least 90% of crossings are met by an alarm within 4 windows",
          "detector", _level("detector", FROZEN, "recall", above=0.9), _SYNTHETIC),
    Claim("false-alarms", "With drift off, at most 5% of runs raise an alarm", "detector",
          _level("detector", FROZEN, "false alarms", below=0.05), _SYNTHETIC),
    Claim("frozen-baseline", "Ablation: a moving baseline hides slow drift (its recall is lower)", "detector",
          _gap("detector", [MOVING], FROZEN, "recall", below=0.0), _SYNTHETIC),
    Claim("cures-help", "Each cure beats none on task success at interaction 500", "cures",
          _gap("cures", CURES, NONE, "success at the end", above=0.0), CIRCULAR),
    Claim("all-keeps-most", "All three together keep more of the index than each alone", "cures",
          all_of(*(_gap("cures", [ALL], cure, "ASI kept", above=0.0) for cure in (EMC, DAR, ABA))), CIRCULAR),
    Claim("no-effect", "Ablation: a cure whose effect is constant at zero does not differ from none", "cures",
          all_of(_gap("cures", IDLE, NONE, "success at the end", above=-1e-9, below=1e-9),
                 _gap("cures", IDLE, NONE, "ASI kept", above=-1e-9, below=1e-9)), CIRCULAR),
    Claim("paper-order", "The index is kept in the paper's order: EMC < DAR < ABA < all", "cures",
          all_of(_gap("cures", [DAR], EMC, "ASI kept", above=0.0), _gap("cures", [ABA], DAR, "ASI kept", above=0.0),
                 _gap("cures", [ALL], ABA, "ASI kept", above=0.0)), CIRCULAR),
    Claim("beats-reset", "All three together beat the cheap periodic reset, which the paper lacks, on success", "cures",
          _gap("cures", [ALL], RESET, "success at the end", above=0.0),
          CIRCULAR + " History is worth nothing to this team, so throwing it away costs nothing."),
    Claim("attribution", "One kind of drift lowers its own group most, in at least 18 of 20 seeds", "attribution",
          _own_groups, _SYNTHETIC),
    Claim("foretells", "The index at interaction 150 rank-correlates with success at 500 by 0.6 or more", "forecast",
          _level("forecast", IN_ORDER, "rank correlation", above=0.6), _SYNTHETIC),
    Claim("foretells-shuffled", "Ablation: with windows dealt to other runs the correlation is about 0", "forecast",
          _level("forecast", SHUFFLED, "rank correlation", above=-0.1, below=0.1), _SYNTHETIC),
    Claim("task-mix", "Another mix of tasks is no drift: T_sel stays above 0.85 within task types", "mix",
          _level("mix", WITHIN, "T_sel", above=0.85), _SYNTHETIC),
    Claim("task-mix-pooled", "Ablation: compared over all tasks at once the same logs look like drift (below 0.85)",
          "mix", _level("mix", POOLED, "T_sel", below=0.85), _SYNTHETIC),
    Claim("live-history", "A live team that keeps its history succeeds less than one that keeps none", "live",
          _live([KEPT], ALONE, below=0.0), _MODEL),
    Claim("live-wears", "Its success falls from the first half of the run to the second", "live", _wears, _MODEL),
    Claim("live-cures", "Each cure beats the kept history on a live team's success", "live",
          _live(CURES, KEPT, above=0.0), _MODEL),
    Claim("live-reset", "So does the periodic reset", "live", _live([RESET], KEPT, above=0.0), _MODEL),
)
# fmt: on

STUDY = Study(
    name="agent-drift",
    title="Agent drift: the Agent Stability Index",
    paper="arXiv 2601.04170 (2026)",
    kind="diagnosis",
    engine="diagnosis",
    summary=(
        "A team may get worse over a long run though no weight changes. Twelve dimensions of a log against a frozen "
        "baseline make an index with alarms, which reads any run. The paper's figures are simulated or projected; here "
        "the alarm is scored on planted drift, cures on a synthetic team whose constants they share, and on a live "
        "small model."
    ),
    mechanism=flows(
        "team -> log -(windows of 50)-> twelve dimensions -(weighted mean)-> stability index -(below 0.75)-> alarm",
        "log -(first two windows)-> frozen baseline -> twelve dimensions",
        "stability index -> cures -(consolidate, route, anchor)-> team",
    ),
    config=DriftConfig,
    experiments=(
        Experiment("cures", cures, ARMS, joint=True, vectorised=True),
        Experiment("detector", detector, (FROZEN, MOVING, ONE_WINDOW), seeds=FEWER, joint=True, vectorised=True),
        Experiment("attribution", attribution, tuple(OWN_GROUP), joint=True, vectorised=True),
        Experiment("forecast", forecast, (IN_ORDER, SHUFFLED), seeds=FEWER, joint=True, vectorised=True),
        Experiment("mix", mix, (WITHIN, POOLED), joint=True),
        Experiment("live", live, LIVE, seeds={"quick": 1, "standard": 3, "full": 5}, model=True),
    ),
    claims=CLAIMS,
    sizes={
        "quick": {"workflows": 10, "detector_runs": 10, "kind_runs": 5, "forecast_runs": 100, "live_turns": 4},
        "standard": {},
        "full": {"live_turns": 200, "live_window": 50, "live_remembers": 16, "live_every": 50},
    },
    seeds={"quick": 10, "standard": 20, "full": 20},
    vocabulary=Vocabulary(("peers",), ("cooperation",), ("any",), ("rule-based",), ("monitoring",)),
    plots=plots,
)
