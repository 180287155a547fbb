"""Matches of chosen strategies: every mix, as a heat map with numbers, and their ranking."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from nicegui import ui

from shoal.errors import InputError, ShoalError
from shoal.ui.background import in_thread
from shoal.ui.grids import heat_map
from shoal.ui.layout import empty, text
from shoal.ui.wording import interval
from shoal.ui.workspace import Workspace

if TYPE_CHECKING:
    from shoal.games.crossplay import CrossPlay
    from shoal.games.game import Game

FIRST = ("tit-for-tat", "always-defect", "always-cooperate", "pavlov", "random", "nash")
"""Chosen at first, as far as they can play."""
MOST_MATCHES = 5_000
CALLS = "calls.sqlite"


def seat_names(game: Game) -> list[str]:
    """Strategies and solvers that can sit at a game, the first of FIRST first."""
    from shoal.games.extensive import Extensive
    from shoal.games.normal_form import NormalForm
    from shoal.games.seats.solver import SOLVERS
    from shoal.games.strategies import STRATEGIES

    names = ["random"]
    if isinstance(game, NormalForm):
        names += [*(["best-reply", "q-learning"]), "nash", "maximin", "regret-matching"]
        names += ["stackelberg"] if game.player_count == 2 else []
        alike = set(game.actions[0]).intersection(*game.actions[1:])
        names += [f"always:{action}" for action in game.actions[0] if action in alike][:12]
        names += list(STRATEGIES.names()) if game.shape == (2, 2) else []
    elif isinstance(game, Extensive):
        names += ["subgame-perfect"] if game.perfect_information else ["cfr"]
        names += ["nash"] if "nash" in SOLVERS else []
    first = [name for name in FIRST if name in names]
    return [*first, *(name for name in names if name not in first)]


def tournament(workspace: Workspace, game: Game) -> None:
    """A choice of strategies, and their matrix."""
    from shoal.games.normal_form import NormalForm

    text("h2", "Cross-play")
    names = seat_names(game)
    first = [name for name in FIRST if name in names] + [name for name in names if name.startswith("always:")][:3]
    with ui.element("div").classes("panel"):
        with ui.element("div").classes("row"):
            chosen = ui.select(names, value=first[:6] or names[:1], multiple=True, label="strategies")
            chosen.props("outlined dense use-chips").classes("wide-choice")
            model = ui.input("language model besides", placeholder="local:smollm2").props("outlined dense")
            model.classes("wide-field")
        with ui.element("div").classes("row"):
            rounds = ui.number("rounds", value=10, min=1, max=1000, step=1, format="%d").props("outlined dense")
            rounds.visible = isinstance(game, NormalForm)
            repeats = ui.number("matches of each mix", value=5, min=1, max=1000, step=1, format="%d")
            repeats.props("outlined dense")
            noise = ui.number("noise (0 to 1)", value=0, min=0, max=1, step=0.01).props("outlined dense")
            noise.visible = isinstance(game, NormalForm)
            button = ui.button("Play them all", on_click=lambda: start()).props("no-caps unelevated")
    problem = text("p", "").classes("problem").props('role="alert"')
    said = text("p", "").props('role="status"')
    place = ui.element("div")
    with place:
        empty("Nothing was played yet.", "Choose strategies and press Play them all.")

    async def start() -> None:
        problem.text = ""
        seats = [*chosen.value, *([model.value.strip()] if (model.value or "").strip() else [])]
        said.text = "Playing ..."
        button.disable()
        try:
            times, count = _whole("rounds", rounds.value), _whole("matches", repeats.value)
            found = await in_thread(played, workspace, game, seats, times, count, float(noise.value or 0))
            place.clear()
            with place:
                _shown(found)
        except ShoalError as error:
            problem.text = str(error)
        finally:
            said.text = ""
            button.enable()


def played(workspace: Workspace, game: Game, names: list[str], rounds: int, repeats: int, noise: float) -> CrossPlay:
    """Every mix of those seats. Raises InputError or UnknownName."""
    from shoal.games.crossplay import cross_play
    from shoal.games.normal_form import NormalForm
    from shoal.games.playing import as_played

    if not names:
        raise InputError("strategies", "none", "Choose at least one.")
    mixes = len(names) ** game.player_count
    if mixes * repeats > MOST_MATCHES:
        raise InputError("matches of each mix", repeats, f"{mixes:,} mixes: use at most {MOST_MATCHES // mixes}.")
    made = as_played(game, rounds, noise) if isinstance(game, NormalForm) else game
    seats = open_seats(workspace, names, rounds)

    async def all_of_it() -> CrossPlay:
        try:
            return await cross_play(made, seats, repeats)
        finally:
            for seat in seats:
                await seat.aclose()

    return asyncio.run(all_of_it())


def open_seats(workspace: Workspace, names: list[str], rounds: int) -> list[Any]:
    """Seats by name; language models with the call cache of the runs. Raises InputError or UnknownName."""
    from shoal.games.seats import open_seat
    from shoal.models.cache import CallCache

    for name in names:
        if name == "me" or name.startswith("recorded:"):
            raise InputError("seat", name, "Use a strategy, a solver or a model.")
    models = any(name.partition(":")[0] in ("local", "openai", "http", "https") for name in names)
    cache = CallCache(workspace.out / CALLS) if models else None
    opened = {name: open_seat(name, rounds=rounds, cache=cache) for name in dict.fromkeys(names)}
    return [opened[name] for name in names]


def _shown(found: CrossPlay) -> None:
    names = list(found.names)
    if found.players == 2:
        pays = found.payoffs()
        rows = [
            {"row": a, "column": b, "payoff of row": e.value, "low": e.low, "high": e.high, "matches": found.repeats}
            for a, line in zip(names, pays, strict=True)
            for b, e in zip(names, line, strict=True)
        ]
        heat_map(
            "Payoff of the row against the column, a round", names, names, [[e.value for e in line] for line in pays],
            ("column", "row", "payoff"), rows,
        )  # fmt: skip
    columns = {"alpha-rank mass": found.alpha_rank(), "exploitability": found.exploitability()}
    if found.symmetric and found.players == 2:
        columns["Nash averaging"] = found.nash_averaging()
    region = ui.element("div").classes("table-wrap").props('tabindex="0" role="region" aria-label="Ranking"')
    with region, ui.element("table").classes("plain"):
        with ui.element("thead"), ui.element("tr"):
            for head in ("Strategy", *columns):
                text("th", head).props('scope="col"').classes("" if head == "Strategy" else "number")
        with ui.element("tbody"):
            order = sorted(range(len(names)), key=lambda k: -columns["alpha-rank mass"][k].value)
            for k in order:
                with ui.element("tr"):
                    text("th", names[k]).props('scope="row"')
                    for column in columns.values():
                        text("td", interval(column[k])).classes("number")


def _whole(field: str, value: float | None) -> int:
    if value is None or value != int(value) or value < 1:
        raise InputError(field, value, "Give a whole number from 1.")
    return int(value)
