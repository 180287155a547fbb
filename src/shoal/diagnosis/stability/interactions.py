"""A log as interactions: who did which task, what came out, with which tools, votes and hand-offs.

One interaction is one turn of an agent. Every field but the agent may be absent (None): a dimension of stability whose
field is absent is not measured, and never filled in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.diagnosis.conversation import is_agent
from shoal.models.embedders import CharacterNgrams
from shoal.traces import Event

Array = NDArray[np.float64]
NO_ERROR = "none"
TURNS = ("model.call", "model.failure", "message")
_CONFIDENCE = re.compile(r"\bconfidence\b\W{0,4}(\d+(?:\.\d+)?)\s*(%?)", re.IGNORECASE)
_NUMBER = re.compile(r"(?:-[0-9a-f]{12})?(?:[-_ #]?\d+)?$")
"""What makes a question's id its own: a code, a number, or both."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool's name and the arguments it was called with."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Interaction:
    """One turn of an agent.

    Attributes:
        agent: who.
        task: type of the task ("" where the log has none: then all tasks count as one type).
        event: id of its event, where it came from a trace.
        embedding: unit vector of the output.
        steps: names of the reasoning steps, in order.
        confidence: stated probability of being right, in [0, 1].
        correct: whether it was right.
        tools: calls in order; () where the log holds tool calls elsewhere and none here.
        support: share of votes behind the decision, in (0, 1].
        delegations: successful hand-offs.
        messages: messages that were needed for hand-offs, successful or not.
        tokens: tokens that the agent wrote: what it read depends on how much history it was given.
        error: type of error, NO_ERROR for none.
        overridden: whether a human overrode it.
    """

    agent: str
    task: str = ""
    event: str = ""
    embedding: Array | None = None
    steps: tuple[str, ...] | None = None
    confidence: float | None = None
    correct: bool | None = None
    tools: tuple[ToolCall, ...] | None = None
    support: float | None = None
    delegations: int | None = None
    messages: int | None = None
    tokens: int | None = None
    error: str | None = None
    overridden: bool | None = None


def interactions(events: Sequence[Event], embed: Callable[[list[str]], Array] | None = None) -> list[Interaction]:
    """The turns of agents in a trace, in order; events of one run, or of several that follow one another.

    Task types come from ``task_type`` (or ``type``, ``category``, ``topic``) of a turn or of the ``task.start`` it
    belongs to, else from the question's id without its number. Confidence, steps, correctness, support, error types and
    overrides are read from payload fields of these names; correctness also from ``task.end``, confidence also from
    words like "confidence: 80%", support also from ``votes``.

    Args:
        events: in order.
        embed: texts to unit rows [n, d]; hashed character n-grams without it.
    """
    reader = _Reader()
    for event in events:
        reader.take(event)
    found = reader.found
    _settle(found)
    told = [(i, text) for i, text in enumerate(reader.texts) if text.strip()]
    if told:
        rows = (embed or CharacterNgrams().rows)([text for _, text in told])
        for (i, _), row in zip(told, rows, strict=True):
            found[i].embedding = row
    return found


def _settle(found: list[Interaction]) -> None:
    """Absence of an event means "none" only in a log that holds such events at all."""
    has_tools = any(i.tools for i in found)
    has_errors = any(i.error not in (None, NO_ERROR) for i in found)
    has_overrides = any(i.overridden is not None for i in found)
    for entry in found:
        entry.tools = (entry.tools or ()) if has_tools else None
        entry.error = (entry.error or NO_ERROR) if has_errors else entry.error
        entry.overridden = bool(entry.overridden) if has_overrides else None


