"""K*: how many agents a team amounts to, counted from what its members say and without any label.

Rows of M are the unit embeddings of n outputs; G = M M' has eigenvalues mu. With lambda = max(mu, 0) / sum(mu), K* is
two to the power of the entropy of lambda in bits: 1 where all say the same, n where no two have anything in common.
Source: arXiv 2602.03794. Its repository has three formulas under one name: only the uncentred Gram matrix is used here
(``centred_channels`` is the other one, to show that the figures cannot be compared). K* rewards noise, since random
text maximises it: never read it without accuracy and without the null of ``shuffled_channels`` beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.errors import InputError

Array = NDArray[np.float64]

RIGHT, WRONG, SILENT = 1.0, 0.3, 0.5
"""Weights of right, wrong and missing answers in the weighted K* of the paper's code."""
PENALTY = 0.5
"""What a wrong channel takes away in K*_effective."""


@dataclass(frozen=True, slots=True)
class Spectrum:
    """The channels of one set of outputs.

    Attributes:
        shares: eigenvalues as shares of their sum, the greatest first [agents].
        agents: outputs that were counted.
        skipped: outputs without content (zero vectors), which were not.
    """

    shares: Array
    agents: int
    skipped: int

    @property
    def channels(self) -> float:
        """K*, from 1 to ``agents``; NaN where nothing was said."""
        return float(_perplexity(self.shares)) if self.agents else float("nan")


def unit_outputs(rows: ArrayLike, names: Sequence[str] = ()) -> Array:
    """Embeddings scaled to length 1 [..., n, d]; zero rows stay zero.

    Args:
        rows: embeddings [..., n, d].
        names: of the n agents, for the message of an error.

    Raises:
        InputError: not at least two axes, or a value that is not finite (the message names the agent).
    """
    found = np.asarray(rows, float)
    if found.ndim < 2:
        raise InputError("embeddings", found.shape, "Give an array of agents by dimensions.")
    bad = ~np.isfinite(found).all(axis=-1)
    if bad.any():
        agent = int(np.argwhere(bad)[0][-1])
        who = names[agent] if agent < len(names) else f"agent {agent}"
        raise InputError(f"embedding of {who}", "not a finite number", "Embed this agent's output again.")
    length = np.linalg.norm(found, axis=-1, keepdims=True)
    unit: Array = np.divide(found, length, out=np.zeros_like(found), where=length > 0)
    return unit


def spectrum(rows: ArrayLike, names: Sequence[str] = ()) -> Spectrum:
    """Eigenvalue shares of the outputs' uncentred Gram matrix.

    Args:
        rows: embeddings [n, d] of any length; zero rows are skipped and counted.
        names: of the agents, for errors.

    Raises:
        InputError: as ``unit_outputs``.
    """
    unit = unit_outputs(rows, names)
    spoken = unit[np.linalg.norm(unit, axis=1) > 0]
    if not len(spoken):
        return Spectrum(np.empty(0), 0, len(unit))
    matrix = spoken @ spoken.T if spoken.shape[0] <= spoken.shape[1] else spoken.T @ spoken
    shares = np.clip(np.linalg.eigvalsh(matrix)[::-1], 0.0, None)
    return Spectrum(shares / shares.sum(), len(spoken), len(unit) - len(spoken))


def effective_channels(rows: ArrayLike, names: Sequence[str] = ()) -> Array:
    """K* of each set of outputs.

    Args:
        rows: embeddings [..., n, d]; zero rows count as silent agents and are left out.
        names: of the agents, for errors.

    Returns:
        K* [...]: from 1 to the smaller of the speakers and d; NaN where all are silent.
    """
    unit = unit_outputs(rows, names)
    return gram_channels(np.einsum("...id,...jd->...ij", unit, unit))


