"""OpenTelemetry spans in OTLP JSON, read by the GenAI semantic conventions; also by those of OpenInference and
OpenLLMetry, which came before them.

A span's agent is the one it names, or that of the nearest span around it. Parents are the parent span and the spans
that it links to.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from shoal.traces.events import Usage
from shoal.traces.importers.book import Book, count, seconds
from shoal.traces.importers.content import chat, compact, listed, text_of
from shoal.traces.importers.registration import importer
from shoal.traces.importers.source import Source

Attributes = dict[str, Any]
_AGENT = ("gen_ai.agent.name", "agent.name", "graph.node.id", "traceloop.entity.name", "gen_ai.agent.id")
_OPERATION = ("gen_ai.operation.name", "openinference.span.kind", "traceloop.span.kind")
_MODEL_OPERATIONS = ("chat", "text_completion", "generate_content", "llm", "completion")
_TOOL_OPERATIONS = ("execute_tool", "tool", "retriever")
_INPUT = ("gen_ai.input.messages", "llm.input_messages", "gen_ai.prompt", "input.value", "traceloop.entity.input")
_OUTPUT = (
    "gen_ai.output.messages",
    "llm.output_messages",
    "gen_ai.completion",
    "output.value",
    "traceloop.entity.output",
)
_READ_TOKENS = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt")
_WRITTEN_TOKENS = ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.token_count.completion")
_BESIDE = ("events", "resource", "kind", "traceState", "droppedEventsCount")
_INPUT_EVENTS = ("gen_ai.system.message", "gen_ai.user.message", "gen_ai.assistant.message", "gen_ai.tool.message")


def recognise(source: Source) -> float:
    """Sure of records with resource spans."""
    sample = source.sample
    found = sum(isinstance(r, dict) and ("resourceSpans" in r or "resource_spans" in r) for r in sample)
    return found / len(sample) if sample else 0.0


@importer("otlp", "OpenTelemetry GenAI spans in OTLP JSON", recognise)
def read(source: Source, book: Book) -> None:
    """Write the spans in the order in which they began."""
    read_spans([(place, s) for place, record in source.objects() for s in spans_of(record, place, book)], book)


def spans_of(record: dict[str, Any], place: str, book: Book) -> Iterator[dict[str, Any]]:
    """The spans of one export request, each with its resource's attributes under "resource"."""
    groups = record.get("resourceSpans", record.get("resource_spans"))
    if not isinstance(groups, list):
        book.problems.add("no resource spans", place, compact(record))
        return
    for group in groups:
        if not isinstance(group, dict):
            book.problems.add("no resource spans", place, compact(group))
            continue
        resource = group.get("resource")
        about = attributes(resource.get("attributes")) if isinstance(resource, dict) else {}
        scopes = group.get("scopeSpans", group.get("scope_spans", group.get("instrumentationLibrarySpans")))
        for scope in listed(scopes):
            for span in listed(scope.get("spans")) if isinstance(scope, dict) else ():
                if isinstance(span, dict):
                    yield {**span, "resource": about}
                else:
                    book.problems.add("no span", place, compact(span))


def read_spans(spans: list[tuple[str, dict[str, Any]]], book: Book) -> None:
    """Write spans into a book, those that began first first."""
    book.check_clock = False
    read = [(place, span, attributes(span.get("attributes"))) for place, span in spans]
    agents = _agents(read)
    for place, span, about in sorted(read, key=lambda entry: seconds(_get(entry[1], "startTimeUnixNano")) or 0.0):
        _add(span, about, agents.get(_key(span), ""), place, book)


def attributes(pairs: Any) -> Attributes:
    """Attributes as a mapping; OTLP's typed values become plain ones."""
    found: Attributes = {}
    if isinstance(pairs, dict):
        return dict(pairs)
    for pair in listed(pairs):
        if isinstance(pair, dict) and "key" in pair:
            found[str(pair["key"])] = _plain(pair.get("value"))
    return found


