"""Disparity of behaviour in five dimensions (HABD, arXiv 2508.14415): scores of actors, distances of groups.

The paper names the dimensions; every formula here is ours. Disparity is not danger: there is no threshold above which
it would be bad, and the vector says more than the index.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoal.diagnosis.behaviour import Behaviour, Floats
from shoal.errors import InputError

DIMENSIONS = (
    "decision mechanism", "execution efficiency", "intention-behaviour consistency", "behavioural inertia",
    "irrational patterns",
)  # fmt: skip
"""D1 to D5."""
OPERATIONALISATION = "operationalisation: ours; the dimensions are those of arXiv 2508.14415"
SHARPEST = 50.0
"""Cap of the fitted b; an actor who always takes the best option has no finite one."""
LEAST_EVENTS = 30
"""Acts below which there is no verdict."""
SCORES = ("b", "middle", "spread", "c", "i", "q")
PARTS = {
    DIMENSIONS[0]: ("b",), DIMENSIONS[1]: ("middle", "spread"), DIMENSIONS[2]: ("c",), DIMENSIONS[3]: ("i",),
    DIMENSIONS[4]: ("q",),
}  # fmt: skip
"""The scores that each dimension rests on."""
TOLERANCE = 1e-4
_STEPS = 40


@dataclass(frozen=True)
class Scores:
    """Raw scores of actors [actors each]; nan where they cannot be measured.

    Attributes:
        b: sharpness of choice, P(a) ~ exp(b * payoff).
        identifiable: whether b could be fitted: pay-offs are known and not every choice was the best one.
        middle: median of the log intervals between acts.
        spread: their interquartile range.
        c: share of declared steps carried out in order.
        i: how often the last action is repeated though a better option is visible.
        q: violations over paired probes.
    """

    b: Floats
    identifiable: NDArray[np.bool_]
    middle: Floats
    spread: Floats
    c: Floats
    i: Floats
    q: Floats

    def table(self, names: tuple[str, ...] = SCORES) -> Floats:
        """Scores as columns [actors, names]; b on a logarithmic scale, where its error is even."""
        columns = [np.log1p(self.b) if name == "b" else getattr(self, name) for name in names]
        return np.stack(columns, axis=1)


def scores(actors: Behaviour) -> Scores:
    """The raw scores of every actor."""
    b, identifiable = sharpness(actors.payoffs, actors.chosen)
    quartiles = _quantiles(actors.gaps, (0.25, 0.5, 0.75))
    return Scores(
        b, identifiable, quartiles[1], quartiles[2] - quartiles[0], _mean(actors.carried), _mean(actors.stayed),
        _mean(actors.violated),
    )  # fmt: skip


def sharpness(payoffs: Floats, chosen: NDArray[np.int64]) -> tuple[Floats, NDArray[np.bool_]]:
    """Maximum likelihood of b >= 0 in P(a) ~ exp(b * payoff_a), capped at SHARPEST.

    Args:
        payoffs: [actors, choices, options], nan for options that are not there.
        chosen: option taken [actors, choices], -1 for none.

    Returns:
        b [actors], nan where there is no choice with known pay-offs, and whether it is identifiable [actors].
    """
    known = (chosen >= 0) & (np.isfinite(payoffs).sum(axis=2) > 1)
    worth = np.where(np.isfinite(payoffs), payoffs, -np.inf)
    taken = np.take_along_axis(payoffs, np.maximum(chosen, 0)[..., None], axis=2)[..., 0]
    known &= np.isfinite(taken)
    best = np.where(known, worth.max(axis=2, initial=-np.inf), 0.0)
    taken = np.where(known, taken, 0.0)
    there = np.isfinite(payoffs) & known[..., None]
    centred = np.where(there, worth - best[..., None], 0.0).astype(np.float32)
    observed = (taken - best).sum(axis=1)
    b, low, high = np.ones(len(payoffs)), np.zeros(len(payoffs)), np.full(len(payoffs), SHARPEST)
    for _ in range(_STEPS):  # Newton's method, inside the interval in which the falling score changes its sign
        weight = np.exp(b[:, None, None].astype(np.float32) * centred) * there
        total = np.maximum(weight.sum(axis=2), 1e-30)
        first = (weight * centred).sum(axis=2) / total
        second = (weight * centred**2).sum(axis=2) / total
        score, information = observed - first.sum(axis=1), (second - first**2).sum(axis=1)
        low, high = np.where(score > 0, b, low), np.where(score > 0, high, b)
        new = b + score / np.maximum(information, 1e-9)
        new = np.where((new > low) & (new < high), new, (low + high) / 2)
        moved, b = np.abs(new - b).max(initial=0.0), new
        if moved < TOLERANCE:
            break
    some = known.any(axis=1)
    differs = (centred < 0).any(axis=(1, 2))
    identifiable = some & differs & (observed < 0)
    b = np.where(identifiable, b, np.where(some & differs, SHARPEST, np.nan))
    return b, identifiable


@dataclass(frozen=True)
class Disparity:
    """How far two groups are apart.

    Attributes:
        distances: by dimension, in [0, 1]; nan where it cannot be measured.
        index: square root of the weighted mean of their squares, over those measured.
        measured: how many of the five.
        low: 2.5% of the index over bootstrap samples of the acts.
        high: 97.5%.
        verdict: "measured", or why there is none.
        note: whose formulas these are.
    """

    distances: dict[str, float]
    index: float
    measured: int
    low: float
    high: float
    verdict: str
    note: str = OPERATIONALISATION


def disparity(group: Behaviour, reference: Behaviour, resamples: int = 100, seed: int = 0) -> Disparity:
    """Distances of a group of actors from a reference group.

    Dimensions that cannot be measured in both are left out and the weights renormed.

    Raises:
        InputError: a group is empty.
    """
    for name, actors in (("group", group), ("reference", reference)):
        if not len(actors):
            raise InputError(name, 0, "Give at least one actor.")
    found = distances(group, reference)
    rng = np.random.default_rng(seed)
    drawn = [index_of(distances(group.resampled(rng), reference.resampled(rng))) for _ in range(resamples)]
    low, high = np.nanquantile(drawn, [0.025, 0.975]) if np.isfinite(drawn).any() else (np.nan, np.nan)
    fewest = min(int(group.events.sum()), int(reference.events.sum()))
    verdict = "measured" if fewest >= LEAST_EVENTS else f"no verdict: {fewest} acts, {LEAST_EVENTS} are needed"
    measured = int(np.isfinite(list(found.values())).sum())
    return Disparity(found, index_of(found), measured, float(low), float(high), verdict)


def distances(group: Behaviour, reference: Behaviour) -> dict[str, float]:
    """The five distances; nan where they cannot be measured."""
    one, two = scores(group), scores(reference)
    b = [_known_mean(s.b) for s in (one, two)]
    apart = abs(b[0] - b[1]) / (b[0] + b[1]) if sum(b) > 0 else (0.0 if sum(b) == 0 else np.nan)
    rest = (abs(_known_mean(getattr(one, n)) - _known_mean(getattr(two, n))) for n in ("c", "i", "q"))
    found = (apart, _kolmogorov(group.gaps, reference.gaps), *rest)
    return {name: float(value) for name, value in zip(DIMENSIONS, found, strict=True)}


def index_of(found: dict[str, float], weights: dict[str, float] | None = None) -> float:
    """sqrt(sum w d^2) over the dimensions that were measured, their weights (1/5 each) normed to 1; nan without any."""
    known = {name: d for name, d in found.items() if np.isfinite(d)}
    if not known:
        return float("nan")
    weight = np.array([1.0 if weights is None else weights[name] for name in known])
    return float(np.sqrt((weight * np.array(list(known.values())) ** 2).sum() / weight.sum()))


def _kolmogorov(one: Floats, two: Floats) -> float:
    from scipy.stats import ks_2samp

    a, b = one[np.isfinite(one)], two[np.isfinite(two)]
    return float(ks_2samp(a, b).statistic) if a.size and b.size else float("nan")


def _mean(values: Floats) -> Floats:
    """Mean of each row's known values; nan where there are none."""
    known = np.isfinite(values)
    total = np.where(known, values, 0).sum(axis=1)
    return np.where(known.any(axis=1), total / np.maximum(known.sum(axis=1), 1), np.nan)


def _known_mean(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")


def _quantiles(values: Floats, levels: tuple[float, ...]) -> Floats:
    """Quantiles of each row's known values [levels, rows]; nan where there are none."""
    ordered = np.sort(values, axis=1)  # nan last
    count = np.isfinite(values).sum(axis=1)
    found = np.full((len(levels), len(values)), np.nan)
    if not values.shape[1]:
        return found
    for k, level in enumerate(levels):
        place = level * np.maximum(count - 1, 0)
        low = np.floor(place).astype(int)
        high = np.minimum(low + 1, np.maximum(count - 1, 0))
        row = np.arange(len(values))
        value = ordered[row, low] + (place - low) * (ordered[row, high] - ordered[row, low])
        found[k] = np.where(count > 0, value, np.nan)
    return found
