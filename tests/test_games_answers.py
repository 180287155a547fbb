"""Populations that turn to best answers, and seats that wait for somebody else's moves."""

from __future__ import annotations

import asyncio
import threading
import time

import numpy as np
import pytest

from shoal.errors import InputError, UnknownName
from shoal.games.catalogue import make_game
from shoal.games.dynamics import answering
from shoal.games.normal_form import NormalForm
from shoal.games.playing import as_played, play_match
from shoal.games.seats import open_seat
from shoal.games.seats.waiting import WaitingSeat


def table(name: str) -> NormalForm:
    game = make_game(name)
    assert isinstance(game, NormalForm)
    return game


def test_one_step_of_each_rule_is_the_formula() -> None:
    game = table("stag-hunt")  # stag is the best answer above a share of 3/4
    start = [[0.8, 0.2], [0.5, 0.5]]
    course = answering(game, start, steps=4, time=2.0)
    assert np.allclose(course.shares[0][:, 1], [[0.9, 0.1], [0.25, 0.75]])
    assert course.times.tolist() == [0.0, 0.5, 1.0, 1.5, 2.0]
    fictitious = answering(game, start, rule="fictitious play", steps=2)
    assert np.allclose(fictitious.shares[0][0, :, 0], [0.8, 0.9, 0.9 + 0.1 / 3])


def test_fictitious_play_comes_to_the_equilibrium_of_a_zero_sum_game() -> None:
    game = table("rock-paper-scissors")
    course = answering(game, rule="fictitious play", steps=3_000, seed=3)
    assert np.abs(course.final[0] - 1 / 3).max() < 0.03


def test_two_populations_and_equal_answers() -> None:
    game = table("matching-pennies")
    even = [[[0.5, 0.5]], [[0.5, 0.5]]]
    course = answering(game, even, steps=3, time=1.0)
    assert all(np.allclose(shares, 0.5) for shares in course.shares)


def test_what_cannot_be_followed_is_refused() -> None:
    with pytest.raises(UnknownName, match="best response"):
        answering(table("stag-hunt"), rule="best respons")
    with pytest.raises(InputError, match="time"):
        answering(table("stag-hunt"), time=0.0)


def test_a_waiting_seat_is_answered_from_another_thread_and_replays_its_moves() -> None:
    game = as_played(table("prisoners-dilemma"), 3)
    seat = WaitingSeat([0])
    said: list[str] = []

    def answer() -> None:
        answered = None
        for move in (1, 0):
            while seat.view is None or seat.view is answered:
                time.sleep(0.001)
            answered = seat.view
            said.append(seat.told)
            seat.answer(move)

    other = threading.Thread(target=answer)
    other.start()
    match = asyncio.run(play_match(game, [seat, open_seat("tit-for-tat")], 0))
    other.join()
    assert seat.moves == [0, 1, 0]
    assert match.history == ((0, 0), (1, 0), (0, 1))
    assert said[0].endswith("you got 3.")


def test_a_waiting_seat_ends_the_match_when_it_is_left_or_told_nonsense() -> None:
    game = as_played(table("prisoners-dilemma"), 2)
    left = WaitingSeat()
    left.leave()
    with pytest.raises(InputError, match="left"):
        asyncio.run(play_match(game, [left, open_seat("random")], 0))
    with pytest.raises(InputError, match="There are 2 actions"):
        asyncio.run(play_match(game, [WaitingSeat([2]), open_seat("random")], 0))
