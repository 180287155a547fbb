"""The stability index: each dimension against values worked out by hand, alarms, cures, and the study's parts."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from command_line import Shoal
from shoal.diagnosis.stability import dimensions as dim
from shoal.diagnosis.stability.cures import (
    Anchoring,
    Consolidation,
    History,
    PeriodicReset,
    StabilityRouting,
    Turn,
)
from shoal.diagnosis.stability.index import (
    GROUPS,
    WEIGHTS,
    Rule,
    agent_courses,
    alarms,
    compare,
    course,
    first_runs,
    stability_index,
)
from shoal.diagnosis.stability.interactions import NO_ERROR, Interaction, ToolCall, interactions
from shoal.errors import InputError
from shoal.tasks.catalogue import open_task
from shoal.tasks.problem import answer_key
from shoal.teams.agent import make_agents
from shoal.teams.session import Session
from shoal.traces import Event

X, Y = np.array([1.0, 0.0]), np.array([0.0, 1.0])


def turn(**fields: Any) -> Interaction:
    return Interaction(**{"agent": "ann", "task": "sums", **fields})


def constant(agent: str = "ann", task: str = "sums") -> Interaction:
    """An interaction that holds every field; a log of these is as steady as can be."""
    return Interaction(
        agent, task, embedding=X, steps=("plan", "do"), confidence=1.0, correct=True,
        tools=(ToolCall("add", {"to": "1"}),), support=1.0, delegations=1, messages=1, tokens=10, error=NO_ERROR,
        overridden=False,
    )  # fmt: skip


def steady(count: int) -> list[Interaction]:
    return [constant("ann", "sums") if i % 2 else constant("ben", "copies") for i in range(count)]


def test_semantic() -> None:
    baseline = [turn(embedding=X), turn(embedding=X)]
    assert dim.semantic([turn(embedding=X)], baseline) == pytest.approx(1.0)
    assert dim.semantic([turn(embedding=X), turn(embedding=Y)], baseline) == pytest.approx(0.5)
    # The baseline's own pairs have cosines 1, 0 and 0: a third. A window along x has 2/3: more than the own, so 1.
    mixed = [turn(embedding=X), turn(embedding=X), turn(embedding=Y)]
    assert dim.semantic([turn(embedding=X)], mixed) == 1.0
    half = np.array([0.5, math.sqrt(0.75)])
    assert dim.semantic([turn(embedding=half)], baseline) == pytest.approx(0.5)
    assert dim.semantic([turn(embedding=X, task="copies")], baseline) is None  # nothing equivalent
    assert dim.semantic([turn()], baseline) is None


def test_path() -> None:
    baseline = [turn(steps=("a", "b", "c", "d"))] * 3 + [turn(steps=("z",))]
    window = [turn(steps=("a", "b", "c", "d")), turn(steps=("a", "x", "c")), turn(steps=("q",), task="copies")]
    assert dim.path(window, baseline) == pytest.approx((1 + 0.5) / 2)  # one replaced and one lost of four
    assert dim.path([turn()], baseline) is None


def test_calibration() -> None:
    sure = [turn(confidence=1.0, correct=True)] * 4
    assert dim.calibration(sure, []) == 1.0
    assert dim.calibration([turn(confidence=1.0, correct=False)] * 4, []) == pytest.approx(0.0)
    # Stated 0.5 against 1: JSD = H(3/4, 1/4) - (1 + 0) / 2 bits.
    expected = 0.75 * math.log2(4 / 3) + 0.25 * 2 - 0.5
    assert dim.calibration([turn(confidence=0.5, correct=True)] * 2, []) == pytest.approx(1 - expected)
    both = [turn(confidence=0.5, correct=True)] * 2 + [turn(confidence=1.0, correct=True)] * 2
    assert dim.calibration(both, []) == pytest.approx(1 - expected / 2)


def tools(*names: str, **fields: Any) -> Interaction:
    return turn(tools=tuple(ToolCall(n) for n in names), **fields)


def test_tool_choice() -> None:
    one, two = Counter(a=30, b=10), Counter(a=10, b=30)
    # chi2 of [[30, 10], [10, 30]] is 20, so phi2 = 1/4; corrected (1/4 - 1/79) / (1 - 1/79).
    assert dim.cramers_v(one, two) == pytest.approx(math.sqrt((0.25 - 1 / 79) / (1 - 1 / 79)))
    assert dim.cramers_v(one, one) == 0.0
    assert dim.cramers_v(Counter(a=20), Counter(b=20)) == pytest.approx(1.0)
    window = [tools("a")] * 10 + [tools("b")] * 30
    baseline = [tools("a")] * 30 + [tools("b")] * 10
    assert dim.tool_choice(window, baseline) == pytest.approx(1 - dim.cramers_v(one, two))
    assert dim.tool_choice([turn(tools=())], baseline) is None


def test_tool_choice_is_compared_within_the_task() -> None:
    baseline = [tools("a", task="one")] * 30 + [tools("b", task="two")] * 10
    window = [tools("a", task="one")] * 10 + [tools("b", task="two")] * 30
    assert dim.tool_choice(window, baseline) == 1.0


def test_tool_order() -> None:
    baseline = [tools("a", "b")] * 2
    assert dim.tool_order([tools("a", "b"), tools("b", "a"), tools("a")], baseline) == pytest.approx((1 + 0 + 0.5) / 3)
    assert dim.tool_order([turn(tools=())], baseline) is None
    assert dim.tool_order([turn()], baseline) is None


def test_tool_arguments() -> None:
    def called(value: str) -> Interaction:
        return turn(tools=(ToolCall("look", {"at": value}),))

    baseline = [called("x")] * 3 + [called("y")] * 1
    window = [called("x")] * 1 + [called("y")] * 3
    # (1+1)/6 and (3+1)/6 against (3+1)/6 and (1+1)/6: KL = (1/3) ln(1/2) + (2/3) ln 2 = (1/3) ln 2.
    assert dim.tool_arguments(window, baseline) == pytest.approx(2 ** (-1 / 3))
    assert dim.tool_arguments(baseline, baseline) == pytest.approx(1.0)
    free = [called(f"text {i}") for i in range(10)]
    assert dim.tool_arguments(free[5:], free[:5]) == pytest.approx(1.0)  # by their shape
    assert dim.tool_arguments([turn(tools=(ToolCall("other", {"at": "x"}),))], baseline) is None


def test_agreement() -> None:
    baseline = [turn(support=s) for s in (1.0, 2 / 3, 0.5, 1.0)]
    window = [turn(support=s) for s in (1.0, 0.5, 0.6, 0.4)]
    assert dim.agreement(window, baseline) == pytest.approx(0.25 / 0.75)
    assert dim.agreement(baseline, window) == 1.0
    assert dim.agreement(window, [turn(support=0.5)]) is None  # nothing to compare with


def test_hand_off() -> None:
    baseline = [turn(messages=2, delegations=1), turn(messages=2, delegations=1)]
    assert dim.hand_off([turn(messages=8, delegations=2)], baseline) == pytest.approx(0.5)
    assert dim.hand_off([turn(messages=3, delegations=0)], baseline) == 0.0
    assert dim.hand_off([turn(messages=0, delegations=0)], baseline) is None
    assert dim.hand_off([turn()], baseline) is None


def test_roles() -> None:
    apart = [turn(agent="ann", task="a")] * 5 + [turn(agent="ben", task="b")] * 5
    mixed = [turn(agent=x, task=t) for x in ("ann", "ben") for t in ("a", "b")] * 3
    assert dim.roles(apart, apart) == pytest.approx(1.0)
    assert dim.roles(mixed, apart) == pytest.approx(0.0)
    assert dim.roles(apart, mixed) is None  # the baseline knows no roles
    # Three of four go to their specialist: I = ln 2 - H(1/4) nats, over ln 2.
    blurred = [turn(agent=x, task=t) for x, t in (("ann", "a"), ("ben", "b")) for _ in range(3)]
    blurred += [turn(agent="ben", task="a"), turn(agent="ann", task="b")]
    entropy = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert dim.roles(blurred, apart) == pytest.approx((math.log(2) - entropy) / math.log(2))
    rare = apart[:1] + apart[5:] * 4  # another mix of tasks, the same roles
    assert dim.roles(rare, apart) == pytest.approx(1.0)
    assert dim.roles([turn(agent="ann", task="a")] * 4, apart) is None


def test_length() -> None:
    baseline = [turn(tokens=10), turn(tokens=10)]
    assert dim.length([turn(tokens=20), turn(tokens=20)], baseline) == pytest.approx(1 - math.log(2))
    assert dim.length([turn(tokens=5), turn(tokens=15)], baseline) == pytest.approx(0.5)  # CV 1/2, the same mean
    assert dim.length([turn(tokens=100)], baseline) == 0.0
    assert dim.length([turn()], baseline) is None


def test_errors() -> None:
    fine, broken = [turn(error=NO_ERROR)] * 4, [turn(error="timeout")] * 4
    assert dim.errors(fine, fine) == 1.0
    assert dim.errors(broken, fine) == pytest.approx(0.0)
    half = dim.jensen_shannon([0.5, 0.5], [1.0, 0.0])
    assert half == pytest.approx(0.75 * math.log2(4 / 3) + 0.25 * 2 - 0.5)
    assert dim.errors(fine[:2] + broken[:2], fine) == pytest.approx(1 - half)
    assert dim.errors([turn()], fine) is None


def test_overrides() -> None:
    assert dim.overrides([turn(overridden=True), *[turn(overridden=False)] * 3], []) == 0.75
    assert dim.overrides([turn()], []) is None


def test_weights_and_groups() -> None:
    assert sum(WEIGHTS.values()) == pytest.approx(1.0)
    assert set(WEIGHTS) == set(GROUPS)
    assert [d for members in GROUPS.values() for d in members] == list(dim.DIMENSIONS)
    groups = {"consistency": 1.0, "tools": 0.5, "coordination": 0.2, "boundaries": 0.0}
    assert stability_index(groups) == pytest.approx(0.3 + 0.125 + 0.05)
    assert stability_index({**groups, "tools": None}) == pytest.approx((0.3 + 0.05) / 0.75)
    assert stability_index(dict.fromkeys(GROUPS)) is None


def test_a_constant_log_has_index_one() -> None:
    read = course(steady(200))
    assert [r.index for r in read.readings] == pytest.approx([1.0, 1.0])
    assert (read.measured, read.onset, read.drift) == (12, None, None)


def test_what_is_missing_is_left_out_and_never_filled() -> None:
    found = [replace(i, tools=None, support=None, confidence=None) for i in steady(150)]
    (reading,) = course(found).readings
    missing = {name for name, value in reading.dimensions.items() if value is None}
    assert missing == {"C_conf", "T_sel", "T_seq", "T_param", "I_agree"}
    assert reading.measured == 7
    assert reading.groups["tools"] is None
    assert reading.index == pytest.approx(1.0)
    late = [replace(i, overridden=True) for i in found[:50]]
    assert compare(late, found[:100]).index == pytest.approx(1 - 0.2 / 0.75 / 3)
    nothing = course([Interaction("ann")] * 150)
    assert nothing.measured == 0
    assert nothing.readings[0].index is None
    alone = course([constant()] * 150)
    assert alone.readings[0].dimensions["I_role"] is None


def test_small_windows_are_refused() -> None:
    with pytest.raises(InputError, match="20"):
        compare(steady(19), steady(40))
    with pytest.raises(InputError, match="20"):
        Rule(window=19)
    with pytest.raises(InputError):
        Rule(threshold=0.9, onset=0.8)
    assert course(steady(120)).readings == ()
    assert course([]).readings == ()


def test_alarms() -> None:
    rule = Rule()
    assert alarms([0.9, 0.84, 0.74, 0.74, 0.76, 0.74, 0.74, 0.74], rule) == (1, 7)
    assert alarms([0.9, 0.74, None, 0.74, 0.74], rule) == (1, None)
    assert alarms([], rule) == (None, None)
    low = np.array([[1, 1, 0, 1, 1, 1], [0, 0, 1, 1, 0, 0]], bool)
    assert first_runs(low, 3).tolist() == [5, -1]
    assert first_runs(low, 1).tolist() == [0, 2]
    assert first_runs(low[:, :2], 3).tolist() == [-1, -1]


def test_each_agent_has_a_course_of_its_own() -> None:
    found = steady(300)
    for i in range(200, 300):
        if found[i].agent == "ann":
            found[i] = replace(found[i], embedding=Y, overridden=True, error="timeout")
    courses = agent_courses(found)
    assert set(courses) == {"ann", "ben"}
    assert courses["ben"].readings[-1].index == pytest.approx(1.0)
    assert courses["ann"].readings[-1].index < 0.8
    assert courses["ann"].weakest == "boundaries"


def test_cures_of_live_teams() -> None:
    anchoring = Anchoring()
    assert [anchoring.count(x) for x in (1.0, 0.99, 0.95, 0.9, 0.75, 0.2)] == [0, 1, 1, 2, 5, 5]
    turns = [Turn(f"q{i}", f"a{i}") for i in range(3)]
    assert anchoring.text(0.9, turns).count("Example") == 2
    assert anchoring.text(0.1, turns).count("Example") == 3
    assert anchoring.text(1.0, turns) == ""
    routing = StabilityRouting()
    assert routing.choose({"ann": 1.0, "ben": 0.8}, {"ann": 0.7}) == "ben"
    assert routing.choose({"ann": 1.0, "ben": 0.8}, {"ann": 0.9}) == "ann"
    assert routing.unstable({"ann": 0.74, "ben": 0.75}) == ["ann"]
    history = History()
    for one in turns:
        history.add(one)
    assert history.text(1) == "Task: q2\nReply: a2"
    assert PeriodicReset(3).due(history)
    assert not PeriodicReset(2).due(history)
    history.clear()
    assert history.text() == ""
    assert not PeriodicReset(3).due(history)


def live(turns: int, **cures: Any) -> Any:
    from shoal.diagnosis.stability.live import LongRun
    from shoal.models.scripted import ScriptedModel

    problems = [p for pair in zip(*(open_task(t).problems(turns // 2, 1) for t in ("copy", "sums")), strict=True)
                for p in pair]  # fmt: skip
    model = ScriptedModel.from_spec("competence=0.8", answer_key(problems), 0)
    work = LongRun(make_agents(2), Session(model=model, seed=1), rule=Rule(window=20), **cures)

    async def run() -> None:
        for problem in problems:
            await work.turn(problem)

    asyncio.run(run())
    return work


def test_a_live_run_is_read_like_any_other() -> None:
    plain = live(120)
    read = course(plain.found, plain.rule)
    assert read.readings
    assert read.readings[0].dimensions["I_role"] == pytest.approx(1.0)
    assert {i.agent for i in plain.found} == {"agent-1", "agent-2"}
    assert plain.session.usage.calls == 120
    cured = live(
        120, consolidation=Consolidation(10), routing=StabilityRouting(0.99), anchoring=Anchoring(),
        reset=PeriodicReset(25),
    )  # fmt: skip
    assert cured.session.usage.calls > 120  # the summaries are counted
    assert len(cured.found) == 120


def test_consolidation_keeps_notes_only() -> None:
    work = live(40, consolidation=Consolidation(every=20))
    for held in work._histories.values():
        assert held.count == 20
        assert 0 < len(held.turns) <= 16
    history, agent = work._histories["agent-1"], work.agents[0]
    assert Consolidation(20).due(history)
    asyncio.run(Consolidation(20).consolidate(history, agent, work.session))
    assert history.turns == []
    assert history.notes
    assert "Notes from earlier work" in history.text()


def event(step: int, kind: str, agent: str = "ann", **payload: Any) -> Event:
    return Event(str(step), "r", float(step), step, agent, kind, (), payload)


def test_a_trace_becomes_interactions() -> None:
    found = interactions([
        event(0, "task.start", "", question="sums-3"),
        event(1, "model.call", text="I call it. confidence: 80%", steps=["plan", "do"]),
        event(2, "tool.call", tool="add", arguments={"to": 1}),
        event(3, "message", content="I call it. confidence: 80%", to=["ben"]),
        event(4, "handoff", to="ben"),
        event(5, "handoff", to="ben"),
        event(6, "message", "ben", content="done", overridden=True, votes={"4": 2, "5": 1}),
        event(7, "task.end", "", correct=True),
        event(8, "model.failure", "ben", failure="timeout"),
    ])  # fmt: skip
    ann, ben, lost = found
    assert (ann.agent, ann.task, ann.confidence, ann.steps) == ("ann", "sums", 0.8, ("plan", "do"))
    assert ann.tools == (ToolCall("add", {"to": 1}),)
    assert (ann.messages, ann.delegations, ann.correct) == (2, 1, True)
    assert (ben.support, ben.overridden, ben.correct, ben.error) == (pytest.approx(2 / 3), True, True, NO_ERROR)
    assert (lost.error, lost.embedding, lost.correct) == ("timeout", None, None)
    assert np.linalg.norm(ann.embedding) == pytest.approx(1.0)


@pytest.fixture(scope="module")
def synthetic() -> Any:
    """Four runs of the synthetic team: what the compiled program reads, and their logs."""
    from shoal.diagnosis.stability import simulation as sim

    runs = sim.Runs(sim.growth(4, 1.5))
    return sim.simulate(runs, 1), sim.logs(runs, 1, 500)


def test_the_compiled_reading_is_the_plain_one(synthetic: Any) -> None:
    from shoal.diagnosis.stability.written import as_interactions

    courses, logs = synthetic
    for k, log in enumerate(logs):
        readings = course(as_interactions(log)).readings
        plain = np.array([list(r.dimensions.values()) for r in readings], float)
        assert np.abs(plain - courses.dimensions[0, k]).max() < 2e-3  # tokens are whole numbers in a log
        assert np.abs(np.array([r.index for r in readings]) - courses.index[0, k]).max() < 2e-4


def test_cures_without_effect_change_nothing_and_batches_do_not_matter() -> None:
    from shoal.diagnosis.stability import simulation as sim

    setting = sim.Setting(interactions=250)
    arms = {name: sim.ARMS[name] for name in ("none", "EMC, no effect", "DAR, no effect", "ABA, no effect")}
    found = sim.simulate(sim.Runs(sim.growth(60, 2.0)), 3, arms, setting)
    assert np.array_equal(found.index, np.broadcast_to(found.index[:1], found.index.shape))
    assert np.array_equal(found.success, np.broadcast_to(found.success[:1], found.success.shape))
    assert found.tokens[1].mean() > found.tokens[0].mean()  # but their tokens are counted
    assert np.array_equal(sim.simulate(sim.Runs(sim.growth(5, 2.0)), 3, arms, setting).index, found.index[:, :5])


def test_the_detector_meets_planted_drift(synthetic: Any) -> None:
    from shoal.runs.study import Trial
    from shoal.studies import agent_drift as study
    from shoal.traces import TraceWriter

    config = study.DriftConfig(detector_runs=10)
    seeds = (0, 1)
    trial = Trial(config, "detector", "", 0, 7, TraceWriter(None, "t"), seeds=seeds)
    found = study.detector(trial)
    assert min(m["recall"] for m in found[study.FROZEN]) >= 0.9
    assert max(m["false alarms"] for m in found[study.FROZEN]) == 0.0
    assert max(m["recall"] for m in found[study.MOVING]) < 0.9


def test_recall_counts_alarms_near_the_crossing() -> None:
    from shoal.studies.agent_drift import CROSSING, _recall

    drift = np.zeros((4, 12), np.float32)
    drift[:3, 5:] = CROSSING + 0.01
    found = _recall(np.array([7, 11, -1, 3]), drift)
    assert found["recall"] == pytest.approx(1 / 3)  # two windows late, six late, never
    assert found["crossed"] == 0.75
    assert sorted(found["windows late"]) == [2, 6]


def written(tmp_path: Path, found: list[Interaction], name: str = "log.jsonl") -> Path:
    from shoal.diagnosis.stability.written import as_events

    file = tmp_path / name
    records = [{"agent": e.agent, "content": e.payload["text"], **e.payload} for e in as_events(found)]
    file.write_bytes(b"\n".join(orjson.dumps(r) for r in records))
    return file


def test_diagnose_with_drift(shoal: Shoal, tmp_path: Path, synthetic: Any) -> None:
    from shoal.diagnosis.stability.written import as_interactions

    _, logs = synthetic
    file = written(tmp_path, as_interactions(logs[0]))
    found = shoal.json("diagnose", file, "--with", "drift")["analyses"]["drift"]
    (run,) = found["runs"]
    assert "12 of 12 measured" in found["headline"]
    assert [w["from"] for w in run["windows"]] == list(range(101, 500, 50))
    assert run["windows"][-1]["index"] < run["windows"][0]["index"]
    assert run["drift"] == 500 or run["onset"] is not None
    assert set(run["agents"]) == {"agent-1", "agent-2", "agent-3"}
    assert shoal("diagnose", file, "--with", "drift:40") == 0
    assert "12 of 12" in shoal.out
    assert "<svg" in (tmp_path / "diagnosis.html").read_text()
    assert shoal("diagnose", file, "--with", "drift:10") == 2
    assert "20" in shoal.err
    assert shoal("diagnose", file, "--with", "drift:soon") == 2
    assert shoal("diagnose", file, "--with", "drift:40,nonsense") == 2


def test_short_and_bare_logs(shoal: Shoal, tmp_path: Path) -> None:
    file = tmp_path / "chat.jsonl"
    said = [{"agent": f"a{i % 2}", "content": f"Reply number {i} to the question.", "run": f"talk {i // 10}"}
            for i in range(90)]  # fmt: skip
    file.write_bytes(b"\n".join(orjson.dumps(r) for r in said))
    found = shoal.json("diagnose", file, "--with", "drift")["analyses"]["drift"]
    assert found["runs"] == []
    assert "Not measurable" in found["headline"]
    found = shoal.json("diagnose", file, "--with", "drift:20")["analyses"]["drift"]
    (run,) = found["runs"]  # ten short talks, read as one
    assert run["measured"] == 1
    assert run["windows"][0]["dimensions"]["T_sel"] is None
