"""Error cascades: contagion against exact values, the layer as a state machine, live, stored, and the study."""

from __future__ import annotations

import asyncio
import json
import math
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from command_line import Shoal
from shoal.diagnosis.contagion.estimation import fit
from shoal.diagnosis.contagion.graphs import message_graph, random_graph, reached, topology
from shoal.diagnosis.contagion.risk import dangerous_seed, principal_vector, risk, spectral_radius
from shoal.diagnosis.contagion.spread import (
    corrected,
    false_consensus,
    mean_field,
    polluted_rounds,
    seeded,
    simulate,
)
from shoal.diagnosis.conversation import conversations
from shoal.diagnosis.governance.attacks import ATTACKS, find_attack
from shoal.diagnosis.governance.claims import HIGH_RISK, UNSURE, claim_of, decompose
from shoal.diagnosis.governance.layer import Governance, Package
from shoal.diagnosis.governance.lineage import BRIEF, Lineage
from shoal.diagnosis.governance.live import attach, deliver, open_watch
from shoal.diagnosis.governance.policy import POLICIES, Policy, find_policy, is_hub
from shoal.diagnosis.governance.prompts import ModelStaff
from shoal.diagnosis.governance.scenarios import Repeater, make_items, relay, relay_problem
from shoal.diagnosis.governance.staff import Rules
from shoal.diagnosis.governance.stored import causal_rounds, heard_by, rebuilt
from shoal.diagnosis.governance.synthetic import Defence, Team, luck, play
from shoal.diagnosis.recording import Recording
from shoal.diagnosis.usage import usage_graph
from shoal.diagnosis.watching import Stopped
from shoal.errors import InputError, UnknownName
from shoal.models.interface import Completion, Model, Request
from shoal.runs.results import Results
from shoal.runs.study import Trial
from shoal.stats import Evidence, Verdict, judge
from shoal.studies.error_cascades import STUDY
from shoal.studies.error_cascades.claims import impact
from shoal.tasks.problem import Question
from shoal.teams.agent import Agent, make_agents
from shoal.teams.session import Session
from shoal.traces import TraceWriter
from shoal.traces.importers import import_trace

# contagion


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
        lambda: Policy("lax"),  # type: ignore[arg-type]
        lambda: Policy(retries=-1),
        lambda: find_policy("blanced"),
        lambda: find_attack("bribe"),
        lambda: open_watch("governance=lax"),
        lambda: open_watch("flags"),
    ],
)
def test_bad_input_is_named(call: Any) -> None:
    with pytest.raises(InputError) as problem:
        call()
    assert problem.value.field and problem.value.mend


# claims and lineage


def test_messages_are_taken_apart() -> None:
    text = "The Severn is 354 km long and the Ouse is 84 km long. We must keep the format. Answer: 270"
    claims = decompose(text)
    assert [c.facts for c in claims] == [
        (("severn|||km", "354"),), (("ouse|||km", "84"),), (), (("answer", "270"),)
    ]  # fmt: skip
    assert [c.kind for c in claims] == ["factual", "factual", "faithfulness", "factual"]
    assert decompose("") == [] and decompose("\n ") == []
    assert [c.text for c in decompose("???")] == ["???"]
    assert claim_of(f"{UNSURE} The gate is 4 m wide.") == claim_of("The gate is 4 m wide.")
    assert claim_of("or the result is ruined").facts == ()


@given(st.text(max_size=200))
@settings(max_examples=60)
def test_any_message_passes_through_a_layer_that_knows_nothing(text: str) -> None:
    ruling = Governance(Policy("speed")).rule("ann", text, ("bob",))
    assert ruling.text is not None and not ruling.count("red")
    if text.strip():
        assert ruling.items


def said(lineage: Lineage, agent: str, text: str, round: int, *receivers: str) -> list[int]:
    return [lineage.add(claim, agent, round, receivers).id for claim in decompose(text)]


