"""Stepping worlds for a long time: automatic resets, and whole rollouts as one compiled loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from shoal.worlds.world import Timestep, World, over_batch, where_done

S = TypeVar("S", bound=eqx.Module)

Policy = Callable[[PRNGKeyArray, Timestep], Int[Array, "agents *batch"]]
"""Chooses every agent's action for a batch of timesteps; Float[agents, dims, *batch] where actions are continuous."""


def step_and_reset(
    world: World[S], key: PRNGKeyArray, state: S, actions: Int[Array, "agents *batch"]
) -> tuple[S, Timestep, Timestep]:
    """One step; worlds whose episode ends begin a new one.

    Returns the next state, the timestep to act on (of the new episode where one began), and the timestep as it came
    (with the last reward and observation of the old episode). The reset is computed only in steps in which an episode
    ends: computing it every step, and throwing it away, costs as much as the physics.
    """
    step_key, reset_key = jax.random.split(key)
    state, raw = world.step(step_key, state, actions)
    done = raw.done

    def renew(both: tuple[S, Timestep]) -> tuple[S, Timestep]:
        old, old_timestep = both
        fresh, first = world.reset(reset_key, done.shape)
        return where_done(done, fresh, old), where_done(done, first, old_timestep)

    state, shown = jax.lax.cond(done.any(), renew, lambda both: both, (state, raw))
    return state, shown, raw


def random_actions(world: World[Any], key: PRNGKeyArray, timestep: Timestep) -> Int[Array, "agents *batch"]:
    """A legal action for every agent, each with equal chance; continuous ones uniform in ``action_range``."""
    legal = timestep.legal
    if world.continuous:
        low, high = (over_batch(jnp.array(ends)[None], legal) for ends in zip(*world.action_range, strict=True))
        return jax.random.uniform(key, legal.shape) * (high - low) + low
    # One draw per agent, not per action: the k-th of its legal actions.
    rank = jnp.cumsum(legal, axis=1, dtype=jnp.int32)
    chosen = jnp.floor(jax.random.uniform(key, timestep.reward.shape) * rank[:, -1]).astype(jnp.int32)
    return (rank <= chosen[:, None]).sum(1, dtype=jnp.int32)


class Tally(NamedTuple):
    """What a rollout came to.

    Attributes:
        episodes: episodes ended.
        returns: sum of the returns of ended episodes, per agent.
        steps: steps of ended episodes.
        metrics: sum over ended episodes of the last step's metrics.
    """

    episodes: Float[Array, ""]
    returns: Float[Array, " agents"]
    steps: Float[Array, ""]
    metrics: dict[str, Float[Array, ""]]

    def mean_return(self) -> Float[Array, " agents"]:
        """Mean return of an episode for each agent."""
        return self.returns / jnp.maximum(self.episodes, 1)


def play(
    world: World[S], policy: Policy, key: PRNGKeyArray, steps: int, batch: tuple[int, ...]
) -> tuple[Tally, Timestep]:
    """Let a policy act in a batch of worlds for ``steps`` steps; compile with ``jax.jit`` around it.

    Returns the tally of ended episodes and the last timestep.
    """
    first_key, key = jax.random.split(key)
    state, timestep = world.reset(first_key, batch)
    axes = tuple(range(1, 1 + len(batch)))
    running = jnp.zeros((world.agent_count, *batch))
    length = jnp.zeros(batch)
    zero = jnp.zeros(())
    tally = Tally(zero, jnp.zeros(world.agent_count), zero, dict.fromkeys(timestep.metrics, zero))

    def body(carry: Any, key: PRNGKeyArray) -> tuple[Any, None]:
        state, timestep, running, length, tally = carry
        act_key, step_key = jax.random.split(key)
        actions = policy(act_key, timestep)
        state, timestep, raw = step_and_reset(world, step_key, state, actions)
        running, length = running + raw.reward, length + 1
        over = raw.done.astype(running.dtype)
        tally = Tally(
            tally.episodes + over.sum(),
            tally.returns + (running * over).sum(axes),
            tally.steps + (length * over).sum(),
            {name: tally.metrics[name] + (raw.metrics[name] * over).sum() for name in tally.metrics},
        )
        return (state, timestep, running * (1 - over), length * (1 - over), tally), None

    carry, _ = jax.lax.scan(body, (state, timestep, running, length, tally), jax.random.split(key, steps))
    return carry[4], carry[1]
