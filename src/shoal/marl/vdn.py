"""VDN: the team's value is the sum of its agents' values (Sunehag et al. 2017, arXiv 1706.05296).

The team's reward is the mean of the agents' rewards: the reward itself where all get the same.

Departures from the paper: no dueling heads, no communication between agents' networks.
"""

from __future__ import annotations

from typing import Any

from jaxtyping import PRNGKeyArray

from shoal.marl.learner import learner
from shoal.marl.mixers import Sum
from shoal.marl.values import ValueLearner, ValueSettings
from shoal.worlds import World


class VDNSettings(ValueSettings):
    """Nothing of its own."""


@learner("vdn")
class VDN(ValueLearner[VDNSettings]):
    """Value decomposition."""

    schema = VDNSettings

    def mixer(self, key: PRNGKeyArray, world: World[Any]) -> Sum:
        """The sum."""
        return Sum()
