"""Census-like tables of a city: shares of people by age, sex and area and of households by size, from CSV or Parquet.

A folder holds up to four tables, ``age``, ``sex``, ``household`` and ``area`` (.csv or .parquet); each has a column of
that name and a column ``share`` (parts of 1) or ``people`` (``households`` for household sizes; counts, which are
turned into shares). A table that is not there leaves the city's own shares.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError, UnknownName
from shoal.populations.city import AGES, Shares

if TYPE_CHECKING:
    import polars as pl

TABLES = ("age", "sex", "household", "area")
FORMATS = (".csv", ".parquet")
ROUNDING = 2e-3
"""Shares may miss 1 by that much, as printed tables do; they are then made to fit."""
LARGEST_HOUSEHOLD = 20


def read_tables(folder: Path | str, shares: Mapping[str, Any] | None = None) -> Shares:
    """Shares of a city with those that the folder's tables give; see the module for their form.

    Args:
        folder: of the tables.
        shares: further fields of Shares.

    Raises:
        InputError, UnknownName: no folder, no table, a file or column that is not known, labels that do not fit, or
            shares that are negative or do not sum to 1.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError("tables", str(folder), f"Give a folder with some of {', '.join(TABLES)} as .csv or .parquet.")
    given = dict(shares or {})
    found = [path for path in sorted(folder.iterdir()) if path.suffix in FORMATS]
    if not found:
        raise InputError("tables", str(folder), f"Put some of {', '.join(TABLES)} into it, as .csv or .parquet.")
    seen: dict[str, Path] = {}
    for path in found:
        if path.stem not in TABLES:
            raise UnknownName("table", path.stem, TABLES)
        if path.stem in seen:
            raise InputError(f"table {path.stem}", path.name, f"Keep one; {seen[path.stem].name} is there too.")
        seen[path.stem] = path
        given |= _fields(path.stem, *_rows(path))
    return Shares(**given)


def _fields(kind: str, labels: list[str], shares: NDArray[np.float64]) -> dict[str, Any]:
    """What a table says, as fields of Shares."""
    by_label = dict(zip(labels, (float(x) for x in shares), strict=True))
    if kind == "age":
        missing = [age for age in AGES if age not in by_label]
        for label in labels:
            if label not in AGES:
                raise UnknownName("table age, label", label, AGES)
        if missing:
            raise InputError("table age, missing", missing[0], f"Give all of {', '.join(AGES)}.")
        return {"ages": tuple(by_label[age] for age in AGES)}
    if kind == "household":
        return {"households": _by_size(by_label)}
    names, values = tuple(by_label), tuple(by_label.values())
    return {"sex_names": names, "sexes": values} if kind == "sex" else {"area_names": names, "areas": values}


def _by_size(by_label: dict[str, float]) -> tuple[float, ...]:
    """Shares of households of 1, 2, ... people; sizes that are not named have none."""
    sizes = {}
    for label, share in by_label.items():
        if not label.isdigit() or not 1 <= int(label) <= LARGEST_HOUSEHOLD:
            mend = f"Write sizes as whole numbers from 1 to {LARGEST_HOUSEHOLD}."
            raise InputError("table household, size", label, mend)
        sizes[int(label)] = share
    return tuple(sizes.get(size, 0.0) for size in range(1, max(sizes) + 1))


def _rows(path: Path) -> tuple[list[str], NDArray[np.float64]]:
    """Labels of a table and their shares, checked."""
    kind, counts = path.stem, "households" if path.stem == "household" else "people"
    table = _opened(path)
    if kind not in table.columns:
        raise InputError(f"table {kind} columns", ",".join(table.columns), f"Name one {kind}, the other share.")
    for name in table.columns:
        if name not in (kind, "share", counts):
            raise UnknownName(f"table {kind}, column", name, (kind, "share", counts))
    measure = [name for name in table.columns if name != kind]
    if len(measure) != 1 or not table.height:
        raise InputError(
            f"table {kind}", ",".join(table.columns), f"Give {kind} and either share or {counts}, in rows."
        )
    labels = [str(label).strip() for label in table[kind]]
    if len(set(labels)) != len(labels):
        raise InputError(f"table {kind}", next(x for x in labels if labels.count(x) > 1), "Give each once.")
    values = table[measure[0]].cast(float, strict=False).fill_null(np.nan).to_numpy()
    wrong = ~(np.isfinite(values) & (values >= 0))
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(f"table {kind}, {measure[0]} of {labels[row]}", table[measure[0]][row], "Write 0 or more.")
    total = float(values.sum())
    if measure[0] == "share" and abs(total - 1) > ROUNDING:
        raise InputError(f"table {kind}, sum of shares", round(total, 6), "Give shares that sum to 1, or counts.")
    if total <= 0:
        raise InputError(f"table {kind}, sum of {measure[0]}", total, "Give at least one above 0.")
    return labels, values / total


def _opened(path: Path) -> pl.DataFrame:
    import polars as pl

    try:
        return pl.read_csv(path, infer_schema=False) if path.suffix == ".csv" else pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError):
        raise InputError(f"table {path.stem}", str(path), "Give a readable CSV or Parquet file.") from None
