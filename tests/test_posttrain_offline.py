"""SFT, DPO and MALT for any team: data, exactness, resume, what is refused, and the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command_line import Shoal
from shoal.errors import InputError, UnknownName
from shoal.posttrain.preference_trees import Node, export_pairs, pairs, values


@pytest.mark.parametrize("words", [("list", "methods"), ("train-team", "no-such-method", "--model", "fresh:tiny")])
def test_looking_methods_up_loads_neither_jax_nor_torch(words: tuple[str, ...]) -> None:
    program = f"""
import sys
from shoal.cli import console
from shoal.cli.application import run
console.guarded(lambda: run({list(words)!r}))
print([name for name in ("jax", "torch", "transformers", "optax", "openvino") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "malt" in done.stdout + done.stderr


torch = pytest.importorskip("torch", reason="needs the extra posttrain")
pytest.importorskip("transformers", reason="needs the extra posttrain")
pytest.importorskip("peft", reason="needs the extra posttrain")

from shoal.models.causal.network import save_network, tiny_network  # noqa: E402
from shoal.models.causal.tokenizers import CharacterTokenizer  # noqa: E402
from shoal.posttrain.branching import grow  # noqa: E402
from shoal.posttrain.driver import TeamTraining, find_method, prepare, train_team  # noqa: E402
from shoal.posttrain.examples import Example, Preference, read_examples, read_preferences, write_rows  # noqa: E402
from shoal.posttrain.policies import Lora, Policy, make_policies  # noqa: E402
from shoal.posttrain.rollouts import Rollout  # noqa: E402
from shoal.posttrain.training import LossNotFinite, Training  # noqa: E402
from shoal.tasks.catalogue import open_task  # noqa: E402
from shoal.tasks.problem import Problem  # noqa: E402
from shoal.teams.catalogue import open_team  # noqa: E402
from shoal.teams.outcome import Outcome  # noqa: E402

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("one_thread")]
TOKENS = CharacterTokenizer()
ROLES = ["agent-1", "agent-2"]
TEAM, TASK = "chain:agents=2", "choose"
MALT = {"questions": 5, "problems": 3, "branches": 3, "max_tokens": 6, "temperature": 1.0, "batch": 4, "epochs": 2}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("base")
    save_network(folder, tiny_network(0, width=32, layers=1, heads=2, inner=64), TOKENS)
    return f"local:{folder}"


@pytest.fixture(scope="module")
def policies() -> dict[str, Policy]:
    return make_policies(ROLES, tiny_network(0, width=32, layers=1, heads=2, inner=64, context=200), TOKENS)


def written(folder: Path, rows: list[Any], name: str = "data.jsonl") -> str:
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder / name)


def examples() -> list[dict[str, Any]]:
    return [{"role": role, "prompt": f"{i} + 1", "reply": f"Answer: {i + 1}"} for role in ROLES for i in range(6)]


def preferences() -> list[dict[str, Any]]:
    return [
        {"role": role, "prompt": f"{i} + 1", "chosen": f"Answer: {i + 1}", "rejected": "no"}
        for role in ROLES
        for i in range(5)
    ]


def even(problem: Problem, rollout: Rollout) -> float:
    """A grade that chance gives often: the last reply has an even number of letters."""
    return float(sum(c.isalpha() for c in rollout.turns[-1].text) % 2 == 0)


def made(method: str, base: str, folder: Path | None, data: str = "", **settings: Any) -> Training:
    chosen = {**({"data": data} if data else MALT), **settings}
    training = prepare(method, TEAM, TASK, base, settings=chosen, held_out=4).trainer
    training.folder, training.reward = folder, even
    return training


def numbers(training: Training) -> list[Any]:
    return [x.detach().clone() for policy in training.distinct() for x in policy.parameters()]


def same(some: Training, other: Training) -> bool:
    return all(torch.equal(a, b) for a, b in zip(numbers(some), numbers(other), strict=True))


# ------------------------------------------------------------------------------- data


def test_prompts_are_texts_chats_or_tokens_and_replies_end(tmp_path: Path, policies: dict[str, Policy]) -> None:
    ids = TOKENS.encode_chat([{"role": "user", "content": "hi"}])
    forms = ["hi", [{"role": "user", "content": "hi"}], ids]
    rows = [{"role": role, "prompt": form, "reply": "yes"} for role in ROLES for form in forms]
    found = read_examples(Path(written(tmp_path, rows)), policies)
    assert found == [Example(role, tuple(ids), (*TOKENS.encode("yes"), *TOKENS.end)) for role in ROLES for _ in forms]


