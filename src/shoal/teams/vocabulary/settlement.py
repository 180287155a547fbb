"""How the opinions in a channel become one outcome: a judge, or one of the aggregates."""

from __future__ import annotations

import math
from collections.abc import Sequence

from shoal.tasks.problem import tag
from shoal.teams.outcome import Outcome
from shoal.teams.protocols.aggregation import Opinion, answer_classes, average, borda, conclude, log_odds, tally
from shoal.teams.protocols.asking import Call, brief, gist, own_and, poll
from shoal.teams.protocols.independent import skill
from shoal.teams.protocols.layered import read_ranking
from shoal.teams.session import Message
from shoal.teams.vocabulary.components import component, part
from shoal.teams.vocabulary.floor import Floor
from shoal.teams.vocabulary.objectives import rewards

CONSENSUS = 2 / 3
"""Share of the actors that a consensus needs where the channel's stop rule names none."""


async def settle(floor: Floor, reason: str) -> Outcome:
    """The channel's outcome: the judge's verdict if it has a judge that gives one, else the aggregate's.

    Writes a reward event for each actor where the channel has a payoff.
    """
    if floor.halted:
        event = floor.session.decide(
            floor.hub or "team", "stop", [o.event for o in floor.current()], reason=floor.halted
        )
        return Outcome(None, event=event, rounds=floor.round)
    outcome = await _verdict(floor, reason) if floor.channel.judge is not None else None
    if outcome is None:
        name = floor.channel.aggregate or floor.conduct.default_aggregate
        outcome = await part("aggregate", name)(floor, _voices(floor), reason)
    for name, reward in rewards(floor, outcome).items():
        floor.session.trace.write("reward", name, {"reward": reward, "answer": outcome.answer}, [outcome.event])
    return outcome


def _voices(floor: Floor) -> list[Opinion]:
    """The opinions that count: with models at the leaves only, or at the hub only, those."""
    opinions = floor.current()
    if floor.channel.hub_form == "leaves":
        return [o for o in opinions if o.agent != floor.hub]
    return opinions


async def _verdict(floor: Floor, reason: str) -> Outcome | None:
    """What the judge decides after hearing everybody; None if it cannot be read."""
    judge = next(agent for agent, spec in floor.roster.values() if floor.channel.judge in (spec.name, spec.role))
    verdict = await _hear_and_answer(floor, judge.name, "You are the judge. Decide who is right.")
    if verdict.answer is None:
        return None
    return conclude(
        floor.session, floor.question, [verdict], rounds=floor.round, agent=judge.name, what="verdict", reason=reason
    )


async def _hear_and_answer(floor: Floor, name: str, lead: str) -> Opinion:
    """Everybody tells one agent, which answers."""
    heard: list[Message] = []
    for opinion in floor.current():
        if opinion.agent != name and opinion.text:
            sent = floor.session.send(opinion.agent, [name], gist(opinion), [opinion.event])
            heard += [sent] if sent is not None else []
    own = floor.opinions.get(name)
    prompt = brief(floor.question, floor.places[name], lead=lead, heard=heard)
    return (await poll(floor.session, floor.question, [Call(floor.roster[name][0], prompt, own_and(own, heard))]))[0]


@component(
    "aggregate",
    "plurality",
    meaning="the answer that most actors give",
    trade_off="gains a lot from independent agents, nothing from agents that err alike",
    aliases=("vote", "majority", "majority-vote"),
)
async def plurality(floor: Floor, opinions: Sequence[Opinion], reason: str) -> Outcome:
    """One voice each; ties go to who comes first in the team."""
    return conclude(floor.session, floor.question, opinions, rounds=floor.round, reason=reason)


