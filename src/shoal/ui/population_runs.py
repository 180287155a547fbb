"""Kept runs of populations as plain values: their arms, and what their archetypes answered."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from shoal.runs.folder import RunFolder

if TYPE_CHECKING:
    from shoal.populations import Simulation
    from shoal.stats import Estimate

AS_SET, WHAT_IF = "as set", "what if"
"""Names of the arms, as in kept runs."""
COUNTS = ("arm", "seed", "week", "action", "archetype", "people", "yes", "read", "share")
"""Columns of ``answers.parquet`` besides the variables that people are told apart by."""
MOST_KINDS = 40


def simulation_of(folder: RunFolder) -> tuple[Simulation | None, Simulation | None]:
    """The arms of a kept run, from its series; None for what it does not hold."""
    import polars as pl

    from shoal.populations import make_model
    from shoal.populations.simulation import Simulation

    path = folder.path / "series.parquet"
    if not path.is_file():
        return None, None
    summary = folder.info["summary"]
    settings = {name: value for name, value in summary["settings"].items() if value is not None}
    model = make_model(summary["model"], **settings)
    frame = pl.read_parquet(path)
    if "arm" not in frame.columns:
        frame = frame.with_columns(arm=pl.lit(AS_SET))
    arms = {}
    for arm in frame["arm"].unique(maintain_order=True).to_list():
        own = frame.filter(pl.col("arm") == arm).sort("seed", "step")
        seeds = own["seed"].unique(maintain_order=True).to_list()
        names = [name for name in own.columns if name not in ("arm", "seed", "step")]
        series = {name: own[name].to_numpy().reshape(len(seeds), -1).astype(np.float64) for name in names}
        arms[arm] = Simulation(model, {}, tuple(seeds), series)
    return arms.get(AS_SET), arms.get(WHAT_IF)


def moving(plain: Simulation, what_if: Simulation | None) -> list[str]:
    """Series of one number a step that are not zero throughout."""
    names = [name for name, x in plain.series.items() if x.ndim == 2]
    return [n for n in names if plain.series[n].any() or (what_if is not None and what_if.series[n].any())]


def totals(plain: Simulation, what_if: Simulation | None) -> tuple[list[str], list[tuple[str, list[Estimate]]]]:
    """Headings, and for each series its total and what it is compared by: its peak, or the other arm, paired by run."""
    from shoal.stats import paired_difference

    rows = []
    for name in (name for name, x in plain.series.items() if x.ndim == 2):
        cells = [plain.total(name)]
        if what_if is None:
            cells += [*plain.peak(name)]
        else:
            cells += [what_if.total(name), paired_difference(what_if.outcome(name), plain.outcome(name))]
        rows.append((name, cells))
    return ["Series", "As set"] + (["What if", "Difference"] if what_if is not None else ["Peak", "Peak at step"]), rows


@dataclass(frozen=True)
class Shares:
    """How an action was answered.

    Attributes:
        action: what was asked.
        weeks: numbers of the weeks.
        kinds: archetypes in words; the first 40.
        values: share of readable replies that said yes [kinds][weeks]; None where there were none.
    """

    action: str
    weeks: list[int]
    kinds: list[str]
    values: list[list[float | None]]


def shares(path: Path) -> list[Shares]:
    """What ``answers.parquet`` says, over arms and runs, action by action."""
    import polars as pl

    frame = pl.read_parquet(path)
    people = [name for name in frame.columns if name not in COUNTS]
    found = []
    for (action,), own in frame.group_by("action", maintain_order=True):
        who = own.with_columns(who=pl.concat_str([pl.col(n).cast(pl.String) for n in people], separator=", "))
        table = who.group_by("who", "week", maintain_order=True).agg(pl.col("yes").sum(), pl.col("read").sum())
        weeks, kinds = sorted(set(table["week"])), list(dict.fromkeys(table["who"]))[:MOST_KINDS]
        known = {(week, kind): yes / read if read else None for kind, week, yes, read in table.rows()}
        found.append(Shares(str(action), weeks, kinds, [[known.get((w, k)) for w in weeks] for k in kinds]))
    return found


def said(path: Path, most: int) -> tuple[list[dict[str, Any]], int]:
    """What ``replies.parquet`` holds, equal replies together: those that could not be read first, then the most usual.

    Args:
        path: of the file.
        most: rows.

    Returns:
        Rows of action, archetype (in words), reply, decision (yes, no or unreadable), times and weeks; and how many
        there are in all.
    """
    import polars as pl

    frame = pl.read_parquet(path)
    if not frame.height:
        return [], 0
    fixed = (*COUNTS, "sample", "reply", "unreadable", "attempts")
    people = [pl.col(name).cast(pl.String) for name in frame.columns if name not in fixed]
    read = pl.when(pl.col("yes")).then(pl.lit("yes")).otherwise(pl.lit("no"))
    decision = pl.when(pl.col("unreadable")).then(pl.lit("unreadable")).otherwise(read)
    own = frame.with_columns(archetype=pl.concat_str(people, separator=", "), decision=decision)
    table = own.group_by("action", "archetype", "reply", "decision", "unreadable", maintain_order=True).agg(
        pl.len().alias("times"), pl.col("week").min().alias("first"), pl.col("week").max().alias("last")
    )
    table = table.sort("unreadable", "times", descending=True, maintain_order=True)
    return [_reply(row) for row in table.head(most).to_dicts()], table.height


def _reply(row: dict[str, Any]) -> dict[str, Any]:
    first, last = row.pop("first"), row.pop("last")
    del row["unreadable"]
    return row | {"weeks": str(first) if first == last else f"{first} to {last}"}