def test_what_is_written_is_read_back_exactly(tmp_path: Path, policies: dict[str, Policy]) -> None:
    # 3 is the unknown character, which no text gives back; a reply that was cut has no end.
    told = [Example("agent-1", (5, 2), (3, 9)), Example("agent-2", (5, 2), (8, 1))]
    liked = [Preference("agent-1", (5, 2), (3, 9), (8, 1)), Preference("agent-2", (5, 2), (7, 1), (7,))]
    write_rows(tmp_path / "e.jsonl", told, policies)
    write_rows(tmp_path / "p.jsonl", liked, policies)
    assert read_examples(tmp_path / "e.jsonl", policies) == told
    assert read_preferences(tmp_path / "p.jsonl", policies) == liked


def test_pairs_of_trees_are_read_as_they_were_written(tmp_path: Path, policies: dict[str, Policy]) -> None:
    nodes = [Node(-1, 0, "ab", (9, 2), (70, 71, 1), 1.0), Node(-1, 0, "b", (9, 2), (71,), 0.0)]
    nodes += [Node(0, 1, "c", (9, 8, 2), (72, 1), 1.0), Node(0, 1, "d", (9, 8, 2), (73, 1), 0.0)]
    export_pairs(tmp_path / "pairs.jsonl", [(nodes, pairs(nodes, values(nodes)))], ROLES)
    found = read_preferences(tmp_path / "pairs.jsonl", policies)
    assert Preference("agent-2", (9, 8, 2), (72, 1), (73, 1)) in found
    nodes = [Node(-1, role, text, (9, 2), (), right) for role in (0, 1) for text, right in (("ab", 1.0), ("b", 0.0))]
    export_pairs(tmp_path / "texts.jsonl", [(nodes[:2], pairs(nodes[:2], values(nodes[:2])))], ROLES)
    (only,) = read_preferences(tmp_path / "texts.jsonl", {"agent-1": policies["agent-1"]})
    assert only.chosen == (*TOKENS.encode("ab"), *TOKENS.end)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"role": "nobody"}, ":2 role: 'nobody'"),
        ({"prompt": 3}, ":2 prompt"),
        ({"prompt": []}, ":2 prompt"),
        ({"prompt": [1, 9999]}, ":2 prompt"),
        ({"prompt": [{"role": "user"}]}, ":2 prompt"),
        ({"reply": ""}, ":2 reply"),
        ({"reply": None}, ":2 reply"),
        ({"reply_tokens": [-1]}, ":2 reply_tokens"),
        ({"reply": "x" * 300}, "200 tokens of prompt and reply"),
    ],
)
def test_a_wrong_line_is_named(row: dict[str, Any], told: str, tmp_path: Path, policies: dict[str, Policy]) -> None:
    right = {"role": "agent-1", "prompt": "a", "reply": "b"}
    path = Path(written(tmp_path, [right, right | row]))
    with pytest.raises(InputError) as caught:
        read_examples(path, policies)
    assert told in str(caught.value)


def test_files_that_cannot_be_learned_from_are_refused(tmp_path: Path, base: str) -> None:
    def refused(told: str, method: str, **settings: Any) -> None:
        with pytest.raises((InputError, UnknownName), match=told):
            prepare(method, TEAM, TASK, base, settings=settings, held_out=4)

    refused("--data FILE", "sft")
    refused("no such file", "sft", data=str(tmp_path / "none.jsonl"))
    refused("agent-2.*nothing for it", "sft", data=written(tmp_path, examples()[:6]))
    refused("chosen reply", "dpo", data=written(tmp_path, [preferences()[0] | {"rejected": "Answer: 1"}]))
    refused(r":1 chosen", "dpo", data=written(tmp_path, examples()))
    refused("data", "grpo", data="x")
    refused("nobody", "malt", prefer=["nobody"])
    refused("at least 2|greater than", "malt", branches=1)
    refused("at most", "malt", branches=16, questions=100_000)
    with pytest.raises(UnknownName, match="malt"):
        find_method("mallt")


