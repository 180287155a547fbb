"""What a shock did to a policy: rolling success, recovery, deadlocks (Symphony-Coord, experiment 2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.errors import InputError
from shoal.teams.routing.pool import Trajectory

Floats = NDArray[np.float64]

WINDOW, BASELINE_STEPS, FALL, LEVEL, HOLD = 50, 200, 0.08, 0.9, 50
PLOT_EVERY = 10


def rolling_success(success: ArrayLike, window: int = WINDOW) -> Floats:
    """Mean over the last ``window`` tasks up to and with each one [..., T]; fewer at first, never the future."""
    s = np.asarray(success, float)
    total = np.cumsum(s, axis=-1)
    late = total.copy()
    late[..., window:] -= total[..., :-window]
    return late / np.minimum(np.arange(1, s.shape[-1] + 1), window)


@dataclass(frozen=True, slots=True)
class Recovery:
    """How one run went after the shock.

    Attributes:
        baseline: mean rolling success over the 200 tasks before the shock.
        fell: whether the rolling success fell at least 0.08 below the baseline.
        steps: tasks from the shock until the rolling success was back at 90% of the target level, to stay there for
            50 tasks; None if it never fell or never came back.
    """

    baseline: float
    fell: bool
    steps: int | None


def recovery(success: ArrayLike, shock_at: int, attainable: float | None = None) -> Recovery:
    """Recovery of one run [T] after a shock.

    Args:
        success: 0/1 per task [T].
        shock_at: the first task after the shock, at least 200.
        attainable: the level to come back to 90% of; None is the baseline, as in the paper. Where the shock takes the
            competence out of the pool, no policy can come back to the baseline, and what the best agent of each task
            still attains is the fairer target.

    Raises:
        InputError: too few tasks before the shock.
    """
    if shock_at < BASELINE_STEPS:
        raise InputError("shock_at", shock_at, f"The baseline needs {BASELINE_STEPS} tasks before the shock.")
    rolling = rolling_success(success)
    baseline = float(rolling[shock_at - BASELINE_STEPS : shock_at].mean())
    after = rolling[shock_at:]
    below = np.flatnonzero(after <= baseline - FALL)
    if below.size == 0:
        return Recovery(baseline, False, None)
    target = LEVEL * (baseline if attainable is None else attainable)
    # The search starts where it fell: before that, the window still holds the good days.
    good = after[below[0] :] >= target
    if good.size < HOLD:
        return Recovery(baseline, True, None)
    held = np.flatnonzero(np.convolve(good.astype(int), np.ones(HOLD, int), mode="valid") == HOLD)
    return Recovery(baseline, True, int(below[0] + held[0]) if held.size else None)


def deadlocks(success: ArrayLike) -> int:
    """How often three failures came in a row in [T]; each run of three is counted once, then counting starts anew."""
    count = streak = 0
    for ok in np.asarray(success, bool):
        streak = 0 if ok else streak + 1
        if streak == 3:
            count, streak = count + 1, 0
    return count


def shock_metrics(log: Trajectory, at: int) -> dict[str, NDArray[Any]]:
    """Measurements of a run with a shock, each [S], and the rolling success at every PLOT_EVERY-th task [S, n]."""
    attainable = log.best[:, at:].mean(axis=1)
    back = [recovery(s, at) for s in log.success]
    level = [recovery(s, at, float(a)) for s, a in zip(log.success, attainable, strict=True)]
    after = log.success.shape[1] - at
    return {
        "success_before": log.success[:, :at].mean(axis=1),
        "success_after": log.success[:, at:].mean(axis=1),
        "regret_after": (log.best - log.expected)[:, at:].sum(axis=1),
        "fell": np.array([float(r.fell) for r in back]),
        "recovered": np.array([float(r.steps is not None) for r in back]),
        "recovered_in_50": np.array([float(r.steps is not None and r.steps < 50) for r in back]),
        "attainable_in_50": np.array([float(r.fell and r.steps is not None and r.steps < 50) for r in level]),
        # A run that never came back counts with the tasks that were left, so that the mean is a lower bound.
        "attainable_steps": np.array([float(after if r.steps is None else r.steps) for r in level]),
        "deadlocks_per_100": np.array([deadlocks(s[at:]) * 100.0 / after for s in log.success]),
        "cost_per_correct": log.cost.sum(axis=1) / np.maximum(log.success.sum(axis=1), 1),
        "latency_ms": log.latency_ms.mean(axis=1),
        "rolling": rolling_success(log.success)[:, PLOT_EVERY - 1 :: PLOT_EVERY],
    }
