"""`shoal diagnose` and `shoal traces` as somebody with foreign logs meets them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from command_line import Shoal

SAMPLES = Path(__file__).parent / "data" / "traces"


def test_a_chat_becomes_a_verdict(shoal: Shoal, tmp_path: Path) -> None:
    assert shoal("diagnose", SAMPLES / "chat.jsonl", "--failed") == 0
    assert "carpenter at step 2" in shoal.out
    assert len(shoal.out.splitlines()) < 60
    page = (tmp_path / "diagnosis.html").read_text()
    assert "carpenter" in page
    assert "<script" not in page


@pytest.mark.parametrize("name", sorted(p.name for p in SAMPLES.iterdir() if p.suffix not in (".md", ".pb")))
def test_every_sample_is_diagnosed(name: str, shoal: Shoal, tmp_path: Path) -> None:
    found = shoal.json("diagnose", SAMPLES / name, "--out", tmp_path / "page.html")
    assert found["report"] == str(tmp_path / "page.html")
    assert found["conversations"][0]["steps"] > 0
    assert (tmp_path / "page.html").exists()


def test_options_of_diagnose(shoal: Shoal, tmp_path: Path) -> None:
    found = shoal.json("diagnose", SAMPLES / "chat.jsonl", "--with", "contradiction", "--failed")
    (talk,) = found["conversations"]
    assert {f["detector"] for f in talk["findings"]} == {"contradiction"}
    assert talk["failed"] is True
    assert shoal("diagnose", SAMPLES / "chat.jsonl", "--with", "contradicton") == 2
    assert "contradiction" in shoal.err
    assert shoal("diagnose", SAMPLES / "chat.jsonl", "--run", "nope") == 2
    assert shoal("diagnose", "nowhere.jsonl") == 2
    assert "nowhere.jsonl" in shoal.err
    (tmp_path / "empty.jsonl").write_text("")
    assert shoal("diagnose", "empty.jsonl") == 2
    assert "empty" in shoal.err


def test_folders_and_known_failures(shoal: Shoal, tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    for number in (1, 2):
        (folder / f"{number}.json").write_text((SAMPLES / "who-and-when-algorithm.json").read_text())
    found = shoal.json("diagnose", folder)
    assert found["summary"]["conversations"] == 2
    assert found["summary"]["failed"] == 2  # the logs say so themselves
    assert found["summary"]["blame"][0]["agent"] == "Carpentry_Expert"
    assert "1904" not in shoal.out


def test_runs_of_shoal_are_diagnosed_by_name(shoal: Shoal) -> None:
    arguments = ("team", "debate", "--task", "sums", "--model", "scripted:competence=0.4", "--questions", 4)
    assert shoal(*arguments) == 0
    found = shoal.json("diagnose", "last")
    assert found["summary"]["conversations"] >= 8  # four problems, each by the team and by the single agent
    assert found["summary"]["unknown"] == 0
    assert found["conversations"][0]["failed"] is True
    assert shoal("diagnose", "no-such-run") == 2


def test_import_prints_counts(shoal: Shoal, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text((SAMPLES / "chat.jsonl").read_text() + '{"agent": "x", "content": "sk-' + "a" * 30 + '"}\ntorn\n')
    found = shoal.json("traces", "import", path)
    assert (found["count"], found["format"], found["redacted"]) == (6, "chat", 1)
    assert found["problems"]["counts"] == {"not JSON": 1}
    assert found["problems"]["located"][0].startswith("a.jsonl:7")
    assert [r["run"] for r in found["runs"]] == ["a"]
    assert shoal.json("traces", "import", path, "--keep-secrets")["redacted"] == 0
    (tmp_path / "b.jsonl").write_bytes(b"\x00\x01")
    assert shoal.json("traces", "import", tmp_path / "b.jsonl", code=1)["problems"]["counts"] == {"binary file": 1}
    assert shoal("traces", "import", tmp_path / "none.jsonl") == 2
    assert shoal.json("traces", "import", SAMPLES)["format"] != "chat"


def test_export_and_show(shoal: Shoal, tmp_path: Path) -> None:
    for name in ("a.jsonl", "a.parquet", "a.otlp.json"):
        found = shoal.json("traces", "export", SAMPLES / "langgraph-events.jsonl", tmp_path / name)
        assert found["count"] == 11
        shown = shoal.json("traces", "show", tmp_path / name, "--limit", 100)
        assert shown["count"] in (11, 12)  # JSON Lines begin with a line that names the schema
    assert shoal("traces", "export", SAMPLES / "chat.jsonl", "a.txt") == 2
    assert shoal("traces", "show", SAMPLES / "chat.jsonl", "--agent", "buyer") == 0
    assert "70 planks" in shoal.out
    assert shoal("traces", "show", SAMPLES / "chat.jsonl", "--agent", "buyers") == 2
    first = json.loads((SAMPLES / "langgraph-events.jsonl").read_text().splitlines()[0])["run_id"]
    shown = shoal.json("traces", "show", SAMPLES / "langgraph-events.jsonl", "--event", first)
    assert shown["ancestors"] == []
    assert len(shown["descendants"]) == 10


def test_large_files_go_through_columns(shoal: Shoal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from shoal.cli import diagnosis

    monkeypatch.setattr(diagnosis, "LARGE", 100)
    found = shoal.json("traces", "import", SAMPLES / "chat.jsonl", "--to", tmp_path / "a.parquet")
    assert found["count"] == 5
    assert found["format"] == "chat"
    assert (tmp_path / "a.parquet").exists()


def test_listen_stops_by_itself(shoal: Shoal, tmp_path: Path) -> None:
    found = shoal.json("traces", "listen", tmp_path / "in.jsonl", "--port", 0, "--seconds", 0.05)
    assert (found["requests"], found["count"]) == (0, 0)


def test_diff_aligns_runs_of_any_framework_by_agent(shoal: Shoal) -> None:
    wrong = Path(__file__).parents[1] / "src" / "shoal" / "diagnosis" / "samples" / "langgraph.jsonl"
    assert shoal.json("diff", wrong, wrong)["same"] is True
    found = shoal.json("diff", SAMPLES / "langgraph-events.jsonl", wrong, code=1)
    by_agent = {d["agent"]: d for d in found["by_agent"]}
    assert "researcher" not in by_agent  # it said the same in both
    assert "354 km" in by_agent["checker"]["left"]["payload"]["text"]
    assert "345 km" in by_agent["checker"]["right"]["payload"]["text"]
    assert by_agent["checker"]["fields"] == ["text"]
    assert shoal("diff", wrong, __file__) == 2
