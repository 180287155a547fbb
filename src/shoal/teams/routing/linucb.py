"""LinUCB: a linear contextual bandit, as one model for a real team and batched over seeds for simulations.

The model is ridge regression of reward on features, A = lambda*I + sum x x^T, b = sum r x, theta = A^{-1} b, and the
choice maximises x^T theta + beta_t * sqrt(x^T A^{-1} x) (Symphony-Coord, arXiv 2602.00966, selector; the radius has the
form of Abbasi-Yadkori et al. 2011, theorem 2). Updates use the rank-one formula of Sherman and Morrison; with
discounting the regulariser must not fade with the data, so A is then kept and inverted anew.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.errors import InputError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Radius:
    """The confidence radius beta_t = scale * (alpha*sqrt(d*ln(1+t/lambda) + 2*ln(1/delta)) + sqrt(lambda)*S).

    Attributes:
        alpha: width of the noise term, at least 0.
        regularisation: lambda, above 0.
        norm_bound: S, an upper bound on the norm of theta*.
        delta: probability with which the bound may fail, in (0, 1).
        scale: factor on the whole radius; 1 is what the theory asks for, 0 is greedy.
    """

    alpha: float = 1.0
    regularisation: float = 1.0
    norm_bound: float = 1.0
    delta: float = 0.05
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not self.regularisation > 0:
            raise InputError("regularisation", self.regularisation, "Give a number above 0.")
        if not 0 < self.delta < 1:
            raise InputError("delta", self.delta, "Give a probability above 0 and below 1.")
        if not self.scale >= 0:
            raise InputError("radius scale", self.scale, "Give a number of at least 0.")

    def at(self, updates: ArrayLike, dimensions: int) -> Floats:
        """The radius after that many updates (any shape)."""
        t = np.asarray(updates, float)
        inner = dimensions * np.log1p(t / self.regularisation) + 2 * math.log(1 / self.delta)
        noise = self.alpha * np.sqrt(inner)
        return np.asarray(self.scale * (noise + math.sqrt(self.regularisation) * self.norm_bound), float)


def clip_reward(reward: float) -> float | None:
    """The reward within [-1, 1], or None where it is not a number and must be dropped."""
    return None if math.isnan(reward) else max(-1.0, min(1.0, reward))


@dataclass
class LinUCB:
    """One model, for a live team.

    Attributes:
        dimensions: length d of the feature vectors.
        radius: the confidence radius.
        discount: factor on all past evidence at each update, in (0, 1]; 1 never forgets.
        inverse: A^{-1} [d, d].
        b: reward-weighted sum of features [d].
        updates: evidence so far: the number of updates, discounted where they are.
        dropped: rewards that were not numbers and were ignored.
    """

    dimensions: int
    radius: Radius = field(default_factory=Radius)
    discount: float = 1.0
    inverse: Floats = field(init=False)
    b: Floats = field(init=False)
    updates: float = field(init=False, default=0.0)
    dropped: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        _check_discount(self.discount)
        self.inverse = np.eye(self.dimensions) / self.radius.regularisation
        self.b = np.zeros(self.dimensions)
        self._evidence = np.zeros((self.dimensions, self.dimensions))

    @property
    def theta(self) -> Floats:
        """Estimated weights [d]."""
        return self.inverse @ self.b

    def scores(self, features: ArrayLike) -> Floats:
        """Upper confidence bounds [k] of candidates' features [k, d]."""
        x = np.atleast_2d(np.asarray(features, float))
        return np.asarray(x @ self.theta + float(self.radius.at(self.updates, self.dimensions)) * self.widths(x))

    def widths(self, features: ArrayLike) -> Floats:
        """sqrt(x^T A^{-1} x) of candidates' features [k, d], without the radius."""
        x = np.atleast_2d(np.asarray(features, float))
        return np.asarray(np.sqrt(np.maximum(0.0, ((x @ self.inverse) * x).sum(-1))))

    def select(self, features: ArrayLike) -> int:
        """Index of the highest bound; the first of equals. Raises ValueError without candidates."""
        scores = self.scores(features)
        if scores.size == 0:
            raise ValueError("there is no candidate to select from")
        return int(np.argmax(scores))

    def update(self, features: ArrayLike, reward: float) -> bool:
        """Learn one (x [d], reward). Rewards are clipped to [-1, 1]; NaN is dropped, and False returned."""
        kept = clip_reward(reward)
        if kept is None:
            self.dropped += 1
            return False
        x = np.asarray(features, float)
        self.b = np.asarray(self.discount * self.b + kept * x, float)
        self.updates = self.discount * self.updates + 1
        if self.discount == 1.0:
            direction = self.inverse @ x
            self.inverse -= np.outer(direction, direction) / (1.0 + float(x @ direction))
        else:
            self._evidence = np.asarray(self.discount * self._evidence + np.outer(x, x), float)
            self.inverse[:] = np.linalg.inv(self._evidence + self.radius.regularisation * np.eye(self.dimensions))
        return True


