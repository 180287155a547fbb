"""Plain transcripts: records of who said what, in JSON Lines or one JSON document, under any of the usual names.

Fits ``{"agent": "ann", "content": "..."}``, OpenAI chats (``{"messages": [{"role", "content"}]}``, one run for each
record), ShareGPT conversations and whatever else names a speaker and a text. Ids, times, receivers and parents are
taken where they are given; parents are never invented.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from shoal.traces.importers.book import Book, usage_of
from shoal.traces.importers.content import compact, first, listed, rest, text_of
from shoal.traces.importers.registration import importer
from shoal.traces.importers.source import Source

SPEAKER = ("agent", "name", "speaker", "sender", "author", "source", "from", "agent_name", "role", "user")
TEXT = ("content", "text", "message", "value", "output", "body", "utterance")
TIME = ("time", "timestamp", "created_at", "ts", "date", "created")
PARENTS = ("parents", "parent_ids", "parent", "parent_id", "reply_to", "in_reply_to")
RECEIVERS = ("to", "receivers", "receiver", "recipients", "recipient", "target")
RUN = ("run", "conversation_id", "session_id", "thread_id", "conversation", "session", "run_id")
IDS = ("id", "message_id", "event_id", "uuid")
KIND = ("kind",)
CHATS = ("messages", "conversations", "history", "transcript", "chat", "conversation", "turns")
_USED = (*SPEAKER, *TEXT, *TIME, *PARENTS, *RECEIVERS, *RUN, *IDS, *KIND, "usage", "tool_calls")


def recognise(source: Source) -> float:
    """Half sure at most, so that any format with marks of its own comes first."""
    if source.shape not in ("lines", "document") or not source.sample:
        return 0.0
    fitting = sum(_is_turn(r) or _chat_of(r) is not None for r in source.sample)
    return 0.5 * fitting / len(source.sample)


@importer("chat", "Plain transcripts: records of agent and content, chats, conversations", recognise)
def read(source: Source, book: Book) -> None:
    """Write each turn as a message, each chat as a run of its own."""
    single = source.path.stem
    for number, (place, record) in enumerate(source.objects()):
        turns = _chat_of(record)
        if turns is not None:
            name = first(record, *RUN, *IDS)
            _read_turns(str(name) if name is not None else f"{single}-{number}", place, record, turns, book)
        elif _is_turn(record):
            add_turn(record, str(first(record, *RUN) or single), place, book)
        else:
            book.problems.add("no speaker or text", place, compact(record))


def add_turn(record: dict[str, Any], run: str, place: str, book: Book, **extra: Any) -> str:
    """Write one turn; its tool calls become events of their own. Returns the id of the message event."""
    agent = _name(first(record, *SPEAKER))
    text = text_of(first(record, *TEXT))
    role = record.get("role")
    payload: dict[str, Any] = {"content": text, **extra}
    if isinstance(role, str) and role != agent:
        payload["role"] = role
    receivers = first(record, *RECEIVERS)
    if receivers is not None:
        payload["to"] = [_name(r) for r in receivers] if isinstance(receivers, list) else [_name(receivers)]
    usage = usage_of(record.get("usage"))
    parents = first(record, *PARENTS)
    if role == "tool":
        kind = "tool.result"
        payload |= {"tool": str(record.get("name") or ""), "call_id": str(record.get("tool_call_id") or "")}
    else:
        kind = str(first(record, *KIND) or "message")
    event = book.add(
        run, agent, kind, payload | rest(record, *_USED), where=place, id=first(record, *IDS),
        time=first(record, *TIME), parents=_names(parents), usage=usage,
    )  # fmt: skip
    for call in listed(record.get("tool_calls")):
        if isinstance(call, dict):
            function = call.get("function")
            asked = function if isinstance(function, dict) else call
            facts = {
                "tool": str(asked.get("name") or function or ""),
                "arguments": asked.get("arguments", asked.get("args")),
                "call_id": str(call.get("id") or ""),
            }
            book.add(run, agent, "tool.call", facts, where=place, parents=(event,))
    return event


def _read_turns(run: str, place: str, record: dict[str, Any], turns: list[Any], book: Book) -> None:
    about = {k: v for k, v in record.items() if k not in CHATS and v not in (None, "", [], {})}
    if about:
        book.add(run, "", "note", about, where=place)
    for position, turn in enumerate(turns):
        where = f"{place}:message {position}"
        if isinstance(turn, dict) and _is_turn(turn):
            add_turn(turn, run, where, book)
        elif isinstance(turn, str):
            book.add(run, "", "message", {"content": turn}, where=where)
        else:
            book.problems.add("no speaker or text", where, compact(turn))


def _is_turn(record: Any) -> bool:
    return (
        isinstance(record, dict)
        and any(isinstance(record.get(n), (str, dict)) for n in SPEAKER)
        and (any(n in record for n in TEXT) or bool(record.get("tool_calls")))
    )


def _chat_of(record: Any) -> list[Any] | None:
    if not isinstance(record, dict):
        return None
    found = next((record[n] for n in CHATS if isinstance(record.get(n), list) and record[n]), None)
    return found if found is not None and any(_is_turn(turn) for turn in found) else None


def _name(value: Any) -> str:
    if isinstance(value, dict):
        return str(first(value, "name", "id", "role") or "")
    return "" if value is None else str(value)


def _names(value: Any) -> Iterable[str]:
    if value is None:
        return ()
    return [str(v) for v in value] if isinstance(value, list) else (str(value),)
