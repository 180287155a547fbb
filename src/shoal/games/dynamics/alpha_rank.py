"""Alpha-rank (Omidshafiei et al., "Alpha-rank: multi-agent evaluation by evolution", 2019).

Populations of one strategy each are invaded by single mutants; the chain over pure profiles that takes over by fixation
has a unique stationary distribution, whose mass ranks profiles and strategies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError
from shoal.games.game import Payoffs, require
from shoal.games.normal_form import NormalForm
from shoal.games.solvers.size import check_profiles

DENSE = 1_500
"""Profiles up to which the chain is solved directly; beyond it, by power iteration on a sparse matrix."""
INFINITE_EPSILON = 0.01
"""Chance of a step down in the limit of infinite intensity: small, so that the chain stays ergodic."""


@dataclass(frozen=True)
class AlphaRank:
    """The stationary distribution.

    Attributes:
        mass: of each pure profile [actions of player 1, ..., of player n]; of each strategy with one population.
        scores: mass of each strategy of each population.
    """

    mass: NDArray[np.float64]
    scores: tuple[NDArray[np.float64], ...]

    def order(self, population: int = 0) -> list[int]:
        """Strategies of that population, best first."""
        return [int(k) for k in np.argsort(-self.scores[population], kind="stable")]


def alpha_rank(
    game: NormalForm, *, intensity: float | None = None, size: int = 50, single: bool | None = None
) -> AlphaRank:
    """Rank the strategies of a game.

    Args:
        game: payoffs between strategies.
        intensity: of selection (alpha), above 0; None is the limit of infinity.
        size: individuals in each population, at least 2.
        single: one population that plays against itself (a symmetric two-player game); by default if the game is one.

    Raises:
        InputError: a value out of range, one population for a game that is not symmetric, or too many profiles.
    """
    require("intensity", intensity, intensity is None or intensity > 0, "Use a number above 0, or none for infinity.")
    require("size", size, size >= 2, "Use 2 or more individuals.")
    symmetric = game.player_count == 2 and game.symmetric
    one = symmetric if single is None else single
    if one and not symmetric:
        raise InputError("single", True, "The game is not symmetric; leave it out, or use False.")
    if one:
        mass = _stationary(_single_chain(game.table[..., 0], intensity, size))
        return AlphaRank(mass, (mass,))
    check_profiles(game)
    mass = _stationary(_chain(game, intensity, size)).reshape(game.shape)
    axes = range(game.player_count)
    return AlphaRank(mass, tuple(mass.sum(axis=tuple(j for j in axes if j != i)) for i in axes))


def fixation(gain: Payoffs, intensity: float | None, size: int) -> Payoffs:
    """Chance that one mutant that earns ``gain`` more than residents takes a population over, for any shape of gains.

    (1 - exp(-a g)) / (1 - exp(-a m g)), or 1 / m where g is 0; in the limit of infinity 1, 1/2 and 0, softened.
    """
    g = np.asarray(gain, float)
    if intensity is None:
        close = np.isclose(g, 0, atol=1e-12)
        return np.where(close, 0.5, np.where(g > 0, 1 - INFINITE_EPSILON, INFINITE_EPSILON))
    u = np.clip(intensity * g, -500, 500)
    small = np.abs(u) < 1e-10
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        # For losses the fraction is written with falling exponentials, which cannot overflow.
        up = -np.expm1(-np.abs(u)) / -np.expm1(-size * np.abs(u))
        down = np.exp(-(size - 1) * np.abs(u)) * up
    return np.asarray(np.where(small, 1 / size, np.where(u > 0, up, down)))


def _single_chain(own: Payoffs, intensity: float | None, size: int) -> NDArray[np.float64]:
    k = len(own)
    chain = fixation(own.T - own, intensity, size) / max(1, k - 1)  # from s to t: payoff of t against s minus s's
    np.fill_diagonal(chain, 0)
    np.fill_diagonal(chain, 1 - chain.sum(axis=1))
    return chain


def _chain(game: NormalForm, intensity: float | None, size: int) -> Any:
    count = int(np.prod(game.shape))
    place = np.arange(count).reshape(game.shape)
    rate = 1 / max(1, sum(k - 1 for k in game.shape))
    rows, columns, chances = [], [], []
    for i, k in enumerate(game.shape):
        own, at = np.moveaxis(game.table[..., i], i, 0), np.moveaxis(place, i, 0)
        for s in range(k):
            for t in range(k):
                if s != t:
                    rows.append(at[s].ravel())
                    columns.append(at[t].ravel())
                    chances.append(rate * fixation(own[t] - own[s], intensity, size).ravel())
    if not rows:
        return np.ones((1, 1))
    r, c, p = np.concatenate(rows), np.concatenate(columns), np.concatenate(chances)
    if count <= DENSE:
        chain = np.zeros((count, count))
        chain[r, c] = p
        np.fill_diagonal(chain, 1 - chain.sum(axis=1))
        return chain
    from scipy.sparse import coo_array, diags_array

    moves = coo_array((p, (r, c)), shape=(count, count)).tocsr()
    return moves + diags_array(1 - np.asarray(moves.sum(axis=1)).ravel())


def _stationary(chain: Any) -> NDArray[np.float64]:
    """Of a dense chain by elimination, of a sparse one by power iteration."""
    if isinstance(chain, np.ndarray):
        # Grassmann-Taksar-Heyman elimination: no subtraction, so that tiny rates keep their relative accuracy.
        a = chain.copy()
        n = len(a)
        for k in range(n - 1, 0, -1):
            total = a[k, :k].sum()
            if total <= 0:  # the rest is cut off from k: start again from a mixture that is ergodic
                return _stationary((1 - 1e-12) * chain + 1e-12 / n)
            a[:k, k] /= total
            a[:k, :k] += np.outer(a[:k, k], a[k, :k])
        p = np.zeros(n)
        p[0] = 1
        for k in range(1, n):
            p[k] = p[:k] @ a[:k, k]
        return np.asarray(p / p.sum())
    p = np.full(chain.shape[0], 1 / chain.shape[0])
    for _ in range(200_000):
        new = p @ chain
        if np.abs(new - p).sum() < 1e-12:
            break
        p = new
    return np.asarray(p / p.sum())
