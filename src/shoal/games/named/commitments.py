"""Games in which it pays to commit first."""

from __future__ import annotations

import numpy as np

from shoal.games.catalogue import game
from shoal.games.causal import CausalGame, causal_game
from shoal.games.causal_tree import sequential_tree
from shoal.games.extensive import Extensive
from shoal.games.game import require
from shoal.games.normal_form import NormalForm, bimatrix, symmetric


@game(
    "commitment", "Commitment game", "commitment",
    "Nash pays the leader 2, committing to one action 3, to a mixture 3.5 (Conitzer and Sandholm 2006).",
)  # fmt: skip
def commitment() -> NormalForm:
    """The example of Conitzer and Sandholm (2006), section 1; the row player leads."""
    return bimatrix([[2, 4], [1, 3]], [[1, 0], [0, 1]], (("up", "down"), ("left", "right")))


@game(
    "cournot", "Quantity duopoly", "commitment", "Cournot: a third of demand each; the leader of Stackelberg: a half."
)
def cournot(demand: int = 12) -> NormalForm:
    """Price is demand minus both quantities; production is free."""
    require("demand", demand, 2 <= demand <= 60, "Use 2 to 60.")
    q = np.arange(demand // 2 + 1)
    own = q[:, None] * np.maximum(demand - q[:, None] - q[None, :], 0)
    return symmetric(own.astype(float), [f"make-{k}" for k in q])


@game("inspection", "Inspection game", "commitment", "One mixed equilibrium; committing to inspect just enough pays.")
def inspection(wage: float = 4.0, effort: float = 2.0, cost: float = 1.0, output: float = 6.0) -> NormalForm:
    """The employer inspects or trusts; the worker works or shirks and loses its wage if caught."""
    require("wage", wage, output > wage > effort > cost > 0, "Use output > wage > effort > cost > 0.")
    employer = [[output - wage - cost, -cost], [output - wage, -wage]]
    worker = [[wage - effort, 0], [wage - effort, wage]]
    return bimatrix(employer, worker, (("inspect", "trust"), ("work", "shirk")))


@game(
    "causal-dilemma", "Causal prisoner's dilemma", "causal", "Nash 1 each; the causal Nash equilibrium pays 2.2 each."
)
def causal_dilemma(chance: float = 0.6) -> CausalGame:
    """A hidden circumstance changes the payoffs, and the players' instincts know it."""
    return _dilemma(chance)


@game(
    "causal-leader", "Causal prisoner's dilemma, one after the other", "causal",
    "Following its instinct pays the leader 2.2, the best fixed action 1.8.",
)  # fmt: skip
def causal_leader(chance: float = 0.6, action_seen: bool = True) -> Extensive:
    """The causal prisoner's dilemma in which the row player first says how it will decide."""
    return sequential_tree(_dilemma(chance), sees="action" if action_seen else "mechanism")


def _dilemma(chance: float) -> CausalGame:
    calm = symmetric([[3, 0], [5, 1]]).table
    storm = symmetric([[4, 2], [3, 1]]).table
    names = ("cooperate", "defect")
    return causal_game([chance, 1 - chance], [[1, 0], [1, 0]], np.stack([calm, storm]), (names, names))
