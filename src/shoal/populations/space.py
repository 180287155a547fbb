"""Space: sums over the agents within a radius, in a square or on a torus.

Small swarms compare all pairs. Larger ones are sorted into cells as wide as the radius, so that an agent's neighbours
are in three runs of the sorted list: its own row of cells and the two beside it, three cells each. Every agent walks
its runs one place at a time, all agents at once; the walk ends with the longest run, so nothing is cut off however
crowded a cell is, but one crowded cell slows everybody.
"""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

DENSE = 2000
"""Swarms of so many agents compare all pairs."""

Coordinate = Float[Array, " agents"]


class Square(eqx.Module):
    """A square from 0 to ``side``.

    Attributes:
        side: length.
        torus: whether opposite edges meet.
    """

    side: float = eqx.field(static=True)
    torus: bool = eqx.field(static=True)

    def inside(self, x: Coordinate) -> Coordinate:
        """The coordinate brought back into the square: around the torus, else to the edge."""
        if not self.torus:
            return jnp.clip(x, 0.0, self.side)
        # A rounding remainder of exactly the side is the edge where the torus begins again.
        wrapped = jnp.mod(x, self.side)
        return jnp.where(wrapped >= self.side, 0.0, wrapped)

    def apart(self, difference: Array) -> Array:
        """A difference of coordinates: on the torus the way around that is shorter."""
        if not self.torus:
            return difference
        return difference - self.side * jnp.round(difference / self.side)


def neighbour_sums(
    square: Square,
    radius: float,
    x: Coordinate,
    y: Coordinate,
    values: Float[Array, "kinds agents"],
    *,
    dense: bool | None = None,
) -> Float[Array, "kinds agents"]:
    """Sums over the other agents at a distance below ``radius``.

    Slopes pass through the values, forward and backward; who is a neighbour has none.

    Args:
        square: where they are; coordinates must lie in it.
        radius: of sight; with 0 nobody is seen.
        x: first coordinate.
        y: second coordinate.
        values: what to add up, one row for each sum.
        dense: compare all pairs; by default for up to DENSE agents.
    """
    x, y = jax.lax.stop_gradient(x), jax.lax.stop_gradient(y)
    whole = x.shape[0] <= DENSE if dense is None else dense
    if whole:
        near = _near(square, radius, x[:, None] - x[None], y[:, None] - y[None]) & ~jnp.eye(x.shape[0], dtype=bool)
        return jnp.matmul(values, near.astype(values.dtype), precision=jax.lax.Precision.HIGHEST)

    def sums(_: object, values: Array) -> Array:
        return _by_cells(square, radius, x, y, values)

    # Neighbours see each other, so the sum is its own transpose; this says so to differentiation. Nothing is solved.
    result: Array = jax.lax.custom_linear_solve(lambda v: v, values, sums, sums)
    return result


def _near(square: Square, radius: float, dx: Array, dy: Array) -> Bool[Array, "..."]:
    dx, dy = square.apart(dx), square.apart(dy)
    return dx * dx + dy * dy < np.float32(radius) ** 2


def _by_cells(square: Square, radius: float, x: Coordinate, y: Coordinate, values: Array) -> Array:
    count, cells = x.shape[0], _cells_a_side(square, radius, x.shape[0])
    column, row = (jnp.clip((c * (cells / square.side)).astype(jnp.int32), 0, cells - 1) for c in (x, y))
    cell = row * cells + column
    order = jnp.argsort(cell)
    begins = jnp.searchsorted(cell[order], jnp.arange(cells * cells + 1, dtype=jnp.int32)).astype(jnp.int32)
    x, y, values, column, row = x[order], y[order], values[:, order], column[order], row[order]
    own = jnp.arange(count, dtype=jnp.int32)
    total = jnp.zeros_like(values)
    for step in range(-1, 2) if cells > 2 else range(cells):
        run = _run(square, begins, cells, column, row + step if cells > 2 else jnp.full_like(row, step))

        def look(k: Int[Array, ""], total: Array, run: _Run = run) -> Array:
            other = jnp.minimum(run.at(k), count - 1)
            near = _near(square, radius, x - x[other], y - y[other]) & (k < run.length) & (other != own)
            return total + jnp.where(near, values[:, other], 0.0)

        total = jax.lax.fori_loop(0, run.length.max(), look, total)
    return jnp.zeros_like(total).at[:, order].set(total)


class _Run(NamedTuple):
    """For each agent, a stretch of the sorted list within one row of cells.

    Attributes:
        first: where the row begins.
        row: agents in the row; a stretch that reaches its end goes on at its beginning.
        start: of the stretch in the row.
        length: of the stretch.
    """

    first: Array
    row: Array
    start: Array
    length: Array

    def at(self, k: Array) -> Array:
        """The k-th place of each stretch."""
        place = self.start + k
        return self.first + jnp.where(place >= self.row, place - self.row, place)


def _run(square: Square, begins: Array, cells: int, column: Array, row: Array) -> _Run:
    """The cells from ``column`` - 1 to ``column`` + 1 of a row: the whole row if there are no more."""
    base = jnp.mod(row, cells) * cells
    first = begins[base]
    size = begins[base + cells] - first
    if cells <= 2:
        return _Run(first, size, jnp.zeros_like(size), size)
    if not square.torus:
        start, end = (begins[base + c] - first for c in (jnp.maximum(column - 1, 0), jnp.minimum(column + 2, cells)))
        return _Run(first, size, start, jnp.where((row >= 0) & (row < cells), end - start, 0))
    west, east = jnp.mod(column - 1, cells), jnp.mod(column + 1, cells)
    start, end = begins[base + west] - first, begins[base + east + 1] - first
    return _Run(first, size, start, jnp.where(east < west, end + size - start, end - start))


def _cells_a_side(square: Square, radius: float, count: int) -> int:
    """As many as fit a radius each (and a little more, for rounding), but no more than agents need."""
    most = max(1, int(np.sqrt(count)))
    return most if radius <= 0 else max(1, min(most, int(square.side / (1.00001 * radius))))
