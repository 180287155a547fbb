"""Conflict edges: two steps that say different things about the same thing, and whose words came together later.

Step 3 of GraphTracer's page. A claim is an entity, an attribute and a value; the paper's checker is not published, so
claims are numbers with the words around them, and triples of a model where one is given.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from shoal.diagnosis.answers import values
from shoal.diagnosis.conversation import Conversation, same
from shoal.diagnosis.usage import UsageGraph
from shoal.errors import ModelError

if TYPE_CHECKING:
    from shoal.models.interface import Model

MOST_CLAIMS = 40
"""Steps with a claim about one thing that are compared: the first ones."""
MOST_VALUES = 3
"""Different values of one thing above which it is taken for a count (steps, items), which nobody contradicts."""
MOST_STEPS = 1000
"""Steps of one run that are compared: the last ones."""
_TRIPLE = re.compile(r"^\W*([^|\n]+)\|([^|\n]+)\|([^|\n]+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a step says: the value of an attribute of an entity."""

    entity: str
    attribute: str
    value: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two steps that differ about one thing and share a descendant.

    Attributes:
        first: index of the earlier step.
        second: index of the later step.
        about: entity and attribute.
        values: what each of them says.
        meets: the first step that was made from both.
    """

    first: int
    second: int
    about: tuple[str, str]
    values: tuple[str, str]
    meets: int


def conflicts(
    conversation: Conversation, graph: UsageGraph, more: Mapping[int, Sequence[Claimed]] | None = None
) -> list[Conflict]:
    """All conflict edges, in order of the steps where both sides meet.

    Args:
        conversation: whose words are compared.
        graph: who used what.
        more: further claims by step, those of a model say.
    """
    stated: dict[tuple[str, str], dict[int, str]] = {}
    for step in conversation.steps[-MOST_STEPS:]:
        for claim in (*claims(step.text), *((more or {}).get(step.index, ()))):
            stated.setdefault((claim.entity, claim.attribute), {}).setdefault(step.index, claim.value)
    below: dict[int, set[int]] = {}
    found = []
    for about, by_step in stated.items():
        if len(set(by_step.values())) > MOST_VALUES:
            continue
        for one, two in combinations(list(by_step)[:MOST_CLAIMS], 2):
            if by_step[one] == by_step[two]:
                continue
            for side in (one, two):
                below.setdefault(side, graph.descendants(side) | {side})
            if together := below[one] & below[two] - {one, two}:
                found.append(Conflict(one, two, about, (by_step[one], by_step[two]), min(together)))
    return sorted(found, key=lambda c: (c.meets, c.first, c.second))


def claims(text: str) -> list[Claimed]:
    """Numbers of a text as claims: the first word about one is the entity, the others are the attribute."""
    found = []
    for value in values(text):
        words = [w for w in value.about if w != "|"]
        found.append(Claimed(words[0], " ".join(words[1:]), value.number))
    return found


async def claims_by(model: Model, conversation: Conversation) -> dict[int, list[Claimed]]:
    """Claims that a model reads out of each step; an unreadable or lost reply gives none."""
    import asyncio

    from shoal.models.interface import Request

    async def ask(text: str) -> list[Claimed]:
        task = "List the facts of this text, one a line, as: entity | attribute | value"
        prompt = f"{' '.join(text.split())[:1500]}\n\n{task}"
        try:
            reply = await model.complete(Request([{"role": "user", "content": prompt}], max_tokens=200))
        except ModelError:
            return []
        return [Claimed(same(m[1]), same(m[2]), same(m[3])) for m in _TRIPLE.finditer(reply.text)]

    replies = await asyncio.gather(*(ask(step.text) for step in conversation.steps))
    return dict(enumerate(replies))
