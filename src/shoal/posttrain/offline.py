"""Methods that learn from given data: passes over rows of each role, one step of each role's policy in an update.

Order and batches come from the seed, the role and the pass alone, so a resumed training is the uninterrupted one.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from shoal.errors import InputError
from shoal.posttrain.policies import Policy
from shoal.posttrain.training import Figures, Training, TrainingMethod
from shoal.registry import Registry
from shoal.runs.seeds import derive


class OfflineSettings(BaseModel):
    """Settings of every method that learns from a file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: str = Field("", description="File to learn from; --data on the command line.")
    learning_rate: float = Field(1e-4, gt=0, le=1, description="Of AdamW.")
    epochs: int = Field(1, ge=1, le=1000, description="Passes over the data.")
    batch: int = Field(16, ge=1, le=4096, description="Rows of a role in one step.")
    max_grad_norm: float = Field(1.0, gt=0, description="Norm to which a role's gradient is clipped.")
    max_tokens: int = Field(32, ge=1, le=8192, description="Longest reply of a seat in the evaluation, in tokens.")


class OfflineMethod(TrainingMethod):
    """A method that learns from data which it is given, or gathers before it learns."""

    idle: ClassVar[str]
    """Why nothing was learned where no gradient was ever different from 0."""

    def training(self, *parts: Any) -> OfflineTraining:
        """A training by this method; its data are read."""
        team, agents, policies, task, seed, frozen = parts
        return OfflineTraining(team, agents, policies, self, task, seed, frozen)

    @abstractmethod
    def begin(self, training: OfflineTraining) -> None:
        """Called once with the fresh policies; reads the data, with InputError for what is wrong in them."""

    @abstractmethod
    def length(self) -> int:
        """Updates of the whole training, as far as is known by now."""

    @abstractmethod
    def learn(self, training: OfflineTraining) -> Figures:
        """The work of the next update."""

    @abstractmethod
    def shape(self) -> dict[str, Any]:
        """What a checkpoint must agree with besides roles and sizes."""


@dataclass
class OfflineTraining(Training):
    """A team that learns from data."""

    method: OfflineMethod

    curves: ClassVar[tuple[str, ...]] = ("imitation loss", "preference loss", "right", "margin", "grad_norm")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.method.begin(self)

    def length(self, wanted: int | None = None) -> int:
        """Of the method's passes; more than these are not made."""
        whole = self.method.length()
        return whole if wanted is None else min(wanted, whole)

    @property
    def idle(self) -> str:
        """The method's."""
        return self.method.idle

    def learn(self) -> Figures:
        """The method's."""
        return self.method.learn(self)

    def shape(self) -> dict[str, Any]:
        """Roles, sizes, and the method's data."""
        return {**super().shape(), **self.method.shape()}

    def optimiser(self, policy: Policy, rate: float) -> Any:
        """The policy's optimiser, at that learning rate."""
        optimiser = self._optimisers[id(policy)]
        for group in optimiser.param_groups:
            group["lr"] = rate
        return optimiser

    def forget_moments(self) -> None:
        """Let every optimiser begin anew, for another loss."""
        for optimiser in self._optimisers.values():
            optimiser.state.clear()


class HasRole(Protocol):
    """A row of data that says whose it is."""

    @property
    def role(self) -> str:
        """Name of the agent."""
        ...


R = TypeVar("R", bound=HasRole)


