"""Figures of two dimensions: heat maps with numbers, points and lines in a plane, and pictures drawn elsewhere."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from nicegui import ui

from shoal.runs.plots import PALETTE
from shoal.ui.charts import Rows, as_csv, chart
from shoal.ui.layout import text
from shoal.ui.wording import number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_NUMBERS = 400
"""Cells of a heat map that still show their number."""


def heat_map(
    title: str,
    across: Sequence[str],
    up: Sequence[str],
    values: Sequence[Sequence[float | None]],
    names: tuple[str, str, str] = ("", "", ""),
    rows: Rows | None = None,
    mark: tuple[int, int] | None = None,
) -> ui.echart:
    """A table of numbers as colours of one hue: deeper is more. Text stays readable on it in both themes.

    Args:
        title: what is shown.
        across: labels of the columns.
        up: labels of the rows, from top to bottom.
        values: [row][column]; None where there is none.
        names: of the columns' axis, the rows' axis, and the values.
        rows: of the CSV file, where there is more to tell than the values.
        mark: (row, column) of a cell with a cross.
    """
    cells = [(j, i, v) for i, line in enumerate(values) for j, v in enumerate(line) if v is not None]
    known = [v for _, _, v in cells] or [0.0]
    low, high = min(known), max(known)
    few = len(cells) <= MOST_NUMBERS
    shown = [{"value": [*cell], **({"label": {"formatter": number(float(cell[2]))}} if few else {})} for cell in cells]
    series: list[dict[str, Any]] = [
        {"type": "heatmap", "data": shown, "label": {"show": few and len(across) <= 12, "color": "#1b1f23"}}
    ]
    if mark is not None:
        cross = {"type": "scatter", "symbol": "diamond", "symbolSize": 16, "data": [[mark[1], mark[0]]]}
        series.append({**cross, "itemStyle": {"color": PALETTE[5]}, "tooltip": {"show": False}})
    options = {
        "tooltip": {"trigger": "item", "confine": True},
        "grid": {"left": 8, "right": 16, "top": 16, "bottom": 64, "containLabel": True},
        "xAxis": _labels(across, names[0]),
        "yAxis": {**_labels(up, names[1]), "inverse": True, "nameGap": 8, "nameLocation": "start"},
        "visualMap": {
            "min": low, "max": high if high > low else low + 1, "orient": "horizontal", "left": "center", "bottom": 0,
            "seriesIndex": 0, "itemHeight": 120, "inRange": {"color": [PALETTE[0]], "colorAlpha": [0.04, 0.6]},
            "text": [f"{number(high)} {names[2]}".strip(), number(low)],
        },
        "series": series,
    }  # fmt: skip
    if rows is None:
        keys = (names[1] or "row", names[0] or "column", names[2] or "value")
        rows = [dict(zip(keys, (up[i], across[j], v), strict=True)) for j, i, v in cells]
    spoken = "; ".join(f"{up[i]}, {across[j]}: {number(float(v))}" for j, i, v in cells[:12])
    return chart(title, options, rows, spoken, height=f"{max(240, min(34 * len(up), 420) + 130)}px")


def _labels(names: Sequence[str], title: str) -> dict[str, Any]:
    long = len(names) > 6 or max((len(name) for name in names), default=0) > 10
    return {
        "type": "category", "data": list(names), "name": title, "nameLocation": "middle", "nameGap": 40,
        "axisLabel": {"width": 110, "overflow": "truncate", "rotate": 30 if long else 0}, "splitArea": {"show": True},
    }  # fmt: skip


def plane(
    title: str,
    lines: Mapping[str, Sequence[Sequence[tuple[float, float]]]],
    points: Mapping[str, Sequence[tuple[float, float]]],
    axes: Mapping[str, Any],
    rows: Rows,
    description: str = "",
    height: str = "440px",
) -> ui.echart:
    """Lines and points in a plane.

    Args:
        title: what is shown.
        lines: by name, several lines each, each of points.
        points: by name.
        axes: ``xAxis`` and ``yAxis``, and further series as ``more``.
        rows: of the CSV file.
        description: in words.
        height: CSS height.
    """
    series: list[dict[str, Any]] = []
    for place, (name, group) in enumerate(lines.items()):
        joined: list[Any] = [spot for line in group for spot in (*([x, y] for x, y in line), [None, None])]
        look = {"color": PALETTE[place % len(PALETTE)], "lineStyle": {"width": 1.2}, "connectNulls": False}
        series.append({"type": "line", "name": name, "data": joined, "showSymbol": False, **look})
    for place, (name, spots) in enumerate(points.items(), len(lines)):
        dots = {"type": "scatter", "name": name, "data": [[x, y] for x, y in spots], "symbolSize": 12, "z": 5}
        series.append({**dots, "color": PALETTE[place % len(PALETTE)]})
    options = {
        "legend": {"data": [*lines, *points], "top": 0},
        "grid": {"left": 8, "right": 24, "top": 48, "bottom": 28, "containLabel": True},
        "tooltip": {"trigger": "item", "confine": True},
        "xAxis": axes["xAxis"],
        "yAxis": axes["yAxis"],
        "series": [*series, *axes.get("more", [])],
    }
    return chart(title, options, rows, description, height)


def picture(title: str, figure: Figure, rows: Callable[[], Rows], description: str = "") -> None:
    """A figure that was drawn by matplotlib, with the same buttons as a chart.

    Args:
        title: what is shown.
        figure: the drawing.
        rows: its data, made when the CSV file is asked for.
        description: what a reader who cannot see it should know.
    """
    name = "".join(c if c.isalnum() else "-" for c in title.lower()).strip("-")[:80]
    files = {kind: _drawn(figure, kind) for kind in ("png", "svg")}
    with ui.element("figure").classes("figure"):
        text("figcaption", title)
        shown = ui.element("img").classes("picture")
        shown.props["src"] = f"data:image/svg+xml;base64,{base64.b64encode(files['svg']).decode()}"
        shown.props["alt"] = f"{title}. {description}".strip()
        with ui.element("div").classes("saves"):
            for kind, content in files.items():
                _save(kind, title, partial(ui.download.content, content, f"{name}.{kind}"))
            _save("csv", title, lambda: ui.download.content(as_csv(rows()), f"{name}.csv"))


def _drawn(figure: Figure, kind: str) -> bytes:
    out = io.BytesIO()
    figure.savefig(out, format=kind)
    return out.getvalue()


def _save(kind: str, title: str, action: Callable[[], Any]) -> None:
    button = ui.button(kind.upper(), on_click=action).props("flat dense no-caps size=sm")
    button.props["aria-label"] = f"Save {title} as {kind.upper()}"
