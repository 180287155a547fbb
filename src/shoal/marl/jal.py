"""JAL: one learner for the whole team, with a value for every joint action (Claus & Boutilier 1998).

It sees the global state and can represent any payoff, also those that no monotone mixer can, at the price of a table
that grows with actions to the power of agents, and of a centre that decides for everybody while acting.

Departure from the paper: its agents each learn joint values and play against the others' frequencies; here one learner
chooses the best joint action, and agents still explore each for itself.
"""

from __future__ import annotations

import math
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from shoal.errors import InputError
from shoal.marl.action_values import QNetwork, Values, greedy, stray
from shoal.marl.learner import learner
from shoal.marl.players import View, central_size
from shoal.marl.replay import Sample, Transition
from shoal.marl.values import Parts, ValueLearner, ValueSettings
from shoal.worlds import World

MOST = 4096
"""Joint actions up to which a table of them is made."""


class JointNetwork(eqx.Module):
    """The global state to a value for each joint action.

    Attributes:
        network: with the whole team as its only agent.
        actions: of each agent.
    """

    network: QNetwork
    actions: int = eqx.field(static=True)

    def start(self, agents: int, batch: tuple[int, ...]) -> Any:
        """The memory before the first step."""
        return self.network.start(1, batch)

    def decide(self, key: PRNGKeyArray, view: View, memory: Any, epsilon: Array | float) -> tuple[Array, Any, Array]:
        """The best joint action, from which each agent strays with chance ``epsilon``."""
        seen = whole(view, joint_legal(view.legal))
        q, memory = self.network(seen, memory)
        best = self.split(greedy(q, seen.legal)[0], view.alive.shape[0])
        return stray(key, best, view.legal, epsilon), memory, q

    def split(self, joint: Int[Array, "*batch"], agents: int) -> Int[Array, "agents *batch"]:
        """Each agent's action in a joint action; the last agent's counts fastest."""
        return jnp.stack([(joint // self.actions**k) % self.actions for k in reversed(range(agents))])

    def number(self, action: Int[Array, "agents *batch"]) -> Int[Array, "*batch"]:
        """The joint action of all agents' actions."""
        joint = jnp.zeros(action.shape[1:], jnp.int32)
        for own in action:
            joint = joint * self.actions + own
        return joint


class JointValues(eqx.Module):
    """Learns like one agent that is the whole team.

    Attributes:
        network: its values.
    """

    network: JointNetwork

    def errors(
        self, target: JointValues, sample: Sample, discount: float, double: bool, team_reward: bool
    ) -> tuple[Float[Array, "..."], Float[Array, "..."], Float[Array, "..."]]:
        """As of ``Values``, on joint actions and the mean reward; [1, time, batch]."""
        steps = sample.steps
        joint = Transition(
            whole(steps.view, joint_legal(steps.view.legal)),
            self.network.number(steps.action)[None],
            steps.reward.mean(0)[None],
            whole(steps.next, joint_legal(steps.next.legal)),
            steps.terminated,
            {},
        )
        one, other = Values(self.network.network), Values(target.network.network)
        return one.errors(other, Sample(joint, sample.memory), discount, double, True)


def whole(view: View, legal: Bool[Array, "actions 1 *batch"], *more: Float[Array, "*batch"]) -> View:
    """The view of one who sees the global state (and more) and acts for the whole team, which somebody alive makes."""
    obs = jnp.concatenate([view.everything, *(x[None, None] for x in more)])
    return View(obs, jnp.zeros((0, *view.fresh.shape)), view.alive.any(0, keepdims=True), legal, view.fresh)


def joint_legal(legal: Bool[Array, "actions agents *batch"]) -> Bool[Array, "joint 1 *batch"]:
    """Joint actions in which every agent's own is legal."""
    joint = legal[:, 0]
    for agent in range(1, legal.shape[1]):
        both = joint[:, None] & legal[:, agent][None]
        joint = both.reshape(-1, *both.shape[2:])
    return joint[:, None]


class JALSettings(ValueSettings):
    """Nothing of its own."""


@learner("jal")
class JAL(ValueLearner[JALSettings]):
    """Joint-action learning."""

    schema = JALSettings

    @property
    def central(self) -> bool:
        """The learner reads the global state."""
        return True

    def parts(self, key: PRNGKeyArray, world: World[Any]) -> Parts:
        """One network for the team."""
        count = joint_count(world)
        network = self.estimator(key, central_size(world), count, self.settings.recurrent)
        return {"values": JointValues(JointNetwork(network, world.action_count))}


def joint_count(world: World[Any]) -> int:
    """Joint actions of a world. Raises InputError where they are too many for a table."""
    agents, actions = world.agent_count, world.action_count
    if agents * math.log(actions) > math.log(MOST) + 1e-9:
        mend = f"A joint action learner takes at most {MOST} joint actions; use qmix."
        raise InputError("world", f"{agents} agents with {actions} actions", mend)
    return int(actions**agents)
