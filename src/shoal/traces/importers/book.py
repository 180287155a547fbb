"""What importers write into: events with ids of their own, checked as they come."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import isfinite
from typing import Any

from shoal.traces.events import Event, Usage
from shoal.traces.problems import Problems
from shoal.traces.redaction import Redactor

LABEL = "label"
"""The kind of events that hold what is known about a run's failure from outside. No diagnosis reads them."""


@dataclass
class Book:
    """The events of one import.

    Attributes:
        problems: what was wrong.
        redactor: takes secrets out of payloads; None keeps them.
        events: the events so far.
        labels: by run: facts from outside the run (annotated culprit, right answer), never part of the events.
        check_clock: whether an event earlier than the one before it in its run is a problem. Off for logs of spans,
            which are written when they end.
    """

    problems: Problems
    redactor: Redactor | None = None
    events: list[Event] = field(default_factory=list)
    labels: dict[str, dict[str, Any]] = field(default_factory=dict)
    check_clock: bool = True
    _ids: dict[str, set[str]] = field(default_factory=dict)
    _steps: dict[str, int] = field(default_factory=dict)
    _times: dict[str, float] = field(default_factory=dict)
    _places: list[str] = field(default_factory=list)

    def add(
        self,
        run: str,
        agent: str,
        kind: str,
        payload: dict[str, Any],
        *,
        where: str,
        id: object = None,
        time: object = None,
        parents: Iterable[object] = (),
        usage: Usage | None = None,
    ) -> str:
        """Append an event and return its id.

        Args:
            run: which run it belongs to; its steps are numbered in the order of the calls.
            agent: who did it.
            kind: what happened.
            payload: what was said or done.
            where: place in the file.
            id: the source's own id; one that was used before in the run gets a suffix and is counted.
            time: the source's own time in any usual form; None for none (then 0).
            parents: ids of the events it was made from; checked in ``settle``.
            usage: what it cost.
        """
        step = self._steps.get(run, 0)
        self._steps[run] = step + 1
        used = self._ids.setdefault(run, set())
        event_id = str(id) if id not in (None, "") else str(step)
        if event_id in used:
            if id not in (None, ""):
                self.problems.add("duplicate id", where, event_id)
            event_id = f"{event_id}#{step}"
            while event_id in used:
                event_id += "#"
        used.add(event_id)
        moment = seconds(time)
        if time not in (None, "") and moment is None:
            self.problems.add("unreadable time", where, time)
        if moment is None:
            moment = self._times.get(run, 0.0)
        elif self.check_clock and moment < self._times.get(run, moment):
            self.problems.add("clock goes backwards", where, f"{self._times[run] - moment:.3f} s")
        self._times[run] = moment
        if self.redactor is not None:
            payload = self.redactor.value(payload)
            agent = self.redactor.text(agent)
        self.events.append(
            Event(event_id, run, moment, step, agent, kind, tuple(str(p) for p in parents), payload, usage)
        )
        self._places.append(where)
        return event_id

    def knows(self, run: str, id: str) -> bool:
        """Whether the run has an event of that id so far."""
        return id in self._ids.get(run, ())

    def label(self, run: str, facts: dict[str, Any]) -> None:
        """Keep facts from outside the run apart from its events."""
        kept = self.redactor.value(facts) if self.redactor is not None else facts
        self.labels.setdefault(run, {}).update(kept)

    def settle(self) -> None:
        """Check the parents of all events: unknown, own and cyclic ones are counted and dropped."""
        by_run: dict[str, dict[str, int]] = {}
        for position, event in enumerate(self.events):
            by_run.setdefault(event.run, {})[event.id] = position
        for position, event in enumerate(self.events):
            if not event.parents:
                continue
            known = []
            for parent in dict.fromkeys(event.parents):
                if parent == event.id:
                    self.problems.add("cyclic parents", self._places[position], f"{parent} is its own parent")
                elif parent not in by_run[event.run]:
                    self.problems.add("unknown parent", self._places[position], parent)
                else:
                    known.append(parent)
            event.parents = tuple(known)
        for positions in by_run.values():
            self._break_cycles(positions)

    def _break_cycles(self, positions: dict[str, int]) -> None:
        """Drop the parent links that close a cycle: depth first, without recursion."""
        state: dict[str, int] = {}
        for root in positions:
            if root in state:
                continue
            stack = [(root, iter(self.events[positions[root]].parents))]
            state[root] = 1
            while stack:
                name, parents = stack[-1]
                for parent in parents:
                    if state.get(parent) == 1:
                        event = self.events[positions[name]]
                        event.parents = tuple(p for p in event.parents if p != parent)
                        self.problems.add("cyclic parents", self._places[positions[name]], f"{name} and {parent}")
                    elif parent not in state:
                        state[parent] = 1
                        stack.append((parent, iter(self.events[positions[parent]].parents)))
                        break
                else:
                    state[name] = 2
                    stack.pop()


def seconds(time: object) -> float | None:
    """Seconds since the epoch from seconds, milli-, micro- or nanoseconds, or an ISO 8601 text; None if unreadable."""
    if isinstance(time, bool) or time is None:
        return None
    if isinstance(time, str):
        text = time.strip()
        try:
            return seconds(float(text))
        except ValueError:
            pass
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        try:
            return moment.timestamp()
        except (OverflowError, ValueError, OSError):
            return None
    if isinstance(time, (int, float)):
        try:
            value = float(time)
        except OverflowError:
            return None
        if not isfinite(value) or abs(value) > 1e20:
            return None
        for limit in (1e17, 1e14, 1e11):  # nano-, micro- and milliseconds of our age
            if abs(value) >= limit:
                return value / (limit / 1e8)
        return value
    return None


def usage_of(record: object) -> Usage | None:
    """A usage from the names that providers give token counts; None if there are none."""
    if not isinstance(record, dict):
        return None
    prompt = _first_count(record, "prompt_tokens", "input_tokens")
    completion = _first_count(record, "completion_tokens", "output_tokens")
    return Usage(prompt, completion, calls=1) if prompt or completion else None


def count(value: object) -> int:
    """A count of at least 0 from a number or its text; 0 for anything else."""
    if isinstance(value, str) and value.strip().isdigit() and len(value) < 19:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        return 0
    return int(min(max(value, 0), 2**62))


def _first_count(record: dict[str, Any], *names: str) -> int:
    return next((n for name in names if (n := count(record.get(name)))), 0)
