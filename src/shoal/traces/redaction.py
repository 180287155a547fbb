"""Secrets out of traces: keys, tokens and passwords are replaced on import, and counted.

Two rules. A text is searched for the forms that vendors give their keys, and for "name: value" pairs whose name says
that the value is secret. A field whose name says so is replaced whole. What is replaced leaves ``[redacted: KIND]``.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import Any

_NAME = (
    r"(?:api[_\- ]?key|secret[_\- ]?(?:access[_\- ]?)?key|access[_\- ]?token|auth[_\- ]?token|client[_\- ]?secret"
    r"|passw(?:or)?d|passphrase)"
)

FORMS: tuple[tuple[str, str], ...] = (
    ("private key", r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]{0,20000}?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"),
    ("API key", r"\b(?:sk|pk|rk)-[A-Za-z0-9_\-]{20,}"),
    ("API key", r"\b[sr]k_(?:live|test)_[A-Za-z0-9]{16,}"),
    ("API key", r"\bAIza[0-9A-Za-z_\-]{35}"),
    ("AWS key", r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    ("GitHub token", r"\bgh[pousr]_[A-Za-z0-9]{30,}|\bgithub_pat_[A-Za-z0-9_]{30,}"),
    ("GitLab token", r"\bglpat-[A-Za-z0-9_\-]{20,}"),
    ("Slack token", r"\bxox[abeoprs]-[A-Za-z0-9\-]{10,}"),
    ("Hugging Face token", r"\bhf_[A-Za-z0-9]{30,}"),
    ("web token", r"\beyJ[A-Za-z0-9_\-]{8,}\.eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}"),
    ("bearer token", r"(?i:\bbearer\s+)[A-Za-z0-9._~+/\-]{16,}=*"),
    ("password in URL", r"[a-z][a-z0-9+.\-]{1,20}://[^/\s:@]{1,100}:[^/\s@]{3,200}@"),
    ("named secret", rf"(?i:\b{_NAME}\b[\"']?\s{{0,3}}(?:[:=]|\bis\b)\s{{0,3}}[\"']?)[^\s\"',;]{{8,}}"),
)
"""(kind, expression): the forms of secrets in text."""

_KEPT = re.compile(rf"(?i:\bbearer\s+|\b{_NAME}\b[\"']?\s{{0,3}}(?:[:=]|\bis\b)\s{{0,3}}[\"']?)")
_PATTERNS = [(kind, re.compile(text)) for kind, text in FORMS]

MARKS = (
    "sk-",
    "pk-",
    "rk-",
    "k_live_",
    "k_test_",
    "AIza",
    "AKIA",
    "ASIA",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "xox",
    "hf_",
    "eyJ",
    "://",
    "-----BEGIN",
)
LOWER_MARKS = ("bearer", "key", "token", "secret", "passw", "passphrase")
"""A text that holds none of MARKS, and none of LOWER_MARKS in any case, holds no secret of a known form."""

_FIELDS = re.compile(
    r"(?i)^(?:(?:openai|anthropic|azure|x|llm|model|client)[_\-.]?)?(?:api[_\-]?key|authorization|passw(?:or)?d|passphrase"
    r"|secret(?:[_\-]?(?:access[_\-]?)?key)?|(?:access|auth|refresh|id|bearer|session)[_\-]?token|client[_\-]?secret"
    r"|private[_\-]?key|set-cookie|cookie)$"
)


@dataclass(slots=True)
class Redactor:
    """Replaces secrets and counts them.

    Attributes:
        counts: replacements by kind.
    """

    counts: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        """All replacements."""
        return sum(self.counts.values())

    def text(self, text: str) -> str:
        """The text without the secrets that are recognised in it."""
        if len(text) < 12 or not _may_hold_secret(text):
            return text
        for kind, pattern in _PATTERNS:
            text = pattern.sub(partial(self._replace, kind), text)
        return text

    def value(self, value: Any, depth: int = 0) -> Any:
        """A JSON value without its secrets; containers are copied only where something changed below them."""
        if isinstance(value, str):
            return self.text(value)
        if depth > 100:
            return self.text(str(value)) if isinstance(value, (dict, list, tuple)) else value
        if isinstance(value, dict):
            if len(value) == 2 and isinstance(value.get("key"), str) and isinstance(value.get("value"), dict):
                # OpenTelemetry's attributes: the field's name stands beside its typed value.
                inner = {kind: self._field(value["key"], v, depth) for kind, v in value["value"].items()}
                return {"key": value["key"], "value": inner}
            return {k: self._field(k, v, depth) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(item, depth + 1) for item in value]
        return value

    def _field(self, name: object, value: Any, depth: int) -> Any:
        if (
            isinstance(value, str)
            and value
            and _FIELDS.match(str(name).rsplit(".", 1)[-1])
            and not value.startswith("[redacted")
        ):
            self.counts["named field"] += 1
            return "[redacted: named field]"
        return self.value(value, depth + 1)

    def _replace(self, kind: str, found: re.Match[str]) -> str:
        whole = found.group()
        kept = _KEPT.match(whole)
        if "[redacted" in whole:
            return whole
        self.counts[kind] += 1
        return (kept.group() if kept else "") + f"[redacted: {kind}]"


def _may_hold_secret(text: str) -> bool:
    if any(mark in text for mark in MARKS):
        return True
    lower = text.lower()
    return any(mark in lower for mark in LOWER_MARKS)
