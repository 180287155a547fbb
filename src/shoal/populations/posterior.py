"""What data leave plausible: a prior over weights, and a posterior as a sample of them.

Free numbers have the uniform prior over their ranges (on their scales), which is the logistic one over their weights.
The weights of any other function have a normal prior of deviation 1 about the function's start.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from numpy.typing import NDArray

from shoal.populations.objective import Objective, valued
from shoal.populations.parametrisation import FreeParameters

if TYPE_CHECKING:
    import polars as pl

Density = Callable[[Float[Array, "*any numbers"]], Float[Array, "*any numbers"]]
DRAWS = 2000
"""Of a posterior."""


@dataclass(frozen=True)
class Prior:
    """Independent numbers.

    Attributes:
        name: in a few words.
        minus_log: minus the logarithm of the density of each weight [numbers].
        draw: weights at random [numbers].
    """

    name: str
    minus_log: Density
    draw: Callable[[PRNGKeyArray], Float[Array, " numbers"]]


@dataclass(frozen=True)
class Posterior:
    """A sample of what is plausible.

    Attributes:
        weights: equally likely ones [draws, numbers].
        prior: in a few words.
        facts: how it was come by, in numbers: its temperature, or tolerance and acceptance.
    """

    weights: NDArray[np.float64] = field(repr=False)
    prior: str
    facts: Mapping[str, float]

    def values(self, problem: Objective) -> dict[str, NDArray[np.float64]]:
        """The free parameters of every draw, by name [draws, ...]."""
        found = jax.vmap(valued(problem.free))(jnp.asarray(self.weights, jnp.float32))
        return {name: np.asarray(x, np.float64) for name, x in found.items()}

    def frame(self, problem: Objective) -> pl.DataFrame:
        """One row for each draw: its parameters, with a column for each period of those that have several."""
        import polars as pl

        columns: dict[str, NDArray[np.float64]] = {}
        for name, x in self.values(problem).items():
            several = {f"{name}[{k}]": column for k, column in enumerate(np.atleast_2d(x.T))}
            columns.update({name: x} if x.ndim == 1 else several)
        return pl.DataFrame(columns)


def prior_of(problem: Objective) -> Prior:
    """The prior of what may move."""
    if isinstance(problem.free, FreeParameters):
        free = problem.free
        return Prior("uniform over the ranges", _logistic, free.draw)
    start = problem.flat(problem.free.start(jax.random.key(0)))
    return Prior(
        "normal about the start",
        lambda w: 0.5 * ((w - start) ** 2 + math.log(2 * math.pi)),
        lambda key: start + jax.random.normal(key, start.shape),
    )


def _logistic(weights: Array) -> Array:
    return weights + 2 * jax.nn.softplus(-weights)
