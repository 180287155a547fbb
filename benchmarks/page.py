"""The web page: first page, a list of 1,000 runs, and what live updates cost, beside the limits set for them.

There is no peer with the same pages, so each figure stands beside its limit and the ratio says how often it fits.
Times are those of a real Chromium from the request to the shown content; without one, of the request alone.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from shoal.runs.machine import machine_facts

TESTS = Path(__file__).resolve().parents[1] / "tests"
RUNS = 1000
WATCHED = 12.0
"""Seconds for which a live run is watched."""
LIMITS = {"first page": 1.0, "list of 1,000 runs": 0.5, "live updates at 2 Hz": 10.0}


def run() -> dict[str, Any]:
    sys.path.insert(0, str(TESTS))
    from browser import CHROMIUM, open_browser, serving, visiting

    if CHROMIUM is None:
        raise SystemExit("this benchmark needs Chromium")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        out = Path(folder) / "runs"
        make_runs(out)
        with serving(out) as server, open_browser() as chromium, visiting(chromium) as visit:
            first = shown_after(visit.page, server.address, ".cards li")
            runs = min(shown_after(visit.page, f"{server.address}/runs", ".runs tbody a") for _ in range(3))
            with live_run(visit.page, server.address):
                before, start = cpu_seconds(server.process.pid), time.perf_counter()
                time.sleep(WATCHED)
                used = cpu_seconds(server.process.pid) - before
                busy = 100 * used / (time.perf_counter() - start)
    measured = {"first page": first, "list of 1,000 runs": runs, "live updates at 2 Hz": busy}
    units = {"first page": "s", "list of 1,000 runs": "s", "live updates at 2 Hz": "% of a core"}
    rows = [
        {"peer": "limit", "version": "", "setting": name, "ours": value, "theirs": LIMITS[name], "unit": units[name],
         "ratio": LIMITS[name] / value}
        for name, value in measured.items()
    ]  # fmt: skip
    return {"name": "page", "machine": machine_facts(), "rows": rows}


def make_runs(out: Path) -> None:
    """Runs with claims, as many as a busy year leaves."""
    estimate = {"value": 0.1, "low": 0.0, "high": 0.2, "n": 20, "p": None, "method": "bootstrap"}
    claim = {"id": "gain", "statement": "A sentence of some length about what is compared", "verdict": "reproduced",
             "evidence": "scripted", "note": "", "checks": [], "estimate": estimate}  # fmt: skip
    for number in range(RUNS):
        folder = out / f"selforg-20260101-{number:06d}-abcdef"
        folder.mkdir(parents=True)
        info = {"id": folder.name, "name": "selforg", "kind": "study", "status": "finished", "size": "standard",
                "created": 1.7e9 + number, "finished": 1.7e9 + number + 60, "claims": [claim] * 17}  # fmt: skip
        (folder / "run.json").write_bytes(orjson.dumps(info))


def shown_after(page: Any, address: str, selector: str) -> float:
    start = time.perf_counter()
    page.goto(address)
    page.wait_for_selector(selector)
    return time.perf_counter() - start


@contextmanager
def live_run(page: Any, address: str) -> Iterator[None]:
    """A run whose trials take a second each, followed on its system's page."""
    page.goto(f"{address}/systems/patience")
    page.get_by_text("Settings").click()
    page.get_by_label("wait").fill("4")
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("button", name="Stop").wait_for()
    yield
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("trials, stopped").wait_for()


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    print(orjson.dumps(run(), option=orjson.OPT_INDENT_2).decode())
