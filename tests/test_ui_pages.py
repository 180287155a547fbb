"""The web page in a real browser: systems, runs, comparison, and a live run from its form to its verdicts."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import orjson
import pytest

from browser import NARROW, WIDE, PageServer, needs_browser, serving, visiting
from shoal import laboratory

pytestmark = needs_browser

HOSTILE = '<img src=x onerror="document.title=1"><script>document.title=2</script>'


@pytest.fixture(scope="module")
def out(out: Path) -> Path:
    """Two runs of a team."""
    laboratory.team("vote:agents=3", task="sums", model="scripted:competence=0.8", questions=4, out=out, seeds=2)
    laboratory.team(
        "vote:agents=3", task="sums", model="scripted:competence=0.8", questions=4, out=out, root=1, seeds=2
    )
    return out


def run_names(server: PageServer) -> list[str]:
    return sorted(path.parent.name for path in server.out.glob("*/run.json"))


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_pages_are_clean_in_both_themes_and_widths(server: PageServer, chromium: Any, width: int, dark: bool) -> None:
    one, two = run_names(server)[:2]
    with visiting(chromium, width=width, dark=dark) as visit:
        for address in ("/", "/systems/selforg", "/runs", f"/runs/{one}", f"/compare?runs={one},{two}"):
            visit.page.goto(server.address + address)
            visit.page.wait_for_selector("main h1")
            visit.page.wait_for_function("!document.querySelector('.chart') || document.querySelector('.chart svg')")
            visit.check()


def test_the_catalogue_filters_and_searches(server: PageServer, chromium: Any) -> None:
    with visiting(chromium) as visit:
        page = visit.page
        page.goto(server.address)
        page.wait_for_selector(".cards li")
        everything = page.locator(".cards li").count()
        page.get_by_label("Search").fill("donor")
        page.wait_for_function(f"document.querySelectorAll('.cards li').length < {everything}")
        assert "Donor" in page.locator(".cards").inner_text()
        page.get_by_label("Search").fill("no such thing at all")
        page.get_by_text("No system has all of these.").wait_for()


def test_a_run_is_started_followed_and_read(server: PageServer, chromium: Any) -> None:
    with visiting(chromium) as visit:
        page = visit.page
        page.goto(server.address + "/systems/patience")
        page.get_by_role("button", name="Run", exact=True).click()
        page.get_by_text("10 of 10 trials, finished").wait_for()
        page.locator("a[href^='/runs/patience']").click()
        page.get_by_role("heading", name="Claims").wait_for()
        assert page.locator(".verdict").inner_text() == "✓ reproduced"
        visit.check()


def test_a_running_run_is_stopped_and_resumed(server: PageServer, chromium: Any) -> None:
    with visiting(chromium) as visit:
        page = visit.page
        page.goto(server.address + "/systems/patience")
        page.get_by_text("Settings").click()
        page.get_by_label("pause").fill("0.7")
        page.get_by_role("button", name="Run", exact=True).click()
        page.get_by_role("button", name="Stop").click()
        page.get_by_text("of 10 trials, stopped").wait_for()
        page.locator("a[href^='/runs/patience']").click()
        page.get_by_role("button", name="Resume").click()
        page.get_by_text("10 of 10 trials, finished").wait_for()
        assert page.locator(".verdict").inner_text() == "✓ reproduced"


def test_bad_settings_are_named_and_nothing_starts(server: PageServer, chromium: Any) -> None:
    before = run_names(server)
    with visiting(chromium) as visit:
        page = visit.page
        page.goto(server.address + "/systems/patience")
        page.get_by_text("Settings").click()
        page.get_by_label("effect").fill("-7")
        page.get_by_role("button", name="Run", exact=True).click()
        page.get_by_text("--set effect").wait_for()
        assert "-7" in page.locator(".problem").inner_text()
    assert run_names(server) == before


def test_delete_asks_first(server: PageServer, chromium: Any) -> None:
    spare = server.out / "spare-20260101-000000-abcdef"
    shutil.copytree(server.out / run_names(server)[0], spare)
    with visiting(chromium) as visit:
        page = visit.page
        page.goto(f"{server.address}/runs/{spare.name}")
        page.get_by_role("button", name="Delete").click()
        page.get_by_role("button", name="Keep").click()
        page.get_by_role("dialog").wait_for(state="detached")
        assert spare.is_dir()
        page.get_by_role("button", name="Delete").click()
        page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        page.wait_for_url("**/runs")
    assert not spare.exists()


def test_names_and_texts_of_runs_are_shown_as_text(server: PageServer, chromium: Any) -> None:
    folder = server.out / "hostile-20260101-000000-abcdef"
    folder.mkdir()
    claim = {"id": HOSTILE, "statement": HOSTILE, "verdict": "reproduced", "evidence": "scripted", "note": HOSTILE,
             "estimate": None, "checks": []}  # fmt: skip
    info = {"id": HOSTILE, "name": HOSTILE, "status": "failed", "created": 0.0, "finished": 1.0, "kind": "study",
            "size": HOSTILE, "claims": [claim], "error": HOSTILE}  # fmt: skip
    (folder / "run.json").write_bytes(orjson.dumps(info))
    try:
        with visiting(chromium) as visit:
            for address in ("/runs", f"/runs/{folder.name}"):
                visit.page.goto(server.address + address)
                visit.page.get_by_text("onerror=").first.wait_for()
                assert visit.page.title().endswith("- shoal")
                assert visit.page.locator("img[src='x']").count() == 0
    finally:
        shutil.rmtree(folder)


def test_the_theme_is_remembered(server: PageServer, chromium: Any) -> None:
    with visiting(chromium) as visit:
        page = visit.page
        page.goto(server.address)
        for name in ("light", "dark"):
            page.locator("button.theme").click()
            page.get_by_text(f"Theme: {name}").wait_for()
            page.wait_for_function(f"document.cookie.includes('theme={name}')")  # it is kept just after it is shown
        page.reload()
        page.get_by_text("Theme: dark").wait_for()
        assert page.evaluate("document.body.classList.contains('body--dark')")


@pytest.mark.parametrize("kind", ["PNG", "SVG", "CSV"])
def test_figures_can_be_saved(server: PageServer, chromium: Any, tmp_path: Path, kind: str) -> None:
    with visiting(chromium) as visit:
        page = visit.page
        page.goto(server.address + "/systems/selforg")
        page.wait_for_selector(".chart svg")
        with page.expect_download() as download:
            page.get_by_role("button", name=f"as {kind}").last.click()
        path = tmp_path / "saved"
        download.value.save_as(path)
        head = path.read_bytes()[:400]
    assert head.startswith({"PNG": b"\x89PNG", "SVG": b"<svg", "CSV": b"name,value,low,high"}[kind])


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_the_mechanism_is_one_picture_that_can_be_saved(server: PageServer, chromium: Any, width: int) -> None:
    heads = {"PNG": b"\x89PNG", "SVG": b"<svg role", "CSV": b"source,target,label"}
    with visiting(chromium, width=width) as visit:
        page = visit.page
        page.goto(server.address + "/systems/selforg")
        picture = page.locator(".mechanism svg:visible")
        picture.wait_for()
        assert "question to agents; agents to answers (alone)" in (picture.get_attribute("aria-label") or "")
        for kind, head in heads.items():
            with page.expect_download() as download:
                page.get_by_role("button", name=f"Save the mechanism as {kind}").click()
            assert Path(download.value.path()).read_bytes().startswith(head)


def test_a_killed_server_leaves_its_runs_going(tmp_path: Path) -> None:
    """The command that a page started is not the server's child in anything but name."""
    import httpx

    with serving(tmp_path / "runs") as server:
        started = httpx.post(
            f"{server.address}/api/runs",
            json={"system": "patience", "settings": {"pause": 0.2}},
            headers={"X-Shoal-Token": server.token},
        )
        assert started.status_code == 202
        server.process.kill()
        server.process.wait()
    from shoal.runs.folder import list_runs

    pid = started.json()["process"]
    _wait_for_end(pid)
    assert [folder.info["status"] for folder in list_runs(tmp_path / "runs")] == ["finished"]


def _wait_for_end(pid: int) -> None:
    import os
    import time

    for _ in range(1200):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    raise AssertionError("the run did not end")
