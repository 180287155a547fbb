"""Instincts in causal games: random games that have them, kinds of instinct, and the epsilon of a follower."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.games.causal import CausalGame, causal_game
from shoal.games.normal_form import NormalForm

HABITS = ("own best reply", "random instinct", "jointly best reply")


def random_causal_game(
    rng: np.random.Generator, circumstances: int, shape: Sequence[int], *, free: bool, informed: Sequence[bool] = ()
) -> CausalGame:
    """A random causal game: payoffs uniform on [0, 1], chances from Dirichlet(1).

    Args:
        rng: its random numbers.
        circumstances: how many.
        shape: number of actions of each player.
        free: one payoff table for all circumstances.
        informed: for each player, whether its instinct tells circumstances apart as far as its actions go (True) or
            says nothing (False); instincts are random where this is left out.
    """
    table = rng.random((circumstances, *shape, len(shape)))
    if free:
        table[:] = table[0]
    told = [rng.integers(0, k, circumstances) for k in shape]
    for i, knows in enumerate(informed):
        told[i] = np.arange(circumstances) % shape[i] if knows else np.zeros(circumstances, int)
    return causal_game(rng.dirichlet(np.ones(circumstances)), np.array(told), table)


def habits(game: NormalForm, rng: np.random.Generator) -> dict[str, NDArray[np.float64]]:
    """Instincts of a follower, one of each kind in ``HABITS``: [leader's actions, follower's actions] each."""
    width = game.shape[1]
    own, joint = game.table[..., 1].argmax(axis=1), game.table.sum(axis=2).argmax(axis=1)
    chosen = (own, rng.integers(0, width, game.shape[0]), joint)
    return {name: np.eye(width)[rows] for name, rows in zip(HABITS, chosen, strict=True)}


def fitted_epsilon(costs: ArrayLike, kept: ArrayLike) -> float:
    """The epsilon that best tells kept instincts from given-up ones: least errors, in the middle of the best range.

    Args:
        costs: what each instinct costs beside the best answer [n]; those that cost nothing tell nothing.
        kept: whether it was kept [n].
    """
    x, k = np.asarray(costs, float), np.asarray(kept, bool)
    order = np.argsort(x[x > 1e-9])
    x, k = x[x > 1e-9][order], k[x > 1e-9][order]
    if not x.size:
        return 0.0
    errors = np.array([(~k[:i]).sum() + k[i:].sum() for i in range(x.size + 1)])
    best = np.flatnonzero(errors == errors.min())
    if best[-1] == 0:
        return 0.0
    edges = np.concatenate([[0.0], x, x[-1:]])
    return float((edges[best[0]] + edges[best[-1] + 1]) / 2)
