"""Predator and prey: predators who see next to nothing look for a prey that stands still (IC3Net, arXiv 1812.09755).

Numbers, rewards and movement are those of IC3Net's code. A predator that reached the prey stays there.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from shoal.worlds.catalogue import require, world
from shoal.worlds.encoding import legal_line, one_hot
from shoal.worlds.picture import Picture, Shape, colour_of
from shoal.worlds.sampling import distinct
from shoal.worlds.world import Timestep, World

OWN = -1
"""As a setting: the level's own value."""
MOVES = ("up", "right", "down", "left", "stay")
STAY = MOVES.index("stay")
STEP = 0.05
"""What a step costs, and the unit of what the prey pays."""


class Level(NamedTuple):
    """What a level sets."""

    predators: int
    size: int
    horizon: int
    vision: int


LEVELS = {"easy": Level(3, 5, 20, 0), "medium": Level(5, 10, 40, 1), "hard": Level(10, 20, 80, 1)}


class HuntState(eqx.Module):
    """Where everybody is.

    Attributes:
        row: of each predator.
        column: of each predator.
        reached: predators that reached the prey.
        prey_row: of the prey.
        prey_column: of the prey.
        time: steps since the episode began.
    """

    row: Int[Array, "predators *batch"]
    column: Int[Array, "predators *batch"]
    reached: Bool[Array, "predators *batch"]
    prey_row: Int[Array, "*batch"]
    prey_column: Int[Array, "*batch"]
    time: Int[Array, "*batch"]


