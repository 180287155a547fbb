"""What a report says about a kept simulation or calibration: totals, curves with bands, answers, best values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from shoal.runs.folder import RunFolder
from shoal.ui.population_runs import AS_SET, WHAT_IF, moving, said, shares, simulation_of, totals
from shoal.ui.report.blocks import Picture, Section, Table, cell, drawing, table_of
from shoal.ui.wording import estimate, interval

if TYPE_CHECKING:
    from shoal.populations import Simulation

MOST_CURVES = 12
MOST_REPLIES = 200
KINDS = ("simulation", "calibration")


def population_sections(folder: RunFolder) -> list[Section]:
    """Sections of a population's run; none for other runs."""
    summary = folder.info.get("summary")
    if folder.info.get("kind") not in KINDS or not isinstance(summary, Mapping):
        return []
    return [s for s in (_outcome(folder, summary), _fit(summary), _asked(folder, summary)) if s]


def _outcome(folder: RunFolder, summary: Mapping[str, Any]) -> Section:
    """Totals and curves of the arms."""
    from shoal.errors import ShoalError

    section = Section("outcome", "What came out")
    try:
        plain, what_if = simulation_of(folder)
    except (ShoalError, KeyError) as error:  # a model that is not there any more
        section.notes.append(f"The series could not be read: {error}")
        return section
    if plain is None:
        return section
    count = len(plain.seeds)
    section.notes.append(
        f"Means over {count} runs with 95% intervals; of flows the sum over steps, of levels the last value. "
        "Curves are medians; bands are 5 to 95% of the runs."
    )
    if what_if is not None:
        changed = summary.get("counterfactual", {}).get("parameters", {})
        section.title = "What if " + ", ".join(f"{name} = {value}" for name, value in changed.items()) + "?"
        section.notes.append("The arms share their random numbers, so differences are paired by run.")
    heads, rows = totals(plain, what_if)
    section.blocks.append(Table("Totals", heads, [[name, *(interval(e) for e in cells)] for name, cells in rows]))
    names = moving(plain, what_if)
    section.blocks += [_curve(name, plain, what_if) for name in names[:MOST_CURVES]]
    if len(names) > MOST_CURVES:
        section.notes.append(f"{len(names) - MOST_CURVES} more series are in the run's series.parquet.")
    return section


def _curve(name: str, plain: Simulation, what_if: Simulation | None) -> Picture:
    """A series over its steps, one line with its band for each arm."""
    from shoal.runs.plots import new_figure

    figure, (ax,) = new_figure(1, 1, 5.2, 3.0)
    heads: list[str] = ["step"]
    columns: list[Any] = [range(plain.steps)]
    for label, arm in ((AS_SET, plain), (WHAT_IF, what_if)):
        if arm is None:
            continue
        middle, low, high = arm.band(name)
        (line,) = ax.plot(middle, linewidth=1.4, label=label)
        ax.fill_between(range(len(middle)), low, high, color=line.get_color(), alpha=0.25, linewidth=0)
        heads += [f"{label} {part}" for part in ("median", "5%", "95%")]
        columns += [middle.tolist(), low.tolist(), high.tolist()]
    ax.set_xlabel("step", fontsize=8)
    ax.set_ylabel(name, fontsize=8)
    if what_if is not None:
        ax.legend(fontsize=8, frameon=False)
    ends = ", ".join(
        f"{head} ends at {column[-1]:.4g}" for head, column in zip(heads, columns, strict=True) if "median" in head
    )
    return drawing(name, figure, [heads, *zip(*columns, strict=False)], f"{name} over steps: {ends}")


def _fit(summary: Mapping[str, Any]) -> Section:
    """Best values of a calibration."""
    section = Section("fit", "Best values")
    if "loss" not in summary or "values" not in summary:
        return section
    loss, known = summary["loss"], {row["name"]: row for row in summary.get("intervals", [])}
    section.facts = {
        "method": str(summary["method"]), "fitted": ", ".join(summary["fitted"]),
        "simulator calls": cell(summary["calls"]),
        "loss": estimate({"estimate": loss["value"], "ci_low": loss["low"], "ci_high": loss["high"]}),
    }  # fmt: skip
    rows = []
    for name, value in summary["values"].items():
        for label, x in (
            [(f"{name}[{k}]", x) for k, x in enumerate(value)] if isinstance(value, list) else [(name, value)]
        ):
            row = known.get(label, {})
            shown = estimate({"estimate": x, "ci_low": row.get("low"), "ci_high": row.get("high")})
            rows.append([label, shown, str(row.get("note", ""))])
    section.blocks.append(Table("Best values", ("Parameter", "Value [interval]", "Note"), rows))
    return section


def _asked(folder: RunFolder, summary: Mapping[str, Any]) -> Section:
    """How people decide, and what archetypes answered."""
    section = Section("answers", "How people decide")
    document = summary.get("behaviour", {})
    section.facts = {name: cell(_listed(value)) for name, value in document.items() if name != "asked"}
    for arm, tally in document.get("asked", {}).items():
        counts = [[name, cell(value)] for name, value in tally.items() if not isinstance(value, dict)]
        section.blocks.append(Table(f"What was asked, {arm}", ("What", "Count"), counts))
    answers, replies = folder.path / "answers.parquet", folder.path / "replies.parquet"
    for asked in shares(answers) if answers.is_file() else ():
        rows = [[kind, *(cell(x) for x in line)] for kind, line in zip(asked.kinds, asked.values, strict=True)]
        heads = ["Archetype", *(f"week {week}" for week in asked.weeks)]
        section.blocks.append(Table(f"Share that says yes: {asked.action}", heads, rows))
    if replies.is_file():
        found, count = said(replies, MOST_REPLIES)
        note = f"{len(found)} of {count:,} different ones; the run's replies.parquet has all." * (count > len(found))
        section.blocks.append(table_of("What they said", found, note))
    return section


def _listed(value: Any) -> Any:
    return ", ".join(map(str, value)) if isinstance(value, list) else value
