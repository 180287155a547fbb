"""LangChain's message objects in the forms in which they reach a log."""

from __future__ import annotations

import re
from typing import Any

from shoal.traces.events import Usage
from shoal.traces.importers.book import usage_of
from shoal.traces.importers.content import listed, text_of

ROLES = {"human": "user", "ai": "assistant", "AIMessageChunk": "assistant", "HumanMessageChunk": "user"}
_CLASS = re.compile(r"^(Human|AI|System|Tool|Function|Chat)Message(?:Chunk)?$")


def fields(value: Any) -> dict[str, Any] | None:
    """The fields of a message: of ``dumpd`` (constructor and kwargs), ``model_dump``, ``message_to_dict`` or a chat
    message of the OpenAI form; None for anything else.
    """
    if not isinstance(value, dict):
        return None
    if value.get("lc") and isinstance(value.get("kwargs"), dict):
        name = str((value.get("id") or [""])[-1]) if isinstance(value.get("id"), list) else ""
        match = _CLASS.match(name)
        if match is None and "content" not in value["kwargs"]:
            return None
        return {"type": match[1].lower() if match else "ai", **value["kwargs"]}
    if isinstance(value.get("data"), dict) and isinstance(value.get("type"), str) and "content" in value["data"]:
        return {**value["data"], "type": value["type"]}
    if "content" in value and ("type" in value or "role" in value):
        return dict(value)
    return None


def messages(value: Any, depth: int = 0) -> list[dict[str, Any]]:
    """All messages in a value, in order: lists, batches of lists, states with ``messages``, generations, commands."""
    if depth > 6:
        return []
    if (found := fields(value)) is not None:
        return [found]
    if isinstance(value, list):
        return [m for item in value for m in messages(item, depth + 1)]
    if isinstance(value, dict):
        for key in ("messages", "generations", "message", "output", "update", "kwargs"):
            if key in value and (inner := messages(value[key], depth + 1)):
                return inner
    return []


def role(message: dict[str, Any]) -> str:
    """user, assistant, system or tool."""
    kind = str(message.get("type") or message.get("role") or "")
    return ROLES.get(kind, kind)


def as_chat(found: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Role and content of each message."""
    return [{"role": role(m), "content": text_of(m.get("content"))} for m in found]


def usage(message: dict[str, Any]) -> Usage | None:
    """Tokens of a reply, from either of the two places where LangChain keeps them."""
    return usage_of(message.get("usage_metadata")) or usage_of(
        (message.get("response_metadata") or {}).get("token_usage")
        if isinstance(message.get("response_metadata"), dict)
        else None
    )


def tool_calls(message: dict[str, Any]) -> list[dict[str, Any]]:
    """The tool calls of a message, as name, arguments and id."""
    return [
        {"tool": str(c.get("name") or ""), "arguments": c.get("args"), "call_id": str(c.get("id") or "")}
        for c in listed(message.get("tool_calls"))
        if isinstance(c, dict)
    ]
