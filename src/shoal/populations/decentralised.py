"""Decentralised models: agents hear nothing of each other but the sum of what their neighbours send.

Whatever else a step does, each agent does with its own numbers alone. A model in this form runs openly, as any other,
and in shares (``shoal.populations.private``), where the sums are all that anybody learns.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol, TypeVar

import equinox as eqx
from jaxtyping import Array, Float

from shoal.populations.model import Facts, Parameters, PopulationModel, PopulationSettings, Substep
from shoal.populations.networks import Network


class Tied(Protocol):
    """A state with a network."""

    ties: Network


S = TypeVar("S", bound=eqx.Module)
C = TypeVar("C", bound=PopulationSettings)


class Exchange(Substep[S]):
    """A substep in which every agent sends one number to its neighbours, and hears their sum."""

    @abstractmethod
    def message(self, state: S, parameters: Parameters) -> Float[Array, " agents"]:
        """What each agent sends, from its own numbers."""

    def observe(self, state: S, parameters: Parameters) -> Float[Array, " agents"]:
        """What each agent hears, computed openly."""
        return ties(state).total(self.message(state, parameters))


class DecentralisedModel(PopulationModel[C, S]):
    """A model whose substeps are exchanges or keep to each agent's own numbers, with one network, ``ties``."""

    @abstractmethod
    def parts(self, before: S, after: S) -> Facts:
        """Each agent's own part of every reported figure [agents]."""

    def report(self, before: S, after: S) -> Facts:
        """Sums of all agents' parts."""
        return {name: part.sum() for name, part in self.parts(before, after).items()}


def ties(state: eqx.Module) -> Network:
    """The network over which they exchange."""
    net: Network = state.ties  # type: ignore[attr-defined]
    return net
