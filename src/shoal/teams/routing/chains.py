"""Chains of sub-tasks: planning them, voting within and over them, and what their steps earned.

Symphony-Coord (arXiv 2602.00966), steps 1 and 5 to 7. K planners propose a chain each, every chain is executed, and the
rewards are known only after the vote.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from pydantic import BaseModel, Field

from shoal.errors import InputError
from shoal.tasks.answers import canonical
from shoal.tasks.problem import Question
from shoal.teams.agent import Agent
from shoal.teams.routing.beacon import Bid, SubTask
from shoal.teams.session import Session

LONGEST_CHAIN = 4


@dataclass(frozen=True, slots=True)
class Chain:
    """A plan: the requirements of its sub-tasks in order, and its weight in the vote, in (0, 1]."""

    steps: tuple[str, ...]
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not self.steps:
            raise InputError("chain", self.steps, "Give a chain at least one step.")
        if not 0 < self.weight <= 1:
            raise InputError("chain weight", self.weight, "Give a weight above 0 and at most 1.")


@dataclass(slots=True)
class StepRecord:
    """One executed step, kept until its feedback comes.

    Attributes:
        task: the sub-task.
        bids: the agents that were asked, with the features they were chosen by.
        worked: per agent, whether it gave a reply of the right form.
        answers: per agent, its own final answer in canonical form; empty for steps that are not the last.
        latency_ms: per agent.
        event: id of the decision in the trace.
    """

    task: SubTask
    bids: list[Bid] = field(default_factory=list)
    worked: list[bool] = field(default_factory=list)
    answers: list[str | None] = field(default_factory=list)
    latency_ms: list[float] = field(default_factory=list)
    event: str = ""


@dataclass(slots=True)
class ChainRun:
    """One executed chain: its answer in canonical form (None if it failed), its steps, and why it failed."""

    chain: Chain
    answer: str | None = None
    text: str = ""
    steps: list[StepRecord] = field(default_factory=list)
    failed: str = ""


class ProposedChain(BaseModel):
    """What a planner writes."""

    steps: list[str] = Field(min_length=1, max_length=LONGEST_CHAIN, description="sub-tasks in order, in a few words")
    weight: float = Field(default=1.0, gt=0, le=1, description="how sure you are that this plan works")


def direct_chains(count: int, step: str = "Solve the task.") -> list[Chain]:
    """``count`` one-step chains of weights 1, 0.9, 0.8, ...: for tasks that need no decomposition.

    Any two of the first three outvote the third, and no two are equal, so that ties are rare.

    Raises:
        InputError: a count outside 1 to 10.
    """
    if not 1 <= count <= 10:
        raise InputError("planners", count, "Give a number from 1 to 10.")
    return [Chain((step,), round(1.0 - 0.1 * k, 3)) for k in range(count)]


async def plan_chains(question: Question, planners: Sequence[Agent], session: Session) -> list[Chain]:
    """One chain from each planner, asked at the same time.

    A plan that cannot be read becomes the direct chain at the lowest weight, and is counted under
    ``session.failures["no plan"]``.
    """
    prompt = (
        f"Task:\n{question.text}\n\nDo not solve it. Split it into one to {LONGEST_CHAIN} steps that other agents will "
        'carry out in order. Reply with JSON: {"steps": ["...", "..."], "weight": 0.9}'
    )
    replies = await session.gather(*(session.ask_for(agent, prompt, ProposedChain) for agent in planners))
    chains = []
    for planner, structured in zip(planners, replies, strict=True):
        plan = structured.value
        steps = tuple(s.strip() for s in plan.steps if s.strip()) if plan else ()
        if plan is None or not steps:
            session.failures["no plan"] += 1
            chain = Chain(("Solve the task.",), 0.1)
        else:
            chain = Chain(steps, plan.weight)
        session.decide(planner.name, "plan", [structured.reply.event], steps=list(chain.steps), weight=chain.weight)
        chains.append(chain)
    return chains


def vote_within(question: Question, answers: Sequence[str | None]) -> str | None:
    """The majority of a step's extracted answers in canonical form; the first among equals; None if there is none."""
    counts: dict[str, int] = {}
    for answer in answers:
        if answer is not None:
            key = canonical(question, answer)
            counts[key] = counts.get(key, 0) + 1
    return max(counts, key=lambda key: counts[key]) if counts else None


def vote_over_chains(answers: Sequence[str | None], weights: Sequence[float]) -> tuple[str | None, dict[str, float]]:
    """The answer with the highest sum of chain weights, and all sums.

    Among equal sums the one with the heaviest single chain wins, then the first. Chains without an answer do not vote.
    """
    score: dict[str, float] = {}
    heaviest: dict[str, float] = {}
    for answer, weight in zip(answers, weights, strict=True):
        if answer is None or math.isnan(weight):
            continue
        score[answer] = score.get(answer, 0.0) + weight
        heaviest[answer] = max(heaviest.get(answer, 0.0), weight)
    # Sums that differ by rounding alone are equal.
    best = max(score, key=lambda key: (round(score[key], 9), heaviest[key])) if score else None
    return best, score


def step_reward(worked: bool, latency_norm: float, weight: float = 0.2) -> float:
    """A warm-up call's worth: 1 if it worked and is well-formed, minus weight*sqrt(latency_norm); never below 0."""
    return max(0.0, 1.0 - weight * math.sqrt(latency_norm)) if worked else 0.0


def agreement_reward(won: bool, latency_norm: float, bonus: float = 0.5, weight: float = 0.2) -> float:
    """The winner bonus minus weight*sqrt(latency_norm), in one update: two would count the same evidence twice."""
    return bonus * won - weight * math.sqrt(latency_norm)


def cost_aware_reward(
    correct: bool, cost_norm: float, latency_norm: float, cost_weight: float = 0.3, latency_weight: float = 0.05
) -> float:
    """1[correct] - 0.3*cost_norm - 0.05*latency_norm."""
    return float(correct) - cost_weight * cost_norm - latency_weight * latency_norm
