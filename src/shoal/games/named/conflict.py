"""Zero-sum games."""

from __future__ import annotations

from itertools import product

import numpy as np

from shoal.games.catalogue import game
from shoal.games.game import require
from shoal.games.normal_form import NormalForm, zero_sum


@game("matching-pennies", "Matching pennies", "conflict", "One equilibrium, both mix evenly; value 0.")
def matching_pennies(stake: float = 1.0) -> NormalForm:
    """The row player wins if the pennies match."""
    sides = ("heads", "tails")
    return zero_sum([[stake, -stake], [-stake, stake]], (sides, sides))


@game("rock-paper-scissors", "Rock, paper, scissors", "conflict", "One equilibrium, a third each; value 0.")
def rock_paper_scissors(win: float = 1.0) -> NormalForm:
    """Each beats one and loses to one."""
    require("win", win, win > 0, "Use a prize above 0.")
    hands = ("rock", "paper", "scissors")
    return zero_sum(win * np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]), (hands, hands))


@game("blotto", "Colonel Blotto", "conflict", "Value 0 by symmetry.")
def blotto(soldiers: int = 5, fields: int = 3) -> NormalForm:
    """Who sends more soldiers to a field wins it; who wins more fields wins."""
    require("fields", fields, 2 <= fields <= 5, "Use 2 to 5.")
    require("soldiers", soldiers, 1 <= soldiers <= 10, "Use 1 to 10.")
    plans = np.array([p for p in product(range(soldiers + 1), repeat=fields) if sum(p) == soldiers])
    won = np.sign(plans[:, None, :] - plans[None, :, :]).sum(axis=2)
    names = ["-".join(map(str, p)) for p in plans]
    return zero_sum(np.sign(won), (names, names))
