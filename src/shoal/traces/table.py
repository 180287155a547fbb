"""Large logs as columns: JSON Lines of flat events, a million in seconds, with the same checks as small ones.

The whole file is read by Polars where its lines are all well formed; one malformed line sends it through a slower
reader that finds and counts it. All fields of the file stay as columns of their own.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError
from shoal.traces.causality import Causality
from shoal.traces.importers.book import seconds
from shoal.traces.importers.chat import IDS, PARENTS, RUN, SPEAKER, TEXT, TIME
from shoal.traces.importers.content import compact, text_of
from shoal.traces.importers.source import Source
from shoal.traces.problems import Problems
from shoal.traces.redaction import LOWER_MARKS, MARKS, Redactor

if TYPE_CHECKING:
    import polars as pl

LOCATED = 20
"""Problems of one kind that are kept with their place."""
SAMPLED = 10_000
"""Lines from which columns are chosen before the whole file is checked against them."""
_PIECE = 2**20
_NAMES = {"id": IDS, "agent": SPEAKER, "time": TIME, "parents": PARENTS, "run": RUN, "text": TEXT}


@dataclass
class EventTable:
    """Events as columns.

    Attributes:
        frame: one row for each event: id (String), run, agent, kind, text (String), time (Float64), parents (List), and
            every other field of the file under its own name.
        problems: what was wrong, counted; the first of each kind located.
        redacted: secrets that were replaced, by kind.
    """

    frame: pl.DataFrame
    problems: Problems
    redacted: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.frame.height

    @cached_property
    def causality(self) -> Causality:
        """Ancestors and descendants by position; unknown parents are left out (and were counted)."""
        children, parents, _ = _links(self.frame)
        return Causality(self.frame.height, children, parents, self.frame.get_column("id").to_list())

    def by(self, *columns: str) -> pl.DataFrame:
        """Counts, first and last time for each combination of the columns (agent and kind without any)."""
        import polars as pl

        return (
            self.frame.group_by(columns or ("agent", "kind"))
            .agg(pl.len().alias("events"), pl.col("time").min().alias("first"), pl.col("time").max().alias("last"))
            .sort(columns or ("agent", "kind"))
        )


def read_table(path: Path, redact: bool = True) -> EventTable:
    """Read a file of JSON Lines whose records are flat events.

    Args:
        path: the file.
        redact: replace secrets in texts.

    Raises:
        InputError: there is no such file.
    """
    if not path.is_file():
        raise InputError("trace", str(path), "Give a file that exists.")
    problems = Problems()
    source = Source(path, problems)
    frame = _fast(path) if source.shape == "lines" else None
    places = None
    if frame is None:
        frame, places = _careful(source)
    frame = _named(frame, path.stem)
    redactor = Redactor()
    if redact:
        frame = _redacted(frame, redactor)
    table = EventTable(frame, problems, dict(redactor.counts))
    _check(table, path.name, places)
    return table


def _fast(path: Path) -> pl.DataFrame | None:
    """All lines at once; None if one of them is malformed, or fields change their type."""
    import polars as pl

    try:
        with ThreadPoolExecutor(1) as beside:  # Polars does not hold the interpreter while it parses
            marks = beside.submit(_marks, path)
            frame = pl.read_ndjson(path, infer_schema_length=SAMPLED)
        if frame.height > SAMPLED and not _complete(frame, marks.result()):
            frame = pl.read_ndjson(path, infer_schema_length=None)
    except Exception:  # Polars raises its own errors, and panics of its parser arrive as others
        return None
    # A line that holds no field at all is a row of nulls: the careful reader knows what it was.
    return None if frame.width == 0 or frame.select(pl.all_horizontal(pl.all().is_null()).any()).item() else frame


def _complete(frame: pl.DataFrame, marks: int) -> bool:
    """Whether the columns hold every field of the file, though they were chosen by its first lines.

    Each field is written as a name, a quotation mark and a colon. If every row has all columns, and the file has as
    many such marks as there are cells, there is no room for another field. Where texts hold the mark too, or rows lack
    fields, the answer is no, and the file is read again with all of its lines considered.
    """
    return marks == frame.height * frame.width and not any(c.null_count() for c in frame.get_columns())


def _marks(path: Path) -> int:
    """How often the file holds a quotation mark and a colon."""
    marks, last, buffer = 0, 0, bytearray(_PIECE)
    piece = np.frombuffer(buffer, np.uint8)
    with path.open("rb", buffering=0) as file:
        while size := file.readinto(buffer):
            colons = piece[:size] == ord(":")  # seldom: only what stands before them needs a look
            before = np.flatnonzero(colons) - 1
            marks += int(np.count_nonzero(piece[before[before >= 0]] == ord('"')))
            marks += bool(colons[0]) and last == ord('"')
            last = int(piece[size - 1])
    return marks


def _careful(source: Source) -> tuple[pl.DataFrame, list[str]]:
    """Line by line; malformed ones are counted with their place. Nested values become JSON texts."""
    import polars as pl

    rows: list[dict[str, Any]] = []
    places: list[str] = []
    columns: dict[str, list[Any]] = {}
    for place, record in source.objects():
        rows.append(record)
        places.append(place)
        if len(rows) == 50_000:
            _append(columns, rows)
            rows = []
    _append(columns, rows)
    frames = {name: pl.Series(name, values, strict=False) for name, values in columns.items()}
    return pl.DataFrame(frames), places


def _append(columns: dict[str, list[Any]], rows: list[dict[str, Any]]) -> None:
    have = len(next(iter(columns.values()), []))
    for name in {n: None for row in rows for n in row}:
        columns.setdefault(name, [None] * have)
    parents = set(PARENTS)
    for name, column in columns.items():
        for row in rows:
            value = row.get(name)
            if name in parents:
                listed = value if isinstance(value, list) else [] if value is None else [value]
                column.append([str(v) for v in listed])
            elif isinstance(value, (dict, list)):
                column.append(text_of(value) if name in TEXT else compact(value))
            else:
                column.append(
                    value if value is None or (isinstance(value, (int, float)) and name in TIME) else str(value)
                )


def _named(frame: pl.DataFrame, run: str) -> pl.DataFrame:
    """Our names and types for the columns that say who, when, what and from what; the others stay."""
    import polars as pl

    found = {ours: next((n for n in names if n in frame.columns), None) for ours, names in _NAMES.items()}
    height = frame.height
    columns: list[pl.Expr] = []
    text = pl.String
    for ours, theirs in found.items():
        if ours == "parents":
            if theirs is None:
                columns.append(pl.lit(pl.Series("parents", [[]], dtype=pl.List(text))).first().alias("parents"))
            elif not isinstance(frame.schema[theirs], pl.List):
                columns.append(pl.concat_list(pl.col(theirs).cast(text)).alias("parents"))
            else:
                columns.append(pl.col(theirs).alias("parents"))
        elif ours == "time":
            columns.append(_time(frame, theirs).alias("time"))
        elif theirs is None:
            rows = pl.int_range(height, dtype=pl.Int64).alias("id") if ours == "id" else None
            columns.append(rows if rows is not None else pl.lit(run if ours == "run" else "").alias(ours))
        elif ours == "id" and frame.schema[theirs].is_integer():
            columns.append(pl.col(theirs).alias("id"))
        else:
            columns.append(_as_text(frame, theirs).alias(ours))
    if "kind" not in frame.columns:
        columns.append(pl.lit("message").alias("kind"))
    used = {theirs for theirs in found.values() if theirs}
    rest = [_flat(frame, n) for n in frame.columns if n not in used and n not in _NAMES]
    return frame.select(*columns, *rest)


def _flat(frame: pl.DataFrame, name: str) -> pl.Expr:
    """A field as it is, or as JSON text where it is nested: so that secrets are found in it."""
    import polars as pl

    nested = isinstance(frame.schema[name], (pl.Struct, pl.List))
    return pl.struct(pl.col(name)).struct.json_encode().alias(name) if nested else pl.col(name)


def _as_text(frame: pl.DataFrame, name: str) -> pl.Expr:
    import polars as pl

    kind = frame.schema[name]
    if kind == pl.String:
        return pl.col(name).fill_null("")
    if isinstance(kind, pl.Struct):
        return pl.col(name).struct.json_encode().fill_null("")
    if isinstance(kind, pl.List):
        return pl.col(name).map_elements(lambda v: compact(v.to_list()), return_dtype=pl.String).fill_null("")
    return pl.col(name).cast(pl.String).fill_null("")


def _time(frame: pl.DataFrame, name: str | None) -> pl.Expr:
    import polars as pl

    if name is None:
        return pl.lit(0.0)
    if frame.schema[name].is_numeric():
        values = pl.col(name).cast(pl.Float64)
        return (
            pl.when(values.abs() >= 1e17).then(values / 1e9).when(values.abs() >= 1e14).then(values / 1e6)
            .when(values.abs() >= 1e11).then(values / 1e3).otherwise(values)
        )  # fmt: skip
    return pl.col(name).cast(pl.String).map_elements(lambda t: seconds(t), return_dtype=pl.Float64)


def _redacted(frame: pl.DataFrame, redactor: Redactor) -> pl.DataFrame:
    """Texts without secrets: only rows that hold a mark of one are looked at closely."""
    import polars as pl

    # Two expressions of literals are twice as fast here as one search for all of them in any case.
    exact, any_case = "|".join(MARKS), f"(?i:{'|'.join(LOWER_MARKS)})"
    changed = []
    for name, kind in frame.schema.items():
        if kind != pl.String or name in ("id", "kind"):
            continue
        column = frame.get_column(name)
        hits = (column.str.contains(exact) | column.str.contains(any_case)).fill_null(False)
        if name not in ("text", "run", "agent") and redactor.value({name: "x" * 12})[name] != "x" * 12:
            hits = column.is_not_null()
        if not hits.any():
            continue
        rows = hits.arg_true()
        old = column.gather(rows).to_list()
        new = [redactor.value({name: value})[name] for value in old]
        if new != old:
            changed.append(column.scatter(rows, pl.Series(new, dtype=pl.String)))
    return frame.with_columns(changed) if changed else frame


def _links(frame: pl.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.int64], pl.DataFrame]:
    """Child and parent positions of all known links, and the links whose parent is not there (row, parent)."""
    import polars as pl

    kind = frame.schema["parents"]
    inner = kind.inner if isinstance(kind, pl.List) else None
    ids = frame.get_column("id")
    if inner is None or inner == pl.Null:
        empty = np.zeros(0, np.int64)
        return empty, empty, pl.DataFrame({"row": [], "parent": []})
    pairs = frame.select(pl.int_range(pl.len(), dtype=pl.Int64).alias("row"), pl.col("parents").alias("parent"))
    pairs = pairs.explode("parent").drop_nulls("parent")
    if ids.dtype.is_integer() and inner.is_integer() and _consecutive(ids):
        first = int(ids[0])
        parents = pairs.get_column("parent").cast(pl.Int64).to_numpy() - first
        known = (parents >= 0) & (parents < len(ids))
        rows = pairs.get_column("row").to_numpy()
        return rows[known], parents[known], pairs.filter(~pl.Series(known)) if not known.all() else pairs.head(0)
    several = frame.get_column("run").n_unique() > 1
    keys = ["run", "parent"] if several else ["parent"]
    if several:
        pairs = pairs.with_columns(frame.get_column("run").gather(pairs.get_column("row")))
    named = frame.select("run", pl.col("id").cast(pl.String).alias("parent")).with_row_index("place")
    named = named.unique(keys, keep="first")
    joined = pairs.with_columns(pl.col("parent").cast(pl.String)).join(
        named.select(*keys, "place"), on=keys, how="left", maintain_order="left"
    )
    hit = joined.filter(pl.col("place").is_not_null())
    missing = joined.filter(pl.col("place").is_null()).select("row", "parent")
    return hit.get_column("row").to_numpy(), hit.get_column("place").cast(pl.Int64).to_numpy(), missing


def _consecutive(ids: pl.Series) -> bool:
    return len(ids) > 0 and ids.null_count() == 0 and int(ids[-1]) - int(ids[0]) == len(ids) - 1 and bool(
        (np.diff(ids.to_numpy()) == 1).all()
    )  # fmt: skip


def _check(table: EventTable, name: str, places: list[str] | None) -> None:
    """Count duplicate ids, unknown and cyclic parents, clocks that go backwards."""
    import polars as pl

    frame, problems = table.frame, table.problems

    def where(row: int) -> str:
        return places[row] if places is not None else f"{name}:{row + 1}"

    def count(kind: str, rows: list[int], total: int) -> None:
        for row in rows[:LOCATED]:
            problems.add(kind, where(row))
        problems.counts[kind] += max(0, total - min(len(rows), LOCATED))

    several = frame.get_column("run").n_unique() > 1
    ids = frame.get_column("id")
    if not (ids.dtype.is_integer() and _consecutive(ids)):
        keys = ["run", "id"] if several else ["id"]
        double = frame.select(~pl.struct(keys).is_first_distinct()).to_series() if several else ~ids.is_first_distinct()
        if double.any():
            rows = double.arg_true().to_list()
            count("duplicate id", rows, len(rows))
    children, parents, missing = _links(frame)
    if missing.height:
        count("unknown parent", missing.get_column("row").head(LOCATED).to_list(), missing.height)
    table.frame = frame.with_columns(ids.cast(pl.String))
    # The index is made here once; the rows are reused by every later question.
    table.__dict__["causality"] = Causality(frame.height, children, parents, _Names(table.frame))
    loops = table.causality.cyclic()
    if len(loops):
        count("cyclic parents", loops[:LOCATED].tolist(), len(loops))
    time = frame.select(pl.col("time").diff().over("run") if several else pl.col("time").diff()).to_series()
    back = (time < 0).fill_null(False)
    if back.any():
        rows = back.arg_true().to_list()
        count("clock goes backwards", rows, len(rows))


class _Names(list[str]):
    """The ids of a frame, turned into Python strings only when somebody asks."""

    def __init__(self, frame: pl.DataFrame) -> None:
        super().__init__()
        self._frame = frame

    def __getitem__(self, place: Any) -> Any:
        return self._frame.get_column("id")[place]

    def __len__(self) -> int:
        return self._frame.height

    def __iter__(self) -> Any:
        return iter(self._frame.get_column("id").to_list())


def write_table(table: EventTable, path: Path) -> None:
    """Write the columns as Parquet, or as JSON Lines where the name ends in ``.jsonl``.

    Raises:
        InputError: another ending.
    """
    if path.suffix == ".parquet":
        table.frame.write_parquet(path)
    elif path.suffix == ".jsonl":
        table.frame.write_ndjson(path)
    else:
        raise InputError("--to", str(path), "Large tables are written as .parquet or .jsonl.")
