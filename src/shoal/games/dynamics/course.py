"""The course of a dynamic over populations: what it starts from and how it went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.errors import InputError
from shoal.games.game import require
from shoal.games.normal_form import NormalForm

Shares = NDArray[np.float64]


@dataclass(frozen=True)
class Course:
    """How shares went.

    Attributes:
        times: [points].
        shares: of each population, [starts, points, actions] each; one population if it plays against itself.
    """

    times: NDArray[np.float64]
    shares: tuple[Shares, ...]

    @property
    def final(self) -> tuple[Shares, ...]:
        """The last shares of each population [starts, actions]."""
        return tuple(part[:, -1] for part in self.shares)


def beginning(
    game: NormalForm, starts: ArrayLike | Sequence[ArrayLike] | None, populations: str, seed: int
) -> tuple[bool, tuple[Shares, ...]]:
    """Whether one population plays against itself, and the checked starting shares of each population.

    Args:
        game: any game; with one population a symmetric one of two players.
        starts: shares [starts, actions], or one such array for each population; 16 random ones by default.
        populations: "one" plays against itself, "each" player has its own; "auto" is one if the game is symmetric.
        seed: of random starts.

    Raises:
        InputError: shares that do not sum to 1 or do not fit the game, or populations that do not.
    """
    one = _one_population(game, populations)
    return one, _starting_shares(starts, game.shape[:1] if one else game.shape, seed)


def _one_population(game: NormalForm, populations: str) -> bool:
    """Whether one population plays against itself; see ``beginning``. Raises InputError."""
    require("populations", populations, populations in ("auto", "one", "each"), "Use auto, one or each.")
    fits = game.player_count == 2 and game.symmetric
    if populations == "one" and not fits:
        raise InputError("populations", "one", "The game is not a symmetric one of two players; use each.")
    return fits and populations != "each"


def _starting_shares(
    given: ArrayLike | Sequence[ArrayLike] | None, sizes: tuple[int, ...], seed: int
) -> tuple[Shares, ...]:
    """Checked shares of each population [starts, actions], 16 random ones by default. Raises InputError."""
    if given is None:
        rng = np.random.default_rng(seed)
        return tuple(rng.dirichlet(np.ones(k), 16) for k in sizes)
    parts: list[Any] = [given] if len(sizes) == 1 else list(given)  # type: ignore[arg-type]
    require("starts", f"{len(parts)} arrays", len(parts) == len(sizes), f"Give {len(sizes)}, one for each population.")
    found = []
    for part, k in zip(parts, sizes, strict=True):
        x = np.atleast_2d(np.asarray(part, float))
        fits = x.ndim == 2 and x.shape[1] == k and bool(np.isfinite(x).all()) and bool((x >= 0).all())
        require("starts", part, fits, f"Give shares [starts, {k}] of 0 or more.")
        require("starts", part, bool(np.allclose(x.sum(axis=1), 1, atol=1e-6)), "Shares sum to 1.")
        found.append(x / x.sum(axis=1, keepdims=True))
    require("starts", [len(x) for x in found], len({len(x) for x in found}) == 1, "Give equally many to each.")
    return tuple(found)
