"""SelfOrg's mechanism: formulas, graphs, and a second implementation of the whole loop."""

from __future__ import annotations

import heapq
from itertools import permutations
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.errors import InputError, UnknownName
from shoal.models.embedders import pair_auc
from shoal.teams.self_organisation.contribution import (
    aggregate,
    consensus,
    contributions,
    shapley_values,
    similarities,
    unit_rows,
    within_question_auc,
)
from shoal.teams.self_organisation.graph import (
    break_cycles,
    build_graph,
    calibrated_threshold,
    code_edges,
    random_graph,
    resolve_threshold,
    topological_order,
)
from shoal.teams.self_organisation.population import (
    Population,
    Rules,
    chain,
    contribution_gap,
    debate,
    draw,
    embed,
    self_organise_population,
    single,
    vote,
)

TWO_AND_ONE = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
SEEDS = st.integers(0, 2**32 - 1)


def random_rows(seed: int, agents: int = 5, dimensions: int = 6) -> Any:
    return unit_rows(np.random.default_rng(seed).standard_normal((agents, dimensions)))


# --- contributions


def test_paper_contribution_is_the_cosine_with_the_mean() -> None:
    assert contributions(TWO_AND_ONE) == pytest.approx([2 / 5**0.5, 2 / 5**0.5, 1 / 5**0.5])


def test_code_contribution_is_a_softmax_of_clipped_cosines() -> None:
    raw = np.exp(np.array([2, 2, 1]) / 5**0.5 / 0.1)
    assert contributions(TWO_AND_ONE, "code") == pytest.approx(raw / raw.sum())
    opposed = np.array([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])  # cosines 1, 1, -1; the last is clipped to 0
    raw = np.exp(np.array([10.0, 10.0, 0.0]))
    assert contributions(opposed, "code") == pytest.approx(raw / raw.sum())


@pytest.mark.parametrize("rule", ["paper", "code"])
def test_empty_answers_contribute_nothing_and_all_empty_is_uniform(rule: Any) -> None:
    psi = contributions(np.vstack([TWO_AND_ONE, np.zeros(2)]), rule)
    assert psi[3] == 0 and (psi[:3] > 0).all()
    assert contributions(np.zeros((4, 3)), rule) == pytest.approx([0.25] * 4)
    cancelling = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0]])
    assert contributions(cancelling, rule) == pytest.approx([0.5, 0.5, 0.0])


@given(SEEDS)
def test_contributions_follow_a_permutation_and_ignore_a_rotation(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = random_rows(seed)
    order = rng.permutation(5)
    rotation, _ = np.linalg.qr(rng.standard_normal((6, 6)))
    for rule in ("paper", "code"):
        psi = contributions(rows, rule)  # type: ignore[arg-type]
        assert contributions(rows[order], rule) == pytest.approx(psi[order])  # type: ignore[arg-type]
        assert contributions(rows @ rotation, rule) == pytest.approx(psi, abs=1e-9)  # type: ignore[arg-type]
    assert contributions(rows, "code").sum() == pytest.approx(1)


def test_equal_answers_tie_exactly() -> None:
    row = np.random.default_rng(3).standard_normal(384)
    rows = unit_rows(np.stack([row, row + 0.1, row, row]))
    psi = contributions(rows)
    assert psi[0] == psi[2] == psi[3]


def test_unknown_rules_and_temperatures_are_refused() -> None:
    with pytest.raises(UnknownName):
        contributions(TWO_AND_ONE, "papr")  # type: ignore[arg-type]
    with pytest.raises(InputError):
        contributions(TWO_AND_ONE, "code", temperature=0)
    with pytest.raises(UnknownName):
        aggregate(TWO_AND_ONE, np.ones(3), "median")  # type: ignore[arg-type]


def shapley_by_permutations(rows: Any) -> Any:
    """The other definition: the mean marginal value over all orders of joining."""
    mean = rows.mean(axis=0)

    def value(members: tuple[int, ...]) -> float:
        if not members:
            return 0.0
        total = rows[list(members)].mean(axis=0)
        return float(total @ mean / np.linalg.norm(total) / np.linalg.norm(mean))

    n = len(rows)
    gains = np.zeros(n)
    orders = list(permutations(range(n)))
    for order in orders:
        for place, agent in enumerate(order):
            gains[agent] += value(order[: place + 1]) - value(order[:place])
    return gains / len(orders)


@given(SEEDS)
@settings(max_examples=20, deadline=None)
def test_shapley_agrees_with_a_second_definition_and_is_efficient(seed: int) -> None:
    rows = unit_rows(np.abs(random_rows(seed, agents=5)))
    phi = shapley_values(rows)
    assert phi == pytest.approx(shapley_by_permutations(rows))
    assert phi.sum() == pytest.approx(1)  # v(everybody) = 1
    batch = np.stack([rows, rows[::-1]])
    assert shapley_values(batch)[1] == pytest.approx(phi[::-1])


def test_shapley_refuses_large_teams() -> None:
    with pytest.raises(InputError, match="14"):
        shapley_values(np.eye(15))


# --- step 8 and 9


def test_centre_and_highest_contribution_can_differ() -> None:
    rows = unit_rows(np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.1], [0.0, 1.0, -0.1]]))
    psi = np.array([0.4, 0.3, 0.3])
    assert aggregate(rows, psi, "highest") == 0
    assert aggregate(rows, psi, "centre") == 1  # two answers that agree outweigh the best one


