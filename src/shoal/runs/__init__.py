"""Runs: seeds, budgets, studies, trials, the run folder and its report."""

from shoal.runs.budget import Budget, Limits
from shoal.runs.mechanism import Flow, flows
from shoal.runs.results import Measurements, Results
from shoal.runs.seeds import derive, generator
from shoal.runs.study import (
    SIZES,
    Claim,
    Experiment,
    Size,
    Study,
    StudyConfig,
    Trial,
    Vocabulary,
)

__all__ = [
    "SIZES",
    "Budget",
    "Claim",
    "Experiment",
    "Flow",
    "Limits",
    "Measurements",
    "Results",
    "Size",
    "Study",
    "StudyConfig",
    "Trial",
    "Vocabulary",
    "derive",
    "flows",
    "generator",
]
