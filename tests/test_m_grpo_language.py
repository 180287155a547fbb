"""M-GRPO's planner and researcher: knowledge base, form, masks, alignment, the judge, and the team from end to end."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command_line import Shoal
from shoal.models.interface import Completion, Model, Request
from shoal.models.tools import is_well_formed, result_of
from shoal.stats import Evidence
from shoal.tasks.catalogue import open_task
from shoal.tasks.generated.facts import BOX, NUMBER, KnowledgeBase, base_of, knowledge_base, name_of, subtask
from shoal.tasks.problem import Problem
from shoal.teams.agent import Agent
from shoal.teams.catalogue import open_team
from shoal.teams.session import Session
from shoal.traces import Trace, TraceWriter, Usage, read_trace

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("one_thread")]
FACTS = "facts:entries=8"
SEARCH_AND_VISIT = ["search", "visit"]


def problem(hops: int, relation: str = NUMBER) -> Problem:
    """A question with that many hops."""
    return next(
        p
        for p in open_task(FACTS).problems(30, 0)
        if p.question.tags["hops"] == str(hops) and p.question.text.lower().startswith(relation)
    )


# ------------------------------------------------------------------------------- the knowledge base


@pytest.mark.parametrize("text", ["number of {}", "place of {}"])
def test_a_page_is_found_by_search_and_read_by_its_whole_title(text: str) -> None:
    base = knowledge_base(3, 20)
    title = next(title for title, facts in base.pages.items() if NUMBER in facts)
    name = name_of(title)
    found = base.search(name)
    assert found[0] == title and len(set(found)) == 2
    assert base.truth(text.format(name)) in base.visit(title)
    with pytest.raises(ValueError, match="no such page"):
        base.visit(name)
    with pytest.raises(ValueError, match="nothing found"):
        base.search("quux of")
    assert base.truth(name) is None and base.truth(f"colour of {name}") is None
    assert knowledge_base(3, 20) == base != knowledge_base(4, 20)


def test_questions_are_answered_by_the_base_and_show_nothing_of_it() -> None:
    from shoal.posttrain.problems.research import asked_for

    hops = Counter[str]()
    for p in open_task("facts:bases=50,entries=10").problems(60, 1):
        base, (relation, name, owner) = base_of(p.question), asked_for(p.question)
        box = base.truth(subtask(BOX, name)) if owner else name
        assert box is not None and base.truth(subtask(relation, box)) == p.answer
        assert p.answer not in p.question.text and not p.check(box)
        assert not any(p.check(lure) for lure in p.lures)
        hops[p.question.tags["hops"]] += 1
    assert min(hops.values()) > 15
    assert base_of(open_task("sums").problems(1, 0)[0].question) == KnowledgeBase()


# ------------------------------------------------------------------------------- form


@pytest.mark.parametrize(
    ("text", "formed"),
    [
        ("12", True),
        ("[search: a] = b\n12", True),
        ("so [search: a] = b\n[visit: b] = c [1]\nand 12", True),
        ("", False),
        ("[search: a] = b\n", False),  # ends in no result
        ("[search: a]", False),
        ("[fetch: a] = b\n12", False),  # no such tool
        ("[search a] = b\n12", False),
        ("[search: [a]] = b\n12", False),
        ("[search: a] = b\n12]", False),
        ("] [search: a] = b\n12", False),
        ("[search: a] = b\n12 [visit: b", False),
    ],
)
def test_the_form_is_calls_with_results_and_a_result(text: str, formed: bool) -> None:
    assert is_well_formed(text, SEARCH_AND_VISIT) is formed
    assert not formed or result_of(text).endswith("12")


# ------------------------------------------------------------------------------- the team, turn by turn


@dataclass
class Puppet(Model):
    """Says what a function makes of an agent's name and the chat; cannot go on after a tool's result."""

    speak: Callable[[str, Sequence[Any]], str]
    spec: str = "puppet"
    identity: str = "puppet"
    evidence: Evidence = Evidence.SCRIPTED
    requests: list[Request] = field(default_factory=list)

    async def complete(self, request: Request) -> Completion:
        self.requests.append(request)
        return Completion(self.speak(request.agent, request.messages), Usage(9, 3, 1))


def skilful(p: Problem) -> Callable[[str, Sequence[Any]], str]:
    """Planner and researcher without slips, who answer one call at a time."""
    from shoal.posttrain.problems.research import PLANNER, Slips, planner_draft, researcher_draft

    surely = Slips(0, 0, 0, 0, 0, 0)

    def speak(agent: str, chat: Sequence[Any]) -> str:
        turn = sum(message["role"] == "assistant" for message in chat)
        words = next(m["content"] for m in chat if m["role"] == "user").splitlines()[-1]
        rng = random.Random(0)
        draft = (
            planner_draft(p, rng, surely)
            if agent == PLANNER
            else researcher_draft(base_of(p.question), words, rng, surely)
        )
        return [text for text, given in draft.pieces if not given][turn]

    return speak


async def researched(
    p: Problem, speak: Callable[[str, Sequence[Any]], str], folder: Path, options: str = ""
) -> tuple[Any, Trace, Puppet]:
    model = Puppet(speak)
    with TraceWriter(folder / "events.jsonl", "t") as trace:
        session = Session(model, p.question, trace=trace)
        plan = open_team(f"research:{options}" if options else "research")
        outcome = await plan.run(p.question, [Agent("planner"), Agent("researcher")], session)
    return outcome, read_trace(folder / "events.jsonl"), model


@pytest.mark.parametrize("hops", [1, 2])
async def test_a_planner_delegates_until_it_can_answer(hops: int, tmp_path: Path) -> None:
    p = problem(hops)
    outcome, trace, model = await researched(p, skilful(p), tmp_path)
    assert p.check(outcome.answer) and outcome.rounds == hops
    kept = [(e.agent, e.payload["formed"]) for e in trace.of_kind("decision") if e.payload["decision"] == "trajectory"]
    assert kept == [("researcher", True)] * hops + [("planner", True)]
    assert [e.payload["tool"] for e in trace.of_kind("tool.result") if e.agent == "researcher"] == [
        "search", "visit",
    ] * hops  # fmt: skip
    told = [e for e in trace.of_kind("message") if e.agent == "researcher"]
    assert len(told) == hops and told[-1].payload["content"] == p.answer
    seen = {event.id for event in trace}
    assert all(parent in seen for event in trace for parent in event.parents)
    pages = "".join(base_of(p.question).pages)
    first = [request for request in model.requests if len(request.messages) <= 2]
    assert all(page not in str(request.messages) for request in first for page in [pages, *base_of(p.question).pages])


@pytest.mark.parametrize(
    ("said", "options"),
    [
        ("[fetch: x] Answer: 3", ""),
        ("[ask number of x] Answer: 3", ""),
        ("[ask: number of x]", "calls=2"),
    ],
)
async def test_an_unknown_tool_a_broken_call_or_one_too_many_ends_the_work(
    said: str, options: str, tmp_path: Path
) -> None:
    p = problem(1)
    outcome, trace, model = await researched(
        p, lambda agent, chat: said if agent == "planner" else "nothing", tmp_path, options
    )
    assert outcome.answer is None
    last = [e for e in trace.of_kind("decision") if e.agent == "planner"][-1]
    assert last.payload["formed"] is False and last.payload["result"] == ""
    assert sum(r.agent == "planner" for r in model.requests) == (3 if options else 1)


async def test_a_report_cannot_break_the_planners_form(tmp_path: Path) -> None:
    p = problem(1)
    outcome, trace, _ = await researched(
        p,
        lambda agent, chat: "52 (sure)" if agent == "researcher" else "[ask: x]" if len(chat) < 3 else "Answer: 52",
        tmp_path,
    )
    assert outcome.answer == "52"
    assert [e.payload["content"] for e in trace.of_kind("tool.result")] == ["52 (sure)"]


def test_the_command_line_runs_traces_and_diagnoses_the_team(shoal: Shoal, tmp_path: Path) -> None:
    run = shoal.json(
        "team", "research", "--task", FACTS, "--model", "scripted:competence=0.5", "--questions", 4, "--out", tmp_path
    )
    folder = Path(run["run_dir"])
    found = shoal.json("diagnose", folder, "--out", tmp_path / "page.html", "--runs", tmp_path)
    assert found and (tmp_path / "page.html").exists()


def test_a_trace_with_delegations_is_diagnosed(shoal: Shoal, tmp_path: Path) -> None:
    p = problem(2)

    def misled(agent: str, chat: Sequence[Any]) -> str:
        said = skilful(p)(agent, chat)
        return said.replace(p.answer, "99999") if agent == "researcher" else said

    asyncio.run(researched(p, misled, tmp_path))
    found = shoal.json("diagnose", tmp_path / "events.jsonl", "--failed", "--out", tmp_path / "page.html")
    assert {"planner", "researcher"} <= set(re.findall("planner|researcher", json.dumps(found)))


# ------------------------------------------------------------------------------- with networks

torch = pytest.importorskip("torch", reason="needs the extra posttrain")
pytest.importorskip("transformers", reason="needs the extra posttrain")
pytest.importorskip("peft", reason="needs the extra posttrain")

from shoal.models.causal.network import tiny_network  # noqa: E402
from shoal.models.causal.tokenizers import CharacterTokenizer  # noqa: E402
from shoal.models.causal.writing import Prompt, Written  # noqa: E402
from shoal.posttrain.m_grpo import formed  # noqa: E402
from shoal.posttrain.method import METHODS, Batch  # noqa: E402
from shoal.posttrain.policies import Policy, make_policies  # noqa: E402
from shoal.posttrain.problems.research import (  # noqa: E402
    ALONE,
    PLANNER,
    RESEARCHER,
    ROLES,
    Demonstrations,
    Slips,
    SubtaskJudge,
    imitate,
    planner_draft,
    researcher_draft,
)
from shoal.posttrain.rollouts import Rollout, Turn  # noqa: E402
from shoal.posttrain.trainer import Trainer  # noqa: E402
from shoal.posttrain.workers import DecoupledTrainer, RolloutStore  # noqa: E402

TOKENS = CharacterTokenizer()
TEAM = "research:told=false"


def network() -> Any:
    return tiny_network(0, width=16, layers=1, heads=2, inner=16, context=320)


@dataclass
class Demonstrating(Policy):
    """Writes what a demonstrator would, one piece at a time, the same for the same seed; its network can be trained."""

    slips: Slips = field(default_factory=Slips)

    def write(self, prompts: Sequence[Prompt]) -> list[Written]:
        return [self.said(prompt) for prompt in prompts]

    def said(self, prompt: Prompt) -> Written:
        read = TOKENS.decode(prompt.ids)
        words = read.partition("?")[0] + "?" if self.role == PLANNER else read.partition("[")[0]
        known = [p for p in PROBLEMS if p.question.text == words] or PROBLEMS
        rng = random.Random(prompt.seed if "[" not in read else len(read))
        draft = (
            planner_draft(known[0], rng, self.slips)
            if self.role == PLANNER
            else researcher_draft(base_of(known[0].question), words, rng, self.slips)
        )
        own = [text for text, given in draft.pieces if not given]
        text = own[min(read.count("] = "), len(own) - 1)]
        tokens = TOKENS.encode(text) + ([] if text.endswith("]") else list(TOKENS.end))
        tokens, ended = tokens[: prompt.longest], len(tokens) <= prompt.longest
        return Written(tokens, [-0.5] * len(tokens), ended, [])


PROBLEMS = list(open_task(FACTS).problems(3, 0))


class Three:
    """A task of three problems."""

    name = title = "three"

    def problems(self, count: int, seed: int) -> Sequence[Problem]:
        return PROBLEMS[:count]


def demonstrating(folder: Path | None = None, **settings: Any) -> Trainer:
    """A team that works as its demonstrators do."""
    names = [PLANNER, RESEARCHER]
    policies = {
        name: Demonstrating(name, policy.network, TOKENS, slips=Slips(guess=0.3, again=0.5))
        for name, policy in make_policies(names, network(), TOKENS).items()
    }
    chosen = {"problems": 3, "group": 4, "calls": 2, "max_tokens": 96, "learning_rate": 1e-3, **settings}
    method = METHODS.get("m-grpo")(**chosen)
    method.judge = SubtaskJudge(TOKENS, 0.1)
    parts: dict[str, Any] = {
        "team": open_team(TEAM).run, "agents": [Agent(name) for name in names], "policies": policies,
        "method": method, "task": Three(),
    }  # fmt: skip
    return Trainer(**parts) if folder is None else DecoupledTrainer(**parts, store=RolloutStore(folder), shards=2)


@pytest.fixture(scope="module")
def worked() -> tuple[Trainer, Batch]:
    trainer = demonstrating()
    return trainer, trainer.batch(trainer.rollouts(PROBLEMS))


def of(batch: Batch, agent: str) -> list[int]:
    return [row for row, turn in enumerate(batch.turns) if turn.agent == agent]


def test_a_whole_trajectory_is_one_turn_and_what_was_given_is_marked(worked: tuple[Trainer, Batch]) -> None:
    _, batch = worked
    assert Counter(len([t for t in r.turns if t.agent == PLANNER]) for r in batch.rollouts) == {1: 12}
    for turn in batch.turns:
        assert turn.tools == (["ask"] if turn.agent == PLANNER else ["search", "visit"])
        assert len(turn.given) in (0, len(turn.tokens)) and formed(turn)
        own = TOKENS.decode([t for i, t in enumerate(turn.tokens) if not (turn.given and turn.given[i])])
        given = TOKENS.decode([t for i, t in enumerate(turn.tokens) if turn.given and turn.given[i]])
        assert own.count("]") == given.count(" = ") == given.count("\n") and "\n" not in own
    reports = [t.text.rpartition("\n")[2] for t in batch.rollouts[0].turns[:-1]]
    assert all(f"] = {report}\n" in batch.rollouts[0].turns[-1].text for report in reports)


def slopes(trainer: Trainer, batch: Batch, rows: list[int]) -> list[Any]:
    """The planner's gradient on its rows."""
    policy = trainer.policies[PLANNER]
    loss, _ = trainer._loss(policy, [batch.turns[i] for i in rows], np.ones(len(rows)), np.ones(len(rows)), 100.0)
    return list(torch.autograd.grad(loss, policy.parameters()))


