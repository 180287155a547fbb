"""Pictures of the error-cascades study."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from shoal.runs.results import Results
from shoal.studies.error_cascades.settings import (
    CORRECTIONS,
    DEFENCES,
    GRAPHS,
    MEAN_FIELD,
    MONTE_CARLO,
    PACKAGED,
    PHASES,
    TEAMS,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plots(results: Results) -> Mapping[str, Figure]:
    """S over R, defences by blocked and safe, correction times, and the relay; each only if measured."""
    from shoal.runs.plots import new_figure

    figures: dict[str, Figure] = {}
    if results.has("phase"):
        figures["phase"], axes = new_figure(len(GRAPHS))
        for ax, graph in zip(axes, GRAPHS, strict=True):
            for variant, style in ((MEAN_FIELD, "-"), (MONTE_CARLO, "o")):
                heights = [results.mean("phase", variant, f"S, {graph}, R={r:g}").value for r in PHASES]
                ax.plot(PHASES, heights, style, label=variant)
            ax.axvline(1, color="#444444", linewidth=0.8, linestyle="--")
            ax.set(xlabel="R", ylabel="S in the end", title=graph, ylim=(0, 1))
        axes[0].legend(fontsize=7, frameon=False)
    if results.has("correction"):
        figures["correction"], axes = new_figure(2)
        for ax, kind in zip(axes, ("star", "mesh"), strict=True):
            for metric in ("polluted", "polluted after"):
                found = [results.mean("correction", f"t = {t}", f"{metric}, {kind}") for t in CORRECTIONS]
                middle = np.array([e.value for e in found])
                reach = np.abs([[e.value - e.low for e in found], [e.high - e.value for e in found]])
                ax.errorbar(CORRECTIONS, middle, yerr=reach, marker="o", capsize=2, label=f"{metric} the correction"
                            if "after" in metric else "polluted in all")  # fmt: skip
            ax.set(xlabel="correction at round", ylabel="polluted rounds", title=kind)
        axes[0].legend(fontsize=7, frameon=False)
    if results.has("defences"):
        figures["defences"] = _defence_figure(results)
    if results.has("relay"):
        figures["relay"] = _relay_figure(results)
    return figures


def _defence_figure(results: Results) -> Figure:
    """Blocked and safe over both packaged attacks and all teams, and tokens."""
    from shoal.runs.plots import new_figure

    figure, axes = new_figure(2, 1, 5.4, 3.6)
    cells = [f"{kind}, {attack}" for kind in TEAMS for attack in PACKAGED]
    names, places = list(DEFENCES), np.arange(len(DEFENCES))[::-1]
    for metric, shift in (("blocked", 0.2), ("safe", -0.2)):
        values = [np.mean([results.mean("defences", n, f"{metric}, {c}").value for c in cells]) for n in names]
        axes[0].barh(places + shift, values, height=0.38, label=metric)
    tokens = [np.mean([results.mean("defences", n, f"tokens, {c}").value for c in cells]) for n in names]
    axes[1].barh(places, tokens, height=0.6)
    for ax, title in zip(axes, ("share of runs, packaged attacks", "tokens per run"), strict=True):
        ax.set_yticks(places, names, fontsize=8)
        ax.set_title(title, fontsize=9, loc="left")
    axes[0].legend(fontsize=7, frameon=False, loc="lower right")
    return figure


def _relay_figure(results: Results) -> Figure:
    from shoal.runs.plots import bars, new_figure

    figure, axes = new_figure(3, 1, 4.2, 3.8)
    for ax, metric in zip(axes, ("blocked", "safe", "tokens"), strict=True):
        bars(ax, results, "relay", metric)
    return figure
