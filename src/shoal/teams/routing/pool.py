"""A simulated pool of unequal agents, in numpy, for all seeds at once (Symphony-Coord, experiment 2).

Departures from the released script, both of which change its results: profiles are never edited in place (there, the
shock damaged the agents of every policy run later), and all policies meet the same hardness, success and latency draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError, UnknownName
from shoal.teams.routing import beacon

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

NOBODY = -1
"""Stands for the chosen agent of a step that failed because its agent could not be used."""


@dataclass(frozen=True)
class Profiles:
    """What the agents are. Arrays are per agent [A] or per difficulty and agent [2, A], simple first.

    Attributes:
        names: of the agents.
        cost: price of a call; the dearest is 1 in the paper's pool.
        latency_ms: latency without load.
        competence: probability of success without load.
        match: advertised fit, which is all that the screen and the features are told about competence.
    """

    names: tuple[str, ...]
    cost: Floats
    latency_ms: Floats
    competence: Floats
    match: Floats

    @property
    def strongest(self) -> int:
        """The agent with the best competence on hard tasks; known in hindsight only."""
        return int(np.argmax(self.competence[1]))


def paper_pool() -> Profiles:
    """The five agents of experiment 2; new arrays at each call."""
    return Profiles(
        names=("A", "B", "C", "D", "E"),
        cost=np.array([1.00, 0.10, 0.35, 0.22, 0.60]),
        latency_ms=np.array([900.0, 350.0, 550.0, 420.0, 780.0]),
        competence=np.array([[0.99, 0.88, 0.92, 0.90, 0.95], [0.99, 0.18, 0.65, 0.45, 0.85]]),
        match=np.array([[0.80, 0.95, 0.75, 0.85, 0.60], [0.95, 0.20, 0.75, 0.55, 0.90]]),
    )


SHOCKS = ("none", "unavailable", "degraded", "degraded-silent")
"""``degraded`` also lowers what A advertises, which tells a greedy matcher; ``degraded-silent`` does not."""


def shocked(profiles: Profiles, shock: str) -> Profiles:
    """The pool after a shock, as a copy; the given one stays as it was. Raises UnknownName."""
    if shock not in SHOCKS:
        raise UnknownName("shock", shock, SHOCKS)
    competence, match, latency = profiles.competence.copy(), profiles.match.copy(), profiles.latency_ms.copy()
    if shock == "unavailable":
        competence[:, 0] = 0.0  # still listed and still chosen, but every call fails, at twice the latency
        latency[0] *= 2.0
        competence[1] *= [1.0, 1.0, 0.50, 0.60, 0.30]
    elif shock != "none":
        competence[0, 0] *= 0.6
        competence[1] *= [0.2, 1.0, 0.60, 1.0, 0.40]
        if shock == "degraded":
            match[1, 0] *= 0.7
    return replace(profiles, competence=competence, match=match, latency_ms=latency)


@dataclass(frozen=True)
class Draws:
    """All chance of a simulation, drawn before any policy acts, so that policies share it.

    Attributes:
        hard: whether a task is hard [S, T].
        success: uniforms [S, T, A]; agent j succeeds at t where its uniform is below its probability.
        latency: standard normals [S, T, A].
        choice: uniforms for policies that choose at random [S, T].
        requester: who asks [S, T], in 0..R-1.
    """

    hard: Flags
    success: Floats
    latency: Floats
    choice: Floats
    requester: Integers

    @property
    def shape(self) -> tuple[int, int]:
        """Seeds and tasks."""
        return self.hard.shape[0], self.hard.shape[1]


def draw(
    generators: Sequence[np.random.Generator], tasks: int, agents: int, hard_share: float = 0.7, requesters: int = 4
) -> Draws:
    """One seed's draws from each generator.

    Raises:
        InputError: no task.
    """
    if tasks < 1:
        raise InputError("tasks", tasks, "Give at least one task.")
    parts = [
        (
            g.random(tasks) < hard_share,
            g.random((tasks, agents)),
            g.standard_normal((tasks, agents)),
            g.random(tasks),
            g.integers(0, requesters, tasks),
        )
        for g in generators
    ]
    hard, success, latency, choice, requester = (np.stack(column) for column in zip(*parts, strict=True))
    return Draws(hard, success, latency, choice, requester)


@dataclass(frozen=True)
class View:
    """What a policy may use at one step; arrays over seeds S and agents A.

    Attributes:
        step: index of the task.
        hard: [S], the task's advertised difficulty bin.
        match: advertised similarity [S, A].
        load: [S, A], in [0, 1].
        latency_ms: moving averages [S, A].
        reputation: moving averages of success [S, A].
        prior: success by bucket where it was learned, else the reputation [S, A].
        available: [S, A].
        choice: this step's uniform for random policies [S].
        requester: [S].
        truth: the agents' probabilities of success now [S, A]; for the oracle alone.
    """

    step: int
    hard: Flags
    match: Floats
    load: Floats
    latency_ms: Floats
    reputation: Floats
    prior: Floats
    available: Flags
    choice: Floats
    requester: Integers
    truth: Floats


class Policy(Protocol):
    """Chooses one agent per seed and step, and may learn from what came of it."""

    def choose(self, view: View) -> Integers:
        """Agents [S]; NOBODY where it can use none."""
        ...

    def learn(self, view: View, chosen: Integers, reward: Floats) -> None:
        """The rewards [S] of the last choice."""
        ...


@dataclass(frozen=True)
class Reward:
    """r = 1[success] - cost_weight*cost/dearest - latency_weight*latency/p95, clipped to [-1, 1].

    Attributes:
        cost_weight: at least 0.
        latency_weight: at least 0.
        latency_p95_ms: latency that counts as 1.
    """

    cost_weight: float = 0.0
    latency_weight: float = 0.0
    latency_p95_ms: float = 1500.0

    def of(self, success: Flags, cost_norm: Floats, latency_ms: Floats) -> Floats:
        """Rewards, any one shape."""
        slow = np.clip(latency_ms / self.latency_p95_ms, 0.0, 1.0)
        reward = success - self.cost_weight * cost_norm - self.latency_weight * slow
        return np.asarray(np.clip(reward, -1.0, 1.0))


@dataclass(frozen=True)
class Trajectory:
    """What happened; arrays [S, T].

    Attributes:
        chosen: agents, NOBODY for a step without one.
        success: whether the task was done.
        cost: paid.
        latency_ms: of the call, 0 without one.
        best: the best probability of success that any available agent had.
        expected: the chosen agent's probability of success.
    """

    chosen: Integers
    success: Flags
    cost: Floats
    latency_ms: Floats
    best: Floats
    expected: Floats


class Pool:
    """The agents' changing state [S, A], and the rules by which calls change it."""

    def __init__(self, profiles: Profiles, seeds: int, priors: Floats | None = None) -> None:
        agents = len(profiles.names)
        self.profiles = profiles
        self.load = np.zeros((seeds, agents))
        self.latency_ms = np.tile(profiles.latency_ms, (seeds, 1))
        self.reputation = np.full((seeds, agents), beacon.UNKNOWN)
        self.priors = priors
        self._rows = np.arange(seeds)

    def rest(self) -> None:
        """One task goes by: loads fade."""
        self.load *= beacon.LOAD_DECAY

    def view(self, draws: Draws, step: int) -> View:
        """What the policies see at this step."""
        hard = draws.hard[:, step]
        level = hard.astype(int)
        truth = self.profiles.competence[level] * (1.0 - 0.05 * self.load)
        return View(
            step=step,
            hard=hard,
            match=self.profiles.match[level],
            load=self.load.copy(),
            latency_ms=self.latency_ms.copy(),
            reputation=self.reputation.copy(),
            prior=self.reputation.copy() if self.priors is None else self.priors[self._rows, level],
            available=self.load < beacon.LOAD_FULL,
            choice=draws.choice[:, step],
            requester=draws.requester[:, step],
            truth=truth,
        )

    def execute(self, view: View, chosen: Integers, draws: Draws) -> tuple[Flags, Floats]:
        """Carry out the choices: success [S] and latency in ms [S]; a seed that chose NOBODY fails at no latency."""
        acts = chosen != NOBODY
        rows, who = self._rows[acts], chosen[acts]
        mean = self.profiles.latency_ms[who] * (1.0 + 1.2 * self.load[rows, who])
        took = np.maximum(10.0, mean * (1.0 + 0.08 * draws.latency[rows, view.step, who]))
        ok = draws.success[rows, view.step, who] < view.truth[rows, who]
        self.load[rows, who] = np.minimum(1.0, self.load[rows, who] + beacon.LOAD_STEP)
        self.latency_ms[rows, who] += beacon.LATENCY_RATE * (took - self.latency_ms[rows, who])
        self.reputation[rows, who] += beacon.REPUTATION_RATE * (ok - self.reputation[rows, who])
        success, latency = np.zeros(acts.size, bool), np.zeros(acts.size)
        success[rows], latency[rows] = ok, took
        return success, latency