def test_a_run_that_was_right_gives_its_replies(
    tmp_path: Path, policies: dict[str, Policy], shoal: Shoal, base: str
) -> None:
    words = ("team", TEAM, "--task", TASK, "--model", "scripted:competence=.5", "--questions", 8)
    run = shoal.json(*words)["run_dir"]
    from shoal.traces import read_trace

    events = read_trace(Path(run) / "events.jsonl").events
    right = sum(bool(e.payload["correct"]) for e in events if e.kind == "task.end" and e.agent == "chain")
    wide = make_policies(ROLES, tiny_network(0, width=16, layers=1, heads=2, inner=16), TOKENS)
    found = read_examples(Path(run), wide)
    assert 0 < right < 8 and {e.role for e in found} == set(ROLES)
    assert sum(e.role == "agent-2" for e in found) == right == sum(e.role == "agent-1" for e in found)
    assert all(e.reply[-1:] == TOKENS.end for e in found)
    with pytest.raises(InputError, match="same names"):
        read_examples(Path(run), {"stranger": wide["agent-1"]})


# ------------------------------------------------------------------------------- learning


def test_sft_is_imitated_and_dpo_orders_its_pairs(tmp_path: Path, base: str) -> None:
    told = made("sft", base, None, written(tmp_path, examples()), epochs=40, batch=6, learning_rate=2e-2)
    told.train()
    losses = [row["imitation loss"] for row in told.history]
    assert losses[-1] < 0.5 * losses[0] and told.updates == 40 and told.untaught() == []
    liked = made("dpo", base, None, written(tmp_path, preferences()), epochs=10, learning_rate=5e-3)
    liked.train()
    assert liked.history[0]["agent-1 margin"] == pytest.approx(0, abs=1e-5)
    assert liked.history[0]["preference loss"] == pytest.approx(np.log(2), abs=1e-5)
    assert liked.history[-1]["agent-1 margin"] > 0 and liked.history[-1]["agent-2 ordered"] == 1


def test_only_the_roles_own_rows_move_it(tmp_path: Path, base: str) -> None:
    rows = examples()
    one = made("sft", base, None, written(tmp_path, rows, "one.jsonl"))
    other = made("sft", base, None, written(tmp_path, rows[:6] + [r | {"reply": "?"} for r in rows[6:]], "two.jsonl"))
    for training in (one, other):
        training.train(2)
    values = [[x.detach() for x in t.policies["agent-1"].parameters()] for t in (one, other)]
    assert all(torch.equal(a, b) for a, b in zip(*values, strict=True))
    assert not same(one, other)


def test_the_gradient_of_dpo_is_its_closed_form(tmp_path: Path, base: str) -> None:
    """At the reference, -beta/2 times the gradient of log pi(chosen) - log pi(rejected) (eq. 7 and its gradient)."""
    training: Any = made("dpo", base, None, written(tmp_path, preferences()), beta=0.3)
    policy, passes = training.policies["agent-1"], training.method._passes
    passes.refer([policy])
    loss, _ = passes.loss(policy, [0, 1, 2])
    found = torch.autograd.grad(loss, policy.parameters(), allow_unused=True)
    rows = passes.rows["agent-1"][:3]
    whole = sum(
        sign * policy.logprobs([r.prompt], [reply])[0].sum()
        for r in rows
        for sign, reply in ((1, r.chosen), (-1, r.rejected))
    )
    expected = torch.autograd.grad(whole * (-0.3 / 2 / 3), policy.parameters(), allow_unused=True)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("method", ["sft", "dpo", "malt"])
def test_a_resumed_training_is_the_uninterrupted_one(method: str, tmp_path: Path, base: str) -> None:
    rows = {"sft": examples, "dpo": preferences}.get(method)
    data, settings = (written(tmp_path, rows()), {"epochs": 3, "batch": 3}) if rows else ("", {})
    whole = made(method, base, tmp_path / "whole", data, **settings)
    whole.train()
    assert whole.updates == whole.length() > 4
    for stop in (1, whole.updates - 1):
        part = made(method, base, tmp_path / f"part-{stop}", data, **settings)
        part.train(stop)
        again = made(method, base, tmp_path / f"part-{stop}", data, **settings)
        again.load(tmp_path / f"part-{stop}" / "checkpoint")
        again.train()
        assert same(whole, again)
        lines = [json.loads(x) for x in (tmp_path / f"part-{stop}" / "metrics.jsonl").read_text().splitlines()]
        assert [row["update"] for row in lines] == list(range(1, whole.updates + 1))
        for a, b in zip(whole.history, again.history, strict=True):
            assert {k: v for k, v in a.items() if k != "seconds"} == {k: v for k, v in b.items() if k != "seconds"}


