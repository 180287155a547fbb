"""Small worlds with known optima, for tests of learners."""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from shoal.marl import Learner
from shoal.marl.checkpoints import training_keys
from shoal.marl.compilation import ONCE, compiled
from shoal.worlds import Timestep, World
from shoal.worlds.picture import Picture


class RecallState(eqx.Module):
    """What was shown, and when."""

    cue: Int[Array, "agents *batch"]
    time: Int[Array, "*batch"]


@dataclasses.dataclass(frozen=True, eq=True)
class Recall(World[RecallState]):
    """Two cues are shown once; ``delay`` steps later each agent is paid 1 for naming its own.

    With a memory the best return of an agent is 1, without one it is 1/2.
    """

    delay: int = 3
    poison: bool = False
    name = "recall"

    @property
    def horizon(self) -> int:  # type: ignore[override]
        return self.delay + 1

    @property
    def agents(self) -> tuple[str, ...]:
        return ("agent-0", "agent-1")

    @property
    def actions(self) -> tuple[tuple[str, ...], ...]:
        return (("left", "right"),) * 2

    @property
    def observation_sizes(self) -> tuple[int, ...]:
        return (2, 2)

    def reset(self, key: PRNGKeyArray, batch: tuple[int, ...] = ()) -> tuple[RecallState, Timestep]:
        cue = jax.random.bernoulli(key, 0.5, (2, *batch)).astype(jnp.int32)
        state = RecallState(cue, jnp.zeros(batch, jnp.int32))
        return state, self._timestep(state, jnp.zeros((2, *batch)))

    def step(
        self, key: PRNGKeyArray, state: RecallState, actions: Int[Array, "agents *batch"]
    ) -> tuple[RecallState, Timestep]:
        last = state.time == self.delay
        reward = jnp.where(last, (actions == state.cue).astype(jnp.float32), 0.0)
        state = RecallState(state.cue, state.time + 1)
        return state, self._timestep(state, reward)

    def _timestep(self, state: RecallState, reward: Array) -> Timestep:
        batch = state.time.shape
        shown = jnp.stack([state.cue == 0, state.cue == 1], 1).astype(jnp.float32) * (state.time == 0)
        if self.poison:
            shown = jnp.where(state.time == 2, jnp.nan, shown)
        return Timestep(
            obs=shown,
            reward=reward,
            alive=jnp.ones((2, *batch), bool),
            legal=jnp.ones((2, 2, *batch), bool),
            terminated=state.time > self.delay,
            truncated=jnp.zeros(batch, bool),
            metrics={},
        )

    def describe(self, state: RecallState, agent: int) -> str:
        return "Name the cue."

    def draw(self, state: RecallState) -> Picture:
        return Picture((0, 0, 1, 1), [])


def begun(learner: Learner[Any, Any], world: World[Any], *seeds: int) -> Any:
    """The state before the first update, compiled as what runs once."""
    keys = training_keys(seeds)
    return compiled(lambda k: learner.init(k, world), keys, options=ONCE)(keys)


def updated(learner: Learner[Any, Any], state: Any) -> tuple[Any, dict[str, Array]]:
    """One update, compiled as what runs once."""
    result: tuple[Any, dict[str, Array]] = compiled(learner.update, state, options=ONCE)(state)
    return result


def fast(**settings: Any) -> dict[str, Any]:
    """Settings of PPO under which one-step games are learned in a second."""
    plain = {"worlds": 32, "rollout": 8, "learning_rate": 3e-3, "hidden": (16,), "minibatches": 2, "epochs": 2}
    return {**plain, **settings}
