"""Named games as payoff tables, for the tests of games."""

from __future__ import annotations

from shoal.games import make_game
from shoal.games.normal_form import NormalForm


def table_of(spec: str) -> NormalForm:
    game = make_game(spec)
    assert isinstance(game, NormalForm)
    return game


PD = table_of("prisoners-dilemma")
