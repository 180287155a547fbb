"""The trainer on networks of 15,000 parameters: exactness, resume, learning, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra posttrain")
pytest.importorskip("transformers", reason="needs the extra posttrain")
pytest.importorskip("peft", reason="needs the extra posttrain")

from shoal.errors import InputError  # noqa: E402
from shoal.models.causal.network import load_network, save_network, tiny_network  # noqa: E402
from shoal.models.causal.tokenizers import CharacterTokenizer  # noqa: E402
from shoal.models.causal.writing import Prompt, write  # noqa: E402
from shoal.models.opening import open_model  # noqa: E402
from shoal.posttrain.method import METHODS  # noqa: E402
from shoal.posttrain.policies import Lora, Policy, export_adapters, make_policies, share  # noqa: E402
from shoal.posttrain.rollouts import Rollout, roll_out  # noqa: E402
from shoal.posttrain.trainer import LossNotFinite, Trainer  # noqa: E402
from shoal.tasks.catalogue import open_task  # noqa: E402
from shoal.tasks.problem import Problem  # noqa: E402
from shoal.teams.catalogue import open_team  # noqa: E402

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("one_thread")]
TOKENS = CharacterTokenizer()
ROLES = ["agent-1", "agent-2"]


def network(seed: int = 0) -> Any:
    return tiny_network(seed, width=32, layers=1, heads=2, inner=64)


def digits(problem: Problem, rollout: Rollout) -> float:
    """Share of digits among the last reply's characters: dense, and nothing that a prompt tells."""
    text = rollout.turns[-1].text
    return sum(c.isdigit() for c in text) / 8


def trainer(
    policies: dict[str, Policy] | None = None,
    method: str = "dr-mas",
    team: str = "chain:agents=2",
    reward: Callable[..., float] = digits,
    folder: Path | None = None,
    **settings: Any,
) -> Trainer:
    plan = open_team(team)
    chosen = {"problems": 4, "group": 4, "max_tokens": 8, "learning_rate": 1e-2, "penalty": 0.0, **settings}
    made = policies or make_policies([a.name for a in plan.agents], network(), TOKENS)
    return Trainer(
        plan.run, plan.agents, made, METHODS.get(method)(**chosen), open_task("choose"), reward=reward, folder=folder
    )  # fmt: skip


def values(policy: Policy) -> list[Any]:
    return [x.detach().clone() for x in policy.parameters()]


def same(some: list[Any], others: list[Any]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(some, others, strict=True))


def test_writing_is_what_transformers_writes() -> None:
    net = network()
    prompts = [Prompt(TOKENS.encode(text), 9, 0.0) for text in ("a", "What is 3 + 4?", "Answer: 12\nagent-1: no")]
    for prompt, written in zip(prompts, write(net, prompts, (), TOKENS.pad), strict=True):
        whole = net.generate(torch.tensor([list(prompt.ids)]), max_new_tokens=9, do_sample=False, eos_token_id=None)
        assert written.tokens == whole[0, len(prompt.ids) :].tolist()


def test_a_reply_does_not_depend_on_its_neighbours_and_ends_where_it_should() -> None:
    net = network()
    prompts = [Prompt(TOKENS.encode("x" * (1 + i)), 4 + i % 5, 1.0, seed=i) for i in range(12)]
    together = write(net, prompts, TOKENS.end, TOKENS.pad)
    alone = [write(net, [p], TOKENS.end, TOKENS.pad)[0] for p in prompts]
    assert [w.tokens for w in together] == [w.tokens for w in alone]
    assert all(len(w.tokens) <= p.longest for w, p in zip(together, prompts, strict=True))
    stop = prompts[3].longest and together[3].tokens[1]
    cut = write(net, [Prompt(prompts[3].ids, 9, 1.0, 3, lambda t: t[-1] == stop)], (), TOKENS.pad)[0]
    assert cut.ended and cut.tokens[-1] == stop


def test_sampled_tokens_follow_the_distribution() -> None:
    net, ids = network(), TOKENS.encode("Answer: ")
    rows = write(net, [Prompt(ids, 1, 0.7, seed) for seed in range(3000)], (), TOKENS.pad)
    with torch.no_grad():
        chance = torch.softmax(net(torch.tensor([ids])).logits[0, -1] / 0.7, -1).numpy()
    seen = np.bincount([w.tokens[0] for w in rows], minlength=TOKENS.size)
    keep = chance * 3000 > 5
    statistic = (np.square(seen - 3000 * chance)[keep] / (3000 * chance[keep])).sum()
    assert statistic < keep.sum() + 4 * np.sqrt(2 * keep.sum())
    assert rows[0].logprobs[0] == pytest.approx(np.log(chance[rows[0].tokens[0]]), abs=1e-4)


