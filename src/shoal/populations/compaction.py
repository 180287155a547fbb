"""Compaction: which agents a mask names, as a list of fixed room; a compiled program has no lists that grow.

``jnp.nonzero`` adds up all agents one by one and scatters them. Here 32 agents are one word, only words are added up,
and their set bits are found by halving. Measured on one core with room for one in 24: 0.01 ms instead of 0.17 for
37,518 agents, 0.4 ms instead of 6 for a million.
"""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Int

BITS = 32
"""Agents of a word."""


def positions(mask: Bool[Array, " agents"], room: int) -> Int[Array, " room"]:
    """Numbers of the agents that the mask names, ascending; the rest of the room is filled with the number of agents.

    Args:
        mask: of all agents.
        room: length of the list, at least 1; agents that find no place in it are left out.
    """
    count = mask.shape[0]
    lanes = jnp.pad(mask, (0, -count % BITS)).reshape(-1, BITS)
    # A sum and not 32 columns joined by "or": those would be computed anew by everything that reads the words.
    one = jnp.uint32(1) << jnp.arange(BITS, dtype=jnp.uint32)
    words = jnp.where(lanes, one, jnp.uint32(0)).sum(1, dtype=jnp.uint32)
    held = lax.population_count(words).astype(jnp.int32)
    word, begins, used = owners(held, room)
    spot = jnp.arange(room, dtype=jnp.int32)
    found = word * BITS + _set_bit(words[word], spot - begins[word])
    return jnp.where(spot < used, found, count)


def owners(held: Int[Array, " n"], room: int) -> tuple[Int[Array, " room"], Int[Array, " n"], Int[Array, ""]]:
    """Whose each place is in a list in which everybody has so many places, one owner behind the other.

    Args:
        held: places of each.
        room: length of the list; places beyond it are left out.

    Returns:
        The owner of each place (the last one that begins there or before), where each owner's places begin, and how
        many places there are; what stands behind those means nothing.
    """
    ends = running(jnp.add, held)
    begins = ends - held
    number = jnp.arange(held.shape[0], dtype=jnp.int32)
    first = jnp.where(held > 0, begins, room)
    return running(jnp.maximum, jnp.zeros(room, jnp.int32).at[first].set(number, mode="drop")), begins, ends[-1]


def running(join: Callable[[Array, Array], Array], values: Int[Array, " n"]) -> Int[Array, " n"]:
    """Each value joined with all before it: a third of the time of ``jnp.cumsum`` and ``lax.cummax`` on a processor."""
    result: Array = lax.associative_scan(join, values)
    return result


def _set_bit(words: Int[Array, " n"], rank: Int[Array, " n"]) -> Int[Array, " n"]:
    """Which bit of each word is the set one of that rank, from 0; by halves."""
    place = jnp.zeros_like(rank)
    for half in (16, 8, 4, 2, 1):
        below = lax.population_count(words & jnp.uint32((1 << half) - 1)).astype(jnp.int32)
        above = rank >= below
        place = jnp.where(above, place + half, place)
        rank = jnp.where(above, rank - below, rank)
        words = jnp.where(above, words >> half, words)
    return place
