"""Real logs, and real models as judges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from shoal.runs.study import Trial
from shoal.studies.graphtracer.settings import (
    ASKED,
    BEST_AGENT,
    LOADER,
    LOG_METHODS,
    PROTOCOLS,
    ByVariant,
    GraphTracerConfig,
)
from shoal.tasks.datasets import data_file, missing

if TYPE_CHECKING:
    from shoal.diagnosis.failure_logs import FailureLog
    from shoal.diagnosis.incident import Incident
    from shoal.diagnosis.inquiry import Answer


def _folder(given: str) -> Path | None:
    if given:
        return Path(given).expanduser()
    first = data_file("who_and_when", "1.json")
    return first.parent if first is not None else None


def no_logs(config: GraphTracerConfig) -> str | None:
    """Why the real logs cannot be used here, if they cannot."""
    return None if _folder(config.logs) is not None else missing("who_and_when")


def no_hand_logs(config: GraphTracerConfig) -> str | None:
    """Why the hand-crafted logs cannot be used here, if they cannot."""
    return None if config.hand_logs else "Put the 58 hand-crafted Who&When logs into a folder and set hand_logs to it."


def logs(trial: Trial[GraphTracerConfig]) -> ByVariant:
    """Methods that ask nobody, on the real logs; suspicions come from the detectors."""
    folder = _folder(trial.config.logs)
    if folder is None:
        raise RuntimeError("the logs have gone since the run began")
    return _judged_logs(folder)


def hand_logs(trial: Trial[GraphTracerConfig]) -> ByVariant:
    """The same on the hand-crafted logs."""
    return _judged_logs(Path(trial.config.hand_logs).expanduser())


def _judged_logs(folder: Path) -> ByVariant:
    from shoal.diagnosis.attribution import examine, incident_of
    from shoal.diagnosis.failure_logs import Prediction, constant_answers, failure_logs
    from shoal.diagnosis.incident import blame

    found = failure_logs(folder)
    (agent, _), (step, _) = constant_answers(found)
    measured: ByVariant = {
        LOADER: {
            "logs": float(len(found)), "commonest step": float(step),
            "inconsistent labels": float(sum(not log.consistent for log in found)),
            "entries": [float(log.entries) for log in found],
        }
    }  # fmt: skip
    met = [incident_of(examine(log.conversation, failed=True)) for log in found]
    for name in LOG_METHODS:
        steps = [int(blame(name, replace(m, seed=i)).argmax()) for i, m in enumerate(met)]
        said = [Prediction(m.agents[s], log.entry(s)) for log, m, s in zip(found, met, steps, strict=True)]
        measured[name] = _on_logs(found, said)
    measured[BEST_AGENT] = _on_logs(found, [Prediction(agent, None)] * len(found))
    return measured


def _on_logs(found: Sequence[FailureLog], said: Sequence[Any]) -> dict[str, list[float]]:
    from shoal.diagnosis import failure_logs as logs

    pairs = list(zip(found, said, strict=True))
    return {
        "agent": [float(logs.names_agent(log, p)) for log, p in pairs],
        "step": [float(logs.names_step(log, p)) for log, p in pairs],
        "step within 1": [float(logs.names_step(log, p, 1)) for log, p in pairs],
        "step within 3": [float(logs.names_step(log, p, 3)) for log, p in pairs],
        "agent, lenient": [float(logs.names_agent_leniently(log, p)) for log, p in pairs],
        "step, lenient": [float(logs.names_step_leniently(log, p)) for log, p in pairs],
    }


async def judges(trial: Trial[GraphTracerConfig]) -> ByVariant:
    """A real model as judge of short made-up runs, by the three protocols, with and without the true answer."""
    from shoal.diagnosis.deep_search import SearchWorld, search_runs
    from shoal.diagnosis.incident import Incident
    from shoal.diagnosis.search_text import written

    world = SearchWorld(agents=3, shortest=6, longest=9)
    runs = list(search_runs(world, trial.config.judged_runs, trial.derive("runs")))
    talks = [written(run, trial.derive("words", number)) for number, run in enumerate(runs)]
    met = [
        Incident(run.agents, np.full(run.graph.size, 0.5), run.graph, run.terminal, conversation=talk)
        for run, (talk, _) in zip(runs, talks, strict=True)
    ]
    measured: ByVariant = {}
    for name, answers in (await _ask(trial, met, [truth for _, truth in talks])).items():
        right = [float(a.step == run.root) for a, run in zip(answers, runs, strict=True)]
        measured[name] = {
            "step": right,
            "agent": [float(a.agent == run.agents[run.root]) for a, run in zip(answers, runs, strict=True)],
            "step less chance": [r - 1 / run.graph.size for r, run in zip(right, runs, strict=True)],
            **_spent(answers),
        }
    return measured


async def judges_logs(trial: Trial[GraphTracerConfig]) -> ByVariant:
    """A real model as judge of real logs."""
    from shoal.diagnosis.attribution import examine, incident_of
    from shoal.diagnosis.failure_logs import Prediction, failure_logs

    folder = _folder(trial.config.logs)
    if folder is None:
        raise RuntimeError("the logs have gone since the run began")
    found = failure_logs(folder)
    order = trial.rng("logs").permutation(len(found))[: trial.config.judged_logs]
    chosen = [found[i] for i in order]
    met = [incident_of(examine(log.conversation, failed=True)) for log in chosen]
    measured: ByVariant = {}
    for name, answers in (await _ask(trial, met, [log.truth or "" for log in chosen])).items():
        said = [Prediction(a.agent, log.entry(a.step)) for a, log in zip(answers, chosen, strict=True)]
        measured[name] = {**_on_logs(chosen, said), **_spent(answers)}
    return measured


def _spent(answers: Sequence[Answer]) -> dict[str, list[float]]:
    return {
        "questions": [float(a.calls) for a in answers],
        "unread replies": [float(a.unparsed) for a in answers],
    }


async def _ask(
    trial: Trial[GraphTracerConfig], met: Sequence[Incident], truths: Sequence[str]
) -> dict[str, list[Answer]]:  # fmt: skip
    """The answers of each protocol for each incident, all asked at the same time."""
    import asyncio

    from shoal.diagnosis import inquiry

    model, config = trial.need_model(), trial.config
    ways = dict(zip(PROTOCOLS, (inquiry.all_at_once, inquiry.step_by_step, inquiry.binary_search), strict=True))

    async def one(name: str, incident: Incident, truth: str) -> Answer:
        protocol, _, told = name.partition(", ")
        known = truth if told == "with answer" else None
        judge = inquiry.ModelJudge(model, known, config.characters, config.max_tokens, trial.derive("judge"))
        return await ways[protocol](judge, incident)

    async def all_of(name: str) -> list[Answer]:
        return list(await asyncio.gather(*(one(name, i, truth) for i, truth in zip(met, truths, strict=True))))

    return dict(zip(ASKED, await asyncio.gather(*(all_of(name) for name in ASKED)), strict=True))