@pytest.mark.parametrize("lora", [None, Lora(rank=2, alpha=4)])
def test_log_probabilities_are_those_of_writing_and_fresh_adapters_change_nothing(lora: Lora | None) -> None:
    policies = make_policies(ROLES, network(), TOKENS, lora)
    policy = policies["agent-2"]
    prompts = [TOKENS.encode(t) for t in ("a longer prompt: ", "b")]
    written = policy.write([Prompt(ids, 6, 0.8, seed) for seed, ids in enumerate(prompts)])
    replies = [w.tokens for w in written]
    new, _, mask = policy.logprobs(prompts, replies, [0.8, 0.8])
    for row, w in enumerate(written):
        np.testing.assert_allclose(new[row][mask[row]].detach(), w.logprobs, atol=2e-5)
    reference, _, _ = policy.logprobs(prompts, replies, [0.8, 0.8], reference=True) if lora else (new, None, None)
    np.testing.assert_allclose(new.detach(), reference.detach(), atol=1e-6)


@pytest.mark.parametrize("lora", [None, Lora(rank=2)])
def test_a_prompt_in_common_is_read_once_and_nothing_else_changes(lora: Lora | None) -> None:
    policy = make_policies(["solver"], network(1), TOKENS, lora)["solver"]
    torch.manual_seed(0)
    for tensor in policy.parameters():
        tensor.data += 0.1 * torch.randn_like(tensor)
    prompts = [TOKENS.encode_chat([{"role": "user", "content": text}]) for text in ("2 + 2 = ?", "a longer question")]
    replies = [TOKENS.encode(text) for text in ("4", "Answer: 4", "no", "Answer: 12")]
    asked = [prompts[0], prompts[1], prompts[0], prompts[0]]
    found = []
    for rows in ([[0, 1, 2, 3]], [[0, 1], [2], [3]]):  # two prompts in four rows; then no part has one twice
        for tensor in policy.parameters():
            tensor.grad = None
        parts = [policy.logprobs([asked[i] for i in r], [replies[i] for i in r], entropy=True) for r in rows]
        (sum(logp.sum() for logp, _, _ in parts) + sum(entropy.sum() for _, entropy, _ in parts)).backward()
        each = [float(row.sum()) for logp, _, _ in parts for row in logp]
        found.append((each, torch.cat([x.grad.flatten() for x in policy.parameters()])))
    np.testing.assert_allclose(found[0][0], found[1][0], atol=1e-4)
    assert found[0][1].norm() > 1
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-4, atol=1e-4)


def test_other_agents_words_change_nothing_in_a_roles_gradient() -> None:
    made = trainer()
    rollouts = made.rollouts(made.task.problems(4, 0))
    batch = made.batch(rollouts)
    gain = made.method.advantages(batch, np.random.default_rng(0))
    own = [i for i, t in enumerate(batch.turns) if t.agent == "agent-1"]
    policy = made.policies["agent-1"]

    def slope() -> list[Any]:
        for x in policy.parameters():
            x.grad = None
        loss, _ = made._loss(policy, [batch.turns[i] for i in own], gain[own], np.ones(len(own)), 1.0)
        loss.backward()
        return [x.grad.clone() for x in policy.parameters()]

    before = slope()
    for turn in batch.turns:
        if turn.agent == "agent-2":
            turn.tokens, turn.prompt = [5] * 20, [7] * 30
    assert same(before, slope())


def test_training_raises_the_reward() -> None:
    made = trainer(group=8)
    made.train(30)
    reward = [figures["reward"] for figures in made.history]
    assert np.mean(reward[-5:]) > 3 * np.mean(reward[:5])


@pytest.mark.parametrize("lora", [None, Lora(rank=2, alpha=4)])
def test_a_resumed_training_is_the_uninterrupted_one(tmp_path: Path, lora: Lora | None) -> None:
    def fresh(folder: Path) -> Trainer:
        return trainer(make_policies(ROLES, network(), TOKENS, lora), folder=folder)

    whole = fresh(tmp_path / "whole")
    whole.train(4)
    part = fresh(tmp_path / "part")
    part.train(2)
    again = fresh(tmp_path / "part")
    again.load(tmp_path / "part" / "checkpoint")
    again.train(4)
    for role in ROLES:
        assert all(
            torch.equal(a, b) for a, b in zip(*map(values, (whole.policies[role], again.policies[role])), strict=True)
        )
    names = [name for name in whole.history[-1] if "seconds" not in name]
    assert [whole.history[-1][n] for n in names] == [again.history[-1][n] for n in names]


