"""Unemployment from who is willing to work: equation 8 of AgentTorch (arXiv 2409.10568).

    mu(t) = gamma0 sum_j W_j(t) + gamma1 C(t)

with W_j whether employee j works and C the rate of new claims. W is taken as a share of all employees here, so that
gamma0 does not depend on the population's size. The way back is in the epidemic: who does not work meets no colleagues.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.errors import InputError

LIMIT = 50.0
"""Both numbers are sought from -LIMIT to LIMIT: a series that hardly moves must not get wild factors."""


@dataclass(frozen=True)
class Employment:
    """The line that gives unemployment.

    Attributes:
        willing: gamma0, percent for everybody's work.
        claims: gamma1, percent for one percent of claims.
    """

    willing: float
    claims: float

    def unemployment(self, willing: ArrayLike, claims: ArrayLike) -> NDArray[np.float64]:
        """Rate in percent, from shares of employees who work and claims in percent; shapes broadcast."""
        return self.willing * np.asarray(willing, float) + self.claims * np.asarray(claims, float)


def fit_employment(willing: ArrayLike, claims: ArrayLike, unemployment: ArrayLike) -> Employment:
    """The line closest to observed unemployment (least squares within LIMIT), all [weeks].

    The line is linear in both numbers, so that its best fit needs no search by gradient.

    Raises:
        InputError: fewer than two weeks, different lengths, or numbers that are not finite.
    """
    from scipy.optimize import lsq_linear

    series = {"willing": willing, "claims": claims, "unemployment": unemployment}
    columns = {name: np.asarray(x, float) for name, x in series.items()}
    shapes = {name: x.shape for name, x in columns.items()}
    if len(set(shapes.values())) != 1 or columns["claims"].ndim != 1 or columns["claims"].size < 2:
        raise InputError("employment weeks", shapes, "Give rows of the same length, at least 2 weeks.")
    for name, x in columns.items():
        if not np.isfinite(x).all():
            raise InputError(f"employment {name}", float(x[~np.isfinite(x)][0]), "Give finite numbers.")
    design = np.stack([columns["willing"], columns["claims"]], axis=1)
    gamma0, gamma1 = lsq_linear(design, columns["unemployment"], (-LIMIT, LIMIT)).x
    return Employment(float(gamma0), float(gamma1))
