"""Seats, matches, tables, disguises, causal games, donor games, logs and the command line."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shoal.cli import console
from shoal.cli.application import run as command
from shoal.errors import InputError, UnknownName
from shoal.games import (
    GAMES,
    Repeated,
    as_played,
    bimatrix,
    cross_play,
    disguise,
    empirical_game,
    make_game,
    normal_form,
    open_seat,
    play,
    sequential,
    solve,
)
from shoal.games.causal import CausalGame, causal_equilibrium, causal_game
from shoal.games.causal_sequential import sequential_equilibrium, signalling_equilibria
from shoal.games.donor import DonorGame, Situation, play_societies
from shoal.games.extensive import Chance, Decision, End, Extensive, extensive
from shoal.games.learning import learn
from shoal.games.normal_form import NormalForm
from shoal.games.seats import split_seats
from shoal.games.seats.language import LanguageSeat, read_action
from shoal.games.seats.person import PersonSeat
from shoal.games.seats.seat import AutomatonSeat
from shoal.games.solvers import all_equilibria, is_equilibrium, mixed_stackelberg, pure_stackelberg, subgame_perfect
from shoal.games.strategies import STRATEGIES, make_strategy
from shoal.games.tournament import expected_payoffs
from shoal.models.interface import Completion, Model, Request
from shoal.stats import Evidence
from shoal.traces import TraceWriter, read_trace


def table_of(spec: str) -> NormalForm:
    game = make_game(spec)
    assert isinstance(game, NormalForm)
    return game


PD = table_of("prisoners-dilemma")


class Says(Model):
    """A model whose replies come from a function of the request."""

    spec, evidence, identity = "says", Evidence.SCRIPTED, "says"

    def __init__(self, reply: Callable[[Request], str]) -> None:
        self.reply = reply
        self.seen: list[Request] = []
        self.together = self.most = 0

    async def complete(self, request: Request) -> Completion:
        self.seen.append(request)
        self.together += 1
        self.most = max(self.most, self.together)
        await asyncio.sleep(0)
        self.together -= 1
        return Completion(self.reply(request))


# games


@pytest.mark.parametrize("name", GAMES.names())
def test_a_named_game_has_rules_views_and_a_solution(name: str) -> None:
    game = make_game(name)
    assert game.name == name
    assert GAMES.get(name).title == game.title
    assert GAMES.get(name).known
    low, high = game.bounds()
    seats = [open_seat("random")] * game.player_count
    for payoffs in play(game, seats, repeats=5).payoffs:
        assert (payoffs >= low - 1e-9).all()
        assert (payoffs <= high + 1e-9).all()
    for player in range(game.player_count):
        assert game.players[player] in game.rules(player)
    if name not in ("travellers-dilemma", "blotto", "beauty-contest", "nash-demand"):  # seconds each
        assert solve(game)


@pytest.mark.parametrize(
    ("payoffs", "message"),
    [
        ([[1, 2], [3]], "equal length"),
        ([[[1, 2], [3, float("nan")]], [[1, 2], [3, 4]]], r"payoffs at \(0, 1, 1\): nan.*finite"),
        ([[[1, 2, 3], [3, 4, 5]]], "2 payoffs in each cell"),
        ([[["a", "b"]]], "nested lists of numbers"),
        ([], "at least one action"),
    ],
)
def test_bad_payoffs(payoffs: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        normal_form(payoffs)


def test_bad_input_of_games() -> None:
    with pytest.raises(InputError, match="The table has 2 players"):
        normal_form(PD.table, players=["one"])
    with pytest.raises(InputError, match="Names must differ"):
        normal_form(PD.table, actions=[["a", "A"], ["a", "b"]])
    with pytest.raises(InputError, match=r"shape \(2, 2\)"):
        bimatrix([[1, 2], [3, 4]], [[1, 2]])
    with pytest.raises(InputError, match=r"sum to 1; these sum to 0.9"):
        PD.profile([[0.5, 0.4], [1, 0]])
    with pytest.raises(InputError, match="Give 2 probabilities"):
        PD.profile([[0.5, 0.3, 0.2], [1, 0]])
    with pytest.raises(UnknownName, match="prisoners-dilemma"):
        make_game("prisoner-dilemma")
    with pytest.raises(UnknownName, match="reward"):
        make_game("prisoners-dilemma:rewards=3")
    with pytest.raises(InputError, match="temptation > reward"):
        make_game("prisoners-dilemma:reward=9")
    with pytest.raises(InputError, match="whole number"):
        make_game("public-goods:players=2.5")
    with pytest.raises(InputError, match="fewer players"):
        make_game("public-goods:players=30")
    for settings, word in (({"rounds": 0}, "rounds"), ({"noise": 2}, "noise"), ({"continuation": 0}, "continuation")):
        with pytest.raises(InputError, match=word):
            Repeated(PD, **settings)  # type: ignore[arg-type]


def test_bad_trees() -> None:
    end = End((1.0, 2.0))
    with pytest.raises(InputError, match="2 payoffs, one for each player"):
        extensive(End((1.0,)), 2)
    with pytest.raises(InputError, match="finite"):
        extensive(End((1.0, float("inf"))), 2)
    with pytest.raises(InputError, match="sum to 1"):
        extensive(Chance((("a", 0.5, end), ("b", 0.6, end))), 2)
    with pytest.raises(InputError, match="one child for each action"):
        extensive(Decision(0, "x", ("a", "b"), (end,)), 2)
    with pytest.raises(InputError, match="numbered from 0 to 1"):
        extensive(Decision(2, "x", ("a",), (end,)), 2)
    odd = Decision(0, "x", ("a", "b"), (Decision(0, "y", ("c",), (end,)), Decision(0, "y", ("c",), (end,))))
    with pytest.raises(InputError, match="remember its own moves"):
        extensive(odd, 2)
    with pytest.raises(InputError, match="same player and actions"):
        extensive(Decision(0, "x", ("a", "b"), (Decision(1, "y", ("c",), (end,)), Decision(1, "y", ("d",), (end,)))), 2)


def test_expected_payoffs_by_hand() -> None:
    three = normal_form(np.arange(24).reshape(2, 2, 2, 3))
    p, q, r = np.array([0.3, 0.7]), np.array([0.6, 0.4]), np.array([0.1, 0.9])
    by_hand = sum(p[a] * q[b] * r[c] * three.table[a, b, c] for a in range(2) for b in range(2) for c in range(2))
    assert np.allclose(three.expected([p, q, r]), by_hand)
    assert three.deviations([p, q, r], 1) @ q == pytest.approx(by_hand[1])
    assert make_game("public-goods").symmetric  # type: ignore[attr-defined]
    assert not table_of("battle-of-the-sexes").symmetric


def test_sequential_play_sees_what_was_chosen() -> None:
    game = sequential(PD)
    assert game.perfect_information
    assert len(game.information) == 3
    assert subgame_perfect(game).payoffs.tolist() == [1, 1]
    with pytest.raises(InputError, match="order"):
        sequential(PD, (0, 0))


# seats and matches


def test_automata_in_seats_play_like_automata_in_tournaments() -> None:
    names = [n for n in STRATEGIES.names() if make_strategy(n).deterministic]
    game = as_played(PD, rounds=12)
    exact = expected_payoffs(names, PD, rounds=12)
    for i in range(0, len(names), 3):
        for j in range(1, len(names), 4):
            seats = [open_seat(n, rounds=12) for n in (names[i], names[j])]
            assert play(game, seats).payoffs[0].tolist() == pytest.approx([exact[i, j], exact[j, i]])


def test_noise_and_uncertain_ends() -> None:
    game = as_played(PD, rounds=400, noise=0.25)
    result = play(game, [open_seat("cooperator"), open_seat("defector")], repeats=4)
    done = np.array([m.history for m in result.matches]).mean(axis=(0, 1))
    assert np.allclose(done, [0.25, 0.75], atol=0.05)
    assert result.actions(0) == {"cooperate": 1.0}  # what was chosen, not what the noise made of it
    short = play(as_played(PD, 1000, continuation=0.5), [open_seat("cooperator")] * 2, repeats=200)
    assert np.mean([len(m.history) for m in short.matches]) == pytest.approx(2, abs=0.4)
    same = play(game, [open_seat("coin"), open_seat("coin")], repeats=2, seed=5)
    assert np.array_equal(same.payoffs, play(game, [open_seat("coin"), open_seat("coin")], repeats=2, seed=5).payoffs)


def test_solver_seats_earn_what_the_solution_says() -> None:
    poker = play(make_game("kuhn-poker"), [open_seat("cfr"), open_seat("nash")], repeats=1500)
    assert poker.payoffs[:, 0].mean() == pytest.approx(-1 / 18, abs=4 * 1.3 / np.sqrt(1500))
    rps = as_played(make_game("rock-paper-scissors"), rounds=300)
    assert play(rps, [open_seat("maximin"), open_seat("always:rock")]).actions(0)["paper"] == pytest.approx(
        1 / 3, abs=0.1
    )
    assert play(make_game("trust"), [open_seat("subgame-perfect")] * 2).payoffs[0].tolist() == [4, 0]
    led = play(as_played(make_game("commitment"), rounds=400), [open_seat("stackelberg")] * 2)
    assert led.payoffs[0] == pytest.approx([3.5, 0.5], abs=0.2)
    with pytest.raises(InputError, match="is a table"):
        play(as_played(PD), [open_seat("cfr")] * 2)
    with pytest.raises(InputError, match="hidden moves"):
        play(make_game("kuhn-poker"), [open_seat("subgame-perfect")] * 2)
    with pytest.raises(InputError, match="no exact solver"):
        play(make_game("donor"), [open_seat("nash")] * 12)


def test_seats_that_learn() -> None:
    seats = [open_seat("q-learning:decay=0.95"), open_seat("always:opera")]
    result = play(as_played(make_game("battle-of-the-sexes"), rounds=10), seats, repeats=40)
    assert result.payoffs[-5:, 0].mean() > 2.5
    offers = play(make_game("ultimatum:pie=4"), [open_seat("random"), open_seat("q-learning:decay=0.97")], repeats=400)
    accepted = [m.moves[1].action == "accept" for m in offers.matches[-60:] if m.moves[0].action != "offer-0"]
    assert np.mean(accepted) > 0.8
    found = learn(table_of("coordination"), rounds=2000, blocks=5, seeds=16)
    trained = play(as_played(make_game("coordination"), 10), [found.seat(0, seed=3), found.seat(1, seed=3)])
    assert trained.payoffs.mean() > 0.8
    with pytest.raises(UnknownName, match="rate"):
        open_seat("q-learning:rates=1")
    with pytest.raises(InputError, match="rate"):
        open_seat("q-learning:rate=2")
    best = play(as_played(make_game("rock-paper-scissors"), 100), [open_seat("best-reply"), open_seat("always:rock")])
    assert best.payoffs[0, 0] > 0.9


def test_wrong_seats() -> None:
    with pytest.raises(InputError, match="2 players: name as many seats"):
        play(as_played(PD), [open_seat("grim")])
    with pytest.raises(InputError, match="two players with two actions"):
        play(as_played(make_game("rock-paper-scissors")), [open_seat("grim")] * 2)
    with pytest.raises(InputError, match="Actions of player-1: cooperate, defect"):
        play(as_played(PD), [open_seat("always:sleep")] * 2)
    with pytest.raises(UnknownName, match="tit-for-tat"):
        open_seat("tit-for-tot")
    with pytest.raises(InputError, match="played once through"):
        as_played(make_game("trust"), rounds=3)
    with pytest.raises(InputError, match="at least one match"):
        play(as_played(PD), [open_seat("grim")] * 2, repeats=0)
    listed = split_seats("tit-for-tat,scripted:competence=0.6,lure=0.5,me")
    assert listed == ["tit-for-tat", "scripted:competence=0.6,lure=0.5", "me"]


# language models and people


def test_reading_actions() -> None:
    actions = ("cooperate", "defect")
    for text in ('{"action": "Defect"}', 'I think:\n```json\n{"action": "defect"}\n```', "Answer: defect", "defect.",
                 "Action: 'defect'", 'cooperate? No. {"action": "defect"}', "I will defect now"):  # fmt: skip
        assert read_action(text, actions) == (1, ""), text
    assert read_action("", actions) == (None, "no action")
    assert read_action("cooperate or defect", actions) == (None, "several actions")
    assert read_action('{"action": "sleep"} defect', actions) == (None, "unknown action")
    assert read_action("I offer-10 of it", ("offer-1", "offer-10")) == (1, "")
    assert read_action("10%", ("0%", "10%", "100%")) == (1, "")


def test_a_language_model_sees_rules_and_history_and_is_constrained() -> None:
    model = Says(lambda request: '{"action": "cooperate"}')
    result = play(as_played(PD, 3), [LanguageSeat(model), open_seat("tit-for-tat")], repeats=5)
    assert result.payoffs.tolist() == [[3, 3]] * 5
    assert model.most == 5  # all matches asked at once
    last = model.seen[-1]
    assert "If you choose cooperate and player-2 chooses defect: you get 0" in last.messages[0]["content"]
    assert "Round 2: you chose cooperate, player-2 chose cooperate; you got 3." in last.messages[1]["content"]
    assert last.schema is not None
    assert last.schema["properties"]["action"]["enum"] == ["cooperate", "defect"]
    assert result.usage(0).calls == 15
    assert result.failures(0) == {}


def test_unreadable_replies_are_asked_again_drawn_and_counted() -> None:
    mended = Says(lambda r: '{"action": "defect"}' if len(r.messages) > 2 else "hmm")
    result = play(as_played(PD, 4), [LanguageSeat(mended), open_seat("grim")])
    assert result.failures(0) == {"no action": 4}
    assert result.actions(0) == {"defect": 1.0}
    lost = play(as_played(PD, 4), [LanguageSeat(Says(lambda r: "hmm")), open_seat("grim")], repeats=20)
    assert lost.failures(0) == {"no action": 160, "guessed": 80}
    assert lost.actions(0)["defect"] == pytest.approx(0.5, abs=0.2)


def test_scripted_models_play_the_solution_as_well_as_they_are_told() -> None:
    game = as_played(make_game("prisoners-dilemma"), 10)
    good = play(game, [open_seat("scripted:competence=1"), open_seat("cooperator")], repeats=3)
    assert good.actions(0) == {"defect": 1.0}
    fair = play(game, [open_seat("scripted:competence=0.6"), open_seat("cooperator")], repeats=30)
    assert fair.actions(0)["defect"] == pytest.approx(0.6, abs=0.12)
    mute = play(game, [open_seat("scripted:format_failures=1"), open_seat("cooperator")])
    assert mute.failures(0)["guessed"] == 10
    tree = play(make_game("ultimatum"), [open_seat("scripted:competence=1")] * 2)
    assert tree.payoffs[0].tolist() == [10, 0]


def test_a_person_plays_at_the_terminal() -> None:
    replies, told = iter(["9", "defect", "1"]), []
    me = PersonSeat(lambda prompt: next(replies), told.append)
    result = play(as_played(PD, 2), [me, open_seat("tit-for-tat")])
    assert result.payoffs[0].tolist() == [2.5, 2.5]
    assert any("Write a number from 1 to 2" in text for text in told)
    assert any("you chose defect, player-2 chose cooperate; you got 5" in text for text in told)

    def gone(prompt: str) -> str:
        raise EOFError

    with pytest.raises(InputError, match="Sit at a terminal"):
        play(as_played(PD), [PersonSeat(gone, told.append), open_seat("grim")])


# disguises


@pytest.mark.parametrize("name", ["prisoners-dilemma", "battle-of-the-sexes", "minority", "rock-paper-scissors"])
def test_a_disguise_keeps_the_structure(name: str) -> None:
    from shoal.games.solvers import support_enumeration

    game = table_of(name)
    for seed in range(5):
        hidden = disguise(game, seed)
        assert isinstance(hidden.game, NormalForm)
        words = hidden.game.rules(0)
        assert not any(a in words for names in game.actions for a in names)
        found = [hidden.revealed_profile(p) for p in support_enumeration(hidden.game)]
        assert len(found) == len(support_enumeration(game))
        assert all(is_equilibrium(game, p) for p in found)
        joint = (0,) * game.player_count
        pays = hidden.revealed_payoffs(hidden.game.table[joint])
        assert np.allclose(pays, game.table[hidden.revealed(joint)])


def test_disguised_trees_and_repeated_games() -> None:
    for name in ("ultimatum", "kuhn-poker"):
        game = make_game(name)
        assert isinstance(game, Extensive)
        hidden = disguise(game, 1)
        assert isinstance(hidden.game, Extensive)
        old, new = game.normal_form() if name == "kuhn-poker" else None, hidden.game
        if old is None:
            assert np.allclose(hidden.revealed_payoffs(subgame_perfect(new).payoffs), [10, 0])
        else:
            assert np.allclose(hidden.revealed_payoffs(new.normal_form().table), old.table)
            seen = [node.seen for node in new.information.values()]
            assert all("What you know: chance brings" in text for text in seen)
            assert "jack" not in " ".join(seen)
    again = disguise(as_played(PD, 7), 2)
    assert isinstance(again.game, Repeated)
    assert again.game.rounds == 7
    with pytest.raises(InputError, match="Disguises"):
        disguise(make_game("donor"))


# tables


def table_of_seats(names: list[str], game: Any, repeats: int = 6) -> Any:
    return asyncio.run(cross_play(game, [open_seat(n, rounds=20) for n in names], repeats))


def test_cross_play_ranks_seats_with_intervals() -> None:
    found = table_of_seats(["cooperator", "defector", "tit-for-tat"], as_played(PD, 20))
    exact = expected_payoffs(["cooperator", "defector", "tit-for-tat"], PD, rounds=20)
    assert np.allclose(found.means[..., 0], exact)
    assert np.allclose(found.means[..., 1], exact.T)
    mass = found.alpha_rank()
    assert sum(e.value for e in mass) == pytest.approx(1)
    assert all(e.low <= e.value <= e.high for e in mass)
    gains = [e.value for e in found.exploitability()]
    assert gains[0] == pytest.approx(2)  # cooperators invite the defector: 5 - 3
    assert gains[1] == pytest.approx(0)
    ratings = [e.value for e in found.nash_averaging()]
    assert ratings[1] == pytest.approx(0, abs=1e-9)
    assert ratings[0] < -2


def test_intervals_of_noisy_tables_cover_the_truth() -> None:
    names = ["tit-for-tat", "generous-tit-for-tat", "coin"]
    found = table_of_seats(names, as_played(PD, 20, 0.1), repeats=25)
    exact = expected_payoffs(names, PD, rounds=20, noise=0.1)
    inside = [e.low <= exact[i, j] <= e.high for i, row in enumerate(found.payoffs()) for j, e in enumerate(row)]
    assert sum(inside) >= 7
    assert all(e.low < e.high for e in found.exploitability())


def test_tables_of_unequal_players_and_of_three() -> None:
    sexes = table_of_seats(["always:opera", "always:football"], as_played(make_game("battle-of-the-sexes"), 1), 2)
    assert not sexes.symmetric
    assert np.allclose(sexes.means, [[[3, 2], [0, 0]], [[0, 0], [2, 3]]])
    with pytest.raises(InputError, match="symmetric game of two players"):
        sexes.nash_averaging()
    three = table_of_seats(["always:left", "always:right"], as_played(make_game("minority"), 1), 2)
    assert np.allclose(three.means, make_game("minority").table)  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="Name each seat once"):
        table_of_seats(["grim", "grim"], as_played(PD, 2))


# causal games


def random_causal(rng: np.random.Generator, u: int, *shape: int, free: bool = False) -> CausalGame:
    table = rng.random((u, *shape, len(shape)))
    if free:
        table[:] = table[0]
    instincts = [rng.integers(0, size, u) for size in shape]
    return causal_game(rng.dirichlet(np.ones(u)), np.array(instincts), table)


def test_the_worked_causal_example() -> None:
    game = make_game("causal-dilemma")
    assert isinstance(game, CausalGame)
    found = causal_equilibrium(game)
    assert found.payoffs == pytest.approx([2.2, 2.2])
    assert found.values[1, 1] == pytest.approx([1, 1])
    assert found.values[0, 1] == pytest.approx([1.4, 1.8])
    assert is_equilibrium(found.game, found.profile)
    assert causal_equilibrium(game.averaged()).payoffs == pytest.approx([1, 1])  # the ablation
    fooled = causal_game([0.6, 0.4], [[0, 1], [0, 1]], game.table)
    pure = causal_equilibrium(fooled)
    assert pure.values[0, 1, 0] == pytest.approx(0.4)  # instinct alone is exploited
    assert pure.values[2, 2] == pytest.approx([2.2, 2.2])  # reflection flips it back
    seats = [open_seat("nash")] * 2
    assert play(game, seats, repeats=2000).payoffs.mean() == pytest.approx(2.2, abs=0.12)


def test_causal_sets_contain_each_other_and_equilibria_hold() -> None:
    rng = np.random.default_rng(0)
    for _ in range(15):
        game = random_causal(rng, 3, 2, 3)
        names = [set(game.strategies(1, (layer,))[1]) for layer in (1, 2, 3)]
        rows = [{tuple(r) for r in game.strategies(1, (layer,))[0].tolist()} for layer in (1, 2, 3)]
        assert rows[0] <= rows[2]
        assert rows[1] <= rows[2]
        assert len(names[1]) == 3
        found = causal_equilibrium(game)
        assert is_equilibrium(found.game, found.profile)


def test_sequential_causal_play_brings_nothing_when_payoffs_are_free_of_circumstances() -> None:
    rng = np.random.default_rng(1)
    for _ in range(60):
        game = random_causal(rng, 3, 3, 3, free=True)
        found = sequential_equilibrium(game)
        plain = pure_stackelberg(game.classical)
        assert found.welfare == pytest.approx(plain.payoffs.sum(), abs=1e-9)
        assert found.values[:, 0].max() == pytest.approx(found.payoffs[0])
        mechanism = sequential_equilibrium(game, sees="mechanism")
        assert mechanism.payoffs[0] <= mixed_stackelberg(game.classical).payoffs[0] + 1e-9
        aligned = np.eye(3)[game.table[0, :, :, 1].argmax(axis=1)]
        for epsilon in (0.0, 0.2, 0.4):
            assert sequential_equilibrium(game, epsilon=epsilon, instinct=aligned).welfare == pytest.approx(
                found.welfare
            )
        anything = rng.dirichlet(np.ones(3), 3)
        assert sequential_equilibrium(game, epsilon=0.0, instinct=anything).welfare == pytest.approx(found.welfare)


def test_the_leader_never_loses_by_more_layers() -> None:
    rng = np.random.default_rng(2)
    gains = []
    for _ in range(60):
        game = random_causal(rng, 2, 2, 2)
        free, bound = sequential_equilibrium(game), sequential_equilibrium(game, leader_layers=(2,))
        assert free.payoffs[0] >= bound.payoffs[0] - 1e-9
        gains.append(free.payoffs[0] - bound.payoffs[0])
    assert max(gains) > 0.01  # with circumstances in the payoffs layers do help


def test_a_satisficing_follower_keeps_a_habit_that_is_near_enough() -> None:
    table = np.zeros((1, 1, 2, 2))
    table[0, 0, 0], table[0, 0, 1] = [0, 1.0], [5, 0.9]
    game = causal_game([1.0], [[0], [0]], table)
    habit = [[0, 1]]
    assert sequential_equilibrium(game).payoffs.tolist() == [0, 1]
    kept = sequential_equilibrium(game, epsilon=0.2, instinct=habit)
    assert kept.payoffs.tolist() == [5, 0.9]
    assert kept.answer.instinctive == 1
    assert sequential_equilibrium(game, epsilon=0.05, instinct=habit).payoffs.tolist() == [0, 1]
    with pytest.raises(InputError, match="instinct"):
        sequential_equilibrium(game, epsilon=0.1)


def test_signalling_pools_and_separates() -> None:
    # Two types; the follower wants to match the type, the leader wants to be matched: talk is honest or empty.
    table = np.zeros((2, 2, 2, 2))
    for u in range(2):
        table[u, :, u] = 1
    game = causal_game([0.5, 0.5], [[0, 1], [0, 0]], table)
    kinds = [e.kind for e in signalling_equilibria(game)]
    assert "separating" in kinds
    assert "pooling" in kinds
    best = max(signalling_equilibria(game), key=lambda e: e.payoffs.sum())
    assert best.kind == "separating"
    assert best.payoffs.tolist() == [1, 1]


def test_bad_causal_input() -> None:
    table = np.zeros((2, 2, 2, 2))
    for arguments, word in (
        (([0.5, 0.6], [[0, 0], [0, 0]], table), "sum to 1"),
        (([0.5, 0.5], [[0, 2], [0, 0]], table), "numbered 0 to 1"),
        (([0.5, 0.5], [[0], [0]], table), "instincts"),
        (([1.0], [[0], [0]], table), "circumstances"),
        (([0.5, 0.5], [[0, 0], [0, 0]], table * np.nan), "finite"),
    ):
        with pytest.raises(InputError, match=word):
            causal_game(*arguments)  # type: ignore[arg-type]
    six = causal_game(np.full(6, 1 / 6), [np.arange(6)] * 2, np.zeros((6, 6, 6, 2)))
    with pytest.raises(InputError, match="46,656 maps"):
        six.strategies(0, (3,))
    one = causal_game([1.0], [[0], [0]], np.zeros((1, 1, 2, 2)))
    assert sequential_equilibrium(one).payoffs.tolist() == [0, 0]  # one action is a game


# donor game


def test_the_donor_game_by_its_closed_forms() -> None:
    def policy(key: Any, s: Situation) -> Any:  # in the first society all give everything, in the second nothing
        return jnp.broadcast_to(jnp.array([[1.0], [0.0]]), s.donor.shape)

    final, shares = play_societies(policy, jax.random.key(0), societies=2)
    assert np.allclose(np.asarray(final).mean(axis=1), [30720, 10])
    assert np.allclose(final[1], 10)
    assert shares.shape == (12, 2, 6)
    half, shares = play_societies(lambda k, s: jnp.full(s.donor.shape, 0.5), jax.random.key(1), societies=2, rounds=1)
    assert np.allclose(np.asarray(half).sum(axis=1), 120 + (2 - 1) * 6 * 5)  # total grows by (b - 1) x gifts
    fined, shares = play_societies(
        lambda k, s: jnp.full(s.donor.shape, -0.5), jax.random.key(1), societies=2, rounds=1, punishment=2.0
    )
    assert sorted(np.asarray(fined[0]).tolist()) == [0.0] * 6 + [5.0] * 6  # 5 spent take 10 away
    assert np.allclose(shares, -0.5)
    seats = play(make_game("donor"), [open_seat("always:100%")] * 12)
    assert seats.payoffs.mean() == 30720


def test_donors_see_the_receivers_chain_and_nothing_newer() -> None:
    game = DonorGame(agents=4, rounds=4, depth=3)
    rng = np.random.default_rng(0)
    state = game.begin(rng)
    assert all("gave" not in view.seen for view in game.turns(state))
    given = {}
    for _ in range(3):
        views = game.turns(state)
        given = {view.player: 3 + view.player for view in views}
        state = game.step(state, given, rng)
    for view in game.turns(state):
        receiver = next(p for d, p in game._pairs(state) if d == view.player)
        assert f"1 round ago agent-{receiver + 1} gave {given[receiver]}0% of its units" in view.seen
        assert "3 rounds ago" in view.seen

    def follow(key: Any, s: Situation) -> Any:
        return jnp.where(s.trace[..., 0] < 0, 0.25, s.trace[..., 0])

    _, shares = play_societies(follow, jax.random.key(2), societies=2, rounds=6)
    assert np.allclose(shares, 0.25)  # the first round knows nothing, later ones copy it
    hidden = play_societies(
        lambda k, s: jnp.full(s.donor.shape, s.trace.shape[-1]), jax.random.key(3), societies=1, depth=0
    )
    assert np.allclose(hidden[0], 10)
    for settings, word in (({"agents": 5}, "even"), ({"multiplier": 0}, "multiplier"), ({"depth": -1}, "depth")):
        with pytest.raises(InputError, match=word):
            DonorGame(**settings)  # type: ignore[arg-type]


# logs


def test_wide_and_long_logs_of_any_number_of_players(tmp_path: Path) -> None:
    wide = tmp_path / "wide.csv"
    wide.write_text(
        "strategy_1,payoff_1,strategy_2,payoff_2\na,3,a,3\na,0,b,5\nb,5,a,0\nb,1,b,1\nb,1.5,b,0.5\na,1,b,4\n"
    )
    found = empirical_game(wide)
    assert found.symmetric
    assert not found.missing
    assert np.allclose(found.normal_form().table[0, 1], [1 / 3, 14 / 3])
    assert found.estimate(["b", "a"])[0].value == pytest.approx(14 / 3)
    assert found.estimate(["b", "a"])[0].n == 3
    tables = list(found.resampled(20))
    assert len({round(t.table[0, 1, 0], 6) for t in tables}) > 1
    assert len(all_equilibria(found.normal_form())) == 1
    rows = "match,role,strategy,payoff\n" + "".join(
        f"{k},{role},{s},{p}\n" for k in range(3) for role, s, p in (("x", "u", 1 + k), ("y", "v", 2), ("z", "w", 3))
    )
    (tmp_path / "long.csv").write_text(rows)
    three = empirical_game(tmp_path / "long.csv")
    assert three.roles == ("x", "y", "z")
    assert three.estimate(["u", "v", "w"])[0].value == 2
    assert three.normal_form().shape == (1, 1, 1)


def test_a_folder_of_runs_becomes_a_game(tmp_path: Path) -> None:
    for k, pair in enumerate((("cooperator", "defector"), ("defector", "defector"), ("cooperator", "cooperator"))):
        trace = TraceWriter(tmp_path / f"run-{k}" / "events.jsonl", f"run-{k}")
        play(as_played(PD, 5), [open_seat(s) for s in pair], 3, trace=trace)
        trace.close()
    found = empirical_game(tmp_path)
    assert np.allclose(found.normal_form().table, [[[3, 3], [0, 5]], [[5, 0], [1, 1]]])
    events = read_trace(tmp_path / "run-0" / "events.jsonl")
    known = {e.id for e in events}
    assert all(parent in known for e in events for parent in e.parents)
    assert len(events.of_kind("decision")) == 3 * 5 * 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "columns"),
        ("strategy_1,payoff_1\na,x\n", r"line 2 payoff: 'x'.*finite"),
        ("strategy_1,payoff_1\n", "no match"),
        ("strategy_1,payoff_1,strategy_2,payoff_2\na,1,,\na,1,b,2\n", "several sizes"),
        ("match,strategy,payoff\n1,,3\n", "Name the strategy"),
    ],
)
def test_bad_logs(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        empirical_game(path)
    with pytest.raises(InputError, match=r"CSV file or a folder"):
        empirical_game(tmp_path / "nothing.csv")
    with pytest.raises(InputError, match=r"no events.jsonl"):
        empirical_game(tmp_path)


def test_missing_mixes_are_named(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("strategy_1,payoff_1,strategy_2,payoff_2\na,1,b,2\na,1,a,1\n")
    found = empirical_game(path)
    assert found.missing == [("b", "b")]
    with pytest.raises(InputError, match="b, b"):
        found.normal_form()
    assert found.normal_form(fill=0).table[1, 1].tolist() == [0, 0]


# command line


def shown(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> Any:
    capsys.readouterr()
    assert console.guarded(lambda: command([*words, "--json"])) == code, capsys.readouterr().err
    out = capsys.readouterr().out
    return json.loads(out) if out else None


def test_play_from_the_command_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    one = shown(capsys, "play", "prisoners-dilemma", "--seats", "tit-for-tat,defector", "--rounds", "10")
    assert [p["value"] for p in one["players"]] == [0.9, 1.4]
    seats = "tit-for-tat,defector,scripted:competence=1,correlation=0"
    table = shown(capsys, "play", "prisoners-dilemma", "--seats", seats, "--repeats", "2", "--out", str(tmp_path))
    assert {row["seat"] for row in table["ranking"]} == set(split_seats(seats))
    assert np.array(table["means"]).shape == (3, 3, 2)
    log = shown(capsys, "play", str(tmp_path))
    assert log["missing"] == []
    assert len(log["ranking"]["player"]) == 3
    hidden = shown(capsys, "play", "stag-hunt", "--seats", "nash,nash", "--disguise", "1")
    assert hidden["game"] == "disguised"
    tree = shown(capsys, "play", "ultimatum", "--seats", "nash,nash")
    assert [p["value"] for p in tree["players"]] == [10, 0]
    for words in (("prisoners-dilemma",), ("prisoners-dilemma", "--seats", "grim"), ("nothing", "--seats", "grim"),
                  ("trust", "--seats", "nash,nash", "--rounds", "3"),
                  ("prisoners-dilemma", "--seats", "grim,tut", "--noise", "0.1"),
                  ("prisoners-dilemma", "--seats", "grim,grim", "--noise", "1.5")):  # fmt: skip
        shown(capsys, "play", *words, code=2)


def test_a_person_plays_from_the_command_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("1\n2\n"))
    found = shown(capsys, "play", "prisoners-dilemma", "--seats", "me,tit-for-tat", "--rounds", "2")
    assert found["players"][0]["value"] == 4.0
    assert found["players"][0]["evidence"] == "recorded"


def test_list_and_show_games(capsys: pytest.CaptureFixture[str]) -> None:
    assert {row["name"] for row in shown(capsys, "list", "games")} == set(GAMES.names())
    listed = shown(capsys, "list", "strategies")
    assert len([row for row in listed if row["kind"] == "strategy"]) >= 20
    found = shown(capsys, "show", "battle-of-the-sexes:high=4")
    assert found["solution"]["count"] == 3
    for name in ("kuhn-poker", "causal-dilemma", "donor", "minority"):
        assert console.guarded(lambda name=name: command(["show", name])) == 0  # type: ignore[misc]
    assert "-0.0555" in json.dumps(shown(capsys, "show", "kuhn-poker")["solution"]["payoffs"])
    for words in (["list", "games"], ["play", "hawk-dove", "--seats", "grim,coin,nash", "--repeats", "2"]):
        assert console.guarded(lambda words=words: command(words)) == 0  # type: ignore[misc]


def test_machines_take_part_in_seats_under_any_name() -> None:
    seat = AutomatonSeat(make_strategy("joss:sneak=0.5"))
    assert seat.spec == "joss:sneak=0.5"
