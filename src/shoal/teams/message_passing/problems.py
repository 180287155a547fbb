"""The five AgentsNet tasks: what is asked, the valid answers of each node, and how many rounds are given.

Colouring, vertex cover, matching, leader election and consensus (arXiv 2507.08616). Wordings are our own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError, UnknownName
from shoal.teams.message_passing.graphs import Graph

Task = Literal["colouring", "vertex-cover", "matching", "leader", "consensus"]
TASKS: tuple[Task, ...] = ("colouring", "vertex-cover", "matching", "leader", "consensus")
GRADED: tuple[Task, ...] = ("colouring", "vertex-cover", "matching")
"""Tasks whose soft score can lie strictly between 0 and 1; in the others it equals *solved*."""

INVALID = -1
"""Code of an answer that was not given or could not be read."""
SINGLE = -2
"""Code of the matching answer "None": the node stays without a partner, on purpose."""

LARGEST_FIXED = 16
"""Up to this size colouring, matching and cover get a number of rounds that depends on n alone."""


@dataclass(frozen=True, slots=True)
class Wording:
    """How a task is put to a language model: the goal, and the question after the last round."""

    goal: str
    question: str


WORDINGS: dict[str, Wording] = {
    "colouring": Wording(
        "Every agent joins one of {groups} groups, Group 1 to Group {groups}. No two neighbours may end up in the same "
        "group, so each agent needs a group that none of its neighbours takes.",
        "Which group do you join?",
    ),
    "vertex-cover": Wording(
        "The agents choose coordinators. Of every two neighbours at least one must be a coordinator, and nobody may be "
        "one without need: each coordinator must have a neighbour who is not.",
        "Are you a coordinator?",
    ),
    "matching": Wording(
        "The agents form pairs of neighbours. A pair counts only if both name each other, nobody is in two pairs, and "
        "an agent may stay alone only if all its neighbours are in pairs with others.",
        "Which neighbour are you paired with? Say None if you stay alone.",
    ),
    "leader": Wording(
        "The agents elect one leader. At the end exactly one agent of the whole network may say that it is the leader.",
        "Are you the leader?",
    ),
    "consensus": Wording(
        "The agents agree on one value, 0 or 1. At the end every agent of the whole network must give the same value.",
        "Which value did you agree on?",
    ),
}


def answer_options(task: str, graph: Graph, node: int) -> tuple[str, ...]:
    """The valid answers of one node, as text."""
    if task == "colouring":
        return tuple(f"Group {k}" for k in range(1, graph.max_degree + 2))
    if task == "matching":
        return (*(graph.names[u] for u in graph.neighbours[node]), "None")
    if task == "consensus":
        return ("0", "1")
    _known(task)
    return ("Yes", "No")


def encode(task: str, graph: Graph, answers: Sequence[str | None]) -> NDArray[np.int64]:
    """Answers as codes [n]: group number, 1 or 0 for Yes or No, the value, the partner's node, SINGLE, or INVALID."""
    if len(answers) != graph.n:
        raise ValueError(f"{graph.n} nodes, but {len(answers)} answers")
    if task == "colouring":
        table = {f"Group {k}": k for k in range(1, graph.max_degree + 2)}
    elif task == "matching":
        table = {**graph.index, "None": SINGLE}
    elif task == "consensus":
        table = {"0": 0, "1": 1}
    else:
        _known(task)
        table = {"Yes": 1, "No": 0}
    return np.array([table.get(a, INVALID) if a is not None else INVALID for a in answers], np.int64)


def decode(task: str, graph: Graph, codes: Sequence[int] | NDArray[np.int64]) -> list[str | None]:
    """The texts of answer codes [n]: the inverse of ``encode``."""
    _known(task)
    texts: list[str | None] = []
    for code in (int(c) for c in codes):
        if code == INVALID:
            texts.append(None)
        elif task == "colouring":
            texts.append(f"Group {code}")
        elif task == "matching":
            texts.append("None" if code == SINGLE else graph.names[code])
        elif task == "consensus":
            texts.append(str(code))
        else:
            texts.append("Yes" if code else "No")
    return texts


def rounds_for(task: str, graph: Graph, rule: str = "paper") -> int:
    """Number of deliveries R that a task gets on a graph.

    Args:
        task: one of TASKS.
        graph: the graph.
        rule: "paper": leader election and consensus 2 * diameter + 1; the others 4, 5, 6 for n = 4, 8, 16 (read here as
            log2(n) + 2, rounded up, so that sizes between have a value) and 2 * diameter + 1 above 16. "ample": at
            least 2n, and no less than the paper's rule; for the algorithms whose round count grows with n. "none": 0.

    Raises:
        UnknownName: no such task or rule.
    """
    _known(task)
    if rule == "none":
        return 0
    if rule not in ("paper", "ample"):
        raise UnknownName("rounds rule", rule, ("paper", "ample", "none"))
    global_task = task not in GRADED
    if global_task or graph.n > LARGEST_FIXED:
        paper = 2 * graph.diameter + 1
    else:
        paper = int(np.ceil(np.log2(graph.n))) + 2
    if rule == "paper" or global_task:
        return paper
    return max(2 * graph.n, paper)


def check_rounds(rounds: int) -> int:
    """The number itself. Raises InputError below 0."""
    if rounds < 0:
        raise InputError("rounds", rounds, "Give 0 (nobody talks) or more.")
    return rounds


def _known(task: str) -> None:
    if task not in TASKS:
        raise UnknownName("message-passing task", task, TASKS)
