"""`shoal diagnose` and `shoal traces`: what went wrong in a run, of shoal or of any other framework."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shoal.cli import console
from shoal.cli.execution import OUT, JsonOption
from shoal.errors import InputError, UnknownName

if TYPE_CHECKING:
    from shoal.diagnosis.attribution import Diagnosis
    from shoal.diagnosis.incident import AttributionMethod
    from shoal.diagnosis.sections import Section
    from shoal.traces.importers import Imported

LARGE = 64 * 2**20
"""Bytes from which a file of flat events is read as columns."""

traces_app = typer.Typer(help="Traces of any framework: import, export, show, listen.", no_args_is_help=True)

FormatOption = Annotated[
    str, typer.Option("--format", help="Format of the file; recognised from the content if left out.")
]
SecretsOption = Annotated[bool, typer.Option("--keep-secrets", help="Do not replace keys and tokens.")]


def diagnose(
    source: Annotated[
        str, typer.Argument(help="A run (id or last), a trace file of any framework, a folder, or sample:langgraph.")
    ],
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            help="Only this detector, or this analysis (diversity) as well; may be repeated. Or an attribution method: "
            "see shoal list attribution.",
        ),
    ] = None,
    run: Annotated[str, typer.Option("--run", help="One run (or task) of the file, by name.")] = "",
    failed: Annotated[
        bool | None, typer.Option("--failed/--succeeded", help="How the run ended, if the trace does not tell.")
    ] = None,
    model: Annotated[
        str, typer.Option(help="Ask this model: who used what, or what the attribution method of --with asks.")
    ] = "",
    truth: Annotated[
        str, typer.Option("--truth", help="The right answer of the task, for methods that ask a model; rarely known.")
    ] = "",
    page: Annotated[
        Path | None, typer.Option("--out", help="Where the HTML report goes; default diagnosis.html here.")
    ] = None,
    runs: Annotated[Path, typer.Option("--runs", help="Folder of run folders.")] = OUT,
    format: FormatOption = "",
    keep_secrets: SecretsOption = False,
    json: JsonOption = False,
) -> int:
    """Who caused the failure, at which step, and how sure that is; writes a report with graphs."""
    from shoal.diagnosis.report import write_report
    from shoal.diagnosis.sections import sections, split
    from shoal.diagnosis.verdict import document, summary

    path = _path(source, runs)
    method, others = _method(only or [])
    detectors, analyses = split(others)
    files = list(_read(path, format, keep_secrets))
    diagnoses = _diagnoses(files, detectors, run, failed, "" if method.asks else model)
    _convict(diagnoses, method, model, truth)
    extra = sections([d.conversation for d in diagnoses], analyses)
    diagnoses.sort(key=lambda d: (d.failed is not True, d.failed is not None))
    target = page or Path("diagnosis.html")
    notes = [note for file in files for note in _notes(file)][:20]
    write_report(target, source, diagnoses, notes, extra)
    if json:
        console.print_json(
            {
                "source": str(path),
                "files": [f.as_dict() for f in files],
                "summary": summary(diagnoses),
                "conversations": [document(d) for d in diagnoses],
                "analyses": {section.name: {"headline": section.headline, **section.document} for section in extra},
                "report": str(target),
            }
        )
        return 0
    _tell_verdict(diagnoses)
    for section in extra:
        _tell_section(section)
    for note in notes:
        console.err.print(note, style="yellow", markup=False, soft_wrap=True)
    console.out.print(f"\nreport {target}", markup=False)
    return 0


@traces_app.command("import")
def import_(
    file: Annotated[str, typer.Argument(help="A file or folder; the format is recognised from the content.")],
    to: Annotated[
        Path | None, typer.Option("--to", help="Write the events here: .jsonl, .parquet or .otlp.json.")
    ] = None,
    format: FormatOption = "",
    keep_secrets: SecretsOption = False,
    json: JsonOption = False,
) -> int:
    """Read traces of any framework; counts events, problems and secrets. Exit code 1 if nothing could be read."""
    from shoal.traces.exporters import export_trace, merged

    source = _sample(file.partition(":")[2]) if file.startswith("sample:") else Path(file)
    large = source.is_file() and source.stat().st_size >= LARGE
    if large and (found := _import_columns(source, to, format, keep_secrets)):
        if json:
            console.print_json(found)
        else:
            console.out.print(f"{found['count']} events, {found['problems']['total']} problems", markup=False)
        return 0
    files = list(_read(source, format, keep_secrets))
    count = sum(len(f.trace) for f in files)
    if to is not None and count:
        export_trace(merged(files), to)
    if json:
        console.print_json(_import_document(files, to if count else None))
        return 0 if count else 1
    console.table(
        "",
        ("file", "format", "events", "runs", "problems", "secrets replaced"),
        [(f.path.name, f.format, len(f.trace), len(f.runs), f.problems.total, sum(f.redacted.values())) for f in files],
        right=("events", "runs", "problems", "secrets replaced"),
    )
    for imported in files:
        for line in imported.problems.lines()[:10]:
            console.err.print(line, style="yellow", markup=False, soft_wrap=True)
    if to is not None and count:
        console.out.print(f"\nwritten {to}", markup=False)
    return 0 if count else 1


@traces_app.command("export")
def export(
    source: Annotated[str, typer.Argument(help="A run (folder, id or last) or a trace file of any framework.")],
    to: Annotated[Path, typer.Argument(help="Where to: .jsonl, .parquet or .otlp.json decides the form.")],
    form: Annotated[str, typer.Option("--as", help="jsonl, parquet or otlp, whatever the name ends in.")] = "",
    runs: Annotated[Path, typer.Option("--runs", help="Folder of run folders.")] = OUT,
    keep_secrets: SecretsOption = False,
    json: JsonOption = False,
) -> int:
    """Write a trace in another form: JSON Lines, Parquet or OpenTelemetry (OTLP JSON)."""
    from shoal.traces.exporters import export_trace, merged

    files = list(_read(_path(source, runs), "", keep_secrets))
    whole = merged(files)
    export_trace(whole, to, form)
    facts = {"count": len(whole.trace), "to": str(to), "redacted": sum(whole.redacted.values())}
    if json:
        console.print_json(facts)
    else:
        console.out.print(f"{facts['count']} events written to {to}", markup=False)
    return 0


@traces_app.command("show")
def show(
    source: Annotated[str, typer.Argument(help="A run (folder, id or last) or a trace file of any framework.")],
    run: Annotated[str, typer.Option("--run", help="One run of the file, by name.")] = "",
    agent: Annotated[str, typer.Option(help="Only this agent.")] = "",
    event: Annotated[str, typer.Option(help="This event, what it was made from and what was made from it.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="Most events to show.")] = 50,
    runs: Annotated[Path, typer.Option("--runs", help="Folder of run folders.")] = OUT,
    json: JsonOption = False,
) -> int:
    """Show the events of a trace, or one event with all that led to it and followed from it."""
    from shoal.diagnosis.conversation import quoted
    from shoal.traces.causality import Causality

    files = list(_read(_path(source, runs), "", False))
    events = [e for file in files for e in file.trace if run in ("", e.run)]
    if run and not events:
        raise UnknownName("run", run, {name for file in files for name in file.runs})
    facts: dict[str, Any] = {"count": len(events)}
    if event:
        index = Causality.of(events)
        above, below = index.ancestors(event), index.descendants(event)
        facts |= {"ancestors": above, "descendants": below}
        wanted = {event, *above, *below}
        events = [e for e in events if e.id in wanted]
    events = [e for e in events if agent in ("", e.agent)]
    if agent and not events:
        raise UnknownName("agent", agent, {e.agent for file in files for e in file.trace if e.agent})
    if json:
        console.print_json(facts | {"events": [e.as_dict() for e in events[:limit]]})
        return 0
    console.table(
        "",
        ("step", "event", "agent", "kind", "made from", "what it says"),
        [(e.step, e.id, e.agent, e.kind, ", ".join(e.parents), quoted(e, 90)) for e in events[:limit]],
        right=("step",),
    )
    if len(events) > limit:
        console.out.print(f"... and {len(events) - limit} more: --limit shows them", style="dim")
    return 0


@traces_app.command("listen")
def listen(
    to: Annotated[Path, typer.Argument(help="The trace file to write (.jsonl); continued if it exists.")] = Path(
        "events.jsonl"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on this machine; 0 takes a free one.")] = 4318,
    seconds: Annotated[float | None, typer.Option(min=0, help="Stop after so long; else with Ctrl-C.")] = None,
    keep_secrets: SecretsOption = False,
    json: JsonOption = False,
) -> int:
    """Receive OpenTelemetry spans (OTLP/HTTP) on this machine and write them as a trace."""
    from shoal.traces.receiver import receive

    def ready(url: str) -> None:
        console.err.print(
            f"listening: set OTEL_EXPORTER_OTLP_ENDPOINT={url} (http/protobuf or http/json)", markup=False
        )

    facts = receive(to, port=port, seconds=seconds, redact=not keep_secrets, ready=ready)
    if json:
        console.print_json(facts)
    else:
        console.out.print(f"{facts['count']} events of {facts['requests']} requests written to {to}", markup=False)
    return 0


def _path(source: str, runs: Path) -> Path:
    """A file or folder as given, the events of a run, or a sample that comes with shoal (``sample:NAME``)."""
    from shoal.runs.folder import find_run

    if source.startswith("sample:"):
        return _sample(source.partition(":")[2])
    path = Path(source)
    if path.is_file() or (path.is_dir() and not (path / "run.json").is_file()):
        return path
    try:
        return find_run(runs, source).path / "events.jsonl"
    except UnknownName:
        if "/" in source or path.suffix:
            raise InputError("source", source, "There is no such file, folder or run.") from None
        raise


def _sample(name: str) -> Path:
    import shoal.diagnosis

    files = {p.stem: p for p in (Path(shoal.diagnosis.__path__[0]) / "samples").glob("*.jsonl")}
    if name not in files:
        raise UnknownName("sample", name, files)
    return files[name]


def _read(path: Path, format: str, keep_secrets: bool) -> list[Imported]:
    from shoal.traces.importers import import_traces

    return list(import_traces(path, format, redact=not keep_secrets))


def _import_columns(source: Path, to: Path | None, format: str, keep_secrets: bool) -> dict[str, Any] | None:
    """A large file of flat events, read as columns; None for other formats, which go event by event."""
    from shoal.traces.importers import recognise
    from shoal.traces.importers.source import Source
    from shoal.traces.problems import Problems
    from shoal.traces.table import read_table, write_table

    chosen = recognise(Source(source, Problems()))
    if chosen is None or format not in ("", chosen.name) or chosen.name not in ("chat", "shoal"):
        return None
    table = read_table(source, redact=not keep_secrets)
    if to is not None:
        write_table(table, to)
    problems = table.problems.as_dict() | {"located": [str(p) for p in table.problems.located[:100]]}
    runs = [
        {"file": str(source), "run": r["run"], "events": r["events"]} for r in table.by("run").iter_rows(named=True)
    ]
    return {
        "count": len(table), "format": chosen.name, "problems": problems, "runs": runs[:10_000],
        "redacted": sum(table.redacted.values()), "written": str(to) if to is not None else None,
    }  # fmt: skip


def _diagnoses(
    files: list[Imported], only: list[str], run: str, failed: bool | None, model: str
) -> list[Diagnosis]:  # fmt: skip
    from shoal.diagnosis.attribution import examine
    from shoal.diagnosis.conversation import conversations

    views = []
    for file in files:
        for view in conversations(file.trace):
            known = file.labels.get(view.run, {})
            if view.correct is None and isinstance(known.get("is_correct"), bool):
                view.correct = known["is_correct"]
            views.append(view)
    if not views:
        problems = "; ".join(dict.fromkeys(str(p) for f in files for p in f.problems.located[:3]))
        raise InputError("source", str(files[0].path) if files else "", f"It holds no events. {problems}")
    if run:
        chosen = [c for c in views if c.run == run or c.run.endswith(f"/{run}")]
        if not chosen:
            raise UnknownName("run", run, [c.run for c in views])
        views = chosen
    return [examine(c, failed=failed, only=tuple(only), graph=_asked(c, model) if model else None) for c in views]


def _method(chosen: list[str]) -> tuple[AttributionMethod, list[str]]:
    """The attribution method among the names after --with (the default without one), and the other names."""
    from shoal.diagnosis.attribution import METHOD
    from shoal.diagnosis.findings import DETECTORS
    from shoal.diagnosis.incident import ATTRIBUTION
    from shoal.diagnosis.sections import ANALYSES

    known = [*DETECTORS, *ANALYSES, *ATTRIBUTION]
    for name in chosen:
        if name.partition(":")[0] not in known:
            raise UnknownName("--with", name, known)
    methods = [name for name in chosen if name in ATTRIBUTION]
    if len(methods) > 1:
        raise InputError("--with", " and ".join(methods), "Give one attribution method at a time.")
    return ATTRIBUTION.get(methods[0] if methods else METHOD), [name for name in chosen if name not in ATTRIBUTION]


def _convict(diagnoses: list[Diagnosis], method: AttributionMethod, spec: str, truth: str) -> None:
    """Rank the suspects of all diagnoses, those of a method that asks all at the same time."""
    import asyncio

    from shoal.diagnosis.attribution import convict, incident_of
    from shoal.diagnosis.incident import asked_blame
    from shoal.diagnosis.inquiry import ModelJudge
    from shoal.models import open_model

    told = [d for d in diagnoses if d.conversation.steps]
    model = open_model(spec) if spec and method.asks else None

    async def one(diagnosis: Diagnosis) -> None:
        judge = ModelJudge(model, truth or None) if model is not None else None
        incident = replace(incident_of(diagnosis), judge=judge)
        convict(diagnosis, await asked_blame(method.name, incident), method.name)
        if judge is not None:
            diagnosis.unread = judge.unparsed + sum(judge.lost.values())

    async def everything() -> None:
        try:
            await asyncio.gather(*(one(d) for d in told))
        finally:
            if model is not None:
                await model.aclose()

    asyncio.run(everything())


def _asked(conversation: Any, spec: str) -> Any:
    import asyncio

    from shoal.diagnosis.usage import extracted_by, usage_graph
    from shoal.models import open_model

    async def ask() -> Any:
        model = open_model(spec)
        try:
            return usage_graph(conversation, await extracted_by(model, conversation))
        finally:
            await model.aclose()

    return asyncio.run(ask())


def detector_rows() -> list[dict[str, Any]]:
    """The detectors as rows of `shoal list detectors`."""
    from shoal.diagnosis.findings import DETECTORS

    return [
        {"name": name, "what": d.title, "scored on": ", ".join(d.faults) or "-", "live": "yes" if d.live else "no"}
        for name, d in DETECTORS.items()
    ]


def attribution_rows() -> list[dict[str, Any]]:
    """The attribution methods as rows of `shoal list attribution`."""
    from shoal.diagnosis.incident import ATTRIBUTION

    return [
        {"name": name, "asks a model": "yes" if m.asks else "no", "what": m.title} for name, m in ATTRIBUTION.items()
    ]


def _notes(file: Imported) -> list[str]:
    found = [f"{file.path.name}: {n} x {kind}" for kind, n in file.problems.counts.items()]
    if file.redacted:
        found.append(f"{file.path.name}: {sum(file.redacted.values())} secrets replaced")
    return found


def _tell_verdict(diagnoses: list[Diagnosis]) -> None:
    """All conversations in a table, if there are several, and the worst one in words."""
    from shoal.diagnosis.verdict import lines, worst

    if len(diagnoses) > 1:
        _tell_many(diagnoses)
    shown = worst(diagnoses)
    console.out.print(shown.conversation.run, style="bold", markup=False)
    for line in lines(shown):
        console.out.print(line, markup=False, soft_wrap=True)


def _tell_many(diagnoses: list[Diagnosis]) -> None:
    from shoal.diagnosis.verdict import summary

    whole = summary(diagnoses)
    console.out.print(
        f"{whole['conversations']} conversations: {whole['failed']} failed, {whole['unknown']} of unknown outcome",
        markup=False,
    )
    console.table(
        "",
        ("agent", "blame (confidence, summed)"),
        [(row["agent"] or "(run)", f"{row['confidence']:.2f}") for row in whole["blame"]],
        right=("blame (confidence, summed)",),
    )
    console.out.print("\nThe one to look at first:\n")


def _tell_section(section: Section) -> None:
    console.out.print(f"\n{section.name}: {section.headline}", markup=False, soft_wrap=True)
    for bar in section.bars:
        console.out.print(f"  {bar.label:<16} {'#' * round(40 * bar.share):<40} {bar.figure}", markup=False)
    for line in section.lines:
        console.out.print(f"  {line}", markup=False, soft_wrap=True)


def _import_document(files: list[Imported], to: Path | None) -> dict[str, Any]:
    """Counts over all files; ``format`` is one name, or a list where files differ."""
    formats = list(dict.fromkeys(f.format for f in files))
    kinds: dict[str, int] = {}
    for file in files:
        for kind, n in file.problems.counts.items():
            kinds[kind] = kinds.get(kind, 0) + n
    return {
        "count": sum(len(f.trace) for f in files),
        "format": formats[0] if len(formats) == 1 else formats,
        "problems": {
            "total": sum(kinds.values()),
            "counts": kinds,
            "located": [str(p) for f in files for p in f.problems.located[:100]],
        },
        "runs": [{"file": str(f.path), **row} for f in files for row in f.as_dict()["runs"]],
        "redacted": sum(sum(f.redacted.values()) for f in files),
        "files": [{k: v for k, v in f.as_dict().items() if k != "runs"} for f in files],
        "written": str(to) if to is not None else None,
    }
