"""The populations in a real browser: a form to its curves, a counterfactual pair, kept runs and their loss surface."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from browser import NARROW, WIDE, PageServer, needs_browser, visiting
from shoal.populations import Simulation, make_model, simulate
from shoal.runs.folder import RunFolder
from shoal.runs.seeds import derive
from shoal.stats import paired_difference
from shoal.ui.wording import estimate

pytestmark = needs_browser

STEPS, SEEDS, AGENTS = 10, 3, 200
HOSTILE = "<script>document.title = 'cracked'</script>"


@pytest.fixture(scope="module")
def arms() -> tuple[Simulation, Simulation]:
    """Opinions as set, and if people listened to those farther from them."""
    model = make_model("opinion", agents=AGENTS)
    people = model.population(derive(0, "population") % 2**32)
    plain = simulate(model, STEPS, SEEDS, population=people)
    return plain, simulate(model, STEPS, SEEDS, {"confidence": 0.5}, population=people)


@pytest.fixture(scope="module")
def out(out: Path, arms: tuple[Simulation, Simulation]) -> Path:
    """A kept simulation and a kept calibration."""
    _kept_simulation(out, arms)
    _kept_calibration(out, arms[0])
    return out


def _kept_simulation(out: Path, arms: tuple[Simulation, Simulation]) -> None:
    """As `shoal simulate` leaves it, with answers of archetypes."""
    folder = RunFolder.create(out, "simulate-opinion", "test", kind="simulation", size="200 agents, 10 steps")
    named = zip(("as set", "what if"), arms, strict=True)
    pl.concat([s.frame().with_columns(arm=pl.lit(name)) for name, s in named]).write_parquet(
        folder.path / "series.parquet"
    )
    rows = [
        {"seed": 0, "week": week, "action": "isolate", "age": age, "people": 10, "yes": yes, "read": 4}
        for week in (0, 1)
        for age, yes in (("young", week), ("old", 3))
    ]
    pl.DataFrame(rows).write_parquet(folder.path / "answers.parquet")
    replies = [
        {"seed": 0, "week": 0, "action": "isolate", "archetype": 0, "age": "young", "sample": sample, "reply": said,
         "yes": yes, "unreadable": yes is None, "attempts": 1}
        for sample, (said, yes) in enumerate([("Yes, I do.", True), (HOSTILE, None), ("Yes, I do.", True)])
    ]  # fmt: skip
    pl.DataFrame(replies).write_parquet(folder.path / "replies.parquet")
    asked = {"as set": {"archetypes": 2, "queries": 16, "evidence": "scripted"}}
    summary = {
        "model": "opinion", "settings": {"agents": AGENTS}, "parameters": {},
        "counterfactual": {"parameters": {"confidence": 0.5}},
        "behaviour": {"kind": "archetypes", "model": "scripted", "actions": ["isolate"], "asked": asked},
    }  # fmt: skip
    folder.save(status="finished", summary=summary)
    folder.release()


def _kept_calibration(out: Path, plain: Simulation) -> None:
    """As `shoal calibrate` leaves it."""
    folder = RunFolder.create(out, "calibrate-opinion", "test", kind="calibration", size="200 agents, 10 steps")
    plain.frame().write_parquet(folder.path / "series.parquet")
    a, b = np.meshgrid([0.1, 0.2, 0.3], [0.4, 0.5], indexing="ij")
    loss = (a - 0.2) ** 2 + (b - 0.5) ** 2 + 0.01
    columns = {"confidence": a.ravel(), "convergence": b.ravel(), "loss": loss.ravel()}
    pl.DataFrame(columns).write_parquet(folder.path / "surface.parquet")
    trace = {"calls": [1, 2, 3], "loss": [0.3, 0.1, 0.2], "best": [0.3, 0.1, 0.1]}
    pl.DataFrame(trace).write_parquet(folder.path / "trace.parquet")
    summary = {
        "model": "opinion", "settings": {"agents": AGENTS}, "method": "random", "fitted": ["mean"], "window": [0, 9],
        "values": {"confidence": 0.21, "convergence": 0.5}, "loss": {"value": 0.01, "low": 0.005, "high": 0.02},
        "calls": 3,
        "intervals": [{"name": "confidence", "value": 0.21, "low": 0.1, "high": 0.3, "covers": 0.4, "note": ""}],
    }  # fmt: skip
    folder.save(status="finished", summary=summary)
    folder.release()


def kept(server: PageServer, kind: str) -> str:
    name = next(path.parent.name for path in server.out.glob(f"{kind}-*/run.json"))
    return f"{server.address}/populations/runs/{name}"


def simulated(page: Any, address: str) -> None:
    """The form of a model, small."""
    page.goto(f"{address}/populations/opinion")
    page.get_by_label("steps").fill(str(STEPS))
    page.get_by_label("runs").fill(str(SEEDS))
    page.get_by_text("Settings", exact=True).click()
    page.get_by_label("agents").fill(str(AGENTS))


@pytest.mark.parametrize(("width", "dark"), [(WIDE, False), (NARROW, True)], ids=["wide-light", "narrow-dark"])
def test_pages_are_clean(server: PageServer, chromium: Any, width: int, dark: bool) -> None:
    with visiting(chromium, width=width, dark=dark) as visit:
        page = visit.page
        page.goto(server.address + "/populations")
        page.get_by_role("link", name="epidemic").wait_for()
        visit.check()
        for kind in ("simulate", "calibrate"):
            page.goto(kept(server, kind))
            page.wait_for_selector(".chart svg")
            page.get_by_role("heading", name="Curves").wait_for()
            visit.check()


def test_a_counterfactual_pair_is_simulated_and_its_difference_is_paired(
    server: PageServer, chromium: Any, arms: tuple[Simulation, Simulation]
) -> None:
    with visiting(chromium) as visit:
        page = visit.page
        simulated(page, server.address)
        page.get_by_text("What if: parameters").click()
        page.get_by_label("confidence").nth(1).fill("0.5")
        page.get_by_role("button", name="Simulate").click()
        page.get_by_role("heading", name="What if confidence = 0.5?").wait_for()
        cells = page.get_by_role("region", name="Totals").locator("tr", has_text="deviation").locator("td")
        plain, what_if = arms
        difference = paired_difference(what_if.outcome("deviation"), plain.outcome("deviation"))
        said = {"estimate": difference.value, "ci_low": difference.low, "ci_high": difference.high}
        assert cells.nth(2).inner_text() == estimate(said)
        page.get_by_role("heading", name="Who is tied to whom").wait_for()
        page.get_by_role("heading", name="The first run").wait_for()
        page.wait_for_selector(".chart svg")
        with page.expect_download() as saved:
            page.get_by_role("button", name="Save opinions as CSV").click()
        with Path(saved.value.path()).open() as file:
            assert file.readline().strip() == "series,step,axis 1,value"
        visit.check()


def test_a_kept_run_shows_its_arms_and_its_archetypes(server: PageServer, chromium: Any) -> None:
    with visiting(chromium) as visit:
        page = visit.page
        page.goto(kept(server, "simulate"))
        page.get_by_role("heading", name="What if confidence = 0.5?").wait_for()
        page.get_by_role("heading", name="Answers of the archetypes").wait_for()
        chart = page.locator("[aria-label^='Share that says yes: isolate']")
        assert "young, 0: 0; young, 1: 0.25; old, 0: 0.75" in chart.get_attribute("aria-label")
        page.get_by_text("What was asked, as set").wait_for()
        replies = page.get_by_role("region", name="Replies").locator("tbody tr")
        assert replies.nth(0).locator("td").all_inner_texts()[2:] == [HOSTILE, "unreadable", "1", "0"]
        assert replies.nth(1).locator("td").all_inner_texts()[2:] == ["Yes, I do.", "yes", "2", "0"]
        assert page.title() != "cracked"


def test_a_calibration_shows_its_loss_surface(server: PageServer, chromium: Any) -> None:
    with visiting(chromium) as visit:
        page = visit.page
        page.goto(kept(server, "calibrate"))
        page.get_by_text("confidence: 0.21 [0.1, 0.3]").wait_for()
        chart = page.locator("[aria-label^='Loss surface']")
        chart.locator("svg").wait_for()
        assert "0.5, 0.2: -2" in chart.get_attribute("aria-label")
        page.get_by_text("Loss of the search").wait_for()


def test_bad_input_is_said_with_its_mend(server: PageServer, chromium: Any) -> None:
    with visiting(chromium) as visit:
        page = visit.page
        simulated(page, server.address)
        page.get_by_label("confidence").first.fill("2")
        page.get_by_role("button", name="Simulate").click()
        page.get_by_text("Use numbers from 0 to 1.").wait_for()
        page.get_by_label("confidence").first.fill("much")
        page.get_by_role("button", name="Simulate").click()
        page.get_by_text("Give a number").wait_for()
        for address in ("/populations/opinoin", "/populations/runs/none"):
            page.goto(server.address + address)
            page.wait_for_selector(".empty")
        visit.check()


def test_a_large_simulation_is_a_job_of_its_own(server: PageServer, chromium: Any) -> None:
    with visiting(chromium) as visit:
        page = visit.page
        simulated(page, server.address)
        page.get_by_label("agents").fill("100000000")
        page.get_by_role("button", name="Simulate").click()
        page.get_by_text("it runs as a job of its own").wait_for()
        page.get_by_text("would fit").wait_for()
