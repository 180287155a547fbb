"""A tabular learner in a seat: Q-learning that improves from match to match."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shoal.games.game import Game, View, require
from shoal.games.normal_form import NormalForm
from shoal.games.repeated import Repeated
from shoal.games.seats.seat import Move, Seat
from shoal.stats import Evidence


@dataclass(slots=True)
class _Memory:
    player: int
    stage: NormalForm | None
    taken: tuple[Hashable, int, int] | None = None
    seen: int = 0


class QSeat(Seat):
    """Q-learning (Watkins 1989) over information sets; in repeated games those are the last joint action.

    In repeated games it learns after every round, in others at the end of a play.

    Args:
        rate: of learning, above 0, up to 1.
        discount: of later rounds, from 0 to below 1.
        explore: chance of a random action at first.
        decay: of that chance with every action.
        least: chance of a random action for ever.
    """

    evidence = Evidence.TRAINED
    learns = True

    def __init__(
        self, rate: float = 0.2, discount: float = 0.9, explore: float = 1.0, decay: float = 0.99, least: float = 0.02
    ) -> None:
        require("q-learning rate", rate, 0 < rate <= 1, "Use a number above 0, up to 1.")
        require("q-learning discount", discount, 0 <= discount < 1, "Use a number from 0 to below 1.")
        for field, value in (("explore", explore), ("decay", decay), ("least", least)):
            require(f"q-learning {field}", value, 0 <= value <= 1, "Use a number from 0 to 1.")
        self.spec = "q-learning"
        self.rate, self.discount, self.explore, self.decay, self.least = rate, discount, explore, decay, least
        self.values: dict[tuple[int, Hashable], np.ndarray] = {}

    def begin(self, game: Game, player: int) -> _Memory:
        """What was learned stays."""
        return _Memory(player, game.stage if isinstance(game, Repeated) else None)

    async def act(self, view: View, memory: _Memory, rng: np.random.Generator) -> tuple[Move, Any]:
        """Learn from the round before, then choose."""
        row = self._row(memory.player, view.key, len(view.actions))
        if memory.taken is not None and memory.stage is not None:
            reward = float(memory.stage.table[view.history[-1]][memory.player])
            self._learn(memory, reward + self.discount * float(row.max()))
        chance = max(self.least, self.explore)
        self.explore *= self.decay
        if rng.random() < chance:
            action = int(rng.integers(row.size))
        else:
            action = int(rng.choice(np.flatnonzero(row >= row.max() - 1e-12)))
        memory.taken = (view.key, action, row.size)
        return Move(action), memory

    def end(self, memory: _Memory, payoff: float, history: Sequence[tuple[int, ...]]) -> None:
        """Learn from the last action."""
        if memory.taken is None:
            return
        if memory.stage is not None and history:
            payoff = float(memory.stage.table[history[-1]][memory.player])
        self._learn(memory, payoff)

    def _learn(self, memory: _Memory, target: float) -> None:
        assert memory.taken is not None
        key, action, size = memory.taken
        row = self._row(memory.player, key, size)
        row[action] += self.rate * (target - row[action])

    def _row(self, player: int, key: Hashable, size: int) -> np.ndarray:
        return self.values.setdefault((player, key), np.zeros(size))
