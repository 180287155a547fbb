"""A diagnosis in words and as a document: the same content for the terminal, for programs and for the page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from shoal.diagnosis.attribution import METHOD, Diagnosis, Suspect
from shoal.diagnosis.conflicts import conflicts
from shoal.diagnosis.findings import Finding

MOST_FINDINGS = 40


def headline(diagnosis: Diagnosis) -> str:
    """One sentence: what came out, and who is the likeliest cause."""
    conversation = diagnosis.conversation
    steps, agents = len(conversation.steps), len(conversation.agents)
    left_out = f"the last {steps} of {steps + conversation.left_out}" if conversation.left_out else str(steps)
    size = f"{left_out} step{'s' * (steps != 1)} by {agents} agent{'s' * (agents != 1)}"
    if not conversation.steps:
        return "Nothing was said in this run: no step to look at."
    if diagnosis.failed is False:
        weak = diagnosis.suspects[0] if diagnosis.suspects and diagnosis.suspects[0].reasons else None
        point = f" Weakest point: {weak.agent} at step {weak.step}." if weak else " Nothing stands out."
        return f"The run succeeded ({size}).{point}"
    state = "The run failed" if diagnosis.failed else "The trace does not tell whether the run failed"
    if not stands_out(diagnosis):
        return f"{state} ({size}). Nothing stands out: no step gives cause for suspicion."
    first = diagnosis.suspects[0]
    if diagnosis.method != METHOD:
        return f"{state} ({size}). By {diagnosis.method!r}: {first.agent or 'the run'} at step {first.step}."
    return (
        f"{state} ({size}). Likeliest cause: {first.agent or 'the run'} at step {first.step} ({first.confidence:.0%})."
    )


def stands_out(diagnosis: Diagnosis) -> bool:
    """Whether the first suspect is worth naming: it has reasons, or a method was asked for that gives none."""
    return bool(diagnosis.suspects) and (diagnosis.method != METHOD or bool(diagnosis.suspects[0].reasons))


def document(diagnosis: Diagnosis) -> dict[str, Any]:
    """Everything that was found, as JSON values."""
    conversation = diagnosis.conversation
    return {
        "run": conversation.run,
        "headline": headline(diagnosis),
        "question": conversation.question,
        "outcome": conversation.outcome,
        "failed": diagnosis.failed,
        "steps": len(conversation.steps),
        "agents": conversation.agents,
        "method": diagnosis.method,
        "unread_replies": diagnosis.unread,
        "suspects": [suspect_document(s) for s in diagnosis.suspects],
        "by_agent": [{"agent": agent, "confidence": round(c, 4)} for agent, c in diagnosis.by_agent()],
        "findings": [finding_document(f) for f in diagnosis.findings[:MOST_FINDINGS]],
        "findings_in_all": len(diagnosis.findings),
        "conflicts": [asdict(c) for c in conflicts(conversation, diagnosis.graph)[:MOST_FINDINGS]],
        "edges": dict(Counter(edge.origin for edge in diagnosis.graph.edges)),
        "advice": diagnosis.advice,
    }


def suspect_document(suspect: Suspect) -> dict[str, Any]:
    """A suspect as JSON values."""
    return {
        "agent": suspect.agent,
        "step": suspect.step,
        "event": suspect.event,
        "confidence": round(suspect.confidence, 4),
        "says": suspect.words,
        "downstream": suspect.downstream,
        "path": list(suspect.path),
        "reasons": [finding_document(f) for f in suspect.reasons],
    }


def finding_document(finding: Finding) -> dict[str, Any]:
    """A finding as JSON values."""
    return {
        "detector": finding.detector,
        "score": round(finding.score, 4),
        "agent": finding.agent,
        "step": finding.step,
        "events": list(finding.events),
        "evidence": finding.evidence,
        "advice": finding.advice,
    }


def lines(diagnosis: Diagnosis) -> list[str]:
    """The one-page verdict: at most about sixty lines of plain text."""
    page = [headline(diagnosis)]
    conversation = diagnosis.conversation
    if conversation.question:
        page.append(f"task     {_cut(conversation.question, 160)}")
    if conversation.outcome is not None:
        page.append(f"outcome  {_cut(conversation.outcome, 160)}")
    if diagnosis.suspects:
        page += ["", f"Suspects ({_meaning(diagnosis.method)})"]
    for rank, suspect in enumerate(diagnosis.suspects, 1):
        page.append(
            f"{rank}. {suspect.confidence:4.0%}  {suspect.agent or '(run)'}, step {suspect.step}, "
            f"event {suspect.event}; "
            f"{suspect.downstream} later step{'s' * (suspect.downstream != 1)} made from it"
        )
        page.append(f'         says: "{_cut(suspect.words, 140)}"')
        page += [f"         {f.detector} ({f.score:.2f}): {_cut(f.evidence, 200)}" for f in suspect.reasons[:3]]
    others = [f for f in diagnosis.findings if all(f not in s.reasons for s in diagnosis.suspects)]
    if others:
        page += ["", "Also seen"]
        page += [
            f"- {f.detector} ({f.score:.2f}), events {', '.join(f.events[:3])}: {_cut(f.evidence, 160)}"
            for f in others[:8]
        ]
        page += [f"  ... and {len(others) - 8} more findings"] if len(others) > 8 else []
    if diagnosis.unread:
        page += ["", f"{diagnosis.unread} replies of the model could not be read."]
    if diagnosis.advice:
        page += ["", "Try next"] + [f"- {text}" for text in diagnosis.advice]
    return page


def summary(diagnoses: Sequence[Diagnosis]) -> dict[str, Any]:
    """Counts over many conversations: failures, and confidence and findings by agent and detector."""
    blame: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    for diagnosis in diagnoses:
        if diagnosis.failed is not False:
            for agent, confidence in diagnosis.by_agent():
                blame[agent] += confidence  # type: ignore[assignment]
        seen.update({f.detector for f in diagnosis.findings})
    return {
        "conversations": len(diagnoses),
        "failed": sum(d.failed is True for d in diagnoses),
        "unknown": sum(d.failed is None for d in diagnoses),
        "blame": [{"agent": a, "confidence": round(float(c), 4)} for a, c in blame.most_common(10)],
        "detectors": dict(seen.most_common()),
    }


def worst(diagnoses: Sequence[Diagnosis]) -> Diagnosis:
    """The conversation to look at first: failed ones before unknown ones, then the surest suspect."""
    return max(
        diagnoses,
        key=lambda d: (d.failed is True, d.failed is None, d.suspects[0].confidence if d.suspects else 0.0),
    )


def _meaning(method: str) -> str:
    """What the percentages of a method are. Only those of the default were tuned and scored as confidences."""
    return "confidence that this step is the cause" if method == METHOD else f"share of the blame by {method!r}"


def _cut(text: str, longest: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= longest else line[: longest - 4].rsplit(" ", 1)[0] + " ..."
