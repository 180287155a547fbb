"""Does exposure make agents adopt? The models of the paper as they are, and corrected beside them.

Original: exposures fixed from the start, one baseline for all cascades, a quadratic logit over pooled rows as if all
were independent, the 100 largest cascades. Corrected: exposures that grow with time, a baseline for each cascade,
errors clustered by cascade (or agent), cascades drawn at random, and the chance that each further exposure has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.diagnosis.forum.cascades import Cascades
from shoal.diagnosis.forum.exposure import Exposures, intervals, pairs
from shoal.diagnosis.survival import Coefficient, concordance, cox, logit

SIGNIFICANT = 0.05
HOUR = 3600.0


@dataclass(frozen=True)
class Contagion:
    """The quadratic logit: adoption on exposures k and k^2.

    Attributes:
        linear: coefficient of k.
        quadratic: coefficient of k^2.
        kind: complex, saturating or simple, by the sign of the second where it is significant.
    """

    linear: Coefficient
    quadratic: Coefficient
    kind: str


def fixed_cox(rows: Exposures) -> Coefficient:
    """The original: exposures fixed from time 0, all cascades pooled. Rows from ``exposure.pairs``."""
    return cox(np.zeros(len(rows)), rows.stop / HOUR, rows.adopted, rows.exposures)


def fixed_concordance(rows: Exposures, value: float) -> float:
    """Harrell's C of the original model."""
    return concordance(rows.stop, rows.adopted, np.sign(value) * rows.exposures)


def start_stop_cox(rows: Exposures, cluster: str = "cascade") -> Coefficient:
    """The correction: exposures as they are at each moment, strata by cascade. Rows from ``exposure.intervals``.

    Args:
        rows: at risk.
        cluster: whose rows share chance: cascade, agent, or none for the plain error.
    """
    labels = None if cluster == "none" else getattr(rows, cluster)
    return cox(rows.start / HOUR, rows.stop / HOUR, rows.adopted, rows.exposures, rows.cascade, labels)


def contagion(rows: Exposures, cluster: str = "none") -> Contagion:
    """Quadratic logit of ``pairs`` and the paper's rule; without clusters it is the original."""
    k = np.arange(int(rows.exposures.max(initial=0)) + 1.0)
    labels = None if cluster == "none" else getattr(rows, cluster)
    design = np.stack([np.ones(len(k)), k, k * k], axis=1)
    _, linear, quadratic = logit(design, rows.adopted, labels, rows.exposures)
    if quadratic.p >= SIGNIFICANT:
        return Contagion(linear, quadratic, "simple")
    return Contagion(linear, quadratic, "complex" if quadratic.value > 0 else "saturating")


@dataclass(frozen=True)
class HazardCurve:
    """The chance that the k-th exposure makes an agent adopt before the next one.

    Attributes:
        exposure: k, from 1 [ks].
        trials: agents who had it and had not adopted [ks].
        adoptions: how many of them then did [ks].
        slope: of the log odds on log k; below 0 it falls, at 0 each exposure counts the same.
    """

    exposure: NDArray[np.int64]
    trials: NDArray[np.int64]
    adoptions: NDArray[np.int64]
    slope: Coefficient

    @property
    def chance(self) -> NDArray[np.float64]:
        """Share of those exposed a k-th time who then adopt [ks]."""
        return np.asarray(self.adoptions / np.maximum(self.trials, 1))

    @property
    def kind(self) -> str:
        """What the slope says of the contagion; the sign of a quadratic term does not (1 / k is convex)."""
        if self.slope.p >= SIGNIFICANT:
            return "simple"
        return "complex" if self.slope.value > 0 else "saturating"


def hazard_by_exposure(rows: Exposures, most: int = 20, cluster: str = "agent") -> HazardCurve:
    """Chance of adoption by number of exposure, from rows that began with one exposure alone, up to the ``most``-th."""
    rows = rows.where(rows.single & (rows.exposures >= 1) & (rows.exposures <= most))
    k = rows.exposures
    trials = np.bincount(k, minlength=2)
    adoptions = np.bincount(k, rows.adopted.astype(float), max(2, len(trials))).astype(int)
    design = np.stack([np.ones(len(trials)), np.log(np.maximum(np.arange(len(trials)), 1))], axis=1)
    labels = getattr(rows, cluster)
    slope = logit(design, rows.adopted, labels, k)[1] if len(k) else Coefficient(0.0, float("nan"))
    return HazardCurve(np.arange(1, len(trials)), trials[1:], adoptions[1:], slope)


@dataclass(frozen=True)
class Diffusion:
    """All models on one sample of cascades.

    Attributes:
        cascades: how many.
        original: fixed-covariate Cox.
        concordance: its C.
        corrected: start-stop Cox, stratified and clustered by cascade.
        original_contagion: quadratic logit on pooled rows.
        clustered_contagion: the same with errors clustered by agent.
        curve: hazard per exposure.
    """

    cascades: int
    original: Coefficient
    concordance: float
    corrected: Coefficient
    original_contagion: Contagion
    clustered_contagion: Contagion
    curve: HazardCurve


def diffusion(cascades: Cascades, heard: Any) -> Diffusion:
    """All models on the cascades given.

    Args:
        cascades: a sample: ``Cascades.sample`` draws one, ``Cascades.largest`` is the original's.
        heard: sparse graph; row i holds those whom i hears (``interactions(log)``: those whom i answers).
    """
    fixed, moving = pairs(cascades, heard), intervals(cascades, heard)
    original = fixed_cox(fixed)
    return Diffusion(
        cascades.count, original, fixed_concordance(fixed, original.value), start_stop_cox(moving), contagion(fixed),
        contagion(fixed, "agent"), hazard_by_exposure(moving),
    )  # fmt: skip
