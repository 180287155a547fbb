"""The trace that a report holds: columns with every text once, as the report's script walks them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from shoal.traces import Event
from shoal.ui.trace_index import Document, TraceIndex, words

MOST_EVENTS = 20_000
MOST_BYTES = 6_000_000
"""Of all texts of the trace together, as they are written in the file."""
LONGEST = 20_000
"""Characters of one text."""
MOST_MESSAGES = 50
"""Messages of one prompt."""
TOLD_APART = ("prompt", "text", "content", "to")


class Texts:
    """Texts by number, each kept once: prompts repeat what was said before."""

    def __init__(self) -> None:
        self.bytes = 0
        self._places: dict[str, int] = {}

    def place(self, text: str) -> int:
        """The number of a text, cut to LONGEST characters."""
        kept = whole(text if len(text) <= LONGEST else f"{text[:LONGEST]} ... ({len(text):,} characters)")
        if kept not in self._places:
            self._places[kept] = len(self._places)
            self.bytes += len(embedded(kept))
        return self._places[kept]

    def all(self) -> list[str]:
        """The texts in order of their numbers."""
        return list(self._places)


def whole(text: str) -> str:
    """The text without halves of characters, which some frameworks write and JSON cannot hold."""
    return text.encode("utf-8", "replace").decode()


def embedded(value: Any) -> str:
    """JSON that may stand in a script element: no "<" can end it."""
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY).decode().replace("<", "\\u003c")


def trace_document(index: TraceIndex) -> tuple[Document, int]:
    """The first events of a trace, and how many they are: at most MOST_EVENTS, with at most MOST_BYTES of texts.

    ``links`` are [later, earlier] event; ``says``, ``run``, ``to``, ``rest`` and ``prompts`` (role, words) are places
    in ``strings``, -1 for none.
    """
    texts = Texts()
    told: list[Document] = []
    for event in index.events[:MOST_EVENTS]:
        told.append(_told(event, texts))
        if texts.bytes > MOST_BYTES:
            break
    kept = len(told)
    first = index if kept == len(index) else TraceIndex(index.events[:kept], index.form, index.problems)
    columns = {name: [row[name] for row in told] for name in (told[0] if told else ())}
    document = {
        "agents": [whole(name) for name in first.agents], "kinds": [whole(name) for name in first.kinds],
        "agent": first.agent, "kind": first.kind, "moment": first.moment,
        "parts": {whole(name): places for name, places in first.parts.items()},
        "links": [list(pair) for pair in zip(first.children.tolist(), first.parents.tolist(), strict=True)],
        "strings": texts.all(), **columns,
    }  # fmt: skip
    return document, kept


def _told(event: Event, texts: Texts) -> Document:
    """One event's entry in each column of texts."""
    payload = event.payload
    to, prompt = payload.get("to"), payload.get("prompt")
    receivers = ", ".join(map(str, to)) if isinstance(to, list) else str(to or "")
    rest = {name: value for name, value in payload.items() if name not in TOLD_APART}
    return {
        "ids": whole(event.id),
        "run": texts.place(event.run),
        "says": texts.place(words(event)),
        "to": texts.place(receivers) if receivers else -1,
        "prompts": _messages(prompt, texts) if isinstance(prompt, list) else [],
        "rest": texts.place(_written(rest)) if rest else -1,
        "usage": event.usage.as_dict() if event.usage else None,
    }


def _messages(prompt: Sequence[Any], texts: Texts) -> list[tuple[int, int]]:
    known = [message if isinstance(message, dict) else {"content": message} for message in prompt[:MOST_MESSAGES]]
    return [(texts.place(str(m.get("role", ""))), texts.place(str(m.get("content", "")))) for m in known]


def _written(payload: dict[str, Any]) -> str:
    """Fields of a payload, one a line, as JSON where that can hold them."""
    try:
        return orjson.dumps(payload, default=str, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode()
    except orjson.JSONEncodeError:
        return str(payload)
