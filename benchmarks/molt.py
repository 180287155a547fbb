"""The whole molt-dynamics pipeline on 90,000 agents, 10,000 cascades and 10^6 events, stage by stage.

The log is simulated first (its time stands apart) and then analysed as anybody's log would be: graph, features, roles
with nulls and 1,000 bootstraps, memes, skills and behaviours from the texts, size law, Cox models with fixed and with
time-varying exposures on all planted cascades and on samples of the found ones, cooperation events.

    python benchmarks/molt.py              # writes benchmarks/results/molt.json
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / "results" / "molt.json"
AGENTS, CASCADES, EVENTS = 90_000, 10_000, 1_000_000
BOUND_SECONDS = 60.0
LEAST = 10
ADOPTERS = 27.0
"""Adopters of a cascade on average."""
HOURS = 5
SAMPLES = 5
SAMPLED = 100


class Stages:
    """Wall time of each stage, in order."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def run(agents: int = AGENTS, cascades: int = CASCADES, events: int = EVENTS) -> dict[str, Any]:
    from shoal.diagnosis.cooperation import cooperation_events
    from shoal.diagnosis.diffusion import diffusion
    from shoal.diagnosis.forum.cascades import behaviours, joined, memes, skills
    from shoal.diagnosis.forum.features import role_features
    from shoal.diagnosis.forum.interactions import interactions
    from shoal.diagnosis.forum.simulation import Forum, simulate_forum
    from shoal.diagnosis.roles import find_roles
    from shoal.diagnosis.size_law import size_law
    from shoal.runs.machine import machine_facts, shoal_version

    stages = Stages()
    ordinary = max(events // 10, events - round(cascades * ADOPTERS))
    forum = Forum(agents, ordinary, cascades=cascades, contacts=8.0, chance=0.25, hours=HOURS)
    start = time.perf_counter()
    made = simulate_forum(forum, 1)
    simulated = time.perf_counter() - start
    log, rng, cpu = made.log, np.random.default_rng(0), time.process_time()
    with stages.stage("graph"):
        graph = interactions(log)
    with stages.stage("features"):
        features = role_features(log, graph)
    with stages.stage("roles, 100 starts, 1,000 bootstraps"):
        roles = find_roles(features)
    with stages.stage("memes, skills, behaviours"):
        found = joined([memes(log), skills(log), behaviours(log)])
    with stages.stage("size law"):
        law = size_law(made.cascades.sizes, resamples=20)
    with stages.stage("diffusion, all planted cascades"):
        everything = diffusion(made.cascades, made.heard)
    with stages.stage("diffusion, 5 samples of 100 found cascades"):
        samples = [diffusion(found.sample(SAMPLED, rng), graph) for _ in range(SAMPLES)]
    with stages.stage("cooperation events"):
        threads = cooperation_events(log).height
    seconds, worked = sum(stages.seconds.values()), time.process_time() - cpu
    size = f"{log.count:,} agents, {made.cascades.count:,} cascades, {log.contributions.height:,} events"
    rows = [
        _row("limit", f"{size}: whole pipeline", seconds, "s", BOUND_SECONDS),
        _row("limit", f"{size}: whole pipeline, processor time", worked, "s", BOUND_SECONDS),
        *(_row("none", f"{size}: {name}", spent, "s") for name, spent in stages.seconds.items()),
        _row("none", f"{size}: simulation of the log", simulated, "s"),
        _row("none", f"{size}: peak memory", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "MiB"),
        against_lifelines(),
    ]
    findings = {
        "agents": log.count, "cascades": made.cascades.count, "cascades of 10 adopters or more": int(
            (made.cascades.sizes >= LEAST).sum()), "cascades found": found.count,
        "adoptions": len(made.cascades.agent), "events": log.contributions.height, "edges": int(graph.nnz),
        "roles": roles.verdict, "core": int(roles.core.sum()), "alpha": law.alpha, "size law": law.verdict,
        "slope of the hazard": everything.curve.slope.value, "threads": threads,
        "hazard ratio, original": everything.original.ratio, "corrected": everything.corrected.ratio,
        "of samples, original": [round(s.original.ratio, 3) for s in samples],
        "of samples, corrected": [round(s.corrected.ratio, 3) for s in samples],
    }  # fmt: skip
    return {
        "name": "molt", "machine": machine_facts(), "version": shoal_version(), "rows": rows, "findings": findings
    }  # fmt: skip


def against_lifelines(agents: int = 300, cascades: int = 20) -> dict[str, Any]:
    """Start-stop Cox regression on the same rows, ours and that of lifelines, which must agree."""
    import pandas
    from lifelines import CoxTimeVaryingFitter

    from shoal.diagnosis.diffusion import start_stop_cox
    from shoal.diagnosis.forum.exposure import intervals
    from shoal.diagnosis.forum.spreading import contact_lists, hazard_cascades

    rng = np.random.default_rng(0)
    heard = contact_lists(agents, 8.0, rng)
    rows = intervals(hazard_cascades(heard, cascades, 0.3, rng), heard)
    names = ("cascade", "agent", "start", "stop", "exposures", "adopted")
    frame = pandas.DataFrame({name: getattr(rows, name) for name in names})
    frame["row"] = frame["cascade"] * agents + frame["agent"]
    start = time.perf_counter()
    ours = start_stop_cox(rows, "none")
    middle = time.perf_counter()
    fitted = CoxTimeVaryingFitter().fit(
        frame.drop(columns="agent"), event_col="adopted", start_col="start", stop_col="stop", id_col="row",
        strata="cascade",
    )  # fmt: skip
    theirs = time.perf_counter() - middle
    if abs(ours.value - float(fitted.params_["exposures"])) > 1e-4:
        raise RuntimeError("the two sides do not agree on the hazard ratio")
    setting = f"Cox regression on {len(rows):,} start-stop rows, {cascades} strata"
    return _row("lifelines", setting, middle - start, "s", theirs, metadata.version("lifelines"))


def _row(
    peer: str, setting: str, ours: float, unit: str, theirs: float | None = None, version: str = ""
) -> dict[str, Any]:
    return {
        "peer": peer, "version": version, "setting": setting, "ours": round(ours, 4), "unit": unit,
        "theirs": None if theirs is None else round(theirs, 4),
        "ratio": None if theirs is None else round(theirs / ours, 2),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents", type=int, default=AGENTS)
    parser.add_argument("--cascades", type=int, default=CASCADES)
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    report = run(options.agents, options.cascades, options.events)
    options.out.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
