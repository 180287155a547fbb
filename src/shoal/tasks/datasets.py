"""Real data sets: where they are looked for, and how to get one that is absent.

Nothing is ever downloaded; files made by others are used in place.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

SOURCES = {
    "gsm8k": ("gsm8k/test.jsonl", "openai/grade-school-math"),
    "gsm8k-recordings": ("gsm8k/example_model_solutions.jsonl", "openai/grade-school-math"),
    "bbh": ("bbh/NAME.json", "suzgunmirac/BIG-Bench-Hard"),
    "who_and_when": ("who_and_when/*.json", "mingyin1/Agents_Failure_Attribution"),
}
"""Data sets by name: the place of the file in a data folder, and the GitHub repository that publishes it."""


def data_folders() -> Iterator[Path]:
    """The folders that are searched, best first.

    ``$SHOAL_DATA``, then ``data`` and ``../shared/data`` seen from the working directory and from the checkout that
    the package runs from, then the user's data directory.
    """
    if chosen := os.environ.get("SHOAL_DATA"):
        yield Path(chosen).expanduser()
    checkout = Path(__file__).resolve().parents[3]
    roots = [Path.cwd()]
    if (checkout / "pyproject.toml").is_file():
        roots.append(checkout)
    for root in roots:
        yield root / "data"
        yield root.parent / "shared" / "data"
    from platformdirs import user_data_dir

    yield Path(user_data_dir("shoal"))


def data_file(*parts: str) -> Path | None:
    """The first existing file or folder of that name in the data folders, or None."""
    for folder in data_folders():
        path = folder.joinpath(*parts)
        if path.exists():
            return path
    return None


def absent(name: str) -> str | None:
    """How to get a data set of ``SOURCES`` that is not here; None if it is."""
    return missing(name) if data_file(*SOURCES[name][0].split("/")) is None else None


def missing(name: str) -> str:
    """One line on how to get an absent data set."""
    file, repository = SOURCES.get(name, (name, ""))
    source = f" (from the GitHub repository {repository})" if repository else ""
    return f"Put {file}{source} into a folder and set SHOAL_DATA to that folder."
