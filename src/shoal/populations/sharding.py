"""One population on several devices: agents in equal blocks, each device with the ties into its own block.

Everything a model does to agents one by one, and its sums, is divided by the compiler (JAX arrays that are sharded over
the axis "agents"). Only the sum over neighbours needs to know about devices: each gathers who sends from all blocks and
adds up for its own agents, in the order in which one device would, so that a run gives the same numbers bit for bit.

Several processes work the same way, each with its devices (``jax.distributed``): every process makes the population and
keeps its own blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int
from numpy.typing import NDArray

from shoal.errors import InputError
from shoal.populations.compaction import positions
from shoal.populations.networks import FEW, SMALL, Network, follow, neighbour_tables, sum_over_tables

AXIS = "agents"
BLOCKS: PartitionSpec = PartitionSpec(AXIS)  # type: ignore[no-untyped-call]
WHOLE: PartitionSpec = PartitionSpec()  # type: ignore[no-untyped-call]


class ShardedNetwork(eqx.Module):
    """A network over the devices of a mesh; every array's first axis is the block.

    Attributes:
        offsets: where the ties of each sender into the block begin in ``receivers``.
        receivers: of those ties, numbered within the block, ascending by sender.
        slices: neighbours by number of them, as in ``Network``, of the block's agents.
        place: where each of the block's agents is in the slices' order.
        tail: agents with very many neighbours, and the owner of each of their ties in ``reach``.
        reach: neighbours of those in ``tail``.
        held: number of neighbours of each of the block's agents.
        count: number of agents.
        ties: number of ties, each direction counted.
        lonely: places for agents without neighbours.
        crowded: places for agents with very many.
        mesh: of the devices.
    """

    offsets: Int[Array, "blocks agents+1"]
    receivers: Int[Array, "blocks most"]
    slices: tuple[Int[Array, "blocks width part"], ...]
    place: Int[Array, "blocks own"]
    tail: Int[Array, "blocks reach"]
    reach: Int[Array, "blocks reach"]
    held: Int[Array, "blocks own"]
    count: int = eqx.field(static=True)
    ties: int = eqx.field(static=True)
    lonely: int = eqx.field(static=True)
    crowded: int = eqx.field(static=True)
    mesh: Mesh = eqx.field(static=True)

    @property
    def degrees(self) -> Int[Array, " agents"]:
        """Number of neighbours of every agent."""
        return self.held.reshape(-1)

    def total(self, weight: Float[Array, " agents"]) -> Float[Array, " agents"]:
        """Sum of ``weight`` over the neighbours of every agent; 0 where there are none. Differentiable."""
        return _total(self, weight)


def agents_mesh(devices: int | Sequence[Any] | None = None) -> Mesh:
    """A mesh of some devices of all processes; all of them if not said.

    Raises:
        InputError: there are not so many, with the way to have more on a processor.
    """
    there = jax.devices()
    chosen = list(there if devices is None else there[:devices] if isinstance(devices, int) else devices)
    if isinstance(devices, int) and not 1 <= devices <= len(there):
        mend = f"There are {len(there)}; on a processor, JAX_NUM_CPU_DEVICES={devices} makes so many."
        raise InputError("devices", devices, mend)
    return Mesh(np.array(chosen), (AXIS,))


def shard(population: Any, agents: int, mesh: Mesh) -> Any:
    """The population with its agents in blocks on the devices of the mesh, ready for ``simulate(population=...)``.

    Args:
        population: as ``model.population`` made it, the same in all processes.
        agents: how many there are.
        mesh: of ``agents_mesh``.

    Raises:
        InputError: the agents cannot be divided evenly, with numbers that can.
    """
    blocks = mesh.devices.size
    if agents % blocks:
        lower = agents - agents % blocks
        mend = f"They must divide by {blocks} devices: use {lower:,} or {lower + blocks:,}."
        raise InputError("agents", agents, mend)

    def placed(leaf: Any) -> Any:
        if isinstance(leaf, Network):
            return shard_network(leaf, mesh)
        own = BLOCKS if getattr(leaf, "ndim", 0) and leaf.shape[0] == agents else WHOLE
        return _put(np.asarray(leaf), mesh, own)

    return jax.tree.map(placed, population, is_leaf=lambda leaf: isinstance(leaf, Network))


def shard_network(net: Network, mesh: Mesh) -> ShardedNetwork:
    """The network with each block's part of the tables on its device; parts of different size are padded."""
    blocks = mesh.devices.size
    own = net.count // blocks
    offsets, neighbours = np.asarray(net.offsets), np.asarray(net.neighbours)
    tables, inward = [], []
    for lo in range(0, net.count, own):
        begin, end = int(offsets[lo]), int(offsets[lo + own])
        tables.append(neighbour_tables(offsets[lo : lo + own + 1] - begin, neighbours[begin:end], net.count))
        inward.append(_inward(offsets, neighbours, lo, lo + own))
    widths = sorted({table.shape[0] for t in tables for table in t.slices})
    parts = [{table.shape[0]: table for table in t.slices} for t in tables]
    longest = {w: max(p[w].shape[1] if w in p else 0 for p in parts) for w in widths}
    lonely, crowded = max(t.lonely for t in tables), max(t.crowded for t in tables)
    place = [_shifted(t, p, longest, lonely) for t, p in zip(tables, parts, strict=True)]

    def stacked(rows: Sequence[NDArray[Any]], pad: int) -> Any:
        most = max(1, *(row.shape[-1] for row in rows))
        full = [np.pad(r, [(0, 0)] * (r.ndim - 1) + [(0, most - r.shape[-1])], constant_values=pad) for r in rows]
        return _put(np.stack(full), mesh, BLOCKS)

    empty = np.zeros((1, 0), np.int32)
    return ShardedNetwork(
        offsets=stacked([o for o, _ in inward], 0),
        receivers=stacked([r for _, r in inward], own),
        slices=tuple(stacked([p.get(w, empty.repeat(w, 0)) for p in parts], net.count) for w in widths),
        place=stacked(place, 0),
        tail=stacked([t.tail for t in tables], crowded),
        reach=stacked([t.reach for t in tables], net.count),
        held=_put(np.diff(offsets).reshape(blocks, own), mesh, BLOCKS),
        count=net.count,
        ties=net.ties,
        lonely=lonely,
        crowded=crowded,
        mesh=mesh,
    )


