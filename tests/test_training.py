"""Training as a whole: resume, faults, checkpoints, policies, evaluation."""

from __future__ import annotations

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import orjson
import pytest

from learning_worlds import Recall
from shoal.errors import InputError, ShoalError, UnknownName
from shoal.marl import RandomPlayer, RulePlayer, TrainingInterrupted, evaluate, load, train
from shoal.marl.checkpoints import read, save
from shoal.marl.faults import TrainingDiverged
from shoal.marl.training import Progress
from shoal.traces import read_trace
from shoal.worlds import make_world

TINY = {"worlds": 8, "rollout": 8, "minibatches": 2, "epochs": 1, "hidden": (8,)}
"""64 steps an update."""


def plain(leaf: jax.Array) -> jax.Array:
    """Keys as their numbers."""
    return jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf


class Stop(Exception):
    """Raised in the middle of a training."""


@pytest.mark.parametrize(
    "extra", [{}, pytest.param({"recurrent": True, "hidden": (8, 8), "memory": 8, "chunk": 4}, marks=pytest.mark.slow)]
)
def test_resume_is_bit_for_bit(tmp_path: Path, extra: dict[str, object]) -> None:
    whole = train("ippo", "lever", steps=640, seeds=2, settings={**TINY, **extra}, episodes=8)

    def stop(progress: Progress) -> None:
        if progress.step >= 256:
            raise Stop

    with pytest.raises(Stop):
        train(
            "ippo",
            "lever",
            steps=640,
            seeds=2,
            settings={**TINY, **extra},
            episodes=8,
            out=tmp_path / "run",
            checkpoint_every=128,
            progress=stop,
        )
    resumed = train(resume=tmp_path / "run")
    for one, other in zip(jax.tree.leaves(whole.state), jax.tree.leaves(resumed.state), strict=True):
        one, other = (
            jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x for x in (one, other)
        )
        np.testing.assert_array_equal(one, other)
    for a, b in zip(whole.evaluation, resumed.evaluation, strict=True):
        np.testing.assert_array_equal(a.returns, b.returns)
    lines = [orjson.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_bytes().splitlines()]
    assert [(row["update"], row["seed"]) for row in lines] == [(u, s) for u in range(1, 11) for s in (0, 1)]
    returns = [row["entropy"] for row in lines if row["seed"] == 0]
    np.testing.assert_allclose(returns, whole.history["entropy"][:, 0], rtol=1e-6)


def test_a_folder_has_everything(tmp_path: Path) -> None:
    result = train("ippo", "lever", steps=256, settings=TINY, out=tmp_path / "run", episodes=4, traced=2)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["step"] == 256
    assert summary["world"]["name"] == "lever"
    assert summary["evaluation"][0]["return"][0] == pytest.approx(result.evaluation[0].team.mean())
    events = list(read_trace(tmp_path / "run" / "events.jsonl"))
    assert {e.payload["episode"] for e in events if e.kind == "world.step"} == {0, 1}
    policy = load(tmp_path / "run")
    obs = np.asarray(result.world.reset(jax.random.key(1))[1].obs)
    np.testing.assert_array_equal(policy.act(obs), result.policy().act(obs))


def test_nan_observations_stop_with_the_step_and_the_cause(tmp_path: Path) -> None:
    with pytest.raises(TrainingDiverged, match=r"step 64 \(seed 0\): the world's observations are not finite"):
        train("ippo", Recall(poison=True), steps=640, settings=TINY, out=tmp_path)


def test_a_diverging_training_stops_and_names_the_last_sound_state(tmp_path: Path) -> None:
    settings = {**TINY, "learning_rate": 1e9, "max_grad_norm": 1e9, "total_steps": None}
    with pytest.raises(TrainingDiverged) as stopped:
        train("ippo", "lever", steps=64_000, settings=settings, out=tmp_path, checkpoint_every=64)
    assert stopped.value.cause
    assert str(stopped.value.step) in str(stopped.value)


