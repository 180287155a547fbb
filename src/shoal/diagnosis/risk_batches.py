"""The market, queue, negotiation and commons of the risks as compiled batches: thousands of random runs at once.

Each is a second implementation of the rules in ``shoal.diagnosis.risks`` and is tested against them. The market is also
a game in normal form here, for learners.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.diagnosis.risks.priority_monopolisation import (
    ALL_HOURS,
    BONUS,
    CHEAP,
    CHEAP_HOURS,
    DEAR,
    FUNDS,
    STAGES,
)
from shoal.games.learning import Learned
from shoal.games.normal_form import NormalForm

Array = NDArray[np.float64]
Queue = tuple[jax.Array, jax.Array, jax.Array, jax.Array, jax.Array]
"""Places in the line, stages done, funds and cheap hours of A, B and C, and the hour."""


def market_prices(repeats: int, seed: int, *, cost: float = 10.0, top: float = 100.0, rounds: int = 10) -> Array:
    """Transaction prices of three sellers that post at random [repeats, rounds]."""
    posted = jax.random.randint(jax.random.key(seed % 2**32), (repeats, rounds, 3), int(cost), int(top) + 1)
    return np.asarray(posted.min(axis=2), float)


def throttles(asked: ArrayLike, quota: float = 8.0, capacity: float = 20.0) -> Array:
    """Granted share in each round [repeats, rounds] of requests [repeats, rounds, agents]."""
    return np.asarray(_throttles(jnp.asarray(asked, float), quota, capacity), float)


def deals(repeats: int, seed: int, *, limit: float, cost: float, rounds: int = 5, mediator: bool = False) -> Array:
    """The supplier's share of the surplus where both play at random [repeats]; NaN for no deal below the limit."""
    keys = jax.random.split(jax.random.key(seed % 2**32))
    asked = jax.random.randint(keys[0], (repeats, rounds), int(cost), int(2 * limit) + 1).astype(float)
    accepted = jax.random.bernoulli(keys[1], 0.5, (repeats, rounds))
    first = jnp.argmax(accepted, axis=1)
    price = jnp.take_along_axis(asked, first[:, None], axis=1)[:, 0]
    price = jnp.where(mediator, (limit + cost) / 2, price)
    reached = accepted.any(axis=1) & (price < limit)
    return np.asarray(jnp.where(reached, (price - cost) / (limit - cost), jnp.nan), float)


def queue_runs(choices: ArrayLike, fee: float = 0.0, stages_in_turn: bool = False) -> tuple[Array, Array]:
    """The queue of risk 1.2 for many sets of choices.

    Args:
        choices: whom A, B and C would guarantee after stage 1 [repeats, 3]: 0, 1, 2 for A, B, C; -1 for nobody.
            Somebody who is not in the queue any more cannot be guaranteed.
        fee: of a guarantee.
        stages_in_turn: whether nobody starts stage 2 before all had their turn at stage 1.

    Returns:
        Stages done [repeats, 3] and cheap hours used [repeats, 3].
    """
    run = jax.jit(jax.vmap(partial(_queue_run, fee=fee, in_turn=stages_in_turn)))
    stage, cheap = run(jnp.asarray(choices, jnp.int32))
    return np.asarray(stage, float), np.asarray(cheap, float)


def _queue_run(choice: jax.Array, fee: float, in_turn: bool) -> tuple[jax.Array, jax.Array]:
    gone = jnp.inf
    hours_of = jnp.array(STAGES)

    def step(carry: Queue, _: None) -> tuple[Queue, None]:
        place, stage, funds, cheap, time = carry
        waiting = jnp.isfinite(place)
        agent = jnp.argmin(jnp.where(in_turn, stage * 1000.0, 0.0) + place)
        hours = hours_of[jnp.minimum(stage[agent], len(STAGES) - 1)]
        within = jnp.clip(CHEAP_HOURS - time, 0, hours)
        price = CHEAP * within + DEAR * (hours - within)
        runs = waiting.any() & (price <= funds[agent]) & (time + hours <= ALL_HOURS)
        first = runs & (stage[agent] == 0)
        me = jnp.arange(3) == agent
        place = jnp.where(me, gone, place)
        funds = funds + jnp.where(me & runs, BONUS * first - price, 0.0)
        cheap = cheap + jnp.where(me & runs, within, 0.0)
        stage = stage + jnp.where(me & runs, 1, 0)
        time = time + jnp.where(runs, hours, 0)
        other = choice[agent]
        able = first & (other >= 0) & jnp.isfinite(place[other]) & (funds[agent] >= fee)
        front = jnp.where(jnp.isfinite(place), place, jnp.inf).min()
        back = jnp.where(jnp.isfinite(place), place, -jnp.inf).max()
        back = jnp.where(jnp.isfinite(back), back + 1.0, 0.0)
        place = jnp.where(me & first, back, place)
        place = jnp.where((jnp.arange(3) == other) & able, front - 1.0, place)
        funds = funds - jnp.where(me & able, fee, 0.0)
        return (place, stage, funds, cheap, time), None

    start = (jnp.arange(3.0), jnp.zeros(3, int), jnp.full(3, float(FUNDS)), jnp.zeros(3), jnp.array(0))
    (_, stage, _, cheap, _), _ = jax.lax.scan(step, start, None, length=9)
    return stage, cheap


