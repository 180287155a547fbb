"""Contributions: how near each answer lies to what the team says on the whole (steps 3, 8 and 9 of SelfOrg).

All functions take embeddings [..., agents, dimensions] whose rows have length 1, or 0 for an empty answer.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.errors import InputError, UnknownName
from shoal.stats import exact_shapley, memberships

ContributionRule = Literal["paper", "code"]
AggregateMode = Literal["centre", "highest"]

SOFTMAX_TEMPERATURE = 0.1
LARGEST_SHAPLEY_TEAM = 14
_DIGITS = 12
"""Cosines are rounded to this many decimals: equal answers must tie exactly, whatever order a product was summed in."""


def unit_rows(vectors: ArrayLike) -> NDArray[np.float64]:
    """Rows scaled to length 1; zero rows stay zero (step 2)."""
    x = np.asarray(vectors, float)
    length = np.linalg.norm(x, axis=-1, keepdims=True)
    unit: NDArray[np.float64] = np.divide(x, length, out=np.zeros_like(x), where=length > 0)
    return unit


def similarities(embeddings: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cosines of all pairs [..., agents, agents]; 0 where an answer is empty."""
    cosines: NDArray[np.float64] = np.round(embeddings @ np.swapaxes(embeddings, -1, -2), _DIGITS)
    return cosines


def contributions(
    embeddings: NDArray[np.float64], rule: ContributionRule = "paper", temperature: float = SOFTMAX_TEMPERATURE
) -> NDArray[np.float64]:
    """Contribution psi of each agent [..., agents] (step 3).

    Args:
        embeddings: rows [..., agents, dimensions].
        rule: "paper" is the cosine with the mean answer, in [-1, 1]. "code" clips it at 0 and takes a softmax, so that
            psi sums to 1.
        temperature: of the softmax, above 0.

    Returns:
        psi; 0 for empty answers. Where no answer has a direction to agree with (all empty, or answers that cancel),
        uniform over the answers that are there, or over all.
    """
    if rule not in get_args(ContributionRule):
        raise UnknownName("contribution", rule, get_args(ContributionRule))
    if not temperature > 0:
        raise InputError("softmax temperature", temperature, "Give a number above 0.")
    given = np.linalg.norm(embeddings, axis=-1) > 0
    given |= ~given.any(axis=-1, keepdims=True)
    cosine, directed = _cosine_with(embeddings, embeddings.mean(axis=-2))
    psi: NDArray[np.float64]
    if rule == "paper":
        psi = cosine
    else:
        raw = np.maximum(cosine, 0.0) / temperature
        weight = np.where(given, np.exp(raw - raw.max(axis=-1, keepdims=True)), 0.0)
        psi = np.round(weight / weight.sum(axis=-1, keepdims=True), _DIGITS)
    uniform = given / given.sum(axis=-1, keepdims=True)
    return np.where(directed, psi, uniform)


def shapley_values(embeddings: NDArray[np.float64]) -> NDArray[np.float64]:
    """Exact Shapley values [..., agents] by enumerating all coalitions: what psi stands in for.

    The value of a coalition is the cosine of its mean answer with the mean of all; the empty one is worth 0. It is the
    utility under which the cosine is the usual linear-time stand-in; the page names none.

    Raises:
        InputError: more than 14 agents.
    """
    agents = embeddings.shape[-2]
    if agents > LARGEST_SHAPLEY_TEAM:
        raise InputError("agents", agents, f"Exact Shapley values need at most {LARGEST_SHAPLEY_TEAM}.")
    value, _ = _cosine_with(memberships(agents).astype(float) @ embeddings, embeddings.mean(axis=-2))
    return exact_shapley(value)


def aggregate(
    embeddings: NDArray[np.float64], psi: NDArray[np.float64], mode: AggregateMode = "centre"
) -> NDArray[np.intp]:
    """Position of the answer that the team gives [...] (step 9).

    Args:
        embeddings: rows [..., agents, dimensions].
        psi: contributions [..., agents].
        mode: "centre" takes the answer nearest the contribution-weighted centre; "highest" the largest contribution.

    Returns:
        Index of the agent, ties to the lowest; never an empty answer while there is another.
    """
    if mode not in get_args(AggregateMode):
        raise UnknownName("aggregate", mode, get_args(AggregateMode))
    empty = np.linalg.norm(embeddings, axis=-1) == 0
    if mode == "highest":
        score = psi
    else:
        score, _ = _cosine_with(embeddings, (psi[..., None] * embeddings).sum(axis=-2))
    chosen: NDArray[np.intp] = np.argmax(np.where(empty, -2.0, score), axis=-1)
    return chosen


def consensus(
    embeddings: NDArray[np.float64], psi: NDArray[np.float64], similarity: float = 0.95, spread: float = 0.1
) -> NDArray[np.bool_]:
    """Whether the team agrees [...]: every pair at least this similar and contributions this close (step 8)."""
    agents = embeddings.shape[-2]
    cosines = similarities(embeddings)[..., ~np.eye(agents, dtype=bool)]
    alike = cosines.min(axis=-1, initial=1.0) >= similarity
    close = psi.max(axis=-1) - psi.min(axis=-1) <= spread + 1e-12
    return np.asarray(alike & close)


def within_question_auc(embeddings: NDArray[np.float64], labels: ArrayLike) -> NDArray[np.float64]:
    """How well similarity tells pairs with the same answer from pairs with different answers, question by question.

    Args:
        embeddings: rows [questions, agents, dimensions].
        labels: answer of each agent [questions, agents] as an integer; negative for no answer (left out).

    Returns:
        AUC of each question that has pairs of both sorts [kept]: the chance that a pair with the same answer is more
        similar than one with different answers, ties counted half.
    """
    label = np.asarray(labels)
    first, second = np.triu_indices(label.shape[1], 1)
    cosine = similarities(embeddings)[:, first, second]
    valid = (label[:, first] >= 0) & (label[:, second] >= 0)
    same = valid & (label[:, first] == label[:, second])
    other = valid & ~same
    kept = same.any(axis=1) & other.any(axis=1)
    cosine, same, other = cosine[kept], same[kept], other[kept]
    gap = cosine[:, :, None] - cosine[:, None, :]
    both = same[:, :, None] & other[:, None, :]
    wins = (both * ((gap > 0) + 0.5 * (gap == 0))).sum(axis=(1, 2))
    return np.asarray(wins / both.sum(axis=(1, 2)), float)


def _cosine_with(
    rows: NDArray[np.float64], centre: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Cosine of rows [..., n, d] with a centre [..., d], rounded, and whether the centre has a direction [..., 1]."""
    length = np.linalg.norm(centre, axis=-1, keepdims=True)
    directed = length > 1e-9
    towards = np.divide(centre, length, out=np.zeros_like(centre), where=directed)
    lengths = np.linalg.norm(rows, axis=-1)
    dot = (rows @ towards[..., None])[..., 0]
    cosine = np.divide(dot, lengths, out=np.zeros_like(dot), where=lengths > 1e-9)
    return np.round(cosine, _DIGITS), directed
