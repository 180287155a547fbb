"""Fitting beta and delta to observed runs by maximum likelihood, with intervals from resampled runs.

The paper names no method. Each agent and round is one observation: an infected agent mends with chance delta, another
one with k infected in-neighbours adopts with chance 1 - (1 - beta)^k (or 1 - exp(-beta k)). Counts of both by k are
all that the likelihood needs, so resampling runs is resampling tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.diagnosis.contagion.graphs import message_graph
from shoal.diagnosis.contagion.spread import Form
from shoal.errors import InputError
from shoal.stats import Estimate

GRID = 400
RESAMPLES = 500


@dataclass(frozen=True, slots=True)
class Fitted:
    """Estimates with 95% intervals; NaN where nothing was observed that tells.

    Attributes:
        beta: chance of passing on.
        delta: chance of mending.
        exposures: rounds in which an agent could have adopted from somebody.
        infected: rounds in which an agent could have mended.
    """

    beta: Estimate
    delta: Estimate
    exposures: int
    infected: int


def fit(adjacency: Any, states: ArrayLike, rng: np.random.Generator, form: Form = "product") -> Fitted:
    """Estimate beta and delta.

    Args:
        adjacency: [n, n], row i holds i's in-neighbours.
        states: who used the falsehood when [runs, rounds + 1, n], 0 or 1.
        rng: source of the bootstrap over runs.
        form: how exposures add up.

    Raises:
        InputError: the states do not fit the graph.
    """
    graph = message_graph(adjacency)
    seen = np.asarray(states, bool)
    if seen.ndim != 3 or seen.shape[1] < 2 or seen.shape[2] != graph.shape[0]:
        raise InputError(
            "states", seen.shape, f"Give [runs, rounds + 1, {graph.shape[0]}], at least one run and round."
        )
    exposed, adopted, infected, mended = _counts(graph, seen)
    picks = rng.integers(0, len(seen), (RESAMPLES, len(seen)))
    weights = np.stack([np.bincount(row, minlength=len(seen)) for row in picks]).astype(float)
    weights = np.concatenate([np.ones((1, len(seen))), weights])  # the first row is the sample itself
    betas = _likeliest(weights @ exposed, weights @ adopted, form)
    with np.errstate(invalid="ignore"):
        deltas = (weights @ mended) / (weights @ infected)
    return Fitted(
        _interval(betas, len(seen)), _interval(deltas, len(seen)), int(exposed[:, 1:].sum()), int(infected.sum())
    )  # fmt: skip


def _counts(graph: Any, seen: NDArray[np.bool_]) -> tuple[NDArray[np.float64], ...]:
    """Per run: exposures and adoptions by number of infected neighbours [runs, k], infected and mended [runs]."""
    before, after = seen[:, :-1], seen[:, 1:]
    runs, _, agents = before.shape
    table = graph.astype(np.int64)
    neighbours = (table @ before.reshape(-1, agents).T.astype(np.int64)).T.reshape(before.shape)
    most = int(neighbours.max(initial=0)) + 1
    run = np.broadcast_to(np.arange(runs)[:, None, None], before.shape)

    def by_count(which: NDArray[np.bool_]) -> NDArray[np.float64]:
        flat = run[which] * most + neighbours[which]
        return np.bincount(flat, minlength=runs * most).reshape(runs, most).astype(float)

    return (
        by_count(~before),
        by_count(~before & after),
        before.sum(axis=(1, 2)).astype(float),
        (before & ~after).sum(axis=(1, 2)).astype(float),
    )


def _likeliest(exposed: NDArray[np.float64], adopted: NDArray[np.float64], form: Form) -> NDArray[np.float64]:
    """Beta of greatest likelihood for each row of counts [rows, k]: a grid, then Newton steps inside its cell."""
    count = np.arange(exposed.shape[1])[1:]
    hit, missed = adopted[:, 1:], (exposed - adopted)[:, 1:]
    grid = (np.arange(GRID) + 0.5) / GRID
    rates = -np.log1p(-grid) if form == "product" else grid  # in both forms adoption is 1 - exp(-rate k)
    with np.errstate(divide="ignore"):
        likelihood = hit @ np.log(-np.expm1(-np.outer(count, rates))) - (missed @ count)[:, None] * rates
    rate = rates[np.argmax(likelihood, axis=1)]
    for _ in range(30):
        odds = np.expm1(np.outer(rate, count))
        slope = (hit * count / odds).sum(axis=1) - missed @ count
        bend = -(hit * count**2 * (odds + 1) / odds**2).sum(axis=1)
        step = np.divide(slope, bend, out=np.zeros_like(slope), where=bend < 0)
        rate = np.clip(rate - step, rate / 4, rate * 4 + 1e-12)
    beta = -np.expm1(-rate) if form == "product" else np.minimum(rate, 1.0)
    beta = np.where(hit.sum(axis=1) == 0, 0.0, np.where((missed @ count) == 0, 1.0, beta))
    return np.where(exposed[:, 1:].sum(axis=1) == 0, np.nan, beta)


def _interval(values: NDArray[np.float64], runs: int) -> Estimate:
    """The first value with the interval of the others."""
    spread = values[1:][np.isfinite(values[1:])]
    low, high = np.quantile(spread, [0.025, 0.975]) if spread.size else (-np.inf, np.inf)
    return Estimate(float(values[0]), float(low), float(high), runs, method="bootstrap over runs")
