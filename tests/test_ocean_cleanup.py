"""Signals in the ocean: the learner against plain numpy and exact properties, the measures, the study's claims."""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from judging import verdicts_of
from shoal.errors import InputError
from shoal.marl import make_learner
from shoal.marl.actors import Memory
from shoal.marl.captains import captain
from shoal.marl.checkpoints import training_keys
from shoal.marl.compilation import ONCE, compiled, usable
from shoal.marl.networks import parameter_count
from shoal.marl.players import view
from shoal.marl.rules import rule_player
from shoal.marl.signal_use import DENSE, EMPTY, SignalUse, mutual_information, watch
from shoal.marl.signals import SignalModel, Signals, scene
from shoal.marl.training import Training, train
from shoal.runs.results import Results
from shoal.runs.study import Claim, Experiment, Study, StudyConfig, Trial
from shoal.runs.trials import run_study
from shoal.stats import Verdict
from shoal.studies import ocean_cleanup as study
from shoal.studies.ocean_cleanup import (
    ALWAYS,
    BIT,
    CENTRAL,
    CUT,
    GREEDY,
    LEARNED,
    NONE,
    RANDOM,
    ROUNDS,
    SHUFFLED,
    STUDY,
)
from shoal.worlds import make_world
from shoal.worlds.ocean import Ocean

SEA = Ocean(count=4, pebbles=30, patches=1, horizon=40, view=0.3, neighbours=2)
ARMS = ("none", "learned", "always", "bit", "random")
TINY: dict[str, Any] = {"worlds": 2, "rollout": 20, "minibatches": 2, "epochs": 1, "hidden": (8, 8), "message": 4}


def quick(function: Any) -> Any:
    """Compiled with little effort: each is run a few times only."""
    return jax.jit(function, compiler_options=usable(tuple(ONCE.items())))


@cache
def signals(**settings: Any) -> Signals:
    made = make_learner("signals", **TINY, **settings)
    assert isinstance(made, Signals)
    return made


@cache
def sailed(world: Ocean, steps: int = 25, batch: int = 6) -> tuple[Any, Any]:
    """A state some random ticks into an episode, and what it shows."""
    step = quick(world.step)
    state, timestep = quick(lambda key: world.reset(key, (batch,)))(jax.random.key(1))
    for key in jax.random.split(jax.random.key(2), steps):
        state, timestep = step(key, state, jax.random.randint(key, (world.count, batch), 0, world.action_count))
    return state, timestep


def seen_by(world: Ocean, state: Any, timestep: Any) -> Any:
    return view(world, state, timestep, jnp.zeros(timestep.truncated.shape, bool))


@cache
def model_of(world: Ocean, **settings: Any) -> SignalModel:
    """A fresh model."""
    learner, key = signals(**settings), jax.random.key(3)
    model: SignalModel = compiled(lambda k: learner.model(k, world), key, options=ONCE)(key)
    return model


@cache
def _gather() -> Any:
    return quick(lambda model, seen: model.gathered(seen))


def gathered(model: SignalModel, seen: Any) -> Any:
    """What every vessel gathers, and the scene that it was gathered from."""
    content, read = _gather()(model, seen)
    return np.asarray(content), read


@pytest.fixture(scope="module")
def trained() -> Training:
    """Every arm once, for three updates."""
    return train("signals", SEA, settings={**TINY, "arms": ARMS, "learning_rate": 0.01}, steps=120, seeds=5, episodes=0)


# What the network reads.


@pytest.mark.parametrize("lights", ["chosen", "shuffled"])
def test_the_graph_and_the_receivers_frame_are_the_worlds(lights: str) -> None:
    world = dataclasses.replace(SEA, lights=lights, hearing=0.5)
    state, timestep = sailed(world)
    read = scene(jnp.swapaxes(timestep.obs, 0, 1), world.view, world.neighbours)
    edges = np.asarray(world.graph(state) & state.lit[None])
    x, y, heading = (np.asarray(v, float) for v in (state.x, state.y, state.heading))
    assert edges.any() and not edges.all()
    for i in range(4):
        for turn in range(3):
            j = (i + 1 + turn) % 4
            assert (np.asarray(read.lit[i, turn]) == edges[i, j]).all()
            way = (x[j] - x[i]) + 1j * (y[j] - y[i])
            turned = way * np.exp(-1j * heading[i])
            np.testing.assert_allclose(read.edge[:2, i, turn], [turned.real, turned.imag], atol=1e-5)
            bow = np.exp(1j * (heading[j] - heading[i]))
            np.testing.assert_allclose(read.edge[2:4, i, turn], [bow.real, bow.imag], atol=1e-5)
            for b in range(x.shape[1]):
                there = np.asarray(state.px)[:, b] + 1j * np.asarray(state.py)[:, b]
                off = there - (x[j, b] + 1j * y[j, b])
                off = off[np.asarray(state.floating)[:, b] & (abs(off) < world.view)]
                centre = (off.mean() + way[b]) * np.exp(-1j * heading[i, b]) if off.size else 0
                np.testing.assert_allclose(read.edge[4:, i, turn, b], [centre.real, centre.imag], atol=1e-4)


