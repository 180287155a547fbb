"""K* and its variants against closed forms, synthetic families against Phi; teams, analysis and study around them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from command_line import Shoal
from judging import verdicts_of
from shoal.diagnosis import diversity as k
from shoal.diagnosis.analyses.diversity import growth
from shoal.diagnosis.families import Families, embed, play, team
from shoal.errors import InputError, UnknownName
from shoal.models.source import SharedModel
from shoal.runs.results import Results
from shoal.runs.study import Trial
from shoal.stats import Verdict
from shoal.studies.agent_scaling import STUDY, names
from shoal.studies.agent_scaling.recorded import elected, fits, texts, votes
from shoal.studies.agent_scaling.synthetic import configurations
from shoal.teams import heterogeneity as teams
from shoal.teams.agent import make_agents
from shoal.traces import TraceWriter


def rows_with_cosine(n: int, r: float) -> np.ndarray:
    values, vectors = np.linalg.eigh(np.full((n, n), r) + (1.0 - r) * np.eye(n))
    return np.asarray(vectors * np.sqrt(np.clip(values, 0.0, None)))


@pytest.mark.parametrize("r", [0.0, 0.25, 0.5, 0.9, 1.0])
def test_channels_equal_the_closed_form(r: float) -> None:
    for n in range(2, 65):
        rows = rows_with_cosine(n, r)
        top, rest = (1 + (n - 1) * r) / n, (1 - r) / n
        entropy = -sum(x * np.log2(x) * times for x, times in ((top, 1), (rest, n - 1)) if x > 0)
        for found in (k.spectrum(rows).channels, float(k.effective_channels(rows)), k.equal_cosines(n, r)):
            assert found == pytest.approx(2.0**entropy, abs=1e-6)


@given(st.integers(1, 8), st.integers(1, 6), st.integers(0, 1000))
def test_channels_lie_between_one_and_the_rank(n: int, d: int, seed: int) -> None:
    rows = np.random.default_rng(seed).normal(size=(n, d))
    found = k.spectrum(rows)
    assert 1.0 - 1e-9 <= found.channels <= min(n, d) + 1e-9
    assert found.channels == pytest.approx(float(k.effective_channels(rows * 7.0)))
    assert found.shares.sum() == pytest.approx(1.0)
    turned = np.linalg.qr(np.random.default_rng(seed + 1).normal(size=(d, d)))[0]
    assert found.channels == pytest.approx(k.spectrum(rows @ turned).channels)
    assert found.channels == pytest.approx(k.spectrum(rows[::-1]).channels)


def test_a_single_agent_is_one_channel_and_silence_is_skipped_and_counted() -> None:
    assert k.spectrum([[3.0, 4.0]]).channels == 1.0
    assert k.marginal_channels([[3.0, 4.0]]).tolist() == [1.0]
    found = k.spectrum([[1.0, 0.0], [0.0, 0.0], [0.0, 2.0]])
    assert (found.agents, found.skipped) == (2, 1)
    assert found.channels == pytest.approx(2.0)
    assert float(k.effective_channels([[1.0, 0.0], [0.0, 0.0], [0.0, 2.0]])) == pytest.approx(2.0)
    silent = k.spectrum(np.zeros((3, 2)))
    assert (silent.agents, silent.skipped) == (0, 3)
    assert np.isnan(silent.channels)


def test_values_that_are_no_numbers_are_refused_by_name() -> None:
    with pytest.raises(InputError, match="bob"):
        k.spectrum([[1.0, 0.0], [np.nan, 1.0]], ["ann", "bob"])
    with pytest.raises(InputError, match="agent 0"):
        k.effective_channels(np.full((2, 2, 2), np.inf))
    with pytest.raises(InputError, match="agents by dimensions"):
        k.spectrum([1.0, 2.0])


def test_a_duplicate_adds_less_than_an_independent_agent() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        rows = rng.normal(size=(int(rng.integers(2, 8)), 32))
        copy = np.vstack([rows, rows[0]])
        other = np.vstack([rows, rng.normal(size=32)])
        assert k.effective_channels(copy) < k.effective_channels(other)
    # Two orthogonal agents and a copy of one: shares 2/3 and 1/3.
    assert float(k.effective_channels([[1, 0], [0, 1], [0, 1]])) == pytest.approx(2 ** (np.log2(3) - 2 / 3))
    assert k.marginal_channels(np.eye(4)).tolist() == pytest.approx([1.0] * 4)


def test_label_aware_variants() -> None:
    rows = np.eye(4)
    judged = k.judged_channels(rows, [True, True, False, False])
    assert (float(judged.right), float(judged.wrong)) == pytest.approx((2.0, 2.0))
    assert float(judged.effective) == pytest.approx(1.0)
    alone = k.judged_channels(rows, [True, False, False, False])
    assert float(alone.right) == pytest.approx(1.0)
    nobody = k.judged_channels(rows, [False] * 4)
    assert np.isnan(nobody.right)
    assert float(nobody.effective) == pytest.approx(-2.0)
    weights = np.array([1.0, 0.3, 0.5]) ** 2
    shares = weights / weights.sum()
    wanted = 2 ** -(shares * np.log2(shares)).sum()
    assert k.weighted_channels(np.eye(3), [True, False, None]) == pytest.approx(wanted)
    with pytest.raises(InputError):
        k.weighted_channels(np.eye(3), [True])


def test_disagreement_null_round_average_and_the_other_formula() -> None:
    assert k.disagreement([[0, 0, 0], [0, 1, 2], [0, 0, -1]]).tolist() == pytest.approx([0.0, 2 / 3, 0.0])
    assert np.isnan(k.disagreement([[-1, -1]])).all()
    rng = np.random.default_rng(1)
    topics = rng.normal(size=(60, 1, 40)) + 0.1 * rng.normal(size=(60, 3, 40))
    assert k.effective_channels(topics).mean() < 1.3
    assert k.shuffled_channels(topics, rng).mean() > 2.5
    assert k.round_average(topics) < 1.3
    assert np.isnan(k.round_average(np.zeros((2, 2, 3))))
    near_copies = np.ones((5, 30)) + 0.05 * rng.normal(size=(5, 30))
    assert k.spectrum(near_copies).channels < 1.1
    assert k.centred_channels(near_copies) > 3.0
    assert k.redundancy(near_copies)[0, 1] > 0.98


def test_the_saturation_fit_recovers_its_curve() -> None:
    x = np.array([1.0, 2.0, 3.0, 5.0, 8.0])
    found = k.fit_saturation(x, 0.7 * (1 - np.exp(-0.4 * x)), 0.7)
    assert found.rate == pytest.approx(0.4, rel=1e-3)
    assert found.r_squared == pytest.approx(1.0, abs=1e-6)
    assert found.at([0.0]).tolist() == [0.0]
    with pytest.raises(InputError):
        k.fit_saturation([1.0, 2.0], [0.1, 0.2], 1.0)


def test_synthetic_families_hit_their_targets() -> None:
    equal, different = team(16, 1, 0.5, 0.8, 0.3), team(2, 2, 0.5, 0.8, 0.3)
    assert equal.correlation().mean() == pytest.approx(0.8125)
    assert different.correlation().mean() == pytest.approx(0.65)
    assert different.accuracy() == pytest.approx(norm.cdf(0.5 / np.sqrt(0.65)))
    one = team(1, 1, 0.5, 0.8, 0.3)
    played = play([one, equal, different], 20_000, 0)
    for i, players in enumerate((one, equal, different)):
        assert played.averaged[i].mean() == pytest.approx(players.accuracy(), abs=0.012)
        assert played.information[i] == pytest.approx(players.information(), abs=0.025)
    assert played.right[0, :, 0].mean() == pytest.approx(norm.cdf(0.5), abs=0.012)
    assert played.voted[2].mean() == pytest.approx(norm.cdf(0.5), abs=0.012)  # two voters tie when they differ
    assert 0.2 < played.tied[2].mean() < 0.5
    rows = embed(different, 200, 512, np.random.default_rng(0))
    assert k.redundancy(rows)[:, 0, 1].mean() == pytest.approx(0.3, abs=0.02)
    same = play([equal], 100, 5), play([equal], 100, 5)
    assert np.array_equal(same[0].averaged, same[1].averaged)


def test_impossible_families_are_refused() -> None:
    with pytest.raises(InputError, match="between"):
        Families((0.5,), (0,), 0.3, 0.8)
    with pytest.raises(InputError, match="families"):
        team(2, 3, 0.5, 0.8, 0.3)
    with pytest.raises(InputError, match="competence"):
        Families((0.5,), (0, 1), 0.8, 0.3)
    with pytest.raises(InputError, match="questions"):
        play([team(2, 1, 0.5, 0.8, 0.3)], 3, 0)


def test_who_hears_whom() -> None:
    assert teams.neighbours("full mesh", "abc") == {"a": ["b", "c"], "b": ["a", "c"], "c": ["a", "b"]}
    assert teams.neighbours("sparse", "abcd")["a"] == ["d", "b"]
    assert teams.neighbours("sparse", "ab") == {"a": ["b"], "b": ["a"]}
    assert teams.neighbours("centralised", "abc") == {"a": ["b", "c"], "b": ["a"], "c": ["a"]}
    assert teams.neighbours("vote", "ab") == {"a": [], "b": []}


def test_controls_differ_from_personas_only_as_named() -> None:
    varied, padded, one = teams.personas(6), teams.padded(6), teams.one_persona(6)
    assert len({a.persona for a in varied}) == 5
    assert {a.persona for a in one} == {teams.PERSONAS["verifier"]}
    for real, neutral in zip(varied, padded, strict=True):
        assert neutral.persona not in teams.PERSONAS.values()
        assert 0.6 * len(real.persona) < len(neutral.persona) <= len(real.persona)
    assert {a.temperature for a in (*varied, *padded, *one)} == {None}


def trial_of(experiment: str, seed: int = 0, source: Any = None, **changes: Any) -> Trial[Any]:
    config = STUDY.configure("quick", changes)
    return Trial(config, experiment, "", seed, 0, TraceWriter(None, "test"), None, (seed,), source)


@pytest.fixture(scope="module")
def measured() -> Results:
    results = Results()
    for name in ("closed-form", "duplicates", "equivalence", "scaling", "saturation", "misleading", "modes"):
        for seed in range(2 if name != "closed-form" else 1):
            experiment = STUDY.experiment(name)
            found: Any = experiment.trial(trial_of(name, seed, questions=1000, embedded=10))
            for variant, values in (found if experiment.joint else {"K*": found}).items():
                results.add(name, variant, seed, values)
    return results


verdict = verdicts_of(STUDY)


def test_variants_are_those_declared_and_exact_claims_hold(measured: Results) -> None:
    for name in measured.experiments():
        assert set(measured.variants(name)) == set(STUDY.experiment(name).variants)
    for claim in STUDY.claims:
        assert bool(claim.checks(measured)) == measured.has(claim.experiment)
    assert {verdict(c, measured) for c in ("closed-form", "duplicates", "round-average")} == {Verdict.REPRODUCED}
    assert len(configurations(STUDY.configure("quick"))) == len(set(configurations(STUDY.configure("quick"))))


def test_claims_can_fail(measured: Results) -> None:
    worse = Results()
    worse.add("duplicates", names.DUPLICATE, 0, {"gain": [0.5, 0.9]})
    worse.add("duplicates", names.INDEPENDENT, 0, {"gain": [0.6, 0.8]})
    assert verdict("duplicates", worse) is Verdict.NOT_REPRODUCED
    worse.add("closed-form", "K*", 0, {"error": [0.0, 1e-3]})
    assert verdict("closed-form", worse) is Verdict.NOT_REPRODUCED
    for seed in range(20):
        worse.add("saturation", names.BY_CHANNELS, seed, {"R2": 0.5})
        worse.add("saturation", names.BY_NUMBER, seed, {"R2": 0.4 if seed < 17 else 0.6})
    assert verdict("saturation", worse) is Verdict.NOT_REPRODUCED
    chance = np.random.default_rng(0).random(400) < 0.5
    worse.add("equivalence", names.PAIR, 0, {"correct, mean score": np.zeros(400)})
    worse.add("equivalence", names.SIXTEEN, 0, {"correct, mean score": chance})
    assert verdict("equivalence", worse) is Verdict.NOT_REPRODUCED


def test_elections_among_recorded_answers() -> None:
    codes = np.array([[0, 0, 1, -1], [0, 1, 2, 2], [-1, -1, -1, -1], [0, 1, -1, -1]])
    rng = np.random.default_rng(0)
    chosen, tied = elected(codes, np.ones((4, 4)), rng)
    assert codes[0, chosen[0]] == 0
    assert codes[1, chosen[1]] == 2
    assert tied.tolist() == [0.0, 0.0, 0.0, 1.0]
    heavy, _ = elected(codes, np.tile([9.0, 1.0, 1.0, 1.0], (4, 1)), rng)
    assert codes[1, heavy[1]] == 0
    picks = {int(elected(codes[3:], np.ones((1, 4)), np.random.default_rng(i))[0][0]) for i in range(20)}
    assert picks == {0, 1}  # ties fall at random


def test_recorded_measures_on_made_up_models() -> None:
    rng = np.random.default_rng(0)
    right = (rng.random((60, 4)) < [0.2, 0.4, 0.6, 0.8]).astype(float)
    codes = np.where(right > 0, 0, 1 + rng.integers(0, 3, right.shape))
    found = votes(right, codes, rng)
    assert found[names.BEST_COPIES]["correct"].mean() == pytest.approx(right[:, 3].mean())
    assert (found[names.ORACLE]["correct"] >= found[names.PLURALITY]["correct"]).all()
    rows = rng.normal(size=(60, 4, 32))
    told = texts(right, codes, rows, rows + 5.0, rng)
    assert np.mean(told[names.TEXTS]["K*, question embedded too"]) < np.mean(told[names.TEXTS]["K*"])
    assert len(fits(right, rows)[names.BY_NUMBER]["x"]) == 15


async def scripted(experiment: str, **changes: Any) -> dict[str, Any]:
    source = SharedModel("scripted:competence=0.7")
    found: Any = STUDY.experiment(experiment).trial(trial_of(experiment, source=source, team_questions=4, **changes))
    return dict(await found)


async def test_live_arms_share_problems_and_count_calls() -> None:
    found = await scripted("live")
    assert set(found) == set(STUDY.experiment("live").variants)
    for arm, values in found.items():
        calls = 1 if arm == names.ONE else 8 if "mesh" in arm or arm in (names.SPARSE, names.HUB) else 4
        assert values["calls"] == [calls] * 4
    assert all(1.0 <= channels <= 4.0 for channels in found[names.PERSONAS]["K*"])


async def test_several_models_need_names() -> None:
    experiment = STUDY.experiment("several")
    assert experiment.skip is not None
    assert "models" in str(experiment.skip(STUDY.configure("quick")))
    given = "scripted:competence=0.9 scripted:competence=0.2"
    assert experiment.skip(STUDY.configure("quick", {"models": given})) is None
    found = await scripted("several", models=given)
    assert set(found) == set(experiment.variants)
    assert np.mean(found["copies of model 1"]["correct"]) > np.mean(found["copies of model 2"]["correct"])


def test_growth_of_subteams() -> None:
    rows = np.stack([np.eye(4), np.eye(4)])
    assert growth(rows).tolist() == pytest.approx([1.0, 2.0, 3.0, 4.0])
    copies = np.ones((2, 4, 3))
    assert growth(copies).tolist() == pytest.approx([1.0] * 4)


def test_a_stored_run_is_diagnosed_for_diversity(shoal: Shoal, tmp_path: Any) -> None:
    lines = [
        {"agent": "ann", "content": "The parts cost seven and nine, so sixteen together."},
        {"agent": "bob", "content": "The parts cost seven and nine, so sixteen together."},
        {"agent": "eve", "content": "Quarterly rainfall exceeds every forecast."},
    ]
    talk = tmp_path / "talk.jsonl"
    talk.write_text("\n".join(json.dumps(line) for line in lines))
    found = shoal.json("diagnose", talk, "--with", "diversity")["analyses"]["diversity"]
    assert found["agents"] == 3
    assert 1.8 < found["channels"] < 2 ** (np.log2(3) - 2 / 3)  # two that say the same and one that does not
    assert found["redundancy"][0][1] == pytest.approx(1.0)
    assert found["marginal"]["eve"] > 0.5 > found["marginal"]["ann"]
    assert sum(found["eigenvalues"]) == pytest.approx(1.0)
    assert shoal("diagnose", talk, "--with", "diversity") == 0
    assert "3 agents, K* = 1." in shoal.out
    assert "accuracy unknown" in shoal.out
    assert "K* = 1." in (tmp_path / "diagnosis.html").read_text()
    assert shoal("diagnose", talk, "--with", "diversty") == 2
    assert "diversity" in shoal.err
    assert shoal("diagnose", talk, "--with", "diversity:nothing") == 2


def test_an_analysis_of_silence_says_so() -> None:
    from shoal.diagnosis.sections import sections, split

    (section,) = sections([], ["diversity"])
    assert "nothing to compare" in section.headline
    assert split(["loop", "diversity:ngrams"]) == (["loop"], ["diversity:ngrams"])
    with pytest.raises(UnknownName):
        split(["divers"])


def test_ties_fall_at_random() -> None:
    from shoal.teams.outcome import Outcome
    from shoal.teams.protocols.aggregation import Opinion

    opinions = [Opinion(a.name, "", a.name, "") for a in make_agents(3)]
    assert len({teams.in_random_order(opinions, seed)[0].agent for seed in range(20)}) == 3
    assert teams.is_tie(Outcome("a", votes={"a": 2.0, "b": 2.0}))
    assert not teams.is_tie(Outcome("a", votes={"a": 2.0, "b": 1.0}))
