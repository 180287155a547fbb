"""MARFT: the chain bandit's exact values, the study's learning, and the critic in the trainer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from shoal.posttrain.problems.chain import REPLIES, STATES, SYMBOLS, exact_advantages, play, replies_of_tokens, worth
from shoal.runs.study import Trial
from shoal.studies.marft import ACTION, ARMS, CUT, STUDY, _chain, _slope, identity
from shoal.traces import TraceWriter


def policies(n: int, seed: int = 0) -> list[np.ndarray]:
    raw = np.random.default_rng(seed).exponential(size=(n, 1, REPLIES, REPLIES))
    return list(raw / raw.sum(-1, keepdims=True))


def trial(variant: str, seeds: int = 2, **settings: Any) -> Trial[Any]:
    config = STUDY.configure("quick", settings)
    return Trial(config, "bandit", variant, 0, 0, TraceWriter(None, "t"), seeds=tuple(range(seeds)))


def test_values_are_what_play_earns() -> None:
    chain = policies(3)
    _, _, reward = play(chain, 40_000, np.random.default_rng(1))
    expected = np.trace(worth(chain)[0, 0]) / REPLIES
    assert reward.mean() == pytest.approx(expected, abs=0.01)


def test_a_chain_that_copies_always_wins_and_a_cut_one_guesses() -> None:
    copy = [np.eye(REPLIES)[None]] * 4
    assert play(copy, 100, np.random.default_rng(0))[2].all()
    assert play(copy, 4000, np.random.default_rng(0), cut=True)[2].mean() == pytest.approx(0.25, abs=0.03)


def test_advantages_add_up_for_every_sequence() -> None:
    measured = identity(Trial(STUDY.configure("quick"), "identity", "exact", 0, 0, TraceWriter(None, "t")))
    assert max(measured.values()) < 1e-12
    chain = policies(2)
    own = exact_advantages(chain, np.array([1]), np.array([[2], [1]]))
    joint = 1.0 - (chain[0][0, 1] @ chain[1][0, :, 1])
    assert own.sum() == pytest.approx(joint)


def test_two_tokens_make_a_reply() -> None:
    raw = np.random.default_rng(0).exponential(size=(1, STATES, SYMBOLS))
    chance = raw / raw.sum(-1, keepdims=True)
    whole = replies_of_tokens(chance)
    np.testing.assert_allclose(whole.sum(-1), 1.0)
    assert whole[0, 2, 3] == pytest.approx(chance[0, 2, 1] * chance[0, REPLIES + 2 * SYMBOLS + 1, 1])


def test_the_slope_is_the_derivative_of_the_objective() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(1, 3, 4))
    state, action, gain = rng.integers(0, 3, (1, 20)), rng.integers(0, 4, (1, 20)), rng.normal(size=(1, 20))

    def value(logits: np.ndarray) -> float:
        p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        logp = np.log(p)
        entropy = -(p * logp).sum(-1)
        return float((gain * logp[0, state, action] + 0.3 * entropy[0, state]).mean())

    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    slope = _slope(p, state, action, gain, 0.3)
    for place in ((0, 0, 1), (0, 2, 3)):
        up, down = logits.copy(), logits.copy()
        up[place] += 1e-5
        down[place] -= 1e-5
        assert slope[place] == pytest.approx((value(up) - value(down)) / 2e-5, abs=1e-7)


def test_two_agents_learn_and_a_cut_chain_does_not() -> None:
    assert _chain(trial(ACTION, updates=250), 2)[-10:].mean() > 0.7
    assert _chain(trial(CUT, updates=250), 2)[-10:].mean() < 0.4


@pytest.mark.parametrize("variant", ARMS)
def test_every_arm_measures_finite_figures(variant: str) -> None:
    assert np.isfinite(_chain(trial(variant, updates=10), 3)).all()


@pytest.mark.parametrize("level", ["action", "token"])
@pytest.mark.filterwarnings("ignore")
def test_the_critic_learns_resumes_and_shapes_advantages(level: str, tmp_path: Any) -> None:
    torch = pytest.importorskip("torch", reason="needs the extra posttrain")
    pytest.importorskip("peft", reason="needs the extra posttrain")
    from shoal.models.causal.network import tiny_network
    from shoal.models.causal.tokenizers import CharacterTokenizer
    from shoal.posttrain.method import METHODS
    from shoal.posttrain.policies import make_policies
    from shoal.posttrain.trainer import Trainer
    from shoal.tasks.catalogue import open_task
    from shoal.teams.catalogue import open_team

    torch.set_num_threads(1)
    plan = open_team("chain:agents=2")
    names = [agent.name for agent in plan.agents]

    def fresh() -> Trainer:
        method = METHODS.get("marft")(
            problems=3, group=2, max_tokens=6, learning_rate=1e-2, level=level, hidden=(16, 8), critic_steps=2
        )
        made = make_policies(names, tiny_network(0, width=16, layers=1, heads=2, inner=16), CharacterTokenizer())
        task = open_task("choose")
        return Trainer(
            plan.run, plan.agents, made, method, task, folder=tmp_path, reward=lambda p, r: len(r.turns[-1].text) / 6
        )  # fmt: skip

    whole = fresh()
    batch = whole.batch(whole.rollouts(open_task("choose").problems(3, 0)))
    gain = whole.method.advantages(batch, np.random.default_rng(0))
    assert gain.shape[0] == len(batch.turns) and gain.ndim == (1 if level == "action" else 2)
    assert batch.rewards.reshape(-1, 2)[:, 0].sum() == 0, "only the last call is rewarded"
    whole.train(2)
    again = fresh()
    again.load(tmp_path / "checkpoint")
    for trainer in (whole, again):
        trainer.train(3)
    assert whole.history[-1]["critic loss"] == again.history[-1]["critic loss"]