def simulate(
    policy: Policy,
    draws: Draws,
    profiles: Profiles,
    *,
    shock: str = "none",
    shock_at: int | None = None,
    reward: Reward | None = None,
    priors: Floats | None = None,
) -> Trajectory:
    """Run one policy over all seeds.

    Args:
        policy: a fresh one; it keeps what it learned.
        draws: shared by all policies that are compared.
        profiles: the pool before the shock; not changed.
        shock: one of SHOCKS.
        shock_at: the first task after the shock; None for no shock.
        reward: what the policy is told; success alone if None.
        priors: success by bucket [S, 2, A]; None lets the reputation stand in for it.
    """
    seeds, tasks = draws.shape
    reward = reward or Reward()
    pool = Pool(profiles, seeds, priors)
    after = shocked(profiles, shock)
    log = Trajectory(
        np.full((seeds, tasks), NOBODY), np.zeros((seeds, tasks), bool), *(np.zeros((seeds, tasks)) for _ in range(4))
    )
    rows = np.arange(seeds)
    dearest = float(profiles.cost.max())
    for step in range(tasks):
        if step == shock_at:
            pool.profiles = after
        pool.rest()
        view = pool.view(draws, step)
        chosen = policy.choose(view)
        success, latency = pool.execute(view, chosen, draws)
        acts = chosen != NOBODY
        cost = np.where(acts, pool.profiles.cost[chosen], 0.0)
        policy.learn(view, chosen, np.where(acts, reward.of(success, cost / dearest, latency), np.nan))
        log.chosen[:, step], log.success[:, step] = chosen, success
        log.cost[:, step], log.latency_ms[:, step] = cost, latency
        log.best[:, step] = np.where(view.available, view.truth, 0.0).max(axis=1)
        log.expected[:, step] = np.where(acts, view.truth[rows, chosen], 0.0)
    return log
