"""LangGraph and LangChain: event streams (``astream_events`` v1 and v2), LangSmith run records, and the streams of
``updates``, ``values`` and ``debug``, one record to a line or in a list.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from shoal.traces.importers import langchain_messages as lc
from shoal.traces.importers.book import Book
from shoal.traces.importers.content import compact, first, listed, rest, text_of
from shoal.traces.importers.registration import importer
from shoal.traces.importers.source import Source

_EVENT = ("event", "data", "name", "run_id", "parent_ids", "metadata", "tags")
_MODES = ("updates", "values", "debug", "messages", "custom")
_ENDS = ("_end", "_error")


def recognise(source: Source) -> float:
    """Sure of LangChain event names and of states that hold LangChain messages."""
    sample = source.sample
    if not sample:
        return 0.0
    return sum(_form(record) != "" for record in sample) / len(sample)


@importer("langgraph", "LangGraph and LangChain event streams, updates, debug records and LangSmith runs", recognise)
def read(source: Source, book: Book) -> None:
    """Write what nodes, models and tools said; chunks of a reply whose whole follows are left out."""
    book.check_clock = False
    run = source.path.stem
    state = _State(run)
    for place, record in source.records():
        form = _form(record)
        if form == "event":
            _event(record, place, book, run)
        elif form == "run":
            _langsmith(record, place, book)
        elif form == "debug":
            _debug(record, place, book, state)
        elif form == "updates":
            for node, update in (record[1] if isinstance(record, list) else record).items():
                _said(str(node), update, place, book, state)
        elif form == "values":
            _said("", record[1] if isinstance(record, list) else record, place, book, state)
        else:
            book.problems.add("no LangGraph record", place, compact(record))


class _State:
    """What the stream of one run has shown so far."""

    def __init__(self, run: str) -> None:
        self.run = run
        self.seen: set[str] = set()


def _form(record: Any) -> str:
    """event, run, debug, updates, values, or empty for none of them."""
    if isinstance(record, list) and len(record) == 2 and record[0] in _MODES:
        return {"debug": "debug", "updates": "updates", "values": "values"}.get(str(record[0]), "")
    if not isinstance(record, dict):
        return ""
    if isinstance(record.get("event"), str) and record["event"].startswith("on_") and "data" in record:
        return "event"
    if "run_type" in record and ("inputs" in record or "outputs" in record):
        return "run"
    if record.get("type") in ("task", "task_result", "checkpoint") and isinstance(record.get("payload"), dict):
        return "debug"
    if isinstance(record.get("messages"), list):
        return "values" if any(_is_langchain(m) for m in record["messages"]) else ""
    inner = [v for v in record.values() if isinstance(v, dict)]
    if inner and any(isinstance(v.get("messages"), (list, dict)) and lc.messages(v["messages"]) for v in inner):
        return "updates"
    return ""


def _is_langchain(message: Any) -> bool:
    return isinstance(message, dict) and (
        "lc" in message
        or (message.get("type") in ("human", "ai", "system", "tool", "function") and "content" in message)
    )


@dataclass(frozen=True)
class _Entry:
    """One entry of astream_events, taken apart.

    Attributes:
        event: its kind, such as on_tool_end.
        name: of what ran; None if it is not told.
        data: input and output.
        own: id of what ran.
        parents: ids of what it ran in, outermost first.
        run: id of the outermost.
        node: of the graph; empty outside of nodes.
        more: what the record holds beside these.
        place: in the file.
    """

    event: str
    name: Any
    data: dict[str, Any]
    own: str
    parents: list[str]
    run: str
    node: str
    more: dict[str, Any]
    place: str

    @property
    def is_whole(self) -> bool:
        """Whether this is the graph or a whole node, not a chain inside of one."""
        return not self.parents or self.name == self.node


def _entry(record: dict[str, Any], place: str, run: str) -> _Entry:
    found, given = record.get("data"), record.get("metadata")
    parents = [str(p) for p in listed(record.get("parent_ids"))]
    own = str(record.get("run_id") or "")
    return _Entry(
        event=record["event"],
        name=record.get("name"),
        data=found if isinstance(found, dict) else {},
        own=own,
        parents=parents,
        run=parents[0] if parents else own or run,
        node=str((given if isinstance(given, dict) else {}).get("langgraph_node") or ""),
        more=rest(record, *_EVENT),
        place=place,
    )


def _event(record: dict[str, Any], place: str, book: Book, run: str) -> None:
    """One entry of astream_events; pieces of replies are left out, since the whole follows."""
    entry = _entry(record, place, run)
    if entry.event.endswith("_stream"):
        return
    if entry.event.endswith("_start"):
        if entry.event == "on_chain_start" and (not entry.node or entry.name == entry.node):
            _started(entry, book)
    elif entry.event.endswith(_ENDS):
        _ended(entry, book)
    else:
        facts = {"name": entry.name, "data": entry.data} | entry.more
        book.add(entry.run, entry.node, "note", facts, where=place, parents=entry.parents[-1:])


def _started(entry: _Entry, book: Book) -> None:
    facts = {"name": entry.name, **({"input": _shown(entry.data.get("input"))} if not entry.parents else {})}
    kind = "trial.start" if not entry.parents else "agent.start"
    book.add(
        entry.run, entry.node, kind, facts | entry.more, where=entry.place, id=entry.own, parents=entry.parents[-1:]
    )  # fmt: skip


def _ended(entry: _Entry, book: Book) -> None:
    data, facts = entry.data, {"name": entry.name}
    # The innermost ancestors may have written no event of their own; the nearest that did is the parent.
    above = [p for p in entry.parents if book.knows(entry.run, p)][-1:]
    agent = entry.node or str(entry.name or "")
    if entry.event in ("on_chat_model_end", "on_llm_end"):
        _model(entry, agent, above, book)
    elif entry.event.startswith("on_tool_"):
        said = lc.messages(data.get("output"))
        text = text_of(said[0].get("content")) if said else text_of(data.get("output"))
        content = text or text_of(data.get("error"))
        facts = {"tool": entry.name, "arguments": data.get("input"), "content": content}
        facts["error"] = entry.event.endswith("_error") or bool(said and said[0].get("status") == "error")
        book.add(entry.run, agent, "tool.result", facts | entry.more, where=entry.place, id=entry.own, parents=above)
    elif entry.event == "on_retriever_end":
        facts |= {"tool": entry.name, "arguments": data.get("input"), "content": text_of(data.get("output"))}
        book.add(entry.run, agent, "tool.result", facts | entry.more, where=entry.place, id=entry.own, parents=above)
    elif entry.event in ("on_chain_end", "on_chain_error") and entry.is_whole:
        said = lc.messages(data.get("output"))
        text = text_of(said[-1].get("content")) if said else _shown(data.get("output"))
        kind = "agent.end" if entry.parents else "trial.end"
        facts |= {"output": text, **({"error": text_of(data["error"])} if data.get("error") else {})}
        own = f"{entry.own}.end"
        book.add(entry.run, entry.node, kind, facts | entry.more, where=entry.place, id=own, parents=(entry.own,))


def _model(entry: _Entry, agent: str, above: list[str], book: Book) -> None:
    said = lc.messages(entry.data.get("output"))
    reply = said[-1] if said else {}
    facts: dict[str, Any] = {"name": entry.name} | entry.more
    facts["prompt"] = lc.as_chat(lc.messages(entry.data.get("input")))
    facts["text"] = text_of(reply.get("content")) if reply else _shown(entry.data.get("output"))
    calls = lc.tool_calls(reply)
    facts |= {"tool_calls": calls} if calls else {}
    book.add(
        entry.run, agent, "model.call", facts, where=entry.place, id=entry.own, parents=above, usage=lc.usage(reply)
    )  # fmt: skip


def _said(node: str, update: Any, place: str, book: Book, state: _State) -> None:
    """The messages of a node's update (or of a whole state) that were not seen before."""
    found = lc.messages(update)
    if not found and node:
        book.add(state.run, node, "note", {"update": update}, where=place)
    for message in found:
        own = str(message.get("id") or "")
        mark = own or compact([lc.role(message), message.get("content")])
        if mark in state.seen:
            continue
        state.seen.add(mark)
        role = lc.role(message)
        agent = str(message.get("name") or "") or node or role
        facts: dict[str, Any] = {"content": text_of(message.get("content")), "role": role}
        facts |= rest(message, "content", "type", "role", "name", "id", "tool_calls", "usage_metadata", "tool_call_id")
        kind = "message"
        if role == "tool":
            kind = "tool.result"
            facts |= {
                "tool": agent,
                "call_id": str(message.get("tool_call_id") or ""),
                "error": message.get("status") == "error",
            }
            agent = node or agent
        event = book.add(state.run, agent, kind, facts, where=place, id=own or None, usage=lc.usage(message))
        for call in lc.tool_calls(message):
            book.add(state.run, agent, "tool.call", call, where=place, parents=(event,))


