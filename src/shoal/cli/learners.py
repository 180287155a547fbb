"""Learners in `shoal list` and `shoal show`: what they do, and their settings with meaning and range."""

from __future__ import annotations

import inspect
from typing import Any

from shoal.cli import console


def learner_names() -> list[str]:
    """Names of all learners."""
    from shoal.marl import LEARNERS

    return LEARNERS.names()


def learners() -> list[dict[str, Any]]:
    """All learners as rows of a list."""
    from shoal.marl import LEARNERS

    return [
        {"name": name, "settings": len(kind.schema.model_fields), "what": _title(kind)}
        for name, kind in LEARNERS.items()
    ]


def learner_entry(name: str) -> dict[str, Any]:
    """One learner: what it does, its settings and their JSON schema."""
    from shoal.marl import LEARNERS

    kind = LEARNERS.get(name)
    schema = kind.schema.model_json_schema()
    given = kind.schema.model_validate({}).model_dump(mode="json")
    return {
        "name": name,
        "title": _title(kind),
        "method": _method(kind),
        "settings": [
            {
                "key": key,
                "default": given[key],
                "range": _range(part, schema.get("$defs", {})),
                "meaning": part.get("description", ""),
            }
            for key, part in schema["properties"].items()
        ],
        "schema": schema,
    }


def tell_learner(entry: dict[str, Any]) -> None:
    """Print a learner for people."""
    console.out.print(f"[bold]{entry['name']}[/bold]")
    console.out.print(entry["method"], markup=False)
    rows = [(s["key"], _value(s["default"]), s["range"], s["meaning"]) for s in entry["settings"]]
    console.table("\nSettings (--set key=value)", ("key", "default", "range", "meaning"), rows)
    console.out.print(f"\nshoal train {entry['name']} WORLD trains it; shoal list worlds shows where.", style="dim")


def _title(kind: type[Any]) -> str:
    return _method(kind).partition("\n")[0]


def _method(kind: type[Any]) -> str:
    """The header of its module, or what its class says where several learners share one."""
    from shoal.marl import LEARNERS

    alone = sum(other.__module__ == kind.__module__ for _, other in LEARNERS.items()) == 1
    header = inspect.getdoc(inspect.getmodule(kind)) if alone else None
    return header or inspect.getdoc(kind) or ""


def _value(value: Any) -> str:
    return "" if value is None else ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _range(part: dict[str, Any], definitions: dict[str, Any]) -> str:
    """The values that a setting takes, in a few words, from its JSON schema."""
    if "$ref" in part:
        return _range(definitions[part["$ref"].rpartition("/")[2]], definitions)
    if "anyOf" in part:
        options = [_range(p, definitions) for p in part["anyOf"] if p.get("type") != "null"]
        return " or ".join(options) + (" or empty" if len(options) < len(part["anyOf"]) else "")
    if "enum" in part:
        return ", ".join(map(str, part["enum"]))
    if "const" in part:
        return str(part["const"])
    if part.get("type") == "array":
        return f"list of {_range(part.get('items', {}), definitions)}"
    kind = {"integer": "whole", "number": "number", "boolean": "true, false", "string": "text"}.get(
        part.get("type", ""), ""
    )
    low = (
        f">= {part['minimum']:g}"
        if "minimum" in part
        else f"> {part['exclusiveMinimum']:g}"
        if "exclusiveMinimum" in part
        else ""
    )
    high = (
        f"<= {part['maximum']:g}"
        if "maximum" in part
        else f"< {part['exclusiveMaximum']:g}"
        if "exclusiveMaximum" in part
        else ""
    )
    return " ".join(filter(None, (kind, low, high)))
