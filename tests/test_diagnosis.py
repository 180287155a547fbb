"""Diagnosis: conversations, usage edges, detectors, planted faults, attribution, watches."""

from __future__ import annotations

import asyncio
import json
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.diagnosis.answers import answer_in, values
from shoal.diagnosis.attribution import diagnose
from shoal.diagnosis.conversation import Conversation, conversations
from shoal.diagnosis.faults import FAULTS, corrupted, plant
from shoal.diagnosis.findings import DETECTORS, findings
from shoal.diagnosis.recording import Recording
from shoal.diagnosis.relay import Reader, relay, relay_agents, relay_problem
from shoal.diagnosis.report import shown_steps, write_report
from shoal.diagnosis.scoring import calibration_error, score_attribution, score_detectors, sighting
from shoal.diagnosis.usage import UsageEdge, UsageGraph, extracted_by, usage_graph
from shoal.diagnosis.verdict import document, lines
from shoal.diagnosis.watching import Stopped, Watch
from shoal.errors import BudgetExceeded, InputError, UnknownName
from shoal.models.scripted import ScriptedModel
from shoal.tasks import answer_key
from shoal.tasks.catalogue import open_task
from shoal.teams.agent import make_agents
from shoal.teams.catalogue import open_team
from shoal.teams.session import Message, Session
from shoal.traces.importers import import_trace

SAMPLES = Path(__file__).parent / "data" / "traces"


def view(path: Path, *turns: tuple[str, str]) -> Conversation:
    path.write_text("".join(json.dumps({"agent": a, "content": c}) + "\n" for a, c in turns))
    return conversations(import_trace(path).trace)[0]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "chat.jsonl"


# Answers and values


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Answer: 7", "7"), ("The final answer is 3.5 m. Done.", "3.5 m"), ("so \\boxed{12}", "12"), ("no idea", None),
        ("The result is 70 planks. Final answer: 70", "70"), ("**Answer:** Paris", "Paris"),
        ("Answer: a\nAnswer: b", "b"),
    ],
)  # fmt: skip
def test_answers_are_read(text: str, answer: str | None) -> None:
    assert answer_in(text) == answer


def test_values_know_what_they_are_about() -> None:
    found = {v.about: v.number for v in values("The bridge is 1,200 m long and longer than the Ouse by 84 km.")}
    assert found == {("bridge", "|", "m"): "1200", ("ouse", "by", "|", "km"): "84"}


# Conversations and usage


async def test_a_team_run_becomes_steps_and_deliveries() -> None:
    problem = open_task("sums").problems(1, seed=0)[0]
    trace = Recording("run")
    plan = open_team("debate:agents=3,rounds=1,agreement=null")
    session = Session(ScriptedModel(answer_key([problem]), competence=1.0), problem.question, trace=trace)
    await plan.run(problem.question, plan.agents, session)
    (talk,) = conversations(trace.trace)
    assert [s.agent for s in talk.steps] == ["agent-1", "agent-2", "agent-3"] * 2
    assert len(talk.deliveries) == 3
    assert all(d.step is not None and d.step < 3 for d in talk.deliveries)
    assert talk.outcome == problem.answer
    graph = usage_graph(talk)
    # In the second round each agent read its own reply and those of the two others: exact, because it is declared.
    assert [{e.source for e in graph.parents(i)} for i in range(6)] == [set()] * 3 + [{0, 1, 2}] * 3
    assert {e.origin for i in (3, 4, 5) for e in graph.parents(i)} == {"declared"}


async def test_tasks_that_ran_at_the_same_time_are_told_apart() -> None:
    from shoal.teams.evaluation import answer_all

    problems = open_task("sums").problems(5, seed=3)
    plan, trace = open_team("debate:agents=3"), Recording("run")
    model = ScriptedModel(answer_key(problems), competence=0.5, latency=0.001)
    answers = await answer_all(plan.run, plan.agents, problems, model, trace=trace, seed=0)
    found = {c.run.rpartition("/")[2]: c for c in conversations(trace.trace)}
    assert set(found) == {p.question.id for p in problems}
    for answered in answers:
        talk = found[answered.problem.question.id]
        assert talk.correct == answered.correct
        assert all(answered.problem.question.text in s.prompt for s in talk.steps)
        assert len(talk.steps) == answered.usage.calls


