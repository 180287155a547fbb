"""Verdicts of a study's claims on results that a test made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from shoal.runs.results import Results
from shoal.runs.study import Study
from shoal.stats import Verdict, judge


def verdicts_of(study: Study[Any]) -> Callable[[str, Results], Verdict]:
    """Judges one claim, by its id, as a run of the study would."""

    def verdict(claim_id: str, results: Results) -> Verdict:
        claim = next(c for c in study.claims if c.id == claim_id)
        evidence = study.experiment(claim.experiment).evidence
        return judge(claim.id, claim.statement, evidence, claim.checks(results)).verdict

    return verdict
