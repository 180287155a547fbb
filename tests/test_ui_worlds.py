"""The worlds in a real browser: replays, seats of people beside rules, trained policies and language models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import jax
import pytest

from browser import NARROW, WIDE, PageServer, needs_browser, visiting
from shoal.marl.checkpoints import save, training_keys
from shoal.marl.episodes import trace_key, write_episodes
from shoal.marl.learner import make_learner
from shoal.runs.folder import RunFolder
from shoal.traces import TraceWriter
from shoal.ui.replays import parse_moves, write_moves
from shoal.worlds import make_world

pytestmark = needs_browser

SPREAD = "/worlds/spread?set=horizon=4&seats=random"
PAINTED = "[...document.querySelector('.stage').getContext('2d').getImageData(0, 0, 300, 300).data].some(v => v < 255)"
PICTURE = "document.querySelector('.stage').toDataURL()"
STATUS = ".replay [role=status]"


@pytest.fixture(scope="module")
def out(out: Path) -> Path:
    """A run as `shoal train` leaves it, of a learner that talks and has learned nothing yet."""
    spec = "needed-message:horizon=3"
    world = make_world(spec)
    learner = make_learner("ippo", communication="tarmac", hidden=(8,))
    state = learner.init(training_keys((0,)), world)
    folder = RunFolder.create(out, "ippo-needed-message", "test", kind="training", learner="ippo", world=spec)
    save(folder.path / "checkpoints" / "step-000000000000", state, learner, world, (0,))
    player = jax.tree.map(lambda x: x[0], learner.player(state))
    with TraceWriter(folder.path / "events.jsonl", "test") as trace:
        write_episodes(player, world, 2, trace_key(0), trace, seed=0)
    folder.save(status="finished")
    folder.release()
    return out


def run_name(server: PageServer) -> str:
    return next(path.parent.name for path in server.out.glob("*/run.json"))


def replayed(page: Any, address: str) -> None:
    page.goto(address)
    page.wait_for_selector(".stage")
    page.wait_for_function(PAINTED)


@pytest.mark.parametrize(("width", "dark"), [(WIDE, False), (NARROW, True)], ids=["wide-light", "narrow-dark"])
def test_pages_are_clean(server: PageServer, chromium: Any, width: int, dark: bool) -> None:
    with visiting(chromium, width=width, dark=dark) as visit:
        visit.page.goto(server.address + "/worlds")
        visit.page.get_by_role("link", name="overcooked").wait_for()
        visit.check()
        visit.page.goto(server.address + "/worlds/climbing")
        visit.page.get_by_text("No episode yet.").wait_for()
        visit.page.get_by_text("Settings of the world").click()
        visit.check()
        replayed(visit.page, server.address + SPREAD)
        visit.page.wait_for_selector(".chart svg")
        visit.check()


def test_a_replay_steps_plays_and_tells_what_agents_observe(server: PageServer, chromium: Any) -> None:
    with visiting(chromium) as visit:
        page = visit.page
        replayed(page, server.address + SPREAD)
        first = page.evaluate(PICTURE)
        assert page.locator(STATUS).inner_text().startswith("Step 0 of 4")
        page.get_by_role("button", name="Next").click()
        page.wait_for_function(f"document.querySelector('{STATUS}').textContent.startsWith('Step 1 of 4')")
        assert page.evaluate(PICTURE) != first
        page.locator(".stage").focus()
        page.keyboard.press("End")
        page.wait_for_function(f"document.querySelector('{STATUS}').textContent.startsWith('Step 4 of 4, the end')")
        page.keyboard.press("ArrowLeft")
        page.wait_for_function(f"document.querySelector('{STATUS}').textContent.startsWith('Step 3')")
        page.get_by_label("Speed").select_option("8")
        page.get_by_role("button", name="First").click()
        page.get_by_role("button", name="Play").click()
        page.wait_for_function(f"document.querySelector('{STATUS}').textContent.includes('the end')")
        page.get_by_label("What is observed by").select_option("agent-1")
        page.wait_for_function("document.querySelector('.observed').textContent.includes('You are agent-1')")
        assert "random" in page.locator(".replay table").inner_text()
        with page.expect_download() as told:
            page.get_by_role("link", name="Episode as CSV").click()
        rows = Path(told.value.path()).read_text().splitlines()
        assert rows[0].startswith("time,agent,action,reward")
        assert len(rows) == 1 + 4 * 3
        visit.check()


def test_a_person_plays_to_the_end_and_finds_it_again(server: PageServer, chromium: Any) -> None:
    with visiting(chromium) as visit:
        page = visit.page
        page.goto(server.address + "/worlds/climbing?set=horizon=3")
        page.get_by_label("agent-0").click()
        page.get_by_role("option", name="person").click()
        page.get_by_label("agent-1").click()
        page.get_by_role("option", name="scripted:a", exact=True).last.click()
        page.get_by_role("button", name="Begin").click()
        page.get_by_text("Step 1 of at most 3").wait_for()
        page.get_by_role("button", name="a", exact=True).click()
        page.get_by_text("Step 2 of at most 3, reward 11").wait_for()
        page.keyboard.press("1")
        page.get_by_text("Step 3 of at most 3").wait_for()
        page.keyboard.press("2")
        page.get_by_text("After 3 steps the return is agent-0 -8.").wait_for()
        visit.check()
        assert "moves=0.0.1" in page.url
        page.reload()
        page.get_by_text("After 3 steps the return is agent-0 -8.").wait_for()


def test_trained_partners_talk_and_their_episodes_are_replayed(server: PageServer, chromium: Any) -> None:
    name = run_name(server)
    with visiting(chromium) as visit:
        page = visit.page
        replayed(page, f"{server.address}/worlds/needed-message?set=horizon=3&seats=run:{name}&seed=1")
        page.wait_for_selector(".ring:not([hidden])")
        assert page.locator(".ring").get_attribute("aria-label").startswith("Messages. agent-0 hears agent-1 (")
        assert (
            f"run:{name}" in page.locator(".replay table").inner_text() or name in page.locator(".replay").inner_text()
        )
        visit.check()
        page.get_by_text("Episodes of 1 trainings").click()
        page.get_by_role("link", name="episode 1").click()
        page.get_by_text(f"Episode 1 of {name}, as its trace holds it.").wait_for()
        page.wait_for_function(f"document.querySelector('{STATUS}')?.textContent.startsWith('Step 0 of 3')")


def test_language_models_sit_down_only_when_asked(server: PageServer, chromium: Any) -> None:
    with visiting(chromium) as visit:
        page = visit.page
        page.goto(server.address + "/worlds/climbing?seats=scripted:competence=1,scripted:b")
        page.get_by_text("A language model sits in it: press Begin.").wait_for()
        assert page.locator(".stage").count() == 0
        page.get_by_role("button", name="Begin").click()
        page.wait_for_selector(".stage")
        page.get_by_role("button", name="Last").wait_for()


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("/worlds/sprawd", "sprawd"),
        ("/worlds/spread?set=count=0", "Use at least 1 agent"),
        ("/worlds/spread?set=count=many", "count"),
        ("/worlds/spread?seats=/etc/passwd", "/etc/passwd"),
        ("/worlds/spread?seats=run:..", "run"),
        ("/worlds/spread?seats=random,random", "Give one, or 3"),
        ("/worlds/spread?seats=random&seed=x", "whole number"),
        ("/worlds/climbing?seats=person,random&moves=7", "has 3 actions"),
    ],
)
def test_bad_input_is_said_with_its_mend(server: PageServer, chromium: Any, address: str, message: str) -> None:
    with visiting(chromium) as visit:
        visit.page.goto(server.address + address)
        visit.page.wait_for_function(
            "[...document.querySelectorAll('#content .empty p, #content > .problem')].some(p => p.textContent)"
        )
        said = visit.page.locator("#content").inner_text()
        assert message.lower() in said.lower()
        assert "Traceback" not in said
        assert not visit.complaints


def test_the_interface_refuses_what_is_not_there(server: PageServer) -> None:
    for path in ("/api/replays/none", "/api/replays/none/frames", "/api/replays/none/observations/0"):
        answer = httpx.get(server.address + path)
        assert answer.status_code == 404
        assert "replay" in answer.json()["error"]
    assert httpx.get(server.address + "/api/replays/none/frames?count=0").status_code == 422


def test_moves_are_written_and_read() -> None:
    moves = [[0, [0.25, -1.0]], [3, [0.0, 1.5]]]
    assert parse_moves(write_moves(moves)) == moves
    assert parse_moves("") == []