def test_lineage_knows_first_carriers_curves_and_descent() -> None:
    lineage = Lineage()
    (first,) = said(lineage, "ann", "The gate is 4 m wide.", 0, "bob", "cy")
    (second,) = said(lineage, "bob", "The gate is 4 m wide.", 1, "cy")
    (third,) = said(lineage, "cy", "The gate is 7 m wide.", 2, "ann")
    fact = lineage.nodes[first].claim.facts[0]
    assert lineage.nodes[second].parents == (first,) and lineage.nodes[third].parents == (second,)
    assert lineage.descendants(first) == {second, third}
    carrier = lineage.first_carrier(fact)
    assert carrier is not None and carrier.agent == "ann"
    assert lineage.coverage(fact) == pytest.approx([1 / 3, 2 / 3, 2 / 3])
    (last,) = said(lineage, "bob", "The gate is 7 m wide.", 3)
    assert lineage.coverage(fact)[3] == pytest.approx(1 / 3) and last == 3
    assert json.loads(json.dumps(lineage.as_dict()))["edges"] == [[0, 1], [1, 2], [1, 3]]


def test_retraction_reopens_what_rested_on_the_claim() -> None:
    governance = Governance(Policy("strict"), Rules("The gate is 9 m wide."))
    assert governance.rule("ann", "The gate is 9 m wide.", ("bob",)).count("green") == 1
    assert governance.rule("bob", "The gate is 9 m wide.", ("ann",)).count("green") == 1
    assert governance.rule("cy", "The gate is 4 m wide.", ("ann",)).text is None
    fact = governance.lineage.nodes[0].claim.facts[0]
    changed = governance.lineage.retract(fact, "measured again")
    assert {n.status for n in changed} == {"retracted", "untrusted"} and len(changed) == 3
    assert governance.lineage.confirmed == {} and not governance.lineage.rejected(claim_of("The gate is 4 m wide."))


# the layer


BRIEFED = "The gate is 4 m wide."
WRONG = "The gate is 7 m wide."


def layer(name: str = "speed", **changes: Any) -> Governance:
    governance = Governance(Policy(**{**{"mode": name}, **changes}))  # type: ignore[arg-type]
    governance.lineage.confirm_brief(BRIEFED)
    return governance


def test_green_passes_untouched_yellow_is_tagged_and_never_promoted() -> None:
    governance = layer()
    assert governance.rule("ann", BRIEFED, ("bob",)).text == BRIEFED
    for _ in range(2):
        ruling = governance.rule("ann", "The path is 90 m long.", ("bob",))
        assert ruling.text == f"{UNSURE} The path is 90 m long." and ruling.count("yellow") == 1
    assert governance.counts["verify"] == 0
    assert all(n.status == "untrusted" for n in governance.lineage.nodes if "path" in n.claim.text)


def test_red_goes_back_with_reasons_and_a_mended_message_is_released() -> None:
    governance, sent = layer(), list[Package]()

    def rewrite(package: Package) -> str:
        sent.append(package)
        return BRIEFED

    ruling = governance.rule("ann", f"{WRONG} The path is 90 m long.", ("bob",), rewrite=rewrite)
    assert ruling.text == BRIEFED and ruling.attempts == 2 and not ruling.broken
    assert [claim.text for claim, _ in sent[0].rejected] == [WRONG] and "4" in sent[0].rejected[0][1]
    assert WRONG in sent[0].prompt
    assert governance.lineage.first_carrier(claim_of(WRONG).facts[0]) is None  # what is held back spreads nowhere


def test_the_circuit_breaker_drops_what_is_wrong_and_marks_the_rest() -> None:
    governance = layer()
    text = f"{BRIEFED} {WRONG} The path is 90 m long."
    ruling = governance.rule("ann", text, ("bob",), rewrite=lambda package: text)
    assert ruling.broken and ruling.attempts == 3
    assert ruling.text == f"{BRIEFED} {HIGH_RISK} The path is 90 m long."
    assert governance.counts["dropped"] == 1 and governance.counts["rewrites"] == 2
    nothing = governance.rule("bob", WRONG, ("ann",), rewrite=lambda package: WRONG)
    assert nothing.text is None and nothing.broken


