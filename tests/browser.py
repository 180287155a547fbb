"""A real browser on a real server: both run beside the test, and neither may leave this machine."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
WIDE, NARROW = 1280, 390
PATIENCE = 60_000
"""Milliseconds to wait for what a page shows: programs are compiled behind it, and machines are busy."""

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


@dataclass(frozen=True)
class PageServer:
    """A running ``shoal ui``.

    Attributes:
        address: without a slash at its end.
        token: its secret.
        out: its folder of runs.
        process: of the server.
    """

    address: str
    token: str
    out: Path
    process: subprocess.Popen[str]


@contextmanager
def serving(out: Path, *options: str) -> Iterator[PageServer]:
    """``shoal ui`` on a free port over a folder of runs; the systems of ``tests/plugin`` are in its catalogue."""
    tests = Path(__file__).parent
    out.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "shoal", "ui", "--port", "0", "--no-browser", "--out", str(out), *options]
    environment = {**os.environ, "COLUMNS": "200", "PYTHONPATH": os.pathsep.join([str(tests / "plugin"), str(tests)])}
    with (out.parent / "server.log").open("w") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
        try:
            assert process.stdout is not None
            said = process.stdout.readline() + process.stdout.readline()
            address = re.search(r"http://\S+?(?=/)", said)
            token = re.search(r"token (\S+)", said)
            assert address and token, said + (out.parent / "server.log").read_text()
            yield PageServer(address[0], token[1], out, process)
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()


@dataclass
class Visit:
    """One page of a browser, with what it did that it should not have.

    Attributes:
        page: Playwright's page.
        complaints: errors of the console, exceptions, and requests to anywhere but loopback.
    """

    page: Any
    complaints: list[str] = field(default_factory=list)

    def check(self) -> None:
        """Nothing was complained of, nothing scrolls sideways, and axe finds no serious violation."""
        from axe_playwright_python.sync_playwright import Axe

        assert not self.complaints, self.complaints
        wide = self.page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert wide[0] <= wide[1] + 1, f"the page is {wide[0]} pixels wide in a window of {wide[1]}"
        found = Axe().run(self.page).response["violations"]
        serious = [
            f"{v['id']}: {node['html'][:160]} {[c['message'][:140] for c in node['any'][:1]]}"
            for v in found
            if v["impact"] in ("serious", "critical")
            for node in v["nodes"][:4]
        ]
        assert not serious, "\n".join(serious)


@contextmanager
def visiting(browser: Any, *, width: int = WIDE, dark: bool = False) -> Iterator[Visit]:
    """A fresh browser profile with one page. Nothing moves on it by itself: a click hits what it was aimed at."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light", reduced_motion="reduce"
    )
    context.set_default_timeout(PATIENCE)
    visit = Visit(context.new_page())
    page = visit.page
    page.on("console", lambda m: visit.complaints.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    page.on("request", lambda request: _local(request.url, visit.complaints))
    _connect_first(page)
    try:
        yield visit
    finally:
        context.close()


def _connect_first(page: Any) -> None:
    """``goto`` and ``reload`` return when the page's channel is open: until then events wait, and may change places."""

    def patient(move: Callable[..., Any]) -> Callable[..., Any]:
        def moved(*args: Any, **options: Any) -> Any:
            answer = move(*args, **options)
            page.wait_for_function("!window.socket || window.did_handshake")
            return answer

        return moved

    page.goto, page.reload = patient(page.goto), patient(page.reload)


def _local(url: str, complaints: list[str]) -> None:
    parts = urlsplit(url)
    if parts.scheme in ("http", "https", "ws", "wss") and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        complaints.append(f"request to {url}")


@contextmanager
def open_browser() -> Iterator[Any]:
    """Chromium without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        try:
            yield chromium
        finally:
            chromium.close()
