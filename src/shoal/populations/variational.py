"""Variational calibration: a normal distribution over weights in place of one best point.

q(w) = N(centre, L L^T) is fitted by reparameterised gradients, w = centre + L e, to

    E_q[loss(w)] / temperature + KL(q || prior)

(Kingma and Welling 2014, arXiv 1312.6114; Large Population Models, step B.6), with L lower triangular for up to FULL
numbers, so that parameters which can stand in for each other are seen to, and diagonal beyond. The loss is a distance
and no likelihood; its temperature makes it one. The minimiser is q of a Gibbs posterior (Bissiri, Holmes and Walker
2016), and the temperature is the one at which its spread is that of a fit under the simulator's own luck: with the
covariance S of the scaled curves of a run at one point, 2 trace(S^2) / trace(S). For independent days this is the
Gaussian likelihood's temperature; days that share their luck count as the few that they are. Data farther from the
runs than these are from each other raise it in proportion; a model without luck takes it from what is left of the loss.

A third of the evaluations look for the centre (Adam); ASIDE runs there give the temperature; the rest fit q, in pairs
of opposite draws e and -e.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax  # type: ignore[import-untyped]
from jaxtyping import Array, Float

from shoal.errors import InputError
from shoal.populations.objective import Objective
from shoal.populations.posterior import DRAWS, Density, Posterior, prior_of
from shoal.populations.searches import Gradient, Search, Vector

FULL = 32
"""More numbers than that are taken for independent of each other."""
SHARE = 1 / 3
"""Of the evaluations that look for the centre."""
ASIDE = 24
"""Runs at the centre from which the temperature is found."""
FEWEST = 24
"""Evaluations."""
DEVIATION = 0.5
"""Of q where it starts, in weights."""
RATE = 0.2
"""Adam's first step for q; it falls to a tenth along a cosine."""
COLDEST = 1e-9
"""Least temperature: of a model without luck that meets the data exactly."""

ADAM = optax.scale_by_adam()


