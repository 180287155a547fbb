"""Speed of the routing simulator: all seeds in one numpy batch beside the same rules seed by seed, in one run.

    python benchmarks/symphony.py [--seeds 20] [--tasks 1000]

Prints seconds for every policy on all seeds, and for one learning policy the ratio to running its seeds one at a time.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from shoal.teams.routing.policies import POLICIES, Setting, make_policy
from shoal.teams.routing.pool import Draws, draw, paper_pool, simulate


def seconds(name: str, draws: Draws) -> float:
    """Wall time of one policy on these draws."""
    started = time.perf_counter()
    setting = Setting(draws.shape[0], paper_pool(), freeze_at=draws.shape[1] // 2)
    simulate(make_policy(name, setting), draws, paper_pool(), shock="unavailable", shock_at=draws.shape[1] // 2)
    return time.perf_counter() - started


def one_seed(draws: Draws, seed: int) -> Draws:
    """The draws of one seed."""
    part = slice(seed, seed + 1)
    return Draws(draws.hard[part], draws.success[part], draws.latency[part], draws.choice[part], draws.requester[part])


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seeds", type=int, default=20)
    options.add_argument("--tasks", type=int, default=1000)
    given = options.parse_args()
    draws = draw([np.random.default_rng([1, s]) for s in range(given.seeds)], given.tasks, 5)
    times = {name: seconds(name, draws) for name in POLICIES}
    for name, taken in times.items():
        print(f"{name:24s} {taken:6.2f} s")
    print(f"{'all':24s} {sum(times.values()):6.2f} s  for {given.seeds} seeds x {given.tasks} tasks")
    single = sum(seconds("linucb", one_seed(draws, s)) for s in range(given.seeds))
    print(f"linucb: batch {times['linucb']:.2f} s, seed by seed {single:.2f} s, ratio {single / times['linucb']:.1f}")


if __name__ == "__main__":
    main()
