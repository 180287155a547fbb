"""Reference: two agents move and speak at once; each knows where the other should go (simple_reference_v3 of mpe2)."""

from __future__ import annotations

import dataclasses
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from shoal.worlds.catalogue import require, world
from shoal.worlds.encoding import one_hot, pick
from shoal.worlds.particles import MOVES, disc, frame, motion, offsets, pushes, where
from shoal.worlds.physics import Bodies, distances, integrate
from shoal.worlds.picture import Picture, Shape
from shoal.worlds.world import Timestep, World

LANDMARKS = ("red", "green", "blue")
PAINT = ("#c04040", "#40c040", "#4040c0")
WORDS = 10
BRIGHT, DIM = 0.75, 0.25
"""Components of a landmark's colour as observed: bright in its own, dim in the others."""


class ReferenceState(eqx.Module):
    """Where everything is and what was said.

    Attributes:
        agents: the moving discs; they pass through each other.
        lx: landmarks (red, green, blue), first coordinate.
        ly: landmarks, second coordinate.
        goals: goals[i] is the landmark that agent i knows of, and to which the other agent should go.
        words: the word that each agent said in the last step; -1 before the first.
        time: steps since the episode began.
    """

    agents: Bodies
    lx: Float[Array, "landmarks *batch"]
    ly: Float[Array, "landmarks *batch"]
    goals: Int[Array, "agents *batch"]
    words: Int[Array, "agents *batch"]
    time: Int[Array, "*batch"]


