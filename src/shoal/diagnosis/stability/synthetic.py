"""A synthetic team whose drift is known: what it does in one interaction, given the hidden state of its agents.

Every agent has a hidden drift of each kind (semantic, coordination, behavioural) and a pollution of its context; both
grow as the page of the system chooses, because the paper's own generator was not found. The logs are numbers, not
texts, and how strongly drift shows in each field is chosen here. Labelled synthetic wherever it is shown: what a cure
does in this team follows from these constants.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

AGENTS, TASKS, TOOLS, VALUES, STEPS, LENGTH, ERRORS, WIDTH = 3, 3, 8, 4, 8, 4, 3, 6
"""Agents, types of task, tools, values of an argument, step names, length of sequences, error types, embedding width.

Each type of task has one specialist, so there are as many types as agents.
"""
KINDS = ("semantic", "coordination", "behavioural")
SUCCESS = 0.873
POLLUTION, FEEDBACK, RESET = 0.01, 2.0, 0.1
PROMPT, CONTEXT, EXEMPLAR, OUTPUT, NOTES = 300.0, 900.0, 60.0, 620.0, 4200.0
"""Tokens: of the base prompt, of a full context, of one exemplar, written in a turn, and of one consolidation."""
ELSEWHERE = 0.8
"""Fitness of an agent for a task that is not its speciality."""


class Hidden(NamedTuple):
    """What no log shows, by agent.

    Attributes:
        pollution: of the context, in [0, 1] [agents].
        drift: in [0, 1] [agents, kinds].
    """

    pollution: Float[Array, " agents"]
    drift: Float[Array, "agents kinds"]


class Dynamics(NamedTuple):
    """How drift grows.

    Attributes:
        rate: growth per interaction of each kind [kinds].
        noise: standard deviation of each step.
        onset: interactions before which nothing grows but noise.
    """

    rate: Float[Array, " kinds"]
    noise: Float[Array, ""]
    onset: Int[Array, ""]


class Log(NamedTuple):
    """What one interaction shows (and windows of them, with a leading axis); names as in ``Interaction``."""

    task: Int[Array, ""]
    agent: Int[Array, ""]
    embedding: Float[Array, " width"]
    steps: Int[Array, " length"]
    confidence: Float[Array, ""]
    correct: Float[Array, ""]
    tools: Int[Array, " length"]
    arguments: Int[Array, " length"]
    support: Float[Array, ""]
    messages: Float[Array, ""]
    delegations: Float[Array, ""]
    tokens: Float[Array, ""]
    error: Int[Array, ""]
    overridden: Float[Array, ""]


class Luck(NamedTuple):
    """Random numbers of one interaction, the same for all arms: uniform ones and normal ones."""

    uniform: Float[Array, " draws"]
    step: Float[Array, "agents kinds"]
    normal: Float[Array, " draws"]


def draw(key: PRNGKeyArray) -> Luck:
    """The luck of one interaction."""
    one, two = jax.random.split(key)
    normal = jax.random.normal(two, (AGENTS * len(KINDS) + WIDTH + 2,))
    return Luck(
        jax.random.uniform(one, (8 + 6 * LENGTH + AGENTS,)),
        normal[: AGENTS * len(KINDS)].reshape(AGENTS, -1),
        normal[AGENTS * len(KINDS) :],
    )


def fresh() -> Hidden:
    """Agents before their first interaction."""
    return Hidden(jnp.zeros(AGENTS), jnp.zeros((AGENTS, len(KINDS))))


def grow(hidden: Hidden, dynamics: Dynamics, luck: Luck, time: Array, pull: Array) -> Hidden:
    """One interaction's growth: pollution, then drift of every kind; ``pull`` is what anchoring takes off."""
    mean = hidden.drift.mean(axis=1)
    pollution = jnp.minimum(1.0, hidden.pollution + POLLUTION * (1.0 + mean))
    rate = jnp.where(time >= dynamics.onset, dynamics.rate, 0.0)
    growth = rate * (0.5 + pollution)[:, None] * (1.0 + FEEDBACK * hidden.drift)
    drift = hidden.drift + growth + dynamics.noise * luck.step - pull * hidden.drift
    return Hidden(pollution, jnp.clip(drift, 0.0, 1.0))


def chance(drift: Array) -> Array:
    """Probability of success of an agent from its mean drift: 0.873 (1 - d)^0.7."""
    return SUCCESS * (1.0 - drift) ** 0.7


def act(hidden: Hidden, luck: Luck, preference: Float[Array, " agents"]) -> Log:
    """One interaction: a task comes, an agent is chosen, works and hands on.

    Args:
        hidden: the agents' state.
        luck: its random numbers.
        preference: the router's weight for each agent, 1 where it has none [agents].
    """
    u, v = luck.uniform, luck.normal
    single, rows = u[:8], u[8 : 8 + 6 * LENGTH].reshape(6, LENGTH)
    task = (single[0] * TASKS).astype(int)
    fitness = jnp.where(jnp.arange(AGENTS) == task, 1.0, ELSEWHERE)
    blurred = single[1] < 0.05 + hidden.drift[:, 1].mean()
    agent = jnp.where(blurred, (single[2] * AGENTS).astype(int), jnp.argmax(fitness * preference))
    own = hidden.drift[agent]
    meaning, coordination, behaviour = own
    mean = own.mean()
    correct = single[3] < chance(mean)
    swapped = rows[0] < 0.03 + 0.6 * meaning
    strayed = rows[1] < 0.03 + behaviour
    steps = jnp.where(swapped, (rows[2] * STEPS).astype(int), (task + 2 * jnp.arange(LENGTH)) % STEPS)
    tools = jnp.where(strayed, (rows[3] * TOOLS).astype(int), (2 * task + jnp.arange(LENGTH)) % TOOLS)
    odd = rows[4] < 0.15 + 0.85 * behaviour
    wrong = 1 + (single[4] > 0.8 - 0.6 * behaviour)
    agreed = u[8 + 6 * LENGTH :] < 0.95 - 0.5 * coordination
    return Log(
        task, agent, _embedding(task, meaning, v[:WIDTH]), steps,
        jnp.clip(SUCCESS + 0.05 * v[WIDTH], 0.0, 1.0), correct.astype(float), tools,
        jnp.where(odd, (rows[5] * VALUES).astype(int), tools % VALUES), jnp.maximum(1.0 / AGENTS, agreed.mean()),
        1.0 + jnp.floor(-jnp.log(1.0 - single[5]) * (0.3 + 2.5 * coordination)),
        (single[6] < 1.0 - 0.5 * coordination).astype(float),
        OUTPUT * jnp.exp(0.15 * v[WIDTH + 1]) * (1.0 + mean), jnp.where(correct, 0, wrong),
        (single[7] < 0.03 + 0.35 * mean).astype(float),
    )  # fmt: skip


def _embedding(task: Array, drift: Array, noise: Array) -> Array:
    """The task's direction, turned by up to a right angle towards another one, with noise; unit length."""
    angle = 0.5 * jnp.pi * drift
    place = jnp.arange(WIDTH)
    row = jnp.cos(angle) * (place == task) + jnp.sin(angle) * (place == task + TASKS) + 0.1 * noise
    return jnp.asarray(row / jnp.linalg.norm(row))
