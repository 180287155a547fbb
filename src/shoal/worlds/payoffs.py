"""Payoff games: any n-player payoff table, the climbing and penalty games, and drivers who choose orders.

Climbing and penalty are the tables of Claus & Boutilier (1998), "The dynamics of reinforcement learning in cooperative
multiagent systems", section 4: the joint optimum is surrounded by punishment, so that independent learners settle for
less. The assignment game follows the picture in CMAT (arXiv 2604.13472); its numbers are chosen here.
"""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray
from numpy.typing import NDArray

from shoal.worlds.catalogue import require, world
from shoal.worlds.encoding import identities, legal_line, one_hot
from shoal.worlds.picture import Picture, Shape, colour_of
from shoal.worlds.world import Timestep, World

CLIMBING = ((11.0, -30.0, 0.0), (-30.0, 7.0, 6.0), (0.0, 0.0, 5.0))
"""Row: agent 0; column: agent 1."""


class PayoffState(eqx.Module):
    """A repeated game.

    Attributes:
        last: actions of the step before, -1 at the start.
        time: steps since the episode began.
    """

    last: Int[Array, "agents *batch"]
    time: Int[Array, "*batch"]


class PayoffGame(World[PayoffState]):
    """A game in normal form, played ``horizon`` times.

    Subclasses have the fields ``horizon``, ``recall`` (show the joint action of the step before, one-hot) and ``ids``
    (show the agent's own number, one-hot). One feature is always 1.
    """

    recall: bool
    ids: bool

    @property
    @abstractmethod
    def payoff(self) -> NDArray[np.float32]:
        """Payoffs [actions of agent 0, actions of agent 1, ..., agents]."""

    @property
    def agents(self) -> tuple[str, ...]:
        """agent-0, agent-1, ..."""
        return tuple(f"agent-{i}" for i in range(self.payoff.shape[-1]))

    @property
    def actions(self) -> tuple[tuple[str, ...], ...]:
        """a, b, c, ... for each."""
        return tuple(tuple(_letter(a) for a in range(k)) for k in self.payoff.shape[:-1])

    @property
    def observation_sizes(self) -> tuple[int, ...]:
        """A 1, the joint action before (``recall``), the own number (``ids``)."""
        n = self.agent_count
        return (1 + (n * self.action_count if self.recall else 0) + (n if self.ids else 0),) * n

    def reset(self, key: PRNGKeyArray, batch: tuple[int, ...] = ()) -> tuple[PayoffState, Timestep]:
        """Nothing has been played."""
        n = self.agent_count
        state = PayoffState(jnp.full((n, *batch), -1), jnp.zeros(batch, jnp.int32))
        return state, self._timestep(state, jnp.zeros((n, *batch)))

    def step(
        self, key: PRNGKeyArray, state: PayoffState, actions: Int[Array, "agents *batch"]
    ) -> tuple[PayoffState, Timestep]:
        """Look the joint action up."""
        table = self.payoff
        cell = jnp.zeros(state.time.shape, jnp.int32)
        for agent, size in enumerate(table.shape[:-1]):
            cell = cell * size + actions[agent]
        flat = jnp.asarray(table.reshape(-1, self.agent_count))
        reward = jnp.moveaxis(flat[cell], cell.ndim, 0)
        state = PayoffState(actions, state.time + 1)
        return state, self._timestep(state, reward)

    def describe(self, state: PayoffState, agent: int) -> str:
        """What was played before, where that can be seen."""
        lines = ["You play a game with payoffs" + (f" as {self.agents[agent]}." if self.ids else ".")]
        if self.recall:
            last = [int(a) for a in state.last]
            played = ", ".join(f"{self.agents[i]} {_letter(a)}" for i, a in enumerate(last))
            lines.append(f"Last time: {played}." if last[0] >= 0 else "Nothing has been played yet.")
        return "\n".join([*lines, legal_line(self.actions[agent], [True] * self.action_count)])

    def draw(self, state: PayoffState) -> Picture:
        """The table of the first two agents (the others as last played), the cell that was played in yellow."""
        table, last = self.payoff, [max(int(a), 0) for a in state.last]
        mean = table.mean(-1)
        shown = mean[(slice(None), slice(None), *last[2:])] if mean.ndim > 1 else mean[:, None]
        rows, columns = shown.shape
        spot = (last[0], last[1] if mean.ndim > 1 else 0) if int(state.last[0]) >= 0 else None
        shapes = []
        for r in range(rows):
            for c in range(columns):
                x, y = float(c), float(rows - 1 - r)
                shapes.append(Shape("rect", x, y, 0.48, "#F0E442" if (r, c) == spot else "#e8e8e8"))
                shapes.append(Shape("text", x, y, 0.25, "#000000", f"{shown[r, c]:g}"))
        return Picture((-0.6, -0.6, columns - 0.4, rows - 0.4), shapes, f"step {int(state.time)}")

    def _timestep(self, state: PayoffState, reward: Float[Array, "agents *batch"]) -> Timestep:
        n, k, batch = self.agent_count, self.action_count, state.time.shape
        parts = [jnp.ones((n, 1, *batch))]
        if self.recall:
            joint = one_hot(state.last, k).reshape(1, n * k, *batch)
            parts.append(jnp.broadcast_to(joint, (n, n * k, *batch)))
        if self.ids:
            parts.append(identities(n, batch))
        best = float(self.payoff.mean(-1).max())
        mask = self.action_mask()
        return Timestep(
            obs=jnp.concatenate(parts, 1),
            reward=reward,
            alive=jnp.ones((n, *batch), bool),
            legal=jnp.broadcast_to(mask.reshape(n, k, *(1,) * len(batch)), (n, k, *batch)),
            terminated=state.time >= self.horizon,
            truncated=jnp.zeros(batch, bool),
            metrics={"optimal": ((reward.mean(0) >= best - 1e-6) & (state.time > 0)).astype(jnp.float32)},
        )