def _plain(value: Any, depth: int = 0) -> Any:
    if not isinstance(value, dict) or depth > 20:
        return value
    for kind, inner in value.items():
        if kind in ("intValue", "int_value"):
            try:
                return int(inner)
            except (TypeError, ValueError):
                return inner
        if kind in ("arrayValue", "array_value"):
            items = inner.get("values") if isinstance(inner, dict) else None
            return [_plain(item, depth + 1) for item in listed(items)]
        if kind in ("kvlistValue", "kvlist_value"):
            return attributes(inner.get("values")) if isinstance(inner, dict) else {}
        return inner
    return None


def _add(span: dict[str, Any], about: Attributes, agent: str, place: str, book: Book) -> None:
    used = set[str]()
    kind, facts = _told(span, about, used)
    error = _error(span.get("status"), about)
    if error:
        facts["error"] = error
        kind = "model.failure" if kind == "model.call" and not facts.get("text") else kind
    left = {k: v for k, v in about.items() if k not in used and k not in (*_AGENT, *_OPERATION)}
    more = {k: v for k, v in span.items() if k in _BESIDE and v}
    if (left or more) and "shoal.kind" not in about:
        facts["source"] = {**left, **({"span": more} if more else {})}
    begun, ended = seconds(_get(span, "startTimeUnixNano")), seconds(_get(span, "endTimeUnixNano"))
    if begun is not None and ended is not None and ended < begun:
        book.problems.add("clock goes backwards", place, f"the span ends {begun - ended:.3f} s before it begins")
    trace, own = _key(span)
    book.add(
        str(about.get("shoal.run") or trace), str(about.get("shoal.agent", agent)), kind, facts, where=place,
        id=about.get("shoal.id") or own, time=begun, parents=_parents(span, about), usage=_usage(about, begun, ended),
    )  # fmt: skip


def _told(span: dict[str, Any], about: Attributes, used: set[str]) -> tuple[str, dict[str, Any]]:
    """The kind of event that a span is, and its facts; attributes that are read whole are noted in ``used``."""
    facts: dict[str, Any] = {"name": span.get("name")}
    if about.get("shoal.kind"):
        used |= {"shoal.kind", "shoal.payload"}
        return str(about["shoal.kind"]), _parsed(about.get("shoal.payload")) or facts
    operation = str(next((about[k] for k in _OPERATION if about.get(k)), "")).lower()
    if operation in _MODEL_OPERATIONS or "gen_ai.request.model" in about or "llm.model_name" in about:
        facts |= {"prompt": chat(_messages(about, span, _INPUT, used)), "text": _text(about, span, used)}
        facts["model"] = (
            about.get("gen_ai.response.model") or about.get("gen_ai.request.model") or about.get("llm.model_name")
        )
        return "model.call", facts
    if operation in _TOOL_OPERATIONS or "gen_ai.tool.name" in about:
        facts["tool"] = about.get("gen_ai.tool.name") or about.get("tool.name") or span.get("name")
        facts["arguments"] = about.get("gen_ai.tool.call.arguments", about.get("input.value"))
        facts["content"] = text_of(about.get("gen_ai.tool.call.result", about.get("output.value")))
        return "tool.result", facts
    if operation in ("invoke_agent", "create_agent", "agent", "workflow", "chain", "task"):
        facts |= {"input": text_of(_messages(about, span, _INPUT, used)), "output": _text(about, span, used)}
        return "agent.start", facts
    return "span", facts


def _error(status: Any, about: Attributes) -> str:
    """What went wrong in a span; empty if nothing did."""
    said: dict[str, Any] = status if isinstance(status, dict) else {}
    if said.get("code") in (2, "STATUS_CODE_ERROR") or about.get("error.type"):
        return str(said.get("message") or about.get("error.type") or "error")
    return ""


