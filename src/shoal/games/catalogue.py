"""Games by name: ``make_game("prisoners-dilemma")``, with settings ``make_game("public-goods:players=5,factor=3")``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from shoal.errors import InputError, UnknownName
from shoal.games.game import Game
from shoal.registry import Registry

Maker = Callable[..., Game]


@dataclass(frozen=True)
class Entry:
    """A named game.

    Attributes:
        name: as in ``shoal list games``.
        title: what it is, in a few words.
        family: dilemma, coordination, conflict, bargaining, group, cards, commitment or causal.
        make: makes it from its settings.
        known: what is known about its solution.
    """

    name: str
    title: str
    family: str
    make: Maker
    known: str

    @property
    def settings(self) -> dict[str, Any]:
        """Names and defaults of its settings."""
        return {name: p.default for name, p in inspect.signature(self.make).parameters.items()}


GAMES: Registry[Entry] = Registry("game", "shoal.games.named")


def game(name: str, title: str, family: str, known: str = "") -> Callable[[Maker], Maker]:
    """Decorator that registers a function which makes a game from its settings, all with defaults."""

    def add(make: Maker) -> Maker:
        GAMES.register(name)(Entry(name, title, family, make, known))
        return make

    return add


def make_game(spec: str, **settings: Any) -> Game:
    """The game of that name with these settings.

    Args:
        spec: a registered name, with settings after a colon if any: ``travellers-dilemma:high=10``.
        settings: more settings, over those of the spec.

    Raises:
        UnknownName: no such game or setting, with the nearest names.
        InputError: a value that the game refuses.
    """
    from shoal.runs.settings import parse_assignments

    name, _, text = spec.partition(":")
    entry = GAMES.get(name)
    given = {**parse_assignments([part for part in text.split(",") if part], f"game {name}"), **settings}
    for key, value in given.items():
        if key not in entry.settings:
            raise UnknownName(f"game {name}", key, entry.settings)
        _check_kind(f"game {name} {key}", value, entry.settings[key])
    made = entry.make(**given)
    return replace(made, name=name, title=entry.title)  # type: ignore[type-var]


def _check_kind(field: str, value: Any, default: Any) -> None:
    whole = isinstance(default, int) and not isinstance(default, bool)
    if whole and (not isinstance(value, int) or isinstance(value, bool)):
        raise InputError(field, value, "Give a whole number.")
    if isinstance(default, float) and (not isinstance(value, int | float) or isinstance(value, bool)):
        raise InputError(field, value, "Give a number.")
    if isinstance(default, bool) and not isinstance(value, bool):
        raise InputError(field, value, "Use true or false.")
