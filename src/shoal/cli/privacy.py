"""`shoal private`: a population model simulated in shares, beside the open run on the same random numbers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shoal.cli import console
from shoal.cli.execution import OUT, JsonOption, OutOption, RootOption, SetOption
from shoal.cli.simulation import split
from shoal.errors import InputError

if TYPE_CHECKING:
    from shoal.populations import Simulation
    from shoal.populations.private import GaussianNoise, PrivateSimulation


def private(
    model: Annotated[
        str, typer.Argument(help="A decentralised population model: contagion or epidemic.")
    ] = "contagion",
    agents: Annotated[int, typer.Option(help="Number of agents.")] = 2000,
    steps: Annotated[int, typer.Option(help="Steps (days) to simulate.")] = 60,
    seeds: Annotated[int, typer.Option(help="Runs that differ in what chance decides.")] = 1,
    protocol: Annotated[
        str, typer.Option(help="shares among neighbours, or servers that know who meets whom.")
    ] = "shares",
    servers: Annotated[int, typer.Option(help="Helper servers.")] = 3,
    watch: Annotated[
        list[int] | None, typer.Option(help="Party whose received messages are kept (servers are -1, -2, ...).")
    ] = None,
    epsilon: Annotated[
        float | None, typer.Option(help="Differential privacy of each revealed figure; none if not given.")
    ] = None,
    delta: Annotated[float, typer.Option(help="Its other parameter.")] = 1e-5,
    set: SetOption = None,
    out: OutOption = OUT,
    root_seed: RootOption = 0,
    json: JsonOption = False,
) -> int:
    """Simulate in shares: what is revealed, what was sent, and how far it is from the open run."""
    from shoal.populations import MODELS, simulate
    from shoal.populations.private import GaussianNoise, simulate_privately
    from shoal.runs.folder import RunFolder

    kind = MODELS.get(model)
    settings, parameters = split(kind, {"agents": agents}, set or [])
    chosen = kind(**settings)
    _require_parties(watch or [], agents, servers)
    noise = None if epsilon is None else GaussianNoise(epsilon, delta)
    began = time.perf_counter()
    hidden = simulate_privately(
        chosen, steps, seeds, parameters, protocol=protocol, servers=servers, noise=noise, watched=watch or (),
        world=root_seed,
    )  # fmt: skip
    plain = simulate(chosen, steps, seeds, parameters, world=root_seed)
    size = f"{agents} agents, {steps} steps"
    folder = RunFolder.create(
        out, f"private-{model}", f"private-{model}-{time.time()}", kind="simulation", size=size, seeds=seeds
    )
    (folder.path / "events").rmdir()
    document = _document(hidden, plain, protocol, noise) | {"run": str(folder.path)}
    hidden.frame().write_parquet(folder.path / "series.parquet")
    hidden.log.frame().write_parquet(folder.path / "messages.parquet")
    folder.save(status="finished", finished=time.time(), summary=document)
    if json:
        console.print_json(document)
    else:
        _tell(document, time.perf_counter() - began)
    return 0


def _require_parties(parties: list[int], agents: int, servers: int) -> None:
    for party in parties:
        if not -servers <= party < agents:
            raise InputError("--watch", party, f"Agents are 0 to {agents - 1}, servers -1 to {-servers}.")


def _document(
    hidden: PrivateSimulation, plain: Simulation, protocol: str, noise: GaussianNoise | None
) -> dict[str, Any]:
    return {
        "model": hidden.model.name,
        "settings": hidden.model.settings.model_dump(mode="json"),
        "protocol": protocol,
        "steps": hidden.steps,
        "seeds": list(hidden.seeds),
        "noise": None if noise is None else noise.deviation,
        "totals": {name: hidden.total(name).value for name in hidden.series},
        "largest_difference": {name: float(abs(x - plain.series[name]).max()) for name, x in hidden.series.items()},
        "messages": dict(hidden.log.counts),
        "bytes": hidden.log.bytes,
        "revealing": hidden.revealing,
        "seconds": round(hidden.seconds, 3),
        "open_seconds": round(plain.seconds, 3),
    }


def _tell(document: dict[str, Any], seconds: float) -> None:
    differences = document["largest_difference"]
    rows = [[name, f"{total:,.6g}", f"{differences[name]:.6g}"] for name, total in document["totals"].items()]
    title = f"{document['model']} in shares: {document['settings']['agents']:,} agents, {document['steps']} steps"
    console.table(title, ["revealed", "total", "largest difference from the open run"], rows, right=["total"])
    sent = ", ".join(f"{count:,} {kind}" for kind, count in document["messages"].items())
    console.out.print(f"Messages: {sent}; {document['bytes'] / 2**20:.1f} MiB.", markup=False)
    console.out.print(
        f"On {document['revealing']:.0%} of agents' days the sum alone told who of the neighbours was infectious.",
        markup=False,
    )
    console.out.print(f"{seconds:.1f} s. {document['run']}", markup=False)
