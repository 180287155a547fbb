"""Approximate Bayesian computation: weights are plausible where a run comes close to the data.

Adaptive population Monte Carlo (Lenormand, Jabot and Deffuant 2013, arXiv 1111.1308): draws of the prior, of which the
closest half is kept; then, again and again, as many new ones from about the kept (a normal kernel of twice their
covariance: Beaumont et al. 2009), and the closest are kept of old and new together. A draw counts by its prior density
over that of the mixture that it came from. The tolerance is the farthest distance that is kept. With finite calls it is
not 0, and the sample is that of the prior where runs come *this* close: wider than the posterior, never a rival of it
in sharpness.
"""

from __future__ import annotations

import math

import jax
import numpy as np

from shoal.errors import InputError
from shoal.populations.objective import Objective
from shoal.populations.posterior import DRAWS, Posterior, prior_of
from shoal.populations.searches import Search, Vector

KEPT, SHARE = 20, 1 / 8
"""Draws that are kept: so many at least, and that share of all evaluations."""
WIDENED = 2.0
"""Covariance of the kernel, in covariances of the kept."""
MOST = 12
"""More numbers than that are not searched in this way."""


class Approximation(Search):
    """Keeps the closest draws; its centre is their mean.

    Raises:
        InputError: more than MOST numbers.
    """

    fewest = 2 * KEPT

    def __init__(self, problem: Objective, evaluations: int, seed: int) -> None:
        if problem.size > MOST:
            mend = f"Use abc for at most {MOST} numbers, and variational or gradient for more."
            raise InputError("free numbers", problem.size, mend)
        self.prior = prior_of(problem)
        self.keys = iter(jax.random.split(jax.random.key(seed % 2**32), evaluations))
        self.noise = np.random.default_rng(seed)
        self.kept = max(KEPT, int(SHARE * evaluations))
        self.drawn: list[tuple[Vector, float]] = []
        """Weights that were asked for, with the logarithm of what each counts."""
        self.told: list[float] = []
        self.held = np.empty((0, problem.size)), np.empty(0), np.empty(0)
        self.accepted = 0.0

    def ask(self) -> Vector:
        """A draw of the prior, or from about those that are kept."""
        if not self.held[1].size:
            weights, counts = np.asarray(self.prior.draw(next(self.keys)), np.float64), 0.0
        else:
            weights, counts = self._near()
        self.drawn.append((weights, counts))
        return weights

    def tell(self, tried: Vector, loss: float, slope: Vector | None) -> None:
        """Sorts out once a generation is complete."""
        self.told.append(loss if math.isfinite(loss) else math.inf)
        if len(self.told) == (self.kept if self.held[1].size else 2 * self.kept):
            self._sort_out()

    def centre(self) -> Vector:
        """Mean of the kept."""
        self._sort_out()
        weights, shares = self.held[0], self._shares()
        return np.asarray(shares @ weights)

    def posterior(self) -> Posterior:
        """The kept, as often as they count."""
        self._sort_out()
        shares = self._shares()
        # Evenly spaced places in the sum of shares: the least luck in how often each is taken.
        places = (np.arange(DRAWS) + 0.5) / DRAWS
        taken = np.minimum(np.searchsorted(np.cumsum(shares), places), shares.size - 1)
        facts = {
            "tolerance": float(self.held[2].max()),
            "acceptance": self.accepted,
            "accepted": float(self.kept),
            "effective_sample": float(1 / (shares**2).sum()),
        }
        return Posterior(self.held[0][taken], self.prior.name, facts)

    def _sort_out(self) -> None:
        """The closest of the kept and the new ones."""
        if not self.told:
            return
        weights, counts = (np.asarray(x, float) for x in zip(*self.drawn, strict=True))
        at, counts, far = (
            np.concatenate(both) for both in zip(self.held, (weights, counts, np.asarray(self.told)), strict=True)
        )
        order = np.argsort(far, kind="stable")[: self.kept]
        # Of the last generation: how many of the new ones are kept.
        self.accepted = float((order >= len(self.held[2])).sum() / len(self.told))
        self.held = at[order], counts[order], far[order]
        self.drawn, self.told = [], []

    def _near(self) -> tuple[Vector, float]:
        """A draw of the mixture of kernels about the kept, and the logarithm of what it counts."""
        weights, shares = self.held[0], self._shares()
        gaps = weights - shares @ weights
        spread = WIDENED * (gaps.T * shares) @ gaps + 1e-9 * np.eye(gaps.shape[1])
        root = np.linalg.cholesky(spread)
        new = weights[self.noise.choice(shares.size, p=shares)] + root @ self.noise.standard_normal(gaps.shape[1])
        far = np.linalg.solve(root, (new - weights).T)
        kernels = -0.5 * (far**2).sum(0) - np.log(np.diag(root)).sum() - 0.5 * new.size * math.log(2 * math.pi)
        mixture = float(np.logaddexp.reduce(kernels + np.log(np.maximum(shares, 1e-300))))
        return new, -float(self.prior.minus_log(new).sum()) - mixture

    def _shares(self) -> Vector:
        """What each of the kept counts, in sum 1."""
        counts = np.exp(self.held[1] - self.held[1].max())
        return np.asarray(counts / counts.sum())
