"""Episodes written to a trace: what was seen to happen, step by step, for viewers and diagnoses."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from shoal.marl.players import Player, view
from shoal.runs.seeds import derive
from shoal.traces import TraceWriter
from shoal.worlds import World


def trace_key(seed: int) -> PRNGKeyArray:
    """The key of the episodes that a training of that first seed writes."""
    return jax.random.key(derive(seed, "trace") % 2**32)


def write_episodes(
    player: Player, world: World[Any], count: int, key: PRNGKeyArray, trace: TraceWriter, **facts: Any
) -> None:
    """Play episodes and write each step as a ``world.step`` event; the first of an episode has no parent.

    The payload has the episode, the time, each agent's action by name (values by name where actions are continuous),
    the rewards, the world's metrics, and whether the episode ended.

    Args:
        player: acts for all agents.
        world: where.
        count: episodes.
        key: randomness.
        trace: is written to.
        facts: added to every payload (seed, training step).
    """
    time, state, timestep, memory, key = _begin(player, world, count, key)
    parents: list[tuple[str, ...]] = [()] * count
    running = np.ones(count, bool)
    while running.any():
        action, state, timestep, memory, key = _STEP(player, world, time, state, timestep, memory, key)
        moves, rewards = np.asarray(action), np.asarray(timestep.reward, np.float64)
        alive = np.asarray(timestep.alive)
        done = np.asarray(timestep.done)
        metrics = {name: np.asarray(x, np.float64) for name, x in timestep.metrics.items()}
        time += 1
        for e in np.flatnonzero(running):
            payload = {
                **facts,
                "episode": int(e),
                "time": time,
                "actions": {a: named(world, i, moves[i, ..., e]) for i, a in enumerate(world.agents)},
                "rewards": {a: float(rewards[i, e]) for i, a in enumerate(world.agents)},
                "alive": [a for i, a in enumerate(world.agents) if alive[i, e]],
                "metrics": {name: float(x[e]) for name, x in metrics.items()},
                "done": bool(done[e]),
            }
            parents[e] = (trace.write("world.step", payload=payload, parents=parents[e]),)
        running &= ~done


def named(world: World[Any], agent: int, action: Any) -> str | dict[str, float]:
    """An action by name, or the value of every dimension by name where actions are continuous."""
    names = world.actions[agent]
    if not world.continuous:
        return names[int(action)]
    return {name: float(value) for name, value in zip(names, action, strict=True)}


def _begin(player: Player, world: World[Any], count: int, key: PRNGKeyArray) -> tuple[int, Any, Any, Any, Any]:
    reset_key, key = jax.random.split(key)
    state, timestep = world.reset(reset_key, (count,))
    return 0, state, timestep, player.start(world.agent_count, (count,)), key


def _step(
    player: Player, world: World[Any], time: int, state: Any, timestep: Any, memory: Any, key: PRNGKeyArray
) -> tuple[Any, ...]:
    act_key, step_key, key = jax.random.split(key, 3)
    seen = view(world, state, timestep, jnp.broadcast_to(time == 0, timestep.truncated.shape), player.central)
    action, memory = player.act(act_key, seen, memory)
    state, timestep = world.step(step_key, state, action)
    return action, state, timestep, memory, key


_STEP = jax.jit(_step, static_argnums=1)