def test_attempts_count_over_messages_where_the_sender_cannot_be_asked() -> None:
    governance = layer()
    rulings = [governance.rule("ann", f"{WRONG} All is well.", ("bob",)) for _ in range(4)]
    assert [r.text is None for r in rulings] == [True, True, False, True]
    assert rulings[0].package is not None and rulings[2].broken


def test_modes_verify_as_much_as_they_say() -> None:
    evidence = Rules("The path is 90 m long.")
    counts = {}
    for mode in ("speed", "balanced", "strict"):
        governance = Governance(Policy(mode, hubs=("lead",)), evidence)  # type: ignore[arg-type]
        for agent in ("lead", "bob", "cy"):
            governance.rule(agent, f"The path is 80 m long, said {agent}.", ("x",))
            governance.rule(agent, f"Item {agent} is fine.", ("x",))
        counts[mode] = governance.counts["verify"]
    assert counts["speed"] == 0 < counts["balanced"] < counts["strict"]
    strict = Governance(Policy("strict"), evidence)
    assert strict.rule("bob", "The path is 90 m long.").count("green") == 1
    assert strict.rule("bob", "The path is 80 m long.").count("red") == 1
    assert strict.rule("bob", "The shed is 3 m long.").count("yellow") == 1


def test_ablations_and_rivals_of_the_layer() -> None:
    text = f"{WRONG} The path is 90 m long."
    assert layer(block=False).rule("ann", text).text == text
    tagged = layer(detect=False).rule("ann", text).text
    assert tagged is not None and tagged.count(UNSURE) == 2
    whole = layer(whole=True).rule("ann", text, rewrite=lambda package: text)
    assert whole.text is None and whole.broken
    with pytest.raises(Stopped, match="gate"):
        layer(stop=True).rule("ann", text)
    single = layer(atomise=False).rule("ann", text, rewrite=lambda package: text)
    assert len(single.items) == 1 and single.text is None
    assert set(POLICIES) >= {"speed", "balanced", "strict", "detect", "whole", "stop"}


class Fickle(Rules):
    """Confirms the first thing that it is asked, then tells the truth."""

    asked = 0

    def verify(self, claim: Any, lineage: Lineage) -> bool | None:
        self.asked += 1
        return True if self.asked == 1 else super().verify(claim, lineage)


@pytest.mark.parametrize("appeals", [True, False])
def test_a_truth_that_contradicts_a_wrong_confirmation_gets_through_by_appeal_only(appeals: bool) -> None:
    governance = Governance(Policy("strict", appeals=appeals), Fickle(BRIEFED))
    assert governance.rule("ann", WRONG, ("bob",)).text == WRONG  # wrongly confirmed
    ruling = governance.rule("bob", BRIEFED, ("ann",), rewrite=lambda package: BRIEFED)
    assert ruling.broken and (ruling.text == BRIEFED) == appeals
    assert governance.counts["retracted"] == int(appeals)
    assert governance.lineage.nodes[0].status == ("retracted" if appeals else "confirmed")


def test_hubs_are_told_by_role_name_or_by_who_is_heard() -> None:
    heard = {"a": {"b", "c", "d"}, "b": {"a"}, "c": {"a"}}
    assert is_hub(Policy(), "a", heard) and not is_hub(Policy(), "b", heard)
    assert is_hub(Policy(), "Summariser", {}) and not is_hub(Policy(hubs=("b",)), "a", heard)
    assert not is_hub(Policy(), "a", {"a": {"b"}, "b": {"a"}})  # equal agents: no hub by structure


# live, stored, and from the command line


class Saying(Model):
    """Replies from a list, in order."""

    spec = identity = "scripted:saying"
    evidence = Evidence.SCRIPTED

    def __init__(self, *replies: str) -> None:
        self.replies = list(replies)
        self.prompts: list[str] = []

    async def complete(self, request: Request) -> Completion:
        self.prompts.append("\n".join(m["content"] for m in request.messages))
        return Completion(self.replies.pop(0))


