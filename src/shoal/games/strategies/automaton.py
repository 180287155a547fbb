"""Strategies of iterated two-action games as finite-state machines: stated once, played, simulated and solved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoal.games.game import require

COOPERATE, DEFECT = 0, 1
"""Action 0 of a dilemma is the cooperative one."""


@dataclass(frozen=True, eq=False)
class Automaton:
    """A machine that plays: each state has a chance to cooperate, and what both did leads to the next one.

    Attributes:
        name: short name.
        cooperates: chance of action 0 in each state [states].
        follows: next state [states, own action, other's action], after actions as carried out.
    """

    name: str
    cooperates: NDArray[np.float64]
    follows: NDArray[np.int32]

    @property
    def deterministic(self) -> bool:
        """Whether no state is undecided."""
        return bool(np.isin(self.cooperates, (0.0, 1.0)).all())

    @property
    def states(self) -> int:
        """Number of states; the first is the start."""
        return int(self.cooperates.size)


def machine(name: str, cooperates: Sequence[float], follows: object) -> Automaton:
    """A checked machine. Raises InputError for chances outside [0, 1] or states that do not exist."""
    p, to = np.asarray(cooperates, float), np.asarray(follows, np.int32)
    require(f"strategy {name}", cooperates, bool(((p >= 0) & (p <= 1)).all()), "Chances lie between 0 and 1.")
    require(f"strategy {name}", to.shape, to.shape == (p.size, 2, 2), f"Give {p.size} x 2 x 2 next states.")
    require(f"strategy {name}", follows, bool(((to >= 0) & (to < p.size)).all()), f"States are 0 to {p.size - 1}.")
    return Automaton(name, p, to)


def memory_one(name: str, first: float, cc: float, cd: float, dc: float, dd: float) -> Automaton:
    """Cooperates with a chance that depends on the last round: (own, other's) = CC, CD, DC, DD."""
    return machine(name, [first, cc, cd, dc, dd], [[[1, 2], [3, 4]]] * 5)


def looking_back(name: str, depth: int, rule: Callable[[tuple[int, ...]], float]) -> Automaton:
    """Decides by the other's last ``depth`` actions, oldest first; before the game it is taken to have cooperated."""
    pasts = [tuple((k >> b) & 1 for b in reversed(range(depth))) for k in range(2**depth)]
    follows = [[[(k << 1 & (2**depth - 1)) | other for other in (0, 1)]] * 2 for k in range(2**depth)]
    return machine(name, [rule(past) for past in pasts], follows)


def cycle(name: str, actions: Sequence[int]) -> Automaton:
    """Plays a fixed sequence again and again, whatever happens."""
    n = len(actions)
    return machine(name, [1.0 - a for a in actions], [[[(k + 1) % n] * 2] * 2 for k in range(n)])


def counter(name: str, most: int, rule: Callable[[int], float]) -> Automaton:
    """Decides by how many more times the other cooperated than defected, counted exactly up to ``most`` either way."""
    # The start is the count 0; the states after it are 1, -1, 2, -2, ...
    counts = [0, *(sign * k for k in range(1, most + 1) for sign in (1, -1))]
    place = {c: k for k, c in enumerate(counts)}
    follows = [[[place[min(most, c + 1)], place[max(-most, c - 1)]]] * 2 for c in counts]
    return machine(name, [rule(c) for c in counts], follows)
