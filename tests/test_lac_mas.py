"""Guided swarms: objectives, a generation and an exchange against plain rewrites, budgets, advice, projection."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.errors import InputError
from shoal.games.compilation import quickly_compiled
from shoal.games.consensus import Rules, Run, consensus_objectives, localisation, mixing, optimise
from shoal.games.consensus import guidance as g
from shoal.games.consensus import objectives as o
from shoal.games.consensus import swarm as s
from shoal.games.consensus.baselines import averaging_swarms, gradient_free
from shoal.models.interface import Completion, Model, Request
from shoal.runs.results import Results
from shoal.runs.study import Trial
from shoal.stats import Evidence, Verdict, judge
from shoal.studies import lac_mas as study
from shoal.studies.lac_mas import STUDY
from shoal.traces import TraceWriter, Usage

SMALL = Rules(particles=50, budget=4000)
"""Compiled once for each module: every run below that can uses it."""

# objectives


def one_of(problem: Any, seed: int = 0) -> Any:
    """The problem of one seed."""
    return jax.tree.map(lambda x: jnp.asarray(x[seed]), problem)


@pytest.mark.parametrize("names", [*((f,) for f in o.FUNCTIONS), ("rosenbrock", "schwefel")])
def test_conflict_cancels_and_the_optimum_is_where_it_was_put(names: tuple[str, ...]) -> None:
    with jax.enable_x64(True):
        problem = consensus_objectives(names, [7], agents=6, dimensions=8, conflict=100.0)
        assert np.allclose(problem.rotation[0] @ problem.rotation[0].T, np.eye(8))
        assert np.allclose(problem.conflict.sum(1), 0)
        one, calm = one_of(problem), one_of(replace(problem, conflict=0 * problem.conflict))
        points = jnp.asarray(np.random.default_rng(0).uniform(-50, 50, (4, 8)))
        assert np.allclose(o.mean_value(one, points), o.mean_value(calm, points))
        own = o.local_values(one, jnp.broadcast_to(points, (6, 4, 8)))
        assert np.abs(own - own.mean(0)).max() > 1  # they do pull apart
        assert float(o.mean_value(one, one.optimum[None])[0]) == pytest.approx(0, abs=1e-8)


def test_functions_are_the_formulas() -> None:
    z = np.array([1.5, -2.0, 3.0])

    def osz(x: float) -> float:
        h = np.log(abs(x))
        a, b = (10, 7.9) if x > 0 else (5.5, 3.1)
        return float(np.sign(x) * np.exp(h + 0.049 * (np.sin(a * h) + np.sin(b * h))))

    def asy(x: float, i: int) -> float:
        return x ** (1 + 0.2 * i / 2 * np.sqrt(x)) if x > 0 else x

    bent = [osz(x) for x in z]
    wanted = {
        "elliptic": sum(1e6 ** (i / 2) * x * x for i, x in enumerate(bent)),
        "schwefel": sum(sum(asy(x, k) for k, x in enumerate(bent[: i + 1])) ** 2 for i in range(3)),
        "rosenbrock": sum(100 * ((z[i] + 1) ** 2 - z[i + 1] - 1) ** 2 + z[i] ** 2 for i in range(2)),
        "griewank": 1 + (z**2).sum() / 4000 - np.prod(np.cos(z / np.sqrt([1, 2, 3]))),
    }
    with jax.enable_x64(True):
        for name, value in wanted.items():
            assert float(o._SHAPES[o.FUNCTIONS.index(name)](jnp.asarray(z))) == pytest.approx(value)


def test_sensors_hear_the_truth_best() -> None:
    quiet = localisation(2, [1], agents=5, noise=0.0)
    value = o.mean_value(one_of(quiet), jnp.asarray(quiet.optimum[0][None]))
    assert float(value[0]) == pytest.approx(0, abs=1e-6)
    assert float(o.loudness(np.zeros(2), np.array([10.0, 0.0]))) == pytest.approx(30 - 20)


@pytest.mark.parametrize("graph", o.GRAPHS)
def test_weights_of_graphs(graph: str) -> None:
    weights = mixing(graph, 12, 3)
    assert np.allclose(weights.sum(1), 1) and np.allclose(np.diag(weights), 0.5)
    assert ((weights > 0) == (weights > 0).T).all()
    if graph == "ring":
        assert weights[0, 1] == weights[0, 11] == 0.25


# dynamics


def test_plain_averaging_contracts_at_the_second_eigenvalue() -> None:
    with jax.enable_x64(True):
        for graph in o.GRAPHS:
            weights = mixing(graph, 9, 1)
            x = np.random.default_rng(0).normal(size=(9, 4, 3))
            start, gaps = x, []
            for _ in range(160):
                still = np.zeros_like(x)
                x = np.asarray(s.exchange(x, still, jnp.asarray(weights), jnp.ones(9), jnp.zeros((9, 4, 1)))[0])
                gaps.append(np.abs(x - x.mean(0)).max())
            second = np.sort(np.abs(np.linalg.eigvals(weights)))[-2]
            assert (gaps[100] / gaps[60]) ** (1 / 40) == pytest.approx(second, abs=0.01)
            assert np.allclose(np.asarray(s.exchange(start, start * 0, jnp.asarray(weights), jnp.ones(9), 0)[0]),
                               np.einsum("ij,jpd->ipd", weights, start))  # fmt: skip


def test_an_exchange_is_synchronous_and_scales_the_velocity() -> None:
    with jax.enable_x64(True):
        rng = np.random.default_rng(2)
        x, v, r = rng.normal(size=(4, 3, 2)), rng.normal(size=(4, 3, 2)), rng.random((4, 3, 1))
        weights, w = mixing("ring", 4), np.array([0.5, 1.0, 1.3, 1.8])
        new, speed = s.exchange(x, v, jnp.asarray(weights), jnp.asarray(w), r)
        for i in range(4):
            for p in range(3):
                pull = sum(weights[i, k] * (x[k, p] - x[i, p]) for k in range(4))
                assert np.allclose(speed[i, p], w[i] * r[i, p] * v[i, p] + pull)
                assert np.allclose(new[i, p], x[i, p] + speed[i, p])


def test_the_coefficient_follows_the_spread() -> None:
    relative = jnp.array([1e-5, 0.01, 0.5])
    given_w = jnp.tile(jnp.array([0.7, 1.3]), (3, 1))
    assert np.allclose(s.coefficient(Rules(), relative, given_w), [1.3, 1.0, 0.7])
    x = np.random.default_rng(0).normal(size=(2, 5, 3))
    assert np.allclose(s.spread(jnp.asarray(x)), [((a - a.mean(0)) ** 2).sum(1).mean() for a in x], rtol=1e-5)


def test_a_generation_is_the_plain_rewrite() -> None:
    with jax.enable_x64(True):
        problem = one_of(consensus_objectives(("griewank",), [0], agents=2, dimensions=4))
        rng, whole = np.random.default_rng(1), np.zeros(2, int)
        start = rng.uniform(-100, 100, (2, 50, 4))
        fitness = rng.normal(size=(2, 50))
        state = s.Swarms(
            start, start * 0, fitness, rng.random((2, 6)), fitness.min(1), whole, whole + 4, whole + 50, whole + 1.0,
            whole + 1.0, whole > 0,
        )  # fmt: skip
        v = jnp.asarray(np.random.default_rng(1).normal(size=state.x.shape))
        key = jax.random.key(11)
        generation = quickly_compiled("rules")(s._generation)
        new, speed = generation(SMALL, problem, key, state, v, jnp.array([True, False]))
        choose, levels, move = jax.random.split(key, 3)
        choice = int(jax.random.categorical(choose, s.SHARPNESS * state.gains)[0])
        u = np.asarray(jax.random.uniform(levels, (4, 2, 50), jnp.float32), float)[:, 0]
        q = np.asarray(jax.random.uniform(move, (3, *state.x.shape), jnp.float32), float)[:, 0]
        order, count = np.argsort(np.asarray(state.fitness[0])), s.LEVELS[choice]
        size, x, old = 50 // count, np.asarray(state.x[0]), np.asarray(v[0])
        for rank, p in enumerate(order):
            level = min(rank // size, count - 1)
            if level == 0:
                assert np.array_equal(new.x[0, p], x[p])
                continue
            first = int(u[0, rank] * level)
            second = int(u[1, rank] * (level - 1)) if level > 1 else 0
            second = second + (second >= first) if level > 1 else 0
            picks = sorted(lv * size + int(u[2 + k, rank] * size) for k, lv in enumerate(sorted((first, second))))
            better, worse = x[order[picks[0]]], x[order[picks[1]]]
            assert picks[1] < level * size and (level == 1 or first != second)
            wanted = q[0, rank] * old[p] + q[1, rank] * (better - x[p]) + 0.5 * q[2, rank] * (worse - x[p])
            assert np.allclose(speed[0, p], wanted) and np.allclose(new.x[0, p], np.clip(x[p] + wanted, -100, 100))
        assert np.array_equal(new.x[1], state.x[1]) and np.array_equal(speed[1], v[1])  # not its turn
        assert list(np.asarray(new.used - state.used)) == [50, 0]


def small_run(rules: Rules, **advice: Any) -> Run:
    """One run of the size that the model's run below has, too."""
    problem = consensus_objectives(("rosenbrock", "schwefel"), [1], agents=4, dimensions=5)
    return optimise(problem, mixing("ring", 4), rules, [1], **advice)


