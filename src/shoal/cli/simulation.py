"""`shoal simulate`: a population model over several seeds, with curves, Parquet and what-if pairs."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shoal.cli import behaviour as behaviours
from shoal.cli import console
from shoal.cli import sensitivity as sensitivities
from shoal.cli.behaviour import (
    ActionsOption,
    AskedOption,
    BehaviourOption,
    Decided,
    PromptOption,
    SamplesOption,
    VariablesOption,
)
from shoal.cli.execution import OUT, JsonOption, OutOption, RootOption, SetOption
from shoal.cli.sensitivity import FreeOption
from shoal.errors import InputError, UnknownName
from shoal.runs.settings import parse_assignments

if TYPE_CHECKING:
    from shoal.populations import PopulationModel, Simulation
    from shoal.stats import Estimate


def simulate(
    model: Annotated[str, typer.Argument(help="A population model, see shoal list populations.")],
    agents: Annotated[int | None, typer.Option(help="Number of agents.")] = None,
    steps: Annotated[int, typer.Option(help="Steps (days) to simulate.")] = 120,
    seeds: Annotated[int, typer.Option(help="Runs that differ in what chance decides.")] = 8,
    set: SetOption = None,
    counterfactual: Annotated[
        list[str] | None,
        typer.Option("--counterfactual", help="What if: key=value; run besides, on the same random numbers."),
    ] = None,
    sensitivity: Annotated[
        str | None, typer.Option(help="Which parameters move the outcome: gradient, sobol or morris.")
    ] = None,
    outcome: Annotated[str | None, typer.Option(help="Figure whose sensitivity is asked for.")] = None,
    points: Annotated[int, typer.Option(help="Points of sobol, trajectories of morris.")] = 16,
    free: FreeOption = None,
    behaviour: BehaviourOption = None,
    asked: AskedOption = None,
    samples: SamplesOption = None,
    prompt: PromptOption = None,
    variables: VariablesOption = None,
    actions: ActionsOption = None,
    devices: Annotated[int, typer.Option(help="Devices (cores, on a processor) that share the agents.", min=1)] = 1,
    out: OutOption = OUT,
    root_seed: RootOption = 0,
    json: JsonOption = False,
) -> int:
    """Simulate a population: totals, peaks and curves with bands over seeds; what-if differences with intervals."""
    os.environ.setdefault("JAX_NUM_CPU_DEVICES", str(devices))  # heeded only before JAX begins
    from shoal.populations import MODELS
    from shoal.populations.simulation import simulate as run
    from shoal.runs.folder import RunFolder

    kind = MODELS.get(model)
    settings, parameters = split(kind, {"agents": agents} if agents is not None else {}, set or [])
    chosen = kind(**settings)
    other_settings, changed = split(kind, {}, counterfactual or [])
    if other_settings:
        raise UnknownName("--counterfactual", next(iter(other_settings)), kind.parameters)
    chosen.check(parameters | changed)
    ranges = sensitivities.free_ranges(free or [])
    if sensitivity is not None:
        sensitivities.require_method(sensitivity)
    deciding = behaviours.choose(
        behaviour, asked, samples, prompt, variables, actions,
        kind=kind, agents=chosen.settings.agents, cache=out / "calls.sqlite", seed=root_seed,
    )  # fmt: skip
    if deciding is not None and sensitivity is not None:
        raise InputError("--sensitivity", sensitivity, "It has no --behaviour: leave one of the two out.")
    if deciding is not None and devices > 1:
        raise InputError("--devices", devices, "A --behaviour runs on one.")
    facts = {"kind": "simulation", "size": f"{chosen.settings.agents} agents, {steps} steps", "seeds": seeds}
    began = time.perf_counter()
    with console.progress_bar(f"simulate {model}", quiet=json) as progress:

        def arm(number: int, values: dict[str, Any], label: str) -> Decided:
            def told(done: int, total: int) -> None:
                progress(number * total + done, (2 if changed else 1) * total, label)

            if deciding is not None:
                return deciding.simulate(chosen, steps, seeds, values, told)
            return Decided(run(chosen, steps, seeds, values, world=root_seed, devices=devices, progress=told))

        first = arm(0, parameters, "")
        second = arm(1, parameters | changed, "what if") if changed else None
        plain, what_if = first.simulation, second.simulation if second is not None else None
        found = None
        if sensitivity is not None:
            found = sensitivities.analyse(
                plain, sensitivity, outcome, points, ranges, parameters, root_seed,
                progress=lambda done, total: progress(done, total, "sensitivity"),
            )  # fmt: skip
    folder = RunFolder.create(out, f"simulate-{model}", f"simulate-{model}-{time.time()}", **facts)
    (folder.path / "events").rmdir()
    document = _document(plain, what_if, parameters, changed) | {"run": str(folder.path)}
    if deciding is not None:
        arms = {"as set": first, "what if": second}
        document["behaviour"] = deciding.document(arms)
        behaviours.keep(arms, folder.path)
    _write(folder.path, plain, what_if)
    if found is not None:
        document["sensitivity"] = sensitivities.document(found)
        sensitivities.draw(found, folder.path / "sensitivity.png")
    folder.save(status="finished", finished=time.time(), summary=document)
    if json:
        console.print_json(document)
    else:
        _tell(document, time.perf_counter() - began)
    return 0


def split(
    kind: type[PopulationModel[Any, Any]], given: dict[str, Any], assignments: list[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Assignments as settings of the model and as its parameters; a name that is neither is refused."""
    settings, parameters = dict(given), {}
    for name, value in parse_assignments(assignments, "--set").items():
        if name in kind.parameters:
            parameters[name] = value
        elif name in kind.schema.model_fields:
            settings[name] = value
        else:
            raise UnknownName(f"setting of model {kind.name}", name, [*kind.schema.model_fields, *kind.parameters])
    return settings, parameters


