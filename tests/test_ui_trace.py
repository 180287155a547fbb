"""The trace page: windows and their exact counts, ancestry, costs, forks, and all of it in a real browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

import shoal.diagnosis
from browser import NARROW, WIDE, PageServer, needs_browser, visiting
from shoal import laboratory
from shoal.diagnosis.forking import forecast, fork, place_of
from shoal.errors import InputError, UnknownName
from shoal.runs.folder import RunFolder
from shoal.traces import Event, Usage
from shoal.ui import trace_interface
from shoal.ui.trace_costs import by_agent, by_edge
from shoal.ui.trace_diagnosis import detector_scores, diagnosed
from shoal.ui.trace_index import Selection, TraceIndex, foreign_files, open_index
from shoal.ui.trace_lanes import MOST_ARROWS, MOST_EVENTS, MOST_LANES, Lit, Mark, Window, window_document
from shoal.ui.workspace import Workspace

MANY = 100_000
HOSTILE = '<img src=x onerror="document.title=1"><script>document.title=2</script>'


def made(count: int, agents: int = 12, seed: int = 0) -> list[Event]:
    """A trace of agents that hear up to two of the forty events before."""
    rng = np.random.default_rng(seed)
    speaker = rng.integers(0, agents, count).tolist()
    heard = rng.integers(0, 3, count).tolist()
    back = rng.integers(1, 41, (count, 2)).tolist()
    kinds = ("model.call", "message", "decision")
    return [
        Event(
            str(i), "made", 1.7e9 + i // 2 * 0.01, i, f"agent-{speaker[i] + 1}", kinds[i % 3],
            tuple({str(i - b) for b in back[i][: heard[i]] if b <= i}), {"text": f"word {i} of {speaker[i]}"},
            Usage(20, 7, 1, money=0.001) if i % 3 == 0 else None,
        )
        for i in range(count)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def many() -> TraceIndex:
    return TraceIndex(made(MANY))


@pytest.fixture(scope="module")
def some() -> TraceIndex:
    return TraceIndex(made(4000, agents=MOST_LANES + 7))


def shown(document: dict[str, Any]) -> int:
    return sum(cell[2] for cell in document["cells"]) if document["form"] == "bins" else len(document["events"])


@given(
    axis=st.sampled_from(("step", "time")),
    low=st.floats(-0.2, 1.2),
    width=st.floats(0, 1.4),
    bins=st.integers(1, 400),
    agents=st.sets(st.integers(1, 47), max_size=3),
    kinds=st.sets(st.sampled_from(("model.call", "message", "none")), max_size=2),
)
def test_the_bins_of_a_window_sum_up_to_its_events(
    some: TraceIndex, axis: Any, low: float, width: float, bins: int, agents: set[int], kinds: set[str]
) -> None:
    names = tuple(sorted(f"agent-{a}" for a in agents))
    selection = Selection(agents=names, kinds=tuple(sorted(kinds)))
    span = 3999.0 if axis == "step" else float(some.moment.max())
    start, end = low * span, (low + width) * span
    document = window_document(some, selection, Window(axis, start, end, bins), Lit())
    inside = [
        event
        for place, event in enumerate(some.events)
        if start <= (place if axis == "step" else some.moment[place]) <= end
        and (not names or event.agent in names)
        and (not kinds or event.kind in kinds)
    ]
    assert document["total"] == len(inside) == shown(document)
    assert len(document["lanes"]) <= MOST_LANES
    lanes = document["lanes"]
    counts = [0] * len(lanes)
    for row in document["cells"] if document["form"] == "bins" else [[e[1], 0, 1] for e in document["events"]]:
        counts[row[0]] += row[2]
    for lane, count in zip(lanes, counts, strict=True):
        if not lane["name"].endswith("other agents"):
            assert count == sum(event.agent == lane["name"] for event in inside)


def test_bins_are_where_their_events_are() -> None:
    index = TraceIndex(made(2000, agents=1))
    document = window_document(index, Selection(), Window("step", 0, 1999, 4), Lit())
    assert [cell[:3] for cell in document["cells"]] == [[0, 0, 500], [0, 1, 500], [0, 2, 500], [0, 3, 500]]


def test_no_window_of_a_large_trace_sends_much(many: TraceIndex) -> None:
    for axis in ("step", "time"):
        for share in (1.0, 0.3, 0.1, 0.02, 0.012, 0.001):
            end = (MANY if axis == "step" else float(many.moment.max())) * share
            document = window_document(many, Selection(), Window(axis, 0, end, 300), Lit(event=5000))
            assert shown(document) == document["total"]
            assert len(document["arrows"]) <= MOST_ARROWS
            if document["form"] == "events":
                assert document["total"] <= MOST_EVENTS
            else:
                assert len(document["cells"]) <= 12 * 300
            assert len(orjson.dumps(document)) < 200_000


def test_ancestry_is_that_of_the_links_and_lights_the_lanes(some: TraceIndex) -> None:
    parents = {i: [int(p) for p in e.parents] for i, e in enumerate(some.events)}
    position = max(range(3000, 3100), key=lambda i: len(parents[i]))
    expected, left = set[int](), [position]
    while left:
        for parent in parents[left.pop()]:
            if parent not in expected:
                expected.add(parent)
                left.append(parent)
    above, below = some.relatives(position)
    assert set(above.tolist()) == expected
    assert all(position in set(some.relatives(int(d))[0].tolist()) for d in below[:5])
    assert some.parents_of(position) == sorted(parents[position])
    assert position in [c for p in parents[position] for c in some.children_of(p)]
    near = window_document(some, Selection(), Window("step", 2500, 3500), Lit(event=position, path=(2600, 2700)))
    marks = {event[0]: event[4] for event in near["events"]}
    assert {p for p, m in marks.items() if m & Mark.ANCESTOR} == {p for p in expected if p >= 2500} | {position}
    assert marks[2600] & Mark.PATH and marks[position] & Mark.CHOSEN
    far = window_document(some, Selection(), Window(), Lit(event=position))
    assert sum(cell[3] for cell in far["cells"]) == len(expected) + 1
    assert set(some.generations(position).values()) <= set(range(-3, 4))
    with pytest.raises(UnknownName, match="0 to 3999"):
        some.relatives(4000)


def test_ids_count_within_their_run() -> None:
    events = [
        Event("0", "one", 1.0, 0, "a", "message"), Event("1", "one", 2.0, 1, "b", "message", ("0",)),
        Event("0", "two", 3.0, 0, "a", "message"), Event("1", "two", 4.0, 1, "b", "message", ("0",)),
    ]  # fmt: skip
    index = TraceIndex(events)
    assert index.parents_of(3) == [2] and index.parents_of(1) == [0]
    assert list(index.parts) == ["one", "two"]
    document = window_document(index, Selection("two"), Window("time"), Lit())
    assert [event[:3] for event in document["events"]] == [[2, 0, 0.0], [3, 1, 1.0]]


def test_moves_go_through_what_is_selected(some: TraceIndex) -> None:
    calls = Selection(kinds=("model.call",))
    assert some.beside(0, calls, 1) == 3 and some.beside(4, calls, -1) == 3
    own = some.beside(0, Selection(), 1, own=True)
    assert own is not None and some.events[own].agent == some.events[0].agent
    assert all(e.agent != some.events[0].agent for e in some.events[1:own])
    assert some.beside(3999, Selection(), 1) is None and some.beside(0, Selection(), -1) is None
    assert some.found(Selection(text="WORD 777 OF")).tolist() == [777]


def test_costs_by_agent_and_by_edge_sum_up_to_the_total(some: TraceIndex) -> None:
    places = some.of_part("")
    total = sum(e.usage.tokens for e in some.events if e.usage)
    agents, edges = by_agent(some, places), by_edge(some, places)
    assert sum(row["tokens"] for row in agents) == total
    assert sum(row["tokens"] for row in edges) == pytest.approx(total)
    assert sum(row["money"] for row in edges) == pytest.approx(sum(e.usage.money for e in some.events if e.usage))
    assert sum(row["links"] for row in edges if row["from"] != "(nothing)") == len(some.children)
    into = sum(row["tokens"] for row in edges if row["to"] == "agent-1")
    assert into == pytest.approx(next(row["tokens"] for row in agents if row["agent"] == "agent-1"))


# --- a folder of runs ---


def write_trace(path: Path, events: list[Event]) -> None:
    path.write_bytes(b"\n".join(orjson.dumps(event.as_dict()) for event in events) + b"\n")


@pytest.fixture(scope="module")
def out(out: Path) -> Path:
    """A team's run and trace files: large, hostile, and of another framework."""
    laboratory.team("debate:agents=3", model="scripted:competence=0.5,sycophancy=0.3", questions=2, out=out, root=1)
    write_trace(out / "many.jsonl", made(MANY))
    write_trace(
        out / "hostile.jsonl",
        [
            Event("0", "r", 1.7e9, 0, HOSTILE, "message", (), {"content": HOSTILE}),
            Event("1", "r", 1.7e9 + 1, 1, "b", "message", ("0",), {"content": "x" * 300_000 + " the end"}),
        ],
    )
    (out / "others").mkdir()
    shutil.copy(Path(shoal.diagnosis.__path__[0]) / "samples" / "langgraph.jsonl", out / "others")
    (out.parent / "secret.jsonl").write_text('{"agent": "a", "content": "b"}\n')
    (out / "way-out.jsonl").symlink_to(out.parent / "secret.jsonl")
    return out


