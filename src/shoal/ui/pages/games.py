"""The games, and the page of each: its table, its solutions, its dynamics, matches of strategies, and a seat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from nicegui import ui

from shoal.errors import ShoalError
from shoal.ui.background import in_thread
from shoal.ui.forms import SchemaForm
from shoal.ui.layout import empty, facts, frame, text
from shoal.ui.pages.game_dynamics import dynamics
from shoal.ui.pages.game_seat import GameSeat
from shoal.ui.pages.game_tables import payoffs, solution
from shoal.ui.pages.game_tournament import tournament
from shoal.ui.workspace import Workspace, assignments

if TYPE_CHECKING:
    from shoal.games.catalogue import Entry
    from shoal.games.game import Game


async def games_page(workspace: Workspace) -> None:
    """All games, by family."""
    with frame("Games", "/games"):
        waiting = text("p", "Loading the games ...").props('role="status"')
        await ui.context.client.connected()
        entries = await in_thread(_entries)
        waiting.delete()
        for family in dict.fromkeys(entry.family for entry in entries):
            text("h2", family)
            with ui.element("ul").classes("cards"):
                for entry in entries:
                    if entry.family == family:
                        _card(entry)


def _entries() -> list[Entry]:
    from shoal.games.catalogue import GAMES

    return [entry for _, entry in GAMES.items()]


def _card(entry: Entry) -> None:
    with ui.element("li").classes("panel"):
        with ui.element("h3").classes("card-title"):
            ui.link(entry.name, f"/games/{entry.name}")
        text("p", entry.title).classes("small")
        if entry.known:
            text("p", entry.known).classes("small quiet")


async def game_page(workspace: Workspace, name: str, set: str = "", seats: str = "", moves: str = "") -> None:
    """One game.

    Args:
        workspace: where replies of language models are kept.
        name: of the game.
        set: settings, as ``key=value`` with commas between.
        seats: of a match that a person plays, with rounds and seed; see ``GameSeat``.
        moves: that the person made in it so far.
    """
    with frame(name, "/games"):
        waiting = text("p", "Solving the game ...").props('role="status"')
        await ui.context.client.connected()
        try:
            game, entry, found = await in_thread(_opened, f"{name}:{set}" if set else name)
        except ShoalError as error:
            waiting.delete()
            empty(str(error), "The list of games has them all.")
            return
        waiting.delete()
        text("p", entry.title)
        facts({
            "family": entry.family, "players": ", ".join(game.players),
            **({"known": entry.known} if entry.known else {}), **({"settings": set} if set else {}),
        })  # fmt: skip
        with ui.expansion("Rules, as the first player is told").classes("settings"):
            text("p", game.rules(0)).classes("said")
        if entry.settings:
            _settings(name, entry, set)
        payoffs(game)
        solution(found)
        dynamics(game, found)
        tournament(workspace, game)
        await GameSeat(workspace, game, f"/games/{name}", set).build(seats, moves)


def _opened(spec: str) -> tuple[Game, Entry, dict[str, Any]]:
    """The game, what is known about it, and its solutions."""
    from shoal.games.catalogue import GAMES, make_game
    from shoal.games.solution import solve

    made = make_game(spec)
    return made, GAMES.get(spec.partition(":")[0]), solve(made)


def _settings(name: str, entry: Entry, given: str) -> None:
    """The game's settings; changed ones open the page of that game."""
    from shoal.runs.settings import parse_assignments
    from shoal.ui.schemas import schema_from

    now: Mapping[str, Any] = {**entry.settings, **parse_assignments([part for part in given.split(",") if part])}
    with ui.expansion("Settings").classes("settings"):
        form = SchemaForm(schema_from("Settings", entry.settings), now)
        problem = text("p", "").classes("problem").props('role="alert"')

        def apply() -> None:
            try:
                values = {**{n: v for n, v in now.items() if v != entry.settings[n]}, **form.changed()}
            except ShoalError as error:
                problem.text = str(error)
                return
            said = ",".join(part for part in assignments(values) if part != "--set")
            ui.navigate.to(f"/games/{name}?{urlencode({'set': said})}")

        ui.button("Use these settings", on_click=apply).props("no-caps outline dense")
