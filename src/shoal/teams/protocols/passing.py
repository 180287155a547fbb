"""One after the other: chain, critique, round-robin, and hand-off."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from shoal.runs.study import Vocabulary
from shoal.tasks.problem import Question
from shoal.teams.agent import Agent
from shoal.teams.outcome import Outcome
from shoal.teams.protocols.aggregation import Opinion, conclude
from shoal.teams.protocols.asking import Call, Halt, Post, brief, events, own_and, poll
from shoal.teams.protocols.debating import Agreement, Rounds
from shoal.teams.protocols.registration import protocol
from shoal.teams.session import Message, Session

CHAIN_LEAD = "Check the work below and improve it."
CRITIC_LEAD = "Check this attempt and say what is wrong with it."
REFINER_LEAD = "Write an improved answer."
_NEXT = re.compile(r"(?:hand\s*over\s*to|hand\s*off\s*to|next)\s*:\s*([^\n.,;]+)", re.IGNORECASE)


@protocol(
    "chain",
    title="Each agent gets the question and the work of the agent before it; the last answer counts",
    vocabulary=Vocabulary(("sequence",), ("cooperation",), ("decentralized",), ("rule-based",), ("relay",)),
    agents=(2, 3, 32),
    unfinished="last",
)
async def chain(question: Question, agents: Sequence[Agent], session: Session) -> Outcome:
    """Sequential chaining: agent i + 1 receives y_i || x_i || x_collab (survey, section 4.5).

    An agent that fails is skipped: the next one gets the last work there is.
    """
    post, last, heard = Post(session), None, list[Message]()
    for i, agent in enumerate(agents):
        prompt = brief(question, i, lead=CHAIN_LEAD if heard else "", heard=heard)
        opinion = (await poll(session, question, [Call(agent, prompt, own_and(None, heard))]))[0]
        if opinion.answer is not None:
            last = opinion
        if i + 1 < len(agents):
            receiver = agents[i + 1].name
            post.tell(opinion, [receiver])
            heard = post.read(receiver) or heard
    return conclude(session, question, [last] if last else [], rounds=len(agents) - 1, what="last answer")


@protocol(
    "critique",
    title="The first agent drafts, those between criticise, the last one writes the final answer with all in sight",
    vocabulary=Vocabulary(
        ("generator", "verifier", "refiner"),
        ("cooperation",),
        ("decentralized",),
        ("role-based",),
        ("relay", "critique"),
    ),
    agents=(2, 3, 16),
    unfinished="last",
)
async def critique(question: Question, agents: Sequence[Agent], session: Session) -> Outcome:
    """The chain of MALT (arXiv 2412.01928, section 4): draft, critique, refinement; nobody is told the answer.

    Where the last agent gives no answer the draft's stands. Two agents are a draft and a refinement without critique.
    """
    post, opinions, final = Post(session), list[Opinion](), len(agents) - 1
    heard = list[Message]()
    for i, agent in enumerate(agents):
        lead = "" if i == 0 else REFINER_LEAD if i == final else CRITIC_LEAD
        prompt = brief(question, i, lead=lead, heard=heard, answer=i in (0, final))
        call = Call(agent, prompt, own_and(None, heard))
        opinion = (await poll(session, question, [call], answer=i in (0, final)))[0]
        opinions.append(opinion)
        if i < final:
            post.tell(opinion, [later.name for later in agents[i + 1 :]])
            heard = post.read(agents[i + 1].name)
    ends = [o for o in (opinions[-1], opinions[0]) if o.answer is not None]
    return conclude(session, question, ends[:1], rounds=final, what="last answer")


@protocol(
    "round-robin",
    title="Agents speak in turn in one conversation that all of them hear",
    vocabulary=Vocabulary(("peers",), ("cooperation",), ("decentralized",), ("rule-based",), ("group chat", "turns")),
    agents=(2, 3, 16),
)
async def round_robin(
    question: Question,
    agents: Sequence[Agent],
    session: Session,
    *,
    rounds: Rounds = 2,
    window: Annotated[int, Field(ge=1, le=100, description="latest messages that a speaker sees")] = 6,
    agreement: Agreement = 1.0,
) -> Outcome:
    """A group chat with fixed turns; ends on agreement, on repetition, or after the last round."""
    names = [agent.name for agent in agents]
    opinions: dict[str, Opinion] = {}
    talk: list[Message] = []
    halt, held, reason = Halt(agreement), 0, "rounds"
    for _ in range(rounds):
        for i, agent in enumerate(agents):
            heard = [m for m in talk if agent.name in (*m.receivers, m.sender)][-window:]
            lead = "Go on with the conversation below." if heard else ""
            opinion = (
                await poll(session, question, [Call(agent, brief(question, i, lead=lead, heard=heard), events(heard))])
            )[0]
            if not opinion.failed:
                opinions[agent.name] = opinion
                message = Post(session).tell(opinion, names)
                talk += [message] if message is not None else []
        held += 1
        if stop := halt.reason(question, [opinions[n] for n in names if n in opinions]):
            reason = stop
            break
    return conclude(
        session, question, [opinions[n] for n in names if n in opinions], rounds=held, reason=reason
    )  # fmt: skip


@protocol(
    "hand-off",
    title="An agent answers or hands the whole conversation to a colleague it names",
    vocabulary=Vocabulary(("specialists",), ("cooperation",), ("decentralized",), ("role-based",), ("hand-off",)),
    agents=(2, 3, 16),
    unfinished="last",
)
async def hand_off(
    question: Question,
    agents: Sequence[Agent],
    session: Session,
    *,
    hops: Annotated[int, Field(ge=1, le=50, description="most hand-overs")] = 5,
) -> Outcome:
    """The agent in charge returns an answer, or the id of the next agent together with the conversation.

    A hand-over to itself, to somebody unknown, or a third visit to one agent ends it: whoever is in charge must answer.
    """
    by_name = {agent.name: (i, agent) for i, agent in enumerate(agents)}
    visits = dict.fromkeys(by_name, 0)
    talk: list[Message] = []
    name, last = agents[0].name, None
    for hop in range(hops + 1):
        position, agent = by_name[name]
        visits[name] += 1
        others = ", ".join(f"{a.name} ({_known_for(a)})" if _known_for(a) else a.name for a in agents if a is not agent)
        close = f"If a colleague ({others}) knows better, write only 'Next: NAME'." if hop < hops else ""
        prompt = brief(question, position, lead="Talk so far:" if talk else "", heard=talk, close=close)
        opinion = (await poll(session, question, [Call(agent, prompt, events(talk))], answer=True))[0]
        last = opinion if opinion.answer is not None else last
        follower = next_agent(opinion.text, list(by_name))
        if follower is None or follower == name or visits[follower] >= 2 or hop == hops:
            break
        session.decide(name, "hand-off", [opinion.event], to=follower)
        message = Post(session).tell(opinion, [follower])
        talk += [message] if message is not None else []
        name = follower
    return conclude(session, question, [last] if last else [], rounds=sum(visits.values()) - 1, what="answer")


def next_agent(text: str, names: Sequence[str]) -> str | None:
    """The colleague that a reply hands over to, or None."""
    match = _NEXT.search(text)
    if match is None:
        return None
    wanted = match.group(1).strip().strip("'\"*").lower()
    return next((name for name in names if name.lower() == wanted), None)


def _known_for(agent: Agent) -> str:
    return ", ".join(sorted(agent.skills, key=lambda topic: -agent.skills[topic])[:2])
