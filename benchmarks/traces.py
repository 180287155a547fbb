"""Reading a million events and asking for their causes, beside pandas + networkx, each in a process of its own.

Events of 200 characters with two parents each, as JSON Lines. Ours: import with all checks (malformed lines, duplicate
ids, unknown and cyclic parents, clocks, secrets), counts by agent and kind, and the ancestors of the last event.
Theirs: read_json, groupby, a DiGraph, nx.ancestors; no checks. Order alternates; the median of the repetitions counts.

    python benchmarks/traces.py            # writes benchmarks/results/traces.json
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "traces.json"
EVENTS = 1_000_000
REPEATS = 3
MEMORY_GIB = 1.5

OURS = """
import json, resource, sys, time
start = time.perf_counter()
from pathlib import Path
from shoal.traces.table import read_table
table = read_table(Path(sys.argv[1]))
loaded = time.perf_counter()
groups = table.by().height
last = len(table) - 1
ancestors = len(table.causality.ancestors_of(last))
done, cpu = time.perf_counter(), time.process_time()
for _ in range(5):
    table.causality.descendants_of(last - 3000)
warm = time.perf_counter()
table.causality.ancestors_of(len(table) // 1000)
few = time.perf_counter()
print(json.dumps({"load": loaded - start, "ask": done - loaded, "whole": done - start, "groups": groups,
                  "ancestors": ancestors, "descendants_ms": (warm - done) / 5 * 1000, "few_ms": (few - warm) * 1000,
                  "problems": table.problems.total, "cpu": cpu,
                  "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
"""

THEIRS = """
import json, resource, sys, time
start = time.perf_counter()
import pandas, networkx
frame = pandas.read_json(sys.argv[1], lines=True)
groups = len(frame.groupby(["agent", "kind"])["time"].agg(["size", "max"]))
loaded = time.perf_counter()
graph = networkx.DiGraph()
graph.add_nodes_from(frame["id"])
graph.add_edges_from((p, c) for c, parents in zip(frame["id"], frame["parents"]) for p in parents)
built = time.perf_counter()
ancestors = len(networkx.ancestors(graph, int(frame["id"].iloc[-1])))
done, cpu = time.perf_counter(), time.process_time()
print(json.dumps({"cpu": cpu, "load": loaded - start, "build": built - loaded, "ask": done - built,
                  "whole": done - start, "groups": groups, "ancestors": ancestors,
                  "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
"""


def generate(path: Path, events: int) -> None:
    """The log: two parents from the 5,000 events before, one of a thousand agents, five kinds."""
    rng = random.Random(0)
    words = [word * 2 for word in ("alpha", "beta", "river", "plan", "check", "tool", "call", "answer", "error")]
    kinds = ("llm", "tool", "message", "observe", "plan")
    with path.open("w") as file:
        for i in range(events):
            parents = sorted({max(i - 1000, 0), max(i - 1 - rng.randrange(5000), 0)}) if i else []
            text = " ".join(rng.choices(words, k=20))[:200].ljust(200, ".")
            event = {
                "id": i,
                "parents": parents,
                "agent": f"agent-{i % 1000}",
                "time": 1.7e9 + i / 100,
                "kind": rng.choice(kinds),
                "text": text,
            }
            file.write(json.dumps(event) + "\n")


def measure(program: str, path: Path, python: str = sys.executable) -> dict[str, float]:
    source = str(Path(__file__).resolve().parents[1] / "src")
    environment = {**os.environ, "PYTHONPATH": source}
    done = subprocess.run(
        [python, "-c", program, str(path)], capture_output=True, text=True, check=True, env=environment
    )
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def run(events: int = EVENTS, repeats: int = REPEATS, peer: str = "") -> dict[str, Any]:
    from shoal.runs.machine import machine_facts, shoal_version

    peer = peer or os.environ.get("SHOAL_PEERS_PYTHON", "") or sys.executable
    there = peer != sys.executable or importlib.util.find_spec("pandas") is not None
    ours: list[dict[str, float]] = []
    theirs: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.jsonl"
        generate(path, events)
        for repeat in range(repeats):
            sides = [lambda: ours.append(measure(OURS, path))]
            if there:
                sides.append(lambda: theirs.append(measure(THEIRS, path, peer)))
            for side in sides if repeat % 2 == 0 else sides[::-1]:
                side()
    million = f"{events:,} events"
    version = _version(peer) if theirs else ""
    if theirs and (ours[0]["groups"], ours[0]["ancestors"]) != (theirs[0]["groups"], theirs[0]["ancestors"]):
        raise RuntimeError("the two sides do not agree on groups and ancestors")
    rows = [
        _row("pandas + networkx", version, f"{million}: import, check, count, index, ask", "whole", "s", ours, theirs),
        _row("pandas + networkx", version, f"{million}: the same, processor time", "cpu", "s", ours, theirs),
        _row("pandas", version, f"{million}: load (ours with checks and index)", "load", "s", ours, theirs),
        _row("networkx", version, f"{million}: ancestors of the last (nearly all)", "ask", "s", ours, theirs),
        _row("pandas + networkx", version, f"{million}: peak memory", "mib", "MiB", ours, theirs),
        _row("none", "", f"{million}: descendants of an event, index warm", "descendants_ms", "ms", ours, []),
        _row("none", "", f"{million}: ancestors of an early event, index warm", "few_ms", "ms", ours, []),
        {"peer": "limit", "version": "", "setting": f"{million}: peak memory", "unit": "GiB", "theirs": MEMORY_GIB,
         "ours": round(_median(ours, "mib") / 1024, 3), "ratio": round(MEMORY_GIB * 1024 / _median(ours, "mib"), 2)},
    ]  # fmt: skip
    rows += attribution()
    return {"name": "traces", "machine": machine_facts(), "version": shoal_version(), "rows": rows}


def attribution() -> list[dict[str, Any]]:
    """Attribution on a trace of 200 steps, and import rates of the other formats."""
    import time

    from shoal.diagnosis.attribution import diagnose
    from shoal.diagnosis.conversation import conversations
    from shoal.traces.importers import import_trace

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chat.jsonl"
        turns = (
            f"Step {i}: item {i * 7 % 40} of store {i % 11} costs {i} pounds, as agent-{(i + 1) % 6} said."
            for i in range(200)
        )
        path.write_text(
            "".join(json.dumps({"agent": f"agent-{i % 6}", "content": t}) + "\n" for i, t in enumerate(turns))
        )
        view = conversations(import_trace(path).trace)[0]
        diagnose(view)
        took, worked = list[float](), list[float]()
        for _ in range(5):
            start, processor = time.perf_counter(), time.process_time()
            diagnose(view)
            took.append(time.perf_counter() - start)
            worked.append(time.process_time() - processor)
        many = Path(folder) / "many.jsonl"
        many.write_text(path.read_text() * 100)
        start = time.perf_counter()
        count = len(import_trace(many).trace)
        rate = count / (time.perf_counter() - start)
    return [
        {"peer": "limit", "version": "", "setting": "attribution on a trace of 200 steps, no model",
         "ours": round(statistics.median(took), 4),
         "theirs": 1.0, "unit": "s", "ratio": round(1 / statistics.median(took), 1)},
        {"peer": "limit", "version": "", "setting": "the same, processor time",
         "ours": round(statistics.median(worked), 4),
         "theirs": 1.0, "unit": "s", "ratio": round(1 / statistics.median(worked), 1)},
        {"peer": "none", "version": "", "setting": "import event by event (typed events, all checks, secrets)",
         "ours": round(rate),
         "theirs": None, "unit": "events/s", "ratio": None},
    ]  # fmt: skip


Results = list[dict[str, float]]


def _row(
    peer: str, version: str, setting: str, key: str, unit: str, ours: Results, theirs: Results
) -> dict[str, Any]:  # fmt: skip
    mine, others = _median(ours, key), _median(theirs, key) if theirs else None
    row = {
        "peer": peer, "version": version, "setting": setting, "ours": round(mine, 4), "unit": unit,
        "theirs": None if others is None else round(others, 4),
        "ratio": None if others is None else round(others / mine, 2),
        "ours_range": [round(min(o[key] for o in ours), 4), round(max(o[key] for o in ours), 4)],
    }  # fmt: skip
    if theirs:
        row["theirs_range"] = [round(min(o[key] for o in theirs), 4), round(max(o[key] for o in theirs), 4)]
    return row


def _median(results: list[dict[str, float]], key: str) -> float:
    return statistics.median(result[key] for result in results)


def _version(python: str) -> str:
    if python == sys.executable:
        return f"{metadata.version('pandas')} + {metadata.version('networkx')}"
    program = "import pandas, networkx; print(pandas.__version__, '+', networkx.__version__)"
    return subprocess.run([python, "-c", program], capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--peer", default="", help="Python that has pandas and networkx; this one by default")
    options = parser.parse_args()
    document = run(options.events, options.repeats, options.peer)
    RESULTS.write_text(json.dumps(document, indent=1) + "\n")
    for row in document["rows"]:
        print(row["setting"], row["ours"], row["theirs"], row["unit"], row["ratio"])
