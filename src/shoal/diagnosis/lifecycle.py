"""The six stages of an act: target, information, reasoning, decision, action, feedback (arXiv 2508.14415).

The stages are the paper's; how events of a trace are put into them, and what counts as a gap, is ours.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from shoal.diagnosis.conversation import Conversation, is_agent, quoted
from shoal.traces import Event

STAGES = ("target", "information", "reasoning", "decision", "action", "feedback")
"""From 1 to 6."""
TARGET, INFORMATION, REASONING, DECISION, ACTION, FEEDBACK = range(1, 7)
OPERATIONALISATION = "operationalisation: ours; the stages are those of arXiv 2508.14415"
_BY_KIND = {
    "task.start": TARGET, "trial.start": TARGET, "goal": TARGET, "retrieval": INFORMATION, "tool.read": INFORMATION,
    "thought": REASONING, "plan": REASONING, "decision": DECISION, "world.step": ACTION,
    "tool.result": FEEDBACK, "reward": FEEDBACK, "task.end": FEEDBACK, "evaluation": FEEDBACK,
}  # fmt: skip
_READING = re.compile(r"\b(search|retriev|read|fetch|look_?up|list|get|query|browse|open)", re.IGNORECASE)
_CHOOSING = re.compile(r"\b(i (?:choose|pick|decide|select)|final answer|answer:|decision:|my choice)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Staged:
    """An event and its stage; ``stage`` from 1 to 6, ``actor`` empty for the user or the run."""

    event: Event
    stage: int
    actor: str


@dataclass(frozen=True, slots=True)
class Gap:
    """A stage that an act skipped.

    Attributes:
        actor: whose act.
        stage: the stage that was reached.
        missing: the stage that should have come before it.
        event: id of the event.
        words: what it says.
    """

    actor: str
    stage: int
    missing: int
    event: str
    words: str

    def __str__(self) -> str:
        what = f"{STAGES[self.stage - 1]} without {STAGES[self.missing - 1]}"
        return f"{what}: {self.actor or '(run)'}, event {self.event}" + (f', "{self.words}"' if self.words else "")


def stage_of(event: Event) -> int | None:
    """The stage of an event, by its kind and, for tools and replies, by what it does; None if it has none."""
    if event.kind == "tool.call":
        name = str(event.payload.get("tool") or event.payload.get("name") or "")
        return INFORMATION if _READING.search(name) else ACTION
    if event.kind in _BY_KIND:
        return _BY_KIND[event.kind]
    if event.kind in ("message", "handoff") and not is_agent(event.agent):
        return TARGET
    if event.kind == "model.call":
        if event.payload.get("tool_calls"):
            return DECISION
        text = str(event.payload.get("text") or event.payload.get("content") or "")
        return DECISION if _CHOOSING.search(text) else REASONING
    return ACTION if event.kind in ("message", "handoff") else None


def lifecycle(conversation: Conversation) -> list[Staged]:
    """The events that have a stage, in order."""
    found = []
    for event in conversation.events:
        stage = stage_of(event)
        if stage is not None:
            found.append(Staged(event, stage, event.agent if is_agent(event.agent) else ""))
    return found


def gaps(staged: Sequence[Staged]) -> list[Gap]:
    """Actions without a decision or reasoning of the same actor before them; decisions without reasoning.

    A decision serves the actions after it until the actor's next feedback; reasoning serves likewise.
    """
    found: list[Gap] = []
    ready: dict[str, set[int]] = {}
    for item in staged:
        seen = ready.setdefault(item.actor, set())
        if item.stage == ACTION and item.actor and not seen & {REASONING, DECISION}:
            found.append(_gap(item, DECISION))
        elif item.stage == DECISION and item.actor and not seen & {REASONING, DECISION}:
            found.append(_gap(item, REASONING))
        if item.stage == FEEDBACK:
            for done in ready.values() if not item.actor else [seen]:
                done.clear()
        seen.add(item.stage)
    stages = {item.stage for item in staged}
    if staged and FEEDBACK not in stages and ACTION in stages:
        last = next(item for item in reversed(staged) if item.stage == ACTION)
        found.append(Gap(last.actor, FEEDBACK, ACTION, last.event.id, "no feedback after the last action"))
    return found


def _gap(item: Staged, missing: int) -> Gap:
    return Gap(item.actor, item.stage, missing, item.event.id, quoted(item.event, 80))


def lanes(staged: Sequence[Staged], width: int = 60) -> list[str]:
    """Six lines of text, time from left to right: a mark wherever an event of the stage lies."""
    rows = [["."] * min(width, max(1, len(staged))) for _ in STAGES]
    for place, item in enumerate(staged):
        rows[item.stage - 1][place * len(rows[0]) // len(staged)] = "#"
    return [f"{i + 1} {name:<12}|{''.join(row)}|" for i, (name, row) in enumerate(zip(STAGES, rows, strict=True))]
