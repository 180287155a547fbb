"""`shoal calibrate`: a population model fitted to a CSV of observed series."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shoal.cli import console
from shoal.cli.execution import OUT, JsonOption, OutOption, RootOption, SetOption
from shoal.cli.sensitivity import FreeOption, free_ranges
from shoal.cli.simulation import split
from shoal.errors import InputError
from shoal.runs.settings import parse_assignments

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from shoal.populations import PopulationModel, Simulation
    from shoal.populations.calibration import Calibration
    from shoal.populations.identification import Interval, Surface
    from shoal.populations.streams import Streams
    from shoal.runs.folder import RunFolder

METHODS_HELP = (
    "gradient, cma-es or random: a best point; variational or abc: a posterior; "
    "calibnn: a network that reads the data and gives a value for each week."
)


def calibrate(
    model: Annotated[str, typer.Argument(help="A population model, see shoal list populations.")],
    data: Annotated[Path, typer.Option(help="CSV: day or date, then one column for each observed series.")],
    method: Annotated[str, typer.Option(help=METHODS_HELP)] = "gradient",
    calls: Annotated[int, typer.Option(help="Runs of the simulator that the search may make.")] = 200,
    seeds: Annotated[int, typer.Option(help="Runs that each loss is a mean of.")] = 1,
    agents: Annotated[int | None, typer.Option(help="Number of agents.")] = None,
    free: FreeOption = None,
    periods: Annotated[
        list[str] | None, typer.Option(help="name=COUNT: a free parameter with that many values, one a period.")
    ] = None,
    window: Annotated[str | None, typer.Option(help="Days that are fitted, as FIRST:LAST of the file.")] = None,
    people: Annotated[float | None, typer.Option(help="People whom the data count; scaled to the agents.")] = None,
    scale: Annotated[
        list[str] | None, typer.Option(help="series=FACTOR: 10 for cases of which one in ten is reported.")
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(help="Of the loss, for variational; found from runs if not given.")
    ] = None,
    set: SetOption = None,
    surface: Annotated[bool, typer.Option(help="Loss over the first two free numbers.")] = True,
    intervals: Annotated[bool, typer.Option(help="How far the data pin each number down.")] = True,
    out: OutOption = OUT,
    root_seed: RootOption = 0,
    json: JsonOption = False,
) -> int:
    """Fit a population model to data: best values with intervals, and what the data leave open."""
    from shoal.populations import MODELS
    from shoal.populations import calibration as engine

    kind = MODELS.get(model)
    settings, fixed = split(kind, {"agents": agents} if agents is not None else {}, set or [])
    chosen = kind(**settings)
    observed = _observed(data, window, people, scale or [], chosen)
    ranges = free_ranges(free or [], parse_assignments(periods or [], "--periods"))
    began = time.perf_counter()
    with console.progress_bar(f"calibrate {model}", quiet=json) as progress:
        fit = engine.calibrate(
            chosen, observed, method, ranges, calls, seeds,
            root=root_seed, fixed=fixed, world=root_seed, temperature=temperature, progress=progress,
        )  # fmt: skip
        found = _intervals(fit, progress) if intervals else None
        over = _surface(fit, progress) if surface else None
    folder = _folder(out, fit, seeds)
    document = _document(fit, found) | {"data": str(data), "run": str(folder.path)}
    _write(folder.path, fit, fit.simulate(), over)
    folder.save(status="finished", finished=time.time(), summary=document)
    if json:
        console.print_json(document)
    else:
        _tell(document, time.perf_counter() - began)
    return 0


def _intervals(fit: Calibration, progress: Callable[[int, int, str], None]) -> list[Interval] | None:
    """Of free numbers, if there are not too many; read from a posterior, if there is one; of a network none."""
    from shoal.populations import identification

    numbers = len(identification.labels(fit))
    if not numbers or (fit.posterior is None and numbers > identification.MOST):
        return None
    return identification.intervals(fit, progress=lambda done, total: progress(done, total, "intervals"))


def _surface(fit: Calibration, progress: Callable[[int, int, str], None]) -> Surface | None:
    """Over the first two free numbers, if there are two."""
    from shoal.populations import identification

    labels = identification.labels(fit)
    if len(labels) < 2:
        return None
    return identification.loss_surface(
        fit, labels[0], labels[1], progress=lambda done, total: progress(done, total, "surface")
    )


def _folder(out: Path, fit: Calibration, seeds: int) -> RunFolder:
    from shoal.runs.folder import RunFolder

    name = f"calibrate-{fit.objective.model.name}"
    size = f"{fit.objective.model.settings.agents} agents, {fit.objective.steps} steps"
    folder = RunFolder.create(out, name, f"{name}-{time.time()}", kind="calibration", size=size, seeds=seeds)
    (folder.path / "events").rmdir()
    return folder


def _observed(
    data: Path, window: str | None, people: float | None, scale: list[str], model: PopulationModel[Any, Any]
) -> Streams:
    from shoal.populations.streams import read_streams

    first, colon, last = (window or ":").partition(":")
    if not colon:
        raise InputError("--window", window, "Write it as FIRST:LAST, days as the file calls them.")
    observed = read_streams(data, first or None, last or None)
    observed = observed.scaled(parse_assignments(scale, "--scale"))
    return observed if people is None else observed.among(people, model.settings.agents)


def _document(fit: Calibration, found: list[Interval] | None) -> dict[str, Any]:
    document: dict[str, Any] = {
        "model": fit.objective.model.name,
        "settings": fit.objective.model.settings.model_dump(mode="json"),
        "method": fit.method,
        "fitted": list(fit.objective.names),
        "window": [fit.objective.labels[0], fit.objective.labels[-1]],
        "values": {name: x.tolist() for name, x in fit.values.items()},
        "fixed": {name: x.tolist() for name, x in fit.parameters.items() if name not in fit.values},
        "loss": {"value": fit.loss.value, "low": fit.loss.low, "high": fit.loss.high},
        "calls": fit.calls,
        "judging_calls": fit.judging,
        "seconds": round(fit.seconds, 3),
    }
    if fit.posterior is not None:
        document["posterior"] = {"prior": fit.posterior.prior, **fit.posterior.facts}
    if found is not None:
        document["intervals"] = [
            {"name": i.name, "value": i.value, "low": i.low, "high": i.high, "covers": i.covers, "note": i.note}
            for i in found
        ]
    return document


def _write(folder: Path, fit: Calibration, runs: Simulation, over: Surface | None) -> None:
    """Trace, posterior, runs at the best values and surface as Parquet; fit and surface as pictures."""
    import numpy as np
    import polars as pl

    fit.frame().write_parquet(folder / "trace.parquet")
    if fit.posterior is not None:
        fit.posterior.frame(fit.objective).write_parquet(folder / "posterior.parquet")
    runs.frame().write_parquet(folder / "series.parquet")
    _draw_fit(fit, runs, folder / "fit.png")
    if over is None:
        return
    a, b = np.meshgrid(over.first, over.second, indexing="ij")
    columns = {over.names[0]: a.ravel(), over.names[1]: b.ravel(), "loss": over.loss.ravel()}
    pl.DataFrame(columns).write_parquet(folder / "surface.parquet")
    _draw_surface(fit, over, folder / "surface.png")


def _draw_fit(fit: Calibration, runs: Simulation, path: Path) -> None:
    """Observed points within bands of the runs at the best values, and the loss by calls."""
    from shoal.runs.plots import PALETTE, new_figure

    names = fit.objective.names
    figure, axes = new_figure(len(names) + 1, 1, 3.8, 2.8)
    for ax, name, observed in zip(axes, names, fit.objective.observed, strict=False):
        middle, low, high = runs.band(name)
        ax.fill_between(range(len(middle)), low, high, color=PALETTE[0], alpha=0.25, linewidth=0, label="5 to 95%")
        ax.plot(middle, color=PALETTE[0], linewidth=1.2, label=f"median of {len(runs.seeds)} runs")
        ax.plot(observed, ".", color="#000000", markersize=3, label="observed")
        ax.set_title(name, fontsize=9, loc="left")
        ax.set_xlabel(f"days from {fit.objective.labels[0]}", fontsize=8)
        ax.legend(fontsize=7, frameon=False)
    _draw_trace(fit, axes[-1])
    figure.savefig(path)


def _draw_trace(fit: Calibration, ax: Axes) -> None:
    frame = fit.frame()
    ax.plot(frame["calls"], frame["loss"], ".", markersize=3, alpha=0.5, label="each evaluation")
    ax.plot(frame["calls"], frame["best"], linewidth=1.2, label="best so far")
    ax.axhline(fit.loss.value, color="#444444", linewidth=0.8, linestyle=":", label="chosen, fresh runs")
    ax.set_yscale("log" if (frame["loss"] > 0).all() else "linear")
    ax.set_title(f"loss, {fit.method}", fontsize=9, loc="left")
    ax.set_xlabel("simulator calls", fontsize=8)
    ax.legend(fontsize=7, frameon=False)


def _draw_surface(fit: Calibration, over: Surface, path: Path) -> None:
    import numpy as np

    from shoal.runs.plots import new_figure

    figure, (ax,) = new_figure(1, 1, 4.8, 3.8)
    shown = np.log10(np.maximum(over.loss, 1e-6)).T
    colours = ax.pcolormesh(over.first, over.second, shown, shading="nearest", cmap="viridis_r")
    figure.colorbar(colours, ax=ax, label="log10 loss")
    spots = [_number(fit, name) for name in over.names]
    ax.plot(*([spot] for spot in spots), "x", color="#D55E00", markersize=9, markeredgewidth=2)
    ax.set_xlabel(over.names[0], fontsize=8)
    ax.set_ylabel(over.names[1], fontsize=8)
    for set_scale, log in ((ax.set_xscale, over.logs[0]), (ax.set_yscale, over.logs[1])):
        set_scale("log" if log else "linear")
    ax.set_title(f"loss, others at their best; cross: {fit.method}", fontsize=9, loc="left")
    figure.savefig(path)


def _number(fit: Calibration, label: str) -> float:
    """The best value of a free number, ``name`` or ``name[period]``."""
    name, _, period = label.partition("[")
    value = fit.values[name]
    return float(value[int(period[:-1])] if period else value)


def _tell(document: dict[str, Any], seconds: float) -> None:
    given = {i["name"]: i for i in document.get("intervals", [])}
    posterior = document.get("posterior")
    rows = []
    for name, value in document["values"].items():
        several = isinstance(value, list)
        for k, number in enumerate(value if several else [value]):
            label = f"{name}[{k}]" if several else name
            known = given.get(label)
            reach = f"[{known['low']:.4g}, {known['high']:.4g}]" if known else ""
            middle = [f"{known['value']:.4g}" if known else ""] if posterior else []
            rows.append([label, f"{number:.4g}", *middle, reach, known["note"] if known else ""])
    first, last = document["window"]
    title = f"{document['model']}: {', '.join(document['fitted'])} from {first} to {last}, by {document['method']}"
    means = ["mean"] if posterior else []
    console.table(title, ["parameter", "best", *means, "95% interval", ""], rows, right=["best", *means])
    if posterior:
        facts = ", ".join(f"{name.replace('_', ' ')} {x:.4g}" for name, x in posterior.items() if name != "prior")
        console.out.print(f"Posterior under a prior {posterior['prior']}: {facts}.", markup=False)
    loss = document["loss"]
    text = f"Loss {loss['value']:.4g} [{loss['low']:.4g}, {loss['high']:.4g}] over runs that the search has not seen; "
    console.out.print(f"{text}{document['calls']} simulator calls.", markup=False)
    console.out.print(f"{seconds:.1f} s. {document['run']}", markup=False)
