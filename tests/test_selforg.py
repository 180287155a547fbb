"""The SelfOrg study: what it measures, what its claims would say of other measurements, and its pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from judging import verdicts_of
from shoal.errors import InputError, UnknownName
from shoal.models.source import SharedModel
from shoal.runs.results import Results
from shoal.runs.study import Trial
from shoal.stats import Verdict
from shoal.studies import selforg
from shoal.studies.selforg import CODE, EQUAL_VOTE, SELECTION, SELFORG, SHUFFLED, SINGLE, STUDY, VOTE, label
from shoal.traces import TraceWriter

SMALL = {"questions": 1000, "noise_questions": 500, "grid_questions": 300}


def trial_of(experiment: str, seed: int = 0, source: Any = None, **changes: Any) -> Trial[Any]:
    config = STUDY.configure("standard", {**SMALL, **changes})
    return Trial(config, experiment, "", seed, 0, TraceWriter(None, "test"), None, (seed,), source)


verdict = verdicts_of(STUDY)


@pytest.fixture(scope="module")
def measured() -> Results:
    results = Results()
    for name in ("controlled", "noise", "lemma", "shapley"):
        for seed in range(2):
            found = STUDY.experiment(name).trial(trial_of(name, seed))
            for variant, values in found.items():  # type: ignore[union-attr]
                results.add(name, variant, seed, values)
    return results


def test_every_declared_variant_is_measured_and_every_claim_reads_an_experiment(measured: Results) -> None:
    for name in measured.experiments():
        assert set(measured.variants(name)) == set(STUDY.experiment(name).variants)
    for claim in STUDY.claims:
        experiment = STUDY.experiment(claim.experiment)
        if measured.has(experiment.name):
            assert claim.checks(measured)
        else:
            assert claim.checks(measured) == []


@pytest.mark.parametrize(("p", "one", "vote", "organised"), [(0.35, 0.35, 0.54, 0.52), (0.5, 0.49, 0.77, 0.76)])
def test_accuracies_are_those_of_an_earlier_independent_simulation(
    measured: Results, p: float, one: float, vote: float, organised: float
) -> None:
    metric = f"correct {label(p)}"
    for variant, expected in ((SINGLE, one), (VOTE, vote), (SELFORG, organised)):
        assert measured.values("controlled", variant, metric).mean() == pytest.approx(expected, abs=0.045)


def test_plurality_is_as_good_as_the_exact_formula(measured: Results) -> None:
    """With p = 0.5 and 7 wrong answers, 5 voters: enumerate all counts of right answers and ties."""
    from itertools import product

    chance = 0.0
    for draw in product(range(8), repeat=5):
        counts = np.bincount(draw, minlength=8)
        top = counts.max()
        if counts[0] == top:
            weight = 0.5 ** (counts[0]) * (0.5 / 7) ** (5 - counts[0])
            chance += weight / (counts == top).sum()
    got = measured.mean("controlled", VOTE, f"correct {label(0.5)}").value
    assert got == pytest.approx(chance, abs=0.03)


def test_the_equal_vote_makes_exactly_selforgs_calls(measured: Results) -> None:
    for p in selforg.SCATTERED:
        one, _ = measured.items("controlled", SELFORG, f"calls {label(p)}")
        two, _ = measured.items("controlled", EQUAL_VOTE, f"calls {label(p)}")
        assert (one == two).all() and one.max() <= 15


def test_trials_repeat_and_differ_between_seeds() -> None:
    one, two = (selforg.noise(trial_of("noise", 3)) for _ in range(2))
    other = selforg.noise(trial_of("noise", 4))
    key = f"correct {label(0.5, noise=3)}"
    assert (one[SELFORG][key] == two[SELFORG][key]).all() and (one[SELFORG][key] != other[SELFORG][key]).any()
    assert (one[SINGLE][key] == one[SINGLE][f"correct {label(0.5, noise=0.8)}"]).all()  # the same luck at any noise


def test_gains_lures_and_the_lemma_come_out(measured: Results) -> None:
    assert verdict("gain", measured) is Verdict.REPRODUCED
    assert verdict("lure", measured) is Verdict.REPRODUCED
    assert measured.values("lemma", "paper", "share of the grid").min() > 0.85
    assert verdict("shuffled", measured) is Verdict.NOT_REPRODUCED  # the weighted centre is a vote of its own


def test_claims_fail_on_a_system_that_does_nothing(measured: Results) -> None:
    """The same claims on results in which SelfOrg is one agent."""
    null = Results()
    for variant in (SELFORG, CODE, SINGLE, VOTE, EQUAL_VOTE, SELECTION, SHUFFLED):
        single = {m: measured.items("controlled", SINGLE, m)[0] for m in measured.metrics("controlled")}
        null.add("controlled", variant, 0, single)
    for variant in (SELFORG, SINGLE):
        noisy = {m: measured.items("noise", SINGLE, m)[0] for m in measured.metrics("noise")}
        null.add("noise", variant, 0, noisy)
    assert verdict("gain", null) is Verdict.NOT_REPRODUCED
    assert verdict("gain-code", null) is Verdict.NOT_REPRODUCED
    assert verdict("lure", null) is not Verdict.REPRODUCED
    assert verdict("vote-pays-more", null) is not Verdict.REPRODUCED
    assert verdict("noise", null) is not Verdict.REPRODUCED
    assert verdict("shuffled", null) is Verdict.REPRODUCED


def test_noise_claim_needs_the_gain_to_shrink(measured: Results) -> None:
    flat = Results()
    for p in selforg.NOISY:
        for level in selforg.NOISES:
            metric = f"correct {label(p, noise=level)}"
            flat.add("noise", SINGLE, 0, {metric: measured.items("noise", SINGLE, metric)[0]})
            kept = measured.items("noise", SELFORG, f"correct {label(p, noise=selforg.NOISES[0])}")[0]
            flat.add("noise", SELFORG, 0, {metric: kept})
    assert verdict("noise", flat) is Verdict.NOT_REPRODUCED


async def test_the_team_experiment_on_scripted_agents() -> None:
    source = SharedModel("scripted:competence=0.5,sycophancy=0.6,options=8")
    trial = trial_of("team", source=source, team_questions=40)
    found = await selforg.team(trial)
    assert set(found) == set(STUDY.experiment("team").variants)
    results = Results()
    for variant, values in found.items():
        results.add("team", variant, 0, values)
    single, organised = (results.values("team", v, "correct")[0] for v in (selforg.COT, SELFORG))
    assert organised > single + 0.1
    assert found[SELFORG]["calls"] == found[EQUAL_VOTE]["calls"] and max(found[SELFORG]["calls"]) <= 15
    assert np.mean(found[selforg.FIRST]["auc, answer"]) == 1.0
    assert verdict("team-gain", results) in (Verdict.REPRODUCED, Verdict.INCONCLUSIVE)


async def test_few_problems_never_decide_the_team_claims() -> None:
    results = Results()
    for variant, value in ((SELFORG, 1.0), (selforg.COT, 0.0), (EQUAL_VOTE, 0.0)):
        results.add("team", variant, 0, {"correct": [value] * 8})
    assert verdict("team-gain", results) is Verdict.INCONCLUSIVE


async def test_selection_among_recorded_answers() -> None:
    trial = trial_of("recorded", recorded_questions=120)
    if reason := selforg.no_recordings(trial.config):
        pytest.skip(reason)
    found = await selforg.recorded(trial)
    assert set(found) == set(STUDY.experiment("recorded").variants)
    mean = {variant: float(np.mean(values["correct"])) for variant, values in found.items()}
    assert mean[selforg.MEMBER] < mean[VOTE] and mean[selforg.BEST] == max(mean.values())
    answer = found[selforg.selected("paper", "answer")]
    assert float(np.mean(answer["auc"])) == 1.0  # equal answers are spelled equally
    assert 0.5 < float(np.mean(found[selforg.selected("paper", "reply")]["auc"])) < 1.0
    again = await selforg.recorded(trial_of("recorded", seed=1, recorded_questions=120))
    assert (again[selforg.BEST]["correct"] == found[selforg.BEST]["correct"]).all()


async def test_members_ties_are_not_decided_by_the_order_of_the_models() -> None:
    from shoal.models.recorded import gsm8k_recordings
    from shoal.teams.self_organisation.selection import RecordedTeam

    recordings = gsm8k_recordings()
    if recordings is None:
        pytest.skip("the recordings are not on this machine")
    team = RecordedTeam(recordings, 400, np.random.default_rng(0))
    assert team.random_member().mean() == pytest.approx(recordings.correct[:, :400].mean())
    # The first of a random order is a random member: no column stands for one model.
    assert team.correct.mean(axis=0) == pytest.approx(team.random_member().mean(), abs=0.06)
    assert team.best_member().mean() == recordings.correct[:, :400].mean(axis=1).max()


def test_plots_show_what_was_measured(measured: Results) -> None:
    assert set(selforg.plots(measured)) == {"controlled", "noise", "lemma"}
    assert selforg.plots(Results()) == {}


@pytest.mark.parametrize(("name", "value"), [("adoption", 1.5), ("embed", "style"), ("dimensions", 8), ("agents", 1)])
def test_settings_out_of_range_name_the_field(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=name):
        STUDY.configure("quick", {name: value})
    with pytest.raises(UnknownName):
        STUDY.configure("quick", {"agent": 3})
