"""Intervals, paired and exact tests, claims and verdicts."""

from shoal.stats.claims import Check, Evidence, Finding, Verdict, judge
from shoal.stats.estimates import (
    Estimate,
    clustered_mean,
    exact,
    fisher,
    holm,
    mcnemar,
    mean,
    paired_difference,
    proportion,
)

__all__ = [
    "Check",
    "Estimate",
    "Evidence",
    "Finding",
    "Verdict",
    "clustered_mean",
    "exact",
    "fisher",
    "holm",
    "judge",
    "mcnemar",
    "mean",
    "paired_difference",
    "proportion",
]
