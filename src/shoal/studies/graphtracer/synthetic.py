"""Runs with a known cause: all methods, worse judges, edges found in words, the learned tracer, planted faults."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from shoal.runs.seeds import derive
from shoal.runs.study import Trial
from shoal.studies.graphtracer.settings import (
    AUCS,
    CHAIN,
    CHANCE,
    CONTROL,
    EARLIEST,
    FEW,
    FINDINGS,
    FOUND,
    JUDGES,
    LAST,
    LESSONS,
    METHODS,
    PATH_ONLY,
    RANDOM,
    RULE,
    RUNS,
    SOURCE_ONLY,
    THRESHOLDS,
    TRAINED,
    TRUE,
    UNTRAINED,
    ByVariant,
    GraphTracerConfig,
)

if TYPE_CHECKING:
    from shoal.diagnosis.deep_search import SearchRun, Sees
    from shoal.diagnosis.incident import Blame, Incident


def tracing(trial: Trial[GraphTracerConfig]) -> ByVariant:
    """All methods on the same runs with the same suspicions, for both kinds of judge."""
    from shoal.diagnosis.deep_search import SearchWorld, search_runs
    from shoal.diagnosis.information import artefacts, distances

    config, measured = trial.config, ByVariant()
    runs = list(search_runs(SearchWorld(), config.runs, trial.derive("runs")))
    kept = [artefacts(run.graph, run.terminal) for run in runs]
    measured[RUNS] = {
        "steps to failure": [float(run.terminal - run.root) for run in runs],
        "edges to failure": [float(distances(run.graph)[run.root, run.terminal]) for run in runs],
        "nodes per step": [float(k.mean()) for k in kept],
        "edges per node": [
            sum(bool(k[e.target]) for e in run.graph.edges) / k.sum() for run, k in zip(runs, kept, strict=True)
        ],
        "steps that mend": [float(sum(run.mended_by(s) for s in range(run.graph.size))) for run in runs],
    }
    tuning = list(search_runs(SearchWorld(), config.tuning_runs, trial.derive("tuning")))
    for sees in JUDGES:
        threshold = tuned(tuning, config.auc, trial.derive("tuning"), sees)
        met = [_incident(run, config.auc, trial.derive("judge", i), sees, threshold) for i, run in enumerate(runs)]
        compare(measured, runs, met, METHODS, threshold, sees)
    return measured


def conditions(trial: Trial[GraphTracerConfig]) -> ByVariant:
    """Worse and better judges, and faults in steps of high Impact."""
    from shoal.diagnosis.deep_search import SearchWorld, search_runs

    config, measured = trial.config, ByVariant()
    runs = list(search_runs(SearchWorld(), config.condition_runs, trial.derive("runs")))
    central = list(search_runs(SearchWorld(planting="impact"), config.condition_runs, trial.derive("runs")))
    tuning = list(search_runs(SearchWorld(), config.tuning_runs, trial.derive("tuning")))
    for sees in JUDGES:
        for auc in (*AUCS, config.auc):
            threshold = tuned(tuning, auc, trial.derive("tuning"), sees)
            asked, label = (runs, f"{sees}, AUC {auc}") if auc in AUCS else (central, f"{sees}, high impact")
            met = [_incident(run, auc, trial.derive("judge", i), sees, threshold) for i, run in enumerate(asked)]
            compare(measured, asked, met, FEW, threshold, label)
    return measured


def compare(
    into: ByVariant,
    runs: Sequence[SearchRun],
    met: Sequence[Incident],
    methods: Sequence[str],
    threshold: float,
    label: str,
) -> None:
    """File accuracy of the methods on runs: exact step, within 3, agent, and whether the named step mends the run."""
    for name in methods:
        named = [_named(name, incident, threshold) for incident in met]
        pairs = list(zip(named, runs, strict=True))
        row = into.setdefault(name, {})
        row[f"step, {label}"] = [float(s == run.root) for s, run in pairs]
        row[f"within 3, {label}"] = [float(s is not None and abs(s - run.root) <= 3) for s, run in pairs]
        row[f"agent, {label}"] = [float(s is not None and run.agents[s] == run.agents[run.root]) for s, run in pairs]
        row[f"mends, {label}"] = [float(s is not None and run.mended_by(s)) for s, run in pairs]


def _incident(run: SearchRun, auc: float, seed: int, sees: Sees, threshold: float) -> Incident:
    from shoal.diagnosis.deep_search import incident
    from shoal.diagnosis.inquiry import ScoreJudge

    return replace(incident(run, auc, seed, sees), judge=ScoreJudge(threshold))


def _named(method: str, incident: Incident, threshold: float) -> int | None:
    """The step that a method names, None if it names none."""
    from shoal.diagnosis.incident import asked_blame
    from shoal.diagnosis.methods.constants import earliest_suspicious

    blame = earliest_suspicious(incident, threshold) if method == EARLIEST else _at_once(asked_blame(method, incident))
    return int(blame.argmax()) if blame.any() else None


def _at_once(waiting: Any) -> Blame:
    """The result of a coroutine that never waits: judges made of numbers answer at once."""
    try:
        waiting.send(None)
    except StopIteration as done:
        found: Blame = done.value
        return found
    raise RuntimeError("the judge made the method wait")


def tuned(runs: Sequence[SearchRun], auc: float, seed: int, sees: Sees) -> float:
    """The threshold at which "earliest suspicious" is right most often on these runs."""
    from shoal.diagnosis.deep_search import incident
    from shoal.diagnosis.methods.constants import earliest_suspicious

    met = [incident(run, auc, derive(seed, i), sees) for i, run in enumerate(runs)]
    right = [
        sum(int(earliest_suspicious(i, t).argmax()) == run.root for i, run in zip(met, runs, strict=True))
        for t in THRESHOLDS
    ]
    return THRESHOLDS[int(np.argmax(right))]


def extraction(trial: Trial[GraphTracerConfig]) -> ByVariant:
    """Usage edges found in the words of a run against the true ones, and tracing on each."""
    from shoal.diagnosis.deep_search import SearchWorld, incident, search_runs
    from shoal.diagnosis.incident import blame
    from shoal.diagnosis.search_text import written
    from shoal.diagnosis.usage import usage_graph

    config, measured = trial.config, ByVariant()
    for number, run in enumerate(search_runs(SearchWorld(), config.text_runs, trial.derive("runs"))):
        talk, _ = written(run, trial.derive("words", number))
        graph = usage_graph(talk)
        found = {(e.source, e.target) for e in graph.edges if e.origin != "order"}
        true = {(e.source, e.target) for e in run.graph.edges}
        facts = measured.setdefault(FOUND, {})
        facts.setdefault("precision", []).append(len(found & true) / max(1, len(found)))
        facts.setdefault("recall", []).append(len(found & true) / len(true))
        for sees in JUDGES:
            met = incident(run, config.auc, trial.derive("judge", number), sees)
            graphs = {FOUND: blame(RULE, met.on(graph)), TRUE: blame(RULE, met), CHAIN: blame(CHAIN, met)}
            for name, scores in graphs.items():
                row = measured.setdefault(name, {}).setdefault(f"step, {sees}", [])
                row.append(float(int(scores.argmax()) == run.root))
    return measured


def learning(trial: Trial[GraphTracerConfig]) -> ByVariant:
    """The trained tracer, before and after training, with shuffled labels, and the fixed rule, on held-out runs."""
    from shoal.diagnosis import tracer
    from shoal.diagnosis.deep_search import SearchWorld, search_runs
    from shoal.diagnosis.incident import blame
    from shoal.diagnosis.tracing import closure

    config, measured = trial.config, ByVariant()
    settings = tracer.TracerSettings(
        updates=config.updates, source_weight=config.source_weight, width=config.width
    )  # fmt: skip
    for planting, sees in LESSONS:
        world = SearchWorld(planting=planting)
        label = f"{sees}, {planting} faults"
        taught, asked = (
            [
                tracer.labelled(run, config.auc, trial.derive(part, planting, i), sees)
                for i, run in enumerate(search_runs(world, count, trial.derive(part, planting)))
            ]
            for part, count in (("lessons", config.lessons), ("held out", config.held_out))
        )
        make = partial(tracer.lesson, settings=settings, longest=world.longest)
        data, test = make(taught), make(asked)
        control = make([tracer.relabelled(e, trial.derive("control", i)) for i, e in enumerate(taught)])
        start = tracer.untrained(data, settings, trial.derive("weights"))
        learn = partial(tracer.train, start, settings=settings, seed=trial.derive("training"))
        picks = {UNTRAINED: start.pick(test), TRAINED: learn(data).pick(test), CONTROL: learn(control).pick(test)}
        picks[RULE] = np.array([int(blame(RULE, e.incident).argmax()) for e in asked])
        if (planting, sees) == LESSONS[0]:
            for name, weight in ((SOURCE_ONLY, 1.0), (PATH_ONLY, 0.0)):
                other = replace(settings, source_weight=weight)
                picks[name] = learn(make(taught, settings=other), settings=other).pick(test)
        for name, steps in picks.items():
            row = measured.setdefault(name, {})
            row[f"step, {label}"] = (steps == test.root).astype(float)
            row[f"reward, {label}"] = test.reward[np.arange(len(steps)), steps].astype(float)
        inside = [closure(e.incident.graph, e.incident.terminal).sum() - 1 for e in asked]
        measured.setdefault(CHANCE, {})[f"step, {label}"] = [1.0 / float(n) for n in inside]
    return measured


async def planted(trial: Trial[GraphTracerConfig]) -> ByVariant:
    """Graph-aware faults in scripted teams that are run again; suspicions come from the detectors."""
    from shoal.diagnosis.attribution import examine, incident_of
    from shoal.diagnosis.incident import blame
    from shoal.diagnosis.planting import planted_runs
    from shoal.diagnosis.scoring import replayable

    measured = ByVariant()
    for team in ("relay", "chain:agents=4", "debate:agents=4,rounds=2"):
        for task in range(trial.config.planted_tasks):
            case = replayable(team, trial.derive(team, task))
            for run in await planted_runs(case, seed=trial.derive("fault", task)):
                met = incident_of(examine(run.conversation, failed=True, graph=run.graph))
                for name in (FINDINGS, *FEW[:-1], LAST, RANDOM):
                    step = int(blame(name, replace(met, seed=task)).argmax())
                    row = measured.setdefault(name, {})
                    row.setdefault("step", []).append(float(step == run.root))
                    row.setdefault("agent", []).append(float(met.agents[step] == met.agents[run.root]))
    return measured
