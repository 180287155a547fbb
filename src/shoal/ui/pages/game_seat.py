"""A person at a game in the browser: what it sees, a button for each action, and the others' moves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from nicegui import ui
from nicegui.events import KeyEventArguments

from shoal.errors import InputError, ShoalError
from shoal.ui.background import in_thread
from shoal.ui.layout import text
from shoal.ui.pages.game_tournament import open_seats, seat_names
from shoal.ui.workspace import Workspace

if TYPE_CHECKING:
    from shoal.games.game import Game
    from shoal.games.playing import Match
    from shoal.games.seats.waiting import WaitingSeat

ME = "me"
EVERY = 0.1
"""Seconds between looks at the match."""
MOST_ROUNDS = 200
KEYS = "123456789abcdefghijklmnopqrstuvwxyz"
MODEL = "language model"


class GameSeat:
    """The part of a game's page in which a person plays.

    Args:
        workspace: where replies of language models are kept.
        game: what is played.
        address: of the page.
        settings: of the game, as the address has them.
    """

    def __init__(self, workspace: Workspace, game: Game, address: str, settings: str) -> None:
        self.workspace, self.game, self.address, self.settings = workspace, game, address, settings
        self.seat: WaitingSeat | None = None
        self.match: Any = None
        self.shown: Any = None

    async def build(self, seats: str, moves: str) -> None:
        """The form; a match that the address names goes on where it was.

        Args:
            seats: rounds, seed, and who sits where, with commas between.
            moves: of the person so far.
        """
        from shoal.games.normal_form import NormalForm

        text("h2", "Take a seat")
        names = [ME, *seat_names(self.game), MODEL]
        first = [ME, *[names[1]] * (self.game.player_count - 1)]
        asked = seats.split(",")
        rounds, seed = (asked[0], asked[1]) if len(asked) > 2 else ("5", "0")
        now = asked[2:] if len(asked) == 2 + self.game.player_count else first
        with ui.element("div").classes("panel"):
            with ui.element("div").classes("row"):
                self.boxes = [
                    ui.select(names, value=who if who in names else MODEL, label=player)
                    .props("outlined dense").classes("filter")
                    for player, who in zip(self.game.players, now, strict=True)
                ]  # fmt: skip
                self.model = ui.input("language model, where one sits", placeholder="local:smollm2")
                self.model.props("outlined dense").classes("wide-field")
            with ui.element("div").classes("row"):
                self.rounds = ui.number("rounds to play", value=_number(rounds, 5), min=1, max=MOST_ROUNDS, format="%d")
                self.rounds.props("outlined dense").visible = isinstance(self.game, NormalForm)
                self.seed = ui.number("seed", value=_number(seed, 0), min=0, format="%d").props("outlined dense")
                ui.button("Play", on_click=lambda: self.start([])).props("no-caps unelevated")
        self.problem = text("p", "").classes("problem").props('role="alert"')
        self.panel = ui.element("section").props('aria-label="Your match"')
        ui.keyboard(self._pressed, repeating=False, ignore=["input", "select", "textarea"])
        ui.context.client.on_disconnect(self._left)
        ui.timer(EVERY, self._look)
        if seats and MODEL not in [box.value for box in self.boxes]:
            made = [int(part) for part in moves.split(".") if part.isdigit()]
            await self.start(made)

    async def start(self, made: list[int]) -> None:
        """Sit down."""
        self._left()
        self.problem.text = ""
        self.shown = None
        self.panel.clear()
        with self.panel:
            self.said = text("p", "The match begins ...").props('role="status"')
            self.told = text("pre", "").classes("said")
            self.choices = ui.element("div").classes("choices")
        self.match = asyncio.create_task(self._played(made))

    async def _played(self, made: list[int]) -> None:
        """The match, from its first move to what it came to."""
        from shoal.games.seats.waiting import WaitingSeat

        names = [self.model.value.strip() if box.value == MODEL else box.value for box in self.boxes]
        try:
            if names.count(ME) != 1:
                raise InputError("seats", ", ".join(names), f"Choose {ME!r} for exactly one of them.")
            rounds, seed = int(self.rounds.value or 1), int(self.seed.value or 0)
            if not 1 <= rounds <= MOST_ROUNDS:
                raise InputError("rounds", rounds, f"Use 1 to {MOST_ROUNDS}.")
            seat = self.seat = WaitingSeat(made)
            match = await in_thread(self._match, seat, names, rounds, seed)
            if seat is self.seat and match is not None:
                self._ended(match, names.index(ME))
        except ShoalError as error:
            if self.panel.client.has_socket_connection:
                self.problem.text = str(error)
                self.panel.clear()

    def _match(self, seat: WaitingSeat, names: list[str], rounds: int, seed: int) -> Match:
        from shoal.games.normal_form import NormalForm
        from shoal.games.playing import as_played, play_match

        game = as_played(self.game, rounds) if isinstance(self.game, NormalForm) else self.game
        others = iter(open_seats(self.workspace, [name for name in names if name != ME], rounds))
        seats = [seat if name == ME else next(others) for name in names]

        async def all_of_it() -> Match:
            try:
                return await play_match(game, seats, seed)
            finally:
                for other in seats:
                    await other.aclose()

        return asyncio.run(all_of_it())

    def _look(self) -> None:
        """Show a question that is new."""
        seat = self.seat
        if seat is None or seat.view is None or seat.view is self.shown:
            return
        view = self.shown = seat.view
        self.said.text = f"You are {self.game.players[view.player]}. Choose."
        self.told.text = seat.told
        self.choices.clear()
        with self.choices:
            for k, name in enumerate(view.actions):
                label = f"{name} ({KEYS[k]})" if k < len(KEYS) else name
                button = ui.button(label, on_click=lambda k=k: self._choose(k)).props("no-caps outline")
                button.props["aria-label"] = name

    def _choose(self, move: int) -> None:
        seat = self.seat
        if seat is None or seat.view is None or move >= len(seat.view.actions):
            return
        self.choices.clear()
        self.said.text = "The others decide ..."
        said = ",".join(
            [str(int(self.rounds.value or 1)), str(int(self.seed.value or 0)), *(b.value for b in self.boxes)]
        )
        moves = ".".join(str(m) for m in (*seat.moves, move))
        query = {"set": self.settings, "seats": said, "moves": moves}
        ui.navigate.history.replace(f"{self.address}?{urlencode({k: v for k, v in query.items() if v})}")
        seat.answer(move)

    def _ended(self, match: Match, me: int) -> None:
        self.panel.clear()
        with self.panel:
            text("h3", "The match is over")
            text("p", f"You got {match.payoffs[me]:.4g}{self._each(match)}.").props('role="status"')
            heads = ("Round", *(f"{p} ({s})" for p, s in zip(self.game.players, match.seats, strict=True)))
            region = ui.element("div").classes("table-wrap").props('tabindex="0" role="region" aria-label="Moves"')
            with region, ui.element("table").classes("plain"):
                with ui.element("thead"), ui.element("tr"):
                    for head in heads:
                        text("th", head).props('scope="col"')
                with ui.element("tbody"):
                    for number, row in enumerate(_table(match, len(self.game.players)), 1):
                        with ui.element("tr"):
                            text("td", str(number))
                            for cell in row:
                                text("td", cell)

    def _each(self, match: Match) -> str:
        others = ", ".join(f"{p} {x:.4g}" for p, x in zip(self.game.players, match.payoffs, strict=True))
        return f" a round ({others})" if len(match.history) > 1 else f" ({others})"

    def _pressed(self, event: KeyEventArguments) -> None:
        key = event.key.name
        modified = event.modifiers.ctrl or event.modifiers.alt or event.modifiers.meta
        if event.action.keydown and not modified and len(key) == 1 and key in KEYS:
            self._choose(KEYS.index(key))

    def _left(self) -> None:
        if self.seat is not None:
            self.seat.leave()
            self.seat = None


def _table(match: Match, players: int) -> list[list[str]]:
    """One row for each round, or for each turn where players move one after another."""
    rows: list[list[str]] = []
    last = None
    for taken in match.moves:
        if last != taken.round or not match.history or rows[-1][taken.player]:
            rows.append([""] * players)
        rows[-1][taken.player] = taken.action
        last = taken.round
    return rows


def _number(text: str, default: int) -> int:
    return int(text) if text.isdigit() and len(text) < 9 else default
