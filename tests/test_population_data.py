"""Data of populations: streams, census-like tables, networks by rule and from files; good input and bad."""

from __future__ import annotations

from pathlib import Path

import networkx as nx
import numpy as np
import polars as pl
import pytest

from shoal.errors import InputError, UnknownName
from shoal.populations import Network, make_model
from shoal.populations.city import AGES, Shares, build_city
from shoal.populations.generators import grid, mobility, read_ties, regular, scale_free, small_world
from shoal.populations.streams import read_streams, streams
from shoal.populations.tables import read_tables


def graph(net: Network) -> nx.Graph:
    owners = np.repeat(np.arange(net.count), np.asarray(net.degrees))
    table = nx.Graph()
    table.add_nodes_from(range(net.count))
    table.add_edges_from(zip(owners.tolist(), np.asarray(net.neighbours).tolist(), strict=True))
    return table


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_streams_of_dates_are_cut_and_scaled(tmp_path: Path) -> None:
    rows = "\n".join(f"2021-02-{20 + k if k < 9 else k - 8:02d},{k},{-k}" for k in range(9))
    rows += "\n2021-03-01,9,-9\n2021-03-02,10,-10"
    path = written(tmp_path / "c.csv", f"date,cases,mobility\n{rows}\n")
    found = read_streams(path, "2021-02-22", "2021-03-01")
    assert (found.days[0], found.days[-1]) == ("2021-02-22", "2021-03-01")
    np.testing.assert_array_equal(found.series["cases"], np.arange(2.0, 10))
    np.testing.assert_array_equal(found.scaled({"cases": 3}).series["cases"], 3 * np.arange(2.0, 10))
    among = found.among(1000, 100)
    np.testing.assert_allclose(among.series["cases"], np.arange(2.0, 10) / 10)
    np.testing.assert_array_equal(among.series["mobility"], found.series["mobility"])  # a signal is no count
    assert read_streams(path).length == 11


DAYS = "\n".join(f"{k},{k}" for k in range(8))


@pytest.mark.parametrize(
    ("text", "window", "told"),
    [
        (f"day,cases\n{DAYS}\n8,", (), "cases, day 8"),
        (f"day,cases\n{DAYS}\n8,many", (), "many"),
        (f"day,cases\n{DAYS}\n8,nan", (), "day 8"),
        (f"day,cases\n{DAYS}\n8,-3", (), "0 or more"),
        (f"day,cases\n{DAYS}\n9,1", (), "row 10"),
        (f"day,cases\n{DAYS}\nx,1", (), "row 10"),
        (f"date,cases\n{DAYS}", (), "2021-03-31"),
        (f"when,cases\n{DAYS}", (), "header"),
        ("day\n1\n2", (), "header"),
        ("day,cases\n", (), "rows"),
        ("", (), "data"),
        (f"day,cases\n{DAYS}", (2, 12), "from 0 to 7"),
        (f"day,cases\n{DAYS}", (2, 5), "7 days or more"),
        (f"day,cases\n{DAYS}", (7, 0), "7 days or more"),
        ("day,cases\n0,1\n1,2", (), "7 days or more"),
        (f"day,cases\n{DAYS}\n8,1,2", (), "CSV"),
    ],
)
def test_bad_streams(text: str, window: tuple[int, ...], told: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=told):
        read_streams(written(tmp_path / "c.csv", text), *window)


def test_a_gap_outside_the_window_does_no_harm(tmp_path: Path) -> None:
    path = written(tmp_path / "c.csv", f"day,cases\n{DAYS}\n8,")
    assert read_streams(path, 0, 7).length == 8


def test_streams_know_their_names(tmp_path: Path) -> None:
    found = streams({"cases": np.ones(8)})
    with pytest.raises(UnknownName, match="case"):
        found.require_known(["infections"])
    with pytest.raises(UnknownName, match="deaths"):
        found.scaled({"deaths": 2.0})
    with pytest.raises(InputError, match="positive"):
        found.scaled({"cases": 0.0})
    with pytest.raises(InputError, match="people"):
        found.among(0, 10)
    with pytest.raises(InputError, match="CSV"):
        read_streams(tmp_path / "none.csv")
    with pytest.raises(InputError, match="at least one"):
        streams({})


