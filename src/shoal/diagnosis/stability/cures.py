"""Cures of drift for live teams (arXiv 2601.04170): consolidate the memory, route by stability, anchor by exemplars.

Each is a part of its own: a history that is summarised, a choice among agents, and examples for a prompt. The periodic
reset is the cheap baseline that the paper lacks. The synthetic team uses the same constants.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from shoal.diagnosis.stability.index import THRESHOLD
from shoal.errors import InputError
from shoal.teams.agent import Agent
from shoal.teams.session import Session

EVERY = 50
"""Turns between two consolidations."""
READS = 100
"""Interactions that a consolidation reads."""
MOST_EXEMPLARS = 5


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn that an agent remembers: what it was asked, what it said, and the event that holds it."""

    asked: str
    said: str
    event: str = ""


@dataclass
class History:
    """What an agent carries from turn to turn.

    Attributes:
        turns: remembered in full, the oldest first.
        notes: lessons of the turns that were consolidated away.
        count: turns ever taken.
    """

    turns: list[Turn] = field(default_factory=list)
    notes: str = ""
    count: int = 0

    def add(self, turn: Turn) -> None:
        """Remember one turn."""
        self.turns.append(turn)
        self.count += 1

    def clear(self) -> None:
        """Forget everything: the baseline prompt is all that is left."""
        self.turns, self.notes = [], ""

    def text(self, most: int | None = None) -> str:
        """The notes and the last turns (all without ``most``), as a prompt shows them; empty if there are none."""
        shown = self.turns if most is None else self.turns[max(0, len(self.turns) - most) :]
        parts = [f"Notes from earlier work: {self.notes}"] if self.notes else []
        return "\n\n".join([*parts, *(f"Task: {t.asked}\nReply: {t.said}" for t in shown)])


@dataclass(frozen=True)
class Consolidation:
    """Episodic memory consolidation (EMC): a summariser reads the last turns, keeps lessons, drops the rest.

    Attributes:
        every: turns between two consolidations.
        reads: turns that are read.
        longest: tokens of the notes.
    """

    every: int = EVERY
    reads: int = READS
    longest: int = 96

    def __post_init__(self) -> None:
        if min(self.every, self.reads, self.longest) < 1:
            raise InputError("every, reads, longest", (self.every, self.reads, self.longest), "Give at least 1 each.")

    def due(self, history: History) -> bool:
        """Whether it is time and there is anything to read."""
        return history.count % self.every == 0 and bool(history.turns)

    async def consolidate(self, history: History, agent: Agent, session: Session) -> None:
        """Replace the turns of a history by notes that the agent writes; a failed call leaves it as it is."""
        read = History(history.turns[-self.reads :], history.notes)
        prompt = (
            f"{read.text()}\n\nWrite down in at most three short sentences what helps with tasks like these. "
            "Leave out what belongs to one task only."
        )
        reply = await session.ask(
            agent, prompt, parents=[t.event for t in read.turns if t.event][-20:], max_tokens=self.longest
        )
        if not reply.failed:
            history.turns, history.notes = [], reply.text.strip()
            session.decide(agent.name, "consolidate", [reply.event], turns=len(read.turns))


@dataclass(frozen=True)
class StabilityRouting:
    """Drift-aware routing (DAR): agents score fitness times stability; those below the threshold are reset.

    Attributes:
        threshold: stability index below which an agent is reset.
    """

    threshold: float = THRESHOLD

    def choose(self, fitness: Mapping[str, float], stability: Mapping[str, float]) -> str:
        """The agent of the greatest fitness times stability (1 where it is unknown); the first of equal ones.

        Raises:
            InputError: nobody to choose from.
        """
        if not fitness:
            raise InputError("fitness", "no agents", "Give the fitness of at least one agent.")
        return max(fitness, key=lambda name: fitness[name] * stability.get(name, 1.0))

    def unstable(self, stability: Mapping[str, float]) -> list[str]:
        """Agents to reset: clear their context, so that the baseline prompt is all they have."""
        return [name for name, index in stability.items() if index < self.threshold]


@dataclass(frozen=True)
class Anchoring:
    """Adaptive behavioural anchoring (ABA): examples from the baseline period in the prompt, more as drift grows.

    Attributes:
        threshold: stability index from which the most examples are shown.
        most: examples at that point.
    """

    threshold: float = THRESHOLD
    most: int = MOST_EXEMPLARS

    def count(self, index: float) -> int:
        """How many examples: ceil(most * clip((1 - index) / (1 - threshold), 0, 1))."""
        wanted = self.most * min(1.0, max(0.0, (1.0 - index) / (1.0 - self.threshold)))
        return math.ceil(wanted - 1e-9)  # 5 * 0.2 is a little more than 1 here

    def text(self, index: float, baseline: Sequence[Turn]) -> str:
        """The examples as a prompt shows them: the last ones of the baseline; empty if there are none to show."""
        shown = baseline[len(baseline) - min(self.count(index), len(baseline)) :]
        return "\n\n".join(f"Example\nTask: {t.asked}\nReply: {t.said}" for t in shown)


@dataclass(frozen=True)
class PeriodicReset:
    """Forget everything at fixed times, whatever was measured: every ``every`` turns."""

    every: int = 2 * EVERY

    def due(self, history: History) -> bool:
        """Whether it is time and there is anything to forget."""
        return history.count % self.every == 0 and bool(history.turns or history.notes)
