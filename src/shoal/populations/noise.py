"""Uniform noise for millions of agents: a hash of the agent's number under a key.

``jax.random`` draws some 60 M numbers a second on two cores, which would be most of an epidemic's step. Hashing the
agent's number with two words of the key takes a few integer operations instead, and an agent's noise does not depend on
how many others there are, so runs of different size share it. The hash is the 32-bit finaliser that H. Wellons searched
for ("lowbias32", with bias 0.17), applied twice. It is noise for simulation, not for secrets.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray


def uniform(key: PRNGKeyArray, count: int) -> Float[Array, " count"]:
    """Numbers in [0, 1), multiples of 2^-24."""
    first, second = jax.random.bits(key, (2,), jnp.uint32)
    x = _mixed(jnp.arange(count, dtype=jnp.uint32) ^ first)
    x = _mixed(x + second)
    return jnp.asarray(x >> 8, jnp.float32) * 2.0**-24


def _mixed(x: Array) -> Array:
    x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
    return x ^ (x >> 16)
