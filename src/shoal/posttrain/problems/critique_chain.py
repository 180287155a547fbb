"""A generator, a verifier and a refiner as tables, with exact success rates (after MALT, arXiv 2412.01928).

The generator's draft is right or wrong. The verifier reads it and accepts it, points at a true error or at a false
one. The refiner reads both and keeps the draft or changes it; a table says how often each case ends well. Everything
that a sampled tree estimates is a sum over eighteen cases here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoal.posttrain.problems.tables import Floats, Ids, draw

ROLES = ("generator", "verifier", "refiner")
SHAPES = {"generator": (1, 2), "verifier": (2, 3), "refiner": (6, 2)}
"""States and actions: nothing; the draft; draft and critique."""
SUCCESS = np.array([
    # keep, change; by critique: accept, true error, false error
    [[0.98, 0.60], [0.98, 0.50], [0.98, 0.30]],  # a right draft
    [[0.02, 0.25], [0.02, 0.85], [0.02, 0.15]],  # a wrong one
])  # fmt: skip
"""Chance to end well [draft, critique, refinement]."""
BASE = {
    "generator": np.log([[0.5, 0.5]]),
    "verifier": np.log([[0.5, 0.25, 0.25], [0.5, 0.25, 0.25]]),
    "refiner": np.log([[0.6, 0.4]] * 6),
}
"""Logits before training: a mediocre generator, a verifier and a refiner that do not look."""

Logits = dict[str, Floats]


@dataclass(frozen=True)
class Trees:
    """Sampled trees of n branches on Q questions.

    Attributes:
        drafts: [Q, n].
        critiques: [Q, n, n].
        refinements: [Q, n, n, n].
        right: leaves, 0 or 1 [Q, n, n, n].
    """

    drafts: Ids
    critiques: Ids
    refinements: Ids
    right: Floats


def chances(logits: Floats) -> Floats:
    """Probabilities along the last axis."""
    e = np.exp(logits - logits.max(-1, keepdims=True))
    p: Floats = e / e.sum(-1, keepdims=True)
    return p


def success(policies: Logits) -> float:
    """Exact chance that the chain ends well."""
    g, v, r = (chances(policies[role]) for role in ROLES)
    refine = r.reshape(2, 3, 2)
    return float(np.einsum("d,dc,dca,dca->", g[0], v, refine, SUCCESS))


def draft_values(policies: Logits) -> Floats:
    """Exact value of a right and of a wrong draft under the later roles."""
    v, r = chances(policies["verifier"]), chances(policies["refiner"]).reshape(2, 3, 2)
    worth: Floats = np.einsum("dc,dca,dca->d", v, r, SUCCESS)
    return worth


def grow(policies: Logits, questions: int, branches: int, rng: np.random.Generator) -> Trees:
    """Sample a tree for each question."""
    g, v, r = (chances(policies[role]) for role in ROLES)
    drafts = draw(g[np.zeros((questions, branches), np.int64)], rng.random((questions, branches)))
    wide = np.repeat(drafts[..., None], branches, -1)
    critiques = draw(v[wide], rng.random(wide.shape))
    state: Ids = np.repeat((wide * 3 + critiques)[..., None], branches, -1)
    refinements = draw(r[state], rng.random(state.shape))
    chance = SUCCESS[state // 3, state % 3, refinements]
    return Trees(drafts, critiques, refinements, (rng.random(state.shape) < chance).astype(float))


def examples(trees: Trees, worth: tuple[Floats, Floats, Floats]) -> dict[str, tuple[Ids, Ids, Floats]]:
    """State, action and value of every output, siblings along the last axis: by role [groups, n].

    Args:
        trees: sampled.
        worth: of drafts, critiques and refinements, shaped as they are.
    """
    n = trees.drafts.shape[1]
    drafts = np.repeat(trees.drafts[..., None], n, -1)
    both = np.repeat((drafts * 3 + trees.critiques)[..., None], n, -1)
    return {
        "generator": (np.zeros_like(trees.drafts), trees.drafts, worth[0]),
        "verifier": (drafts.reshape(-1, n), trees.critiques.reshape(-1, n), worth[1].reshape(-1, n)),
        "refiner": (both.reshape(-1, n), trees.refinements.reshape(-1, n), worth[2].reshape(-1, n)),
    }


def backed_up(trees: Trees) -> tuple[Floats, Floats, Floats]:
    """Values of drafts, critiques and refinements: means from the leaves up."""
    return trees.right.mean((2, 3)), trees.right.mean(3), trees.right


def imitate(logits: Floats, state: Ids, action: Ids, keep: NDArray[np.bool_], steps: int, rate: float) -> Floats:
    """Gradient steps on the mean log-probability of the outputs that are kept."""
    s, a = state[keep], action[keep]
    if not s.size:
        return logits
    moved = logits.copy()
    for _ in range(steps):
        slope = np.zeros_like(moved)
        np.add.at(slope, (s, a), 1.0)
        np.add.at(slope, s, -chances(moved)[s])
        moved += rate * slope / s.size
    return moved


def prefer(logits: Floats, state: Ids, chosen: Ids, rejected: Ids, beta: float, steps: int, rate: float) -> Floats:
    """Gradient steps of DPO on pairs, reference = the policy before (the softmax's divisor cancels in a pair)."""
    if not state.size:
        return logits
    reference, moved = logits, logits.copy()
    for _ in range(steps):
        off = (moved - reference)[state, chosen] - (moved - reference)[state, rejected]
        push = beta / (1 + np.exp(beta * off))
        slope = np.zeros_like(moved)
        np.add.at(slope, (state, chosen), push)
        np.add.at(slope, (state, rejected), -push)
        moved += rate * slope / state.size
    return moved


def sibling_pairs(state: Ids, action: Ids, worth: Floats, most: int, threshold: float = 0.5) -> tuple[Ids, Ids, Ids]:
    """State, better and worse action of pairs between siblings, at most ``most`` of a parent, widest gap first."""
    found: list[tuple[int, int, int]] = []
    for s, a, w in zip(state, action, worth, strict=True):
        better, worse = np.flatnonzero(w > threshold), np.flatnonzero(w <= threshold)
        every = sorted(((w[i] - w[j], i, j) for i in better for j in worse), key=lambda pair: -pair[0])
        found += [(int(s[i]), int(a[i]), int(a[j])) for _, i, j in every[:most]]
    columns = np.array(found, np.int64).reshape(-1, 3)
    return columns[:, 0], columns[:, 1], columns[:, 2]
