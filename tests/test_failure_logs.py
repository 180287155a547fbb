"""Who&When logs with their labels: both forms, bad logs, strict and lenient evaluators, the constant answers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from shoal.diagnosis.failure_logs import Prediction, accuracy, constant_answers, failure_logs
from shoal.errors import InputError
from shoal.stats import proportion

SAMPLES = Path(__file__).parent / "data" / "traces"


def test_hand_crafted_and_algorithm_generated_logs_load(tmp_path: Path) -> None:
    for name in ("algorithm", "hand"):
        (tmp_path / f"{name}.json").write_text((SAMPLES / f"who-and-when-{name}.json").read_text())
    first, hand = failure_logs(tmp_path)
    assert hand.agent == "Websurfer"
    assert hand.speaker == "WebSurfer"
    assert hand.consistent  # case and brackets aside
    assert (hand.step, hand.entries, hand.truth) == (3, 5, "1904")
    assert first.consistent
    (agent, _), (step, _) = constant_answers([hand])
    assert (agent, step) == ("websurfer", 3)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"history": []}, "history"),
        ({"mistake_step": "9"}, "mistake_step"),
        ({"mistake_step": "-1"}, "mistake_step"),
        ({"mistake_step": "soon"}, "mistake_step"),
        ({"mistake_agent": None}, "mistake_agent"),
    ],
)
def test_bad_logs_name_file_and_field(change: dict[str, object], field: str, tmp_path: Path) -> None:
    record = json.loads((SAMPLES / "who-and-when-hand.json").read_text()) | change
    record = {k: v for k, v in record.items() if v is not None}
    (tmp_path / "log-7.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match=rf"log-7\.json {field}"):
        failure_logs(tmp_path)


def test_strict_and_lenient_evaluators_differ_as_published(tmp_path: Path) -> None:
    record = json.loads((SAMPLES / "who-and-when-hand.json").read_text())
    record["history"] += [{"content": "more", "role": "WebSurfer"}] * 20
    (tmp_path / "a.json").write_text(json.dumps(record | {"mistake_step": "1", "mistake_agent": "Web"}))
    logs = failure_logs(tmp_path)
    said = [Prediction("Web_Surfer (late)", 12)]
    found = {name: e.value for name, e in accuracy(logs, said, within=11).items()}
    assert found["step"] == 0.0
    assert found["step, lenient"] == 1.0  # "1" is in "12"
    assert found["agent"] == 0.0
    assert found["agent, lenient"] == 1.0  # "Web" is in "Web_Surfer"
    assert found["step within 11"] == 1.0
    cut = accuracy(failure_logs(tmp_path), [Prediction("The Web", None)])
    assert cut["agent, lenient"].value == 0.0  # a name ends at its first blank
    assert cut["unread"].value == 1.0
    assert cut["step"] == proportion(0, 1)


def test_real_logs_reproduce_the_constant_answers() -> None:
    from shoal.tasks.datasets import data_file

    first = data_file("who_and_when", "1.json")
    if first is None:
        pytest.skip("the Who&When logs are not on this machine")
    logs = failure_logs(first.parent)
    assert len(logs) == 126
    (_, _), (step, right) = constant_answers(logs)
    assert (step, right) == (1, 34)
    found = accuracy(logs, [Prediction(None, 1)] * 126)["step"]
    assert round(100 * found.value, 1) == 27.0
    assert sum(not log.consistent for log in logs) == 3  # labels are left as they are
    assert (min(log.entries for log in logs), max(log.entries for log in logs)) == (5, 10)
    assert float(np.median([log.entries for log in logs])) == 10
