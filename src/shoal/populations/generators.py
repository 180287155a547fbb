"""Networks by rule: small world, scale free, grid, regular, mobility, and ties read from a file.

All are made in bulk from random numbers of one seed: 8.4 million agents in seconds. None is held as a dense table.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.errors import InputError
from shoal.populations.networks import Network, network
from shoal.runs.seeds import generator

Numbers = NDArray[np.int32]


def small_world(count: int, degree: int, rewiring: float, seed: int) -> Network:
    """A ring on which each agent has its ``degree`` nearest neighbours, some ties led elsewhere (Watts, Strogatz 1998).

    Args:
        count: number of agents.
        degree: neighbours of each before rewiring, even.
        rewiring: probability of a tie to keep its first end and get a random second one.
        seed: of the rewiring.

    Raises:
        InputError: no agents, an odd degree or one of ``count`` or more, or no probability.
    """
    _require_degree(count, degree, even=True)
    if not 0 <= rewiring <= 1:
        raise InputError("network rewiring", rewiring, "Use a probability from 0 to 1.")
    rng = generator(seed, "small world")
    everybody = np.arange(count, dtype=np.int32)
    first, second = [], []
    for gap in range(1, degree // 2 + 1):
        other = (everybody + np.int32(gap)) % np.int32(count)
        moved = rng.random(count, np.float32) < rewiring
        other[moved] = rng.integers(0, count, int(moved.sum()), np.int32)
        first.append(everybody)
        second.append(other)
    return network(count, _joined(first), _joined(second))


def scale_free(count: int, ties: int, seed: int) -> Network:
    """Newcomers tie themselves to agents in proportion to their ties (Barabasi, Albert 1999).

    The list of all ends is made first, each second end as a place in the list before its newcomer (after Batagelj and
    Brandes 2005, PRE 71 036113, algorithm 5), and places are then followed for all ties at once until they lead to an
    agent. Ties drawn twice count once, so that a newcomer has at most ``ties`` of its own.

    Args:
        count: number of agents.
        ties: of each newcomer.
        seed: of the draws.

    Raises:
        InputError: no agents, or ties below 1 or not below ``count``.
    """
    _require_degree(count, ties)
    if ties < 1:
        raise InputError("network ties", ties, "Use at least 1 for each newcomer.")
    rng = generator(seed, "scale free")
    newcomers = np.repeat(np.arange(count, dtype=np.int32), ties)
    # Place 2k of the list of ends holds newcomer k; place 2k + 1 holds what an earlier place holds.
    place = (rng.random(newcomers.size) * (2 * ties * newcomers.astype(np.int64))).astype(np.int64)
    ends = np.empty(newcomers.size, np.int32)
    open_ties = np.arange(newcomers.size)
    while open_ties.size:
        at = place[open_ties]
        settled = at % 2 == 0
        ends[open_ties[settled]] = newcomers[at[settled] // 2]
        open_ties = open_ties[~settled]
        place[open_ties] = place[at[~settled] // 2]
    return network(count, newcomers, ends)


def grid(rows: int, columns: int, corners: bool = False, wrap: bool = False) -> Network:
    """Agents on a grid, numbered row by row, tied to the four next to them.

    Args:
        rows: of the grid.
        columns: of the grid.
        corners: tie the four across corners too.
        wrap: let the edges meet.

    Raises:
        InputError: no rows or columns.
    """
    for name, value in (("rows", rows), ("columns", columns)):
        if value < 1:
            raise InputError(f"grid {name}", value, "Use at least 1.")
    number = np.arange(rows * columns, dtype=np.int32).reshape(rows, columns)
    steps = [(0, 1), (1, 0), *([(1, 1), (1, -1)] if corners else [])]
    first, second = [], []
    for down, right in steps:
        other = np.roll(number, (-down, -right), (0, 1))
        inside = np.ones((rows, columns), bool)
        if not wrap:
            inside[rows - down :] = False
            inside[:, columns - 1 if right > 0 else 0] &= right == 0
        first.append(number[inside])
        second.append(other[inside])
    return network(rows * columns, _joined(first), _joined(second))


def regular(count: int, degree: int, seed: int) -> Network:
    """Every agent has ``degree`` random neighbours: joined random rings, and random pairs if the degree is odd.

    Ties that two rings share count once, so that a few agents (about degree^2 / 4 of them, however many there are) have
    one neighbour less.

    Raises:
        InputError: no agents, a degree of ``count`` or more, or an odd degree among an odd number.
    """
    _require_degree(count, degree)
    if degree % 2 and count % 2:
        raise InputError("network degree", degree, "Use an even degree, or an even number of agents.")
    rng = generator(seed, "regular")
    first, second = [], []
    for _ in range(degree // 2):
        ring = rng.permutation(np.arange(count, dtype=np.int32))
        first.append(ring)
        second.append(np.roll(ring, 1))
    if degree % 2:
        pairs = rng.permutation(np.arange(count, dtype=np.int32))
        first.append(pairs[::2])
        second.append(pairs[1::2])
    return network(count, _joined(first), _joined(second))


def mobility(count: int, degree: float, seed: int, areas: ArrayLike | None = None, local: float = 0.0) -> Network:
    """Random ties, ``degree`` each on average; some of them within one's own area.

    Args:
        count: number of agents.
        degree: neighbours of each, on average.
        seed: of the ties.
        areas: number of everybody's area [agents].
        local: share of ties that stay within the area.

    Raises:
        InputError: no agents, a negative degree, a share outside 0 to 1, or areas that do not fit.
    """
    _require_degree(count, degree)
    rng = generator(seed, "mobility")
    pairs = round(count * degree / 2)
    first, second = rng.integers(0, count, (2, pairs), np.int32)
    if areas is not None:
        second = neighbourly(first, second, np.asarray(areas), local, rng)
    return network(count, first, second)


def neighbourly(
    first: Numbers, second: Numbers, areas: NDArray[Any], local: float, rng: np.random.Generator
) -> Numbers:
    """Second ends of ties, a share of them replaced by people of the first one's area.

    Raises:
        InputError: a share outside 0 to 1, or areas that are no numbers from 0.
    """
    if not 0 <= local <= 1:
        raise InputError("network local", local, "Use a share from 0 to 1.")
    if areas.ndim != 1 or not np.issubdtype(areas.dtype, np.integer) or (areas.size and areas.min() < 0):
        raise InputError("network areas", f"{areas.dtype}{list(areas.shape)}", "Give everybody's area as a number.")
    stay = np.flatnonzero(rng.random(first.size, np.float32) < local)
    order = np.argsort(areas, kind="stable").astype(np.int32)
    sizes = np.bincount(areas)
    begins = np.cumsum(sizes) - sizes
    home = areas[first[stay]]
    second = second.copy()
    second[stay] = order[begins[home] + (rng.random(stay.size) * sizes[home]).astype(np.int64)]
    return second


def read_ties(path: Path | str, count: int) -> Network:
    """The network of a CSV file with two columns of agent numbers, ``first`` and ``second``, a tie in each row.

    Raises:
        InputError: no such file, other columns, something that is no whole number, or an agent that is not there.
    """
    import polars as pl

    path = Path(path)
    try:
        table = pl.read_csv(path, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError):
        raise InputError("ties", str(path), "Give a CSV file with the columns first and second.") from None
    if table.columns != ["first", "second"]:
        raise InputError(f"{path.name} columns", ",".join(table.columns), "Name two columns, first and second.")
    ends = []
    for name in table.columns:
        column = table[name].str.strip_chars().cast(pl.Int64, strict=False)
        wrong = column.is_null() | (column < 0) | (column >= count)
        if wrong.any():
            row = int(wrong.arg_true()[0])
            mend = f"Agents are numbered from 0 to {count - 1}."
            raise InputError(f"{path.name} {name}, row {row + 2}", table[name][row], mend)
        ends.append(column.to_numpy())
    return network(count, *ends)


def _require_degree(count: int, degree: float, even: bool = False) -> None:
    if count < 1:
        raise InputError("network agents", count, "Use at least 1.")
    if not 0 <= degree < count:
        raise InputError("network degree", degree, f"Use a number from 0 to {count - 1}.")
    if even and degree % 2:
        raise InputError("network degree", degree, "Use an even number.")


def _joined(parts: list[Numbers]) -> Numbers:
    return np.concatenate(parts) if parts else np.zeros(0, np.int32)