def test_a_checkpoint_of_other_data_or_settings_is_refused(tmp_path: Path, base: str) -> None:
    first = made("sft", base, tmp_path, written(tmp_path, examples()))
    first.train(1)
    with pytest.raises(InputError, match="team shape"):
        made("sft", base, None, written(tmp_path, examples()[1:])).load(tmp_path / "checkpoint")
    with pytest.raises(InputError, match="team shape"):
        made("malt", base, None).load(tmp_path / "checkpoint")


def test_a_loss_that_is_not_finite_stops_with_the_batch_saved(tmp_path: Path, base: str) -> None:
    training = made("sft", base, tmp_path, written(tmp_path, examples()))
    with torch.no_grad():
        training.policies["agent-2"].parameters()[0][:] = float("nan")
    with pytest.raises(LossNotFinite, match="agent-2"):
        training.train()
    assert json.loads((tmp_path / "batch-0-agent-2.json").read_text())[0]["role"] == "agent-2"


def test_roles_may_share_a_policy_and_each_others_rows(tmp_path: Path, base: str) -> None:
    data = written(tmp_path, examples())
    result = train_team("sft", TEAM, TASK, base, settings={"data": data}, shared=True, held_out=2, lora=Lora(rank=2))
    assert isinstance(result, TeamTraining) and len(result.trainer.distinct()) == 1
    assert result.trainer.length() == 1 and result.before.shape == (2,)


# ------------------------------------------------------------------------------- trees


def trees(count: int = 2, branches: int = 3, reward: Callable[..., float] = even) -> Any:
    plan = open_team("chain:agents=2")
    policies = make_policies(ROLES, tiny_network(0, width=32, layers=1, heads=2, inner=64), TOKENS)
    return grow(
        plan.run, plan.agents, open_task(TASK).problems(count, 0), policies,
        branches=branches, seed=0, temperature=1.0, max_tokens=6, reward=reward,
    )  # fmt: skip


def test_a_tree_has_every_call_once_and_its_leaves_graded() -> None:
    for nodes, rollouts in trees():
        assert [sum(n.role == place for n in nodes) for place in (0, 1)] == [3, 9] and len(rollouts) == 9
        assert len({n.tokens for n in nodes if n.role == 0}) > 1
        for i, node in enumerate(nodes):
            assert node.parent < i and (node.parent == -1) == (node.role == 0)
            assert (node.right is None) == (node.role == 0)
        for parent in range(len(nodes)):
            assert len({n.prompt for n in nodes if n.parent == parent}) <= 1  # siblings read the same
        first = {r.turns[0].text for r in rollouts}
        assert first == {n.text for n in nodes if n.role == 0}
        grades = [r.reward for r in rollouts]
        assert sorted(grades) == sorted(n.right for n in nodes if n.role == 1)
        assert values(nodes)[[n.role == 0 for n in nodes]].mean() == pytest.approx(np.mean(grades))


def test_trees_are_the_same_again_and_each_ones_own() -> None:
    one, two = (trees(count) for count in (2, 3))
    assert [[n.text for n in nodes] for nodes, _ in one] == [[n.text for n in nodes] for nodes, _ in two][:2]


def test_calls_beyond_the_branching_ones_do_not_branch() -> None:
    plan = open_team("round-robin:agents=2,rounds=2")
    policies = make_policies(["agent-1"], tiny_network(0, width=32, layers=1, heads=2, inner=64), TOKENS)
    from shoal.models.opening import open_model
    from shoal.tasks.problem import answer_key

    problems = open_task(TASK).problems(1, 0)
    frozen = open_model("scripted:competence=1", answer_key=answer_key(problems))
    ((nodes, rollouts),) = grow(
        plan.run, plan.agents, problems, policies, branches=2, seed=0, temperature=1.0, max_tokens=6, frozen=frozen
    )
    assert len(rollouts) == 2 and [n.parent for n in nodes] in ([-1, 0, -1, 2], [-1, -1], [-1, 0, -1], [-1, -1, 1])


def test_a_team_that_asks_in_no_fixed_order_makes_no_tree() -> None:
    plan, turns = open_team(TEAM), iter(range(100))

    async def fickle(question: Any, agents: Any, session: Any, **options: Any) -> Outcome:
        first = agents[next(turns) % 2]
        reply = await session.ask(first, question.text)
        return Outcome(None, reply.text)

    policies = make_policies(ROLES, tiny_network(0, width=16, layers=1, heads=2, inner=16), TOKENS)
    problems = open_task(TASK).problems(1, 0)
    with pytest.raises(InputError, match="no fixed order"):
        grow(fickle, plan.agents, problems, policies, branches=2, seed=0, temperature=1.0, max_tokens=4)


