"""Running a study: plan the trials, keep each as it ends, judge the claims.

Plain trials run in parallel processes. Trials that need the language model run concurrently in this process, so that
their calls meet in one batch. Either way a trial is on disk before the next counts on it: a killed run resumes with
the finished ones kept.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import os
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any, cast

import orjson

from shoal.errors import InputError, ShoalError, StorageError
from shoal.runs.folder import RunFolder, TrialKey
from shoal.runs.machine import shoal_version
from shoal.runs.results import Measurements, Results
from shoal.runs.study import (
    SIZES,
    Claim,
    Experiment,
    Failure,
    ModelSource,
    Size,
    Study,
    StudyConfig,
    Trial,
    TrialFunction,
)
from shoal.stats import Finding, Verdict, judge
from shoal.traces import TraceWriter, Usage, read_trace, write_parquet

CONCURRENT_TRIALS = 16
"""Model trials in flight at once; each fans out further, so this is enough to fill batches."""

Progress = Callable[[int, int, str], None]
"""Called with (trials done, trials in all, what was last finished)."""


@dataclass(frozen=True)
class Job:
    """One call of a trial function: a variant on one seed, on all seeds (vectorised), or all variants (joint)."""

    experiment: str
    variant: str
    seeds: tuple[int, ...]


@dataclass
class Summary:
    """What a run came to.

    Attributes:
        folder: where it is.
        findings: the claims with their verdicts.
        results: the measurements.
        failures: trials that raised.
        skipped: experiment -> why it was not run.
        evidence: experiment -> what its agents were.
        reused: finished trials kept from an earlier, interrupted run.
    """

    folder: RunFolder
    findings: list[Finding]
    results: Results
    failures: list[Failure] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    evidence: dict[str, str] = field(default_factory=dict)
    reused: int = 0

    @property
    def failed(self) -> bool:
        """Whether a trial raised or a claim was not reproduced."""
        return bool(self.failures) or any(f.verdict is Verdict.NOT_REPRODUCED for f in self.findings)


def run_study(
    study: Study[Any],
    *,
    size: Size = "standard",
    seeds: int | None = None,
    overrides: Mapping[str, Any] | None = None,
    sources: Mapping[str, ModelSource] | None = None,
    out: Path = Path("runs"),
    root: int = 0,
    processes: int | None = None,
    progress: Progress | None = None,
    fresh: bool = False,
    facts: Mapping[str, Any] | None = None,
    announce: Callable[[str, Usage], None] | None = None,
) -> Summary:
    """Run a study, or finish one that was interrupted.

    Args:
        study: what to run.
        size: how much of it.
        seeds: replicates for every experiment, over the size's own numbers.
        overrides: config values over the size's.
        sources: experiment name -> where its model comes from, for experiments that need one.
        out: folder of run folders.
        root: root seed; replicates are split from it.
        processes: worker processes for plain trials; default one per core.
        progress: called as trials end.
        fresh: start a new run even if an unfinished one of the same kind could be continued.
        facts: more to write to ``run.json``.
        announce: called before anything is run with each experiment that can tell its cost, and that cost; an error
            raised there ends the run before it begins.

    Raises:
        InputError: a setting is not usable.
        StorageError: the disk is full or ``out`` cannot be written.
    """
    if size not in SIZES:
        raise InputError("--size", size, f"Use one of {', '.join(SIZES)}.")
    if seeds is not None and seeds < 1:
        raise InputError("--seeds", seeds, "Use at least 1.")
    config = study.configure(size, overrides)
    plan = _Plan(study, config, size, seeds, root, dict(sources or {}))
    if announce is not None:
        for name, usage in plan.forecast().items():
            announce(name, usage)
    folder = None if fresh else RunFolder.resumable(out, plan.identity)
    if folder is None:
        folder = RunFolder.create(out, study.name, plan.identity, kind="study", **plan.facts(), **(facts or {}))
    else:
        folder.save(status="running")
    try:
        return _execute(plan, folder, processes or os.cpu_count() or 1, progress)
    except KeyboardInterrupt:
        folder.save(status="stopped")
        raise
    except ShoalError as error:
        _try_save(folder, status="failed", error=str(error))
        raise
    finally:
        folder.release()


def expected_cost(
    study: Study[Any],
    size: Size,
    seeds: int | None = None,
    overrides: Mapping[str, Any] | None = None,
    sources: Mapping[str, ModelSource] | None = None,
) -> dict[str, Usage]:
    """Experiment -> what its model calls are expected to cost, for experiments that can tell; runs nothing."""
    return _Plan(study, study.configure(size, overrides), size, seeds, 0, dict(sources or {})).forecast()


class _Plan:
    """The trials of a run and what names it."""

    def __init__(
        self,
        study: Study[Any],
        config: StudyConfig,
        size: Size,
        seeds: int | None,
        root: int,
        sources: dict[str, ModelSource],
    ) -> None:
        self.study, self.config, self.size, self.root, self.sources = study, config, size, root, sources
        self.asked_seeds = seeds
        self.counts = {e.name: study.replicates(e, size, seeds) for e in study.experiments}
        self.skipped: dict[str, str] = {}
        for experiment in study.experiments:
            if reason := self._unready(experiment):
                self.skipped[experiment.name] = reason
        self.experiments = [e for e in study.experiments if e.name not in self.skipped]
        self.identity = hashlib.sha256(
            orjson.dumps(
                [study.name, size, config.model_dump(mode="json"), self.counts, root, self._models(), shoal_version()],
                option=orjson.OPT_SORT_KEYS,
            )
        ).hexdigest()[:16]

    def evidence(self) -> dict[str, str]:
        """Experiment -> evidence."""
        return {
            e.name: str(self.sources[e.name].evidence if e.model and e.name in self.sources else e.evidence)
            for e in self.study.experiments
        }

    def facts(self) -> dict[str, Any]:
        return {
            "title": self.study.title,
            "paper": self.study.paper,
            "size": self.size,
            "seeds": self.counts,
            "asked_seeds": self.asked_seeds,
            "trials": sum(len(e.variants) * self.counts[e.name] for e in self.experiments),
            "root_seed": self.root,
            "config": self.config.model_dump(mode="json"),
            "models": self._models(),
            "evidence": self.evidence(),
        }

    def jobs(self, finished: Mapping[TrialKey, Any]) -> list[tuple[Experiment[Any], Job]]:
        """What is still to be run."""
        jobs = []
        for e in self.experiments:
            seeds = range(self.counts[e.name])
            if e.joint:
                left = [s for s in seeds if any((e.name, v, s) not in finished for v in e.variants)]
                jobs += [(e, Job(e.name, "", batch)) for batch in _batches(e, left)]
                continue
            for variant in e.variants:
                left = [s for s in seeds if (e.name, variant, s) not in finished]
                jobs += [(e, Job(e.name, variant, batch)) for batch in _batches(e, left)]
        return jobs

    def forecast(self) -> dict[str, Usage]:
        """What each experiment that can tell is expected to cost, all trials together."""
        expected: dict[str, Usage] = {}
        for e, job in self.jobs({}):
            if e.forecast is not None:
                expected.setdefault(e.name, Usage()).add(e.forecast(self.trial(job, _silent(job))))
        return expected

    def trial(self, job: Job, trace: TraceWriter) -> Trial[Any]:
        return Trial(
            self.config, job.experiment, job.variant, job.seeds[0], self.root, trace, None, job.seeds,
            self.sources.get(job.experiment),
        )  # fmt: skip

    def _models(self) -> dict[str, str]:
        return {e.name: self.sources[e.name].spec for e in self.study.experiments if e.name in self.sources}

    def _unready(self, experiment: Experiment[Any]) -> str | None:
        if experiment.skip is not None and (reason := experiment.skip(self.config)):
            return reason
        if experiment.model:
            source = self.sources.get(experiment.name)
            return "no model was given" if source is None else source.unready()
        return None


def _execute(plan: _Plan, folder: RunFolder, processes: int, progress: Progress | None) -> Summary:
    known = {(e.name, v, s) for e in plan.experiments for v in e.variants for s in range(plan.counts[e.name])}
    finished = {key: record for key, record in folder.trials().items() if key in known}
    results = Results()
    for key, record in finished.items():
        results.add(*key, record["measurements"])
    jobs = plan.jobs(finished)
    total = len(jobs)
    summary = Summary(folder, [], results, skipped=plan.skipped, evidence=plan.evidence(), reused=len(finished))
    done = 0

    def keep(experiment: Experiment[Any], job: Job, outcome: Any, seconds: float) -> None:
        nonlocal done
        done += 1
        if isinstance(outcome, BaseException):
            text = "".join(traceback.format_exception(outcome))
            summary.failures.append(Failure(job.experiment, job.variant, job.seeds[0], text))
        else:
            for key, measurements in _unpack(experiment, job, outcome):
                folder.record_trial(key, measurements, seconds / len(job.seeds))
                results.add(*key, measurements)
        if progress:
            progress(done, total, f"{job.experiment} {job.variant}".strip())

    if progress:
        progress(0, total, "")
    plain = [(e, j) for e, j in jobs if not e.model]
    asking = [(e, j) for e, j in jobs if e.model]
    _run_plain(plan, folder, plain, processes, keep)
    if asking:
        asyncio.run(_run_asking(plan, folder, asking, keep))
    summary.findings = [_find(claim, summary) for claim in plan.study.claims]
    _close(plan, summary)
    return summary


def _unpack(experiment: Experiment[Any], job: Job, outcome: Any) -> Iterator[tuple[TrialKey, Measurements]]:
    for variant in experiment.variants if experiment.joint else (job.variant,):
        measured = outcome[variant] if experiment.joint else outcome
        each = measured if experiment.vectorised else (cast(Measurements, measured),)
        if len(each) != len(job.seeds):
            raise ValueError(f"{job.experiment}: a vectorised trial returned {len(each)} of {len(job.seeds)} seeds")
        for seed, measurements in zip(job.seeds, each, strict=True):
            yield (job.experiment, variant, seed), measurements


def _batches(experiment: Experiment[Any], seeds: Sequence[int]) -> list[tuple[int, ...]]:
    """The seeds of each call: all in one where the experiment is vectorised."""
    return [tuple(seeds)] if experiment.vectorised and seeds else [(s,) for s in seeds]


Keep = Callable[[Experiment[Any], Job, Any, float], None]


def _run_plain(
    plan: _Plan, folder: RunFolder, jobs: Sequence[tuple[Experiment[Any], Job]], processes: int, keep: Keep
) -> None:
    if processes == 1 or len(jobs) < 2:
        for experiment, job in jobs:
            keep(experiment, job, *_call(experiment.trial, plan.trial(job, _silent(job)), _part(folder, job)))
        return
    with (
        _one_thread_each(),
        ProcessPoolExecutor(min(processes, len(jobs)), mp_context=get_context("spawn")) as pool,
    ):
        waiting: dict[Future[tuple[Any, float]], tuple[Experiment[Any], Job]] = {
            pool.submit(_call, e.trial, plan.trial(job, _silent(job)), _part(folder, job)): (e, job) for e, job in jobs
        }
        try:
            while waiting:
                ended, _ = wait(waiting, return_when=FIRST_COMPLETED)
                for future in ended:
                    experiment, job = waiting.pop(future)
                    try:
                        outcome, seconds = future.result()
                    except BrokenProcessPool as error:
                        outcome, seconds = error, 0.0
                    keep(experiment, job, outcome, seconds)
        except BaseException:  # an interrupt too must not wait for trials that have not begun
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _call(trial_function: TrialFunction[Any], trial: Trial[Any], part: Path) -> tuple[Any, float]:
    """Run one plain trial; errors are returned, because a traceback must cross the process border as a value."""
    started = time.perf_counter()
    trial.trace = _open_part(part, trial)
    try:
        outcome: Any = trial_function(trial)
        if inspect.isawaitable(outcome):
            outcome = asyncio.run(_await(outcome))
    except StorageError:
        raise
    except Exception as error:  # a study's own code may raise anything; it counts as a failed trial
        return _portable(error), time.perf_counter() - started
    finally:
        trial.trace.close()
    return outcome, time.perf_counter() - started


async def _run_asking(plan: _Plan, folder: RunFolder, jobs: Sequence[tuple[Experiment[Any], Job]], keep: Keep) -> None:
    gate = asyncio.Semaphore(CONCURRENT_TRIALS)

    async def one(experiment: Experiment[Any], job: Job) -> None:
        async with gate:
            trial = plan.trial(job, _silent(job))
            trial.trace = _open_part(_part(folder, job), trial)
            started = time.perf_counter()
            outcome: Any
            try:
                outcome = experiment.trial(trial)
                if inspect.isawaitable(outcome):
                    outcome = await outcome
            except StorageError:
                raise
            except Exception as error:  # as in ``_call``
                outcome = error
            finally:
                trial.trace.close()
            keep(experiment, job, outcome, time.perf_counter() - started)

    try:
        async with asyncio.TaskGroup() as group:
            for experiment, job in jobs:
                group.create_task(one(experiment, job))
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    finally:
        for source in {id(s): s for s in plan.sources.values()}.values():
            await source.aclose()


def _find(claim: Claim, summary: Summary) -> Finding:
    from shoal.stats import Evidence

    evidence = Evidence(summary.evidence[claim.experiment])
    if claim.experiment in summary.skipped:
        reason = summary.skipped[claim.experiment]
        return Finding(claim.id, claim.statement, Verdict.NOT_RUN, None, evidence, (), reason)
    if not summary.results.has(claim.experiment):
        return Finding(claim.id, claim.statement, Verdict.NOT_RUN, None, evidence, (), "every trial failed")
    return judge(claim.id, claim.statement, evidence, claim.checks(summary.results), claim.note)


def _close(plan: _Plan, summary: Summary) -> None:
    from shoal.runs.report import write_report

    folder = summary.folder
    summary.results.frame().write_parquet(folder.path / "results.parquet")
    events = folder.merge_events()
    usage: dict[str, float] = {}
    if events.exists():
        trace = read_trace(events)
        write_parquet(trace, events.with_suffix(".parquet"))
        usage = trace.usage().as_dict()
    folder.save(
        status="failed" if summary.failures else "finished",
        finished=time.time(),
        claims=[asdict(f) for f in summary.findings],
        failures=[asdict(f) for f in summary.failures],
        skipped=summary.skipped,
        usage=usage,
    )
    write_report(folder, plan.study, summary)


def _part(folder: RunFolder, job: Job) -> Path:
    return folder.event_part((job.experiment, job.variant or "all", job.seeds[0]))


def _silent(job: Job) -> TraceWriter:
    return TraceWriter(None, job.experiment)


def _open_part(path: Path, trial: Trial[Any]) -> TraceWriter:
    path.unlink(missing_ok=True)  # what an interrupted attempt of this trial left
    return TraceWriter(path, f"{trial.experiment}/{trial.variant or 'all'}/{trial.seed}", start=False)


async def _await(outcome: Any) -> Any:
    return await outcome


def _portable(error: Exception) -> Exception:
    """The error with its traceback as text: tracebacks do not survive pickling, and some errors do not either."""
    return RuntimeError("".join(traceback.format_exception(error)))


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Worker processes get one numerical thread each: with one process per core, more would only compete."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update({name: "1" for name in names if before[name] is None})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)


def _try_save(folder: RunFolder, **facts: Any) -> None:
    # The disk that stopped the run may still be full; then run.json keeps its last state, which can be resumed.
    with suppress(StorageError):
        folder.save(**facts)
