"""Tracing a failure along the usage graph instead of along time, and the graphs that such tracing is compared on.

The rule is step 5 of GraphTracer's page: q(v) * prod over parents (1 - q(u)) * (0.5 + 0.5 * weight(v)), the greatest of
them among the steps that the failing one was made from. A symptom has a suspicious parent and falls behind its cause.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shoal.diagnosis.usage import UsageEdge, UsageGraph


def trace_back(
    suspicion: NDArray[np.float64],
    graph: UsageGraph,
    weight: NDArray[np.float64] | None = None,
    terminal: int | None = None,
) -> NDArray[np.float64]:
    """How much each step is to blame [steps], at least 0.

    Args:
        suspicion: q(v), the chance that a step is wrong [steps].
        graph: who used what; edges count by their confidence.
        weight: importance of each step in [0, 1] [steps]; None leaves the factor out.
        terminal: the failing step: steps that it was not made from get 0. None takes all steps.
    """
    score = suspicion * clean_above(suspicion, graph)
    if weight is not None:
        score = score * (0.5 + 0.5 * weight)
    if terminal is not None:
        score = np.where(closure(graph, terminal), score, 0.0)
    return np.asarray(score, float)


def clean_above(suspicion: NDArray[np.float64], graph: UsageGraph) -> NDArray[np.float64]:
    """The chance that all parents of a step are right, taken as independent [steps]."""
    clean = np.ones(graph.size)
    for edge in graph.edges:
        clean[edge.target] *= 1.0 - suspicion[edge.source] * edge.confidence
    return clean


def closure(graph: UsageGraph, terminal: int) -> NDArray[np.bool_]:
    """Whether the terminal is the step or was made from it [steps]."""
    found = np.zeros(graph.size, bool)
    found[[terminal, *graph.ancestors(terminal)]] = True
    return found


def chain(size: int) -> UsageGraph:
    """The graph in which each step used the one before it: what reading in order of time assumes."""
    return UsageGraph(size, [UsageEdge(t, t + 1, "order", 1.0) for t in range(size - 1)])


def shuffled(graph: UsageGraph, seed: int) -> UsageGraph:
    """A graph with as many edges into each step, from earlier steps drawn at random."""
    rng = np.random.default_rng(seed)
    edges = []
    for step in range(graph.size):
        above = graph.parents(step)
        drawn = rng.choice(step, len(above), replace=False) if above else ()
        edges += [UsageEdge(int(s), step, e.origin, e.confidence) for s, e in zip(drawn, above, strict=True)]
    return UsageGraph(graph.size, edges)
