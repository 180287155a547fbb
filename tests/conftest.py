"""All tests run offline: any connection that leaves this machine is an error."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from browser import PageServer, open_browser, serving
from command_line import Shoal
from shoal.cli import console
from shoal.models.lock import forbid_network

# The same examples on every run: a green suite stays green until the code changes. No deadline: a machine may be busy.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.load_profile("fixed")


COMPILED = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    """Programs compiled in one test serve the others, and other processes: half of the tests' time was compilation."""
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        config.stash[COMPILED] = folder = tempfile.mkdtemp(prefix="shoal-compiled-")
        os.environ["JAX_COMPILATION_CACHE_DIR"] = folder
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"
        os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"


def pytest_unconfigure(config: pytest.Config) -> None:
    if COMPILED in config.stash:
        shutil.rmtree(config.stash[COMPILED], ignore_errors=True)


@pytest.fixture(autouse=True)
def no_network() -> Iterator[None]:
    with forbid_network():
        yield


@pytest.fixture(autouse=True, scope="module")
def compiled_programs() -> Iterator[None]:
    """Programs of one file are given back at its end; kept, they took seven gigabytes in each process."""
    yield
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()


@pytest.fixture(scope="module")
def quick_compilation() -> Iterator[None]:
    """For files whose time is compilation of small programs: they run slower and are made faster."""
    import jax

    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """For files that train tiny networks: two test processes already have a core each."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def shoal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Shoal:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAX_ENABLE_COMPILATION_CACHE", "true")  # put back afterwards: `shoal bench` sets it
    monkeypatch.setattr(console, "out", console.Console(highlight=False, width=180))
    monkeypatch.setattr(console, "err", console.Console(stderr=True, highlight=False, width=180))
    return Shoal(capsys)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A browser for one file: an open one keeps an event loop running, which other files' asynchronous tests forbid."""
    with open_browser() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of runs that a file's server shows; files that want runs in it override this and fill it."""
    return tmp_path_factory.mktemp("ui") / "runs"


@pytest.fixture(scope="module")
def server(out: Path) -> Iterator[PageServer]:
    with serving(out) as page_server:
        yield page_server
