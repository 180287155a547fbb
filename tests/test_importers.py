"""Importers: each format's conformance on its sample, and what bad files do."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import orjson
import pytest

from shoal.errors import InputError, UnknownName
from shoal.traces.importers import IMPORTERS, Imported, import_trace, import_traces
from shoal.traces.importers import source as source_module
from shoal.traces.importers.book import seconds
from shoal.traces.importers.who_and_when import plain_name

SAMPLES = Path(__file__).parent / "data" / "traces"
SEVERN = "The Severn is 354 km long and the Ouse is 84 km long."
TEAM = ["researcher", "checker", "writer"]

# sample -> (format, events, agents in order)
EXPECTED: dict[str, tuple[str, int, list[str]]] = {
    "langgraph-events.jsonl": ("langgraph", 11, TEAM),
    "langgraph-updates.jsonl": ("langgraph", 3, TEAM),
    "autogen.json": ("autogen", 5, ["user", *TEAM]),
    "openai-agents.jsonl": ("openai-agents", 13, TEAM),
    "inspect-ai.json": ("inspect-ai", 17, ["researcher"]),
    "inspect-ai.eval": ("inspect-ai", 17, ["researcher"]),
    "opentelemetry.json": ("otlp", 9, TEAM),
    "chat.jsonl": ("chat", 5, ["planner", "surveyor", "carpenter", "buyer"]),
    "who-and-when-algorithm.json": (
        "who-and-when", 6, ["Bridge_Expert", "Carpentry_Expert", "Computer_terminal", "Verification_Expert"],
    ),
    "who-and-when-hand.json": ("who-and-when", 6, ["human", "Orchestrator", "WebSurfer"]),
}  # fmt: skip


def agents_of(imported: Imported) -> list[str]:
    return [a for a in dict.fromkeys(e.agent for e in imported.trace) if a]


def test_every_format_has_a_sample() -> None:
    assert {entry[0] for entry in EXPECTED.values()} | {"shoal"} == set(IMPORTERS.names())


@pytest.mark.parametrize("name", EXPECTED)
def test_conformance(name: str) -> None:
    """What every importer promises: recognised by content, unique ids, known parents, steps in order, JSON payloads."""
    form, count, agents = EXPECTED[name]
    imported = import_trace(SAMPLES / name)
    assert imported.format == form
    assert imported.problems.total == 0, imported.problems.lines()
    assert len(imported.trace) == count
    assert agents_of(imported) == agents
    for run in imported.runs:
        events = imported.run(run).events
        ids = [e.id for e in events]
        assert len(set(ids)) == len(ids)
        assert all(p in ids for e in events for p in e.parents)
        assert [e.step for e in events] == list(range(len(events)))
    assert all(e.kind and e.kind == e.kind.lower() for e in imported.trace)
    orjson.dumps([e.as_dict() for e in imported.trace])


@pytest.mark.parametrize("name", [n for n in EXPECTED if n.startswith(("lang", "auto", "open"))])
def test_the_team_says_the_same_in_every_framework(name: str) -> None:
    imported = import_trace(SAMPLES / name)
    said = [str(e.payload.get("text") or e.payload.get("content")) for e in imported.trace if e.agent == "researcher"]
    assert SEVERN in said
    usage = imported.trace.usage()
    assert (usage.prompt_tokens, usage.completion_tokens) == (60, 30)


@pytest.mark.parametrize("name", EXPECTED)
def test_recognition_looks_at_the_content_not_the_name(name: str, tmp_path: Path) -> None:
    other = tmp_path / "log.txt"
    other.write_bytes((SAMPLES / name).read_bytes())
    assert import_trace(other).format == EXPECTED[name][0]


def write(path: Path, *records: Any) -> Path:
    path.write_text("".join(json.dumps(r) + "\n" for r in records))
    return path


def test_who_and_when_keeps_labels_apart_from_events() -> None:
    for name, agent, step in (("algorithm", "Carpentry_Expert", 1), ("hand", "Websurfer", 3)):
        imported = import_trace(SAMPLES / f"who-and-when-{name}.json")
        (label,) = imported.labels.values()
        assert (label["mistake_agent"], label["mistake_step"]) == (agent, step)
        assert plain_name(imported.trace.events[step].agent) == plain_name(agent)
        assert "mistake" not in json.dumps([e.as_dict() for e in imported.trace])
        assert label["ground_truth"] not in json.dumps([e.payload for e in imported.trace])
    hand = import_trace(SAMPLES / "who-and-when-hand.json").trace.events
    assert hand[2].payload["to"] == ["WebSurfer"]
    assert hand[1].payload["aside"] == "thought"


def test_real_who_and_when_is_complete_where_it_is_on_this_machine() -> None:
    from shoal.tasks.datasets import data_file

    first = data_file("who_and_when", "1.json")
    if first is None:
        pytest.skip("the Who&When logs are not on this machine")
    logs = list(import_traces(first.parent))
    assert len(logs) == 126
    assert {i.format for i in logs} == {"who-and-when"}
    steps = [next(iter(i.labels.values()))["mistake_step"] for i in logs]
    assert sum(s == 1 for s in steps) == 34  # always step 1: 27.0%
    lengths = sorted(len(i.trace.of_kind("message")) for i in logs)
    assert (lengths[0], lengths[63], lengths[-1]) == (5, 10, 10)


def test_parents_and_links_of_spans(tmp_path: Path) -> None:
    events = import_trace(SAMPLES / "opentelemetry.json").trace.events
    tools = [e for e in events if e.kind == "tool.result"]
    assert [(e.agent, e.payload["content"]) for e in tools] == [("researcher", "354 km"), ("researcher", "84 km")]
    assert all(e.parents for e in events[1:])
    document = json.loads((SAMPLES / "opentelemetry.json").read_text())
    spans = document["resourceSpans"][0]["scopeSpans"][0]["spans"]
    writer = max(spans, key=lambda s: int(s["startTimeUnixNano"]))
    first = min(spans, key=lambda s: int(s["startTimeUnixNano"]))
    writer["links"] = [{"traceId": writer["traceId"], "spanId": first["spanId"]}]
    path = write(tmp_path / "a.jsonl", document)
    assert first["spanId"] in import_trace(path).trace.events[-1].parents


def test_older_span_conventions_are_read(tmp_path: Path) -> None:
    def attributes(**pairs: Any) -> list[dict[str, Any]]:
        return [{"key": k.replace("__", "."), "value": {"stringValue": v}} for k, v in pairs.items()]

    span = {"traceId": "a" * 32, "spanId": "1" * 16, "name": "llm", "startTimeUnixNano": "1700000000000000000"}
    inference = attributes(
        openinference__span__kind="LLM", llm__model_name="m", agent__name="ann",
        llm__input_messages__0__message__role="user", llm__input_messages__0__message__content="How many?",
        llm__output_messages__0__message__content="Seven.",
    )  # fmt: skip
    traceloop = attributes(
        gen_ai__request__model="m", gen_ai__prompt__0__content="How many?", gen_ai__completion__0__content="Eight.",
        gen_ai__agent__name="bob",
    )  # fmt: skip
    choice = {
        "name": "gen_ai.choice",
        "attributes": [{"key": "message", "value": {"stringValue": '{"content": "Nine."}'}}],
    }
    logged = attributes(gen_ai__operation__name="chat", gen_ai__agent__name="cat")
    spans = [
        {**span, "attributes": inference},
        {**span, "spanId": "2" * 16, "attributes": traceloop},
        {**span, "spanId": "3" * 16, "attributes": logged, "events": [choice]},
    ]
    path = write(tmp_path / "a.jsonl", {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]})
    events = import_trace(path).trace.events
    assert [(e.agent, e.kind, e.payload["text"]) for e in events] == [
        ("ann", "model.call", "Seven."), ("bob", "model.call", "Eight."), ("cat", "model.call", "Nine."),
    ]  # fmt: skip
    assert events[0].payload["prompt"] == [{"role": "user", "content": "How many?"}]


def test_tool_calls_of_autogen_and_langsmith(tmp_path: Path) -> None:
    base = {"metadata": {}, "models_usage": None, "created_at": "2026-01-01T00:00:00Z"}
    call = {"id": "c1", "arguments": "{}", "name": "look_up"}
    asked = {**base, "id": "1", "source": "ann", "type": "ToolCallRequestEvent", "content": [call]}
    result = {"content": "354", "name": "look_up", "call_id": "c1", "is_error": False}
    got = {**base, "id": "2", "source": "ann", "type": "ToolCallExecutionEvent", "content": [result]}
    over = {**base, "id": "3", "source": "ann", "type": "HandoffMessage", "content": "yours", "target": "bob"}
    events = import_trace(write(tmp_path / "a.jsonl", asked, got, over)).trace.events
    assert [e.kind for e in events] == ["tool.call", "tool.result", "message"]
    assert events[1].payload["content"] == "354"
    assert events[2].payload["to"] == ["bob"]
    run = {
        "id": "r2", "trace_id": "t", "parent_run_id": "r1", "name": "ChatOpenAI", "run_type": "llm", "session_id": "s",
        "inputs": {"messages": [[{"lc": 1, "id": ["x", "HumanMessage"], "kwargs": {"content": "hi"}}]]},
        "outputs": {"generations": [[{"message": {"lc": 1, "id": ["x", "AIMessage"], "kwargs": {"content": "yo"}}}]]},
        "start_time": "2026-01-01T00:00:01", "extra": {"metadata": {"langgraph_node": "ann"}}, "feedback": 1,
    }  # fmt: skip
    root = {"id": "r1", "trace_id": "t", "name": "graph", "run_type": "chain", "inputs": {}, "outputs": {}}
    imported = import_trace(write(tmp_path / "b.jsonl", root, run))
    reply = imported.trace.events[1]
    assert (imported.format, reply.agent, reply.kind, reply.payload["text"]) == ("langgraph", "ann", "model.call", "yo")
    assert reply.parents == ("r1",)
    assert reply.payload["source"]["feedback"] == 1


def test_chats_of_many_shapes(tmp_path: Path) -> None:
    openai = {
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": [{"type": "text", "text": "yo"}]},
        ]
    }
    shared = {"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "yo"}], "id": "c7"}
    imported = import_trace(write(tmp_path / "a.jsonl", openai, shared))
    assert imported.runs == ["a-0", "c7"]
    assert [e.payload["content"] for e in imported.trace if e.kind == "message"] == ["hi", "yo", "hi", "yo"]
    turns = [
        {"speaker": "ann", "text": "one", "ts": 1700000000000, "mood": "calm", "reply_to": None, "id": "m1"},
        {"speaker": "bob", "text": "two", "ts": 1700000001000, "reply_to": "m1", "id": "m2"},
    ]
    path = tmp_path / "b.json"
    path.write_text(json.dumps(turns, indent=2))
    first, second = import_trace(path).trace.events
    assert first.payload["source"] == {"mood": "calm"}
    assert (first.time, second.parents) == (1700000000.0, ("m1",))


def test_secrets_are_replaced_and_counted_unless_told_otherwise(tmp_path: Path) -> None:
    secrets = [
        "sk-" + "a1B2" * 10, "AKIA" + "ABCDEFGHIJKLMNOP", "ghp_" + "x" * 36, "Bearer " + "y" * 30,
        "password: hunter2hunter2",
        "postgres://user:secretpw@db.example", "eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl",
    ]  # fmt: skip
    records = [{"agent": "ann", "content": f"use {s} now", "api_key": "short-one"} for s in secrets]
    path = write(tmp_path / "a.jsonl", *records)
    imported = import_trace(path)
    assert sum(imported.redacted.values()) == 2 * len(secrets)
    text = json.dumps([e.as_dict() for e in imported.trace])
    assert not any(s.split()[-1] in text for s in secrets)
    assert "short-one" not in text
    assert all("use " in e.payload["content"] for e in imported.trace)
    kept = import_trace(path, redact=False)
    assert kept.redacted == {}
    assert secrets[0] in kept.trace.events[0].payload["content"]


def test_ordinary_text_is_not_redacted(tmp_path: Path) -> None:
    texts = [
        "The key to this task is patience.", "prompt_tokens: 20", "see https://example.org/a:b",
        "a risk-taking-behaviour-analysis",
        "The password is not needed", "tokens: 1234567890",
    ]  # fmt: skip
    imported = import_trace(write(tmp_path / "a.jsonl", *({"agent": "ann", "content": t} for t in texts)))
    assert [e.payload["content"] for e in imported.trace] == texts
    assert imported.redacted == {}


def counts(path: Path, **options: Any) -> tuple[int, dict[str, int]]:
    imported = import_trace(path, **options)
    return len(imported.trace), dict(imported.problems.counts)


def test_bad_lines_are_counted_and_located(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(
        b'{"agent":"a","content":"x"}\n{"agent":"a","con\n[1]\n\n{"agent":"b","content":"y"}\n{"agent":"b"'
    )
    imported = import_trace(path)
    assert len(imported.trace) == 2
    assert [(p.kind, p.where) for p in imported.problems.located] == [
        ("not JSON", "a.jsonl:2"), ("not an object", "a.jsonl:3"), ("not JSON", "a.jsonl:6"),
    ]  # fmt: skip


def test_cycles_duplicates_and_clocks_that_go_backwards(tmp_path: Path) -> None:
    def event(id: str, parents: list[str], time: float) -> dict[str, Any]:
        return {"id": id, "agent": "a", "content": "x", "parents": parents, "time": time}

    path = write(
        tmp_path / "a.jsonl", event("1", ["3"], 10), event("2", ["1"], 11), event("3", ["2"], 9), event("3", ["3"], 12),
        event("5", ["nobody"], 13),
    )  # fmt: skip
    count, problems = counts(path)
    assert count == 5
    assert problems == {"duplicate id": 1, "clock goes backwards": 1, "cyclic parents": 1, "unknown parent": 1}
    events = import_trace(path).trace.events
    assert len({e.id for e in events}) == 5
    assert [e.parents for e in events].count(()) == 2


def test_a_long_cycle_does_not_exhaust_the_stack(tmp_path: Path) -> None:
    n = 5000
    path = write(
        tmp_path / "a.jsonl", *({"id": i, "agent": "a", "content": "x", "parents": [(i + 1) % n]} for i in range(n))
    )
    count, problems = counts(path)
    assert (count, problems) == (n, {"cyclic parents": 1})


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "empty file"),
        (b"   \n\n", "empty file"),
        (b"\x00\x01\x02" * 100, "binary file"),
        (b"hello\nworld\n", "not JSON"),
        (b'{"a": 1}\n{"b": 2}\n', "format not recognised"),
        (b"PK\x03\x04 torn", "torn archive"),
        (b"PAR1 torn", "torn archive"),
        (gzip.compress(b"{}" * 100, mtime=0), "binary file"),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"tra', "torn document"),
    ],
)
def test_files_without_events_say_why(content: bytes, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    imported = import_trace(path)
    assert len(imported.trace) == 0
    assert set(imported.problems.counts) == {problem}
    assert imported.problems.located[0].where.startswith("a.jsonl")


def test_a_torn_list_gives_its_whole_items(tmp_path: Path) -> None:
    whole = json.dumps([{"agent": "a", "content": str(i)} for i in range(5)], indent=1)
    path = tmp_path / "a.json"
    path.write_text(whole[: whole.rindex("{") + 8])
    imported = import_trace(path)
    assert [e.payload["content"] for e in imported.trace] == ["0", "1", "2", "3"]
    assert imported.problems.counts == {"torn document": 1}
    assert imported.problems.located[0].where == f"a.json:{whole.count(chr(10), 0, whole.rindex('{')) + 1}"


def test_overlong_lines_are_passed_over_without_being_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_module, "LONGEST_LINE", 1000)
    path = tmp_path / "a.jsonl"
    line = b'{"agent":"a","content":"x"}\n'
    path.write_bytes(line + b'{"agent":"a","content":"' + b"x" * 10_000_000 + b'"}\n' + line)
    imported = import_trace(path)
    assert len(imported.trace) == 2
    assert [(p.kind, p.where) for p in imported.problems.located] == [("line too long", "a.jsonl:2")]


def test_torn_archives_give_the_samples_that_are_whole(tmp_path: Path) -> None:
    whole = json.loads((SAMPLES / "inspect-ai.json").read_text())["samples"][0]
    path = tmp_path / "a.eval"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", "{}")
        archive.writestr("samples/q1_epoch_1.json", json.dumps(whole))
        archive.writestr("samples/q2_epoch_1.json", json.dumps(whole)[:500])
    imported = import_trace(path)
    assert len(imported.trace) == 17
    assert imported.problems.counts == {"not JSON": 1}


def test_folders_and_errors(tmp_path: Path) -> None:
    for number in (10, 2):
        write(tmp_path / f"{number}.jsonl", {"agent": "a", "content": str(number)})
    (tmp_path / "notes.md").write_text("no trace")
    assert [i.path.name for i in import_traces(tmp_path)] == ["2.jsonl", "10.jsonl"]
    with pytest.raises(InputError, match="nowhere"):
        import_trace(tmp_path / "nowhere.jsonl")
    with pytest.raises(UnknownName, match="langgraph"):
        import_trace(tmp_path / "2.jsonl", format="langgrap")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="no files"):
        list(import_traces(empty))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (1700000000, 1.7e9), (1700000000000, 1.7e9), (1700000000000000, 1.7e9), ("1700000000000000000", 1.7e9),
        ("2023-11-14T22:13:20Z", 1.7e9), ("2023-11-14T22:13:20", 1.7e9), ("soon", None), (True, None),
        (float("nan"), None),
        (10**400, None), ("9999999-01-01", None),
    ],
)  # fmt: skip
def test_times_of_all_usual_forms(text: object, value: float | None) -> None:
    assert seconds(text) == value
