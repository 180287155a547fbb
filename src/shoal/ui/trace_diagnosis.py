"""The diagnosis of a trace with places in it, and how well each detector does on planted faults."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from shoal.ui.trace_index import Document

MOST_SHOWN = 20
"""Conversations that are told in full, the worst first; the others only count."""


def diagnosed(paths: Sequence[Path], part: str = "", failed: bool | None = None) -> Document:
    """The verdict of ``shoal diagnose`` on each conversation of a trace.

    Meant to run in a process of its own: a hundred thousand events take half a minute.

    Args:
        paths: files of the trace.
        part: only this conversation; empty for all.
        failed: how it ended, where the trace does not tell.

    Returns:
        ``summary`` and ``conversations``; suspects, their paths and findings have ``positions`` of events.
    """
    from shoal.diagnosis.attribution import diagnose
    from shoal.diagnosis.conversation import conversations
    from shoal.diagnosis.verdict import summary
    from shoal.traces.importers import import_trace

    read = [import_trace(path) for path in paths]
    events = [event for one in read for event in one.trace if event.kind != "trace.start"]
    places = {id(event): position for position, event in enumerate(events)}
    labels = {run: facts for one in read for run, facts in one.labels.items()}
    talks = [talk for talk in conversations(events) if part in ("", talk.run)]
    for talk in talks:
        known = labels.get(talk.run, {}).get("is_correct")
        if talk.correct is None and isinstance(known, bool):
            talk.correct = known
    verdicts = [diagnose(talk, failed=failed) for talk in talks]
    verdicts.sort(key=lambda d: (d.failed is not True, d.failed is not None))
    return {
        "summary": summary(verdicts),
        "conversations": [_placed(d, places) for d in verdicts[:MOST_SHOWN]],
        "left_out": max(0, len(verdicts) - MOST_SHOWN),
    }


def _placed(diagnosis: Any, places: dict[int, int]) -> Document:
    """The document of a diagnosis, each event named by its position in the trace."""
    from shoal.diagnosis.verdict import document

    talk = diagnosis.conversation
    found = document(diagnosis)
    own = {event.id: places[id(event)] for event in talk.events}

    def place(finding: dict[str, Any]) -> None:
        finding["positions"] = [own[e] for e in finding["events"] if e in own]

    for suspect in found["suspects"]:
        suspect["position"] = own.get(suspect["event"])
        suspect["positions"] = [places[id(talk.steps[step].event)] for step in suspect["path"]]
        for finding in suspect["reasons"]:
            place(finding)
    for finding in found["findings"]:
        place(finding)
    return found


@cache
def detector_scores() -> dict[str, Document]:
    """Scores of each detector on planted faults, as committed: precision, recall and false alarms over its faults.

    Empty where shoal runs from an installed package, which has no committed figures.
    """
    from shoal.studies.record import results_folder

    folder = results_folder()
    path = folder.parent / "benchmarks" / "results" / "diagnosis.json" if folder else None
    if path is None or not path.is_file():
        return {}
    rows = orjson.loads(path.read_bytes()).get("detectors", [])
    return {row["detector"]: row for row in rows if row.get("fault") == "all"}


def scored(detector: str) -> str:
    """One line about how far a detector can be trusted."""
    row = detector_scores().get(detector)
    if row is None:
        return "not scored on planted faults"
    return (
        f"planted faults: found {row['recall']:.0%} of {row['planted']}, {row['precision']:.0%} of its alarms right, "
        f"false alarms in {row['false_alarms']:.1%} of clean runs"
    )
