"""Replay: past experience of every seed on the device, as a ring of chunks of time.

One row holds one chunk of one world (a single step where networks have no memory) with the features of a field side by
side, so that a sample is a copy of short contiguous pieces; the batch comes last again in what is sampled.
"""

from __future__ import annotations

from typing import Any, Self

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from shoal.errors import InputError
from shoal.marl.players import View


class Transition(eqx.Module):
    """What happened in one step; arrays are shaped as the view's, with further axes in front or behind.

    Attributes:
        view: before the action.
        action: of each agent.
        reward: of each agent.
        next: after the action, before any reset: what a truncated episode was cut at.
        terminated: the episode ended by the world's rules, so nothing follows.
        extra: what a method wants to keep besides.
    """

    view: View
    action: Int[Array, "*agents"]
    reward: Float[Array, "*agents"]
    next: View
    terminated: Bool[Array, "*batch"]
    extra: dict[str, Array]


class Sample(eqx.Module):
    """Chunks drawn from the past.

    Attributes:
        steps: arrays [..., time, batch].
        memory: of the networks that acted, before the first step [..., batch].
    """

    steps: Transition
    memory: Any


class Replay(eqx.Module):
    """A ring of chunks; the oldest are overwritten.

    Attributes:
        rows: what is kept, [seeds, slots, worlds, *row].
        added: slots written so far.
    """

    rows: Any
    added: Int[Array, ""]

    @classmethod
    def empty(cls, like: Any, slots: int) -> Self:
        """No experience yet.

        Args:
            like: shapes of one update's chunks, [chunks, *row, seeds, worlds].
            slots: chunks kept for each world; a multiple of the chunks of an update.
        """

        def room(x: Any) -> Array:
            *row, seeds, worlds = x.shape[1:]
            return jnp.zeros((seeds, slots, worlds, *row), x.dtype)

        return cls(jax.tree.map(room, like), jnp.zeros((), jnp.int32))

    @property
    def slots(self) -> int:
        """Chunks of each world that it has room for."""
        return int(jax.tree.leaves(self.rows)[0].shape[1])

    def add(self, chunks: Any) -> Replay:
        """With the chunks of an update [chunks, *row, seeds, worlds]."""
        place = self.added % self.slots

        def write(rows: Array, new: Array) -> Array:
            last = new.ndim - 1
            turned = new.transpose(last - 1, 0, last, *range(1, last - 1))
            return jax.lax.dynamic_update_slice_in_dim(rows, turned, place, 1)

        count = jax.tree.leaves(chunks)[0].shape[0]
        return Replay(jax.tree.map(write, self.rows, chunks), self.added + count)

    def sample(self, key: PRNGKeyArray, count: int) -> Any:
        """Chunks drawn with replacement, ``count`` for each seed: [seeds, *row, count]."""
        leaves, tree = jax.tree.flatten(self.rows)
        seeds, slots, worlds = leaves[0].shape[:3]
        filled = jnp.minimum(self.added, slots)
        chosen = jax.random.randint(key, (seeds, count), 0, filled * worlds)
        index = chosen + jnp.arange(seeds)[:, None] * (slots * worlds)

        def gather(rows: Array) -> Array:
            picked = rows.reshape(seeds * slots * worlds, *rows.shape[3:])[index]
            return jnp.moveaxis(picked, 1, -1)

        return jax.tree.unflatten(tree, [gather(x) for x in leaves])


def slots_of(size: int, worlds: int, chunks: int, length: int) -> int:
    """Chunks that each world keeps when ``size`` steps are to be kept in all; whole updates.

    Raises:
        InputError: less than one update fits in.
    """
    updates = size // (worlds * chunks * length)
    if updates < 1:
        least = worlds * chunks * length
        raise InputError("settings buffer", size, f"Use at least {least}: the steps of one update (worlds x rollout).")
    return updates * chunks
