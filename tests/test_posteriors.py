"""Variational and ABC calibration: posteriors known in closed form, planted parameters, budgets, the command."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest
from jaxtyping import Array, Float
from scipy import stats

from command_line import Shoal
from shoal.errors import InputError
from shoal.populations import Parameter, PopulationModel, PopulationSettings, Substep, make_model, simulate
from shoal.populations.approximate import KEPT
from shoal.populations.calibration import Calibration, search
from shoal.populations.identification import intervals
from shoal.populations.objective import Objective, objective
from shoal.populations.parametrisation import Free
from shoal.populations.variational import ASIDE, FEWEST, temperature

pytestmark = pytest.mark.usefixtures("quick_compilation")

DAYS = 8
READ = np.array([5.2, 4.1, 4.8, 5.9, 4.4, 5.3, 5.0, 4.5])  # mean 4.9


class Reading(eqx.Module):
    value: Float[Array, ""]
    shared: Float[Array, ""]


class Measuring(Substep[Reading]):
    daily: float = eqx.field(static=True)

    def decide(self, key: Any, observation: Reading, parameters: dict[str, Array]) -> Array:
        return parameters["level"] + observation.shared + self.daily * jax.random.normal(key)

    def transition(self, key: Any, state: Reading, decision: Array, parameters: dict[str, Array]) -> dict[str, Array]:
        return {"value": decision}


class InstrumentSettings(PopulationSettings):
    daily: float = 0.0
    shared: float = 0.0


class Instrument(PopulationModel[InstrumentSettings, Reading]):
    """Reads ``level`` with Gaussian errors, of each day and of the whole run. ``idle`` does nothing."""

    name = "instrument"
    schema = InstrumentSettings
    flows = frozenset()
    parameters: ClassVar = {
        "level": Parameter(5.0, -100.0, 100.0, "what is read", fit=(0.0, 10.0)),
        "idle": Parameter(0.5, 0.0, 1.0, "nothing"),
    }

    def population(self, seed: int) -> Reading:
        return Reading(jnp.zeros(()), jnp.zeros(()))

    def begin(self, key: Any, population: Reading, parameters: dict[str, Array]) -> Reading:
        return Reading(jnp.zeros(()), self.settings.shared * jax.random.normal(key))

    def substeps(self) -> tuple[Substep[Reading], ...]:
        return (Measuring(self.settings.daily),)

    def report(self, before: Reading, after: Reading) -> dict[str, Array]:
        return {"read": after.value}

    @property
    def bytes_per_agent(self) -> float:
        return 0.0


def problem_of(parameters: Any = None, **settings: float) -> Objective:
    return objective(Instrument(agents=1, **settings), {"read": READ}, parameters)


def levels(fit: Calibration) -> np.ndarray:
    assert fit.posterior is not None
    return fit.posterior.values(fit.objective)["level"]


def test_without_luck_and_with_the_likelihoods_temperature_it_is_the_conjugate_posterior() -> None:
    """Errors of deviation 0.6 on 8 days: normal about 4.9 with deviation 0.6 / sqrt(8) = 0.212."""
    problem = problem_of()
    given = 2 * 0.6**2 / (DAYS * READ.var())
    found = [levels(search(problem, "variational", 200, root=k, temperature=given)) for k in range(3)]
    assert np.mean(found) == pytest.approx(READ.mean(), abs=0.02)
    assert np.std(found, axis=1).mean() == pytest.approx(0.6 / DAYS**0.5, rel=0.25)


def test_a_model_without_luck_takes_its_errors_from_what_is_left() -> None:
    fit = search(problem_of(), "variational", 300)
    assert fit.posterior is not None
    assert fit.posterior.facts["temperature"] == pytest.approx(2 / DAYS, rel=0.05)  # in variances of the data
    assert levels(fit).std() == pytest.approx(READ.std() / DAYS**0.5, rel=0.25)
    assert fit.calls == 300


@pytest.mark.parametrize(("settings", "exact"), [({"daily": 0.6}, 0.6 / DAYS**0.5), ({"shared": 0.6}, 0.6)])
def test_the_models_own_luck_gives_the_spread_that_theory_gives(settings: dict[str, float], exact: float) -> None:
    """A mean of 8 independent errors, and one error that all days share: 8 days are worth one."""
    problem = problem_of(**settings)
    at = np.asarray(problem.free.weights({"level": 4.9}), float)  # type: ignore[attr-defined]
    found = [temperature(problem, at, jax.random.key(k)) for k in range(10)]
    assert 0.8 < np.mean(found) / (2 * exact**2 / READ.var()) < 1.5  # rather too wide than too narrow
    fit = search(problem, "variational", 300, root=1)
    assert levels(fit).mean() == pytest.approx(READ.mean(), abs=exact)
    assert levels(fit).std() == pytest.approx(exact, rel=0.5)  # the temperature of one search varies


def test_numbers_that_stand_in_for_each_other_are_seen_together() -> None:
    """Two weights of which the sum alone is read: it is known, each of them is open."""

    class Sum:
        names = ("level",)

        def start(self, key: Any) -> Array:
            return jnp.zeros(2)

        draw = start

        def values(self, weights: Array) -> dict[str, Array]:
            return {"level": 4.0 + weights.sum()}

    fit = search(problem_of(Sum()), "variational", 400, temperature=2 * 0.6**2 / (DAYS * READ.var()))
    assert fit.posterior is not None
    a, b = fit.posterior.weights.T
    # A normal prior of variance 2 of the sum, and errors of variance 0.045 about 0.9: the mean is 0.9 x 2 / 2.045.
    assert (a + b).mean() == pytest.approx(0.88, abs=0.03)
    assert (a + b).std() == pytest.approx(0.21, rel=0.35)
    assert (a - b).std() > 0.7  # 1.41 in the limit; it grows from where q starts, slowly
    assert np.corrcoef(a, b)[0, 1] < -0.75


def test_abc_with_errors_of_the_day_is_the_exact_posterior_at_its_tolerance() -> None:
    """Runs within the tolerance have the probability of a noncentral chi-square number."""
    problem = problem_of(daily=0.6)
    fit = search(problem, "abc", 1600)
    assert fit.posterior is not None
    at = np.linspace(0.005, 9.995, 2000)
    limit = fit.posterior.facts["tolerance"] * DAYS * READ.var() / 0.36
    density = stats.ncx2.cdf(limit, DAYS, ((at[:, None] - READ) ** 2).sum(1) / 0.36)
    density /= density.sum()
    mean = (density * at).sum()
    deviation = ((density * (at - mean) ** 2).sum()) ** 0.5
    assert levels(fit).mean() == pytest.approx(mean, abs=0.1)
    assert levels(fit).std() == pytest.approx(deviation, rel=0.15)
    assert 0.02 < fit.posterior.facts["acceptance"] < 1
    assert fit.posterior.facts["accepted"] == 200
    assert 60 < fit.posterior.facts["effective_sample"] <= 200


def test_abc_comes_close_to_the_posterior_where_one_number_says_all() -> None:
    """One error that all days share: as the tolerance falls, normal about the mean with the error's deviation."""
    fit = search(problem_of(shared=0.6), "abc", 1000)
    assert fit.posterior is not None
    assert fit.posterior.facts["tolerance"] < 1.35  # 1 is what even the best level is off by
    assert levels(fit).mean() == pytest.approx(READ.mean(), abs=0.15)
    assert levels(fit).std() == pytest.approx(0.6, rel=0.2)


