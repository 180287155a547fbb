"""The same contagion as a plain Python program: people as objects, one after the other. The baseline for speed."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

Noise = Callable[[], Sequence[float]]
"""Uniform numbers of one draw, one for each person."""


@dataclass
class Person:
    """Somebody.

    Attributes:
        infectiousness: relative to the mean.
        friends: whom they meet.
        stage: s, e, i, r or d.
    """

    infectiousness: float
    friends: list[Person] = field(default_factory=list, repr=False)
    stage: str = "s"


def people(infectiousness: Sequence[float], offsets: Sequence[int], neighbours: Sequence[int]) -> list[Person]:
    """A town from a table of neighbours."""
    town = [Person(x) for x in infectiousness]
    for person, begin, end in zip(town, offsets, offsets[1:], strict=False):
        person.friends = [town[k] for k in neighbours[begin:end]]
    return town


def day(
    town: list[Person], pace: float, mortality: float, exposed_days: float, infectious_days: float, noise: Noise
) -> tuple[int, int]:
    """One day: new infections and deaths.

    Args:
        town: changed in place.
        pace: infections a day along one tie, R / infectious days / mean contacts.
        mortality: share of the infected who die.
        exposed_days: mean length of the exposed stage.
        infectious_days: mean length of the infectious stage.
        noise: asked three times: for infection, for the next stage, for death.
    """
    infection, progress, death = noise(), noise(), noise()
    after, infections, deaths = [], 0, 0
    for k, person in enumerate(town):
        stage = person.stage
        if stage == "s":
            heard = sum(friend.infectiousness for friend in person.friends if friend.stage == "i")
            if infection[k] < 1 - math.exp(-pace * heard):
                stage, infections = "e", infections + 1
        elif stage == "e" and progress[k] < 1 / exposed_days:
            stage = "i"
        elif stage == "i" and progress[k] < 1 / infectious_days:
            stage = "d" if death[k] < mortality else "r"
            deaths += stage == "d"
        after.append(stage)
    for person, stage in zip(town, after, strict=True):
        person.stage = stage
    return infections, deaths


def uniform_noise(count: int, seed: int) -> Noise:
    """Python's own generator."""
    draw = random.Random(seed).random
    return lambda: [draw() for _ in range(count)]
