"""The list of runs, the page of each, and two or more side by side."""

from __future__ import annotations

import time
from typing import Any

from nicegui import ui

from shoal.errors import ShoalError
from shoal.runs.folder import RunFolder
from shoal.studies.catalogue import catalogue
from shoal.traces import divergence_by_agent, first_divergence
from shoal.ui import live_curves
from shoal.ui.charts import as_csv, interval_bars
from shoal.ui.claims import claims_table
from shoal.ui.documents import comparison, means, results_of, run_document, run_row
from shoal.ui.layout import button, empty, facts, frame, text, verdict
from shoal.ui.progress import EVERY, progress_bar
from shoal.ui.wording import estimate
from shoal.ui.workspace import Job, Workspace

COLUMNS = (
    ("id", "Run", "left"),
    ("size", "Size", "left"),
    ("status", "Status", "left"),
    ("started", "Started", "left"),
    ("seconds", "Seconds", "right"),
    ("calls", "Calls", "right"),
    ("tokens", "Tokens", "right"),
    ("dollars", "Dollars", "right"),
    ("verdicts", "Verdicts", "left"),
)
PAGE_SIZE = 25


def runs_page(workspace: Workspace) -> None:
    """All runs, sortable; what is chosen can be compared or deleted."""
    with frame("Runs", "/runs"):
        ui.link("Traces of other frameworks", "/trace")
        rows = [_listed(folder) for folder in workspace.runs()]
        if not rows:
            empty("No runs yet.", "Open a system and press Run, or use `shoal run NAME`.")
            return
        columns = [
            {"name": name, "label": label, "field": name, "align": align, "sortable": True}
            for name, label, align in COLUMNS
        ]
        table = ui.table(
            rows=rows, columns=columns, row_key="id", selection="multiple",
            pagination={"rowsPerPage": PAGE_SIZE, "sortBy": "started", "descending": True},
        ).classes("runs").props("flat dense")  # fmt: skip
        table.add_slot(
            "body-cell-id", '<q-td :props="props"><a :href="`/runs/${props.value}`">{{ props.value }}</a></q-td>'
        )
        table.add_slot("header-selection", '<q-checkbox dense v-model="props.selected" aria-label="Choose all" />')
        table.add_slot(
            "body-selection", '<q-checkbox dense v-model="props.selected" :aria-label="`Choose ${props.row.id}`" />'
        )
        with table.add_slot("top-left"), ui.element("div").classes("row"):
            ui.input("Filter").bind_value_to(table, "filter").props("outlined dense clearable debounce=200")
            button("Compare", lambda: _compare([r["id"] for r in table.selected]))
            button("Delete", lambda: _confirm_delete(workspace, [r["id"] for r in table.selected]), "danger")


def _listed(folder: RunFolder) -> dict[str, Any]:
    row = run_row(folder)
    return {
        **row,
        "started": time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row["created"])),
        "dollars": round(row["dollars"], 4),
        "verdicts": ", ".join(f"{count} {value}" for value, count in row["verdicts"].items()),
    }


def _compare(chosen: list[str]) -> None:
    if len(chosen) < 2:
        ui.notify("Choose two or more runs.", type="info")
        return
    ui.navigate.to("/compare?runs=" + ",".join(chosen))


def _confirm_delete(workspace: Workspace, chosen: list[str]) -> None:
    """Ask before anything is removed."""
    if not chosen:
        ui.notify("Choose a run.", type="info")
        return
    with ui.dialog() as dialog, ui.card():
        text(
            "p", f"Delete {chosen[0] if len(chosen) == 1 else f'{len(chosen)} runs'} from disk? This cannot be undone."
        )
        with ui.element("div").classes("row"):
            button("Keep", dialog.close)
            button("Delete", lambda: _delete(workspace, chosen), "danger")
    dialog.on("hide", dialog.delete)  # else an empty dialog stays on the page for each question
    dialog.open()


def _delete(workspace: Workspace, chosen: list[str]) -> None:
    for name in chosen:
        try:
            workspace.delete(name)
        except ShoalError as error:
            ui.notify(str(error), type="warning")
            return
    ui.navigate.to("/runs")


def run_page(workspace: Workspace, name: str) -> None:
    """One run: how far it is, its claims, its measurements and its pictures."""
    try:
        folder = workspace.run(name)
    except ShoalError as error:
        with frame("No such run", "/runs"):
            empty(str(error), "The list of runs has them all.")
        return
    with frame(name, "/runs"):
        _actions(workspace, folder)
        content = ui.refreshable(_content)
        progress_bar(workspace, folder, ended=content.refresh)
        content(workspace, name)


