"""The report of a training: its episodes are played from the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import orjson
import pytest

from browser import NARROW, WIDE, needs_browser
from reports import opened, reported, until
from shoal.marl.checkpoints import save, training_keys
from shoal.marl.episodes import trace_key, write_episodes
from shoal.marl.learner import make_learner
from shoal.runs.folder import RunFolder
from shoal.traces import TraceWriter
from shoal.ui.report.replay_data import MOST_BYTES, MOST_EPISODES, episodes_of
from shoal.ui.report.trace_data import embedded
from shoal.ui.trace_index import read_index
from shoal.worlds import make_world


@pytest.fixture(scope="module")
def training(out: Path) -> Path:
    """A run as `shoal train` leaves it, of a learner that has learned nothing yet."""
    spec = "needed-message:horizon=3"
    world, learner = make_world(spec), make_learner("ippo", hidden=(8,))
    state = learner.init(training_keys((0,)), world)
    folder = RunFolder.create(out, "ippo-needed-message", "test", kind="training", learner="ippo", world=spec)
    save(folder.path / "checkpoints" / "step-000000000000", state, learner, world, (0,))
    player = jax.tree.map(lambda x: x[0], learner.player(state))
    with TraceWriter(folder.path / "events.jsonl", "test") as trace:
        write_episodes(player, world, MOST_EPISODES + 1, trace_key(0), trace, seed=0)
    folder.save(status="finished")
    folder.release()
    return reported(folder.path)


def test_some_episodes_are_kept_and_the_rest_is_told(training: Path) -> None:
    page = training.read_text()
    made = orjson.loads(page.partition('id="replay-data">')[2].partition("</script>")[0])
    assert [episode["name"] for episode in made] == ["episode 0", "episode 1", "episode 2"]
    assert "The first 3 of 4 episodes are here; `shoal ui` plays all of them." in page
    for episode in made:
        assert episode["about"]["steps"] == 3 and len(episode["frames"]) == 4
        assert len(embedded(episode)) < MOST_BYTES
        assert len(episode["shapes"]) < sum(len(frame["shapes"]) for frame in episode["frames"])


def test_an_episode_that_comes_out_otherwise_is_told_and_left_out(training: Path) -> None:
    index = read_index((training.parent / "events.jsonl",))
    steps = [event.payload for event in index.events if event.payload["episode"] == 0]
    steps[0] = steps[0] | {"rewards": dict.fromkeys(steps[0]["rewards"], 77.0)}
    made, notes = episodes_of(training.parent, steps)
    assert not made and notes[0].startswith("Episode 0 could not be made again: rewards of step 1")


@needs_browser
@pytest.mark.parametrize(("width", "dark"), [(WIDE, False), (NARROW, True)], ids=["wide-light", "narrow-dark"])
def test_a_report_is_clean(training: Path, chromium: Any, width: int, dark: bool) -> None:
    with opened(chromium, training, width, dark) as visit:
        until(visit.page, "shoalTraces.report.shown && shoalReplays.replay.frames.length")
        visit.check()


@needs_browser
def test_a_replay_is_played_and_saved(training: Path, chromium: Any) -> None:
    status = "document.querySelector('.replay [role=status]').textContent"
    with opened(chromium, training) as visit:
        page = visit.page
        until(page, f"{status}.startsWith('Step 0 of 3')")
        first = page.evaluate("document.querySelector('.stage').toDataURL()")
        page.locator(".stage").focus()
        page.keyboard.press("ArrowRight")
        until(page, f"{status}.startsWith('Step 1 of 3')")
        assert page.evaluate("document.querySelector('.stage').toDataURL()") != first
        page.get_by_label("Speed").select_option("8")
        page.get_by_role("button", name="Play").click()
        until(page, f"{status}.includes('the end')")
        until(page, "document.querySelector('.observed').textContent.length > 10")
        page.locator("#episode").select_option("episode 1")
        until(page, f"{status}.startsWith('Step 0 of 3')")
        with page.expect_download() as rows:
            page.get_by_role("link", name="Episode as CSV").click()
        assert Path(rows.value.path()).read_text().startswith("time,agent,action,reward,return,alive")
        with page.expect_download() as picture:
            page.get_by_role("link", name="Frame as SVG").click()
        assert "<svg" in Path(picture.value.path()).read_text()
        visit.check()
