"""The law of sizes: a discrete power law above the smallest size at which it holds, and what else would fit as well.

Clauset, Shalizi and Newman (2009): the exponent by the exact zeta likelihood, x_min by the smallest Kolmogorov-Smirnov
distance, a bootstrap of that distance, likelihood ratios against log-normal, exponential and truncated power law (by
the package powerlaw). The original's closed form, good from x_min = 6 on, stands beside it.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.errors import InputError

LEAST = 50
"""Sizes that a tail needs; with fewer there is no exponent."""
CANDIDATES = 40
ALTERNATIVES = ("lognormal", "exponential", "truncated_power_law")
PLAUSIBLE = 0.1
"""A fit whose bootstrap p-value is smaller is rejected; likelihood ratios count from the same level."""
_BOUNDS = {"alpha": [1.0, 12.0]}
"""Of the package's exponents; its own stop at 3."""
SPAN = 10.0
"""A power law is only spoken of where the largest size of the tail is so many times x_min (a decade)."""
COVER = 0.1
"""And where the tail holds such a share of all sizes: the far end of nearly anything looks like a power law."""


@dataclass(frozen=True)
class SizeLaw:
    """A fitted tail.

    Attributes:
        alpha: exponent by the exact likelihood; None with fewer than LEAST sizes in the tail.
        error: its standard error.
        closed_form: exponent by the paper's formula.
        x_min: least size of the tail.
        tail: sizes in the tail.
        sizes: sizes in all.
        distance: Kolmogorov-Smirnov distance of the tail.
        p: share of samples from the fitted law that lie further from their own fit; None if not asked for.
        ratios: by alternative: normalised log-likelihood ratio (above 0 for the power law) and its p-value.
        span: largest size over x_min.
    """

    alpha: float | None
    error: float
    closed_form: float
    x_min: int
    tail: int
    sizes: int
    distance: float
    p: float | None = None
    ratios: dict[str, tuple[float, float]] = field(default_factory=dict)
    span: float = 1.0

    @property
    def verdict(self) -> str:
        """One of "power law", "not a power law", "undecided" and "too few sizes"."""
        if self.alpha is None:
            return "too few sizes"
        worse = any(ratio < 0 and p < PLAUSIBLE for ratio, p in self.ratios.values())
        if worse or (self.p is not None and self.p < PLAUSIBLE):
            return "not a power law"
        wide = self.span >= SPAN and self.tail >= COVER * self.sizes
        return "power law" if self.p is not None and wide else "undecided"


def size_law(
    sizes: ArrayLike, x_min: int | None = None, resamples: int = 0, rng: np.random.Generator | None = None,
    compare: bool = True,
) -> SizeLaw:  # fmt: skip
    """Fit the tail of sizes.

    Args:
        sizes: positive whole numbers [n].
        x_min: least size of the tail; by default the one whose fit is nearest.
        resamples: samples of the bootstrap; 0 for none. 100 tell p to 0.05, 2,500 to 0.01.
        rng: draws them.
        compare: also fit the alternatives.

    Raises:
        InputError: a size is not a positive whole number.
    """
    x = np.asarray(sizes)
    if x.ndim != 1 or (x.size and ((x < 1).any() or (x != np.round(x)).any())):
        raise InputError("sizes", x.tolist()[:5], "Give positive whole numbers.")
    x = np.sort(x.astype(np.int64))
    chosen = _fit(x, x_min)
    if chosen is None:
        return SizeLaw(None, float("nan"), float("nan"), x_min or 0, 0, x.size, float("nan"))
    alpha, least, distance = chosen
    tail = x[x >= least]
    p = None
    if resamples:
        rng = np.random.default_rng(0) if rng is None else rng
        further = [_resampled_distance(x, alpha, least, x_min, rng) >= distance for _ in range(resamples)]
        p = float(np.mean(further))
    ratios = _ratios(tail, least) if compare else {}
    return SizeLaw(
        alpha, _error(alpha, least, tail.size), closed_form(tail, least), least, tail.size, x.size, distance, p,
        ratios, float(x[-1] / least),
    )  # fmt: skip


def closed_form(tail: ArrayLike, x_min: int) -> float:
    """The paper's estimate, 1 + n / sum log(x / (x_min - 1/2))."""
    x = np.asarray(tail, float)
    return float(1 + x.size / np.log(x / (x_min - 0.5)).sum())


