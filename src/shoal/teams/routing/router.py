"""The router of a live team: beacon, screen, LinUCB, feedback. It knows questions and rewards, never answers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from shoal.errors import InputError
from shoal.teams.routing import beacon
from shoal.teams.routing.beacon import AgentState, Bid, Candidate, NoAgentAvailable, Priors, SubTask
from shoal.teams.routing.linucb import LinUCB, Radius

Phase = Literal["cold", "learn", "test"]
PHASES: tuple[Phase, ...] = ("cold", "learn", "test")


@dataclass(frozen=True, slots=True)
class RouterSettings:
    """How a router decides and what it is told.

    Attributes:
        screened: L, how many agents the screen keeps, at least 1; the whole pool if that is smaller.
        samples: n_cot, answers per sub-task, at least 1.
        spread: ask different agents for the answers of a sub-task; False samples the one chosen agent.
        radius: LinUCB's confidence radius.
        discount: factor on past evidence at each update, in (0, 1].
        identity: one-hot of the agent among the features.
        explore_in_test: keep the confidence bonus in the test phase. Without updates it never shrinks, so that the
            router would stay with whatever it knows least; off is a departure from the code.
        winner_bonus: reward of the steps of a winning chain.
        latency_weight: weight of sqrt(latency_norm) in agreement rewards.
        cost_weight: weight of the cost norm where rewards come from the truth.
        prior_strength: pseudo-observations of 0.5 in the priors.
        cold_priors: file the cold phase's rewards as prior successes, as in the paper, although a well-formed answer
            need not be a right one.
        load_step: share of an agent's capacity that one call takes. The simulator's 0.30 models one call per task; a
            team makes K * n_cot calls per question, and endpoints serve many at once.
    """

    screened: int = 3
    samples: int = 3
    spread: bool = True
    radius: Radius = field(default_factory=Radius)
    discount: float = 1.0
    identity: bool = False
    explore_in_test: bool = False
    winner_bonus: float = 0.5
    latency_weight: float = 0.2
    cost_weight: float = 0.0
    prior_strength: float = 2.0
    cold_priors: bool = True
    load_step: float = 0.01

    def __post_init__(self) -> None:
        for name in ("screened", "samples"):
            if getattr(self, name) < 1:
                raise InputError(name, getattr(self, name), "Give a whole number of at least 1.")


class Router:
    """Routes sub-tasks among candidates and learns from rewards.

    Args:
        candidates: the pool, in a fixed order; names are distinct.
        settings: see RouterSettings.
    """

    def __init__(self, candidates: Sequence[Candidate], settings: RouterSettings | None = None) -> None:
        names = [c.name for c in candidates]
        if not names or len(set(names)) < len(names):
            raise InputError("agents", names, "Give at least one agent, each with a name of its own.")
        self.candidates = list(candidates)
        self.settings = settings or RouterSettings()
        self.states = [AgentState() for _ in candidates]
        self.priors = Priors(self.settings.prior_strength)
        dimensions = len(beacon.FEATURES) + (len(names) if self.settings.identity else 0)
        self.selector = LinUCB(dimensions, self.settings.radius, self.settings.discount)
        self._dearest = max(max(c.cost for c in candidates), 1e-9)

    def rest(self) -> None:
        """A task goes by: every load fades."""
        for state in self.states:
            state.rest()

    def bids(self, task: SubTask, similarity: Sequence[float] | None = None) -> list[Bid]:
        """All agents' answers to a beacon, in pool order.

        Args:
            task: what is to be done.
            similarity: fit of the task's text to each agent's capability text [agents], clipped to [0, 1]; 0.5 where
                it is unknown (None).
        """
        agents = range(len(self.candidates))
        fit = [beacon.UNKNOWN if similarity is None else min(1.0, max(0.0, float(similarity[i]))) for i in agents]
        prior = [self.priors.get(c.name, task.bucket) for c in self.candidates]
        load = [s.load for s in self.states]
        latency = [s.latency_ms for s in self.states]
        ready = [s.available for s in self.states]
        scores = beacon.screen_score(fit, prior, beacon.stability(load, latency, ready))
        x = beacon.features(fit, load, latency, prior, ready, self.settings.identity)
        return [Bid(i, self.candidates[i].name, float(scores[i]), x[i], ready[i]) for i in agents]

    def choose(
        self, bids: Sequence[Bid], phase: Phase = "learn", used: Collection[str] = (), now: Collection[str] = ()
    ) -> Bid:
        """Screen the bids and take the one with the highest bound; its load goes up.

        Args:
            bids: answers to the beacon.
            phase: see ``explore_in_test``.
            used: agents that other chains used for this sub-task; others are preferred.
            now: agents that this very step has asked already; preferred only to nobody.

        Raises:
            NoAgentAvailable: nobody can take the work.
        """
        kept = beacon.screen(bids, self.settings.screened)
        others = [bid for bid in kept if bid.name not in now]
        fresh = [bid for bid in others if bid.name not in used] or others or kept
        return self.take(fresh[self._best(fresh, greedy=phase == "test" and not self.settings.explore_in_test)])

    def take(self, bid: Bid) -> Bid:
        """Give the bidder work: its load goes up. Returns the bid."""
        self.states[bid.agent].pick(self.settings.load_step)
        return bid

    def _best(self, fresh: Sequence[Bid], greedy: bool) -> int:
        x = [bid.features for bid in fresh]
        if not greedy:
            return self.selector.select(x)
        theta = self.selector.theta
        return max(range(len(fresh)), key=lambda i: float(x[i] @ theta))

    def observe(self, bid: Bid, worked: bool, latency_ms: float) -> None:
        """A call ended: latency and reputation of its agent follow."""
        self.states[bid.agent].observe(float(worked), latency_ms)

    def learn(self, bid: Bid, task: SubTask, reward: float, success: float | None = None) -> bool:
        """One delayed reward for one bid; also files the success in [0, 1] under the task's bucket, where known.

        Returns False for a reward that is not a number: it is dropped.
        """
        if not self.selector.update(bid.features, reward):
            return False
        if success is not None:
            self.priors.observe(bid.name, task.bucket, success)
        return True

    def cost_norm(self, bid: Bid) -> float:
        """The bid's cost over the dearest agent's."""
        return self.candidates[bid.agent].cost / self._dearest


class ChanceRouter(Router):
    """The baseline that knows nothing: any available agent, at random or in turn, without a screen.

    Args:
        candidates: the pool.
        settings: as for a router, so that calls are equal.
        rng: picks; None deals the work out in turn.
    """

    def __init__(
        self, candidates: Sequence[Candidate], settings: RouterSettings, rng: np.random.Generator | None = None
    ) -> None:
        super().__init__(candidates, settings)
        self._rng = rng
        self._next = 0

    def choose(
        self, bids: Sequence[Bid], phase: Phase = "learn", used: Collection[str] = (), now: Collection[str] = ()
    ) -> Bid:
        """Any available agent, with the same preference for unused ones."""
        ready = [bid for bid in bids if bid.available]
        if not ready:
            raise NoAgentAvailable(f"none of the {len(bids)} agents is available")
        others = [bid for bid in ready if bid.name not in now]
        fresh = [bid for bid in others if bid.name not in used] or others or ready
        index = self._next if self._rng is None else int(self._rng.integers(len(fresh)))
        self._next += 1
        return self.take(fresh[index % len(fresh)])
