"""Counting things of one kind among others."""

from __future__ import annotations

import random
from typing import ClassVar

from pydantic import Field

from shoal.tasks.catalogue import TASKS
from shoal.tasks.generated.vocabulary import KINDS_OF_THINGS, NUMBERS, article, joined, plural
from shoal.tasks.generation import Draft, GeneratedTask
from shoal.tasks.problem import AnswerKind


@TASKS.register("counting")
class Counting(GeneratedTask):
    """A list of things of two kinds; those of one kind are to be counted."""

    task: ClassVar[str] = "counting"
    title: ClassVar[str] = "count the things of one kind"
    kinds: ClassVar[tuple[AnswerKind, ...]] = ("number",)
    items: int = Field(6, ge=2, le=14, description="entries of the list")
    most: int = Field(4, ge=1, le=12, description="most pieces of an entry")

    def draw(self, rng: random.Random) -> Draft:
        """The lures count everything, count entries in place of pieces, or are off by a little."""
        asked, other = rng.sample(sorted(KINDS_OF_THINGS), 2)
        wanted = rng.randint(max(1, self.items - 9), min(self.items, 9))
        names = rng.sample(KINDS_OF_THINGS[asked], wanted)
        names += rng.sample(KINDS_OF_THINGS[other], min(self.items - wanted, 10))
        counts = [rng.randint(1, self.most) for _ in names]
        total = sum(counts[:wanted])
        order = list(range(len(names)))
        rng.shuffle(order)
        shown = [
            article(names[at]) if counts[at] == 1 else f"{NUMBERS[counts[at]]} {plural(names[at])}" for at in order
        ]
        near = (sum(counts), wanted, total + 1, total - 1, total + 2, sum(counts[wanted:]))
        return Draft(
            f"I have {joined(shown)}. How many {asked} do I have?",
            str(total),
            [str(wrong) for wrong in near if wrong > 0],
            "easy" if self.items <= 3 else "medium" if self.items <= 8 else "hard",
        )
