"""Intervals, paired and exact tests, claims and verdicts, Shapley values."""

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
from shoal.stats.shapley import coalitions, exact_shapley, memberships

__all__ = [
    "Check",
    "Estimate",
    "Evidence",
    "Finding",
    "Verdict",
    "clustered_mean",
    "coalitions",
    "exact",
    "exact_shapley",
    "fisher",
    "holm",
    "judge",
    "mcnemar",
    "mean",
    "memberships",
    "paired_difference",
    "proportion",
]
