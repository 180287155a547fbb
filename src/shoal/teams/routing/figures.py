"""Figures of the routing experiments: rolling success around the shocks, regret curves, cost against success."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from shoal.runs.results import Results
from shoal.teams.routing.recovery import PLOT_EVERY

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def figures(results: Results) -> Mapping[str, Figure]:
    """Rolling success around the shocks, regret curves, and cost against success."""
    from shoal.runs.plots import new_figure

    made: dict[str, Figure] = {}
    shocks = [e for e in ("unavailable", "degraded", "degraded-silent") if results.has(e, metric="rolling")]
    if shocks:
        made["shock"], axes = new_figure(len(shocks), 1)
        for ax, experiment in zip(axes, shocks, strict=True):
            for name in ("oracle", "linucb reduced", "linucb", "frozen reduced", "static rule", "random"):
                _band(ax, results, experiment, name, "rolling", PLOT_EVERY)
            ax.set(title=experiment, xlabel="task", ylabel="success, last 50 tasks", ylim=(0, 1))
        axes[-1].legend(fontsize=7)
    if results.has("linear", metric="regret"):
        made["regret"], (ax,) = new_figure()
        for name in results.variants("linear"):
            _band(ax, results, "linear", name, "regret", 1)
        ax.set(xlabel="share of the horizon, %", ylabel="cumulative pseudo-regret (log)", yscale="log")
        ax.legend(fontsize=7)
    if results.has("cost"):
        made["cost"], (ax,) = new_figure()
        for name in results.variants("cost"):
            x, y = (results.mean("cost", name, metric) for metric in ("cost_per_correct", "success"))
            ax.errorbar(x.value, y.value, [[y.value - y.low], [y.high - y.value]], fmt="o", label=name, markersize=4)
        ax.set(xlabel="cost per correct answer", ylabel="success")
        ax.legend(fontsize=7)
    return made


def _band(ax: Any, results: Results, experiment: str, variant: str, metric: str, every: int) -> None:
    """Mean over seeds with a 95% band (normal)."""
    values, seeds = results.items(experiment, variant, metric)
    if values.size == 0:
        return
    runs = values.reshape(np.unique(seeds).size, -1)
    middle = runs.mean(axis=0)
    half = 1.96 * runs.std(axis=0, ddof=min(1, len(runs) - 1)) / np.sqrt(len(runs))
    x = np.arange(1, middle.size + 1) * every
    ax.plot(x, middle, label=variant, linewidth=1.2)
    ax.fill_between(x, middle - half, middle + half, alpha=0.2, linewidth=0)
