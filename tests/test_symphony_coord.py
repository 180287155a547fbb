"""The study of Symphony-Coord: its trials, claims and figures at small sizes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from shoal.errors import InputError
from shoal.models.interface import Model
from shoal.models.scripted import ScriptedModel
from shoal.runs.results import Results
from shoal.runs.study import Experiment, Trial
from shoal.stats import Evidence, Verdict, judge
from shoal.studies.symphony_coord import STUDY, Config, recorded_trial
from shoal.tasks.problem import Problem
from shoal.teams.routing import live, replay
from shoal.traces import TraceWriter

SMALL = Config(tasks=400, shock_at=250, regret_horizon=800, live_each=20, live_cold=5, live_learn=30)

COMPETENCE = {
    ("adder", "sums"): 0.9, ("adder", "*"): 0.2,
    ("logician", "boolean"): 0.95, ("logician", "*"): 0.2,
    ("clerk", "lookup"): 0.9, ("clerk", "*"): 0.2,
    ("plain", "*"): 0.3, ("poet", "*"): 0.1,
}  # fmt: skip


class Scripted:
    """A source of scripted agents that are good at one kind of task each."""

    spec = "scripted:test"
    evidence = Evidence.SCRIPTED

    def open(self, key: Mapping[str, Problem] | None, seed: int) -> Model:
        by_value = {
            (agent, p.question.tags["benchmark"]): COMPETENCE.get(
                (agent, p.question.tags["benchmark"]), COMPETENCE[agent, "*"]
            )
            for p in (key or {}).values()
            for agent in ("adder", "logician", "clerk", "plain", "poet")
        }
        return ScriptedModel(key or {}, seed=seed, competence=by_value)

    def unready(self) -> str | None:
        return None

    async def aclose(self) -> None:
        return


def trial(experiment: Experiment[Any], variant: str, seeds: tuple[int, ...], config: Config = SMALL) -> Trial[Any]:
    source = Scripted() if experiment.model else None
    return Trial(
        config, experiment.name, variant, seeds[0], 0, TraceWriter(None, "test"), None, seeds, source
    )  # fmt: skip


def run(names: Mapping[str, tuple[str, ...] | None], seeds: int, config: Config = SMALL) -> Results:
    results = Results()
    for name, variants in names.items():
        experiment = STUDY.experiment(name)
        for variant in variants or experiment.variants:
            for seed, measured in enumerate(experiment.trial(trial(experiment, variant, tuple(range(seeds)), config))):
                results.add(name, variant, seed, measured)
    return results


VECTORISED = [e.name for e in STUDY.experiments if e.vectorised]


@pytest.fixture(scope="module")
def small() -> Results:
    """All simulations, three seeds, short."""
    return run(dict.fromkeys(VECTORISED), 3)


def test_study_is_well_formed() -> None:
    ids = [c.id for c in STUDY.claims]
    assert len(set(ids)) == len(ids)
    assert {c.experiment for c in STUDY.claims} <= {e.name for e in STUDY.experiments}
    for size in ("quick", "standard", "full"):
        STUDY.configure(size)  # type: ignore[arg-type]
    standard = STUDY.configure("standard")
    assert (standard.tasks, standard.regret_horizon, standard.screened) == (1000, 4000, 3)
    for name in VECTORISED:
        assert STUDY.replicates(STUDY.experiment(name), "standard") >= 20
    for field in Config.model_fields.values():
        assert field.description


@pytest.mark.parametrize(
    "bad", [{"shock_at": 990}, {"screened": 0}, {"cold_share": 0.5, "learn_share": 0.5}, {"live_each": 10}]
)
def test_config_refuses(bad: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        STUDY.configure("standard", bad)


def test_every_simulation_measures_every_variant(small: Results) -> None:
    for name in VECTORISED:
        experiment = STUDY.experiment(name)
        assert small.variants(name) == list(experiment.variants)
        for variant in experiment.variants:
            for metric in small.metrics(name):
                values, _ = small.items(name, variant, metric)
                assert np.isfinite(values).all(), (name, variant, metric)
                assert small.seeds(name, variant, metric) == [0, 1, 2]


def test_shocks_share_their_draws(small: Results) -> None:
    before = [
        small.values(e, "linucb", "success_before") for e in ("unavailable", "degraded", "degraded-silent")
    ]  # the shock comes later, so the three runs are one until then
    assert np.array_equal(before[0], before[1]) and np.array_equal(before[1], before[2])
    again = run({"unavailable": ("linucb",)}, 3)
    assert np.array_equal(again.values("unavailable", "linucb", "success_before"), before[0])


def test_a_resumed_seed_is_the_same_seed(small: Results) -> None:
    experiment = STUDY.experiment("cost")
    (alone,) = experiment.trial(trial(experiment, "cost weight", (2,)))  # type: ignore[misc]
    assert alone["success"] == pytest.approx(small.values("cost", "cost weight", "success")[2])


def test_simulated_claims_give_findings_and_stay_open_with_few_seeds(small: Results) -> None:
    for claim in STUDY.claims:
        finding = judge(claim.id, claim.statement, Evidence.SCRIPTED, claim.checks(small))
        if claim.experiment in ("recorded", "live"):
            assert finding.verdict is Verdict.NOT_RUN
        else:
            assert finding.verdict is Verdict.INCONCLUSIVE  # three seeds are no evidence


def test_claims_can_fail() -> None:
    results = Results()
    for seed in range(20):
        for variant, after in {
            "linucb": 0.2, "static rule": 0.3, "random": 0.3, "random in top L": 0.3, "frozen": 0.5,
        }.items():  # fmt: skip
            results.add("unavailable", variant, seed, {"success_after": after + 0.001 * seed})
    claim = next(c for c in STUDY.claims if c.id == "1-adapts")
    assert judge(claim.id, "", Evidence.SCRIPTED, claim.checks(results)).verdict is Verdict.NOT_REPRODUCED


@pytest.mark.slow
def test_page_claims_at_twenty_seeds() -> None:
    names = {
        "unavailable": ("linucb", "linucb reduced", "static rule", "random", "random in top L", "frozen"),
        "degraded": ("linucb", "linucb reduced"),
        "linear": ("linucb", "random"),
        "cost": ("always strongest", "cost weight", "low cost weight"),
    }
    results = run(names, 20, STUDY.configure("standard"))
    for claim in STUDY.claims:
        if claim.id in ("1-adapts", "2-radius", "3-regret", "4-cost"):
            finding = judge(claim.id, claim.statement, Evidence.SCRIPTED, claim.checks(results))
            assert finding.verdict is Verdict.REPRODUCED, (claim.id, finding.checks)


def test_figures(small: Results) -> None:
    assert STUDY.plots is not None
    figures = STUDY.plots(small)
    assert set(figures) == {"shock", "regret", "cost"}
    assert len(figures["shock"].axes) == 3
    assert all(len(ax.lines) == 6 for ax in figures["shock"].axes)
    assert STUDY.plots(Results()) == {}


def test_recorded_models() -> None:
    if reason := replay.no_recordings():
        pytest.skip(reason)
    experiment, results = STUDY.experiment("recorded"), Results()
    for variant in ("routed, truth, identity", "random", "vote of all", "strongest in hindsight", "oracle"):
        for seed in range(2):
            results.add("recorded", variant, seed, recorded_trial(trial(experiment, variant, (seed,))))
    assert results.values("recorded", "vote of all", "calls").tolist() == [4, 4]
    problems = [results.items("recorded", v, "problem")[0] for v in ("random", "oracle")]
    assert np.array_equal(*problems)
    accuracy = {v: results.values("recorded", v, "correct").mean() for v in results.variants("recorded")}
    # Published accuracies .217, .390, .347 and .563: chance is .379, the strongest .563, any of the four .674.
    assert accuracy["random"] == pytest.approx(0.38, abs=0.06)
    assert accuracy["strongest in hindsight"] == pytest.approx(0.563, abs=0.06)
    assert accuracy["random"] + 0.05 < accuracy["routed, truth, identity"] < accuracy["oracle"]
    claim = next(c for c in STUDY.claims if c.id == "11e-identity")
    assert claim.checks(results) == []
    results.add("recorded", "routed, truth", 0, recorded_trial(trial(experiment, "routed, truth", (0,))))
    results.add("recorded", "routed, truth", 1, recorded_trial(trial(experiment, "routed, truth", (1,))))
    by_split, by_problem = claim.checks(results)
    assert by_split.verdict is Verdict.INCONCLUSIVE  # two splits are no evidence
    assert by_split.estimate.value == pytest.approx(by_problem.estimate.value)
    assert by_problem.estimate.n == np.unique(problems[0]).size


async def test_live_team_with_scripted_specialists() -> None:
    experiment, results = STUDY.experiment("live"), Results()
    for variant in live.LIVE_POLICIES:
        outcome = experiment.trial(trial(experiment, variant, (0,)))
        assert inspect.isawaitable(outcome)
        results.add("live", variant, 0, await outcome)  # type: ignore[arg-type]
    accuracy = {v: float(results.values("live", v, "correct")[0]) for v in live.LIVE_POLICIES}
    calls = {v: float(results.values("live", v, "calls")[0]) for v in live.LIVE_POLICIES}
    assert accuracy["oracle"] == max(accuracy.values())
    assert accuracy["routed, reduced, identity"] > accuracy["random"]
    assert calls["routed"] == calls["routed, reduced, identity"] == calls["random"] == 1
    assert calls["routed chains"] == calls["random chains"] == 3
    assert calls["vote of all"] == 5
    assert results.items("live", "routed", "correct")[0].size == 25
    once = await experiment.trial(trial(experiment, "routed chains", (0,)))  # type: ignore[misc]
    assert np.array_equal(once["correct"], results.items("live", "routed chains", "correct")[0])  # type: ignore[call-overload]
