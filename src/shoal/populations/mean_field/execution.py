"""Carrying a mean-field policy out: what the agents of a real swarm are told, and when.

A policy maps the swarm's distribution, which agents do not see, to a rule. It is carried out in one of three ways.
*Open loop* (``make_plan``): everybody is given the sequence of rules that the policy chose in one simulation from the
start it was trained on. *Static* (``Plan.static``): one rule, the mean of that sequence. *Shared seed*, as in training:
the policy itself acts in a ``course``; the distribution is broadcast, and all draw the same rule from the same seed.
This one is a reference, not decentralised. An open-loop plan is for one start: ``Plan.warning`` says when a swarm
begins elsewhere.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Protocol

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from numpy.typing import NDArray

from shoal.populations.mean_field.worlds import MeanFieldWorld, SwarmState, SwarmWorld, batched
from shoal.worlds import Timestep
from shoal.worlds.compilation import Options, usable

FAR = 1.5
"""A plan warns from this multiple of the largest distance by which even starts differ."""
SAMPLED = 64
COMPILATION: Options = {"xla_backend_optimization_level": 1, "xla_cpu_use_fusion_emitters": False}


class Actor(Protocol):
    """Whoever decides what is done: a pytree, so that programs are compiled once for all of a kind."""

    def act(self, key: PRNGKeyArray, state: SwarmState, timestep: Timestep) -> Array:
        """Every agent's action [agents, dims, *batch]."""
        ...


class Course(eqx.Module):
    """What became of swarms.

    Attributes:
        first: reward that the starts would earn.
        rewards: after every step.
        actions: of the world's agents; empty unless asked for.
        shown: the first swarm's agents after every step; empty unless asked for.
    """

    first: Float[Array, "*batch"]
    rewards: Float[Array, "steps *batch"]
    actions: Any
    shown: Any


def course(actor: Actor, world: SwarmWorld, key: PRNGKeyArray, batch: tuple[int, ...], keep: bool = False) -> Course:
    """One episode of a batch of swarms.

    Args:
        actor: decides for the world's agents.
        world: where.
        key: of starts and of all chance; two worlds of one swarm begin alike with the same key.
        batch: how many.
        keep: also return actions and the first swarm.
    """
    seen: Course = _program()(actor, world, key, batch, keep)
    return seen


@functools.cache
def _program() -> Callable[..., Course]:
    """Compiled once for each kind of actor, world and batch; compiling takes longer than most courses."""
    options = usable(tuple(COMPILATION.items()))
    program: Callable[..., Course] = jax.jit(_course, static_argnums=(1, 3, 4), compiler_options=options)
    return program


def _course(actor: Actor, world: SwarmWorld, key: PRNGKeyArray, batch: tuple[int, ...], keep: bool) -> Course:
    reset_key, key = jax.random.split(key)
    start = world.reset(reset_key, batch)

    def step(now: tuple[SwarmState, Timestep], key: PRNGKeyArray) -> tuple[tuple[SwarmState, Timestep], Any]:
        act_key, step_key = jax.random.split(key)
        actions = actor.act(act_key, *now)
        state, timestep = world.step(step_key, now[0], actions)
        if not keep:
            return (state, timestep), (timestep.reward[0], (), ())
        shown = jax.tree.map(lambda x: x[(..., *(0,) * len(batch))], state.swarm)
        return (state, timestep), (timestep.reward[0], actions, shown)

    first = batched(world.model.reward, len(batch))(start[0].swarm)
    return Course(first, *jax.lax.scan(step, start, jax.random.split(key, world.horizon))[1])


class Plan(eqx.Module):
    """Rules for every step, made ahead; one plan, or several side by side as the batch's first axes.

    Attributes:
        rules: upper actions.
        start: features of the start for which the plan was made: the mean over some starts.
    """

    rules: Float[Array, "steps numbers *plans"]
    start: Float[Array, " features"]

    def act(self, key: PRNGKeyArray, state: SwarmState, timestep: Timestep) -> Array:
        """The step's rule for everybody; after the plan's end the last one."""
        time, batch = state.time.max(), state.time.shape
        rule = self.rules[jnp.minimum(time, self.rules.shape[0] - 1)]
        rule = rule.reshape(1, *rule.shape, *(1,) * (len(batch) + 1 - rule.ndim))
        return jnp.broadcast_to(rule, (*rule.shape[:2], *batch))

    @property
    def static(self) -> Plan:
        """One rule for all steps: the mean of the sequence."""
        return Plan(jnp.broadcast_to(self.rules.mean(0), self.rules.shape), self.start)

    def warning(self, world: MeanFieldWorld, state: SwarmState) -> str | None:
        """What to say before this one plan is carried out on one swarm; None if its start fits.

        How far the swarm's features are from the plan's start is compared with how far even starts of as many agents
        are from it by chance.
        """
        start = np.asarray(self.start)
        usual = float(np.linalg.norm(starts(dataclasses.replace(world, start="even")) - start[:, None], axis=0).max())
        found = float(np.linalg.norm(np.asarray(world.features_of(state)) - start))
        if found <= FAR * usual:
            return None
        return (
            f"This open-loop plan was made for another start: the swarm's features are {found:.1f} away from it, those "
            f"of even starts at most {usual:.1f}. Plan again from here, or broadcast the distribution (shared seed)."
        )


def make_plan(policy: Actor, world: MeanFieldWorld, key: PRNGKeyArray, batch: tuple[int, ...] = ()) -> Plan:
    """The open-loop plan: the upper actions of a policy, which should be its means, in one simulation of the world.

    Args:
        policy: chooses rules from the distribution.
        world: of the size and start that it was trained on.
        key: of the simulation.
        batch: for several plans at once.
    """
    return Plan(course(policy, world, key, batch, True).actions[:, 0], jnp.asarray(starts(world).mean(1)))


@functools.lru_cache(maxsize=64)
def starts(world: MeanFieldWorld) -> NDArray[np.float32]:
    """Features of SAMPLED starts of a world [features, SAMPLED]; always the same ones."""
    sample = jax.jit(lambda key: world.features_of(world.reset(key, (SAMPLED,))[0]))
    return np.asarray(sample(jax.random.key(0)))


class Classic(eqx.Module):
    """The rule that the world's swarm model follows by itself: turn to the mean heading, couple, or gather.

    Attributes:
        world: of the swarm.
    """

    world: SwarmWorld = eqx.field(static=True)

    def act(self, key: PRNGKeyArray, state: SwarmState, timestep: Timestep) -> Array:
        """In units of the largest action."""
        model, axes = self.world.model, state.time.ndim
        keys = jax.random.split(key, state.time.shape) if axes else key
        rule = batched(lambda k, seen: model.rule(k, seen, model.check({})), axes)
        action: Array = rule(keys, timestep.obs) / self.world.bound
        return action if model.action else action[:, None]


class Chance(eqx.Module):
    """Any action that the world takes from its agents.

    Attributes:
        world: of the swarm.
    """

    world: SwarmWorld = eqx.field(static=True)

    def act(self, key: PRNGKeyArray, state: SwarmState, timestep: Timestep) -> Array:
        """Uniform in the range."""
        low, high = self.world.action_range[0]
        shape = (self.world.agent_count, self.world.continuous, *state.time.shape)
        return jax.random.uniform(key, shape, minval=low, maxval=high)