def test_what_is_gathered_is_the_mean_of_the_lit_neighbours_messages() -> None:
    state, timestep = sailed(SEA)
    model = model_of(SEA)
    content, read = gathered(model, seen_by(SEA, state, timestep))
    one = model.rounds[0]

    def affine(layer: Any, v: Any) -> Any:
        return np.asarray(layer.weight, float) @ v + np.asarray(layer.bias, float)

    for b in range(6):
        for i in range(4):
            messages = []
            for turn in range(3):
                if read.lit[i, turn, b]:
                    h = np.tanh(affine(one.node, np.asarray(read.node[:, (i + 1 + turn) % 4, b], float)))
                    place = affine(one.place, np.asarray(read.edge[:, i, turn, b], float))
                    messages.append(affine(one.out, np.tanh(affine(one.content, h) + place)))
            expected = np.mean(messages, 0) if messages else np.zeros(4)
            np.testing.assert_allclose(content[:, i, b], expected, atol=1e-4)


def test_dark_cut_and_lonely_vessels_gather_nothing() -> None:
    lonely = Ocean(count=1, pebbles=5, lights="always")
    for world in (
        dataclasses.replace(SEA, hearing=0.0, lights="always"),
        dataclasses.replace(SEA, neighbours=0),
        lonely,
    ):
        state, timestep = sailed(world, 2, 2)
        content, _ = gathered(model_of(world), seen_by(world, state, timestep))
        assert content.shape == (4, world.count, 2) and not content.any()
    state, timestep = SEA.reset(jax.random.key(0), (3,))  # lights are off when an episode begins
    assert not gathered(model_of(SEA), seen_by(SEA, state, timestep))[0].any()


def test_a_light_acts_one_tick_later_and_only_on_those_who_see_it() -> None:
    state, _ = sailed(SEA)
    dark = jnp.zeros((4, 6), jnp.int32)
    lit = dark.at[2].set(1)
    model = model_of(SEA)
    step, heard = quick(SEA.step), []
    for actions in (dark, lit):
        moved, timestep = step(jax.random.key(0), state, actions)
        heard.append(gathered(model, seen_by(SEA, moved, timestep))[0])
        readers = np.asarray(SEA.graph(moved))[:, 2]
    changed = (heard[0] != heard[1]).any(0)
    assert (changed == readers).all() and readers.any()


def test_the_bit_alone_says_where_and_nothing_of_what_its_sender_sees() -> None:
    state, timestep = sailed(dataclasses.replace(SEA, lights="always"))
    seen = seen_by(SEA, state, timestep)
    other = dataclasses.replace(seen, obs=seen.obs.at[7:34, 1].set(0.3))
    moved = dataclasses.replace(seen, obs=seen.obs.at[0, 1].add(0.01))
    for arm, differs in (("learned", True), ("bit", False)):
        heard = [gathered(model_of(SEA, arms=(arm,)), v)[0][:, 0] for v in (seen, other, moved)]
        assert (heard[0] != heard[1]).any() == differs
        assert (heard[0] != heard[2]).any()


@pytest.mark.parametrize(("arms", "shared", "rounds"), [(("learned",), True, 1), (("random",), False, 2)])
def test_decisions_are_judged_as_they_were_taken(arms: tuple[str, ...], shared: bool, rounds: int) -> None:
    state, timestep = sailed(SEA)
    model = model_of(SEA, arms=arms, shared=shared, rounds=rounds)
    seen = seen_by(SEA, state, timestep)
    noise = jax.random.uniform(jax.random.key(5), (2, 4, 6))
    decision, value = quick(lambda m, v: (m.act(v, noise, ())[0], m.value(v, (), noise)[0]))(model, seen)
    sequence = jax.tree.map(lambda v: jnp.expand_dims(v, v.ndim - 1), seen)
    judged = quick(lambda m, v: m.evaluate(v, decision.action[:, None], (), noise[:, :, None], Memory((), ())))(
        model, sequence
    )
    np.testing.assert_allclose(judged.log_p[:, 0], decision.log_p, atol=1e-5)
    np.testing.assert_allclose(judged.value[:, 0], value, atol=1e-5)
    # Untrained heads are nearly uniform: 6 moves, and 2 lights where the light is a choice.
    uniform = np.log(6) + (np.log(2) if arms == ("learned",) else 0)
    np.testing.assert_allclose(judged.entropy, uniform, atol=0.01)
    np.testing.assert_allclose(decision.log_p, -uniform, atol=0.2)