class BatchedLinUCB:
    """Independent models for several seeds at once, and several models per seed.

    Args:
        seeds: S, the number of independent runs.
        dimensions: d, the length of a feature vector.
        models: M, models per run (one per agent or per requester; 1 is the shared model).
        radius: the confidence radius.
        discount: factor on a model's past evidence at each of its updates, in (0, 1].
    """

    def __init__(
        self, seeds: int, dimensions: int, models: int = 1, radius: Radius | None = None, discount: float = 1.0
    ) -> None:
        _check_discount(discount)
        self.radius = radius or Radius()
        self.discount = discount
        self.dimensions = dimensions
        self._rows = np.arange(seeds)
        self._prior = self.radius.regularisation * np.eye(dimensions)
        self.inverse = np.broadcast_to(np.linalg.inv(self._prior), (seeds, models, dimensions, dimensions)).copy()
        self.b = np.zeros((seeds, models, dimensions))
        self.theta = np.zeros((seeds, models, dimensions))
        self.updates = np.zeros((seeds, models))
        self.dropped = np.zeros(seeds, int)
        self._evidence = np.zeros_like(self.inverse) if discount < 1 else None

    def scores(self, x: Floats, model: Integers | None = None) -> Floats:
        """Upper confidence bounds [S, k] of features [S, k, d], each under its model [S, k] (None: model 0)."""
        radius = self.radius.at(self.updates, self.dimensions)
        if model is None:
            mean = (x @ self.theta[:, 0, :, None])[..., 0]
            squared = ((x @ self.inverse[:, 0]) * x).sum(-1)
            beta = radius[:, :1]
        else:
            rows = self._rows[:, None]
            mean = (x * self.theta[rows, model]).sum(-1)
            squared = ((x[:, :, None, :] @ self.inverse[rows, model])[:, :, 0, :] * x).sum(-1)
            beta = radius[rows, model]
        return np.asarray(mean + beta * np.sqrt(np.maximum(squared, 0.0)))

    def widths(self, x: Floats) -> Floats:
        """sqrt(x^T A^{-1} x) [S, k] of features [S, k, d] under model 0."""
        return np.asarray(np.sqrt(np.maximum(((x @ self.inverse[:, 0]) * x).sum(-1), 0.0)))

    def update(
        self, x: Floats, reward: Floats, model: Integers | None = None, learn: NDArray[np.bool_] | None = None
    ) -> None:
        """Learn one (x [S, d], reward [S]) per run, in the given model [S]; rows where ``learn`` [S] is false wait.

        Rewards are clipped to [-1, 1]; NaN is dropped and counted.
        """
        numbers = ~np.isnan(reward)
        keep = numbers if learn is None else numbers & learn
        self.dropped += ~numbers if learn is None else ~numbers & learn
        rows = self._rows[keep]
        if rows.size == 0:
            return
        which = np.zeros(rows.size, int) if model is None else np.asarray(model)[keep]
        x, r = x[keep], np.clip(reward[keep], -1.0, 1.0)
        self.b[rows, which] = self.discount * self.b[rows, which] + r[:, None] * x
        self.updates[rows, which] = self.discount * self.updates[rows, which] + 1
        if self._evidence is None:
            old = self.inverse[rows, which]
            direction = (old @ x[:, :, None])[:, :, 0]
            gain = 1.0 + (direction * x).sum(-1)
            new = old - direction[:, :, None] * (direction / gain[:, None])[:, None, :]
        else:
            seen = self.discount * self._evidence[rows, which] + x[:, :, None] * x[:, None, :]
            self._evidence[rows, which] = seen
            new = np.linalg.inv(seen + self._prior)
        self.inverse[rows, which] = new
        self.theta[rows, which] = (new @ self.b[rows, which][:, :, None])[:, :, 0]


def _check_discount(discount: float) -> None:
    if not 0 < discount <= 1:
        raise InputError("discount", discount, "Give a number above 0 and at most 1; 1 never forgets.")
