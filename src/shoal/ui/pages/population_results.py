"""What a population came to: curves with bands, totals, differences of two arms, samples, and the loss of a fit."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from nicegui import ui

from shoal.runs.folder import RunFolder
from shoal.ui.background import in_thread
from shoal.ui.charts import chart, curves, interval_bars
from shoal.ui.grids import heat_map, picture, plane
from shoal.ui.layout import empty, facts, text
from shoal.ui.population_runs import AS_SET, WHAT_IF, moving, said, shares, totals
from shoal.ui.wording import estimate, interval

if TYPE_CHECKING:
    from shoal.populations import Simulation

MOST_CURVES = 12
MOST_REPLIES = 60
LONGEST_REPLY = 600
CHARTED = ("series.png", "fit.png", "surface.png", "sensitivity.png")
"""Pictures of kept runs that the page draws anew from their data, or shows elsewhere."""


def outcome(plain: Simulation, what_if: Simulation | None, changed: Mapping[str, Any]) -> None:
    """Totals with differences, and a figure for each series."""
    shown = moving(plain, what_if)
    words = ", ".join(f"{name} = {value}" for name, value in changed.items())
    text("h2", f"What if {words}?" if what_if is not None else "What came out")
    count = len(plain.seeds)
    text(
        "p",
        f"Means over {count} runs with 95% intervals; of flows the sum over steps, of levels the last value."
        + (" The arms share their random numbers, so differences are paired by run." if what_if is not None else ""),
    ).classes("small quiet")
    _totals(plain, what_if)
    text("h2", "Curves")
    text("p", f"Median of {count} runs; the band is 5 to 95%.").classes("small quiet")
    with ui.element("div").classes("columns"):
        for name in shown[:MOST_CURVES]:
            _curve(name, plain, what_if)
    if len(shown) > MOST_CURVES:
        text("p", f"{len(shown) - MOST_CURVES} more series are in the run's Parquet file.").classes("small quiet")


def _totals(plain: Simulation, what_if: Simulation | None) -> None:
    """One row for each series."""
    heads, rows = totals(plain, what_if)
    region = ui.element("div").classes("table-wrap").props('tabindex="0" role="region" aria-label="Totals"')
    with region, ui.element("table").classes("plain"):
        with ui.element("thead"), ui.element("tr"):
            for place, head in enumerate(heads):
                text("th", head).props('scope="col"').classes("number" if place else "")
        with ui.element("tbody"):
            for name, cells in rows:
                with ui.element("tr"):
                    text("th", name).props('scope="row"')
                    for cell in cells:
                        text("td", interval(cell)).classes("number")


def _curve(name: str, plain: Simulation, what_if: Simulation | None) -> None:
    lines, bands = {}, {}
    for label, arm in ((AS_SET, plain), (WHAT_IF, what_if)):
        if arm is not None:
            middle, low, high = arm.band(name)
            lines[label], bands[label] = middle.tolist(), (low.tolist(), high.tolist())
    curves(name, lines, "step", name, bands)


async def pictures(found: Any) -> None:
    """A sample of the network, and the model's own pictures (maps, swarms, distributions)."""
    if found.sample is not None:
        text("h2", "Who is tied to whom")
        _network(found.sample)
    figures = await in_thread(found.plain.model.figures, found.plain.series)
    if figures:
        text("h2", "The first run")
        with ui.element("div").classes("columns"):
            for name, figure in figures.items():
                picture(name, figure, lambda: _cells(found.plain.series), f"{found.plain.model.name}, first run")


