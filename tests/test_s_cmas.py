"""The S-CMAS study: solvers against each other and by hand, claims on results that should fail them, and pictures."""

from __future__ import annotations

import inspect
from itertools import product
from typing import Any

import numpy as np
import pytest

from judging import verdicts_of
from shoal.errors import InputError
from shoal.games.causal import causal_equilibrium, causal_game
from shoal.games.causal_deviations import sequential_deviations, simultaneous_deviations, table_stackelberg
from shoal.games.causal_instincts import fitted_epsilon, habits, random_causal_game
from shoal.games.causal_sequential import sequential_equilibrium
from shoal.games.causal_stages import histories, stage_tree, staged_equilibrium
from shoal.games.seats.layers import choice_problem, layer_answers
from shoal.games.solvers.backward_induction import subgame_perfect
from shoal.games.solvers.stackelberg import pure_stackelberg
from shoal.models.scripted import ScriptedModel
from shoal.runs.checks import ItemTable, at_most, gain, share
from shoal.runs.results import Results
from shoal.runs.study import Trial
from shoal.stats import Verdict
from shoal.studies import s_cmas as study
from shoal.studies.s_cmas import STUDY
from shoal.tasks.problem import answer_key
from shoal.traces import TraceWriter

SMALL = {
    "games": 201, "satisficing_games": 40, "mechanism_games": 120, "extension_games": 60, "simultaneous_games": 20,
    "staged_games": 3, "language_games": 4, "rounds": 200, "learner_seeds": 4,
}  # fmt: skip


def trial_of(experiment: str, seed: int = 0, model: Any = None, **changes: Any) -> Trial[Any]:
    config = STUDY.configure("standard", {**SMALL, **changes})
    return Trial(config, experiment, "", seed, 0, TraceWriter(None, "test"), model, (seed,))


verdict = verdicts_of(STUDY)


@pytest.fixture(scope="module")
def measured() -> Results:
    results = Results()
    for experiment in STUDY.experiments:
        if experiment.model or experiment.name == "learners":
            continue
        found: Any = experiment.trial(trial_of(experiment.name))
        assert set(found) == set(experiment.variants)
        for variant, values in found.items():
            results.add(experiment.name, variant, 0, values)
    return results


def test_the_negative_result_and_what_it_rests_on(measured: Results) -> None:
    for claim in ("zero-gain", "never-below-stackelberg", "no-deviation", "worked-nash", "worked-causal", "ties",
                  "stages", "worked-wrong-instincts", "averaged-payoffs", "satisficing-aligned", "satisficing-rational",
                  "mechanism-not-mixed", "extension-averaged", "signalling"):  # fmt: skip
        assert verdict(claim, measured) is Verdict.REPRODUCED, claim


def test_both_comparators_stand_beside_every_result() -> None:
    for name in ("sweep", "mechanism", "ties", "satisficing", "extension", "signalling", "language"):
        assert set(study.BOTH) <= set(STUDY.experiment(name).variants)


def test_limits_of_the_result(measured: Results) -> None:
    sweep = {v: measured.mean("sweep", v, "leader").value for v in measured.variants("sweep")}
    assert sweep[study.L3_ONLY] == pytest.approx(sweep[study.S_CNE])  # reflection can do all that actions can
    assert sweep[study.L1_ONLY] < sweep[study.S_CNE] < sweep[study.MIXED]
    assert verdict("ties-mixed-up", measured) is Verdict.REPRODUCED
    assert verdict("averaged-random", measured) is Verdict.NOT_REPRODUCED  # instincts correlate, layers commit


def test_claims_fail_on_a_solver_with_a_small_false_gain(measured: Results) -> None:
    wrong = Results()
    for variant in measured.variants("sweep"):
        values = {m: measured.items("sweep", variant, m)[0] for m in measured.metrics("sweep")
                  if measured.has("sweep", variant, m)}  # fmt: skip
        if variant == study.S_CNE:
            values["welfare"] = values["welfare"] + 1e-6
            values["leader"] = values["leader"] - 1e-6
            values["deviation"] = values["deviation"] + 1e-6
        wrong.add("sweep", variant, 0, values)
    for claim in ("zero-gain", "never-below-stackelberg", "no-deviation"):
        assert verdict(claim, wrong) is Verdict.NOT_REPRODUCED
    few = Results()
    for variant in (study.S_CNE, study.PURE):
        few.add("sweep", variant, 0, {"welfare": [1.0] * 100, "leader": [1.0] * 100})
    assert verdict("zero-gain", few) is Verdict.INCONCLUSIVE  # it takes 200 games


