"""GraphTracer: graph measures, tracing, made-up runs, the learned tracer, asking a judge, the study."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from command_line import Shoal
from shoal.diagnosis import inquiry, tracer
from shoal.diagnosis.attribution import diagnose, examine, incident_of
from shoal.diagnosis.conflicts import Claimed, claims_by, conflicts
from shoal.diagnosis.conversation import Conversation, conversation
from shoal.diagnosis.deep_search import SearchRun, SearchWorld, incident, search_runs, suspicions
from shoal.diagnosis.incident import ATTRIBUTION, Blame, Incident, asked_blame, attribution_method, blame
from shoal.diagnosis.information import artefacts, betweenness, distances, impact, overlap, reach, ways
from shoal.diagnosis.methods.constants import constant_agent, constant_step, earliest_suspicious
from shoal.diagnosis.planting import CORRUPTIONS, planted_runs
from shoal.diagnosis.scoring import replayable
from shoal.diagnosis.search_text import written
from shoal.diagnosis.tracing import chain, clean_above, closure, shuffled, trace_back
from shoal.diagnosis.usage import UsageEdge, UsageGraph, usage_graph
from shoal.errors import InputError, ModelError, UnknownName
from shoal.models.interface import Completion, Model, Request
from shoal.runs.results import Results
from shoal.stats import Evidence, Verdict, judge
from shoal.studies.graphtracer import STUDY
from shoal.studies.graphtracer.settings import METHODS, THRESHOLDS
from shoal.studies.graphtracer.synthetic import tuned
from shoal.traces import Event

SAMPLES = Path(__file__).parent / "data" / "traces"


def graph_of(size: int, *pairs: tuple[int, int]) -> UsageGraph:
    return UsageGraph(size, [UsageEdge(s, t, "declared", 1.0) for s, t in pairs])


DIAMOND = graph_of(6, (0, 1), (0, 2), (1, 3), (2, 3), (3, 5), (4, 5))


@pytest.fixture(scope="module")
def runs() -> list[SearchRun]:
    return list(search_runs(SearchWorld(), 120, 5))


edges = st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=40)


@given(edges)
def test_betweenness_is_that_of_networkx(pairs: list[tuple[int, int]]) -> None:
    import networkx as nx

    graph = graph_of(12, *pairs)
    peer = nx.DiGraph([(e.source, e.target) for e in graph.edges])
    peer.add_nodes_from(range(12))
    wanted = nx.betweenness_centrality(peer, normalized=False)
    np.testing.assert_allclose(betweenness(graph), [wanted[i] for i in range(12)], atol=1e-9)


def test_betweenness_of_large_graphs_is_sampled() -> None:
    rng = np.random.default_rng(0)
    pairs = [(int(rng.integers(max(0, t - 40), t)), t) for t in range(1, 600) for _ in range(2)]
    graph = graph_of(600, *pairs)
    exact, drawn = betweenness(graph, 600), betweenness(graph, 200)
    assert np.corrcoef(exact, drawn)[0, 1] > 0.9
    assert drawn.sum() == pytest.approx(exact.sum(), rel=0.25)


def test_impact_of_a_diamond_by_hand() -> None:
    # Out-degrees 2 1 1 1 1 0; paths through 1 and 2: half of 0-3 and 0-5 each; through 3: 0-5, 1-5, 2-5.
    np.testing.assert_allclose(betweenness(DIAMOND), [0, 1, 1, 3, 0, 0])
    np.testing.assert_allclose(impact(DIAMOND), [0.5, 0.25 + 1 / 6, 0.25 + 1 / 6, 0.75, 0.25, 0])
    np.testing.assert_allclose(impact(DIAMOND, balance=1.0), [1, 0.5, 0.5, 0.5, 0.5, 0])
    assert impact(graph_of(3)).tolist() == [0, 0, 0]
    assert reach(DIAMOND, 5)[0] == 1.0


def test_ways_distances_and_artefacts() -> None:
    assert artefacts(DIAMOND, 5).tolist() == [True] * 6
    assert artefacts(graph_of(3, (0, 2))).tolist() == [True, False, False]
    assert ways(DIAMOND, 5)[0] in ([0, 1, 3, 5], [0, 2, 3, 5])
    assert ways(DIAMOND, 3)[4:] == [[], []]
    apart = distances(DIAMOND)
    assert apart[0, 4] == 4  # whatever the direction: 0-1-3-5-4
    assert np.isinf(distances(graph_of(2))[0, 1])
    assert overlap([0, 1, 3], [0, 2, 3]) == pytest.approx(2 / 3)
    assert overlap([], [1]) == 0.0


def test_the_rule_by_hand() -> None:
    q = np.array([0.8, 0.5, 0.1, 0.9, 0.95, 0.2])
    clean = clean_above(q, DIAMOND)
    np.testing.assert_allclose(clean, [1, 0.2, 0.2, 0.5 * 0.9, 1, 0.1 * 0.05])
    np.testing.assert_allclose(trace_back(q, DIAMOND), q * clean)
    weighted = trace_back(q, DIAMOND, impact(DIAMOND), terminal=3)
    assert weighted[4] == weighted[5] == 0  # 3 was not made from them
    assert weighted[0] == pytest.approx(0.8 * (0.5 + 0.5 * 0.5))
    assert weighted.argmax() == 0
    assert closure(DIAMOND, 3).tolist() == [True, True, True, True, False, False]


def test_unsure_edges_count_by_their_confidence() -> None:
    graph = UsageGraph(2, [UsageEdge(0, 1, "order", 0.2)])
    assert clean_above(np.array([0.5, 0.5]), graph)[1] == pytest.approx(0.9)


def test_chain_and_shuffled_graphs() -> None:
    assert [(e.source, e.target) for e in chain(3).edges] == [(0, 1), (1, 2)]
    other = shuffled(DIAMOND, 3)
    for step in range(6):
        assert len(other.parents(step)) == len(DIAMOND.parents(step))
    assert [(e.source, e.target) for e in shuffled(DIAMOND, 3).edges] == [(e.source, e.target) for e in other.edges]
    assert UsageGraph(2, [UsageEdge(1, 0, "reference", 1.0), UsageEdge(1, 1, "reference", 1.0)]).dropped == 2


def test_made_up_runs_are_as_the_page_says(runs: list[SearchRun]) -> None:
    kept = [artefacts(r.graph, r.terminal) for r in runs]
    assert 0.47 < np.mean([k.mean() for k in kept]) < 0.6
    density = [sum(k[e.target] for e in r.graph.edges) / k.sum() for r, k in zip(runs, kept, strict=True)]
    assert 2.2 < np.mean(density) < 2.8
    passed = np.concatenate([r.passing for r in runs])
    assert passed.mean() == pytest.approx(0.9, abs=0.02)
    for run in runs:
        assert 20 <= run.graph.size <= 80
        assert set(run.agents) <= {f"agent-{i}" for i in range(1, 5)}
        assert run.wrong[run.root]
        assert run.wrong[run.terminal]
        assert run.mended_by(run.root)  # the counterfactual definition of the root cause
        assert run.mended_by(run.terminal)
        assert run.path[0] == run.root
        assert run.path[-1] == run.terminal
        assert run.wrong[run.path].all()
        slips = np.flatnonzero(run.slips)
        assert not any(run.graph.children(int(s)) for s in slips)
        assert closure(run.graph, run.terminal)[run.root]
    assert any(run.slips.any() for run in runs)


def test_symptoms_are_wrong_only_because_of_their_ancestors(runs: list[SearchRun]) -> None:
    for run in runs[:30]:
        for step in np.flatnonzero(run.wrong & ~run.faulty):
            assert any(run.wrong[e.source] for e in run.graph.parents(int(step)))


def test_runs_have_seeds_of_their_own() -> None:
    short, longer = (list(search_runs(SearchWorld(), n, 9)) for n in (2, 4))
    assert [r.root for r in short] == [r.root for r in longer[:2]]
    assert [e.source for e in short[1].graph.edges] == [e.source for e in longer[1].graph.edges]


def test_graph_aware_faults_go_where_impact_is_high() -> None:
    aware = list(search_runs(SearchWorld(planting="impact"), 40, 1))
    plain = list(search_runs(SearchWorld(), 40, 1))
    mean = [np.mean([impact(r.graph)[r.root] for r in some]) for some in (aware, plain)]
    assert mean[0] > mean[1] + 0.2


@pytest.mark.parametrize("sees", ["errors", "faults"])
@pytest.mark.parametrize("auc", [0.6, 0.75, 0.9])
def test_the_judge_has_the_auc_that_was_set(runs: list[SearchRun], auc: float, sees: str) -> None:
    from scipy.stats import rankdata

    q = np.concatenate([suspicions(r, auc, i, sees) for i, r in enumerate(runs)])  # type: ignore[arg-type]
    truth = np.concatenate([r.wrong if sees == "errors" else r.faulty for r in runs])
    ranks = rankdata(q)
    found = (ranks[truth].sum() - truth.sum() * (truth.sum() + 1) / 2) / (truth.sum() * (~truth).sum())
    assert found == pytest.approx(auc, abs=0.03)


def test_the_judge_is_calibrated(runs: list[SearchRun]) -> None:
    for sees in ("errors", "faults"):
        q = np.concatenate([suspicions(r, 0.8, i, sees) for i, r in enumerate(runs)])  # type: ignore[arg-type]
        truth = np.concatenate([r.wrong if sees == "errors" else r.faulty for r in runs])
        assert q.mean() == pytest.approx(truth.mean(), abs=0.05)


# Methods


def simple(q: Sequence[float], agents: str = "ABAB", terminal: int = 3) -> Incident:
    return Incident(tuple(agents), np.array(q), chain(len(q)), terminal)


def test_baselines_by_hand() -> None:
    met = simple([0.1, 0.6, 0.9, 0.3])
    assert blame("earliest suspicious", met).argmax() == 1
    assert earliest_suspicious(met, 0.95).argmax() == 2  # none does: the most suspicious
    assert blame("last before failure", met).argmax() == 2
    assert blame("always step 1", met).argmax() == 1
    assert constant_step(simple([0.1] * 2, "AB", 1), 7).argmax() == 1
    assert constant_agent(met, "B").argmax() == 1
    assert blame("always one agent", met).argmax() == 0
    assert blame("most talkative", simple([0.1, 0.6, 0.9, 0.3], "ABBA")).argmax() == 3
    assert blame("last before failure", simple([0.5], "A", 0)).argmax() == 0
    drawn = {int(blame("random", replace(met, seed=s)).argmax()) for s in range(40)}
    assert drawn == {0, 1, 2, 3}


def test_nobodys_steps_are_never_blamed_by_baselines() -> None:
    met = Incident(("", "A", "", "A"), np.array([0.9, 0.1, 0.9, 0.2]), chain(4), 3)
    for name in ("earliest suspicious", "most talkative", "random", "last before failure", "always one agent"):
        assert met.agents[int(blame(name, met).argmax())] == "A", name


def test_every_method_blames_somebody_with_finite_shares(runs: list[SearchRun]) -> None:
    met = replace(incident(runs[0], 0.75, 0), judge=inquiry.ScoreJudge())
    assert set(METHODS) <= set(ATTRIBUTION)
    for name, entry in ATTRIBUTION.items():
        if name == "tracer":
            continue  # trains first; see below
        scores = asyncio.run(asked_blame(name, met))
        assert scores.shape == (met.size,)
        assert np.isfinite(scores).all()
        assert (scores >= 0).all()
        assert entry.shares or (scores > 0).sum() <= 1


def test_tracing_ignores_what_nobody_used(runs: list[SearchRun]) -> None:
    for run in runs[:20]:
        met = incident(run, 0.75, 1)
        assert not blame("tracing", met)[~closure(run.graph, run.terminal)].any()
        assert closure(run.graph, run.terminal)[int(blame("tracing without impact", met).argmax())]


def test_a_new_method_is_registered_by_one_decorator() -> None:
    @attribution_method("test: the last", "The last step")
    def last(incident: Incident) -> Blame:
        return incident.one(incident.size - 1)

    try:
        assert blame("test: the last", simple([0.1] * 4)).argmax() == 3
    finally:
        del ATTRIBUTION._parts["test: the last"]
    with pytest.raises(UnknownName, match="tracing"):
        blame("tracin", simple([0.1] * 4))
    with pytest.raises(InputError, match="model"):
        blame("all-at-once", simple([0.1] * 4))


def test_tracing_beats_the_chain_with_a_good_judge_of_own_faults(runs: list[SearchRun]) -> None:
    met = [incident(run, 0.9, i, "faults") for i, run in enumerate(runs)]
    hits = {
        name: np.mean([blame(name, i).argmax() == r.root for i, r in zip(met, runs, strict=True)])
        for name in ("tracing", "tracing on a chain", "random")
    }
    assert hits["tracing"] > hits["tracing on a chain"] > hits["random"]


def test_the_threshold_is_the_best_of_those_tried(runs: list[SearchRun]) -> None:
    best = tuned(runs[:60], 0.75, 3, "errors")
    assert best in THRESHOLDS
    again = tuned(runs[:60], 0.75, 3, "errors")
    assert best == again


# Asking a judge


def test_protocols_agree_with_what_the_numbers_say(runs: list[SearchRun]) -> None:
    for run in runs[:25]:
        met = incident(run, 0.75, 2)
        judge = inquiry.ScoreJudge(0.6)
        at_once = asyncio.run(inquiry.all_at_once(judge, met))
        stepwise = asyncio.run(inquiry.step_by_step(judge, met))
        halves = asyncio.run(inquiry.binary_search(judge, met))
        assert at_once.step == halves.step == int(met.suspicion.argmax())
        assert at_once.agent == met.agents[met.suspicion.argmax()]
        above = np.flatnonzero(met.suspicion >= 0.6)
        assert stepwise.step == (int(above[0]) if above.size else None)
        assert halves.calls <= int(np.ceil(np.log2(met.size)))


class Reader(Model):
    """Says what it is told to for each kind of question, and keeps what it was asked."""

    spec = identity = "test:reader"
    evidence = Evidence.SCRIPTED

    def __init__(self, whole: str = "", wrong: Sequence[str] = (), half: Sequence[str] = ()) -> None:
        self.whole, self.wrong_, self.half = whole, list(wrong), list(half)
        self.prompts: list[str] = []

    async def complete(self, request: Request) -> Completion:
        prompt = request.messages[-1]["content"]
        self.prompts.append(prompt)
        if "part A" in prompt:
            return Completion(self.half.pop(0))
        if "Yes or No" in prompt:
            return Completion(self.wrong_.pop(0))
        return Completion(self.whole)


@pytest.fixture
def talk() -> Incident:
    said = [("ann", "The bridge is 120 m."), ("bob", "So 210 m."), ("ann", "Then 70 planks."), ("bob", "Answer: 70")]
    events = [Event(str(i), "r", 0.0, i, a, "message", (), {"content": c}) for i, (a, c) in enumerate(said)]
    view = conversation("r", [*events, Event("q", "r", 0.0, 9, "", "task.start", (), {"text": "How many planks?"})])
    return incident_of(examine(view, failed=True))


def test_a_model_is_asked_in_three_ways(talk: Incident) -> None:
    model = Reader("Agent: bob\nStep: 1", ["No.", "no", "hm", "Yes, it is."], ["A", "B"])
    asked = inquiry.ModelJudge(model)
    answer = asyncio.run(inquiry.all_at_once(asked, talk))
    assert (answer.agent, answer.step, answer.unparsed) == ("bob", 1, 0)
    answer = asyncio.run(inquiry.step_by_step(asked, talk))
    assert (answer.agent, answer.step, answer.calls, answer.unparsed) == ("bob", 3, 4, 1)
    answer = asyncio.run(inquiry.binary_search(asked, talk))
    assert (answer.agent, answer.step, answer.calls) == ("bob", 1, 2)
    assert (asked.calls, asked.unparsed) == (7, 1)
    assert "Answer: 70" not in model.prompts[1]  # the log grows: step 0 is judged before step 3 is shown
    assert "How many planks?" in model.prompts[0]


def test_the_true_answer_is_a_switch(talk: Incident) -> None:
    for truth in (None, "40"):
        model = Reader("Agent: ann, Step: 0")
        asyncio.run(inquiry.all_at_once(inquiry.ModelJudge(model, truth), talk))
        assert ("right answer" in model.prompts[0]) == (truth is not None)
        assert ("40" in model.prompts[0]) == (truth is not None)


def test_unreadable_replies_are_counted_and_count_as_wrong(talk: Incident) -> None:
    asked = inquiry.ModelJudge(Reader("I cannot tell.", ["?"] * 4, ["maybe"]))
    for protocol in (inquiry.all_at_once, inquiry.step_by_step, inquiry.binary_search):
        answer = asyncio.run(protocol(asked, talk))
        assert answer.step is None
        assert answer.unparsed > 0
    assert asked.unparsed == 6
    assert not asyncio.run(asked_blame("all-at-once", replace(talk, judge=asked))).any()


def test_lost_calls_are_counted(talk: Incident) -> None:
    class Lost(Reader):
        async def complete(self, request: Request) -> Completion:
            raise ModelError("timeout", "no reply")

    asked = inquiry.ModelJudge(Lost())
    assert asyncio.run(inquiry.binary_search(asked, talk)).step is None
    assert asked.lost == {"timeout": 1}


@pytest.mark.parametrize(
    ("reply", "agent", "step"),
    [
        ("Agent: bob\nStep: 2", "bob", 2),
        ("**Agent Name:** Bob\n**Step Number:** 12", "bob", 12),
        ("The agent ann made it at step 3.", "ann", 3),
        ("Agent: carl\nStep: 1", None, 1),
        ("ann or bob, who knows", None, None),
        ("7", None, 7),
        ("", None, None),
    ],
)
def test_reading_replies(reply: str, agent: str | None, step: int | None) -> None:
    assert inquiry.read_agent(reply, ("ann", "bob")) == agent
    assert inquiry.read_step(reply) == step


def test_long_logs_are_cut_to_fit(talk: Incident) -> None:
    assert talk.conversation is not None
    long = conversation(
        "long", [Event(str(i), "l", 0.0, i, "a", "message", (), {"content": "word " * 500}) for i in range(20)]
    )
    model = Reader("Agent: a\nStep: 1")
    met = replace(incident_of(examine(long, failed=True)), judge=inquiry.ModelJudge(model, characters=2000))
    asyncio.run(asked_blame("all-at-once", met))
    assert len(model.prompts[0]) < 3500
    with pytest.raises(InputError, match="characters"):
        inquiry.ModelJudge(model, characters=3)
    with pytest.raises(InputError, match="conversation"):
        asyncio.run(inquiry.all_at_once(inquiry.ModelJudge(model), simple([0.1] * 4)))


# The learned tracer


def test_the_reward_by_hand() -> None:
    met = Incident(("a",) * 6, np.full(6, 0.5), DIAMOND, 5)
    found = tracer.rewards(tracer.Labelled(met, 1, (1, 3, 5)), tracer.TracerSettings(source_weight=0.5, width=1.0))
    assert found[1] == pytest.approx(1.0)
    assert found[3] == pytest.approx(0.5 * np.exp(-0.5) + 0.5 * 2 * 2 / 5)  # one edge away, two of two and three steps
    assert found[4] == pytest.approx(0.5 * np.exp(-4.5) + 0.5 * 2 * 1 / 5)
    apart = Incident(("a",) * 3, np.full(3, 0.5), graph_of(3, (1, 2)), 2)
    assert tracer.rewards(tracer.Labelled(apart, 1, (1, 2)), tracer.TracerSettings())[0] == 0.0


@pytest.fixture(scope="module")
def taught() -> tuple[tracer.Lesson, tracer.Tracer, tracer.Tracer]:
    settings = tracer.TracerSettings(updates=250)
    examples = [
        tracer.labelled(run, 0.75, i, "errors")
        for i, run in enumerate(search_runs(SearchWorld(planting="impact"), 150, 2))
    ]
    data = tracer.lesson(examples, settings, 80)
    start = tracer.untrained(data, settings, 0)
    return data, start, tracer.train(start, data, settings, 0)


def test_training_raises_the_reward(taught: tuple[tracer.Lesson, tracer.Tracer, tracer.Tracer]) -> None:
    data, start, trained = taught
    rows = np.arange(len(data.root))
    before, after = (data.reward[rows, t.pick(data)].mean() for t in (start, trained))
    assert after > before + 0.1
    assert (trained.pick(data) == data.root).mean() > (start.pick(data) == data.root).mean() + 0.1


def test_logits_are_those_of_the_network(taught: tuple[tracer.Lesson, tracer.Tracer, tracer.Tracer]) -> None:
    data, _, trained = taught
    row = (data.features[0, 0] - trained.centre) / trained.scale
    assert trained.logits(data.features[:2])[0, 0] == pytest.approx(float(trained.network(row)), abs=1e-4)


def test_the_policy_is_a_distribution_over_agents_steps(
    taught: tuple[tracer.Lesson, tracer.Tracer, tracer.Tracer], runs: list[SearchRun]
) -> None:
    met = incident(runs[0], 0.75, 0)
    shares = taught[2].blame(replace(met, agents=("", *met.agents[1:])))
    assert shares.sum() == pytest.approx(1.0)
    assert shares[0] == 0.0


def test_shuffled_labels_stay_among_what_the_failure_was_made_from(runs: list[SearchRun]) -> None:
    for seed, run in enumerate(runs[:20]):
        other = tracer.relabelled(tracer.labelled(run, 0.75, 0, "faults"), seed)
        assert closure(run.graph, run.terminal)[other.root]
        assert other.root != run.terminal
        assert other.path[0] == other.root


# Words, conflicts, planting


def test_words_hold_the_faults_and_nothing_else(runs: list[SearchRun]) -> None:
    for number, run in enumerate(runs[:15]):
        view, truth = written(run, number)
        assert view.outcome != truth  # all of them fail
        assert [s.agent for s in view.steps] == list(run.agents)
        read = [s for s in view.steps if "looked up" in s.text]
        shown = {s.index: re.findall(r"reads (\d+)\. I note \w+ = (\d+)\.", s.text)[0] for s in read}
        assert {i for i, (true, noted) in shown.items() if true != noted} == {i for i in shown if run.faulty[i]}


def test_edges_are_found_in_the_words(runs: list[SearchRun]) -> None:
    hit = found = true = 0
    for number, run in enumerate(runs[:20]):
        graph = usage_graph(written(run, number)[0])
        mine = {(e.source, e.target) for e in graph.edges if e.origin != "order"}
        theirs = {(e.source, e.target) for e in run.graph.edges}
        hit, found, true = hit + len(mine & theirs), found + len(mine), true + len(theirs)
    assert hit / found > 0.6
    assert hit / true > 0.55


def said(*texts: str) -> Conversation:
    return conversation(
        "r", [Event(str(i), "r", 0.0, i, f"a{i}", "message", (), {"content": t}) for i, t in enumerate(texts)]
    )


def test_conflict_edges_join_what_meets_later() -> None:
    view = said("The Severn is 354 km long.", "The Severn is 345 km long.", "I take both.", "The Ouse is 84 km long.")
    (found,) = conflicts(view, graph_of(4, (0, 2), (1, 2)))
    assert (found.first, found.second, found.meets, found.values) == (0, 1, 2, ("354", "345"))
    assert conflicts(view, graph_of(4, (0, 2), (1, 3))) == []  # they never come together
    more = {0: [Claimed("severn", "mouth", "bristol")], 1: [Claimed("severn", "mouth", "avon")]}
    assert len(conflicts(view, graph_of(4, (0, 2), (1, 2)), more)) == 2


async def test_a_model_may_read_claims_out_of_the_words() -> None:
    view = said("The mouth of the Severn is at Bristol.", "It is at Avon.", "I take both.")
    found = await claims_by(Reader("Severn | mouth | Bristol\nnothing here"), view)
    assert found[0] == [Claimed("severn", "mouth", "bristol")]
    assert conflicts(view, graph_of(3, (0, 2), (1, 2)), found) == []  # all steps are read alike
    other = {0: found[0], 1: [Claimed("severn", "mouth", "avon")]}
    assert len(conflicts(view, graph_of(3, (0, 2), (1, 2)), other)) == 1


def test_corruptions_change_what_they_say() -> None:
    view = said("We take only rivers over 100 km, excluding canals.", "In Bath the Severn is 354 km long.")
    limits, facts = view.steps
    assert "excluding" in CORRUPTIONS["dropped constraint"](limits, view, 0)
    assert "only rivers" not in CORRUPTIONS["dropped constraint"](limits, view, 0)
    assert "354" not in CORRUPTIONS["wrong number"](facts, view, 0)
    assert CORRUPTIONS["wrong entity"](facts, view, 0) == facts.text  # there is no other name
    other = said("Look at the Severn.", "In Bath flows the Avon.")
    swapped = CORRUPTIONS["wrong entity"](other.steps[1], other, 0)
    assert swapped in ("In Severn flows the Avon.", "In Bath flows the Severn.")


async def test_planted_faults_make_a_successful_run_fail() -> None:
    found = await planted_runs(replayable("relay", 3), most=3)
    assert found
    for run in found:
        assert run.path[0] == run.root
        assert run.path[-1] == run.conversation.final
        assert run.kind in CORRUPTIONS
    roots = {run.root for run in found}
    assert len(roots) <= 3


# Diagnosis and the command line


def test_diagnose_takes_a_method(talk: Incident) -> None:
    assert talk.conversation is not None
    verdict = diagnose(talk.conversation, failed=True, method="always step 1")
    assert [(s.step, s.agent) for s in verdict.suspects] == [(1, "bob")]
    assert verdict.method == "always step 1"
    with pytest.raises(InputError, match="model"):
        diagnose(talk.conversation, failed=True, method="all-at-once")
    assert diagnose(conversation("empty", []), method="tracing").suspects == []


def test_attribution_methods_on_the_command_line(shoal: Shoal) -> None:
    found = shoal.json("diagnose", SAMPLES / "chat.jsonl", "--failed", "--with", "tracing")["conversations"][0]
    assert found["method"] == "tracing"
    assert found["suspects"][0]["agent"] == "carpenter"
    assert shoal("diagnose", SAMPLES / "chat.jsonl", "--failed", "--with", "always step 1") == 0
    assert "By 'always step 1'" in shoal.out
    assert "share of the blame" in shoal.out
    assert shoal("diagnose", SAMPLES / "chat.jsonl", "--with", "tracing", "--with", "random") == 2
    assert "one attribution method" in shoal.err
    assert shoal("diagnose", SAMPLES / "chat.jsonl", "--with", "binary search") == 2
    assert "--model" in shoal.err
    assert {row["name"] for row in shoal.json("list", "attribution")} >= set(METHODS)
    assert any(row["name"] == "loop" for row in shoal.json("list", "detectors"))


# The study


def claim(name: str, results: Results) -> Verdict:
    found = next(c for c in STUDY.claims if c.id == name)
    return judge(name, found.statement, Evidence.SCRIPTED, found.checks(results)).verdict


def filled(rule: float, earliest: float, chain: float, shuffled: float) -> Results:
    results, rng = Results(), np.random.default_rng(0)
    for seed in range(5):
        luck, far = rng.random(400), rng.integers(1, 60, 400)
        results.add("tracing", "runs", seed, {"steps to failure": far})
        for name, share in (
            ("tracing", rule + (far - 30) / 300),
            ("earliest suspicious", earliest),
            ("tracing on a chain", chain),
            ("tracing on shuffled edges", shuffled),
        ):
            results.add("tracing", name, seed, {"step, faults": (luck < share).astype(float)})
    return results


def test_claims_can_come_out_either_way() -> None:
    good, bad = filled(0.5, 0.2, 0.22, 0.1), filled(0.2, 0.3, 0.3, 0.35)
    for name in ("gain", "ahead", "chain", "shuffled", "distance", "distance-earliest"):
        assert claim(name, good) is Verdict.REPRODUCED, name
    for name in ("gain", "ahead", "chain", "shuffled"):
        assert claim(name, bad) is Verdict.NOT_REPRODUCED, name
    assert claim("gain", Results()) is Verdict.NOT_RUN
    counted = Results()
    counted.add("logs", "loader", 0, {"logs": 126.0})
    counted.add("logs", "always step 1", 0, {"step": [1.0] * 33 + [0.0] * 93})
    assert claim("loader", counted) is Verdict.NOT_REPRODUCED


def test_hand_crafted_logs_are_told_how_to_get() -> None:
    experiment = STUDY.experiment("logs-hand")
    assert experiment.skip is not None
    assert "hand_logs" in str(experiment.skip(STUDY.configure("quick")))
    assert experiment.skip(STUDY.configure("quick", {"hand_logs": "somewhere"})) is None