def gram_channels(gram: ArrayLike) -> Array:
    """K* from Gram (or correlation) matrices [..., n, n]; rows and columns of zeros are silent agents."""
    shares = np.clip(np.linalg.eigvalsh(np.asarray(gram, float)), 0.0, None)
    total = shares.sum(axis=-1, keepdims=True)
    shares = np.divide(shares, total, out=np.zeros_like(shares), where=total > 0)
    found: Array = np.where(total[..., 0] > 0, _perplexity(shares), np.nan)
    return found


def equal_cosines(agents: int, cosine: float) -> float:
    """K* in closed form where all pairs of n outputs have one cosine r in [0, 1].

    The eigenvalues are (1 + (n - 1) r) / n once and (1 - r) / n the other n - 1 times.
    """
    shares = np.full(agents, (1.0 - cosine) / agents)
    shares[0] = (1.0 + (agents - 1) * cosine) / agents
    return float(_perplexity(shares))


def redundancy(rows: ArrayLike, names: Sequence[str] = ()) -> Array:
    """Cosine of each pair of outputs [n, n]; 1 on the diagonal, 0 for silent agents."""
    unit = unit_outputs(rows, names)
    return np.asarray(unit @ np.swapaxes(unit, -1, -2))


def marginal_channels(rows: ArrayLike, names: Sequence[str] = ()) -> Array:
    """What each agent adds: K* of all less K* of all but that one [n]. For n = 1 the one agent is all there is."""
    unit = unit_outputs(rows, names)
    whole = effective_channels(unit)
    if len(unit) == 1:
        return np.atleast_1d(whole)
    without = np.stack([np.delete(unit, i, axis=0) for i in range(len(unit))])
    return np.asarray(whole - np.nan_to_num(effective_channels(without)))


def weighted_channels(rows: ArrayLike, correct: Sequence[bool | None]) -> float:
    """K* with rows weighted 1.0 (right), 0.3 (wrong) or 0.5 (no answer), the weights rescaled to sum to n.

    Args:
        rows: embeddings [n, d].
        correct: of each agent; None for no readable answer.

    Raises:
        InputError: ``correct`` is not one for each row.
    """
    unit = unit_outputs(rows)
    weights = np.array([SILENT if c is None else RIGHT if c else WRONG for c in correct])
    if len(weights) != len(unit):
        raise InputError("correct", len(weights), f"Give one for each of the {len(unit)} agents.")
    weights *= len(weights) / weights.sum()
    scaled = unit * weights[:, None]
    return float(gram_channels(scaled @ scaled.T))


@dataclass(frozen=True, slots=True)
class Judged:
    """K* of right and of wrong outputs apart, each [...]; NaN where there is none of the kind, 1 where there is one."""

    right: Array
    wrong: Array

    @property
    def effective(self) -> Array:
        """K*_effective = K*_correct - 0.5 K*_wrong; a kind that nobody gave has no channels."""
        return np.asarray(np.nan_to_num(self.right) - PENALTY * np.nan_to_num(self.wrong))


def judged_channels(rows: ArrayLike, correct: ArrayLike) -> Judged:
    """K* of the right outputs and of the wrong ones.

    Args:
        rows: embeddings [..., n, d].
        correct: whether each output is right [..., n].
    """
    unit, right = unit_outputs(rows), np.asarray(correct, bool)[..., None]
    return Judged(effective_channels(np.where(right, unit, 0.0)), effective_channels(np.where(right, 0.0, unit)))


def disagreement(codes: ArrayLike) -> Array:
    """1 - sum of squared answer shares, for each question [questions].

    Args:
        codes: answers as integers [questions, n]; -1 for none, which takes no share.

    Returns:
        0 where all agree; NaN where nobody answered.
    """
    given = np.asarray(codes, int)
    answered = given >= 0
    same = (given[:, :, None] == given[:, None, :]) & answered[:, :, None] & answered[:, None, :]
    count = answered.sum(axis=1).astype(float)
    squares = np.divide(same.sum(axis=(1, 2)), count**2, out=np.full(len(given), np.nan), where=count > 0)
    return np.asarray(1.0 - squares)


