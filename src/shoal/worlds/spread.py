"""Spread: agents share the work of covering landmarks without bumping into each other (simple_spread_v3 of mpe2)."""

from __future__ import annotations

import dataclasses
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from shoal.worlds.catalogue import require, world
from shoal.worlds.particles import MOVES, disc, frame, motion, offsets, offsets_of_others, pushes, where
from shoal.worlds.physics import Bodies, contact, distances, integrate
from shoal.worlds.picture import Picture, Shape
from shoal.worlds.world import Timestep, World

SIZE = 0.15


class SpreadState(eqx.Module):
    """Where everything is.

    Attributes:
        agents: the moving discs.
        lx: landmarks, first coordinate.
        ly: landmarks, second coordinate.
        time: steps since the episode began.
    """

    agents: Bodies
    lx: Float[Array, "landmarks *batch"]
    ly: Float[Array, "landmarks *batch"]
    time: Int[Array, "*batch"]


@world("spread")
@dataclasses.dataclass(frozen=True, eq=True)
class Spread(World[SpreadState]):
    """Cooperative navigation.

    Attributes:
        count: agents, and landmarks.
        horizon: steps of an episode.
        local_ratio: weight of an agent's own collisions; the rest weighs the shared distance to landmarks.
        visible: length to which every observation is cut (HAMMER's partial observation); None for all of it.
    """

    count: int = 3
    horizon: int = 25
    local_ratio: float = 0.5
    visible: int | None = None

    def __post_init__(self) -> None:
        require(self, "count", self.count, self.count >= 1, "Use at least 1 agent.")
        require(self, "horizon", self.horizon, self.horizon >= 1, "Use at least 1 step.")
        require(self, "local_ratio", self.local_ratio, 0 <= self.local_ratio <= 1, "Use a share from 0 to 1.")
        require(self, "visible", self.visible, self.visible is None or self.visible >= 1, "Use at least 1, or None.")

    @property
    def agents(self) -> tuple[str, ...]:
        """agent-0, agent-1, ..."""
        return tuple(f"agent-{i}" for i in range(self.count))

    @property
    def actions(self) -> tuple[tuple[str, ...], ...]:
        """Five moves for each."""
        return (MOVES,) * self.count

    @property
    def observation_sizes(self) -> tuple[int, ...]:
        """Velocity 2, position 2, landmarks 2 each, others 2 each, their (silent) channel 2 each."""
        full = 4 + 2 * self.count + 4 * (self.count - 1)
        return (full if self.visible is None else min(full, self.visible),) * self.count

    def reset(self, key: PRNGKeyArray, batch: tuple[int, ...] = ()) -> tuple[SpreadState, Timestep]:
        """Agents and landmarks anywhere in the square from -1 to 1; nothing moves."""
        n = self.count
        place = jax.random.uniform(key, (4 * n, *batch), minval=-1.0, maxval=1.0)
        still = jnp.zeros((n, *batch))
        bodies = Bodies(place[:n], place[n : 2 * n], still, still)
        state = SpreadState(bodies, place[2 * n : 3 * n], place[3 * n :], jnp.zeros(batch, jnp.int32))
        return state, self._timestep(state, jnp.zeros((n, *batch)), jnp.zeros(batch), jnp.zeros(batch))

    def step(
        self, key: PRNGKeyArray, state: SpreadState, actions: Int[Array, "agents *batch"]
    ) -> tuple[SpreadState, Timestep]:
        """Push, collide, move."""
        sizes = jnp.full(self.count, SIZE)
        fx, fy = contact(state.agents, sizes, state.lx[:0], state.ly[:0], jnp.zeros(0))
        px, py = pushes(actions)
        bodies = integrate(state.agents, fx + px, fy + py)
        state = SpreadState(bodies, state.lx, state.ly, state.time + 1)
        touching = (distances(bodies.x, bodies.y, bodies.x, bodies.y) < 2 * SIZE).sum(1) - 1
        nearest = distances(bodies.x, bodies.y, state.lx, state.ly).min(0)
        shared = -nearest.sum(0)
        reward = shared * (1 - self.local_ratio) - touching * self.local_ratio
        return state, self._timestep(state, reward, touching.sum(0) / 2, nearest.sum(0))

    def describe(self, state: SpreadState, agent: int) -> str:
        """The observation in words, up to where it is cut."""
        n = self.count
        seen = np.asarray(self._observe(state)[agent])
        velocity, place, landmarks, others = np.split(seen, [2, 4, 4 + 2 * n])
        lines = [
            f"You are {self.agents[agent]}, {motion(velocity)}.",
            "Cover the landmarks together and do not bump into each other.",
        ]
        if place.size:
            lines.append(f"You are {where(place)} of the centre.")
        marks = [landmarks[i : i + 2] for i in range(0, landmarks.size, 2)]
        lines += [f"Landmark {i}: {where(mark)} of you." for i, mark in enumerate(marks)]
        names = [name for name in self.agents if name != self.agents[agent]]
        spots = [others[i : i + 2] for i in range(0, min(others.size, 2 * (n - 1)), 2)]
        lines += [f"{name}: {where(spot)} of you." for name, spot in zip(names, spots, strict=False)]
        return "\n".join([*lines, f"Actions: {', '.join(MOVES)}."])

    def draw(self, state: SpreadState) -> Picture:
        """Agents in colour with their direction, landmarks in grey."""
        a = state.agents
        shapes = [
            Shape("circle", float(x), float(y), 0.05)
            for x, y in zip(np.asarray(state.lx), np.asarray(state.ly), strict=True)
        ]
        for i in range(self.count):
            shapes += disc(i, float(a.x[i]), float(a.y[i]), SIZE, float(a.vx[i]), float(a.vy[i]))
        return Picture(frame(a.x, a.y), tuple(shapes), f"step {int(state.time)}")

    @partial(jax.jit, static_argnums=0, inline=True)
    def _observe(self, state: SpreadState) -> Float[Array, "agents features *batch"]:
        b, n, batch = state.agents, self.count, state.time.shape
        own = jnp.stack([b.vx, b.vy, b.x, b.y], 1)
        silence = jnp.zeros((n, 2 * (n - 1), *batch))
        parts = [own, offsets(b.x, b.y, state.lx, state.ly), offsets_of_others(b.x, b.y), silence]
        return jnp.concatenate(parts, 1)[:, : self.observation_size]

    def _timestep(
        self,
        state: SpreadState,
        reward: Float[Array, "agents *batch"],
        collisions: Float[Array, "*batch"],
        distance: Float[Array, "*batch"],
    ) -> Timestep:
        n, batch = self.count, state.time.shape
        return Timestep(
            obs=self._observe(state),
            reward=reward,
            alive=jnp.ones((n, *batch), bool),
            legal=jnp.ones((n, len(MOVES), *batch), bool),
            terminated=jnp.zeros(batch, bool),
            truncated=state.time >= self.horizon,
            metrics={"collisions": collisions, "distance": distance},
        )
