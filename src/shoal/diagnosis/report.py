"""The page of a diagnosis: one HTML file with everything in it; every text from a trace is escaped."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shoal.diagnosis.attribution import Diagnosis
from shoal.diagnosis.sections import Section
from shoal.diagnosis.verdict import MOST_FINDINGS, headline, summary
from shoal.runs.folder import write_atomically

MOST_SHOWN = 20
"""Conversations that are shown in full; the others only count."""
MOST_STEPS = 240
"""Steps that a picture and a table show; around the suspects where there are more."""
LANE, GAP, LEFT, TOP = 34, 26, 170, 26
LONGEST_TEXT = 1200


def write_report(
    path: Path,
    title: str,
    diagnoses: Sequence[Diagnosis],
    notes: Sequence[str] = (),
    sections: Sequence[Section] = (),
) -> Path:
    """Write the page and return its path.

    Args:
        path: the file to write, replaced in one step.
        title: heading, usually the file that was read.
        diagnoses: in the order to show them.
        notes: lines under the heading (problems of the import, secrets replaced).
        sections: analyses of the whole run, before the conversations.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("shoal.diagnosis", "templates"), autoescape=True, undefined=StrictUndefined
    )
    environment.filters["percent"] = lambda x: f"{x:.0%}"
    environment.filters["cut"] = lambda t: t if len(t) <= LONGEST_TEXT else t[:LONGEST_TEXT] + " ..."
    page = environment.get_template("diagnosis.html").render(
        title=title,
        made=time.strftime("%Y-%m-%d %H:%M"),
        notes=notes,
        sections=sections,
        whole=summary(diagnoses),
        parts=[_part(d) for d in diagnoses[:MOST_SHOWN]],
        left_out=max(0, len(diagnoses) - MOST_SHOWN),
        most_findings=MOST_FINDINGS,
    )
    if path.parent != Path():
        path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, page.encode("utf-8", "replace"))
    return path


def _part(diagnosis: Diagnosis) -> dict[str, Any]:
    shown = shown_steps(diagnosis)
    return {
        "headline": headline(diagnosis),
        "diagnosis": diagnosis,
        "conversation": diagnosis.conversation,
        "picture": picture(diagnosis, shown),
        "steps": [diagnosis.conversation.steps[i] for i in shown],
        "hidden": len(diagnosis.conversation.steps) - len(shown),
        "suspected": {s.step: s.confidence for s in diagnosis.suspects if s.reasons},
        "used": {i: diagnosis.graph.parents(i) for i in shown},
    }


def shown_steps(diagnosis: Diagnosis) -> list[int]:
    """All steps, or where there are more than MOST_STEPS those nearest to suspects, their paths and the end."""
    count = len(diagnosis.conversation.steps)
    if count <= MOST_STEPS:
        return list(range(count))
    wanted = [count - 1, *(s.step for s in diagnosis.suspects)]
    near = sorted(range(count), key=lambda i: min(abs(i - w) for w in wanted))
    return sorted(near[:MOST_STEPS])


def picture(diagnosis: Diagnosis, shown: Sequence[int]) -> dict[str, Any]:
    """Lanes, dots and arrows of the usage graph, with their places in pixels.

    One lane for each agent, time to the right; the path of the likeliest suspect is lit.
    """
    steps = diagnosis.conversation.steps
    agents = list(dict.fromkeys(steps[i].agent for i in shown))[:40]
    row = {agent: TOP + LANE * k for k, agent in enumerate(agents)}
    place = {i: (LEFT + GAP * k, row[steps[i].agent]) for k, i in enumerate(shown) if steps[i].agent in row}
    lit = set(diagnosis.suspects[0].path) if diagnosis.suspects and diagnosis.suspects[0].reasons else set()
    blamed = {s.step: s.confidence for s in diagnosis.suspects if s.reasons}
    arrows = []
    for edge in diagnosis.graph.edges:
        if edge.source in place and edge.target in place and edge.origin != "order":
            (x1, y1), (x2, y2) = place[edge.source], place[edge.target]
            bend = -14 - min(40, abs(x2 - x1) / 8) if y1 == y2 else 0
            arrows.append(
                {
                    "path": f"M{x1},{y1} Q{(x1 + x2) / 2:.1f},{(y1 + y2) / 2 + bend:.1f} {x2},{y2}",
                    "lit": edge.source in lit and edge.target in lit,
                    "faint": edge.confidence < 0.5,
                    "title": f"step {edge.target} used step {edge.source}: {edge.origin} ({edge.confidence:.2f}) "
                    f"{edge.evidence[:80]}",
                }
            )
    dots = [
        {"x": x, "y": y, "step": i, "blamed": blamed.get(i, 0.0), "lit": i in lit,
         "radius": 5 + 8 * blamed.get(i, 0.0), "title": f"step {i}, {steps[i].agent}: {steps[i].text[:200]}"}
        for i, (x, y) in place.items()
    ]  # fmt: skip
    lanes = [{"name": agent[:22] or "(run)", "y": y} for agent, y in row.items()]
    return {
        "width": LEFT + GAP * max(1, len(shown)) + 10, "height": TOP + LANE * max(1, len(agents)), "lanes": lanes,
        "arrows": arrows, "dots": dots,
    }  # fmt: skip
