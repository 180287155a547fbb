"""Negotiation: shared and private terms, offers in turn."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from shoal.runs.study import Vocabulary
from shoal.tasks.problem import Question
from shoal.teams.agent import Agent
from shoal.teams.outcome import Outcome
from shoal.teams.protocols.aggregation import Opinion, conclude
from shoal.teams.protocols.asking import Call, Post, brief, own_and, poll
from shoal.teams.protocols.registration import protocol
from shoal.teams.session import Message, Session

_REFUSAL = re.compile(r"\b(reject|refuse|disagree|decline|no deal)", re.IGNORECASE)
_ACCEPTANCE = re.compile(r"\b(accept|agreed?|deal)\b", re.IGNORECASE)


@protocol(
    "negotiation",
    title="Agents take turns to make an offer; the others accept it or make the next one",
    vocabulary=Vocabulary(
        ("parties",), ("coopetition",), ("decentralized",), ("rule-based",), ("alternating offers", "quorum")
    ),
    agents=(2, 2, 16),
)
async def negotiation(
    question: Question,
    agents: Sequence[Agent],
    session: Session,
    *,
    rounds: Annotated[int, Field(ge=1, le=50, description="most offers")] = 4,
    quorum: Annotated[float, Field(gt=0, le=1, description="share of all parties that must accept")] = 1.0,
    breakdown: Annotated[
        Literal["vote", "none"], Field(description="without a deal: a vote over the last offers, or no answer")
    ] = "vote",
) -> Outcome:
    """Alternating offers with private sheets (each party's own interests).

    A party accepts by saying so, or by offering the same; a counter-offer is a refusal.
    """
    post, latest, talk = Post(session), dict[str, Opinion](), list[Message]()
    proposer = 0
    for offer_number in range(rounds):
        agent = agents[proposer]
        heard = post.read(agent.name)
        lead = "You negotiate. Make an offer that you like and that the others can accept."
        prompt = brief(question, proposer, lead=lead, heard=heard)
        offer = (await poll(session, question, [Call(agent, prompt, own_and(latest.get(agent.name), heard))]))[0]
        if offer.answer is not None:
            latest[agent.name] = offer
            message = post.tell(offer, [a.name for a in agents])
            talk += [message] if message is not None else []
            replies = await _replies(question, agents, proposer, session, post)
            backers = [offer, *(r for r in replies if accepts(question, offer, r))]
            for reply in replies:
                if reply.answer is not None and not accepts(question, offer, reply):
                    latest[reply.agent] = reply
                post.tell(reply, [a.name for a in agents])
            if len(backers) >= quorum * len(agents) - 1e-9:
                signed = [Opinion(b.agent, offer.text, offer.answer, b.event) for b in backers]
                return conclude(session, question, signed, rounds=offer_number + 1, what="deal")
        proposer = (proposer + 1) % len(agents)
    last = [latest[a.name] for a in agents if a.name in latest] if breakdown == "vote" else []
    parents = [o.event for o in latest.values()]
    return conclude(session, question, last, rounds=rounds, what="no deal", parents=parents)


async def _replies(
    question: Question, agents: Sequence[Agent], proposer: int, session: Session, post: Post
) -> list[Opinion]:
    """What the other parties say to the offer that waits for them."""
    calls = []
    for i, agent in enumerate(agents):
        if i == proposer:
            continue
        if heard := post.read(agent.name):
            lead = "You negotiate. Say ACCEPT to the last offer, or REJECT and make your own."
            calls.append(Call(agent, brief(question, i, lead=lead, heard=heard), own_and(None, heard)))
    return await poll(session, question, calls)


def accepts(question: Question, offer: Opinion, reply: Opinion) -> bool:
    """Whether a reply accepts the offer: it gives the same answer, or says yes without another one."""
    from shoal.tasks.answers import same_answer

    if reply.failed:
        return False
    if reply.answer is not None and offer.answer is not None:
        return same_answer(question, offer.answer, reply.answer)
    return bool(_ACCEPTANCE.search(reply.text)) and not _REFUSAL.search(reply.text)
