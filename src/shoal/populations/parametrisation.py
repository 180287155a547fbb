"""What is fitted: free numbers within bounds, or any function that gives a model's parameters.

A parametrisation turns unbounded weights (an array, or the weights of a network) into parameters, each a number or a
row of numbers, one for each period. Calibration knows nothing else of it, so that a network which reads signals and
puts out a reproduction number for each week is fitted like two plain numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from numpy.typing import ArrayLike, NDArray

from shoal.errors import InputError, UnknownName
from shoal.populations.model import Parameters, PopulationModel

EDGE = 1e-6
"""Values are kept this share of the range away from its ends where weights are made from them."""


class Parametrisation(Protocol):
    """Weights to parameters. Hashable: equal ones share their compiled programs."""

    @property
    def names(self) -> tuple[str, ...]:
        """Parameters that it gives."""

    def __hash__(self) -> int: ...

    def start(self, key: PRNGKeyArray) -> Any:
        """Weights that a search starts from: arrays of unbounded numbers, in any pytree."""

    def draw(self, key: PRNGKeyArray) -> Any:
        """Weights at random, of the same form: a candidate of random search."""

    def values(self, weights: Any) -> Parameters:
        """Parameters by name, within their ranges; differentiable."""


@dataclass(frozen=True)
class Free:
    """A parameter that may move.

    Attributes:
        low: least value.
        high: greatest value.
        log: move on a logarithmic scale.
        periods: numbers in it, one for each period; 0 for one number that holds throughout.
    """

    low: float
    high: float
    log: bool = False
    periods: int = 0

    @property
    def size(self) -> int:
        """How many numbers it is."""
        return max(1, self.periods)

    def at(self, share: Any) -> Any:
        """The value at that share of the range."""
        if self.log:
            return jnp.exp(math.log(self.low) + (math.log(self.high) - math.log(self.low)) * share)
        return self.low + (self.high - self.low) * share

    def share(self, value: ArrayLike) -> NDArray[np.float64]:
        """Where in the range a value is, from 0 to 1."""
        x, low, high = np.asarray(value, float), self.low, self.high
        if self.log:
            x, low, high = np.log(np.maximum(x, 1e-300)), math.log(low), math.log(high)
        return np.clip((x - low) / (high - low), 0.0, 1.0)


@dataclass(frozen=True)
class FreeParameters:
    """Numbers within bounds: low + (high - low) sigmoid(weight), or the same on a logarithmic scale.

    Attributes:
        free: parameters and how they may move.
    """

    free: tuple[tuple[str, Free], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Parameters that it gives."""
        return tuple(name for name, _ in self.free)

    @property
    def labels(self) -> tuple[str, ...]:
        """One name for each number: that of its parameter, with the period if it has several."""
        return tuple(f"{name}[{k}]" if free.periods else name for name, free in self.free for k in range(free.size))

    @property
    def ranges(self) -> tuple[Free, ...]:
        """The range of each number."""
        return tuple(free for _, free in self.free for _ in range(free.size))

    def start(self, key: PRNGKeyArray) -> Float[Array, " numbers"]:
        """The middle of all ranges."""
        return jnp.zeros(len(self.labels))

    def draw(self, key: PRNGKeyArray) -> Float[Array, " numbers"]:
        """Uniform in the ranges (on their scales)."""
        return jax.random.logistic(key, (len(self.labels),))

    def values(self, weights: Float[Array, " numbers"]) -> Parameters:
        """Parameters by name."""
        return self.at_shares(jax.nn.sigmoid(weights))

    def at_shares(self, shares: Array) -> Parameters:
        """Parameters at those shares of the ranges [numbers]."""
        values, begin = {}, 0
        for name, free in self.free:
            part = shares[begin : begin + free.size]
            values[name] = free.at(part if free.periods else part[0])
            begin += free.size
        return values

    def shares(self, values: Mapping[str, ArrayLike]) -> NDArray[np.float64]:
        """Where the values are in their ranges [numbers]."""
        return np.concatenate([np.broadcast_to(free.share(values[name]), free.size) for name, free in self.free])

    def weights(self, values: Mapping[str, ArrayLike]) -> Float[Array, " numbers"]:
        """Weights that give these values (ends of ranges: almost)."""
        share = np.clip(self.shares(values), EDGE, 1 - EDGE)
        return jnp.asarray(np.log(share / (1 - share)), jnp.float32)


