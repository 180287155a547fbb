"""Counterfactual replay and credit: exact prefixes, known effects, Shapley's axioms."""

from __future__ import annotations

from pathlib import Path

import pytest

from shoal.diagnosis.credit import Silence, credit
from shoal.diagnosis.recording import Recording
from shoal.diagnosis.replay import Case, Change, replay
from shoal.errors import InputError, UnknownName
from shoal.models.recorded import Replay
from shoal.models.scripted import ScriptedModel
from shoal.tasks import answer_key
from shoal.tasks.catalogue import open_task
from shoal.teams.catalogue import open_team
from shoal.teams.session import Session
from shoal.traces import TraceWriter, read_trace

PROBLEM = open_task("sums").problems(1, seed=1)[0]
WRONG = str(int(PROBLEM.answer) + 3)


def case(team: str = "debate:agents=3,rounds=1,agreement=null", sycophancy: float = 0.7, **competence: float) -> Case:
    plan = open_team(team)
    skills = {"agent-1": 1.0, "agent-2": 0.0, "agent-3": 0.0, **{k.replace("_", "-"): v for k, v in competence.items()}}
    model = ScriptedModel(answer_key([PROBLEM]), competence=skills, sycophancy=sycophancy, mode="belief", lure=1.0)
    return Case(plan.run, PROBLEM.question, plan.agents, model, lambda o: float(PROBLEM.check(o.answer)), seed=3)


async def test_a_right_reply_in_the_place_of_a_wrong_one_rescues_the_team() -> None:
    effect = await replay(case(), Change("agent-2", reply=f"I see it.\nAnswer: {PROBLEM.answer}"), samples=20)
    assert effect.departed == 0
    assert effect.prefix == 1
    assert effect.difference.low > 0
    assert effect.changed.value > effect.unchanged.value
    assert sum(effect.answers.values()) == 20


async def test_no_change_has_no_effect_and_prefixes_are_exact() -> None:
    whole = case()
    calls = await whole.recorded()
    for agent, turn in (("agent-2", 0), ("agent-1", 1), ("agent-3", 1)):
        own = [c for c in calls if c.agent == agent][turn]
        effect = await replay(whole, Change(agent, turn, reply=str(own.payload["text"])), samples=6)
        assert effect.departed == 0
        assert (effect.difference.low, effect.difference.high) == (0.0, 0.0)
        assert effect.prefix == calls.index(own)


async def test_seats_and_edges_can_be_changed() -> None:
    whole = case(sycophancy=1.0)
    silent = await replay(whole, Change("agent-1", model=Silence()), samples=8)
    assert silent.changed.value == 0.0  # the only agent that knew has nothing to say
    alone = case("chain:agents=2", sycophancy=1.0, agent_2=0.0)
    cut = await replay(alone, Change("agent-1", without="agent-2"), samples=8)
    assert cut.unchanged.value == 1.0  # the second takes over what the first hands on
    assert cut.difference.value == -1.0
    late = await replay(alone, Change("agent-1", 0, model=Silence()), samples=4)
    assert late.difference.value == -1.0


async def test_recorded_runs_replay_and_say_what_they_cannot_answer(tmp_path: Path) -> None:
    path, whole = tmp_path / "events.jsonl", case()
    with TraceWriter(path, "run") as trace:
        session = Session(whole.model, PROBLEM.question, trace=trace, seed=whole.seed)
        await whole.run(PROBLEM.question, whole.agents, session)
    recorded = Case(
        whole.run, PROBLEM.question, whole.agents, whole.model, whole.score, read_trace(path), seed=whole.seed
    )
    effect = await replay(recorded, Change("agent-2", reply=f"Answer: {PROBLEM.answer}"), samples=5)
    assert effect.departed == 0
    only_log = Case(
        whole.run, PROBLEM.question, whole.agents, Replay(path), whole.score, read_trace(path), seed=whole.seed
    )
    effect = await replay(only_log, Change("agent-2", reply="Something never said.\nAnswer: 1"), samples=1)
    assert effect.failures["not recorded"] > 0


async def test_another_question_than_recorded_is_noticed() -> None:
    one, other = case(), case()
    record = await one.recorded()
    for event in record:
        event.payload["prompt"] = [{"role": "user", "content": "something else"}]
    other.record = one.record
    effect = await replay(other, Change("agent-3", 1, reply="Answer: 1"), samples=2)
    assert effect.departed == effect.prefix == 5, "every call before the changed one was asked something else"


async def test_impossible_changes_are_refused() -> None:
    with pytest.raises(InputError, match="exactly one"):
        Change("agent-1")
    with pytest.raises(InputError, match="exactly one"):
        Change("agent-1", reply="x", without="agent-2")
    with pytest.raises(UnknownName, match="agent-1"):
        await replay(case(), Change("agent-9", reply="x"))
    with pytest.raises(UnknownName, match="cut off"):
        await replay(case(), Change("agent-1", without="agent-9"))
    with pytest.raises(InputError, match="turn"):
        await replay(case(), Change("agent-1", 7, reply="x"))
    with pytest.raises(InputError, match="samples"):
        await replay(case(), Change("agent-1", reply="x"), samples=0)


# Credit


async def test_the_agent_that_knows_earns_the_credit() -> None:
    found = await credit(case(sycophancy=0.0), samples=3)
    by_name = {c.agent: c for c in found}
    assert by_name["agent-1"].alone.value == 1.0
    assert by_name["agent-1"].shapley.value == max(c.shapley.value for c in found)
    whole = sum(c.shapley.value for c in found)
    session = Session(case(sycophancy=0.0).model, PROBLEM.question, trace=Recording("run"))
    outcome = await open_team("debate:agents=3,rounds=1,agreement=null").run(PROBLEM.question, case().agents, session)
    assert whole == pytest.approx(float(PROBLEM.check(outcome.answer)))


async def test_large_teams_are_sampled_and_still_add_up() -> None:
    whole = case("vote:agents=10", **{f"agent_{i}": 1.0 for i in range(1, 11)})
    found = await credit(whole, samples=1, orders=4)
    assert sum(c.shapley.value for c in found) == pytest.approx(1.0)
