"""Games in normal form: any number of players, any number of actions each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.errors import InputError
from shoal.games.game import Game, Joint, Payoffs, View, names_of, probabilities, require

Strategy = NDArray[np.float64]
Profile = tuple[Strategy, ...]
"""One mixed strategy [actions] for each player."""

MOST_CELLS_IN_WORDS = 64
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, eq=False)
class NormalForm(Game):
    """A table of payoffs.

    Attributes:
        table: payoffs [actions of player 1, ..., actions of player n, players].
        actions: names of each player's actions.
        players: names of the players.
        name: short name.
        title: what it is, in a few words.
        story: what players are told besides the payoffs.

    Make it with ``normal_form``, ``bimatrix``, ``zero_sum`` or ``symmetric``, which check their input.
    """

    table: Payoffs
    actions: tuple[tuple[str, ...], ...]
    players: tuple[str, ...]
    name: str = "game"
    title: str = ""
    story: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of actions of each player."""
        return self.table.shape[:-1]

    @property
    def symmetric(self) -> bool:
        """Whether any two players may change places."""
        n = self.player_count
        if len(set(self.shape)) > 1:
            return False
        return all(
            np.allclose(np.swapaxes(self.table[..., i], 0, i), self.table[..., 0])
            and np.allclose(self.table[..., i], _permuted(self.table[..., i], i))
            for i in range(n)
        )

    @property
    def zero_sum(self) -> bool:
        """Whether payoffs of all players sum to the same number in every cell."""
        total = self.table.sum(axis=-1)
        return bool(np.allclose(total, total.flat[0], atol=1e-12 * (1 + np.abs(self.table).max())))

    def expected(self, profile: Sequence[ArrayLike]) -> Payoffs:
        """Expected payoff of each player [players] under mixed strategies."""
        value = self.table
        for strategy in profile:
            value = np.tensordot(np.asarray(strategy, float), value, axes=(0, 0))
        return np.asarray(value)

    def deviations(self, profile: Sequence[ArrayLike], player: int) -> Payoffs:
        """What each action [actions] would pay that player against the others' mixed strategies."""
        value = self.table[..., player]
        for other in reversed(range(self.player_count)):
            if other != player:
                value = np.tensordot(value, np.asarray(profile[other], float), axes=(other, 0))
        return np.asarray(value)

    def regrets(self, profile: Sequence[ArrayLike]) -> Payoffs:
        """What each player [players] could gain by the best deviation; all 0 in a Nash equilibrium."""
        pays = self.expected(profile)
        return np.array([self.deviations(profile, i).max() - pays[i] for i in range(self.player_count)])

    def profile(self, strategies: Sequence[ArrayLike]) -> Profile:
        """Mixed strategies, checked against the game. Raises InputError."""
        require("strategies", strategies, len(strategies) == self.player_count, f"Give {self.player_count}.")
        checked = []
        for i, (given, size) in enumerate(zip(strategies, self.shape, strict=True)):
            p = probabilities(given, f"strategy of {self.players[i]}")
            require(f"strategy of {self.players[i]}", given, p.size == size, f"Give {size} probabilities.")
            checked.append(p)
        return tuple(checked)

    def pure(self, joint: Joint) -> Profile:
        """The profile in which everybody plays one action."""
        return tuple(np.eye(size)[a] for size, a in zip(self.shape, joint, strict=True))

    def restricted(self, kept: Sequence[Sequence[int]]) -> NormalForm:
        """The game with only those actions of each player."""
        names = tuple(tuple(self.actions[i][a] for a in keep) for i, keep in enumerate(kept))
        return replace(self, table=self.table[np.ix_(*kept)], actions=names)

    def begin(self, rng: np.random.Generator) -> tuple[Joint, ...]:
        """Nothing has been played."""
        return ()

    def turns(self, state: tuple[Joint, ...]) -> tuple[View, ...]:
        """All at once, and once only."""
        if state:
            return ()
        return tuple(View(i, names, (i,)) for i, names in enumerate(self.actions))

    def step(self, state: tuple[Joint, ...], moves: Mapping[int, int], rng: np.random.Generator) -> tuple[Joint, ...]:
        """Everybody has chosen."""
        return (*state, tuple(moves[i] for i in range(self.player_count)))

    def payoffs(self, state: tuple[Joint, ...]) -> Payoffs:
        """Of the cell that was played."""
        return np.asarray(self.table[state[0]])

    def bounds(self) -> tuple[Payoffs, Payoffs]:
        """Over all cells."""
        axes = tuple(range(self.player_count))
        return np.asarray(self.table.min(axis=axes)), np.asarray(self.table.max(axis=axes))

    def rules(self, player: int) -> str:
        """Story, actions, and every cell of the table where they are few."""
        me = self.players[player]
        lines = [self.story] if self.story else []
        lines.append(f"You are {me}. All players choose at the same time.")
        lines += [f"{name} can choose: {', '.join(self.actions[i])}." for i, name in enumerate(self.players)]
        lines += self._cells(player)
        return "\n".join(lines)

    def _cells(self, player: int) -> list[str]:
        others = [i for i in range(self.player_count) if i != player]
        if self.table[..., 0].size > MOST_CELLS_IN_WORDS:
            low, high = (bound[player] for bound in self.bounds())
            return [f"Payoffs lie between {low:g} and {high:g}; they depend on what everybody chooses."]
        lines = []
        for cell in product(*(range(size) for size in (self.shape[player], *(self.shape[i] for i in others)))):
            joint = [0] * self.player_count
            for i, a in zip((player, *others), cell, strict=True):
                joint[i] = a
            pays = self.table[tuple(joint)]
            they = " and ".join(f"{self.players[i]} chooses {self.actions[i][joint[i]]}" for i in others)
            paid = ", ".join(f"{self.players[i]} gets {pays[i]:g}" for i in others)
            when = f" and {they}" if they else ""
            rest = f", {paid}" if paid else ""
            lines.append(f"If you choose {self.actions[player][joint[player]]}{when}: you get {pays[player]:g}{rest}.")
        return lines


