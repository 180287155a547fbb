"""Correlated equilibria (Aumann 1974) by linear programme, and maximin strategies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError
from shoal.games.game import Payoffs
from shoal.games.normal_form import NormalForm, Strategy, payoff_table
from shoal.games.solvers.linear_programme import best_mixture, least_gain
from shoal.games.solvers.size import check_correlated


def correlated_equilibrium(
    game: NormalForm, weights: Sequence[float] | None = None, *, coarse: bool = False
) -> NDArray[np.float64]:
    """The joint distribution [actions of player 1, ..., of player n] with the greatest weighted sum of payoffs.

    A mediator draws a joint action and tells each player its own; nobody gains by another action than told. Solved by
    HiGHS.

    Args:
        game: any game.
        weights: of the players' payoffs; 1 each (welfare) by default. Negative weights look for the worst.
        coarse: players only compare following blindly with one fixed action (Moulin and Vial 1978).

    Raises:
        InputError: wrong weights, or a game that is too large.
    """
    from scipy.sparse import csr_array

    check_correlated(game)
    w = np.ones(game.player_count) if weights is None else payoff_table(list(weights), "weights")
    if w.shape != (game.player_count,):
        raise InputError("weights", weights, f"Give {game.player_count} numbers, one for each player.")
    rows = [row for i in range(game.player_count) for row in _incentives(game, i, coarse)]
    at_most = (csr_array(np.stack(rows)), np.zeros(len(rows))) if rows else None
    found = best_mixture((game.table @ w).ravel(), at_most)
    if found is None:  # a correlated equilibrium always exists
        raise RuntimeError("HiGHS failed on a correlated equilibrium")
    return found.point.reshape(game.shape)


def correlated_gain(game: NormalForm, joint: NDArray[np.float64], *, coarse: bool = False) -> Payoffs:
    """What each player [players] could gain at most by not doing as told; 0 or less in a correlated equilibrium.

    Gains are expected over the draw: for an action told with probability p they count p-fold.
    """
    flat = np.asarray(joint, float).ravel()
    gains = []
    for i in range(game.player_count):
        rows = _incentives(game, i, coarse)
        gains.append(max((float(row @ flat) for row in rows), default=0.0))
    return np.array(gains)


def maximin(game: NormalForm, player: int = 0) -> tuple[float, Strategy]:
    """The most that a player can secure, and a strategy [actions] that does; the value of a zero-sum game."""
    own = np.moveaxis(game.table[..., player], player, 0).reshape(game.shape[player], -1)
    found = least_gain(own.T)
    return found.value, found.point


def _incentives(game: NormalForm, player: int, coarse: bool) -> list[NDArray[np.float64]]:
    """Rows over cells: expected gain of playing b where a was told (or of b throughout, if coarse)."""
    own = np.moveaxis(game.table[..., player], player, 0)
    rows = []
    if coarse:
        return [_back(own[b][None] - own, player) for b in range(len(own))]
    for a in range(len(own)):
        for b in range(len(own)):
            if a != b:
                row = np.zeros_like(own)
                row[a] = own[b] - own[a]
                rows.append(_back(row, player))
    return rows


def _back(row: NDArray[np.float64], player: int) -> NDArray[np.float64]:
    return np.moveaxis(row, 0, player).ravel()
