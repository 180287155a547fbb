"""Personas made up for the question at hand."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from shoal.runs.study import Vocabulary
from shoal.tasks.problem import Question
from shoal.teams.agent import Agent
from shoal.teams.outcome import Outcome
from shoal.teams.protocols.aggregation import Opinion, conclude, tally
from shoal.teams.protocols.asking import Call, Halt, Post, brief, gist, poll
from shoal.teams.protocols.debating import MESH_LEAD, Rounds, discuss
from shoal.teams.protocols.registration import protocol
from shoal.teams.session import Session

_PERSONA = re.compile(r"^\s*(?:[-*•]|\d+[.)])?\s*\**([A-Za-z][\w /&'-]{1,40}?)\**\s*[:–-]\s+(\S.*)$", re.MULTILINE)
_FALLBACK = (
    ("careful solver", "You solve step by step."),
    ("sceptic", "You look for mistakes."),
    ("fast thinker", "You answer from the main idea."),
    ("checker", "You check by another way."),
)


@protocol(
    "personas",
    title="A manager invents personas for the question; they brainstorm; it revises them until they agree",
    vocabulary=Vocabulary(
        ("manager", "personas"), ("cooperation",), ("centralized",), ("role-based",), ("dynamic", "brainstorm")
    ),
    agents=(1, 1, 1),
)
async def personas(
    question: Question,
    agents: Sequence[Agent],
    session: Session,
    *,
    count: Annotated[int, Field(ge=2, le=8, description="personas per round")] = 3,
    rounds: Rounds = 2,
    agreement: Annotated[float, Field(gt=0, le=1, description="share that ends it")] = 1.0,
) -> Outcome:
    """Persona orchestration (survey, section 4.5): name personas from the input, brainstorm, revise, T rounds at most.

    A manager whose reply names fewer than k gets stock personas for the rest.
    """
    manager = agents[0]
    last: list[Opinion] = []
    held, reason = 0, "rounds"
    while held < rounds:
        team, named = await recruit(question, manager, count, session, last)
        post = Post(session)
        for member in team:
            post.send(manager.name, [member.name], member.persona, [named])
        last, _, _ = await discuss(question, team, session, MESH_LEAD, 1, Halt(agreement))
        held += 1
        if tally(question, last).share(len(last)) >= agreement - 1e-9:
            reason = "agreement"
            break
    return conclude(session, question, last, rounds=held, reason=reason)


async def recruit(
    question: Question, manager: Agent, count: int, session: Session, said: Sequence[Opinion] = ()
) -> tuple[list[Agent], str]:
    """Agents with personas named by the manager, and the id of the decision.

    Args:
        question: what they are for.
        manager: who names them; they use its model and settings.
        count: how many.
        session: who pays and records.
        said: what the personas before them said, if it is a revision.
    """
    lines = "\n".join(f"{o.agent}: {gist(o)}" for o in said if not o.failed)
    again = f"They disagreed:\n{lines}\nChange the team." if lines else ""
    close = f"Name {count} experts for this question, one a line, as 'ROLE: what they do'."
    prompt = brief(question, 0, close="\n".join(p for p in (again, close) if p), answer=False)
    parents = tuple(o.event for o in said)
    reply = (await poll(session, question, [Call(manager, prompt, parents)], answer=False))[0]
    found = read_personas(reply.text)[:count]
    if len(found) < count:
        session.failures["too few personas"] += 1
        taken = {role for role, _ in found}
        spare = [p for p in _FALLBACK if p[0] not in taken]
        # More personas than stock ones: the stock is dealt again; names are numbered below, so they stay apart.
        found += [spare[i % len(spare)] for i in range(count - len(found))]
    team = [
        Agent(
            f"{role.replace(' ', '-')}-{i + 1}",
            f"You are a {role}. {task}"[:200],
            manager.model,
            manager.temperature,
            manager.max_tokens,
        )
        for i, (role, task) in enumerate(found)
    ]
    named = session.decide(manager.name, "personas", [reply.event], personas=[[a.name, a.persona] for a in team])
    return team, named


def read_personas(text: str) -> list[tuple[str, str]]:
    """(role, description) pairs in a reply, one line each; lines that hold an answer or reasoning are not personas."""
    found: dict[str, str] = {}
    for match in _PERSONA.finditer(text):
        role = match[1].strip().lower()
        if role not in ("answer", "final answer", "question", "user", "assistant", "score", "confidence", "note"):
            found.setdefault(role, match[2].strip())
    return list(found.items())
