"""Pictures of populations where curves are not enough: swarms, maps, and distributions over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from shoal.runs.plots import PALETTE, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Values = NDArray[np.float64]

TIMES = 4
"""Snapshots of a run."""


def swarm(shown: Values, side: float) -> Figure:
    """Agents in their square at four times, arrows where headings are known.

    Args:
        shown: coordinates, and headings if there are any [steps, agents, 2 or 3].
        side: of the square.
    """
    times = _times(shown.shape[0])
    figure, axes = new_figure(len(times), 1, 2.6, 2.8)
    for ax, time in zip(axes, times, strict=True):
        x, y = shown[time, :, 0], shown[time, :, 1]
        if shown.shape[2] == 3:
            angle = shown[time, :, 2]
            ax.quiver(x, y, np.cos(angle), np.sin(angle), angle, cmap="twilight", clim=(-np.pi, np.pi), pivot="mid")
        else:
            ax.scatter(x, y, s=6, color=PALETTE[0], linewidths=0)
        ax.set_xlim(0, side)
        ax.set_ylim(0, side)
        _bare(ax, f"step {time + 1}")
    return figure


def maps(layers: dict[str, Values]) -> Figure:
    """Densities on a grid at four times, a row for each layer.

    Args:
        layers: by name, each [steps, rows, columns].
    """
    times = _times(next(iter(layers.values())).shape[0])
    figure, axes = new_figure(len(times), len(layers), 2.4, 2.6)
    for row, (name, values) in enumerate(layers.items()):
        for ax, time in zip(axes[row * len(times) :], times, strict=False):
            ax.imshow(values[time], cmap="viridis", vmin=0, vmax=max(values[times].max(), 1e-9), origin="lower")
            _bare(ax, f"{name}, step {time + 1}")
    return figure


def distribution(shares: Values, low: float, high: float, label: str) -> Figure:
    """A histogram for each step, side by side: who holds which value when.

    Args:
        shares: of agents in each bin [steps, bins].
        low: least value.
        high: greatest value.
        label: of the values.
    """
    figure, (ax,) = new_figure(1, 1, 5.2, 3.2)
    extent = (0.5, shares.shape[0] + 0.5, low, high)
    # Roots, so that a few who hold out are seen beside the many.
    ax.imshow(np.sqrt(shares.T), aspect="auto", origin="lower", extent=extent, cmap="magma")
    ax.set_xlabel("step", fontsize=8)
    ax.set_ylabel(label, fontsize=8)
    ax.set_title("shares (square root), first run", fontsize=9, loc="left")
    ax.grid(visible=False)
    return figure


def phase(x: Values, y: Values, x_label: str, y_label: str) -> Figure:
    """The way of two series through their plane, a line for each run, dots coloured by step.

    Args:
        x: first series [seeds, steps].
        y: second series [seeds, steps].
        x_label: its name.
        y_label: its name.
    """
    figure, (ax,) = new_figure(1, 1, 4.2, 3.6)
    steps = np.arange(x.shape[1])
    for one, two in zip(x, y, strict=True):
        ax.plot(one, two, color="#bbbbbb", linewidth=0.5)
        dots = ax.scatter(one, two, c=steps, s=7, cmap="viridis", linewidths=0, zorder=2)
    figure.colorbar(dots, ax=ax, label="step")
    ax.set_xlabel(x_label, fontsize=8)
    ax.set_ylabel(y_label, fontsize=8)
    return figure


def _times(steps: int) -> list[int]:
    """First, last and two between; fewer if there are fewer."""
    return sorted({int(t) for t in np.linspace(0, steps - 1, TIMES)})


def _bare(ax: Axes, title: str) -> None:
    ax.set_aspect("equal")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(visible=False)
    ax.set_title(title, fontsize=8, loc="left")
