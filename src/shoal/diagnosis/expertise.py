"""How much of a team's best knowledge reaches its answer: errors, gaps, their parts, and comparators.

The measures of "Multi-Agent Teams Hold Experts Back" (arXiv 2602.01011), for rankings (L1 distance of ranks, less is
better) and for accuracy. A ranking is an array of ranks from 1 (first) on, one per item.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.errors import InputError

Ranks = NDArray[np.float64]

NASA_MOON = (
    "oxygen", "water", "star map", "food concentrate", "FM radio", "rope", "first-aid kit", "parachute silk", "raft",
    "flares", "pistols", "dried milk", "heater", "compass", "matches",
)  # fmt: skip
"""The Moon Survival items in NASA's order. Every language model has met it: no control is clean."""
LOST_AT_SEA = (
    "shaving mirror", "petrol", "water", "army rations", "plastic sheeting", "chocolate", "fishing kit", "nylon rope",
    "seat cushion", "shark repellent", "rum", "radio", "maps", "mosquito netting", "sextant",
)  # fmt: skip
"""The Lost at Sea items in the order of the merchant marine's officers; as widely known."""


@dataclass(frozen=True, slots=True)
class GroupLoss:
    """What lies between the best individual and a team that is not told who that is; positive parts are losses.

    Attributes:
        identification: f(told) - f(not told): what being told gains.
        leveraging: f(best) - f(told): what is lost although all know whom to believe.
        total: f(best) - f(not told). It is the sum of the two by construction.
    """

    identification: float
    leveraging: float
    total: float


def group_loss(best: float, told: float, untold: float) -> GroupLoss:
    """Split a group's loss into not finding its expert and not using it.

    Args:
        best: score of the best individual alone; more is better (for errors: their negative).
        told: score of the team that is told who its expert is.
        untold: score of the team that is not.
    """
    return GroupLoss(told - untold, best - told, best - untold)


def synergy_gap(team: float, oracle: float) -> float:
    """Relative gap of accuracy (oracle - team) / oracle; the paper's oracle is "at least one correct" (ALOC).

    Raises:
        InputError: an oracle of 0.
    """
    if not oracle > 0:
        raise InputError("oracle", oracle, "A gap relative to an accuracy needs one above 0.")
    return (oracle - team) / oracle


def expert_gap(team: float, expert: float, control: float) -> float:
    """Gap of errors: 0 as good as the expert alone, 1 as if there were no expert, more is worse than that.

    Raises:
        InputError: the control errs no more than the expert.
    """
    if not control > expert:
        raise InputError("control", control, f"A team without expert must err more than the expert ({expert:g}).")
    return (team - expert) / (control - expert)


def ranks(scores: ArrayLike) -> Ranks:
    """Ranks [..., items] of scores [..., items]: the highest score is first, with rank 1."""
    order = np.argsort(-np.asarray(scores, float), axis=-1, kind="stable")
    return np.argsort(order, axis=-1).astype(float) + 1.0


def rank_error(found: ArrayLike, truth: ArrayLike) -> Ranks:
    """L1 distance [...] of rankings [..., items]; the most for n items is floor(n * n / 2)."""
    return np.asarray(np.abs(np.asarray(found, float) - np.asarray(truth, float)).sum(axis=-1))


def mean_ranking(rankings: ArrayLike, rng: np.random.Generator, weights: ArrayLike | None = None) -> Ranks:
    """The members' common ranking [..., items]: mean rank, then sort; ties are drawn.

    Args:
        rankings: the members' ranks [..., members, items].
        rng: breaks ties.
        weights: weight of each member [..., members]; None for equal ones. All zero leaves everything to chance.
    """
    x = np.asarray(rankings, float)
    w = np.ones(x.shape[:-1]) if weights is None else np.asarray(weights, float)
    total = (x * w[..., None]).sum(axis=-2)
    order = np.lexsort((rng.random(total.shape), np.round(total, 9)), axis=-1)
    return np.argsort(order, axis=-1).astype(float) + 1.0


def plurality_ranking(rankings: ArrayLike, rng: np.random.Generator) -> Ranks:
    """The ranking [tasks, items] that most members [tasks, members, items] gave; ties are drawn.

    Long rankings are hardly ever given twice: this is then the ranking of a member drawn at random.
    """
    x = np.asarray(rankings, float)
    votes = (x[:, :, None] == x[:, None]).all(axis=-1).sum(axis=-1)
    chosen = (votes + 0.5 * rng.random(votes.shape)).argmax(axis=1)
    return np.asarray(x[np.arange(len(x)), chosen])


def completed(given: Sequence[int], items: int) -> tuple[Ranks, int]:
    """Ranks [items] of an order that may lack items or name some twice, and how many were filled.

    The first mention counts. Items that are missing share the mean of the ranks left over.
    """
    order = list(dict.fromkeys(index for index in given if 0 <= index < items))
    found = np.full(items, (len(order) + 1 + items) / 2)
    found[order] = np.arange(1, len(order) + 1)
    return found, items - len(order)


def at_least_one(correct: ArrayLike) -> float:
    """ALOC: share of questions that some member answers right alone; correct is [questions, members]."""
    return float(np.asarray(correct, bool).any(axis=1).mean())


def without_guessing(aloc: float, members: int, options: int) -> float:
    """The share of questions that some member *knows*: ALOC less the luck of members who guess between options.

    Where nobody knows, one of N guesses among K options is right with chance g = 1 - (1 - 1/K)^N, so
    ALOC = known + (1 - known) g.
    """
    luck = 1.0 - (1.0 - 1.0 / options) ** members
    return (aloc - luck) / (1.0 - luck)


def fixed_member(correct: ArrayLike, held_out: bool = True) -> tuple[int, NDArray[np.bool_]]:
    """The best fixed member, chosen on the first half of the questions, and its correctness on the second half.

    Args:
        correct: [questions, members].
        held_out: False chooses on the half that is scored, which flatters; only to show by how much.
    """
    x = np.asarray(correct, bool)
    half = len(x) // 2
    best = int((x[:half] if held_out else x[half:]).mean(axis=0).argmax())
    return best, np.asarray(x[half:, best])
