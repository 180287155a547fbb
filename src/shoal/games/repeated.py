"""A game in normal form, played again and again, with noise and an uncertain end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from shoal.games.game import Game, Joint, Payoffs, View, require
from shoal.games.normal_form import NormalForm

LONGEST_RECALL_IN_WORDS = 20


@dataclass(slots=True)
class Course:
    """How a repeated game went so far.

    Attributes:
        joint: joint actions as carried out.
        over: whether it has ended.
    """

    joint: list[Joint] = field(default_factory=list)
    over: bool = False


@dataclass(frozen=True, eq=False)
class Repeated(Game):
    """The stage game, ``rounds`` times; players see all actions carried out.

    Attributes:
        stage: what is played in each round.
        rounds: most rounds, at least 1.
        noise: chance that an action is carried out as another one, drawn uniformly; the player sees it afterwards.
        continuation: chance that another round follows; 1 plays all rounds.
        told: whether players know the number of rounds.
    """

    stage: NormalForm
    rounds: int = 10
    noise: float = 0.0
    continuation: float = 1.0
    told: bool = False

    def __post_init__(self) -> None:
        require("rounds", self.rounds, self.rounds >= 1, "Play at least once.")
        require("noise", self.noise, 0 <= self.noise <= 1, "Use a probability from 0 to 1.")
        require("continuation", self.continuation, 0 < self.continuation <= 1, "Use a probability above 0, up to 1.")

    @property
    def name(self) -> str:  # type: ignore[override]
        """The stage game's."""
        return self.stage.name

    @property
    def title(self) -> str:  # type: ignore[override]
        """The stage game's, with the number of rounds."""
        return f"{self.stage.title or self.stage.name}, {self.rounds} rounds"

    @property
    def players(self) -> tuple[str, ...]:  # type: ignore[override]
        """The stage game's."""
        return self.stage.players

    @property
    def story(self) -> str:  # type: ignore[override]
        """The stage game's."""
        return self.stage.story

    def begin(self, rng: np.random.Generator) -> Course:
        """Nothing has been played."""
        return Course()

    def turns(self, state: Course) -> tuple[View, ...]:
        """All at once; the key of a situation is the joint action of the round before."""
        if state.over:
            return ()
        last = state.joint[-1] if state.joint else None
        return tuple(
            View(i, names, (i, last), len(state.joint), state.joint) for i, names in enumerate(self.stage.actions)
        )

    def step(self, state: Course, moves: Mapping[int, int], rng: np.random.Generator) -> Course:
        """Carry the moves out, some of them wrongly. The course is extended in place."""
        done = [moves[i] for i in range(self.player_count)]
        if self.noise:
            for i, size in enumerate(self.stage.shape):
                if size > 1 and rng.random() < self.noise:
                    done[i] = (done[i] + 1 + int(rng.integers(size - 1))) % size
        state.joint.append(tuple(done))
        state.over = len(state.joint) >= self.rounds or (self.continuation < 1 and rng.random() >= self.continuation)
        return state

    def payoffs(self, state: Course) -> Payoffs:
        """Mean for each round."""
        return np.asarray(np.mean([self.stage.table[joint] for joint in state.joint], axis=0))

    def bounds(self) -> tuple[Payoffs, Payoffs]:
        """The stage game's."""
        return self.stage.bounds()

    def rules(self, player: int) -> str:
        """The stage game, and how it is repeated."""
        lines = [self.stage.rules(player)]
        if self.rounds > 1:
            times = f"{self.rounds} rounds" if self.told else "many rounds"
            lines.append(f"The game is played for {times} with the same players. Your aim is a high total payoff.")
        if self.noise:
            lines.append(f"With a chance of {self.noise:.0%} a choice is carried out as another one.")
        return "\n".join(lines)

    def recall(self, view: View) -> str:
        """The last rounds in words, as that player tells them."""
        if not view.history:
            return "This is the first round."
        shown = view.history[-LONGEST_RECALL_IN_WORDS:]
        first = len(view.history) - len(shown) + 1
        lines = ["So far:"]
        for number, joint in enumerate(shown, first):
            parts = [
                f"{'you' if i == view.player else self.players[i]} chose {self.stage.actions[i][a]}"
                for i, a in enumerate(joint)
            ]
            pays = self.stage.table[joint][view.player]
            lines.append(f"Round {number}: {', '.join(parts)}; you got {pays:g}.")
        return "\n".join(lines)
