"""`shoal train-team` and `shoal models train`: post-training of teams, and tiny models to begin with."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shoal.cli import console
from shoal.cli.checks import models_app
from shoal.cli.execution import OUT, JsonOption, OutOption, SetOption
from shoal.cli.team_workers import prepared, workers_at
from shoal.cli.training import as_dict, interval
from shoal.errors import InputError
from shoal.runs.settings import parse_assignments

if TYPE_CHECKING:
    from shoal.posttrain.driver import Preparation, TeamTraining
    from shoal.runs.folder import RunFolder

HeldOutOption = Annotated[
    int | None, typer.Option(help="Problems of the evaluation; 100, or a third of a small task's.")
]


def train_team(
    method: Annotated[str, typer.Argument(help="Method: grpo, dr-mas, malt, sft, ...; see shoal list methods.")],
    team: Annotated[str, typer.Option(help="A recipe or protocol: chain:agents=2.")] = "chain:agents=2",
    task: Annotated[str, typer.Option(help="Task set: sums, arithmetic:digits=1, FILE.jsonl")] = "copy",
    model: Annotated[
        str, typer.Option(help="Base: local:tiny-SKILL, local:smollm2, local:FOLDER, fresh:tiny.")
    ] = "local:tiny-copying",
    data: Annotated[str | None, typer.Option(help="Examples or pairs (JSON Lines) or a run; for sft and dpo.")] = None,
    updates: Annotated[int | None, typer.Option(help="Updates; 50, or all passes over the data.")] = None,
    rank: Annotated[int, typer.Option(help="Rank of each role's adapter; 0 trains whole networks.")] = 8,
    train: Annotated[list[str] | None, typer.Option("--train", help="A trained agent; all if not given.")] = None,
    frozen: Annotated[str | None, typer.Option(help="Model of the agents that are not trained.")] = None,
    shared: Annotated[bool, typer.Option("--shared", help="All roles train one policy.")] = False,
    held_out: HeldOutOption = None,
    seed: Annotated[int, typer.Option(help="Root of all randomness.")] = 0,
    workers: Annotated[int, typer.Option(help="Processes that roll out while this one learns.", min=0)] = 0,
    shards: Annotated[int, typer.Option(help="Parts of an update's problems, with --workers.", min=1)] = 2,
    set: SetOption = None,
    out: OutOption = OUT,
    resume: Annotated[str | None, typer.Option("--resume", help="Run folder to go on in.")] = None,
    json: JsonOption = False,
) -> int:
    """Train the language models in a team's seats, and compare held-out accuracy before and after."""
    _check({"--updates": updates}, 1)
    _check({"--held-out": held_out, "--rank": rank}, 0)
    asked: dict[str, Any] = {
        "method": method, "team": team, "task": task, "model": model,
        "settings": parse_assignments(set or []) | ({"data": data} if data else {}),
        "trained": train or [], "shared": shared, "held_out": held_out, "seed": seed, "frozen": frozen, "rank": rank,
    }  # fmt: skip
    ready = prepared(asked, shared_out=workers > 0)
    facts = {"kind": "team training", "size": f"{ready.trainer.length(updates)} updates", **_named(asked)}
    folder = _folder(resume, out, facts)
    began = time.perf_counter()
    result = _carried_out(ready, folder, updates, resume is not None, _helpers(ready, folder, workers, shards, asked))
    if result is None:
        return 130
    _tell(result, folder, {**facts, "seconds": round(time.perf_counter() - began, 2)}, json)
    return 0


def _check(counts: dict[str, int | None], least: int) -> None:
    for option, value in counts.items():
        if value is not None and value < least:
            raise InputError(option, value, f"Use at least {least}.")


def _named(asked: dict[str, Any]) -> dict[str, Any]:
    """What a training is resumed with again."""
    return {name: asked[name] for name in ("method", "team", "task", "model")}


def _helpers(ready: Preparation, folder: RunFolder, count: int, shards: int, asked: dict[str, Any]) -> Any:
    """Workers for as long as the training goes on; the trainer is put behind their store."""
    from shoal.posttrain.workers import RolloutStore, decoupled, with_rollouts

    if not count:
        return nullcontext()
    store = RolloutStore(folder.path / "store")
    ready.trainer = decoupled(with_rollouts(ready.trainer), store, shards)
    return workers_at(store.folder, count, asked)


def _carried_out(
    ready: Preparation, folder: RunFolder, updates: int | None, resume: bool, helpers: Any
) -> TeamTraining | None:
    """The training, its folder's status kept true; None if the user stopped it."""
    from shoal.posttrain.driver import carry_out
    from shoal.posttrain.training import CHECKPOINT
    from shoal.traces import TraceWriter

    status, trainer = "failed", ready.trainer
    if ready.trainer.method.outlook():
        console.err.print(ready.trainer.method.outlook(), markup=False, soft_wrap=True)
    try:
        with (
            console.progress_bar(f"train-team {trainer.method.name}") as bar,
            TraceWriter(folder.path / "events.jsonl", folder.path.name) as trace,
            helpers,
        ):
            result = carry_out(
                ready, updates, folder=folder.path, resume=resume, trace=trace,
                progress=lambda n, f: bar(n, trainer.length(updates), _headline(trainer.curves, f)),
            )  # fmt: skip
        status = "finished"
        return result
    except KeyboardInterrupt:
        status = "stopped"
        kept = (folder.path / CHECKPOINT).exists()
        way = f"go on with --resume {folder.path}" if kept else "there is no checkpoint yet to go on from"
        _warn(f"stopped; {way}")
        return None
    finally:
        folder.save(status=status, finished=time.time(), size=f"{trainer.updates} updates")
        folder.release()


