"""The curves of a training, drawn anew while it goes on: the mean over seeds and the range of the seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from nicegui import ui

from shoal.runs.folder import RunFolder
from shoal.ui.charts import as_csv, curves
from shoal.ui.layout import button

FILE = "metrics.jsonl"
EVERY = 0.5
MOST_POINTS = 400
FIRST = ("return", "team_return", "reward", "loss")
"""Shown first, if there."""
AXES = ("step", "update")


@dataclass
class MetricsFile:
    """The lines of a growing file of metrics; only what was added is read again.

    Attributes:
        path: of the file.
        rows: lines so far.
    """

    path: Path
    rows: list[dict[str, Any]] = field(default_factory=list)
    _read: int = 0

    def grown(self) -> bool:
        """Read what was added; whether anything was. A torn last line is left for the next time."""
        with self.path.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        fresh = [orjson.loads(line) for line in whole.splitlines() if line.strip()]
        self.rows += fresh
        return bool(fresh)

    def names(self) -> list[str]:
        """Metrics with one number each, those most looked for first."""
        found = dict.fromkeys(
            name
            for row in self.rows
            for name, value in row.items()
            if isinstance(value, int | float) and name not in (*AXES, "seed")
        )
        return [*(n for n in FIRST if n in found), *(n for n in found if n not in FIRST)]


def axis_of(rows: Sequence[Mapping[str, Any]]) -> str:
    """What the lines are numbered by: the first of AXES that they have."""
    return next((axis for axis in AXES if rows and axis in rows[0]), "")


def averaged(
    rows: Sequence[Mapping[str, Any]], name: str, most: int = MOST_POINTS
) -> tuple[list[float], list[float], list[float], list[float]]:
    """Positions, and the mean, least and greatest value over seeds at each; thinned evenly to ``most`` points.

    Args:
        rows: of the file.
        name: of the metric.
        most: points.
    """
    axis = axis_of(rows)
    at: dict[float, list[float]] = {}
    for place, row in enumerate(rows):
        value = row.get(name)
        if isinstance(value, int | float):
            at.setdefault(float(row.get(axis, place)), []).append(float(value))
    where = sorted(at)
    where = where[:: max(1, -(-len(where) // most))] if where else []
    return (
        where, [sum(at[x]) / len(at[x]) for x in where], [min(at[x]) for x in where], [max(at[x]) for x in where]
    )  # fmt: skip


def training_curves(folder: RunFolder) -> None:
    """A chosen metric of a training over its steps."""
    metrics = MetricsFile(folder.path / FILE)
    metrics.grown()
    names = metrics.names()
    chosen = {"name": names[0] if names else ""}

    @ui.refreshable
    def figure() -> None:
        if chosen["name"]:
            where, middle, low, high = averaged(metrics.rows, chosen["name"])
            label = chosen["name"].replace("_", " ")
            curves(
                label, {label: middle}, axis_of(metrics.rows) or "line", label, {label: (low, high)}, positions=where
            )

    def look() -> None:
        if metrics.grown():
            chosen["name"] = chosen["name"] or metrics.names()[0]
            figure.refresh()
        if folder.holder() is None:
            timer.deactivate()

    with ui.element("div").classes("row"):
        ui.select(
            names, value=chosen["name"], label="metric",
            on_change=lambda e: (chosen.update(name=e.value), figure.refresh()),
        ).props("outlined dense").classes("filter")  # fmt: skip
        button("Save all metrics as CSV", lambda: ui.download.content(as_csv(metrics.rows), "metrics.csv"))
    figure()
    timer = ui.timer(EVERY, look)