@component(
    "aggregate",
    "weighted",
    meaning="votes weighted by beliefs (model-based), or by the log-odds of known skill",
    trade_off="better than plurality where competence differs and is known; wrong weights make it worse",
    aliases=("weighted-vote", "confidence"),
)
async def weighted(floor: Floor, opinions: Sequence[Opinion], reason: str) -> Outcome:
    """The strategy's weights; without them known skills; without those equal ones."""
    weights = floor.conduct.weights()
    if weights is None:
        known = {name: log_odds(skill(agent), answer_classes(floor.question)) for name, agent in floor.agents.items()}
        weights = known if any(known.values()) else dict.fromkeys(known, 1.0)
    return conclude(floor.session, floor.question, opinions, rounds=floor.round, weights=weights, reason=reason)


async def _number(floor: Floor, opinions: Sequence[Opinion], reason: str, middle: str) -> Outcome:
    value = average(opinions, middle)
    if value is None:
        return await plurality(floor, opinions, reason)
    answer = f"{value:.6f}".rstrip("0").rstrip(".")
    event = floor.session.decide("team", middle, [o.event for o in opinions], answer=answer, reason=reason)
    return Outcome(answer, f"Answer: {answer}", event, rounds=floor.round)


@component(
    "aggregate",
    "mean",
    meaning="the mean of numeric answers",
    trade_off="cancels independent errors of size; one wild answer spoils it; plurality where there are no numbers",
    aliases=("average", "averaging"),
)
async def mean(floor: Floor, opinions: Sequence[Opinion], reason: str) -> Outcome:
    """Consensus by averaging."""
    return await _number(floor, opinions, reason, "mean")


@component(
    "aggregate",
    "median",
    meaning="the median of numeric answers",
    trade_off="robust to wild answers; needs numbers, falls back on plurality",
)
async def median(floor: Floor, opinions: Sequence[Opinion], reason: str) -> Outcome:
    """The middle answer."""
    return await _number(floor, opinions, reason, "median")


@component(
    "aggregate",
    "first",
    meaning="the first actor's answer; the others are ignored",
    trade_off="an ablation: what one agent would have said, at the team's price",
)
async def first(floor: Floor, opinions: Sequence[Opinion], reason: str) -> Outcome:
    """The first readable answer in the order of the team."""
    chosen = [o for o in opinions if o.answer is not None][:1]
    return conclude(floor.session, floor.question, chosen, rounds=floor.round, what="first", reason=reason)


@component(
    "aggregate",
    "last",
    meaning="the answer of who has had the last word: the last role, the hub, the root of the tree",
    trade_off="right where each step improves on the one before; throws away the other answers",
    aliases=("final",),
)
async def last(floor: Floor, opinions: Sequence[Opinion], reason: str) -> Outcome:
    """The closer's answer; without a readable one, that of the last actor that has one."""
    closer = floor.opinions.get(floor.closer)
    readable = [o for o in opinions if o.answer is not None]
    chosen = [closer] if closer is not None and closer.answer is not None else readable[-1:]
    return conclude(floor.session, floor.question, chosen, rounds=floor.round, what="last", reason=reason)


@component(
    "aggregate",
    "ranking",
    meaning="every actor ranks all answers; the Borda count decides",
    trade_off="uses second choices; costs another call for each actor, and small models rank badly",
    aliases=("borda",),
)
async def ranking(floor: Floor, opinions: Sequence[Opinion], reason: str) -> Outcome:
    """Ballots are names in order; without a readable ballot it is a plurality vote."""
    readable = [o for o in opinions if o.answer is not None]
    if len(readable) < 2:
        return await plurality(floor, opinions, reason)
    lines = "\n".join(f"{o.agent}: {gist(o)}" for o in readable)
    prompt = brief(
        floor.question, close=f"{lines}\nRank these, best first, as 'Ranking: NAME, NAME, ...'.", answer=False
    )
    parents = tuple(o.event for o in readable)
    ballots = await poll(
        floor.session, floor.question, [Call(a, prompt, parents) for a in floor.agents.values()], answer=False
    )
    rankings = [r for b in ballots if (r := read_ranking(b.text, [o.agent for o in readable]))]
    if not rankings:
        floor.session.failures["no ranking"] += 1
        return await plurality(floor, opinions, reason)
    scores = borda(rankings)
    best = max(readable, key=lambda o: scores.get(o.agent, -1.0))
    event = floor.session.decide("team", "ranking", [b.event for b in ballots], scores=scores, answer=best.answer)
    return Outcome(best.answer, best.text, event, scores, floor.round)


