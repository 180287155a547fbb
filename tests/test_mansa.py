"""MANSA: the exact switch, fees, budgets, who learns from what, the modes of switching; and its study."""

from __future__ import annotations

import itertools
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from judging import verdicts_of
from learning_worlds import begun, updated
from shoal.errors import InputError
from shoal.marl import evaluate, make_learner, train
from shoal.marl.compilation import QUICK
from shoal.marl.mansa import MODES, Switch, decisions, switched_episodes
from shoal.marl.players import View
from shoal.marl.replay import Sample, Transition
from shoal.marl.switching import TabularGame, best_switch
from shoal.marl.training import Progress
from shoal.runs.results import Results
from shoal.runs.study import Trial
from shoal.stats import Verdict
from shoal.studies import mansa
from shoal.studies.mansa import CL, IL, MANSA, RANDOM, SCHEDULE, STUDY, label
from shoal.traces import TraceWriter
from shoal.worlds import make_world

TINY: dict[str, Any] = {"worlds": 4, "rollout": 4, "batch": 8, "buffer": 64, "warmup": 32, "hidden": (8,)}
ZONE = make_world("coordination-zone", size=2, horizon=5)


def trained(switching: Any = "learned", steps: int = 96, seeds: int = 1, **changes: Any) -> Any:
    given = {**TINY, "switching": switching, **changes}
    return train("mansa", ZONE, steps=steps, seeds=seeds, settings=given, episodes=0, compilation=QUICK)


@cache
def all_modes() -> Any:
    """One seed for each mode, side by side, with a budget of 3 calls in episodes of 5 steps."""
    return trained(MODES, 320, len(MODES), budget=3, call_share=0.5, switch_epsilon_end=0.5)


# ---- the exact switch


@pytest.mark.parametrize("fee", [0.0, 0.05, 0.3])
def test_value_iteration_is_the_best_of_all_switches(fee: float) -> None:
    """Against all 2^5 switches, each valued by solving its linear system."""
    game, discount = TabularGame(places=5, layout=3), 0.8
    rng, states = np.random.default_rng(1), np.arange(5)
    own, joint = rng.integers(0, 9, 5), rng.integers(0, 9, 5)
    rewards, chances = game.rewards(), game.chances()
    values = {}
    for calls in itertools.product((0, 1), repeat=5):
        chosen = np.where(calls, joint, own)
        r = rewards[states, chosen] - fee * np.array(calls)
        values[calls] = np.linalg.solve(np.eye(5) - discount * chances[states, chosen], r)
    best = best_switch(game, own, joint, fee, discount)
    found = values[tuple(int(c) for c in best.calls)]
    np.testing.assert_allclose(best.value, found, atol=1e-8)
    for value in values.values():
        assert (value <= best.value + 1e-8).all()
    assert (best.calls == (best.gain >= 0)).all()


def test_fees_decide_at_the_ends() -> None:
    game, rng = TabularGame(), np.random.default_rng(0)
    own, joint = rng.integers(0, 9, 10), rng.integers(0, 9, 10)
    free, dear = (best_switch(game, own, joint, fee, 0.9) for fee in (0.0, 100.0))
    assert not dear.calls.any() and free.calls.any()
    assert free.calls[own == joint].all()  # equally good counts as worth nothing more than nothing


@pytest.mark.parametrize(
    ("change", "word"),
    [({"fee": -0.1}, "fee"), ({"discount": 1.0}, "discount"), ({"central": np.full(10, 9)}, "central")],
)
def test_value_iteration_refuses(change: dict[str, Any], word: str) -> None:
    given = {"independent": np.zeros(10, int), "central": np.zeros(10, int), "fee": 0.1, "discount": 0.9, **change}
    with pytest.raises(InputError, match=word):
        best_switch(TabularGame(), **given)


def test_the_tabular_game_does_as_its_tables_say() -> None:
    game = TabularGame(places=4, choices=2)
    assert np.allclose(game.chances().sum(-1), 1) and ((game.chances() > 0).sum(-1) <= 3).all()
    state, _ = game.at(jnp.full(20_000, 2))
    actions = jnp.stack([jnp.full(20_000, 1), jnp.zeros(20_000, jnp.int32)])
    after, shown = jax.jit(game.step)(jax.random.key(0), state, actions)
    share = np.bincount(np.asarray(after.place), minlength=4) / 20_000
    np.testing.assert_allclose(share, game.chances()[2, 2], atol=0.02)
    np.testing.assert_allclose(shown.reward, game.rewards()[2, 2], rtol=1e-6)


