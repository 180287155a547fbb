"""Synthetic logs as interactions and as events: what the compiled team did, in the form that any log is read in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from shoal.diagnosis.stability.interactions import NO_ERROR, Interaction, ToolCall
from shoal.diagnosis.stability.synthetic import Log
from shoal.traces import Event

ERROR_NAMES = (NO_ERROR, "wrong result", "wrong tool")


def as_interactions(log: Log) -> list[Interaction]:
    """A whole log [interactions] of the synthetic team."""
    return [_interaction(log, i) for i in range(len(log.task))]


def as_events(found: Sequence[Interaction], run: str = "synthetic") -> list[Event]:
    """Events of a trace that say the same, but for embeddings: these come from texts."""
    return [
        Event(
            str(step), run, float(step), step, i.agent, "model.call", (),
            {
                "text": f"{i.task}: {' '.join(i.steps or ())}", "task_type": i.task, "steps": list(i.steps or ()),
                "confidence": i.confidence, "correct": i.correct, "overridden": i.overridden, "error": i.error,
                "tools": [{"name": c.name, "arguments": dict(c.arguments)} for c in i.tools or ()],
                "support": i.support, "tokens": i.tokens, "messages": i.messages, "delegations": i.delegations,
            },
        )
        for step, i in enumerate(found)
    ]  # fmt: skip


def _interaction(log: Log, i: int) -> Interaction:
    calls = zip(log.tools[i], log.arguments[i], strict=True)
    return Interaction(
        agent=f"agent-{int(log.agent[i]) + 1}",
        task=f"type-{int(log.task[i]) + 1}",
        embedding=np.asarray(log.embedding[i], float),
        steps=tuple(f"step-{int(s)}" for s in log.steps[i]),
        confidence=float(log.confidence[i]),
        correct=bool(log.correct[i]),
        tools=tuple(ToolCall(f"tool-{int(tool)}", {"value": int(value)}) for tool, value in calls),
        support=float(log.support[i]),
        delegations=int(log.delegations[i]),
        messages=int(log.messages[i]),
        tokens=round(float(log.tokens[i])),
        error=ERROR_NAMES[int(log.error[i])],
        overridden=bool(log.overridden[i]),
    )
