"""Training on spread beside JaxMARL's own scripts: wall time with compilation, steps per second, returns, memory.

Both sides run in turn in one process, with the same networks and settings (16 worlds of 128 steps, 4 epochs, 4
minibatches), each seed compiled afresh; imports are not counted. JaxMARL's training scripts are not in its package:
set JAXMARL to a checkout of its repository (their ``make_train`` is run unchanged, with logging to memory) and install
distrax beside the extra ``peers``. The return is the mean of the last 5% of updates of each seed's training, summed
over agents; three seeds, so the interval (Student, 95%) is wide. Memory is the peak of a process of its own.
"""

from __future__ import annotations

import importlib.util
import os
import resource
import statistics
import subprocess
import sys
import time
import types
from importlib import metadata
from pathlib import Path
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")

SEEDS = (30, 31, 32)
STEPS = 1_000_000
RECURRENT_STEPS = {"ours": 200_000, "theirs": 40_000}
"""The peer's recurrent training takes minutes; its speed does not depend on the number of updates."""
TAIL = 0.05
SCRIPTS = {
    "ippo": ("baselines/IPPO/ippo_ff_mpe.py", "baselines/IPPO/config/ippo_ff_mpe.yaml"),
    "mappo": ("baselines/MAPPO/mappo_rnn_mpe.py", "baselines/MAPPO/config/mappo_homogenous_rnn_mpe.yaml"),
}
RETURN = {"ippo": "returned_episode_returns", "mappo": "returns"}

IPPO = {"value_clip": 0.2, "clip_apart": False}
"""What makes our settings those of the peer's script; the rest is the default."""
MAPPO = {
    "recurrent": True, "hidden": [128, 128], "memory": 128, "activation": "relu",
    "learning_rate": 2e-3, "value_clip": 0.2,
}  # fmt: skip
WHOLE_ROLLOUT = {"chunk": 128}
"""The peer differentiates through the whole rollout."""
LARGE = {"worlds": 4096, "agents": 10, "updates": 2}


def run() -> dict[str, Any]:
    """Measure everything that is installed; a missing peer is a row without figures."""
    from shoal.runs.machine import machine_facts

    load = os.getloadavg()[0]
    rows = [*_ippo(), *_recurrent(), *_memory()]
    facts = {**machine_facts(), "load_before": round(load, 2), "load_after": round(os.getloadavg()[0], 2)}
    return {"name": "training", "machine": facts, "rows": rows}


def _ippo() -> list[dict[str, Any]]:
    ours, theirs = [], []
    for seed in SEEDS:
        ours.append(_ours("ippo", IPPO, STEPS, seed))
        theirs.append(_theirs("ippo", STEPS, seed))
    known = [t for t in theirs if t is not None]
    what = f"IPPO on spread, {STEPS:,} steps, 16 worlds x 128 steps"

    def each(name: str) -> tuple[list[float], list[float]]:
        return [o[name] for o in ours], [t[name] for t in known]

    return [
        _row(f"{what}, wall time with compilation", "s", *each("wall"), higher=False),
        _row(f"{what}, processor time with compilation", "s", *each("processor"), higher=False),
        _row(f"{what}, compilation", "s", *each("compile"), higher=False),
        _row(f"{what}, return", "return", *each("return"), compare=False),
    ]


def _recurrent() -> list[dict[str, Any]]:
    seeds = SEEDS[:2]
    whole = [_ours("mappo", {**MAPPO, **WHOLE_ROLLOUT}, RECURRENT_STEPS["ours"], s) for s in seeds]
    known = [t for s in seeds if (t := _theirs("mappo", RECURRENT_STEPS["theirs"], s)) is not None]
    short = [_ours("mappo", MAPPO, RECURRENT_STEPS["ours"], s) for s in seeds]
    what = "recurrent MAPPO on spread, GRU 128, 16 worlds x 128 steps"
    theirs, compiles = [t["rate"] for t in known], [t["compile"] for t in known]
    unit, pure = "env steps/s", "per_processor_second"
    return [
        _row(f"{what}, gradients through 128 steps", unit, [o["rate"] for o in whole], theirs),
        _row(f"{what}, gradients through 16 steps (ours; theirs 128)", unit, [o["rate"] for o in short], theirs),
        _row(f"{what}, per second of processor time", unit, [o[pure] for o in whole], [t[pure] for t in known]),
        _row(f"{what}, compilation", "s", [o["compile"] for o in whole], compiles, higher=False),
    ]


def _memory() -> list[dict[str, Any]]:
    done = subprocess.run([sys.executable, __file__, "large"], capture_output=True, text=True, check=True)
    peak, rate = (float(x) for x in done.stdout.split()[-2:])
    what = f"IPPO on spread with {LARGE['agents']} agents, {LARGE['worlds']:,} worlds x 128 steps"
    return [
        _row(f"{what}, peak memory of the process", "GiB", [peak], [], peer="(none)"),
        _row(f"{what}, speed", "env steps/s", [rate], [], peer="(none)"),
    ]


def _large() -> None:
    """Train in many worlds and print this process's peak memory in GiB and its speed; run in a process of its own."""
    from shoal.marl import train
    from shoal.worlds import make_world

    world = make_world("spread", agents=LARGE["agents"])
    steps = LARGE["updates"] * LARGE["worlds"] * 128
    result = train("ippo", world, settings={"worlds": LARGE["worlds"]}, steps=steps, episodes=0)
    assert int(result.state.updates) == LARGE["updates"]
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, steps / result.seconds)


