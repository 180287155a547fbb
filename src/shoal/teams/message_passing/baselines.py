"""What every table is read against: random answers, and a solver that sees the whole graph."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shoal.errors import UnknownName
from shoal.teams.message_passing.graphs import Graph
from shoal.teams.message_passing.problems import SINGLE, TASKS

Codes = NDArray[np.int64]


def random_answers(task: str, graph: Graph, rng: np.random.Generator, draws: int = 1) -> Codes:
    """Coded answers [draws, n] of nodes that answer without having talked.

    Uniform over the valid answers, except that a node calls itself leader with chance 1/n, which is the best that
    nodes without names, identifiers or messages can do.

    Raises:
        UnknownName: no such task.
    """
    n, shape = graph.n, (draws, graph.n)
    if task == "colouring":
        return rng.integers(1, graph.max_degree + 2, shape)
    if task in ("vertex-cover", "consensus"):
        return rng.integers(0, 2, shape)
    if task == "leader":
        return (rng.random(shape) < 1 / n).astype(np.int64)
    if task == "matching":
        degrees = np.array([len(around) for around in graph.neighbours])
        choices = np.full((n, int(degrees.max()) + 1), SINGLE, np.int64)
        for node, around in enumerate(graph.neighbours):
            choices[node, : len(around)] = around
        pick = rng.integers(0, degrees + 1, shape)
        return np.asarray(choices[np.arange(n), pick])
    raise UnknownName("message-passing task", task, TASKS)


def central_answers(task: str, graph: Graph) -> Codes:
    """Coded answers [n] of a greedy solver that sees the whole graph; always a full solution.

    Raises:
        UnknownName: no such task.
    """
    n = graph.n
    codes = np.zeros(n, np.int64)
    if task == "colouring":
        for node, around in enumerate(graph.neighbours):
            taken = {int(codes[u]) for u in around}
            codes[node] = next(c for c in range(1, graph.max_degree + 2) if c not in taken)
    elif task == "vertex-cover":
        independent: set[int] = set()
        for node, around in enumerate(graph.neighbours):
            if independent.isdisjoint(around):
                independent.add(node)
        codes[:] = 1
        codes[sorted(independent)] = 0
    elif task == "matching":
        codes[:] = SINGLE
        for u, v in graph.edges:
            if codes[u] == SINGLE and codes[v] == SINGLE:
                codes[u], codes[v] = v, u
    elif task == "leader":
        codes[0] = 1
    elif task != "consensus":
        raise UnknownName("message-passing task", task, TASKS)
    return codes
