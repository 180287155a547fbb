"""What an importer is, and the decorator that registers one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from shoal.registry import Registry
from shoal.traces.importers.book import Book
from shoal.traces.importers.source import Source


@dataclass(frozen=True)
class Importer:
    """One format.

    Attributes:
        name: as on the command line.
        title: what writes it, in one line.
        recognise: how sure it is that a file has its format, in [0, 1]; looks at ``source.sample`` or
            ``source.members`` and raises nothing.
        read: writes the events of a source into a book.
    """

    name: str
    title: str
    recognise: Callable[[Source], float]
    read: Callable[[Source, Book], None]


IMPORTERS: Registry[Importer] = Registry("trace format", "shoal.traces.importers")


def importer(
    name: str, title: str, recognise: Callable[[Source], float]
) -> Callable[[Callable[[Source, Book], None]], Callable[[Source, Book], None]]:
    """Register a reading function as the importer of a format."""

    def add(read: Callable[[Source, Book], None]) -> Callable[[Source, Book], None]:
        IMPORTERS.register(name)(Importer(name, title, recognise, read))
        return read

    return add


def share(source: Source, fits: Callable[[dict[str, object]], bool]) -> float:
    """The share of sampled records that are objects and fit."""
    sample = source.sample
    return sum(isinstance(r, dict) and bool(fits(r)) for r in sample) / len(sample) if sample else 0.0
