"""A few agents of a population and the ties among them, to look at."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError
from shoal.populations.networks import Network


@dataclass(frozen=True)
class Sample:
    """Some agents.

    Attributes:
        agents: their numbers, ascending [size].
        place: where to draw each [size, 2], from -1 to 1.
        ties: pairs of positions in ``agents``, by network; each pair once.
    """

    agents: NDArray[np.int64]
    place: NDArray[np.float64]
    ties: dict[str, list[tuple[int, int]]]


def networks_of(population: Any) -> dict[str, Network]:
    """The networks among the fields of a population's state, by the field's name."""
    if not dataclasses.is_dataclass(population):
        return {}
    fields = {f.name: getattr(population, f.name) for f in dataclasses.fields(population)}
    return {name: value for name, value in fields.items() if isinstance(value, Network) and value.ties}


def snowball(networks: Mapping[str, Network], size: int = 80, seed: int = 0) -> Sample:
    """Neighbours of neighbours of one agent with a tie, nearest first, until there are ``size``.

    Args:
        networks: over the same agents.
        size: most agents.
        seed: of the first one, and of the drawing.

    Raises:
        InputError: no ties at all, or fewer than 2 agents asked for.
    """
    if size < 2:
        raise InputError("sample size", size, "Ask for at least 2.")
    tables = {name: (np.asarray(net.offsets), np.asarray(net.neighbours)) for name, net in networks.items()}
    tied = np.flatnonzero(sum(np.diff(offsets) for offsets, _ in tables.values())) if tables else np.zeros(0)
    if not tied.size:
        raise InputError("networks", list(networks), "There are no ties to show.")
    first = int(tied[np.random.default_rng(seed).integers(tied.size)])
    found, waiting = {first}, [first]
    while waiting and len(found) < size:
        agent = waiting.pop(0)
        for offsets, neighbours in tables.values():
            for other in neighbours[offsets[agent] : offsets[agent + 1]].tolist():
                if other not in found and len(found) < size:
                    found.add(other)
                    waiting.append(other)
    agents = sorted(found)
    position = {agent: i for i, agent in enumerate(agents)}
    ties = {
        name: [
            (position[a], position[b])
            for a in agents
            for b in neighbours[offsets[a] : offsets[a + 1]].tolist()
            if a < b and b in position
        ]
        for name, (offsets, neighbours) in tables.items()
    }
    return Sample(np.array(agents), _places(len(agents), ties, seed), ties)


def _places(count: int, ties: Mapping[str, list[tuple[int, int]]], seed: int) -> NDArray[np.float64]:
    """Tied agents near each other (Fruchterman and Reingold 1991)."""
    import networkx as nx

    graph: nx.Graph[int] = nx.Graph()
    graph.add_nodes_from(range(count))
    graph.add_edges_from(pair for pairs in ties.values() for pair in pairs)
    found = nx.spring_layout(graph, seed=seed, iterations=80)
    return np.array([found[i] for i in range(count)])
