"""One decorator registers a part, in one place; packages are imported only when a name is first looked up."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from shoal.errors import UnknownName

T = TypeVar("T")


class Registry(Generic[T]):
    """Named parts of one kind, found in the modules of one package or several.

    Args:
        kind: what the parts are, in the singular, for error messages ("task", "protocol").
        packages: the packages whose modules register parts; they are scanned on first look-up, so that importing
            shoal imports no engine.
    """

    def __init__(self, kind: str, *packages: str) -> None:
        self.kind = kind
        self.packages = packages
        self._parts: dict[str, T] = {}
        self._scanned = False

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator that files a part under ``name``. Raises ValueError if the name is taken."""

        def add(part: T) -> T:
            if name in self._parts and self._parts[name] is not part:
                raise ValueError(f"{self.kind} {name!r} is registered twice")
            self._parts[name] = part
            return part

        return add

    def get(self, name: str) -> T:
        """The part of that name. Raises UnknownName with the nearest names."""
        self._scan()
        if name not in self._parts:
            raise UnknownName(self.kind, name, self._parts)
        return self._parts[name]

    def names(self) -> list[str]:
        """All names, sorted."""
        self._scan()
        return sorted(self._parts)

    def items(self) -> list[tuple[str, T]]:
        """All (name, part) pairs, sorted by name."""
        return [(name, self._parts[name]) for name in self.names()]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __contains__(self, name: object) -> bool:
        self._scan()
        return name in self._parts

    def _scan(self) -> None:
        if self._scanned:
            return
        self._scanned = True
        for package in self.packages:
            for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
                importlib.import_module(f"{package}.{module.name}")
