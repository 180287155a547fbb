"""A trace as columns: who, what, when and from what, so that any window of it is told in milliseconds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from shoal.errors import InputError, UnknownName
from shoal.traces import Event, Usage
from shoal.traces.causality import Causality
from shoal.ui.workspace import Workspace

READABLE = (".json", ".jsonl", ".ndjson", ".eval", ".parquet", ".log", ".txt")
"""Ends of the names of files that may be opened as traces."""
MOST_RELATIVES = 40
GROWING = 10
"""Seconds: a trace that is being written is read anew this often, not for every window of it."""
COUNTED = ("calls", "prompt_tokens", "completion_tokens", "cached", "seconds", "money")
"""Columns of usage."""

Document = dict[str, Any]
Positions = NDArray[np.int64]
"""Places in the order in which events were written, from 0: what events go by here, for ids repeat between runs."""


@dataclass(frozen=True)
class Selection:
    """What of a trace is looked at.

    Attributes:
        part: name of one conversation; empty for the whole trace.
        agents: only these; empty for all.
        kinds: only these; empty for all.
        text: only events whose words hold it (or whose id it is); empty for all.
    """

    part: str = ""
    agents: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    text: str = ""


class TraceIndex:
    """The columns of a trace.

    Args:
        events: in the order in which they were written.
        form: name of the format that they were read from.
        problems: what could not be read, one line each.

    Attributes:
        agents: names in order of first appearance; empty for the run itself.
        kinds: in order of first appearance.
        agent: position in ``agents`` of each event [events].
        kind: position in ``kinds`` of each event [events].
        moment: seconds since the earliest event [events].
        children: later event of each link [links].
        parents: earlier event of each link [links].
        causality: ancestors and descendants.
    """

    def __init__(self, events: Sequence[Event], form: str = "shoal", problems: Sequence[str] = ()) -> None:
        self.events = events
        self.form = form
        self.problems = list(problems)
        self.agents, self.agent = _coded([e.agent for e in events])
        self.kinds, self.kind = _coded([e.kind for e in events])
        self.moment = _moments([e.time for e in events])
        self.children, self.parents = _links(events)
        self.causality = Causality(len(events), self.children, self.parents)
        self._masks: dict[Selection, NDArray[np.bool_]] = {}

    def __len__(self) -> int:
        return len(self.events)

    @cached_property
    def parts(self) -> dict[str, Positions]:
        """Positions of the conversations by name: one for each run, or for each task where a run holds several."""
        from shoal.diagnosis.conversation import parts

        place = {id(event): position for position, event in enumerate(self.events)}
        return {name: np.array([place[id(e)] for e in group]) for name, group in parts(self.events)}

    @cached_property
    def texts(self) -> list[str]:
        """What each event says, as it is searched [events]."""
        return [words(event).casefold() for event in self.events]

    @cached_property
    def spent(self) -> NDArray[np.float64]:
        """What each event cost [events, COUNTED]."""
        none = Usage()
        rows = [[getattr(e.usage or none, name) for name in COUNTED] for e in self.events]
        return np.array(rows, dtype=np.float64).reshape(-1, len(COUNTED))

    def of_part(self, name: str) -> Positions:
        """Positions of a conversation, or of all. Raises UnknownName."""
        if not name:
            return np.arange(len(self))
        if name not in self.parts:
            raise UnknownName("part", name[:200], list(self.parts)[:20])
        return self.parts[name]

    def mask(self, selection: Selection) -> NDArray[np.bool_]:
        """Whether each event is in a selection [events]. Raises UnknownName."""
        if selection not in self._masks:
            chosen = np.zeros(len(self), bool)
            chosen[self.of_part(selection.part)] = True
            for wanted, names, codes in (
                (selection.agents, self.agents, self.agent),
                (selection.kinds, self.kinds, self.kind),
            ):
                if wanted:
                    chosen &= np.isin(codes, [names.index(n) for n in wanted if n in names])
            if selection.text:
                chosen &= self._saying(selection.text)
            if len(self._masks) > 16:
                self._masks.clear()
            self._masks[selection] = chosen
        return self._masks[selection]

    def found(self, selection: Selection) -> Positions:
        """Positions of a selection, in order."""
        return np.flatnonzero(self.mask(selection))

    def beside(self, position: int, selection: Selection, step: int, own: bool = False) -> int | None:
        """The next (step 1) or previous (-1) event of a selection; of the same agent if ``own``. None at the end."""
        chosen = self.mask(selection)
        if own:
            chosen = chosen & (self.agent == self.agent[position])
        places = np.flatnonzero(chosen)
        at = np.searchsorted(places, position, "right") if step > 0 else np.searchsorted(places, position) - 1
        return int(places[at]) if 0 <= at < len(places) else None

    def parents_of(self, position: int) -> list[int]:
        """Events that it was made from, in order."""
        low, high = np.searchsorted(self.children, [position, position + 1])
        return sorted(self.parents[low:high].tolist())

    def children_of(self, position: int) -> list[int]:
        """Events that were made from it, in order."""
        order, sources = self._downwards
        low, high = np.searchsorted(sources, [position, position + 1])
        return sorted(self.children[order[low:high]].tolist())

    def relatives(self, position: int) -> tuple[Positions, Positions]:
        """All ancestors and all descendants of an event. Raises UnknownName."""
        self.check(position)
        return _relatives(self.causality, position)

    def check(self, position: int) -> None:
        """Raise UnknownName where there is no such event."""
        if not 0 <= position < len(self):
            raise UnknownName("event", str(position), [f"0 to {len(self) - 1}"])

    def generations(self, position: int, most: int = MOST_RELATIVES) -> dict[int, int]:
        """The nearest relatives by generation: -1 for parents, 1 for children, and on, up to three each way.

        Args:
            position: the event, itself generation 0.
            most: relatives each way.
        """
        found = {position: 0}
        for step, related in ((-1, self.parents_of), (1, self.children_of)):
            front = [position]
            for generation in (1, 2, 3):
                front = [r for p in front for r in related(p)]
                room = most * (1 if step < 0 else 2) + 1 - len(found)
                front = [r for r in dict.fromkeys(front) if r not in found][: max(0, room)]
                found |= dict.fromkeys(front, step * generation)
        return found

    @cached_property
    def _downwards(self) -> tuple[Positions, Positions]:
        order = np.argsort(self.parents, kind="stable")
        return order, self.parents[order]

    def _saying(self, text: str) -> NDArray[np.bool_]:
        wanted = text.strip().casefold()
        return np.array(
            [wanted in said or wanted == e.id for said, e in zip(self.texts, self.events, strict=True)], bool
        )


def words(event: Event) -> str:
    """What an event says: its text, or the rest of its payload without the prompt."""
    payload = event.payload
    for name in ("text", "content", "output", "error", "reason"):
        if isinstance(said := payload.get(name), str) and said:
            return said
    rest = {name: value for name, value in payload.items() if name not in ("prompt", "source") and value != ""}
    return orjson.dumps(rest, default=str, option=orjson.OPT_NON_STR_KEYS).decode() if rest else ""


def brief(event: Event, longest: int = 100) -> str:
    """The beginning of an event's words, on one line."""
    line = " ".join(words(event)[: 4 * longest].split())
    return line if len(line) <= longest else line[:longest] + " ..."