def _cells(series: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """Values of the first run of series that are more than one number a step."""
    return [
        {"series": name, "step": int(place[0]), **{f"axis {k}": int(i) for k, i in enumerate(place[1:], 1)}, "value": v}
        for name, x in series.items()
        if x.ndim > 2
        for place, v in np.ndenumerate(x[0])
    ]


def _network(sample: Any) -> None:
    """Some agents and their ties."""
    spots = sample.place.tolist()
    lines = {name: [(tuple(spots[a]), tuple(spots[b])) for a, b in pairs] for name, pairs in sample.ties.items()}
    lines = {name: pairs for name, pairs in lines.items() if pairs}
    rows = [
        {"network": name, "agent": int(sample.agents[a]), "other": int(sample.agents[b])}
        for name, pairs in sample.ties.items()
        for a, b in pairs
    ]
    hidden = {"type": "value", "show": False, "min": -1.1, "max": 1.1}
    count = sum(len(pairs) for pairs in lines.values())
    plane(
        f"{len(spots)} neighbouring agents and their ties", lines, {"agents": [tuple(spot) for spot in spots]},
        {"xAxis": hidden, "yAxis": hidden}, rows, f"{count} ties: {', '.join(lines)}",
    )  # fmt: skip


def calibration(folder: RunFolder, summary: Mapping[str, Any]) -> None:
    """Best values with intervals, the loss surface, and the way of the search."""
    import polars as pl

    loss = summary["loss"]
    facts({
        "method": summary["method"], "fitted": ", ".join(summary["fitted"]),
        "window": " to ".join(map(str, summary["window"])),
        "loss": estimate({"estimate": loss["value"], "ci_low": loss["low"], "ci_high": loss["high"]}),
        "simulator calls": summary["calls"],
    })  # fmt: skip
    known = {row["name"]: row for row in summary.get("intervals", [])}
    text("h2", "Best values")
    with ui.element("ul"):
        for name, value in _flat(summary["values"]).items():
            row = known.get(name, {})
            said = estimate({"estimate": value, "ci_low": row.get("low"), "ci_high": row.get("high")})
            text("li", f"{name}: {said}{'; ' + row['note'] if row.get('note') else ''}")
    text("h2", "Loss")
    surface = folder.path / "surface.parquet"
    with ui.element("div").classes("columns"):
        if surface.is_file():
            _surface(pl.read_parquet(surface), _flat(summary["values"]))
        else:
            empty("No loss surface is kept.", "Two free numbers and `shoal calibrate --surface` make one.")
        trace = folder.path / "trace.parquet"
        if trace.is_file():
            _search(pl.read_parquet(trace))
    _image(folder.path / "fit.png", "Observed data and runs at the best values")


def _flat(values: Mapping[str, Any]) -> dict[str, float]:
    """Numbers by label: ``name``, or ``name[period]`` of one with several."""
    flat: dict[str, float] = {}
    for name, value in values.items():
        flat |= {f"{name}[{k}]": x for k, x in enumerate(value)} if isinstance(value, list) else {name: value}
    return flat


def _surface(frame: Any, best: Mapping[str, float]) -> None:
    """Loss over two parameters on a logarithmic colour, with a cross at the cell next to the best values."""
    first, second = (name for name in frame.columns if name != "loss")
    across, up = (sorted(set(frame[name].to_list())) for name in (first, second))
    table = {(a, b): loss for a, b, loss in zip(frame[first], frame[second], frame["loss"], strict=True)}
    shown = [[float(np.log10(max(table[a, b], 1e-6))) for a in across] for b in reversed(up)]
    spots = [int(np.argmin(np.abs(np.asarray(ticks) - best[n]))) for ticks, n in ((across, first), (up, second))]
    heat_map(
        "Loss surface, all other parameters at their best (log10)", [f"{a:.3g}" for a in across],
        [f"{b:.3g}" for b in reversed(up)], shown, (first, second, "log10 loss"), frame.to_dicts(),
        (len(up) - 1 - spots[1], spots[0]),
    )  # fmt: skip


def _search(frame: Any) -> None:
    points = [[c, x] for c, x in zip(frame["calls"], frame["loss"], strict=True) if np.isfinite(x)]
    best = [[c, x] for c, x in zip(frame["calls"], frame["best"], strict=True) if np.isfinite(x)]
    options = {
        "legend": {"top": 0},
        "xAxis": {"type": "value", "name": "simulator calls", "nameLocation": "middle", "nameGap": 24},
        "yAxis": {"type": "log" if all(x > 0 for _, x in points) else "value", "name": "loss"},
        "series": [
            {"type": "scatter", "name": "each evaluation", "data": points, "symbolSize": 5},
            {"type": "line", "name": "best so far", "data": best, "showSymbol": False},
        ],
    }
    chart("Loss of the search", options, frame.to_dicts(), f"best {best[-1][1]:.4g}" if best else "")


def told(folder: RunFolder, summary: Mapping[str, Any]) -> None:
    """What else a kept run holds: answers of archetypes, sensitivity, pictures."""
    if "behaviour" in summary:
        _behaviour(summary["behaviour"])
    answers = folder.path / "answers.parquet"
    if answers.is_file():
        _answers(answers)
    replies = folder.path / "replies.parquet"
    if replies.is_file():
        _replies(replies)
    if "sensitivity" in summary:
        _sensitivity(summary["sensitivity"])
    for path in sorted(folder.path.glob("*.png")):
        if path.name not in CHARTED:
            _image(path, path.stem.replace("-", " "))


def _behaviour(document: Mapping[str, Any]) -> None:
    text("h2", "How people decide")
    plain = {name: value for name, value in document.items() if name != "asked"}
    facts({name: ", ".join(value) if isinstance(value, list) else value for name, value in plain.items()})
    for arm, tally in document.get("asked", {}).items():
        text("h3", f"What was asked, {arm}")
        facts({name: value for name, value in tally.items() if not isinstance(value, dict)})


def _answers(path: Path) -> None:
    """Share of readable answers that said yes, by archetype and week."""
    text("h2", "Answers of the archetypes")
    for asked in shares(path):
        names = ("week", "archetype", "share")
        heat_map(
            f"Share that says yes: {asked.action}", [str(w) for w in asked.weeks], asked.kinds, asked.values, names
        )


def _replies(path: Path) -> None:
    """What they said, word for word."""
    rows, count = said(path, MOST_REPLIES)
    text("h3", "What they said")
    if count > len(rows):
        text("p", f"{len(rows)} of {count:,} different ones; the run's replies.parquet has all.").classes("small quiet")
    region = ui.element("div").classes("table-wrap").props('tabindex="0" role="region" aria-label="Replies"')
    with region, ui.element("table").classes("plain"):
        with ui.element("thead"), ui.element("tr"):
            for head in rows[0] if rows else ():
                text("th", head.capitalize()).props('scope="col"')
        with ui.element("tbody"):
            for row in rows:
                with ui.element("tr"):
                    for value in row.values():
                        text("td", str(value)[:LONGEST_REPLY])


def _sensitivity(document: Mapping[str, Any]) -> None:
    text("h2", f"Sensitivity of {document['outcome']} ({document['method']})")
    with ui.element("div").classes("columns"):
        for measure, estimates in document["measures"].items():
            interval_bars(measure, [{"name": name, **_numbers(e)} for name, e in estimates.items()])


def _numbers(e: Mapping[str, Any]) -> dict[str, float]:
    return {key: float(e[key] if e[key] is not None else e["value"]) for key in ("value", "low", "high")}


def _image(path: Path, title: str) -> None:
    """A picture that a run keeps."""
    if not path.is_file():
        return
    with ui.element("figure").classes("figure"):
        text("figcaption", title)
        shown = ui.element("img").classes("picture")
        shown.props["src"] = f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
        shown.props["alt"] = title
        with ui.element("div").classes("saves"):
            save = ui.button("PNG", on_click=lambda: ui.download.file(path, path.name)).props(
                "flat dense no-caps size=sm"
            )
            save.props["aria-label"] = f"Save {title} as PNG"
