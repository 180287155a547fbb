"""How far a model is from data: the loss of parameters, and its slope.

The loss of one run is the sum over streams of weight x mean over days of ((simulated - observed) / deviation of the
observed)^2. Its mean over runs adds the runs' own variance to the squared distance of their mean, so that it leans to
values whose runs agree; that is the price of one number for each run.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray
from numpy.typing import ArrayLike, NDArray

from shoal.errors import InputError, UnknownName
from shoal.populations.model import Parameters, PopulationModel
from shoal.populations.parametrisation import FreeParameters, Given, Itself, Parametrisation, parametrisation
from shoal.populations.rollout import forward_slope, reported, rollout
from shoal.populations.simulation import program, require_memory
from shoal.populations.streams import SIGNALS, Streams, streams
from shoal.runs.seeds import derive

Loss = Literal["each", "mean"]
LOSSES = ("each", "mean")
Mode = Literal["auto", "forward", "reverse"]
MODES = ("auto", "forward", "reverse")
SHORT = 4
"""Parameter vectors of at most that many numbers are differentiated forward, which stores nothing."""


@dataclass(frozen=True)
class Objective:
    """A model, data, and what may move.

    Attributes:
        model: that is fitted.
        population: its agents before the first step.
        names: reported figures that are compared.
        observed: their values [streams, steps].
        scale: what their errors are divided by [streams], the weights included.
        free: turns weights into parameters.
        fixed: all other parameters.
        mode: how slopes are computed: forward or reverse.
        labels: what each step is called in the data.
        loss_of: each run, or the mean run.
    """

    model: PopulationModel[Any, Any]
    population: Any = field(repr=False)
    names: tuple[str, ...]
    observed: NDArray[np.float64] = field(repr=False)
    scale: NDArray[np.float64]
    free: Parametrisation
    fixed: Parameters
    mode: Literal["forward", "reverse"]
    labels: tuple[str, ...] = ()
    loss_of: Loss = "each"

    @property
    def steps(self) -> int:
        """Steps of one run."""
        return int(self.observed.shape[1])

    @property
    def size(self) -> int:
        """How many numbers are free."""
        return int(self.flat(self.free.start(jax.random.key(0))).size)

    def flat(self, weights: Any) -> Float[Array, " numbers"]:
        """Weights as one row of numbers."""
        return ravel_pytree(weights)[0]

    def values(self, flat: ArrayLike) -> dict[str, NDArray[np.float64]]:
        """The free parameters at these weights."""
        found = valued(self.free)(jnp.asarray(flat, jnp.float32))
        return {name: np.asarray(x, np.float64) for name, x in found.items()}

    def loss(self, flat: ArrayLike, keys: PRNGKeyArray) -> float:
        """Mean loss over the runs of these keys."""
        return float(self.losses(flat, keys).mean())

    def losses(self, flat: ArrayLike, keys: PRNGKeyArray) -> NDArray[np.float64]:
        """Loss of the run of each of these keys [keys]; for the mean run the share of each in its loss."""
        return self._losses(self.curves(self.values(flat), keys))

    def slope(self, flat: ArrayLike, keys: PRNGKeyArray) -> tuple[float, NDArray[np.float64]]:
        """Mean loss over the runs of these keys, and its slope along the weights [numbers]."""
        at = jnp.asarray(flat, jnp.float32)
        if isinstance(self.free, FreeParameters):
            return self._slope(self.free, at, keys)
        # A function's own slope is chained on behind: functions that read other data share the run's program.
        values, back = jax.vjp(valued(self.free), at)
        theta, form = ravel_pytree(values)
        itself = Itself(tuple((name, x.size if x.ndim else 0) for name, x in sorted(values.items())))
        loss, slope = self._slope(itself, theta, keys)
        return loss, np.asarray(back(form(jnp.asarray(slope, jnp.float32)))[0], np.float64)

    def _slope(self, free: Parametrisation, at: Array, keys: PRNGKeyArray) -> tuple[float, NDArray[np.float64]]:
        of_one = _differentiated(self.model, free, self.names, self.steps, self.mode)
        scale, aims = (
            jnp.asarray(self.scale, jnp.float32),
            np.broadcast_to(self.observed, (keys.size, *self.observed.shape)),
        )
        loss = None
        if self.loss_of == "mean":
            curves = self.curves(valued(free)(at), keys)
            loss, aims = float(self._losses(curves).mean()), self._aims(curves)
        # One run after the other: agents fill the machine by themselves, and each run follows its own few senders.
        each = [
            jax.device_get(of_one(at, key, self.population, self.fixed, jnp.asarray(aim, jnp.float32), scale))
            for key, aim in zip(keys, aims, strict=True)
        ]
        slope = np.asarray(np.mean([slope for _, slope in each], 0, np.float64))
        return float(np.mean([x for x, _ in each])) if loss is None else loss, slope

    def _aims(self, curves: NDArray[np.float64]) -> NDArray[np.float64]:
        """What each run's squared distance is taken from for the slope [keys, streams, steps].

        The data; or for the mean run the point from which it is as far as the mean of the others is from the data.
        """
        if self.loss_of == "each":
            return np.broadcast_to(self.observed, curves.shape)
        return np.asarray(curves - _others(curves) + self.observed)

    def _losses(self, curves: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of curves [keys, streams, steps]: [keys]."""
        if self.loss_of == "each":
            return self.distance(curves)
        gaps = [(x - self.observed) / self.scale[:, None] for x in (curves, _others(curves))]
        return np.asarray((gaps[0] * gaps[1]).mean(-1).sum(-1))

    def curves(self, parameters: Mapping[str, Any], keys: PRNGKeyArray) -> NDArray[np.float64]:
        """What the runs of these keys report [keys, streams, steps]; parameters that are not given stay fixed."""
        values = self.fixed | {name: jnp.asarray(x, jnp.float32) for name, x in parameters.items()}
        run = program(self.model, self.steps)
        tables = [jax.device_get(run(key, self.population, values)) for key in keys]
        return np.array([[table[name] for name in self.names] for table in tables], np.float64)

    def distance(self, curves: NDArray[np.float64], observed: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """The loss of curves [..., streams, steps] against the observed ones (or others)."""
        gap = (curves - (self.observed if observed is None else observed)) / self.scale[:, None]
        return np.asarray((gap**2).mean(-1).sum(-1))


def objective(
    model: PopulationModel[Any, Any],
    data: Streams | Mapping[str, ArrayLike],
    parameters: Given = None,
    *,
    fixed: Mapping[str, Any] | None = None,
    weights: Mapping[str, float] | None = None,
    population: Any = None,
    world: int = 0,
    mode: Mode = "auto",
    loss: Loss = "each",
) -> Objective:
    """What to minimise, with everything checked.

    Args:
        model: with its settings.
        data: observed series by name, one value for each step; names of reported figures, or what the model says
            that data call them. Signals (mobility) are not compared.
        parameters: what may move; see ``parametrisation``.
        fixed: values of other parameters.
        weights: of streams, 1 if not given.
        population: made before by ``model.population``.
        world: seed of the population, if it is made here.
        mode: of differentiation; ``auto`` is forward for at most SHORT numbers.
        loss: mean over runs of ``each`` run's, or that of their ``mean`` (two seeds or more).

    Raises:
        InputError, UnknownName: data, parameters, bounds or weights that do not fit.
    """
    observed = data if isinstance(data, Streams) else streams(data)
    free = parametrisation(model, parameters)
    others = model.check(fixed or {})
    for name in free.names:
        if name in (fixed or {}):
            raise InputError(f"parameter {name}", (fixed or {})[name], "Either fix it or fit it.")
    if mode not in MODES:
        raise InputError("mode", mode, f"Use one of {', '.join(MODES)}.")
    if loss not in LOSSES:
        raise InputError("loss", loss, f"Use one of {', '.join(LOSSES)}.")
    if population is None:
        require_memory(model)
        population = model.population(derive(world, "population") % 2**32)
    known = reported(model, population)
    observed.require_known({*known, *model.streams})
    compared = {name: x for name, x in observed.series.items() if name not in SIGNALS or name in known}
    if not compared:
        raise InputError(f"{observed.source} columns", list(observed.series), f"Give one of: {', '.join(known)}.")
    numbers = int(ravel_pytree(free.start(jax.random.key(0)))[0].size)
    return Objective(
        model=model,
        population=population,
        names=tuple(model.streams.get(name, name) for name in compared),
        observed=np.stack([np.asarray(x, float) for x in compared.values()]),
        scale=np.array([_scale(x) / np.sqrt(_weight(weights or {}, name, compared)) for name, x in compared.items()]),
        free=free,
        fixed={name: x for name, x in others.items() if name not in free.names},
        mode=mode if mode != "auto" else "forward" if numbers <= SHORT else "reverse",
        labels=observed.days,
        loss_of=loss,
    )


def _others(curves: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of all other runs, for each run [keys, streams, steps]."""
    return np.asarray((curves.sum(0) - curves) / (len(curves) - 1))


def _scale(observed: NDArray[np.float64]) -> float:
    """Deviation of a stream; of a constant one its size, or 1 if it is 0 throughout."""
    return float(observed.std() or abs(observed[0]) or 1.0)


def _weight(weights: Mapping[str, float], name: str, known: Mapping[str, Any]) -> float:
    for other in weights:
        if other not in known:
            raise UnknownName("weight of stream", other, known)
    weight = weights.get(name, 1.0)
    if not 0 < weight < np.inf:
        raise InputError(f"weight {name}", weight, "Use a positive number.")
    return float(weight)


@functools.lru_cache(maxsize=32)
def valued(free: Parametrisation) -> Callable[[Array], Parameters]:
    """From weights as one row of numbers to parameters; the form of the weights is found once."""
    unflat = ravel_pytree(free.start(jax.random.key(0)))[1]

    def values(flat: Array) -> Parameters:
        return free.values(unflat(flat))

    return values


@functools.lru_cache(maxsize=32)
def _differentiated(
    model: PopulationModel[Any, Any],
    free: Parametrisation,
    names: tuple[str, ...],
    steps: int,
    mode: Literal["forward", "reverse"],
) -> Callable[..., tuple[Array, Array]]:
    """Loss and slope of one run; data and population are arguments, so that equal kinds share the program."""
    unflat = ravel_pytree(free.start(jax.random.key(0)))[1]

    def loss(flat: Array, key: Any, population: Any, fixed: Parameters, observed: Array, scale: Array) -> Array:
        values = fixed | free.values(unflat(flat))
        _, table = rollout(model, steps, key, population, values, rematerialise=mode == "reverse")
        simulated = jnp.stack([table[name].astype(jnp.float32) for name in names])
        return (((simulated - observed) / scale[:, None]) ** 2).mean(-1).sum()

    def forward(flat: Array, *rest: Any) -> tuple[Array, Array]:
        return forward_slope(lambda x: loss(x, *rest), flat)

    of_one = forward if mode == "forward" else jax.value_and_grad(loss)

    compiled: Callable[..., tuple[Array, Array]] = jax.jit(of_one)
    return compiled
