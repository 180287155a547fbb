"""Tools in the middle of a reply: what they give is read, never trained on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shoal.errors import InputError, UnknownName
from shoal.models.cache import CachedModel, CallCache
from shoal.models.interface import Completion, Request
from shoal.models.opening import open_model
from shoal.models.tools import CALCULATOR, ToolCall, calculate, called, find_tools
from shoal.teams.agent import Agent
from shoal.teams.session import Session
from shoal.traces import TraceWriter, read_trace

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("one_thread")]


@pytest.mark.parametrize(
    ("expression", "value"),
    [("12*3", "36"), ("(1+2)*-4", "-12"), ("7/2", "3.5"), ("7//2 + 7%2", "4"), ("2×3", "6"), ("0.1+0.2", "0.3")],
)
def test_the_calculator_gives_the_value_of_an_expression(expression: str, value: str) -> None:
    assert calculate(expression) == value


@pytest.mark.parametrize("expression", ["", "1+", "2**9999", "__import__('os')", "1/0", "a+1", "True", "(" * 300])
async def test_what_is_no_expression_is_an_error_and_nothing_else(expression: str) -> None:
    call = await called(f"so [calculator: {expression}]", [CALCULATOR])
    assert call is None or (call.failed and call.result.startswith("error: "))


async def test_only_a_call_of_a_known_tool_at_the_end_counts() -> None:
    assert await called("3*4 is [calculator: 3*4]", [CALCULATOR]) == ToolCall("calculator", "3*4", "12")
    assert (await called("[calculator: 3*4]", [CALCULATOR])).inserted == " = 12\n"  # type: ignore[union-attr]
    for text in ("[calculator: 3*4] = 12\n", "[abacus: 3*4]", "3]", ""):
        assert await called(text, [CALCULATOR]) is None
    with pytest.raises(UnknownName, match="tool"):
        find_tools(["calculater"])


async def test_a_model_that_cannot_go_on_after_a_result_is_refused() -> None:
    model = open_model("scripted:competence=1", answer_key={})
    with pytest.raises(InputError, match="calculator"):
        await Session(model).ask(Agent("a", tools=(CALCULATOR,)), "3*4?")


# ------------------------------------------------------------------------------- with a network

torch = pytest.importorskip("torch", reason="needs the extra posttrain")
pytest.importorskip("transformers", reason="needs the extra posttrain")
pytest.importorskip("peft", reason="needs the extra posttrain")

from shoal.models.causal.model import CausalModel  # noqa: E402
from shoal.models.causal.network import tiny_network  # noqa: E402
from shoal.models.causal.tokenizers import CharacterTokenizer  # noqa: E402
from shoal.models.causal.writing import Prompt, Written  # noqa: E402
from shoal.posttrain.method import METHODS  # noqa: E402
from shoal.posttrain.policies import Policy, make_policies  # noqa: E402
from shoal.posttrain.trainer import Trainer  # noqa: E402
from shoal.tasks.catalogue import open_task  # noqa: E402
from shoal.teams.catalogue import open_team  # noqa: E402

TOKENS = CharacterTokenizer()
CALL, RESULT, REST = "[calculator: 3*4]", " = 12\n", "Answer: 12"


class Scripted(Policy):
    """Says the same in each piece of a reply; its network is there to be trained."""

    pieces: Sequence[str] = (CALL + " and more", REST)

    def write(self, prompts: Sequence[Prompt]) -> list[Written]:
        return [self.said(prompt) for prompt in prompts]

    def said(self, prompt: Prompt) -> Written:
        text = self.pieces[RESULT in TOKENS.decode(prompt.ids)]
        written = Written()
        for token in [*TOKENS.encode(text), *TOKENS.end][: prompt.longest]:
            written.tokens.append(token)
            written.logprobs.append(-0.5)
            written.ended = token in TOKENS.end or bool(prompt.is_done and prompt.is_done(written.tokens))
            if written.ended:
                break
        return written


def team_with_tools(max_tokens: int = 40) -> Trainer:
    plan = open_team("chain:agents=2")
    agents = [replace(plan.agents[0], tools=(CALCULATOR,)), plan.agents[1]]
    network = tiny_network(0, width=32, layers=1, heads=2, inner=64)
    policies = {
        n: Scripted(n, p.network, TOKENS) for n, p in make_policies([a.name for a in agents], network, TOKENS).items()
    }
    method = METHODS.get("grpo")(problems=2, group=2, max_tokens=max_tokens)
    return Trainer(plan.run, agents, policies, method, open_task("choose"))


def test_a_result_enters_the_reply_and_is_marked_as_given() -> None:
    trainer = team_with_tools()
    turn, other = trainer.rollouts(trainer.task.problems(1, 0))[0].turns
    assert turn.text == CALL + RESULT + REST
    marked = [token for token, given in zip(turn.tokens, turn.given, strict=True) if given]
    assert TOKENS.decode(marked) == RESULT and turn.written == len(CALL) + len(REST) + 1
    assert len(turn.logprobs) == len(turn.tokens) and turn.ended
    assert "[calculator: ...]" in TOKENS.decode(turn.prompt) and "[calculator: ...]" not in TOKENS.decode(other.prompt)
    assert other.given == [] and other.written == len(other.tokens)


def test_the_result_has_exactly_no_gradient() -> None:
    trainer = team_with_tools()
    policy = trainer.policies["agent-1"]
    turn = trainer.rollouts(trainer.task.problems(1, 0))[0].turns[0]
    seen: list[Any] = []

    def keep(module: Any, inputs: Any, output: Any) -> None:
        output.logits.retain_grad()
        seen.append(output.logits)

    hook = policy.network.register_forward_hook(keep)
    loss, _ = trainer._loss(policy, [turn], np.array([1.0]), np.ones(1), 1.0)
    loss.backward()
    hook.remove()
    slope = seen[0].grad[0, :-1].abs().sum(-1)  # row t is about token t of the reply
    given = torch.tensor(turn.given)
    assert slope.shape == given.shape
    assert (slope[given] == 0).all() and (slope[~given] > 0).all()


def test_the_gradient_is_that_of_the_own_tokens_alone() -> None:
    trainer = team_with_tools()
    policy = trainer.policies["agent-1"]
    turn = trainer.rollouts(trainer.task.problems(1, 0))[0].turns[0]
    own = ~torch.tensor(turn.given)
    new, _, _ = policy.logprobs([turn.prompt], [turn.tokens])
    ratio = (new[0] - torch.tensor(turn.logprobs)).exp()
    by_hand = -torch.minimum(ratio, ratio.clamp(0.8, 1.2))[own].sum() / own.sum()
    expected = torch.autograd.grad(by_hand, policy.parameters())
    loss, figures = trainer._loss(policy, [turn], np.array([1.0]), np.ones(1), float(turn.written))
    found = torch.autograd.grad(loss, policy.parameters())
    assert float(loss.detach()) == pytest.approx(float(by_hand.detach()), rel=1e-5)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-4)
    assert 0 < figures["entropy"] < np.log(TOKENS.size)


@pytest.mark.parametrize("room", [len(CALL), len(CALL) + 4])
def test_a_reply_without_room_is_cut_where_its_own_tokens_end(room: int) -> None:
    trainer = team_with_tools(max_tokens=room)
    turn = trainer.rollouts(trainer.task.problems(1, 0))[0].turns[0]
    assert turn.written == room and not turn.ended


def calling_model() -> CausalModel:
    model = CausalModel("test", tiny_network(0, width=16, layers=1, heads=2, inner=16), TOKENS)
    model.write = Scripted("a", model.network, TOKENS).write  # type: ignore[method-assign]
    return model


async def asked(model: Any, folder: Path) -> tuple[Any, Any]:
    agent = Agent("a", "Be brief.", model=model, tools=(CALCULATOR,))
    with TraceWriter(folder / "events.jsonl", "t") as trace:
        session = Session(model, trace=trace, max_tokens=40)
        reply = await session.ask(agent, "3*4?", logprobs=1)
    return reply, session


async def test_a_call_is_in_the_trace_before_the_reply_it_led_to(tmp_path: Path) -> None:
    reply, session = await asked(calling_model(), tmp_path)
    events = read_trace(tmp_path / "events.jsonl").events
    (result,), (call,) = ([e for e in events if e.kind == kind] for kind in ("tool.result", "model.call"))
    assert result.payload == {"tool": "calculator", "arguments": "3*4", "content": "12", "error": False}
    assert result.id in call.parents and reply.text == CALL + RESULT + REST
    system = call.payload["prompt"][0]["content"]
    assert system.startswith("Be brief.\nYou may call tools") and "[calculator: ...]" in system
    assert len(reply.logprobs) == len(CALL) + len(REST)
    assert session.usage.completion_tokens == len(CALL) + len(REST) + 1


async def test_a_kept_reply_keeps_its_calls_and_tools_are_part_of_its_address(tmp_path: Path) -> None:
    cached = CachedModel(calling_model(), CallCache(tmp_path / "calls.sqlite"))
    request = Request([{"role": "user", "content": "3*4?"}], max_tokens=40, tools=(CALCULATOR,))
    fresh, kept = [await cached.complete(request) for _ in range(2)]
    assert kept.usage.cached and kept.calls == fresh.calls == (ToolCall("calculator", "3*4", "12"),)
    assert request.key("m") != replace(request, tools=()).key("m")
    assert isinstance(kept, Completion) and cached.calls_tools


def test_a_team_file_names_tools(tmp_path: Path) -> None:
    text = """
name: pair
agents:
  - {name: solver, tools: [calculator]}
  - {name: checker}
channels:
  - {structure: decentralized, graph: mesh, aggregate: plurality}
"""
    (tmp_path / "pair.yaml").write_text(text)
    assert [agent.tools for agent in open_team(str(tmp_path / "pair.yaml")).agents] == [(CALCULATOR,), ()]
    (tmp_path / "pair.yaml").write_text(text.replace("calculator", "calculater"))
    with pytest.raises((UnknownName, InputError), match="calculat"):
        open_team(str(tmp_path / "pair.yaml"))


def test_given_tokens_survive_the_store_of_workers(tmp_path: Path) -> None:
    from shoal.posttrain.workers import Job, RolloutStore, rolled_out

    trainer, job, store = team_with_tools(), Job(0, 0, 1), RolloutStore(tmp_path)
    made = rolled_out(trainer, job)
    store.finish(job, made)
    assert store.collect([job], {r.problem.question.id: r.problem for r in made}) == made
    assert any(turn.given for r in made for turn in r.turns)
    assert json.dumps([t.given for r in made for t in r.turns])