def draw_zeta(alpha: float, x_min: int, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Sizes from the discrete power law with that exponent from x_min on [count], by inversion."""
    from scipy.special import zeta

    u = 1 - rng.random(count)
    high = np.full(count, 2 * x_min, np.float64)
    whole = zeta(alpha, x_min)
    while (open_ := zeta(alpha, high) / whole > u).any():
        high[open_] *= 2
    low = np.maximum(np.where(high > 2 * x_min, high / 2, x_min), x_min)
    while (wide := high - low > 1).any():
        middle = np.floor((low + high) / 2)
        above = zeta(alpha, middle) / whole > u
        low, high = np.where(wide & above, middle, low), np.where(wide & ~above, middle, high)
    return low.astype(np.int64)


def _fit(x: NDArray[np.int64], x_min: int | None) -> tuple[float, int, float] | None:
    """Exponent, x_min and distance of the nearest fit; None where no tail is long enough."""
    values, first, counts = np.unique(x, return_index=True, return_counts=True)
    able = values[x.size - first >= LEAST]
    if x_min is not None:
        able = np.array([x_min]) if (x >= x_min).sum() >= LEAST else able[:0]
        values, counts = np.r_[x_min, values[values > x_min]], np.r_[(x == x_min).sum(), counts[values > x_min]]
    if not able.size:
        return None
    if able.size > CANDIDATES:
        able = np.unique(able[np.geomspace(1, able.size, CANDIDATES).astype(int) - 1])
    logs = np.r_[0.0, np.cumsum(np.log(x[::-1]))]
    place = np.searchsorted(x, able)
    count = x.size - place
    alphas = _exponents(able, count, logs[count])
    begins = np.searchsorted(values, able)
    distances = [_distance(values[i:], counts[i:], float(a)) for i, a in zip(begins, alphas, strict=True)]
    best = int(np.argmin(distances))
    return float(alphas[best]), int(able[best]), distances[best]


def _exponents(least: NDArray[np.int64], count: NDArray[np.int64], logs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Exponents [candidates] at the maxima of -n log zeta(a, x_min) - a sum log x, by golden section on all at once."""
    from scipy.special import zeta

    def loss(a: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.log(zeta(a, least)) + a * logs / count)

    ratio = (5**0.5 - 1) / 2
    low, high = np.full(least.size, 1.0 + 1e-6), np.full(least.size, 12.0)
    one, two = high - ratio * (high - low), low + ratio * (high - low)
    for _ in range(36):
        left = loss(one) < loss(two)
        high, low = np.where(left, two, high), np.where(left, low, one)
        one, two = high - ratio * (high - low), low + ratio * (high - low)
    return np.asarray((low + high) / 2)


def _distance(values: NDArray[np.int64], counts: NDArray[np.int64], alpha: float) -> float:
    """Kolmogorov-Smirnov distance of a tail, given by its distinct values, to the power law from its first on."""
    from scipy.special import zeta

    model = 1 - zeta(alpha, values + 1.0) / zeta(alpha, values[0])
    return float(np.abs(np.cumsum(counts) / counts.sum() - model).max())


def _error(alpha: float, least: int, count: int) -> float:
    """Standard error from the curvature of the exact likelihood."""
    from scipy.special import zeta

    step = 1e-3
    near = np.log(zeta(np.array([alpha - step, alpha, alpha + step]), least))
    return float(1 / np.sqrt(count * max(near[0] - 2 * near[1] + near[2], 1e-15) / step**2))


def _resampled_distance(
    x: NDArray[np.int64], alpha: float, least: int, x_min: int | None, rng: np.random.Generator
) -> float:
    """Distance of a sample that follows the fit above x_min and the data below it, to its own fit."""
    body = x[x < least]
    above = int(rng.binomial(x.size, 1 - body.size / x.size))
    drawn = [draw_zeta(alpha, least, above, rng)]
    if body.size:
        drawn.append(rng.choice(body, x.size - above))
    found = _fit(np.sort(np.concatenate(drawn)), x_min)
    return found[2] if found is not None else 0.0


def _ratios(tail: NDArray[np.int64], least: int) -> dict[str, tuple[float, float]]:
    import powerlaw

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = powerlaw.Fit(tail, discrete=True, xmin=least, verbose=False, parameter_ranges=_BOUNDS)
        found = {}
        for name in ALTERNATIVES:
            nested = name == "truncated_power_law"
            ratio, p = fit.distribution_compare("power_law", name, nested=nested, normalized_ratio=not nested)
            found[name] = float(ratio), float(p)
    return found
