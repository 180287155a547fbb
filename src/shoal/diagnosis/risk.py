"""A social risk as a small, fully specified simulation: scenario, roles, measure and mitigation in one declaration.

Source: arXiv 2603.27771 (RiskLab). A world is a generator: it yields what agents are asked and receives their moves,
so that rules (policies), a language model or a person can fill its seats and the same code runs. The indicator is
computed from the record, outside the agents, and task success apart from it. A move that breaks the rules is refused,
counted, and asked for once more; then the world's default stands in for it, and the run counts as unreadable, never as
free of risk.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from shoal.errors import UnknownName
from shoal.models.structured import json_objects
from shoal.registry import Registry

Settings = Mapping[str, Any]
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_STARTED = re.compile(r'"move"\s*:\s*("?)([^",}\n]+)')


@dataclass(frozen=True, slots=True)
class Number:
    """A number from ``low`` to ``high``; whole unless said otherwise."""

    low: float
    high: float
    whole: bool = True

    @property
    def asks(self) -> str:
        """The form in words."""
        return f"a {'whole ' if self.whole else ''}number from {self.low:g} to {self.high:g}"

    @property
    def schema(self) -> dict[str, Any]:
        """As a JSON schema; the range is left to ``accept``, so that a model can break it."""
        return {"type": "integer" if self.whole else "number"}

    def accept(self, value: Any) -> float | None:
        """The move, or None where it is no number or out of range."""
        try:
            number = float(value)
        except (TypeError, ValueError):
            return None
        inside = self.low <= number <= self.high  # NaN lies nowhere
        return number if inside and (not self.whole or number == round(number)) else None

    def read(self, text: str) -> float | None:
        """The first number of a free text, if it is a move."""
        match = _NUMBER.search(text)
        return self.accept(match.group()) if match else None

    def draw(self, rng: np.random.Generator) -> float:
        """A random move."""
        if self.whole:
            return float(rng.integers(int(self.low), int(self.high) + 1))
        return float(rng.uniform(self.low, self.high))


@dataclass(frozen=True, slots=True)
class Option:
    """One of some names."""

    names: tuple[str, ...]

    @property
    def asks(self) -> str:
        """The form in words."""
        return "one of: " + ", ".join(self.names)

    @property
    def schema(self) -> dict[str, Any]:
        """As a JSON schema."""
        return {"type": "string", "enum": list(self.names)}

    def accept(self, value: Any) -> str | None:
        """The name, or None where it is not one of them (case does not matter)."""
        wanted = str(value).strip().casefold()
        return next((name for name in self.names if name.casefold() == wanted), None)

    def read(self, text: str) -> str | None:
        """The only name that a free text mentions."""
        found = [n for n in self.names if re.search(rf"(?<!\w){re.escape(n)}(?!\w)", text, re.IGNORECASE)]
        return found[0] if len(found) == 1 else None

    def draw(self, rng: np.random.Generator) -> str:
        """A random move."""
        return self.names[int(rng.integers(len(self.names)))]


@dataclass(frozen=True, slots=True)
class Words:
    """A text that is not empty."""

    longest: int = 800

    @property
    def asks(self) -> str:
        """The form in words."""
        return "your text and nothing else"

    @property
    def schema(self) -> None:
        """Free text has none."""
        return

    def accept(self, value: Any) -> str | None:
        """The text, cut; None where it is empty."""
        text = str(value).strip()
        return text[: self.longest] or None

    def read(self, text: str) -> str | None:
        """The text itself."""
        return self.accept(text)

    def draw(self, rng: np.random.Generator) -> str:
        """Random letters."""
        return "".join(rng.choice(list("abcdefghij "), 40))


Form = Number | Option | Words


@dataclass(frozen=True, slots=True)
class Ask:
    """What an agent is asked.

    Attributes:
        agent: who.
        sees: its observation, for policies.
        prompt: the same in words, for language models.
        form: of the move.
        default: what stands in for a move that was refused twice.
        speaks: whether words that go with the move are passed on.
    """

    agent: str
    sees: Settings
    prompt: str
    form: Form
    default: Any
    speaks: bool = False


@dataclass(frozen=True, slots=True)
class Move:
    """What came back: an accepted value and the words that went with it."""

    value: Any
    words: str = ""


Course = Generator[Sequence[Ask], Sequence[Move], dict[str, Any]]
"""A world at work: yields asks that are answered at the same time, receives moves, returns the record."""
World = Callable[[Settings, np.random.Generator], Course]
Policy = Callable[[Ask, np.random.Generator], Any]
Cast = Mapping[str, Policy]
"""Who plays what: by agent, "*" for everybody else."""


@dataclass(frozen=True, slots=True)
class Mitigation:
    """A change of the world against the risk.

    Attributes:
        name: in a few words.
        settings: what changes.
        kind: "structural" rules hold whatever agents do; "informational" ones change what agents see.
    """

    name: str
    settings: Settings
    kind: Literal["structural", "informational"]


@dataclass(frozen=True)
class Risk:
    """One risk of the fifteen, ready to be run with any agents.

    Attributes:
        id: the paper's number.
        name: the paper's name.
        category: one of the paper's four.
        scenario: world, pay-off and output in words, for language models; it must not hint at the failure. Settings
            in braces are filled in.
        roles: each agent's goal in words; "*" for everybody else.
        topology: who hears whom.
        protocol: how turns go, and when it stops.
        measure: the indicator in words.
        world: makes the course of a run.
        occurs: the indicator, from the record.
        succeeds: whether the task itself was done, from the record.
        settings: of the world, with the first condition's values.
        conditions: further conditions, one factor each; "basic" is implied.
        mitigation: the arm against it.
        bad: policies with which the risk must occur.
        clean: policies with which it must not.
    """

    id: str
    name: str
    category: str
    scenario: str
    roles: Mapping[str, str]
    topology: str
    protocol: str
    measure: str
    world: World
    occurs: Callable[[Mapping[str, Any]], bool]
    succeeds: Callable[[Mapping[str, Any]], bool]
    settings: Settings
    mitigation: Mitigation
    bad: Cast
    clean: Cast
    conditions: Mapping[str, Settings] = field(default_factory=dict)

    def under(self, condition: str = "basic", mitigated: bool = False) -> dict[str, Any]:
        """The world's settings under a condition, with or without the mitigation. Raises UnknownName."""
        if condition != "basic" and condition not in self.conditions:
            raise UnknownName("condition", condition, ["basic", *self.conditions])
        changed = {**self.settings, **self.conditions.get(condition, {})}
        return {**changed, **self.mitigation.settings} if mitigated else changed


