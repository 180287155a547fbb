"""Riddles from the first papers on learned communication: the switch riddle and colour-digit.

Both come from DIAL (Foerster et al. 2016, arXiv 1605.06676, section 6): the sender's fact must reach somebody else, bit
by bit. What agents say to each other is the learner's matter; only the light bulb is part of the world.
"""

from __future__ import annotations

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from shoal.worlds.catalogue import require, world
from shoal.worlds.encoding import first_only, legal_line, one_hot
from shoal.worlds.picture import Picture, Shape, colour_of
from shoal.worlds.world import Timestep, World

OWN = -1
"""As a setting: the number that the rules of the riddle give."""
DIGITS = 10
COLOURS = ("red", "green")


class SwitchState(eqx.Module):
    """The prison.

    Attributes:
        room: who is in the interrogation room now.
        lit: the bulb is on.
        been: who has been in the room in earlier steps.
        time: steps since the episode began.
    """

    room: Int[Array, "*batch"]
    lit: Bool[Array, "*batch"]
    been: Bool[Array, "agents *batch"]
    time: Int[Array, "*batch"]


@world("switch-riddle")
@dataclasses.dataclass(frozen=True, eq=True)
class SwitchRiddle(World[SwitchState]):
    """Prisoners are called to a room one at a time; somebody must say when all have been there.

    Telling pays +1 to all if everybody has been in the room and -1 if not; silence pays 0. Steps as in JaxMARL; as in
    DIAL's code, only the prisoner in the room has a choice.

    Attributes:
        count: prisoners.
        bulb: the room has a light bulb that its visitor sees and may switch; without it (DIAL), every bit must go
            through the learner's own channel.
        horizon: steps of an episode; -1 for 4 count - 6 (DIAL), at least ``count``.
    """

    random_steps = True
    count: int = 3
    bulb: bool = True
    horizon: int = OWN

    def __post_init__(self) -> None:
        require(self, "count", self.count, self.count >= 1, "Use at least 1 prisoner.")
        require(self, "horizon", self.horizon, self.horizon >= 1 or self.horizon == OWN, "Use at least 1 step.")
        if self.horizon == OWN:
            object.__setattr__(self, "horizon", max(4 * self.count - 6, self.count))

    @property
    def agents(self) -> tuple[str, ...]:
        """prisoner-0, prisoner-1, ..."""
        return tuple(f"prisoner-{i}" for i in range(self.count))

    @property
    def actions(self) -> tuple[tuple[str, ...], ...]:
        """Nothing, switch the light (with a bulb), tell."""
        names = ("nothing", "switch", "tell") if self.bulb else ("nothing", "tell")
        return (names,) * self.count

    @property
    def observation_sizes(self) -> tuple[int, ...]:
        """In the room, and the bulb as seen from inside."""
        return (2 if self.bulb else 1,) * self.count

    def reset(self, key: PRNGKeyArray, batch: tuple[int, ...] = ()) -> tuple[SwitchState, Timestep]:
        """The light is off, nobody has been in the room, somebody is called."""
        room = jax.random.randint(key, batch, 0, self.count)
        off = jnp.zeros(batch, bool)
        state = SwitchState(room, off, jnp.zeros((self.count, *batch), bool), jnp.zeros(batch, jnp.int32))
        return state, self._timestep(state, off, off)

    def step(
        self, key: PRNGKeyArray, state: SwitchState, actions: Int[Array, "agents *batch"]
    ) -> tuple[SwitchState, Timestep]:
        """The one in the room acts; the next one is called."""
        return self.advance(state, actions, jax.random.randint(key, state.time.shape, 0, self.count))

    def advance(
        self, state: SwitchState, actions: Int[Array, "agents *batch"], called: Int[Array, "*batch"]
    ) -> tuple[SwitchState, Timestep]:
        """The step with the draw made: ``called`` is in the room next."""
        here = self._here(state)
        act = jnp.where(here, actions, 0).sum(0)
        been = state.been | here
        tell = act == len(self.actions[0]) - 1
        lit = state.lit ^ (act == 1) if self.bulb else state.lit
        state = SwitchState(called, lit, been, state.time + 1)
        return state, self._timestep(state, tell, tell & been.all(0))

    def describe(self, state: SwitchState, agent: int) -> str:
        """In the room or not, and what the bulb shows there."""
        inside = int(state.room) == agent
        lines = [f"You are {self.agents[agent]}. Say `tell` once every prisoner has been in the room."]
        lines.append("You are in the room." if inside else "You are in your cell.")
        if inside and self.bulb:
            lines.append(f"The light is {'on' if bool(state.lit) else 'off'}.")
        return "\n".join([*lines, legal_line(self.actions[agent], self._here(state)[agent] | (np.arange(3) == 0))])

    def draw(self, state: SwitchState) -> Picture:
        """Cells in a row below the room; prisoners who have been there are drawn solid."""
        n, room = self.count, int(state.room)
        shapes = [Shape("rect", (n - 1) / 2, 1.5, 0.45, "#F0E442" if bool(state.lit) else "#d8d8d8")]
        for i in range(n):
            x, y = ((n - 1) / 2, 1.5) if i == room else (float(i), 0.0)
            shapes.append(Shape("circle", x, y, 0.3, colour_of(i), opacity=1.0 if bool(state.been[i]) else 0.4))
        return Picture((-1.0, -0.7, float(n), 2.2), shapes, f"step {int(state.time)}")

    def _here(self, state: SwitchState) -> Bool[Array, "agents *batch"]:
        numbers = jnp.arange(self.count).reshape(self.count, *(1,) * state.time.ndim)
        return state.room[None] == numbers

    def _timestep(self, state: SwitchState, told: Bool[Array, "*batch"], right: Bool[Array, "*batch"]) -> Timestep:
        here = self._here(state)
        seen = [here, here & state.lit] if self.bulb else [here]
        pay = right.astype(jnp.float32) - (told & ~right)
        return Timestep(
            obs=jnp.stack(seen, 1).astype(jnp.float32),
            reward=jnp.broadcast_to(pay, here.shape),
            alive=jnp.ones(here.shape, bool),
            legal=first_only(here, self.action_count),
            terminated=told,
            truncated=state.time >= self.horizon,
            metrics={"success": right.astype(jnp.float32), "told": told.astype(jnp.float32)},
        )


