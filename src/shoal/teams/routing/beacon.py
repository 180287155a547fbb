"""The beacon: agents say how well they fit, a cheap screen keeps the best few, and features describe them.

Symphony-Coord (arXiv 2602.00966), stage 1 and the features of stage 2. Every function takes numbers or arrays of any
shape, so that the live router and the batched simulator share one set of formulas.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.errors import InputError, ShoalError

LATENCY_SCALE_MS = 2000.0
"""Latency that counts as 1."""

UNKNOWN = 0.5
"""What an unknown similarity or prior is taken for."""

LOAD_DECAY, LOAD_STEP, LOAD_FULL = 0.88, 0.30, 0.95
LATENCY_RATE, REPUTATION_RATE = 0.20, 0.05
FEATURES = ("one", "similarity", "load", "latency", "prior success", "available")

Floats = NDArray[np.float64]


class NoAgentAvailable(ShoalError):
    """Every agent of the pool is unavailable; the step fails."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An agent as the router knows it.

    Attributes:
        name: unique in its pool.
        capability: what it says it can do; compared with the sub-task's text.
        cost: price of a call, in any one unit for the whole pool; at least 0.
    """

    name: str
    capability: str = ""
    cost: float = 1.0


@dataclass(frozen=True, slots=True)
class SubTask:
    """A piece of work to be routed.

    Attributes:
        requirement: what is to be done, in words.
        benchmark: kind of task, first half of the bucket.
        difficulty: difficulty bin, second half of the bucket.
    """

    requirement: str
    benchmark: str = ""
    difficulty: str = "unknown"

    @property
    def bucket(self) -> str:
        """Key of the priors: ``benchmark|difficulty``."""
        return f"{self.benchmark}|{self.difficulty or 'unknown'}"


@dataclass
class AgentState:
    """What changes about an agent.

    Attributes:
        load: share of its capacity in use, in [0, 1].
        latency_ms: moving average of its latency in milliseconds.
        reputation: moving average of its rewards or successes, in [0, 1].
        reachable: false for an agent that was taken out of service.
    """

    load: float = 0.0
    latency_ms: float = 500.0
    reputation: float = UNKNOWN
    reachable: bool = True

    @property
    def available(self) -> bool:
        """Whether it can take work now."""
        return self.reachable and self.load < LOAD_FULL

    def rest(self) -> None:
        """One task goes by: the load fades."""
        self.load *= LOAD_DECAY

    def pick(self, step: float = LOAD_STEP) -> None:
        """It was given work that takes ``step`` of its capacity."""
        self.load = min(1.0, self.load + step)

    def observe(self, success: float, latency_ms: float) -> None:
        """One call ended, with a success in [0, 1] and a latency in milliseconds."""
        self.reputation += REPUTATION_RATE * (success - self.reputation)
        self.latency_ms += LATENCY_RATE * (latency_ms - self.latency_ms)


@dataclass(frozen=True, slots=True)
class Bid:
    """An agent's answer to a beacon.

    Attributes:
        agent: its position in the pool.
        name: its name.
        score: the screen's score, in [0, 1].
        features: what the bandit sees [d].
        available: whether it can take the work.
    """

    agent: int
    name: str
    score: float
    features: Floats
    available: bool


@dataclass
class Priors:
    """Success so far, by agent and bucket: a mean of what was observed, shrunk to 0.5 by a number of pseudo-counts.

    Attributes:
        strength: pseudo-observations of 0.5 that an average starts with; 0 is the plain mean.
    """

    strength: float = 0.0
    _sums: dict[tuple[str, str], float] = field(default_factory=dict)
    _counts: dict[tuple[str, str], int] = field(default_factory=dict)

    def observe(self, agent: str, bucket: str, value: float) -> None:
        """File one observation in [0, 1]; values outside are clipped."""
        key = (agent, bucket)
        self._sums[key] = self._sums.get(key, 0.0) + min(1.0, max(0.0, value))
        self._counts[key] = self._counts.get(key, 0) + 1

    def get(self, agent: str, bucket: str) -> float:
        """The prior success, 0.5 where nothing is known."""
        key = (agent, bucket)
        count = self._counts.get(key, 0) + self.strength
        if count == 0:
            return UNKNOWN
        return (self._sums.get(key, 0.0) + UNKNOWN * self.strength) / count


def latency_norm(latency_ms: ArrayLike) -> Floats:
    """Latency over 2,000 ms, clipped to [0, 1]."""
    return np.clip(np.asarray(latency_ms, float) / LATENCY_SCALE_MS, 0.0, 1.0)


def stability(load: ArrayLike, latency_ms: ArrayLike, available: ArrayLike) -> Floats:
    """0.4*(1-load) + 0.4*(1-latency_norm) + 0.2*available, in [0, 1]."""
    return np.asarray(
        0.4 * (1.0 - np.asarray(load, float)) + 0.4 * (1.0 - latency_norm(latency_ms)) + 0.2 * np.asarray(available)
    )


def screen_score(similarity: ArrayLike, prior: ArrayLike, stable: ArrayLike) -> Floats:
    """The screen's score: 0.5*similarity + 0.35*prior + 0.15*stability."""
    return np.asarray(
        0.5 * np.asarray(similarity, float) + 0.35 * np.asarray(prior, float) + 0.15 * np.asarray(stable, float)
    )


def screen(bids: Sequence[Bid], keep: int) -> list[Bid]:
    """The ``keep`` best distinct available agents, best first, the earlier one among equals; all if there are fewer.

    Raises:
        InputError: ``keep`` is below 1.
        NoAgentAvailable: nobody can take the work.
    """
    if keep < 1:
        raise InputError("screened", keep, "Keep at least one agent.")
    distinct = {bid.name: bid for bid in reversed(bids) if bid.available}
    ready = sorted(distinct.values(), key=lambda bid: (-bid.score, bid.agent))
    if not ready:
        raise NoAgentAvailable(f"none of the {len(bids)} agents is available")
    return ready[:keep]


def features(
    similarity: ArrayLike,
    load: ArrayLike,
    latency_ms: ArrayLike,
    prior: ArrayLike,
    available: ArrayLike,
    identity: bool = False,
) -> Floats:
    """Feature vectors [..., agents, d] from arrays [..., agents]; d = 6, or 6 + agents with ``identity``.

    [1, similarity, load, latency_norm, prior, available], divided by its norm where that is above 1, which it always
    is but for rounding. ``identity`` appends a one-hot of the agent, without which two agents of equal state are one
    arm.
    """
    columns = np.broadcast_arrays(
        1.0, np.asarray(similarity, float), np.asarray(load, float), latency_norm(latency_ms), prior, available
    )
    x = np.stack([np.asarray(c, float) for c in columns], axis=-1)
    if identity:
        agents = x.shape[-2]
        one_hot = np.broadcast_to(np.eye(agents), (*x.shape[:-1], agents))
        x = np.concatenate([x, one_hot], axis=-1)
    norm = np.linalg.norm(x, axis=-1, keepdims=True)
    return np.asarray(x / np.maximum(norm, 1.0))


def bid_record(bid: Bid) -> Mapping[str, object]:
    """A bid as plain values, for the beacon log."""
    return {
        "agent": bid.name,
        "score": round(bid.score, 6),
        "available": bid.available,
        "features": [round(float(v), 6) for v in bid.features],
    }
