"""Reading a trace: as typed events, or as a Polars frame; a torn or broken line is counted, never fatal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from shoal.errors import InputError
from shoal.traces.events import Event, Usage

if TYPE_CHECKING:
    import polars


@dataclass(slots=True)
class Trace:
    """The events of one file, in order.

    Attributes:
        events: the events.
        problems: one line per line that could not be read, with its number.
    """

    events: list[Event]
    problems: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[Event]:
        return iter(self.events)

    def __len__(self) -> int:
        return len(self.events)

    def of_kind(self, *kinds: str) -> list[Event]:
        """Events of the given kinds."""
        return [event for event in self.events if event.kind in kinds]

    def usage(self) -> Usage:
        """The sum of all usages."""
        total = Usage()
        for event in self.events:
            if event.usage is not None:
                total.add(event.usage)
        return total

    def frame(self) -> polars.DataFrame:
        """One row per event; payload as a JSON string, usage spread over columns."""
        import polars as pl

        empty = Usage()
        rows = [(e, e.usage or empty) for e in self.events]
        return pl.DataFrame(
            {
                "id": [e.id for e, _ in rows],
                "run": [e.run for e, _ in rows],
                "time": [e.time for e, _ in rows],
                "step": [e.step for e, _ in rows],
                "agent": [e.agent for e, _ in rows],
                "kind": [e.kind for e, _ in rows],
                "parents": pl.Series([list(e.parents) for e, _ in rows], dtype=pl.List(pl.String)),
                "payload": [orjson.dumps(e.payload).decode() for e, _ in rows],
                "prompt_tokens": [u.prompt_tokens for _, u in rows],
                "completion_tokens": [u.completion_tokens for _, u in rows],
                "calls": [u.calls for _, u in rows],
                "seconds": pl.Series([float(u.seconds) for _, u in rows], dtype=pl.Float64),
                "money": pl.Series([float(u.money) for _, u in rows], dtype=pl.Float64),
                "cached": [u.cached for _, u in rows],
            }
        )


def read_trace(path: Path) -> Trace:
    """Read a trace from ``.jsonl`` or ``.parquet``.

    Raises:
        InputError: the file does not exist or is neither.
    """
    if not path.is_file():
        raise InputError("trace", str(path), "Give the path of an events.jsonl or events.parquet file.")
    if path.suffix == ".parquet":
        return _read_parquet(path)
    events, problems = [], []
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                events.append(parse_event(orjson.loads(line)))
            except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
                problems.append(f"{path.name}:{number}: {type(error).__name__}: {str(error)[:80]}")
    return Trace(events, problems)


def parse_event(record: dict[str, Any]) -> Event:
    """One event from its JSON object. Raises KeyError, TypeError or ValueError when a field is missing or wrong."""
    if not isinstance(record, dict):
        raise TypeError(f"an event is an object, not {type(record).__name__}")
    usage = record.get("usage")
    return Event(
        id=str(record["id"]),
        run=str(record["run"]),
        time=float(record["time"]),
        step=int(record["step"]),
        agent=str(record.get("agent") or ""),
        kind=str(record["kind"]),
        parents=tuple(str(p) for p in record.get("parents") or ()),
        payload=dict(record.get("payload") or {}),
        usage=Usage(**usage) if usage else None,
    )


def write_parquet(trace: Trace, path: Path) -> None:
    """Write the frame of a closed trace as Parquet."""
    trace.frame().write_parquet(path)


def _read_parquet(path: Path) -> Trace:
    import polars as pl

    events = []
    for row in pl.read_parquet(path).iter_rows(named=True):
        cost = {k: row[k] for k in ("prompt_tokens", "completion_tokens", "calls", "seconds", "money", "cached")}
        row["usage"] = {k: v for k, v in cost.items() if v} or None
        row["payload"] = orjson.loads(row["payload"])
        events.append(parse_event(row))
    return Trace(events)
