"""Calibration: planted parameters, slopes against finite differences, equal calls, intervals, sensitivity, commands."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest
from jaxtyping import Array, Float

from command_line import Shoal
from shoal.errors import InputError, UnknownName
from shoal.populations import Parameter, PopulationModel, PopulationSettings, Substep, make_model, simulate
from shoal.populations.calibration import METHODS, calibrate, search
from shoal.populations.identification import intervals, loss_surface
from shoal.populations.noise import uniform
from shoal.populations.objective import objective
from shoal.populations.parametrisation import Free, FreeParameters, parametrisation
from shoal.populations.rollout import advance, rollout, run_keys
from shoal.populations.sampling import Estimator, draw
from shoal.populations.sensitivity import sensitivity, slope_by_agent
from shoal.runs.seeds import derive

TRUE = {"reproduction": 3.0, "initial": 0.02}
POINTS = ("gradient", "cma-es", "random")  # searches for one best point; posteriors are tested by themselves
EXAMPLES = Path(__file__).parents[1] / "examples"
SPARSE = {"workplace": 0.0, "school": 0.0, "others": 3.0}  # few ties: quick to compile
RANGES = {"reproduction": (0.5, 8.0), "initial": (5e-3, 0.2)}


class Switches(eqx.Module):
    on: Float[Array, " agents"]
    gain: Float[Array, " agents"]
    day: Array


class Switch(Substep[Switches]):
    estimator: Estimator = eqx.field(static=True)

    def decide(self, key: Any, observation: Switches, parameters: dict[str, Array]) -> Array:
        rate = parameters["rate"]
        now = rate if rate.ndim == 0 else rate[jnp.minimum(observation.day // 7, rate.shape[0] - 1)]
        noise = uniform(key, observation.on.shape[0])
        return draw(jnp.broadcast_to(now, noise.shape), noise, self.estimator)

    def transition(self, key: Any, state: Switches, decision: Array, parameters: dict[str, Array]) -> dict[str, Array]:
        return {"on": decision * state.gain, "day": state.day + 1}


class SwitchSettings(PopulationSettings):
    estimator: Estimator = "straight"


class Toggle(PopulationModel[SwitchSettings, Switches]):
    """Everybody is on with the probability ``rate``, each day anew: a binomial number. ``idle`` does nothing."""

    name = "toggle"
    schema = SwitchSettings
    flows = frozenset({"on"})
    streams: ClassVar = {"lights": "on"}
    parameters: ClassVar = {
        "rate": Parameter(0.5, 0.0, 1.0, "probability", fit=(0.01, 0.99)),
        "idle": Parameter(0.5, 0.0, 1.0, "nothing"),
    }

    def population(self, seed: int) -> Switches:
        return Switches(jnp.zeros(self.settings.agents), jnp.ones(self.settings.agents), jnp.zeros((), jnp.int32))

    def begin(self, key: Any, population: Switches, parameters: dict[str, Array]) -> Switches:
        return population

    def substeps(self) -> tuple[Substep[Switches], ...]:
        return (Switch(self.settings.estimator),)

    def report(self, before: Switches, after: Switches) -> dict[str, Array]:
        return {"on": after.on.sum()}

    @property
    def bytes_per_agent(self) -> float:
        return 64.0


@pytest.fixture(scope="module")
def town() -> tuple[Any, Any, np.ndarray]:
    model = make_model("epidemic", agents=800, **SPARSE)
    population = model.population(derive(0, "population") % 2**32)  # as commands make it
    return model, population, simulate(model, 28, [77], TRUE, population=population).series["infections"][0]


@pytest.fixture(scope="module")
def fits(town: tuple[Any, Any, np.ndarray]) -> dict[str, Any]:
    model, population, cases = town
    problem = objective(model, {"cases": cases}, RANGES, population=population)
    return {method: search(problem, method, 60, 2) for method in POINTS}


@pytest.mark.parametrize("method", POINTS)
def test_planted_parameters_of_a_town_are_found(fits: dict[str, Any], method: str) -> None:
    fit = fits[method]
    problem = fit.objective
    planted, start = (
        problem.distance(problem.curves(at, run_keys(range(16)))).mean() for at in (TRUE, problem.values([0.0, 0.0]))
    )
    assert fit.loss.value < 0.5 * start
    assert fit.loss.value < 2 * planted
    if method != "random":
        assert 2.0 < fit.values["reproduction"] < 4.5
        assert 0.01 < fit.values["initial"] < 0.04


def test_all_methods_make_the_same_calls_and_share_their_judges(fits: dict[str, Any]) -> None:
    assert {(fit.calls, fit.judging, fit.trace.size, len(fit.tried)) for fit in fits.values()} == {(60, 40, 30, 30)}
    frame = fits["random"].frame()
    assert frame["calls"].to_list() == list(range(2, 61, 2))
    assert (frame["best"].diff().drop_nulls() <= 0).all()
    assert frame["reproduction"].is_between(0.5, 8.0).all()


@pytest.mark.slow
def test_calls_are_counted_where_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = objective(Toggle(agents=200), {"lights": np.full(10, 20.0)})
    made: list[int] = []
    kind = type(problem)

    def counted(original: Any) -> Any:
        def call(self: Any, at: Any, keys: Any) -> Any:
            made.append(keys.size)
            return original(self, at, keys)

        return call

    for name in ("curves", "slope"):
        monkeypatch.setattr(kind, name, counted(getattr(kind, name)))
    for method in METHODS:
        made.clear()
        fit = search(problem, method, 81, 2)
        assert sum(made) == fit.calls + fit.judging
        assert fit.calls == 80


def test_the_same_root_gives_the_same_fit() -> None:
    a, b, c = (calibrate(Toggle(agents=200), {"on": np.full(10, 20.0)}, calls=10, root=r) for r in (1, 1, 2))
    np.testing.assert_array_equal(a.trace, b.trace)
    assert (a.trace != c.trace).any()


def test_slopes_agree_with_finite_differences_of_the_mean_loss() -> None:
    """The mean slope over 256 keys has the sign of the central difference and a ratio within 0.5 to 2."""
    model, keys = Toggle(agents=200), jax.random.split(jax.random.key(5), 256)
    problem = objective(model, {"on": np.array([60.0, 62, 58, 61, 60, 59, 63, 57, 60, 61])})
    for at in (-2.0, 1.0):
        _, slope = problem.slope([at], keys)
        difference = (problem.loss([at + 0.1], keys) - problem.loss([at - 0.1], keys)) / 0.2
        assert 0.5 < slope[0] / difference < 2


def test_the_towns_slope_agrees_with_a_finite_difference(town: tuple[Any, Any, np.ndarray]) -> None:
    model, population, cases = town
    problem = objective(model, {"cases": cases}, RANGES, population=population)
    keys = jax.random.split(jax.random.key(6), 256)
    start = np.array([0.5, 0.0])
    _, slope = problem.slope(start, keys)
    step = np.array([0.3, 0.0])
    difference = (problem.loss(start + step, keys) - problem.loss(start - step, keys)) / 0.6
    assert 0.5 < slope[0] / difference < 2


def test_without_a_surrogate_the_slope_is_0_and_nothing_moves() -> None:
    problem = objective(Toggle(agents=100, estimator="none"), {"on": np.full(10, 20.0)})
    assert problem.slope([0.7], run_keys(range(4)))[1].tolist() == [0.0]
    fit = search(problem, "gradient", 20)
    assert (fit.tried == fit.tried[0]).all()
    assert fit.values["rate"] == pytest.approx(0.5)


def test_forward_and_reverse_slopes_are_the_same() -> None:
    model, keys = Toggle(agents=200), run_keys(range(3))
    problems = [objective(model, {"on": np.arange(10)}, mode=mode) for mode in ("forward", "reverse")]
    (a, slope_a), (b, slope_b) = (p.slope([0.3], keys) for p in problems)
    assert a == pytest.approx(b)
    np.testing.assert_allclose(slope_a, slope_b, rtol=1e-4)
    assert objective(model, {"on": np.arange(9)}).mode == "forward"
    assert objective(model, {"on": np.arange(9)}, {"rate": Free(0.1, 0.9, periods=5)}).mode == "reverse"


def test_a_run_in_parts_is_the_run() -> None:
    model = Toggle(agents=200)
    values, key = model.check({}), jax.random.key(1)
    _, plain = rollout(model, 12, key, model.population(0), values)
    end, table = rollout(model, 12, key, model.population(0), values, rematerialise=True)
    assert int(end.day) == 12
    np.testing.assert_array_equal(table["on"], plain["on"])
    later, _ = advance(model, 3, key, end, values)
    assert int(later.day) == 15


def test_a_value_for_each_week_is_fitted() -> None:
    data = np.repeat([160.0, 40.0, 100.0], 7)
    fit = calibrate(Toggle(agents=200), {"on": data}, "gradient", {"rate": Free(0.01, 0.99, periods=3)}, 150)
    np.testing.assert_allclose(fit.values["rate"], [0.8, 0.2, 0.5], atol=0.1)
    assert fit.frame().columns[-3:] == ["rate[0]", "rate[1]", "rate[2]"]


class Ramp:
    """A function in place of free numbers: a straight line over the weeks from a slope and a height."""

    names = ("rate",)

    def start(self, key: Any) -> dict[str, Array]:
        return {"height": jnp.zeros(()), "tilt": jnp.zeros(())}

    def draw(self, key: Any) -> dict[str, Array]:
        a, b = jax.random.normal(key, (2,))
        return {"height": a, "tilt": b}

    def values(self, weights: dict[str, Array]) -> dict[str, Array]:
        return {"rate": jax.nn.sigmoid(weights["height"] + weights["tilt"] * jnp.linspace(-1, 1, 3))}


@pytest.mark.parametrize("method", list(METHODS))
def test_a_function_takes_the_place_of_numbers(method: str) -> None:
    data = np.repeat([20.0, 100.0, 180.0], 7)
    fit = calibrate(Toggle(agents=200), {"on": data}, method, Ramp(), 120)
    assert fit.values["rate"].shape == (3,)
    assert fit.values["rate"][2] > fit.values["rate"][0]
    with pytest.raises(InputError, match="Ramp"):
        intervals(fit)


def test_a_binomial_rate_has_the_interval_that_theory_gives() -> None:
    """10 days of 200 draws pin a rate of 0.3 down to +- 1.96 sqrt(0.3 x 0.7 / 2000) = 0.0201."""
    model = Toggle(agents=200)
    data = simulate(model, 10, [9], {"rate": 0.3}).series["on"][0]
    fit = calibrate(model, {"on": data}, calls=80, seeds=2)
    (found,) = intervals(fit, replicates=64)
    assert found.low <= 0.3 <= found.high
    assert 0.02 < found.high - found.low < 0.08
    assert not found.poor


def test_what_the_data_cannot_tell_is_flagged() -> None:
    model = Toggle(agents=200)
    fit = calibrate(model, {"on": np.full(10, 30.0)}, "random", {"rate": (0.1, 0.9), "idle": (0.0, 1.0)}, 30)
    found = {i.name: i for i in intervals(fit, waves=2, replicates=32)}
    assert found["idle"].poor
    assert "covers" in found["idle"].note
    assert not found["rate"].poor
    surface = loss_surface(fit, "rate", "idle", size=4, seeds=1)
    assert np.ptp(surface.loss, axis=1).max() == 0  # the same keys, and idle does nothing
    assert surface.loss.mean(1).argmin() == 0


def test_log_ranges_and_weights() -> None:
    free = FreeParameters((("a", Free(0.01, 1.0, log=True)), ("b", Free(-1.0, 3.0, periods=2))))
    assert free.labels == ("a", "b[0]", "b[1]")
    middle = free.values(free.start(jax.random.key(0)))
    assert float(middle["a"]) == pytest.approx(0.1)
    np.testing.assert_allclose(middle["b"], [1.0, 1.0])
    given = {"a": 0.03, "b": [-0.5, 2.0]}
    back = free.values(free.weights(given))
    np.testing.assert_allclose(back["a"], 0.03, rtol=1e-5)
    np.testing.assert_allclose(back["b"], [-0.5, 2.0], rtol=1e-5)
    drawn = jax.vmap(lambda k: free.values(free.draw(k))["a"])(jax.random.split(jax.random.key(1), 4000))
    assert float((drawn < 0.1).mean()) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"parameters": {"rate": (0.9, 0.1)}}, "bounds rate"),
        ({"parameters": {"rate": (0.5, float("nan"))}}, "bounds rate"),
        ({"parameters": {"rate": (0.0, 1.5)}}, "Stay within"),
        ({"parameters": {"rate": 3}}, "lowest and a highest"),
        ({"parameters": {"rate": Free(0.0, 1.0, log=True)}}, "above 0"),
        ({"parameters": {"rat": (0.1, 0.2)}}, "rate"),
        ({"parameters": []}, "Name some"),
        ({"method": "gradiant"}, "gradient"),
        ({"calls": 1, "seeds": 2}, "calls"),
        ({"seeds": 0}, "seeds"),
        ({"fixed": {"rate": 0.2}}, "Either"),
        ({"fixed": {"idle": 2.0}}, "idle"),
        ({"weights": {"of": 1.0}}, "weight of stream"),
        ({"weights": {"on": -1.0}}, "weight on"),
        ({"mode": "sideways"}, "mode"),
        ({"data": {"off": np.ones(10)}}, "column"),
        ({"data": {"on": np.ones(3)}}, "at least 7"),
        ({"data": {"on": [1.0, 2, 3, float("nan"), 5, 6, 7]}}, "day 3"),
        ({"data": {"on": np.ones(10), "lights": np.ones(9)}}, "same number"),
        ({"data": {"mobility": np.ones(10)}}, "Give one of"),
    ],
)
def test_bad_input(change: dict[str, Any], text: str) -> None:
    arguments: dict[str, Any] = {"data": {"on": np.ones(10)}, "calls": 4, **change}
    with pytest.raises(InputError, match=text):
        calibrate(Toggle(agents=10), **arguments)


def test_a_model_without_declared_ranges_must_be_told() -> None:
    class Bare(Toggle):
        parameters: ClassVar = {"rate": Parameter(0.5, 0.0, 1.0, "probability")}

    with pytest.raises(InputError, match="rate"):
        parametrisation(Bare(agents=2))
    assert parametrisation(Bare(agents=2), "rate").names == ("rate",)


def test_a_constant_stream_and_one_of_zeros_are_fitted() -> None:
    for value in (0.0, 30.0):
        fit = calibrate(Toggle(agents=200), {"on": np.full(10, value)}, calls=60)
        assert np.isfinite(fit.trace).all()
        assert fit.values["rate"] == pytest.approx(value / 200, abs=0.1)


def test_slopes_are_those_of_a_binomial_mean() -> None:
    """The sum over 10 days of 200 draws has the slope 2000 along the rate and 0 along what does nothing."""
    found = sensitivity(Toggle(agents=200), "on", 10, parameters=["rate", "idle"], seeds=3, fixed={"rate": 0.25})
    np.testing.assert_allclose(found.measures["slope"], [[2000.0, 0.0]] * 3, rtol=1e-5)
    assert found.estimates("elasticity")["rate"].value == pytest.approx(1.0, abs=0.1)
    assert found.calls == 3


@pytest.mark.parametrize(("method", "measure"), [("sobol", "total"), ("morris", "mu_star")])
def test_samples_find_what_matters(method: str, measure: str) -> None:
    found = sensitivity(Toggle(agents=200), "on", 10, method, ["rate", "idle"], seeds=3, points=16)
    rate, idle = (found.estimates(measure)[name] for name in ("rate", "idle"))
    assert rate.low > 10 * abs(idle.high)
    assert found.measures[measure].shape == (3, 2)
    assert found.calls == 3 * 16 * (4 if method == "sobol" else 3)


def test_the_slope_along_an_agents_gain_is_the_number_of_its_days_on() -> None:
    model = Toggle(agents=200)
    slope = slope_by_agent(model, "on", "gain", 10, parameters={"rate": 0.3})
    assert slope.sum() == simulate(model, 10, [0], {"rate": 0.3}).total("on").value
    assert set(slope) <= set(range(11))
    with pytest.raises(InputError, match="day"):
        slope_by_agent(model, "on", "day", 10)
    with pytest.raises(UnknownName, match="gain"):
        slope_by_agent(model, "on", "gian", 10)


def test_bad_questions_of_sensitivity() -> None:
    model = Toggle(agents=10)
    for change, text in (
        ({"method": "sobel"}, "sobol"),
        ({"outcome": "off"}, "on"),
        ({"points": 12, "method": "sobol"}, "power of 2"),
        ({"seeds": 0}, "seed"),
        ({"steps": 0}, "steps"),
        ({"parameters": {"rate": Free(0.1, 0.9, periods=2)}}, "single"),
    ):
        arguments: dict[str, Any] = {"outcome": "on", "steps": 5, **change}
        with pytest.raises(InputError, match=text):
            sensitivity(model, **arguments)


@pytest.mark.slow
def test_measures_have_slopes_where_they_reach_somebody(town: tuple[Any, Any, np.ndarray]) -> None:
    model, population, _ = town
    at = {**TRUE, "vaccination": 0.05, "testing": 0.3, "isolation": 0.3}
    names = ["reproduction", "vaccination", "testing", "isolation"]
    found = sensitivity(model, "infections", 20, parameters=names, seeds=8, fixed=at, population=population)
    means = {name: e.value for name, e in found.estimates("slope").items()}
    assert means["reproduction"] > 0
    assert max(means["vaccination"], means["testing"], means["isolation"]) < 0


def test_calibrate_from_the_command_line(shoal: Shoal, tmp_path: Path, town: tuple[Any, Any, np.ndarray]) -> None:
    model, _, cases = town
    days = np.arange(len(cases))
    pl.DataFrame({"day": days, "cases": cases, "mobility": 0.0 * days}).write_csv(tmp_path / "cases.csv")
    arguments = ["calibrate", "epidemic", "--data", "cases.csv", "--agents", model.settings.agents]
    for name, value in SPARSE.items():
        arguments += ["--set", f"{name}={value}"]
    arguments += ["--calls", "30", "--method", "random", "--free", "reproduction=1:6", "--free", "initial=0.001:0.2"]
    document = shoal.json(*arguments, "--window", "0:27")
    folder = Path(document["run"])
    assert document["calls"] == 30
    assert document["fitted"] == ["infections"]
    assert [i["name"] for i in document["intervals"]] == ["reproduction", "initial"]
    assert pl.read_parquet(folder / "trace.parquet").height == 30
    assert pl.read_parquet(folder / "surface.parquet").columns == ["reproduction", "initial", "loss"]
    for picture in ("fit.png", "surface.png"):
        assert (folder / picture).read_bytes().startswith(b"\x89PNG")
    for wrong in (
        ["--data", "none.csv"], ["--window", "0:99"], ["--window", "3"], ["--free", "reproduction=4:1"],
        ["--free", "reproduction=4"], ["--method", "newton"], ["--scale", "cases=-1"], ["--periods", "initial=2.5"],
        ["--people", "0"], ["--set", "reproduction=1"],
    ):  # fmt: skip
        assert shoal(*arguments, *wrong) == 2, wrong
        assert 1 <= len(shoal.err.strip().splitlines()) <= 2


def test_sensitivity_from_the_command_line(shoal: Shoal) -> None:
    arguments = ["simulate", "epidemic", "--agents", "800", "--steps", "28", "--seeds", "2"]
    for name, value in SPARSE.items():
        arguments += ["--set", f"{name}={value}"]
    document = shoal.json(*arguments, "--sensitivity", "morris", "--points", "2", "--set", "initial=0.05")
    measures = document["sensitivity"]["measures"]
    assert document["sensitivity"]["outcome"] == "infections"
    assert set(measures["mu_star"]) == {"reproduction", "initial"}
    assert (Path(document["run"]) / "sensitivity.png").exists()
    assert shoal(*arguments, "--sensitivity", "sobel") == 2


@pytest.mark.slow
def test_the_example_goes_from_cases_to_a_counterfactual(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example = runpy.run_path(str(EXAMPLES / "cases_to_counterfactual.py"))
    example["main"](EXAMPLES / "cases.csv", tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert "isolation changes infections by -" in capsys.readouterr().out
