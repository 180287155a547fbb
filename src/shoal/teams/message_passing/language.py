"""AgentsNet's protocol for language models: JSON outboxes, one repair, an answer after a marker.

Protocol after arXiv 2507.08616 and its code; the wording is our own. Differences from the code: an answer that begins
with another option ("Group 1" in "Group 10") is read as the longer one; JSON strings may contain line breaks; text to
agents that are no neighbours is logged before it is dropped; a conversation that outgrows the model's context loses
its oldest rounds, and the prompt says so.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from shoal.models.interface import ChatMessage
from shoal.runs.seeds import derive
from shoal.teams.agent import Agent
from shoal.teams.message_passing.cost import CostEstimate, check_size, estimate_cost
from shoal.teams.message_passing.engine import Said, Turn, View, converse_async, views
from shoal.teams.message_passing.graphs import Graph
from shoal.teams.message_passing.outcomes import TaskRun, finish, record_start
from shoal.teams.message_passing.problems import WORDINGS, answer_options, check_rounds
from shoal.teams.session import Reply, Session

MARKER = "### Final Answer ###"
OUTBOX_REPAIR = (
    "No messages could be read from that. Reply again with one JSON object that maps names of neighbours to texts."
)
ANSWER_REPAIR = "No answer could be read from that. Reply again: {marker} and then one of: {options}."


@dataclass(frozen=True, slots=True)
class Style:
    """How language models are asked.

    Attributes:
        chain_of_thought: ask for reasoning before each reply.
        constrained: ask the model to write JSON by grammar (a schema with each request), answers included. An aid
            that the published protocol does not have: shown apart.
        max_tokens: longest reply.
        expected_tokens: expected reply, for the cost estimate; None takes ``max_tokens``.
    """

    chain_of_thought: bool = True
    constrained: bool = False
    max_tokens: int = 512
    expected_tokens: int | None = None


def system_message(task: str, view: View, groups: int, style: Style) -> str:
    """What an agent is told at the start: the task, its place, and the rules of talk."""
    wording = WORDINGS[task]
    names = ", ".join(view.neighbours)
    parts = [
        f"You are {view.name}, one of {view.count} agents in a network. Each agent can talk to its neighbours only. "
        f"Your neighbours are: {names}.",
        f"Task: {wording.goal.format(groups=groups)}",
        f"All agents write at the same time, and what is written in one round is read in the next. There are "
        f"{view.rounds} rounds of messages. Agree with your neighbours on a way to proceed, and use the rounds well.",
        "In each round reply with one JSON object that maps the name of a neighbour to the text for it, such as "
        f'{{"{view.neighbours[0]}": "text"}}. A neighbour that you leave out gets nothing from you.',
        f"After the last round you are asked: {wording.question.format(groups=groups)}",
    ]
    if style.chain_of_thought and not style.constrained:
        parts.append("Think step by step before each reply, then give the JSON object.")
    return "\n".join(parts)


def round_message(turn: Turn, view: View) -> str:
    """What an agent reads at the start of a round before the last."""
    if turn.round == 0:
        return "The first round begins. Write your first messages."
    left = view.rounds - turn.round
    parts = [_delivery(turn, view)]
    if left == 1:
        parts.append("The messages that you write now are the last ones to be read.")
    else:
        parts.append(f"{left} more rounds of messages follow.")
    parts.append("Write your next messages as one JSON object.")
    return "\n".join(parts)


def answer_message(turn: Turn, view: View, task: str, groups: int, style: Style) -> str:
    """The question after the last round."""
    parts = [_delivery(turn, view)] if turn.round else []
    parts.append(f"The rounds are over. {WORDINGS[task].question.format(groups=groups)}")
    options = ", ".join(turn.options)
    if style.constrained:
        parts.append(f'Reply with {{"answer": ...}}, one of: {options}.')
    else:
        parts.append(f"Write {MARKER} and after it nothing but one of: {options}.")
    return "\n".join(parts)


def _delivery(turn: Turn, view: View) -> str:
    lines = [f"Message from {name}: {text}" for name, text in turn.inbox.items()]
    silent = [name for name in view.neighbours if name not in turn.inbox]
    if silent:
        lines.append(f"No message from: {', '.join(silent)}.")
    return "\n".join(lines)


def parse_outbox(text: str, names: Collection[str]) -> dict[str, str] | None:
    """The last JSON object of the text whose keys are all names of agents and whose values are strings, or None.

    Objects are tried from every opening brace; one inside another that was taken does not count. Names of agents that
    are no neighbours pass, as in the paper's code: the mailroom drops and logs what is addressed to them.
    """
    decoder = json.JSONDecoder(strict=False)
    found: dict[str, str] | None = None
    end = 0
    for match in list(re.finditer(r"\{", text))[:200]:
        if match.start() < end:
            continue
        try:
            value, stop = decoder.raw_decode(text, match.start())
        except (json.JSONDecodeError, RecursionError):
            continue
        if isinstance(value, dict) and all(k in names and isinstance(v, str) for k, v in value.items()):
            found, end = value, stop
    return found


def parse_answer(text: str, options: Sequence[str]) -> str | None:
    """The valid option right after the first marker that has one, or None."""
    longest_first = sorted(options, key=len, reverse=True)
    pattern = re.escape(MARKER) + r"\s*(" + "|".join(re.escape(o) for o in longest_first) + r")(?!\w)"
    match = re.search(pattern, text)
    return match.group(1) if match else None


def parse_constrained_answer(text: str, options: Sequence[str]) -> str | None:
    """The option under "answer" in the last JSON object that has it, or None."""
    found = parse_outbox(text, ("answer",)) or {}
    return found.get("answer") if found.get("answer") in options else None


def fit_context(
    rounds: Sequence[Sequence[ChatMessage]], limit: int | None, count: Callable[[str], int]
) -> tuple[list[ChatMessage], int]:
    """The conversation, without its oldest rounds where it is too long.

    Args:
        rounds: messages by round; the first entry (system message) and the last one (this turn) always stay.
        limit: most tokens of prompt; None for no limit.
        count: tokens of a text.

    Returns:
        The messages, with a note in place of what was left out, and the number of rounds left out.
    """
    sizes = [sum(count(m["content"]) + 4 for m in messages) for messages in rounds]
    note = 30
    left_out = 0
    total = sum(sizes)
    while limit is not None and left_out < len(rounds) - 2 and total + (note if left_out else 0) > limit:
        left_out += 1
        total -= sizes[left_out]
    kept = [m for messages in rounds[1 + left_out :] for m in messages]
    if left_out:
        text = f"(The oldest {left_out} rounds of this conversation are left out: it is too long.)\n"
        first = kept[0]
        kept[0] = {"role": first["role"], "content": text + first["content"]}
    return [*rounds[0], *kept], left_out


@dataclass
class LanguageAgent:
    """One node's language model, with its conversation.

    Attributes:
        view: what it knows.
        task: the task's name.
        groups: number of colours on offer (largest degree + 1).
        session: how it is asked.
        style: how.
        names: all names in the network, against which outbox keys are checked.
        failures: "outbox repaired", "outbox unreadable", "answer repaired", "answer unreadable", "call failed",
            "rounds left out".
    """

    view: View
    task: str
    groups: int
    session: Session
    style: Style
    names: frozenset[str]
    failures: Counter[str] = field(default_factory=Counter)
    _rounds: list[list[ChatMessage]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._agent = Agent(self.view.name, max_tokens=self.style.max_tokens)
        system = system_message(self.task, self.view, self.groups, self.style)
        self._rounds.append([{"role": "system", "content": system}])

    async def __call__(self, turn: Turn) -> Said:
        """Take one turn; its decision event is the parent of everything it sends."""
        if turn.last:
            return await self._answer(turn)
        self._rounds.append([{"role": "user", "content": round_message(turn, self.view)}])
        schema = _outbox_schema(self.view) if self.style.constrained else None
        reply = await self._ask(turn.parents, schema)
        outbox = parse_outbox(reply.text, self.names)
        if outbox is None:
            reply = await self._repair(OUTBOX_REPAIR, reply, schema)
            outbox = parse_outbox(reply.text, self.names)
            self.failures["outbox unreadable" if outbox is None else "outbox repaired"] += 1
        facts = {"round": turn.round, "to": sorted(outbox or ()), "readable": outbox is not None}
        event = self.session.decide(self.view.name, "outbox", (reply.event,), **facts)
        return Said(outbox or {}, event)

    async def _answer(self, turn: Turn) -> Said:
        text = answer_message(turn, self.view, self.task, self.groups, self.style)
        self._rounds.append([{"role": "user", "content": text}])
        read = parse_constrained_answer if self.style.constrained else parse_answer
        schema = _answer_schema(turn.options) if self.style.constrained else None
        reply = await self._ask(turn.parents, schema)
        answer = read(reply.text, turn.options)
        if answer is None:
            repair = ANSWER_REPAIR.format(marker=MARKER, options=", ".join(turn.options))
            reply = await self._repair(repair, reply, schema)
            answer = read(reply.text, turn.options)
            self.failures["answer unreadable" if answer is None else "answer repaired"] += 1
        event = self.session.decide(self.view.name, "answer", (reply.event,), round=turn.round, answer=answer)
        return Said(answer, event)

    async def _repair(self, text: str, reply: Reply, schema: dict[str, Any] | None) -> Reply:
        """Ask once more; the repair request stays in the conversation."""
        self._rounds[-1].append({"role": "user", "content": text})
        return await self._ask((reply.event,), schema)

    async def _ask(self, parents: Sequence[str], schema: dict[str, Any] | None) -> Reply:
        model = self.session.model
        limit = model.context - self.style.max_tokens - 16 if model.context else None
        chat, left_out = fit_context(self._rounds, limit, model.count_tokens)
        if left_out:
            self.failures["rounds left out"] = max(self.failures["rounds left out"], left_out)
            self.session.decide(self.view.name, "context cut", parents, rounds_left_out=left_out)
        reply = await self.session.ask(self._agent, chat, parents=parents, schema=schema)
        if reply.failed:
            self.failures["call failed"] += 1
        self._rounds[-1].append({"role": "assistant", "content": reply.text})
        return reply


def estimate_language(graph: Graph, task: str, rounds: int, session: Session, style: Style) -> CostEstimate:
    """What a run would cost, from the real system messages; also written to the trace as a decision."""
    count = session.model.count_tokens
    groups = graph.max_degree + 1
    system = [count(system_message(task, view, groups, style)) for view in views(graph, rounds)]
    expected = style.expected_tokens or style.max_tokens
    estimate = estimate_cost(graph, rounds, session.model, system, expected, style.max_tokens)
    session.decide("", "cost estimate", task=task, n=graph.n, rounds=rounds, **estimate.as_dict())
    return estimate


async def run_language(
    graph: Graph,
    task: str,
    rounds: int,
    session: Session,
    *,
    style: Style | None = None,
    loss: float = 0.0,
    max_nodes: int | None = None,
) -> TaskRun:
    """One task on one graph by language models, all agents of a round asked at once.

    The cost estimate is written to the trace first; call ``estimate_language`` to see it without running.

    Args:
        graph: who may talk to whom.
        task: one of TASKS.
        rounds: deliveries R; 0 is no communication.
        session: model, budget and trace.
        style: how the model is asked; None for the published protocol.
        loss: chance that a message is lost.
        max_nodes: over the default limit of 4 nodes for local models and 16 for endpoints.

    Raises:
        InputError: the graph is larger than that, or ``rounds`` is negative.
        BudgetExceeded: the session's budget is spent.
    """
    style = style or Style()
    check_rounds(rounds)
    check_size(graph, session.model, max_nodes)
    options = [answer_options(task, graph, v) for v in range(graph.n)]
    estimate_language(graph, task, rounds, session, style)
    start = record_start(session.trace, graph, task, rounds, session.model.spec)
    names = frozenset(graph.names)
    agents = [LanguageAgent(v, task, graph.max_degree + 1, session, style, names) for v in views(graph, rounds)]
    losses = derive(session.seed, "losses")
    talk = await converse_async(graph, agents, rounds, options, session, loss=loss, seed=losses, start=start)
    failures = {agent.view.name: dict(agent.failures) for agent in agents if agent.failures}
    return finish(graph, task, talk, failures=failures, trace=session.trace, start=start)


def _outbox_schema(view: View) -> dict[str, Any]:
    texts = {name: {"type": "string", "maxLength": 200} for name in view.neighbours}
    return {"type": "object", "properties": texts, "required": list(view.neighbours), "additionalProperties": False}


def _answer_schema(options: Sequence[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"answer": {"type": "string", "enum": list(options)}},
        "required": ["answer"],
        "additionalProperties": False,
    }
