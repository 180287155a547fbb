"""Objectives for consensus optimisation: f(x) is the mean of f_i(x), and agent i can only query its own f_i.

The family is that of the benchmark on which MASOIE and LAC-MAS (arXiv 2605.00691) are compared:
f_i(x) = g(R (x - x*)) + sigma * a_i . R (x - x*), with an orthogonal R and a_i that sum to 0, so that the linear terms
pull the agents apart and cancel in the mean. g is one of elliptic, Rosenbrock, Schwefel 1.2 and Griewank with the
oscillation and asymmetry transforms of the CEC suites (Hansen et al. 2009); where two are named, agents alternate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import ArrayLike, NDArray

from shoal.games.game import require

BOX = 100.0
"""Points lie within plus and minus this in every direction."""
FUNCTIONS = ("elliptic", "rosenbrock", "schwefel", "griewank")
GRAPHS = ("ring", "random", "grid")
POWER, LOSS, UNIT = 30.0, 2.0, 1.0
"""Of the localisation model: transmitted power, path loss exponent, reference distance."""


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["rotation", "optimum", "conflict", "sensors", "heard"],
    meta_fields=["kinds"],
)
@dataclass(frozen=True)
class Objectives:
    """One problem for each of some seeds.

    Attributes:
        kinds: function of each agent, by index in FUNCTIONS; empty for localisation.
        rotation: orthogonal [seeds, dimensions, dimensions].
        optimum: of the mean, without conflict [seeds, dimensions].
        conflict: linear terms, sigma included [seeds, agents, dimensions]; sums to 0 over agents.
        sensors: places of the sensors [seeds, agents, 2]; none but in localisation.
        heard: what they hear of each target [seeds, agents, targets].
    """

    kinds: tuple[int, ...]
    rotation: Any
    optimum: Any
    conflict: Any
    sensors: Any
    heard: Any

    @property
    def agents(self) -> int:
        """How many."""
        return int(self.heard.shape[-2])

    @property
    def dimensions(self) -> int:
        """Of a point."""
        return int(self.optimum.shape[-1])


def consensus_objectives(
    functions: Sequence[str], seeds: Sequence[int], *, agents: int = 10, dimensions: int = 30, conflict: float = 10.0
) -> Objectives:
    """Problems of the family.

    Args:
        functions: one or two of FUNCTIONS.
        seeds: of the problems, one each.
        agents: at least 2.
        dimensions: at least 2.
        conflict: sigma.
    """
    for name in functions:
        require("functions", name, name in FUNCTIONS, f"Use one of: {', '.join(FUNCTIONS)}.")
    require("functions", list(functions), 1 <= len(functions) <= 2, "Name one or two.")
    _require_size(agents, dimensions, seeds)
    drawn = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        rotation = np.linalg.qr(rng.normal(size=(dimensions, dimensions)))[0]
        pull = rng.normal(size=(agents, dimensions))
        drawn.append((rotation, rng.uniform(-0.8 * BOX, 0.8 * BOX, dimensions), conflict * (pull - pull.mean(0))))
    rotation, optimum, pulls = (np.stack(x) for x in zip(*drawn, strict=True))
    kinds = tuple(FUNCTIONS.index(functions[i % len(functions)]) for i in range(agents))
    none = np.zeros((len(seeds), agents, 0))
    return Objectives(kinds, rotation, optimum, pulls, none, none)


def localisation(targets: int, seeds: Sequence[int], *, agents: int = 10, noise: float = 0.5) -> Objectives:
    """Where are the targets? Each sensor knows how loud each one is where it stands, with noise in decibels."""
    _require_size(agents, 2 * targets, seeds)
    drawn = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        sensors, places = rng.uniform(-BOX, BOX, (agents, 2)), rng.uniform(-0.9 * BOX, 0.9 * BOX, (targets, 2))
        heard = loudness(sensors[:, None], places[None]) + noise * rng.normal(size=(agents, targets))
        drawn.append((places.ravel(), sensors, np.asarray(heard)))
    optimum, sensors, heard = (np.stack(x) for x in zip(*drawn, strict=True))
    none = np.zeros((len(seeds), 0, 0))
    return Objectives((), none, optimum, none, sensors, heard)


def loudness(sensors: Any, places: Any) -> Any:
    """Received power in decibels at a distance of at least the reference."""
    near = jnp.sqrt(((sensors - places) ** 2).sum(-1))
    return POWER - 10 * LOSS * jnp.log10(jnp.maximum(near, UNIT) / UNIT)


def local_values(
    problem: Objectives, points: Float[Array, "agents particles dimensions"]
) -> Float[Array, "agents particles"]:
    """f_i of each agent's own points, for one seed."""
    if not problem.kinds:
        places = points.reshape(*points.shape[:2], -1, 2)
        told = loudness(problem.sensors[:, None, None], places)
        errors: Array = ((problem.heard[:, None] - told) ** 2).sum(-1)
        return errors
    z = (points - problem.optimum) @ problem.rotation.T
    linear = jnp.einsum("npd,nd->np", z, problem.conflict)
    first, *others = sorted(set(problem.kinds))
    value = _SHAPES[first](z)
    for kind in others:
        value = jnp.where((jnp.array(problem.kinds) == kind)[:, None], _SHAPES[kind](z), value)
    return value + linear


