"""The event: the one record that every engine writes.

``parents`` names the events an event was made from, which makes a trace a causal graph. The schema is versioned: the
first line of every file is a ``trace.start`` event that carries it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

SCHEMA_VERSION = 1

KINDS = (
    "trace.start",
    "trial.start",
    "trial.end",
    "task.start",
    "task.end",
    "model.call",
    "model.failure",
    "message",
    "decision",
    "reward",
    "world.step",
    "budget.stop",
    "note",
)
"""The kinds that shoal itself writes; importers may add their own, dotted, in lower case."""


@dataclass(slots=True)
class Usage:
    """What one event cost.

    Attributes:
        prompt_tokens: tokens read by the model.
        completion_tokens: tokens written by the model.
        calls: model calls (0 for events that made none).
        seconds: wall time of the call; the recorded time for replies that came from the cache.
        money: price in US dollars, by the price table; 0 for replies from the cache.
        cached: calls among ``calls`` that were answered from the cache.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    calls: int = 0
    seconds: float = 0.0
    money: float = 0.0
    cached: int = 0

    @property
    def tokens(self) -> int:
        """Prompt and completion tokens together."""
        return self.prompt_tokens + self.completion_tokens

    def add(self, other: Usage) -> None:
        """Add another usage to this one, in place."""
        self.prompt_tokens += other.prompt_tokens
        self.completion_tokens += other.completion_tokens
        self.calls += other.calls
        self.seconds += other.seconds
        self.money += other.money
        self.cached += other.cached

    def as_dict(self) -> dict[str, float]:
        """The fields that are not zero."""
        fields = ("prompt_tokens", "completion_tokens", "calls", "seconds", "money", "cached")
        return {name: value for name in fields if (value := getattr(self, name))}


@dataclass(slots=True)
class Event:
    """One thing that happened.

    Attributes:
        id: unique within its run.
        run: the run (and trial) it belongs to.
        time: seconds since the epoch.
        step: logical time: the position in the order in which the run's events were written.
        agent: who did it; empty for the run itself.
        kind: what happened, one of KINDS or an importer's own.
        parents: ids of the events it was made from.
        payload: what was said or done; JSON values only.
        usage: what it cost, or None.
    """

    id: str
    run: str
    time: float
    step: int
    agent: str
    kind: str
    parents: tuple[str, ...] = ()
    payload: dict[str, Any] = field(default_factory=dict)
    usage: Usage | None = None

    def as_dict(self) -> dict[str, Any]:
        """The event as a JSON object."""
        return {
            "id": self.id,
            "run": self.run,
            "time": self.time,
            "step": self.step,
            "agent": self.agent,
            "kind": self.kind,
            "parents": self.parents,
            "payload": self.payload,
            "usage": self.usage.as_dict() if self.usage else None,
        }
