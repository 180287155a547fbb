"""What all generated tasks share: seeded drawing, distinctness, ids and settings."""

from __future__ import annotations

import hashlib
import random
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from shoal.runs.seeds import derive
from shoal.tasks.answers import canonical
from shoal.tasks.problem import AnswerKind, Problem, Question

_TRIES = 2000
"""Draws without a new problem after which a task counts as used up (missing one of 100 has chance 2e-9)."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A problem before it has its id.

    Attributes:
        text: the question.
        answer: the right answer.
        lures: plausible wrong answers; those equal to the answer are dropped.
        difficulty: "easy", "medium" or "hard".
        options: labels of the valid answers, for choices.
        sheets: private texts by agent position.
        tags: more facts for routing.
    """

    text: str
    answer: str
    lures: Sequence[str] = ()
    difficulty: str = "easy"
    options: tuple[str, ...] = ()
    sheets: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


class GeneratedTask(BaseModel):
    """A task whose problems are drawn; its fields are its settings.

    Class attributes:
        task: the name it is registered under.
        title: what it is, in a few words.
        kinds: forms of its answers; a task with one gives it to all its questions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    task: ClassVar[str]
    title: ClassVar[str]
    kinds: ClassVar[tuple[AnswerKind, ...]]

    @property
    def name(self) -> str:
        """The spec that opens this task: its name and the settings that differ from the defaults."""
        changed = {k: v for k, v in self.model_dump().items() if v != type(self).model_fields[k].default}
        settings = ",".join(f"{key}={value}" for key, value in changed.items())
        return f"{self.task}:{settings}" if settings else self.task

    @abstractmethod
    def draw(self, rng: random.Random) -> Draft:
        """One problem. May repeat itself; ``problems`` keeps what is new."""

    def problems(self, count: int, seed: int) -> Sequence[Problem]:
        """``count`` problems; a longer list with the same seed starts with the shorter one.

        They are distinct as long as the task has that many; then it starts over, and the ids of repeats end in -2,
        -3, and so on.
        """
        rng = random.Random(derive(seed, "task", self.name))
        made: list[Problem] = []
        seen: set[str] = set()
        lap = 1
        while len(made) < count:
            for _ in range(_TRIES):
                draft = self.draw(rng)
                code = question_code(draft.text, draft.sheets)
                if code not in seen:
                    break
            else:
                seen.clear()
                lap += 1
            seen.add(code)
            made.append(self._finish(draft, f"{self.task}-{code}" + (f"-{lap}" if lap > 1 else "")))
        return made

    def _finish(self, draft: Draft, identity: str) -> Problem:
        question = Question(
            id=identity,
            text=draft.text,
            kind=self.kinds[0],
            options=draft.options,
            sheets=dict(draft.sheets),
            tags={"benchmark": self.task, "difficulty": draft.difficulty, **draft.tags},
        )
        return Problem(question, draft.answer, distinct_lures(question, draft.answer, draft.lures))


def question_code(text: str, sheets: Mapping[str, str] | None = None) -> str:
    """Twelve hex digits that depend on what is asked and on nothing else."""
    content = "\x1f".join([text, *(f"{agent}\x1e{sheet}" for agent, sheet in sorted((sheets or {}).items()))])
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def distinct_lures(question: Question, answer: str, lures: Iterable[str]) -> tuple[str, ...]:
    """The lures in order, without those that equal the answer or an earlier one."""
    seen = {canonical(question, answer)}
    kept = []
    for lure in lures:
        key = canonical(question, lure)
        if key not in seen:
            seen.add(key)
            kept.append(lure)
    return tuple(kept)
