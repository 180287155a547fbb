"""Repeated games of two for language models: the dilemma and Split of Advantage Alignment (arXiv 2511.19405).

Both players are asked at once, round after round, with the rules, the goal (own points) and the last round from their
own view. What was played stands in the outcome, from which points are counted. The dilemma is not named: its acts are
A and B. What cannot be read counts as the greedy act of the dilemma and as a claim of nothing in Split.

A game is its own source of problems, one for each way in which it can be dealt.
"""

from __future__ import annotations

import functools
import itertools
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from shoal.errors import InputError, UnknownName
from shoal.models.interface import ChatMessage
from shoal.runs.seeds import generator
from shoal.runs.settings import parse_assignments, validate
from shoal.runs.study import Vocabulary
from shoal.tasks.problem import Problem, Question
from shoal.teams.agent import Agent, make_agents
from shoal.teams.catalogue import TeamPlan
from shoal.teams.outcome import Outcome
from shoal.teams.session import Reply, Session

Floats = NDArray[np.float64]
Acts = tuple[str, str]
"""What the players did in a round, in the order of the seats."""

TEAM = "players"
"""Name of the team."""
PLAYERS = 2
UNREAD = "?"
"""Stands in the record for what could not be read."""
KINDS = ("hats", "balls", "books")
STOCK = 10
"""Of each kind."""


class RepeatedGame(BaseModel, ABC):
    """A game of two; its fields are its settings.

    Class attributes:
        game: its name.
        title: what it is, in a few words.
        scale: c, by which points are divided before they are learned from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    game: ClassVar[str]
    title: ClassVar[str]
    scale: ClassVar[float]
    rounds: int = Field(default=10, ge=1, le=1000, description="rounds of one game")

    @property
    def name(self) -> str:
        """The spec that opens it."""
        changed = self.model_dump(exclude_defaults=True)
        return ":".join([self.game, ",".join(f"{k}={v}" for k, v in changed.items())]).rstrip(":")

    def problems(self, count: int, seed: int) -> Sequence[Problem]:
        """Deals in a random order; when all have been dealt, it starts over."""
        deals, made = self.deals(), list[Problem]()
        order = generator(seed, "deals", self.name)
        while len(made) < count:
            lap = len(made) // len(deals)
            made += [self._problem(deals[i], f"{self.game}-{i}-{lap}") for i in order.permutation(len(deals))]
        return made[:count]

    def _problem(self, deal: str, identity: str) -> Problem:
        best = "-".join(self.best(deal))
        views = [self.view(deal, seat) for seat in range(PLAYERS)]
        question = Question(
            identity, f"{self.rules()} {views[0]}".strip(), options=self.acts(),
            sheets={str(seat): view for seat, view in enumerate(views) if view},
            tags={"game": self.name, "deal": deal, "benchmark": self.game, "difficulty": "medium"},
        )  # fmt: skip
        return Problem(question, " ".join([best] * self.rounds))

    def prompt(self, question: Question, seat: int, past: Sequence[Acts]) -> list[ChatMessage]:
        """What a player reads.

        Args:
            question: the deal.
            seat: 0 or 1.
            past: rounds that it is told of, in the order of the seats.
        """
        told = [f"Last round: you {acts[seat]}, other {acts[1 - seat]}." for acts in past] or ["First round."]
        parts = [question.sheets.get(str(seat), ""), *told, self.asks()]
        rules: ChatMessage = {"role": "system", "content": self.rules()}
        return [rules, {"role": "user", "content": " ".join(part for part in parts if part)}]

    @abstractmethod
    def deals(self) -> list[str]:
        """All ways in which the game can be dealt."""

    @abstractmethod
    def rules(self) -> str:
        """As both players are told them, with the goal."""

    def view(self, deal: str, seat: int) -> str:
        """What the deal is from a seat; empty where there is nothing to tell."""
        return ""

    @abstractmethod
    def asks(self) -> str:
        """The request for an act."""

    def acts(self) -> tuple[str, ...]:
        """All acts, where they are few."""
        return ()

    @abstractmethod
    def read(self, text: str) -> str:
        """The act in a reply, ``UNREAD`` in place of what is not there."""

    @abstractmethod
    def done(self, act: str) -> str:
        """The act that counts, with what could not be read filled in."""

    @abstractmethod
    def points(self, deal: str, acts: Acts) -> tuple[float, float]:
        """Of both players in a round."""

    @abstractmethod
    def best(self, deal: str) -> Acts:
        """Acts that bring most points together."""


class Dilemma(RepeatedGame):
    """The iterated prisoner's dilemma."""

    game = "dilemma"
    title = "repeated choice between A and B; the iterated prisoner's dilemma, not named"
    scale = 5.0
    payoff: ClassVar[dict[Acts, tuple[float, float]]] = {
        ("A", "A"): (3.0, 3.0), ("A", "B"): (0.0, 5.0), ("B", "A"): (5.0, 0.0), ("B", "B"): (1.0, 1.0),
    }  # fmt: skip

    def deals(self) -> list[str]:
        """Only one."""
        return [""]

    def rules(self) -> str:
        """No word of cooperation or defection."""
        return (
            f"Two play {self.rounds} rounds. Both choose A or B at once. Points: A and A 3 each, B and B 1 each, "
            "A against B 0, B against A 5. Get as many points as you can."
        )

    def asks(self) -> str:
        """One letter."""
        return "A or B?"

    def acts(self) -> tuple[str, ...]:
        """Two."""
        return "A", "B"

    def read(self, text: str) -> str:
        """The letter at the beginning, after "Answer:" if that is said."""
        found = re.match(r"\W*(?:answer\W+)?([AB])\b", text, re.IGNORECASE)
        return found[1].upper() if found else UNREAD

    def done(self, act: str) -> str:
        """Nothing that can be read is B."""
        return "B" if act == UNREAD else act

    def points(self, deal: str, acts: Acts) -> tuple[float, float]:
        """By the table."""
        return self.payoff[acts]

    def best(self, deal: str) -> Acts:
        """Both A."""
        return "A", "A"