async def test_the_inspector_holds_a_message_and_its_reasons_reach_the_next_prompt() -> None:
    trace = Recording("live")
    session = Session(Saying("fine"), Question("q", BRIEFED), trace=trace)
    governance = attach(Governance(Policy("speed")), session)
    assert session.send("ann", ["bob"], WRONG) is None
    passed = session.send("bob", ["ann"], BRIEFED)
    assert passed is not None and passed.content == BRIEFED
    await session.ask(Agent("ann"), "Go on.")
    assert "was not delivered" in session.model.prompts[0] and session.model.prompts[0].endswith("Go on.")  # type: ignore[attr-defined]
    assert session.notices == {}
    assert [e.kind for e in trace.events] == ["governance", "message.dropped", "message", "model.call"]
    assert governance.counts["messages"] == 2


def test_the_policy_that_stops_leaves_an_alarm() -> None:
    trace = Recording("live")
    session = Session(Saying(), Question("q", BRIEFED), trace=trace)
    open_watch("governance=stop")(session)
    with pytest.raises(Stopped):
        session.send("ann", ["bob"], WRONG)
    assert [(e.kind, e.agent) for e in trace.events] == [("alarm", "ann")]


async def test_a_team_that_waits_has_its_sender_rewrite_at_once() -> None:
    session = Session(Saying(BRIEFED), Question("q", BRIEFED))
    governance = Governance(Policy("speed"))
    governance.lineage.confirm_brief(BRIEFED)
    message = await deliver(governance, session, Agent("ann"), ["bob"], WRONG)
    assert message is not None and message.content == BRIEFED and session.usage.calls == 1


async def test_a_model_can_be_the_staff_and_unreadable_replies_stop_nothing() -> None:
    model = Saying(
        '{"claims": [{"text": "The path is ninety metres."}]}',
        '{"verdicts": [{"claim": 1, "label": "neither"}]}',
        '{"verdict": "false", "reason": "it is 80"}',
    )
    staff = ModelStaff(model, retrieve=lambda claim: "The path is 80 m long.")
    governance = Governance(Policy("strict"), staff)
    with pytest.raises(InputError, match="review"):
        governance.rule("ann", "The path is ninety metres.")
    ruling = await Governance(Policy("strict"), staff).review("ann", "The path is ninety metres.", ("bob",))
    assert ruling.text is None and ruling.count("red") == 1 and staff.unread == {}
    assert ["smallest claims" in p for p in model.prompts] == [True, False, False]
    assert "Evidence:\nThe path is 80 m long." in model.prompts[2]
    vague = ModelStaff(Saying("hm", "hm", "hm"), retrieve=lambda claim: "x")
    passed = await Governance(Policy("strict"), vague).review("ann", BRIEFED, ("bob",))
    assert passed.text == f"{UNSURE} {BRIEFED}" and vague.unread == {"decomposer": 1, "judge": 1, "verifier": 1}


TALK = (
    ("surveyor", "The bridge is 120 m long."), ("carpenter", "The bridge is 210 m long."),
    ("buyer", "The bridge is 210 m long. Answer: 70"), ("surveyor", "The bridge is 210 m long."),
)  # fmt: skip


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    path = tmp_path / "talk.jsonl"
    path.write_text("".join(json.dumps({"agent": a, "content": c}) + "\n" for a, c in TALK))
    return path


def test_a_stored_run_gives_lineage_curve_and_first_carrier(talk: Path) -> None:
    (view,) = conversations(import_trace(talk).trace)
    graph = usage_graph(view)
    governance = rebuilt(view, graph, brief="The bridge is 120 m long.")
    fact = claim_of("The bridge is 210 m long.").facts[0]
    carrier = governance.lineage.first_carrier(fact)
    assert carrier is not None and carrier.agent == "carpenter" and carrier.status == "rejected"
    curve = governance.lineage.coverage(fact)
    assert curve[0] == 0 and curve[-1] == 1 and curve == sorted(curve)
    assert governance.lineage.agents == view.agents and all(n.agent != "" for n in governance.lineage.nodes)
    assert causal_rounds(view, graph) == sorted(causal_rounds(view, graph))
    assert heard_by(view, graph).shape == (3, 3) and heard_by(view, graph).diagonal().sum() == 0
    assert sum(n.agent == BRIEF for n in governance.lineage.nodes) == 1


