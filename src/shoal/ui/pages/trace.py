"""The trace of a run, or of a file of any framework: lanes over time, one event closely, costs, diagnosis and forks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import orjson
from nicegui import run as background
from nicegui import ui

from shoal.errors import ShoalError
from shoal.ui.layout import STATIC_ADDRESS, empty, facts, frame, text
from shoal.ui.pages.trace_event import event_panel
from shoal.ui.pages.trace_fork import fork_facts
from shoal.ui.pages.trace_panels import cost_panel, diagnosis_panel
from shoal.ui.trace_index import Selection, TraceIndex, foreign_files, open_index, trace_files
from shoal.ui.workspace import Workspace

MOST_PARTS = 1000
MOST_CHOICES = 300
AXES = {"step": "logical step", "time": "wall time"}
WALKS = ("previous", "next", "previous of agent", "next of agent", "parent", "child")
HELP = (
    "Keys in the lanes: ← → previous and next event, Shift with ← → of the same agent, ↑ parent, ↓ child, "
    "Home and End first and last, n and N next and previous match, + and - zoom, 0 shows all. "
    "Drag moves; double-click, or Ctrl with the wheel, zooms."
)
LEGEND = (
    ("■", "reply"), ("●", "message"), ("◆", "decision"), ("✕", "failure"), ("❙", "other"),
)  # fmt: skip
LIGHTS = (("ancestor", "made from"), ("descendant", "made of it"), ("path", "suspected path"), ("match", "match"))


async def run_trace_page(workspace: Workspace, name: str, at: str = "") -> None:
    """The trace of a run."""
    with frame(f"Trace of {name[:200]}", "/runs"):
        try:
            folder = workspace.run(name)
        except ShoalError as error:
            empty(str(error), "The list of runs has them all.")
            return
        with ui.element("div").classes("row"):
            ui.link("Run", f"/runs/{quote(name)}")
        fork_facts(folder)
        await _trace(workspace, run=name, at=at)


async def file_trace_page(workspace: Workspace, file: str = "", at: str = "") -> None:
    """The trace of a file in the folder of runs, of any framework; without a name the list of such files."""
    if file:
        with frame(f"Trace {file[:200]}", "/runs"):
            await _trace(workspace, file=file, at=at)
        return
    with frame("Traces of other frameworks", "/runs"):
        files = foreign_files(workspace)
        if not files:
            empty(
                "There are no trace files here.",
                "Put files of LangGraph, AutoGen, OpenTelemetry ... into the folder of runs.",
            )
            return
        with ui.element("ul"):
            for name in files:
                with ui.element("li"):
                    ui.link(name, "/trace?" + urlencode({"file": name}))


async def _trace(workspace: Workspace, run: str = "", file: str = "", at: str = "") -> None:
    """Read the trace beside the event loop, then build the view."""
    ui.add_head_html(f'<script src="{STATIC_ADDRESS}/trace.js"></script>')
    waiting = text("p", "Reading the trace ...").props('role="status"')
    await ui.context.client.connected(timeout=30)
    try:
        index = await background.io_bound(_read, workspace, run, file)
        paths = trace_files(workspace, run, file)
    except ShoalError as error:
        waiting.delete()
        empty(str(error), "Open the trace of a run in the list of runs, or a file in the folder of runs.")
        return
    waiting.delete()
    if index is None or not len(index):
        problems = "; ".join(index.problems[:3]) if index is not None else ""
        empty("This trace holds no events.", problems or "Runs of worlds and populations may write none.")
        return
    TraceView(workspace, index, paths, run, file).build(at)


def _read(workspace: Workspace, run: str, file: str) -> TraceIndex:
    """The index with everything that is slow at first use."""
    import shoal.diagnosis.attribution  # noqa: F401

    index = open_index(workspace, run, file)
    _ = index.parts, index.texts, index.spent
    if len(index):
        index.relatives(0)
    return index


@dataclass
class TraceView:
    """What one visitor looks at.

    Attributes:
        workspace: the folder of runs.
        index: the trace.
        paths: its files.
        run: id of the run; empty for a file.
        file: name of the file; empty for a run.
        selection: what the lanes show and moves go through.
        find: words that are searched for.
        chosen: position of the chosen event.
        path: positions of the suspected failure path.
        part: the element that chooses the part.
    """

    workspace: Workspace
    index: TraceIndex
    paths: tuple[Path, ...]
    run: str
    file: str
    selection: Selection = field(default_factory=Selection)
    find: str = ""
    chosen: int | None = None
    path: tuple[int, ...] = ()
    part: Any = None
    _canvas: Any = None
    _panel: Any = None
    _costs: Any = None
    _matches: Any = None
    _only: bool = False

    def build(self, at: str) -> None:
        """All of the page below its heading."""
        if at.isdigit() and int(at) < len(self.index):
            self.chosen = int(at)
        self._facts()
        self._filters()
        self._lanes()
        with ui.element("section").props('aria-label="Chosen event"'):
            self._panel = ui.refreshable(lambda: event_panel(self))
            self._panel()
        text("h2", "Diagnosis")
        diagnosis_panel(self)
        text("h2", "Tokens and cost")
        self._costs = ui.refreshable(lambda: cost_panel(self))
        self._costs()

    # --- changes ---

    def choose(self, position: int | None) -> None:
        """Look at an event: panel, lanes and address follow."""
        self.chosen = position
        self._panel.refresh()
        self._show({"event": position})
        ui.run_javascript(f"history.replaceState(null, '', {_json(self.address(position))})")

    def mark(self, path: tuple[int, ...]) -> None:
        """Light a failure path in the lanes."""
        self.path = path
        self._show({"path": list(path)})

    def look_at(self, part: str) -> None:
        """Show one part only, or all."""
        self.part.value = part if part in self.index.parts else ""

    def walk(self, move: str) -> None:
        """Go from the chosen event to another: one of WALKS, first, last, next match or previous match."""
        target = self.target(move)
        if target is not None:
            self.choose(target)
        else:
            ui.notify(f"No {move}.", type="info", position="bottom", timeout=1200)

    def target(self, move: str) -> int | None:
        """Where a move leads; None where there is nothing."""
        index, within = self.index, self.selection
        if move in ("first", "last") or (self.chosen is None and "match" not in move):
            places = index.found(within)
            return int(places[-1 if move == "last" else 0]) if len(places) else None
        here = self.chosen if self.chosen is not None else -1
        if move == "parent":
            return max(index.parents_of(here), default=None)
        if move == "child":
            return min(index.children_of(here), default=None)
        if "match" in move:
            if not self.find:
                return None
            within = Selection(within.part, within.agents, within.kinds, self.find)
        return index.beside(here, within, -1 if "previous" in move else 1, own="agent" in move)

    def address(self, position: int | None) -> str:
        """Of this page with an event chosen."""
        query = {"file": self.file} if self.file else {}
        query |= {"at": str(position)} if position is not None else {}
        base = "/trace" if self.file else f"/runs/{quote(self.run)}/trace"
        return f"{base}?{urlencode(query)}" if query else base

    # --- pieces ---

    def _facts(self) -> None:
        index = self.index
        facts(
            {
                "events": f"{len(index):,}, with {len(index.children):,} links between them",
                "agents": f"{len([name for name in index.agents if name]):,}",
                "format": index.form,
                "parts": f"{len(index.parts):,}",
            }
        )
        if index.problems:
            with ui.element("details"):
                count = len(index.problems)
                text("summary", f"{count} problem{'s' * (count != 1)} while reading")
                text("div", "\n".join(index.problems[:50])).classes("said")

    def _filters(self) -> None:
        index = self.index
        parts = {"": "all parts"} | {name: name for name in list(index.parts)[:MOST_PARTS]}
        agents = {name: name or "(run)" for name in index.agents[:MOST_CHOICES]}
        with ui.element("div").classes("row filters"):
            self.part = _select("Part", parts, "", lambda e: self._select(part=e.value or ""), filter=True)
            self.part.set_visibility(len(index.parts) > 1)
            _select("Axis", AXES, "step", lambda e: self._show({"axis": e.value, "start": None, "end": None}))
            _select("Agents", agents, [], lambda e: self._select(agents=tuple(e.value)), multiple=True)
            _select("Kinds", index.kinds, [], lambda e: self._select(kinds=tuple(e.value)), multiple=True)
        with ui.element("div").classes("row filters"):
            search = ui.input("Search text", on_change=lambda e: self._search(e.value or ""))
            search.props('outlined dense clearable debounce=300 maxlength=300 type="search"').classes("filter")
            ui.checkbox("Only matches", on_change=lambda e: self._narrow(bool(e.value))).props("dense")
            for label, move in (("Previous match", "previous match"), ("Next match", "next match")):
                ui.button(label, on_click=lambda _, m=move: self.walk(m)).props("no-caps outline dense")
            self._matches = text("span", "").classes("small quiet").props('role="status"')

    def _lanes(self) -> None:
        with ui.element("div").classes("lanes"):
            self._canvas = ui.element("canvas").props('tabindex="0" role="application"')
            self._canvas.props["aria-label"] = (
                "Lanes of the agents: events over time, arrows from what they were made from"
            )
            said = text("p", "").classes("small quiet").props('role="status"')
        self._canvas.on("pick", lambda e: self.choose(int(e.args)), js_handler="(e) => emit(e.detail)")
        self._canvas.on("walk", lambda e: self.walk(str(e.args)), js_handler="(e) => emit(e.detail)")
        with ui.element("div").classes("row"):
            for label, call in (("Zoom in", "zoom(2)"), ("Zoom out", "zoom(0.5)"), ("Zoom to all", "whole()")):
                button = ui.button(label).props("no-caps outline dense")
                button.on("click", js_handler=f"() => shoalTraces[{self._canvas.id}].{call}")
            _legend()
        text("p", HELP).classes("small quiet").props('id="lanes-help"')
        self._canvas.props["aria-describedby"] = "lanes-help"
        query = urlencode({"file": self.file} if self.file else {"run": self.run})
        self._show({"event": self.chosen})
        ui.run_javascript(f"shoalTrace({self._canvas.id}, {said.id}, {_json(query)})")

    def _show(self, changes: dict[str, Any]) -> None:
        ui.run_javascript(f"shoalTraceSet({self._canvas.id}, {_json(changes)})")

    def _select(self, **changes: Any) -> None:
        """Change what is shown; the lanes start over where the part changes, for its axis is another."""
        now = vars(self.selection) | changes
        self.selection = Selection(**now)
        window = {"start": None, "end": None} if "part" in changes else {}
        self._show(now | window)
        if "part" in changes:
            self._costs.refresh()
        self._count()

    def _search(self, words: str) -> None:
        self.find = words.strip()
        self._show({"find": self.find})
        self._narrow(self._only)

    def _narrow(self, only: bool) -> None:
        """Whether the lanes hold matches only."""
        self._only = only
        wanted = self.find if only else ""
        if wanted != self.selection.text:
            self._select(text=wanted)
        self._count()

    def _count(self) -> None:
        """Tell how many events match, and go to the first if none is chosen that does."""
        if not self.find:
            self._matches.text = ""
            return
        now = self.selection
        found = self.index.found(Selection(now.part, now.agents, now.kinds, self.find))
        self._matches.text = f"{len(found):,} match{'es' * (len(found) != 1)}"
        if len(found) and (self.chosen is None or self.chosen not in found):
            self.choose(int(found[0]))


def _select(
    label: str, choices: Any, value: Any, change: Callable[[Any], None], multiple: bool = False, filter: bool = False
) -> ui.select:
    shown = ui.select(choices, value=value, label=label, multiple=multiple, with_input=filter, on_change=change)
    return shown.props("outlined dense" + (" use-chips" if multiple else "")).classes("filter")


def _legend() -> None:
    with ui.element("ul").classes("legend small").props('aria-label="Legend"'):
        for sign, what in LEGEND:
            text("li", f"{sign} {what}")
        for kind, what in LIGHTS:
            text("li", f"▬ {what}").classes(kind)


def _json(value: Any) -> str:
    """JSON that may stand in a script: "<" cannot end it."""
    return orjson.dumps(value).decode().replace("<", "\\u003c")
