"""What the Dec-POMFC study claims, and by which measurements."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shoal.runs.checks import Checks, all_of
from shoal.runs.results import Results
from shoal.runs.study import Claim
from shoal.stats import Check, Estimate, exact, mean, paired_difference
from shoal.stats.aggregates import interquartile_mean
from shoal.studies.dec_pomfc.experiments import size_metric, sizes_of
from shoal.studies.dec_pomfc.settings import (
    BLIND,
    CHANCE,
    CLASSIC,
    GATHER_BY_HAND,
    HISTOGRAM,
    IPPO,
    KERNEL,
    MAPPO,
    OPEN,
    SHARED,
    TASKS,
    TURN_BY_HAND,
)

Values = NDArray[np.float64]


def _middle(
    experiment: str, variant: str, metric: str, above: float | None = None, below: float | None = None
) -> Checks:
    """The interquartile mean over seeds lies in the region, with its bootstrap interval."""

    def checks(results: Results) -> list[Check]:
        values = results.values(experiment, variant, metric)
        if not values.size:
            return []
        return [Check(f"{experiment}: {metric}, {variant}", interquartile_mean(values), above, below)]

    return checks


def _order(task: str) -> Checks:
    return all_of(_middle(task, KERNEL, "late", above=0.8), _middle(task, CHANCE, "late", below=0.3))


def _in_tasks(one: str, tasks: Sequence[str] = TASKS) -> Checks:
    """In every task the planner's return lies above another arm's, paired over seeds; none while a task is missing."""

    def checks(results: Results) -> list[Check]:
        if not all(results.has(t, v, "return") for t in tasks for v in (KERNEL, one)):
            return []
        gains = {t: results.difference(t, KERNEL, one, "return") for t in tasks}
        return [Check(f"{t}: return, {KERNEL} - {one}", gain, above=0.0) for t, gain in gains.items()]

    return checks


def _at_least(share: float, baseline: str) -> Checks:
    """In every task the planner has that share of a baseline's return: interquartile mean of what it has beyond."""

    def checks(results: Results) -> list[Check]:
        found = []
        for task in TASKS:
            own, other = (results.values(task, v, "return") for v in (KERNEL, baseline))
            if not own.size or own.size != other.size:
                return []
            beyond = interquartile_mean(own - share * other)
            found.append(Check(f"{task}: return, {KERNEL} - {share:g} x {baseline}", beyond, above=0.0))
        return found

    return checks


def _histograms(results: Results) -> list[Check]:
    """The two tasks in which kernels gain most over histograms."""
    if not all(results.has(t, v, "return") for t in TASKS for v in (KERNEL, HISTOGRAM)):
        return []
    gains = {t: results.difference(t, KERNEL, HISTOGRAM, "return") for t in TASKS}
    best = sorted(TASKS, key=lambda t: gains[t].value, reverse=True)
    return [Check(f"{t}: return, kernels - histograms", gains[t], above=0.0) for t in best[:2]]


def _larger(results: Results) -> list[Check]:
    """From the evaluation's size to 1,000 agents."""
    found = []
    for task in TASKS:
        small, large = (results.values(task, KERNEL, m) for m in ("return", size_metric(1000)))
        if not small.size or small.size != large.size:
            return []
        found.append(Check(f"{task}: return at N=1000 - 0.9 x here", paired_difference(large, 0.9 * small), above=0.0))
    return found


def gaps(results: Results, task: str) -> dict[int, Values]:
    """|J^N - J^largest| of each seed, by N from 10 to 500."""
    sizes = sizes_of(results.metrics(task))
    if len(sizes) < 2:
        return {}
    limit = results.values(task, KERNEL, size_metric(sizes[-1]))
    return {n: np.abs(results.values(task, KERNEL, size_metric(n)) - limit) for n in sizes[:-1] if n <= 500}


def _limit(results: Results) -> list[Check]:
    found: list[Check] = []
    rises = steps = 0
    for task in TASKS:
        by_size = gaps(results, task)
        if len(by_size) < 2:
            return []
        first, *_, last = by_size
        shrinks = paired_difference(by_size[last], by_size[first])
        found.append(Check(f"{task}: gap to the largest swarm, N={last} - N={first}", shrinks, below=0.0))
        for one, two in zip(by_size.values(), list(by_size.values())[1:], strict=False):
            rises += paired_difference(two, one).low > 0
            steps += 1
    return [
        *found,
        Check("steps in size that raise the gap by more than their interval", exact(rises, steps), below=0.5),
    ]


