"""Games from the command line: play, list and show."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

from command_line import Shoal
from shoal.games import GAMES
from shoal.games.seats import split_seats


def test_play_from_the_command_line(shoal: Shoal, tmp_path: Path) -> None:
    one = shoal.json("play", "prisoners-dilemma", "--seats", "tit-for-tat,defector", "--rounds", "10")
    assert [p["value"] for p in one["players"]] == [0.9, 1.4]
    seats = "tit-for-tat,defector,scripted:competence=1,correlation=0"
    table = shoal.json("play", "prisoners-dilemma", "--seats", seats, "--repeats", "2", "--out", tmp_path)
    assert {row["seat"] for row in table["ranking"]} == set(split_seats(seats))
    assert np.array(table["means"]).shape == (3, 3, 2)
    log = shoal.json("play", tmp_path)
    assert log["missing"] == []
    assert len(log["ranking"]["player"]) == 3
    hidden = shoal.json("play", "stag-hunt", "--seats", "nash,nash", "--disguise", "1")
    assert hidden["game"] == "disguised"
    tree = shoal.json("play", "ultimatum", "--seats", "nash,nash")
    assert [p["value"] for p in tree["players"]] == [10, 0]
    for words in (("prisoners-dilemma",), ("prisoners-dilemma", "--seats", "grim"), ("nothing", "--seats", "grim"),
                  ("trust", "--seats", "nash,nash", "--rounds", "3"),
                  ("prisoners-dilemma", "--seats", "grim,tut", "--noise", "0.1"),
                  ("prisoners-dilemma", "--seats", "grim,grim", "--noise", "1.5")):  # fmt: skip
        assert shoal("play", *words, "--json") == 2


def test_a_person_plays_from_the_command_line(shoal: Shoal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("1\n2\n"))
    found = shoal.json("play", "prisoners-dilemma", "--seats", "me,tit-for-tat", "--rounds", "2")
    assert found["players"][0]["value"] == 4.0
    assert found["players"][0]["evidence"] == "recorded"


def test_list_and_show_games(shoal: Shoal) -> None:
    assert {row["name"] for row in shoal.json("list", "games")} == set(GAMES.names())
    listed = shoal.json("list", "strategies")
    assert len([row for row in listed if row["kind"] == "strategy"]) >= 20
    found = shoal.json("show", "battle-of-the-sexes:high=4")
    assert found["solution"]["count"] == 3
    for name in ("kuhn-poker", "causal-dilemma", "donor", "minority"):
        assert shoal("show", name) == 0
    assert "-0.0555" in json.dumps(shoal.json("show", "kuhn-poker")["solution"]["payoffs"])
    for words in (["list", "games"], ["play", "hawk-dove", "--seats", "grim,coin,nash", "--repeats", "2"]):
        assert shoal(*words) == 0
