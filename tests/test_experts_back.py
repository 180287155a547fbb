"""Experts in teams: exact values of the measures, the synthetic talk, the harness for models, the study's claims."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from judging import verdicts_of
from shoal.diagnosis import expert_teams as teams
from shoal.diagnosis import expertise
from shoal.diagnosis.expert_talk import CONDITIONS, Discussion, puzzle, survival
from shoal.errors import InputError, UnknownName
from shoal.models.interface import Completion, Model, Request
from shoal.models.source import SharedModel
from shoal.runs.results import Results
from shoal.runs.study import Trial
from shoal.stats import Evidence, Verdict
from shoal.studies import experts_back as study
from shoal.studies.experts_back import BEST, DEFERS, STUDY, TOLD, UNTOLD, sized
from shoal.teams.agent import make_agents
from shoal.teams.session import Session
from shoal.traces import TraceWriter, Usage


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def trial_of(experiment: str, variant: str = "", seed: int = 0, source: Any = None, **changes: Any) -> Trial[Any]:
    config = STUDY.configure("quick", {"tasks": 100, "mixed_teams": 200, "team_tasks": 5, "guesses": 20_000, **changes})
    return Trial(config, experiment, variant, seed, 0, TraceWriter(None, "test"), None, (seed,), source)


verdict = verdicts_of(STUDY)


@pytest.fixture(scope="module")
def measured() -> Results:
    results = Results()
    for experiment in STUDY.experiments:
        if not experiment.model:
            for seed in range(4):
                found: Any = experiment.trial(trial_of(experiment.name, seed=seed))
                assert set(found) == set(experiment.variants)
                for variant, values in found.items():
                    results.add(experiment.name, variant, seed, values)
    return results


# --- measures -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("items", [2, 3, 4, 5, 6])
def test_the_largest_rank_error_is_that_of_the_reversed_order(items: int) -> None:
    truth = np.arange(1, items + 1)
    worst = max(float(expertise.rank_error(order, truth)) for order in permutations(truth))
    assert worst == float(expertise.rank_error(truth[::-1], truth)) == items**2 // 2


def test_fifteen_items_have_the_published_maximum() -> None:
    truth = np.arange(1, 16)
    assert float(expertise.rank_error(truth[::-1], truth)) == 112
    for order in (expertise.NASA_MOON, expertise.LOST_AT_SEA):
        assert len(set(order)) == 15


def test_gaps_are_those_of_the_papers_formulas() -> None:
    assert expertise.synergy_gap(28.0, 47.5) == pytest.approx(0.411, abs=5e-4)  # HLE, not told, against ALOC
    assert [expertise.expert_gap(x, 10, 30) for x in (10, 30, 40)] == [0.0, 1.0, 1.5]
    with pytest.raises(InputError, match="control"):
        expertise.expert_gap(5, 10, 10)
    with pytest.raises(InputError, match="oracle"):
        expertise.synergy_gap(0.5, 0.0)


@given(st.tuples(*[st.integers(-1000, 1000)] * 3))
def test_the_two_parts_of_the_loss_are_the_whole(levels: tuple[int, int, int]) -> None:
    loss = expertise.group_loss(*levels)
    assert loss.identification + loss.leveraging == loss.total == levels[0] - levels[2]


@given(st.permutations(range(6)), st.integers(0, 100))
def test_members_that_agree_are_their_team(order: list[int], seed: int) -> None:
    ranking = np.array(order, float) + 1
    everyone = np.tile(ranking, (3, 1))
    assert (expertise.mean_ranking(everyone, rng(seed)) == ranking).all()
    assert (expertise.plurality_ranking(everyone[None], rng(seed))[0] == ranking).all()
    assert (expertise.ranks(-ranking) == ranking).all()


def test_a_member_of_no_weight_does_not_count_and_ties_are_drawn() -> None:
    two = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])
    assert (expertise.mean_ranking(two, rng(), [0.0, 1.0]) == two[1]).all()
    drawn = {tuple(expertise.mean_ranking(two, rng(seed))) for seed in range(60)}
    assert len(drawn) == 6  # all mean ranks are equal


@pytest.mark.parametrize(
    ("order", "found", "missing"),
    [
        ([2, 0, 1], [2, 3, 1], 0),
        ([2, 2, 0], [2, 3, 1], 1),
        ([1], [2.5, 1, 2.5], 2),
        ([], [2, 2, 2], 3),
        ([7, 0], [1, 2.5, 2.5], 2),
    ],
)
def test_incomplete_rankings_are_filled_at_the_mean_of_what_is_left(
    order: list[int], found: list[float], missing: int
) -> None:
    ranking, count = expertise.completed(order, 3)
    assert ranking.tolist() == found and count == missing
    assert ranking.sum() == 6


def test_guessing_is_corrected_exactly() -> None:
    for members in (2, 4, 8):
        luck = 1 - 0.75**members
        assert expertise.without_guessing(luck, members, 4) == pytest.approx(0)
        assert expertise.without_guessing(0.3 + 0.7 * luck, members, 4) == pytest.approx(0.3)


def test_the_fixed_member_is_chosen_on_the_other_half() -> None:
    correct = np.array([[1, 0], [1, 0], [0, 1], [0, 1]])
    assert expertise.fixed_member(correct)[0] == 0 and not expertise.fixed_member(correct)[1].any()
    assert expertise.fixed_member(correct, held_out=False)[1].all()
    assert expertise.at_least_one(correct) == 1.0


# --- synthetic talk -----------------------------------------------------------------------------------------------


def test_noise_has_the_correlation_asked_for_and_knowledge_lies_where_dealt() -> None:
    draws = teams.Knowledge(3, 12, 0.0, 1.0, 0.5).draw(4000, rng())
    score = draws.alone  # without noise the expert holds the truth
    assert (expertise.ranks(score) == draws.truth).all() and score.var(axis=1) == pytest.approx(1)
    noise = (draws.uninformed - score[:, None]).transpose(1, 0, 2).reshape(3, -1)
    assert np.corrcoef(noise)[0, 1:] == pytest.approx(0.5, abs=0.02)
    assert (draws.informed[:, 0] == score).all()
    dealt = teams.Knowledge(3, 12, 0.0, 1.0, distributed=True).draw(50, rng())
    assert (dealt.informed[:, dealt.holder, np.arange(12)] == dealt.alone).all()
    assert np.bincount(dealt.holder).tolist() == [4, 4, 4]


def test_full_deference_is_the_experts_view_after_one_round() -> None:
    draws = teams.Knowledge().draw(30, rng())
    talk = teams.talk(draws.informed, teams.Manner(1.0, 1.0), draws.holder, 1, rng(1))
    assert talk.views == pytest.approx(np.repeat(draws.informed[:, :1], 4, axis=1))
    assert [float(talk.codes[c].min()) for c in ("ED", "SP")] == [1.0, 1.0]


def test_compromise_at_once_keeps_the_mean_and_shrinks_differences_by_half() -> None:
    draws = teams.Knowledge().draw(30, rng())
    talk = teams.talk(draws.informed, teams.Manner(), draws.holder, 3, rng(1), at_once=True)
    middle = draws.informed.mean(axis=1, keepdims=True)
    assert talk.views == pytest.approx(middle + (draws.informed - middle) / 8)
    assert [float(talk.codes[c].min()) for c in ("IC", "EF")] == [1.0, 1.0]


def test_who_never_moves_is_neither_deferring_nor_compromising() -> None:
    draws = teams.Knowledge().draw(30, rng())
    talk = teams.talk(draws.informed, teams.Manner(0.0), draws.holder, 2, rng(1))
    assert (talk.views == draws.informed).all()
    assert {c: float(v.max()) for c, v in talk.codes.items()} == {"ED": 0.0, "IC": 0.0, "SP": 1.0, "EF": 0.0}


def test_leaving_the_expert_for_the_middle_is_compromise() -> None:
    views = np.array([[[0.0, 0.0], [0.0, 0.0], [4.0, 4.0]]])  # the second member agrees with the expert
    manner = teams.Manner(np.array([[0.0, 0.5, 0.0]]))
    talk = teams.talk(views, manner, np.zeros(2, int), 1, rng())
    assert talk.codes["IC"][0] == 0.5 and talk.codes["ED"][0] == 0.0


# --- the harness for models ---------------------------------------------------------------------------------------


class Crates(Model):
    """Gives set replies, and keeps every prompt."""

    evidence = Evidence.SCRIPTED
    spec = identity = "crates"

    def __init__(self, reply: str) -> None:
        self.reply = reply
        self.prompts: list[tuple[str, str]] = []

    async def complete(self, request: Request) -> Completion:
        text = "\n".join(m["content"] for m in request.messages)
        self.prompts.append((request.agent, text))
        return Completion(self.reply, Usage(1, 1, calls=1), "stop")


def discussion(model: Model, condition: Any, **options: Any) -> Discussion:
    one = puzzle(4, 0, 7)
    return Discussion(one, make_agents(3), Session(model=model, question=one.problem.question), condition, 2, **options)


@pytest.mark.parametrize("condition", CONDITIONS)
async def test_only_the_expert_sees_the_sheet_and_only_reveal_names_it(condition: str) -> None:
    model = Crates("Answer: B A D C")
    team = discussion(model, condition)
    decided = await team.run(3)
    assert decided is not None and decided.tolist() == [2, 1, 4, 3]
    seen = {agent for agent, text in model.prompts if team.puzzle.sheet in text}
    assert seen == (set() if condition == "no information" else {"agent-1"})
    assert any("team's expert" in text for _, text in model.prompts) == (condition == "reveal")
    assert len(model.prompts) == (1 if condition == "best individual" else 3 + 2 * 3 + 3)
    if condition != "best individual":
        assert "agent-1: Answer: B A D C" in model.prompts[-1][1]


async def test_bad_answers_are_asked_for_once_more_then_filled() -> None:
    team = discussion(Crates("Answer: B B"), "reveal")
    decided = await team.run(0)
    assert decided is not None and decided[1] == 1
    assert (team.repaired, team.filled) == (6, 18)


async def test_a_team_in_which_all_abstain_has_no_answer() -> None:
    team = discussion(Crates("Answer: pass"), "reveal", may_abstain=True)
    assert await team.run(0) is None and team.abstained == 3


async def test_a_saboteur_is_told_so_and_nobody_else() -> None:
    model = Crates("I think it is a good one: C, then A, B, D")
    team = discussion(model, "not mentioned", saboteur=2)
    decided = await team.run(0)
    assert decided is not None and decided.tolist() == [2, 3, 1, 4] and team.filled == 0
    assert {agent for agent, text in model.prompts if "worst possible" in text} == {"agent-3"}


def test_puzzles_repeat_and_unknown_conditions_are_named() -> None:
    assert puzzle(5, 1, 2) == puzzle(5, 1, 2) != puzzle(5, 2, 2)
    assert puzzle(5, 1, 2).truth[list(puzzle(5, 1, 2).labels).index(puzzle(5, 1, 2).problem.answer[0])] == 1
    with pytest.raises(UnknownName):
        discussion(Crates(""), "secret")


def test_a_survival_task_hides_its_order_behind_drawn_letters() -> None:
    one, other = (survival(expertise.NASA_MOON, number, 1) for number in (0, 1))
    assert one.problem.answer != other.problem.answer
    for task in (one, other):
        first, last = task.problem.answer.split()[0], task.problem.answer.split()[-1]
        assert f"{first}: oxygen" in task.problem.question.text and f"{last}: matches" in task.problem.question.text
        assert task.truth[task.labels.index(last)] == 15


async def test_the_talk_experiment_on_scripted_members() -> None:
    for variant in STUDY.experiment("talk").variants:
        source = SharedModel("scripted:competence=1.0")
        found: Any = await study.talk(trial_of("talk", variant, source=source, talk_puzzles=3))
        assert found["error"] == [0.0] * 3 and found["filled"] == [0.0] * 3
    known: Any = await study.talk(trial_of("talk", TOLD, source=source, talk_task="nasa"))
    assert known["error"] == [0.0]


# --- the study ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "claim", ["below-expert", "deference-closes", "told-in-vain", "adds-up", "size-deference", "saboteur", "as-printed"]
)
def test_claims_that_follow_from_the_mechanism(measured: Results, claim: str) -> None:
    assert verdict(claim, measured) is Verdict.REPRODUCED


def test_more_members_lose_more_only_where_their_errors_agree(measured: Results) -> None:
    assert verdict("size", measured) is Verdict.REPRODUCED
    assert verdict("size-independent", measured) is Verdict.NOT_REPRODUCED
    gaps = [measured.values("sizes", sized(UNTOLD, n), "gap").mean() for n in (2, 4, 8)]
    assert gaps == sorted(gaps)


def test_claims_fail_where_the_team_is_its_expert(measured: Results) -> None:
    null = Results()
    error = measured.items("concentrated", BEST, "error")[0]
    for seed in range(3):
        for variant in (UNTOLD, TOLD, BEST, DEFERS):
            own = error if variant == BEST else error[::-1]
            parts = {"identification": 1.0, "leveraging": 0.0}
            null.add("concentrated", variant, seed, {"error": own, "gap": 0.5, **parts})
        for n in (2, 4, 8):
            lost = measured.items("sizes", sized(UNTOLD, n), "lost")[0]
            null.add("sizes", sized(UNTOLD, n), seed, {"lost": -lost, "gap": 1 / n})
            null.add("sizes", sized(DEFERS, n), seed, {"lost": lost, "gap": 0.5})
    for claim in ("deference-closes", "adds-up", "size-deference", "size"):
        assert verdict(claim, null) is Verdict.NOT_REPRODUCED
    assert verdict("below-expert", null) is not Verdict.REPRODUCED


def test_trials_repeat_and_differ_between_seeds() -> None:
    one, two, other = (study.sizes(trial_of("sizes", seed=seed)) for seed in (1, 1, 2))
    key = sized(TOLD, 4)
    assert (one[key]["error"] == two[key]["error"]).all() and (one[key]["error"] != other[key]["error"]).any()


def test_plots_and_settings(measured: Results) -> None:
    assert {"concentrated", "sizes", "coding", "quiz"} <= set(study.plots(measured))
    assert study.plots(Results()) == {}
    with pytest.raises(InputError, match="heeds"):
        STUDY.configure("quick", {"heeds": 1.5})
