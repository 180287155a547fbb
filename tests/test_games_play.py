"""Matches and their seats: strategies, solvers, learners, language models and people."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np
import pytest

from payoff_tables import PD, table_of
from shoal.errors import InputError, UnknownName
from shoal.games import as_played, make_game, open_seat, play
from shoal.games.learning import learn
from shoal.games.seats import split_seats
from shoal.games.seats.language import LanguageSeat, read_action
from shoal.games.seats.person import PersonSeat
from shoal.games.seats.seat import AutomatonSeat
from shoal.games.strategies import STRATEGIES, make_strategy
from shoal.games.tournament import expected_payoffs
from shoal.models.interface import Completion, Model, Request
from shoal.stats import Evidence


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


def test_machines_take_part_in_seats_under_any_name() -> None:
    seat = AutomatonSeat(make_strategy("joss:sneak=0.5"))
    assert seat.spec == "joss:sneak=0.5"


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
