"""A standard operating procedure: roles hand each other documents under a contract."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from shoal.runs.study import Vocabulary
from shoal.tasks.problem import Question
from shoal.teams.agent import Agent
from shoal.teams.outcome import Outcome
from shoal.teams.protocols.aggregation import Opinion, conclude
from shoal.teams.protocols.asking import Call, Post, brief, own_and, poll
from shoal.teams.protocols.registration import protocol
from shoal.teams.session import Message, Session


@dataclass(frozen=True, slots=True)
class Role:
    """A role of the procedure.

    Attributes:
        name: what it is called.
        task: what it is told to do.
        makes: the document it hands over.
        needs: the documents it works from.
        answers: whether its document must hold an answer, by contract.
    """

    name: str
    task: str
    makes: str
    needs: tuple[str, ...] = ()
    answers: bool = False


PROCEDURE = (
    Role("analyst", "You are the analyst. List the facts that matter.", "facts"),
    Role("planner", "You are the planner. Say in one line which steps lead to the answer.", "plan", ("facts",)),
    Role("engineer", "You are the engineer. Follow the plan and solve it.", "solution", ("facts", "plan"), True),
    Role(
        "reviewer", "You are the reviewer. Check the solution and give the right answer.", "review", ("solution",), True
    ),
)
"""MetaGPT's product manager, architect, engineer and QA, for questions instead of software."""


@protocol(
    "sop",
    title="Fixed roles in a fixed order hand each other documents: analyst, planner, engineer, reviewer",
    vocabulary=Vocabulary(
        ("analyst", "planner", "engineer", "reviewer"),
        ("cooperation",),
        ("hierarchical",),
        ("role-based",),
        ("static", "standard operating procedure"),
    ),
    agents=(2, 4, 4),
    unfinished="last",
)
async def sop(
    question: Question,
    agents: Sequence[Agent],
    session: Session,
    *,
    revisions: Annotated[int, Field(ge=0, le=5, description="times a reviewer that disagrees sends it back")] = 1,
    retries: Annotated[int, Field(ge=0, le=5, description="further tries for a document that breaks its contract")] = 1,
) -> Outcome:
    """MetaGPT (Hong et al., arXiv 2308.00352, section 3): roles subscribe to documents, each document has a contract.

    With fewer than four agents some play several roles. The procedure ends when reviewer and engineer give the same
    answer or the revisions are used up; the reviewer's last word counts.
    """
    from shoal.tasks.answers import same_answer

    players = {role.name: agents[i % len(agents)] for i, role in enumerate(PROCEDURE)}
    documents: dict[str, Message] = {}
    accepted: dict[str, Opinion] = {}
    held = 0
    for revision in range(revisions + 1):
        for role in PROCEDURE if revision == 0 else PROCEDURE[2:]:
            opinion = await _work(question, role, players, session, documents, retries)
            if opinion is not None:
                accepted[role.name] = opinion
        held += 1
        solved, reviewed = accepted.get("engineer"), accepted.get("reviewer")
        if solved is None or reviewed is None or solved.answer is None or reviewed.answer is None:
            break
        if same_answer(question, solved.answer, reviewed.answer):
            break
        session.decide(players["reviewer"].name, "sent back", [reviewed.event], revision=revision)
    last = accepted.get("reviewer") or accepted.get("engineer")
    return conclude(session, question, [last] if last else [], rounds=held, what="accepted")


async def _work(
    question: Question,
    role: Role,
    players: dict[str, Agent],
    session: Session,
    documents: dict[str, Message],
    retries: int,
) -> Opinion | None:
    """One role's document, handed to those who need it; None if it broke its contract to the end."""
    agent = players[role.name]
    place = next(i for i, r in enumerate(PROCEDURE) if r is role)
    wanted = [*role.needs, *(("review",) if role.name == "engineer" else ())]
    heard = [documents[name] for name in wanted if name in documents]
    lead = role.task
    for _ in range(retries + 1):
        prompt = brief(question, place, lead=lead, heard=heard, answer=role.answers)
        opinion = (await poll(session, question, [Call(agent, prompt, own_and(None, heard))], answer=role.answers))[0]
        if opinion.text and not (role.answers and opinion.answer is None):
            readers = [players[r.name].name for r in PROCEDURE if role.makes in r.needs]
            readers += [players["engineer"].name] if role.name == "reviewer" else []
            _publish(session, role, opinion, readers, documents)
            return opinion
        session.failures["broken contract"] += 1
        if opinion.failed:
            break
    return None


def _publish(
    session: Session, role: Role, opinion: Opinion, readers: Sequence[str], documents: dict[str, Message]
) -> None:
    """File a document for its readers; a reader that plays the writer's role too has it without a message."""
    message = Post(session).tell(opinion, dict.fromkeys(readers))
    if message is None and set(readers) == {opinion.agent}:
        message = Message(opinion.agent, (opinion.agent,), opinion.text[:160], opinion.event)
    if message is not None:
        documents[role.makes] = message
    elif readers:
        session.failures["document lost"] += 1
