"""Nash averaging (Balduzzi et al., "Re-evaluating evaluation", 2018): the maximum-entropy equilibrium of a meta-game.

Strategies are rated by what they earn against the equilibrium; copies of a strategy do not change anybody's rating.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.errors import InputError
from shoal.games.normal_form import payoff_table
from shoal.games.solvers.linear_programme import best_mixture

Array = NDArray[np.float64]


@dataclass(frozen=True)
class NashAverage:
    """Ratings.

    Attributes:
        weights: the maximum-entropy equilibrium [strategies].
        ratings: what each strategy earns against it [strategies]; 0 for those in its support, below 0 for others.
    """

    weights: Array
    ratings: Array


def nash_averaging(gains: ArrayLike) -> NashAverage:
    """Rate strategies by an antisymmetric table.

    Args:
        gains: what each strategy wins against each [strategies, strategies]; gains[i, j] = -gains[j, i].

    Raises:
        InputError: the table is not square and antisymmetric.
    """
    table = payoff_table(gains, "gains")
    if table.ndim != 2 or table.shape[0] != table.shape[1] or not np.allclose(table, -table.T, atol=1e-9):
        raise InputError(
            "gains", table.shape, "Give a square table with gains[i, j] = -gains[j, i]: wins minus losses."
        )
    scale = float(np.abs(table).max()) or 1.0
    a = table / scale
    support = _support(a)
    weights = np.zeros(len(a))
    weights[support] = _most_even(a[support], support)
    return NashAverage(weights, scale * (a @ weights))


def antisymmetric(payoffs: ArrayLike) -> Array:
    """Wins minus losses from the payoffs [strategies, strategies] of a symmetric game: (M - M') / 2."""
    m = np.asarray(payoffs, float)
    return np.asarray((m - m.T) / 2)


def _support(a: Array) -> list[int]:
    """Strategies that some equilibrium uses.

    If in one equilibrium every strategy is either used or earns less than 0 against it, no other equilibrium uses more
    (complementary slackness); else each strategy not yet seen in use is looked for by a linear programme of its own.
    """
    k = len(a)
    used: set[int] = set()
    for i in range(k):
        if i in used:
            continue
        found = best_mixture(np.eye(k)[i], (a, np.full(k, 1e-9)))
        if found is None:  # an equilibrium always exists
            raise RuntimeError("HiGHS failed on an equilibrium")
        mine = found.point > 1e-7
        if ((a @ found.point < -1e-7) != mine).all():
            return [int(j) for j in np.flatnonzero(mine)]
        used |= {int(j) for j in np.flatnonzero(mine)}
    return sorted(used)


def _most_even(rows: Array, support: list[int]) -> Array:
    """The distribution over the support with the greatest entropy among equilibria, by its dual.

    It has the form p ~ exp(rows @ m) with multipliers m that minimise log sum exp(rows @ m): free for strategies of
    the support, which every equilibrium meets with equality, and 0 or more for the others.
    """
    from scipy.optimize import minimize

    k = rows.shape[1]
    if len(rows) == 1:
        return np.ones(1)

    def dual(m: Array) -> tuple[float, Array]:
        z = rows @ m
        top = z.max()
        e = np.exp(z - top)
        total = e.sum()
        return float(top + np.log(total)), rows.T @ (e / total)

    bounds = [(None, None) if j in support else (0, None) for j in range(k)]
    options: Any = {"maxiter": 5000, "ftol": 1e-15, "gtol": 1e-11, "maxfun": 50_000}
    found: Any = minimize(dual, np.zeros(k), jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    z = rows @ found.x
    p = np.exp(z - z.max())
    return np.asarray(p / p.sum())
