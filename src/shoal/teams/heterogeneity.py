"""Teams whose members differ, or do not: heterogeneity levels, controls, and debate over a topology.

Source: arXiv 2602.03794 and its repository (SafeRL-Lab/Agent-Scaling). The levels are the same model without and with
personas, and several models without and with personas; control A gives everybody neutral text as long as a persona,
control B gives everybody one persona. Both are system messages here, so that they reach every prompt of every round
and topology (in the repository the padding is missing from full-mesh and sparse debate). Personas there also set the
temperature to 0; here all members of all arms share one temperature, so that only what is named differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from shoal.models.interface import Model
from shoal.runs.seeds import derive
from shoal.tasks.problem import Question
from shoal.teams.agent import Agent, make_agents
from shoal.teams.outcome import Outcome
from shoal.teams.protocols.aggregation import Opinion, conclude
from shoal.teams.protocols.debating import exchange
from shoal.teams.protocols.independent import ask_alone
from shoal.teams.session import Session

Topology = Literal["vote", "full mesh", "sparse", "centralised"]

PERSONAS = {
    "verifier": "You are a verifier. You answer, then test your answer against the question before you give it.",
    "explorer": "You are an explorer. You think of two different ways to the answer and take the surer one.",
    "formalist": "You are a formalist. You write the question down in symbols and work by fixed rules.",
    "estimator": "You are an estimator. You first judge how large the answer must be, then work it out.",
    "decomposer": "You are a decomposer. You cut the question into small parts and answer them in order.",
}
"""Five ways of reasoning, in the order in which they are dealt out."""

_NEUTRAL = ("This line carries no advice.", "It only takes up room.", "You may pass over it.")
REVISE = "Others gave the answers below. Look at your own answer again and revise it if it is wrong."


def personas(count: int) -> list[Agent]:
    """Agents with the five personas in turn."""
    return make_agents(count, list(PERSONAS.values()))


def padded(count: int, model: Model | None = None) -> list[Agent]:
    """Control A: each agent gets neutral text about as long as the persona that it stands in for.

    Args:
        count: agents.
        model: measures the length in its tokens; in characters without it.
    """
    return [replace(agent, persona=_neutral(agent.persona, model)) for agent in personas(count)]


def one_persona(count: int, name: str = "verifier") -> list[Agent]:
    """Control B: all agents have the same persona."""
    return make_agents(count, [PERSONAS[name]])


def mixed(agents: Sequence[Agent], models: Sequence[Model]) -> list[Agent]:
    """The agents with several models, dealt out in turn."""
    return [replace(agent, model=models[i % len(models)]) for i, agent in enumerate(agents)]


def neighbours(topology: Topology, names: Sequence[str]) -> dict[str, list[str]]:
    """Who hears each agent: everybody, its two neighbours on a ring, or the hub (the first); the hub reaches all."""
    n = len(names)
    if topology == "full mesh":
        return {name: [other for other in names if other != name] for name in names}
    if topology == "sparse":
        near = ((names[i - 1], names[(i + 1) % n]) for i in range(n))
        return {name: [x for x in dict.fromkeys(pair) if x != name] for name, pair in zip(names, near, strict=True)}
    if topology == "centralised":
        return {name: list(names[1:]) if i == 0 else [names[0]] for i, name in enumerate(names)}
    return {name: [] for name in names}


@dataclass
class Deliberation:
    """First answers, then rounds of debate over the topology, then a plurality with ties broken at random: a team.

    In the centralised topology only the hub's answer counts. ``outcome.votes`` shows ties.

    Attributes:
        topology: who hears whom; "vote" for nobody.
        rounds: of debate.
        heard: the last opinions of the agents, by question id, in the agents' order.
    """

    topology: Topology = "vote"
    rounds: int = 3
    heard: dict[str, list[Opinion]] = field(default_factory=dict)

    async def __call__(
        self, question: Question, agents: Sequence[Agent], session: Session, **options: object
    ) -> Outcome:
        """Work on one question."""
        opinions = await ask_alone(question, agents, session)
        held = 0 if self.topology == "vote" else self.rounds
        receivers = neighbours(self.topology, [agent.name for agent in agents])
        for _ in range(held):
            opinions = await exchange(question, agents, session, REVISE, opinions, receivers)
        self.heard[question.id] = opinions
        if self.topology == "centralised":
            return conclude(session, question, opinions[:1], rounds=held, agent=agents[0].name, what="answer")
        return conclude(session, question, in_random_order(opinions, session.seed), rounds=held)


def in_random_order(opinions: Sequence[Opinion], seed: int) -> list[Opinion]:
    """Opinions in an order drawn from the seed: a tally gives ties to whoever comes first, so ties fall at random."""
    order = np.random.default_rng(derive(seed, "ties")).permutation(len(opinions))
    return [opinions[i] for i in order]


def is_tie(outcome: Outcome) -> bool:
    """Whether the greatest number of votes was reached by two answers or more."""
    most = max(outcome.votes.values(), default=0.0)
    return sum(votes == most for votes in outcome.votes.values()) > 1


def _neutral(persona: str, model: Model | None) -> str:
    def length(text: str) -> int:
        return model.count_tokens(text) if model is not None else len(text)

    text, wanted, i = _NEUTRAL[0], length(persona), 1
    while length(f"{text} {_NEUTRAL[i % 3]}") <= wanted:
        text, i = f"{text} {_NEUTRAL[i % 3]}", i + 1
    return text
