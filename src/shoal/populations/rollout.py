"""One run as a pure function of key, population and parameters: compiled as a whole, differentiable both ways.

What a step never changes (networks, ages) is found once by tracing and kept out of the loop's carry, so that reverse
mode does not store it with every step.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from shoal.populations.model import Facts, Parameters, PopulationModel
from shoal.runs.seeds import derive

Scan = Callable[[Any, Any], tuple[Any, Facts]]


def rollout(
    model: PopulationModel[Any, Any],
    steps: int,
    key: PRNGKeyArray,
    population: Any,
    parameters: Parameters,
    *,
    rematerialise: bool = False,
) -> tuple[Any, Facts]:
    """The state after the last step, and what every step reported [steps, ...].

    Args:
        model: whose steps are taken.
        steps: how many.
        key: of everything that chance decides in this run.
        population: as ``model.population`` made it.
        parameters: all of them, as ``model.check`` returns them.
        rematerialise: keep the state every sqrt(steps) steps only and compute the others again going back.
    """
    begin_key, key = jax.random.split(key)
    state = model.begin(begin_key, population, parameters)
    return advance(model, steps, key, state, parameters, rematerialise=rematerialise)


def advance(
    model: PopulationModel[Any, Any],
    steps: int,
    key: PRNGKeyArray,
    state: Any,
    parameters: Parameters,
    *,
    rematerialise: bool = False,
) -> tuple[Any, Facts]:
    """The same from a state that has begun: the start of a run, or the end of another one."""
    keys = jax.random.split(key, steps)
    leaves, form = jax.tree.flatten(state)
    moving = _moving(model, state, parameters, keys[0])

    def step(carry: Any, key: Any) -> tuple[Any, Facts]:
        now = iter(carry)
        whole = [next(now) if moves else leaf for moves, leaf in zip(moving, leaves, strict=True)]
        after, facts = model.step(key, jax.tree.unflatten(form, whole), parameters)
        return _chosen(jax.tree.leaves(after), moving), facts

    carry = _chosen(leaves, moving)
    carry, table = _in_chunks(step, carry, keys) if rematerialise else jax.lax.scan(step, carry, keys)
    now = iter(carry)
    whole = [next(now) if moves else leaf for moves, leaf in zip(moving, leaves, strict=True)]
    return jax.tree.unflatten(form, whole), table


def forward_slope(of: Callable[[Array], Array], at: Array) -> tuple[Array, Array]:
    """Value and slope [numbers] of a number, from one tangent for each entry of ``at``: no state is stored."""

    def along(way: Array) -> tuple[Array, Array]:
        value, slope = jax.jvp(of, (at,), (way,))
        return value, slope

    ways = jnp.eye(at.shape[0], dtype=at.dtype)
    result: tuple[Array, Array] = jax.vmap(along, out_axes=(None, 0))(ways)
    return result


def run_keys(seeds: Sequence[int]) -> PRNGKeyArray:
    """Keys [seeds] of runs."""
    return jax.vmap(jax.random.key)(jnp.asarray([derive(s, "simulation") % 2**32 for s in seeds], jnp.uint32))


def reported(model: PopulationModel[Any, Any], population: Any) -> tuple[str, ...]:
    """Names of the single numbers that the model reports in each step; nothing is computed."""
    run = functools.partial(rollout, model, 1)
    _, table = jax.eval_shape(run, jax.random.key(0), population, model.check({}))
    return tuple(name for name, x in table.items() if x.ndim == 1)


def _moving(model: PopulationModel[Any, Any], state: Any, parameters: Parameters, key: Any) -> list[bool]:
    """Which leaves of the state a step may change."""
    leaves, form = jax.tree.flatten(state)

    def after(leaves: Any, key: Any) -> Any:
        return jax.tree.leaves(model.step(key, jax.tree.unflatten(form, leaves), parameters)[0])

    traced = jax.make_jaxpr(after)(leaves, key).jaxpr
    return [out is not into for into, out in zip(traced.invars, traced.outvars, strict=False)]


def _chosen(leaves: Sequence[Any], wanted: Sequence[bool]) -> list[Any]:
    return [leaf for leaf, take in zip(leaves, wanted, strict=True) if take]


def _in_chunks(step: Scan, carry: Any, keys: Any) -> tuple[Any, Facts]:
    """A scan whose reverse mode stores the carry once for each chunk of about sqrt(steps) steps."""
    steps = keys.shape[0]
    size = max(1, math.isqrt(steps))
    whole = steps // size
    chunk = jax.checkpoint(lambda carry, keys: jax.lax.scan(step, carry, keys))
    carry, table = jax.lax.scan(chunk, carry, keys[: whole * size].reshape(whole, size))
    table = jax.tree.map(lambda x: x.reshape(whole * size, *x.shape[2:]), table)
    if whole * size == steps:
        return carry, table
    carry, rest = chunk(carry, keys[whole * size :])
    return carry, jax.tree.map(lambda a, b: jnp.concatenate([a, b]), table, rest)
