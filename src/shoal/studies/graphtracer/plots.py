"""The figures of the GraphTracer study."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shoal.runs.results import Results
from shoal.studies.graphtracer.settings import (
    AUCS,
    CHAIN,
    EARLIEST,
    FAULTS,
    JUDGES,
    LESSONS,
    NO_PARENTS,
    RULE,
    RUNS,
    SHUFFLED,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plots(results: Results) -> dict[str, Figure]:
    """Accuracy of all methods, by quality of the judge and by distance; training; real logs with Wilson intervals."""
    from shoal.runs.plots import bars, new_figure

    figures: dict[str, Figure] = {}
    if results.has("tracing"):
        figures["tracing"], axes = new_figure(2, 1, 5.6, 3.8)
        for ax, sees in zip(axes, JUDGES, strict=True):
            bars(ax, results, "tracing", f"step, {sees}")
        figures["distance"], (ax,) = new_figure()
        _by_distance(ax, results)
    if results.has("conditions"):
        figures["judge"], axes = new_figure(2, 1, 4.6, 3.4)
        for ax, sees in zip(axes, JUDGES, strict=True):
            for name in (RULE, NO_PARENTS, CHAIN, EARLIEST):
                shares = [results.mean("conditions", name, f"step, {sees}, AUC {auc}").value for auc in AUCS]
                ax.plot(AUCS, shares, marker="o", label=name)
            ax.set(xlabel="AUC of the judge", ylabel="exact step", title=f"judge sees {sees}")
            ax.legend(fontsize=7, frameon=False)
    if results.has("learning"):
        figures["learning"], axes = new_figure(2, len(LESSONS), 5.2, 2.4)
        for row, (planting, sees) in enumerate(LESSONS):
            for ax, metric in zip(axes[2 * row : 2 * row + 2], ("step", "reward"), strict=True):
                bars(ax, results, "learning", f"{metric}, {sees}, {planting} faults")
    if results.has("logs"):
        figures["logs"], axes = new_figure(2, 1, 5.4, 3.6)
        for ax, metric in zip(axes, ("agent", "step"), strict=True):
            _on_real_logs(ax, results, metric)
    return figures


def _by_distance(ax: Any, results: Results) -> None:
    """Accuracy in four equal groups of runs by steps from cause to failure."""
    distance, _ = results.items("tracing", RUNS, "steps to failure")
    group = np.searchsorted(np.quantile(distance, (0.25, 0.5, 0.75)), distance)
    places = [distance[group == g].mean() for g in range(4)]
    for name in (RULE, CHAIN, SHUFFLED, EARLIEST):
        hit, _ = results.items("tracing", name, f"step, {FAULTS}")
        ax.plot(places, [hit[group == g].mean() for g in range(4)], marker="o", label=name)
    ax.set(xlabel="steps from cause to failure", ylabel="exact step")
    ax.legend(fontsize=7, frameon=False)


def _on_real_logs(ax: Any, results: Results, metric: str) -> None:
    from shoal.runs.plots import PALETTE
    from shoal.stats import proportion

    names = [v for v in results.variants("logs") if results.has("logs", v, metric)]
    hits: list[NDArray[np.float64]] = [results.items("logs", v, metric)[0] for v in names]
    shares = [proportion(int(h.sum()), h.size) for h in hits]
    places = np.arange(len(names))[::-1]
    reach = np.maximum([[s.value - s.low for s in shares], [s.high - s.value for s in shares]], 0.0)
    ax.barh(places, [s.value for s in shares], xerr=reach, color=PALETTE[0], ecolor="#444444", height=0.65, capsize=2)
    ax.set_yticks(places, names, fontsize=8)
    ax.set_title(f"126 real logs: {metric} (Wilson intervals)", fontsize=9, loc="left")
