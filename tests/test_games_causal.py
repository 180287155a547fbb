"""Causal games: the worked example, layers against brute force, sequential play, signalling, and bad input."""

from __future__ import annotations

import numpy as np
import pytest

from shoal.errors import InputError
from shoal.games import make_game, open_seat, play
from shoal.games.causal import CausalGame, causal_equilibrium, causal_game
from shoal.games.causal_sequential import sequential_equilibrium, signalling_equilibria
from shoal.games.solvers import is_equilibrium, mixed_stackelberg, pure_stackelberg


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