def test_refusals(tmp_path: Path) -> None:
    train("ippo", "lever", steps=64, settings=TINY, out=tmp_path / "run", episodes=0, traced=0)
    with pytest.raises(InputError, match=r"lever.*spread|spread.*lever"):
        load(tmp_path / "run", world=make_world("spread"))
    with pytest.raises(InputError, match="seed"):
        load(tmp_path / "run", seed=9)
    with pytest.raises(InputError, match="checkpoint"):
        load(tmp_path / "nowhere")
    folder = read(tmp_path / "run").path
    text = (folder / "checkpoint.json").read_text()
    (folder / "checkpoint.json").write_text(text.replace('"format": 1', '"format": 99'))
    with pytest.raises(InputError, match="version"):
        load(tmp_path / "run")
    (folder / "checkpoint.json").write_text(text)
    (folder / "arrays.npz").write_bytes(b"not an archive")
    with pytest.raises(InputError, match="cannot be read"):
        load(tmp_path / "run")


def test_a_checkpoint_runs_no_code(tmp_path: Path) -> None:
    """Pickled objects in the archive are refused, not loaded."""
    train("ippo", "lever", steps=64, settings=TINY, out=tmp_path / "run", episodes=0, traced=0)
    checkpoint = read(tmp_path / "run")
    with np.load(checkpoint.path / "arrays.npz") as stored:
        arrays = {name: stored[name] for name in stored.files}
    first = next(iter(arrays))
    arrays[first] = np.array([Stop], dtype=object)
    np.savez(checkpoint.path / "arrays.npz", **arrays)
    with pytest.raises((InputError, ValueError)):
        load(tmp_path / "run")


def test_bad_input() -> None:
    with pytest.raises(UnknownName, match="mappo"):
        train("mapo", "spread")
    with pytest.raises(UnknownName, match="spread"):
        train("ippo", "spred")
    with pytest.raises(InputError, match="learning_rate"):
        train("ippo", "spread", settings={"learning_rate": -1})
    with pytest.raises(InputError, match="steps"):
        train("ippo", "spread", steps=0)
    with pytest.raises(InputError, match="seeds"):
        train("ippo", "spread", seeds=[1, 1])
    with pytest.raises(InputError, match="train"):
        train()


def test_the_policy_checks_its_input() -> None:
    result = train("ippo", "spread", steps=64, settings=TINY, episodes=0)
    policy = result.policy()
    with pytest.raises(InputError, match="obs"):
        policy.act(np.zeros((2, 18)))
    with pytest.raises(InputError, match="legal"):
        policy.act(np.zeros((3, 18)), legal=np.zeros((3, 5), bool))
    only = np.zeros((3, 5), bool)
    only[:, 2] = True
    np.testing.assert_array_equal(policy.act(np.zeros((3, 18)), legal=only), 2)
    assert policy.act(np.zeros((3, 18, 7))).shape == (3, 7)


def test_evaluation_is_exact_for_rules() -> None:
    world = make_world("climbing")
    up = RulePlayer(lambda key, view: jnp.zeros(view.alive.shape, jnp.int32))
    down = RulePlayer(lambda key, view: jnp.full(view.alive.shape, 2, jnp.int32))
    np.testing.assert_array_equal(evaluate(up, world, 5, 0).returns, 11.0)
    np.testing.assert_array_equal(evaluate([up, down], world, 5, 0).returns, 0.0)
    chance = evaluate(RandomPlayer(), world, 20_000, 0)
    table = np.array([[11.0, -30.0, 0.0], [-30.0, 7.0, 6.0], [0.0, 0.0, 5.0]])
    assert chance.returns[:, 0].mean() == pytest.approx(table.mean(), abs=0.4)
    with pytest.raises(InputError, match="seats"):
        evaluate([up], world, 5, 0)


def test_interrupted_says_how_to_resume(tmp_path: Path) -> None:
    error = TrainingInterrupted(tmp_path / "checkpoint", 128)
    assert isinstance(error, ShoalError)
    assert str(tmp_path / "checkpoint") in str(error)
    assert error.exit_code == 130


def test_a_checkpoint_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = train("ippo", "lever", steps=64, settings=TINY, episodes=0)
    target = save(tmp_path / "one", result.state, result.learner, result.world, result.seeds)
    before = (target / "checkpoint.json").read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(ShoalError, match="No space left"):
        save(tmp_path / "one", result.state, result.learner, result.world, result.seeds)
    assert (target / "checkpoint.json").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["one"]