RISKS: Registry[Risk] = Registry("risk", "shoal.diagnosis.risks")


def declare(risk: Risk) -> Risk:
    """File a risk under its number."""
    return RISKS.register(risk.id)(risk)


@dataclass
class Episode:
    """One run of one risk.

    Attributes:
        record: what the world recorded.
        occurred: whether the risk did.
        succeeded: whether the task was done.
        moves: asked for.
        refused: moves that broke the rules or could not be read, second attempts included.
        defaults: moves that a default stood in for; a run with any is unreadable.
    """

    record: Mapping[str, Any]
    occurred: bool
    succeeded: bool
    moves: int
    refused: int
    defaults: int


def enact(risk: Risk, cast: Cast, rng: np.random.Generator, settings: Settings | None = None) -> Episode:
    """Run a risk's world with policies in all seats.

    Args:
        risk: what to run.
        cast: policies by agent, "*" for everybody else.
        rng: the world's and the policies' random numbers.
        settings: from ``risk.under``; the basic condition without them.
    """
    course = risk.world(settings or risk.under(), rng)
    counts = {"moves": 0, "refused": 0, "defaults": 0}

    def answer(ask: Ask) -> Move:
        policy = cast.get(ask.agent) or cast["*"]
        counts["moves"] += 1
        for _ in range(2):
            said = policy(ask, rng)
            value, words = said if isinstance(said, tuple) else (said, "")
            accepted = ask.form.accept(value)
            if accepted is not None:
                return Move(accepted, words)
            counts["refused"] += 1
        counts["defaults"] += 1
        return Move(ask.default)

    try:
        asks = next(course)
        while True:
            asks = course.send([answer(ask) for ask in asks])
    except StopIteration as end:
        record = end.value
    return Episode(record, risk.occurs(record), risk.succeeds(record), **counts)


def at_random(ask: Ask, rng: np.random.Generator) -> Any:
    """The random policy: any valid move."""
    return ask.form.draw(rng)


def always(value: Any) -> Policy:
    """The policy that makes one move, whatever it sees."""
    return lambda ask, rng: value


def read_move(ask: Ask, text: str) -> Move | None:
    """A language model's move: from its JSON object (even cut off) or its words; None if unreadable."""
    if isinstance(ask.form, Words):
        found = ask.form.read(text)
        return Move(found, found) if found is not None else None
    for candidate in json_objects(text):
        if "move" in candidate:
            value = ask.form.accept(candidate["move"])
            return Move(value, str(candidate.get("say", ""))) if value is not None else None
    started = _STARTED.search(text)
    if started:
        value = ask.form.accept(started[2])
        return Move(value) if value is not None else None
    value = ask.form.read(text)
    return Move(value, text.strip()) if value is not None else None
