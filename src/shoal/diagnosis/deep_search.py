"""Made-up deep-search runs with a known cause: usage edges, one planted fault, errors that pass on, and a noisy judge.

Step 6 of GraphTracer's page without a model: a step of a successful run is corrupted, the corruption is handed on along
usage edges, and runs that now fail are kept with their label, the step and the way to the failure. Beside the artefacts
that later steps use there are as many that nobody uses; some of these are wrong too and mislead whoever reads in
order of time. A judge sees how wrong each step looks, with a set area under its ROC curve.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from shoal.diagnosis.incident import Incident
from shoal.diagnosis.information import impact, ways
from shoal.diagnosis.usage import UsageEdge, UsageGraph
from shoal.runs.seeds import derive

Planting = Literal["uniform", "impact"]
Sees = Literal["errors", "faults"]
Bools = NDArray[np.bool_]
HIGH_IMPACT = 0.25
"""Share of artefacts, those of greatest Impact, that a graph-aware fault is planted in."""

USUAL_SHARE: dict[Sees, float] = {"errors": 0.35, "faults": 0.12}
"""Mean share of steps that a judge of each kind has reason to suspect, in runs of the standard world."""


@dataclass(frozen=True)
class SearchWorld:
    """What made-up runs are like.

    Attributes:
        agents: number of agents.
        shortest: fewest steps.
        longest: most steps.
        used: share of steps that later steps use.
        sources: share of steps that use nothing (search results).
        parents: mean number of artefacts that any other step uses.
        passes: chance that a wrong artefact makes a step that uses it wrong.
        slips: share of unused steps that are wrong on their own.
        planting: where the fault goes: into any artefact, or into one of high Impact.
    """

    agents: int = 4
    shortest: int = 20
    longest: int = 80
    used: float = 0.5
    sources: float = 0.25
    parents: float = 3.2
    passes: float = 0.9
    slips: float = 0.2
    planting: Planting = "uniform"


@dataclass(frozen=True)
class SearchRun:
    """A failed run and its cause.

    Attributes:
        agents: who spoke at each step [steps].
        graph: who used what, the truth.
        passing: which edges hand an error on, in the order of ``graph.edges`` [edges].
        root: the step that the fault was planted in.
        slips: steps that are wrong on their own and used by nobody [steps].
    """

    agents: tuple[str, ...]
    graph: UsageGraph
    passing: Bools
    root: int
    slips: Bools

    @property
    def terminal(self) -> int:
        """The step that the answer is taken from: the last."""
        return self.graph.size - 1

    @cached_property
    def wrong(self) -> Bools:
        """Whether each step is wrong, by fault, by inheritance or by a slip [steps]."""
        return self._spread(None)

    @cached_property
    def faulty(self) -> Bools:
        """Whether each step is wrong through its own fault: the root and the slips [steps]."""
        own = self.slips.copy()
        own[self.root] = True
        return own

    @cached_property
    def path(self) -> list[int]:
        """The way with the fewest edges on which the error went from the root to the terminal."""
        handed_on = [e for e, passes in zip(self.graph.edges, self.passing, strict=True) if passes]
        return ways(UsageGraph(self.graph.size, handed_on), self.terminal)[self.root]

    def mended_by(self, step: int) -> bool:
        """The counterfactual: whether the run would have succeeded, had that step been right."""
        return not self._spread(step)[self.terminal]

    def _spread(self, corrected: int | None) -> Bools:
        wrong = self.faulty.copy()
        if corrected is not None:
            wrong[corrected] = False
        for edge, passes in zip(self.graph.edges, self.passing, strict=True):  # sorted by target, so in order of time
            if passes and wrong[edge.source] and edge.target != corrected:
                wrong[edge.target] = True
        return wrong


def search_runs(world: SearchWorld, count: int, seed: int) -> Iterator[SearchRun]:
    """That many failed runs; each has a seed of its own, so that any prefix of them stays the same."""
    for number in range(count):
        rng = np.random.default_rng(derive(seed, "search run", number))
        while (run := _search_run(world, rng)) is None:
            pass
        yield run


def suspicions(run: SearchRun, auc: float, seed: int, sees: Sees = "errors") -> NDArray[np.float64]:
    """q(v) of a noisy judge [steps]: how surely it takes each step for wrong.

    It sees a normal score, shifted where there is something to see so that the area under the curve is ``auc``, and
    turns it into a probability by Bayes' rule with the usual share of such steps, not with this run's.

    Args:
        run: what is judged.
        auc: how well the judge tells such steps from others, above 0.5 and below 1.
        seed: of its noise.
        sees: wrong content, inherited or not ("errors"), or own faults only, symptoms looking clean ("faults").
    """
    from scipy.stats import norm

    truth = run.wrong if sees == "errors" else run.faulty
    shift = float(np.sqrt(2.0) * norm.ppf(auc))
    seen = np.random.default_rng(seed).normal(size=run.graph.size) + shift * truth
    odds = shift * seen - shift**2 / 2 + np.log(USUAL_SHARE[sees] / (1 - USUAL_SHARE[sees]))
    found: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-odds))
    return found


def incident(run: SearchRun, auc: float, seed: int, sees: Sees = "errors") -> Incident:
    """What attribution methods get of a run: its true usage edges and the judge's suspicions."""
    return Incident(run.agents, suspicions(run, auc, derive(seed, "judge"), sees), run.graph, run.terminal, seed)


def _search_run(world: SearchWorld, rng: np.random.Generator) -> SearchRun | None:
    """One run with a fault in it; None where it succeeds all the same."""
    steps = int(rng.integers(world.shortest, world.longest + 1))
    talk = rng.dirichlet(np.full(world.agents, 4.0))
    agents = tuple(f"agent-{a + 1}" for a in rng.choice(world.agents, steps, p=talk))
    used = rng.random(steps) < world.used
    used[[0, -1]] = True
    graph = UsageGraph(steps, _edges(world, used, rng))
    passing = rng.random(len(graph.edges)) < world.passes
    candidates = np.flatnonzero(used)[:-1]  # every artefact leads to the terminal
    if world.planting == "impact":
        most = max(1, round(HIGH_IMPACT * candidates.size))
        candidates = candidates[np.argsort(-impact(graph)[candidates], kind="stable")[:most]]
    slips = ~used & (rng.random(steps) < world.slips)
    run = SearchRun(agents, graph, passing, int(rng.choice(candidates)), slips)
    return run if run.wrong[run.terminal] else None


def _edges(world: SearchWorld, used: Bools, rng: np.random.Generator) -> list[UsageEdge]:
    """Random usage of earlier artefacts; one that nobody has used by the end is used by a later one."""
    pairs: set[tuple[int, int]] = set()
    for step in range(1, used.size):
        before = np.flatnonzero(used[:step])
        last = step == used.size - 1
        if last or rng.random() >= world.sources:
            many = min(before.size, 1 + int(rng.poisson(world.parents - 1)))
            pairs |= {(int(s), step) for s in rng.choice(before, many, replace=False)}
    artefacts = np.flatnonzero(used)
    sources = {s for s, t in pairs if used[t]}
    pairs |= {(int(s), int(rng.choice(artefacts[artefacts > s]))) for s in artefacts[:-1] if s not in sources}
    return [UsageEdge(s, t, "declared", 1.0) for s, t in sorted(pairs)]
