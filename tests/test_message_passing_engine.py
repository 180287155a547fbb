"""The rounds of message passing: locality, what is dropped, reference algorithms, and the causal trace they leave."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from message_graphs import as_networkx, connected_graphs, plain_score
from shoal.errors import InputError
from shoal.teams.message_passing import (
    TASKS,
    Graph,
    Knobs,
    Turn,
    converse,
    edge_traffic,
    graph_from_edges,
    make_graph,
    plot_traffic,
    rounds_for,
    run_reference,
    transcript,
    views,
)
from shoal.teams.message_passing.algorithms import error_coins
from shoal.teams.message_passing.transcripts import lines
from shoal.traces import Trace, TraceWriter, read_trace


class Gossip:
    """Passes on everything it has heard of; answers Yes. What it knows is what could have reached it."""

    def __init__(self, name: str, neighbours: tuple[str, ...]) -> None:
        self.neighbours, self.known, self.turns = neighbours, {name}, 0

    def __call__(self, turn: Turn) -> Any:
        self.turns += 1
        for heard in turn.inbox.values():
            self.known |= set(heard)
        return "Yes" if turn.last else {name: sorted(self.known) for name in self.neighbours}


YES_NO = ("Yes", "No")


@given(graph=connected_graphs(), rounds=st.integers(0, 6))
@settings(max_examples=60, deadline=None)
def test_information_travels_exactly_one_hop_a_round(graph: Graph, rounds: int) -> None:
    agents = [Gossip(view.name, view.neighbours) for view in views(graph, rounds)]
    talk = converse(graph, agents, rounds, [YES_NO] * graph.n)
    distance = dict(nx.all_pairs_shortest_path_length(as_networkx(graph)))
    for v, agent in enumerate(agents):
        assert agent.turns == rounds + 1
        assert agent.known == {graph.names[u] for u in range(graph.n) if distance[v][u] <= rounds}
    assert talk.messages == 2 * len(graph.edges) * rounds


def test_an_agent_sees_only_its_view() -> None:
    graph = make_graph("path", 5, 0)
    view = views(graph, 3)[2]
    assert view.name == graph.names[2]
    assert set(view.neighbours) == {graph.names[1], graph.names[3]}
    assert (view.count, view.rounds) == (5, 3)


def test_text_to_others_than_neighbours_is_dropped_and_logged(tmp_path: Path) -> None:
    graph = make_graph("path", 3, 0)
    a, b, c = graph.names

    def first(turn: Turn) -> Any:
        return "Yes" if turn.last else {c: "over your head", "Nobody": "hello", b: "hello"}

    heard: list[dict[str, Any]] = []

    def listens(turn: Turn) -> Any:
        heard.append(turn.inbox)
        return "No" if turn.last else {}

    def rambles(turn: Turn) -> Any:
        return "No" if turn.last else "just text"

    trace = TraceWriter(tmp_path / "events.jsonl", "run")
    talk = converse(graph, [first, listens, rambles], 1, [YES_NO] * 3, trace=trace)
    trace.close()
    assert heard[-1] == {a: "hello"}
    assert talk.messages == 1
    assert talk.dropped == Counter({"not a neighbour": 1, "unknown name": 1, "not an outbox": 1})
    logged = read_trace(tmp_path / "events.jsonl").of_kind("message.dropped")
    assert [(e.payload["to"], e.payload["reason"]) for e in logged] == [
        ([c], "not a neighbour"),
        (["Nobody"], "unknown name"),
    ]


def test_contents_cannot_be_changed_after_sending() -> None:
    graph = make_graph("path", 2, 0)
    mine: list[str] = ["old"]
    read: list[Any] = []

    def sender(turn: Turn) -> Any:
        if turn.last:
            return "Yes"
        return {graph.names[1]: mine}

    def reader(turn: Turn) -> Any:
        if turn.last:
            mine.append("news")  # the sender's own list grows; what was sent must not
        read.extend(turn.inbox.values())
        return "No" if turn.last else {}

    converse(graph, [sender, reader], 1, [YES_NO] * 2)
    assert read == [["old"]]
    talk = converse(graph, [lambda t: "Yes" if t.last else {graph.names[1]: object()}, reader], 1, [YES_NO] * 2)
    assert talk.dropped["not JSON"] == 1


def test_delivery_is_synchronous_whatever_the_order_of_agents() -> None:
    """Outboxes of a round are collected before any is delivered: relabelled nodes hear the same."""
    edges = [(0, 1), (1, 2), (2, 3), (3, 0), (0, 2)]
    graph = graph_from_edges(4, edges, seed=1)
    flipped = graph_from_edges(4, [(3 - u, 3 - v) for u, v in edges], seed=1)
    flipped = Graph("edges", flipped.neighbours, graph.names[::-1], flipped.diameter)
    heard = []
    for g in (graph, flipped):
        agents = {view.name: Gossip(view.name, view.neighbours) for view in views(g, 1)}
        converse(g, [agents[name] for name in g.names], 1, [YES_NO] * 4)
        heard.append({name: agent.known for name, agent in agents.items()})
    assert heard[0] == heard[1]


def test_invalid_answers_become_none_and_loss_has_its_rate() -> None:
    graph = make_graph("ring", 10, 0)
    neighbours = [view.neighbours for view in views(graph, 200)]

    def shout(v: int) -> Any:
        return lambda turn: ("Yes" if v else "maybe") if turn.last else dict.fromkeys(neighbours[v], "x")

    talk = converse(graph, [shout(v) for v in range(10)], 200, [YES_NO] * 10, loss=0.25, seed=4)
    assert talk.answers == [None] + ["Yes"] * 9
    assert talk.messages + talk.dropped["lost"] == 4000
    assert talk.dropped["lost"] / 4000 == pytest.approx(0.25, abs=0.03)


def test_bad_arguments_are_named() -> None:
    graph = make_graph("ring", 4, 0)
    with pytest.raises(InputError, match="rounds"):
        converse(graph, [lambda t: None] * 4, -1, [YES_NO] * 4)
    with pytest.raises(InputError, match="agents"):
        converse(graph, [lambda t: None] * 3, 1, [YES_NO] * 4)
    with pytest.raises(InputError, match="loss"):
        converse(graph, [lambda t: {}] * 4, 1, [YES_NO] * 4, loss=1.5)
    with pytest.raises(InputError, match="competence"):
        Knobs(competence=1.1)


@given(graph=connected_graphs(), task=st.sampled_from(TASKS), seed=st.integers(0, 10**6))
@settings(max_examples=150, deadline=None)
def test_reference_algorithms_solve_any_connected_graph(graph: Graph, task: str, seed: int) -> None:
    run = run_reference(graph, task, rounds_for(task, graph, "ample"), seed=seed)
    assert run.solved
    assert run.soft == 1
    assert plain_score(task, graph, list(run.answers)) == 1


@pytest.mark.parametrize("family", ["path", "ring"])
def test_too_few_rounds_make_flooding_fail(family: str) -> None:
    graph = make_graph(family, 12, 0)
    wins = {
        r: np.mean([run_reference(graph, "leader", r, seed=s).solved for s in range(40)]) for r in (1, graph.diameter)
    }
    assert wins[graph.diameter] == 1
    assert wins[1] < 0.2


def test_what_is_further_away_than_the_rounds_changes_nothing() -> None:
    """Agents of the first nodes answer alike when only nodes more than R hops away are different."""
    near, far = graph_from_edges(12, [(i, i + 1) for i in range(11)]), 3
    other = graph_from_edges(13, [*((i, i + 1) for i in range(11)), (10, 12)])
    other = Graph("edges", other.neighbours, (*near.names, "Stranger"), other.diameter)
    for task in ("colouring", "vertex-cover", "matching"):
        one = run_reference(near, task, far, seed=5).answers[:7]
        two = run_reference(other, task, far, seed=5).answers[:7]
        assert one == two, task


def test_errors_have_their_rate_with_and_without_correlation() -> None:
    for correlation in (0.0, 0.5, 1.0):
        coins = error_coins(50, 4000, Knobs(0.8, correlation=correlation), np.random.default_rng(1))
        assert coins.mean() == pytest.approx(0.2, abs=0.02)
        together = np.corrcoef(coins[0], coins[1])[0, 1]
        assert together == pytest.approx(correlation**2, abs=0.06)


def test_incompetence_is_the_random_baseline_and_losses_heal() -> None:
    graph = make_graph("WS", 16, 2)
    soft = [run_reference(graph, "colouring", 6, knobs=Knobs(0), seed=s).soft for s in range(300)]
    silent = [run_reference(graph, "colouring", 0, seed=s).soft for s in range(300)]
    expected = 1 - 1 / (graph.max_degree + 1)
    assert np.mean(soft) == pytest.approx(expected, abs=0.02)
    assert np.mean(silent) == pytest.approx(expected, abs=0.02)
    for task in TASKS:
        lossy = [run_reference(graph, task, 40, knobs=Knobs(loss=0.1), seed=s).solved for s in range(20)]
        assert np.mean(lossy) >= 0.8


def test_a_run_is_repeatable() -> None:
    graph = make_graph("DT", 16, 2)
    runs = [run_reference(graph, "matching", 9, knobs=Knobs(0.9, 0.1, 0.5), seed=seed) for seed in (1, 1, 2, 3, 4)]
    assert runs[0] == runs[1]
    assert any(run != runs[0] for run in runs[2:])


def test_a_thousand_nodes() -> None:
    graph = make_graph("BA", 1000, 1)
    for task in ("leader", "colouring", "vertex-cover"):
        run = run_reference(graph, task, rounds_for(task, graph), seed=1)
        assert run.n == 1000
        assert run.soft > 0.99


def traced(tmp_path: Path, graph: Graph, rounds: int) -> Trace:
    with TraceWriter(tmp_path / "events.jsonl", "run") as trace:
        run_reference(graph, "leader", rounds, seed=3, trace=trace)
    return read_trace(tmp_path / "events.jsonl")


def test_the_trace_is_the_causal_graph(tmp_path: Path) -> None:
    graph = make_graph("path", 5, 0)
    trace = traced(tmp_path, graph, 3)
    by_id = {event.id: event for event in trace}
    ancestors: dict[str, set[str]] = {}
    for event in trace:
        ancestors[event.id] = {event.agent} - {""}
        for parent in event.parents:
            ancestors[event.id] |= ancestors[parent]
        if event.kind == "message":
            assert [by_id[p].payload["decision"] for p in event.parents] == ["outbox"]
            assert by_id[event.parents[0]].agent == event.agent
    answers = [e for e in trace.of_kind("decision") if e.payload["decision"] == "answer"]
    assert len(answers) == 5
    for answer in answers:
        # The past of an answer is exactly what R hops allow.
        v = graph.index[answer.agent]
        assert ancestors[answer.id] == {graph.names[u] for u in range(5) if abs(u - v) <= 3}
        kinds = Counter(by_id[p].kind for p in answer.parents)
        assert kinds == {"message": len(graph.neighbours[v]), "decision": 1}


def test_transcript_goes_by_edge_and_round(tmp_path: Path) -> None:
    graph = make_graph("path", 3, 0)
    trace = traced(tmp_path, graph, 2)
    said = lines(trace)
    assert len(said) == 8
    assert {line.round for line in said} == {0, 1}
    assert {line.run for line in said} == {1}
    text = transcript(trace)
    assert text.startswith("== leader on path graph, n=3, diameter 2, 2 rounds (reference algorithm) ==")
    assert text.count("-- ") == 2
    assert text.count("round 1") == 4
    assert text.endswith("score 1.000, solved")
    traffic = edge_traffic(trace)
    assert traffic[(graph.names[0], graph.names[1])] == 2
    assert sum(traffic.values()) == 8
    assert plot_traffic(trace).axes
