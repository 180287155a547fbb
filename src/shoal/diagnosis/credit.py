"""Who earned the outcome: Shapley values and difference credit of agents, by running teams without some of them.

An agent that is out keeps its seat, but a stand-in sits in it: one that says nothing, or a model of the caller's. The
worth of a coalition is the mean score of the team in which only its members are themselves. Runs share their seeds, so
that coalitions differ by their members alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from shoal.diagnosis.recording import Recording
from shoal.diagnosis.replay import Case, work
from shoal.errors import InputError
from shoal.models.interface import Completion, Model, Request
from shoal.runs.seeds import derive
from shoal.stats import Estimate, Evidence, coalitions, exact, exact_shapley
from shoal.stats import mean as mean_of
from shoal.teams.session import Session
from shoal.traces import Usage

MOST_EXACT = 8
"""Agents up to which all coalitions are run (2**8 = 256); above it, orders are sampled."""


class Silence(Model):
    """Says nothing, at no cost."""

    spec = identity = "scripted:silence"
    evidence = Evidence.SCRIPTED

    async def complete(self, request: Request) -> Completion:
        """An empty reply."""
        return Completion("", Usage(calls=1))


@dataclass(frozen=True)
class Credit:
    """One agent's part in the outcome.

    Attributes:
        agent: its name.
        shapley: mean contribution over all orders of joining (Shapley 1953), with its interval over samples.
        difference: score of the whole team minus score without this agent (difference reward).
        alone: score when only this agent is itself.
    """

    agent: str
    shapley: Estimate
    difference: Estimate
    alone: Estimate


async def credit(
    case: Case, samples: int = 8, stand_in: Model | None = None, orders: int = 50
) -> list[Credit]:  # fmt: skip
    """Credit of each agent, in the order of the team.

    Args:
        case: the run; its record is not used.
        samples: seeds for each coalition.
        stand_in: who sits in for an agent that is out; silence without it.
        orders: random orders of joining, for teams of more than MOST_EXACT agents.

    Raises:
        InputError: no agents or no samples.
    """
    count = len(case.agents)
    if not count or samples < 1:
        raise InputError("samples" if count else "agents", samples if count else 0, "Give at least 1.")
    worth = _Worth(case, samples, stand_in or Silence())
    everybody = frozenset(range(count))
    if count <= MOST_EXACT:
        scores = [await worth.of(members) for members in coalitions(range(count))]
        shapley = exact_shapley(np.stack(scores, axis=-1)).T
    else:
        shapley = await _sampled_shapley(worth, count, orders, case.seed)
    whole = await worth.of(everybody)
    credits = []
    for i, agent in enumerate(case.agents):
        without, alone = await worth.of(everybody - {i}), await worth.of({i})
        credits.append(Credit(agent.name, _interval(shapley[i]), _interval(whole - without), _interval(alone)))
    return credits


class _Worth:
    """Scores of coalitions, each run once."""

    def __init__(self, case: Case, samples: int, stand_in: Model) -> None:
        self.case = case
        self.samples = samples
        self.stand_in = stand_in
        self.known: dict[frozenset[int], NDArray[np.float64]] = {}

    async def of(self, members: Iterable[int]) -> NDArray[np.float64]:
        """Scores of a coalition [samples]."""
        coalition = frozenset(members)
        if coalition not in self.known:
            self.known[coalition] = np.array([await self._run(coalition, s) for s in range(self.samples)])
        return self.known[coalition]

    async def _run(self, coalition: frozenset[int], sample: int) -> float:
        case = self.case
        agents = [a if i in coalition else replace(a, model=self.stand_in) for i, a in enumerate(case.agents)]
        session = Session(
            case.model, case.question, trace=Recording("coalition"), seed=derive(case.seed, "credit", sample),
            temperature=case.temperature, max_tokens=case.max_tokens,
        )  # fmt: skip
        return float(case.score(await work(case, agents, session)))


async def _sampled_shapley(worth: _Worth, count: int, orders: int, seed: int) -> NDArray[np.float64]:
    """Mean marginal contributions over random orders and their reversals [players, samples]."""
    rng = np.random.default_rng(derive(seed, "orders"))
    values = np.zeros((count, worth.samples))
    for _ in range(max(1, orders // 2)):
        order = rng.permutation(count)
        for way in (order, order[::-1]):
            before, inside = await worth.of(()), list[int]()
            for player in way.tolist():
                inside.append(player)
                after = await worth.of(inside)
                values[player] += after - before
                before = after
    return values / (2 * max(1, orders // 2))


def _interval(values: Sequence[float] | NDArray[np.float64]) -> Estimate:
    listed = np.asarray(values, float)
    return mean_of(listed) if len(listed) > 1 else exact(float(listed[0]), 1)
