"""The JSON interface under the pages, for notebooks and other tools; described at /api/openapi.json."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Query, Request
from fastapi import Path as InPath
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field

from shoal.errors import InputError, ShoalError, UnknownName
from shoal.studies.catalogue import catalogue, find_study
from shoal.ui.documents import (
    comparison,
    progress,
    results_of,
    run_document,
    run_row,
    system_document,
    system_row,
)
from shoal.ui.workspace import Workspace

MOST_EVENTS = 1000
RunId = Annotated[str, InPath(description="Id of a run, as in the list of runs.", max_length=200)]


class Problem(BaseModel):
    """What an error answers."""

    error: str = Field(description="One or two lines that name the field, the value and the mend.")


class Launch(BaseModel):
    """A run to be started."""

    model_config = ConfigDict(extra="forbid")

    system: str = Field(description="Name of the system.", max_length=100)
    size: Literal["quick", "standard", "full"] = Field("quick", description="How much of it.")
    seeds: int | None = Field(None, ge=1, le=10_000, description="Replicates, over the size's own number.")
    model: str | None = Field(None, max_length=400, description="Model for the experiments that need one.")
    settings: dict[str, Any] = Field(default_factory=dict, description="Values over the size's own.")


class Answer(JSONResponse):
    """JSON by orjson; numbers that are not finite become null."""

    def render(self, content: Any) -> bytes:
        """As bytes."""
        return orjson.dumps(_clean(content), default=str, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY)


class Route(APIRoute):
    """Answers shoal's own errors with 404 or 422 and their text."""

    def get_route_handler(self) -> Any:
        """The route's own, with answers for what it raises."""
        handler = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handler(request)
            except UnknownName as error:
                return Answer({"error": str(error)}, status_code=404)
            except ShoalError as error:
                return Answer({"error": str(error)}, status_code=409 if isinstance(error, InputError) else 500)

        return answer


def router(workspace: Workspace) -> APIRouter:
    """The interface over a folder of runs."""
    api = APIRouter(
        route_class=Route,
        default_response_class=Answer,
        responses={403: {"model": Problem}, 404: {"model": Problem}, 409: {"model": Problem}},
    )

    _add_systems(api)
    _add_runs(api, workspace)
    _add_contents(api, workspace)
    _add_control(api, workspace)
    return api


def _add_systems(api: APIRouter) -> None:
    """The catalogue."""

    @api.get("/systems")
    def systems() -> Any:
        """The catalogue, with the verdicts of the committed standard runs."""
        return Answer([system_row(study) for study in catalogue().values()])

    @api.get("/systems/{name}")
    def system(name: Annotated[str, InPath(max_length=100)]) -> Any:
        """A system with its claims, experiments and settings."""
        return Answer(system_document(find_study(name)))


def _add_runs(api: APIRouter, workspace: Workspace) -> None:
    """What runs there are, and how they went."""

    @api.get("/runs")
    def runs(
        start: Annotated[int, Query(ge=0, le=10**9)] = 0, count: Annotated[int, Query(ge=1, le=10_000)] = 1000
    ) -> Any:
        """The runs, newest first."""
        return Answer([run_row(folder) for folder in workspace.runs()[start : start + count]])

    @api.get("/runs/{run}")
    def run(run: RunId) -> Any:
        """A run: status, claims, means."""
        return Answer(run_document(workspace.run(run)))

    @api.get("/runs/{run}/progress")
    def run_progress(run: RunId) -> Any:
        """How far a run is."""
        folder = workspace.run(run)
        return Answer({"status": folder.status(), **progress(folder)})

    @api.get("/compare")
    def compare(runs: Annotated[list[str], Query(min_length=2, max_length=20)]) -> Any:
        """Differences of the runs from the first one, paired by seed."""
        return Answer(comparison([(name, results_of(workspace.run(name))) for name in runs]))


def _add_contents(api: APIRouter, workspace: Workspace) -> None:
    """What a run left: measurements, events, pictures."""

    @api.get("/runs/{run}/measurements")
    def measurements(run: RunId) -> Any:
        """Every measurement: experiment, variant, seed, item, metric, value."""
        return Answer(results_of(workspace.run(run)).frame().to_dicts())

    @api.get("/runs/{run}/events")
    def events(
        run: RunId,
        start: Annotated[int, Query(ge=0, le=10**12)] = 0,
        count: Annotated[int, Query(ge=1, le=MOST_EVENTS)] = 100,
    ) -> Any:
        """Events of a run in the order in which they were written."""
        trace = workspace.trace(run)
        return Answer({"total": len(trace), "events": [e.as_dict() for e in trace.events[start : start + count]]})

    @api.get("/runs/{run}/plots/{name}", response_class=FileResponse)
    def plot(run: RunId, name: Annotated[str, InPath(max_length=200)]) -> Any:
        """A picture of a run, as PNG."""
        folder = workspace.run(run).path / "plots"
        names = [path.name for path in folder.glob("*.png")]
        if name not in names:
            raise UnknownName("plot", name, names)
        return FileResponse(Path(folder) / name, media_type="image/png")


def _add_control(api: APIRouter, workspace: Workspace) -> None:
    """Starting, stopping and removing runs."""

    @api.post("/runs", status_code=202)
    def start(launch: Launch) -> Any:
        """Start a run of a system in a process of its own."""
        job = workspace.launch(launch.system, launch.size, launch.seeds, launch.model, launch.settings)
        return Answer({"process": job.process.pid}, status_code=202)

    @api.post("/runs/{run}/stop")
    def stop(run: RunId) -> Any:
        """Stop a run; finished trials are kept."""
        workspace.stop(run)
        return Answer({"stopped": run})

    @api.post("/runs/{run}/resume", status_code=202)
    def resume(run: RunId) -> Any:
        """Go on with an unfinished run."""
        return Answer({"process": workspace.resume(run).process.pid}, status_code=202)

    @api.delete("/runs/{run}")
    def delete(run: RunId) -> Any:
        """Remove a run from disk."""
        workspace.delete(run)
        return Answer({"deleted": run})


def _clean(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    return value
