"""One event of a trace: what was said, from what, what it cost, what came of it, and what if it had been otherwise."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import orjson
from nicegui import ui

from shoal.ui.charts import chart
from shoal.ui.layout import facts, text
from shoal.ui.pages.trace_fork import fork_form
from shoal.ui.trace_index import TraceIndex, brief, words

if TYPE_CHECKING:
    from shoal.ui.pages.trace import TraceView

LONGEST = 2000
LONGEST_ALL = 500_000
MOST_LINKS = 20
MOVES = (
    ("Previous", "previous"), ("Next", "next"), ("Previous of agent", "previous of agent"),
    ("Next of agent", "next of agent"), ("Parent", "parent"), ("Child", "child"),
)  # fmt: skip


def event_panel(view: TraceView) -> None:
    """The chosen event, or how to choose one."""
    index, position = view.index, view.chosen
    text("h2", "Event" if position is None else f"Event {position:,}")
    with ui.element("div").classes("row"):
        for label, move in MOVES:
            ui.button(label, on_click=lambda _, m=move: view.walk(m)).props("no-caps outline dense")
    if position is None:
        text("p", "Choose an event in the lanes, search for words, or press Next.").classes("quiet")
        return
    event = index.events[position]
    with ui.element("div").classes("columns"):
        with ui.element("div"):
            _facts(index, position)
            text("h3", "What it says")
            said(words(event) or "(nothing)")
            _prompt(event.payload.get("prompt"))
            _rest(event.payload)
        with ui.element("div"):
            _relatives(view, position)
    fork_form(view, position)


def _facts(index: TraceIndex, position: int) -> None:
    event = index.events[position]
    spent = event.usage.as_dict() if event.usage else {}
    rows = {
        "agent": event.agent or "(run)",
        "kind": event.kind,
        "id": f"{event.id[:200]} in {event.run[:200]}",
        "time": f"{index.moment[position]:.3f} s after the first event" + _clock(event.time),
        "to": ", ".join(map(str, to)) if isinstance(to := event.payload.get("to"), list) else to,
        "cost": ", ".join(f"{value:,} {name.replace('_', ' ')}" for name, value in spent.items()) or "nothing",
    }
    facts({name: str(value)[:1000] for name, value in rows.items() if value})


def said(words_said: str) -> None:
    """Words of a trace, as text; long ones are cut until all is asked for."""
    shown = text("div", _cut(words_said, LONGEST)).classes("said")
    if len(words_said) <= LONGEST:
        return

    def everything() -> None:
        shown.text = _cut(words_said, LONGEST_ALL)
        button.delete()

    button = ui.button(f"Show all ({len(words_said):,} characters)", on_click=everything).props("no-caps flat dense")
    if len(words_said) > LONGEST_ALL:
        ui.button("Save as a file", on_click=lambda: ui.download.content(words_said, "message.txt")).props(
            "no-caps flat dense"
        )


def _prompt(prompt: Any) -> None:
    if not isinstance(prompt, list) or not prompt:
        return
    with ui.element("details"):
        text("summary", f"What it read ({len(prompt)} message{'s' * (len(prompt) != 1)})")
        for message in prompt[:50]:
            known = message if isinstance(message, dict) else {"content": message}
            text("p", str(known.get("role", ""))[:100]).classes("small quiet")
            said(str(known.get("content", "")))


def _rest(payload: dict[str, Any]) -> None:
    rest = {name: value for name, value in payload.items() if name not in ("prompt", "text", "content", "to")}
    if rest:
        options = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS
        with ui.element("details"):
            text("summary", f"Other fields ({len(rest)})")
            said(orjson.dumps(rest, default=str, option=options).decode())


def _relatives(view: TraceView, position: int) -> None:
    """What it was made from and what was made from it: the nearest as links and as a graph, the rest as counts."""
    index = view.index
    above, below = index.relatives(position)
    for title, near, total in (
        ("Made from", index.parents_of(position), len(above)),
        ("Made from it", index.children_of(position), len(below)),
    ):
        text("h3", title)
        text("p", f"{len(near):,} directly, {total:,} over any number of links").classes("small quiet")
        with ui.element("ul").classes("events"):
            for other in near[:MOST_LINKS]:
                with ui.element("li"):
                    event_link(view, other)
        if len(near) > MOST_LINKS:
            text("p", f"and {len(near) - MOST_LINKS:,} more").classes("small quiet")
    if len(above) or len(below):
        _graph(view, position)


def event_link(view: TraceView, position: int) -> None:
    """A link to an event: chosen at once here, opened anew elsewhere."""
    event = view.index.events[position]
    link = text("a", f"{position:,} {event.agent or '(run)'}, {event.kind}: {brief(event, 70)}")
    link.props["href"] = view.address(position)
    link.on("click.prevent", lambda: view.choose(position))


def _graph(view: TraceView, position: int) -> None:
    """Up to three generations each way, time to the right."""
    index = view.index
    found = index.generations(position)
    marked = set(view.path)
    name = {place: f"{index.events[place].agent[:24] or '(run)'} {place}" for place in found}
    ranks: dict[int, list[int]] = {}
    for place, generation in sorted(found.items()):
        ranks.setdefault(generation, []).append(place)
    nodes = []
    for generation, places in ranks.items():
        for rank, place in enumerate(places):
            own = "#b0579a" if place == position else "#0072b2" if generation < 0 else "#007a59"
            nodes.append(
                {"name": name[place], "value": [generation, rank - (len(places) - 1) / 2],
                 "symbol": "diamond" if place == position else "rect" if generation < 0 else "circle",
                 "symbolSize": 20 if place == position else 13,
                 "itemStyle": {"color": "#b84a00" if place in marked else own}}
            )  # fmt: skip
    links = [(parent, place) for place in found for parent in index.parents_of(place) if parent in found]
    tall = max(len(places) for places in ranks.values())
    span = {"type": "value", "show": False}
    options = {
        "tooltip": {"show": False}, "grid": {"left": 48, "right": 48, "top": 12, "bottom": 28},
        "xAxis": {**span, "min": min(ranks), "max": max(ranks)},
        "yAxis": {**span, "min": -tall / 2, "max": tall / 2, "inverse": True},
        "series": [
            {"type": "graph", "coordinateSystem": "cartesian2d", "data": nodes,
             "links": [{"source": name[a], "target": name[b]} for a, b in links],
             "edgeSymbol": ["none", "arrow"], "edgeSymbolSize": 7, "lineStyle": {"color": "#7a7a7a"},
             "label": {"show": True, "position": "bottom", "formatter": "{b}", "fontSize": 12},
             "labelLayout": {"hideOverlap": True}}
        ],
    }  # fmt: skip
    told = f"{sum(g < 0 for g in found.values())} ancestors and {sum(g > 0 for g in found.values())} descendants nearby"
    rows = [{"from": a, "to": b} for a, b in links]
    title = f"Causes and consequences of event {position}, three links each way"
    shown = chart(title, options, rows, told, f"{44 * tall + 90}px")
    shown.on_point_click(lambda e: _follow(view, str(e.name)))


def _follow(view: TraceView, name: str) -> None:
    """Choose the event of a point that was clicked; its name ends in its position."""
    place = name.rpartition(" ")[2]
    if place.isdigit():
        view.choose(int(place))


def _clock(moment: float) -> str:
    if not 0 < moment < 4e9:
        return ""
    return time.strftime(" (%Y-%m-%d %H:%M:%S)", time.localtime(moment))


def _cut(words_said: str, longest: int) -> str:
    return words_said if len(words_said) <= longest else words_said[:longest] + " ..."
