"""The report of a run as one file: what is in it, that it needs nothing else, and that it shows all as text."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

import shoal.diagnosis as diagnosis_package
from browser import NARROW, WIDE, needs_browser
from command_line import Shoal
from reports import opened, reported, until
from shoal import laboratory
from shoal.errors import InputError
from shoal.runs.folder import RunFolder
from shoal.traces import Event, Usage
from shoal.ui.report.page import open_subject, write_report
from shoal.ui.report.trace_data import MOST_EVENTS, embedded, trace_document
from shoal.ui.trace_diagnosis import diagnosed
from shoal.ui.trace_index import Selection, TraceIndex, read_index
from shoal.ui.trace_lanes import Lit, Window, window_document

HOSTILE = "<img src=x onerror=\"document.title='cracked'\"><script>document.title='cracked'</script></script>]]>"
MOST_BYTES = 15_000_000


def made(count: int, agents: int = 12) -> list[Event]:
    """A trace of agents that hear up to two of the forty events before."""
    rng = np.random.default_rng(0)
    speaker, heard = rng.integers(0, agents, count).tolist(), rng.integers(0, 3, count).tolist()
    back = rng.integers(1, 41, (count, 2)).tolist()
    kinds = ("model.call", "message", "decision")
    return [
        Event(
            str(i), f"run-{2 * i // count}", 1.7e9 + i // 2 * 0.01, i, f"agent-{speaker[i] + 1}", kinds[i % 3],
            tuple({str(i - b) for b in back[i][: heard[i]] if b <= i}), {"text": f"word {i} of {speaker[i]}"},
            Usage(20, 7, 1, money=0.001) if i % 3 == 0 else None,
        )
        for i in range(count)
    ]  # fmt: skip


def write_trace(path: Path, events: list[Event]) -> Path:
    path.write_bytes(b"\n".join(orjson.dumps(event.as_dict()) for event in events) + b"\n")
    return path


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for all that is reported on here."""
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module")
def team(out: Path) -> Path:
    """A run of a team, made in a thread of its own: this one may have a browser open, and its event loop with it."""
    asked = {"task": "sums", "model": "scripted:competence=0.5", "questions": 2, "out": out / "runs", "root": 1}
    with ThreadPoolExecutor(1) as pool:
        path: Path = pool.submit(lambda: laboratory.team("debate:agents=3", **asked).folder.path).result()
    return path


@pytest.fixture(scope="module")
def hostile(out: Path) -> Path:
    """A trace whose agents, kinds, ids and words are markup; one text is huge."""
    said = [
        Event("0", HOSTILE, 1.7e9, 0, HOSTILE, "message", (), {"content": HOSTILE, "to": [HOSTILE]}),
        Event(
            HOSTILE, HOSTILE, 1.7e9 + 1, 1, "b", HOSTILE, ("0",), {"prompt": [{"role": HOSTILE, "content": HOSTILE}]}
        ),
        Event("2", HOSTILE, 1.7e9 + 2, 2, "b", "message", (HOSTILE,), {"content": "x" * 300_000}),
    ]
    return reported(write_trace(out / "hostile.jsonl", said))


# --- what is in it ---


def test_a_long_trace_is_cut_and_says_so(out: Path) -> None:
    path = write_trace(out / "long.jsonl", made(MOST_EVENTS + 100))
    written = write_report(open_subject(path), out / "long.html")
    assert written.left_out == [
        "The first 20,000 of 20,100 events are here; `shoal ui` shows all of them, and `shoal diagnose` reads them."
    ]
    assert written.bytes == (out / "long.html").stat().st_size < MOST_BYTES


def test_long_texts_stay_within_the_size(out: Path) -> None:
    rng = np.random.default_rng(1)
    events = [
        Event(str(i), "r", 1.7e9, i, "a", "message", (), {"content": "<" * 3000 + str(rng.integers(10**9)) * 500})
        for i in range(4000)
    ]
    index = TraceIndex(events)
    document, kept = trace_document(index)
    assert 100 < kept < len(events)
    assert all(len(document[name]) == kept for name in ("agent", "kind", "moment", "ids", "says", "prompts", "usage"))
    assert len(embedded(document)) < 7_000_000


