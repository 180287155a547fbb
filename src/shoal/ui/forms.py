"""A form made from a config's schema: one input for each field, with its help, its range and its default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml
from nicegui import ui
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from shoal.errors import InputError


class SchemaForm:
    """Inputs for the fields of a config.

    Args:
        schema: class of the config.
        values: shown at first where they differ from the class's own.
    """

    def __init__(self, schema: type[BaseModel], values: Mapping[str, Any]) -> None:
        self._defaults: dict[str, Any] = {}
        self._inputs: dict[str, Any] = {}
        described = schema.model_json_schema()["properties"]
        with ui.element("div").classes("columns"):
            for name, facts in described.items():
                default = schema.model_fields[name].default
                self._defaults[name] = values.get(name, None if default is PydanticUndefined else default)
                self._inputs[name] = _input(name, facts, self._defaults[name])

    def reset(self, values: Mapping[str, Any]) -> None:
        """Show other values; fields not named keep theirs."""
        for name, value in values.items():
            self._defaults[name] = value
            self._inputs[name].value = _shown(value, self._inputs[name])

    def changed(self) -> dict[str, Any]:
        """The values that differ from those first shown. Raises InputError for text that cannot be read."""
        found = {}
        for name, box in self._inputs.items():
            value = _read(name, box.value, self._defaults[name])
            if value != self._defaults[name]:
                found[name] = value
        return found


def _input(name: str, facts: Mapping[str, Any], value: Any) -> Any:
    help_text = facts.get("description", "") + _range(facts)
    label = name.replace("_", " ")
    if "enum" in facts:
        box: Any = ui.select(list(facts["enum"]), label=label, value=value)
    elif facts.get("type") == "boolean":
        with ui.element("div"):
            box = ui.checkbox(label, value=bool(value))
            ui.label(help_text).classes("small quiet")
        return box
    elif facts.get("type") in ("integer", "number"):
        box = ui.number(label, value=value, step=1 if facts["type"] == "integer" else None)
    else:
        box = ui.input(label, value=_text(value))
    return box.props(f"outlined dense hide-bottom-space hint={help_text!r}" if help_text else "outlined dense")


def _range(facts: Mapping[str, Any]) -> str:
    signs = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {facts[name]:g}" for name, sign in signs.items() if name in facts]
    return f" ({', '.join(bounds)})" if bounds else ""


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    plain = list(value) if isinstance(value, tuple) else value
    return yaml.safe_dump(plain, default_flow_style=True).removesuffix("\n").removesuffix("\n...")


def _shown(value: Any, box: Any) -> Any:
    return _text(value) if isinstance(box, ui.input) else value


def _read(name: str, shown: Any, default: Any) -> Any:
    if isinstance(default, bool) or not isinstance(shown, str):
        return int(shown) if isinstance(default, int) and isinstance(shown, float) and shown.is_integer() else shown
    if isinstance(default, str):
        return shown
    try:
        value = yaml.safe_load(shown) if shown else None
    except yaml.YAMLError as error:
        raise InputError(name, shown, "It cannot be read; write it as on the command line.") from error
    return tuple(value) if isinstance(default, tuple) and isinstance(value, list) else value
