"""How far data pin parameters down: loss surfaces, and intervals that say which parameters they leave open.

Intervals are a bootstrap over simulation keys: runs at the best values play the data, each is fitted in its turn, and
the spread of these fits is what luck alone makes of an estimate. Where the model is farther from the data than from
its own runs, the spread is widened by the root of the ratio. Nothing is searched again for it: mean curves between
simulated points are interpolated, in a box of parameters that is narrowed in waves to where the fits lie (after history
matching: Vernon, Goldstein and Bower 2010). A calibration that gives a posterior has its intervals already:
they are its quantiles.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray
from numpy.typing import NDArray

from shoal.errors import InputError, UnknownName
from shoal.populations.calibration import Calibration
from shoal.populations.objective import Objective
from shoal.populations.parametrisation import FreeParameters
from shoal.populations.posterior import Posterior
from shoal.runs.seeds import derive
from shoal.stats.estimates import LEVEL

Vector = NDArray[np.float64]
MOST = 6
"""More free numbers than that need more points than are worth it."""
CANDIDATES = 2048
"""Points of a box at which curves are interpolated."""
MARGIN = 0.25
"""A box reaches that far beyond the fits, in widths of their spread."""
SMOOTHING = 1e-3
"""Of the interpolation: the points' own luck is not followed."""
OPEN = 0.5
"""A parameter whose interval covers that share of its range is poorly identifiable."""
TRADED = 0.9
"""So are two whose plausible values correlate at least so strongly."""


@dataclass(frozen=True)
class Surface:
    """Loss over two parameters, all others at their best.

    Attributes:
        names: the two.
        first: values of the first [size].
        second: values of the second [size].
        loss: mean loss [first, second].
        logs: which of the two lie on a logarithmic scale.
    """

    names: tuple[str, str]
    first: Vector
    second: Vector
    loss: Vector
    logs: tuple[bool, bool] = (False, False)


@dataclass(frozen=True)
class Interval:
    """A fitted number and how far the data pin it down.

    Attributes:
        name: of the parameter, with its period if it has several.
        value: the best; of a posterior the mean.
        low: least plausible value.
        high: greatest plausible value.
        covers: share of the range that the interval takes (on the range's scale).
        partner: parameter that it is traded off against, if there is one.
        correlation: of their plausible values.
    """

    name: str
    value: float
    low: float
    high: float
    covers: float
    partner: str | None = None
    correlation: float = 0.0

    @property
    def poor(self) -> bool:
        """Whether the data leave it open."""
        return self.covers >= OPEN or self.partner is not None

    @property
    def note(self) -> str:
        """Why, in a few words; empty if it is well identified."""
        reasons = [f"covers {self.covers:.0%} of its range"] if self.covers >= OPEN else []
        if self.partner is not None:
            reasons.append(f"traded off against {self.partner} (correlation {self.correlation:.2f})")
        return "poorly identifiable: " + ", ".join(reasons) if reasons else ""


def labels(fit: Calibration) -> tuple[str, ...]:
    """Names of the numbers that surfaces and intervals can be made for; none of a function."""
    return fit.objective.free.labels if isinstance(fit.objective.free, FreeParameters) else ()


