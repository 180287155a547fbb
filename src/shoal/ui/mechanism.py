"""The picture of a system's mechanism, with the buttons that save it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import orjson
from nicegui import ui

from shoal.runs.flowchart import flowchart
from shoal.runs.study import Study
from shoal.ui.charts import as_csv
from shoal.ui.layout import button, text


def mechanism_figure(study: Study[Any]) -> None:
    """Draw the mechanism from left to right, and from top to bottom for narrow screens; nothing if a study has none.

    The drawings come from ``flowchart``, which escapes all text: they need no sanitising, which would take their size.
    """
    if not study.mechanism:
        return
    with ui.element("figure").classes("figure"):
        text("figcaption", "Mechanism")
        for width in ("wide", "narrow"):
            drawing = ui.html(flowchart(study.mechanism, study.title, upright=width == "narrow"), sanitize=False)
            drawing.classes(f"mechanism {width}").props["aria-label"] = "Picture of the mechanism"
            drawing.props("tabindex=0 role=region")
        with ui.element("div").classes("saves"):
            _save_buttons(study)


def _save_buttons(study: Study[Any]) -> None:
    picture = flowchart(study.mechanism, study.title, themed=False)
    name = f"{study.name}-mechanism"
    words = ", ".join(orjson.dumps(word).decode() for word in (picture, name))
    rows = [asdict(flow) for flow in study.mechanism]
    actions = {
        "PNG": lambda: ui.run_javascript(f"shoalPaint({words})"),
        "SVG": lambda: ui.download.content(picture, f"{name}.svg"),
        "CSV": lambda: ui.download.content(as_csv(rows), f"{name}.csv"),
    }
    for kind, action in actions.items():
        button(kind, action).props("size=sm").props["aria-label"] = f"Save the mechanism as {kind}"
