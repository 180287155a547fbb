"""One component per value of the vocabulary: what it means, its trade-off, and the code that does it.

The trade-offs are those of the survey's tables 3 to 5 where it states one, and ours otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from shoal.errors import UnknownName
from shoal.registry import Registry

F = TypeVar("F")


@dataclass(frozen=True)
class Component:
    """A value of a field.

    Attributes:
        field: the field of a channel or team it belongs to ("structure").
        name: the value ("centralized").
        meaning: what it does when a team runs.
        trade_off: one line: what it is good and bad at.
        part: the function or class that does it.
        aliases: other names that mean the same.
    """

    field: str
    name: str
    meaning: str
    trade_off: str
    part: Any
    aliases: tuple[str, ...] = ()


COMPONENTS: Registry[Component] = Registry("vocabulary value", "shoal.teams.vocabulary")
"""All components, filed as "field/value"."""


def component(
    field: str, name: str, *, meaning: str, trade_off: str, aliases: tuple[str, ...] = ()
) -> Callable[[F], F]:
    """Decorator: this function or class is what the value ``name`` of ``field`` does."""

    def add(part: F) -> F:
        COMPONENTS.register(f"{field}/{name}")(Component(field, name, meaning, trade_off, part, aliases))
        return part

    return add


def values(field: str) -> list[Component]:
    """The components of a field, sorted by name."""
    return [c for _, c in COMPONENTS.items() if c.field == field]


def fields() -> list[str]:
    """All fields that have components, sorted."""
    return sorted({c.field for _, c in COMPONENTS.items()})


def part(field: str, name: str) -> Any:
    """The code of a value. Raises UnknownName with the nearest values."""
    if f"{field}/{name}" not in COMPONENTS:
        raise UnknownName(field, name, [c.name for c in values(field)])
    return COMPONENTS.get(f"{field}/{name}").part


def canonical_value(field: str, text: object) -> object:
    """The value that a name or alias stands for; what is no name of the field is returned as it is."""
    if not isinstance(text, str):
        return text
    plain = text.strip().lower().replace("_", "-").replace(" ", "-")
    for known in values(field):
        if plain == known.name or plain in known.aliases:
            return known.name
    return text
