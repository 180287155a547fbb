"""The governance layer: claims, lineage, the layer as a state machine, synthetic teams and the relay."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.diagnosis.governance.attacks import ATTACKS, find_attack
from shoal.diagnosis.governance.claims import HIGH_RISK, UNSURE, claim_of, decompose
from shoal.diagnosis.governance.layer import Governance, Package
from shoal.diagnosis.governance.lineage import Lineage
from shoal.diagnosis.governance.live import open_watch
from shoal.diagnosis.governance.policy import POLICIES, Policy, find_policy, is_hub
from shoal.diagnosis.governance.scenarios import Repeater, make_items, relay, relay_problem
from shoal.diagnosis.governance.staff import Rules
from shoal.diagnosis.governance.synthetic import Defence, Team, luck, play
from shoal.diagnosis.watching import Stopped
from shoal.errors import InputError, UnknownName
from shoal.teams.agent import make_agents
from shoal.teams.session import Session


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


@pytest.mark.parametrize(
    "call",
    [
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


def test_unknown_names_suggest_near_ones() -> None:
    with pytest.raises(UnknownName, match="balanced"):
        find_policy("balancd")
