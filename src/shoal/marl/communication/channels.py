"""Channels: what happens to messages between mouth and ear.

A channel is part of a communication (a lossy or slow one to train with), or it is put into a trained policy to find out
whether its messages are used at all: see ``intervene``. It works on packets [width, receivers, senders, *batch], so any
system that passes messages between parts can use it, and on single edges of the graph as well as on all.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from shoal.errors import InputError
from shoal.marl.gaussian import normal
from shoal.worlds.world import over_batch

Edge = tuple[int, int]
"""(Receiver, sender)."""
Uniform = Float[Array, "rows receivers *batch"]
"""Uniform in [0, 1)."""
Draw = Callable[[Float[Array, "width *any"]], Float[Array, "width *any"]]
"""From uniform numbers to a message that means nothing."""


class Packet(NamedTuple):
    """Messages on their way.

    Attributes:
        message: what is said; zeros where nothing is.
        open: 1 where a message is sent, else 0.

    The receivers axis may be 1 where every receiver is told the same.
    """

    message: Float[Array, "width receivers senders *batch"]
    open: Float[Array, "receivers senders *batch"]


class Channel(eqx.Module):
    """Messages in, messages out.

    Attributes:
        edges: the only edges that it acts on; None for all.
    """

    edges: tuple[Edge, ...] | None = eqx.field(static=True, default=None)

    def rows(self, width: int, senders: int) -> int:
        """Uniform numbers that each receiver needs."""
        return 0

    def start(self, width: int, receivers: int, senders: int, batch: tuple[int, ...]) -> Any:
        """The memory before the first step; without leaves where there is none."""
        return ()

    @abstractmethod
    def change(
        self, packet: Packet, noise: Uniform, memory: Any, fresh: Bool[Array, "*batch"], draw: Draw
    ) -> tuple[Packet, Any]:
        """What arrives if all edges are acted on, and the next memory; the packet has all receivers."""

    def __call__(
        self,
        packet: Packet,
        receivers: int,
        noise: Uniform,
        memory: Any,
        fresh: Bool[Array, "*batch"],
        draw: Draw = lambda u: 2 * u - 1,
    ) -> tuple[Packet, Any]:
        """What arrives, and the next memory.

        Args:
            packet: what is sent.
            receivers: how many there are.
            noise: ``rows`` uniform numbers for each receiver.
            memory: of the step before.
            fresh: where an episode begins.
            draw: makes messages that mean nothing, as the sender's would look.
        """
        width, _, senders, *batch = packet.message.shape
        wide = Packet(
            jnp.broadcast_to(packet.message, (width, receivers, senders, *batch)),
            jnp.broadcast_to(packet.open, (receivers, senders, *batch)),
        )
        changed, memory = self.change(wide, noise, memory, fresh, draw)
        if self.edges is None:
            return changed, memory
        here = over_batch(_table(self.edges, receivers, senders), wide.open)
        message, opened = (jnp.where(here, new, old) for new, old in zip(changed, wide, strict=True))
        return Packet(message, opened), memory


class Clear(Channel):
    """Nothing happens."""

    def change(
        self, packet: Packet, noise: Uniform, memory: Any, fresh: Bool[Array, "*batch"], draw: Draw
    ) -> tuple[Packet, Any]:
        """As sent."""
        return packet, memory

    def __call__(
        self,
        packet: Packet,
        receivers: int,
        noise: Uniform,
        memory: Any,
        fresh: Bool[Array, "*batch"],
        draw: Draw = lambda u: u,
    ) -> tuple[Packet, Any]:
        """As sent, without a copy for each receiver."""
        return packet, memory


class Cut(Channel):
    """Nothing arrives: a zero, and no mark that anything was sent."""

    def change(
        self, packet: Packet, noise: Uniform, memory: Any, fresh: Bool[Array, "*batch"], draw: Draw
    ) -> tuple[Packet, Any]:
        """Zeros."""
        return Packet(jnp.zeros_like(packet.message), jnp.zeros_like(packet.open)), memory


class Drop(Channel):
    """Each message is lost with a probability, for each receiver by itself.

    Attributes:
        chance: of a loss.
    """

    chance: float = eqx.field(static=True, default=0.5)

    def rows(self, width: int, senders: int) -> int:
        """One for each edge."""
        return senders

    def change(
        self, packet: Packet, noise: Uniform, memory: Any, fresh: Bool[Array, "*batch"], draw: Draw
    ) -> tuple[Packet, Any]:
        """The messages that get through."""
        kept = (jnp.swapaxes(noise, 0, 1) >= self.chance).astype(packet.open.dtype)
        return Packet(packet.message * kept, packet.open * kept), memory


class Noise(Channel):
    """Gaussian noise on every number of every message that is sent.

    Attributes:
        deviation: of the noise.
    """

    deviation: float = eqx.field(static=True, default=1.0)

    def rows(self, width: int, senders: int) -> int:
        """One for each number."""
        return width * senders

    def change(
        self, packet: Packet, noise: Uniform, memory: Any, fresh: Bool[Array, "*batch"], draw: Draw
    ) -> tuple[Packet, Any]:
        """Messages with noise."""
        shift = self.deviation * normal(_edgewise(noise, packet))
        return packet._replace(message=packet.message + shift * packet.open), memory


class Scramble(Channel):
    """Every message that is sent is replaced by one that means nothing: random bits, tokens or numbers."""

    def rows(self, width: int, senders: int) -> int:
        """One for each number."""
        return width * senders

    def change(
        self, packet: Packet, noise: Uniform, memory: Any, fresh: Bool[Array, "*batch"], draw: Draw
    ) -> tuple[Packet, Any]:
        """Random messages at the times of the true ones."""
        return packet._replace(message=draw(_edgewise(noise, packet)) * packet.open), memory


class Shuffle(Channel):
    """Receivers hear real messages that are not meant for the moment.

    Attributes:
        among: "agents": senders are exchanged, by a random rotation in each step; "episodes": each world hears what was
            said at the same time in another one of the last batch axis, so at least two must be played side by side.
        by: how many worlds further the other one is.
    """

    among: Literal["agents", "episodes"] = eqx.field(static=True, default="episodes")
    by: int = eqx.field(static=True, default=1)

    def rows(self, width: int, senders: int) -> int:
        """One for a rotation."""
        return 1 if self.among == "agents" else 0

    def change(
        self, packet: Packet, noise: Uniform, memory: Any, fresh: Bool[Array, "*batch"], draw: Draw
    ) -> tuple[Packet, Any]:
        """The wrong messages."""
        if self.among == "episodes":
            if packet.open.ndim < 3 or packet.open.shape[-1] < 2:
                raise InputError("shuffle among episodes", packet.open.shape[2:], "Play at least 2 worlds at once.")
            return Packet(jnp.roll(packet.message, self.by, -1), jnp.roll(packet.open, self.by, -1)), memory
        senders = packet.open.shape[1]
        if senders < 2:
            return packet, memory
        # One rotation for all receivers of a world, so that the wrong messages still agree with each other.
        turn = 1 + jnp.floor(noise[0, 0] * (senders - 1)).astype(jnp.int32)
        turned = [[jnp.roll(part, k, part.ndim - turn.ndim - 1) for part in packet] for k in range(1, senders)]
        message, opened = packet
        for k, (m, o) in enumerate(turned, 1):
            message, opened = jnp.where(turn == k, m, message), jnp.where(turn == k, o, opened)
        return Packet(message, opened), memory


class Delay(Channel):
    """Messages arrive some steps later; the first steps of an episode bring nothing.

    Attributes:
        steps: how much later.
    """

    steps: int = eqx.field(static=True, default=1)

    def start(self, width: int, receivers: int, senders: int, batch: tuple[int, ...]) -> Any:
        """Packets on their way, oldest first."""
        edge = (receivers, senders, *batch)
        return tuple(Packet(jnp.zeros((width, *edge)), jnp.zeros(edge)) for _ in range(self.steps))

    def change(
        self, packet: Packet, noise: Uniform, memory: Any, fresh: Bool[Array, "*batch"], draw: Draw
    ) -> tuple[Packet, Any]:
        """The oldest packet."""
        kept = [Packet(*(jnp.where(fresh, 0.0, x) for x in old)) for old in memory]
        line = [*kept, packet]
        return line[0], tuple(line[1:])


class Chain(Channel):
    """Channels one behind the other.

    Attributes:
        links: first the one next to the senders.
    """

    links: tuple[Channel, ...] = ()

    def rows(self, width: int, senders: int) -> int:
        """Those of all."""
        return sum(link.rows(width, senders) for link in self.links)

    def start(self, width: int, receivers: int, senders: int, batch: tuple[int, ...]) -> Any:
        """Those of all."""
        return tuple(link.start(width, receivers, senders, batch) for link in self.links)

    def change(
        self, packet: Packet, noise: Uniform, memory: Any, fresh: Bool[Array, "*batch"], draw: Draw
    ) -> tuple[Packet, Any]:
        """One after the other."""
        receivers, after, at = packet.open.shape[0], [], 0
        for link, own in zip(self.links, memory, strict=True):
            count = link.rows(packet.message.shape[0], packet.open.shape[1])
            packet, kept = link(packet, receivers, noise[at : at + count], own, fresh, draw)
            after.append(kept)
            at += count
        return packet, tuple(after)


def joined(first: Channel, then: Channel) -> Channel:
    """Both channels, the first next to the senders."""
    if isinstance(first, Clear):
        return then
    return first if isinstance(then, Clear) else Chain(links=(first, then))


def _edgewise(noise: Uniform, packet: Packet) -> Float[Array, "width receivers senders *batch"]:
    """Uniform numbers of each receiver as one for each number of each edge."""
    width, _, senders, *_ = packet.message.shape
    return jnp.moveaxis(noise.reshape(width, senders, *noise.shape[1:]), 1, 2)


def _table(edges: tuple[Edge, ...], receivers: int, senders: int) -> Bool[Array, "receivers senders"]:
    for receiver, sender in edges:
        if not (0 <= receiver < receivers and 0 <= sender < senders):
            raise InputError("edge", (receiver, sender), f"Use (receiver, sender) below ({receivers}, {senders}).")
    return jnp.array([[(r, s) in edges for s in range(senders)] for r in range(receivers)])
