"""Text out of the many forms in which frameworks write what was said."""

from __future__ import annotations

from typing import Any

import orjson

_TEXT_KEYS = (
    "text",
    "content",
    "parts",
    "value",
    "output_text",
    "thinking",
    "reasoning",
    "summary",
    "refusal",
    "message",
)
_DEEPEST = 12


def text_of(content: Any, depth: int = 0) -> str:
    """The readable text of a content: a text, a list of parts, a message object; JSON for any other value."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if depth > _DEEPEST:
        return ""
    if isinstance(content, (list, tuple)):
        return "\n".join(t for item in content if (t := text_of(item, depth + 1)))
    if isinstance(content, dict):
        if content.get("type") in ("image", "image_url", "input_image", "audio", "input_audio", "blob", "file"):
            return f"[{content['type']}]"
        for key in _TEXT_KEYS:
            if isinstance(content.get(key), (str, list)) and content[key]:
                return text_of(content[key], depth + 1)
    return compact(content)


def compact(value: Any) -> str:
    """A JSON value on one line."""
    try:
        return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except (orjson.JSONEncodeError, TypeError):
        return str(value)


def rest(record: dict[str, Any], *used: str) -> dict[str, Any]:
    """The fields of a record that an importer did not use, under ``source``; nothing if there are none."""
    left = {key: value for key, value in record.items() if key not in used and value not in (None, "", [], {})}
    return {"source": left} if left else {}


def first(record: dict[str, Any], *names: str) -> Any:
    """The first of these fields that is there and not empty."""
    return next((record[n] for n in names if record.get(n) not in (None, "", [], {})), None)


def listed(value: Any) -> list[Any]:
    """A list as it is; nothing for anything else."""
    return value if isinstance(value, list) else []


def chat(messages: Any) -> list[dict[str, str]]:
    """A list of chat messages as role and content, from any of the usual forms; unreadable entries are left out."""
    if isinstance(messages, str):
        return [{"role": "user", "content": messages}]
    found = []
    for message in messages if isinstance(messages, list) else []:
        if isinstance(message, dict):
            role = str(first(message, "role", "type") or "user")
            content = text_of(first(message, "content", "parts", "text", "arguments", "output"))
            found.append({"role": {"human": "user", "ai": "assistant"}.get(role, role), "content": content})
        elif isinstance(message, str):
            found.append({"role": "user", "content": message})
    return found
