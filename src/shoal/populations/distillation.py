"""Distillation: a small policy fitted to what a model answered about archetypes, and what it lost.

The policy is a behaviour like any other: compiled with the model, it decides for any archetype in any situation without
a query. Its fidelity is measured on decisions that it was not fitted to, beside what the answers' own chance costs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax  # type: ignore[import-untyped]
from jaxtyping import Array, Float, PRNGKeyArray
from numpy.typing import NDArray

from shoal.errors import InputError
from shoal.populations.archetypes import Names
from shoal.populations.behaviour import ACTIONS, Behaviour, Situation
from shoal.populations.simulation import Simulation
from shoal.populations.weekly import Decision

KNOWN = 4
"""Numbers of a situation that a policy reads."""
HELD_OUT = 4
"""Every so many weeks one is kept out of the fit."""
RATE, STEPS, DECAY = 0.05, 1000, 1e-4
_EDGE = 1e-6

Rows = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]


class Layers(eqx.Module):
    """Linear layers with a hyperbolic tangent between them; one layer is a logistic model."""

    layers: tuple[eqx.nn.Linear, ...]

    def __call__(self, x: Float[Array, " values"]) -> Float[Array, " actions"]:
        """A logit for each action."""
        for layer in self.layers[:-1]:
            x = jnp.tanh(layer(x))
        return self.layers[-1](x)


class Policy(Behaviour):
    """A small network over an archetype's variables and the situation; groups are all conceivable archetypes.

    Attributes:
        people: features of each group [groups, values].
        network: of people's and the situation's numbers to a logit for each asked action.
        actions: that it was fitted to; the others are as if never asked about: nobody isolates, everybody works.
    """

    people: Float[Array, "groups values"]
    network: Layers
    actions: tuple[str, ...] = eqx.field(static=True)

    def chances(self, key: PRNGKeyArray, situation: Situation, parameters: Mapping[str, Array]) -> Array:
        """What the network gives."""
        s = situation
        known = jnp.broadcast_to(_known(s.cases, s.change, s.months, s.payment, jnp), (self.people.shape[0], KNOWN))
        asked = jax.nn.sigmoid(jax.vmap(self.network)(jnp.concatenate([self.people, known], axis=1)))
        rest = {"isolate": jnp.zeros(asked.shape[0]), "work": jnp.ones(asked.shape[0])}
        rows = rest | {name: asked[:, k] for k, name in enumerate(self.actions)}
        return jnp.stack([rows[name] for name in ACTIONS])


@dataclass(frozen=True)
class Fidelity:
    """How well a policy stands in for the answers, on decisions that were held out.

    Attributes:
        kl: mean divergence of the policy from the answers' shares, in nats.
        brier: mean squared distance of the two.
        chance: the part of ``brier`` that the answers' own sampling explains; a perfect policy would have that much.
        constant: ``brier`` of one probability for everybody, always.
        items: archetypes x decisions x actions that it is a mean of.
    """

    kl: float
    brier: float
    chance: float
    constant: float
    items: int

    @property
    def explained(self) -> float:
        """Share of what can be explained that is: 0 as a constant, 1 as well as chance allows."""
        room = self.constant - self.chance
        return (self.constant - self.brier) / room if room > 0 else 1.0


@dataclass(frozen=True)
class Distilled:
    """A policy and what it lost."""

    policy: Policy
    fidelity: Fidelity


def distil(decisions: Sequence[Decision], labels: Names, *, hidden: int = 0, seed: int = 0) -> Distilled:
    """Fit a policy to answers.

    Args:
        decisions: of one or more runs, all with the same actions; each HELD_OUT-th week is held out.
        labels: of the people's variables, as ``People.labels`` has them.
        hidden: width of the hidden layer; 0 for a logistic model, which a few thousand answers fit better.
        seed: of the first weights.

    Raises:
        InputError: too few weeks to hold any out, or decisions on different actions.
    """
    actions = {d.answers.actions for d in decisions}
    if len(actions) != 1:
        raise InputError("decisions", sorted(actions), "Give decisions on the same actions.")
    kept = [d for d in decisions if d.week % HELD_OUT != HELD_OUT - 1]
    held = [d for d in decisions if d.week % HELD_OUT == HELD_OUT - 1]
    if not held:
        raise InputError("decisions", len(decisions), f"Give at least {HELD_OUT} weeks, so that one can be held out.")
    asked = next(iter(actions))
    fitted, fresh = _rows(kept, labels), _rows(held, labels)
    network = _fit(_begun(fitted[0].shape[1], hidden, len(asked), seed), *(jnp.asarray(x) for x in fitted))
    policy = Policy(jnp.asarray(_features(_all_values(labels), labels)), network, asked)
    return Distilled(policy, _fidelity(network, fitted, fresh))


def curve_gap(one: Simulation, other: Simulation, name: str) -> float:
    """Mean distance of two mean curves, as a share of the mean of the other; 0 if both are nothing."""
    first, second = (s.series[name].mean(0) for s in (one, other))
    size = float(second.mean())
    gap = float(np.abs(first - second).mean())
    return gap / size if size else float(gap > 0)


def _features(values: NDArray[np.int64], labels: Names) -> NDArray[np.float32]:
    """One number for each value of each variable [archetypes, values]."""
    parts = [np.eye(len(names), dtype=np.float32)[values[:, k]] for k, names in enumerate(labels.values())]
    return np.concatenate(parts, axis=1)


def _all_values(labels: Names) -> NDArray[np.int64]:
    """Every conceivable archetype, in the order of ``Archetypes.cell``."""
    shape = [len(names) for names in labels.values()]
    return np.stack(np.unravel_index(np.arange(int(np.prod(shape))), shape), axis=1).astype(np.int64)


def _known(cases: Any, change: Any, months: Any, payment: Any, of: Any) -> Any:
    """A situation as numbers of order one."""
    return of.stack([of.log1p(cases) / 5, of.clip(change / 100, -2, 2), months / 6, payment])


def _rows(decisions: Sequence[Decision], labels: Names) -> Rows:
    """Inputs [rows, values], and yes and readable answers [rows, actions]."""
    inputs, yes, read = [], [], []
    for d in decisions:
        people = _features(d.archetypes.values, labels)
        s = d.situation
        cases, change, months, payment = (np.float32(x) for x in (s.cases, s.change, s.months, s.payment))
        known = _known(cases, change, months, payment, np)
        inputs.append(np.concatenate([people, np.broadcast_to(known, (len(people), KNOWN))], axis=1))
        yes.append(d.answers.yes.T)
        read.append(d.answers.read.T)
    whole = [np.concatenate(x).astype(np.float32) for x in (inputs, yes, read)]
    return whole[0], whole[1], whole[2]


def _begun(values: int, hidden: int, actions: int, seed: int) -> Layers:
    sizes = (values, hidden, actions) if hidden else (values, actions)
    keys = jax.random.split(jax.random.key(seed % 2**32), len(sizes))
    return Layers(tuple(eqx.nn.Linear(a, b, key=k) for a, b, k in zip(sizes, sizes[1:], keys, strict=False)))


@eqx.filter_jit
def _fit(network: Layers, inputs: Array, yes: Array, read: Array) -> Layers:
    """Least cross-entropy of all answers, by Adam on all of them at once."""
    rule = optax.adamw(optax.cosine_decay_schedule(RATE, STEPS), weight_decay=DECAY)
    weights, form = eqx.partition(network, eqx.is_array)

    def loss(weights: Any) -> Array:
        logit = jax.vmap(eqx.combine(weights, form))(inputs)
        each = yes * jax.nn.softplus(-logit) + (read - yes) * jax.nn.softplus(logit)
        return each.sum() / jnp.maximum(read.sum(), 1.0)

    def step(carry: Any, _: None) -> tuple[Any, None]:
        weights, memory = carry
        change, memory = rule.update(jax.grad(loss)(weights), memory, weights)
        return (optax.apply_updates(weights, change), memory), None

    (weights, _), _ = jax.lax.scan(step, (weights, rule.init(weights)), None, STEPS)
    result: Layers = eqx.combine(weights, form)
    return result


def _fidelity(network: Layers, fitted: Rows, held: Rows) -> Fidelity:
    inputs, yes, read = held
    there = read > 0
    share = np.where(there, yes / np.maximum(read, 1), 0.0)
    q = np.clip(np.asarray(jax.nn.sigmoid(jax.vmap(network)(jnp.asarray(inputs))), np.float64), _EDGE, 1 - _EDGE)
    p = np.clip(share, _EDGE, 1 - _EDGE)
    kl = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
    level = fitted[1].sum(0) / np.maximum(fitted[2].sum(0), 1)
    # Of n answers the share has variance p (1 - p) / n, and share (1 - share) / (n - 1) is its unbiased estimate.
    sampling = share * (1 - share) / np.maximum(read - 1, 1)
    return Fidelity(
        kl=float(kl[there].mean()),
        brier=float(((share - q) ** 2)[there].mean()),
        chance=float(sampling[there].mean()),
        constant=float(((share - level) ** 2)[there].mean()),
        items=int(there.sum()),
    )
