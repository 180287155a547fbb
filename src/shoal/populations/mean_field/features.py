"""Features of a swarm's distribution: kernels around centres in the agents' state space, or shares in cells.

phi_b = (1 / N) sum_i k(x_i - x_b) with k a Gaussian whose deviation is the spacing of the centres (Cui et al. 2024,
arXiv 2307.06175). Distances go the shorter way round on a torus; headings are compared as points on the unit circle,
|exp(i a) - exp(i b)|^2 = 2 - 2 cos(a - b). The Gaussian factorises over coordinates, so a feature costs a product, not
an exponential. The histogram has a cell around every centre, so both have the same number of features.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import NDArray

from shoal.errors import InputError
from shoal.populations.space import Square

FINE = 4096
"""Points of the mean over a coordinate."""

PerAgent = Float[Array, "agents *batch"]


@dataclass(frozen=True)
class Features:
    """Which features.

    Attributes:
        square: where the agents live.
        cells: centres along each coordinate of the place.
        headings: centres of the heading; 0 where agents have none.
        histogram: shares in cells instead of kernels.
    """

    square: Square
    cells: int = 5
    headings: int = 4
    histogram: bool = False

    def __post_init__(self) -> None:
        for name, least in (("cells", 1), ("headings", 0)):
            if getattr(self, name) < least:
                raise InputError(f"features {name}", getattr(self, name), f"Use at least {least}.")

    @property
    def size(self) -> int:
        """Number of features."""
        return self.cells**2 * max(self.headings, 1)

    def __call__(self, x: PerAgent, y: PerAgent, heading: PerAgent | None = None) -> Float[Array, "features *batch"]:
        """Features of a swarm: first coordinate slowest, heading fastest.

        Args:
            x: first coordinate.
            y: second coordinate.
            heading: angle; not given where agents have none.
        """
        across, up = self.place(x), self.place(y)
        whole = jax.lax.Precision.HIGHEST
        if heading is None or not self.headings:
            each = jnp.einsum("an...,bn...->ab...", across, up, precision=whole)
        else:
            both = (across[:, None] * up[None]).reshape(self.cells**2, *x.shape)
            each = jnp.einsum("bn...,hn...->bh...", both, self.angle(heading), precision=whole)
        return each.reshape(self.size, *x.shape[1:]) / x.shape[0]

    def measure(self, **coordinates: Any) -> Float[Array, " features"]:
        """The same for one swarm from outside: ``x``, ``y`` and, where there are headings, ``heading``, each [agents].

        Raises:
            InputError: no agents, a place outside of the square, or a number that is not finite.
        """
        arrays = {name: np.asarray(values, np.float32) for name, values in coordinates.items()}
        for name, values in arrays.items():
            low, high = (-math.inf, math.inf) if name == "heading" else (0.0, self.square.side)
            wrong = ~(np.isfinite(values) & (values >= low) & (values <= high))
            if not values.size or wrong.any():
                found = float(values[wrong][0]) if wrong.any() else values.shape
                raise InputError(f"swarm {name}", found, f"Give finite numbers from {low:g} to {high:g}, at least one.")
        return self(*(jnp.asarray(arrays[name]) for name in ("x", "y", "heading") if name in arrays))

    def place(self, x: PerAgent) -> Float[Array, "cells agents *batch"]:
        """The factor of one coordinate."""
        spacing = self.square.side / self.cells
        number = _column(np.arange(self.cells), x)
        if self.histogram:
            return (jnp.clip(jnp.floor(x / spacing), 0, self.cells - 1)[None] == number).astype(jnp.float32)
        off = self.square.apart(x[None] - (number + 0.5) * spacing)
        return jnp.exp(-0.5 * jnp.square(off / spacing))

    def angle(self, heading: PerAgent) -> Float[Array, "headings agents *batch"]:
        """The factor of the heading."""
        step = 2 * math.pi / self.headings
        number = _column(np.arange(self.headings), heading)
        if self.histogram:
            cell = jnp.mod(jnp.floor((heading + math.pi) / step), self.headings)
            return (cell[None] == number).astype(jnp.float32)
        centre = -math.pi + (number + 0.5) * step
        chord = 2 * math.sin(step / 2) if self.headings > 1 else 1.0
        return jnp.exp((jnp.cos(heading[None] - centre) - 1) / chord**2)

    @functools.cached_property
    def even(self) -> NDArray[np.float32]:
        """Features of a swarm spread evenly over all states [features]: the unit in which learners see them."""
        fine = ((np.arange(FINE) + 0.5) / FINE).astype(np.float32)
        turn = np.ones(1)
        with jax.ensure_compile_time_eval():
            along = np.asarray(self.place(jnp.asarray(self.square.side * fine))).mean(1)
            if self.headings:
                turn = np.asarray(self.angle(jnp.asarray(math.pi * (2 * fine - 1)))).mean(1)
        even: NDArray[np.float32] = (along[:, None, None] * along[:, None] * turn).reshape(-1).astype(np.float32)
        return even


def _column(numbers: NDArray[Any], like: Array) -> NDArray[np.float32]:
    """Numbers [n] with axes added behind, to broadcast against arrays [agents, *batch]."""
    column: NDArray[np.float32] = numbers.astype(np.float32).reshape(-1, *(1,) * like.ndim)
    return column
