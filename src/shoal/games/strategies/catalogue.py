"""Strategies of iterated dilemmas by name; settings after a colon: ``generous-tit-for-tat:forgiveness=0.1``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shoal.errors import InputError, UnknownName
from shoal.games.strategies.automaton import Automaton
from shoal.registry import Registry

Maker = Callable[..., Automaton]


@dataclass(frozen=True)
class StrategyEntry:
    """A named strategy.

    Attributes:
        name: as in ``shoal list strategies``.
        title: what it does, in a few words.
        make: makes it from its settings.
        counts: its machine grows with the length of the game, given as the setting ``rounds``.
    """

    name: str
    title: str
    make: Maker
    counts: bool


STRATEGIES: Registry[StrategyEntry] = Registry("strategy", "shoal.games.strategies")


def strategy(name: str, title: str) -> Callable[[Maker], Maker]:
    """Decorator that registers a function which makes a machine from its settings, all with defaults."""

    def add(make: Maker) -> Maker:
        counts = "rounds" in inspect.signature(make).parameters
        STRATEGIES.register(name)(StrategyEntry(name, title, make, counts))
        return make

    return add


def make_strategy(spec: str, rounds: int = 200) -> Automaton:
    """The machine of that name.

    Args:
        spec: a registered name, with settings after a colon if any.
        rounds: length of the game, for strategies that count.

    Raises:
        UnknownName: no such strategy or setting, with the nearest names.
        InputError: a value that the strategy refuses.
    """
    from shoal.runs.settings import parse_assignments

    name, _, text = spec.partition(":")
    entry = STRATEGIES.get(name)
    given: dict[str, Any] = parse_assignments([part for part in text.split(",") if part], f"strategy {name}")
    known = inspect.signature(entry.make).parameters
    for key, value in given.items():
        if key not in known or key == "rounds":
            raise UnknownName(f"strategy {name}", key, [k for k in known if k != "rounds"])
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise InputError(f"strategy {name} {key}", value, "Give a number.")
    made = entry.make(**given, **({"rounds": rounds} if entry.counts else {}))
    return Automaton(spec, made.cooperates, made.follows)
