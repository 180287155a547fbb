"""Every registered population model keeps the rules of the house, and each agrees with exact or published facts."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from shoal.cli.application import run as shoal
from shoal.errors import InputError, UnknownName
from shoal.populations import MODELS, make_model, network, simulate
from shoal.populations.generators import small_world
from shoal.populations.grouping import grouped
from shoal.populations.model import PopulationModel, replaced
from shoal.populations.models.labour import NOBODY, matched
from shoal.populations.models.opinion import paired
from shoal.populations.space import Square, neighbour_sums

pytestmark = pytest.mark.usefixtures("quick_compilation")

KEY = jax.random.key(0)
TINY = 36
STEPS = 6
SMALL = {name: {"network": "grid", "degree": 4} for name in ("norm", "opinion")}
"""Settings that make small programs: sums over neighbours are compiled for each number of them."""
LIVELY = {"epidemic": {"initial": 0.2}}
"""Parameters at which chance has something to decide among so few."""
EVERY = pytest.mark.parametrize("name", MODELS.names())


@cache
def tiny(name: str, agents: int = TINY) -> tuple[PopulationModel[Any, Any], Any]:
    model = make_model(name, agents=agents, **SMALL.get(name, {}))
    return model, model.population(0)


def tiny_run(name: str, agents: int = TINY, seeds: Any = 2, **parameters: float) -> dict[str, np.ndarray]:
    model, population = tiny(name, agents)
    return simulate(model, STEPS, seeds, parameters, population=population).series


# Rules of the house, for every model.


@EVERY
def test_runs_are_finite_and_the_same_for_the_same_seed_alone_or_with_others(name: str) -> None:
    together, again, alone = (tiny_run(name, seeds=s, **LIVELY.get(name, {})) for s in ([3, 5], [3, 5], [5]))
    for series in together:
        assert np.isfinite(together[series]).all(), series
        np.testing.assert_array_equal(together[series], again[series])
        np.testing.assert_array_equal(together[series][1], alone[series][0])
    assert any((x[0] != x[1]).any() for x in together.values()), "chance decides nothing"


@EVERY
def test_a_step_keeps_shapes_and_types(name: str) -> None:
    model, population = tiny(name)
    parameters = model.check({})
    before = jax.eval_shape(lambda: model.begin(KEY, population, parameters))
    after = jax.eval_shape(lambda state: model.step(KEY, state, parameters)[0], before)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), before) == jax.tree.map(lambda x: (x.shape, x.dtype), after)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), population) == jax.tree.map(lambda x: (x.shape, x.dtype), before)


@EVERY
def test_the_ends_of_every_parameter_are_defined_and_beyond_is_refused(name: str) -> None:
    model, _ = tiny(name)
    for parameter, bounds in model.parameters.items():
        assert bounds.low <= bounds.default <= bounds.high
        assert bounds.help
        for end in (bounds.low, bounds.high):
            for series, x in tiny_run(name, **{parameter: end}).items():
                assert np.isfinite(x).all(), f"{series} at {parameter}={end}"
        for wrong in (bounds.low - 0.1, bounds.high + 0.1, float("nan")):
            with pytest.raises(InputError, match=parameter):
                model.check({parameter: wrong})
    with pytest.raises(UnknownName):
        model.check({"no such parameter": 1.0})
    if not model.weekly:
        with pytest.raises(InputError, match="one number"):
            model.check({next(iter(model.parameters)): [0.1, 0.2]})


@pytest.mark.slow
@EVERY
def test_one_agent_runs(name: str) -> None:
    for series, x in tiny_run(name, 1).items():
        assert np.isfinite(x).all(), series


@pytest.mark.slow
@EVERY
def test_slopes_are_finite(name: str) -> None:
    model, population = tiny(name)

    def total(parameters: dict[str, jax.Array]) -> jax.Array:
        def step(state: Any, key: jax.Array) -> tuple[Any, jax.Array]:
            state, facts = model.step(key, state, parameters)
            return state, sum(jnp.sum(x) for x in facts.values())

        state = model.begin(KEY, population, parameters)
        return jnp.sum(jax.lax.scan(step, state, jax.random.split(KEY, 3))[1])

    for parameter, slope in jax.jit(jax.grad(total))(model.check({})).items():
        assert np.isfinite(slope), parameter


@EVERY
def test_flows_are_reported_and_figures_drawn(name: str) -> None:
    model, _ = tiny(name)
    series = tiny_run(name)
    grass = {"grazed"} if name == "predator-prey" else set()
    assert model.flows - grass <= set(series)
    assert all(figure.axes for figure in model.figures(series).values())
    assert model.bytes_per_agent > 0


def test_a_run_writes_its_pictures(runs: Path) -> None:
    arguments = ["simulate", "predator-prey", "--agents", str(TINY), "--steps", str(STEPS), "--seeds", "2"]
    assert shoal([*arguments, "--out", str(runs), "--json"]) == 0
    assert {p.stem for p in runs.glob("*/*.png")} == {"series", "map", "phase"}


# Space and groups, against all pairs and counting.


@pytest.mark.parametrize(
    ("torus", "agents", "side", "radius"),
    [(True, 300, 7.0, 0.6), (False, 300, 7.0, 0.6), (True, 99, 4.0, 1.5), (False, 9, 2.0, 0.0)],
)
def test_cells_sum_what_all_pairs_sum(torus: bool, agents: int, side: float, radius: float) -> None:
    x, y = side * jax.random.uniform(KEY, (2, agents))
    x, y = (c.at[: agents // 3].set(c[0]) for c in (x, y))  # a crowd in one place
    values = jax.random.normal(jax.random.key(1), (2, agents))
    square = Square(side, torus)

    def sums(values: jax.Array, dense: bool) -> jax.Array:
        return neighbour_sums(square, radius, x, y, values, dense=dense)

    quick = jax.jit(sums, static_argnums=1)
    np.testing.assert_allclose(quick(values, False), quick(values, True), atol=1e-4)
    if radius == 1.5:
        # The sum is its own transpose.
        slope = jax.jit(jax.grad(lambda v: (sums(v, False) ** 2).sum()))(values)
        np.testing.assert_allclose(slope, 2 * quick(quick(values, True), True), rtol=1e-3, atol=1e-2)


def test_the_way_around_a_torus_is_short() -> None:
    seen = neighbour_sums(Square(4.0, True), 0.5, jnp.asarray([0.1, 3.9]), jnp.zeros(2), jnp.ones((1, 2)))
    apart = neighbour_sums(Square(4.0, False), 0.5, jnp.asarray([0.1, 3.9]), jnp.zeros(2), jnp.ones((1, 2)))
    assert seen.tolist() == [[1.0, 1.0]]
    assert apart.tolist() == [[0.0, 0.0]]


def test_ranks_within_groups_are_fair() -> None:
    group = jnp.asarray([2, 0, 2, 2, 0])
    groups = jax.jit(jax.vmap(lambda key: grouped(key, group, 4)))(jax.random.split(KEY, 200))
    ranks = np.asarray(groups.rank)
    for members in ([0, 2, 3], [1, 4]):
        np.testing.assert_array_equal(np.sort(ranks[:, members], axis=1), np.tile(np.arange(len(members)), (200, 1)))
    assert stats.chisquare(np.bincount(ranks[:, 3])).pvalue > 0.01
    assert groups.sizes[0].tolist() == [2, 0, 3, 0]
    np.testing.assert_array_equal(groups.place, ranks + np.asarray([2, 0, 2, 2, 0]))


# Swarms: the check of the task's page, and the theory.


def swarm_run(
    name: str, steps: int = 100, seeds: int = 2, rule: Any = None, agents: int = 200, **parameters: Any
) -> Any:
    settings = {k: parameters.pop(k) for k in ("rule_name", "radius") if k in parameters}
    if "rule_name" in settings:
        settings["rule"] = settings.pop("rule_name")
    model = make_model(name, agents=agents, **settings)
    return simulate(model.following(rule) if rule else model, steps, seeds, parameters).series


def kernel_rule(key: jax.Array, observation: jax.Array, parameters: Any) -> jax.Array:
    """25 centres on [-1, 1]^2, width 0.5, each with the clipped angle of its centre."""
    grid = jnp.linspace(-1, 1, 5)
    centres = jnp.stack(jnp.meshgrid(grid, grid), -1).reshape(-1, 2)
    squares = ((observation[:, None] - centres) ** 2).sum(-1)
    return jax.nn.softmax(-squares / 0.5, -1) @ jnp.clip(jnp.arctan2(centres[:, 1], centres[:, 0]), -0.4, 0.4)


@pytest.mark.parametrize(("name", "order"), [("vicsek", 1.0), ("kuramoto", 0.97)])
def test_swarms_order_by_a_rule_from_outside(name: str, order: float) -> None:
    assert swarm_run(name, rule=kernel_rule)["order"][:, -20:].mean() == pytest.approx(order, abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vicsek", "kuramoto"])
def test_swarms_order_by_the_classic_rule_and_not_by_chance(name: str) -> None:
    assert swarm_run(name, rule_name="align")["order"][:, -20:].mean() > 0.97
    assert 0.02 < swarm_run(name, rule_name="random")["order"][:, -20:].mean() < 0.15


@pytest.mark.slow
def test_swarms_gather_to_one_place_or_break_into_clumps() -> None:
    gathered = swarm_run("aggregation")["distance"]
    assert gathered[:, 0].mean() > 1.5
    assert gathered[:, -1].mean() < 0.03 * 4 * 0.5214  # of the mean distance of two points in the square
    assert swarm_run("aggregation", radius=0.75)["distance"][:, -1].mean() > 1.0
    assert swarm_run("aggregation", rule_name="random")["distance"][:, -1].mean() == pytest.approx(2.09, abs=0.15)


def kuramoto_order(coupling: float, spread: float) -> float:
    """Self-consistent order for normal frequencies: 1 = coupling * integral of cos^2 a g(coupling r sin a) da."""

    def excess(r: float) -> float:
        density = stats.norm(scale=spread).pdf
        value, _ = integrate.quad(lambda a: np.cos(a) ** 2 * density(coupling * r * np.sin(a)), -np.pi / 2, np.pi / 2)
        return coupling * value - 1

    from scipy.optimize import brentq

    return float(brentq(excess, 1e-6, 1.0)) if excess(1e-6) > 0 else 0.0


@pytest.mark.slow
def test_kuramoto_orders_above_the_critical_coupling() -> None:
    """Everybody sees everybody: critical coupling sqrt(8 / pi) 0.05 = 0.08; small steps, no noise, 800 agents."""
    critical, agents = np.sqrt(8 / np.pi) * 0.05, 800
    model = make_model("kuramoto", agents=agents, radius=10.0)
    for ratio in (0.5, 1.5, 2.5):
        run = simulate(model, 400, 1, {"noise": 0.0, "spread": 0.05, "coupling": ratio * critical})
        order = run.series["order"][0, -150:].mean()
        theory = kuramoto_order(ratio * critical, 0.05)
        assert (theory > 0) == (ratio > 1)
        # By chance the order is about 1 / sqrt(agents), more near the critical coupling.
        assert order == pytest.approx(theory, abs=0.04 if ratio > 1 else 0.12)


def test_swarm_models_are_equal_if_their_rules_are() -> None:
    model = make_model("vicsek", agents=20)
    other = model.following(kernel_rule)
    assert model != other
    assert other == model.following(kernel_rule)
    assert hash(other) == hash(model.following(kernel_rule))
    assert model == make_model("vicsek", agents=20)
    with pytest.raises(InputError, match="20,"):
        simulate(model.following(lambda key, seen, parameters: seen), 2)


def test_one_agent_alone_sees_nobody_and_turns_by_its_rule() -> None:
    model = make_model("vicsek", agents=1)
    parameters, population = model.check({"noise": 0.0}), model.population(0)

    @jax.jit
    def scene(action: jax.Array) -> tuple[Any, ...]:
        state = replaced(model.begin(KEY, population, parameters), {"heading": jnp.zeros(1)})
        moved = model.transition(KEY, state, action, parameters)
        return model.observe(state), moved.heading, model.square.apart(moved.x - state.x), model.reward(moved)

    seen, heading, way, order = scene(jnp.asarray([9.0]))
    assert seen.tolist() == [[0.0, 0.0]]
    assert float(heading[0]) == pytest.approx(0.4)
    assert float(way[0]) == pytest.approx(0.1, abs=1e-5)
    assert float(order) == pytest.approx(1.0)


# Opinions and norms.


def test_averaging_agrees_with_a_second_implementation_and_the_consensus_threshold() -> None:
    """All know each other: they agree above a confidence of about 0.2 (Fortunato 2005) and part below."""
    model = make_model("opinion", agents=400, network="complete")
    population = model.population(0)
    step = jax.jit(lambda key, state, parameters: model.step(key, state, parameters)[0])
    for confidence, agree in ((1.0, True), (0.27, True), (0.15, False), (0.0, False)):
        parameters = model.check({"confidence": confidence, "convergence": 1.0})
        x = np.asarray(model.begin(KEY, population, parameters).opinion, float)
        state = model.begin(KEY, population, parameters)
        for _ in range(25 if confidence < 1 else 1):
            state = step(KEY, state, parameters)
            x = np.asarray([x[np.abs(x - mine) <= confidence].mean() for mine in x])
        np.testing.assert_allclose(state.opinion, x, atol=1e-4)
        assert (np.ptp(x) < 0.01) == agree


@pytest.mark.slow
def test_pairs_agree_where_confidence_is_half() -> None:
    """And make about 1 / (2 confidence) large camps below (Deffuant 2000)."""
    model = make_model("opinion", agents=400, network="complete", process="pairs")
    population = model.population(0)
    for confidence, number in ((0.5, 1), (0.2, 2)):
        shares = simulate(model, 150, 3, {"confidence": confidence}, population=population).series["shares"][:, -1]
        edges = [np.flatnonzero(np.diff(np.concatenate([[0], x > 0, [0]]))).reshape(-1, 2) for x in shares]
        large = [sum(x[a:b].sum() > 0.1 for a, b in e) for x, e in zip(shares, edges, strict=True)]
        assert large == [number] * 3


def test_pairs_are_disjoint_neighbours_and_keep_the_mean() -> None:
    net = small_world(300, 6, 0.2, 0)
    table = np.zeros((300, 300), bool)
    table[np.repeat(np.arange(300), net.degrees), net.neighbours] = True
    partners = np.asarray(jax.jit(jax.vmap(lambda key: paired(key, net)))(jax.random.split(KEY, 40)))
    for partner in partners:
        np.testing.assert_array_equal(partner[partner], np.arange(300))
        apart = partner != np.arange(300)
        assert table[np.arange(300)[apart], partner[apart]].all()
    met = (partners != np.arange(300)).mean(0)
    assert 0.3 < met.mean() < 0.5
    assert met.min() > 0
    model = make_model("opinion", agents=300, process="pairs")
    run = simulate(model, 60, 2, {"confidence": 0.5}, population=model.on(net)).series
    np.testing.assert_allclose(run["mean"], run["mean"][:, :1].repeat(60, 1), atol=1e-6)
    assert (np.diff(run["deviation"]) <= 1e-6).all()


def test_a_norm_crosses_a_ring_as_fast_as_its_threshold_lets_it() -> None:
    """Four neighbours each: if one convinces it goes two places a step on both sides, if two one place, else none."""
    model = make_model("norm", agents=200, degree=4, rewiring=0.0, start="together")
    population = model.population(0)
    for threshold, speed in ((0.25, 4), (0.5, 2), (0.75, 0)):
        run = simulate(model, 20, 1, {"initial": 0.05, "threshold": threshold}, population=population)
        np.testing.assert_allclose(run.series["share"][0] * 200, 10 + speed * np.arange(1, 21), atol=1e-3)


@pytest.mark.slow
def test_thresholds_tip_where_granovetter_says() -> None:
    """Normal thresholds of mean 0.25 among all: the end is the first fixed point of r = F(r); it jumps at 0.122."""
    model = make_model("norm", agents=400, network="complete")
    population = model.population(0)
    for spread in (0.10, 0.15):
        end = 0.0
        for _ in range(500):
            end = float(stats.norm(0.25, spread).cdf(end))
        run = simulate(model, 60, 2, {"initial": 0.0, "threshold": 0.25, "spread": spread}, population=population)
        assert run.series["share"][:, -1].mean() == pytest.approx(end, abs=0.03)
        assert (end > 0.9) == (spread > 0.122)


@pytest.mark.slow
def test_voters_keep_the_mean() -> None:
    """The share is a martingale where everybody has as many neighbours, and runs end in agreement."""
    model = make_model("norm", agents=16, network="grid", degree=4, rule="voter")
    # On a grid that can be coloured like a chessboard all must not move at once, or the colours never meet.
    parameters = {"initial": 0.3, "activity": 0.5}
    share = simulate(model, 250, 80, parameters, population=model.population(0)).series["share"]
    assert share[:, -1].mean() == pytest.approx(share[:, 0].mean(), abs=3 * 0.46 / np.sqrt(80))
    assert np.isin(share[:, -1], [0.0, 1.0]).mean() > 0.8


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["threshold", "voter", "majority"])
def test_the_lonely_stay_as_they_are(rule: str) -> None:
    model = make_model("norm", agents=50, degree=0, rule=rule, lasting=False)
    state = model.begin(KEY, model.population(0), model.check({"initial": 0.4}))
    after, _ = model.step(KEY, state, model.check({}))
    np.testing.assert_array_equal(after.holds, state.holds)


def test_majorities_win_but_for_the_committed() -> None:
    model = make_model("norm", agents=50, network="complete", rule="majority")
    population = model.population(0)

    def end(initial: float, committed: float) -> float:
        parameters = {"initial": initial, "committed": committed}
        return float(simulate(model, 4, 1, parameters, population=population).series["share"][0, -1])

    assert end(0.2, 0.0) == 0
    assert end(0.8, 0.0) == 1
    assert 0 < end(0.2, 1.0) < 0.5


def test_networks_that_do_not_fit_are_refused() -> None:
    model = make_model("opinion", agents=5)
    with pytest.raises(InputError, match="agents"):
        model.on(network(4, [0], [1]))
    with pytest.raises(InputError, match="square"):
        make_model("norm", agents=10, network="grid").population(0)
    with pytest.raises(InputError, match="complete"):
        make_model("norm", agents=20_000, network="complete").population(0)
    for kind in ("small-world", "scale-free", "random", "regular", "grid", "complete"):
        assert make_model("norm", agents=36, network=kind, degree=4).population(0).net.count == 36


# Predators and prey.


def require_exact_counts(s: dict[str, np.ndarray], places: int) -> None:
    prey, predators = s["prey"], s["predators"]
    np.testing.assert_array_equal(np.diff(prey), (s["born"] - s["eaten"] - s["starved"])[:, 1:])
    np.testing.assert_array_equal(np.diff(predators), (s["litters"] - s["died"])[:, 1:])
    np.testing.assert_array_equal(s["map"].sum((3, 4)), np.stack([prey, predators], -1))
    assert (prey + predators <= places).all()
    assert (s["litters"] <= s["eaten"]).all()


def test_animals_are_counted_exactly() -> None:
    s = tiny_run("predator-prey", seeds=20)
    assert all(s[deed].any() for deed in ("born", "eaten", "starved", "litters", "died"))
    require_exact_counts(s, TINY)


@pytest.mark.slow
@pytest.mark.parametrize("grass", [False, True])
def test_animals_are_counted_exactly_in_long_runs(grass: bool) -> None:
    s = simulate(make_model("predator-prey", agents=600, grass=grass), 80, 2).series
    assert s["prey"][:, -1].any()
    require_exact_counts(s, 600)


@pytest.mark.slow
def test_what_is_certain_happens() -> None:
    model = make_model("predator-prey", agents=400, food=1000)
    population = model.population(0)

    def run(**parameters: float) -> dict[str, np.ndarray]:
        return simulate(model, 12, 1, parameters, population=population).series

    doubling = run(prey=0.01, predators=0.0, birth=1.0)["prey"][0]
    np.testing.assert_array_equal(doubling[1:], np.minimum(2 * doubling[:-1], 400))
    assert (run(prey=0.0, predators=1.0, death=0.0)["predators"] == 400).all()
    assert not run(prey=0.0, predators=1.0, death=1.0)["predators"].any()
    dying_out = run(prey=0.0, predators=0.0)
    assert not any(x.any() for x in dying_out.values())
    fed = run(catch=1.0, conversion=1.0, death=0.0, prey=0.2, birth=0.0)
    np.testing.assert_array_equal(fed["litters"], fed["eaten"])


def mean_field(n: float, p: float, steps: int, birth: float, catch: float, conversion: float, death: float) -> Any:
    """Densities in cells where all mix: pairs are E min(N, P) of Poisson numbers; the exact map of the model."""
    track = []
    for _ in range(steps):
        levels = np.arange(40)
        eaten = catch * (stats.poisson.sf(levels, n) * stats.poisson.sf(levels, p)).sum()
        n, p = (n - eaten) * (1 + birth), p * (1 - death) + conversion * eaten
        track.append((n, p))
    return np.asarray(track)


@pytest.mark.slow
def test_mixing_animals_follow_lotka_and_volterra() -> None:
    """Around n = death / (conversion catch), p = birth / catch, with the period 2 pi / sqrt(birth death)."""
    rates = {"birth": 0.05, "catch": 0.5, "conversion": 0.5, "death": 0.05}
    agents, side = 60_000, 160
    model = make_model("predator-prey", agents=agents, side=side, movement="anywhere", food=10**6)
    cells = side**2
    run = simulate(model, 260, 1, {**rates, "prey": 0.3 * cells / agents, "predators": 0.1 * cells / agents / 0.872})
    prey, predators = (run.series[k][0] / cells for k in ("prey", "predators"))
    exact = mean_field(prey[0], predators[0], 259, **rates)
    np.testing.assert_allclose(prey[1:120], exact[:119, 0], rtol=0.08)
    np.testing.assert_allclose(predators[1:120], exact[:119, 1], rtol=0.08)
    peaks = [t for t in range(5, 255) if prey[t] == prey[t - 5 : t + 6].max() and prey[t] > prey.mean()]
    period = 2 * np.pi / np.sqrt(0.05 * 0.05)
    assert peaks[-1] - peaks[0] == pytest.approx(period, rel=0.2)
    assert prey.mean() == pytest.approx(0.05 / 0.25, rel=0.25)
    assert predators.mean() == pytest.approx(0.05 / 0.5, rel=0.25)


# The labour market.


def test_money_is_conserved_to_the_unit_and_nobody_owes() -> None:
    model = make_model("labour", agents=500)
    population = model.population(0)
    total = int(population.money.sum()) + int(population.balance.sum())
    step = jax.jit(model.step)
    for values in ({}, {"confidence": 1.0, "spending": 1.0, "flexibility": 1.0}, {"separation": 1.0}):
        parameters = model.check(values)
        state = model.begin(KEY, population, parameters)
        for key in jax.random.split(KEY, 25):
            state, facts = step(key, state, parameters)
            assert int(np.asarray(state.money, np.int64).sum() + np.asarray(state.balance, np.int64).sum()) == total
            assert float(facts["imbalance"]) == 0
            assert min(state.money.min(), state.balance.min(), state.unfilled.min()) >= 0
            assert state.wage.min() >= 1
            assert state.employer.max() < model.settings.firms


def test_flows_make_the_stock_of_jobs() -> None:
    s = tiny_run("labour")
    jobs = np.round((1 - s["unemployment"]) * TINY)
    np.testing.assert_array_equal(np.diff(jobs), (s["hires"] - s["separations"] - s["layoffs"])[:, 1:])
    assert not tiny_run("labour", search=0.0, separation=0.0)["hires"].any()
    assert (tiny_run("labour", separation=1.0, search=0.0)["unemployment"] == 1).all()
    assert (tiny_run("labour", employed=0.0, confidence=0.0)["unemployment"] == 1).all()


def test_matches_are_those_of_urns_and_balls() -> None:
    """Of V vacancies and A applicants, V (1 - (1 - 1/V)^A) meet on average; no vacancy takes two."""
    vacancies = jnp.asarray([3, 0, 5, 2, 0])
    applicant = jnp.arange(30) < 12
    draw = jax.jit(jax.vmap(matched, in_axes=(0, None, None)))
    firms = np.asarray(draw(jax.random.split(KEY, 400), applicant, vacancies))
    assert (firms[:, 12:] == NOBODY).all()
    hired = np.stack([(firms == f).sum(1) for f in range(5)], 1)
    assert (hired <= np.asarray(vacancies)).all()
    expected = 10 * (1 - 0.9**12)
    assert hired.sum(1).mean() == pytest.approx(expected, abs=4 * hired.sum(1).std() / 20)
    assert stats.chisquare((firms[:, :12] != NOBODY).sum(0)).pvalue > 0.01
    assert (np.asarray(draw(jax.random.split(KEY, 400), applicant, jnp.zeros(5, jnp.int32))) == NOBODY).all()


@pytest.mark.slow
def test_the_beveridge_curve_slopes_down_and_shifts_out_with_turnover() -> None:
    model = make_model("labour", agents=2000)
    population = model.population(0)

    def rates(**parameters: float) -> tuple[float, float]:
        run = simulate(model, 60, 1, {"flexibility": 0.0, **parameters}, population=population).series
        return float(run["unemployment"][0, 20:].mean()), float(run["vacancy"][0, 20:].mean())

    curve = np.asarray([rates(confidence=c) for c in (0.4, 0.5, 0.6, 0.7)])
    assert (np.diff(curve[:, 0]) < 0).all()
    assert (np.diff(curve[:, 1]) > 0).all()
    # At the same vacancy rate, more unemployment.
    turbulent = np.asarray([rates(confidence=c, separation=0.1) for c in (0.4, 0.5, 0.6, 0.7)])
    at = 0.5 * (curve[1, 1] + curve[2, 1])
    assert np.interp(at, turbulent[:, 1], turbulent[:, 0]) > 1.2 * np.interp(at, curve[:, 1], curve[:, 0])
