"""The session: trace, budget, failures, seeds, messages, structured replies."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from pydantic import BaseModel, Field

from shoal.errors import BudgetExceeded, ModelError
from shoal.models.interface import Completion, Model, Request
from shoal.models.structured import json_objects, parse_reply
from shoal.runs import Budget, Limits
from shoal.stats import Evidence
from shoal.tasks import Question
from shoal.teams.agent import Agent, make_agents
from shoal.teams.session import Message, Session
from shoal.traces import TraceWriter, Usage, read_trace


class Parrot(Model):
    """Says what it is told to, in order; then repeats the last user message."""

    spec = identity = "test:parrot"
    evidence = Evidence.SCRIPTED

    def __init__(self, *replies: str | ModelError) -> None:
        self.replies = list(replies)
        self.requests: list[Request] = []

    async def complete(self, request: Request) -> Completion:
        self.requests.append(request)
        await asyncio.sleep(0)
        reply = self.replies.pop(0) if self.replies else request.messages[-1]["content"]
        if isinstance(reply, ModelError):
            raise reply
        return Completion(reply, Usage(10, len(reply), 1))


async def test_ask_writes_the_call_with_its_causes(tmp_path: Path) -> None:
    trace = TraceWriter(tmp_path / "events.jsonl", "run")
    model = Parrot("first", "second")
    session = Session(model, Question("q1", "?"), trace)
    ann, bob = Agent("ann", persona="You are Ann."), Agent("bob")
    first = await session.ask(ann, "hello")
    message = session.send("ann", ["bob"], first.text, [first.event])
    assert message is not None
    second = await session.ask(bob, message.content, parents=[message.event])
    trace.close()
    _, call, sent, reply = read_trace(tmp_path / "events.jsonl")
    assert call.payload["prompt"] == [
        {"role": "system", "content": "You are Ann."},
        {"role": "user", "content": "hello"},
    ]
    assert sent.parents == (call.id,)
    assert reply.parents == (sent.id,)
    assert reply.id == second.event
    assert session.usage.calls == 2
    assert session.messages == 1
    assert model.requests[0].question == "q1"


async def test_calls_get_distinct_and_repeatable_seeds() -> None:
    async def seeds(root: int) -> list[int]:
        model = Parrot()
        session = Session(model, seed=root)
        await session.gather(*(session.ask(agent, "hi") for agent in make_agents(3) for _ in range(3)))
        return [request.seed for request in model.requests]

    one = await seeds(1)
    assert len(set(one)) == 9
    assert one == await seeds(1)
    assert not set(one) & set(await seeds(2))


async def test_a_lost_call_is_an_empty_reply_that_is_counted(tmp_path: Path) -> None:
    trace = TraceWriter(tmp_path / "events.jsonl", "run")
    session = Session(Parrot(ModelError("timeout", "no answer in 1 s")), trace=trace)
    reply = await session.ask(Agent("ann"), "hello")
    assert (reply.text, reply.failed) == ("", "timeout")
    assert session.failures == {"timeout": 1}
    assert read_trace(tmp_path / "events.jsonl").events[-1].kind == "model.failure"


async def test_a_spent_budget_stops_before_the_call() -> None:
    model = Parrot("one", "two")
    session = Session(model, budget=Budget(Limits(calls=1)))
    await session.ask(Agent("ann"), "hello")
    with pytest.raises(BudgetExceeded):
        await session.ask(Agent("ann"), "hello")
    assert len(model.requests) == 1


async def test_the_longest_reply_shrinks_to_what_the_budget_leaves() -> None:
    model = Parrot("one")
    session = Session(model, budget=Budget(Limits(tokens=40)), max_tokens=1000)
    await session.ask(Agent("ann"), "x" * 40)
    assert model.requests[0].max_tokens == 40 - (10 + 4)


async def test_an_error_among_gathered_calls_cancels_the_rest() -> None:
    cancelled = []

    async def slow() -> None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async def wrong() -> None:
        await asyncio.sleep(0)
        raise BudgetExceeded("spent")

    with pytest.raises(BudgetExceeded):
        await Session(Parrot()).gather(slow(), wrong())
    assert cancelled == [True]


def test_inspectors_can_change_and_drop_messages() -> None:
    session = Session(Parrot())
    session.inspectors.append(lambda m: Message(m.sender, m.receivers, m.content.upper(), ""))
    changed = session.send("a", ["b", "c"], "hello")
    assert changed is not None
    assert changed.content == "HELLO"
    assert session.messages == 2
    session.inspectors.append(lambda m: None)
    assert session.send("a", ["b"], "hello") is None
    assert session.messages == 2


class Vote(BaseModel):
    answer: int = Field(ge=0)
    why: str


async def test_structured_replies_are_repaired_once_and_counted() -> None:
    model = Parrot("I think so.", '```json\n{"answer": 4, "why": "two and two"}\n```')
    session = Session(model)
    result = await session.ask_for(Agent("ann"), "What is 2+2?", Vote)
    assert result.value == Vote(answer=4, why="two and two")
    assert session.failures == {"bad json": 1}
    assert "valid JSON" in model.requests[1].messages[-1]["content"]
    hopeless = Session(Parrot('{"answer": -1, "why": ""}', "no"))
    assert (await hopeless.ask_for(Agent("ann"), "?", Vote)).value is None
    assert hopeless.failures == {"wrong schema": 1, "bad json": 1}


def test_json_is_found_among_words_and_hostile_text() -> None:
    assert json_objects('a {"b": {"c": 1}} d {"e": 2} {') == [{"b": {"c": 1}}, {"e": 2}]
    value, _ = parse_reply('{"x": 1} then {"answer": 3, "why": "y"}', Vote)
    assert value is not None
    deep = "{" * 100_000
    assert json_objects(deep) == []
    assert parse_reply('{"a":' * 50_000, Vote)[0] is None
