"""The five soft scores of AgentsNet, *solved*, and the score over tasks.

All scorers take batches of coded answers [batch, n] (see ``problems.encode``) and return scores [batch] in 0..1.
Rules as in the paper's code (arXiv 2507.08616, ``get_score``), with one defect mended: a vertex cover in which nobody
says Yes scores 0 (there the code divides by zero). One property of the code is kept on purpose: while a cover is
incomplete no Yes counts as superfluous, so the score is the coverage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoal.errors import UnknownName
from shoal.teams.message_passing.graphs import Graph
from shoal.teams.message_passing.problems import INVALID, SINGLE, encode

Codes = NDArray[np.int64]
Scores = NDArray[np.float64]

SOLVED = 1 - 1e-9
"""A score from here on is 1: ratios of whole numbers, so nothing else lies in between."""


def score(task: str, graph: Graph, codes: Codes) -> Scores:
    """Soft scores [batch] of coded answers [batch, n] or [n]. Raises UnknownName for an unknown task."""
    if task not in _SCORERS:
        raise UnknownName("message-passing task", task, _SCORERS)
    batch = np.atleast_2d(np.asarray(codes, np.int64))
    if batch.shape[1] != graph.n:
        raise ValueError(f"{graph.n} nodes, but answers of shape {batch.shape}")
    return _SCORERS[task](graph, batch)


def score_answers(task: str, graph: Graph, answers: Sequence[str | None]) -> float:
    """Soft score of one team's answers as text."""
    return float(score(task, graph, encode(task, graph, answers))[0])


def solved(scores: Scores | float) -> NDArray[np.bool_]:
    """Whether scores are 1."""
    return np.asarray(scores) >= SOLVED


def _colouring(graph: Graph, codes: Codes) -> Scores:
    """Share of edges between different groups; 0 if any answer is invalid."""
    valid = ((codes >= 1) & (codes <= graph.max_degree + 1)).all(axis=1)
    u, v = graph.edges.T
    return np.asarray(valid * (codes[:, u] != codes[:, v]).mean(axis=1))


def _vertex_cover(graph: Graph, codes: Codes) -> Scores:
    """Share of covered edges times the share of Yes nodes that the cover cannot spare; None counts as No."""
    yes = codes == 1
    u, v = graph.edges.T
    coverage = (yes[:, u] | yes[:, v]).mean(axis=1)
    # A member of a full cover is needed if and only if one of its neighbours is outside.
    beside_outside = (graph.adjacency @ (~yes).astype(np.int32).T).T > 0
    full = coverage >= SOLVED
    needed = (yes & (beside_outside | ~full[:, None])).sum(axis=1)
    members = yes.sum(axis=1)
    return np.asarray(coverage * needed / np.maximum(members, 1))


def _matching(graph: Graph, codes: Codes) -> Scores:
    """Share of nodes whose answer agrees with their neighbours' answers."""
    n = graph.n
    me = np.arange(n)
    named = codes >= 0
    partner = np.where(named, codes, 0)
    beside = np.asarray(graph.adjacency[np.broadcast_to(me, codes.shape).ravel(), partner.ravel()]).reshape(codes.shape)
    mutual = np.take_along_axis(codes, partner, axis=1) == me
    single = codes == SINGLE
    two_singles = single & ((graph.adjacency @ single.astype(np.int32).T).T > 0)
    bad = (named & ~((beside > 0) & mutual)) | two_singles | (codes == INVALID)
    return np.asarray(1 - bad.sum(axis=1) / n)


def _leader(graph: Graph, codes: Codes) -> Scores:
    """1 if all answers are valid and exactly one is Yes."""
    valid = ((codes == 0) | (codes == 1)).all(axis=1)
    return np.asarray(valid & ((codes == 1).sum(axis=1) == 1), float)


def _consensus(graph: Graph, codes: Codes) -> Scores:
    """1 if all answers are valid and equal."""
    valid = ((codes == 0) | (codes == 1)).all(axis=1)
    return np.asarray(valid & (codes == codes[:, :1]).all(axis=1), float)


_SCORERS: dict[str, Callable[[Graph, Codes], Scores]] = {
    "colouring": _colouring,
    "vertex-cover": _vertex_cover,
    "matching": _matching,
    "leader": _leader,
    "consensus": _consensus,
}


@dataclass(frozen=True, slots=True)
class AgentsNetScore:
    """Mean over the five tasks, then over graphs.

    Attributes:
        mean: the score, in 0..1.
        standard_error: of the mean over graphs; NaN for one graph.
        graphs: how many graphs.
    """

    mean: float
    standard_error: float
    graphs: int

    def __str__(self) -> str:
        return f"{self.mean:.2f} ({self.standard_error:.2f})"


def agentsnet_score(by_task: Mapping[str, Sequence[float] | Scores]) -> AgentsNetScore:
    """The AgentsNet score of per-graph scores by task; every task needs the same graphs in the same order."""
    per_graph = np.mean([np.asarray(values, float) for values in by_task.values()], axis=0)
    error = float(per_graph.std(ddof=1) / np.sqrt(per_graph.size)) if per_graph.size > 1 else float("nan")
    return AgentsNetScore(float(per_graph.mean()), error, int(per_graph.size))
