"""A tracer that learns: a small network scores the steps of an incident, trained by group-relative policy gradient.

The reward is that of GraphTracer's page, after AgenTracer (arXiv 2509.03312): lambda * exp(-d^2 / (2 sigma^2)) for the
undirected graph distance d between the named and the true step, plus (1 - lambda) * F1 of the ways to the failure; 0
where the two are not connected. Eight answers are drawn for each incident; an answer's advantage is its reward less the
group's mean, over the group's deviation (GRPO); the policy is held near its start by a KL penalty of 0.01.

Departures: a network of a thousand weights over graph features stands for the 8B language model. Its answers always
have the right format, answers are drawn and used once (no clipping is needed), and the KL term is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.diagnosis.deep_search import SearchRun, SearchWorld, Sees, incident, search_runs
from shoal.diagnosis.incident import Blame, Incident
from shoal.diagnosis.information import distances, overlap, ways
from shoal.diagnosis.tracing import clean_above, closure
from shoal.diagnosis.usage import UsageGraph

if TYPE_CHECKING:
    import equinox as eqx
    import jax

Floats = NDArray[np.float64]
NEVER = -1e9
"""Logit of steps that are not there."""


@dataclass(frozen=True)
class TracerSettings:
    """How a tracer is trained.

    Attributes:
        hidden: units of each of two layers.
        updates: gradient steps.
        batch: incidents in each.
        samples: answers drawn for each incident.
        learning_rate: of Adam.
        kl: weight of the divergence from the untrained policy.
        source_weight: lambda, the weight of the distance to the true step; the rest is the way's.
        width: sigma, in edges.
    """

    hidden: int = 32
    updates: int = 600
    batch: int = 64
    samples: int = 8
    learning_rate: float = 3e-3
    kl: float = 0.01
    source_weight: float = 0.5
    width: float = 1.0


@dataclass(frozen=True)
class Labelled:
    """An incident whose cause is known: the step, and the way from it to the failure."""

    incident: Incident
    root: int
    path: tuple[int, ...]


class Lesson(NamedTuple):
    """Incidents as arrays, padded to the longest.

    Attributes:
        features: of each step [incidents, steps, features].
        there: whether the step exists [incidents, steps].
        reward: of naming each step [incidents, steps].
        root: the true step [incidents].
    """

    features: NDArray[np.float32]
    there: NDArray[np.bool_]
    reward: NDArray[np.float32]
    root: NDArray[np.int64]


@dataclass(frozen=True)
class Tracer:
    """A scorer of steps.

    Attributes:
        network: features of one step -> its logit.
        centre: mean of each feature in training [features].
        scale: deviation of each feature in training [features].
    """

    network: eqx.nn.MLP
    centre: Floats
    scale: Floats

    def logits(self, features: NDArray[Any]) -> Floats:
        """Logit of each step [..., steps] from its features [..., steps, features]."""
        rows = (features - self.centre) / self.scale
        *inner, last = self.network.layers
        for layer in inner:  # in numpy: incidents of every length without compiling anew
            rows = np.tanh(rows @ np.asarray(layer.weight).T + np.asarray(layer.bias))
        return np.asarray((rows @ np.asarray(last.weight).T + np.asarray(last.bias))[..., 0], float)

    def blame(self, incident: Incident) -> Blame:
        """The policy: the chance of naming each step [steps]; steps of nobody are never named."""
        logits = np.full(incident.size, NEVER)
        own = incident.blamable
        logits[own] = self.logits(features(incident))[own]
        weight = np.exp(logits - logits.max())
        return np.asarray(weight / weight.sum(), float)

    def pick(self, lesson: Lesson) -> NDArray[np.int64]:
        """The likeliest step of each incident [incidents]."""
        return np.asarray(np.where(lesson.there, self.logits(lesson.features), NEVER).argmax(axis=1))


def features(incident: Incident) -> Floats:
    """What the network sees of each step [steps, 13]: suspicion of it and around it, and its place in the graph."""
    graph, q = incident.graph, np.clip(incident.suspicion, 1e-3, 1 - 1e-3)
    odds = np.log(q / (1 - q))
    below = _descendants(graph)
    counts = below.sum(axis=1)
    parents = np.array([max((q[e.source] for e in graph.parents(s)), default=0.0) for s in range(graph.size)])
    uses = np.array([len(graph.children(s)) for s in range(graph.size)], float)
    inside = closure(graph, incident.terminal)
    steps = np.array([len(way) for way in ways(graph, incident.terminal)], float)
    return np.stack(
        [
            odds,
            odds - odds.mean(),
            parents,
            np.log(clean_above(q, graph)),
            below @ (odds - odds.mean()) / np.sqrt(1 + counts),
            below.T @ (odds - odds.mean()) / np.sqrt(1 + below.sum(axis=0)),
            uses,
            np.log1p(incident.between),
            incident.impact,
            inside,
            steps,
            counts / graph.size,
            np.arange(graph.size) / max(1, graph.size - 1),
        ],
        axis=1,
    )


def rewards(labelled: Labelled, settings: TracerSettings) -> Floats:
    """The reward of naming each step of an incident [steps], in [0, 1]."""
    graph, terminal = labelled.incident.graph, labelled.incident.terminal
    apart = distances(graph)[labelled.root]
    near = np.exp(-(np.where(np.isfinite(apart), apart, np.inf) ** 2) / (2 * settings.width**2))
    same_way = np.array([overlap(way, list(labelled.path)) for way in ways(graph, terminal)])
    both = settings.source_weight * near + (1 - settings.source_weight) * same_way
    return np.asarray(np.where(np.isfinite(apart), both, 0.0), float)


def lesson(examples: Sequence[Labelled], settings: TracerSettings, longest: int = 0) -> Lesson:
    """Incidents with known causes as arrays to learn from or to be tested on, padded to ``longest`` steps or more."""
    longest = max(longest, *(e.incident.size for e in examples))
    seen = [features(e.incident) for e in examples]
    shape = (len(examples), longest)
    found = Lesson(
        np.zeros((*shape, seen[0].shape[1]), np.float32), np.zeros(shape, bool), np.zeros(shape, np.float32),
        np.array([e.root for e in examples]),
    )  # fmt: skip
    for row, (example, rows) in enumerate(zip(examples, seen, strict=True)):
        found.features[row, : len(rows)] = rows
        found.there[row, example.incident.blamable] = True
        found.reward[row, : len(rows)] = rewards(example, settings)
    return found


def untrained(lesson: Lesson, settings: TracerSettings, seed: int) -> Tracer:
    """A tracer with random weights; features are scaled as in the lesson."""
    import equinox as eqx
    import jax

    rows = lesson.features[lesson.there]
    count = rows.shape[1]
    network = eqx.nn.MLP(count, "scalar", settings.hidden, 2, activation=jax.nn.tanh, key=jax.random.key(seed % 2**32))
    return Tracer(network, rows.mean(axis=0).astype(float), np.maximum(rows.std(axis=0), 1e-6).astype(float))


def train(start: Tracer, lesson: Lesson, settings: TracerSettings, seed: int) -> Tracer:
    """The tracer after training on a lesson, with group-relative policy gradient."""
    import jax
    import jax.numpy as jnp

    scaled = ((lesson.features - start.centre) / start.scale).astype(np.float32)
    data = tuple(jnp.asarray(part) for part in (scaled, lesson.there, lesson.reward))
    return replace(start, network=_trainer(settings)(start.network, data, jax.random.key(seed % 2**32)))


def labelled(run: SearchRun, auc: float, seed: int, sees: Sees) -> Labelled:
    """A made-up run with its label."""
    return Labelled(incident(run, auc, seed, sees), run.root, tuple(run.path))


def relabelled(example: Labelled, seed: int) -> Labelled:
    """The control: another step that the failure was made from, drawn at random, passes for the cause."""
    inside = np.flatnonzero(closure(example.incident.graph, example.incident.terminal))[:-1]
    root = int(np.random.default_rng(seed).choice(inside))
    return Labelled(example.incident, root, tuple(ways(example.incident.graph, example.incident.terminal)[root]))


@cache
def standard_tracer(seed: int = 0) -> Tracer:
    """The tracer of ``--with tracer``: trained on made-up runs, here and now, half with each kind of judge."""
    settings = TracerSettings()
    kinds: tuple[Sees, ...] = ("errors", "faults")
    runs = search_runs(SearchWorld(planting="impact"), 600, seed)
    taught = lesson([labelled(run, 0.75, i, kinds[i % 2]) for i, run in enumerate(runs)], settings)
    return train(untrained(taught, settings, seed), taught, settings, seed)


def _descendants(graph: UsageGraph) -> NDArray[np.bool_]:
    """Whether the second step was made from the first [steps, steps]."""
    below = np.zeros((graph.size, graph.size), bool)
    for step in range(graph.size - 1, -1, -1):
        for edge in graph.children(step):
            below[step] |= below[edge.target]
            below[step, edge.target] = True
    return below


@cache
def _trainer(settings: TracerSettings) -> Callable[..., eqx.nn.MLP]:
    """The training loop, compiled once for each shape of a lesson."""
    import equinox as eqx
    import jax
    import jax.numpy as jnp
    import optax  # type: ignore[import-untyped]

    optimiser = optax.adam(settings.learning_rate)

    def policy(network: eqx.nn.MLP, seen: jax.Array, there: jax.Array) -> jax.Array:
        logits = jax.vmap(jax.vmap(network))(seen)
        return jax.nn.log_softmax(jnp.where(there, logits, NEVER), axis=1)

    def loss(network: eqx.nn.MLP, start: eqx.nn.MLP, part: tuple[jax.Array, ...], key: jax.Array) -> jax.Array:
        seen, there, reward = part
        log_chance, before = policy(network, seen, there), policy(start, seen, there)
        drawn = jax.random.categorical(key, log_chance, shape=(settings.samples, len(seen))).T
        earned = jnp.take_along_axis(reward, drawn, axis=1)
        centred = earned - earned.mean(axis=1, keepdims=True)
        advantage = centred / (earned.std(axis=1, keepdims=True) + 1e-4)
        gain = (advantage * jnp.take_along_axis(log_chance, drawn, axis=1)).mean()
        departure = jnp.where(there, jnp.exp(log_chance) * (log_chance - before), 0.0).sum(axis=1).mean()
        return settings.kl * departure - gain

    @eqx.filter_jit
    def train(start: eqx.nn.MLP, data: tuple[jax.Array, ...], key: jax.Array) -> eqx.nn.MLP:
        first, form = eqx.partition(start, eqx.is_array)

        def update(state: Any, key: jax.Array) -> tuple[Any, None]:
            weights, momentum = state
            rows, draws = jax.random.split(key)
            chosen = jax.random.randint(rows, (settings.batch,), 0, len(data[0]))
            network = eqx.combine(weights, form)
            slope = eqx.filter_grad(loss)(network, start, tuple(part[chosen] for part in data), draws)
            step, momentum = optimiser.update(eqx.filter(slope, eqx.is_array), momentum)
            return (optax.apply_updates(weights, step), momentum), None

        keys = jax.random.split(key, settings.updates)
        (weights, _), _ = jax.lax.scan(update, (first, optimiser.init(first)), keys)
        trained: eqx.nn.MLP = eqx.combine(weights, form)
        return trained

    return train
