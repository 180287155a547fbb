"""A method of post-training: what each of them states, and the registry of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator

from shoal.errors import InputError
from shoal.posttrain.advantages import MODES, Mode, agent_advantages
from shoal.posttrain.credit import CREDIT, Outcome
from shoal.posttrain.losses import Average, Ratio, clipped
from shoal.posttrain.policies import Policy
from shoal.posttrain.rollouts import Rollout, StepOutcomes, Turn, standing_answers
from shoal.posttrain.training import TrainingMethod
from shoal.registry import Registry

if TYPE_CHECKING:
    from shoal.posttrain.trainer import Trainer

Floats = NDArray[np.float64]


class MethodSettings(BaseModel):
    """Settings of every method that learns from its own rollouts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    problems: int = Field(8, ge=1, le=4096, description="Problems in one update.")
    group: int = Field(4, ge=1, le=256, description="Rollouts of each problem (N, K or G in the papers).")
    learning_rate: float = Field(1e-4, gt=0, le=1, description="Of AdamW.")
    rate_warm_up: int = Field(0, ge=0, le=100_000, description="Updates in which the learning rate rises to its value.")
    temperature: float = Field(1.0, gt=0, le=2, description="Sampling temperature of rollouts.")
    max_tokens: int = Field(32, ge=1, le=8192, description="Longest reply of a seat, in tokens.")
    credit: str = Field("shared", description="Rule from the team's outcome to a call's reward; see CREDIT.")
    advantage: Mode = Field("global", description=f"What a call is compared with: {', '.join(MODES)}.")
    clip: float = Field(0.2, gt=0, lt=1, description="How far a ratio may fall below 1 before its gradient stops.")
    clip_high: float = Field(0.2, gt=0, le=10, description="How far it may rise above 1.")
    ratio: Ratio = Field("token", description="Ratios of tokens, of whole replies (sequence), or their mean.")
    average: Average = Field("token", description="Whether every token or every reply counts the same.")
    kl: float = Field(0.0, ge=0, le=10, description="Weight of the distance to the base.")
    entropy: float = Field(0.0, ge=0, le=1, description="Weight of the entropy bonus.")
    epochs: int = Field(1, ge=1, le=64, description="Passes over the rollouts of one update.")
    minibatches: int = Field(1, ge=1, le=256, description="Gradient steps in one pass.")
    piece: int = Field(64, ge=1, description="Replies whose gradient is computed at once; bounds memory, not results.")
    max_grad_norm: float = Field(1.0, gt=0, description="Norm to which a role's gradient is clipped.")
    penalty: float = Field(0.0, ge=0, le=10, description="Taken from the reward of a call whose reply was cut short.")
    schedule: Literal["joint", "in-turn"] = Field("joint", description="All roles learn at once, or one after another.")
    interval: int = Field(10, ge=1, description="Updates of one role before the next, in turn.")

    @field_validator("credit")
    @classmethod
    def _known(cls, name: str) -> str:
        CREDIT.get(name)
        return name


@dataclass(frozen=True)
class Batch:
    """The calls of an update, one row each.

    Attributes:
        rollouts: where they come from.
        turns: the calls.
        rollout: index of each call's rollout.
        rewards: of each call, by the rule of credit, penalties taken off.
    """

    rollouts: Sequence[Rollout]
    turns: Sequence[Turn]
    rollout: NDArray[np.int64]
    rewards: Floats

    @property
    def tasks(self) -> list[str]:
        """Problem of each call."""
        return [self.rollouts[i].problem.question.id for i in self.rollout]

    @property
    def trajectories(self) -> list[int]:
        """Rollout of each call."""
        return [int(i) for i in self.rollout]

    @property
    def agents(self) -> list[str]:
        """Agent of each call."""
        return [turn.agent for turn in self.turns]


class Method(TrainingMethod):
    """What a method that learns from its own rollouts states: how a call's advantage comes about, and settings.

    The trainer does the rest.

    Attributes:
        step_outcomes: tells what each call of a rollout came to, for the credit rule ``step``.
    """

    schema: ClassVar[type[MethodSettings]] = MethodSettings
    source: ClassVar[str] = "its own rollouts"
    step_outcomes: StepOutcomes = staticmethod(standing_answers)

    def training(self, *parts: Any) -> Trainer:
        """A trainer with this method."""
        from shoal.posttrain.trainer import Trainer

        team, agents, policies, task, seed, frozen = parts
        return Trainer(team, agents, policies, self, task, seed, frozen)

    def check(self) -> None:
        """A method that compares rollouts of a problem with each other needs two of them."""
        if self.settings.group < 2 and type(self).advantages is Method.advantages:
            mend = f"{self.name} compares rollouts of a problem with each other; use at least 2."
            raise InputError(f"method {self.name} group", self.settings.group, mend)

    def prepare(self, policies: Mapping[str, Policy]) -> None:
        """Called once before training, for methods with parts of their own (a critic)."""
        return

    def rewards(self, rollout: Rollout) -> Floats:
        """Reward of each call of a rollout."""
        s = self.settings
        callers = [turn.agent for turn in rollout.turns]
        steps = self.step_outcomes(rollout) if s.credit == "step" else ()
        earned = CREDIT.get(s.credit)(Outcome(rollout.reward, steps=steps), callers)
        short: Floats = np.array([not turn.ended for turn in rollout.turns], float)
        return earned - float(s.penalty) * short

    def advantages(self, batch: Batch, rng: np.random.Generator) -> Floats:
        """Advantage of each call, or of each token of each call [calls, tokens] padded on the right."""
        return agent_advantages(
            batch.rewards, task=batch.tasks, trajectory=batch.trajectories, agent=batch.agents,
            mode=self.settings.advantage,
        )  # fmt: skip

    def weights(self, batch: Batch) -> Floats:
        """How often each call counts in the loss."""
        return np.ones(len(batch.turns))

    def objective(self, new: Any, old: Any, log_ratio: Any, advantage: Any) -> Any:
        """Loss of each token [rows, tokens] from log-probabilities now and when written, and their (limited) ratio."""
        return clipped(log_ratio, advantage, self.settings.clip, self.settings.clip_high)

    def after(self, batch: Batch, rng: np.random.Generator) -> dict[str, float]:
        """Called after the policies' step; trains what is the method's own and returns figures."""
        return {}

    def ready(self, update: int) -> bool:
        """Whether policies learn in this update; False while something else warms up."""
        return True


M = TypeVar("M", bound=type[Method])

METHODS: Registry[type[Method]] = Registry("method", "shoal.posttrain")


def method(name: str) -> Callable[[M], M]:
    """Class decorator that registers a method under a name."""

    def add(kind: M) -> M:
        kind.name = name
        METHODS.register(name)(kind)
        return kind

    return add


@method("grpo")
class GRPO(Method):
    """Every call shares its rollout's group-relative advantage (GRPO, arXiv 2402.03300)."""
