"""The JSON interface under the trace page: windows of events, lanes, ancestry and costs of a run or a trace file."""

# Annotations are read as they stand here: those of the requests name a dependency that knows the workspace.
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from fastapi import Path as InPath

from shoal.ui.interface import Answer, Problem, Route
from shoal.ui.trace_costs import by_agent, by_edge
from shoal.ui.trace_index import Document, Selection, TraceIndex, brief, open_index
from shoal.ui.trace_lanes import MOST_BINS, Lit, Window, window_document
from shoal.ui.workspace import Workspace

MOST_EVENTS = 1000
MOST_ANCESTRY = 10_000
LONGEST_LIST = 500

Name = Annotated[str, Query(max_length=400)]
Number = Annotated[int, Query(ge=0, le=10**12)]
Position = Annotated[int, InPath(ge=0, le=10**12, description="Place of the event in its trace, from 0.")]
Names = Annotated[list[Name], Query(max_length=LONGEST_LIST)]
Place = Annotated[float | None, Query(allow_inf_nan=False)]


def _selection(part: Name = "", agents: Names = [], kinds: Names = [], text: Name = "") -> Selection:  # noqa: B006
    """What of the trace is looked at: one part, some agents, some kinds, some words; empty for all."""
    return Selection(part, tuple(agents), tuple(kinds), text)


def _lit(
    event: Annotated[int | None, Query(ge=0, le=10**12)] = None,
    path: Annotated[list[Number], Query(max_length=LONGEST_LIST)] = [],  # noqa: B006
    find: Name = "",
) -> Lit:
    """What is lit: an event with its ancestors and descendants, a path, events that hold words."""
    return Lit(event, tuple(path), find)


def _window(
    axis: Literal["step", "time"] = "step",
    start: Place = None,
    end: Place = None,
    bins: Annotated[int, Query(ge=1, le=MOST_BINS)] = 200,
) -> Window:
    """A stretch of the axis: logical steps, or seconds since the part's first event."""
    return Window(axis, start, end, bins)


Selected = Annotated[Selection, Depends(_selection)]


def router(workspace: Workspace) -> APIRouter:
    """The interface over the traces of a folder of runs."""
    api = APIRouter(
        prefix="/trace",
        route_class=Route,
        default_response_class=Answer,
        responses={403: {"model": Problem}, 404: {"model": Problem}, 409: {"model": Problem}},
    )

    def opened(run: Name = "", file: Name = "") -> TraceIndex:
        """The trace: a run by its id, or a file in the folder of runs by its path there."""
        return open_index(workspace, run, file)

    Index = Annotated[TraceIndex, Depends(opened)]

    @api.get("/parts")
    def parts(index: Index) -> Any:
        """Format, size, agents, kinds and parts (runs, or tasks where a run holds several) of a trace."""
        sizes = [{"part": name, "events": len(places)} for name, places in index.parts.items()]
        return Answer(
            {"format": index.form, "events": len(index), "agents": index.agents, "kinds": index.kinds, "parts": sizes}
        )

    @api.get("/lanes")
    def lanes(
        index: Index, selection: Selected, window: Annotated[Window, Depends(_window)],
        lit: Annotated[Lit, Depends(_lit)],
    ) -> Any:  # fmt: skip
        """A window of the lanes: single events with arrows where there are few, counts per lane and bin elsewhere."""
        return Answer(window_document(index, selection, window, lit))

    @api.get("/events")
    def events(
        index: Index, selection: Selected, start: Number = 0, count: Annotated[int, Query(ge=1, le=MOST_EVENTS)] = 100
    ) -> Any:
        """Events of a selection in order, with the beginning of what they say; start counts within the selection."""
        found = index.found(selection)
        return Answer({"total": len(found), "events": [row(index, p) for p in found[start : start + count].tolist()]})

    @api.get("/events/{position}")
    def event(index: Index, position: Position) -> Any:
        """One event in full, with the positions of its parents and children."""
        index.check(position)
        near = {"parents_at": index.parents_of(position), "children_at": index.children_of(position)}
        return Answer(index.events[position].as_dict() | {"position": position} | near)

    @api.get("/events/{position}/ancestry")
    def ancestry(index: Index, position: Position, most: Annotated[int, Query(ge=1, le=MOST_ANCESTRY)] = 1000) -> Any:
        """Positions of all that an event was made from and of all that was made from it; at most so many of each."""
        above, below = index.relatives(position)
        return Answer(
            {
                "ancestors": len(above), "ancestors_at": above[-most:].tolist(),
                "descendants": len(below), "descendants_at": below[:most].tolist(),
            }
        )  # fmt: skip

    @api.get("/costs")
    def costs(index: Index, part: Name = "") -> Any:
        """Calls, tokens, seconds and dollars by agent and by edge between agents."""
        places = index.of_part(part)
        return Answer({"agents": by_agent(index, places), "edges": by_edge(index, places)})

    return api


def row(index: TraceIndex, position: int) -> Document:
    """An event as a line of a list."""
    event = index.events[position]
    return {
        "position": position, "id": event.id, "run": event.run, "agent": event.agent, "kind": event.kind,
        "time": event.time, "says": brief(event),
    }  # fmt: skip
