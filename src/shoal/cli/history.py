"""`shoal runs`, `shoal report` and `shoal diff`: what was run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from shoal.cli import console
from shoal.cli.execution import OUT, JsonOption, OutOption
from shoal.errors import InputError
from shoal.runs.folder import find_run, list_runs
from shoal.traces import Divergence, Event, Trace, divergence_by_agent, first_divergence, read_trace


def runs(out: OutOption = OUT, json: JsonOption = False) -> int:
    """List the runs, oldest first."""
    rows = []
    for folder in list_runs(out):
        info = folder.info
        verdicts = [c["verdict"] for c in info.get("claims", [])]
        rows.append(
            {
                "id": info["id"],
                "name": info["name"],
                "size": info.get("size"),
                "status": folder.status(),
                "created": info["created"],
                "seconds": round(info["finished"] - info["created"], 1) if info.get("finished") else None,
                "usage": info.get("usage", {}),
                "verdicts": {v: verdicts.count(v) for v in dict.fromkeys(verdicts)},
            }
        )
    if json:
        console.print_json(rows)
        return 0
    if not rows:
        console.out.print(f"No runs in {out}. shoal run NAME makes one; shoal list shows the names.", markup=False)
        return 0
    console.table(
        "",
        ("id", "size", "status", "started", "seconds", "verdicts"),
        [
            (r["id"], r["size"], r["status"], time.strftime("%Y-%m-%d %H:%M", time.localtime(r["created"])),
             r["seconds"] or "-", ", ".join(f"{n} {v}" for v, n in r["verdicts"].items()) or "-")
            for r in rows
        ],
        right=("seconds",),
    )  # fmt: skip
    return 0


def report(
    run: Annotated[str, typer.Argument(help="A run folder, its id or the start of it, or last.")],
    out: OutOption = OUT,
    json: JsonOption = False,
) -> int:
    """Show a run's claims and where its self-contained report.html is."""
    folder = find_run(out, run)
    info = folder.info
    page = folder.path / "report.html"
    document = {
        "id": info["id"],
        "status": folder.status(),
        "run_dir": str(folder.path),
        "report": str(page) if page.exists() else None,
        "plots": [str(p) for p in sorted((folder.path / "plots").glob("*.png"))],
        "claims": info.get("claims", []),
        "failures": info.get("failures", []),
        "skipped": info.get("skipped", {}),
        "finished_trials": len(folder.trials()),
    }
    if json:
        console.print_json(document)
        return 0
    console.out.print(f"[bold]{info['id']}[/bold]  {document['status']}, {document['finished_trials']} finished trials")
    console.table(
        "",
        ("claim", "verdict", "statement"),
        [(c["id"], console.verdict_text(c["verdict"]), c["statement"]) for c in document["claims"]],
    )
    if document["report"]:
        console.out.print(f"\nreport {page}", markup=False)
    elif document["plots"]:  # trainings have pictures and no page
        console.out.print("\n" + "\n".join(f"plot {plot}" for plot in document["plots"]), markup=False)
    else:
        console.out.print("\nNo report yet: run the same command again to finish the run.", style="yellow")
    return 0


def diff(
    left: Annotated[str, typer.Argument(help="A run folder, id, last, or a trace file.")],
    right: Annotated[str, typer.Argument(help="Another one.")],
    out: OutOption = OUT,
    json: JsonOption = False,
) -> int:
    """Where two runs first part: as a whole, and for each agent. Exit code 1 if they differ."""
    one, two = _trace(out, left), _trace(out, right)
    whole = first_divergence(one, two)
    lanes = divergence_by_agent(one, two)
    if json:
        console.print_json(
            {
                "same": whole is None,
                "events": [len(one), len(two)],
                "first": _as_dict(whole),
                "by_agent": [_as_dict(d) for d in lanes],
            }
        )
        return 0 if whole is None else 1
    if whole is None:
        console.out.print(f"The runs say the same: {len(one)} events, in the same order.")
        return 0
    console.out.print(f"They part after {whole.position} equal events ({len(one)} and {len(two)} in all).")
    console.table(
        "",
        ("agent", "equal events", "differs in", "first run", "second run"),
        [
            (d.agent or "(run)", d.position, ", ".join(d.fields), _short(d.left), _short(d.right))
            for d in [whole, *lanes]
        ],
        right=("equal events",),
    )
    return 1


def _trace(out: Path, name: str) -> Trace:
    path = Path(name)
    if not path.is_file():
        return read_trace(find_run(out, name).path / "events.jsonl")
    from shoal.traces.importers import import_trace

    imported = import_trace(path)
    if not len(imported.trace):
        raise InputError("trace", name, "; ".join(imported.problems.lines()[:2]))
    return imported.trace


def _as_dict(difference: Divergence | None) -> dict[str, Any] | None:
    if difference is None:
        return None
    return {
        "agent": difference.agent,
        "position": difference.position,
        "fields": list(difference.fields),
        "left": difference.left.as_dict() if difference.left else None,
        "right": difference.right.as_dict() if difference.right else None,
    }


def _short(event: Event | None) -> str:
    if event is None:
        return "(ended)"
    text = str(event.payload.get("text") or event.payload.get("content") or event.payload)
    return f"{event.kind}: {text[:100]}{'...' if len(text) > 100 else ''}"