# The arms.


def test_arms_begin_alike_and_what_an_arm_lacks_stays_out_of_it(trained: Training) -> None:
    learner: Any = trained.learner
    keys = training_keys(tuple(range(5)))
    start: Any = compiled(lambda k: learner.init(k, SEA).model, keys, options=ONCE)(keys)
    first, last, spare = start, trained.state.model, learner.spare(SEA)
    assert (np.asarray(first.switches) == np.asarray(last.switches)).all()
    moved = {arm: jax.tree.map(lambda a, b, i=i: np.abs(np.asarray(b - a)[i]).max(), first, last)
             for i, arm in enumerate(ARMS)}  # fmt: skip
    for i, arm in enumerate(ARMS):
        assert (np.asarray(first.rounds[0].node.weight)[i] == np.asarray(first.rounds[0].node.weight)[0]).all()
        assert moved[arm].actor[0].weight > 0 and moved[arm].move.weight > 0
        # Only an arm that hears trains its channel, and only one that chooses trains its light.
        assert (moved[arm].rounds[0].place.weight > 0) == (arm != "none")
        assert (moved[arm].rounds[0].node.weight > 0) == (arm not in ("none", "bit"))
        assert (moved[arm].light.weight > 0) == (arm in ("learned", "bit"))
        actor, critic = last.actor, last.critic
        outs = (actor[0].weight[:, -spare:], actor[0].bias[:, -spare:], critic[1].weight[:, -spare:])
        ins = (actor[1].weight[:, :, -spare:], last.move.weight[:, :, -spare:], critic[2].weight[:, :, -spare:])
        silent = [np.abs(np.asarray(w)[i]).max() for w in (*outs, *ins)]
        assert (max(silent) == 0) == (arm != "none")


def test_no_arm_is_smaller_than_another() -> None:
    learner = signals(arms=("none", "learned"))
    plain = signals(arms=("learned",))
    assert plain.spare(SEA) == 0
    held = jax.eval_shape(lambda: plain.model(jax.random.key(0), SEA))
    assert plain.active(SEA, "learned") == parameter_count(held) - 4  # less the arm's constants
    one, two = learner.active(SEA, "learned"), learner.active(SEA, "none")
    assert one <= two < one + 2 * 60  # one unit less in each layer would be too few
    assert learner.active(SEA, "none", learner.spare(SEA) - 1) < one


def test_lights_are_what_the_arm_says(trained: Training) -> None:
    state, timestep = sailed(SEA)
    seen = seen_by(SEA, state, timestep)
    players = trained.learner.player(trained.state)
    act = quick(lambda player, key: player.act(key, seen, ())[0] % 2)
    lit = {}
    for i, arm in enumerate(ARMS):
        player = jax.tree.map(lambda x, i=i: x[i], players)
        lit[arm] = np.mean([np.asarray(act(player, jax.random.key(k))) for k in range(20)])
    assert lit["none"] == 0 and lit["always"] == 1 and lit["random"] == pytest.approx(0.5, abs=0.1)
    assert 0 < lit["learned"] < 1


def test_what_cannot_be_trained_is_refused() -> None:
    keys = training_keys((0, 1))
    with pytest.raises(InputError, match="seeds"):
        signals(arms=("none", "learned", "bit")).init(keys, SEA)
    for world in (make_world("lever"), dataclasses.replace(SEA, channel=False)):
        with pytest.raises(InputError, match="world"):
            signals().init(keys, world)
    for wrong in ({"arms": ()}, {"arms": ("loud",)}, {"rounds": 3}, {"recurrent": True}):
        with pytest.raises(InputError):
            make_learner("signals", **wrong)


# Captains, the chart, the measures.


