"""Layers of agents with selection between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from shoal.runs.study import Vocabulary
from shoal.tasks.problem import Question
from shoal.teams.agent import Agent
from shoal.teams.outcome import Outcome
from shoal.teams.protocols.aggregation import Opinion, borda, conclude, tally
from shoal.teams.protocols.asking import Call, Post, brief, named_in, own_and, poll
from shoal.teams.protocols.registration import protocol
from shoal.teams.session import Session

_RANKING = "ranking:"


@dataclass(frozen=True, slots=True)
class Layer:
    """What happened in one layer.

    Attributes:
        opinions: of the agents that were in it.
        heard: for each of them, the agents of the layer before whose words it read.
    """

    opinions: tuple[Opinion, ...]
    heard: dict[str, tuple[str, ...]]


@protocol(
    "layered",
    title="Layers of agents; a ranker keeps the best after each layer; stops when two thirds agree",
    vocabulary=Vocabulary(
        ("peers", "ranker"), ("cooperation",), ("hierarchical",), ("rule-based", "model-based"), ("layers", "selection")
    ),
    agents=(2, 4, 16),
)
async def layered(
    question: Question,
    agents: Sequence[Agent],
    session: Session,
    *,
    layers: Annotated[int, Field(ge=1, le=10, description="most layers")] = 3,
    keep: Annotated[int, Field(ge=1, le=16, description="agents kept by the ranker after each layer")] = 2,
    agreement: Annotated[float, Field(gt=0, le=1, description="share that ends it early")] = 2 / 3,
    ranker: Annotated[
        Literal["peers", "support"],
        Field(description="peers: the agents rank each other; support: by how many agents gave the same answer"),
    ] = "support",
) -> Outcome:
    """DyLAN (Liu et al., arXiv 2310.02170, sections 3.2 and 3.3): layers, early stop at consensus, agent importance.

    All agents answer in the first layer; from then on only the ``keep`` best go on, each hearing those kept. The
    importance of each agent (its share of what reached the final answer) is recorded with the decision.
    """
    active = list(agents)
    place = {a.name: i for i, a in enumerate(agents)}
    post, history, reason = Post(session), list[Layer](), "layers"
    for depth in range(layers):
        calls, heard_by = [], dict[str, tuple[str, ...]]()
        for agent in active:
            heard = post.read(agent.name)
            heard_by[agent.name] = tuple(m.sender for m in heard)
            lead = "Use what the layer before found." if heard else ""
            prompt = brief(question, place[agent.name], lead=lead, heard=heard)
            calls.append(Call(agent, prompt, own_and(None, heard)))
        opinions = await poll(session, question, calls)
        history.append(Layer(tuple(opinions), heard_by))
        if tally(question, opinions).share(len(opinions)) >= agreement - 1e-9:
            reason = "agreement"
            break
        if depth + 1 < layers:
            kept = await _best(question, active, opinions, keep, ranker, session)
            for opinion in opinions:
                if opinion.agent in kept:
                    post.tell(opinion, [name for name in kept if name != opinion.agent] or kept)
            active = [agent for agent in active if agent.name in kept]
    final = history[-1].opinions
    outcome = conclude(session, question, final, rounds=len(history), reason=reason)
    session.decide("team", "importance", [outcome.event], shares=importance(question, history))
    return outcome


async def _best(
    question: Question, agents: Sequence[Agent], opinions: Sequence[Opinion], keep: int, ranker: str, session: Session
) -> list[str]:
    """Names of the agents that go on, best first; records the decision."""
    from shoal.tasks.answers import canonical

    answered = [o for o in opinions if o.answer is not None] or list(opinions)
    votes = tally(question, opinions).votes
    scores = {o.agent: votes.get(canonical(question, o.answer), 0.0) if o.answer else 0.0 for o in answered}
    parents = [o.event for o in opinions]
    if ranker == "peers":
        close = "Rank the colleagues above, best first, as 'Ranking: NAME, NAME, ...'."
        lines = "\n".join(f"{o.agent}: {o.text[:120]}" for o in answered)
        prompt = brief(question, close=f"{lines}\n{close}", answer=False)
        ballots = await poll(session, question, [Call(a, prompt, tuple(parents)) for a in agents], answer=False)
        rankings = [r for b in ballots if (r := read_ranking(b.text, [o.agent for o in answered]))]
        parents += [b.event for b in ballots]
        if rankings:
            scores |= borda(rankings)
        else:
            session.failures["no ranking"] += 1
    kept = sorted(scores, key=lambda name: -scores[name])[:keep]
    session.decide("ranker", "keep", parents, kept=kept, scores=scores)
    return kept


def read_ranking(text: str, names: Sequence[str]) -> list[str]:
    """Names in the order in which the ranking of a reply lists them; only the part after "Ranking:" if it is there."""
    start = text.lower().rfind(_RANKING)
    return named_in(text[start + len(_RANKING) :] if start >= 0 else text, names)


def importance(question: Question, history: Sequence[Layer]) -> dict[str, float]:
    """Each agent's share of what reached the final answer; the shares add up to 1 if there was an answer.

    DyLAN's backward pass with rule-based ratings: the final answer is divided evenly among those who gave it; each
    keeps half of what it has and hands half, evenly, to those it heard who had said the same one layer earlier.
    """
    from shoal.tasks.answers import canonical

    if not history:
        return {}
    result = tally(question, history[-1].opinions)
    current = {name: 1.0 / len(result.supporters) for name in result.supporters}
    total: dict[str, float] = {}
    for layer, before in zip(reversed(history), [*reversed(history[:-1]), None], strict=True):
        said = {o.agent: canonical(question, o.answer) for o in layer.opinions if o.answer is not None}
        earlier = (
            {o.agent: canonical(question, o.answer) for o in before.opinions if o.answer is not None} if before else {}
        )
        passed: dict[str, float] = {}
        for name, share in current.items():
            sources = [s for s in layer.heard.get(name, ()) if earlier.get(s) == said.get(name)]
            kept = share / 2 if sources else share
            total[name] = total.get(name, 0.0) + kept
            for source in sources:
                passed[source] = passed.get(source, 0.0) + (share - kept) / len(sources)
        current = passed
    return {name: round(share, 6) for name, share in total.items()}
