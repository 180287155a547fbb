"""Seats that play a solver's strategy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from shoal.errors import InputError, UnknownName
from shoal.games.causal import CausalGame, causal_equilibrium
from shoal.games.extensive import Extensive
from shoal.games.game import Game, View
from shoal.games.normal_form import NormalForm, Profile
from shoal.games.repeated import Repeated
from shoal.games.seats.seat import Move, Seat
from shoal.games.solvers.backward_induction import subgame_perfect
from shoal.games.solvers.cfr import cfr
from shoal.games.solvers.correlated import maximin
from shoal.games.solvers.many_players import support_enumeration
from shoal.games.solvers.regret_matching import regret_matching
from shoal.games.solvers.size import MOST_SUPPORTS, support_systems
from shoal.games.solvers.stackelberg import mixed_stackelberg
from shoal.stats import Evidence

MOST_QUICK = 60_000
"""Support systems that a seat solves without being told to; larger games are approximated."""

SOLVERS = {
    "nash": "the Nash equilibrium with the highest total payoff (approximate in large games)",
    "maximin": "the strategy that secures most",
    "stackelberg": "the commitment of the first player, and the best answer to it",
    "regret-matching": "average strategies of regret matching",
    "subgame-perfect": "backward induction",
    "cfr": "average strategies of counterfactual regret minimisation",
}


class SolverSeat(Seat):
    """Plays what a solver says; in repeated games the stage game's solution in every round.

    Args:
        method: one of SOLVERS.
    """

    evidence = Evidence.EXACT

    def __init__(self, method: str) -> None:
        if method not in SOLVERS:
            raise UnknownName("solver", method, SOLVERS)
        self.spec = method
        self._solved: dict[int, tuple[Game, Any]] = {}

    def begin(self, game: Game, player: int) -> Callable[[View], np.ndarray]:
        """Solve the game, once."""
        stage = game.stage if isinstance(game, Repeated) else game
        if id(stage) not in self._solved:
            self._solved[id(stage)] = stage, self._solution(stage)
        solution = self._solved[id(stage)][1]
        if isinstance(stage, NormalForm):
            return lambda view: np.asarray(solution[player])
        return lambda view: np.asarray(solution[view.key])

    async def act(self, view: View, memory: Any, rng: np.random.Generator) -> tuple[Move, Any]:
        """Draw from the solution."""
        p = np.clip(memory(view), 0, None)
        return Move(int(rng.choice(p.size, p=p / p.sum()))), memory

    def _solution(self, game: Game) -> Any:
        if isinstance(game, CausalGame):
            return _causal(game)
        if isinstance(game, Extensive):
            return _tree(game, self.spec)
        if not isinstance(game, NormalForm):
            raise InputError("seat", self.spec, f"There is no exact solver for {game.name}; use a strategy or a model.")
        return _table(game, self.spec)


def best_nash(game: NormalForm) -> Profile:
    """The equilibrium with the highest total payoff, exact if the game is small, else the best approximation found."""
    small = support_systems(game.shape) <= (MOST_QUICK if game.player_count == 2 else min(MOST_SUPPORTS, 1_000))
    if small:
        profiles = support_enumeration(game)
        return max(profiles, key=lambda p: round(float(game.expected(p).sum()), 9))
    if game.player_count == 2 and game.zero_sum:
        return maximin(game, 0)[1], maximin(game, 1)[1]
    from shoal.games.solvers.nash import pure_equilibria

    pure = pure_equilibria(game)
    if pure:
        return game.pure(max(pure, key=lambda joint: float(game.table[joint].sum())))
    return regret_matching(game).best


def _table(game: NormalForm, method: str) -> Profile:
    if method == "maximin":
        return tuple(maximin(game, i)[1] for i in range(game.player_count))
    if method == "regret-matching":
        return regret_matching(game).best
    if method == "stackelberg":
        found = mixed_stackelberg(game)
        return found.strategy, np.eye(game.shape[1])[found.answer]
    if method == "nash":
        return best_nash(game)
    raise InputError("seat", method, f"{game.name} is a table: use nash, maximin, stackelberg or regret-matching.")


def _tree(game: Extensive, method: str) -> dict[str, np.ndarray]:
    if method in ("nash", "subgame-perfect") and game.perfect_information:
        return subgame_perfect(game).behaviour
    if method in ("nash", "cfr"):
        return cfr(game).behaviour
    raise InputError("seat", method, f"{game.name} is a tree: use cfr" + (
        " or subgame-perfect." if game.perfect_information else "; it has hidden moves."
    ))  # fmt: skip


def _causal(game: CausalGame) -> dict[Any, np.ndarray]:
    """The causal Nash equilibrium as behaviour by felt instinct."""
    found = causal_equilibrium(game)
    behaviour: dict[Any, np.ndarray] = {}
    for i in range(game.player_count):
        responses, _ = game.strategies(i, found.layers[i])
        for f in game.occurring(i):
            u = int(np.flatnonzero(game.instincts[i] == f)[0])
            p = np.zeros(game.shape[i])
            np.add.at(p, responses[:, u], found.profile[i])
            behaviour[i, game.actions[i][f]] = p
    return behaviour
