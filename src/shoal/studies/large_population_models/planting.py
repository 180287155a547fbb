"""Planted data: a contagion with a known R(t), seen through late and noisy reports, and what is held out of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError

WEEK = 7
DELAY = (0.1, 0.2, 0.3, 0.25, 0.15)
"""Share of infections that are reported 0, 1, ... days later."""
NOISE, MOBILITY_NOISE = 0.1, 0.05
"""Deviations: of the logarithm of reported cases, and of mobility."""
TAKE_OFF = 0.05
"""Planted runs infect at least that share of people; others say nothing about R and are drawn again."""
TRIES = 20

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Planted:
    """Data of one town.

    Attributes:
        parameters: that they were made with.
        streams: cases, deaths and mobility of the days that are fitted.
        later: reported cases of each held-out week.
    """

    parameters: dict[str, Any]
    streams: dict[str, Vector]
    later: Vector

    def error(self, forecast: Vector) -> float:
        """Root of the mean squared error, in cases a day, of a forecast of daily cases [days of fit and after]."""
        weeks = forecast.reshape(-1, WEEK).sum(1)[-self.later.size :]
        return float(np.sqrt(np.mean((weeks - self.later) ** 2)) / WEEK)


def curve(kind: str, fitted: int, later: int, rng: np.random.Generator) -> Vector:
    """R of each week: ``waves`` (a closure, then a partial return), ``change`` (one change point) or ``constant``."""
    high, low, back = rng.uniform(2.2, 3.2), rng.uniform(0.8, 1.2), rng.uniform(1.2, 1.8)
    closing = int(rng.integers(fitted // 2 - 1, fitted // 2 + 1))
    weeks = np.full(fitted + later, rng.uniform(1.6, 2.2))
    if kind != "constant":
        weeks[:closing], weeks[closing:] = high, low
    if kind == "waves":
        weeks[fitted - 2 :] = back
    return np.asarray(weeks)


def plant(
    model: Any, population: Any, kind: str, fitted: int, later: int, rng: np.random.Generator, seed: int
) -> Planted:
    """Data of one town.

    Args:
        model: a contagion.
        population: its people.
        kind: of R's curve.
        fitted: weeks that are fitted.
        later: weeks that are held out.
        rng: of the parameters and the reports.
        seed: of the run.

    Raises:
        InputError: no run in TRIES takes off.
    """
    from shoal.populations import simulate

    reproduction = curve(kind, fitted, later, rng)
    parameters = {
        "reproduction": reproduction.tolist(),
        "initial": math.exp(rng.uniform(math.log(0.01), math.log(0.03))),
        "mortality": math.exp(rng.uniform(math.log(0.03), math.log(0.1))),
    }
    days, kept = WEEK * (fitted + later), WEEK * fitted
    for number in range(TRIES):
        run = simulate(model, days, [seed % 2**31 + number], parameters, population=population).series
        infections, deaths = run["infections"][0], run["deaths"][0]
        if infections[:kept].sum() >= TAKE_OFF * model.settings.agents:
            break
    else:
        raise InputError("planted run", parameters, "None takes off; use more agents.")
    reported = np.convolve(infections, DELAY)[:days] * np.exp(NOISE * rng.normal(size=days))
    mobility = np.repeat(reproduction / reproduction.max(), WEEK) + MOBILITY_NOISE * rng.normal(size=days)
    seen = {"cases": reported[:kept], "deaths": deaths[:kept], "mobility": mobility[:kept]}
    return Planted(parameters, seen, reported[kept:].reshape(-1, WEEK).sum(1))
