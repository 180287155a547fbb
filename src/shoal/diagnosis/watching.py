"""Detectors at work while a team is: they flag what they see, block its messages, or stop the run.

A watch stands between the session and its trace and sees each event as it is written. It changes neither agents nor
topology; blocked messages are dropped by an inspector of the session.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from shoal.diagnosis.conversation import conversation
from shoal.diagnosis.findings import DETECTORS, Finding, findings
from shoal.diagnosis.usage import usage_graph
from shoal.errors import BudgetExceeded, InputError
from shoal.teams.session import Message, Session
from shoal.traces import Event, TraceWriter, Usage

Mode = Literal["flag", "block", "stop"]
LIVE = ("loop", "stall", "echo", "collapse", "budget burn", "error cascade", "silent agent", "contradiction")
"""Detectors that a watch uses unless it is told otherwise."""


class Stopped(BudgetExceeded):
    """A watch ended the run; the team ends as it does with a spent budget, and keeps what it has."""


@dataclass
class Watch:
    """Detectors over one session.

    Attributes:
        mode: "flag" writes an alarm event for each finding; "block" also drops the blamed agent's messages from then
            on; "stop" also ends the run.
        detectors: names of the detectors.
        threshold: least score that counts, in (0, 1].
        every: steps between two looks.
        findings: what was found, in order.
        blocked: agents whose messages are dropped.
    """

    mode: Mode = "flag"
    detectors: tuple[str, ...] = LIVE
    threshold: float = 0.6
    every: int = 1
    findings: list[Finding] = field(default_factory=list)
    blocked: set[str] = field(default_factory=set)
    _events: list[Event] = field(default_factory=list)
    _seen: set[tuple[str, str]] = field(default_factory=set)
    _since: int = 0

    def __post_init__(self) -> None:
        if self.mode not in ("flag", "block", "stop"):
            raise InputError("mode", self.mode, "Use flag, block or stop.")
        if not 0 < self.threshold <= 1:
            raise InputError("threshold", self.threshold, "Give a score above 0 and at most 1.")
        for name in self.detectors:
            DETECTORS.get(name)

    def attach(self, session: Session) -> Watch:
        """Watch a session from now on; returns itself."""
        session.trace = _WatchedTrace(session.trace, self)
        session.inspectors.append(self._inspect)
        return self

    def look(self, event: Event) -> list[Finding]:
        """Take in one event; the new findings above the threshold, each agent and detector once."""
        self._events.append(event)
        if event.kind not in ("model.call", "model.failure", "message", "tool.result", "budget.stop"):
            return []
        self._since += 1
        if self._since < self.every:
            return []
        self._since = 0
        view = conversation(event.run, self._events)
        fresh = []
        for finding in findings(view, usage_graph(view), self.detectors):
            mark = (finding.detector, finding.agent)
            if finding.score >= self.threshold and mark not in self._seen:
                self._seen.add(mark)
                fresh.append(finding)
        self.findings += fresh
        if self.mode == "block":
            self.blocked |= {f.agent for f in fresh if f.agent}
        return fresh

    def _inspect(self, message: Message) -> Message | None:
        return None if message.sender in self.blocked else message


class _WatchedTrace(TraceWriter):
    """A trace that shows each event to a watch after it was written."""

    def __init__(self, trace: TraceWriter, watch: Watch) -> None:
        self._trace = trace
        self._watch = watch
        self.run = trace.run
        self.path = trace.path

    def write(
        self,
        kind: str,
        agent: str = "",
        payload: dict[str, Any] | None = None,
        parents: Iterable[str] = (),
        usage: Usage | None = None,
    ) -> str:
        """Append one event; alarms follow it. Raises Stopped in the mode that stops."""
        above = tuple(parents)
        own = self._trace.write(kind, agent, payload, above, usage)
        event = Event(own, self.run, time.time(), len(self._watch._events), agent, kind, above, payload or {}, usage)
        fresh = self._watch.look(event)
        for finding in fresh:
            facts = {"detector": finding.detector, "score": finding.score, "evidence": finding.evidence}
            self._trace.write("alarm", finding.agent, facts, finding.events)
        if fresh and self._watch.mode == "stop":
            raise Stopped(f"stopped by the detector {fresh[0].detector!r}: {fresh[0].evidence}")
        return own

    def append(self, event: Event) -> None:
        """Append an event that already has its id."""
        self._trace.append(event)

    def close(self) -> None:
        """Close the trace underneath."""
        self._trace.close()
