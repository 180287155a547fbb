"""A seat: what fills a player's place. The same interface for strategies, solvers, learners, models and people."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from shoal.errors import InputError
from shoal.games.game import Game, View
from shoal.games.normal_form import NormalForm
from shoal.games.repeated import Repeated
from shoal.games.strategies.automaton import Automaton
from shoal.stats import Evidence
from shoal.traces import Usage


@dataclass(frozen=True, slots=True)
class Move:
    """What a seat did.

    Attributes:
        action: index in the view's actions.
        said: its words, where it used any.
        failures: replies that could not be read before this move, by kind.
        guessed: no reply could be read, and the action was drawn at random.
        usage: what it cost.
    """

    action: int
    said: str = ""
    failures: tuple[str, ...] = ()
    guessed: bool = False
    usage: Usage = field(default_factory=Usage)


class Seat(ABC):
    """What fills a player's place. One seat may sit in several places and matches at once: its state is the memory.

    Attributes:
        spec: the string that names it.
        evidence: what results obtained with it are.
        learns: it changes from match to match, so that matches are played one after another.
    """

    spec: str
    evidence: Evidence
    learns: bool = False

    def begin(self, game: Game, player: int) -> Any:
        """The memory at the start of a match. Raises InputError if the seat cannot play the game."""
        return None

    @abstractmethod
    async def act(self, view: View, memory: Any, rng: np.random.Generator) -> tuple[Move, Any]:
        """The move, and the memory after it."""

    def end(self, memory: Any, payoff: float, history: Sequence[tuple[int, ...]]) -> None:
        """The match is over."""
        return

    async def aclose(self) -> None:
        """Give back connections."""
        return


class RandomSeat(Seat):
    """Any action with equal chance."""

    spec = "random"
    evidence = Evidence.SCRIPTED

    async def act(self, view: View, memory: Any, rng: np.random.Generator) -> tuple[Move, Any]:
        """Draw one."""
        return Move(int(rng.integers(len(view.actions)))), memory


class ActionSeat(Seat):
    """One action, wherever it is legal; else the first one.

    Args:
        action: its name.
    """

    evidence = Evidence.SCRIPTED

    def __init__(self, action: str) -> None:
        self.spec = f"always:{action}"
        self.action = action

    def begin(self, game: Game, player: int) -> Any:
        """Check that the game has such an action."""
        stage = game.stage if isinstance(game, Repeated) else game
        if isinstance(stage, NormalForm) and self.action not in stage.actions[player]:
            raise InputError(
                "seat", self.spec, f"Actions of {stage.players[player]}: {', '.join(stage.actions[player])}."
            )

    async def act(self, view: View, memory: Any, rng: np.random.Generator) -> tuple[Move, Any]:
        """The action."""
        return Move(view.actions.index(self.action) if self.action in view.actions else 0), memory


class AutomatonSeat(Seat):
    """A finite-state machine at a repeated game of two players and two actions; action 0 is the cooperative one.

    Args:
        machine: what plays.
    """

    evidence = Evidence.SCRIPTED

    def __init__(self, machine: Automaton) -> None:
        self.machine = machine
        self.spec = machine.name

    def begin(self, game: Game, player: int) -> tuple[int, int]:
        """State and rounds taken in so far."""
        stage = game.stage if isinstance(game, Repeated) else game
        if not isinstance(stage, NormalForm) or stage.shape != (2, 2):
            raise InputError("seat", self.spec, "This strategy is for two players with two actions each.")
        return 0, 0

    async def act(self, view: View, memory: tuple[int, int], rng: np.random.Generator) -> tuple[Move, Any]:
        """Move on by what was carried out since, then decide."""
        state, seen = memory
        for joint in view.history[seen:]:
            state = int(self.machine.follows[state, joint[view.player], joint[1 - view.player]])
        chance = float(self.machine.cooperates[state])
        action = 0 if chance >= 1 else 1 if chance <= 0 else int(rng.random() >= chance)
        return Move(action), (state, len(view.history))


class BestReplySeat(Seat):
    """The best answer to how often the others chose each action so far (fictitious play at the table)."""

    spec = "best-reply"
    evidence = Evidence.SCRIPTED

    def begin(self, game: Game, player: int) -> NormalForm:
        """The stage game."""
        stage = game.stage if isinstance(game, Repeated) else game
        if not isinstance(stage, NormalForm):
            raise InputError("seat", self.spec, "It answers games in normal form.")
        return stage

    async def act(self, view: View, memory: NormalForm, rng: np.random.Generator) -> tuple[Move, Any]:
        """Answer the average; at first as if all were equally likely."""
        seen = [np.full(k, 1.0 / k) for k in memory.shape]
        for joint in view.history:
            for i, a in enumerate(joint):
                seen[i][a] += 1
        return Move(int(memory.deviations([s / s.sum() for s in seen], view.player).argmax())), memory


class TableSeat(Seat):
    """A fixed behaviour: probabilities of the actions for each information set; uniform where there are none.

    Args:
        spec: name.
        behaviour: by key of the view.
        evidence: where the behaviour comes from.
    """

    def __init__(self, spec: str, behaviour: dict[Any, np.ndarray], evidence: Evidence = Evidence.EXACT) -> None:
        self.spec = spec
        self.behaviour = behaviour
        self.evidence = evidence

    async def act(self, view: View, memory: Any, rng: np.random.Generator) -> tuple[Move, Any]:
        """Draw from the table."""
        k = len(view.actions)
        p = self.behaviour.get(view.key)
        return Move(int(rng.choice(k, p=p)) if p is not None else int(rng.integers(k))), memory
