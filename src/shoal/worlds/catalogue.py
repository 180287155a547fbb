"""Worlds by name: ``make_world("spread", agents=3)``, or ``make_world("spread:agents=3")`` from a command line."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

from shoal.errors import InputError, UnknownName
from shoal.registry import Registry
from shoal.worlds.world import World

W = TypeVar("W", bound=type[World[Any]])

# Swarms are worlds made of populations; by name only, as an engine may not be imported from here.
WORLDS: Registry[type[World[Any]]] = Registry("world", "shoal.worlds", "shoal.populations.mean_field")


def world(name: str) -> Callable[[W], W]:
    """Class decorator that registers a world and gives it its name."""

    def add(kind: W) -> W:
        kind.name = name
        WORLDS.register(name)(kind)
        return kind

    return add


def make_world(spec: str, **settings: Any) -> World[Any]:
    """The world of that name with these settings.

    Args:
        spec: a registered name, with settings after a colon if any: ``spread:agents=3,horizon=50``.
        settings: more settings, over those of the spec.

    Raises:
        UnknownName: no such world or setting, with the nearest names.
        InputError: a value that the world refuses.
    """
    from shoal.runs.settings import parse_assignments

    name, _, text = spec.partition(":")
    kind = WORLDS.get(name)
    given = {**parse_assignments([part for part in text.split(",") if part], f"world {name}"), **settings}
    known = {f.name for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if "agents" in given and "count" in known:
        given["count"] = given.pop("agents")  # the field cannot have that name: ``agents`` are the agents' names
    for key in given:
        if key not in known:
            raise UnknownName(f"world {name}", key, known)
    return kind(**{key: _hashable(value) for key, value in given.items()})


def _hashable(value: Any) -> Any:
    """Tuples for lists: JSON and command lines have no tuples, but worlds must be hashable."""
    return tuple(_hashable(v) for v in value) if isinstance(value, list) else value


def require(world: World[Any], field: str, value: object, holds: bool, mend: str) -> None:
    """Raise InputError for a setting of a world unless ``holds``."""
    if not holds:
        raise InputError(f"world {world.name} {field}", value, mend)
