"""Training, evaluation and cross-play from the command line, on real trainings that are as small as they can be."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

import shoal as library
from command_line import Shoal
from learning_worlds import Recall
from shoal.cli import checks, console, training
from shoal.cli.application import run as command
from shoal.marl.checkpoints import ARRAYS, DESCRIPTION, read
from shoal.marl.compilation import ONCE
from shoal.runs.folder import read_lines
from shoal.traces import read_trace
from shoal.worlds import WORLDS

TINY = ("--set", "worlds=4", "--set", "rollout=8", "--set", "epochs=1", "--set", "minibatches=1", "--set", "hidden=[8]")
GAME = "matrix:horizon=4,recall=true"
STEPS = 320
EACH = 32
"""Environment steps of an update."""


@pytest.fixture(scope="module", autouse=True)
def compiled_once() -> Iterator[None]:
    """Trainings of milliseconds are compiled as what runs once; what they compute is the same."""
    with pytest.MonkeyPatch.context() as patched:
        for options in ("QUICK", "THOROUGH"):
            patched.setattr(f"shoal.marl.training.{options}", ONCE)
        yield


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What a training of two seeds from the command line says as JSON."""
    out = tmp_path_factory.mktemp("trainings")
    line = ["train", "ippo", GAME, "--seeds", "2", "--steps", str(STEPS), "--episodes", "16", "--out", str(out), *TINY]
    with redirect_stdout(io.StringIO()) as printed:
        assert console.guarded(lambda: command([*line, "--json"])) == 0
    return json.loads(printed.getvalue())


@pytest.fixture(scope="module")
def trained(told: Any) -> Path:
    """Its run folder."""
    return Path(told["run_dir"])


def step(folder: Path, number: int) -> Path:
    return folder / "checkpoints" / f"step-{number:012d}"


def arrays(checkpoint: Path) -> dict[str, Any]:
    with np.load(checkpoint / ARRAYS) as stored:
        return {name: stored[name] for name in stored.files}


def metrics(folder: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "steps_per_second"} for row in read_lines(folder / "metrics.jsonl")]


def test_a_training_leaves_a_whole_run_folder(trained: Path) -> None:
    rows = metrics(trained)
    assert [(r["update"], r["seed"]) for r in rows] == [(u, s) for u in range(1, 11) for s in (0, 1)]
    assert {p.name for p in (trained / "checkpoints").iterdir()} == {step(trained, n).name for n in range(64, 321, 64)}
    events = read_trace(trained / "events.jsonl")
    assert not events.problems
    steps = [e for e in events if e.kind == "world.step"]
    assert len(steps) == 2 * 4
    assert set(steps[0].payload["actions"]) == {"agent-0", "agent-1"}
    summary = orjson.loads((trained / "summary.json").read_bytes())
    assert summary["learner"]["settings"]["rollout"] == 8
    assert summary["world"]["settings"]["horizon"] == 4
    assert (trained / "plots" / "learning-curve.png").read_bytes().startswith(b"\x89PNG")
    info = orjson.loads((trained / "run.json").read_bytes())
    assert (info["status"], info["learner"], info["seeds"]) == ("finished", "ippo", 2)


def test_the_document_of_a_training_has_its_evaluation_over_seeds(told: Any) -> None:
    assert (told["step"], told["seeds"]) == (STEPS, [0, 1])
    evaluation = told["evaluation"]
    each = list(evaluation["by_seed"].values())
    assert evaluation["return"]["value"] == pytest.approx(np.mean(each))
    assert evaluation["return"]["n"] == 2  # the seeds, not the episodes
    assert evaluation["return"]["low"] <= min(each) <= max(each) <= evaluation["return"]["high"]
    assert evaluation["interquartile_mean"]["method"] == "stratified bootstrap"
    assert evaluation["episode_length"]["value"] == 4.0
    assert Path(told["checkpoint"]) == step(Path(told["run_dir"]), STEPS)


@contextmanager
def interrupting(title: str, quiet: bool = False) -> Iterator[Any]:
    """Stands in for the progress bar: Ctrl-C at the first sign of progress."""
    done = False

    def progress(_: Any) -> None:
        nonlocal done
        if not done:
            done = True
            signal.raise_signal(signal.SIGINT)

    yield progress


