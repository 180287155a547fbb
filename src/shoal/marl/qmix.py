"""QMIX: the team's value is a monotone function of its agents' values (Rashid et al. 2018, arXiv 1803.11485).

The function is a small network whose weights are made from the global state while training; acting needs each agent's
own values only. The team's reward is the mean of the agents' rewards: the reward itself where all get the same.

Departures from the paper: see ``values`` (steps or chunks instead of whole episodes, Adam, soft targets); agents are
not told their last action.
"""

from __future__ import annotations

from typing import Any

from jaxtyping import PRNGKeyArray
from pydantic import Field

from shoal.marl.learner import learner
from shoal.marl.mixers import Monotone, monotone
from shoal.marl.players import central_size
from shoal.marl.values import ValueLearner, ValueSettings
from shoal.worlds import World


class QMIXSettings(ValueSettings):
    """Settings of QMIX."""

    embed: int = Field(32, ge=1, description="Width of the mixing network's hidden layer.")


@learner("qmix")
class QMIX(ValueLearner[QMIXSettings]):
    """Monotone value factorisation."""

    schema = QMIXSettings

    @property
    def central(self) -> bool:
        """The mixer reads the global state."""
        return True

    def mixer(self, key: PRNGKeyArray, world: World[Any]) -> Monotone:
        """A monotone network made from the global state."""
        return monotone(key, world.agent_count, central_size(world), self.settings.embed)
