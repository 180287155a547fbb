"""Message passing by language models: the protocol, repairs, budgets, context, cost, and how replies are read."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from shoal.errors import BudgetExceeded, InputError
from shoal.models.interface import Completion, Model, Request
from shoal.runs import Budget, Limits
from shoal.stats import Evidence
from shoal.teams.message_passing import (
    Graph,
    Style,
    estimate_language,
    graph_from_edges,
    make_graph,
    run_language,
    transcript,
    views,
)
from shoal.teams.message_passing.language import MARKER, fit_context, parse_answer, parse_outbox, system_message
from shoal.teams.message_passing.transcripts import lines
from shoal.teams.session import Message, Session
from shoal.traces import Trace, TraceWriter, Usage, read_trace


class Flooder(Model):
    """Elects the alphabetically first name by writing JSON: a stand-in that obeys the protocol to the letter."""

    spec = identity = "test:flooder"
    evidence = Evidence.ENDPOINT

    def __init__(self, spoil: tuple[str, ...] = (), context: int | None = None) -> None:
        self.spoil, self.context, self.requests = set(spoil), context, list[Request]()

    def price(self, usage: Usage) -> float:
        return 0.001 * usage.tokens

    async def complete(self, request: Request) -> Completion:
        self.requests.append(request)
        system, latest = request.messages[0]["content"], request.messages[-1]["content"]
        me = re.findall(r"You are ([^,]+), one of", system)[0]
        around = re.findall(r"Your neighbours are: (.*)\.", system)[0].split(", ")
        texts = [m["content"] for m in request.messages if m["role"] == "user"]
        least = min([me, *re.findall(r"least is ([^.\n]+)\.", "\n".join(texts))])
        if "rounds are over" in "".join(texts[-2:]):
            kind, reply = "answer", f"I think so. {MARKER} {'Yes' if least == me else 'No'}"
        else:
            messages = ", ".join(f'"{name}": "least is {least}."' for name in around)
            kind, reply = "outbox", "Let me think {about it}. {" + messages + "}"
        repairing = "could be read" in latest
        if kind in self.spoil and (not repairing or f"{kind} twice" in self.spoil):
            reply = "I would rather not say."
        if "stranger" in self.spoil and kind == "outbox":
            reply = reply[:-1] + ', "Ada": "psst", "Zora": "psst"}'
        return Completion(reply, Usage(100, 20, 1))


async def elect(model: Model, tmp_path: Path, **options: Any) -> tuple[Any, Trace, Graph]:
    graph = graph_from_edges(5, [(0, 1), (1, 2), (2, 3), (3, 4), (4, 0)], seed=2, family="ring")
    graph = Graph("ring", graph.neighbours, ("Max", "Ada", "Lena", "Zora", "Otto"), graph.diameter)
    with TraceWriter(tmp_path / "events.jsonl", "run") as trace:
        session = Session(model, trace=trace, seed=1)
        run = await run_language(graph, "leader", 5, session, **options)
    return run, read_trace(tmp_path / "events.jsonl"), graph


async def test_a_language_team_that_obeys_the_protocol_elects_a_leader(tmp_path: Path) -> None:
    model = Flooder()
    run, trace, graph = await elect(model, tmp_path)
    assert run.solved
    assert run.answers == ("No", "Yes", "No", "No", "No")
    assert run.failures == {}
    assert len(model.requests) == graph.n * 6
    assert run.messages == 2 * 5 * 5
    estimate = trace.of_kind("decision")[0].payload
    assert estimate["decision"] == "cost estimate"
    assert estimate["calls"] == 30
    assert trace.of_kind("task.end")[0].payload["solved"] is True
    start = trace.of_kind("task.start")[0].payload
    assert (start["diameter"], start["max_degree"], start["rounds"], start["model"]) == (2, 2, 5, "test:flooder")
    assert len([line for line in lines(trace) if line.run == 1]) == 50
    assert "Ada -> Max: least is Ada." in transcript(trace)


async def test_all_agents_of_a_round_are_asked_at_once(tmp_path: Path) -> None:
    import asyncio

    class Counting(Flooder):
        now = most = 0

        async def complete(self, request: Request) -> Completion:
            self.now += 1
            self.most = max(self.most, self.now)
            await asyncio.sleep(0.001)
            self.now -= 1
            return await super().complete(request)

    model = Counting()
    await elect(model, tmp_path)
    assert model.most == 5


async def test_language_events_name_their_causes(tmp_path: Path) -> None:
    _, trace, _ = await elect(Flooder(), tmp_path)
    by_id = {event.id: event for event in trace}
    for event in trace.of_kind("message"):
        (parent,) = event.parents
        assert by_id[parent].payload["decision"] == "outbox"
        assert by_id[parent].agent == event.agent
    calls = trace.of_kind("model.call")
    assert Counter(len(call.parents) for call in calls) == {1: 5, 3: 25}
    for call in calls:
        senders = {by_id[p].agent for p in call.parents if by_id[p].kind == "message"}
        assert call.agent not in senders


async def test_one_repair_is_asked_for_and_then_the_turn_is_empty(tmp_path: Path) -> None:
    run, _, _ = await elect(Flooder(("outbox", "answer")), tmp_path)
    assert run.solved
    assert run.failures["Max"] == {"outbox repaired": 5, "answer repaired": 1}
    run, _, _ = await elect(Flooder(("outbox", "outbox twice", "answer", "answer twice")), tmp_path)
    assert run.answers == (None,) * 5
    assert run.soft == 0
    assert run.messages == 0
    assert run.failures["Ada"] == {"outbox unreadable": 5, "answer unreadable": 1}
    assert run.failed("outbox unreadable") == 25


async def test_text_to_known_names_that_are_no_neighbours_is_counted(tmp_path: Path) -> None:
    run, trace, _ = await elect(Flooder(("stranger",)), tmp_path)
    assert run.dropped["not a neighbour"] > 0
    assert len(trace.of_kind("message.dropped")) == run.dropped["not a neighbour"]
    assert "[dropped: not a neighbour]" in transcript(trace)


async def test_inspectors_and_loss_cut_messages(tmp_path: Path) -> None:
    graph = make_graph("ring", 4, 1)
    run = await run_language(graph, "leader", 5, Session(Flooder()), loss=1.0)
    assert (run.messages, run.dropped) == (0, {"lost": 40})
    assert not run.solved

    def censor(message: Message) -> Message | None:
        return None if message.sender == graph.names[0] else message

    run = await run_language(graph, "leader", 5, Session(Flooder(), inspectors=[censor]))
    assert run.dropped == {"inspector": 10}
    silent = await run_language(graph, "leader", 0, Session(Flooder()))
    assert silent.answers == ("Yes",) * 4


async def test_a_spent_budget_ends_the_run() -> None:
    session = Session(Flooder(), budget=Budget(Limits(calls=7)))
    with pytest.raises(BudgetExceeded, match="7 calls"):
        await run_language(make_graph("ring", 4, 1), "leader", 5, session)
    assert session.usage.calls <= 7


async def test_large_graphs_need_a_raised_limit() -> None:
    graph = make_graph("WS", 20, 1)
    model = Flooder()
    with pytest.raises(InputError, match="at most 16"):
        await run_language(graph, "leader", 2, Session(model))
    assert not model.requests
    await run_language(graph, "leader", 1, Session(model), max_nodes=20)
    assert len(model.requests) == 40
    small = Flooder()
    small.evidence = Evidence.LOCAL  # type: ignore[misc]
    with pytest.raises(InputError, match="at most 4"):
        await run_language(make_graph("WS", 8, 1), "leader", 2, Session(small))


def test_cost_is_calls_times_a_growing_context() -> None:
    graph = make_graph("ring", 4, 1)
    model = Flooder()
    session = Session(model)
    estimate = estimate_language(graph, "leader", 3, session, Style(max_tokens=30))
    assert estimate.calls == 4 * 4
    assert estimate.completion_tokens == 16 * 30
    system = [model.count_tokens(system_message("leader", v, 3, Style())) for v in views(graph, 3)]
    growth = 30 + 60 + 2 * 10  # own reply, the round's frame, two neighbours' texts of a third of a reply each
    assert estimate.prompt_tokens == sum(4 * (s + 60) + growth * (0 + 1 + 2 + 3) for s in system)
    assert estimate.money == pytest.approx(0.001 * estimate.tokens)
    assert estimate.overflowing == 0
    longer = estimate_language(graph, "leader", 30, session, Style(max_tokens=30))
    assert longer.prompt_tokens > 10 * estimate.prompt_tokens  # more than calls alone: the square of rounds
    cut = estimate_language(graph, "leader", 30, Session(Flooder(context=1000)), Style(max_tokens=30))
    assert cut.overflowing == 4
    assert cut.prompt_tokens < longer.prompt_tokens


async def test_long_conversations_lose_their_oldest_rounds_and_say_so(tmp_path: Path) -> None:
    model = Flooder(context=620)
    run, trace, _ = await elect(model, tmp_path, style=Style(max_tokens=100))
    assert len(run.failures) == 5
    assert all(counts["rounds left out"] > 0 for counts in run.failures.values())
    cut = [r for r in model.requests if "left out" in r.messages[1]["content"]]
    assert cut
    assert all(r.messages[0]["role"] == "system" and r.messages[1]["role"] == "user" for r in cut)
    assert any(e.payload.get("decision") == "context cut" for e in trace)
    longest = max(sum(model.count_tokens(m["content"]) + 4 for m in r.messages) for r in model.requests)
    assert longest + 100 <= 620


def test_fit_context_keeps_the_ends() -> None:
    chat: list[list[Any]] = [[{"role": "system", "content": "s" * 40}]]
    chat += [[{"role": "user", "content": f"{i}" * 400}, {"role": "assistant", "content": "a" * 400}] for i in range(5)]
    whole, left = fit_context(chat, None, len)
    assert (len(whole), left) == (11, 0)
    some, left = fit_context(chat, 1800, len)
    assert left == 3
    assert some[1]["content"].startswith("(The oldest 3 rounds")
    least, left = fit_context(chat, 10, len)
    assert left == 4  # this turn stays, whatever its length
    assert len(least) == 3


NAMES = ("Ada", "Max", "Lena")


@pytest.mark.parametrize(
    ("text", "outbox"),
    [
        ('{"Ada": "hi"}', {"Ada": "hi"}),
        ('Sure! ```json\n{"Ada": "hi", "Max": "ho"}\n```', {"Ada": "hi", "Max": "ho"}),
        ('I could send {"Ada": "x"}, but: {"Ada": "y"}', {"Ada": "y"}),
        ('{think} {"Max": "braces {\\"Ada\\": \\"no\\"} inside"}', {"Max": 'braces {"Ada": "no"} inside'}),
        ('{"messages": {"Lena": "nested"}}', {"Lena": "nested"}),
        ('{"Ada": "line\nbreak"}', {"Ada": "line\nbreak"}),
        ("{}", {}),
        ('{"Bob": "hi"}', None),
        ('{"Ada": 3}', None),
        ('{"Ada": "hi"', None),
        ("no messages", None),
        ("{" * 5000, None),
    ],
)
def test_outboxes_are_read_from_any_braces(text: str, outbox: dict[str, str] | None) -> None:
    assert parse_outbox(text, NAMES) == outbox


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (f"{MARKER} Group 10", "Group 10"),
        (f"so: {MARKER}\n\nGroup 1.", "Group 1"),
        (f"{MARKER} Group 12", None),
        ("Group 1", None),
        (f"{MARKER} group 1", None),
        (f"{MARKER} I say Group 1", None),
        (f"{MARKER} hm. {MARKER} Group 2", "Group 2"),
    ],
)
def test_answers_follow_the_marker(text: str, answer: str | None) -> None:
    assert parse_answer(text, [f"Group {k}" for k in range(1, 11)]) == answer


async def test_constrained_mode_sends_schemas(tmp_path: Path) -> None:
    class Obedient(Flooder):
        async def complete(self, request: Request) -> Completion:
            self.requests.append(request)
            assert request.schema is not None
            fields = request.schema["properties"]
            if "answer" in fields:
                return Completion(json.dumps({"answer": fields["answer"]["enum"][1]}))
            return Completion("{" + ", ".join(f'"{name}": "x"' for name in fields) + "}")

    run, _, _ = await elect(Obedient(), tmp_path, style=Style(constrained=True))
    assert run.answers == ("No",) * 5
    assert run.messages == 50
    assert run.failures == {}