@pytest.fixture(scope="module")
def runs() -> dict[str, Run]:
    def run(rules: Rules = SMALL, **advice: Any) -> Run:
        return small_run(rules, **advice)

    adaptive, rng = replace(SMALL, adaptive=True), np.random.default_rng(0)
    return {
        "plain": run(), "ones": run(adaptive, start=(1.0, 1.0)), "adaptive": run(adaptive),
        "constant": run(adaptive, act=g.constant_act, cooperate=g.constant_weights),
        "random": run(adaptive, act=g.random_act(rng), cooperate=g.random_weights(rng)),
    }  # fmt: skip


def test_coefficients_of_one_are_masoie_to_the_last_bit(runs: dict[str, Run]) -> None:
    assert np.array_equal(runs["plain"].answers, runs["ones"].answers)
    assert not np.array_equal(runs["plain"].answers, runs["adaptive"].answers)
    assert np.array_equal(runs["adaptive"].answers, runs["constant"].answers)  # asked, and told what was in force
    assert not np.array_equal(runs["adaptive"].answers, runs["random"].answers)


def test_budgets_are_counted_and_kept(runs: dict[str, Run]) -> None:
    for name in ("plain", "ones", "adaptive", "random"):
        run = runs[name]
        assert (run.used <= 4000).all() and (run.used > 4000 - 5 * 50).all()
        assert (run.loops == 15).all() and (run.used == 50 + run.loops * 5 * 50).all()  # nobody stagnates so early
        assert (run.messages == run.loops * 8 * 50 * 5 * 8).all()  # links, particles, dimensions, bytes
    assert (runs["plain"].disagreement > 1e-2).all() and np.isfinite(runs["random"].trail.spread).all()