def test_a_text_without_a_form_in_unicode_is_kept() -> None:
    document, _ = trace_document(TraceIndex([Event("\ud800", "r", 0.0, 0, "\ud800a", "k", (), {"content": "b\udfff"})]))
    assert "b?" in embedded(document)


@pytest.mark.parametrize("name", ["langgraph", "team"])
def test_every_kind_of_subject_has_a_report(name: str, team: Path, out: Path, shoal: Shoal) -> None:
    sample = Path(shoal_samples(), "langgraph.jsonl")
    subject = shutil.copy(sample, out) if name == "langgraph" else team
    document = shoal.json("report", subject)
    page = Path(document["report"])
    assert page.parent == (out if name == "langgraph" else team)
    text = page.read_text()
    assert 'id="trace-data"' in text and document["bytes"] == len(text.encode()) < MOST_BYTES
    assert "http://" not in text.replace("http://www.w3.org/2000/svg", "").split("<main", 1)[0]


def shoal_samples() -> str:
    return str(Path(diagnosis_package.__path__[0]) / "samples")


def test_games_that_were_played_have_their_payoffs(out: Path, shoal: Shoal) -> None:
    folder = out / "played"
    arguments = ("play", "prisoners-dilemma", "--seats", "defector,tit-for-tat,random", "--table", "--repeats", 2)
    assert shoal(*arguments, "--out", folder) == 0
    page = reported(folder).read_text()
    assert "Payoff of the row against the column" in page and "<td>tit-for-tat</td>" in page


def test_crossed_policies_have_their_matrix(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "cross-play-climbing", "test", kind="cross-play", size="2 policies")
    e = {"value": 1.5, "low": 1.0, "high": 2.0}
    document = {"policies": ["one", "two<b>"], "row_seats": ["agent-0"], "episodes": 8, "matrix": [[e, e], [e, e]],
                "self_play": e, "cross_play": e, "gap": e, "gap_over_policies": e}  # fmt: skip
    (folder.path / "cross_play.json").write_bytes(orjson.dumps(document))
    page = reported(folder.path).read_text()
    assert page.count("1.5 [1, 2]") == 8 and "two&lt;b&gt;" in page and "<b>" not in page


