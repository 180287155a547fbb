"""Claims as a table: verdict, statement, estimate with its interval, evidence, and the checks behind each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nicegui import ui

from shoal.ui.layout import text, verdict


def claims_table(claims: Sequence[Mapping[str, Any]]) -> None:
    """One row per claim; its checks open below it."""
    region = ui.element("div").classes("table-wrap").props('tabindex="0" role="region" aria-label="Claims"')
    with region, ui.element("table").classes("plain"):
        with ui.element("thead"), ui.element("tr"):
            for name in ("Verdict", "Claim", "Estimate [95% interval]", "Evidence"):
                text("th", name).props('scope="col"')
        with ui.element("tbody"):
            for claim in claims:
                _row(claim)


def _row(claim: Mapping[str, Any]) -> None:
    with ui.element("tr"):
        with ui.element("td"):
            verdict(claim["verdict"])
        with ui.element("td"):
            text("strong", claim["id"])
            text("p", claim["statement"]).classes("small")
            if claim.get("note"):
                text("p", claim["note"]).classes("small quiet")
            if claim.get("checks"):
                with ui.element("details").classes("small"):
                    text("summary", "1 check" if len(claim["checks"]) == 1 else f"{len(claim['checks'])} checks")
                    with ui.element("ul"):
                        for check in claim["checks"]:
                            text("li", f"{check['label']}: {estimate(check)}{_needed(check)}")
        text("td", estimate(claim)).classes("number")
        text("td", claim.get("evidence", ""))


def estimate(row: Mapping[str, Any], name: str = "estimate") -> str:
    """``0.412 [0.380, 0.447]``; the bare value where it is exact, a dash where there is none."""
    value = row.get(name)
    if value is None:
        return "-"
    low, high = row.get("ci_low"), row.get("ci_high")
    if low is None or high is None or low == high:
        return number(value)
    return f"{number(value)} [{number(low)}, {number(high)}]"


def number(x: float) -> str:
    """Four significant digits, without an exponent where that is readable."""
    x += 0.0  # no minus before a zero
    if x == 0 or 1e-3 <= abs(x) < 1e6:
        return f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.3f}".rstrip("0").rstrip(".")
    return f"{x:.2e}"


def _needed(check: Mapping[str, Any]) -> str:
    bounds = [f"{word} {check[word]:g}" for word in ("above", "below") if check.get(word) is not None]
    return f" (needs {' and '.join(bounds)})" if bounds else ""
