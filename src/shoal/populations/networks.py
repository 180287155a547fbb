"""Networks: who meets whom, for millions of agents.

A network is a sorted CSR table of neighbours, made once. The operation that every model lives on is ``total``: the sum
of a number over an agent's neighbours. It is computed from *slices*, tables [width, agents] of agents of about the same
number of neighbours: one gather and one addition per column, all in long vector operations. Few senders (the start and
the end of an epidemic) are followed along their own ties instead; which is cheaper is decided in each step.

Measured at 1 M agents with 10 neighbours each on two busy cores: 24 ms from slices, 53 ms as a sorted segment sum. On
one busy core, 19 ms from slices, and 2 ms along the ties of one in 64.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from numpy.typing import ArrayLike, NDArray

from shoal.errors import InputError
from shoal.populations.compaction import owners, positions

WIDTHS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 20, 22, 24, 28, 32, 40, 48)
"""Widths of slices; agents with more neighbours are summed along the CSR table."""
FEW = 64
"""Senders are followed along their own ties where these are at most a share of 1 / FEW of all. Room for that share is
worked through however few there are; at 1 / 24 slices were as fast with 400,000 ties."""
SMALL = 65_536
"""Networks of so few ties are always summed whole."""
THIN = 128
"""A slice of fewer agents is joined to the next wider one: starting a loop costs as much as padding these."""


class Network(eqx.Module):
    """Ties between agents, each in both directions.

    Attributes:
        offsets: where each agent's neighbours begin in ``neighbours``.
        neighbours: of all agents, one behind the other, ascending.
        slices: neighbours again, by number of them: tables [width, agents of the slice]; padded with ``count``.
        place: where each agent is in the slices' order; None where agents are numbered in that order.
        tail: agents with more neighbours than the widest slice, and the owner of each of their ties in ``reach``.
        reach: neighbours of those in ``tail``.
        count: number of agents.
        lonely: number of agents without neighbours.
        crowded: number of agents with more neighbours than the widest slice.
    """

    offsets: Int[Array, " agents+1"]
    neighbours: Int[Array, " ties"]
    slices: tuple[Int[Array, "width part"], ...]
    place: Int[Array, " agents"] | None
    tail: Int[Array, " reach"]
    reach: Int[Array, " reach"]
    count: int = eqx.field(static=True)
    lonely: int = eqx.field(static=True)
    crowded: int = eqx.field(static=True)

    @property
    def ties(self) -> int:
        """Number of ties, each direction counted."""
        return int(self.neighbours.shape[0])

    @property
    def degrees(self) -> Int[Array, " agents"]:
        """Number of neighbours of every agent."""
        return self.offsets[1:] - self.offsets[:-1]

    def total(self, weight: Float[Array, " agents"]) -> Float[Array, " agents"]:
        """Sum of ``weight`` over the neighbours of every agent; 0 where there are none. Differentiable."""
        return _total(self, weight)


def network(count: int, first: ArrayLike, second: ArrayLike) -> Network:
    """The network with a tie between each pair; pairs that occur twice count once, ties to oneself not at all.

    Args:
        count: number of agents, at least 1.
        first: numbers of agents [pairs].
        second: of their partners [pairs].

    Raises:
        InputError: no agents, arrays of different lengths, or a tie to an agent that is not there.
    """
    from scipy.sparse import coo_matrix

    if count < 1:
        raise InputError("network agents", count, "Use at least 1.")
    a, b = (_numbers(x, name, count) for x, name in ((first, "first"), (second, "second")))
    if a.shape != b.shape:
        raise InputError("network ties", (a.size, b.size), "Give as many second as first ends.")
    apart = a != b
    if not apart.all():
        a, b = a[apart], b[apart]
    rows, columns = np.concatenate([a, b]), np.concatenate([b, a])
    table = coo_matrix((np.ones(rows.size, np.int8), (rows, columns)), shape=(count, count)).tocsr()
    return from_csr(table.indptr, table.indices)


class NeighbourTables(NamedTuple):
    """Neighbours of some agents in the order of their number; see ``Network`` for what each part is.

    Attributes:
        slices: [width, rows] each, padded.
        place: of each agent.
        tail: owners.
        reach: neighbours of the owners.
        lonely: agents without neighbours.
        crowded: agents with more than the widest slice holds.
    """

    slices: list[NDArray[np.int32]]
    place: NDArray[np.int32]
    tail: NDArray[np.int32]
    reach: NDArray[np.int32]
    lonely: int
    crowded: int


def neighbour_tables(offsets: NDArray[np.int32], neighbours: NDArray[np.int32], pad: int) -> NeighbourTables:
    """Slices and the rest from the rows of a CSR table; ``pad`` is the number of nobody."""
    count = offsets.size - 1
    degrees = np.diff(offsets)
    order = np.argsort(degrees, kind="stable").astype(np.int32)
    place = np.empty(count, np.int32)
    place[order] = np.arange(count, dtype=np.int32)
    ascending = degrees[order]
    lonely = start = int(np.searchsorted(ascending, 0, "right"))
    slices = []
    for width in WIDTHS:
        end = int(np.searchsorted(ascending, width, "right"))
        rest = int(np.searchsorted(ascending, WIDTHS[-1], "right")) - end
        if end > start and (end - start >= THIN or not rest):
            slices.append(_slice(offsets, neighbours, order[start:end], width, pad))
            start = end
    far = order[start:]
    reach = np.concatenate([neighbours[offsets[i] : offsets[i + 1]] for i in far]) if far.size else neighbours[:0]
    tail = np.repeat(np.arange(far.size, dtype=np.int32), degrees[far])
    return NeighbourTables(slices, place, tail, reach, lonely, far.size)


def from_csr(offsets: NDArray[Any], neighbours: NDArray[Any]) -> Network:
    """The network of a symmetric CSR table that has no tie twice."""
    offsets, neighbours = offsets.astype(np.int32, copy=False), neighbours.astype(np.int32, copy=False)
    count = offsets.size - 1
    tables = neighbour_tables(offsets, neighbours, count)
    in_order = bool((tables.place == np.arange(count)).all())
    return Network(
        offsets=jnp.asarray(offsets),
        neighbours=jnp.asarray(neighbours),
        slices=tuple(jnp.asarray(table) for table in tables.slices),
        place=None if in_order else jnp.asarray(tables.place),
        tail=jnp.asarray(tables.tail),
        reach=jnp.asarray(tables.reach),
        count=count,
        lonely=tables.lonely,
        crowded=tables.crowded,
    )


def _slice(
    offsets: NDArray[np.int32], neighbours: NDArray[np.int32], rows: NDArray[np.int32], width: int, pad: int
) -> NDArray[np.int32]:
    """Neighbours [width, rows], column by column so that no second table of that size is held."""
    table = np.full((width, rows.size), pad, np.int32)
    begin, have = offsets[rows], offsets[rows + 1] - offsets[rows]
    for k in range(width):
        full = have > k
        table[k, full] = neighbours[begin[full] + k]
    return table


def _numbers(values: ArrayLike, name: str, count: int) -> NDArray[np.int32]:
    x = np.asarray(values)
    if x.ndim != 1 or (x.size and not np.issubdtype(x.dtype, np.integer)):
        raise InputError(f"network {name}", f"{x.dtype}{list(x.shape)}", "Give a list of agent numbers.")
    wrong = (x < 0) | (x >= count)
    if wrong.any():
        raise InputError(f"network {name}", int(x[wrong][0]), f"Agents are numbered from 0 to {count - 1}.")
    return x.astype(np.int32, copy=False)


@jax.custom_jvp
def _total(net: Network, weight: Float[Array, " agents"]) -> Float[Array, " agents"]:
    if net.ties < SMALL:
        return _whole(net, weight)
    sending = weight != 0
    used = jnp.where(sending, net.degrees, 0).sum()
    few = (used <= net.ties // FEW) & (sending.sum() <= net.count // FEW)
    result: Array = jax.lax.cond(few, _along, _whole, net, weight)
    return result


@_total.defjvp
def _total_jvp(primals: tuple[Network, Array], tangents: tuple[Any, Array]) -> tuple[Array, Array]:
    net, weight = primals
    return _total(net, weight), _linear(net, tangents[1])


def _linear(net: Network, weight: Float[Array, " agents"]) -> Float[Array, " agents"]:
    """The sum whose transpose is itself, since ties go both ways; a gather's own transpose would be a slow scatter.

    ``custom_linear_solve`` is the one way to say so that works forward, backward and in batches; nothing is solved.
    """

    def same(_: Any, x: Array) -> Array:
        return _whole(net, x)

    result: Array = jax.lax.custom_linear_solve(lambda x: x, weight, same, same)
    return result


def _whole(net: Network, weight: Float[Array, " agents"]) -> Float[Array, " agents"]:
    """Sum over all ties, by slices."""
    return sum_over_tables(net.slices, net.tail, net.reach, net.place, net.lonely, net.crowded, weight)


def sum_over_tables(
    slices: Sequence[Array], tail: Array, reach: Array, place: Array | None, lonely: int, crowded: int, weight: Array
) -> Array:
    """Sums over the neighbours of those agents that the tables are of; ``weight`` is of all agents."""
    padded = jnp.concatenate([weight, jnp.zeros(1, weight.dtype)])
    sums = [jnp.zeros(lonely, weight.dtype)]
    for table in slices:
        column = _taken(padded, table[0])
        for k in range(1, table.shape[0]):
            column = column + _taken(padded, table[k])
        sums.append(column)
    sums.append(jax.ops.segment_sum(_taken(padded, reach), tail, crowded, indices_are_sorted=True))
    joined = jnp.concatenate(sums)
    return joined if place is None else _taken(joined, place)


def _taken(values: Array, places: Array) -> Array:
    """``values[places]``, all of them there: else the compiler copies every table once more to mend those below 0."""
    taken: Array = values.at[places].get(mode="promise_in_bounds", wrap_negative_indices=False)
    return taken


def _along(net: Network, weight: Float[Array, " agents"]) -> Float[Array, " agents"]:
    """The same where few agents send: their ties only."""
    senders = positions(weight != 0, max(1, net.count // FEW))
    sent = weight.at[senders].get(mode="fill", fill_value=0)
    return follow(net.offsets, net.neighbours, senders, sent, max(1, net.ties // FEW), net.count)


def follow(offsets: Array, receivers: Array, senders: Array, sent: Array, most: int, count: int) -> Array:
    """What some senders give along their ties, summed by receiver.

    Args:
        offsets: where each agent's ties begin in ``receivers`` [agents + 1].
        receivers: of all ties.
        senders: numbers of agents, ascending; those past the last agent send nothing.
        sent: what each gives.
        most: ties that they have together, at most.
        count: number of receivers.
    """
    last = offsets.shape[0] - 1
    begin = offsets[jnp.minimum(senders, last)]
    degrees = offsets[jnp.minimum(senders + 1, last)] - begin
    owner, begins, ties = owners(degrees, most)
    spot = jnp.arange(most, dtype=jnp.int32)
    tie = (begin - begins)[owner] + spot
    used = spot < ties
    share = jnp.where(used, sent[owner], 0.0)
    receiver = jnp.where(used, receivers[tie], count)
    return jnp.zeros(count, sent.dtype).at[receiver].add(share, mode="drop")