def test_an_empty_answer_is_never_chosen_while_there_is_another() -> None:
    rows = np.array([[0.0, 0.0], [-1.0, 0.0], [1.0, 0.0]])
    assert aggregate(rows, np.array([0.0, 0.0, 0.0])) == 1
    assert aggregate(rows, np.array([0.9, 0.0, 0.0]), "highest") == 1
    assert aggregate(np.zeros((3, 2)), np.ones(3)) == 0


def test_consensus_needs_both_similarity_and_equal_contributions() -> None:
    same = np.tile([1.0, 0.0], (3, 1))
    assert consensus(same, np.ones(3))
    assert not consensus(same, np.array([1.0, 0.8, 1.0]), spread=0.1)
    assert not consensus(TWO_AND_ONE, np.ones(3))
    assert consensus(np.array([[1.0, 0.0]]), np.ones(1))
    both = np.stack([same, TWO_AND_ONE])
    assert consensus(both, np.ones((2, 3))).tolist() == [True, False]


def test_within_question_auc_agrees_with_the_pooled_measure_on_one_question() -> None:
    rng = np.random.default_rng(0)
    rows = unit_rows(rng.standard_normal((30, 6, 3)))
    labels = rng.integers(0, 3, (30, 6))
    expected = [pair_auc(r, list(x)) for r, x in zip(rows, labels, strict=True)]
    kept = [value for value in expected if np.isfinite(value)]
    assert within_question_auc(rows, labels) == pytest.approx(kept)
    missing = np.array([[0, 0, 1, -1]])
    assert within_question_auc(np.array([[[1.0, 0], [1, 0], [0, 1], [1, 0]]]), missing) == pytest.approx([1.0])


# --- graph


@given(SEEDS)
def test_the_paper_rule_is_exactly_threshold_and_strict_order(seed: int) -> None:
    rows = random_rows(seed)
    psi = contributions(rows)
    graph = build_graph(rows, psi, threshold=0.0)
    for m in range(5):
        for n in range(5):
            wanted = rows[m] @ rows[n] >= 0 and psi[m] > psi[n] and m != n
            assert graph.edges[m, n] == wanted
    assert graph.order.tolist() == sorted(range(5), key=lambda n: (-psi[n], n))


def code_edges_by_hand(rows: Any, psi: Any, threshold: float, k: int) -> dict[tuple[int, int], float]:
    n = len(rows)
    edges = {}
    for target in range(n):
        rated = [
            (-(rows[j] @ rows[target]) * (1 + n * (psi[j] - psi[target])), j)
            for j in range(n)
            if j != target and round(float(rows[j] @ rows[target]), 12) >= threshold
        ]
        edges.update({(j, target): max(0.0, -value) for value, j in sorted(rated)[:k]})
    return edges


@given(SEEDS, st.sampled_from([-1.0, -0.2, 0.3]), st.integers(1, 4))
def test_code_edges_agree_with_a_plain_reading_of_the_rule(seed: int, threshold: float, k: int) -> None:
    rows = random_rows(seed)
    psi = contributions(rows, "code")
    edges, weights = code_edges(similarities(rows), psi, threshold, k)
    by_hand = code_edges_by_hand(rows, psi, threshold, k)
    assert {(int(m), int(n)) for m, n in np.argwhere(edges)} == set(by_hand)
    for (m, n), weight in by_hand.items():
        assert weights[m, n] == pytest.approx(weight, abs=1e-9)


