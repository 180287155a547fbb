"""Who caused the failure, and at which step: ranked suspects with confidence, evidence and what to try next.

No model is asked. Each step gets a fault probability from what the detectors found there (a noisy or), from whether it
was the first to state the wrong outcome, and from a weak prior. A suspect must be able to have caused the failure: it
lies upstream of the final step, and what it used was clean. This is the tracing rule of GraphTracer's page,
q(v) * prod over parents (1 - q(u)) * (0.5 + 0.5 * impact(v)).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from shoal.diagnosis.conversation import Conversation, is_agent, quoted, same
from shoal.diagnosis.findings import DETECTORS, Finding, findings
from shoal.diagnosis.usage import UsageGraph, usage_graph

PRIOR = 0.02
"""Fault probability of a step without any finding."""
ORIGIN = 0.5
"""Added where a step is the first to state the outcome of a failed run."""
EXACT_REACH = 2000
"""Steps up to which the reach of each is counted exactly."""
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
    """

    conversation: Conversation
    graph: UsageGraph
    findings: list[Finding]
    suspects: list[Suspect] = field(default_factory=list)
    failed: bool | None = None

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
) -> Diagnosis:
    """Rank the suspects of one conversation.

    Args:
        conversation: from ``conversations(trace)``.
        failed: whether the run failed; None takes what a checker in the run said.
        graph: usage edges, if they are known already (with a model's edges, say).
        only: names of the detectors to use; all without it.
        most: suspects to report.
    """
    graph = graph if graph is not None else usage_graph(conversation)
    found = findings(conversation, graph, only)
    told = failed if failed is not None else (None if conversation.correct is None else not conversation.correct)
    diagnosis = Diagnosis(conversation, graph, found, failed=told)
    diagnosis.suspects = _ranked(conversation, graph, found, most, told is not False)
    return diagnosis


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


def impact(graph: UsageGraph, towards: int | None) -> NDArray[np.float64]:
    """How much hangs on each step [steps], in [0, 1]: half is its reach, half whether the final step is in it."""
    if graph.size <= EXACT_REACH:
        reach = np.array([len(graph.descendants(i)) for i in range(graph.size)], dtype=float)
    else:  # an upper bound in one pass: steps that are reached on several ways count several times
        reach = np.zeros(graph.size)
        for step in range(graph.size - 1, -1, -1):
            reach[step] = min(graph.size, sum(1.0 + reach[e.target] for e in graph.children(step)))
    reach = reach / reach.max() if graph.size and reach.max() > 0 else reach
    if towards is None:
        return reach
    above = graph.ancestors(towards) | {towards}
    return 0.5 * reach + 0.5 * np.array([float(i in above) for i in range(graph.size)])


def _ranked(
    conversation: Conversation, graph: UsageGraph, found: list[Finding], most: int, failed: bool
) -> list[Suspect]:  # fmt: skip
    if not conversation.steps:
        return []
    final = conversation.final
    q = fault_probabilities(conversation, found, failed)
    weight = impact(graph, final)
    score = np.zeros(graph.size)
    for step in range(graph.size):
        clean = np.prod([1.0 - q[e.source] * e.confidence for e in graph.parents(step)] or [1.0])
        score[step] = q[step] * clean * (0.5 + 0.5 * weight[step])
    total = score.sum() + DOUBT
    suspects = []
    for step in np.argsort(-score, kind="stable")[:most]:
        index = int(step)
        if score[index] <= 0:
            continue
        entry = conversation.steps[index]
        reasons = tuple(f for f in found if f.step == index and DETECTORS.get(f.detector).blames > 0)
        if failed and index == _origin(conversation):
            reasons += (_origin_finding(conversation, index),)
        path = tuple(graph.path(index, final)) if final is not None else ()
        suspects.append(
            Suspect(
                entry.agent,
                index,
                entry.event.id,
                float(score[index] / total),
                reasons,
                len(graph.descendants(index)),
                path,
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
