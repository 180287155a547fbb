"""Reading a validated object out of a model's text."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, ValidationError

V = TypeVar("V", bound=BaseModel)

LONGEST_REPLY = 1_000_000
"""Characters of a reply that are searched for JSON; what comes after is ignored."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a reply could not be read: ``kind`` is "bad json" or "wrong schema"."""

    kind: str
    detail: str


def parse_reply(text: str, form: type[V]) -> tuple[V | None, Problem]:
    """The first JSON object in the text that satisfies ``form``, or None and the reason.

    Text around the object and Markdown fences are allowed: models add them whatever they are told.
    """
    problem = Problem("bad json", "there is no JSON object in the reply")
    for candidate in json_objects(text[:LONGEST_REPLY]):
        try:
            return form.model_validate(candidate), problem
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "object"
            problem = Problem("wrong schema", f"{where}: {first['msg']}")
    return None, problem


def json_objects(text: str, most: int = 50) -> list[dict[str, object]]:
    """The JSON objects that start at any ``{`` of the text, outermost and first ones first, at most ``most``."""
    decoder = json.JSONDecoder()
    found: list[dict[str, object]] = []
    end = tried = 0
    for match in re.finditer(r"\{", text):
        if match.start() < end:
            continue
        tried += 1
        if tried > most:
            break
        try:
            value, end = decoder.raw_decode(text, match.start())
        except (json.JSONDecodeError, RecursionError):
            continue
        if isinstance(value, dict):
            found.append(value)
    return found


def repair_prompt(problem: Problem) -> str:
    """What to say to a model whose reply could not be read."""
    return f"That could not be used: {problem.detail}. Reply again with one valid JSON object and nothing else."
