"""Populations: networks against dense matrices, draws and their slopes, the epidemic's invariants, the command."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import orjson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from shoal.cli.application import run as shoal
from shoal.cli.console import guarded
from shoal.errors import InputError, UnknownName
from shoal.populations import make_model, network, simulate
from shoal.populations import networks as networks_module
from shoal.populations.city import Shares, build_city, households
from shoal.populations.noise import uniform
from shoal.populations.sampling import above, draw

KEY = jax.random.key(0)


def dense(count: int, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    table = np.zeros((count, count))
    table[first, second] = table[second, first] = 1
    np.fill_diagonal(table, 0)
    return table


@settings(max_examples=10)
@given(st.integers(1, 12), st.integers(0, 30), st.integers(0, 2**31))
def test_total_is_the_product_with_the_adjacency_matrix(count: int, pairs: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = rng.integers(0, count, (2, pairs))
    net, table = network(count, first, second), dense(count, first, second)
    weight = rng.random(count).astype(np.float32)
    np.testing.assert_allclose(net.total(jnp.asarray(weight)), table @ weight, atol=1e-4)
    np.testing.assert_array_equal(net.degrees, table.sum(1))


@pytest.mark.parametrize("share", [1.0, 0.01], ids=["whole", "along"])
def test_both_ways_to_sum_agree_with_their_derivatives(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks_module, "SMALL", 0)
    rng = np.random.default_rng(1)
    count = 300
    first, second = rng.integers(0, count, (2, 1500))
    first[:200] = 3  # one agent with more neighbours than the widest slice
    net, table = network(count, first, second), dense(count, first, second)
    assert net.crowded == 1
    weight = jnp.asarray(rng.random(count) * (rng.random(count) < share), jnp.float32)
    total = jax.jit(lambda w: net.total(w))
    np.testing.assert_allclose(total(weight), table @ weight, atol=1e-3)
    slope = jax.jit(jax.grad(lambda w: (net.total(w) ** 2).sum()))(weight)
    np.testing.assert_allclose(slope, 2 * table.T @ (table @ weight), rtol=1e-4, atol=1e-2)
    _, forward = jax.jit(lambda w: jax.jvp(net.total, (w,), (w,)))(weight)
    np.testing.assert_allclose(forward, table @ weight, atol=1e-3)
    batch = jnp.stack([weight, 2 * weight])
    np.testing.assert_allclose(jax.jit(jax.vmap(lambda w: net.total(w)))(batch), batch @ table, rtol=1e-4, atol=1e-3)


def test_bad_ties_are_refused() -> None:
    with pytest.raises(InputError, match="7"):
        network(5, [0, 7], [1, 2])
    with pytest.raises(InputError, match="-1"):
        network(5, [0], [-1])
    with pytest.raises(InputError, match="network ties"):
        network(5, [0, 1], [2])
    with pytest.raises(InputError, match="agents"):
        network(0, [], [])
    with pytest.raises(InputError, match="float"):
        network(5, [0.5], [1])


def test_noise_is_uniform_and_independent() -> None:
    a, b = (np.asarray(uniform(jax.random.key(k), 100_000)) for k in (0, 1))
    assert stats.kstest(a, "uniform").pvalue > 0.01
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.01
    assert abs(np.corrcoef(a[1:], a[:-1])[0, 1]) < 0.01
    pairs = np.histogram2d(a[::2], a[1::2], bins=16)[0].ravel()
    assert stats.chisquare(pairs).pvalue > 0.01
    np.testing.assert_array_equal(uniform(KEY, 10), uniform(KEY, 20)[:10])


@pytest.mark.parametrize("estimator", ["straight", "gumbel", "weights", "hits", "none"])
def test_draws_are_exact(estimator: str) -> None:
    noise = uniform(KEY, 20_000)
    for p in (0.0, 0.3, 1.0):
        hit = draw(jnp.full(20_000, p), noise, estimator)  # type: ignore[arg-type]
        assert set(np.unique(hit)) <= {0.0, 1.0}
        assert float(hit.mean()) == pytest.approx(p, abs=0.01)
        slope = jax.grad(lambda p: draw(jnp.full(20_000, p), noise, estimator).mean())(p)  # type: ignore[arg-type]
        assert np.isfinite(slope)


def test_slopes_of_draws_against_the_exact_one() -> None:
    """D E[f(A)] / dp is f(1) - f(0); for f(a) = a all estimators but "none" give 1 on average."""
    noise = uniform(KEY, 50_000)

    def slope(estimator: str, p: float, f: object = None) -> float:
        def value(p: jax.Array) -> jax.Array:
            a = draw(jnp.full(noise.shape, p), noise, estimator)  # type: ignore[arg-type]
            return jnp.mean(a if f is None else f(a))  # type: ignore[operator]

        return float(jax.grad(value)(p))

    assert slope("straight", 0.3) == pytest.approx(1.0)
    assert slope("weights", 0.3) == pytest.approx(1.0, abs=0.02)
    assert slope("hits", 0.3) == pytest.approx(1.0, abs=0.02)
    assert slope("smooth", 0.3) == pytest.approx(1.0)
    assert slope("gumbel", 0.3) == pytest.approx(1.0, abs=0.1)
    assert slope("none", 0.3) == 0.0
    # A function that is not linear shows the bias: exactly 1, straight-through says f' at the draw.
    assert slope("straight", 0.3, jnp.square) == pytest.approx(2 * 0.3, abs=0.02)


def test_above_is_a_step_with_a_slope() -> None:
    assert float(above(jnp.float32(2.0), jnp.float32(2.0))) == 1.0
    assert float(above(jnp.float32(1.9), jnp.float32(2.0))) == 0.0
    assert float(jax.grad(above)(2.0, 2.0)) == pytest.approx(0.8 / 4)


def test_a_city_has_the_shares_it_was_asked_for() -> None:
    city = build_city(20_000, 0)
    np.testing.assert_allclose(np.bincount(city.age, minlength=9) / 20_000, city.shares.ages, atol=0.01)
    grown = (city.age >= 2) & (city.age <= 6)
    assert city.employed[grown].mean() == pytest.approx(0.7, abs=0.02)
    assert not city.employed[~grown].any()
    assert float(city.street.degrees.mean()) == pytest.approx(3.0, rel=0.02)
    assert not np.asarray(city.work.degrees)[(city.age > 1) & ~city.employed].any()
    again = build_city(20_000, 0)
    np.testing.assert_array_equal(city.street.neighbours, again.street.neighbours)


def test_households_are_cliques_of_the_given_sizes() -> None:
    first, second = households(9000, (0.0, 0.5, 0.0, 0.5), np.random.default_rng(0))
    sizes, counts = np.unique(np.asarray(network(9000, first, second).degrees)[:-8], return_counts=True)
    assert sizes.tolist() == [1, 3]
    assert counts[0] / counts[1] == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    ("field", "value"), [("ages", (1.0,)), ("households", (0.5, 0.6)), ("employed", 1.5), ("others", -1.0)]
)
def test_bad_shares_are_refused(field: str, value: object) -> None:
    with pytest.raises(InputError, match=field):
        Shares(**{field: value})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def epidemic() -> tuple[object, object]:
    model = make_model("epidemic", agents=5000)
    return model, model.population(0)


def test_people_are_conserved_and_stages_follow(epidemic: tuple[object, object]) -> None:
    model, city = epidemic
    run = simulate(model, 60, 3, {"initial": 0.01, "mortality": 0.1}, population=city)
    stages = np.stack([run.series[s] for s in ("susceptible", "exposed", "infectious", "recovered", "dead")])
    np.testing.assert_array_equal(stages.sum(0), 5000)
    assert (np.diff(stages[0], axis=1) <= 0).all()
    np.testing.assert_array_equal(-np.diff(stages[0], axis=1), run.series["infections"][:, 1:])
    np.testing.assert_array_equal(np.cumsum(run.series["deaths"], axis=1), stages[4])
    # Those who are exposed today leave the exposed stage after exactly five days.
    caught = run.series["infections"][:, :30]
    np.testing.assert_array_equal(stages[1][:, 4:30], np.cumsum(caught, 1)[:, 4:] - _lag(np.cumsum(caught, 1), 5))


def _lag(x: np.ndarray, days: int) -> np.ndarray:
    return np.concatenate([np.zeros((x.shape[0], 1)), x[:, : x.shape[1] - days]], axis=1)


def test_edges_of_the_parameters(epidemic: tuple[object, object]) -> None:
    model, city = epidemic

    def infected(**parameters: float) -> float:
        return float(simulate(model, 40, 1, {"initial": 0.02, **parameters}, population=city).total("infections").value)

    assert infected(initial=0.0) == 0
    assert infected(reproduction=0.0) == 0
    assert infected(initial=1.0) == 0
    plain = infected()
    assert plain > 1000
    assert infected(isolation=1.0) < 0.3 * plain  # households go on
    assert infected(testing=0.5) < plain
    assert infected(vaccination=0.1) < plain
    assert infected(vaccination=0.1, efficacy=0.0) == plain  # the same random numbers


def test_a_weekly_parameter_is_used_by_week(epidemic: tuple[object, object]) -> None:
    model, city = epidemic
    weeks = simulate(model, 21, 1, {"initial": 0.02, "reproduction": [2.0, 0.0, 2.0]}, population=city)
    assert weeks.series["infections"][0, 7:14].sum() == 0
    assert weeks.series["infections"][0, :7].sum() > 0
    same = simulate(model, 21, 1, {"initial": 0.02, "reproduction": [2.0, 2.0, 2.0]}, population=city)
    alone = simulate(model, 21, 1, {"initial": 0.02, "reproduction": 2.0}, population=city)
    np.testing.assert_array_equal(same.series["infections"], alone.series["infections"])


def test_slopes_reach_the_parameters_and_stop_without_an_estimator(epidemic: tuple[object, object]) -> None:
    """The mean slope has sign and size of a finite difference of the mean; without a surrogate it is exactly 0."""
    _, city = epidemic
    keys = jax.random.split(KEY, 24)

    def curve(model: object, r: jax.Array) -> jax.Array:
        parameters = {**model.check({"initial": 0.02}), "reproduction": r}  # type: ignore[attr-defined]

        def once(key: jax.Array) -> jax.Array:
            state = model.begin(key, city, parameters)  # type: ignore[attr-defined]

            def step(state: object, key: jax.Array) -> tuple[object, jax.Array]:
                state, facts = model.step(key, state, parameters)  # type: ignore[attr-defined]
                return state, facts["infections"]

            return jax.lax.scan(step, state, jax.random.split(key, 14))[1].sum() / 5000

        return jax.lax.map(once, keys).mean()

    hits, none = (make_model("epidemic", agents=5000, estimator=e) for e in ("hits", "none"))
    value, slope = jax.jit(lambda r: jax.jvp(lambda r: curve(hits, r), (r,), (1.0,)))(2.5)
    low, high = (float(jax.jit(lambda r: curve(none, r))(r)) for r in (2.3, 2.7))
    difference = (high - low) / 0.4
    assert float(value) == pytest.approx((low + high) / 2, rel=0.1)
    assert 0.5 < float(slope) / difference < 2
    assert float(jax.grad(lambda r: curve(none, r))(2.5)) == 0.0


def test_bad_input() -> None:
    model = make_model("epidemic", agents=100)
    with pytest.raises(InputError, match="isolation"):
        model.check({"isolation": 1.5})
    with pytest.raises(InputError, match="mortality"):
        model.check({"mortality": float("nan")})
    with pytest.raises(UnknownName, match="reproduction"):
        model.check({"reproducton": 1.0})
    with pytest.raises(InputError, match="agents"):
        make_model("epidemic", agents=0)
    with pytest.raises(InputError, match="would fit"):
        simulate(make_model("epidemic", agents=200_000_000, others=999.0), 1)
    with pytest.raises(InputError, match="steps"):
        simulate(model, 0)
    with pytest.raises(InputError, match="seeds"):
        simulate(model, 1, [1, 1])


def test_one_agent_runs() -> None:
    run = simulate(make_model("epidemic", agents=1), 20, 2, {"initial": 1.0, "mortality": 1.0})
    assert run.series["dead"][:, -1].tolist() == [1.0, 1.0]


def test_simulate_from_the_command_line(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["simulate", "epidemic", "--agents", "500", "--steps", "30", "--seeds", "3", "--out", str(runs)]
    arguments += ["--set", "initial=0.05", "--counterfactual", "isolation=1.0", "--json"]
    assert shoal(arguments) == 0
    document = orjson.loads(capsys.readouterr().out)
    assert document["counterfactual"]["differences"]["infections"]["high"] < 0
    frame = pl.read_parquet(Path(document["run"]) / "series.parquet")
    assert frame.filter(pl.col("arm") == "as set").height == 90
    assert frame.filter(arm="as set").group_by("seed").agg(pl.col("infections").sum())["infections"].mean() == (
        pytest.approx(document["totals"]["infections"]["value"])
    )
    assert (Path(document["run"]) / "series.png").read_bytes().startswith(b"\x89PNG")
    assert guarded(lambda: shoal(["simulate", "epidemc"])) == 2
    assert guarded(lambda: shoal(["simulate", "epidemic", "--set", "isolaton=1"])) == 2
