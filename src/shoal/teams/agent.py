"""The agent of a language-model team: a name, a persona, and optionally a model and settings of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from shoal.models.interface import Model
from shoal.models.tools import Tool


@dataclass(frozen=True)
class Agent:
    """Who is asked.

    Attributes:
        name: unique in its team.
        persona: system message; empty for none.
        model: the agent's own model; None takes the session's.
        temperature: sampling temperature; None takes the session's.
        max_tokens: longest reply; None takes the session's.
        skills: competence by topic, for routers and for recipes; a description, not something a model sees.
        tools: what it may call while it writes; its model must be able to go on after a result.
    """

    name: str
    persona: str = ""
    model: Model | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    skills: Mapping[str, float] = field(default_factory=dict)
    tools: tuple[Tool, ...] = ()


def make_agents(count: int, personas: Sequence[str] = (), prefix: str = "agent") -> list[Agent]:
    """``count`` agents named prefix-1, prefix-2, ...; personas are dealt out in turn."""
    return [Agent(f"{prefix}-{i + 1}", persona=personas[i % len(personas)] if personas else "") for i in range(count)]
