"""The survey's study: formulas against published values, trials through real sessions, and claims that can fail."""

from __future__ import annotations

import inspect
import itertools
from typing import Any

import numpy as np
import pytest

from judging import verdicts_of
from shoal.models.recorded import gsm8k_recordings
from shoal.models.scripted import ScriptedModel
from shoal.runs.results import Results
from shoal.runs.study import Trial
from shoal.stats import Verdict, judge
from shoal.studies import collaboration_mechanisms as cm
from shoal.studies.collaboration_mechanisms import STUDY, Config
from shoal.tasks.catalogue import open_task
from shoal.tasks.problem import answer_key
from shoal.teams.agent import make_agents
from shoal.teams.evaluation import answer_all
from shoal.teams.protocols import PROTOCOLS
from shoal.traces import TraceWriter

SMALL = Config(
    items=4_000, questions=12, topic_questions=20, runs=8, model_questions=3, recorded_problems=120, model_agents=2
)


async def measure(experiment: str, variant: str, seed: int = 0, config: Config = SMALL, model: Any = None) -> Any:
    trial = Trial(config, experiment, variant, seed, 0, TraceWriter(None, "t"), model)
    outcome = STUDY.experiment(experiment).trial(trial)
    return await outcome if inspect.isawaitable(outcome) else outcome


async def fill(experiment: str, variants: list[str], seeds: int, config: Config = SMALL) -> Results:
    results = Results()
    for variant, seed in itertools.product(variants, range(seeds)):
        results.add(experiment, variant, seed, await measure(experiment, variant, seed, config))
    return results


verdict = verdicts_of(STUDY)


def test_the_formula_against_enumeration_and_known_values() -> None:
    for p in (0.3, 0.6):
        for n in (1, 3, 5):
            total = sum(
                np.prod([p if r else 1 - p for r in right])
                for right in itertools.product([0, 1], repeat=n)
                if 2 * sum(right) > n
            )
            assert cm.binomial_majority(p, n) == pytest.approx(total)
    assert cm.binomial_majority(0.6, 3) == pytest.approx(0.648)
    assert cm.binomial_majority(0.6, 15) == pytest.approx(0.7869, abs=1e-4)


async def test_the_vote_protocol_agrees_with_the_formula_through_real_sessions() -> None:
    problems = open_task("sums").problems(81, 0)
    right = []
    for seed in range(8):
        model = ScriptedModel(answer_key(problems), competence=0.6, options=2, seed=seed)
        answers = await answer_all(
            PROTOCOLS.get("vote").run, make_agents(5), problems, model, trace=TraceWriter(None, "t"), seed=seed
        )
        right += [a.correct for a in answers]
    truth = cm.binomial_majority(0.6, 5)
    assert abs(np.mean(right) - truth) < 4 * np.sqrt(truth * (1 - truth) / len(right))


async def test_votes_scatter_around_the_formula_as_chance_alone_would() -> None:
    z = np.array([[v for k, v in (await measure("voting", cm.INDEPENDENT, seed)).items() if k.startswith("z")]
                  for seed in range(60)])  # fmt: skip
    assert z.shape == (60, len(cm.VOTERS))
    assert np.all(np.abs(z.mean(axis=0)) < 4 / np.sqrt(60))
    assert np.all((z.std(axis=0) > 0.7) & (z.std(axis=0) < 1.3))


async def test_voting_claims() -> None:
    results = await fill("voting", [cm.INDEPENDENT, cm.CORRELATED, cm.FIRST], 1, Config(items=10_000))
    assert verdict("binomial", results) is Verdict.REPRODUCED
    assert verdict("correlated-errors", results) is Verdict.REPRODUCED
    assert verdict("first-answer", results) is Verdict.REPRODUCED
    # The same checks must fail where there is no correlation, and where the vote is no vote.
    independent = await measure("voting", cm.INDEPENDENT)
    wrong = Results()
    wrong.add("voting", cm.CORRELATED, 0, independent)
    assert verdict("correlated-errors", wrong) is Verdict.NOT_REPRODUCED
    wrong.add("voting", cm.INDEPENDENT, 0, {**independent, "z n=9": -9.0})
    assert verdict("binomial", wrong) is Verdict.NOT_REPRODUCED


async def test_sycophancy_with_a_loud_agent_spoils_a_debate() -> None:
    variants = [cm.VOTE, cm.DEBATE, cm.MEEK, cm.QUIET]
    results = await fill("cascade", variants, 20, Config(questions=6))
    assert verdict("cascade", results) is Verdict.REPRODUCED
    accuracy = {v: results.mean("cascade", v, "accuracy").value for v in variants}
    assert accuracy[cm.MEEK] == pytest.approx(accuracy[cm.VOTE], abs=1e-9)  # nobody changes: the debate is the vote
    assert accuracy[cm.QUIET] > accuracy[cm.DEBATE]
    assert results.values("cascade", cm.DEBATE, "tokens").min() > results.values("cascade", cm.VOTE, "tokens").max()