@world("matrix")
@dataclasses.dataclass(frozen=True, eq=True)
class Matrix(PayoffGame):
    """Any payoff table.

    Attributes:
        players: agents.
        payoffs: nested lists; one axis for each agent's actions gives a shared payoff, one more axis of length
            ``players`` gives each its own.
        horizon: times that the game is played.
        recall: show the joint action of the step before.
        ids: show the agent's number.
    """

    players: int = 2
    payoffs: Any = ((1.0, 0.0), (0.0, 1.0))
    horizon: int = 1
    recall: bool = False
    ids: bool = True

    def __post_init__(self) -> None:
        require(self, "players", self.players, self.players >= 1, "Use at least 1 player.")
        require(self, "horizon", self.horizon, self.horizon >= 1, "Play at least once.")
        object.__setattr__(self, "payoffs", _frozen(self.payoffs))
        try:
            table = np.array(self.payoffs, np.float32)
        except (TypeError, ValueError):
            table = np.array(np.nan)
        own = table.ndim == self.players + 1 and table.shape[-1] == self.players
        fits = (table.ndim == self.players or own) and table.size > 0 and bool(np.isfinite(table).all())
        mend = f"Give nested lists of numbers with {self.players} axes, or one more of length {self.players}."
        require(self, "payoffs", self.payoffs, fits, mend)

    @property
    def payoff(self) -> NDArray[np.float32]:
        """The table; a shared payoff is repeated for each agent."""
        return _for_each(np.array(self.payoffs, np.float32), self.players)


@world("climbing")
@dataclasses.dataclass(frozen=True, eq=True)
class Climbing(PayoffGame):
    """The climbing game: 11 for (a, a), but -30 if one of the two slips to b.

    Attributes:
        horizon: times that the game is played.
        recall: show the joint action of the step before.
        ids: show the agent's number.
    """

    horizon: int = 1
    recall: bool = False
    ids: bool = True

    def __post_init__(self) -> None:
        require(self, "horizon", self.horizon, self.horizon >= 1, "Play at least once.")

    @property
    def payoff(self) -> NDArray[np.float32]:
        """The published table."""
        return _for_each(np.array(CLIMBING, np.float32), 2)


