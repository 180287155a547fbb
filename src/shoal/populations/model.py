"""The population model: state as arrays of agents, a day as an ordered list of substeps, and what it reports.

A substep is three pure functions: ``observe`` (what agents see), ``decide`` (what they do), ``transition`` (what comes
of it). All decisions of a substep are made from the same state, and its transition changes only what it returns.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from shoal.errors import InputError, UnknownName
from shoal.registry import Registry
from shoal.runs.settings import validate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Parameters = dict[str, Array]
"""Differentiable numbers by name: scalars, or one for each period."""

Facts = dict[str, Array]
"""What a step reports: aggregates by name, never a copy of the agents."""


class PopulationSettings(BaseModel):
    """What every model has; frozen, no unknown fields, each field's description is its help text."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    agents: int = Field(10_000, ge=1, le=200_000_000, description="Number of agents.")


@dataclass(frozen=True)
class Parameter:
    """A number that can be fitted.

    Attributes:
        default: its value if nothing is said.
        low: least value.
        high: greatest value.
        help: what it is, with its unit.
        fit: range in which it is fitted if nothing is said; None where it is fitted only when asked for.
        log: fitted on a logarithmic scale.
    """

    default: float
    low: float
    high: float
    help: str
    fit: tuple[float, float] | None = None
    log: bool = False


S = TypeVar("S", bound=eqx.Module)
C = TypeVar("C", bound=PopulationSettings)


class Substep(eqx.Module, Generic[S]):
    """One part of a step."""

    def observe(self, state: S, parameters: Parameters) -> Any:
        """What the agents see; the state itself unless said otherwise."""
        return state

    @abstractmethod
    def decide(self, key: PRNGKeyArray, observation: Any, parameters: Parameters) -> Any:
        """What every agent does."""

    @abstractmethod
    def transition(self, key: PRNGKeyArray, state: S, decision: Any, parameters: Parameters) -> Mapping[str, Any]:
        """The parts of the state that change, by name."""


class PopulationModel(ABC, Generic[C, S]):
    """A model of a population.

    Args:
        settings: by name; raises UnknownName or InputError.

    Attributes:
        name: as registered.
        schema: class of the settings.
        parameters: what can be set and fitted, by name.
        flows: names of reported figures that count what happened in a step and can be summed; others are levels.
        streams: reported figures that data have under another name, by that name.
        weekly: whether a parameter may have a value for each week.
        settings: of this model.
    """

    name: ClassVar[str]
    schema: ClassVar[type[PopulationSettings]]
    parameters: ClassVar[Mapping[str, Parameter]]
    flows: ClassVar[frozenset[str]]
    streams: ClassVar[Mapping[str, str]] = {}
    weekly: ClassVar[bool] = True

    def __init__(self, **settings: Any) -> None:
        self.settings: C = validate(self.schema, settings, f"model {self.name}")  # type: ignore[assignment]

    @abstractmethod
    def population(self, seed: int) -> S:
        """The agents before the first step, with their networks; built once, on the host.

        Args:
            seed: of the networks and of whatever does not change in a run.
        """

    @abstractmethod
    def begin(self, key: PRNGKeyArray, population: S, parameters: Parameters) -> S:
        """The state before the first step: what chance and the parameters decide at the start."""

    @abstractmethod
    def substeps(self) -> tuple[Substep[S], ...]:
        """The parts of a step, in order."""

    @abstractmethod
    def report(self, before: S, after: S) -> Facts:
        """Aggregates of a step; scalars or small arrays."""

    @property
    @abstractmethod
    def bytes_per_agent(self) -> float:
        """Memory that a run needs for each agent, networks included; an upper estimate."""

    def figures(self, series: Mapping[str, NDArray[np.float64]]) -> Mapping[str, Figure]:
        """Pictures beside the curves, by name, from what a run reported (by name, each [seeds, steps, ...])."""
        return {}

    def step(self, key: PRNGKeyArray, state: S, parameters: Parameters) -> tuple[S, Facts]:
        """All substeps, and what to report."""
        before = state
        for substep in self.substeps():
            decide_key, move_key, key = jax.random.split(key, 3)
            decision = substep.decide(decide_key, substep.observe(state, parameters), parameters)
            changed = substep.transition(move_key, state, decision, parameters)
            state = replaced(state, changed)
        return state, self.report(before, state)

    def check(self, values: Mapping[str, Any]) -> Parameters:
        """All parameters, with defaults for those not given.

        Raises:
            InputError: unknown, not finite, or out of range.
        """
        for name in values:
            if name not in self.parameters:
                raise UnknownName(f"parameter of {self.name}", name, self.parameters)
        checked = {}
        for name, parameter in self.parameters.items():
            try:
                value = np.asarray(values.get(name, parameter.default), np.float32)
            except (TypeError, ValueError):
                raise InputError(f"parameter {name}", values[name], "Give a number, or one for each week.") from None
            if value.ndim == 1 and not self.weekly:
                raise InputError(f"parameter {name}", values[name], "Give one number; it holds for the whole run.")
            if value.ndim > 1 or not value.size:
                raise InputError(f"parameter {name}", values[name], "Give a number, or one for each week.")
            if not bool(((value >= parameter.low) & (value <= parameter.high)).all()):
                mend = f"Use numbers from {parameter.low:g} to {parameter.high:g}."
                raise InputError(f"parameter {name}", values[name], mend)
            checked[name] = jnp.asarray(value)
        return checked

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.settings == other.settings

    def __hash__(self) -> int:
        return hash((type(self).__name__, self.settings))


def replaced(state: S, changed: Mapping[str, Any]) -> S:
    """The state with those fields changed."""
    names = list(changed)
    result: S = eqx.tree_at(lambda s: [getattr(s, name) for name in names], state, [changed[name] for name in names])
    return result


M = TypeVar("M", bound=type[PopulationModel[Any, Any]])

MODELS: Registry[type[PopulationModel[Any, Any]]] = Registry("model", "shoal.populations.models")


def model(name: str) -> Callable[[M], M]:
    """Class decorator that registers a model and gives it its name."""

    def add(kind: M) -> M:
        kind.name = name
        MODELS.register(name)(kind)
        return kind

    return add


def make_model(name: str, **settings: Any) -> PopulationModel[Any, Any]:
    """The model of that name. Raises UnknownName or InputError."""
    return MODELS.get(name)(**settings)
