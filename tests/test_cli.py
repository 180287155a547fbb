"""The command line as a newcomer meets it: documents on standard output, one-line errors, exit codes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from command_line import Shoal

SCRIPTED = "scripted:competence=0.6"


def test_list_has_every_system_with_its_facts(shoal: Shoal) -> None:
    rows = shoal.json("list")
    assert {"symphony-coord", "selforg", "agentsnet", "collaboration-mechanisms"} <= {r["name"] for r in rows}
    assert all({"name", "title", "kind", "paper", "engine", "evidence", "verdicts"} <= set(r) for r in rows)
    teams = shoal.json("list", "--kind", "team")
    assert teams
    assert all(r["kind"] == "team" for r in teams)
    assert shoal("list") == 0
    assert "selforg" in shoal.out


def test_list_filters_by_the_collaboration_vocabulary(shoal: Shoal) -> None:
    everything = shoal.json("list")
    decentralized = shoal.json("list", "--structure", "decentralized")
    assert 0 < len(decentralized) <= len(everything)
    assert shoal("list", "--structure", "decentralised") == 2
    assert "Did you mean decentralized" in shoal.err


def test_show_tells_mechanism_settings_and_claims(shoal: Shoal) -> None:
    document = shoal.json("show", "selforg")
    assert document["claims"]
    assert document["schema"]["properties"]
    assert shoal("show", "selforg") == 0
    assert "Settings" in shoal.out


def test_team_prints_accuracy_cost_and_the_paired_comparison(shoal: Shoal) -> None:
    arguments = ("team", "vote:agents=5", "--task", "sums", "--model", SCRIPTED, "--questions", 60)
    document = shoal.json(*arguments)
    systems = {s["system"]: s for s in document["systems"]}
    assert set(systems) == {"vote", "single, equal tokens", "one call"}
    assert systems["vote"]["calls"] == 300
    assert systems["single, equal tokens"]["tokens"] <= systems["vote"]["tokens"]
    assert document["paired"][0]["n"] == 60
    assert Path(document["run_dir"], "report.html").is_file()
    assert shoal(*arguments) == 0
    assert "paired over 60 problems" in shoal.out


def test_runs_report_and_diff_follow_a_run(shoal: Shoal) -> None:
    arguments = ("team", "debate", "--task", "boolean", "--model", SCRIPTED, "--questions", 4)
    first = shoal.json(*arguments)
    second = shoal.json(*arguments, "--root-seed", 1)
    rows = shoal.json("runs")
    assert [r["status"] for r in rows] == ["finished", "finished"]
    report = shoal.json("report", "last")
    assert report["run_dir"] == second["run_dir"]
    assert Path(report["report"]).is_file()
    same = shoal.json("diff", first["run_dir"], first["run_dir"])
    assert same["same"]
    other = shoal.json("diff", first["run_dir"], second["run_dir"], code=1)
    assert other["first"]["position"] >= 0
    assert shoal("diff", first["run_dir"], second["run_dir"]) == 1
    assert "They part after" in shoal.out
    assert shoal("runs") == 0
    assert shoal("report", rows[0]["id"]) == 0


def test_doctor_and_models_name_the_command_that_mends(shoal: Shoal) -> None:
    document = shoal.json("doctor")
    assert document["machine"]["cores"] >= 1
    for extra in document["extras"]:
        assert extra["ready"] or extra["mend"] == f"pip install 'shoal[{extra['extra']}]'"
    models = shoal.json("models")
    assert "scripted" in models["schemes"]
    assert models["local"][0]["name"] == "smollm2"
    assert shoal("doctor") == 0
    assert shoal("models") == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "simphony-coord"), "Did you mean symphony-coord"),
        (("run", "selforg", "--size", "huge"), "quick, standard, full"),
        (("run", "selforg", "--set", "nonsense"), "key=value"),
        (("run", "selforg", "--set", "zzz=1"), "zzz"),
        (("run", "selforg", "--seeds", "0"), "--seeds"),
        (("run", "selforg", "--model", "gpt"), "scheme:details"),
        (("team", "debat", "--model", SCRIPTED), "Did you mean debate"),
        (("team", "vote", "--model", SCRIPTED, "--task", "sumz"), "Did you mean sums"),
        (("team", "vote", "--model", SCRIPTED, "--budget-tokens", "0"), "budget_tokens"),
        (("team", "vote", "--model", SCRIPTED, "--budget-tokens", "-5"), "budget_tokens"),
        (("team", "vote", "--model", SCRIPTED, "--questions", "0"), "questions"),
        (("team", "missing.yaml", "--model", SCRIPTED), "missing.yaml"),
        (("team", "vote", "--model", "carrier:pigeon"), "carrier"),
        (("report", "nothing"), "nothing"),
        (("diff", "a", "b"), "run"),
        (("bench", "nothing"), "nothing"),
        (("nonsense",), "nonsense"),
    ],
)
def test_bad_input_is_told_in_a_line_or_two_with_exit_code_2(
    shoal: Shoal, arguments: tuple[str, ...], words: str
) -> None:
    assert shoal(*arguments) == 2
    assert words in shoal.err
    assert len(shoal.err.strip().splitlines()) <= 2
    assert "Traceback" not in shoal.err
    assert shoal.out == ""


def test_a_task_file_without_answers_is_refused_with_its_line(shoal: Shoal, tmp_path: Path) -> None:
    path = tmp_path / "tasks.jsonl"
    path.write_text('{"question": "1+1?", "answer": "2"}\n{"question": "1+2?"}\n')
    assert shoal("team", "vote", "--model", SCRIPTED, "--task", path) == 2
    assert ":2" in shoal.err
    path.write_text("")
    assert shoal("team", "vote", "--model", SCRIPTED, "--task", path) == 2
    path.write_bytes(b'{"question": "\xff\xfe", "answer": "2"}\n')
    assert shoal("team", "vote", "--model", SCRIPTED, "--task", path) == 2
    assert "UTF-8" in shoal.err


def test_an_unwritable_folder_is_one_line(shoal: Shoal, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert shoal("team", "vote", "--model", SCRIPTED, "--questions", 2, "--out", tmp_path / "file") in (1, 2)
    assert len(shoal.err.strip().splitlines()) <= 2


def test_the_script_and_the_module_are_the_same_program() -> None:
    script = subprocess.run([sys.executable, "-m", "shoal", "--version"], capture_output=True, text=True, check=True)
    assert script.stdout.strip()


def test_importing_shoal_loads_no_engine() -> None:
    code = "import sys, shoal; print([m for m in ('numpy', 'polars', 'aiohttp', 'matplotlib') if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"
