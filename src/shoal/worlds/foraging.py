"""Level-based foraging: players gather food, and heavy food needs several of them.

Albrecht & Ramamoorthy (2013, arXiv 1506.01170); Papoudakis et al. (2021, arXiv 2006.07869); lbforaging 2.0.0.

Rules kept from the origin, odd ones too: a move into a cell that another player also wants (or keeps) fails for both,
but a player may follow into the cell of one whose own move then fails, so two can share a cell; and a player near the
upper or left edge sees other players, though not food, further than its sight downwards and to the right.

Departures: the end by time is called truncated (the origin says terminated for both ends); of the origin's two
observations the vector is offered, not the layered grid; one range of levels serves all players, and one all foods.
"""

from __future__ import annotations

import dataclasses
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, UInt32

from shoal.worlds.catalogue import require, world
from shoal.worlds.particles import others_of
from shoal.worlds.picture import Picture, Shape, colour_of
from shoal.worlds.sampling import distinct
from shoal.worlds.world import Timestep, World

ACTIONS = ("stay", "up", "down", "left", "right", "load")
LOAD = 5


class ForagingState(eqx.Module):
    """Where players and food are. Rows count from the top.

    Attributes:
        row: of each player.
        col: column of each player.
        level: of each player.
        food_row: of each food; foods are in reading order (by row, then by column).
        food_col: column of each food.
        food_level: of each food; 0 for eaten, or for one that found no room.
        spawned: sum of the food's levels when the episode began.
        time: steps since the episode began.
    """

    row: Int[Array, "players *batch"]
    col: Int[Array, "players *batch"]
    level: Int[Array, "players *batch"]
    food_row: Int[Array, "foods *batch"]
    food_col: Int[Array, "foods *batch"]
    food_level: Int[Array, "foods *batch"]
    spawned: Int[Array, "*batch"]
    time: Int[Array, "*batch"]


