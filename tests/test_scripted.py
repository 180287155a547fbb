"""Scripted agents: their error rates and correlations are what was asked for, and they read prompts as documented."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import BaseModel, Field
from scipy import stats

from shoal.errors import InputError, UnknownName
from shoal.models import Request, open_model
from shoal.models.scripted import ScriptedModel, common_factor, draw_answers, read_answers, revise
from shoal.stats import Evidence
from shoal.tasks import Problem, Question, answer_key
from shoal.tasks.answers import extract, instruction
from shoal.tasks.catalogue import TASKS, open_task

PROBLEMS = open_task("arithmetic").problems(400, 0)
KEY = answer_key(PROBLEMS)
FIRST = PROBLEMS[0]


def request(problem: Problem, prompt: str | None = None, agent: str = "ann", **settings: object) -> Request:
    text = prompt if prompt is not None else f"{problem.question.text}\n{instruction(problem.question)}"
    return Request([{"role": "user", "content": text}], question=problem.question.id, agent=agent, **settings)  # type: ignore[arg-type]


async def answers(
    model: ScriptedModel, agents: Sequence[str], problems: Sequence[Problem] = PROBLEMS
) -> NDArray[np.bool_]:
    rows = []
    for problem in problems:
        texts = [(await model.complete(request(problem, agent=agent))).text for agent in agents]
        rows.append([problem.check(extract(problem.question, text)) for text in texts])
    return np.array(rows)


# ------------------------------------------------------------------------------- the construction, as arrays


@pytest.mark.parametrize("competence", [0.05, 0.3, 0.5, 0.8])
@pytest.mark.parametrize("correlation", [0.0, 0.2, 0.7, 1.0])
def test_correctness_has_the_asked_marginals_and_correlation(competence: float, correlation: float) -> None:
    right = draw_answers(np.random.default_rng(1), 100_000, competence, correlation, agents=5) == 0
    error = math.sqrt(competence * (1 - competence) / 100_000)
    assert np.abs(right.mean(axis=0) - competence).max() < 4.5 * error
    pairs = np.corrcoef(right.T)[np.triu_indices(5, 1)]
    # Kurtosis of rare events widens the error of a correlation; 1/sqrt(p q n) bounds it.
    assert np.abs(pairs - correlation).max() < 4.5 / math.sqrt(competence * (1 - competence) * 100_000)


@given(
    st.lists(st.floats(0.02, 0.98), min_size=1, max_size=6),
    st.floats(0, 1),
)
@settings(derandomize=True, deadline=None)
def test_the_factor_is_exact_wherever_it_exists(competence: list[float], correlation: float) -> None:
    p = np.array(competence)
    odds = p / (1 - p)
    attainable = correlation <= math.sqrt(odds.min() / odds.max())
    try:
        share, high, low = common_factor(p, correlation)
    except InputError:
        assert not attainable
        return
    assert attainable or correlation - math.sqrt(odds.min() / odds.max()) < 1e-6
    assert np.all((high >= 0) & (high <= 1) & (low >= 0) & (low <= 1))
    assert np.allclose(share * high + (1 - share) * low, p, atol=1e-7)
    joint = share * np.outer(high, high) + (1 - share) * np.outer(low, low)
    spread = np.sqrt(p * (1 - p))
    assert np.allclose(joint - np.outer(p, p), correlation * np.outer(spread, spread), atol=1e-6)


def test_unequal_agents_keep_their_own_competence() -> None:
    competence = [0.9, 0.6, 0.6, 0.4, 1.0]
    right = draw_answers(np.random.default_rng(0), 200_000, competence, 0.25) == 0
    assert np.abs(right.mean(axis=0) - competence).max() < 0.006
    pairs = np.corrcoef(right[:, :4].T)[np.triu_indices(4, 1)]
    assert np.abs(pairs - 0.25).max() < 0.015
    with pytest.raises(InputError, match=r"at most 0\.272"):
        draw_answers(np.random.default_rng(0), 10, competence, 0.5)


@pytest.mark.parametrize(("agents", "competence"), [(3, 0.6), (5, 0.6), (9, 0.55), (5, 0.3)])
def test_a_majority_of_independent_agents_follows_the_binomial(agents: int, competence: float) -> None:
    right = draw_answers(np.random.default_rng(2), 200_000, competence, agents=agents) == 0
    majority = float((right.sum(axis=1) > agents / 2).mean())
    formula = float(stats.binom.sf(agents // 2, agents, competence))
    assert abs(majority - formula) < 4.5 * math.sqrt(formula * (1 - formula) / 200_000)


def test_a_majority_of_correlated_agents_follows_the_mixture_of_binomials() -> None:
    right = draw_answers(np.random.default_rng(3), 200_000, 0.6, 0.3, agents=7) == 0
    root = math.sqrt(0.3)
    high, low = 0.6 + root * 0.4, 0.6 - root * 0.6
    formula = 0.6 * stats.binom.sf(3, 7, high) + 0.4 * stats.binom.sf(3, 7, low)
    assert abs((right.sum(axis=1) > 3.5).mean() - formula) < 0.005


def test_lures_are_shared_as_often_as_asked() -> None:
    drawn = draw_answers(np.random.default_rng(4), 100_000, 0.0, lure=0.4, options=5, agents=3)
    assert set(np.unique(drawn)) == {1, 2, 3, 4}
    same = (drawn[:, :1] == drawn).all(axis=1).mean()
    assert abs(same - (0.4 + 0.6 / 16)) < 0.007  # three free choices of four agree once in 16
    assert np.abs(np.bincount(drawn[:, 0])[1:] / 100_000 - 0.25).max() < 0.006


def test_a_million_answers_are_one_batch() -> None:
    drawn = draw_answers(np.random.default_rng(0), 100_000, 0.6, 0.3, 0.2, 5, agents=10)
    revised = revise(np.random.default_rng(0), drawn, np.ones((10, 10)), 0.5)
    assert drawn.shape == revised.shape == (100_000, 10)
    assert (revised != drawn).any() and set(np.unique(revised)) == {0, 1, 2, 3, 4}


@pytest.mark.parametrize(
    "arguments", [{"competence": 1.2}, {"correlation": -0.1}, {"lure": 2.0}, {"options": 1}, {"competence": math.nan}]
)
def test_impossible_draws_are_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(InputError):
        draw_answers(np.random.default_rng(0), 10, **{"competence": 0.5, **arguments})  # type: ignore[arg-type]


def test_revision_follows_the_majority_that_is_seen() -> None:
    rng = np.random.default_rng(0)
    held = np.array([[0, 1, 1, 2], [0, 0, 1, 1], [2, 2, 2, 2], [-1, 1, 1, -1]])
    everyone = np.ones((4, 4))
    assert revise(rng, held, everyone, 1.0)[0].tolist() == [1, 1, 1, 1]
    assert revise(rng, held, everyone, 1.0)[2].tolist() == [2, 2, 2, 2]
    assert revise(rng, held, everyone, 1.0)[3].tolist() == [1, 1, 1, 1], "no answer is never adopted"
    assert revise(rng, held, everyone, 0.0).tolist() == held.tolist()
    assert revise(rng, held, np.zeros((4, 4)), 1.0).tolist() == held.tolist()
    stubborn = revise(rng, held, everyone, [0.0, 1.0, 1.0, 1.0])
    assert stubborn[0].tolist() == [0, 1, 1, 1]
    ring = np.roll(np.eye(4), 1, axis=1)  # i reads i + 1
    assert revise(rng, held[:1], ring, 1.0)[0].tolist() == [1, 1, 2, 0]
    each = np.stack([everyone, ring, ring, ring])
    assert revise(rng, held, each, 1.0)[1].tolist() == [0, 1, 1, 0]
    loud = revise(rng, held[:1], everyone, 1.0, weight=[5, 1, 1, 1])
    assert loud[0].tolist() == [1, 0, 0, 0]


def test_ties_keep_ones_own_or_are_broken_at_random() -> None:
    rng = np.random.default_rng(5)
    held = np.tile([0, 1, 2], (20_000, 1))
    after = revise(rng, held, np.ones((3, 3)), 1.0)
    assert abs((after[:, 2] == 0).mean() - 0.5) < 0.02 and not (after[:, 2] == 2).any()
    pair = np.tile([0, 0, 1, 1, 1], (100, 1))
    hears = np.ones((5, 5)) - np.eye(5)
    hears[0, 4] = 0  # agent 0 hears 0, 1, 1: gives way; with one more 0 it would not
    assert (revise(rng, pair, hears, 1.0)[:, 0] == 1).all()


# ------------------------------------------------------------------------------- the model


async def test_replies_are_short_texts_that_end_in_an_answer() -> None:
    for name in TASKS.names():
        problems = open_task(name).problems(20, 1)
        sure = ScriptedModel(answer_key(problems), competence=1.0)
        never = ScriptedModel(answer_key(problems), competence=0.0)
        for problem in problems:
            right = await sure.complete(request(problem))
            wrong = await never.complete(request(problem))
            assert problem.check(extract(problem.question, right.text)), right.text
            found = extract(problem.question, wrong.text)
            assert found is not None and not problem.check(found), wrong.text
            assert right.text.splitlines()[-1] == f"Answer: {problem.answer}"
            assert right.usage.completion_tokens == sure.count_tokens(right.text) < 60
            assert right.usage.calls == 1 and right.usage.prompt_tokens > 4


async def test_competence_and_correlation_reach_the_replies() -> None:
    right = await answers(ScriptedModel(KEY, competence=0.6, correlation=0.5, seed=3), ["a", "b", "c"])
    assert np.abs(right.mean(axis=0) - 0.6).max() < 4.5 * math.sqrt(0.24 / 400)
    assert np.abs(np.corrcoef(right.T)[np.triu_indices(3, 1)] - 0.5).max() < 0.2
    alone = await answers(ScriptedModel(KEY, competence=0.6, seed=3), ["a", "b", "c"])
    assert np.abs(np.corrcoef(alone.T)[np.triu_indices(3, 1)]).max() < 0.2
    alike = await answers(ScriptedModel(KEY, competence=0.6, correlation=1.0), ["a", "b"])
    assert (alike[:, 0] == alike[:, 1]).all() and 0.4 < alike.mean() < 0.8


async def test_competence_by_agent_and_by_tag() -> None:
    model = ScriptedModel(KEY, competence={"expert": 1.0, "*": 0.0})
    assert (await answers(model, ["expert", "x", "y"], PROBLEMS[:20])).tolist() == [[True, False, False]] * 20
    skills = {("a", "easy"): 1.0, ("a", "medium"): 0.0, ("a", "hard"): 0.0, ("b", "hard"): 1.0, "*": 0.0}
    problems = open_task("word-problems").problems(60, 0)
    right = await answers(ScriptedModel(answer_key(problems), competence=skills), ["a", "b"], problems)
    difficulty = [p.question.tags["difficulty"] for p in problems]
    assert right[:, 0].tolist() == [d == "easy" for d in difficulty]
    assert right[:, 1].tolist() == [d == "hard" for d in difficulty]
    with pytest.raises(InputError, match="competence"):
        await ScriptedModel(KEY, competence={"a": 0.5}).complete(request(FIRST, agent="b"))
    with pytest.raises(InputError, match="at most"):
        ScriptedModel(KEY, competence={"a": 0.9, "b": 0.2}, correlation=0.8)


async def test_replies_depend_on_seed_question_agent_and_request_alone() -> None:
    one, two = (ScriptedModel(KEY, competence=0.5, seed=7) for _ in range(2))
    reversed_order = [(await two.complete(request(p))).text for p in reversed(PROBLEMS[:30])]
    assert [(await one.complete(request(p))).text for p in PROBLEMS[:30]] == reversed_order[::-1]
    other = ScriptedModel(KEY, competence=0.5, seed=8)
    assert [(await other.complete(request(p))).text for p in PROBLEMS[:30]] != reversed_order[::-1]
    assert one.identity == two.identity != other.identity
    assert one.identity != ScriptedModel(KEY, competence=0.4, seed=7).identity
    assert one.identity != ScriptedModel(answer_key(PROBLEMS[1:]), competence=0.5, seed=7).identity


async def test_sampling_draws_anew_and_greedy_calls_do_not() -> None:
    async def texts(model: ScriptedModel, temperature: float) -> set[str]:
        calls = [request(FIRST, seed=seed, temperature=temperature) for seed in range(40)]
        return {(await model.complete(call)).text for call in calls}

    auto = ScriptedModel(KEY, competence=0.5)
    assert len(await texts(auto, 0.0)) == 1
    assert len(await texts(auto, 0.8)) > 2
    assert len(await texts(ScriptedModel(KEY, competence=0.5, mode="belief"), 0.8)) == 1
    assert len(await texts(ScriptedModel(KEY, competence=0.5, mode="sample"), 0.0)) > 2


async def test_wrong_agents_share_a_lure() -> None:
    async def distinct(lure: float) -> float:
        model = ScriptedModel(KEY, competence=0.0, lure=lure, options=6)
        counts = []
        for problem in PROBLEMS[:60]:
            texts = [(await model.complete(request(problem, agent=a))).text for a in "abcd"]
            counts.append(len({extract(problem.question, text) for text in texts}))
        return float(np.mean(counts))

    assert await distinct(1.0) == 1.0
    assert await distinct(0.0) > 2.0


def crowd(problem: Problem, *lines: str) -> str:
    return "\n".join([problem.question.text, *lines, instruction(problem.question)])


async def test_sycophants_adopt_the_majority_that_they_read() -> None:
    peers = crowd(FIRST, "bob: Easy. Answer: 71", "cat: Answer: 71.0", "dan: I say so.\nAnswer: 5")
    follower = ScriptedModel(KEY, competence=1.0, sycophancy=1.0)
    assert extract(FIRST.question, (await follower.complete(request(FIRST, peers))).text) == "71"
    firm = ScriptedModel(KEY, competence=1.0, sycophancy=0.0)
    assert FIRST.check(extract(FIRST.question, (await firm.complete(request(FIRST, peers))).text))
    half = ScriptedModel(KEY, competence=1.0, sycophancy=0.5)
    adopted = 0
    for problem in PROBLEMS:
        text = (await half.complete(request(problem, crowd(problem, "bob: Answer: 123456")))).text
        adopted += extract(problem.question, text) == "123456"
    assert abs(adopted / 400 - 0.5) < 0.12


async def test_the_stubborn_never_give_way_and_the_loud_count_more() -> None:
    peers = crowd(FIRST, "bob: Answer: 71")
    for stubborn in (1.0, ("ann",), "ann"):
        model = ScriptedModel(KEY, competence=1.0, sycophancy=1.0, stubborn=stubborn)
        assert FIRST.check(extract(FIRST.question, (await model.complete(request(FIRST, peers))).text))
    loud = ScriptedModel(KEY, competence=1.0, sycophancy=1.0, loud=("bob",))
    shout = (await loud.complete(request(FIRST, agent="bob"))).text
    assert "certain" in shout and "certain" not in (await loud.complete(request(FIRST))).text
    heard = crowd(FIRST, f"bob: {' '.join(shout.split())}", "cat: Answer: 71", "dan: Answer: 71")
    own, voices = read_answers(FIRST.question, request(FIRST, heard))
    assert own is None and voices[FIRST.answer] == 3 and voices["71"] == 2


@pytest.mark.parametrize(
    ("lines", "own", "peers"),
    [
        (["bob: I add. Answer: 7", "cat: Answer: 8"], None, {"7": 1, "8": 1}),
        (["ann: I add. Answer: 7", "cat: Answer: 8"], "7", {"8": 1}),
        (["bob: Answer: 7", "bob: Sorry. Answer: 8"], None, {"8": 1}),
        (["You said: 7", "bob: Answer: 8"], "7", {"8": 1}),
        (["Your last answer was 7", "[bob] (round 2): Answer: 8"], "7", {"8": 1}),
        (["Your last reply: I add. Answer: 7", "The others said:", "bob: Answer: $8."], "7", {"8": 1}),
        (["Other answers:", "Answer: 7", "Answer: 7"], None, {"7": 2}),
        (["bob: I do not know."], None, {}),
        (['End with a line "Answer: <number>".'], None, {}),
        (['Say "Answer: 5" if so.'], None, {}),
        ([], None, {}),
    ],
)
def test_prompts_are_read_by_the_documented_form(lines: list[str], own: str | None, peers: dict[str, int]) -> None:
    call = request(FIRST, crowd(FIRST, *lines))
    assert read_answers(FIRST.question, call) == (own, peers)


def test_the_questions_own_text_and_personas_are_not_peers() -> None:
    question = Question("q", "Somebody wrote: Answer: 5. Is that 6?", "number")
    call = Request(
        [
            {"role": "system", "content": "bob: Answer: 1"},
            {"role": "user", "content": f"{question.text}\nbob: Answer: 9"},
            {"role": "assistant", "content": "I think 3.\nAnswer: 3"},
        ]
    )
    assert read_answers(question, call) == ("3", {"9": 1})


async def test_an_agent_keeps_what_it_said_last() -> None:
    model = ScriptedModel(KEY, competence=1.0)
    text = (await model.complete(request(FIRST, crowd(FIRST, "You said: 4", "bob: Answer: 5")))).text
    assert extract(FIRST.question, text) == "4"


async def test_format_failures_are_unreadable() -> None:
    for name in ("sums", "boolean", "multiple-choice", "sorting"):
        problems = open_task(name).problems(30, 0)
        model = ScriptedModel(answer_key(problems), competence=1.0, format_failures=1.0)
        for problem in problems:
            assert extract(problem.question, (await model.complete(request(problem))).text) is None
    some = ScriptedModel(KEY, competence=1.0, format_failures=0.3)
    lost = [extract(p.question, (await some.complete(request(p))).text) is None for p in PROBLEMS]
    assert abs(np.mean(lost) - 0.3) < 0.1


async def test_unknown_questions_are_refused_in_words() -> None:
    model = ScriptedModel({}, competence=1.0)
    for name in TASKS.names():
        problem = open_task(name).problems(1, 0)[0]
        assert extract(problem.question, (await model.complete(request(problem))).text) is None


async def test_limits_of_length_and_stops() -> None:
    model = ScriptedModel(KEY, competence=1.0)
    short = await model.complete(request(FIRST, max_tokens=6))
    assert short.text == f"Answer: {FIRST.answer}" and short.finish == "stop"
    cut = await model.complete(request(FIRST, max_tokens=1))
    assert cut.finish == "length" and cut.usage.completion_tokens == 1
    stopped = await model.complete(request(FIRST, stop=("Answer",)))
    assert "Answer" not in stopped.text


class Grade(BaseModel):
    score: int = Field(ge=1, le=10)
    verdict: Literal["accept", "reject"]


class Report(BaseModel):
    answer: str
    confidence: float = Field(ge=0, le=1)
    reason: str = Field(max_length=20)
    grades: list[Grade] = Field(min_length=2)
    note: str | None
    sound: bool


async def test_objects_are_filled_in() -> None:
    model = ScriptedModel(KEY, competence=1.0)
    text = (await model.complete(request(FIRST, schema=Report.model_json_schema()))).text
    report = Report.model_validate(json.loads(text))
    assert FIRST.check(report.answer) and report.confidence == 1.0 and len(report.grades) == 2
    assert report.grades[0].score == 10
    half = ScriptedModel(KEY, competence=0.5, correlation=0.4)
    report = Report.model_validate_json((await half.complete(request(FIRST, schema=Report.model_json_schema()))).text)
    assert report.confidence == pytest.approx(0.5)


async def test_opening_by_spec() -> None:
    model = open_model("scripted:competence=0.7,correlation=0.2,stubborn=ann+bob,latency=0.01", answer_key=KEY, seed=4)
    assert isinstance(model, ScriptedModel) and model.evidence is Evidence.SCRIPTED
    assert model.settings.competence == 0.7 and model.settings.stubborn == ("ann", "bob") and model.seed == 4
    assert (await model.complete(request(FIRST))).usage.seconds == 0.01
    assert open_model("scripted:competence=1").spec == "scripted:competence=1"
    with pytest.raises(UnknownName, match="competence"):
        open_model("scripted:competense=1")
    for bad in ("competence=2", "options=1", "mode=odd", "latency=-1", "competence"):
        with pytest.raises(InputError):
            open_model(f"scripted:{bad}")
