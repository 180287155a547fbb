"""Regret matching with expected payoffs: approximate equilibria of games of any number of players.

Every player plays in proportion to its positive regrets (Hart and Mas-Colell, "A simple adaptive procedure leading to
correlated equilibrium", 2000; the plus variant of Tammelin 2014 cuts negative regrets off). Average joint play tends to
a coarse correlated equilibrium in every game, and average strategies to a Nash equilibrium in two-player zero-sum
games; in others the reported gain says how far they are from one. All starts run at once in one compiled loop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError
from shoal.games.compilation import quickly_compiled
from shoal.games.normal_form import NormalForm, Profile
from shoal.games.solvers.exploitability import nash_conv


@dataclass(frozen=True)
class RegretMatching:
    """Average play of all starts.

    Attributes:
        profiles: average strategies of each start.
        joint: average joint play [starts, actions of player 1, ..., actions of player n].
        gains: sum of the players' gains by deviating from the average strategies [starts]; 0 is a Nash equilibrium.
        last: the strategies of the last iteration, of each start.
    """

    profiles: tuple[Profile, ...]
    joint: NDArray[np.float64]
    gains: NDArray[np.float64]
    last: tuple[Profile, ...]

    @property
    def best(self) -> Profile:
        """The average strategies nearest to an equilibrium."""
        return self.profiles[int(self.gains.argmin())]


def regret_matching(
    game: NormalForm, iterations: int = 10_000, starts: int = 8, seed: int = 0, *, plus: bool = True
) -> RegretMatching:
    """Run regret matching from random starts.

    Args:
        game: any game whose table fits in memory.
        iterations: at least 1.
        starts: independent random starts, all at once.
        seed: of the starts.
        plus: regrets never fall below 0, players take turns, and later iterations weigh more in the averages; False
            is the original procedure, for which ``joint`` is known to tend to a coarse correlated equilibrium.

    Raises:
        InputError: iterations or starts below 1.
    """
    for field, value in (("iterations", iterations), ("starts", starts)):
        if value < 1:
            raise InputError(field, value, "Use 1 or more.")
    rng = np.random.default_rng(seed)
    first = tuple(rng.random((starts, size)) for size in game.shape)
    with jax.enable_x64(True):
        sums, joint, last = _run(jnp.asarray(game.table), first, iterations, plus)
    averages = [np.asarray(s) / np.asarray(s).sum(axis=-1, keepdims=True) for s in sums]
    profiles = tuple(tuple(a[k] for a in averages) for k in range(starts))
    play = np.asarray(joint)
    play = play / play.sum(axis=tuple(range(1, play.ndim)), keepdims=True)
    ends = [np.asarray(s) for s in last]
    return RegretMatching(
        profiles,
        play,
        np.array([nash_conv(game, profile) for profile in profiles]),
        tuple(tuple(a[k] for a in ends) for k in range(starts)),
    )


@quickly_compiled("iterations", "plus")
def _run(table: jax.Array, first: tuple[jax.Array, ...], iterations: int, plus: bool) -> tuple[Any, Any, Any]:
    def one(start: tuple[jax.Array, ...]) -> tuple[Any, Any, Any]:
        sums = tuple(jnp.zeros_like(r) for r in start)
        joint = jnp.zeros(table.shape[:-1])

        def body(carry: Any, t: jax.Array) -> tuple[Any, None]:
            regrets, sums, joint = carry
            play = tuple(matched(r) for r in regrets)
            weight = t + 1.0 if plus else 1.0
            sums = tuple(s + weight * p for s, p in zip(sums, play, strict=True))
            joint = joint + weight * outer(play)
            new = []
            for i, r in enumerate(regrets):
                pays = deviations(table, play, i)
                r = r + pays - pays @ play[i]
                new.append(jnp.maximum(r, 0) if plus else r)
                if plus:  # players take turns, which converges much faster in zero-sum games
                    play = (*play[:i], matched(new[i]), *play[i + 1 :])
            return (tuple(new), sums, joint), None

        (regrets, sums, joint), _ = jax.lax.scan(body, (start, sums, joint), jnp.arange(iterations))
        return sums, joint, tuple(matched(r) for r in regrets)

    return jax.vmap(one)(first)


def matched(regrets: jax.Array) -> jax.Array:
    """Strategies in proportion to the positive part of regrets [..., actions]; uniform where there is none."""
    positive = jnp.maximum(regrets, 0)
    total = positive.sum(axis=-1, keepdims=True)
    return jnp.where(total > 0, positive / jnp.where(total > 0, total, 1), 1 / regrets.shape[-1])


def deviations(table: jax.Array, play: tuple[jax.Array, ...], player: int) -> jax.Array:
    """What each action [actions] pays that player against mixed strategies of the others."""
    value = table[..., player]
    for other in reversed(range(len(play))):
        if other != player:
            value = jnp.tensordot(value, play[other], axes=(other, 0))
    return value


def outer(play: tuple[jax.Array, ...]) -> jax.Array:
    """Joint distribution of independent strategies."""
    joint = play[0]
    for p in play[1:]:
        joint = joint[..., None] * p
    return joint