@pytest.mark.slow
def test_one_swarm_on_the_mean_and_consensus_without_search() -> None:
    central, quiet = small_run(replace(SMALL, central=True)), small_run(replace(SMALL, searching=False, budget=40_000))
    assert (central.used == 50 + central.loops * 4 * 50).all()
    assert (central.messages == 0).all() and (central.disagreement == 0).all()
    assert (quiet.disagreement < 1e-9).all()
    config = STUDY.configure("quick", {"agents": 6})
    trial = Trial(config, study.CONTRACTION, "ring", 0, 0, TraceWriter(None, "t"))
    found: Any = STUDY.experiment(study.CONTRACTION).trial(trial)
    assert found["rate off"] < 0.02 and found["disagreement"] < 1e-7


def test_controls_differ_from_their_treatment_in_the_advice_only() -> None:
    config, rng = STUDY.configure("standard"), np.random.default_rng(0)
    for treatment, asked, controls in (
        (study.COOP, {"cooperate"}, (study.OWN_WEIGHTS, study.RANDOM_WEIGHTS)),
        (study.ACT, {"act"}, ("constant act", "random act")),
        (study.FULL, {"act", "cooperate"}, (study.CONSTANT, study.RANDOM)),
    ):
        for name in (treatment, *controls):
            assert study.rules(config, name, 20_000) == study.rules(config, treatment, 20_000)
            assert set(study.advisors(name, rng)) == asked


def test_schedule() -> None:
    times = s.Schedule.of(Rules())
    last = int(0.75 * Rules().loops)
    assert times.horizon == last and times.act == (int(np.ceil(0.3 * last)), int(np.ceil(0.6 * last)))
    assert all(0 < t < last for t in (*times.act, *times.cooperate)) and len(times.cooperate) == 9


