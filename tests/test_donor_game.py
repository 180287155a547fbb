"""The donor game study: closed forms, a second implementation, the models' protocol line by line, and its claims."""

from __future__ import annotations

import asyncio
import inspect
import re
from typing import Any

import jax
import numpy as np
import pytest

from judging import verdicts_of
from shoal.errors import InputError
from shoal.games import donor_language as words
from shoal.games.donor import DonorGame
from shoal.games.donor_evolution import (
    TRAITS,
    Evolution,
    chain_matcher,
    defector,
    discriminator,
    donors,
    evolve,
    giver,
    strategy,
)
from shoal.games.donor_language import Protocol, live, read_gift, read_strategy
from shoal.models.interface import Completion, Model, Request
from shoal.runs.results import Results
from shoal.runs.study import Trial
from shoal.stats import Evidence, Verdict
from shoal.studies import donor_game as study
from shoal.studies.donor_game import STUDY, logistic_slope, permutation_p
from shoal.traces import TraceWriter, Usage


def trial_of(experiment: str, variant: str = "", seeds: int = 12, model: Any = None, **changes: Any) -> Trial[Any]:
    config = STUDY.configure("standard", changes)
    return Trial(config, experiment, variant, 0, 0, TraceWriter(None, "test"), model, tuple(range(seeds)))


verdict = verdicts_of(STUDY)


@pytest.fixture(scope="module")
def measured() -> Results:
    results = Results()
    for name in ("trace", "mutation", "threshold"):
        found: Any = STUDY.experiment(name).trial(trial_of(name, seeds=30))
        assert set(found) == set(STUDY.experiment(name).variants)
        for variant, values in found.items():
            for seed, one in enumerate(values):
                results.add(name, variant, seed, one)
    for variant in STUDY.experiment("bounds").variants:
        for seed in range(3):
            one: Any = STUDY.experiment("bounds").trial(trial_of("bounds", variant))
            results.add("bounds", variant, seed, one)
    return results


# scripted societies


def test_closed_forms_through_the_generations() -> None:
    alike = np.broadcast_to(np.stack([giver(1.0), defector()])[:, None], (2, 12, len(TRAITS)))
    history = evolve(alike, np.ones((2, 12)), [0, 1], Evolution())
    assert (history.resources[0] == 30720).all() and (history.resources[1] == 10).all()
    assert (history.donation[0] == 1).all() and history.differential == pytest.approx(0, abs=1e-6)
    assert history.drift.shape == (2, 9) and history.drift == pytest.approx(0, abs=1e-6)


