"""No talk: one agent, many samples of one agent, and votes of several."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from shoal.runs.study import Vocabulary
from shoal.tasks.problem import Question
from shoal.teams.agent import Agent
from shoal.teams.outcome import Outcome
from shoal.teams.protocols.aggregation import Opinion, answer_classes, conclude, log_odds
from shoal.teams.protocols.asking import Call, brief, poll
from shoal.teams.protocols.registration import protocol
from shoal.teams.session import Session

_CONFIDENCE = re.compile(r"confidence\W{0,4}(\d{1,3})(?:\.\d+)?\s*%?", re.IGNORECASE)


@protocol(
    "single",
    title="One agent answers once: the baseline",
    vocabulary=Vocabulary(("one agent",), ("none",), ("none",), ("none",), ("single call",)),
    agents=(1, 1, 1),
    unfinished="last",
)
async def single(question: Question, agents: Sequence[Agent], session: Session) -> Outcome:
    """One agent, one call."""
    opinions = await poll(session, question, [Call(agents[0], brief(question, 0))])
    return conclude(session, question, opinions, rounds=1, agent=agents[0].name, what="answer")


@protocol(
    "self-consistency",
    title="One agent answers several times; the most frequent answer wins",
    vocabulary=Vocabulary(("one agent",), ("none",), ("none",), ("rule-based",), ("sample and vote",)),
    agents=(1, 1, 1),
)
async def self_consistency(
    question: Question,
    agents: Sequence[Agent],
    session: Session,
    *,
    samples: Annotated[int, Field(ge=1, le=200, description="answers drawn from the agent")] = 5,
    temperature: Annotated[float, Field(ge=0, le=2, description="sampling temperature")] = 0.7,
) -> Outcome:
    """Wang et al., arXiv 2203.11171, section 2: sample reasoning paths, marginalise them out by a plurality vote."""
    calls = [Call(agents[0], brief(question, 0))] * samples
    opinions = await poll(session, question, calls, temperature=temperature)
    return conclude(session, question, opinions, rounds=1)


@protocol(
    "vote",
    title="Agents answer alone; the plurality wins",
    vocabulary=Vocabulary(("peers",), ("cooperation",), ("decentralized",), ("rule-based",), ("late: vote",)),
    agents=(1, 3, 64),
)
async def vote(question: Question, agents: Sequence[Agent], session: Session) -> Outcome:
    """Independent answers and a plurality vote; ties go to the answer of the agent that is listed first."""
    return conclude(session, question, await ask_alone(question, agents, session), rounds=1)


@protocol(
    "confidence-vote",
    title="Agents answer alone; votes count by confidence",
    vocabulary=Vocabulary(("peers",), ("cooperation",), ("decentralized",), ("rule-based",), ("late: weighted vote",)),
    agents=(1, 3, 64),
)
async def confidence_vote(
    question: Question,
    agents: Sequence[Agent],
    session: Session,
    *,
    source: Annotated[
        Literal["stated", "logprob", "skill"],
        Field(description="where the weight comes from: the agent's words, its token probabilities, its known skill"),
    ] = "stated",
    topic: Annotated[str, Field(description="which entry of an agent's skills counts, for source=skill")] = "",
    scale: Annotated[
        Literal["log-odds", "linear"], Field(description="how a known skill becomes a weight")
    ] = "log-odds",
    classes: Annotated[
        int, Field(ge=0, le=1_000_000, description="answer classes behind the log-odds; 0 reads them off the question")
    ] = 0,
) -> Outcome:
    """A vote weighted by what each agent says, by how sure its tokens were, or by the log-odds of its known skill.

    With ``skill`` and independent voters this is the optimal rule (see ``log_odds``). An agent without a readable
    confidence counts half; one without a known skill counts 0.
    """
    close = "Also write 'Confidence: N', N from 0 to 100." if source == "stated" else ""
    calls = [Call(agent, brief(question, i, close=close)) for i, agent in enumerate(agents)]
    opinions = await poll(session, question, calls, logprobs=1 if source == "logprob" else 0)
    if source == "skill":
        count = classes or answer_classes(question)
        known = {agent.name: skill(agent, topic) for agent in agents}
        weights = {name: log_odds(p, count) if scale == "log-odds" else p for name, p in known.items()}
    else:
        weights = {opinion.agent: _certainty(source, opinion) for opinion in opinions}
    return conclude(session, question, opinions, rounds=1, weights=weights)


async def ask_alone(
    question: Question, agents: Sequence[Agent], session: Session, temperature: float | None = None
) -> list[Opinion]:
    """Every agent's own answer, each with its private sheet, all at the same time."""
    calls = [Call(agent, brief(question, i)) for i, agent in enumerate(agents)]
    return await poll(session, question, calls, temperature=temperature)


def stated_confidence(text: str) -> float | None:
    """The confidence an agent wrote as "Confidence: N", as a number in [0, 1]; None if there is none."""
    match = _CONFIDENCE.search(text)
    return None if match is None else min(100, int(match.group(1))) / 100


def _certainty(source: str, opinion: Opinion) -> float:
    confidence = stated_confidence(opinion.text) if source == "stated" else opinion.certainty
    return 0.5 if confidence is None else confidence


def skill(agent: Agent, topic: str = "") -> float:
    """An agent's known competence on a topic; its mean over topics where that one is not known; 0 if none is."""
    if topic in agent.skills:
        return agent.skills[topic]
    return sum(agent.skills.values()) / len(agent.skills) if agent.skills else 0.0
