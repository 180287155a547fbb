"""Punishing learners: 20 seeds of every condition of direct-punishment, beside a plain NumPy loop over one society.

A condition's figure is the time of 2,000 episodes of 20 seeds on one core, compilation apart. By default it is measured
on 100 episodes in the middle of such a run and multiplied by 20 (every episode does the same work); ``--full`` runs all
2,000 of the conditions named after it. The peer does the same updates one network at a time, as the released code does.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("OMP_NUM_THREADS", "1")

SEEDS, EPISODES, MEASURED = 20, 2000, 100
PEER_EPISODES = 12
ROUNDS_OF_AN_EPISODE = 50


def run(full: tuple[str, ...] = ()) -> dict[str, Any]:
    """Measure every condition; those named in ``full`` over all their episodes."""
    from shoal.runs.machine import machine_facts
    from shoal.studies.direct_punishment import MECHANISMS, SELECTED

    peer = _plain()
    rows = [_condition(name, peer, name in full) for name in (*MECHANISMS, *SELECTED.values())]
    total = sum(row["ours"] for row in rows)
    setting = f"all {len(rows)} conditions, one after the other"
    both = {
        "peer": "none", "version": "", "setting": setting, "ours": round(total, 1), "unit": "CPU s", "theirs": None,
        "ratio": None,
    }  # fmt: skip
    return {"name": "punishment", "machine": machine_facts(), "rows": [*rows, both]}


def _condition(name: str, peer: float, full: bool) -> dict[str, Any]:
    """Processor seconds of a condition, by the process's own clock: other processes do not count."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from shoal.games.punishment_learning import CHUNK, _begin, _thorough
    from shoal.studies.direct_punishment import STUDY, condition

    made = condition(STUDY.configure("full"), name)
    terms = jax.tree.map(lambda x: jnp.asarray(np.repeat(np.asarray(x)[None], SEEDS, 0)), made.terms())
    keys = jnp.stack([jax.random.key(seed) for seed in range(SEEDS)])
    started = time.process_time()
    society = _begin(made.shape, EPISODES + CHUNK, keys)
    society, _ = jax.block_until_ready(_thorough(made.shape, CHUNK, terms, society, keys, jnp.asarray(0)))
    compiled = time.process_time() - started
    count = EPISODES if full else MEASURED
    started = time.process_time()
    for start in range(CHUNK, CHUNK + count, CHUNK):
        society, _ = _thorough(made.shape, CHUNK, terms, society, keys, jnp.asarray(start))
    jax.block_until_ready(society)
    seconds = (time.process_time() - started) * EPISODES / count
    return {
        "peer": "NumPy loop", "version": "",
        "setting": f"{name}: {SEEDS} seeds, {EPISODES} episodes, on {count} measured",
        "ours": round(seconds, 1), "compiled in": round(compiled, 1), "unit": "CPU s",
        "theirs": round(peer, 1) if name == "DP" else None, "ratio": round(peer / seconds, 1) if name == "DP" else None,
    }  # fmt: skip


def _plain() -> float:
    """Processor seconds that DP takes one network at a time: 200 updates an episode, 20 seeds, 2,000 episodes."""
    import numpy as np

    rng = np.random.default_rng(0)
    nets = [_network(rng) for _ in range(10)]
    started = time.process_time()
    updates = PEER_EPISODES * ROUNDS_OF_AN_EPISODE * 4
    for k in range(updates):
        _update(rng, nets[k % 10])
    return (time.process_time() - started) / updates * 4 * ROUNDS_OF_AN_EPISODE * EPISODES * SEEDS


def _network(rng: Any) -> dict[str, Any]:
    import numpy as np

    weights = [rng.normal(size=shape) * 0.1 for shape in ((128, 2), (128,), (2, 128), (2,))]
    rows = np.column_stack([rng.integers(0, 2, (20_000, 3)), rng.normal(size=20_000), rng.integers(0, 2, (20_000, 2))])
    return {"p": weights, "t": weights, "m": [0 * w for w in weights], "v": [0 * w for w in weights], "rows": rows}


def _update(rng: Any, net: dict[str, Any]) -> None:
    import numpy as np

    batch = net["rows"][rng.choice(20_000, 100, replace=False)]
    x, a, r, y = batch[:, :2], batch[:, 2].astype(int), batch[:, 3], batch[:, 4:]
    w1, b1, w2, b2 = net["p"]
    u1, c1, u2, c2 = net["t"]
    h = np.maximum(x @ w1.T + b1, 0)
    q, ahead = h @ w2.T + b2, (np.maximum(y @ u1.T + c1, 0) @ u2.T + c2).max(1)
    dq = np.zeros_like(q)
    dq[np.arange(100), a] = np.clip(q[np.arange(100), a] - r - 0.9 * ahead, -1, 1) / 100
    dh = (dq @ w2) * (h > 0)
    for k, grad in enumerate((dh.T @ x, dh.sum(0), dq.T @ h, dq.sum(0))):
        net["m"][k] = 0.9 * net["m"][k] + 0.1 * grad
        net["v"][k] = 0.999 * net["v"][k] + 0.001 * grad * grad
        net["p"][k] = net["p"][k] - 0.001 * net["m"][k] / (np.sqrt(net["v"][k]) + 1e-8)


if __name__ == "__main__":
    import json

    named = tuple(sys.argv[2:]) if sys.argv[1:2] == ["--full"] else ()
    json.dump(run(named), sys.stdout, indent=2)
