"""Small graphs for the tests of message passing, and the rules of its tasks written a second time."""

from __future__ import annotations

import networkx as nx
from hypothesis import strategies as st

from shoal.teams.message_passing import Graph, graph_from_edges


@st.composite
def connected_graphs(draw: st.DrawFn) -> Graph:
    """Any connected graph of 2 to 10 nodes: a random tree and random edges on top."""
    n = draw(st.integers(2, 10))
    tree = [(draw(st.integers(0, v - 1)), v) for v in range(1, n)]
    more = draw(st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=15))
    return graph_from_edges(n, [*tree, *((u, v) for u, v in more if u != v)], seed=draw(st.integers(0, 99)))


def as_networkx(graph: Graph) -> nx.Graph:
    return nx.Graph([(int(u), int(v)) for u, v in graph.edges])


def plain_score(task: str, graph: Graph, answers: list[str | None]) -> float:
    """The rules of the page, written a second time, node by node."""
    n = graph.n
    edges = [(int(u), int(v)) for u, v in graph.edges]
    if task == "colouring":
        groups = {f"Group {k}" for k in range(1, graph.max_degree + 2)}
        if any(a not in groups for a in answers):
            return 0.0
        return sum(answers[u] != answers[v] for u, v in edges) / len(edges)
    if task == "vertex-cover":
        members = {v for v in range(n) if answers[v] == "Yes"}
        if not members:
            return 0.0

        def covered(chosen: set[int]) -> int:
            return sum(u in chosen or v in chosen for u, v in edges)

        needed = sum(covered(members - {v}) < len(edges) for v in members)
        return covered(members) / len(edges) * needed / len(members)
    if task == "matching":
        bad = 0
        for v in range(n):
            mine = answers[v]
            beside = {graph.names[u]: answers[u] for u in graph.neighbours[v]}
            bad += "None" in beside.values() if mine == "None" else beside.get(mine or "") != graph.names[v]
        return (n - bad) / n
    if task == "leader":
        return float(all(a in ("Yes", "No") for a in answers) and answers.count("Yes") == 1)
    return float(all(a in ("0", "1") for a in answers) and len(set(answers)) == 1)
