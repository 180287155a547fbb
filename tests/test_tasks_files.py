"""Tasks that live in files: a user's own, GSM8K and BIG-Bench Hard; what is wrong with a file is said by line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shoal.errors import InputError, UnknownName
from shoal.tasks.answers import extract
from shoal.tasks.catalogue import open_task
from shoal.tasks.datasets import data_file, data_folders, missing
from shoal.tasks.files import FileTask, without_calculations

GSM8K = data_file("gsm8k", "test.jsonl")
BBH = data_file("bbh")
needs_gsm8k = pytest.mark.skipif(GSM8K is None, reason=missing("gsm8k"))
needs_bbh = pytest.mark.skipif(BBH is None, reason=missing("bbh"))
BBH_KINDS = {
    "boolean_expressions": "boolean",
    "logical_deduction_three_objects": "choice",
    "multistep_arithmetic_two": "number",
    "navigate": "boolean",
    "object_counting": "number",
    "tracking_shuffled_objects_three_objects": "choice",
    "web_of_lies": "boolean",
    "word_sorting": "words",
}


def write(path: Path, *records: object) -> Path:
    path.write_text("\n".join(json.dumps(r) if not isinstance(r, str) else r for r in records) + "\n", "utf-8")
    return path


def test_a_users_file(tmp_path: Path) -> None:
    path = write(
        tmp_path / "mine.jsonl",
        {"question": "2 + 2?", "answer": 4},
        {"question": "Is water wet?", "answer": "yes", "id": "wet"},
        {"question": "Which one flies?", "options": ["a cow", "a hawk"], "answer": "a hawk"},
        {"question": "Which?", "options": {"X": "this", "Y": "that"}, "answer": "x"},
        {"question": "Which?\n(A) one\n(B) two", "options": ["A", "B"], "answer": "B"},
        {"question": "Capital of Peru?", "answer": "Lima"},
        {"question": "Sort: b a", "answer": "a b", "kind": "words"},
        {"question": "Half of 9?", "answer": "9/2 = 4.5\n#### 4.5"},
    )
    task = open_task(str(path))
    assert isinstance(task, FileTask)
    problems = {p.question.text.split("\n")[0]: p for p in task.held}
    assert [p.question.kind for p in task.held] == [
        "number", "boolean", "choice", "choice", "choice", "text", "words", "number",
    ]  # fmt: skip
    flies = problems["Which one flies?"]
    assert flies.question.text == "Which one flies?\n(A) a cow\n(B) a hawk" and flies.answer == "B"
    assert [p.answer for p in task.held] == ["4", "yes", "B", "X", "B", "Lima", "a b", "4.5"]
    assert problems["Is water wet?"].question.id == "wet"
    assert all(p.check(extract(p.question, f"Answer: {p.answer}")) for p in task.held)
    assert len({p.question.id for p in task.held}) == 8
    assert sorted(p.question.id for p in task.problems(99, 0)) == sorted(p.question.id for p in task.held)
    assert task.problems(5, 1) == task.problems(8, 1)[:5]
    assert len({tuple(p.question.id for p in task.problems(8, seed)) for seed in range(20)}) > 15


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        (b"", None, "empty"),
        (b"\n\n", None, "empty"),
        (b'{"question": "q", "answer": "a"}\n{"question": "caf\xe9", "answer": 1}\n', 2, "UTF-8"),
        (b'{"question": "q", "answer": "a"}\n\n{"question": "q"\n', 3, "JSON"),
        (b'{"question": "q"}\n', 1, "answer"),
        (b'{"question": "q", "answer": ""}\n', 1, "answer"),
        (b'{"question": "q", "answer": ["a"]}\n', 1, "answer"),
        (b'{"answer": "a"}\n', 1, "question"),
        (b'["q", "a"]\n', 1, "object"),
        (b'{"question": "q", "answer": "many", "kind": "number"}\n', 1, "number"),
        (b'{"question": "q", "answer": "a", "kind": "essay"}\n', 1, "kind"),
        (b'{"question": "q", "answer": "a", "kind": "choice"}\n', 1, "options"),
        (b'{"question": "q", "answer": "C", "options": ["x", "y"]}\n', 1, "one of A, B"),
        (b'{"question": "q", "answer": "x", "options": "x or y"}\n', 1, "options"),
        (b'{"question": "q", "answer": 1, "id": "z"}\n{"question": "r", "answer": 1, "id": "z"}\n', 2, "id"),
        (b'{"question": "q", "answer": 1}\n{"question": "q", "answer": 2}\n', 2, "id"),
    ],
)
def test_bad_files_are_refused_by_name_and_line(tmp_path: Path, content: bytes, line: int | None, words: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        open_task(str(path))
    assert "bad.jsonl" in str(caught.value)
    assert line is None or f"bad.jsonl:{line}" in str(caught.value)


def test_absent_files_and_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="no such file"):
        open_task(str(tmp_path / "none.jsonl"))
    with pytest.raises(InputError, match="no such file"):
        open_task(f"gsm8k:{tmp_path / 'none.jsonl'}")
    with pytest.raises(InputError, match="no such file"):
        open_task(f"bbh:{tmp_path / 'none.json'}")
    monkeypatch.setattr("shoal.tasks.files.data_file", lambda *parts: None)
    with pytest.raises(InputError, match="SHOAL_DATA"):
        open_task("gsm8k")
    with pytest.raises(InputError, match="SHOAL_DATA"):
        open_task("bbh:navigate")


def test_data_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data" / "gsm8k").mkdir(parents=True)
    mine = tmp_path / "chosen" / "gsm8k"
    mine.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SHOAL_DATA", raising=False)
    assert data_file("gsm8k") == tmp_path / "data" / "gsm8k"
    monkeypatch.setenv("SHOAL_DATA", str(tmp_path / "chosen"))
    assert data_file("gsm8k") == mine
    assert next(iter(data_folders())) == tmp_path / "chosen"
    assert data_file("no", "such", "thing") is None
    assert "openai/grade-school-math" in missing("gsm8k") and "\n" not in missing("gsm8k")


def test_a_gsm8k_file_of_ones_own(tmp_path: Path) -> None:
    path = write(tmp_path / "g.jsonl", {"question": "Q?", "answer": "<<600*2=1200>>So 1,200.\n#### 1,200"})
    (problem,) = open_task(f"gsm8k:{path}").problems(9, 0)
    assert problem.answer == "1200" and problem.question.kind == "number"
    assert without_calculations("It is 600*2=<<600*2=1200>>1,200") == "It is 600*2=1,200"
    write(path, {"question": "Q?", "answer": "#### 1"}, {"question": "R?", "answer": "#### none"})
    with pytest.raises(InputError, match=r"g\.jsonl:2 answer"):
        open_task(f"gsm8k:{path}")


@needs_gsm8k
def test_gsm8k() -> None:
    task = open_task("gsm8k")
    problems = task.problems(5000, 0)
    assert len(problems) == 1319, "a real problem is not handed out twice"
    assert len({p.question.id for p in problems}) == 1319
    for p in problems:
        assert p.check(extract(p.question, f"I get this.\nAnswer: {p.answer}"))
        assert p.check(extract(p.question, f"#### {int(p.answer):,}"))
        assert not p.check(str(int(p.answer) + 1))
        assert "####" not in p.question.text
    by_start = {p.question.text[:7]: p.answer for p in problems}
    assert by_start["Janet’s"] == "18" and by_start["A robe "] == "3"
    assert {p.question.tags["difficulty"] for p in problems} == {"easy", "medium", "hard"}


@needs_bbh
@pytest.mark.parametrize(("name", "kind"), BBH_KINDS.items())
def test_bbh_targets_go_round(name: str, kind: str) -> None:
    assert BBH is not None
    examples = json.loads((BBH / f"{name}.json").read_text("utf-8"))["examples"]
    targets = {example["input"]: example["target"] for example in examples}
    task = open_task(f"bbh:{name}")
    assert isinstance(task, FileTask)
    assert len(task.held) == len(targets) >= 180
    for problem in task.held:
        target = targets[problem.question.text]
        assert problem.question.kind == kind
        assert problem.check(target)
        assert problem.check(extract(problem.question, f"Let me see.\nAnswer: {target}"))
        assert problem.check(extract(problem.question, f"So the answer is {target}."))
        assert kind != "choice" or problem.answer in problem.question.options
    wrong = {p.question.id: other.answer for p in task.held for other in task.held if other.answer != p.answer}
    assert not any(p.check(wrong[p.question.id]) for p in task.held)
    path_task = open_task(f"bbh:{BBH / name}.json")
    assert path_task.problems(3, 0)[0].question.id.startswith(f"bbh-{name}-")


@needs_bbh
def test_bbh_names_are_suggested() -> None:
    with pytest.raises(UnknownName, match="navigate"):
        open_task("bbh:navigat")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{}", "no examples"),
        ('{"examples": []}', "no examples"),
        ('{"examples": [{"input": "x"}]}', "example 1 target"),
        ('{"examples": [3]}', "example 1"),
        ('{\n"examples": [\n}', r"b\.json:3"),
    ],
)
def test_bad_bbh_files(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "b.json"
    path.write_text(content, "utf-8")
    with pytest.raises(InputError, match=words):
        open_task(f"bbh:{path}")
