"""Scripted rules: plain functions that sit in a seat of a world, as baselines and as partners.

A rule is made for a world and acts on what agents see. Besides those registered here, the name of any action of a world
is a rule: always that action, and the first legal one where it is not legal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from shoal.errors import InputError, UnknownName
from shoal.marl.players import Actions, Player, RulePlayer, View
from shoal.registry import Registry
from shoal.worlds import World

Rule = Callable[[PRNGKeyArray, View], Actions]

RULES: Registry[Callable[[World[Any]], Rule]] = Registry("scripted rule", "shoal.marl")
"""Functions that take a world and return its rule, by name; add one with ``@RULES.register(name)``."""

TOUCHING = 0.1
"""Distance at which ``own-landmark`` stops."""
BRAKE = 0.3
"""Seconds of its present motion that a rule looks ahead."""


def rule_player(name: str, world: World[Any]) -> Player:
    """The player of a registered rule, or of an action's name.

    Raises:
        UnknownName: neither a rule nor an action of the world.
        InputError: the rule is for another world.
    """
    if name in RULES:
        return RulePlayer(RULES.get(name)(world))
    if world.continuous:
        raise UnknownName("scripted rule", name, RULES.names())
    named = {action for names in world.actions for action in names}
    if name not in named:
        raise UnknownName("scripted rule", name, [*RULES.names(), *named])
    numbers = tuple(names.index(name) if name in names else 0 for names in world.actions)
    return RulePlayer(_Constant(numbers))


@RULES.register("own-landmark")
def own_landmark(world: World[Any]) -> Rule:
    """Spread: every agent goes to the landmark of its own number, along the longer way first, and stays there."""
    _only(world, "spread", "own-landmark")

    def rule(key: PRNGKeyArray, view: View) -> Int[Array, "agents *batch"]:
        agents = range(view.obs.shape[1])
        dx = jnp.stack([view.obs[4 + 2 * i, i] for i in agents]) - BRAKE * view.obs[0]
        dy = jnp.stack([view.obs[5 + 2 * i, i] for i in agents]) - BRAKE * view.obs[1]
        return _towards(dx, dy, TOUCHING)

    return rule


@RULES.register("chase")
def chase(world: World[Any]) -> Rule:
    """Tag: predators go straight for the first prey; prey flee from the first predator."""
    _only(world, "tag", "chase")
    # In the observation the others follow the own motion, the own place and the obstacles.
    first = 4 + 2 * world.obstacles  # type: ignore[attr-defined]
    predators = world.predators  # type: ignore[attr-defined]
    prey = first + 2 * (predators - 1)

    def rule(key: PRNGKeyArray, view: View) -> Int[Array, "agents *batch"]:
        hunt = _towards(view.obs[prey], view.obs[prey + 1], 0.0)
        flee = _towards(-view.obs[first], -view.obs[first + 1], 0.0)
        number = jnp.arange(view.obs.shape[1]).reshape(-1, *(1,) * view.fresh.ndim)
        return jnp.where(number < predators, hunt, flee)

    return rule


def _only(world: World[Any], name: str, rule: str) -> None:
    if world.name != name:
        raise InputError("scripted rule", rule, f"It is for {name}, not for {world.name}.")


def _towards(dx: Float[Array, "..."], dy: Float[Array, "..."], enough: float) -> Int[Array, "..."]:
    """The move of the particle worlds (stay, left, right, down, up) that shortens the longer of the two ways."""
    across = jnp.where(dx > 0, 2, 1)
    along = jnp.where(dy > 0, 4, 3)
    move = jnp.where(jnp.abs(dx) > jnp.abs(dy), across, along)
    return jnp.where(jnp.maximum(jnp.abs(dx), jnp.abs(dy)) > enough, move, 0).astype(jnp.int32)


class _Constant:
    """Always the same action of each agent; equal ones are equal, so that they compile once."""

    def __init__(self, numbers: tuple[int, ...]) -> None:
        self.numbers = numbers

    def __call__(self, key: PRNGKeyArray, view: View) -> Int[Array, "agents *batch"]:
        first = jnp.argmax(view.legal, axis=0)
        wanted = jnp.array(self.numbers).reshape(-1, *(1,) * (first.ndim - 1))
        allowed = jnp.take_along_axis(view.legal, wanted[None], axis=0)[0]
        return jnp.where(allowed, wanted, first).astype(jnp.int32)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.numbers == other.numbers

    def __hash__(self) -> int:
        return hash(self.numbers)
