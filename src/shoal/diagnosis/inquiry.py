"""Asking a judge who caused a failure: all at once, step by step, or by halves (Who&When, arXiv 2505.00212).

A judge is a language model that reads the log, or a table of suspicions that answers the same questions; the three
protocols are the same for both. The stock prompts of Who&When hold the true answer of the task although nobody has it
when a run has just failed: here it is a switch. Replies that cannot be read are counted and never guessed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError, ModelError
from shoal.models.interface import Model, Request
from shoal.traces.importers.who_and_when import plain_name

if TYPE_CHECKING:
    from shoal.diagnosis.incident import Incident

_AGENT = re.compile(r"\bagent(?:'s)?(?: name)?\W{0,4}[:=]\W*([^\n;,]+)", re.IGNORECASE)
_STEP = re.compile(r"\bstep(?: (?:number|no\.?|index))?\W{0,4}(?:[:=]|is)?\W{0,3}(\d+)", re.IGNORECASE)
_YES_NO = re.compile(r"\b(yes|no)\b", re.IGNORECASE)
_HALF = re.compile(r"\b(?:first|second|earlier|later)\b|(?<![\w'])[AB](?![\w'])")
SHORTEST_STEP = 40
"""Characters of a step that are shown at least, however long the log."""


@dataclass
class Answer:
    """What a protocol came to.

    Attributes:
        agent: who is blamed, or None.
        step: which step is blamed, or None.
        calls: questions asked.
        unparsed: replies that could not be read, or were lost.
    """

    agent: str | None = None
    step: int | None = None
    calls: int = 0
    unparsed: int = 0


class Judge(Protocol):
    """Whoever can be asked about an incident; None stands for a reply that could not be read."""

    async def culprit(self, incident: Incident) -> tuple[str | None, int | None]:
        """The agent and the step to blame, having seen the whole log."""
        ...

    async def wrong(self, incident: Incident, step: int) -> bool | None:
        """Whether that step holds the decisive error, having seen the log up to it."""
        ...

    async def in_first_half(self, incident: Incident, low: int, middle: int, high: int) -> bool | None:
        """Whether the decisive error is in steps low to middle, not in middle + 1 to high."""
        ...


async def all_at_once(judge: Judge, incident: Incident) -> Answer:
    """The whole log, one question; agent and step are named separately and may disagree."""
    agent, step = await judge.culprit(incident)
    if step is not None and not 0 <= step < incident.size:
        step = None
    return Answer(agent, step, 1, int(agent is None or step is None))


async def step_by_step(judge: Judge, incident: Incident) -> Answer:
    """One question for each step of an agent, over the log so far, until the first yes; no step without any yes."""
    answer = Answer()
    for step in incident.blamable.tolist():
        said = await judge.wrong(incident, step)
        answer.calls += 1
        answer.unparsed += said is None
        if said:
            answer.agent, answer.step = incident.agents[step], step
            break
    return answer


async def binary_search(judge: Judge, incident: Incident) -> Answer:
    """Halves until one step is left; an unreadable reply ends the search without an answer."""
    answer = Answer()
    low, high = 0, incident.size - 1
    while low < high:
        middle = (low + high) // 2
        first = await judge.in_first_half(incident, low, middle, high)
        answer.calls += 1
        if first is None:
            answer.unparsed += 1
            return answer
        low, high = (low, middle) if first else (middle + 1, high)
    answer.agent, answer.step = incident.agents[low], low
    return answer


@dataclass(frozen=True)
class ScoreJudge:
    """Answers from suspicions, so that the protocols can be compared with methods that get the same numbers.

    Attributes:
        threshold: suspicion from which on a step is called wrong.
    """

    threshold: float = 0.5

    async def culprit(self, incident: Incident) -> tuple[str | None, int | None]:
        """The most suspicious step and its speaker."""
        own = incident.blamable
        step = int(own[incident.suspicion[own].argmax()])
        return incident.agents[step], step

    async def wrong(self, incident: Incident, step: int) -> bool | None:
        """Whether the step's suspicion reaches the threshold."""
        return bool(incident.suspicion[step] >= self.threshold)

    async def in_first_half(self, incident: Incident, low: int, middle: int, high: int) -> bool | None:
        """Whether the most suspicious step of both halves is in the first."""
        q: NDArray[np.float64] = incident.suspicion
        return bool(q[low : middle + 1].max() >= q[middle + 1 : high + 1].max())