@pytest.mark.parametrize("method", ["variational", "abc"])
def test_what_the_data_cannot_tell_has_the_interval_of_the_prior(method: str) -> None:
    fit = search(problem_of({"level": (0.0, 10.0), "idle": (0.2, 0.8)}, daily=0.3), method, 240)
    found = {i.name: i for i in intervals(fit)}
    assert found["idle"].poor
    assert found["idle"].covers > 0.7
    assert found["level"].covers < 0.35
    assert found["level"].low < 4.9 < found["level"].high
    assert "covers" in found["idle"].note


def test_draws_are_a_table_with_a_column_for_each_number() -> None:
    fit = search(problem_of({"level": (0.0, 10.0)}), "variational", 60, 1)
    assert fit.posterior is not None
    frame = fit.posterior.frame(fit.objective)
    assert frame.columns == ["level"]
    assert frame["level"].is_between(0.0, 10.0).all()
    fit = search(problem_of({"idle": Free(0.2, 0.8, periods=2)}), "abc", 40)
    assert fit.posterior is not None
    assert fit.posterior.frame(fit.objective).columns == ["idle[0]", "idle[1]"]
    assert [i.name for i in intervals(fit)] == ["idle[0]", "idle[1]"]


def test_budgets_and_temperatures_that_cannot_be_used() -> None:
    problem = problem_of()
    for method, least in (("variational", 2 * FEWEST + ASIDE), ("abc", 4 * KEPT)):
        with pytest.raises(InputError, match=f"calls.*at least {least}"):
            search(problem, method, least - 1, 2)
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="temperature"):
            search(problem, "variational", 100, temperature=wrong)
    with pytest.raises(InputError, match="Only variational"):
        search(problem, "abc", 100, temperature=1.0)
    with pytest.raises(InputError, match="at most 12"):
        search(problem_of({"idle": Free(0.0, 1.0, periods=13)}), "abc", 100)


