"""Tag: slow predators hunt fast prey among obstacles (simple_tag_v3 of mpe2).

An episode that ends by a catch in its last step is marked both terminated and truncated here; the origin then says
truncated only.
"""

from __future__ import annotations

import dataclasses
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from shoal.worlds.catalogue import require, world
from shoal.worlds.particles import MOVES, disc, frame, motion, offsets, offsets_of_others, pushes, where
from shoal.worlds.physics import Bodies, contact, distances, integrate
from shoal.worlds.picture import Picture, Shape
from shoal.worlds.world import Timestep, World, over_batch

PREDATOR_SIZE, PREY_SIZE, OBSTACLE_SIZE = 0.075, 0.05, 0.2
PREDATOR_STRENGTH, PREY_STRENGTH = 3.0, 4.0
PREDATOR_SPEED, PREY_SPEED = 1.0, 1.3
TOUCH = 10.0
"""What a touch gives each predator and costs the prey."""


class TagState(eqx.Module):
    """Where everything is.

    Attributes:
        agents: the moving discs; predators first.
        ox: obstacles, first coordinate.
        oy: obstacles, second coordinate.
        touches: predator-prey contacts so far, summed over steps.
        time: steps since the episode began.
    """

    agents: Bodies
    ox: Float[Array, "obstacles *batch"]
    oy: Float[Array, "obstacles *batch"]
    touches: Float[Array, "*batch"]
    time: Int[Array, "*batch"]


