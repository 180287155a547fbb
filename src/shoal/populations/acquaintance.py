"""Acquaintance: the networks that models of influence run on, by name, or one of the user's own.

A model of influence is made for any network: ``model.on(net)`` is its population on a network that was made or read
elsewhere.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, Literal, TypeVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int
from pydantic import Field

from shoal.errors import InputError
from shoal.populations.generators import grid, mobility, regular, scale_free, small_world
from shoal.populations.model import PopulationModel, PopulationSettings
from shoal.populations.networks import Network, network

MOST_COMPLETE = 10_000
"""Agents of whom all can know all."""


class AcquaintanceSettings(PopulationSettings):
    """Who knows whom."""

    network: Literal["small-world", "scale-free", "random", "regular", "grid", "complete"] = Field(
        "small-world", description="Who knows whom; complete is for up to 10,000 agents."
    )
    degree: int = Field(10, ge=0, le=1000, description="Neighbours of each, on average; 4 or 8 on a grid.")
    rewiring: float = Field(0.1, ge=0, le=1, description="Share of a small world's ties that lead anywhere.")


C = TypeVar("C", bound=AcquaintanceSettings)
S = TypeVar("S", bound=eqx.Module)


class InfluenceModel(PopulationModel[C, S]):
    """A model on a network of acquaintance."""

    def population(self, seed: int) -> S:
        """The agents on the network that the settings name."""
        return self.on(acquaintance(self.settings, seed))

    @abstractmethod
    def on(self, net: Network) -> S:
        """The agents on that network. Raises InputError if it is for another number of agents."""

    def require_fit(self, net: Network) -> None:
        """Raise InputError if the network is for another number of agents."""
        if net.count != self.settings.agents:
            mend = f"Model {self.name} has {self.settings.agents}."
            raise InputError("network agents", net.count, mend)

    @property
    def bytes_per_agent(self) -> float:
        """Ties twice (as CSR and in slices), what a step needs for each, and the state."""
        s = self.settings
        ties = s.agents if s.network == "complete" else s.degree
        return 32 * ties + 80


def acquaintance(settings: AcquaintanceSettings, seed: int) -> Network:
    """The network that the settings name; nobody has more neighbours than there are others.

    Raises:
        InputError: an odd degree in a small world, a grid of agents that is no square, or too many for a complete one.
    """
    count, kind = settings.agents, settings.network
    degree = min(settings.degree, count - 1)
    if kind == "complete":
        return complete(count)
    if degree == 0:
        return network(count, np.zeros(0, np.int32), np.zeros(0, np.int32))
    if kind == "grid":
        side = math.isqrt(count)
        if side * side != count:
            raise InputError("agents on a grid", count, f"Use a square number, such as {side * side}.")
        return grid(side, side, corners=degree >= 8, wrap=True)
    if kind == "small-world":
        # With few agents the ring closes: everybody's neighbours come in pairs.
        return small_world(count, degree if settings.degree < count else degree - degree % 2, settings.rewiring, seed)
    if kind == "scale-free":
        return scale_free(count, max(1, degree // 2), seed)
    if kind == "regular":
        return regular(count, degree, seed)
    return mobility(count, degree, seed)


def complete(count: int) -> Network:
    """Everybody knows everybody. Raises InputError for too many."""
    if count > MOST_COMPLETE:
        raise InputError("agents of a complete network", count, f"Use at most {MOST_COMPLETE:,}.")
    first, second = np.triu_indices(count, 1)
    return network(count, first.astype(np.int32), second.astype(np.int32))


def owners(net: Network) -> Int[Array, " ties"]:
    """Whose tie each entry of ``net.neighbours`` is; for sums whose terms depend on both ends."""
    degrees: Any = np.diff(np.asarray(net.offsets))
    return jnp.asarray(np.repeat(np.arange(net.count, dtype=np.int32), degrees))
