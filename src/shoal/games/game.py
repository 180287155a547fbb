"""What every game is to those who play it: who moves, what they see, what it pays, and a text face.

A game is stated once. Solvers read its table or tree, learners its payoffs, and anything that can take a seat plays it
through the five methods of ``Game``: ``begin``, ``turns``, ``step``, ``payoffs`` and ``rules``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.errors import InputError

Payoffs = NDArray[np.float64]
Joint = tuple[int, ...]
"""One action index for each player."""

TOLERANCE = 1e-9
"""Probabilities and equilibria are checked to this, relative to the range of payoffs."""


@dataclass(frozen=True, slots=True)
class View:
    """What one player sees when it is to move.

    Attributes:
        player: index of the player.
        actions: names of the legal actions.
        key: the player's information set: equal keys mean that it cannot tell the situations apart.
        round: number of the round, from 0.
        history: joint actions of the rounds before, as the player may know them; in games with private moves empty.
        seen: what the player sees besides, in words.
    """

    player: int
    actions: tuple[str, ...]
    key: Hashable
    round: int = 0
    history: Sequence[Joint] = ()
    seen: str = ""


class Game(ABC):
    """A game that can be solved, learned and played.

    Attributes:
        name: short name.
        title: what it is, in a few words.
        players: names of the players.
        story: what the players are told about it besides the payoffs.
    """

    name: str
    title: str
    players: tuple[str, ...]
    story: str

    @abstractmethod
    def begin(self, rng: np.random.Generator) -> Any:
        """The first state of a play."""

    @abstractmethod
    def turns(self, state: Any) -> tuple[View, ...]:
        """Who is to move now, at the same time, and what each sees; empty when the play is over."""

    @abstractmethod
    def step(self, state: Any, moves: Mapping[int, int], rng: np.random.Generator) -> Any:
        """The state after these moves: player index to index in its view's ``actions``."""

    @abstractmethod
    def payoffs(self, state: Any) -> Payoffs:
        """Payoffs [players] of a play that is over; a mean for each round in repeated games."""

    @abstractmethod
    def rules(self, player: int) -> str:
        """The game in words, as that player is told."""

    @property
    def player_count(self) -> int:
        """Number of players."""
        return len(self.players)

    def bounds(self) -> tuple[Payoffs, Payoffs]:
        """Least and greatest payoff of each player, [players] each; infinite where there is no bound."""
        n = self.player_count
        return np.full(n, -np.inf), np.full(n, np.inf)


def require(field: str, value: object, holds: bool, mend: str) -> None:
    """Raise InputError unless ``holds``."""
    if not holds:
        raise InputError(field, value, mend)


def probabilities(values: ArrayLike, field: str) -> NDArray[np.float64]:
    """A probability vector, checked: finite, none below 0, sum 1.

    Raises:
        InputError: they are not.
    """
    try:
        p = np.asarray(values, float)
    except (TypeError, ValueError):
        raise InputError(field, values, "Give a list of numbers that sum to 1.") from None
    require(field, values, p.ndim == 1 and p.size > 0 and bool(np.isfinite(p).all()), "Give a list of finite numbers.")
    require(field, values, bool((p >= -TOLERANCE).all()), "Probabilities are 0 or more.")
    total = float(p.sum())
    require(field, values, abs(total - 1) <= 1e-6, f"Probabilities sum to 1; these sum to {total:.6g}.")
    return np.asarray(np.clip(p, 0, None) / np.clip(p, 0, None).sum())


def names_of(given: Sequence[str] | None, count: int, prefix: str, field: str) -> tuple[str, ...]:
    """The names given, checked to be ``count`` different ones, or prefix-1, prefix-2, ..."""
    if given is None:
        return tuple(f"{prefix}-{i + 1}" for i in range(count))
    names = tuple(str(name) for name in given)
    require(field, list(names), len(names) == count, f"Give {count} names.")
    require(field, list(names), len({n.casefold() for n in names}) == count, "Names must differ.")
    return names
