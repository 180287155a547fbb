"""What the particle worlds share: five moves, relative positions in observations, in words and in pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from numpy.typing import NDArray

from shoal.worlds.picture import Shape, colour_of

MOVES = ("stay", "left", "right", "down", "up")
SENSITIVITY = 5.0
"""Force of a push where an agent has no strength of its own."""


def pushes(
    moves: Int[Array, "agents *batch"], strength: Float[Array, "..."] | float = SENSITIVITY
) -> tuple[Float[Array, "agents *batch"], Float[Array, "agents *batch"]]:
    """Force of each agent's move, by component.

    Args:
        moves: numbers of ``MOVES``; any other number is no push.
        strength: the same for all, or an array that broadcasts against ``moves``.
    """
    right = (moves == 2).astype(jnp.float32) - (moves == 1)
    up = (moves == 4).astype(jnp.float32) - (moves == 3)
    return right * strength, up * strength


def offsets(
    ax: Float[Array, "a *batch"],
    ay: Float[Array, "a *batch"],
    bx: Float[Array, "b *batch"],
    by: Float[Array, "b *batch"],
) -> Float[Array, "a twice_b *batch"]:
    """Where every b lies as seen from every a: x0, y0, x1, y1, ... along the second axis."""
    return interleave(bx[None] - ax[:, None], by[None] - ay[:, None])


def offsets_of_others(x: Float[Array, "n *batch"], y: Float[Array, "n *batch"]) -> Float[Array, "n rest *batch"]:
    """Where the other agents lie as seen from each, in their order: x0, y0, x1, y1, ..."""
    others = others_of(x.shape[0])
    return interleave(x[others] - x[:, None], y[others] - y[:, None])


def others_of(count: int) -> NDArray[np.int64]:
    """Numbers of the other agents, for each agent: an array [count, count - 1]."""
    return np.array([[j for j in range(count) if j != i] for i in range(count)], np.int64).reshape(count, count - 1)


def interleave(x: Float[Array, "a b *batch"], y: Float[Array, "a b *batch"]) -> Float[Array, "a twice_b *batch"]:
    """x0, y0, x1, y1, ... along the second axis."""
    pair = jnp.stack([x, y], 2)
    return pair.reshape(pair.shape[0], 2 * x.shape[1], *pair.shape[3:])


def where(offset: Sequence[float] | NDArray[np.float32]) -> str:
    """A relative position in words: ``0.30 left, 0.10 up``; of its first coordinate only, if that is all there is."""
    words = [("right", "left"), ("up", "down")]
    return ", ".join(f"{abs(d):.2f} {w[int(d < 0)]}" for d, w in zip(offset, words, strict=False))


def motion(velocity: Sequence[float] | NDArray[np.float32]) -> str:
    """A velocity in words, per second: ``moving 0.30 left, 0.10 up per second``."""
    return "standing still" if not np.any(velocity) else f"moving {where(velocity)} per second"


def disc(agent: int, x: float, y: float, size: float, vx: float = 0.0, vy: float = 0.0) -> list[Shape]:
    """An agent's disc in its colour, with an arrow to where it will be in half a second if it moves."""
    shapes = [Shape("circle", x, y, size, colour_of(agent), opacity=0.8)]
    if math.hypot(vx, vy) > 0.05:
        shapes.append(Shape("arrow", x, y, colour="#404040", to=(x + vx / 2, y + vy / 2)))
    return shapes


def frame(*coordinates: Array) -> tuple[float, float, float, float]:
    """Bounds of a picture: the square to 1.5, widened in steps of 0.5 until everything is in it."""
    furthest = max((float(np.abs(np.asarray(c)).max()) for c in coordinates if c.size), default=0.0)
    side = max(1.5, math.ceil((furthest + 0.2) * 2) / 2)
    return (-side, -side, side, side)
