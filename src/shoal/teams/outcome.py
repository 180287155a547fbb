"""What a team hands back, and the type of every team."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from shoal.tasks.problem import Question
from shoal.teams.agent import Agent
from shoal.teams.session import Session


@dataclass(frozen=True, slots=True)
class Outcome:
    """A team's answer to one question.

    Attributes:
        answer: the extracted answer, or None if nobody gave one that can be read.
        text: the reply or summary it was read from.
        event: id of the trace event that settled it.
        votes: weight behind each answer that was considered, where there was a vote.
        rounds: rounds of talk that were held.
    """

    answer: str | None
    text: str = ""
    event: str = ""
    votes: dict[str, float] = field(default_factory=dict)
    rounds: int = 1


class Team(Protocol):
    """An async function from a question to an outcome; options are keyword-only and have defaults."""

    async def __call__(self, question: Question, agents: Sequence[Agent], session: Session, **options: Any) -> Outcome:
        """Work on the question with these agents."""
        ...