def _sensitive(results: Results) -> list[Check]:
    """What open loop loses against the broadcast distribution: more from clumps than from its own start."""
    found = []
    for task in TASKS:
        if not results.has(task, SHARED, "return from clumps"):
            return []
        loss = {m: _lost(results, task, m) for m in ("return", "return from clumps")}
        more = paired_difference(loss["return from clumps"], loss["return"])
        found.append(Check(f"{task}: loss of open loop, clumps - its own start", more, above=0.0))
    return found


def _lost(results: Results, task: str, metric: str) -> Values:
    return results.values(task, SHARED, metric) - results.values(task, KERNEL, metric)


def _warns(results: Results) -> list[Check]:
    asked = [t for t in TASKS if results.has(t, KERNEL, "warns, even")]
    if not asked:
        return []
    told = {s: np.concatenate([results.values(t, KERNEL, f"warns, {s}") for t in asked]) for s in ("even", "clumps")}
    return [
        Check("share of shifted starts with a warning", _share(told["clumps"]), above=0.95),
        Check("share of even starts with a warning", _share(told["even"]), below=0.05),
    ]


def _share(told: Values) -> Estimate:
    return exact(float(told.mean()), told.size)


def _by_hand(results: Results) -> list[Check]:
    regions: tuple[tuple[str, str, float | None, float | None], ...] = (
        (TURN_BY_HAND, "vicsek: order", 0.98, None),
        (TURN_BY_HAND, "kuramoto: order", 0.95, None),
        (CHANCE, "vicsek: order", None, 0.13),
        (CHANCE, "kuramoto: order", None, 0.13),
        (CLASSIC, "aggregation: left", None, 0.03),
        (GATHER_BY_HAND, "aggregation: left", None, 0.05),
    )
    if not results.has("by hand", CLASSIC, "aggregation: left"):
        return []
    found = [(v, m, results.values("by hand", v, m), above, below) for v, m, above, below in regions]
    return [
        Check(f"{metric}, {variant}", mean(values), above, below) for variant, metric, values, above, below in found
    ]


# fmt: off
CLAIMS = (
    Claim("flocks",
          "The learned rule flocks: Vicsek's order over the last 20 steps is at least 0.8 with 200 agents, by chance "
          "below 0.3", "vicsek", _order("vicsek")),
    Claim("falls-into-step",
          "The learned rule synchronises: Kuramoto's order is at least 0.8, by chance below 0.3",
          "kuramoto", _order("kuramoto")),
    Claim("gathers",
          "The learned rule gathers: at most 30% of the start's mean distance is left",
          "aggregation", _middle("aggregation", KERNEL, "left", below=0.3)),
    Claim("local-observation",
          "A rule that ignores what an agent sees returns less on all three tasks",
          "vicsek", _in_tasks(BLIND),
          "In aggregation a wall is a place to meet that nobody has to see; see the next claim."),
    Claim("local-observation-open",
          "Without walls, a rule that ignores what an agent sees returns less in aggregation (our own)",
          OPEN, _in_tasks(BLIND, (OPEN,))),
    Claim("on-par",
          "The learned rule returns at least 90% of MAPPO's, whose critic sees the same features, on all three tasks",
          "vicsek", _at_least(0.9, MAPPO)),
    Claim("on-par-independent",
          "The learned rule returns at least 90% of IPPO's on all three tasks",
          "vicsek", _at_least(0.9, IPPO),
          "Unequal in information: IPPO's critic sees what its agent sees."),
    Claim("larger-swarms",
          "With 1,000 agents a plan keeps at least 90% of its return with 200",
          "vicsek", _larger),
    Claim("limit",
          "Returns approach the largest swarm's from 10 to 500 agents, monotonously up to error bars",
          "vicsek", _limit),
    Claim("kernels",
          "With as many features, kernels return more than histograms on at least two of three tasks",
          "vicsek", _histograms),
    Claim("open-loop",
          "Open loop loses more against a broadcast distribution from a shifted start than from its own, on all tasks",
          "vicsek", _sensitive),
    Claim("warning",
          "A plan warns of shifted starts and not of even ones",
          "vicsek", _warns),
    Claim("by-hand",
          "A kernel rule set by hand reaches order 1.0 (Vicsek) and 0.97 (Kuramoto), chance 0.05 to 0.13; going to the "
          "local mean leaves 2% of the distance",
          "by hand", _by_hand),
)
# fmt: on
