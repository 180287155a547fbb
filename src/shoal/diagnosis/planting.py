"""Graph-aware fault data from teams that can be run again: corrupt what matters most, keep the runs that then fail.

Step 6 of GraphTracer's page: in a successful run the steps of highest Impact are corrupted one at a time (a wrong
number, a wrong entity, a dropped constraint), the rest is run again, and a run that now fails is kept with its label,
the step and the way from it to the failure.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from shoal.diagnosis.conversation import Conversation, Step, conversation
from shoal.diagnosis.faults import corrupted
from shoal.diagnosis.information import impact
from shoal.diagnosis.replay import Case, Change, rerun
from shoal.diagnosis.usage import UsageGraph, usage_graph
from shoal.runs.seeds import derive

_CONSTRAINT = re.compile(
    r",?\s*\b(?:only|at (?:least|most)|no (?:more|less|fewer) than|excluding|except|without|unless|before|after)\b"
    r"[^,.;\n]*",
    re.IGNORECASE,
)
_ENTITY = re.compile(r"(?<![.!?]\s)(?<!^)\b[A-Z][a-z]{2,}\b")

Corrupt = Callable[[Step, Conversation, int], str]


@dataclass(frozen=True)
class PlantedRun:
    """A run that succeeded, and failed once one step was corrupted.

    Attributes:
        conversation: the failing run.
        graph: its usage edges.
        root: the corrupted step.
        path: the surest way from it to the step that the answer was taken from.
        kind: what was corrupted.
    """

    conversation: Conversation
    graph: UsageGraph
    root: int
    path: tuple[int, ...]
    kind: str


def wrong_number(step: Step, talk: Conversation, seed: int) -> str:
    """The step's value that matters most replaced by another of its form."""
    return corrupted(step.text, seed)


def wrong_entity(step: Step, talk: Conversation, seed: int) -> str:
    """One capitalised name of the step replaced by another name of the conversation; unchanged where there is none."""
    own = sorted(set(_ENTITY.findall(step.text)))
    others = sorted({n for s in talk.steps for n in _ENTITY.findall(s.text)} - set(own))
    if not own or not others:
        return step.text
    rng = np.random.default_rng(seed)
    old, new = str(rng.choice(own)), str(rng.choice(others))
    return re.sub(rf"\b{old}\b", new, step.text)


def dropped_constraint(step: Step, talk: Conversation, seed: int) -> str:
    """The step without its first limiting clause ("only", "at least", ...); unchanged where it has none."""
    return _CONSTRAINT.sub("", step.text, count=1)


CORRUPTIONS: dict[str, Corrupt] = {
    "wrong number": wrong_number,
    "wrong entity": wrong_entity,
    "dropped constraint": dropped_constraint,
}


async def planted_runs(case: Case, most: int = 3, seed: int = 0, least_score: float = 0.5) -> list[PlantedRun]:
    """Failing runs of a case, each with one corrupted step of high Impact.

    Args:
        case: a run that can be run again; one that fails by itself gives nothing.
        most: steps to corrupt, those of highest Impact among the agents' replies.
        seed: of the wrong values.
        least_score: outcome from which on a run counts as a success.
    """
    outcome, original = await rerun(case)
    if case.score(outcome) < least_score:
        return []
    talk = conversation("original", original.events)
    weight = impact(usage_graph(talk))
    replies = [s for s in talk.steps if s.event.kind == "model.call" and s.text.strip()]
    replies.sort(key=lambda s: (-weight[s.index], s.index))
    recorded = replace(case, record=original)
    found = []
    for step in replies[:most]:
        for kind, corrupt in CORRUPTIONS.items():
            text = corrupt(step, talk, derive(seed, kind, step.index))
            if text != step.text and (run := await _planted(recorded, talk, step, text, kind, least_score)):
                found.append(run)
    return found


async def _planted(
    case: Case, talk: Conversation, step: Step, text: str, kind: str, least_score: float
) -> PlantedRun | None:  # fmt: skip
    """The run with that reply changed; None if it succeeds all the same."""
    turn = _calls(talk, step.agent).index(step.index)
    outcome, trace = await rerun(case, Change(step.agent, turn, reply=text))
    failing = conversation(f"{kind} at {step.index}", trace.events)
    own = _calls(failing, step.agent)
    if case.score(outcome) >= least_score or turn >= len(own) or failing.final is None:
        return None
    graph = usage_graph(failing)
    return PlantedRun(failing, graph, own[turn], tuple(graph.path(own[turn], failing.final)), kind)


def _calls(talk: Conversation, agent: str) -> list[int]:
    """Steps in which the agent was asked, in order."""
    return [s.index for s in talk.of(agent) if s.event.kind in ("model.call", "model.failure")]
