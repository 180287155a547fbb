"""Forks of recorded runs: a team is built again from its run, one reply is changed, and the rest is sampled anew.

The run's folder says which team, task, model and seeds it had; the recorded calls before the change are given back
and never asked again. What comes after is asked of the model, so the calls are told before any is made.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shoal.diagnosis.conversation import Conversation, conversations
from shoal.diagnosis.replay import Case, Change, Effect, replay, rerun
from shoal.errors import InputError
from shoal.models.source import SharedModel
from shoal.runs.budget import Budget, Limits
from shoal.runs.folder import RunFolder
from shoal.runs.seeds import derive
from shoal.runs.settings import validate
from shoal.stats import Evidence
from shoal.tasks.problem import Problem, Question, answer_key
from shoal.teams.agent import Agent
from shoal.teams.comparison import EXPERIMENT, System, TeamConfig, problems_of, rival_tokens, systems
from shoal.teams.outcome import Outcome
from shoal.teams.session import Session
from shoal.traces import Event, Trace, TraceWriter, Usage

KIND = "fork"
CALLED = ("model.call", "model.failure")
MOST_SAMPLES = 100


@dataclass(frozen=True)
class Place:
    """A recorded reply that may be changed.

    Attributes:
        folder: the run.
        talk: the conversation that it is part of.
        call: its event.
        turn: number of the agent's call, from 0.
        later: calls of the conversation after it.
        before: model tokens and price of these, as recorded.
    """

    folder: RunFolder
    talk: Conversation
    call: Event
    turn: int
    later: int
    before: Usage


@dataclass(frozen=True)
class Forecast:
    """What a fork will ask of the model.

    Attributes:
        model: its spec.
        calls: about so many, for all samples of both sides; an agent that behaves otherwise may need more or fewer.
        tokens: about so many.
        dollars: about so much, where the model has a price.
        paid: whether calls leave this machine.
    """

    model: str
    calls: int
    tokens: int
    dollars: float
    paid: bool


@dataclass(frozen=True)
class Forked:
    """What came of a fork.

    Attributes:
        folder: the new run, with the trace of the first changed sample.
        before: the recorded outcome.
        before_right: whether it was right.
        after: outcome of the first changed sample.
        after_right: whether it is right.
        effect: over all samples, with and without the change.
    """

    folder: RunFolder
    before: str | None
    before_right: bool | None
    after: str | None
    after_right: bool
    effect: Effect


def check_run(folder: RunFolder) -> None:
    """Raise InputError where the team of a run cannot be built again."""
    info = folder.info
    name = folder.path.name
    if info.get("kind") == KIND:
        raise InputError("run", name, f"It is a fork; fork {info['fork']['run']} instead.")
    if info.get("name") != "team" or EXPERIMENT not in info.get("models", {}):
        raise InputError("run", name, "Only runs of `shoal team` hold all that is needed to build their team again.")
    if folder.status() == "running":
        raise InputError("run", name, "It is still running; fork it when it has ended.")
    spec = _model(folder)
    if spec.startswith("recorded:") and not spec.startswith("recorded:gsm8k#"):
        raise InputError("run", name, f"Its model {spec} plays a log back, which has no reply to a changed message.")


def place_of(folder: RunFolder, events: Sequence[Event], position: int) -> Place:
    """Where a fork would begin: the model's reply at a position, or the one that a message there hands on.

    Args:
        folder: the run.
        events: its trace.
        position: among the events.

    Raises:
        InputError: the run's team cannot be built again, or the event is no reply; says why.
    """
    check_run(folder)
    event = events[position]
    talk = next((c for c in conversations(events) if any(e is event for e in c.events)), None)
    if talk is None:
        raise InputError("event", event.id, "It belongs to no task of the run.")
    calls = [e for e in talk.events if e.kind in CALLED]
    if event.kind == "message":
        event = next((c for c in calls if c.id in event.parents and c.agent == event.agent), event)
    if not any(event is c for c in calls):
        raise InputError("event", f"{event.id} ({event.kind})", "Choose a model's reply or a message that holds one.")
    at = next(i for i, c in enumerate(calls) if c is event)
    spent = Usage()
    for call in calls[at + 1 :]:
        spent.add(call.usage or Usage())
    turn = sum(c.agent == event.agent for c in calls[:at])
    return Place(folder, talk, event, turn, len(calls) - at - 1, spent)


def forecast(place: Place, samples: int) -> Forecast:
    """The calls of a fork: those after the change, for each sample with and without it, and once for the new trace."""
    spec = _model(place.folder)
    source = SharedModel(spec)
    paid = source.evidence is Evidence.ENDPOINT
    times = 2 * samples if _cached(source) else 2 * samples + 1
    dollars = source.open(None, 0).price(place.before) * times if paid else 0.0
    return Forecast(spec, place.later * times, place.before.tokens * times, dollars, paid)


def fork(place: Place, events: Sequence[Event], reply: str, samples: int, out: Path) -> Forked:
    """Change a reply, sample the rest anew, and keep the first changed sample as a run of its own.

    Args:
        place: from ``place_of``.
        events: the trace that it was found in.
        reply: what the agent says there instead; empty for silence.
        samples: suffixes with and without the change, from 1 to 100.
        out: folder of run folders.

    Raises:
        InputError: the model is not ready, or a value is out of range.
    """
    if not 1 <= samples <= MOST_SAMPLES:
        raise InputError("samples", samples, f"Give 1 to {MOST_SAMPLES}.")
    source = SharedModel(_model(place.folder), out / "calls.sqlite")
    if reason := source.unready():
        raise InputError("model", source.spec, reason)
    return asyncio.run(_forked(place, events, Change(place.call.agent, place.turn, reply=reply), samples, source, out))


async def _forked(
    place: Place, events: Sequence[Event], change: Change, samples: int, source: SharedModel, out: Path
) -> Forked:  # fmt: skip
    began = time.time()
    try:
        case, problem = case_of(place, events, source)
        outcome, trace = await rerun(case, change)
        effect = await replay(case, change, samples)
    finally:
        await source.aclose()
    right = problem.check(outcome.answer)
    talk = place.talk
    document = {
        "run": place.folder.path.name, "part": talk.run, "agent": change.agent, "turn": change.turn,
        "said": str(place.call.payload.get("text", "")), "reply": change.reply, "samples": samples,
        "before": talk.outcome, "before_right": talk.correct, "after": outcome.answer, "after_right": right,
        "departed": effect.departed, "answers": dict(effect.answers), "failures": dict(effect.failures),
        "difference": [effect.difference.value, effect.difference.low, effect.difference.high],
    }  # fmt: skip
    folder = RunFolder.create(
        out, f"fork-{place.folder.info['name']}", f"{KIND}-{began}", kind=KIND, size=f"{samples} samples",
        created=began, title=f"Fork of {place.folder.path.name}", models=place.folder.info["models"], fork=document,
    )  # fmt: skip
    _write(folder, talk, outcome, right, trace)
    folder.save(status="finished", finished=time.time(), usage=trace.usage().as_dict())
    folder.release()
    return Forked(folder, talk.outcome, talk.correct, outcome.answer, right, effect)


def case_of(place: Place, events: Sequence[Event], source: SharedModel) -> tuple[Case, Problem]:
    """The conversation as a case that can be run again, and its problem.

    Raises:
        InputError: its problem or its system is not one of the run's.
    """
    info = place.folder.info
    config = validate(TeamConfig, info["config"], "team")
    root, seed = int(info.get("root_seed", 0)), int(place.call.run.rpartition("/")[2])
    problems = problems_of(config, root, seed)
    key = answer_key(problems)
    start = next(e for e in place.talk.events if e.kind == "task.start")
    problem = key.get(str(start.payload.get("question")))
    team, rival, once = systems(config, key, _attach(config))
    system = next((s for s in (team, rival, once) if s.name == start.agent), None)
    if problem is None or system is None:
        raise InputError("run", place.folder.path.name, "Its settings do not give this task; were its files changed?")
    used = _tokens(events, place.call.run, team.name, problem)
    limits = {team.name: Limits(tokens=config.budget_tokens), rival.name: Limits(tokens=rival_tokens(config, used))}
    case = Case(
        _within(system, limits.get(system.name)), problem.question, system.agents,
        source.open(key, derive(root, EXPERIMENT, seed, "model")), lambda outcome: float(problem.check(outcome.answer)),
        record=Trace(place.talk.events), seed=derive(derive(root, EXPERIMENT, seed, "session"), problem.question.id),
        temperature=system.temperature, max_tokens=config.max_tokens,
    )  # fmt: skip
    return case, problem


def _model(folder: RunFolder) -> str:
    return str(folder.info["models"][EXPERIMENT])


def _cached(source: SharedModel) -> bool:
    """Whether equal calls are made once: the new trace is the first changed sample, so it then adds none."""
    return source.evidence in (Evidence.LOCAL, Evidence.ENDPOINT)


def _attach(config: TeamConfig) -> Any:
    if not config.watch:
        return None
    from shoal.diagnosis.governance.live import open_watch

    return open_watch(config.watch)


def _within(system: System, limits: Limits | None) -> Any:
    """The system's function with a fresh budget for each session."""

    async def run(question: Question, agents: Sequence[Agent], session: Session) -> Outcome:
        session.budget = Budget(limits)
        return await system.run(question, agents, session)

    return run