def round_average(rows: ArrayLike) -> float:
    """K* over agents of their mean embeddings, the mean taken over questions that every agent answered.

    Hides what differs from question to question: agents that disagree everywhere can have equal means.

    Args:
        rows: embeddings [questions, n, d] of one round; zero rows where an agent gave nothing.
    """
    unit = unit_outputs(rows)
    answered = (np.linalg.norm(unit, axis=2) > 0).all(axis=1)
    return float(effective_channels(unit[answered].mean(axis=0))) if answered.any() else float("nan")


def shuffled_channels(rows: ArrayLike, rng: np.random.Generator, repeats: int = 5) -> Array:
    """The null: K* of teams whose members' outputs come from different questions [questions].

    Outputs to different questions have nothing in common but style and boilerplate. A team whose K* is near this null
    shares nothing through the question; where even the null is near 1, boilerplate drowns everything.

    Args:
        rows: embeddings [questions, n, d].
        rng: draws the order of the questions, anew for each agent.
        repeats: shuffles that are averaged.
    """
    unit = unit_outputs(rows)
    questions, agents = unit.shape[:2]
    drawn = [
        effective_channels(np.stack([unit[rng.permutation(questions), i] for i in range(agents)], axis=1))
        for _ in range(repeats)
    ]
    return np.asarray(np.mean(drawn, axis=0))


def centred_channels(rows: ArrayLike) -> float:
    """The repository's robustness script: exp(entropy) of the centred covariance over features [n, d].

    Another quantity under the same name: centring takes away what all agents share, so that near copies with
    independent noise count as n - 1 channels. Here for comparison only.
    """
    unit = unit_outputs(rows)
    centred = unit - unit.mean(axis=0)
    return float(np.nan_to_num(gram_channels(centred @ centred.T), nan=1.0))


@dataclass(frozen=True, slots=True)
class Saturation:
    """Fit of information = ceiling * (1 - exp(-rate * x)).

    Attributes:
        rate: usefulness of a channel, at least 0.
        ceiling: the most that can be had.
        r_squared: share of the variance explained; negative where the curve is worse than the mean.
    """

    rate: float
    ceiling: float
    r_squared: float

    def at(self, x: ArrayLike) -> Array:
        """The curve at x."""
        return np.asarray(self.ceiling * (1.0 - np.exp(-self.rate * np.asarray(x, float))))


def fit_saturation(x: ArrayLike, information: ArrayLike, ceiling: float) -> Saturation:
    """Least squares over the rate alone; the ceiling is the task's own uncertainty H(Y|X).

    Args:
        x: K* or n of each configuration [configurations], positive.
        information: gained in each, in the unit of the ceiling [configurations].
        ceiling: H(Y|X), positive.

    Raises:
        InputError: fewer than three configurations, or an x that is not positive.
    """
    from scipy.optimize import minimize_scalar

    given, gained = np.asarray(x, float), np.asarray(information, float)
    if given.size < 3 or given.shape != gained.shape or not (given > 0).all():
        raise InputError("x", given.shape, "Give three configurations or more, with positive x and one value each.")

    def loss(log_rate: float) -> float:
        return float(((ceiling * (1.0 - np.exp(-np.exp(log_rate) * given)) - gained) ** 2).sum())

    rate = float(np.exp(minimize_scalar(loss, bounds=(-12.0, 4.0), method="bounded").x))
    spread = float(((gained - gained.mean()) ** 2).sum())
    return Saturation(rate, ceiling, 1.0 - loss(np.log(rate)) / spread if spread > 0 else float("nan"))


def _perplexity(shares: Array) -> Array:
    """Two to the entropy in bits of distributions [..., k] -> [...]."""
    logs = np.log2(shares, out=np.zeros_like(shares), where=shares > 0)
    return np.asarray(2.0 ** -(shares * logs).sum(axis=-1))
