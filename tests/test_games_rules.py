"""The rules of games: named games, what is refused, expected payoffs, sequential play, and disguises."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from payoff_tables import PD, table_of
from shoal.errors import InputError, UnknownName
from shoal.games import (
    GAMES,
    Repeated,
    as_played,
    bimatrix,
    disguise,
    make_game,
    normal_form,
    open_seat,
    play,
    sequential,
    solve,
)
from shoal.games.extensive import Chance, Decision, End, Extensive, extensive
from shoal.games.normal_form import NormalForm
from shoal.games.solvers import is_equilibrium, subgame_perfect


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