def open_index(workspace: Workspace, run: str = "", file: str = "") -> TraceIndex:
    """The index of a run's trace, or of a trace file of any framework in the folder of runs.

    Raises:
        UnknownName: there is no such run or file, or it lies outside the folder.
        InputError: neither or both are named, or the run has no events.
    """
    paths = trace_files(workspace, run, file)
    changed = [path.stat().st_mtime for path in paths]
    if (now := time.time()) - max(changed) < GROWING:  # it may still be written: read it anew now and then only
        changed = [now // GROWING]
    return _index(paths, tuple(changed))


def trace_files(workspace: Workspace, run: str = "", file: str = "") -> tuple[Path, ...]:
    """The files that hold the events. Raises as ``open_index``."""
    if bool(run) == bool(file):
        raise InputError("trace", run or "", "Name a run or a file, one of them.")
    if file:
        return (_inside(workspace, file),)
    found = event_files(workspace.run(run).path)
    if not found:
        raise InputError("run", run, "It has written no events.")
    return found


def event_files(folder: Path) -> tuple[Path, ...]:
    """The files of a run's folder that hold its events; none where it has written none."""
    merged = folder / "events.jsonl"
    return (merged,) if merged.is_file() else tuple(sorted((folder / "events").glob("*.jsonl")))


def _inside(workspace: Workspace, name: str) -> Path:
    """A file of the folder of runs by its path there; links that lead out of it are not followed."""
    root = workspace.out.resolve()
    if "\0" not in name and len(name) < 1000:
        try:
            path = (root / name).resolve()
            inside = path.is_relative_to(root) and not any(p.startswith(".") for p in path.relative_to(root).parts)
            if inside and path.suffix.lower() in READABLE and path.is_file():
                return path
        except (OSError, RuntimeError, ValueError):  # too long, links in a circle, no text of the file system
            pass
    raise UnknownName("trace file", name[:80], foreign_files(workspace))


def foreign_files(workspace: Workspace, most: int = 200) -> list[str]:
    """Trace files that lie in the folder of runs and belong to no run, by their paths there."""
    found = []
    for path in sorted(workspace.out.glob("*")):
        if path.name.startswith(".") or (path / "run.json").is_file():
            continue
        found += [path] if path.is_file() else [p for p in sorted(path.rglob("*")) if p.is_file()]
    inside = [p for p in found if p.suffix.lower() in READABLE and p.resolve().is_relative_to(workspace.out.resolve())]
    return [str(p.relative_to(workspace.out)) for p in inside][:most]


@lru_cache(maxsize=3)
def _index(paths: tuple[Path, ...], changed: tuple[float, ...]) -> TraceIndex:
    return read_index(paths)


def read_index(paths: Sequence[Path]) -> TraceIndex:
    """The index of what some files hold, in any format that can be imported. Raises InputError."""
    from shoal.traces.importers import import_trace

    read = [import_trace(path) for path in paths]
    forms = "+".join(dict.fromkeys(part.format for part in read))
    return TraceIndex(
        [event for part in read for event in part.trace if event.kind != "trace.start"],
        forms,
        [str(problem) for part in read for problem in part.problems.located],
    )


@lru_cache(maxsize=16)
def _relatives(causality: Causality, position: int) -> tuple[Positions, Positions]:
    return causality.ancestors_of(position), causality.descendants_of(position)


def _coded(values: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """Names in order of first appearance, and the place of each value among them."""
    codes: dict[str, int] = {}
    coded = np.array([codes.setdefault(value, len(codes)) for value in values], dtype=np.int64)
    return list(codes), coded


def _moments(times: Sequence[float]) -> NDArray[np.float64]:
    """Seconds since the earliest known time; events without a time count as that."""
    known = [time for time in times if time > 0]
    first = min(known, default=0.0)
    return np.array([max(0.0, time - first) for time in times], dtype=np.float64)


def _links(events: Sequence[Event]) -> tuple[Positions, Positions]:
    """Later and earlier event of each link, by the later one; ids count within their run."""
    places: dict[tuple[str, str], int] = {}
    for position, event in enumerate(events):
        places.setdefault((event.run, event.id), position)
    pairs = [
        (position, places[event.run, parent])
        for position, event in enumerate(events)
        for parent in event.parents
        if (event.run, parent) in places
    ]
    links = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return links[:, 0], links[:, 1]
