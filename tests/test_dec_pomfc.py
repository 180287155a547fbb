"""The study of Dec-POMFC: its trials in miniature, what its claims read, and training that resumes bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from shoal.marl.checkpoints import read
from shoal.marl.training import TrainingInterrupted, train
from shoal.populations.mean_field.worlds import MeanFieldWorld
from shoal.runs.results import Results
from shoal.runs.study import Trial
from shoal.stats import Verdict, judge
from shoal.studies.dec_pomfc import STUDY
from shoal.studies.dec_pomfc import experiments as trials
from shoal.studies.dec_pomfc.claims import gaps
from shoal.studies.dec_pomfc.experiments import size_metric, sizes_of, swarm
from shoal.studies.dec_pomfc.figures import plots
from shoal.studies.dec_pomfc.settings import (
    BLIND,
    CHANCE,
    CLASSIC,
    HISTOGRAM,
    IPPO,
    KERNEL,
    MAPPO,
    OPEN,
    SHARED,
    STATIC,
    TASKS,
    DecPomfcConfig,
)

TINY = DecPomfcConfig(
    agents=6, tested=12, largest=30, horizon=20, steps=120, swarms=2, team_swarms=2, hidden=8, team_hidden=8,
    episodes=2, whole=False,
)  # fmt: skip


@pytest.fixture(scope="module")
def measured() -> dict[str, list[dict[str, Any]]]:
    trial: Trial[DecPomfcConfig] = Trial(TINY, "vicsek", "", 0, 1, trace=None, seeds=(0, 1))  # type: ignore[arg-type]
    return swarm(trial)


@pytest.mark.slow
def test_a_trial_measures_every_mode_start_and_size(measured: dict[str, list[dict[str, Any]]]) -> None:
    for arm in (KERNEL, STATIC, SHARED, BLIND, CLASSIC, CHANCE):
        assert len(measured[arm]) == 2
        for figures in measured[arm]:
            assert 0 <= figures["return"] <= 1
            assert 0 <= figures["late"] <= 1
    for figures in measured[KERNEL]:
        assert sizes_of(list(figures)) == [10, 12, 30]
        assert figures[size_metric(12)] == figures["return"]
        assert figures["warns, clumps"] in (0.0, 1.0)
        assert len(figures["in training"]) == 3
    assert "return from clumps" in measured[SHARED][0]
    assert measured[KERNEL][0]["shown x"].size == trials.FRAMES * 12
    assert measured[KERNEL][0]["shown at"].tolist() == [1, 7, 13, 20]
    assert measured[CLASSIC][0]["late"] > measured[CHANCE][0]["late"]


@pytest.mark.slow
def test_what_was_not_trained_is_empty(measured: dict[str, list[dict[str, Any]]]) -> None:
    assert not any(measured[HISTOGRAM]) and not any(measured[IPPO])


@pytest.mark.slow
def test_pictures_show_what_was_measured(measured: dict[str, list[dict[str, Any]]]) -> None:
    results = Results()
    for arm, each in measured.items():
        for seed, figures in enumerate(each):
            results.add("vicsek", arm, seed, figures)
    drawn = plots(results)
    assert set(drawn) == {"returns", "learning", "limit", "swarm-vicsek"}
    assert [ax.get_title(loc="left") for ax in drawn["swarm-vicsek"].axes] == [f"step {t}" for t in (1, 7, 13, 20)]


def filled(kernel: float, others: dict[str, float], limit: float = 1.0) -> Results:
    """Results of five seeds in which the arms return these numbers on all tasks, with a little scatter."""
    results = Results()
    for seed, off in enumerate((-0.002, -0.001, 0.0, 0.001, 0.002)):
        for task in (*TASKS, OPEN):
            own: dict[str, Any] = {"return": kernel + off, "late": kernel + off, "left": 1 - kernel + off}
            own |= {"warns, even": 0.0, "warns, clumps": 1.0, "return from clumps": kernel - 0.3 + off}
            own |= {size_metric(n): limit - 1 / n + off / n for n in (10, 30, 100, 500, 1000, 2000)}
            results.add(task, KERNEL, seed, own)
            for arm, value in others.items():
                shown = {"return": value - off, "late": value - off, "return from clumps": value - off}
                results.add(task, arm, seed, shown)
    return results


def verdicts(results: Results) -> dict[str, Verdict]:
    found = {}
    for claim in STUDY.claims:
        evidence = STUDY.experiment(claim.experiment).evidence
        found[claim.id] = judge(claim.id, claim.statement, evidence, claim.checks(results)).verdict
    return found


def test_claims_hold_where_the_figures_say_so_and_fail_where_not() -> None:
    worse = {BLIND: 0.1, HISTOGRAM: 0.7, IPPO: 0.9, MAPPO: 0.9, SHARED: 0.91, CHANCE: 0.07}
    good = verdicts(filled(0.9, worse))
    assert good.pop("by-hand") is Verdict.NOT_RUN
    assert set(good.values()) == {Verdict.REPRODUCED}
    bad = verdicts(filled(0.5, {**worse, BLIND: 0.6, HISTOGRAM: 0.6}, limit=0.1))
    failing = {"flocks", "falls-into-step", "gathers", "local-observation", "on-par", "on-par-independent", "kernels"}
    assert {bad[claim] for claim in failing | {"larger-swarms"}} == {Verdict.NOT_REPRODUCED}
    assert set(verdicts(Results()).values()) == {Verdict.NOT_RUN}


def test_gaps_are_to_the_largest_swarm() -> None:
    found = gaps(filled(0.9, {}), "vicsek")
    assert list(found) == [10, 30, 100, 500]
    assert found[10].mean() == pytest.approx(1 / 10 - 1 / 2000, abs=1e-3)


def test_scores_of_distances_are_shares_below_even_places() -> None:
    assert trials._scores("aggregation", np.array([0.0, -0.5214 * 4])).tolist() == pytest.approx([1.0, 0.0])
    assert trials._scores("vicsek", np.array([0.3])).tolist() == [0.3]


@pytest.mark.slow
def test_a_training_of_the_planner_resumes_bit_for_bit(tmp_path: Path) -> None:
    world = MeanFieldWorld(task="kuramoto", count=5, horizon=20, centres=2)
    settings = {"worlds": 1, "rollout": 20, "minibatches": 2, "epochs": 1, "hidden": (4,), "total_steps": 80}
    whole = train("ippo", world, settings=settings, steps=80, episodes=0)

    def stop(progress: Any) -> None:
        if progress.step == 40:
            raise KeyboardInterrupt

    with pytest.raises((KeyboardInterrupt, TrainingInterrupted)):
        train("ippo", world, settings=settings, steps=80, episodes=0, traced=0, out=tmp_path / "run",
              checkpoint_every=20, progress=stop)  # fmt: skip
    assert read(tmp_path / "run").updates < 4
    resumed = train(resume=tmp_path / "run")
    for one, two in zip(jax.tree.leaves(whole.state.model), jax.tree.leaves(resumed.state.model), strict=True):
        np.testing.assert_array_equal(one, two)