def test_everybody_gives_equally_often_and_nobody_meets_twice_in_half_a_game() -> None:
    for agents, rounds in ((12, 12), (4, 4), (24, 12)):
        first, second = donors(agents, rounds, False), donors(agents, rounds, True)
        for rows in (first, second):
            assert (np.bincount(rows.ravel(), minlength=agents) == rounds // 2).all()
        assert not set(first[-1]) & set(second[-1])  # the last receivers of one game are the last donors of the other
        assert (first[::2] < agents // 2).all() and (first[1::2] >= agents // 2).all()
    for agents, rounds, meetings in ((24, 12, 144), (12, 12, 36)):  # every pair once; 36 pairs twice
        game = DonorGame(agents=agents, rounds=rounds)
        state, met = game.begin(np.random.default_rng(1)), set()
        for state.round in range(rounds):
            met |= {frozenset(pair) for pair in game._pairs(state)}
        assert len(met) == meetings


def test_one_generation_against_the_game_that_seats_play() -> None:
    """The engine of seats is a second implementation: the same order of agents, the same rule, the same resources."""
    rule = discriminator(0.5, 0.25, standing=True)
    kinds = np.array([0, 1, 1, 1, 0, 1, 1, 1])
    people = np.stack([defector(), rule])[kinds]
    history = evolve(people[None], kinds[None], [7], Evolution(generations=1, rounds=8))
    key = jax.random.split(jax.random.key(np.uint32(7)), 1)[0]
    order = [int(k) for k in jax.random.permutation(jax.random.split(key, 9)[0], 8)]
    total = 0.0
    for mirrored in (False, True):
        game = DonorGame(agents=8, rounds=8, levels=3)
        state = game.begin(np.random.default_rng(0))
        state.halves = [order[:4], order[4:]]
        if mirrored:
            state.halves, state.round, game = [order[:4], order[4:]], 0, DonorGame(agents=8, rounds=9, levels=3)
            # The other half begins: turn the pairs of each round around.
            plain = game._pairs
            object.__setattr__(game, "_pairs", lambda s, plain=plain: [(b, a) for a, b in plain(s)])
        for _ in range(8):
            moves = {}
            for donor, receiver in game._pairs(state):
                chain = [share for _, _, share in state.traces[receiver]]
                low = bool(chain) and chain[0] < 0.25
                excused = len(chain) > 1 and chain[1] < 0.25
                moves[donor] = 0 if kinds[donor] == 0 or (low and not excused) else 1
            state = game.step(state, moves, np.random.default_rng(0))
        total += float(np.mean(state.resources)) / 2
    assert history.resources[0, 0] == pytest.approx(total, rel=1e-5)


def test_what_happens_in_a_society_depends_on_its_seed_alone() -> None:
    people = np.tile(chain_matcher(), (3, 12, 1))
    rules = Evolution(generations=4, width=(("first", 0.1),))
    three, one = evolve(people, np.ones((3, 12)), [5, 6, 7], rules), evolve(people[:1], np.ones((1, 12)), [6], rules)
    assert three.resources[1] == pytest.approx(one.resources[0], rel=1e-5)
    assert three.resources[0, -1] != pytest.approx(three.resources[1, -1], rel=1e-5)


def test_survivors_keep_their_strategy_and_bias_moves_newcomers() -> None:
    people = np.tile(giver(0.5), (20, 12, 1))
    up = evolve(people, np.ones((20, 12)), range(20), Evolution(generations=2, bias=(("first", 0.1), ("base", 0.1))))
    assert up.first[:, 0] == pytest.approx(0.5)
    assert up.first[:, 1] == pytest.approx(0.55)  # half of the agents are new
    assert up.drift[:, 0] == pytest.approx(0.1, abs=1e-6)
    assert up.donation[:, 1] == pytest.approx(0.55, abs=1e-6)


def test_selection_keeps_the_richer_half() -> None:
    people = np.stack([defector(), giver(0.5)])[np.array([0] * 6 + [1] * 6)]
    kinds = np.array([0] * 6 + [1] * 6)
    many = np.tile(people, (20, 1, 1)), np.tile(kinds, (20, 1)), range(20)
    chosen = evolve(*many, Evolution(generations=5))
    drawn = evolve(*many, Evolution(generations=5, selection=False))
    assert chosen.defectors[:, -1].mean() > 0.95 and 0.2 < drawn.defectors[:, -1].mean() < 0.8
    assert (chosen.differential[:, 0] < 0).all()  # who gives less ends richer


def test_bad_societies_are_refused() -> None:
    good = np.tile(giver(), (1, 12, 1))
    for people, kinds, seeds, rules, word in (
        (good[:, :5], np.ones((1, 5)), [0], Evolution(), "agents"),
        (good[:, :2], np.ones((1, 2)), [0], Evolution(), "agents"),
        (good[..., :3], np.ones((1, 12)), [0], Evolution(), "founders"),
        (good, np.ones((1, 12)), [0, 1], Evolution(), "seeds"),
        (good, np.ones((1, 12)), [0], Evolution(multiplier=0), "multiplier"),
        (good, np.ones((1, 12)), [0], Evolution(depth=4), "depth"),
        (good, np.ones((1, 12)), [0], Evolution(rounds=3), "rounds"),
        (good, np.ones((1, 12)), [0], Evolution(bias=(("kindness", 1.0),)), "trait"),
    ):
        with pytest.raises(InputError, match=word):
            evolve(people, kinds, seeds, rules)
    with pytest.raises(InputError, match="trait"):
        strategy(kindness=1)


# claims on scripted societies


def test_scripted_claims(measured: Results) -> None:
    for claim in ("all-give", "all-keep", "books", "calls", "trace-protects", "trace-off", "trace-difference",
                  "no-selection", "no-transmission", "keeping-pays", "giving-pays", "growth", "decline",
                  "selection-alone", "bias-measured", "bias-order", "start-matters",
                  "depth-1-first-order"):  # fmt: skip
        assert verdict(claim, measured) is Verdict.REPRODUCED, claim
    assert verdict("punishment-raises", measured) is not Verdict.REPRODUCED


def test_claims_fail_where_the_trace_makes_no_difference(measured: Results) -> None:
    blind = Results()
    for kind in study.KINDS:
        for seed in range(30):
            for condition, share in ((study.TRACE, 0.95), (study.HIDDEN, 0.95)):
                blind.add("trace", f"{kind}, {condition}", seed, {"defectors, last": share})
    assert verdict("trace-protects", blind) is Verdict.NOT_REPRODUCED
    assert verdict("trace-difference", blind) is Verdict.NOT_REPRODUCED
    for seed in range(30):
        for name in study.BIASES:
            level = {"resources, last": 100.0 + seed, "log resources, last": 2.0 + seed / 100}
            blind.add("mutation", name, seed, level)
    assert verdict("bias-order", blind) is Verdict.NOT_REPRODUCED


def test_the_tests_of_the_study() -> None:
    rng = np.random.default_rng(0)
    x = np.repeat([0.3, 0.5, 0.7], 200)
    y = (rng.random(600) < 1 / (1 + np.exp(-6 * (x - 0.5)))).astype(float)
    assert abs(logistic_slope(x, y).value - 6) < 1.5
    assert logistic_slope(x, rng.integers(0, 2, 600).astype(float)).low < 0
    assert permutation_p(np.array([1.0, 2, 3, 4, 5]), np.array([11.0, 12, 13, 14, 15])) == pytest.approx(
        2 / 252, abs=0.003
    )
    assert permutation_p(np.ones(5), np.ones(5)) == 1
    assert permutation_p(np.arange(5.0), np.arange(5.0) + 10) == permutation_p(np.arange(5.0) + 10, np.arange(5.0))


# the models' protocol


class Speaker(Model):
    """Answers strategies and donations from a rule, and keeps what it was asked."""

    spec, evidence, identity = "speaker", Evidence.SCRIPTED, "speaker"

    def __init__(self, gift: str = "Answer: 5") -> None:
        self.gift = gift
        self.seen: list[Request] = []

    async def complete(self, request: Request) -> Completion:
        self.seen.append(request)
        text = request.messages[-1]["content"]
        if request.schema is not None:
            field = next(iter(request.schema["properties"]))
            said = '{"choice": "C"}' if field == "choice" else '{"share": "50%"}'
        else:
            said = (
                "Hm. My strategy will be to give half. Good."
                if words.PHRASE in text and "donor" not in text
                else self.gift
            )
        return Completion(said, Usage(10, 5, 1))


@pytest.mark.parametrize(
    ("said", "units", "problem"),
    [
        ("I give 5 units (50 %)", 5, ""), ("Answer: 3", 3, ""), ("Say 7, 8? **Answer:** 2.5 units", 2.5, ""),
        ("Answer: 120", 10, "clamped"), ("Answer: -2", 0, "clamped"), ("25%", 2.5, ""), ("I donate 4.", 4, ""),
        ("3 or 4", None, "several numbers"), ("nothing", None, "no number"), ("", None, "no number"),
        ("Answer: 50%", 5, ""), ("Answer: 1\nAnswer: 6", 6, ""), ("Answer: 1,000", 10, "clamped"),
    ],
)  # fmt: skip
def test_reading_gifts(said: str, units: float | None, problem: str) -> None:
    gift, found = read_gift(said, 10.0)
    assert found == problem
    if units is None:
        assert gift is None
    else:
        assert gift is not None and gift.units == pytest.approx(units) and not gift.punished


def test_reading_punishment_and_strategies() -> None:
    gift, _ = read_gift("They gave nothing. Answer: punish 2", 10.0, punishment=True)
    assert gift == words.Gift(2.0, 0.2, True)
    gift, _ = read_gift("Answer: punish 2", 10.0)
    assert gift is not None and not gift.punished
    assert read_strategy("Well. My strategy will be to give half. More.") == "My strategy will be to give half."
    assert read_strategy("my strategy will be generosity") == "my strategy will be generosity"
    assert read_strategy("I will give.") is None and read_strategy("My strategy will be") is None


def test_the_whole_protocol_gives_the_papers_numbers() -> None:
    asked: list[tuple[str, str, str]] = []

    async def everything(agent: str, system: str, prompt: str, schema: Any) -> str:
        asked.append((agent, system, prompt))
        return "My strategy will be to give all." if "one sentence that" in prompt else "Answer: 99999999"

    told = asyncio.run(live(Protocol(), everything, np.random.default_rng(0)))
    assert len(asked) == study.FULL_CALLS == 1506
    assert told.resources == [30720] * 10 and told.donation == [1.0] * 10
    assert told.failures == {"donation: clamped": 1440}
    assert [p.name for p in told.citizens[1]][6:] == [f"2_{k}" for k in range(1, 7)]
    assert set(told.citizens[0]) >= set(told.citizens[1][:6])  # survivors with their sentences
    assert told.citizens[1][6].advisers == tuple(p.name for p in told.citizens[1][:6])
    assert not any(re.search(r"\b12 rounds|of 12\b", system + prompt) for _, system, prompt in asked)  # never told
    late = next(p for _, _, p in asked if "generation 1, round 7" in p)
    assert len(re.findall(r"rounds? ago", late)) == 3
    advice = next(p for _, _, p in asked if "Change this advice" in p)
    assert advice.count("My strategy will be to give all.") == 6 and "30720.0 units" in advice


def test_the_trace_shows_the_receivers_last_round_and_nothing_newer() -> None:
    prompts: list[tuple[str, str]] = []
    given: dict[tuple[str, int], int] = {}

    async def numbered(agent: str, system: str, prompt: str, schema: Any) -> str:
        if "one sentence that" in prompt:
            return "My strategy will be to vary."
        prompts.append((agent, prompt))
        place = (agent, len([1 for a, _ in prompts if a == agent]))
        given[place] = 1 + len(prompts) % 7
        return f"Answer: {given[place]}%"

    protocol = Protocol(agents=6, rounds=6, generations=1)
    asyncio.run(live(protocol, numbered, np.random.default_rng(3)))
    shares: dict[tuple[int, int, str], int] = {}
    game, counts, last = 0, {}, 0  # type: ignore[var-annotated]
    for agent, prompt in prompts:
        now = int(re.search(r"round (\d+)\.", prompt)[1])  # type: ignore[index]
        game += now < last
        last = now
        counts[agent] = counts.get(agent, 0) + 1
        shares[game, now, agent] = given[agent, counts[agent]]
        receiver = re.search(r"receiver is agent (\S+),", prompt)[1]  # type: ignore[index]
        first = re.search(r"1 round ago (\S+) gave (\d+)% of its units to (\S+)\.", prompt)
        assert (first is None) == (now == 1)
        if first is not None:
            assert first[1] == receiver and int(first[2]) == shares[game, now - 1, receiver]
            assert first[3] != receiver
        assert len(re.findall("ago", prompt)) == min(3, now - 1)


async def test_books_are_kept_with_punishment_and_nobody_falls_below_nothing() -> None:
    async def harsh(agent: str, system: str, prompt: str, schema: Any) -> str:
        assert "punish" in system
        return "My strategy will be to punish." if "one sentence that" in prompt else "Answer: punish 100"

    told = await live(Protocol(agents=4, rounds=2, generations=1, punishment=True), harsh, np.random.default_rng(0))
    assert told.punished == [1.0] and told.donation == [0.0]
    assert told.resources == [0.0]  # donors spend all, receivers lose all
    silent = await live(Protocol(agents=4, rounds=2, generations=2), _silent, np.random.default_rng(0))
    assert silent.resources == [10.0, 10.0]  # unreadable twice is no gift
    assert silent.failures["donation: no number"] == silent.replies["donation"] == 2 * 16
    assert silent.failures["strategy: not the phrase"] == 2 * 6
    assert all(p.sentence == "" for p in silent.citizens[0])


async def _silent(agent: str, system: str, prompt: str, schema: Any) -> str:
    return "I would rather not say."


async def test_the_language_experiment_its_forecast_and_its_trace() -> None:
    for variant, gift in ((study.MENU, 0.5), (study.FREE, 0.5)):
        model = Speaker("Answer: 50%")
        trial = trial_of("language", variant, model=model)
        expected = study.forecast(trial)
        outcome = STUDY.experiment("language").trial(trial)
        assert inspect.isawaitable(outcome)
        found: Any = await outcome
        assert len(model.seen) == found["calls"] == found["calls, least"] == expected.calls == 6 + 32
        assert found["donation, last"] == pytest.approx(gift)
        assert found["donations unread"] == [0.0] * 32
        words_read = sum(model.count_tokens(m["content"]) + 4 for r in model.seen for m in r.messages)
        assert expected.prompt_tokens == pytest.approx(words_read, rel=0.25)
        assert all(r.temperature == 0.8 for r in model.seen)
        assert len({r.seed for r in model.seen}) == len(model.seen)  # every sample has its own
    ablations = {v: study.protocol(STUDY.configure("standard"), v) for v in study.ABLATED}
    assert ablations["free text, no trace"].depth == 0 and not ablations["free text, no advice"].advice
    assert ablations["free text, punishment"].punishment and ablations["free text, b = 3"].multiplier == 3
    assert not ablations["free text, no selection"].selection and ablations["free text, depth 1"].depth == 1
    assert study.no_rival(STUDY.configure("standard")) and study.no_ablations(STUDY.configure("standard"))
    assert study.no_rival(STUDY.configure("standard", {"rival": "local:smollm2"})) is None


async def test_two_models_are_compared_without_presuming_who_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shoal.models.opening.open_model", lambda spec: Speaker("Answer: 90%"))
    results = Results()
    for seed in range(5):
        config = STUDY.configure("standard", {"rival": "local:smollm2", "language_generations": 2})
        trial = Trial(config, "models", "", seed, 0, TraceWriter(None, "t"), Speaker("Answer: 10%"), (seed,))
        outcome = STUDY.experiment("models").trial(trial)
        assert inspect.isawaitable(outcome)
        found: Any = await outcome
        for name, values in found.items():
            results.add("models", name, seed, values)
    assert results.mean("models", study.RIVAL, "resources, last").value > 10
    assert verdict("models-differ", results) is Verdict.REPRODUCED
    turned = Results()
    for seed in range(5):
        for name in (study.OURS, study.RIVAL):
            other = study.RIVAL if name == study.OURS else study.OURS
            turned.add(
                "models", name, seed, {"resources, last": results.values("models", other, "resources, last")[seed]}
            )
    assert verdict("models-differ", turned) is Verdict.REPRODUCED
    assert STUDY.plots is not None and "models" in STUDY.plots(results)


def test_bad_protocols_are_refused() -> None:
    for settings, word in (
        ({"agents": 5}, "even"), ({"agents": 2}, "agents"), ({"rounds": 3}, "rounds"), ({"depth": -1}, "depth"),
        ({"multiplier": 0}, "multiplier"), ({"generations": 0}, "generations"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=word):
            Protocol(**settings)  # type: ignore[arg-type]
    for settings in ({"agents": 5}, {"agents": 2}, {"language_rounds": 3}):
        with pytest.raises(InputError):
            STUDY.configure("standard", settings)


def test_plots_and_claims_without_measurements(measured: Results) -> None:
    assert STUDY.plots is not None
    assert set(STUDY.plots(measured)) == {"mutation", "trace", "threshold"}
    assert STUDY.plots(Results()) == {}
    for size in ("quick", "standard", "full"):
        STUDY.configure(size)
    assert len({c.id for c in STUDY.claims}) == len(STUDY.claims)
    for claim in STUDY.claims:
        assert verdict(claim.id, Results()) is Verdict.NOT_RUN