@world("penalty")
@dataclasses.dataclass(frozen=True, eq=True)
class Penalty(PayoffGame):
    """The penalty game: 10 for (a, a) and (c, c), ``k`` for mixing them, 2 for the safe (b, b).

    Attributes:
        k: what mixing the two optima costs, 0 or less.
        horizon: times that the game is played.
        recall: show the joint action of the step before.
        ids: show the agent's number.
    """

    k: float = -100.0
    horizon: int = 1
    recall: bool = False
    ids: bool = True

    def __post_init__(self) -> None:
        require(self, "k", self.k, self.k <= 0, "Use 0 or a negative number.")
        require(self, "horizon", self.horizon, self.horizon >= 1, "Play at least once.")

    @property
    def payoff(self) -> NDArray[np.float32]:
        """The published table."""
        return _for_each(np.array([[10, 0, self.k], [0, 2, 0], [self.k, 0, 10]], np.float32), 2)


class AssignmentState(eqx.Module):
    """Drivers, orders and who took what.

    Attributes:
        dx: drivers, first coordinate.
        dy: drivers, second coordinate.
        ox: orders, first coordinate.
        oy: orders, second coordinate.
        value: what each order is worth.
        chosen: order of each driver, -1 before.
        time: 0, then 1.
    """

    dx: Float[Array, "drivers *batch"]
    dy: Float[Array, "drivers *batch"]
    ox: Float[Array, "orders *batch"]
    oy: Float[Array, "orders *batch"]
    value: Float[Array, "orders *batch"]
    chosen: Int[Array, "drivers *batch"]
    time: Int[Array, "*batch"]


