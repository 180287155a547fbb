"""`shoal train`: a learner in a world, with live progress, a run folder and a way to go on after Ctrl-C."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shoal.cli import console
from shoal.cli.execution import OUT, JsonOption, OutOption, SetOption
from shoal.errors import InputError, ShoalError
from shoal.runs.settings import parse_assignments

if TYPE_CHECKING:
    from shoal.marl.evaluation import Episodes
    from shoal.marl.training import Progress, Training
    from shoal.runs.folder import RunFolder
    from shoal.stats import Estimate

CURVE = "learning-curve"


def train(
    learner: Annotated[str | None, typer.Argument(help="Name of a learner, see shoal list learners.")] = None,
    world: Annotated[
        str | None, typer.Argument(help="A world, with settings if any: spread:agents=3,horizon=50.")
    ] = None,
    set: SetOption = None,
    world_set: Annotated[
        list[str] | None, typer.Option("--world-set", help="Setting of the world as key=value; may be repeated.")
    ] = None,
    steps: Annotated[int, typer.Option(help="Environment steps for each seed.")] = 1_000_000,
    seeds: Annotated[int, typer.Option(help="How many seeds, trained side by side in one program.")] = 1,
    episodes: Annotated[int, typer.Option(help="Episodes of the final evaluation, for each seed; 0 for none.")] = 128,
    traced: Annotated[int, typer.Option(help="Episodes of the result that are written to the trace.")] = 2,
    checkpoint_every: Annotated[
        int | None, typer.Option(help="Environment steps between checkpoints; default a fifth of all.")
    ] = None,
    out: OutOption = OUT,
    resume: Annotated[
        str | None, typer.Option("--resume", help="Run folder, id, last, or a checkpoint to go on from.")
    ] = None,
    json: JsonOption = False,
) -> int:
    """Train a learner in a world: metrics, checkpoints, a trace, a learning curve and an evaluation in a run folder."""
    if resume is not None:
        if learner is not None or world is not None or set or world_set:
            raise InputError("--resume", resume, "Give it alone: a checkpoint has its own learner, world and settings.")
        start, folder, title = _going_on(find_checkpoint(resume, out))
    else:
        if learner is None or world is None:
            raise InputError(
                "train", " ".join(filter(None, (learner, world))), "Give a learner and a world, or --resume."
            )
        start, folder, title = _beginning(
            learner, world, parse_assignments(set or []), world_set, out, steps=steps, seeds=seeds, episodes=episodes,
            traced=traced, checkpoint_every=checkpoint_every,
        )  # fmt: skip
    result = _watched(start, folder, title, quiet=json)
    if result is None:
        return 130
    document = summary(result)
    if json:
        console.print_json(document)
    else:
        _tell(result, document)
    return 0


def _going_on(checkpoint: Path) -> tuple[Callable[..., Training], RunFolder | None, str]:
    """What goes on with an unfinished training, its folder if it has one, and a title."""
    from shoal import marl

    _check_unfinished(checkpoint)
    folder = _run_folder(checkpoint)
    title = f"train {folder.info['name'] if folder else checkpoint.name}"
    return partial(marl.train, resume=checkpoint), folder, title


def _beginning(
    learner: str, world: str, settings: dict[str, Any], world_settings: list[str] | None, out: Path, *, steps: int,
    seeds: int, **options: Any,
) -> tuple[Callable[..., Training], RunFolder | None, str]:  # fmt: skip
    """What begins a training, its new folder, and a title; nothing is written where an argument is wrong."""
    from shoal import marl

    place = open_world(world, world_settings)
    given = marl.make_learner(learner, **settings).settings.model_dump(exclude_unset=True)
    _check(steps=steps, seeds=seeds)
    facts = {"size": f"{steps} steps", "kind": "training", "learner": learner, "world": world, "seeds": seeds}
    folder = _new_folder(out, f"{learner}-{place.name}", facts)
    start = partial(marl.train, learner, place, settings=given, steps=steps, seeds=seeds, out=folder.path, **options)
    return start, folder, f"train {learner} in {place.name}"


def find_checkpoint(name: str, out: Path) -> Path:
    """A checkpoint by its path, its training's path or the id of its run; ``last`` is that of the last training."""
    from shoal.marl.checkpoints import latest, read
    from shoal.runs.folder import find_run, list_runs

    path = Path(name)
    trainings = [run for run in list_runs(out) if run.info.get("kind") == "training"]
    if name == "last" and trainings and not path.exists():
        path = trainings[-1].path
    elif not path.exists():
        try:
            path = find_run(out, name).path
        except InputError:
            mend = f"Give its folder, or a training's, or the id of a run in {out}."
            raise InputError("checkpoint", name, mend) from None
    read(path)  # refuses what is no checkpoint, or one of another version
    return latest(path)