def normal_form(
    payoffs: ArrayLike,
    actions: Sequence[Sequence[str]] | None = None,
    players: Sequence[str] | None = None,
    *,
    name: str = "game",
    title: str = "",
    story: str = "",
) -> NormalForm:
    """A game from its table.

    Args:
        payoffs: [actions of player 1, ..., actions of player n, players].
        actions: names of each player's actions; a, b, c, ... by default.
        players: names of the players.
        name: short name.
        title: what it is, in a few words.
        story: what players are told besides the payoffs.

    Raises:
        InputError: the table is ragged, holds NaN or infinite values, or its last axis is not one payoff per player.
    """
    table = payoff_table(payoffs, "payoffs")
    count = table.ndim - 1
    require("payoffs", table.shape, count >= 1, "Give a table with one axis for each player and one for their payoffs.")
    mend = f"A table with {count} axes of actions needs {count} payoffs in each cell, one for each player."
    require("payoffs", table.shape, table.shape[-1] == count, mend)
    if players is not None:
        require("players", list(players), len(players) == count, f"The table has {count} players.")
    who = names_of(players, count, "player", "players")
    if actions is None:
        labels = tuple(tuple(_letter(a) for a in range(size)) for size in table.shape[:-1])
    else:
        require("actions", actions, len(actions) == count, f"Give the actions of {count} players.")
        labels = tuple(
            names_of(given, size, "action", f"actions of {player}")
            for given, size, player in zip(actions, table.shape[:-1], who, strict=True)
        )
    table.setflags(write=False)
    return NormalForm(table, labels, who, name, title, story)


def bimatrix(
    row: ArrayLike, column: ArrayLike, actions: Sequence[Sequence[str]] | None = None, **words: str
) -> NormalForm:
    """A two-player game from the payoffs [rows, columns] of each player. Arguments and errors as ``normal_form``."""
    a, b = payoff_table(row, "payoffs of the row player"), payoff_table(column, "payoffs of the column player")
    require("payoffs of the row player", a.shape, a.ndim == 2, "Give a matrix [rows, columns].")
    require("payoffs of the column player", b.shape, b.shape == a.shape, f"Give a matrix of the shape {a.shape}.")
    return normal_form(np.stack([a, b], axis=-1), actions, **words)


def zero_sum(row: ArrayLike, actions: Sequence[Sequence[str]] | None = None, **words: str) -> NormalForm:
    """A two-player game in which the column player loses what the row player [rows, columns] wins."""
    a = payoff_table(row, "payoffs")
    return bimatrix(a, -a, actions, **words)


def symmetric(own: ArrayLike, actions: Sequence[str] | None = None, **words: str) -> NormalForm:
    """A two-player game in which ``own`` [own action, other's action] is each player's payoff."""
    a = payoff_table(own, "payoffs")
    require("payoffs", a.shape, a.ndim == 2 and a.shape[0] == a.shape[1], "A symmetric game needs a square matrix.")
    return bimatrix(a, a.T, None if actions is None else (actions, actions), **words)


def payoff_table(values: ArrayLike, field: str) -> Payoffs:
    """Numbers as a new array. Raises InputError where they are ragged, not numbers, empty or not finite."""
    try:
        table = np.array(values, float)
    except (TypeError, ValueError):
        raise InputError(field, values, "Give nested lists of numbers, all rows of equal length.") from None
    require(field, values, table.size > 0, "Give at least one action to each player.")
    if not np.isfinite(table).all():
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(table))[0])
        raise InputError(f"{field} at {place}", float(table[place]), "Payoffs are finite numbers.")
    return table


def _letter(action: int) -> str:
    return LETTERS[action] if action < len(LETTERS) else f"action-{action + 1}"


def _permuted(table: Payoffs, player: int) -> Payoffs:
    """The table with the players other than ``player`` in reverse order; equal to it if they are interchangeable.

    Neighbouring exchanges generate all permutations; they are checked one by one.
    """
    others = [i for i in range(table.ndim) if i != player]
    for a, b in pairwise(others):
        if not np.allclose(table, np.swapaxes(table, a, b)):
            return np.asarray(np.swapaxes(table, a, b))
    return table
