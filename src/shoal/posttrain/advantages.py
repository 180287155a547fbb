"""Advantages of a team's calls: one function with every group-relative mode, and one recursion for critics.

A row is one call of one agent: the step of a trajectory in which that agent was active. Rows that belong to rollouts of
the same task form a group, and an advantage says how much better a row's reward was than its group's. What "its group"
means is where published methods differ, so it is named (``MODES``) and never chosen in silence:

=============  ==============================================  ============================================
mode           mean                                            deviation
=============  ==============================================  ============================================
global         of trajectories, each counted once (GRPO)       of trajectories
global-step    of all rows of the task                         of all rows of the task
agent-mean     of the agent's own rows (Dr. MAS, ablation)     of trajectories
agent-std      of trajectories                                 of the agent's own rows (ablation)
agent          of the agent's own rows (Dr. MAS, eq. 6)        of the agent's own rows
leave-one-out  of the agent's rows in the other trajectories   none (RLOO; the baseline of AdAlign)
=============  ==============================================  ============================================

Sources: GRPO arXiv 2402.03300; Dr. MAS arXiv 2602.08847; M-GRPO arXiv 2511.13288; AdAlign arXiv 2511.19405; GAE arXiv
1506.02438, over micro-steps as in MARFT arXiv 2504.16129.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.errors import InputError

Mode = Literal["global", "global-step", "agent-mean", "agent-std", "agent", "leave-one-out"]
MODES: tuple[Mode, ...] = get_args(Mode)

EPSILON = 1e-6
"""Added to deviations (Dr. MAS, eq. 6): a group without spread gets advantage 0, not NaN."""

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]
Labels = Sequence[Any] | NDArray[np.int64]
"""What tells rows apart: any hashable labels, or whole numbers."""


def agent_advantages(
    rewards: ArrayLike,
    *,
    task: Labels,
    trajectory: Labels,
    agent: Labels,
    mode: Mode = "agent",
    sample_std: bool = False,
    weights: ArrayLike | None = None,
) -> Floats:
    """Advantage of each row.

    A group of one row, or without spread, gets 0. In the modes ``global`` and ``agent-mean`` a trajectory's reward is
    the mean of its rows' (a penalty of one agent then reaches all, as in the released code of GRPO for teams).

    Args:
        rewards: of each row [rows].
        task: to which task each row belongs; rows of different tasks are never compared.
        trajectory: to which rollout each row belongs; unique within a task.
        agent: whose call each row is.
        mode: what a row is compared with; see the module's header.
        sample_std: divide by n - 1 instead of n.
        weights: how often each row counts in means and deviations [rows]; once if left out.

    Raises:
        InputError: unknown mode, arrays of different lengths, or a reward that is not finite (with its row).
    """
    if mode not in MODES:
        raise InputError("mode", mode, f"Use one of {', '.join(MODES)}.")
    reward = _finite(rewards)
    tasks, trajectories, agents = (_ids(name, ids, reward) for name, ids in _named(task, trajectory, agent))
    weight = np.ones_like(reward) if weights is None else _weights(weights, reward)
    rollout, own = _joint(tasks, trajectories), _joint(tasks, agents)
    if mode == "leave-one-out":
        return _left_out(reward, own, rollout, weight)
    whole = _Groups(reward, tasks, weight, sample_std)
    if mode == "global-step":
        return whole.scaled(reward - whole.mean, whole.deviation)
    mine = _Groups(reward, own, weight, sample_std)
    if mode == "agent":
        return mine.scaled(reward - mine.mean, mine.deviation)
    once = _once(reward, tasks, rollout, weight, sample_std)
    if mode == "agent-mean":
        return mine.scaled(reward - mine.mean, once.deviation)
    if mode == "agent-std":
        return mine.scaled(once.value - once.mean, mine.deviation)
    return once.scaled(once.value - once.mean, once.deviation)


def second_moment_factor(
    rewards: ArrayLike, *, task: Labels, trajectory: Labels, agent: Labels, mode: Mode = "global"
) -> dict[Any, Floats]:
    """By how much a mode multiplies an agent's gradient second moment, where scores do not depend on rewards.

    F_k = (sd_k^2 + (mu_k - mu)^2) / sd^2 for every (task, agent): the mean square of the agent's advantages (Dr. MAS,
    proposition 1). Under the mode ``agent`` it is 1, or 0 where the agent's rewards do not differ.

    Returns the factors of each agent, one for each task in which it acts.
    """
    gain = agent_advantages(rewards, task=task, trajectory=trajectory, agent=agent, mode=mode)
    cells: dict[Any, dict[Any, list[float]]] = {}
    for row, square in enumerate(np.square(gain)):
        cells.setdefault(agent[row], {}).setdefault(task[row], []).append(float(square))
    return {name: np.array([np.mean(squares) for squares in by_task.values()]) for name, by_task in cells.items()}


def aligned_rows(trajectory: Labels, count: int, rng: np.random.Generator) -> Ids:
    """Rows such that every trajectory has exactly ``count`` of them (M-GRPO, alignment of sub-trajectories).

    A trajectory with fewer keeps all its rows and random copies are added; one with more loses rows at random.
    Trajectories without rows cannot appear here, and take no part.

    Args:
        trajectory: to which rollout each row belongs.
        count: d, rows wanted of each, at least 1.
        rng: randomness.

    Returns the chosen rows, those of a trajectory together, in order of first appearance.
    """
    if count < 1:
        raise InputError("count", count, "Keep at least 1 row of each trajectory.")
    ids = _ids("trajectory", trajectory, np.zeros(len(trajectory)))
    if not ids.size:
        return np.zeros(0, np.int64)
    # Rows of each trajectory side by side, in random order where some must go.
    many = np.bincount(ids)
    order = np.lexsort((np.where(many[ids] > count, rng.random(ids.size), np.arange(ids.size)), ids))
    start = np.cumsum(many) - many
    place = np.broadcast_to(np.arange(count), (many.size, count))
    copied = (rng.random((many.size, count)) * many[:, None]).astype(np.int64)
    chosen = np.where(place < many[:, None], place, copied)
    rows: Ids = order[start[:, None] + chosen].ravel()
    return rows


def gae(
    rewards: ArrayLike,
    values: ArrayLike,
    last: ArrayLike,
    *,
    alive: ArrayLike,
    discount: ArrayLike,
    decay: ArrayLike,
    done: ArrayLike | None = None,
) -> Floats:
    """Generalised advantages along the last axis.

    delta_t = r_t + gamma_t V_{t+1} - V_t and A_t = delta_t + gamma_t lambda_t A_{t+1} (arXiv 1506.02438, eq. 16). The
    same recursion serves micro-steps (one entry for each agent's reply, MARFT-A) and tokens (MARFT-T); discounts may
    differ from entry to entry (1 inside a reply, gamma between agents).

    Args:
        rewards: of each entry [*batch, length].
        values: of the state before each entry, same shape.
        last: value after the last entry [*batch].
        alive: False for padding, which is passed over: same shape.
        discount: gamma from an entry to the next, scalar or same shape.
        decay: lambda, scalar or same shape.
        done: the episode ends with this entry, same shape; nowhere if left out.

    Returns advantages, 0 at padding.
    """
    reward, value = np.asarray(rewards, float), np.asarray(values, float)
    real = np.broadcast_to(np.asarray(alive, bool), reward.shape)
    over = np.zeros(reward.shape, bool) if done is None else np.broadcast_to(np.asarray(done, bool), reward.shape)
    gamma, lam = (np.broadcast_to(np.asarray(x, float), reward.shape) for x in (discount, decay))
    gain, ahead, future = np.zeros_like(reward), np.zeros(reward.shape[:-1]), np.array(last, float)
    for t in range(reward.shape[-1] - 1, -1, -1):
        go_on = gamma[..., t] * ~over[..., t]
        delta = reward[..., t] + go_on * future - value[..., t]
        here = delta + go_on * lam[..., t] * ahead
        gain[..., t] = np.where(real[..., t], here, 0.0)
        ahead = np.where(real[..., t], here, ahead)
        future = np.where(real[..., t], value[..., t], future)
    return gain


class _Groups:
    """Mean and deviation of each row's group, spread back over the rows; ``lonely`` where a group has one row."""

    def __init__(self, value: Floats, group: Ids, weight: Floats, sample_std: bool) -> None:
        self.value = value
        total = np.bincount(group, weight)
        rows = np.bincount(group, (weight > 0).astype(float))
        mean = np.bincount(group, weight * value) / np.maximum(total, 1e-300)
        square = np.bincount(group, weight * np.square(value - mean[group]))
        divisor = np.maximum(total - (1 if sample_std else 0), 1e-300)
        self.mean, self.deviation = mean[group], np.sqrt(square / divisor)[group]
        self.lonely = (rows <= 1)[group]

    def scaled(self, off: Floats, deviation: Floats) -> Floats:
        """Distances in units of a deviation; 0 in groups of one row and where nothing differs."""
        flat = deviation <= EPSILON * 1e-3
        gain: Floats = np.where(self.lonely | flat, 0.0, off / (deviation + EPSILON))
        return gain


def _once(reward: Floats, task: Ids, rollout: Ids, weight: Floats, sample_std: bool) -> _Groups:
    """Groups of trajectories, each counted once with the mean reward of its rows, spread over the rows."""
    share: Floats = weight / np.maximum(np.bincount(rollout, weight), 1e-300)[rollout]
    each = np.asarray(np.bincount(rollout, share * reward)[rollout], np.float64)
    groups = _Groups(each, task, share, sample_std)
    first = np.unique(rollout, return_index=True)[1]
    groups.lonely = (np.bincount(task[first], minlength=int(task.max(initial=-1)) + 1) <= 1)[task]
    return groups


def _left_out(reward: Floats, own: Ids, rollout: Ids, weight: Floats) -> Floats:
    """Distance from the mean of the same agent's rows in the other trajectories; 0 where there are none."""
    cell = _joint(own, rollout)
    total, count = np.bincount(own, weight * reward)[own], np.bincount(own, weight)[own]
    mine, number = np.bincount(cell, weight * reward)[cell], np.bincount(cell, weight)[cell]
    others = count - number
    gain: Floats = np.where(others > 0, reward - (total - mine) / np.maximum(others, 1e-300), 0.0)
    return gain


def _joint(some: Ids, others: Ids) -> Ids:
    """Numbers 0, 1, ... of the pairs that occur."""
    return np.asarray(np.unique(some * (others.max(initial=0) + 1) + others, return_inverse=True)[1], np.int64)


def _named(task: Labels, trajectory: Labels, agent: Labels) -> list[tuple[str, Labels]]:
    return [("task", task), ("trajectory", trajectory), ("agent", agent)]


def _finite(rewards: ArrayLike) -> Floats:
    reward = np.asarray(rewards, float)
    if reward.ndim != 1:
        raise InputError("rewards", f"shape {reward.shape}", "Give one reward for each row.")
    bad = np.flatnonzero(~np.isfinite(reward))
    if bad.size:
        raise InputError(f"rewards, row {bad[0]}", reward[bad[0]], "Rewards must be finite.")
    return reward


def _weights(weights: ArrayLike, reward: Floats) -> Floats:
    weight = np.asarray(weights, float)
    if weight.shape != reward.shape or not bool((weight >= 0).all()):
        raise InputError("weights", f"shape {weight.shape}", f"Give {reward.size} numbers of at least 0.")
    return weight


def _ids(name: str, labels: Labels, reward: Floats) -> Ids:
    """Labels as numbers 0, 1, ... in the order of first appearance."""
    if len(labels) != reward.size:
        raise InputError(name, f"{len(labels)} labels", f"Give one for each of the {reward.size} rows.")
    if isinstance(labels, np.ndarray) and labels.dtype.kind in "iu":
        _, first, number = np.unique(labels, return_index=True, return_inverse=True)
        order = np.empty(len(first), np.int64)
        order[np.argsort(first)] = np.arange(len(first))
        return order[number]
    known: dict[Any, int] = {}
    return np.array([known.setdefault(label, len(known)) for label in labels], np.int64)
