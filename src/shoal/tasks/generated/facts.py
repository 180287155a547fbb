"""Questions about a small knowledge base that only tools can read: whose box is which, its number, its place.

A base is drawn from a number: people, each with one box; boxes, each with a number and a place. All have names such as
K7. A page is found by its title, which is a name and a letter that no question tells (K7b), so that a page must be
searched for before it can be visited. A question of one hop names the box, one of two hops who has it. Names and texts
are this short because the agents that are trained on them are networks over characters.
"""

from __future__ import annotations

import functools
import random
import re
import string
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from pydantic import Field

from shoal.runs.seeds import derive
from shoal.tasks.catalogue import TASKS
from shoal.tasks.generation import Draft, GeneratedTask
from shoal.tasks.problem import AnswerKind, Question

NUMBER, PLACE, BOX = RELATIONS = ("number", "place", "box")
PLACES = ("attic", "cellar", "garden", "harbour", "kitchen", "library", "market", "school", "tower", "valley")
"""Where boxes are."""
LURES = 8
"""Most wrong answers that go with a question."""
SHOWN = 2
"""Titles that a search gives."""
_SUBTASK = re.compile(rf"({'|'.join(RELATIONS)}) of (.+)")


@dataclass(frozen=True)
class KnowledgeBase:
    """Pages by title, each with its facts by relation.

    Attributes:
        pages: title -> relation -> value.
    """

    pages: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def search(self, query: str) -> list[str]:
        """Titles, the best first: those of the names in a query, then others that its letters pick.

        Raises:
            ValueError: it has no name that a page is about.
        """
        words = query.split()
        if not any(name_of(title) in words for title in self.pages):
            raise ValueError("nothing found")
        luck = {title: zlib.crc32(f"{query} {title}".encode()) for title in self.pages}
        return sorted(self.pages, key=lambda title: (name_of(title) not in words, luck[title]))[:SHOWN]

    def visit(self, title: str) -> str:
        """The text of a page. Raises ValueError if there is none of that title."""
        if title not in self.pages:
            raise ValueError("no such page")
        return ", ".join(f"{relation} {value}" for relation, value in self.pages[title].items())

    def title(self, name: str) -> str | None:
        """The title of the page about a name, or None."""
        return next((title for title in self.pages if name_of(title) == name), None)

    def truth(self, subtask: str) -> str | None:
        """What "number of K7" comes to; None where nothing is asked that the base knows."""
        asked = _SUBTASK.fullmatch(subtask.strip())
        title = self.title(asked[2]) if asked else None
        return self.pages[title].get(asked[1]) if asked and title else None


def name_of(title: str) -> str:
    """Whom or what a page is about."""
    return title[:-1]


def subtask(relation: str, name: str) -> str:
    """One fact asked for, in the form that ``KnowledgeBase.truth`` reads."""
    return f"{relation} of {name}"


@functools.lru_cache(maxsize=4096)
def knowledge_base(number: int, entries: int) -> KnowledgeBase:
    """The base of that number, with so many people and as many boxes."""
    rng = random.Random(derive(number, "knowledge base", entries))
    names = rng.sample([letter + digit for letter in string.ascii_uppercase for digit in string.digits], 2 * entries)
    pages: dict[str, dict[str, str]] = {}
    for person, box in zip(names[:entries], names[entries:], strict=True):
        pages[person + rng.choice(string.ascii_lowercase)] = {BOX: box}
        pages[box + rng.choice(string.ascii_lowercase)] = {NUMBER: str(rng.randint(10, 99)), PLACE: rng.choice(PLACES)}
    return KnowledgeBase(pages)


def base_of(question: Question) -> KnowledgeBase:
    """The base that a question is about; an empty one where it is about none."""
    if "base" not in question.tags:
        return KnowledgeBase()
    return knowledge_base(int(question.tags["base"]), int(question.tags["entries"]))


@TASKS.register("facts")
class Facts(GeneratedTask):
    """A fact of a knowledge base, or one that follows from two of them."""

    task: ClassVar[str] = "facts"
    title: ClassVar[str] = "find facts in a knowledge base that only tools can read"
    kinds: ClassVar[tuple[AnswerKind, ...]] = ("text",)
    hops: int = Field(2, ge=1, le=2, description="most facts to combine")
    entries: int = Field(40, ge=2, le=100, description="people in a base, and as many boxes")
    base: int = Field(0, ge=0, le=2**31, description="number of the first base")
    bases: int = Field(1, ge=1, le=2**31, description="how many bases the questions are about, each about one")

    def draw(self, rng: random.Random) -> Draft:
        """A number or a place; those of other boxes are the lures."""
        number = self.base + rng.randrange(self.bases)
        pages = knowledge_base(number, self.entries).pages
        people, boxes = ([title for title, facts in pages.items() if (BOX in facts) is own] for own in (True, False))
        at, hops = rng.randrange(self.entries), rng.randint(1, self.hops)
        relation = rng.choice((NUMBER, PLACE))
        what = f"box {name_of(boxes[at])}" if hops == 1 else f"{name_of(people[at])}'s box"
        others = dict.fromkeys(pages[title][relation] for title in boxes[at + 1 :] + boxes[:at])
        tags = {"base": str(number), "entries": str(self.entries), "hops": str(hops)}
        difficulty = "medium" if hops == 1 else "hard"
        text, answer = f"{relation.capitalize()} of {what}?", pages[boxes[at]][relation]
        return Draft(text, answer, list(others)[:LURES], difficulty, tags=tags)
