"""Games of whole societies."""

from __future__ import annotations

from shoal.games.catalogue import game
from shoal.games.donor import DonorGame


@game(
    "donor",
    "Donor game",
    "group",
    "Nobody gives in equilibrium; if all give everything 12 agents end with 30,720 on average.",
)
def donor(
    agents: int = 12, rounds: int = 12, endowment: float = 10.0, multiplier: float = 2.0, depth: int = 3,
    levels: int = 11,
) -> DonorGame:  # fmt: skip
    """Each round half of the agents may give part of their resources to one of the others, who gets it multiplied."""
    return DonorGame(agents, rounds, endowment, multiplier, depth, levels)
