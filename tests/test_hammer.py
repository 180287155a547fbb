"""HAMMER: exact ratios, where gradients go and where they must not, masks, channels, readings, and the study."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from judging import verdicts_of
from shoal.errors import InputError
from shoal.marl import Training, load, make_learner, train
from shoal.marl.centralised import Controller
from shoal.marl.communication import Clear, Cut, Shuffle
from shoal.marl.compilation import ONCE, compiled
from shoal.marl.evaluation import evaluate_seeds
from shoal.marl.hammer import HAMMER, HAMMERModel
from shoal.marl.hammer_messages import ChannelledPlayer, Readings, read_messages
from shoal.marl.monte_carlo import returns, standardised
from shoal.marl.players import View
from shoal.runs.results import Results
from shoal.runs.study import Trial
from shoal.stats import Verdict
from shoal.studies import hammer
from shoal.studies.hammer import ARMS, CENTRAL, FLOORS, INDEPENDENT, RANDOM, STOPPED, STUDY, others_sum, welch
from shoal.traces import TraceWriter
from shoal.worlds import make_world

SPREAD = make_world("spread:agents=3,horizon=4")
SUMS = make_world("sum-guessing:agents=2,scaled=true")
SMALL: dict[str, Any] = {"hidden": (8,), "critic_hidden": (8,), "centre_hidden": (8,), "worlds": 4, "rollout": 4}
CHANNELS = ("continuous", "bits", "actions", "random")


@functools.cache
def model_of(world: Any = SPREAD, **settings: Any) -> HAMMERModel:
    learner = make_learner("hammer", **{**SMALL, **settings})
    assert isinstance(learner, HAMMER)
    key = jax.random.key(0)
    model: HAMMERModel = compiled(lambda k: learner.model(k, world), key, options=ONCE)(key)
    return model


def view_of(world: Any = SPREAD, batch: tuple[int, ...] = (5,), key: int = 1) -> View:
    from shoal.marl.players import view

    state, timestep = world.reset(jax.random.key(key), batch)
    return view(world, state, timestep, jnp.zeros(batch, bool))


def noise_of(model: Any, view: View, key: int = 2) -> Any:
    return jax.random.uniform(jax.random.key(key), (sum(model.rows), *view.alive.shape))


def in_time(x: Any) -> Any:
    """A sequence of one step."""
    return jax.tree.map(lambda a: a[..., None, :], x)


def altered(model: HAMMERModel, **changes: Any) -> HAMMERModel:
    """The same parameters with another channel."""
    assert model.centre is not None
    return eqx.tree_at(lambda m: m.centre, model, dataclasses.replace(model.centre, **changes))


def once(function: Any, *args: Any) -> Any:
    """The result of a pure function, compiled as fast as can be: single operations would be compiled one by one."""
    return compiled(function, *args, options=ONCE)(*args)


def judged(model: HAMMERModel, view: View, noise: Any, decision: Any) -> Any:
    memory = model.start(view.alive.shape[0], view.fresh.shape)
    kept, sent = in_time(noise[model.rows[0] :]), in_time(decision.sent)
    return model.evaluate(in_time(view), in_time(decision.action), sent, kept, memory)


@pytest.mark.parametrize(("channel", "world"), list(zip(CHANNELS, (SPREAD, SUMS, SPREAD, SUMS), strict=True)))
def test_the_same_network_judges_its_decisions_as_it_made_them(channel: str, world: Any) -> None:
    model, seen = altered(model_of(world, message=2), channel=channel), view_of(world)
    noise = noise_of(model, seen)

    def both(model: HAMMERModel) -> Any:
        memory = model.start(world.agent_count, (5,))
        decision, _ = model.act(seen, noise, memory.actor)
        value, _ = model.value(seen, memory.critic, noise[model.rows[0] :])
        again = judged(model, seen, noise, decision)
        return decision.log_p, value, again.log_p[:, 0], again.value[:, 0]

    log_p, value, log_p_again, value_again = once(both, model)
    np.testing.assert_allclose(log_p_again, log_p, atol=1e-5)
    np.testing.assert_allclose(value_again, value, atol=1e-5)


@pytest.mark.parametrize("channel", CHANNELS)
def test_actors_train_the_centre_and_critics_never_do(channel: str) -> None:
    seen = view_of(SUMS, (64,))
    base = model_of(SUMS, message=2)
    noise = noise_of(altered(base, channel=channel), seen)

    def centre_gradient(model: HAMMERModel, what: str) -> Any:
        decision, _ = model.act(seen, noise, model.start(2, (64,)).actor)
        decision = jax.lax.stop_gradient(decision)
        grads = jax.grad(lambda m: getattr(judged(m, seen, noise, decision), what).sum())(model)
        return sum(jnp.abs(x).sum() for x in jax.tree.leaves(grads.centre))

    def all_three(base: HAMMERModel) -> Any:
        model, cut = (altered(base, channel=channel, detach=detach) for detach in (False, True))
        return centre_gradient(model, "value"), centre_gradient(model, "log_p"), centre_gradient(cut, "log_p")

    value, policy, detached = map(float, once(all_three, base))
    assert value == 0.0 and detached == 0.0
    assert policy == 0.0 if channel == "random" else policy > 0.0


def test_messages_are_private_and_see_everything() -> None:
    model, seen = model_of(message=2), view_of()
    before = model.write(seen, noise_of(model, seen)).content
    assert before.shape == (2, 3, 5)
    heads = model.centre.heads.weight.reshape(2, 3, -1).at[:, 1].add(1.0)  # type: ignore[union-attr]
    changed = eqx.tree_at(lambda m: m.centre.heads.weight, model, heads.reshape(6, -1))
    moved = np.abs(changed.write(seen, noise_of(model, seen)).content - before).max((0, 2))
    assert moved[1] > 0 and moved[0] == moved[2] == 0
    other = eqx.tree_at(lambda v: v.obs, seen, seen.obs.at[:, 2].add(1.0))
    assert (np.abs(model.write(other, noise_of(model, seen)).content - before).max((0, 2)) > 0).all()


def test_without_messages_agents_are_independent() -> None:
    model, seen = model_of(message=0), view_of()
    assert model.centre is None and model.rows == (1, 0)
    other = eqx.tree_at(lambda v: v.obs, seen, seen.obs.at[:, 2].add(1.0))
    outputs = []
    for v in (seen, other):
        told = model.told(v, model.write(v, noise_of(model, v)).content)
        outputs.append(model.actor.outputs(told, model.start(3, (5,)).actor, jnp.zeros((0, 3, 5)))[0])
    moved = np.abs(outputs[0] - outputs[1]).max((0, 2))
    assert moved[2] > 0 and moved[0] == moved[1] == 0


def test_bits_are_hard_at_execution_with_the_threshold_at_zero() -> None:
    plain, seen = model_of(message=2), view_of(batch=(200,))
    model = altered(plain, channel="bits")
    noise = noise_of(model, seen)[model.rows[0] :]
    assert noise.shape[0] == 2
    raw = plain.write(seen, noise[:0]).content
    soft, hard = (model.write(seen, noise, execute=e).content for e in (False, True))
    assert ((soft > 0) & (soft < 1)).all() and set(np.unique(hard)) == {0.0, 1.0}
    np.testing.assert_array_equal(hard, raw > 0)
    expected = 1 / (1 + np.exp(-(raw + 2.0 * jax.scipy.stats.norm.ppf(noise))))
    np.testing.assert_allclose(soft, expected, atol=1e-3)


def test_random_messages_depend_on_nothing_and_tanh_bounds() -> None:
    plain, seen = model_of(message=2), view_of()
    model = altered(plain, channel="random")
    noise = noise_of(model, seen)[model.rows[0] :]
    moved = eqx.tree_at(lambda v: v.obs, seen, seen.obs + 1)
    np.testing.assert_array_equal(model.write(seen, noise).content, model.write(moved, noise).content)
    far = eqx.tree_at(lambda v: v.obs, seen, seen.obs * 1000)
    assert np.abs(altered(plain, squash=True).write(far, noise).content).max() <= 1.0
    assert np.abs(plain.write(far, noise).content).max() > 1.0


def test_partial_and_heterogeneous_views() -> None:
    seen = view_of()
    partial = model_of(visible=10)
    one = dataclasses.replace(model_of(message=2), visible=10, limited=1)
    assert partial.own(seen).shape == (10, 3, 5) and one.own(seen).shape == (18, 3, 5)
    np.testing.assert_array_equal(partial.own(seen), seen.obs[:10])
    assert (one.own(seen)[10:, 1] == 0).all()
    np.testing.assert_array_equal(one.own(seen)[:, [0, 2]], seen.obs[:, [0, 2]])
    # Hidden entries reach the centre only where it is unlimited.
    moved = eqx.tree_at(lambda v: v.obs, seen, seen.obs.at[10:].add(1.0))
    unlimited = dataclasses.replace(model_of(message=2), visible=10, unlimited=True)
    for model, reached in ((partial, False), (unlimited, True)):
        a, b = (model.write(v, noise_of(model, v)).content for v in (seen, moved))
        assert bool((a != b).any()) is reached


def test_separate_networks_are_separate() -> None:
    model, seen = model_of(shared=False), view_of()
    noise = noise_of(model, seen)
    assert all(layer.weight.shape[0] == 3 for layer in (*model.actor.encoder.layers, model.actor.head))
    first = model.actor.encoder.layers[0].weight
    assert not np.allclose(first[0], first[1])

    def gradient(model: HAMMERModel) -> Any:
        decision, _ = model.act(seen, noise, model.start(3, (5,)).actor)
        decision = jax.lax.stop_gradient(decision)
        return jax.grad(lambda m: judged(m, seen, noise, decision).log_p[0].sum())(model)

    touched = np.abs(once(gradient, model).actor.head.weight).max((1, 2))
    assert touched[0] > 0 and touched[1] == touched[2] == 0
    shared = model_of(message=2).actor.encoder.layers[0].weight
    assert shared.ndim == 2


def test_dead_agents_are_told_nothing_and_do_not_break_the_centre() -> None:
    model, seen = model_of(message=2), view_of()
    dead = eqx.tree_at(lambda v: (v.obs, v.alive), seen, (seen.obs.at[:, 0].set(0), seen.alive.at[0].set(False)))
    content = model.write(dead, noise_of(model, dead)).content
    assert (content[:, 0] == 0).all() and (content[:, 1:] != 0).any() and np.isfinite(content).all()


def test_returns_by_hand() -> None:
    reward = jnp.array([1.0, 2.0, 3.0, 4.0]).reshape(4, 1, 1)
    done = jnp.array([False, True, False, False]).reshape(4, 1)
    np.testing.assert_allclose(returns(reward, done, 0.5).ravel(), [2.0, 2.0, 5.0, 4.0])


def test_returns_are_standardised_per_agent_and_seed() -> None:
    x = np.random.default_rng(0).normal(size=(6, 2, 3, 4)).astype(np.float32) * 7 + np.arange(2)[:, None, None]
    weight = np.ones(x.shape, bool)
    weight[0, 0] = False
    y = np.asarray(once(standardised, jnp.asarray(x), jnp.asarray(weight)))
    assert (y[0, 0] == 0).all()
    for agent, seed, first in ((0, 0, 1), (1, 2, 0)):
        part = x[first:, agent, seed]
        np.testing.assert_allclose(y[first:, agent, seed], (part - part.mean()) / part.std(), atol=1e-4)
    assert (once(standardised, jnp.full(x.shape, 5.0), jnp.asarray(weight)) == 0).all()


@pytest.mark.parametrize("team", [False, True])
def test_advantages_are_standardised_returns_less_values(team: bool) -> None:
    from shoal.marl.rollouts import Experience

    rng = np.random.default_rng(0)
    reward, value = (jnp.asarray(rng.normal(size=(6, 1, 3, 1, 4)), jnp.float32) for _ in range(2))
    done = jnp.asarray(rng.random((6, 1, 1, 4)) < 0.3)
    view = View(reward[:, :, None], reward[:, :, 0][:, :, None], jnp.ones(reward.shape, bool), done, done)
    seen = Experience(view, (), (), reward[:, :, None], reward, value, reward, done, jnp.full(reward.shape, 9.0))
    learner: Any = make_learner("hammer", team_reward=team)
    gain, target = once(lambda seen: learner._targets(None, None, seen), seen)
    np.testing.assert_allclose(gain, target - value, atol=1e-5)
    own = np.asarray(reward)[:, 0, :, 0].astype(float)
    if team:
        own[:] = own.mean(1, keepdims=True)
    total, later = np.zeros_like(own), np.zeros(own.shape[1:])
    for time in reversed(range(6)):
        total[time] = later = own[time] + 0.95 * np.where(np.asarray(done)[time, 0, 0], 0.0, later)
    expected = (total - total.mean((0, 2), keepdims=True)) / total.std((0, 2), keepdims=True)
    np.testing.assert_allclose(np.asarray(target)[:, 0, :, 0], expected, atol=1e-3)


def test_bad_input_is_refused_with_the_field() -> None:
    with pytest.raises(InputError, match="message"):
        make_learner("hammer", message=-1)
    with pytest.raises(InputError, match="limited"):
        model_of(visible=10, limited=3)
    with pytest.warns(UserWarning, match="one agent"):
        model_of(make_world("sum-guessing:agents=1"))
    with pytest.warns(UserWarning, match="padded"):
        model_of(make_world("speaker-listener"))
    models = jax.tree.map(lambda x: x[None], model_of(SUMS, message=0))
    with pytest.raises(InputError, match="messages to read"):
        read_messages(models, 1, SUMS, 4, jax.random.key(0), others_sum)


def test_the_controller_sees_everything() -> None:
    learner: Any = make_learner("centralised", hidden=(8,), critic_hidden=(8,))
    seen, noise = view_of(), jnp.zeros((0, 3, 5))
    other = eqx.tree_at(lambda v: v.obs, seen, seen.obs.at[:, 2].add(1.0))

    def outcome(key: Any) -> Any:
        model = learner.model(key, SPREAD)
        assert isinstance(model.actor, Controller)
        memory = model.start(3, (5,))
        outputs = [model.actor.outputs(v, memory.actor, noise)[0] for v in (seen, other)]
        return *outputs, model.value(seen, memory.critic, noise)[0]

    a, b, value = once(outcome, jax.random.key(0))
    assert a.shape == (5, 3, 5) and (np.abs(a - b).max((0, 2)) > 0).all()
    assert value.shape == (3, 5)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Training:
    settings = {"worlds": 400, "rollout": 1, "minibatches": 4, "total_steps": None}
    small = {"hidden": (10, 10), "critic_hidden": (10, 10), "centre_hidden": (10, 10)}
    out = tmp_path_factory.mktemp("hammer") / "run"
    options = {"seeds": 2, "out": out, "episodes": 64, "traced": 1, "compilation": ONCE}
    return train("hammer", SUMS, settings=settings | small, steps=30_000, **options)


def test_one_number_conveys_the_others_sum(trained: Training) -> None:
    model, key = trained.state.model, jax.random.key(3)
    heard, silent, wrong = (
        [e.returns.mean() for e in evaluate_seeds(ChannelledPlayer(model, c), 2, SUMS, 512, key, greedy=True)]
        for c in (Clear(), Cut(), Shuffle())
    )
    own = [e.returns.mean() for e in evaluate_seeds(trained.learner.player(trained.state), 2, SUMS, 512, key, True)]
    np.testing.assert_allclose(heard, own, atol=1e-4)  # an open channel changes nothing
    assert min(heard) > -1.5 and max(silent) < FLOORS[2] and max(wrong) < FLOORS[2]
    assert trained.history["centre_grad_norm"].min() > 0 and (trained.history["comm_message_norm"] > 0).all()


def test_readings_of_a_trained_centre(trained: Training) -> None:
    read = read_messages(trained.state.model, 2, SUMS, 256, jax.random.key(0), others_sum)
    for r in read:
        assert r.messages.shape == (256, 2, 1) and r.hidden.shape == (256, 2, 1)
        by_hand = np.corrcoef(r.messages[:, 1, 0], r.hidden[:, 1, 0])[0, 1]
        assert r.correlations()[1, 0, 0] == pytest.approx(by_hand, abs=1e-6)
        assert 0.2 < r.correlation <= 1 and r.change.mean() > 0.2 and r.slope.mean() > 0.1
    silent = Readings(np.zeros((4, 2, 1)), np.ones((4, 2, 1)), np.zeros((4, 2)), np.zeros((4, 2)))
    assert silent.correlation == 0.0 and silent.norm == 0.0


def test_the_slope_is_the_derivative_of_the_action(trained: Training) -> None:
    from shoal.marl.hammer_messages import _moment

    model = jax.tree.map(lambda x: x[0], trained.state.model)
    seen = view_of(SUMS, (16,))
    memory = model.start(2, (16,)).actor
    content, slope = (np.asarray(_moment(model, seen, noise_of(model, seen), memory)[i]) for i in (2, 4))
    step = 1e-3
    up, down = (
        np.asarray(model.actor.outputs(model.told(seen, jnp.asarray(content + s)), memory, jnp.zeros((0, 2, 16)))[0])
        for s in (step, -step)
    )
    error = np.abs(np.abs(up - down)[0] / (2 * step) - slope[0])
    assert np.median(error) < 1e-2  # a kink of a ReLU may lie between the two points


def test_a_checkpoint_acts_outside_training(trained: Training) -> None:
    assert trained.path is not None
    policy = load(Path(trained.path))
    action = policy.act(np.array([[0.3], [-0.5]]))
    assert action.shape == (2, 1) and np.abs(action - (-0.2)).max() < 0.4


def trial_of(experiment: str, variant: str, **changes: Any) -> Trial[Any]:
    config = STUDY.configure("quick", changes)
    return Trial(config, experiment, variant, 0, 0, TraceWriter(None, "test"), None, (0, 1))


def test_a_detached_centre_stands_still_in_the_study() -> None:
    found = hammer.trained(trial_of("sums-2", STOPPED, sum_steps=2000, episodes=64))
    assert len(found) == 2 and [f["centre moved"] for f in found] == [0.0, 0.0]
    assert all({"reward", "shuffled", "training", "curve", "centre gradient"} <= set(f) for f in found)
    assert all(f["centre gradient"] == 0.0 for f in found)


def fabricated(reward: dict[str, float]) -> Results:
    """Ten seeds of every arm around given rewards; messages of an arm in vain where its shuffled reward is its own."""
    results, rng = Results(), np.random.default_rng(0)
    for experiment in STUDY.experiments:
        for variant in experiment.variants:
            for seed in range(10):
                r = reward.get(variant, -5.0) + rng.normal(0, 0.05)
                measured = {"reward": r, "training": r, "shuffled": r - reward.get("fall", 0.0), "curve": [r] * 20}
                moved = 0.0 if variant == STOPPED else reward.get("moved", 0.0)
                results.add(experiment.name, variant, seed, {**measured, "centre moved": moved, "correlation": 0.0,
                                                             "change when zeroed": 0.0})  # fmt: skip
    return results


verdict = verdicts_of(STUDY)


GAINS = ("message", "training-the-centre", "bits", "forms", "team-reward", "spread-partial", "spread-listening")


def test_claims_fail_on_a_system_that_does_nothing_and_hold_on_one_that_works() -> None:
    null = fabricated({})
    works = fabricated(
        {v: -0.5 for v in ARMS if v not in (INDEPENDENT, RANDOM, STOPPED, hammer.BIT, hammer.TEAM_INDEPENDENT)}
        | {CENTRAL: -0.3, "fall": 6.0, "moved": 0.5}
    )
    for claim in (*GAINS, "stop-gradient-weights", "shuffled", "upper-bound"):
        assert verdict(claim, null) is not Verdict.REPRODUCED, claim
        assert verdict(claim, works) is Verdict.REPRODUCED, claim
    for claim in ("stop-gradient-gain", "stop-gradient-gain-2", "random"):
        assert verdict(claim, null) is Verdict.REPRODUCED
        assert verdict(claim, fabricated({STOPPED: -3.0, RANDOM: -3.0})) is Verdict.NOT_REPRODUCED
    assert verdict("one-bit", fabricated({hammer.BIT: -2.0})) is Verdict.NOT_REPRODUCED
    assert verdict("floor", null) is Verdict.NOT_REPRODUCED  # -5 is the floor of two agents only


def test_every_claim_reads_what_is_measured_and_waits_for_it() -> None:
    results = fabricated({})
    for claim in STUDY.claims:
        assert claim.checks(results), claim.id
        assert claim.checks(Results()) == []
    assert set(hammer.plots(results)) == {"sums", "curves", "messages"}
    assert hammer.plots(Results()) == {}
    assert {v for e in STUDY.experiments for v in e.variants} <= {*ARMS, CENTRAL}


def test_welch_is_significant_exactly_where_its_interval_is_above_zero() -> None:
    from scipy.stats import ttest_ind

    rng = np.random.default_rng(1)
    for shift in np.linspace(0, 2, 9):
        a, b = rng.normal(shift, 1, 10), rng.normal(0, 2, 8)
        found = welch(a, b)
        p = ttest_ind(a, b, equal_var=False, alternative="greater").pvalue
        assert found.p == pytest.approx(p) and (found.low > 0) == (p < 0.05)
    assert welch([1.0], [0.0]).low == -np.inf and welch([1.0, 1.0], [0.0, 0.0]).low == 1.0


@pytest.mark.parametrize("count", [2, 3, 5])
def test_floors_are_the_expected_distance(count: int) -> None:
    drawn = np.random.default_rng(0).uniform(-10, 10, (400_000, count - 1)).sum(1)
    assert -np.abs(drawn).mean() == pytest.approx(FLOORS[count], rel=0.005)
