"""Advantage Alignment for language models that play a repeated game against each other (arXiv 2511.19405).

A round is one reply of each player, so the turns of a round are merged by construction. From both players' points
come discounted returns over c, less the mean of the other games of the same deal at each step, and from these the
credit C_t = A1_t + beta W_t A2_t of the learner's turn of that round. The loss is REINFORCE with ratios of at most 2.
Opponents are the policies as they are or, half of the time, as they were. Where a game has few acts (A or B) replies
are held to them, and the share that free replies would have missed is among the figures (``outside``); otherwise what
cannot be read counts as the game says, and its share is told (``unreadable``).

Departure: past games of an update are against one copy, drawn anew in each update, not one for each game (every copy
costs a reading of its own).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from shoal.errors import InputError
from shoal.posttrain.choosing import choosers
from shoal.posttrain.credit import past_weights
from shoal.posttrain.losses import reinforce
from shoal.posttrain.method import Batch, Method, MethodSettings, method
from shoal.posttrain.policies import Policy
from shoal.posttrain.problems.repeated_games import (
    PLAYERS,
    UNREAD,
    game_of,
    open_game,
    open_players,
    points_of,
    read_record,
)
from shoal.posttrain.rollouts import Rollout
from shoal.posttrain.self_play import Pool, SelfPlay
from shoal.tasks.problem import Problem, Task
from shoal.teams.catalogue import TeamPlan

Floats = NDArray[np.float64]


class AlignmentSettings(MethodSettings):
    """Settings of Advantage Alignment; ``credit`` and ``advantage`` of other methods have no say in it."""

    problems: int = Field(1, ge=1, le=4096, description="Deals in one update.")
    group: int = Field(64, ge=1, le=4096, description="Games of each deal.")
    max_tokens: int = Field(8, ge=1, le=8192, description="Longest reply of a player, in tokens.")
    entropy: float = Field(0.01, ge=0, le=1, description="Weight of the entropy bonus.")
    trainer: Literal["aligned", "naive", "sum"] = Field("aligned", description="The method, own points, or both's.")
    strength: float = Field(1.0, ge=0, le=100, description="beta, of the term that aligns.")
    discount: float = Field(0.9, ge=0, le=1, description="g, of returns.")
    weight_discount: float = Field(0.9, ge=0, le=1, description="g, of the past in W.")
    scale: float | None = Field(None, gt=0, description="c, by which points are divided; the game's own if left out.")
    shuffled: bool = Field(False, description="Deal the weights of the past to other games (an ablation).")
    constrained: bool = Field(True, description="Hold replies to the game's acts where it has few; else they are read.")
    pool: float = Field(0.5, ge=0, le=1, description="Chance of a game against a past policy.")
    pool_size: int = Field(30, ge=1, le=10_000, description="Past policies kept.")
    store_every: int = Field(10, ge=1, le=100_000, description="Updates between policies that are kept.")


@method("advantage-alignment")
class AdvantageAlignment(Method):
    """Two players of a repeated game: good for the other when the past was good for oneself (arXiv 2511.19405).

    Attributes:
        pool: past policies.
        seats: names of the players.
    """

    schema = AlignmentSettings
    seats: tuple[str, ...] = ()

    def opened(self, team: str, task: str) -> tuple[TeamPlan, Task]:
        """``players`` and a repeated game."""
        return open_players(team), open_game(task)

    def training(self, *parts: Any) -> SelfPlay:
        """Self-play, rewarded with points."""
        team, agents, policies, task, seed, frozen = parts
        if len(agents) != PLAYERS:
            raise InputError("--team", f"{len(agents)} agents", "Advantage Alignment is for exactly two players.")
        s, acts = self.settings, task.problems(1, 0)[0].question.options
        if s.constrained and acts:
            policies = choosers(policies, acts)
        self.seats, self.pool = tuple(agent.name for agent in agents), Pool(s.pool_size)
        return SelfPlay(
            team, agents, policies, self, task, seed, frozen, mean_points, pool=self.pool, past_chance=s.pool,
            store_every=s.store_every,
        )  # fmt: skip

    def check(self) -> None:
        """A game is compared with others of the same deal."""
        if self.settings.group < 2:
            mend = "A group of one game has no baseline; use at least 2."
            raise InputError(f"method {self.name} group", self.settings.group, mend)

    def prepare(self, policies: Mapping[str, Policy]) -> None:
        """The first past policy is the one before training."""
        self._policies = list({id(policy): policy for policy in policies.values()}.values())
        for policy in self._policies:
            self.pool.keep(policy)

    def rewards(self, rollout: Rollout) -> Floats:
        """The learner's points of each round. Turns are of the first rounds: calls fail only when prompts get long."""
        own = points(rollout)[: len(rollout.turns), self._seat(rollout)]
        return np.asarray(own, float)

    def advantages(self, batch: Batch, rng: np.random.Generator) -> Floats:
        """The credit of each of the learners' turns."""
        s = self.settings
        rollouts = [rollout for rollout in batch.rollouts if rollout.turns]
        if not rollouts:
            return np.zeros(0)
        paid = np.stack([points(r)[:, [self._seat(r), 1 - self._seat(r)]] for r in rollouts], 1)
        scale = s.scale or game_of(rollouts[0].problem.question).scale
        deals = np.unique([r.problem.question.id for r in rollouts], return_inverse=True)[1]
        own, other = (compared(returns(paid[..., who].T / scale, s.discount), deals) for who in range(PLAYERS))
        weight = past_weights(own, s.weight_discount)
        weight = weight[rng.permutation(len(weight))] if s.shuffled else weight
        factor = {"aligned": s.strength * weight, "naive": 0.0, "sum": 1.0}[s.trainer]
        credit = own + factor * other
        return np.concatenate([row[: len(r.turns)] for row, r in zip(credit, rollouts, strict=True)])

    def objective(self, new: Any, old: Any, log_ratio: Any, advantage: Any) -> Any:
        """REINFORCE."""
        return reinforce(new, old, advantage)

    def after(self, batch: Batch, rng: np.random.Generator) -> dict[str, float]:
        """Share of acts that could not be read as they stood, of both players."""
        acts = [act for r in batch.rollouts for pair in read_record(r.answer or "") for act in pair]
        return {"unreadable": float(np.mean([UNREAD in act for act in acts]))}

    def tensors(self) -> dict[str, Any]:
        """The pool."""
        return self.pool.tensors()

    def restore(self, tensors: Mapping[str, Any]) -> None:
        """Take up what ``tensors`` gave."""
        self.pool.restore(tensors, self._policies)

    def _seat(self, rollout: Rollout) -> int:
        """The learner's."""
        return self.seats.index(rollout.turns[0].agent) if rollout.turns else 0


def points(rollout: Rollout) -> Floats:
    """Of both players in each round [rounds, players]."""
    return points_of(rollout.problem.question, rollout.answer or "")


def mean_points(problem: Problem, rollout: Rollout) -> float:
    """Of both players and all rounds."""
    return float(points(rollout).mean())


def returns(reward: Floats, discount: float) -> Floats:
    """Discounted sums from each round on [games, rounds]."""
    total = np.array(reward, float)
    for t in range(total.shape[1] - 2, -1, -1):
        total[:, t] += discount * total[:, t + 1]
    return total


def compared(value: Floats, group: NDArray[np.int64]) -> Floats:
    """Values less the mean of the other games of the group at the same step [games, rounds]."""
    gain = np.empty_like(value)
    for number in np.unique(group):
        own = value[group == number]
        gain[group == number] = (own - own.mean(0)) * len(own) / max(1, len(own) - 1)
    return gain
