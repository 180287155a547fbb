"""Who&When failure logs (Zhang et al., arXiv 2505.00212, ICML 2025), both of its forms.

Algorithm-generated logs name the speaker in ``name``; hand-crafted ones in ``role`` ("WebSurfer", "Orchestrator
(thought)", "Orchestrator (-> WebSurfer)", "human"). The step of an event is the index in ``history``, so that the
annotated step can be compared. Annotation and right answer become labels and are not among the events.
"""

from __future__ import annotations

import re
from typing import Any

from shoal.traces.importers.book import Book
from shoal.traces.importers.content import compact, rest, text_of
from shoal.traces.importers.registration import importer, share
from shoal.traces.importers.source import Source

LABELS = ("mistake_agent", "mistake_step", "mistake_reason", "ground_truth", "is_correct", "is_corrected")
_ADDRESSED = re.compile(r"^(.*?)\s*\(\s*->\s*(.*?)\s*\)\s*$")
_ASIDE = re.compile(r"^(.*?)\s*\(\s*([^()]*?)\s*\)\s*$")


def recognise(source: Source) -> float:
    """Sure of records with a history and an annotation or question id."""
    return share(
        source,
        lambda r: (
            isinstance(r.get("history"), list) and ("mistake_agent" in r or "mistake_step" in r or "question_ID" in r)
        ),
    )


@importer("who-and-when", "Who&When failure logs, algorithm-generated and hand-crafted", recognise)
def read(source: Source, book: Book) -> None:
    """Write each log as a run: one message for each entry of its history."""
    for number, (place, record) in enumerate(source.objects()):
        history = record.get("history")
        if not isinstance(history, list):
            book.problems.add("no history", f"{place} history", type(history).__name__)
            continue
        run = source.path.stem if source.shape == "document" and number == 0 else f"{source.path.stem}-{number}"
        if not history:
            book.problems.add("empty history", f"{place} history")
        for position, entry in enumerate(history):
            where = f"{place} history[{position}]"
            if not isinstance(entry, dict):
                book.problems.add("not an object", where, compact(entry))
                entry = {"content": text_of(entry)}
            agent, facts = speaker(entry)
            payload = {"content": text_of(entry.get("content")), **facts, **rest(entry, "content", "name", "role")}
            book.add(run, agent, "message", payload, where=where)
        # After the history, so that the steps of messages stay the indices that annotations use.
        about = {k: v for k, v in record.items() if k not in (*LABELS, "history", "question")}
        book.add(run, "", "task.start", {"text": text_of(record.get("question")), **about}, where=place)
        facts = {k: record[k] for k in LABELS if k in record}
        _check_labels(facts, len(history), place, book)
        book.label(run, facts)


def speaker(entry: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The speaker's name and what its bracket says: receivers ("to") or the mode ("aside")."""
    if entry.get("name"):
        return str(entry["name"]), {"role": str(entry.get("role") or "")}
    role = str(entry.get("role") or "")
    if found := _ADDRESSED.match(role):
        return found[1], {"to": [found[2]], "role": role}
    if found := _ASIDE.match(role):
        return found[1], {"aside": found[2], "role": role}
    return role, {}


def plain_name(agent: str) -> str:
    """A speaker's name without bracket and case, for comparing with the annotation ("Websurfer", "WebSurfer")."""
    return re.sub(r"\s*\(.*\)\s*$", "", agent).strip().casefold()


def _check_labels(facts: dict[str, Any], steps: int, place: str, book: Book) -> None:
    if "mistake_step" not in facts:
        return
    try:
        step = int(facts["mistake_step"])
    except (TypeError, ValueError):
        book.problems.add("step is no number", f"{place} mistake_step", facts["mistake_step"])
        return
    if not 0 <= step < steps:
        book.problems.add("step out of range", f"{place} mistake_step", f"{step}, the history has {steps} entries")
    facts["mistake_step"] = step