def _actions(workspace: Workspace, folder: RunFolder) -> None:
    name = folder.path.name

    def resume() -> None:
        try:
            job = workspace.resume(name)
        except ShoalError as error:
            ui.notify(str(error), type="warning")
            return
        again.disable()
        said.text = "Resuming ..."
        wait = ui.timer(EVERY, lambda: look(job, wait))

    def look(job: Job, wait: ui.timer) -> None:
        """The page is read anew once the command holds the run; before that it would show the old state for good."""
        ended, taken = job.code(), job.folder(workspace)
        if taken is not None:
            wait.deactivate()
            ui.navigate.to(f"/runs/{taken.path.name}")
        elif ended is not None:
            wait.deactivate()
            again.enable()
            said.text = job.said() or f"It ended with code {ended} and said nothing."

    with ui.element("div").classes("row"):
        ui.link("Trace", f"/runs/{name}/trace")
        if folder.info.get("name") in catalogue():
            ui.link("System", f"/systems/{folder.info['name']}")
        if folder.info.get("kind") == "training" and folder.info.get("world"):
            world = str(folder.info["world"]).partition(":")[0]
            ui.link("World", f"/worlds/{world}?run={name}")
        if folder.info.get("kind") in ("simulation", "calibration"):
            ui.link("Population", f"/populations/runs/{name}")
        if folder.status() not in ("running", "finished"):
            again = button("Resume", resume)
        button("Delete", lambda: _confirm_delete(workspace, [name]), "danger")
        said = text("span", "").props('role="status"')


def _content(workspace: Workspace, name: str) -> None:
    document = run_document(workspace.run(name))
    facts(
        {
            "status": document["status"],
            "size": document["size"] or "-",
            "seconds": document["seconds"] if document["seconds"] is not None else "not finished",
            "model calls": f"{document['calls']:,} ({document['tokens']:,} tokens, {document['dollars']:.4f} dollars)",
            "models": ", ".join(sorted(set(document.get("models", {}).values()))) or "none",
            "machine": ", ".join(str(v) for v in document.get("machine", {}).values()),
            **({"error": document["error"]} if document["error"] else {}),
        }
    )
    if document["claims"]:
        text("h2", "Claims")
        claims_table(document["claims"])
    if (workspace.run(name).path / live_curves.FILE).is_file():
        text("h2", "Curves")
        live_curves.training_curves(workspace.run(name))
    if document["claims"] or document["progress"]["done"] or document["kind"] == "study":
        text("h2", "Measurements")
        measured(workspace, name)
    if document["plots"]:
        text("h2", "Pictures")
        with ui.element("div").classes("columns"):
            for plot in document["plots"]:
                image = ui.image(f"/api/runs/{name}/plots/{plot}").classes("plot")
                image.props["alt"] = plot.removesuffix(".png").replace("-", " ")
    for failure in document["failures"]:
        text("h2", f"Failed: {failure['experiment']} {failure['variant']}, seed {failure['seed']}")
        text("pre", failure["error"]).classes("said")


def measured(workspace: Workspace, name: str) -> None:
    """Means with intervals of the chosen experiment and metric; drawn anew while the run goes on."""
    rows = means(results_of(workspace.run(name)))
    if not rows:
        empty("Nothing is measured yet.", "Trials are shown as they end.")
        return
    experiments = list(dict.fromkeys(row["experiment"] for row in rows))
    chosen = {"experiment": experiments[0], "metric": rows[0]["metric"]}

    @ui.refreshable
    def figure() -> None:
        now = [r for r in means(results_of(workspace.run(name))) if r["experiment"] == chosen["experiment"]]
        metrics = list(dict.fromkeys(r["metric"] for r in now))
        if chosen["metric"] not in metrics:
            chosen["metric"] = metrics[0]
        bars = [
            {"name": r["variant"], "value": r["mean"], "low": r["ci_low"], "high": r["ci_high"], "seeds": r["seeds"]}
            for r in now
            if r["metric"] == chosen["metric"]
        ]
        with ui.element("div").classes("row"):
            ui.select(
                experiments,
                value=chosen["experiment"],
                label="experiment",
                on_change=lambda e: choose("experiment", e.value),
            ).props("outlined dense").classes("filter")
            ui.select(
                metrics, value=chosen["metric"], label="metric", on_change=lambda e: choose("metric", e.value)
            ).props("outlined dense").classes("filter")
        interval_bars(f"{chosen['experiment']}: {chosen['metric'].replace('_', ' ')}", bars)

    def choose(what: str, value: str) -> None:
        chosen[what] = value
        figure.refresh()

    figure()
    button(
        "Save all means as CSV",
        lambda: ui.download.content(as_csv(means(results_of(workspace.run(name)))), f"{name}.csv"),
    )


