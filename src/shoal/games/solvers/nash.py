"""All equilibria of a two-player game, by the vertices of both best-response polytopes.

Payoffs are scaled to lie between 1 and 2, so that the polytopes P = {x >= 0, B'x <= 1} and Q = {y >= 0, Ay <= 1} are
bounded. Every vertex of P belongs to a set I of rows in use and an equally large set J of columns that are best
responses: it solves B[I, J]' x = 1. A pair of vertices is an equilibrium when every row and every column is either
unused or a best response (von Stengel, "Computing equilibria for two-person games", 2002, theorem 2.7 and section 2.3;
Avis, Rosenberg, Savani and von Stengel, "Enumeration of Nash equilibria for two-player games", 2010).

In a nondegenerate game these pairs are all equilibria. In a degenerate one the set of equilibria is a union of convex
polytopes; what is returned then are the extreme equilibria, its vertices, of which every equilibrium is a convex
combination within one component.

Speed: systems of equal size are solved as one stack. Q is only solved where P is feasible; if anything degenerate
shows up (a vertex with more labels than its dimension, a singular system), all vertices of both are listed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError
from shoal.games.game import TOLERANCE
from shoal.games.normal_form import NormalForm, Profile
from shoal.games.solvers.size import check_equilibria

Matrix = NDArray[np.float64]
Index = NDArray[np.intp]

SINGULAR = 1e-12
"""Determinant, relative to the product of row norms, below which a system counts as singular."""
BLOCK = 400_000
"""Numbers in one stack of systems."""


@dataclass(frozen=True)
class Equilibria:
    """What was found.

    Attributes:
        profiles: the equilibria, mixed strategies of both players each.
        degenerate: whether a best-response polytope is not simple; then these are the extreme equilibria and there
            may be infinitely many between them.
    """

    profiles: tuple[Profile, ...]
    degenerate: bool

    def __len__(self) -> int:
        return len(self.profiles)


def all_equilibria(game: NormalForm) -> Equilibria:
    """Every Nash equilibrium of a two-player game; the extreme ones where there are infinitely many.

    Raises:
        InputError: the game has not two players, or is too large.
    """
    if game.player_count != 2:
        raise InputError("game", f"{game.player_count} players", "Use support_enumeration: this solver is for two.")
    check_equilibria(game)
    A, B = _scaled(game.table[..., 0]), _scaled(game.table[..., 1])
    quick = _by_matching_supports(A, B)
    if quick is not None:
        return Equilibria(tuple(sorted(quick, key=_order)), degenerate=False)
    pairs = _by_matching_vertices(_vertices(B.T), _vertices(A), A, B)
    return Equilibria(tuple(sorted(pairs, key=_order)), degenerate=True)


def pure_equilibria(game: NormalForm) -> list[tuple[int, ...]]:
    """All pure Nash equilibria, as joint actions, of a game with any number of players."""
    stable = np.ones(game.shape, bool)
    slack = TOLERANCE * (1 + np.abs(game.table).max())
    for i in range(game.player_count):
        own = game.table[..., i]
        stable &= own >= own.max(axis=i, keepdims=True) - slack
    return [tuple(int(a) for a in cell) for cell in np.argwhere(stable)]


def _by_matching_supports(A: Matrix, B: Matrix) -> list[Profile] | None:
    """The equilibria if nothing degenerate is met, else None."""
    m, n = A.shape
    found: list[Profile] = []
    for k in range(1, min(m, n) + 1):
        for rows, columns in _support_blocks(m, n, k):
            x, regular = _solve(B[rows[:, :, None], columns[:, None, :]].transpose(0, 2, 1))
            kept = regular & (x >= -TOLERANCE).all(axis=1)
            if not kept.any():
                continue
            rows, columns, x = rows[kept], columns[kept], x[kept]
            pays = np.matmul(x[:, None, :], B[rows])[:, 0, :]
            kept = (pays <= 1 + TOLERANCE).all(axis=1)
            if not kept.any():
                continue
            rows, columns, x, pays = rows[kept], columns[kept], x[kept], pays[kept]
            if (x <= TOLERANCE).any() or ((pays >= 1 - TOLERANCE).sum(axis=1) > k).any():
                return None
            y, regular = _solve(A[rows[:, :, None], columns[:, None, :]], certain=True)
            if not regular.all():
                return None
            pays = np.matmul(A[:, columns].transpose(1, 0, 2), y[:, :, None])[:, :, 0]
            kept = (y >= -TOLERANCE).all(axis=1) & (pays <= 1 + TOLERANCE).all(axis=1)
            for i, j, p, q, pay in zip(rows[kept], columns[kept], x[kept], y[kept], pays[kept], strict=True):
                if (q <= TOLERANCE).any() or (pay >= 1 - TOLERANCE).sum() > k:
                    return None
                found.append((_spread(p, i, m), _spread(q, j, n)))
    return found


def _vertices(M: Matrix) -> Matrix:
    """All vertices [count, n] but 0 of {z >= 0, M z <= 1} for M [m, n] > 0."""
    m, n = M.shape
    found = []
    for k in range(1, min(m, n) + 1):
        for rows, columns in _support_blocks(m, n, k):
            z, regular = _solve(M[rows[:, :, None], columns[:, None, :]], certain=True)
            kept = regular & (z >= -TOLERANCE).all(axis=1)
            columns, z = columns[kept], z[kept]
            full = np.zeros((len(z), n))
            np.put_along_axis(full, columns, np.clip(z, 0, None), axis=1)
            found.append(full[(full @ M.T <= 1 + TOLERANCE).all(axis=1)])
    stacked = np.concatenate(found)
    _, first = np.unique(np.round(stacked, 8) + 0.0, axis=0, return_index=True)
    return stacked[np.sort(first)]


def _by_matching_vertices(xs: Matrix, ys: Matrix, A: Matrix, B: Matrix) -> list[Profile]:
    """Pairs of vertices in which every row and column is unused or a best response."""
    slack = 10 * TOLERANCE
    used_rows, best_rows = xs > slack, ys @ A.T >= 1 - slack
    used_columns, best_columns = ys > slack, xs @ B >= 1 - slack
    wrong = used_rows.astype(np.int32) @ (~best_rows).T.astype(np.int32)
    wrong += (~best_columns).astype(np.int32) @ used_columns.T.astype(np.int32)
    return [(xs[i] / xs[i].sum(), ys[j] / ys[j].sum()) for i, j in np.argwhere(wrong == 0)]


def _solve(stack: Matrix, certain: bool = False) -> tuple[Matrix, NDArray[np.bool_]]:
    """Solutions z [systems, k] of stack z = 1, and which systems are regular; the others' solutions mean nothing.

    The determinant costs as much as the solution. Unless ``certain``, it is only looked at where the solution is large:
    a singular system that passes has a solution on an edge, whose ends then show the degeneracy.
    """
    k = stack.shape[-1]
    if k == 1:
        ones: NDArray[np.bool_] = np.ones(len(stack), bool)
        return np.asarray(1 / stack[:, 0], np.float64), ones
    if k == 2:
        return _solve_pairs(stack)
    regular: NDArray[np.bool_]
    with np.errstate(all="ignore"):
        scale = np.prod(np.sqrt(np.einsum("sij,sij->si", stack, stack)), axis=1)
        try:
            z: Matrix = np.asarray(np.linalg.solve(stack, np.ones((len(stack), k, 1)))[:, :, 0], np.float64)
        except np.linalg.LinAlgError:
            regular = np.abs(np.linalg.det(stack)) > SINGULAR * scale
            z = np.full((len(stack), k), np.nan)
            z[regular] = np.linalg.solve(stack[regular], np.ones((int(regular.sum()), k, 1)))[:, :, 0]
            return z, np.asarray(regular)
        suspect = certain | ~(np.abs(z).max(axis=1) < 1e6)
        regular = np.asarray(np.ones(len(stack), bool))
        if suspect.any():
            regular[suspect] = np.abs(np.linalg.det(stack[suspect])) > SINGULAR * scale[suspect]
    return z, regular


def _solve_pairs(stack: Matrix) -> tuple[Matrix, NDArray[np.bool_]]:
    a, b, c, d = stack[:, 0, 0], stack[:, 0, 1], stack[:, 1, 0], stack[:, 1, 1]
    determinant = a * d - b * c
    regular = np.abs(determinant) > SINGULAR * (np.abs(a * d) + np.abs(b * c))
    with np.errstate(all="ignore"):
        z = np.stack([d - b, a - c], axis=1) / determinant[:, None]
    return np.asarray(z), np.asarray(regular)


def _support_blocks(m: int, n: int, k: int) -> list[tuple[Index, Index]]:
    """All pairs of k of m rows and k of n columns, [pairs, k] each, in blocks that fit in memory."""
    rows, columns = _subsets(m, k), _subsets(n, k)
    size = max(1, BLOCK // (len(columns) * k * k))
    blocks = []
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        blocks.append((np.repeat(part, len(columns), axis=0), np.tile(columns, (len(part), 1))))
    return blocks


@lru_cache(maxsize=256)
def _subsets(n: int, k: int) -> Index:
    return np.array(list(combinations(range(n), k)), np.intp)


def _scaled(payoffs: Matrix) -> Matrix:
    low, high = payoffs.min(), payoffs.max()
    return np.asarray(1 + (payoffs - low) / (high - low if high > low else 1.0))


def _spread(weights: Matrix, places: Index, size: int) -> Matrix:
    full = np.zeros(size)
    full[places] = weights / weights.sum()
    return full


def _order(profile: Profile) -> tuple[int, tuple[float, ...]]:
    """Pure equilibria first, then by the first actions' probabilities, so that results do not depend on the method."""
    size = sum(int((p > TOLERANCE).sum()) for p in profile)
    return size, tuple(-round(float(x), 9) for p in profile for x in p)
