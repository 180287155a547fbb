"""How worlds write facts as features and legal actions as words."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from numpy.typing import ArrayLike


def one_hot(index: Int[Array, "rows *batch"], size: int) -> Float[Array, "rows size *batch"]:
    """1 at the index on a new second axis; all 0 where the index is outside 0 .. size - 1."""
    numbers = jnp.arange(size).reshape(1, size, *(1,) * (index.ndim - 1))
    return (index[:, None] == numbers).astype(jnp.float32)


def identities(count: int, batch: tuple[int, ...]) -> Float[Array, "agents agents *batch"]:
    """Every agent's own number, one-hot."""
    eye = jnp.eye(count).reshape(count, count, *(1,) * len(batch))
    return jnp.broadcast_to(eye, (count, count, *batch))


def pick(table: Array, index: Int[Array, "rows *batch"]) -> Array:
    """``table[index]`` with the index over the table's first axis and world by world: [rows, *batch].

    Args:
        table: values [choices, *batch].
        index: which of them, [rows, *batch].
    """
    numbers = jnp.arange(table.shape[0]).reshape(1, table.shape[0], *(1,) * (index.ndim - 1))
    return jnp.where(index[:, None] == numbers, table[None], 0).sum(1)


def first_only(alive: Bool[Array, "agents *batch"], actions: int) -> Bool[Array, "agents actions *batch"]:
    """All actions are legal for agents that are alive, action 0 only for the others."""
    first = (jnp.arange(actions) == 0).reshape(1, actions, *(1,) * (alive.ndim - 1))
    return alive[:, None] | first


def legal_line(names: Sequence[str], legal: ArrayLike) -> str:
    """``Actions: a, b.`` with the names of the actions that are legal."""
    return f"Actions: {', '.join(n for n, ok in zip(names, np.asarray(legal), strict=False) if ok)}."
