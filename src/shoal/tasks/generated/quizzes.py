"""Multiple choice: questions on several topics with four options."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import ClassVar

from pydantic import Field

from shoal.tasks.catalogue import TASKS
from shoal.tasks.generated.vocabulary import PEOPLE, WORDS
from shoal.tasks.generation import Draft, GeneratedTask
from shoal.tasks.problem import AnswerKind

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_LETTERS = "ABCDEFGHIJ"
Quiz = tuple[str, str, Sequence[str], str]
"""Question, right answer, wrong answers (best first), difficulty."""


@TASKS.register("multiple-choice")
class MultipleChoice(GeneratedTask):
    """Questions on products, divisibility, sequences, the calendar, ages and spelling."""

    task: ClassVar[str] = "multiple-choice"
    title: ClassVar[str] = "multiple choice on six topics"
    kinds: ClassVar[tuple[AnswerKind, ...]] = ("choice",)
    choices: int = Field(4, ge=2, le=6, description="options of each question")
    topic: str = Field(
        "any",
        pattern="^(any|product|divisibility|sequence|calendar|ages|spelling)$",
        description="one topic, or any",
    )

    def draw(self, rng: random.Random) -> Draft:
        """The right option stands at a random place; the other labels are lures, the most tempting first."""
        topic = rng.choice(sorted(_TOPICS)) if self.topic == "any" else self.topic
        text, right, wrong, difficulty = _TOPICS[topic](rng)
        others = list(dict.fromkeys(option for option in wrong if option != right))[: self.choices - 1]
        order = [right, *others]
        rng.shuffle(order)
        labels = tuple(_LETTERS[: len(order)])
        rows = [f"({label}) {option}" for label, option in zip(labels, order, strict=True)]
        return Draft(
            "\n".join([text, *rows]),
            labels[order.index(right)],
            [labels[order.index(option)] for option in others],
            difficulty,
            labels,
            tags={"topic": topic},
        )


def _product(rng: random.Random) -> Quiz:
    a, b = rng.randint(3, 19), rng.randint(3, 19)
    right = a * b
    wrong = [right + a, right - b, right + 10, right - 1, a + b, right + 2 * a]
    return f"What is {a} × {b}?", str(right), [str(w) for w in wrong], "easy" if min(a, b) < 10 else "medium"


def _divisibility(rng: random.Random) -> Quiz:
    divisor = rng.choice((3, 4, 6, 7, 8, 9, 11))
    right = divisor * rng.randint(4, 30)
    wrong = [w for w in rng.sample(range(right - 12, right + 13), 25) if w % divisor]
    return f"Which of these numbers is divisible by {divisor}?", str(right), [str(w) for w in wrong], "medium"


def _sequence(rng: random.Random) -> Quiz:
    start, step, growth = rng.randint(1, 20), rng.randint(2, 9), rng.choice((0, 0, 1, 2))
    terms = [start]
    for place in range(5):
        terms.append(terms[-1] + step + growth * place)
    right = terms.pop()
    wrong = [terms[-1] + step, right + 1, right + step, right - 1, right + 2, right - 2]
    shown = ", ".join(map(str, terms))
    return f"Which number comes next: {shown}?", str(right), [str(w) for w in wrong], "hard" if growth else "easy"


def _calendar(rng: random.Random) -> Quiz:
    today, later = rng.randrange(7), rng.randint(3, 60)
    right = (today + later) % 7
    wrong = [_DAYS[(right + shift) % 7] for shift in (1, 6, 2, 5, 3, 4)]
    text = f"Today is {_DAYS[today]}. Which day of the week is it in {later} days?"
    return text, _DAYS[right], wrong, "easy" if later <= 7 else "medium"


def _ages(rng: random.Random) -> Quiz:
    first, second, third = rng.sample(PEOPLE, 3)
    base, older, younger = rng.randint(10, 40), rng.randint(2, 12), rng.randint(1, 8)
    right = base + older - younger
    text = (
        f"{first} is {base} years old. {second} is {older} years older than {first}. "
        f"{third} is {younger} years younger than {second}. How old is {third}?"
    )
    wrong = [base + older + younger, base + older, base - younger, right + 1, right - 1, right + 2]
    return text, str(right), [str(w) for w in wrong], "medium"


def _spelling(rng: random.Random) -> Quiz:
    words = sorted(rng.sample(WORDS, 7))
    return "Which of these words comes first in the alphabet?", words[0], words[1:], "easy"


_TOPICS: dict[str, Callable[[random.Random], Quiz]] = {
    "product": _product,
    "divisibility": _divisibility,
    "sequence": _sequence,
    "calendar": _calendar,
    "ages": _ages,
    "spelling": _spelling,
}
