"""The Agent Stability Index (arXiv 2601.04170): twelve dimensions, four groups, one number for each window; alarms.

The reference is a frozen baseline (the first windows): a moving one would hide slow drift. A dimension that cannot be
measured is left out, the rest of its group shares the group's weight, and the reading says how many of twelve it holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from shoal.diagnosis.stability.dimensions import DIMENSIONS
from shoal.diagnosis.stability.interactions import Interaction, by_agent
from shoal.errors import InputError

GROUPS: Mapping[str, tuple[str, ...]] = {
    "consistency": ("C_sem", "C_path", "C_conf"),
    "tools": ("T_sel", "T_seq", "T_param"),
    "coordination": ("I_agree", "I_handoff", "I_role"),
    "boundaries": ("B_len", "B_err", "B_human"),
}
WEIGHTS: Mapping[str, float] = {"consistency": 0.30, "tools": 0.25, "coordination": 0.25, "boundaries": 0.20}
WINDOW = 50
SMALLEST = 20
BASELINE = 2
ONSET = 0.85
THRESHOLD = 0.75
PATIENCE = 3


@dataclass(frozen=True, slots=True)
class Reading:
    """One window against the baseline.

    Attributes:
        start: index of its first interaction.
        end: index after its last one.
        dimensions: value by name, in [0, 1]; None where it cannot be measured.
        groups: mean by group over its measured dimensions; None where none was.
        index: the weighted mean of the groups, in [0, 1]; None where nothing was measured.
    """

    start: int
    end: int
    dimensions: Mapping[str, float | None]
    groups: Mapping[str, float | None]
    index: float | None

    @property
    def measured(self) -> int:
        """How many of the twelve dimensions were measured."""
        return sum(v is not None for v in self.dimensions.values())


@dataclass(frozen=True, slots=True)
class Rule:
    """Windows and alarms.

    Attributes:
        window: interactions in a window, at least 20.
        baseline: windows of the frozen baseline.
        onset: early onset is the first window below this.
        threshold: drift is ``patience`` windows running below this.
        patience: windows running.
    """

    window: int = WINDOW
    baseline: int = BASELINE
    onset: float = ONSET
    threshold: float = THRESHOLD
    patience: int = PATIENCE

    def __post_init__(self) -> None:
        if self.window < SMALLEST:
            raise InputError("window", self.window, f"Give at least {SMALLEST} interactions: fewer are mostly noise.")
        if self.baseline < 1 or self.patience < 1:
            raise InputError("baseline, patience", (self.baseline, self.patience), "Give at least 1 window of each.")
        if not 0 < self.threshold <= self.onset <= 1:
            raise InputError("threshold", self.threshold, f"Give a value above 0 and at most onset ({self.onset}).")


@dataclass(frozen=True, slots=True)
class Course:
    """Readings over time, and what the rule makes of them.

    Attributes:
        readings: one for each window after the baseline.
        rule: the windows and alarms.
        onset: position among the readings of the early onset; None if there was none.
        drift: position of the window that completes the patience; None if there was none.
    """

    readings: tuple[Reading, ...]
    rule: Rule
    onset: int | None
    drift: int | None

    @property
    def measured(self) -> int:
        """Dimensions measured in at least one window."""
        return sum(any(r.dimensions[d] is not None for r in self.readings) for d in DIMENSIONS)

    @property
    def weakest(self) -> str:
        """The group that is lowest in the last measured window; empty if there is none."""
        groups = next((r.groups for r in reversed(self.readings) if r.index is not None), {})
        told = {name: value for name, value in groups.items() if value is not None}
        return min(told, key=lambda name: told[name]) if told else ""


def compare(window: Sequence[Interaction], baseline: Sequence[Interaction], start: int = 0) -> Reading:
    """The twelve dimensions of a window and its index.

    Raises:
        InputError: the window or the baseline holds fewer than 20 interactions.
    """
    for name, part in (("window", window), ("baseline", baseline)):
        if len(part) < SMALLEST:
            raise InputError(name, f"{len(part)} interactions", f"Give at least {SMALLEST}: fewer are mostly noise.")
    values = {name: measure(window, baseline) for name, measure in DIMENSIONS.items()}
    groups = {name: _mean([values[d] for d in members]) for name, members in GROUPS.items()}
    return Reading(start, start + len(window), values, groups, stability_index(groups))


def stability_index(groups: Mapping[str, float | None]) -> float | None:
    """The weighted mean over the groups that were measured; None if none was."""
    told = {name: value for name, value in groups.items() if value is not None}
    weight = sum(WEIGHTS[name] for name in told)
    return sum(WEIGHTS[name] * value for name, value in told.items()) / weight if weight else None


def course(found: Sequence[Interaction], rule: Rule | None = None) -> Course:
    """Readings of all whole windows after the baseline; a last window that is not full is left out."""
    rule = rule or Rule()
    first = rule.window * rule.baseline
    readings = tuple(
        compare(found[start : start + rule.window], found[:first], start)
        for start in range(first, len(found) - rule.window + 1, rule.window)
    )
    onset, drift = alarms([r.index for r in readings], rule)
    return Course(readings, rule, onset, drift)


def agent_courses(found: Sequence[Interaction], rule: Rule | None = None) -> dict[str, Course]:
    """A course for each agent, in windows of its own interactions; agents without one whole window are left out.

    Their windows are shorter, down to 20, so that they span about the time of the team's; they are noisier for it.
    """
    rule, parts = rule or Rule(), by_agent(found)
    own_rule = replace(rule, window=max(SMALLEST, rule.window // max(1, len(parts))))
    courses = {agent: course(own, own_rule) for agent, own in parts.items()}
    return {agent: one for agent, one in courses.items() if one.readings}


def alarms(index: Sequence[float | None], rule: Rule) -> tuple[int | None, int | None]:
    """Positions of the early onset and of the drift alarm; windows without a value end a run of low ones."""
    low = np.array([x is not None and x < rule.threshold for x in index], bool)
    onset = next((i for i, x in enumerate(index) if x is not None and x < rule.onset), None)
    first = first_runs(low[None], rule.patience)[0] if low.size else -1
    return onset, (int(first) if first >= 0 else None)


def first_runs(low: NDArray[np.bool_], patience: int) -> NDArray[np.int64]:
    """Where each row [rows, windows] first completes ``patience`` true entries running: [rows], -1 for never."""
    held = np.ones((low.shape[0], max(0, low.shape[1] - patience + 1)), bool)
    for k in range(patience):
        held &= low[:, k : k + held.shape[1]]
    if not held.shape[1]:
        return np.full(low.shape[0], -1)
    return np.where(held.any(axis=1), held.argmax(axis=1) + patience - 1, -1)


def _mean(values: Sequence[float | None]) -> float | None:
    told = [v for v in values if v is not None]
    return float(np.mean(told)) if told else None
