"""Games in which players want to agree, or to differ."""

from __future__ import annotations

import numpy as np

from shoal.games.catalogue import game
from shoal.games.game import require
from shoal.games.normal_form import NormalForm, bimatrix, symmetric


@game(
    "battle-of-the-sexes", "Battle of the sexes", "coordination",
    "Two pure equilibria and a mixed one: each goes to its own favourite with chance high / (high + low).",
)  # fmt: skip
def battle_of_the_sexes(high: float = 3.0, low: float = 2.0) -> NormalForm:
    """Both want to meet, at different places."""
    require("high", high, high > low > 0, "Use high > low > 0.")
    places = ("opera", "football")
    return bimatrix([[high, 0], [0, low]], [[low, 0], [0, high]], (places, places))


@game(
    "coordination", "Pure coordination", "coordination", "One pure equilibrium for each option, 2^options - 1 in all."
)
def coordination(options: int = 2, pays: float = 1.0) -> NormalForm:
    """Everybody is paid if all choose the same."""
    require("options", options, 1 <= options <= 26, "Use 1 to 26.")
    return symmetric(pays * np.eye(options))


@game(
    "weakest-link", "Minimum effort", "coordination", "Every common effort is an equilibrium (Van Huyck et al. 1990)."
)
def weakest_link(efforts: int = 7, gain: float = 2.0, cost: float = 1.0) -> NormalForm:
    """Paid by the lower effort, each pays for its own."""
    require("gain", gain, gain > cost > 0, "Use gain > cost > 0.")
    require("efforts", efforts, efforts >= 2, "Use 2 or more.")
    e = np.arange(1, efforts + 1)
    own = gain * np.minimum.outer(e, e) - cost * e[:, None]
    return symmetric(own, [f"effort-{k}" for k in e])


@game("climbing", "Climbing game", "coordination", "The best cell is surrounded by losses (Claus and Boutilier 1998).")
def climbing() -> NormalForm:
    """11 for (a, a), but -30 if one of the two slips to b."""
    shared = np.array([[11, -30, 0], [-30, 7, 6], [0, 0, 5]], float)
    return bimatrix(shared, shared)