def _debug(record: Any, place: str, book: Book, state: _State) -> None:
    entry = record[1] if isinstance(record, list) else record
    payload = entry.get("payload") if isinstance(entry, dict) else None
    if not isinstance(payload, dict):
        book.problems.add("no LangGraph record", place, compact(record))
    elif entry.get("type") == "task_result":
        result = payload.get("result")
        update = dict(r for r in result if isinstance(r, list) and len(r) == 2) if isinstance(result, list) else result
        if payload.get("error"):
            facts = {"failure": "node error", "error": text_of(payload["error"])}
            book.add(state.run, str(payload.get("name") or ""), "model.failure", facts, where=place)
        _said(str(payload.get("name") or ""), update, place, book, state)
    elif entry.get("type") == "checkpoint":
        _said("", payload.get("values"), place, book, state)


def _langsmith(record: dict[str, Any], place: str, book: Book) -> None:
    kind, name = str(record.get("run_type")), str(record.get("name") or "")
    extra = record.get("extra") if isinstance(record.get("extra"), dict) else {}
    metadata = (extra or {}).get("metadata")
    node = str((metadata if isinstance(metadata, dict) else {}).get("langgraph_node") or "")
    inputs, outputs = record.get("inputs"), record.get("outputs")
    said = lc.messages(outputs)
    facts: dict[str, Any] = {"name": name}
    usage = None
    if kind in ("llm", "chat_model"):
        kind, usage = "model.call", lc.usage(said[-1]) if said else None
        facts |= {
            "prompt": lc.as_chat(lc.messages(inputs)),
            "text": text_of(said[-1].get("content")) if said else _shown(outputs),
        }
    elif kind in ("tool", "retriever"):
        kind = "tool.result"
        facts |= {"tool": name, "arguments": inputs, "content": _shown(outputs), "error": bool(record.get("error"))}
    else:
        kind = "agent.start"
        facts |= {"input": _shown(inputs), "output": _shown(outputs)}
    if record.get("error"):
        facts["error"] = record["error"]
    used = ("id", "name", "run_type", "inputs", "outputs", "error", "trace_id", "parent_run_id", "start_time", "extra")
    run = str(first(record, "trace_id", "session_id") or "run")
    parents = (str(record["parent_run_id"]),) if record.get("parent_run_id") else ()
    book.add(
        run, node or name, kind, facts | rest(record, *used), where=place, id=record.get("id"),
        time=record.get("start_time"), parents=parents, usage=usage,
    )  # fmt: skip


def _shown(value: Any) -> str:
    """The last message of a state, or the value as text."""
    found = lc.messages(value)
    return text_of(found[-1].get("content")) if found else text_of(value)
