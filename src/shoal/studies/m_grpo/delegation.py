"""M-GRPO on the delegation bandit: the alignment by itself, and all arms as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shoal.runs.study import Trial
from shoal.studies.m_grpo.settings import (
    FROZEN,
    HACKED_LOCAL,
    HACKED_MIX,
    MIXED_SHARES,
    QUEUE,
    SHARES,
    SHUFFLED,
    SINGLE,
    WEIGHTS,
    MGrpoConfig,
)

if TYPE_CHECKING:
    from shoal.posttrain.problems.delegation import Delegations


def alignment(trial: Trial[MGrpoConfig]) -> dict[str, float]:
    """Aligned groups of rollouts with known numbers of calls: size, home, and mean weight of each row."""
    from shoal.posttrain.advantages import aligned_rows

    rng, d = trial.rng("rows"), trial.config.calls
    calls = rng.integers(1, 2 * d, 6)
    rollout = np.repeat(np.arange(6), calls)
    counts, sizes, homes = np.zeros(rollout.size), True, True
    for _ in range(trial.config.draws):
        rows = aligned_rows(rollout, d, rng)
        sizes &= rows.size == 6 * d
        homes &= bool((rollout[rows] == np.repeat(np.arange(6), d)).all())
        counts += np.bincount(rows, minlength=rollout.size)
    expected = (d / calls)[rollout]
    error = np.abs(counts / trial.config.draws - expected).max()
    return {"right size": float(sizes), "own rollout": float(homes), "largest error of a weight": float(error)}


def delegate(trial: Trial[MGrpoConfig]) -> list[dict[str, Any]]:
    """All seeds of one arm: stage 1, then stage 2."""
    from shoal.posttrain.problems.delegation import Delegation
    from shoal.posttrain.problems.tables import Adam, chances, gradients, take

    c, variant, seeds = trial.config, trial.variant, len(trial.seeds)
    rng, own_rng = trial.rng("play"), trial.rng("own")
    easy, optimiser = Delegation(1, 2), Adam(c.rate)
    tables = easy.fresh(seeds)
    for _ in range(c.start):
        done = easy.delegate(chances(tables), c.questions, c.group, rng)
        gain = _plain(done, done.well_formed)
        tables = optimiser.ascend(tables, gradients(easy, tables, done.rows, gain))
    problem, optimiser = Delegation(context=1 if variant == SINGLE else 0), Adam(c.rate)
    course = {name: np.zeros((c.updates, seeds)) for name in ("success", "subtask success", "calls", "look-ups")}
    for update in range(c.updates):
        done = problem.delegate(chances(tables), c.questions, c.group, rng)
        index, gain = _learned(trial, done, own_rng)
        slopes = gradients(problem, tables, take(done.rows, index), gain)
        if variant == FROZEN:
            slopes["sub"] = np.zeros_like(slopes["sub"])
        tables = optimiser.ascend(tables, slopes)
        for name, values in _figures(done, seeds).items():
            course[name][update] = values
    first, last = max(1, c.updates // 20), max(1, c.updates // 10)
    return [
        {
            **{f"final {name}": float(x[-last:, s].mean()) for name, x in course.items()},
            "mean success": float(course["success"][:, s].mean()),
            "rise of subtask success": float(
                course["subtask success"][-last:, s].mean() - course["subtask success"][:first, s].mean()
            ),
            "course": course["success"][:: max(1, c.updates // 50), s],
        }
        for s in range(seeds)
    ]


def _learned(
    trial: Trial[MGrpoConfig], done: Delegations, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Which rows are learned from (copies included), and with which advantages."""
    from shoal.posttrain.m_grpo import main_reward, sub_reward

    c, rows = trial.config, done.rows
    main, sub = np.flatnonzero(rows.agent == 0), np.flatnonzero(rows.agent == 1)
    reward = main_reward(done.well_formed, rows.reward)
    if trial.variant == SINGLE:
        formed = done.formed.ravel()[rows.trajectory]
        return np.arange(rows.agent.size), _plain(done, main_reward(formed, rows.reward))
    hacked = trial.variant in (HACKED_MIX, HACKED_LOCAL)
    judged = done.lookups / 3 if hacked else np.abs(done.found - (rng.random(done.found.size) < c.noise))
    shares = SHARES.get(trial.variant, MIXED_SHARES)
    reward[sub] = sub_reward(done.well_formed[sub], rows.reward[sub], judged[sub], shares)
    main_gain = _gain(reward[main], rows.task[main], rows.trajectory[main])
    sub, sub_gain = _grouped(trial, done, sub, reward, rng)
    return np.concatenate([main, sub]), np.concatenate([main_gain, sub_gain])