@world("foraging")
@dataclasses.dataclass(frozen=True, eq=True)
class Foraging(World[ForagingState]):
    """Level-based foraging on a square grid.

    Attributes:
        size: rows, and columns; 30 at most.
        players: how many.
        foods: how many at most; food keeps its distance from other food, so fewer may fit on a small grid.
        sight: cells that a player sees in each direction; None for the whole grid.
        coop: every food has the highest level: by default the sum of the three lowest players' levels.
        horizon: steps of an episode.
        lowest_level: of a player.
        highest_level: of a player.
        lowest_food: level of food, at least.
        highest_food: level of food, at most; None for the sum of the three lowest players' levels.
        penalty: what players pay who try to load a food that is too heavy for them.
        normalise: divide rewards so that all food together gives all players together 1.
        see_levels: whether players see players' levels.
    """

    size: int = 8
    players: int = 2
    foods: int = 3
    sight: int | None = None
    coop: bool = False
    horizon: int = 50
    lowest_level: int = 1
    highest_level: int = 2
    lowest_food: int = 1
    highest_food: int | None = None
    penalty: float = 0.0
    normalise: bool = True
    see_levels: bool = True

    def __post_init__(self) -> None:
        require(self, "size", self.size, 3 <= self.size <= 30, "Use 3 to 30 cells.")
        require(
            self, "players", self.players, 1 <= self.players <= self.size**2, "Use 1 to as many as there are cells."
        )
        require(self, "foods", self.foods, self.foods >= 1, "Use at least 1.")
        require(
            self, "sight", self.sight, self.sight is None or self.sight >= 1, "Use at least 1 cell, or None for all."
        )
        require(self, "horizon", self.horizon, self.horizon >= 1, "Use at least 1 step.")
        require(self, "lowest_level", self.lowest_level, self.lowest_level >= 1, "Use at least 1.")
        holds = self.highest_level >= self.lowest_level
        require(self, "highest_level", self.highest_level, holds, "Use at least lowest_level.")
        require(self, "lowest_food", self.lowest_food, self.lowest_food >= 1, "Use at least 1.")
        most = self.lowest_level * min(3, self.players) if self.highest_food is None else self.highest_food
        holds = self.coop or self.lowest_food <= most
        mend = f"Use at most {most} (highest_food; without it, what the weakest players could load), or coop."
        require(self, "lowest_food", self.lowest_food, holds, mend)
        require(self, "highest_food", self.highest_food, most >= 1, "Use at least 1, or None.")
        require(self, "penalty", self.penalty, self.penalty >= 0, "Use 0 or more.")

    @property
    def agents(self) -> tuple[str, ...]:
        """player-0, player-1, ..."""
        return tuple(f"player-{i}" for i in range(self.players))

    @property
    def actions(self) -> tuple[tuple[str, ...], ...]:
        """Stay, four moves, load."""
        return (ACTIONS,) * self.players

    @property
    def observation_sizes(self) -> tuple[int, ...]:
        """Row, column and level of each food seen, then of oneself and the other players seen; -1, -1, 0 to fill up."""
        return (3 * self.foods + (3 if self.see_levels else 2) * self.players,) * self.players

    def reset(self, key: PRNGKeyArray, batch: tuple[int, ...] = ()) -> tuple[ForagingState, Timestep]:
        """Players on distinct cells; food off the border, off players and off other food's surroundings."""
        n, m = self.players, self.foods
        cell_key, draw_key = jax.random.split(key)
        cells = distinct(cell_key, n, self.size**2, batch)
        draw = jax.random.uniform(draw_key, (n + 2 * m, *batch))
        level = self.lowest_level + _below(draw[:n], self.highest_level - self.lowest_level + 1)
        row, col = cells // self.size, cells % self.size
        food_row, food_col, fits = _place_food(row, col, draw[n : n + m], self.size)
        most = _three_lowest(level) if self.highest_food is None else jnp.full(batch, self.highest_food, jnp.int32)
        least = most if self.coop else self.lowest_food
        food_level = jnp.where(fits, least + _below(draw[n + m :], most - least + 1), 0)
        food_row, food_col, food_level = _in_reading_order(food_row, food_col, food_level, self.size)
        time = jnp.zeros(batch, jnp.int32)
        state = ForagingState(row, col, level, food_row, food_col, food_level, food_level.sum(0), time)
        return state, self._timestep(state, jnp.zeros((n, *batch)))

    def step(
        self, key: PRNGKeyArray, state: ForagingState, actions: Int[Array, "players *batch"]
    ) -> tuple[ForagingState, Timestep]:
        """Move (illegal moves are stays), then load. Loading needs the levels of all who load to reach the food's."""
        s = state
        to_row = s.row + (actions == 2) - (actions == 1)
        to_col = s.col + (actions == 4) - (actions == 3)
        stands = s.food_level > 0
        blocked = ((s.food_row[None] == to_row[:, None]) & (s.food_col[None] == to_col[:, None]) & stands[None]).any(1)
        blocked |= (to_row < 0) | (to_row >= self.size) | (to_col < 0) | (to_col >= self.size)
        to_row, to_col = jnp.where(blocked, s.row, to_row), jnp.where(blocked, s.col, to_col)
        wanted = ((to_row[:, None] == to_row[None]) & (to_col[:, None] == to_col[None])).sum(1)
        row, col = jnp.where(wanted == 1, to_row, s.row), jnp.where(wanted == 1, to_col, s.col)

        # A player stands beside one food at most, because food never lies within two cells of food in a line, nor
        # diagonally; so the order in which foods are loaded does not matter.
        away = jnp.abs(s.food_row[None] - s.row[:, None]) + jnp.abs(s.food_col[None] - s.col[:, None])
        loads = (away == 1) & stands[None] & (actions == LOAD)[:, None]
        strength = jnp.where(loads, s.level[:, None], 0).sum(0)
        eaten = stands & (strength >= s.food_level)
        worth = s.food_level.astype(jnp.float32)
        if self.normalise:
            worth = worth / (jnp.maximum(strength, 1) * jnp.maximum(s.spawned, 1))
        gain = jnp.where(eaten[None], worth[None] * s.level[:, None], -self.penalty)
        reward = jnp.where(loads, gain, 0.0).sum(1)
        left = jnp.where(eaten, 0, s.food_level)
        state = ForagingState(row, col, s.level, s.food_row, s.food_col, left, s.spawned, s.time + 1)
        return state, self._timestep(state, reward)

    def describe(self, state: ForagingState, agent: int) -> str:
        """The observation in words: rows and columns count from the upper left of what the player sees."""
        seen = np.asarray(self._observe(state)[agent]).astype(int)
        width = 3 if self.see_levels else 2
        foods = seen[: 3 * self.foods].reshape(-1, 3)
        own, *others = seen[3 * self.foods :].reshape(-1, width)
        legal = np.asarray(self._legal(state)[agent])

        def place(thing: np.ndarray) -> str:
            down, right = int(thing[0] - own[0]), int(thing[1] - own[1])
            parts = [f"{abs(d)} {w[d < 0]}" for d, w in ((down, ("down", "up")), (right, ("right", "left"))) if d]
            return f"row {thing[0]}, column {thing[1]} ({', '.join(parts) or 'your cell'})"

        def rank(thing: np.ndarray) -> str:
            return f"level {thing[2]}, " if width == 3 else ""

        view = (
            f"the whole grid, {self.size} by {self.size} cells"
            if self.sight is None
            else f"the cells up to {self.sight} away"
        )
        lines = [
            f"You are {self.agents[agent]}, {rank(own)}at row {own[0]}, column {own[1]} of what you see: {view}.",
            "Stand beside food and load it. Players who load a food together need levels that add up to its level.",
            *(f"Food of level {food[2]} at {place(food)}." for food in foods if food[2] > 0),
            *(f"Another player, {rank(other)}at {place(other)}." for other in others if other[0] >= 0),
            f"Actions: {', '.join(name for name, can in zip(ACTIONS, legal, strict=True) if can)}.",
        ]
        return "\n".join(lines)

    def draw(self, state: ForagingState) -> Picture:
        """The grid from above: food as grey squares, players as discs, with their levels."""
        edge = self.size - 0.5
        lines = []
        for i in range(self.size + 1):
            lines.append(Shape("line", i - 0.5, 0.5, colour="#e0e0e0", to=(i - 0.5, -edge)))
            lines.append(Shape("line", -0.5, 0.5 - i, colour="#e0e0e0", to=(edge, 0.5 - i)))
        shapes: list[Shape] = list(lines)
        for j in range(self.foods):
            if int(state.food_level[j]) > 0:
                x, y = float(state.food_col[j]), -float(state.food_row[j])
                shapes.append(Shape("rect", x, y, 0.35))
                shapes.append(Shape("text", x, y, 0.4, "#000000", str(int(state.food_level[j]))))
        for i in range(self.players):
            x, y = float(state.col[i]), -float(state.row[i])
            shapes.append(Shape("circle", x, y, 0.4, colour_of(i), opacity=0.8))
            shapes.append(Shape("text", x, y, 0.4, "#ffffff", str(int(state.level[i]))))
        share = float(self._eaten(state))
        return Picture(
            (-0.6, -edge - 0.1, edge + 0.1, 0.6), tuple(shapes), f"step {int(state.time)}, {share:.0%} eaten"
        )

    def _eaten(self, state: ForagingState) -> Float[Array, "*batch"]:
        return 1 - state.food_level.sum(0) / jnp.maximum(state.spawned, 1)

    @partial(jax.jit, static_argnums=0, inline=True)
    def _legal(self, state: ForagingState) -> Bool[Array, "players actions *batch"]:
        s = state
        down, right = s.food_row[None] - s.row[:, None], s.food_col[None] - s.col[:, None]
        # Where a food lies beside a player: 1 up, 2 down, 3 left, 4 right, 0 not beside it; one food at most does.
        side = jnp.where(right == 0, jnp.where(down == -1, 1, jnp.where(down == 1, 2, 0)), 0)
        side = jnp.where(down == 0, jnp.where(right == -1, 3, jnp.where(right == 1, 4, 0)), side)
        food = jnp.where((s.food_level > 0)[None], side, 0).max(1)
        last = self.size - 1
        can = [
            jnp.ones_like(food, bool),
            (food != 1) & (s.row > 0),
            (food != 2) & (s.row < last),
            (food != 3) & (s.col > 0),
            (food != 4) & (s.col < last),
            food > 0,
        ]
        return jnp.stack(can, 1)

    @partial(jax.jit, static_argnums=0, inline=True)
    def _observe(self, state: ForagingState) -> Float[Array, "players features *batch"]:
        s, n = state, self.players
        sight = self.size if self.sight is None else self.sight
        top, left = jnp.maximum(s.row - sight, 0)[:, None], jnp.maximum(s.col - sight, 0)[:, None]
        near = (jnp.abs(s.food_row[None] - s.row[:, None]) <= sight) & (
            jnp.abs(s.food_col[None] - s.col[:, None]) <= sight
        )
        foods = _packed(s.food_row[None] - top, s.food_col[None] - left, s.food_level[None])
        foods = _compact(jnp.where(near & (s.food_level > 0)[None], foods, 0))
        others = others_of(n)
        rows, cols = s.row[others] - top, s.col[others] - left
        near = (rows >= 0) & (cols >= 0) & (rows <= 2 * sight) & (cols <= 2 * sight)
        rest = _compact(jnp.where(near, _packed(rows, cols, s.level[others]), 0))
        own = _packed(s.row[:, None] - top, s.col[:, None] - left, s.level[:, None])
        people = _unpacked(jnp.concatenate([own, rest], 1), 3 if self.see_levels else 2)
        return jnp.concatenate([_unpacked(foods, 3), people], 1).astype(jnp.float32)

    def _timestep(self, state: ForagingState, reward: Float[Array, "players *batch"]) -> Timestep:
        cleared = (state.food_level == 0).all(0) & (state.time > 0)
        return Timestep(
            obs=self._observe(state),
            reward=reward,
            alive=jnp.ones(state.row.shape, bool),
            legal=self._legal(state),
            terminated=cleared,
            truncated=state.time >= self.horizon,
            metrics={"eaten": self._eaten(state), "cleared": cleared.astype(jnp.float32)},
        )


