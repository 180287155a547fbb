"""Stackelberg equilibria: a leader commits, a follower sees it and answers best.

The mixed one is the strong Stackelberg equilibrium: among the follower's best answers, the one the leader likes best.
It needs one linear programme for each action of the follower (Conitzer and Sandholm, "Computing the optimal strategy
to commit to", 2006).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from shoal.errors import InputError
from shoal.games.game import TOLERANCE, Payoffs
from shoal.games.normal_form import NormalForm, Strategy
from shoal.games.solvers.linear_programme import best_mixture


@dataclass(frozen=True)
class Commitment:
    """A leader's commitment and the answer to it.

    Attributes:
        leader: index of the leader.
        strategy: the leader's mixed strategy [actions].
        answer: the follower's action.
        payoffs: of both players [2], by index.
    """

    leader: int
    strategy: Strategy
    answer: int
    payoffs: Payoffs


def pure_stackelberg(game: NormalForm, leader: int = 0, *, kind: bool = True) -> Commitment:
    """The leader's best single action, by backward induction.

    Args:
        game: two players.
        leader: index of the leader.
        kind: a follower that is indifferent helps the leader (strong); otherwise it harms it (weak).

    Raises:
        InputError: the game has not two players.
    """
    own, other = _matrices(game, leader)
    best: tuple[float, int, int] | None = None
    for a in range(len(own)):
        ties = np.flatnonzero(other[a] >= other[a].max() - _slack(game))
        pays = own[a][ties]
        place = int(ties[int(pays.argmax() if kind else pays.argmin())])
        if best is None or own[a, place] > best[0] + _slack(game):
            best = (float(own[a, place]), a, place)
    assert best is not None
    _, action, answer = best
    return _commitment(game, leader, np.eye(len(own))[action], answer)


def mixed_stackelberg(game: NormalForm, leader: int = 0) -> Commitment:
    """The best mixed strategy to commit to, with ties in favour of the leader.

    Raises:
        InputError: the game has not two players.
    """
    own, other = _matrices(game, leader)
    best: tuple[float, Strategy, int] | None = None
    for answer in range(own.shape[1]):
        others = (other - other[:, [answer]]).T
        found = best_mixture(own[:, answer], (others, np.zeros(own.shape[1])))
        if found is not None and (best is None or found.value > best[0] + _slack(game)):
            best = (found.value, found.point, answer)
    assert best is not None  # some action is a best answer to something
    return _commitment(game, leader, best[1], best[2])


def _matrices(game: NormalForm, leader: int) -> tuple[Payoffs, Payoffs]:
    """Payoffs [leader's actions, follower's actions] of leader and follower."""
    if game.player_count != 2:
        raise InputError("game", f"{game.player_count} players", "A Stackelberg game has one leader and one follower.")
    if leader not in (0, 1):
        raise InputError("leader", leader, "Use 0 or 1.")
    a, b = game.table[..., leader], game.table[..., 1 - leader]
    return (a, b) if leader == 0 else (a.T, b.T)


def _commitment(game: NormalForm, leader: int, strategy: Strategy, answer: int) -> Commitment:
    own, other = _matrices(game, leader)
    pays = np.zeros(2)
    pays[leader], pays[1 - leader] = strategy @ own[:, answer], strategy @ other[:, answer]
    return Commitment(leader, strategy, answer, pays)


def _slack(game: NormalForm) -> float:
    return TOLERANCE * (1 + float(np.abs(game.table).max()))