# ---- who learns from what


def sample() -> Sample:
    """Sixteen steps in the zone, half of them called, one call left in each."""
    rng = np.random.default_rng(0)
    state, first = ZONE.reset(jax.random.key(0), (1, 16))
    action = jnp.asarray(rng.integers(0, 3, (2, 1, 16)), jnp.int32)
    _, then = ZONE.step(jax.random.key(1), state, action)
    fresh = jnp.zeros((1, 16), bool)

    def seen(shown: Any) -> View:
        return View(shown.obs.swapaxes(0, 1), jnp.zeros((0, 1, 16)), shown.alive, shown.legal.swapaxes(0, 1), fresh)

    extra = {"call": jnp.asarray(np.arange(16)[None] % 2), "left": jnp.ones((1, 16), jnp.int32)}
    return Sample(Transition(seen(first), action, then.reward, seen(then), then.terminated, extra), None)


@cache
def losses(fee: float, calls: bool = True) -> Any:
    """Losses by part of fresh parameters, and the errors of the switch and of the central learner."""
    learner: Any = make_learner("mansa", **TINY, fee=fee, budget=4)

    @jax.jit
    def run() -> Any:
        parts, steps = learner.parts(jax.random.key(0), ZONE), sample().steps
        call = steps.extra["call"] * calls
        steps = Transition(
            steps.view, steps.action, steps.reward, steps.next, steps.terminated, {**steps.extra, "call": call}
        )
        batch = Sample(steps, learner.start(parts, 2, (16,)))
        switch, _, _ = parts["switch"].errors(parts["switch"], batch, jnp.asarray(fee), 0.9, True)
        own = Sample(steps, batch.memory["central"])
        central, _, _ = parts["central"].errors(parts["central"], own, learner.settings.discount, True, True)
        return learner.losses(parts, parts, batch, jnp.asarray(0.0)), switch, central, call

    return jax.tree.map(np.asarray, run())


def test_agents_never_see_the_fee_and_the_switch_does() -> None:
    (free, free_error, _, call), (dear, dear_error, _, _) = losses(0.0), losses(5.0)
    # A called step's target is lower by the fee, so its error is higher by as much.
    np.testing.assert_allclose(dear_error - free_error, 5.0 * call[None], atol=1e-5)
    for part in ("independent", "central"):
        assert free[part].value == dear[part].value
    assert free["switch"].value != dear["switch"].value


def test_the_central_learner_learns_from_called_steps_only() -> None:
    found, _, error, _ = losses(0.0)
    assert found["central"].value == pytest.approx(0.5 * np.square(error[:, 1::2]).mean(), rel=1e-5)
    assert found["central"].figures["samples"] == 8 and found["central"].active
    none = losses(0.0, calls=False)[0]["central"]
    assert none.value == 0.0 and not none.active and none.figures["updates"] == 0.0


def test_the_fee_rises_in_its_warm_up() -> None:
    learner: Any = make_learner("mansa", **TINY, fee=0.4, fee_warmup=100)
    parts = {"switch": Switch(None, learner.settings.terms(0))}  # type: ignore[arg-type]
    fees = [float(learner.fee(parts, jnp.asarray(s))) for s in (0.0, 50.0, 1000.0)]
    np.testing.assert_allclose(fees, [0.0, 0.2, 0.4], rtol=1e-6)


