"""Opinions that meet only if they are close: bounded confidence on any network.

Two processes. ``average`` (Hegselmann and Krause 2002, J. Artif. Soc. Soc. Simul. 5(3)): everybody moves to the mean of
themselves and those neighbours whose opinion is within ``confidence``; all the way if ``convergence`` is 1, which is
their model. ``pairs`` (Deffuant et al. 2000, Adv. Complex Syst. 3, 87-98): neighbours meet two by two, and if they are
within ``confidence`` both move to the other by ``convergence`` of their distance, so that the mean opinion stays. In a
step of ours many pairs meet at once: half of the agents call a neighbour drawn at random, the others take one call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray
from numpy.typing import NDArray
from pydantic import Field

from shoal.populations.acquaintance import AcquaintanceSettings, InfluenceModel, owners
from shoal.populations.model import Facts, Parameter, Parameters, Substep, model, replaced
from shoal.populations.networks import Network
from shoal.populations.noise import uniform

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BINS = 50
"""Of the report's histogram."""


class OpinionSettings(AcquaintanceSettings):
    """Settings of the opinions."""

    process: Literal["average", "pairs"] = Field("average", description="Hegselmann-Krause, or Deffuant's pairs.")


class Opinions(eqx.Module):
    """What everybody thinks.

    Attributes:
        opinion: from 0 to 1.
        net: who knows whom.
        owner: of each of its ties; of none where the process does not need it.
    """

    opinion: Float[Array, " agents"]
    net: Network
    owner: Int[Array, " ties"]


class Averaging(Substep[Opinions]):
    """Everybody moves to the mean of the opinions that are close."""

    def decide(self, key: PRNGKeyArray, observation: Opinions, parameters: Parameters) -> Array:
        """How far to move: the mean difference, oneself (0) counted."""
        mine, other = observation.opinion[observation.owner], observation.opinion[observation.net.neighbours]
        # The mean of differences, not of opinions: those who agree stay exactly where they are.
        close = jnp.abs(other - mine) <= parameters["confidence"]
        count = observation.net.count
        apart = jax.ops.segment_sum(jnp.where(close, other - mine, 0.0), observation.owner, count, True)
        number = jax.ops.segment_sum(close.astype(jnp.float32), observation.owner, count, True)
        move: Array = parameters["convergence"] * apart / (1 + number)
        return move

    def transition(
        self, key: PRNGKeyArray, state: Opinions, decision: Array, parameters: Parameters
    ) -> Mapping[str, Any]:
        """There."""
        return {"opinion": state.opinion + decision}


class Pairing(Substep[Opinions]):
    """Neighbours meet two by two."""

    def decide(self, key: PRNGKeyArray, observation: Opinions, parameters: Parameters) -> Array:
        """Everybody's partner; those without one are their own."""
        return paired(key, observation.net)

    def transition(
        self, key: PRNGKeyArray, state: Opinions, decision: Array, parameters: Parameters
    ) -> Mapping[str, Any]:
        """Both move, if they are close."""
        apart = state.opinion[decision] - state.opinion
        close = jnp.abs(apart) <= parameters["confidence"]
        return {"opinion": state.opinion + jnp.where(close, parameters["convergence"] * apart, 0.0)}


class Drift(Substep[Opinions]):
    """Opinions change by themselves a little, within 0 to 1."""

    def decide(self, key: PRNGKeyArray, observation: Opinions, parameters: Parameters) -> Array:
        """By how much."""
        return parameters["noise"] * jax.random.normal(key, observation.opinion.shape)

    def transition(
        self, key: PRNGKeyArray, state: Opinions, decision: Array, parameters: Parameters
    ) -> Mapping[str, Any]:
        """So much."""
        return {"opinion": jnp.clip(state.opinion + decision, 0.0, 1.0)}


@model("opinion")
class Opinion(InfluenceModel[OpinionSettings, Opinions]):
    """Opinions with bounded confidence on a network (Hegselmann-Krause, Deffuant)."""

    schema = OpinionSettings
    flows = frozenset()
    weekly = False
    parameters: ClassVar = {
        "confidence": Parameter(0.2, 0.0, 1.0, "greatest distance of opinions that meet", (0.05, 0.5)),
        "convergence": Parameter(0.5, 0.0, 1.0, "share of the way that is gone", (0.0, 1.0)),
        "noise": Parameter(0.0, 0.0, 1.0, "deviation of what changes by itself, each step", (0.0, 0.1)),
    }

    def on(self, net: Network) -> Opinions:
        """Agents in the middle, on that network."""
        self.require_fit(net)
        owner = owners(net) if self.settings.process == "average" else jnp.zeros(0, jnp.int32)
        return Opinions(jnp.full(net.count, 0.5), net, owner)

    def begin(self, key: PRNGKeyArray, population: Opinions, parameters: Parameters) -> Opinions:
        """Opinions anywhere from 0 to 1."""
        return replaced(population, {"opinion": uniform(key, self.settings.agents)})

    def substeps(self) -> tuple[Substep[Opinions], ...]:
        """Influence, and drift."""
        return Averaging() if self.settings.process == "average" else Pairing(), Drift()

    def report(self, before: Opinions, after: Opinions) -> Facts:
        """Mean and deviation, how fast opinions move, and their histogram."""
        x = after.opinion
        bins = jnp.clip((x * BINS).astype(jnp.int32), 0, BINS - 1)
        # The mean of the distance from 1/2, whose sum stays small, keeps more digits.
        return {
            "mean": 0.5 + (x - 0.5).mean(),
            "deviation": jnp.sqrt(((x - x.mean()) ** 2).mean() + 1e-16),
            "movement": jnp.abs(x - before.opinion).mean(),
            "shares": jnp.zeros(BINS).at[bins].add(1.0 / self.settings.agents),
        }

    def figures(self, series: Mapping[str, NDArray[np.float64]]) -> Mapping[str, Figure]:
        """The histogram over time, of the first run."""
        from shoal.populations.pictures import distribution

        return {"opinions": distribution(series["shares"][0], 0.0, 1.0, "opinion")}


def paired(key: PRNGKeyArray, net: Network) -> Int[Array, " agents"]:
    """Disjoint pairs of neighbours, drawn at random: everybody's partner, or oneself.

    Half of the agents call a neighbour; of those who call the same listener one gets through.
    """
    role_key, choice_key, turn_key = jax.random.split(key, 3)
    count, degrees = net.count, net.degrees
    agent = jnp.arange(count, dtype=jnp.int32)
    calls = (uniform(role_key, count) < 0.5) & (degrees > 0)
    if not net.ties:
        return agent
    choice = jnp.minimum((uniform(choice_key, count) * degrees).astype(jnp.int32), degrees - 1)
    callee = net.neighbours[jnp.where(calls, net.offsets[:-1] + choice, 0)]
    reaches = calls & ~calls[callee]
    # Distinct numbers in an order that is new in every step, so that nobody is heard first always.
    turn = agent ^ jax.random.bits(turn_key, (), jnp.uint32).astype(jnp.int32) & 0x7FFFFFFF
    first = jnp.full(count, -1, jnp.int32).at[jnp.where(reaches, callee, count)].max(turn, mode="drop")
    meets = reaches & (first[callee] == turn)
    partner = jnp.where(meets, callee, agent)
    return partner.at[jnp.where(meets, callee, count)].set(agent, mode="drop")
