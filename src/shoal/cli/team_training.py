"""`shoal train-team` and `shoal models train`: post-training of teams, and tiny models to begin with."""

from __future__ import annotations

import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shoal.cli import console
from shoal.cli.checks import models_app
from shoal.cli.execution import OUT, JsonOption, OutOption, SetOption
from shoal.cli.team_workers import workers_at
from shoal.cli.training import as_dict, interval
from shoal.errors import InputError
from shoal.runs.settings import parse_assignments

if TYPE_CHECKING:
    from shoal.runs.folder import RunFolder


def train_team(
    method: Annotated[str, typer.Argument(help="Method: grpo, dr-mas, ...; see shoal list methods.")],
    team: Annotated[str, typer.Option(help="A recipe or protocol: chain:agents=2.")] = "chain:agents=2",
    task: Annotated[str, typer.Option(help="Task set: sums, arithmetic:digits=1, FILE.jsonl")] = "copy",
    model: Annotated[
        str, typer.Option(help="Base: local:tiny-SKILL, local:smollm2, local:FOLDER, fresh:tiny.")
    ] = "local:tiny-copying",
    updates: Annotated[int, typer.Option(help="Updates.")] = 50,
    rank: Annotated[int, typer.Option(help="Rank of each role's adapter; 0 trains whole networks.")] = 8,
    train: Annotated[list[str] | None, typer.Option("--train", help="A trained agent; all if not given.")] = None,
    frozen: Annotated[str | None, typer.Option(help="Model of the agents that are not trained.")] = None,
    shared: Annotated[bool, typer.Option("--shared", help="All roles train one policy.")] = False,
    held_out: Annotated[
        int | None, typer.Option(help="Problems of the evaluation; 100, or a third of a small task's.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Root of all randomness.")] = 0,
    workers: Annotated[int, typer.Option(help="Processes that roll out while this one learns.", min=0)] = 0,
    shards: Annotated[int, typer.Option(help="Parts of an update's problems, with --workers.", min=1)] = 2,
    set: SetOption = None,
    out: OutOption = OUT,
    resume: Annotated[str | None, typer.Option("--resume", help="Run folder to go on in.")] = None,
    json: JsonOption = False,
) -> int:
    """Train the language models in a team's seats, and compare held-out accuracy before and after."""
    from shoal.models.opening import open_model
    from shoal.posttrain.driver import carry_out, prepare
    from shoal.posttrain.policies import Lora
    from shoal.posttrain.trainer import CHECKPOINT
    from shoal.posttrain.workers import RolloutStore, decoupled
    from shoal.traces import TraceWriter

    for option, value, least in (("--updates", updates, 1), ("--held-out", held_out, 0), ("--rank", rank, 0)):
        if value is not None and value < least:
            raise InputError(option, value, f"Use at least {least}.")
    facts: dict[str, Any] = {
        "kind": "team training", "size": f"{updates} updates",
        "method": method, "team": team, "task": task, "model": model,
    }  # fmt: skip
    asked: dict[str, Any] = {
        "method": method, "team": team, "task": task, "model": model, "settings": parse_assignments(set or []),
        "trained": train or [], "shared": shared, "held_out": held_out, "seed": seed,
    }  # fmt: skip
    ready = prepare(**asked, lora=Lora(rank=rank) if rank else None, frozen=open_model(frozen) if frozen else None)
    folder = _folder(resume, out, facts)
    helpers: Any = nullcontext()
    if workers:
        store = RolloutStore(folder.path / "store")
        ready.trainer = decoupled(ready.trainer, store, shards)
        helpers = workers_at(store.folder, workers, asked | {"rank": rank, "frozen": frozen})
    began = time.perf_counter()
    status = "failed"
    try:
        with (
            console.progress_bar(f"train-team {method}") as bar,
            TraceWriter(folder.path / "events.jsonl", folder.path.name) as trace,
            helpers,
        ):
            result = carry_out(
                ready, updates, folder=folder.path, resume=resume is not None, trace=trace,
                progress=lambda n, f: bar(n, updates, f"reward {f['reward']:.3f}"),
            )  # fmt: skip
        status = "finished"
    except KeyboardInterrupt:
        status = "stopped"
        kept = (folder.path / CHECKPOINT).exists()
        way = f"go on with --resume {folder.path}" if kept else "there is no checkpoint yet to go on from"
        console.err.print(f"shoal: stopped; {way}", style="yellow", markup=False, soft_wrap=True)
        return 130
    finally:
        folder.save(status=status, finished=time.time())
        folder.release()
    found = result.figures() if ready.tested else {}
    document = {
        **facts, "updates": result.trainer.updates, "seconds": round(time.perf_counter() - began, 2),
        "held_out": {name: as_dict(e) for name, e in found.items()}, "history": result.trainer.history,
        "adapters": [str(path) for path in result.adapters], "run_dir": str(folder.path),
    }  # fmt: skip
    _draw(folder.path, result.trainer.history)
    if json:
        console.print_json(document)
        return 0
    rows = [(f"held-out accuracy {name}", interval(e)) for name, e in found.items()]
    rows += [
        (
            "reward, first and last update",
            f"{result.trainer.history[0]['reward']:.3f}, {result.trainer.history[-1]['reward']:.3f}",
        )
    ]
    console.table(f"{method} on {team}, {task}", ("figure", "value [95%]"), rows)
    if not any(row.get(name, 0.0) > 0 for row in result.trainer.history for name in row if name.endswith("grad_norm")):
        console.err.print(
            "shoal: nothing was learned: in every group all rollouts had the same reward. "
            "Begin from a model that solves some of the problems, or raise --set group or temperature.",
            style="yellow", markup=False, soft_wrap=True,
        )  # fmt: skip
    console.out.print(f"\nrun      {folder.path}\nadapters {folder.path / 'adapters'}", markup=False, soft_wrap=True)
    return 0


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
    """Train a tiny transformer (0.9 M parameters) of one skill from scratch: minutes on a processor."""
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


def _draw(path: Path, history: list[dict[str, float]]) -> None:
    """Curves of the training: reward, gradient norms, entropy and distance of each role."""
    from shoal.runs.plots import new_figure, save_figures

    groups = ("reward", "grad_norm", "entropy", "kl")
    figure, axes = new_figure(len(groups))
    for ax, group in zip(axes, groups, strict=True):
        for name in sorted({n for row in history for n in row if n.endswith(group)}):
            ax.plot([row.get(name, float("nan")) for row in history], label=name.removesuffix(group).strip() or "team")
        ax.set(xlabel="update", ylabel=group.replace("_", " "))
        ax.legend(fontsize=7, frameon=False)
    (path / "plots").mkdir(exist_ok=True)
    save_figures({"training": figure}, path / "plots")
