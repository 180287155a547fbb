"""Reference distributed algorithms as scripted agents, using nothing but messages, with three labelled knobs.

Leader election and consensus flood the smallest random identifier; colouring and the maximal independent set behind
the vertex cover are greedy by random local priority (a node decides once all neighbours of higher priority have);
matching proposes and accepts in turns. All agents repeat their whole state every round, so that a lost message or a
missed turn delays them instead of deadlocking them. An agent that heard nobody answers as the random baseline does.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from shoal.errors import InputError
from shoal.runs.seeds import derive, generator
from shoal.teams.message_passing.engine import Agent, Outbox, Turn, View, converse, views
from shoal.teams.message_passing.graphs import Graph
from shoal.teams.message_passing.outcomes import TaskRun, finish, record_start
from shoal.teams.message_passing.problems import answer_options
from shoal.traces import TraceWriter


@dataclass(frozen=True, slots=True)
class Knobs:
    """How well a scripted agent follows its algorithm. These numbers are set, not measured.

    Attributes:
        competence: chance per turn of following the algorithm. In the other turns the agent does not read its inbox
            and sends nothing, or guesses a valid answer if it is the last: what an unreadable reply comes to.
        loss: chance that a message is dropped or unreadable on arrival.
        correlation: chance that an agent's coin for a turn is the one that all agents share in that round; 0: all
            errors independent, 1: all agents err together. The error rate of each agent stays the same.
    """

    competence: float = 1.0
    loss: float = 0.0
    correlation: float = 0.0

    def __post_init__(self) -> None:
        for name in ("competence", "loss", "correlation"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(name, getattr(self, name), "Give a chance from 0 to 1.")


def guess(task: str, options: Sequence[str], count: int, chance: random.Random) -> str:
    """A random valid answer: uniform, except that it is the leader with chance 1/count."""
    if task == "leader":
        return "Yes" if chance.random() < 1 / count else "No"
    return chance.choice(options)


class Flooding:
    """Leader election and consensus: keep the smallest identifier heard of, with its owner's bit, and pass it on."""

    __slots__ = ("_bit", "_chance", "_heard", "_least", "_own", "_task", "_view")

    def __init__(self, task: str, view: View, chance: random.Random) -> None:
        self._task, self._view, self._chance = task, view, chance
        self._own = self._least = chance.getrandbits(62)
        self._bit = chance.getrandbits(1)
        self._heard = False

    def __call__(self, turn: Turn) -> Outbox | str:
        """Take one turn."""
        for identifier, bit in turn.inbox.values():
            self._heard = True
            if identifier < self._least:
                self._least, self._bit = identifier, bit
        if not turn.last:
            return dict.fromkeys(self._view.neighbours, (self._least, self._bit))
        if self._task == "consensus":
            return str(self._bit)
        if not self._heard:
            return guess("leader", turn.options, self._view.count, self._chance)
        return "Yes" if self._least == self._own else "No"


class GreedyColouring:
    """Takes the lowest free group once all neighbours of higher priority have chosen; at the end any free group."""

    __slots__ = ("_chance", "_group", "_known", "_priority", "_view")

    def __init__(self, view: View, chance: random.Random) -> None:
        self._view, self._chance = view, chance
        self._priority = chance.getrandbits(62)
        self._group = 0
        self._known: dict[str, tuple[int, int]] = {}

    def __call__(self, turn: Turn) -> Outbox | str:
        """Take one turn."""
        self._known.update(turn.inbox)
        if not self._group and len(self._known) == len(self._view.neighbours):
            known = self._known.values()
            if all(group for priority, group in known if priority > self._priority):
                taken = {group for _, group in known}
                self._group = next(g for g in range(1, len(taken) + 2) if g not in taken)
        if not turn.last:
            return dict.fromkeys(self._view.neighbours, (self._priority, self._group))
        if self._group:
            return f"Group {self._group}"
        taken = {group for _, group in self._known.values()}
        free = [option for g, option in enumerate(turn.options, 1) if g not in taken]
        return self._chance.choice(free)


class GreedyCover:
    """Vertex cover as the complement of a greedy maximal independent set.

    A node goes outside the cover once all neighbours of higher priority are in it, and into the cover as soon as one
    neighbour is outside.
    """

    __slots__ = ("_chance", "_known", "_priority", "_state", "_view")

    UNDECIDED, INSIDE, OUTSIDE = 0, 1, 2

    def __init__(self, view: View, chance: random.Random) -> None:
        self._view, self._chance = view, chance
        self._priority = chance.getrandbits(62)
        self._state = self.UNDECIDED
        self._known: dict[str, tuple[int, int]] = {}

    def __call__(self, turn: Turn) -> Outbox | str:
        """Take one turn."""
        self._known.update(turn.inbox)
        if self._state == self.UNDECIDED:
            known = self._known.values()
            if any(state == self.OUTSIDE for _, state in known):
                self._state = self.INSIDE
            elif len(known) == len(self._view.neighbours) and all(
                state == self.INSIDE for priority, state in known if priority > self._priority
            ):
                self._state = self.OUTSIDE
        if not turn.last:
            return dict.fromkeys(self._view.neighbours, (self._priority, self._state))
        if self._state == self.UNDECIDED:
            return self._chance.choice(turn.options)
        return "Yes" if self._state == self.INSIDE else "No"