def team_run(out: Path) -> RunFolder:
    return RunFolder.load(next(out.glob("team-*")))


def test_no_file_outside_the_folder_is_opened(out: Path) -> None:
    workspace = Workspace(out)
    assert foreign_files(workspace) == ["hostile.jsonl", "many.jsonl", "others/langgraph.jsonl"]
    assert open_index(workspace, file="others/langgraph.jsonl").form == "langgraph"
    run = team_run(out).path.name
    hidden = f"{run}/.lock"
    for name in (
        "../secret.jsonl",
        str(out.parent / "secret.jsonl"),
        "way-out.jsonl",
        hidden,
        "a\0b",
        ".",
        "\ud800",
        "x" * 5000,
    ):
        with pytest.raises(UnknownName):
            open_index(workspace, file=name)
    with pytest.raises(UnknownName):
        open_index(workspace, run="../runs")
    with pytest.raises(InputError, match="one of them"):
        open_index(workspace, run=run, file="many.jsonl")


@pytest.fixture(scope="module")
def client(out: Path) -> Iterator[TestClient]:
    application = FastAPI()
    application.include_router(trace_interface.router(Workspace(out)), prefix="/api")
    with TestClient(application) as client:
        yield client


def test_the_interface_tells_windows_events_ancestry_and_costs(out: Path, client: TestClient) -> None:
    run = {"run": team_run(out).path.name}
    parts = client.get("/api/trace/parts", params=run).json()
    assert parts["format"] == "shoal" and sum(p["events"] for p in parts["parts"]) == parts["events"]
    part = parts["parts"][0]
    lanes = client.get("/api/trace/lanes", params=run | {"part": part["part"], "axis": "time"}).json()
    assert lanes["total"] == part["events"] == len(lanes["events"])
    calls = client.get("/api/trace/events", params=run | {"kinds": "model.call", "count": 3}).json()
    assert [e["kind"] for e in calls["events"]] == ["model.call"] * 3 and calls["total"] > 3
    end = lanes["events"][-1][0]
    event = client.get(f"/api/trace/events/{end}", params=run).json()
    assert event["kind"] == "task.end" and len(event["parents_at"]) == 2
    ancestry = client.get(f"/api/trace/events/{end}/ancestry", params=run).json()
    assert ancestry["ancestors"] == part["events"] - 1 and ancestry["descendants"] == 0
    assert len(client.get("/openapi.json").json()["paths"]) == 6
    costs = client.get("/api/trace/costs", params=run).json()
    assert sum(row["calls"] for row in costs["agents"]) == calls["total"]


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("lanes", 409), ("lanes?run=none", 404), ("lanes?file=../secret.jsonl", 404),
        ("lanes?file=hostile.jsonl&part=x", 404), ("lanes?file=hostile.jsonl&event=2", 404),
        ("events/2?file=hostile.jsonl", 404), ("lanes?file=hostile.jsonl&start=nan", 422),
        ("lanes?file=hostile.jsonl&bins=0", 422), ("events/-1?file=hostile.jsonl", 422),
        ("lanes?file=hostile.jsonl&start=9&end=1&path=7&path=999999999", 200),
    ],
)  # fmt: skip
def test_the_interface_refuses_what_is_not_there(client: TestClient, address: str, code: int) -> None:
    answer = client.get(f"/api/trace/{address}")
    assert answer.status_code == code
    assert code in (200, 422) or answer.json()["error"]


