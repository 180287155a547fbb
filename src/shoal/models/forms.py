"""A JSON value that satisfies a schema, made from an answer: how scripted agents reply where an object is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ANSWER_FIELDS = ("answer", "final_answer", "choice", "vote", "solution", "result")
"""Names of fields that hold an agent's answer."""


def fill(schema: Mapping[str, Any], answer: str, remark: str, confidence: float) -> Any:
    """A value of the schema: answer fields hold the answer, other texts the remark, numbers the confidence.

    Handles what pydantic writes for plain models: objects, arrays, enums, unions, references, bounds. Numbers are
    kept within their bounds; arrays have their least length.

    Args:
        schema: a JSON schema.
        answer: the answer to report.
        remark: a short text.
        confidence: a number from 0 to 1.
    """
    return _Filler(schema.get("$defs", {}), answer, remark, confidence).value(schema, "")


class _Filler:
    def __init__(self, definitions: Mapping[str, Any], answer: str, remark: str, confidence: float) -> None:
        self.definitions = definitions
        self.answer = answer
        self.remark = remark
        self.confidence = confidence

    def value(self, schema: Mapping[str, Any], name: str) -> Any:
        if "$ref" in schema:
            return self.value(self.definitions[schema["$ref"].rpartition("/")[2]], name)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self.answer if self.answer in schema["enum"] else schema["enum"][0]
        for union in ("anyOf", "oneOf", "allOf"):
            if union in schema:
                return self.value(schema[union][0], name)
        kind = schema.get("type", "string")
        if kind == "object":
            return {key: self.value(part, key) for key, part in schema.get("properties", {}).items()}
        if kind == "array":
            item = schema.get("items", {})
            return [self.value(item, name) for _ in range(schema.get("minItems", 0))]
        if kind in ("number", "integer"):
            return self._number(schema, name, whole=kind == "integer")
        if kind == "boolean":
            return self.answer.lower() in ("true", "yes") if name in ANSWER_FIELDS else self.confidence >= 0.5
        return self.answer if name in ANSWER_FIELDS else self.remark[: schema.get("maxLength", None)]

    def _number(self, schema: Mapping[str, Any], name: str, whole: bool) -> float:
        value: float = self.confidence
        if name in ANSWER_FIELDS:
            try:
                value = float(self.answer)
            except ValueError:
                value = 0.0
        elif "maximum" in schema and schema["maximum"] > 1:  # a grade: the confidence on the schema's own scale
            low = schema.get("minimum", 0)
            value = low + self.confidence * (schema["maximum"] - low)
        value = max(value, float(schema.get("minimum", value)))
        value = min(value, float(schema.get("maximum", value)))
        return round(value) if whole else value