def test_a_prompt_beyond_the_context_ends_its_path() -> None:
    plan, problems = open_team(TEAM), open_task(TASK).problems(1, 0)
    first = len(trees(1)[0][0][0].prompt)
    network = tiny_network(0, width=16, layers=1, heads=2, inner=16, context=first + 6)
    ((nodes, rollouts),) = grow(
        plan.run, plan.agents, problems, make_policies(ROLES, network, TOKENS),
        branches=2, seed=0, temperature=1.0, max_tokens=4, reward=lambda problem, rollout: 1.0,
    )  # fmt: skip
    assert len(rollouts) == 4 and [(n.parent, n.role, n.right) for n in nodes] == [(-1, 0, 1.0)] * 2


def test_malt_gathers_then_imitates_then_prefers(tmp_path: Path, base: str) -> None:
    training = made("malt", base, tmp_path)
    training.train()
    stages = [
        next(name for name in ("outputs", "imitation loss", "preference loss") if name in row)
        for row in training.history
    ]
    assert stages == sorted(stages, key=("outputs", "imitation loss", "preference loss").index)
    assert stages.count("outputs") == 2 and len(set(stages)) == 3
    assert [row["outputs"] for row in training.history[:2]] == [36.0, 24.0]
    grown = [row for row in training.history if "pairs" in row]
    kept = read_preferences(tmp_path / "pairs.jsonl", training.policies)
    assert len(kept) == sum(row["pairs"] for row in grown)
    assert len(read_examples(tmp_path / "examples.jsonl", training.policies)) == sum(row["good"] for row in grown)
    assert not any("agent-1 preference loss" in row for row in training.history)
    assert training.history[-1]["agent-2 margin"] > 0


def test_malt_without_anything_good_ends_after_its_trees(base: str) -> None:
    training = made("malt", base, None)
    training.reward = lambda problem, rollout: 0.0
    training.train()
    assert training.updates == 2 and not training.learned() and training.untaught() == ROLES
    assert "siblings" in training.idle


# ------------------------------------------------------------------------------- the command line


def test_from_trees_to_pairs_to_a_team_on_the_command_line(
    shoal: Shoal, tmp_path: Path, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shoal.posttrain import training as kept

    monkeypatch.setattr(kept, "correctness", even)
    common = ("--team", TEAM, "--task", TASK, "--model", base, "--held-out", 3, "--set", "max_tokens=6")
    small = ("--set", "questions=3", "--set", "temperature=1.5", "--set", "problems=2")
    grown = shoal.json("train-team", "malt", *common, *small)
    assert "3 questions, 36 outputs at most" in shoal.err
    assert set(grown["held_out"]) == {"before", "after", "gain"} and grown["updates"] == len(grown["history"]) >= 2
    folder = Path(grown["run_dir"])
    assert json.loads((folder / "run.json").read_text())["size"] == f"{grown['updates']} updates"
    rows = written(tmp_path, preferences())
    first = shoal.json("train-team", "dpo", *common, "--data", rows, "--set", "batch=2", "--updates", 1)
    assert first["updates"] == 1 and (Path(first["run_dir"]) / "plots" / "training.png").exists()
    on = shoal.json("train-team", "dpo", *common, "--data", rows, "--set", "batch=2", "--resume", first["run_dir"])
    assert on["updates"] == 2 and on["history"][0] == first["history"][0]
    assert shoal("runs", "--json") == 0
    kinds = {run["id"]: run for run in json.loads(shoal.out)}
    assert kinds[Path(on["run_dir"]).name]["status"] == "finished"
    model = f"local:{on['adapters'][1]}"
    assert shoal.json("team", TEAM, "--task", TASK, "--model", model, "--questions", 2, "--max-tokens", 6)


def test_what_does_not_fit_is_refused_before_anything_is_written(shoal: Shoal, tmp_path: Path, base: str) -> None:
    rows = written(tmp_path, preferences())
    common = ("--team", TEAM, "--task", TASK, "--model", base)
    for words, told in (
        (("sft", *common), "--data FILE"),
        (("sft", *common, "--data", rows), ":1 reply"),
        (("dpo", *common, "--data", rows, "--workers", 1), "--workers"),
        (("dpo", *common, "--data", rows, "--train", "agent-3"), "agent-3"),
        (("dpo", *common, "--data", rows, "--updates", 0), "--updates"),
        (("grpo", *common, "--data", rows), "data"),
    ):
        assert shoal("train-team", *words) == 2
        assert told in shoal.err
    assert not (tmp_path / "runs").exists()
