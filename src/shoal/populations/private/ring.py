"""Fixed point in the ring of 64-bit words, and additive shares of it.

A real number x is the word round(x 2^20) modulo 2^64. Words are added exactly, in any order. A number is split into n
shares by drawing n - 1 words at random and taking as the last what is missing: any n - 1 of them are uniform and say
nothing about it. Draws come from numpy's generator: good enough to study who learns what in one process, not to keep
secrets from somebody who may guess its seed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.errors import InputError

Words = NDArray[np.uint64]

FRACTION_BITS = 20
SCALE = 2.0**FRACTION_BITS
LIMIT = 2.0**63
"""Sums of this size or more, in words, are taken for negative numbers."""


def encode(values: ArrayLike) -> Words:
    """Numbers as words, rounded to the nearest multiple of 2^-20.

    Raises:
        InputError: a number that is not finite or does not fit.
    """
    scaled = np.rint(np.asarray(values, np.float64) * SCALE)
    wrong = ~(np.abs(scaled) < LIMIT)
    if wrong.any():
        where = np.asarray(values, np.float64)[wrong].flat[0]
        raise InputError("number to share", float(where), f"Use finite numbers below {LIMIT / SCALE:.0f}.")
    return scaled.astype(np.int64).view(np.uint64)


def decode(words: Words) -> NDArray[np.float64]:
    """Words as numbers; the upper half of the ring is negative."""
    return np.asarray(words, np.uint64).view(np.int64) / SCALE


def split(words: Words, parts: int, rng: np.random.Generator) -> Words:
    """Shares [..., parts] of words [...]; their sum modulo 2^64 is the word."""
    drawn = rng.integers(0, 2**64, (*words.shape, parts - 1), np.uint64)
    last = words - drawn.sum(axis=-1, dtype=np.uint64)
    return np.concatenate([drawn, last[..., None]], axis=-1)


def require_room(count: int, largest: float) -> None:
    """Raise InputError unless sums of ``count`` numbers of that size stay below 2^63 in words."""
    if not count * largest * SCALE < LIMIT:
        mend = (
            f"At most {LIMIT / SCALE / max(count, 1):.6g} for sums of {count}: there are 63 bits, 20 behind the point."
        )
        raise InputError("largest number to share", largest, mend)