def test_edges_say_where_they_come_from(file: Path) -> None:
    talk = view(
        file, ("ann", "The depot in Harwich holds 4711 crates."), ("bob", "Weather is fine today."),
        ("cat", "As ann reports, we should hurry."),
        ("dan", "There are 4711 crates at the Harwich depot, I ship them."),
    )  # fmt: skip
    edges = {(e.source, e.target): e for e in usage_graph(talk).edges}
    assert edges[(0, 1)].origin == "order"
    assert edges[(0, 2)].origin == "reference"
    assert "ann" in edges[(0, 2)].evidence
    assert edges[(0, 3)].origin == "content"
    assert "4711" in edges[(0, 3)].evidence
    assert 1 > edges[(0, 3)].confidence > edges[(0, 1)].confidence
    framework = conversations(import_trace(SAMPLES / "langgraph-events.jsonl").trace)[0]
    assert {e.origin for e in usage_graph(framework).edges} == {"quoted"}


@given(st.lists(st.tuples(st.integers(-2, 9), st.integers(-2, 9), st.floats(0.05, 1.0)), max_size=25))
@settings(max_examples=100, deadline=None)
def test_usage_graphs_are_acyclic_and_closed(links: list[tuple[int, int, float]]) -> None:
    graph = UsageGraph(8, [UsageEdge(a, b, "content", c) for a, b, c in links])
    assert graph.dropped == sum(not 0 <= a < b < 8 for a, b, _ in links)
    for step in range(8):
        above = graph.ancestors(step)
        assert step not in above
        assert all(step in graph.descendants(a) for a in above)
        for a in above:
            path = graph.path(a, step)
            assert path[0] == a
            assert path[-1] == step
            assert all(any(e.target == y for e in graph.children(x)) for x, y in pairwise(path))


async def test_a_model_may_name_the_edges(file: Path) -> None:
    from test_session import Parrot

    talk = view(file, ("ann", "one"), ("bob", "two"), ("cat", "three"))
    model = Parrot("I think [0].", "[0, 1, 7]")
    edges = await extracted_by(model, talk)
    assert [(e.source, e.target, e.origin) for e in edges] == [(0, 1, "model"), (0, 2, "model"), (1, 2, "model")]
    assert "[0] ann: one" in model.requests[1].messages[0]["content"]


# Detectors on hand-written talk: each fires on its sign and not on the same talk without it

