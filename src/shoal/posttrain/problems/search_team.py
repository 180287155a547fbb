"""Search teams after Dr. MAS (arXiv 2602.08847, section 5), small enough for tables.

``SearchTeam``: each turn the Verifier says whether enough is known; "no" lets the Search agent pick one of eight query
templates (one finds the fact four times in five, the others one time in twenty), "yes" lets the Answer agent give one
of eight replies. Only one reply is right, and only if the fact was found or the question is easy (three in ten). Who
still says "no" at the end gets nothing.

``Repair``: a Solver answers; only where it fails is a Repairer called, who mostly fails too. The rewards that the
Repairer sees are far below the team's: the case in which a common baseline goes wrong most.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from shoal.posttrain.problems.tables import Floats, Ids, Rows, Tables, TabularProblem, draw

TURNS, TEMPLATES, REPLIES = 4, 8, 8
FOUND_BY_GOOD, FOUND_BY_OTHERS, EASY = 0.8, 0.05, 0.3


class SearchTeam(TabularProblem):
    """Verifier (states: known or not, turn), Search and Answer."""

    agents: ClassVar[tuple[str, ...]] = ("verifier", "search", "answer")  # type: ignore[misc]
    shapes: ClassVar[dict[str, tuple[int, int]]] = {  # type: ignore[misc]
        "verifier": (2 * TURNS, 2), "search": (1, TEMPLATES), "answer": (2, REPLIES),
    }  # fmt: skip

    def play(self, chances: Tables, tasks: int, group: int, rng: np.random.Generator) -> Rows:
        """Episodes of all seeds at once."""
        shape = (chances["verifier"].shape[0], tasks, group)
        log = _Log(shape)
        easy = np.broadcast_to(rng.random(shape[:2])[..., None] < EASY, shape)
        known, active, outcome = np.zeros(shape, bool), np.ones(shape, bool), np.zeros(shape)
        for turn in range(TURNS):
            state = known * TURNS + turn
            enough = log.decide(0, chances["verifier"], state, active, rng) == 1
            reply = log.decide(2, chances["answer"], known.astype(np.int64), active & enough, rng)
            outcome = np.where(active & enough, (reply == 0) & (known | easy), outcome)
            seeking = active & ~enough
            query = log.decide(1, chances["search"], np.zeros(shape, np.int64), seeking, rng)
            luck = rng.random(shape) < np.where(query == 0, FOUND_BY_GOOD, FOUND_BY_OTHERS)
            known, active = known | (seeking & luck), seeking
        return log.rows(outcome)


class Repair(TabularProblem):
    """Solver, and a Repairer that is called where it failed."""

    agents: ClassVar[tuple[str, ...]] = ("solver", "repairer")  # type: ignore[misc]
    shapes: ClassVar[dict[str, tuple[int, int]]] = {"solver": (1, REPLIES), "repairer": (1, REPLIES)}  # type: ignore[misc]

    def play(self, chances: Tables, tasks: int, group: int, rng: np.random.Generator) -> Rows:
        """Episodes of all seeds at once."""
        shape = (chances["solver"].shape[0], tasks, group)
        log, nothing = _Log(shape), np.zeros(shape, np.int64)
        solved = log.decide(0, chances["solver"], nothing, np.ones(shape, bool), rng) == 0
        solved = solved & (rng.random(shape) < 0.9)
        pick = log.decide(1, chances["repairer"], nothing, ~solved, rng)
        mended = ~solved & (rng.random(shape) < np.where(pick == 0, 0.3, 0.02))
        return log.rows((solved | mended).astype(float))


class _Log:
    """Collects decisions of episodes [seeds, tasks, group]."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self._seed = np.broadcast_to(np.arange(shape[0])[:, None, None], shape)
        self._task = np.broadcast_to(np.arange(shape[0] * shape[1]).reshape(*shape[:2], 1), shape)
        self._trajectory = np.arange(np.prod(shape)).reshape(shape)
        self._parts: list[tuple[Ids, ...]] = []

    def decide(self, agent: int, chance: Floats, state: Ids, acting: Ids, rng: np.random.Generator) -> Ids:
        """An action for every episode; those in which the agent acts are noted."""
        action = draw(chance[self._seed, state], rng.random(self._seed.shape))
        on = np.asarray(acting, bool)
        who = np.full(int(on.sum()), agent)
        self._parts.append((self._seed[on], self._task[on], self._trajectory[on], who, state[on], action[on]))
        return action

    def rows(self, outcome: Floats) -> Rows:
        """All that was noted, with the outcome of its episode."""
        seed, task, trajectory, agent, state, action = (np.concatenate(c) for c in zip(*self._parts, strict=True))
        return Rows(seed, task, trajectory, agent, state, action, outcome.ravel()[trajectory].astype(float), outcome)