@component(
    "aggregate",
    "fusion",
    meaning="one actor (the hub, or who spoke last) writes the answer from all the others' words",
    trade_off="can combine parts that no single answer has; one more call, and it can spoil a right answer",
    aliases=("summary", "summarize", "merge"),
)
async def fusion(floor: Floor, opinions: Sequence[Opinion], reason: str) -> Outcome:
    """The writer's answer, or a plurality vote if it cannot be read."""
    writer = floor.hub or floor.closer or floor.names[-1]
    fused = await _hear_and_answer(floor, writer, "Put these together into one answer.")
    if fused.answer is None:
        return await plurality(floor, opinions, reason)
    return conclude(
        floor.session, floor.question, [fused], rounds=floor.round, agent=writer, what="fusion", reason=reason
    )


@component(
    "aggregate",
    "gate",
    meaning="a mixture of experts: votes weighted by a softmax over known skill on the question's topic",
    trade_off="each question goes to those who know; needs skills that are known and right",
    aliases=("mixture-of-experts", "moe"),
)
async def gate(floor: Floor, opinions: Sequence[Opinion], reason: str) -> Outcome:
    """Softmax with temperature 0.25 over skills."""
    topic = str(tag(floor.question, "topic"))
    scores = {name: math.exp(skill(agent, topic) / 0.25) for name, agent in floor.agents.items()}
    total = sum(scores.values())
    weights = {name: score / total for name, score in scores.items()}
    return conclude(floor.session, floor.question, opinions, rounds=floor.round, weights=weights, reason=reason)


@component(
    "aggregate",
    "nash",
    meaning="a deal: of the answers that were offered, the one with the greatest product of everybody's payoffs",
    trade_off="fair and efficient among conflicting valuations; says nothing about which answer is true",
    aliases=("deal", "nash-bargaining"),
)
async def nash(floor: Floor, opinions: Sequence[Opinion], reason: str) -> Outcome:
    """The Nash bargaining solution over the offers, with a payoff of 0 as everybody's disagreement point."""
    from shoal.tasks.answers import canonical

    payoff = floor.channel.payoff
    tables = payoff if isinstance(payoff, dict) else {}
    offers = list(tally(floor.question, opinions).votes)
    if not offers:
        return await plurality(floor, opinions, reason)
    worth = {
        name: {canonical(floor.question, answer): value for answer, value in table.items()}
        for name, table in tables.items()
    }
    products = {o: math.prod(max(0.0, table.get(o, 0.0)) for table in worth.values()) for o in offers}
    best = max(offers, key=lambda o: products[o])
    if products[best] <= 0:
        event = floor.session.decide("team", "no deal", [o.event for o in opinions], products=products)
        return Outcome(None, event=event, votes=products, rounds=floor.round)
    event = floor.session.decide("team", "deal", [o.event for o in opinions], products=products, answer=best)
    return Outcome(best, f"Answer: {best}", event, products, floor.round)


@component(
    "aggregate",
    "consensus",
    meaning="an answer only if enough actors give it (the stop rule's share, else two thirds), otherwise none",
    trade_off="few wrong answers; some questions stay open",
    aliases=("quorum", "unanimity"),
)
async def consensus(floor: Floor, opinions: Sequence[Opinion], reason: str) -> Outcome:
    """Abstains without a quorum."""
    result = tally(floor.question, opinions)
    needed = floor.channel.stop.agreement or CONSENSUS
    if result.share(len(floor.agents)) >= needed - 1e-9:
        return conclude(floor.session, floor.question, opinions, rounds=floor.round, what="consensus", reason=reason)
    event = floor.session.decide("team", "no consensus", [o.event for o in opinions], votes=result.votes)
    return Outcome(None, event=event, votes=result.votes, rounds=floor.round)
