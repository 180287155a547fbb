"""The Python face of shoal: the same things the command line does, as functions.

summary = shoal.run("symphony-coord", seeds=5)
summary = shoal.team("debate", task="sums", model="http://localhost:8000/v1#my-model")
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from shoal.errors import InputError
from shoal.models.source import SharedModel
from shoal.runs.settings import validate
from shoal.runs.study import ModelSource, Size, Study
from shoal.runs.trials import Progress, Summary, run_study
from shoal.traces import Usage

RUNS = Path("runs")


def run(
    name: str,
    *,
    size: Size = "standard",
    seeds: int | None = None,
    settings: Mapping[str, Any] | None = None,
    model: str | None = None,
    out: Path | str = RUNS,
    root: int = 0,
    processes: int | None = None,
    fresh: bool = False,
    progress: Progress | None = None,
    announce: Callable[[str, Usage], None] | None = None,
) -> Summary:
    """Run a published system and judge its claims.

    Args:
        name: as in ``shoal list``.
        size: quick (under a minute), standard or full.
        seeds: replicates, over the size's own number.
        settings: config values over the size's.
        model: model for the experiments that need one; by default each names its own (the small local one).
        out: folder of run folders; an interrupted run found there is finished instead of a new one begun.
        root: root of all random numbers.
        processes: worker processes; default one per core.
        fresh: begin a new run in any case.
        progress: called with (done, total, label).
        announce: called before the start with each experiment that can tell its cost, and that cost.

    Raises:
        UnknownName: no such system, setting or model.
        InputError: a value is not usable.
    """
    from shoal.studies.catalogue import find_study

    study = find_study(name)
    sources = _sources(study, model, Path(out))
    return run_study(
        study, size=size, seeds=seeds, overrides=settings, sources=sources, out=Path(out), root=root,
        processes=processes, fresh=fresh, progress=progress, announce=announce,
    )  # fmt: skip


def forecast(
    name: str,
    *,
    size: Size = "standard",
    seeds: int | None = None,
    settings: Mapping[str, Any] | None = None,
    model: str | None = None,
    out: Path | str = RUNS,
) -> dict[str, Usage]:
    """What the model calls of a system would cost, by experiment; nothing is run. Arguments as for ``run``."""
    from shoal.runs.trials import expected_cost
    from shoal.studies.catalogue import find_study

    study = find_study(name)
    return expected_cost(study, size, seeds, settings, _sources(study, model, Path(out)))


def team(
    spec: str,
    *,
    task: str = "sums",
    model: str = "local:smollm2",
    against: str = "single",
    questions: int = 32,
    budget_tokens: int | None = None,
    temperature: float = 0.7,
    max_tokens: int = 128,
    watch: str = "",
    seeds: int = 1,
    out: Path | str = RUNS,
    root: int = 0,
    fresh: bool = False,
    progress: Progress | None = None,
) -> Summary:
    """Run a team on a task set beside one greedy call and a rival with the same tokens for each problem.

    Args:
        spec: recipe or protocol with options ("vote:agents=5"), or a YAML file.
        task: generated task, gsm8k, bbh:NAME or a JSONL file.
        model: the model of all agents that have none of their own.
        against: "single" (one agent that spends the same tokens), or another team.
        questions: problems per seed.
        budget_tokens: tokens per problem for each system; by default the rival gets what the team used.
        temperature: sampling temperature of all systems but the greedy call.
        max_tokens: longest reply.
        watch: what stands between the team's agents: flag, block, stop or governance=MODE; empty for nothing.
        seeds: replicates with fresh problems and samples.
        out: folder of run folders.
        root: root of all random numbers.
        fresh: begin a new run even if an interrupted one could be finished.
        progress: called with (done, total, label).

    Raises:
        UnknownName: no such team, task or model.
        InputError: a value is not usable, or the model is not ready (with the command that mends it).
    """
    from shoal.diagnosis.governance.live import open_watch
    from shoal.teams.comparison import EXPERIMENT, TeamConfig, team_study

    values = {"team": spec, "task": task, "against": against, "questions": questions, "budget_tokens": budget_tokens,
              "temperature": temperature, "max_tokens": max_tokens, "watch": watch}  # fmt: skip
    config = validate(TeamConfig, values, "team")
    study = team_study(config, open_watch(watch) if watch else None)
    source = SharedModel(model, Path(out) / "calls.sqlite")
    if reason := source.unready():
        raise InputError("--model", model, reason)
    return run_study(
        study, seeds=seeds, overrides=config.model_dump(), sources={EXPERIMENT: source}, out=Path(out), root=root,
        fresh=fresh, progress=progress,
    )  # fmt: skip


def show(name: str) -> Study[Any]:
    """The study of that name: its summary, config, experiments and claims."""
    from shoal.studies.catalogue import find_study

    return find_study(name)


def list_studies() -> list[str]:
    """Names of all systems."""
    from shoal.studies.catalogue import catalogue

    return list(catalogue())


def _sources(study: Study[Any], model: str | None, out: Path) -> dict[str, ModelSource]:
    shared: dict[str, SharedModel] = {}
    sources: dict[str, ModelSource] = {}
    for experiment in study.experiments:
        if experiment.model:
            spec = model or experiment.default_model
            sources[experiment.name] = shared.setdefault(spec, SharedModel(spec, out / "calls.sqlite"))
    # A model that the user named must work; the default one may be missing, and its experiments are then not run.
    if model and model in shared and (reason := shared[model].unready()):
        raise InputError("--model", model, reason)
    return sources