def test_ctrl_c_saves_and_the_line_it_prints_goes_on(
    shoal: Shoal, told: Any, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(training, "training_bar", interrupting)
        line = ("train", "ippo", GAME, "--seeds", 2, "--steps", STEPS, "--episodes", 16, *TINY)
        assert shoal(*line) == 130
    assert "training stopped at step 32" in shoal.err
    words = shoal.err.strip().rpartition("shoal train ")[2].split()
    assert words[0] == "--resume"
    assert shoal.json("runs")[-1]["status"] == "stopped"
    assert shoal("train", *words) == 0
    assert f"{told['evaluation']['return']['value']:.4g}" in shoal.out
    assert "learning-curve.png" in shoal.out
    assert shoal.json("runs")[-1]["status"] == "finished"
    # What was stopped and resumed is what ran through, bit for bit, and so are its metrics.
    resumed = Path(words[1]).parents[1]
    one, two = arrays(step(trained, STEPS)), arrays(step(resumed, STEPS))
    assert set(one) == set(two)
    assert all(np.array_equal(one[name], two[name]) for name in one)
    assert metrics(resumed) == metrics(trained)


def test_sigint_to_the_process_saves_and_says_how_to_resume(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "shoal", "train", "ippo", GAME, "--steps", "1000000000", "--out", "runs", *TINY]
    child = subprocess.Popen(line, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        limit = time.monotonic() + 240
        while not any(m.stat().st_size for m in tmp_path.glob("runs/*/metrics.jsonl")) and time.monotonic() < limit:
            assert child.poll() is None, child.communicate()
            time.sleep(0.05)
        os.kill(child.pid, signal.SIGINT)
        out, err = child.communicate(timeout=240)
    finally:
        child.kill()
    assert child.returncode == 130
    assert out == ""
    assert "shoal train --resume runs/" in err
    assert len(err.strip().splitlines()) == 1
    checkpoint = tmp_path / err.strip().rpartition("--resume ")[2]
    assert read(checkpoint).updates == max(r["update"] for r in read_lines(checkpoint.parents[1] / "metrics.jsonl"))


def test_nan_observations_stop_with_the_step_and_the_cause(shoal: Shoal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(WORLDS._parts, "recall", Recall)
    assert shoal("train", "ippo", "recall", "--world-set", "poison=true", "--steps", STEPS, *TINY) == 1
    assert f"step {EACH}" in shoal.err
    assert "observations are not finite" in shoal.err
    assert len(shoal.err.strip().splitlines()) == 1
    assert shoal.json("runs")[-1]["status"] == "failed"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("train", "ipo", GAME), "Did you mean ippo"),
        (("train", "ippo", "sprea"), "Did you mean spread"),
        (("train", "ippo"), "--resume"),
        (("train", "ippo", GAME, "--resume", "x"), "alone"),
        (("train", "--resume", "nothing"), "nothing"),
        (("train", "ippo", GAME, "--set", "rolout=8"), "Did you mean rollout"),
        (("train", "ippo", GAME, "--set", "rollout=0"), "rollout"),
        (("train", "ippo", GAME, "--world-set", "horizn=8"), "Did you mean horizon"),
        (("train", "ippo", "spread", "--world-set", "agents=0"), "at least 1 agent"),
        (("train", "ippo", GAME, "--steps", 0), "--steps"),
        (("train", "ippo", GAME, "--seeds", 0), "--seeds"),
        (("train", "ippo", GAME, "--set", "worlds=5", "--set", "rollout=1", "--set", "minibatches=4"), "minibatches"),
        (("eval", "nothing"), "nothing"),
        (("cross-play", "nothing"), "nothing"),
        (("show", "mapo"), "Did you mean mappo"),
        (("list", "learnrs"), "Did you mean learners"),
    ],
)
def test_bad_input_is_told_in_a_line(shoal: Shoal, arguments: tuple[object, ...], words: str) -> None:
    assert shoal(*arguments) == 2
    assert words in shoal.err
    assert len(shoal.err.strip().splitlines()) == 1
    assert "defect" not in shoal.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--seats", "learnd"), "Did you mean learned"),
        (("--seats", "learned,random,random"), "one for each of the 2 agents"),
        (("--seats", "scripted:aa,random"), "Did you mean a"),
        (("--seats", "scripted:chase,random"), "It is for tag"),
        (("--seats", "scripted:competnce=1,random"), "Did you mean competence"),
        (("--seats", "local:nothing,random"), "nothing"),
        (("--episodes", "0"), "episodes"),
        (("--render", "picture.bmp"), ".gif"),
    ],
)
def test_bad_seats_are_told_in_a_line(shoal: Shoal, trained: Path, options: tuple[str, ...], words: str) -> None:
    assert shoal("eval", trained, *options) == 2
    assert words in shoal.err
    assert len(shoal.err.strip().splitlines()) == 1


