"""What a section of a report is made of: tables, pictures and lines of text, all of them plain values."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from shoal.ui.report.trace_data import embedded
from shoal.ui.wording import number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_ROWS = 400
"""Of one table; the file of the run that holds them all is named by its section."""


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        title: what it tells; also the name of its CSV file.
        heads: of the columns.
        rows: cells as text; the first of each names its row.
        note: a line above it.
    """

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    kind: str = "table"


@dataclass(frozen=True)
class Picture:
    """A picture, with the data that it was drawn from where they are at hand.

    Attributes:
        title: what is shown.
        address: of the picture, with its bytes in it.
        form: png or svg.
        rows: lines of the CSV file as JSON for a script element; empty where there are none.
        told: what a reader who cannot see it should know.
    """

    title: str
    address: str
    form: str
    rows: str = ""
    told: str = ""
    kind: str = "picture"


@dataclass
class Section:
    """A section.

    Attributes:
        name: of its element, for links.
        title: its heading.
        blocks: tables and pictures in order.
        notes: lines of text before them.
        facts: names and values.
    """

    name: str
    title: str
    blocks: list[Table | Picture] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    facts: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether it says anything."""
        return bool(self.blocks or self.notes or self.facts)


def table_of(title: str, rows: Sequence[Mapping[str, Any]], note: str = "") -> Table:
    """A table of documents: one column for each of their names; long ones are cut, and say so."""
    heads = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[cell(row.get(name)) for name in heads] for row in rows[:MOST_ROWS]]
    if len(rows) > MOST_ROWS:
        note = f"{note} The first {MOST_ROWS} of {len(rows):,} rows.".strip()
    return Table(title, [head.replace("_", " ") for head in heads], cells, note)


def cell(value: Any) -> str:
    """A value as it stands in a table."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return number(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


def png(title: str, data: bytes) -> Picture:
    """A picture that the run keeps."""
    return Picture(title, f"data:image/png;base64,{base64.b64encode(data).decode()}", "png", told=title)


def drawing(title: str, figure: Figure, rows: Sequence[Sequence[Any]], told: str) -> Picture:
    """A figure that is drawn for the report, with its data."""
    out = io.BytesIO()
    figure.savefig(out, format="svg")
    address = f"data:image/svg+xml;base64,{base64.b64encode(out.getvalue()).decode()}"
    return Picture(title, address, "svg", embedded(rows), told)
