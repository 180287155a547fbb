"""The progress of a run, live: finished trials, a stop button, and what came out."""

from __future__ import annotations

from collections.abc import Callable

from nicegui import ui

from shoal.errors import ShoalError
from shoal.runs.folder import RunFolder
from shoal.ui.documents import progress
from shoal.ui.layout import button, text
from shoal.ui.workspace import Job, Workspace

EVERY = 0.5
"""Seconds between looks."""


def follow(workspace: Workspace, job: Job) -> None:
    """Show a command from its start to its end. Closing the page stops nothing."""
    said = text("p", "Starting ...").props('role="status"')
    place = ui.element("div")
    shown: list[str] = []

    def look() -> None:
        folder = job.folder(workspace)
        if folder is not None and not shown:
            shown.append(folder.path.name)
            said.text = ""
            with place:
                progress_bar(workspace, folder)
        if job.code() is not None:
            timer.deactivate()
            if not shown:
                said.text = job.said() or f"It ended with code {job.code()} and said nothing."

    timer = ui.timer(EVERY, look)


def progress_bar(workspace: Workspace, folder: RunFolder, ended: Callable[[], object] | None = None) -> None:
    """How far a run is, until it ends; with a button that stops it.

    Args:
        workspace: where it is.
        folder: the run.
        ended: called when a run that was going on has ended; a link to the run is shown where nothing is to be called.
    """
    name = folder.path.name
    with ui.element("div").classes("row"):
        bar = ui.linear_progress(0.0, show_value=False, size="12px").classes("bar")
        bar.props["aria-label"] = f"Progress of {name}"
        counted = text("span", "").props('role="status"')
        stop = button("Stop", lambda: _stop(workspace, name), "danger")
        if ended is None:
            ui.link(name, f"/runs/{name}")

    def look(first: bool = False) -> None:
        try:
            now = workspace.run(name)
        except ShoalError:
            counted.text = "deleted"
            timer.deactivate()
            return
        status, how_far = now.status(), progress(now)
        total = how_far["total"]
        bar.value = how_far["done"] / total if total else 0.0
        counted.text = f"{how_far['done']} of {total} trials, {status}" if total else status
        if status != "running":
            bar.value = 1.0 if status == "finished" else bar.value
            stop.disable()
            timer.deactivate()

            if ended is not None and not first:
                ended()

    timer = ui.timer(EVERY, look)
    look(first=True)


def _stop(workspace: Workspace, name: str) -> None:
    try:
        workspace.stop(name)
    except ShoalError as error:
        ui.notify(str(error), type="warning")
