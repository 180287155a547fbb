"""Synchronous message passing: the LOCAL model of distributed computing, for any graph and any agent.

An agent is a callable. It is built from a ``View`` (its own name, its neighbours' names, the number of agents and of
rounds) and then called once a round with what its neighbours sent it; it hands back an outbox. It never gets hold of
the graph, and the mailroom lets an outbox reach neighbours only, so information travels at most one hop a round.

With R rounds there are R + 1 calls per agent: rounds 0 to R - 1 compose, and round R delivers the last messages and
takes the answer. All outboxes of a round are collected before any is delivered.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from shoal.errors import InputError
from shoal.teams.message_passing.graphs import Graph
from shoal.teams.message_passing.problems import check_rounds
from shoal.teams.session import Session
from shoal.traces import TraceWriter

Outbox = Mapping[str, Any]
"""Content by receiver's name: text, or a JSON value among scripted agents. A neighbour left out gets nothing."""


@dataclass(frozen=True, slots=True)
class View:
    """All that an agent knows at the start.

    Attributes:
        name: its own name.
        neighbours: whom it can write to.
        count: number of agents in the network.
        rounds: number of deliveries, R.
    """

    name: str
    neighbours: tuple[str, ...]
    count: int
    rounds: int


@dataclass(slots=True)
class Turn:
    """One call of an agent.

    Attributes:
        round: 0 to R.
        inbox: what neighbours sent in the round before, by sender.
        options: the valid answers in the last round; empty before.
        parents: trace events this turn follows from: the messages, and the agent's own last turn.
    """

    round: int
    inbox: dict[str, Any]
    options: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()

    @property
    def last(self) -> bool:
        """Whether an answer is asked for instead of an outbox."""
        return bool(self.options)


Agent = Callable[[Turn], Outbox | str | None]
"""Returns an outbox, or in the last turn one of the options (None if it has no answer)."""


@dataclass(frozen=True, slots=True)
class Said:
    """What an asynchronous agent hands back: an outbox or an answer, and the trace event it was settled in."""

    value: Outbox | str | None
    event: str = ""


AsyncAgent = Callable[[Turn], Awaitable[Said]]


@dataclass(slots=True)
class Conversation:
    """What came of a number of rounds.

    Attributes:
        answers: one per node; None where none was given.
        rounds: deliveries that were held.
        messages: texts delivered, one per receiver.
        dropped: texts not delivered, by reason: "not a neighbour", "unknown name", "lost", "inspector", and
            "not JSON", and "not an outbox" for turns that gave something else.
    """

    answers: list[str | None]
    rounds: int
    messages: int = 0
    dropped: Counter[str] = field(default_factory=Counter)


def views(graph: Graph, rounds: int) -> list[View]:
    """The view of each node."""
    names = graph.names
    return [
        View(names[v], tuple(names[u] for u in around), graph.n, rounds) for v, around in enumerate(graph.neighbours)
    ]


@dataclass
class Mailroom:
    """Delivers outboxes along the edges of a graph, and nowhere else.

    Attributes:
        graph: who is beside whom.
        loss: chance that a message is lost on its way.
        seed: of the losses.
        trace: where messages are written; None writes nothing.
        session: for language-model teams: messages go through ``session.send`` and so through its inspectors.
        start: the event that began it all, the parent of every first turn.
        messages: texts delivered so far.
        dropped: texts not delivered so far, by reason.
    """

    graph: Graph
    loss: float = 0.0
    seed: int = 0
    trace: TraceWriter | None = None
    session: Session | None = None
    start: str = ""
    messages: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        if not 0 <= self.loss <= 1:
            raise InputError("loss", self.loss, "Give a chance from 0 to 1.")
        names = self.graph.names
        self._beside = [{names[u]: u for u in around} for around in self.graph.neighbours]
        self._chance = random.Random(self.seed)
        self._parents: list[list[str]] = [[self.start] if self.start else [] for _ in names]

    @property
    def traced(self) -> bool:
        """Whether anything is written."""
        return self.trace is not None or self.session is not None

    def parents(self, node: int) -> tuple[str, ...]:
        """Events behind the node's next turn."""
        return tuple(self._parents[node])

    def deliver(self, outboxes: Sequence[Any], events: Sequence[str]) -> list[dict[str, Any]]:
        """The inboxes [n] that follow from all outboxes [n] of one round, composed in the given events [n]."""
        inboxes: list[dict[str, Any]] = [{} for _ in outboxes]
        self._parents = [[event] if event else [] for event in events]
        for sender, outbox in enumerate(outboxes):
            if not isinstance(outbox, Mapping):
                self.dropped["not an outbox"] += 1
                continue
            beside = self._beside[sender]
            checked: Any = _NOTHING
            for name, content in outbox.items():
                receiver = beside.get(name)
                if receiver is not None and content is not checked:
                    sealed = seal(content)
                    if sealed is content:
                        checked = content  # immutable: need not be looked at again for the next receiver
                    content = sealed
                if receiver is None:
                    reason = "not a neighbour" if name in self.graph.index else "unknown name"
                    self._drop(sender, name, content, events[sender], reason)
                elif content is _NOTHING:
                    self._drop(sender, name, None, events[sender], "not JSON")
                elif self.loss and self._chance.random() < self.loss:
                    self._drop(sender, name, content, events[sender], "lost")
                elif self.traced:
                    self._send(sender, name, content, events[sender], inboxes)
                else:
                    inboxes[receiver][self.graph.names[sender]] = content
                    self.messages += 1
        return inboxes

    def _send(self, sender: int, name: str, content: Any, event: str, inboxes: list[dict[str, Any]]) -> None:
        """Deliver one message and write it down."""
        author, beside = self.graph.names[sender], self._beside[sender]
        behind = (event,) if event else ()
        reached: tuple[str, ...] = (name,)
        if self.session is not None:
            message = self.session.send(author, [name], content, behind)
            if message is None:
                self.dropped["inspector"] += 1
                return
            reached, content, written = message.receivers, message.content, message.event
        else:
            assert self.trace is not None
            written = self.trace.write("message", author, {"to": [name], "content": content}, behind)
        for other in reached:
            receiver = beside.get(other)  # an inspector may have changed the address; edges hold for it too
            if receiver is None:
                self.dropped["not a neighbour"] += 1
                continue
            inboxes[receiver][author] = content
            self._parents[receiver].append(written)
            self.messages += 1

    def _drop(self, sender: int, name: str, content: Any, event: str, reason: str) -> None:
        self.dropped[reason] += 1
        trace = self.session.trace if self.session is not None else self.trace
        if trace is not None:
            payload = {"to": [name], "content": content, "reason": reason}
            trace.write("message.dropped", self.graph.names[sender], payload, (event,) if event else ())


