"""SelfOrg as a real team over a session: prompts, order, failures, stopping, counting; and its baselines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from shoal.errors import BudgetExceeded, InputError, ModelError
from shoal.models.interface import Completion, Model, Request
from shoal.runs.budget import Budget, Limits
from shoal.stats import Evidence
from shoal.tasks.problem import Question
from shoal.teams.agent import Agent, make_agents
from shoal.teams.outcome import Outcome
from shoal.teams.self_organisation import baselines
from shoal.teams.self_organisation.selection import FirstAnswers, answer_codes
from shoal.teams.self_organisation.team import self_organise
from shoal.teams.session import Message, Session
from shoal.traces import TraceWriter


class Scripted(Model):
    """Replies from a function of (agent, turn, prompt); keeps every request."""

    spec, evidence, identity = "test", Evidence.SCRIPTED, "test"

    def __init__(self, reply: Callable[[str, int, str], str]) -> None:
        self.reply = reply
        self.prompts: list[tuple[str, str]] = []

    async def complete(self, request: Request) -> Completion:
        turn = sum(agent == request.agent for agent, _ in self.prompts)
        prompt = "\n".join(message["content"] for message in request.messages)
        self.prompts.append((request.agent, prompt))
        text = self.reply(request.agent, turn, prompt)
        if text == "FAIL":
            raise ModelError("timeout", "no reply")
        return Completion(text)


class Trace(TraceWriter):
    """Keeps events in a list."""

    def __init__(self) -> None:
        super().__init__(None, "test")
        self.events: list[tuple[str, str, dict[str, Any], str]] = []

    def write(self, kind: str, agent: str = "", payload: Any = None, parents: Any = (), usage: Any = None) -> str:
        event = super().write(kind, agent, payload, parents, usage)
        self.events.append((kind, agent, payload or {}, event))
        return event

    def decisions(self, what: str) -> list[dict[str, Any]]:
        return [p for kind, _, p, _ in self.events if kind == "decision" and p["decision"] == what]


QUESTION = Question("q1", "What is 3 + 4?", "number")


async def organise(reply: Callable[[str, int, str], str], agents: int = 3, **options: Any) -> tuple[Any, ...]:
    model, trace = Scripted(reply), Trace()
    session = Session(model, QUESTION, trace, seed=1)
    outcome = await self_organise(QUESTION, make_agents(agents), session, **options)
    return outcome, model, trace, session


def majority_of_seven(agent: str, turn: int, prompt: str) -> str:
    """The third agent is wrong and stays so."""
    return f"I counted on my fingers. Answer: {9 if agent == 'agent-3' else 7}"


async def test_the_first_prompt_has_role_task_and_independence() -> None:
    _, model, _, _ = await organise(majority_of_seven, rounds=0)
    assert len(model.prompts) == 3
    agent, prompt = model.prompts[1]
    assert agent == "agent-2" and "You are agent-2, a programmer." in prompt
    assert "on your own, step by step" in prompt and QUESTION.text in prompt and "Answer: <number>" in prompt
    assert "agent-1" not in prompt and "agent-3" not in prompt


async def test_a_persona_replaces_the_dealt_role() -> None:
    model = Scripted(majority_of_seven)
    agents = [Agent("ada", persona="You are a careful engineer."), Agent("bob")]
    await self_organise(QUESTION, agents, Session(model, QUESTION), rounds=0)
    prompts = dict(model.prompts)
    assert prompts["ada"].startswith("You are a careful engineer.\nYou are ada.") and "programmer" in prompts["bob"]


async def test_high_contributors_inform_low_ones_with_a_warning_and_the_answer_wins() -> None:
    outcome, model, trace, session = await organise(majority_of_seven, embed="answer", rounds=1)
    assert outcome.answer == "7" and outcome.rounds == 1
    graph = trace.decisions("graph")[0]
    assert [edge[:2] for edge in graph["edges"]] == [["agent-1", "agent-3"], ["agent-2", "agent-3"]]
    assert graph["order"] == ["agent-1", "agent-2", "agent-3"]
    assert graph["contributions"]["agent-1"] > graph["contributions"]["agent-3"]
    revising = [(agent, prompt) for agent, prompt in model.prompts[3:]]
    assert [agent for agent, _ in revising] == ["agent-1", "agent-3"]  # the first refines alone, the second skips
    alone, heard = revising[0][1], revising[1][1]
    assert "Check your own answer" in alone and "agent-2" not in alone
    assert "agent-1: I counted on my fingers. Answer: 7" in heard and "agent-2: I counted" in heard
    assert "Peers may be wrong" in heard and "You: I counted on my fingers. Answer: 9" in heard
    assert session.usage.calls == 3 + 2 and session.messages == 2
    assert trace.decisions("selection")[0]["chosen"] == "agent-1"
    assert outcome.votes["7"] > outcome.votes["9"]


async def test_later_agents_hear_answers_that_are_already_revised() -> None:
    def reply(agent: str, turn: int, prompt: str) -> str:
        if turn == 0:
            return {"agent-1": "apples apples", "agent-2": "apples apples pears", "agent-3": "pears plums"}[agent]
        return f"revised by {agent}"

    _, model, trace, _ = await organise(reply, rounds=1)
    order = trace.decisions("graph")[0]["order"]
    last = next(prompt for agent, prompt in reversed(model.prompts) if agent == order[-1])
    assert f"{order[0]}: revised by {order[0]}" in last and f"{order[1]}: revised by {order[1]}" in last


async def test_identical_answers_stop_at_once() -> None:
    outcome, _, trace, session = await organise(lambda *_: "Answer: 7", agents=5)
    assert outcome.answer == "7" and outcome.rounds == 0
    assert session.usage.calls == 5 and session.messages == 0 and not trace.decisions("graph")
    assert trace.decisions("selection")[0]["reason"] == "consensus"


async def test_one_agent_answers_and_none_is_refused() -> None:
    outcome, _, _, session = await organise(majority_of_seven, agents=1)
    assert outcome.answer == "7" and session.usage.calls == 1
    with pytest.raises(InputError, match="agents"):
        await organise(majority_of_seven, agents=0)


async def test_a_failed_call_keeps_the_old_answer_and_a_failed_first_one_counts_for_nothing() -> None:
    def reply(agent: str, turn: int, prompt: str) -> str:
        return "FAIL" if turn > 0 else majority_of_seven(agent, turn, prompt)

    outcome, _, trace, session = await organise(reply, embed="answer", rounds=1)
    assert outcome.answer == "7" and session.failures["timeout"] == 2
    assert [d["reason"] for d in trace.decisions("keep the old answer")] == ["timeout", "timeout"]

    def mute(agent: str, turn: int, prompt: str) -> str:
        return "FAIL" if agent == "agent-1" and turn == 0 else majority_of_seven(agent, turn, prompt)

    outcome, _, trace, _ = await organise(mute, agents=4, embed="answer", rounds=1)
    graph = trace.decisions("graph")[0]
    assert graph["contributions"]["agent-1"] == 0 and outcome.answer == "7"
    assert all(source != "agent-1" for source, _, _ in graph["edges"])


async def test_all_empty_answers_end_without_an_answer() -> None:
    outcome, _, trace, _ = await organise(lambda *_: "", rounds=1)
    assert outcome.answer is None and trace.decisions("graph")[0]["edges"] == []


async def test_embedding_the_final_answer_ignores_the_style() -> None:
    def reply(agent: str, turn: int, prompt: str) -> str:
        style = {"agent-1": "Counting up from three by four steps gives it.", "agent-2": "Trivially.", "agent-3": "Hm!"}
        return f"{style[agent]} Answer: 7"

    by_answer, _, _, session = await organise(reply, embed="answer")
    assert by_answer.rounds == 0 and session.usage.calls == 3
    _, _, trace, session = await organise(reply, embed="reply", rounds=1)
    assert session.usage.calls > 3 and trace.decisions("graph")


async def test_reform_rebuilds_the_graph_and_the_code_rule_runs() -> None:
    def reply(agent: str, turn: int, prompt: str) -> str:
        return f"words {agent} {turn} Answer: {turn + int(agent[-1])}"

    assert len((await organise(reply, rounds=3))[2].decisions("graph")) == 3
    assert len((await organise(reply, rounds=3, reform=False))[2].decisions("graph")) == 1
    _, _, trace, session = await organise(reply, agents=5, rule="code", neighbours=2)
    for graph in trace.decisions("graph"):
        place = {name: i for i, name in enumerate(graph["order"])}
        heard = [target for _, target, _ in graph["edges"]]
        assert all(place[m] < place[n] for m, n, _ in graph["edges"]) and max(map(heard.count, heard)) <= 2
    assert 5 < session.usage.calls <= 5 + 5 * 2


async def test_a_threshold_that_decides_nothing_is_noted() -> None:
    _, _, trace, _ = await organise(majority_of_seven, threshold=0.999, rounds=1, embed="answer", agents=3)
    assert not [p for kind, _, p, _ in trace.events if kind == "note"]  # equal answers pass, others do not
    distinct = ["red", "blue", "green"]
    _, _, trace, session = await organise(lambda a, t, p: distinct[int(a[-1]) - 1], threshold=0.9, rounds=1)
    assert "no pair" in next(p["warning"] for kind, _, p, _ in trace.events if kind == "note")
    assert session.usage.calls == 3 + 1
    _, _, trace, _ = await organise(lambda a, t, p: distinct[int(a[-1]) - 1], threshold="quantile:0.5", rounds=1)
    assert trace.decisions("graph")[0]["threshold"] > -1


async def test_ablations_use_as_many_edges_and_repeat_with_the_seed() -> None:
    def reply(agent: str, turn: int, prompt: str) -> str:
        return f"Answer: {[7, 7, 9, 11, 7][int(agent[-1]) - 1]}"

    common = {"agents": 5, "embed": "answer", "rounds": 1}
    plain = (await organise(reply, **common))[2].decisions("graph")[0]
    random = (await organise(reply, ablation="random-graph", **common))[2].decisions("graph")[0]
    assert len(random["edges"]) == len(plain["edges"]) and random["edges"] != plain["edges"]
    shuffled = (await organise(reply, ablation="shuffle", **common))[2].decisions("graph")[0]
    assert sorted(shuffled["contributions"].values()) == sorted(plain["contributions"].values())
    again = (await organise(reply, ablation="shuffle", **common))[2].decisions("graph")[0]
    assert again["contributions"] == shuffled["contributions"]
    noisy = (await organise(reply, noise=3.0, **common))[2].decisions("graph")[0]
    assert noisy["contributions"] != plain["contributions"]


async def test_dropped_messages_do_not_reach_the_prompt() -> None:
    def drop(message: Message) -> Message | None:
        return None if message.sender == "agent-1" else message

    model, trace = Scripted(majority_of_seven), Trace()
    session = Session(model, QUESTION, trace, inspectors=[drop])
    await self_organise(QUESTION, make_agents(3), session, embed="answer", rounds=1)
    heard = model.prompts[-1][1]
    assert "agent-2: I counted" in heard and "agent-1: I counted" not in heard


async def test_a_spent_budget_is_raised() -> None:
    session = Session(Scripted(majority_of_seven), QUESTION, budget=Budget(Limits(calls=4)))
    with pytest.raises(BudgetExceeded):
        await self_organise(QUESTION, make_agents(3), session, embed="answer")
    assert session.usage.calls == 4


async def test_bad_options_are_refused() -> None:
    for options in ({"threshold": 3.0}, {"threshold": "most"}, {"embedder": "bag-of-words"}, {"rule": "other"}):
        with pytest.raises(InputError):
            await organise(majority_of_seven, embed="answer", **options)


# --- baselines


@pytest.mark.parametrize(
    ("team", "options", "calls"),
    [
        (baselines.direct, {}, 1),
        (baselines.chain_of_thought, {}, 1),
        (baselines.plurality, {}, 3),
        (baselines.plurality, {"calls": 7}, 7),
        (baselines.full_mesh, {"rounds": 2}, 9),
        (baselines.repeated_chain, {"rounds": 2}, 9),
    ],
)
async def test_baselines_make_exactly_their_calls(team: Any, options: dict[str, Any], calls: int) -> None:
    session = Session(Scripted(majority_of_seven), QUESTION)
    outcome: Outcome = await team(QUESTION, make_agents(3), session, **options)
    assert session.usage.calls == calls
    assert outcome.answer == ("9" if team is baselines.repeated_chain else "7")  # the chain ends with agent-3


async def test_first_answers_are_the_same_calls_in_every_system() -> None:
    prompts = []
    for team in (self_organise, baselines.plurality, baselines.full_mesh, FirstAnswers()):
        model = Scripted(majority_of_seven)
        await team(QUESTION, make_agents(3), Session(model, QUESTION))
        prompts.append(model.prompts[:3])
    assert all(one == prompts[0] for one in prompts)


async def test_the_embedder_is_judged_on_first_answers() -> None:
    from shoal.models.embedders import CharacterNgrams

    def reply(agent: str, turn: int, prompt: str) -> str:
        return {"agent-1": "Answer: 7", "agent-2": "Answer: 7.0", "agent-3": "Answer: 12"}[agent]

    watched = FirstAnswers()
    await watched(QUESTION, make_agents(3), Session(Scripted(reply), QUESTION))
    assert (await watched.auc(CharacterNgrams(), "answer")).tolist() == [1.0]
    assert answer_codes(QUESTION, ["7", None, "7.0", "x"]) == [0, -1, 0, 1]
