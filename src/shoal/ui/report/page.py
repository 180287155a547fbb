"""One HTML file with all views of a run, or of a trace file: to be opened or sent, without a server or a network.

The page's own scripts and styles are copied into it, and what they show as JSON beside them. A content security policy
admits these scripts by their hashes and nothing else, so nothing that an agent said can run or be fetched. Windows of
the trace are made by a twin of the server's code in JavaScript (static/trace_windows.js) rather than from levels made
beforehand: those could not be filtered or searched, and the twin is 150 lines that a test holds against the original.
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shoal.errors import InputError, StorageError
from shoal.runs.flowchart import flowchart
from shoal.runs.folder import RunFolder, write_atomically
from shoal.ui.documents import run_document
from shoal.ui.report.blocks import Section, cell, png, table_of
from shoal.ui.report.diagnosis import diagnosis_document, fork_section
from shoal.ui.report.games import game_sections
from shoal.ui.report.populations import population_sections
from shoal.ui.report.replay_data import episodes_of
from shoal.ui.report.trace_data import embedded, trace_document
from shoal.ui.trace_costs import by_agent, by_edge
from shoal.ui.trace_index import READABLE, Document, TraceIndex, event_files, read_index
from shoal.ui.wording import VERDICT_MARKS, estimate, needed

STATIC = Path(__file__).parents[1] / "static"
SCRIPTS = (
    "shoal.js", "trace.js", "trace_windows.js", "trace_walk.js", "trace_verdicts.js", "replay.js", "report.js",
)  # fmt: skip
STYLES = ("shoal.css", "report.css")
MOST_PICTURES = 3_000_000
"""Bytes of the run's own pictures together."""
REDRAWN = ("series.png",)
"""Pictures of runs that the report draws anew from their data."""


@dataclass
class Subject:
    """What a report is about.

    Attributes:
        path: a run's folder, another folder with events, or a trace file.
        run: the run; None for the others.
        index: its trace; None where it has none.
    """

    path: Path
    run: RunFolder | None = None
    index: TraceIndex | None = None

    @property
    def name(self) -> str:
        """Of the run, the folder or the file."""
        return self.path.resolve().name

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return self.path if self.path.is_dir() else self.path.parent


@dataclass
class Written:
    """A report.

    Attributes:
        path: where it is.
        bytes: its size.
        left_out: what is not in it, a line each.
    """

    path: Path
    bytes: int
    left_out: list[str] = field(default_factory=list)


def open_subject(path: Path) -> Subject:
    """What lies there: a run, a folder with events.jsonl, or a trace file. Raises InputError for anything else."""
    run = RunFolder.load(path) if (path / "run.json").is_file() else None
    if path.is_file() and path.suffix.lower() not in READABLE:
        raise InputError("trace", str(path), f"Give a file that ends in {', '.join(READABLE)}, or a run.")
    files = event_files(path) if path.is_dir() else (path,)
    if run is None and not (files and all(file.is_file() for file in files)):
        raise InputError("run", str(path), "Give a run as `shoal runs` lists them, or a trace file.")
    index = read_index(files) if files else None
    if run is None and (index is None or not len(index)):
        problems = "; ".join(index.problems[:1]) if index is not None else ""
        raise InputError("trace", str(path), problems or "It holds no events.")
    return Subject(path, run, index)


def usual_target(subject: Subject) -> Path:
    """Where its report goes if nothing else is said: into the run's folder, or beside the trace file."""
    if subject.path.is_dir():
        return subject.path / "report.html"
    return subject.path.with_name(f"{subject.path.stem}-report.html")


