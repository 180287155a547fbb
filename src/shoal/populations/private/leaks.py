"""Does a party's view tell two states of the world apart? A chi-square test on everything that it received.

The network is laid out many times side by side, so that one run of a protocol gives as many independent views. Words
are sorted into bins by their highest bits, their units' and their lowest, alone and in pairs of messages; for each the
two worlds' counts are compared (chi-square test of homogeneity). The smallest p is corrected for the number of tests
(Bonferroni).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.errors import InputError
from shoal.populations.networks import Network, network
from shoal.populations.private.messages import MessageLog
from shoal.populations.private.ring import FRACTION_BITS, Words
from shoal.populations.private.sums import Sums
from shoal.runs.seeds import generator

BITS, PAIR_BITS = 4, 3
"""Bits of a word that make its bin, alone and in a pair."""
PLACES = (-1, FRACTION_BITS, 0)
"""Where these bits are: at the upper end of the word, from the units on, and at the lower end."""

Protocol = Callable[..., Sums]


@dataclass(frozen=True)
class LeakTest:
    """What a party's view tells.

    Attributes:
        p: smallest p-value, corrected for the number of tests.
        tests: how many.
        messages: words in one view.
    """

    p: float
    tests: int
    messages: int


def leak_test(
    net: Network, one: ArrayLike, two: ArrayLike, party: int, protocol: Protocol, repeats: int = 4000, seed: int = 0
) -> LeakTest:
    """Compare a party's views of one neighbour sum under two assignments.

    Args:
        net: of a few agents.
        one: what each sends [agents].
        two: what each sends in the other world [agents]; the party's own number and what it hears must be the same.
        party: whose view it is: an agent, or a helper server (-1, -2, ...).
        protocol: a class of sums, or what makes one from a network, a generator and a ``log``.
        repeats: views of each world.
        seed: of the shares.

    Raises:
        InputError: worlds that the party may tell apart by what it knows and hears anyhow.
    """
    worlds = [np.asarray(x, float) for x in (one, two)]
    if party >= 0:
        neighbours = np.asarray(net.neighbours[net.offsets[party] : net.offsets[party + 1]])
        known = [(world[party], world[neighbours].sum()) for world in worlds]
        if known[0] != known[1]:
            mend = "Give assignments in which its own number and its neighbours' sum are the same."
            raise InputError(f"worlds of party {party}", known, mend)
    views = [
        _views(net, world, party, protocol, repeats, generator(seed, "leak", number))
        for number, world in enumerate(worlds)
    ]
    p_values = list(_p_values(*views))
    return LeakTest(min(1.0, min(p_values) * len(p_values)), len(p_values), views[0].shape[1])


def side_by_side(net: Network, copies: int) -> Network:
    """That many copies of a network, none tied to another; agent a of copy c is c x agents + a."""
    first = np.repeat(np.arange(net.count), np.asarray(net.degrees))
    shift = net.count * np.arange(copies)[:, None]
    return network(net.count * copies, (first + shift).ravel(), (np.asarray(net.neighbours) + shift).ravel())


def _views(
    net: Network, world: NDArray[np.float64], party: int, protocol: Protocol, repeats: int, rng: np.random.Generator
) -> Words:
    """Words that the party receives [repeats, messages]."""
    log = MessageLog((net.count * np.arange(repeats) + party) if party >= 0 else [party])
    protocol(side_by_side(net, repeats), rng, log=log).heard(np.tile(world, repeats))
    kept = log.frame()
    # A server's messages are known by who sends them where they are about nobody.
    about, sender, receiver = (kept[name].to_numpy() for name in ("about", "sender", "receiver"))
    of = np.where(about >= 0, about, sender) if party < 0 else receiver
    order = np.argsort(of // net.count, kind="stable")
    return np.asarray(kept["word"].to_numpy()[order].reshape(repeats, -1), np.uint64)


def _p_values(one: Words, two: Words) -> Iterator[float]:
    for place in PLACES:
        bins = [_bins(view, BITS, place) for view in (one, two)]
        for message in range(one.shape[1]):
            yield _homogeneity(bins[0][:, message], bins[1][:, message], 2**BITS)
        bins = [_bins(view, PAIR_BITS, place) for view in (one, two)]
        for a, b in combinations(range(one.shape[1]), 2):
            cells = [view[:, a] * 2**PAIR_BITS + view[:, b] for view in bins]
            yield _homogeneity(cells[0], cells[1], 4**PAIR_BITS)


def _bins(words: Words, bits: int, place: int) -> NDArray[np.int64]:
    shift = np.uint64(64 - bits if place < 0 else place)
    return ((words >> shift) & np.uint64(2**bits - 1)).astype(np.int64)


def _homogeneity(one: NDArray[np.int64], two: NDArray[np.int64], cells: int) -> float:
    from scipy.stats import chi2_contingency

    counts = np.stack([np.bincount(x, minlength=cells) for x in (one, two)])
    counts = counts[:, counts.sum(0) > 0]
    return float(chi2_contingency(counts).pvalue) if counts.shape[1] > 1 else 1.0
