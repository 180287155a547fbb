"""How large a solver's problem is, told before it starts; what is too large is refused with what would do instead."""

from __future__ import annotations

from math import comb, prod

from shoal.errors import InputError
from shoal.games.normal_form import NormalForm

MOST_SYSTEMS = 1_500_000
"""Linear systems of an all-equilibria solve: 11 by 11 has 705,432 and takes seconds."""
MOST_SUPPORTS = 5_000
"""Support profiles of a game with three players or more."""
MOST_CONSTRAINTS = 20_000
MOST_VARIABLES = 200_000
MOST_PROFILES = 20_000
"""Pure profiles that alpha-rank links."""


def support_systems(shape: tuple[int, ...]) -> int:
    """Pairs of supports of equal size in a two-player game; all combinations of supports in larger ones."""
    if len(shape) == 2:
        return comb(shape[0] + shape[1], shape[0]) - 1
    return prod(2**size - 1 for size in shape)


def check_equilibria(game: NormalForm) -> None:
    """Raise InputError if enumerating the supports of the game is hopeless."""
    count = support_systems(game.shape)
    limit = MOST_SYSTEMS if game.player_count == 2 else MOST_SUPPORTS
    if count > limit:
        raise InputError(
            "game",
            "x".join(map(str, game.shape)),
            f"Finding all equilibria means {count:,} support systems, more than {limit:,}. Use regret_matching or "
            "fictitious_play for an approximate one, or remove dominated actions first.",
        )


def check_correlated(game: NormalForm) -> None:
    """Raise InputError if the linear programme of a correlated equilibrium is too large."""
    cells, rows = prod(game.shape), sum(size * (size - 1) for size in game.shape)
    if cells > MOST_VARIABLES or rows > MOST_CONSTRAINTS:
        raise InputError(
            "game",
            "x".join(map(str, game.shape)),
            f"The linear programme would have {cells:,} variables and {rows:,} constraints. Use regret_matching: its "
            "average play is a coarse correlated equilibrium.",
        )


def check_profiles(game: NormalForm) -> None:
    """Raise InputError if the game has too many pure profiles to link each to its neighbours."""
    cells = prod(game.shape)
    if cells > MOST_PROFILES:
        raise InputError(
            "game",
            "x".join(map(str, game.shape)),
            f"Alpha-rank would link {cells:,} profiles, more than {MOST_PROFILES:,}. Use replicator dynamics, or "
            "single=True on a symmetric game.",
        )
