"""A trace as an SVG picture: a lane for each agent, events in their order, arrows from what each was made from."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from shoal.traces.events import Event

LANE, STEP, NAME, MARGIN = 34, 30, 150, 16
"""Pixels: height of a lane, between events, for agents' names, around."""
MOST_LANES = 24
RUN = "(run)"


def lanes_picture(events: Sequence[Event]) -> str:
    """An SVG element; colours are the page's CSS variables --ink, --soft, --line and --panel, all text is escaped.

    Args:
        events: in order; agents past the first 24 share the last lane.
    """
    agents = list(dict.fromkeys(event.agent or RUN for event in events))
    lane = {agent: min(number, MOST_LANES - 1) for number, agent in enumerate(agents)}
    width = NAME + STEP * max(1, len(events)) + MARGIN
    height = LANE * (max(lane.values(), default=0) + 1) + MARGIN
    told = f"{len(events)} events of {len(agents)} agents: {', '.join(agents[:MOST_LANES])}"
    picture = ET.Element(
        "svg", viewBox=f"0 0 {width} {height}", width=str(width),
        height=str(height), role="img", attrib={"aria-label": told},
    )  # fmt: skip
    _arrowhead(picture)
    for agent, number in lane.items():
        if number < MOST_LANES - 1 or agent == agents[MOST_LANES - 1]:
            _lane(picture, agent, number, width)
    places = {event.id: _place(i, lane[event.agent or RUN]) for i, event in enumerate(events)}
    for event in events:
        for parent in event.parents:
            if parent in places:
                _arrow(picture, places[parent], places[event.id])
    for event in events:
        _dot(picture, event, places[event.id])
    return ET.tostring(picture, encoding="unicode")


def _place(position: int, lane: int) -> tuple[float, float]:
    return NAME + STEP * (position + 0.5), LANE * (lane + 0.5) + MARGIN / 2


def _arrowhead(picture: ET.Element) -> None:
    marker = ET.SubElement(
        ET.SubElement(picture, "defs"), "marker", id="from", viewBox="0 0 8 8", refX="13", refY="4", markerWidth="6",
        markerHeight="6", orient="auto",
    )  # fmt: skip
    ET.SubElement(marker, "path", d="M0 0L8 4L0 8z", fill="var(--soft, #57606a)")


def _lane(picture: ET.Element, agent: str, number: int, width: float) -> None:
    y = LANE * number + MARGIN / 2
    if number % 2 == 0:
        attributes = {"x": "0", "y": f"{y:g}", "width": f"{width:g}", "height": str(LANE)}
        ET.SubElement(picture, "rect", attributes, fill="var(--panel, #f6f8fa)")
    name = ET.SubElement(
        picture, "text", {"x": "6", "y": f"{y + LANE / 2 + 4:g}", "font-size": "12"}, fill="var(--ink, #1b1f24)"
    )
    name.text = agent if len(agent) <= 20 else agent[:19] + "…"


def _arrow(picture: ET.Element, start: tuple[float, float], end: tuple[float, float]) -> None:
    (x1, y1), (x2, y2) = start, end
    lift = 12.0 if y1 == y2 and abs(x2 - x1) > STEP else 0.0  # along one lane, over what lies between
    path = f"M{x1:g} {y1:g}Q{(x1 + x2) / 2:g} {(y1 + y2) / 2 - lift:g} {x2:g} {y2:g}"
    ET.SubElement(
        picture, "path", {"d": path, "marker-end": "url(#from)", "fill": "none", "stroke-opacity": "0.6"},
        stroke="var(--soft, #57606a)",
    )  # fmt: skip


def _dot(picture: ET.Element, event: Event, place: tuple[float, float]) -> None:
    dot = ET.SubElement(
        picture, "circle", {"cx": f"{place[0]:g}", "cy": f"{place[1]:g}", "r": "5"}, fill="var(--ink, #1b1f24)"
    )
    ET.SubElement(dot, "title").text = f"{event.id} {event.kind} {event.agent}".strip()
