"""Beam carrying: carriers walk uneven ground under one beam that must not slip or tip.

A stand-in for the multiwalker of PettingZoo's SISL family (Gupta et al. 2017), which HAMMER (arXiv 2102.00824) uses and
which needs a rigid-body engine: same task, same kind of reward (1 forward, -10 for the carrier that fails, -100 for all
when the beam falls), much simpler physics. Carriers are points that push along one axis and raise or lower their heads;
the beam hangs on them by springs and lies along the line through their heads. Results do not compare with multiwalker.
"""

from __future__ import annotations

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from shoal.worlds.catalogue import require, world
from shoal.worlds.encoding import identities
from shoal.worlds.picture import Picture, Shape, colour_of
from shoal.worlds.world import Timestep, World

DT, SUBSTEPS = 0.1, 2
PUSH, DRAG = 4.0, 2.0
"""Force of a full push, and loss of speed per second: the fastest walk is 2 units a second."""
SPRING, DAMPER = 5.0, 1.0
"""Grip between a carrier and its place under the beam."""
BEAM_MASS = 0.5
"""Of the beam for each carrier; carriers have mass 1."""
LIFT_SPEED = 1.0
LOW, HIGH = 0.5, 1.5
"""Range of a head's height over the ground."""
WAVES = (0.7, 1.3, 2.1)
"""Radians per unit of way of the ground's three sine waves."""
AHEAD = (0.5, 1.0, 1.5)
"""Where a carrier feels the ground in front of it."""


class BeamState(eqx.Module):
    """Carriers and beam.

    Attributes:
        x: carriers, along the way.
        v: their speed.
        lift: height of their heads over the ground.
        bx: middle of the beam, along the way.
        bv: its speed.
        phase: of the ground's waves.
        time: steps since the episode began.
    """

    x: Float[Array, "carriers *batch"]
    v: Float[Array, "carriers *batch"]
    lift: Float[Array, "carriers *batch"]
    bx: Float[Array, "*batch"]
    bv: Float[Array, "*batch"]
    phase: Float[Array, "waves *batch"]
    time: Int[Array, "*batch"]


