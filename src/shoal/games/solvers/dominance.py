"""Dominated actions and their iterated removal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoal.games.game import TOLERANCE
from shoal.games.normal_form import NormalForm
from shoal.games.solvers.linear_programme import best_mixture, least_gain


@dataclass(frozen=True)
class Reduction:
    """What is left when dominated actions are removed again and again.

    Attributes:
        game: the game with the remaining actions.
        kept: indices of the remaining actions of each player in the original game.
        rounds: (player, action) names removed in each round, all of a round at once.
    """

    game: NormalForm
    kept: tuple[tuple[int, ...], ...]
    rounds: tuple[tuple[tuple[str, str], ...], ...]

    @property
    def solved(self) -> bool:
        """Whether one action is left to everybody."""
        return all(len(keep) == 1 for keep in self.kept)


def dominated(game: NormalForm, player: int, *, weak: bool = False, mixed: bool = True) -> list[int]:
    """Actions of that player that another of its strategies dominates.

    Args:
        game: any game.
        player: index of the player.
        weak: never worse and somewhere better; otherwise better everywhere.
        mixed: also by mixtures, one linear programme for each action not dominated by a pure one.
    """
    own = np.moveaxis(game.table[..., player], player, 0).reshape(game.shape[player], -1)
    slack = TOLERANCE * (1 + np.abs(own).max())
    gaps = own[:, None, :] - own[None, :, :]
    if weak:
        by_pure = (gaps >= -slack).all(axis=2) & (gaps > slack).any(axis=2)
    else:
        by_pure = (gaps > slack).all(axis=2)
    found = set(np.flatnonzero(by_pure.any(axis=0)).tolist())
    if mixed and len(own) > 2:
        found |= {a for a in range(len(own)) if a not in found and _by_mixture(own, a, weak, slack)}
    return sorted(found)


def iterated_dominance(game: NormalForm, *, weak: bool = False, mixed: bool = True) -> Reduction:
    """Remove dominated actions of all players at once, until none is left.

    With strict dominance the result does not depend on the order. With weak dominance it may; here all weakly
    dominated actions of all players go in the same round.
    """
    kept = [list(range(size)) for size in game.shape]
    left = game
    rounds: list[tuple[tuple[str, str], ...]] = []
    while True:
        out = [dominated(left, i, weak=weak, mixed=mixed) for i in range(game.player_count)]
        if not any(out):
            return Reduction(left, tuple(map(tuple, kept)), tuple(rounds))
        rounds.append(tuple((left.players[i], left.actions[i][a]) for i, gone in enumerate(out) for a in gone))
        kept = [[a for place, a in enumerate(keep) if place not in gone] for keep, gone in zip(kept, out, strict=True)]
        left = game.restricted(kept)


def _by_mixture(own: NDArray[np.float64], action: int, weak: bool, slack: float) -> bool:
    """Whether a mixture of the other actions dominates. Strict: maximise the least gain; weak: the sum of gains."""
    gains = (np.delete(own, action, axis=0) - own[action]).T
    if not weak:
        return least_gain(gains).value > 10 * slack
    found = best_mixture(gains.sum(axis=0), (-gains, np.full(len(gains), slack)))
    return found is not None and found.value > 10 * slack * len(gains)
