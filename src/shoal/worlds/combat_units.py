"""Unit types of the combat world, and rosters such as ``2s3z`` or ``5m_vs_6m``.

Sources of the numbers: health, shields and damage are StarCraft II's (a zealot's two blows count as one hit of 16,
bonuses and armour are left out); cooldowns are those by which SMAC (Samvelyan et al. 2019) scales its state, in game
loops of 1/16 s; speeds are the game's at "normal" speed, which has those 16 loops a second; radii, and ranges measured
from centre to centre with 2 for hand-to-hand fighters, are SMAX's (JaxMARL); sight is 9 for all, as in SMAC.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from shoal.errors import InputError

LARGEST_SIDE = 64


@dataclass(frozen=True, slots=True)
class UnitType:
    """What units of one type can do.

    Attributes:
        name: in full.
        health: points; at 0 the unit is dead.
        shield: points that take damage before health does; they do not come back.
        damage: points a hit takes.
        range: distance between centres up to which it can hit.
        cooldown: game loops (1/16 s) from one hit to the next.
        speed: distance in a second.
        radius: units whose discs overlap push each other away.
        sight: distance between centres up to which it sees.
    """

    name: str
    health: float
    shield: float
    damage: float
    range: float
    cooldown: int
    speed: float
    radius: float
    sight: float = 9.0


TYPES: dict[str, UnitType] = {
    "m": UnitType("marine", 45, 0, 6, 5, 15, 2.25, 0.375),
    "M": UnitType("marauder", 125, 0, 10, 6, 25, 2.25, 0.5625),
    "s": UnitType("stalker", 80, 80, 13, 6, 35, 2.95, 0.625),
    "z": UnitType("zealot", 100, 50, 16, 2, 22, 2.25, 0.5),
    "c": UnitType("colossus", 200, 150, 20, 7, 24, 2.25, 1.0),
    "h": UnitType("hydralisk", 80, 0, 12, 5, 10, 2.25, 0.625),
    "zg": UnitType("zergling", 35, 0, 5, 2, 11, 2.95, 0.375),
}
"""Unit types by their letter in a roster, as in SMAC's map names (there, M of MMM is the marauder as well)."""

# The longer letters first, or zg would be read as z and a stray g.
_GROUP = re.compile(r"([1-9][0-9]*)(" + "|".join(sorted(TYPES, key=len, reverse=True)) + ")")


@dataclass(frozen=True, slots=True)
class Roster:
    """Who fights.

    Attributes:
        allies: the learners' units, in order.
        enemies: the scripted side's units, in order.
    """

    allies: tuple[UnitType, ...]
    enemies: tuple[UnitType, ...]

    @property
    def units(self) -> tuple[UnitType, ...]:
        """All units, allies first."""
        return self.allies + self.enemies

    @property
    def types(self) -> tuple[UnitType, ...]:
        """The types that take part, in the order of ``TYPES``."""
        return tuple(t for t in TYPES.values() if t in self.units)


@functools.cache
def parse_roster(text: str) -> Roster:
    """Read a roster: ``3m`` is three marines a side, ``5m_vs_6m`` five against six, ``1s2m_vs_3z`` mixed units.

    Raises:
        InputError: no such units, no units, or more than 64 on a side.
    """
    sides = text.split("_vs_")
    if len(sides) > 2:
        raise InputError("world combat roster", text, "Name one side, or two joined by _vs_.")
    armies = [_parse_side(text, side) for side in sides]
    return Roster(armies[0], armies[-1])


def _parse_side(text: str, side: str) -> tuple[UnitType, ...]:
    groups = _GROUP.findall(side)
    if not groups or "".join(count + letters for count, letters in groups) != side:
        known = ", ".join(f"{letters} {kind.name}" for letters, kind in TYPES.items())
        mend = f"Write counts and units, such as 2s3z or 5m_vs_6m; units: {known}."
        raise InputError("world combat roster", text, mend)
    size = sum(int(count) for count, _ in groups)
    if size > LARGEST_SIDE:
        raise InputError("world combat roster", text, f"Use at most {LARGEST_SIDE} units on a side, not {size}.")
    return tuple(TYPES[letters] for count, letters in groups for _ in range(int(count)))
