"""Error cascades by simulation on 100,000 agents, beside a loop over networkx's neighbours in plain Python.

Ours: 200 runs of 30 rounds on a random graph with 10 neighbours each, all runs side by side. Theirs: the same process
as one would write it first (sets of infected nodes, neighbours from a networkx graph, one random number per contact),
and the same in NumPy, one run at a time with one number per edge. Both do fewer runs and are scaled up; all three must
agree on the mean coverage in the end, within four standard errors.

    python benchmarks/cascades.py            # writes benchmarks/results/cascades.json
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / "results" / "cascades.json"
AGENTS, RUNS, ROUNDS, DEGREE = 100_000, 200, 30, 10
BETA, DELTA, SEEDS = 0.05, 0.3, 100
LIMIT = 30.0


Timed = tuple[float, list[float]]
"""Seconds, and the coverage in the end of each run."""


def ours(graph: Any, runs: int) -> Timed:
    from shoal.diagnosis.contagion.spread import seeded, simulate

    start = time.perf_counter()
    rng = np.random.Generator(np.random.SFC64(1))
    found = simulate(graph, BETA, DELTA, seeded(graph.shape[0], *range(SEEDS)), ROUNDS, runs, rng)
    return time.perf_counter() - start, [float(s) for s in found.coverage[:, -1]]


def edges(graph: Any, runs: int, seed: int) -> Timed:
    """One run at a time: a number for each edge out of an infected agent, in NumPy."""
    start, rng, ends = time.perf_counter(), np.random.default_rng(seed), []
    rows = np.repeat(np.arange(graph.shape[0]), np.diff(graph.indptr))
    for _ in range(runs):
        state = np.zeros(graph.shape[0], bool)
        state[:SEEDS] = True
        for _ in range(ROUNDS):
            passed = state[graph.indices] & (rng.random(graph.nnz) < BETA)
            hit = np.zeros_like(state)
            hit[rows[passed]] = True
            state = np.where(state, rng.random(state.size) >= DELTA, hit)
        ends.append(float(state.mean()))
    return (time.perf_counter() - start) / runs, ends


def loops(graph: Any, runs: int, seed: int) -> Timed:
    """One run at a time: sets and a networkx graph."""
    import networkx

    network = networkx.from_scipy_sparse_array(graph)
    start, rng, ends = time.perf_counter(), random.Random(seed), []
    for _ in range(runs):
        infected = set(range(SEEDS))
        for _ in range(ROUNDS):
            hit = {
                other for one in infected for other in network.neighbors(one)
                if other not in infected and rng.random() < BETA
            }  # fmt: skip
            infected = {one for one in infected if rng.random() >= DELTA} | hit
        ends.append(len(infected) / graph.shape[0])
    return (time.perf_counter() - start) / runs, ends


def run(agents: int = AGENTS, runs: int = RUNS, repeats: int = 3) -> dict[str, Any]:
    from shoal.diagnosis.contagion.graphs import random_graph
    from shoal.diagnosis.contagion.risk import spectral_radius
    from shoal.runs.machine import machine_facts, shoal_version

    graph = random_graph(agents, DEGREE, np.random.default_rng(0))
    begun = time.perf_counter()
    rho = spectral_radius(graph)
    radius = time.perf_counter() - begun
    mine, numpy_runs, python_runs = [], [], []
    for repeat in range(repeats):
        mine.append(ours(graph, runs))
        numpy_runs.append(edges(graph, 2, seed=2 + repeat))
        python_runs.append(loops(graph, 1, seed=2 + repeat))
    spread = statistics.stdev(mine[0][1])
    for side in (numpy_runs, python_runs):
        ends = [end for _, run in side for end in run]
        if abs(statistics.mean(ends) - statistics.mean(mine[0][1])) > 4 * spread / len(ends) ** 0.5:
            raise RuntimeError(f"the sides do not agree on coverage: {statistics.mean(mine[0][1]):.4f}, {ends}")
    took = statistics.median(seconds for seconds, _ in mine)
    setting = f"{agents:,} agents, {runs} runs, {ROUNDS} rounds"
    rows = [
        {"peer": "limit", "version": "", "setting": setting, "ours": round(took, 2), "theirs": LIMIT, "unit": "s",
         "ratio": round(LIMIT / took, 2), "ours_range": [round(f(s for s, _ in mine), 2) for f in (min, max)]},
        _row("NumPy, one number per edge", np.__version__, f"{setting}; theirs scaled up from 2 runs", took, numpy_runs,
             runs),
        _row("networkx, sets", metadata.version("networkx"), f"{setting}; theirs scaled up from 1 run", took,
             python_runs, runs),
        {"peer": "none", "version": "", "setting": f"spectral radius of the same graph ({rho:.2f})",
         "ours": round(radius, 3), "theirs": None, "unit": "s", "ratio": None},
    ]  # fmt: skip
    return {"name": "cascades", "machine": machine_facts(), "version": shoal_version(), "rows": rows}


def _row(peer: str, version: str, setting: str, took: float, side: list[Timed], runs: int) -> dict[str, Any]:
    theirs = runs * statistics.median(seconds for seconds, _ in side)
    return {"peer": peer, "version": version, "setting": setting, "ours": round(took, 2), "theirs": round(theirs, 1),
            "unit": "s", "ratio": round(theirs / took, 1)}  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--agents", type=int, default=AGENTS)
    parser.add_argument("--runs", type=int, default=RUNS)
    options = parser.parse_args()
    document = run(options.agents, options.runs)
    RESULTS.write_text(json.dumps(document, indent=1) + "\n")
    for row in document["rows"]:
        print(row["peer"], "|", row["setting"], row["ours"], row["theirs"], row["unit"], row["ratio"])
