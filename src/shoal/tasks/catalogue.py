"""The catalogue of tasks: what there is, and from the string that names a task to the task."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from shoal.errors import UnknownName
from shoal.registry import Registry
from shoal.runs.settings import parse_assignments, validate
from shoal.tasks.datasets import SOURCES, data_file
from shoal.tasks.files import open_bbh, open_file, open_gsm8k
from shoal.tasks.generation import GeneratedTask
from shoal.tasks.problem import Task

TASKS: Registry[type[GeneratedTask]] = Registry("task", "shoal.tasks.generated")
"""The generated tasks by name."""

_DATA_TASKS = {
    "gsm8k": ("grade-school word problems, written by people (gsm8k, or gsm8k:PATH)", ("number",)),
    "bbh": ("BIG-Bench Hard, one file a task (bbh:NAME, or bbh:PATH)", ("number", "choice", "boolean", "words")),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A task in the catalogue.

    Attributes:
        name: what ``open_task`` takes.
        title: what it is, in a few words.
        kinds: forms of its answers.
        settings: its settings with their defaults, for generated tasks.
        here: whether its data is on this machine.
    """

    name: str
    title: str
    kinds: tuple[str, ...]
    settings: dict[str, object]
    here: bool = True


def listing() -> list[Entry]:
    """All tasks, generated ones first."""
    entries = [
        Entry(name, kind.title, kind.kinds, {k: f.default for k, f in kind.model_fields.items()})
        for name, kind in TASKS.items()
    ]
    for name, (title, kinds) in _DATA_TASKS.items():
        entries.append(Entry(name, title, kinds, {}, data_file(SOURCES[name][0].partition("NAME")[0]) is not None))
    return entries


def open_task(spec: str) -> Task:
    """The task that ``spec`` names.

    Args:
        spec: a generated task, with settings if wanted (``arithmetic:digits=1,steps=2``); ``gsm8k`` or
            ``gsm8k:PATH``; ``bbh:NAME`` (the file's stem) or ``bbh:PATH``; or the path of a JSON Lines file with
            ``{"question": ..., "answer": ...}`` on each line (optional: id, options, kind).

    Raises:
        UnknownName: there is no such task or setting; the nearest are suggested.
        InputError: a setting is out of range, or the file is absent, empty, not UTF-8, not JSON or lacks an answer;
            the message names file and line.
    """
    name, _, rest = spec.partition(":")
    if name == "gsm8k":
        return open_gsm8k(rest)
    if name == "bbh":
        return open_bbh(rest)
    if name in TASKS:
        values = parse_assignments([part for part in rest.split(",") if part.strip()], f"task {name}")
        return validate(TASKS.get(name), values, f"task {name}")
    path = Path(spec).expanduser()
    if path.suffix in (".jsonl", ".json", ".ndjson") or "/" in spec or path.is_file():
        return open_file(path)
    raise UnknownName("task", name, [*TASKS.names(), *_DATA_TASKS])
