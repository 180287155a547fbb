"""Contagion of errors: spectral radius, spread against enumeration, risk, and fitted rates."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.diagnosis.contagion.estimation import fit
from shoal.diagnosis.contagion.graphs import message_graph, random_graph, reached, topology
from shoal.diagnosis.contagion.risk import dangerous_seed, principal_vector, risk, spectral_radius
from shoal.diagnosis.contagion.spread import corrected, false_consensus, mean_field, polluted_rounds, seeded, simulate
from shoal.errors import InputError


@pytest.mark.parametrize("form", ["product", "poisson"])
@pytest.mark.parametrize("ratio", [0.5, 1.2, 2.4])
def test_growth_from_a_small_seed_is_one_minus_delta_plus_beta_rho(form: Any, ratio: float) -> None:
    for k in range(5):
        graph = random_graph(30, 4, np.random.default_rng(k), connected=True)
        rho = spectral_radius(graph)
        beta, delta = ratio * 0.3 / rho, 0.3
        path = mean_field(graph, beta, delta, 0.001 * principal_vector(graph), 200, form).sum(axis=1)
        assert path[1:4] / path[:3] == pytest.approx(1 - delta + beta * rho, rel=0.02)
        assert path[-1] > 10 * path[0] if ratio > 1 else path[-1] < path[0] / 100


@pytest.mark.parametrize(
    ("graph", "rho"),
    [(topology("star", 10), 3.0), (topology("mesh", 7), 6.0), (topology("ring", 8), 2.0), (topology("ring", 7), 2.0),
     (topology("chain", 9), 0.0), (topology("chain", 9, self_loops=True), 1.0)],
)  # fmt: skip
def test_spectral_radius_is_exact(graph: Any, rho: float) -> None:
    assert spectral_radius(graph) == pytest.approx(rho, abs=1e-6)


@given(st.integers(0, 10_000))
@settings(max_examples=30)
def test_spectral_radius_of_directed_graphs_agrees_with_dense_eigenvalues(seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = (rng.random((8, 8)) < 0.25).astype(int)
    expected = np.abs(np.linalg.eigvals(table.astype(float))).max()
    # A defective eigenvalue 0 of the dense solver is only good to the eighth root of the rounding error.
    assert spectral_radius(table) == pytest.approx(expected, abs=2e-2 if spectral_radius(table) == 0 else 1e-5)


def exact_coverage(table: np.ndarray, beta: float, delta: float, start: np.ndarray, rounds: int) -> list[float]:
    """Mean share of infected agents by round, over all 2^n states."""
    n = len(table)
    states = list(product((0, 1), repeat=n))
    chance = {s: float(s == tuple(int(x) for x in start)) for s in states}
    path = [sum(p * sum(s) for s, p in chance.items()) / n]
    for _ in range(rounds):
        after = dict.fromkeys(states, 0.0)
        for state, weight in chance.items():
            if weight:
                infected = table @ np.array(state)
                up = [1 - delta if state[i] else 1 - (1 - beta) ** infected[i] for i in range(n)]
                for s in states:
                    after[s] += weight * math.prod(up[i] if s[i] else 1 - up[i] for i in range(n))
        chance = after
        path.append(sum(p * sum(s) for s, p in chance.items()) / n)
    return path


@pytest.mark.parametrize("graph", [topology("star", 4), topology("chain", 4), topology("mesh", 3)])
def test_simulation_agrees_with_enumeration_and_the_mean_field_lies_above(graph: Any) -> None:
    n, runs = graph.shape[0], 40_000
    start = seeded(n, 0)
    expected = exact_coverage(graph.toarray().astype(int), 0.4, 0.3, start, 5)
    found = simulate(graph, 0.4, 0.3, start, 5, runs, np.random.default_rng(1))
    assert found.coverage.mean(axis=0) == pytest.approx(expected, abs=5 * 0.5 / math.sqrt(runs))
    field = mean_field(graph, 0.4, 0.3, start, 5).mean(axis=1)
    assert (field >= np.array(expected) - 1e-12).all()


def test_certain_chances_need_no_luck() -> None:
    graph = topology("chain", 5)
    found = simulate(graph, 1.0, 0.0, seeded(5, 0), 4, 3, np.random.default_rng(0), keep=True)
    assert found.states is not None
    assert (found.states.sum(axis=2) == np.arange(1, 6)).all() and (found.frequency == 1).all()
    assert mean_field(graph, 1.0, 0.0, seeded(5, 0), 4).sum(axis=1) == pytest.approx([1, 2, 3, 4, 5])
    dropped = simulate(graph, 0.0, 1.0, seeded(5, 0), 2, 3, np.random.default_rng(0))
    assert (dropped.coverage[:, 1:] == 0).all()


def test_many_neighbours_are_counted_beyond_a_byte() -> None:
    found = simulate(topology("star", 400), 0.001, 0.0, ~seeded(400, 0), 1, 2000, np.random.default_rng(0), keep=True)
    assert found.states is not None
    assert found.states[:, 1, 0].mean() == pytest.approx(1 - 0.999**399, abs=0.05)


def test_a_graph_without_cycles_has_no_r_but_reach() -> None:
    warning = risk(topology("chain", 6), 0.8, 0.1)
    assert (warning.rho, warning.ratio, warning.seed, warning.reach) == (0.0, 0.0, 0, 5)
    assert "safe" not in warning.sentence() and "reaches 5 of 5" in warning.sentence()
    assert list(reached(topology("chain", 6), 3)) == [4, 5]
    nothing = risk(topology("star", 5), 0.3, 0.0)
    assert nothing.ratio == math.inf and nothing.amplifies and "infinite" in nothing.sentence(list("abcde"))
    assert "grows by 1.40" in risk(topology("ring", 6), 0.3, 0.2).sentence()
    assert "shrinks" in risk(topology("ring", 6), 0.05, 0.2).sentence()


def test_edges_point_into_rows_so_the_dangerous_seed_is_who_is_read() -> None:
    table = np.zeros((5, 5), int)
    table[1:, 0] = table[0, 4] = table[1, 4] = table[1, 2] = 1  # everybody reads 0, which reads 4; 1 reads most
    assert dangerous_seed(table) == 0 and dangerous_seed(table, by="gathering") == 1
    assert dangerous_seed(table.T, by="gathering") == 0
    assert dangerous_seed(topology("star", 6)) == dangerous_seed(topology("star", 6), by="gathering") == 0
    with pytest.raises(InputError, match="spreading"):
        dangerous_seed(topology("star", 6), by="luck")


def test_corrections_and_pollution_are_counted() -> None:
    assert corrected(5, 0.1, 2, 0.9).tolist() == [0.1, 0.1, 0.9, 0.9, 0.9]
    coverage = np.array([[1.0, 0.6, 0.6, 0.2], [0.2, 0.6, 0.2, 0.6]])
    assert polluted_rounds(coverage, 0.5).tolist() == [2, 2]
    assert false_consensus(coverage, 0.5, 3).tolist() == [True, False]


@pytest.mark.parametrize("kind", ["star", "chain", "ring"])
def test_rates_are_fitted(kind: str) -> None:
    rng = np.random.default_rng(3)
    graph = topology(kind, 6)
    runs = simulate(graph, 0.35, 0.25, seeded(6, 0), 8, 300, rng, keep=True)
    assert runs.states is not None
    found = fit(graph, runs.states, rng)
    for estimate, true in ((found.beta, 0.35), (found.delta, 0.25)):
        assert estimate.low - 0.02 < true < estimate.high + 0.02 and estimate.high - estimate.low < 0.15
    assert fit(graph, runs.states, rng, "poisson").beta.value > found.beta.value  # -log(1 - beta) at one neighbour


def test_fitting_without_anything_to_see() -> None:
    graph, rng = topology("chain", 3), np.random.default_rng(0)
    quiet = fit(graph, np.zeros((2, 3, 3)), rng)
    assert math.isnan(quiet.beta.value) and math.isnan(quiet.delta.value) and quiet.exposures == 0
    sure = fit(graph, [[[1, 0, 0], [1, 1, 0], [1, 1, 1]]], rng)
    assert (sure.beta.value, sure.delta.value) == (1.0, 0.0)


@pytest.mark.parametrize(
    "call",
    [
        lambda: mean_field(topology("star", 4), 1.2, 0.1, np.zeros(4), 3),
        lambda: mean_field(topology("star", 4), 0.2, -0.1, np.zeros(4), 3),
        lambda: mean_field(topology("star", 4), float("nan"), 0.1, np.zeros(4), 3),
        lambda: mean_field(topology("star", 4), [0.1, 0.2], 0.1, np.zeros(4), 3),
        lambda: mean_field(topology("star", 4), 0.2, 0.1, np.full(4, 2.0), 3),
        lambda: mean_field(np.zeros((3, 4)), 0.2, 0.1, np.zeros(4), 3),
        lambda: message_graph(np.zeros((0, 0))),
        lambda: message_graph([[0, 2], [1, 0]]),
        lambda: simulate(topology("star", 4), 0.2, 0.1, np.zeros(5), 3, 2, np.random.default_rng(0)),
        lambda: risk(topology("star", 4), 0.2, 1.5),
        lambda: topology("tree", 4),
        lambda: topology("star", 1),
        lambda: random_graph(5, 9, np.random.default_rng(0)),
        lambda: fit(topology("star", 4), np.zeros((2, 3, 5)), np.random.default_rng(0)),
    ],
)
def test_bad_input_is_named(call: Any) -> None:
    with pytest.raises(InputError) as problem:
        call()
    assert problem.value.field and problem.value.mend
