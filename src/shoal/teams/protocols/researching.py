"""A planner that hands out subtasks, and a researcher with tools who works on them (after M-GRPO, arXiv 2511.13288)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from shoal.models.tools import EndOfReply, Tool
from shoal.runs.study import Vocabulary
from shoal.tasks.answers import extract
from shoal.tasks.generated.facts import KnowledgeBase, base_of
from shoal.tasks.problem import Question
from shoal.teams.agent import Agent
from shoal.teams.outcome import Outcome
from shoal.teams.protocols.aggregation import Opinion, conclude
from shoal.teams.protocols.asking import brief
from shoal.teams.protocols.registration import protocol
from shoal.teams.protocols.standing import file_opinion
from shoal.teams.session import Session
from shoal.teams.trajectories import Trajectory, work

ASK, SEARCH, VISIT = "ask", "search", "visit"
LEAD = "Plan, then have a researcher find one fact at a time, such as [ask: place of K7]."
TASK = "Find this fact: search for its page, visit the page by its whole title, then end with the fact alone."
LONGEST = 60
"""Characters of a report that the planner reads."""
_NO_BRACKETS = str.maketrans("", "", "[]")
"""A report may not look like a call in the planner's work."""


@dataclass
class Research:
    """Work on one question.

    Attributes:
        question: what is asked.
        session: who pays and records.
        base: what the tools read; no agent sees it.
        calls: most subtasks.
        lookups: most searches and visits in one trajectory.
        told: whether prompts say what is to be done and how tools are called.
        trajectories: of the researcher, in the order in which they ended.
        first: the planner's trajectory, or that of who works alone; None before it has ended.
        heard: events of the reports that the planner has read.
    """

    question: Question
    session: Session
    base: KnowledgeBase
    calls: int
    lookups: int
    told: bool
    trajectories: list[Trajectory] = field(default_factory=list)
    first: Trajectory | None = None
    heard: list[str] = field(default_factory=list)
    _asked: int = 0

    async def outcome(self, agents: Sequence[Agent]) -> Outcome:
        """The work of a planner and a researcher, or of one agent that has the researcher's tools."""
        done = await (self._together(agents[0], agents[1]) if len(agents) > 1 else self._alone(agents[0]))
        self.first = done
        answer = extract(self.question, done.result) if done.result else None
        if answer is None and not done.failed:
            self.session.failures["no answer"] += 1
        opinion = Opinion(agents[0].name, done.text, answer, done.event, done.failed)
        file_opinion(opinion)
        held = max(1, len(self.trajectories))
        return conclude(self.session, self.question, [opinion], rounds=held, what="answer")

    async def _together(self, planner: Agent, researcher: Agent) -> Trajectory:
        """The planner's trajectory, the researcher's inside it."""

        async def ask(subtask: str) -> str:
            if self._asked == self.calls:
                raise EndOfReply
            self._asked += 1
            return await self._report(planner, researcher, subtask)

        what = "a researcher finds the fact" if self.told else ""
        prompt = brief(self.question, lead=LEAD) if self.told else self.question.text
        return await work(self.session, planner, prompt, [Tool(ASK, what, ask)], self.heard)

    async def _alone(self, agent: Agent) -> Trajectory:
        prompt = brief(self.question) if self.told else self.question.text
        return await work(self.session, agent, prompt, self._tools())

    async def _report(self, planner: Agent, researcher: Agent, subtask: str) -> str:
        """What the researcher makes of a subtask. Raises ValueError if nothing comes back."""
        sent = self.session.send(planner.name, [researcher.name], subtask, list(self.heard))
        if sent is None:
            raise ValueError("not delivered")
        prompt = f"{TASK}\n{sent.content}" if self.told else sent.content
        done = await work(self.session, researcher, prompt, self._tools(), [sent.event])
        self.trajectories.append(done)
        report = " ".join(done.result.split())[:LONGEST]
        message = self.session.send(researcher.name, [planner.name], report, [done.event]) if report else None
        if message is None:
            raise ValueError("no report")
        self.heard.append(message.event)
        return " ".join(message.content.translate(_NO_BRACKETS).split())

    def _tools(self) -> list[Tool]:
        """Search and visit, together called no more often than is allowed."""
        left = [self.lookups]

        def counted(run: Callable[[str], str]) -> Callable[[str], str]:
            def read(argument: str) -> str:
                left[0] -= 1
                if left[0] < 0:
                    raise EndOfReply
                return run(argument)

            return read

        texts = ("gives titles of pages", "gives the page of a title") if self.told else ("", "")
        return [
            Tool(SEARCH, texts[0], counted(lambda query: ", ".join(self.base.search(query)))),
            Tool(VISIT, texts[1], counted(self.base.visit)),
        ]


@protocol(
    "research",
    title="A planner hands subtasks to a researcher who searches and visits pages; or one agent does both",
    vocabulary=Vocabulary(
        ("planner", "worker"), ("cooperation",), ("hierarchical",), ("role-based",), ("delegation", "tools")
    ),
    agents=(1, 2, 2),
    unfinished="last",
)
async def research(
    question: Question,
    agents: Sequence[Agent],
    session: Session,
    *,
    calls: Annotated[int, Field(ge=1, le=64, description="most subtasks of a question")] = 4,
    lookups: Annotated[int, Field(ge=1, le=64, description="most searches and visits in one trajectory")] = 6,
    told: Annotated[bool, Field(description="say in prompts what to do and how tools are called")] = True,
) -> Outcome:
    """Delegation is a tool of the planner: control is part of what it writes (M-GRPO, section 3).

    What is beyond a limit, or a call of no tool, ends the trajectory: it has no result then.
    """
    return await Research(question, session, base_of(question), calls, lookups, told).outcome(agents)
