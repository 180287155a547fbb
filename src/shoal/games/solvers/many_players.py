"""Support enumeration for small games of three players or more.

For every combination of supports, the players must be indifferent between the actions in use: a system of polynomials,
solved by Newton's method from many starts at once (the scheme of Porter, Nudelman and Shoham, "Simple search methods
for finding a Nash equilibrium", 2008, without its backtracking). Pure equilibria are found exactly; mixed ones are
verified, isolated ones are found as long as one start leads to them, which more ``starts`` make more likely but never
certain.
"""

from __future__ import annotations

from itertools import combinations, pairwise, product

import numpy as np
from numpy.typing import NDArray

from shoal.games.game import TOLERANCE
from shoal.games.normal_form import NormalForm, Profile
from shoal.games.solvers.nash import all_equilibria
from shoal.games.solvers.size import check_equilibria

Array = NDArray[np.float64]
LETTERS = "abcdefghijklmnop"
STEPS = 40
CLOSE = 1e-11


def support_enumeration(game: NormalForm, starts: int = 24, seed: int = 0) -> list[Profile]:
    """Nash equilibria of a small game of any number of players, each verified.

    With two players this is ``all_equilibria``, which misses none.

    Args:
        game: any small game.
        starts: of Newton's method for each combination of supports.
        seed: of the starts.

    Raises:
        InputError: too many combinations of supports.
    """
    if game.player_count == 2:
        return list(all_equilibria(game).profiles)
    check_equilibria(game)
    rng = np.random.default_rng(seed)
    found: list[Profile] = []
    sets = [[s for k in range(1, size + 1) for s in combinations(range(size), k)] for size in game.shape]
    for supports in sorted(product(*sets), key=lambda choice: sum(map(len, choice))):
        if _hopeless(game, supports):
            continue
        for part in _solutions(game.restricted(supports).table, starts, rng):
            profile = tuple(
                _spread(p, places, size) for p, places, size in zip(part, supports, game.shape, strict=True)
            )
            if _verified(game, profile) and not any(_same(profile, other) for other in found):
                found.append(profile)
    return found


def _hopeless(game: NormalForm, supports: tuple[tuple[int, ...], ...]) -> bool:
    """A player mixes more than the others can keep indifferent, or an action in use is dominated on the supports."""
    sizes = [len(s) - 1 for s in supports]
    if any(k > sum(sizes) - k for k in sizes):
        return True
    for i, support in enumerate(supports):
        places = [list(s) for s in supports]
        places[i] = list(range(game.shape[i]))
        own = np.moveaxis(game.table[..., i][np.ix_(*places)], i, 0).reshape(game.shape[i], -1)
        if (own[None, :, :] > own[list(support)][:, None, :]).all(axis=2).any():
            return True
    return False


def _solutions(table: Array, starts: int, rng: np.random.Generator) -> list[Profile]:
    """Completely mixed points of the game ``table`` at which all actions of each player pay the same."""
    sizes = table.shape[:-1]
    if all(k == 1 for k in sizes):
        return [tuple(np.ones(1) for _ in sizes)]
    edges = np.cumsum([0, *sizes])
    x = np.concatenate([rng.dirichlet(np.ones(k), starts) for k in sizes], axis=1)
    scale = float(np.ptp(table)) or 1.0
    for _ in range(STEPS):
        error, slope = _indifference(table / scale, x, edges)
        if (np.abs(error).max(axis=1) < CLOSE).all():
            break
        move = np.einsum("zij,zj->zi", np.linalg.pinv(slope), error)
        length = np.abs(move).max(axis=1, keepdims=True)
        x = x - move * np.minimum(1, 1 / np.maximum(length, 1e-300))
    error, _ = _indifference(table / scale, x, edges)
    good = (np.abs(error).max(axis=1) < 1e3 * CLOSE) & (x > 1e-8).all(axis=1)
    return [tuple(row[a:b] / row[a:b].sum() for a, b in pairwise(edges)) for row in x[good]]


def _indifference(table: Array, x: Array, edges: NDArray[np.int_]) -> tuple[Array, Array]:
    """Errors [starts, equations] and their derivatives [starts, equations, unknowns].

    For each player: the gaps between neighbouring actions' payoffs, and the sum of its probabilities minus 1.
    """
    n = table.ndim - 1
    parts = [x[:, edges[i] : edges[i + 1]] for i in range(n)]
    errors, slopes = [], []
    for i in range(n):
        k = table.shape[i]
        pays = _contract(table[..., i], parts, (i,))
        slope = np.zeros((len(x), k, x.shape[1]))
        for j in range(n):
            if j != i:
                both = _contract(table[..., i], parts, (i, j))
                slope[:, :-1, edges[j] : edges[j + 1]] = both[:, 1:] - both[:, :-1]
        slope[:, -1, edges[i] : edges[i + 1]] = 1
        errors.append(np.concatenate([pays[:, 1:] - pays[:, :-1], parts[i].sum(axis=1, keepdims=True) - 1], axis=1))
        slopes.append(slope)
    return np.concatenate(errors, axis=1), np.concatenate(slopes, axis=1)


def _contract(own: Array, parts: list[Array], kept: tuple[int, ...]) -> Array:
    """Expectation of ``own`` over all players but those kept: [starts, *kept actions]."""
    axes = LETTERS[: own.ndim]
    others = [j for j in range(own.ndim) if j not in kept]
    if not others:
        value = own if kept == tuple(sorted(kept)) else own.transpose(kept)
        return np.broadcast_to(value, (len(parts[0]), *value.shape))
    terms = ",".join("z" + axes[j] for j in others)
    result = "z" + "".join(axes[j] for j in kept)
    return np.asarray(np.einsum(f"{axes},{terms}->{result}", own, *(parts[j] for j in others)))


def _verified(game: NormalForm, profile: Profile) -> bool:
    return bool(game.regrets(profile).max() <= 100 * TOLERANCE * (float(np.ptp(game.table)) or 1.0))


def _same(a: Profile, b: Profile) -> bool:
    return all(np.allclose(p, q, atol=1e-6) for p, q in zip(a, b, strict=True))


def _spread(weights: Array, places: tuple[int, ...], size: int) -> Array:
    full = np.zeros(size)
    full[list(places)] = weights
    return full
