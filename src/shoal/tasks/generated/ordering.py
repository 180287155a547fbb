"""Putting things in order: words by the alphabet, people by what is said about pairs of them."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import ClassVar

from pydantic import Field

from shoal.tasks.catalogue import TASKS
from shoal.tasks.generated.vocabulary import PEOPLE, WORDS
from shoal.tasks.generation import Draft, GeneratedTask
from shoal.tasks.problem import AnswerKind

_RELATIONS = (
    ("taller", "shorter", "tallest", "shortest"),
    ("older", "younger", "oldest", "youngest"),
    ("faster", "slower", "fastest", "slowest"),
    ("richer", "poorer", "richest", "poorest"),
)


@TASKS.register("sorting")
class Sorting(GeneratedTask):
    """Words to be sorted alphabetically."""

    task: ClassVar[str] = "sorting"
    title: ClassVar[str] = "sort words alphabetically"
    kinds: ClassVar[tuple[AnswerKind, ...]] = ("words",)
    words: int = Field(5, ge=2, le=30, description="words to sort")

    def draw(self, rng: random.Random) -> Draft:
        """The lures have two words exchanged, or keep the given order."""
        given = rng.sample(WORDS, self.words)
        order = sorted(given)
        return Draft(
            f"Sort these words alphabetically: {' '.join(given)}",
            " ".join(order),
            [*_exchanges(rng, order), " ".join(given), " ".join(reversed(order))],
            "easy" if self.words <= 3 else "medium" if self.words <= 8 else "hard",
        )


@TASKS.register("ranking")
class Ranking(GeneratedTask):
    """People to be ranked from statements about neighbours in the order, which are shuffled and turned around."""

    task: ClassVar[str] = "ranking"
    title: ClassVar[str] = "rank people from statements about pairs"
    kinds: ClassVar[tuple[AnswerKind, ...]] = ("words",)
    people: int = Field(4, ge=2, le=12, description="people to rank")

    def draw(self, rng: random.Random) -> Draft:
        """Neighbouring pairs determine the order; the lures have two people exchanged, or are reversed."""
        order = rng.sample(PEOPLE, self.people)
        more, less, most, least = rng.choice(_RELATIONS)
        statements = [
            f"{a} is {more} than {b}." if rng.random() < 0.5 else f"{b} is {less} than {a}." for a, b in pairwise(order)
        ]
        rng.shuffle(statements)
        return Draft(
            f"{' '.join(statements)} List all of them from the {most} to the {least}.",
            " ".join(order),
            [*_exchanges(rng, order), " ".join(reversed(order))],
            "easy" if self.people <= 3 else "medium" if self.people <= 5 else "hard",
        )


def _exchanges(rng: random.Random, order: list[str], most: int = 6) -> list[str]:
    """The order with two neighbours exchanged, at up to ``most`` random places."""
    places = list(range(len(order) - 1))
    rng.shuffle(places)
    wrong = []
    for at in places[:most]:
        swapped = list(order)
        swapped[at], swapped[at + 1] = swapped[at + 1], swapped[at]
        wrong.append(" ".join(swapped))
    return wrong
