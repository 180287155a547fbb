"""From a file or folder to events: the format is recognised, the events are checked, secrets are taken out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shoal.errors import InputError
from shoal.traces.importers.book import Book
from shoal.traces.importers.registration import IMPORTERS, Importer
from shoal.traces.importers.source import Source
from shoal.traces.problems import Problems
from shoal.traces.reader import Trace
from shoal.traces.redaction import Redactor

UNKNOWN = "unknown"
_SUFFIXES = (".json", ".jsonl", ".ndjson", ".eval", ".parquet", ".log", ".txt")
_LEAST = 0.2


@dataclass
class Imported:
    """What was read from one file.

    Attributes:
        path: the file.
        format: name of the importer; "unknown" if none took the file.
        trace: the events, all runs in the order of the file.
        problems: what was wrong, counted and located.
        redacted: secrets that were replaced, by kind.
        labels: by run: facts from outside (annotations, right answers); diagnoses do not see them.
    """

    path: Path
    format: str
    trace: Trace
    problems: Problems
    redacted: dict[str, int] = field(default_factory=dict)
    labels: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def runs(self) -> list[str]:
        """Names of the runs, in the order of the file."""
        return list(dict.fromkeys(event.run for event in self.trace))

    def run(self, name: str) -> Trace:
        """The events of one run."""
        return Trace([event for event in self.trace if event.run == name], self.trace.problems)

    def as_dict(self) -> dict[str, Any]:
        """Counts for programs: events, format, problems, runs, secrets."""
        counts: dict[str, int] = {}
        for event in self.trace:
            counts[event.run] = counts.get(event.run, 0) + 1
        return {
            "file": str(self.path),
            "count": len(self.trace),
            "format": self.format,
            "problems": self.problems.as_dict(),
            "runs": [{"run": run, "events": n, "labelled": run in self.labels} for run, n in counts.items()],
            "redacted": sum(self.redacted.values()),
            "redacted_kinds": self.redacted,
        }


def import_trace(path: Path, format: str = "", redact: bool = True) -> Imported:
    """Read one file.

    Args:
        path: the file; any content is survived.
        format: name of an importer; empty recognises it.
        redact: replace secrets (keys, tokens, passwords) in texts and fields.

    Raises:
        InputError: there is no such file, or it cannot be opened.
        UnknownName: no such format.
    """
    if not path.is_file():
        raise InputError("trace", str(path), "Give a file (or, to import many, a folder) that exists.")
    problems = Problems()
    try:
        source = Source(path, problems)
    except OSError as error:
        raise InputError("trace", str(path), f"It cannot be read: {error.strerror}.") from error
    chosen = IMPORTERS.get(format) if format else recognise(source)
    redactor = Redactor() if redact else None
    book = Book(problems, redactor)
    if chosen is None:
        _explain(source, problems)
    else:
        chosen.read(source, book)
        book.settle()
        if not book.events and not problems.total:
            problems.add("no events", source.name, f"it has the form of {chosen.name} and holds none")
    trace = Trace(book.events, [str(p) for p in problems.located])
    redacted = dict(redactor.counts) if redactor is not None else {}
    return Imported(path, chosen.name if chosen else UNKNOWN, trace, problems, redacted, book.labels)


def import_traces(path: Path, format: str = "", redact: bool = True) -> Iterator[Imported]:
    """Read a file, or all files of a folder (in the order of their names, sub-folders too) that may hold traces."""
    if not path.is_dir():
        yield import_trace(path, format, redact)
        return
    files = [f for f in sorted(path.rglob("*"), key=_natural) if f.is_file() and f.suffix.lower() in _SUFFIXES]
    if not files:
        raise InputError("trace", str(path), f"The folder holds no files that end in {', '.join(_SUFFIXES)}.")
    for file in files:
        yield import_trace(file, format, redact)


def recognise(source: Source) -> Importer | None:
    """The importer that is surest of a file, or None."""
    if source.shape in ("empty", "binary"):
        return None
    scored = [(entry.recognise(source), entry.name, entry) for _, entry in IMPORTERS.items()]
    score, _, best = max(scored, key=lambda s: (s[0], s[1]))
    return best if score >= _LEAST else None


def _explain(source: Source, problems: Problems) -> None:
    """Count why nothing was read."""
    if source.shape == "empty":
        problems.add("empty file", source.name)
    elif source.shape == "binary":
        problems.add("binary file", source.name, f"{source.size} bytes")
    else:
        records = sum(1 for _ in source.records())
        if records or not problems.total:
            problems.add("format not recognised", source.name, f"{records} records", max(records, 1))


def _natural(path: Path) -> tuple[object, ...]:
    """Order in which 2.json comes before 10.json."""
    import re

    parts = re.split(r"(\d+)", str(path))
    return tuple((0, int(p), "") if p.isdigit() and len(p) < 18 else (1, 0, p) for p in parts)