@world("tag")
@dataclasses.dataclass(frozen=True, eq=True)
class Tag(World[TagState]):
    """Predators and prey.

    Attributes:
        predators: how many; they share their reward.
        prey: how many; each has its own reward.
        obstacles: large fixed discs.
        horizon: steps of an episode.
        prey_pace: speed limit and strength of the prey, as a share of the full ones (1.3 and 4).
        ends_when_caught: the episode terminates when every prey is touched at once.
    """

    predators: int = 3
    prey: int = 1
    obstacles: int = 2
    horizon: int = 25
    prey_pace: float = 1.0
    ends_when_caught: bool = False

    def __post_init__(self) -> None:
        require(self, "predators", self.predators, self.predators >= 1, "Use at least 1 predator.")
        require(self, "prey", self.prey, self.prey >= 1, "Use at least 1 prey.")
        require(self, "obstacles", self.obstacles, self.obstacles >= 0, "Use 0 or more obstacles.")
        require(self, "horizon", self.horizon, self.horizon >= 1, "Use at least 1 step.")
        require(self, "prey_pace", self.prey_pace, self.prey_pace > 0, "Use a share above 0; 1 is full speed.")

    @property
    def agents(self) -> tuple[str, ...]:
        """predator-0, ..., prey-0, ..."""
        hunters = [f"predator-{i}" for i in range(self.predators)]
        return (*hunters, *(f"prey-{i}" for i in range(self.prey)))

    @property
    def actions(self) -> tuple[tuple[str, ...], ...]:
        """Five moves for each."""
        return (MOVES,) * self.agent_count

    @property
    def observation_sizes(self) -> tuple[int, ...]:
        """Velocity 2, position 2, obstacles 2 each, others 2 each, velocities of (other) prey 2 each."""
        common = 4 + 2 * self.obstacles + 2 * (self.predators + self.prey - 1)
        return (common + 2 * self.prey,) * self.predators + (common + 2 * (self.prey - 1),) * self.prey

    def reset(self, key: PRNGKeyArray, batch: tuple[int, ...] = ()) -> tuple[TagState, Timestep]:
        """Agents anywhere in the square from -1 to 1, obstacles in that to 0.9; nothing moves."""
        n, m = self.agent_count, self.obstacles
        place = jax.random.uniform(key, (2 * (n + m), *batch), minval=-1.0, maxval=1.0)
        still, zero = jnp.zeros((n, *batch)), jnp.zeros(batch)
        bodies = Bodies(place[:n], place[n : 2 * n], still, still)
        far = place[2 * n :] * 0.9
        state = TagState(bodies, far[:m], far[m:], zero, jnp.zeros(batch, jnp.int32))
        return state, self._timestep(state, still, jnp.zeros(batch, bool))

    def step(
        self, key: PRNGKeyArray, state: TagState, actions: Int[Array, "agents *batch"]
    ) -> tuple[TagState, Timestep]:
        """Push, collide with agents and obstacles, move within the speed limits."""
        p = self.predators
        size = self._by_kind(PREDATOR_SIZE, PREY_SIZE)
        fx, fy = contact(state.agents, size, state.ox, state.oy, jnp.full(self.obstacles, OBSTACLE_SIZE))
        strength = self._by_kind(PREDATOR_STRENGTH, PREY_STRENGTH * self.prey_pace)
        px, py = pushes(actions, over_batch(strength, fx))
        fastest = self._by_kind(PREDATOR_SPEED, PREY_SPEED * self.prey_pace)
        b = integrate(state.agents, fx + px, fy + py, fastest=fastest)
        touching = distances(b.x[:p], b.y[:p], b.x[p:], b.y[p:]) < PREDATOR_SIZE + PREY_SIZE
        hits = touching.sum(0).astype(jnp.float32)
        total = hits.sum(0)
        outside = _leaving(b.x[p:]) + _leaving(b.y[p:])
        gain = jnp.broadcast_to(TOUCH * total, (p, *total.shape))
        reward = jnp.concatenate([gain, -TOUCH * hits - outside])
        caught = (hits > 0).all(0) & self.ends_when_caught
        state = TagState(b, state.ox, state.oy, state.touches + total, state.time + 1)
        return state, self._timestep(state, reward, caught)

    def describe(self, state: TagState, agent: int) -> str:
        """The observation in words."""
        n, m = self.agent_count, self.obstacles
        seen = np.asarray(self._observe(state)[agent])
        cuts = np.cumsum([2, 2, 2 * m, 2 * (n - 1)])
        velocity, place, stones, others, paces = (part.reshape(-1, 2) for part in np.split(seen, cuts))
        hunter = agent < self.predators
        aim = (
            "Touch the prey: every touch gives all predators 10 points."
            if hunter
            else "Keep away from the predators: every touch costs you 10 points. So may going far: beyond 0.9 from the "
            "centre, in either direction, it costs 1 point at 1.0 and more and more beyond."
        )
        names = [name for i, name in enumerate(self.agents) if i != agent]
        speeds = dict(zip([name for name in names if name.startswith("prey")], paces, strict=False))
        lines = [
            f"You are {self.agents[agent]}, {motion(velocity[0])}.",
            f"You are {where(place[0])} of the centre.",
            aim,
            *(f"Obstacle {i}: {where(stone)} of you." for i, stone in enumerate(stones)),
        ]
        for name, spot in zip(names, others, strict=True):
            pace = f", {motion(speeds[name])}" if name in speeds else ""
            lines.append(f"{name}: {where(spot)} of you{pace}.")
        return "\n".join([*lines, f"Actions: {', '.join(MOVES)}."])

    def draw(self, state: TagState) -> Picture:
        """Agents in colour with their direction (prey marked), obstacles in grey."""
        a = state.agents
        stones = zip(np.asarray(state.ox), np.asarray(state.oy), strict=True)
        shapes = [Shape("circle", float(x), float(y), OBSTACLE_SIZE) for x, y in stones]
        for i in range(self.agent_count):
            prey = i >= self.predators
            x, y = float(a.x[i]), float(a.y[i])
            shapes += disc(i, x, y, PREY_SIZE if prey else PREDATOR_SIZE, float(a.vx[i]), float(a.vy[i]))
            if prey:
                shapes.append(Shape("text", x, y + 0.13, 0.1, "#000000", "prey"))
        caption = f"step {int(state.time)}, touches so far {int(state.touches)}"
        return Picture(frame(a.x, a.y, state.ox, state.oy), tuple(shapes), caption)

    def _by_kind(self, predator: float, prey: float) -> Float[Array, " agents"]:
        return jnp.array([predator] * self.predators + [prey] * self.prey)

    @partial(jax.jit, static_argnums=0, inline=True)
    def _observe(self, state: TagState) -> Float[Array, "agents features *batch"]:
        b, p, q, batch = state.agents, self.predators, self.prey, state.time.shape
        own = jnp.stack([b.vx, b.vy, b.x, b.y], 1)
        # Every predator sees the velocity of every prey; a prey that of the other prey, and two zeros of padding.
        pace = jnp.stack([b.vx[p:], b.vy[p:]], 1)
        seen = [jnp.broadcast_to(pace.reshape(1, 2 * q, *batch), (p, 2 * q, *batch))]
        for i in range(q):
            rest = [pace[j] for j in range(q) if j != i]
            seen.append(jnp.concatenate([*rest, jnp.zeros((2, *batch))])[None])
        parts = [own, offsets(b.x, b.y, state.ox, state.oy), offsets_of_others(b.x, b.y), jnp.concatenate(seen)]
        return jnp.concatenate(parts, 1)

    def _timestep(
        self, state: TagState, reward: Float[Array, "agents *batch"], caught: Bool[Array, "*batch"]
    ) -> Timestep:
        n, batch = self.agent_count, state.time.shape
        return Timestep(
            obs=self._observe(state),
            reward=reward,
            alive=jnp.ones((n, *batch), bool),
            legal=jnp.ones((n, len(MOVES), *batch), bool),
            terminated=caught,
            truncated=state.time >= self.horizon,
            metrics={"touches": state.touches},
        )


def _leaving(x: Float[Array, "prey *batch"]) -> Float[Array, "prey *batch"]:
    """What a prey pays for a coordinate: nothing to 0.9, then linearly 1 at 1, then exponentially, 10 at most."""
    far = jnp.abs(x)
    return jnp.where(far < 0.9, 0.0, jnp.where(far < 1.0, (far - 0.9) * 10, jnp.minimum(jnp.exp(2 * far - 2), 10.0)))
