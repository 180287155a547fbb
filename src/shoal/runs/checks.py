"""Checks for claims: one variant against another on the same items (games, questions, tasks) or seeds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.runs.results import Results
from shoal.stats import Check, exact, mean, proportion

Checks = Callable[[Results], list[Check]]


def by_item(results: Results, experiment: str, variant: str, metric: str) -> NDArray[np.float64]:
    """The metric of each item [items]; empty if it was not measured."""
    return results.items(experiment, variant, metric)[0]


def gaps(results: Results, experiment: str, one: str, two: str, metric: str) -> NDArray[np.float64]:
    """One minus two of each item [items]; empty if one of them was not measured."""
    a, b = (by_item(results, experiment, variant, metric) for variant in (one, two))
    return a - b if a.size == b.size else np.empty(0)


def at_most(values: NDArray[np.float64], label: str, bound: float = 1e-9, needs: int = 2) -> list[Check]:
    """The largest of them, over all items, is no more than the bound."""
    return [Check(label, exact(float(values.max()), values.size), below=bound, needs=needs)] if values.size else []


def same(experiment: str, one: str, two: str, metric: str, needs: int = 2) -> Checks:
    """No item in which they differ by more than 1e-9."""

    def checks(results: Results) -> list[Check]:
        found = np.abs(gaps(results, experiment, one, two, metric))
        return at_most(found, f"{metric}: largest |{one} - {two}|", needs=needs)

    return checks


def gain(experiment: str, one: str, two: str, metric: str, **region: Any) -> Checks:
    """The mean of one minus two lies in the region (``above``, ``below``)."""

    def checks(results: Results) -> list[Check]:
        found = gaps(results, experiment, one, two, metric)
        return [Check(f"{metric}: {one} - {two}", mean(found), **region)] if found.size else []

    return checks


def difference(experiment: str, one: str, two: str, metric: str, **region: Any) -> Checks:
    """The mean of one minus two over seeds lies in the region (``above``, ``below``)."""

    def checks(results: Results) -> list[Check]:
        if not (results.has(experiment, one, metric) and results.has(experiment, two, metric)):
            return []
        return [Check(f"{metric}: {one} - {two}", results.difference(experiment, one, two, metric), **region)]

    return checks


def share(experiment: str, one: str, two: str, metric: str, above: float) -> Checks:
    """In at least that share of items one has more than two."""

    def checks(results: Results) -> list[Check]:
        found = gaps(results, experiment, one, two, metric)
        if not found.size:
            return []
        part = proportion(int((found > 1e-9).sum()), found.size)
        return [Check(f"share of items with more {metric}: {one} than {two}", part, above=above)]

    return checks


def all_of(*parts: Checks) -> Checks:
    """All of them."""

    def checks(results: Results) -> list[Check]:
        return [check for part in parts for check in part(results)]

    return checks


class ItemTable:
    """Measurements collected item by item: variant -> metric -> values.

    Attributes:
        rows: what was collected, in the form that a joint trial returns.
    """

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, list[float]]] = {}

    def add(self, variant: str, **values: float) -> None:
        """File one item's metrics; underscores of the names become blanks."""
        into = self.rows.setdefault(variant, {})
        for name, value in values.items():
            into.setdefault(name.replace("_", " "), []).append(float(value))