def test_baselines_search_and_agree() -> None:
    problem, weights = consensus_objectives(("elliptic",), [5], agents=4, dimensions=4, conflict=0.0), mixing("ring", 4)
    for method in (gradient_free, averaging_swarms):
        little, _ = method(problem, weights, 120, [0])
        much, apart = method(problem, weights, 6000, [0])
        assert much[0] < 0.1 * little[0] and np.isfinite(apart[0])


# advice


def moment(objective: Any, apart: Any, loop: int | None = None) -> s.Moment:
    """A moment of one seed and three agents on a path, from trails [loops, 3]."""
    a, b = (np.asarray(x, float)[None] for x in (objective, apart))
    near = np.array([[0.5, 0.5, 0], [0.25, 0.5, 0.25], [0, 0.5, 0.5]])
    trail = s.Trail(a, b, a * 0 + 1, a * 0 + 2)
    return s.Moment(loop or a.shape[1], trail, (np.tile([0.7, 1.3], (1, 3, 1)), near[None]), near)


def test_the_scripted_rules() -> None:
    still, falling = np.full(30, 10.0), np.linspace(100, 10, 30)
    seen = moment(np.stack([still, falling, still], 1), np.stack([np.r_[9, [0.01] * 29], [9] * 30, [9] * 30], 1))
    told = g.scripted_act(np.random.default_rng(0))(seen)
    assert np.allclose(told[0], [[0.7, 1.4], [0.7, 1.3], [0.8, 1.3]])
    wrong = g.scripted_act(np.random.default_rng(0), error=1.0)(seen)
    assert not np.isclose(wrong, told).any()
    ranked = moment(np.tile([1.0, 5.0, 9.0], (30, 1)), np.tile([1.0, 5.0, 9.0], (30, 1)))
    rows = g.scripted_weights(np.random.default_rng(0))(ranked)[0]
    assert np.allclose(rows.sum(1), 1) and rows[0, 2] == rows[2, 0] == 0
    assert rows[1, 0] == rows[1, 1] > rows[1, 2] > 0  # good ones count more, to the median
    for advise in (g.constant_weights, g.random_weights(np.random.default_rng(0))):
        row = advise(ranked)[0]
        assert np.allclose(row.sum(1), 1) and (row[ranked.mixing == 0] == 0).all()
    drawn = g.random_act(np.random.default_rng(0))(ranked)
    assert ((drawn[..., 0] >= 0.5) & (drawn[..., 0] <= 1) & (drawn[..., 1] >= 1) & (drawn[..., 1] <= 1.8)).all()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("(0.6, 1.5)", (0.6, 1.5)), ("I think (1, 2) no.\nSo (0.9, 1.2)", (0.9, 1.2)), ("(9, 9)", (1.0, 1.8)),
        ('{"d": "0.85", "c": "1.2"}', (0.85, 1.2)), ("(0.5, 1, 2)", None), ("(nan, 1)", None), ("(a, b)", None),
        ("", None), ('{"d": "x", "c": 1}', None),
    ],
)  # fmt: skip
def test_reading_coefficients(text: str, wanted: tuple[float, float] | None) -> None:
    assert g.read_coefficients(text) == wanted


def test_reading_weights() -> None:
    assert np.allclose(g.read_weights("Not [1, 2]. [0.5, 0.3, 0.2]", [0, 1, 3], 4), [0.5, 0.3, 0, 0.2])  # type: ignore[arg-type]
    assert np.allclose(g.read_weights('{"0": "0.1", "3": "0.4"}', [0, 3], 4), [0.1, 0, 0, 0.4])  # type: ignore[arg-type]
    assert g.read_weights("[0.5, 0.5]", [0, 1, 3], 4) is None and g.read_weights("none", [0], 2) is None


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=0, max_size=6))
def test_no_reply_breaks_a_row(row: list[float]) -> None:
    near, old = np.array([True, True, False, True]), np.array([0.5, 0.25, 0.0, 0.25])
    kept = g.projected(row, near, old)
    assert abs(kept.sum() - 1) <= 1e-12 and (kept >= 0).all() and kept[2] == 0
    if len(row) == 4 and np.isfinite(row).all() and max(row[0], row[1], row[3]) <= 0:
        assert kept is old


def test_projection_of_everything_else() -> None:
    near, old = np.array([True, True]), np.array([0.4, 0.6])
    for bad in (None, "x", [], [1, 2, 3], [[1, 2]], [0, 0], [-1, 0], [np.nan, 1]):
        assert np.array_equal(g.projected(bad, near, old), old)
    assert np.allclose(g.projected([3, 1], near, old), [0.75, 0.25])