@dataclass(frozen=True)
class Itself:
    """Weights that are the parameters.

    Attributes:
        sizes: numbers in each, by name; 0 for one number that holds throughout.
    """

    sizes: tuple[tuple[str, int], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Parameters that it gives."""
        return tuple(name for name, _ in self.sizes)

    def start(self, key: PRNGKeyArray) -> Parameters:
        """Zeros; the form is what counts."""
        return {name: jnp.zeros(size or ()) for name, size in self.sizes}

    def draw(self, key: PRNGKeyArray) -> Parameters:
        """There are no ranges to draw from: zeros."""
        return self.start(key)

    def values(self, weights: Parameters) -> Parameters:
        """As they are."""
        return weights


Given = Parametrisation | Mapping[str, Any] | Sequence[str] | None


def parametrisation(model: PopulationModel[Any, Any], given: Given = None) -> Parametrisation:
    """What is to be fitted, checked against the model.

    Args:
        model: whose parameters they are.
        given: a parametrisation as it is; names, or names with (low, high) or a Free; or None for all parameters
            that the model declares a range of fit for.

    Raises:
        InputError, UnknownName: no parameter of the model, nothing to fit, or bounds that cannot be used.
    """
    if given is None:
        given = [name for name, parameter in model.parameters.items() if parameter.fit]
        if not given:
            raise InputError("parameters", None, f"Name some of: {', '.join(model.parameters)}.")
    if isinstance(given, str):
        given = [given]
    names = given.names if not isinstance(given, Mapping | Sequence) else tuple(given)
    for name in names:
        if name not in model.parameters:
            raise UnknownName(f"parameter of {model.name}", name, model.parameters)
    if not names:
        raise InputError("parameters", (), f"Name some of: {', '.join(model.parameters)}.")
    if not isinstance(given, Mapping | Sequence):
        return given
    bounds = given if isinstance(given, Mapping) else dict.fromkeys(given)
    return FreeParameters(tuple((name, _range(model, name, bound)) for name, bound in bounds.items()))


def _range(model: PopulationModel[Any, Any], name: str, bound: Free | Sequence[float] | None) -> Free:
    declared = model.parameters[name]
    if bound is None:
        low, high = declared.fit or (declared.low, declared.high)
        free = Free(low, high, declared.log)
    elif isinstance(bound, Free):
        free = bound
    else:
        try:
            low, high = (float(x) for x in bound)
        except (TypeError, ValueError):
            raise InputError(f"bounds {name}", bound, "Give a lowest and a highest value.") from None
        free = Free(low, high, declared.log and low > 0)
    if not free.low < free.high:
        raise InputError(f"bounds {name}", (free.low, free.high), "The lowest value must be below the highest.")
    if free.low < declared.low or free.high > declared.high:
        mend = f"Stay within {declared.low:g} and {declared.high:g}."
        raise InputError(f"bounds {name}", (free.low, free.high), mend)
    if free.log and free.low <= 0:
        raise InputError(f"bounds {name}", (free.low, free.high), "A logarithmic range starts above 0.")
    if not (free.periods >= 0 and isinstance(free.periods, int)):
        raise InputError(f"periods {name}", free.periods, "Use a whole number, 0 for one value throughout.")
    if free.periods and not model.weekly:
        raise InputError(f"periods {name}", free.periods, f"Use 0: {model.name} takes one value throughout.")
    return free
