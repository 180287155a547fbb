"""Actor, evaluator and reflector: try, score, take advice, try again."""

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
from shoal.teams.protocols.asking import Call, Post, brief, events, own_and, poll
from shoal.teams.protocols.registration import protocol
from shoal.teams.session import Message, Session

_SCORE = re.compile(r"\bscore\s*(?:is)?\s*[:=]?\s*(\d+(?:\.\d+)?)", re.IGNORECASE)


@protocol(
    "reflect",
    title="An actor tries, an evaluator scores, a reflector advises; again until the score will do",
    vocabulary=Vocabulary(
        ("actor", "evaluator", "reflector"), ("cooperation",), ("hierarchical",), ("role-based",), ("trial", "advice")
    ),
    agents=(1, 3, 3),
    unfinished="last",
)
async def reflect(
    question: Question,
    agents: Sequence[Agent],
    session: Session,
    *,
    trials: Annotated[int, Field(ge=1, le=20, description="most attempts")] = 3,
    enough: Annotated[float, Field(ge=0, le=10, description="score from 0 to 10 that ends it")] = 7.0,
    memory: Annotated[int, Field(ge=1, le=10, description="latest pieces of advice that the actor sees")] = 3,
) -> Outcome:
    """Reflexion (Shinn et al., arXiv 2303.11366, algorithm 1), with a model as evaluator: it never sees the answer.

    With fewer than three agents, the first ones take several parts. An evaluator that gives its own answer instead of
    a score passes the attempt if the two are the same. The attempt with the best score counts.
    """
    actor, evaluator, reflector = (agents[min(i, len(agents) - 1)] for i in range(3))
    post, advice = Post(session), list[Message]()
    best: tuple[float, Opinion] | None = None
    held = 0
    for trial in range(trials):
        shown = advice[-memory:]
        lead = "Use the advice below." if shown else ""
        attempt = (
            await poll(session, question, [Call(actor, brief(question, 0, lead=lead, heard=shown), events(shown))])
        )[0]
        held += 1
        if attempt.failed:
            continue
        post.tell(attempt, [evaluator.name])
        score, review = await _score(question, evaluator, attempt, session, post.read(evaluator.name))
        session.decide(evaluator.name, "score", [review.event], score=score, trial=trial)
        if best is None or score > best[0]:
            best = (score, attempt)
        if score >= enough:
            break
        if trial + 1 < trials:
            advice += await _advice(question, reflector, actor, attempt, review, session, post)
    chosen = [best[1]] if best else []
    return conclude(session, question, chosen, rounds=held, agent=actor.name, what="best attempt")


async def _score(
    question: Question, evaluator: Agent, attempt: Opinion, session: Session, heard: list[Message]
) -> tuple[float, Opinion]:
    """Score from 0 to 10 of an attempt, and the review it was read from. 5 where nothing can be read."""
    from shoal.tasks.answers import extract, same_answer

    lines = heard or [Message(attempt.agent, (evaluator.name,), attempt.text[:160], attempt.event)]
    prompt = brief(
        question, 1, lead="Check this attempt.", heard=lines, close="Write 'Score: N', N from 0 to 10.", answer=False
    )
    review = (await poll(session, question, [Call(evaluator, prompt, events(lines))], answer=False))[0]
    match = _SCORE.search(review.text)
    if match is not None:
        return min(10.0, float(match.group(1))), review
    own = extract(question, review.text)
    if own is None or attempt.answer is None:
        return 5.0, review
    return (10.0 if same_answer(question, own, attempt.answer) else 0.0), review


async def _advice(
    question: Question,
    reflector: Agent,
    actor: Agent,
    attempt: Opinion,
    review: Opinion,
    session: Session,
    post: Post,
) -> list[Message]:
    """The reflector's advice as the actor gets it; empty if it has none."""
    post.tell(attempt, [reflector.name])
    post.tell(review, [reflector.name])
    heard = post.read(reflector.name)
    prompt = brief(
        question,
        2,
        lead="The attempt below failed.",
        heard=heard,
        close="Say in one line what to do better.",
        answer=False,
    )
    said = (await poll(session, question, [Call(reflector, prompt, own_and(None, heard))], answer=False))[0]
    if said.failed or not said.text:
        return []
    content = said.text[:160]
    if reflector.name == actor.name:  # it talks to itself: a note, not a message between agents
        return [Message(actor.name, (actor.name,), content, said.event)]
    message = post.send(reflector.name, [actor.name], content, [said.event])
    post.read(actor.name)
    return [message] if message is not None else []
