"""Runs: verdicts, resume after a kill, failures that lose nothing, full disks, one report."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from serving import serving
from shoal.errors import InputError, StorageError, UnknownName
from shoal.models.source import SharedModel
from shoal.runs.folder import RunFolder, find_run, list_runs
from shoal.runs.trials import run_study
from shoal.stats import Verdict
from shoal.traces import read_trace
from toy_study import STUDY

TESTS = Path(__file__).parent


def test_a_run_keeps_everything_and_judges(runs: Path) -> None:
    summary = run_study(STUDY, size="standard", out=runs, processes=2)
    assert summary.findings[0].verdict is Verdict.REPRODUCED
    assert summary.findings[0].estimate is not None
    assert summary.findings[0].estimate.value == pytest.approx(1.0)
    assert summary.skipped == {"asking": "no model was given"}
    path = summary.folder.path
    frame = pl.read_parquet(path / "results.parquet")
    assert set(frame.columns) == {"experiment", "variant", "seed", "item", "metric", "value"}
    assert frame.filter(pl.col("metric") == "items").height == 2 * 12 * 2
    trace = read_trace(path / "events.jsonl")
    assert len(trace.of_kind("note")) == 24
    assert read_trace(path / "events.parquet").events[-1].run == trace.events[-1].run
    assert not list((path / "events").glob("*"))
    page = (path / "report.html").read_text()
    assert "the treatment helps" in page
    assert 'src="data:image/png' in page
    assert "http://" not in page
    assert "https://" not in page
    assert (path / "plots" / "plain.png").stat().st_size > 1000


def test_a_negative_effect_is_not_reproduced_and_few_seeds_leave_it_open(runs: Path) -> None:
    negative = run_study(STUDY, size="standard", overrides={"effect": -1}, out=runs, processes=1)
    assert negative.findings[0].verdict is Verdict.NOT_REPRODUCED
    assert negative.failed
    single = run_study(STUDY, size="quick", seeds=1, out=runs, processes=1)
    assert single.findings[0].verdict is Verdict.INCONCLUSIVE


def test_a_failed_trial_loses_no_other_and_is_run_again(runs: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    settings = {"broken_seed": 2, "marker": str(marker)}
    first = run_study(STUDY, size="quick", overrides=settings, out=runs, processes=1)
    assert [(f.variant, f.seed) for f in first.failures] == [("treatment", 2), ("baseline", 2)]
    assert "as the test asked" in first.failures[0].error
    assert first.folder.info["status"] == "failed"
    marker.unlink()
    again = run_study(STUDY, size="quick", overrides=settings, out=runs, processes=1)
    assert again.folder.path == first.folder.path
    assert again.reused == 10
    assert marker.read_text().split() == ["treatment-2", "baseline-2"]


def test_a_finished_run_is_not_continued(runs: Path) -> None:
    one = run_study(STUDY, size="quick", out=runs, processes=1)
    two = run_study(STUDY, size="quick", out=runs, processes=1)
    assert one.folder.path != two.folder.path
    assert len(list_runs(runs)) == 2
    assert find_run(runs, "last").path == two.folder.path
    assert find_run(runs, two.folder.path.name[-6:]).path == two.folder.path
    with pytest.raises(UnknownName):
        find_run(runs, "zzz")


def test_processes_and_order_do_not_change_results(runs: Path) -> None:
    one = run_study(STUDY, size="quick", out=runs, processes=1, fresh=True).results.frame()
    two = run_study(STUDY, size="quick", out=runs, processes=2, fresh=True).results.frame()
    keys = ["experiment", "variant", "metric", "seed", "item"]
    assert one.sort(keys).equals(two.sort(keys))


KILLED = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from toy_study import STUDY
from shoal.models.source import SharedModel
from shoal.runs.trials import run_study
out = Path(sys.argv[1])
source = SharedModel(sys.argv[2], out / "calls.sqlite")
run_study(STUDY, size="standard", seeds=6, overrides={{"asks": 8, "pause": 0.05, "marker": str(out / "marker")}},
          sources={{"asking": source}}, out=out, processes=1)
"""


def test_kill_9_loses_no_finished_trial_and_repeats_no_answered_call(runs: Path) -> None:
    runs.mkdir()
    with serving(delay=0.03) as server:
        command = [sys.executable, "-c", KILLED.format(tests=str(TESTS)), str(runs), f"{server.url}#fake"]

        def start() -> subprocess.Popen[bytes]:
            return subprocess.Popen(command, env={**os.environ, "PYTHONUNBUFFERED": "1"})

        process = start()
        deadline = time.monotonic() + 60
        while server.requests < 20 and time.monotonic() < deadline:
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert 20 <= server.requests < 48
        folder = list_runs(runs)[0]
        assert folder.info["status"] == "running"
        kept = set(folder.trials())
        assert len([k for k in kept if k[0] == "plain"]) == 12
        (runs / "marker").unlink()
        assert start().wait() == 0
        assert len(list_runs(runs)) == 1
        assert set(RunFolder.load(folder.path).trials()) >= kept
        assert RunFolder.load(folder.path).info["status"] == "finished"
        assert not (runs / "marker").exists()
        # A request that was in flight when the process died may be made twice; one that was answered and stored is not.
        assert len(server.seen) == 48
        assert server.requests - len(server.seen) <= 6


def test_bad_settings_are_refused_with_the_mend(runs: Path) -> None:
    with pytest.raises(UnknownName, match="Did you mean effect"):
        run_study(STUDY, overrides={"efect": 1}, out=runs)
    with pytest.raises(InputError, match="effect"):
        run_study(STUDY, overrides={"effect": 99}, out=runs)
    with pytest.raises(InputError, match="--seeds"):
        run_study(STUDY, seeds=0, out=runs)
    assert not runs.exists()


def test_an_unwritable_folder_is_one_clear_line(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(StorageError, match="--out"):
        run_study(STUDY, size="quick", out=blocked, processes=1)


def test_a_disk_that_fills_up_leaves_a_run_that_can_be_resumed(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = RunFolder.record_trial
    kept = 0

    def filling(self: RunFolder, *arguments: object) -> None:
        nonlocal kept
        if kept == 3:
            raise StorageError("cannot write: No space left on device")
        kept += 1
        real(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(RunFolder, "record_trial", filling)
    with pytest.raises(StorageError, match="No space left"):
        run_study(STUDY, size="quick", out=runs, processes=1)
    monkeypatch.undo()
    again = run_study(STUDY, size="quick", out=runs, processes=1)
    assert again.reused == 3
    assert again.folder.info["status"] == "finished"


def test_model_trials_share_the_cache_over_runs(runs: Path) -> None:
    with serving() as server:
        for _ in range(2):
            source = SharedModel(f"{server.url}#fake", runs / "calls.sqlite")
            summary = run_study(
                STUDY,
                size="quick",
                overrides={"asks": 3},
                sources={"asking": source},
                out=runs,
                processes=1,
                fresh=True,
            )
            assert summary.results.values("asking", "treatment", "answers").tolist() == [3.0, 3.0]
            assert summary.evidence["asking"] == "endpoint"
        assert server.requests == 6


def test_hostile_text_is_escaped_in_the_report(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    study = replace(STUDY, summary="<script>alert(1)</script>")
    summary = run_study(study, size="quick", out=runs, processes=1)
    page = (summary.folder.path / "report.html").read_text()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
