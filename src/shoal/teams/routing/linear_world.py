"""A world in which the regret theorem's assumption holds: reward is exactly linear in the features, plus noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError
from shoal.teams.routing.linucb import BatchedLinUCB, Radius

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LinearWorld:
    """r = x^T theta* + noise, with fresh features at every step.

    Attributes:
        theta: unit vectors theta* [S, d].
        features: unit vectors [S, T, K, d].
        noise: [S, T], already scaled.
        choice: uniforms [S, T], for the random policy.
    """

    theta: Floats
    features: Floats
    noise: Floats
    choice: Floats


def draw_world(
    generators: Sequence[np.random.Generator], steps: int, arms: int = 5, dimensions: int = 6, noise: float = 0.3
) -> LinearWorld:
    """One world from each generator.

    Raises:
        InputError: a size below 1.
    """
    if min(steps, arms, dimensions) < 1:
        raise InputError("linear world", (steps, arms, dimensions), "Steps, arms and dimensions are at least 1.")
    parts = []
    for g in generators:
        theta, x = g.standard_normal(dimensions), g.standard_normal((steps, arms, dimensions))
        x /= np.linalg.norm(x, axis=-1, keepdims=True)
        parts.append((theta / np.linalg.norm(theta), x, noise * g.standard_normal(steps), g.random(steps)))
    return LinearWorld(*(np.stack(column) for column in zip(*parts, strict=True)))


def pseudo_regret(world: LinearWorld, radius: Radius | None, delay: int = 0) -> Floats:
    """Cumulative pseudo-regret [S, T]: the best arm's mean reward minus the chosen one's, summed up.

    Args:
        world: the world; every policy should meet the same.
        radius: LinUCB's radius; None chooses at random.
        delay: tasks that go by before a reward is learned.
    """
    seeds, steps, arms, dimensions = world.features.shape
    rows = np.arange(seeds)
    bandit = BatchedLinUCB(seeds, dimensions, 1, radius or Radius())
    means = (world.features @ world.theta[:, None, :, None])[..., 0]
    chosen = np.minimum((world.choice * arms).astype(int), arms - 1)
    if radius is not None:
        for t in range(steps):
            if t > delay:
                old = t - delay - 1
                who = chosen[:, old]
                bandit.update(world.features[rows, old, who], means[rows, old, who] + world.noise[:, old])
            chosen[:, t] = bandit.scores(world.features[:, t]).argmax(axis=1)
    gaps = means.max(axis=2) - np.take_along_axis(means, chosen[..., None], axis=2)[..., 0]
    return np.cumsum(gaps, axis=1)


POLICIES: dict[str, tuple[float | None, bool]] = {
    "linucb": (1.0, False),
    "linucb reduced": (0.1, False),
    "linucb delayed": (1.0, True),
    "greedy": (0.0, False),
    "random": (None, False),
}
"""Name -> (factor on the radius or None for random, whether feedback is delayed)."""


def regret_of(name: str, world: LinearWorld, radius: Radius, reduced: float, delay: int) -> Floats:
    """Pseudo-regret [S, T] of a named policy; "linucb reduced" takes ``reduced`` for its factor."""
    scale, late = POLICIES[name]
    if name == "linucb reduced":
        scale = reduced
    return pseudo_regret(world, None if scale is None else replace(radius, scale=scale), delay if late else 0)