TOWN: dict[str, Any] = {"network": "regular", "degree": 8, "homes": False}
RANGES = {"reproduction": (0.5, 8.0), "initial": (1e-3, 0.2)}


def test_planted_parameters_of_a_contagion_lie_within_both_methods_intervals() -> None:
    model = make_model("contagion", agents=400, **TOWN)
    population, planted = model.population(0), {"reproduction": 3.0, "initial": 0.04}
    cases = simulate(model, 28, [101], planted, population=population).series["infections"][0]
    problem = objective(model, {"cases": cases}, RANGES, population=population)
    found = {method: intervals(search(problem, method, 120)) for method in ("variational", "abc")}
    for both in zip(*found.values(), strict=True):
        for interval in both:
            assert interval.low <= planted[interval.name] <= interval.high
            assert interval.low < interval.value < interval.high
        assert max(i.low for i in both) < min(i.high for i in both)


@pytest.mark.slow
def test_intervals_cover_planted_parameters_about_as_often_as_they_say() -> None:
    """12 planted pairs: at least 70% within the variational intervals (95% stated), 85% within ABC's wider ones."""
    model = make_model("contagion", agents=1000, **TOWN)
    population, rng = model.population(0), np.random.default_rng(11)
    inside: dict[str, list[bool]] = {"variational": [], "abc": []}
    for number in range(12):
        planted = {"reproduction": float(rng.uniform(1.8, 4)), "initial": float(np.exp(rng.uniform(-4.5, -2.8)))}
        cases = simulate(model, 40, [300 + number], planted, population=population).series["infections"][0]
        problem = objective(model, {"cases": cases}, RANGES, population=population)
        for method, hits in inside.items():
            found = intervals(search(problem, method, 240, root=number))
            hits.extend(i.low <= planted[i.name] <= i.high for i in found)
    assert np.mean(inside["variational"]) >= 0.7
    assert np.mean(inside["abc"]) >= 0.85


@pytest.mark.parametrize("method", ["variational", "abc"])
def test_posteriors_from_the_command_line(shoal: Shoal, tmp_path: Path, method: str) -> None:
    days = np.arange(14)
    pl.DataFrame({"day": days, "cases": 1.0 + days % 4}).write_csv(tmp_path / "cases.csv")
    arguments = ["calibrate", "contagion", "--data", "cases.csv", "--agents", "64", "--method", method]
    for name, value in {**TOWN, "network": "grid", "degree": 4}.items():
        arguments += ["--set", f"{name}={value}"]
    arguments += ["--calls", "60", "--free", "reproduction=1:6", "--no-surface"]
    document = shoal.json(*arguments)
    assert document["calls"] == 60
    assert document["posterior"]["prior"] == "uniform over the ranges"
    (found,) = document["intervals"]
    drawn = pl.read_parquet(Path(document["run"]) / "posterior.parquet")["reproduction"]
    assert found["low"] <= found["value"] <= found["high"]
    assert drawn.mean() == pytest.approx(found["value"], rel=1e-4)
    assert shoal(*arguments) == 0
    assert "mean" in shoal.out
    assert "Posterior under a prior" in shoal.out
    assert shoal(*arguments, "--calls", "10") == 2
    assert "calls" in shoal.err
