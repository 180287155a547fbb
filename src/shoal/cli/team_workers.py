"""`shoal train-worker`: rollouts for a training that goes on elsewhere, by way of a shared folder."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shoal.cli import console
from shoal.errors import InputError

if TYPE_CHECKING:
    from shoal.posttrain.driver import Preparation

SPEC = "spec.json"
"""How a worker puts the team together; removed when the training is over."""


def train_worker(
    store: Annotated[Path, typer.Argument(help="Folder `store` of a training's run, begun with --workers.")],
) -> int:
    """Roll out for a training until it is over; any number of workers, on any machine that sees its folder."""
    from shoal.posttrain.workers import RolloutStore, with_rollouts, work

    try:
        spec: dict[str, Any] = json.loads((store / SPEC).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise InputError(
            "store", str(store), "No training is going on there; give the folder that it printed."
        ) from error
    trainer = with_rollouts(prepared(spec).trainer)
    done = work(RolloutStore(store), trainer, go_on=lambda: (store / SPEC).exists())
    console.out.print(f"{done} jobs done; the training is over.")
    return 0


def prepared(spec: dict[str, Any], shared_out: bool = False) -> Preparation:
    """What ``driver.prepare`` makes of its arguments as JSON has them.

    Args:
        spec: the arguments, with ``frozen`` as a model's spec or None, and ``rank`` for the adapters.
        shared_out: workers are to roll out; methods that learn from data are refused.
    """
    from shoal.models.opening import open_model
    from shoal.posttrain.driver import prepare
    from shoal.posttrain.policies import Lora
    from shoal.posttrain.workers import with_rollouts

    rank, frozen = spec["rank"], spec["frozen"]
    plain = {name: value for name, value in spec.items() if name not in ("rank", "frozen")}
    ready = prepare(**plain, lora=Lora(rank=rank) if rank else None, frozen=open_model(frozen) if frozen else None)
    if shared_out:
        with_rollouts(ready.trainer)
    return ready


@contextmanager
def workers_at(store: Path, count: int, spec: dict[str, Any]) -> Iterator[None]:
    """Workers on this machine for as long as the training goes on; others may join.

    Args:
        store: the shared folder.
        count: how many.
        spec: as ``prepared`` takes it.
    """
    store.mkdir(parents=True, exist_ok=True)
    (store / SPEC).write_text(json.dumps(spec), encoding="utf-8")
    command = [sys.executable, "-m", "shoal", "train-worker", str(store)]
    processes = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(count)]
    try:
        yield
    finally:
        (store / SPEC).unlink(missing_ok=True)
        for process in processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
