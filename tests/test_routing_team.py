"""The team that routes: votes, rewards, chains, and live runs with their budgets and failures."""

from __future__ import annotations

import numpy as np
import pytest

from shoal.errors import InputError
from shoal.models.scripted import ScriptedModel
from shoal.runs.budget import Budget, Limits
from shoal.tasks.catalogue import open_task
from shoal.tasks.problem import Problem, Question, answer_key
from shoal.teams.agent import Agent
from shoal.teams.routing.chains import (
    Chain,
    agreement_reward,
    cost_aware_reward,
    direct_chains,
    plan_chains,
    step_reward,
    vote_over_chains,
    vote_within,
)
from shoal.teams.routing.linucb import Radius
from shoal.teams.routing.pool import Reward
from shoal.teams.routing.router import RouterSettings
from shoal.teams.routing.team import SymphonyTeam, team_facts
from shoal.teams.session import Session
from shoal.traces import TraceWriter, read_trace


def test_votes() -> None:
    q = Question("q", "?", "number")
    assert vote_within(q, ["7", None, "7.0", "8"]) == "7"
    assert vote_within(q, ["8", "7"]) == "8"
    assert vote_within(q, [None]) is None
    assert vote_over_chains(["a", "b", "b"], [1.0, 0.6, 0.3]) == ("a", {"a": 1.0, "b": pytest.approx(0.9)})
    assert vote_over_chains(["a", "b", "a"], [0.2, 0.5, 0.3])[0] == "b"  # equal sums: the heaviest single chain
    assert vote_over_chains(["b", "a"], [0.5, 0.5])[0] == "b"  # equal in all: the first
    assert vote_over_chains(["a", "b", "b"], [0.3, 0.1, 0.2])[0] == "a"  # 0.1 + 0.2 is 0.3 for a vote
    assert vote_over_chains([None, None], [1.0, 1.0]) == (None, {})


def test_reward_formulas() -> None:
    assert step_reward(True, 0.25) == pytest.approx(0.9)
    assert step_reward(False, 0.25) == 0.0
    assert agreement_reward(True, 1.0) == pytest.approx(0.3)
    assert agreement_reward(False, 0.0) == 0.0
    assert cost_aware_reward(True, 0.5, 1.0) == pytest.approx(1 - 0.15 - 0.05)
    shaped = Reward(0.3, 0.05).of(np.array([True]), np.array([0.5]), np.array([9000.0]))
    assert shaped == pytest.approx(0.8)


def test_chains_refuse_nonsense() -> None:
    assert [c.weight for c in direct_chains(3)] == [1.0, 0.9, 0.8]
    for make in (lambda: Chain(()), lambda: Chain(("x",), 0.0), lambda: direct_chains(0)):
        with pytest.raises(InputError):
            make()


def problems_and_model(count: int, competence: object, **options: object) -> tuple[list[Problem], ScriptedModel]:
    problems = list(open_task("sums").problems(count, 4))
    return problems, ScriptedModel(answer_key(problems), seed=1, competence=competence, **options)  # type: ignore[arg-type]


def team_of(count: int, **options: object) -> SymphonyTeam:
    return SymphonyTeam([Agent(f"w{i}") for i in range(count)], **options)  # type: ignore[arg-type]


async def test_team_learns_whom_to_ask(tmp_path: object) -> None:
    problems, model = problems_and_model(60, {"w0": 0.1, "w1": 0.95, "w2": 0.2})
    team = team_of(3, chains=1, settings=RouterSettings(samples=1, identity=True, radius=Radius(scale=0.2)))
    path = tmp_path / "trace.jsonl"  # type: ignore[operator]
    asked: list[str] = []
    with TraceWriter(path, "run") as trace:
        for i, p in enumerate(problems):
            phase = "cold" if i < 6 else "learn" if i < 45 else "test"
            session = Session(model=model, question=p.question, trace=trace)
            outcome = await team(p.question, session, phase=phase)  # type: ignore[arg-type]
            before = team.router.selector.updates
            updates = team.feedback(p.question, session, p.check)
            assert updates == (0 if phase == "test" else 1)
            assert team.router.selector.updates == before + updates
            assert outcome.event
    events = list(read_trace(path).events)
    routes = [e for e in events if e.kind == "decision" and e.payload["decision"] == "route"]
    asked = [e.payload["agents"][0] for e in routes]
    assert asked[:6] == ["w0", "w1", "w2"] * 2
    assert asked[45:].count("w1") >= 13
    beacons = [e for e in events if "beacon" in e.payload]
    assert len(beacons) == 3 * 60
    assert set(beacons[0].payload["beacon"]) == {"agent", "score", "available", "features"}
    assert {e.id for e in beacons[:3]} == set(routes[0].parents)
    assert sum(e.kind == "reward" for e in events) == 45
    facts = team_facts(team)
    assert facts["updates"] == 45 and set(facts["reputation"]) == {"w0", "w1", "w2"}