class Split(RepeatedGame):
    """Ten of three kinds are split by claims; what a kind is worth to each is known to both."""

    game = "split"
    title = "repeated claims on ten hats, ten balls and ten books, worth 1 or 10 each"
    scale = 100.0

    def deals(self) -> list[str]:
        """One kind is dear to the first only, one to the second only, the third to both or to neither."""
        rows = (("10,1", "1,10", "10,10"), ("10,1", "1,10", "1,1"))
        return sorted({" ".join(order) for row in rows for order in itertools.permutations(row)})

    def rules(self) -> str:
        """Claims and goal."""
        return (
            f"Two split {STOCK} {KINDS[0]}, {STOCK} {KINDS[1]} and {STOCK} {KINDS[2]} in {self.rounds} rounds. "
            f"Both claim 0 to {STOCK} of each at once; claims over {STOCK} together are scaled down. "
            "Get as many points as you can."
        )

    def view(self, deal: str, seat: int) -> str:
        """Own value of each kind, then the other's."""
        values = _values(deal)
        told = [f"{kind} {values[k][seat]} to you, {values[k][1 - seat]} to the other" for k, kind in enumerate(KINDS)]
        return f"Worth: {'; '.join(told)}."

    def asks(self) -> str:
        """Three numbers."""
        return "Your three claims?"

    def read(self, text: str) -> str:
        """The first three numbers; what is missing or beyond the stock is not read."""
        said = re.findall(r"-?\d+", text)[: len(KINDS)]
        claims = [n if 0 <= int(n[:6]) <= STOCK and len(n) < 6 else UNREAD for n in said]
        return "/".join([*claims, *[UNREAD] * (len(KINDS) - len(claims))])

    def done(self, act: str) -> str:
        """Claims that cannot be read are 0."""
        return act.replace(UNREAD, "0")

    def points(self, deal: str, acts: Acts) -> tuple[float, float]:
        """Claims scaled down to the stock, times their worth."""
        claims = np.array([[float(n) for n in act.split("/")] for act in acts])
        shares = STOCK * claims / np.maximum(STOCK, claims.sum(0))
        worth = np.array(_values(deal)).T
        first, second = (shares * worth).sum(1)
        return float(first), float(second)

    def best(self, deal: str) -> Acts:
        """All of a kind to whom it is worth more; the first takes what is worth the same to both."""
        first = [str(STOCK if own >= other else 0) for own, other in _values(deal)]
        return "/".join(first), "/".join(str(STOCK - int(n)) for n in first)