# --- forks ---


def test_a_fork_repeats_the_run_up_to_the_change(out: Path) -> None:
    folder = team_run(out)
    workspace = Workspace(out)
    index = open_index(workspace, run=folder.path.name)
    part = next(name for name in index.parts if "debate" in name)
    own = [int(p) for p in index.of_part(part)]
    told = next(p for p in own if index.events[p].kind == "message")
    place = place_of(folder, index.events, told)
    first = [p for p in own if index.events[p].kind == "model.call"]
    assert place.call.kind == "model.call" and place.call.agent == index.events[told].agent
    assert place.later == len(first) - 1 - first.index(index.parents_of(told)[0])
    expected = forecast(place, samples=2)
    assert expected.calls == 5 * place.later and not expected.paid and expected.dollars == 0
    forked = fork(place, index.events, "Answer: 123456", 2, out)
    assert forked.effect.departed == 0
    assert forked.before == place.talk.outcome
    changed = open_index(workspace, run=forked.folder.path.name)
    assert not changed.problems
    assert "Answer: 123456" in [e.payload.get("text") for e in changed.events]
    assert changed.events[-1].payload["answer"] == forked.after
    assert "Answer: 123456" not in [e.payload.get("text") for e in index.events]
    with pytest.raises(InputError, match="fork"):
        place_of(forked.folder, changed.events, 1)
    shutil.rmtree(forked.folder.path)


