"""The JSON interface and its guard: who is let in, what cannot be reached, and that nothing makes it fail."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import orjson
import pytest
import schemathesis
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal import laboratory
from shoal.runs.folder import RunFolder, list_runs
from shoal.runs.results import Results
from shoal.ui import diagnosis_interface, replays, trace_interface
from shoal.ui.access import COOKIE, Access, Guard
from shoal.ui.documents import comparison
from shoal.ui.interface import router
from shoal.ui.wording import number
from shoal.ui.workspace import Job, Workspace, assignments

TOKEN = "a-token-for-these-tests"
LOCAL = {"host": "127.0.0.1:8080"}
WRITE = {**LOCAL, "x-shoal-token": TOKEN}


class Recorder(Workspace):
    """A workspace that notes what it would start."""

    started: ClassVar[list[tuple[str, ...]]] = []

    def start(self, command: str, arguments: Any) -> Job:
        self.started.append((command, *arguments))
        process = subprocess.Popen([sys.executable, "-c", ""])
        process.wait()
        return Job(process, self.out / "nothing.log")


def application(out: Path, access: Access) -> FastAPI:
    app = FastAPI(openapi_url="/api/openapi.json")
    workspace = Recorder(out)
    for part in (router, trace_interface.router, diagnosis_interface.router, replays.router):
        app.include_router(part(workspace), prefix="/api")
    app.add_middleware(Guard, access=access)
    return app


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("interface") / "runs"
    for root in (0, 1):
        laboratory.team("vote:agents=3", task="sums", model="scripted:competence=0.7", questions=3, out=out, root=root)
    return out


@pytest.fixture
def client(folder: Path) -> Iterator[TestClient]:
    with TestClient(application(folder, Access("127.0.0.1", 8080, TOKEN))) as client:
        yield client


def test_runs_are_read(client: TestClient, folder: Path) -> None:
    names = [f.path.name for f in list_runs(folder)]
    rows = client.get("/api/runs", headers=LOCAL).json()
    assert [row["id"] for row in rows] == names[::-1]
    run = client.get(f"/api/runs/{names[0]}", headers=LOCAL).json()
    assert run["status"] == "finished"
    assert run["progress"]["done"] == run["progress"]["total"]
    events = client.get(f"/api/runs/{names[0]}/events?start=1&count=3", headers=LOCAL).json()
    assert len(events["events"]) == 3
    assert events["total"] > 4
    values = client.get(f"/api/runs/{names[0]}/measurements", headers=LOCAL).json()
    assert {"experiment", "variant", "seed", "item", "metric", "value"} == set(values[0])
    compared = client.get("/api/compare", params={"runs": names}, headers=LOCAL).json()
    assert {row["run"] for row in compared} == {names[1]}


def test_systems_are_read(client: TestClient) -> None:
    system = client.get("/api/systems/selforg", headers=LOCAL).json()
    assert system["claims"][0]["verdict"] == "reproduced"
    assert system["settings"]["properties"]["agents"]["description"]
    assert "selforg" in [row["name"] for row in client.get("/api/systems", headers=LOCAL).json()]


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8080", "", "10.0.0.1:8080"])
def test_other_names_of_this_machine_are_refused(client: TestClient, host: str) -> None:
    """A site whose name is made to resolve to loopback must not read anything."""
    assert client.get("/api/runs", headers={"host": host}).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        LOCAL,
        {**WRITE, "x-shoal-token": "wrong"},
        {**WRITE, "origin": "http://evil.example"},
        {**WRITE, "origin": "null"},
    ],
)
def test_changes_need_the_token_and_the_own_origin(client: TestClient, headers: Mapping[str, str]) -> None:
    before = list(Recorder.started)
    answer = client.post("/api/runs", json={"system": "selforg"}, headers=dict(headers))
    assert answer.status_code == 403
    assert Recorder.started == before


def test_a_change_with_token_or_cookie_is_made(client: TestClient) -> None:
    body = {"system": "selforg", "size": "quick", "seeds": 2, "settings": {"agents": 4}}
    assert client.post("/api/runs", json=body, headers=WRITE).status_code == 202
    assert Recorder.started[-1] == ("run", "selforg", "--size", "quick", "--seeds", "2", "--set", "agents=4")
    page = {**LOCAL, "origin": "http://127.0.0.1:8080", "cookie": f"{COOKIE}={TOKEN}"}
    assert client.post("/api/runs", json=body, headers=page).status_code == 202


def test_bad_settings_are_refused_with_their_field(client: TestClient) -> None:
    answer = client.post("/api/runs", json={"system": "selforg", "settings": {"agents": -1}}, headers=WRITE)
    assert answer.status_code == 409
    assert "agents" in answer.json()["error"]
    assert client.post("/api/runs", json={"system": "selfork"}, headers=WRITE).status_code == 404
    assert client.post("/api/runs", json={"system": "selforg", "sise": "quick"}, headers=WRITE).status_code == 422


def test_another_address_than_loopback_asks_every_request_for_the_token(folder: Path) -> None:
    with TestClient(application(folder, Access("0.0.0.0", 8080, TOKEN)), follow_redirects=False) as client:
        outside = {"host": "10.0.0.1:8080"}
        assert client.get("/api/runs", headers=outside).status_code == 403
        assert client.get("/api/runs?token=wrong", headers=outside).status_code == 403
        assert client.get("/api/runs", headers={**outside, "x-shoal-token": TOKEN}).status_code == 200
        moved = client.get(f"/api/runs?start=0&token={TOKEN}", headers=outside)
        assert moved.status_code == 303
        assert moved.headers["location"] == "/api/runs?start=0"
        assert "HttpOnly" in moved.headers["set-cookie"]
        assert "samesite=strict" in moved.headers["set-cookie"].lower()


@pytest.mark.parametrize("name", ["%2e", "%2e%2e", "..%2f..%2fetc", "a%00b", ".logs", "link"])
def test_paths_do_not_lead_out_of_the_folder(client: TestClient, folder: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "run.json").write_bytes(orjson.dumps({"id": "secret", "status": "finished", "created": 0.0}))
    if not (folder / "link").exists():
        (folder / "link").symlink_to(tmp_path)
    try:
        for path in (f"/api/runs/{name}", f"/api/runs/{name}/events"):
            answer = client.get(path, headers=LOCAL)
            assert answer.status_code == 404
            assert "secret" not in answer.text or "Not Found" in answer.text
        assert client.delete(f"/api/runs/{name}", headers=WRITE).status_code in (404, 405)
        assert (tmp_path / "run.json").exists()
    finally:
        (folder / "link").unlink()


def test_a_run_that_is_worked_on_is_not_deleted(client: TestClient, folder: Path) -> None:
    held = RunFolder.create(folder, "held", "nobody")
    try:
        answer = client.delete(f"/api/runs/{held.path.name}", headers=WRITE)
        assert answer.status_code == 409
        assert "running" in answer.json()["error"]
        assert client.get(f"/api/runs/{held.path.name}", headers=LOCAL).json()["status"] == "running"
    finally:
        held.release()
    assert client.get(f"/api/runs/{held.path.name}", headers=LOCAL).json()["status"] == "interrupted"
    assert client.post(f"/api/runs/{held.path.name}/stop", headers=WRITE).status_code == 409
    assert client.delete(f"/api/runs/{held.path.name}", headers=WRITE).status_code == 200


def test_the_process_of_a_run_is_named(tmp_path: Path) -> None:
    held = RunFolder.create(tmp_path, "held", "nobody")
    assert RunFolder.load(held.path).holder() == os.getpid()
    held.release()
    assert RunFolder.load(held.path).holder() is None


def test_nothing_makes_it_fail(folder: Path) -> None:
    """Requests made from the interface's own description, right and wrong ones, meet no error of ours."""
    app = application(folder, Access("127.0.0.1", 8080, TOKEN))
    description = schemathesis.openapi.from_asgi("/api/openapi.json", app, headers=WRITE)
    operations = [found.ok() for found in description.get_all_operations()]
    assert len(operations) >= 12

    def answers(case: Any) -> None:
        response = case.call(headers=WRITE)
        assert response.status_code < 500, response.text

    for operation in operations:
        settings(max_examples=15, deadline=None)(given(case=operation.as_strategy())(answers))()


