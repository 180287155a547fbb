"""M-GRPO: a main agent and a sub-agent that it calls as often as it likes, each with its own group (arXiv 2511.13288).

Each role's advantages are taken in its own group: the main agent's over the K rollouts of a question, the sub-agent's
over exactly K*d of its trajectories, copied or dropped at random so that every rollout has d of them. The sub-agent's
reward mixes its own form, the team's outcome and a judge's view of the subtask.

Departures: rollouts in which the sub-agent was never called have nothing to copy and are left out of its group; ratios
are per token, as in the released code (``ratio="sequence"`` is the paper's formula). Copies are an option beside their
expectation, weights d/d_k without the noise of drawing. ``queue`` is what the released code does instead of alignment:
groups of K*d calls in the order in which they came, whatever the question. The queue is emptied in each update (what is
left makes a smaller group), so that no call in it is older than one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from shoal.models.tools import is_well_formed
from shoal.posttrain.advantages import Mode, agent_advantages, aligned_rows
from shoal.posttrain.method import Batch, Method, MethodSettings, method
from shoal.posttrain.policies import Policy
from shoal.posttrain.rollouts import Rollout, Turn

Floats = NDArray[np.float64]
Judge = Callable[[Rollout, Turn], float]
"""A judge's view of one call of the sub-agent, from 0 to 1."""


class MGrpoSettings(MethodSettings):
    """Settings of M-GRPO."""

    main: str = Field("", description="Name of the main agent; the team's first if empty.")
    advantage: Mode = Field("agent", description="Every role in its own group.")
    calls: int = Field(8, ge=1, le=256, description="d, calls of the sub-agent counted in each rollout.")
    align: Literal["copies", "weights", "queue", "none"] = Field(
        "copies", description="How rollouts come to d calls each; queue and none leave them as they are."
    )
    main_form: float = Field(0.1, ge=0, le=1, description="a1, weight of form in the main agent's reward.")
    sub_form: float = Field(0.1, ge=0, le=1, description="b1, weight of form in the sub-agent's reward.")
    sub_outcome: float = Field(0.4, ge=0, le=1, description="b2, weight of the team's outcome in it.")
    sub_expert: float = Field(0.5, ge=0, le=1, description="b3, weight of the judge in it.")
    clip_high: float = Field(0.28, gt=0, le=10, description="How far a ratio may rise above 1.")


def main_reward(formed: Floats, right: Floats, form_weight: float = 0.1) -> Floats:
    """R_M = a1 form + a2 right if the whole trajectory is well-formed, else 0; a1 + a2 = 1."""
    return formed * (form_weight * formed + (1 - form_weight) * right)


def sub_reward(formed: Floats, right: Floats, expert: Floats, weights: tuple[float, float, float]) -> Floats:
    """R_S = b1 form + b2 outcome of the team + b3 judge's view if this subtask is well-formed, else 0."""
    form_weight, outcome_weight, expert_weight = weights
    return formed * (form_weight * formed + outcome_weight * right + expert_weight * expert)


def formed(turn: Turn) -> bool:
    """Whether a call is well-formed: it ended by itself and, with tools, is calls with their results and a result."""
    return turn.ended and (not turn.tools or is_well_formed(turn.text, turn.tools))


@method("m-grpo")
class MGrpo(Method):
    """A main agent and the sub-agent it calls, each with its own aligned group (M-GRPO, arXiv 2511.13288).

    Attributes:
        judge: rates each call of the sub-agent; without one its weight goes to the team's outcome.
    """

    schema = MGrpoSettings
    judge: Judge | None = None
    _first = ""

    def prepare(self, policies: Mapping[str, Policy]) -> None:
        """Main is the first of the trained agents, unless it is named."""
        self._first = next(iter(policies))

    def rewards(self, rollout: Rollout) -> Floats:
        """By form, outcome and judge; a main trajectory is formed if all its calls are and there is an answer."""
        s, main = self.settings, self._main(rollout.turns)
        form = np.array([float(formed(turn)) for turn in rollout.turns])
        own = np.array([turn.agent == main for turn in rollout.turns], bool)
        right = np.full(form.size, rollout.reward)
        answered = rollout.answer is not None or not any(turn.tools for turn in rollout.turns if turn.agent == main)
        whole = np.full(form.size, float(answered and form[own].all()))
        if self.judge is None:
            expert = right
        else:
            rows = zip(rollout.turns, own, strict=True)
            expert = np.array([0.0 if mine else self.judge(rollout, turn) for turn, mine in rows], float)
        weights = (s.sub_form, s.sub_outcome, s.sub_expert)
        return np.where(own, main_reward(whole, right, s.main_form), sub_reward(form, right, expert, weights))

    def advantages(self, batch: Batch, rng: np.random.Generator) -> Floats:
        """Each role in its own group; the sub-agent's group is aligned."""
        counted = self._counts(batch, rng)
        return agent_advantages(
            batch.rewards, task=self._groups(batch, rng), trajectory=batch.trajectories, agent=batch.agents,
            mode=self.settings.advantage, weights=counted,
        )  # fmt: skip

    def weights(self, batch: Batch) -> Floats:
        """As often as a call was counted in its group."""
        return self._counted

    def after(self, batch: Batch, rng: np.random.Generator) -> dict[str, float]:
        """Share of well-formed calls, calls of sub in a rollout, and the share of tokens that tools gave."""
        if not batch.turns:
            return {}
        tokens = sum(len(turn.tokens) for turn in batch.turns)
        return {
            "formed": float(np.mean([formed(turn) for turn in batch.turns])),
            "calls": self._sub(batch).size / len(batch.rollouts),
            "given": 1 - sum(turn.written for turn in batch.turns) / max(1, tokens),
        }

    def _counts(self, batch: Batch, rng: np.random.Generator) -> Floats:
        """How often each call counts: once for main; d shared by the calls of a rollout, or as copies fell, for sub."""
        s, counted, sub = self.settings, np.ones(len(batch.turns)), self._sub(batch)
        if s.align in ("copies", "weights") and sub.size:
            rollout = batch.rollout[sub]
            if s.align == "weights":
                counted[sub] = s.calls / np.bincount(rollout)[rollout]
            else:
                counted[sub] = np.bincount(aligned_rows(rollout, s.calls, rng), minlength=sub.size)
        self._counted = counted
        return counted

    def _groups(self, batch: Batch, rng: np.random.Generator) -> list[Any]:
        """What each call is compared within: its question; calls of sub in a queue come in any order and are cut up."""
        groups: list[Any] = list(batch.tasks)
        if self.settings.align == "queue":
            for place, row in enumerate(rng.permutation(self._sub(batch))):
                groups[row] = place // (self.settings.group * self.settings.calls)
        return groups

    def _sub(self, batch: Batch) -> NDArray[np.int64]:
        """Rows of all agents but main."""
        main = self._main(batch.turns)
        return np.flatnonzero([name != main for name in batch.agents])

    def _main(self, turns: Sequence[Turn]) -> str:
        return str(self.settings.main or self._first or (turns[0].agent if turns else ""))
