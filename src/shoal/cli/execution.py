"""`shoal run`, `shoal team` and `shoal demo`: what makes runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shoal.cli import console
from shoal.errors import InputError
from shoal.runs.settings import parse_assignments
from shoal.runs.study import SIZES, Size, Study

if TYPE_CHECKING:
    from shoal.runs.trials import Summary
    from shoal.traces import Usage

OUT = Path("runs")

SizeOption = Annotated[str, typer.Option("--size", help="quick (under a minute), standard or full.")]
SeedsOption = Annotated[int | None, typer.Option("--seeds", help="Replicates, over the size's own number.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="Setting as key=value; may be repeated.")]
ModelOption = Annotated[str | None, typer.Option("--model", help="Model: local:NAME, http://..., scripted:..., ...")]
OutOption = Annotated[Path, typer.Option("--out", help="Folder of run folders.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
RootOption = Annotated[int, typer.Option("--root-seed", help="Root of all random numbers.")]
FreshOption = Annotated[bool, typer.Option("--fresh", help="Do not continue an interrupted run.")]


def run(
    name: Annotated[str, typer.Argument(help="Name of a system, see shoal list.")],
    size: SizeOption = "standard",
    seeds: SeedsOption = None,
    set: SetOption = None,
    model: ModelOption = None,
    out: OutOption = OUT,
    root_seed: RootOption = 0,
    processes: Annotated[int | None, typer.Option(help="Worker processes; default one per core.")] = None,
    fresh: FreshOption = False,
    estimate: Annotated[bool, typer.Option("--estimate", help="Only tell what the model calls would cost.")] = False,
    record: Annotated[bool, typer.Option("--record", help="Also write results/NAME.json of this checkout.")] = False,
    json: JsonOption = False,
) -> int:
    """Run a system: its variants on all seeds, then the verdict on each claim. Exit code 1 if one is not reproduced."""
    from shoal import laboratory
    from shoal.studies.record import commit_result, document, results_folder

    study = laboratory.show(name)
    expected: dict[str, dict[str, float]] = {}

    def announce(experiment: str, usage: Usage) -> None:
        expected[experiment] = usage.as_dict()
        console.err.print(
            f"{experiment}: about {usage.calls} model calls, {usage.tokens} tokens, ${usage.money:.2f}", markup=False
        )

    if estimate:
        for experiment, usage in laboratory.forecast(
            name, size=_size(size), seeds=seeds, settings=parse_assignments(set or []), model=model, out=out
        ).items():
            announce(experiment, usage)
        if json:
            console.print_json({"name": name, "size": size, "expected": expected})
        elif not expected:
            console.out.print("No experiment of this system tells its cost.", markup=False)
        return 0
    with console.progress_bar(name, quiet=json) as progress:
        summary = laboratory.run(
            name, size=_size(size), seeds=seeds, settings=parse_assignments(set or []), model=model, out=out,
            root=root_seed, processes=processes, fresh=fresh, progress=progress,
            announce=announce,
        )  # fmt: skip
    if record:
        folder = results_folder()
        if folder is None:
            raise InputError("--record", True, "Run from a checkout of shoal; an installed package has no results/.")
        commit_result(summary, folder)
    if json:
        console.print_json(document(summary))
    else:
        _tell(study, summary)
    return 1 if summary.failed else 0


def team(
    spec: Annotated[str, typer.Argument(help="A recipe or protocol (debate, vote:agents=5), or a YAML file.")],
    task: Annotated[str, typer.Option(help="Task set: sums, word-problems, gsm8k, bbh:NAME, FILE.jsonl")] = "sums",
    model: Annotated[str, typer.Option(help="Model: local:NAME, http://..., scripted:...")] = "local:smollm2",
    budget_tokens: Annotated[int | None, typer.Option(help="Tokens per problem for each system.")] = None,
    against: Annotated[str, typer.Option(help="single (one agent, equal tokens) or another team.")] = "single",
    questions: Annotated[int, typer.Option(help="Problems per seed.")] = 32,
    seeds: Annotated[int, typer.Option(help="Replicates: fresh problems and samples each.")] = 1,
    temperature: Annotated[float, typer.Option(help="Sampling temperature.")] = 0.7,
    max_tokens: Annotated[int, typer.Option(help="Longest reply.")] = 128,
    watch: Annotated[
        str, typer.Option(help="Between its agents: flag, block, stop, governance=speed|balanced|strict.")
    ] = "",
    out: OutOption = OUT,
    root_seed: RootOption = 0,
    fresh: FreshOption = False,
    json: JsonOption = False,
) -> int:
    """Run a team on a task set, beside one agent at the same token budget: accuracy, cost and the paired comparison."""
    from shoal import laboratory
    from shoal.studies.record import document
    from shoal.teams.comparison import paired_rows, system_rows

    with console.progress_bar(f"team {spec}", quiet=json) as progress:
        summary = laboratory.team(
            spec, task=task, model=model, against=against, questions=questions, budget_tokens=budget_tokens,
            temperature=temperature, max_tokens=max_tokens, watch=watch, seeds=seeds, out=out, root=root_seed,
            fresh=fresh, progress=progress,
        )  # fmt: skip
    if json:
        rows = {"systems": system_rows(summary.results), "paired": paired_rows(summary.results)}
        console.print_json(document(summary) | rows)
    else:
        _tell_team(summary)
    return 1 if summary.failures or _unanswered(summary) else 0


def demo(
    model: Annotated[str, typer.Option(help="Model to use; the bundled small one by default.")] = "local:smollm2",
    questions: Annotated[int, typer.Option(help="Problems.")] = 40,
    out: OutOption = OUT,
) -> int:
    """From nothing to a report: get the small model, run a team beside one agent, show what else there is."""
    from shoal import laboratory
    from shoal.cli.checks import ensure_model

    console.out.print("[bold]shoal[/bold]: a laboratory for multi-agent systems\n")
    ensure_model(model)
    console.out.print(
        f"Five agents on {model} answer {questions} one-digit sums and vote; beside them one agent with the same "
        "tokens, and one single greedy call.\n"
    )
    with console.progress_bar("demo") as progress:
        summary = laboratory.team(
            "vote:agents=5", task="sums", model=model, questions=questions, max_tokens=48, out=out, progress=progress
        )
    _tell_team(summary)
    console.out.print("\nWhat else there is:\n")
    from shoal.cli.catalogue import list_studies

    list_studies()
    console.out.print(
        "\nTry: shoal run selforg --size quick   |   shoal team debate --task sums   |   "
        "shoal team vote --model http://HOST:PORT/v1#MODEL",
        markup=False,
    )
    return 1 if summary.failures else 0


def _size(text: str) -> Size:
    if text not in SIZES:
        raise InputError("--size", text, f"Use one of {', '.join(SIZES)}.")
    return text


def _tell(study: Study[Any], summary: Summary) -> None:
    from shoal.runs.report import shown

    console.out.print(f"[bold]{study.title}[/bold]  {study.paper}")
    console.table(
        "",
        ("claim", "verdict", "estimate [95%]", "n", "evidence", "statement"),
        [
            (f.id, console.verdict_text(str(f.verdict)), shown(f.estimate), f.estimate.n if f.estimate else 0,
             f.evidence, f.statement + (f" ({f.note})" if f.note and f.estimate is None else ""))
            for f in summary.findings
        ],
        right=("n",),
    )  # fmt: skip
    _tell_rest(summary)


def _unanswered(summary: Summary) -> bool:
    """Whether the model answered nothing at all; says so, with what to look at."""
    from shoal.teams.comparison import system_rows

    rows = system_rows(summary.results)
    if not rows or any(r["calls"] for r in rows):
        return False
    kinds = ", ".join(dict.fromkeys(kind for r in rows for kind in r["failures_by_kind"]))
    spec = ", ".join(summary.folder.info["models"].values())
    console.err.print(
        f"shoal: {spec} answered none of the calls ({kinds}). Check --model, and that its server runs.",
        style="red", markup=False,
    )  # fmt: skip
    return True


def _tell_rest(summary: Summary) -> None:
    for name, reason in summary.skipped.items():
        console.out.print(f"not run: {name}: {reason}", style="yellow", markup=False)
    for failure in summary.failures:
        last = failure.error.strip().splitlines()[-1]
        where = f"{failure.experiment} / {failure.variant} / seed {failure.seed}"
        console.out.print(f"failed: {where}: {last}", style="red", markup=False)
    if summary.reused:
        console.out.print(f"{summary.reused} finished trials were kept from an interrupted run", style="dim")
    console.out.print(f"\nrun    {summary.folder.path}", markup=False)
    console.out.print(f"report {summary.folder.path / 'report.html'}", markup=False)


def _tell_team(summary: Summary) -> None:
    from shoal.teams.comparison import paired_rows, system_rows

    info = summary.folder.info
    models = ", ".join(info["models"].values())
    console.out.print(f"{info['title']}, agents on {models}", style="bold", markup=False)
    console.table(
        "",
        ("system", "accuracy [95%]", "tokens", "calls", "messages", "slowest s", "unanswered", "failures"),
        [
            (r["system"], f"{r['accuracy']:.3f} [{r['ci_low']:.3f}, {r['ci_high']:.3f}]", f"{r['tokens']:.0f}",
             f"{r['calls']:.0f}", f"{r['messages']:.0f}", f"{r['seconds']:.1f}", f"{r['unanswered']:.0f}",
             ", ".join(f"{n:.0f} {kind}" for kind, n in r["failures_by_kind"].items()) or "0")
            for r in system_rows(summary.results)
        ],
        right=("tokens", "calls", "messages", "slowest s", "unanswered"),
    )  # fmt: skip
    for row in paired_rows(summary.results):
        low, high = row["ci_low"], row["ci_high"]
        word = "better than" if low > 0 else "worse than" if high < 0 else "not told apart from"
        console.out.print(
            f"{row['team']} is {word} {row['against']}: {row['difference']:+.3f} [{low:+.3f}, {high:+.3f}] in "
            f"accuracy, paired over {row['n']} problems (exact McNemar p = {row['mcnemar_p']:.3g})",
            markup=False,
        )
    _tell_rest(summary)
