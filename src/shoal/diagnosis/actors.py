"""Synthetic actors with known behaviour, "human-like" and "agent-like" by their numbers only: no data about people.

How alike the two kinds are is set by one number: at overlap 1 they are drawn from the same distribution.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoal.diagnosis.behaviour import Behaviour, Floats, carried_out

OPTIONS = 4
PLAN_STEPS = 10
PROBES = 40
OCCASIONS = 0.5
"""Share of acts at which a strictly better option becomes visible."""


@dataclass(frozen=True)
class Kind:
    """Means of a kind of actor.

    Attributes:
        b: sharpness of choice; actors differ by a factor (log-normal, 0.25).
        gap: median seconds between acts.
        spread: deviation of the logarithm of those seconds.
        c: chance that a declared step is carried out.
        i: chance to repeat the last action though a better option is visible.
        q: chance to contradict oneself in a pair of probes.
        words: median words of an act.
    """

    b: float
    gap: float
    spread: float
    c: float
    i: float
    q: float
    words: float


HUMAN_LIKE = Kind(b=2.0, gap=30.0, spread=1.2, c=0.7, i=0.4, q=0.3, words=12.0)
AGENT_LIKE = Kind(b=10.0, gap=0.4, spread=0.5, c=0.95, i=0.1, q=0.05, words=40.0)
FIELDS = ("b", "gap", "spread", "c", "i", "q", "words")
CARRIES = {
    "decision mechanism": ("b",), "execution efficiency": ("gap", "spread"), "intention-behaviour consistency": ("c",),
    "behavioural inertia": ("i",), "irrational patterns": ("q",),
}  # fmt: skip
"""The numbers of a kind on which each dimension rests."""
_VARIED = 0.25
_CONCENTRATION = 30.0


@dataclass(frozen=True)
class Truth:
    """The numbers of each actor [actors each], before any of its acts was drawn."""

    b: Floats
    gap: Floats
    spread: Floats
    c: Floats
    i: Floats
    q: Floats
    words: Floats


def blended(overlap: float, one: Kind = AGENT_LIKE, two: Kind = HUMAN_LIKE) -> Kind:
    """The first kind, moved towards the second: 0 leaves it, 1 makes it the second. Scales move as logarithms."""
    found = {}
    for name in FIELDS:
        a, b = getattr(one, name), getattr(two, name)
        geometric = name in ("b", "gap", "words")
        found[name] = float(np.exp((1 - overlap) * np.log(a) + overlap * np.log(b))) if geometric else (
            (1 - overlap) * a + overlap * b
        )  # fmt: skip
    return Kind(**found)


def with_of(kind: Kind, other: Kind, names: tuple[str, ...]) -> Kind:
    """A kind that has some numbers of another."""
    return Kind(**{name: getattr(other if name in names else kind, name) for name in FIELDS})


def draw_truth(kind: Kind, actors: int, rng: np.random.Generator) -> Truth:
    """Numbers of actors around those of their kind."""

    def share(mean: float) -> Floats:
        return rng.beta(mean * _CONCENTRATION, (1 - mean) * _CONCENTRATION, actors)

    def scale(median: float) -> Floats:
        return median * np.exp(_VARIED * rng.standard_normal(actors))

    return Truth(
        scale(kind.b), scale(kind.gap), np.full(actors, kind.spread), share(kind.c), share(kind.i), share(kind.q),
        scale(kind.words),
    )  # fmt: skip


def act(truth: Truth, acts: int, rng: np.random.Generator) -> Behaviour:
    """Acts of actors with known numbers: as many choices and intervals as acts, a plan for every ten of them.

    Args:
        truth: the actors.
        acts: of each, at least PLAN_STEPS.
        rng: draws them.
    """
    count = len(truth.b)
    payoffs = rng.random((count, acts, OPTIONS), dtype=np.float32)
    noise = rng.gumbel(size=(count, acts, OPTIONS)).astype(np.float32)
    chosen = (truth.b[:, None, None].astype(np.float32) * payoffs + noise).argmax(axis=2)
    gaps = np.log(truth.gap)[:, None] + truth.spread[:, None] * rng.standard_normal((count, acts))
    plans = acts // PLAN_STEPS
    plan = np.broadcast_to(np.arange(PLAN_STEPS), (count, plans, PLAN_STEPS))
    kept = rng.random(plan.shape) < truth.c[:, None, None]
    return Behaviour(
        gaps=gaps,
        payoffs=payoffs.astype(float),
        chosen=chosen.astype(np.int64),
        carried=carried_out(plan, np.where(kept, plan, -1)),
        stayed=_flags(truth.i, round(OCCASIONS * acts), rng),
        violated=_flags(truth.q, PROBES, rng),
        lengths=np.log(truth.words)[:, None] + 0.8 * rng.standard_normal((count, acts)),
    )


def _flags(chance: Floats, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    return (rng.random((len(chance), count)) < chance[:, None]).astype(float)
