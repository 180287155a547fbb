"""Everybody hears everybody: debate, open mesh, and debate before a judge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from shoal.runs.study import Vocabulary
from shoal.tasks.problem import Question
from shoal.teams.agent import Agent
from shoal.teams.outcome import Outcome
from shoal.teams.protocols.aggregation import Opinion, conclude
from shoal.teams.protocols.asking import Call, Halt, Post, brief, own_and, poll
from shoal.teams.protocols.independent import ask_alone
from shoal.teams.protocols.registration import protocol
from shoal.teams.session import Session

Rounds = Annotated[int, Field(ge=1, le=50, description="most rounds of talk after the first answers")]
Agreement = Annotated[
    float | None, Field(gt=0, le=1, description="stop when this share of the agents give one answer; none for never")
]
DEBATE_LEAD = "Others gave the answers below. Say which is wrong and why. Keep or change your answer."
MESH_LEAD = "Work it out together. Use what the others found."


@protocol(
    "debate",
    title="Agents answer, read each other's answers, argue and revise; then they vote",
    vocabulary=Vocabulary(
        ("peers",), ("competition",), ("decentralized",), ("rule-based",), ("debate", "fixed rounds", "vote")
    ),
    agents=(2, 3, 16),
)
async def debate(
    question: Question,
    agents: Sequence[Agent],
    session: Session,
    *,
    rounds: Rounds = 2,
    agreement: Agreement = 1.0,
) -> Outcome:
    """Du et al., arXiv 2305.14325, section 2: answers, then rounds in which each reads all others' and answers again.

    Ours stops early on agreement or when nobody says anything new; ``agreement=null`` gives the paper's fixed rounds.
    """
    opinions, held, reason = await discuss(question, agents, session, DEBATE_LEAD, rounds, Halt(agreement))
    return conclude(session, question, opinions, rounds=held, reason=reason)


@protocol(
    "mesh",
    title="Full mesh: every agent tells every other what it has found, round by round",
    vocabulary=Vocabulary(("peers",), ("cooperation",), ("decentralized",), ("rule-based",), ("broadcast", "vote")),
    agents=(2, 4, 32),
)
async def mesh(
    question: Question,
    agents: Sequence[Agent],
    session: Session,
    *,
    rounds: Rounds = 1,
    agreement: Agreement = None,
) -> Outcome:
    """Cooperative talk over the complete graph: n(n-1) messages a round, no single point of failure."""
    opinions, held, reason = await discuss(question, agents, session, MESH_LEAD, rounds, Halt(agreement))
    return conclude(session, question, opinions, rounds=held, reason=reason)


@protocol(
    "judge",
    title="Two or more debaters argue; a judge decides and may end it early",
    vocabulary=Vocabulary(
        ("debaters", "judge"), ("hybrid",), ("centralized",), ("rule-based", "role-based"), ("debate", "verdict")
    ),
    agents=(3, 3, 16),
)
async def judge(
    question: Question,
    agents: Sequence[Agent],
    session: Session,
    *,
    rounds: Rounds = 2,
) -> Outcome:
    """Liang et al., arXiv 2305.19118, section 2: debaters disagree tit for tat, the judge (the last agent) concludes.

    Debaters that agree end the debate. A judge that fails or gives no readable answer is replaced by their vote.
    """
    debaters, the_judge = agents[:-1], agents[-1]
    opinions, held, reason = await discuss(question, debaters, session, DEBATE_LEAD, rounds, Halt(1.0))
    post = Post(session)
    for opinion in opinions:
        post.tell(opinion, [the_judge.name])
    heard = post.read(the_judge.name)
    prompt = brief(question, len(debaters), lead="You are the judge. Decide who is right.", heard=heard)
    verdict = (await poll(session, question, [Call(the_judge, prompt, own_and(None, heard))]))[0]
    if verdict.answer is None:
        return conclude(session, question, opinions, rounds=held, reason="no verdict")
    return conclude(session, question, [verdict], rounds=held, agent=the_judge.name, what="verdict", reason=reason)


async def discuss(
    question: Question,
    agents: Sequence[Agent],
    session: Session,
    lead: str,
    rounds: int,
    halt: Halt,
    opinions: list[Opinion] | None = None,
) -> tuple[list[Opinion], int, str]:
    """First answers, then rounds in which everyone hears everyone.

    Args:
        question: what is worked on.
        agents: who talks.
        session: who pays and records.
        lead: what agents are told when they have heard the others.
        rounds: most rounds of talk.
        halt: when to end earlier.
        opinions: first answers, if there are some already.

    Returns:
        The last opinions in the order of the agents, the rounds that were held, and why it ended.
    """
    if opinions is None:
        opinions = await ask_alone(question, agents, session)
    names = [agent.name for agent in agents]
    reason = halt.reason(question, opinions)
    for held in range(rounds):
        if reason:
            return opinions, held, reason
        opinions = await exchange(question, agents, session, lead, opinions, dict.fromkeys(names, names))
        reason = halt.reason(question, opinions)
    return opinions, rounds, reason or "rounds"


async def exchange(
    question: Question,
    agents: Sequence[Agent],
    session: Session,
    lead: str,
    opinions: Sequence[Opinion],
    receivers: dict[str, list[str]],
) -> list[Opinion]:
    """One round: everybody tells its receivers, then everybody answers again with what it heard.

    An agent whose call fails stands by what it said before.
    """
    post = Post(session)
    for opinion in opinions:
        post.tell(opinion, receivers[opinion.agent])
    calls = []
    for i, (agent, own) in enumerate(zip(agents, opinions, strict=True)):
        heard = post.read(agent.name)
        mine = f"You: Answer: {own.answer}" if own.answer is not None else ""
        prompt = brief(question, i, lead=lead if heard else "", heard=heard, close=mine)
        calls.append(Call(agent, prompt, own_and(own, heard)))
    return stand_by(opinions, await poll(session, question, calls))


def stand_by(before: Sequence[Opinion], now: Sequence[Opinion]) -> list[Opinion]:
    """The new opinions, with the earlier one of each agent whose call failed."""
    return [old if new.failed else new for old, new in zip(before, now, strict=True)]
