"""Three of six digits that add up to a number: easier to check than to find.

A proposed triple is checked by one sum; finding it means to weigh twenty triples against each other. One layer of
attention can match pairs but not triples (Sanford, Hsu and Telgarsky, arXiv 2306.02896), so a small network that writes
its answer at once has to guess where one that is shown a candidate can know.
"""

from __future__ import annotations

import random
from collections import Counter
from itertools import combinations
from typing import ClassVar

from pydantic import Field

from shoal.tasks.generation import Draft, GeneratedTask
from shoal.tasks.problem import AnswerKind


class Triples(GeneratedTask):
    """Which three of some digits (1 to 9) make a sum; only one triple does. Some 20,000 problems of six digits."""

    task: ClassVar[str] = "triples"
    title: ClassVar[str] = "three digits with a given sum"
    kinds: ClassVar[tuple[AnswerKind, ...]] = ("number",)
    digits: int = Field(6, ge=4, le=12, description="digits to choose from")

    def draw(self, rng: random.Random) -> Draft:
        """Digits in ascending order, so that a problem has one text; the lures miss the sum by little."""
        while True:
            given = sorted(rng.choices(range(1, 10), k=self.digits))
            triples = sorted(set(combinations(given, 3)))
            many = Counter(map(sum, triples))
            chosen = rng.choice(triples)
            if many[sum(chosen)] == 1:
                break
        near = sorted((t for t in triples if t != chosen), key=lambda t: abs(sum(t) - sum(chosen)))
        spelled = ["".join(map(str, t)) for t in (chosen, *near)]
        text = f"{''.join(map(str, given))}: {sum(chosen)}"
        return Draft(text, spelled[0], spelled[1:], "medium" if self.digits <= 6 else "hard")
