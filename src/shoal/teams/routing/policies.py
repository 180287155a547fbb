"""Routing policies for the simulated pool: rules, chance, an oracle, and LinUCB in its variants."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from shoal.errors import UnknownName
from shoal.teams.routing import beacon
from shoal.teams.routing.linucb import BatchedLinUCB, Radius
from shoal.teams.routing.pool import NOBODY, Policy, Profiles, View

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Models = Literal["shared", "agent", "requester"]


@dataclass(frozen=True)
class Setting:
    """What a policy is built from.

    Attributes:
        seeds: S.
        profiles: the pool before any shock: for rules that are written down by someone who knows it.
        screened: L, how many agents the screen keeps; the pool's size if that is smaller.
        radius: LinUCB's confidence radius at full width.
        reduced: factor on the radius in the reduced variants.
        discount: gamma of the discounted variants.
        freeze_at: the task from which frozen variants no longer learn.
        requesters: how many keep a selector of their own in the decentralised variant.
    """

    seeds: int
    profiles: Profiles
    screened: int = 3
    radius: Radius = field(default_factory=Radius)
    reduced: float = 0.1
    discount: float = 0.99
    freeze_at: int = 500
    requesters: int = 4


class Rule:
    """A policy that never learns."""

    def __init__(self, rule: Callable[[View], Integers]) -> None:
        self._rule = rule

    def choose(self, view: View) -> Integers:
        """The rule's choice; NOBODY where that agent cannot take work, for a rule does not look."""
        chosen = self._rule(view)
        usable = view.available[np.arange(chosen.size), chosen]
        return np.where(usable, chosen, NOBODY)

    def learn(self, view: View, chosen: Integers, reward: Floats) -> None:
        """Nothing is learned."""


class Bandit:
    """Screen the best L, then LinUCB on their features.

    Args:
        setting: see Setting.
        scale: factor on the confidence radius.
        models: one shared model, one per agent, or one per requester.
        identity: append a one-hot of the agent to the features.
        discount: factor on past evidence.
        freeze_at: no learning from this task on.
        blind: features set to zero, by position (an ablation).
        beacon_screen: screen by the beacon's full score; False screens by match alone, as experiment 2 does.
    """

    def __init__(
        self,
        setting: Setting,
        *,
        scale: float = 1.0,
        models: Models = "shared",
        identity: bool = False,
        discount: float = 1.0,
        freeze_at: int | None = None,
        blind: tuple[int, ...] = (),
        beacon_screen: bool = False,
    ) -> None:
        agents = len(setting.profiles.names)
        self.keep = min(setting.screened, agents)
        self.models = models
        self.identity = identity
        self.freeze_at = freeze_at
        self.blind = list(blind)
        self.beacon_screen = beacon_screen
        count = {"shared": 1, "agent": agents, "requester": setting.requesters}[models]
        dimensions = len(beacon.FEATURES) + (agents if identity else 0)
        radius = replace(setting.radius, scale=setting.radius.scale * scale)
        self.selector = BatchedLinUCB(setting.seeds, dimensions, count, radius, discount)
        self._rows = np.arange(setting.seeds)
        self._last = np.zeros((setting.seeds, dimensions))

    def features(self, view: View) -> Floats:
        """Features of all agents [S, A, d]."""
        x = beacon.features(view.match, view.load, view.latency_ms, view.prior, view.available, self.identity)
        if self.blind:
            x[..., self.blind] = 0.0
        return x

    def choose(self, view: View) -> Integers:
        """The screened agent with the highest bound."""
        rows = self._rows[:, None]
        fit = view.match
        if self.beacon_screen:
            stable = beacon.stability(view.load, view.latency_ms, view.available)
            fit = beacon.screen_score(view.match, view.prior, stable)
        kept = np.argsort(np.where(view.available, -fit, np.inf), axis=1, kind="stable")[:, : self.keep]
        x = self.features(view)[rows, kept]
        scores = np.where(view.available[rows, kept], self.selector.scores(x, self._model(view, kept)), -np.inf)
        best = scores.argmax(axis=1)
        self._last = x[self._rows, best]
        return np.asarray(np.where(np.isneginf(scores[self._rows, best]), NOBODY, kept[self._rows, best]))

    def learn(self, view: View, chosen: Integers, reward: Floats) -> None:
        """One update with the features as they were when the agent was chosen."""
        if self.freeze_at is not None and view.step >= self.freeze_at:
            return
        model = self._model(view, chosen[:, None])
        acted = chosen != NOBODY
        self.selector.update(self._last, reward, None if model is None else model[:, 0], acted)

    def teach(self, view: View, given: Integers, reward: Floats) -> None:
        """Learn from agents that someone else chose (warm-up)."""
        self._last = self.features(view)[self._rows, given]
        self.learn(view, given, reward)

    def _model(self, view: View, kept: Integers) -> Integers | None:
        if self.models == "shared":
            return None
        if self.models == "agent":
            return kept
        return np.broadcast_to(view.requester[:, None], kept.shape)


