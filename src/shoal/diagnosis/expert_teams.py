"""Synthetic teams with one expert: members are score vectors that move as they talk, and each turn is coded.

Member i holds x_i = x* + sigma_i * noise; noise is correlated between members who do not know. In its turn a member
reads where all stand and moves a part of the way to a mixture of the team's mean and the view of the named expert.
Who moves half way to the mean compromises; who goes all the way to the expert defers. Nothing here is a language model.

Coding follows arXiv 2602.01011, from the movement itself: ED epistemic deference, IC integrative compromise (members
who are not the expert), SP strategic persistence, EF epistemic flexibility (the expert).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoal.diagnosis.expertise import Ranks, mean_ranking, ranks

DEFERS = 0.8
"""Share of the way to the expert from which a turn is deference."""
STAYS = 0.05
"""A turn that covers a smaller share of the distance is neither deference nor compromise."""


@dataclass(frozen=True)
class Draws:
    """First views of members on tasks, and the hidden truth.

    Attributes:
        truth: ranks of the items [tasks, items].
        informed: views of members who hold their knowledge [tasks, members, items].
        uninformed: the same members, with the same luck, without it.
        alone: a member that holds all knowledge [tasks, items].
        holder: which member knows an item best [items].
    """

    truth: Ranks
    informed: NDArray[np.float64]
    uninformed: NDArray[np.float64]
    alone: NDArray[np.float64]
    holder: NDArray[np.int64]

    def of(self, members: int) -> Draws:
        """The same tasks with the first members only; for concentrated knowledge, where the first is the expert."""
        return Draws(self.truth, self.informed[:, :members], self.uninformed[:, :members], self.alone, self.holder)


@dataclass(frozen=True)
class Knowledge:
    """Who knows how much.

    Attributes:
        members: size of the team; the first is the expert.
        items: items of a ranking.
        expert: noise of who knows.
        others: noise of who does not.
        correlation: of the noise of two members who do not know.
        distributed: pieces are dealt out over all members instead of to the first.
    """

    members: int = 4
    items: int = 15
    expert: float = 0.1
    others: float = 1.0
    correlation: float = 0.5
    distributed: bool = False

    def draw(self, tasks: int, rng: np.random.Generator) -> Draws:
        """Tasks with a hidden order each; true scores have mean 0 and variance 1."""
        truth = ranks(rng.random((tasks, self.items)))
        score = (self.items + 1) / 2 - truth
        score /= score.std(axis=1, keepdims=True)
        shared = rng.standard_normal((tasks, 1, self.items))
        own = rng.standard_normal((tasks, self.members, self.items))
        luck = np.sqrt(self.correlation) * shared + np.sqrt(1 - self.correlation) * own
        holder = np.arange(self.items) % self.members if self.distributed else np.zeros(self.items, np.int64)
        knows = np.arange(self.members)[:, None] == holder
        view = score[:, None]
        informed = view + np.where(knows, self.expert * own, self.others * luck)
        return Draws(truth, informed, view + self.others * luck, score + self.expert * own[:, 0], holder)


@dataclass(frozen=True)
class Manner:
    """How members take what they read; each may be an array [tasks, members].

    Attributes:
        yields: share of the way that a member moves in a turn.
        heeds: weight of the named expert in where it moves to; the rest is the team's mean.
        defers: chance that it heeds the named expert alone in a turn.
    """

    yields: float | NDArray[np.float64] = 0.5
    heeds: float | NDArray[np.float64] = 0.0
    defers: float | NDArray[np.float64] = 0.0

    def expert_persists(self, members: int) -> Manner:
        """The same, but the first member never moves."""
        keeps = np.where(np.arange(members) == 0, 0.0, self.yields)
        return Manner(keeps, self.heeds, self.defers)


@dataclass(frozen=True)
class Talk:
    """Where members stand after talking [tasks, members, items], and each task's share of turns of each code."""

    views: NDArray[np.float64]
    codes: dict[str, NDArray[np.float64]]

    def decision(self, rng: np.random.Generator, weights: NDArray[np.float64] | None = None) -> Ranks:
        """The team's ranking [tasks, items]: private rankings, mean rank, sort."""
        return mean_ranking(ranks(self.views), rng, weights)


def talk(
    views: NDArray[np.float64],
    manner: Manner,
    named: NDArray[np.int64],
    rounds: int,
    rng: np.random.Generator,
    at_once: bool = False,
) -> Talk:
    """Let members talk.

    Args:
        views: first views [tasks, members, items].
        manner: how they move.
        named: the member whose view counts as the expert's, per item [items].
        rounds: in each, every member speaks once.
        rng: order of speaking, drawn per task and round, and who defers.
        at_once: all speak from where they stood when the round began (debate); otherwise one after the other.
    """
    x = np.array(views, float)
    tasks, members, items = x.shape
    rows, shape = np.arange(tasks), (tasks, members)
    yields, heeds, defers = (np.broadcast_to(v, shape) for v in (manner.yields, manner.heeds, manner.defers))
    counts = {code: np.zeros(tasks) for code in ("ED", "IC", "SP", "EF")}
    for _ in range(rounds):
        order = rng.permuted(np.tile(np.arange(members), (tasks, 1)), axis=1)
        begun = x.copy()
        for who in order.T:
            seen = begun if at_once else x
            expert, own = seen[:, named, np.arange(items)], x[rows, who]
            heed = np.where(rng.random(tasks) < defers[rows, who], 1.0, heeds[rows, who])[:, None]
            aim = heed * expert + (1 - heed) * seen.mean(axis=1)
            moved = own + yields[rows, who, None] * (aim - own)
            _code(counts, who == named[0], own, moved, expert, seen.mean(axis=1))
            x[rows, who] = moved
    turns = {"ED": members - 1, "IC": members - 1, "SP": 1, "EF": 1}
    return Talk(x, {code: count / (rounds * turns[code]) for code, count in counts.items()})


def _code(
    counts: dict[str, NDArray[np.float64]],
    is_expert: NDArray[np.bool_],
    own: NDArray[np.float64],
    moved: NDArray[np.float64],
    expert: NDArray[np.float64],
    middle: NDArray[np.float64],
) -> None:
    """Count one turn per task from where it ends (all views [tasks, items]).

    The scale of a turn is how far the expert's view is from the member's own or from the team's mean, whichever is
    more: so staying with the expert is deference, and going from there back to the middle is compromise.
    """
    scale = np.maximum(_distance(own, expert), _distance(middle, expert))
    follows = _distance(moved, expert) <= (1 - DEFERS) * scale + 1e-12
    moves = _distance(moved, own) >= STAYS * np.maximum(scale, 1e-12)
    gives_way = _distance(moved, own) >= STAYS * np.maximum(_distance(middle, own), 1e-12)
    counts["ED"] += ~is_expert & follows
    counts["IC"] += ~is_expert & ~follows & moves
    counts["SP"] += is_expert & ~gives_way
    counts["EF"] += is_expert & gives_way


def _distance(one: NDArray[np.float64], two: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.linalg.norm(one - two, axis=1))