class ProposeAccept:
    """Maximal matching. In odd rounds a free node proposes to its smallest free neighbour with a smaller identifier.

    In even rounds a free node that has not proposed accepts its smallest proposer, and everybody tells everybody who
    their partner is. A node that hears that its partner has another one is free again (only under losses).
    """

    __slots__ = ("_chance", "_identifier", "_known", "_partner", "_proposed", "_view")

    def __init__(self, view: View, chance: random.Random) -> None:
        self._view, self._chance = view, chance
        self._identifier = chance.getrandbits(62)
        self._partner = ""
        self._proposed = False
        self._known: dict[str, tuple[int, str]] = {}

    def __call__(self, turn: Turn) -> Outbox | str:
        """Take one turn."""
        proposals = self._read(turn)
        if turn.last:
            if not self._known:
                return self._chance.choice(turn.options)
            return self._partner or "None"
        target = ""
        if turn.round % 2:
            target = self._propose()
            self._proposed = bool(target)
        elif proposals and not self._partner and not self._proposed:
            self._partner = min(proposals)[1]
        state = (self._identifier, self._partner)
        return {name: (*state, name == target) for name in self._view.neighbours}

    def _read(self, turn: Turn) -> list[tuple[int, str]]:
        """Take in what neighbours say of themselves; returns who proposes, with identifiers."""
        proposals = []
        for name, (identifier, partner, proposes) in turn.inbox.items():
            self._known[name] = (identifier, partner)
            if proposes:
                proposals.append((identifier, name))
            if partner == self._view.name and not self._partner:
                self._partner = name
            elif name == self._partner and partner not in ("", self._view.name):
                self._partner = ""
        return proposals

    def _propose(self) -> str:
        if self._partner:
            return ""
        free = [(identifier, name) for name, (identifier, partner) in self._known.items() if not partner]
        smallest = min(free, default=(self._identifier, ""))
        return smallest[1] if smallest[0] < self._identifier else ""


def reference_agent(task: str, view: View, chance: random.Random) -> Agent:
    """The reference algorithm for a task, at one node. Raises UnknownName for an unknown task."""
    local: dict[str, Callable[[View, random.Random], Agent]] = {
        "colouring": GreedyColouring,
        "vertex-cover": GreedyCover,
        "matching": ProposeAccept,
    }
    if task in local:
        return local[task](view, chance)
    return Flooding(task, view, chance)


class Fallible:
    """An agent that does not follow its algorithm in some turns; see ``Knobs.competence``."""

    __slots__ = ("_agent", "_chance", "_count", "_errs", "_task")

    def __init__(self, agent: Agent, task: str, count: int, errs: Sequence[bool], chance: random.Random) -> None:
        self._agent, self._task, self._count, self._errs, self._chance = agent, task, count, errs, chance

    def __call__(self, turn: Turn) -> Outbox | str | None:
        """Take one turn."""
        if not self._errs[turn.round]:
            return self._agent(turn)
        return guess(self._task, turn.options, self._count, self._chance) if turn.last else {}


def error_coins(n: int, rounds: int, knobs: Knobs, rng: np.random.Generator) -> np.ndarray:
    """Whether agent v errs in turn r [n, rounds + 1]; each entry is true with chance 1 - competence."""
    own = rng.random((n, rounds + 1))
    shared = np.broadcast_to(rng.random(rounds + 1), own.shape)
    coins = np.where(rng.random(own.shape) < knobs.correlation, shared, own)
    return np.asarray(coins >= knobs.competence)


def run_reference(
    graph: Graph,
    task: str,
    rounds: int,
    *,
    knobs: Knobs | None = None,
    seed: int = 0,
    trace: TraceWriter | None = None,
) -> TaskRun:
    """One task on one graph by scripted agents.

    Args:
        graph: who may talk to whom.
        task: one of TASKS.
        rounds: deliveries R; 0 is no communication.
        knobs: competence, loss and correlation; None follows the algorithm in every turn.
        seed: of identifiers, priorities, errors and losses.
        trace: written to, if given; leave it out for many or large runs.
    """
    knobs = knobs or Knobs()
    options = [answer_options(task, graph, v) for v in range(graph.n)]
    chances = [random.Random(int(s)) for s in generator(seed, "agents").integers(0, 2**62, graph.n)]
    agents = [reference_agent(task, view, chance) for view, chance in zip(views(graph, rounds), chances, strict=True)]
    if knobs.competence < 1:
        errs = error_coins(graph.n, rounds, knobs, generator(seed, "errors")).tolist()
        agents = [Fallible(a, task, graph.n, e, c) for a, e, c in zip(agents, errs, chances, strict=True)]
    start = record_start(trace, graph, task, rounds, "reference algorithm") if trace is not None else ""
    losses = derive(seed, "losses")
    talk = converse(graph, agents, rounds, options, loss=knobs.loss, seed=losses, trace=trace, start=start)
    return finish(graph, task, talk, trace=trace, start=start)
