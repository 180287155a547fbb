"""Direct and third-party punishment among learners of the prisoner's dilemma: the rules and their variants.

After each round somebody may punish: the other player (direct), a random bystander (third party), or both. Agents may
choose partners by public reputation. Rules, numbers and order are those of "Investigating the Impact of Direct
Punishment on the Emergence of Cooperation in Multi-Agent Reinforcement Learning Systems" (arXiv 2301.08278) and of its
released code. This module says what is played; ``punishment_society`` plays it, all seeds of a condition at once.

Note that punishing a defector *pays* the punisher here (``just`` is 2): such punishment is not altruistic.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.games.deep_q import Pace
from shoal.games.game import require

COOPERATE, DEFECT, UNKNOWN = 0, 1, 2
"""Plays; nothing is known of an agent before its first one."""
ROLES = ("learner", "always-defect", "tit-for-tat", "just-punisher")
"""Who may sit in an agent's place; all but the first are scripted."""
DILEMMA = ((3.0, 0.0), (4.0, 1.0))
"""What the row player gets, by own and the other's play."""
GIVES, GETS = 1.0, 5.0
"""In the centipede game a cooperative move costs so much and gives the other so much."""


@dataclass(frozen=True)
class Paces:
    """How the three networks of an agent learn and explore."""

    select: Pace
    play: Pace
    punish: Pace


FAITHFUL = Paces(
    Pace(0.01, 0.8889, 0.0001, 0.30007), Pace(0.1, 0.8889, 0.01, 0.30007), Pace(0.001, 0.8889, 0.2, 0.50004)
)
"""As released: the decay is for each update, so that exploration is at its floor after two to four of them."""
SLOW = Paces(
    *(p._replace(decay=1 / 2000, lowest=min(p.lowest, 0.01)) for p in (FAITHFUL.select, FAITHFUL.play, FAITHFUL.punish))
)
"""Ours: exploration falls over the first 2,000 updates, and punishers explore no more than players in the end."""