def open_world(spec: str, settings: list[str] | None) -> Any:
    """A world from its spec and further settings as key=value."""
    from shoal.worlds import make_world

    return make_world(spec, **parse_assignments(settings or [], "--world-set"))


def as_dict(estimate: Estimate) -> dict[str, Any]:
    """An estimate for JSON."""
    return {
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "n": estimate.n,
        "method": estimate.method,
    }


def interval(estimate: Estimate) -> str:
    """An estimate for a table."""
    if not math.isfinite(estimate.low):
        return f"{estimate.value:.4g}"
    return f"{estimate.value:.4g} [{estimate.low:.4g}, {estimate.high:.4g}]"


def figures(played: list[Episodes], agents: tuple[str, ...]) -> dict[str, Any]:
    """Means with 95% intervals of episodes played by one or several seeds.

    One seed: the interval is over its episodes. Several: over seeds, since episodes of one policy are not independent.
    """
    import numpy as np

    from shoal.stats import clustered_mean, mean

    groups = np.repeat(np.arange(len(played)), [len(p.lengths) for p in played])

    def over(values: list[Any]) -> Estimate:
        joined = np.concatenate(values)
        return mean(joined) if len(played) == 1 else clustered_mean(joined, groups)

    each = {a: over([p.returns[:, i] for p in played]) for i, a in enumerate(agents)}
    metrics = {name: over([p.metrics[name] for p in played]) for name in played[0].metrics}
    return {
        "return": over([p.team for p in played]),
        "agents": each,
        "episode_length": over([p.lengths for p in played]),
        "metrics": metrics,
    }


def as_document(found: dict[str, Any]) -> dict[str, Any]:
    """The same for JSON."""
    return {
        name: {k: as_dict(e) for k, e in value.items()} if isinstance(value, dict) else as_dict(value)
        for name, value in found.items()
    }


def figure_rows(found: dict[str, Any]) -> list[tuple[str, str]]:
    """The same as rows of a table; agents that all got the same are one row."""
    rows = [("return (all agents)", interval(found["return"]))]
    cells = {name: interval(e) for name, e in found["agents"].items()}
    if len(set(cells.values())) == 1 and len(cells) > 1:
        rows.append(("  each agent", next(iter(cells.values()))))
    else:
        rows += [(f"  {name}", cell) for name, cell in cells.items()]
    rows.append(("steps of an episode", interval(found["episode_length"])))
    return rows + [(name.replace("_", " "), interval(e)) for name, e in found["metrics"].items()]


def summary(result: Training) -> dict[str, Any]:
    """A finished training for JSON."""
    from shoal.marl.checkpoints import describe_learner, describe_world
    from shoal.stats.aggregates import interquartile_mean

    updates = int(result.state.updates)
    document: dict[str, Any] = {
        "learner": describe_learner(result.learner),
        "world": describe_world(result.world),
        "seeds": list(result.seeds),
        "step": updates * result.learner.steps_per_update,
        "updates": updates,
        "seconds": round(result.seconds, 2),
        "compile_seconds": round(result.compile_seconds, 2),
        "run_dir": str(result.path) if result.path else None,
        "checkpoint": None,
        "curve": None,
        "evaluation": None,
    }
    if result.path is not None:
        from shoal.marl.checkpoints import latest

        document["checkpoint"] = str(latest(result.path))
        document["curve"] = _draw(result)
    if result.evaluation:
        each = [float(e.team.mean()) for e in result.evaluation]
        document["evaluation"] = as_document(figures(result.evaluation, result.world.agents)) | {
            "episodes": len(result.evaluation[0].lengths),
            "by_seed": dict(zip(map(str, result.seeds), each, strict=True)),
            "interquartile_mean": as_dict(interquartile_mean(each)) if len(each) > 1 else None,
        }
    return document


def _check(**counts: int) -> None:
    for name, value in counts.items():
        if value < 1:
            raise InputError(f"--{name}", value, "Use at least 1.")


def _check_unfinished(checkpoint: Path) -> None:
    """Refuse to go on with a training that is at its end."""
    from shoal.marl.checkpoints import read
    from shoal.marl.records import SUMMARY

    found = read(checkpoint)
    plan = found.extra.get("plan")
    if plan is None:
        raise InputError("--resume", str(checkpoint), "It was not saved by a training.")
    if found.updates >= plan["updates"] and (checkpoint.parent.parent / SUMMARY).exists():
        raise InputError("--resume", str(checkpoint), f"This training is finished. shoal eval {checkpoint} plays it.")