def loss_surface(
    fit: Calibration,
    first: str,
    second: str,
    size: int = 9,
    seeds: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> Surface:
    """Loss on a grid over the ranges of two free numbers; size x size x seeds runs, the same keys at every point.

    Raises:
        InputError, UnknownName: the same one twice, one that is not free, or a fit of something else than free numbers.
    """
    free, problem = _free(fit), fit.objective
    for name in (first, second):
        if name not in free.labels:
            raise UnknownName("surface parameter", name, free.labels)
    if first == second:
        raise InputError("surface parameters", first, "Give two different ones.")
    if size < 2:
        raise InputError("surface size", size, "Use at least 2.")
    a, b = free.labels.index(first), free.labels.index(second)
    keys, ticks = _keys("surface", 0, seeds), np.linspace(0, 1, size)
    centre = free.shares(fit.values)
    loss = np.empty((size, size))
    for i, j in np.ndindex(size, size):
        point = centre.copy()
        point[a], point[b] = ticks[i], ticks[j]
        loss[i, j] = problem.distance(problem.curves(free.at_shares(jnp.asarray(point, jnp.float32)), keys)).mean()
        if progress is not None:
            progress(i * size + j + 1, size * size)
    ranges = free.ranges
    axes = [np.asarray(ranges[k].at(ticks), float) for k in (a, b)]
    return Surface((first, second), axes[0], axes[1], loss, (ranges[a].log, ranges[b].log))


def intervals(
    fit: Calibration,
    points: int = 32,
    waves: int = 4,
    seeds: int = 2,
    replicates: int = 48,
    level: float = LEVEL,
    progress: Callable[[int, int], None] | None = None,
) -> list[Interval]:
    """Intervals of all free numbers; waves x points x seeds + replicates runs, none where there is a posterior.

    Args:
        fit: a calibration of free parameters.
        points: simulated in each wave.
        waves: how often the box is narrowed.
        seeds: runs at each point.
        replicates: runs at the best values that play the data.
        level: coverage.
        progress: called with points simulated and their number.

    Raises:
        InputError: more than MOST free numbers, too few points, or a fit of something else than free numbers.
    """
    free, problem = _free(fit), fit.objective
    if fit.posterior is not None:
        return _read(free, fit.posterior, level)
    size = len(free.labels)
    if size > MOST:
        raise InputError("intervals of", size, f"Free at most {MOST} numbers, and fix the others.")
    if points < 4 * size or waves < 1 or seeds < 1 or replicates < 10:
        mend = f"Use at least {4 * size} points for {size} free numbers, 1 wave, 1 seed and 10 replicates."
        raise InputError("interval points, waves, seeds, replicates", (points, waves, seeds, replicates), mend)
    best = free.shares(fit.values)
    played = np.concatenate([problem.curves(fit.values, _keys("replicates", 0, replicates)), problem.observed[None]])
    low, high = np.zeros(size), np.ones(size)
    at, seen = np.empty((0, size)), np.empty((0, *problem.observed.shape))
    for wave in range(waves):
        new = low + (high - low) * _spread(points, size, wave)
        curves = []
        for number, point in enumerate(new):
            keys = _keys("wave", wave * points + number, seeds)
            curves.append(problem.curves(free.at_shares(jnp.asarray(point, jnp.float32)), keys).mean(0))
            if progress is not None:
                progress(wave * points + number + 1, waves * points)
        at, seen = np.concatenate([at, new]), np.concatenate([seen, np.stack(curves)])
        candidates = low + (high - low) * _spread(CANDIDATES, size, waves)
        guessed = _between(at, seen, candidates, problem)
        loss = np.stack([problem.distance(guessed, run) for run in played])
        fits = candidates[loss.argmin(1)]
        margin = MARGIN * (fits.max(0) - fits.min(0)) + 1 / points
        low, high = np.maximum(fits.min(0) - margin, 0), np.minimum(fits.max(0) + margin, 1)
    floors = loss.min(1)
    misfit = max(1.0, float(floors[-1] / max(floors[:-1].mean(), 1e-12)))
    middle = np.median(fits[:-1], 0)
    return _described(free, fit, best, middle + (fits[:-1] - middle) * np.sqrt(misfit), level)


def _between(at: Vector, seen: NDArray[Any], wanted: Vector, problem: Objective) -> NDArray[Any]:
    """Mean curves at the wanted points [wanted, streams, steps]: thin plates on a compressed scale."""
    from scipy.interpolate import RBFInterpolator

    unit = np.maximum(problem.observed.std(1), 1e-9)[:, None] / 10
    rows = np.arcsinh(seen / unit).reshape(len(seen), -1)
    plates = RBFInterpolator(at, rows, neighbors=None, smoothing=SMOOTHING, kernel="thin_plate_spline", degree=1)
    guessed = np.clip(plates(wanted), rows.min(0), rows.max(0))
    return np.asarray(np.sinh(guessed).reshape(len(wanted), *seen.shape[1:]) * unit)


def _described(free: FreeParameters, fit: Calibration, best: Vector, spread: Vector, level: float) -> list[Interval]:
    """Intervals from the best shares [numbers] and those fitted to replicates [replicates, numbers]."""
    edges = np.quantile(spread, [(1 - level) / 2, (1 + level) / 2], axis=0)
    covers = np.minimum(edges[1] - edges[0], 1.0)
    # Centred on the best, which is a search's own: what the fits to replicates are off by on average is not luck. A
    # number that the data leave open has no centre.
    centred = np.where(covers < OPEN, edges + best - np.median(spread, 0), edges)
    reach = np.clip(np.minimum(centred[0], best), 0, 1), np.clip(np.maximum(centred[1], best), 0, 1)
    values = np.concatenate([np.atleast_1d(fit.values[name]) for name in free.names])
    return _labelled(free, values, reach, covers, spread)


def _read(free: FreeParameters, posterior: Posterior, level: float) -> list[Interval]:
    """Means and quantiles of a posterior."""
    shares = np.asarray(jax.nn.sigmoid(jnp.asarray(posterior.weights)), float)
    lows, highs = np.quantile(shares, [(1 - level) / 2, (1 + level) / 2], axis=0)
    values = [float(np.mean(np.asarray(kind.at(shares[:, k])))) for k, kind in enumerate(free.ranges)]
    return _labelled(free, np.asarray(values), (lows, highs), highs - lows, shares)


def _labelled(
    free: FreeParameters, values: Vector, reach: tuple[Vector, Vector], covers: Vector, spread: Vector
) -> list[Interval]:
    """Intervals of the numbers, their ends as shares of the ranges; plausible shares [any, numbers] tell trade-offs."""
    with np.errstate(invalid="ignore", divide="ignore"):
        correlations = np.nan_to_num(np.atleast_2d(np.corrcoef(spread.T)))
    np.fill_diagonal(correlations, 0.0)
    found = []
    for k, label in enumerate(free.labels):
        other = int(np.abs(correlations[k]).argmax())
        strength = float(correlations[k, other])
        traded = abs(strength) >= TRADED
        found.append(
            Interval(
                name=label,
                value=float(values[k]),
                low=float(free.ranges[k].at(float(reach[0][k]))),
                high=float(free.ranges[k].at(float(reach[1][k]))),
                covers=float(covers[k]),
                partner=free.labels[other] if traded else None,
                correlation=strength if traded else 0.0,
            )
        )
    return found


def _spread(points: int, size: int, seed: int) -> Vector:
    """Points [points, size] that fill the unit box evenly."""
    from scipy.stats import qmc

    power = int(np.ceil(np.log2(points)))
    return np.asarray(qmc.Sobol(size, rng=np.random.default_rng(seed)).random_base2(power)[:points])


def _free(fit: Calibration) -> FreeParameters:
    if not isinstance(fit.objective.free, FreeParameters):
        mend = "Only free numbers have surfaces and intervals; of a function, calibrate again with other roots."
        raise InputError("calibration of", type(fit.objective.free).__name__, mend)
    return fit.objective.free


def _keys(purpose: str, number: int, count: int) -> PRNGKeyArray:
    return jax.random.split(jax.random.key(derive(0, "identification", purpose, number) % 2**32), count)