def test_what_tools_gave_and_the_other_wrote_has_exactly_no_gradient(
    worked: tuple[Trainer, Batch], monkeypatch: pytest.MonkeyPatch
) -> None:
    (trainer, batch), original = worked, Policy.logprobs
    for agent in (PLANNER, RESEARCHER):
        turns = [batch.turns[i] for i in of(batch, agent)]
        leaves: list[Any] = []

        def logprobs(self: Policy, *parts: Any, kept: list[Any] = leaves, **named: Any) -> Any:
            new, entropy, mask = original(self, *parts, **named)
            kept.append(new.detach().requires_grad_())
            return kept[0], entropy.detach(), mask

        with monkeypatch.context() as patch:
            patch.setattr(Policy, "logprobs", logprobs)
            loss, _ = trainer._loss(trainer.policies[agent], turns, np.ones(len(turns)), np.ones(len(turns)), 100.0)
        loss.backward()
        for slope, turn in zip(leaves[0].grad, turns, strict=True):
            given = torch.tensor(turn.given or [False] * len(turn.tokens))
            mine = slope[len(slope) - len(given) :]
            assert (mine[given] == 0).all() and (mine[~given] != 0).all()
    rows = of(batch, PLANNER)
    before = slopes(trainer, batch, rows)
    kept = {row: list(batch.turns[row].tokens) for row in of(batch, RESEARCHER)}
    for row in kept:
        batch.turns[row].tokens[:] = [9] * len(kept[row])
    assert all(torch.equal(a, b) for a, b in zip(before, slopes(trainer, batch, rows), strict=True))
    for row, tokens in kept.items():
        batch.turns[row].tokens[:] = tokens