@pytest.mark.parametrize("free", [True, False])
def test_deviations_by_instinct_are_those_of_naming_every_strategy(free: bool) -> None:
    rng = np.random.default_rng(3)
    for _ in range(10):
        game = random_causal_game(rng, 3, (2, 2), free=free)
        for sees in ("action", "mechanism"):
            found = sequential_equilibrium(game, sees=sees)
            assert max(sequential_deviations(game, found, sees)) < 1e-9
            maps = [np.array(m)[game.instincts[1]] for m in product(range(2), repeat=2)]
            row = found.responses
            u = np.arange(3)
            if sees == "action":  # one map for each action that may be seen
                plans = [np.where(row == 0, a, b) for a in maps for b in maps]
            else:
                plans = maps
            best = max(float(game.chances @ game.table[u, row, plan, 1]) for plan in plans)
            assert found.payoffs[1] == pytest.approx(best)


def test_deviations_are_found_where_there_are_some() -> None:
    rng = np.random.default_rng(5)
    game = random_causal_game(rng, 2, (2, 2), free=False, informed=(True, False))
    bound = sequential_equilibrium(game, leader_layers=(1,))
    free = sequential_equilibrium(game)
    assert sequential_deviations(game, bound)[0] == pytest.approx(free.payoffs[0] - bound.payoffs[0])
    habit = habits(game.classical, rng)["random instinct"]
    lazy = sequential_equilibrium(game, epsilon=2.0, instinct=1 - habit)
    rational = sequential_equilibrium(game)
    assert sequential_deviations(game, lazy)[1] == pytest.approx((rational.values - lazy.values)[:, 1].max())
    beyond = []
    for _ in range(30):
        both = random_causal_game(rng, 2, (2, 2), free=False)
        inside, outside = simultaneous_deviations(both, causal_equilibrium(both))
        assert inside < 1e-9
        beyond.append(outside)
    assert max(beyond) > 0.01  # the summary's definition compares whole layers only


def test_stages_agree_with_the_two_stage_solver_and_with_the_tree() -> None:
    rng = np.random.default_rng(0)
    for free in (True, False):
        for _ in range(5):
            game = random_causal_game(rng, 3, (2, 3), free=free)
            found = staged_equilibrium(game)
            assert found.payoffs == pytest.approx(sequential_equilibrium(game).payoffs)
            assert found.payoffs == pytest.approx(subgame_perfect(stage_tree(game)).payoffs)
    deep = random_causal_game(rng, 2, (2, 2, 2, 2), free=True, informed=(True,) * 4)
    owners = [0, 1, 0, 1]
    found = staged_equilibrium(deep, owners)
    assert found.histories == 6**4 and found.visited < 6**3  # two actions, and two maps with two outcomes each
    assert found.payoffs == pytest.approx(staged_equilibrium(deep, owners, (2,)).payoffs)
    assert found.payoffs.shape == (2,)
    with pytest.raises(InputError, match="histories"):
        histories(random_causal_game(rng, 2, (2,) * 7, free=True, informed=(True,) * 7))
    with pytest.raises(InputError, match="owners"):
        staged_equilibrium(deep, [0, 2, 0, 2])


def test_the_direct_stackelberg_on_tables_without_ties() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        game = random_causal_game(rng, 1, (3, 3), free=True)
        assert table_stackelberg(game.table[0]) == pytest.approx(pure_stackelberg(game.classical).payoffs)
    tied = np.array([[[1.0, 0.0], [1.0, 0.0]], [[1.0, 5.0], [0.0, 5.0]]])
    assert table_stackelberg(tied).tolist() == [1.0, 5.0]  # follower kind to the leader, leader kind to the follower
    game = causal_game([1.0], [[0], [0]], tied[None])
    assert sequential_equilibrium(game).payoffs.tolist() == [1.0, 5.0]