def test_the_code_rule_makes_cycles_and_the_weakest_edge_breaks_them() -> None:
    rows = unit_rows(np.array([[1.0, 0.0], [0.9, 0.3]]))
    psi = np.array([0.6, 0.4])
    edges, weights = code_edges(similarities(rows), psi, -1.0, 1)
    assert edges[0, 1] and edges[1, 0] and weights[0, 1] > weights[1, 0]
    graph = build_graph(rows, psi, rule="code", neighbours=1)
    assert graph.edges.tolist() == [[False, True], [False, False]]
    assert graph.weights[1, 0] == 0 and graph.order.tolist() == [0, 1]


def test_the_paper_cycle_rule_cuts_from_the_weakest_to_the_strongest() -> None:
    psi = np.array([0.9, 0.5, 0.2])
    cycle = np.zeros((3, 3), bool)
    cycle[0, 1] = cycle[1, 2] = cycle[2, 0] = True
    left = break_cycles(cycle, psi[:, None] - psi[None, :])
    assert np.argwhere(cycle & ~left).tolist() == [[2, 0]]


def break_cycles_by_hand(edges: dict[tuple[int, int], float], n: int) -> set[tuple[int, int]]:
    """One edge at a time: the cheapest of those that lie on a cycle, found by path search."""
    graph: nx.DiGraph[int] = nx.DiGraph()
    graph.add_nodes_from(range(n))
    graph.add_edges_from(edges)
    while not nx.is_directed_acyclic_graph(graph):
        looping = [e for e in graph.edges if nx.has_path(graph, e[1], e[0])]
        graph.remove_edge(*min(looping, key=lambda e: (edges[e], e)))
    return set(graph.edges)


@given(SEEDS)
@settings(max_examples=50, deadline=None)
def test_cycle_breaking_agrees_with_a_path_search_and_keeps_acyclic_graphs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    edges = (rng.random((4, 6, 6)) < 0.35) & ~np.eye(6, dtype=bool)
    cost = rng.integers(0, 4, (4, 6, 6)).astype(float)  # many ties
    left = break_cycles(edges, cost)
    for one, price, kept in zip(edges, cost, left, strict=True):
        listed = {(int(m), int(n)): float(price[m, n]) for m, n in np.argwhere(one)}
        assert {(int(m), int(n)) for m, n in np.argwhere(kept)} == break_cycles_by_hand(listed, 6)
    assert (break_cycles(left, cost) == left).all()


def kahn_with_a_heap(edges: Any, priority: Any) -> list[int]:
    waiting = edges.sum(axis=0).tolist()
    heap = [(-priority[n], n) for n in range(len(priority)) if waiting[n] == 0]
    heapq.heapify(heap)
    order = []
    while heap:
        _, agent = heapq.heappop(heap)
        order.append(agent)
        for n in np.flatnonzero(edges[agent]).tolist():
            waiting[n] -= 1
            if waiting[n] == 0:
                heapq.heappush(heap, (-priority[n], n))
    return order


@given(SEEDS)
def test_order_is_that_of_kahn_with_a_heap(seed: int) -> None:
    rng = np.random.default_rng(seed)
    edges = np.triu(rng.random((3, 7, 7)) < 0.3, 1)
    relabel = rng.permutation(7)
    edges = edges[:, relabel][:, :, relabel]
    priority = rng.integers(0, 3, (3, 7)).astype(float)
    found = topological_order(edges, priority)
    assert found.tolist() == [kahn_with_a_heap(e, p) for e, p in zip(edges, priority, strict=True)]


def test_order_of_a_cycle_is_refused() -> None:
    with pytest.raises(ValueError, match="cycle"):
        topological_order(np.array([[False, True], [True, False]]), np.ones(2))


def test_random_graphs_have_the_wanted_edges_and_no_cycle() -> None:
    rng = np.random.default_rng(1)
    count = rng.integers(0, 11, 200)
    graph = random_graph(count, rng.random((200, 10)), rng.random((200, 5)))
    assert (graph.edges.sum(axis=(1, 2)) == count).all()
    place = np.argsort(graph.order, axis=1)
    for edges, rank in zip(graph.edges, place, strict=True):
        assert all(rank[m] < rank[n] for m, n in np.argwhere(edges))
    full = graph.edges[count == 5].mean(axis=0)[~np.eye(5, dtype=bool)]
    assert full.min() > 0 and full.max() < 0.6  # no pair is favoured