def test_real_rollouts_are_aligned_and_those_without_calls_left_out(worked: tuple[Trainer, Batch]) -> None:
    trainer, batch = worked
    calls = np.bincount(batch.rollout[of(batch, RESEARCHER)], minlength=len(batch.rollouts))
    assert calls.min() == 0 and calls.max() > 2
    for align in ("copies", "weights"):
        method = METHODS.get("m-grpo")(group=4, calls=2, align=align)
        method.prepare(trainer.policies)
        gain, weight = method.advantages(batch, np.random.default_rng(0)), method.weights(batch)
        sub = of(batch, RESEARCHER)
        shares = np.bincount(batch.rollout[sub], weight[sub], minlength=calls.size)
        np.testing.assert_allclose(shares, np.where(calls > 0, 2, 0))
        assert (weight[of(batch, PLANNER)] == 1).all() and np.isfinite(gain).all()
        for task in set(batch.tasks):
            rows = [i for i in sub if batch.tasks[i] == task]
            assert float((gain * weight)[rows].sum()) == pytest.approx(0, abs=1e-6)
    names = {turn.agent for turn in batch.rollouts[int(np.argmin(calls))].turns}
    assert names == {PLANNER}


def test_a_queue_mixes_questions_in_groups_of_kd(worked: tuple[Trainer, Batch]) -> None:
    trainer, batch = worked
    method = METHODS.get("m-grpo")(group=2, calls=2, align="queue")
    method.prepare(trainer.policies)
    groups = method._groups(batch, np.random.default_rng(0))
    sub = of(batch, RESEARCHER)
    sizes = Counter(groups[row] for row in sub)
    assert max(sizes.values()) == 4 and sum(size < 4 for size in sizes.values()) <= 1
    assert any(len({batch.tasks[row] for row in sub if groups[row] == group}) > 1 for group in sizes)
    assert [groups[row] for row in of(batch, PLANNER)] == [batch.tasks[row] for row in of(batch, PLANNER)]
    method.advantages(batch, np.random.default_rng(0))
    assert (method.weights(batch) == 1).all()


