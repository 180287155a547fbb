"""Key-value look-up: in one sheet that all can read, or over private sheets that only a team holds together."""

from __future__ import annotations

import random
from typing import ClassVar

from pydantic import Field

from shoal.tasks.catalogue import TASKS
from shoal.tasks.generated.vocabulary import COLOURS, CONTAINERS, PEOPLE, WORDS
from shoal.tasks.generation import Draft, GeneratedTask
from shoal.tasks.problem import AnswerKind


@TASKS.register("lookup")
class Lookup(GeneratedTask):
    """One value of a sheet that stands in the question."""

    task: ClassVar[str] = "lookup"
    title: ClassVar[str] = "look a value up in a sheet"
    kinds: ClassVar[tuple[AnswerKind, ...]] = ("number",)
    entries: int = Field(6, ge=2, le=60, description="lines of the sheet")

    def draw(self, rng: random.Random) -> Draft:
        """Distinct keys with distinct two- or three-digit values; the other values are the lures."""
        keys = rng.sample(WORDS, self.entries)
        values = [str(value) for value in rng.sample(range(10, 1000), self.entries)]
        place = rng.randrange(self.entries)
        lines = [f"{key}: {value}" for key, value in zip(keys, values, strict=True)]
        return Draft(
            "\n".join(["Here is a list of words and numbers.", *lines, f"What is the number of {keys[place]}?"]),
            values[place],
            _nearest(values, place),
            "easy" if self.entries <= 6 else "medium" if self.entries <= 20 else "hard",
        )


@TASKS.register("lookup-private")
class PrivateLookup(GeneratedTask):
    """A value that only one agent's sheet holds, or two facts that two agents hold.

    With one hop a sheet says "Mia: 52". With two hops one sheet says whose container is which and another one what
    number that container has, so no agent can answer without another.
    """

    task: ClassVar[str] = "lookup-private"
    title: ClassVar[str] = "look a value up in private sheets"
    kinds: ClassVar[tuple[AnswerKind, ...]] = ("number",)
    agents: int = Field(3, ge=2, le=12, description="sheets, one for each agent")
    entries: int = Field(4, ge=1, le=12, description="lines of each sheet")
    hops: int = Field(1, ge=1, le=2, description="facts to combine")

    def draw(self, rng: random.Random) -> Draft:
        """Facts dealt to sheets so that each agent holds as many; values are distinct over all sheets."""
        return self._one_hop(rng) if self.hops == 1 else self._two_hops(rng)

    def _one_hop(self, rng: random.Random) -> Draft:
        count = self.agents * self.entries
        keys = [f"{name}'s {word}" for name, word in _pairs(rng, PEOPLE, WORDS, count)]
        values = [str(value) for value in rng.sample(range(10, 1000), count)]
        place = rng.randrange(count)
        facts = [f"{key}: {value}" for key, value in zip(keys, values, strict=True)]
        return self._draft(rng, f"What is the number of {keys[place]}?", facts, values, place, "easy")

    def _two_hops(self, rng: random.Random) -> Draft:
        count = (self.agents * self.entries + 1) // 2
        people = [f"{name} {word.capitalize()}" for name, word in _pairs(rng, PEOPLE, WORDS, count)]
        places = [f"{colour} {thing}" for colour, thing in _pairs(rng, COLOURS, CONTAINERS, count)]
        values = [str(value) for value in rng.sample(range(10, 1000), count)]
        owners = [f"{who} has the {where}." for who, where in zip(people, places, strict=True)]
        contents = [f"The {where} has the number {value}." for where, value in zip(places, values, strict=True)]
        text = f"What is the number of the thing that {people[0]} has?"
        holders = rng.sample(range(self.agents), 2)  # the two facts that matter go to different agents
        rest = owners[1:] + contents[1:]
        rng.shuffle(rest)
        sheets: list[list[str]] = [[] for _ in range(self.agents)]
        sheets[holders[0]].append(owners[0])
        sheets[holders[1]].append(contents[0])
        for fact in rest:
            min(sheets, key=len).append(fact)
        for sheet in sheets:
            rng.shuffle(sheet)
        return Draft(
            _shared(text), values[0], _nearest(values, 0), "hard", sheets=_numbered(sheets), tags={"hops": "2"}
        )

    def _draft(
        self, rng: random.Random, text: str, facts: list[str], values: list[str], place: int, difficulty: str
    ) -> Draft:
        order = list(range(len(facts)))
        rng.shuffle(order)
        sheets = [[facts[index] for index in order[agent :: self.agents]] for agent in range(self.agents)]
        return Draft(
            _shared(text),
            values[place],
            _nearest(values, place),
            difficulty,
            sheets=_numbered(sheets),
            tags={"hops": "1"},
        )


def _pairs(rng: random.Random, first: list[str], second: list[str], count: int) -> list[tuple[str, str]]:
    """Distinct pairs of words."""
    codes = rng.sample(range(len(first) * len(second)), count)
    return [(first[code % len(first)], second[code // len(first)]) for code in codes]


def _shared(text: str) -> str:
    return f"Each member of the team holds a different sheet of facts. {text}"


def _numbered(sheets: list[list[str]]) -> dict[str, str]:
    return {str(agent): "\n".join(sheet) for agent, sheet in enumerate(sheets)}


def _nearest(values: list[str], place: int, most: int = 8) -> list[str]:
    """The other values, those of nearby lines first: where a slipping eye ends."""
    order = sorted((at for at in range(len(values)) if at != place), key=lambda at: abs(at - place))
    right = int(values[place])
    return [values[at] for at in order[:most]] + [str(right + 1), str(right - 1), str(right + 10)]