def test_a_known_epsilon_is_found_and_nothing_is_made_of_nothing() -> None:
    costs = np.linspace(0, 1, 101)
    for epsilon in (0.0, 0.21, 0.6):
        assert fitted_epsilon(costs, costs <= epsilon) == pytest.approx(epsilon, abs=0.011)
    assert fitted_epsilon([0.0, 0.0], [True, False]) == 0
    assert fitted_epsilon([0.3, 0.5], [True, True]) == pytest.approx(0.4, abs=0.11)


async def test_a_model_answers_on_three_layers() -> None:
    results, problems = Results(), [choice_problem(f"game-{k}-{x}", np.eye(2)) for k in range(4) for x in range(2)]
    seen: list[str] = []

    class Watching(ScriptedModel):
        async def complete(self, request: Any) -> Any:
            seen.append(request.messages[-1]["content"])
            return await super().complete(request)

    trial = trial_of("language", model=Watching(answer_key(problems), competence=1.0))
    outcome = study.STUDY.experiment("language").trial(trial)
    assert inspect.isawaitable(outcome)
    found: Any = await outcome
    assert set(found) == set(STUDY.experiment("language").variants)
    for variant, values in found.items():
        results.add("language", variant, 0, values)
    assert len(found[study.INSTINCT]["cost"]) == 8 and len(found[study.PURE]["welfare"]) == 4
    assert len(seen) == 8 * 4  # thinking is a call of its own
    for said in ("Your first thought was", "You have thought about it:", "Before you choose", "Say at once"):
        assert sum(said in text for text in seen) == 8
    assert verdict("model-thinks", results) is Verdict.INCONCLUSIVE  # four games decide nothing
    assert STUDY.plots is not None and "language" in STUDY.plots(results)


async def test_unreadable_answers_are_counted_and_drawn() -> None:
    async def silent(prompt: str, schema: Any) -> str:
        return "Hm."

    answers = await layer_answers(silent, "?", ("amber", "cedar"), np.random.default_rng(0))
    assert [a.unread for a in answers] == [2, 2, 2] and all(a.action in (0, 1) for a in answers)
    problem = choice_problem("q", np.array([[0.3, 0.1], [0.2, 0.9]]))
    assert "cedar: you get 9 points, the other player gets 2." in problem.question.text
    assert problem.answer == "cedar" and problem.lures == ("amber",)


def test_learners_and_plots(measured: Results) -> None:
    found: Any = STUDY.experiment("learners").trial(trial_of("learners"))
    assert set(found) == set(STUDY.experiment("learners").variants)
    assert all(values["row"].shape == (4,) for values in found.values())
    assert STUDY.plots is not None
    assert {"sweep", "mechanism", "extension", "signalling", "satisficing", "stages"} == set(STUDY.plots(measured))
    assert STUDY.plots(Results()) == {}


def test_every_claim_reads_an_experiment_and_sizes_are_valid() -> None:
    for size in ("quick", "standard", "full"):
        assert STUDY.configure(size).games >= 200  # the claim needs them
    assert len({c.id for c in STUDY.claims}) == len(STUDY.claims)
    for claim in STUDY.claims:
        assert verdict(claim.id, Results()) is Verdict.NOT_RUN
    assert at_most(np.empty(0), "nothing") == []


def test_checks_item_by_item() -> None:
    table, results = ItemTable(), Results()
    for k in range(20):
        table.add("one", pay_off=k % 2)
        table.add("two", pay_off=0.0)
    for variant, values in table.rows.items():
        results.add("e", variant, 0, values)
    assert table.rows["one"]["pay off"][:3] == [0, 1, 0]
    (part,) = share("e", "one", "two", "pay off", above=0.2)(results)
    assert part.estimate.value == 0.5 and part.verdict is Verdict.REPRODUCED
    (found,) = gain("e", "two", "one", "pay off", above=0.0)(results)
    assert found.estimate.value == -0.5 and found.verdict is Verdict.NOT_REPRODUCED
    assert gain("e", "one", "three", "pay off", above=0.0)(results) == []
