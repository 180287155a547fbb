"""The `shoal` command: one application, its commands in the modules beside this one."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from shoal.cli import (
    calibration,
    catalogue,
    checks,
    console,
    diagnosis,
    evaluation,
    execution,
    history,
    page,
    playing,
    privacy,
    simulation,
    team_training,
    team_workers,
    training,
)
from shoal.cli.compilation import compile_afresh, keep_programs

app = typer.Typer(
    name="shoal",
    help="A laboratory for multi-agent systems: run, compare and test published mechanisms.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.command("list")(catalogue.list_studies)
app.command("show")(catalogue.show)
app.command("run")(execution.run)
app.command("team")(execution.team)
app.command("demo")(execution.demo)
app.command("play")(playing.play)
app.command("simulate")(simulation.simulate)
app.command("calibrate")(calibration.calibrate)
app.command("private")(privacy.private)
app.command("train")(training.train)
app.command("train-team")(team_training.train_team)
app.command("train-worker")(team_workers.train_worker)
app.command("eval")(evaluation.evaluate)
app.command("cross-play")(evaluation.cross_play)
app.command("runs")(history.runs)
app.command("report")(history.report)
app.command("diff")(history.diff)
app.command("diagnose")(diagnosis.diagnose)
app.add_typer(diagnosis.traces_app, name="traces")
app.add_typer(checks.models_app, name="models")
app.command("ui")(page.page)
app.command("bench")(checks.bench)
app.command("doctor")(checks.doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        from shoal.runs.machine import shoal_version

        console.out.print(shoal_version())
        raise typer.Exit


@app.callback()
def whole(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """A laboratory for multi-agent systems."""
    console.options.debug = debug
    if context.invoked_subcommand == "bench":
        compile_afresh()
    else:
        keep_programs()


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the `shoal` script; exits with the command's code."""
    sys.exit(console.guarded(lambda: run(arguments)))


# Typer carries its own copy of click in some versions and depends on click in others: take the class that it raises.
_UsageProblem: type[Exception] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")


def run(arguments: list[str] | None = None) -> int:
    """Run one command line and return its exit code; shoal's own errors pass through."""
    try:
        code = app(args=arguments, standalone_mode=False)
    except _UsageProblem as problem:
        text = problem.format_message()  # type: ignore[attr-defined]
        if arguments or sys.argv[1:]:
            text = f"shoal: {text} `shoal --help` shows what there is."
        console.err.print(text, markup=False, soft_wrap=True)
        return 2
    except typer.Exit as leave:
        return leave.exit_code
    except typer.Abort:
        return 130
    return int(code or 0)
