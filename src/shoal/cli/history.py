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
    run: Annotated[str, typer.Argument(help="A run folder, its id or the start of it, last, or a trace file.")],
    to: Annotated[
        Path | None, typer.Option("--to", help="File to write; default report.html in the run's folder.")
    ] = None,
    out: OutOption = OUT,
    json: JsonOption = False,
) -> int:
    """Write all views of a run, or of a trace file, as one HTML file that needs no server; show the run's claims."""
    from shoal.ui.report.page import Subject, open_subject, usual_target, write_report

    path = Path(run)
    subject: Subject = open_subject(path if path.exists() else find_run(out, run).path)
    written = write_report(subject, to if to is not None else usual_target(subject))
    folder = subject.run
    document = {
        "id": subject.name,
        "status": folder.status() if folder else None,
        "run_dir": str(subject.folder),
        "report": str(written.path),
        "bytes": written.bytes,
        "left_out": written.left_out,
        "plots": [str(p) for p in sorted((subject.folder / "plots").glob("*.png"))],
        "claims": folder.info.get("claims", []) if folder else [],
        "failures": folder.info.get("failures", []) if folder else [],
        "skipped": folder.info.get("skipped", {}) if folder else {},
        "finished_trials": len(folder.trials()) if folder else 0,
    }
    if json:
        console.print_json(document)
    else:
        _tell_report(document)
    return 0


def _tell_report(document: dict[str, Any]) -> None:
    if document["status"] is not None:
        trials = f", {document['finished_trials']} finished trials" if document["finished_trials"] else ""
        console.out.print(f"[bold]{document['id']}[/bold]  {document['status']}{trials}")
    if document["claims"]:
        rows = [(c["id"], console.verdict_text(c["verdict"]), c["statement"]) for c in document["claims"]]
        console.table("", ("claim", "verdict", "statement"), rows)
    if document["status"] in ("interrupted", "stopped", "running"):
        console.out.print("Unfinished: run the same command again to finish the run.", style="yellow")
    for line in document["left_out"]:
        console.out.print(line, markup=False)
    console.out.print(f"report {document['report']} ({document['bytes'] / 1e6:.1f} MB)", markup=False, soft_wrap=True)


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
