"""Renew the pictures of the web page in docs/images, with the same server and browser as its tests.

python tools/screenshots.py [FOLDER]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from browser import PageServer, open_browser, serving, visiting  # noqa: E402
from shoal import laboratory  # noqa: E402

SETTLED = 1500
"""Milliseconds after which charts stand still."""
SIMULATION = ("epidemic", "--agents", "5000", "--steps", "120", "--seeds", "8", "--counterfactual", "isolation=0.3")


def shots(server: PageServer, chromium: Any, folder: Path) -> list[Path]:
    """Write one picture of each kind of page; returns their paths."""
    team = next(server.out.glob("team-*")).name
    simulation = next(server.out.glob("simulate-*")).name
    pages = {
        "system": ("/systems/selforg", "table"),
        "trace": (f"/runs/{team}/trace", "canvas"),
        "world": ("/worlds/overcooked?seats=random,random", ".stage"),
        "population": (f"/populations/runs/{simulation}", ".chart svg"),
    }
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for name, (address, shown) in pages.items():
        with visiting(chromium) as visit:
            visit.page.goto(server.address + address)
            visit.page.wait_for_selector(shown, timeout=120_000)
            visit.page.wait_for_timeout(SETTLED)
            path = folder / f"page-{name}.png"
            visit.page.screenshot(path=path)
            visit.check()
        made.append(path)
    return made


def main(folder: Path) -> None:
    """Start everything and take the pictures."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        out = Path(place) / "runs"
        laboratory.team("debate:agents=4", task="sums", model="scripted:competence=0.7", questions=4, out=out)
        subprocess.run(
            [sys.executable, "-m", "shoal", "simulate", *SIMULATION, "--out", str(out)], check=True, capture_output=True
        )
        with serving(out) as server, open_browser() as chromium:
            for path in shots(server, chromium, folder):
                print(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images")
