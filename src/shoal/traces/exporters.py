"""Traces for other tools: JSON Lines, Parquet, and OpenTelemetry spans (OTLP JSON, GenAI conventions)."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson

from shoal.errors import InputError, StorageError
from shoal.traces.events import SCHEMA_VERSION, Event
from shoal.traces.importers.book import LABEL
from shoal.traces.importers.content import compact
from shoal.traces.importers.importing import Imported
from shoal.traces.problems import Problems
from shoal.traces.reader import Trace, write_parquet

_LINE = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS | orjson.OPT_APPEND_NEWLINE


def merged(files: Sequence[Imported]) -> Imported:
    """Many imports as one; runs of the same name in different files are told apart by the file's name."""
    if len(files) == 1:
        return files[0]
    seen: dict[str, Path] = {}
    events: list[Event] = []
    problems, redacted, labels = Problems(), Counter[str](), dict[str, dict[str, Any]]()
    for file in files:
        names = {
            run: run if seen.setdefault(run, file.path) == file.path else f"{file.path.stem}:{run}" for run in file.runs
        }
        for event in file.trace:
            event.run = names[event.run]
            events.append(event)
        labels.update({names.get(run, run): facts for run, facts in file.labels.items()})
        problems.extend(file.problems)
        redacted.update(file.redacted)
    first = files[0]
    return Imported(first.path.parent, first.format, Trace(events), problems, dict(redacted), labels)


def export_trace(imported: Imported, path: Path, form: str = "") -> None:
    """Write a trace.

    Args:
        imported: what to write; labels go along in JSON Lines only, as events of the kind "label".
        path: the file; its name decides the form if none is given.
        form: "jsonl", "parquet" or "otlp".

    Raises:
        InputError: neither name nor ``form`` tells a form.
        StorageError: the file cannot be written.
    """
    chosen = form or _form_of(path)
    if chosen not in WRITERS:
        raise InputError("--as", form or path.name, f"Use one of {', '.join(WRITERS)}, or end the name accordingly.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        WRITERS[chosen](imported, path)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error


def _form_of(path: Path) -> str:
    name = path.name.lower()
    if name.endswith((".otlp.json", ".otlp.jsonl")) or name.endswith(".json"):
        return "otlp"
    return "parquet" if name.endswith(".parquet") else "jsonl" if name.endswith((".jsonl", ".ndjson")) else ""


def _write_jsonl(imported: Imported, path: Path) -> None:
    with path.open("wb") as file:
        start = Event("start", path.stem, 0.0, 0, "", "trace.start", (), {"schema": SCHEMA_VERSION})
        file.write(orjson.dumps(start.as_dict(), option=_LINE))
        for event in imported.trace:
            file.write(orjson.dumps(event.as_dict(), default=str, option=_LINE))
        for number, (run, facts) in enumerate(imported.labels.items()):
            label = Event(f"label.{number}", run, 0.0, 0, "", LABEL, (), facts)
            file.write(orjson.dumps(label.as_dict(), default=str, option=_LINE))


def _write_parquet(imported: Imported, path: Path) -> None:
    write_parquet(imported.trace, path)


def _write_otlp(imported: Imported, path: Path) -> None:
    path.write_bytes(orjson.dumps(otlp(imported.trace.events), default=str, option=orjson.OPT_NON_STR_KEYS))


def otlp(events: Sequence[Event]) -> dict[str, Any]:
    """One OTLP trace export request of all events: a trace for each run, a span for each event.

    Model calls, tools and agents get the attributes of the GenAI conventions; ``shoal.*`` attributes hold the event
    whole, so that nothing is lost on the way back.
    """
    known = {(event.run, event.id) for event in events}
    spans = [_span(event, known) for event in events if event.kind != "trace.start"]
    resource = {"attributes": _attributes({"service.name": "shoal"})}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {"name": "shoal"}, "spans": spans}]}]}


def _span(event: Event, known: set[tuple[str, str]]) -> dict[str, Any]:
    name, about = _described(event)
    begin = int(event.time * 1e9)
    span: dict[str, Any] = {
        "traceId": _hex(event.run, 32),
        "spanId": _hex(f"{event.run}\n{event.id}", 16),
        "name": name,
        "kind": 1,
        "startTimeUnixNano": str(begin),
        "endTimeUnixNano": str(begin + int((event.usage.seconds if event.usage else 0.0) * 1e9)),
        "attributes": _attributes(about),
        "status": {"code": 2} if event.kind == "model.failure" else {},
    }
    parents = [_hex(f"{event.run}\n{p}", 16) for p in event.parents if (event.run, p) in known]
    if parents:
        span["parentSpanId"] = parents[0]
        span["links"] = [{"traceId": span["traceId"], "spanId": p} for p in parents[1:]]
    return span


def _described(event: Event) -> tuple[str, dict[str, Any]]:
    """A span's name, and its attributes: the event whole, then what the GenAI conventions call its parts."""
    payload, usage = event.payload, event.usage
    about: dict[str, Any] = {
        "shoal.id": event.id,
        "shoal.run": event.run,
        "shoal.kind": event.kind,
        "shoal.agent": event.agent,
        "shoal.parents": compact(list(event.parents)),
        "shoal.payload": compact(payload),
    }
    if event.agent:
        about["gen_ai.agent.name"] = event.agent
    name = f"{event.kind} {event.agent}".strip()
    if event.kind in ("model.call", "model.failure"):
        name = f"chat {event.agent}".strip()
        about |= {"gen_ai.operation.name": "chat", "gen_ai.input.messages": compact(payload.get("prompt") or [])}
        said = [{"role": "assistant", "parts": [{"type": "text", "content": payload.get("text", "")}]}]
        about["gen_ai.output.messages"] = compact(said)
        if payload.get("model"):
            about["gen_ai.request.model"] = str(payload["model"])
    elif event.kind.startswith("tool."):
        name = f"execute_tool {payload.get('tool', '')}".strip()
        about |= {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": str(payload.get("tool", ""))}
    elif event.kind.startswith("agent."):
        about["gen_ai.operation.name"] = "invoke_agent"
    if usage is not None:
        about |= {
            "gen_ai.usage.input_tokens": usage.prompt_tokens,
            "gen_ai.usage.output_tokens": usage.completion_tokens,
        }
    return name, about


def _attributes(values: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"key": key, "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": str(value)}}
        for key, value in values.items()
    ]


def _hex(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:digits]


WRITERS: dict[str, Callable[[Imported, Path], None]] = {
    "jsonl": _write_jsonl,
    "parquet": _write_parquet,
    "otlp": _write_otlp,
}
"""Forms by name."""
