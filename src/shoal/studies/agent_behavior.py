"""The Agent Behavior: six stages, five dimensions of disparity, agents that govern agents (arXiv 2508.14415).

The paper is a survey: it names the stages of an act, five dimensions in which humans and agents differ (HABD), and
agents that act upon agents (A4A), and illustrates them. It has no formula and no benchmark: **every number here is our
operationalisation**, in help texts and exports too. Disparity is not danger, and there is no threshold for it.

Evidence. ``recovery``, ``attribution``, ``ablation`` use synthetic actors, called human-like and agent-like for their
numbers only; no data about people is shipped and no claim about people is made. A log of one's own is read by
``shoal.diagnosis.behaviour.read_behaviour`` (names hashed, contents not kept). ``governance`` and ``imitation`` play a
toy network defence with scripted sides: no real host or exploit. ``menu`` measures a model on menus, plans and 40 pairs
of probes, and ``models`` sets a second one (``rival``) beside it: model against model, which can be measured honestly.

Settings chosen by us, on other seeds than the run's. Errors of recovery are shares of a range: the planted span of b
and of log time over both kinds, and 1 for shares. Actors are drawn around their kind (b and time by a factor, shares by
a beta law), so that kinds overlap as overlap goes to 1. "Low overlap" is 0.2. With imitated timing, overlap is 0.6 and
intervals are the human-like kind's. An ablation kind differs in one dimension alone, half as much as the kinds do.
"Does not lower" is a drop whose interval lies within 0.01. In the game suspicion, release and workers' rates were set
so that the rule monitor blocks about 2% of the work; red is caught at the host, and its compromised hosts are cleaned.
The tempo of one act tells red from workers by 2 deviations: with 1.5, tried first, the defender who goes by tempo found
3% of an open red's hosts, and there was nothing to lose; the run's own seeds had been seen before that choice was made.
An imitating red acts at a worker's tempo and repeats itself half of the time, which also halves what it does: its loss
of speed is in the figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from shoal.runs.checks import Checks, all_of, difference
from shoal.runs.mechanism import flows
from shoal.runs.results import Measurements, Results
from shoal.runs.study import Claim, Experiment, Study, StudyConfig, Trial, Vocabulary
from shoal.stats import Check, exact

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from shoal.diagnosis.behaviour import Behaviour
    from shoal.models.interface import Model

HUMAN, AGENT = "human-like", "agent-like"
FIVE, TIMING_ALONE, LENGTH_ALONE, MAJORITY = "five scores", "timing alone", "content length alone", "majority class"
DECISION, EXECUTION, CONSISTENCY, INERTIA, IRRATIONAL = (
    "decision mechanism", "execution efficiency", "intention-behaviour consistency", "behavioural inertia",
    "irrational patterns",
)  # fmt: skip
DIMENSIONS = (DECISION, EXECUTION, CONSISTENCY, INERTIA, IRRATIONAL)
OVERLAPS = (0.2, 0.6, 0.8, 0.9, 1.0)
LOW, IDENTICAL, IMITATED = "overlap 0.2", "overlap 1", "imitated timing"
NOBODY, RULES, SLOW, FAST, ESCALATING, CHANCE, PROFILE = (
    "none", "rules", "human-speed", "agent-speed", "agent and human", "random", "profile",
)  # fmt: skip
CONTROLS = ("goal whitelist", "data provenance", "reasoning log", "policy check", "rate gate", "outcome audit")
OPEN_RED, IMITATING_RED = "red at its own tempo", "red at a worker's tempo"
OURS, RIVAL = "the run's model", "rival"
HALF = 0.5

ByVariant = dict[str, dict[str, Any]]


class BehaviourConfig(StudyConfig):
    """Settings of the Agent Behavior study; operationalisation: ours."""

    acts: int = Field(200, ge=30, le=100_000, description="acts L of a window")
    actors: int = Field(400, ge=20, le=100_000, description="actors of each kind, to fit on and again to test on")
    imitation_overlap: float = Field(0.6, ge=0, le=1, description="overlap of the kinds where timing is imitated")
    hosts: int = Field(30, ge=5, le=1000, description="hosts of the network")
    steps: int = Field(300, ge=10, le=100_000, description="steps of a game")
    menus: int = Field(40, ge=5, le=1000, description="menus and better offers put to a model")
    pairs: int = Field(40, ge=4, le=1000, description="pairs of probes put to a model")
    plans: int = Field(10, ge=1, le=1000, description="plans asked of a model")
    rival: str = Field("", description="a second model to compare with: local:NAME, http://..., openai:NAME")


def recovery(trial: Trial[BehaviourConfig]) -> Measurements:
    """Known numbers of actors against their estimates."""
    from shoal.diagnosis.actors import AGENT_LIKE, HUMAN_LIKE, act, draw_truth
    from shoal.diagnosis.disparity import scores

    config, rng = trial.config, trial.rng("actors")
    truths = {name: draw_truth(kind, config.actors, rng) for name, kind in ((HUMAN, HUMAN_LIKE), (AGENT, AGENT_LIKE))}
    truth = truths[trial.variant]
    found = scores(act(truth, config.acts, trial.rng("acts")))
    b, time = (np.concatenate([getattr(t, name) for t in truths.values()]) for name in ("b", "gap"))
    errors = {
        "b": (found.b - truth.b) / np.ptp(b), "time": (found.middle - np.log(truth.gap)) / np.ptp(np.log(time)),
        "c": found.c - truth.c, "i": found.i - truth.i, "q": found.q - truth.q,
    }  # fmt: skip
    return {f"error of {name}": np.nanmean(np.abs(e)) for name, e in errors.items()} | {
        "identifiable": found.identifiable.mean()
    }


def attribution(trial: Trial[BehaviourConfig]) -> ByVariant:
    """Which kind a window comes from, by five scores and by less; AUC on actors that were not fitted on."""
    from shoal.diagnosis.actors import HUMAN_LIKE, blended, with_of
    from shoal.diagnosis.disparity import SCORES
    from shoal.diagnosis.recognition import LENGTH, TIMING, auc, recogniser

    measured: ByVariant = {v: {} for v in (FIVE, TIMING_ALONE, LENGTH_ALONE, MAJORITY)}
    kinds = {f"overlap {o:g}": blended(o) for o in OVERLAPS}
    kinds[IMITATED] = with_of(blended(trial.config.imitation_overlap), HUMAN_LIKE, ("gap", "spread"))
    for condition, kind in kinds.items():
        tables = _tables(trial, kind, HUMAN_LIKE)
        for variant, names in ((FIVE, SCORES), (TIMING_ALONE, TIMING), (LENGTH_ALONE, LENGTH)):
            fitted = recogniser(tables[0], tables[1], names)
            measured[variant][f"AUC, {condition}"] = auc(fitted.chance(tables[2]), fitted.chance(tables[3]))
        measured[MAJORITY][f"AUC, {condition}"] = auc(np.ones(len(tables[2])), np.ones(len(tables[3])))
    return measured


def _tables(trial: Trial[BehaviourConfig], one: Any, two: Any) -> list[Any]:
    """Scores of actors of two kinds to fit on, and of others to test on."""
    from shoal.diagnosis.actors import act, draw_truth
    from shoal.diagnosis.recognition import score_table

    config = trial.config
    found = []
    for part in ("fit", "test"):
        for side, kind in (("one", one), ("two", two)):
            rng = trial.rng(part, side)
            found.append(score_table(act(draw_truth(kind, config.actors, rng), config.acts, rng)))
    return found


def ablation(trial: Trial[BehaviourConfig]) -> ByVariant:
    """Kinds that differ in one dimension alone; what is lost without it, and without one that carries nothing."""
    from shoal.diagnosis.actors import CARRIES, HUMAN_LIKE, blended, with_of
    from shoal.diagnosis.disparity import SCORES
    from shoal.diagnosis.recognition import auc, recogniser, without

    measured: ByVariant = {}
    for carrier in DIMENSIONS:
        tables = _tables(trial, with_of(HUMAN_LIKE, blended(HALF), CARRIES[carrier]), HUMAN_LIKE)

        def value(names: tuple[str, ...], tables: list[Any] = tables) -> float:
            fitted = recogniser(tables[0], tables[1], names)
            return auc(fitted.chance(tables[2]), fitted.chance(tables[3]))

        whole = value(SCORES)
        others = [whole - value(without(other)) for other in DIMENSIONS if other != carrier]
        measured[carrier] = {
            "AUC": whole, "drop without it": whole - value(without(carrier)), "drop without another": np.mean(others)
        }  # fmt: skip
    return measured


def _games(trial: Trial[BehaviourConfig]) -> tuple[Any, Any]:
    from shoal.games.defence import Defence
    from shoal.runs.seeds import derive

    game = Defence(trial.config.hosts, trial.config.steps)
    seeds = [derive(trial.root, "defence", trial.experiment, seed) % 2**31 for seed in trial.seeds]
    return game, np.array(seeds)


def _played(outcome: Any) -> list[dict[str, float]]:
    names = {
        "compromised": "compromised", "blocked work": "blocked_work", "blocked acts": "blocked", "detected": "detected",
    }  # fmt: skip
    columns = {name: getattr(outcome, field) for name, field in names.items()}
    return [{name: float(x[k]) for name, x in columns.items()} for k in range(len(outcome.compromised))]


def governance(trial: Trial[BehaviourConfig]) -> dict[str, list[dict[str, float]]]:
    """All monitors on the same networks and luck; the random one blocks as much as the agent-speed one."""
    from shoal.games.defence import defend

    game, seeds = _games(trial)
    played = {name: defend(game, name, seeds) for name in (NOBODY, RULES, SLOW, FAST, ESCALATING)}
    played[CHANCE] = defend(game, CHANCE, seeds, rate=played[FAST].blocked)
    for k, control in enumerate(CONTROLS):
        played[f"{FAST}, no {control}"] = defend(game, FAST, seeds, controls=63 & ~(1 << k))
    return {name: _played(outcome) for name, outcome in played.items()}


def imitation(trial: Trial[BehaviourConfig]) -> dict[str, list[dict[str, float]]]:
    """A monitor that goes by the tempo of acts, and one that goes by controls, against both kinds of red."""
    from shoal.games.defence import defend

    game, seeds = _games(trial)
    return {
        f"{monitor}, {red}": _played(defend(game, monitor, seeds, imitating=red == IMITATING_RED))
        for monitor in (PROFILE, FAST, NOBODY)
        for red in (OPEN_RED, IMITATING_RED)
    }


async def _probed(trial: Trial[BehaviourConfig], model: Model, name: str) -> Behaviour:
    from shoal.diagnosis.probes import probe
    from shoal.teams.agent import Agent
    from shoal.teams.session import Session

    config = trial.config
    session = Session(model, trace=trial.trace, seed=trial.derive("session"), temperature=0.7)
    return await probe(Agent(name), session, trial.rng("probes"), config.menus, config.pairs, config.plans)


def _measured(actor: Behaviour) -> dict[str, Any]:
    from shoal.diagnosis.disparity import scores

    found = scores(actor)
    values = {"b": found.b[0], "c": found.c[0], "i": found.i[0], "q": found.q[0]}
    known = {name: float(v) for name, v in values.items() if np.isfinite(v)}
    return known | {"b identifiable": float(found.identifiable[0]), "choices read": float((actor.chosen >= 0).sum())}


async def menus(trial: Trial[BehaviourConfig]) -> ByVariant:
    """The run's model on menus, plans and probes, and its distance from the synthetic human-like actors."""
    from shoal.diagnosis.actors import HUMAN_LIKE, act, draw_truth
    from shoal.diagnosis.disparity import disparity

    actor = await _probed(trial, trial.need_model(), "model")
    rng = trial.rng("reference")
    found = disparity(actor, act(draw_truth(HUMAN_LIKE, 50, rng), trial.config.acts, rng), seed=trial.seed)
    distances = {f"distance, {name}": d for name, d in found.distances.items() if np.isfinite(d)}
    return {OURS: _measured(actor) | distances | {"index": found.index, "dimensions measured": found.measured}}


