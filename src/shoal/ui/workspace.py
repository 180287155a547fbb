"""What the pages show and change: the systems, a folder of runs, and the commands that were started from a page."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from shoal.errors import InputError, UnknownName
from shoal.runs.folder import RunFolder
from shoal.runs.study import Size
from shoal.studies.catalogue import find_study
from shoal.traces import Trace, read_trace

LOGS = ".logs"


@dataclass(frozen=True)
class Workspace:
    """A folder of runs.

    Attributes:
        out: the folder.
    """

    out: Path

    def runs(self) -> list[RunFolder]:
        """All runs, newest first; what has not changed since it was last read is not read again."""
        found = []
        for path in self.out.glob("*/run.json"):
            try:
                found.append(RunFolder(path.parent, dict(_read_info(path.parent, path.stat().st_mtime_ns))))
            except (OSError, InputError):  # half written, or deleted meanwhile
                continue
        return sorted(found, key=lambda folder: (float(folder.info.get("created", 0)), folder.path.name), reverse=True)

    def run(self, name: str) -> RunFolder:
        """The run of exactly that id. Raises UnknownName; a name cannot lead out of the folder."""
        if name not in ("", ".", "..") and "/" not in name and "\\" not in name and "\0" not in name:
            path = self.out / name
            if (path / "run.json").is_file() and path.resolve().parent == self.out.resolve():
                return RunFolder.load(path)
        raise UnknownName("run", name[:80], [folder.path.name for folder in self.runs()])

    def delete(self, name: str) -> None:
        """Remove a run. Raises InputError while a process works on it."""
        folder = self.run(name)
        if not folder.lock():
            raise InputError("run", name, "It is running; stop it first.")
        shutil.rmtree(folder.path)
        folder.release()

    def stop(self, name: str) -> None:
        """Ask the process that works on a run to stop: finished trials are kept. Raises InputError if none does."""
        holder = self.run(name).holder()
        if holder is None:
            raise InputError("run", name, "Nothing works on it.")
        group = os.getpgid(holder)
        if group == os.getpgrp():
            os.kill(holder, signal.SIGINT)
        else:  # with its workers, as a key press in a terminal would
            os.killpg(group, signal.SIGINT)

    def start(self, command: str, arguments: Sequence[str]) -> Job:
        """Start ``shoal COMMAND ARGUMENTS`` in a process of its own, which goes on if this one ends.

        Args:
            command: of shoal: run, train, team, simulate, calibrate.
            arguments: as on the command line; ``--out`` is added.
        """
        logs = self.out / LOGS
        logs.mkdir(parents=True, exist_ok=True)
        log = logs / f"{command}-{time.strftime('%Y%m%d-%H%M%S')}-{os.urandom(3).hex()}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "shoal", command, *arguments, "--out", str(self.out)],
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        return Job(process, log)

    def launch(self, system: str, size: Size, seeds: int | None, model: str | None, settings: Mapping[str, Any]) -> Job:
        """Start a run of a system. Raises UnknownName or InputError before anything is started."""
        find_study(system).configure(size, settings)
        options = ["--size", size]
        options += ["--seeds", str(seeds)] if seeds is not None else []
        options += ["--model", model] if model else []
        return self.start("run", [system, *options, *assignments(settings)])

    def trace(self, name: str) -> Trace:
        """The events of a run; while it goes on, those of the trials begun so far."""
        path = self.run(name).path
        merged = path / "events.jsonl"
        if merged.is_file():
            return _read_trace(merged, merged.stat().st_mtime_ns)
        events = [event for part in sorted((path / "events").glob("*.jsonl")) for event in read_trace(part)]
        return Trace(events)

    def resume(self, name: str) -> Job:
        """Go on with an unfinished run of a system. Raises InputError for what cannot be resumed from here."""
        info = self.run(name).info
        if info.get("kind") != "study" or info["status"] == "finished":
            raise InputError("run", name, "Only unfinished runs of systems can be resumed here.")
        return self.start("run", [info["name"], *run_options(info)])


@dataclass(frozen=True)
class Job:
    """A command that was started.

    Attributes:
        process: of the command.
        log: what it printed.
    """

    process: subprocess.Popen[bytes]
    log: Path

    def code(self) -> int | None:
        """Its exit code; None while it runs."""
        return self.process.poll()

    def said(self, characters: int = 2000) -> str:
        """The end of what it printed."""
        return self.log.read_text(errors="replace")[-characters:]

    def folder(self, workspace: Workspace) -> RunFolder | None:
        """The run that it works on; None before it has one."""
        return next((f for f in workspace.runs() if f.info.get("process") == self.process.pid), None)


def run_options(info: Mapping[str, Any]) -> list[str]:
    """The command-line options that make a run like this one."""
    options = ["--size", str(info["size"]), "--root-seed", str(info.get("root_seed", 0))]
    if info.get("asked_seeds") is not None:
        options += ["--seeds", str(info["asked_seeds"])]
    models = set(info.get("models", {}).values())
    if len(models) == 1:
        options += ["--model", models.pop()]
    return options + assignments(info.get("config", {}))


def assignments(settings: Mapping[str, Any]) -> list[str]:
    """Settings as ``--set key=value`` options."""
    return [part for key, value in settings.items() for part in ("--set", f"{key}={_yaml(value)}")]


@lru_cache(maxsize=20_000)
def _read_info(path: Path, changed: int) -> Mapping[str, Any]:
    return RunFolder.load(path).info


@lru_cache(maxsize=4)
def _read_trace(path: Path, changed: int) -> Trace:
    return read_trace(path)


def _yaml(value: Any) -> str:
    import yaml

    return yaml.safe_dump(value, default_flow_style=True, width=10**6).removesuffix("\n").removesuffix("\n...")
