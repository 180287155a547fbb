"""Evaluation: whole episodes of given players in a world, none cut short, none counted twice."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray
from numpy.typing import NDArray

from shoal.errors import InputError
from shoal.marl.compilation import QUICK, usable
from shoal.marl.players import Player, Seats, view
from shoal.marl.policies import Policy
from shoal.stats import Estimate, mean
from shoal.worlds import World

LARGEST_BATCH = 1024
"""Episodes played side by side."""


@dataclass(frozen=True)
class Episodes:
    """What evaluated episodes came to.

    Attributes:
        returns: of each agent [episodes, agents].
        lengths: steps [episodes].
        metrics: of the last step, by name [episodes].
    """

    returns: NDArray[np.float64]
    lengths: NDArray[np.float64]
    metrics: dict[str, NDArray[np.float64]]

    @property
    def team(self) -> NDArray[np.float64]:
        """Return summed over the agents [episodes]."""
        return np.asarray(self.returns.sum(axis=1))

    def summary(self) -> dict[str, Estimate]:
        """Means with 95% intervals: ``return`` (summed over agents), ``episode_length``, ``world_`` and a metric."""
        named = {"return": self.team, "episode_length": self.lengths}
        named.update({f"world_{name}": values for name, values in self.metrics.items()})
        return {name: mean(values) for name, values in named.items()}


Seat = Policy | Player


def evaluate(
    policy: Seat | Sequence[Seat], world: World[Any], episodes: int, key: PRNGKeyArray | int, greedy: bool = False
) -> Episodes:
    """Play whole episodes.

    Args:
        policy: one for all agents, or one for each agent, in the order of ``world.agents``.
        world: where to play; policies of another world are refused.
        episodes: how many.
        key: randomness, or a seed number; players that are compared should get the same.
        greedy: players take their best action instead of sampling.

    Raises:
        InputError: a policy of another world, or not one seat for each agent.
    """
    if episodes < 1:
        raise InputError("episodes", episodes, "Play at least 1.")
    player = seat(policy, world)
    stack = jax.tree.map(lambda x: x[None], player)
    played = evaluate_seeds(stack, 1, world, episodes, jax.random.key(key) if isinstance(key, int) else key, greedy)
    return played[0]


def seat(policy: Seat | Sequence[Seat], world: World[Any]) -> Player:
    """One player for the whole world from one policy, or from one for each agent.

    Raises:
        InputError: not one policy for each agent.
    """
    if isinstance(policy, Policy | Player):
        return _player(policy, world)
    if len(policy) != world.agent_count:
        raise InputError("seats", len(policy), f"Give one for each of the {world.agent_count} agents.")
    different: list[Seat] = []
    for p in policy:
        if not any(p is q for q in different):
            different.append(p)
    places = tuple(next(i for i, q in enumerate(different) if q is p) for p in policy)
    return Seats(tuple(_player(p, world) for p in different), places)


def evaluate_seeds(
    players: Player, seeds: int, world: World[Any], episodes: int, key: PRNGKeyArray, greedy: bool = False
) -> list[Episodes]:
    """The same for players of several seeds at once: parameters [seeds, ...]; every seed meets the same number."""
    parts: list[Any] = []
    for number in range(0, episodes, LARGEST_BATCH):
        size = min(LARGEST_BATCH, episodes - number)
        key, part = jax.random.split(key)
        parts.append(jax.tree.map(np.asarray, _program()(players, seeds, world, size, part, greedy)))
    returns, lengths, metrics = jax.tree.map(lambda *xs: np.concatenate(xs, -1).astype(np.float64), *parts)
    return [
        Episodes(returns[:, s].T, lengths[s], {name: values[s] for name, values in metrics.items()})
        for s in range(seeds)
    ]


def _player(policy: Seat, world: World[Any]) -> Player:
    if isinstance(policy, Policy):
        if policy.world != world:
            raise InputError("policy", f"{policy.world!r}", f"It was trained elsewhere; this is {world!r}.")
        return policy.player
    return policy


@functools.cache
def _program() -> Callable[..., Any]:
    return jax.jit(_play, static_argnums=(1, 2, 3, 5), compiler_options=usable(tuple(QUICK.items())))


def _play(
    players: Player, seeds: int, world: World[Any], episodes: int, key: PRNGKeyArray, greedy: bool
) -> tuple[Array, Array, dict[str, Array]]:
    """Returns [agents, seeds, episodes], lengths [seeds, episodes] and metrics of one episode in each world."""
    batch = (seeds, episodes)
    act: Any = jax.vmap(lambda p, k, v, m: p.act(k, v, m, greedy), (0, 0, -2, -2), -2)
    reset_key, key = jax.random.split(key)
    state, timestep = world.reset(reset_key, batch)
    memory = players.start(world.agent_count, batch)
    start = (jnp.zeros((), jnp.int32), state, timestep, memory, jnp.ones(batch, bool))
    sums = (jnp.zeros((world.agent_count, *batch)), jnp.zeros(batch), dict(timestep.metrics))

    def step(carry: Any) -> Any:
        (time, state, timestep, memory, running), (returns, lengths, metrics) = carry
        act_key, step_key = jax.random.split(jax.random.fold_in(key, time))
        seen = view(world, state, timestep, jnp.broadcast_to(time == 0, batch), players.central)
        action, memory = act(players, jax.random.split(act_key, seeds), seen, memory)
        state, timestep = world.step(step_key, state, action)
        # Worlds whose episode is over go on unheeded until the last is done.
        returns = returns + jnp.where(running, timestep.reward, 0.0)
        metrics = {name: jnp.where(running, timestep.metrics[name], old) for name, old in metrics.items()}
        lengths = lengths + running
        running = running & ~timestep.done
        return (time + 1, state, timestep, memory, running), (returns, lengths, metrics)

    _, sums = jax.lax.while_loop(lambda carry: carry[0][4].any(), step, (start, sums))
    return sums
