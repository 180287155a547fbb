"""Routing over stored answers: no look at the test, and its baselines."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from shoal.errors import InputError
from shoal.tasks.problem import Question
from shoal.teams.routing import replay
from shoal.teams.routing.beacon import Candidate
from shoal.teams.routing.router import RouterSettings


def toy_log(problems: int = 120) -> replay.Log:
    rng = np.random.default_rng(0)
    right = rng.random((3, problems)) < np.array([[0.9], [0.5], [0.2]])
    answers = tuple(tuple("1" if ok else str(2 + m) for ok in row) for m, row in enumerate(right))
    return replay.Log(
        tuple(Candidate(f"m{i}") for i in range(3)),
        answers,
        right,
        np.full((problems, 3), 0.5),
        tuple("easy" for _ in range(problems)),
        np.full((3, problems), 20.0),
    )


def test_replay_routes_to_the_strongest_and_never_sees_the_test() -> None:
    log = toy_log()
    parts = replay.split(120, np.random.default_rng(1))
    assert sorted(np.concatenate([parts.cold, parts.learn, parts.test])) == list(range(120))
    settings = RouterSettings(identity=True)
    played = replay.play_routed("routed, truth, identity", log, parts, settings)
    assert (played.chosen == 0).mean() > 0.9
    assert played.training_calls == parts.cold.size + parts.learn.size
    flipped = log.correct.copy()
    flipped[:, parts.test] = ~flipped[:, parts.test]
    blind = replay.play_routed("routed, truth, identity", replace(log, correct=flipped), parts, settings)
    assert np.array_equal(blind.chosen, played.chosen)
    lied = log.correct.copy()
    lied[:, parts.learn] = ~lied[:, parts.learn]
    voted = [
        replay.play_routed("routed, agreement", replace(log, correct=c), parts, RouterSettings()).chosen
        for c in (log.correct, lied)
    ]
    assert np.array_equal(*voted)  # agreement never looks at the truth


def test_replay_baselines() -> None:
    log, parts = toy_log(), replay.split(120, np.random.default_rng(1))
    got = {n: replay.play_baseline(n, log, parts, np.random.default_rng(2)) for n in replay.BASELINES}
    assert got["oracle"].correct.mean() >= max(p.correct.mean() for p in got.values())
    assert got["vote of all"].calls == 3
    assert got["strongest in hindsight"].correct.tolist() == log.correct[0, parts.test].tolist()
    assert np.bincount(got["round robin"].chosen).tolist() == [8, 8, 8]
    votes = [max(dict.fromkeys(a), key=a.count) == "1" for a in ([row[p] for row in log.answers] for p in parts.test)]
    assert got["vote of all"].correct.tolist() == votes
    with pytest.raises(InputError):
        replay.split(10, np.random.default_rng(0), (0.5, 0.5))


def test_difficulty_bin_counts_numbers_of_the_question() -> None:
    assert replay.difficulty_bin(Question("a", "3 apples and 4 pears")) == "easy"
    assert replay.difficulty_bin(Question("b", "1 2 3 4")) == "hard"
