"""Populations in shares: exact sums, the open run to the bit, slopes, messages, overflow, leaks, noise, the command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from command_line import Shoal
from shoal.errors import InputError, UnknownName
from shoal.populations import Network, make_model, network, simulate
from shoal.populations.calibnn import calibnn
from shoal.populations.calibration import search
from shoal.populations.objective import objective
from shoal.populations.parametrisation import Free
from shoal.populations.private import GaussianNoise, MessageLog, private, simulate_privately
from shoal.populations.private.leaks import leak_test, side_by_side
from shoal.populations.private.messages import ANALYST, KINDS, MASKED, PARTIAL, REVEALED, SHARE
from shoal.populations.private.ring import LIMIT, SCALE, Words, decode, encode, require_room, split
from shoal.populations.private.simulation import run_privately
from shoal.populations.private.sums import PROTOCOLS, HelperServers, NeighbourShares, Sums, revealing
from shoal.populations.rollout import rollout, run_keys

pytestmark = pytest.mark.usefixtures("quick_compilation")

AT = {"initial": 0.08, "isolation": 0.1, "mortality": 0.2}
STAR = network(5, [0, 0, 0, 0], [1, 2, 3, 4])
FINITE = st.floats(-1e9, 1e9).map(lambda x: round(x * 2**20) / 2**20)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@given(st.lists(FINITE, min_size=1, max_size=20), st.integers(1, 6))
def test_shares_add_up_to_the_number_and_sums_to_the_sum(numbers: list[float], parts: int) -> None:
    words = encode(numbers)
    shares = split(words, parts, rng())
    assert shares.shape == (len(numbers), parts)
    np.testing.assert_array_equal(decode(shares.sum(axis=-1, dtype=np.uint64)), numbers)
    assert decode(shares.sum(dtype=np.uint64)[None])[0] == sum(int(x * SCALE) for x in numbers) / SCALE


def test_shares_but_one_are_uniform_whatever_the_number() -> None:
    for value in (0.0, 1.0, -3.5):
        shares = split(encode(np.full(20_000, value)), 3, rng(1))
        for k in range(3):
            counts = np.bincount((shares[:, k] >> np.uint64(60)).astype(int), minlength=16)
            assert ((counts - 1250) ** 2 / 1250).sum() < 37.7  # chi-square with 15 degrees of freedom, p = 0.001


@pytest.mark.parametrize("value", [float("nan"), float("inf"), LIMIT / SCALE, -1e30])
def test_numbers_that_do_not_fit_are_refused(value: float) -> None:
    with pytest.raises(InputError, match="number to share"):
        encode([1.0, value])


def test_sums_that_could_overflow_are_refused_before_anything_is_sent() -> None:
    require_room(1_000_000, 8_000_000.0)  # 2^20 x 8e12 is just below 2^63
    with pytest.raises(InputError, match="63 bits"):
        require_room(1_000_000, 9_000_000.0)
    sums = NeighbourShares(STAR, rng())
    with pytest.raises(InputError, match="largest number"):
        sums.heard(np.full(5, 3e12))
    with pytest.raises(InputError, match="largest number"):
        sums.total(np.full(5, 2e12))
    assert not sums.log.counts


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
def test_sums_over_neighbours_are_those_of_the_dense_matrix(protocol: str) -> None:
    first, second = rng(2).integers(0, 60, (2, 150))
    net = network(70, first, second)  # some of 70 have no neighbour
    dense = np.zeros((70, 70))
    dense[first, second] = dense[second, first] = 1.0
    np.fill_diagonal(dense, 0.0)
    sent = rng(3).integers(-(2**30), 2**30, 70) / SCALE
    sums = PROTOCOLS[protocol](net, rng(4))
    np.testing.assert_array_equal(sums.heard(sent), dense @ sent)
    assert sums.total(sent) == sent.sum()
    assert sums.total(np.zeros(70)) == 0.0


def test_messages_are_counted_by_formula_and_watched_ones_kept() -> None:
    """Of d neighbours each sends d - 1 shares to the others; d numbers go to the agent. Helpers take a share each."""
    pair = network(2, [0], [1])
    for net, shares, partial in ((STAR, 4 * 3 + 4 * 3, 4 + 4 * 4), (pair, 2 * 3, 2 * 4)):
        log = MessageLog(None)
        NeighbourShares(net, rng(), 3, log).heard(np.ones(net.count))
        assert (log.counts[SHARE], log.counts[PARTIAL]) == (shares, partial)
        assert log.bytes == 8 * (shares + partial)
        frame = log.frame()
        assert frame.height == shares + partial
        assert set(frame["kind"]) <= set(KINDS)
        assert (frame["sender"] != frame["receiver"]).all()
        heard = frame.filter(pl.col("kind") == PARTIAL).group_by("receiver").agg(pl.col("word"))
        for receiver, words in heard.iter_rows():
            total = np.asarray(words, np.uint64).sum(dtype=np.uint64)
            assert decode(np.atleast_1d(total))[0] == int(net.degrees[receiver])
    log = MessageLog([3])
    NeighbourShares(STAR, rng(), 3, log).heard(np.ones(5))
    assert set(log.frame()["receiver"]) == {3}
    assert log.view(3).size == log.frame().height
    assert log.view(3, PARTIAL).size == 4  # one from its only neighbour, three from helpers
    assert MessageLog().frame().height == 0


def test_totals_pass_servers_that_each_see_one_share() -> None:
    log = MessageLog([-1, ANALYST])
    HelperServers(STAR, rng(), 2, log).total(np.arange(5.0))
    assert dict(log.counts) == {SHARE: 10, MASKED: 2, REVEALED: 1}
    assert log.view(-1).size == 5
    assert decode(log.view(ANALYST).sum(keepdims=True, dtype=np.uint64))[0] == 10.0


@pytest.mark.parametrize(("kind", "least"), [("shares", 3), ("servers", 2)])
def test_too_few_helpers_are_refused(kind: str, least: int) -> None:
    with pytest.raises(InputError, match=f"at least {least}"):
        PROTOCOLS[kind](STAR, rng(), least - 1)


def test_sums_of_none_or_all_give_neighbours_away() -> None:
    path = network(6, [0, 1, 2], [1, 2, 3])  # 4 and 5 have nobody
    assert revealing(path, np.array([1.0, 0, 1, 0, 1, 1])).tolist() == [True, True, True, True, False, False]
    assert revealing(path, np.array([1.0, 0, 0, 0, 1, 1])).tolist() == [True, False, True, True, False, False]


@pytest.fixture(scope="module")
def town() -> tuple[Any, Any]:
    model = make_model("contagion", agents=144, network="grid", degree=4, homes=False, variation=0.7)
    return model, model.population(0)


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
def test_a_private_run_is_the_open_one_to_the_bit(town: tuple[Any, Any], protocol: str) -> None:
    model, population = town
    plain = simulate(model, 12, 2, AT, population=population)
    hidden = simulate_privately(
        model, 12, 2, AT, protocol=protocol, population=population, figures=tuple(plain.series)
    )  # fmt: skip
    assert plain.series["infections"].sum() > 20
    for name, x in plain.series.items():
        np.testing.assert_array_equal(hidden.series[name], x)
    assert 0 < hidden.revealing < 1
    key, values = run_keys([0])[0], model.check(AT)
    state, _ = rollout(model, 12, key, population, values)
    run = run_privately(model, 12, key, population, values, PROTOCOLS[protocol](population.ties, rng()), ["deaths"])
    for field in ("susceptible", "exposed", "infectious", "dead"):
        np.testing.assert_array_equal(getattr(run.state, field), getattr(state, field))


def test_other_shares_change_the_messages_and_nothing_else(town: tuple[Any, Any]) -> None:
    model, population = town
    key, values = run_keys([3])[0], model.check(AT)
    logs = [MessageLog([0]), MessageLog([0])]
    runs = [
        run_privately(
            model, 5, key, population, values, NeighbourShares(population.ties, rng(k), 3, log), ["infections"]
        )
        for k, log in enumerate(logs)
    ]
    np.testing.assert_array_equal(runs[0].series["infections"], runs[1].series["infections"])
    assert (logs[0].view(0, SHARE) != logs[1].view(0, SHARE)).all()


def test_private_slopes_and_fits_are_the_open_ones(town: tuple[Any, Any]) -> None:
    model, population = town
    cases = simulate(model, 14, [5], AT, population=population).series
    data = {"cases": cases["infections"][0], "deaths": cases["deaths"][0]}
    ranges = {"reproduction": Free(0.5, 6.0, periods=2), "initial": (1e-3, 0.2), "mortality": (0.01, 0.5)}
    problem = objective(model, data, ranges, fixed={"isolation": 0.1}, population=population)
    hidden, keys = private(problem, "servers"), run_keys([1, 2])
    (loss, slope), (private_loss, private_slope) = (o.slope(np.zeros(4), keys) for o in (problem, hidden))
    assert private_loss == pytest.approx(loss, rel=1e-6)
    np.testing.assert_allclose(private_slope, slope, rtol=1e-4)
    np.testing.assert_array_equal(hidden.losses(np.zeros(4), keys), problem.losses(np.zeros(4), keys))
    fits = [search(o, "gradient", 6) for o in (problem, hidden)]
    np.testing.assert_allclose(fits[1].weights, fits[0].weights, atol=1e-4)


@pytest.mark.slow
def test_the_server_chains_a_network_and_the_mean_runs_loss_on_behind(town: tuple[Any, Any]) -> None:
    model, population = town
    cases, keys = simulate(model, 14, [5], AT, population=population).series, run_keys([1, 2])
    data = {"cases": cases["infections"][0], "deaths": cases["deaths"][0]}
    ranges = {"reproduction": Free(0.5, 6.0, periods=2), "initial": (1e-3, 0.2), "mortality": (0.01, 0.5)}
    free = calibnn(model, data, ranges, hidden=4)
    problem = objective(model, data, free, fixed={"isolation": 0.1}, population=population, loss="mean", mode="forward")
    flat = problem.flat(free.start(keys[0]))
    (loss, slope), (private_loss, private_slope) = (o.slope(flat, keys) for o in (problem, private(problem)))
    assert private_loss == pytest.approx(loss, rel=1e-5)
    np.testing.assert_allclose(private_slope, slope, rtol=1e-3, atol=1e-4)


class Clear(NeighbourShares):
    """No shares: the first adder gets the number itself, the others 0."""

    def _split(self, words: Words, parts: int) -> Words:
        shares = np.zeros((*words.shape, parts), np.uint64)
        shares[..., 0] = words
        return shares


def worlds(party: int) -> tuple[Network, list[float], list[float]]:
    """Two of the four around 0 are infectious; which of 2 and 3 it is differs."""
    return network(5, [0, 0, 0, 0, 1, 3], [1, 2, 3, 4, 2, 4]) if party == 0 else STAR, [1, 1, 1, 0, 0], [1, 1, 0, 1, 0]


@pytest.mark.parametrize("kind", [NeighbourShares, HelperServers])
@pytest.mark.parametrize("party", [0, 1, 4, -1])
def test_no_view_tells_two_assignments_apart(kind: type[Sums], party: int) -> None:
    found = leak_test(*worlds(party), party, kind, repeats=1500)
    assert found.p > 0.01
    assert found.tests >= 18


@pytest.mark.parametrize("party", [0, 1])
def test_the_same_test_finds_numbers_sent_in_the_clear(party: int) -> None:
    found = leak_test(*worlds(party), party, Clear, repeats=300)
    assert found.p < 1e-6


def test_worlds_that_a_party_may_tell_apart_are_no_test() -> None:
    for party in (2, 3):
        with pytest.raises(InputError, match="same"):
            leak_test(*worlds(party), party, NeighbourShares)
    twice = side_by_side(STAR, 2)
    assert twice.count == 10
    np.testing.assert_array_equal(twice.degrees, np.tile(STAR.degrees, 2))


def test_noise_has_the_deviation_of_the_gaussian_mechanism() -> None:
    noise = GaussianNoise(0.5, 1e-5)
    assert noise.deviation == pytest.approx(9.6896, abs=1e-3)
    sums = HelperServers(STAR, rng(), noise=noise)
    found = np.array([sums.total(np.ones(5)) for _ in range(2000)])
    assert found.mean() == pytest.approx(5.0, abs=4 * noise.deviation / 2000**0.5)
    assert found.std() == pytest.approx(noise.deviation, rel=0.08)
    for wrong in ((0.0, 0.1), (0.5, 1.0), (0.5, 0.0)):
        with pytest.raises(InputError, match="epsilon"):
            GaussianNoise(*wrong)


def test_bad_requests(town: tuple[Any, Any]) -> None:
    model, population = town
    with pytest.raises(InputError, match="contagion"):
        simulate_privately(make_model("kuramoto", agents=4), 3)
    for wrong in ({"steps": 0}, {"steps": 2, "seeds": ()}, {"steps": 2, "servers": 1}):
        with pytest.raises(InputError):
            simulate_privately(model, population=population, **wrong)
    with pytest.raises(UnknownName, match="shares"):
        simulate_privately(model, 2, protocol="share", population=population)
    with pytest.raises(UnknownName, match="deaths"):
        simulate_privately(model, 2, figures=["death"], population=population)


def test_private_from_the_command_line(shoal: Shoal) -> None:
    arguments = ["private", "--agents", "100", "--steps", "4", "--set", "network=grid", "--set", "degree=4"]
    arguments += ["--set", "homes=false", "--set", "initial=0.2", "--watch", "3", "--watch", "-1"]
    document = shoal.json(*arguments)
    assert document["largest_difference"] == {"deaths": 0.0, "infections": 0.0}
    kept = pl.read_parquet(Path(document["run"]) / "messages.parquet")
    assert set(kept["receiver"]) == {3, -1}
    assert shoal(*arguments, "--protocol", "servers", "--epsilon", "0.5") == 0
    assert "Messages" in shoal.out
    for wrong in (["--watch", "100"], ["--epsilon", "2"], ["--protocol", "shamir"], ["--servers", "1"]):
        assert shoal(*arguments, *wrong) == 2, wrong
        assert 1 <= len(shoal.err.strip().splitlines()) <= 2
