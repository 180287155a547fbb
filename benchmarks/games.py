"""Games: iterated tournaments beside Axelrod-Python, all equilibria beside nashpy and pygambit, alpha-rank and CFR.

Both sides solve or play the same things in this process; results are compared as well as times. Rounds alternate
between the two sides and the median counts; what compiles is compiled before, and the time that takes is its own row.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from importlib import metadata
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # small systems: threads only get in each other's way

ROUNDS = 3
TURNS, REPETITIONS = 200, 10
NOISE = 0.05
GAMES_OF_EACH_SIZE = 3

STRATEGIES = {
    # ours: Axelrod-Python's class
    "cooperator": "Cooperator", "defector": "Defector", "coin": "Random", "alternator": "Alternator",
    "tit-for-tat": "TitForTat", "suspicious-tit-for-tat": "SuspiciousTitForTat", "tit-for-two-tats": "TitFor2Tats",
    "two-tits-for-tat": "TwoTitsForTat", "generous-tit-for-tat": "GTFT", "grim": "Grudger",
    "pavlov": "WinStayLoseShift", "joss": "FirstByJoss", "hard-tit-for-tat": "HardTitForTat",
    "firm-but-fair": "FirmButFair", "zd-extort-2": "ZDExtort2", "zd-generous-2": "ZDGTFT2", "bully": "Bully",
    "go-by-majority": "GoByMajority", "prober": "Prober", "cycler-ccd": "CyclerCCD",
}  # fmt: skip


def run() -> dict[str, Any]:
    """Measure everything that is installed; a missing peer is a row without figures."""
    from shoal.runs.machine import machine_facts

    warnings.simplefilter("ignore")
    rows: list[dict[str, Any]] = []
    for noise in (0.0, NOISE):
        rows += _tournament(noise)
    rows += [_replicator(), _ecosystem()]
    for size in (2, 3, 4, 5, 6, 7, 8):
        rows += _equilibria(size)
    rows += [_alpha_rank(), _poker()]
    return {"name": "games", "machine": machine_facts(), "rows": rows}


def _tournament(noise: float) -> list[dict[str, Any]]:
    """20 strategies, round robin with themselves; scores may differ by chance alone."""
    import numpy as np

    from shoal.games import make_game
    from shoal.games.tournament import play_tournament

    game = make_game("prisoners-dilemma")

    def ours() -> Any:
        return play_tournament(list(STRATEGIES), game, rounds=TURNS, repeats=REPETITIONS, noise=noise, seed=1)  # type: ignore[arg-type]

    started = time.perf_counter()
    ours()
    first = time.perf_counter() - started
    setting = f"20 strategies, {TURNS} turns, {REPETITIONS} repetitions" + (f", {noise:.0%} noise" if noise else "")
    try:
        import axelrod
    except ImportError:
        return [_row("axelrod", setting, _median(ours), None, "s")]

    def theirs() -> Any:
        players = [getattr(axelrod, name)() for name in STRATEGIES.values()]
        match = axelrod.Tournament(players, turns=TURNS, repetitions=REPETITIONS, noise=noise, seed=1)
        return match.play(progress_bar=False)

    mine, peer = ours(), None
    seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(ROUNDS):
        seconds["ours"].append(_median(ours))
        started = time.perf_counter()
        peer = theirs()
        seconds["theirs"].append(time.perf_counter() - started)
    assert peer is not None
    their_sum = np.array(peer.normalised_scores).mean(axis=1)
    gap = np.abs(mine.totals.mean(axis=1) - their_sum)
    spread = np.sqrt((mine.totals.var(axis=1) + np.array(peer.normalised_scores).var(axis=1)) / (REPETITIONS - 1))
    errors = np.max(gap / np.maximum(spread, 1e-3))
    note = f"largest difference of mean scores {gap.max():.3f}, {errors:.1f} standard errors"
    row = _row("axelrod", setting, statistics.median(seconds["ours"]), statistics.median(seconds["theirs"]), "s")
    compiled = _row("axelrod", f"{setting}: the first time, compilation included", first,
                    statistics.median(seconds["theirs"]), "s")  # fmt: skip
    return [row | {"note": note}, compiled]


def _replicator() -> dict[str, Any]:
    """100 starts of the replicator equation on 20 strategies, 1,000 steps each."""
    import numpy as np

    from shoal.games import symmetric
    from shoal.games.dynamics import replicator

    rng = np.random.default_rng(0)
    table, starts = rng.random((20, 20)), rng.dirichlet(np.ones(20), 100)
    game = symmetric(table)

    def ours() -> Any:
        return replicator(game, starts, time=100, steps=1000, points=1, populations="one").final[0]

    mine = ours()
    setting = "replicator dynamics, 20 strategies, 100 starts, time 100"
    try:
        import nashpy
    except ImportError:
        return _row("nashpy", setting, _median(ours), None, "s")
    peer = nashpy.Game(table)
    moments = np.linspace(0, 100, 1001)

    def theirs() -> Any:
        return np.array([peer.replicator_dynamics(y0=s, timepoints=moments)[-1] for s in starts])

    started = time.perf_counter()
    found = theirs()
    seconds = time.perf_counter() - started
    note = f"largest difference of final shares {np.abs(found - mine).max():.1e}"
    return _row("nashpy", setting, _median(ours), seconds, "s") | {"note": note}


def _ecosystem() -> dict[str, Any]:
    """Shares of 20 strategies over 1,000 generations: our compiled equation beside Axelrod's Ecosystem on one table.

    Ecosystem draws each pair's score of a generation from a normal distribution of the tournament's repetitions and is
    noisy; ours integrates the same mean payoffs. Both take the payoff table as given; the tournament is not counted.
    """
    import numpy as np

    from shoal.games import symmetric
    from shoal.games.dynamics import replicator

    setting = "evolution of 20 strategies, 1,000 generations"
    starts = np.full((1, len(STRATEGIES)), 1 / len(STRATEGIES))
    table = np.random.default_rng(0).random((len(STRATEGIES),) * 2)

    def ours() -> Any:
        return replicator(symmetric(table), starts, time=1000, steps=1000, points=1, populations="one").final[0]

    ours()
    try:
        import axelrod
    except ImportError:
        return _row("axelrod", setting, _median(ours), None, "s")
    players = [getattr(axelrod, name)() for name in STRATEGIES.values()]
    played = axelrod.Tournament(players, turns=TURNS, repetitions=REPETITIONS, seed=1).play(progress_bar=False)
    table = np.array(played.payoff_matrix)

    def theirs() -> Any:
        ecosystem = axelrod.Ecosystem(played)
        ecosystem.reproduce(1000)
        return ecosystem.population_sizes[-1]

    mine, its = np.argsort(-ours()[0])[:3], np.argsort(-np.array(theirs()))[:3]
    note = f"of the three most frequent in the end {len(set(mine.tolist()) & set(its.tolist()))} are the same"
    return _row("axelrod", setting, _median(ours), _median(theirs), "s") | {"note": note}


def _equilibria(size: int) -> list[dict[str, Any]]:
    """All equilibria of random games; each peer by its fastest method that finds all."""
    import numpy as np

    from shoal.games import bimatrix
    from shoal.games.solvers import all_equilibria

    rng = np.random.default_rng(size)
    tables = [(rng.random((size, size)), rng.random((size, size))) for _ in range(GAMES_OF_EACH_SIZE)]
    games = [bimatrix(a, b) for a, b in tables]

    def ours() -> list[Any]:
        return [all_equilibria(game) for game in games]

    mine = ours()
    setting = f"all equilibria, random {size} x {size}"
    rows = []
    for peer, methods in (("nashpy", _nashpy_methods(size)), ("pygambit", _gambit_methods())):
        timed = []
        for name, method in methods:
            try:
                started = time.perf_counter()
                found = [method(a, b) for a, b in tables]
                timed.append(((time.perf_counter() - started) / len(tables), name, found))
            except ImportError:
                continue
        if not timed:
            rows.append(_row(peer, setting, _median(ours) / len(games), None, "s"))
            continue
        seconds, name, found = min(timed, key=lambda t: t[0])
        missed = sum(not _has(own.profiles, p) for own, other in zip(mine, found, strict=True) for p in other)
        extra = sum(len(own) for own in mine) - sum(len(other) for other in found) + missed
        note = f"its {name}; equilibria missed by us {missed}, by it {extra}"
        rows.append(_row(peer, setting, _median(ours) / len(games), seconds, "s") | {"note": note})
    return rows


def _nashpy_methods(size: int) -> list[tuple[str, Callable[[Any, Any], list[Any]]]]:
    def vertices(a: Any, b: Any) -> list[Any]:
        import nashpy

        return list(nashpy.Game(a, b).vertex_enumeration())

    def supports(a: Any, b: Any) -> list[Any]:
        import nashpy

        return list(nashpy.Game(a, b).support_enumeration(non_degenerate=True))

    # From 7 x 7 on its support enumeration takes minutes; vertices are the faster of the two from 6 x 6 on.
    return [("vertex enumeration", vertices)] + ([("support enumeration", supports)] if size <= 6 else [])


def _gambit_methods() -> list[tuple[str, Callable[[Any, Any], list[Any]]]]:
    def solver(name: str) -> Callable[[Any, Any], list[Any]]:
        def solve(a: Any, b: Any) -> list[Any]:
            import numpy as np
            import pygambit

            game = pygambit.Game.from_arrays(a, b)
            found = getattr(pygambit.nash, name)(game, rational=False).equilibria
            return [tuple(np.array([float(p[s]) for s in player.strategies]) for player in game.players) for p in found]

        return solve

    return [("enummixed_solve", solver("enummixed_solve"))]


def _has(profiles: Any, wanted: Any) -> bool:
    import numpy as np

    return any(all(np.allclose(p, q, atol=1e-6) for p, q in zip(mine, wanted, strict=True)) for mine in profiles)


def _alpha_rank() -> dict[str, Any]:
    import numpy as np

    from shoal.games import bimatrix
    from shoal.games.dynamics import alpha_rank

    rng = np.random.default_rng(0)
    a, b = rng.random((20, 20)), rng.random((20, 20))
    game = bimatrix(a, b)
    setting = "alpha-rank, 20 x 20, intensity 2, 50 individuals"

    def ours() -> Any:
        return alpha_rank(game, intensity=2.0, size=50).mass.ravel()

    try:
        from open_spiel.python.egt import alpharank
    except ImportError:
        return _row("open_spiel", setting, _median(ours), None, "s")

    def theirs() -> Any:
        return alpharank.compute([a, b], m=50, alpha=2.0)[2]

    note = f"largest difference {np.abs(ours() - theirs()).max():.1e}"
    return _row("open_spiel", setting, _median(ours), _median(theirs), "s") | {"note": note}


def _poker() -> dict[str, Any]:
    from shoal.games import make_game
    from shoal.games.solvers import cfr

    game, count = make_game("kuhn-poker"), 1000

    def ours() -> Any:
        return cfr(game, count)  # type: ignore[arg-type]

    mine = ours()
    setting = f"CFR+ on Kuhn poker, {count} iterations"
    try:
        import pyspiel
    except ImportError:
        return _row("open_spiel", setting, _median(ours), None, "s")
    peer = pyspiel.load_game("kuhn_poker")

    def theirs() -> Any:
        solver = pyspiel.CFRPlusSolver(peer)  # written in C++
        for _ in range(count):
            solver.evaluate_and_update_policy()
        return solver  # its policy refers to it and must not outlive it

    solver = theirs()
    gap = pyspiel.nash_conv(peer, solver.average_policy())
    note = f"its C++ solver; NashConv {mine.gain:.1e} against {gap:.1e}"
    return _row("open_spiel", setting, _median(ours), _median(theirs), "s") | {"note": note}


def _median(call: Callable[[], Any], least: int = 3) -> float:
    seconds = []
    for _ in range(least):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def _row(peer: str, setting: str, ours: float, theirs: float | None, unit: str) -> dict[str, Any]:
    """One line of the result; ``ratio`` is how many times less time shoal needs."""
    try:
        version = metadata.version("axelrod" if peer == "axelrod" else peer)
    except metadata.PackageNotFoundError:
        version = "not installed: pip install 'shoal[peers]'"
    return {
        "peer": peer,
        "version": version,
        "setting": setting,
        "ours": float(f"{ours:.4g}"),
        "theirs": None if theirs is None else float(f"{theirs:.4g}"),
        "unit": unit,
        "ratio": None if theirs is None else float(f"{theirs / ours:.4g}"),
    }


if __name__ == "__main__":
    import json

    json.dump(run(), sys.stdout, indent=2)
