"""Arithmetic of a chosen length and size."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from shoal.tasks.catalogue import TASKS
from shoal.tasks.generation import Draft, GeneratedTask
from shoal.tasks.problem import AnswerKind


@TASKS.register("arithmetic")
class Arithmetic(GeneratedTask):
    """Expressions of plus, minus and times, with the usual precedence."""

    task: ClassVar[str] = "arithmetic"
    title: ClassVar[str] = "expressions of plus, minus and times"
    kinds: ClassVar[tuple[AnswerKind, ...]] = ("number",)
    digits: int = Field(2, ge=1, le=6, description="most digits of each number")
    steps: int = Field(2, ge=1, le=10, description="operations")
    times: bool = Field(True, description="whether products occur; their second factor has one digit")

    def draw(self, rng: random.Random) -> Draft:
        """One expression; the lures are typical slips."""
        signs = [rng.choice("+-*" if self.times else "+-") for _ in range(self.steps)]
        numbers = [rng.randrange(1, 10**self.digits)]
        numbers += [rng.randint(2, 9) if sign == "*" else rng.randrange(1, 10**self.digits) for sign in signs]
        total = evaluate(numbers, signs)
        effort = self.digits * self.steps + 2 * signs.count("*")
        return Draft(
            f"What is {spelled(numbers, signs)}?",
            str(total),
            [str(wrong) for wrong in _slips(numbers, signs, total)],
            "easy" if effort <= 2 else "medium" if effort <= 5 else "hard",
        )


def evaluate(numbers: Sequence[int], signs: Sequence[str]) -> int:
    """The value of numbers joined by "+", "-" and "*", products first."""
    terms = [numbers[0]]
    for sign, value in zip(signs, numbers[1:], strict=True):
        if sign == "*":
            terms[-1] *= value
        else:
            terms.append(value if sign == "+" else -value)
    return sum(terms)


def spelled(numbers: Sequence[int], signs: Sequence[str]) -> str:
    """The expression as text, with × for times."""
    return " ".join([str(numbers[0]), *(f"{s.replace('*', '×')} {n}" for s, n in zip(signs, numbers[1:], strict=True))])


def _slips(numbers: Sequence[int], signs: Sequence[str], total: int) -> list[int]:
    """Working from left to right, taking a sign wrongly, losing a carry, leaving the last step out."""
    running = numbers[0]
    for sign, value in zip(signs, numbers[1:], strict=True):
        running = running * value if sign == "*" else running + (value if sign == "+" else -value)
    turned = [{"+": "-", "-": "+", "*": "+"}[signs[0]], *signs[1:]]
    return [
        running,
        total + 10,
        evaluate(numbers, turned),
        total - 1,
        evaluate(numbers[:-1], signs[:-1]),
        total - 10,
        total + 1,
    ]