def census(folder: Path) -> Path:
    shares = [0.2, *[0.1] * 8]
    pl.DataFrame({"age": AGES, "share": shares}).write_csv(folder / "age.csv")
    pl.DataFrame({"area": ["north", "south"], "people": [3000, 1000]}).write_parquet(folder / "area.parquet")
    written(folder / "household.csv", "household,households\n1,10\n4,30\n")
    written(folder / "sex.csv", "sex,share\nfemale,0.6\nmale,0.4\n")
    return folder


def test_tables_replace_the_citys_shares(tmp_path: Path) -> None:
    shares = read_tables(census(tmp_path), {"local": 1.0, "others": 4.0})
    assert shares.households == (0.25, 0.0, 0.0, 0.75)
    assert (shares.areas, shares.area_names) == ((0.75, 0.25), ("north", "south"))
    city = build_city(20_000, 0, shares)
    np.testing.assert_allclose(np.bincount(city.age) / 20_000, shares.ages, atol=0.015)
    np.testing.assert_allclose(np.bincount(city.sex) / 20_000, shares.sexes, atol=0.015)
    np.testing.assert_allclose(np.bincount(city.area) / 20_000, shares.areas, atol=0.015)
    for net in (city.home, city.street):  # housemates share an area; with local = 1 so do all others
        owners = np.repeat(np.arange(20_000), np.asarray(net.degrees))
        assert (city.area[owners] == city.area[np.asarray(net.neighbours)]).all()
    # Without tables nothing changes: the same seed gives the same ties as before areas were known.
    plain, again = build_city(2000, 3), build_city(2000, 3, Shares(areas=(0.5, 0.5), area_names=("a", "b")))
    np.testing.assert_array_equal(plain.street.neighbours, again.street.neighbours)


def test_an_epidemic_lives_in_the_users_city(tmp_path: Path) -> None:
    model = make_model("epidemic", agents=4000, tables=census(tmp_path))
    state = model.population(0)
    assert float((np.asarray(state.area) == 1).mean()) == pytest.approx(0.25, abs=0.01)
    assert float((np.asarray(state.age) == 0).mean()) == pytest.approx(0.2, abs=0.02)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("sex.csv", "sex,share\nfemale,0.6\nmale,0.6\n", "sum to 1"),
        ("sex.csv", "sex,share,colour\nfemale,0.6,1\n", "colour"),
        ("sex.csv", "sex,share\nfemale,1.5\nmale,-0.5\n", "share of male"),
        ("sex.csv", "sex,share\nfemale,\nmale,1\n", "share of female"),
        ("sex.csv", "sex,share\nmale,0.5\nmale,0.5\n", "once"),
        ("sex.csv", "share\n1\n", "Name one sex"),
        ("sex.csv", "sex\nmale\n", "either share or people"),
        ("sex.csv", "sex,people\nmale,0\n", "at least one"),
        ("age.csv", "age,share\n0-9,1\n", "10-19"),
        ("age.csv", "age,share\n0-8,1\n", "0-9"),
        ("household.csv", "household,share\nlarge,1\n", "whole numbers"),
        ("colour.csv", "colour,share\nred,1\n", "colour"),
        ("sex.parquet", "no parquet", "readable"),
    ],
)
def test_bad_tables(name: str, text: str, told: str, tmp_path: Path) -> None:
    written(tmp_path / name, text)
    with pytest.raises(InputError, match=told):
        read_tables(tmp_path)


def test_folders_without_tables(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="folder"):
        read_tables(tmp_path / "none")
    with pytest.raises(InputError, match="Put some"):
        read_tables(tmp_path)
    for name in ("sex.csv", "sex.parquet"):
        written(tmp_path / name, "sex,share\nmale,1\n")
    with pytest.raises(InputError, match="Keep one"):
        read_tables(tmp_path)


def test_a_small_world_before_and_after_rewiring() -> None:
    """Against networkx for no rewiring, and against the limits that Watts and Strogatz give."""
    ring = graph(small_world(200, 6, 0.0, 0))
    assert nx.utils.graphs_equal(ring, nx.watts_strogatz_graph(200, 6, 0.0))
    assert nx.average_clustering(ring) == pytest.approx(3 * (6 - 2) / (4 * (6 - 1)))
    some, wild = (graph(small_world(1000, 10, p, 1)) for p in (0.1, 1.0))
    lattice = graph(small_world(1000, 10, 0.0, 1))
    assert nx.average_clustering(some) > 0.65 * nx.average_clustering(lattice)
    assert nx.average_shortest_path_length(some) < 0.2 * nx.average_shortest_path_length(lattice)
    assert nx.average_clustering(wild) < 0.05


