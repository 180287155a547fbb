"""Coordination zone: a walk over a grid in which a known share of the cells needs coordination.

Made for asking where centralised learning is worth its price (MANSA, arXiv 2302.05910: a switch between independent and
centralised learners); the environment itself is ours. The walk does not depend on the actions, so whether coordination
is needed in a cell is a fact of that cell alone, and the share of steps in which it is needed is exactly ``share``.
"""

from __future__ import annotations

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray
from numpy.typing import NDArray

from shoal.worlds.catalogue import require, world
from shoal.worlds.encoding import identities, legal_line, one_hot
from shoal.worlds.picture import Picture, Shape
from shoal.worlds.world import Timestep, World

PLAYS = ("left", "safe", "right")
SAFE = 0.2
"""Payoff of everybody playing safe in a zone: the penalty game's 2 over its 10."""


class ZoneState(eqx.Module):
    """Where the team is.

    Attributes:
        row: of the team's cell.
        column: of the team's cell.
        time: steps since the episode began.
    """

    row: Int[Array, "*batch"]
    column: Int[Array, "*batch"]
    time: Int[Array, "*batch"]


@world("coordination-zone")
@dataclasses.dataclass(frozen=True, eq=True)
class CoordinationZone(World[ZoneState]):
    """In a zone the team plays a penalty game, elsewhere each agent does its own part; 1 is the best everywhere.

    Zone: 1 if all play left or all right, 0.2 if all play safe, ``penalty`` if left and right meet, else 0 (the
    penalty game of Claus & Boutilier over 10; for two agents with penalty=0 a monotone mixer can represent its
    optimum, with a large one it cannot). Elsewhere: the share of agents that make the play that their cell asks of
    them, which differs from cell to cell and agent to agent. The team walks over the grid (its edges are joined) at
    random, one cell a step.

    Attributes:
        count: agents.
        size: side of the grid.
        share: share of the cells that are zones, rounded to whole cells.
        penalty: payoff where left and right meet in a zone, 0 or less.
        layout: seed of which cells are zones and which plays the others ask for.
        ids: show the agent's number.
        horizon: steps of an episode.
    """

    random_steps = True
    count: int = 2
    size: int = 5
    share: float = 0.3
    penalty: float = -3.0
    layout: int = 0
    ids: bool = True
    horizon: int = 25

    def __post_init__(self) -> None:
        require(self, "count", self.count, self.count >= 1, "Use at least 1 agent.")
        require(self, "size", self.size, self.size >= 1, "Use at least 1 cell.")
        require(self, "share", self.share, 0 <= self.share <= 1, "Use a share from 0 to 1.")
        require(self, "penalty", self.penalty, self.penalty <= 0, "Use 0 or a negative number.")
        require(self, "layout", self.layout, self.layout >= 0, "Use 0 or more.")
        require(self, "horizon", self.horizon, self.horizon >= 1, "Use at least 1 step.")

    @property
    def agents(self) -> tuple[str, ...]:
        """agent-0, agent-1, ..."""
        return tuple(f"agent-{i}" for i in range(self.count))

    @property
    def actions(self) -> tuple[tuple[str, ...], ...]:
        """Left, safe, right."""
        return (PLAYS,) * self.count

    @property
    def observation_sizes(self) -> tuple[int, ...]:
        """The cell, one-hot, and the own number with ``ids``."""
        return (self.size**2 + (self.count if self.ids else 0),) * self.count

    def zones(self) -> NDArray[np.bool_]:
        """The truth: which cells need coordination, [cells] row by row."""
        cells = self.size**2
        order = np.random.default_rng([self.layout, 0]).permutation(cells)
        marked = np.zeros(cells, bool)
        marked[order[: round(self.share * cells)]] = True
        return marked

    def asked(self) -> NDArray[np.int64]:
        """The play that each cell asks of each agent where it is no zone, [cells, agents]."""
        return np.random.default_rng([self.layout, 1]).integers(0, len(PLAYS), (self.size**2, self.count))

    def needed(self, state: ZoneState) -> Bool[Array, "*batch"]:
        """Whether the cell that the team stands in is a zone."""
        return jnp.asarray(self.zones())[self._cell(state)]

    def reset(self, key: PRNGKeyArray, batch: tuple[int, ...] = ()) -> tuple[ZoneState, Timestep]:
        """Any cell."""
        cell = jax.random.randint(key, batch, 0, self.size**2)
        state = ZoneState(cell // self.size, cell % self.size, jnp.zeros(batch, jnp.int32))
        return state, self._timestep(state, jnp.zeros(batch), jnp.zeros(batch))

    def step(
        self, key: PRNGKeyArray, state: ZoneState, actions: Int[Array, "agents *batch"]
    ) -> tuple[ZoneState, Timestep]:
        """Play where the team stands, then walk."""
        return self.advance(state, actions, jax.random.randint(key, state.time.shape, 0, 4))

    def advance(
        self, state: ZoneState, actions: Int[Array, "agents *batch"], way: Int[Array, "*batch"]
    ) -> tuple[ZoneState, Timestep]:
        """The step with the draw made: ``way`` is 0 up, 1 right, 2 down, 3 left."""
        zone = self.needed(state)
        left, safe, right = ((actions == play) for play in range(3))
        together = left.all(0) | right.all(0)
        clash = left.any(0) & right.any(0)
        game = jnp.where(together, 1.0, jnp.where(safe.all(0), SAFE, jnp.where(clash, self.penalty, 0.0)))
        asked = jnp.moveaxis(jnp.asarray(self.asked())[self._cell(state)], state.time.ndim, 0)
        pay = jnp.where(zone, game, (actions == asked).mean(0))
        row = (state.row + (way == 2) - (way == 0)) % self.size
        column = (state.column + (way == 1) - (way == 3)) % self.size
        state = ZoneState(row, column, state.time + 1)
        return state, self._timestep(state, pay, (zone & clash).astype(jnp.float32))

    def describe(self, state: ZoneState, agent: int) -> str:
        """The cell."""
        me = f" {self.agents[agent]}" if self.ids else " one of the team"
        where = f"row {int(state.row)}, column {int(state.column)}"
        return f"You are{me}, in {where}.\n" + legal_line(self.actions[agent], [True] * 3)

    def draw(self, state: ZoneState) -> Picture:
        """Zones in orange, the team as a circle."""
        shapes: list[Shape] = []
        for cell, zone in enumerate(self.zones()):
            x, y = float(cell % self.size), float(self.size - 1 - cell // self.size)
            shapes.append(Shape("rect", x, y, 0.48, "#E69F00" if zone else "#e8e8e8"))
        shapes.append(Shape("circle", float(state.column), float(self.size - 1 - int(state.row)), 0.3, "#0072B2"))
        return Picture((-0.6, -0.6, self.size - 0.4, self.size - 0.4), shapes, f"step {int(state.time)}")

    def _cell(self, state: ZoneState) -> Int[Array, "*batch"]:
        return state.row * self.size + state.column

    def _timestep(self, state: ZoneState, pay: Float[Array, "*batch"], clash: Float[Array, "*batch"]) -> Timestep:
        n, batch = self.count, state.time.shape
        cell = one_hot(self._cell(state)[None], self.size**2)
        parts = [jnp.broadcast_to(cell, (n, self.size**2, *batch))]
        if self.ids:
            parts.append(identities(n, batch))
        return Timestep(
            obs=jnp.concatenate(parts, 1),
            reward=jnp.broadcast_to(pay, (n, *batch)),
            alive=jnp.ones((n, *batch), bool),
            legal=jnp.ones((n, len(PLAYS), *batch), bool),
            terminated=jnp.zeros(batch, bool),
            truncated=state.time >= self.horizon,
            metrics={"needed": self.needed(state).astype(jnp.float32), "clash": clash},
        )