def test_checkpoints_of_another_world_or_version_are_refused_with_both_names(
    shoal: Shoal, trained: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(step(trained, 320), other)
    text = (other / DESCRIPTION).read_text()
    (other / DESCRIPTION).write_text(text.replace('"horizon": 4', '"horizon": 7'))
    assert shoal("eval", trained, "--seats", f"learned,{other}") == 2
    assert "horizon=7" in shoal.err
    assert "horizon=4" in shoal.err
    assert shoal("cross-play", trained, other) == 2
    assert "horizon=7" in shoal.err
    assert "horizon=4" in shoal.err
    (other / DESCRIPTION).write_text(text.replace('"format": 1', '"format": 999').replace('"shoal": "0', '"shoal": "9'))
    for line in (("eval", other), ("train", "--resume", other), ("cross-play", other)):
        assert shoal(*line) == 2
        assert "999 of shoal 9" in shoal.err
        assert "reads version 1" in shoal.err
    assert shoal("train", "--resume", trained) == 2
    assert "finished" in shoal.err
    assert shoal("eval", f"{trained}#7") == 2
    assert "The checkpoint has 0, 1" in shoal.err


def test_eval_is_the_evaluation_of_the_library(shoal: Shoal, trained: Path) -> None:
    from shoal.marl import evaluate, load

    document = shoal.json("eval", trained, "--episodes", 32, "--root-seed", 5)
    both = [evaluate(load(trained, seed=s), load(trained).world, 32, 5) for s in (0, 1)]
    assert document["seeds"] == [0, 1]
    assert document["return"]["value"] == pytest.approx(np.mean([e.team.mean() for e in both]))
    one = shoal.json("eval", f"{trained}#1", "--episodes", 32, "--root-seed", 5)
    assert one["return"]["value"] == pytest.approx(both[1].team.mean())
    assert one["return"]["n"] == 32
    assert one["agents"]["agent-0"]["value"] == pytest.approx(both[1].returns[:, 0].mean())
    assert shoal("eval", trained, "--episodes", 32, "--root-seed", 5) == 0
    assert f"{document['return']['value']:.4g}" in shoal.out


def test_any_mix_of_seats_plays(shoal: Shoal, trained: Path) -> None:
    # The game pays 1 for the same action; two constants meet in every step or never.
    assert shoal.json("eval", trained, "--seats", "scripted:a")["agents"]["agent-0"]["value"] == 4.0
    assert shoal.json("eval", trained, "--seats", "scripted:a,scripted:b")["return"]["value"] == 0.0
    older = f"{step(trained, 64)}#1"
    document = shoal.json("eval", f"{trained}#0", "--seats", f"learned,{older}", "--episodes", 128)
    assert document["seats"] == {"agent-0": "learned", "agent-1": older}
    assert 0.0 <= document["agents"]["agent-1"]["value"] <= 4.0
    chance = shoal.json("eval", f"{trained}#0", "--seats", "random*2", "--episodes", 512)
    assert chance["agents"]["agent-0"]["low"] < 2.0 < chance["agents"]["agent-0"]["high"]


def test_a_scripted_language_model_does_what_it_knows(shoal: Shoal, trained: Path) -> None:
    common = ("eval", f"{trained}#0", "--episodes", 6, "--greedy")
    learned = shoal.json(*common)
    knowing = shoal.json(*common, "--seats", "scripted:competence=1,learned")
    assert knowing["return"] == learned["return"]
    spent = knowing["models"]["scripted:competence=1"]
    assert (spent["asked"], spent["calls"], spent["failures"]) == (24, 24, {})


def test_replies_without_an_action_are_counted_and_chance_decides(shoal: Shoal, trained: Path) -> None:
    seats = ("--seats", "scripted:competence=1,format_failures=1,learned", "--episodes", 3)
    document = shoal.json("eval", f"{trained}#0", *seats, code=1)
    spent = document["models"]["scripted:competence=1,format_failures=1"]
    assert spent["failures"] == {"no action": 12}
    assert spent["asked"] == 12
    assert document["episode_length"]["value"] == 4.0
    assert "gave no usable action" in shoal.err


@pytest.mark.parametrize("ending", ["svg", "png", "gif"])
def test_pictures_of_an_episode(shoal: Shoal, trained: Path, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"episode.{ending}"
    assert shoal("eval", f"{trained}#0", "--episodes", 1, "--render", path) == 0
    if ending == "svg":
        assert "step 4" in path.read_text()  # the end of the episode
        return
    from PIL import Image

    with Image.open(path) as picture:
        assert getattr(picture, "n_frames", 1) == (5 if ending == "gif" else 1)


def test_cross_play_of_seeds_and_of_checkpoints(shoal: Shoal, trained: Path) -> None:
    document = shoal.json("cross-play", trained, "--episodes", 32, "--greedy")
    assert document["policies"] == ["seed 0", "seed 1"]
    matrix = np.array([[cell["value"] for cell in row] for row in document["matrix"]])
    for seed in (0, 1):  # greedy policies in a game without chance: self-play is exact
        alone = shoal.json("eval", f"{trained}#{seed}", "--episodes", 32, "--greedy")
        assert matrix[seed, seed] == pytest.approx(alone["return"]["value"])
    assert document["gap"]["value"] == pytest.approx(np.diag(matrix).mean() - (matrix[0, 1] + matrix[1, 0]) / 2)
    assert Path(document["picture"]).read_bytes().startswith(b"\x89PNG")
    assert orjson.loads(Path(document["run_dir"], "cross_play.json").read_bytes())["matrix"] == document["matrix"]
    several = shoal.json(
        "cross-play", f"{trained}#0", f"{step(trained, 64)}#1", "--episodes", 32, "--greedy", "--row-seats", "1"
    )
    assert several["policies"] == ["ippo 320#0", "ippo 64#1"]
    assert several["row_seats"] == ["agent-1"]
    assert shoal("cross-play", trained, "--episodes", 32, "--greedy") == 0
    assert "self-play" in shoal.out
    assert shoal("cross-play", f"{trained}#0") == 2
    assert shoal("cross-play", trained, "--row-seats", "0,1") == 2
    assert shoal("cross-play", trained, "--row-seats", "one") == 2


def test_learners_are_listed_and_shown_with_their_settings(shoal: Shoal) -> None:
    names = {row["name"] for row in shoal.json("list", "learners")}
    assert {"ippo", "mappo"} <= names
    for name in names:
        document = shoal.json("show", name)
        entry = document if "settings" in document else document["learner"]
        assert all(s["meaning"] for s in entry["settings"]), name
    document = shoal.json("show", "ippo")
    ranges = {s["key"]: s["range"] for s in document["settings"]}
    assert ranges["rollout"] == "whole >= 1"
    assert ranges["discount"] == "number >= 0 <= 1"
    assert ranges["value_clip"] == "number > 0 or empty"
    assert "arXiv 2011.09533" in document["title"]
    assert shoal("show", "ippo") == 0
    assert "learning_rate" in shoal.out
    assert shoal("list", "learners") == 0


def test_ways_to_communicate_are_listed_by_the_vocabulary(shoal: Shoal) -> None:
    rows = shoal.json("list", "communication", "--word", "when=gated", "--word", "who=learned senders")
    assert [row["name"] for row in rows] == ["ic3net"]
    assert len(shoal.json("list", "communication")) >= 12
    assert shoal("list", "communication", "--word", "when=gatd") == 2
    assert "gated" in shoal.err
    assert shoal("list", "worlds", "--word", "when=gated") == 2
    assert "communication" in shoal.err


def test_three_lines_outside_training(trained: Path) -> None:
    policy = library.load(trained)
    _, timestep = library.make_world(GAME).reset(__import__("jax").random.key(0))
    action = policy.act(timestep.obs)
    assert action.shape == (2,)
    assert set(action.tolist()) <= {0, 1}


def test_importing_shoal_loads_no_learner() -> None:
    code = "import sys, shoal; print([m for m in ('jax', 'equinox', 'shoal.marl') if m in sys.modules], *dir(shoal))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.startswith("[]")
    assert {"make_world", "train", "load"} <= set(told.split())


def test_a_benchmark_may_be_named_by_its_beginning(
    shoal: Shoal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "training.py").write_text('"""Toy."""\n\n\ndef run():\n    return {"name": "toy", "rows": []}\n')
    (tmp_path / "trawling.py").write_text('"""Another."""\n')
    monkeypatch.setattr(checks, "_benchmarks", lambda: tmp_path)
    assert shoal.json("bench", "train") == {"name": "toy", "rows": []}
    assert (tmp_path / "results" / "training.json").exists()
    assert shoal("bench", "tra") == 2
