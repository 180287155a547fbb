"""Episodes as frames, for viewers: every state, what was done and said in it, and what it came to.

An episode of a training's trace holds actions, not states. ``retraced`` makes the states again, from the training's key
and those actions, and refuses an episode whose rewards come out otherwise than they were recorded.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray
from numpy.typing import NDArray

from shoal.errors import InputError
from shoal.marl.compilation import ONCE, usable
from shoal.worlds import Timestep, World

Done = str | dict[str, float]
"""An action by name, or the value of every dimension by name."""

TOLERANCE = 1e-3
"""Rewards of an episode that is made again may differ by that: programs differ in rounding."""


@dataclass(frozen=True)
class Talk:
    """What was said in one step.

    Attributes:
        message: of each agent, sent or not [width, agents].
        sent: 1 where it was sent [agents].
        weight: how much each receiver listened to each sender [receivers, senders]; None where all count alike.
    """

    message: NDArray[np.float64]
    sent: NDArray[np.float64]
    weight: NDArray[np.float64] | None


@dataclass(frozen=True)
class Frame:
    """A moment of an episode.

    Attributes:
        state: of the single world, numpy arrays.
        alive: agents that can act [agents].
        legal: actions that each may take [agents, actions].
        reward: for the step that led here [agents].
        metrics: facts about that step.
        over: the episode has ended.
    """

    state: Any
    alive: NDArray[np.bool_]
    legal: NDArray[np.bool_]
    reward: NDArray[np.float64]
    metrics: dict[str, float]
    over: bool


@dataclass
class Recording:
    """An episode.

    Attributes:
        world: where.
        seats: what sat in each agent's place.
        frames: one more than there were steps.
        actions: of each agent in each step.
        talk: what was said in each step; None where nobody can talk.
    """

    world: World[Any]
    seats: tuple[str, ...]
    frames: list[Frame] = field(default_factory=list)
    actions: list[tuple[Done, ...]] = field(default_factory=list)
    talk: list[Talk | None] = field(default_factory=list)

    @property
    def returns(self) -> NDArray[np.float64]:
        """Reward so far of each agent at each frame [frames, agents]."""
        return np.cumsum([frame.reward for frame in self.frames], axis=0)

    def said(self, time: int) -> list[str]:
        """What each agent did in a step, in words."""
        return [_words(done) for done in self.actions[time]]

    def rows(self) -> list[dict[str, Any]]:
        """One row for each step and agent: time, agent, action, reward, return so far, alive."""
        returns = self.returns
        return [
            {"time": t, "agent": name, "action": _words(done[i]), "reward": float(self.frames[t + 1].reward[i]),
             "return": float(returns[t + 1, i]), "alive": bool(self.frames[t].alive[i])}
            for t, done in enumerate(self.actions)
            for i, name in enumerate(self.world.agents)
        ]  # fmt: skip


def numbered(world: World[Any], agent: int, done: Done) -> int | list[float]:
    """The inverse of ``episodes.named``. Raises InputError for what the agent cannot do."""
    names = world.actions[agent]
    if isinstance(done, str):
        if world.continuous or done not in names:
            raise InputError(f"action of {world.agents[agent]}", done, f"Use one of {', '.join(names[:12])}.")
        return names.index(done)
    if not world.continuous or set(done) != set(names):
        raise InputError(f"action of {world.agents[agent]}", done, f"Give {', '.join(names[:12])}.")
    for name, (low, high) in zip(names, world.action_range, strict=True):
        if not low <= done[name] <= high:
            raise InputError(f"{name} of {world.agents[agent]}", done[name], f"Use {low:g} to {high:g}.")
    return [float(done[name]) for name in names]


def frame_of(state: Any, timestep: Timestep, place: tuple[int, ...]) -> Frame:
    """The frame of one world of a batch.

    Args:
        state: of all worlds.
        timestep: of all worlds.
        place: of the one, in the batch's axes.
    """
    index: tuple[Any, ...] = (..., *place)
    one, t = jax.tree.map(lambda x: np.asarray(x)[index], (state, timestep))
    metrics = {name: float(x) for name, x in t.metrics.items()}
    return Frame(one, t.alive, t.legal, t.reward.astype(np.float64), metrics, bool(t.done))


def retraced(world: World[Any], steps: Sequence[Mapping[str, Any]], episode: int, key: PRNGKeyArray) -> Recording:
    """An episode of a trace, with its states.

    Args:
        world: where it was played.
        steps: payloads of the ``world.step`` events of all episodes that were written together, in any order.
        episode: which one.
        key: that ``write_episodes`` was given.

    Raises:
        InputError: no such episode, or rewards that differ from those recorded.
    """
    own = sorted((s for s in steps if s["episode"] == episode), key=lambda s: int(s["time"]))
    if not own:
        raise InputError("episode", episode, f"The trace has {len({s['episode'] for s in steps})}.")
    count = 1 + max(int(s["episode"]) for s in steps)
    reset, step = _programs()
    reset_key, key = jax.random.split(key)
    state, timestep = reset(world, reset_key, (count,))
    made = Recording(world, ("recorded",) * world.agent_count, [frame_of(state, timestep, (episode,))])
    for payload in own:
        _, step_key, key = jax.random.split(key, 3)
        actions = [numbered(world, i, payload["actions"][name]) for i, name in enumerate(world.agents)]
        state, timestep = step(world, step_key, state, _for_all(world, actions, count))
        frame = frame_of(state, timestep, (episode,))
        expected = [payload["rewards"][name] for name in world.agents]
        if not np.allclose(frame.reward, expected, atol=TOLERANCE, rtol=TOLERANCE):
            mend = "It was recorded by another version; its steps are in the run's trace."
            raise InputError(f"rewards of step {payload['time']}", frame.reward.tolist(), mend)
        made.frames.append(frame)
        made.actions.append(tuple(payload["actions"][name] for name in world.agents))
        made.talk.append(None)
    return made


def _for_all(world: World[Any], actions: list[Any], count: int) -> Any:
    """One world's actions in all worlds of a batch: the others are not looked at."""
    values = np.asarray(actions, np.float32 if world.continuous else np.int32)
    return jnp.asarray(np.repeat(values[..., None], count, axis=-1))


@functools.cache
def _programs() -> tuple[Any, Any]:
    options = usable(tuple(ONCE.items()))
    reset = jax.jit(lambda world, key, batch: world.reset(key, batch), static_argnums=(0, 2), compiler_options=options)
    step = jax.jit(lambda world, *rest: world.step(*rest), static_argnums=0, compiler_options=options)
    return reset, step


def _words(done: Done) -> str:
    return done if isinstance(done, str) else ", ".join(f"{name} {value:.4g}" for name, value in done.items())
