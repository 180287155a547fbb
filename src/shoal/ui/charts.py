"""Figures with their data: charts in the house colours that can be saved as PNG, SVG and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from nicegui import ui

from shoal.runs.plots import PALETTE
from shoal.ui.layout import button, text

Rows = Sequence[Mapping[str, Any]]


def chart(
    title: str, options: Mapping[str, Any], rows: Rows, description: str = "", height: str = "320px"
) -> ui.echart:
    """A chart with its title and the buttons that save it.

    Args:
        title: what is shown, with its unit; also the name of saved files.
        options: of ECharts; colours, text style and animation are set here.
        rows: the data behind it, one mapping per row of the CSV file.
        description: what a reader who cannot see it should know.
        height: CSS height.

    Returns:
        The chart; change its ``options`` and call ``update`` for live data.
    """
    options = {
        "color": list(PALETTE),
        "animation": False,
        "textStyle": {"fontFamily": "inherit"},
        "grid": {"left": 24, "right": 24, "top": 32, "bottom": 24, "containLabel": True},
        "tooltip": {"trigger": "axis", "confine": True},
        **options,
    }
    for name in ("xAxis", "yAxis"):
        if isinstance(options.get(name), dict):
            options[name] = {"splitLine": {"lineStyle": {"color": "#8884"}}, **options[name]}
    with ui.element("figure").classes("figure"):
        text("figcaption", title)
        shown = ui.echart(options, renderer="svg").classes("chart").style(f"height: {height}")
        shown.props["role"] = "img"
        shown.props["aria-label"] = f"{title}. {description}".strip()
        name = "".join(c if c.isalnum() else "-" for c in title.lower()).strip("-")[:80]
        with ui.element("div").classes("saves"):
            for kind in ("png", "svg"):
                _button(kind, title, lambda kind=kind: ui.run_javascript(f"shoalSave({shown.id}, {name!r}, {kind!r})"))
            _button("csv", title, lambda: ui.download.content(as_csv(rows), f"{name}.csv"))
    return shown


def _button(kind: str, title: str, action: Any) -> None:
    shown = button(kind.upper(), action).props("size=sm")
    shown.props["aria-label"] = f"Save {title} as {kind.upper()}"


def as_csv(rows: Rows) -> str:
    """Rows as CSV; the columns are those of all rows, in the order they come."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, restval="")
    writer.writeheader()
    writer.writerows(dict(row) for row in rows)
    return out.getvalue()


def interval_bars(title: str, rows: Rows, unit: str = "") -> ui.echart:
    """One horizontal bar per row with its interval.

    Args:
        title: what is shown.
        rows: name, value, low and high each; from top to bottom.
        unit: of the values.
    """
    names = [str(row["name"]) for row in rows]
    options = {
        "tooltip": {"trigger": "item", "confine": True},
        "xAxis": {"type": "value", "name": unit, "nameLocation": "middle", "nameGap": 24},
        "yAxis": {
            "type": "category",
            "data": names,
            "inverse": True,
            "axisLabel": {"width": 190, "overflow": "truncate"},
        },
        "series": [
            {"type": "bar", "data": [row["value"] for row in rows], "barMaxWidth": 18},
            {
                "type": "custom",
                "tooltip": {"show": False},
                "encode": {"x": [1, 2], "y": 0},
                "data": [[place, row["low"], row["high"]] for place, row in enumerate(rows)],
                ":renderItem": "shoalWhisker",
                "z": 5,
            },
        ],
    }
    spoken = "; ".join(f"{row['name']} {row['value']:.3g} [{row['low']:.3g}, {row['high']:.3g}]" for row in rows[:12])
    return chart(title, options, rows, spoken, height=f"{max(140, 30 * len(rows) + 70)}px")


def curves(
    title: str,
    series: Mapping[str, Sequence[float]],
    across: str,
    up: str,
    bands: Mapping[str, tuple[Sequence[float], Sequence[float]]] | None = None,
    positions: Sequence[float] | None = None,
) -> ui.echart:
    """Lines over a common axis, with bands where there are any.

    Args:
        title: what is shown.
        series: values by name, [points] each.
        across: name of the horizontal axis, with its unit.
        up: name of the vertical axis, with its unit.
        bands: (low, high) by the name of its line, [points] each.
        positions: on the horizontal axis [points]; 0, 1, ... if not given.
    """
    bands = bands or {}
    longest = max((len(values) for values in series.values()), default=0)
    where = list(positions) if positions is not None else list(range(longest))
    drawn: list[dict[str, Any]] = []
    for place, (name, values) in enumerate(series.items()):
        colour = PALETTE[place % len(PALETTE)]
        if name in bands:
            low, high = bands[name]
            drawn += _band(name, where, low, high, colour)
        points = [list(point) for point in zip(where, values, strict=False)]
        drawn.append({"name": name, "type": "line", "data": points, "showSymbol": False, "color": colour})
    options = {
        "legend": {"data": list(series), "top": 0},
        "xAxis": {"type": "value", "name": across, "nameLocation": "middle", "nameGap": 24, "min": "dataMin",
                  "max": "dataMax"},
        "yAxis": {"type": "value", "name": up, "scale": True},
        "series": drawn,
    }  # fmt: skip
    columns: dict[str, Sequence[float]] = {across: where, **series}
    for name, (low, high) in bands.items():
        columns |= {f"{name} low": low, f"{name} high": high}
    rows = [{name: values[i] for name, values in columns.items() if i < len(values)} for i in range(len(where))]
    return chart(title, options, rows, f"{up} over {across}: {', '.join(series)}")


def _band(
    name: str, where: Sequence[float], low: Sequence[float], high: Sequence[float], colour: str
) -> list[dict[str, Any]]:
    """Two stacked invisible lines, the upper one filled down to the lower."""
    base = {"type": "line", "stack": f"{name} band", "showSymbol": False, "lineStyle": {"opacity": 0}, "silent": True,
            "tooltip": {"show": False}, "color": colour, "stackStrategy": "all"}  # fmt: skip
    return [
        {**base, "data": [list(point) for point in zip(where, low, strict=False)]},
        {**base, "data": [[x, h - lo] for x, lo, h in zip(where, low, high, strict=False)],
         "areaStyle": {"opacity": 0.2}},
    ]  # fmt: skip
