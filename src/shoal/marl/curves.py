"""Learning curves of a training: returns by environment step, read from its metrics, and their picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError
from shoal.marl.records import METRICS
from shoal.runs.folder import read_lines
from shoal.stats import Estimate
from shoal.stats.aggregates import sample_efficiency

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POINTS = 60
"""Most points of a curve; updates between two of them are averaged."""


@dataclass(frozen=True)
class Curves:
    """What one training learned over time.

    Attributes:
        steps: environment steps of each seed at the end of each bin [points].
        values: mean of the metric in each bin [seeds, points]; bins in which a seed has none are left out for all.
        seeds: numbers of the seeds.
        metric: what the values are.
    """

    steps: NDArray[np.float64]
    values: NDArray[np.float64]
    seeds: tuple[int, ...]
    metric: str

    def middle(self) -> list[Estimate]:
        """Interquartile mean over seeds at each point, with 95% stratified bootstrap intervals."""
        return sample_efficiency(self.values[:, None])


def read_curves(path: Path | str, metric: str = "return", points: int = POINTS) -> Curves:
    """The curves of a training.

    Args:
        path: its folder.
        metric: a scalar of ``metrics.jsonl``; ``return`` is that of the episodes that ended in an update, summed over
            agents.
        points: most points.

    Raises:
        InputError: no metrics there, or no such metric in them.
    """
    rows = [row for row in read_lines(Path(path) / METRICS) if isinstance(row.get(metric), int | float | None)]
    rows = [row for row in rows if metric in row]
    if not rows:
        raise InputError("training", str(path), f"Give the folder of a training whose {METRICS} has {metric!r}.")
    seeds = tuple(dict.fromkeys(int(row["seed"]) for row in rows))
    updates = max(int(row["update"]) for row in rows)
    table = np.full((len(seeds), updates), np.nan)
    steps = np.zeros(updates)
    for row in rows:
        table[seeds.index(int(row["seed"])), int(row["update"]) - 1] = np.nan if row[metric] is None else row[metric]
        steps[int(row["update"]) - 1] = row["step"]
    bins = np.array_split(np.arange(updates), min(points, updates))
    counts = np.stack([np.isfinite(table[:, b]).sum(1) for b in bins], 1)
    sums = np.stack([np.nansum(table[:, b], axis=1) for b in bins], 1)
    full = (counts > 0).all(0)
    return Curves(steps[[b[-1] for b in bins]][full], sums[:, full] / counts[:, full], seeds, metric)


def draw_curves(curves: dict[str, Curves], title: str = "") -> Figure:
    """One line for each training: the interquartile mean over its seeds with a 95% band, single seeds thin behind it.

    Args:
        curves: by what they are called.
        title: above the picture.
    """
    from shoal.runs.plots import PALETTE, new_figure

    figure, (ax,) = new_figure(width=5.6, height=3.6)
    for number, (name, curve) in enumerate(curves.items()):
        colour = PALETTE[number % len(PALETTE)]
        middle = curve.middle()
        if len(curve.seeds) > 1:
            for row in curve.values:
                ax.plot(curve.steps, row, color=colour, linewidth=0.5, alpha=0.35)
            ax.fill_between(
                curve.steps, [e.low for e in middle], [e.high for e in middle], color=colour, alpha=0.2, linewidth=0
            )
        seeds = "1 seed" if len(curve.seeds) == 1 else f"{len(curve.seeds)} seeds"
        ax.plot(curve.steps, [e.value for e in middle], color=colour, label=f"{name} ({seeds})", **_dot(curve))
    ax.set_xlabel("environment steps (each seed)", fontsize=8)
    metrics = {curve.metric for curve in curves.values()}
    ax.set_ylabel(" / ".join(sorted(metrics)).replace("_", " "), fontsize=8)
    ax.xaxis.set_major_formatter(_short)
    ax.set_title(title, fontsize=9, loc="left")
    ax.legend(fontsize=8, frameon=False)
    return figure


def _dot(curve: Curves) -> dict[str, Any]:
    """A single point needs a mark to be seen."""
    return {"marker": "o"} if curve.steps.size == 1 else {"linewidth": 1.6}


def _short(steps: float, _: object = None) -> str:
    """1500000 as 1.5M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(steps) >= size:
            return f"{steps / size:g}{letter}"
    return f"{steps:g}"
