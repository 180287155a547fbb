"""Writing a trace: append-only JSON Lines that survive a kill at any byte."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from shoal.errors import StorageError
from shoal.traces.events import SCHEMA_VERSION, Event, Usage

_JSON = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS | orjson.OPT_APPEND_NEWLINE


class TraceWriter:
    """Appends events to one file.

    Lines are handed to the operating system as they are written (one ``write`` call each, unbuffered), so a killed
    process loses at most the line it was in; readers tolerate a torn last line.

    Args:
        path: the ``.jsonl`` file; created with a ``trace.start`` line, or continued if it exists. None keeps no file
            and only hands out ids.
        run: the run id stamped on every event; ids of events are unique within it.
        start: write the ``trace.start`` line of a new file; False for parts that are joined into one file later.
    """

    def __init__(self, path: Path | None, run: str, start: bool = True) -> None:
        self.run = run
        self.path = path
        self._step = 0
        self._file: int | None = None
        self._prefix = ""
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            old = path.stat().st_size if path.exists() else 0
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StorageError(f"cannot write the trace {path}: {error.strerror}") from error
        if old:
            # A continued file may end in a torn line; a newline closes it, and ids of this writer get their own prefix.
            self._prefix = f"{old:x}."
            self._write(b"\n")
        elif start:
            self.write("trace.start", payload={"schema": SCHEMA_VERSION})

    def write(
        self,
        kind: str,
        agent: str = "",
        payload: dict[str, Any] | None = None,
        parents: Iterable[str] = (),
        usage: Usage | None = None,
    ) -> str:
        """Append one event and return its id. Raises StorageError when the disk is full or the folder is gone."""
        step = self._step
        self._step += 1
        event_id = f"{self._prefix}{step}"
        if self._file is not None:
            record = {
                "id": event_id,
                "run": self.run,
                "time": time.time(),
                "step": step,
                "agent": agent,
                "kind": kind,
                "parents": tuple(parents),
                "payload": payload or {},
                "usage": usage.as_dict() if usage else None,
            }
            self._write(orjson.dumps(record, default=str, option=_JSON))
        return event_id

    def append(self, event: Event) -> None:
        """Append an event that already has its id (importers, merges)."""
        self._step = max(self._step, event.step + 1)
        if self._file is not None:
            self._write(orjson.dumps(event.as_dict(), default=str, option=_JSON))

    def close(self) -> None:
        """Close the file; writing afterwards only hands out ids."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __enter__(self) -> TraceWriter:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _write(self, line: bytes) -> None:
        assert self._file is not None
        try:
            view = memoryview(line)
            while view:
                view = view[os.write(self._file, view) :]
        except OSError as error:
            raise StorageError(
                f"cannot write the trace {self.path}: {error.strerror}. Free some space; the run can be resumed"
            ) from error
