"""Graphs of messages: a_ij = 1 where the output of j enters the context of i, so in-neighbours are the rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError

if TYPE_CHECKING:
    from scipy.sparse import csr_array

TOPOLOGIES = ("chain", "star", "mesh", "ring")


def message_graph(adjacency: Any) -> csr_array:
    """The graph as a sparse table [n, n] of ones, checked.

    Args:
        adjacency: dense or sparse, square, of zeros and ones; ones on the diagonal are agents that read their own
            output again.

    Raises:
        InputError: it is not square, is empty, or holds something else than 0 and 1.
    """
    from scipy.sparse import csr_array, issparse

    table: Any = adjacency if issparse(adjacency) else np.asarray(adjacency)
    if table.ndim != 2 or table.shape[0] != table.shape[1] or table.shape[0] == 0:
        raise InputError("adjacency", tuple(table.shape), "Give a square table: one row and one column for each agent.")
    graph = csr_array(table)
    graph.sum_duplicates()
    graph.eliminate_zeros()
    odd = graph.data[(graph.data != 1) & (graph.data != True)]  # noqa: E712
    if odd.size:
        raise InputError("adjacency", odd[0].item(), "Give 1 where j's output enters i's context, 0 elsewhere.")
    return csr_array((np.ones(graph.nnz, np.uint8), graph.indices, graph.indptr), shape=graph.shape)


def topology(name: str, agents: int, self_loops: bool = False) -> csr_array:
    """A named graph.

    Args:
        name: "chain" (each to the next, one way), "star" (agent 0 to and from all others), "mesh" (all to all) or
            "ring" (each to and from both neighbours).
        agents: how many, at least 2.
        self_loops: whether agents reread their own output.

    Raises:
        InputError: an unknown name, or fewer than two agents.
    """
    if name not in TOPOLOGIES:
        raise InputError("topology", name, f"Use one of {', '.join(TOPOLOGIES)}.")
    if agents < 2:
        raise InputError("agents", agents, "A team has at least 2 agents.")
    table = np.zeros((agents, agents), np.uint8)
    places = np.arange(agents)
    if name == "chain":
        table[places[1:], places[:-1]] = 1
    elif name == "star":
        table[0, 1:] = table[1:, 0] = 1
    elif name == "mesh":
        table[:] = 1
    else:
        table[places, places - 1] = table[places - 1, places] = 1
    np.fill_diagonal(table, int(self_loops))
    return message_graph(table)


def random_graph(agents: int, degree: float, rng: np.random.Generator, connected: bool = False) -> csr_array:
    """A symmetric random graph with that mean degree: pairs drawn uniformly, repeated ones dropped.

    Args:
        agents: how many.
        degree: mean number of neighbours, above 0 and below ``agents``.
        rng: source of the pairs.
        connected: lay a ring in random order under it, so that every agent reaches every other.

    Raises:
        InputError: a mean degree that no such graph has.
    """
    from scipy.sparse import coo_array

    if not 0 < degree < agents:
        raise InputError("degree", degree, f"Give a mean degree above 0 and below the number of agents, {agents}.")
    pairs = rng.integers(0, agents, (2, round(agents * degree / 2)))
    if connected:
        order = rng.permutation(agents)
        pairs = np.concatenate([pairs, [order, np.roll(order, 1)]], axis=1)
    first, second = pairs[:, pairs[0] != pairs[1]]
    rows, columns = np.concatenate([first, second]), np.concatenate([second, first])
    drawn = coo_array((np.ones(rows.size, np.int32), (rows, columns)), shape=(agents, agents)).tocsr()
    drawn.data[:] = 1  # conversion has added repeated pairs up
    return message_graph(drawn)


def reached(graph: csr_array, seed: int) -> NDArray[np.intp]:
    """Agents downstream of the seed over any number of messages, the seed left out."""
    from scipy.sparse.csgraph import breadth_first_order

    order = breadth_first_order(graph.T.tocsr(), seed, directed=True, return_predecessors=False)
    return np.asarray(order[1:], np.intp)
