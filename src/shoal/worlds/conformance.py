"""The conformance suite: what every world must satisfy. ``shoal.worlds.check(world)`` runs it on yours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import numpy as np
from jaxtyping import Array

from shoal.errors import ShoalError
from shoal.worlds.picture import Picture, to_svg
from shoal.worlds.rollout import random_actions, step_and_reset
from shoal.worlds.world import Timestep, World

BATCH = (2, 3)
TOLERANCE = 1e-4


class NotConforming(ShoalError):
    """A world breaks its contract; the message says which rule and how."""


@dataclass
class Report:
    """What was checked.

    Attributes:
        world: its name.
        passed: rules that hold.
        failed: rule and what was found instead.
    """

    world: str
    passed: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


class Subject:
    """A world under test: four compiled functions and one recorded stretch of play, shared by all rules."""

    def __init__(self, world: World[Any], steps: int, seed: int) -> None:
        self.world = world
        self.seed = seed
        self.reset = jax.jit(world.reset, static_argnums=1)
        self.step = jax.jit(world.step)
        self.act = jax.jit(lambda key, timestep: random_actions(world, key, timestep))
        self.renew = jax.jit(lambda key, state, actions: step_and_reset(world, key, state, actions))
        self.played = [self.play(i) for i in range(2)]
        self.steps = steps

    def play(self, attempt: int, steps: int = 8) -> list[Timestep]:
        """A short stretch in a batch, always with the same keys."""
        state, timestep = self.reset(jax.random.key(self.seed), BATCH)
        seen = [timestep]
        for i in range(steps):
            state, timestep, raw = self.renew(jax.random.key(i), state, self.act(jax.random.key(50 + i), timestep))
            seen += [raw, timestep]
        return seen


def check(world: World[Any], steps: int = 60, seed: int = 0, strict: bool = True) -> Report:
    """Run every rule on a world.

    Args:
        world: the world.
        steps: random steps that the rules on values look at.
        seed: of the random actions.
        strict: raise NotConforming at the end if a rule fails; otherwise only report.

    Returns the report.
    """
    report = Report(world.name)
    problem = _shapes(world, seed)
    if problem:
        report.failed.append(f"shapes and types are as declared: {problem}")
    else:
        report.passed.append("shapes and types are as declared")
        _check_rules(world, steps, seed, report)
    if strict and report.failed:
        raise NotConforming(f"world {world.name}: " + "; ".join(report.failed))
    return report


def _check_rules(world: World[Any], steps: int, seed: int, report: Report) -> None:
    rules: list[tuple[str, Callable[[Subject], str]]] = [
        ("the same key gives the same episode", _deterministic),
        ("a batch is the same as its worlds one by one", _batch_is_single),
        ("values are finite and dead agents are masked", _sane),
        ("every episode ends by its horizon, and a new one begins", _ends),
        ("settings can be compared and hashed", _hashable),
        ("each agent is described, and its legal actions have names", _described),
        ("it can be drawn", _drawn),
    ]
    try:
        subject = Subject(world, steps, seed)
    except Exception as error:  # a broken world may raise anything; the report must still come
        report.failed.append(f"it compiles and steps: raises {type(error).__name__}: {str(error).splitlines()[0]}")
        return
    report.passed.append("it compiles and steps")
    for name, rule in rules:
        try:
            problem = rule(subject)
        except Exception as error:  # as above: a rule calls the world's own code
            problem = f"raises {type(error).__name__}: {str(error).splitlines()[0]}"
        if problem:
            report.failed.append(f"{name}: {problem}")
        else:
            report.passed.append(name)


def _shapes(world: World[Any], seed: int) -> str:
    """Shapes and types by abstract evaluation: nothing is computed or compiled."""
    if world.agent_count < 1 or world.observation_size < 1:
        return "a world needs an agent and an observation"
    if len(world.actions) != world.agent_count or len(world.observation_sizes) != world.agent_count:
        return "actions and observation_sizes need one entry per agent"
    key = jax.random.key(seed)
    for batch in ((), BATCH):
        try:
            state, first = jax.eval_shape(partial(world.reset, batch=batch), key)
            actions = jax.eval_shape(partial(random_actions, world), key, first)
            following, after = jax.eval_shape(world.step, key, state, actions)
            here = jax.eval_shape(world.global_state, state, first)
        except Exception as error:  # as above
            return f"with batch {batch} it raises {type(error).__name__}: {str(error).splitlines()[0]}"
        for timestep in (first, after):
            if problem := _timestep_shapes(world, timestep, batch):
                return problem
        if set(first.metrics) != set(after.metrics):
            return f"metrics differ between reset and step: {sorted(first.metrics)}, {sorted(after.metrics)}"
        if here.shape[1:] != batch:
            return f"global_state has shape {list(here.shape)}, the batch is {list(batch)}"
        shapes = [jax.tree.map(lambda a: (a.shape, str(a.dtype)), x) for x in (state, following)]
        if shapes[0] != shapes[1]:
            return "a step changes the shape or type of the state"
    return ""


def _timestep_shapes(world: World[Any], t: Timestep, batch: tuple[int, ...]) -> str:
    n, size, acts = world.agent_count, world.observation_size, max(world.action_count, 1)
    wanted: dict[str, tuple[tuple[int, ...], str]] = {
        "obs": ((n, size, *batch), "f"),
        "reward": ((n, *batch), "f"),
        "alive": ((n, *batch), "b"),
        "terminated": (batch, "b"),
        "truncated": (batch, "b"),
    }
    if not world.continuous:
        wanted["legal"] = ((n, acts, *batch), "b")
    for name, (shape, kind) in wanted.items():
        value: Array = getattr(t, name)
        if value.shape != shape or value.dtype.kind != kind:
            return f"{name} is {value.dtype}{list(value.shape)}, not {kind}{list(shape)}"
    for name, metric in t.metrics.items():
        if metric.shape != batch:
            return f"metric {name} has shape {list(metric.shape)}, not {list(batch)}"
    return ""


def _deterministic(subject: Subject) -> str:
    return _first_difference(subject.played[0], subject.played[1], 0.0)


def _batch_is_single(subject: Subject) -> str:
    """Step a batch; at each step, step some of its worlds alone from the same state with the same actions and key.

    Worlds whose step draws random numbers draw for the whole batch, so for them (``random_steps``) only the shapes
    can be compared, which has been done.
    """
    if subject.world.random_steps:
        return ""
    state, timestep = subject.reset(jax.random.key(subject.seed), BATCH)
    for i in range(10):
        actions = subject.act(jax.random.key(300 + i), timestep)
        key = jax.random.key(1000 + i)
        following, batched = subject.step(key, state, actions)
        for place in ((0, 0), (1, 2)):
            alone = jax.tree.map(lambda a, at=place: a[..., at[0], at[1]], (state, actions))
            single = subject.step(key, *alone)
            picked = jax.tree.map(lambda a, at=place: a[..., at[0], at[1]], (following, batched))
            if found := _first_difference(picked, single):
                return f"step {i}, world {place}: {found}"
        state, timestep = following, batched
    return ""


def _sane(subject: Subject) -> str:
    world = subject.world
    state, timestep = subject.reset(jax.random.key(subject.seed + 1), BATCH)
    sizes = np.asarray(world.observation_sizes)
    padding = (np.arange(world.observation_size)[None, :] >= sizes[:, None])[:, :, None, None]
    owned = np.asarray(world.action_mask())[:, :, None, None]
    for i in range(subject.steps):
        obs, dead = np.asarray(timestep.obs), ~np.asarray(timestep.alive)
        if not (np.isfinite(obs).all() and np.isfinite(np.asarray(timestep.reward)).all()):
            return f"an observation or reward is NaN or infinite at step {i}"
        if np.abs(obs * dead[:, None]).max(initial=0.0) > 0:
            return f"a dead agent observes something at step {i}"
        if np.abs(obs * padding).max(initial=0.0) > 0:
            return f"an observation is longer than declared at step {i}"
        if not world.continuous:
            legal = np.asarray(timestep.legal)
            if not legal.any(1).all():
                return f"an agent has no legal action at step {i}"
            if (legal[:, 1:] & dead[:, None]).any():
                return f"a dead agent may do more than action 0 at step {i}"
            if (legal & ~owned).any():
                return f"an action that an agent does not have is legal at step {i}"
        actions = subject.act(jax.random.key(7000 + i), timestep)
        state, timestep, _ = subject.renew(jax.random.key(9000 + i), state, actions)
    return ""


def _ends(subject: Subject) -> str:
    state, timestep = subject.reset(jax.random.key(subject.seed), BATCH)
    ended = np.zeros(BATCH, bool)
    for i in range(subject.world.horizon + 1):
        actions = subject.act(jax.random.key(i), timestep)
        state, timestep, raw = subject.renew(jax.random.key(i), state, actions)
        done = np.asarray(raw.done)
        ended |= done
        if (np.asarray(timestep.reward)[:, done] != 0).any():
            return "the first timestep of a new episode carries a reward"
        if ended.all():
            return ""
    return f"an episode is not over after its horizon of {subject.world.horizon} steps"


def _hashable(subject: Subject) -> str:
    return "" if hash(subject.world) == hash(subject.world) and subject.world == subject.world else "it is not"


def _described(subject: Subject) -> str:
    world = subject.world
    state, timestep = subject.reset(jax.random.key(subject.seed), ())
    for agent in range(world.agent_count):
        text = world.describe(state, agent)
        if not text.strip():
            return f"agent {agent} is described by nothing"
        names = world.actions[agent]
        if len(set(names)) != len(names):
            return f"agent {agent} has two actions of one name"
        if not world.continuous:
            legal = np.asarray(timestep.legal)[agent]
            unnamed = [name for i, name in enumerate(names) if legal[i] and name not in text]
            if unnamed:
                return f"agent {agent}'s description does not name its legal action {unnamed[0]!r}"
    return ""


def _drawn(subject: Subject) -> str:
    state, _ = subject.reset(jax.random.key(subject.seed), ())
    picture = subject.world.draw(state)
    if not isinstance(picture, Picture) or not to_svg(picture).startswith("<svg"):
        return "draw does not give a Picture"
    return ""


def _first_difference(one: Any, two: Any, tolerance: float = TOLERANCE) -> str:
    left, right = jax.tree_util.tree_leaves_with_path(one), jax.tree_util.tree_leaves_with_path(two)
    for (path, a), (_, b) in zip(left, right, strict=True):
        x, y = np.asarray(a, float), np.asarray(b, float)
        if x.shape != y.shape:
            return f"{jax.tree_util.keystr(path)} has shapes {x.shape} and {y.shape}"
        gap = np.abs(x - y).max(initial=0.0)
        if not gap <= tolerance and not (np.isnan(x) == np.isnan(y)).all():
            return f"{jax.tree_util.keystr(path)} differs in where it is NaN"
        if gap > tolerance:
            return f"{jax.tree_util.keystr(path)} differs by {gap:g}"
    return ""
