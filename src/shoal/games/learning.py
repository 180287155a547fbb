"""Independent Q-learners at a repeated game: thousands of seeds and conditions in one compiled loop.

Each player keeps a table over the joint action of the round before (memory one), plays softly or greedily with a chance
of a random action, and never sees the others' payoffs. What is learned can take a seat.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.games.compilation import quickly_compiled
from shoal.games.game import Joint, require
from shoal.games.normal_form import NormalForm
from shoal.games.seats.seat import TableSeat
from shoal.stats import Evidence


@dataclass(frozen=True)
class Learned:
    """What the learners came to.

    Attributes:
        values: Q-values [conditions, seeds, players, states, actions]; state 0 is the start, then joint actions in the
            order of the table; missing actions are -inf.
        shares: how often each action was chosen in each block of rounds [conditions, seeds, players, blocks, actions].
        payoffs: mean payoffs of each block [conditions, seeds, players, blocks].
        shape: number of actions of each player.
    """

    values: NDArray[np.float64]
    shares: NDArray[np.float64]
    payoffs: NDArray[np.float64]
    shape: tuple[int, ...]

    def seat(self, player: int, seed: int = 0, condition: int = 0) -> TableSeat:
        """The greedy policy of one learner, for its own place at the repeated game."""
        table = self.values[condition, seed, player]
        joints: list[Joint | None] = [None, *(tuple(int(a) for a in j) for j in np.ndindex(*self.shape))]
        size = self.shape[player]
        rows = {
            (player, joint): np.eye(size)[int(row[:size].argmax())] for joint, row in zip(joints, table, strict=True)
        }
        return TableSeat(f"learned-{player + 1}", dict(rows), Evidence.TRAINED)


def learn(
    game: NormalForm,
    *,
    rounds: int = 20_000,
    blocks: int = 20,
    seeds: int = 64,
    rate: ArrayLike = 0.1,
    discount: ArrayLike = 0.9,
    explore: ArrayLike = 0.05,
    seed: int = 0,
) -> Learned:
    """Let one independent Q-learner for each player play the game again and again.

    Args:
        game: any game in normal form.
        rounds: played.
        blocks: parts of equal length for which shares and payoffs are kept.
        seeds: runs of each condition.
        rate: of learning, above 0, up to 1; one number, or one for each condition.
        discount: of later rounds, from 0 to below 1; likewise.
        explore: chance of a random action at the end; it falls linearly from 1 over the first half; likewise.
        seed: root of the random numbers, which conditions share.

    Raises:
        InputError: a value out of range.
    """
    require("rounds", rounds, rounds >= blocks >= 1, "Play at least one round in each block.")
    require("seeds", seeds, seeds >= 1, "Use 1 or more.")
    a, g, e = np.broadcast_arrays(*(np.atleast_1d(np.asarray(x, float)) for x in (rate, discount, explore)))
    require("rate", rate, bool(((a > 0) & (a <= 1)).all()), "Use numbers above 0, up to 1.")
    require("discount", discount, bool(((g >= 0) & (g < 1)).all()), "Use numbers from 0 to below 1.")
    require("explore", explore, bool(((e >= 0) & (e <= 1)).all()), "Use chances from 0 to 1.")
    out = _run(
        jnp.asarray(game.table, jnp.float32), jnp.stack([jnp.asarray(x, jnp.float32) for x in (a, g, e)], axis=1),
        jax.random.split(jax.random.key(seed), seeds), rounds // blocks, blocks,
    )  # fmt: skip
    values, shares, payoffs = (np.asarray(x, float) for x in out)
    return Learned(values, np.moveaxis(shares, 2, 3), np.moveaxis(payoffs, 2, 3), game.shape)


@quickly_compiled("length", "blocks")
def _run(table: jax.Array, settings: jax.Array, keys: jax.Array, length: int, blocks: int) -> tuple[jax.Array, ...]:
    shape, n = table.shape[:-1], table.shape[-1]
    width, cells = max(shape), int(np.prod(shape))
    flat = table.reshape(cells, n)
    legal = jnp.arange(width)[None, :] < jnp.array(shape)[:, None]
    strides = jnp.array([int(np.prod(shape[i + 1 :])) for i in range(n)])
    player = jnp.arange(n)

    def round_(setting: jax.Array, carry: Any, step: tuple[jax.Array, jax.Array]) -> tuple[Any, tuple[Any, Any]]:
        values, state = carry
        t, key = step
        rate, discount, explore = setting
        chance = jnp.maximum(explore, 1 - t / jnp.maximum(1, length * blocks / 2) * (1 - explore))
        coin, other = jax.random.uniform(key, (2, n))
        best = jnp.argmax(jnp.where(legal, values[player, state], -jnp.inf), axis=1)
        anyone = jnp.floor(other * jnp.array(shape)).astype(best.dtype)
        action = jnp.where(coin < chance, anyone, best)
        cell = (action * strides).sum()
        reward = flat[cell]
        after = jnp.where(legal, values[:, cell + 1], -jnp.inf).max(axis=1)
        error = reward + discount * after - values[player, state, action]
        values = values.at[player, state, action].add(rate * error)
        return (values, cell + 1), (jax.nn.one_hot(action, width), reward)

    def one(setting: jax.Array, key: jax.Array) -> tuple[jax.Array, ...]:
        def block(carry: Any, part: tuple[jax.Array, jax.Array]) -> tuple[Any, tuple[Any, Any]]:
            carry, (chosen, reward) = jax.lax.scan(partial(round_, setting), carry, part)
            return carry, (chosen.mean(0), reward.mean(0))

        times = jnp.arange(length * blocks, dtype=jnp.float32).reshape(blocks, length)
        draws = jax.random.split(key, (blocks, length))
        start = jnp.zeros((n, cells + 1, width)), jnp.zeros((), int)
        (values, _), (shares, reward) = jax.lax.scan(block, start, (times, draws))
        return jnp.where(legal[:, None], values, -jnp.inf), shares, reward

    return jax.vmap(lambda s: jax.vmap(lambda k: one(s, k))(keys))(settings)