def test_mutual_information_of_known_tables() -> None:
    assert mutual_information(np.array([[5.0, 0], [0, 5]])) == pytest.approx(1)
    assert mutual_information(np.outer([1.0, 3], [2, 5])) == pytest.approx(0, abs=1e-12)
    assert mutual_information(np.zeros((2, 2))) == 0
    use = SignalUse({}, np.array([[8.0, 5, 1], [2, 5, 9]]), np.ones((2, 3)), np.array([[-10.0, 5], [30, 10]]))
    figures = use.figures()
    assert figures["lit | dense - empty"] == pytest.approx(0.7) and figures["lit"] == pytest.approx(16 / 30)
    assert figures["turn to a light - to the dark"] == pytest.approx(5) and figures["information, shuffled"] == 0
    assert (EMPTY, DENSE) == (0, 2)


def test_captains_are_as_honest_and_attentive_as_they_are_made() -> None:
    world = Ocean(count=4, pebbles=60, patches=1, horizon=120, view=0.1, neighbours=3)
    crews = {"silent": (1.0, 0.0), "honest": (1.0, 1.0), "chance": (0.5, 1.0), "lying": (0.0, 1.0)}
    honesty, attention = (np.array(v) for v in zip(*crews.values(), strict=True))
    used = watch(captain(world, honesty, attention), 4, world, 48, jax.random.key(0), 5)
    figures = dict(zip(crews, (use.figures() for use in used), strict=True))
    assert figures["honest"]["lit | dense"] == 1 and figures["honest"]["lit | empty"] == 0
    assert figures["lying"]["lit | dense"] == 0 and figures["lying"]["lit | empty"] == 1
    assert figures["chance"]["information"] < 0.001 < 0.3 < figures["honest"]["information"]
    assert figures["honest"]["information, shuffled"] < 0.5 * figures["honest"]["information"]
    assert figures["honest"]["collected"] > 1.15 * figures["silent"]["collected"]
    assert figures["honest"]["collected"] > figures["chance"]["collected"] > figures["lying"]["collected"]
    assert figures["honest"]["turn to a light - to the dark"] > 2
    assert abs(figures["silent"]["turn to a light - to the dark"]) < 2
    for f in figures.values():
        assert f["lowest"] <= f["middle"] <= f["highest"] and f["lit"] == pytest.approx(f["signalling"], abs=1e-4)


def test_captains_are_refused_elsewhere_and_have_a_rule() -> None:
    with pytest.raises(InputError, match="honesty"):
        captain(SEA, honesty=1.5)
    with pytest.raises(InputError, match="world"):
        captain(make_world("lever"))
    state, timestep = sailed(dataclasses.replace(SEA, channel=False), 5, 2)
    world = dataclasses.replace(SEA, channel=False)
    actions, _ = rule_player("greedy-captain", world).act(jax.random.key(0), seen_by(world, state, timestep), ())
    assert actions.shape == (4, 2) and int(actions.max()) < world.action_count


def test_a_chart_adds_what_lies_beyond_the_view_and_changes_nothing_else() -> None:
    plain, charted = SEA, dataclasses.replace(SEA, chart=True)
    state, timestep = sailed(plain)
    more = np.asarray(quick(lambda s: charted._observe(s, charted._sight(s)))(state))
    less = np.asarray(timestep.obs)
    assert more.shape[1] == less.shape[1] + 24 == charted.observation_size
    np.testing.assert_allclose(np.concatenate([more[:, :34], more[:, 58:]], 1), less, atol=1e-6)
    afloat = np.asarray(state.floating).sum(0)
    np.testing.assert_allclose(10 * more[:, 10:58].sum(1), np.broadcast_to(afloat, (4, 6)), atol=1e-3)
    one = jax.tree.map(lambda v: v[..., 0], state)
    assert "beyond your view" in charted.describe(one, 0) and "beyond" not in plain.describe(one, 0)


# The study.


verdict = verdicts_of(STUDY)


def made(gain: float, scarce: float = 0.0, ablated: float = 0.0, information: float = 0.2) -> Results:
    """Results of ten seeds in which learned signals gain so many percent."""
    results = Results()
    for name in (*study.REGIMES, "priced", "separate"):
        for variant in STUDY.experiment(name).variants:
            for seed in range(10):
                base = 60 + 0.3 * seed + 0.1 * ((7 * seed + len(variant)) % 5)
                more = scarce if name == "scarce" else gain
                factors = {LEARNED: more, ALWAYS: more, CENTRAL: 2 * more, ROUNDS: 2 * more, BIT: more / 2}
                factors |= {RANDOM: more / 2, SHUFFLED: ablated, CUT: ablated, GREEDY: -5.0}
                factor = factors.get(variant, 0.0)
                collected = base * (1 + factor / 100)
                lit = 1.0 if variant == ALWAYS else 0.2 if name == "scarce" else 0.4
                ranks = {rank: k * collected / 4 for k, rank in enumerate(study.RANKS, 1)}
                results.add(name, variant, seed, {
                    "collected": collected, **ranks, "lit": lit, "information": information,
                    "information, shuffled": 0.01, "return": collected - lit,
                    "turn to a light - to the dark": 0.1 * gain + 0.01 * seed,
                })  # fmt: skip
    return results


