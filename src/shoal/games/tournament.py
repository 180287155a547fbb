"""Round-robin tournaments of automata: every pair, every repetition and every round in one compiled loop.

All machines' states lie in one table, so a match is two numbers. Pairs without chance are played once. ``expected``
follows the distribution over pairs of states instead and needs no repetitions at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError
from shoal.games.game import require
from shoal.games.normal_form import NormalForm, normal_form
from shoal.games.strategies.automaton import Automaton
from shoal.games.strategies.catalogue import make_strategy

MOST_MATCH_ROUNDS = 2_000_000_000
MOST_STATE_PAIRS = 4_000_000


@dataclass(frozen=True)
class Tournament:
    """What came out.

    Attributes:
        names: of the strategies.
        scores: payoff for each round of row against column [strategies, strategies, repeats].
        cooperation: share of cooperative actions of row against column [strategies, strategies, repeats].
    """

    names: tuple[str, ...]
    scores: NDArray[np.float64]
    cooperation: NDArray[np.float64]

    @property
    def payoffs(self) -> NDArray[np.float64]:
        """Mean score of row against column [strategies, strategies]."""
        return np.asarray(self.scores.mean(axis=2))

    @property
    def totals(self) -> NDArray[np.float64]:
        """Mean score of each strategy against the others, itself left out [strategies, repeats]."""
        k = len(self.names)
        off = ~np.eye(k, dtype=bool)
        return np.asarray((self.scores * off[:, :, None]).sum(axis=1) / max(1, k - 1))

    def ranking(self) -> list[str]:
        """Names, best first."""
        return [self.names[i] for i in np.argsort(-self.totals.mean(axis=1), kind="stable")]

    def game(self) -> NormalForm:
        """The game in which players choose strategies, for replicator dynamics, alpha-rank and the like."""
        return meta_game(self.payoffs, self.names)


def meta_game(own: NDArray[np.float64], names: Sequence[str]) -> NormalForm:
    """The symmetric game of strategies from the payoffs of row against column."""
    return normal_form(np.stack([own, own.T], axis=-1), [list(names)] * 2, name="strategies")


def play_tournament(
    strategies: Sequence[str | Automaton],
    game: NormalForm,
    *,
    rounds: int = 200,
    repeats: int = 10,
    noise: float = 0.0,
    seed: int = 0,
) -> Tournament:
    """Let every strategy play every other and itself.

    Args:
        strategies: names or machines.
        game: a symmetric two-player game of two actions; action 0 is the cooperative one.
        rounds: of each match.
        repeats: of each match.
        noise: chance that an action is carried out as the other one.
        seed: root of the random numbers.

    Raises:
        UnknownName: no such strategy.
        InputError: another kind of game, or too large a tournament.
    """
    machines = _machines(strategies, game, rounds, noise)
    require("repeats", repeats, repeats >= 1, "Use 1 or more.")
    k = len(machines)
    i, j = np.triu_indices(k)
    size = i.size * repeats * rounds
    if size > MOST_MATCH_ROUNDS:
        raise InputError("tournament", f"{size:,} rounds", "Use fewer repeats, or expected_payoffs, which needs none.")
    chancy = np.array([noise > 0 or not (machines[a].deterministic and machines[b].deterministic)
                       for a, b in zip(i, j, strict=True)])  # fmt: skip
    scores, shares = np.zeros((k, k, repeats)), np.zeros((k, k, repeats))
    table = _stacked(machines, noise)
    pays = jnp.asarray(game.table[..., 0].ravel(), jnp.float32)
    for random, times in ((False, 1), (True, repeats)):
        a, b = i[chancy == random], j[chancy == random]
        if not a.size:
            continue
        starts = jnp.asarray(np.stack([np.repeat(table.starts[x], times) for x in (a, b)]))
        out = np.asarray(_play(table.cooperates, table.follows, pays, starts, jax.random.key(seed), rounds, random))
        mine, theirs, mine_c, theirs_c = out.reshape(4, a.size, times) / rounds
        scores[b, a], shares[b, a] = theirs, theirs_c
        scores[a, b], shares[a, b] = mine, mine_c
        same = a == b  # a strategy against itself: both seats count
        scores[a[same], a[same]] = ((mine + theirs) / 2)[same]
        shares[a[same], a[same]] = ((mine_c + theirs_c) / 2)[same]
    return Tournament(tuple(m.name for m in machines), scores, shares)


def expected_payoffs(
    strategies: Sequence[str | Automaton], game: NormalForm, *, rounds: int = 200, noise: float = 0.0
) -> NDArray[np.float64]:
    """Exact expected payoff for each round of row against column [strategies, strategies].

    Follows the distribution over pairs of states. Arguments and errors as ``play_tournament``.
    """
    machines = _machines(strategies, game, rounds, noise)
    found = np.zeros((len(machines),) * 2)
    for i, a in enumerate(machines):
        for j, b in enumerate(machines[: i + 1]):
            found[i, j], found[j, i] = _expected(a, b, game.table, rounds, noise)
    return found


def _expected(a: Automaton, b: Automaton, table: NDArray[np.float64], rounds: int, noise: float) -> tuple[float, float]:
    n, m = a.states, b.states
    require("strategies", f"{a.name}, {b.name}", n * m <= MOST_STATE_PAIRS, "Use fewer rounds, or play_tournament.")
    p = a.cooperates * (1 - 2 * noise) + noise
    q = b.cooperates * (1 - 2 * noise) + noise
    chance = [np.outer(x, y) for x in (p, 1 - p) for y in (q, 1 - q)]
    target = [(a.follows[:, x, y][:, None] * m + b.follows[:, y, x][None, :]).ravel() for x in (0, 1) for y in (0, 1)]
    at = np.zeros((n, m))
    at[0, 0] = 1
    total = np.zeros(2)
    for _ in range(rounds):
        new = np.zeros(n * m)
        for cell in range(4):
            flow = (at * chance[cell]).ravel()
            total += flow.sum() * table[cell // 2, cell % 2]
            new += np.bincount(target[cell], flow, minlength=n * m)
        at = new.reshape(n, m)
    return float(total[0] / rounds), float(total[1] / rounds)


@dataclass(frozen=True)
class _Stack:
    starts: NDArray[np.int32]
    cooperates: jax.Array
    follows: jax.Array


def _stacked(machines: Sequence[Automaton], noise: float) -> _Stack:
    """All machines' states one after another; noise is part of the chance to cooperate."""
    starts = np.cumsum([0, *(m.states for m in machines[:-1])]).astype(np.int32)
    p = np.concatenate([m.cooperates for m in machines]) * (1 - 2 * noise) + noise
    follows = np.concatenate([m.follows + s for m, s in zip(machines, starts, strict=True)])
    return _Stack(starts, jnp.asarray(p, jnp.float32), jnp.asarray(follows.ravel(), jnp.int32))


