"""Training societies that punish: conditions of one shape and all their seeds in one compiled program.

Episodes run in chunks whose state is given to the next one in place. At the end the punishers' greedy policies are
read, and a further chunk is played without exploration and learning. Conditions share their random numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from shoal.games.compilation import quickly_compiled
from shoal.games.deep_q import Pace
from shoal.games.game import require
from shoal.games.punishment import COOPERATE, DEFECT, UNKNOWN, Condition, Shape, Terms
from shoal.games.punishment_episode import Episode, play_episode
from shoal.games.punishment_society import JUST, SPARED, UNTRIED, Society, begin, spaces

Course = dict[str, NDArray[np.float64]]
"""Figures by name [seeds, episodes, ...]; not a number in episodes that had nothing to count."""
CHUNK = 50
BRIEF = 2000
"""Episodes of all societies together up to which compiling takes longer than running."""


@dataclass(frozen=True)
class History:
    """How the societies of a condition went.

    Attributes:
        course: figures of every episode.
        quiet: the same of episodes after the last one, without exploration and learning.
        policy: whether an agent's greedy punisher punishes [seeds, agents, victim's play, other's play].
    """

    course: Course
    quiet: Course
    policy: NDArray[np.float64] | None


def train_societies(
    conditions: Mapping[str, Condition], episodes: int = 2000, seeds: Sequence[int] = (0,), chunk: int = CHUNK
) -> dict[str, History]:
    """Let societies learn.

    Args:
        conditions: by name; those that differ in numbers only share a program.
        episodes: of each society; rounded up to whole chunks.
        seeds: one society of each condition for each.
        chunk: episodes of a compiled program.

    Raises:
        InputError: no episodes or seeds, or a condition that cannot be played.
    """
    require("episodes", episodes, episodes >= 1, "Play at least one.")
    require("seeds", list(seeds), len(seeds) >= 1, "Give at least one seed.")
    shapes: dict[Shape, list[str]] = {}
    for name, condition in conditions.items():
        shapes.setdefault(condition.shape, []).append(name)
    found: dict[str, History] = {}
    for shape, names in shapes.items():
        terms = [conditions[name].terms() for name in names]
        found |= dict(zip(names, _train(shape, terms, episodes, list(seeds), min(chunk, episodes)), strict=True))
    return {name: found[name] for name in conditions}


def _train(shape: Shape, terms: list[Terms], episodes: int, seeds: list[int], chunk: int) -> list[History]:
    lanes = len(terms) * len(seeds)
    stacked = jax.tree.map(lambda *x: jnp.asarray(np.repeat(np.stack(x), len(seeds), axis=0)), *terms)
    keys = jnp.tile(jnp.stack([jax.random.key(s % 2**32) for s in seeds]), len(terms))
    society = _begin(shape, episodes + chunk, keys)
    run = _hurried if episodes * lanes <= BRIEF else _thorough
    parts: list[Any] = []
    for start in range(0, episodes, chunk):
        society, told = run(shape, chunk, stacked, society, keys, jnp.asarray(start))
        parts.append(jax.tree.map(np.asarray, told))
    policy = np.asarray(_policy(shape, society), float) if society.punish is not None else None
    silent = stacked._replace(**{k: Pace(*(jnp.zeros(lanes),) * 4) for k in ("select", "play", "punish")})
    quiet = jax.tree.map(np.asarray, run(shape, chunk, silent, society, keys, jnp.asarray(episodes + chunk))[1])
    course = {name: np.concatenate([p[name] for p in parts], 1) for name in parts[0]}
    histories = []
    for k in range(len(terms)):
        own = slice(k * len(seeds), (k + 1) * len(seeds))
        told, after = ({n: np.asarray(x[own], float) for n, x in c.items()} for c in (course, quiet))
        histories.append(History(told, after, None if policy is None else policy[own]))
    return histories


def _chunk(
    shape: Shape, chunk: int, terms: Terms, society: Society, keys: jax.Array, start: jax.Array
) -> tuple[Society, dict[str, jax.Array]]:
    """Some episodes of all societies; figures [societies, episodes, ...]."""

    def one(terms: Terms, society: Society, key: jax.Array) -> tuple[Society, dict[str, jax.Array]]:
        def episode(society: Society, number: jax.Array) -> tuple[Society, dict[str, jax.Array]]:
            society, happened = play_episode(shape, terms, society, jax.random.fold_in(key, number + 1))
            return society, figures(shape, terms, happened)

        return jax.lax.scan(episode, society, start + jnp.arange(chunk))

    return jax.vmap(one)(terms, society, keys)


def figures(shape: Shape, terms: Terms, episode: Episode) -> dict[str, jax.Array]:
    """What is told of an episode, from the society itself and not from anybody's log."""
    r, agents = episode.rounds, jnp.arange(shape.agents)
    played, good = r.action != UNKNOWN, r.action == COOPERATE
    own = (r.actor[..., None] == agents) & played[..., None]
    last, habit = episode.habits
    reward = r.reward.sum() + r.gain.sum()
    told = {
        "cooperation": good.sum() / played.sum(),
        "reward": reward,
        "cooperation of agents": (own & good[..., None]).sum((0, 1, 2)) / own.sum((0, 1, 2)),
        "partners cooperated": (last == COOPERATE).sum() / (last != UNKNOWN).sum(),
        "largest reputation": jnp.abs(episode.reputation).max(),
    }
    if not r.who.shape[-1]:
        return told
    done, acted = r.punished > 0, (habit != UNTRIED).sum()
    return told | {
        "punished": done.sum() / (r.deed != UNKNOWN).sum(),
        "just": (done & (r.deed == DEFECT)).sum() / done.sum(),
        "reward without chance punishments": reward - jnp.where(r.chance, r.gain - terms.fine, 0.0).sum(),
        "partners punished": (habit > SPARED).sum() / acted,
        "partners punished justly": (habit == JUST).sum() / acted,
    }


_hurried = quickly_compiled("shape", "chunk", donate=("society",))(_chunk)
_thorough = jax.jit(_chunk, static_argnames=("shape", "chunk"), donate_argnames=("society",))


@partial(jax.jit, static_argnums=(0, 1))
def _begin(shape: Shape, episodes: int, keys: jax.Array) -> Society:
    return jax.vmap(lambda k: begin(shape, jax.random.fold_in(k, 0), episodes))(keys)


@partial(jax.jit, static_argnums=0)
def _policy(shape: Shape, society: Society) -> jax.Array:
    assert society.punish is not None
    table = jnp.array(spaces(shape)[2].table).T
    values: jax.Array = jax.vmap(jax.vmap(lambda net: net(table)))(society.punish.learners.network)
    return values.argmax(2).reshape(*values.shape[:2], 2, 3)[..., :2]
