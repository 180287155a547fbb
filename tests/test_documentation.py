"""Every code block of the README and the docs runs: Python as one program per page, `shoal` lines as commands.

Names in their sentences exist: files, modules and what is in them, commands and their options.
"""

from __future__ import annotations

import importlib
import re
import shlex
import shutil
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from shoal.cli import console
from shoal.cli.application import app
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


def mentioned(page: Path, pattern: str) -> set[str]:
    """What is set as code in the page's sentences and matches."""
    return {words for words in re.findall(r"`([^`\n]+)`", page.read_text()) if re.fullmatch(pattern, words)}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "ARCHITECTURE.md"], ids=lambda p: p.name)
def test_names_in_sentences_exist(page: Path) -> None:
    for file in mentioned(page, r"[\w./-]+\.py"):
        places = (ROOT, ROOT / "src" / "shoal", ROOT / "tests")
        assert any((place / file).exists() for place in places) or [*ROOT.glob(f"src/**/{file}")], f"no file {file}"
    for name in mentioned(page, r"shoal(\.\w+)+(\(.*)?"):
        assert resolves(name.partition("(")[0]), f"nothing is called {name}"
    program: Any = get_command(app)
    for line in mentioned(page, r"shoal [a-z-]+( [^|]*)?"):
        words = line.split()[1:]
        told = program
        while words and hasattr(told, "commands"):
            assert words[0] in told.commands, f"no command {line}"
            told = told.commands[words.pop(0)]
        options = {option for p in [*told.params, *program.params] for option in [*p.opts, *p.secondary_opts]}
        used = {word.partition("=")[0].rstrip(".,;:)") for word in words if word.startswith("--")}
        assert used <= options, f"{line}: no option {used - options}"


def resolves(name: str) -> bool:
    """Whether a dotted name is a module or something in one."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        try:
            for part in parts[length:]:
                found = getattr(found, part)
        except AttributeError:
            return False
        return True
    return False


def test_the_table_of_systems_is_what_the_committed_results_say() -> None:
    checked = subprocess.run([sys.executable, ROOT / "tools" / "tables.py", "--check"], check=False)
    assert checked.returncode == 0, "run `make table`"