def _below(draw: Float[Array, "..."], bound: Int[Array, "..."] | int) -> Int[Array, "..."]:
    """Whole numbers from 0 to bound - 1 from uniform draws in [0, 1)."""
    return jnp.minimum(jnp.floor(draw * bound).astype(jnp.int32), bound - 1)


def _three_lowest(level: Int[Array, "players *batch"]) -> Int[Array, "*batch"]:
    """Sum of the three lowest levels (of all, if there are fewer)."""
    n = level.shape[0]
    first = jnp.tril(jnp.ones((n, n), bool), -1).reshape(n, n, *(1,) * (level.ndim - 1))
    before = (level[None] < level[:, None]) | ((level[None] == level[:, None]) & first)
    return jnp.where(before.sum(1) < 3, level, 0).sum(0)


def _place_food(
    row: Int[Array, "players *batch"], col: Int[Array, "players *batch"], draws: Float[Array, "foods *batch"], size: int
) -> tuple[Int[Array, "foods *batch"], Int[Array, "foods *batch"], Bool[Array, "foods *batch"]]:
    """Rows and columns of the foods, and whether there was room for each.

    One after the other, every cell being equally likely that is off the border, not a player's, and neither next to
    earlier food (diagonals too) nor two cells from it in a line.

    Args:
        row: of the players.
        col: columns of the players.
        draws: a uniform draw in [0, 1) for each food.
        size: of the grid.
    """
    # A row of the grid is one number, a cell one of its bits: a whole grid is then as cheap as one of its columns.
    one = jnp.uint32(1)
    rows = jnp.arange(size).reshape(size, *(1,) * (row.ndim - 1))
    inside = ((rows > 0) & (rows < size - 1)).astype(jnp.uint32) * jnp.uint32(2 ** (size - 1) - 2)
    up_to_col = (jnp.uint32(2) << rows.astype(jnp.uint32)) - one
    free = jnp.broadcast_to(inside, (size, *row.shape[1:]))
    for p in range(row.shape[0]):
        free &= ~jnp.where(rows == row[p], one << col[p].astype(jnp.uint32), 0)

    def put(free: Array, draw: Array) -> tuple[Array, tuple[Array, Array, Array]]:
        in_row = _bits(free)
        up_to_row = jnp.cumsum(in_row, 0)
        chosen = _below(draw, up_to_row[-1])
        passed = up_to_row <= chosen
        row = passed.sum(0, dtype=jnp.int32)
        chosen -= jnp.where(passed, in_row, 0).sum(0)
        line = jnp.where(rows == row, free, 0).sum(0, dtype=jnp.uint32)
        col = (_bits(line & up_to_col) <= chosen).sum(0, dtype=jnp.int32)
        fits, away = up_to_row[-1] > 0, jnp.abs(rows - row)
        near = jnp.select([away == 0, away == 1, away == 2], [jnp.uint32(31), jnp.uint32(14), jnp.uint32(4)], 0)
        # Bit 2 of ``near`` is the food's own column.
        near = (near << col.astype(jnp.uint32)) >> 2
        return free & ~jnp.where(fits, near, 0), (row, col, fits)

    return jax.lax.scan(put, free, draws)[1]


