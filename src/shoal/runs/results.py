"""Measurements in tidy form: experiment, variant, seed, item, metric, value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from shoal.stats import Estimate, mean, paired_difference

if TYPE_CHECKING:
    import polars

Measurements = Mapping[str, float | Sequence[float] | NDArray[np.generic]]
"""What a trial returns: metric -> one number, or one number per item (question, graph) in a fixed order."""

COLUMNS = ("experiment", "variant", "seed", "item", "metric", "value")


class Results:
    """All measurements of a run, with the lookups that claims and plots need."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, str, str], dict[int, NDArray[np.float64]]] = {}

    def add(self, experiment: str, variant: str, seed: int, measurements: Measurements) -> None:
        """File what one trial measured. Scalars are kept as one item."""
        for metric, value in measurements.items():
            items = np.atleast_1d(np.asarray(value, float))
            self._values.setdefault((experiment, variant, metric), {})[seed] = items

    def has(self, experiment: str, variant: str | None = None, metric: str | None = None) -> bool:
        """Whether anything was measured under these names."""
        return any(
            key[0] == experiment and variant in (None, key[1]) and metric in (None, key[2]) for key in self._values
        )

    def experiments(self) -> list[str]:
        """Experiments that have measurements, in the order they came."""
        return list(dict.fromkeys(key[0] for key in self._values))

    def variants(self, experiment: str) -> list[str]:
        """Variants of an experiment that have measurements."""
        return list(dict.fromkeys(key[1] for key in self._values if key[0] == experiment))

    def metrics(self, experiment: str) -> list[str]:
        """Metrics measured in an experiment."""
        return list(dict.fromkeys(key[2] for key in self._values if key[0] == experiment))

    def seeds(self, experiment: str, variant: str, metric: str) -> list[int]:
        """Seeds that have this metric, sorted."""
        return sorted(self._values.get((experiment, variant, metric), {}))

    def values(self, experiment: str, variant: str, metric: str) -> NDArray[np.float64]:
        """One value per seed [seeds]: the mean over the seed's items. Empty if nothing was measured."""
        by_seed = self._values.get((experiment, variant, metric), {})
        return np.array([by_seed[s].mean() for s in sorted(by_seed)], float)

    def items(self, experiment: str, variant: str, metric: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """All items of all seeds [n], and the seed of each [n]."""
        by_seed = self._values.get((experiment, variant, metric), {})
        seeds = sorted(by_seed)
        if not seeds:
            return np.empty(0), np.empty(0, np.int64)
        return (
            np.concatenate([by_seed[s] for s in seeds]),
            np.concatenate([np.full(by_seed[s].size, s) for s in seeds]),
        )

    def mean(self, experiment: str, variant: str, metric: str) -> Estimate:
        """Mean over seeds with an interval; over items where there is one seed only and it has many."""
        per_seed = self.values(experiment, variant, metric)
        if per_seed.size == 1:
            return mean(self.items(experiment, variant, metric)[0])
        return mean(per_seed)

    def difference(
        self, experiment: str, treatment: str, baseline: str, metric: str, per_item: bool = False
    ) -> Estimate:
        """Mean of treatment minus baseline over the seeds that both have, with an interval.

        Args:
            experiment: where both were measured.
            treatment: variant.
            baseline: variant.
            metric: what is compared.
            per_item: pair item by item instead of seed by seed; right where the items of all seeds are independent
                draws and both variants met the same ones.
        """
        one = self._values.get((experiment, treatment, metric), {})
        two = self._values.get((experiment, baseline, metric), {})
        seeds = sorted(set(one) & set(two))
        if not seeds:
            return Estimate(float("nan"), -np.inf, np.inf, 0, method="no pairs")
        if per_item:
            return paired_difference(np.concatenate([one[s] for s in seeds]), np.concatenate([two[s] for s in seeds]))
        return paired_difference([one[s].mean() for s in seeds], [two[s].mean() for s in seeds])

    def frame(self) -> polars.DataFrame:
        """The tidy table."""
        import polars as pl

        parts = []
        for (experiment, variant, metric), by_seed in self._values.items():
            for seed, items in by_seed.items():
                parts.append(
                    pl.DataFrame({"item": np.arange(items.size, dtype=np.int32), "value": items}).with_columns(
                        experiment=pl.lit(experiment),
                        variant=pl.lit(variant),
                        metric=pl.lit(metric),
                        seed=pl.lit(seed, dtype=pl.Int32),
                    )
                )
        if not parts:
            return pl.DataFrame(schema=dict.fromkeys(COLUMNS, pl.String))
        return pl.concat(parts).select(COLUMNS)
