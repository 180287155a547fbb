"""Cold start in the simulated pool: round-robin tasks that fill the bucket priors and warm the bandit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoal.errors import UnknownName
from shoal.teams.routing import beacon
from shoal.teams.routing.policies import Bandit, Setting
from shoal.teams.routing.pool import Draws, Pool, Profiles, Trajectory, simulate

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Start:
    """A way to start.

    Attributes:
        priors: fill the bucket priors from the warm-up.
        bandit: let the bandit learn from the warm-up.
        reward: what a warm-up call is worth: ``success``, or ``format`` for a call that worked and is well-formed.
        learn: spend the same tasks on the bandit's own choices instead of round-robin.
    """

    priors: bool = True
    bandit: bool = True
    reward: str = "success"
    learn: bool = False


STARTS: Mapping[str, Start] = {
    "no warm-up": Start(priors=False, bandit=False),
    "warm-up": Start(),
    "priors only": Start(bandit=False),
    "bandit only": Start(priors=False),
    "format reward": Start(reward="format"),
    "same tasks, own choices": Start(learn=True),
}
"""``warm-up`` rewards success; ``format reward`` is the paper's: it cannot tell a right answer from a wrong one."""


def start_and_run(
    name: str,
    setting: Setting,
    profiles: Profiles,
    before: Draws,
    draws: Draws,
    scale: float,
    valid_share: float = 0.97,
    latency_weight: float = 0.2,
) -> Trajectory:
    """Warm up on ``before`` in the named way, then run on ``draws`` with fresh loads and unchanging priors.

    Args:
        name: one of STARTS.
        setting: of the bandit.
        profiles: the pool.
        before: draws of the warm-up tasks.
        draws: draws of the measured tasks, shared by all ways to start.
        scale: factor on the confidence radius.
        valid_share: probability that a call works and is well-formed, for every agent alike.
        latency_weight: the warm-up reward is reduced by this times the root of the latency norm.

    Raises:
        UnknownName: no such start.
    """
    if name not in STARTS:
        raise UnknownName("start", name, STARTS)
    start = STARTS[name]
    seeds, tasks = before.shape
    policy = Bandit(setting, scale=scale, beacon_screen=True)
    priors = np.full((seeds, 2, len(profiles.names)), beacon.UNKNOWN)
    if start.priors or start.bandit:
        pool = Pool(profiles, seeds, priors)
        rows = np.arange(seeds)
        sums, counts = np.zeros_like(priors), np.zeros_like(priors)
        for step in range(tasks):
            pool.rest()
            view = pool.view(before, step)
            given = policy.choose(view) if start.learn else np.full(seeds, step % len(profiles.names))
            success, latency = pool.execute(view, given, before)
            # The format is right or wrong by a uniform of its own: the next agent's, which nobody uses at this step.
            valid = before.success[rows, step, given - 1] < valid_share
            worked = success if start.reward == "success" else valid
            reward = np.maximum(0.0, worked - latency_weight * np.sqrt(beacon.latency_norm(latency)))
            if start.bandit:
                policy.teach(view, given, reward)
            if start.priors:
                level = view.hard.astype(int)
                sums[rows, level, given] += reward
                counts[rows, level, given] += 1
                if start.learn:
                    priors[:] = _means(sums, counts)
        if start.priors:
            priors[:] = _means(sums, counts)
    return simulate(policy, draws, profiles, priors=priors)


def _means(sums: Floats, counts: Floats) -> Floats:
    return np.where(counts > 0, sums / np.maximum(counts, 1), beacon.UNKNOWN)
