"""Solvers: equilibria, dominance, commitment, regrets."""

from shoal.games.solvers.backward_induction import best_response, subgame_perfect, tree_nash_conv
from shoal.games.solvers.cfr import cfr
from shoal.games.solvers.correlated import correlated_equilibrium, correlated_gain, maximin
from shoal.games.solvers.dominance import dominated, iterated_dominance
from shoal.games.solvers.exploitability import exploitability, is_equilibrium, nash_conv
from shoal.games.solvers.many_players import support_enumeration
from shoal.games.solvers.nash import all_equilibria, pure_equilibria
from shoal.games.solvers.regret_matching import regret_matching
from shoal.games.solvers.stackelberg import mixed_stackelberg, pure_stackelberg

__all__ = [
    "all_equilibria",
    "best_response",
    "cfr",
    "correlated_equilibrium",
    "correlated_gain",
    "dominated",
    "exploitability",
    "is_equilibrium",
    "iterated_dominance",
    "maximin",
    "mixed_stackelberg",
    "nash_conv",
    "pure_equilibria",
    "pure_stackelberg",
    "regret_matching",
    "subgame_perfect",
    "support_enumeration",
    "tree_nash_conv",
]
