"""How vessels use their lights: whole episodes of trained players in the ocean, counted tick by tick.

Positive signalling: does the light depend on what its vessel sees (mutual information, shares by density)? Positive
listening: does a vessel turn towards a light (Lowe et al. 2019, arXiv 1903.05168, for both notions)? The control for
the first pairs each vessel's view with another vessel's light of the same tick: it keeps the rate of the lights and
what vessels share because they are in the same sea at the same time.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray
from numpy.typing import NDArray

from shoal.marl.compilation import QUICK, usable
from shoal.marl.players import Player, view
from shoal.worlds.ocean import SIGNALS, Ocean

EMPTY, SOME, DENSE = 0, 1, 2
"""What a vessel has in view: nothing, fewer pebbles than ``dense``, at least as many."""


@dataclass(frozen=True)
class SignalUse:
    """What one seed's players did.

    Attributes:
        metrics: of the last step, means over episodes, and ``return`` summed over vessels.
        table: ticks by [light chosen, what was in view].
        control: the same with the light of another vessel of the same tick.
        turns: sums and counts [lit, (degrees towards the nearest vessel, ticks)] of vessels with nothing in view.
    """

    metrics: dict[str, float]
    table: NDArray[np.float64]
    control: NDArray[np.float64]
    turns: NDArray[np.float64]

    def figures(self) -> dict[str, float]:
        """The metrics, and the measures of signalling and listening."""
        by_view = self.table[1] / np.maximum(self.table.sum(0), 1)
        towards = self.turns[:, 0] / np.maximum(self.turns[:, 1], 1)
        return {
            **self.metrics,
            "lit": float(self.table[1].sum() / max(self.table.sum(), 1)),
            "lit | dense": float(by_view[DENSE]),
            "lit | empty": float(by_view[EMPTY]),
            "lit | dense - empty": float(by_view[DENSE] - by_view[EMPTY]),
            "information": mutual_information(_dense_or_not(self.table)),
            "information, shuffled": mutual_information(_dense_or_not(self.control)),
            "turn to a light": float(towards[1]),
            "turn to the dark": float(towards[0]),
            "turn to a light - to the dark": float(towards[1] - towards[0]),
        }


def mutual_information(table: NDArray[np.float64]) -> float:
    """Mutual information in bits of two variables with that table of counts; 0 for an empty one."""
    total = table.sum()
    if not total:
        return 0.0
    p = table / total
    independent = p.sum(1, keepdims=True) * p.sum(0, keepdims=True)
    some = p > 0
    return float((p[some] * np.log2(p[some] / independent[some])).sum())


def watch(
    players: Player, seeds: int, world: Ocean, episodes: int, key: PRNGKeyArray, dense: int, greedy: bool = False
) -> list[SignalUse]:
    """Play whole episodes and count.

    Args:
        players: parameters [seeds, ...].
        seeds: how many.
        world: with a channel.
        episodes: for each seed, side by side.
        key: randomness.
        dense: pebbles in view from which a view counts as dense.
        greedy: take the best action instead of a sampled one.
    """
    sums = jax.tree.map(np.asarray, _program()(players, seeds, world, episodes, dense, key, greedy))
    metrics, table, control, turns = sums
    return [
        SignalUse(
            {name: float(values[s].mean()) for name, values in metrics.items()},
            table[..., s].astype(float), control[..., s].astype(float), turns[..., s].astype(float),
        )
        for s in range(seeds)
    ]  # fmt: skip


def _dense_or_not(table: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([table[:, :DENSE].sum(1), table[:, DENSE]], 1)


@functools.cache
def _program() -> Callable[..., Any]:
    return jax.jit(_play, static_argnums=(1, 2, 3, 4, 6), compiler_options=usable(tuple(QUICK.items())))


def _play(players: Player, seeds: int, world: Ocean, episodes: int, dense: int, key: PRNGKeyArray, greedy: bool) -> Any:
    batch = (seeds, episodes)
    act: Any = jax.vmap(lambda p, k, v, m: p.act(k, v, m, greedy), (0, 0, -2, -2), -2)
    reset_key, key = jax.random.split(key)
    state, timestep = world.reset(reset_key, batch)
    start = (jnp.zeros((), jnp.int32), state, timestep, players.start(world.agent_count, batch), jnp.ones(batch, bool))
    metrics = {**timestep.metrics, "return": jnp.zeros(batch)}
    sums = (metrics, jnp.zeros((2, 3, seeds)), jnp.zeros((2, 3, seeds)), jnp.zeros((2, 2, seeds)))

    def step(carry: Any) -> Any:
        (time, state, timestep, memory, running), (metrics, table, control, turns) = carry
        act_key, step_key = jax.random.split(jax.random.fold_in(key, time))
        seen = view(world, state, timestep, jnp.broadcast_to(time == 0, batch))
        action, memory = act(players, jax.random.split(act_key, seeds), seen, memory)
        light, obs = action % len(SIGNALS), seen.obs
        pebbles = jnp.round(obs[7] * world.pebbles)
        kind = (pebbles > 0).astype(jnp.int32) + (pebbles >= dense)
        table = table + _counts(light, kind, running)
        control = control + _counts(jnp.roll(light, 1, 0), kind, running)
        moved, after = world.step(step_key, state, action)
        turns = turns + _turns(world, state, moved, obs, kind, running)
        metrics = {name: jnp.where(running, {**after.metrics, "return": metrics["return"] + after.reward.sum(0)}[name],
                                   old) for name, old in metrics.items()}  # fmt: skip
        return (time + 1, moved, after, memory, running & ~after.done), (metrics, table, control, turns)

    return jax.lax.while_loop(lambda carry: carry[0][4].any(), step, (start, sums))[1]


def _counts(light: Array, kind: Array, running: Array) -> Array:
    """Ticks by light and kind of view, over vessels and running episodes: [2, 3, seeds]."""
    is_light = light[None] == jnp.arange(2).reshape(2, 1, 1, 1)
    is_kind = kind[None] == jnp.arange(3).reshape(3, 1, 1, 1)
    return ((is_light[:, None] & is_kind[None]) & running).sum((2, 4)).astype(jnp.float32)


def _turns(world: Ocean, state: Any, moved: Any, obs: Array, kind: Array, running: Array) -> Array:
    """Degrees turned towards the nearest vessel, and ticks, by whether its light was seen: [2, 2, seeds]."""
    turned = (moved.heading - state.heading + jnp.pi) % (2 * jnp.pi) - jnp.pi
    towards = jnp.degrees(turned) * jnp.sign(obs[6])
    shown = obs[world.observation_size - 3 * world.neighbours] if world.neighbours else jnp.zeros_like(obs[0])
    idle = (kind == EMPTY) & running & ((obs[5] != 0) | (obs[6] != 0))
    parts = []
    for lit in (0, 1):
        here = idle & (shown == lit)
        parts.append(jnp.stack([(towards * here).sum((0, 2)), here.sum((0, 2)).astype(jnp.float32)]))
    return jnp.stack(parts)
