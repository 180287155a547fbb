"""Claims as a table: verdict, statement, estimate with its interval, evidence, and the checks behind each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nicegui import ui

from shoal.ui.layout import text, verdict
from shoal.ui.wording import estimate, needed


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
                            text("li", f"{check['label']}: {estimate(check)}{needed(check)}")
        text("td", estimate(claim)).classes("number")
        text("td", claim.get("evidence", ""))
