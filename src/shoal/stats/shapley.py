"""Shapley values: what each player adds to a coalition, on average over all orders of joining (Shapley 1953)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from math import factorial
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.errors import InputError

Player = TypeVar("Player")


def memberships(players: int) -> NDArray[np.bool_]:
    """Who is in which coalition [2**players, players]: bit i of a coalition's number is player i."""
    inside: NDArray[np.bool_] = (np.arange(1 << players)[:, None] >> np.arange(players)) & 1 == 1
    return inside


def coalitions(players: Sequence[Player]) -> list[frozenset[Player]]:
    """All 2**players coalitions, by their numbers."""
    return [frozenset(compress(players, row)) for row in memberships(len(players)).tolist()]


def exact_shapley(worth: ArrayLike) -> NDArray[np.float64]:
    """Shapley values from the worth of every coalition.

    phi_i = sum over S without i of |S|! (n - |S| - 1)! / n! * (v(S + i) - v(S)).

    Args:
        worth: v(S) [..., coalitions], by the numbers of ``memberships``.

    Returns:
        Values [..., players]; they sum to v(everybody) - v(nobody).

    Raises:
        InputError: the number of coalitions is no power of 2, or 1.
    """
    value = np.asarray(worth, float)
    players = value.shape[-1].bit_length() - 1
    if players < 1 or value.shape[-1] != 1 << players:
        raise InputError("worth", f"{value.shape[-1]} coalitions", "Give the worth of all 2**players coalitions.")
    number, member = np.arange(1 << players), memberships(players)
    size = member.sum(axis=1)
    chance = [factorial(s) * factorial(players - s - 1) / factorial(players) for s in range(players)]
    weight = np.array([*chance, 0.0])
    phi = [
        ((value[..., without | (1 << i)] - value[..., without]) * weight[size[without]]).sum(axis=-1)
        for i in range(players)
        for without in [number[~member[:, i]]]
    ]
    return np.stack(phi, axis=-1)