def test_rewards_follow_form_outcome_and_judge(worked: tuple[Trainer, Batch]) -> None:
    trainer, batch = worked
    judge = SubtaskJudge(TOKENS)
    for rollout in batch.rollouts:
        method = METHODS.get("m-grpo")(group=4, calls=2)
        method.judge = judge
        method.prepare(trainer.policies)
        *subs, main = method.rewards(rollout)
        assert main == pytest.approx(0.1 + 0.9 * rollout.reward)
        for reward, turn in zip(subs, rollout.turns[:-1], strict=True):
            assert reward == pytest.approx(0.1 + 0.4 * rollout.reward + 0.5 * judge.success(rollout, turn))
        rollout.turns[-1].text += " [ask: more"
        assert method.rewards(rollout)[-1] == 0 and list(method.rewards(rollout)[:-1]) == subs
        rollout.turns[-1].text = rollout.turns[-1].text.removesuffix(" [ask: more")
        rollout.turns[-1].ended = False
        assert method.rewards(rollout)[-1] == 0
        rollout.turns[-1].ended = True


def test_the_judge_tells_the_truth_but_for_its_noise() -> None:
    p = problem(1)
    name, right = p.question.text.removeprefix("Number of box ").rstrip("?"), p.answer

    def judged(words: str, report: str, judge: SubtaskJudge, sample: int = 0) -> float:
        prompt = TOKENS.encode_chat([{"role": "user", "content": words}])
        return judge(Rollout(p, sample, []), Turn("r", "r", prompt, [1], [0.0], 1.0, True, report))

    honest = SubtaskJudge(TOKENS)
    assert judged(f"number of {name}", f"[visit: x] = y\n{right}", honest) == 1
    assert judged(f"number of {name}", "[visit: x] = y\n", honest) == 0
    assert judged(f"number of {name}", str(int(right) + 1), honest) == 0
    assert judged(f"place of {name}", right, honest) == judged(name, right, honest) == 0
    noisy = SubtaskJudge(TOKENS, 0.2, seed=3)
    views = [judged(f"number of {name}", right, noisy, sample) for sample in range(1000)]
    assert np.mean(views) == pytest.approx(0.8, abs=0.04)
    assert views[:20] == [judged(f"number of {name}", right, noisy, sample) for sample in range(20)]


