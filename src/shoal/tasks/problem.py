"""Problems with exact checkers.

A team sees the ``Question``; the answer stays in the ``Problem`` that holds it, so that it cannot leak into a prompt,
a router or a vote.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

AnswerKind = Literal["number", "choice", "boolean", "words", "text"]


@dataclass(frozen=True, slots=True)
class Question:
    """What an agent may see of a problem.

    Attributes:
        id: unique in its task set, stable across runs.
        text: the full prompt of the problem, options included.
        kind: the form of the answer, which decides how it is extracted and compared.
        options: labels of the valid answers for choices ("A", "B", ...); empty otherwise.
        sheets: private texts by agent position ("0", "1", ...) for tasks where each agent knows a part.
        tags: facts for routing and for breaking results down ("benchmark", "difficulty"); never the answer.
    """

    id: str
    text: str
    kind: AnswerKind = "text"
    options: tuple[str, ...] = ()
    sheets: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Problem:
    """A question and its answer."""

    question: Question
    answer: str
    lures: tuple[str, ...] = ()
    """Plausible wrong answers, for scripted agents that err."""

    def check(self, answer: str | None) -> bool:
        """Whether an extracted answer equals the right one under the rules of the question's kind."""
        from shoal.tasks.answers import same_answer

        return answer is not None and same_answer(self.question, answer, self.answer)


class Task(Protocol):
    """A named source of problems."""

    @property
    def name(self) -> str:
        """The spec that opens it."""
        ...

    @property
    def title(self) -> str:
        """What it is, in a few words."""
        ...

    def problems(self, count: int, seed: int) -> Sequence[Problem]:
        """``count`` problems, distinct where the task has that many; the same (count, seed) gives the same problems.

        A file of real problems gives those it holds and no more.
        """
        ...


AnswerKey = Mapping[str, Problem]
"""Problems by question id: what a scripted agent with known competence is built from."""


def answer_key(problems: Sequence[Problem]) -> dict[str, Problem]:
    """The key of a problem set."""
    return {problem.question.id: problem for problem in problems}


def tag(question: Question, name: str, default: Any = "") -> Any:
    """One tag of a question."""
    return question.tags.get(name, default)