# models


class Adviser(Model):
    """Answers from a list and keeps what it was asked."""

    spec, evidence, identity = "adviser", Evidence.SCRIPTED, "adviser"

    def __init__(self) -> None:
        self.seen: list[Request] = []

    async def complete(self, request: Request) -> Completion:
        self.seen.append(request)
        text = request.messages[-1]["content"]
        return Completion("(0.6, 1.8)" if "(d, c)" in text else "no idea", Usage(10, 5, 1))


async def test_a_model_advises_at_the_schedule_from_local_data_only() -> None:
    sized = {"particles": 50, "language_agents": 4, "language_dimensions": 5, "language_evaluations": 4000}
    config = STUDY.configure("quick", sized | {"free_replies": True})
    model = Adviser()
    trial = Trial(config, "language", "", 0, 0, TraceWriter(None, "t"), model, (0,))
    outcome = STUDY.experiment("language").trial(trial)
    assert inspect.isawaitable(outcome)
    found: Any = await outcome
    times = s.Schedule.of(study.rules(config, study.FULL, 4000))
    assert len(model.seen) == found[study.MODEL]["calls"] == 4 * (len(times.act) + len(times.cooperate))
    assert found[study.MODEL]["d"] == pytest.approx(0.6) and found[study.MODEL]["c"] == pytest.approx(1.8)
    assert found[study.MODEL]["unread"] == pytest.approx(len(times.cooperate) / (len(times.act) + len(times.cooperate)))
    assert study.forecast(trial).calls == len(model.seen)
    shares = {name: measured["share of budget"] for name, measured in found.items()}
    assert len(set(shares.values())) == 1 and 0 < shares[study.SCRIPT] <= 1
    asked = [m.messages[-1]["content"] for m in model.seen]
    assert all("itself" in text and text.count("neighbour ") == 2 for text in asked if "weigh" in text)
    menu = g.act_prompt(moment(np.ones((4, 3)), np.ones((4, 3))), 0, 1, menu=True)
    assert '"d"' in menu and set(g.act_schema()["properties"]) == {"d", "c"}
    assert set(g.weights_schema([0, 2])["properties"]) == {"0", "2"}


# the study


def test_replies_keep_rows() -> None:
    config = STUDY.configure("quick", {"replies": 2000, "agents": 6})
    trial = Trial(config, study.REPLIES, "projection", 0, 0, TraceWriter(None, "t"))
    found: Any = STUDY.experiment(study.REPLIES).trial(trial)
    assert found["row off"] <= 1e-12 and found["weight of strangers"] == 0


def test_bad_input_is_refused() -> None:
    split = np.kron(np.eye(2), np.ones((2, 2)))
    for call, word in (
        (lambda: mixing(split, 4), "connected"), (lambda: mixing(np.triu(np.ones((3, 3))), 3), "symmetric"),
        (lambda: mixing("star", 4), "graph"), (lambda: mixing(np.ones((2, 2)), 3), "graph"),
        (lambda: Rules(particles=20), "particles"), (lambda: Rules(budget=10), "budget"),
        (lambda: Rules(low=2.0), "low"), (lambda: consensus_objectives(("sphere",), [0]), "functions"),
        (lambda: consensus_objectives((), [0]), "functions"),
        (lambda: consensus_objectives(("elliptic",), []), "seeds"), (lambda: localisation(1, [0], agents=1), "agents"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=word):
            call()
    problem = consensus_objectives(("elliptic",), [0], agents=3, dimensions=3)
    with pytest.raises(InputError, match="weights"):
        optimise(problem, np.ones((3, 3)), SMALL, [0])
    with pytest.raises(InputError, match="seeds"):
        optimise(problem, mixing("ring", 3), SMALL, [0, 1])
    with pytest.raises(InputError, match="objective"):
        optimise(replace(problem, conflict=problem.conflict * np.nan), mixing("ring", 3), SMALL, [0])


def test_claims_and_plots_without_measurements() -> None:
    assert STUDY.plots is not None and STUDY.plots(Results()) == {}
    for claim in STUDY.claims:
        finding = judge(claim.id, "", STUDY.experiment(claim.experiment).evidence, claim.checks(Results()))
        assert finding.verdict is Verdict.NOT_RUN
