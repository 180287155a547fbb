"""Pictures of the Dec-POMFC study."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from shoal.runs.results import Results
from shoal.studies.dec_pomfc.claims import gaps
from shoal.studies.dec_pomfc.experiments import FRAMES
from shoal.studies.dec_pomfc.settings import ARMS, KERNEL, TASKS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDE = 4.0


def plots(results: Results) -> Mapping[str, Figure]:
    """Returns of the arms, learning curves, the approach to the limit, and swarms that follow the plan."""
    from shoal.populations.pictures import swarm
    from shoal.runs.plots import bars, new_figure

    tasks = [t for t in TASKS if results.has(t)]
    if not tasks:
        return {}
    figures: dict[str, Figure] = {}
    figures["returns"], axes = new_figure(1, len(tasks), 6.4, 2.4)
    for ax, task in zip(axes, tasks, strict=True):
        bars(ax, results, task, "return", ARMS)
    figures["learning"], axes = new_figure(len(tasks), 1, 3.8, 3.2)
    for ax, task in zip(axes, tasks, strict=True):
        for variant in ARMS:
            values, seeds = results.items(task, variant, "in training")
            rows = len(set(seeds.tolist()))
            if values.size and values.size % rows == 0:
                ax.plot(values.reshape(rows, -1).mean(0), label=variant)
        ax.set_title(f"{task}: late score in training", fontsize=9, loc="left")
        ax.set_xlabel("part of the training", fontsize=8)
    axes[0].legend(fontsize=6)
    figures["limit"] = _limit(results, tasks)
    for task in tasks:
        parts = [results.items(task, KERNEL, f"shown {part}")[0] for part in ("x", "y", "heading")]
        known = [part.reshape(FRAMES, -1) for part in parts if part.size]
        if known:
            figures[f"swarm-{task}"] = picture = swarm(np.stack(known, -1), SIDE)
            for ax, time in zip(picture.axes, results.items(task, KERNEL, "shown at")[0], strict=True):
                ax.set_title(f"step {time:.0f}", fontsize=8, loc="left")
    return figures


def _limit(results: Results, tasks: list[str]) -> Figure:
    from shoal.runs.plots import new_figure

    figure, (ax,) = new_figure(1, 1, 4.6, 3.4)
    for task in tasks:
        found = gaps(results, task)
        if found:
            middle = [float(v.mean()) for v in found.values()]
            ax.plot(list(found), middle, marker="o", markersize=3, label=task)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("agents", fontsize=8)
    ax.set_title("|return - return of the largest swarm|", fontsize=9, loc="left")
    ax.legend(fontsize=7)
    return figure