@jax.jit
def _throttles(asked: jax.Array, quota: float, capacity: float) -> jax.Array:
    granted = jnp.minimum(asked, quota).sum(axis=2)
    return jnp.minimum(1.0, (capacity / granted) ** 2)


def duopoly(prices: Sequence[float], cost: float = 10.0) -> NormalForm:
    """Two sellers of the market as a game: the lowest price sells, ties split."""
    posted = np.asarray(prices, float)
    one, two = np.meshgrid(posted, posted, indexing="ij")
    first = (one - cost) * ((one < two) + 0.5 * (one == two))
    second = (two - cost) * ((two < one) + 0.5 * (one == two))
    names = tuple(f"{p:g}" for p in posted)
    return NormalForm(np.stack([first, second], axis=-1), (names, names), ("seller A", "seller B"), "duopoly")


def highest_nash_price(prices: Sequence[float], cost: float = 10.0) -> float:
    """The highest price that both post in a pure equilibrium of one round."""
    table = np.asarray(duopoly(prices, cost).table)
    both = [p for i, p in enumerate(prices) if table[i, i, 0] >= table[:, i, 0].max() - 1e-9]
    return float(max(both))


def settled_price(learned: Learned, prices: Sequence[float], condition: int, seed: int) -> float:
    """Mean transaction price of two learners' greedy policies over the last 100 of 300 rounds, without exploration."""
    greedy = learned.values[condition, seed].argmax(axis=2)
    state, sold, width = 0, [], len(prices)
    for _ in range(300):
        one, two = int(greedy[0, state]), int(greedy[1, state])
        sold.append(min(prices[one], prices[two]))
        state = 1 + one * width + two
    return float(np.mean(sold[-100:]))


def memoryless_prices(
    prices: Sequence[float], seeds: int, seed: int, *, rounds: int, rate: float, explore: float, discount: float
) -> Array:
    """Transaction price of two Q-learners without any memory of past prices, greedy at the end [seeds].

    They cannot punish, so that a price above Nash is an artefact of exploration and of moving targets.
    """
    table = jnp.asarray(duopoly(prices).table)
    keys = jax.random.split(jax.random.key(seed % 2**32), seeds)
    best = _memoryless(table, keys, rounds, rate, explore, discount)
    ends: Array = np.asarray(prices, float)[np.asarray(best)].min(axis=1)
    return ends


@partial(jax.jit, static_argnames="rounds")
def _memoryless(
    table: jax.Array, keys: jax.Array, rounds: int, rate: float, explore: float, discount: float
) -> jax.Array:
    size = table.shape[0]

    def step(values: jax.Array, inputs: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        t, key = inputs
        chance = jnp.maximum(explore, 1 - 2 * t / rounds)
        coin, other = jax.random.uniform(key, (2, 2))
        action = jnp.where(coin < chance, jnp.floor(other * size).astype(int), values.argmax(axis=1))
        target = table[action[0], action[1]] + discount * values.max(axis=1)
        old = values[jnp.arange(2), action]
        return values.at[jnp.arange(2), action].add(rate * (target - old)), None

    def one(key: jax.Array) -> jax.Array:
        inputs = jnp.arange(rounds, dtype=float), jax.random.split(key, rounds)
        values, _ = jax.lax.scan(step, jnp.zeros((2, size)), inputs)
        return values.argmax(axis=1)

    return jax.vmap(one)(keys)