def _tokens(events: Sequence[Event], run: str, team: str, problem: Problem) -> int:
    """Tokens that the team used for a problem, as recorded."""
    for talk in conversations([e for e in events if e.run == run]):
        start = next((e for e in talk.events if e.kind == "task.start"), None)
        if start is not None and (start.agent, start.payload.get("question")) == (team, problem.question.id):
            return Trace(talk.events).usage().tokens
    return 0


def _write(folder: RunFolder, talk: Conversation, outcome: Outcome, right: bool, trace: Trace) -> None:
    """The events of the changed run between a start and an end, as a team's run has them."""
    start = next(e for e in talk.events if e.kind == "task.start")
    began = time.time()
    shared: Mapping[str, Any] = {"run": KIND, "agent": start.agent}
    with TraceWriter(folder.path / "events.jsonl", folder.path.name) as writer:
        writer.append(Event(id="start", time=began, step=0, kind="task.start", payload=dict(start.payload), **shared))
        for event in trace:
            event.run, event.time, event.step = KIND, event.time + began, event.step + 1
            writer.append(event)
        parents = ("start", outcome.event) if outcome.event else ("start",)
        payload = {"answer": outcome.answer, "correct": right, "stopped": ""}
        writer.append(
            Event(
                id="end", time=began + len(trace) / 1000, step=len(trace) + 1, kind="task.end", parents=parents,
                payload=payload, **shared,
            )
        )  # fmt: skip
