"""A synthetic city: ages, households, workplaces and schools with census-like shares, made in bulk.

Shares are round figures of a large city of the United States (they can be replaced); ties are made at random within
households, schools and workplaces, and among everybody. No real person is in it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError
from shoal.populations.generators import neighbourly
from shoal.populations.networks import Network, network

AGES = ("0-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "70-79", "80+")
"""Names of the age bins."""

MOST_LABELS = 30_000
"""Areas that a city can have."""

Pairs = tuple[NDArray[np.int32], NDArray[np.int32]]


@dataclass(frozen=True)
class Shares:
    """What a city is made from.

    Attributes:
        ages: share of each of AGES.
        households: share of households of 1, 2, 3, ... people.
        employed: share of those from 20 to 69 who work.
        workplace: colleagues of one employee, on average.
        school: classmates of one pupil (0 to 19 years), on average.
        others: other contacts, anywhere, on average.
        sexes: share of each of ``sex_names``.
        sex_names: what sexes are called.
        areas: share of each of ``area_names``; a household lives in one area.
        area_names: what areas are called.
        local: share of other contacts that live in one's own area.
    """

    ages: tuple[float, ...] = (0.11, 0.12, 0.16, 0.15, 0.13, 0.13, 0.11, 0.06, 0.03)
    households: tuple[float, ...] = (0.32, 0.29, 0.16, 0.13, 0.06, 0.04)
    employed: float = 0.7
    workplace: float = 4.0
    school: float = 6.0
    others: float = 3.0
    sexes: tuple[float, ...] = (0.52, 0.48)
    sex_names: tuple[str, ...] = ("female", "male")
    areas: tuple[float, ...] = (1.0,)
    area_names: tuple[str, ...] = ("city",)
    local: float = 0.0

    def __post_init__(self) -> None:
        for name in ("ages", "households", "sexes", "areas"):
            shares = np.asarray(getattr(self, name), float)
            if not np.isfinite(shares).all() or (shares < 0).any() or abs(shares.sum() - 1) > 1e-6:
                raise InputError(f"city {name}", getattr(self, name), "Give shares of 0 or more that sum to 1.")
        if len(self.ages) != len(AGES):
            raise InputError("city ages", len(self.ages), f"Give {len(AGES)} shares, one for each age bin.")
        for name, names in (("sexes", self.sex_names), ("areas", self.area_names)):
            if not 0 < len(getattr(self, name)) == len(names) <= MOST_LABELS:
                raise InputError(
                    f"city {name}", len(getattr(self, name)), "Give as many shares as names, and not none."
                )
        for name in ("employed", "local"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"city {name}", getattr(self, name), "Use a share from 0 to 1.")
        for name in ("workplace", "school", "others"):
            if not 0 <= getattr(self, name) < 1000:
                raise InputError(f"city {name}", getattr(self, name), "Use a number of contacts from 0 to 1000.")


@dataclass(frozen=True)
class City:
    """People and their ties.

    Attributes:
        age: bin of each person, an index into AGES.
        sex: of each person, an index into the shares' ``sex_names``.
        area: where each person lives, an index into the shares' ``area_names``.
        employed: who works.
        home: ties within households.
        work: ties within workplaces and schools.
        street: ties among everybody.
    """

    age: NDArray[np.int8]
    sex: NDArray[np.int16]
    area: NDArray[np.int16]
    employed: NDArray[np.bool_]
    home: Network
    work: Network
    street: Network
    shares: Shares = field(default_factory=Shares)


def build_city(people: int, seed: int, shares: Shares | None = None) -> City:
    """A city of that many people; the same for the same seed.

    Raises:
        InputError: no people.
    """
    if people < 1:
        raise InputError("city people", people, "Use at least 1.")
    s = shares or Shares()
    rng = np.random.default_rng(seed)
    age = rng.choice(len(AGES), people, p=np.asarray(s.ages) / np.sum(s.ages)).astype(np.int8)
    grown = (age >= 2) & (age <= 6)
    employed = grown & (rng.random(people) < s.employed)
    home_ties = households(people, s.households, rng)
    home = network(people, *home_ties)
    groups = [partners(np.flatnonzero(employed), s.workplace, rng), partners(np.flatnonzero(age < 2), s.school, rng)]
    work = network(people, *(np.concatenate([g[end] for g in groups]) for end in (0, 1)))
    first, second = partners(np.arange(people), s.others, rng)
    sex = rng.choice(len(s.sexes), people, p=np.asarray(s.sexes) / np.sum(s.sexes)).astype(np.int16)
    area = districts(people, s.areas, home_ties)
    if s.local:
        second = neighbourly(first, second, area, s.local, rng)
    return City(age, sex, area, employed, home, work, network(people, first, second), s)


def districts(people: int, shares: tuple[float, ...], home: Pairs) -> NDArray[np.int16]:
    """Areas of those shares, each of people with neighbouring numbers.

    Households (whose ties are given) stay whole: who is in one with a person of an earlier area lives there too.
    """
    ends = np.cumsum(shares) / np.sum(shares) * people
    area = np.minimum(np.searchsorted(ends, np.arange(people), side="right"), len(shares) - 1).astype(np.int16)
    np.minimum.at(area, home[1], area[home[0]])
    return area


def households(people: int, shares: tuple[float, ...], rng: np.random.Generator) -> Pairs:
    """Ties of all pairs within households whose sizes have those shares; housemates have neighbouring numbers."""
    mean = float(np.dot(np.arange(1, len(shares) + 1), shares))
    sizes = rng.choice(np.arange(1, len(shares) + 1), int(people / mean * 1.1) + 8, p=np.asarray(shares) / sum(shares))
    ends = np.cumsum(sizes)
    while ends[-1] < people:
        ends = np.concatenate([ends, ends[-1] + np.cumsum(sizes)])
    number = np.searchsorted(ends, np.arange(people), side="right").astype(np.int32)
    first, second = [], []
    for gap in range(1, len(shares)):
        same = np.flatnonzero(number[gap:] == number[:-gap]).astype(np.int32) if gap < people else np.zeros(0, np.int32)
        first.append(same)
        second.append(same + np.int32(gap))
    return (np.concatenate(first), np.concatenate(second)) if first else (np.zeros(0, np.int32),) * 2


def partners(members: NDArray[np.int64], degree: float, rng: np.random.Generator) -> Pairs:
    """Random ties among members, ``degree`` each on average."""
    if members.size < 2 or degree == 0:
        return (np.zeros(0, np.int32),) * 2
    pairs = round(members.size * degree / 2)
    drawn = members[rng.integers(0, members.size, (2, pairs))].astype(np.int32)
    return drawn[0], drawn[1]