def test_in_turn_leaves_the_others_bit_for_bit() -> None:
    made = trainer(schedule="in-turn", interval=2)
    before = {role: values(p) for role, p in made.policies.items()}
    made.train(2)
    same = {
        r: all(torch.equal(a, b) for a, b in zip(before[r], values(p), strict=True)) for r, p in made.policies.items()
    }
    assert same == {"agent-1": False, "agent-2": True}


@pytest.mark.parametrize(("warm_up", "share"), [(0, 1.0), (1, 1.0), (4, 0.25)])
def test_a_warm_up_begins_with_its_share_of_the_rate(warm_up: int, share: float) -> None:
    """Adam's first step has the length of the rate in every parameter, whatever the gradient."""
    made = trainer(rate_warm_up=warm_up)
    before = values(made.policies["agent-1"])
    made.train(1)
    after = values(made.policies["agent-1"])
    farthest = max(float((b - a).abs().max()) for a, b in zip(before, after, strict=True))
    assert farthest == pytest.approx(1e-2 * share, rel=1e-3)


def test_roles_can_share_one_policy_and_seats_can_be_frozen() -> None:
    policies = make_policies(["agent-1"], network(), TOKENS)
    shared = share({**policies, "agent-2": policies["agent-1"]}, {"agent-1": "all", "agent-2": "all"})
    made = trainer(shared)
    assert len(made.distinct()) == 1
    made.train(1)
    plan = open_team("chain:agents=2")
    frozen = open_model(
        "scripted:competence=1", answer_key={p.question.id: p for p in open_task("choose").problems(3, 0)}
    )
    rollouts = roll_out(plan.run, plan.agents, open_task("choose").problems(3, 0), policies, group=2, frozen=frozen)
    assert len(rollouts) == 6 and all(t.agent == "agent-1" for r in rollouts for t in r.turns)
    assert np.mean([r.reward for r in rollouts]) > 0.5


def test_pieces_of_a_minibatch_add_up() -> None:
    one, many = trainer(piece=64), trainer(piece=3)
    one.train(1)
    many.train(1)
    for a, b in zip(values(one.policies["agent-1"]), values(many.policies["agent-1"]), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-3)
    assert one.history[0]["agent-1 grad_norm"] == pytest.approx(many.history[0]["agent-1 grad_norm"], rel=1e-3)


def test_networks_and_adapters_are_saved_as_data(tmp_path: Path) -> None:
    net = network()
    save_network(tmp_path / "net", net, TOKENS)
    again, tokenizer = load_network(tmp_path / "net")
    assert isinstance(tokenizer, CharacterTokenizer)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), again.parameters(), strict=True))
    policies = make_policies(ROLES, network(), TOKENS, Lora(rank=2))
    folders = export_adapters(policies, tmp_path / "adapters")
    assert [sorted(p.suffix for p in f.rglob("adapter_*")) for f in folders] == [[".json", ".safetensors"]] * 2


def test_a_loss_that_is_not_finite_stops_with_the_batch_saved(tmp_path: Path) -> None:
    made = trainer(folder=tmp_path)
    with torch.no_grad():
        made.policies["agent-2"].parameters()[0][:] = float("nan")
    with pytest.raises((LossNotFinite, InputError)):
        made.train(1)


def test_bad_input_names_field_value_and_mend(tmp_path: Path) -> None:
    plan = open_team("chain:agents=2")
    task = open_task("choose")
    with pytest.raises(InputError, match="None of its agents is trainable"):
        roll_out(plan.run, plan.agents, task.problems(1, 0), {})
    stranger = make_policies(["nobody"], network(), TOKENS)
    with pytest.raises(InputError, match="no such agent"):
        roll_out(plan.run, plan.agents, task.problems(1, 0), {**stranger, **make_policies(ROLES, network(), TOKENS)})
    with pytest.raises(InputError, match="agent-2"):
        roll_out(plan.run, plan.agents, task.problems(1, 0), make_policies(["agent-1"], network(), TOKENS))
    with pytest.raises(InputError, match="each once"):
        make_policies(["a", "a"], network(), TOKENS)
    with pytest.raises(InputError, match="safetensors"):
        load_network(tmp_path)
    made = trainer(folder=tmp_path)
    made.train(1)
    other = trainer(make_policies(["agent-1", "agent-2"], network(), TOKENS, Lora(rank=2)))
    with pytest.raises(InputError, match="team shape"):
        other.load(tmp_path / "checkpoint")
    with pytest.raises(InputError, match="finite"):
        trainer(reward=lambda p, r: float("nan")).train(1)
    with pytest.raises(InputError):
        METHODS.get("grpo")(credit="luck")
