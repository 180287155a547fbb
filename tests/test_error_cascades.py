"""The study of error cascades: its trials, and claims that can fail."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from judging import verdicts_of
from shoal.diagnosis.governance.scenarios import Repeater, make_items
from shoal.models.interface import Model
from shoal.runs.results import Results
from shoal.runs.study import Trial
from shoal.stats import Verdict
from shoal.studies.error_cascades import STUDY
from shoal.studies.error_cascades.claims import impact
from shoal.traces import TraceWriter


def trial_of(experiment: str, seed: int = 0, model: Model | None = None, **changes: Any) -> Trial[Any]:
    small = {"graphs": 2, "graph_agents": 12, "runs": 30, "settle": 120, "observed": 20, "relay_items": 3,
             "judge_items": 3}  # fmt: skip
    config = STUDY.configure("standard", {**small, **changes})
    return Trial(config, experiment, "", seed, 0, TraceWriter(None, "test"), model, (seed,))


verdict = verdicts_of(STUDY)


@pytest.fixture(scope="module")
def measured() -> Results:
    results = Results()
    for experiment in STUDY.experiments:
        model = Repeater(make_items(3, trial_of(experiment.name).derive("items"))) if experiment.model else None
        found: Any = experiment.trial(trial_of(experiment.name, model=model))
        found = asyncio.run(found) if experiment.model else found
        assert set(found) == set(experiment.variants), experiment.name
        for variant, values in found.items():
            results.add(experiment.name, variant, 0, values)
    return results


def test_every_claim_reads_what_is_measured(measured: Results) -> None:
    for claim in STUDY.claims:
        assert claim.checks(measured), claim.id
        assert not claim.checks(Results()), claim.id
    for claim_id in ("growth", "growth-poisson", "dies", "acyclic"):
        assert verdict(claim_id, measured) is Verdict.REPRODUCED
    assert set(STUDY.plots(measured)) == {"phase", "correction", "defences", "relay"}  # type: ignore[misc]


def _cells(blocked: dict[str, float], experiment: str = "defences") -> Results:
    results = Results()
    for name, share in blocked.items():
        cells = [f"{k}, {a}" for k in ("chain", "star", "mesh") for a in ("compliance", "fud")]
        for seed in range(60):
            row = {f"{m}, {c}": float(seed < share * 60) for m in ("blocked", "safe", "tokens") for c in cells}
            results.add(experiment, name, seed, row)
    return results


def test_claims_can_fail() -> None:
    good = {"Speed": 0.9, "reflection": 0.2, "no defence": 0.1, "detection without blocking": 0.1, "stop the run": 0.0,
            "Balanced": 0.95, "Strict": 1.0}  # fmt: skip
    ids = ("speed-over-reflection", "no-blocking", "bicr-order", "stop")
    assert all(verdict(i, _cells(good)) is Verdict.REPRODUCED for i in ids)
    bad = {**good, "Speed": 0.2, "detection without blocking": 0.9, "Strict": 0.1, "stop the run": 0.8}
    assert all(verdict(i, _cells(bad)) is Verdict.NOT_REPRODUCED for i in ids)
    assert verdict("coin-bicr", _cells({"Strict": 0.9, "Speed": 0.1}, "coin")) is Verdict.NOT_REPRODUCED
    same = np.random.default_rng(0).random(200)
    assert impact(same, same).low < 1 < impact(same, same).high and impact(2 * same, same).low > 1
