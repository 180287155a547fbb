"""What all commands share: output for people and for programs, errors, progress."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from shoal.errors import ShoalError

# Off a terminal there is no width to respect; a wide table stays greppable, one row to a line.
out = Console(highlight=False, width=None if sys.stdout.isatty() else 180)
err = Console(stderr=True, highlight=False)

VERDICT_STYLE = {
    "reproduced": "green",
    "not reproduced": "red",
    "inconclusive": "yellow",
    "not run": "dim",
}


@dataclass
class Options:
    """Options of the whole command."""

    debug: bool = False


options = Options()


def print_json(document: Any) -> None:
    """Print one JSON document and nothing else; NaN and infinity become null."""
    flags = orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
    sys.stdout.write(orjson.dumps(document, default=str, option=flags).decode() + "\n")


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], right: Sequence[str] = ()) -> None:
    """Print a table; cells are shown as text, never as markup."""
    from rich.text import Text

    shown = Table(title=title or None, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for name in columns:
        shown.add_column(name, justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        shown.add_row(*(cell if isinstance(cell, Text) else Text(str(cell)) for cell in row))
    out.print(shown)


def estimate_text(value: float, low: float | None, high: float | None) -> str:
    """``0.3 [0.1, 0.5]``; the value alone where it has no finite interval, or is exact."""
    if low is None or high is None or low == high or not math.isfinite(low) or not math.isfinite(high):
        return f"{value:.3g}"
    return f"{value:.3g} [{low:.3g}, {high:.3g}]"


def verdict_text(verdict: str) -> Any:
    """A verdict in its colour."""
    from rich.text import Text

    return Text(verdict, style=VERDICT_STYLE.get(verdict, ""))


@contextmanager
def progress_bar(title: str, quiet: bool = False) -> Iterator[Callable[[int, int, str], None]]:
    """A progress bar on standard error with rate and time left; silent when that is no terminal."""
    if quiet or not err.is_terminal:
        yield lambda done, total, label: None
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[label]}", style="dim"),
    )
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task(title, total=None, label="")
        yield lambda done, total, label: bar.update(task, completed=done, total=total or 1, label=label)


def guarded(run: Callable[[], int]) -> int:
    """Run a command; its exit code, with errors as one or two lines on standard error.

    0 done, 1 a claim or check failed, 2 bad input, 130 interrupted.
    """
    try:
        return run()
    except ShoalError as error:
        if options.debug:
            raise
        err.print(f"shoal: {error}", style="red", markup=False, soft_wrap=True)
        return error.exit_code
    except KeyboardInterrupt:
        err.print("shoal: stopped. Finished trials are kept; run the same command again to go on.", style="yellow")
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except Exception as error:  # the last one on the way out: users see a line, not a traceback
        if options.debug:
            raise
        text = f"shoal: a defect of shoal itself: {type(error).__name__}: {error}. `shoal --debug ...` shows where."
        err.print(text, style="red", markup=False, soft_wrap=True)
        return 1