def _among(eligible: NDArray[np.bool_], choice: Floats) -> Integers:
    """A uniform pick among the eligible agents [S, A] by the uniforms [S]; agent 0 where there is none."""
    count = eligible.sum(axis=1)
    nth = np.minimum((choice * count).astype(int), np.maximum(count - 1, 0))
    return np.asarray(np.argmax(np.cumsum(eligible, axis=1) > nth[:, None], axis=1))


def _strongest(s: Setting) -> Policy:
    return Rule(lambda v: np.full(s.seeds, s.profiles.strongest))


def _static(s: Setting) -> Policy:
    cheap, strong = int(np.argmin(s.profiles.cost)), s.profiles.strongest
    return Rule(lambda v: np.where(v.hard, strong, cheap))


def _random_top(s: Setting) -> Policy:
    def pick(v: View) -> Integers:
        ranked = np.argsort(np.where(v.available, -v.match, np.inf), axis=1, kind="stable")
        top = np.zeros_like(v.available)
        np.put_along_axis(top, ranked[:, : s.screened], True, axis=1)
        return _among(top & v.available, v.choice)

    return Rule(pick)


def _oracle(s: Setting) -> Policy:
    return Rule(lambda v: np.where(v.available, v.truth, -1.0).argmax(axis=1))


POLICIES: Mapping[str, Callable[[Setting], Policy]] = {
    "always strongest": _strongest,
    "static rule": _static,
    "random": lambda s: Rule(lambda v: _among(v.available, v.choice)),
    "random in top L": _random_top,
    "greedy match": lambda s: Rule(lambda v: np.where(v.available, v.match, -1.0).argmax(axis=1)),
    "linucb": lambda s: Bandit(s),
    "linucb reduced": lambda s: Bandit(s, scale=s.reduced),
    "frozen": lambda s: Bandit(s, freeze_at=s.freeze_at),
    "frozen reduced": lambda s: Bandit(s, scale=s.reduced, freeze_at=s.freeze_at),
    "discounted": lambda s: Bandit(s, discount=s.discount),
    "discounted reduced": lambda s: Bandit(s, scale=s.reduced, discount=s.discount),
    "per agent": lambda s: Bandit(s, models="agent"),
    "per agent reduced": lambda s: Bandit(s, scale=s.reduced, models="agent"),
    "identity": lambda s: Bandit(s, identity=True),
    "identity reduced": lambda s: Bandit(s, scale=s.reduced, identity=True),
    "per requester": lambda s: Bandit(s, models="requester"),
    "per requester reduced": lambda s: Bandit(s, scale=s.reduced, models="requester"),
    "without load reduced": lambda s: Bandit(s, scale=s.reduced, blind=(beacon.FEATURES.index("load"),)),
    "oracle": _oracle,
}
"""Every policy of the shock experiments by name; "reduced" narrows the radius by ``Setting.reduced``."""


def make_policy(name: str, setting: Setting) -> Policy:
    """A fresh policy. Raises UnknownName."""
    if name not in POLICIES:
        raise UnknownName("policy", name, POLICIES)
    return POLICIES[name](setting)
