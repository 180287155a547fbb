"""Measures of messages: what they say, whether anybody listens, and how their language is built.

All take plain arrays of a recorded conversation. Information is in bits. Plug-in estimates of information are biased
upward by about the number of cells over twice the number of samples; every estimate here has the mean over shuffled
pairs subtracted, so that independent data give 0 on average.

High information is not use: a message that nobody heeds can tell everything. Listening and influence, and above all
intervention (``channels``), tell whether it is used (Lowe et al. 2019, arXiv 1903.05168).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.errors import InputError
from shoal.stats.sequences import edit_distance

Codes = NDArray[np.int64]
SHUFFLES = 20
CLUSTERS = 16
SMALLEST = 1e-12


def codes(values: ArrayLike) -> Codes:
    """Rows [n, ...] as numbers [n], equal rows equal numbers."""
    rows = np.asarray(values)
    flat = np.ascontiguousarray(rows.reshape(rows.shape[0], -1)) if rows.ndim != 1 else rows
    if flat.ndim > 1 and flat.shape[1] == 0:
        return np.zeros(len(flat), np.int64)
    return np.asarray(np.unique(flat, axis=0, return_inverse=True)[1], np.int64).ravel()


def clusters(values: ArrayLike, most: int = CLUSTERS, rng: np.random.Generator | None = None) -> Codes:
    """Messages [n, width] as discrete symbols: as they are if there are few different ones, else by k-means.

    Args:
        values: messages.
        most: symbols at most.
        rng: chooses the first centres (k-means++); seed 0 if left out.
    """
    rows = np.round(np.asarray(values, float).reshape(len(np.asarray(values)), -1), 4)
    exact = codes(rows)
    if exact.size == 0 or exact.max() < most:
        return exact
    chance = np.random.default_rng(0) if rng is None else rng
    centres = rows[chance.integers(len(rows))][None]
    for _ in range(most - 1):
        near = _squares(rows, centres).min(1)
        if near.sum() < SMALLEST:
            break
        centres = np.concatenate([centres, rows[chance.choice(len(rows), p=near / near.sum())][None]])
    label = _squares(rows, centres).argmin(1)
    for _ in range(25):
        centres = np.stack([rows[label == k].mean(0) if (label == k).any() else c for k, c in enumerate(centres)])
        fresh = _squares(rows, centres).argmin(1)
        if (fresh == label).all():
            break
        label = fresh
    return codes(label)


def entropy(x: ArrayLike) -> float:
    """Plug-in entropy of the values [n] (or rows) in bits."""
    counts = np.bincount(codes(x))
    p = counts[counts > 0] / counts.sum()
    return float(-(p * np.log2(p)).sum()) + 0.0


def mutual_information(
    x: ArrayLike, y: ArrayLike, shuffles: int = SHUFFLES, rng: np.random.Generator | None = None
) -> float:
    """I(x; y) of paired values (or rows) [n], less the mean over ``shuffles`` random pairings; 0 leaves it plug-in.

    Raises:
        InputError: x and y differ in number.
    """
    a, b = codes(x), codes(y)
    if a.shape != b.shape:
        raise InputError("mutual information", (a.size, b.size), "Give as many x as y.")
    plug_in = _information(a, b)
    if shuffles == 0:
        return plug_in
    chance = np.random.default_rng(0) if rng is None else rng
    return plug_in - float(np.mean([_information(a, chance.permutation(b)) for _ in range(shuffles)]))


def positive_signalling(message: ArrayLike, observation: ArrayLike, **options: Any) -> float:
    """I(m_i; o_i): messages [n] or [n, ...] depend on what the sender sees."""
    return mutual_information(message, observation, **options)


def speaker_consistency(message: ArrayLike, action: ArrayLike, **options: Any) -> float:
    """I(m_i; a_i): what a speaker says goes with what it does itself (Jaques et al. 2019, arXiv 1810.08647)."""
    return mutual_information(message, action, **options)


def instantaneous_coordination(message: ArrayLike, action: ArrayLike, **options: Any) -> float:
    """I(m_i at t; a_j at t + 1), of pairs that the caller has lined up (Jaques et al. 2019)."""
    return mutual_information(message, action, **options)


def positive_listening(with_message: ArrayLike, without: ArrayLike) -> dict[str, float]:
    """Mean L1 distance, and mean KL in bits, of policies with the message and with it set to 0.

    Args:
        with_message: probabilities of actions [n, actions].
        without: the same with the message at 0.
    """
    p, q = _distributions(with_message), _distributions(without)
    return {"l1": float(np.abs(p - q).sum(-1).mean()), "kl": float(divergence(p, q).mean())}


def causal_influence(messages: ArrayLike, policies: ArrayLike) -> float:
    """KL(p(a | c) || sum_m' p(m') p(a | c with m')) in bits, of a sender on a receiver, averaged over m and c.

    Args:
        messages: probability of each message of the sender in each context [contexts, messages].
        policies: the receiver's probabilities in each context under each message [contexts, messages, actions].

    Raises:
        InputError: shapes that do not fit each other.
    """
    chance, policy = _distributions(messages), _distributions(policies)
    if policy.shape[:2] != chance.shape:
        raise InputError("policies", policy.shape, f"Begin with [contexts, messages] = {chance.shape}.")
    blind = (chance[..., None] * policy).sum(1, keepdims=True)
    return float((chance * divergence(policy, blind)).sum(1).mean())


def divergence(p: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
    """KL(p || q) in bits over the last axis."""
    ratio = np.log2(np.maximum(p, SMALLEST)) - np.log2(np.maximum(q, SMALLEST))
    return np.asarray(np.where(p > 0, p * ratio, 0.0).sum(-1), float)


def topographic_similarity(meanings: ArrayLike, messages: ArrayLike) -> float:
    """Spearman correlation of distances between meanings and between messages (Brighton and Kirby 2006).

    Meanings are compared attribute by attribute (Hamming), messages by edit distance. 0 where all are alike.

    Args:
        meanings: attributes [n, attributes].
        messages: symbols [n, length].
    """
    from scipy.stats import rankdata

    meaning, message = np.asarray(meanings), np.asarray(messages)
    one, two = np.triu_indices(len(meaning), 1)
    apart = (meaning[one] != meaning[two]).sum(1)
    table = {}
    distinct, label = np.unique(message, axis=0, return_inverse=True)
    label = np.asarray(label).ravel()
    for a in range(len(distinct)):
        for b in range(a, len(distinct)):
            table[a, b] = edit_distance(distinct[a].tolist(), distinct[b].tolist())
    said = np.array([table[min(a, b), max(a, b)] for a, b in zip(label[one], label[two], strict=True)])
    x, y = rankdata(apart), rankdata(said)
    if x.std() < SMALLEST or y.std() < SMALLEST:
        return 0.0
    return float(np.corrcoef(x, y)[0, 1])


def positional_disentanglement(meanings: ArrayLike, messages: ArrayLike) -> float:
    """Mean over positions of (I of the best attribute - I of the second best) / H of the position, in 0..1.

    Positions that never change are left out; 0 if there is no other (Chaabouni et al. 2020, arXiv 2004.09124).

    Args:
        meanings: attributes [n, attributes], of all meanings once each.
        messages: symbols [n, length].
    """
    meaning, message = np.asarray(meanings), np.asarray(messages)
    gaps = []
    for position in range(message.shape[1]):
        h = entropy(message[:, position])
        if h < SMALLEST:
            continue
        told = sorted(
            (mutual_information(message[:, position], meaning[:, a], shuffles=0) for a in range(meaning.shape[1])),
            reverse=True,
        )
        gaps.append((told[0] - (told[1] if len(told) > 1 else 0.0)) / h)
    return float(np.mean(gaps)) if gaps else 0.0


def context_independence(meanings: ArrayLike, messages: ArrayLike) -> float:
    """Mean over concepts c of p(v | c) p(c | v) with v the symbol that best predicts c (Bogin et al. 2018).

    Each value of each attribute is a concept. 1: every concept has a symbol of its own, used always and for it alone.

    Args:
        meanings: attributes [n, attributes].
        messages: symbols [n, length].
    """
    meaning, message = np.asarray(meanings), np.asarray(messages)
    symbols = np.unique(message)
    uses = np.stack([(message == v).any(1) for v in symbols], 1)
    scores = []
    for a in range(meaning.shape[1]):
        for value in np.unique(meaning[:, a]):
            here = meaning[:, a] == value
            both = uses[here].sum(0)
            of_symbol = both / np.maximum(uses.sum(0), 1)
            best = int(of_symbol.argmax())
            scores.append(both[best] / here.sum() * of_symbol[best])
    return float(np.mean(scores))


def open_share(opened: ArrayLike, alive: ArrayLike) -> float:
    """Share of an agent's living steps in which it spoke."""
    there = np.asarray(alive, bool)
    return float(np.asarray(opened, float)[there].mean()) if there.any() else 0.0


def _information(a: Codes, b: Codes) -> float:
    joint = np.zeros((a.max(initial=0) + 1, b.max(initial=0) + 1))
    np.add.at(joint, (a, b), 1.0)
    p = joint / joint.sum()
    outer = p.sum(1, keepdims=True) * p.sum(0, keepdims=True)
    some = p > 0
    return float((p[some] * np.log2(p[some] / outer[some])).sum())


def _distributions(values: ArrayLike) -> NDArray[np.float64]:
    p = np.asarray(values, float)
    if p.ndim < 2 or (p < -1e-6).any() or not np.allclose(p.sum(-1), 1.0, atol=1e-3):
        raise InputError("policies", p.shape, "Give probabilities that add up to 1 on the last axis.")
    return np.asarray(np.maximum(p, 0.0), float)


def _squares(rows: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(
        np.square(rows).sum(1)[:, None] - 2 * rows @ centres.T + np.square(centres).sum(1)[None], float
    ).clip(0.0)
