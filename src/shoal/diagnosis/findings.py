"""What detectors report, and the decorator that registers one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from shoal.diagnosis.conversation import Conversation
from shoal.diagnosis.usage import UsageGraph
from shoal.registry import Registry


@dataclass(frozen=True, slots=True)
class Finding:
    """One sign that something went wrong.

    Attributes:
        detector: which detector reports it.
        score: how sure it is, in [0, 1].
        agent: whose doing it is; empty if nobody's alone.
        step: index of the step where it shows; None for the run as a whole.
        events: ids of the events that show it.
        evidence: one sentence, with the words of the trace in quotation marks.
        advice: what to try next.
    """

    detector: str
    score: float
    agent: str
    step: int | None
    events: tuple[str, ...]
    evidence: str
    advice: str


Detect = Callable[[Conversation, UsageGraph], Iterator[Finding]]


@dataclass(frozen=True)
class Detector:
    """A registered detector.

    Attributes:
        name: as in reports.
        title: what it looks for.
        faults: the planted faults that it is meant to find.
        blames: how much a finding says about who caused a failure, in [0, 1]; 0 for symptoms.
        live: whether it makes sense on an unfinished run.
        detect: yields findings.
    """

    name: str
    title: str
    faults: tuple[str, ...]
    blames: float
    live: bool
    detect: Detect


DETECTORS: Registry[Detector] = Registry("detector", "shoal.diagnosis.detectors")


def detector(
    name: str, title: str, *, faults: tuple[str, ...] = (), blames: float = 0.5, live: bool = False
) -> Callable[[Detect], Detect]:
    """Register a function that yields findings as a detector."""

    def add(detect: Detect) -> Detect:
        DETECTORS.register(name)(Detector(name, title, faults, blames, live, detect))
        return detect

    return add


def findings(conversation: Conversation, graph: UsageGraph, only: tuple[str, ...] = ()) -> list[Finding]:
    """What all detectors (or those named) report, the surest first."""
    chosen = [DETECTORS.get(name) for name in only] if only else [d for _, d in DETECTORS.items()]
    found = [finding for entry in chosen for finding in entry.detect(conversation, graph)]
    return sorted(found, key=lambda f: (-f.score, f.step if f.step is not None else -1, f.detector))
