"""The catalogue of systems, and the page of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nicegui import ui

from shoal.errors import ShoalError
from shoal.runs.study import SIZES, Study
from shoal.studies.catalogue import catalogue, find_study
from shoal.ui.charts import interval_bars
from shoal.ui.claims import claims_table
from shoal.ui.documents import Document, system_document, system_row
from shoal.ui.forms import SchemaForm
from shoal.ui.layout import button, empty, facts, frame, text, verdict
from shoal.ui.mechanism import mechanism_figure
from shoal.ui.progress import follow
from shoal.ui.workspace import Workspace

FILTERS = ("kind", "engine", "evidence", "actors", "type", "structure", "strategy", "protocol")
"""What the catalogue can be filtered by; the last five are the collaboration vocabulary."""

MOST_FIGURES = 12


def catalogue_page(workspace: Workspace) -> None:
    """All systems, filterable."""
    rows = [system_row(study) for study in catalogue().values()]
    chosen: dict[str, str | None] = dict.fromkeys(FILTERS)
    words = {"text": ""}

    @ui.refreshable
    def listing() -> None:
        shown = [r for r in rows if _matches(r, chosen, words["text"])]
        text("p", f"{len(shown)} of {len(rows)} systems").classes("quiet").props('role="status"')
        if not shown:
            empty("No system has all of these.", "Clear a filter to see more.")
        with ui.element("ul").classes("cards"):
            for row in shown:
                _card(row)

    def choose(name: str, value: Any) -> None:
        chosen[name] = value
        listing.refresh()

    def search(value: str) -> None:
        words["text"] = value
        listing.refresh()

    with frame("Systems", "/"):
        with ui.element("div").classes("row filters"):
            ui.input("Search", on_change=lambda e: search(e.value or "")).props("outlined dense clearable debounce=200")
            for name in FILTERS:
                values = sorted({word for row in rows for word in _words(row, name)})
                ui.select(values, label=name, clearable=True, on_change=lambda e, n=name: choose(n, e.value)).props(
                    "outlined dense"
                ).classes("filter")
        listing()


def _words(row: Document, name: str) -> Sequence[str]:
    if name in ("kind", "engine"):
        return [row[name]]
    return row["evidence"] if name == "evidence" else row["vocabulary"].get(name, [])  # type: ignore[no-any-return]


def _matches(row: Document, chosen: dict[str, str | None], words: str) -> bool:
    if any(value is not None and value not in _words(row, name) for name, value in chosen.items()):
        return False
    return words.lower() in f"{row['name']} {row['title']} {row['summary']} {row['paper']}".lower()


def _card(row: Document) -> None:
    with ui.element("li").classes("panel"):
        with ui.element("h2").classes("card-title"):
            ui.link(row["title"], f"/systems/{row['name']}")
        text("p", f"{row['kind']}, {row['paper']}").classes("small quiet")
        text("p", row["summary"]).classes("small clamp")
        with ui.element("div").classes("row"):
            for value, count in row["verdicts"].items():
                verdict(value).text = f"{verdict_mark(value)} {count} {value}"
            if not row["verdicts"]:
                text("span", "no committed run").classes("small quiet")


def verdict_mark(value: str) -> str:
    """The sign of a verdict."""
    from shoal.ui.wording import VERDICT_MARKS

    return VERDICT_MARKS.get(value, ("–", "none"))[0]


def system_page(workspace: Workspace, name: str) -> None:
    """One system: what it is, its mechanism, claims with verdicts, figures of its committed run, a form to run it."""
    try:
        study = find_study(name)
    except ShoalError as error:
        with frame("No such system", "/"):
            empty(str(error), "The list of systems has them all.")
        return
    document = system_document(study)
    with frame(study.title, "/"):
        text("p", study.summary)
        mechanism_figure(study)
        facts(
            {
                "paper": study.paper,
                "kind": f"{study.kind} (engine {study.engine})",
                "evidence": ", ".join(document["evidence"]) or "no committed run yet",
                **{word: ", ".join(values) for word, values in document["vocabulary"].items() if values},
                "command": f"shoal run {study.name}",
            }
        )
        text("h2", "Claims")
        claims_table(document["claims"])
        text("h2", "Run it")
        _launcher(workspace, study)
        text("h2", "Figures of the committed standard run")
        _figures(document["means"])


def _figures(means: Sequence[Document]) -> None:
    """Bars of the first metric of each experiment, with a choice of others."""
    if not means:
        empty("No committed run.", "Run it above, or record one with `shoal run NAME --record`.")
        return
    experiments = list(dict.fromkeys(row["experiment"] for row in means))
    with ui.element("div").classes("columns"):
        for experiment in experiments[:MOST_FIGURES]:
            _experiment_figure(experiment, [row for row in means if row["experiment"] == experiment])


def _experiment_figure(experiment: str, rows: Sequence[Document]) -> None:
    metrics = list(dict.fromkeys(row["metric"] for row in rows))

    @ui.refreshable
    def figure(metric: str) -> None:
        bars = [
            {"name": row["variant"], "value": row["mean"], "low": _end(row, "ci_low"), "high": _end(row, "ci_high")}
            for row in rows
            if row["metric"] == metric and row["mean"] is not None
        ]
        interval_bars(f"{experiment}: {metric.replace('_', ' ')}", bars)

    with ui.element("div"):
        if len(metrics) > 1:
            ui.select(
                metrics, value=metrics[0], label=f"metric of {experiment}", on_change=lambda e: figure.refresh(e.value)
            ).props("outlined dense").classes("filter")
        figure(metrics[0])


def _end(row: Document, name: str) -> float:
    value = row[name]
    return float(row["mean"] if value is None else value)


def _launcher(workspace: Workspace, study: Study[Any]) -> None:
    """Size, seeds, model and the settings; then the run's progress with a stop button."""
    with ui.element("div").classes("panel"):
        with ui.element("div").classes("row"):
            size = ui.select(list(SIZES), value="quick", label="size").props("outlined dense").classes("filter")
            seeds = ui.number("seeds (empty: the size's own)", min=1, step=1, format="%d").props("outlined dense")
            model = None
            if any(e.model for e in study.experiments):
                default = next(e.default_model for e in study.experiments if e.model)
                model = ui.input("model", placeholder=default).props("outlined dense")
        with ui.expansion("Settings").classes("settings"):
            form = SchemaForm(study.config, study.configure("quick").model_dump())
        size.on_value_change(lambda e: form.reset(study.configure(e.value).model_dump()))
        problem = text("p", "").classes("problem").props('role="alert"')
        watched = ui.element("div")

        def start() -> None:
            problem.text = ""
            try:
                job = workspace.launch(
                    study.name, size.value, int(seeds.value) if seeds.value else None,
                    (model.value or None) if model is not None else None, form.changed(),
                )  # fmt: skip
            except ShoalError as error:
                problem.text = str(error)
                return
            watched.clear()
            with watched:
                follow(workspace, job)

        button("Run", start, "go")