def test_claims_follow_the_measurements() -> None:
    good, none, wrong = made(15.0, 2.0), made(0.0, 0.0, 0.0, 0.0), made(-15.0, 5.0, 20.0, 0.03)
    for claim in ("gain", "shuffled", "cut", "meaning", "listening", "ranks", "scarce-gain", "scarce-share", "payload",
                  "as-good-as-always", "over-chance", "two-rounds", "upper-reference", "over-greedy", "separate",
                  "gain-team", "gain-fair", "priced"):  # fmt: skip
        assert verdict(claim, good) is Verdict.REPRODUCED, claim
    for claim in ("gain", "ranks", "scarce-gain", "meaning", "shuffled", "cut", "payload", "gain-team", "separate"):
        assert verdict(claim, wrong) is Verdict.NOT_REPRODUCED, claim
    assert verdict("gain", none) is not Verdict.REPRODUCED and verdict("meaning", none) is Verdict.NOT_REPRODUCED
    assert verdict("shuffled", made(15.0, ablated=-10.0)) is Verdict.NOT_REPRODUCED  # falling below is a failure too
    for claim_ in STUDY.claims:
        assert claim_.checks(Results()) == []


def test_plots_show_every_regime_and_nothing_of_nothing() -> None:
    figures = study.plots(made(10.0))
    assert set(figures) == {"collected", "learning", "meaning"} and study.plots(Results()) == {}


def test_the_regimes_are_the_same_sea_with_other_pay() -> None:
    config = STUDY.configure("standard")
    seas = {name: config.sea(name) for name in study.REGIMES}
    assert dataclasses.replace(seas["fair"], regime="abundant", fairness=0.0) == seas["abundant"]
    assert dataclasses.replace(seas["team"], regime="abundant", shared=0) == seas["abundant"]
    assert seas["scarce"].patches > seas["abundant"].patches and seas["scarce"].spread < seas["abundant"].spread
    with pytest.raises(InputError, match="steps"):
        STUDY.configure("quick", {"steps": 10})


def trial_of(name: str, **changes: Any) -> Trial[Any]:
    from shoal.traces import TraceWriter

    small = {"pebbles": 20, "horizon": 20, "worlds": 1, "rollout": 20, "steps": 800, "episodes": 2, "hidden": 8}
    config = STUDY.configure("quick", {**small, **changes})
    return Trial(config, name, "", 0, 0, TraceWriter(None, "test"), None, (0, 1))


@pytest.mark.slow
def test_a_whole_regime_is_measured() -> None:
    found = study.regime(trial_of("abundant", whole=True))
    assert set(found) == set(STUDY.experiment("abundant").variants)
    for figures in found.values():
        assert len(figures) == 2 and all(0 <= f["collected"] <= 20 for f in figures)
    assert [f["lit"] for f in found[NONE]] == [0, 0] and [f["lit"] for f in found[ALWAYS]] == [1, 1]
    assert len(found[LEARNED][0]["collected in training"]) == study.POINTS


@pytest.mark.slow
def test_captains_experiment_measures_every_crew_in_every_sea() -> None:
    found = study.captains(trial_of("captains", episodes=1))
    assert set(found) == set(study.CAPTAINS)
    assert {f"collected, {sea}" for sea in study.SEAS} <= set(found["honest"][0])


class _Config(StudyConfig):
    """Nothing."""


def _all_at_once(trial: Trial[_Config]) -> dict[str, list[dict[str, float]]]:
    return {"one": [{"x": float(s)} for s in trial.seeds], "two": [{"x": 10.0 + s} for s in trial.seeds]}


def test_one_call_may_measure_all_variants_on_all_seeds(tmp_path: Path) -> None:
    toy = Study(
        "toy", "toy", "none", "marl", "marl", "toy", _Config,
        (Experiment("all", _all_at_once, ("one", "two"), vectorised=True, joint=True),),
        (Claim("c", "c", "all", lambda results: []),), seeds={"quick": 3},
    )  # fmt: skip
    summary = run_study(toy, size="quick", out=tmp_path, processes=1)
    assert not summary.failures
    assert summary.results.values("all", "one", "x").tolist() == [0, 1, 2]
    assert summary.results.values("all", "two", "x").tolist() == [10, 11, 12]
