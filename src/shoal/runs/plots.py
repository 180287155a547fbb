"""Plots of a run: bars with intervals, and the style that all figures share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shoal.errors import StorageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from shoal.runs.results import Results

# Okabe and Ito's palette: distinguishable for colour-blind readers.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000", "#F0E442")
MOST_PANELS = 6


def new_figure(columns: int = 1, rows: int = 1, width: float = 4.6, height: float = 3.2) -> tuple[Figure, list[Axes]]:
    """A figure in the house style and its axes, row by row. No window is ever opened."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * columns, height * rows), dpi=120, layout="constrained")
    axes: list[Axes] = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(axis="y", color="#dddddd", linewidth=0.6)
        ax.set_axisbelow(True)
        ax.set_prop_cycle(color=PALETTE)
        ax.tick_params(labelsize=8)
    return figure, axes


def bars(ax: Axes, results: Results, experiment: str, metric: str, variants: Sequence[str] | None = None) -> None:
    """One horizontal bar per variant: the mean over seeds with its 95% interval."""
    import numpy as np

    shown = [v for v in variants or results.variants(experiment) if results.seeds(experiment, v, metric)]
    estimates = [results.mean(experiment, v, metric) for v in shown]
    places = np.arange(len(shown))[::-1]
    values = np.array([e.value for e in estimates])
    low = np.array([e.value - e.low if np.isfinite(e.low) else 0.0 for e in estimates])
    high = np.array([e.high - e.value if np.isfinite(e.high) else 0.0 for e in estimates])
    ax.barh(places, values, xerr=[low, high], color=PALETTE[0], ecolor="#444444", height=0.65, capsize=2)
    ax.set_yticks(places, shown, fontsize=8)
    ax.grid(axis="y", visible=False)
    ax.grid(axis="x", color="#dddddd", linewidth=0.6)
    ax.set_title(f"{experiment}: {metric.replace('_', ' ')}", fontsize=9, loc="left")


def standard_figures(results: Results) -> dict[str, Figure]:
    """One figure per experiment: a panel of bars for each of its first metrics."""
    figures = {}
    for experiment in results.experiments():
        metrics = [m for m in results.metrics(experiment) if _varies(results, experiment, m)][:MOST_PANELS]
        metrics = metrics or results.metrics(experiment)[:1]
        rows = (len(metrics) + 1) // 2
        height = 0.7 + 0.24 * len(results.variants(experiment))
        figure, axes = new_figure(min(2, len(metrics)), rows, 5.2, max(1.8, height))
        for ax, metric in zip(axes, metrics, strict=False):
            bars(ax, results, experiment, metric)
        for ax in axes[len(metrics) :]:
            ax.set_visible(False)
        figures[experiment] = figure
    return figures


def _varies(results: Results, experiment: str, metric: str) -> bool:
    """Whether the metric differs between any two variants or seeds; constants need no panel."""
    seen = {float(x) for v in results.variants(experiment) for x in results.values(experiment, v, metric)}
    return len(seen) > 1


def save_figures(figures: Mapping[str, Any], folder: Path) -> dict[str, Path]:
    """Write each figure as PNG; returns name -> path.

    Raises:
        StorageError: the folder cannot be written.
    """
    written = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, figure in figures.items():
            path = folder / f"{name}.png"
            figure.savefig(path, format="png")
            written[name] = path
    except OSError as error:
        raise StorageError(f"cannot write plots to {folder}: {error.strerror}. The run can be resumed") from error
    return written
