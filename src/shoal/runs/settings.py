"""User-given settings against a pydantic schema: text to typed values, with errors that name the mend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from shoal.errors import InputError, UnknownName

M = TypeVar("M", bound=BaseModel)


def parse_assignments(assignments: Sequence[str], option: str = "--set") -> dict[str, Any]:
    """``["rounds=3", "roles=[a, b]"]`` as a mapping; values are read as YAML scalars or lists.

    Raises:
        InputError: no ``key=value``, or a value that is no YAML.
    """
    parsed: dict[str, Any] = {}
    for text in assignments:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise InputError(option, text, "Write it as key=value.")
        try:
            parsed[key.strip()] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise InputError(f"{option} {key}", value, "Quote the value; it does not parse.") from error
    return parsed


def validate(schema: type[M], values: Mapping[str, Any], field: str) -> M:
    """An instance of the schema. Raises UnknownName or InputError for the first thing that is wrong."""
    for name in values:
        if name not in schema.model_fields:
            raise UnknownName(f"{field} {name}".strip(), str(name), schema.model_fields)
    try:
        return schema.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "settings"
        raise InputError(f"{field} {where}".strip(), first.get("input"), f"{first['msg']}.") from None