@world("assignment")
@dataclasses.dataclass(frozen=True, eq=True)
class Assignment(World[AssignmentState]):
    """Drivers choose orders at the same time; an order that several chose is served by nobody and costs each of them.

    A driver who alone chose an order earns value - distance; one in conflict earns -penalty. All get the mean
    (``shared``). Values are uniform from 1 to 2, places uniform in the unit square.

    Attributes:
        drivers: agents.
        orders: to choose from.
        penalty: of a driver in conflict.
        ids: show the driver's number; without ids and with ``scattered=False`` all drivers see the same, and a policy
            that draws actions independently cannot keep them apart.
        scattered: drivers stand in different places; False puts all in the centre.
        shared: everybody gets the mean of the earnings.
    """

    drivers: int = 4
    orders: int = 4
    penalty: float = 1.0
    ids: bool = True
    scattered: bool = True
    shared: bool = True
    horizon = 1

    def __post_init__(self) -> None:
        require(self, "drivers", self.drivers, self.drivers >= 1, "Use at least 1 driver.")
        require(self, "orders", self.orders, self.orders >= 1, "Use at least 1 order.")
        require(self, "penalty", self.penalty, self.penalty >= 0, "Use 0 or more; it is subtracted.")

    @property
    def agents(self) -> tuple[str, ...]:
        """driver-0, driver-1, ..."""
        return tuple(f"driver-{i}" for i in range(self.drivers))

    @property
    def actions(self) -> tuple[tuple[str, ...], ...]:
        """One for each order."""
        return (tuple(f"order-{j}" for j in range(self.orders)),) * self.drivers

    @property
    def observation_sizes(self) -> tuple[int, ...]:
        """Of each order the way to it (2) and its value; the own number with ``ids``."""
        return (3 * self.orders + (self.drivers if self.ids else 0),) * self.drivers

    def reset(self, key: PRNGKeyArray, batch: tuple[int, ...] = ()) -> tuple[AssignmentState, Timestep]:
        """Draw places and values."""
        n, m = self.drivers, self.orders
        draw = jax.random.uniform(key, (2 * n + 3 * m, *batch))
        dx, dy = (draw[:n], draw[n : 2 * n]) if self.scattered else (jnp.full((n, *batch), 0.5),) * 2
        ox, oy, value = (draw[2 * n + k * m : 2 * n + (k + 1) * m] for k in range(3))
        chosen = jnp.full((n, *batch), -1)
        state = AssignmentState(dx, dy, ox, oy, 1 + value, chosen, jnp.zeros(batch, jnp.int32))
        return state, self._timestep(state, jnp.zeros((n, *batch)), jnp.zeros((n, *batch)))

    def step(
        self, key: PRNGKeyArray, state: AssignmentState, actions: Int[Array, "agents *batch"]
    ) -> tuple[AssignmentState, Timestep]:
        """Everybody chooses; count the conflicts."""
        took = one_hot(actions, self.orders)
        alone = (took * (took.sum(0) == 1)).sum(1)
        gain = (took * self._worth(state)).sum(1)
        earned = jnp.where(alone > 0, gain, -self.penalty)
        reward = jnp.broadcast_to(earned.mean(0), earned.shape) if self.shared else earned
        state = dataclasses.replace(state, chosen=actions, time=state.time + 1)
        return state, self._timestep(state, reward, 1 - alone)

    def describe(self, state: AssignmentState, agent: int) -> str:
        """Where the orders are from here, and what they are worth."""
        me = f" {self.agents[agent]} of {self.drivers}" if self.ids else " one of the drivers"
        east, north = np.asarray(state.ox - state.dx[agent]), np.asarray(state.oy - state.dy[agent])
        lines = [f"You are{me}. An order that several choose is lost and costs each {self.penalty:g}."]
        for j, value in enumerate(np.asarray(state.value)):
            lines.append(f"order-{j}: worth {value:.2f}, {east[j]:+.2f} east and {north[j]:+.2f} north of you.")
        return "\n".join([*lines, legal_line(self.actions[agent], [True] * self.orders)])

    def draw(self, state: AssignmentState) -> Picture:
        """Orders as squares (the larger, the more worth), drivers as circles, choices as arrows."""
        shapes: list[Shape] = []
        for j in range(self.orders):
            shapes.append(Shape("rect", float(state.ox[j]), float(state.oy[j]), 0.02 * float(state.value[j])))
        for i in range(self.drivers):
            x, y, j = float(state.dx[i]), float(state.dy[i]), int(state.chosen[i])
            shapes.append(Shape("circle", x, y, 0.025, colour_of(i)))
            if j >= 0:
                shapes.append(Shape("arrow", x, y, colour=colour_of(i), to=(float(state.ox[j]), float(state.oy[j]))))
        return Picture((-0.1, -0.1, 1.1, 1.1), shapes, f"step {int(state.time)}")

    def _worth(self, state: AssignmentState) -> Float[Array, "drivers orders *batch"]:
        dx, dy = state.ox[None] - state.dx[:, None], state.oy[None] - state.dy[:, None]
        return state.value[None] - jnp.sqrt(dx * dx + dy * dy)

    def _timestep(
        self, state: AssignmentState, reward: Float[Array, "agents *batch"], conflict: Float[Array, "agents *batch"]
    ) -> Timestep:
        n, m, batch = self.drivers, self.orders, state.time.shape
        value = jnp.broadcast_to(state.value[None], (n, m, *batch))
        parts = [state.ox[None] - state.dx[:, None], state.oy[None] - state.dy[:, None], value]
        if self.ids:
            parts.append(identities(n, batch))
        played = (state.time > 0).astype(jnp.float32)
        return Timestep(
            obs=jnp.concatenate(parts, 1),
            reward=reward,
            alive=jnp.ones((n, *batch), bool),
            legal=jnp.ones((n, m, *batch), bool),
            terminated=state.time >= 1,
            truncated=jnp.zeros(batch, bool),
            metrics={"conflicts": conflict.mean(0) * played, "served": (1 - conflict).sum(0) * played},
        )


def _letter(action: int) -> str:
    return chr(ord("a") + action) if action < 26 else f"action-{action}"


def _frozen(nested: Any) -> Any:
    """Lists and arrays as tuples, so that the world can be hashed."""
    if isinstance(nested, np.ndarray):
        nested = nested.tolist()
    return tuple(_frozen(part) for part in nested) if isinstance(nested, list | tuple) else nested


def _for_each(table: NDArray[np.float32], players: int) -> NDArray[np.float32]:
    """A shared table with a last axis of equal payoffs; others as they are."""
    return table if table.ndim == players + 1 else np.repeat(table[..., None], players, -1)
