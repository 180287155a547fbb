"""A training: policies, their optimisers, curves and checkpoints. What one update does is its subclasses' to say.

An update's randomness comes from the root seed and the update's number alone, so a training that is resumed gives the
numbers of one that was never stopped.
"""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from shoal.errors import InputError, ShoalError
from shoal.models.interface import Model
from shoal.posttrain.checkpoints import load_tensors, save_tensors
from shoal.posttrain.policies import Policy
from shoal.posttrain.rollouts import Reward, check_seats, correctness
from shoal.runs.settings import validate
from shoal.tasks.problem import Task
from shoal.teams.agent import Agent
from shoal.teams.outcome import Team
from shoal.traces import TraceWriter

if TYPE_CHECKING:
    from shoal.teams.catalogue import TeamPlan

CHECKPOINT = "checkpoint"
"""Folder of a training's latest checkpoint, inside its own."""
METRICS = "metrics.jsonl"
"""File of a training's curves, inside its folder."""
Figures = dict[str, float]


class LossNotFinite(ShoalError):
    """A loss or gradient stopped being finite; says in which update and for which role, and where the batch lies."""


class TrainingMethod(ABC):
    """What a published method states: its settings, and the training that carries it out.

    Attributes:
        name: on the command line.
        schema: of its settings; ``learning_rate`` and ``max_tokens`` are among them.
        source: what it learns from, in a few words.
        settings: of this one.
    """

    name: ClassVar[str]
    schema: ClassVar[type[Any]]
    source: ClassVar[str]

    def __init__(self, **settings: Any) -> None:
        self.settings: Any = validate(self.schema, settings, f"method {self.name}")

    @abstractmethod
    def training(self, *parts: Any) -> Training:
        """A training of this method; ``parts`` are team, agents, policies, task, seed and model of frozen agents."""

    def opened(self, team: str, task: str) -> tuple[TeamPlan, Task]:
        """The team and the task that specs name; a method for other teams or tasks than the usual ones knows them."""
        from shoal.tasks.catalogue import open_task
        from shoal.teams.catalogue import open_team

        return open_team(team), open_task(task)

    def check(self) -> None:
        """Refuse settings of which nothing can be learned, with InputError, before anything is written."""
        return

    def outlook(self) -> str:
        """What is worth knowing before the training begins, or nothing."""
        return ""

    def tensors(self) -> dict[str, Any]:
        """What a checkpoint must keep besides policies and their optimisers."""
        return {}

    def restore(self, tensors: Mapping[str, Any]) -> None:
        """Take up what ``tensors`` gave."""
        return


