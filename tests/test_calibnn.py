"""CalibNN and what came with it: a second implementation, features, joint regions, the mean run's loss, prospects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np
import polars as pl
import pytest

from command_line import Shoal
from shoal.errors import InputError, UnknownName
from shoal.populations import simulate
from shoal.populations.calibnn import CalibNN, Network, calibnn, weekly_features
from shoal.populations.calibration import calibrate, search
from shoal.populations.identification import labels
from shoal.populations.objective import objective
from shoal.populations.parametrisation import Free
from shoal.populations.regions import Region, calibrate_jointly
from shoal.populations.rollout import run_keys
from shoal.populations.sensitivity import one_shot, sensitivity, slope_by_agent
from shoal.populations.streams import streams
from test_calibration import Ramp, Toggle

pytestmark = pytest.mark.usefixtures("quick_compilation")

MODEL = Toggle(agents=200)
DATA = np.repeat([160.0, 40.0, 100.0], 7)
RATE = {"rate": Free(0.01, 0.99, periods=3)}


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def gru(cell: Any, rows: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Gated recurrent units, written out (Cho et al. 2014, in the form of cuDNN)."""
    into, within, bias, new_bias = (np.asarray(x) for x in (cell.weight_ih, cell.weight_hh, cell.bias, cell.bias_n))
    state, states = start, []
    for row in rows:
        (a, b, c), (d, e, f) = np.split(into @ row + bias, 3), np.split(within @ state, 3)
        reset, update = sigmoid(a + d), sigmoid(b + e)
        new = np.tanh(c + reset * (f + new_bias))
        state = new + update * (state - new)
        states.append(state)
    return np.stack(states)


def linear(layer: Any, rows: np.ndarray) -> np.ndarray:
    return rows @ np.asarray(layer.weight).T + np.asarray(layer.bias)


def attend(queries: np.ndarray, keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    weights = np.exp(queries @ keys.T / np.sqrt(keys.shape[1]))
    return (weights / weights.sum(1, keepdims=True)) @ values


def by_hand(net: Network, rows: np.ndarray, region: np.ndarray, weeks: int, hidden: int) -> np.ndarray:
    nothing, encoder = np.zeros(hidden), net.encoder
    for layer in encoder.layers:
        rows = np.concatenate([gru(layer.onward, rows, nothing), gru(layer.back, rows[::-1], nothing)[::-1]], axis=1)
    rows = attend(*(linear(layer, rows) for layer in (encoder.query, encoder.key, encoder.value)))
    summary = np.tanh(linear(encoder.summary, np.concatenate([rows.mean(0), region])))
    states = gru(net.decoder, linear(net.index, np.linspace(0, 1, weeks)[:, None]), summary)
    out = np.concatenate([states, attend(states, rows, rows)], axis=1)
    for layer in net.head[:-1]:
        out = np.maximum(linear(layer, out), 0)
    return linear(net.head[-1], out)


def test_the_network_is_what_its_equations_say() -> None:
    net = Network(2, 3, 4, 5, jax.random.key(1))
    rng = np.random.default_rng(0)
    rows, region = rng.normal(size=(6, 2)), rng.normal(size=3)
    found = jax.jit(Network.__call__, static_argnums=3)(net, rows.astype(np.float32), region.astype(np.float32), 8)
    np.testing.assert_allclose(found, by_hand(net, rows, region, 8, 5), atol=1e-5)
    assert [layer.weight.shape[0] for layer in net.head] == [32, 16, 4]


def test_features_are_weekly_means_standardised() -> None:
    cases, mobility = np.arange(17.0), np.repeat([-1.0, 0.0, 1.0], [7, 7, 3])
    rows = weekly_features(streams({"cases": cases, "mobility": mobility, "deaths": np.full(17, 4.0)}))
    assert rows.shape == (3, 3)
    weeks = np.log1p([3.0, 10.0, 15.0])
    np.testing.assert_allclose(rows[:, 0], (weeks - weeks.mean()) / weeks.std())
    np.testing.assert_allclose(rows[:, 1], np.array([-1, 0, 1]) * 1.5**0.5)
    np.testing.assert_array_equal(rows[:, 2], 0.0)  # a stream that never moves says nothing


def test_values_lie_within_ranges_and_start_near_their_middle() -> None:
    ranges = {"rate": Free(0.1, 0.9, periods=3), "idle": Free(0.01, 1.0, log=True)}
    free = calibnn(MODEL, {"on": DATA}, ranges, hidden=8, region=(0.5,))
    first = free.values(free.start(jax.random.key(0)))
    assert first["rate"].shape == (3,)
    assert first["idle"].shape == ()
    np.testing.assert_allclose(first["rate"], 0.5, atol=0.1)
    np.testing.assert_allclose(first["idle"], 0.1, rtol=0.3)
    drawn = np.stack([free.values(free.draw(key))["rate"] for key in jax.random.split(jax.random.key(1), 20)])
    assert 0.1 <= drawn.min() < 0.3 < 0.7 < drawn.max() <= 0.9
    assert np.ptp(drawn, axis=1).max() > 1e-3
    assert free == calibnn(MODEL, {"on": DATA}, ranges, hidden=8, region=(0.5,))
    assert hash(free) != hash(calibnn(MODEL, {"on": DATA[::-1]}, ranges, hidden=8, region=(0.5,)))


def test_the_first_parameter_gets_the_weeks_of_the_data_and_some_more() -> None:
    free = calibnn(MODEL, {"on": DATA}, ["rate", "idle"], ahead=2)
    assert dict(free.ranges.free)["rate"].periods == 5
    assert dict(free.ranges.free)["idle"].periods == 0
    assert isinstance(calibnn(MODEL, streams({"on": DATA})), CalibNN)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"parameters": Ramp()}, "Ramp"),
        ({"ahead": -1}, "ahead"),
        ({"hidden": 0}, "hidden"),
        ({"region": (float("nan"),)}, "region"),
        ({"data": {"on": np.ones(3)}}, "at least 7"),
        ({"parameters": ["rat"]}, "rate"),
    ],
)
def test_bad_input(change: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError, match=text):
        calibnn(MODEL, **{"data": {"on": DATA}, **change})


