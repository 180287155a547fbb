"""inspect_ai evaluation logs: ``.json`` documents and ``.eval`` archives; each sample and epoch is a run.

Scores and targets become labels. Texts that the log keeps apart (attachments, shared messages) are put back in place.
"""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import orjson

from shoal.traces.events import Usage
from shoal.traces.importers.book import Book, usage_of
from shoal.traces.importers.chat import add_turn
from shoal.traces.importers.content import chat, compact, listed, rest, text_of
from shoal.traces.importers.registration import importer
from shoal.traces.importers.source import LARGEST_DOCUMENT, Source

_ZSTANDARD = 93
_ATTACHED = "attachment://"


def recognise(source: Source) -> float:
    """Sure of documents with an eval section and samples, and of archives with a header and samples."""
    if source.shape == "archive":
        names = source.members
        return float("header.json" in names or any(n.startswith(("samples/", "_journal/")) for n in names))
    record = source.sample[0] if source.sample else None
    return float(isinstance(record, dict) and isinstance(record.get("eval"), dict) and "version" in record)


@importer("inspect-ai", "inspect_ai evaluation logs (.json, .eval)", recognise)
def read(source: Source, book: Book) -> None:
    """Write the events of each sample, or its messages where the log holds no events."""
    book.check_clock = False
    if source.shape == "archive":
        for name in sorted(n for n in source.members if n.startswith("samples/") and n.endswith(".json")):
            data = _member(source, name)
            if data is not None:
                try:
                    _sample(orjson.loads(data), f"{source.name}:{name}", book)
                except orjson.JSONDecodeError as error:
                    book.problems.add("not JSON", f"{source.name}:{name}", str(error))
        return
    for place, record in source.objects():
        samples = record.get("samples")
        if not isinstance(samples, list):
            book.problems.add("no samples", place, str(record.get("status") or ""))
            continue
        for position, sample in enumerate(samples):
            _sample(sample, f"{place} samples[{position}]", book)


def _member(source: Source, name: str) -> bytes | None:
    """One file of an archive; also in Zstandard, which Python's zipfile does not read before 3.14."""
    try:
        with zipfile.ZipFile(source.path) as archive:
            entry = archive.getinfo(name)
            if entry.file_size > LARGEST_DOCUMENT:
                source.problems.add("document too large", f"{source.name}:{name}", entry.file_size)
                return None
            if entry.compress_type != _ZSTANDARD:
                return archive.read(name)
        return _unpacked(source.path, entry)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError, struct.error) as error:
        source.problems.add("torn archive", f"{source.name}:{name}", error)
    except Exception as error:  # the decompressors raise errors of their own kinds
        source.problems.add("torn archive", f"{source.name}:{name}", type(error).__name__)
    return None


def _unpacked(path: Path, entry: zipfile.ZipInfo) -> bytes:
    """Polars carries a Zstandard decoder and applies it to any input that begins with its magic number."""
    import polars as pl

    with path.open("rb") as file:
        file.seek(entry.header_offset)
        header = file.read(30)
        names, extra = struct.unpack("<HH", header[26:30])
        file.seek(names + extra, io.SEEK_CUR)
        packed = file.read(entry.compress_size)
    lines = pl.read_lines(io.BytesIO(packed)).to_series().to_list()
    return "\n".join(line or "" for line in lines).encode()


def _sample(sample: Any, place: str, book: Book) -> None:
    if not isinstance(sample, dict):
        book.problems.add("not an object", place, compact(sample))
        return
    run = f"{sample.get('id', 'sample')}-{sample.get('epoch', 1)}"
    attached = sample.get("attachments")
    shared = sample.get("events_data")
    pool = shared.get("messages") if isinstance(shared, dict) else None
    texts = attached if isinstance(attached, dict) else {}
    book.add(run, "", "task.start", {"text": text_of(_whole(sample.get("input"), texts))}, where=place)
    events = sample.get("events")
    if isinstance(events, list) and any(isinstance(e, dict) and e.get("event") in ("model", "tool") for e in events):
        _events(events, texts, pool if isinstance(pool, list) else [], run, place, book)
    else:
        for position, message in enumerate(listed(sample.get("messages"))):
            if isinstance(message, dict):
                add_turn(_whole(message, texts), run, f"{place} messages[{position}]", book)
    output = sample.get("output")
    if isinstance(output, dict) and output.get("completion"):
        book.add(run, "", "task.end", {"answer": _whole(output["completion"], texts)}, where=place)
    facts = {k: sample[k] for k in ("target", "scores") if sample.get(k) not in (None, "", {})}
    used = (
        "id",
        "epoch",
        "input",
        "target",
        "scores",
        "messages",
        "events",
        "output",
        "attachments",
        "events_data",
        "store",
    )
    book.label(run, facts | {"about": rest(sample, *used).get("source", {})})


