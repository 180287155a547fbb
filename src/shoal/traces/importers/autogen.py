"""AutoGen AgentChat: messages and events as its models dump them, singly, as a list, or as a task result."""

from __future__ import annotations

from typing import Any

from shoal.traces.events import Usage
from shoal.traces.importers.book import Book, usage_of
from shoal.traces.importers.content import compact, rest, text_of
from shoal.traces.importers.registration import importer
from shoal.traces.importers.source import Source

_USED = ("id", "source", "models_usage", "created_at", "content", "type")
_TYPES = frozenset(
    ("TextMessage", "MultiModalMessage", "StopMessage", "HandoffMessage", "ToolCallSummaryMessage",
     "ToolCallRequestEvent",
     "ToolCallExecutionEvent", "MemoryQueryEvent", "ThoughtEvent", "SelectSpeakerEvent", "SelectorEvent",
     "CodeGenerationEvent", "CodeExecutionEvent", "UserInputRequestedEvent", "ModelClientStreamingChunkEvent")
)  # fmt: skip


def recognise(source: Source) -> float:
    """Sure of records that are, or hold, messages with a source and one of AgentChat's types."""
    sample = source.sample
    if not sample:
        return 0.0
    return sum(any(_is_message(m) for m in _messages(r)[:5]) for r in sample) / len(sample)


@importer("autogen", "AutoGen AgentChat messages, events and task results", recognise)
def read(source: Source, book: Book) -> None:
    """Write messages, tool calls and tool results; a task result is a run that ends with its reason to stop."""
    run, results = source.path.stem, 0
    for place, record in source.objects():
        messages = _messages(record)
        nested = messages != [record]
        if nested:
            results += 1
            run = source.path.stem if results == 1 else f"{source.path.stem}-{results}"
        for position, message in enumerate(messages):
            where = f"{place}:message {position}" if nested else place
            if isinstance(message, dict) and "source" in message:
                _add(message, run, where, book)
            else:
                book.problems.add("no AutoGen message", where, compact(message))
        if nested and record.get("stop_reason"):
            facts = {"decision": "stop", "reason": str(record["stop_reason"])}
            book.add(run, "", "decision", facts | rest(record, "messages", "stop_reason"), where=place)


def _add(message: dict[str, Any], run: str, where: str, book: Book) -> None:
    kind, content = str(message.get("type") or "TextMessage"), message.get("content")
    agent, usage = str(message["source"]), usage_of(message.get("models_usage"))
    common: dict[str, Any] = {"where": where, "time": message.get("created_at")}
    more = {"type": kind, **rest(message, *_USED)}
    if kind == "ToolCallRequestEvent" and isinstance(content, list):
        for position, call in enumerate(_objects(content)):
            facts = {
                "tool": str(call.get("name", "")),
                "arguments": call.get("arguments"),
                "call_id": str(call.get("id", "")),
            }
            facts |= more | rest(call, "name", "arguments", "id")
            _one(book, run, agent, "tool.call", facts, message, position, usage, common)
            usage = None
        return
    if kind == "ToolCallExecutionEvent" and isinstance(content, list):
        for position, result in enumerate(_objects(content)):
            facts = {
                "tool": str(result.get("name", "")), "content": text_of(result.get("content")),
                "error": bool(result.get("is_error")), "call_id": str(result.get("call_id", "")),
            }  # fmt: skip
            _one(book, run, agent, "tool.result", facts | more, message, position, usage, common)
        return
    if kind == "ModelClientStreamingChunkEvent":
        return  # the whole message follows
    facts = {"content": text_of(content)} | more
    if kind == "HandoffMessage":
        facts["to"] = [str(message.get("target") or "")]
    aside = kind in (
        "ThoughtEvent",
        "MemoryQueryEvent",
        "SelectSpeakerEvent",
        "SelectorEvent",
        "UserInputRequestedEvent",
    )
    _one(book, run, agent, "note" if aside else "message", facts, message, 0, usage, common)


def _one(
    book: Book, run: str, agent: str, kind: str, facts: dict[str, Any], message: dict[str, Any], position: int,
    usage: Usage | None, common: dict[str, Any],
) -> None:  # fmt: skip
    base = message.get("id")
    book.add(run, agent, kind, facts, id=f"{base}.{position}" if base and position else base, usage=usage, **common)


def _messages(record: Any) -> list[Any]:
    """The messages that a record holds; itself if it is one."""
    if isinstance(record, dict):
        if isinstance(record.get("messages"), list):
            return list(record["messages"])
        if isinstance(record.get("message"), dict) and _is_message(record["message"]):
            return [record["message"]]
        if isinstance(record.get("message_thread"), list):
            return list(record["message_thread"])
    return [record]


def _is_message(value: Any) -> bool:
    return (
        isinstance(value, dict) and "source" in value and (str(value.get("type")) in _TYPES or "models_usage" in value)
    )


def _objects(content: list[Any]) -> list[dict[str, Any]]:
    return [item for item in content if isinstance(item, dict)]