async def models(trial: Trial[BehaviourConfig]) -> ByVariant:
    """Two models on the same menus, plans and probes."""
    from shoal.diagnosis.disparity import disparity
    from shoal.models import open_model

    other = open_model(trial.config.rival)
    try:
        ours = await _probed(trial, trial.need_model(), "model")
        theirs = await _probed(trial, other, "rival")
    finally:
        await other.aclose()
    found = disparity(ours, theirs, seed=trial.seed)
    return {OURS: _measured(ours) | {"index": found.index, "low": found.low}, RIVAL: _measured(theirs)}


def no_rival(config: BehaviourConfig) -> str | None:
    """Why two models cannot be compared, if they cannot."""
    return None if config.rival else "no second model: --set rival=openai:NAME or another model spec"


def _level(experiment: str, variants: Sequence[str], metrics: Sequence[str], needs: int = 2, **region: Any) -> Checks:
    def checks(results: Results) -> list[Check]:
        return [
            Check(f"{m}: {v}", results.mean(experiment, v, m), needs=needs, **region)
            for v in variants for m in metrics if results.has(experiment, v, m)
        ]  # fmt: skip

    return checks


def _wilcoxon(experiment: str, one: str, two: str, metric: str) -> Checks:
    """One lies below two, with p < 0.01 in Wilcoxon's signed rank test over games (one-sided)."""

    def checks(results: Results) -> list[Check]:
        from scipy.stats import wilcoxon

        a, b = (results.values(experiment, v, metric) for v in (one, two))
        if a.size < 2 or a.size != b.size or (a == b).all():
            return []
        p = float(wilcoxon(a, b, alternative="less").pvalue)
        return [Check(f"{metric}: p of {one} below {two}", exact(p, a.size), below=0.01, needs=10)]

    return checks


