"""Captains: scripted vessels of the ocean with known honesty and attention, as baselines and as controls.

A captain goes for the nearest pebbles that it sees. With nothing in view it either heads for the nearest light that it
sees (attention) or sails on, turning back before the border. Its light says whether it sees many pebbles (honesty).
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from shoal.errors import InputError
from shoal.marl.players import Actions, Player, View
from shoal.marl.rules import RULES, Rule
from shoal.worlds import World
from shoal.worlds.ocean import RINGS, SECTORS, SIGNALS, STEERS, Ocean

BORDER, LOOKAHEAD = 0.9, 0.2
"""Of a sea from -1 to 1: a vessel turns back if it would be past the first in as much as the second."""
STRAIGHT, SLOW = 0.09, 1.2
"""Radians off the bow within which a vessel does not steer, and beyond which it does not accelerate."""
CLOSE, NEAR = 0.04, 0.08
"""Distances at which a vessel gives way to another, and at which it has arrived at a light."""
_SECTOR = np.repeat((np.arange(SECTORS) + 0.5) * 2 * np.pi / SECTORS, RINGS)
_RING = np.tile(np.arange(RINGS), SECTORS)
_OFF_BOW = np.abs((_SECTOR + np.pi) % (2 * np.pi) - np.pi)


class Captain(Player):
    """All vessels of an ocean. Leaves may have a leading seeds axis.

    Attributes:
        honesty: chance in a tick that the light says the truth, on with at least ``dense`` pebbles in view, else off.
        attention: chance in a tick that a vessel without pebbles in view heads for the nearest light it sees.
        pebbles: of the world.
        dense: see honesty.
        own: features of an observation before the lights.
        channel: the world's vessels have a light.
    """

    honesty: Float[Array, ""]
    attention: Float[Array, ""]
    pebbles: int = eqx.field(static=True)
    dense: int = eqx.field(static=True)
    own: int = eqx.field(static=True)
    channel: bool = eqx.field(static=True)

    def start(self, agents: int, batch: tuple[int, ...]) -> Any:
        """Nothing to remember."""
        return ()

    def act(self, key: PRNGKeyArray, view: View, memory: Any, greedy: bool = False) -> tuple[Actions, Any]:
        """Throttle, steer and, with a channel, the light."""
        obs = view.obs
        truthful, heeding = jax.random.uniform(key, (2, *obs.shape[1:]))
        seen = jnp.round(obs[7] * self.pebbles)
        bearing = jnp.where(seen > 0, _pebbles(obs, seen), self._search(obs, heeding < self.attention))
        steer = jnp.where(bearing > STRAIGHT, 2, jnp.where(bearing < -STRAIGHT, 1, 0))
        # Two vessels bow to bow both turn away.
        crowded = (jnp.hypot(obs[5], obs[6]) < CLOSE) & (obs[5] > 0)
        steer = jnp.where(crowded, jnp.where(obs[6] > 0, 1, 2), steer)
        move = (jnp.abs(bearing) < SLOW) * len(STEERS) + steer
        if not self.channel:
            return move.astype(jnp.int32), memory
        light = (seen >= self.dense) == (truthful < self.honesty)
        return (move * len(SIGNALS) + light).astype(jnp.int32), memory

    def _search(self, obs: Array, heeds: Array) -> Array:
        """Bearing with nothing in view: straight on, back from the border, or to a light."""
        x, y, cos, sin = obs[:4]
        ahead = (x + LOOKAHEAD * cos, y + LOOKAHEAD * sin)
        out = [(jnp.abs(place) > BORDER) & (place * way > 0) for place, way in zip(ahead, (cos, sin), strict=True)]
        back = jnp.arctan2(x * sin - y * cos, -(x * cos + y * sin))
        bearing = jnp.where(out[0] | out[1], back, 0.0)
        slots = obs[self.own + 2 :]
        if not self.channel or not slots.shape[0]:
            return bearing
        there, forward, left = (slots[k::3] for k in range(3))
        distance = jnp.where(there > 0, jnp.hypot(forward, left), jnp.inf)
        nearest = distance == distance.min(0)
        towards = jnp.arctan2((left * nearest).sum(0), (forward * nearest).sum(0))
        called = heeds & (there > 0).any(0) & (distance.min(0) > NEAR)
        return jnp.where(called, towards, bearing)


def _pebbles(obs: Array, seen: Array) -> Array:
    """Bearing of the nearest pebbles: the sector of the nearest ring that is nearest to the bow; of two, the centre."""
    tail = (1,) * (obs.ndim - 1)
    bins = obs[10 : 10 + SECTORS * RINGS]
    cost = jnp.where(bins > 0, (10.0 * _RING + _OFF_BOW).reshape(-1, *tail), jnp.inf)
    sector = jnp.asarray(_SECTOR, jnp.float32)[jnp.argmin(cost, 0)]
    sector = (sector + jnp.pi) % (2 * jnp.pi) - jnp.pi
    return jnp.where(seen <= 2, jnp.arctan2(obs[9], obs[8]), sector)


def captain(world: World[Any], honesty: Any = 1.0, attention: Any = 0.0, dense: int = 5) -> Captain:
    """Captains for an ocean.

    Args:
        world: the ocean.
        honesty: chance that a light says the truth; a number, or [seeds].
        attention: chance to heed one; likewise.
        dense: pebbles in view from which the truth is "on".

    Raises:
        InputError: another world, or a chance out of range.
    """
    if not isinstance(world, Ocean):
        raise InputError("world", repr(world), "Captains sail the ocean.")
    for name, value in (("honesty", honesty), ("attention", attention)):
        if not ((np.asarray(value) >= 0) & (np.asarray(value) <= 1)).all():
            raise InputError(name, value, "Use a chance from 0 to 1.")
    lights = 2 + 3 * world.neighbours if world.channel else 0
    return Captain(
        jnp.asarray(honesty, jnp.float32), jnp.asarray(attention, jnp.float32), world.pebbles, dense,
        world.observation_size - lights, world.channel,
    )  # fmt: skip


@RULES.register("greedy-captain")
def greedy_captain(world: World[Any]) -> Rule:
    """Ocean: every vessel goes for the nearest pebbles in view and heeds no light."""
    player = captain(world)

    def rule(key: PRNGKeyArray, view: View) -> Int[Array, "agents *batch"]:
        return player.act(key, view, ())[0]

    return rule
