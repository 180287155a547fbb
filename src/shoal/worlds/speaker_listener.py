"""Speaker and listener: one knows the landmark and can only speak, one moves (simple_speaker_listener_v4 of mpe2).

The origin places the speaker at random too; nothing depends on where it is, so it has no place here.
"""

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
from shoal.worlds.world import Timestep, World, pad_features

LANDMARKS = ("red", "green", "blue")
PAINT = ("#a62626", "#26a626", "#2626a6")
WORDS = ("say-0", "say-1", "say-2")
BRIGHT, DIM = 0.65, 0.15
"""Components of a landmark's colour as observed: bright in its own, dim in the others."""


class SpeakerListenerState(eqx.Module):
    """Where the listener is, and what was said.

    Attributes:
        listener: one moving disc.
        lx: landmarks (red, green, blue), first coordinate.
        ly: landmarks, second coordinate.
        goal: the landmark to which the listener should go.
        word: what the speaker said in the last step; -1 before the first.
        time: steps since the episode began.
    """

    listener: Bodies
    lx: Float[Array, "landmarks *batch"]
    ly: Float[Array, "landmarks *batch"]
    goal: Int[Array, "*batch"]
    word: Int[Array, "*batch"]
    time: Int[Array, "*batch"]


@world("speaker-listener")
@dataclasses.dataclass(frozen=True, eq=True)
class SpeakerListener(World[SpeakerListenerState]):
    """Cooperative communication. Both are rewarded by minus the squared distance of the listener to its landmark.

    Attributes:
        horizon: steps of an episode.
    """

    horizon: int = 25

    def __post_init__(self) -> None:
        require(self, "horizon", self.horizon, self.horizon >= 1, "Use at least 1 step.")

    @property
    def agents(self) -> tuple[str, ...]:
        """The speaker, then the listener."""
        return ("speaker", "listener")

    @property
    def actions(self) -> tuple[tuple[str, ...], ...]:
        """Three words for the speaker, five moves for the listener."""
        return (WORDS, MOVES)

    @property
    def observation_sizes(self) -> tuple[int, ...]:
        """Speaker: colour of the landmark 3. Listener: velocity 2, landmarks 2 each, the word 3."""
        return (3, 2 + 2 * len(LANDMARKS) + len(WORDS))

    def reset(self, key: PRNGKeyArray, batch: tuple[int, ...] = ()) -> tuple[SpeakerListenerState, Timestep]:
        """Listener and landmarks anywhere in the square from -1 to 1."""
        draw = jax.random.uniform(key, (9, *batch))
        place = 2 * draw[:8] - 1
        still = jnp.zeros((1, *batch))
        state = SpeakerListenerState(
            listener=Bodies(place[:1], place[1:2], still, still),
            lx=place[2:5],
            ly=place[5:],
            goal=jnp.floor(draw[8] * len(LANDMARKS)).astype(jnp.int32),
            word=jnp.full(batch, -1, jnp.int32),
            time=jnp.zeros(batch, jnp.int32),
        )
        return state, self._timestep(state, jnp.zeros((2, *batch)))

    def step(
        self, key: PRNGKeyArray, state: SpeakerListenerState, actions: Int[Array, "agents *batch"]
    ) -> tuple[SpeakerListenerState, Timestep]:
        """The listener moves; it hears the word in the observation that follows."""
        listener = integrate(state.listener, *pushes(actions[1:]))
        state = SpeakerListenerState(listener, state.lx, state.ly, state.goal, actions[0], state.time + 1)
        reward = -self._square(state)
        return state, self._timestep(state, jnp.broadcast_to(reward, (2, *reward.shape)))

    def describe(self, state: SpeakerListenerState, agent: int) -> str:
        """The observation in words."""
        seen = np.asarray(self._observe(state)[agent])
        if agent == 0:
            name = LANDMARKS[int(seen[:3].argmax())]
            return "\n".join(
                [
                    "You are the speaker; you cannot move and you see no places.",
                    f"The listener should go to the {name} landmark and does not know it. Tell it by a word.",
                    f"Actions: {', '.join(WORDS)}.",
                ]
            )
        velocity, places, heard = np.split(seen, np.cumsum([2, 2 * len(LANDMARKS)]))
        said = f"The speaker said {int(heard.argmax())}." if heard.any() else "The speaker has said nothing."
        marks = zip(LANDMARKS, places.reshape(-1, 2), strict=True)
        lines = [
            f"You are the listener, {motion(velocity)}.",
            "Go to the landmark that the speaker knows of.",
            *(f"The {name} landmark: {where(spot)} of you." for name, spot in marks),
            said,
            f"Actions: {', '.join(MOVES)}.",
        ]
        return "\n".join(lines)

    def draw(self, state: SpeakerListenerState) -> Picture:
        """The listener, the landmarks in their colours, a line to the right one, and the word in the corner."""
        a, lx, ly, goal = state.listener, np.asarray(state.lx), np.asarray(state.ly), int(state.goal)
        x, y = float(a.x[0]), float(a.y[0])
        shapes = [Shape("rect", float(lx[i]), float(ly[i]), 0.05, PAINT[i]) for i in range(len(LANDMARKS))]
        shapes.append(Shape("line", x, y, colour=PAINT[goal], to=(float(lx[goal]), float(ly[goal])), opacity=0.4))
        shapes += disc(1, x, y, 0.075, float(a.vx[0]), float(a.vy[0]))
        said = f", the speaker said {int(state.word)}" if int(state.word) >= 0 else ""
        return Picture(frame(a.x, a.y), tuple(shapes), f"step {int(state.time)}{said}")

    def _square(self, state: SpeakerListenerState) -> Float[Array, "*batch"]:
        wanted = state.goal[None]
        dx, dy = (pick(state.lx, wanted) - state.listener.x)[0], (pick(state.ly, wanted) - state.listener.y)[0]
        return dx * dx + dy * dy

    @partial(jax.jit, static_argnums=0, inline=True)
    def _observe(self, state: SpeakerListenerState) -> Float[Array, "agents features *batch"]:
        b = state.listener
        colour = DIM + (BRIGHT - DIM) * one_hot(state.goal[None], len(LANDMARKS))[0]
        heard = one_hot(state.word[None], len(WORDS))[0]
        places = offsets(b.x, b.y, state.lx, state.ly)[0]
        return pad_features([colour, jnp.concatenate([b.vx, b.vy, places, heard])], self.observation_size)

    def _timestep(self, state: SpeakerListenerState, reward: Float[Array, "agents *batch"]) -> Timestep:
        batch = state.time.shape
        b = state.listener
        distance = jnp.sqrt(self._square(state))
        nearest = distances(b.x, b.y, state.lx, state.ly)[0].min(0)
        mask = self.action_mask()
        return Timestep(
            obs=self._observe(state),
            reward=reward,
            alive=jnp.ones((2, *batch), bool),
            legal=jnp.broadcast_to(mask.reshape(*mask.shape, *(1,) * len(batch)), (*mask.shape, *batch)),
            terminated=jnp.zeros(batch, bool),
            truncated=state.time >= self.horizon,
            metrics={"distance": distance, "right": (distance <= nearest + 1e-6).astype(jnp.float32)},
        )