def plots(results: Results) -> Mapping[str, Figure]:
    """AUC by overlap, drops, monitors, the imitator's gain, and the radar of the model's distances."""
    from shoal.runs.plots import bars, new_figure

    figures: dict[str, Figure] = {}
    if results.has("recovery"):
        figures["recovery"], axes = new_figure(3, 1, 4.6, 1.7)
        for ax, name in zip(axes, ("b", "i", "q"), strict=True):
            bars(ax, results, "recovery", f"error of {name}")
    if results.has("attribution"):
        figures["attribution"], (left, right) = new_figure(2, 1, 4.8, 3.0)
        for variant in results.variants("attribution"):
            values = [results.mean("attribution", variant, f"AUC, overlap {o:g}").value for o in OVERLAPS]
            left.plot(OVERLAPS, values, marker="o", label=variant)
        left.set(xlabel="overlap of the kinds", ylabel="AUC", ylim=(0.4, 1.02))
        left.legend(frameon=False, fontsize=8)
        bars(right, results, "attribution", f"AUC, {IMITATED}")
    if results.has("ablation"):
        figures["ablation"], axes = new_figure(2, 1, 5.4, 2.2)
        for ax, metric in zip(axes, ("drop without it", "drop without another"), strict=True):
            bars(ax, results, "ablation", metric)
    for name in ("governance", "imitation"):
        if results.has(name):
            figures[name], axes = new_figure(2, 1, 5.6, 3.2)
            for ax, metric in zip(
                axes, ("compromised", "blocked work" if name == "governance" else "detected"), strict=True
            ):
                bars(ax, results, name, metric)
    if results.has("menu"):
        figures["radar"] = radar({OURS: {
            d: results.mean("menu", OURS, f"distance, {d}").value for d in DIMENSIONS
            if results.has("menu", OURS, f"distance, {d}")
        }})  # fmt: skip
    return figures


