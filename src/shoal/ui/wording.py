"""How verdicts, numbers and intervals are written: the same on the pages and in reports."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from shoal.stats import Estimate, Verdict

VERDICT_MARKS: Mapping[str, tuple[str, str]] = {
    Verdict.REPRODUCED: ("✓", "yes"),
    Verdict.NOT_REPRODUCED: ("✗", "no"),
    Verdict.INCONCLUSIVE: ("?", "open"),
    Verdict.NOT_RUN: ("–", "none"),
}
"""Sign and CSS class: never colour alone."""


def estimate(row: Mapping[str, Any], name: str = "estimate") -> str:
    """``0.412 [0.380, 0.447]``; the bare value where it is exact, a dash where there is none."""
    value = row.get(name)
    if value is None:
        return "-"
    low, high = row.get("ci_low"), row.get("ci_high")
    if low is None or high is None or low == high:
        return number(value)
    return f"{number(value)} [{number(low)}, {number(high)}]"


def interval(e: Estimate) -> str:
    """The same of an estimate; without the interval where it has no bounds."""
    known = math.isfinite(e.low) and math.isfinite(e.high)
    return estimate({"estimate": e.value, "ci_low": e.low if known else None, "ci_high": e.high if known else None})


def number(x: float) -> str:
    """Four significant digits, without an exponent where that is readable."""
    x += 0.0  # no minus before a zero
    if x == 0 or 1e-3 <= abs(x) < 1e6:
        return f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.3f}".rstrip("0").rstrip(".")
    return f"{x:.2e}"


def needed(check: Mapping[str, Any]) -> str:
    """What a check of a claim needs: `` (needs above 0.5)``; nothing where it needs nothing."""
    bounds = [f"{word} {check[word]:g}" for word in ("above", "below") if check.get(word) is not None]
    return f" (needs {' and '.join(bounds)})" if bounds else ""


def outcome(answer: str | None, right: bool | None) -> str:
    """A team's answer, cut, and whether it was right where that is known."""
    judged = "" if right is None else " (right)" if right else " (wrong)"
    return f"{'none' if answer is None else answer[:300]}{judged}"
