"""A team on a set of problems, beside one agent at the same token budget."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from shoal.errors import BudgetExceeded
from shoal.models.interface import Model
from shoal.runs.budget import Budget, Limits
from shoal.runs.seeds import derive
from shoal.tasks.problem import Problem
from shoal.teams.agent import Agent
from shoal.teams.outcome import Outcome, Team
from shoal.teams.session import Session
from shoal.traces import TraceWriter, Usage

CONCURRENT_QUESTIONS = 64
FAILURE = "failure: "
"""Prefix of the metrics that count failures of one kind."""


@dataclass(slots=True)
class Answered:
    """One problem after a team worked on it.

    Attributes:
        problem: the problem.
        outcome: the team's outcome; its answer is None where the budget ended the work before there was one.
        correct: whether the answer is right.
        usage: what this problem cost.
        messages: messages sent between agents.
        seconds: wall time, waiting for other problems' calls included.
        failures: failed attempts and lost calls by kind.
        stopped: the budget message, where the budget ended the work.
    """

    problem: Problem
    outcome: Outcome
    correct: bool
    usage: Usage
    messages: int
    seconds: float
    failures: Counter[str] = field(default_factory=Counter)
    stopped: str = ""


async def answer_all(
    team: Team,
    agents: Sequence[Agent],
    problems: Sequence[Problem],
    model: Model,
    *,
    trace: TraceWriter,
    seed: int,
    limits: Sequence[Limits] | Limits | None = None,
    purse: Budget | None = None,
    temperature: float = 0.0,
    max_tokens: int = 256,
    label: str = "team",
) -> list[Answered]:
    """Let a team answer every problem, many at a time so that the model can batch.

    Args:
        team: the team function.
        agents: its agents.
        problems: what to answer; the team sees the questions only.
        model: the model of agents without one of their own.
        trace: where events go.
        seed: root of the sampling seeds; each problem gets its own.
        limits: hard budget of each problem: one for all, or one per problem.
        purse: one budget for the whole set instead; when it is spent, the remaining problems stay unanswered.
        temperature: default sampling temperature.
        max_tokens: default longest reply.
        label: name of the system in the trace.
    """
    gate = asyncio.Semaphore(CONCURRENT_QUESTIONS)

    async def one(index: int, problem: Problem) -> Answered:
        limit = limits[index] if isinstance(limits, Sequence) else limits
        session = Session(
            model=model,
            question=problem.question,
            trace=trace,
            budget=purse or Budget(limit),
            seed=derive(seed, problem.question.id),
            temperature=temperature,
            max_tokens=max_tokens,
        )
        async with gate:
            return await answer_one(team, agents, problem, session, label)

    return list(await asyncio.gather(*(one(i, p) for i, p in enumerate(problems))))


async def answer_one(team: Team, agents: Sequence[Agent], problem: Problem, session: Session, label: str) -> Answered:
    """Let a team answer one problem; the trace gets a ``task.start`` and a ``task.end`` event."""
    started = time.perf_counter()
    start = session.trace.write("task.start", label, {"question": problem.question.id, "text": problem.question.text})
    stopped = ""
    try:
        outcome = await team(problem.question, agents, session)
    except BudgetExceeded as error:
        outcome, stopped = Outcome(None), str(error)
    correct = problem.check(outcome.answer)
    parents = [event for event in (start, outcome.event) if event]
    session.trace.write(
        "task.end", label, {"answer": outcome.answer, "correct": correct, "stopped": stopped}, parents, None
    )
    seconds = time.perf_counter() - started
    return Answered(
        problem, outcome, correct, session.usage, session.messages, seconds, session.failures, stopped
    )  # fmt: skip


def measurements(answers: Sequence[Answered]) -> Mapping[str, list[float]]:
    """Per-problem metrics: accuracy, tokens, calls, messages, seconds, money, unanswered, failures by kind."""
    kinds = sorted({kind for a in answers for kind in a.failures})
    return {
        "accuracy": [float(a.correct) for a in answers],
        "tokens": [float(a.usage.tokens) for a in answers],
        "calls": [float(a.usage.calls) for a in answers],
        "messages": [float(a.messages) for a in answers],
        "rounds": [float(a.outcome.rounds) for a in answers],
        "seconds": [a.seconds for a in answers],
        "money": [a.usage.money for a in answers],
        "unanswered": [float(a.outcome.answer is None) for a in answers],
        "failures": [float(sum(a.failures.values())) for a in answers],
        **{f"{FAILURE}{kind}": [float(a.failures[kind]) for a in answers] for kind in kinds},
    }