@pytest.mark.slow
def test_both_policies_remember_whoever_acts() -> None:
    """With all else equal, memories after a step do not depend on the switch."""
    memories = []
    for switching in ("never", "always"):
        learner = make_learner(
            "mansa", **{**TINY, "hidden": (8, 8)}, recurrent=True, chunk=4, memory=4, switching=switching
        )
        state = begun(learner, ZONE, 0)
        seen = _seen()
        parts = jax.tree.map(lambda x: x[0], state.model)
        start = learner.start(parts, 2, (3,))  # type: ignore[attr-defined]
        decided = learner.decide(jax.random.key(1), parts, seen, start, jnp.asarray(0.0))  # type: ignore[attr-defined]
        memories.append(decided.memory)
        assert int(decided.extra["call"].sum()) == (3 if switching == "always" else 0)
    for one, two in zip(jax.tree.leaves(memories[0]), jax.tree.leaves(memories[1]), strict=True):
        np.testing.assert_array_equal(one, two)
    assert float(jnp.abs(memories[0]["central"]).max()) > 0


# ---- switching


def test_every_mode_calls_as_it_should_and_never_more_than_its_budget() -> None:
    result = all_modes()
    calls = dict(zip(MODES, result.history["calls"].mean(0), strict=True))
    assert calls["never"] == 0.0
    assert calls["always"] == pytest.approx(0.6)  # 3 of 5 steps
    assert calls["schedule"] == pytest.approx(0.3, abs=0.02)  # the same in the first half
    assert 0.35 < calls["random"] < 0.5 and 0.1 < calls["learned"] < 0.6
    played = switched_episodes(result.learner.switched(result.state), len(MODES), ZONE, 32, jax.random.key(0))
    assert played.calls.max() == 3 and (played.lengths == 5).all()
    assert (played.calls[MODES.index("always")] == 3).all()
    assert not played.calls[MODES.index("never")].any() and not played.calls[MODES.index("schedule")].any()


def test_only_learned_switches_learn_and_terms_stay() -> None:
    result = all_modes()
    first = begun(result.learner, ZONE, *result.seeds)
    moved = [
        float(jnp.abs(a - b).max())
        for a, b in zip(
            result.state.model["switch"].network.head.weight, first.model["switch"].network.head.weight, strict=True
        )
    ]
    assert [x > 0 for x in moved] == [m in ("learned", "shuffled") for m in MODES]
    for name in ("model", "target"):
        terms = getattr(result.state, name)["switch"].terms
        np.testing.assert_array_equal(terms.budget, np.full(len(MODES), 3.0))
        np.testing.assert_array_equal(terms.mode, np.arange(len(MODES)))
    heads = result.state.model["central"].network.head.weight
    started = first.model["central"].network.head.weight
    np.testing.assert_array_equal(heads[MODES.index("never")], started[MODES.index("never")])
    np.testing.assert_array_equal(started[0], started[-1])  # seeds of one deal begin alike


def test_a_shuffled_switch_keeps_the_rate() -> None:
    """Its calls in a moment are the learned switch's, dealt to other worlds."""
    learner = make_learner("mansa", **TINY, switching=("learned", "shuffled"))
    state = begun(learner, ZONE, 0, 1)
    obs = jax.random.normal(jax.random.key(5), (ZONE.observation_size, 2, 64))
    seen = View(obs, jnp.zeros((0, 64)), jnp.ones((2, 64), bool), jnp.ones((3, 2, 64), bool), jnp.ones(64, bool))
    calls = []
    for i in range(2):
        parts = jax.tree.map(lambda x, i=i: x[i], state.model)
        start = learner.start(parts, 2, (64,))  # type: ignore[attr-defined]
        calls.append(np.asarray(learner.decide(jax.random.key(3), parts, seen, start, jnp.asarray(0.0)).extra["call"]))  # type: ignore[attr-defined]
    assert 0 < calls[0].sum() < 64 and calls[0].sum() == calls[1].sum() and (calls[0] != calls[1]).any()


def test_players_of_both_modes(tmp_path: Path) -> None:
    result = trained()
    alone = result.learner.player(result.state)
    assert evaluate(jax.tree.map(lambda x: x[0], alone), ZONE, 4, 0).returns.shape == (4, 2)
    chosen = decisions(result.state, _seen())
    assert chosen.calls.shape == (1, 3) and chosen.independent.shape == chosen.central.shape == (1, 2, 3)
    switched = make_learner("mansa", **TINY, execution="switched").player(result.state)
    assert evaluate(jax.tree.map(lambda x: x[0], switched), ZONE, 4, 0).returns.shape == (4, 2)
    with pytest.raises(InputError, match="global state"):
        jax.tree.map(lambda x: x[0], switched).choose(jax.random.key(0), _seen(1), None)