def radar(groups: Mapping[str, Mapping[str, float]]) -> Figure:
    """Distances of groups by dimension, on five spokes from 0 to 1; dimensions not measured are left open."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.4, 4.2), dpi=120, layout="constrained")
    ax = figure.add_subplot(projection="polar")
    angles = np.linspace(0, 2 * np.pi, len(DIMENSIONS), endpoint=False)
    for name, distances in groups.items():
        values = np.array([distances.get(d, np.nan) for d in DIMENSIONS])
        ax.plot(np.r_[angles, angles[0]], np.r_[values, values[0]], marker="o", label=name)
    labels = [d.replace("-", "-\n").replace(" ", "\n") for d in DIMENSIONS]
    ax.set_xticks(angles, labels, fontsize=7)
    ax.set_ylim(0, 1)
    ax.set_title("distance from the synthetic human-like actors; formulas are ours", fontsize=8)
    ax.legend(fontsize=7, loc="lower left", bbox_to_anchor=(-0.25, -0.1), frameon=False)
    return figure


_ERRORS = tuple(f"error of {name}" for name in ("b", "time", "c", "i", "q"))
_SMALL = "One small model; b is not identifiable where every choice is the best one."

# fmt: off
EXPERIMENTS = (
    Experiment("recovery", recovery, (HUMAN, AGENT)),
    Experiment("attribution", attribution, (FIVE, TIMING_ALONE, LENGTH_ALONE, MAJORITY), joint=True),
    Experiment("ablation", ablation, DIMENSIONS, joint=True),
    Experiment("governance", governance,
               (NOBODY, RULES, SLOW, FAST, ESCALATING, CHANCE, *(f"{FAST}, no {c}" for c in CONTROLS)),
               joint=True, vectorised=True, seeds={"quick": 50, "standard": 50, "full": 500}),
    Experiment("imitation", imitation,
               tuple(f"{m}, {r}" for m in (PROFILE, FAST, NOBODY) for r in (OPEN_RED, IMITATING_RED)), joint=True,
               vectorised=True, seeds={"quick": 50, "standard": 50, "full": 500}),
    Experiment("menu", menus, (OURS,), joint=True, model=True, seeds={"quick": 1, "standard": 3, "full": 10}),
    Experiment("models", models, (OURS, RIVAL), joint=True, model=True, skip=no_rival,
               seeds={"quick": 1, "standard": 5, "full": 10}),
)
CLAIMS = (
    Claim("recovered", "With 200 acts each estimate is off by less than 10% of its range, for both kinds", "recovery",
          _level("recovery", (HUMAN, AGENT), _ERRORS, below=0.1)),
    Claim("auc-low-overlap", "At low overlap the five scores tell the kinds apart (AUC 0.95)", "attribution",
          _level("attribution", [FIVE], [f"AUC, {LOW}"], above=0.95)),
    Claim("auc-null", "Identical populations give 0.50 (within 0.03)", "attribution",
          _level("attribution", [FIVE, TIMING_ALONE, LENGTH_ALONE], [f"AUC, {IDENTICAL}"], above=0.47, below=0.53)),
    Claim("beats-timing", "Where agents imitate human timing the five scores beat timing alone by 0.05", "attribution",
          difference("attribution", FIVE, TIMING_ALONE, f"AUC, {IMITATED}", above=0.05)),
    Claim("ablation-carrier", "Without the dimension that carries the planted difference AUC falls, for each of five",
          "ablation", _level("ablation", DIMENSIONS, ["drop without it"], above=0.0)),
    Claim("ablation-others", "Without one that carries none it does not (within 0.01)", "ablation",
          _level("ablation", DIMENSIONS, ["drop without another"], above=-0.01, below=0.01)),
    Claim("governance", "The agent-speed monitor leaves fewer hosts compromised than the human-speed one and none",
          "governance", all_of(_wilcoxon("governance", FAST, SLOW, "compromised"),
                             _wilcoxon("governance", FAST, NOBODY, "compromised"),
                             difference("governance", FAST, SLOW, "compromised", below=0.0),
                             difference("governance", FAST, NOBODY, "compromised", below=0.0))),
    Claim("no-more-blocked", "It blocks no more of the legitimate work than the rule monitor", "governance",
          difference("governance", FAST, RULES, "blocked work", below=1e-9)),
    Claim("random-loses", "A monitor that blocks at random at the same rate loses to it", "governance",
          all_of(_wilcoxon("governance", FAST, CHANCE, "compromised"),
               difference("governance", CHANCE, FAST, "compromised", above=0.0))),
    Claim("escalation", "Ours: asking a human when unsure blocks less work, and leaves more hosts compromised",
          "governance", all_of(difference("governance", ESCALATING, FAST, "blocked work", below=0.0),
                             difference("governance", ESCALATING, FAST, "compromised", above=0.0))),
    Claim("controls", "Ours: each stage's control counts: without it more hosts are compromised", "governance",
          all_of(*(difference("governance", f"{FAST}, no {c}", FAST, "compromised", above=0.0) for c in CONTROLS))),
    Claim("imitation", "An imitating red lowers the detection of a defender who goes by profiles", "imitation",
          all_of(difference("imitation", f"{PROFILE}, {IMITATING_RED}", f"{PROFILE}, {OPEN_RED}", "detected",
                            below=0.0),
                 _wilcoxon("imitation", f"{PROFILE}, {IMITATING_RED}", f"{PROFILE}, {OPEN_RED}", "detected"))),
    Claim("imitation-loss", "More hosts are then lost to it, though the imitator acts half as often", "imitation",
          difference("imitation", f"{PROFILE}, {IMITATING_RED}", f"{PROFILE}, {OPEN_RED}", "compromised", above=0.0)),
    Claim("model-menu", "Ours: the model chooses better than at random from a menu of stated pay-offs (b > 0)", "menu",
          _level("menu", [OURS], ["b"], above=0.0), _SMALL),
    Claim("model-probes", "Ours: it contradicts itself in fewer than half of the pairs of probes", "menu",
          _level("menu", [OURS], ["q"], below=0.5), _SMALL),
    Claim("models-apart", "Two models are apart in the five dimensions (index above 0.1)", "models",
          _level("models", [OURS], ["index"], above=0.1)),
)
# fmt: on

STUDY = Study(
    name="agent-behavior",
    title="The Agent Behavior: lifecycle, disparity in five dimensions, agents that govern agents",
    paper="arXiv 2508.14415 (2025)",
    kind="survey",
    engine="diagnosis",
    summary=(
        "Six stages of an act, five dimensions in which actors differ, a test of attribution, and a toy game in which "
        "monitors govern workers against an intruder. The paper gives the words; every formula and number is ours."
    ),
    mechanism=flows(
        "target confirmation -> information gathering -> reasoning -> decision mechanism -> action execution",
        "action execution -> feedback acquisition -(log of acts)-> five scores per actor -> disparity and attribution",
        "monitor agents -(allow, block, escalate)-> action execution",
    ),
    config=BehaviourConfig,
    experiments=EXPERIMENTS,
    claims=CLAIMS,
    sizes={
        "quick": {"actors": 150, "menus": 10, "pairs": 8, "plans": 2},
        "standard": {},
        "full": {"actors": 5_000, "pairs": 200, "menus": 200},
    },
    vocabulary=Vocabulary(
        ("monitors", "workers"), ("competition",), ("centralized",), ("rule-based",), ("oversight", "escalation")
    ),
    plots=plots,
)
