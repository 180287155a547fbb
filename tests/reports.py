"""Reports of runs in a real browser: opened from disk, asking for nothing besides."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from browser import WIDE, Visit, visiting
from shoal.ui.report.page import open_subject, usual_target, write_report


def reported(path: Path, to: Path | None = None) -> Path:
    subject = open_subject(path)
    return write_report(subject, to or usual_target(subject)).path


@contextmanager
def opened(chromium: Any, page: Path, width: int = WIDE, dark: bool = False) -> Iterator[Visit]:
    """The report from disk; whatever it asks for besides itself is a complaint."""
    with visiting(chromium, width=width, dark=dark) as visit:
        address = page.resolve().as_uri()
        visit.page.on("request", lambda r: _own(r.url, address, visit.complaints))
        visit.page.goto(address)
        yield visit


def until(page: Any, truth: str) -> None:
    """Wait for a condition; the report's policy forbids Playwright's own way, which evaluates text in the page."""
    for _ in range(2000):
        if page.evaluate(truth):
            return
        page.wait_for_timeout(20)
    raise AssertionError(f"it never came to {truth}")


def _own(url: str, address: str, complaints: list[str]) -> None:
    if not url.startswith("data:") and url.partition("#")[0] != address:
        complaints.append(f"request to {url}")
