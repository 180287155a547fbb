"""Fuzzing: whatever bytes a file holds, an import ends, counts what it could not read, and says how much it tried."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shoal.diagnosis.attribution import diagnose
from shoal.diagnosis.conversation import conversations
from shoal.traces.importers import IMPORTERS, import_trace

SAMPLES = Path(__file__).parent / "data" / "traces"
FILES = sorted(p for p in SAMPLES.iterdir() if p.suffix in (".json", ".jsonl", ".eval"))
MUTATIONS = 40
"""Mutated copies of each sample; with `EXAMPLES` of each strategy below the inputs tried in one run."""
EXAMPLES = 100

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
KEYS = st.sampled_from(
    """agent name role content text messages source type models_usage created_at id parents time run history
    mistake_step mistake_agent question_ID event data run_id parent_ids metadata object span_data trace_id
    parent_id started_at ended_at resourceSpans scopeSpans spans spanId traceId attributes key value eval
    samples version run_type inputs outputs payload kind step usage tool_calls conversations to""".split()  # noqa: SIM905
)
records = st.dictionaries(
    KEYS, values | st.text(max_size=5) | st.lists(st.dictionaries(KEYS, values, max_size=4), max_size=3), max_size=8
)


def check(path: Path, form: str = "") -> int:
    """Import; whatever was read is sound, and can be diagnosed."""
    imported = import_trace(path, form)
    for run in imported.runs:
        events = imported.run(run).events
        ids = {e.id for e in events}
        assert len(ids) == len(events)
        for event in events:
            assert set(event.parents) <= ids
            assert event.time == event.time
        orjson.dumps([e.as_dict() for e in events], default=str, option=orjson.OPT_NON_STR_KEYS)
    assert imported.problems.total == sum(imported.problems.counts.values()) >= len(imported.problems.located)
    if len(imported.trace):
        for view in conversations(imported.trace)[:2]:
            verdict = diagnose(view)
            assert 0 <= sum(s.confidence for s in verdict.suspects) <= 1 + 1e-9
    else:
        assert imported.problems.total, "nothing was read and nothing was said about it"
    return 1


@given(st.binary(max_size=400))
@settings(max_examples=EXAMPLES, deadline=None)
def test_any_bytes(tmp_path_factory: pytest.TempPathFactory, junk: bytes) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "a.jsonl"
    path.write_bytes(junk)
    check(path)


@given(st.lists(records, min_size=1, max_size=6), st.booleans())
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_records_with_known_keys_and_any_values(
    tmp_path_factory: pytest.TempPathFactory, found: list[Any], lines: bool
) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "a.json"
    path.write_text("\n".join(json.dumps(r) for r in found) if lines else json.dumps(found))
    check(path)


@pytest.mark.parametrize("form", IMPORTERS.names())
@given(found=st.lists(records, min_size=1, max_size=4))
@settings(max_examples=EXAMPLES // 2, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_records_through_each_importer(
    tmp_path_factory: pytest.TempPathFactory, form: str, found: list[Any]
) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "a.jsonl"
    path.write_text("\n".join(json.dumps(r) for r in found))
    check(path, form)


@pytest.mark.parametrize("sample", FILES, ids=lambda p: p.name)
def test_mutated_samples(sample: Path, tmp_path: Path) -> None:
    """Cut off, bits flipped, pieces swapped, doubled and left out."""
    rng, whole, tried = random.Random(7), sample.read_bytes(), 0
    for number in range(MUTATIONS):
        data = bytearray(whole)
        kind = number % 5
        a, b = sorted(rng.sample(range(len(data)), 2))
        if kind == 0:
            data = data[:a]
        elif kind == 1:
            for _ in range(20):
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        elif kind == 2:
            data = data[:a] + data[b:]
        elif kind == 3:
            data = data[a:] + data[:a]
        else:
            data = data[:b] + data[a:]
        path = tmp_path / f"{number}{sample.suffix}"
        path.write_bytes(bytes(data))
        tried += check(path)
    assert tried == MUTATIONS


@pytest.mark.parametrize("sample", FILES, ids=lambda p: p.name)
def test_samples_with_any_value_replaced(sample: Path, tmp_path: Path) -> None:
    """Each field in turn replaced by values of other types."""
    if sample.suffix == ".eval":
        pytest.skip("an archive has no fields of its own")
    rng = random.Random(3)
    text = sample.read_text()
    found = [json.loads(line) for line in text.splitlines()] if sample.suffix == ".jsonl" else [json.loads(text)]
    for number in range(MUTATIONS):
        changed = json.loads(json.dumps(found))
        for record in changed:
            place, parent = record, record
            key: Any = None
            while isinstance(place, (dict, list)) and place and (key is None or rng.random() < 0.8):
                parent, key = place, rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
                place = parent[key]
            if key is not None:
                parent[key] = rng.choice([None, 7, -1.5, "", "x", [], {}, [1], {"a": [None]}, True, 10**30])
        path = tmp_path / f"{number}.jsonl"
        path.write_text("\n".join(json.dumps(r) for r in changed))
        check(path)