@dataclass
class Training(ABC):
    """A team in training.

    Attributes:
        team: any team function.
        agents: its agents.
        policies: of the trainable agents, by name; agents with the same policy object are trained as one.
        method: what an update does, and all settings.
        task: where problems come from.
        seed: root of all randomness.
        frozen: model of agents that are not trained and have none of their own.
        reward: of the team for a rollout.
        trace: where events go; one ``update`` event for each update, besides the rollouts' own.
        folder: for checkpoints, curves, and a batch whose loss is not finite; nothing is kept without it.
        updates: done so far.
        history: figures of each update.
    """

    team: Team
    agents: Sequence[Agent]
    policies: Mapping[str, Policy]
    method: Any
    task: Task
    seed: int = 0
    frozen: Model | None = None
    reward: Reward = correctness
    trace: TraceWriter | None = None
    folder: Path | None = None
    updates: int = 0
    history: list[Figures] = field(default_factory=list)
    _optimisers: dict[int, Any] = field(default_factory=dict)

    curves: ClassVar[tuple[str, ...]]
    """Figures worth a plot, those of single roles ending in the same words; the first is shown beside the progress."""

    def __post_init__(self) -> None:
        import torch

        check_seats(self.agents, self.policies, self.frozen)
        for policy in self.distinct():
            for tensor in policy.parameters():
                tensor.requires_grad_(True)
            self._optimisers[id(policy)] = torch.optim.AdamW(
                policy.parameters(), lr=self.method.settings.learning_rate, weight_decay=0.0
            )

    @abstractmethod
    def length(self, wanted: int | None = None) -> int:
        """Updates to be done, as far as is known by now; ``wanted`` are asked for, None for a whole training."""

    @property
    @abstractmethod
    def idle(self) -> str:
        """Why nothing was learned where no gradient was ever different from 0, and what mends it."""

    @abstractmethod
    def learn(self) -> Figures:
        """The work of one update.

        Raises:
            LossNotFinite: nothing has been changed by this update's last step; the batch was saved.
        """

    def distinct(self) -> list[Policy]:
        """Policies, each once."""
        return list({id(policy): policy for policy in self.policies.values()}.values())

    def train(
        self, updates: int | None = None, progress: Callable[[int, Figures], None] | None = None, every: int = 0
    ) -> None:
        """Go on to the ``length`` that ``updates`` gives; ``every`` updates and at the end a checkpoint is written."""
        while self.updates < self.length(updates):
            figures = self.update()
            self._note(self.updates, figures)
            if progress is not None:
                progress(self.updates, figures)
            over = self.updates >= self.length(updates)
            if self.folder is not None and (over or (every and self.updates % every == 0)):
                self.save(self.folder / CHECKPOINT)

    def update(self) -> Figures:
        """One update, its figures noted; raises as ``learn`` does."""
        began = time.perf_counter()
        figures = self.learn()
        figures["seconds"] = time.perf_counter() - began
        self.updates += 1
        self.history.append(figures)
        if self.trace is not None:
            self.trace.write("update", "trainer", {"update": self.updates, **figures})
        return figures

    def learned(self) -> bool:
        """Whether any gradient was different from 0."""
        return any(row[name] > 0 for row in self.history for name in row if name.endswith("grad_norm"))

    def untaught(self) -> list[str]:
        """Roles that never took a step."""
        stepped = {name for row in self.history for name in row}
        return [policy.role for policy in self.distinct() if f"{policy.role} grad_norm" not in stepped]

    def save(self, folder: Path) -> None:
        """Everything that the next update depends on, as data."""
        import torch

        tensors: dict[str, Any] = {f"method/{name}": x for name, x in self.method.tensors().items()}
        for number, policy in enumerate(self.distinct()):
            state = self._optimisers[id(policy)].state
            for name, tensor in policy.named_parameters():
                tensors[f"{number}/value/{name}"] = tensor.detach()
                for part, x in state.get(tensor, {}).items():
                    tensors[f"{number}/{part}/{name}"] = torch.as_tensor(x)
        facts = {"updates": self.updates, "shape": self.shape(), "seed": self.seed, "history": self.history}
        save_tensors(folder, tensors, facts)

    def load(self, folder: Path) -> None:
        """Go on from a checkpoint. Raises InputError if it is of another team, method or seed, with both named."""
        tensors, facts = load_tensors(folder)
        for name, mine, theirs in (
            ("team shape", self.shape(), facts["shape"]), ("seed", self.seed, facts["seed"]),
        ):  # fmt: skip
            if mine != theirs:
                raise InputError(
                    f"resume: {name}", json.dumps(theirs), f"The checkpoint's; yours is {json.dumps(mine)}."
                )
        for number, policy in enumerate(self.distinct()):
            self._take_up(policy, str(number), tensors)
        self.method.restore({k.removeprefix("method/"): x for k, x in tensors.items() if k.startswith("method/")})
        self.updates, self.history = int(facts["updates"]), list(facts["history"])
        if self.folder is not None:  # updates after the checkpoint will be made again
            (self.folder / METRICS).unlink(missing_ok=True)
            for number, figures in enumerate(self.history, 1):
                self._note(number, figures)

    def _take_up(self, policy: Policy, prefix: str, tensors: Mapping[str, Any]) -> None:
        """A policy's parameters and the state of its optimiser."""
        import torch

        optimiser = self._optimisers[id(policy)]
        for name, tensor in policy.named_parameters():
            with torch.no_grad():
                tensor.copy_(tensors[f"{prefix}/value/{name}"])
            parts = {p: tensors.get(f"{prefix}/{p}/{name}") for p in ("step", "exp_avg", "exp_avg_sq")}
            if parts["step"] is not None:
                optimiser.state[tensor] = parts

    def shape(self) -> dict[str, Any]:
        """What a checkpoint must agree with."""
        distinct = self.distinct()
        roles = {name: next(i for i, p in enumerate(distinct) if p is q) for name, q in self.policies.items()}
        sizes = [sum(x.numel() for x in policy.parameters()) for policy in distinct]
        return {"method": self.method.name, "roles": roles, "parameters": sizes}

    def stopped(self, policy: Policy, rows: Sequence[Mapping[str, Any]]) -> LossNotFinite:
        """The error that ends a training whose loss is not finite; the rows of the batch are saved."""
        where = ""
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            path = self.folder / f"batch-{self.updates}-{policy.role}.json"
            path.write_text(json.dumps(list(rows)), encoding="utf-8")
            where = f" The batch lies in {path}."
        return LossNotFinite(
            f"update {self.updates}, role {policy.role}: the loss or its gradient is not finite.{where} "
            "Lower the learning rate, or look at the batch."
        )

    def _note(self, number: int, figures: Figures) -> None:
        """One more line of the curves, for whoever watches."""
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / METRICS).open("a", encoding="utf-8") as lines:
                lines.write(json.dumps({"update": number, **figures}) + "\n")