def _new_folder(out: Path, name: str, facts: dict[str, Any]) -> RunFolder:
    from shoal.runs.folder import RunFolder

    folder = RunFolder.create(out, name, f"{name}-{time.time()}", **facts)
    (folder.path / "events").rmdir()  # a training writes its trace in one piece
    return folder


def _run_folder(checkpoint: Path) -> RunFolder | None:
    """The run that a checkpoint belongs to, locked; None for a training from Python."""
    from shoal.runs.folder import RunFolder

    path = checkpoint.parent.parent
    if not (path / "run.json").exists():
        return None
    folder = RunFolder.load(path)
    if not folder.lock():
        raise InputError("--resume", str(path), "Another process is training there; wait for it or stop it.")
    folder.save(status="running")
    return folder


def _watched(start: Callable[..., Training], folder: RunFolder | None, title: str, quiet: bool) -> Training | None:
    """Train under a progress bar; None if it was stopped, after saying how to go on."""
    from shoal.marl import TrainingInterrupted

    def close(status: str) -> None:
        if folder is not None:
            folder.save(status=status, finished=time.time())
            folder.release()

    try:
        with training_bar(title, quiet) as progress:
            result = start(progress=progress)
    except TrainingInterrupted as stop:
        close("stopped")
        _say_resume(stop.step, stop.path)
        return None
    except KeyboardInterrupt:  # while compiling, or a second Ctrl-C
        close("stopped")
        from shoal.marl.checkpoints import DESCRIPTION, latest

        last = latest(folder.path) if folder is not None else None
        _say_resume(0, last if last is not None and (last / DESCRIPTION).exists() else None)
        return None
    except ShoalError:
        close("failed")
        raise
    close("finished")
    return result


def _say_resume(step: int, path: Path | None) -> None:
    where = f" at step {step}" if step else ""
    how = f"go on with: shoal train --resume {path}" if path else "nothing was kept: no update was finished."
    console.err.print(f"shoal: training stopped{where}; {how}", style="yellow", markup=False, soft_wrap=True)


@contextmanager
def training_bar(title: str, quiet: bool = False) -> Iterator[Callable[[Progress], None] | None]:
    """Return, steps a second and time left on standard error; silent when that is no terminal."""
    if quiet or not console.err.is_terminal:
        yield None
        return
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[told]}"),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
    )
    last = math.nan
    with Bars(*columns, console=console.err, transient=True) as bars:
        task = bars.add_task(title, total=None, told="compiling")

        def show(progress: Progress) -> None:
            nonlocal last
            now = progress.metrics.get("return", math.nan)
            last = now if math.isfinite(now) else last  # no episode ended in this update
            told = f"return {last:.4g}  " if math.isfinite(last) else ""
            told += f"{progress.rate:,.0f} steps/s"
            bars.update(task, completed=progress.step, total=progress.steps, told=told)

        yield show


def _draw(result: Training) -> str | None:
    """The learning curve of the whole training, resumed parts included; None if no episode ended in it."""
    from shoal.marl.curves import draw_curves, read_curves
    from shoal.runs.plots import save_figures

    assert result.path is not None
    curves = read_curves(result.path)
    if not curves.steps.size:
        return None
    figure = draw_curves({result.learner.name: curves}, f"{result.learner.name} in {result.world.name}")
    return str(save_figures({CURVE: figure}, result.path / "plots")[CURVE])


def _tell(result: Training, document: dict[str, Any]) -> None:
    seeds = len(result.seeds)
    rate = document["step"] * seeds / result.seconds if result.seconds else 0.0
    console.out.print(
        f"[bold]{result.learner.name}[/bold] in {result.world.name}: {document['step']:,} steps"
        f"{f' for each of {seeds} seeds' if seeds > 1 else ''}, {result.seconds:.1f} s "
        f"({rate:,.0f} steps/s) after {result.compile_seconds:.1f} s of compiling"
    )
    if result.evaluation:
        found = figures(result.evaluation, result.world.agents)
        over = f"{seeds} seeds" if seeds > 1 else f"{document['evaluation']['episodes']} episodes"
        rows = figure_rows(found)
        if document["evaluation"]["interquartile_mean"]:
            iqm = document["evaluation"]["interquartile_mean"]
            cell = f"{iqm['value']:.4g} [{iqm['low']:.4g}, {iqm['high']:.4g}]"
            rows.insert(1, ("  interquartile mean over seeds", cell))
        console.table(f"\nEvaluation of the result (mean [95% over {over}])", ("figure", "value"), rows)
    if result.path is not None:
        console.out.print(f"\nrun        {result.path}", markup=False)
        console.out.print(f"checkpoint {document['checkpoint']}", markup=False)
        if document["curve"]:
            console.out.print(f"curve      {document['curve']}", markup=False)
        console.out.print(f"shoal eval {document['checkpoint']} plays it", style="dim", markup=False)