def _events(events: list[Any], texts: dict[str, str], pool: list[Any], run: str, place: str, book: Book) -> None:
    spans: dict[str, tuple[str, str]] = {}  # span id -> (agent, parent span)
    for position, event in enumerate(events):
        where = f"{place} events[{position}]"
        if not isinstance(event, dict):
            book.problems.add("not an object", where, compact(event))
            continue
        kind, span = event.get("event"), str(event.get("span_id") or "")
        above, agent = spans.get(span, ("", ""))[1], _agent(spans, span)
        common: dict[str, Any] = {"where": where, "time": event.get("timestamp")}
        if kind == "span_begin":
            own, outer = str(event.get("id") or ""), str(event.get("parent_id") or "")
            spans[own] = (str(event.get("name") or "") if event.get("type") == "agent" else "", own)
            if not spans[own][0]:
                spans[own] = (_agent(spans, outer), own)
            facts = {"name": event.get("name"), "type": event.get("type")}
            kind = "agent.start" if event.get("type") == "agent" else "span"
            book.add(run, spans[own][0], kind, facts, id=own, parents=(outer,) if outer in spans else (), **common)
        elif kind == "model":
            _model(event, texts, pool, run, agent, above, book, common)
        elif kind == "tool":
            facts = {
                "tool": str(event.get("function") or ""), "arguments": event.get("arguments"),
                "content": text_of(_whole(event.get("result"), texts)), "error": bool(event.get("error")),
                "call_id": str(event.get("id") or ""),
            }  # fmt: skip
            used = ("event", "uuid", "span_id", "timestamp", "function", "arguments", "result", "error", "id", "events")
            facts |= {"failure": event["error"]} if event.get("error") else {}
            parents = (above,) if above else ()
            book.add(
                run, agent, "tool.result", facts | rest(event, *used), id=event.get("uuid"), parents=parents, **common
            )
        elif kind not in ("span_end", "state", "store", "sample_init", "score", "step"):
            book.add(run, agent, "note", {"type": kind, **rest(event, "event", "span_id", "timestamp")}, **common)


def _model(
    event: dict[str, Any], texts: dict[str, str], pool: list[Any], run: str, agent: str, above: str, book: Book,
    common: dict[str, Any],
) -> None:  # fmt: skip
    read = event.get("input") or [
        message
        for pair in listed(event.get("input_refs"))
        if isinstance(pair, list) and len(pair) == 2 and all(isinstance(n, int) for n in pair)
        for message in pool[pair[0] : pair[1]]
    ]
    found = event.get("output")
    output: dict[str, Any] = found if isinstance(found, dict) else {}
    choices = output.get("choices")
    message = (
        choices[0].get("message") if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    )
    message = message if isinstance(message, dict) else {}
    facts = {
        "prompt": chat(_whole(read, texts)), "text": text_of(_whole(message.get("content"), texts)),
        "model": event.get("model"),
    }  # fmt: skip
    if message.get("tool_calls"):
        facts["tool_calls"] = message["tool_calls"]
    if event.get("error"):
        facts |= {"error": str(event["error"])[:2000], "failure": "error"}
    used = ("event", "uuid", "span_id", "timestamp", "input", "input_refs", "output", "tools", "error", "traceback",
            "traceback_ansi", "call", "model")  # fmt: skip
    kind = "model.failure" if event.get("error") else "model.call"
    usage: Usage | None = usage_of(output.get("usage"))
    parents = (above,) if above else ()
    book.add(run, agent, kind, facts | rest(event, *used), id=event.get("uuid"), parents=parents, usage=usage, **common)


def _agent(spans: dict[str, tuple[str, str]], span: str) -> str:
    return spans.get(span, ("", ""))[0]


def _whole(value: Any, texts: dict[str, str], depth: int = 0) -> Any:
    """The value with attachments put back."""
    if isinstance(value, str):
        return texts.get(value.removeprefix(_ATTACHED), value) if value.startswith(_ATTACHED) else value
    if depth > 20:
        return value
    if isinstance(value, list):
        return [_whole(item, texts, depth + 1) for item in value]
    if isinstance(value, dict):
        return {key: _whole(item, texts, depth + 1) for key, item in value.items()}
    return value