def test_empty_answers_are_heard_by_nobody() -> None:
    rows = np.vstack([-TWO_AND_ONE[:1], TWO_AND_ONE, np.zeros(2)])
    for rule in ("paper", "code"):
        graph = build_graph(rows, contributions(rows, rule), rule=rule, neighbours=4)  # type: ignore[arg-type]
        assert not graph.edges[4].any() and graph.edges[:, 4].any()


def test_thresholds_are_calibrated_or_warned_about() -> None:
    rows = unit_rows(np.random.default_rng(0).standard_normal((400, 5, 16)))
    threshold = calibrated_threshold(rows, 0.7)
    first, second = np.triu_indices(5, 1)
    assert (similarities(rows)[:, first, second] < threshold).mean() == pytest.approx(0.7, abs=0.01)
    assert resolve_threshold("quantile:0.7", rows) == (threshold, "")
    assert resolve_threshold(0.2, rows) == (0.2, "")
    alike = unit_rows(np.array([[1.0, 0.0], [1.0, 0.1], [1.0, 0.2]]))
    assert "every pair" in resolve_threshold(0.75, alike)[1]
    assert "no pair" in resolve_threshold(0.75, np.eye(3))[1]
    assert resolve_threshold(-1.0, np.eye(3)) == (-1.0, "")
    assert calibrated_threshold(np.zeros((3, 2)), 0.5) == -1.0
    for bad in (2.0, "quantile:2", "median", "quantile:x"):
        with pytest.raises(InputError, match="quantile"):
            resolve_threshold(bad, rows)


def test_graph_options_are_checked() -> None:
    with pytest.raises(UnknownName):
        build_graph(TWO_AND_ONE, np.ones(3), rule="papers")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="neighbours"):
        build_graph(TWO_AND_ONE, np.ones(3), rule="code", neighbours=0)


# --- controlled agents


def play_by_hand(draws: Any, q: int, rules: Rules) -> tuple[int, int]:
    """SelfOrg on one question, agent by agent, with formulas of its own. Returns the answer and the calls."""
    n = draws.population.agents
    held = [int(a) for a in draws.answers[q, :n]]
    turn = [0] * n
    calls = n

    def look() -> tuple[Any, Any]:
        rows = []
        for i in range(n):
            row = np.zeros(draws.population.dimensions)
            row[held[i]] = 1
            if draws.population.noise:
                row = row + draws.population.noise * draws.noise[q, turn[i], i]
            rows.append(row / np.linalg.norm(row))
        rows = np.array(rows)
        mean = rows.mean(axis=0)
        cosine = np.round(rows @ mean / np.linalg.norm(mean), 12)
        if rules.contribution_rule == "paper":
            return rows, cosine
        weight = np.exp(np.maximum(cosine, 0) / 0.1)
        return rows, np.round(weight / weight.sum(), 12)

    rows, psi = look()
    for t in range(rules.rounds):
        cosines = np.round(rows @ rows.T, 12)
        if cosines.min() >= 0.95 and psi.max() - psi.min() <= 0.1:
            break
        if rules.rule == "paper":
            edges = {(m, j) for m in range(n) for j in range(n) if cosines[m, j] >= rules.threshold and psi[m] > psi[j]}
        else:
            edges = break_cycles_by_hand(
                {e: round(w, 9) for e, w in code_edges_by_hand(rows, psi, rules.threshold, rules.neighbours).items()}, n
            )
        table = np.zeros((n, n), bool)
        for m, j in edges:
            table[m, j] = True
        for place, j in enumerate(kahn_with_a_heap(table, psi)):
            sources = [m for m in range(n) if table[m, j]]
            if place == 0 or sources:
                calls += 1
                turn[j] = t + 1
            if sources and draws.adopt[q, t, j] < draws.population.adoption:
                held[j] = held[sources[int(draws.source[q, t, j] * len(sources))]]
        rows, psi = look()
    centre = (psi[:, None] * rows).sum(axis=0)
    score = np.round(rows @ centre / np.linalg.norm(centre), 12)
    return held[int(np.argmax(score))], calls


