"""Cross-play tables: every mix of seats, straight to alpha-rank, Nash averaging and exploitability, with intervals."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement, product

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError
from shoal.games.dynamics.alpha_rank import alpha_rank
from shoal.games.dynamics.nash_averaging import antisymmetric, nash_averaging
from shoal.games.game import Game
from shoal.games.normal_form import NormalForm, normal_form
from shoal.games.playing import Result, play_matches
from shoal.games.repeated import Repeated
from shoal.games.seats.seat import Seat
from shoal.runs.seeds import derive
from shoal.stats import Estimate
from shoal.traces import TraceWriter

MOST_PROFILES = 4_096
RESAMPLES = 400
LEVEL = 0.95

Array = NDArray[np.float64]


@dataclass(frozen=True)
class CrossPlay:
    """Payoffs of every mix of strategies, with their repetitions.

    Attributes:
        names: of the strategies.
        samples: payoffs of each match [strategy of player 1, ..., of player n, repeats, players].
        symmetric: players are interchangeable, and so are their strategies' payoffs.
        results: the matches behind each mix that was played, where they were played here.
    """

    names: tuple[str, ...]
    samples: Array
    symmetric: bool
    results: dict[tuple[int, ...], Result] | None = None

    @property
    def players(self) -> int:
        """Players of the game."""
        return int(self.samples.shape[-1])

    @property
    def repeats(self) -> int:
        """Matches of each mix."""
        return int(self.samples.shape[-2])

    @property
    def means(self) -> Array:
        """Mean payoffs [strategy of player 1, ..., of player n, players]."""
        return np.asarray(self.samples.mean(axis=-2))

    def game(self) -> NormalForm:
        """The empirical game in which players choose seats."""
        return self._game(self.means)

    def payoffs(self) -> list[list[Estimate]]:
        """Two players: mean payoff of row against column, with its interval."""
        from shoal.stats import mean

        k = len(self.names)
        return [[mean(self.samples[i, j, :, 0]) for j in range(k)] for i in range(k)]

    def alpha_rank(self, intensity: float | None = None) -> list[Estimate]:
        """Alpha-rank mass of each strategy, averaged over players."""

        def measure(means: Array) -> Array:
            found = alpha_rank(self._game(means), intensity=intensity, single=self._single or None)
            return np.asarray(np.mean(found.scores, axis=0))

        return self._bootstrap(measure)

    def nash_averaging(self) -> list[Estimate]:
        """Rating of each strategy against the maximum-entropy equilibrium of wins minus losses.

        Raises:
            InputError: the game has not two interchangeable players.
        """
        if not self._single:
            raise InputError("nash averaging", f"{self.players} players", "It needs a symmetric game of two players.")
        return self._bootstrap(lambda means: nash_averaging(antisymmetric(means[..., 0])).ratings)

    def exploitability(self) -> list[Estimate]:
        """What a player gains on average by leaving a table at which all sit alike for the best of these seats."""

        def measure(means: Array) -> Array:
            gains = []
            for k in range(len(self.names)):
                game, joint = self._game(means), (k,) * self.players
                gains.append(float(game.regrets(game.pure(joint)).mean()))
            return np.array(gains)

        return self._bootstrap(measure)

    @property
    def _single(self) -> bool:
        return self.symmetric and self.players == 2

    def _game(self, means: Array) -> NormalForm:
        return normal_form(means, [self.names] * self.players, name="cross-play")

    def _bootstrap(self, measure: Callable[[Array], Array]) -> list[Estimate]:
        """Point estimates, and percentiles over resampled matches of every mix (both sides of a match together)."""
        point = measure(self.means)
        rng = np.random.default_rng(0)
        mixes = self.samples.reshape(-1, self.repeats, self.players)
        mirror = self._mirror()
        drawn = []
        for _ in range(RESAMPLES if self.repeats > 1 else 0):
            pick = rng.integers(0, self.repeats, (len(mixes), self.repeats))[mirror]
            means = np.take_along_axis(mixes, pick[..., None], axis=1).mean(axis=1)
            drawn.append(measure(means.reshape(self.means.shape)))
        if not drawn:
            return [Estimate(float(x), -np.inf, np.inf, 1, method="one match") for x in point]
        low, high = np.quantile(np.array(drawn), [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
        rows = zip(point, low, high, strict=True)
        return [Estimate(float(x), float(a), float(b), self.repeats, method="bootstrap") for x, a, b in rows]

    def _mirror(self) -> NDArray[np.intp]:
        """For each mix the one whose draws it shares: mixes that differ in the order of seats are the same matches."""
        shape = self.samples.shape[:-2]
        place = np.arange(int(np.prod(shape))).reshape(shape)
        if not self.symmetric:
            return place.ravel()
        return np.array([place[tuple(sorted(mix))] for mix in np.ndindex(*shape)])


async def cross_play(
    game: Game,
    seats: Sequence[Seat],
    repeats: int = 10,
    seed: int = 0,
    trace: TraceWriter | None = None,
) -> CrossPlay:
    """Play every mix of the seats.

    In a game whose players are interchangeable each mix is played once, whoever sits where. All mixes run at once
    unless a seat learns.

    Args:
        game: any game.
        seats: at least one; none in two forms.
        repeats: matches of each mix.
        seed: root of all random numbers; mixes share those of nature.
        trace: where matches are written.

    Raises:
        InputError: two seats of the same name, too many mixes, or a seat that cannot play the game.
    """
    names = tuple(seat.spec for seat in seats)
    if len(set(names)) < len(names):
        raise InputError("seats", ",".join(names), "Name each seat once; a table plays each against itself anyway.")
    stage = game.stage if isinstance(game, Repeated) else game
    same = isinstance(stage, NormalForm) and stage.symmetric
    n, k = game.player_count, len(seats)
    mixes = list(combinations_with_replacement(range(k), n) if same else product(range(k), repeat=n))
    if len(mixes) > MOST_PROFILES:
        raise InputError("seats", f"{k} seats, {n} players", f"{len(mixes):,} mixes; at most {MOST_PROFILES:,}.")

    async def one(mix: tuple[int, ...]) -> Result:
        chosen = [seats[i] for i in mix]
        return await play_matches(game, chosen, repeats, derive(seed, "cross-play"), trace)

    if any(seat.learns for seat in seats):
        results = [await one(mix) for mix in mixes]
    else:
        results = list(await asyncio.gather(*(one(mix) for mix in mixes)))
    samples = np.zeros((*(k,) * n, repeats, n))
    for mix, result in zip(mixes, results, strict=True):
        samples[mix] = result.payoffs
        if same:
            _mirror_into(samples, mix, result.payoffs)
    return CrossPlay(names, samples, same, dict(zip(mixes, results, strict=True)))


def _mirror_into(samples: Array, mix: tuple[int, ...], payoffs: Array) -> None:
    """The same matches for every order of the seats; a seat that sits twice gets the mean of its places."""
    own = {s: payoffs[:, [i for i, t in enumerate(mix) if t == s]].mean(axis=1) for s in mix}
    from itertools import permutations

    for order in set(permutations(mix)):
        samples[order] = np.stack([own[s] for s in order], axis=1)
