"""The dilemma with a punishment turn."""

from __future__ import annotations

from shoal.games.catalogue import game
from shoal.games.punishment_game import PunishmentGame


@game(
    "punishment",
    "Prisoner's dilemma with a punishment turn",
    "dilemma",
    "Punishing a defector pays, so a threat of it is credible; where it costs (just=-3) it is not.",
)
def punishment(rounds: int = 10, fine: float = 3.0, just: float = 2.0, unjust: float = -10.0) -> PunishmentGame:
    """Both play, then both may punish the other."""
    return PunishmentGame(rounds, fine, just, unjust)
