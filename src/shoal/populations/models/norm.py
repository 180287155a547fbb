"""A norm that spreads on any network: by thresholds, by copying one neighbour, or by the majority.

``threshold``: an agent takes the norm up if at least its threshold's share of its neighbours hold it (Granovetter 1978,
Am. J. Sociol. 83, 1420-1443; on networks Watts 2002, PNAS 99, 5766-5771; complex contagion, Centola and Macy 2007, Am.
J. Sociol. 113, 702-734). ``voter``: an agent copies a neighbour drawn at random (Holley and Liggett 1975, Ann. Probab.
3, 643-663). ``majority``: an agent does what most of its neighbours do, and stays with what it does if they are split.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray
from pydantic import Field

from shoal.populations.acquaintance import AcquaintanceSettings, InfluenceModel
from shoal.populations.model import Facts, Parameter, Parameters, Substep, model, replaced
from shoal.populations.networks import Network
from shoal.populations.noise import uniform

ROUNDING = 1e-3
"""A threshold counts as reached if so little of a neighbour is missing: 0.3 of 10 neighbours are 3."""


class NormSettings(AcquaintanceSettings):
    """Settings of the norm."""

    rule: Literal["threshold", "voter", "majority"] = Field("threshold", description="When an agent takes the norm up.")
    lasting: bool = Field(True, description="By thresholds, whoever has taken the norm up keeps it.")
    start: Literal["scattered", "together"] = Field(
        "scattered",
        description="The first to hold it: anybody, or those numbered first (side by side in a small world).",
    )


class Holders(eqx.Module):
    """Who holds the norm.

    Attributes:
        holds: it now.
        committed: will never give it up.
        threshold: share of neighbours that convinces each.
        net: who knows whom.
    """

    holds: Bool[Array, " agents"]
    committed: Bool[Array, " agents"]
    threshold: Float[Array, " agents"]
    net: Network


class Influence(Substep[Holders]):
    """Some agents reconsider, by what their neighbours do."""

    rule: str = eqx.field(static=True)
    lasting: bool = eqx.field(static=True)

    def observe(self, state: Holders, parameters: Parameters) -> tuple[Holders, Array]:
        """How many neighbours hold the norm."""
        return state, state.net.total(state.holds.astype(jnp.float32))

    def decide(self, key: PRNGKeyArray, observation: tuple[Holders, Array], parameters: Parameters) -> Array:
        """Who holds the norm next."""
        state, number = observation
        copy_key, active_key, new_key = jax.random.split(key, 3)
        count, degrees = state.net.count, state.net.degrees.astype(jnp.float32)
        if self.rule == "threshold":
            # At a threshold of 0 nobody else is needed; above it somebody is, so that the lonely stay as they are.
            reached = (number >= state.threshold * degrees - ROUNDING) & ((number > 0) | (state.threshold <= 0))
            wanted = reached | state.holds if self.lasting else jnp.where(degrees > 0, reached, reached | state.holds)
        elif self.rule == "voter":
            wanted = jnp.where(degrees > 0, uniform(copy_key, count) * degrees < number, state.holds)
        else:
            wanted = jnp.where(2 * number == degrees, state.holds, 2 * number > degrees)
        active = uniform(active_key, count) < parameters["activity"]
        innovates = uniform(new_key, count) < parameters["innovation"]
        return jnp.where(active, wanted, state.holds) | innovates | state.committed

    def transition(
        self, key: PRNGKeyArray, state: Holders, decision: Array, parameters: Parameters
    ) -> Mapping[str, Any]:
        """They do."""
        return {"holds": decision}


@model("norm")
class Norm(InfluenceModel[NormSettings, Holders]):
    """A norm that spreads by thresholds (complex contagion), copying or majority."""

    schema = NormSettings
    flows = frozenset({"adoptions", "losses"})
    weekly = False
    parameters: ClassVar = {
        "initial": Parameter(0.05, 0.0, 1.0, "share of agents who hold the norm at the start", (0.0, 0.5)),
        "threshold": Parameter(0.3, 0.0, 1.0, "share of neighbours that convinces, on average", (0.0, 1.0)),
        "spread": Parameter(0.0, 0.0, 10.0, "deviation of the agents' thresholds (normal)", (0.0, 0.5)),
        "activity": Parameter(1.0, 0.0, 1.0, "probability to reconsider, each step", (0.0, 1.0)),
        "innovation": Parameter(0.0, 0.0, 1.0, "probability to take the norm up alone, each step", (0.0, 0.1)),
        "committed": Parameter(0.0, 0.0, 1.0, "share of those who hold it at the start that never give it up"),
    }

    def on(self, net: Network) -> Holders:
        """Agents without the norm, on that network."""
        self.require_fit(net)
        nobody = jnp.zeros(net.count, bool)
        return Holders(nobody, nobody, jnp.zeros(net.count), net)

    def begin(self, key: PRNGKeyArray, population: Holders, parameters: Parameters) -> Holders:
        """The first to hold it, and everybody's threshold."""
        first_key, committed_key, threshold_key = jax.random.split(key, 3)
        count = self.settings.agents
        if self.settings.start == "together":
            holds = jnp.arange(count) < jnp.round(parameters["initial"] * count)
        else:
            holds = uniform(first_key, count) < parameters["initial"]
        committed = holds & (uniform(committed_key, count) < parameters["committed"])
        threshold = parameters["threshold"] + parameters["spread"] * jax.random.normal(threshold_key, (count,))
        return replaced(population, {"holds": holds, "committed": committed, "threshold": threshold})

    def substeps(self) -> tuple[Substep[Holders], ...]:
        """One."""
        return (Influence(self.settings.rule, self.settings.lasting),)

    def report(self, before: Holders, after: Holders) -> Facts:
        """The share that holds the norm, and how many took it up or gave it up."""
        return {
            "share": after.holds.mean(dtype=jnp.float32),
            "adoptions": (after.holds & ~before.holds).sum().astype(jnp.float32),
            "losses": (before.holds & ~after.holds).sum().astype(jnp.float32),
        }
