"""The dilemma with a punishment turn as a game for seats: models, rules and people; see ``punishment``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from shoal.games.game import Game, Payoffs, View, require
from shoal.games.punishment import DEFECT, DILEMMA, ROLES, UNKNOWN
from shoal.games.seats.seat import TableSeat
from shoal.stats import Evidence


@dataclass
class Meeting:
    """How a meeting stands.

    Attributes:
        plays: of both, round by round.
        answers: whether each punished the other, round by round; one behind while they decide.
    """

    plays: list[tuple[int, int]] = field(default_factory=list)
    answers: list[tuple[int, int]] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class PunishmentGame(Game):
    """Two players; in each round both play, then both may punish.

    Attributes:
        rounds: how many.
        fine: what the victim loses.
        just: what punishing a defector pays.
        unjust: what punishing a cooperator pays.
        names: of the plays.
        answers: of sparing and punishing.
    """

    rounds: int = 10
    fine: float = 3.0
    just: float = 2.0
    unjust: float = -10.0
    names: tuple[str, str] = ("cooperate", "defect")
    answers: tuple[str, str] = ("spare", "punish")
    name: str = "punishment"
    title: str = "Prisoner's dilemma with a punishment turn"
    players: tuple[str, ...] = ("player-1", "player-2")

    def __post_init__(self) -> None:
        require("rounds", self.rounds, self.rounds >= 1, "Play at least once.")

    @property
    def story(self) -> str:  # type: ignore[override]
        """The rules that both are told."""
        (cc, cd), (dc, dd) = DILEMMA
        good, bad = self.names
        spare, hit = self.answers
        return (
            f"In each of {self.rounds} rounds both players choose to {good} or {bad}. If both {good}, each gets "
            f"{cc:g}; if both {bad}, each gets {dd:g}; if they differ, who chose to {bad} gets {dc:g} and the other "
            f"{cd:g}. Then each may {spare} or {hit} the other, who loses {self.fine:g} if it is {hit}ed. To {hit} one "
            f"who chose to {bad} brings {self.just:g}, to {hit} one who chose to {good} brings {self.unjust:g}."
        )

    def begin(self, rng: np.random.Generator) -> Meeting:
        """Nothing has been played."""
        return Meeting()

    def turns(self, state: Meeting) -> tuple[View, ...]:
        """Both at once: first what to play, then whether to punish."""
        done = len(state.answers)
        if len(state.plays) > done:
            return tuple(self._answering(i, state.plays[-1], done) for i in range(2))
        if done == self.rounds:
            return ()
        return tuple(self._playing(i, state, done) for i in range(2))

    def step(self, state: Meeting, moves: Mapping[int, int], rng: np.random.Generator) -> Meeting:
        """The meeting is extended in place."""
        (state.answers if len(state.plays) > len(state.answers) else state.plays).append((moves[0], moves[1]))
        return state

    def payoffs(self, state: Meeting) -> Payoffs:
        """Mean for each round."""
        total = np.zeros(2)
        for play, answer in zip(state.plays, state.answers, strict=True):
            for i in range(2):
                gain = self.just if play[1 - i] == DEFECT else self.unjust
                total[i] += DILEMMA[play[i]][play[1 - i]] - self.fine * answer[1 - i] + gain * answer[i]
        return np.asarray(total / self.rounds)

    def rules(self, player: int) -> str:
        """The story, and who one is."""
        return f"{self.story}\nYou are {self.players[player]}. Your aim is a high total."

    def bounds(self) -> tuple[Payoffs, Payoffs]:
        """Least and greatest payoff of a round."""
        low = min(map(min, DILEMMA)) - self.fine + min(0.0, self.just, self.unjust)
        high = max(map(max, DILEMMA)) + max(0.0, self.just, self.unjust)
        return np.full(2, low), np.full(2, high)

    def _playing(self, i: int, state: Meeting, number: int) -> View:
        if not number:
            return View(i, self.names, ("play", UNKNOWN), 0, seen="This is the first round.")
        mine, theirs = state.plays[-1][i], state.plays[-1][1 - i]
        seen = f"Last round you chose to {self.names[mine]}, the other to {self.names[theirs]}"
        answer = state.answers[-1][1 - i]
        return View(i, self.names, ("play", theirs), number, seen=f"{seen} and to {self.answers[answer]} you.")

    def _answering(self, i: int, play: tuple[int, int], number: int) -> View:
        seen = f"You chose to {self.names[play[i]]}, the other to {self.names[play[1 - i]]}. Do you punish the other?"
        return View(i, self.answers, ("punish", play[1 - i]), number, seen=seen)


def scripted_seat(role: str) -> TableSeat:
    """The scripted opponent of that role; a just punisher cooperates, and punishes defectors only."""
    require("role", role, role in ROLES[1:], f"Use one of: {', '.join(ROLES[1:])}.")
    sure = np.eye(2)
    plays = {UNKNOWN: 0, 0: 0, 1: int(role == "tit-for-tat")} if role != "always-defect" else {UNKNOWN: 1, 0: 1, 1: 1}
    behaviour = {("play", seen): sure[play] for seen, play in plays.items()}
    behaviour |= {("punish", deed): sure[int(role == "just-punisher" and deed == DEFECT)] for deed in (0, 1)}
    return TableSeat(role, behaviour, Evidence.SCRIPTED)