def test_diagnose_with_cascades(shoal: Shoal, talk: Path) -> None:
    found = shoal.json("diagnose", talk, "--failed", "--with", "cascades:The bridge is 120 m long.")
    (one,) = (part for part in _dictionaries(found) if "rivals" in part)
    worst = one["rivals"][0]
    assert (worst["first_carrier"], worst["value"], worst["others"]) == ("carpenter", "210", ["120"])
    assert worst["why"] and worst["coverage"][-1] == 1.0 and one["reach"] >= 1
    assert shoal("diagnose", talk, "--failed", "--with", "cascades") == 0
    assert "first carrier carpenter" in shoal.out and "S(t)" in shoal.out and "reaches" in shoal.out


def _dictionaries(found: Any) -> list[Any]:
    """All dictionaries anywhere in a document."""
    below = list(found.values()) if isinstance(found, dict) else found if isinstance(found, list) else []
    return ([found] if isinstance(found, dict) else []) + [d for part in below for d in _dictionaries(part)]


def test_cascades_of_one_speaker_and_of_none_in_common(shoal: Shoal, tmp_path: Path) -> None:
    alone = tmp_path / "alone.jsonl"
    alone.write_text(json.dumps({"agent": "ann", "content": "The gate is 4 m wide."}) + "\n")
    assert shoal("diagnose", alone, "--with", "cascades") == 0 and "nothing can spread" in shoal.out
    calm = tmp_path / "calm.jsonl"
    calm.write_text("".join(json.dumps({"agent": a, "content": "Good morning."}) + "\n" for a in "ab"))
    assert shoal("diagnose", calm, "--with", "cascades") == 0 and "No two values contradict" in shoal.out


def test_a_team_is_watched_from_the_command_line(shoal: Shoal, tmp_path: Path) -> None:
    arguments = ("team", "debate:agents=3,rounds=1,agreement=null", "--model", "scripted:competence=0.5",
                 "--questions", 3, "--out", tmp_path / "runs")  # fmt: skip
    found = shoal.json(*arguments, "--watch", "governance=strict")
    events = Path(found["folder"] if "folder" in found else next((tmp_path / "runs").glob("team-*"))) / "events.jsonl"
    assert '"governance"' in events.read_text()
    assert shoal(*arguments, "--watch", "governance=lax") == 2 and "balanced" in shoal.err


# synthetic teams and the relay


@pytest.mark.parametrize("kind", ["chain", "star", "mesh"])
def test_blocking_keeps_a_falsehood_out_that_nothing_else_stops(kind: str) -> None:
    team, attack = Team(kind, beta=1.0, delta=0.0, comply=1.0), ATTACKS["compliance"]
    sound = {"reliability": None}
    free = play(team, attack, Defence("none"), luck(team, 1))
    assert free.infected and free.states[-1].all() and not free.safe
    for name in ("speed", "strict"):
        held = play(team, attack, Defence(name, POLICIES[name]), luck(team, 1), **sound)  # type: ignore[arg-type]
        assert held.safe and not held.states[-1].any() and held.tokens > free.tokens
    seen = play(team, attack, Defence("detect", POLICIES["detect"]), luck(team, 1))
    assert (seen.states == free.states).all() and seen.governance is not None
    stopped = play(team, attack, Defence("stop", POLICIES["stop"]), luck(team, 1))
    assert stopped.stopped and not stopped.infected and not stopped.complete
    assert play(team, None, Defence("none"), luck(team, 1)).safe


