"""Social dilemmas of two players."""

from __future__ import annotations

import numpy as np

from shoal.games.catalogue import game
from shoal.games.game import require
from shoal.games.normal_form import NormalForm, symmetric

COOPERATE, DEFECT = 0, 1


@game(
    "prisoners-dilemma", "Prisoner's dilemma", "dilemma",
    "One equilibrium, both defect; repeated, tit-for-tat and its kin sustain cooperation (Axelrod 1984).",
)  # fmt: skip
def prisoners_dilemma(
    temptation: float = 5.0, reward: float = 3.0, punishment: float = 1.0, sucker: float = 0.0
) -> NormalForm:
    """Temptation > reward > punishment > sucker."""
    order = temptation > reward > punishment > sucker
    given = (temptation, reward, punishment, sucker)
    require("payoffs", given, order, "A dilemma needs temptation > reward > punishment > sucker.")
    return _two_by_two(reward, sucker, temptation, punishment, ("cooperate", "defect"))


@game("donation", "Donation game", "dilemma", "One equilibrium, nobody gives.")
def donation(benefit: float = 3.0, cost: float = 1.0) -> NormalForm:
    """Giving costs ``cost`` and brings the other ``benefit``."""
    require("benefit", benefit, benefit > cost > 0, "A dilemma needs benefit > cost > 0.")
    return _two_by_two(benefit - cost, -cost, benefit, 0.0, ("give", "keep"))


@game("hawk-dove", "Hawk and dove (chicken)", "dilemma", "Two pure equilibria and a mixed one: hawk with value / cost.")
def hawk_dove(value: float = 2.0, cost: float = 3.0) -> NormalForm:
    """Two hawks fight over ``value`` and one of them pays ``cost``."""
    require("cost", cost, cost > 0, "Use a cost above 0.")
    return _two_by_two(value / 2, 0.0, value, (value - cost) / 2, ("dove", "hawk"))


@game("snowdrift", "Snowdrift game", "dilemma", "Two pure equilibria in which one works, and a mixed one.")
def snowdrift(benefit: float = 4.0, cost: float = 2.0) -> NormalForm:
    """One must clear the road; two share the work."""
    require("benefit", benefit, benefit > cost > 0, "Use benefit > cost > 0.")
    return _two_by_two(benefit - cost / 2, benefit - cost, benefit, 0.0, ("work", "wait"))


@game("stag-hunt", "Stag hunt", "dilemma", "Two pure equilibria, one pays more and one risks less, and a mixed one.")
def stag_hunt(stag: float = 4.0, hare: float = 3.0) -> NormalForm:
    """A stag needs both; a hare is safe."""
    require("stag", stag, stag > hare > 0, "Use stag > hare > 0.")
    return _two_by_two(stag, 0.0, hare, hare, ("stag", "hare"))


@game(
    "travellers-dilemma", "Traveller's dilemma", "dilemma",
    "One equilibrium and one rationalisable claim: the lowest (Basu 1994); people claim near the highest.",
)  # fmt: skip
def travellers_dilemma(low: int = 2, high: int = 100, bonus: float = 2.0) -> NormalForm:
    """Both are paid the lower claim; who claimed less gets ``bonus``, who claimed more pays it."""
    require("high", high, high > low, "The highest claim is above the lowest.")
    require("bonus", bonus, bonus > 0, "Use a bonus above 0.")
    claims = np.arange(low, high + 1)
    own = np.minimum.outer(claims, claims) + bonus * np.sign(claims[None, :] - claims[:, None])
    story = (
        f"Two travellers claim a value from {low} to {high} for a lost suitcase. Both are paid the lower claim; who "
        f"claimed less gets {bonus:g} more, who claimed more gets {bonus:g} less."
    )
    return symmetric(own, [f"claim-{c}" for c in claims], story=story)


def _two_by_two(both: float, alone: float, other: float, none: float, actions: tuple[str, str]) -> NormalForm:
    return symmetric([[both, alone], [other, none]], actions)
