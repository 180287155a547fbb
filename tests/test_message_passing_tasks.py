"""The graphs and tasks of message passing: their shape, names, scores against a second implementation, and rounds."""

from __future__ import annotations

import random
import re

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from message_graphs import as_networkx, connected_graphs, plain_score
from shoal.errors import InputError, UnknownName
from shoal.teams.message_passing import (
    GRADED,
    TASKS,
    Graph,
    agentsnet_score,
    answer_options,
    central_answers,
    decode,
    encode,
    graph_from_edges,
    make_graph,
    random_answers,
    rounds_for,
    score,
    score_answers,
    solved,
)
from shoal.teams.message_passing.names import FIRST_NAMES, draw_names


def test_names_are_distinct_and_permuted_by_seed() -> None:
    assert len(FIRST_NAMES) == len(set(FIRST_NAMES)) == 200
    assert len(set(draw_names(1000, 1))) == 1000
    assert set(draw_names(200, 1)) == set(draw_names(200, 2)) == set(FIRST_NAMES)
    assert draw_names(16, 1) != draw_names(16, 2)
    assert draw_names(16, 1) == draw_names(16, 1)


@pytest.mark.parametrize("family", ["WS", "BA", "DT"])
@pytest.mark.parametrize("n", [4, 8, 16, 60])
def test_families_have_their_shape(family: str, n: int) -> None:
    graph = make_graph(family, n, 7)
    peer = as_networkx(graph)
    assert graph.n == n == peer.number_of_nodes()
    assert graph.diameter == nx.diameter(peer)
    assert graph.max_degree == max(dict(peer.degree()).values())
    assert len(set(graph.names)) == n
    edges = len(graph.edges)
    if family == "WS":
        assert edges == min(2 * n, n * (n - 1) // 2)
    elif family == "BA":
        assert edges == 2 * (n - 2)
    else:
        assert edges <= 3 * n - 6
        assert nx.check_planarity(peer)[0]


def test_graphs_follow_the_seed_and_leave_global_random_state_alone() -> None:
    random.seed(3)
    np.random.seed(3)
    before = random.getstate(), np.random.get_state()[1].copy()
    one, two, other = (make_graph("DT", 16, seed) for seed in (1, 1, 2))
    make_graph("WS", 16, 1)
    make_graph("BA", 16, 1)
    assert random.getstate() == before[0]
    assert (np.random.get_state()[1] == before[1]).all()
    assert one == two
    assert one.neighbours != other.neighbours


def test_path_and_ring_have_known_diameters() -> None:
    assert make_graph("path", 16, 0).diameter == 15
    assert make_graph("ring", 16, 0).diameter == 8
    assert make_graph("ring", 15, 0).diameter == 7
    assert make_graph("WS", 4, 0).diameter == 1  # the complete graph, whatever the library's version does


@pytest.mark.parametrize(
    ("n", "edges", "says"),
    [
        (1, [], "at least 2 nodes"),
        (3, [], "without edges"),
        (4, [(0, 1), (2, 3)], "diameter"),
        (3, [(0, 1)], "diameter"),
        (2, [(0, 2)], "0..1"),
        (2, [(0, 0), (0, 1)], "loops"),
    ],
)
def test_unusable_graphs_are_refused(n: int, edges: list[tuple[int, int]], says: str) -> None:
    with pytest.raises(InputError, match=re.escape(says)):
        graph_from_edges(n, edges)


def test_unknown_families_and_small_sizes_are_refused() -> None:
    with pytest.raises(UnknownName, match="WS"):
        make_graph("SW", 8, 0)
    with pytest.raises(InputError, match="at least 3"):
        make_graph("BA", 2, 0)


def test_renaming_keeps_the_edges() -> None:
    graph = make_graph("BA", 8, 1)
    other = graph.renamed(99)
    assert other.neighbours == graph.neighbours
    assert other.names != graph.names
    assert other.index[other.names[3]] == 3


@given(graph=connected_graphs(), task=st.sampled_from(TASKS), seed=st.integers(0, 10**6), wrong=st.floats(0, 0.3))
@settings(max_examples=150, deadline=None)
def test_scorers_agree_with_a_second_implementation(graph: Graph, task: str, seed: int, wrong: float) -> None:
    rng = random.Random(seed)
    junk = [None, "Group 0", "maybe", graph.names[0], "2"]
    answers: list[str | None] = [
        rng.choice(junk) if rng.random() < wrong else rng.choice(answer_options(task, graph, v)) for v in range(graph.n)
    ]
    mine = score_answers(task, graph, answers)
    assert mine == pytest.approx(plain_score(task, graph, answers))
    assert 0 <= mine <= 1


@given(graph=connected_graphs(), task=st.sampled_from(TASKS), seed=st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_random_answers_are_valid_and_codes_go_both_ways(graph: Graph, task: str, seed: int) -> None:
    codes = random_answers(task, graph, np.random.default_rng(seed), 3)
    for row, soft in zip(codes, score(task, graph, codes), strict=True):
        texts = decode(task, graph, row)
        assert all(text in answer_options(task, graph, v) for v, text in enumerate(texts))
        assert (encode(task, graph, texts) == row).all()
        assert soft == pytest.approx(plain_score(task, graph, texts))


@given(graph=connected_graphs())
@settings(max_examples=40, deadline=None)
def test_the_central_solver_solves(graph: Graph) -> None:
    for task in TASKS:
        assert solved(score(task, graph, central_answers(task, graph))).all()


def test_covers_that_are_empty_or_incomplete() -> None:
    path = graph_from_edges(4, [(0, 1), (1, 2), (2, 3)])
    assert score_answers("vertex-cover", path, ["No"] * 4) == 0
    assert score_answers("vertex-cover", path, [None] * 4) == 0
    assert score_answers("vertex-cover", path, ["Yes"] * 4) == 0  # every member can be spared
    assert score_answers("vertex-cover", path, ["No", "Yes", "No", "No"]) == pytest.approx(2 / 3)
    assert score_answers("vertex-cover", path, ["Yes", "Yes", "No", "No"]) == pytest.approx(2 / 3)  # superfluous, but
    assert score_answers("vertex-cover", path, ["No", "Yes", "Yes", "No"]) == 1
    assert score_answers("vertex-cover", path, ["Yes", "Yes", "No", "Yes"]) == pytest.approx(2 / 3)  # factor 2/3


def test_matching_counts_disagreements() -> None:
    path = graph_from_edges(3, [(0, 1), (1, 2)])
    a, b, c = path.names
    assert score_answers("matching", path, [b, a, "None"]) == 1
    assert score_answers("matching", path, [b, a, b]) == pytest.approx(2 / 3)
    assert score_answers("matching", path, [c, "None", a]) == pytest.approx(1 / 3)
    assert score_answers("matching", path, ["None", "None", "None"]) == 0
    assert score_answers("matching", path, [None, "None", b]) == pytest.approx(1 / 3)


def test_random_baseline_has_closed_forms() -> None:
    rng = np.random.default_rng(5)
    for n in (4, 16):
        graph = make_graph("WS", n, 1)
        leader = score("leader", graph, random_answers("leader", graph, rng, 40_000)).mean()
        agreed = score("consensus", graph, random_answers("consensus", graph, rng, 40_000)).mean()
        groups = score("colouring", graph, random_answers("colouring", graph, rng, 40_000)).mean()
        assert leader == pytest.approx((1 - 1 / n) ** (n - 1), abs=0.01)
        assert agreed == pytest.approx(2.0 ** (1 - n), abs=0.01)
        assert groups == pytest.approx(1 - 1 / (graph.max_degree + 1), abs=0.01)


def test_rounds_follow_the_paper() -> None:
    for n, rounds in ((4, 4), (8, 5), (16, 6)):
        graph = make_graph("BA", n, 1)
        assert [rounds_for(task, graph) for task in GRADED] == [rounds] * 3
        assert rounds_for("leader", graph) == rounds_for("consensus", graph) == 2 * graph.diameter + 1
    large = make_graph("DT", 30, 1)
    assert {rounds_for(task, large) for task in TASKS} == {2 * large.diameter + 1}
    assert rounds_for("matching", large, "ample") == 60
    assert rounds_for("leader", large, "ample") == 2 * large.diameter + 1
    assert rounds_for("leader", large, "none") == 0
    with pytest.raises(UnknownName):
        rounds_for("leaders", large)
    with pytest.raises(UnknownName):
        rounds_for("leader", large, "many")


def test_agentsnet_score_has_its_standard_error_over_graphs() -> None:
    found = agentsnet_score({"leader": [1.0, 0.0, 1.0], "consensus": [1.0, 1.0, 0.0]})
    assert found.mean == pytest.approx(2 / 3)
    assert found.standard_error == pytest.approx(np.std([1, 0.5, 0.5], ddof=1) / np.sqrt(3))
    assert str(found) == "0.67 (0.17)"