@pytest.mark.parametrize(("text", "ended"), [("[fetch: a]", True), ("[ask no]", True), ("[ask: a", False)])
def test_an_unknown_tool_in_a_rollout_ends_it_with_form_0(text: str, ended: bool) -> None:
    trainer = demonstrating()

    def said(prompt: Prompt) -> Written:
        written = Written()
        for token in TOKENS.encode(text + " Answer: 3")[: prompt.longest if ended else len(text)]:
            written.tokens.append(token)
            written.ended = prompt.is_done is not None and prompt.is_done(written.tokens)
            if written.ended:
                break
        written.logprobs = [0.0] * len(written.tokens)
        return written

    trainer.policies[PLANNER].said = said  # type: ignore[attr-defined]
    rollout = trainer.rollouts(PROBLEMS[:1])[0]
    assert [turn.text for turn in rollout.turns] == [text] and rollout.turns[0].ended is ended
    assert rollout.answer is None and trainer.method.rewards(rollout).tolist() == [0.0]


def test_a_trajectory_without_room_is_cut_and_worth_nothing() -> None:
    trainer, cut = demonstrating(max_tokens=30), list[bool]()
    for rollout in trainer.rollouts(PROBLEMS):
        main = rollout.turns[-1]
        assert main.ended or (rollout.answer is None and trainer.method.rewards(rollout)[-1] == 0)
        cut.append(not main.ended)
    assert any(cut)


