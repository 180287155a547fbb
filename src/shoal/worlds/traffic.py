"""Traffic junction: cars on crossing roads that brake or go, and see next to nothing.

The task of CommNet (arXiv 1605.07736, section 4.2) with the maps, rates and rewards of IC3Net's code (arXiv
1812.09755): a car that is on the road loses 0.01 times the steps since it came, and 10 in each step in which it shares
its cell with another car. Cars that crash drive on.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray
from numpy.typing import NDArray

from shoal.worlds.catalogue import require, world
from shoal.worlds.encoding import first_only, legal_line, one_hot
from shoal.worlds.picture import Picture, Shape, colour_of
from shoal.worlds.world import Timestep, World

OWN = -1
"""As a setting: the level's own value."""
Route = tuple[tuple[int, int], ...]
"""Cells, as (row, column)."""
WAITING = -0.01
CRASH = -10.0


class Level(NamedTuple):
    """What a level sets."""

    cars: int
    size: int
    horizon: int
    slowest: float
    busiest: float


LEVELS = {
    "easy": Level(5, 6, 20, 0.1, 0.3),
    "medium": Level(10, 14, 40, 0.05, 0.2),
    "hard": Level(20, 18, 80, 0.02, 0.05),
}
DIRECTIONS = ((-1, 0), (0, 1), (1, 0), (0, -1))
"""Up, right, down, left, as (rows, columns); the next one is a right turn."""
SIDES = {"top": 2, "bottom": 0, "left": 1, "right": 3}
"""Where cars come from, and the direction in which they then drive."""


def arrival_at(level: str, epoch: float, start: float = 250, end: float = 1250) -> float:
    """The arrival rate of IC3Net's curriculum: rises from the level's slowest to its busiest between two epochs.

    Rates are whole hundredths, as there.
    """
    slowest, busiest = LEVELS[level].slowest, LEVELS[level].busiest
    share = min(max((epoch - start) / (end - start), 0.0), 1.0)
    return float(np.floor((slowest + (busiest - slowest) * share) * 100 + 1e-6) / 100)


class TrafficState(eqx.Module):
    """The cars.

    Attributes:
        active: on the road.
        route: number of the route, kept from the last drive while off the road.
        progress: cells driven on it.
        waited: steps since the car came.
        braked: its last action was to brake.
        crashes: cars in a crash, summed over the episode.
        arrived: cars that reached their end, summed over the episode.
        time: steps since the episode began.
    """

    active: Bool[Array, "cars *batch"]
    route: Int[Array, "cars *batch"]
    progress: Int[Array, "cars *batch"]
    waited: Int[Array, "cars *batch"]
    braked: Bool[Array, "cars *batch"]
    crashes: Int[Array, "*batch"]
    arrived: Int[Array, "*batch"]
    time: Int[Array, "*batch"]


class Arrivals(NamedTuple):
    """The draws of a step.

    Attributes:
        comes: a car comes at this entrance.
        turn: which of the entrance's routes it takes.
        noise: decides which free car it is.
    """

    comes: Bool[Array, "entrances *batch"]
    turn: Int[Array, "entrances *batch"]
    noise: Float[Array, "cars *batch"]


