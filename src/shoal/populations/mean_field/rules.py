"""Kernel rules: what an agent does given what it sees, as a weighted mean over centres in the plane of observations.

With kernels k_b(y) = exp(-|y - y_b|^2 / (2 width^2)) and weights q_b = k_b / sum k, an agent that sees y draws its
action from Normal(sum_b q_b m_b, (sum_b q_b s_b)^2) and clips it to [-1, 1] (Cui et al. 2024, arXiv 2307.06175).
Weights are a softmax of the logarithms, so they sum to one however far y is from every centre. Centres are a square
grid, over which the softmax is a product of one along each coordinate.

The mean's slope is the covariance of centres and means under q, divided by width^2; neither factor's deviation exceeds
half its range, which bounds the slope: ``Kernels.lipschitz``. With ``table`` the weight is 1 at the nearest centre, the
limit of small widths: a histogram's rule, whose slope is not bounded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from numpy.typing import ArrayLike, NDArray

from shoal.errors import InputError
from shoal.populations.model import Parameters
from shoal.populations.swarms import Action, Observation, Rule

MOST_A_SIDE = 5
"""More than 25 centres drown the search for a rule in noise."""
LEAST_SPREAD = 0.01

Seen = Float[Array, "agents 2 *batch"]
PerCentre = Float[Array, "centres dims *batch"]


@dataclass(frozen=True)
class Kernels:
    """Where a rule looks: a square grid of centres.

    Attributes:
        side: centres along each coordinate; with 1 the rule ignores what is seen.
        reach: the grid goes from -reach to reach.
        width: of a kernel, in spacings of the grid.
        table: only the nearest centre counts.
    """

    side: int = 5
    reach: float = 1.0
    width: float = 1.0
    table: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.side <= MOST_A_SIDE:
            raise InputError("kernels side", self.side, f"Use 1 to {MOST_A_SIDE} centres along a coordinate.")
        for name in ("reach", "width"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"kernels {name}", value, "Use more than 0.")

    @property
    def count(self) -> int:
        """Number of centres."""
        return self.side**2

    @property
    def ticks(self) -> NDArray[np.float32]:
        """Coordinates of the grid [side]; 0 if there is one centre."""
        if self.side == 1:
            return np.zeros(1, np.float32)
        return np.linspace(-self.reach, self.reach, self.side, dtype=np.float32)

    @property
    def centres(self) -> NDArray[np.float32]:
        """All centres [centres, 2]; the second coordinate varies fastest."""
        return np.stack(np.meshgrid(self.ticks, self.ticks, indexing="ij"), -1).reshape(-1, 2)

    @property
    def sigma(self) -> float:
        """Deviation of a kernel, in units of observations."""
        return self.width * 2 * self.reach / max(self.side - 1, 1)

    @property
    def lipschitz(self) -> float:
        """No mean action changes faster than this, in units of the action's range [-1, 1]; infinite for a table."""
        if self.side == 1:
            return 0.0
        return math.inf if self.table else math.sqrt(2) * self.reach / self.sigma**2

    def weights(self, seen: Seen) -> Float[Array, "centres agents *batch"]:
        """Weights of all centres for every agent; they sum to one."""
        along = [self._along(seen[:, k]) for k in range(2)]
        both = along[0][:, None] * along[1][None]
        return both.reshape(self.count, *both.shape[2:])

    def _along(self, seen: Float[Array, "agents *batch"]) -> Float[Array, "side agents *batch"]:
        square = jnp.square(seen[None] - self.ticks.reshape(-1, *(1,) * seen.ndim))
        if not self.table:
            return jax.nn.softmax(-square / (2 * self.sigma**2), axis=0)
        return jax.nn.one_hot(jnp.argmin(square, axis=0), self.side, axis=0)


