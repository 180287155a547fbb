"""Clusters of agents and what they are worth: k-means with many starts, silhouettes, nulls, agreement, bootstraps.

With many agents the starts are tried on a sample and the best are finished on all; up to ``SAMPLE`` agents nothing is
sampled. Silhouettes and the clusterings that need all distances are always computed on a sample of that size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

SAMPLE = 2_000
DISTANCES = 1_500
"""Agents whose distances to each other are all computed."""
FINISHED = 3
"""Starts that are finished on all agents."""
ROUNDS = 60


@dataclass(frozen=True)
class Clustering:
    """Labels and centres.

    Attributes:
        labels: cluster of each agent [agents], the largest cluster first.
        centres: [clusters, features].
        inertia: sum of squared distances to the centres.
        silhouette: mean silhouette (of a sample of agents).
    """

    labels: Labels
    centres: Floats
    inertia: float
    silhouette: float

    @property
    def sizes(self) -> Labels:
        """Agents in each cluster [clusters]."""
        return np.bincount(self.labels, minlength=len(self.centres))


def k_means(x: Floats, k: int, starts: int, rng: np.random.Generator) -> Clustering:
    """The best of many runs of Lloyd's algorithm from k-means++ seeds.

    Args:
        x: standardised features [agents, features].
        k: clusters.
        starts: how many seeds are tried.
        rng: draws samples and seeds.
    """
    part = x if len(x) <= SAMPLE else x[rng.choice(len(x), SAMPLE, replace=False)]
    tried = [_lloyd(part, _seeds(part, k, rng)) for _ in range(starts)]
    if len(part) < len(x):
        tried = [_lloyd(x, centres, 10) for centres, _, _ in sorted(tried, key=lambda t: t[2])[:FINISHED]]
    centres, labels, inertia = min(tried, key=lambda t: t[2])
    order = np.argsort(-np.bincount(labels, minlength=k), kind="stable")
    rank = np.empty(k, np.int64)
    rank[order] = np.arange(k)
    labels = rank[labels]
    return Clustering(labels, centres[order], inertia, silhouette(x, labels, rng))


def choose_k(x: Floats, ks: range, starts: int, rng: np.random.Generator) -> tuple[Clustering, dict[int, float]]:
    """The clustering with the highest silhouette, and the silhouette of each k."""
    found = {k: k_means(x, k, starts, rng) for k in ks if k < len(x)}
    best = max(found.values(), key=lambda c: c.silhouette)
    return best, {k: c.silhouette for k, c in found.items()}


def silhouette(x: Floats, labels: Labels, rng: np.random.Generator, most: int = DISTANCES) -> float:
    """Mean silhouette over at most that many agents, measured among themselves; 0 for a single cluster."""
    chosen = np.arange(len(x)) if len(x) <= most else rng.choice(len(x), most, replace=False)
    x, labels = x[chosen], labels[chosen]
    clusters, label, size = np.unique(labels, return_inverse=True, return_counts=True)
    if len(clusters) < 2:
        return 0.0
    squares = (x**2).sum(axis=1)
    distance = np.sqrt(np.maximum(squares[:, None] + squares - 2 * x @ x.T, 0))
    np.fill_diagonal(distance, 0)
    sums = distance @ np.eye(len(clusters))[label]
    row = np.arange(len(x))
    own = sums[row, label] / np.maximum(size[label] - 1, 1)
    means = sums / size
    means[row, label] = np.inf
    other = means.min(axis=1)
    return float(np.where(size[label] > 1, (other - own) / np.maximum(np.maximum(own, other), 1e-12), 0.0).mean())


def independent_null(x: Floats, rng: np.random.Generator) -> Floats:
    """The same marginals, features independent: each column permuted by itself."""
    return np.stack([rng.permutation(column) for column in x.T], axis=1)


def correlated_null(x: Floats, rng: np.random.Generator) -> Floats:
    """The same marginals and nearly the same rank correlations, but no clusters: a Gaussian copula.

    Correlated features are long clouds, and a long cloud cut in two has a silhouette too: the independent null is
    beaten by correlation alone.
    """
    from scipy.stats import norm, rankdata

    scores = norm.ppf((rankdata(x, axis=0) - 0.5) / len(x))
    drawn = rng.standard_normal(x.shape)
    values, vectors = np.linalg.eigh(np.atleast_2d(np.corrcoef(scores.T)))
    drawn = drawn @ (vectors * np.sqrt(np.maximum(values, 0))).T
    place = np.argsort(np.argsort(drawn, axis=0), axis=0)
    return np.asarray(np.take_along_axis(np.sort(x, axis=0), place, axis=0))


def agreement(x: Floats, labels: Labels, rng: np.random.Generator) -> dict[str, float]:
    """Adjusted Rand index with agglomerative clustering (Ward) and DBSCAN on a sample of agents."""
    from sklearn.cluster import DBSCAN, AgglomerativeClustering
    from sklearn.metrics import adjusted_rand_score
    from sklearn.neighbors import NearestNeighbors

    chosen = np.arange(len(x)) if len(x) <= DISTANCES else rng.choice(len(x), DISTANCES, replace=False)
    part, mine = x[chosen], labels[chosen]
    k = len(np.unique(mine))
    near = min(2 * x.shape[1], len(part) - 1)
    reach = NearestNeighbors(n_neighbors=near).fit(part).kneighbors()[0][:, -1]
    ward = AgglomerativeClustering(k).fit_predict(part)
    dense = DBSCAN(eps=float(np.quantile(reach, 0.9)), min_samples=near).fit_predict(part)
    return {
        "agglomerative": float(adjusted_rand_score(mine, ward)),
        "dbscan": float(adjusted_rand_score(mine, dense)),
    }


def stability(x: Floats, clustering: Clustering, resamples: int, rng: np.random.Generator) -> Floats:
    """Adjusted Rand index of the clustering with that of each bootstrap sample, on the agents drawn [resamples].

    Each sample is clustered anew from seeds of its own, on at most DISTANCES agents.
    """
    from sklearn.metrics import adjusted_rand_score

    size, k = min(len(x), DISTANCES), len(clustering.centres)
    found = np.empty(resamples)
    for i in range(resamples):
        drawn = rng.integers(len(x), size=size)
        _, labels, _ = _lloyd(x[drawn], _seeds(x[drawn], k, rng), 30)
        found[i] = adjusted_rand_score(clustering.labels[drawn], labels)
    return found


def _seeds(x: Floats, k: int, rng: np.random.Generator) -> Floats:
    """k-means++: each seed far from those before it, by chance proportional to the squared distance."""
    centres = [x[rng.integers(len(x))]]
    nearest = ((x - centres[0]) ** 2).sum(axis=1)
    for _ in range(1, k):
        total = np.cumsum(nearest)
        place = np.searchsorted(total, rng.random() * total[-1]) if total[-1] > 0 else rng.integers(len(x))
        centres.append(x[min(int(place), len(x) - 1)])
        nearest = np.minimum(nearest, ((x - centres[-1]) ** 2).sum(axis=1))
    return np.array(centres)


def _lloyd(x: Floats, centres: Floats, rounds: int = ROUNDS) -> tuple[Floats, Labels, float]:
    """Centres, labels and inertia where assignment and means no longer change."""
    squares, k = (x**2).sum(axis=1), len(centres)
    labels = np.full(len(x), -1)
    for _ in range(rounds):
        distance = (centres**2).sum(axis=1) - 2 * x @ centres.T
        new = distance.argmin(axis=1)
        if (new == labels).all():
            break
        labels = new
        member = np.zeros((k, len(x)))
        member[labels, np.arange(len(x))] = 1
        size = member.sum(axis=1)
        centres = np.where(size[:, None] > 0, member @ x / np.maximum(size, 1)[:, None], centres)
    distance = (centres**2).sum(axis=1) - 2 * x @ centres.T
    labels = distance.argmin(axis=1)
    return centres, labels.astype(np.int64), float((squares + distance.min(axis=1)).sum())
