"""M-GRPO: the delegation bandit's rules, mixed rewards, aligned groups, and the study's arms."""

from __future__ import annotations

import numpy as np
import pytest

from shoal.posttrain.m_grpo import main_reward, sub_reward
from shoal.posttrain.problems.delegation import ANSWER, CHANCE, LOOKUPS, MALFORMED, MOST_FACTS, PRECISE, Delegation
from shoal.posttrain.problems.tables import chances
from shoal.studies.m_grpo import STUDY


def policy(problem: Delegation, asks: int, template: int = 0, lookups: int = 3) -> dict[str, np.ndarray]:
    """Delegates that way until all facts are there, then answers."""
    tables = problem.fresh(1)
    for need in range(1, MOST_FACTS + 1):
        for have in range(MOST_FACTS + 1):
            move = ANSWER if have >= need else asks
            tables["main"][0, (need - 1) * (MOST_FACTS + 1) + have, move] = 60.0
    tables["sub"][..., template * LOOKUPS + lookups - 1] = 60.0
    return chances(tables)


def test_one_fact_is_found_within_the_budget_as_often_as_computed() -> None:
    problem = Delegation(1, 1)
    done = problem.delegate(policy(problem, PRECISE), 2000, 4, np.random.default_rng(0))
    once = 1 - (1 - CHANCE[1, 0]) ** 3
    tries = 20 // 5  # a precise call with three look-ups costs 5 of 20 units
    assert done.rows.outcome.mean() == pytest.approx(1 - (1 - once) ** tries, abs=0.01)
    assert done.calls.mean() == pytest.approx(sum((1 - once) ** k for k in range(tries)), abs=0.03)
    assert (done.rows.reward[done.rows.agent == 1].size) == done.calls.sum()


def test_malformed_moves_end_an_episode_without_reward() -> None:
    problem = Delegation()
    done = problem.delegate(policy(problem, MALFORMED), 50, 2, np.random.default_rng(0))
    assert not done.rows.outcome.any() and not done.formed.any() and not done.calls.any()
    malformed = policy(problem, PRECISE, template=5)
    done = problem.delegate(malformed, 50, 2, np.random.default_rng(0))
    assert not done.well_formed[done.rows.agent == 1].any() and done.formed.all()


def test_a_single_agent_pays_for_its_context() -> None:
    full, charged = (
        Delegation(4, 4, context=extra).delegate(
            policy(Delegation(), PRECISE, lookups=2), 500, 4, np.random.default_rng(0)
        )
        for extra in (0, 1)
    )
    assert charged.rows.outcome.mean() < full.rows.outcome.mean()
    assert charged.calls.max() == 4 and full.calls.max() == 5


def test_rewards_are_the_papers() -> None:
    formed, right = np.array([1.0, 1.0, 0.0]), np.array([1.0, 0.0, 1.0])
    np.testing.assert_allclose(main_reward(formed, right), [1.0, 0.1, 0.0])
    np.testing.assert_allclose(sub_reward(formed, right, np.array([0.5, 1.0, 1.0]), (0.1, 0.4, 0.5)), [0.75, 0.6, 0.0])


def test_the_trainers_method_aligns_the_sub_agents_calls() -> None:
    pytest.importorskip("torch", reason="needs the extra posttrain")
    from shoal.posttrain.method import METHODS, Batch
    from shoal.posttrain.rollouts import Rollout, Turn
    from shoal.tasks.catalogue import open_task

    problem = open_task("sums").problems(1, 0)[0]

    def rollout(sample: int, calls: int, reward: float) -> Rollout:
        names = ["main", *["sub"] * calls, "main"]
        turns = [Turn(name, name, [1], [2], [0.0], 1.0, True, "") for name in names]
        return Rollout(problem, sample, turns, reward)

    rollouts = [rollout(0, 1, 1.0), rollout(1, 3, 0.0), rollout(2, 0, 1.0)]
    method = METHODS.get("m-grpo")(calls=2, align="weights")
    rewards = [method.rewards(r) for r in rollouts]
    turns = [t for r in rollouts for t in r.turns]
    batch = Batch(rollouts, turns, np.repeat([0, 1, 2], [3, 5, 2]), np.concatenate(rewards))
    gain, weight = method.advantages(batch, np.random.default_rng(0)), method.weights(batch)
    sub = np.array([t.agent == "sub" for t in turns])
    np.testing.assert_allclose(weight[sub], [2, 2 / 3, 2 / 3, 2 / 3])
    np.testing.assert_allclose(gain[sub], [1, -1, -1, -1], atol=1e-4)
    copies = METHODS.get("m-grpo")(calls=2, align="copies")
    copies.advantages(batch, np.random.default_rng(0))
    assert copies.weights(batch)[sub].tolist()[0] == 2 and copies.weights(batch)[sub][1:].sum() == 2


def test_a_short_run_measures_every_arm() -> None:
    from shoal.runs.study import Trial
    from shoal.traces import TraceWriter

    config = STUDY.configure("quick", {"updates": 3, "start": 2})
    experiment = STUDY.experiment("delegation")
    for variant in experiment.variants:
        trial = Trial(config, "delegation", variant, 0, 0, TraceWriter(None, "t"), seeds=(0, 1))
        measured = experiment.trial(trial)
        assert len(measured) == 2
        assert all(np.isfinite(np.asarray(value)).all() for row in measured for value in row.values())
