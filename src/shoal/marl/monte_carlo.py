"""PPO on plain Monte-Carlo returns: no bootstrapping, returns standardised per agent over the batch.

A return is summed from the end of its episode backwards, G_t = r_t + gamma G_{t+1}; an episode that the rollout cuts
ends there, so rollouts should hold whole episodes. The value function learns the standardised return, and the advantage
is the standardised return less the value. Methods whose code does so (HAMMER's) share this class.
"""

from __future__ import annotations

from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float
from pydantic import Field

from shoal.marl.ppo import ActorCriticPPO, PPOSettings, PPOState
from shoal.marl.rollouts import Experience, Runner


class MonteCarloSettings(PPOSettings):
    """Settings of PPO on Monte-Carlo returns; defaults are those of HAMMER's cooperative navigation."""

    worlds: int = Field(32, ge=1, description="Worlds that run side by side.")
    rollout: int = Field(25, ge=1, description="Steps of every world in one update.")
    epochs: int = Field(8, ge=1, description="Passes over the rollout in one update.")
    minibatches: int = Field(1, ge=1, description="Gradient steps in one pass.")
    learning_rate: float = Field(3e-4, gt=0, description="Of Adam, at the start.")
    discount: float = Field(0.95, ge=0, le=1, description="Weight of the next step's reward (gamma).")
    normalise: bool = Field(False, description="Advantages are normalised in each minibatch.")
    standardise: bool = Field(
        True, description="Monte-Carlo returns, standardised per agent; otherwise generalised advantage estimation."
    )
    team_reward: bool = Field(False, description="Every agent is rewarded with the mean over the living agents.")


M = TypeVar("M", bound=MonteCarloSettings)


class MonteCarloPPO(ActorCriticPPO[M]):
    """The shared core with other targets."""

    def _targets(self, state: PPOState, runner: Runner, seen: Experience) -> tuple[Array, Array]:
        """Advantages and value targets, shaped as the experience."""
        s, alive = self.settings, seen.view.alive
        if s.team_reward:
            count = jnp.maximum(alive.sum(2, keepdims=True), 1)
            shared = (seen.reward * alive).sum(2, keepdims=True) / count
            seen = eqx.tree_at(lambda x: x.reward, seen, jnp.broadcast_to(shared, seen.reward.shape))
        if not s.standardise:
            return super()._targets(state, runner, seen)
        shape = seen.reward.shape
        flat = (seen.reward.reshape(-1, *shape[2:]), seen.done.reshape(-1, *shape[3:]))
        target = standardised(returns(*flat, s.discount), alive.reshape(-1, *shape[2:])).reshape(shape)
        return target - seen.value, target


def returns(
    reward: Float[Array, "time agents *batch"], done: Bool[Array, "time *batch"], discount: float
) -> Float[Array, "time agents *batch"]:
    """Discounted sums of the rewards to come, up to the end of the episode or of the rollout."""

    def back(later: Array, now: tuple[Array, Array]) -> tuple[Array, Array]:
        reward, done = now
        total = reward + discount * jnp.where(done[None], 0.0, later)
        return total, total

    return jax.lax.scan(back, jnp.zeros_like(reward[0]), (reward, done), reverse=True)[1]


def standardised(
    x: Float[Array, "time agents seeds worlds"], weight: Bool[Array, "time agents seeds worlds"]
) -> Float[Array, "time agents seeds worlds"]:
    """Mean 0 and deviation 1 for each agent and seed over time and worlds; all 0 where nothing varies."""
    count = jnp.maximum(weight.sum((0, 3), keepdims=True), 1)
    off = x - (x * weight).sum((0, 3), keepdims=True) / count
    deviation = jnp.sqrt((jnp.square(off) * weight).sum((0, 3), keepdims=True) / count)
    return jnp.where(deviation > 1e-6, off / jnp.maximum(deviation, 1e-6), 0.0) * weight
