"""Searches that minimise an objective: asked for weights, told what they came to.

- ``gradient``: Adam (Kingma and Ba 2015) with clipped slopes through the draws' estimator, fresh keys at each step.
- ``cma-es``: covariance matrix adaptation (Hansen 2016, arXiv 1604.00772).
- ``random``: draws from the ranges.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax  # type: ignore[import-untyped]
from numpy.typing import NDArray

from shoal.errors import InputError
from shoal.populations.objective import Objective
from shoal.populations.posterior import Posterior

Vector = NDArray[np.float64]
RATE = 0.15
"""Adam's first step, in weights, unless the parametrisation has a ``rate``; it falls to a tenth along a cosine."""
CLIP = 10.0
"""Largest norm of a slope (GradABM's)."""
SPREAD = 1.0
"""First deviation of CMA-ES, in weights."""


class Search(ABC):
    """A method: asked for weights, told their loss (and slope).

    Args:
        problem: what is minimised.
        evaluations: how often it will be asked.
        seed: of its random numbers.

    Attributes:
        wants_slope: whether it is told slopes.
        fewest: evaluations that it cannot do with less of.
        aside: runs that it makes itself, besides the evaluations.
    """

    wants_slope: ClassVar[bool] = False
    fewest: ClassVar[int] = 1
    aside: ClassVar[int] = 0

    @abstractmethod
    def __init__(self, problem: Objective, evaluations: int, seed: int) -> None: ...

    @abstractmethod
    def ask(self) -> Vector:
        """Weights to try next [numbers]."""

    @abstractmethod
    def tell(self, tried: Vector, loss: float, slope: Vector | None) -> None:
        """What they came to."""

    @abstractmethod
    def centre(self) -> Vector:
        """What the search itself thinks best."""

    def posterior(self) -> Posterior | None:
        """What it holds plausible; None of searches that look for one point only."""
        return None


class Gradient(Search):
    """Adam; its centre is the mean of the last quarter of its steps."""

    wants_slope = True

    def __init__(self, problem: Objective, evaluations: int, seed: int) -> None:
        self.now = problem.flat(problem.free.start(jax.random.key(seed % 2**32)))
        rate = optax.cosine_decay_schedule(getattr(problem.free, "rate", RATE), evaluations, 0.1)
        self.rule = optax.chain(optax.clip_by_global_norm(CLIP), optax.adam(rate))
        self.memory = self.rule.init(self.now)
        self.path: list[Vector] = []

    def ask(self) -> Vector:
        """Where it stands."""
        return np.asarray(self.now, np.float64)

    def tell(self, tried: Vector, loss: float, slope: Vector | None) -> None:
        """One step down; a slope that is not finite is passed over."""
        self.path.append(tried)
        if slope is not None and np.isfinite(slope).all():
            change, self.memory = self.rule.update(jnp.asarray(slope, jnp.float32), self.memory)
            self.now = optax.apply_updates(self.now, change)

    def centre(self) -> Vector:
        """Mean of the last quarter of its steps."""
        return np.asarray(np.mean(self.path[-max(1, len(self.path) // 4) :], axis=0))


class Adaptation(Search):
    """CMA-ES; its centre is the mean of its distribution."""

    def __init__(self, problem: Objective, evaluations: int, seed: int) -> None:
        try:
            import cmaes
        except ImportError:
            raise InputError("method", "cma-es", "Install the package cmaes, or use gradient or random.") from None

        start = np.asarray(problem.flat(problem.free.start(jax.random.key(seed % 2**32))), np.float64)
        if start.size < 2:  # the package asks for two dimensions or more: the second one is ignored
            start = np.append(start, 0.0)
        self.size = problem.size
        self.engine = cmaes.CMA(mean=start, sigma=SPREAD, seed=seed % 2**31)
        self.asked: Vector = start
        self.told: list[tuple[Vector, float]] = []

    def ask(self) -> Vector:
        """A draw from its distribution."""
        self.asked = self.engine.ask()
        return self.asked[: self.size]

    def tell(self, tried: Vector, loss: float, slope: Vector | None) -> None:
        """Adapts once a generation is complete."""
        self.told.append((self.asked, loss if math.isfinite(loss) else 1e30))
        if len(self.told) == self.engine.population_size:
            self.engine.tell(self.told)
            self.told = []

    def centre(self) -> Vector:
        """Mean of its distribution."""
        return np.asarray(self.engine.mean, np.float64)[: self.size]


class RandomSearch(Search):
    """Draws from the ranges; its centre is the best draw."""

    def __init__(self, problem: Objective, evaluations: int, seed: int) -> None:
        self.problem = problem
        self.keys = iter(jax.random.split(jax.random.key(seed % 2**32), evaluations))
        self.best: tuple[float, Vector] = (math.inf, np.zeros(problem.size))

    def ask(self) -> Vector:
        """The next draw."""
        return np.asarray(self.problem.flat(self.problem.free.draw(next(self.keys))), np.float64)

    def tell(self, tried: Vector, loss: float, slope: Vector | None) -> None:
        """Keeps the best."""
        if loss < self.best[0]:
            self.best = (loss, tried)

    def centre(self) -> Vector:
        """The best draw."""
        return self.best[1]
