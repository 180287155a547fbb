"""The episodes that a report holds: frames as the page's player draws them, each shape and each text once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shoal.errors import ShoalError
from shoal.ui.recordings import about, frames, observations, of_training
from shoal.ui.report.trace_data import embedded, whole
from shoal.ui.trace_index import Document

if TYPE_CHECKING:
    from shoal.marl.frames import Recording

MOST_EPISODES = 3
MOST_FRAMES = 500
MOST_BYTES = 1_200_000
"""Of one episode."""


def episodes_of(folder: Path, steps: Sequence[Mapping[str, Any]]) -> tuple[list[Document], list[str]]:
    """The first episodes of a training, and what is to be said about those that are not there.

    Args:
        folder: of the training.
        steps: payloads of the ``world.step`` events of its trace.
    """
    numbers = sorted({int(step["episode"]) for step in steps})
    made: list[Document] = []
    notes = []
    for number in numbers[:MOST_EPISODES]:
        try:
            recording = of_training(folder, steps, number)
        except (ShoalError, OSError) as error:
            notes.append(f"Episode {number} could not be made again: {error}")
            continue
        episode = episode_document(recording) | {"name": f"episode {number}"}
        left = len(recording.frames) - len(episode["frames"])
        if left:
            notes.append(f"Of episode {number} the last {left:,} steps are left out.")
        made.append(episode)
    if len(numbers) > MOST_EPISODES:
        notes.append(f"The first {MOST_EPISODES} of {len(numbers):,} episodes are here; `shoal ui` plays all of them.")
    return made, notes


def episode_document(recording: Recording) -> Document:
    """An episode from its start, as far as MOST_FRAMES and MOST_BYTES reach.

    ``shapes`` of a frame are numbers of the episode's ``shapes``, ``observed`` those of its ``words``.
    """
    shapes, words = _Once(), _Once()
    kept: list[Document] = []
    for time in range(min(len(recording.frames), MOST_FRAMES)):
        frame = frames(recording, time, 1)[0]
        frame["shapes"] = [shapes.place(tuple(shape)) for shape in frame["shapes"]]
        frame["observed"] = [words.place(whole(seen)) for seen in observations(recording, time)]
        kept.append(frame)
        shapes.bytes += len(embedded(frame))
        if shapes.bytes + words.bytes > MOST_BYTES:
            break
    facts = about(recording) | {"steps": len(kept) - 1}
    return {"about": facts, "frames": kept, "shapes": shapes.all(), "words": words.all()}


class _Once:
    """Things by number, each kept once, and the bytes that they take."""

    def __init__(self) -> None:
        self.bytes = 0
        self._places: dict[Any, int] = {}

    def place(self, thing: Any) -> int:
        if thing not in self._places:
            self._places[thing] = len(self._places)
            self.bytes += len(embedded(thing))
        return self._places[thing]

    def all(self) -> list[Any]:
        return list(self._places)
