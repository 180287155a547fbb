"""OpenAI Agents SDK: traces and spans as its exporter sends them, one to a line or in a list."""

from __future__ import annotations

from typing import Any

from shoal.traces.events import Usage
from shoal.traces.importers.book import Book, seconds, usage_of
from shoal.traces.importers.content import chat, compact, listed, rest, text_of
from shoal.traces.importers.registration import importer
from shoal.traces.importers.source import Source

_SPAN = ("object", "id", "trace_id", "parent_id", "started_at", "ended_at", "span_data", "error")


def recognise(source: Source) -> float:
    """Sure of records with the SDK's object names, alone or under ``data``."""
    sample = source.sample
    if not sample:
        return 0.0
    return sum(any(_is_item(item) for item in _items(r)[:5]) for r in sample) / len(sample)


@importer("openai-agents", "OpenAI Agents SDK traces and spans", recognise)
def read(source: Source, book: Book) -> None:
    """Write spans in the order in which they began; a span's agent is that of the agent span around it."""
    spans: list[tuple[str, dict[str, Any]]] = []
    book.check_clock = False
    for place, record in source.objects():
        for item in _items(record):
            if isinstance(item, dict) and item.get("object") == "trace":
                run = str(item.get("id") or source.path.stem)
                facts = {"name": item.get("workflow_name"), **rest(item, "object", "id", "workflow_name")}
                book.add(run, "", "trial.start", facts, where=place, id=f"{run}.start")
            elif _is_item(item):
                spans.append((place, item))
            else:
                book.problems.add("no trace or span", place, compact(item))
    agents = _agents([span for _, span in spans])
    for place, span in sorted(spans, key=lambda entry: seconds(entry[1].get("started_at")) or 0.0):
        _add(span, agents.get(_key(span), ""), place, book)


def _add(span: dict[str, Any], agent: str, place: str, book: Book) -> None:
    found = span.get("span_data")
    data: dict[str, Any] = found if isinstance(found, dict) else {}
    kind, facts, usage = _said(data)
    if span.get("error"):
        facts |= {"error": span["error"]}
        kind = "model.failure" if kind == "model.call" else kind
    begun, ended = seconds(span.get("started_at")), seconds(span.get("ended_at"))
    if begun is not None and ended is not None:
        facts["seconds"] = round(ended - begun, 6)
        if ended < begun:
            book.problems.add("clock goes backwards", place, f"the span ends {begun - ended:.3f} s before it begins")
    run = str(span.get("trace_id") or "trace")
    parents = (str(span["parent_id"]),) if span.get("parent_id") else ()
    book.add(
        run, agent, kind, facts | rest(span, *_SPAN), where=place, id=span.get("id"), time=span.get("started_at"),
        parents=parents, usage=usage,
    )  # fmt: skip


def _said(data: dict[str, Any]) -> tuple[str, dict[str, Any], Usage | None]:
    """Kind, payload and usage of a span's data."""
    kind = str(data.get("type") or "custom")
    if kind in ("generation", "response"):
        output, usage = data.get("output"), data.get("usage")
        found = data.get("response")
        if isinstance(found, dict):
            output, usage = output or found.get("output"), usage or found.get("usage")
        facts = {"prompt": chat(data.get("input")), "text": text_of(output), "model": data.get("model")}
        calls = _tool_calls(output)
        facts |= {"tool_calls": calls} if calls else {}
        return "model.call", facts | rest(data, "type", "input", "output", "model", "usage"), usage_of(usage)
    if kind in ("function", "mcp_tools"):
        facts = {"tool": str(data.get("name") or data.get("server") or ""), "arguments": data.get("input")}
        facts["content"] = text_of(data.get("output", data.get("result")))
        return "tool.result", facts | rest(data, "type", "name", "input", "output", "result"), None
    if kind == "handoff":
        facts = {"to": [str(data.get("to_agent") or "")], "content": f"hands over to {data.get('to_agent')}"}
        return "handoff", facts | rest(data, "type", "to_agent"), None
    if kind == "agent":
        return "agent.start", {"name": data.get("name"), **rest(data, "type", "name")}, None
    return "span", {"type": kind, "name": data.get("name"), **rest(data, "type", "name")}, None


def _agents(spans: list[dict[str, Any]]) -> dict[tuple[str, str], str]:
    """The agent of each span: its own name if it is an agent's, else that of the nearest span above or below it that
    names one.
    """
    by_id = {_key(span): span for span in spans}
    named = {key: name for key, span in by_id.items() if (name := _own_name(span))}
    found: dict[tuple[str, str], str] = {}
    for key in by_id:
        at, seen = key, set[tuple[str, str]]()
        while at in by_id and at not in seen and at not in named:
            seen.add(at)
            at = (key[0], str(by_id[at].get("parent_id") or ""))
        found[key] = named.get(at, "")
    return found


def _own_name(span: dict[str, Any]) -> str:
    data = span.get("span_data")
    if not isinstance(data, dict):
        return ""
    if data.get("type") == "agent":
        return str(data.get("name") or "")
    if data.get("type") == "handoff":
        return str(data.get("from_agent") or "")
    inner = data.get("data")
    return str(inner.get("agent_name") or "") if isinstance(inner, dict) else ""


def _tool_calls(output: Any) -> list[Any]:
    return [call for item in listed(output) if isinstance(item, dict) for call in listed(item.get("tool_calls"))]


def _key(span: dict[str, Any]) -> tuple[str, str]:
    return str(span.get("trace_id") or "trace"), str(span.get("id") or "")


def _items(record: Any) -> list[Any]:
    if isinstance(record, dict) and isinstance(record.get("data"), list) and record["data"]:
        return list(record["data"])
    return [record]


def _is_item(item: Any) -> bool:
    return isinstance(item, dict) and item.get("object") in ("trace", "trace.span")
