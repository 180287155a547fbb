"""A hub in the middle: manager and workers, and experts behind a gate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from shoal.runs.study import Vocabulary
from shoal.tasks.problem import Question, tag
from shoal.teams.agent import Agent
from shoal.teams.outcome import Outcome
from shoal.teams.protocols.aggregation import Opinion, conclude
from shoal.teams.protocols.asking import Call, Halt, Post, brief, named_in, own_and, poll
from shoal.teams.protocols.debating import Agreement
from shoal.teams.protocols.independent import skill
from shoal.teams.protocols.registration import protocol
from shoal.teams.session import Session


@protocol(
    "star",
    title="A manager hands the task to workers, reads their reports and decides",
    vocabulary=Vocabulary(
        ("manager", "workers"), ("cooperation",), ("centralized",), ("rule-based", "role-based"), ("report",)
    ),
    agents=(2, 4, 32),
    unfinished="last",
)
async def star(
    question: Question,
    agents: Sequence[Agent],
    session: Session,
    *,
    rounds: Annotated[int, Field(ge=1, le=20, description="rounds of assignment, reports and decision")] = 1,
    plan: Annotated[bool, Field(description="the manager writes the assignment itself")] = False,
    agreement: Agreement = 1.0,
) -> Outcome:
    """Manager (the first agent) and workers: 2(n-1) messages a round.

    All words go through the hub. If it dies there is nobody else who may decide: the outcome has no answer.
    """
    hub, workers = agents[0], agents[1:]
    names = [worker.name for worker in workers]
    post, guidance, verdict = Post(session), "Work on this task and report.", None
    halt, held, reason = Halt(agreement, repeats=False), 0, "rounds"
    parents: tuple[str, ...] = ()
    if plan:
        opening = brief(question, 0, lead="You lead a team. Write one line of advice for your workers.", answer=False)
        advice = (await poll(session, question, [Call(hub, opening)], answer=False))[0]
        guidance, parents = advice.text or guidance, (advice.event,)
    for _ in range(rounds):
        post.send(hub.name, names, guidance, parents)
        reports = await _reports(question, workers, session, post)
        for report in reports:
            post.tell(report, [hub.name])
        heard = post.read(hub.name)
        prompt = brief(question, 0, lead="You lead a team. Decide from the reports." if heard else "", heard=heard)
        verdict = (await poll(session, question, [Call(hub, prompt, own_and(None, heard))]))[0]
        if verdict.failed:
            session.decide(hub.name, "stop", [verdict.event], reason="the hub failed")
            return Outcome(None, event=verdict.event, rounds=held)
        held += 1
        if reason_now := halt.reason(question, reports):
            reason = reason_now
            break
        guidance, parents = f"So far: {verdict.text[:120]}", (verdict.event,)
    decided = [verdict] if verdict is not None else []
    return conclude(session, question, decided, rounds=held, agent=hub.name, what="decision", reason=reason)


async def _reports(question: Question, workers: Sequence[Agent], session: Session, post: Post) -> list[Opinion]:
    """Reports of the workers that got the hub's message; one that heard nothing does nothing."""
    calls = []
    for i, worker in enumerate(workers):
        if heard := post.read(worker.name):
            calls.append(Call(worker, brief(question, i + 1, heard=heard), own_and(None, heard)))
    return await poll(session, question, calls)


@protocol(
    "experts",
    title="A gate picks the experts for the question; their answers are weighted by the gate",
    vocabulary=Vocabulary(
        ("gate", "experts"), ("coopetition",), ("centralized",), ("model-based", "rule-based"), ("late: gated fusion",)
    ),
    agents=(2, 4, 32),
)
async def experts(
    question: Question,
    agents: Sequence[Agent],
    session: Session,
    *,
    top: Annotated[int, Field(ge=1, le=16, description="experts asked per question")] = 2,
    gate: Annotated[
        Literal["skill", "model"],
        Field(description="skill: by known skills and the question's topic; model: the first agent names them"),
    ] = "skill",
    topic_tag: Annotated[str, Field(description="tag of the question that holds its topic")] = "topic",
    temperature: Annotated[float, Field(gt=0, le=10, description="of the gate's softmax over skills")] = 0.25,
) -> Outcome:
    """Mixture of experts in the late stage: experts compete for the question, the chosen ones cooperate."""
    pool = list(agents[1:]) if gate == "model" else list(agents)
    topic = str(tag(question, topic_tag))
    scores = {a.name: skill(a, topic) for a in pool}
    chosen, parents = sorted(pool, key=lambda a: -scores[a.name])[:top], list[str]()
    weights = {a.name: math.exp(scores[a.name] / temperature) for a in chosen}
    if gate == "model":
        roster = "; ".join(f"{a.name}: {', '.join(a.skills) or a.persona[:60] or 'generalist'}" for a in pool)
        lead = f"Experts: {roster}. Name the {top} best for this question, as 'Experts: NAME, NAME'."
        said = (
            await poll(session, question, [Call(agents[0], brief(question, lead=lead, answer=False))], answer=False)
        )[0]
        named = [a for name in named_in(said.text, [a.name for a in pool]) for a in pool if a.name == name]
        chosen, parents = named[:top] or chosen, [said.event]
        weights = dict.fromkeys((a.name for a in chosen), 1.0)
        if not named:
            session.failures["no expert named"] += 1
    total = sum(weights.values())
    weights = {name: weight / total for name, weight in weights.items()}
    gated = session.decide("gate", "experts", parents, topic=topic, weights=weights)
    place = {a.name: i for i, a in enumerate(agents)}
    opinions = await poll(session, question, [Call(a, brief(question, place[a.name]), (gated,)) for a in chosen])
    return conclude(session, question, opinions, rounds=1, weights=weights)
