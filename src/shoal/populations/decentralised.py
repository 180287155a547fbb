"""Decentralised models: agents hear nothing of each other but sums over their neighbours.

A model says which numbers are summed over which of its networks (``Exchange.messages``) and what an agent makes of the
sums (``Exchange.heard``). Whatever else a step does, each agent does with its own numbers alone. A model in this form
runs openly, as any other, and in shares (``shoal.populations.private``), where the sums are all that anybody learns.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from shoal.populations.model import Facts, Parameters, PopulationModel, PopulationSettings, Substep
from shoal.populations.networks import Network

S = TypeVar("S", bound=eqx.Module)
C = TypeVar("C", bound=PopulationSettings)


class Exchange(Substep[S]):
    """A substep in which every agent sends a number over some networks of the state, and hears the sums."""

    @abstractmethod
    def messages(self, state: S, parameters: Parameters) -> Mapping[str, Float[Array, " agents"]]:
        """What each agent sends over each network, by the state's field, from its own numbers."""

    @abstractmethod
    def heard(self, state: S, sums: Mapping[str, Float[Array, " agents"]], parameters: Parameters) -> Any:
        """What each agent observes, from its own numbers and the sums over its neighbours in each network."""

    def observe(self, state: S, parameters: Parameters) -> Any:
        """The same, with sums computed openly."""
        sent = self.messages(state, parameters)
        return self.heard(state, {name: getattr(state, name).total(x) for name, x in sent.items()}, parameters)


class DecentralisedModel(PopulationModel[C, S]):
    """A model whose substeps are exchanges or keep to each agent's own numbers."""

    @abstractmethod
    def parts(self, before: S, after: S) -> Facts:
        """Each agent's own part of every reported figure [agents]."""

    def report(self, before: S, after: S) -> Facts:
        """Sums of all agents' parts."""
        return {name: part.sum().astype(jnp.float32) for name, part in self.parts(before, after).items()}

    def apart(self, population: S) -> S:
        """The population with every number kept by the agent whom it is about; as it is, unless said otherwise.

        Raises:
            InputError: it holds what is nobody's own, so that it cannot be run in shares.
        """
        return population


def networks(state: eqx.Module) -> dict[str, Network]:
    """The networks of a state, by field."""
    found = {field.name: getattr(state, field.name) for field in fields(state)}
    return {name: x for name, x in found.items() if isinstance(x, Network)}
