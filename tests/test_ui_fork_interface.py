"""Diagnosis and forks over the JSON interface: guarded, described, and without an error of ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shoal import laboratory
from shoal.diagnosis import forking
from shoal.runs.folder import list_runs
from shoal.ui import diagnosis_interface
from shoal.ui.access import Access, Guard
from shoal.ui.trace_index import read_index
from shoal.ui.workspace import Workspace

TOKEN = "a-token-for-these-tests"
LOCAL = {"host": "127.0.0.1:8080"}
WRITE = {**LOCAL, "x-shoal-token": TOKEN}
FORKS = "/api/trace/forks"


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("forks") / "runs"
    laboratory.team("debate:agents=2", task="sums", model="scripted:competence=0.4", questions=1, out=out, root=3)
    return out


@pytest.fixture(scope="module")
def run(out: Path) -> str:
    return next(folder.path.name for folder in list_runs(out) if folder.info["name"] == "team")


@pytest.fixture(scope="module")
def application(out: Path) -> FastAPI:
    app = FastAPI(openapi_url="/api/openapi.json")
    app.include_router(diagnosis_interface.router(Workspace(out)), prefix="/api")
    app.add_middleware(Guard, access=Access("127.0.0.1", 8080, TOKEN))
    return app


@pytest.fixture(scope="module")
def client(application: FastAPI) -> Iterator[TestClient]:
    with TestClient(application) as client:
        yield client


@pytest.fixture(scope="module")
def reply_at(out: Path, run: str) -> int:
    index = read_index((out / run / "events.jsonl",))
    return next(i for i, event in enumerate(index.events) if event.kind == "model.call")


def test_a_diagnosis_names_suspects_by_their_positions(client: TestClient, out: Path, run: str) -> None:
    index = read_index((out / run / "events.jsonl",))
    whole = client.get("/api/trace/diagnosis", params={"run": run, "failed": True}, headers=LOCAL).json()
    assert whole["summary"]["conversations"] == len(whole["conversations"]) == len(index.parts)
    part = next(iter(index.parts))
    one = client.get("/api/trace/diagnosis", params={"run": run, "part": part, "failed": True}, headers=LOCAL).json()
    (talk,) = one["conversations"]
    assert talk["run"] == part and talk["suspects"]
    for suspect in talk["suspects"]:
        assert index.events[suspect["position"]].agent == suspect["agent"]


def test_a_large_diagnosis_is_made_beside_the_server(
    client: TestClient, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = client.get("/api/trace/diagnosis", params={"run": run}, headers=LOCAL).json()
    monkeypatch.setattr(diagnosis_interface, "SMALL", 1)
    assert client.get("/api/trace/diagnosis", params={"run": run}, headers=LOCAL).json() == here


@pytest.mark.parametrize(
    ("query", "status"),
    [({}, 409), ({"run": "none"}, 404), ({"file": "../secret.jsonl"}, 404), ({"part": "none"}, 404)],
)
def test_a_diagnosis_of_nothing_is_refused(client: TestClient, run: str, query: dict[str, str], status: int) -> None:
    query = {"run": run, **query} if "part" in query else query
    answer = client.get("/api/trace/diagnosis", params=query, headers=LOCAL)
    assert answer.status_code == status and "error" in answer.json()


def test_calls_are_told_before_any_is_made(client: TestClient, run: str, reply_at: int) -> None:
    told = client.get("/api/trace/forecast", params={"run": run, "position": reply_at, "samples": 3}, headers=LOCAL)
    assert told.status_code == 200
    assert told.json()["calls"] > 0 and told.json()["paid"] is False and told.json()["turn"] == 0
    missing = client.get("/api/trace/forecast", params={"run": run, "position": 10**6}, headers=LOCAL)
    assert missing.status_code == 404


def test_a_fork_is_made_and_kept(client: TestClient, out: Path, run: str, reply_at: int) -> None:
    body = {"run": run, "position": reply_at, "reply": "Answer: 1", "samples": 2}
    answer = client.post(FORKS, json=body, headers=WRITE)
    assert answer.status_code == 201, answer.text
    came = answer.json()
    assert came["departed"] == 0 and came["right"]["difference"]["low"] <= came["right"]["difference"]["value"]
    fork = Workspace(out).run(came["run"])
    assert fork.info["fork"]["run"] == run and fork.info["fork"]["reply"] == "Answer: 1"
    again = client.post(FORKS, json=body | {"run": came["run"]}, headers=WRITE)
    assert again.status_code == 409 and run in again.json()["error"]


@pytest.mark.parametrize(
    "headers",
    [LOCAL, {**WRITE, "x-shoal-token": "wrong"}, {**WRITE, "origin": "http://evil.example"}],
    ids=["without", "wrong", "elsewhere"],
)
def test_a_fork_needs_the_token_and_the_own_origin(
    client: TestClient, out: Path, run: str, reply_at: int, headers: dict[str, str]
) -> None:
    client.cookies.clear()  # an earlier answer brought the token's
    before = len(list_runs(out))
    answer = client.post(FORKS, json={"run": run, "position": reply_at, "reply": ""}, headers=headers)
    assert answer.status_code == 403 and len(list_runs(out)) == before


def test_paid_calls_need_a_word(client: TestClient, run: str, reply_at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def costly(place: Any, samples: int) -> forking.Forecast:
        return forking.Forecast("openai:large", 40, 9000, 1.25, paid=True)

    monkeypatch.setattr(diagnosis_interface, "forecast", costly)
    answer = client.post(FORKS, json={"run": run, "position": reply_at, "reply": "x"}, headers=WRITE)
    assert answer.status_code == 409
    assert "1.25" in answer.json()["error"] and "true" in answer.json()["error"]


def test_nothing_makes_it_fail(application: FastAPI) -> None:
    """Requests made from the interface's own description, right and wrong ones, meet no error of ours."""
    description = schemathesis.openapi.from_asgi("/api/openapi.json", application, headers=WRITE)
    operations = [found.ok() for found in description.get_all_operations()]
    assert {operation.label for operation in operations} == {
        "GET /api/trace/diagnosis", "GET /api/trace/forecast", "POST /api/trace/forks",
    }  # fmt: skip

    def answers(case: Any) -> None:
        response = case.call(headers=WRITE)
        assert response.status_code < 500, response.text

    for operation in operations:
        settings(max_examples=20, deadline=None)(given(case=operation.as_strategy())(answers))()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, 60), reply=st.text(max_size=40), samples=st.integers(0, 2))
def test_no_position_and_no_words_of_a_real_run_make_it_fail(
    client: TestClient, run: str, position: int, reply: str, samples: int
) -> None:
    body = {"run": run, "position": position, "reply": reply, "samples": samples}
    assert client.post(FORKS, json=body, headers=WRITE).status_code in (201, 404, 409, 422)
