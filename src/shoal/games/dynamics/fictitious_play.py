"""Fictitious play (Brown 1951): best answers to the others' average play so far; all starts in one compiled loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from shoal.games.compilation import quickly_compiled
from shoal.games.game import require
from shoal.games.normal_form import NormalForm, Profile
from shoal.games.solvers.exploitability import nash_conv
from shoal.games.solvers.regret_matching import deviations


@dataclass(frozen=True)
class FictitiousPlay:
    """Average play of all starts.

    Attributes:
        profiles: average strategies of each start.
        gains: sum of the players' gains by deviating from them [starts]; 0 is a Nash equilibrium.
    """

    profiles: tuple[Profile, ...]
    gains: NDArray[np.float64]


def fictitious_play(
    game: NormalForm, iterations: int = 10_000, starts: int = 8, seed: int = 0, *, smoothing: float = 0.0
) -> FictitiousPlay:
    """Run fictitious play from random beliefs.

    Average play tends to a Nash equilibrium in zero-sum, potential and 2 x 2 games; it may cycle in others (Shapley
    1964).

    Args:
        game: any game whose table fits in memory.
        iterations: at least 1.
        starts: independent random starts, all at once.
        seed: of the starts.
        smoothing: above 0, answers are logit with this temperature (stochastic fictitious play).

    Raises:
        InputError: a value out of range.
    """
    for field, value in (("iterations", iterations), ("starts", starts)):
        require(field, value, value >= 1, "Use 1 or more.")
    require("smoothing", smoothing, smoothing >= 0, "Use a temperature of 0 or more.")
    rng = np.random.default_rng(seed)
    first = tuple(rng.dirichlet(np.ones(size), starts) for size in game.shape)
    with jax.enable_x64(True):
        ends = [np.asarray(x) for x in _run(jnp.asarray(game.table), first, iterations, smoothing)]
    profiles = tuple(tuple(x[k] for x in ends) for k in range(starts))
    return FictitiousPlay(profiles, np.array([nash_conv(game, profile) for profile in profiles]))


@quickly_compiled("iterations", "smoothing")
def _run(table: jax.Array, first: tuple[jax.Array, ...], iterations: int, smoothing: float) -> Any:
    def one(start: tuple[jax.Array, ...]) -> Any:
        def body(play: tuple[jax.Array, ...], t: jax.Array) -> tuple[tuple[jax.Array, ...], None]:
            new = []
            for i, p in enumerate(play):
                pays = deviations(table, play, i)
                if smoothing > 0:
                    answer = jax.nn.softmax(pays / smoothing)
                else:
                    answer = jax.nn.one_hot(jnp.argmax(pays), p.size)
                new.append(p + (answer - p) / (t + 2.0))
            return tuple(new), None

        return jax.lax.scan(body, start, jnp.arange(iterations))[0]

    return jax.vmap(one)(first)
