"""The contagion against a plain loop and against the equations, planted data, checks of claims, memory of slopes."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from shoal.errors import InputError
from shoal.populations import make_model, simulate
from shoal.populations.compartments import Compartments
from shoal.populations.models.contagion import GRAIN
from shoal.populations.noise import uniform
from shoal.populations.rollout import rollout, run_keys
from shoal.runs.results import Results
from shoal.runs.study import Trial
from shoal.stats import Verdict
from shoal.studies.large_population_models import STUDY, experiments, loop, planting
from shoal.studies.large_population_models.claims import CLAIMS, lower, ratio

pytestmark = pytest.mark.usefixtures("quick_compilation")

GRID = {"network": "grid", "degree": 4, "homes": False}
AT = {"initial": 0.1, "mortality": 0.3, "reproduction": 4.0}


@pytest.fixture(scope="module")
def grid() -> tuple[Any, Any]:
    model = make_model("contagion", agents=196, variation=0.5, **GRID)
    return model, model.population(0)


def test_the_contagion_is_the_plain_loop_draw_by_draw(grid: tuple[Any, Any]) -> None:
    model, population = grid
    key, days = run_keys([4])[0], 15
    table = simulate(model, days, [4], AT, population=population).series
    town = loop.people(
        *(
            np.asarray(x).tolist()
            for x in (population.infectiousness, population.ties.offsets, population.ties.neighbours)
        )
    )
    begin_key, key = jax.random.split(key)
    for person, first in zip(town, uniform(begin_key, len(town)) < AT["initial"], strict=True):
        person.stage = "i" if first else "s"
    counts = []
    for day_key in jax.random.split(key, days):
        _, _, rest = jax.random.split(day_key, 3)  # the first substep: nobody stays at home
        keys = iter(jax.random.split(jax.random.split(rest, 3)[0], 3))
        pace = AT["reproduction"] / 6.0 / model.substeps()[1].contacts
        noise = lambda keys=keys: np.asarray(uniform(next(keys), len(town))).tolist()  # noqa: E731
        counts.append(loop.day(town, pace, AT["mortality"], 4.0, 6.0, noise))
    assert table["infections"].sum() > 40
    np.testing.assert_array_equal(np.array(counts).T, [table["infections"][0], table["deaths"][0]])


def test_infectiousness_is_in_grains_and_sums_are_exact_in_any_order(grid: tuple[Any, Any]) -> None:
    _, population = grid
    power = np.asarray(population.infectiousness, np.float64)
    np.testing.assert_array_equal(power / GRAIN, np.round(power / GRAIN))
    assert power.std() == pytest.approx(0.5, abs=0.1)
    dense = np.zeros((196, 196))
    net = population.ties
    dense[np.repeat(np.arange(196), np.diff(net.offsets)), np.asarray(net.neighbours)] = 1.0
    np.testing.assert_array_equal(np.asarray(net.total(population.infectiousness), np.float64), dense @ power)


def test_people_are_conserved_and_isolation_stops_everything(grid: tuple[Any, Any]) -> None:
    model, population = grid
    run = simulate(model, 15, 2, AT, population=population).series
    stages = sum(run[name] for name in ("susceptible", "exposed", "infectious", "recovered", "dead"))
    np.testing.assert_array_equal(stages, 196.0)
    np.testing.assert_array_equal(run["deaths"].cumsum(1), run["dead"])
    assert simulate(model, 15, 2, {**AT, "isolation": 1.0}, population=population).series["infections"].sum() == 0
    with pytest.raises(InputError, match="network agents"):
        make_model("contagion", agents=5).on(population.ties)


def test_the_equations_are_those_of_a_solver() -> None:
    at = {"reproduction": 2.5, "initial": 0.01, "mortality": 0.1, "isolation": 0.0}
    run = simulate(Compartments(agents=1000), 60, 1, at).series

    def change(_: float, x: np.ndarray) -> list[float]:
        s, e, i, _ = x
        return [-2.5 / 6 * s * i, 2.5 / 6 * s * i - e / 4, e / 4 - i / 6, 0.1 * i / 6]

    solved = solve_ivp(change, (0, 60), [0.99, 0.0, 0.01, 0.0], t_eval=np.arange(1, 61), rtol=1e-8, atol=1e-10).y
    for row, name in enumerate(("susceptible", "exposed", "infectious", "dead")):
        np.testing.assert_allclose(run[name][0], 1000 * solved[row], atol=0.2)
    np.testing.assert_allclose(run["infections"][0].sum(), 1000 * (0.99 - solved[0, -1]), atol=0.2)
    still = simulate(Compartments(agents=10), 5, 2, {**at, "isolation": 1.0}).series["infections"]
    np.testing.assert_array_equal(still, 0.0)


def test_going_back_with_rematerialisation_stores_less(grid: tuple[Any, Any], quick_compilation: None) -> None:
    """T x N states are the price of reverse mode; with checkpoints every sqrt(T) steps it is less than half of that."""
    model, population = grid
    values, key = model.check(AT), run_keys([0])[0]

    def stored(rematerialise: bool) -> int:
        def total(x: Any, population: Any) -> Any:
            at = values | {"reproduction": x}
            return rollout(model, 49, key, population, at, rematerialise=rematerialise)[1]["infections"].sum()

        compiled = jax.jit(jax.grad(total)).lower(jnp.asarray(2.0), population).compile()
        return int(compiled.memory_analysis().temp_size_in_bytes)

    assert stored(True) < stored(False) / 2


def test_curves_of_r() -> None:
    rng = np.random.default_rng(0)
    for kind, steps in (("constant", 0), ("change", 1), ("waves", 2)):
        weeks = planting.curve(kind, 8, 4, rng)
        assert weeks.size == 12
        assert (np.diff(weeks) != 0).sum() == steps
        assert (weeks[8:] == weeks[7]).all()  # what is held out goes on as the fitted weeks end


def test_planted_towns_take_off_and_are_reported_late(grid: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    model, population = grid
    data = planting.plant(model, population, "constant", 2, 1, np.random.default_rng(1), 5)
    assert {name: x.size for name, x in data.streams.items()} == {"cases": 14, "deaths": 14, "mobility": 14}
    days = np.repeat(data.later / 7, 7)
    assert data.error(np.concatenate([np.zeros(14), days])) == pytest.approx(0.0, abs=1e-9)
    assert data.error(np.concatenate([np.zeros(14), days + 2])) == pytest.approx(2.0)
    assert sum(planting.DELAY) == pytest.approx(1.0)
    monkeypatch.setattr(planting, "TAKE_OFF", 2.0)
    with pytest.raises(InputError, match="takes off"):
        planting.plant(model, population, "constant", 2, 1, np.random.default_rng(1), 5)


def test_held_numbers_go_on_after_the_last() -> None:
    held = experiments.Held(experiments._ranges(2), 5)
    found = held.values(held.draw(jax.random.key(0)))
    assert held.names == ("reproduction", "initial", "mortality")
    assert found["reproduction"].shape == (5,)
    assert (found["reproduction"][1:] == found["reproduction"][1]).all()
    assert found["reproduction"][0] != found["reproduction"][1]


def results(values: dict[str, list[float]], metric: str = "error") -> Results:
    found = Results()
    for variant, rows in values.items():
        for seed, value in enumerate(rows):
            found.add("planted", variant, seed, {metric: value})
    return found


def test_lower_needs_both_the_interval_and_the_test() -> None:
    rows = list(range(10))
    for gap, verdict in ((1.0, Verdict.REPRODUCED), (-1.0, Verdict.NOT_REPRODUCED)):
        found = results({"a": [float(x) for x in rows], "b": [x + gap for x in rows]})
        checks = lower("planted", "a", "b", "error")(found)
        assert [c.verdict for c in checks] == [verdict] * 2
    assert lower("planted", "a", "b", "error")(Results()) == []


def test_the_ratio_is_that_of_means_with_an_interval() -> None:
    found, rng = Results(), np.random.default_rng(0)
    difference = rng.normal(2.0, 0.1, 300)
    found.add("gradient", "hits", 0, {"slope r, 7 days": 1.5 * difference, "difference r, 7 days": difference})
    estimate = ratio(found, "hits", "r", 7)
    assert estimate is not None
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((1.5, 1.5, 1.5))
    assert ratio(found, "hits", "r", 8) is None


def trial(name: str) -> dict[str, Any]:
    config = STUDY.configure("quick")
    measured: Any = STUDY.experiment(name).trial(Trial(config, name, "all", 0, 0, None))  # type: ignore[arg-type]
    return dict(measured)


def test_the_leak_experiment_sees_what_it_should() -> None:
    measured = trial("leaks")
    assert min(measured[experiments.SHARES]["p"]) > 0.01
    assert min(measured[experiments.SERVERS]["p"]) > 0.01
    assert min(measured[experiments.SHORT]["p"]) < 1e-6
    assert min(measured[experiments.CLEAR]["p"]) < 1e-6


def test_claims_without_measurements_have_no_checks() -> None:
    assert all(not claim.checks(Results()) for claim in CLAIMS)