def compare_page(workspace: Workspace, runs: str = "") -> None:
    """Two or more runs: their differences paired by seed, and where their traces first part."""
    with frame("Compare", "/runs"):
        names = [name for name in runs.split(",") if name]
        try:
            folders = [workspace.run(name) for name in names]
        except ShoalError as error:
            empty(str(error), "Choose runs in the list of runs.")
            return
        if len(folders) < 2:
            empty("Nothing to compare.", "Choose two or more runs in the list of runs and press Compare.")
            return
        with ui.element("ul"):
            for place, name in enumerate(names):
                with ui.element("li"):
                    ui.link(name, f"/runs/{name}")
                    text("span", " (baseline)" if place == 0 else "")
        _verdicts(folders)
        _differences(folders)
        for name in names[1:]:
            _divergence(workspace, names[0], name)


def _verdicts(folders: list[RunFolder]) -> None:
    """Claims that two of the runs judge, with each run's verdict."""
    judged = [{c["id"]: c["verdict"] for c in folder.info.get("claims", [])} for folder in folders]
    shared = [claim for claim in judged[0] if all(claim in run for run in judged)]
    if not shared:
        return
    text("h2", "Verdicts")
    changed = [claim for claim in shared if len({run[claim] for run in judged}) > 1]
    text("p", f"{len(changed)} of {len(shared)} claims are judged differently.")
    if not changed:
        return
    region = ui.element("div").classes("table-wrap").props('tabindex="0" role="region" aria-label="Verdicts"')
    with region, ui.element("table").classes("plain"):
        with ui.element("thead"), ui.element("tr"):
            for name in ("Claim", *(folder.path.name for folder in folders)):
                text("th", name).props('scope="col"')
        with ui.element("tbody"):
            for claim in changed:
                with ui.element("tr"):
                    text("td", claim)
                    for run in judged:
                        with ui.element("td"):
                            verdict(run[claim])


def _differences(folders: list[RunFolder]) -> None:
    rows = comparison([(folder.path.name, results_of(folder)) for folder in folders])
    rows.sort(key=lambda row: row["difference"] == 0)  # what differs first
    text("h2", "Differences from the baseline, paired by seed")
    if not rows:
        empty("These runs share no measurement.", "Compare runs of the same system.")
        return
    shown = [{**row, "shown": estimate(row, "difference"), "key": str(place)} for place, row in enumerate(rows)]
    columns = [
        {"name": name, "label": name, "field": name, "align": "left", "sortable": True}
        for name in ("experiment", "variant", "metric", "run", "pairs")
    ] + [{"name": "shown", "label": "difference [95% interval]", "field": "shown", "align": "right"}]
    ui.table(rows=shown, columns=columns, row_key="key", pagination=PAGE_SIZE).props("flat dense")
    button("Save as CSV", lambda: ui.download.content(as_csv(rows), "comparison.csv"))


def _divergence(workspace: Workspace, left: str, right: str) -> None:
    """Where two traces part: as a whole, and agent by agent."""
    text("h2", f"First divergence: {left} and {right}")
    one, two = workspace.trace(left), workspace.trace(right)
    whole = first_divergence(one, two)
    if whole is None:
        text("p", f"They say the same: {len(one)} events in the same order.")
        return
    text("p", f"They part after {whole.position} equal events ({len(one)} and {len(two)} in all).")
    for part in [whole, *divergence_by_agent(one, two)][:40]:
        with ui.element("div").classes("panel"):
            text("h3", part.agent or "whole run")
            text("p", f"after {part.position} equal events; differs in {', '.join(part.fields)}").classes("small quiet")
            with ui.element("div").classes("columns"):
                for event in (part.left, part.right):
                    text("div", "(ended)" if event is None else f"{event.kind}: {_said(event.payload)}").classes("said")


def _said(payload: dict[str, Any]) -> str:
    words = str(payload.get("text") or payload.get("content") or payload)
    return words if len(words) <= 2000 else words[:2000] + " ..."
