"""Decoupled training: workers roll out, the trainer learns, and a folder that both can reach is all they share.

The trainer publishes its policies and one job for each shard of an update's problems; workers take jobs, and leave what
their teams did. Shards are rolled out by nobody in particular: their seeds come from the update and the problem alone,
and results are read in the order of the problems, so any number of workers, the trainer alone among them, gives the
same numbers bit for bit. A worker that dies leaves its claim, which another takes after a while.

Files are written under another name and renamed, so nobody reads half of one; a claim is a rename too, which one of
many succeeds with. The folder may lie on a disk that several machines see.
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from shoal.errors import InputError
from shoal.posttrain.checkpoints import load_tensors, save_tensors
from shoal.posttrain.policies import Policy
from shoal.posttrain.rollouts import Rollout, Turn, roll_out
from shoal.posttrain.trainer import Trainer
from shoal.posttrain.training import Training
from shoal.runs.folder import write_atomically
from shoal.runs.seeds import derive
from shoal.tasks.problem import Problem

LEASE = 120.0
"""Seconds after which a claimed job without a result is given out again."""
GLANCE = 0.02
"""Seconds between looks into the folder."""


@dataclass(frozen=True)
class Job:
    """One shard of an update's problems.

    Attributes:
        update: number of the update; the policies published for it are the ones to use.
        shard: number of the shard.
        of: number of shards.
    """

    update: int
    shard: int
    of: int

    @property
    def name(self) -> str:
        """Its file's name."""
        return f"{self.update:08d}-{self.shard:04d}-{self.of:04d}"

    @classmethod
    def named(cls, name: str) -> Job:
        """From a file's name."""
        update, shard, of = name.split("-")
        return cls(int(update), int(shard), int(of))


@dataclass(frozen=True)
class RolloutStore:
    """The folder.

    Attributes:
        folder: of everything; made when first written to.
    """

    folder: Path

    def publish(self, update: int, policies: Sequence[Policy]) -> None:
        """Make the policies of an update known; those of the one before last are removed."""
        tensors = {
            f"{number}/{name}": tensor.detach()
            for number, policy in enumerate(policies)
            for name, tensor in policy.named_parameters()
        }
        save_tensors(self._policies(update), tensors, {"update": update})
        if update >= 2:
            shutil.rmtree(self._policies(update - 2), ignore_errors=True)

    def has_policies(self, update: int) -> bool:
        """Whether the policies of an update are there (still)."""
        return self._policies(update).is_dir()

    def adopt(self, update: int, policies: Sequence[Policy]) -> None:
        """Give policies the values published for an update.

        Raises:
            InputError: they are of another shape: the worker was set up for another team.
        """
        import torch

        tensors, _ = load_tensors(self._policies(update))
        for number, policy in enumerate(policies):
            for name, tensor in policy.named_parameters():
                value = tensors.get(f"{number}/{name}")
                if value is None or value.shape != tensor.shape:
                    raise InputError("store", str(self.folder), f"Its policies do not fit this team at {name}.")
                with torch.no_grad():
                    tensor.copy_(value)

    def offer(self, jobs: Sequence[Job]) -> None:
        """Give jobs out, except those that are done; those of other updates are withdrawn."""
        names = {job.name for job in jobs}
        for place in ("open", "claimed"):
            (self.folder / place).mkdir(parents=True, exist_ok=True)
            for path in (self.folder / place).glob("[0-9]*"):
                if path.name.partition(".")[0] not in names:
                    path.unlink(missing_ok=True)
        for job in jobs:
            if not self._done(job).exists():
                write_atomically(self.folder / "open" / job.name, b"")

    def claim(self) -> Job | None:
        """Take the first open job; None if there is none."""
        for path in sorted((self.folder / "open").glob("[0-9]*")):
            mine = self.folder / "claimed" / f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}"
            try:
                os.utime(path)  # the lease begins
                path.rename(mine)
            except OSError:
                continue  # another worker was faster
            return Job.named(path.name)
        return None

    def reclaim(self, lease: float = LEASE) -> None:
        """Offer again what was claimed long ago and not done: its worker is gone."""
        for path in (self.folder / "claimed").glob("[0-9]*"):
            try:
                if time.time() - path.stat().st_mtime > lease:
                    path.rename(self.folder / "open" / path.name.partition(".")[0])
            except OSError:
                continue  # done, withdrawn or claimed again meanwhile

    def finish(self, job: Job, rollouts: Sequence[Rollout]) -> None:
        """Leave what came of a job. Doing one twice does no harm: both came to the same."""
        self._done(job).parent.mkdir(parents=True, exist_ok=True)
        data = orjson.dumps([_record(r) for r in rollouts], option=orjson.OPT_SERIALIZE_NUMPY)
        write_atomically(self._done(job), data)
        for path in (self.folder / "claimed").glob(f"{job.name}.*"):
            path.unlink(missing_ok=True)

    def collect(self, jobs: Sequence[Job], problems: Mapping[str, Problem]) -> list[Rollout] | None:
        """What came of all jobs, in their order; None while any is missing. What was collected is removed."""
        if not all(self._done(job).exists() for job in jobs):
            return None
        records = [record for job in jobs for record in orjson.loads(self._done(job).read_bytes())]
        found = [_rollout(record, problems) for record in records]
        for job in jobs:
            self._done(job).unlink()
        return found

    def _policies(self, update: int) -> Path:
        return self.folder / "policies" / f"{max(0, update):08d}"

    def _done(self, job: Job) -> Path:
        return self.folder / "done" / job.name