@pytest.mark.slow
def test_planted_weeks_are_found_by_the_network() -> None:
    fit = calibrate(MODEL, {"on": DATA}, "calibnn", RATE, 80, fixed={"idle": 0.5})
    np.testing.assert_allclose(fit.values["rate"], [0.8, 0.2, 0.5], atol=0.15)
    assert fit.method == "calibnn"
    assert labels(fit) == ()
    assert fit.frame().columns[-3:] == ["rate[0]", "rate[1]", "rate[2]"]


def test_a_functions_slope_is_chained_on_behind_the_runs() -> None:
    """Along each weight of a line over the weeks, against the slope of plain numbers times the line's own."""
    keys, data = run_keys([0, 1]), {"on": DATA}
    at = np.array([0.3, -0.2], np.float32)
    _, slope = objective(MODEL, data, Ramp()).slope(at, keys)
    values = sigmoid(at[0] + at[1] * np.linspace(-1, 1, 3))
    plain = objective(MODEL, data, {"rate": Free(0.0, 1.0, periods=3)})
    _, along = plain.slope(np.log(values / (1 - values)), keys)
    np.testing.assert_allclose(slope, [along.sum(), along @ np.linspace(-1, 1, 3)], rtol=1e-3)


def test_the_loss_of_the_mean_run_has_no_price_for_luck() -> None:
    """200 draws at 0.3 against a constant 60: 0, where the mean over runs is the variance 42 / 60^2."""
    data, keys = {"on": np.full(10, 60.0)}, run_keys(range(100))
    at = np.log(np.array([(0.3 - 0.01) / (0.99 - 0.3)]))
    each, of_mean = (objective(MODEL, data, loss=loss) for loss in ("each", "mean"))
    assert each.loss(at, keys) == pytest.approx(42 / 3600, rel=0.1)
    assert of_mean.loss(at, keys) == pytest.approx(0.0, abs=1e-4)
    curves = of_mean.curves(of_mean.values(at), keys)
    bias = ((curves.mean(0) - 60) ** 2 - curves.var(0, ddof=1) / 100).mean() / 3600
    assert of_mean.loss(at, keys) == pytest.approx(bias, abs=1e-7)


