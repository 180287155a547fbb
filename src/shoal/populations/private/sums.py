"""Protocols for sums: over every agent's neighbours, and over the population. Parties follow the protocol, are curious,
and do not collude.

``NeighbourShares`` (Private ABM, arXiv 2404.12983; Large Population Models, step C.9): every neighbour j of an agent i
splits what it sends into as many shares as i has neighbours, one for each of them; each adds up the shares that it got
for i and sends i one number; i adds these. Nobody but i learns the sum, and i learns nothing else. Two neighbours would
do with one random word each, one neighbour with none, so that sums over fewer than ``LEAST`` are padded with helper
servers, which receive shares and send nothing of their own. What i learns from *one* neighbour is that neighbour's
number all the same.

``HelperServers``: every agent splits its number among two or three servers that know who meets whom; each server sums
its shares along the ties and sends every agent one number. Work is proportional to ties and not to their square.

Totals over the population go through helper servers in both.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError
from shoal.populations.networks import Network
from shoal.populations.private.messages import ANALYST, MASKED, PARTIAL, REVEALED, SERVER, SHARE, MessageLog
from shoal.populations.private.ring import Words, decode, encode, require_room, split

LEAST = 2
"""Sums over fewer neighbours than that are padded with helpers."""
BLOCK = 2_000_000
"""Shares that are held at once."""
WHOLE = -1
"""Whom a total over the population is about."""


@dataclass(frozen=True)
class GaussianNoise:
    """Differential privacy of revealed totals: the Gaussian mechanism (Dwork and Roth 2014, theorem A.1).

    It is for one total and for what one person adds to it: T revealed days cost T times, and what a person passes on to
    contacts is not counted.

    Attributes:
        epsilon: above 0, below 1.
        delta: above 0, below 1.
        sensitivity: most that one person changes a total by.

    Raises:
        InputError: numbers out of range.
    """

    epsilon: float
    delta: float
    sensitivity: float = 1.0

    def __post_init__(self) -> None:
        if not (0 < self.epsilon < 1 and 0 < self.delta < 1 and self.sensitivity > 0):
            numbers = (self.epsilon, self.delta, self.sensitivity)
            mend = "Use epsilon and delta between 0 and 1, and a sensitivity above 0."
            raise InputError("noise epsilon, delta, sensitivity", numbers, mend)

    @property
    def deviation(self) -> float:
        """Of the noise."""
        return self.sensitivity * math.sqrt(2 * math.log(1.25 / self.delta)) / self.epsilon


class Sums(ABC):
    """A protocol.

    Args:
        net: who meets whom.
        rng: of the shares.
        servers: helper servers.
        log: of the messages.
        noise: added to totals by the first server; none if not given.

    Attributes:
        log: of the messages.

    Raises:
        InputError: too few servers.
    """

    fewest: int = 2

    def __init__(
        self,
        net: Network,
        rng: np.random.Generator,
        servers: int = 3,
        log: MessageLog | None = None,
        noise: GaussianNoise | None = None,
    ) -> None:
        if servers < self.fewest:
            raise InputError("helper servers", servers, f"Use at least {self.fewest}.")
        self.log = log or MessageLog()
        self._rng, self._servers, self._noise = rng, SERVER - np.arange(servers), noise
        self._lay(net)

    def on(self, net: Network) -> Self:
        """The same servers, log and generator, over another network."""
        other = copy.copy(self)
        other._lay(net)
        return other

    def heard(self, sent: NDArray[np.floating]) -> NDArray[np.float64]:
        """What each agent hears [agents]: the sum of what its neighbours send [agents].

        Raises:
            InputError: numbers whose sums could overflow.
        """
        most = int(self._degrees.max(initial=0))
        require_room(max(most, 1), float(np.abs(sent).max(initial=0.0)))
        return decode(self._over_neighbours(encode(sent)))

    def total(self, parts: NDArray[np.floating]) -> float:
        """The sum over the population of a number of each [agents], which everybody may learn.

        Raises:
            InputError: numbers whose sum could overflow.
        """
        require_room(parts.size, float(np.abs(parts).max(initial=0.0)))
        shares = self._split(encode(parts), self._servers.size)
        self.log.add(SHARE, np.arange(parts.size)[:, None], self._servers, WHOLE, shares)
        sums = shares.sum(axis=0, dtype=np.uint64)
        if self._noise is not None:
            sums[:1] += encode(self._rng.normal(0.0, self._noise.deviation, 1))
        self.log.add(MASKED, self._servers, ANALYST, WHOLE, sums)
        found = sums.sum(keepdims=True, dtype=np.uint64)
        self.log.add(REVEALED, ANALYST, ANALYST - 1, WHOLE, found)
        return float(decode(found)[0])

    def _lay(self, net: Network) -> None:
        self._count = net.count
        self._offsets, self._neighbours = (np.asarray(x, np.int64) for x in (net.offsets, net.neighbours))
        self._degrees = np.diff(self._offsets)

    @abstractmethod
    def _over_neighbours(self, words: Words) -> Words:
        """Sums of words [agents] over every agent's neighbours."""

    def _split(self, words: Words, parts: int) -> Words:
        """Shares [..., parts] of words [...]."""
        return split(words, parts, self._rng)


