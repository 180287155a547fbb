"""A trace that is kept in memory, for runs that are looked at and thrown away."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from shoal.traces import Event, Trace, TraceWriter, Usage


class Recording(TraceWriter):
    """Keeps events as they are written; their times count up by one millisecond, so that runs are repeatable.

    Attributes:
        events: so far.
    """

    def __init__(self, run: str) -> None:
        super().__init__(None, run)
        self.events: list[Event] = []

    def write(
        self,
        kind: str,
        agent: str = "",
        payload: dict[str, Any] | None = None,
        parents: Iterable[str] = (),
        usage: Usage | None = None,
    ) -> str:
        """Keep one event and return its id."""
        above = tuple(parents)
        own = super().write(kind, agent, payload, above, usage)
        step = len(self.events)
        self.events.append(Event(own, self.run, step / 1000, step, agent, kind, above, dict(payload or {}), usage))
        return own

    @property
    def trace(self) -> Trace:
        """The events as a trace."""
        return Trace(self.events)
