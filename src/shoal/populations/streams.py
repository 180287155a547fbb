"""Streams: observed series (cases, deaths, mobility, ...) from CSV, checked, cut to a window and scaled.

The first column is ``day`` (whole numbers) or ``date`` (ISO), without gaps; every other column is a series of numbers.
Day 0 of a model's run is the first day of the window.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.errors import InputError, UnknownName

if TYPE_CHECKING:
    import polars as pl

SIGNALS = ("mobility",)
"""Series that say something about the days but are not counts of a model: never scaled, never fitted."""
COUNTS = ("cases", "deaths")
"""Series that cannot be negative."""
LEAST_DAYS = 7
"""Fewer are too short to fit anything."""


@dataclass(frozen=True)
class Streams:
    """Observed series of the same days.

    Attributes:
        series: values [days] by name.
        days: what each day is called in the data: its number or ISO date.
        source: where they come from, for error messages.
    """

    series: Mapping[str, NDArray[np.float64]]
    days: tuple[str, ...]
    source: str = "data"

    @property
    def length(self) -> int:
        """Number of days."""
        return len(self.days)

    def window(self, first: str | int | None = None, last: str | int | None = None) -> Streams:
        """The days from ``first`` to ``last``, both included, as the data call them.

        Raises:
            InputError: a day that the data do not have, or a window of less than LEAST_DAYS.
        """
        begin = 0 if first is None else self._place(first)
        end = self.length - 1 if last is None else self._place(last)
        cut = replace(
            self,
            series={name: x[begin : end + 1] for name, x in self.series.items()},
            days=self.days[begin : end + 1],
        )
        if cut.length < LEAST_DAYS:
            mend = f"Use a window of {LEAST_DAYS} days or more; the data run from {self.days[0]} to {self.days[-1]}."
            raise InputError(f"{self.source} window", f"{first}:{last}", mend)
        return cut

    def scaled(self, factors: Mapping[str, float]) -> Streams:
        """Series times those factors (10 for cases of which one in ten is reported).

        Raises:
            InputError: unknown series, or a factor that is no positive number.
        """
        for name, factor in factors.items():
            if name not in self.series:
                raise UnknownName(f"{self.source} scale", name, self.series)
            if not (isinstance(factor, int | float) and 0 < factor < np.inf):
                raise InputError(f"{self.source} scale {name}", factor, "Use a positive number.")
        return replace(self, series={name: x * factors.get(name, 1.0) for name, x in self.series.items()})

    def among(self, people: float, agents: int) -> Streams:
        """Counts of a place of that many people as they would be among ``agents``."""
        if not people > 0:
            raise InputError("people", people, "Give the number of people whom the data are about.")
        return self.scaled({name: agents / people for name in self.series if name not in SIGNALS})

    def require_known(self, known: Iterable[str]) -> None:
        """Raise UnknownName for a series that is none of those and no signal."""
        allowed = {*known, *SIGNALS}
        for name in self.series:
            if name not in allowed:
                raise UnknownName(f"{self.source} column", name, allowed)

    def _place(self, day: str | int) -> int:
        if str(day) not in self.days:
            mend = f"The data run from {self.days[0]} to {self.days[-1]}."
            raise InputError(f"{self.source} window", day, mend)
        return self.days.index(str(day))


def streams(series: Mapping[str, ArrayLike], source: str = "data") -> Streams:
    """Streams from arrays [days] by name; days are numbered from 0.

    Raises:
        InputError: no series, lengths that differ, fewer than LEAST_DAYS, NaN, or negative counts.
    """
    values = {name: np.asarray(x, float) for name, x in series.items()}
    lengths = {x.shape for x in values.values()}
    if len(lengths) != 1 or len(next(iter(lengths))) != 1:
        shapes = {name: list(x.shape) for name, x in values.items()}
        raise InputError(source, shapes, "Give at least one series, all of the same number of days.")
    days = tuple(str(number) for number in range(next(iter(lengths))[0]))
    found = Streams(values, days, source)
    _check(found)
    return found


def read_streams(path: Path | str, first: str | int | None = None, last: str | int | None = None) -> Streams:
    """Streams of a CSV file, cut to a window.

    Args:
        path: of the file; first column ``day`` or ``date``, then series.
        first: first day of the window, as the file calls it; the file's first if not given.
        last: last day of the window, included.

    Raises:
        InputError: no such file, no such day, gaps between days, or a value in the window that is no usable number.
    """
    table = _table(Path(path))
    source = Path(path).name
    days = _days(table, source)
    series = {}
    for name in table.columns[1:]:
        column = table[name].cast(float, strict=False)
        wrong = (table[name].is_not_null() & column.is_null()).arg_true()
        if wrong.len():
            row = int(wrong[0])
            raise InputError(f"{source} {name}, day {days[row]}", table[name][row], "Write a number.")
        series[name.strip()] = np.asarray(column.fill_null(np.nan).to_numpy(), np.float64)
    found = Streams(series, days, source).window(first, last)
    _check(found)
    return found


def _table(path: Path) -> pl.DataFrame:
    import polars as pl

    try:
        table = pl.read_csv(path, infer_schema=False)
    except OSError:
        raise InputError("data", str(path), "Give a CSV file.") from None
    except pl.exceptions.PolarsError:
        raise InputError("data", str(path), "Give a CSV file: a header, then one row for each day.") from None
    if table.width < 2 or table.columns[0] not in ("day", "date"):
        mend = "Name the first column day or date, and the others by what they count."
        raise InputError(f"{path.name} header", ",".join(table.columns), mend)
    if not table.height:
        raise InputError(f"{path.name} rows", 0, "Write one row for each day below the header.")
    return table


def _days(table: pl.DataFrame, source: str) -> tuple[str, ...]:
    """Names of the days, after checking that each follows the one before."""
    kind = table.columns[0]
    days: list[Any] = []
    for row, text in enumerate(table[kind]):
        try:
            day = date.fromisoformat(text.strip()) if kind == "date" else int(text)
        except (ValueError, AttributeError):
            mend = "Write dates as 2021-03-31." if kind == "date" else "Write whole numbers."
            raise InputError(f"{source} {kind}, row {row + 2}", text, mend) from None
        if days and day != days[-1] + (timedelta(days=1) if kind == "date" else 1):
            raise InputError(f"{source} {kind}, row {row + 2}", text, f"Write the day that follows {days[-1]}.")
        days.append(day)
    return tuple(str(day) for day in days)


def _check(found: Streams) -> None:
    """Raise InputError for what cannot be fitted."""
    if found.length < LEAST_DAYS:
        raise InputError(f"{found.source} days", found.length, f"Give at least {LEAST_DAYS}.")
    for name, x in found.series.items():
        wrong = ~np.isfinite(x)
        if wrong.any():
            where = f"{found.source} {name}, day {found.days[int(wrong.argmax())]}"
            raise InputError(where, float(x[wrong][0]), "Fill the gap, or choose a window without it.")
        if name in COUNTS and (x < 0).any():
            where = f"{found.source} {name}, day {found.days[int((x < 0).argmax())]}"
            raise InputError(where, float(x[x < 0][0]), "Counts are 0 or more.")
