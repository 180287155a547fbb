"""Linear programmes by HiGHS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Optimum:
    """The best point and its worth."""

    point: NDArray[np.float64]
    value: float


def maximise(
    worth: ArrayLike,
    *,
    at_most: tuple[Any, ArrayLike] | None = None,
    equal: tuple[ArrayLike, ArrayLike] | None = None,
    free: int = 0,
) -> Optimum | None:
    """The x that maximises worth @ x, or None if there is none.

    Args:
        worth: [variables].
        at_most: (A, b) with A x <= b; A may be sparse.
        equal: (A, b) with A x = b.
        free: the last so many variables may be below 0; the others may not.
    """
    from scipy.optimize import linprog

    c = -np.asarray(worth, float)
    bounds = [(0, None)] * (c.size - free) + [(None, None)] * free
    given: dict[str, Any] = {"bounds": bounds, "method": "highs"}
    if at_most is not None:
        given |= {"A_ub": at_most[0], "b_ub": at_most[1]}
    if equal is not None:
        given |= {"A_eq": equal[0], "b_eq": equal[1]}
    found: Any = linprog(c, **given)
    return Optimum(np.asarray(found.x), -float(found.fun)) if found.success else None


def best_mixture(worth: ArrayLike, at_most: tuple[Any, ArrayLike] | None = None) -> Optimum | None:
    """The probability vector x that maximises worth @ x under A x <= b, or None if there is none."""
    w = np.asarray(worth, float)
    found = maximise(w, at_most=at_most, equal=(np.ones((1, w.size)), [1.0]))
    if found is None:
        return None
    p = np.clip(found.point, 0, None)
    return Optimum(p / p.sum(), found.value)


def least_gain(gains: NDArray[np.float64]) -> Optimum:
    """The mixture over columns of gains [cases, columns] whose worst case is best, and that worst case."""
    cases, columns = gains.shape
    table = np.hstack([-gains, np.ones((cases, 1))])
    worth = np.zeros(columns + 1)
    worth[-1] = 1
    one = np.append(np.ones(columns), 0.0)[None]
    found = maximise(worth, at_most=(table, np.zeros(cases)), equal=(one, [1.0]), free=1)
    if found is None:  # the programme is always feasible and bounded
        raise RuntimeError("HiGHS failed on a maximin programme")
    p = np.clip(found.point[:-1], 0, None)
    return Optimum(p / p.sum(), found.value)
