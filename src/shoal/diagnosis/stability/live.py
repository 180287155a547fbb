"""A long run of a live team over templated tasks: who is asked, what it still remembers, and how steady it stays.

Two agents work turn after turn with the history of what they did before them; each type of task has a specialist. The
history is kept, summarised, anchored by examples, routed around or thrown away, and the same index that reads anybody's
log reads the run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from shoal.diagnosis.stability.cures import Anchoring, Consolidation, History, PeriodicReset, StabilityRouting, Turn
from shoal.diagnosis.stability.index import SMALLEST, Rule, compare
from shoal.diagnosis.stability.interactions import NO_ERROR, Interaction, by_agent
from shoal.errors import InputError
from shoal.models.embedders import CharacterNgrams
from shoal.tasks.answers import extract, instruction
from shoal.tasks.problem import Problem, Question, tag
from shoal.teams.agent import Agent
from shoal.teams.session import Session

ELSEWHERE = 0.8
"""Fitness of an agent for tasks that are not its speciality."""
UNREADABLE = "no answer"


@dataclass
class LongRun:
    """A team at work for many turns.

    Attributes:
        agents: who works; the n-th type of task belongs to the n-th of them, in turn.
        session: how they are asked.
        remembers: most turns of its own that an agent is shown; the older half goes where there are more, so that
            what models keep of earlier prompts stays useful.
        consolidation: summarises histories; None for not.
        routing: routes by stability and resets; None for specialists only.
        anchoring: shows examples of the baseline; None for none.
        reset: throws histories away at fixed times; None for never.
        rule: windows of the index that routing and anchoring look at.
        found: the interactions so far.
    """

    agents: Sequence[Agent]
    session: Session
    remembers: int = 16
    consolidation: Consolidation | None = None
    routing: StabilityRouting | None = None
    anchoring: Anchoring | None = None
    reset: PeriodicReset | None = None
    rule: Rule = field(default_factory=Rule)
    found: list[Interaction] = field(default_factory=list)
    _histories: dict[str, History] = field(default_factory=dict)
    _baseline: list[Turn] = field(default_factory=list)
    _stability: dict[str, float] = field(default_factory=dict)
    _types: list[str] = field(default_factory=list)
    _embedder: CharacterNgrams = field(default_factory=CharacterNgrams)

    def __post_init__(self) -> None:
        if not self.agents:
            raise InputError("agents", "none", "Give at least one.")
        self._histories = {agent.name: History() for agent in self.agents}

    async def turn(self, problem: Problem) -> Interaction:
        """Work on one problem; the trace gets its ``task.start`` and ``task.end``."""
        question, trace = problem.question, self.session.trace
        self.session.question = question
        start = trace.write("task.start", "", {"question": question.id, "task_type": _type(question)})
        self._settle()
        agent = self._choose(question)
        history = self._histories[agent.name]
        if self.consolidation is not None and self.consolidation.due(history):
            await self.consolidation.consolidate(history, agent, self.session)
        asked = f"{question.text}\n{instruction(question)}"
        parts = [history.text(), self._examples(), f"Task: {asked}" if history.count else asked]
        written = self.session.usage.completion_tokens
        reply = await self.session.ask(agent, "\n\n".join(p for p in parts if p), parents=(start,))
        answer = extract(question, reply.text)
        correct = problem.check(answer)
        trace.write("task.end", "", {"answer": answer, "correct": correct}, (reply.event,))
        turn = Turn(asked, reply.text.strip(), reply.event)
        history.add(turn)
        if len(history.turns) > self.remembers:
            del history.turns[: len(history.turns) // 2]
        if correct and len(self.found) < self.rule.window * self.rule.baseline:
            self._baseline.append(turn)
        entry = Interaction(
            agent.name, _type(question), reply.event,
            embedding=self._embedder.rows([reply.text])[0] if reply.text.strip() else None, correct=correct,
            tokens=self.session.usage.completion_tokens - written,
            error=reply.failed or (UNREADABLE if answer is None else NO_ERROR),
        )  # fmt: skip
        self.found.append(entry)
        return entry

    def _settle(self) -> None:
        """At the end of each window read every agent anew; throw away the histories of those that are to be reset."""
        names = [name for name, held in self._histories.items() if self.reset is not None and self.reset.due(held)]
        done = len(self.found)
        if self.routing is not None and done % self.rule.window == 0 and done > self.rule.window * self.rule.baseline:
            self._stability |= self._read_agents()
            names += self.routing.unstable(self._stability)
        for name in names:
            self._histories[name].clear()
            self.session.decide(name, "reset", stability=self._stability.get(name))

    def _read_agents(self) -> dict[str, float]:
        """Each agent's index over the last 20 interactions of its own, where its baseline holds as many."""
        first = by_agent(self.found[: self.rule.window * self.rule.baseline])
        read = {
            name: compare(own[-SMALLEST:], first[name]).index
            for name, own in by_agent(self.found).items()
            if len(first.get(name, ())) >= SMALLEST and len(own) - len(first[name]) >= SMALLEST
        }
        return {name: index for name, index in read.items() if index is not None}

    def _choose(self, question: Question) -> Agent:
        kind = _type(question)
        if kind not in self._types:
            self._types.append(kind)
        own = self.agents[self._types.index(kind) % len(self.agents)]
        if self.routing is None:
            return own
        fitness = {agent.name: 1.0 if agent is own else ELSEWHERE for agent in self.agents}
        name = self.routing.choose(fitness, self._stability)
        return next(agent for agent in self.agents if agent.name == name)

    def _examples(self) -> str:
        """Examples of the baseline, by how far the last whole window has moved from it."""
        first = self.rule.window * self.rule.baseline
        whole = len(self.found) // self.rule.window * self.rule.window
        if self.anchoring is None or whole <= first:
            return ""
        index = compare(self.found[whole - self.rule.window : whole], self.found[:first]).index
        return self.anchoring.text(1.0 if index is None else index, self._baseline)


def _type(question: Question) -> str:
    return str(tag(question, "benchmark", "task"))
