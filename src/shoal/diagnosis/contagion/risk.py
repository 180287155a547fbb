"""The early warning: will a small error grow, who should not be the one to make it, and whom it reaches anyway.

Linearised at small s an error grows by (1 - delta) + beta rho per round, so it amplifies where R = beta rho / delta is
above 1 (rho is the spectral radius of the message graph). R is blind to graphs without cycles: rho is 0 there, and one
error still travels to the end. Reach is therefore part of every answer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.diagnosis.contagion.graphs import message_graph, reached
from shoal.errors import InputError

MOST_STEPS = 20_000
EXACT_REACH = 1000
"""Agents up to which the reach of everybody is counted to find the worst seed of a graph without cycles."""


@dataclass(frozen=True, slots=True)
class Risk:
    """How dangerous an error is on a graph.

    Attributes:
        agents: how many.
        beta: chance of passing on.
        delta: chance of mending.
        rho: spectral radius of the graph.
        growth: factor by which a small error grows each round.
        ratio: R = beta rho / delta; infinite where nothing mends.
        seed: the most dangerous agent to err.
        reach: agents downstream of it.
    """

    agents: int
    beta: float
    delta: float
    rho: float
    growth: float
    ratio: float
    seed: int
    reach: int

    @property
    def amplifies(self) -> bool:
        """Whether small errors grow."""
        return self.ratio > 1

    def sentence(self, names: Sequence[str] = ()) -> str:
        """The verdict in words; never "safe", because what does not grow still travels."""
        who = names[self.seed] if names else f"agent {self.seed}"
        travels = f"one made by {who} reaches {self.reach} of {self.agents - 1} others"
        if self.rho == 0:
            return f"R = 0 (rho = 0): no cycle of messages amplifies an error, yet {travels}."
        if self.ratio == 0:
            return f"R = 0 (beta = 0): nothing was passed on, though {travels} if that changes."
        rate = f"a small error grows by {self.growth:.2f} a round"
        if math.isinf(self.ratio):
            return f"R is infinite (rho = {self.rho:.2f}, delta = 0: nothing mends): {rate}; {travels}."
        trend = f"{rate};" if self.amplifies else f"a small error shrinks to {self.growth:.2f} a round, yet"
        return (
            f"R = {self.ratio:.2f} (beta {self.beta:.2f} x rho {self.rho:.2f} / delta {self.delta:.2f}): "
            f"{trend} {travels}."
        )


def risk(adjacency: Any, beta: float, delta: float, seed: int | None = None) -> Risk:
    """The risk of a graph.

    Args:
        adjacency: [n, n], row i holds i's in-neighbours.
        beta: chance of passing on, in [0, 1].
        delta: chance of mending, in [0, 1].
        seed: who errs; the most dangerous agent if left out.

    Raises:
        InputError: a chance is outside [0, 1], or the table is no graph.
    """
    for name, value in (("beta", beta), ("delta", delta)):
        if not 0 <= value <= 1:
            raise InputError(name, value, "It is a chance per round: give a number from 0 to 1.")
    graph = message_graph(adjacency)
    rho = spectral_radius(graph)
    pressure = beta * rho
    ratio = pressure / delta if delta else math.inf if pressure else 0.0
    worst = dangerous_seed(graph) if seed is None else seed
    return Risk(graph.shape[0], beta, delta, rho, 1 - delta + pressure, ratio, worst, len(reached(graph, worst)))


def spectral_radius(adjacency: Any, tolerance: float = 1e-12) -> float:
    """rho(A) by power iteration on A + I, which also converges where eigenvalues come in pairs (stars, rings).

    Only edges inside strongly connected parts count: the others lie on no cycle and change no eigenvalue, but would
    slow the iteration down without end.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    graph = message_graph(adjacency)
    _, part = connected_components(graph, directed=True, connection="strong")
    rows = np.repeat(np.arange(graph.shape[0]), np.diff(graph.indptr))
    inside = part[rows] == part[graph.indices]
    if not inside.any():
        return 0.0
    cycles = csr_array((np.ones(inside.sum()), (rows[inside], graph.indices[inside])), shape=graph.shape)
    return _iterate(cycles, tolerance)[0]


def principal_vector(adjacency: Any, tolerance: float = 1e-12) -> NDArray[np.float64]:
    """u_1 [n], not negative, of length 1: where a growing error gathers; of the transposed graph: who spreads it."""
    return _iterate(message_graph(adjacency).astype(float), tolerance)[1]


def dangerous_seed(adjacency: Any, by: str = "spreading") -> int:
    """The agent whose error does most harm.

    Args:
        adjacency: [n, n], row i holds i's in-neighbours.
        by: "spreading" takes the greatest entry of the principal eigenvector of the transposed graph (what one error
            there comes to in the long run); "gathering" that of the graph itself, as the paper writes. They agree where
            messages go both ways. Where no cycle amplifies, it is the agent of greatest reach.

    Raises:
        InputError: ``by`` is neither.
    """
    graph = message_graph(adjacency)
    if spectral_radius(graph) == 0 and graph.shape[0] <= EXACT_REACH:
        return int(np.argmax([len(reached(graph, k)) for k in range(graph.shape[0])]))
    if by not in ("spreading", "gathering"):
        raise InputError("by", by, "Use spreading or gathering.")
    vector = principal_vector(graph.T.tocsr() if by == "spreading" else graph)
    return int(np.argmax(np.round(vector, 9)))


def _iterate(table: Any, tolerance: float) -> tuple[float, NDArray[np.float64]]:
    vector = np.full(table.shape[0], table.shape[0] ** -0.5)
    size = 0.0
    for _ in range(MOST_STEPS):
        grown = table @ vector + vector
        before, size = size, float(np.linalg.norm(grown))
        grown /= size
        moved = float(np.abs(grown - vector).max())
        vector = grown
        if abs(size - before) <= tolerance * size and moved <= tolerance**0.5:
            break
    return size - 1, vector
