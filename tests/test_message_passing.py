"""Message passing: graphs, scorers against a second implementation, locality, algorithms, language protocol, traces."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.errors import BudgetExceeded, InputError, UnknownName
from shoal.models.interface import Completion, Model, Request
from shoal.runs import Budget, Limits
from shoal.stats import Evidence
from shoal.teams.message_passing import (
    GRADED,
    TASKS,
    Graph,
    Knobs,
    Style,
    Turn,
    agentsnet_score,
    answer_options,
    central_answers,
    converse,
    decode,
    edge_traffic,
    encode,
    estimate_language,
    graph_from_edges,
    make_graph,
    plot_traffic,
    random_answers,
    rounds_for,
    run_language,
    run_reference,
    score,
    score_answers,
    solved,
    transcript,
    views,
)
from shoal.teams.message_passing.algorithms import error_coins
from shoal.teams.message_passing.language import MARKER, fit_context, parse_answer, parse_outbox, system_message
from shoal.teams.message_passing.names import FIRST_NAMES, draw_names
from shoal.teams.message_passing.transcripts import lines
from shoal.teams.session import Message, Session
from shoal.traces import Trace, TraceWriter, Usage, read_trace


@st.composite
def connected_graphs(draw: st.DrawFn) -> Graph:
    """Any connected graph of 2 to 10 nodes: a random tree and random edges on top."""
    n = draw(st.integers(2, 10))
    tree = [(draw(st.integers(0, v - 1)), v) for v in range(1, n)]
    more = draw(st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=15))
    return graph_from_edges(n, [*tree, *((u, v) for u, v in more if u != v)], seed=draw(st.integers(0, 99)))


def as_networkx(graph: Graph) -> nx.Graph:
    return nx.Graph([(int(u), int(v)) for u, v in graph.edges])


# --- names and graphs -----------------------------------------------------------------------------------------------


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


# --- tasks and scores -----------------------------------------------------------------------------------------------


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


# --- engine ---------------------------------------------------------------------------------------------------------


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


# --- algorithms -----------------------------------------------------------------------------------------------------


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


# --- traces ---------------------------------------------------------------------------------------------------------


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


# --- language models ------------------------------------------------------------------------------------------------


class Flooder(Model):
    """Elects the alphabetically first name by writing JSON: a stand-in that obeys the protocol to the letter."""

    spec = identity = "test:flooder"
    evidence = Evidence.ENDPOINT

    def __init__(self, spoil: tuple[str, ...] = (), context: int | None = None) -> None:
        self.spoil, self.context, self.requests = set(spoil), context, list[Request]()

    def price(self, usage: Usage) -> float:
        return 0.001 * usage.tokens

    async def complete(self, request: Request) -> Completion:
        self.requests.append(request)
        system, latest = request.messages[0]["content"], request.messages[-1]["content"]
        me = re.findall(r"You are ([^,]+), one of", system)[0]
        around = re.findall(r"Your neighbours are: (.*)\.", system)[0].split(", ")
        texts = [m["content"] for m in request.messages if m["role"] == "user"]
        least = min([me, *re.findall(r"least is ([^.\n]+)\.", "\n".join(texts))])
        if "rounds are over" in "".join(texts[-2:]):
            kind, reply = "answer", f"I think so. {MARKER} {'Yes' if least == me else 'No'}"
        else:
            messages = ", ".join(f'"{name}": "least is {least}."' for name in around)
            kind, reply = "outbox", "Let me think {about it}. {" + messages + "}"
        repairing = "could be read" in latest
        if kind in self.spoil and (not repairing or f"{kind} twice" in self.spoil):
            reply = "I would rather not say."
        if "stranger" in self.spoil and kind == "outbox":
            reply = reply[:-1] + ', "Ada": "psst", "Zora": "psst"}'
        return Completion(reply, Usage(100, 20, 1))


async def elect(model: Model, tmp_path: Path, **options: Any) -> tuple[Any, Trace, Graph]:
    graph = graph_from_edges(5, [(0, 1), (1, 2), (2, 3), (3, 4), (4, 0)], seed=2, family="ring")
    graph = Graph("ring", graph.neighbours, ("Max", "Ada", "Lena", "Zora", "Otto"), graph.diameter)
    with TraceWriter(tmp_path / "events.jsonl", "run") as trace:
        session = Session(model, trace=trace, seed=1)
        run = await run_language(graph, "leader", 5, session, **options)
    return run, read_trace(tmp_path / "events.jsonl"), graph


async def test_a_language_team_that_obeys_the_protocol_elects_a_leader(tmp_path: Path) -> None:
    model = Flooder()
    run, trace, graph = await elect(model, tmp_path)
    assert run.solved
    assert run.answers == ("No", "Yes", "No", "No", "No")
    assert run.failures == {}
    assert len(model.requests) == graph.n * 6
    assert run.messages == 2 * 5 * 5
    estimate = trace.of_kind("decision")[0].payload
    assert estimate["decision"] == "cost estimate"
    assert estimate["calls"] == 30
    assert trace.of_kind("task.end")[0].payload["solved"] is True
    start = trace.of_kind("task.start")[0].payload
    assert (start["diameter"], start["max_degree"], start["rounds"], start["model"]) == (2, 2, 5, "test:flooder")
    assert len([line for line in lines(trace) if line.run == 1]) == 50
    assert "Ada -> Max: least is Ada." in transcript(trace)


async def test_all_agents_of_a_round_are_asked_at_once(tmp_path: Path) -> None:
    import asyncio

    class Counting(Flooder):
        now = most = 0

        async def complete(self, request: Request) -> Completion:
            self.now += 1
            self.most = max(self.most, self.now)
            await asyncio.sleep(0.001)
            self.now -= 1
            return await super().complete(request)

    model = Counting()
    await elect(model, tmp_path)
    assert model.most == 5


async def test_language_events_name_their_causes(tmp_path: Path) -> None:
    _, trace, _ = await elect(Flooder(), tmp_path)
    by_id = {event.id: event for event in trace}
    for event in trace.of_kind("message"):
        (parent,) = event.parents
        assert by_id[parent].payload["decision"] == "outbox"
        assert by_id[parent].agent == event.agent
    calls = trace.of_kind("model.call")
    assert Counter(len(call.parents) for call in calls) == {1: 5, 3: 25}
    for call in calls:
        senders = {by_id[p].agent for p in call.parents if by_id[p].kind == "message"}
        assert call.agent not in senders


async def test_one_repair_is_asked_for_and_then_the_turn_is_empty(tmp_path: Path) -> None:
    run, _, _ = await elect(Flooder(("outbox", "answer")), tmp_path)
    assert run.solved
    assert run.failures["Max"] == {"outbox repaired": 5, "answer repaired": 1}
    run, _, _ = await elect(Flooder(("outbox", "outbox twice", "answer", "answer twice")), tmp_path)
    assert run.answers == (None,) * 5
    assert run.soft == 0
    assert run.messages == 0
    assert run.failures["Ada"] == {"outbox unreadable": 5, "answer unreadable": 1}
    assert run.failed("outbox unreadable") == 25


async def test_text_to_known_names_that_are_no_neighbours_is_counted(tmp_path: Path) -> None:
    run, trace, _ = await elect(Flooder(("stranger",)), tmp_path)
    assert run.dropped["not a neighbour"] > 0
    assert len(trace.of_kind("message.dropped")) == run.dropped["not a neighbour"]
    assert "[dropped: not a neighbour]" in transcript(trace)


async def test_inspectors_and_loss_cut_messages(tmp_path: Path) -> None:
    graph = make_graph("ring", 4, 1)
    run = await run_language(graph, "leader", 5, Session(Flooder()), loss=1.0)
    assert (run.messages, run.dropped) == (0, {"lost": 40})
    assert not run.solved

    def censor(message: Message) -> Message | None:
        return None if message.sender == graph.names[0] else message

    run = await run_language(graph, "leader", 5, Session(Flooder(), inspectors=[censor]))
    assert run.dropped == {"inspector": 10}
    silent = await run_language(graph, "leader", 0, Session(Flooder()))
    assert silent.answers == ("Yes",) * 4


async def test_a_spent_budget_ends_the_run() -> None:
    session = Session(Flooder(), budget=Budget(Limits(calls=7)))
    with pytest.raises(BudgetExceeded, match="7 calls"):
        await run_language(make_graph("ring", 4, 1), "leader", 5, session)
    assert session.usage.calls <= 7


async def test_large_graphs_need_a_raised_limit() -> None:
    graph = make_graph("WS", 20, 1)
    model = Flooder()
    with pytest.raises(InputError, match="at most 16"):
        await run_language(graph, "leader", 2, Session(model))
    assert not model.requests
    await run_language(graph, "leader", 1, Session(model), max_nodes=20)
    assert len(model.requests) == 40
    small = Flooder()
    small.evidence = Evidence.LOCAL  # type: ignore[misc]
    with pytest.raises(InputError, match="at most 4"):
        await run_language(make_graph("WS", 8, 1), "leader", 2, Session(small))


def test_cost_is_calls_times_a_growing_context() -> None:
    graph = make_graph("ring", 4, 1)
    model = Flooder()
    session = Session(model)
    estimate = estimate_language(graph, "leader", 3, session, Style(max_tokens=30))
    assert estimate.calls == 4 * 4
    assert estimate.completion_tokens == 16 * 30
    system = [model.count_tokens(system_message("leader", v, 3, Style())) for v in views(graph, 3)]
    growth = 30 + 60 + 2 * 10  # own reply, the round's frame, two neighbours' texts of a third of a reply each
    assert estimate.prompt_tokens == sum(4 * (s + 60) + growth * (0 + 1 + 2 + 3) for s in system)
    assert estimate.money == pytest.approx(0.001 * estimate.tokens)
    assert estimate.overflowing == 0
    longer = estimate_language(graph, "leader", 30, session, Style(max_tokens=30))
    assert longer.prompt_tokens > 10 * estimate.prompt_tokens  # more than calls alone: the square of rounds
    cut = estimate_language(graph, "leader", 30, Session(Flooder(context=1000)), Style(max_tokens=30))
    assert cut.overflowing == 4
    assert cut.prompt_tokens < longer.prompt_tokens


async def test_long_conversations_lose_their_oldest_rounds_and_say_so(tmp_path: Path) -> None:
    model = Flooder(context=620)
    run, trace, _ = await elect(model, tmp_path, style=Style(max_tokens=100))
    assert len(run.failures) == 5
    assert all(counts["rounds left out"] > 0 for counts in run.failures.values())
    cut = [r for r in model.requests if "left out" in r.messages[1]["content"]]
    assert cut
    assert all(r.messages[0]["role"] == "system" and r.messages[1]["role"] == "user" for r in cut)
    assert any(e.payload.get("decision") == "context cut" for e in trace)
    longest = max(sum(model.count_tokens(m["content"]) + 4 for m in r.messages) for r in model.requests)
    assert longest + 100 <= 620


def test_fit_context_keeps_the_ends() -> None:
    chat: list[list[Any]] = [[{"role": "system", "content": "s" * 40}]]
    chat += [[{"role": "user", "content": f"{i}" * 400}, {"role": "assistant", "content": "a" * 400}] for i in range(5)]
    whole, left = fit_context(chat, None, len)
    assert (len(whole), left) == (11, 0)
    some, left = fit_context(chat, 1800, len)
    assert left == 3
    assert some[1]["content"].startswith("(The oldest 3 rounds")
    least, left = fit_context(chat, 10, len)
    assert left == 4  # this turn stays, whatever its length
    assert len(least) == 3


NAMES = ("Ada", "Max", "Lena")


@pytest.mark.parametrize(
    ("text", "outbox"),
    [
        ('{"Ada": "hi"}', {"Ada": "hi"}),
        ('Sure! ```json\n{"Ada": "hi", "Max": "ho"}\n```', {"Ada": "hi", "Max": "ho"}),
        ('I could send {"Ada": "x"}, but: {"Ada": "y"}', {"Ada": "y"}),
        ('{think} {"Max": "braces {\\"Ada\\": \\"no\\"} inside"}', {"Max": 'braces {"Ada": "no"} inside'}),
        ('{"messages": {"Lena": "nested"}}', {"Lena": "nested"}),
        ('{"Ada": "line\nbreak"}', {"Ada": "line\nbreak"}),
        ("{}", {}),
        ('{"Bob": "hi"}', None),
        ('{"Ada": 3}', None),
        ('{"Ada": "hi"', None),
        ("no messages", None),
        ("{" * 5000, None),
    ],
)
def test_outboxes_are_read_from_any_braces(text: str, outbox: dict[str, str] | None) -> None:
    assert parse_outbox(text, NAMES) == outbox


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (f"{MARKER} Group 10", "Group 10"),
        (f"so: {MARKER}\n\nGroup 1.", "Group 1"),
        (f"{MARKER} Group 12", None),
        ("Group 1", None),
        (f"{MARKER} group 1", None),
        (f"{MARKER} I say Group 1", None),
        (f"{MARKER} hm. {MARKER} Group 2", "Group 2"),
    ],
)
def test_answers_follow_the_marker(text: str, answer: str | None) -> None:
    assert parse_answer(text, [f"Group {k}" for k in range(1, 11)]) == answer


async def test_constrained_mode_sends_schemas(tmp_path: Path) -> None:
    class Obedient(Flooder):
        async def complete(self, request: Request) -> Completion:
            self.requests.append(request)
            assert request.schema is not None
            fields = request.schema["properties"]
            if "answer" in fields:
                return Completion(json.dumps({"answer": fields["answer"]["enum"][1]}))
            return Completion("{" + ", ".join(f'"{name}": "x"' for name in fields) + "}")

    run, _, _ = await elect(Obedient(), tmp_path, style=Style(constrained=True))
    assert run.answers == ("No",) * 5
    assert run.messages == 50
    assert run.failures == {}
