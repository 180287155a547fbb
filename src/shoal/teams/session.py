"""The session: how everything in a team happens.

It asks models, delivers messages, enforces the budget and writes the trace. A team is a plain async function of
(question, agents, session), so teams compose like any other functions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from shoal.errors import BudgetExceeded, InputError, ModelError
from shoal.models.interface import ChatMessage, Completion, Model, Request, TokenLogprob
from shoal.models.structured import parse_reply, repair_prompt
from shoal.models.tools import directions
from shoal.runs.budget import Budget
from shoal.runs.concurrency import gathered
from shoal.runs.seeds import derive
from shoal.tasks.problem import Question
from shoal.teams.agent import Agent
from shoal.traces import TraceWriter, Usage

V = TypeVar("V", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Reply:
    """What an agent said.

    Attributes:
        agent: its name.
        text: the reply; empty if the call failed.
        event: id of the trace event, to be used as a parent of what is made from it.
        logprobs: per token, where asked for and offered.
        failed: kind of failure, or empty.
        finish: why it ended, as the model says: "stop", "length" or another word.
    """

    agent: str
    text: str
    event: str
    logprobs: tuple[TokenLogprob, ...] | None = None
    failed: str = ""
    finish: str = ""


@dataclass(frozen=True, slots=True)
class Structured(Generic[V]):
    """A validated object, and the reply it was read from. ``value`` is None if no reply could be read."""

    value: V | None
    reply: Reply


@dataclass(frozen=True, slots=True)
class Message:
    """Content from one agent to others; ``event`` is its id in the trace."""

    sender: str
    receivers: tuple[str, ...]
    content: str
    event: str


@dataclass
class Session:
    """One team at work on one question.

    Attributes:
        model: the model of agents that have none of their own.
        question: what is worked on; only its id travels with requests.
        trace: where events go.
        budget: hard limits; shared between sessions where they share a purse.
        seed: root of the sampling seeds: each call of each agent gets its own.
        temperature: default for agents that set none.
        max_tokens: default longest reply.
        failures: failed attempts and lost calls, by kind.
        usage: spent by this session.
        messages: how many messages were sent, counted once per receiver.
        inspectors: called with each message before delivery; one may return another message, or None to drop it
            (fault injection, governance, channel ablation).
        channels: called with each message after it was recorded as sent; what they return is what arrives, None for
            nothing. Unlike inspectors they leave no mark in the trace: faults of the way itself.
        notices: texts by agent that stand before its next prompt, once (a message sent back with the reasons).
    """

    model: Model
    question: Question | None = None
    trace: TraceWriter = field(default_factory=lambda: TraceWriter(None, "session"))
    budget: Budget = field(default_factory=Budget)
    seed: int = 0
    temperature: float = 0.0
    max_tokens: int = 256
    failures: Counter[str] = field(default_factory=Counter)
    usage: Usage = field(default_factory=Usage)
    messages: int = 0
    inspectors: list[Callable[[Message], Message | None]] = field(default_factory=list)
    channels: list[Callable[[Message], Message | None]] = field(default_factory=list)
    notices: dict[str, list[str]] = field(default_factory=dict)
    _turns: Counter[str] = field(default_factory=Counter)

    async def ask(
        self,
        agent: Agent,
        prompt: str | Sequence[ChatMessage],
        *,
        parents: Iterable[str] = (),
        max_tokens: int | None = None,
        temperature: float | None = None,
        stop: tuple[str, ...] = (),
        logprobs: int = 0,
        schema: dict[str, Any] | None = None,
    ) -> Reply:
        """Ask one agent once.

        A model failure becomes an empty reply whose ``failed`` names it, written to the trace and counted; a spent
        budget raises BudgetExceeded, which ends the team cleanly.

        Args:
            agent: who is asked.
            prompt: a text (sent as one user message) or a whole chat; the agent's persona goes before it.
            parents: events that the prompt was made from.
            max_tokens: longest reply, over the agent's and the session's own.
            temperature: over the agent's and the session's own.
            stop: texts that end the reply.
            logprobs: alternatives to report per token.
            schema: JSON schema for models that can constrain their output.

        Raises:
            InputError: the agent has tools and its model cannot call any.
        """
        model = agent.model or self.model
        if agent.tools and not model.calls_tools:
            mend = f"{model.spec} cannot go on after a tool's result; seat a local:FOLDER or local:tiny-SKILL model."
            raise InputError(f"tools of {agent.name}", ", ".join(tool.name for tool in agent.tools), mend)
        turn = self._turns[agent.name]
        self._turns[agent.name] = turn + 1
        messages = self._chat(agent, prompt)
        longest = _first(max_tokens, agent.max_tokens, self.max_tokens)
        prompt_tokens = model.count_prompt(messages)
        left = self.budget.tokens_left(agent.name)
        if left is not None:
            longest = max(1, min(longest, left - prompt_tokens))
        request = Request(
            messages=messages,
            max_tokens=longest,
            temperature=_first(temperature, agent.temperature, self.temperature),
            stop=stop,
            seed=derive(self.seed, agent.name, turn),
            schema=schema,
            logprobs=logprobs,
            question=self.question.id if self.question else "",
            agent=agent.name,
            tools=agent.tools,
        )
        try:
            completion = await self._paid(agent, model, request, prompt_tokens, parents)
        except ModelError as error:
            self.failures.update(getattr(error, "failures", None) or {error.kind: 1})
            event = self.trace.write(
                "model.failure", agent.name, {"failure": error.kind, "error": str(error), "prompt": messages}, parents
            )
            return Reply(agent.name, "", event, failed=error.kind)
        self.usage.add(completion.usage)
        self.failures.update(completion.failures)
        payload: dict[str, Any] = {"prompt": messages, "text": completion.text, "finish": completion.finish}
        if completion.failures:
            payload["failures"] = completion.failures
        results = [
            self.trace.write(
                "tool.result", agent.name,
                {"tool": c.tool, "arguments": c.argument, "content": c.result, "error": c.failed}, parents,
            )
            for c in completion.calls
        ]  # fmt: skip
        event = self.trace.write("model.call", agent.name, payload, [*parents, *results], completion.usage)
        return Reply(agent.name, completion.text, event, completion.logprobs, finish=completion.finish)

    def _chat(self, agent: Agent, prompt: str | Sequence[ChatMessage]) -> list[ChatMessage]:
        """Persona, tools, notices that wait for the agent, and the prompt."""
        parts = [part for part in (agent.persona, directions(agent.tools)) if part]
        messages: list[ChatMessage] = [{"role": "system", "content": "\n".join(parts)}] if parts else []
        messages += [{"role": "user", "content": notice} for notice in self.notices.pop(agent.name, ())]
        return [*messages, {"role": "user", "content": prompt}] if isinstance(prompt, str) else [*messages, *prompt]

    async def _paid(
        self, agent: Agent, model: Model, request: Request, prompt_tokens: int, parents: Iterable[str]
    ) -> Completion:
        """The completion, within the budget: the most that it could cost is set aside, and settled when it is known."""
        reserved = prompt_tokens + request.max_tokens
        dearest = model.price(Usage(prompt_tokens, request.max_tokens, 1))
        try:
            self.budget.reserve(agent.name, reserved, dearest)
        except BudgetExceeded as error:
            self.trace.write("budget.stop", agent.name, {"reason": str(error)}, parents)
            raise
        usage: Usage | None = None
        try:
            completion = await model.complete(request)
            usage = completion.usage
            if not usage.cached:
                usage.money = model.price(usage)
            return completion
        finally:
            self.budget.settle(agent.name, reserved, usage, dearest)

    async def ask_for(
        self,
        agent: Agent,
        prompt: str | Sequence[ChatMessage],
        form: type[V],
        *,
        parents: Iterable[str] = (),
        retries: int = 1,
        max_tokens: int | None = None,
        temperature: float | None = None,
    ) -> Structured[V]:
        """Ask for a validated object: JSON in the reply is checked against ``form``, with repair requests.

        Failures to comply are counted under "bad json" and "wrong schema"; after the last retry the value is None.
        """
        chat: list[ChatMessage] = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
        schema = form.model_json_schema()
        reply = await self.ask(
            agent, chat, parents=parents, max_tokens=max_tokens, temperature=temperature, schema=schema
        )
        for attempt in range(retries + 1):
            value, problem = parse_reply(reply.text, form)
            if value is not None or reply.failed:
                return Structured(value, reply)
            self.failures[problem.kind] += 1
            if attempt == retries:
                break
            chat += [{"role": "assistant", "content": reply.text}, {"role": "user", "content": repair_prompt(problem)}]
            reply = await self.ask(
                agent, chat, parents=(reply.event,), max_tokens=max_tokens, temperature=temperature, schema=schema
            )
        return Structured(None, reply)

    async def gather(self, *calls: Awaitable[Any]) -> list[Any]:
        """Run calls at the same time, so that models can batch them; results in the order given.

        The first error cancels the rest and is raised.
        """
        return await gathered(calls)

    def send(self, sender: str, receivers: Sequence[str], content: str, parents: Iterable[str] = ()) -> Message | None:
        """Record a message and hand it to the inspectors; returns what is delivered, or None if it was dropped."""
        message: Message | None = Message(sender, tuple(receivers), content, "")
        for inspect in self.inspectors:
            if message is not None:
                message = inspect(message)
        if message is None:
            self.trace.write("message.dropped", sender, {"to": list(receivers), "content": content}, parents)
            return None
        event = self.trace.write(
            "message", sender, {"to": list(message.receivers), "content": message.content}, parents
        )
        self.messages += len(message.receivers)
        arriving: Message | None = Message(message.sender, message.receivers, message.content, event)
        for channel in self.channels:
            if arriving is not None:
                arriving = channel(arriving)
        return arriving

    def decide(self, agent: str, what: str, parents: Iterable[str] = (), **facts: Any) -> str:
        """Record a decision (a vote's outcome, a chosen agent, a stop) with its facts; returns the event id."""
        return self.trace.write("decision", agent, {"decision": what, **facts}, parents)


def _first(*values: Any) -> Any:
    return next(value for value in values if value is not None)
