"""A person at the terminal in a seat."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from shoal.errors import InputError
from shoal.games.game import Game, View
from shoal.games.repeated import Repeated
from shoal.games.seats.seat import Move, Seat
from shoal.stats import Evidence


class PersonSeat(Seat):
    """Asks a person for each move: a number or the name of an action.

    Args:
        ask: shows a text and returns the reply; standard input by default.
        tell: shows a text; standard error by default, so that standard output stays clean for ``--json``.
    """

    spec = "me"
    evidence = Evidence.RECORDED
    learns = True  # a person plays one match after another

    def __init__(self, ask: Callable[[str], str] | None = None, tell: Callable[[str], None] | None = None) -> None:
        self._ask = ask or _read_line
        self._tell = tell or (lambda text: print(text, file=sys.stderr))

    def begin(self, game: Game, player: int) -> Game:
        """Show the rules."""
        self._tell(game.rules(player))
        return game

    async def act(self, view: View, memory: Game, rng: np.random.Generator) -> tuple[Move, Any]:
        """Show what happened and ask until the reply is an action.

        Raises:
            InputError: the input ends.
        """
        if isinstance(memory, Repeated):
            self._tell(memory.recall(view))
        if view.seen:
            self._tell(view.seen)
        menu = "  ".join(f"{k + 1}) {name}" for k, name in enumerate(view.actions))
        while True:
            try:
                reply = self._ask(f"{menu}\nyour move: ").strip()
            except EOFError:
                raise InputError("me", "end of input", "Sit at a terminal, or give another seat.") from None
            if reply.isdigit() and 1 <= int(reply) <= len(view.actions):
                return Move(int(reply) - 1, reply), memory
            if reply in view.actions:
                return Move(view.actions.index(reply), reply), memory
            self._tell(f"Write a number from 1 to {len(view.actions)}, or a name.")

    def end(self, memory: Any, payoff: float, history: Any) -> None:
        """Show the result."""
        self._tell(f"You got {payoff:g}.")


def _read_line(prompt: str) -> str:
    print(prompt, end="", file=sys.stderr, flush=True)
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line
