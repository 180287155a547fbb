"""`shoal list` and `shoal show`: what there is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Annotated, Any

import typer

from shoal.cli import console
from shoal.cli.diagnosis import attribution_rows, detector_rows
from shoal.cli.learners import learner_entry, learner_names, learners, tell_learner
from shoal.cli.playing import game_names, games, is_game, show_game, strategies
from shoal.errors import InputError, UnknownName
from shoal.runs.study import SIZES, Study

VOCABULARY = ("actor", "type", "structure", "strategy", "protocol")


def list_studies(
    what: Annotated[
        str,
        typer.Argument(
            help="systems, teams, tasks, worlds, learners, communication, games, strategies (of games), populations, "
            "detectors, attribution (methods) or methods (of post-training)."
        ),
    ] = "systems",
    kind: Annotated[str | None, typer.Option(help="Only systems of this kind (team, benchmark, survey, ...).")] = None,
    engine: Annotated[str | None, typer.Option(help="Only systems of this engine.")] = None,
    actor: Annotated[str | None, typer.Option(help="Collaboration vocabulary: who acts.")] = None,
    type: Annotated[str | None, typer.Option(help="Collaboration vocabulary: cooperation, competition, ...")] = None,
    structure: Annotated[str | None, typer.Option(help="Collaboration vocabulary: centralized, ...")] = None,
    strategy: Annotated[str | None, typer.Option(help="Collaboration vocabulary: rule-based, role-based, ...")] = None,
    protocol: Annotated[str | None, typer.Option(help="Collaboration vocabulary: vote, debate, ...")] = None,
    word: Annotated[
        list[str] | None,
        typer.Option("--word", help="Of communication: who=, whom=, what=, when=, why= or how=VALUE; may be repeated."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> int:
    """List the systems with the verdicts of their committed standard runs; or what else there is."""
    if word and what != "communication":
        raise InputError("--word", word[0], "It filters `shoal list communication`.")
    if what == "communication":
        return _list_communication(word or [], json)
    if what != "systems":
        return _list_parts(what, json)

    words = {"actor": actor, "type": type, "structure": structure, "strategy": strategy, "protocol": protocol}
    rows = [entry(s) for s in _chosen({"kind": kind, "engine": engine}, words)]
    if json:
        console.print_json(rows)
        return 0
    console.table(
        "",
        ("name", "title", "kind", "paper", "evidence", "verdicts"),
        [
            (r["name"], r["title"], r["kind"], r["paper"], ", ".join(r["evidence"]), _counts(r["verdicts"]))
            for r in rows
        ],
    )
    console.out.print("\nshoal show NAME tells more; shoal run NAME runs it.", style="dim")
    return 0


def _chosen(facts: Mapping[str, str | None], words: Mapping[str, str | None]) -> list[Study[Any]]:
    """Systems of those facts (kind, engine) and words of the vocabulary; None for any."""
    from shoal.studies.catalogue import catalogue

    everything = list(catalogue().values())
    studies = everything
    for field, value in facts.items():
        if value is not None:
            known = {getattr(s, field) for s in everything}
            if value not in known:
                raise UnknownName(f"--{field}", value, known)
            studies = [s for s in studies if getattr(s, field) == value]
    for field, value in words.items():
        if value is not None:
            studies = _with_word(studies, everything, field, value)
    return studies


def _list_parts(what: str, json: bool) -> int:
    parts: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "teams": _teams,
        "tasks": _tasks,
        "worlds": _worlds,
        "learners": learners,
        "games": games,
        "strategies": strategies,
        "populations": _populations,
        "detectors": detector_rows,
        "attribution": attribution_rows,
        "methods": _methods,
    }
    if what not in parts:
        raise UnknownName("list", what, ["systems", "communication", *parts])
    rows = parts[what]()
    if json:
        console.print_json(rows)
    else:
        console.table("", tuple(rows[0]), [tuple(row.values()) for row in rows])
    return 0


def _list_communication(words: list[str], json: bool) -> int:
    """Ways to communicate, by the vocabulary of the survey of five Ws (arXiv 2602.11583)."""
    from shoal.marl.communication import listing
    from shoal.runs.settings import parse_assignments

    rows = listing(**{name: str(value) for name, value in parse_assignments(words, "--word").items()})
    if json:
        console.print_json(rows)
        return 0
    if not rows:
        console.out.print("None has all of these words.")
        return 0
    cells = [[", ".join(v) if isinstance(v, list) else v for v in row.values()] for row in rows]
    console.table("", tuple(rows[0]), cells)
    console.out.print('\nshoal train mappo WORLD --set communication="NAME:option=value" uses one.', style="dim")
    return 0


def _teams() -> list[dict[str, str]]:
    from shoal.teams.catalogue import open_team, recipe_names
    from shoal.teams.protocols import PROTOCOLS

    rows = [{"name": name, "kind": "protocol", "what": entry.title} for name, entry in PROTOCOLS.items()]
    return rows + [{"name": n, "kind": "recipe", "what": open_team(n).description} for n in recipe_names()]


def _tasks() -> list[dict[str, str]]:
    from shoal.tasks.catalogue import listing

    return [
        {"name": e.name, "answers": ", ".join(e.kinds), "here": "yes" if e.here else "no", "what": e.title}
        for e in listing()
    ]


def _populations() -> list[dict[str, Any]]:
    from shoal.populations import MODELS

    return [
        {"name": name, "parameters": ", ".join(kind.parameters), "what": (kind.__doc__ or "").strip().splitlines()[0]}
        for name, kind in MODELS.items()
    ]


def _methods() -> list[dict[str, Any]]:
    from shoal.posttrain.method import METHODS
    from shoal.posttrain.offline import OFFLINE

    return [
        {"name": name, "learns from": kind.source, "what": (kind.__doc__ or "").strip().splitlines()[0]}
        for name, kind in (*METHODS.items(), *OFFLINE.items())
    ]


def _worlds() -> list[dict[str, Any]]:
    from shoal.worlds import WORLDS, make_world

    rows = []
    for name, kind in WORLDS.items():
        world = make_world(name)
        lines = (kind.__doc__ or "").strip().splitlines()
        rows.append(
            {
                "name": name,
                "agents": world.agent_count,
                "actions": f"{world.continuous} continuous" if world.continuous else str(world.action_count),
                "observation": world.observation_size,
                "horizon": world.horizon,
                "what": lines[0] if lines else "",
            }
        )
    return rows


def show(
    name: Annotated[str, typer.Argument(help="Name of a system, a learner or a game.")],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> int:
    """Show a system (experiments, claims, verdicts), a learner (method, settings) or a game (rules, solution)."""
    from shoal.studies.catalogue import catalogue, find_study
    from shoal.studies.record import committed_result

    if name not in catalogue():
        return _show_other(name, {*catalogue()}, json)
    study = find_study(name)
    found = {c["id"]: c for c in (committed_result(study.name) or {}).get("claims", [])}
    document = _document(study, found)
    # A system of learners may share its name with a learner.
    learner = learner_entry(name) if study.kind == "marl" and name in learner_names() else None
    if json:
        console.print_json(document | ({"learner": learner} if learner else {}))
        return 0
    _tell_study(study, document, found)
    if learner:
        console.out.print()
        tell_learner(learner)
    return 0


def _show_other(name: str, systems: set[str], json: bool) -> int:
    """A learner or a game."""
    known = learner_names()
    if is_game(name) and name not in known:
        return show_game(name, json)
    if name not in known:
        raise UnknownName("name", name, {*systems, *known, *game_names()})
    if json:
        console.print_json(learner_entry(name))
    else:
        tell_learner(learner_entry(name))
    return 0


def _document(study: Study[Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """All about a system; ``found`` are the findings of its committed run by claim."""
    return entry(study) | {
        "summary": study.summary,
        "vocabulary": asdict(study.vocabulary),
        "mechanism": [asdict(flow) for flow in study.mechanism],
        "sizes": {size: study.configure(size).model_dump(mode="json") for size in SIZES},
        "schema": study.config.model_json_schema(),
        "experiments": [
            {"name": e.name, "variants": list(e.variants), "evidence": "model" if e.model else str(e.evidence),
             "seeds": {size: study.replicates(e, size) for size in SIZES}}
            for e in study.experiments
        ],
        "claims": [
            {"id": c.id, "statement": c.statement, "experiment": c.experiment, "note": c.note,
             "verdict": found.get(c.id, {}).get("verdict")}
            for c in study.claims
        ],
    }  # fmt: skip


def _tell_study(study: Study[Any], document: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    console.out.print(f"[bold]{study.title}[/bold]  {study.paper}")
    console.out.print(study.summary, markup=False)
    if study.mechanism:
        console.out.print("\nMechanism", style="italic")
        for flow in study.mechanism:
            console.out.print(f"  {flow}", markup=False, highlight=False)
    console.table(
        "\nExperiments",
        ("name", "evidence", "seeds", "variants"),
        [(e["name"], e["evidence"], e["seeds"]["standard"], ", ".join(e["variants"])) for e in document["experiments"]],
        right=("seeds",),
    )
    console.table(
        "\nClaims (verdicts of the committed standard run)",
        ("id", "verdict", "estimate", "statement"),
        [
            (c["id"], console.verdict_text(c["verdict"] or "-"), _figure(found.get(c["id"])), c["statement"])
            for c in document["claims"]
        ],
    )
    standard = document["sizes"]["standard"]
    console.table(
        "\nSettings (--set key=value)",
        ("key", "standard", "meaning"),
        [(key, standard[key], field.description or "") for key, field in study.config.model_fields.items()],
    )


def entry(study: Study[Any]) -> dict[str, Any]:
    """One system as a row of the catalogue."""
    from shoal.studies.record import committed_result

    result = committed_result(study.name)
    return {
        "name": study.name,
        "title": study.title,
        "kind": study.kind,
        "paper": study.paper,
        "engine": study.engine,
        "evidence": list(dict.fromkeys("local" if e.model else str(e.evidence) for e in study.experiments)),
        "verdicts": {c["id"]: c["verdict"] for c in (result or {}).get("claims", [])},
    }


def _with_word(studies: list[Study[Any]], everything: list[Study[Any]], field: str, word: str) -> list[Study[Any]]:
    attribute = "actors" if field == "actor" else field
    known = {w for s in everything for w in getattr(s.vocabulary, attribute)}
    if word not in known:
        raise UnknownName(f"--{field}", word, known)
    return [s for s in studies if word in getattr(s.vocabulary, attribute)]


def _counts(verdicts: dict[str, str]) -> str:
    if not verdicts:
        return "no committed run"
    order = ("reproduced", "not reproduced", "inconclusive", "not run")
    counts = [(sum(v == verdict for v in verdicts.values()), verdict) for verdict in order]
    return ", ".join(f"{n} {verdict}" for n, verdict in counts if n)


def _figure(claim: dict[str, Any] | None) -> str:
    if claim is None or claim.get("estimate") is None:
        return "-"
    return console.estimate_text(claim["estimate"], claim.get("ci_low"), claim.get("ci_high"))
