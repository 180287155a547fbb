"""A panel of archetypes: a language model asked several times about each, its answers read strictly and counted."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError, ModelError, UnknownName
from shoal.models.interface import Model, Request
from shoal.populations.archetypes import LEVELS, Archetypes, Level, prompt
from shoal.populations.behaviour import ACTIONS, Situation
from shoal.runs.seeds import derive
from shoal.traces import TraceWriter, Usage

MOST_LOST = 0.05
"""Share of a decision's answers that may stay unreadable after all attempts."""
CONCURRENT = 256
"""Calls in flight; models queue them as they can."""

_READ = re.compile(r"^\W*(yes|no)\b(?!\W*(?:/|or\b|and\b)\W*(?:yes|no)\b)", re.IGNORECASE)


def read_answer(text: str) -> bool | None:
    """Whether a reply begins with Yes (True) or No (False); None if neither, or both at once ("yes or no")."""
    found = _READ.match(text)
    return None if found is None else found[1].lower() == "yes"


@dataclass
class Tally:
    """What asking came to.

    Attributes:
        decisions: weeks in which a population decided.
        queries: archetype x sample x action, each counted once however often it was repeated.
        unread: replies that could not be read, by kind ("no answer", or a model's failure).
        lost: queries without any readable reply.
        usage: what it cost.
    """

    decisions: int = 0
    queries: int = 0
    unread: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    usage: Usage = field(default_factory=Usage)

    @property
    def failures(self) -> int:
        """Replies that could not be read."""
        return sum(self.unread.values())

    def as_dict(self) -> dict[str, Any]:
        """For reports."""
        return {
            "decisions": self.decisions,
            "queries": self.queries,
            "queries per decision": self.queries / self.decisions if self.decisions else 0,
            "parse failures": self.failures,
            "failures by kind": dict(self.unread),
            "lost": self.lost,
            "calls": self.usage.calls,
            "cached": self.usage.cached,
            "tokens": self.usage.tokens,
            "seconds": round(self.usage.seconds, 3),
            "money": self.usage.money,
        }


@dataclass(frozen=True)
class Reply:
    """What came of one query.

    Attributes:
        text: of the last reply; empty where the model failed.
        yes: how it was read; None if no reply could be read.
        attempts: replies that were asked for.
    """

    text: str
    yes: bool | None
    attempts: int


@dataclass(frozen=True)
class Answers:
    """A decision's answers.

    Attributes:
        actions: that were asked about.
        yes: readable replies that said yes [actions, archetypes].
        read: readable replies [actions, archetypes].
        replies: word for word, sample by sample of each archetype of each action; empty where none were kept.
    """

    actions: tuple[str, ...]
    yes: NDArray[np.int64]
    read: NDArray[np.int64]
    replies: tuple[Reply, ...] = field(default=(), repr=False)

    @property
    def share(self) -> NDArray[np.float64]:
        """Probability of each action in each archetype; where no reply was readable, that of all archetypes."""
        everywhere = self.yes.sum(1, keepdims=True) / np.maximum(self.read.sum(1, keepdims=True), 1)
        return np.asarray(np.where(self.read > 0, self.yes / np.maximum(self.read, 1), everywhere))


@dataclass
class Panel:
    """Asks a model about archetypes.

    Attributes:
        model: any model; put a call cache in front of it so that nothing is paid for twice.
        samples: answers for each archetype and action.
        level: what prompts tell.
        actions: what is asked.
        attempts: most replies that are asked for until one is readable.
        temperature: of sampling.
        max_tokens: longest reply.
        most_lost: share of a decision's answers that may stay unreadable.
        root: of the sampling seeds; a sample's seed depends on its number and nothing else.
        trace: where calls are written.
        tally: what was asked so far.
    """

    model: Model
    samples: int = 5
    level: Level = "full"
    actions: tuple[str, ...] = ("isolate",)
    attempts: int = 3
    temperature: float = 1.0
    max_tokens: int = 48
    most_lost: float = MOST_LOST
    root: int = 0
    trace: TraceWriter = field(default_factory=lambda: TraceWriter(None, "panel"))
    tally: Tally = field(default_factory=Tally)

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise InputError("samples", self.samples, "Ask at least once.")
        if self.attempts < 1:
            raise InputError("attempts", self.attempts, "Allow at least 1.")
        if self.level not in LEVELS:
            raise UnknownName("prompt level", self.level, LEVELS)
        for action in self.actions:
            if action not in ACTIONS:
                raise UnknownName("action", action, ACTIONS)

    async def ask(self, archetypes: Archetypes, situation: Situation) -> Answers:
        """One decision: every archetype, action and sample once.

        Raises:
            ModelError: "unreadable" if more than ``most_lost`` of the queries had no readable reply.
        """
        asked = [(a, k) for a in range(len(self.actions)) for k in range(archetypes.count)]
        gate = asyncio.Semaphore(CONCURRENT)
        people = [archetypes.described(k) for k in range(archetypes.count)]
        calls = [
            self._answer(gate, people[k], situation, self.actions[a], int(archetypes.first[k]) + sample)
            for a, k in asked
            for sample in range(self.samples)
        ]
        said = await asyncio.gather(*calls)
        read = np.array([_NUMBER[reply.yes] for reply in said], np.int64)
        read = read.reshape(len(self.actions), archetypes.count, self.samples)
        self.tally.decisions += 1
        self.tally.queries += read.size
        lost = int((read < 0).sum())
        self.tally.lost += lost
        if lost > self.most_lost * read.size:
            raise ModelError(
                "unreadable",
                f"{self.model.spec}: {lost} of {read.size} answers could not be read as Yes or No after "
                f"{self.attempts} attempts each; at most {self.most_lost:.0%} may be lost. Use another model",
            )
        return Answers(self.actions, (read == 1).sum(-1), (read >= 0).sum(-1), tuple(said))

    async def _answer(
        self, gate: asyncio.Semaphore, person: dict[str, str], situation: Situation, action: str, sample: int
    ) -> Reply:
        messages, text = prompt(person, situation, action, self.level), ""
        for attempt in range(self.attempts):
            seed = derive(self.root, "sample", sample, attempt) % 2**31
            request = Request(messages, self.max_tokens, self.temperature, seed=seed)
            try:
                async with gate:
                    completion = await self.model.complete(request)
            except ModelError as error:
                self.tally.unread[error.kind] += 1
                continue
            usage = completion.usage
            if not usage.cached:
                usage.money = self.model.price(usage)
            self.tally.usage.add(usage)
            text = completion.text
            answer = read_answer(text)
            self.trace.write("model.call", "panel", {"prompt": messages, "text": text}, (), usage)
            if answer is not None:
                return Reply(text, answer, attempt + 1)
            self.tally.unread["no answer"] += 1
        return Reply(text, None, self.attempts)


_NUMBER: dict[bool | None, int] = {True: 1, False: 0, None: -1}
