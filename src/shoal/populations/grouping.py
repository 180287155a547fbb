"""Grouping: agents sorted by the group they are in, each with a random rank within it.

Who meets whom in a cell, who is hired by a firm and who is let go are questions of rank: the first so many of a group
are served. One sort answers them for all groups at once.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray


class Groups(eqx.Module):
    """Agents by group.

    Attributes:
        place: of each agent among all, those of group 0 first.
        rank: of each agent within its group, from 0, in random order.
        sizes: number of agents of each group.
    """

    place: Int[Array, " agents"]
    rank: Int[Array, " agents"]
    sizes: Int[Array, " groups"]


def grouped(key: PRNGKeyArray, group: Int[Array, " agents"], count: int) -> Groups:
    """Sort agents by group.

    Args:
        key: of the ranks.
        group: of each agent, from 0 to count - 1.
        count: number of groups.
    """
    agents = group.shape[0]
    # One word holds the group and, below it, as many random bits as are left; equals stay in the agents' order.
    spare = 32 - max(1, (count - 1).bit_length())
    noise = jax.random.bits(key, (agents,), jnp.uint32) >> jnp.uint32(32 - spare) if spare else jnp.uint32(0)
    order = jnp.argsort((group.astype(jnp.uint32) << jnp.uint32(spare)) | noise).astype(jnp.int32)
    place = jnp.zeros(agents, jnp.int32).at[order].set(jnp.arange(agents, dtype=jnp.int32))
    sizes = jnp.zeros(count, jnp.int32).at[group].add(1)
    begins = jnp.cumsum(sizes) - sizes
    return Groups(place, place - begins[group], sizes)
