"""Worlds under random actions: environment steps per second and compile time, beside JaxMARL, mpe2, lbforaging, VMAS.

One environment step is all agents acting once. Both sides step batches in one compiled loop of 100 steps with automatic
resets, draw legal random actions inside it, and consume observations and rewards; each gets its best batch size. Peers
written in Python step one environment. Rounds alternate between the two sides and the median counts.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from importlib import metadata
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")

STEPS = 100
BATCHES = (256, 1024, 4096)
ROUNDS = 3
SECONDS = 0.7

PAIRS = [
    # ours, JaxMARL's name, its settings
    ("spread", "MPE_simple_spread_v3", {}),
    ("spread:count=10", "MPE_simple_spread_v3", {"num_agents": 10, "num_landmarks": 10}),
    ("tag", "MPE_simple_tag_v3", {}),
    ("overcooked", "overcooked", {}),  # its compact observation
    ("overcooked:observation=layers", "overcooked", {}),  # the same observation as the peer's
    ("combat:roster=3m", "HeuristicEnemySMAX", {"scenario": "3m"}),
]


def run() -> dict[str, Any]:
    """Measure everything that is installed; a missing peer is a row without figures."""
    from shoal.runs.machine import machine_facts

    rows: list[dict[str, Any]] = []
    for spec, name, settings in PAIRS:
        rows += _against_jaxmarl(spec, name, settings)
    rows.append(_against_python("spread", "mpe2", _mpe2))
    rows.append(_against_python("foraging", "lbforaging", _lbforaging))
    rows.append(_against_python("spread", "vmas", _vmas))
    return {"name": "worlds", "machine": machine_facts(), "rows": rows}


def _row(peer: str, setting: str, ours: float, theirs: float | None, unit: str, higher: bool = True) -> dict[str, Any]:
    ratio = None if theirs is None else ours / theirs if higher else theirs / ours
    try:
        version = metadata.version(peer)
    except metadata.PackageNotFoundError:
        version = "not installed: pip install 'shoal[peers]'"
    return {
        "peer": peer,
        "version": version,
        "setting": setting,
        "ours": _short(ours),
        "theirs": None if theirs is None else _short(theirs),
        "unit": unit,
        "ratio": None if ratio is None else _short(ratio),
    }


def _short(x: float) -> float:
    return float(f"{x:.4g}")


def _against_jaxmarl(spec: str, name: str, settings: dict[str, Any]) -> list[dict[str, Any]]:
    ours = {batch: _compile(_our_loop(spec, batch)) for batch in BATCHES}
    try:
        theirs = {batch: _compile(_jaxmarl_loop(name, settings, batch)) for batch in BATCHES}
    except ImportError:
        theirs = {}
    rates: dict[str, dict[int, list[float]]] = {"ours": {}, "theirs": {}}
    for _ in range(ROUNDS):
        for side, loops in (("ours", ours), ("theirs", theirs)):
            for batch, (loop, _) in loops.items():
                rates[side].setdefault(batch, []).append(_rate(loop, batch))
    best = {side: max(((statistics.median(r), b) for b, r in by.items()), default=None) for side, by in rates.items()}
    mine = best["ours"]
    peer = best["theirs"]
    assert mine is not None
    compile_peer = None if peer is None else theirs[peer[1]][1]
    return [
        _row("jaxmarl", f"{spec}, random actions", mine[0], peer[0] if peer else None, "env steps/s"),
        _row("jaxmarl", f"{spec}, trace and compile", ours[mine[1]][1], compile_peer, "s", higher=False),
    ]


def _compile(loop: Callable[[Any], Any]) -> tuple[Callable[[Any], Any], float]:
    import jax

    key = jax.random.key(0)
    jax.clear_caches()  # or a second loop on the same world is traced in half the time
    started = time.perf_counter()
    compiled = jax.jit(loop).lower(key).compile()
    seconds = time.perf_counter() - started
    jax.block_until_ready(compiled(key))
    return compiled, seconds


def _rate(loop: Callable[[Any], Any], batch: int) -> float:
    import jax

    done, started = 0, time.perf_counter()
    while time.perf_counter() - started < SECONDS:
        jax.block_until_ready(loop(jax.random.key(done)))
        done += 1
    return done * batch * STEPS / (time.perf_counter() - started)


def _our_loop(spec: str, batch: int) -> Callable[[Any], Any]:
    import jax
    import jax.numpy as jnp

    from shoal.worlds import make_world, random_actions, step_and_reset

    world = make_world(spec)

    def loop(key: Any) -> Any:
        state, timestep = world.reset(key, (batch,))

        def body(carry: Any, key: Any) -> Any:
            state, timestep, total = carry
            act, step = jax.random.split(key)
            actions = random_actions(world, act, timestep)
            state, timestep, raw = step_and_reset(world, step, state, actions)
            return (state, timestep, total + timestep.obs.sum() + raw.reward.sum()), raw.done.sum()

        (_, _, total), ended = jax.lax.scan(body, (state, timestep, jnp.float32(0)), jax.random.split(key, STEPS))
        return total, ended.sum()

    return loop


def _jaxmarl_loop(name: str, settings: dict[str, Any], batch: int) -> Callable[[Any], Any]:
    import jax
    import jax.numpy as jnp
    import jaxmarl

    if "scenario" in settings:
        from jaxmarl.environments.smax import map_name_to_scenario

        settings = {"scenario": map_name_to_scenario(settings["scenario"])}
    env = jaxmarl.make(name, **settings)

    def one(key: Any, state: Any) -> Any:
        keys = jax.random.split(key, env.num_agents + 1)
        actions = {a: env.action_space(a).sample(keys[i]) for i, a in enumerate(env.agents)}
        obs, state, reward, done, _ = env.step(keys[-1], state, actions)
        return obs, state, reward, done

    def loop(key: Any) -> Any:
        _, state = jax.vmap(env.reset)(jax.random.split(key, batch))

        def body(carry: Any, key: Any) -> Any:
            state, total = carry
            obs, state, reward, done = jax.vmap(one)(jax.random.split(key, batch), state)
            seen = sum(jnp.sum(jnp.asarray(x, jnp.float32)) for x in jax.tree.leaves((obs, reward)))
            return (state, total + seen), jnp.asarray(done["__all__"], jnp.int32).sum()

        (_, total), ended = jax.lax.scan(body, (state, jnp.float32(0)), jax.random.split(key, STEPS))
        return total, ended.sum()

    return loop


def _against_python(spec: str, peer: str, measure: Callable[[], tuple[str, float]]) -> dict[str, Any]:
    batch = BATCHES[-1]
    loop, _ = _compile(_our_loop(spec, batch))
    try:
        setting, theirs = measure()
    except ImportError:
        setting, theirs = f"{spec}", None
    ours = statistics.median(_rate(loop, batch) for _ in range(ROUNDS))
    return _row(peer, setting, ours, theirs, "env steps/s")


def _mpe2() -> tuple[str, float]:
    from mpe2 import simple_spread_v3

    env = simple_spread_v3.parallel_env(N=3)
    env.reset(seed=0)
    for agent in env.possible_agents:
        env.action_space(agent).seed(0)
    return "spread, one process", _python_rate(env, lambda: env.reset())


def _python_rate(env: Any, again: Callable[[], Any]) -> float:
    done, started = 0, time.perf_counter()
    while time.perf_counter() - started < 3 * SECONDS:
        env.step({a: env.action_space(a).sample() for a in env.agents})
        done += 1
        if not env.agents:
            again()
    return done / (time.perf_counter() - started)


def _lbforaging() -> tuple[str, float]:
    import gymnasium
    import lbforaging  # noqa: F401  registers its environments

    env = gymnasium.make("Foraging-8x8-2p-3f-v3")
    env.reset(seed=0)
    env.action_space.seed(0)
    done, started = 0, time.perf_counter()
    while time.perf_counter() - started < 3 * SECONDS:
        *_, terminated, truncated, _ = env.step(env.action_space.sample())
        done += 1
        if terminated or truncated:
            env.reset()
    return "foraging 8x8, 2 players, 3 food", done / (time.perf_counter() - started)


def _vmas() -> tuple[str, float]:
    import torch
    import vmas

    worlds = 4096
    torch.set_num_threads(1)
    env = vmas.make_env("simple_spread", num_envs=worlds, device="cpu", continuous_actions=False, seed=0, n_agents=3)
    env.reset()
    done, started = 0, time.perf_counter()
    while time.perf_counter() - started < 3 * SECONDS:
        env.step([env.get_random_action(agent) for agent in env.agents])
        done += 1
    rate = done * worlds / (time.perf_counter() - started)
    return "spread, 4,096 worlds (its own physics, no resets)", rate


if __name__ == "__main__":
    import json

    json.dump(run(), sys.stdout, indent=2)