def _document(
    plain: Simulation, what_if: Simulation | None, parameters: dict[str, Any], changed: dict[str, Any]
) -> dict[str, Any]:
    from shoal.stats import paired_difference

    names = [name for name, x in plain.series.items() if x.ndim == 2]
    document: dict[str, Any] = {
        "model": plain.model.name,
        "settings": plain.model.settings.model_dump(mode="json"),
        "parameters": parameters,
        "steps": plain.steps,
        "seeds": list(plain.seeds),
        "seconds": round(plain.seconds, 3),
        "build_seconds": round(plain.build_seconds, 3),
        "totals": {name: _estimate(plain.total(name)) for name in names},
        "peaks": {name: [_estimate(e) for e in plain.peak(name)] for name in names},
    }
    if what_if is not None:
        document["counterfactual"] = {
            "parameters": changed,
            "totals": {name: _estimate(what_if.total(name)) for name in names},
            "differences": {
                name: _estimate(paired_difference(what_if.outcome(name), plain.outcome(name))) for name in names
            },
        }
    return document


def _estimate(estimate: Estimate) -> dict[str, float]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def _write(folder: Path, plain: Simulation, what_if: Simulation | None) -> None:
    """Series as Parquet, curves and the model's own figures as pictures."""
    import polars as pl

    from shoal.runs.plots import new_figure, save_figures

    frames = [plain.frame().with_columns(arm=pl.lit("as set"))]
    if what_if is not None:
        frames.append(what_if.frame().with_columns(arm=pl.lit("what if")))
    pl.concat(frames).write_parquet(folder / "series.parquet")
    shown = [n for n, x in plain.series.items() if x.ndim == 2 and (x.any() or (what_if and what_if.series[n].any()))]
    columns = min(3, len(shown))
    figure, axes = new_figure(columns, -(-len(shown) // columns), 3.6, 2.4)
    for ax, name in zip(axes, shown, strict=False):
        for simulation, label in ((plain, "as set"), (what_if, "what if")):
            if simulation is None:
                continue
            middle, low, high = simulation.band(name)
            (line,) = ax.plot(middle, linewidth=1.2, label=label)
            ax.fill_between(range(len(middle)), low, high, color=line.get_color(), alpha=0.25, linewidth=0)
        ax.set_title(name, fontsize=9, loc="left")
        ax.set_xlabel("step", fontsize=8)
    for ax in axes[len(shown) :]:
        ax.set_visible(False)
    if what_if is not None:
        axes[0].legend(fontsize=7, frameon=False)
    figure.suptitle(f"{plain.model.name}: median and 5 to 95% of {len(plain.seeds)} runs", fontsize=9, x=0, ha="left")
    figure.savefig(folder / "series.png")
    save_figures(plain.model.figures(plain.series), folder)


def _tell(document: dict[str, Any], seconds: float) -> None:
    def cell(e: dict[str, float]) -> str:
        # One run has no spread to judge from.
        known = len(document["seeds"]) > 1
        return f"{e['value']:,.4g}" + (f" [{e['low']:,.4g}, {e['high']:,.4g}]" if known else "")

    what_if = document.get("counterfactual")
    columns = ["series", "total or last", "peak", "peak at step"]
    rows = []
    for name, total in document["totals"].items():
        height, when = document["peaks"][name]
        row = [name, cell(total), cell(height), f"{when['value']:.1f}"]
        if what_if:
            row.append(cell(what_if["differences"][name]))
        rows.append(row)
    if what_if:
        columns.append("difference, " + ", ".join(f"{k}={v}" for k, v in what_if["parameters"].items()))
    agents = document["settings"]["agents"]
    title = f"{document['model']}: {agents:,} agents, {document['steps']} steps, {len(document['seeds'])} runs"
    console.table(title, columns, rows, right=columns[1:])
    console.out.print("Means over runs with 95% intervals; of flows the sum over steps, of levels the last value.")
    if "behaviour" in document:
        behaviours.tell(document["behaviour"])
    if "sensitivity" in document:
        sensitivities.tell(document["sensitivity"])
    console.out.print(f"{seconds:.1f} s. {document['run']}", markup=False)