@dataclass
class Passes(ABC, Generic[R]):
    """Passes over rows with one loss.

    Attributes:
        rows: by role of the policy that learns from them.
        rate: of AdamW.
        epochs: passes.
        batch: rows in one step, about.
        seed: of the order.
        max_grad_norm: to which a gradient is clipped.
        title: of the loss, in figures.
    """

    title: ClassVar[str]

    rows: Mapping[str, Sequence[R]]
    rate: float
    epochs: int
    batch: int
    seed: int
    max_grad_norm: float = float("inf")

    def length(self) -> int:
        """Updates; roles with fewer rows are through with their passes earlier."""
        return self.epochs * max((self._steps(role) for role in self.rows), default=0)

    def learn(self, training: OfflineTraining, number: int) -> Figures:
        """Update ``number`` of these passes: a step of each policy that has rows left.

        Raises:
            LossNotFinite: before the step.
        """
        figures: Figures = {}
        for policy in training.distinct():
            part = self.part(policy.role, number)
            if part is None:
                continue
            own = self.step(policy, training.optimiser(policy, self.rate), part)
            if not all(np.isfinite(value) for value in own.values()):
                raise training.stopped(policy, [vars(self.rows[policy.role][i]) for i in part])
            figures.update({f"{policy.role} {name}": value for name, value in own.items()})
        losses = [value for name, value in figures.items() if name.endswith(self.title)]
        return {self.title: float(np.mean(losses)), **figures} if losses else figures

    def part(self, role: str, number: int) -> list[int] | None:
        """Rows of a role in an update; None where its passes are over."""
        steps = self._steps(role)
        if not steps or number >= self.epochs * steps:
            return None
        rng = np.random.default_rng(derive(self.seed, "order", role, number // steps))
        order = batches(len(self.rows[role]), self.batch, rng)[number % steps]
        return [int(i) for i in order]

    def step(self, policy: Policy, optimiser: Any, part: Sequence[int]) -> Figures:
        """One step of the optimiser on some rows; none where the loss is not finite."""
        import torch

        optimiser.zero_grad()
        loss, figures = self.loss(policy, part)
        loss.backward()
        norm = float(torch.nn.utils.clip_grad_norm_(policy.parameters(), self.max_grad_norm))
        found = {self.title: float(loss.detach()), **figures, "grad_norm": norm}
        if np.isfinite(norm) and np.isfinite(found[self.title]):
            optimiser.step()
        return found

    @abstractmethod
    def loss(self, policy: Policy, part: Sequence[int]) -> tuple[Any, Figures]:
        """Mean loss of some rows, and figures of its own."""

    def _steps(self, role: str) -> int:
        count = len(self.rows.get(role, ()))
        return max(1, round(count / self.batch)) if count else 0


def batches(count: int, size: int, rng: np.random.Generator) -> list[Any]:
    """Numbers below ``count`` in random order, in parts of about ``size``."""
    return np.array_split(rng.permutation(count), max(1, round(count / size)))


def by_policy(rows: Iterable[R], policies: Mapping[str, Policy]) -> dict[str, list[R]]:
    """Rows by the role of the policy that learns from them; agents that share one are trained on each other's."""
    grouped: dict[str, list[R]] = {policy.role: [] for policy in policies.values()}
    for row in rows:
        grouped[policies[row.role].role].append(row)
    return grouped


class FromFile(OfflineMethod, Generic[R]):
    """A method that makes passes over the rows of a file."""

    schema: ClassVar[type[OfflineSettings]] = OfflineSettings
    source = "a file"
    _passes: Passes[R]

    @abstractmethod
    def read(self, path: Path, policies: Mapping[str, Policy]) -> list[R]:
        """The rows, with InputError for what is wrong in them."""

    @abstractmethod
    def passes(self, rows: Mapping[str, Sequence[R]], seed: int) -> Passes[R]:
        """What is done with them."""

    def begin(self, training: OfflineTraining) -> None:
        """Read the file."""
        data = self.settings.data
        if not data:
            raise InputError(f"method {self.name} data", data, "Give the file to learn from in --data FILE.")
        rows = self.read(Path(data).expanduser(), training.policies)
        self._digest = hashlib.sha256(repr(rows).encode()).hexdigest()[:16]
        self._passes = self.passes(by_policy(rows, training.policies), training.seed)

    def length(self) -> int:
        """As many as the passes take."""
        return self._passes.length()

    def learn(self, training: OfflineTraining) -> Figures:
        """One step of each role."""
        return self._passes.learn(training, training.updates)

    def shape(self) -> dict[str, Any]:
        """The data: a training is resumed on the same."""
        return {"data": self._digest}


M = TypeVar("M", bound=type[OfflineMethod])

OFFLINE: Registry[type[OfflineMethod]] = Registry("method", "shoal.posttrain")


def offline(name: str) -> Callable[[M], M]:
    """Class decorator that registers a method of this kind under a name."""

    def add(kind: M) -> M:
        kind.name = name
        OFFLINE.register(name)(kind)
        return kind

    return add