async def test_the_relay_counts_adoption_and_the_layer_ends_it() -> None:
    items = make_items(6, 3)
    assert {i.kind for i in items} == {"number", "specification", "choice"} and all(i.true != i.planted for i in items)
    for item in items:
        model = Repeater(items, trust=1.0)

        async def hand_on(attack: str, governance: Governance | None, item: Any = item, model: Any = model) -> Any:
            session = Session(model, relay_problem(item).question)
            return await relay(item, make_agents(4), session, ATTACKS.get(attack), governance)

        assert (await hand_on("", None)).adopted == (False,) * 3
        free = await hand_on("fud", None)
        assert free.adopted == (True,) * 3 and item.adopted(free.final) and free.unread == 0
        governance = Governance(Policy("speed"))
        governance.lineage.confirm_brief(item.brief)
        held = await hand_on("fud", governance)
        assert item.kept(held.final) and not any(held.adopted)


# the study


def trial_of(experiment: str, seed: int = 0, model: Model | None = None, **changes: Any) -> Trial[Any]:
    small = {"graphs": 2, "graph_agents": 12, "runs": 30, "settle": 120, "observed": 20, "relay_items": 3,
             "judge_items": 3}  # fmt: skip
    config = STUDY.configure("standard", {**small, **changes})
    return Trial(config, experiment, "", seed, 0, TraceWriter(None, "test"), model, (seed,))


def verdict(claim_id: str, results: Results) -> Verdict:
    claim = next(c for c in STUDY.claims if c.id == claim_id)
    return judge(claim.id, claim.statement, Evidence.SCRIPTED, claim.checks(results)).verdict


@pytest.fixture(scope="module")
def measured() -> Results:
    results = Results()
    for experiment in STUDY.experiments:
        model = Repeater(make_items(3, trial_of(experiment.name).derive("items"))) if experiment.model else None
        found: Any = experiment.trial(trial_of(experiment.name, model=model))
        found = asyncio.run(found) if experiment.model else found
        assert set(found) == set(experiment.variants), experiment.name
        for variant, values in found.items():
            results.add(experiment.name, variant, 0, values)
    return results


def test_every_claim_reads_what_is_measured(measured: Results) -> None:
    for claim in STUDY.claims:
        assert claim.checks(measured), claim.id
        assert not claim.checks(Results()), claim.id
    for claim_id in ("growth", "growth-poisson", "dies", "acyclic"):
        assert verdict(claim_id, measured) is Verdict.REPRODUCED
    assert set(STUDY.plots(measured)) == {"phase", "correction", "defences", "relay"}  # type: ignore[misc]


def _cells(blocked: dict[str, float], experiment: str = "defences") -> Results:
    results = Results()
    for name, share in blocked.items():
        cells = [f"{k}, {a}" for k in ("chain", "star", "mesh") for a in ("compliance", "fud")]
        for seed in range(60):
            row = {f"{m}, {c}": float(seed < share * 60) for m in ("blocked", "safe", "tokens") for c in cells}
            results.add(experiment, name, seed, row)
    return results


def test_claims_can_fail() -> None:
    good = {"Speed": 0.9, "reflection": 0.2, "no defence": 0.1, "detection without blocking": 0.1, "stop the run": 0.0,
            "Balanced": 0.95, "Strict": 1.0}  # fmt: skip
    ids = ("speed-over-reflection", "no-blocking", "bicr-order", "stop")
    assert all(verdict(i, _cells(good)) is Verdict.REPRODUCED for i in ids)
    bad = {**good, "Speed": 0.2, "detection without blocking": 0.9, "Strict": 0.1, "stop the run": 0.8}
    assert all(verdict(i, _cells(bad)) is Verdict.NOT_REPRODUCED for i in ids)
    assert verdict("coin-bicr", _cells({"Strict": 0.9, "Speed": 0.1}, "coin")) is Verdict.NOT_REPRODUCED
    same = np.random.default_rng(0).random(200)
    assert impact(same, same).low < 1 < impact(same, same).high and impact(2 * same, same).low > 1


def test_unknown_names_suggest_near_ones() -> None:
    with pytest.raises(UnknownName, match="balanced"):
        find_policy("balancd")