def write_report(subject: Subject, target: Path) -> Written:
    """Write the report of a subject.

    Raises:
        InputError: the target cannot be written.
    """
    if target.is_dir() or not target.parent.is_dir():
        raise InputError("--to", str(target), "Name a file in a folder that exists.")
    if subject.path.is_file() and target.resolve() == subject.path.resolve():
        raise InputError("--to", str(target), "That is the trace itself; name another file.")
    page, left_out = report_html(subject)
    data = page.encode("utf-8", "replace")
    try:
        write_atomically(target, data)
    except StorageError as error:
        raise InputError(
            "--to", str(target), f"It cannot be written ({error.__cause__}); name another file."
        ) from error
    return Written(target, len(data), left_out)


def report_html(subject: Subject) -> tuple[str, list[str]]:
    """The report as text, and what is not in it."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    trace, diagnosis, trace_notes = _trace(subject)
    episodes, replay_notes = _episodes(subject)
    pictures = _pictures(subject.folder) if subject.path.is_dir() else Section("figures", "Figures")
    scripts = {name: (STATIC / name).read_text() for name in SCRIPTS}
    environment = Environment(loader=PackageLoader("shoal.ui", "templates"), autoescape=True, undefined=StrictUndefined)
    environment.filters["estimate"] = estimate
    environment.filters["needed"] = needed
    page = environment.get_template("report.html").render(
        head=_head(subject),
        policy=_policy(scripts.values()),
        styles=Markup("\n".join((STATIC / name).read_text() for name in STYLES)),
        scripts=[Markup(text) for text in scripts.values()],
        marks=VERDICT_MARKS,
        claims=run_document(subject.run)["claims"] if subject.run is not None else [],
        mechanism=_mechanism(subject.run),
        sections=[section for section in (fork_section(subject.run), *_found(subject), pictures) if section],
        trace=Markup(embedded(trace)) if trace is not None else None,
        diagnosis=Markup(embedded(diagnosis)) if diagnosis is not None else None,
        trace_notes=trace_notes,
        episodes=Markup(embedded(episodes)) if episodes else None,
        episode_names=[episode["name"] for episode in episodes],
        replay_notes=replay_notes,
        after=[section for section in (_costs(subject), _troubles(subject), _made(subject)) if section],
    )
    return page, [*pictures.notes, *trace_notes, *replay_notes]


def _policy(scripts: Any) -> str:
    """Only these scripts run, and nothing is fetched from anywhere."""
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _head(subject: Subject) -> Mapping[str, Any]:
    """Title and first facts."""
    info = subject.run.info if subject.run is not None else {}
    facts = {"run" if subject.run is not None else "file": subject.name}
    facts |= {name: str(info[name]) for name in ("kind", "paper", "size", "learner", "world") if info.get(name)}
    if subject.run is not None:
        facts["status"] = subject.run.status()
        facts["started"] = time.strftime("%Y-%m-%d %H:%M", time.localtime(float(info["created"])))
    if subject.index is not None:
        facts["events"] = f"{len(subject.index):,} of {len([a for a in subject.index.agents if a]):,} agents"
    title = str(info.get("title") or info.get("name") or subject.name)
    return {"title": title, "facts": facts, "summary": _summary(subject.run)}


def _study(run: RunFolder | None) -> Any:
    """The system that a run is of, where the catalogue has it."""
    from shoal.studies.catalogue import catalogue

    return catalogue().get(str(run.info.get("name"))) if run is not None and run.info.get("kind") == "study" else None


def _summary(run: RunFolder | None) -> str:
    study = _study(run)
    return study.summary if study is not None else ""


def _mechanism(run: RunFolder | None) -> dict[str, Any]:
    """The picture of the mechanism for wide and narrow screens; ``flowchart`` escapes all text."""
    from markupsafe import Markup

    study = _study(run)
    if study is None or not study.mechanism:
        return {}
    return {
        "wide": Markup(flowchart(study.mechanism, study.title)),
        "narrow": Markup(flowchart(study.mechanism, study.title, upright=True)),
    }


def _found(subject: Subject) -> list[Section]:
    """What was measured, by the kind of run."""
    sections = []
    if subject.run is not None:
        means = [
            {"experiment": row["experiment"], "variant": row["variant"], "metric": row["metric"],
             "mean [95%]": estimate(row, "mean"), "seeds": row["seeds"]}
            for row in run_document(subject.run)["means"]
        ]  # fmt: skip
        if means:
            sections.append(Section("measurements", "Measurements", [table_of("Means over seeds", means)]))
        sections += population_sections(subject.run)
    if subject.path.is_dir():
        sections += game_sections(subject.path, subject.index.events if subject.index is not None else ())
    return sections


def _pictures(folder: Path) -> Section:
    """Pictures that the run keeps, as far as MOST_PICTURES reaches."""
    section, size, left = Section("figures", "Figures"), 0, 0
    for path in [*sorted((folder / "plots").glob("*.png")), *sorted(folder.glob("*.png"))]:
        if path.name in REDRAWN and (folder / "series.parquet").is_file():
            continue
        data = path.read_bytes()
        size += len(data)
        if size > MOST_PICTURES:
            left += 1
        else:
            section.blocks.append(png(path.stem.replace("_", " ").replace("-", " "), data))
    if left:
        section.notes.append(f"{left} more pictures are left out; the run's folder has them.")
    return section


def _trace(subject: Subject) -> tuple[Document | None, Document | None, list[str]]:
    """The trace as the report holds it, its diagnosis, and what is left out."""
    index = subject.index
    if index is None or not len(index):
        return None, None, []
    document, kept = trace_document(index)
    if kept == len(index):
        return document, diagnosis_document(subject.path, index), []
    how = "`shoal ui` shows all of them, and `shoal diagnose` reads them"
    return document, None, [f"The first {kept:,} of {len(index):,} events are here; {how}."]


def _episodes(subject: Subject) -> tuple[list[Document], list[str]]:
    """Replays of the episodes that a training recorded."""
    if not subject.path.is_dir() or subject.index is None or not (subject.path / "checkpoints").is_dir():
        return [], []
    steps = [event.payload for event in subject.index.events if event.kind == "world.step"]
    return episodes_of(subject.path, steps) if steps else ([], [])


def _costs(subject: Subject) -> Section:
    """Tokens and cost by agent, and by edge between agents."""
    section = Section("costs", "Tokens and cost")
    index = subject.index
    if index is None or not index.spent.any():
        return section
    places = index.of_part("")
    section.blocks = [table_of("By agent", by_agent(index, places)), table_of("By edge", by_edge(index, places))]
    return section


def _troubles(subject: Subject) -> Section:
    """What was not run, what failed, what could not be read."""
    section = Section("problems", "Problems")
    info = subject.run.info if subject.run is not None else {}
    section.notes = [f"Not run: {name}: {reason}" for name, reason in info.get("skipped", {}).items()]
    for trial in info.get("failures", [])[:50]:
        last = str(trial.get("error", "")).strip().rpartition("\n")[2]
        section.notes.append(f"Failed: {trial['experiment']} / {trial['variant']} / seed {trial['seed']}: {last}")
    if subject.index is not None:
        section.notes += [f"Not readable: {problem}" for problem in subject.index.problems[:20]]
    return section


def _made(subject: Subject) -> Section:
    """Settings, models, seeds, machine and versions."""
    section = Section("made", "How it was made")
    info = subject.run.info if subject.run is not None else {}
    rows: dict[str, Any] = {**info.get("config", {}), **info.get("summary", {}).get("settings", {})}
    rows |= {f"model of {name}": spec for name, spec in info.get("models", {}).items()}
    rows |= {name: info[name] for name in ("seeds", "root_seed") if name in info}
    rows |= {f"used: {name.replace('_', ' ')}": value for name, value in info.get("usage", {}).items()}
    rows |= {f"machine: {name}": value for name, value in info.get("machine", {}).items()}
    rows |= {f"version of {name}": value for name, value in info.get("versions", {}).items()}
    if rows:
        section.blocks.append(table_of("Settings", [{"what": k, "value": cell(v)} for k, v in rows.items()]))
    return section
