"""shoal's own traces: ``events.jsonl`` and its Parquet form."""

from __future__ import annotations

from typing import Any

import orjson

from shoal.traces.events import Usage
from shoal.traces.importers.book import LABEL, Book
from shoal.traces.importers.content import compact
from shoal.traces.importers.registration import importer, share
from shoal.traces.importers.source import Source

_USAGE = ("prompt_tokens", "completion_tokens", "calls", "seconds", "money", "cached")
_FIELDS = frozenset(("id", "run", "time", "step", "agent", "kind", "parents", "payload", "usage", *_USAGE))


def recognise(source: Source) -> float:
    """Sure of records with the fields of an event."""
    if source.shape == "parquet":
        return 1.0
    return share(source, lambda r: {"id", "run", "time", "step", "kind", "payload"} <= set(r))


@importer("shoal", "shoal's own traces: events.jsonl and events.parquet", recognise)
def read(source: Source, book: Book) -> None:
    """Write the events as they are; ids, times and parents are checked like anybody's."""
    for place, record in _rows(source, book):
        try:
            kind, payload = str(record["kind"]), record.get("payload") or {}
            if isinstance(payload, str):
                payload = orjson.loads(payload)
            if not isinstance(payload, dict):
                raise TypeError("payload is no object")
            spent = record.get("usage") or {n: record[n] for n in _USAGE if record.get(n)}
            usage = Usage(**{k: v for k, v in spent.items() if k in _USAGE}) if spent else None
            parents = record.get("parents")
            own = {k: v for k, v in record.items() if k not in _FIELDS}
            if kind == LABEL:
                book.label(str(record["run"]), payload)
                continue
            book.add(
                str(record["run"]), str(record.get("agent") or ""), kind, payload | ({"source": own} if own else {}),
                where=place, id=record["id"], time=record.get("time"), usage=usage,
                parents=parents if isinstance(parents, (list, tuple)) else (),
            )  # fmt: skip
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            book.problems.add("no event", place, f"{type(error).__name__}: {error} in {compact(record)[:60]}")


def _rows(source: Source, book: Book) -> Any:
    if source.shape != "parquet":
        yield from source.objects()
        return
    import polars as pl

    try:
        frame = pl.read_parquet(source.path)
    except Exception as error:  # Polars raises its own and the system's errors
        book.problems.add("torn archive", source.name, error)
        return
    for number, row in enumerate(frame.iter_rows(named=True)):
        yield f"{source.name}:row {number}", row
