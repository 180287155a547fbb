"""The run folder: what is on disk, and how it stays whole when the process or the disk does not.

``run.json`` is replaced atomically, ``trials.jsonl`` and the event files are append-only, and everything else can be
made again from them.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from shoal.errors import InputError, StorageError
from shoal.runs.machine import machine_facts, versions
from shoal.runs.results import Measurements
from shoal.traces import SCHEMA_VERSION, Event

Status = str
"""running, finished, stopped (by the user or a budget), failed (a trial raised) or interrupted (killed)."""

TrialKey = tuple[str, str, int]
"""(experiment, variant, seed)."""


class RunFolder:
    """One run on disk.

    Attributes:
        path: the folder.
        info: what ``run.json`` holds.
    """

    def __init__(self, path: Path, info: dict[str, Any]) -> None:
        self.path = path
        self.info = info
        self._lock: int | None = None

    @classmethod
    def create(cls, out: Path, name: str, identity: str, **facts: Any) -> RunFolder:
        """A new folder ``<out>/<name>-<time>-<short id>/`` with its ``run.json``, locked by this process.

        Raises:
            StorageError: the folder cannot be written.
        """
        stamp = time.strftime("%Y%m%d-%H%M%S")
        path = out / f"{name}-{stamp}-{secrets.token_hex(3)}"
        info = {
            "id": path.name,
            "name": name,
            "identity": identity,
            "status": "running",
            "created": time.time(),
            "finished": None,
            "machine": machine_facts(),
            "versions": versions(),
            **facts,
        }
        try:
            (path / "events").mkdir(parents=True)
        except OSError as error:
            raise StorageError(f"cannot write to {out}: {error.strerror}. Choose another folder with --out") from error
        folder = cls(path, info)
        folder.lock()
        folder.save()
        return folder

    @classmethod
    def load(cls, path: Path) -> RunFolder:
        """An existing run. Raises InputError if the folder holds none."""
        try:
            return cls(path, orjson.loads((path / "run.json").read_bytes()))
        except (OSError, orjson.JSONDecodeError) as error:
            raise InputError("run", str(path), "Give a run folder or id as `shoal runs` lists them.") from error

    @classmethod
    def resumable(cls, out: Path, identity: str) -> RunFolder | None:
        """The newest unfinished run of that identity under ``out`` that no other process holds, locked; or None."""
        for folder in sorted(list_runs(out), key=lambda f: -float(f.info["created"])):
            if folder.info.get("identity") == identity and folder.info["status"] != "finished" and folder.lock():
                return folder
        return None

    def lock(self) -> bool:
        """Take the folder for this process until it ends; False if another one has it."""
        handle = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            return False
        self._lock = handle
        return True

    def release(self) -> None:
        """Give the folder back."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def holder(self) -> int | None:
        """The process that works on this run now; None if none does."""
        if self._lock is not None:
            return os.getpid()
        if self.lock():
            self.release()
            return None
        return int(self.info["process"]) if "process" in self.info else None

    def status(self) -> Status:
        """As saved, or interrupted where it was left running and its process is gone."""
        status = str(self.info["status"])
        return "interrupted" if status == "running" and self.holder() is None else status

    def save(self, **facts: Any) -> None:
        """Update ``run.json``; whoever holds the run is named there as its ``process``."""
        self.info.update(facts)
        if self._lock is not None:
            self.info["process"] = os.getpid()
        write_atomically(self.path / "run.json", orjson.dumps(self.info, default=str, option=orjson.OPT_INDENT_2))

    def record_trial(self, key: TrialKey, measurements: Measurements, seconds: float) -> None:
        """Append one finished trial, durably.

        Raises:
            StorageError: the disk is full, or the folder is gone.
        """
        experiment, variant, seed = key
        line = orjson.dumps(
            {
                "experiment": experiment,
                "variant": variant,
                "seed": seed,
                "seconds": round(seconds, 4),
                "measurements": {name: np.asarray(value, float).tolist() for name, value in measurements.items()},
            },
            option=orjson.OPT_APPEND_NEWLINE,
        )
        path = self.path / "trials.jsonl"
        try:
            with path.open("ab") as file:
                if file.tell() and not _ends_in_newline(path):
                    file.write(b"\n")  # closes a line torn by an earlier kill
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise StorageError(
                f"cannot write {path}: {error.strerror}. Finished trials are kept; run the same command to resume"
            ) from error

    def trials(self) -> dict[TrialKey, Mapping[str, Any]]:
        """Finished trials; a torn line is a trial that did not finish."""
        found: dict[TrialKey, Mapping[str, Any]] = {}
        for record in read_lines(self.path / "trials.jsonl"):
            try:
                found[(record["experiment"], record["variant"], int(record["seed"]))] = record
            except (KeyError, TypeError, ValueError):
                continue
        return found

    def event_part(self, key: TrialKey) -> Path:
        """The event file of one trial while the run goes on."""
        name = "--".join(_safe(str(part)) for part in key)
        return self.path / "events" / f"{name}.jsonl"

    def merge_events(self) -> Path:
        """Join the trials' event files into ``events.jsonl`` and remove them; call when the run is over."""
        merged = self.path / "events.jsonl"
        parts = sorted((self.path / "events").glob("*.jsonl"))
        if parts:
            temporary = merged.with_suffix(".tmp")
            with temporary.open("wb") as out:
                if merged.exists():
                    out.write(merged.read_bytes())
                else:
                    start = Event(
                        "0", self.path.name, time.time(), 0, "", "trace.start", (), {"schema": SCHEMA_VERSION}
                    )
                    out.write(orjson.dumps(start.as_dict(), option=orjson.OPT_APPEND_NEWLINE))
                for part in parts:
                    data = part.read_bytes()
                    out.write(data if data.endswith(b"\n") or not data else data + b"\n")
            temporary.replace(merged)
            for part in parts:
                part.unlink()
        return merged


def list_runs(out: Path) -> list[RunFolder]:
    """All runs under a folder, oldest first; folders without a readable ``run.json`` are passed over."""
    found = []
    for path in sorted(out.glob("*/run.json")):
        try:
            found.append(RunFolder.load(path.parent))
        except InputError:
            continue
    return sorted(found, key=lambda f: float(f.info.get("created", 0)))


def find_run(out: Path, name: str) -> RunFolder:
    """A run by path, by id, by the start or end of its id, or "last". Raises UnknownName."""
    from shoal.errors import UnknownName

    if (Path(name) / "run.json").is_file():
        return RunFolder.load(Path(name))
    runs = list_runs(out)
    if name == "last" and runs:
        return runs[-1]
    matching = [r for r in runs if r.path.name == name or r.path.name.startswith(name) or r.path.name.endswith(name)]
    if not matching:
        raise UnknownName("run", name, [r.path.name for r in runs])
    return matching[-1]


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file in one step, so that a reader or a crash never meets half of it.

    Raises:
        StorageError: the disk is full, or the folder is gone.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StorageError(f"cannot write {path}: {error.strerror}. The run can be resumed") from error


def read_lines(path: Path) -> Iterator[Mapping[str, Any]]:
    """JSON objects of an append-only file; lines that do not parse are passed over."""
    if not path.exists():
        return
    with path.open("rb") as lines:
        for line in lines:
            try:
                record = orjson.loads(line)
            except orjson.JSONDecodeError:
                continue
            if isinstance(record, dict):
                yield record


def _ends_in_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _safe(text: str) -> str:
    return "".join(c if c.isalnum() or c in "-_.=" else "_" for c in text)
