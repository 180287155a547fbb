"""Where two runs part: the first event of each agent, and of the whole, at which they differ."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest

from shoal.traces.events import Event
from shoal.traces.reader import Trace

_SILENT = ("trace.start",)
_OWN = ("source", "seconds")
"""Keys of imported payloads that differ between any two runs: the framework's own ids, times and durations."""


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first difference in one lane.

    Attributes:
        agent: the lane; empty for the run as a whole.
        position: how many events of the lane agree before it.
        left: the event of the first run, or None if its lane ended.
        right: the event of the second run, or None if its lane ended.
        fields: what differs ("kind", "parents", or keys of the payload).
    """

    agent: str
    position: int
    left: Event | None
    right: Event | None
    fields: tuple[str, ...]


def first_divergence(left: Trace, right: Trace) -> Divergence | None:
    """The first difference over the whole order of events, or None if the traces say the same.

    Times, ids and costs are not compared: two runs agree when the same things were said and done in the same order.
    """
    return _compare("", list(left), list(right))


def divergence_by_agent(left: Trace, right: Trace) -> list[Divergence]:
    """The first difference of each agent's own sequence of events; agents that agree are left out."""
    agents = sorted({e.agent for e in left} | {e.agent for e in right})
    found = []
    for agent in agents:
        one = [e for e in left if e.agent == agent]
        two = [e for e in right if e.agent == agent]
        if difference := _compare(agent, one, two):
            found.append(difference)
    return found


def _compare(agent: str, left: list[Event], right: list[Event]) -> Divergence | None:
    one = [e for e in left if e.kind not in _SILENT]
    two = [e for e in right if e.kind not in _SILENT]
    for position, (a, b) in enumerate(zip_longest(one, two)):
        if a is None or b is None:
            return Divergence(agent, position, a, b, ("length",))
        if fields := _differing(a, b):
            return Divergence(agent, position, a, b, fields)
    return None


def _differing(a: Event, b: Event) -> tuple[str, ...]:
    fields = [name for name in ("kind", "agent") if getattr(a, name) != getattr(b, name)]
    keys = sorted((set(a.payload) | set(b.payload)).difference(_OWN))
    return (*fields, *(key for key in keys if a.payload.get(key) != b.payload.get(key)))