def _seen(missing: int = 0) -> View:
    size = ZONE.observation_size - missing
    return View(
        jnp.ones((size, 2, 3)), jnp.zeros((0, 3)), jnp.ones((2, 3), bool), jnp.ones((3, 2, 3), bool), jnp.ones(3, bool)
    )  # fmt: skip


@pytest.mark.slow
def test_resume_is_bit_for_bit(tmp_path: Path) -> None:
    given = {
        **TINY, "fee": (0.0, 0.1), "budget": 2, "central_learner": "jal", "recurrent": True, "chunk": 2, "memory": 4,
        "hidden": (8, 8),
    }  # fmt: skip
    whole = train("mansa", ZONE, steps=160, seeds=2, settings=given, episodes=0)

    class Stop(Exception):
        pass

    def stop(progress: Progress) -> None:
        if progress.step >= 80:
            raise Stop

    with pytest.raises(Stop):
        train("mansa", ZONE, steps=160, seeds=2, settings=given, episodes=0, out=tmp_path / "run", checkpoint_every=48,
              progress=stop)  # fmt: skip
    resumed = train(resume=tmp_path / "run")
    for one, other in zip(jax.tree.leaves(whole.state), jax.tree.leaves(resumed.state), strict=True):
        if jnp.issubdtype(one.dtype, jax.dtypes.prng_key):
            one, other = jax.random.key_data(one), jax.random.key_data(other)
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"fee": -1}, "fee"),
        ({"fee": (0.1, float("nan"))}, "fee"),
        ({"fee": ()}, "fee"),
        ({"budget": -2}, "budget"),
        ({"call_share": 1.5}, "call_share"),
        ({"fee": (0.1, 0.2), "budget": (1, 2, 3)}, "one length"),
        ({"switching": "schedule"}, "total_steps"),
        ({"switching": "sometimes"}, "switching"),
    ],
)
def test_settings_out_of_range_are_named(change: dict[str, Any], word: str) -> None:
    with pytest.raises(InputError, match=word):
        make_learner("mansa", **change)


def test_seeds_must_fill_whole_deals() -> None:
    with pytest.raises(InputError, match="multiple of 2"):
        make_learner("mansa", **TINY, fee=(0.0, 0.1)).init(jax.random.split(jax.random.key(0), 3), ZONE)


def test_observations_that_are_not_finite_stop_the_training() -> None:
    from learning_worlds import Recall

    learner = make_learner("mansa", **TINY)
    _, metrics = updated(learner, begun(learner, Recall(poison=True), 0))
    assert int(metrics["fault"][0]) == 1


# ---- the study


def trial_of(experiment: str, seeds: int = 2, **changes: Any) -> Trial[Any]:
    config = STUDY.configure("quick", changes)
    return Trial(config, experiment, "", 0, 0, TraceWriter(None, "test"), None, tuple(range(seeds)))


verdict = verdicts_of(STUDY)


def synthetic(good: bool) -> Results:
    """Results of a world in which the claims hold, or in which the switch does nothing."""
    results, rng = Results(), np.random.default_rng(0)
    best = {IL: 0.7, CL: 1.0, MANSA: 1.0 if good else 0.7, RANDOM: 0.8, SCHEDULE: 0.8}
    for seed in range(10):
        noise = rng.normal(0, 0.002)
        for experiment, shares in (("zone", mansa.SHARES), ("igm", (mansa.MAIN,))):
            for variant, value in best.items():
                for share in shares:
                    gap = 0.9 if good and variant == MANSA else 0.0
                    calls = {IL: 0.0, CL: 1.0}.get(variant, share if good else 0.7)
                    results.add(experiment, variant, seed, {
                        f"return {label(share)}": value + noise, f"zone gap {label(share)}": gap + noise,
                        f"calls {label(share)}": min(calls, 0.5) if good else calls,
                        f"calls, greedy {label(share)}": calls,
                        f"calls over time {label(share)}": np.linspace(0.5, calls, mansa.POINTS),
                        f"map {label(share)}": rng.random(25),
                        f"kept by IL alone {label(share)}": 0.1 if good else -0.2,
                    })  # fmt: skip
        results.add("table", "Global", seed, {f"agrees c={c:g}": [1.0 if good else 0.5] * 10 for c in mansa.TABLE_FEES})
        for i, c in enumerate(mansa.FEES):
            fell = (0.9 - 0.2 * i if good else 0.1 * i) + noise
            results.add("fees", MANSA, seed, {f"calls, greedy c={c:g}": fell, f"return c={c:g}": 0.9 + noise})
        for i, n in enumerate(mansa.BUDGETS):
            grown = {
                f"most calls n={n}": float(n if good else n + 1),
                f"return n={n}": 0.7 + (0.05 * i if good else 0.0),
            }
            results.add("budgets", mansa.BUDGET, seed, {**grown, f"calls, greedy n={n}": n / 25})
    return results