@world("predator-prey")
@dataclasses.dataclass(frozen=True, eq=True)
class PredatorPrey(World[HuntState]):
    """With k predators on the prey, each of them gets 0 (mixed), 0.05 k (cooperative) or 0.05 / k (competitive).

    A predator elsewhere gets -0.05. The prey, where it is an agent, gets 0.05 as long as nobody stands on it and can
    only stay. A mixed episode ends when all have reached the prey, the others at the horizon.

    An agent sees where it is (one-hot over cells, or scaled row and column) and, for each cell of the square of side
    2 vision + 1 around it, whether it lies outside, the prey in it, and the predators in it (itself included). IC3Net's
    code repeats the number of every visible cell; here it is told once, which is the same information.

    Attributes:
        level: numbers of easy (3 predators, 5 x 5, 20 steps, vision 0), medium (5, 10, 40, 1), hard (10, 20, 80, 1).
        count: predators; -1 for the level's own, as below.
        size: side of the grid.
        vision: cells seen in each direction.
        pay: mixed, cooperative or competitive.
        prey_talks: the prey is an agent too, the last one, so that it can talk (IC3Net's competitive case).
        place: "cell" (one-hot) or "coordinates".
        horizon: steps of an episode.
    """

    level: str = "easy"
    count: int = OWN
    size: int = OWN
    vision: int = OWN
    pay: str = "mixed"
    prey_talks: bool = False
    place: str = "cell"
    horizon: int = OWN

    def __post_init__(self) -> None:
        require(self, "level", self.level, self.level in LEVELS, "Use easy, medium or hard.")
        own = LEVELS[self.level]
        defaults = {"count": own.predators, "size": own.size, "vision": own.vision, "horizon": own.horizon}
        for name, value in defaults.items():
            if getattr(self, name) == OWN:
                object.__setattr__(self, name, value)
        require(self, "count", self.count, self.count >= 1, "Use at least 1 predator.")
        room = self.size >= 1 and self.size**2 > self.count
        require(self, "size", self.size, room, f"Use a grid with more than count={self.count} cells.")
        require(self, "vision", self.vision, 0 <= self.vision < self.size, "Use 0 to size - 1 cells.")
        pays = ("mixed", "cooperative", "competitive")
        require(self, "pay", self.pay, self.pay in pays, "Use mixed, cooperative or competitive.")
        require(self, "place", self.place, self.place in ("cell", "coordinates"), "Use cell or coordinates.")
        require(self, "horizon", self.horizon, self.horizon >= 1, "Use at least 1 step.")

    @property
    def agents(self) -> tuple[str, ...]:
        """predator-0, predator-1, ..., and the prey if it talks."""
        return tuple(f"predator-{i}" for i in range(self.count)) + (("prey",) if self.prey_talks else ())

    @property
    def actions(self) -> tuple[tuple[str, ...], ...]:
        """Up, right, down, left, stay."""
        return (MOVES,) * self.agent_count

    @property
    def observation_sizes(self) -> tuple[int, ...]:
        """Place, then outside, prey and predators for each visible cell."""
        place = self.size**2 if self.place == "cell" else 2
        return (place + 3 * (2 * self.vision + 1) ** 2,) * self.agent_count

    def reset(self, key: PRNGKeyArray, batch: tuple[int, ...] = ()) -> tuple[HuntState, Timestep]:
        """Everybody in a cell of its own."""
        cells = distinct(key, self.count + 1, self.size**2, batch)
        row, column = cells // self.size, cells % self.size
        nobody = jnp.zeros((self.count, *batch), bool)
        state = HuntState(row[:-1], column[:-1], nobody, row[-1], column[-1], jnp.zeros(batch, jnp.int32))
        return state, self._timestep(state, jnp.zeros((self.agent_count, *batch)))

    def step(
        self, key: PRNGKeyArray, state: HuntState, actions: Int[Array, "agents *batch"]
    ) -> tuple[HuntState, Timestep]:
        """Predators that have not reached the prey move; walls stop them."""
        act = jnp.where(state.reached, STAY, actions[: self.count])
        row = jnp.clip(state.row + (act == 2) - (act == 0), 0, self.size - 1)
        column = jnp.clip(state.column + (act == 1) - (act == 3), 0, self.size - 1)
        there = (row == state.prey_row[None]) & (column == state.prey_column[None])
        many = there.sum(0)
        if self.pay == "mixed":
            prize = jnp.zeros(many.shape)
        else:
            prize = STEP * many if self.pay == "cooperative" else STEP / jnp.maximum(many, 1)
        reward = jnp.where(there, prize, -STEP)
        if self.prey_talks:
            reward = jnp.concatenate([reward, jnp.where(many == 0, STEP, 0.0)[None]])
        state = HuntState(row, column, there, state.prey_row, state.prey_column, state.time + 1)
        return state, self._timestep(state, reward)

    def describe(self, state: HuntState, agent: int) -> str:
        """The place and what is in view."""
        rows, columns = self._places(state)
        lines = [f"You are {self.agents[agent]} in row {int(rows[agent])}, column {int(columns[agent])}."]
        lines.append("Stay away from the predators." if agent == self.count else "Find the prey and stay on it.")
        outside, prey, predators = (np.asarray(v)[agent] for v in self._view(state))
        span = range(-self.vision, self.vision + 1)
        around = [(down, right) for down in span for right in span]
        for i, (down, right) in enumerate(around):
            where = "Your cell" if (down, right) == (0, 0) else f"{down:+d} rows, {right:+d} columns"
            content = "outside" if outside[i] else f"{int(prey[i])} prey, {int(predators[i])} predators"
            lines.append(f"{where}: {content}.")
        legal = np.arange(len(MOVES)) == STAY if self._stuck(state)[agent] else np.ones(len(MOVES), bool)
        return "\n".join([*lines, legal_line(MOVES, legal)])

    def draw(self, state: HuntState) -> Picture:
        """The prey as a grey square, predators in colour, what they see shaded."""
        side = self.size
        shapes = [Shape("rect", (side - 1) / 2, (side - 1) / 2, side / 2, "#f4f4f4")]
        shapes.append(Shape("rect", float(state.prey_column), float(side - 1 - int(state.prey_row)), 0.4, "#555555"))
        for i in range(self.count):
            x, y = float(state.column[i]), float(side - 1 - int(state.row[i]))
            shapes.append(Shape("rect", x, y, self.vision + 0.5, colour_of(i), opacity=0.15))
            shapes.append(Shape("circle", x, y, 0.3, colour_of(i)))
        return Picture((-0.6, -0.6, side - 0.4, side - 0.4), shapes, f"step {int(state.time)}")

    def _places(self, state: HuntState) -> tuple[Int[Array, "agents *batch"], Int[Array, "agents *batch"]]:
        if not self.prey_talks:
            return state.row, state.column
        return (
            jnp.concatenate([state.row, state.prey_row[None]]),
            jnp.concatenate([state.column, state.prey_column[None]]),
        )

    def _stuck(self, state: HuntState) -> Bool[Array, "agents *batch"]:
        """Agents that can only stay."""
        always = jnp.ones((self.agent_count - self.count, *state.time.shape), bool)
        return jnp.concatenate([state.reached, always])

    def _view(self, state: HuntState) -> tuple[Array, Array, Array]:
        """Outside, prey and predators in the square around each agent, [agents, cells of the square, *batch]."""
        v = self.vision
        row, column = self._places(state)
        shift = np.arange(-v, v + 1)
        trail = (1,) * state.time.ndim
        down = jnp.asarray(np.repeat(shift, 2 * v + 1)).reshape(1, -1, *trail)
        right = jnp.asarray(np.tile(shift, 2 * v + 1)).reshape(1, -1, *trail)
        r, c = row[:, None] + down, column[:, None] + right
        outside = (r < 0) | (r >= self.size) | (c < 0) | (c >= self.size)
        prey = (r == state.prey_row) & (c == state.prey_column)
        predators = ((r[:, :, None] == state.row[None, None]) & (c[:, :, None] == state.column[None, None])).sum(2)
        return outside, prey, predators

    def _timestep(self, state: HuntState, reward: Float[Array, "agents *batch"]) -> Timestep:
        row, column = self._places(state)
        if self.place == "cell":
            place = one_hot(row * self.size + column, self.size**2)
        else:
            place = jnp.stack([row, column], 1) / max(self.size - 1, 1)
        seen = [part.astype(jnp.float32) for part in self._view(state)]
        stay = (jnp.arange(len(MOVES)) == STAY).reshape(1, -1, *(1,) * state.time.ndim)
        all_there = state.reached.all(0)
        return Timestep(
            obs=jnp.concatenate([place, *seen], 1),
            reward=reward,
            alive=jnp.ones(row.shape, bool),
            legal=~self._stuck(state)[:, None] | stay,
            terminated=all_there if self.pay == "mixed" else jnp.zeros_like(all_there),
            truncated=state.time >= self.horizon,
            metrics={"success": all_there.astype(jnp.float32), "on_prey": state.reached.sum(0).astype(jnp.float32)},
        )