def _values(deal: str) -> list[tuple[int, int]]:
    """What each kind is worth to the first and to the second player."""
    pairs = [kind.split(",") for kind in deal.split()]
    return [(int(own), int(other)) for own, other in pairs]


GAMES: dict[str, type[RepeatedGame]] = {kind.game: kind for kind in (Dilemma, Split)}


@functools.lru_cache(maxsize=64)
def open_game(spec: str) -> RepeatedGame:
    """``dilemma``, ``split``, or either with settings (``dilemma:rounds=5``). Raises UnknownName, InputError."""
    name, _, rest = spec.partition(":")
    if name not in GAMES:
        raise UnknownName("repeated game", name, GAMES)
    return validate(GAMES[name], parse_assignments([p for p in rest.split(",") if p.strip()]), f"game {name}")


def game_of(question: Question) -> RepeatedGame:
    """The game that a question deals. Raises InputError if it deals none."""
    if "game" not in question.tags:
        raise InputError("task", question.id, f"It is no repeated game; use {' or '.join(GAMES)}.")
    return open_game(question.tags["game"])


def read_record(record: str) -> list[Acts]:
    """Acts of each round as they were read, from the answer of ``players``."""
    pairs = [turn.split("-") for turn in record.split()]
    return [(first, second) for first, second in pairs]


def points_of(question: Question, record: str) -> Floats:
    """Points [rounds, players] of a game as it was recorded."""
    game, deal = game_of(question), question.tags["deal"]
    rows = [game.points(deal, (game.done(a), game.done(b))) for a, b in read_record(record)]
    return np.array(rows, float).reshape(-1, PLAYERS)


async def players(question: Question, agents: Sequence[Agent], session: Session, *, history: bool = False) -> Outcome:
    """A team function for two who play against each other.

    Args:
        question: a deal of a repeated game.
        agents: exactly two.
        session: asks them.
        history: whether they are told of all rounds, not of the last one only.

    Returns what was played as the answer, a round after the other ("A-B A-A"), ``UNREAD`` where nothing could be read.
    """
    if len(agents) != PLAYERS:
        raise InputError(f"{TEAM} agents", len(agents), f"It works with exactly {PLAYERS} agents.")
    game = game_of(question)
    past, record, heard = list[Acts](), list[str](), tuple[str, ...]()
    for _ in range(game.rounds):
        told = past if history else past[-1:]
        replies: list[Reply] = await session.gather(
            *(session.ask(a, game.prompt(question, seat, told), parents=heard) for seat, a in enumerate(agents))
        )
        first, second = (game.read(reply.text) for reply in replies)
        record.append(f"{first}-{second}")
        past.append((game.done(first), game.done(second)))
        heard = tuple(reply.event for reply in replies)
    answer = " ".join(record)
    event = session.decide("team", "end of the game", heard, played=answer)
    return Outcome(answer, answer, event, rounds=game.rounds)


class Seats(BaseModel):
    """Options of the team."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    agents: int = Field(PLAYERS, ge=PLAYERS, le=PLAYERS, description="players")
    history: bool = Field(False, description="whether players are told of all rounds, not of the last one only")


def open_players(spec: str) -> TeamPlan:
    """``players``, or ``players:history=true``. Raises UnknownName for any other team, InputError for three."""
    name, _, rest = spec.partition(":")
    if name != TEAM:
        raise UnknownName("team of a repeated game", name, [TEAM])
    options = validate(Seats, parse_assignments([p for p in rest.split(",") if p.strip()]), f"team {TEAM}")
    return TeamPlan(
        TEAM, tuple(make_agents(options.agents)), functools.partial(players, history=options.history),
        Vocabulary(("players",), ("competition",), ("decentralized",), ("model-based",), ("reciprocity",)),
        "Two play a repeated game against each other", options.model_dump(),
    )  # fmt: skip
