"""Minibatches: experience cut into units (a chunk of time in a group of worlds), shuffled, and gathered.

Units keep the agents of a world together and whole runs of worlds side by side, so that a gather copies long rows and
the permutation that is sorted stays short (to sort single samples took a tenth of the training time on two cores).
"""

from __future__ import annotations

from typing import Any

import jax
from jaxtyping import Array, Int, PRNGKeyArray

from shoal.errors import InputError

UNITS = 32
"""Units that a minibatch is mixed from, where the rollout has that many."""


def groups_of(chunks: int, worlds: int, minibatches: int) -> int:
    """Groups into which the worlds are cut: the fewest that divide them and give every minibatch ``UNITS`` units.

    Raises:
        InputError: the chunks of all worlds cannot be shared evenly among the minibatches.
    """
    fitting = [g for g in range(1, worlds + 1) if worlds % g == 0 and (chunks * g) % minibatches == 0]
    if not fitting:
        mend = f"Use a number that divides {chunks * worlds} (chunks of time x worlds)."
        raise InputError("settings minibatches", minibatches, mend)
    return next((g for g in fitting if chunks * g >= UNITS * minibatches), fitting[-1])


def pieces_of(units: int, samples: int, most: int) -> int:
    """Pieces into which the units of a minibatch are cut so that each has at most ``most`` samples, if that can be.

    Args:
        units: of a minibatch.
        samples: agent samples of a unit.
        most: samples wanted in a piece.
    """
    return next(k for k in range(1, units + 1) if units % k == 0 and (units // k * samples <= most or k == units))


def shuffle(key: PRNGKeyArray, units: int, minibatches: int, pieces: int) -> Int[Array, "minibatches pieces units"]:
    """A permutation of all units, dealt out to the pieces of the minibatches of one epoch."""
    return jax.random.permutation(key, units).reshape(minibatches, pieces, -1)


def deal(tree: Any, order: Int[Array, "minibatches pieces units"], groups: int) -> Any:
    """Experience in the order of an epoch.

    Arrays [chunks, time, *any, seeds, worlds] come back as [minibatches, pieces, seeds, *any, time, batch], so that a
    loop over minibatches reads contiguous memory: a gather in the loop is redone by every operation that reads it.
    """

    def place(x: Array) -> Array:
        chunks, length, *middle, seeds, worlds = x.shape
        cut = x.reshape(chunks, length, *middle, seeds, groups, worlds // groups)
        picked = cut[order, ..., 0, :] if groups == 1 else cut[order // groups, ..., order % groups, :]
        # From [minibatches, pieces, units, time, *any, seeds, part] the units go beside the part.
        last = picked.ndim - 1
        placed = picked.transpose(0, 1, last - 1, *range(4, last - 1), 3, 2, last)
        return placed.reshape(*placed.shape[:-2], placed.shape[-2] * placed.shape[-1])

    return jax.tree.map(place, tree)


def deal_starts(tree: Any, order: Int[Array, "minibatches pieces units"], groups: int) -> Any:
    """The same for arrays without a time axis."""
    return jax.tree.map(lambda x: x[..., 0, :], deal(jax.tree.map(lambda x: x[:, None], tree), order, groups))
