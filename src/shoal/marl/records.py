"""Records of a training: its metrics as JSON Lines, and its summary."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
from numpy.typing import NDArray

from shoal.errors import StorageError
from shoal.marl.checkpoints import describe_learner, describe_world
from shoal.runs.machine import machine_facts, versions

if TYPE_CHECKING:
    from shoal.marl.training import Training

METRICS = "metrics.jsonl"
SUMMARY = "summary.json"


class Records:
    """Writes into the folder of a training, or nowhere.

    Args:
        out: the folder; None keeps nothing.
        seeds: seed numbers.
        done: updates that the training starts from; lines of later updates, from before an interruption, are dropped.

    Attributes:
        last: the newest checkpoint.
    """

    def __init__(self, out: Path | None, seeds: tuple[int, ...], done: int) -> None:
        self.out, self.seeds = out, seeds
        self.last: Path | None = None
        if out is None:
            return
        try:
            out.mkdir(parents=True, exist_ok=True)
            path = out / METRICS
            kept = [line for line in path.read_bytes().splitlines() if _update(line) <= done] if path.exists() else []
            part = path.with_suffix(".part")
            part.write_bytes(b"".join(line + b"\n" for line in kept) if done else b"")
            part.replace(path)
        except OSError as error:
            raise StorageError(f"cannot write {out}: {error.strerror}") from error

    def write(self, metrics: dict[str, NDArray[Any]], done: int, steps_per_update: int, rate: float) -> None:
        """Append updates, one line for each update and seed.

        Args:
            metrics: by name, each [updates, seeds, ...]; what is not finite is written as null.
            done: updates before them.
            steps_per_update: environment steps of an update, for each seed.
            rate: environment steps a second, all seeds together.

        Raises:
            StorageError: the folder cannot be written.
        """
        if self.out is None:
            return
        count = len(next(iter(metrics.values())))
        lines = []
        for u in range(count):
            update = done + u + 1
            for s, seed in enumerate(self.seeds):
                row = {"update": update, "step": update * steps_per_update, "seed": seed, "steps_per_second": rate}
                row.update({name: x[u, s].tolist() for name, x in metrics.items()})
                lines.append(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
        try:
            with (self.out / METRICS).open("ab") as file:
                file.writelines(lines)
        except OSError as error:
            raise StorageError(f"cannot write {self.out / METRICS}: {error.strerror}") from error

    def summary(self, training: Training) -> None:
        """Write what was trained, on what, and what it came to.

        Raises:
            StorageError: the folder cannot be written.
        """
        if self.out is None:
            return
        evaluation = [
            {name: [e.value, e.low, e.high] for name, e in episodes.summary().items()}
            for episodes in training.evaluation
        ]
        summary = {
            "learner": describe_learner(training.learner),
            "world": describe_world(training.world),
            "seeds": training.seeds,
            "updates": int(training.state.updates),
            "step": int(training.state.updates) * training.learner.steps_per_update,
            "seconds": round(training.seconds, 3),
            "compile_seconds": round(training.compile_seconds, 3),
            "evaluation": evaluation,
            "machine": machine_facts(),
            "versions": versions(),
        }
        try:
            (self.out / SUMMARY).write_bytes(orjson.dumps(summary, option=orjson.OPT_INDENT_2))
        except OSError as error:
            raise StorageError(f"cannot write {self.out / SUMMARY}: {error.strerror}") from error


def _update(line: bytes) -> int:
    """The update of a line; a torn line counts as later than all."""
    try:
        return int(orjson.loads(line)["update"])
    except (ValueError, KeyError, TypeError):
        return int(np.iinfo(np.int64).max)
