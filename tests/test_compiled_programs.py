"""Compiled programs are kept in the user's cache folder, except by benchmarks and where it cannot be written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shoal.cli import compilation

SUM = "import jax; print(jax.jit(lambda x: (x * x).sum())(jax.numpy.arange(8.0)))"
SETTING = "JAX_COMPILATION_CACHE_DIR"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name in (SETTING, "JAX_COMPILATION_CACHE_MAX_SIZE", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"):
        monkeypatch.setenv(name, "")  # so that it is put back afterwards
        monkeypatch.delenv(name)
    return tmp_path


def _run(program: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)


def test_programs_lie_in_the_users_cache_for_this_processor(home: Path) -> None:
    compilation.keep_programs()
    folder = Path(os.environ[SETTING])
    assert folder.is_relative_to(home)
    assert folder.stat().st_mode & 0o077 == 0
    assert int(os.environ["JAX_COMPILATION_CACHE_MAX_SIZE"]) == compilation.LARGEST


def test_a_chosen_folder_stays_chosen(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SETTING, "elsewhere")
    compilation.keep_programs()
    assert os.environ[SETTING] == "elsewhere"
    assert not list(home.iterdir())


def test_a_cache_folder_that_cannot_be_made_is_done_without(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "shoal").write_text("a file where the folder would be")
    compilation.keep_programs()
    assert SETTING not in os.environ


def test_a_broken_program_is_compiled_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilation, "WORTHWHILE", 0.0)
    compilation.keep_programs()
    first = _run(SUM)
    assert (first.stdout.strip(), first.returncode) == ("140.0", 0)
    kept = list(Path(os.environ[SETTING]).glob("*-cache"))
    assert kept
    for path in kept:
        path.write_bytes(path.read_bytes()[:100])
    again = _run(SUM)
    assert (again.stdout.strip(), again.returncode) == ("140.0", 0)


def test_benchmarks_compile_afresh(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compilation.keep_programs()
    monkeypatch.setenv("JAX_ENABLE_COMPILATION_CACHE", "true")
    compilation.compile_afresh()
    assert _run(SUM).stdout.strip() == "140.0"
    assert not list(Path(os.environ[SETTING]).glob("*-cache"))