def test_comparison_pairs_by_seed() -> None:
    one, two = Results(), Results()
    for seed in range(6):
        one.add("e", "v", seed, {"reward": float(seed)})
        two.add("e", "v", seed + 2, {"reward": float(seed + 2) + 0.5})
    (row,) = comparison([("one", one), ("two", two)])
    assert row["pairs"] == 4
    assert row["difference"] == pytest.approx(0.5)


@given(st.floats(-1e9, 1e9, allow_nan=False))
def test_numbers_are_short_and_true(x: float) -> None:
    shown = number(x)
    assert len(shown) <= 14
    assert np.isclose(float(shown.replace(",", "")), x, rtol=0.005, atol=5e-4)


@given(
    st.dictionaries(
        st.from_regex(r"[a-z_]{1,8}", fullmatch=True),
        st.one_of(
            st.integers(),
            st.booleans(),
            st.floats(-9, 9),
            st.text("ab:#'- {}\n", max_size=9),
            st.lists(st.integers(), max_size=3),
        ),
    )
)
def test_settings_survive_the_command_line(values: dict[str, Any]) -> None:
    from shoal.runs.settings import parse_assignments

    options = assignments(values)
    assert options[::2] == ["--set"] * len(values)
    assert parse_assignments(options[1::2]) == values
