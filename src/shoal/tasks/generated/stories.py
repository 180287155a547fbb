"""Word problems: a story in which an amount changes a few times."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from pydantic import Field

from shoal.tasks.catalogue import TASKS
from shoal.tasks.generated.vocabulary import PEOPLE
from shoal.tasks.generation import Draft, GeneratedTask
from shoal.tasks.problem import AnswerKind


@dataclass(frozen=True, slots=True)
class _Story:
    """Sentences with blanks: {who}, {n} for an amount, {k} for a number of portions."""

    opening: str
    gain: tuple[str, ...]
    loss: tuple[str, ...]
    portions: tuple[str, ...]
    double: str
    halve: str
    question: str


_STORIES = (
    _Story(
        "{who} has {n} marbles.",
        ("{who} finds {n} more marbles in a drawer.", "A friend gives {who} {n} marbles."),
        ("{who} loses {n} marbles on the way home.", "{who} gives {n} marbles to a sister."),
        ("{who} buys {k} bags with {n} marbles in each.",),
        "Then {who} wins so many games that the number of marbles doubles.",
        "Then {who} gives half of the marbles away.",
        "How many marbles does {who} have now?",
    ),
    _Story(
        "A bus leaves the depot with {n} passengers; {who} drives it.",
        ("At the next stop {n} people get on.", "At the market {n} more passengers get on."),
        ("At the next stop {n} people get off.", "At the school {n} passengers get off."),
        ("At the station {k} groups of {n} people get on.",),
        "At the stadium the number of passengers doubles.",
        "At the harbour half of the passengers get off.",
        "How many passengers are on the bus then?",
    ),
    _Story(
        "{who} has {n} dollars.",
        ("{who} earns {n} dollars for mowing a lawn.", "{who} gets {n} dollars as a present."),
        ("{who} pays {n} dollars for a book.", "{who} spends {n} dollars on lunch."),
        ("{who} sells {k} cakes for {n} dollars each.",),
        "An aunt then doubles the money.",
        "{who} then puts half of the money into a bank.",
        "How many dollars does {who} have in hand?",
    ),
    _Story(
        "{who} starts the day with {n} loaves of bread in the bakery.",
        ("Another {n} loaves come out of the oven.", "A colleague brings {n} loaves."),
        ("In the morning {n} loaves are sold.", "A restaurant takes {n} loaves."),
        ("{who} bakes {k} trays of {n} loaves.",),
        "A second delivery doubles the number of loaves.",
        "By noon half of the loaves are sold.",
        "How many loaves are left?",
    ),
    _Story(
        "The library has {n} books about ships, says {who}.",
        ("It buys {n} more of them.", "A reader donates {n} such books."),
        ("{n} of them are lent out.", "{n} of them are sent away for repair."),
        ("It receives {k} boxes with {n} such books each.",),
        "A large donation doubles their number.",
        "Half of them are moved to another branch.",
        "How many books about ships are in the library now?",
    ),
    _Story(
        "{who} picks {n} apples.",
        ("A neighbour adds {n} apples.", "{who} picks {n} more apples in the afternoon."),
        ("{who} uses {n} apples for a pie.", "Wasps spoil {n} of the apples."),
        ("The children bring {k} baskets of {n} apples each.",),
        "A good tree then doubles the number of apples.",
        "Half of the apples are sold at the market.",
        "How many apples does {who} have left?",
    ),
)


@dataclass(frozen=True, slots=True)
class _Step:
    sentence: str
    change: Callable[[int], int]
    slip: Callable[[int], int]
    """What a reader does who takes the step wrongly."""


@TASKS.register("word-problems")
class WordProblems(GeneratedTask):
    """Stories in one to four steps with small whole numbers."""

    task: ClassVar[str] = "word-problems"
    title: ClassVar[str] = "word problems in one to four steps"
    kinds: ClassVar[tuple[AnswerKind, ...]] = ("number",)
    steps: int = Field(0, ge=0, le=4, description="steps of each story; 0 draws from 1 to 4")
    largest: int = Field(20, ge=5, le=1000, description="largest number that a story states")

    def draw(self, rng: random.Random) -> Draft:
        """A story whose amount never falls below zero; the lures skip a step or take one wrongly."""
        story, who = rng.choice(_STORIES), rng.choice(PEOPLE)
        start = amount = rng.randint(2, self.largest)
        count = self.steps or rng.randint(1, 4)
        steps: list[_Step] = []
        for _ in range(count):
            step = self._step(rng, story, amount)
            steps.append(step)
            amount = step.change(amount)
        sentences = [story.opening.format(who=who, n=start), *(s.sentence.format(who=who) for s in steps)]
        return Draft(
            " ".join([*sentences, story.question.format(who=who)]),
            str(amount),
            [str(wrong) for wrong in _misreadings(start, steps, amount)],
            "easy" if count == 1 else "medium" if count == 2 else "hard",
            tags={"steps": str(count)},
        )

    def _step(self, rng: random.Random, story: _Story, amount: int) -> _Step:
        kinds = ["gain", "portions", "double"]
        kinds += ["loss", "loss"] if amount >= 2 else []
        kinds += ["halve"] if amount >= 4 and amount % 2 == 0 else []
        kind = rng.choice(kinds)
        if kind == "double":
            return _Step(story.double, lambda held: 2 * held, lambda held: held + 2)
        if kind == "halve":
            return _Step(story.halve, lambda held: held // 2, lambda held: held - 2)
        if kind == "portions":
            k, n = rng.randint(2, 5), rng.randint(2, max(2, self.largest // 2))
            sentence = rng.choice(story.portions).replace("{n}", str(n)).replace("{k}", str(k))
            return _Step(sentence, lambda held: held + k * n, lambda held: held + k + n)
        if kind == "gain":
            n = rng.randint(2, self.largest)
            sentence = rng.choice(story.gain).replace("{n}", str(n))
            return _Step(sentence, lambda held: held + n, lambda held: held - n)
        n = rng.randint(1, min(amount - 1, self.largest))
        return _Step(rng.choice(story.loss).replace("{n}", str(n)), lambda held: held - n, lambda held: held + n)


def _misreadings(start: int, steps: Sequence[_Step], right: int) -> list[int]:
    """The last step taken wrongly or skipped, then the earlier ones, then results that are close."""
    wrong = []
    for place in range(len(steps) - 1, -1, -1):
        taken, skipped = start, start
        for index, step in enumerate(steps):
            taken = step.slip(taken) if index == place else step.change(taken)
            skipped = skipped if index == place else step.change(skipped)
        wrong += [taken, skipped]
    return [value for value in wrong if value >= 0] + [right + 1, right + 10, right + 2]
