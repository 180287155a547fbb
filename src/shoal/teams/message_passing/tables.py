"""AgentsNet scores of a run as a table and as figures.

Read from measurements named ``soft-TASK``, ``solved-TASK``, ``agentsnet-soft`` and ``agentsnet-solved``, one value per
graph, with ``-nSIZE`` appended where an experiment tells sizes apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from shoal.runs.results import Results
from shoal.teams.message_passing.graphs import Graph
from shoal.teams.message_passing.outcomes import TaskRun
from shoal.teams.message_passing.problems import TASKS, Task
from shoal.teams.message_passing.scoring import agentsnet_score, solved

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


Case = tuple[int, int, Graph, Task]
"""Number of nodes, index of the graph among those of its size, the graph, the task."""


def language_measurements(
    cases: Sequence[Case], scores: Sequence[NDArray[np.float64]], runs: Sequence[TaskRun]
) -> dict[str, list[float]]:
    """Scores of each case by task and size, and how much of what was said could be read.

    Args:
        cases: what was played.
        scores: soft scores of each case [draws]; one draw where a team played it once.
        runs: the teams' runs, in the order of the cases; empty for baselines that do not talk.
    """
    found: dict[str, list[float]] = {}
    by_graph: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for (n, i, _, task), values in zip(cases, scores, strict=True):
        soft, whole = float(values.mean()), float(solved(values).mean())
        found.setdefault(f"soft-{task}-n{n}", []).append(soft)
        found.setdefault(f"solved-{task}-n{n}", []).append(whole)
        by_graph.setdefault((n, i), []).append((soft, whole))
    for (n, _), pairs in by_graph.items():
        soft, whole = np.mean(pairs, axis=0)
        found.setdefault(f"agentsnet-soft-n{n}", []).append(float(soft))
        found.setdefault(f"agentsnet-solved-n{n}", []).append(float(whole))
    for run in runs:
        outboxes = run.n * run.rounds
        if outboxes:
            found.setdefault("unreadable-outboxes", []).append(run.failed("outbox unreadable") / outboxes)
            found.setdefault("messages-per-outbox", []).append(run.messages / outboxes)
            found.setdefault("misaddressed", []).append(run.dropped.get("not a neighbour", 0) / outboxes)
        found.setdefault("unreadable-answers", []).append(run.failed("answer unreadable") / run.n)
    return found


def score_table(results: Results, experiment: str, size: int | None = None) -> str:
    """Per variant: soft and solved scores by task and over tasks, as "mean (standard error over graphs)".

    Args:
        results: the measurements.
        experiment: whose.
        size: number of nodes, where the experiment tells sizes apart.
    """
    tag = "" if size is None else f"-n{size}"
    rows = [["variant", "score", *TASKS, "AgentsNet", "graphs"]]
    for variant in results.variants(experiment):
        for kind in ("soft", "solved"):
            by_task: dict[str, NDArray[np.float64]] = {
                task: results.items(experiment, variant, f"{kind}-{task}{tag}")[0] for task in TASKS
            }
            present = {task: values for task, values in by_task.items() if values.size}
            if not present:
                continue
            overall = agentsnet_score(present)
            cells = [str(agentsnet_score({t: present[t]})) if t in present else "-" for t in TASKS]
            rows.append([variant, kind, *cells, str(overall), str(overall.graphs)])
    widths = [max(len(row[c]) for row in rows) for c in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def by_size(results: Results, experiment: str, variant: str, metric: str) -> tuple[list[int], NDArray[np.float64]]:
    """Sizes [k] at which a metric was measured, in rising order, and its mean over graphs [seeds, k]."""
    measured = [m for m in results.metrics(experiment) if m.startswith(f"{metric}-n")]
    sizes = sorted(int(m.rpartition("-n")[2]) for m in measured)
    columns = [results.values(experiment, variant, f"{metric}-n{n}") for n in sizes]
    fewest = min((column.size for column in columns), default=0)
    return sizes, np.column_stack([c[:fewest] for c in columns]) if fewest else np.empty((0, len(sizes)))


def score_figures(results: Results) -> dict[str, Figure]:
    """Soft and solved scores by n: a panel for each task and one for all, with random answers beside the agents."""
    from matplotlib.figure import Figure

    figures: dict[str, Figure] = {}
    for name, agents in (("scores-by-size", "erring"), ("scores-by-size-paper-rounds", "erring-paper-rounds")):
        if not results.has("decay", agents):
            continue
        figure = Figure(figsize=(11, 7), layout="constrained")
        panels = figure.subplots(2, 3, sharex=True, sharey=True).flat
        for axes, task in zip(panels, (*TASKS, ""), strict=True):
            _panel(axes, results, agents, task)
        figure.supylabel("score, mean and standard error over seeds")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3)
        figures[name] = figure
    return figures


def _panel(axes: Axes, results: Results, agents: str, task: str) -> None:
    """One task by n, or the score over tasks where ``task`` is empty."""
    for variant, colour in (("random", "0.5"), ("reference", "tab:green"), (agents, "tab:blue")):
        for kind, line in (("soft", "--"), ("solved", "-")):
            sizes, scores = by_size(results, "decay", variant, f"{kind}-{task}" if task else f"agentsnet-{kind}")
            if len(scores):
                _band(axes, sizes, scores, colour, line, f"{variant}, {kind}")
                axes.set_xscale("log")
                axes.set_xticks(sizes, [str(n) for n in sizes])
                axes.set_xticks([], minor=True)
    axes.set_title(task or "AgentsNet score")
    axes.set_xlabel("number of agents n")
    axes.set_ylim(-0.02, 1.02)


def _band(axes: Axes, sizes: Sequence[int], scores: NDArray[np.float64], colour: str, line: str, label: str) -> None:
    middle = scores.mean(axis=0)
    error = scores.std(axis=0, ddof=1) / np.sqrt(len(scores)) if len(scores) > 1 else np.zeros_like(middle)
    axes.plot(sizes, middle, color=colour, linestyle=line, label=label)
    axes.fill_between(sizes, middle - error, middle + error, color=colour, alpha=0.2)
