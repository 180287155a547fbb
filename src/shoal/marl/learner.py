"""The learner: two pure functions, ``init`` and ``update``, and the settings that are its schema, docs and flags."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Generic, Self, TypeVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from shoal.marl.players import Player
from shoal.registry import Registry
from shoal.runs.settings import validate
from shoal.worlds import World

Metrics = dict[str, Array]
"""Figures of one update by name, each [seeds, ...]."""


class LearnerSettings(BaseModel):
    """What every learner has; frozen, no unknown fields, each field's description is its help text."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    worlds: int = Field(16, ge=1, description="Worlds that run side by side.")
    total_steps: int | None = Field(
        None,
        ge=1,
        description="Environment steps of the whole training: the learning rate falls linearly to 0 over them. "
        "Empty to keep the rate constant.",
    )


C = TypeVar("C", bound=LearnerSettings)
S = TypeVar("S", bound=eqx.Module)


class Learner(ABC, Generic[C, S]):
    """Learns to act in a world; several seeds at once.

    Seeds are the second last axis of the worlds' batch, (seeds, worlds), and the first axis of every parameter, so that
    resets stay rare events for the whole batch and every seed has parameters of its own. Initial parameters depend on
    the seed's own key only; the chances of the worlds are drawn for all seeds together, so a seed's course depends on
    which seeds are trained with it.

    Attributes:
        name: as registered.
        schema: class of the settings.
        settings: of this learner.
    """

    name: ClassVar[str]
    schema: ClassVar[type[LearnerSettings]]

    def __init__(self, **settings: Any) -> None:
        """Check and keep the settings; raises UnknownName or InputError with the field, the value and the mend."""
        self.settings: C = validate(self.schema, settings, f"learner {self.name}")  # type: ignore[assignment]

    @property
    @abstractmethod
    def steps_per_update(self) -> int:
        """Environment steps of one update, for each seed."""

    @property
    def heavy(self) -> bool:
        """Its updates take long, so a slower and more thorough compilation pays."""
        return False

    @abstractmethod
    def init(self, key: PRNGKeyArray, world: World[Any]) -> S:
        """The state before the first update.

        Args:
            key: one key, or an array of keys [seeds].
            world: what to learn; becomes a static part of the state.
        """

    @abstractmethod
    def update(self, state: S) -> tuple[S, Metrics]:
        """One update, and its figures, each [seeds, ...]."""

    @abstractmethod
    def player(self, state: S) -> Player:
        """What has been learned, as something that acts: parameters [seeds, ...]."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.settings == other.settings

    def __hash__(self) -> int:
        return hash((type(self).__name__, self.settings))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.settings)})"


class RolloutSettings(LearnerSettings):
    """What every learner that collects rollouts has; each core has defaults of its own."""

    rollout: int = Field(128, ge=1, description="Steps of every world in one update.")
    learning_rate: float = Field(2.5e-4, gt=0, description="Of Adam, at the start.")
    recurrent: bool = Field(False, description="Networks have a memory (GRU) between their dense layers.")
    memory: int = Field(128, ge=1, description="Size of the memory of recurrent networks.")
    chunk: int = Field(16, ge=1, description="Steps through which recurrent networks are differentiated.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.recurrent and self.rollout % self.chunk:
            raise ValueError(f"rollout {self.rollout} must be a multiple of chunk {self.chunk} in recurrent networks")
        return self


R = TypeVar("R", bound=RolloutSettings)


class RolloutLearner(Learner[R, S]):
    """A learner whose update begins with a rollout, cut into chunks where networks have a memory."""

    @property
    def steps_per_update(self) -> int:
        """Rollout times worlds."""
        return self.settings.rollout * self.settings.worlds

    @property
    def heavy(self) -> bool:
        """Recurrent networks are."""
        return self.settings.recurrent

    @property
    def chunks(self) -> tuple[int, int]:
        """Number and length of the chunks of a rollout; single steps where networks have no memory."""
        length = self.settings.chunk if self.settings.recurrent else 1
        return self.settings.rollout // length, length

    def _rate(self, updates: Int[Array, ""]) -> Float[Array, ""]:
        total = self.settings.total_steps
        if total is None:
            return jnp.asarray(self.settings.learning_rate)
        share = updates / max(total // self.steps_per_update, 1)
        return self.settings.learning_rate * jnp.maximum(1.0 - share, 0.0)


L = TypeVar("L", bound=type[Learner[Any, Any]])

LEARNERS: Registry[type[Learner[Any, Any]]] = Registry("learner", "shoal.marl")


def learner(name: str) -> Callable[[L], L]:
    """Class decorator that registers a learner and gives it its name."""

    def add(kind: L) -> L:
        kind.name = name
        LEARNERS.register(name)(kind)
        return kind

    return add


def make_learner(name: str, **settings: Any) -> Learner[Any, Any]:
    """The learner of that name. Raises UnknownName or InputError."""
    return LEARNERS.get(name)(**settings)
