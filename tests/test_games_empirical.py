"""Games estimated from play: cross-play tables with intervals, and logs of matches."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from payoff_tables import PD
from shoal.errors import InputError
from shoal.games import as_played, cross_play, empirical_game, make_game, open_seat, play
from shoal.games.solvers import all_equilibria
from shoal.games.tournament import expected_payoffs
from shoal.traces import TraceWriter, read_trace


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
