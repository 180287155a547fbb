"""The JSON interface to the diagnosis of a trace and to forks of it: what went wrong, and what if it had not."""

# Annotations are read as they stand here: those of the requests name types of this module.
import multiprocessing
import threading
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from shoal.diagnosis.forking import MOST_SAMPLES, Forked, Place, forecast, fork, place_of
from shoal.errors import InputError
from shoal.stats import Estimate
from shoal.ui.interface import Answer, Problem, Route
from shoal.ui.trace_diagnosis import diagnosed
from shoal.ui.trace_index import Document, TraceIndex, open_index, trace_files
from shoal.ui.trace_interface import Name, Number
from shoal.ui.workspace import Workspace

SMALL = 5_000
"""Events up to which a diagnosis is made here; a larger one has a process of its own, one at a time."""
LONGEST_REPLY = 20_000
Samples = Annotated[int, Query(ge=1, le=MOST_SAMPLES)]


class ForkRequest(BaseModel):
    """A message to be changed."""

    model_config = ConfigDict(extra="forbid")

    run: str = Field(description="Id of a run of `shoal team`.", max_length=200)
    position: int = Field(ge=0, le=10**12, description="Place of the reply, or of the message that holds it, from 0.")
    reply: str = Field(max_length=LONGEST_REPLY, description="What the agent says there instead; empty for silence.")
    samples: int = Field(5, ge=1, le=MOST_SAMPLES, description="Continuations with the change, and as many without.")
    paid: bool = Field(False, description="Agree to calls that leave this machine: GET /trace/forecast tells them.")


def router(workspace: Workspace) -> APIRouter:
    """The interface over the traces of a folder of runs."""
    api = APIRouter(
        prefix="/trace",
        route_class=Route,
        default_response_class=Answer,
        responses={403: {"model": Problem}, 404: {"model": Problem}, 409: {"model": Problem}},
    )
    large = threading.Lock()

    @api.get("/diagnosis")
    def diagnosis(run: Name = "", file: Name = "", part: Name = "", failed: bool | None = None) -> Any:
        """The verdict on each conversation of a trace: suspects with reasons and paths, findings, advice.

        ``part`` is one conversation only; ``failed`` says how it ended, where the trace does not. Positions are those
        of /trace/events.
        """
        index, paths = open_index(workspace, run, file), trace_files(workspace, run, file)
        size = len(index.of_part(part))
        if size <= SMALL:
            return Answer(diagnosed(paths, part, failed))
        with large:
            return Answer(_beside(paths, part, failed))

    @api.get("/forecast")
    def calls(run: Name, position: Number, samples: Samples = 5) -> Any:
        """What a fork at a reply would ask of the model, before anything is asked."""
        place, _ = _place(workspace, run, position)
        turn = {"agent": place.call.agent, "turn": place.turn, "said": place.call.payload.get("text", "")}
        return Answer(turn | vars(forecast(place, samples)))

    @api.post("/forks", status_code=201)
    def change(asked: ForkRequest) -> Any:
        """Change a reply, sample the rest anew, and keep the first changed sample as a run of its own."""
        place, index = _place(workspace, asked.run, asked.position)
        expected = forecast(place, asked.samples)
        if expected.paid and not asked.paid:
            words = (
                f"{expected.calls} calls to {expected.model} leave this machine, about {expected.dollars:.4f} dollars"
            )
            raise InputError("paid", False, f"{words}: send true to agree.")
        made = fork(place, index.events, asked.reply, asked.samples, workspace.out)
        return Answer(_came(made), status_code=201)

    return api


def _place(workspace: Workspace, run: str, position: int) -> tuple[Place, TraceIndex]:
    """Where a fork would begin, and the trace. Raises InputError or UnknownName."""
    folder, index = workspace.run(run), open_index(workspace, run)
    index.check(position)
    return place_of(folder, index.events, position), index


def _beside(paths: tuple[Path, ...], part: str, failed: bool | None) -> Document:
    """The diagnosis, made in another process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(diagnosed, paths, part, failed).result()


def _came(made: Forked) -> Document:
    """What came of a fork."""
    effect = made.effect
    return {
        "run": made.folder.path.name,
        "before": made.before, "before_right": made.before_right, "after": made.after, "after_right": made.after_right,
        "right": {"changed": _estimate(effect.changed), "unchanged": _estimate(effect.unchanged),
                  "difference": _estimate(effect.difference)},
        "answers": dict(effect.answers), "failures": dict(effect.failures), "departed": effect.departed,
    }  # fmt: skip


def _estimate(e: Estimate) -> Document:
    return {"value": e.value, "low": e.low, "high": e.high}