def _headline(curves: Sequence[str], figures: dict[str, float]) -> str:
    """The figure of an update that is shown beside the progress."""
    return next((f"{name} {figures[name]:.3f}" for name in curves if name in figures), "")


def _warn(text: str) -> None:
    console.err.print(f"shoal: {text}", style="yellow", markup=False, soft_wrap=True)


def _tell(result: TeamTraining, folder: RunFolder, facts: dict[str, Any], json: bool) -> None:
    """Draw and print what came of a training."""
    trainer, found = result.trainer, result.figures() if result.before.size else {}
    _draw(folder.path, trainer.history, trainer.curves)
    if json:
        console.print_json({
            **facts, "updates": trainer.updates, "held_out": {name: as_dict(e) for name, e in found.items()},
            "history": trainer.history, "adapters": [str(path) for path in result.adapters],
            "run_dir": str(folder.path),
        })  # fmt: skip
        return
    rows = [(f"held-out accuracy {name}", interval(e)) for name, e in found.items()]
    for name in trainer.curves:
        course = [row[name] for row in trainer.history if name in row]
        rows += [(f"{name}, first and last update", f"{course[0]:.3f}, {course[-1]:.3f}")] if course else []
    console.table(f"{facts['method']} on {facts['team']}, {facts['task']}", ("figure", "value [95%]"), rows)
    if not trainer.learned():
        _warn(f"nothing was learned: {trainer.idle}")
    elif trainer.untaught():
        _warn(f"not trained, because there was nothing for it to learn from yet: {', '.join(trainer.untaught())}")
    console.out.print(f"\nrun      {folder.path}\nadapters {folder.path / 'adapters'}", markup=False, soft_wrap=True)


def _folder(resume: str | None, out: Path, facts: dict[str, Any]) -> RunFolder:
    """A new run folder, or the one to go on in if it holds a training of the same method, team, task and model."""
    from shoal.runs.folder import RunFolder

    if resume is None:
        name = f"{facts['method']}-{Path(facts['team'].partition(':')[0]).stem}"
        return RunFolder.create(out, name, f"{facts['method']}-{time.time()}", **facts)
    folder = RunFolder.load(Path(resume))
    for field in ("kind", "method", "team", "task", "model"):
        if folder.info.get(field) != facts[field]:
            mend = f"The run in that folder has {folder.info.get(field)!r}; give the same."
            raise InputError(f"--resume: {field}", facts[field], mend)
    if not folder.lock():
        raise InputError("--resume", resume, "Another process is training there; wait for it or stop it.")
    folder.save(status="running")
    return folder


@models_app.command("train")
def train_tiny(
    name: Annotated[str, typer.Argument(help="tiny-arithmetic, tiny-copying, tiny-lookup or tiny-sorting.")],
    steps: Annotated[int | None, typer.Option(help="Gradient steps; fewer give a weaker model.")] = None,
    seed: Annotated[int, typer.Option(help="Of parameters and examples.")] = 0,
    to: Annotated[Path | None, typer.Option("--to", help="Folder to keep it in, instead of the models' own.")] = None,
    json: JsonOption = False,
) -> int:
    """Train a tiny transformer (about 0.1 M parameters) of one skill from scratch: minutes on a processor."""
    from shoal.errors import UnknownName
    from shoal.models.causal.skills import PREFIX, SKILLS, tiny_folder
    from shoal.posttrain.tiny import pretrain_and_save

    skill = name.removeprefix(PREFIX)
    if not name.startswith(PREFIX) or skill not in SKILLS:
        raise UnknownName("tiny model", name, [f"{PREFIX}{known}" for known in SKILLS])
    folder = to or tiny_folder(name)
    with console.progress_bar(f"train {name}") as bar:
        made = pretrain_and_save(
            skill, folder, steps=steps, seed=seed, progress=lambda n, total, loss: bar(n, total, f"loss {loss:.3f}")
        )
    document = {"name": name, "folder": str(folder), "accuracy": made.accuracy, "seconds": round(made.seconds, 1)}
    if json:
        console.print_json(document)
    else:
        console.out.print(
            f"ready: local:{name}, {made.accuracy:.3f} of held-out problems right\n{folder}", markup=False
        )
    return 0


def _draw(path: Path, history: list[dict[str, float]], curves: Sequence[str]) -> None:
    """Curves of the training, one picture for all roles and the team: reward, gradient norms, ..."""
    from shoal.runs.plots import new_figure, save_figures

    names = sorted({name for row in history for name in row})
    groups = {curve: own for curve in curves if (own := [name for name in names if name.endswith(curve)])}
    if not groups:
        return
    figure, axes = new_figure(len(groups))
    for ax, (group, own) in zip(axes, groups.items(), strict=True):
        for name in own:
            ax.plot([row.get(name, float("nan")) for row in history], label=name.removesuffix(group).strip() or "team")
        ax.set(xlabel="update", ylabel=group.replace("_", " "))
        ax.legend(fontsize=7, frameon=False)
    (path / "plots").mkdir(exist_ok=True)
    save_figures({"training": figure}, path / "plots")