SOUND = (
    ("ann", "The bridge is 120 m long."), ("bob", "A plank covers 3 m of it."),
    ("cat", "The bridge is 120 m long and a plank covers 3 m, so forty. Answer: 40"),
    ("ann", "I get the same. Answer: 40"),
)  # fmt: skip
SIGNS: dict[str, tuple[tuple[str, str], ...]] = {
    "loop": (*SOUND, *[("bob", "Let me look at the planks once more.")] * 3),
    "echo": (*SOUND[:3], ("bob", SOUND[2][1])),
    "stall": (*SOUND, ("bob", "I cannot access the drawings.")),
    "contradiction": (*SOUND[:2], ("cat", "The bridge is 210 m long, so seventy. Answer: 70")),
    "tool error": (*SOUND[:2], ("executor", "exitcode: 1 (execution failed)\nTraceback (most recent call last)")),
    "wrong role": (*SOUND, ("bob", "ann: I think we are fine.")),
    "guess": (*SOUND, ("bob", "Let's assume that the price is 9.")),
    "early stop": (*SOUND[:2], ("cat", "We are done here. TERMINATE"), ("ann", "Fine by me.")),
    "flattery": (*SOUND, ("bob", "It is fifty. Answer: 50"), ("cat", "You are absolutely right, bob. Answer: 50")),
    "dissent": (*SOUND, ("dan", "I see it otherwise. Answer: 99")),
    "silent agent": (*SOUND, ("bob", "")),
    "collapse": (*SOUND, *[(a, "All of us say that it is forty. Answer: 40") for a in ("ann", "bob", "cat")]),
    "error cascade": (
        *SOUND[:2], ("cat", "The bridge is 210 m long."),
        ("dan", "As cat says the bridge is 210 m long, take seventy."),
        ("eva", "cat found 210 m, dan agrees with the 210 m."),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SIGNS)
def test_detectors_fire_on_their_sign_alone(name: str, file: Path) -> None:
    sound, talk = view(file, *SOUND), view(file, *SIGNS[name])
    assert findings(sound, usage_graph(sound), (name,)) == []
    found = findings(talk, usage_graph(talk), (name,))
    assert found
    assert max(f.score for f in found) >= 0.5
    ids = {e.id for e in talk.events}
    for finding in found:
        assert set(finding.events) <= ids
        assert finding.evidence
        assert finding.advice
        assert 0 <= finding.score <= 1


def test_every_detector_is_tested() -> None:
    live = {"lost message", "budget burn", "wrong tool result"}  # below, on planted faults
    assert set(SIGNS) | live == set(DETECTORS.names())
    assert {f for _, d in DETECTORS.items() for f in d.faults} <= set(FAULTS)


# Planted faults


DEBATE = "debate:agents=4,rounds=2,agreement=null"
FOUND_IN = [(fault, "relay" if FAULTS[fault].where == "tool" else DEBATE) for fault in FAULTS]


@pytest.mark.parametrize(("fault", "team"), FOUND_IN)
async def test_each_planted_fault_is_found_by_a_detector_of_its_own(fault: str, team: str) -> None:
    meant = [name for name, d in DETECTORS.items() if fault in d.faults]
    assert meant
    hits = tried = 0
    for seed in range(6):
        run = await sighting(team, fault, seed)
        assert run.planted is not None
        if run.planted.effective:
            tried += 1
            hits += any(run.score(name) >= 0.5 for name in meant)
            assert run.changed or fault in ("herding", "error cascade")
    assert tried > 0
    assert hits / tried >= 0.5


async def test_clean_runs_raise_no_alarm_but_dissent() -> None:
    for team in (DEBATE, "chain:agents=4", "relay"):
        for seed in range(4):
            run = await sighting(team, "", seed, competence=1.0)
            assert run.planted is None
            assert [f for f in run.diagnosis.findings if f.score >= 0.5] == []


async def test_faults_of_messages_leave_no_mark_in_the_trace() -> None:
    clean, hit = await sighting(DEBATE, "", 1), await sighting(DEBATE, "dropped message", 1)
    sent = [[d.content for d in r.diagnosis.conversation.deliveries][:4] for r in (clean, hit)]
    assert sent[0] == sent[1]
    kinds = {e.kind for e in hit.diagnosis.conversation.events}
    assert not {"message.dropped", "label"} & kinds


def test_channels_see_messages_after_they_were_recorded() -> None:
    trace = Recording("run")
    session = Session(Reader(), trace=trace)
    session.channels.append(lambda m: Message(m.sender, m.receivers, "changed", m.event))
    arrived = session.send("a", ["b"], "said")
    assert arrived is not None
    assert (arrived.content, trace.events[-1].payload["content"]) == ("changed", "said")
    session.channels.append(lambda m: None)
    assert session.send("a", ["b"], "said") is None
    assert trace.events[-1].kind == "message"


@given(st.text(max_size=80), st.integers(0, 5))
@settings(max_examples=200, deadline=None)
def test_corruption_changes_values_and_nothing_else(text: str, seed: int) -> None:
    wrong = corrupted(f"{text} is 41 km", seed)
    assert wrong != f"{text} is 41 km"
    assert corrupted("no value here", seed) == "no value here"


def test_unknown_faults_and_agents_are_refused() -> None:
    session, agents = Session(Reader()), make_agents(2)
    with pytest.raises(UnknownName, match="dropped message"):
        plant(session, agents, "droped message", "agent-1")
    with pytest.raises(UnknownName, match="agent-1"):
        plant(session, agents, "echo", "agent-9")


# Attribution


async def test_attribution_finds_the_culprit_far_above_chance() -> None:
    runs = [
        await sighting(team, fault, seed)
        for team in (DEBATE, "relay")
        for fault in ("altered message", "silent agent", "wrong role", "corrupted fact", "looping")
        for seed in range(4)
    ]
    whole = score_attribution(runs)[0]
    assert whole.runs > 30
    assert whole.agent > whole.random_agent + 0.3
    assert whole.agent > max(whole.talkative, whole.first) + 0.2
    scores = {(s.detector, s.fault): s for s in score_detectors(runs)}
    assert scores[("silent agent", "silent agent")].recall == 1.0


def test_the_carpenter_is_blamed_with_evidence() -> None:
    talk = conversations(import_trace(SAMPLES / "chat.jsonl").trace)[0]
    verdict = diagnose(talk, failed=True)
    first = verdict.suspects[0]
    assert (first.agent, first.step) == ("carpenter", 2)
    assert first.confidence > 0.5 > verdict.suspects[1].confidence
    assert first.path[0] == 2
    assert first.downstream == 2
    page = lines(verdict)
    assert len(page) <= 60
    assert any("210" in line and "120" in line for line in page)
    assert document(verdict)["suspects"][0]["reasons"][0]["events"] == ["1", "2"]
    assert sum(c for _, c in verdict.by_agent()) <= 1


def test_confidences_sum_to_at_most_one_and_success_is_said(file: Path) -> None:
    talk = view(file, *SOUND)
    verdict = diagnose(talk, failed=False)
    assert "succeeded" in lines(verdict)[0]
    assert sum(s.confidence for s in diagnose(talk, most=99).suspects) <= 1
    empty = Conversation("empty", [], [])
    assert diagnose(empty).suspects == []
    assert "Nothing was said" in lines(diagnose(empty))[0]


def test_two_hundred_steps_take_little_work(file: Path) -> None:
    talk = view(
        file, *((f"agent-{i % 6}", f"Step {i}: item {i * 7} of store {i % 11} costs {i} pounds.") for i in range(200))
    )
    started = time.process_time()
    assert len(diagnose(talk).conversation.steps) == 200
    assert time.process_time() - started < 5  # a generous bound on work, not on the clock: a second is claimed


def test_calibration_error_of_known_cases() -> None:
    import numpy as np

    truth = np.array([True, False, True, False])
    assert calibration_error(np.array([0.5] * 4), truth) == 0.0
    assert calibration_error(np.array([1.0, 0.0, 1.0, 0.0]), truth) == 0.0
    assert calibration_error(np.array([0.0, 1.0, 0.0, 1.0]), truth) == 1.0


# Watches


class Stuck(Reader):
    """Says one thing for ever."""

    async def complete(self, request: Any) -> Any:
        reply = await super().complete(request)
        reply.text = "I am still looking into the matter and will report."
        return reply


async def talk_on(session: Session) -> int:
    agents, said = make_agents(2), 0
    for _ in range(6):
        for agent in agents:
            reply = await session.ask(agent, "Go on.")
            said += (
                session.send(agent.name, [a.name for a in agents if a is not agent], reply.text, [reply.event])
                is not None
            )
    return said


async def test_watches_flag_block_and_stop() -> None:
    flagged = Session(Stuck(), trace=(trace := Recording("flag")))
    watch = Watch("flag", ("loop",)).attach(flagged)
    assert await talk_on(flagged) == 12
    alarms = [e for e in trace.events if e.kind == "alarm"]
    assert [e.agent for e in alarms] == ["agent-1", "agent-2"]  # once each, however long they go on
    assert alarms[0].payload["detector"] == "loop"
    assert alarms[0].parents
    assert {f.agent for f in watch.findings} == {"agent-1", "agent-2"}
    blocked = Session(Stuck(), trace=Recording("block"))
    watch = Watch("block", ("loop",)).attach(blocked)
    assert await talk_on(blocked) == 4
    assert watch.blocked == {"agent-1", "agent-2"}
    stopped = Session(Stuck(), trace=Recording("stop"))
    Watch("stop", ("loop",)).attach(stopped)
    with pytest.raises(Stopped, match="loop"):
        await talk_on(stopped)
    assert issubclass(Stopped, BudgetExceeded)
    with pytest.raises(InputError, match="mode"):
        Watch("scream")  # type: ignore[arg-type]


async def test_a_stopped_team_keeps_its_answer() -> None:
    problem = open_task("sums").problems(1, seed=0)[0]
    plan, trace = open_team("debate:agents=3,rounds=9,agreement=null"), Recording("run")
    session = Session(ScriptedModel(answer_key([problem]), competence=1.0), problem.question, trace=trace)
    agents, _ = plant(session, plan.agents, "looping", "agent-3")
    Watch("stop", ("loop",)).attach(session)
    outcome = await plan.run(problem.question, agents, session)
    assert outcome.answer == problem.answer
    assert session.usage.calls == 3
    assert trace.events[-1].payload["reason"] == "budget"


async def test_the_relay_answers_right_without_faults() -> None:
    for seed in range(5):
        problem, tool = relay_problem(seed)
        session = Session(Reader(), problem.question, trace=Recording("run"))
        outcome = await relay(problem.question, relay_agents(), session, tool)
        assert problem.check(outcome.answer)


# The page


def test_the_report_escapes_everything(file: Path, tmp_path: Path) -> None:
    evil = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&"
    talk = view(
        file,
        (f"ann{evil}", f"The bridge is 120 m long {evil}"),
        (f"bob{evil}", f"The bridge is 210 m long {evil} Answer: {evil}"),
    )
    page = write_report(tmp_path / "out" / "page.html", evil, [diagnose(talk, failed=True)], [evil]).read_text()
    assert "<script" not in page
    assert "<img" not in page
    assert "&lt;script&gt;" in page
    assert "<svg" in page
    assert "http" not in page.split("</style>")[1]


def test_long_runs_show_the_steps_near_the_suspects(file: Path) -> None:
    turns = [(f"agent-{i % 3}", f"Note {i} on topic {i}.") for i in range(400)]
    turns[200] = ("agent-2", "I cannot access the file.")
    verdict = diagnose(view(file, *turns))
    shown = shown_steps(verdict)
    assert len(shown) == 240
    assert 200 in shown
    assert 399 in shown


def test_asyncio_is_not_needed_to_diagnose(file: Path) -> None:
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()
    assert diagnose(view(file, *SOUND)).suspects
