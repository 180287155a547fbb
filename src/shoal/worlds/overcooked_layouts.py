"""The five classic kitchens of Overcooked (Carroll et al. 2019, "On the Utility of Learning about Humans").

A kitchen is drawn in text: ``X`` counter, ``O`` onion pile, ``D`` plate pile, ``P`` pot, ``S`` serving hatch, ``1`` and
``2`` the cooks' starting places, space for floor. Cells are numbered along rows: cell = row * width + column.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

DRAWINGS: dict[str, tuple[str, ...]] = {
    "cramped_room": (
        "XXPXX",
        "O1 2O",
        "X   X",
        "XDXSX",
    ),
    "asymm_advantages": (
        "XXXXXXXXX",
        "O XSXOX S",
        "X   P   X",
        "X 1 P2  X",
        "XXXDXDXXX",
    ),
    "coord_ring": (
        "XXXPX",
        "X 1 P",
        "D2X X",
        "O   X",
        "XOSXX",
    ),
    "forced_coord": (
        "XXXPX",
        "O X2P",
        "O1X X",
        "D X X",
        "XXXSX",
    ),
    "counter_circuit": (
        "XXXPPXXX",
        "X 1    X",
        "D XXXX S",
        "X     2X",
        "XXXOOXXX",
    ),
}


@dataclass(frozen=True, slots=True)
class Layout:
    """One kitchen, as cell numbers.

    Attributes:
        drawing: the text it was read from, without the cooks.
        height: rows.
        width: columns.
        floor: cells that a cook can stand on.
        starts: where the two cooks begin.
        pots: pots.
        onions: onion piles.
        plates: plate piles.
        hatches: serving hatches.
        counters: plain counters with floor beside them; no other counter can ever hold anything.
    """

    drawing: tuple[str, ...]
    height: int
    width: int
    floor: tuple[int, ...]
    starts: tuple[int, int]
    pots: tuple[int, ...]
    onions: tuple[int, ...]
    plates: tuple[int, ...]
    hatches: tuple[int, ...]
    counters: tuple[int, ...]

    def place(self, cell: int) -> tuple[int, int]:
        """Column and row of a cell, both from 0, from the top left."""
        return cell % self.width, cell // self.width

    def cells(self, symbol: str) -> tuple[int, ...]:
        """The cells that are drawn so."""
        return tuple(i for i, found in enumerate("".join(self.drawing)) if found == symbol)


@functools.cache
def layout_of(name: str) -> Layout:
    """The kitchen of that name (one of ``DRAWINGS``)."""
    rows = DRAWINGS[name]
    width = len(rows[0])
    text = "".join(rows)
    floor = tuple(i for i, symbol in enumerate(text) if symbol in " 12")
    beside = {cell + step for cell in floor for step in (-width, width, 1, -1)}

    def cells(symbol: str) -> tuple[int, ...]:
        return tuple(i for i, found in enumerate(text) if found == symbol)

    return Layout(
        drawing=tuple(row.replace("1", " ").replace("2", " ") for row in rows),
        height=len(rows),
        width=width,
        floor=floor,
        starts=(text.index("1"), text.index("2")),
        pots=cells("P"),
        onions=cells("O"),
        plates=cells("D"),
        hatches=cells("S"),
        counters=tuple(i for i in cells("X") if i in beside),
    )
