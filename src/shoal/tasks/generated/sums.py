"""Tasks that a very small language model can do: sums of digits, the larger of two, copying a value."""

from __future__ import annotations

import random
from typing import ClassVar

from pydantic import Field

from shoal.tasks.catalogue import TASKS
from shoal.tasks.generated.vocabulary import COLOURS, CONTAINERS
from shoal.tasks.generation import Draft, GeneratedTask
from shoal.tasks.problem import AnswerKind


@TASKS.register("sums")
class Sums(GeneratedTask):
    """Sums of one-digit numbers: a model of 135 M parameters gets about half of the two-term ones right."""

    task: ClassVar[str] = "sums"
    title: ClassVar[str] = "sums of one-digit numbers"
    kinds: ClassVar[tuple[AnswerKind, ...]] = ("number",)
    terms: int = Field(2, ge=2, le=6, description="numbers to add")

    def draw(self, rng: random.Random) -> Draft:
        """Terms from 1 to 9."""
        terms = [rng.randint(1, 9) for _ in range(self.terms)]
        total = sum(terms)
        near = (total + 1, total - 1, total + 10, total - terms[-1], total + 2)
        return Draft(
            f"What is {' + '.join(map(str, terms))}?",
            str(total),
            [str(wrong) for wrong in near],
            # From the terms, not the total: routers see tags, and the total is the answer.
            "easy" if max(terms) <= 5 else "medium",
        )


@TASKS.register("choose")
class Choose(GeneratedTask):
    """The larger of two numbers."""

    task: ClassVar[str] = "choose"
    title: ClassVar[str] = "the larger of two numbers"
    kinds: ClassVar[tuple[AnswerKind, ...]] = ("number",)
    digits: int = Field(1, ge=1, le=6, description="most digits of each number")

    def draw(self, rng: random.Random) -> Draft:
        """Two different numbers in either order; the smaller one is the lure."""
        first, second = rng.sample(range(1, 10**self.digits), 2)
        close = abs(first - second) <= 10 ** (self.digits - 1)
        return Draft(
            f"Which number is larger, {first} or {second}?",
            str(max(first, second)),
            [str(min(first, second))],
            "medium" if close else "easy",
        )


@TASKS.register("copy")
class Copy(GeneratedTask):
    """A value that the prompt states is to be repeated."""

    task: ClassVar[str] = "copy"
    title: ClassVar[str] = "copy a value from the prompt"
    kinds: ClassVar[tuple[AnswerKind, ...]] = ("number",)
    digits: int = Field(3, ge=2, le=8, description="digits of the value")

    def draw(self, rng: random.Random) -> Draft:
        """One sentence with the value, one that asks for it."""
        value = str(rng.randrange(10 ** (self.digits - 1), 10**self.digits))
        place = f"{rng.choice(COLOURS)} {rng.choice(CONTAINERS)}"
        slips = [value[:at] + value[at + 1] + value[at] + value[at + 2 :] for at in range(len(value) - 1)]
        near = [str(int(value) + step) for step in (1, -1, 10, -10)]
        return Draft(
            f"The number of the {place} is {value}. What is the number of the {place}?",
            value,
            [slip for slip in slips if slip[0] != "0"] + near,
            "easy" if self.digits <= 4 else "medium",
        )
