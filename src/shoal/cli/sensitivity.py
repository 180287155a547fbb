"""Which parameters move what a population comes to: the sensitivity part of `shoal simulate`, and `--free`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shoal.cli import console
from shoal.errors import InputError, UnknownName

if TYPE_CHECKING:
    from shoal.populations import Simulation
    from shoal.populations.parametrisation import Free
    from shoal.populations.sensitivity import Sensitivity

FreeOption = Annotated[
    list[str] | None,
    typer.Option("--free", help="Parameter that moves: name, or name=low:high; may be repeated."),
]


def free_ranges(assignments: list[str], periods: dict[str, int] | None = None) -> dict[str, Free | None] | None:
    """``["reproduction=1:4", "initial"]`` as ranges by name; None if nothing was given.

    Args:
        assignments: as written.
        periods: numbers in a parameter, by name; those that it names must have bounds.

    Raises:
        InputError: no low:high, or periods of a parameter without bounds.
    """
    from shoal.populations.parametrisation import Free

    found: dict[str, Free | None] = {}
    for text in assignments:
        name, equals, bounds = text.partition("=")
        low, colon, high = bounds.partition(":")
        try:
            found[name.strip()] = Free(float(low), float(high)) if equals else None
        except ValueError:
            raise InputError("--free", text, "Write it as name or name=low:high.") from None
        if equals and not colon:
            raise InputError("--free", text, "Write it as name or name=low:high.")
    for name, count in (periods or {}).items():
        bounded = found.get(name)
        if bounded is None:
            raise InputError("--periods", name, f"Give its bounds: --free {name}=low:high.")
        if not isinstance(count, int) or count < 1:
            raise InputError(f"--periods {name}", count, "Use a whole number of 1 or more.")
        found[name] = Free(bounded.low, bounded.high, bounded.log, count)
    return found or None


def require_method(method: str) -> None:
    """Raise UnknownName for a method that is not there, before anything runs."""
    from shoal.populations.sensitivity import METHODS

    if method not in METHODS:
        raise UnknownName("--sensitivity", method, METHODS)


def analyse(
    plain: Simulation,
    method: str,
    outcome: str | None,
    points: int,
    ranges: dict[str, Free | None] | None,
    parameters: dict[str, Any],
    world: int,
    progress: Callable[[int, int], None],
) -> Sensitivity:
    """What moves an outcome of a simulation; one that data usually count, or a flow, if none is named."""
    from shoal.populations.sensitivity import sensitivity

    model, reported = plain.model, [name for name, x in plain.series.items() if x.ndim == 2]
    wanted = [*model.streams.values(), *sorted(model.flows), *reported]
    return sensitivity(
        model,
        outcome or next(name for name in wanted if name in reported),
        plain.steps,
        method,
        ranges,
        seeds=len(plain.seeds),
        points=points,
        fixed=parameters,
        world=world,
        progress=progress,
    )


def document(found: Sensitivity) -> dict[str, Any]:
    """What was found, for `--json` and run.json."""
    return {
        "method": found.method,
        "outcome": found.outcome,
        "calls": found.calls,
        "measures": {
            measure: {
                name: {"value": e.value, "low": e.low, "high": e.high, "seeds": found.measures[measure][:, k].tolist()}
                for k, (name, e) in enumerate(found.estimates(measure).items())
            }
            for measure in found.measures
        },
    }


def draw(found: Sensitivity, path: Path) -> None:
    """One panel for each measure: every seed as a point, means as bars."""
    from shoal.runs.plots import PALETTE, new_figure

    figure, axes = new_figure(len(found.measures), 1, 3.6, 0.9 + 0.4 * len(found.names))
    for ax, (measure, values) in zip(axes, found.measures.items(), strict=True):
        places = range(len(found.names))[::-1]
        ax.barh(list(places), values.mean(0), color=PALETTE[0], alpha=0.4, height=0.6)
        for place, seeds in zip(places, values.T, strict=True):
            ax.plot(seeds, [place] * len(seeds), ".", color=PALETTE[0], markersize=4)
        ax.set_yticks(list(places), found.names, fontsize=8)
        ax.axvline(0, color="#444444", linewidth=0.6)
        ax.set_title(measure.replace("_", " "), fontsize=9, loc="left")
    figure.suptitle(f"{found.method}: what moves {found.outcome}; points are seeds", fontsize=9, x=0, ha="left")
    figure.savefig(path)


def tell(found: dict[str, Any]) -> None:
    """As a table."""
    measures = list(found["measures"])
    names = list(found["measures"][measures[0]])

    def cell(measure: str, name: str) -> str:
        e = found["measures"][measure][name]
        spread = f" [{e['low']:.3g}, {e['high']:.3g}]" if len(e["seeds"]) > 1 else ""
        return f"{e['value']:.4g}{spread}"

    rows = [[name, *(cell(measure, name) for measure in measures)] for name in names]
    title = f"What moves {found['outcome']}: {found['method']}, {found['calls']} runs"
    console.table(title, ["parameter", *(m.replace("_", " ") for m in measures)], rows, right=measures)
