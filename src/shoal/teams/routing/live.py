"""Unequal agents on one model, and a team's way through the phases cold, learn and test with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError, UnknownName
from shoal.models.interface import Embedder
from shoal.tasks.problem import Problem, Question
from shoal.teams.agent import Agent
from shoal.teams.routing.router import ChanceRouter, Phase, RouterSettings
from shoal.teams.routing.team import SymphonyTeam
from shoal.teams.session import Session


@dataclass(frozen=True)
class Specialist:
    """A persona with the few-shot examples that make it better at some tasks than at others."""

    agent: Agent
    capability: str


def specialists() -> list[Specialist]:
    """Five agents on one model: three with examples of one kind of task, one with none, one too warm to be steady."""
    adder = (
        "You add numbers.\n\nWhat is 2 + 5?\nAnswer: 7\n\nWhat is 8 + 3?\nAnswer: 11\n\nWhat is 6 + 6?\nAnswer: 12\n\n"
        "What is 9 + 4?\nAnswer: 13"
    )
    logician = (
        "You judge expressions.\n\nIs this expression True or False? not False\nAnswer: True\n\n"
        "Is this expression True or False? (True and False)\nAnswer: False\n\n"
        "Is this expression True or False? (False or True)\nAnswer: True\n\n"
        "Is this expression True or False? (False or False)\nAnswer: False"
    )
    clerk = (
        "You look numbers up in lists.\n\nHere is a list of words and numbers.\ncart: 17\nlamp: 640\nrope: 93\n"
        "What is the number of lamp?\nAnswer: 640\n\nHere is a list of words and numbers.\nsock: 208\ntent: 31\n"
        "What is the number of tent?\nAnswer: 31"
    )
    poet = "You are a dreamy poet. You like long answers."
    return [
        Specialist(Agent("adder", adder, temperature=0.0), "What is the sum of two numbers? Adds numbers."),
        Specialist(Agent("logician", logician, temperature=0.0), "Is this expression True or False? Judges logic."),
        Specialist(Agent("clerk", clerk, temperature=0.0), "Looks up the number of a word in a list of words."),
        Specialist(Agent("plain", "", temperature=0.0), "Does any task."),
        Specialist(Agent("poet", poet, temperature=1.5), "Writes poems, and does any task."),
    ]


@dataclass(frozen=True)
class Course:
    """Problems of the three phases."""

    cold: Sequence[Problem]
    learn: Sequence[Problem]
    test: Sequence[Problem]


def course(pools: Sequence[Sequence[Problem]], cold: int, learn: int, rng: np.random.Generator) -> Course:
    """Problems of several tasks, shuffled together and dealt to the phases; the rest is the test.

    Raises:
        InputError: too few problems for the first two phases.
    """
    problems = [problem for pool in pools for problem in pool]
    if cold + learn >= len(problems):
        raise InputError("problems", len(problems), f"Give more than the {cold + learn} of the first two phases.")
    order = [problems[i] for i in rng.permutation(len(problems))]
    return Course(order[:cold], order[cold : cold + learn], order[cold + learn :])


@dataclass(frozen=True)
class Tested:
    """A test phase.

    Attributes:
        correct: per problem [n].
        calls: model calls per problem in the test.
        training_calls: model calls in the phases before.
        failures: lost calls and replies without an answer, in the test.
    """

    correct: NDArray[np.bool_]
    calls: float
    training_calls: int
    failures: int


async def serve(
    team: SymphonyTeam,
    problems: Sequence[Problem],
    phase: Phase,
    open_session: Callable[[Question], Session],
    *,
    batch: int,
    truth: bool = True,
) -> tuple[NDArray[np.bool_], int, int]:
    """Serve problems in batches, with the feedback of a batch after its last answer.

    Args:
        team: the team; sees questions only.
        problems: in order.
        phase: cold, learn or test.
        open_session: a session for each question.
        batch: questions in work at once: feedback is that late.
        truth: rewards come from the checker; False leaves the team with its votes.

    Returns:
        Whether each answer was right [n]; model calls; failures.
    """
    right = np.zeros(len(problems), bool)
    calls = failures = 0
    for start in range(0, len(problems), batch):
        part = problems[start : start + batch]
        sessions = [open_session(p.question) for p in part]
        outcomes = await sessions[0].gather(
            *(team(p.question, s, phase=phase) for p, s in zip(part, sessions, strict=True))
        )
        for i, (problem, session, outcome) in enumerate(zip(part, sessions, outcomes, strict=True)):
            right[start + i] = problem.check(outcome.answer)
            team.feedback(problem.question, session, problem.check if truth else None)
            calls += session.usage.calls
            failures += sum(session.failures.values())
    return right, calls, failures


@dataclass(frozen=True)
class Route:
    """A way to route.

    Attributes:
        chains: whether questions get the configured chains and samples, or one call.
        truth: rewards come from the checker; False rewards agreement with the vote.
        reduced: narrow the confidence radius.
        identity: one-hot of the agent among the features.
    """

    chains: bool = False
    truth: bool = True
    reduced: bool = False
    identity: bool = False


ROUTED = {
    "routed": Route(),
    "routed, reduced": Route(reduced=True),
    "routed, reduced, identity": Route(reduced=True, identity=True),
    "routed chains": Route(chains=True),
    "routed chains, agreement": Route(chains=True, truth=False),
}

BASELINES = {"random": (False, True), "round robin": (False, False), "random chains": (True, True)}
"""Name -> (whether with chains; whether by chance or in turn)."""

POOLED = ("vote of all", "strongest in hindsight", "oracle")
"""What is computed from one answer of every agent to every test problem."""

LIVE_POLICIES = (*POOLED, *ROUTED, *BASELINES)


async def run_course(
    name: str,
    course: Course,
    open_session: Callable[[Question], Session],
    rng: np.random.Generator,
    *,
    settings: RouterSettings,
    chains: int = 3,
    batch: int = 8,
    reduced: float = 0.1,
    embedder: Embedder | None = None,
    members: Sequence[Specialist] | None = None,
) -> Tested:
    """One policy through all phases; ``reduced`` narrows the radius of the reduced variants. Raises UnknownName."""
    if name not in LIVE_POLICIES:
        raise UnknownName("policy", name, LIVE_POLICIES)
    people = list(members or specialists())
    if name in POOLED:
        return await _pooled(name, course.test, people, open_session)
    route = ROUTED.get(name, Route())
    with_chains = route.chains if name in ROUTED else BASELINES[name][0]
    radius = replace(settings.radius, scale=settings.radius.scale * (reduced if route.reduced else 1.0))
    settings = replace(settings, radius=radius, identity=route.identity)
    team = SymphonyTeam(
        [s.agent for s in people],
        [s.capability for s in people],
        settings if with_chains else replace(settings, samples=1),
        chains=chains if with_chains else 1,
        embedder=embedder,
    )
    training = 0
    if name in BASELINES:
        team.router = ChanceRouter(team.router.candidates, team.settings, rng if BASELINES[name][1] else None)
    else:
        _, cold, _ = await serve(team, course.cold, "cold", open_session, batch=batch)
        _, learn, _ = await serve(team, course.learn, "learn", open_session, batch=batch, truth=route.truth)
        training = cold + learn
    right, calls, failures = await serve(team, course.test, "test", open_session, batch=max(1, len(course.test)))
    return Tested(right, calls / max(1, right.size), training, failures)


async def answer_matrix(
    problems: Sequence[Problem], members: Sequence[Specialist], open_session: Callable[[Question], Session]
) -> tuple[list[list[str | None]], NDArray[np.bool_], int, int]:
    """Every agent's own answer to every problem: answers and correctness [agents][problems], calls, failures."""
    sessions = [open_session(p.question) for p in problems]
    solo = [SymphonyTeam([s.agent], [s.capability], RouterSettings(samples=1), chains=1) for s in members]
    jobs = [team(p.question, session) for team in solo for p, session in zip(problems, sessions, strict=True)]
    outcomes = await sessions[0].gather(*jobs)
    n = len(problems)
    answers = [[o.answer for o in outcomes[row * n : (row + 1) * n]] for row in range(len(members))]
    correct = np.array([[p.check(a) for p, a in zip(problems, row, strict=True)] for row in answers])
    failures = sum(sum(s.failures.values()) for s in sessions)
    return answers, correct, sum(s.usage.calls for s in sessions), failures


async def _pooled(
    name: str, problems: Sequence[Problem], members: Sequence[Specialist], open_session: Callable[[Question], Session]
) -> Tested:
    answers, correct, calls, failures = await answer_matrix(problems, members, open_session)
    columns = range(len(problems))
    if name == "oracle":
        right = np.asarray(correct.any(axis=0))
    elif name == "strongest in hindsight":
        right = correct[int(correct.mean(axis=1).argmax())]
    else:
        votes = [_plurality([row[i] for row in answers]) for i in columns]
        right = np.array([p.check(v) for p, v in zip(problems, votes, strict=True)])
    per_task = calls / max(1, len(problems))
    return Tested(right, per_task if name == "vote of all" else 1.0, 0, failures)


def _plurality(answers: Sequence[str | None]) -> str | None:
    given = [a for a in answers if a is not None]
    return max(dict.fromkeys(given), key=given.count, default=None)
