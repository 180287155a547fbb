"""Evolution in finite populations: selection, drift and mutation, all seeds and conditions at once.

The pairwise-comparison process (Traulsen, Nowak and Pacheco 2006): a random individual looks at another and copies it
with a chance that grows with the difference of their payoffs; with chance ``mutation`` it takes a random strategy.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.errors import InputError
from shoal.games.compilation import quickly_compiled
from shoal.games.game import require
from shoal.games.normal_form import NormalForm


@dataclass(frozen=True)
class Drift:
    """How populations went.

    Attributes:
        shares: mean share of each strategy over the kept time [conditions, seeds, strategies].
        final: individuals of each strategy at the end [conditions, seeds, strategies].
        course: individuals at evenly spaced moments [conditions, seeds, points, strategies].
    """

    shares: NDArray[np.float64]
    final: NDArray[np.int64]
    course: NDArray[np.int64]


def drift(
    game: NormalForm,
    *,
    size: int = 50,
    intensity: ArrayLike = 1.0,
    mutation: ArrayLike = 0.01,
    steps: int = 20_000,
    seeds: int = 16,
    start: ArrayLike | None = None,
    points: int = 50,
    seed: int = 0,
) -> Drift:
    """Simulate finite populations; every (intensity, mutation) pair is one condition.

    Args:
        game: a symmetric two-player game.
        size: individuals, at least 2.
        intensity: of selection, 0 or more; one number, or one for each condition.
        mutation: chance of a random strategy at an update; one number, or one for each condition.
        steps: updates of one individual.
        seeds: populations in each condition.
        start: individuals of each strategy at the start; random by default.
        points: moments kept in ``course``.
        seed: root of the random numbers; conditions share them.

    Raises:
        InputError: the game is not symmetric, or a value is out of range.
    """
    require("game", game.name, game.player_count == 2 and game.symmetric, "Use a symmetric game of two players.")
    require("size", size, size >= 2, "Use 2 or more.")
    require("steps", steps, steps >= points >= 1, "Use at least as many steps as points.")
    w, mu = np.broadcast_arrays(np.atleast_1d(np.asarray(intensity, float)), np.atleast_1d(np.asarray(mutation, float)))
    require("intensity", intensity, bool((w >= 0).all()), "Use 0 or more.")
    require("mutation", mutation, bool(((mu >= 0) & (mu <= 1)).all()), "Use a chance from 0 to 1.")
    k = game.shape[0]
    rng = np.random.default_rng(seed)
    if start is None:
        first = rng.multinomial(size, np.full(k, 1 / k), seeds)
    else:
        given = np.asarray(start)
        fits = given.shape == (k,) and bool((given >= 0).all()) and int(given.sum()) == size
        if not fits:
            raise InputError("start", start, f"Give {k} counts that sum to {size}.")
        first = np.tile(given, (seeds, 1))
    # float32 is enough: payoffs enter a comparison of chances
    out = _run(
        jnp.asarray(game.table[..., 0], jnp.float32), jnp.asarray(first, jnp.int32), jnp.asarray(w, jnp.float32),
        jnp.asarray(mu, jnp.float32), jax.random.key(seed), size, steps // points, points,
    )  # fmt: skip
    shares, course = (np.asarray(x) for x in out)
    return Drift(shares.astype(float), course[:, :, -1].astype(np.int64), course.astype(np.int64))


def fixation_probability(own: ArrayLike, size: int, intensity: float = 1.0) -> float:
    """Exact chance that one mutant takes over, without mutation.

    Args:
        own: payoffs [[mutant-mutant, mutant-resident], [resident-mutant, resident-resident]].
        size: individuals.
        intensity: of selection.
    """
    (a, b), (c, d) = np.asarray(own, float)
    total, log_product = 1.0, 0.0
    for j in range(1, size):
        mutant = ((j - 1) * a + (size - j) * b) / (size - 1)
        resident = (j * c + (size - j - 1) * d) / (size - 1)
        log_product -= intensity * (mutant - resident)
        total += float(np.exp(log_product))
    return 1 / total


@quickly_compiled("size", "every", "points")
def _run(
    own: jax.Array, first: jax.Array, w: jax.Array, mu: jax.Array, key: jax.Array, size: int, every: int, points: int
) -> tuple[jax.Array, jax.Array]:
    k = own.shape[0]
    seeds, conditions = first.shape[0], w.shape[0]
    counts = jnp.broadcast_to(first, (conditions, seeds, k))

    def step(carry: tuple[jax.Array, jax.Array], draw: jax.Array) -> tuple[tuple[jax.Array, jax.Array], None]:
        counts, total = carry
        pick, other, copies, mutates, mutant = (draw[i][None] for i in range(5))
        mine = _nth(counts, jnp.floor(pick * size).astype(jnp.int32))
        rest = counts - jax.nn.one_hot(mine, k, dtype=counts.dtype)
        theirs = _nth(rest, jnp.floor(other * (size - 1)).astype(jnp.int32))
        # what each strategy earns against the others of the population, itself left out
        pays = (counts @ own.T - jnp.diagonal(own)) / (size - 1)
        gap = jnp.take_along_axis(pays, theirs[..., None], -1) - jnp.take_along_axis(pays, mine[..., None], -1)
        follows = copies < jax.nn.sigmoid(w[:, None] * gap[..., 0])
        new = jnp.where(follows, theirs, mine)
        new = jnp.where(mutates < mu[:, None], jnp.floor(mutant * k).astype(jnp.int32), new)
        counts = rest + jax.nn.one_hot(new, k, dtype=counts.dtype)
        return (counts, total + counts), None

    def block(carry: tuple[jax.Array, jax.Array], key: jax.Array) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
        draws = jax.random.uniform(key, (every, 5, seeds))
        carry, _ = jax.lax.scan(step, carry, draws)
        return carry, carry[0]

    start = (counts, jnp.zeros((conditions, seeds, k), jnp.int32))
    (_, total), course = jax.lax.scan(block, start, jax.random.split(key, points))
    return total / (size * every * points), jnp.moveaxis(course, 0, 2)


def _nth(counts: jax.Array, place: jax.Array) -> jax.Array:
    """Strategy of the individual at that place when individuals are lined up by strategy."""
    return (jnp.cumsum(counts, axis=-1) <= place[..., None]).sum(axis=-1)
