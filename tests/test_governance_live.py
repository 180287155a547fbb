"""Governance of live teams, of stored runs, and from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from command_line import Shoal
from shoal.diagnosis.conversation import conversations
from shoal.diagnosis.governance.claims import UNSURE, claim_of
from shoal.diagnosis.governance.layer import Governance
from shoal.diagnosis.governance.lineage import BRIEF
from shoal.diagnosis.governance.live import attach, deliver, open_watch
from shoal.diagnosis.governance.policy import Policy
from shoal.diagnosis.governance.prompts import ModelStaff
from shoal.diagnosis.governance.stored import causal_rounds, heard_by, rebuilt
from shoal.diagnosis.recording import Recording
from shoal.diagnosis.usage import usage_graph
from shoal.diagnosis.watching import Stopped
from shoal.errors import InputError
from shoal.models.interface import Completion, Model, Request
from shoal.stats import Evidence
from shoal.tasks.problem import Question
from shoal.teams.agent import Agent
from shoal.teams.session import Session
from shoal.traces.importers import import_trace

BRIEFED = "The gate is 4 m wide."
WRONG = "The gate is 7 m wide."


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
