"""A failed run as every attribution method sees it, and the decorator that registers such a method.

All methods get the same: who spoke at each step, how suspicious each step is to the same judge, who used what, and
which step failed. They give blame: one number for each step, the greatest for the step that is taken for the cause.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from shoal.diagnosis import information
from shoal.diagnosis.usage import UsageGraph
from shoal.errors import InputError
from shoal.registry import Registry

if TYPE_CHECKING:
    from shoal.diagnosis.conversation import Conversation
    from shoal.diagnosis.inquiry import Judge

Blame = NDArray[np.float64]


@dataclass(frozen=True)
class Incident:
    """One failed run.

    Attributes:
        agents: who spoke at each step [steps]; empty for steps of no agent.
        suspicion: the judge's q(v), the chance that a step is wrong, in [0, 1) [steps].
        graph: who used what.
        terminal: the step that failed, or the one that the final answer was taken from.
        seed: of methods that draw.
        conversation: the words, where there are any.
        judge: what is asked by methods that ask; None for the others.
    """

    agents: tuple[str, ...]
    suspicion: NDArray[np.float64]
    graph: UsageGraph
    terminal: int
    seed: int = 0
    conversation: Conversation | None = field(default=None, compare=False)
    judge: Judge | None = field(default=None, compare=False)

    @property
    def size(self) -> int:
        """Number of steps."""
        return len(self.agents)

    @cached_property
    def between(self) -> NDArray[np.float64]:
        """Betweenness of each step [steps]."""
        return information.betweenness(self.graph)

    @cached_property
    def impact(self) -> NDArray[np.float64]:
        """Structural importance of each step [steps]."""
        return information.impact(self.graph, self.between)

    @cached_property
    def blamable(self) -> NDArray[np.int64]:
        """Steps of agents, in order; all steps where no agent spoke."""
        own = np.flatnonzero([bool(agent) for agent in self.agents])
        return own if own.size else np.arange(self.size)

    def on(self, graph: UsageGraph) -> Incident:
        """The same incident over another graph."""
        return replace(self, graph=graph)

    def one(self, step: int | None) -> Blame:
        """Blame for one step and no other; for none at all if it is None."""
        found = np.zeros(self.size)
        if step is not None:
            found[step] = 1.0
        return found


Attribute = Callable[[Incident], Blame | Awaitable[Blame]]
A = TypeVar("A", bound=Attribute)


@dataclass(frozen=True)
class AttributionMethod:
    """A registered way to say who caused a failure.

    Attributes:
        name: as after ``--with``.
        title: how it decides.
        asks: whether it asks a judge; such methods are coroutine functions.
        shares: whether its blame spreads over several steps, so that suspects can be ranked.
        attribute: blame for each step of an incident [steps], at least 0.
    """

    name: str
    title: str
    asks: bool
    shares: bool
    attribute: Attribute


ATTRIBUTION: Registry[AttributionMethod] = Registry("attribution method", "shoal.diagnosis.methods")


def attribution_method(name: str, title: str, *, asks: bool = False, shares: bool = False) -> Callable[[A], A]:
    """Register a function from an incident to blame as an attribution method."""

    def add(attribute: A) -> A:
        ATTRIBUTION.register(name)(AttributionMethod(name, title, asks, shares, attribute))
        return attribute

    return add


def blame(method: str, incident: Incident) -> Blame:
    """What a method that asks nobody says of an incident [steps]. Raises UnknownName or InputError."""
    found = _checked(method, incident).attribute(incident)
    if inspect.isawaitable(found):
        raise InputError("attribution method", method, "It asks a judge: await asked_blame(...) instead.")
    return found


async def asked_blame(method: str, incident: Incident) -> Blame:
    """What any method says of an incident [steps]. Raises UnknownName, InputError or ModelError."""
    found = _checked(method, incident).attribute(incident)
    return await found if inspect.isawaitable(found) else found


def _checked(method: str, incident: Incident) -> AttributionMethod:
    chosen = ATTRIBUTION.get(method)
    if chosen.asks and incident.judge is None:
        raise InputError("attribution method", method, "It asks a model: name one, as with --model.")
    return chosen
