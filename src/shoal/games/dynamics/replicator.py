"""Replicator dynamics with mutation: shares grow with what they earn above the mean.

Taylor and Jonker (1978); with mutation towards all strategies equally (Bomze and Buerger 1995). Integrated by the
classical Runge-Kutta method in one compiled loop, all starts at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.errors import InputError
from shoal.games.compilation import quickly_compiled
from shoal.games.game import require
from shoal.games.normal_form import NormalForm
from shoal.games.solvers.regret_matching import deviations

Shares = NDArray[np.float64]


@dataclass(frozen=True)
class Course:
    """How shares went.

    Attributes:
        times: [points].
        shares: of each population, [starts, points, actions] each; one population if it plays against itself.
    """

    times: NDArray[np.float64]
    shares: tuple[Shares, ...]

    @property
    def final(self) -> tuple[Shares, ...]:
        """The last shares of each population [starts, actions]."""
        return tuple(part[:, -1] for part in self.shares)


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
    one = one_population(game, populations)
    sizes = game.shape[:1] if one else game.shape
    first = starting_shares(starts, sizes, seed)
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


def one_population(game: NormalForm, populations: str) -> bool:
    """Whether one population plays against itself; see ``replicator``. Raises InputError."""
    require("populations", populations, populations in ("auto", "one", "each"), "Use auto, one or each.")
    fits = game.player_count == 2 and game.symmetric
    if populations == "one" and not fits:
        raise InputError("populations", "one", "The game is not a symmetric one of two players; use each.")
    return fits and populations != "each"


def starting_shares(
    given: ArrayLike | Sequence[ArrayLike] | None, sizes: tuple[int, ...], seed: int
) -> tuple[Shares, ...]:
    """Checked shares of each population [starts, actions], 16 random ones by default. Raises InputError."""
    if given is None:
        rng = np.random.default_rng(seed)
        return tuple(rng.dirichlet(np.ones(k), 16) for k in sizes)
    parts: list[Any] = [given] if len(sizes) == 1 else list(given)  # type: ignore[arg-type]
    require("starts", f"{len(parts)} arrays", len(parts) == len(sizes), f"Give {len(sizes)}, one for each population.")
    found = []
    for part, k in zip(parts, sizes, strict=True):
        x = np.atleast_2d(np.asarray(part, float))
        fits = x.ndim == 2 and x.shape[1] == k and bool(np.isfinite(x).all()) and bool((x >= 0).all())
        require("starts", part, fits, f"Give shares [starts, {k}] of 0 or more.")
        require("starts", part, bool(np.allclose(x.sum(axis=1), 1, atol=1e-6)), "Shares sum to 1.")
        found.append(x / x.sum(axis=1, keepdims=True))
    require("starts", [len(x) for x in found], len({len(x) for x in found}) == 1, "Give equally many to each.")
    return tuple(found)
