"""CMAT: exact order independence, its chain against full passes, its ratios, what stays frozen; and its study."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from judging import verdicts_of
from shoal.errors import InputError
from shoal.marl import make_learner, train
from shoal.marl.checkpoints import training_keys
from shoal.marl.compilation import ONCE
from shoal.marl.ordering import Reordered, order_gap, reordered
from shoal.marl.players import RulePlayer
from shoal.marl.transformer import causal, sinusoids
from shoal.runs.results import Results
from shoal.runs.study import Trial
from shoal.stats import Verdict
from shoal.studies import cmat as study
from shoal.studies.cmat import APART, CMAT, JOINT, MAPPO, MAT, RANDOM, SILENT, STUDY
from shoal.traces import TraceWriter
from shoal.worlds import make_world
from test_transformers import KEY, SMALL, model_of, moment, run

ORDER = jnp.array([2, 0, 3, 1])


@pytest.mark.parametrize(("length", "dead"), [(None, None), (1, 2), (6, None)])
def test_an_order_permutes_logits_and_leaves_the_value(length: int | None, dead: int | None) -> None:
    world = make_world("assignment:drivers=4,orders=3")
    model = model_of("cmat", world, consensus_length=length)
    seen, action = moment(world, dead=dead)

    def looked(model: Any, seen: Any) -> Any:
        return [
            (model.decoder.outputs(start)[0], v)
            for start, v in (model.look(s, None) for s in (seen, reordered(seen, ORDER)))
        ]

    (one, values), (two, _) = run(looked, model, seen)
    living = np.asarray(seen.alive[:, 0, 0])[np.asarray(ORDER)]
    np.testing.assert_allclose(two[:, living], one[:, ORDER][:, living], atol=1e-5)
    if dead is None:
        chance, value = run(order_gap, model, seen, action, ORDER)
        assert float(value) < 1e-5 and float(chance) < 1e-5
    values = np.asarray(values)
    np.testing.assert_array_equal(values, np.broadcast_to(values[:1], values.shape))  # one value for the team


def test_the_chain_is_the_loop_of_full_passes() -> None:
    """As the paper writes it: L passes over all slots; the code of a place is never kept; L + 1 thoughts come out."""
    world = make_world("assignment:drivers=4,orders=3")
    model = model_of("cmat", world, consensus_length=3, blocks=2)
    seen, _ = moment(world, dead=0)

    def both(model: Any, seen: Any) -> Any:
        start, _ = model.look(seen, None)
        length, rep = 3, model.decoder.entry(start.rep)
        codes = sinusoids(length, 8).reshape(8, length, 1, 1)
        slots = jnp.zeros((8, length, *rep.shape[2:])).at[:, 0].set(start.prefix)
        for i in range(length):
            y = slots + codes
            for part in model.decoder.blocks:
                y = part(y, causal(length, 2), rep, start.alive[None])
            y = model.decoder.projector(y)
            if i < length - 1:
                slots = slots.at[:, i + 1].set(y[:, i])
        return model.decoder.chain(start), jnp.concatenate([slots, y[:, -1:]], 1), model.decoder.agree(start)

    got, want, (consensus, weights) = run(both, model, seen)
    np.testing.assert_allclose(got, want, atol=1e-5)
    np.testing.assert_allclose(weights.sum(0), 1, atol=1e-5)
    np.testing.assert_allclose(consensus[:, 0], (np.asarray(weights)[None] * np.asarray(want)).sum(1), atol=1e-4)


def test_without_attention_the_consensus_is_all_that_agents_share() -> None:
    world = make_world("assignment:drivers=4,orders=3")
    seen, _ = moment(world)
    other = type(seen)(seen.obs.at[:, 1:].set(seen.obs[::-1, 1:]), seen.state, seen.alive, seen.legal, seen.fresh)

    def change(**settings: Any) -> float:
        model = model_of("cmat", world, **settings)
        one, two = run(
            lambda model, views: [model.decoder.outputs(model.look(s, None)[0])[0][:, 0] for s in views],
            model,
            (seen, other),
        )
        return float(jnp.abs(one - two).max())

    assert change(encoder_attention=False, consensus=False) == 0
    assert change(encoder_attention=False) > 1e-3
    assert change(consensus=False) > 1e-3


def test_the_joint_ratio_is_the_product_over_living_agents() -> None:
    each = jnp.log(jnp.array([[2.0, 3.0], [0.5, 4.0], [7.0, 7.0]]))
    alive = jnp.array([[True, True], [True, True], [False, True]])
    joint = make_learner("cmat", ratio="joint").log_ratio(each, alive)  # type: ignore[attr-defined]
    np.testing.assert_allclose(jnp.exp(joint), [[1.0, 84.0]] * 3, rtol=1e-5)
    np.testing.assert_array_equal(make_learner("cmat").log_ratio(each, alive), each)  # type: ignore[attr-defined]


def test_the_team_is_credited_as_one() -> None:
    """Mean reward for all; alive while any is; a bootstrap value for all where the living have one."""
    learner: Any = make_learner("cmat")
    reward = jnp.array([[[[3.0]], [[0.0]]]])
    alive, last = jnp.array([[[[True]], [[False]]]]), jnp.array([[[True]], [[False]]])
    got = learner.credited(reward, jnp.array([[[[5.0]], [[0.0]]]]), alive, last)
    np.testing.assert_allclose(got[0].ravel(), [1.5, 1.5])
    np.testing.assert_allclose(got[1].ravel(), [5.0, 5.0])
    assert np.asarray(got[2]).all() and np.asarray(got[3]).all()
    own = make_learner("cmat", team_reward=False).credited(reward, reward, alive, last)  # type: ignore[attr-defined]
    assert own[0] is reward and own[2] is alive


@pytest.mark.slow
@pytest.mark.parametrize("part", ["heads", "consensus"])
def test_fine_tuning_moves_its_part_only(part: str) -> None:
    learner = make_learner("cmat", **SMALL, trained=part)

    def first(keys: Any) -> Any:
        before = learner.init(keys, make_world("assignment"))
        return before, learner.update(before)[0]

    before, after = run(first, training_keys((0,)))
    moved = {
        jax.tree_util.keystr(path)
        for (path, a), b in zip(
            jax.tree_util.tree_flatten_with_path(before.model)[0], jax.tree.leaves(after.model), strict=True
        )
        if np.asarray(a != b).any() and "scale.mean" not in jax.tree_util.keystr(path)
    } - {".scale.deviation", ".scale.weight"}
    allowed = (
        (".critic.head", ".decoder.head")
        if part == "heads"
        else (".decoder.blocks", ".decoder.projector", ".decoder.gate")
    )
    assert moved and all(name.startswith(allowed) for name in moved)


@pytest.mark.slow
def test_fine_tuning_begins_with_the_parameters_of_a_checkpoint(tmp_path: Any) -> None:
    """Those of MAT-Dec (the quickest to compile) after a training; a learner with other networks is refused."""
    settings = {"width": 8, "worlds": 8, "rollout": 1, "epochs": 1, "minibatches": 1}
    options: dict[str, Any] = {"settings": settings, "episodes": 0, "traced": 0, "compilation": ONCE}
    first = train("mat-dec", "assignment", steps=16, out=tmp_path / "first", **options)
    options["settings"] = {**settings, "learning_rate": 1e-9}
    second = train("mat-dec", "assignment", steps=8, start=tmp_path / "first", **options)
    assert int(second.state.updates) == 1
    for one, two in zip(jax.tree.leaves(first.state.model), jax.tree.leaves(second.state.model), strict=True):
        if one.ndim > 1:  # the unit of values follows the new returns
            np.testing.assert_allclose(one, two, atol=1e-6)
    options["settings"] = {**settings, "width": 16}
    with pytest.raises(InputError, match="checkpoint"):
        train("mat-dec", "assignment", steps=8, start=tmp_path / "first", **options)


def test_reordered_players_do_the_same_for_the_same_agents() -> None:
    world = make_world("assignment")
    seen, _ = moment(world)
    rule = RulePlayer(lambda key, view: (view.obs[0] > 0).astype(jnp.int32))
    one, _ = rule.act(KEY, seen, ())
    two, _ = Reordered(rule, ORDER).act(KEY, seen, ())
    np.testing.assert_array_equal(one, two)
    by_row = RulePlayer(lambda key, view: jnp.broadcast_to(jnp.arange(4).reshape(4, 1, 1), view.alive.shape))
    np.testing.assert_array_equal(Reordered(by_row, ORDER).act(KEY, seen, ())[0][:, 0, 0], [1, 3, 0, 2])


def test_alike_agents_get_equal_logits_unless_chance_or_a_number_tells_them_apart() -> None:
    world = make_world("assignment:ids=false,scattered=false")
    _, timestep = world.reset(KEY, (1, 6))
    from shoal.marl.players import view

    seen = view(world, None, timestep, jnp.ones((1, 6), bool))
    noise = jax.random.uniform(KEY, (1, 4, 1, 6))
    for settings, differ in (({}, False), ({"random_features": 1}, True), ({"agent_ids": True}, True)):
        model = model_of("cmat", world, **settings)
        out = run(lambda model, seen, noise: model.decoder.outputs(model.look(seen, noise)[0])[0], model, seen, noise)
        assert (float(jnp.abs(out - out[:, :1]).max()) > 1e-3) is differ


# The study


verdict = verdicts_of(STUDY)


def trial_of(experiment: str, variant: str = "", seeds: tuple[int, ...] = (0,), **changes: Any) -> Trial[Any]:
    config = STUDY.configure("quick", {"width": 8, **changes})
    return Trial(config, experiment, variant, seeds[0], 0, TraceWriter(None, "test"), None, seeds)


@pytest.mark.slow
def test_random_networks_are_exact_or_not() -> None:
    found = study.equivariance(trial_of("equivariance"))
    results = Results()
    for variant, values in found.items():
        results.add("equivariance", variant, 0, values)
    assert verdict("1-exact", results) is Verdict.REPRODUCED
    assert verdict("1b-mat-moves", results) is Verdict.REPRODUCED


@pytest.mark.slow
def test_gates_are_read_for_each_seed() -> None:
    world = make_world("assignment:ids=false")
    model = jax.tree.map(lambda x: jnp.stack([x, 2 * x]), model_of("cmat", world))
    found = study._gates(model, world, KEY, 6)
    assert len(found) == 2 and all(g.shape == (5,) and g.sum() == pytest.approx(1, abs=1e-5) for g in found)
    assert np.abs(found[0] - found[1]).max() > 1e-4


@pytest.mark.slow
def test_a_trained_arm_is_measured_in_every_order() -> None:
    found = study.trained(trial_of("assignment-ids", MAPPO, (0, 1), id_steps=512, orders=3, episodes=32))
    assert len(found) == 2
    for one in found:
        assert len(one["return by order"]) == 3 and one["range over orders"] == pytest.approx(0, abs=1e-5)
        assert 0 <= one["conflicts"] <= 1 and np.isfinite(one["curve"]).all()
    assert found[0]["return"] != found[1]["return"]


def filed(experiment: str, **by_variant: dict[str, Any]) -> Results:
    results = Results()
    for variant, values in by_variant.items():
        for seed in range(10):
            results.add(experiment, variant, seed, {k: v[seed] for k, v in values.items()})
    return results


def test_claims_follow_the_measurements() -> None:
    rng = np.random.default_rng(0)
    low, high = rng.uniform(0, 0.01, 10), rng.uniform(0.3, 0.4, 10)
    same = {APART: {"conflicts": low, "return": 4 + low}, SILENT: {"conflicts": low, "return": 4 + low}}
    worse = {**same, SILENT: {"conflicts": high, "return": 1 + low}}
    good = filed(
        "assignment", **{CMAT: {"conflicts": low}, MAPPO: {"conflicts": high}, MAT: {"conflicts": low}}, **worse
    )
    bad = filed("assignment", **{CMAT: {"conflicts": high}, MAPPO: {"conflicts": low}, MAT: {"conflicts": low}}, **same)
    for claim in ("3-mappo", "3b-mat", "4-consensus"):
        assert verdict(claim, good) is Verdict.REPRODUCED
        assert verdict(claim, bad) is Verdict.NOT_REPRODUCED
    joint = filed("assignment-ids", **{CMAT: {"conflicts": low}, JOINT: {"conflicts": high}})
    assert verdict("8-joint", joint) is Verdict.REPRODUCED
    alike = filed("alike", **{CMAT: {"conflicts": np.full(10, 0.58) + 0.01 * low}, MAT: {"conflicts": low},
                              RANDOM: {"conflicts": low}})  # fmt: skip
    assert verdict("7-alike", alike) is Verdict.REPRODUCED and verdict("7b-random-feature", alike) is Verdict.REPRODUCED
    assert verdict("5-score", good) is Verdict.NOT_RUN


def test_the_floor_of_alike_agents_is_the_best_product_policy() -> None:
    """No common distribution over four orders has fewer expected conflicts than the even one."""
    p = np.random.default_rng(0).dirichlet(np.ones(4) * 0.7, 5000)
    assert (1 - (p * (1 - p) ** 3).sum(1)).min() >= study.FLOOR - 1e-9
    even = np.full(4, 0.25)
    assert 1 - (even * (1 - even) ** 3).sum() == pytest.approx(study.FLOOR)


@pytest.mark.parametrize(("name", "value"), [("width", 0), ("clip", -1), ("orders", 1)])
def test_settings_out_of_range_name_the_field(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=name):
        STUDY.configure("quick", {name: value})