@world("traffic-junction")
@dataclasses.dataclass(frozen=True, eq=True)
class TrafficJunction(World[TrafficState]):
    """Cars enter at random, follow their routes by going or braking, and leave; slots of cars are used again.

    A car sees its last action, its route's number (scaled), where it is (one-hot over road cells, or scaled row and
    column), and how many cars are in each cell of the square of side 2 vision + 1 around it (itself included), with
    whether that cell is road if vision > 0.

    Departures from IC3Net's code: the cell is told once, not for each visible cell again (the same information in far
    fewer numbers); the easy map's cells have numbers of their own (there one collides with "outside"); a car that has
    left stays out for at least one step, so that ``alive`` shows where one drive ends and the next begins, and it
    starts the next drive with "gas" as its last action.

    Attributes:
        level: map and numbers, easy (one crossing of one-way roads), medium (of two-way roads), or hard (four).
        count: cars at most on the road; -1 for the level's own, as below.
        size: side of the grid (the easy map adds 1); even, for hard a multiple of 3.
        arrival: probability that a car comes in a step, at each entrance; the level's own is its busiest.
        vision: cells seen in each direction; IC3Net's commands use 0.
        place: "cell" (one-hot) or "coordinates".
        horizon: steps of an episode.
    """

    random_steps = True
    level: str = "easy"
    count: int = OWN
    size: int = OWN
    arrival: float = OWN
    vision: int = 0
    place: str = "cell"
    horizon: int = OWN

    def __post_init__(self) -> None:
        require(self, "level", self.level, self.level in LEVELS, "Use easy, medium or hard.")
        own = LEVELS[self.level]
        defaults = {"count": own.cars, "size": own.size, "arrival": own.busiest, "horizon": own.horizon}
        for name, value in defaults.items():
            if getattr(self, name) == OWN:
                object.__setattr__(self, name, value)
        step, least = (3, 9) if self.level == "hard" else (2, 4)
        fits = self.size >= least and self.size % step == 0
        require(self, "count", self.count, self.count >= 1, "Use at least 1 car.")
        require(self, "size", self.size, fits, f"Use a multiple of {step}, at least {least}.")
        require(self, "arrival", self.arrival, 0 <= self.arrival <= 1, "Use a probability from 0 to 1.")
        require(self, "vision", self.vision, 0 <= self.vision < self.size, "Use 0 to size - 1 cells.")
        require(self, "place", self.place, self.place in ("cell", "coordinates"), "Use cell or coordinates.")
        require(self, "horizon", self.horizon, self.horizon >= 1, "Use at least 1 step.")

    @property
    def agents(self) -> tuple[str, ...]:
        """car-0, car-1, ..."""
        return tuple(f"car-{i}" for i in range(self.count))

    @property
    def actions(self) -> tuple[tuple[str, ...], ...]:
        """Gas (one cell on), brake (stay)."""
        return (("gas", "brake"),) * self.count

    @property
    def observation_sizes(self) -> tuple[int, ...]:
        """Last action, route, place, cars in view, road in view."""
        place = int(self.road().sum()) if self.place == "cell" else 2
        seen = (2 * self.vision + 1) ** 2
        return (2 + place + (seen if self.vision == 0 else 2 * seen),) * self.count

    @property
    def side(self) -> int:
        """Cells of a side of the map."""
        return _side(self.level, self.size)

    def road(self) -> NDArray[np.bool_]:
        """Which cells are road, [rows, columns]."""
        lanes = _lanes(self.level, self.size)
        road = np.zeros((self.side, self.side), bool)
        road[lanes, :] = road[:, lanes] = True
        return road

    def routes(self) -> tuple[Route, ...]:
        """The cells of every route; those of an entrance follow each other, straight before right before left."""
        return _routes(self.level, self.size)

    def reset(self, key: PRNGKeyArray, batch: tuple[int, ...] = ()) -> tuple[TrafficState, Timestep]:
        """An empty road; cars come from the first step on."""
        n = self.count
        zero, none = jnp.zeros((n, *batch), jnp.int32), jnp.zeros((n, *batch), bool)
        count = jnp.zeros(batch, jnp.int32)
        state = TrafficState(none, zero, zero, zero, none, count, count, count)
        return state, self._timestep(state)[1]

    def step(
        self, key: PRNGKeyArray, state: TrafficState, actions: Int[Array, "agents *batch"]
    ) -> tuple[TrafficState, Timestep]:
        """Cars drive and leave, new ones come, crashes are counted."""
        batch, doors = state.time.shape, len(_entrances(self.level, self.side))
        draw = jax.random.uniform(key, (2 * doors + self.count, *batch))
        turns = len(self.routes()) // doors
        turn = jnp.minimum((draw[doors : 2 * doors] * turns).astype(jnp.int32), turns - 1)
        return self.advance(state, actions, Arrivals(draw[:doors] < self.arrival, turn, draw[2 * doors :]))

    def advance(
        self, state: TrafficState, actions: Int[Array, "agents *batch"], arrivals: Arrivals
    ) -> tuple[TrafficState, Timestep]:
        """The step with the draws made."""
        routes = self.routes()
        length = jnp.asarray(np.array([len(r) for r in routes], np.int32))[state.route]
        go = state.active & (actions == 0)
        progress = state.progress + go
        leaves = state.active & (progress >= length)
        stays = state.active & ~leaves
        doors = arrivals.comes.shape[0]
        comes, door = _admit(~state.active, arrivals)
        turn = (door * arrivals.turn[:, None]).sum(0)
        number = jnp.arange(doors).reshape(doors, 1, *(1,) * state.time.ndim)
        route = (door * number).sum(0) * (len(routes) // doors) + turn
        state = TrafficState(
            active=stays | comes,
            route=jnp.where(comes, route, state.route),
            progress=jnp.where(comes, 0, progress),
            waited=jnp.where(stays, state.waited + 1, 0),
            braked=stays & (actions == 1),
            crashes=state.crashes,
            arrived=state.arrived + leaves.sum(0),
            time=state.time + 1,
        )
        return self._timestep(state)

    def describe(self, state: TrafficState, agent: int) -> str:
        """Route, place, last action and the cars in view."""
        if not bool(state.active[agent]):
            return f"You are {self.agents[agent]}. You are not on the road.\nActions: gas."
        row, column = (int(v[agent]) for v in self._places(state))
        last = "brake" if bool(state.braked[agent]) else "gas"
        lines = [
            f"You are a car on route {int(state.route[agent])}, in row {row}, column {column}.",
            f"Your last action: {last}.",
            "Get to the end of your route. Waiting costs a little, sharing a cell with another car costs much.",
        ]
        counts, road = (np.asarray(v)[agent] for v in self._view(state))
        span = range(-self.vision, self.vision + 1)
        around = [(down, right) for down in span for right in span]
        for (down, right), cars, paved in zip(around, counts, road, strict=True):
            if (down, right) == (0, 0):
                lines.append(f"Cars in your cell, you included: {int(cars)}.")
            else:
                lines.append(f"{down:+d} rows, {right:+d} columns: {'road' if paved else 'no road'}, {int(cars)} cars.")
        return "\n".join([*lines, legal_line(self.actions[agent], [True, True])])

    def draw(self, state: TrafficState) -> Picture:
        """Roads in grey, cars in colour, cars that crashed with a red ring."""
        side = self.side
        cells = np.argwhere(self.road())
        shapes = [Shape("rect", float(c), float(side - 1 - r), 0.5, "#d8d8d8") for r, c in cells]
        rows, columns = (np.asarray(v) for v in self._places(state))
        crashed = np.asarray(self._crashed(state))
        for i in np.flatnonzero(np.asarray(state.active)):
            x, y = float(columns[i]), float(side - 1 - rows[i])
            if crashed[i]:
                shapes.append(Shape("circle", x, y, 0.48, "#ff0000"))
            shapes.append(Shape("circle", x, y, 0.35, colour_of(int(i))))
        caption = f"step {int(state.time)}, arrived {int(state.arrived)}, crashes {int(state.crashes)}"
        return Picture((-0.7, -0.7, side - 0.3, side - 0.3), shapes, caption)

    def _places(self, state: TrafficState) -> tuple[Int[Array, "cars *batch"], Int[Array, "cars *batch"]]:
        routes = self.routes()
        longest = max(len(r) for r in routes)
        cells = np.array([[*r, *[r[-1]] * (longest - len(r))] for r in routes], np.int32).reshape(-1, 2)
        spot = state.route * longest + jnp.minimum(state.progress, longest - 1)
        return jnp.asarray(cells[:, 0])[spot], jnp.asarray(cells[:, 1])[spot]

    def _crashed(self, state: TrafficState) -> Bool[Array, "cars *batch"]:
        row, column = self._places(state)
        same = (row[:, None] == row[None]) & (column[:, None] == column[None]) & state.active[None]
        return state.active & (same.sum(1) > 1)

    def _view(self, state: TrafficState) -> tuple[Array, Array]:
        """Cars and road in the square around each car, [cars, cells of the square, *batch]."""
        row, column = self._places(state)
        reach, v = self.side + 2 * self.vision, self.vision
        padded = jnp.asarray(np.pad(self.road(), v).reshape(-1))
        cars, road = [], []
        for down in range(-v, v + 1):
            for right in range(-v, v + 1):
                here = (row[:, None] + down == row[None]) & (column[:, None] + right == column[None])
                cars.append((here & state.active[None]).sum(1))
                road.append(padded[(row + down + v) * reach + column + right + v])
        return jnp.stack(cars, 1), jnp.stack(road, 1)

    def _timestep(self, state: TrafficState) -> tuple[TrafficState, Timestep]:
        row, column = self._places(state)
        crashed = self._crashed(state)
        state = dataclasses.replace(state, crashes=state.crashes + crashed.sum(0))
        if self.place == "cell":
            numbers = np.cumsum(self.road().reshape(-1)) - 1
            cell = jnp.asarray(numbers.astype(np.int32))[row * self.side + column]
            place = one_hot(cell, int(self.road().sum()))
        else:
            place = jnp.stack([row, column], 1) / (self.side - 1)
        cars, road = self._view(state)
        many = max(len(self.routes()) - 1, 1)
        own = jnp.stack([state.braked.astype(jnp.float32), state.route / many], 1)
        parts = [own, place, cars.astype(jnp.float32)] + ([road.astype(jnp.float32)] if self.vision else [])
        active = state.active
        reward = (WAITING * state.waited + CRASH * crashed) * active
        metrics = {
            "success": (state.crashes == 0).astype(jnp.float32),
            "crashes": state.crashes.astype(jnp.float32),
            "arrived": state.arrived.astype(jnp.float32),
        }
        return state, Timestep(
            obs=jnp.concatenate(parts, 1) * active[:, None],
            reward=reward,
            alive=active,
            legal=first_only(active, 2),
            terminated=jnp.zeros(state.time.shape, bool),
            truncated=state.time >= self.horizon,
            metrics=metrics,
        )


def _admit(
    free: Bool[Array, "cars *batch"], arrivals: Arrivals
) -> tuple[Bool[Array, "cars *batch"], Bool[Array, "entrances cars *batch"]]:
    """Which free cars come, and at which entrance: the k-th arrival takes the free car of the k-th lowest noise."""
    noise = jnp.where(free, arrivals.noise, 2.0)
    numbers = jnp.arange(noise.shape[0])
    before = (numbers[:, None] > numbers[None]).reshape(len(numbers), -1, *(1,) * (noise.ndim - 1))
    lower = (noise[None] < noise[:, None]) | ((noise[None] == noise[:, None]) & before)
    rank = lower.sum(1)
    turn = jnp.cumsum(arrivals.comes, 0) - 1
    door = arrivals.comes[:, None] & (turn[:, None] == rank[None]) & free[None]
    return door.any(0), door


def _lanes(level: str, size: int) -> list[int]:
    """Rows (and columns) that are road."""
    if level == "easy":
        return [(size + 1) // 2]
    if level == "medium":
        return [size // 2 - 1, size // 2]
    return [size // 3 - 2, size // 3 - 1, 2 * size // 3, 2 * size // 3 + 1]


def _entrances(level: str, side: int) -> list[tuple[str, int]]:
    """(Side, lane) of every entrance; traffic keeps right."""
    if level == "easy":
        return [("top", side // 2), ("left", side // 2)]
    if level == "medium":
        low, high = side // 2 - 1, side // 2
        return [("top", low), ("bottom", high), ("left", high), ("right", low)]
    low, high = side // 3, 2 * side // 3
    tops, lefts = [("top", low - 2), ("top", high)], [("left", low - 1), ("left", high + 1)]
    return [*tops, *lefts, ("bottom", low - 1), ("bottom", high + 1), ("right", low - 2), ("right", high)]


def _side(level: str, size: int) -> int:
    return size + (level == "easy")


@functools.cache
def _routes(level: str, size: int) -> tuple[Route, ...]:
    turns = ("straight", "right", "left")
    plans: list[tuple[str, ...]] = [()]
    if level != "easy":
        plans = [(first, second) for first in turns for second in (turns if level == "hard" else turns[:1])]
    found: list[Route] = []
    for side, lane in _entrances(level, _side(level, size)):
        # A plan whose second turn is never reached gives a route that is already there.
        found += dict.fromkeys(_drive(level, size, side, lane, plan) for plan in plans)
    return tuple(found)


def _drive(level: str, size: int, side: str, lane: int, plan: tuple[str, ...]) -> Route:
    """Drive from an entrance, turning at the first crossings as planned, until the road leaves the map."""
    lanes, last, heading, turns = set(_lanes(level, size)), _side(level, size) - 1, SIDES[side], list(plan)
    row, column = {"top": (0, lane), "bottom": (last, lane), "left": (lane, 0), "right": (lane, last)}[side]
    cells = [(row, column)]
    inside = 0
    while True:
        inside = inside + 1 if row in lanes and column in lanes else 0
        # A right turn starts from the first cell of the crossing, a left turn from the second.
        if turns and inside == (1 if turns[0] == "right" else 2):
            heading = (heading + {"right": 1, "straight": 0, "left": -1}[turns.pop(0)]) % 4
            inside = 3  # what is left of the crossing asks for no further turn
        row, column = row + DIRECTIONS[heading][0], column + DIRECTIONS[heading][1]
        if not (0 <= row <= last and 0 <= column <= last):
            return tuple(cells)
        cells.append((row, column))