@dataclass
class DecoupledTrainer(Trainer):
    """A trainer whose rollouts are made by whoever takes the jobs; it helps where nobody else does.

    Attributes:
        store: the shared folder.
        shards: parts of an update's problems that are rolled out separately. Batches, and with them rounding, are a
            shard's, so this number, unlike that of workers, belongs to what determines the numbers.
        helps: take jobs itself while it waits.
        lease: seconds after which a claimed job is given out again.
    """

    store: RolloutStore = field(default_factory=lambda: RolloutStore(Path("store")))
    shards: int = 2
    helps: bool = True
    lease: float = LEASE

    def rollouts(self, problems: Sequence[Problem]) -> list[Rollout]:
        """As the trainer's own, by way of the store."""
        jobs = [Job(self.updates, shard, self.shards) for shard in range(self.shards)]
        self.store.publish(self.updates, self.distinct())
        self.store.offer(jobs)
        known = {problem.question.id: problem for problem in problems}
        while (found := self.store.collect(jobs, known)) is None:
            if self.helps and (job := self.store.claim()) is not None:
                self.store.finish(job, rolled_out(self, job))
                continue
            self.store.reclaim(self.lease)
            time.sleep(GLANCE)
        return found


def decoupled(trainer: Trainer, store: RolloutStore, shards: int) -> DecoupledTrainer:
    """A trainer of the same settings that has not begun, with its rollouts by way of a store."""
    kept = {f.name: getattr(trainer, f.name) for f in fields(Trainer) if not f.name.startswith("_")}
    return DecoupledTrainer(**kept, store=store, shards=shards)


def with_rollouts(training: Training) -> Trainer:
    """The training, which workers can roll out for. Raises InputError if its method learns from data or its past."""
    if type(training) is not Trainer:
        mend = f"{training.method.name} has no rollouts for others to make; leave it out."
        raise InputError("--workers", training.method.name, mend)
    return training


def rolled_out(trainer: Trainer, job: Job) -> list[Rollout]:
    """A job's rollouts by a trainer of the same settings, with the policies that it has now."""
    s = trainer.method.settings
    problems = list(trainer.task.problems(s.problems, derive(trainer.seed, "problems", job.update)))
    own = [problems[int(i)] for i in np.array_split(np.arange(len(problems)), job.of)[job.shard]]
    return roll_out(
        trainer.team, trainer.agents, own, trainer.policies, group=s.group,
        seed=derive(trainer.seed, "rollouts", job.update), temperature=s.temperature, max_tokens=s.max_tokens,
        frozen=trainer.frozen, reward=trainer.reward,
    )  # fmt: skip


def work(store: RolloutStore, trainer: Trainer, go_on: Callable[[], bool] = lambda: True) -> int:
    """Take jobs until told otherwise.

    Args:
        store: the shared folder.
        trainer: of the same team, task, method and seed as the one that learns; it never updates.
        go_on: asked between jobs.

    Returns the number of jobs done.
    """
    done, adopted = 0, -1
    while go_on():
        job = store.claim()
        if job is None:
            time.sleep(GLANCE)
            continue
        if not store.has_policies(job.update):
            continue  # the trainer went on without this worker
        if job.update != adopted:
            store.adopt(job.update, trainer.distinct())
            adopted = job.update
        store.finish(job, rolled_out(trainer, job))
        done += 1
    return done


def _record(rollout: Rollout) -> dict[str, Any]:
    """A rollout as JSON; the problem by its id, because its answer is the trainer's to know."""
    facts = {name: value for name, value in vars(rollout).items() if name not in ("problem", "turns")}
    return {**facts, "problem": rollout.problem.question.id, "turns": [asdict(turn) for turn in rollout.turns]}


def _rollout(record: dict[str, Any], problems: Mapping[str, Problem]) -> Rollout:
    turns = [Turn(**turn) for turn in record["turns"]]
    return Rollout(**{**record, "problem": problems[record["problem"]], "turns": turns})
