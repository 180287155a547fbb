"""Sum guessing: everybody guesses the sum of all numbers and sees one of them (HAMMER, arXiv 2102.00824)."""

from __future__ import annotations

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from shoal.worlds.catalogue import require, world
from shoal.worlds.picture import Picture, Shape, colour_of
from shoal.worlds.world import Timestep, World


class SumState(eqx.Module):
    """The numbers, and the guesses.

    Attributes:
        numbers: one for each agent.
        guesses: in units of the numbers; 0 before anybody guessed.
        time: 0, then 1.
    """

    numbers: Float[Array, "agents *batch"]
    guesses: Float[Array, "agents *batch"]
    time: Int[Array, "*batch"]


@world("sum-guessing")
@dataclasses.dataclass(frozen=True, eq=True)
class SumGuessing(World[SumState]):
    """One step, one continuous action: agent i gets -|guess_i - sum of all numbers|.

    Without a message the best guess is the agent's own number, since the others' sum is symmetric around 0; the floor
    is then -E|sum of the others|: -5 for 2 agents, -20/3 for 3, -28/3 for 5, times scale / 10.

    Attributes:
        count: agents.
        scale: numbers are uniform from -scale to scale.
        scaled: show numbers, and take guesses, divided by ``scale``; rewards keep their unit.
    """

    count: int = 5
    scale: float = 10.0
    scaled: bool = False
    horizon = 1

    def __post_init__(self) -> None:
        require(self, "count", self.count, self.count >= 1, "Use at least 1 agent.")
        require(self, "scale", self.scale, self.scale > 0, "Use a number above 0.")

    @property
    def agents(self) -> tuple[str, ...]:
        """agent-0, agent-1, ..."""
        return tuple(f"agent-{i}" for i in range(self.count))

    @property
    def continuous(self) -> int:
        """One dimension."""
        return 1

    @property
    def actions(self) -> tuple[tuple[str, ...], ...]:
        """The guess."""
        return (("guess",),) * self.count

    @property
    def action_range(self) -> tuple[tuple[float, float], ...]:
        """As far as the sum can go."""
        far = float(self.count) if self.scaled else self.count * self.scale
        return ((-far, far),)

    @property
    def observation_sizes(self) -> tuple[int, ...]:
        """The agent's own number."""
        return (1,) * self.count

    def reset(self, key: PRNGKeyArray, batch: tuple[int, ...] = ()) -> tuple[SumState, Timestep]:
        """Draw the numbers."""
        numbers = jax.random.uniform(key, (self.count, *batch), minval=-self.scale, maxval=self.scale)
        state = SumState(numbers, jnp.zeros_like(numbers), jnp.zeros(batch, jnp.int32))
        return state, self._timestep(state, jnp.zeros_like(numbers))

    def step(
        self, key: PRNGKeyArray, state: SumState, actions: Float[Array, "agents dims *batch"]
    ) -> tuple[SumState, Timestep]:
        """Everybody guesses; guesses outside the range are moved to its ends."""
        low, high = self.action_range[0]
        guesses = jnp.clip(actions[:, 0], low, high) * self._unit
        state = SumState(state.numbers, guesses, state.time + 1)
        return state, self._timestep(state, -jnp.abs(guesses - state.numbers.sum(0)))

    def describe(self, state: SumState, agent: int) -> str:
        """The agent's own number."""
        low, high = self.action_range[0]
        return "\n".join(
            [
                f"You are {self.agents[agent]}. Your number is {float(state.numbers[agent]) / self._unit:.2f}; "
                f"there are {self.count - 1} others.",
                "Guess the sum of all numbers. You lose the distance from your guess to the sum.",
                f"Actions: guess, a number from {low:g} to {high:g}.",
            ]
        )

    def draw(self, state: SumState) -> Picture:
        """Numbers as bars on a line, the sum as a black mark, guesses as circles."""
        unit, n = self.scale, self.count
        numbers, guesses = np.asarray(state.numbers) / unit, np.asarray(state.guesses) / unit
        shapes = [Shape("line", float(-n), 0.0, to=(float(n), 0.0))]
        shapes += [Shape("line", float(x), 0.0, colour=colour_of(i), to=(float(x), 0.5)) for i, x in enumerate(numbers)]
        total = float(numbers.sum())
        shapes.append(Shape("line", total, -0.3, colour="#000000", to=(total, 0.8)))
        if int(state.time):
            shapes += [Shape("circle", float(g), -0.15, 0.1, colour_of(i)) for i, g in enumerate(guesses)]
        return Picture((-n - 0.3, -1.0, n + 0.3, 1.0), shapes, f"sum {total * unit:.2f}")

    @property
    def _unit(self) -> float:
        return self.scale if self.scaled else 1.0

    def _timestep(self, state: SumState, reward: Float[Array, "agents *batch"]) -> Timestep:
        shape = state.numbers.shape
        return Timestep(
            obs=state.numbers[:, None] / self._unit,
            reward=reward,
            alive=jnp.ones(shape, bool),
            legal=jnp.ones((shape[0], 1, *shape[1:]), bool),
            terminated=state.time >= 1,
            truncated=jnp.zeros(shape[1:], bool),
            metrics={"error": -reward.mean(0)},
        )
