"""What SelfOrg is measured against, with the same first prompts, so that first answers are shared call for call."""

from __future__ import annotations

from collections.abc import Sequence

from shoal.tasks.problem import Question
from shoal.teams.agent import Agent
from shoal.teams.outcome import Outcome
from shoal.teams.protocols.aggregation import Opinion, conclude
from shoal.teams.protocols.asking import Call, Halt, Post, brief, own_and, poll
from shoal.teams.protocols.debating import DEBATE_LEAD, discuss
from shoal.teams.protocols.passing import CHAIN_LEAD
from shoal.teams.self_organisation.team import alone_prompt, first_answers
from shoal.teams.session import Session

DIRECT = "Give the answer at once, without working."


async def direct(question: Question, agents: Sequence[Agent], session: Session) -> Outcome:
    """One agent, one call, told to answer at once."""
    opinions = await poll(session, question, [Call(agents[0], brief(question, 0, lead=DIRECT))])
    return conclude(session, question, opinions, rounds=0, agent=agents[0].name, what="answer")


async def chain_of_thought(question: Question, agents: Sequence[Agent], session: Session) -> Outcome:
    """One agent, one call, step by step: the first agent's own first answer in SelfOrg."""
    opinions = await poll(session, question, [Call(agents[0], alone_prompt(question, agents[0], 0))])
    return conclude(session, question, opinions, rounds=0, agent=agents[0].name, what="answer")


async def plurality(question: Question, agents: Sequence[Agent], session: Session, *, calls: int = 0) -> Outcome:
    """Plurality over independent answers.

    Args:
        question: what to answer.
        agents: asked in turn; each turn of an agent is a new sample.
        session: models, budget and trace.
        calls: samples; 0 for one per agent.
    """
    wanted = calls or len(agents)
    opinions: list[Opinion] = []
    while len(opinions) < wanted:
        opinions += await first_answers(question, agents[: wanted - len(opinions)], session)
    return conclude(session, question, opinions, rounds=0)


async def full_mesh(question: Question, agents: Sequence[Agent], session: Session, *, rounds: int = 2) -> Outcome:
    """Debate over the complete graph for a fixed number of rounds (Du et al., arXiv 2305.14325), then a vote."""
    first = await first_answers(question, agents, session)
    halt = Halt(None, repeats=False)
    opinions, held, reason = await discuss(question, agents, session, DEBATE_LEAD, rounds, halt, first)
    return conclude(session, question, opinions, rounds=held, reason=reason)


async def repeated_chain(question: Question, agents: Sequence[Agent], session: Session, *, rounds: int = 2) -> Outcome:
    """A chain walked once and then once per round: each call gets the work before it; the last answer counts."""
    post, last, event = Post(session), None, ""
    for _ in range(rounds + 1):
        for i, agent in enumerate(agents):
            heard = post.read(agent.name)
            prompt = brief(question, i, lead=CHAIN_LEAD, heard=heard) if heard else alone_prompt(question, agent, i)
            opinion = (await poll(session, question, [Call(agent, prompt, own_and(None, heard))]))[0]
            last = opinion if opinion.answer is not None else last
            event = opinion.event
            if last is not None and len(agents) > 1:
                post.tell(last, [agents[(i + 1) % len(agents)].name])
    return conclude(
        session, question, [last] if last else [], rounds=rounds, what="last answer", parents=[event]
    )  # fmt: skip