def test_the_slope_of_the_mean_runs_loss_is_its_own() -> None:
    """The mean run's loss has the same slope as the squared distance of the mean, less that of the runs' variance."""
    keys, data, at = run_keys(range(40)), {"on": np.full(10, 60.0)}, [0.5]
    each, of_mean = (objective(MODEL, data, loss=loss) for loss in ("each", "mean"))
    p = float(each.values(at)["rate"])
    width = (p - 0.01) * (0.99 - p) / 0.98
    theory = [2 * (200 * p - 60) * 200 * width / 3600, 2 * (200 * p - 60) * 200 * width / 3600]
    found = [o.slope(at, keys)[1][0] for o in (each, of_mean)]
    np.testing.assert_allclose(found, theory, rtol=0.02)
    assert of_mean.slope(at, keys)[0] == pytest.approx(of_mean.loss(at, keys), rel=1e-5)
    with pytest.raises(InputError, match="at least 2"):
        search(of_mean, "random", 4, 1)
    with pytest.raises(InputError, match="loss"):
        objective(MODEL, data, loss="median")  # type: ignore[arg-type]


def test_regions_share_one_network() -> None:
    flat, steep = np.full(21, 60.0), np.repeat([150.0, 100.0, 50.0], 7)
    places = {name: Region(MODEL, {"on": x}) for name, x in (("flat", flat), ("steep", steep))}
    fits = calibrate_jointly(places, RATE, calls=80)
    np.testing.assert_array_equal(fits["flat"].weights, fits["steep"].weights)
    np.testing.assert_allclose(fits["flat"].values["rate"], 0.3, atol=0.15)
    np.testing.assert_allclose(fits["steep"].values["rate"], [0.75, 0.5, 0.25], atol=0.15)
    assert all(fit.simulate(seeds=2).steps == 21 for fit in fits.values())
    for wrong in ({}, {**places, "other": Region(MODEL, {"on": flat}, known=(1.0,))}):
        with pytest.raises(InputError, match="regions"):
            calibrate_jointly(wrong, RATE)


def test_a_prospect_continues_where_the_fit_ends() -> None:
    fit = calibrate(MODEL, {"on": np.full(14, 60.0)}, "random", calls=30)
    weekly = [0.9, 0.9, 0.1, 0.6]  # two weeks of data, then the third and the fourth
    ahead = fit.prospect(14, 6, rate=weekly)
    assert ahead.series["on"].shape == (6, 14)
    np.testing.assert_allclose(ahead.series["on"].mean(0), np.repeat([20.0, 120.0], 7), atol=15)
    np.testing.assert_array_equal(fit.prospect(5, 2).series["on"], fit.prospect(5, 2, idle=0.1).series["on"])
    with pytest.raises(UnknownName):
        fit.prospect(5, rats=0.1)


def test_one_pass_back_gives_slopes_along_parameters_and_agents() -> None:
    at = {"rate": 0.25}
    found = one_shot(MODEL, "on", 10, ("gain",), parameters=at, seed=1)
    total = simulate(MODEL, 10, [1], at).total("on").value
    assert found.value == total == found.agents["gain"].sum()
    assert found.parameters["rate"] == pytest.approx(2000.0)
    assert found.parameters["idle"] == 0.0
    np.testing.assert_array_equal(slope_by_agent(MODEL, "on", "gain", 10, parameters=at, seed=1), found.agents["gain"])
    forward = sensitivity(MODEL, "on", 10, parameters=["rate"], seeds=1, fixed=at).measures["slope"]
    assert forward[0, 0] == pytest.approx(float(found.parameters["rate"]), rel=1e-5)
    weekly = one_shot(MODEL, "on", 10, parameters={"rate": [0.25, 0.25]})
    np.testing.assert_allclose(weekly.parameters["rate"], [1400.0, 600.0])
    assert weekly.agents == {}
    for wrong in ({"outcome": "off"}, {"fields": ("gian",)}, {"fields": ("day",)}, {"steps": 0}):
        with pytest.raises(InputError):
            one_shot(MODEL, **{"outcome": "on", "steps": 5, **wrong})


@pytest.mark.slow
def test_calibnn_from_the_command_line(shoal: Shoal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pl.DataFrame({"day": np.arange(14), "cases": np.r_[np.arange(7.0), np.full(7, 9.0)]}).write_csv("cases.csv")
    arguments = ["calibrate", "contagion", "--data", "cases.csv", "--agents", "100", "--method", "calibnn"]
    arguments += ["--calls", "3", "--set", "network=grid", "--set", "degree=4", "--set", "homes=false"]
    document = shoal.json(*arguments)
    assert document["method"] == "calibnn"
    assert len(document["values"]["reproduction"]) == 2 + 4
    assert "intervals" not in document
    folder = Path(document["run"])
    assert (folder / "fit.png").exists()
    assert not (folder / "surface.png").exists()
