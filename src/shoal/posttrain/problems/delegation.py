"""The delegation bandit: a main agent hands out subtasks until it can answer (after M-GRPO, arXiv 2511.13288).

A question needs ``h`` facts, one after the other. Main sees how many it needs and has, and each time delegates vaguely
(1 unit of the budget), delegates precisely (2 units) or answers; one more action is malformed and ends the episode. Sub
sees how it was asked and picks a query template and one to three look-ups (1 unit each); one template is malformed. A
fact comes back with a chance that depends on template and phrasing, for each look-up. The answer is right only if all
facts are there. How often Sub is called differs from rollout to rollout, by design.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from shoal.posttrain.problems.tables import Floats, Ids, Rows, Tables, TabularProblem, draw

MOST_FACTS, BUDGET, CALLS = 4, 20, 8
TEMPLATES, LOOKUPS = 6, 3
ANSWER, VAGUE, PRECISE, MALFORMED = range(4)
CHANCE = np.array([[0.35, 0.1, 0.1, 0.1, 0.1, 0.0], [0.65, 0.2, 0.1, 0.1, 0.1, 0.0]])
"""Of one look-up to find the fact, by phrasing (vague, precise) and template; the last template is malformed."""


@dataclass(frozen=True)
class Delegations:
    """Episodes of the bandit.

    Attributes:
        rows: decisions; agent 0 is main, 1 sub.
        well_formed: of each row's own trajectory: main's for its rows, the subtask's for sub's.
        found: for sub's rows, whether the fact came back; 0 for main's.
        lookups: for sub's rows, how many; 0 for main's.
        formed: whether main's trajectory was well-formed [seeds, questions, group].
        calls: of sub in each episode [seeds, questions, group].
    """

    rows: Rows
    well_formed: Floats
    found: Floats
    lookups: Floats
    formed: Floats
    calls: Floats


class Delegation(TabularProblem):
    """Main's states: facts needed and facts held; sub's: how it was asked.

    Attributes:
        easiest: least facts of a question.
        hardest: most facts.
        context: units that each delegation costs besides: 1 for a single agent whose own context fills up.
    """

    agents: ClassVar[tuple[str, ...]] = ("main", "sub")  # type: ignore[misc]
    shapes: ClassVar[dict[str, tuple[int, int]]] = {  # type: ignore[misc]
        "main": (MOST_FACTS * (MOST_FACTS + 1), 4), "sub": (2, TEMPLATES * LOOKUPS),
    }  # fmt: skip

    def __init__(self, easiest: int = 1, hardest: int = MOST_FACTS, context: int = 0) -> None:
        self.easiest, self.hardest, self.context = easiest, hardest, context

    def play(self, chances: Tables, tasks: int, group: int, rng: np.random.Generator) -> Rows:
        """Rows of episodes; their rewards are whether the answer was right."""
        return self.delegate(chances, tasks, group, rng).rows

    def delegate(self, chances: Tables, tasks: int, group: int, rng: np.random.Generator) -> Delegations:
        """Episodes of all seeds at once."""
        shape = (chances["main"].shape[0], tasks, group)
        seed = np.broadcast_to(np.arange(shape[0])[:, None, None], shape)
        task = np.broadcast_to(np.arange(shape[0] * shape[1]).reshape(*shape[:2], 1), shape)
        episode = np.arange(np.prod(shape)).reshape(shape)
        need = np.broadcast_to(rng.integers(self.easiest, self.hardest + 1, shape[:2])[..., None], shape)
        have, spent, calls = np.zeros(shape, np.int64), np.zeros(shape, np.int64), np.zeros(shape)
        active, right, formed = np.ones(shape, bool), np.zeros(shape, bool), np.ones(shape, bool)
        parts: list[tuple[Floats | Ids, ...]] = []

        def note(agent: int, on: Ids, state: Ids, action: Ids, form: Ids, found: Ids, looked: Ids) -> None:
            who = np.full(int(on.sum()), agent)
            own = (x[on] for x in (state, action, form, found, looked))
            parts.append((seed[on], task[on], episode[on], who, *own))

        nothing = np.zeros(shape, np.int64)
        for _ in range(CALLS + 1):
            state = (need - 1) * (MOST_FACTS + 1) + have
            move = draw(chances["main"][seed, state], rng.random(shape))
            note(0, active, state, move, nothing, nothing, nothing)
            formed = formed & ~(active & (move == MALFORMED))
            right = right | (active & (move == ANSWER) & (have >= need))
            asking = active & ((move == VAGUE) | (move == PRECISE))
            phrase = (move == PRECISE).astype(np.int64)
            pick = draw(chances["sub"][seed, phrase], rng.random(shape))
            template, looked = pick // LOOKUPS, pick % LOOKUPS + 1
            cost = 1 + phrase + looked + self.context
            asking = asking & (spent + cost <= BUDGET)
            luck = rng.random(shape) < 1 - (1 - CHANCE[phrase, template]) ** looked
            found = asking & luck & (have < need)
            note(1, asking, phrase, pick, (template < TEMPLATES - 1).astype(np.int64), luck.astype(np.int64), looked)
            have, spent, calls = have + found, spent + np.where(asking, cost, 0), calls + asking
            active = asking
        columns = [np.concatenate(c) for c in zip(*parts, strict=True)]
        whole = right.astype(float)
        whose, what, when, who, state, did = (c.astype(np.int64) for c in columns[:6])
        rows = Rows(whose, what, when, who, state, did, whole.ravel()[when], whole)
        main = columns[3] == 0
        form = np.where(main, formed.ravel()[columns[2]], columns[6]).astype(float)
        return Delegations(rows, form, columns[7].astype(float), columns[8].astype(float), formed.astype(float), calls)