def test_an_unchanged_reply_changes_nothing(out: Path) -> None:
    folder = team_run(out)
    events = open_index(Workspace(out), run=folder.path.name).events
    calls = [p for p, e in enumerate(events) if e.kind == "model.call"]
    for position in (calls[-1], calls[len(calls) // 2]):  # the greedy call, and the rival within its budget
        place = place_of(folder, events, position)
        forked = fork(place, events, place.call.payload["text"], 2, out)
        assert forked.effect.departed == 0 and forked.effect.difference.value == 0
        shutil.rmtree(forked.folder.path)


def test_what_cannot_be_forked_says_why(out: Path, tmp_path: Path) -> None:
    folder = team_run(out)
    events = open_index(Workspace(out), run=folder.path.name).events
    start = next(p for p, e in enumerate(events) if e.kind == "task.start")
    with pytest.raises(InputError, match="model's reply"):
        place_of(folder, events, start)
    with pytest.raises(InputError, match="shoal team"):
        place_of(RunFolder(folder.path, folder.info | {"name": "selforg"}), events, 5)
    with pytest.raises(InputError, match="plays a log back"):
        place_of(RunFolder(folder.path, folder.info | {"models": {"comparison": "recorded:x"}}), events, 5)
    place = place_of(folder, events, next(p for p, e in enumerate(events) if e.kind == "model.call"))
    with pytest.raises(InputError, match="1 to 100"):
        fork(place, events, "", 0, tmp_path)


# --- diagnosis ---


def test_the_diagnosis_names_places_in_the_trace(out: Path) -> None:
    index = open_index(Workspace(out), file="others/langgraph.jsonl")
    found = diagnosed([out / "others" / "langgraph.jsonl"], failed=True)
    (talk,) = found["conversations"]
    suspect = talk["suspects"][0]
    assert suspect["agent"] == "checker" == index.events[suspect["position"]].agent
    assert suspect["positions"][0] == suspect["position"]
    for finding in talk["findings"]:
        assert [index.events[p].id for p in finding["positions"]] == finding["events"]
    scores = detector_scores()
    assert set(scores) > {"contradiction", "loop"} and all(0 <= s["recall"] <= 1 for s in scores.values())


# --- in a browser ---


def open_page(page: Any, address: str) -> None:
    page.goto(address)
    page.wait_for_function("typeof shoalTraces == 'object' && Object.values(shoalTraces)[0]?.shown", timeout=30_000)


def sent(page: Any) -> dict[str, Any]:
    """What the last window held."""
    found: dict[str, Any] = page.evaluate("Object.values(shoalTraces)[0].last")
    return found


@needs_browser
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_the_page_is_clean_in_both_themes_and_widths(server: PageServer, chromium: Any, width: int, dark: bool) -> None:
    with visiting(chromium, width=width, dark=dark) as visit:
        open_page(visit.page, f"{server.address}/runs/{team_run(server.out).path.name}/trace?at=20")
        visit.page.wait_for_selector(".chart svg")
        visit.check()


@needs_browser
def test_a_hundred_thousand_events_are_searched_zoomed_and_walked(server: PageServer, chromium: Any) -> None:
    with visiting(chromium) as visit:
        page = visit.page
        open_page(page, f"{server.address}/trace?file=many.jsonl")
        assert sent(page)["form"] == "bins" and sent(page)["items"] <= 12 * 300
        page.get_by_label("Search text").fill("word 77777 of")
        page.get_by_role("heading", name="Event 77,777").wait_for()
        page.get_by_text("1 match", exact=True).wait_for()
        lanes = page.locator(".lanes canvas")
        lanes.focus()
        for _ in range(9):
            lanes.press("+")
        page.wait_for_function("Object.values(shoalTraces)[0].last.form == 'events'")
        assert 0 < sent(page)["items"] <= MOST_EVENTS and sent(page)["bytes"] < 200_000
        lanes.press("ArrowRight")
        page.get_by_role("heading", name="Event 77,778").wait_for()
        lanes.press("ArrowLeft")
        page.get_by_role("heading", name="Event 77,777").wait_for()
        own = made(MANY)[77_777].agent
        lanes.press("Shift+ArrowRight")
        page.wait_for_function("!document.body.innerText.includes('Event 77,777')")
        assert own in page.locator("section[aria-label='Chosen event'] .facts").inner_text()
        lanes.press("Home")
        page.get_by_role("heading", name="Event 0", exact=True).wait_for()
        page.wait_for_function("Object.values(shoalTraces)[0].shown.start == 0")
        assert page.url.endswith("at=0")
        assert sent(page)["requests"] < 30
        assert not visit.complaints


@needs_browser
def test_a_window_that_comes_late_does_not_undo_a_zoom(server: PageServer, chromium: Any) -> None:
    with visiting(chromium) as visit:
        page = visit.page
        open_page(page, f"{server.address}/trace?file=many.jsonl&at=50000")
        page.evaluate(
            """() => {
                const lanes = ServedTrace.prototype.lanes;
                ServedTrace.prototype.lanes = async function (...asked) {
                    const shown = await lanes.apply(this, asked);
                    await new Promise((go) => setTimeout(go, 500));
                    return shown;
                };
            }"""
        )
        page.get_by_role("button", name="Zoom to all").click()  # its answer comes in the midst of the keys below
        lanes = page.locator(".lanes canvas")
        lanes.focus()
        for _ in range(9):
            lanes.press("+")
            page.wait_for_timeout(100)
        page.wait_for_function("Object.values(shoalTraces)[0].last.form == 'events'")
        shown = page.evaluate("[Object.values(shoalTraces)[0].shown.start, Object.values(shoalTraces)[0].shown.end]")
        assert shown[0] <= 50_000 <= shown[1]
        page.get_by_label("Search text").fill("word 77777 of")  # reveals an event; a zoom on the way does not forget it
        page.wait_for_function("Object.values(shoalTraces)[0].lit.event == 77777")
        lanes.press("-")
        page.wait_for_function(
            "(({ start, end }) => start <= 77777 && 77777 <= end)(Object.values(shoalTraces)[0].shown)"
        )
        assert not visit.complaints


@needs_browser
def test_messages_are_shown_as_text_and_cut(server: PageServer, chromium: Any) -> None:
    with visiting(chromium) as visit:
        page = visit.page
        open_page(page, f"{server.address}/trace?file=hostile.jsonl&at=0")
        assert HOSTILE in page.locator(".said").first.inner_text()
        panel = page.locator("section[aria-label='Chosen event']")
        assert panel.locator("img").count() == 0
        page.get_by_role("link", name="1 b, message").click()  # the child
        page.get_by_role("heading", name="Event 1", exact=True).wait_for()
        assert len(page.locator(".said").first.inner_text()) < 3000
        page.get_by_role("button", name="Show all (").click()
        page.wait_for_function("document.querySelector('.said').textContent.endsWith(' the end')")
        assert page.title().startswith("Trace hostile.jsonl")
        visit.check()


@needs_browser
def test_a_message_is_changed_and_the_rest_sampled_anew(server: PageServer, chromium: Any) -> None:
    run = team_run(server.out)
    events = open_index(Workspace(server.out), run=run.path.name).events
    at = next(p for p, e in enumerate(events) if e.kind == "model.call")
    with visiting(chromium) as visit:
        page = visit.page
        open_page(page, f"{server.address}/runs/{run.path.name}/trace?at={at}")
        page.get_by_role("button", name="Change this message").click()
        page.get_by_label("It says instead").fill("Answer: 424242")
        page.get_by_role("button", name="Tell the calls").click()
        page.get_by_role("button", name="Do not").click()
        page.get_by_role("dialog").wait_for(state="detached")
        assert not list(server.out.glob("fork-*"))
        page.get_by_role("button", name="Tell the calls").click()
        assert "no money" in page.get_by_role("dialog").inner_text()
        page.get_by_role("button", name="Sample", exact=True).click()
        page.get_by_role("link", name="Trace of the changed run").click()
        page.get_by_text("one message was changed").wait_for()
        page.get_by_role("link", name="Trace of the run before").wait_for()
        page.get_by_label("Search text").fill("424242")
        page.get_by_role("heading", name="Event").wait_for()
        visit.check()


@needs_browser
def test_a_foreign_trace_is_diagnosed_and_its_path_marked(server: PageServer, chromium: Any) -> None:
    with visiting(chromium) as visit:
        page = visit.page
        page.goto(f"{server.address}/trace")
        page.get_by_role("link", name="others/langgraph.jsonl").click()
        page.get_by_role("combobox", name="How it ended").click()
        page.get_by_role("option", name="it failed").click()
        page.get_by_role("button", name="Diagnose").click()
        page.get_by_text("Likeliest cause: checker").wait_for(timeout=30_000)
        page.get_by_text("planted faults: found").first.wait_for()
        page.wait_for_function("Object.values(shoalTraces)[0].lit.path.length > 1")
        page.locator(".suspect a").first.click()
        page.get_by_text("does not tell how to build its team").wait_for()
        visit.check()
