"""The AgentsNet study: its experiments at small sizes, its claims on real and on doctored measurements."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shoal.errors import InputError
from shoal.models.interface import Completion, Model, Request
from shoal.runs import Results, Trial
from shoal.runs.study import Experiment
from shoal.stats import Evidence, Verdict, judge
from shoal.studies.agentsnet import (
    BASELINES,
    STUDY,
    AgentsNetConfig,
    chance_checks,
    cut_checks,
    decay_checks,
    flooding_checks,
    local_checks,
    locality_checks,
    near_random_checks,
    order_checks,
    rank_correlation,
)
from shoal.teams.message_passing import TASKS, score_figures, score_table, transcript
from shoal.traces import TraceWriter, Usage, read_trace

SMALL: dict[str, Any] = {
    "sizes": (4, 8),
    "graphs": 1,
    "cut_size": 8,
    "cut_graphs": 3,
    "line_size": 8,
    "decay_sizes": (4, 20),
    "decay_graphs": 1,
    "scale_size": 40,
    "random_sizes": (4, 16),
    "random_graphs": 2,
    "language_families": ("WS", "BA"),
}


class Silent(Model):
    """Writes nothing that the protocol can read, except that it always answers 1 or Yes in the end."""

    spec = identity = "test:silent"
    evidence = Evidence.LOCAL

    async def complete(self, request: Request) -> Completion:
        options = request.messages[-1]["content"].rpartition("one of: ")[2].rstrip(".").split(", ")
        return Completion(f"### Final Answer ### {options[-1]}", Usage(10, 5, 1))


async def measure(experiment: Experiment[Any], seeds: int, results: Results, folder: Path | None = None) -> None:
    config = STUDY.configure("quick", SMALL)
    for seed in range(seeds):
        for variant in experiment.variants:
            path = folder / f"{variant}-{seed}.jsonl" if folder else None
            with TraceWriter(path, "run") as trace:
                trial = Trial(
                    config, experiment.name, variant, seed, 1729, trace, Silent() if experiment.model else None
                )
                found = experiment.trial(trial)
                results.add(experiment.name, variant, seed, await found if inspect.isawaitable(found) else found)


async def measured(name: str, seeds: int, folder: Path | None = None) -> Results:
    results = Results()
    await measure(STUDY.experiment(name), seeds, results, folder)
    return results


def test_every_experiment_has_the_baselines() -> None:
    for experiment in STUDY.experiments:
        assert set(BASELINES) <= set(experiment.variants), experiment.name
    for claim in STUDY.claims:
        assert STUDY.experiment(claim.experiment)
        assert claim.checks(Results()) == []
    for size in ("quick", "standard", "full"):
        assert isinstance(STUDY.configure(size), AgentsNetConfig)
    assert STUDY.configure("standard").decay_sizes == (4, 8, 16, 50, 100)


def test_bad_settings_name_the_field() -> None:
    with pytest.raises(InputError, match="competence"):
        STUDY.configure("quick", {"competence": 1.5})
    with pytest.raises(InputError, match="families"):
        STUDY.configure("quick", {"families": ["SW"]})


async def test_ceiling_is_a_ceiling_and_baselines_are_not(tmp_path: Path) -> None:
    results = await measured("ceiling", 3, tmp_path)
    for task in TASKS:
        assert results.items("ceiling", "reference", f"solved-{task}")[0].tolist() == [1.0] * 18
        assert results.items("ceiling", "central", f"soft-{task}")[0].min() == 1
        assert results.mean("ceiling", "random", f"soft-{task}").value < 0.9
    checks = flooding_checks(results) + local_checks(results)
    assert {check.verdict for check in checks} == {Verdict.INCONCLUSIVE}  # 18 graphs are not the 200 of the page
    assert all(check.margin >= 0 for check in checks)
    table = score_table(results, "ceiling")
    assert table.count("\n") == 8
    assert "random" in table
    first = transcript(read_trace(tmp_path / "reference-0.jsonl"))
    assert [first.count(f"== {task} on WS graph, n=4") for task in TASKS] == [1] * 5
    assert len(read_trace(tmp_path / "reference-1.jsonl")) == 1  # only the first seed's first graph is traced


async def test_variants_meet_the_same_graphs_and_trials_repeat() -> None:
    one, two = await measured("cut", 2), await measured("cut", 2)
    for variant in ("reference", "random", "no-communication"):
        for metric in one.metrics("cut"):
            assert (one.items("cut", variant, metric)[0] == two.items("cut", variant, metric)[0]).all()
    assert one.mean("cut", "no-communication", "solved-consensus").value < 0.5
    assert one.mean("cut", "reference", "solved-consensus").value == 1


async def test_locality_fails_short_of_the_diameter_and_not_at_it() -> None:
    checks = locality_checks(await measured("locality", 10))
    assert [check.verdict for check in checks] == [Verdict.REPRODUCED, Verdict.REPRODUCED]
    assert checks[0].estimate.value >= 5


async def test_decay_falls_in_the_paper_direction() -> None:
    results = await measured("decay", 10)
    checks = decay_checks(results)
    assert len(checks) == 4
    assert checks[0].estimate.value == -1
    four, twenty = (results.mean("decay", "erring", f"agentsnet-solved-n{n}").value for n in (4, 20))
    assert four > twenty > results.mean("decay", "random", "agentsnet-solved-n20").value
    assert results.mean("decay", "erring-together", "agentsnet-solved-n20").value > twenty
    figures = score_figures(results)
    assert set(figures) == {"scores-by-size", "scores-by-size-paper-rounds"}
    assert len(figures["scores-by-size"].axes) == 6


async def test_chance_matches_closed_forms_and_earlier_figures() -> None:
    results = await measured("chance", 20)
    checks = chance_checks(results)
    assert len(checks) == 10
    assert not [check.label for check in checks if check.verdict is Verdict.NOT_REPRODUCED]


async def test_scale_runs_under_the_paper_rounds() -> None:
    results = await measured("scale", 1)
    assert results.mean("scale", "reference", "solved-leader-n40").value == 1
    assert results.mean("scale", "central", "agentsnet-soft-n40").value == 1


async def test_language_experiment_counts_what_could_not_be_read(tmp_path: Path) -> None:
    results = await measured("language", 1, tmp_path)
    assert results.mean("language", "free-json", "unreadable-outboxes").value == 1
    assert results.mean("language", "free-json", "unreadable-answers").value == 0
    assert results.mean("language", "constrained-json", "unreadable-answers").value == 1
    assert results.mean("language", "free-json", "soft-consensus-n4").value == 1  # everybody says 1
    assert results.mean("language", "constrained-json", "soft-consensus-n4").value == 0
    assert results.mean("language", "central", "agentsnet-soft-n4").value == 1
    assert not results.has("language", "no-communication", "unreadable-outboxes")
    trace = read_trace(tmp_path / "free-json-0.jsonl")
    kinds = [event.payload.get("decision") for event in trace.of_kind("decision")]
    assert "cost of all tasks, estimated" in kinds
    before = [event.kind for event in list(trace)[: 1 + kinds.index("cost of all tasks, estimated") + 1]]
    assert "model.call" not in before  # the estimate comes before the first call
    assert len(trace.of_kind("task.end")) == len(trace.of_kind("task.start"))
    assert [check.verdict for check in near_random_checks(results)] == [Verdict.INCONCLUSIVE]


def doctored(experiment: str, **variants: dict[str, list[float]]) -> Results:
    results = Results()
    for variant, metrics in variants.items():
        results.add(experiment, variant.replace("_", "-"), 0, metrics)
    return results


def test_claims_can_fail() -> None:
    def verdict(checks: Any) -> Verdict:
        return judge("x", "x", Evidence.SCRIPTED, checks).verdict

    one, nearly, half = [1.0] * 300, [1.0] * 299 + [0.0], [1.0, 0.0] * 150
    flood = {"solved-consensus": one}
    assert verdict(flooding_checks(doctored("ceiling", reference={"solved-leader": one, **flood}))) == "reproduced"
    assert (
        verdict(flooding_checks(doctored("ceiling", reference={"solved-leader": nearly, **flood}))) == "not reproduced"
    )
    for share, soft, expected in (
        (nearly, 1.0, "reproduced"),
        (half, 1.0, "not reproduced"),
        (one, 1.1, "not reproduced"),
    ):
        metrics = {f"{k}-{t}": share if k == "solved" else [soft] * 300 for k in ("solved", "soft") for t in TASKS}
        assert verdict(local_checks(doctored("ceiling", reference=metrics))) == expected

    def cut(silent: list[float]) -> Results:
        tasks = ("solved-consensus", "solved-colouring")
        full, none = dict.fromkeys(tasks, [1.0] * 100), dict.fromkeys(tasks, [0.0] * 100)
        quiet = dict.fromkeys(tasks, silent)
        return doctored("cut", reference=full, random=none, no_communication=quiet, all_dropped=none)

    assert verdict(cut_checks(cut([0.0] * 100))) == "reproduced"
    assert verdict(cut_checks(cut([1.0] * 10 + [0.0] * 90))) == "not reproduced"  # something leaks
    lines = {"solved-leader-path": [1.0] * 20, "solved-leader-ring": [1.0] * 20}
    leaky = doctored("locality", quarter_diameter=lines, one_short=lines, diameter=lines)
    assert verdict(locality_checks(leaky)) == "not reproduced"
    order = doctored("language", free_json={"soft-consensus-n4": [0.1] * 9, "soft-vertex-cover-n4": [0.6] * 9})
    assert verdict(order_checks(order)) == "not reproduced"


def test_rank_correlation_is_spearman() -> None:
    from scipy.stats import spearmanr

    rng = np.random.default_rng(1)
    shares = rng.random((30, 5)) + np.linspace(1, 0, 5)
    found = rank_correlation((4, 8, 16, 50, 100), shares)
    assert found.value == pytest.approx(spearmanr([1, 2, 3, 4, 5], shares.mean(axis=0)).statistic)
    assert found.low <= found.value <= found.high
    assert rank_correlation((4, 8), np.ones((5, 2))).value == 0
