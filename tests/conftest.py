"""All tests run offline: any connection that leaves this machine is an error."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from command_line import Shoal
from shoal.cli import console
from shoal.models.lock import forbid_network

# The same examples on every run: a green suite stays green until the code changes. No deadline: a machine may be busy.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.load_profile("fixed")


@pytest.fixture(autouse=True)
def no_network() -> Iterator[None]:
    with forbid_network():
        yield


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def shoal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Shoal:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(console, "out", console.Console(highlight=False, width=180))
    monkeypatch.setattr(console, "err", console.Console(stderr=True, highlight=False, width=180))
    return Shoal(capsys)
