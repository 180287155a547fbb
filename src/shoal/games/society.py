"""Iterated dilemmas in a society: neighbours on a graph, a choice of partners, and imitation of who does well.

Every agent plays a memory-one strategy. In each round it asks one neighbour to play, at random or by reputation; a pair
meets once a round. After each generation agents look at a neighbour and copy its strategy with a chance that grows with
the difference of their scores (the pairwise comparison of Szabo and Toke 1998), or mutate. All seeds run at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.games.compilation import quickly_compiled
from shoal.games.game import require
from shoal.games.normal_form import NormalForm, payoff_table


@dataclass(frozen=True)
class SocietyCourse:
    """How a society went.

    Attributes:
        cooperation: share of cooperative actions [seeds, generations].
        shares: share of each strategy before each generation [seeds, generations, strategies].
        payoff: mean payoff of an agent in a game [seeds, generations].
        asked: share of requests that went to an agent of each strategy [seeds, generations, strategies].
    """

    cooperation: NDArray[np.float64]
    shares: NDArray[np.float64]
    payoff: NDArray[np.float64]
    asked: NDArray[np.float64]


def play_society(
    game: NormalForm,
    strategies: ArrayLike,
    graph: ArrayLike | None = None,
    *,
    agents: int = 25,
    rounds: int = 50,
    generations: int = 100,
    choosiness: float = 0.0,
    intensity: float = 1.0,
    mutation: float = 0.001,
    noise: float = 0.0,
    seeds: int = 16,
    seed: int = 0,
) -> SocietyCourse:
    """Run societies.

    Args:
        game: a symmetric two-player game of two actions; action 0 is the cooperative one.
        strategies: chances to cooperate [strategies, 5]: at the start, after CC, CD, DC, DD (own, other's).
        graph: adjacency [agents, agents], symmetric; everybody is everybody's neighbour by default.
        agents: how many, where no graph says so.
        rounds: of requests in a generation.
        generations: how many.
        choosiness: 0 asks neighbours at random; larger values favour those who cooperated more in the generation.
        intensity: of imitation; 0 copies at random.
        mutation: chance of a random strategy instead.
        noise: chance that an action is carried out as the other one.
        seeds: societies.
        seed: root of the random numbers.

    Raises:
        InputError: a graph that is not square and symmetric or leaves an agent alone, or a value out of range.
    """
    require("game", game.name, game.shape == (2, 2) and game.symmetric, "Use a symmetric game of two actions.")
    rules = payoff_table(strategies, "strategies")
    fits = rules.ndim == 2 and rules.shape[1] == 5 and bool(((rules >= 0) & (rules <= 1)).all())
    require("strategies", strategies, fits, "Give chances [strategies, 5]: first, CC, CD, DC, DD.")
    near = np.ones((agents, agents), bool) if graph is None else np.asarray(graph) != 0
    require("graph", near.shape, near.ndim == 2 and near.shape[0] == near.shape[1], "Give a square adjacency matrix.")
    near = near & ~np.eye(len(near), dtype=bool)
    require("graph", "not symmetric", bool((near == near.T).all()), "Neighbours are neighbours of each other.")
    alone = np.flatnonzero(~near.any(axis=1))
    require("graph", f"agent {alone[:1].tolist()} without neighbours", not alone.size, "Give everybody a neighbour.")
    for field, value in (("rounds", rounds), ("generations", generations), ("seeds", seeds)):
        require(field, value, value >= 1, "Use 1 or more.")
    for field, chance in (("mutation", mutation), ("noise", noise)):
        require(field, chance, 0 <= chance <= 1, "Use a probability from 0 to 1.")
    out = _run(
        jnp.asarray(game.table[..., 0], jnp.float32), jnp.asarray(rules, jnp.float32), jnp.asarray(near),
        jnp.array([choosiness, intensity, mutation, noise], jnp.float32), jax.random.split(jax.random.key(seed), seeds),
        rounds, generations,
    )  # fmt: skip
    return SocietyCourse(*(np.asarray(x, float) for x in out))


@quickly_compiled("rounds", "generations")
def _run(
    own: jax.Array, rules: jax.Array, near: jax.Array, settings: jax.Array, keys: jax.Array, rounds: int,
    generations: int,
) -> tuple[jax.Array, ...]:  # fmt: skip
    n, kinds = near.shape[0], rules.shape[0]
    choosiness, intensity, mutation, noise = settings

    def play(carry: Any, key: jax.Array) -> tuple[Any, jax.Array]:
        """One round: requests, then one game for each pair that met."""
        kind, memory, done, good, score = carry
        ask, act, slip = jax.random.split(key, 3)
        reputation = (good + 1) / (done + 2)
        wish = jnp.where(near, choosiness * reputation[None, :], -jnp.inf)
        partner = jax.random.categorical(ask, wish, axis=1)
        asks = jax.nn.one_hot(partner, n, dtype=bool)
        met = asks | asks.T
        chance = jnp.take_along_axis(rules[kind][:, None, :], memory[..., None], axis=2)[..., 0]
        defects = jax.random.uniform(act, (n, n)) >= chance
        defects = defects ^ (jax.random.uniform(slip, (n, n)) < noise)
        other = defects.T
        pays = own[defects.astype(int), other.astype(int)]
        memory = jnp.where(met, 1 + 2 * defects + other, memory)
        done = done + met.sum(1)
        good = good + (met & ~defects).sum(1)
        score = score + jnp.where(met, pays, 0).sum(1)
        return (kind, memory, done, good, score), jax.nn.one_hot(kind[partner], kinds).mean(0)

    def generation(kind: jax.Array, key: jax.Array) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        key, look, copy, mutate, draw = jax.random.split(key, 5)
        start = (kind, jnp.zeros((n, n), int), jnp.zeros(n), jnp.zeros(n), jnp.zeros(n))
        (_, _, done, good, score), asked = jax.lax.scan(play, start, jax.random.split(key, rounds))
        mean = score / jnp.maximum(done, 1)
        model = jax.random.categorical(look, jnp.where(near, 0.0, -jnp.inf), axis=1)
        follows = jax.random.uniform(copy, (n,)) < jax.nn.sigmoid(intensity * (mean[model] - mean))
        new = jnp.where(follows, kind[model], kind)
        new = jnp.where(jax.random.uniform(mutate, (n,)) < mutation, jax.random.randint(draw, (n,), 0, kinds), new)
        share = jax.nn.one_hot(kind, kinds).mean(0)
        return new, (good.sum() / done.sum(), share, score.sum() / done.sum(), asked.mean(0))

    def society(key: jax.Array) -> tuple[jax.Array, ...]:
        first, rest = jax.random.split(key)
        kind = jax.random.randint(first, (n,), 0, kinds)
        return jax.lax.scan(generation, kind, jax.random.split(rest, generations))[1]

    return jax.vmap(society)(keys)
