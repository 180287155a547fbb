"""SelfOrg as a team of language-model agents (all nine steps) over a session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from shoal.errors import InputError
from shoal.models.interface import Embedder
from shoal.models.opening import open_embedder
from shoal.runs.seeds import generator
from shoal.tasks.answers import canonical
from shoal.tasks.problem import Question
from shoal.teams.agent import Agent
from shoal.teams.outcome import Outcome
from shoal.teams.protocols.aggregation import Opinion
from shoal.teams.protocols.asking import Call, Post, brief, one_line, own_and, poll
from shoal.teams.self_organisation.contribution import (
    AggregateMode,
    ContributionRule,
    aggregate,
    consensus,
    contributions,
    unit_rows,
)
from shoal.teams.self_organisation.graph import EdgeRule, Graph, build_graph, random_graph, resolve_threshold
from shoal.teams.session import Session

ROLES = ("assistant", "programmer", "mathematician", "economist", "psychologist", "historian")
"""Roles of the released configuration, dealt out in turn to agents without a persona."""

ALONE = "Solve the task on your own, step by step."
REFINE = "Check your own answer below step by step and mend it if it is wrong."
REVISE = "Below are your own answer and what peers answered. Peers may be wrong: check before you keep or change yours."

Ablation = Literal["none", "shuffle", "random-graph"]
Source = Literal["reply", "answer"]


@dataclass
class _Work:
    """One team on one question: its settings, its latest opinions, and what was made of them."""

    question: Question
    agents: Sequence[Agent]
    session: Session
    embedder: Embedder
    settings: dict[str, Any]
    opinions: list[Opinion] = field(default_factory=list)
    embeddings: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 0)))
    psi: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    _rows: dict[str, NDArray[np.float64]] = field(default_factory=dict)

    async def organise(self, rounds: int, reform: bool) -> Outcome:
        """Steps 1 to 9: answers alone, then rounds of talk until the team agrees."""
        self.opinions = await first_answers(self.question, self.agents, self.session)
        await self.look(0)
        if len(self.agents) == 1:
            return self.conclude(0, "one agent")
        graph: Graph | None = None
        for turn in range(rounds):
            if self.agrees():
                return self.conclude(turn, "consensus")
            if graph is None or reform:
                graph = self.graph(turn)
            await self.propagate(graph)
            await self.look(turn + 1)
        return self.conclude(rounds, "consensus" if self.agrees() else "rounds")

    async def look(self, turn: int) -> None:
        """Steps 2 and 3 on the latest opinions; only texts that are new are embedded."""
        texts = [self._embedded_text(opinion) for opinion in self.opinions]
        new = sorted({text for text in texts if text.strip() and text not in self._rows})
        if new:
            self._rows.update(zip(new, await self.embedder.embed(new), strict=True))
        width = next((row.size for row in self._rows.values()), 1)
        zero = np.zeros(width)
        self.embeddings = unit_rows(np.stack([self._rows.get(text, zero) for text in texts]))
        if self.settings["noise"] > 0:
            # An agent that says the same again keeps its noise, as an embedder's error would.
            blur = np.stack([self._chance("noise", i, text).standard_normal(width) for i, text in enumerate(texts)])
            given = np.linalg.norm(self.embeddings, axis=1, keepdims=True)
            self.embeddings = unit_rows(self.embeddings + self.settings["noise"] * blur / np.sqrt(width) * given)
        psi = contributions(self.embeddings, self.settings["contribution"], self.settings["softmax"])
        if self.settings["ablation"] == "shuffle":
            psi = self._chance("shuffle", turn).permutation(psi)
        self.psi = psi

    def agrees(self) -> bool:
        """Step 8's test."""
        return bool(consensus(self.embeddings, self.psi, self.settings["consensus"], self.settings["spread"]))

    def graph(self, turn: int) -> Graph:
        """Steps 4 to 6, recorded as a decision with the contributions, edges and order."""
        s = self.settings
        threshold, warning = resolve_threshold(s["threshold"], self.embeddings)
        parents = [opinion.event for opinion in self.opinions]
        if warning:
            self.session.trace.write("note", "team", {"warning": warning}, parents)
        graph = build_graph(
            self.embeddings, self.psi, rule=s["rule"], threshold=threshold, neighbours=s["neighbours"]
        )  # fmt: skip
        if s["ablation"] == "random-graph":
            chance, n = self._chance("graph", turn), len(self.agents)
            pairs, ranks = chance.random((1, n * (n - 1) // 2)), chance.random((1, n))
            batch = random_graph(np.array([graph.edges.sum()]), pairs, ranks)
            graph = Graph(batch.edges[0], batch.weights[0], batch.order[0])
        names = [agent.name for agent in self.agents]
        self.session.decide(
            "team",
            "graph",
            parents,
            round=turn,
            rule=s["rule"],
            threshold=threshold,
            contributions=dict(zip(names, self.psi.tolist(), strict=True)),
            edges=[[names[m], names[n], float(graph.weights[m, n])] for m, n in np.argwhere(graph.edges)],
            order=[names[n] for n in graph.order],
        )
        return graph

    async def propagate(self, graph: Graph) -> None:
        """Step 7, one after the other and in place: later agents hear answers that are already revised."""
        for position, n in enumerate(graph.order):
            sources = np.flatnonzero(graph.edges[:, n])
            if position == 0 or sources.size:
                await self._revise(int(n), [int(m) for m in sources])

    async def _revise(self, n: int, sources: Sequence[int]) -> None:
        agent, own, length = self.agents[n], self.opinions[n], self.settings["excerpt"]
        post = Post(self.session)
        for m in sources:
            peer = self.opinions[m]
            post.send(peer.agent, [agent.name], one_line(peer.text, peer.answer, length), (peer.event,))
        heard = post.read(agent.name)
        said = f"You: {one_line(own.text, own.answer, length)}" if own.text else ""
        lead = f"{role_line(agent, n)} {REVISE if sources else REFINE}"
        prompt = brief(self.question, n, lead=lead, heard=heard, close=said)
        new = (await poll(self.session, self.question, [Call(agent, prompt, own_and(own, heard))]))[0]
        if new.failed:
            self.session.decide(agent.name, "keep the old answer", [new.event], reason=new.failed)
        else:
            self.opinions[n] = new

    def conclude(self, rounds: int, reason: str) -> Outcome:
        """Step 9."""
        chosen = self.opinions[int(aggregate(self.embeddings, self.psi, self.settings["aggregate"]))]
        votes: dict[str, float] = {}
        for opinion, weight in zip(self.opinions, self.psi, strict=True):
            if opinion.answer is not None:
                key = canonical(self.question, opinion.answer)
                votes[key] = votes.get(key, 0.0) + float(weight)
        event = self.session.decide(
            "team",
            "selection",
            [opinion.event for opinion in self.opinions],
            chosen=chosen.agent,
            answer=chosen.answer,
            contributions={o.agent: float(w) for o, w in zip(self.opinions, self.psi, strict=True)},
            reason=reason,
            calls=self.session.usage.calls,
        )
        return Outcome(chosen.answer, chosen.text, event, votes, rounds)

    def _embedded_text(self, opinion: Opinion) -> str:
        if self.settings["embed"] == "reply":
            return opinion.text
        return canonical(self.question, opinion.answer) if opinion.answer is not None else ""

    def _chance(self, *names: str | int) -> np.random.Generator:
        return generator(self.session.seed, "self-organisation", *names)


async def self_organise(
    question: Question,
    agents: Sequence[Agent],
    session: Session,
    *,
    embedder: Annotated[Any, Field(description="ngrams, minilm, an endpoint's URL, or an embedder object")] = "ngrams",
    rule: Annotated[EdgeRule, Field(description="who hears whom: the paper's rule or the released code's")] = "paper",
    contribution: Annotated[
        ContributionRule | None, Field(description="contribution formula; left out, that of the edge rule")
    ] = None,
    neighbours: Annotated[int, Field(ge=1, description="most peers an agent hears, rule code only")] = 2,
    threshold: Annotated[
        float | str, Field(description="least cosine of an edge; -1 is off; quantile:Q calibrates it per round")
    ] = -1.0,
    rounds: Annotated[int, Field(ge=0, le=50, description="most rounds of talk")] = 2,
    reform: Annotated[bool, Field(description="rebuild the graph after each round")] = True,
    consensus: Annotated[float, Field(ge=-1, le=1, description="stop when all pairs are this similar")] = 0.95,
    spread: Annotated[float, Field(ge=0, description="and contributions differ by no more than this")] = 0.1,
    aggregate: Annotated[
        AggregateMode, Field(description="answer nearest the weighted centre, or of highest contribution")
    ] = "centre",
    embed: Annotated[Source, Field(description="what is compared: whole replies, or final answers only")] = "reply",
    softmax: Annotated[float, Field(gt=0, description="temperature of the code's contributions")] = 0.1,
    excerpt: Annotated[int, Field(ge=1, description="characters of a reply that are passed on")] = 400,
    ablation: Annotated[Ablation, Field(description="shuffle contributions, or use a random graph")] = "none",
    noise: Annotated[float, Field(ge=0, description="noise added to embeddings, as a multiple of their length")] = 0.0,
) -> Outcome:
    """Self-organise on one question (arXiv 2510.00685).

    Costs N calls, and per round one for the first agent of the order and one for each agent that hears somebody: at
    most N + N * rounds, one after the other within a round. The threshold of the released configuration is 0.75, for
    its own embedder; another embedder puts other cosines on the same answers, so the default is off and a trace note
    warns where a fixed one admits all pairs or none.

    An agent whose call fails keeps its old answer. Answers that are empty contribute nothing and are heard by nobody.
    Identical answers end it at once. The right answer is nowhere an input: ``question`` does not hold it.

    Args:
        question: what to answer.
        agents: at least one; an agent without a persona gets a role from ROLES.
        session: models, budget and trace.
        embedder: see ``shoal.models.open_embedder``.
        rule: "paper": an edge wherever cos >= threshold and the source contributes more. "code": each agent's best
            ``neighbours``, cycles broken at the weakest edge.
        contribution: "paper" (cosine with the mean) or "code" (softmax of it).
        neighbours: k of the code's rule.
        threshold: tau.
        rounds: T.
        reform: whether steps 4 to 6 are done anew in each round.
        consensus: least pairwise cosine at which the team may stop.
        spread: largest difference of contributions at which it may.
        aggregate: step 9.
        embed: "answer" leaves the style of the reasoning out of the comparison.
        softmax: temperature.
        excerpt: longest text shown to peers.
        ablation: "shuffle" deals contributions out at random before steps 4 and 9; "random-graph" puts as many edges
            at random.
        noise: for the ablation of the embedder's quality.

    Raises:
        InputError: no agents, or an option is not usable.
        BudgetExceeded: the session's budget is spent.
    """
    if not agents:
        raise InputError("agents", len(agents), "Give at least one agent.")
    settings: dict[str, Any] = {
        "rule": rule, "contribution": contribution or rule, "neighbours": neighbours, "threshold": threshold,
        "consensus": consensus, "spread": spread, "aggregate": aggregate, "embed": embed, "softmax": softmax,
        "excerpt": excerpt, "ablation": ablation, "noise": noise,
    }  # fmt: skip
    opened = open_embedder(embedder) if isinstance(embedder, str) else embedder
    return await _Work(question, agents, session, opened, settings).organise(rounds, reform)


async def first_answers(question: Question, agents: Sequence[Agent], session: Session) -> list[Opinion]:
    """Step 1: everybody answers alone, all at the same time."""
    calls = [Call(agent, alone_prompt(question, agent, i)) for i, agent in enumerate(agents)]
    return await poll(session, question, calls)


def alone_prompt(question: Question, agent: Agent, position: int) -> str:
    """The first prompt: role, the request to work alone and step by step, the task."""
    return brief(question, position, lead=f"{role_line(agent, position)} {ALONE}")


def role_line(agent: Agent, position: int) -> str:
    """Who the agent is; one with a persona has its role in the system message and is only named."""
    if agent.persona:
        return f"You are {agent.name}."
    return f"You are {agent.name}, {_with_article(ROLES[position % len(ROLES)])}."


def _with_article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