def _ours(learner: str, settings: dict[str, Any], steps: int, seed: int) -> dict[str, float]:
    import jax
    import numpy as np

    from shoal.marl import train

    jax.clear_caches()
    started, spent = time.perf_counter(), time.process_time()
    marks: list[tuple[int, float]] = []
    result = train(
        learner, "spread", settings=settings, steps=steps, seeds=[seed], episodes=0,
        progress=lambda p: marks.append((p.step, time.process_time())),
    )  # fmt: skip
    wall = time.perf_counter() - started
    (first, begun), (last, ended) = marks[0], marks[-1]
    returns = result.history["return"][:, 0]
    tail = returns[-max(1, int(len(returns) * TAIL)) :]
    done = len(returns) * result.learner.steps_per_update
    return {
        "wall": wall,
        "processor": time.process_time() - spent,
        "compile": result.compile_seconds,
        "rate": done / result.seconds,
        "per_processor_second": (last - first) / (ended - begun),
        "return": float(np.nanmean(tail)),
    }


def _theirs(which: str, steps: int, seed: int) -> dict[str, float] | None:
    """JaxMARL's script; None if it, its checkout or its needs are not here."""
    checkout = os.environ.get("JAXMARL")
    if checkout is None:
        return None
    logs: list[dict[str, Any]] = []
    try:
        script = _import(Path(checkout) / SCRIPTS[which][0], logs)
    except ImportError:
        return None
    import jax
    import yaml

    config = yaml.safe_load((Path(checkout) / SCRIPTS[which][1]).read_text())
    config.update(TOTAL_TIMESTEPS=float(steps), SEED=seed, NUM_SEEDS=1, LR=float(config["LR"]))
    jax.clear_caches()
    key = jax.random.PRNGKey(seed)
    started, spent = time.perf_counter(), time.process_time()
    program = jax.jit(script.make_train(config)).lower(key).compile()
    compiled, begun = time.perf_counter(), time.process_time()
    jax.block_until_ready(program(key))
    jax.effects_barrier()
    over = time.perf_counter()
    returns = [float(entry[RETURN[which]]) for entry in logs]
    tail = returns[-max(1, int(len(returns) * TAIL)) :]
    done = config["NUM_UPDATES"] * config["NUM_ENVS"] * config["NUM_STEPS"]
    return {
        "wall": over - started,
        "processor": time.process_time() - spent,
        "compile": compiled - started,
        "rate": done / (over - compiled),
        "per_processor_second": done / (time.process_time() - begun),
        "return": statistics.fmean(tail),
    }


def _import(path: Path, logs: list[dict[str, Any]]) -> Any:
    """The script as a module, with stand-ins for what only logs and reads configurations."""
    wandb = types.ModuleType("wandb")
    wandb.log = logs.append  # type: ignore[attr-defined]
    hydra = types.ModuleType("hydra")
    hydra.main = lambda **_: lambda function: function  # type: ignore[attr-defined]
    omegaconf = types.ModuleType("omegaconf")
    omegaconf.OmegaConf = object  # type: ignore[attr-defined]
    sys.modules.update(wandb=wandb, hydra=hydra, omegaconf=omegaconf)
    specification = importlib.util.spec_from_file_location(f"jaxmarl_{path.stem}", path)
    if specification is None or specification.loader is None or not path.exists():
        raise ImportError(str(path))
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def _row(
    setting: str,
    unit: str,
    ours: list[float],
    theirs: list[float],
    higher: bool = True,
    compare: bool = True,
    peer: str = "jaxmarl",
) -> dict[str, Any]:
    mine, other = statistics.median(ours), statistics.median(theirs) if theirs else None
    if not compare:  # returns: means with intervals, no ratio
        mine, other = statistics.fmean(ours), statistics.fmean(theirs) if theirs else None
    ratio = None if other is None or not compare else mine / other if higher else other / mine
    return {
        "peer": peer,
        "version": _version(peer),
        "setting": setting,
        "ours": _short(mine),
        "theirs": None if other is None else _short(other),
        "unit": unit,
        "ratio": None if ratio is None else _short(ratio),
        "each": {"ours": [_short(x) for x in ours], "theirs": [_short(x) for x in theirs]},
        "intervals": None if compare else {"ours": _interval(ours), "theirs": _interval(theirs)},
    }


def _interval(values: list[float]) -> list[float] | None:
    from shoal.stats import mean

    if len(values) < 2:
        return None
    estimate = mean(values)
    return [_short(estimate.low), _short(estimate.high)]


def _version(peer: str) -> str:
    if peer == "(none)":
        return ""
    try:
        return f"{metadata.version(peer)}{'' if os.environ.get('JAXMARL') else ' (its scripts: set JAXMARL)'}"
    except metadata.PackageNotFoundError:
        return "not installed: pip install 'shoal[peers]'"


def _short(x: float) -> float:
    return float(f"{x:.4g}")


if __name__ == "__main__":
    import json

    if sys.argv[1:] == ["large"]:
        _large()
    else:
        json.dump(run(), sys.stdout, indent=2)