class Variational(Search):
    """Fits a normal distribution of weights; its centre is the distribution's.

    Args:
        problem: what is minimised.
        evaluations: how often it will be asked.
        seed: of its random numbers.
        temperature: of the loss; found from runs if not given. 2 deviation^2 / (days scale^2) is the likelihood of
            independent Gaussian errors of one stream, if the model itself has no luck.

    Raises:
        InputError: a temperature that is not above 0.
    """

    wants_slope = True
    fewest = FEWEST
    aside = ASIDE

    def __init__(self, problem: Objective, evaluations: int, seed: int, temperature: float | None = None) -> None:
        if temperature is not None and not 0 < temperature < math.inf:
            raise InputError("temperature", temperature, "Use a number above 0, or none to find it from runs.")
        first = int(SHARE * evaluations)
        self.problem, self.left, self.temperature = problem, first, temperature
        self.descent = Gradient(problem, first, seed)
        self.prior, self.size = prior_of(problem), problem.size
        self.noise = np.random.default_rng(seed)
        self.key = jax.random.key(seed % 2**32)
        self.steps = (evaluations - first) // 2
        self.rate = optax.cosine_decay_schedule(RATE, max(self.steps, 1), 0.1)
        self.q: Array | None = None
        self.memory: Any = None
        self.path: list[Array] = []
        self.pair: list[tuple[Vector, Vector]] = []
        self.drawn: Vector = np.zeros(self.size)

    def ask(self) -> Vector:
        """Where the descent stands; then draws of q, every second one opposite to the one before."""
        if self.left:
            return self.descent.ask()
        if self.q is None:
            self._begin()
        self.drawn = -self.drawn if len(self.pair) == 1 else self.noise.standard_normal(self.size)
        return np.asarray(_drawn(self.q, jnp.asarray(self.drawn[None], jnp.float32), self.size)[0], np.float64)

    def tell(self, tried: Vector, loss: float, slope: Vector | None) -> None:
        """A step of the descent, or with a pair of slopes one of q; slopes that are not finite are passed over."""
        assert slope is not None
        if self.left:
            self.left -= 1
            self.descent.tell(tried, loss, slope)
            return
        self.pair.append((self.drawn, slope))
        if len(self.pair) < 2:
            return
        noise, slopes = (jnp.asarray(np.stack(x), jnp.float32) for x in zip(*self.pair, strict=True))
        self.pair = []
        if jnp.isfinite(slopes).all():
            step = _step(self.prior.minus_log, self.size)
            self.q, self.memory = step(self.q, self.memory, noise, slopes, self.temperature, self.rate(len(self.path)))
        assert self.q is not None
        self.path.append(self.q)

    def centre(self) -> Vector:
        """Of the distribution."""
        return np.asarray(self._mean()[: self.size], np.float64)

    def posterior(self) -> Posterior:
        """Draws of q at the mean of the last quarter of its steps."""
        noise = jax.random.normal(self.key, (DRAWS, self.size))
        facts = {
            "temperature": float(self.temperature or 0.0),
            "divergence": float(_divergence(self.prior.minus_log, self.size, self._mean())),
        }
        draws = np.asarray(_drawn(self._mean(), noise, self.size), np.float64)
        return Posterior(draws, self.prior.name, facts)

    def _mean(self) -> Array:
        return jnp.mean(jnp.stack(self.path[-max(1, len(self.path) // 4) :]), axis=0)

    def _begin(self) -> None:
        """Puts q about the centre that was found, and finds the temperature."""
        centre = self.descent.centre()
        if self.temperature is None:
            self.temperature = temperature(self.problem, centre, self.key)
        count = _numbers(self.size) - self.size
        self.q = jnp.concatenate(
            [jnp.asarray(centre, jnp.float32), jnp.full(self.size, math.log(DEVIATION)), jnp.zeros(count - self.size)]
        )
        self.memory = ADAM.init(self.q)


def temperature(problem: Objective, weights: Vector, key: Array) -> float:
    """At which the Gibbs posterior has the spread of fits under the simulator's own luck; ASIDE runs.

    Differences of runs in pairs have mean 0 and the luck's covariance; products of different pairs are unbiased for
    the trace of its square.
    """
    curves = problem.curves(problem.values(weights), jax.random.split(key, ASIDE))
    scaled = (curves - problem.observed) / problem.scale[:, None] / math.sqrt(problem.steps)
    rows = scaled.reshape(ASIDE, -1)
    pairs = (rows[::2] - rows[1::2]) / math.sqrt(2)
    products = pairs @ pairs.T
    luck = float(np.trace(products)) / len(pairs)
    # Of the mean run, without the luck that is left in a mean of so many.
    missed = max(float((rows.mean(0) ** 2).sum()) - luck / ASIDE, 0.0)
    alone = 2 * missed / rows.shape[1]
    if luck <= 1e-6 * missed:
        return max(alone, COLDEST)
    apart = products[~np.eye(len(pairs), dtype=bool)]
    # The ratio of the two is too low by n / (n + 2) for n pairs where all days share their luck.
    together = float((apart**2).mean()) / luck * (1 + 2 / len(pairs))
    return max(2 * max(together, luck / rows.shape[1]) * max(1.0, missed / luck), COLDEST)


def _numbers(size: int) -> int:
    """Numbers that q has: centre, logarithms of the diagonal, and what is below it."""
    return 2 * size + (size * (size - 1) // 2 if size <= FULL else 0)


def _factor(q: Float[Array, " all"], size: int) -> Float[Array, "size size"] | None:
    """L, if it is more than a diagonal."""
    if not 1 < size <= FULL:
        return None
    diagonal = jnp.exp(q[size : 2 * size])
    rows, columns = np.tril_indices(size, -1)
    # A row's entries are in units of its diagonal, so that one step size serves all.
    return jnp.diag(diagonal).at[rows, columns].set(q[2 * size :] * diagonal[rows])


@functools.partial(jax.jit, static_argnums=2)
def _drawn(q: Float[Array, " all"], noise: Float[Array, "draws size"], size: int) -> Float[Array, "draws size"]:
    factor = _factor(q, size)
    moved = noise * jnp.exp(q[size : 2 * size]) if factor is None else noise @ factor.T
    return q[:size] + moved


def _divergence(minus_log: Density, size: int, q: Float[Array, " all"]) -> Float[Array, ""]:
    """KL(q || prior): the prior is of independent numbers, so that q's margins are enough."""
    points, weights = np.polynomial.hermite_e.hermegauss(32)
    factor = _factor(q, size)
    deviations = jnp.exp(q[size : 2 * size]) if factor is None else jnp.sqrt((factor**2).sum(1))
    at = q[:size] + deviations * jnp.asarray(points, jnp.float32)[:, None]
    expected = jnp.asarray(weights / weights.sum(), jnp.float32) @ minus_log(at)
    entropy = q[size : 2 * size].sum() + size * (0.5 * math.log(2 * math.pi) + 0.5)
    return jnp.asarray(expected.sum() - entropy)


@functools.lru_cache(maxsize=16)
def _step(minus_log: Density, size: int) -> Callable[..., tuple[Array, Any]]:
    """A step of q down the mean loss of draws plus temperature x divergence."""

    def objective(q: Array, noise: Array, slopes: Array, temperature: Array) -> Array:
        loss = (_drawn(q, noise, size) * slopes).sum(1).mean()
        return jnp.asarray(loss + temperature * _divergence(minus_log, size, q))

    def step(q: Array, memory: Any, noise: Array, slopes: Array, temperature: Array, rate: Array) -> tuple[Array, Any]:
        change, memory = ADAM.update(jax.grad(objective)(q, noise, slopes, temperature), memory)
        return q - rate * change, memory

    compiled: Callable[..., tuple[Array, Any]] = jax.jit(step)
    return compiled
