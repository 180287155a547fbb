"""Cascades with a known law, over a known graph: what the models of diffusion are tried on.

``hazard_cascades``: every agent adopts at rate base * exp(theta * k), k being how many of those it hears have adopted;
exact in continuous time. ``contact_cascades``: each exposure has one chance h1 * k^-s, k being its number.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.diagnosis.forum.cascades import Cascades, cascades_of

HOUR = 3600.0
CHUNK = 20_000_000
"""Cells (cascades x agents) that are held at a time."""
MOST_COUNTED = 255


def contact_lists(count: int, mean: float, rng: np.random.Generator, popularity: float = 1.0) -> Any:
    """Whom each agent hears, as a sparse graph [agents, agents]: rows of hearers.

    Args:
        count: agents.
        mean: contacts of an agent on average (geometric, at least 1).
        rng: draws them.
        popularity: exponent of the contacts' popularity; 0 for all alike, 1 for attention that is strongly unequal.
    """
    from shoal.diagnosis.forum.interactions import graph_of

    degree = rng.geometric(1 / max(mean, 1.0), count)
    weight = rng.permutation((np.arange(count) + 10.0) ** (-0.6 * popularity))
    chosen = np.searchsorted(np.cumsum(weight) / weight.sum(), rng.random(degree.sum()))
    hearer = np.repeat(np.arange(count), degree)
    chosen = np.minimum(chosen, count - 1)
    keep = hearer != chosen
    graph = graph_of(count, hearer[keep], chosen[keep])
    graph.data[:] = 1
    return graph


def hazard_cascades(
    heard: Any, cascades: int, theta: float, rng: np.random.Generator, base: float = 1e-3, adopters: int = 100
) -> Cascades:
    """Cascades in which each agent adopts at rate ``base * exp(theta * k)`` an hour.

    Args:
        heard: rows of hearers.
        cascades: how many; they do not touch each other.
        theta: log hazard ratio of one more exposure.
        rng: draws seeds, times and adopters.
        base: rate without exposure, an hour.
        adopters: each cascade is watched until it has so many, the seed counted.
    """
    count = heard.shape[0]
    followers = heard.T.toarray().astype(np.float32)
    row = np.arange(cascades)
    open_rate = np.full((cascades, count), base)
    chosen, now = rng.integers(count, size=cascades), np.zeros(cascades)
    agents, times = np.empty((adopters, cascades), np.int64), np.empty((adopters, cascades))
    for number in range(adopters):
        agents[number], times[number] = chosen, now
        open_rate *= np.exp(theta * followers[chosen])
        open_rate[row, chosen] = 0.0
        running = np.cumsum(open_rate, axis=1)
        now = now + rng.exponential(size=cascades) / running[:, -1]
        aim = rng.random(cascades) * running[:, -1]
        chosen = np.minimum((running <= aim[:, None]).sum(axis=1), count - 1)
    names = tuple(f"cascade {i}" for i in range(cascades))
    return cascades_of(
        np.tile(row, adopters), agents.ravel(), times.ravel() * HOUR, names, ("planted",) * cascades
    )  # fmt: skip


def contact_cascades(
    heard: Any, seeds: NDArray[np.int64], rng: np.random.Generator, chance: float = 0.08, saturation: float = 0.0,
    ticks: int = 200, begin: NDArray[np.float64] | None = None,
) -> Cascades:  # fmt: skip
    """Cascades in which the k-th exposure makes an agent adopt with chance ``chance * k ** -saturation``.

    Args:
        heard: rows of hearers.
        seeds: first adopter of each cascade [cascades].
        rng: draws the rest.
        chance: h1, of a first exposure.
        saturation: s; 0 for simple contagion.
        ticks: hours that each cascade is followed; who is moved adopts in the hour after the exposure.
        begin: time of each seed in seconds [cascades]; 0 without it.
    """
    followers = heard.T.tocsr()
    width = max(1, CHUNK // heard.shape[0])
    found = [
        _contacts(followers, seeds[i : i + width], rng, chance, saturation, ticks) for i in range(0, len(seeds), width)
    ]
    cascade = np.concatenate([c + i * width for i, (c, _, _) in enumerate(found)])
    agent, tick = (np.concatenate([f[k] for f in found]) for k in (1, 2))
    time = tick * HOUR + (begin[cascade] if begin is not None else 0.0)
    names = tuple(f"cascade {i}" for i in range(len(seeds)))
    return cascades_of(cascade, agent, time, names, ("planted",) * len(seeds))


def _contacts(
    followers: Any, seeds: NDArray[np.int64], rng: np.random.Generator, chance: float, saturation: float, ticks: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Cascade, agent and tick of each adoption; every tick costs what its newest adopters' followers cost."""
    count = followers.shape[0]
    exposures = np.zeros(len(seeds) * count, np.uint8)
    adopted = np.zeros(len(seeds) * count, bool)
    stays = np.r_[1.0, 1 - chance * np.arange(1.0, MOST_COUNTED + 1) ** -saturation]
    kept = np.cumprod(stays)
    new = np.arange(len(seeds)) * count + seeds
    adopted[new] = True
    found, when = [new], [np.zeros(len(new), np.int64)]
    for tick in range(1, ticks):
        who = new % count
        degree = np.diff(followers.indptr)[who]
        start = np.repeat(followers.indptr[who].astype(np.int64), degree)
        place = start + np.arange(degree.sum()) - np.repeat(np.cumsum(degree) - degree, degree)
        key, times = np.unique(np.repeat(new - who, degree) + followers.indices[place], return_counts=True)
        before = exposures[key].astype(np.int64)
        after = np.minimum(before + times, MOST_COUNTED)
        exposures[key] = after
        moved = ~adopted[key] & (rng.random(len(key)) >= kept[after] / kept[before])
        new = key[moved]
        if not len(new):
            break
        adopted[new] = True
        found.append(new)
        when.append(np.full(len(new), tick))
    keys = np.concatenate(found)
    return keys // count, keys % count, np.concatenate(when)