@world("reference")
@dataclasses.dataclass(frozen=True, eq=True)
class Reference(World[ReferenceState]):
    """Mutual reference: action ``5 * word + move``.

    Attributes:
        horizon: steps of an episode.
        local_ratio: weight of how near the partner is to the landmark that this agent knows; the rest weighs the mean
            of both.
    """

    horizon: int = 25
    local_ratio: float = 0.5

    def __post_init__(self) -> None:
        require(self, "horizon", self.horizon, self.horizon >= 1, "Use at least 1 step.")
        require(self, "local_ratio", self.local_ratio, 0 <= self.local_ratio <= 1, "Use a share from 0 to 1.")

    @property
    def agents(self) -> tuple[str, ...]:
        """agent-0 and agent-1."""
        return ("agent-0", "agent-1")

    @property
    def actions(self) -> tuple[tuple[str, ...], ...]:
        """Each of five moves with each of ten words: ``left+say-3``."""
        return (tuple(f"{move}+say-{word}" for word in range(WORDS) for move in MOVES),) * 2

    @property
    def observation_sizes(self) -> tuple[int, ...]:
        """Velocity 2, landmarks 2 each, colour of the partner's landmark 3, the partner's word 10."""
        return (2 + 2 * len(LANDMARKS) + 3 + WORDS,) * 2

    def reset(self, key: PRNGKeyArray, batch: tuple[int, ...] = ()) -> tuple[ReferenceState, Timestep]:
        """Everything anywhere in the square from -1 to 1; each agent's knowledge is drawn on its own."""
        draw = jax.random.uniform(key, (12, *batch))
        place = 2 * draw[:10] - 1
        still = jnp.zeros((2, *batch))
        goals = jnp.floor(draw[10:] * len(LANDMARKS)).astype(jnp.int32)
        state = ReferenceState(
            agents=Bodies(place[:2], place[2:4], still, still),
            lx=place[4:7],
            ly=place[7:],
            goals=goals,
            words=jnp.full((2, *batch), -1, jnp.int32),
            time=jnp.zeros(batch, jnp.int32),
        )
        return state, self._timestep(state, still)

    def step(
        self, key: PRNGKeyArray, state: ReferenceState, actions: Int[Array, "agents *batch"]
    ) -> tuple[ReferenceState, Timestep]:
        """Push and move; the words are heard in the observation that follows."""
        bodies = integrate(state.agents, *pushes(actions % len(MOVES)))
        words = actions // len(MOVES)
        state = ReferenceState(bodies, state.lx, state.ly, state.goals, words, state.time + 1)
        own = -self._distance(state)[::-1]
        return state, self._timestep(state, own.mean(0) * (1 - self.local_ratio) + own * self.local_ratio)

    def describe(self, state: ReferenceState, agent: int) -> str:
        """The observation in words."""
        seen = np.asarray(self._observe(state)[agent])
        velocity, places, colour, heard = np.split(seen, np.cumsum([2, 2 * len(LANDMARKS), 3]))
        said = f"said {int(heard.argmax())}" if heard.any() else "has said nothing"
        other = self.agents[1 - agent]
        marks = zip(LANDMARKS, places.reshape(-1, 2), strict=True)
        lines = [
            f"You are {self.agents[agent]}, {motion(velocity)}.",
            f"{other} should go to the {LANDMARKS[int(colour.argmax())]} landmark and does not know it; you should go "
            f"to the landmark that {other} knows.",
            *(f"The {name} landmark: {where(spot)} of you." for name, spot in marks),
            f"{other} {said}.",
            "An action is a move and a word, which the other agent hears.",
            f"Actions: {', '.join(self.actions[agent])}.",
        ]
        return "\n".join(lines)

    def draw(self, state: ReferenceState) -> Picture:
        """Agents in colour with the word they said, landmarks in theirs, a line from each agent to its landmark."""
        a, lx, ly = state.agents, np.asarray(state.lx), np.asarray(state.ly)
        shapes = [Shape("rect", float(lx[i]), float(ly[i]), 0.05, PAINT[i]) for i in range(len(LANDMARKS))]
        for i in range(2):
            x, y, goal = float(a.x[i]), float(a.y[i]), int(state.goals[1 - i])
            shapes.append(Shape("line", x, y, colour=PAINT[goal], to=(float(lx[goal]), float(ly[goal])), opacity=0.4))
            shapes += disc(i, x, y, 0.05, float(a.vx[i]), float(a.vy[i]))
            if int(state.words[i]) >= 0:
                shapes.append(Shape("text", x, y + 0.12, 0.12, "#000000", f"\u201c{int(state.words[i])}\u201d"))
        return Picture(frame(a.x, a.y), tuple(shapes), f"step {int(state.time)}")

    def _distance(self, state: ReferenceState) -> Float[Array, "agents *batch"]:
        """Distance of each agent to the landmark to which it should go (which its partner knows)."""
        wanted = state.goals[::-1]
        dx, dy = state.agents.x - pick(state.lx, wanted), state.agents.y - pick(state.ly, wanted)
        return jnp.sqrt(dx * dx + dy * dy)

    @partial(jax.jit, static_argnums=0, inline=True)
    def _observe(self, state: ReferenceState) -> Float[Array, "agents features *batch"]:
        b = state.agents
        return jnp.concatenate(
            [
                jnp.stack([b.vx, b.vy], 1),
                offsets(b.x, b.y, state.lx, state.ly),
                DIM + (BRIGHT - DIM) * one_hot(state.goals, len(LANDMARKS)),
                one_hot(state.words[::-1], WORDS),
            ],
            1,
        )

    def _timestep(self, state: ReferenceState, reward: Float[Array, "agents *batch"]) -> Timestep:
        batch = state.time.shape
        b, distance = state.agents, self._distance(state)
        nearest = distances(b.x, b.y, state.lx, state.ly).min(1)
        return Timestep(
            obs=self._observe(state),
            reward=reward,
            alive=jnp.ones((2, *batch), bool),
            legal=jnp.ones((2, len(MOVES) * WORDS, *batch), bool),
            terminated=jnp.zeros(batch, bool),
            truncated=state.time >= self.horizon,
            metrics={"distance": distance.mean(0), "right": (distance <= nearest + 1e-6).mean(0)},
        )