async def test_chains_vote_and_agreement_is_rewarded() -> None:
    problems, model = problems_and_model(1, {"w0": 1.0, "w1": 1.0, "w2": 0.0, "w3": 1.0})
    question = problems[0].question
    team = team_of(4, chains=3, settings=RouterSettings(samples=1, screened=4, radius=Radius(scale=0)))
    session = Session(model=model, question=question)
    outcome = await team(question, session)
    assert problems[0].check(outcome.answer)
    assert session.usage.calls == 3
    assert session.messages == 3 * (4 + 4)
    assert sum(outcome.votes.values()) == pytest.approx(2.7)
    assert team.feedback(question, session) == 3
    assert team.feedback(question, session) == 0  # feedback is given once
    bucket = f"sums|{question.tags['difficulty']}"
    # Two pseudo-observations of 0.5 and one of 1 or 0: w2 lost the vote, w3 was not asked.
    assert [team.router.priors.get(f"w{i}", bucket) for i in range(4)] == pytest.approx([2 / 3, 2 / 3, 1 / 3, 0.5])


async def test_steps_of_a_chain_follow_each_other() -> None:
    problems, model = problems_and_model(1, 1.0)
    question = problems[0].question
    team = team_of(3, settings=RouterSettings(samples=2))
    session = Session(model=model, question=question)
    seen: list[str] = []
    original = session.ask

    async def spy(agent: Agent, prompt: str, **options: object) -> object:
        seen.append(prompt)
        return await original(agent, prompt, **options)  # type: ignore[arg-type]

    session.ask = spy  # type: ignore[method-assign, assignment]
    outcome = await team(question, session, chains=[Chain(("Restate the task.", "Give the result."))])
    assert problems[0].check(outcome.answer)
    assert len(seen) == 4
    assert all("Restate" in p and "Answer" not in p for p in seen[:2])
    assert all("Result of the step before" in p for p in seen[2:])
    assert team.feedback(question, session, problems[0].check) == 4


async def test_nobody_available_is_a_failed_step() -> None:
    problems, model = problems_and_model(1, 1.0)
    team = team_of(2, chains=2)
    for state in team.router.states:
        state.reachable = False
    session = Session(model=model, question=problems[0].question)
    outcome = await team(problems[0].question, session)
    assert outcome.answer is None
    assert session.failures["no agent available"] == 2
    assert session.usage.calls == 0
    assert team.feedback(problems[0].question, session) == 0


async def test_budget_ends_the_team_cleanly() -> None:
    problems, model = problems_and_model(1, 1.0)
    team = team_of(3, chains=3, settings=RouterSettings(samples=1))
    session = Session(model=model, question=problems[0].question, budget=Budget(Limits(calls=1)))
    outcome = await team(problems[0].question, session)
    assert problems[0].check(outcome.answer)
    assert session.failures["budget"] == 2
    assert team.feedback(problems[0].question, session) == 1
    spent = Session(model=model, question=problems[0].question, budget=Budget(Limits(calls=1)))
    planned = team_of(3, planners=[Agent("p0"), Agent("p1")])
    assert (await planned(problems[0].question, spent)).answer is None
    assert spent.failures["budget"] == 3


async def test_unreadable_replies_are_asked_for_once_more() -> None:
    problems, model = problems_and_model(1, 1.0, format_failures=1.0)
    team = team_of(2, chains=1, settings=RouterSettings(samples=1))
    session = Session(model=model, question=problems[0].question)
    outcome = await team(problems[0].question, session)
    assert outcome.answer is None
    assert session.usage.calls == 2
    assert session.failures["no answer"] == 1


async def test_planners_that_write_no_plan_fall_back() -> None:
    problems, model = problems_and_model(1, 1.0)
    session = Session(model=model, question=problems[0].question)
    chains = await plan_chains(problems[0].question, [Agent("p0"), Agent("p1")], session)
    assert len(chains) == 2
    for chain in chains:
        assert 1 <= len(chain.steps) <= 4 and 0 < chain.weight <= 1
    assert session.failures["no plan"] == sum(c == Chain(("Solve the task.",), 0.1) for c in chains)
    team = team_of(2, planners=[Agent("p0")], settings=RouterSettings(samples=1))
    assert (await team(problems[0].question, session)).answer is not None


async def test_team_refuses_nonsense() -> None:
    problems, model = problems_and_model(1, 1.0)
    with pytest.raises(InputError, match="capabilities"):
        team_of(2, capabilities=["one"])
    with pytest.raises(InputError, match="phase"):
        await team_of(1)(problems[0].question, Session(model=model), phase="warm")  # type: ignore[arg-type]