@dataclass(frozen=True)
class Condition:
    """One society and its mechanisms.

    Attributes:
        direct: the other player may punish.
        third_party: a random bystander may.
        selection: agents choose partners; otherwise partners are drawn.
        visible: players see the reputations of both.
        by_play: cooperation raises a reputation by 1, defection lowers it by 1.
        by_punishing: just punishment raises it by 2, unjust punishment lowers it by 3.
        individual: every agent keeps reputations of its own; who was punished thinks 5 less of the punisher, and the
            other player 5 more of one who punished a defector.
        normalised: reputations are shown relative to the largest one.
        fine: what the victim loses.
        just: what punishing a defector pays; -3 where it is costly.
        unjust: what punishing a cooperator pays.
        agents: how many.
        rounds: of each meeting; in the centipede game each has two moves.
        cliques: 0, or the cliques of a connected caveman graph on which agents meet and bystanders are neighbours.
        centipede: moves alternate; see GIVES and GETS.
        paces: of the networks.
        random_punisher: punishing is a coin flip for ever.
        roles: of the agents, from ROLES; learners by default.
        discount: of later rounds.
    """

    direct: bool = False
    third_party: bool = False
    selection: bool = False
    visible: bool = False
    by_play: bool = True
    by_punishing: bool = True
    individual: bool = False
    normalised: bool = False
    fine: float = 3.0
    just: float = 2.0
    unjust: float = -10.0
    agents: int = 5
    rounds: int = 10
    cliques: int = 0
    centipede: bool = False
    paces: Paces = FAITHFUL
    random_punisher: bool = False
    roles: tuple[str, ...] = field(default=())
    discount: float = 0.9

    def __post_init__(self) -> None:
        least = 3 if self.third_party else 2
        require("agents", self.agents, self.agents >= least, f"Use at least {least}" + _bystander(self.third_party))
        require("agents", self.agents, self.agents <= 33, "Use at most 33: a choice has at most 32 options.")
        require("rounds", self.rounds, self.rounds >= 1, "Play at least once.")
        require("cliques", self.cliques, self.cliques >= 0, "Use 0 for no graph, or the number of cliques.")
        roomy = not self.cliques or (self.agents % self.cliques == 0 and self.agents // self.cliques >= 3)
        require("cliques", self.cliques, roomy, f"Split {self.agents} agents into equal cliques of 3 or more.")
        require("discount", self.discount, 0 <= self.discount < 1, "Use a number from 0 to below 1.")
        require("roles", self.roles, len(self.roles) in (0, self.agents), "Name one role for each agent, or none.")
        for role in self.roles:
            require("roles", role, role in ROLES, f"Use one of: {', '.join(ROLES)}.")

    @property
    def punishers(self) -> int:
        """Who decides about punishing one victim of a round."""
        return int(self.direct) + int(self.third_party)

    @property
    def shape(self) -> Shape:
        """What a program must be compiled for."""
        near = self.neighbours
        return Shape(self.direct, self.third_party, self.selection, self.visible, self.agents, self.rounds,
                     self.centipede, self.agents if not self.cliques else int(near.sum(1).max()))  # fmt: skip

    @property
    def neighbours(self) -> NDArray[np.bool_]:
        """Who may meet whom [agents, agents]."""
        return caveman(self.agents, self.cliques) if self.cliques else ~np.eye(self.agents, dtype=bool)

    def terms(self) -> Terms:
        """Its numbers."""
        near = self.neighbours
        require_company(near, self.third_party)
        seen = [np.flatnonzero(row) for row in near] if self.cliques else [np.arange(self.agents)] * self.agents
        choices = [np.flatnonzero(row) for row in near]
        roles = [ROLES.index(r) for r in self.roles] or [0] * self.agents
        punish = self.paces.punish._replace(highest=1.0, lowest=1.0) if self.random_punisher else self.paces.punish
        numbers = ("by_play", "by_punishing", "individual", "normalised", "fine", "just", "unjust", "discount")
        return Terms(
            **{name: np.float32(getattr(self, name)) for name in numbers}, payoffs=np.asarray(DILEMMA, np.float32),
            near=near, seen=_padded(seen, -1), choices=_padded(choices, 0), degree=near.sum(1), roles=np.asarray(roles),
            select=_single(self.paces.select), play=_single(self.paces.play), punish=_single(punish),
        )  # fmt: skip


class Shape(NamedTuple):
    """What programs differ in; conditions of equal shape run in one. See ``Condition``.

    Attributes:
        seen: reputations that an agent sees when it selects.
    """

    direct: bool
    third_party: bool
    selection: bool
    visible: bool
    agents: int
    rounds: int
    centipede: bool
    seen: int


class Terms(NamedTuple):
    """The numbers of a condition; arrays, so that conditions run side by side. See ``Condition``.

    Attributes:
        payoffs: of the dilemma [own, other's].
        near: who may meet whom [agents, agents].
        seen: whose reputation an agent sees when it selects [agents, seen]; -1 where there is nobody.
        choices: whom it may choose [agents, most neighbours].
        degree: how many those are [agents].
        roles: index in ROLES [agents].
    """

    by_play: Any
    by_punishing: Any
    individual: Any
    normalised: Any
    fine: Any
    just: Any
    unjust: Any
    payoffs: Any
    near: Any
    seen: Any
    choices: Any
    degree: Any
    roles: Any
    discount: Any
    select: Pace
    play: Pace
    punish: Pace


def caveman(agents: int, cliques: int) -> NDArray[np.bool_]:
    """Adjacency [agents, agents] of a connected caveman graph (Watts 1999): in a ring of cliques of equal size, one
    edge of each is moved to the clique before it.
    """
    size = agents // cliques
    near = np.kron(np.eye(cliques, dtype=bool), np.ones((size, size), dtype=bool)) & ~np.eye(agents, dtype=bool)
    if cliques > 1:
        for start in range(0, agents, size):
            near[start, start + 1] = near[start + 1, start] = False
            near[start, start - 1] = near[start - 1, start] = True
    return near


def require_company(near: NDArray[np.bool_], third_party: bool) -> None:
    """Raise InputError unless everybody has a neighbour, and every pair that meets a bystander if one is needed."""
    for i, row in enumerate(near):
        require("graph", f"agent {i} without neighbours", bool(row.any()), "Give everybody a neighbour.")
        for j in np.flatnonzero(row) if third_party else ():
            watch = (row | near[j]) & ~np.isin(np.arange(len(near)), [i, int(j)])
            require("graph", f"agents {i} and {j} without a bystander", bool(watch.any()), "Use larger cliques.")


def _single(pace: Pace) -> Pace:
    """In single precision, so that conditions stack."""
    return Pace(*map(np.float32, pace))


def _bystander(third_party: bool) -> str:
    return ": third parties need a bystander." if third_party else "."


def _padded(rows: list[NDArray[np.intp]], blank: int) -> NDArray[np.intp]:
    most = max(len(row) for row in rows)
    return np.array([np.pad(row, (0, most - len(row)), constant_values=blank) for row in rows])