@pytest.mark.parametrize(
    ("path", "to", "mend"),
    [
        ("nowhere", None, "last"), ("empty", None, "trace file"), ("broken.jsonl", None, "broken.jsonl"),
        ("picture.png", None, ".jsonl"), ("some.jsonl", "no/such/folder.html", "folder that exists"),
        ("some.jsonl", ".", "folder that exists"), ("some.jsonl", "some.jsonl", "another file"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_in_a_line_or_two(
    path: str, to: str | None, mend: str, tmp_path: Path, shoal: Shoal
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.jsonl").write_text("{broken\n")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    write_trace(tmp_path / "some.jsonl", made(3))
    options = ["--to", str(tmp_path / to)] if to is not None else []
    assert shoal("report", tmp_path / path, *options) == 2
    assert shoal.err.count("\n") <= 2 and (mend in shoal.err or path in shoal.err)
    assert "Traceback" not in shoal.err


def test_a_target_inside_a_run_is_not_a_trace(team: Path) -> None:
    with pytest.raises(InputError, match="folder that exists"):
        write_report(open_subject(team), team / "events.jsonl" / "x.html")


# --- in a browser ---


@needs_browser
@pytest.mark.parametrize(("width", "dark"), [(WIDE, False), (NARROW, True)], ids=["wide-light", "narrow-dark"])
def test_a_report_is_clean(team: Path, chromium: Any, width: int, dark: bool) -> None:
    with opened(chromium, reported(team), width, dark) as visit:
        until(visit.page, "shoalTraces.report.shown")
        visit.page.get_by_role("button", name="Next", exact=True).click()
        visit.check()
        assert visit.page.evaluate("document.body.classList.contains('body--dark')") == dark
        visit.page.get_by_role("button", name="Theme: auto").click()
        assert not visit.page.evaluate("document.body.classList.contains('body--dark')")


@needs_browser
def test_windows_of_an_embedded_trace_are_those_of_the_server(out: Path, chromium: Any) -> None:
    path = write_trace(out / "windows.jsonl", made(3000, agents=47))
    index = read_index((path,))
    asked = [
        (Selection(), Window(), Lit()),
        (Selection(), Window("time", bins=77), Lit(event=1700, path=(3, 900, 2400))),
        (Selection(), Window("step", 100.5, 900.25), Lit(event=700, text="WORD 70")),
        (Selection("run-1"), Window("time", 0.0, 2.0), Lit(path=(1600, 1700))),
        (Selection(agents=("agent-3", "agent-9"), kinds=("message", "decision")), Window(), Lit(event=31)),
        (Selection(text="of 12"), Window("time", 1.0), Lit()),
        (Selection(kinds=("nothing",)), Window(), Lit()),
        (Selection(agents=("agent-1",)), Window("step", 5000.0, 6000.0), Lit()),
    ]
    with opened(chromium, reported(path)) as visit:
        for selection, window, lit in asked:
            query = vars(selection) | vars(window) | {"event": lit.event, "path": lit.path, "find": lit.text}
            shown = visit.page.evaluate("(asked) => JSON.stringify(shoalTraces.report.source.lanes(asked))", query)
            expected = orjson.loads(orjson.dumps(window_document(index, selection, window, lit)))
            assert orjson.loads(shown) == expected, (selection, window, lit)
        visit.check()


@needs_browser
def test_a_trace_is_walked_with_keys_and_searched(team: Path, chromium: Any) -> None:
    index = read_index((team / "events.jsonl",))
    with opened(chromium, reported(team)) as visit:
        page = visit.page
        page.locator("canvas[data-trace]").focus()
        page.keyboard.press("Home")
        for key, place in (("ArrowRight", 1), ("End", len(index) - 1), ("ArrowLeft", len(index) - 2)):
            page.keyboard.press(key)
            page.get_by_role("heading", name=f"Event {place:,}", exact=True).wait_for()
        position = next(i for i in range(len(index)) if index.parents_of(i) and index.children_of(i))
        page.goto(page.url.partition("#")[0] + f"#event-{position}")
        page.reload()
        page.get_by_role("heading", name=f"Event {position}", exact=True).wait_for()
        page.locator("canvas[data-trace]").focus()
        page.keyboard.press("ArrowUp")
        page.get_by_role("heading", name=f"Event {max(index.parents_of(position))}", exact=True).wait_for()
        assert page.evaluate("location.hash") == f"#event-{max(index.parents_of(position))}"
        _, below = index.relatives(max(index.parents_of(position)))
        assert f"directly, {len(below)} over" in page.locator("[data-trace=event]").inner_text()
        page.get_by_label("Search text").fill("answer")
        found = index.found(Selection(text="answer"))
        page.get_by_text(f"{len(found)} matches", exact=True).wait_for()
        page.get_by_label("Only matches").check()
        until(page, f"shoalTraces.report.shown.matching === {len(found)}")
        page.locator("[data-trace=agent]").select_option(index.agents[-1])
        until(page, f"shoalTraces.report.filter.agents[0] === {orjson.dumps(index.agents[-1]).decode()}")
        page.get_by_role("button", name="Zoom in").click()
        visit.check()


@needs_browser
def test_the_diagnosis_leads_into_the_trace(out: Path, chromium: Any) -> None:
    sample = Path(shutil.copy(Path(shoal_samples(), "langgraph.jsonl"), out / "diagnosed.jsonl"))
    found = diagnosed([sample])["conversations"][0]
    suspect = found["suspects"][0]
    with opened(chromium, reported(sample)) as visit:
        page = visit.page
        panel = page.locator("#diagnosis details.panel").first
        assert found["headline"] in panel.locator("summary").inner_text()
        assert (
            panel.locator(".suspect h3")
            .first.inner_text()
            .startswith(f"1. {suspect['agent']}, step {suspect['step']}:")
        )
        assert panel.locator(".finding").first.inner_text().startswith(suspect["reasons"][0]["detector"])
        until(page, f"shoalTraces.report.lit.path.length == {len(suspect['positions'])}")
        panel.locator(".suspect > a").first.click()
        page.get_by_role("heading", name=f"Event {suspect['position']}", exact=True).wait_for()
        assert page.get_by_role("heading", name=f"Event {suspect['position']}", exact=True).is_visible()
        visit.check()


def test_a_trace_without_talk_is_not_diagnosed(out: Path) -> None:
    steps = [Event(str(i), "r", 1.7e9, i, "", "world.step", (), {"actions": [0]}) for i in range(3)]
    assert "diagnosis-data" not in reported(write_trace(out / "steps.jsonl", steps)).read_text().split("<main", 1)[1]


def test_a_fork_tells_what_was_changed(team: Path, out: Path) -> None:
    forked = Path(shutil.copytree(team, out / "forked"))
    folder = RunFolder.load(forked)
    told = {"run": team.name, "agent": "a", "turn": 0, "said": "4", "reply": "<5>", "before": "4", "after": "5"}
    folder.save(fork=told | {"before_right": True, "after_right": False})
    page = reported(forked).read_text()
    assert "<dd>&lt;5&gt;</dd>" in page and "<dd>5 (wrong)</dd>" in page and f"of the run {team.name}" in page


@needs_browser
def test_hostile_words_are_shown_as_text(hostile: Path, chromium: Any) -> None:
    text = hostile.read_text()
    assert HOSTILE not in text and "<img src=x" not in text
    with opened(chromium, hostile) as visit:
        page = visit.page
        page.locator("canvas[data-trace]").focus()
        page.keyboard.press("Home")
        page.get_by_role("heading", name="Event 0", exact=True).wait_for()
        assert page.locator("[data-trace=event] .said").first.inner_text() == HOSTILE
        page.keyboard.press("ArrowRight")
        page.get_by_text("What it read (1 message)").click()
        assert page.locator("details .said").first.inner_text() == HOSTILE
        page.keyboard.press("Tab")
        assert page.title() == "hostile.jsonl - shoal"
        assert page.evaluate("document.querySelectorAll('img[src=x]').length") == 0
        visit.check()


@needs_browser
def test_an_inline_script_that_is_not_the_reports_own_does_not_run(hostile: Path, out: Path, chromium: Any) -> None:
    """Even if some text were written as markup by mistake, the policy would hold it."""
    forged = out / "forged.html"
    forged.write_text(hostile.read_text().replace("</main>", "<script>document.title = 'cracked'</script></main>"))
    with opened(chromium, forged) as visit:
        until(visit.page, "shoalTraces.report.shown")
        assert visit.page.title() == "hostile.jsonl - shoal"
        assert any("Content Security Policy" in complaint for complaint in visit.complaints)


@needs_browser
def test_figures_and_tables_are_saved(team: Path, chromium: Any) -> None:
    with opened(chromium, reported(team)) as visit:
        page = visit.page
        with page.expect_download() as table:
            page.get_by_role("button", name="Save Means over seeds as CSV").click()
        lines = Path(table.value.path()).read_text().splitlines()
        assert lines[0] == "experiment,variant,metric,mean [95%],seeds" and len(lines) > 3
        with page.expect_download() as picture:
            page.get_by_role("button", name="as PNG").first.click()
        assert Path(picture.value.path()).read_bytes().startswith(b"\x89PNG")