HOLDING = (
    "table", "where", "grows", "beats-il", "keeps-up", "random-return", "random-where", "schedule", "fee",
    "budget-kept", "budget-pays", "decentralised",
)  # fmt: skip


@pytest.mark.parametrize("claim", HOLDING)
def test_claims_hold_where_they_should_and_fail_where_nothing_happens(claim: str) -> None:
    assert verdict(claim, synthetic(True)) is Verdict.REPRODUCED
    assert verdict(claim, synthetic(False)) in (Verdict.NOT_REPRODUCED, Verdict.INCONCLUSIVE)


def test_every_claim_reads_an_experiment_and_says_nothing_without_it() -> None:
    for claim in STUDY.claims:
        assert STUDY.experiment(claim.experiment)
        assert claim.checks(Results()) == []


def test_plots_show_what_was_measured() -> None:
    assert set(mansa.plots(synthetic(True))) == {"map", "calls", "pareto"}
    assert mansa.plots(Results()) == {}


def test_welch_is_scipys() -> None:
    from scipy.stats import ttest_ind

    one, two = np.array([27.5, 21.0, 19.0, 23.6, 17.0, 17.9]), np.array([27.1, 22.0, 20.8, 23.4])
    found, other = mansa.welch(one, two), ttest_ind(one, two, equal_var=False)
    assert (found.low, found.high) == pytest.approx(tuple(other.confidence_interval()))
    assert found.p == pytest.approx(other.pvalue)
    assert mansa.welch(np.ones(3), np.zeros(3)).low == 1.0


def test_the_learned_switch_is_the_exact_one() -> None:
    """The page's tabular check, shortened; the full one is the study's."""
    found = mansa.table(trial_of("table", 2, table_steps=24_000, batches=4))
    for fee, least in ((0.0, 0.9), (0.1, 0.8), (10.0, 1.0)):
        assert np.mean([np.mean(m[f"agrees c={fee:g}"]) for m in found]) >= least


@pytest.mark.slow
def test_the_zone_measures_all_that_is_declared() -> None:
    found = mansa.zone(trial_of("zone", 1, steps=2000, grid=3))
    assert tuple(found) == STUDY.experiment("zone").variants == tuple(mansa.ARMS)
    name = label(mansa.MAIN)
    assert found[IL][0][f"calls {name}"] == 0.0 and found[CL][0][f"calls {name}"] == pytest.approx(1.0)
    assert found[RANDOM][0][f"zone gap {name}"] == 0.0
    assert found[SCHEDULE][0][f"calls {name}"] == pytest.approx(0.3, abs=0.08)  # 31 updates
    assert found[MANSA][0][f"map {name}"].shape == (9,)
    for metrics in found.values():
        assert all(np.isfinite(np.asarray(x)).all() for x in metrics[0].values())


@pytest.mark.parametrize(("name", "value"), [("fee", -1), ("penalty", 1), ("steps", 10), ("grid", 1)])
def test_the_studys_settings_out_of_range_name_the_field(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=name):
        STUDY.configure("quick", {name: value})


@pytest.mark.slow
def test_a_switched_policy_is_shown_the_worlds_own_state_at_evaluation() -> None:
    settings = {"execution": "switched", "worlds": 2, "warmup": 10, "hidden": (8,)}
    result = train("mansa", "combat:roster=3m", steps=100, settings=settings, episodes=2)
    assert np.isfinite(result.evaluation[0].team).all()
