"""Team files: YAML to a team and back; errors name file, line and field."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from shoal.errors import InputError, UnknownName
from shoal.teams.vocabulary.components import values
from shoal.teams.vocabulary.schema import AgentSpec, Channel, ChannelBudget, Orchestration, Stop, TeamSpec
from shoal.teams.vocabulary.validation import Path as FieldPath
from shoal.teams.vocabulary.validation import dotted, faults

LONGEST_FILE = 1_000_000
"""Bytes of a team file that are read; a larger one is refused."""


def load_team(path: Path) -> TeamSpec:
    """The team in a YAML file.

    Raises:
        InputError: the file is absent, not UTF-8, not YAML, or a field is unknown, out of range or does not go with
            the others; the message starts with file, line and field.
    """
    try:
        if path.stat().st_size > LONGEST_FILE:
            raise InputError("team file", str(path), f"A team file has at most {LONGEST_FILE} bytes.")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise InputError("team file", str(path), f"Give the path of a YAML file ({reason}).") from None
    return parse_team(text, str(path))


def parse_team(text: str, file: str = "team") -> TeamSpec:
    """The team in a YAML text; ``file`` is what errors call it."""
    try:
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{file}:{mark.line + 1}" if mark is not None else file
        raise InputError(where, getattr(error, "problem", "") or "the text", "It is not valid YAML here.") from None
    except RecursionError:
        raise InputError(file, "the text", "It is nested too deeply.") from None
    lines = dict(_lines(tree, (), set(), file)) if tree is not None else {}
    if not isinstance(data, dict):
        raise InputError(f"{file}:1", data, "Write a mapping with agents and channels.")
    try:
        spec = TeamSpec.model_validate(data)
    except ValidationError as error:
        raise _readable(error, file, lines) from None
    for fault in faults(spec):
        raise InputError(f"{file}:{_line(lines, fault.path)} {dotted(fault.path)}", fault.value, fault.mend)
    return spec


def to_config(spec: TeamSpec) -> dict[str, Any]:
    """The team as plain data, defaults left out; ``TeamSpec.model_validate`` of it gives the same team."""
    return spec.model_dump(mode="json", exclude_defaults=True)


BREAKS = frozenset("\x85\u2028\u2029")


def dump_team(spec: TeamSpec) -> str:
    """The team as YAML; loading it gives the same team."""
    config = to_config(spec)
    # YAML reads these three as line breaks; escaping keeps them, at the price of escaping every other accent as well.
    text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
    return text if not BREAKS & set(text) else yaml.safe_dump(config, sort_keys=False)


def _lines(node: yaml.Node, path: FieldPath, seen: set[int], file: str) -> Iterator[tuple[FieldPath, int]]:
    """The line, from 1, of each field; keys given twice and aliases are refused."""
    line = node.start_mark.line + 1
    yield path, line
    if id(node) in seen:  # an alias; a few of them inside each other can stand for gigabytes
        raise InputError(f"{file}:{line} {dotted(path)}", "*alias", "Write it out: team files have no aliases.")
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        keys: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            if name in keys:
                raise InputError(
                    f"{file}:{key.start_mark.line + 1} {dotted((*path, name))}", name, "It is given twice."
                )
            keys.add(name)
            inner = dict(_lines(value, (*path, name), seen, file))
            inner[(*path, name)] = key.start_mark.line + 1
            yield from inner.items()
    elif isinstance(node, yaml.SequenceNode):
        for i, item in enumerate(node.value):
            yield from _lines(item, (*path, i), seen, file)


def _line(lines: dict[FieldPath, int], path: FieldPath) -> int:
    """The line of a field, or of the nearest field around it if it is not in the file."""
    for end in range(len(path), -1, -1):
        if path[:end] in lines:
            return lines[path[:end]]
    return 1


def _readable(error: ValidationError, file: str, lines: dict[FieldPath, int]) -> InputError:
    """The first error of the schema, with file, line and field."""
    first = error.errors()[0]
    # Unions add their branches to the path ("payoff", "dict[...]", ...); a field that is not in the file is the last.
    path: FieldPath = tuple(p for p in first["loc"] if isinstance(p, int) or "[" not in p)
    while (
        len(path) > 1
        and path not in lines
        and path[:-1] in lines
        and first["type"] not in ("missing", "extra_forbidden")
    ):
        path = path[:-1]
    where = f"{file}:{_line(lines, path)} {dotted(path)}"
    field = str(path[-1]) if path else ""
    if first["type"] == "extra_forbidden":
        return UnknownName(where, field, _schema_at(path).model_fields)
    if first["type"] == "literal_error":
        choices = [c.name for c in values("orchestration" if field == "mode" else field)]
        return (
            UnknownName(where, str(first.get("input")), choices)
            if choices
            else InputError(where, first.get("input"), f"{first['msg']}.")
        )
    if first["type"] == "missing":
        return InputError(where, None, f"Add {field}.")
    if path == ("agents",):
        return InputError(where, first.get("input"), "Give a list of agents, or their number from 1 to 1000.")
    return InputError(where, first.get("input"), f"{first['msg']}.")


def _schema_at(path: FieldPath) -> type[BaseModel]:
    """The part of the schema in which the last field of the path was looked for."""
    inner: dict[str, type[BaseModel]] = {
        "agents": AgentSpec, "channels": Channel, "orchestration": Orchestration,
        "stop": Stop, "budget": ChannelBudget,
    }  # fmt: skip
    found: type[BaseModel] = TeamSpec
    for part in path[:-1]:
        found = inner.get(str(part), found)
    return found
