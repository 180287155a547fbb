"""Names and settings of the Dec-POMFC study."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from shoal.runs.study import StudyConfig

if TYPE_CHECKING:
    from shoal.populations.mean_field.worlds import MeanFieldWorld, SwarmWorld

KERNEL, STATIC, SHARED = "kernel, open loop", "kernel, static", "kernel, shared seed"
HISTOGRAM, BLIND = "histogram, open loop", "sees nothing, open loop"
IPPO, MAPPO, CLASSIC, CHANCE = "IPPO", "MAPPO", "classic rule", "random"
ARMS = (KERNEL, STATIC, SHARED, HISTOGRAM, BLIND, IPPO, MAPPO, CLASSIC, CHANCE)
PLANNERS: dict[str, dict[str, Any]] = {
    KERNEL: {},
    HISTOGRAM: {"features": "histogram", "rule": "histogram"},
    BLIND: {"centres": 1},
}
"""What each planner changes in its world."""
TEAMS = {IPPO: "ippo", MAPPO: "mappo"}
"""Learners of the world of many agents; MAPPO's critic sees the features of the distribution."""
TASKS = ("aggregation", "vicsek", "kuramoto")
OPEN = "open square"
TURN_BY_HAND, GATHER_BY_HAND = "kernel rule set by hand: turn", "kernel rule set by hand: gather"
SIZES = (10, 30, 100, 500, 1000, 2000)
"""Agents, beside those of the evaluation, that the same plan is carried out with."""
LATE = 20
EVEN_DISTANCE = 0.5214 * 4.0
"""Mean distance of two places drawn evenly from the square of side 4."""


class DecPomfcConfig(StudyConfig):
    """Settings of the Dec-POMFC study."""

    agents: int = Field(50, ge=1, le=2000, description="Agents of a swarm in training")
    tested: int = Field(200, ge=2, le=2000, description="Agents of a swarm in evaluation")
    largest: int = Field(2000, ge=2, le=2000, description="Agents of the largest swarm, the proxy of the limit")
    horizon: int = Field(100, ge=LATE, le=2000, description="Steps of an episode")
    steps: int = Field(50_000, ge=100, description="Swarm steps of training for each seed, the same for all arms")
    swarms: int = Field(4, ge=1, description="Swarms side by side in the planner's training, for each seed")
    team_swarms: int = Field(8, ge=1, description="The same for IPPO and MAPPO")
    learning_rate: float = Field(3e-3, gt=0, description="Of Adam, at the start; all arms")
    discount: float = Field(0.9, ge=0, lt=1, description="Weight of the next step's reward; all arms")
    action_std: float = Field(0.8, gt=0, description="Deviation of upper actions in the planner's training")
    hidden: int = Field(64, ge=1, description="Units of each of the planner's two hidden layers")
    team_hidden: int = Field(32, ge=1, description="The same for IPPO and MAPPO")
    episodes: int = Field(16, ge=1, description="Swarms of each seed in an evaluation")
    whole: bool = Field(True, description="All tasks and arms; otherwise Vicsek with two planners")

    def planner(self) -> dict[str, Any]:
        """Settings of Dec-POMFPPO."""
        own = {"worlds": self.swarms, "minibatches": 8, "action_std": self.action_std}
        return {**self._shared(), **own, "hidden": (self.hidden, self.hidden)}

    def team(self) -> dict[str, Any]:
        """Settings of IPPO and MAPPO."""
        own = {"worlds": self.team_swarms, "minibatches": 4, "action_std": 0.5}
        return {**self._shared(), **own, "hidden": (self.team_hidden, self.team_hidden)}

    def _shared(self) -> dict[str, Any]:
        core = {"rollout": self.horizon, "epochs": 4, "entropy_weight": 0.0}
        return {**core, "learning_rate": self.learning_rate, "discount": self.discount}

    def planned(self, task: str, count: int | None = None, **changes: Any) -> MeanFieldWorld:
        """The mean-field world of a task, of the training's size if no other is given."""
        from shoal.populations.mean_field.worlds import MeanFieldWorld

        return MeanFieldWorld(count=count or self.agents, horizon=self.horizon, **_place(task), **changes)

    def team_world(self, task: str, count: int | None = None) -> SwarmWorld:
        """The same swarm as a world of many agents."""
        from shoal.populations.mean_field.worlds import SwarmWorld

        return SwarmWorld(count=count or self.agents, horizon=self.horizon, **_place(task))

    def sizes(self) -> list[int]:
        """Numbers of agents that the plan is tried with, sorted."""
        return sorted({n for n in SIZES if n <= self.largest} | {self.tested, self.largest})


def _place(task: str) -> dict[str, Any]:
    return {"task": "aggregation", "walls": False} if task == OPEN else {"task": task}


def needs_whole(config: DecPomfcConfig) -> str | None:
    """Why a task beyond the first is left out."""
    return None if config.whole else "left out of this size; use --set whole=true"