def converse(
    graph: Graph,
    agents: Sequence[Agent],
    rounds: int,
    options: Sequence[tuple[str, ...]],
    *,
    loss: float = 0.0,
    seed: int = 0,
    trace: TraceWriter | None = None,
    start: str = "",
) -> Conversation:
    """Let agents talk for a number of rounds and take their answers.

    Args:
        graph: who may talk to whom.
        agents: one per node.
        rounds: deliveries R, at least 0.
        options: the valid answers of each node; an answer outside them counts as None.
        loss: chance that a message is lost.
        seed: of the losses.
        trace: writes a "decision" event per turn and a "message" event per text, if given.
        start: id of the event that began the task, if it was written.

    Raises:
        InputError: negative rounds, a chance outside 0..1, or a number of agents other than n.
    """
    check_rounds(rounds)
    _one_each(graph, agents)
    mailroom = Mailroom(graph, loss, seed, trace, start=start)
    inboxes: list[dict[str, Any]] = [{} for _ in agents]
    events = [""] * graph.n
    for round_ in range(rounds):
        outboxes = [agent(Turn(round_, inbox)) for agent, inbox in zip(agents, inboxes, strict=True)]
        if trace is not None:
            events = [
                trace.write("decision", name, {"decision": "outbox", "round": round_}, mailroom.parents(v))
                for v, name in enumerate(graph.names)
            ]
        inboxes = mailroom.deliver(outboxes, events)
    answers = []
    for v, agent in enumerate(agents):
        said = agent(Turn(rounds, inboxes[v], options[v]))
        answers.append(said if isinstance(said, str) and said in options[v] else None)
        if trace is not None:
            facts = {"decision": "answer", "round": rounds, "answer": answers[v]}
            trace.write("decision", graph.names[v], facts, mailroom.parents(v))
    return Conversation(answers, rounds, mailroom.messages, mailroom.dropped)


async def converse_async(
    graph: Graph,
    agents: Sequence[AsyncAgent],
    rounds: int,
    options: Sequence[tuple[str, ...]],
    session: Session,
    *,
    loss: float = 0.0,
    seed: int = 0,
    start: str = "",
) -> Conversation:
    """The same for language models: all agents of a round are asked at once, and messages go through the session.

    The agents write their own compose events and hand back their ids (see ``Said``). Arguments and errors as in
    ``converse``; BudgetExceeded ends the conversation.
    """
    check_rounds(rounds)
    _one_each(graph, agents)
    mailroom = Mailroom(graph, loss, seed, session=session, start=start)
    inboxes: list[dict[str, Any]] = [{} for _ in agents]
    for round_ in range(rounds):
        turns = [Turn(round_, inbox, (), mailroom.parents(v)) for v, inbox in enumerate(inboxes)]
        said = await session.gather(*(agent(turn) for agent, turn in zip(agents, turns, strict=True)))
        inboxes = mailroom.deliver([s.value for s in said], [s.event for s in said])
    turns = [Turn(rounds, inbox, options[v], mailroom.parents(v)) for v, inbox in enumerate(inboxes)]
    final = await session.gather(*(agent(turn) for agent, turn in zip(agents, turns, strict=True)))
    answers = [s.value if s.value in options[v] else None for v, s in enumerate(final)]
    return Conversation(answers, rounds, mailroom.messages, mailroom.dropped)


def seal(content: Any) -> Any:
    """The content as a value that nobody else can change, or the mark for what is not JSON.

    An object that its sender kept and changed later would carry news to everyone it was passed on to in no time.
    Immutable values are handed on as they are; lists and objects are copied.
    """
    kind = type(content)
    if kind in _IMMUTABLE:
        return content
    if kind is tuple and all(type(part) in _IMMUTABLE for part in content):
        return content
    try:
        return orjson.loads(orjson.dumps(content))
    except TypeError:
        return _NOTHING


_IMMUTABLE = frozenset({str, int, float, bool, type(None)})
_NOTHING = object()


def _one_each(graph: Graph, agents: Sequence[Any]) -> None:
    if len(agents) != graph.n:
        raise InputError("agents", len(agents), f"Give one per node: the graph has {graph.n}.")
