"""A blackboard: agents read one shared memory and add to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from shoal.runs.study import Vocabulary
from shoal.tasks.problem import Question
from shoal.teams.agent import Agent
from shoal.teams.outcome import Outcome
from shoal.teams.protocols.aggregation import Opinion, conclude
from shoal.teams.protocols.asking import Call, Halt, brief, gist, own_and, poll
from shoal.teams.protocols.debating import Agreement, Rounds
from shoal.teams.protocols.registration import protocol
from shoal.teams.session import Message, Session

BOARD = "board"
"""The receiver of everything that is written on the board."""


@protocol(
    "blackboard",
    title="Agents read a shared board and write on it; nobody talks to anybody directly",
    vocabulary=Vocabulary(("peers",), ("cooperation",), ("decentralized",), ("rule-based",), ("memory (bus)",)),
    agents=(2, 4, 64),
)
async def blackboard(
    question: Question,
    agents: Sequence[Agent],
    session: Session,
    *,
    rounds: Rounds = 2,
    window: Annotated[int, Field(ge=1, le=100, description="latest notes that a reader sees")] = 6,
    agreement: Agreement = 1.0,
) -> Outcome:
    """A bus: n messages a round instead of n(n-1). An agent may write PASS when it has nothing to add."""
    board: list[Message] = []
    latest: dict[str, Opinion] = {}
    halt, held, reason = Halt(agreement), 0, "rounds"
    for _ in range(rounds + 1):
        notes = board[-window:]
        lead = "Read the board. Add what is missing, or write PASS." if notes else ""
        calls = [
            Call(a, brief(question, i, lead=lead, heard=notes), own_and(None, notes)) for i, a in enumerate(agents)
        ]
        for opinion in await poll(session, question, calls):
            passed = opinion.text.strip().strip(".").upper() == "PASS"
            if opinion.failed or (passed and opinion.agent in latest):
                continue
            latest[opinion.agent] = opinion
            note = session.send(opinion.agent, [BOARD], gist(opinion), [opinion.event])
            board += [note] if note is not None else []
        opinions = [latest[a.name] for a in agents if a.name in latest]
        if stop := halt.reason(question, opinions):
            reason = stop
            break
        held += 1
    return conclude(session, question, opinions, rounds=min(held, rounds), reason=reason)
