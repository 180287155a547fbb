"""A seat that waits: its moves come from elsewhere, such as a person at a page."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Sequence
from typing import Any

import numpy as np

from shoal.errors import InputError
from shoal.games.game import Game, View
from shoal.games.repeated import Repeated
from shoal.games.seats.seat import Move, Seat
from shoal.stats import Evidence


class WaitingSeat(Seat):
    """Sits in a match that runs in a thread of its own, and waits there until another thread answers.

    Args:
        made: moves that were made before, and are made again without waiting.

    Attributes:
        moves: all moves so far.
        view: what is to be decided now; None while nothing is.
        told: what happened so far, in words.
    """

    spec = "me"
    evidence = Evidence.RECORDED
    learns = True  # a person plays one match after another

    def __init__(self, made: Sequence[int] = ()) -> None:
        self.moves: list[int] = []
        self.view: View | None = None
        self.told = ""
        self._made = list(made)
        self._answers: queue.Queue[int | None] = queue.Queue()

    def begin(self, game: Game, player: int) -> Game:
        """The game, whose history is told."""
        return game

    async def act(self, view: View, memory: Game, rng: np.random.Generator) -> tuple[Move, Any]:
        """The next move. Raises InputError for one that is no action here, and if whoever sat here has left."""
        if len(self.moves) < len(self._made):
            move: int | None = self._made[len(self.moves)]
        else:
            recalled = memory.recall(view) if isinstance(memory, Repeated) else ""
            self.told = "\n".join(part for part in (recalled, view.seen) if part)
            self.view = view
            move = await asyncio.get_running_loop().run_in_executor(None, self._answers.get)
            self.view = None
        if move is None:
            raise InputError("seat", self.spec, "Whoever sat there has left.")
        if not 0 <= move < len(view.actions):
            raise InputError("move", move, f"There are {len(view.actions)} actions here, numbered from 0.")
        self.moves.append(move)
        return Move(move, view.actions[move]), memory

    def answer(self, move: int) -> None:
        """Decide; nothing happens where nothing is to be decided."""
        if self.view is not None and self._answers.empty():
            self._answers.put(move)

    def leave(self) -> None:
        """Get up: the match ends."""
        self._answers.put(None)
