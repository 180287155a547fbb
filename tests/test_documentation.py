"""Every code block of the README and the docs runs: Python as one program per page, `shoal` lines as commands."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import types
from pathlib import Path

import pytest

from shoal.cli import console
from shoal.cli.application import run as command

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    return [body for kind, body in BLOCK.findall(page.read_text()) if kind == language]


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python")], ids=lambda p: p.name)
def test_python_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    program = "\n".join(blocks(page, "python"))
    module = types.ModuleType("documentation_page")  # dataclasses look their module up by name
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(program, page.name, "exec"), module.__dict__)


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "sh")], ids=lambda p: p.name)
def test_commands_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for text in blocks(page, "yaml"):  # a YAML block is the file that its first line names
        name = text.splitlines()[0].partition(":")[2].strip()
        (tmp_path / f"{name}.yaml").write_text(text)
    for data in (ROOT / "examples").glob("*.csv"):
        shutil.copy(data, tmp_path)
    lines = [line for block in blocks(page, "sh") for line in block.splitlines() if line.startswith("shoal ")]
    assert lines
    for line in lines:
        arguments = shlex.split(line, comments=True)[1:]
        assert console.guarded(lambda words=arguments: command(words)) == 0, line  # type: ignore[misc]


def test_links_between_pages_lead_somewhere() -> None:
    for page in [*PAGES, ROOT / "ARCHITECTURE.md"]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if not target.startswith(("http:", "https:")):
                assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_table_of_systems_is_what_the_committed_results_say() -> None:
    checked = subprocess.run([sys.executable, ROOT / "tools" / "tables.py", "--check"], check=False)
    assert checked.returncode == 0, "run `make table`"
