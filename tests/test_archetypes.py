"""Archetypes, panels and behaviours: exact counts, the compiled twin against the prompted model, runs bit for bit."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.cli.application import run as shoal
from shoal.cli.console import guarded
from shoal.errors import InputError, ModelError, UnknownName
from shoal.models.cache import CachedModel, CallCache
from shoal.models.interface import Completion, Model, Request
from shoal.populations import make_model, simulate
from shoal.populations.archetypes import LEVELS, find_archetypes, one_by_one, people_of, prompt, rounded
from shoal.populations.behaviour import (
    HIDDEN,
    Conduct,
    Function,
    Heuristic,
    Pooled,
    Situation,
    Table,
    sampled,
    with_behaviour,
)
from shoal.populations.distillation import curve_gap, distil
from shoal.populations.employment import fit_employment
from shoal.populations.model import replaced
from shoal.populations.panel import Answers, Panel, read_answer
from shoal.populations.respondents import Respondent, open_respondent, respondents
from shoal.populations.weekly import AskedSimulation, Decision, simulate_weekly
from shoal.stats import Evidence

KEY = jax.random.key(0)
DAYS = 14
SPARSE = {"workplace": 1, "school": 1, "others": 1}  # few kinds of agents by number of ties compile faster
LABELS = {"age": ("young", "old"), "area": ("a", "b", "c")}


def situation(cases: float = 200.0, change: float = 30.0, months: float = 2.0, payment: float = 1.0) -> Situation:
    return Situation(*(np.float32(x) for x in (cases, change, months, payment)))  # type: ignore[arg-type]


class Parrot(Model):
    """Says one thing, and counts how often it is asked."""

    spec, identity, evidence = "parrot", "parrot", Evidence.SCRIPTED

    def __init__(self, text: str) -> None:
        self.text, self.asked = text, 0

    async def complete(self, request: Request) -> Completion:
        self.asked += 1
        return Completion(self.text)


@pytest.fixture(scope="module")
def town() -> tuple[Any, Any]:
    model = make_model("epidemic", agents=300, **SPARSE)
    return model, model.population(0)


# Archetypes


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 2), st.booleans()), min_size=1, max_size=40))
def test_archetypes_are_the_combinations_that_are_there(people: list[tuple[int, int, bool]]) -> None:
    age, area, present = (np.array(x) for x in zip(*people, strict=True))
    found = find_archetypes({"age": age, "area": area}, LABELS, present)
    there = sorted({(a, b) for a, b, here in people if here})
    assert [tuple(v) for v in found.values.tolist()] == there
    assert found.sizes.tolist() == [sum(p == (*kind, True) for p in people) for kind in there]
    for (a, b, here), group in zip(people, found.group, strict=True):
        assert (group == there.index((a, b))) if here else group == -1
    spread = found.spread(np.ones((2, found.count)))
    assert spread.shape == (2, 6) and spread.sum() == 2 * found.count  # nobody there: 0, never NaN
    alone = one_by_one(found)
    assert alone.count == present.sum() and (alone.sizes == 1).all()
    kinds = [(*v, f) for v, f in zip(alone.values.tolist(), alone.first.tolist(), strict=True)]
    assert len(set(kinds)) == len(kinds)  # equal people get different samples of the same prompt


def test_columns_that_do_not_fit_are_refused(town: tuple[Any, Any]) -> None:
    with pytest.raises(InputError, match="variables"):
        find_archetypes({}, {})
    with pytest.raises(InputError, match="one value each"):
        find_archetypes({"age": np.zeros(2), "area": np.zeros(3)}, LABELS)
    with pytest.raises(InputError, match="from 0 to 1"):
        find_archetypes({"age": np.array([0, 2])}, LABELS)
    with pytest.raises(UnknownName, match="sex"):
        people_of(*town, ["sexx"])
    with pytest.raises(InputError, match="each once"):
        people_of(*town, ["age", "age"])


def test_the_dead_are_not_asked_and_health_is_a_variable(town: tuple[Any, Any]) -> None:
    model, population = town
    people = people_of(model, population, ["age", "health"])
    begun = model.begin(KEY, population, model.check({"initial": 0.5}))
    found = people.archetypes(begun)
    assert set(found.column("health").tolist()) == {0, 1}
    dead = find_archetypes({"age": np.zeros(3, int)}, {"age": ("young",)}, np.zeros(3, bool))
    assert dead.count == 0 and dead.group.tolist() == [-1, -1, -1]


# Prompts and answers


def test_prompts_tell_what_their_level_tells() -> None:
    person = {"age": "30-39", "sex": "female", "area": "north", "income": "low"}
    texts = {level: prompt(person, situation(1234.0), "isolate", level)[1]["content"] for level in LEVELS}
    for value in person.values():
        assert all(value in text for text in texts.values())
    assert "New cases last week: 1200 per" in texts["disease"] and "+30%" in texts["disease"]
    assert "cases" not in texts["demographics"]
    assert "Months" not in texts["disease"]
    assert "Months since the start: 2" in texts["full"] and "payment this month: yes" in texts["full"]
    system = prompt(person, None, "work", "full")[0]["content"]
    assert "spreads" in system and "old" in system and "Yes or No" in system
    assert rounded(0.0) == 0.0 and rounded(-0.0456) == -0.046


@pytest.mark.parametrize(
    ("text", "answer"),
    [("Yes, I stay.", True), ("  **No**. There is no reason", False), ("YES", True), ("no\nbecause yes", False),
     ("Yes or no? Hard.", None), ("Yes/No", None), ("Yesterday I did", None), ("I would stay", None), ("", None),
     ("Nobody knows", None), ("Not today", None)],
)  # fmt: skip
def test_answers_are_read_strictly(text: str, answer: bool | None) -> None:
    assert read_answer(text) is answer


async def test_queries_are_archetypes_times_samples_times_actions_however_many_people() -> None:
    counts = []
    for number in (5000, 50_000):
        model = make_model("epidemic", agents=number, workplace=0, school=0, others=0)
        population = model.population(0)
        kinds = people_of(model, population).archetypes(population)
        parrot = Parrot("Yes.")
        panel = Panel(parrot, 2, actions=("isolate", "work"))
        told = await panel.ask(kinds, situation())
        assert told.share.tolist() == [[1.0] * kinds.count] * 2
        assert parrot.asked == panel.tally.queries == kinds.count * 2 * 2
        counts.append(panel.tally.queries)
    assert counts == [54 * 4, 54 * 4]


async def test_unreadable_answers_are_counted_retried_and_refused() -> None:
    kinds = find_archetypes({"area": np.arange(3)}, LABELS)
    mute = Parrot("Hm.")
    panel = Panel(mute, 2, attempts=3)
    with pytest.raises(ModelError, match="6 of 6 answers"):
        await panel.ask(kinds, situation())
    assert (mute.asked, panel.tally.failures, panel.tally.lost) == (18, 18, 6)
    tolerant = Panel(mute, 2, attempts=1, most_lost=1.0)
    assert (await tolerant.ask(kinds, situation())).share.tolist() == [[0.0, 0.0, 0.0]]
    patient = Panel(Respondent(1, unreadable=0.3), 40, attempts=6)
    await patient.ask(kinds, situation())
    assert patient.tally.lost == 0 and 20 < patient.tally.failures < 90


def test_an_archetype_without_readable_answers_gets_the_mean_of_all() -> None:
    told = Answers(("isolate",), np.array([[2, 0, 0]]), np.array([[2, 2, 0]]))
    assert told.share.tolist() == [[1.0, 0.0, 0.5]]


async def test_replies_are_paid_for_once() -> None:
    kinds, parrot = find_archetypes({"area": np.arange(3)}, LABELS), Parrot("No.")
    panel = Panel(CachedModel(parrot, CallCache(None)), 2)
    for _ in range(2):
        await panel.ask(kinds, situation())
    assert parrot.asked == 6  # by prompt, model and sample
    assert panel.tally.as_dict()["cached"] == 6 and panel.tally.queries == 12


# Scripted respondents


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("action", [0, 1])
def test_the_compiled_twin_answers_as_the_model_behind_prompts(level: Any, action: int) -> None:
    kinds = find_archetypes(
        {"age": np.arange(9), "income": np.arange(9) % 3}, {"age": tuple(_ages()), "income": ("low", "middle", "high")}
    )
    model = Respondent(7, bias=0.4, noise=0.5)
    twin = respondents(kinds, 0, level, seed=7, bias=0.4, noise=0.5)
    for known in (situation(), situation(0.0, 0.0, 0.0, 0.0), situation(2000.0, -10.0, 8.0, 0.0)):
        name = ("isolate", "work")[action]
        behind = [model.chance(prompt(kinds.described(k), known, name, level)[1]["content"]) for k in range(9)]
        np.testing.assert_allclose(twin.chances(KEY, known, {})[action], behind, atol=0.01)


def _ages() -> tuple[str, ...]:
    from shoal.populations.city import AGES

    return AGES


async def test_a_respondent_repeats_itself_and_says_yes_as_often_as_it_should() -> None:
    kinds = find_archetypes({"age": np.array([0, 8])}, {"age": _ages()})
    shares = [(await Panel(Respondent(3), 400).ask(kinds, situation())).share[0] for _ in range(2)]
    np.testing.assert_array_equal(*shares)
    true = Function(jnp.array([0, 8])).chances(KEY, situation(), {})[0]
    np.testing.assert_allclose(shares[0], true, atol=4 * np.sqrt(0.25 / 400))
    other = (await Panel(Respondent(4), 400).ask(kinds, situation())).share[0]
    assert (other != shares[0]).any()


def test_models_of_that_name_are_opened_or_refused() -> None:
    model = open_respondent("scripted:bias=1,noise=0.5")
    assert isinstance(model, Respondent) and model.settings.bias == 1.0
    with pytest.raises(UnknownName, match="bias"):
        open_respondent("scripted:bia=1")
    with pytest.raises(UnknownName, match="local"):
        open_respondent("locl:smollm2")


# Behaviours


def test_samples_are_shares_with_the_right_mean() -> None:
    chance = jnp.array([[0.0, 0.3, 1.0]])
    assert sampled(KEY, chance, 1).tolist()[0][0] == 0.0 and sampled(KEY, chance, 1).tolist()[0][2] == 1.0
    np.testing.assert_allclose(sampled(KEY, chance, 20_000), chance, atol=0.015)


def test_behaviours_give_what_they_say() -> None:
    ages, isolation = jnp.array([0, 3, 8]), {"isolation": jnp.asarray(0.6)}
    rule = Heuristic(ages)
    np.testing.assert_allclose(rule.chances(KEY, situation(500.0), isolation)[0], [0.3, 0.6, 0.9])
    np.testing.assert_allclose(rule.chances(KEY, situation(50.0), isolation), [[0, 0, 0], [1, 1, 1]])
    true = Function(ages).chances(KEY, situation(), {})
    logit = HIDDEN[0].start + HIDDEN[0].by_age[8] + HIDDEN[0].cases * np.log(201) + 2 * HIDDEN[0].months
    assert float(true[0, 2]) == pytest.approx(1 / (1 + np.exp(-logit - HIDDEN[0].payment)), rel=1e-5)
    np.testing.assert_allclose(Pooled(Function(ages)).chances(KEY, situation(), {})[:, 0], true.mean(1), rtol=1e-6)


def test_what_is_known_comes_from_simulated_totals() -> None:
    n = 2000
    conduct = Conduct(Table(jnp.zeros((2, 1))), jnp.zeros(n, int), jnp.ones(n), jnp.ones(n), jnp.array([30.0, 10.0]))
    known = conduct.situation(jnp.asarray(40.0), jnp.asarray(14), jnp.asarray(1.0), jnp.asarray(30.0))
    assert float(known.cases) == pytest.approx(500.0) and float(known.change) == pytest.approx(-50.0)
    assert float(known.months) == pytest.approx(32 / (365.25 / 12 / 7))
    first = conduct.situation(jnp.asarray(40.0), jnp.asarray(0), jnp.asarray(0.0), jnp.asarray(0.0))
    assert float(first.months) == 0.0
    quiet = Conduct(conduct.behaviour, conduct.group, conduct.employed, conduct.working, jnp.zeros(2))
    assert float(quiet.situation(jnp.asarray(3.0), jnp.asarray(7), jnp.asarray(0.0), jnp.asarray(0.0)).change) == 0.0


def test_a_table_of_one_probability_is_the_parameter_bit_for_bit(town: tuple[Any, Any]) -> None:
    model, population = town
    values = {"initial": 0.05, "reproduction": 4.0}
    for chance in (0.4, 0.0, 1.0):
        table = jnp.array([[chance], [1.0]])
        deciding = with_behaviour(population, Table(table), np.zeros(300, int))
        run = simulate(model, DAYS, 2, values, population=deciding).series
        plain = simulate(model, DAYS, 2, values | {"isolation": chance}, population=population).series
        assert set(run) == {*plain, "willing"}
        for name, series in plain.items():
            np.testing.assert_array_equal(run[name], series)
        assert (run["willing"] == 1).all()


def test_who_does_not_work_meets_no_colleagues(town: tuple[Any, Any]) -> None:
    model, population = town
    begun = with_behaviour(population, Table(jnp.zeros((2, 9))))
    substep = model.substeps()[1]
    ill = {"ill": jnp.ones(300), "stage": jnp.full(300, 2, jnp.int8)}
    infectious = replaced(begun, ill)
    absent = replaced(infectious, {"conduct": begun.conduct.after(jnp.asarray(0.0), 1 - begun.conduct.employed, True)})
    observe = jax.jit(substep.observe)
    pressure = [np.asarray(observe(s, model.check({}))) for s in (infectious, absent)]
    employed = np.asarray(begun.conduct.employed) > 0
    colleagues = np.asarray(population.work.degrees)
    shed = 0.72 * substep.mass[0]
    np.testing.assert_allclose((pressure[0] - pressure[1])[employed], colleagues[employed] * shed, atol=1e-5)
    assert float(absent.conduct.willing) == 0.0
    np.testing.assert_allclose(pressure[0][~employed], pressure[1][~employed], atol=1e-6)


@pytest.mark.parametrize("draws", ["own", "shared", "fraction"])
def test_probabilities_become_actions(draws: Any) -> None:
    n, groups = 4000, 8
    group = np.arange(n) % groups
    conduct = Conduct(
        Table(jnp.array([[0.3] * groups, [1.0] * groups])), jnp.asarray(group), jnp.ones(n), jnp.ones(n), jnp.zeros(2),
        draws,
    )  # fmt: skip
    isolating = np.asarray(conduct.decided(KEY, situation(), {}, "hits")[0])
    if draws == "fraction":
        np.testing.assert_allclose(isolating, 0.3)
    elif draws == "shared":
        assert all(len(set(isolating[group == k].tolist())) == 1 for k in range(groups))
    else:
        assert set(isolating.tolist()) == {0.0, 1.0} and abs(isolating.mean() - 0.3) < 0.03


def test_populations_without_decisions_are_refused(town: tuple[Any, Any]) -> None:
    with pytest.raises(InputError, match="epidemic"):
        with_behaviour(make_model("opinion", agents=10).population(0), Table(jnp.zeros((2, 1))))
    with pytest.raises(InputError, match="group"):
        with_behaviour(town[1], Table(jnp.zeros((2, 1))), np.zeros(3, int))


# The loop


def asked(town: tuple[Any, Any], model: Model, values: dict[str, Any], **people: Any) -> AskedSimulation:
    epidemic, population = town
    kinds = people_of(epidemic, population, ["age"], **people)
    panel = Panel(model, 1)
    return asyncio.run(simulate_weekly(epidemic, DAYS, 2, panel, kinds, values, population=population))


def test_asking_every_week_is_the_compiled_run_of_the_same_answers(town: tuple[Any, Any]) -> None:
    model, population = town
    values = {"initial": 0.05, "reproduction": 4.0}
    for text, chance in (("Yes.", 1.0), ("No.", 0.0)):
        found = asked(town, Parrot(text), values)
        plain = simulate(model, DAYS, 2, values | {"isolation": chance}, population=population)
        for name, series in plain.series.items():
            np.testing.assert_array_equal(found.simulation.series[name], series)
        assert found.tally.decisions == 2 * 2 and found.tally.queries == 2 * 2 * 9
    again = asked(town, Parrot("No."), values)  # nothing is left over from a run before
    np.testing.assert_array_equal(again.simulation.series["infections"], found.simulation.series["infections"])


def test_prompts_tell_simulated_cases(town: tuple[Any, Any]) -> None:
    found = asked(town, Respondent(0), {"initial": 0.1, "reproduction": 4.0, "fatigue": 30})
    infections = found.simulation.series["infections"]
    for decision in found.decisions:
        if decision.week:
            week = infections[decision.seed, 7 * decision.week - 7 : 7 * decision.week].sum()
            assert float(decision.situation.cases) == pytest.approx(week * 1e5 / 300, rel=1e-4)
        assert float(decision.situation.months) == pytest.approx((30 + decision.week) / 4.348, rel=1e-3)
    alone = asked(town, Respondent(0), {"initial": 0.1}, individually=True)
    assert alone.tally.queries == 300 * 4 and all(d.archetypes.count == 300 for d in alone.decisions)


# Employment and distillation


def test_the_line_of_unemployment_is_found_again() -> None:
    rng = np.random.default_rng(0)
    willing, claims = rng.random(12), rng.random(12) + 2
    line = fit_employment(willing, claims, -15 * willing + 8 * claims)
    assert (line.willing, line.claims) == (pytest.approx(-15, abs=1e-4), pytest.approx(8, abs=1e-4))
    np.testing.assert_allclose(line.unemployment(willing, claims), -15 * willing + 8 * claims, atol=1e-3)
    flat = fit_employment(np.full(5, 0.5), np.full(5, 2.0), np.full(5, 6.0))
    np.testing.assert_allclose(flat.unemployment(0.5, 2.0), 6.0, atol=1e-3)
    wild = fit_employment([0.5, 0.5001], [2.0, 2.0], [5.0, 9.0])
    assert max(abs(wild.willing), abs(wild.claims)) <= 50
    with pytest.raises(InputError, match="same length"):
        fit_employment([1.0], [1.0], [1.0])
    with pytest.raises(InputError, match="nan"):
        fit_employment([1.0, np.nan], [1.0, 2.0], [1.0, 2.0])


def decisions(weeks: int, samples: int = 200) -> list[Decision]:
    """Answers of an additive truth."""
    kinds = find_archetypes({"age": np.arange(6) % 2, "area": np.arange(6) // 2}, LABELS)
    rng, found = np.random.default_rng(1), []
    for week in range(weeks):
        cases = float(rng.uniform(0, 3000))
        chance = 1 / (1 + np.exp(-(kinds.column("age") * 1.5 - 3 + 0.5 * np.log1p(cases))))
        yes = rng.binomial(samples, chance)[None]
        known = situation(cases, 0.0, week / 4, 0.0)
        found.append(Decision(0, week, known, kinds, Answers(("isolate",), yes, np.full_like(yes, samples))))
    return found


def test_a_distilled_policy_says_what_the_answers_said() -> None:
    history = decisions(24)
    logistic = distil(history, LABELS, hidden=0)
    assert logistic.fidelity.items == 6 * 6 and logistic.fidelity.kl < 0.01 and logistic.fidelity.explained > 0.9
    assert logistic.fidelity.brier < logistic.fidelity.constant
    told = history[3]
    chances = logistic.policy.chances(KEY, told.situation, {})
    np.testing.assert_allclose(chances[0], told.answers.share[0], atol=0.15)
    assert (np.asarray(chances[1]) == 1).all()  # never asked about work
    with pytest.raises(InputError, match="4 weeks"):
        distil(history[:3], LABELS)


def test_a_policy_decides_in_the_compiled_run(town: tuple[Any, Any]) -> None:
    model, population = town
    found = asked(town, Parrot("Yes."), {"initial": 0.05})
    more = [Decision(0, w, d.situation, d.archetypes, d.answers) for w, d in enumerate(found.decisions)]
    people = people_of(model, population, ["age"])
    best = distil(more, people.labels)
    deciding = with_behaviour(population, best.policy, people.archetypes(population).code)
    run = simulate(model, DAYS, 2, {"initial": 0.05}, population=deciding)
    assert run.series["isolating"].min() > 0.9 * 300
    assert curve_gap(run, run, "isolating") == 0.0


# The command


@pytest.mark.slow
def test_simulate_asks_archetypes_from_the_command_line(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["simulate", "epidemic", "--agents", "100", "--steps", "8", "--seeds", "2", "--out", str(runs)]
    for name, ties in SPARSE.items():
        arguments += ["--set", f"{name}={ties}"]
    asking = [*arguments, "--behaviour", "archetypes", "--model", "scripted:noise=0.2", "--variables", "age"]
    assert shoal([*asking, "--counterfactual", "fatigue=30", "--json"]) == 0
    told = orjson.loads(capsys.readouterr().out)["behaviour"]
    assert told["kind"] == "archetypes" and set(told["asked"]) == {"as set", "what if"}
    tally = told["asked"]["as set"]
    assert (tally["archetypes"], tally["samples"], tally["queries per decision"]) == (9, 3, 27)
    assert tally["parse failures"] == 0 and tally["money"] == 0 and tally["evidence"] == "scripted"


@pytest.mark.slow
@pytest.mark.parametrize("behaviour", ["hidden", "heuristic", "agents"])
def test_other_behaviours_from_the_command_line(behaviour: str, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["simulate", "epidemic", "--agents", "100", "--steps", "8", "--seeds", "2", "--out", str(runs)]
    arguments += ["--set", "initial=0.05", "--behaviour", behaviour]
    assert shoal([*arguments, *(["--model", "scripted"] if behaviour == "agents" else [])]) == 0
    said = capsys.readouterr().out
    assert "willing" in said and ("100 queries per decision" in said) == (behaviour == "agents")


@pytest.mark.parametrize(
    ("options", "mend"),
    [
        (["--behaviour", "archetype"], "archetypes"),
        (["--behaviour", "archetypes"], "scripted"),
        (["--model", "scripted"], "--behaviour"),
        (["--behaviour", "hidden", "--samples", "3"], "--behaviour archetypes"),
        (["--behaviour", "archetypes", "--model", "scripted:noise=-1"], "noise"),
        (["--behaviour", "archetypes", "--model", "scripted", "--samples", "0"], "at least once"),
        (["--behaviour", "archetypes", "--model", "scripted", "--prompt", "ful"], "full"),
        (["--behaviour", "archetypes", "--model", "scripted", "--variables", "age,age"], "each once"),
        (["--behaviour", "archetypes", "--model", "scripted", "--actions", "wrk"], "work"),
        (["--behaviour", "archetypes", "--model", "scripted", "--sensitivity", "gradient"], "leave one"),
        (["--behaviour", "agents", "--model", "scripted", "--agents", "5000"], "300"),
        (["--behaviour", "agents", "--model", "scripted", "--agents", "50", "--samples", "3"], "once"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    options: list[str], mend: str, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guarded(lambda: shoal(["simulate", "epidemic", "--out", str(runs), *options])) == 2
    said = capsys.readouterr().err
    assert mend in said and said.count("\n") <= 2


def test_other_models_decide_by_their_own_rules(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["simulate", "labour", "--out", str(runs), "--behaviour", "hidden"]
    assert guarded(lambda: shoal(command)) == 2
    assert "epidemic" in capsys.readouterr().err