@dataclass
class ModelJudge:
    """A language model that reads the log.

    Attributes:
        model: who is asked.
        truth: the true answer of the task, put into each prompt; None leaves it out, as when a run has just failed.
        characters: most characters of the log in one prompt; each step is cut to its share of them.
        max_tokens: most tokens of a reply.
        seed: of the requests.
        calls: questions asked so far.
        unparsed: replies that could not be read so far.
        lost: calls that gave no reply so far, by kind of failure.
    """

    model: Model
    truth: str | None = None
    characters: int = 12_000
    max_tokens: int = 80
    seed: int = 0
    calls: int = 0
    unparsed: int = 0
    lost: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.characters < SHORTEST_STEP:
            raise InputError("characters", self.characters, f"Give at least {SHORTEST_STEP}.")

    async def culprit(self, incident: Incident) -> tuple[str | None, int | None]:
        """Agent and step as the model names them; each None where it cannot be read."""
        reply = await self._ask(
            incident, 0, incident.size - 1,
            "Which agent made the decisive mistake, and at which step? Reply in this form and with nothing else:\n"
            "Agent: NAME\nStep: NUMBER",
        )  # fmt: skip
        if reply is None:
            return None, None
        agent, step = read_agent(reply, incident.agents), read_step(reply)
        self.unparsed += agent is None or step is None
        return agent, step

    async def wrong(self, incident: Incident, step: int) -> bool | None:
        """What the model says of the last step it is shown."""
        reply = await self._ask(
            incident, 0, step,
            f"Does the last step, step {step} by {incident.agents[step]}, hold a mistake that makes the task fail? "
            "Reply only Yes or No.",
        )  # fmt: skip
        return self._read(reply, _YES_NO, ("yes",))

    async def in_first_half(self, incident: Incident, low: int, middle: int, high: int) -> bool | None:
        """Which of two parts of the log the model points at."""
        reply = await self._ask(
            incident, low, high,
            f"Is the decisive mistake in part A (steps {low} to {middle}) or in part B (steps {middle + 1} to {high})? "
            "Reply only A or B.",
        )  # fmt: skip
        return self._read(reply, _HALF, ("a", "first", "earlier"))

    async def _ask(self, incident: Incident, low: int, high: int, question: str) -> str | None:
        self.calls += 1
        request = Request(
            [{"role": "user", "content": f"{self._told(incident, low, high)}\n\n{question}"}],
            max_tokens=self.max_tokens, seed=self.seed,
        )  # fmt: skip
        try:
            return (await self.model.complete(request)).text
        except ModelError as error:
            self.lost[error.kind] = self.lost.get(error.kind, 0) + 1
            return None

    def _told(self, incident: Incident, low: int, high: int) -> str:
        talk = incident.conversation
        if talk is None:
            raise InputError("judge", self.model.spec, "A model needs the words of the run: give a conversation.")
        share = max(SHORTEST_STEP, self.characters // (high - low + 2))
        lines = [
            f"Step {s.index}, {s.agent or 'task'}: {' '.join(s.text.split())[:share]}"
            for s in talk.steps[low : high + 1]
        ]
        truth = f"\nThe right answer would have been: {self.truth}" if self.truth is not None else ""
        task = " ".join(talk.question.split())[:share]
        return f"A team of agents worked on this task and failed.\nTask: {task}{truth}\n\nLog:\n" + "\n".join(lines)

    def _read(self, reply: str | None, form: re.Pattern[str], meaning_yes: tuple[str, ...]) -> bool | None:
        found = form.search(reply) if reply is not None else None
        if found is None:
            self.unparsed += reply is not None
            return None
        return found.group().casefold() in meaning_yes


def read_agent(reply: str, agents: tuple[str, ...]) -> str | None:
    """The agent that a reply names: after "Agent:", else the only one whose name stands in it; None if neither."""
    known = {plain_name(agent): agent for agent in agents if agent}
    if (found := _AGENT.search(reply)) and (name := plain_name(found[1].strip(" .*\"'`"))) in known:
        return known[name]
    said = reply.casefold()
    named = [agent for name, agent in known.items() if re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", said)]
    return named[0] if len(named) == 1 else None


def read_step(reply: str) -> int | None:
    """The number after "Step"; a bare number is taken where it is the whole reply; None else."""
    if found := _STEP.search(reply):
        return int(found[1])
    bare = reply.strip(" .\n")
    return int(bare) if bare.isdecimal() else None