@partial(jax.jit, static_argnames=("rounds", "random"))
def _play(
    cooperates: jax.Array, follows: jax.Array, pays: jax.Array, starts: jax.Array, key: jax.Array, rounds: int,
    random: bool,
) -> jax.Array:  # fmt: skip
    """Total payoffs of both and how often each cooperated [4, matches], from starting states [2, matches]."""

    def step(carry: tuple[jax.Array, jax.Array], key: jax.Array) -> tuple[tuple[jax.Array, jax.Array], None]:
        state, total = carry
        p = cooperates[state]
        defects = (jax.random.uniform(key, state.shape) >= p if random else p < 0.5).astype(jnp.int32)
        other = defects[::-1]
        state = follows[state * 4 + defects * 2 + other]
        return (state, total + jnp.concatenate([pays[defects * 2 + other], 1.0 - defects])), None

    total = jnp.zeros((4, starts.shape[1]), jnp.float32)
    keys = jax.random.split(key, rounds)
    return jax.lax.scan(step, (starts, total), keys)[0][1]


def _machines(strategies: Sequence[str | Automaton], game: NormalForm, rounds: int, noise: float) -> list[Automaton]:
    fits = game.shape == (2, 2) and game.symmetric
    require("game", game.name, fits, "Automata play symmetric games of two players and two actions.")
    require("rounds", rounds, rounds >= 1, "Play at least once.")
    require("noise", noise, 0 <= noise <= 1, "Use a probability from 0 to 1.")
    require("strategies", list(strategies), len(strategies) > 0, "Name at least one.")
    return [make_strategy(s, rounds) if isinstance(s, str) else s for s in strategies]