class _Reader:
    """Collects interactions event by event."""

    def __init__(self) -> None:
        self.found: list[Interaction] = []
        self.texts: list[str] = []
        self._task: dict[str, str] = {}
        self._open: dict[str, list[Interaction]] = {}
        self._waiting: list[tuple[Interaction, tuple[str, ...]]] = []
        self._said: dict[str, str] = {}

    def take(self, event: Event) -> None:
        """Take in the next event."""
        payload = _facts(event)
        last = self.found[-1] if self.found else None
        if event.kind == "task.start":
            self._task[event.run] = _task_type(payload)
            self._open[event.run] = []
        elif event.kind == "task.end" and isinstance(payload.get("correct"), bool):
            for entry in self._open.pop(event.run, []):
                entry.correct = payload["correct"] if entry.correct is None else entry.correct
        elif event.kind == "tool.call" and last is not None:
            last.tools = (*(last.tools or ()), _tool_call(payload))
        elif event.kind == "tool.result" and last is not None:
            failed = payload.get("error")
            last.error = ("tool" if failed is True else str(failed)[:40]) if failed else last.error
        elif event.kind == "decision" and last is not None:
            last.support = _support(payload) or last.support
        elif event.kind == "handoff" and last is not None:
            self._hand_off(event, last)
        elif event.kind in TURNS and is_agent(event.agent):
            self._turn(event, payload)

    def _turn(self, event: Event, payload: Mapping[str, Any]) -> None:
        text = str(payload.get("text") or payload.get("content") or "")
        if event.kind == "message":
            if self._said.get(event.agent) == text and text:
                return  # it only hands on what its sender has just said
            self._said.pop(event.agent, None)
        else:
            self._said[event.agent] = text
        entry = Interaction(event.agent, _task_type(payload) or self._task.get(event.run, ""), event.id)
        if event.usage is not None and event.usage.completion_tokens:
            entry.tokens = event.usage.completion_tokens
        _read_payload(entry, payload, text)
        if event.kind == "model.failure":
            entry.error = str(payload.get("failure") or "model failure")
        for waiting, receivers in [w for w in self._waiting if event.agent in w[1] or not w[1]]:
            waiting.delegations = (waiting.delegations or 0) + 1
            self._waiting.remove((waiting, receivers))
        self.found.append(entry)
        self.texts.append(text)
        self._open.setdefault(event.run, []).append(entry)

    def _hand_off(self, event: Event, last: Interaction) -> None:
        """A hand-off succeeds when its receiver takes a turn; each one until then is a message that it needed."""
        to = event.payload.get("to") or ()
        receivers = (to,) if isinstance(to, str) else tuple(str(r) for r in to)
        last.messages = (last.messages or 0) + 1
        last.delegations = last.delegations or 0
        self._waiting = [w for w in self._waiting if w[1] != receivers] + [(last, receivers)]


def _facts(event: Event) -> Mapping[str, Any]:
    """The payload, with what an importer found besides (it keeps fields that it does not know under ``source``)."""
    more = event.payload.get("source")
    return {**more, **event.payload} if isinstance(more, Mapping) else event.payload


def _read_payload(entry: Interaction, payload: Mapping[str, Any], text: str) -> None:
    """Fields that a log states outright."""
    steps = payload.get("steps")
    if isinstance(steps, list) and steps:
        entry.steps = tuple(str(s) for s in steps)
    entry.support = _support(payload)
    for name in ("confidence", "support"):
        value = payload.get(name)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1:
            setattr(entry, name, float(value))
    if entry.confidence is None and (stated := _CONFIDENCE.search(text)) is not None:
        share = float(stated[1]) / (100 if stated[2] or float(stated[1]) > 1 else 1)
        entry.confidence = share if share <= 1 else None
    for name in ("correct", "is_correct"):
        if isinstance(payload.get(name), bool):
            entry.correct = payload[name]
    for name in ("overridden", "override", "human_override"):
        if isinstance(payload.get(name), bool):
            entry.overridden = payload[name]
    calls = payload.get("tools")
    if isinstance(calls, list):
        entry.tools = tuple(_tool_call(c) if isinstance(c, Mapping) else ToolCall(str(c)) for c in calls)
    for name in ("delegations", "messages", "tokens"):
        value = payload.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            setattr(entry, name, value)
    if "error" in payload:
        entry.error = str(payload["error"] or NO_ERROR)


def _task_type(payload: Mapping[str, Any]) -> str:
    for name in ("task_type", "type", "category", "topic"):
        if isinstance(payload.get(name), str) and payload[name]:
            return str(payload[name])
    question = payload.get("question")
    return _NUMBER.sub("", question) if isinstance(question, str) else ""


def _tool_call(payload: Mapping[str, Any]) -> ToolCall:
    arguments = payload.get("arguments", payload.get("args"))
    if isinstance(arguments, str):
        arguments = {"": arguments}
    return ToolCall(
        str(payload.get("tool") or payload.get("name") or ""),
        dict(arguments) if isinstance(arguments, Mapping) else {},
    )


def _support(payload: Mapping[str, Any]) -> float | None:
    """Share of the votes behind the strongest answer; votes are weights by answer, or answers by voter."""
    votes = payload.get("votes")
    if not isinstance(votes, Mapping) or not votes:
        return None
    if all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in votes.values()):
        weights = [float(v) for v in votes.values() if v > 0]
    else:
        answers = [str(v) for v in votes.values()]
        weights = [float(answers.count(a)) for a in dict.fromkeys(answers)]
    return max(weights) / sum(weights) if weights else None


def by_agent(found: Iterable[Interaction]) -> dict[str, list[Interaction]]:
    """Interactions of each agent, in order."""
    parts: dict[str, list[Interaction]] = {}
    for entry in found:
        parts.setdefault(entry.agent, []).append(entry)
    return parts
