"""How a falsehood spreads: the mean field of "From Spark to Fire" (arXiv 2603.04474, section III) and a simulation.

s_i(t + 1) = (1 - delta) s_i(t) + (1 - s_i(t)) f_i(t), where f_i is the chance that one of i's in-neighbours passes the
falsehood on. The simulation draws each adoption and each recovery instead of carrying probabilities; it keeps what the
mean field loses, that neighbours are infected together or not at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.diagnosis.contagion.graphs import message_graph
from shoal.errors import InputError

Form = Literal["product", "poisson"]
Chance = float | ArrayLike
Array = NDArray[np.float64]
BLOCK = 1 << 20
"""Cells that are drawn at a time: small enough to stay in the cache."""


@dataclass(frozen=True)
class Epidemic:
    """Simulated runs.

    Attributes:
        coverage: share of agents that use the falsehood [runs, rounds + 1].
        frequency: how often each agent used it at the end, over runs [n].
        states: who used it when [runs, rounds + 1, n], where that was asked for.
    """

    coverage: Array
    frequency: Array
    states: NDArray[np.bool_] | None = None


def mean_field(
    adjacency: Any, beta: Chance, delta: Chance, start: ArrayLike, rounds: int, form: Form = "product"
) -> Array:
    """Chance that each agent uses the falsehood, round by round [rounds + 1, n].

    Args:
        adjacency: [n, n], row i holds i's in-neighbours.
        beta: chance of passing on per infected in-neighbour and round, in [0, 1]; one number, or one per round.
        delta: chance of forgetting or mending per round, in [0, 1]; one number, or one per round.
        start: s(0) [n], each in [0, 1].
        rounds: how many.
        form: "product": f_i = 1 - prod_j (1 - beta s_j); "poisson": f_i = 1 - exp(-beta sum_j s_j).

    Raises:
        InputError: a chance is outside [0, 1], or the start does not fit the graph.
    """
    graph = message_graph(adjacency).astype(float)
    betas, deltas = per_round(beta, "beta", rounds), per_round(delta, "delta", rounds)
    s = np.asarray(start, float)
    if s.shape != (graph.shape[0],) or not ((s >= 0) & (s <= 1)).all():
        raise InputError("start", s.shape, f"Give one chance in [0, 1] for each of the {graph.shape[0]} agents.")
    path = np.empty((rounds + 1, s.size))
    path[0] = s
    for t in range(rounds):
        if form == "product":
            with np.errstate(divide="ignore"):  # a neighbour that passes on for certain: log 0 = -inf, f = 1
                hazard = -(graph @ np.log1p(-betas[t] * path[t]))
        else:
            hazard = betas[t] * (graph @ path[t])
        path[t + 1] = (1 - deltas[t]) * path[t] + (1 - path[t]) * -np.expm1(-hazard)
    return path


def simulate(
    adjacency: Any,
    beta: Chance,
    delta: Chance,
    start: ArrayLike,
    rounds: int,
    runs: int,
    rng: np.random.Generator,
    *,
    form: Form = "product",
    keep: bool = False,
) -> Epidemic:
    """Monte Carlo of the same process: adoption and recovery are drawn, all runs side by side.

    One product of the sparse graph with the table of states counts everybody's infected neighbours in all runs; what
    happens then depends on that count alone, so chances are looked up, not computed.

    Args:
        adjacency: [n, n], row i holds i's in-neighbours.
        beta: as in ``mean_field``.
        delta: as in ``mean_field``.
        start: who uses the falsehood at the start [n] or, for each run, [runs, n].
        rounds: how many.
        runs: how many.
        rng: source of all draws.
        form: as in ``mean_field``.
        keep: whether to keep all states.

    Raises:
        InputError: a start of another size, or a value out of range.
    """
    graph = message_graph(adjacency)
    agents = graph.shape[0]
    betas, deltas = per_round(beta, "beta", rounds), per_round(delta, "delta", rounds)
    first = np.asarray(start, bool)
    if first.shape not in ((agents,), (runs, agents)):
        raise InputError("start", first.shape, f"Give a yes or no for each of the {agents} agents, or for each run.")
    most = int(np.diff(graph.indptr).max(initial=0))
    narrow = np.uint8 if most < 256 else np.uint16 if most < 65536 else np.uint32
    graph = graph.astype(narrow)
    state = np.ascontiguousarray(np.broadcast_to(first, (runs, agents)).T.astype(narrow))
    coverage = np.empty((runs, rounds + 1))
    coverage[:, 0] = state.mean(axis=0)
    states = np.empty((runs, rounds + 1, agents), bool) if keep else None
    if states is not None:
        states[:, 0] = state.T
    for t in range(rounds):
        chances = np.array([_adoption(betas[t], np.arange(most + 1), form), np.full(most + 1, 1 - deltas[t])])
        _advance(state, graph @ state, chances.astype(np.float32), rng)
        coverage[:, t + 1] = state.mean(axis=0)
        if states is not None:
            states[:, t + 1] = state.T
    return Epidemic(coverage, state.mean(axis=1), states)


def seeded(agents: int, *seeds: int) -> NDArray[np.bool_]:
    """A start in which these agents use the falsehood [n]."""
    start = np.zeros(agents, bool)
    start[list(seeds)] = True
    return start


def corrected(rounds: int, delta: float, correction: int, strength: float) -> Array:
    """Delta by round [rounds]: as given, and ``strength`` from round ``correction`` on (somebody has spoken up)."""
    return np.where(np.arange(rounds) < correction, delta, strength)


def polluted_rounds(coverage: Array, threshold: float = 0.0) -> Array:
    """Rounds of each run in which more than that share of agents used the falsehood [runs]; round 0 is not counted."""
    return np.asarray((coverage[:, 1:] > threshold).sum(axis=1), float)


def false_consensus(coverage: Array, threshold: float = 0.5, rounds: int = 2) -> NDArray[np.bool_]:
    """Whether S stayed above the threshold for so many rounds on end [runs]; the paper gives neither number."""
    high = coverage > threshold
    run = np.zeros(len(high), int)
    found = np.zeros(len(high), bool)
    for column in high.T:
        run = np.where(column, run + 1, 0)
        found |= run >= rounds
    return found


def per_round(chance: Chance, name: str, rounds: int) -> Array:
    """A chance for each round [rounds]. Raises InputError where one is no chance."""
    given = np.asarray(chance, float)
    if given.ndim > 1 or (given.ndim == 1 and given.size != rounds):
        raise InputError(name, given.shape, f"Give one chance, or one for each of the {rounds} rounds.")
    wrong = given[~((given >= 0) & (given <= 1))] if given.ndim else given[None][~((given >= 0) & (given <= 1))[None]]
    if wrong.size:
        raise InputError(name, wrong[0].item(), "It is a chance per round: give a number from 0 to 1.")
    return np.broadcast_to(given, (rounds,))


def _adoption(beta: float, infected: NDArray[np.intp], form: Form) -> Array:
    """Chance to adopt by number of infected in-neighbours."""
    return np.asarray(1 - (1 - beta) ** infected if form == "product" else -np.expm1(-beta * infected))


def _advance(state: Any, counts: Any, chances: NDArray[np.float32], rng: np.random.Generator) -> None:
    """Draw everybody's next state in place; ``chances`` [2, most + 1] by own state and infected neighbours."""
    table, width = chances.ravel(), chances.shape[1]
    rows = max(1, BLOCK // state.shape[1])
    for at in range(0, len(state), rows):
        part = state[at : at + rows]
        index = part.astype(np.intp)
        index *= width
        index += counts[at : at + rows]
        np.less(rng.random(part.shape, dtype=np.float32), table.take(index), out=part, casting="unsafe")
