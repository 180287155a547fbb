"""`shoal train-team` and `shoal models train`: post-training of teams, and tiny models to begin with."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from shoal.cli import console
from shoal.cli.checks import models_app
from shoal.cli.execution import OUT, JsonOption, OutOption, SetOption
from shoal.cli.training import as_dict, interval
from shoal.errors import InputError
from shoal.runs.settings import parse_assignments


def train_team(
    method: Annotated[str, typer.Argument(help="Method: grpo, dr-mas, ...; see shoal list methods.")],
    team: Annotated[str, typer.Option(help="A recipe or protocol: chain:agents=2.")] = "chain:agents=2",
    task: Annotated[str, typer.Option(help="Task set: sums, arithmetic:digits=1, FILE.jsonl")] = "sums",
    model: Annotated[
        str, typer.Option(help="Base: local:tiny-SKILL, local:FOLDER, fresh:tiny.")
    ] = "local:tiny-copying",
    updates: Annotated[int, typer.Option(help="Updates.")] = 50,
    rank: Annotated[int, typer.Option(help="Rank of each role's adapter; 0 trains whole networks.")] = 8,
    train: Annotated[list[str] | None, typer.Option("--train", help="A trained agent; all if not given.")] = None,
    frozen: Annotated[str | None, typer.Option(help="Model of the agents that are not trained.")] = None,
    shared: Annotated[bool, typer.Option("--shared", help="All roles train one policy.")] = False,
    held_out: Annotated[int, typer.Option(help="Problems of the evaluation before and after.")] = 100,
    seed: Annotated[int, typer.Option(help="Root of all randomness.")] = 0,
    set: SetOption = None,
    out: OutOption = OUT,
    resume: Annotated[str | None, typer.Option("--resume", help="Run folder to go on in.")] = None,
    json: JsonOption = False,
) -> int:
    """Train the language models in a team's seats, and compare held-out accuracy before and after."""
    from shoal.models.opening import open_model
    from shoal.posttrain.driver import train_team as run
    from shoal.posttrain.policies import Lora
    from shoal.runs.folder import RunFolder
    from shoal.traces import TraceWriter

    if updates < 1 or held_out < 0 or rank < 0:
        raise InputError("--updates, --held-out, --rank", (updates, held_out, rank), "Use at least 1, 0 and 0.")
    facts: dict[str, Any] = {
        "kind": "team training", "size": f"{updates} updates",
        "method": method, "team": team, "task": task, "model": model,
    }  # fmt: skip
    if resume is not None:
        folder = RunFolder.load(Path(resume))
        if not folder.lock():
            raise InputError("--resume", resume, "Another process is training there; wait for it or stop it.")
        folder.save(status="running")
    else:
        folder = RunFolder.create(out, f"{method}-{team.partition(':')[0]}", f"{method}-{time.time()}", **facts)
    began = time.perf_counter()
    status = "failed"
    try:
        with (
            console.progress_bar(f"train-team {method}") as bar,
            TraceWriter(folder.path / "events.jsonl", folder.path.name) as trace,
        ):
            result = run(
                method, team, task, model, updates=updates, settings=parse_assignments(set or []),
                lora=Lora(rank=rank) if rank else None, trained=train or [], shared=shared,
                frozen=open_model(frozen) if frozen else None, held_out=held_out, seed=seed, folder=folder.path,
                resume=resume is not None, trace=trace,
                progress=lambda n, f: bar(n, updates, f"reward {f['reward']:.3f}"),
            )  # fmt: skip
        status = "finished"
    except KeyboardInterrupt:
        status = "stopped"
        console.err.print(f"shoal: stopped; go on with --resume {folder.path}", style="yellow", markup=False)
        return 130
    finally:
        folder.save(status=status, finished=time.time())
        folder.release()
    found = result.figures() if held_out else {}
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
    console.out.print(f"\nrun      {folder.path}\nadapters {folder.path / 'adapters'}", markup=False, soft_wrap=True)
    return 0


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
