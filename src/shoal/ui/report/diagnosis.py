"""The diagnosis that a report holds: suspects, findings and how far each detector can be trusted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from shoal.runs.folder import RunFolder
from shoal.ui.report.blocks import Section
from shoal.ui.trace_diagnosis import diagnosed, scored
from shoal.ui.trace_index import Document, TraceIndex, event_files
from shoal.ui.wording import outcome

SPOKEN = frozenset({"message", "model.call"})
"""Kinds of events of which a trace has one at least where agents talk."""
MOST_FINDINGS = 12


def diagnosis_document(path: Path, index: TraceIndex) -> Document | None:
    """What ``shoal diagnose`` finds in the trace, with positions of events; None where no agents talk.

    Args:
        path: the run's folder or the trace file.
        index: all of it.
    """
    if not SPOKEN & set(index.kinds):
        return None
    found = diagnosed(event_files(path) if path.is_dir() else (path,))
    talks = [_told(talk) for talk in found["conversations"]]
    if not talks:
        return None
    reasons = [reason for talk in talks for suspect in talk["suspects"] for reason in suspect["reasons"]]
    findings = [*reasons, *(finding for talk in talks for finding in talk["others"])]
    return {
        "summary": found["summary"], "left_out": found["left_out"], "talks": talks,
        "scores": {name: scored(name) for name in sorted({finding["detector"] for finding in findings})},
    }  # fmt: skip


def _told(talk: dict[str, Any]) -> Document:
    """What the page tells of one conversation: the first suspect and all with reasons, then what else was seen."""
    suspects = [s for rank, s in enumerate(talk["suspects"]) if s["reasons"] or rank == 0]
    named = [reason for suspect in suspects for reason in suspect["reasons"]]
    others = [finding for finding in talk["findings"] if finding not in named]
    return {
        "run": talk["run"], "headline": talk["headline"], "advice": talk["advice"],
        "suspects": [
            {name: suspect[name] for name in ("agent", "step", "confidence", "downstream", "position")}
            | {"path": suspect["positions"], "reasons": [_finding(reason) for reason in suspect["reasons"]]}
            for suspect in suspects
        ],
        "others": [_finding(finding) for finding in others[:MOST_FINDINGS]],
        "others_left_out": max(0, len(others) - MOST_FINDINGS),
    }  # fmt: skip


def _finding(finding: dict[str, Any]) -> Document:
    return {name: finding[name] for name in ("detector", "score", "evidence")} | {"events": finding["positions"][:4]}


def fork_section(run: RunFolder | None) -> Section:
    """What was changed in a forked run; empty for other runs."""
    section = Section("fork", "Fork")
    document: dict[str, Any] | None = run.info.get("fork") if run is not None else None
    if document:
        section.notes = [f"One message of the run {document['run']} was changed here, and the rest sampled anew."]
        section.facts = {
            "agent": f"{document['agent']}, reply number {document['turn'] + 1}",
            "said": document["said"],
            "says instead": str(document["reply"]),
            "outcome before": outcome(document["before"], document["before_right"]),
            "outcome after": outcome(document["after"], document["after_right"]),
        }
    return section
