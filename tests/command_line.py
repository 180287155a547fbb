"""The command line in a test's own process."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shoal.cli import console
from shoal.cli.application import run as command


class Shoal:
    """Runs command lines in this process and keeps what they printed."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys
        self.out = self.err = ""

    def __call__(self, *arguments: object) -> int:
        self.capsys.readouterr()
        code = console.guarded(lambda: command([str(a) for a in arguments]))
        self.out, self.err = self.capsys.readouterr()
        return code

    def json(self, *arguments: object, code: int = 0) -> Any:
        assert self(*arguments, "--json") == code, self.err
        return json.loads(self.out)
