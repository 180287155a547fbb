"""The Five Ws study: what it measures, what its claims would say of other measurements, its pictures, its games."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from judging import verdicts_of
from shoal.runs.results import Results
from shoal.runs.study import Trial
from shoal.stats import Evidence, Verdict
from shoal.studies import five_ws
from shoal.studies.five_ws import (
    ALONE,
    COMMNET,
    DIAL,
    EVENT,
    FIXED,
    GATED,
    QS,
    RELIABILITY,
    STUDY,
    SWITCH_BEST,
    TOKENS,
    right_attention,
    welch_p,
)
from shoal.teams import signalling
from shoal.traces import TraceWriter

TINY = {
    "episodes": 32, "hidden": 8, "lever_steps": 512, "referential_steps": 512, "needed_steps": 320, "scenes": 40,
    "model_scenes": 2, "variants": 9,
}  # fmt: skip


def trial_of(experiment: str, variant: str = "", seeds: tuple[int, ...] = (0, 1), **changes: Any) -> Trial[Any]:
    config = STUDY.configure("quick", {**TINY, **changes})
    return Trial(config, experiment, variant, seeds[0], 0, TraceWriter(None, "test"), None, seeds)


verdict = verdicts_of(STUDY)


def filled(experiment: str, values: dict[tuple[str, str], float], spread: float = 0.01) -> Results:
    """Ten seeds around the given means."""
    results = Results()
    offsets = np.linspace(-spread, spread, 10)
    for seed, offset in enumerate(offsets):
        for (variant, metric), value in values.items():
            results.add(experiment, variant, seed, {metric: value + offset * (1 if variant == ALONE else -1)})
    return results


def test_the_best_return_of_the_switch_riddle_is_the_chance_that_all_were_called() -> None:
    from itertools import product

    called = [len(set(calls)) == 3 for calls in product(range(3), repeat=6)]
    assert pytest.approx(np.mean(called)) == SWITCH_BEST


def test_every_claim_reads_an_experiment_and_says_nothing_without_measurements() -> None:
    for claim in STUDY.claims:
        assert STUDY.experiment(claim.experiment).name == claim.experiment
        assert claim.checks(Results()) == []


def test_claims_follow_the_measurements() -> None:
    good = filled("lever", {(ALONE, "distinct"): 0.67, (COMMNET, "distinct"): 0.93, (COMMNET, "distinct, zeroed"): 0.6})
    assert verdict("lever-commnet", good) == Verdict.REPRODUCED == verdict("lever-zeroed", good)
    bad = filled("lever", {(ALONE, "distinct"): 0.67, (COMMNET, "distinct"): 0.75, (COMMNET, "distinct, zeroed"): 0.74})
    assert verdict("lever-commnet", bad) == Verdict.NOT_REPRODUCED == verdict("lever-zeroed", bad)
    traffic = {(COMMNET, "success"): 0.9, ("IC3Net", "success"): 0.9, ("IC3Net", "open"): 0.5}
    assert verdict("traffic-gates", filled("traffic", traffic, 0.001)) == Verdict.REPRODUCED
    assert verdict("traffic-gates", filled("traffic", {**traffic, ("IC3Net", "open"): 0.95})) == Verdict.NOT_REPRODUCED
    needed = {(v, f"return q={q:g}"): 0.99 for v in (COMMNET, GATED, EVENT) for q in QS}
    tracks = filled("needed", {**needed, (GATED, "slope"): 1.0, (EVENT, "slope"): 0.2}, 0.001)
    assert verdict("gated-rate", tracks) == Verdict.REPRODUCED
    assert verdict("event-rate", tracks) == Verdict.NOT_REPRODUCED
    codes = filled("referential", {(TOKENS, "ratio"): 0.3, ("RIAL", "ratio"): 0.9})
    assert verdict("cross-play", codes) == Verdict.NOT_REPRODUCED


def test_welchs_test_is_scipys_and_careful_with_few_seeds() -> None:
    rng = np.random.default_rng(0)
    assert welch_p(rng.normal(0, 1, 10), rng.normal(5, 1, 10)) < 1e-6
    assert welch_p(np.array([1.0]), np.array([2.0, 3.0])) == 1.0 == welch_p(np.ones(3), np.zeros(3))


def test_attention_on_the_right_sender_is_found_in_the_observations() -> None:
    import jax

    from shoal.worlds.addressee import Addressee

    world = Addressee()
    state, timestep = world.reset(jax.random.key(0), (20,))
    obs = np.swapaxes(np.asarray(timestep.obs), 0, 1)
    sender = np.asarray(world.sender(state))
    weight = (np.arange(6)[None, :, None] == sender[:, None]).astype(float)
    assert right_attention(obs, weight) == 1.0
    assert right_attention(obs, np.full((6, 6, 20), 0.2)) == pytest.approx(0.2)


@pytest.mark.slow
def test_trainings_give_a_row_for_each_seed_with_all_interventions() -> None:
    rows = five_ws.lever(trial_of("lever", DIAL))
    assert len(rows) == 2
    for row in rows:
        assert {"return", "distinct", "distinct, zeroed", "distinct, shuffled", "distinct, noise"} <= set(row)
        assert row["bits in training"] == 8.0 and 0 < row["distinct"] <= 1


@pytest.mark.slow
def test_codes_are_measured_and_crossed() -> None:
    for row in five_ws.referential(trial_of("referential", TOKENS)):
        assert {"self-play", "cross-play", "ratio", "topographic similarity", "signalling", "influence"} <= set(row)
        assert row["bits"] == 8.0 and 0 <= row["cross-play"] <= 1


@pytest.mark.slow
def test_the_curve_of_return_against_cost_sweeps_the_rate_at_execution() -> None:
    (row,) = five_ws.needed(trial_of("needed", FIXED, (0,)))
    for rate in (0.25, 0.5, 0.75):
        assert row[f"rate rate={rate:g}"] == pytest.approx(rate, abs=0.1)
    assert "slope" not in row and row["rate q=0.4"] == pytest.approx(0.5, abs=0.1)
    (silent,) = five_ws.needed(trial_of("needed", ALONE, (0,)))
    assert silent["rate q=0.4"] == 0.0


def test_nothing_leaks() -> None:
    from unittest.mock import patch

    with patch.object(five_ws, "LEAK_SPECS", ("commnet",)):
        found = five_ws.leak(trial_of("leak"))
    assert set(found) == {"commnet"}
    results = Results()
    for variant, row in found.items():
        assert row["change, cut"] == 0.0
        results.add("leak", variant, 0, row)
    assert found["commnet"]["change, on"] > 0
    assert verdict("no-leak", results) == Verdict.REPRODUCED
    results.add("leak", "commnet", 0, {"change, cut": 0.01, "change, on": 0.1})
    assert verdict("no-leak", results) == Verdict.NOT_REPRODUCED


def test_pictures_show_what_was_measured() -> None:
    results = Results()
    assert five_ws.plots(results) == {}
    needed = filled("needed", {(v, f"rate q={q:g}"): q for v in (COMMNET, GATED, EVENT) for q in QS})
    assert set(five_ws.plots(needed)) == {"rate", "cost"}


# Games in words.


async def test_scripted_partners_win_as_often_as_their_reliability_says() -> None:
    found = await five_ws.words(trial_of("words", scenes=600))
    won = {how: np.mean(found["referential"][f"won, {how}"]) for how in signalling.HOW}
    assert won["on"] == pytest.approx(RELIABILITY + (1 - RELIABILITY) / 4, abs=0.05)
    assert won["zeroed"] == pytest.approx(0.25, abs=0.05)
    assert won["shuffled"] < 0.35
    assert np.mean(found["referential"]["readable"]) == 1.0 == np.mean(found["meeting"]["readable"])
    meeting = {how: np.mean(found["meeting"][f"won, {how}"]) for how in signalling.HOW}
    assert meeting["on"] > meeting["shuffled"] + 0.2 and meeting["zeroed"] < 0.2


def test_exactly_one_day_suits_both() -> None:
    for scene in signalling.scenes("meeting", 50, np.random.default_rng(0)):
        assert set(scene.facts[0]) & set(scene.facts[1]) == set(scene.right)
    for scene in signalling.scenes("referential", 50, np.random.default_rng(0)):
        assert len(set(scene.choices)) == 4 and scene.facts[0] == scene.right


def test_replies_are_read_and_sentences_exchanged() -> None:
    assert (
        signalling.chosen("I think it is the Small red star.", ("large red star", "small red star")) == "small red star"
    )
    assert signalling.chosen("no idea", ("Monday",)) is None
    scene = signalling.Scene("referential", (("small red star",), ()), (), ("small red star",))
    assert signalling.readable(scene, ["The star is red."]) == pytest.approx(2 / 3)
    said, rng = [["a b"], ["c d e"]], np.random.default_rng(0)
    assert signalling.exchanged(said, "on", rng) == said
    assert signalling.exchanged(said, "shuffled", rng) == [["c d e"], ["a b"]]
    assert signalling.exchanged(said, "zeroed", rng) == [[signalling.NOTHING]] * 2
    noise = signalling.exchanged(said, "noise", rng)
    assert [len(line[0].split()) for line in noise] == [2, 3]


async def test_a_language_model_plays_both_games() -> None:
    from shoal.models.interface import Completion, Model, Request

    class Echo(Model):
        spec = identity = "echo"
        evidence = Evidence.SCRIPTED

        async def complete(self, request: Request) -> Completion:
            return Completion("Monday, a small red circle")

    trial = trial_of("words-model", seeds=(0,))
    trial.model = Echo()
    found = await five_ws.words_model(trial)
    assert set(found) == {"referential", "meeting"} and len(found["meeting"]["won, noise"]) == 2
