"""What was wrong in a file: counted by kind, located by line or item, never fatal."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

MOST_LOCATED = 1000
"""Problems that are kept with their place; further ones are only counted."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that was wrong.

    Attributes:
        kind: what, in a few fixed words ("not JSON", "duplicate id", ...).
        where: the place: ``FILE:LINE`` for files of lines, ``FILE:item N`` within one JSON document.
        detail: the parser's own words or the value, shortened; empty if the kind says it all.
    """

    kind: str
    where: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.kind}" + (f": {self.detail}" if self.detail else "")


@dataclass(slots=True)
class Problems:
    """All that was wrong in one import.

    Attributes:
        counts: how many of each kind, complete.
        located: the first MOST_LOCATED with their places.
    """

    counts: Counter[str] = field(default_factory=Counter)
    located: list[Problem] = field(default_factory=list)

    def add(self, kind: str, where: str, detail: object = "", count: int = 1) -> None:
        """Count a problem, and keep its place while there is room."""
        self.counts[kind] += count
        if len(self.located) < MOST_LOCATED:
            self.located.append(Problem(kind, where, str(detail)[:120]))

    def extend(self, other: Problems) -> None:
        """Add another import's problems."""
        self.counts.update(other.counts)
        self.located.extend(other.located[: MOST_LOCATED - len(self.located)])

    @property
    def total(self) -> int:
        """Problems of all kinds."""
        return sum(self.counts.values())

    def lines(self) -> list[str]:
        """One line per located problem, and one that counts the rest."""
        rest = self.total - len(self.located)
        return [str(p) for p in self.located] + ([f"... and {rest} more"] if rest > 0 else [])

    def as_dict(self) -> dict[str, Any]:
        """Counts by kind, and the places."""
        places = [{"kind": p.kind, "where": p.where, "detail": p.detail} for p in self.located]
        return {"total": self.total, "counts": dict(self.counts), "located": places}
