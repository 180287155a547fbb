"""The report of a run: one HTML file with everything in it, to be opened or sent."""

from __future__ import annotations

import base64
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shoal.runs.flowchart import flowchart
from shoal.runs.folder import RunFolder, write_atomically
from shoal.runs.plots import save_figures, standard_figures
from shoal.stats import Estimate, Verdict
from shoal.traces import Event, read_trace
from shoal.traces.lanes import lanes_picture

if TYPE_CHECKING:
    from markupsafe import Markup

    from shoal.runs.results import Results
    from shoal.runs.study import Study
    from shoal.runs.trials import Summary

LONGEST_SAMPLE = 24
LONGEST_TEXT = 600

MARKS = {
    Verdict.REPRODUCED: "yes",
    Verdict.NOT_REPRODUCED: "no",
    Verdict.INCONCLUSIVE: "open",
    Verdict.NOT_RUN: "none",
}


def write_report(folder: RunFolder, study: Study[Any], summary: Summary) -> Path:
    """Write ``plots/*.png`` and ``report.html``; everything a reader sees is escaped.

    Returns the path of the report.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    figures = dict(study.plots(summary.results)) if study.plots is not None else {}
    figures.update({k: v for k, v in standard_figures(summary.results).items() if k not in figures})
    images = save_figures(figures, folder.path / "plots")
    sample = _sample(folder.path / "events.jsonl")
    environment = Environment(
        loader=PackageLoader("shoal.runs", "templates"), autoescape=True, undefined=StrictUndefined
    )
    environment.filters["figure"] = shown
    environment.filters["said"] = _said
    environment.filters["day"] = lambda t: time.strftime("%Y-%m-%d %H:%M", time.localtime(t))
    page = environment.get_template("report.html").render(
        info=folder.info,
        study=study,
        mechanism=_drawings(study),
        summary=summary,
        marks=MARKS,
        sample=sample,
        lanes=Markup(lanes_picture(sample)),
        tables=[_table(summary.results, e) for e in summary.results.experiments()],
        images={name: base64.b64encode(path.read_bytes()).decode() for name, path in images.items()},
    )
    target = folder.path / "report.html"
    write_atomically(target, page.encode())
    return target


def _drawings(study: Study[Any]) -> dict[str, Markup]:
    """The picture of the mechanism for wide and for narrow screens; it is escaped where it is drawn."""
    from markupsafe import Markup

    if not study.mechanism:
        return {}
    return {
        "wide": Markup(flowchart(study.mechanism, study.title)),
        "narrow": Markup(flowchart(study.mechanism, study.title, upright=True)),
    }


def shown(estimate: Estimate | None) -> str:
    """``0.412 [0.380, 0.447]``, or the bare value where it is exact."""
    if estimate is None or estimate.n == 0:
        return "-"
    value = _number(estimate.value)
    if estimate.low == estimate.high:
        return value
    if estimate.n == 1:
        return f"{value} [one seed]"
    return f"{value} [{_number(estimate.low)}, {_number(estimate.high)}]"


def _number(x: float) -> str:
    if x == 0 or 1e-3 <= abs(x) < 1e5:
        return f"{x:.3f}".rstrip("0").rstrip(".") if abs(x) < 1000 else f"{x:,.0f}"
    return f"{x:.2e}"


def _sample(events: Path) -> list[Event]:
    """The events of the first task in the trace, or of the first trial that has any; enough to see what went on."""
    if not events.exists():
        return []
    shown: list[Event] = []
    for event in read_trace(events):
        if event.kind == "trace.start":
            continue
        shown.append(event)
        if event.kind == "task.end" or len(shown) == LONGEST_SAMPLE:
            break
    return shown


def _said(event: Event) -> str:
    """What an event says, cut to what fits a page."""
    payload = event.payload
    text = payload.get("text") or payload.get("content") or ", ".join(f"{k}: {v}" for k, v in payload.items())
    return str(text) if len(str(text)) <= LONGEST_TEXT else str(text)[:LONGEST_TEXT] + " ..."


def _table(results: Results, experiment: str) -> dict[str, Any]:
    metrics = results.metrics(experiment)
    rows = []
    for variant in results.variants(experiment):
        cells = []
        for metric in metrics:
            seeds = results.seeds(experiment, variant, metric)
            cells.append(shown(results.mean(experiment, variant, metric)) if seeds else "-")
        rows.append((variant, cells))
    return {"experiment": experiment, "metrics": metrics, "rows": rows}
