"""IQL: every agent learns the values of its own actions for itself (Tan 1993; Tampuu et al. 2015, arXiv 1511.08779).

To each agent the others are part of the world; parameters are shared by default, and the agent's number is an input.
"""

from __future__ import annotations

from pydantic import Field

from shoal.marl.learner import learner
from shoal.marl.values import ValueLearner, ValueSettings


class IQLSettings(ValueSettings):
    """Settings of IQL."""

    team: bool = Field(False, description="Agents learn from the mean reward of all of them instead of their own.")


@learner("iql")
class IQL(ValueLearner[IQLSettings]):
    """Independent Q-learning."""

    schema = IQLSettings

    @property
    def team_reward(self) -> bool:
        """By the settings."""
        return self.settings.team