async def test_star_and_mesh_under_faults() -> None:
    results = await fill("faults", [cm.STAR, cm.MESH, cm.NO_HUB, cm.NO_LEAF, cm.NO_PEER], 3)
    for claim in ("hub-is-fatal", "mesh-survives", "message-counts"):
        assert verdict(claim, results) is Verdict.REPRODUCED
    assert results.mean("faults", cm.NO_LEAF, "completed").value == 1
    assert results.mean("faults", cm.STAR, "messages per round").value == 8
    assert results.mean("faults", cm.MESH, "messages per round").value == 20
    assert results.values("faults", cm.NO_PEER, "failure agent killed").min() > 0


async def test_roles_pay_only_where_skills_differ() -> None:
    results = await fill("roles", list(STUDY.experiment("roles").variants), 3)
    block = results.difference("roles", f"{cm.ROLES}, {cm.BLOCKS}", f"{cm.NO_ROLES}, {cm.BLOCKS}", "accuracy")
    flat = results.difference("roles", f"{cm.ROLES}, {cm.FLAT}", f"{cm.NO_ROLES}, {cm.FLAT}", "accuracy")
    assert block.low > 0.2
    assert abs(flat.value) < 0.1
    calls = {float(results.mean("roles", v, "calls").value) for v in results.variants("roles")}
    assert calls == {1.0}
    blocks, even = cm.skill_matrix(SMALL, cm.BLOCKS), cm.skill_matrix(SMALL, cm.FLAT)
    assert even.mean() == pytest.approx(blocks.mean())
    assert np.ptp(even) == 0


async def test_vocabulary_experiment_covers_every_value() -> None:
    results = await fill("vocabulary", ["every value"], 1)
    assert verdict("vocabulary", results) is Verdict.REPRODUCED
    broken = await measure("vocabulary", "every value")
    results.add("vocabulary", "every value", 0, {**broken, "completed": [*broken["completed"][1:], 0.0]})
    assert verdict("vocabulary", results) is Verdict.NOT_REPRODUCED


async def test_language_models_are_compared_at_equal_tokens() -> None:
    problems = open_task("sums").problems(81, 0)
    model = ScriptedModel(answer_key(problems), competence=0.6)
    outcome = await measure("model", cm.ONE, config=Config(model_questions=20), model=model)
    assert set(outcome) == {cm.ONE, cm.MANY, cm.VOTE, cm.DEBATE}
    debate, many = np.array(outcome[cm.DEBATE]["tokens"]), np.array(outcome[cm.MANY]["tokens"])
    assert np.all(np.abs(many - debate) <= np.array(outcome[cm.ONE]["tokens"]))  # within one sample
    for metrics in outcome.values():
        assert {"accuracy", "tokens", "messages", "rounds", "seconds", "failures"} <= set(metrics)


@pytest.mark.skipif(gsm8k_recordings() is None, reason="the GSM8K recordings are not on this machine")
async def test_recorded_models_vote() -> None:
    outcomes = {v: await measure("recorded", v) for v in STUDY.experiment("recorded").variants}
    assert all(len(m["accuracy"]) == SMALL.recorded_problems for m in outcomes.values())
    assert np.mean(outcomes[cm.BEST_MODEL]["accuracy"]) > np.mean(outcomes[cm.RANDOM_MODEL]["accuracy"])
    assert set(outcomes[cm.PLURALITY]["calls"]) == {4.0}
    assert set(outcomes[cm.BEST_MODEL]["calls"]) == {1.0}


async def test_plots_and_configuration() -> None:
    results = await fill("voting", [cm.INDEPENDENT, cm.CORRELATED], 1)
    for variant in (cm.STAR, cm.MESH):
        results.add("faults", variant, 0, await measure("faults", variant))
    assert STUDY.plots is not None
    assert set(STUDY.plots(results)) == {"voting", "faults"}
    assert STUDY.plots(Results()) == {}
    for size in ("quick", "standard", "full"):
        STUDY.configure(size)
    names = [e.name for e in STUDY.experiments]
    assert all(claim.experiment in names for claim in STUDY.claims)
    assert len({claim.id for claim in STUDY.claims}) == len(STUDY.claims)
    assert all(judge(c.id, "", e.evidence, c.checks(Results())).verdict is Verdict.NOT_RUN
               for c in STUDY.claims for e in [STUDY.experiment(c.experiment)])  # fmt: skip
