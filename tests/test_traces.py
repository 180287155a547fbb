"""The event log survives what happens to files."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.errors import InputError, StorageError
from shoal.traces import TraceWriter, Usage, divergence_by_agent, first_divergence, read_trace, write_parquet


def sample(path: Path, last: str = "four") -> Path:
    with TraceWriter(path, "run") as trace:
        a = trace.write("model.call", "ann", {"text": "two"}, usage=Usage(10, 5, 1, 0.5))
        b = trace.write("message", "ann", {"to": ["bob"], "content": "two"}, [a])
        trace.write("model.call", "bob", {"text": last}, [b], Usage(20, 5, 1, 0.25, 0.001))
    return path


def test_events_round_trip_with_their_causes(tmp_path: Path) -> None:
    trace = read_trace(sample(tmp_path / "events.jsonl"))
    start, call, message, reply = trace
    assert start.kind == "trace.start"
    assert start.payload == {"schema": 1}
    assert message.parents == (call.id,)
    assert reply.parents == (message.id,)
    assert trace.usage() == Usage(30, 10, 2, 0.75, 0.001)
    assert trace.problems == []


def test_parquet_says_the_same_as_jsonl(tmp_path: Path) -> None:
    trace = read_trace(sample(tmp_path / "events.jsonl"))
    write_parquet(trace, tmp_path / "events.parquet")
    again = read_trace(tmp_path / "events.parquet")
    assert [e.as_dict() for e in again] == [e.as_dict() for e in trace]


def test_a_torn_last_line_loses_only_itself_and_writing_goes_on(tmp_path: Path) -> None:
    path = sample(tmp_path / "events.jsonl")
    whole = path.read_bytes()
    path.write_bytes(whole[:-7])
    torn = read_trace(path)
    assert len(torn) == 3
    assert len(torn.problems) == 1
    assert torn.problems[0].startswith("events.jsonl:4:")
    with TraceWriter(path, "run") as trace:
        new = trace.write("note", "ann")
    continued = read_trace(path)
    assert len(continued) == 4
    assert len({e.id for e in continued}) == 4
    assert continued.events[-1].id == new


@given(st.binary(max_size=300))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_survived(tmp_path_factory: pytest.TempPathFactory, junk: bytes) -> None:
    path = tmp_path_factory.mktemp("junk") / "events.jsonl"
    path.write_bytes(junk)
    trace = read_trace(path)
    assert len(trace) + len(trace.problems) == sum(1 for line in junk.split(b"\n") if line.strip())


def test_divergence_names_the_first_difference_of_each_agent(tmp_path: Path) -> None:
    one, two = read_trace(sample(tmp_path / "a.jsonl")), read_trace(sample(tmp_path / "b.jsonl", "five"))
    assert first_divergence(one, one) is None
    whole = first_divergence(one, two)
    assert whole is not None
    assert (whole.position, whole.fields) == (2, ("text",))
    assert [(d.agent, d.position) for d in divergence_by_agent(one, two)] == [("bob", 0)]


def test_missing_files_and_full_folders_are_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"events\.jsonl"):
        read_trace(tmp_path / "nothing.jsonl")
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(StorageError, match="cannot write the trace"):
        TraceWriter(blocked / "events.jsonl", "run")


def test_a_full_disk_ends_with_one_clear_line() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    with pytest.raises(StorageError, match="can be resumed"):
        TraceWriter(full, "run").write("note")
