"""Which kind of actor a window of acts comes from: logistic regression on the five raw scores (ours), and baselines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.diagnosis.behaviour import Behaviour, Floats
from shoal.diagnosis.disparity import PARTS, SCORES, scores

TIMING = ("middle", "spread")
LENGTH = ("length",)
COLUMNS = (*SCORES, *LENGTH)
RIDGE = 1e-2
_STEPS = 50


@dataclass(frozen=True)
class Recogniser:
    """A fitted logistic regression on standardised columns; unknown values count as the mean.

    Attributes:
        names: of the scores that are used.
        weights: of the constant and of each column [1 + columns].
        mean: of each column in the training data [columns].
        deviation: of each column [columns].
    """

    names: tuple[str, ...]
    weights: Floats
    mean: Floats
    deviation: Floats

    def chance(self, table: Floats) -> Floats:
        """P(agent) of each row of a table [actors]."""
        x = table[:, [COLUMNS.index(name) for name in self.names]]
        return np.asarray(1 / (1 + np.exp(-_design(x, self.mean, self.deviation) @ self.weights)))


def score_table(actors: Behaviour) -> Floats:
    """The scores of actors [actors, COLUMNS]; ``length`` is the median log length of an act."""
    length = np.sort(actors.lengths, axis=1)
    middle = np.full(len(actors), np.nan)
    known = np.isfinite(length).sum(axis=1)
    some = known > 0
    middle[some] = length[some, (known[some] - 1) // 2]
    return np.concatenate([scores(actors).table(), middle[:, None]], axis=1)


def recogniser(agents: Floats, others: Floats, names: tuple[str, ...] = SCORES) -> Recogniser:
    """Fit on actors whose kind is known.

    Args:
        agents: table of actors of the one kind.
        others: of the other.
        names: scores to use; ``without`` gives those that leave a dimension out.
    """
    x = np.concatenate([agents, others])[:, [COLUMNS.index(name) for name in names]]
    y = np.r_[np.ones(len(agents)), np.zeros(len(others))]
    known = np.isfinite(x)
    mean = np.where(known, x, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    deviation = np.sqrt((np.where(known, x - mean, 0) ** 2).sum(axis=0) / np.maximum(known.sum(axis=0), 1))
    deviation = np.where(deviation > 1e-12, deviation, 1.0)
    design = _design(x, mean, deviation)
    weights = np.zeros(design.shape[1])
    penalty = RIDGE * len(y) / 100 * np.diag(np.r_[0.0, np.ones(len(names))])
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-(design @ weights)))
        slope = design.T @ (y - p) - penalty @ weights
        curve = (design * (p * (1 - p))[:, None]).T @ design + penalty + 1e-9 * np.eye(len(weights))
        step = np.clip(np.linalg.solve(curve, slope), -3, 3)
        weights = weights + step
        if np.abs(step).max() < 1e-8:
            break
    return Recogniser(names, weights, mean, deviation)


def without(dimension: str) -> tuple[str, ...]:
    """The scores that are left without a dimension."""
    return tuple(name for name in SCORES if name not in PARTS[dimension])


def auc(positive: ArrayLike, negative: ArrayLike) -> float:
    """Chance that a score of the first group is above one of the second; ties count half."""
    from scipy.stats import rankdata

    a, b = np.asarray(positive, float), np.asarray(negative, float)
    ranks = rankdata(np.r_[a, b])[: a.size]
    return float((ranks.sum() - a.size * (a.size + 1) / 2) / (a.size * b.size))


def _design(x: Floats, mean: Floats, deviation: Floats) -> NDArray[np.float64]:
    scaled = np.where(np.isfinite(x), (x - mean) / deviation, 0.0)
    return np.concatenate([np.ones((len(x), 1)), scaled], axis=1)