def test_a_scale_free_network_has_the_tail_that_theory_gives() -> None:
    """The share of degree k is 2 m (m + 1) / (k (k + 1) (k + 2)) for large networks."""
    m = 3
    net = scale_free(60_000, m, 0)
    degrees = np.asarray(net.degrees)
    assert degrees.mean() == pytest.approx(2 * m, rel=0.02)
    for k in (3, 4, 6, 10):
        assert (degrees == k).mean() == pytest.approx(2 * m * (m + 1) / (k * (k + 1) * (k + 2)), rel=0.12)
    slope = np.log((degrees >= 20).mean() / (degrees >= 80).mean()) / np.log(80 / 20)
    assert slope == pytest.approx(2.0, abs=0.25)
    assert nx.is_connected(graph(scale_free(500, 1, 2)))


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("corners", [False, True])
def test_grids(wrap: bool, corners: bool) -> None:
    net = graph(grid(5, 4, corners, wrap))
    expected = nx.grid_2d_graph(5, 4, periodic=wrap)
    if corners:
        for r, c in list(expected):
            for down, right in ((1, 1), (1, -1)):
                other = ((r + down) % 5, (c + right) % 4) if wrap else (r + down, c + right)
                if other in expected:
                    expected.add_edge((r, c), other)
    names = {(r, c): 4 * r + c for r, c in expected}
    assert set(map(frozenset, net.edges)) == {frozenset((names[a], names[b])) for a, b in expected.edges}


def test_regular_networks() -> None:
    for degree in (0, 1, 4, 7):
        degrees = np.asarray(regular(5000, degree, 1).degrees)
        assert degrees.max(initial=0) == degree
        assert (degrees < degree).sum() <= 4 * degree**2
    assert not np.array_equal(regular(100, 4, 1).neighbours, regular(100, 4, 2).neighbours)


def test_mobility_keeps_its_degree_and_its_areas() -> None:
    areas = np.repeat([0, 1, 2], [600, 300, 100])
    net = mobility(1000, 8.0, 0, areas, local=0.75)
    owners = np.repeat(np.arange(1000), np.asarray(net.degrees))
    same = (areas[owners] == areas[np.asarray(net.neighbours)]).mean()
    # Of the quarter that goes anywhere, 0.6^2 + 0.3^2 + 0.1^2 stay by chance.
    assert same == pytest.approx(0.75 + 0.25 * 0.46, abs=0.04)
    assert np.asarray(net.degrees).mean() == pytest.approx(8.0, rel=0.05)
    assert np.asarray(mobility(50, 0.0, 0).degrees).sum() == 0


def test_ties_of_a_file(tmp_path: Path) -> None:
    path = written(tmp_path / "ties.csv", "first,second\n0,1\n1, 2\n2,2\n1,0\n")
    net = read_ties(path, 4)
    assert np.asarray(net.degrees).tolist() == [1, 2, 1, 0]
    for text, told in (
        ("first,second\n0,4\n", "from 0 to 3"),
        ("first,second\n0,1\n-1,1\n", "row 3"),
        ("first,second\n0,x\n", "x"),
        ("first,second\n0,\n", "second, row 2"),
        ("a,b\n0,1\n", "first and second"),
    ):
        with pytest.raises(InputError, match=told):
            read_ties(written(path, text), 4)
    with pytest.raises(InputError, match="CSV"):
        read_ties(tmp_path / "none.csv", 4)


def test_bad_networks() -> None:
    for build, told in (
        (lambda: small_world(10, 3, 0.1, 0), "even"),
        (lambda: small_world(10, 10, 0.1, 0), "0 to 9"),
        (lambda: small_world(10, 4, 1.5, 0), "probability"),
        (lambda: small_world(0, 0, 0.5, 0), "at least 1"),
        (lambda: scale_free(10, 0, 0), "at least 1"),
        (lambda: scale_free(3, 3, 0), "0 to 2"),
        (lambda: grid(0, 3), "rows"),
        (lambda: regular(5, 3, 0), "even"),
        (lambda: mobility(10, -1.0, 0), "0 to 9"),
        (lambda: mobility(10, float("nan"), 0), "0 to 9"),
        (lambda: mobility(10, 2.0, 0, np.zeros(10, int), local=2.0), "local"),
        (lambda: mobility(10, 2.0, 0, np.zeros(10), local=0.5), "areas"),
    ):
        with pytest.raises(InputError, match=told):
            build()