def _bits(number: UInt32[Array, "..."]) -> Int[Array, "..."]:
    """How many bits are set."""
    return jax.lax.population_count(number).astype(jnp.int32)


def _in_reading_order(row: Array, col: Array, level: Array, size: int) -> tuple[Array, Array, Array]:
    """Foods sorted by row, then column; those that are not there (level 0) last."""
    count = row.shape[0]
    index = jnp.arange(count).reshape(count, *(1,) * (row.ndim - 1))
    code = jnp.where(level > 0, row * size + col, size * size + index)
    rank = (code[None] < code[:, None]).sum(1)
    order = rank[None] == index[:, None]
    return tuple(jnp.where(order, thing[None], 0).sum(1) for thing in (row, col, level))  # type: ignore[return-value]


def _packed(row: Array, col: Array, level: Array) -> Array:
    """Row, column and level in one number; 0 stands for nothing (row -1, column -1, level 0)."""
    return (row + 1) + ((col + 1) << 8) + (level << 16)


def _unpacked(number: Int[Array, "players things *batch"], width: int) -> Array:
    """Row, column (and level) of each thing in turn along the second axis."""
    parts = [(number & 255) - 1, ((number >> 8) & 255) - 1, number >> 16][:width]
    stacked = jnp.stack(parts, 2)
    return stacked.reshape(number.shape[0], width * number.shape[1], *number.shape[2:])


def _compact(number: Int[Array, "players things *batch"]) -> Int[Array, "players things *batch"]:
    """What is not 0 moved to the front of the second axis, in its order."""
    count, ones = number.shape[1], (1,) * (number.ndim - 2)
    there = number > 0
    earlier = jnp.tril(jnp.ones((count, count), bool), -1).reshape(1, count, count, *ones)
    slot = (there[:, None] & earlier).sum(2)
    index = jnp.arange(count).reshape(1, count, 1, *ones)
    return jnp.where((slot[:, None] == index) & there[:, None], number[:, None], 0).sum(2)
