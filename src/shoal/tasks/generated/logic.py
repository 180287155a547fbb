"""Truth values of nested expressions."""

from __future__ import annotations

import random
from typing import ClassVar

from pydantic import Field

from shoal.tasks.catalogue import TASKS
from shoal.tasks.generation import Draft, GeneratedTask
from shoal.tasks.problem import AnswerKind


@TASKS.register("boolean")
class Booleans(GeneratedTask):
    """Expressions of not, and, or; brackets settle the order."""

    task: ClassVar[str] = "boolean"
    title: ClassVar[str] = "truth values of nested expressions"
    kinds: ClassVar[tuple[AnswerKind, ...]] = ("boolean",)
    depth: int = Field(3, ge=1, le=7, description="levels of brackets and negations")

    def draw(self, rng: random.Random) -> Draft:
        """The truth value is drawn first, so that both are as frequent."""
        wanted = rng.random() < 0.5
        while True:
            text, value = _expression(rng, self.depth)
            if value == wanted:
                break
        return Draft(
            f"Is this expression True or False? {text}",
            str(value),
            [str(not value)],
            "easy" if self.depth <= 1 else "medium" if self.depth <= 3 else "hard",
        )


def _expression(rng: random.Random, depth: int) -> tuple[str, bool]:
    if depth == 0:
        value = rng.random() < 0.5
        return str(value), value
    kind = rng.choice(("not", "and", "or", "and", "or"))
    left, a = _expression(rng, depth - 1)
    if kind == "not":
        return f"not ({left})" if depth > 1 else f"not {left}", not a
    right, b = _expression(rng, rng.randrange(depth))
    return f"({left} {kind} {right})", (a and b) if kind == "and" else (a or b)
