"""Levers: strangers pull levers at once and want them all different (CommNet, arXiv 1605.07736, section 4.1)."""

from __future__ import annotations

import dataclasses

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from shoal.worlds.catalogue import require, world
from shoal.worlds.encoding import legal_line, one_hot
from shoal.worlds.picture import Picture, Shape, colour_of
from shoal.worlds.sampling import distinct
from shoal.worlds.world import Timestep, World


class LeverState(eqx.Module):
    """Who came, and what they pulled.

    Attributes:
        ids: identity of each agent, different ones from the pool.
        pulled: levers pulled, -1 before.
        time: 0, then 1.
    """

    ids: Int[Array, "agents *batch"]
    pulled: Int[Array, "agents *batch"]
    time: Int[Array, "*batch"]


@world("lever")
@dataclasses.dataclass(frozen=True, eq=True)
class Lever(World[LeverState]):
    """``count`` agents drawn from a pool pull one of ``count`` levers; all get the share of levers that were pulled.

    An agent knows its own identity only. Random play gets 1 - (1 - 1/m)^m with m levers: 0.672 for 5.

    Attributes:
        count: agents, and levers.
        pool: identities to draw from (CommNet: 500; 5 of 5 to 50 here).
    """

    count: int = 5
    pool: int = 50
    horizon = 1

    def __post_init__(self) -> None:
        require(self, "count", self.count, self.count >= 1, "Use at least 1 agent.")
        require(self, "pool", self.pool, self.pool >= self.count, f"Use at least count={self.count} identities.")

    @property
    def agents(self) -> tuple[str, ...]:
        """agent-0, agent-1, ...: places at the levers, not identities."""
        return tuple(f"agent-{i}" for i in range(self.count))

    @property
    def actions(self) -> tuple[tuple[str, ...], ...]:
        """One for each lever."""
        return (tuple(f"lever-{i}" for i in range(self.count)),) * self.count

    @property
    def observation_sizes(self) -> tuple[int, ...]:
        """The identity, one-hot over the pool."""
        return (self.pool,) * self.count

    def reset(self, key: PRNGKeyArray, batch: tuple[int, ...] = ()) -> tuple[LeverState, Timestep]:
        """Draw the agents."""
        ids = distinct(key, self.count, self.pool, batch)
        state = LeverState(ids, jnp.full_like(ids, -1), jnp.zeros(batch, jnp.int32))
        return state, self._timestep(state, jnp.zeros(batch))

    def step(
        self, key: PRNGKeyArray, state: LeverState, actions: Int[Array, "agents *batch"]
    ) -> tuple[LeverState, Timestep]:
        """Everybody pulls; the episode is over."""
        share = one_hot(actions, self.count).max(0).mean(0)
        state = LeverState(state.ids, actions, state.time + 1)
        return state, self._timestep(state, share)

    def describe(self, state: LeverState, agent: int) -> str:
        """The agent's identity."""
        return "\n".join(
            [
                f"You are number {int(state.ids[agent])} of a pool of {self.pool}; "
                f"{self.count} of the pool stand at {self.count} levers.",
                "Each pulls one lever at the same time. The more different levers, the more everybody gets.",
                legal_line(self.actions[agent], [True] * self.count),
            ]
        )

    def draw(self, state: LeverState) -> Picture:
        """Levers in a row, agents below them, a line to the lever that each pulled."""
        shapes = [Shape("rect", float(i), 1.0, 0.15, height=0.3) for i in range(self.count)]
        for i in range(self.count):
            shapes.append(Shape("circle", float(i), 0.0, 0.3, colour_of(i)))
            shapes.append(Shape("text", float(i), 0.0, 0.3, "#ffffff", str(int(state.ids[i]))))
            if int(state.pulled[i]) >= 0:
                shapes.append(Shape("line", float(i), 0.3, colour=colour_of(i), to=(float(state.pulled[i]), 0.7)))
        return Picture((-0.8, -0.6, self.count - 0.2, 1.5), shapes, f"step {int(state.time)}")

    def _timestep(self, state: LeverState, share: Float[Array, "*batch"]) -> Timestep:
        shape = state.ids.shape
        return Timestep(
            obs=one_hot(state.ids, self.pool),
            reward=jnp.broadcast_to(share, shape),
            alive=jnp.ones(shape, bool),
            legal=jnp.ones((self.count, self.count, *shape[1:]), bool),
            terminated=state.time >= 1,
            truncated=jnp.zeros(shape[1:], bool),
            metrics={"distinct": share, "success": (share >= 1 - 0.5 / self.count).astype(jnp.float32)},
        )