def mean_value(problem: Objectives, points: Float[Array, "points dimensions"]) -> Float[Array, " points"]:
    """F of points, for one seed."""
    everybody = jnp.broadcast_to(points, (problem.agents, *points.shape))
    return local_values(problem, everybody).mean(0)


def oscillated(z: Array) -> Array:
    """T_osz: small smooth irregularities."""
    log = jnp.log(jnp.where(z == 0, 1.0, jnp.abs(z)))
    fast, slow = jnp.where(z > 0, 10.0, 5.5), jnp.where(z > 0, 7.9, 3.1)
    return jnp.sign(z) * jnp.exp(log + 0.049 * (jnp.sin(fast * log) + jnp.sin(slow * log)))


def asymmetric(z: Array, beta: float = 0.2) -> Array:
    """T_asy: positive values grow faster in later directions."""
    share = jnp.arange(z.shape[-1]) / (z.shape[-1] - 1)
    positive = jnp.maximum(z, 0.0)
    return jnp.where(z > 0, positive ** (1 + beta * share * jnp.sqrt(positive)), z)


def _elliptic(z: Array) -> Array:
    return (1e6 ** (jnp.arange(z.shape[-1]) / (z.shape[-1] - 1)) * oscillated(z) ** 2).sum(-1)


def _rosenbrock(z: Array) -> Array:
    y = z + 1.0
    return (100 * (y[..., :-1] ** 2 - y[..., 1:]) ** 2 + (y[..., :-1] - 1) ** 2).sum(-1)


def _schwefel(z: Array) -> Array:
    return (jnp.cumsum(asymmetric(oscillated(z)), -1) ** 2).sum(-1)


def _griewank(z: Array) -> Array:
    return 1 + (z**2).sum(-1) / 4000 - jnp.cos(z / jnp.sqrt(jnp.arange(1, z.shape[-1] + 1))).prod(-1)


_SHAPES = (_elliptic, _rosenbrock, _schwefel, _griewank)


def mixing(graph: str | ArrayLike, agents: int, seed: int = 0) -> NDArray[np.float64]:
    """Row-stochastic weights [agents, agents]: half for oneself, the rest in equal parts for the neighbours.

    Args:
        graph: ring, random (a ring's path in random order with as many further edges), grid, or an adjacency matrix.
        agents: how many.
        seed: of the random graph.

    Raises:
        InputError: an unknown graph, or one that is not symmetric or not connected.
    """
    near = _adjacency(graph, agents, seed) if isinstance(graph, str) else np.asarray(graph) != 0
    require("graph", near.shape, near.shape == (agents, agents), f"Give a matrix of {agents} x {agents}.")
    require("graph", "not symmetric", bool((near == near.T).all()), "Neighbours are neighbours of each other.")
    near = near & ~np.eye(agents, dtype=bool)
    reach = np.linalg.matrix_power((near | np.eye(agents, dtype=bool)).astype(float), agents) > 0
    require("graph", "not connected", bool(reach.all()), "Everybody must be reachable; add edges.")
    return np.asarray(0.5 * np.eye(agents) + 0.5 * near / near.sum(1, keepdims=True))


def _adjacency(graph: str, agents: int, seed: int) -> NDArray[np.bool_]:
    require("graph", graph, graph in GRAPHS, f"Use one of: {', '.join(GRAPHS)}.")
    near = np.zeros((agents, agents), bool)
    if graph == "grid":
        side = max(k for k in range(1, int(agents**0.5) + 1) if agents % k == 0)
        place = np.stack(np.divmod(np.arange(agents), agents // side), 1)
        return np.asarray(np.abs(place[:, None] - place[None]).sum(-1) == 1)
    rng = np.random.default_rng(seed)
    order = np.arange(agents) if graph == "ring" else rng.permutation(agents)
    pairs = list(zip(order, np.roll(order, -1), strict=True))[: None if graph == "ring" else -1]
    if graph == "random":
        pairs += [(i, j) for i, j in rng.integers(agents, size=(agents, 2)) if i != j]
    for i, j in pairs:
        near[i, j] = near[j, i] = True
    return near


def _require_size(agents: int, dimensions: int, seeds: Sequence[int]) -> None:
    require("agents", agents, agents >= 2, "Consensus needs at least 2.")
    require("dimensions", dimensions, dimensions >= 2, "Use at least 2.")
    require("seeds", list(seeds), len(seeds) >= 1, "Give at least one seed.")
