"""Replicator dynamics with mutation: shares grow with what they earn above the mean.

Taylor and Jonker (1978); with mutation towards all strategies equally (Bomze and Buerger 1995). Integrated by the
classical Runge-Kutta method in one compiled loop, all starts at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from shoal.games.compilation import quickly_compiled
from shoal.games.dynamics.course import Course, beginning
from shoal.games.game import require
from shoal.games.normal_form import NormalForm
from shoal.games.solvers.regret_matching import deviations


def replicator(
    game: NormalForm,
    starts: ArrayLike | Sequence[ArrayLike] | None = None,
    *,
    time: float = 100.0,
    steps: int = 2_000,
    points: int = 100,
    mutation: float = 0.0,
    populations: str = "auto",
    seed: int = 0,
) -> Course:
    """Integrate the replicator equation.

    Args:
        game: any game; with one population a symmetric one of two players.
        starts: shares [starts, actions], or one such array for each population; 16 random ones by default.
        time: how long, above 0.
        steps: of the integrator.
        points: how many moments are kept, evenly spaced; at most ``steps``.
        mutation: rate at which each share flows to all strategies equally.
        populations: "one" plays against itself, "each" player has its own; "auto" is one if the game is symmetric.
        seed: of random starts.

    Raises:
        InputError: shares that do not sum to 1 or do not fit the game, or a value out of range.
    """
    require("time", time, bool(np.isfinite(time)) and time > 0, "Use a time above 0.")
    require("steps", steps, steps >= 1, "Use 1 or more.")
    require("mutation", mutation, 0 <= mutation <= 1, "Use a rate from 0 to 1.")
    one, first = beginning(game, starts, populations, seed)
    every = max(1, steps // max(1, points))
    with jax.enable_x64(True):
        shares = _integrate(jnp.asarray(game.table), first, time / steps, mutation, one, every, steps // every)
        kept = tuple(np.asarray(s) for s in shares)
    full = tuple(np.concatenate([f[:, None], k], axis=1) for f, k in zip(first, kept, strict=True))
    return Course(np.arange(full[0].shape[1]) * every * time / steps, full)


@quickly_compiled("one", "every", "points")
def _integrate(
    table: jax.Array, first: tuple[jax.Array, ...], dt: float, mutation: float, one: bool, every: int, points: int
) -> tuple[jax.Array, ...]:
    def slope(x: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        if one:
            pays: tuple[jax.Array, ...] = (table[..., 0] @ x[0],)
        else:
            pays = tuple(deviations(table, x, i) for i in range(len(x)))
        return tuple(p * (g - g @ p) + mutation * (1 / p.size - p) for p, g in zip(x, pays, strict=True))

    def moved(x: Any, k: Any, h: float) -> Any:
        return jax.tree.map(lambda a, b: a + h * b, x, k)

    def step(x: tuple[jax.Array, ...], _: None) -> tuple[tuple[jax.Array, ...], None]:
        a = slope(x)
        b = slope(moved(x, a, dt / 2))
        c = slope(moved(x, b, dt / 2))
        d = slope(moved(x, c, dt))
        new = jax.tree.map(lambda p, a, b, c, d: p + dt / 6 * (a + 2 * b + 2 * c + d), x, a, b, c, d)
        new = tuple(jnp.maximum(p, 0) for p in new)
        return tuple(p / p.sum() for p in new), None

    def block(x: tuple[jax.Array, ...], _: None) -> tuple[tuple[jax.Array, ...], tuple[jax.Array, ...]]:
        x, _ = jax.lax.scan(step, x, None, length=every)
        return x, x

    def course(x: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        return jax.lax.scan(block, x, None, length=points)[1]

    return jax.vmap(course)(first)