def _inward(
    offsets: NDArray[np.int32], neighbours: NDArray[np.int32], lo: int, hi: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Ties of every sender into a block, as a CSR table of the senders with receivers numbered in the block.

    Ties go both ways, so the neighbours of a sender that lie in the block are its receivers there.
    """
    inside = (neighbours >= lo) & (neighbours < hi)
    kept = np.concatenate([[0], np.cumsum(inside, dtype=np.int64)])
    return kept[offsets].astype(np.int32), (neighbours[inside] - lo).astype(np.int32)


def _shifted(tables: Any, own: dict[int, NDArray[np.int32]], longest: dict[int, int], lonely: int) -> NDArray[np.int32]:
    """Places of a block's agents in the order of the padded slices."""
    old = new = 0
    shift = np.zeros(tables.place.size, np.int64)
    for width, most in [(0, lonely), *longest.items()]:
        rows = tables.lonely if width == 0 else own[width].shape[1] if width in own else 0
        shift[old : old + rows] = new - old
        old, new = old + rows, new + most
    shift[old:] = new - old
    moved: NDArray[np.int32] = (tables.place + shift[tables.place]).astype(np.int32)
    return moved


def _put(x: NDArray[Any], mesh: Mesh, spec: PartitionSpec) -> Any:
    """An array on the devices of all processes; each process gives what its own devices hold."""
    return jax.make_array_from_callback(x.shape, NamedSharding(mesh, spec), lambda where: x[where])


@jax.custom_jvp
def _total(net: ShardedNetwork, weight: Float[Array, " agents"]) -> Float[Array, " agents"]:
    return _divided(net, weight, few=net.ties >= SMALL)


@_total.defjvp
def _total_jvp(primals: tuple[ShardedNetwork, Array], tangents: tuple[Any, Array]) -> tuple[Array, Array]:
    net, weight = primals
    return _total(net, weight), _linear(net, tangents[1])


def _linear(net: ShardedNetwork, weight: Float[Array, " agents"]) -> Float[Array, " agents"]:
    """The sum as the linear map that it is, whose transpose is itself; see ``networks``."""

    def same(_: Any, x: Array) -> Array:
        return _divided(net, x, few=False)

    result: Array = lax.custom_linear_solve(lambda x: x, weight, same, same)
    return result


def _divided(net: ShardedNetwork, weight: Array, few: bool) -> Array:
    """Each device's part; where few send, along their ties only."""

    def part(own: ShardedNetwork, weight: Array) -> Array:
        own = jax.tree.map(lambda x: x[0], own)
        if not few:
            return _whole(own, weight)
        sending = weight != 0
        used = lax.psum(jnp.where(sending, own.held, 0).sum(), AXIS)  # type: ignore[no-untyped-call]
        most = lax.pmax(sending.sum(), AXIS)  # type: ignore[no-untyped-call]
        rare = (used <= own.ties // FEW) & (most <= weight.size // FEW)
        result: Array = lax.cond(rare, _along, _whole, own, weight)
        return result

    divided = jax.shard_map(part, mesh=net.mesh, in_specs=BLOCKS, out_specs=BLOCKS, check_vma=False)
    result: Array = divided(net, weight)
    return result


def _whole(own: ShardedNetwork, weight: Array) -> Array:
    everybody = lax.all_gather(weight, AXIS, tiled=True)
    return sum_over_tables(own.slices, own.tail, own.reach, own.place, own.lonely, own.crowded, everybody)


def _along(own: ShardedNetwork, weight: Array) -> Array:
    """The senders of all blocks, in order, along their ties into this one."""
    senders = positions(weight != 0, max(1, weight.size // FEW))
    sent = weight.at[senders].get(mode="fill", fill_value=0)
    number = jnp.where(senders < weight.size, senders + lax.axis_index(AXIS) * weight.size, own.count)
    number, sent = lax.all_gather(number, AXIS, tiled=True), lax.all_gather(sent, AXIS, tiled=True)
    return follow(own.offsets, own.receivers, number, sent, max(1, own.ties // FEW), weight.size)
