"""Protocols: what comes out, the causal graph they leave, and what they survive."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import InputError, ModelError, UnknownName
from shoal.models.interface import Completion, Model, Request
from shoal.models.scripted import ScriptedModel
from shoal.runs.budget import Budget, Limits
from shoal.stats import Evidence
from shoal.tasks.catalogue import open_task
from shoal.tasks.problem import Problem, Question, answer_key
from shoal.teams.agent import Agent, make_agents
from shoal.teams.catalogue import open_team, recipe_names
from shoal.teams.outcome import Outcome
from shoal.teams.protocols import PROTOCOLS, Opinion, kill, tally
from shoal.teams.protocols.aggregation import average, borda, log_odds
from shoal.teams.protocols.asking import Halt, cut_roles, one_line
from shoal.teams.protocols.bargaining import accepts
from shoal.teams.protocols.beliefs import Belief, Beliefs
from shoal.teams.protocols.independent import stated_confidence
from shoal.teams.protocols.layered import Layer, importance, read_ranking
from shoal.teams.protocols.passing import next_agent
from shoal.teams.protocols.personas import read_personas
from shoal.teams.protocols.planned import Step, TaskGraph, read_plan
from shoal.teams.protocols.verified import last_word
from shoal.teams.session import Session
from shoal.traces import Trace, TraceWriter, Usage, read_trace

NAMES = (
    "blackboard",
    "chain",
    "confidence-vote",
    "critique",
    "dag",
    "debate",
    "experts",
    "hand-off",
    "judge",
    "layered",
    "mesh",
    "negotiation",
    "personas",
    "reflect",
    "research",
    "round-robin",
    "search-loop",
    "self-consistency",
    "single",
    "solve-check",
    "sop",
    "star",
    "theory-of-mind",
    "vote",
)
SUM = Problem(Question("q", "What is 3 + 4?", "number"), "7")


class Puppet(Model):
    """Says what a function tells it to; keeps every request."""

    evidence = Evidence.SCRIPTED
    spec = identity = "puppet"

    def __init__(self, speak: Callable[[Request], str]) -> None:
        self.speak = speak
        self.requests: list[Request] = []

    async def complete(self, request: Request) -> Completion:
        self.requests.append(request)
        return Completion(self.speak(request), Usage(10, 5, calls=1))

    def prompts(self, agent: str) -> list[str]:
        return [r.messages[-1]["content"] for r in self.requests if r.agent == agent]


def broken(request: Request) -> str:
    raise ModelError("timeout", f"{request.agent} is gone")


async def run(name: str, speak: Callable[[Request], str], count: int | None = None, **options: object) -> Outcome:
    entry = PROTOCOLS.get(name)
    agents = make_agents(count or entry.agents[1])
    return await entry.run(SUM.question, agents, Session(Puppet(speak), SUM.question), **options)


def by_agent(**answers: str) -> Callable[[Request], str]:
    return lambda request: f"I am sure. Answer: {answers[request.agent.replace('-', '_')]}"


def check_causal(trace: Trace) -> None:
    """Every parent exists and comes before; whoever read a message was among its receivers."""
    seen: dict[str, object] = {}
    for event in trace:
        assert set(event.parents) <= set(seen), f"{event.kind} {event.id} has unknown parents"
        if event.kind in ("model.call", "model.failure"):
            for parent in event.parents:
                message = seen[parent]
                if message.kind == "message":  # type: ignore[attr-defined]
                    readers = [*message.payload["to"], message.agent]  # type: ignore[attr-defined]
                    assert event.agent in readers or "board" in readers
        if event.kind == "message":
            assert event.payload["to"] and event.agent not in event.payload["to"]
        seen[event.id] = event


def test_every_protocol_is_registered_with_options_and_vocabulary() -> None:
    assert tuple(PROTOCOLS.names()) == NAMES
    for name, entry in PROTOCOLS.items():
        assert entry.name == name
        assert "\n" not in entry.title
        fewest, default, most = entry.agents
        assert 1 <= fewest <= default <= most
        assert entry.vocabulary.structure
        for field in entry.options.model_fields.values():
            assert field.description
            assert not field.is_required()


@pytest.mark.parametrize("name", NAMES)
async def test_trace_is_a_causal_graph_and_ends_in_the_decision(name: str, tmp_path: Path) -> None:
    problems = open_task("sums").problems(4, 3)
    model = ScriptedModel(answer_key(problems), competence=0.5, sycophancy=0.4, seed=2)
    entry = PROTOCOLS.get(name)
    for i, problem in enumerate(problems):
        path = tmp_path / f"{i}.jsonl"
        with TraceWriter(path, "t") as writer:
            session = Session(model, problem.question, trace=writer, seed=i)
            outcome = await entry.run(problem.question, make_agents(entry.agents[1]), session)
        trace = read_trace(path)
        check_causal(trace)
        decisions = {event.id: event for event in trace.of_kind("decision")}
        assert decisions[outcome.event].parents
        assert decisions[outcome.event].payload.get("answer") == outcome.answer
        sent = sum(len(event.payload["to"]) for event in trace.of_kind("message"))
        assert sent == session.messages
        assert len(trace.of_kind("model.call")) == session.usage.calls
        assert outcome.answer is not None


@pytest.mark.parametrize("name", NAMES)
async def test_agents_that_are_all_right_give_the_right_answer(name: str) -> None:
    outcome = await run(name, lambda request: "I added them. Answer: 7")
    assert SUM.check(outcome.answer)


@pytest.mark.parametrize("name", NAMES)
async def test_failed_replies_end_without_an_answer_and_without_an_error(name: str) -> None:
    entry = PROTOCOLS.get(name)
    session = Session(Puppet(broken), SUM.question)
    outcome = await entry.run(SUM.question, make_agents(entry.agents[1]), session)
    assert outcome.answer is None
    assert session.failures["timeout"] >= 1


@pytest.mark.parametrize("name", NAMES)
async def test_unreadable_replies_are_counted_not_fatal(name: str) -> None:
    entry = PROTOCOLS.get(name)
    session = Session(Puppet(lambda request: "Well, that is hard to say without more time."), SUM.question)
    outcome = await entry.run(SUM.question, make_agents(entry.agents[1]), session)
    assert outcome.answer is None
    assert session.failures["no answer"] + session.failures["broken contract"] >= 1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("calls", [1, 2, 3, 5])
async def test_spent_budget_gives_the_best_answer_so_far(name: str, calls: int, tmp_path: Path) -> None:
    problems = open_task("sums").problems(1, 5)
    question = problems[0].question
    model = ScriptedModel(answer_key(problems), competence=0.5, seed=1)
    entry = PROTOCOLS.get(name)
    with TraceWriter(tmp_path / "t.jsonl", "t") as writer:
        session = Session(model, question, trace=writer, budget=Budget(Limits(calls=calls)))
        outcome = await entry.run(question, make_agents(entry.agents[1]), session)
    trace = read_trace(tmp_path / "t.jsonl")
    check_causal(trace)
    assert session.usage.calls <= calls
    stops = [event for event in trace.of_kind("decision") if event.payload.get("reason") == "budget"]
    if trace.of_kind("budget.stop"):
        assert len(stops) == 1 and stops[0].id == outcome.event
    plans_first = name in ("dag", "personas", "search-loop", "sop") or (name == "reflect" and calls == 0)
    if not plans_first:  # the first call already asks for an answer
        assert outcome.answer is not None


async def test_budget_keeps_paid_answers_of_a_round_that_it_cuts() -> None:
    session = Session(Puppet(by_agent(agent_1="7", agent_2="7", agent_3="8")), SUM.question)
    session.budget = Budget(Limits(calls=2))
    outcome = await PROTOCOLS.get("vote").run(SUM.question, make_agents(3), session)
    assert outcome.answer == "7"
    assert outcome.votes == {"7": 2.0}


@pytest.mark.parametrize("name", ["vote", "debate", "mesh", "blackboard", "round-robin", "theory-of-mind", "layered"])
async def test_one_dead_agent_does_not_stop_peers(name: str) -> None:
    entry = PROTOCOLS.get(name)
    session = Session(Puppet(lambda request: "Answer: 7"), SUM.question)
    agents = kill(session, make_agents(4), "agent-2")
    outcome = await entry.run(SUM.question, agents, session)
    assert outcome.answer == "7"
    assert session.failures["agent killed"] >= 1


async def test_independent_agents_are_asked_at_the_same_time() -> None:
    problems = open_task("sums").problems(1, 5)
    model = ScriptedModel(answer_key(problems), latency=0.2, seed=1)
    flying = most = 0
    complete = model.complete

    async def counting(request: Request) -> Completion:
        nonlocal flying, most
        flying += 1
        most = max(most, flying)
        try:
            return await complete(request)
        finally:
            flying -= 1

    model.complete = counting  # type: ignore[method-assign]
    question = problems[0].question
    await PROTOCOLS.get("vote").run(question, make_agents(8), Session(model, question))
    assert most == 8


async def test_private_sheets_reach_their_owner_alone() -> None:
    question = Question(
        "p", "What is the code?", "number", sheets={"0": "sheet-zero", "1": "sheet-one", "2": "sheet-two"}
    )
    for name in ("vote", "debate", "chain", "star", "blackboard", "layered", "round-robin", "judge", "negotiation"):
        entry = PROTOCOLS.get(name)
        count = max(3, entry.agents[0])
        puppet = Puppet(lambda request: "Answer: 7")
        agents = make_agents(count)
        await entry.run(question, agents, Session(puppet, question))
        for position, word in enumerate(("zero", "one", "two")):
            for i, agent in enumerate(agents):
                text = "\n".join(puppet.prompts(agent.name))
                assert not text or (f"sheet-{word}" in text) == (i == position), (name, agent.name)


async def test_star_and_mesh_message_counts_and_the_dead_hub() -> None:
    for count in (3, 5, 8):
        for rounds in (1, 3):
            speak = by_agent(**{f"agent_{i + 1}": str(i) for i in range(count)})
            for name, expected in (("star", 2 * (count - 1)), ("mesh", count * (count - 1))):
                puppet = Puppet(lambda request, speak=speak: f"{speak(request)} ")  # type: ignore[misc]
                session = Session(puppet, SUM.question)
                turn = iter(range(10_000))
                puppet.speak = lambda request, turn=turn, speak=speak: f"Turn {next(turn)}. {speak(request)}"
                outcome = await PROTOCOLS.get(name).run(
                    SUM.question, make_agents(count), session, rounds=rounds, agreement=None
                )
                assert session.messages == expected * rounds, (name, count, rounds)
                assert outcome.rounds == rounds
    for after in (0, 1):
        session = Session(Puppet(lambda request: "Answer: 7"), SUM.question)
        agents = kill(session, make_agents(4), "agent-1", after=after)
        outcome = await PROTOCOLS.get("star").run(SUM.question, agents, session, rounds=2, agreement=None)
        assert outcome.answer is None
    with pytest.raises(UnknownName, match="agent-1"):
        kill(session, make_agents(2), "agnt-1")


async def test_debate_shows_peers_answers_as_lines_and_stops_on_agreement() -> None:
    puppet = Puppet(by_agent(agent_1="7", agent_2="7", agent_3="8"))
    outcome = await PROTOCOLS.get("debate").run(
        SUM.question, make_agents(3), Session(puppet, SUM.question), agreement=None
    )
    second = puppet.prompts("agent-3")[1]
    assert "agent-1: I am sure. Answer: 7" in second
    assert "agent-2: I am sure. Answer: 7" in second
    assert "You: Answer: 8" in second
    assert outcome.answer == "7"
    assert outcome.rounds == 1  # everybody repeated itself: nothing new would come
    agreed = Puppet(lambda request: "Answer: 7")
    session = Session(agreed, SUM.question)
    assert (await PROTOCOLS.get("debate").run(SUM.question, make_agents(3), session)).rounds == 0
    assert session.messages == 0


async def test_judge_decides_and_the_vote_replaces_a_silent_one() -> None:
    outcome = await run("judge", by_agent(agent_1="7", agent_2="8", agent_3="8"))
    assert outcome.answer == "8"
    silent = await run("judge", lambda r: "Hmm." if r.agent == "agent-3" else f"Answer: {r.agent[-1]}")
    assert silent.answer == "1"


async def test_chain_hands_on_the_last_readable_work() -> None:
    def speak(request: Request) -> str:
        if request.agent == "agent-2":
            raise ModelError("timeout", "gone")
        return "Answer: 7" if request.agent == "agent-1" else "I agree. Answer: 9"

    puppet = Puppet(speak)
    outcome = await PROTOCOLS.get("chain").run(SUM.question, make_agents(3), Session(puppet, SUM.question))
    assert "agent-1: Answer: 7" in puppet.prompts("agent-3")[0]
    assert outcome.answer == "9"


async def test_a_critique_is_read_with_the_draft_and_the_last_word_counts() -> None:
    def speak(request: Request) -> str:
        said = {"agent-1": "Answer: 9", "agent-2": "The carry is missing."}
        return said.get(request.agent, "Answer: 7")

    puppet = Puppet(speak)
    outcome = await PROTOCOLS.get("critique").run(SUM.question, make_agents(3), Session(puppet, SUM.question))
    assert outcome.answer == "7"
    drafted, judged, refined = (puppet.prompts(f"agent-{i}")[0] for i in (1, 2, 3))
    assert "agent-1" not in drafted
    assert "agent-1: Answer: 9" in judged and "Answer: <" not in judged
    assert refined.index("agent-1: Answer: 9") < refined.index("agent-2: The carry is missing.")
    undecided = await run("critique", lambda r: "Answer: 9" if r.agent == "agent-1" else "Hmm.")
    assert undecided.answer == "9"


async def test_a_rejected_attempt_is_mended_and_the_last_one_is_not_checked() -> None:
    def speak(request: Request) -> str:
        if request.agent == "agent-2":
            return "The carry is missing, so I reject"
        return "Answer: 7" if "carry" in request.messages[-1]["content"] else "Answer: 9"

    puppet = Puppet(speak)
    outcome = await PROTOCOLS.get("solve-check").run(SUM.question, make_agents(2), Session(puppet, SUM.question))
    assert (outcome.answer, outcome.rounds) == ("7", 2)
    assert [r.agent for r in puppet.requests] == ["agent-1", "agent-2", "agent-1"]
    assert "agent-1: Answer: 9" in puppet.prompts("agent-1")[1]
    unsaid = await run("solve-check", lambda r: "Answer: 9" if r.agent == "agent-1" else "Hmm.", rounds=4)
    assert (unsaid.answer, unsaid.rounds) == ("9", 1)
    assert last_word("No... approve? I reject.", ("approve", "reject")) == "reject"


async def test_the_search_loop_searches_until_enough_is_known() -> None:
    problem = open_task("facts:hops=1").problems(1, 0)[0]
    name = problem.question.text.removesuffix("?").split()[-1]

    def speak(request: Request) -> str:
        prompt = request.messages[-1]["content"]
        if request.agent == "agent-1":
            return "yes" if "->" in prompt else "no"
        return f"page of {name}" if request.agent == "agent-2" else f"Answer: {problem.answer}"

    puppet = Puppet(speak)
    agents = make_agents(3)
    outcome = await PROTOCOLS.get("search-loop").run(problem.question, agents, Session(puppet, problem.question))
    assert outcome.answer == problem.answer and outcome.rounds == 2
    assert problem.answer in puppet.prompts("agent-3")[0]
    assert problem.answer not in puppet.prompts("agent-1")[0]
    never = Session(Puppet(lambda r: "no"), problem.question)
    assert (await PROTOCOLS.get("search-loop").run(problem.question, agents, never)).answer is None


async def test_hand_off_follows_names_and_breaks_ping_pong() -> None:
    def speak(request: Request) -> str:
        return "Next: agent-3" if request.agent == "agent-1" else "Answer: 7"

    outcome = await run("hand-off", speak)
    assert outcome.answer == "7"
    puppet = Puppet(lambda r: f"Next: agent-{2 if r.agent == 'agent-1' else 1}")
    session = Session(puppet, SUM.question)
    loop = await PROTOCOLS.get("hand-off").run(SUM.question, make_agents(3), session, hops=50)
    assert loop.rounds <= 4
    assert next_agent("next: Agent-2.", ["agent-1", "agent-2"]) == "agent-2"
    assert next_agent("Answer: 7", ["agent-1"]) is None


async def test_negotiation_needs_the_quorum() -> None:
    deal = await run("negotiation", by_agent(agent_1="7", agent_2="7"))
    assert (deal.answer, deal.rounds) == ("7", 1)
    none = await run("negotiation", by_agent(agent_1="7", agent_2="8"), rounds=3, breakdown="none")
    assert none.answer is None and none.rounds == 3
    some = await run("negotiation", by_agent(agent_1="7", agent_2="8", agent_3="7"), 3, quorum=0.6)
    assert some.answer == "7"
    offer = Opinion("a", "Answer: 7", "7", "0")
    assert accepts(SUM.question, offer, Opinion("b", "I accept.", None, "1"))
    assert not accepts(SUM.question, offer, Opinion("b", "I reject, no deal.", None, "1"))
    assert not accepts(SUM.question, offer, Opinion("b", "Answer: 8", "8", "1"))


async def test_reflect_takes_the_best_scored_attempt() -> None:
    tries = iter(["Answer: 1", "Answer: 7", "Answer: 2"])
    scores = iter(["Score: 2", "Score: 9"])

    def speak(request: Request) -> str:
        if request.agent == "agent-1":
            return next(tries)
        return next(scores) if request.agent == "agent-2" else "Add the two numbers again."

    puppet = Puppet(speak)
    outcome = await PROTOCOLS.get("reflect").run(SUM.question, make_agents(3), Session(puppet, SUM.question))
    assert (outcome.answer, outcome.rounds) == ("7", 2)
    assert "Add the two numbers again." in puppet.prompts("agent-1")[1]


async def test_sop_hands_documents_by_contract_and_revises() -> None:
    def speak(request: Request) -> str:
        text = request.messages[-1]["content"]
        if "analyst" in text:
            return "Two numbers: 3 and 4."
        if "planner" in text:
            return "Add them."
        if "reviewer" in text:
            return "It is wrong. Answer: 7"
        return "Answer: 7" if "agent-4" in text else "Answer: 8"

    puppet = Puppet(speak)
    session = Session(puppet, SUM.question)
    outcome = await PROTOCOLS.get("sop").run(SUM.question, make_agents(4), session)
    assert (outcome.answer, outcome.rounds) == ("7", 2)
    assert "agent-1: Two numbers: 3 and 4." in puppet.prompts("agent-3")[0]
    assert "agent-2: Add them." in puppet.prompts("agent-3")[0]
    assert "agent-1" not in puppet.prompts("agent-4")[0]  # the reviewer subscribes to the solution only


async def test_dag_refuses_cycles_runs_levels_and_merges() -> None:
    plans = iter(["a | agent-2 | find | b\nb | agent-3 | add | a", "a | agent-2 | find | -\nb | agent-3 | add | a"])

    def speak(request: Request) -> str:
        if "One line a step" in request.messages[-1]["content"]:
            return next(plans)
        return "Answer: 7"

    puppet = Puppet(speak)
    session = Session(puppet, SUM.question)
    outcome = await PROTOCOLS.get("dag").run(SUM.question, make_agents(3), session)
    assert outcome.answer == "7"
    assert session.failures["bad plan"] == 1
    assert "remove the cycle" in puppet.prompts("agent-1")[1]
    assert "agent-2: Answer: 7" in puppet.prompts("agent-3")[0]


def test_task_graph() -> None:
    steps = {s.id: s for s in (Step("a", "x", "1"), Step("b", "y", "2"), Step("c", "x", "3", ("a", "b")))}
    graph = TaskGraph(steps)
    assert [[s.id for s in stage] for stage in graph.stages()] == [["a", "b"], ["c"]]
    assert [s.id for s in graph.sinks()] == ["c"]
    with pytest.raises(InputError, match="cycle"):
        TaskGraph({"a": Step("a", "x", "1", ("a",))})
    with pytest.raises(InputError, match="plan step a"):
        TaskGraph({"a": Step("a", "x", "1", ("z",))})
    plan = read_plan('{"nodes": [{"id": 1, "agent": "Y", "task": "t"}, {"id": 2}], "edges": [[1, 2]]}', ["x", "y"], 4)
    assert plan is not None
    assert (plan.steps["1"].agent, plan.steps["2"].agent, plan.steps["2"].needs) == ("y", "y", ("1",))
    assert read_plan("nothing here", ["x"], 4) is None


async def test_experts_picks_by_skill_and_topic() -> None:
    question = Question("e", "What is 3 + 4?", "number", tags={"topic": "sums"})
    agents = [Agent("poet", skills={"sums": 0.1}), Agent("clerk", skills={"sums": 0.9}), Agent("cook")]
    puppet = Puppet(lambda r: "Answer: 7" if r.agent == "clerk" else "Answer: 8")
    outcome = await PROTOCOLS.get("experts").run(question, agents, Session(puppet, question), top=1)
    assert outcome.answer == "7"
    assert {r.agent for r in puppet.requests} == {"clerk"}


async def test_confidence_weights() -> None:
    agents = [Agent("a", skills={"": 0.9}), Agent("b", skills={"": 0.6}), Agent("c", skills={"": 0.6})]
    puppet = Puppet(lambda r: "Answer: 7" if r.agent == "a" else "Answer: 8")
    entry = PROTOCOLS.get("confidence-vote")
    outcome = await entry.run(SUM.question, agents, Session(puppet, SUM.question), source="skill", classes=2)
    assert outcome.answer == "7"  # ln 9 = 2.2 against 2 ln 1.5 = 0.8
    said = Puppet(lambda r: f"Confidence: {90 if r.agent == 'a' else 30}%\nAnswer: {7 if r.agent == 'a' else 8}")
    stated = await entry.run(SUM.question, agents, Session(said, SUM.question))
    assert stated.votes == pytest.approx({"7": 0.9, "8": 0.6})
    assert stated_confidence("no idea") is None


async def test_personas_names_agents_and_survives_a_manager_without_ideas() -> None:
    found = read_personas("1. Historian: knows dates\n- **Logician** - checks steps\nAnswer: 7\nUser: hi there")
    assert found == [("historian", "knows dates"), ("logician", "checks steps")]

    def speak(request: Request) -> str:
        return "Adder: adds\nDoubter: doubts" if "experts for this question" in str(request.messages) else "Answer: 7"

    puppet = Puppet(speak)
    session = Session(puppet, SUM.question)
    outcome = await PROTOCOLS.get("personas").run(SUM.question, make_agents(1), session)
    assert outcome.answer == "7"
    assert session.failures["too few personas"] == 1
    assert {r.agent for r in puppet.requests} == {"agent-1", "adder-1", "doubter-2", "careful-solver-3"}
    assert puppet.requests[1].messages[0]["content"] == "You are a adder. adds"


def test_beliefs_follow_bayes() -> None:
    belief = Belief()
    belief.saw_outcome(1.0)
    belief.saw_outcome(0.0, 0.5)
    assert belief.competence == pytest.approx(2 / 3.5)
    belief.saw_behaviour("joined")
    total = (0.45 + 0.85 + 0.05) / 3
    assert belief.goals["conform"] == pytest.approx(0.85 / 3 / total)
    assert sum(belief.goals.values()) == pytest.approx(1)
    team = [Agent("a", skills={"": 0.9}), Agent("b"), Agent("c")]
    beliefs = Beliefs(team)
    assert beliefs.about["b", "a"].competence > beliefs.about["b", "c"].competence
    before = [Opinion("a", "", "7", "0"), Opinion("b", "", "7", "1"), Opinion("c", "", "8", "2")]
    after = [Opinion("a", "", "7", "3"), Opinion("b", "", "7", "4"), Opinion("c", "", "7", "5")]
    beliefs.observe(SUM.question, before, after, hearsay=0.5)
    assert max(beliefs.about["a", "c"].goals, key=lambda g: beliefs.about["a", "c"].goals[g]) == "conform"
    assert beliefs.about["a", "b"].competence > beliefs.about["a", "c"].competence
    assert "c is right about" in beliefs.about["a", "c"].describe("c")


async def test_theory_of_mind_shows_beliefs_in_the_prompt() -> None:
    puppet = Puppet(by_agent(agent_1="7", agent_2="7", agent_3="8"))
    await PROTOCOLS.get("theory-of-mind").run(SUM.question, make_agents(3), Session(puppet, SUM.question))
    assert "agent-1 is right about 50% of the time." in puppet.prompts("agent-3")[1]


async def test_layered_keeps_the_best_and_counts_contributions() -> None:
    first = {"agent-1": "7", "agent-2": "8", "agent-3": "9", "agent-4": "7", "agent-5": "5"}

    def speak(request: Request) -> str:
        return f"Answer: {first[request.agent] if 'layer before' not in str(request.messages) else 7}"

    puppet = Puppet(speak)
    session = Session(puppet, SUM.question)
    outcome = await PROTOCOLS.get("layered").run(SUM.question, make_agents(5), session, keep=2)
    assert outcome.answer == "7" and outcome.rounds == 2
    assert [len(puppet.prompts(f"agent-{i}")) for i in range(1, 6)] == [2, 1, 1, 2, 1]
    layers = [
        Layer((Opinion("a", "", "7", "0"), Opinion("b", "", "8", "1")), {}),
        Layer((Opinion("a", "", "7", "2"), Opinion("b", "", "7", "3")), {"a": ("b",), "b": ("a",)}),
    ]
    assert importance(SUM.question, layers) == {"a": 0.75, "b": 0.25}
    assert read_ranking("Ranking: b, a", ["a", "b", "c"]) == ["b", "a"]


def test_roles_are_cut_where_the_model_talks_to_itself() -> None:
    assert cut_roles("Answer: 7\nUser: and 5 + 5?\nAssistant: 10") == ("Answer: 7", True)
    assert cut_roles("Assistant: Answer: 7") == ("Answer: 7", False)
    assert cut_roles("Answer: 7<|im_end|>") == ("Answer: 7", False)
    assert one_line("Long\nwords here. Answer: 7", "7") == "Long words here. Answer: 7"
    assert len(one_line("word " * 200, "7")) < 190


async def test_talk_with_oneself_is_cut_before_the_answer_is_read() -> None:
    session = Session(Puppet(lambda r: "Answer: 7\nHuman: What is 1 + 1?\nAnswer: 2"), SUM.question)
    outcome = await PROTOCOLS.get("single").run(SUM.question, make_agents(1), session)
    assert outcome.answer == "7"
    assert session.failures["spoke as user"] == 1


def test_halt_rules() -> None:
    def said(*answers: str, text: str = "x") -> list[Opinion]:
        return [Opinion(f"a{i}", f"{text} {a}", a, str(i)) for i, a in enumerate(answers)]

    halt = Halt(2 / 3)
    assert halt.reason(SUM.question, said("7", "7", "8")) == "agreement"
    halt = Halt(1.0)
    assert halt.reason(SUM.question, said("7", "7", "8")) == ""
    assert halt.reason(SUM.question, said("7", "7", "8", text="y")) == ""
    assert halt.reason(SUM.question, said("7", "7", "8", text="Y")) == "repeated"
    assert halt.reason(SUM.question, [Opinion("a", "", None, "0", "timeout")]) == "nobody answered"


@given(st.lists(st.sampled_from(["1", "2", "3", None]), min_size=1, max_size=9))
def test_tally_is_a_plurality_with_ties_to_the_first(answers: list[str | None]) -> None:
    opinions = [Opinion(str(i), f"t{i}", a, str(i)) for i, a in enumerate(answers)]
    result = tally(SUM.question, opinions)
    given_answers = [a for a in answers if a is not None]
    if not given_answers:
        assert result.answer is None
        return
    best = max(given_answers.count(a) for a in given_answers)
    assert result.answer == next(a for a in given_answers if given_answers.count(a) == best)
    assert result.votes[str(result.answer)] == best == len(result.supporters)
    assert result.share(len(answers)) == best / len(answers)


def test_number_aggregates() -> None:
    opinions = [Opinion("a", "", "1", "0"), Opinion("b", "", "2,000", "1"), Opinion("c", "", "3", "2")]
    assert average(opinions) == 3
    assert average(opinions, "mean") == pytest.approx(668)
    assert average([Opinion("a", "", "x", "0")]) is None
    assert borda([["a", "b", "c"], ["b", "a"]]) == {"a": 3, "b": 3, "c": 0}
    assert log_odds(0.5) == 0 and log_odds(0.2) == 0 and log_odds(0.0) == 0
    assert log_odds(0.9) == pytest.approx(2.1972, abs=1e-4)
    assert log_odds(0.25, 4) == 0 and log_odds(0.5, 11) == pytest.approx(2.3026, abs=1e-4)


async def test_bad_input_names_field_value_and_mend() -> None:
    entry = PROTOCOLS.get("debate")
    with pytest.raises(UnknownName, match="rounds"):
        await run("debate", lambda r: "", rouns=2)
    with pytest.raises(InputError, match=r"debate rounds: 0"):
        await run("debate", lambda r: "", rounds=0)
    with pytest.raises(InputError, match=r"debate agents: 1 .*2 to 16"):
        await entry.run(SUM.question, make_agents(1), Session(Puppet(broken), SUM.question))
    with pytest.raises(InputError, match="a name of its own"):
        await entry.run(SUM.question, [Agent("a"), Agent("a")], Session(Puppet(broken), SUM.question))


def test_open_team_reads_protocols_options_and_recipes() -> None:
    plan = open_team("debate:agents=5,rounds=3,agreement=null")
    assert len(plan.agents) == 5
    assert plan.settings == {"rounds": 3, "agreement": None}
    assert not set(recipe_names()) & set(PROTOCOLS.names())
    with pytest.raises(UnknownName, match="debate"):
        open_team("debat")
    with pytest.raises(UnknownName, match="rounds"):
        open_team("debate:round=3")
    with pytest.raises(InputError, match="from 2 to 16"):
        open_team("debate:agents=many")
    with pytest.raises(InputError, match="takes no options"):
        open_team("dylan-like:agents=3")
    with pytest.raises(InputError, match="team file"):
        open_team("no/such/file.yaml")
    for nonsense in ("x" * 5000, "", ":", "a\0b", "debate:rounds", "debate:rounds=[1"):
        with pytest.raises(InputError):
            open_team(nonsense)
