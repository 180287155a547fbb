"""Credit: from what a team earned to what each call is rewarded with, by named rules. None is silent.

=============  ==============================================================================================
rule           a call of agent k in trajectory i is rewarded with
=============  ==============================================================================================
shared         the team's outcome R_i
own            the agent's own outcome, where the task has one
last           R_i for the last call of the trajectory, 0 before (MARFT: micro-step values carry it back)
difference     R_i minus the outcome without the agent (difference reward, Wolpert and Tumer 2001)
shapley        the agent's mean contribution over all orders of joining (Shapley 1953), exact
step           what that call itself came to: whether the answer is right if the team stops after it
=============  ==============================================================================================

Penalties of a call (an unreadable reply) are added by the trainer to that call alone, under every rule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.errors import InputError
from shoal.registry import Registry
from shoal.stats import coalitions, exact_shapley

Floats = NDArray[np.float64]

MOST_EXACT = 10
"""Agents up to which Shapley values are exact: 2^10 coalitions."""


@dataclass(frozen=True)
class Outcome:
    """What a trajectory came to.

    Attributes:
        team: outcome of the whole team.
        own: outcome of each agent, where the task tells them apart.
        worth: outcome with only these agents themselves, for the rules that need it; every coalition for ``shapley``,
            all but one agent for ``difference``.
        steps: outcome of each call, in order, where it is known; for ``step``.
    """

    team: float
    own: Mapping[str, float] = field(default_factory=dict)
    worth: Mapping[frozenset[str], float] = field(default_factory=dict)
    steps: Sequence[float] = ()


Rule = Callable[[Outcome, Sequence[str]], Floats]
"""From an outcome and who made each call, in order, to the reward of each call."""

CREDIT: Registry[Rule] = Registry("credit rule", "shoal.posttrain")


@CREDIT.register("shared")
def shared(outcome: Outcome, callers: Sequence[str]) -> Floats:
    """The team's outcome for every call."""
    return np.full(len(callers), float(outcome.team))


@CREDIT.register("own")
def own(outcome: Outcome, callers: Sequence[str]) -> Floats:
    """Each agent's own outcome. Raises InputError where the task names none for an agent."""
    missing = sorted(set(callers) - set(outcome.own))
    if missing:
        raise InputError("credit", "own", f"The task tells no outcome of agent {missing[0]!r}; use shared.")
    return np.array([outcome.own[name] for name in callers], float)


@CREDIT.register("last")
def last(outcome: Outcome, callers: Sequence[str]) -> Floats:
    """The team's outcome for the last call only."""
    reward = np.zeros(len(callers))
    reward[-1:] = outcome.team
    return reward


@CREDIT.register("difference")
def difference(outcome: Outcome, callers: Sequence[str]) -> Floats:
    """What the team would have lost without the caller."""
    everybody = frozenset(callers)
    return np.array([outcome.team - _worth(outcome, everybody - {name}) for name in callers], float)


@CREDIT.register("shapley")
def shapley(outcome: Outcome, callers: Sequence[str]) -> Floats:
    """The caller's Shapley value. Values of all agents add up to the outcome minus that of nobody.

    Raises:
        InputError: more than ``MOST_EXACT`` agents, or a coalition whose outcome is not known.
    """
    names = sorted(set(callers))
    if len(names) > MOST_EXACT:
        mend = f"It is exact up to {MOST_EXACT}; use difference."
        raise InputError("credit", f"shapley of {len(names)} agents", mend)
    value = exact_shapley([_worth(outcome, some) for some in coalitions(names)])
    return value[[names.index(name) for name in callers]]


@CREDIT.register("step")
def step(outcome: Outcome, callers: Sequence[str]) -> Floats:
    """What each call itself came to. Raises InputError unless there is a figure for every call."""
    if len(outcome.steps) != len(callers):
        found = f"step, with {len(outcome.steps)} outcomes of {len(callers)} calls"
        raise InputError("credit", found, "Tell what every call came to, or use shared.")
    return np.array(outcome.steps, float)


def aligned_advantages(own: ArrayLike, other: ArrayLike, strength: float, discount: float) -> Floats:
    """Advantage Alignment: C_t = A1_t + beta * W_t * A2_t with W_t = sum_{k<t} g^(t-k) A1_k (arXiv 2406.14662, eq. 8).

    W is computed by the recursion W_{t+1} = g (W_t + A1_t), which does not overflow in long games.

    Args:
        own: advantages of the learner A1 [games, rounds].
        other: advantages of the other player A2, on the same scale, same shape.
        strength: beta; 0 gives plain advantages.
        discount: g, in [0, 1].
    """
    mine, theirs = np.asarray(own, float), np.asarray(other, float)
    if mine.shape != theirs.shape or mine.ndim != 2:
        raise InputError("advantages", f"shapes {mine.shape} and {theirs.shape}", "Give two arrays [games, rounds].")
    credit: Floats = mine + strength * past_weights(mine, discount) * theirs
    return credit


def past_weights(own: ArrayLike, discount: float) -> Floats:
    """W_t of ``aligned_advantages``: how good the past was for the learner [games, rounds]."""
    mine = np.asarray(own, float)
    weight = np.zeros_like(mine)
    for t in range(1, mine.shape[-1]):
        weight[..., t] = discount * (weight[..., t - 1] + mine[..., t - 1])
    return weight


def _worth(outcome: Outcome, some: frozenset[Any]) -> float:
    if some not in outcome.worth:
        names = ", ".join(sorted(some)) or "nobody"
        raise InputError("credit", f"no outcome of {names}", "Run the team without the others too.")
    return float(outcome.worth[some])