def _grouped(
    trial: Trial[MGrpoConfig],
    done: Delegations,
    sub: NDArray[np.int64],
    reward: NDArray[np.float64],
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Sub's rows in the groups of the arm, with their advantages."""
    from shoal.posttrain.advantages import agent_advantages, aligned_rows

    c, rows, variant = trial.config, done.rows, trial.variant
    if variant == QUEUE:  # whatever lies in the queue, by groups of the same size
        order = sub[np.argsort(rows.seed[sub], kind="stable")]
        place = np.arange(order.size) - np.searchsorted(rows.seed[order], rows.seed[order])
        group = rows.seed[order] * order.size + place // c.calls
        return order, _gain(reward[order], group, np.arange(order.size))
    if variant == WEIGHTS:
        weight = c.calls / np.bincount(rows.trajectory[sub])[rows.trajectory[sub]]
        gain = agent_advantages(
            reward[sub], task=rows.task[sub], trajectory=np.arange(sub.size), agent=np.zeros(sub.size, np.int64),
            weights=weight,
        )  # fmt: skip
        share = np.bincount(rows.seed[sub])[rows.seed[sub]] / np.bincount(rows.seed[sub], weight)[rows.seed[sub]]
        return sub, gain * weight * share
    chosen = sub[aligned_rows(rows.trajectory[sub], c.calls, rng)] if sub.size else sub
    gain = _gain(reward[chosen], rows.task[chosen], np.arange(chosen.size))
    if variant == SHUFFLED:  # within each seed
        order = np.lexsort((rng.random(chosen.size), rows.seed[chosen]))
        back = np.lexsort((np.arange(chosen.size), rows.seed[chosen]))
        mixed = np.empty_like(gain)
        mixed[back] = gain[order]
        gain = mixed
    return chosen, gain


def _gain(reward: NDArray[np.float64], group: NDArray[np.int64], trajectory: NDArray[np.int64]) -> NDArray[np.float64]:
    """Advantages of one role, each trajectory counted once."""
    from shoal.posttrain.advantages import agent_advantages

    same = np.zeros(reward.size, np.int64)
    return agent_advantages(reward, task=group, trajectory=trajectory, agent=same, mode="global")


def _plain(done: Delegations, reward: NDArray[np.float64]) -> NDArray[np.float64]:
    """Advantages of whole rollouts, by the mean reward of their rows."""
    return _gain(reward, done.rows.task, done.rows.trajectory)


def _figures(done: Delegations, seeds: int) -> dict[str, NDArray[np.float64]]:
    """Of one update, for each seed."""
    sub = done.rows.agent == 1
    count = np.maximum(np.bincount(done.rows.seed[sub], minlength=seeds), 1)

    def over(values: NDArray[np.float64]) -> NDArray[np.float64]:
        each: NDArray[np.float64] = np.bincount(done.rows.seed[sub], values[sub], minlength=seeds) / count
        return each

    return {
        "success": done.rows.outcome.mean((1, 2)),
        "subtask success": over(done.found),
        "calls": done.calls.mean((1, 2)),
        "look-ups": over(done.lookups),
    }
