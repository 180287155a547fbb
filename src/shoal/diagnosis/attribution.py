"""Who caused the failure, and at which step: ranked suspects with confidence, evidence and what to try next.

Each step gets a fault probability from what the detectors found there (a noisy or), from whether it was the first to
state the wrong outcome, and from a weak prior. An attribution method turns these and the usage graph into blame. The
default, "findings", asks no model: a suspect must be able to have caused the failure, so it lies upstream of the final
step, and what it used was clean.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from shoal.diagnosis.conversation import Conversation, is_agent, quoted, same
from shoal.diagnosis.findings import DETECTORS, Finding, findings
from shoal.diagnosis.incident import ATTRIBUTION, Blame, Incident, blame
from shoal.diagnosis.usage import UsageGraph, usage_graph

PRIOR = 0.02
"""Fault probability of a step without any finding."""
ORIGIN = 0.5
"""Added where a step is the first to state the outcome of a failed run."""
METHOD = "findings"
"""Attribution method unless another is asked for."""
DOUBT = 0.2
"""Weight of "none of these" when confidences are normed: tuned on planted faults, see `shoal bench diagnosis`."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A step that may have caused the failure.

    Attributes:
        agent: whose step it is.
        step: index among the conversation's steps.
        event: id of its event.
        confidence: that this agent and step are the cause, in [0, 1]; all suspects and "none of these" sum to 1.
        reasons: findings behind it, the weightiest first.
        downstream: steps that were made from it.
        path: the way from it to the final step.
        words: what it said.
    """

    agent: str
    step: int
    event: str
    confidence: float
    reasons: tuple[Finding, ...]
    downstream: int
    path: tuple[int, ...]
    words: str


@dataclass
class Diagnosis:
    """The verdict on one conversation.

    Attributes:
        conversation: what was looked at.
        graph: who used what.
        findings: all that detectors reported.
        suspects: ranked, the likeliest first.
        failed: True, False, or None if the trace does not tell.
        method: the attribution method that ranked the suspects.
        unread: replies of a model that could not be read, of methods that ask one.
    """

    conversation: Conversation
    graph: UsageGraph
    findings: list[Finding]
    suspects: list[Suspect] = field(default_factory=list)
    failed: bool | None = None
    method: str = METHOD
    unread: int = 0

    @property
    def advice(self) -> list[str]:
        """What to try next, for the likeliest suspects first, without repeats."""
        return list(dict.fromkeys(f.advice for s in self.suspects[:3] for f in s.reasons))[:4]

    def by_agent(self) -> list[tuple[str, float]]:
        """Confidence by agent, the greatest first."""
        total: dict[str, float] = {}
        for suspect in self.suspects:
            total[suspect.agent] = total.get(suspect.agent, 0.0) + suspect.confidence
        return sorted(total.items(), key=lambda item: -item[1])


def diagnose(
    conversation: Conversation,
    *,
    failed: bool | None = None,
    graph: UsageGraph | None = None,
    only: tuple[str, ...] = (),
    most: int = 5,
    method: str = METHOD,
) -> Diagnosis:
    """Rank the suspects of one conversation.

    Args:
        conversation: from ``conversations(trace)``.
        failed: whether the run failed; None takes what a checker in the run said.
        graph: usage edges, if they are known already (with a model's edges, say).
        only: names of the detectors to use; all without it.
        most: suspects to report.
        method: an attribution method that asks nobody; for the others see ``examine`` and ``convict``.

    Raises:
        UnknownName: no such method.
        InputError: the method asks a model.
    """
    diagnosis = examine(conversation, failed=failed, graph=graph, only=only)
    if conversation.steps:
        convict(diagnosis, blame(method, incident_of(diagnosis)), method, most)
    return diagnosis


def examine(
    conversation: Conversation,
    *,
    failed: bool | None = None,
    graph: UsageGraph | None = None,
    only: tuple[str, ...] = (),
) -> Diagnosis:
    """What can be said before anybody is blamed: usage graph and findings, no suspects yet. Arguments as above."""
    graph = graph if graph is not None else usage_graph(conversation)
    told = failed if failed is not None else (None if conversation.correct is None else not conversation.correct)
    return Diagnosis(conversation, graph, findings(conversation, graph, only), failed=told)


def incident_of(diagnosis: Diagnosis) -> Incident:
    """The run as attribution methods see it; where nobody gave an answer, the last step is the one that failed."""
    talk = diagnosis.conversation
    final = talk.final if talk.final is not None else len(talk.steps) - 1
    agents = tuple(s.agent if is_agent(s.agent) else "" for s in talk.steps)
    suspicion = fault_probabilities(talk, diagnosis.findings, diagnosis.failed is not False)
    return Incident(agents, suspicion, diagnosis.graph, final, conversation=talk)


def convict(diagnosis: Diagnosis, blame: Blame, method: str = METHOD, most: int = 5) -> None:
    """Rank the suspects of a diagnosis by blame [steps], in place. Raises UnknownName."""
    diagnosis.method = ATTRIBUTION.get(method).name
    diagnosis.suspects = _ranked(diagnosis, blame, most)


def fault_probabilities(
    conversation: Conversation, found: Sequence[Finding], failed: bool = True
) -> NDArray[np.float64]:  # fmt: skip
    """q(v) for each step [steps], in [0, 1): noisy or of the prior, the findings' blame and the outcome's origin."""
    steps = conversation.steps
    clean = np.full(len(steps), 1.0 - PRIOR)
    for finding in found:
        if finding.step is not None:
            clean[finding.step] *= 1.0 - 0.95 * finding.score * DETECTORS.get(finding.detector).blames
    if failed and (first := _origin(conversation)) is not None:
        clean[first] *= 1.0 - ORIGIN
    for step in steps:
        if not is_agent(step.agent):
            clean[step.index] = 1.0
    return 1.0 - clean


def _ranked(diagnosis: Diagnosis, blame: Blame, most: int) -> list[Suspect]:
    talk, graph = diagnosis.conversation, diagnosis.graph
    origin = _origin(talk) if diagnosis.failed is not False else None
    total = blame.sum() + DOUBT
    suspects = []
    for step in np.argsort(-blame, kind="stable")[:most]:
        index = int(step)
        if blame[index] <= 0:
            continue
        entry = talk.steps[index]
        reasons = tuple(f for f in diagnosis.findings if f.step == index and DETECTORS.get(f.detector).blames > 0)
        if index == origin:
            reasons += (_origin_finding(talk, index),)
        suspects.append(
            Suspect(
                entry.agent,
                index,
                entry.event.id,
                float(blame[index] / total),
                reasons,
                len(graph.descendants(index)),
                tuple(graph.path(index, talk.final)) if talk.final is not None else (),
                quoted(entry.event),
            )
        )
    return suspects


def _origin(conversation: Conversation) -> int | None:
    """The first step of an agent that states the outcome: as its answer, in its words, or by code that printed it.

    Words count only where the outcome is telling: two characters or more, and not given in the question.
    """
    if not conversation.outcome or conversation.correct:
        return None
    wanted = same(conversation.outcome)
    telling = 2 <= len(wanted) <= 60 and wanted not in same(conversation.question)
    stated = re.compile(rf"(?<![\w.]){re.escape(wanted)}(?![\w])") if telling else None
    speaker = None
    for step in conversation.steps:
        if not is_agent(step.agent):
            continue
        if step.kind == "said":
            speaker = step.index
            if step.answer is not None and same(step.answer) == wanted:
                return step.index
        if stated is not None and step.kind in ("said", "tool") and stated.search(same(step.text)):
            return step.index if step.kind == "said" or speaker is None else speaker
    return None


def _origin_finding(conversation: Conversation, index: int) -> Finding:
    step = conversation.steps[index]
    evidence = f'{step.agent} is the first to state the outcome: "{quoted(step.event)}"'
    advice = f"Change this step of {step.agent} and replay the rest: does the outcome follow?"
    return Finding("origin", ORIGIN, step.agent, index, (step.event.id,), evidence, advice)
