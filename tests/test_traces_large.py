"""Columns, causality and exports: the same answers as the plain way, at any size."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.errors import InputError, UnknownName
from shoal.traces import Event, read_trace
from shoal.traces import table as table_module
from shoal.traces.causality import Causality
from shoal.traces.exporters import export_trace, merged, otlp
from shoal.traces.importers import import_trace
from shoal.traces.importers.otlp_protobuf import decode_export
from shoal.traces.receiver import Receiver, receive
from shoal.traces.table import read_table, write_table

SAMPLES = Path(__file__).parent / "data" / "traces"
PACKED = SAMPLES / "opentelemetry.pb"
LINKS = st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=30)


@given(LINKS)
@settings(max_examples=150, deadline=None)
def test_causality_agrees_with_networkx(links: list[tuple[int, int]]) -> None:
    children, parents = (np.array([p[k] for p in links], dtype=np.int64) for k in (0, 1))
    index = Causality(12, children, parents)
    graph = nx.DiGraph()
    graph.add_nodes_from(range(12))
    graph.add_edges_from((p, c) for c, p in links)
    for node in range(12):
        assert index.ancestors_of(node).tolist() == sorted(nx.ancestors(graph, node))
        assert index.descendants_of(node).tolist() == sorted(nx.descendants(graph, node))
    cyclic = {n for part in nx.strongly_connected_components(graph) for n in part if len(part) > 1}
    assert set(index.cyclic().tolist()) == cyclic | {c for c, p in links if c == p}


def test_causality_by_name() -> None:
    events = [
        Event(n, "r", 0.0, i, "a", "note", tuple(p)) for i, (n, p) in enumerate([("x", ""), ("y", "x"), ("z", "yq")])
    ]
    index = Causality.of(events)
    assert index.ancestors("z") == ["x", "y"]
    assert index.descendants("x") == ["y", "z"]
    with pytest.raises(UnknownName, match="no-such"):
        index.ancestors("no-such")


def flat(count: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    return [
        {
            "id": i, "parents": sorted({int(rng.integers(max(0, i - 50), i)) for _ in range(2)}) if i else [],
            "agent": f"agent-{i % 7}", "time": 1.7e9 + i, "kind": ("llm", "tool")[i % 2], "text": f"words {i}",
            "score": i / 2,
        }
        for i in range(count)
    ]  # fmt: skip


def write(path: Path, records: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(r) + "\n" for r in records))
    return path


def test_the_table_agrees_with_the_importer(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", flat(500))
    table, imported = read_table(path), import_trace(path)
    assert table.problems.counts == imported.problems.counts == {}
    assert table.frame.get_column("text").to_list() == [e.payload["content"] for e in imported.trace]
    assert table.frame.get_column("score").to_list() == [r["score"] for r in flat(500)]  # unknown fields stay
    index = Causality.of(imported.trace)
    for name in ("499", "250", "0"):
        assert table.causality.ancestors(name) == index.ancestors(name)
        assert table.causality.descendants(name) == index.descendants(name)
    groups = {(r["agent"], r["kind"]): r["events"] for r in table.by().iter_rows(named=True)}
    assert sum(groups.values()) == 500
    assert len(groups) == 14


def test_the_table_counts_what_is_wrong_with_the_same_words(tmp_path: Path) -> None:
    records = flat(40)
    records[10]["time"] = 5.0
    records[39] |= {"id": 3, "mood": "late field"}
    records[12]["parents"] = [99999]
    records[20]["parents"] = [21]
    records[21]["parents"] = [20]
    records[30]["text"] = "key sk-" + "a" * 30
    path = write(tmp_path / "a.jsonl", records)
    text = path.read_text().splitlines()
    text.insert(5, '{"torn": ')
    path.write_text("\n".join(text))
    table = read_table(path)
    assert len(table) == 40
    assert table.problems.counts == {
        "not JSON": 1, "clock goes backwards": 1, "duplicate id": 1, "unknown parent": 1, "cyclic parents": 2,
    }  # fmt: skip
    places = {p.kind: p.where for p in table.problems.located}
    assert places["not JSON"] == "a.jsonl:6"
    assert places["duplicate id"] == "a.jsonl:41"
    assert table.redacted == {"API key": 1}
    assert "mood" in table.frame.columns
    assert "[redacted: API key]" in table.frame.get_column("text")[30]


def test_fields_that_appear_late_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_module, "SAMPLED", 20)
    for change in ({"mood": "calm"}, {"text": 'says "mood": calm'}, {"score": None}):
        records = flat(100)
        records[77] |= change
        table = read_table(write(tmp_path / "a.jsonl", records))
        for name, value in change.items():
            assert table.frame.get_column(name)[77] == value
        assert table.problems.total == 0


def test_tables_of_named_runs_with_text_ids(tmp_path: Path) -> None:
    records = [
        {"id": f"e{i}", "run": run, "agent": "a", "content": "x", "timestamp": f"2026-01-01T00:00:{i:02d}Z",
         "parents": [f"e{i - 1}"] if i else []}
        for run in ("one", "two") for i in range(5)
    ]  # fmt: skip
    table = read_table(write(tmp_path / "a.jsonl", records))
    assert table.problems.total == 0
    assert table.causality.ancestors_of(9).tolist() == [5, 6, 7, 8]
    write_table(table, tmp_path / "a.parquet")
    again = import_trace(tmp_path / "a.parquet")
    assert again.format == "shoal"
    with pytest.raises(InputError, match="--to"):
        write_table(table, tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("content", "rows", "problems"),
    [(b"", 0, 0), (b"\x00" * 50, 0, 0), (b"{}\n{}\n", 0, 0), (b"[]\n", 0, 0), (b'{"a":1}', 1, 0),
     (b"no json\n" * 3, 0, 3)],
)  # fmt: skip
def test_tables_survive_anything_and_count_what_they_cannot_read(
    content: bytes, rows: int, problems: int, tmp_path: Path
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    table = read_table(path)
    assert (len(table), table.problems.total) == (rows, problems)


@pytest.mark.parametrize("form", ["jsonl", "parquet", "otlp.json"])
@pytest.mark.parametrize("name", ["autogen.json", "langgraph-events.jsonl", "opentelemetry.json", "chat.jsonl"])
def test_exports_come_back_whole(name: str, form: str, tmp_path: Path) -> None:
    before = import_trace(SAMPLES / name)
    path = tmp_path / f"out.{form}"
    export_trace(before, path)
    after = import_trace(path)
    assert after.problems.total == 0, after.problems.lines()
    events = [e for e in after.trace if e.kind != "trace.start"]
    assert [
        (e.id, e.run, e.agent, e.kind, set(e.parents), e.payload) for e in sorted(events, key=lambda e: e.step)
    ] == [(e.id, e.run, e.agent, e.kind, set(e.parents), e.payload) for e in before.trace]
    assert after.trace.usage().tokens == before.trace.usage().tokens


def test_labels_travel_in_json_lines_and_stay_apart(tmp_path: Path) -> None:
    before = import_trace(SAMPLES / "who-and-when-hand.json")
    export_trace(before, tmp_path / "out.jsonl")
    after = import_trace(tmp_path / "out.jsonl")
    assert after.labels == before.labels
    assert "label" not in {e.kind for e in after.trace}
    assert read_trace(tmp_path / "out.jsonl").problems == []


def test_otlp_has_ids_and_genai_attributes() -> None:
    document = otlp(import_trace(SAMPLES / "langgraph-events.jsonl").trace.events)
    spans = document["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert all(len(s["traceId"]) == 32 and len(s["spanId"]) == 16 for s in spans)
    assert len({s["spanId"] for s in spans}) == len(spans)
    known = {s["spanId"] for s in spans}
    assert all(s.get("parentSpanId", spans[0]["spanId"]) in known for s in spans)
    call = next(s for s in spans if s["name"] == "chat researcher")
    attributes = {a["key"]: a["value"] for a in call["attributes"]}
    assert attributes["gen_ai.operation.name"] == {"stringValue": "chat"}
    assert attributes["gen_ai.usage.input_tokens"] == {"intValue": "20"}


def test_merging_keeps_runs_of_one_name_apart(tmp_path: Path) -> None:
    files = []
    for name in ("a", "b"):
        path = write(tmp_path / f"{name}.jsonl", [{"agent": "x", "content": name, "run": "same"}])
        files.append(import_trace(path))
    assert merged(files).runs == ["same", "b:same"]
    with pytest.raises(InputError, match="--as"):
        export_trace(files[0], tmp_path / "out.txt")


async def test_the_receiver_takes_spans_over_http(tmp_path: Path) -> None:
    import aiohttp

    receiver, stop, urls = Receiver(tmp_path / "a.otlp.jsonl"), asyncio.Event(), list[str]()
    task = asyncio.create_task(receiver.serve(0, urls.append, stop))
    while not urls:
        await asyncio.sleep(0.01)
        assert not task.done()
    body = (SAMPLES / "opentelemetry.json").read_text().replace("84 km", "84 km, key AKIAABCDEFGHIJKLMNOP")
    async with aiohttp.ClientSession() as session:
        async with session.post(
            f"{urls[0]}/v1/traces", data=body, headers={"Content-Type": "application/json"}
        ) as reply:
            assert reply.status == 200
        async with session.post(f"{urls[0]}/v1/traces", data="{}") as reply:
            assert reply.status == 400
        packed = {"Content-Type": "application/x-protobuf"}
        async with session.post(f"{urls[0]}/v1/traces", data=PACKED.read_bytes(), headers=packed) as reply:
            assert (reply.status, await reply.read()) == (200, b"")
        async with session.post(f"{urls[0]}/v1/traces", data=b"\x0a\x7f", headers=packed) as reply:
            assert reply.status == 400
    stop.set()
    await task
    assert (receiver.requests, receiver.spans, receiver.refused) == (2, 18, 2)
    assert "AKIA" not in (tmp_path / "a.otlp.jsonl").read_text()
    found = import_trace(tmp_path / "a.otlp.jsonl")
    assert found.problems.counts == {"duplicate id": 9}  # the same spans came in both forms
    assert len(found.trace) == 18


def test_packed_spans_are_read_like_those_in_json() -> None:
    document = json.loads((SAMPLES / "opentelemetry.json").read_text())
    decoded = decode_export(PACKED.read_bytes())
    assert decoded["resourceSpans"][0]["resource"] == document["resourceSpans"][0]["resource"]
    kinds = {"SPAN_KIND_INTERNAL": 1}
    for span, other in zip(
        *(d["resourceSpans"][0]["scopeSpans"][0]["spans"] for d in (decoded, document)), strict=True
    ):
        other["kind"] = kinds[other["kind"]]
        assert {k: v for k, v in span.items() if v != {}} == {
            k: v for k, v in other.items() if k != "flags" and v != {}
        }


@given(st.binary(max_size=200), st.integers(0, 3000))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_packed_spans_or_refused(junk: bytes, place: int) -> None:
    whole = PACKED.read_bytes()
    for data in (junk, whole[:place] + junk + whole[place:], whole[:place]):
        try:
            found = decode_export(data)
        except ValueError:
            assert data != whole
            continue
        assert isinstance(found["resourceSpans"], list)
        json.dumps(found)  # nothing in it that JSON could not hold


def test_receiving_ends_with_a_trace(tmp_path: Path) -> None:
    spool = tmp_path / "out.otlp.jsonl"
    spool.write_text((SAMPLES / "opentelemetry.json").read_text() + "\n")  # left over from a receiver that was killed
    ready: list[str] = []
    facts = receive(tmp_path / "out.jsonl", port=0, seconds=0.05, ready=ready.append)
    assert ready
    assert ready[0].startswith("http://127.0.0.1:")
    assert facts["count"] == 9
    assert len(read_trace(tmp_path / "out.jsonl").of_kind("model.call")) == 3
