"""Seeds: split from one root by name, so that replicates are distinct by construction and nothing depends on order."""

from __future__ import annotations

import hashlib

import numpy as np

Name = str | int


def derive(root: int, *names: Name) -> int:
    """A 63-bit seed for the stream of that name under ``root``.

    Different names give different seeds (up to a collision of SHA-256), whatever order they are asked in. Leave the
    variant out of the names to give all variants of a trial the same random numbers.
    """
    text = "\x1f".join([str(root), *(f"{type(n).__name__}:{n}" for n in names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(root: int, *names: Name) -> np.random.Generator:
    """A numpy generator on the derived seed."""
    return np.random.default_rng(derive(root, *names))
