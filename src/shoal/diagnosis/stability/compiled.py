"""The twelve dimensions over windows of synthetic logs, compiled: the same numbers as ``dimensions`` at any scale.

Windows have a fixed size and a mask, so that one program serves the team and each of its agents. Where nothing can be
measured a dimension is NaN and the index is taken over the others. Typical sequences are the commonest of the baseline
here, its medoid there; the tests hold both against each other.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from shoal.diagnosis.stability.dimensions import BINS, MAJORITY
from shoal.diagnosis.stability.index import GROUPS, WEIGHTS
from shoal.diagnosis.stability.synthetic import AGENTS, ERRORS, LENGTH, STEPS, TASKS, TOOLS, VALUES, Log


class Reference(NamedTuple):
    """What the baseline is remembered by."""

    embeddings: Float[Array, "tasks width"]
    counts: Float[Array, " tasks"]
    steps: Array
    tools: Array
    choice: Float[Array, "tasks tools"]
    arguments: Float[Array, "tools values"]
    agreed: Array
    sent: Array
    done: Array
    roles: Float[Array, "tasks agents"]
    tokens: Float[Array, " 2"]
    errors: Float[Array, " errors"]


def remember(log: Log, mask: Float[Array, " n"]) -> Reference:
    """The reference of a baseline [n]; interactions with mask 0 are not in it."""
    tasks = _one_hot(log.task, TASKS) * mask[:, None]
    return Reference(
        tasks.T @ log.embedding, tasks.sum(axis=0), _commonest(log.steps, tasks, STEPS),
        _commonest(log.tools, tasks, TOOLS), _choice(log, tasks), _arguments(log, mask),
        _mean(log.support >= MAJORITY, mask), (log.messages * mask).sum(), (log.delegations * mask).sum(),
        tasks.T @ _one_hot(log.agent, AGENTS), _spread(log.tokens, mask), _one_hot(log.error, ERRORS).T @ mask,
    )  # fmt: skip


def measure(log: Log, mask: Float[Array, " n"], reference: Reference) -> Float[Array, " 12"]:
    """The dimensions of a window in the order of ``DIMENSIONS``; NaN where one cannot be measured."""
    tasks = _one_hot(log.task, TASKS) * mask[:, None]
    known = tasks.sum(axis=0) * (reference.counts > 0)
    return jnp.stack([
        _semantic(log, tasks, reference),
        _likeness(log.steps, reference.steps, log.task, mask, known),
        _calibration(log, mask),
        (known * (1.0 - jax.vmap(_cramers_v)(_choice(log, tasks), reference.choice))).sum() / known.sum(),
        _likeness(log.tools, reference.tools, log.task, mask, known),
        _argument_likeness(_arguments(log, mask), reference.arguments),
        jnp.minimum(1.0, _mean(log.support >= MAJORITY, mask) / reference.agreed),
        jnp.minimum(1.0, reference.sent / reference.done / _ratio(log.messages, log.delegations, mask)),
        _roles(tasks.T @ _one_hot(log.agent, AGENTS), reference.roles),
        _length(_spread(log.tokens, mask), reference.tokens),
        1.0 - _jensen_shannon(_one_hot(log.error, ERRORS).T @ mask, reference.errors),
        1.0 - _mean(log.overridden, mask),
    ])  # fmt: skip


def indices(dimensions: Float[Array, " 12"]) -> Float[Array, " 5"]:
    """The four groups and the index."""
    groups = jnp.nanmean(dimensions.reshape(len(GROUPS), -1), axis=1)
    weights = jnp.array([WEIGHTS[name] for name in GROUPS]) * ~jnp.isnan(groups)
    return jnp.append(groups, jnp.nansum(weights * groups) / weights.sum())


def _one_hot(values: Array, size: int) -> Array:
    return (values[..., None] == jnp.arange(size)).astype(jnp.float32)


def _mean(values: Array, mask: Array) -> Array:
    return (values * mask).sum() / mask.sum()


def _ratio(one: Array, two: Array, mask: Array) -> Array:
    return (one * mask).sum() / (two * mask).sum()


def _spread(tokens: Array, mask: Array) -> Array:
    mean = _mean(tokens, mask)
    return jnp.stack([mean, jnp.sqrt(_mean((tokens - mean) ** 2, mask)) / mean])


def _choice(log: Log, tasks: Array) -> Array:
    return tasks.T @ _one_hot(log.tools, TOOLS).sum(axis=1)


def _arguments(log: Log, mask: Array) -> Array:
    pairs = log.tools * VALUES + log.arguments
    return (_one_hot(pairs, TOOLS * VALUES).sum(axis=1) * mask[:, None]).sum(axis=0).reshape(TOOLS, VALUES)


def _commonest(sequences: Array, tasks: Array, names: int) -> Array:
    """The commonest sequence of each task [tasks, length]."""
    code = (sequences * names ** jnp.arange(LENGTH)).sum(axis=1)
    votes = (code[:, None] == code[None]).astype(jnp.float32) @ tasks
    return sequences[jnp.argmax(votes * (tasks > 0), axis=0)]


def _edit_distance(one: Array, two: Array) -> Array:
    """Levenshtein distance of two sequences [length], row by row of the table."""

    def next_row(row: Array, item: tuple[Array, Array]) -> tuple[Array, None]:
        i, name = item
        below = [i + 1.0]
        for j in range(LENGTH):
            below.append(jnp.minimum(jnp.minimum(row[j + 1], below[j]) + 1.0, row[j] + (name != two[j])))
        return jnp.stack(below), None

    first = jnp.arange(LENGTH + 1, dtype=jnp.float32)
    return jax.lax.scan(next_row, first, (jnp.arange(LENGTH, dtype=jnp.float32), one))[0][-1]


def _likeness(sequences: Array, typical: Array, task: Array, mask: Array, known: Array) -> Array:
    weight = mask * (known[task] > 0)
    return 1.0 - (jax.vmap(_edit_distance)(sequences, typical[task]) * weight).sum() / (LENGTH * weight.sum())


def _semantic(log: Log, tasks: Array, reference: Reference) -> Array:
    n = reference.counts
    own = ((reference.embeddings**2).sum(axis=1) - n) / jnp.maximum(n * (n - 1), 1.0)
    found = tasks.sum(axis=0)
    means = tasks.T @ log.embedding / jnp.maximum(found, 1.0)[:, None]
    cosine = (means * reference.embeddings).sum(axis=1) / jnp.maximum(n, 1.0)
    weight = found * (n >= 2) * (own > 0)
    return (weight * jnp.clip(cosine / jnp.where(own > 0, own, 1.0), 0.0, 1.0)).sum() / weight.sum()


def _calibration(log: Log, mask: Array) -> Array:
    bins = _one_hot(jnp.minimum((log.confidence * BINS).astype(int), BINS - 1), BINS) * mask[:, None]
    n = jnp.maximum(bins.sum(axis=0), 1e-9)
    p, q = bins.T @ log.confidence / n, bins.T @ log.correct / n
    divergence = jax.vmap(lambda a, b: _jensen_shannon(jnp.stack([a, 1 - a]), jnp.stack([b, 1 - b])))(p, q)
    return 1.0 - (divergence * bins.sum(axis=0)).sum() / mask.sum()


def _jensen_shannon(one: Array, two: Array) -> Array:
    p, q = one / jnp.maximum(one.sum(), 1e-9), two / jnp.maximum(two.sum(), 1e-9)
    middle = (p + q) / 2

    def part(x: Array) -> Array:
        held = x > 0
        return (jnp.where(held, x, 0.0) * jnp.log2(jnp.where(held, x, 1.0) / jnp.where(held, middle, 1.0))).sum()

    return jnp.maximum(0.0, 0.5 * (part(p) + part(q)))


def _cramers_v(one: Array, two: Array) -> Array:
    table = jnp.stack([one, two])
    n, m = table.sum(), ((one + two) > 0).sum()
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0, keepdims=True) / jnp.maximum(n, 1.0)
    phi = jnp.where(expected > 0, (table - expected) ** 2 / jnp.where(expected > 0, expected, 1.0), 0.0).sum() / n
    corrected = jnp.maximum(0.0, phi - (m - 1) / (n - 1))
    least = jnp.minimum(1 - 1 / (n - 1), m - (m - 1) ** 2 / (n - 1) - 1)
    value = jnp.minimum(1.0, jnp.sqrt(corrected / jnp.where(least > 0, least, 1.0)))
    return jnp.where((m < 2) | (n < 2) | (least <= 0), 0.0, value)


def _argument_likeness(now: Array, then: Array) -> Array:
    """exp(-KL) with counts plus one over the values that either holds, weighted by calls."""
    held = (now + then) > 0
    calls = now.sum(axis=1) * (then.sum(axis=1) > 0)
    p, q = ((x + 1.0) * held for x in (now, then))
    p, q = (x / jnp.maximum(x.sum(axis=1, keepdims=True), 1e-9) for x in (p, q))
    divergence = (p * jnp.where(held, jnp.log(jnp.where(held, p, 1.0) / jnp.where(held, q, 1.0)), 0.0)).sum(axis=1)
    return jnp.exp(-(calls * divergence).sum() / calls.sum())


def _roles(now: Array, then: Array) -> Array:
    common = (now.sum(axis=1) > 0) & (then.sum(axis=1) > 0)
    then = then * common[:, None]
    share = then.sum(axis=1) / jnp.maximum(then.sum(), 1.0)

    def score(table: Array) -> Array:
        joint = table / jnp.maximum(table.sum(axis=1, keepdims=True), 1.0) * share[:, None]
        rows, columns = _entropy(joint.sum(axis=1)), _entropy(joint.sum(axis=0))
        return (rows + columns - _entropy(joint.ravel())) / jnp.minimum(rows, columns)

    return jnp.where(common.sum() >= 2, jnp.minimum(1.0, score(now) / score(then)), jnp.nan)


def _entropy(p: Array) -> Array:
    return -(p * jnp.log(jnp.where(p > 0, p, 1.0))).sum()


def _length(now: Array, then: Array) -> Array:
    return jnp.maximum(0.0, 1.0 - jnp.maximum(0.0, now[1] - then[1]) - jnp.abs(jnp.log(now[0] / then[0])))
