"""The best answer so far: what a protocol hands back when the budget ends in the middle of it.

Every reply that ``asking.poll`` reads is filed here, in the innermost protocol at work. A context variable carries it,
because calls run in tasks of their own and protocols may call protocols.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Literal

from shoal.errors import BudgetExceeded
from shoal.tasks.problem import Question
from shoal.teams.outcome import Outcome
from shoal.teams.protocols.aggregation import Opinion, tally
from shoal.teams.session import Session

Unfinished = Literal["plurality", "last"]


@dataclass
class Standing:
    """The latest opinion of each agent, in the order in which they came.

    Attributes:
        question: what is worked on.
        unfinished: how they become one answer.
    """

    question: Question
    unfinished: Unfinished
    latest: dict[str, Opinion] = field(default_factory=dict)
    given: Counter[str] = field(default_factory=Counter)

    def file(self, opinion: Opinion) -> None:
        """Keep an opinion that holds an answer; it replaces the agent's earlier one."""
        if opinion.answer is None:
            return
        self.latest.pop(opinion.agent, None)
        self.latest[opinion.agent] = opinion
        self.given[opinion.agent] += 1

    def outcome(self) -> Outcome:
        """The best answer so far; its answer is None if nobody has given one."""
        opinions = list(self.latest.values())
        if not opinions:
            return Outcome(None, rounds=0)
        if self.unfinished == "last":
            opinions = opinions[-1:]
        result = tally(self.question, opinions)
        return Outcome(result.answer, result.text, result.event, result.votes, max(self.given.values()))

    def events(self) -> list[str]:
        """Events of the opinions that count."""
        return [opinion.event for opinion in self.latest.values()]


async def within_budget(
    question: Question, session: Session, unfinished: Unfinished, work: Callable[[], Awaitable[Outcome]]
) -> Outcome:
    """The outcome of the work, or the best answer so far, with a recorded stop, if the budget ends before it does."""
    with standing(question, unfinished) as so_far:
        try:
            return await work()
        except BudgetExceeded as stop:
            best = so_far.outcome()
            event = session.decide(
                "team", "stop", so_far.events(), reason="budget", detail=str(stop), answer=best.answer
            )
            return Outcome(best.answer, best.text, event, best.votes, best.rounds)


_CURRENT: ContextVar[Standing | None] = ContextVar("standing", default=None)


@contextmanager
def standing(question: Question, unfinished: Unfinished) -> Iterator[Standing]:
    """Collect the opinions given inside the block."""
    current = Standing(question, unfinished)
    token = _CURRENT.set(current)
    try:
        yield current
    finally:
        _CURRENT.reset(token)
        outer = _CURRENT.get()
        if outer is not None:  # what was said inside also counts for the work around it
            for opinion in current.latest.values():
                outer.file(opinion)


def file_opinion(opinion: Opinion) -> None:
    """File an opinion in the innermost protocol at work; does nothing outside of one."""
    current = _CURRENT.get()
    if current is not None:
        current.file(opinion)