class KernelRule(NamedTuple):
    """A rule: mean action and spread at every centre, in units of the action's range [-1, 1].

    Attributes:
        kernels: the centres.
        means: m_b, from -1 to 1.
        spreads: s_b, more than 0.
    """

    kernels: Kernels
    means: PerCentre
    spreads: PerCentre

    def mean(self, seen: Seen) -> Float[Array, "agents dims *batch"]:
        """Mean action of every agent."""
        return _mixed(self.kernels.weights(seen), self.means)

    def act(self, noise: Float[Array, "agents dims *batch"], seen: Seen) -> Float[Array, "agents dims *batch"]:
        """Everybody's action for standard normal noise, clipped to the range."""
        both = _mixed(self.kernels.weights(seen), jnp.concatenate([self.means, self.spreads], 1))
        mean, spread = jnp.split(both, 2, axis=1)
        return jnp.clip(mean + spread * noise, -1.0, 1.0)

    def follow(self, bound: float, flat: bool) -> Rule:
        """As a rule for a swarm model (``model.following``).

        Args:
            bound: largest action of the model.
            flat: the model's actions are single numbers.
        """

        def rule(key: PRNGKeyArray, observation: Observation, parameters: Parameters) -> Action:
            noise = jax.random.normal(key, (observation.shape[0], self.means.shape[1]))
            action = bound * self.act(noise, observation)
            return action[:, 0] if flat else action

        return rule


def _mixed(weights: Float[Array, "centres agents *batch"], values: PerCentre) -> Float[Array, "agents dims *batch"]:
    return jnp.einsum("bn...,bd...->nd...", weights, values, precision=jax.lax.Precision.HIGHEST)


def kernel_rule(kernels: Kernels, means: ArrayLike, spreads: ArrayLike) -> KernelRule:
    """A rule set by hand.

    Args:
        kernels: the centres.
        means: of every centre [centres, dims], from -1 to 1.
        spreads: of every centre, more than 0; broadcast to the means.

    Raises:
        InputError: another number of centres, a mean out of range, a spread that is not positive, or NaN.
    """
    m = np.asarray(means, np.float32)
    if m.ndim != 2 or m.shape[0] != kernels.count:
        raise InputError("rule means", m.shape, f"Give one row for each of the {kernels.count} centres.")
    try:
        s = np.broadcast_to(np.asarray(spreads, np.float32), m.shape)
    except ValueError:
        raise InputError("rule spreads", np.shape(spreads), f"Give numbers of the shape {m.shape}, or one.") from None
    if not (np.abs(m) <= 1).all():
        raise InputError("rule means", _first(m, ~(np.abs(m) <= 1)), "Use numbers from -1 to 1.")
    if not (np.isfinite(s) & (s > 0)).all():
        raise InputError("rule spreads", _first(s, ~(np.isfinite(s) & (s > 0))), "Use finite numbers above 0.")
    return KernelRule(kernels, jnp.asarray(m), jnp.asarray(s))


def raw_rule(kernels: Kernels, raw: Float[Array, "numbers *batch"]) -> KernelRule:
    """The rule of an upper action: means tanh(raw), spreads LEAST_SPREAD + (tanh(raw) + 1) / 4.

    Args:
        kernels: the centres.
        raw: any numbers: means [centres, dims] row by row, then spreads.
    """
    dims = raw.shape[0] // (2 * kernels.count)
    parts = jnp.tanh(raw).reshape(2, kernels.count, dims, *raw.shape[1:])
    return KernelRule(kernels, parts[0], LEAST_SPREAD + (parts[1] + 1) / 4)


def turn_rule(kernels: Kernels, bound: float, spread: float = LEAST_SPREAD) -> KernelRule:
    """Set by hand for swarms with headings: at every centre, turn to its angle, at most by ``bound``."""
    centres = kernels.centres
    angle = np.arctan2(centres[:, 1], centres[:, 0])
    return kernel_rule(kernels, np.clip(angle / bound, -1, 1)[:, None], spread)


def gather_rule(kernels: Kernels, spread: float = LEAST_SPREAD) -> KernelRule:
    """Set by hand for aggregation: at every centre, go there."""
    return kernel_rule(kernels, np.clip(kernels.centres, -1, 1), spread)


def _first(values: NDArray[Any], wrong: NDArray[np.bool_]) -> float:
    return float(values[wrong][0])
