"""Which roles agents play: the paper's clustering of everybody, and what is left of it against a null.

Original: k-means over all agents, k from 3 to 8 by silhouette. A huge uniform periphery makes that silhouette high
whatever the core does. Corrected: the core lies beyond a valley in the density of activity, its agents are clustered by
what they do, and roles are only spoken of where the silhouette exceeds that of data without clusters (same marginals,
with and without their correlations).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from shoal.diagnosis.clustering import (
    DISTANCES,
    Clustering,
    Floats,
    Labels,
    agreement,
    choose_k,
    correlated_null,
    independent_null,
    stability,
)
from shoal.diagnosis.forum.features import VOLUME, RoleFeatures

KS = range(3, 9)
STARTS = 100
BOOTSTRAPS = 1_000
NULLS = 20
"""Null samples; a silhouette above all of them has p < 0.05."""
SMOOTHING = 0.03
"""Bandwidth of the density of log contributions, as a share of its range."""
FEWEST = 30
"""Agents of a core from which roles can be told."""
LARGEST_MARGIN = 0.05
"""What the silhouette must exceed the nulls by: smaller gaps are no roles, however significant."""


@dataclass(frozen=True)
class Roles:
    """What came out.

    Attributes:
        everybody: the original: k-means of all agents.
        silhouettes: of everybody, by k.
        core: who belongs to the core [agents].
        within: clusters of the core [core agents]; None where the core is too small.
        null: silhouettes of the core's nulls, by name [samples].
        agreement: adjusted Rand index of the core's clusters with other clusterings.
        stability: the same with bootstrap samples [resamples].
        profiles: the core's features, standardised over the core: mean of each cluster [clusters, features].
        names: of those features.
    """

    everybody: Clustering
    silhouettes: dict[int, float]
    core: NDArray[np.bool_]
    within: Clustering | None
    null: dict[str, Floats] = field(default_factory=dict)
    agreement: dict[str, float] = field(default_factory=dict)
    stability: Floats = field(default_factory=lambda: np.empty(0))
    profiles: Floats = field(default_factory=lambda: np.empty((0, 0)))
    names: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """One of "roles", "core-periphery only" and "too few agents"."""
        if self.within is None:
            return "too few agents"
        bar = max(float(sample.max()) for sample in self.null.values())
        return "roles" if self.within.silhouette > bar + LARGEST_MARGIN else "core-periphery only"

    @property
    def labels(self) -> Labels:
        """Role of each agent [agents]: -1 for the periphery; 0 for all of a core without roles."""
        found = np.full(len(self.core), -1)
        found[self.core] = self.within.labels if self.verdict == "roles" and self.within is not None else 0
        return found

    def describe(self, cluster: int, most: int = 3) -> str:
        """A cluster of the core in words: the features in which it departs most from the others."""
        profile = self.profiles[cluster]
        told = np.argsort(-np.abs(profile))[:most]
        return ", ".join(f"{'more' if profile[i] > 0 else 'less'} {self.names[i]}" for i in told)


def find_roles(
    features: RoleFeatures, seed: int = 42, ks: range = KS, starts: int = STARTS, bootstraps: int = BOOTSTRAPS,
    nulls: int = NULLS,
) -> Roles:  # fmt: skip
    """Original and corrected roles.

    Args:
        features: of all agents.
        seed: of all that is drawn.
        ks: numbers of clusters tried.
        starts: of k-means for each number.
        bootstraps: of the core's clusters.
        nulls: samples of each null; each gets a twentieth of the starts, and a core of at most DISTANCES agents.
    """
    rng = np.random.default_rng(seed)
    everybody, silhouettes = choose_k(standardised(features.raw), ks, starts, rng)
    core = core_of(features)
    if core.sum() < FEWEST:
        return Roles(everybody, silhouettes, core, None)
    what = [k for k, name in enumerate(features.names) if name not in VOLUME]
    x = standardised(features.values[core][:, what])
    within, _ = choose_k(x, ks, starts, rng)
    fewer, part = max(2, starts // 20), x[rng.permutation(len(x))[:DISTANCES]]
    null = {
        name: np.array([choose_k(draw(part, rng), ks, fewer, rng)[0].silhouette for _ in range(nulls)])
        for name, draw in (("independent", independent_null), ("correlated", correlated_null))
    }
    profiles = np.stack([x[within.labels == k].mean(axis=0) for k in range(len(within.centres))])
    return Roles(
        everybody, silhouettes, core, within, null, agreement(x, within.labels, rng),
        stability(x, within, bootstraps, rng), profiles, tuple(features.names[k] for k in what),
    )  # fmt: skip


def core_of(features: RoleFeatures) -> NDArray[np.bool_]:
    """The core [agents]: those beyond the valley in the density of log contributions, of those with all features.

    Where there is no valley the core is whoever writes more than the mean.
    """
    from scipy.ndimage import gaussian_filter1d

    number = features.contributions
    # Whole numbers leave gaps on a logarithmic scale: each is spread evenly up to the next.
    busy = np.log(np.where(number > 0, number + np.random.default_rng(0).random(number.size), 1.0))
    counts, edges = np.histogram(busy[busy > 0], bins=200)
    density = gaussian_filter1d(counts.astype(float), SMOOTHING * len(counts))
    depth = np.minimum(np.maximum.accumulate(density), np.maximum.accumulate(density[::-1])[::-1]) - density
    valley = int(np.argmax(depth))
    cut = edges[valley + 1] if depth[valley] > 0 else np.log(number.mean() + 1)
    return np.asarray((busy > cut) & np.isfinite(features.values).all(axis=1))


def standardised(values: Floats) -> Floats:
    """Columns with mean 0 and deviation 1; what is not known is the mean, constant columns are 0."""
    known = np.isfinite(values)
    count = np.maximum(known.sum(axis=0), 1)
    centred = np.where(known, values - np.where(known, values, 0).sum(axis=0) / count, 0)
    deviation = np.sqrt((centred**2).sum(axis=0) / count)
    return np.asarray(centred / np.where(deviation > 1e-12, deviation, 1))


def role_table(roles: Roles) -> Sequence[tuple[str, int, str]]:
    """Rows for people: role, agents, how it departs from the core's mean."""
    rows = [("periphery", int((~roles.core).sum()), "writes little")]
    if roles.verdict == "roles" and roles.within is not None:
        return rows + [(f"role {k + 1}", int(n), roles.describe(k)) for k, n in enumerate(roles.within.sizes)]
    return [*rows, ("core", int(roles.core.sum()), "writes most; no roles beyond that")]
