"""Populations that turn to their best answers: best-response dynamics and fictitious play, as courses of shares.

Best-response dynamics (Gilboa and Matsui 1991): a constant share of each population changes to a best answer to the
present, dx/dt = BR(x) - x. Fictitious play (Brown 1951) is the same on a slowing clock, since what is answered is the
average so far. Best answers that pay alike are taken in equal parts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.errors import UnknownName
from shoal.games.dynamics.course import Course, Shares, beginning
from shoal.games.game import TOLERANCE, require
from shoal.games.normal_form import NormalForm

RULES = ("best response", "fictitious play")


def answering(
    game: NormalForm,
    starts: ArrayLike | Sequence[ArrayLike] | None = None,
    *,
    rule: str = "best response",
    steps: int = 400,
    time: float = 8.0,
    populations: str = "auto",
    seed: int = 0,
) -> Course:
    """Follow best answers.

    Args:
        game: as for ``replicator``, like ``starts``, ``populations`` and ``seed``.
        starts: shares [starts, actions] of each population.
        rule: one of RULES.
        steps: of the course.
        time: how long, of best-response dynamics; rounds of fictitious play are ``steps``.
        populations: "auto", "one" or "each".
        seed: of random starts.

    Raises:
        InputError, UnknownName: shares that do not fit the game, an unknown rule, or a value out of range.
    """
    if rule not in RULES:
        raise UnknownName("rule", rule, RULES)
    require("steps", steps, steps >= 1, "Use 1 or more.")
    fits = rule != "best response" or 0 < time <= steps
    require("time", time, fits, f"Use a time above 0, up to the {steps} steps.")
    one, first = beginning(game, starts, populations, seed)
    now = list(first)
    kept = [[shares] for shares in now]
    slack = TOLERANCE * (1 + float(np.abs(game.table).max()))
    for step in range(steps):
        share = time / steps if rule == "best response" else 1 / (step + 2)
        answers = [_best(pays, slack) for pays in _payoffs(game, now, one)]
        now = [x + share * (answer - x) for x, answer in zip(now, answers, strict=True)]
        for course, shares in zip(kept, now, strict=True):
            course.append(shares)
    clock = time / steps if rule == "best response" else 1.0
    times = np.arange(steps + 1, dtype=np.float64) * clock
    return Course(times, tuple(np.stack(course, axis=1) for course in kept))


def _payoffs(game: NormalForm, now: list[Shares], one: bool) -> list[NDArray[np.float64]]:
    """What each action pays in each start, [starts, actions] for each population."""
    if one:
        return [now[0] @ game.table[..., 0].T]
    starts = range(len(now[0]))
    profiles = [[shares[k] for shares in now] for k in starts]
    return [np.stack([game.deviations(profiles[k], i) for k in starts]) for i in range(len(now))]


def _best(pays: NDArray[np.float64], slack: float) -> NDArray[np.float64]:
    best = (pays >= pays.max(axis=1, keepdims=True) - slack).astype(float)
    return np.asarray(best / best.sum(axis=1, keepdims=True))
