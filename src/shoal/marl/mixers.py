"""Mixers: from the agents' own action values to the team's.

Both are monotone in every agent's value, so that each agent's own best action is part of the team's best joint action
(individual-global-max). Payoffs in which that does not hold cannot be represented.
"""

from __future__ import annotations

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from shoal.marl.networks import Dense, dense

GAIN = 0.1
"""Of the layers that make weights: states of whole numbers (rows, levels) would else make them large. Measured on
foraging (6 by 6, 0.5 M steps): return 0.25 with gain 1, 0.31 with 0.3, 0.48 with 0.1."""

AgentValues = Float[Array, "agents *batch"]
TeamValue = Float[Array, "*batch"]
Everything = Float[Array, "state 1 *batch"]


class Mixer(eqx.Module):
    """Makes one value of all agents'."""

    @abstractmethod
    def __call__(self, values: AgentValues, state: Everything) -> TeamValue:
        """The team's value.

        Args:
            values: of each agent's action; 0 for agents that are not alive.
            state: the global state.
        """


class Sum(Mixer):
    """The sum (Sunehag et al. 2017, equation 1)."""

    def __call__(self, values: AgentValues, state: Everything) -> TeamValue:
        """Of all agents."""
        return values.sum(0)


class Monotone(Mixer):
    """A two-layer network whose weights, never negative, are made from the global state (Rashid et al. 2018, fig. 2).

    Attributes:
        first: from the state to the weights of the first layer, absolute values taken.
        first_bias: from the state to its bias.
        second: from the state to the weights of the second layer, absolute values taken.
        state_hidden: first layer of the network from the state to the last bias.
        state_value: its second layer.
    """

    first: Dense
    first_bias: Dense
    second: Dense
    state_hidden: Dense
    state_value: Dense

    def __call__(self, values: AgentValues, state: Everything) -> TeamValue:
        """Monotone in every agent's value, anything at all in the state."""
        agents, batch = values.shape[0], values.shape[1:]
        embed = self.second.bias.shape[0]
        weight = jnp.abs(self.first(state)).reshape(agents, embed, *batch)
        hidden = jax.nn.elu((values[:, None] * weight).sum(0) + self.first_bias(state)[:, 0])
        value: TeamValue = (hidden * jnp.abs(self.second(state)[:, 0])).sum(0)
        return value + self.state_value(jax.nn.relu(self.state_hidden(state)))[0, 0]


def monotone(key: PRNGKeyArray, agents: int, state: int, embed: int) -> Monotone:
    """A fresh monotone mixer.

    Args:
        key: randomness.
        agents: whose values are mixed.
        state: features of the global state.
        embed: width of the mixing network's hidden layer.
    """
    keys = jax.random.split(key, 5)
    widths = (agents * embed, embed, embed, embed)
    first, first_bias, second, hidden = (
        dense(k, state, width, GAIN) for k, width in zip(keys[:4], widths, strict=True)
    )
    return Monotone(first, first_bias, second, hidden, dense(keys[4], embed, 1, 1.0))