@world("beam-carrying")
@dataclasses.dataclass(frozen=True, eq=True)
class BeamCarrying(World[BeamState]):
    """The episode ends when the beam falls (a carrier is further than ``grip`` from its place, or the beam is steeper
    than ``steep``) or when it has gone ``length``.

    Attributes:
        count: carriers, evenly placed under the beam.
        length: way to go.
        horizon: steps of an episode, 0.1 seconds each.
        bumps: largest height of the ground.
        grip: how far a carrier may be from its place under the beam.
        steep: steepest slope of the beam.
        spacing: between places under the beam.
        forward: reward for each unit of way.
        local: weight of the carrier's own way in that; the rest weighs the beam's.
        fall: cost to a carrier that loses its place.
        drop: cost to all when the beam falls.
        visible: length to which every observation is cut, neighbours being last; None for all of it.
    """

    count: int = 3
    length: float = 100.0
    horizon: int = 500
    bumps: float = 0.3
    grip: float = 0.5
    steep: float = 0.4
    spacing: float = 1.0
    forward: float = 1.0
    local: float = 0.0
    fall: float = 10.0
    drop: float = 100.0
    visible: int | None = None

    def __post_init__(self) -> None:
        for name in ("count", "horizon"):
            require(self, name, getattr(self, name), getattr(self, name) >= 1, "Use at least 1.")
        for name in ("length", "grip", "steep", "spacing"):
            require(self, name, getattr(self, name), getattr(self, name) > 0, "Use a number above 0.")
        for name in ("bumps", "forward", "fall", "drop"):
            require(self, name, getattr(self, name), getattr(self, name) >= 0, "Use 0 or more.")
        require(self, "local", self.local, 0 <= self.local <= 1, "Use a share from 0 to 1.")
        shown = self.visible is None or self.visible >= self.count
        require(self, "visible", self.visible, shown, f"Use at least count={self.count} (the own number), or null.")

    @property
    def agents(self) -> tuple[str, ...]:
        """carrier-0 (last in the row), carrier-1, ..."""
        return tuple(f"carrier-{i}" for i in range(self.count))

    @property
    def continuous(self) -> int:
        """Two dimensions."""
        return 2

    @property
    def actions(self) -> tuple[tuple[str, ...], ...]:
        """Push (forward is positive), lift (up is positive)."""
        return (("push", "lift"),) * self.count

    @property
    def action_range(self) -> tuple[tuple[float, float], ...]:
        """Full force and full speed either way."""
        return ((-1.0, 1.0), (-1.0, 1.0))

    @property
    def observation_sizes(self) -> tuple[int, ...]:
        """Own number, speed, lift, place; slope and speed of the beam; ground ahead 3; each neighbour 2."""
        full = self.count + 3 + 2 + len(AHEAD) + 4
        return (full if self.visible is None else min(full, self.visible),) * self.count

    def reset(self, key: PRNGKeyArray, batch: tuple[int, ...] = ()) -> tuple[BeamState, Timestep]:
        """Everybody in place and at rest, heads levelled as far as they can be."""
        phase = jax.random.uniform(key, (len(WAVES), *batch), maxval=2 * np.pi)
        x = jnp.broadcast_to(self._places(len(batch)), (self.count, *batch))
        ground = self._ground(x, phase)
        lift = jnp.clip(1 + ground.mean(0) - ground, LOW, HIGH)
        still = jnp.zeros(batch)
        state = BeamState(x, jnp.zeros_like(x), lift, still, still, phase, jnp.zeros(batch, jnp.int32))
        return state, self._timestep(state, jnp.zeros_like(x), jnp.zeros(batch, bool))

    def step(
        self, key: PRNGKeyArray, state: BeamState, actions: Float[Array, "agents dims *batch"]
    ) -> tuple[BeamState, Timestep]:
        """Push and lift for 0.1 seconds, then look at the beam."""
        push, raise_ = jnp.clip(actions[:, 0], -1, 1), jnp.clip(actions[:, 1], -1, 1)
        x, v, bx, bv, h = state.x, state.v, state.bx, state.bv, DT / SUBSTEPS
        for _ in range(SUBSTEPS):
            pull = SPRING * (x - bx - self._places(bx.ndim)) + DAMPER * (v - bv)
            v = v + h * (PUSH * push - DRAG * v - pull)
            bv = bv + h * pull.sum(0) / (BEAM_MASS * self.count)
            x, bx = x + h * v, bx + h * bv
        lift = jnp.clip(state.lift + LIFT_SPEED * DT * raise_, LOW, HIGH)
        way = self.local * (x - state.x) + (1 - self.local) * (bx - state.bx)
        state = BeamState(x, v, lift, bx, bv, state.phase, state.time + 1)
        lost = self._lost(state)
        falls = lost.any(0) | (jnp.abs(self._slope(state)) > self.steep)
        return state, self._timestep(state, self.forward * way - self.fall * lost - self.drop * falls, falls)

    def describe(self, state: BeamState, agent: int) -> str:
        """What the carrier feels, as far as it is visible."""
        number = self.count
        obs = np.asarray(self._observe(state))[agent]
        words = [f"You are {self.agents[agent]} of {number}."] + [""] * (number - 1)
        values = np.concatenate([obs, np.zeros(99)])[number:]
        words += [
            f"Your speed is {2 * values[0]:+.2f}.",
            f"Your head is {1 + values[1]:.2f} over the ground.",
            f"You are {values[2] * self.grip:+.2f} from your place under the beam; at {self.grip:g} it falls.",
            f"The beam's slope is {values[3] * self.steep:+.2f}; at {self.steep:g} it falls.",
            f"Its speed is {2 * values[4]:+.2f}.",
        ]
        words += [f"The ground {d:g} ahead is {values[5 + i]:+.2f}." for i, d in enumerate(AHEAD)]
        for k, (side, there) in enumerate((("behind", agent > 0), ("in front", agent < number - 1))):
            where, height = values[8 + 2 * k], values[9 + 2 * k]
            words.append(f"The carrier {side} is {where * self.spacing:+.2f} away." if there else "")
            words.append(f"Its head is {height:+.2f} over yours." if there else "")
        lines = [w for w in words[: len(obs)] if w]
        return "\n".join([*lines, "Actions: push from -1 to 1, lift from -1 to 1."])

    def draw(self, state: BeamState) -> Picture:
        """The ground, the carriers, the beam."""
        middle, reach = float(state.bx), (self.count / 2 + 1) * self.spacing
        xs = np.linspace(middle - reach, middle + reach, 60)
        ys = np.asarray(self._ground(jnp.asarray(xs), state.phase))
        pairs = zip(zip(xs, ys, strict=True), zip(xs[1:], ys[1:], strict=False), strict=False)
        shapes = [
            Shape("line", float(x), float(y), colour="#555555", to=(float(u), float(w))) for (x, y), (u, w) in pairs
        ]
        feet = np.asarray(self._ground(state.x, state.phase))
        heads = feet + np.asarray(state.lift)
        for i, x in enumerate(np.asarray(state.x)):
            shapes.append(Shape("line", float(x), float(feet[i]), colour=colour_of(i), to=(float(x), float(heads[i]))))
            shapes.append(Shape("circle", float(x), float(heads[i]), 0.08, colour_of(i)))
        slope, half = float(self._slope(state)), (self.count / 2) * self.spacing
        rest = float(heads.mean()) + slope * (middle - float(state.x.mean()))
        ends = (middle - half, rest - slope * half), (middle + half, rest + slope * half)
        shapes.append(Shape("line", *ends[0], colour="#000000", to=ends[1]))
        return Picture((middle - reach, -0.6, middle + reach, 2.4), shapes, f"step {int(state.time)}, way {middle:.1f}")

    def _places(self, batch_axes: int) -> Float[Array, "carriers *batch"]:
        """Places under the beam, from its middle."""
        places = (jnp.arange(self.count) - (self.count - 1) / 2) * self.spacing
        return places.reshape(self.count, *(1,) * batch_axes)

    def _ground(self, x: Float[Array, "points *batch"], phase: Float[Array, "waves *batch"]) -> Array:
        height = jnp.zeros_like(x)
        for i, rate in enumerate(WAVES):
            height = height + jnp.sin(rate * x + phase[i])
        return self.bumps / len(WAVES) * height

    def _lost(self, state: BeamState) -> Bool[Array, "carriers *batch"]:
        return jnp.abs(state.x - state.bx - self._places(state.bx.ndim)) > self.grip

    def _slope(self, state: BeamState) -> Float[Array, "*batch"]:
        """Slope of the least-squares line through the heads; 0 under a single head."""
        heads = self._ground(state.x, state.phase) + state.lift
        dx = state.x - state.x.mean(0)
        spread = (dx * dx).sum(0)
        return jnp.where(spread > 0, (dx * heads).sum(0) / jnp.where(spread > 0, spread, 1.0), 0.0)

    def _observe(self, state: BeamState) -> Float[Array, "agents features *batch"]:
        n, batch = self.count, state.bx.shape
        ground = self._ground(state.x, state.phase)
        heads = ground + state.lift
        offset = (state.x - state.bx - self._places(len(batch))) / self.grip
        slope, speed = (jnp.broadcast_to(v, (n, *batch)) for v in (self._slope(state) / self.steep, state.bv / 2))
        ahead = [self._ground(state.x + d, state.phase) - ground for d in AHEAD]
        none = jnp.zeros((1, *batch))
        gaps = [jnp.diff(v, axis=0) for v in (state.x / self.spacing, heads)]
        behind = [jnp.concatenate([none, -g]) for g in gaps]
        front = [jnp.concatenate([g, none]) for g in gaps]
        features = [state.v / 2, state.lift - 1, offset, slope, speed, *ahead, *behind, *front]
        obs = jnp.concatenate([identities(n, batch), jnp.stack(features, 1)], 1)
        return obs[:, : self.observation_size]

    def _timestep(
        self, state: BeamState, reward: Float[Array, "agents *batch"], falls: Bool[Array, "*batch"]
    ) -> Timestep:
        n, batch = self.count, state.bx.shape
        home = state.bx >= self.length
        return Timestep(
            obs=self._observe(state),
            reward=reward,
            alive=jnp.ones((n, *batch), bool),
            legal=jnp.ones((n, 2, *batch), bool),
            terminated=falls | home,
            truncated=state.time >= self.horizon,
            metrics={
                "way": state.bx,
                "fell": falls.astype(jnp.float32),
                "success": (home & ~falls).astype(jnp.float32),
            },
        )
