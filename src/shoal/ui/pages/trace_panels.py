"""Below the lanes: what the trace cost by agent and edge, and the diagnosis with its findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nicegui import run as background
from nicegui import ui

from shoal.ui.charts import as_csv
from shoal.ui.layout import empty, text
from shoal.ui.pages.trace_event import event_link
from shoal.ui.trace_costs import by_agent, by_edge
from shoal.ui.trace_diagnosis import detector_scores, diagnosed

if TYPE_CHECKING:
    from shoal.ui.pages.trace import TraceView

ROWS = 15
UNITS = {
    "seconds": "seconds",
    "money": "dollars",
    "prompt_tokens": "prompt tokens",
    "completion_tokens": "reply tokens",
}
OUTCOMES = {"": "as the trace tells", "failed": "it failed", "succeeded": "it succeeded"}
MOST_FINDINGS = 12


def cost_panel(view: TraceView) -> None:
    """Tables of what each agent and each edge between agents cost, in the part that is shown."""
    places = view.index.of_part(view.selection.part)
    text("h3", "By agent")
    _table(by_agent(view.index, places), "agents")
    text("h3", "By edge")
    text(
        "p",
        "What an event cost is shared equally among the events that it was made from, so the rows sum up to the total.",
    ).classes("small quiet")
    _table(by_edge(view.index, places), "edges")


def _table(rows: list[dict[str, Any]], name: str) -> None:
    columns = [
        {"name": c, "label": UNITS.get(c, c), "field": c, "sortable": True,
         "align": "left" if c in ("agent", "from", "to") else "right"}
        for c in rows[0]
    ]  # fmt: skip
    numbered = [{**{c: _short(v) for c, v in row.items()}, "key": place} for place, row in enumerate(rows)]
    ui.table(rows=numbered, columns=columns, row_key="key", pagination=ROWS).props("flat dense").classes("numbers")
    ui.button("Save as CSV", on_click=lambda: ui.download.content(as_csv(rows), f"{name}.csv")).props(
        f'no-caps flat dense aria-label="Save {name} as CSV"'
    )


def _short(value: Any) -> Any:
    """A number with the digits that a table needs; the CSV has them all."""
    if not isinstance(value, float):
        return value
    return int(value) if value.is_integer() else float(f"{value:.4g}") if abs(value) < 1 else round(value, 2)


def diagnosis_panel(view: TraceView) -> None:
    """The button that diagnoses, what came out, and how far each detector can be trusted."""
    with ui.element("div").classes("row filters"):
        ended = ui.select(OUTCOMES, value="", label="How it ended").props("outlined dense").classes("filter")
        button = ui.button("Diagnose", on_click=lambda: diagnose()).props("no-caps unelevated dense")
    said = text("p", "Who caused a failure, at which step, and how sure that is; as `shoal diagnose` does.")
    said.props('role="status"')
    came = ui.element("div")

    async def diagnose() -> None:
        button.disable()
        said.text = f"Looking at {len(view.index.of_part(view.selection.part)):,} events ..."
        failed = None if not ended.value else ended.value == "failed"
        try:
            found = await background.cpu_bound(diagnosed, view.paths, view.selection.part, failed)
        except background.SubprocessException as error:
            said.text = f"The diagnosis failed: {error.original_message}"
            return
        finally:
            button.enable()
        came.clear()
        if found is not None:
            said.text = _whole(found)
            with came:
                _verdicts(view, found)

    with ui.element("details"):
        text("summary", "How good the detectors are")
        _scores({})


def _whole(found: dict[str, Any]) -> str:
    counts = found["summary"]
    if counts["conversations"] == 1:
        return "One conversation."
    left = f"; the {found['left_out']} others are not shown" if found["left_out"] else ""
    ended = f"{counts['failed']} failed, {counts['unknown']} of unknown outcome"
    return f"{counts['conversations']} conversations: {ended}{left}."


def _verdicts(view: TraceView, found: dict[str, Any]) -> None:
    talks = found["conversations"]
    if not talks:
        empty("There is nothing to diagnose here.", "Choose another part.")
        return
    for place, talk in enumerate(talks):
        _verdict(view, talk, opened=place == 0)
    first = next((s for s in talks[0]["suspects"] if s["reasons"]), None)
    if first:
        view.mark(tuple(first["positions"]))
    text("h3", "Detectors that fired")
    _scores(Counter(f["detector"] for talk in talks for f in talk["findings"]))


def _verdict(view: TraceView, talk: dict[str, Any], opened: bool) -> None:
    """One conversation: headline, suspects, other findings, advice."""
    with ui.element("details").classes("panel") as panel:
        if opened:
            panel.props("open")
        text("summary", f"{talk['run']}: {talk['headline']}"[:600])
        if len(view.index.parts) > 1:
            ui.button("Show this part only", on_click=lambda: view.look_at(talk["run"])).props("no-caps flat dense")
        named = []
        for rank, suspect in enumerate(talk["suspects"], 1):
            if suspect["reasons"] or rank == 1:
                _suspect(view, rank, suspect)
                named += suspect["reasons"]
        others = [f for f in talk["findings"] if f not in named]
        if others:
            text("h3", "Also seen")
        for finding in others[:MOST_FINDINGS]:
            _finding(view, finding)
        if len(others) > MOST_FINDINGS:
            text("p", f"and {len(others) - MOST_FINDINGS} more findings").classes("small quiet")
        if talk["advice"]:
            text("h3", "Try next")
            with ui.element("ul"):
                for advice in talk["advice"]:
                    text("li", advice)


def _suspect(view: TraceView, rank: int, suspect: dict[str, Any]) -> None:
    with ui.element("div").classes("suspect"):
        text("h3", f"{rank}. {suspect['agent'] or '(run)'}, step {suspect['step']}: {suspect['confidence']:.0%}")
        if suspect["position"] is not None:
            event_link(view, suspect["position"])
        later = "step was" if suspect["downstream"] == 1 else "steps were"
        text("p", f"{suspect['downstream']} later {later} made from it.").classes("small quiet")
        if suspect["positions"]:
            path = tuple(suspect["positions"])
            ui.button(f"Mark its path ({len(path)} events)", on_click=lambda: view.mark(path)).props(
                "no-caps outline dense"
            )
        for finding in suspect["reasons"]:
            _finding(view, finding)


def _finding(view: TraceView, finding: dict[str, Any]) -> None:
    from shoal.ui.trace_diagnosis import scored

    with ui.element("div").classes("finding"):
        text("p", f"{finding['detector']} ({finding['score']:.2f}): {finding['evidence']}")
        text("p", scored(finding["detector"])).classes("small quiet")
        with ui.element("ul").classes("events"):
            for position in finding["positions"][:4]:
                with ui.element("li"):
                    event_link(view, position)


def _scores(fired: dict[str, int]) -> None:
    """The detectors (those that fired, or all) with what they find of planted faults."""
    from shoal.diagnosis.findings import DETECTORS

    scores = detector_scores()
    names = [name for name, _ in DETECTORS.items() if not fired or name in fired]
    text(
        "p",
        "Scores are of runs with planted faults, made by the same people as the detectors; real failures are harder."
        if scores
        else "The committed scores come with a checkout of shoal; this is an installed package.",
    ).classes("small quiet")
    head = ("detector", "looks for", *(["findings here"] if fired else []), "found", "right alarms", "false alarms")
    wrap = ui.element("div").classes("table-wrap").props('tabindex="0" role="region" aria-label="Detectors"')
    with wrap, ui.element("table").classes("plain"):
        _cells("th", head)
        for name in names:
            row = scores.get(name)
            figures = ("not scored", "-", "-")
            if row:
                share = f"{row['recall']:.0%} of {row['planted']}"
                figures = (share, f"{row['precision']:.0%}", f"{row['false_alarms']:.1%}")
            _cells("td", (name, DETECTORS.get(name).title, *([str(fired[name])] if fired else []), *figures))


def _cells(tag: str, values: Sequence[str]) -> None:
    with ui.element("tr"):
        for value in values:
            text(tag, value)
