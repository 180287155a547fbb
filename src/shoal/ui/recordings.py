"""Recorded episodes as plain documents: what the page's player of replays, and that of a report, is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shoal.errors import InputError

if TYPE_CHECKING:
    from shoal.marl.frames import Recording


def of_training(folder: Path, steps: Sequence[Mapping[str, Any]], episode: int) -> Recording:
    """An episode of a training, made again from its trace.

    Args:
        folder: of the training.
        steps: payloads of the ``world.step`` events of its trace.
        episode: number of the episode.

    Raises:
        InputError: no such episode, or one that comes out otherwise than it was recorded.
    """
    from shoal.marl.checkpoints import read
    from shoal.marl.episodes import trace_key
    from shoal.marl.frames import retraced

    if not steps:
        raise InputError("run", folder.name, "It holds no episodes of a world; trainings do.")
    return retraced(read(folder).world, steps, episode, trace_key(int(steps[0].get("seed", 0))))


def about(recording: Recording) -> dict[str, Any]:
    """What the page must know before the first frame."""
    from shoal.worlds.picture import colour_of

    return {
        "world": recording.world.name,
        "steps": len(recording.frames) - 1,
        "agents": [
            {"name": name, "seat": seat, "colour": colour_of(i)}
            for i, (name, seat) in enumerate(zip(recording.world.agents, recording.seats, strict=True))
        ],
    }


def frames(recording: Recording, start: int, count: int) -> list[dict[str, Any]]:
    """Some frames: the picture's shapes, what was done and said in each, and what it had brought."""
    returns = recording.returns
    return [_frame(recording, t, returns[t]) for t in range(start, min(start + count, len(recording.frames)))]


def observations(recording: Recording, time: int) -> list[str]:
    """What each agent observes at that time, in words. Raises InputError for a time that is not in it."""
    world, state = recording.world, recording.frames[checked(recording, time)].state
    return [world.describe(state, i) for i in range(world.agent_count)]


def _frame(recording: Recording, time: int, returns: Any) -> dict[str, Any]:
    frame, last = recording.frames[time], time >= len(recording.actions)
    drawn = recording.world.draw(frame.state)
    talk = None if last else recording.talk[time]
    return {
        "bounds": [float(x) for x in drawn.bounds],
        "caption": drawn.caption,
        "shapes": [_shape(shape) for shape in drawn.shapes],
        "alive": frame.alive.tolist(),
        "reward": frame.reward.tolist(),
        "returns": returns.tolist(),
        "metrics": frame.metrics,
        "over": frame.over,
        "actions": None if last else recording.said(time),
        "talk": talk
        and {
            "message": talk.message.T.tolist(),
            "sent": talk.sent.tolist(),
            "weight": None if talk.weight is None else talk.weight.tolist(),
        },
    }


def _shape(s: Any) -> list[Any]:
    x, y, size = (round(float(v), 4) for v in (s.x, s.y, s.size))
    to = (None, None) if s.to is None else (round(float(s.to[0]), 4), round(float(s.to[1]), 4))
    tall = None if s.height is None else round(float(s.height), 4)
    return [s.kind, x, y, size, s.colour, s.text, *to, tall, round(float(s.opacity), 3)]


def checked(recording: Recording, time: int) -> int:
    """A time that is in the recording. Raises InputError for others."""
    if time >= len(recording.frames):
        raise InputError("time", time, f"The episode has {len(recording.frames) - 1} steps.")
    return time
