"""The routing simulator of Symphony-Coord: all seeds in one batch, beside the same rules seed by seed.

Nobody else simulates this, so the only peer is our own unbatched self; the row of all policies is the figure that users
wait for.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np

from shoal.runs.machine import machine_facts, shoal_version
from shoal.teams.routing.policies import POLICIES, Setting, make_policy
from shoal.teams.routing.pool import Draws, draw, paper_pool, simulate

SEEDS, TASKS = 20, 1000


def run() -> dict[str, Any]:
    """Measure every policy once, and LinUCB seed by seed."""
    draws = draw([np.random.default_rng([1, s]) for s in range(SEEDS)], TASKS, 5)
    _seconds("random", draws)  # imports and allocations are not what is measured
    times = {name: _seconds(name, draws) for name in POLICIES}
    single = sum(_seconds("linucb", _one_seed(draws, s)) for s in range(SEEDS))
    rows = [
        _row("one seed at a time", f"linucb, {SEEDS} seeds x {TASKS} tasks", times["linucb"], single),
        _row("none", f"all {len(times)} policies, {SEEDS} seeds x {TASKS} tasks", sum(times.values()), None),
    ]
    return {"name": "symphony", "machine": machine_facts(), "rows": rows}


def _row(peer: str, setting: str, ours: float, theirs: float | None) -> dict[str, Any]:
    return {
        "peer": peer,
        "version": shoal_version() if theirs is not None else "",
        "setting": setting,
        "ours": round(ours, 3),
        "theirs": None if theirs is None else round(theirs, 3),
        "unit": "s",
        "ratio": None if theirs is None else round(theirs / ours, 1),
    }


def _seconds(name: str, draws: Draws) -> float:
    started = time.perf_counter()
    setting = Setting(draws.shape[0], paper_pool(), freeze_at=draws.shape[1] // 2)
    simulate(make_policy(name, setting), draws, paper_pool(), shock="unavailable", shock_at=draws.shape[1] // 2)
    return time.perf_counter() - started


def _one_seed(draws: Draws, seed: int) -> Draws:
    part = slice(seed, seed + 1)
    return Draws(draws.hard[part], draws.success[part], draws.latency[part], draws.choice[part], draws.requester[part])


if __name__ == "__main__":
    import json

    json.dump(run(), sys.stdout, indent=2)