class ColourDigitState(eqx.Module):
    """Two cards.

    Attributes:
        colour: of each agent's card, 0 or 1.
        digit: of each agent's card, 0 to 9.
        time: steps since the episode began.
    """

    colour: Int[Array, "agents *batch"]
    digit: Int[Array, "agents *batch"]
    time: Int[Array, "*batch"]


@world("colour-digit")
@dataclasses.dataclass(frozen=True, eq=True)
class ColourDigit(World[ColourDigitState]):
    """Two agents hold a coloured digit each and are paid by facts of both cards.

    With u the action (0 or 1), c the colour, d the digit, b the other one, the team gets in the last step the sum over
    agents a of 2 (-1)^(u_a + c_a + d_b) + (-1)^(u_a + d_a + c_b). Without talking the expectation is 0; one bit each
    way makes 2 if it tells the colour and 4 if it tells the parity of the digit, which more bits do not improve.
    Earlier steps are for talking.

    Departures from DIAL: the card is given as one-hot features, not as a picture of a handwritten digit; an extra
    feature says that this is the step to act in.

    Attributes:
        goal: "parity" (above), or "digit": name the other's digit, 0.5 to the team for each right answer.
        horizon: steps; the last one counts.
    """

    goal: str = "parity"
    horizon: int = 2

    def __post_init__(self) -> None:
        require(self, "goal", self.goal, self.goal in ("parity", "digit"), "Use parity or digit.")
        require(self, "horizon", self.horizon, self.horizon >= 1, "Use at least 1 step.")

    @property
    def agents(self) -> tuple[str, ...]:
        """agent-0, agent-1."""
        return ("agent-0", "agent-1")

    @property
    def actions(self) -> tuple[tuple[str, ...], ...]:
        """Two answers, or one for each digit."""
        names = ("zero", "one") if self.goal == "parity" else tuple(str(d) for d in range(DIGITS))
        return (names,) * 2

    @property
    def observation_sizes(self) -> tuple[int, ...]:
        """Colour 2, digit 10, and 1 for the step to act in."""
        return (len(COLOURS) + DIGITS + 1,) * 2

    def reset(self, key: PRNGKeyArray, batch: tuple[int, ...] = ()) -> tuple[ColourDigitState, Timestep]:
        """Two cards, each equally likely."""
        card = jax.random.randint(key, (2, *batch), 0, len(COLOURS) * DIGITS)
        state = ColourDigitState(card // DIGITS, card % DIGITS, jnp.zeros(batch, jnp.int32))
        return state, self._timestep(state, jnp.zeros(batch), jnp.zeros(batch))

    def step(
        self, key: PRNGKeyArray, state: ColourDigitState, actions: Int[Array, "agents *batch"]
    ) -> tuple[ColourDigitState, Timestep]:
        """Count the step; the last one is paid."""
        last = state.time == self.horizon - 1
        colour, digit = state.colour, state.digit
        if self.goal == "parity":
            major = _sign(actions + colour + digit[::-1])
            minor = _sign(actions + digit + colour[::-1])
            pay, right = (2 * major + minor).sum(0), (major > 0).mean(0)
        else:
            right = (actions == digit[::-1]).mean(0)
            pay = right
        state = ColourDigitState(colour, digit, state.time + 1)
        return state, self._timestep(state, jnp.where(last, pay, 0.0), jnp.where(last, right, 0.0))

    def describe(self, state: ColourDigitState, agent: int) -> str:
        """The agent's own card."""
        acting = int(state.time) == self.horizon - 1
        rule = (
            "Answer by the parity of the sum of your colour and the other's digit (counts double), "
            "and of your digit and the other's colour (red 0, green 1)."
            if self.goal == "parity"
            else "Name the digit on the other's card."
        )
        return "\n".join(
            [
                f"You are {self.agents[agent]}. Your card is a {COLOURS[int(state.colour[agent])]} "
                f"{int(state.digit[agent])}.",
                rule,
                "Act now." if acting else "This step is for talking.",
                legal_line(self.actions[agent], (np.arange(self.action_count) == 0) | acting),
            ]
        )

    def draw(self, state: ColourDigitState) -> Picture:
        """The two cards."""
        paint = ("#D55E00", "#009E73")
        shapes: list[Shape] = []
        for i in range(2):
            shapes.append(Shape("rect", float(i), 0.0, 0.4, paint[int(state.colour[i])], height=0.6))
            shapes.append(Shape("text", float(i), 0.0, 0.5, "#ffffff", str(int(state.digit[i]))))
        return Picture((-0.7, -0.8, 1.7, 0.8), shapes, f"step {int(state.time)}")

    def _timestep(
        self, state: ColourDigitState, pay: Float[Array, "*batch"], right: Float[Array, "*batch"]
    ) -> Timestep:
        batch = state.time.shape
        acting = jnp.broadcast_to(state.time == self.horizon - 1, (2, *batch))
        cards = [one_hot(state.colour, len(COLOURS)), one_hot(state.digit, DIGITS)]
        return Timestep(
            obs=jnp.concatenate([*cards, acting[:, None].astype(jnp.float32)], 1),
            reward=jnp.broadcast_to(pay, (2, *batch)),
            alive=jnp.ones((2, *batch), bool),
            legal=first_only(acting, self.action_count),
            terminated=state.time >= self.horizon,
            truncated=jnp.zeros(batch, bool),
            metrics={"right": right},
        )


def _sign(exponent: Int[Array, "agents *batch"]) -> Float[Array, "agents *batch"]:
    return 1.0 - 2.0 * (exponent % 2)
