"""A batch of worlds against the same worlds stepped one by one, and other checks that several test files share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from shoal.errors import InputError
from shoal.worlds import World, make_world, random_actions
from shoal.worlds.picture import to_svg

BATCH = 8


def single(tree: Any, b: int) -> Any:
    """World b of a batch."""
    return jax.tree.map(lambda a: a[..., b], tree)


def assert_same(one: Any, two: Any, tolerance: float = 1e-4) -> None:
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        np.testing.assert_allclose(np.asarray(a, float), np.asarray(b, float), atol=tolerance)


def assert_batch_is_singles(
    world: World[Any],
    steps: int = 6,
    seed: int = 0,
    draws: Callable[[Any, tuple[int, ...]], Any] | None = None,
    fold: bool = False,
) -> None:
    """Step a batch of 8 and the same 8 worlds alone (and as 2 x 4 with ``fold``).

    ``draws`` makes the random numbers that the world's ``advance`` takes, where its steps are random.
    """

    def go(state: Any, actions: Any, chance: Any) -> Any:
        if draws is None:
            return world.step(jax.random.key(0), state, actions)
        return world.advance(state, actions, chance)  # type: ignore[attr-defined]

    move = jax.jit(go)
    act = jax.jit(lambda key, timestep: random_actions(world, key, timestep))
    state, timestep = jax.jit(world.reset, static_argnums=1)(jax.random.key(seed), (BATCH,))
    alone = [single(state, b) for b in range(BATCH)]
    for t in range(steps):
        key = jax.random.key(seed + 100 + t)
        actions, chance = act(key, timestep), draws(key, (BATCH,)) if draws else None
        square = jax.tree.map(lambda a: a.reshape(*a.shape[:-1], 2, 4), (state, actions, chance))
        state, timestep = move(state, actions, chance)
        if fold and t == steps - 1:
            folded = jax.tree.map(lambda a: a.reshape(*a.shape[:-2], BATCH), move(*square))
            assert_same(folded, (state, timestep))
        for b in range(BATCH):
            alone[b], one = move(alone[b], actions[..., b], single(chance, b))
            assert_same(single((state, timestep), b), (alone[b], one))


def assert_alone_is_fine(spec: str, steps: int = 5) -> None:
    """A world runs without NaN or infinity, and is described and drawn, before and after its steps."""
    world = make_world(spec)
    state, timestep = jax.jit(world.reset)(jax.random.key(0))
    step = jax.jit(world.step)
    for t in range(steps):
        key = jax.random.key(t)
        state, timestep = step(key, state, random_actions(world, key, timestep))
        for leaf in jax.tree.leaves((state, timestep)):
            assert np.isfinite(np.asarray(leaf, float)).all()
    assert timestep.obs.shape == (world.agent_count, world.observation_size)
    assert all("Actions:" in world.describe(state, i) for i in range(world.agent_count))
    assert to_svg(world.draw(state)).startswith("<svg")


def assert_refused(name: str, field: str, value: Any, **others: Any) -> None:
    """The setting is refused, and the error names field, value and mend."""
    try:
        make_world(name, **{field: value}, **others)
    except InputError as error:
        assert field in error.field and error.value == value and error.mend.endswith(".")
    else:
        raise AssertionError(f"{name} accepts {field}={value!r}")
