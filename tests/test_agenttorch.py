"""The agenttorch study: what its claims judge, on made-up results, and its light experiments as they are run."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from shoal.models.cache import CachedModel, CallCache
from shoal.populations.respondents import Respondent
from shoal.runs.results import Results
from shoal.runs.study import Trial
from shoal.stats import Verdict
from shoal.studies.agenttorch import STUDY
from shoal.studies.agenttorch import experiments as run
from shoal.studies.agenttorch.claims import log_slope
from shoal.studies.agenttorch.forecasts import arms, correlation
from shoal.studies.agenttorch.settings import AGENTS, ARCHETYPES, ARMS, HEURISTIC, POLL, city
from shoal.traces import TraceWriter

SMALL = {"agents": 1000}


def trial(experiment: str, seeds: int = 1, **model: Any) -> Trial[Any]:
    config = STUDY.configure("quick", SMALL)
    return Trial(config, experiment, "", 0, 0, TraceWriter(None, experiment), seeds=tuple(range(seeds)), **model)


def verdict(name: str, results: Results) -> Verdict:
    """The worst verdict of a claim's checks."""
    claim = next(c for c in STUDY.claims if c.id == name)
    order = (Verdict.NOT_REPRODUCED, Verdict.INCONCLUSIVE, Verdict.REPRODUCED)
    return min((check.verdict for check in claim.checks(results)), key=order.index)


def results(experiment: str, metric: str, values: dict[str, Any]) -> Results:
    """One metric of several variants, a value for each seed."""
    made = Results()
    for variant, column in values.items():
        for seed, value in enumerate(column):
            made.add(experiment, variant, seed, {metric: value})
    return made


def test_order_of_architectures_needs_every_pair_apart() -> None:
    rng = np.random.default_rng(0)
    base = rng.uniform(50, 150, 10)
    metric, columns = "infection mse", {ARCHETYPES: base, HEURISTIC: base + 100, AGENTS: base + 500}
    good = results("architectures", metric, columns)
    names = ("archetypes-beat-the-rule", "the-rule-beats-few-agents", "archetypes-beat-few-agents")
    assert {verdict(n, good) for n in names} == {Verdict.REPRODUCED}
    tied = results("architectures", metric, columns | {HEURISTIC: base + rng.normal(0, 5, 10)})
    assert verdict("archetypes-beat-the-rule", tied) is Verdict.INCONCLUSIVE
    few = results("architectures", metric, {k: x[:9] for k, x in columns.items()})
    assert verdict("archetypes-beat-the-rule", few) is Verdict.INCONCLUSIVE  # ten seeds are asked for
    worse = results("architectures", metric, columns | {HEURISTIC: base - 40})
    assert verdict("archetypes-beat-the-rule", worse) is Verdict.NOT_REPRODUCED


def test_slope_of_sampling_errors() -> None:
    assert log_slope(np.array([1.0, 3.0, 6.0]), np.array([[1.0], [3.0**-0.5], [6.0**-0.5]])) == pytest.approx(-0.5)
    made = Results()
    for m in run.SAMPLES:
        for seed in range(10):
            made.add("answers", f"M = {m}", seed, {"error": 0.4 * m**-0.5 * (1 + 0.001 * seed)})
    assert verdict("samples", made) is Verdict.REPRODUCED


@pytest.mark.parametrize(("hits", "expected"), [(8, Verdict.REPRODUCED), (7, Verdict.NOT_REPRODUCED)])
def test_recovery_counts_seeds(hits: int, expected: Verdict) -> None:
    made = results("recovery", "within 10%", {run.THROUGH: [1.0] * hits + [0.0] * (10 - hits)})
    assert verdict("recovery", made) is expected


def test_a_search_that_moves_at_all_refutes_the_stop_gradient() -> None:
    made = results("recovery", "error", {run.STOPPED: np.arange(10) + 2.0, run.THROUGH: np.arange(10) + 1.0})
    for seed in range(10):
        made.add("recovery", run.STOPPED, seed, {"way moved": 0.0, "error": seed + 2.0})
    assert verdict("stop-gradient", made) is Verdict.REPRODUCED
    made.add("recovery", run.STOPPED, 3, {"way moved": 1e-3})
    assert verdict("stop-gradient", made) is Verdict.NOT_REPRODUCED


def test_constant_answers_are_told_by_the_ratio_of_spreads() -> None:
    for spread, expected in ((0.02, Verdict.REPRODUCED), (0.3, Verdict.NOT_REPRODUCED)):
        made = results("language", "spread of the hidden function", {run.PROMPTS: [0.2]})
        made.add("language", run.PROMPTS, 0, {"spread of answers": spread})
        assert verdict("small-model-is-constant", made) is expected


def test_no_architecture_asks_more_than_the_budget() -> None:
    config = STUDY.configure("standard", SMALL)
    found = arms(config, city(1000), city(300), 0)
    assert set(found) == set(ARMS)
    assert all(arm.queries <= config.budget for arm in found.values())
    assert found[HEURISTIC].queries == 0 and found[AGENTS].queries == found[POLL].queries == 300
    assert found[AGENTS].scale == pytest.approx(1000 / 300)
    shapes = {name: arm.population.conduct.group.shape[0] for name, arm in found.items()}
    assert shapes.pop(AGENTS) == 300 and set(shapes.values()) == {1000}


def test_correlation_of_what_never_changes_is_none() -> None:
    assert correlation(np.ones(4), np.arange(4.0)) == 0.0
    assert correlation(np.arange(4.0), 2 * np.arange(4.0)) == pytest.approx(1.0)


async def test_answers_miss_the_models_own_probability_less_with_more_samples() -> None:
    found = await run.answers(trial("answers"))
    errors = [found[f"M = {m}"]["error"] for m in run.SAMPLES]
    assert sorted(errors, reverse=True) == errors
    kinds = city(1000).archetypes.count
    assert [found[f"M = {m}"]["queries"] for m in run.SAMPLES] == [kinds * m for m in run.SAMPLES]


async def test_unreadable_answers_taken_as_no_are_biased_and_refused() -> None:
    found = await run.unreadable(trial("unreadable"))
    assert found[run.AS_NO]["refused"] == 1.0 and found[run.RETRIED]["refused"] == 0.0
    assert float(found[run.AS_NO]["bias"]) < -0.005  # type: ignore[arg-type]


def test_the_language_experiment_runs_with_any_model_and_uses_its_cache() -> None:
    model = CachedModel(Respondent(1), CallCache(None))
    found = asyncio.run(run.language(trial("language", model=model)))  # type: ignore[arg-type]
    assert found["queries"] == 4 * len(run.SITUATIONS) and found["parse failures"] == 0
    assert "spread by log-probability" not in found  # a model without scores is judged by its answers
    assert found["spread of the hidden function"] > 0.1
    usage = run.forecast(trial("language", model=model))
    assert usage.calls == found["queries"] and usage.money == 0


@pytest.mark.slow
def test_the_quick_study_runs(shoal: Any) -> None:
    assert shoal("run", "agenttorch", "--size", "quick", "--processes", "1", "--out", "runs") in (0, 1)
