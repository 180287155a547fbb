"""What holds for every registered study, task and protocol; a new one is picked up from its registry."""

from __future__ import annotations

import ast
import asyncio
import json
from pathlib import Path
from typing import Any

import networkx as nx
import pytest

from shoal.runs.study import SIZES, Study
from shoal.stats import Evidence
from shoal.studies.catalogue import catalogue, find_study
from shoal.studies.record import committed_result, results_folder
from shoal.tasks import answer_key
from shoal.tasks.catalogue import open_task
from shoal.teams.catalogue import open_team
from shoal.teams.evaluation import answer_all
from shoal.teams.protocols import PROTOCOLS
from shoal.traces import TraceWriter

KINDS = {"team", "benchmark", "survey", "marl", "population", "game", "post-training", "diagnosis"}


@pytest.fixture(params=sorted(catalogue()))
def study(request: pytest.FixtureRequest) -> Study[Any]:
    return find_study(request.param)


def test_a_study_is_complete(study: Study[Any]) -> None:
    assert study.kind in KINDS
    assert study.title
    assert study.summary
    assert study.paper
    names = [e.name for e in study.experiments]
    assert len(set(names)) == len(names)
    assert study.claims
    assert len({c.id for c in study.claims}) == len(study.claims)
    assert {c.experiment for c in study.claims} <= set(names)
    for experiment in study.experiments:
        assert len(set(experiment.variants)) == len(experiment.variants) > 0
        assert isinstance(experiment.evidence, Evidence)


def test_a_study_has_its_mechanism_as_one_graph(study: Study[Any]) -> None:
    edges = [(flow.source, flow.target) for flow in study.mechanism]
    assert len(set(edges)) == len(edges)
    graph = nx.DiGraph(edges)
    assert 4 <= graph.number_of_nodes() <= 9, sorted(graph)
    assert nx.is_weakly_connected(graph)
    assert all(name == name.strip() and 1 < len(name) <= 40 for name in graph)


def test_every_setting_says_what_it_means(study: Study[Any]) -> None:
    for name, field in study.config.model_fields.items():
        assert field.description, name
    for size in SIZES:
        config = study.configure(size)
        assert study.config.model_validate(config.model_dump()) == config


def test_a_study_has_a_committed_standard_result_with_all_its_claims(study: Study[Any]) -> None:
    if results_folder() is None:
        pytest.skip("not a checkout")
    result = committed_result(study.name)
    assert result is not None, f"run: shoal run {study.name} --record"
    assert result["size"] == "standard"
    assert result["machine"]["cores"] >= 1
    assert [c["id"] for c in result["claims"]] == [c.id for c in study.claims]


@pytest.mark.parametrize("name", PROTOCOLS.names())
def test_a_protocol_answers_and_records_why(name: str, tmp_path: Any) -> None:
    from shoal.models.scripted import ScriptedModel

    plan = open_team(name)
    problems = open_task("sums").problems(4, seed=3)
    model = ScriptedModel.from_spec("competence=1", answer_key(problems), 0)
    trace = TraceWriter(tmp_path / "events.jsonl", "run")
    answers = asyncio.run(answer_all(plan.run, plan.agents, problems, model, trace=trace, seed=1))
    trace.close()
    assert all(a.outcome.answer is not None for a in answers)
    assert all(a.usage.calls >= 1 for a in answers)
    from shoal.traces import read_trace

    events = read_trace(tmp_path / "events.jsonl")
    known = {e.id for e in events}
    assert not events.problems
    assert all(parent in known for e in events for parent in e.parents)
    order = {e.id: i for i, e in enumerate(events)}
    assert all(order[parent] < order[e.id] for e in events for parent in e.parents)


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[1] / "benchmarks").glob("*.py")), ids=lambda p: p.stem)
def test_a_benchmark_can_be_run_by_name_and_its_result_is_committed(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree)
    assert any(isinstance(node, ast.FunctionDef) and node.name == "run" for node in tree.body)
    document = json.loads((path.parent / "results" / f"{path.stem.replace('_', '-')}.json").read_text())
    assert {"name", "machine", "rows"} <= set(document)
    for row in document["rows"]:
        assert {"peer", "version", "setting", "ours", "theirs", "unit", "ratio"} <= set(row)
