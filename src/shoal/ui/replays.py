"""Episodes to look at: made on demand from what an address says, kept for a while, sent to the page in pieces."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query
from fastapi import Path as InPath
from fastapi.responses import Response

from shoal.errors import InputError, UnknownName
from shoal.ui.charts import as_csv
from shoal.ui.interface import Answer, Problem, Route
from shoal.ui.recordings import about, checked, frames, observations, of_training
from shoal.ui.workspace import Workspace

if TYPE_CHECKING:
    from shoal.marl.frames import Recording
    from shoal.marl.live import LiveEpisode

MOST_KEPT = 16
MOST_FRAMES = 100
MOST_STEPS = 2_000
RUN = "run:"
"""Before the id of a training whose policy sits in a seat."""
CALLS = "calls.sqlite"

Key = Annotated[str, InPath(max_length=64)]


@dataclass(frozen=True)
class Wanted:
    """What an episode is made from.

    Attributes:
        world: spec with settings.
        seats: one for all agents or one for each: ``random``, ``person``, ``scripted:NAME``, ``run:ID``, or a model.
        seed: of the start and of all chance.
        greedy: players take their best action.
    """

    world: str
    seats: tuple[str, ...] = ("random",)
    seed: int = 0
    greedy: bool = False

    @property
    def asks_models(self) -> bool:
        """Whether it would ask a language model: nothing that an address alone may start."""
        return any(_is_model(seat) for seat in self.seats)


class Shelf:
    """Recordings, the last used ones.

    Args:
        workspace: whose trainings' policies may sit in seats.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._kept: OrderedDict[str, Recording] = OrderedDict()
        self._lock = threading.Lock()

    def keep(self, name: str, recording: Recording) -> str:
        """Put a recording on the shelf; returns its key."""
        key = hashlib.sha256(name.encode()).hexdigest()[:20]
        with self._lock:
            self._kept[key] = recording
            self._kept.move_to_end(key)
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return key

    def find(self, key: str) -> Recording:
        """The recording of that key. Raises UnknownName if it is not, or no longer, there."""
        with self._lock:
            if key not in self._kept:
                raise UnknownName("replay", key, list(self._kept))
            self._kept.move_to_end(key)
            return self._kept[key]

    def begin(self, wanted: Wanted) -> LiveEpisode:
        """An episode before its first step. Raises InputError or UnknownName."""
        from shoal.marl.live import open_episode
        from shoal.worlds import make_world

        world = make_world(wanted.world)
        seats = [self._seat(name) for name in wanted.seats]
        calls = self.workspace.out / CALLS if wanted.asks_models else None
        return open_episode(world, seats, wanted.seed, wanted.greedy, calls=calls)

    def record(self, wanted: Wanted) -> tuple[str, Recording]:
        """A whole episode; its key and itself. Raises InputError or UnknownName."""
        recording = self.begin(wanted).finish(MOST_STEPS)
        return self.keep(repr(wanted), recording), recording

    def from_run(self, name: str, episode: int) -> tuple[str, Recording]:
        """An episode of a training's trace. Raises InputError or UnknownName."""
        recording = of_training(self.workspace.run(name).path, traced_steps(self.workspace, name), episode)
        return self.keep(f"{name}/{episode}", recording), recording

    def _seat(self, name: str) -> str:
        """A seat as the engine knows it: runs by their folder, and no other paths."""
        if name.startswith(RUN):
            run, mark, seed = name.removeprefix(RUN).partition("#")
            return f"{self.workspace.run(run).path}{mark}{seed}"
        if name in ("random", "person") or name.startswith("scripted:") or _is_model(name):
            return name
        raise UnknownName("seat", name, ["random", "person", "scripted:NAME", f"{RUN}ID", "local:...", "http://..."])


@lru_cache(maxsize=4)
def shelf_of(workspace: Workspace) -> Shelf:
    """The shelf of a workspace."""
    return Shelf(workspace)


def trainings(workspace: Workspace, world: str) -> list[str]:
    """Ids of finished or stopped trainings in a world of that name, newest first."""
    found = [f for f in workspace.runs() if f.info.get("kind") == "training"]
    return [
        f.path.name
        for f in found
        if str(f.info.get("world", "")).partition(":")[0] == world and any(f.path.glob("checkpoints/*/checkpoint.json"))
    ]


def traced_steps(workspace: Workspace, name: str) -> list[dict[str, Any]]:
    """Payloads of the steps of a run's episodes in a world."""
    return [event.payload for event in workspace.trace(name).events if event.kind == "world.step"]


def router(workspace: Workspace) -> APIRouter:
    """The interface to the recordings on the shelf, for the page's own script."""
    api = APIRouter(route_class=Route, default_response_class=Answer, responses={404: {"model": Problem}})
    shelf = shelf_of(workspace)

    @api.get("/replays/{key}")
    def replay(key: Key) -> Any:
        """A recorded episode: its world, agents and length."""
        return Answer(about(shelf.find(key)))

    @api.get("/replays/{key}/frames")
    def some_frames(
        key: Key,
        start: Annotated[int, Query(ge=0, le=10**9)] = 0,
        count: Annotated[int, Query(ge=1, le=MOST_FRAMES)] = 40,
    ) -> Any:
        """Frames as shapes, actions, rewards and messages."""
        return Answer(frames(shelf.find(key), start, count))

    @api.get("/replays/{key}/observations/{time}")
    def seen(key: Key, time: Annotated[int, InPath(ge=0, le=10**9)]) -> Any:
        """What each agent observes at that time, in words."""
        return Answer(observations(shelf.find(key), time))

    @api.get("/replays/{key}/frames/{time}.svg")
    def picture(key: Key, time: Annotated[int, InPath(ge=0, le=10**9)]) -> Response:
        """One frame as a picture."""
        from shoal.worlds.picture import to_svg

        recording = shelf.find(key)
        drawn = recording.world.draw(recording.frames[checked(recording, time)].state)
        return Response(to_svg(drawn, 800), media_type="image/svg+xml")

    @api.get("/replays/{key}/rows.csv")
    def rows(key: Key) -> Response:
        """Actions and rewards of every step and agent."""
        return Response(as_csv(shelf.find(key).rows()), media_type="text/csv")

    return api


def parse_moves(text: str) -> list[list[Any]]:
    """What people did, as an address has it: steps apart by ``.``, seats by ``_``.

    A seat's part is the number of its action, or its values in thousandths, each with a ``:`` behind it. Raises
    InputError.
    """
    try:
        return [[_numbers(seat) for seat in step.split("_")] for step in text.split(".")] if text else []
    except ValueError:
        raise InputError("moves", text[:80], "Open the world and begin anew.") from None


def write_moves(moves: Sequence[Sequence[Any]]) -> str:
    """The inverse of ``parse_moves``."""
    return ".".join(
        "_".join("".join(f"{round(x * 1000)}:" for x in seat) if isinstance(seat, list) else str(seat) for seat in step)
        for step in moves
    )


def _numbers(text: str) -> int | list[float]:
    return [int(part) / 1000 for part in text.split(":")[:-1]] if ":" in text else int(text)


def _is_model(seat: str) -> bool:
    from shoal.models.opening import SCHEMES

    scheme, _, rest = seat.partition(":")
    return (scheme in (*SCHEMES, "https") and scheme != "recorded") and not (scheme == "scripted" and "=" not in rest)