def _parents(span: dict[str, Any], about: Attributes) -> list[str]:
    """The span above and those that it links to, or the parents of the event that was exported as this span."""
    exported = _parsed(about.get("shoal.parents"))
    if exported is not None:
        return [str(p) for p in listed(exported)]
    above = _get(span, "parentSpanId")
    links = [str(_get(link, "spanId")) for link in listed(span.get("links")) if isinstance(link, dict)]
    return [*([str(above)] if above else []), *links]


def _messages(about: Attributes, span: dict[str, Any], names: tuple[str, ...], used: set[str]) -> Any:
    """Messages from one attribute (JSON text or structured), from numbered attributes, or from span events."""
    for name in names:
        if name in about:
            used.add(name)
            parsed = _parsed(about[name])
            return parsed if parsed is not None else about[name]
        numbered = _numbered(about, name, used)
        if numbered:
            return numbered
    found = []
    for event in listed(span.get("events")):
        if isinstance(event, dict) and event.get("name") in _INPUT_EVENTS and names is _INPUT:
            inner = attributes(event.get("attributes"))
            found.append({"role": str(event["name"]).split(".")[1], "content": inner.get("content", "")})
        elif isinstance(event, dict) and event.get("name") == "gen_ai.choice" and names is _OUTPUT:
            inner = attributes(event.get("attributes"))
            found.append(
                _parsed(inner.get("message")) or {"content": inner.get("content") or inner.get("message") or ""}
            )
    return found


def _numbered(about: Attributes, prefix: str, used: set[str]) -> list[dict[str, Any]]:
    """``prefix.0.content`` or ``prefix.0.message.content`` and their like, by number."""
    found: dict[int, dict[str, Any]] = {}
    for name in about:
        if not name.startswith(f"{prefix}."):
            continue
        number, _, field = name[len(prefix) + 1 :].partition(".")
        if number.isdigit() and len(number) < 7:
            used.add(name)
            found.setdefault(int(number), {})[field.removeprefix("message.")] = about[name]
    return [found[number] for number in sorted(found)]


def _text(about: Attributes, span: dict[str, Any], used: set[str]) -> str:
    return text_of(_messages(about, span, _OUTPUT, used))


def _usage(about: Attributes, begun: float | None, ended: float | None) -> Usage | None:
    prompt = next((n for key in _READ_TOKENS if (n := count(about.get(key)))), 0)
    completion = next((n for key in _WRITTEN_TOKENS if (n := count(about.get(key)))), 0)
    if not prompt and not completion:
        return None
    lasted = max(0.0, ended - begun) if begun is not None and ended is not None else 0.0
    return Usage(prompt, completion, calls=1, seconds=lasted)


def _agents(read: list[tuple[str, dict[str, Any], Attributes]]) -> dict[tuple[str, str], str]:
    named = {}
    above = {}
    for _, span, about in read:
        name = next((str(about[k]) for k in _AGENT if about.get(k)), "")
        if name:
            named[_key(span)] = name
        above[_key(span)] = (_key(span)[0], str(_get(span, "parentSpanId") or ""))
    found = {}
    for key in above:
        at, seen = key, set[tuple[str, str]]()
        while at not in named and at in above and at not in seen:
            seen.add(at)
            at = above[at]
        found[key] = named.get(at, "")
    return found


def _key(span: dict[str, Any]) -> tuple[str, str]:
    return str(_get(span, "traceId") or "trace"), str(_get(span, "spanId") or "")


def _get(record: dict[str, Any], name: str) -> Any:
    """A field in OTLP's JSON spelling or the one of its protocol buffers."""
    if name in record:
        return record[name]
    return record.get("".join(f"_{c.lower()}" if c.isupper() else c for c in name))


def _parsed(value: Any) -> Any:
    """A JSON text parsed; structured values as they are; None for other texts."""
    if isinstance(value, (list, dict)):
        return value
    if not isinstance(value, str) or value[:1] not in ("[", "{"):
        return None
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return None