def test_workers_give_the_numbers_of_one_process(tmp_path: Path) -> None:
    one, parted = demonstrating(), demonstrating(tmp_path)
    for trainer in (one, parted):
        trainer.train(2)
    names = [name for name in one.history[-1] if "seconds" not in name]
    assert [one.history[-1][name] for name in names] == [parted.history[-1][name] for name in names]
    assert {"formed", "calls", "given"} <= set(names) and one.history[0]["formed"] == 1
    for role in one.policies:
        pairs = zip(one.policies[role].parameters(), parted.policies[role].parameters(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


def test_demonstrations_are_well_formed_and_partly_right_and_can_be_imitated() -> None:
    shown = Demonstrations(open_task("facts:bases=500,entries=10").problems(200, 3), TOKENS)
    rng = random.Random(0)
    for role in ROLES:
        turns = [shown.draw(role, rng) for _ in range(40)]
        assert all(formed(turn) and len(turn.given) == len(turn.tokens) for turn in turns)
        assert all(turn.written < 120 for turn in turns)
    right = [p.check(planner_draft(p, rng, Slips()).pieces[-1][0].removeprefix("Answer: ")) for p in shown.problems]
    assert 0.2 < np.mean(right) < 0.7
    surely = Slips(0, 0, 0, 0, 0, 0)
    assert all(
        p.check(planner_draft(p, rng, surely).pieces[-1][0].removeprefix("Answer: ")) for p in shown.problems
    )  # fmt: skip
    policy = make_policies([ALONE], network(), TOKENS)[ALONE]
    losses = imitate(policy, lambda draws: shown.draw(ALONE, draws), steps=12, batch=4, learning_rate=1e-2)
    assert len(losses) == 12 and losses[-1] < losses[0] - 0.5


def test_the_command_line_trains_the_team(shoal: Shoal, tmp_path: Path) -> None:
    words = ["--task", FACTS, "--model", "fresh:tiny", "--updates", 2, "--held-out", 2, "--out", tmp_path]
    small = [x for s in ("problems=1", "group=2", "max_tokens=8", "calls=2") for x in ("--set", s)]
    run = shoal.json("train-team", "m-grpo", "--team", TEAM, *words, *small)
    rows = [json.loads(line) for line in (Path(run["run_dir"]) / "metrics.jsonl").read_text().splitlines()]
    assert len(rows) == 2 and all({"formed", "calls", "given"} <= set(row) for row in rows)
