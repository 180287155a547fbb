"""Matches: seats at a game, any number at once, with a record of every move."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError
from shoal.games.game import Game, Joint
from shoal.games.normal_form import NormalForm
from shoal.games.repeated import Course, Repeated
from shoal.games.seats.seat import Seat
from shoal.runs.seeds import derive, generator
from shoal.stats import Estimate, mean
from shoal.traces import TraceWriter, Usage


@dataclass(frozen=True, slots=True)
class Taken:
    """One move of a match.

    Attributes:
        player: index of who moved.
        round: number of the round, from 0.
        action: name of the action chosen (noise may have carried out another).
        failures: replies that could not be read before it, by kind.
        guessed: the action was drawn because no reply could be read.
    """

    player: int
    round: int
    action: str
    failures: tuple[str, ...] = ()
    guessed: bool = False


@dataclass
class Match:
    """What happened in one match.

    Attributes:
        seats: names, by player.
        payoffs: of the players.
        moves: in their order.
        history: joint actions as carried out, of repeated games.
        usage: of each player's model calls.
    """

    seats: tuple[str, ...]
    payoffs: NDArray[np.float64]
    moves: list[Taken]
    history: tuple[Joint, ...] = ()
    usage: tuple[Usage, ...] = ()


@dataclass
class Result:
    """Matches of the same seats.

    Attributes:
        game: what was played.
        seats: names, by player.
        matches: in the order of their seeds.
    """

    game: Game
    seats: tuple[str, ...]
    matches: list[Match] = field(default_factory=list)

    @property
    def payoffs(self) -> NDArray[np.float64]:
        """[matches, players]."""
        return np.array([m.payoffs for m in self.matches])

    def estimates(self) -> list[Estimate]:
        """Mean payoff of each player with its 95% interval over matches."""
        return [mean(column) for column in self.payoffs.T]

    def actions(self, player: int) -> dict[str, float]:
        """How often that player chose each action."""
        counts = Counter(t.action for m in self.matches for t in m.moves if t.player == player)
        total = sum(counts.values()) or 1
        return {name: counts[name] / total for name in sorted(counts, key=lambda n: -counts[n])}

    def failures(self, player: int) -> dict[str, int]:
        """Unreadable replies of that player by kind, and "guessed": moves drawn because of them."""
        moves = [t for m in self.matches for t in m.moves if t.player == player]
        counts = Counter(kind for t in moves for kind in t.failures)
        guessed = sum(t.guessed for t in moves)
        return dict(counts) | ({"guessed": guessed} if guessed else {})

    def usage(self, player: int) -> Usage:
        """What that player's model calls cost."""
        total = Usage()
        for m in self.matches:
            total.add(m.usage[player])
        return total


async def play_match(game: Game, seats: Sequence[Seat], seed: int, trace: TraceWriter | None = None) -> Match:
    """Play one match.

    Args:
        game: any game.
        seats: one for each player; the same one may sit in several places.
        seed: of nature, noise and all seats.
        trace: where moves and the end are written.

    Raises:
        InputError: the wrong number of seats, or a seat that cannot play the game.
    """
    names = tuple(seat.spec for seat in seats)
    if len(seats) != game.player_count:
        raise InputError("seats", ",".join(names), f"{game.name} has {game.player_count} players: name as many seats.")
    nature = generator(seed, "nature")
    draws = [generator(seed, "seat", i) for i in range(len(seats))]
    memories: list[Any] = [seat.begin(game, i) for i, seat in enumerate(seats)]
    usage = tuple(Usage() for _ in seats)
    moves: list[Taken] = []
    events: list[str] = []
    state = game.begin(nature)
    while views := game.turns(state):
        asked = [seats[v.player].act(v, memories[v.player], draws[v.player]) for v in views]
        chosen: dict[int, int] = {}
        parents = events[-len(seats) :]
        events = []
        for view, (move, memory) in zip(views, await asyncio.gather(*asked), strict=True):
            memories[view.player] = memory
            chosen[view.player] = move.action
            usage[view.player].add(move.usage)
            name = view.actions[move.action]
            moves.append(Taken(view.player, view.round, name, move.failures, move.guessed))
            if trace is not None:
                payload = {"round": view.round, "action": name, "said": move.said, "failures": move.failures}
                who = game.players[view.player]
                events.append(trace.write("decision", who, payload, parents, move.usage if move.usage.calls else None))
        state = game.step(state, chosen, nature)
    payoffs = np.asarray(game.payoffs(state), float)
    history = tuple(state.joint) if isinstance(state, Course) else ()
    for seat, memory, payoff in zip(seats, memories, payoffs, strict=True):
        seat.end(memory, float(payoff), history)
    if trace is not None:
        payload = {"game": game.name, "seats": names, "payoffs": payoffs.tolist(), "seed": seed}
        trace.write("trial.end", "", payload, events)
    return Match(names, payoffs, moves, history, usage)


async def play_matches(
    game: Game, seats: Sequence[Seat], repeats: int = 1, seed: int = 0, trace: TraceWriter | None = None
) -> Result:
    """Play the same seats again and again; all matches at once, unless a seat learns from one to the next.

    Args:
        game: any game.
        seats: one for each player.
        repeats: matches, at least 1.
        seed: root of all random numbers.
        trace: where matches are written.

    Raises:
        InputError: the wrong number of seats, a seat that cannot play the game, or repeats below 1.
    """
    if repeats < 1:
        raise InputError("repeats", repeats, "Play at least one match.")
    seeds = [derive(seed, "match", k) for k in range(repeats)]
    result = Result(game, tuple(seat.spec for seat in seats))
    if any(seat.learns for seat in seats):
        result.matches = [await play_match(game, seats, s, trace) for s in seeds]
    else:
        result.matches = list(await asyncio.gather(*(play_match(game, seats, s, trace) for s in seeds)))
    return result


def play(
    game: Game, seats: Sequence[Seat], repeats: int = 1, seed: int = 0, trace: TraceWriter | None = None
) -> Result:
    """``play_matches`` for programs without an event loop; closes the seats' models."""

    async def all_of_it() -> Result:
        try:
            return await play_matches(game, seats, repeats, seed, trace)
        finally:
            for seat in set(seats):
                await seat.aclose()

    return asyncio.run(all_of_it())


def as_played(game: Game, rounds: int | None = None, noise: float = 0.0, continuation: float = 1.0) -> Game:
    """A game in normal form as a repeated one; others as they are.

    Raises:
        InputError: rounds or noise for a game that is not in normal form.
    """
    if isinstance(game, NormalForm):
        return Repeated(game, 1 if rounds is None else rounds, noise, continuation)
    if rounds is not None or noise or continuation < 1:
        raise InputError("rounds", rounds, f"{game.name} is played once through; use repeats.")
    return game