class NeighbourShares(Sums):
    """Shares among neighbours; three helpers or more pad sums over too few."""

    fewest = 3

    def _over_neighbours(self, words: Words) -> Words:
        found = np.zeros(self._count, np.uint64)
        for degree in np.unique(self._degrees[self._degrees > 0]):
            agents = np.flatnonzero(self._degrees == degree)
            parties = degree + (self._servers.size if degree < LEAST else 0)
            for block in np.array_split(agents, -(-agents.size * parties * degree // BLOCK)):
                found[block] = self._of_degree(words, block, int(degree))
        return found

    def _of_degree(self, words: Words, agents: NDArray[np.int64], degree: int) -> Words:
        """Sums of agents of so many neighbours."""
        senders = self._neighbours[self._offsets[agents][:, None] + np.arange(degree)]
        adders = senders
        if degree < LEAST:
            adders = np.concatenate(
                [senders, np.broadcast_to(self._servers, (agents.size, self._servers.size))], axis=1
            )
        shares = self._split(words[senders], adders.shape[1])  # [agents, senders, adders]
        self.log.add(SHARE, senders[:, :, None], adders[:, None, :], agents[:, None, None], shares)
        partial = shares.sum(axis=1, dtype=np.uint64)
        self.log.add(PARTIAL, adders, agents[:, None], agents[:, None], partial)
        return np.asarray(partial.sum(axis=1, dtype=np.uint64))


class HelperServers(Sums):
    """Two or three servers that know the ties and see one share of every number."""

    def _over_neighbours(self, words: Words) -> Words:
        everybody = np.arange(self._count)
        shares = self._split(words, self._servers.size)
        self.log.add(SHARE, everybody[:, None], self._servers, WHOLE, shares)
        found = np.zeros(self._count, np.uint64)
        for server, column in zip(self._servers, shares.T, strict=True):
            sums = self._along_ties(column)
            self.log.add(PARTIAL, server, everybody, everybody, sums)
            found += sums
        return found

    def _along_ties(self, words: Words) -> Words:
        """Sums over neighbours, each from the running sum along the table of ties; wrapping around is harmless."""
        running = np.concatenate([np.zeros(1, np.uint64), np.cumsum(words[self._neighbours], dtype=np.uint64)])
        return np.asarray(running[self._offsets[1:]] - running[self._offsets[:-1]])


def revealing(net: Network, sent: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Agents [agents] whose sum gives their neighbours away: none of them sends anything, or all of them do.

    Nothing in a protocol hides that. It is found from the open numbers: an analysis for the modeller, not a message.
    """
    offsets, neighbours = np.asarray(net.offsets, np.int64), np.asarray(net.neighbours)
    running = np.concatenate([[0], np.cumsum(np.asarray(sent)[neighbours] != 0)])
    senders, degrees = running[offsets[1:]] - running[offsets[:-1]], np.diff(offsets)
    return np.asarray((degrees > 0) & ((senders == 0) | (senders == degrees)))


PROTOCOLS: dict[str, type[Sums]] = {"shares": NeighbourShares, "servers": HelperServers}
