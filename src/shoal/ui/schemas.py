"""Config classes for forms, of things whose settings are the fields of a dataclass or the arguments of a function."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model

_ATTRIBUTE = re.compile(r"^ {4,8}(\w+): (.+)$")


def schema_of(kind: type[Any]) -> type[BaseModel]:
    """The config of a dataclass: types and defaults of its fields, help from the attributes of its docstring.

    Fields whose value is a tuple are left out: a line of text cannot say them.
    """
    hints, help_texts = get_type_hints(kind), described(kind.__doc__ or "")
    fields: dict[str, Any] = {
        f.name: (hints[f.name], Field(f.default, description=help_texts.get(f.name, "")))
        for f in dataclasses.fields(kind)
        if not isinstance(f.default, tuple)
    }
    return create_model(kind.__name__, __config__=ConfigDict(extra="forbid"), **fields)


def schema_from(name: str, defaults: Mapping[str, Any], help_texts: Mapping[str, str] | None = None) -> type[BaseModel]:
    """The config of a function's arguments.

    Args:
        name: of the class.
        defaults: by name; each value has the type of its default.
        help_texts: by name.
    """
    texts = help_texts or {}
    fields: dict[str, Any] = {
        key: (type(value), Field(value, description=texts.get(key, ""))) for key, value in defaults.items()
    }
    return create_model(name, __config__=ConfigDict(extra="forbid"), **fields)


def described(docstring: str) -> dict[str, str]:
    """What a docstring says about each attribute; a further line of text goes on with the one before."""
    found: dict[str, str] = {}
    name = ""
    for line in docstring.splitlines():
        match = _ATTRIBUTE.match(line)
        if match:
            name = match[1]
            found[name] = match[2]
        elif name and line.strip():
            found[name] += f" {line.strip()}"
        else:
            name = ""
    return found
