"""Trees of role outputs graded at their leaves: values, labels, preference pairs (MALT, arXiv 2412.01928, section 4).

A node is one output; its children are the next role's outputs on it. Leaves are right or wrong, and every other node is
worth the mean of its children. Nothing here knows what a role is or how it writes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError

Floats = NDArray[np.float64]

THRESHOLD = 0.5
"""theta: an output is good if its value is above it; a tie is bad (section 4.2)."""
MOST_NODES = 1_000_000
"""Outputs in the trees of one data collection; more are refused before any is written."""


@dataclass(frozen=True)
class Node:
    """One output in a tree.

    Attributes:
        parent: number of the node it was made from, -1 for the question itself.
        role: position of its role in the chain.
        text: in words.
        prompt: token ids read.
        tokens: token ids written.
        right: grade of a leaf, 1 or True where its answer is right; None elsewhere.
    """

    parent: int
    role: int
    text: str
    prompt: tuple[int, ...] = ()
    tokens: tuple[int, ...] = ()
    right: float | None = None


@dataclass(frozen=True)
class Pair:
    """Two outputs on the same input, one good and one bad; numbers of nodes, and how far their values are apart."""

    role: int
    chosen: int
    rejected: int
    gap: float


def tree_size(depth: int, width: int, questions: int = 1) -> int:
    """Outputs of ``questions`` trees of that depth and branching factor.

    Raises:
        InputError: fewer than 2 branches (no siblings), or more than MOST_NODES outputs.
    """
    if width < 2:
        raise InputError("branches", width, "Use at least 2: preferences are between siblings.")
    size = int(questions * sum(width**level for level in range(1, depth + 1)))
    if size > MOST_NODES:
        raise InputError("branches", width, f"{size:,} outputs; at most {MOST_NODES:,}: fewer branches or questions.")
    return size


def values(nodes: Sequence[Node]) -> Floats:
    """Value of each node: 1 or 0 at leaves, else the mean of its children's [nodes]. Parents stand before children."""
    total, count = np.zeros(len(nodes)), np.zeros(len(nodes))
    worth = np.zeros(len(nodes))
    for i in range(len(nodes) - 1, -1, -1):
        node = nodes[i]
        worth[i] = float(node.right) if node.right is not None else total[i] / max(count[i], 1)
        if node.parent >= 0:
            total[node.parent] += worth[i]
            count[node.parent] += 1
    return worth


def good(worth: Floats, threshold: float = THRESHOLD) -> NDArray[np.bool_]:
    """Which outputs are to be imitated."""
    return worth > threshold


def pairs(nodes: Sequence[Node], worth: Floats, most: int = 2, threshold: float = THRESHOLD) -> list[Pair]:
    """Preference pairs between siblings of one good and one bad label.

    Args:
        nodes: of one tree.
        worth: their values.
        most: pairs of one parent, largest gap of values first, so that easy questions do not flood the set.
        threshold: between good and bad.
    """
    siblings: dict[int, list[int]] = {}
    for i, node in enumerate(nodes):
        siblings.setdefault(node.parent, []).append(i)
    found = []
    for group in siblings.values():
        better = [i for i in group if worth[i] > threshold]
        worse = [i for i in group if worth[i] <= threshold]
        every = [Pair(nodes[i].role, i, j, float(worth[i] - worth[j])) for i in better for j in worse]
        found += sorted(every, key=lambda pair: -pair.gap)[:most]
    return found


def shuffled_among_siblings(nodes: Sequence[Node], worth: Floats, rng: np.random.Generator) -> Floats:
    """Values dealt out at random among siblings: the control that must learn nothing."""
    mixed = worth.copy()
    parents = np.array([node.parent for node in nodes])
    for parent in np.unique(parents):
        group = np.flatnonzero(parents == parent)
        mixed[group] = worth[rng.permutation(group)]
    return mixed


def value_bound(branches: int, error: float) -> float:
    """Bound on the chance that a generator's value is off by ``error``: 2 exp(-2 n^2 eps^2) (section 4.2)."""
    return float(2 * np.exp(-2 * branches**2 * error**2))


def export_pairs(path: Path, trees: Sequence[tuple[Sequence[Node], Sequence[Pair]]], roles: Sequence[str]) -> int:
    """Write pairs as JSON lines (role, prompt ids, chosen, rejected, gap), to train elsewhere; returns how many.

    ``shoal train-team dpo --data`` reads them; replies stand as texts and as token ids.
    """
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for nodes, found in trees:
            for pair in found:
                chosen, rejected = nodes[pair.chosen], nodes[pair.rejected]
                row = {
                    "role": roles[pair.role], "prompt": list(chosen.prompt), "chosen": chosen.text,
                    "rejected": rejected.text, "gap": pair.gap, "nodes": asdict(pair),
                }  # fmt: skip
                if chosen.tokens and rejected.tokens:
                    row |= {"chosen_tokens": list(chosen.tokens), "rejected_tokens": list(rejected.tokens)}
                file.write(json.dumps(row) + "\n")
                count += 1
    return count
