"""Advantage Alignment for language models: games, credit of turns, past opponents, constrained replies, resuming."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra posttrain")
pytest.importorskip("transformers", reason="needs the extra posttrain")
pytest.importorskip("peft", reason="needs the extra posttrain")

from command_line import Shoal  # noqa: E402
from shoal.errors import InputError, UnknownName  # noqa: E402
from shoal.models.causal.model import CausalModel  # noqa: E402
from shoal.models.causal.network import tiny_network  # noqa: E402
from shoal.models.causal.tokenizers import CharacterTokenizer  # noqa: E402
from shoal.models.causal.writing import Prompt  # noqa: E402
from shoal.posttrain.aligned_players import AdvantageAlignment, mean_points  # noqa: E402
from shoal.posttrain.choosing import Chooser, next_logits  # noqa: E402
from shoal.posttrain.credit import aligned_advantages  # noqa: E402
from shoal.posttrain.driver import prepare  # noqa: E402
from shoal.posttrain.method import METHODS, Batch  # noqa: E402
from shoal.posttrain.policies import Lora, make_policies, share  # noqa: E402
from shoal.posttrain.problems.friendly_players import (  # noqa: E402
    befriend,
    chances,
    chosen,
    expected_points,
    questions,
)
from shoal.posttrain.problems.repeated_games import Dilemma, Split, open_players, points_of  # noqa: E402
from shoal.posttrain.rollouts import Rollout, Turn  # noqa: E402
from shoal.posttrain.self_play import SelfPlay, merged  # noqa: E402

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("one_thread")]
TOKENS = CharacterTokenizer()
NAMES = ["agent-1", "agent-2"]
A, B = (TOKENS.encode(letter)[0] for letter in "AB")


def trainer(lora: Lora | None = None, shared: bool = True, folder: Path | None = None, **settings: Any) -> SelfPlay:
    network = tiny_network(0, spread=0.3, width=16, layers=1, heads=2, inner=16, context=320)
    policies = make_policies(NAMES, network, TOKENS, lora)
    if shared:
        policies = share(policies, dict.fromkeys(NAMES, "player"))
    method = AdvantageAlignment(**{"group": 6, "max_tokens": 1, "learning_rate": 1e-2, "store_every": 1, **settings})
    plan = open_players("players")
    made = method.training(plan.run, plan.agents, policies, Dilemma(rounds=3), 0, None)
    made.folder = folder
    return made


def rollout(record: str, learner: str, game: Dilemma | Split | None = None, deal: int = 0) -> Rollout:
    problem = (game or Dilemma(rounds=3)).problems(deal + 1, 0)[deal]
    turns = [Turn("player", learner, [1], [A], [0.0], 1.0, True, "A") for _ in record.split()]
    return Rollout(problem, 0, turns, answer=record)


def batch(rollouts: list[Rollout], method: AdvantageAlignment) -> Batch:
    turns = [turn for r in rollouts for turn in r.turns]
    number = np.repeat(np.arange(len(rollouts)), [len(r.turns) for r in rollouts])
    return Batch(rollouts, turns, number, np.concatenate([method.rewards(r) for r in rollouts]))


def values(made: SelfPlay) -> list[Any]:
    return [x.detach().clone() for policy in made.distinct() for x in policy.parameters()]


def same(some: list[Any], others: list[Any]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(some, others, strict=True))


def test_what_cannot_be_read_counts_as_defection_and_as_a_claim_of_nothing() -> None:
    question = Dilemma(rounds=3).problems(1, 0)[0].question
    assert points_of(question, "A-A A-? ?-?").tolist() == [[3, 3], [0, 5], [1, 1]]
    game = Dilemma()
    assert [game.read(text) for text in ("A", " b.", "Answer: A", "An apple", "", "I choose B")] == list("ABA???")
    split = Split(rounds=1)
    assert [split.read(text) for text in ("10 0 5", "3, 11 and -2", "all", "1 2 3 4")] == [
        "10/0/5", "3/?/?", "?/?/?", "1/2/3",
    ]  # fmt: skip
    problem = split.problems(1, 0)[0]
    greedy = points_of(problem.question, "10/10/10-10/10/10")
    assert greedy.tolist() in ([[105, 105]], [[60, 60]]) and (points_of(problem.question, "?/?/?-10/10/10")[0, 0] == 0)
    assert points_of(problem.question, problem.answer).sum() > greedy.sum()


def test_prompts_tell_rules_and_the_own_view_of_the_last_round_and_do_not_name_the_game() -> None:
    game = Dilemma()
    question = game.problems(1, 0)[0].question
    texts = [" ".join(m["content"] for m in game.prompt(question, seat, [("A", "B")])) for seat in (0, 1)]
    assert texts[0] == texts[1].replace("you B, other A", "you A, other B") != texts[1]
    assert not any(word in texts[0].lower() for word in ("dilemma", "prison", "cooperat", "defect"))
    deals = [p.question.sheets for p in Split().problems(12, 0)]
    assert len({str(sheets) for sheets in deals}) == 12 and all(s["0"] != s["1"] for s in deals)
    assert len({p.question.id for p in game.problems(3, 0)}) == 3


def test_the_credit_of_turns_is_the_published_one() -> None:
    made = AdvantageAlignment(strength=1.5, discount=0.5, weight_discount=0.8, scale=2.0)
    made.seats = ("agent-1", "agent-2")
    rollouts = [
        rollout("A-A A-B B-B", "agent-1"), rollout("B-A A-A B-A", "agent-1"), rollout("A-B B-? A-A", "agent-1"),
        rollout("A-A B-A A-A", "agent-2", deal=1), rollout("B-B A-B B-A", "agent-2", deal=1),
    ]  # fmt: skip
    found = made.advantages(batch(rollouts, made), np.random.default_rng(0)).reshape(5, 3)
    paid = np.stack([points_of(r.problem.question, r.answer or "") for r in rollouts])
    paid[3:] = paid[3:, :, ::-1]  # the learner sits second
    value = np.stack([sum(0.5 ** (u - t) * paid[:, u] / 2 for u in range(t, 3)) for t in range(3)], 1)
    gain = np.empty_like(value)
    for own in (slice(0, 3), slice(3, 5)):
        n = own.stop - own.start
        gain[own] = value[own] - (value[own].sum(0) - value[own]) / (n - 1)
    np.testing.assert_allclose(found, aligned_advantages(gain[..., 0], gain[..., 1], 1.5, 0.8))
    for kind, expected in (("naive", gain[..., 0]), ("sum", gain.sum(-1))):
        other = AdvantageAlignment(trainer=kind, discount=0.5, scale=2.0)
        other.seats = made.seats
        np.testing.assert_allclose(other.advantages(batch(rollouts, other), np.random.default_rng(0)), expected.ravel())
    mixed = AdvantageAlignment(strength=1.5, discount=0.5, weight_discount=0.8, scale=2.0, shuffled=True)
    mixed.seats = made.seats
    shuffled = mixed.advantages(batch(rollouts, mixed), np.random.default_rng(1)).reshape(5, 3)
    np.testing.assert_allclose(shuffled[:, 0], gain[:, 0, 0])
    assert not np.allclose(shuffled, found)


def test_rewards_are_the_learners_own_points() -> None:
    made = AdvantageAlignment()
    made.seats = ("agent-1", "agent-2")
    assert made.rewards(rollout("A-B A-A B-?", "agent-2")).tolist() == [5, 3, 1]
    one = rollout("A-B A-A B-B", "agent-1")
    assert mean_points(one.problem, one) == pytest.approx(13 / 6)


def test_only_the_learners_turns_are_noted_and_learners_take_turns() -> None:
    made = trainer(shared=False, problems=2)
    rollouts = made.rollouts(made.task.problems(2, 0))
    assert [{t.agent for t in r.turns} for r in rollouts] == [{"agent-1"}] * 6 + [{"agent-2"}] * 6
    for r in rollouts:
        seat = NAMES.index(r.turns[0].agent)
        assert [t.text for t in r.turns] == [pair.split("-")[seat] for pair in (r.answer or "").split()]
    before = values(made)
    made.updates = 1
    assert made.seating(made.task.problems(1, 0)).learners == {"dilemma-0-0": "agent-2"}  # type: ignore[attr-defined]
    assert same(before, values(made))


def test_a_frozen_model_can_sit_opposite() -> None:
    free = CausalModel("frozen", tiny_network(1, width=16, layers=1, heads=2, inner=16, context=320), TOKENS)
    plan, game = open_players("players:history=true"), Dilemma(rounds=2)
    policies = make_policies(NAMES[1:], tiny_network(0, width=16, layers=1, heads=2, inner=16, context=400), TOKENS)
    made = AdvantageAlignment(group=4, max_tokens=1).training(plan.run, plan.agents, policies, game, 0, free)
    rollouts = made.rollouts(game.problems(1, 0))
    assert {t.agent for r in rollouts for t in r.turns} == {"agent-2"}
    assert all((r.answer or "").count("?-") == 2 for r in rollouts), "a fresh network's letters are no choice"
    made.train(1)
    assert made.history[0]["unreadable"] == 0.5 and made.history[0]["agent-2 reward"] > 0
    assert "First round." in TOKENS.decode(rollouts[0].turns[0].prompt)


@pytest.mark.parametrize("lora", [None, Lora(rank=2)])
def test_past_opponents_are_frozen_copies(lora: Lora | None) -> None:
    made = trainer(lora, pool=1.0, pool_size=2)
    first = values(made)
    made.train(1)
    policy = made.distinct()[0]
    past = made.pool.opponent(policy, 0)
    assert same(first, list(past.parameters())) and not same(first, values(made))
    assert not any(x.grad is not None and x.grad.abs().max() > 0 for x in past.parameters())
    made.train(3)
    assert len(made.pool.copies["agent-1"]) == 2
    assert same(values(made), list(made.pool.copies["agent-1"][-1].values()))
    prompt = TOKENS.encode("x")
    played, known = (p.logprobs([prompt], [[A]])[0].detach() for p in (made.pool.opponent(policy, 0), policy))
    assert not torch.equal(played, known)


def test_choices_have_the_chances_of_the_free_distribution_between_them() -> None:
    made = trainer()
    policy = made.policies["agent-1"]
    assert isinstance(policy, Chooser) and policy is made.policies["agent-2"]
    prompts = [TOKENS.encode(text) for text in ("first", "second one", "first")]
    free = [super(Chooser, policy).logprobs(prompts, [[token]] * 3, [0.7] * 3)[0][:, 0].exp() for token in (A, B)]
    held, entropy, _ = policy.logprobs(prompts, [[A], [B], [B]], [0.7] * 3, entropy=True)
    chance = (free[0] / (free[0] + free[1])).detach().numpy()
    np.testing.assert_allclose(held[:, 0].exp().detach(), [chance[0], 1 - chance[1], 1 - chance[0]], atol=1e-5)
    spread = -(chance * np.log(chance) + (1 - chance) * np.log(1 - chance))
    np.testing.assert_allclose(entropy[:, 0].detach(), spread, atol=1e-5)
    rows = policy.write([Prompt(prompts[0], 5, 0.7, seed) for seed in range(800)])
    assert np.mean([w.tokens == [A] for w in rows]) == pytest.approx(chance[0], abs=0.06)
    assert rows[0].logprobs[0] == pytest.approx(np.log(chance[0] if rows[0].tokens == [A] else 1 - chance[0]), abs=1e-5)


def test_what_prompts_begin_with_is_read_once_and_nothing_changes() -> None:
    network = trainer().distinct()[0].network
    prompts = [TOKENS.encode(text) for text in ("alike: one", "alike: another", "alike: o")]
    alone = torch.cat([next_logits(network, [prompt], TOKENS.pad) for prompt in prompts])
    torch.testing.assert_close(next_logits(network, prompts, TOKENS.pad), alone, atol=1e-5, rtol=1e-5)
    unlike = [prompts[0], TOKENS.encode("other")]
    together = next_logits(network, unlike, TOKENS.pad)
    torch.testing.assert_close(together[0], alone[0], atol=1e-5, rtol=1e-5)


def test_friendly_players_and_what_they_earn() -> None:
    assert expected_points([0.8] * 5, [0.0] * 5, 10) == pytest.approx((0.2, 4.2))
    assert expected_points([1, 1, 0, 1, 0], [0] * 5, 10) == pytest.approx((0.9, 1.4))
    made = trainer()
    assert len(questions(TOKENS)) == 10
    policy = chosen(made.policies["agent-1"])
    own, rounds = chances(policy), 4
    befriend(policy, 0.8, steps=60, learning_rate=3e-2)
    assert abs(chances(policy) - 0.8).max() < 0.05 < abs(own - 0.8).max()
    first, second = expected_points(own.tolist(), chances(policy).tolist(), rounds)
    rival, total = chances(policy), np.zeros(2)  # the same by going through all games
    for game in np.ndindex(*[4] * rounds):
        weight, state, paid = 1.0, 0, np.zeros(2)
        for move in game:
            acts = ((0, 0), (0, 1), (1, 0), (1, 1))[move]
            p, q = own[state], rival[[0, 1, 3, 2, 4][state]]
            weight *= (1 - p if acts[0] else p) * (1 - q if acts[1] else q)
            paid += Dilemma.payoff["AB"[acts[0]], "AB"[acts[1]]]
            state = 1 + move
        total += weight * paid / rounds
    assert (first, second) == pytest.approx(tuple(total))


def test_equal_turns_that_are_merged_have_the_gradient_of_all() -> None:
    made = trainer()
    rollouts = made.rollouts(made.task.problems(1, 0))
    every = made.batch(rollouts)
    gain = made.method.advantages(every, np.random.default_rng(0))
    kept, mean, count = merged(every.turns, gain, np.ones(len(every.turns)))
    assert len(kept) <= 10 < len(every.turns) == count.sum()
    policy, slopes = made.distinct()[0], []
    for turns, a, w in ((every.turns, gain, np.ones(len(gain))), ([every.turns[i] for i in kept], mean, count)):
        for x in policy.parameters():
            x.grad = None
        loss, figures = made._loss(policy, turns, a, w, float(len(gain)))
        loss.backward()
        slopes.append((torch.cat([x.grad.flatten() for x in policy.parameters()]), figures["entropy"]))
    torch.testing.assert_close(slopes[0][0], slopes[1][0], rtol=1e-4, atol=1e-6)
    assert slopes[0][1] == pytest.approx(slopes[1][1], rel=1e-5) and slopes[0][0].norm() > 0


@pytest.mark.parametrize("lora", [None, Lora(rank=2)])
def test_a_resumed_training_is_the_uninterrupted_one_with_its_pool(tmp_path: Path, lora: Lora | None) -> None:
    whole = trainer(lora, folder=tmp_path / "whole")
    whole.train(4)
    trainer(lora, folder=tmp_path / "part").train(2)
    again = trainer(lora, folder=tmp_path / "part")
    again.load(tmp_path / "part" / "checkpoint")
    again.train(4)
    assert same(values(whole), values(again))
    for one, two in zip(*(made.pool.copies["agent-1"] for made in (whole, again)), strict=True):
        assert same(list(one.values()), list(two.values()))
    names = [name for name in whole.history[-1] if "seconds" not in name]
    assert [whole.history[-1][n] for n in names] == [again.history[-1][n] for n in names]


def test_a_training_on_the_command_line(shoal: Shoal, tmp_path: Path) -> None:
    words = ("train-team", "advantage-alignment", "--team", "players", "--model", "fresh:tiny", "--out", tmp_path)
    small = ("--updates", 2, "--set", "group=3", "--shared")
    told = shoal.json(*words, *small, "--task", "dilemma:rounds=2")
    assert told["updates"] == 2 and 0 <= told["history"][-1]["reward"] <= 3
    assert told["history"][-1]["unreadable"] == 0 and told["history"][-1]["outside"] > 0.5
    told = shoal.json(*words, *small, "--task", "split:rounds=1", "--set", "max_tokens=4", "--held-out", 2)
    assert told["history"][-1]["unreadable"] > 0.5 and set(told["held_out"]) == {"before", "after", "gain"}


def test_bad_input_names_field_value_and_mend(shoal: Shoal) -> None:
    with pytest.raises(InputError, match="no baseline"):
        AdvantageAlignment(group=1).check()
    with pytest.raises(UnknownName):
        open_players("chain:agents=2")
    with pytest.raises(InputError, match="agents"):
        open_players("players:agents=3")
    plan = open_players("players")
    with pytest.raises(InputError, match="two players"):
        METHODS.get("advantage-alignment")().training(plan.run, (*plan.agents, plan.agents[0]), {}, Dilemma(), 0, None)
    with pytest.raises(UnknownName, match="chicken"):
        prepare("advantage-alignment", "players", "chicken", "fresh:tiny")
    with pytest.raises(InputError, match="rounds"):
        prepare("advantage-alignment", "players", "dilemma:rounds=0", "fresh:tiny")
    assert shoal("train-team", "advantage-alignment", "--team", "players", "--task", "dilemma", "--model",
                 "fresh:tiny", "--workers", 1) == 2  # fmt: skip
    assert "--workers" in shoal.err
