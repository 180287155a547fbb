"""Games of many players."""

from __future__ import annotations

from itertools import product

import numpy as np

from shoal.games.catalogue import game
from shoal.games.game import require
from shoal.games.normal_form import NormalForm, normal_form

MOST_CELLS = 2_000_000


@game("public-goods", "Public goods game", "group", "Nobody contributes if 1 < factor < players; all would gain by it.")
def public_goods(players: int = 4, endowment: float = 10.0, factor: float = 1.6, levels: int = 2) -> NormalForm:
    """Contributions are multiplied by ``factor`` and shared by all."""
    _check_size(players, levels)
    require("factor", factor, factor > 0, "Use a factor above 0.")
    give = np.linspace(0, endowment, levels)
    table = np.zeros((*(levels,) * players, players))
    for joint in product(range(levels), repeat=players):
        gifts = give[list(joint)]
        table[joint] = endowment - gifts + factor * gifts.sum() / players
    story = (
        f"Each of {players} players has {endowment:g} and may put some of it into a common pot. The pot is multiplied "
        f"by {factor:g} and shared equally by all, whoever contributed."
    )
    return normal_form(table, [[f"give-{g:g}" for g in give]] * players, story=story)


@game(
    "volunteers-dilemma", "Volunteer's dilemma", "group",
    "Symmetric equilibrium: not volunteer with chance (cost / benefit) ^ (1 / (players - 1)) (Diekmann 1985).",
)  # fmt: skip
def volunteers_dilemma(players: int = 3, benefit: float = 2.0, cost: float = 1.0) -> NormalForm:
    """One volunteer is enough for all."""
    _check_size(players, 2)
    require("benefit", benefit, benefit > cost > 0, "Use benefit > cost > 0.")
    table = np.zeros((*(2,) * players, players))
    for joint in product(range(2), repeat=players):
        if 0 in joint:
            table[joint] = [benefit - cost if a == 0 else benefit for a in joint]
    return normal_form(table, [["volunteer", "wait"]] * players)


@game(
    "minority",
    "Minority game (El Farol)",
    "group",
    "Equilibria with as many in the minority as can be, and mixed ones.",
)
def minority(players: int = 3) -> NormalForm:
    """Paid for being on the side of the fewer."""
    _check_size(players, 2)
    require("players", players, players % 2 == 1, "Use an odd number.")
    table = np.zeros((*(2,) * players, players))
    for joint in product(range(2), repeat=players):
        few = int(sum(joint) < players / 2)
        table[joint] = [float(a == few) for a in joint]
    return normal_form(table, [["left", "right"]] * players)


@game("beauty-contest", "Guess a share of the mean", "group", "Iterated dominance leaves 0 (Nagel 1995).")
def beauty_contest(players: int = 3, high: int = 10, share: float = 0.5) -> NormalForm:
    """Who guesses nearest to ``share`` times the mean wins 1, shared by ties."""
    _check_size(players, high + 1)
    require("share", share, 0 < share < 1, "Use a share between 0 and 1.")
    table = np.zeros((*(high + 1,) * players, players))
    for joint in product(range(high + 1), repeat=players):
        gaps = np.abs(np.array(joint) - share * np.mean(joint))
        near = gaps <= gaps.min() + 1e-12
        table[joint] = near / near.sum()
    return normal_form(table, [[f"guess-{g}" for g in range(high + 1)]] * players)


def _check_size(players: int, levels: int) -> None:
    require("players", players, players >= 2, "Use 2 or more.")
    require("levels", levels, levels >= 2, "Use 2 or more.")
    cells = levels**players * players
    mend = f"The table would hold {cells:,} numbers, more than {MOST_CELLS:,}: use fewer players or levels."
    require("players", players, cells <= MOST_CELLS, mend)