@pytest.mark.parametrize("noise", [0.0, 0.8])
@pytest.mark.parametrize(
    "rules", [Rules(), Rules(threshold=0.3), Rules(rule="code", threshold=0.3)], ids=["paper", "paper-tau", "code"]
)
def test_population_agrees_with_a_question_by_question_play(noise: float, rules: Rules) -> None:
    draws = draw(Population(0.4, 0.3, noise=noise), 150, 2, np.random.default_rng(5))
    played = self_organise_population(draws, rules)
    by_hand = [play_by_hand(draws, q, rules) for q in range(150)]
    assert played.answer.tolist() == [answer for answer, _ in by_hand]
    assert played.calls.tolist() == [calls for _, calls in by_hand]


def test_wrong_agreement_is_the_chance_of_a_shared_error() -> None:
    population = Population(0.4, lure=0.3, options=6)
    draws = draw(population, 60_000, 0, np.random.default_rng(0))
    one, two = draws.answers[:, 0], draws.answers[:, 1]
    assert ((one == two) & (one > 0)).mean() == pytest.approx(population.wrong_agreement, abs=0.006)
    assert ((one == 0) & (two == 0)).mean() == pytest.approx(0.16, abs=0.006)  # p squared: the lemma's other side


def test_neutral_readers_gain_nothing_from_a_graph_that_ignores_the_answers() -> None:
    draws = draw(Population(0.7, adoption=0.6), 20_000, 2, np.random.default_rng(2))
    assert chain(draws).correct.mean() == pytest.approx(0.7, abs=0.015)
    shuffled = self_organise_population(draws, Rules(ablation="shuffle", aggregate="highest"))
    assert shuffled.correct.mean() == pytest.approx(0.7, abs=0.015)


def test_noise_leaves_all_other_luck_as_it_is() -> None:
    clean = draw(Population(0.5), 50, 2, np.random.default_rng(4))
    noisy = draw(Population(0.5, noise=3.0), 50, 2, np.random.default_rng(4))
    assert (clean.answers == noisy.answers).all() and (clean.adopt == noisy.adopt).all()
    assert embed(noisy, noisy.answers[:, :5], np.zeros((50, 5), int)).shape == (50, 5, 64)
    lengths = np.linalg.norm(noisy.noise, axis=-1)
    assert lengths.mean() == pytest.approx(1, abs=0.02)


def test_calls_stay_within_n_plus_n_times_t_and_one_agent_costs_one() -> None:
    draws = draw(Population(0.3, noise=1.0), 200, 3, np.random.default_rng(6))
    for rule in ("paper", "code"):
        played = self_organise_population(draws, Rules(rule=rule, rounds=3))  # type: ignore[arg-type]
        assert played.calls.min() > 5 and played.calls.max() <= 5 + 5 * 3
    assert (self_organise_population(draws, Rules(rounds=0)).calls == 5).all()
    alone = draw(Population(0.3, agents=1), 50, 1, np.random.default_rng(0))
    played = self_organise_population(alone, Rules(rounds=1))
    assert (played.answer == alone.answers[:, 0]).all() and (played.calls == 1).all()
    with pytest.raises(InputError, match="rounds"):
        self_organise_population(alone, Rules(rounds=2))


def test_votes_count_the_samples_they_are_given() -> None:
    draws = draw(Population(0.5), 3000, 2, np.random.default_rng(7))
    assert (vote(draws, 1).answer == single(draws).answer).all()
    calls = np.random.default_rng(0).integers(5, 16, 3000)
    assert (vote(draws, calls).calls == calls).all()
    assert single(draws).correct.mean() < vote(draws, 5).correct.mean() < vote(draws, 15).correct.mean()
    assert debate(draws).calls.max() == 15
    with pytest.raises(InputError):
        vote(draws, 16)


def test_right_answers_contribute_more_only_where_errors_scatter() -> None:
    rng = np.random.default_rng(8)
    assert contribution_gap(draw(Population(0.5), 2000, 0, rng)) > 0.05
    assert contribution_gap(draw(Population(0.2, lure=1.0), 2000, 0, rng)) < -0.05
    assert np.isnan(contribution_gap(draw(Population(1.0), 10, 0, rng)))


def test_impossible_populations_are_refused() -> None:
    for bad in ({"competence": 1.2}, {"competence": 0.5, "options": 1}, {"competence": 0.5, "dimensions": 4}):
        with pytest.raises(InputError):
            Population(**bad)  # type: ignore[arg-type]
