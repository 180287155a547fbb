"""Importers against the real packages: the teams of ``foreign_teams`` run on a fake endpoint; their logs are read."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest

import foreign_teams
from serving import serving
from shoal.diagnosis.attribution import diagnose
from shoal.diagnosis.conversation import conversations
from shoal.traces.importers import Imported, import_trace

pytestmark = pytest.mark.filterwarnings("ignore")


def imported(tmp_path: Path, records: Any) -> Imported:
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in (records if isinstance(records, list) else [records])))
    return import_trace(path)


def check(found: Imported, form: str) -> None:
    assert found.format == form
    assert found.problems.total == 0, found.problems.lines()
    (view,) = conversations(found.trace)
    said = {s.agent: s.text for s in view.steps if s.kind == "said" and s.agent in foreign_teams.ROLES}
    assert said == foreign_teams.SAYS
    assert found.trace.usage().tokens == 90
    verdict = diagnose(view)
    sources = {e.source for e in verdict.graph.parents(view.steps[-1].index)}
    assert any(view.steps[i].agent == "checker" for i in sources)


async def test_langgraph(tmp_path: Path) -> None:
    pytest.importorskip("langgraph")
    pytest.importorskip("langchain_openai")
    with warnings.catch_warnings(), serving(answer=foreign_teams.answer) as server:
        warnings.simplefilter("ignore")
        events, updates = await foreign_teams.langgraph_events(server.url)
    check(imported(tmp_path, events), "langgraph")
    check(imported(tmp_path, updates), "langgraph")


async def test_autogen(tmp_path: Path) -> None:
    pytest.importorskip("autogen_agentchat")
    pytest.importorskip("autogen_ext.models.openai")
    with warnings.catch_warnings(), serving(answer=foreign_teams.answer) as server:
        warnings.simplefilter("ignore")
        result = await foreign_teams.autogen_messages(server.url)
    check(imported(tmp_path, result), "autogen")
    check(imported(tmp_path, result["messages"]), "autogen")


async def test_openai_agents(tmp_path: Path) -> None:
    pytest.importorskip("agents.tracing")
    with warnings.catch_warnings(), serving(answer=foreign_teams.answer) as server:
        warnings.simplefilter("ignore")
        spans = await foreign_teams.openai_agents_trace(server.url)
    check(imported(tmp_path, spans), "openai-agents")
